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
* A request is decided on a status. Where the cell shows an epoch, the epoch of that status goes with the request,
  and the cell leaves it alone when anything has happened since (power, owner, trip, pause). `epoch=None` stands
  for the newest status that the driver has read itself. A request whose epoch is known to be over is not written:
  `Refused`.
* `hold()` asks the cell to stop after the current safe motion. It returns even without a link.
* Safety trips are read, never released from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

NO_PACKS: Mapping[int, str] = {}
"""No pack is told of."""


class LinkLost(Exception):
    """The device did not answer; whether it received the request is unknown."""


class Refused(Exception):
    """The device answered with a Modbus exception."""


class LinkFault(StrEnum):
    """Why nothing, or nothing usable, is read of a device."""

    NEVER_HEARD = "never_heard"
    NOT_CONNECTED = "not_connected"
    NO_ANSWER = "no_answer"
    """The connection stands, and the device does not answer in time."""
    EXCEPTION = "exception"
    """It answers with a Modbus exception (value: its code)."""
    NO_MEANING = "no_meaning"
    """A word has a value that the register map gives no meaning (name, value)."""
    WRONG_CONSTANT = "wrong_constant"
    """A constant reads otherwise than the map says (name, value, wanted): wrong map, base address or word order."""
    CONTRADICTION = "contradiction"
    """Flags that exclude each other are up (names)."""
    NOT_BEGUN = "not_begun"
    """Its epoch reads 0: the program has not begun."""


@dataclass(frozen=True, slots=True)
class LinkTrouble:
    """What is wrong with the newest reading of a device, or with the newest request to it."""

    fault: LinkFault
    name: str = ""
    """Entry of the register map."""
    value: str = ""
    wanted: str = ""

    def __str__(self) -> str:
        """As it is stored and answered, such as `no_meaning(ack_code, 9)`; read back by `read_trouble`."""
        about = ", ".join(part for part in (self.name, self.value, self.wanted) if part)
        return f"{self.fault.value}({about})" if about else self.fault.value


def read_trouble(text: str) -> LinkTrouble:
    """The trouble of its text. Raises ValueError for a text of none."""
    fault, _, about = text.removesuffix(")").partition("(")
    kind = LinkFault(fault)
    if kind is LinkFault.EXCEPTION:
        return LinkTrouble(kind, value=about)
    if kind is LinkFault.CONTRADICTION:
        return LinkTrouble(kind, name=about)
    name, value, wanted = (*about.split(", "), "", "", "")[:3]
    return LinkTrouble(kind, name, value, wanted)


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
    # Not every equipment has these; a map that carries one makes it needed.
    SWAP_MODE = "swap_mode"
    """The vehicle's controller has taken the station's request and is in swap mode."""
    DRIVE_INHIBITED = "drive_inhibited"
    """The vehicle's controller lets nobody drive, whatever key and pedal say."""
    HV_DISCHARGED = "hv_discharged"
    """The voltage behind the open contactors has gone as well."""
    CONNECTOR_FREE = "connector_free"
    """Connectors of the pack in the seat, and a charging cable, are free: nothing is torn when it is moved."""
    GRIPPER_LOCKED = "gripper_locked"
    """What is in the gripper cannot fall out of it."""
    SUPPORTED = "supported"
    """The pack in the seat rests on the shuttle (chassis)."""
    # Vehicles with more than two packs; and what is told seat by seat, where it is.
    SEAT_3_OCCUPIED = "seat_3_occupied"
    SEAT_4_OCCUPIED = "seat_4_occupied"
    SEAT_1_LOCKS_OPEN = "seat_1_locks_open"
    SEAT_2_LOCKS_OPEN = "seat_2_locks_open"
    SEAT_3_LOCKS_OPEN = "seat_3_locks_open"
    SEAT_4_LOCKS_OPEN = "seat_4_locks_open"
    SEAT_1_LOCKS_CLOSED = "seat_1_locks_closed"
    SEAT_2_LOCKS_CLOSED = "seat_2_locks_closed"
    SEAT_3_LOCKS_CLOSED = "seat_3_locks_closed"
    SEAT_4_LOCKS_CLOSED = "seat_4_locks_closed"
    SEAT_1_ACCEPTED = "seat_1_accepted"
    """The vehicle's controller accepts the pack in this seat; `pack_accepted` speaks of all of them."""
    SEAT_2_ACCEPTED = "seat_2_accepted"
    SEAT_3_ACCEPTED = "seat_3_accepted"
    SEAT_4_ACCEPTED = "seat_4_accepted"


SEATS = (1, 2, 3, 4)
"""Seats that a vehicle can have at most: its model says how many it has, a cell's map for how many it has signals."""
SEAT_OCCUPIED = {seat: Signal(f"seat_{seat}_occupied") for seat in SEATS}
SEAT_LOCKS_OPEN = {seat: Signal(f"seat_{seat}_locks_open") for seat in SEATS}
SEAT_LOCKS_CLOSED = {seat: Signal(f"seat_{seat}_locks_closed") for seat in SEATS}
SEAT_ACCEPTED = {seat: Signal(f"seat_{seat}_accepted") for seat in SEATS}


VEHICLE_SECURED = (
    Signal.VEHICLE_PRESENT,
    Signal.VEHICLE_IN_POSITION,
    Signal.VEHICLE_LINK,
    Signal.HANDBRAKE_ON,
    Signal.GEAR_NEUTRAL,
    Signal.KEY_OFF,
    Signal.HV_OFF,
)
"""The vehicle stands where it was measured, answers, and can neither move nor be live."""
VEHICLE_OPTIONAL = (Signal.SWAP_MODE, Signal.DRIVE_INHIBITED, Signal.HV_DISCHARGED)
"""The same, told by the vehicle itself; needed as soon as a cell's map carries them."""


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


class DriverSign(IntEnum):
    """What the lane's sign tells the driver, where the cell has one."""

    NONE = 0
    CALL = 1
    """Drive in."""
    STOP = 2
    """Stand, and secure the vehicle."""
    DO_NOT_MOVE = 3
    """The vehicle is worked on."""
    ALARM = 4
    """The same, with the horn: it is not secured."""
    DRIVE_OFF = 5


class LinkLimit(StrEnum):
    """What requests that arrive late, twice or never can still do to a cell, by its layout. No station can take it
    back; it is told when the station starts."""

    NO_OWNER = "no_owner"
    """The cell takes commands of anybody: only the station's lease keeps a second controller away."""
    LATE_COMMAND = "late_command"
    """A copy of a command that arrives after a later command moves a second time."""
    LATE_HEARTBEAT = "late_heartbeat"
    """A heartbeat that arrives after the loss of its controller gives the cell back to it, unasked."""
    LATE_RELEASE = "late_release"
    """A withdrawal of the hold that arrives late releases a hold that was asked since."""
    OLD_CONFIRMATION = "old_confirmation"
    """A confirmation that is older than a trip releases that trip's pause."""
    LATE_ACKNOWLEDGEMENT = "late_acknowledgement"
    """A late acknowledgement clears a result that the record has lost."""
    HOLD_UNSEEN = "hold_unseen"
    """The cell does not show whether it holds."""
    ANSWER_OVERWRITTEN = "answer_overwritten"
    """The refusal of a stranger's command is written over the owner's answer."""
    BEFORE_SILENCE = "before_silence"
    """What a controller that died or paused wrote is good until the cell has noticed its silence (3 s)."""


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
    """A place the robot can reach: bay 1…99, seat 1…4 of the vehicle, transfer bay, tank."""

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
class VehiclePack:
    """What a vehicle tells of the pack in one of its seats."""

    carried: frozenset[str]
    """Which of the others the cell's map carries: the rest is not known to anybody."""
    code: str | None = None
    """GB/T 34014 code."""
    temp_max_c: float | None = None
    alarm_level: int | None = None
    """0…3, GB/T 32960."""
    leak: bool | None = None


MOST_ODOMETER_KM = 3_000_000.0
"""What a vehicle says beyond is no distance but a register that is not served (assumed: no truck drives so far)."""


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
    beat_at: datetime | None = None
    """When that counter was seen to move last; None where the driver does not tell."""
    trouble: LinkTrouble | None = None
    """Why the newest attempt to read it gave nothing; None after a good one."""
    refusal: LinkTrouble | None = None
    """Why the newest request to it was not taken at the wire; None after one that was."""
    state: CellState = CellState.FREE
    control_mode: ControlMode = ControlMode.ONLINE
    run_mode: RunMode = RunMode.AUTO
    ack_seq: int = 0
    ack_code: AckCode = AckCode.NONE
    active_seq: int = 0
    done_seq: int = 0
    result: ResultCode = ResultCode.NONE
    epoch: int = 0
    """Counts what has happened to the cell: power, owner, trips, pauses. 0 where its layout has no epoch."""
    last_seq: int | None = None
    """Number used up last; None where the layout does not show it."""
    done_result: ResultCode | None = None
    """Result of `done_seq`, also after its acknowledgement, until the next command is accepted; None as above."""
    hold: bool | None = None
    """The cell keeps a hold; None where the layout does not show it."""
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
    odometer_km: float | None = None
    """The vehicle's own, while its controller answers; None where it does not tell."""
    signals: Mapping[Signal, bool | None] = field(default_factory=dict)
    bays_occupied: tuple[bool | None, ...] = ()
    """Occupancy sensor by bay position - 1."""
    vehicle_packs: Mapping[int, VehiclePack] = field(default_factory=dict)
    """By seat; without an entry where the map carries nothing of it."""
    heads_open: tuple[bool | None, ...] = ()
    """Locking heads of the vehicle's seats, seat by seat, in `seats` parts of one length."""
    heads_closed: tuple[bool | None, ...] = ()
    seats: int = 2
    """Seats that the layout has room for; at least two."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Every command number that the cell shows; 0 where it shows none."""
        return self.ack_seq, self.active_seq, self.done_seq, self.last_seq or 0


class SwapRobot(Protocol):
    """One robot cell; see the module's docstring for the behaviour that drivers keep."""

    lane_id: str
    limits: tuple[LinkLimit, ...]
    """What the layout of the cell cannot fence, the most serious first."""

    async def connect(self) -> None:
        """Open the link and claim the cell; returns even when the cell does not answer yet."""

    async def status(self) -> CellStatus:
        """Fresh status; raises nothing for a dead link (the stamps then age)."""

    async def send(self, command: RobotCommand, epoch: int | None = None) -> None:
        """Write a command. Raises LinkLost or Refused."""

    async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        """Write `done_ack`. Raises LinkLost or Refused."""

    async def hold(self, reason: str) -> bool:
        """Ask the cell to hold, after a fresh read of whose it is; False where it did not answer or is another's.

        Never raises for a dead link.
        """

    async def resume(self, epoch: int | None = None) -> None:
        """Withdraw a hold; only after a person confirmed what `epoch` showed.

        Raises LinkLost or Refused; the hold is then asked again, since the withdrawal may be on its way.
        """

    async def show(self, sign: DriverSign, *, swap_mode: bool, packs: Mapping[int, str] = NO_PACKS) -> bool:
        """Show the driver a sign, ask his vehicle into swap mode, or out of it, and tell it the codes of the packs that
        it is to accept, by seat, where the cell has outputs for that. Called at every look; never raises for a dead
        link, and is written again when the link is back.

        Returns whether the cell has an output for one of the codes and all that are to be told are written.
        """

    async def close(self, *, give_up: bool = True) -> None:
        """Give up ownership where the link allows, and close. Without `give_up` nothing is written any more."""
