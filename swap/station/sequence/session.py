"""One truck's swap as stored, what a step may know of the world, and the effects it asks for.

The whole position of a swap is in :class:`Session`, so a killed process resumes from the stored row; the step
function over it is `sequencer.step()`.

Phases inside a state: *pending* (waiting for permissives or checks), *sent* (a command with a number is with
the cell), *confirming* (the cell says done, the sensors must agree), *held* (a named person must decide).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from robotics.port import RobotCommand
from scheduler.types import StationMode
from swap.messages.requests import DecisionKind
from swap.station.sequence.incoming import QuarantineBay
from swap.station.sequence.permissives import CellFacts, Missing, SeatPlan
from swap.station.sequence.recipe import Check, FaultAction, Move, StepRow
from swap.station.sequence.recovery import StepFault
from swap.station.sequence.secured import STRICT, SecuredNeeds


class Phase(StrEnum):
    """Where a session stands inside its state."""

    PENDING = "pending"
    SENT = "sent"
    CONFIRMING = "confirming"
    HELD = "held"


class HoldReason(StrEnum):
    """Why a session waits for a person."""

    TRIP = "trip"
    GUARD_LOST = "guard_lost"
    UNSECURED = "unsecured"
    """The vehicle is not secured, or not known to be, while it is worked on."""
    LINK_LOST = "link_lost"
    MODE = "mode"
    """The station as a whole is held, manual, in thermal or fire mode."""
    RESTART = "restart"
    FAULT = "fault"
    TIMEOUT = "timeout"
    CHECK_FAILED = "check_failed"
    CELL_CHANGED = "cell_changed"
    """The cell has begun a new epoch that nothing else explains: it lost its owner, tripped or paused between two
    looks."""
    UNKNOWN_RESULT = "unknown_result"
    """The cell waits for the acknowledgement of a command whose end is not on record."""


STATION_REASONS = frozenset(
    {HoldReason.TRIP, HoldReason.LINK_LOST, HoldReason.MODE, HoldReason.RESTART, HoldReason.CELL_CHANGED}
)
"""Holds that end when a person confirms the station; the others need a decision on the swap itself."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A named person's decision."""

    kind: DecisionKind
    by: str


@dataclass(frozen=True, slots=True)
class Session:
    """The stored position of one swap."""

    swap_id: str
    vehicle_tag: int
    state: str
    seats: tuple[SeatPlan, ...]
    entered_at: datetime
    phase: Phase = Phase.PENDING
    deadline_at: datetime | None = None
    seq: int | None = None
    tries: int = 0
    hold_reason: HoldReason | None = None
    hold_detail: Mapping[str, Any] = field(default_factory=dict)
    resumed: bool = False
    """The row was interrupted: its sensors may already show it done."""
    refused: tuple[str, ...] = ()
    checks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    checked_at: datetime | None = None
    exchanged: frozenset[int] = frozenset()
    """Seats whose new pack is on the vehicle."""
    opened: bool = False
    """An UNLOCK has been sent: the vehicle's locks may have been opened."""
    released: bool = False
    """A RELEASE has been sent: the driver may make ready and go."""
    vehicle_model: str = ""


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What one step may know."""

    now: datetime
    cell: CellFacts
    mode: StationMode
    next_seq: int
    speed: float = 1.0
    """Station seconds per real second, for limits that are real seconds."""
    link_lost_s: float = 3.0
    checks: Mapping[Check, bool | None] = field(default_factory=dict)
    decision: Decision | None = None
    last_sent_at: datetime | None = None
    cell_changed: bool = False
    """The cell's epoch is another than the one the swap goes by."""
    result_known: bool = True
    """The end of the command whose result the cell shows is on record."""
    needs: SecuredNeeds = STRICT
    """What the vehicle's model asks while it is worked on."""
    hot_c: float = 50.0
    """Temperature from which the vehicle's own pack is not taken off."""
    hot_load: bool = False
    """A hot pack may hang in the gripper, where a failed evacuation has left it."""
    quarantined_for: frozenset[str] = frozenset()
    """What may speak against the vehicle's own pack and sends it into quarantine; else its heads stay closed."""
    quarantine_bay: QuarantineBay | None = None
    """A bay that such a pack of the row's seat can go into; looked for where there is one."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write the command; stored in the session before."""

    command: RobotCommand
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Tell the cell that the result of a number is stored."""

    seq: int


@dataclass(frozen=True, slots=True)
class HoldRobot:
    """Ask the cell to stop after its current safe motion."""

    reason: str


@dataclass(frozen=True, slots=True)
class StationHold:
    """The whole station must be held until a named person confirms."""

    reason: str


@dataclass(frozen=True, slots=True)
class StepDone:
    """A row is done and confirmed; `move` is to be stored."""

    row: StepRow
    plan: SeatPlan
    move: Move | None
    seq: int | None
    following: str


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A row failed; what follows."""

    row: StepRow
    fault: StepFault
    action: FaultAction
    seq: int | None
    following: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command was not sent because these facts do not hold."""

    row: StepRow
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class Diverted:
    """The vehicle's own pack goes into quarantine instead of the bay that was planned; to be stored before UNLOCK."""

    row: StepRow
    before: SeatPlan
    plan: SeatPlan
    unfit: tuple[Missing, ...]
    """What speaks against it."""


@dataclass(frozen=True, slots=True)
class CheckChanged:
    """A pre-check changed its result."""

    check: Check
    result: str
    tries: int


@dataclass(frozen=True, slots=True)
class Held:
    """The session now waits for a person."""

    reason: HoldReason
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person decided in `state`; the swap goes on in `following`."""

    decision: Decision
    state: str
    following: str


@dataclass(frozen=True, slots=True)
class TowedOut:
    """People have taken the vehicle out of the lane; nobody has seen that it accepts its packs."""

    decision: Decision
    state: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The session reached a terminal state."""

    state: str
    exchanged: frozenset[int]


Effect = (
    Send
    | Acknowledge
    | HoldRobot
    | StationHold
    | StepDone
    | StepFailed
    | Refusal
    | Diverted
    | CheckChanged
    | Held
    | Resumed
    | TowedOut
    | Ended
)
Result = tuple[Session, tuple[Effect, ...]]
