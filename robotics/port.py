"""Port to one robot cell: what the swap sequence may ask of it and what it reports.

The port has no call that waits for a motion. A command is *sent* with its sequence number, its
progress is *read* from the cell's status. The number makes every call repeatable: a process that
dies between the two resumes by reading, never by guessing (`docs/decisions/`).

Behaviour every driver keeps:

* `status()` reads the cell afresh and stamps each block with the instant it was read. A block that
  could not be read keeps its old stamp and so becomes stale; it is never filled with zeros.
* `send()` writes parameters, code and sequence number in one request. Sending the same number again
  never moves anything twice. It raises `LinkLost` when no answer came (the command may have arrived).
* `acknowledge()` tells the cell that the result of a number has been stored.
* `hold()` asks the cell to stop after the current safe motion. It returns even without a link.
* Safety trips are read, never released from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol


class LinkLost(Exception):
    """The device did not answer; whether it received the request is unknown."""


class Refused(Exception):
    """The device answered with a Modbus exception."""


class Signal(StrEnum):
    """Yes/no facts of a cell, named so that true is the state in which work may go on or a thing is so."""

    ESTOP_OK = "estop_ok"
    CURTAIN_CLEAR = "curtain_clear"
    DOORS_CLOSED = "doors_closed"
    FIRE_OK = "fire_ok"
    SMOKE_OK = "smoke_ok"
    POWER_OK = "power_ok"
    """False from a power loss until a person has confirmed at the cell."""
    HOMED = "homed"
    """Every axis knows its position."""
    AT_HOME = "at_home"
    VEHICLE_PRESENT = "vehicle_present"
    VEHICLE_IN_POSITION = "vehicle_in_position"
    """Lidar sees the vehicle inside the tolerance."""
    VEHICLE_LINK = "vehicle_link"
    """The vehicle's swap controller answers; without it the four below are unknown."""
    HANDBRAKE_ON = "handbrake_on"
    GEAR_NEUTRAL = "gear_neutral"
    KEY_OFF = "key_off"
    HV_OFF = "hv_off"
    LOCKS_OPEN = "locks_open"
    """All locking heads report open."""
    LOCKS_CLOSED = "locks_closed"
    """Position, torque, limit switch and vision of all heads agree on closed."""
    SEAT_1_OCCUPIED = "seat_1_occupied"
    SEAT_2_OCCUPIED = "seat_2_occupied"
    PACK_ACCEPTED = "pack_accepted"
    """The vehicle's controller accepts the pack in its seat."""
    GRIPPER_LOADED = "gripper_loaded"
    TRANSFER_OCCUPIED = "transfer_occupied"
    TANK_READY = "tank_ready"
    TANK_OCCUPIED = "tank_occupied"
    EXIT_CLEAR = "exit_clear"


class CommandCode(IntEnum):
    """Commands of a cell. All are absolute: none toggles, none is relative to the present position."""

    ADMIT = 1
    """Call the vehicle with `vehicle_tag` into the lane (light, barrier)."""
    LOCATE = 2
    """Measure the vehicle's position with the lidar."""
    UNLOCK = 3
    """Open the locking heads of the seat in `target`."""
    LOCK = 4
    """Close the locking heads of the seat in `target`."""
    PICK = 5
    """Take the pack at `source` into the gripper."""
    PUT = 6
    """Set the pack in the gripper down at `target`."""
    HOME = 7
    RELEASE = 8
    """Let the vehicle drive out."""
    RESET = 9
    """Clear latched faults that are no safety trips."""
    FIRE = 10
    """One-key fire procedure: carry the pack at `source` to the tank."""


class LocationKind(StrEnum):
    """Kinds of places a pack can be set down in."""

    BAY = "bay"
    SEAT = "seat"
    TRANSFER = "transfer"
    TANK = "tank"


_LOCATION_BASE = {
    LocationKind.BAY: 0,
    LocationKind.SEAT: 100,
    LocationKind.TRANSFER: 200,
    LocationKind.TANK: 300,
}


@dataclass(frozen=True, slots=True)
class Location:
    """A place the robot can reach: bay 1…99, seat 1…2 of the vehicle, transfer bay, tank."""

    kind: LocationKind
    index: int

    @property
    def code(self) -> int:
        """Register value: bays 1…99, seats 101…, transfer 201…, tank 301…."""
        return _LOCATION_BASE[self.kind] + self.index

    @classmethod
    def from_code(cls, code: int) -> Location | None:
        """The place of a register value; None for 0. Raises ValueError for a value of no place."""
        if code == 0:
            return None
        for kind, base in sorted(_LOCATION_BASE.items(), key=lambda item: -item[1]):
            if code > base:
                if code - base > 99:
                    break
                return cls(kind, code - base)
        raise ValueError(f"location code {code} is none of 1…99, 101…199, 201…299, 301…399")


@dataclass(frozen=True, slots=True)
class RobotCommand:
    """One command with its sequence number (1…65535, 0 means none, 65535 wraps to 1)."""

    seq: int
    code: CommandCode
    source: Location | None = None
    target: Location | None = None
    vehicle_tag: int = 0


class CellState(IntEnum):
    """State word of the cell (standards.md 5.2)."""

    FREE = 0
    READY = 1
    BUSY = 2
    PAUSED = 3
    ALARM = 4


class ControlMode(IntEnum):
    """Who may command the cell."""

    LOCAL = 1
    ONLINE = 2


class RunMode(IntEnum):
    """Run mode of the cell."""

    SINGLE = 3
    AUTO = 4
    FIRE = 5
    MAINTENANCE = 6


class AckCode(IntEnum):
    """Answer of the cell to a command."""

    NONE = 0
    ACCEPTED = 1
    REFUSED_INTERLOCK = 2
    REFUSED_MODE = 3
    REFUSED_PARAMETER = 4
    BUSY = 5
    REFUSED_OWNER = 6
    """Another controller owns the cell."""


class ResultCode(IntEnum):
    """How a command ended."""

    NONE = 0
    DONE = 1
    FAILED = 2
    ABORTED = 3


@dataclass(frozen=True, slots=True)
class CellStatus:
    """One fresh look at a cell.

    `signals` has a key for each signal the register map carries; a missing key or ``None`` means unknown.
    """

    lane_id: str
    fast_at: datetime | None
    """When the fast block was read; None when never."""
    slow_at: datetime | None
    heartbeat: int = 0
    heartbeat_ok: bool = False
    """The cell's own counter still moves (judged over real seconds)."""
    state: CellState = CellState.FREE
    control_mode: ControlMode = ControlMode.ONLINE
    run_mode: RunMode = RunMode.AUTO
    ack_seq: int = 0
    ack_code: AckCode = AckCode.NONE
    active_seq: int = 0
    done_seq: int = 0
    result: ResultCode = ResultCode.NONE
    fault_code: int = 0
    fault_level: int = 0
    fault_words: tuple[int, ...] = ()
    fault_codes: tuple[int, ...] = ()
    """Every latched fault as a code of the fault catalogue, from the bits of the fault words."""
    position: Location | None = None
    owner: int = 0
    """Token of the controller that owns the cell; 0 when none."""
    vehicle_tag: int = 0
    """Tag read in the lane; 0 when none."""
    signals: Mapping[Signal, bool | None] = field(default_factory=dict)
    bays_occupied: tuple[bool | None, ...] = ()
    """Occupancy sensor by bay position - 1."""
    heads_open: tuple[bool | None, ...] = ()
    """Locking heads of the vehicle's seats, in the order of the map (seat 1: first half)."""
    heads_closed: tuple[bool | None, ...] = ()


class SwapRobot(Protocol):
    """One robot cell; see the module's docstring for the behaviour that drivers keep."""

    lane_id: str

    async def connect(self) -> None:
        """Open the link and claim the cell; returns even when the cell does not answer yet."""

    async def status(self) -> CellStatus:
        """Fresh status; raises nothing for a dead link (the stamps then age)."""

    async def send(self, command: RobotCommand) -> None:
        """Write a command. Raises LinkLost or Refused."""

    async def acknowledge(self, seq: int) -> None:
        """Write `done_ack`. Raises LinkLost or Refused."""

    async def hold(self, reason: str) -> None:
        """Ask the cell to hold; never raises for a dead link."""

    async def resume(self) -> None:
        """Withdraw a hold; only after a person confirmed. Raises LinkLost or Refused."""

    async def close(self) -> None:
        """Give up ownership where the link allows, and close."""
