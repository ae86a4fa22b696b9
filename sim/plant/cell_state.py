"""What is true of one lane's robot cell: modes, faults, the robot, the running command.

Only facts and their snapshot; commands and time are in `cell.py`, interlocks in `interlocks.py`,
effects of motions in `motion.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from robotics.port import (
    AckCode,
    CellState,
    CommandCode,
    ControlMode,
    DriverSign,
    Location,
    LocationKind,
    ResultCode,
    RobotCommand,
    RunMode,
)
from sim.plant.fault_codes import cell_fault
from sim.plant.rack import PackTruth, Rack
from sim.plant.yard import Draw, LockHead, Truck, Yard
from swap.places import TANK, bay_place, gripper_place, vehicle_place

USED_NUMBERS = 256
"""So many of the last numbers are remembered; one of them never moves anything again."""

PHASES: dict[CommandCode, tuple[tuple[str, float], ...]] = {
    CommandCode.ADMIT: (("wait_truck", 1.0),),
    CommandCode.LOCATE: (("measure", 1.0),),
    CommandCode.UNLOCK: (("start", 0.3), ("open", 0.7)),
    CommandCode.LOCK: (("start", 0.3), ("close", 0.7)),
    CommandCode.PICK: (("grip", 0.6), ("lift", 0.4)),
    CommandCode.PUT: (("set_down", 0.6), ("retreat", 0.4)),
    CommandCode.HOME: (("home", 1.0),),
    CommandCode.RELEASE: (("go", 0.4), ("drive_out", 0.6)),
    CommandCode.RESET: (("reset", 1.0),),
    CommandCode.FIRE: (("grip", 0.35), ("carry", 0.35), ("tank_put", 0.2), ("retreat", 0.1)),
}
"""Phases of each command with their share of its duration; the effect of a phase comes at its end."""

DRIVER_MOVES = frozenset({CommandCode.ADMIT, CommandCode.RELEASE})
"""Commands in which the truck moves and the robot does not."""
_SEAT_COMMANDS = frozenset({CommandCode.UNLOCK, CommandCode.LOCK})


@dataclass(slots=True)
class ActiveCommand:
    """The command that runs."""

    command: RobotCommand
    phase: int
    phase_s: list[float]
    due_us: int | None
    """End of the present phase; None while paused."""
    left_us: int = 0
    """What was left of the phase when it was paused."""
    waited_s: float = 0.0
    """How long the fire procedure has waited at the tank."""

    @property
    def name(self) -> str:
        """Name of the present phase."""
        return PHASES[self.command.code][self.phase][0]


@dataclass(slots=True)
class CellFaults:
    """Faults injected into a cell; all are conditions of the equipment, not of the register link."""

    estop: bool = False
    curtain: bool = False
    door: bool = False
    power_cut: bool = False
    smoke: bool = False
    fire: bool = False
    axis_alarm: bool = False
    exit_blocked: bool = False
    tank_not_ready: bool = False
    gripper_unlocked: bool = False
    """The gripper does not lock what it has gripped."""
    frozen_heartbeat: bool = False
    gripper_jam: int = 0
    """So many picks still jam."""
    pick_misses: int = 0
    lidar_misses: int = 0
    lost_ack: int = 0
    slow_factor: float = 1.0
    tag_misread: int = 0
    head_stuck_open: list[int] = field(default_factory=list)
    """Indices of heads that do not close."""
    head_stuck_closed: list[int] = field(default_factory=list)
    head_lies: list[int] = field(default_factory=list)
    """Indices of heads whose limit switch says closed whatever is true."""
    lie_agreed: bool = False
    """The other sensors of a lying head lie as well."""
    forced: list[str] = field(default_factory=list)
    """Names of the fault catalogue raised as they are."""


class CellTruth:
    """Facts of one robot cell."""

    def __init__(self, lane_id: str, rack: Rack, yard: Yard, transfer_bays: list[str], draw: Draw) -> None:
        self.lane_id = lane_id
        self.rack = rack
        self.yard = yard
        self.transfer_bays = transfer_bays
        self.draw = draw
        self.bay_at = {bay.section.position: bay_id for bay_id, bay in rack.bays.items()}
        self.faults = CellFaults()
        self.latched: list[str] = []
        """Names of latched faults, the oldest first."""
        self.control_mode = ControlMode.ONLINE
        self.run_mode = RunMode.AUTO
        self.hold = False
        self.station_alive = True
        """The device layer judges the station's heartbeat in real seconds."""
        self.paused = ""
        """Why the motion is paused until a person confirms; empty when it is not."""
        self.power_confirmed = True
        self.homed = True
        self.at_home = True
        self.located = False
        self.sign = DriverSign.NONE
        """What the lane's sign shows; nothing depends on it."""
        self.shuttle = False
        """The robot carries packs from below (chassis)."""
        self.supporting = False
        """The pack in the seat rests on the shuttle."""
        self.position: Location | None = None
        self.owner = 0
        self.refused_owner = 0
        """Token of the last command that came from another controller than the owner."""
        self.epoch = 1
        """Counts power-ups, changes of the owner, trips and pauses; 1…65535."""
        self.trips = 0
        """Trips that are there, one bit each, as they were looked at last."""
        self.first_command = True
        """No command has been judged in this epoch."""
        self.first_hold = True
        self.last_seq = 0
        """Number used up last."""
        self.hold_seq = 0
        """Number of the hold request taken last."""
        self.called_tag = 0
        self.ack_seq = 0
        self.ack_code = AckCode.NONE
        self.done_seq = 0
        self.result = ResultCode.NONE
        self.done_result = ResultCode.NONE
        """Result of `done_seq`, also when it has been acknowledged, until the next command is accepted."""
        self.active: ActiveCommand | None = None
        self.used: deque[int] = deque(maxlen=USED_NUMBERS)
        self.nominal_s: Callable[[RobotCommand], float] | None = None
        """Nominal duration of a command, where another table than that of the top-lift gantry holds."""
        self.lifts = 0
        """Picks and puts since commissioning."""
        self.changes = 0
        """Rises with every accepted, ended or refused command and every pack move."""
        self.listeners: list[Callable[[str, RobotCommand], None]] = []
        """Called with "accepted", "moved", "done", "failed" or "aborted" and the command; for tests and logs."""

    # Facts

    @property
    def truck(self) -> Truck | None:
        """The truck that stands in the lane."""
        return self.yard.in_lane(self.lane_id)

    @property
    def gripped(self) -> PackTruth | None:
        """The pack in the gripper."""
        return self.rack.at(gripper_place(self.lane_id))

    @property
    def tripped(self) -> bool:
        """A safety trip is there, or its release has not been confirmed by a person."""
        f = self.faults
        return f.estop or f.power_cut or not self.power_confirmed

    @property
    def in_alarm(self) -> bool:
        """A trip, or a fault that no command but a reset gets past."""
        return self.tripped or self.faults.fire or any(cell_fault(name).blocks for name in self.shown_faults())

    def new_epoch(self) -> None:
        """Something has happened that no request knew of which was decided before."""
        self.epoch = self.epoch % 0xFFFF + 1
        self.first_command = self.first_hold = True
        self.changes += 1

    def watch_trips(self) -> None:
        """A trip that has come since the last look begins a new epoch."""
        f = self.faults
        standing = (f.estop, f.curtain, f.door, f.fire, f.power_cut)
        now = sum(1 << bit for bit, there in enumerate(standing) if there)
        if now & ~self.trips:
            self.new_epoch()
        self.trips = now

    def standing_faults(self) -> tuple[str, ...]:
        """Faults whose cause is there now; a reset does not clear them."""
        f = self.faults
        standing = {
            "estop_pressed": f.estop,
            "power_lost": f.power_cut or not self.power_confirmed,
            "fire_released": f.fire,
            "smoke_detected": f.smoke,
            "light_curtain_broken": f.curtain,
            "safety_door_open": f.door,
            "axis_x_alarm": f.axis_alarm,
        }
        return (*(name for name, there in standing.items() if there), *f.forced)

    def clear_latched(self) -> None:
        """Clear latched faults whose cause is gone: a reset, or a person at the cell."""
        standing = self.standing_faults()
        self.latched = [name for name in self.latched if name in standing]
        self.changes += 1

    def shown_faults(self) -> tuple[str, ...]:
        """Standing and latched faults, the most serious first."""
        names = dict.fromkeys((*self.standing_faults(), *self.latched))
        return tuple(sorted(names, key=lambda name: (-cell_fault(name).level, cell_fault(name).code)))

    @property
    def state(self) -> CellState:
        """State word: alarm before paused before busy; ready when a command would be looked at."""
        if self.in_alarm:
            return CellState.ALARM
        if self.paused or (self.active is None and (self.hold or not self.station_alive)):
            return CellState.PAUSED
        if self.active is not None:
            return CellState.BUSY
        return CellState.READY if self.control_mode == ControlMode.ONLINE else CellState.FREE

    @property
    def active_seq(self) -> int:
        """Number of the command that runs; 0 when none."""
        return 0 if self.active is None else self.active.command.seq

    def head_reads_closed(self, truck: Truck, index: int) -> bool:
        """The limit switch of one head."""
        return truck.heads[index] == LockHead.CLOSED or index in self.faults.head_lies

    def head_agrees_closed(self, truck: Truck, index: int) -> bool:
        """Position, torque, limit switch and vision of one head agree on closed."""
        lies = index in self.faults.head_lies and self.faults.lie_agreed
        return truck.heads[index] == LockHead.CLOSED or lies

    def locks_closed(self, truck: Truck) -> bool:
        """All sensors of all heads agree on closed."""
        return all(self.head_agrees_closed(truck, index) for index in range(len(truck.heads)))

    def place_of(self, location: Location) -> str | None:
        """The place a location code names in this lane now; None when there is none or it is out of reach."""
        if location.kind == LocationKind.BAY:
            bay_id = self.bay_at.get(location.index)
            if bay_id is None:
                return None
            lanes = self.rack.bay(bay_id).section.lanes
            return bay_place(bay_id) if not lanes or self.lane_id in lanes else None
        if location.kind == LocationKind.TRANSFER:
            index = location.index - 1
            return bay_place(self.transfer_bays[index]) if index < len(self.transfer_bays) else None
        if location.kind == LocationKind.TANK:
            return TANK if location.index == 1 else None
        truck = self.truck
        if truck is None or location.index > truck.seats:
            return None
        return vehicle_place(truck.vehicle_id, location.index)

    def works_at_vehicle(self, command: RobotCommand) -> bool:
        """The robot is at the truck during the command."""
        places = (command.source, command.target)
        return command.code in _SEAT_COMMANDS or any(p is not None and p.kind == LocationKind.SEAT for p in places)

    # Snapshot

    def snapshot(self) -> dict[str, Any]:
        """Everything that changes, as JSON."""
        active = self.active
        data: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        data |= {name: int(getattr(self, name)) for name in _CODES}
        data["position"] = None if self.position is None else self.position.code
        data["latched"] = list(self.latched)
        data["used"] = list(self.used)
        data["faults"] = {name: getattr(self.faults, name) for name in CellFaults.__slots__}
        data["faults"] = {k: list(v) if isinstance(v, list) else v for k, v in data["faults"].items()}
        data["active"] = None
        if active is not None:
            data["active"] = {
                **command_json(active.command),
                "phase": active.phase,
                "phase_s": list(active.phase_s),
                "due_us": active.due_us,
                "left_us": active.left_us,
                "waited_s": active.waited_s,
            }
        return data

    def restore(self, data: dict[str, Any]) -> None:
        """Take a snapshot over."""
        for name in _PLAIN:
            setattr(self, name, data[name])
        for name, kind in _CODES.items():
            setattr(self, name, kind(data[name]))
        self.position = None if data["position"] is None else Location.from_code(data["position"])
        self.latched = list(data["latched"])
        self.used = deque(data["used"], maxlen=USED_NUMBERS)
        faults: dict[str, Any] = {k: list(v) if isinstance(v, list) else v for k, v in data["faults"].items()}
        self.faults = CellFaults(**faults)
        active = data["active"]
        self.active = None
        if active is not None:
            self.active = ActiveCommand(
                command=command_from_json(active),
                phase=active["phase"],
                phase_s=list(active["phase_s"]),
                due_us=active["due_us"],
                left_us=active["left_us"],
                waited_s=active["waited_s"],
            )


def command_json(command: RobotCommand) -> dict[str, int]:
    """A command as JSON."""
    return {
        "seq": command.seq,
        "code": int(command.code),
        "source": 0 if command.source is None else command.source.code,
        "target": 0 if command.target is None else command.target.code,
        "vehicle_tag": command.vehicle_tag,
    }


def command_from_json(data: dict[str, Any]) -> RobotCommand:
    """The command of `command_json`."""
    return RobotCommand(
        seq=data["seq"],
        code=CommandCode(data["code"]),
        source=Location.from_code(data["source"]),
        target=Location.from_code(data["target"]),
        vehicle_tag=data["vehicle_tag"],
    )


_PLAIN = (
    "hold",
    "station_alive",
    "paused",
    "power_confirmed",
    "homed",
    "at_home",
    "located",
    "supporting",
    "owner",
    "refused_owner",
    "epoch",
    "trips",
    "first_command",
    "first_hold",
    "last_seq",
    "hold_seq",
    "called_tag",
    "ack_seq",
    "done_seq",
    "lifts",
    "changes",
)
_CODES: dict[str, Callable[[int], Any]] = {
    "control_mode": ControlMode,
    "run_mode": RunMode,
    "ack_code": AckCode,
    "result": ResultCode,
    "done_result": ResultCode,
}
