"""What the journal tells: one model a kind of event. Other programs read the same models from the journal.

An event's row has its kind, who and what it is about in columns; `payload()` is what its `data` column holds: the
fields that the writer set, under their names here. A payload without `schema_version` is of version 1. Fields are
only ever added, and with a default: every event that a released version has written is read (`read_event`).

Places: `bay:STATION:BAY`, `vehicle:VEHICLE:SEAT`, `gripper:STATION:LANE`, `tank:STATION`, `off_site`.
`swap.places.place_of` gives the place of a pack row. Ids of bays and lanes here are those of the station file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from pydantic import Field
from pydantic.json_schema import models_json_schema

from scheduler.types import StationMode
from swap.messages.base import Event, Instant, Message
from swap.messages.commerce import BillIssued, BillReversed, BookingEvent, PricesSet, StrandingServed
from swap.messages.journal import JournalArchived, JournalEpoch
from swap.messages.packs import (
    BayBlocked,
    BayReleased,
    ChargeEnded,
    ChargeStarted,
    PackMoved,
    PackRead,
    PackStateChanged,
    ThermalStep,
)
from swap.messages.power import DrAnswered, DrSettled


class NotFulfilled(Message):
    """A permissive that does not hold."""

    name: str
    """As in the recipe, with `!` where the opposite is asked for."""
    value: bool | None
    """None: not known."""
    age_s: float | None


# The station and its controller


class StationModeChanged(Event):
    """The station's mode or the reason for it has changed."""

    kind: ClassVar = "station.mode"
    before: StationMode | None = Field(alias="from")
    """None at the first start."""
    after: StationMode = Field(alias="to")
    trigger: str | None = None
    """Trigger of the mode table; left out at the first start."""
    reason: str


class ControllerStarted(Event):
    """A controller has taken the station up."""

    kind: ClassVar = "controller.started"
    holder: str
    """Host, process and random token."""
    unclean: bool
    """The last controller ended without saying so."""
    held_for: str = ""
    """Why the station waits for a person: restart, swap_under_way; empty where it does not."""
    permitted_by_seq: int | None = None
    """Event of the permission by which the station goes on by itself."""


class ControllerStopped(Event):
    """A controller has given the station up."""

    kind: ClassVar = "controller.stopped"
    holder: str | None = None
    """As in `ControllerStarted`: what one controller started, only that one stops."""
    chargers_not_confirmed: dict[str, str] = Field(default_factory=dict)
    """Bays whose charger did not confirm 0 kW, and why."""
    holds_not_confirmed: tuple[str, ...] = ()
    """Lanes whose cell was asked to hold and did not answer."""


class RestartPermitted(Event):
    """A named person permits a planned restart: the station may go on by itself after it."""

    kind: ClassVar = "restart.permitted"
    until_at: Instant
    """The permission ends then, with the next start, or when the station is held before."""


class DatabaseSlow(Event):
    """Commits were waited for, and came."""

    kind: ClassVar = "database.slow"
    waited_s: float
    """The longest wait, real seconds."""


class DatabaseReturned(Event):
    """Written on return: the station was held without the database."""

    kind: ClassVar = "database.lost"
    reason: str
    lost_at: Instant
    held_at: Instant
    back_at: Instant
    lost_s: float
    """Real seconds."""
    chargers_not_confirmed: dict[str, str]


class ControlGap(Event):
    """Nobody looked at a cell, or nothing could be commanded, while a swap went on."""

    kind: ClassVar = "control.gap"
    what: str
    """looking or commanding."""
    gap_s: float
    """Real seconds."""


class ClockCorrected(Event):
    """Station time and the computer's clock differed."""

    kind: ClassVar = "clock.corrected"
    by_s: float
    """Seconds that the computer's clock was ahead; negative where it was behind."""
    how: str
    """slewed, stepped or held: see `swap.station.clock.Correction`."""


class RecordBegun(Event):
    """A named person begins a new record for cells that have worked before, under another database."""

    kind: ClassVar = "record.begun"
    numbers: dict[str, int]
    """By lane: the furthest command number that its cell shows; used from then on."""


class ResultTaken(Event):
    """A cell kept the result of a command that no swap waits for; put on record here before it is acknowledged."""

    kind: ClassVar = "cell.result_taken"
    seq: int
    result: str
    """done, failed or aborted."""
    command: str | None = None
    """State in which the command left, where it is on record."""


class Reconciled(Event):
    """The record was compared with what the sensors and the BMS see."""

    kind: ClassVar = "station.reconciled"
    examined: int
    mismatches: tuple[str, ...]
    """`place: on record / seen`."""


class RequestAnswered(Event):
    """The controller has answered a person's request; the event's actor is the person."""

    kind: ClassVar = "request.answered"
    request_id: int
    request: str = Field(alias="kind")
    """Kind of the request."""
    status: str
    """done, refused or expired."""
    answer: str
    """In English."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """What was asked, as in the request."""
    requested_at: Instant | None = None


class PersonErased(Event):
    """The name of a person has been erased from the register; the event's actor is who did it."""

    kind: ClassVar = "person.erased"
    person: str
    """`person:` and the id, under which everything stays on record."""


class TakenRow(Message):
    """A row as the station file has it."""

    table: str
    id: str
    values: dict[str, Any]
    """By column; empty where the row is gone with the file."""


class FileTaken(Event):
    """Rows that the station file has made, changed or removed: the station, its bays, the register, packs' owners."""

    kind: ClassVar = "file.taken"
    rows: tuple[TakenRow, ...]


# Swaps


class SwapQueued(Event):
    """A truck has checked in."""

    kind: ClassVar = "swap.queued"
    booking_id: str | None
    """None for a walk-in."""
    seats: int
    vehicle_id: str
    priority: int = 0
    odometer_km: float | None = None
    """As it was told at the gate."""


class SwapDispatched(Event):
    """A lane has called a truck."""

    kind: ClassVar = "swap.dispatched"
    state: str
    """First state of the recipe."""
    swap_order: str
    packs: tuple[str, ...]
    """Packs to put on, by seat."""
    from_bays: tuple[str, ...] = Field(alias="from")
    """Bays they come from."""
    to_bays: tuple[str, ...] = Field(alias="to")
    """Bays that the old packs go to."""
    recipe: str | None = None


class SwapCheck(Event):
    """A pre-check has changed."""

    kind: ClassVar = "swap.check"
    check: str
    result: str
    tries: int


class SwapStepStarted(Event):
    """A command has been issued for the first time under its number."""

    kind: ClassVar = "swap.step_started"
    state: str
    seq: int
    command: str
    tries: int
    source: int | None = None
    """Code of the place that it takes from, as in the command; 0 for none."""
    target: int | None = None
    vehicle_tag: int | None = None


class SwapStepDone(Event):
    """The sensors confirm a state's work."""

    kind: ClassVar = "swap.step_done"
    state: str
    next: str
    seq: int | None
    """None where the state has no command."""
    took_s: float


class SwapStepFailed(Event):
    """A state's work has failed."""

    kind: ClassVar = "swap.step_failed"
    state: str
    fault: str
    action: str
    """What the recipe does about it: retry, unwind, stop or person."""
    next: str
    """The same state when it is tried again or a person decides."""
    seq: int | None
    fault_code: int | None = None
    """As the cell shows it."""
    fault_level: int | None = None
    missing: tuple[NotFulfilled, ...] = ()


class SwapRefused(Event):
    """The next command was not sent: permissives are missing or stale."""

    kind: ClassVar = "swap.refused"
    state: str
    missing: tuple[NotFulfilled, ...]


class SwapDiverted(Event):
    """A truck's own pack was judged unfit before its locks were opened: it goes into quarantine."""

    kind: ClassVar = "swap.diverted"
    state: str
    seat: int
    pack: str | None
    """Code on record."""
    planned: str | None
    """Bay that it would have gone to."""
    bay: str
    """Quarantine bay that it goes to."""
    missing: tuple[NotFulfilled, ...]
    """What speaks against it."""


class SwapPacksTold(Event):
    """The vehicle has been told, at the cell, which packs it is to accept."""

    kind: ClassVar = "swap.packs_told"
    packs: dict[str, str]
    """Code by seat."""


class SwapHeld(Event):
    """A swap waits for a person. Which of the fields say why depends on the reason."""

    kind: ClassVar = "swap.held"
    state: str | None = None
    """Left out where a restart interrupted it."""
    reason: str
    """trip, guard_lost, unsecured, link_lost, mode, restart, fault, timeout, check_failed, cell_changed or
    unknown_result."""
    signal: str | None = None
    """Of a trip."""
    missing: tuple[NotFulfilled, ...] = ()
    """Lost guards, facts of an unsecured vehicle, or permissives behind a fault."""
    age_s: float | None = None
    """Of the last status when the link was lost; None when there never was one."""
    mode: str | None = None
    """Mode of the station or the cell that forbids motion."""
    fault: str | None = None
    fault_code: int | None = None
    fault_level: int | None = None
    seq: int | None = None
    """Command whose time has passed, or whose result is not on record."""
    active: bool | None = None
    """The cell still works on it."""
    result: str | None = None
    """What the cell says of it: done, failed or aborted."""
    check: str | None = None
    tries: int | None = None


class SwapResumed(Event):
    """A person's decision on a held swap was carried out; the event's actor is the person."""

    kind: ClassVar = "swap.resumed"
    state: str
    decision: str
    next: str


class SwapTowedOut(Event):
    """People have taken a vehicle out of the lane that the station did not release; the event's actor is who says so.
    The vehicle was not seen to accept its packs. `swap.completed` or `swap.cancelled` follows."""

    kind: ClassVar = "swap.towed_out"
    state: str
    """Where the swap stood."""
    exchanged: tuple[int, ...] = ()
    """Seats with a new pack."""


class SwapEnded(Event):
    """Base of the ends of a swap."""

    seats: int
    """Seats that have got a new pack."""
    exchanged: tuple[int, ...] = ()


class PackGivenBack(Message):
    """What the record knows of a pack that a swap has taken off a vehicle: with its reading, its bill rests on it."""

    seat: int
    pack_id: str | None
    """None where nobody knew which one it was."""
    rated_kwh: float | None
    last_settled_soe_kwh: float | None
    """Energy when it was put on the vehicle, at whichever station."""
    put_on_by_swap: bool
    """A swap had put it on this vehicle, at whichever station."""


class SwapCompleted(SwapEnded):
    """Every seat has its new pack, or each of `exchanged`; a bill is made from this event."""

    kind: ClassVar = "swap.completed"
    given_back: tuple[PackGivenBack, ...] = ()
    """By seat; events of earlier releases tell none."""


class SwapReturned(SwapEnded):
    """The old packs were put back."""

    kind: ClassVar = "swap.returned"


class SwapCancelled(SwapEnded):
    """The swap was called off before anything was moved, or the vehicle was towed out without an exchange."""

    kind: ClassVar = "swap.cancelled"
    reason: str | None = None


# Faults


class FaultRaised(Event):
    """A fault is open."""

    kind: ClassVar = "fault.raised"
    name: str
    code: int
    level: int
    source: str
    """Device or place: `lane:L1`, `bay:A3`, `meter`."""
    fault_id: int | None = None
    detail: dict[str, Any] = Field(default_factory=dict)
    """What is known of it, as in its row."""


class FaultAcknowledged(Event):
    """A named person has seen a fault."""

    kind: ClassVar = "fault.acknowledged"
    fault_id: int
    code: int
    source: str


class FaultCleared(Event):
    """A fault's condition is gone, or a person has closed it."""

    kind: ClassVar = "fault.cleared"
    code: int
    source: str
    fault_id: int


AnyEvent = (
    StationModeChanged
    | ControllerStarted
    | ControllerStopped
    | RestartPermitted
    | DatabaseSlow
    | DatabaseReturned
    | ControlGap
    | ClockCorrected
    | RecordBegun
    | ResultTaken
    | JournalEpoch
    | JournalArchived
    | Reconciled
    | RequestAnswered
    | FileTaken
    | PersonErased
    | SwapQueued
    | SwapDispatched
    | SwapCheck
    | SwapStepStarted
    | SwapStepDone
    | SwapStepFailed
    | SwapRefused
    | SwapHeld
    | SwapResumed
    | SwapCompleted
    | SwapReturned
    | SwapTowedOut
    | SwapDiverted
    | SwapPacksTold
    | SwapCancelled
    | PackMoved
    | PackStateChanged
    | PackRead
    | BayBlocked
    | BayReleased
    | ChargeStarted
    | ChargeEnded
    | ThermalStep
    | FaultRaised
    | FaultAcknowledged
    | FaultCleared
    | DrAnswered
    | DrSettled
    | BookingEvent
    | StrandingServed
    | BillIssued
    | BillReversed
    | PricesSet
)
"""Any event."""

EVENTS: dict[str, type[AnyEvent]] = {model.kind: model for model in get_args(AnyEvent)}
"""Model by kind."""


def read_event(kind: str, data: Mapping[str, Any]) -> AnyEvent:
    """The event of a row. Raises ValueError where no version of this program has written such a one."""
    return _model(kind).read(data)


def read_event_text(kind: str, data: str) -> AnyEvent:
    """The same of a row whose `data` is the text that is stored."""
    return _model(kind).read_text(data)


def _model(kind: str) -> type[AnyEvent]:
    model = EVENTS.get(kind)
    if model is None:
        raise ValueError(f"event kind {kind!r} is unknown: allowed {', '.join(EVENTS)}")
    return model


def events_schema() -> dict[str, Any]:
    """JSON Schema of an entry's `kind` and `data`, as the journal and the HTTP interface give them."""
    parts, definitions = models_json_schema(
        [(model, "validation") for model in EVENTS.values()], by_alias=True, ref_template="#/$defs/{model}"
    )
    entries = [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, "data": parts[(model, "validation")]},
            "required": ["kind", "data"],
        }
        for kind, model in EVENTS.items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Station events",
        "oneOf": entries,
        "$defs": definitions["$defs"],
    }
