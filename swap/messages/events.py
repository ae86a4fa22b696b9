"""What the journal tells: one model a kind of event. Other programs read the same models from the journal.

An event's row has its kind, who and what it is about in columns; `payload()` is what its `data` column holds: the
fields that the writer set, under their names here. A payload without `schema_version` is of version 1. Fields are
only ever added, and with a default: every event that a released version has written is read (`read_event`).

Places: `bay:STATION:BAY`, `vehicle:VEHICLE:SEAT`, `gripper:STATION:LANE`, `tank:STATION`, `off_site`.
`swap.places.place_of` gives the place of a pack row. Ids of bays and lanes here are those of the station file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.json_schema import models_json_schema

from scheduler.types import PackState, StationMode
from swap.journal.chain import EPOCH_KIND


def _isoformat(at: datetime) -> str:
    return at.isoformat()


Instant = Annotated[AwareDatetime, PlainSerializer(_isoformat, when_used="json")]


class Message(BaseModel):
    """Base of events and their parts: frozen, strict, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_by_name=True, use_attribute_docstrings=True
    )


class Event(Message):
    """Base of all events."""

    kind: ClassVar[str]
    """As in the row's `kind` column."""
    schema_version: Literal[1] = 1

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """The event that a row's `data` tells. Raises ValidationError, a ValueError, where it does not fit."""
        # Strict, yet as JSON has it: a list is read as a tuple, a text as an instant or a code.
        return cls.model_validate_json(json.dumps(data))

    def payload(self) -> dict[str, Any]:
        """What the row's `data` holds."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


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


class ControllerStopped(Event):
    """A controller has given the station up."""

    kind: ClassVar = "controller.stopped"
    holder: str | None = None
    """As in `ControllerStarted`: what one controller started, only that one stops."""
    chargers_not_confirmed: dict[str, str] = {}
    """Bays whose charger did not confirm 0 kW, and why."""


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


class JournalHead(Message):
    """The newest event of a journal that is known outside of the table."""

    epoch: int
    seq: int
    hash: str


class JournalEpoch(Event):
    """The database was restored from a copy; the event's actor is the person. What the copy did not hold is gone."""

    kind: ClassVar = EPOCH_KIND
    from_epoch: int
    """The head that the copy ended with."""
    from_seq: int
    from_hash: str
    lost: JournalHead | None
    """The newest head known outside of the copy; None where none is known."""
    copy_name: str = Field(alias="copy")


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


# Swaps


class SwapQueued(Event):
    """A truck has checked in."""

    kind: ClassVar = "swap.queued"
    booking_id: str | None
    """None for a walk-in."""
    seats: int
    vehicle_id: str


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


class SwapHeld(Event):
    """A swap waits for a person. Which of the fields say why depends on the reason."""

    kind: ClassVar = "swap.held"
    state: str | None = None
    """Left out where a restart interrupted it."""
    reason: str
    """trip, guard_lost, link_lost, mode, restart, fault, timeout, check_failed, cell_changed or unknown_result."""
    signal: str | None = None
    """Of a trip."""
    missing: tuple[NotFulfilled, ...] = ()
    """Lost guards, or permissives behind a fault."""
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


class SwapEnded(Event):
    """Base of the ends of a swap."""

    seats: int
    """Seats that have got a new pack."""
    exchanged: tuple[int, ...] = ()


class SwapCompleted(SwapEnded):
    """Every seat has its new pack; a bill is made from this event."""

    kind: ClassVar = "swap.completed"


class SwapReturned(SwapEnded):
    """The old packs were put back."""

    kind: ClassVar = "swap.returned"


class SwapCancelled(SwapEnded):
    """The swap was called off before anything was moved."""

    kind: ClassVar = "swap.cancelled"
    reason: str | None = None


# Packs, bays, charging


class PackMoved(Event):
    """A pack is in another place."""

    kind: ClassVar = "pack.moved"
    source: str = Field(alias="from")
    target: str = Field(alias="to")


class PackStateChanged(Event):
    """A pack's state has changed."""

    kind: ClassVar = "pack.state"
    before: PackState = Field(alias="from")
    after: PackState = Field(alias="to")
    trigger: str
    """Trigger of the table of pack states."""
    reason: str | None = None


class PackRead(Event):
    """A reading that a bill rests on."""

    kind: ClassVar = "pack.reading"
    energy_kwh: float
    soc_pct: float | None
    soh_pct: float | None
    temp_max_c: float | None


class BayBlocked(Event):
    """A bay is out of use until a person releases it."""

    kind: ClassVar = "bay.blocked"
    reason: str


class BayReleased(Event):
    """A bay is back in use."""

    kind: ClassVar = "bay.released"
    reason: str
    """Why it was blocked."""


class ChargeStarted(Event):
    """A pack takes energy."""

    kind: ClassVar = "charge.started"
    energy_kwh: float
    """In the pack at the beginning."""
    meter_kwh: float | None
    """Reading of the charger's own meter."""


class ChargeEnded(Event):
    """A pack takes no more energy."""

    kind: ClassVar = "charge.ended"
    gained_kwh: float
    meter_kwh: float | None


class HotPackReading(Message):
    """One of the last readings before a hot pack was detected."""

    at: Instant
    temp_max_c: float | None
    cell_min_v: float | None
    charge_kw: float | None


class ThermalStep(Event):
    """The procedure for a hot pack has reached a stage. Which of the fields are there depends on it."""

    kind: ClassVar = "thermal.step"
    bay: str
    stage: str
    """detected, charging_stopped, evacuation_started, evacuated or isolated."""
    since_s: float
    """Since the detection."""
    causes: tuple[str, ...] = ()
    readings: tuple[HotPackReading, ...] = ()
    confirmed: bool | None = None
    """A reading shows that charging has stopped."""
    seq: int | None = None
    """Command that carries the pack to the tank."""
    bars: dict[str, tuple[str, ...]] = {}
    """Why the pack stays, by lane."""


# Faults


class FaultRaised(Event):
    """A fault is open."""

    kind: ClassVar = "fault.raised"
    name: str
    code: int
    level: int
    source: str
    """Device or place: `lane:L1`, `bay:A3`, `meter`."""


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


# Commerce


class BookingMade(Event):
    """A swap is promised in a time window."""

    kind: ClassVar = "booking.made"
    booking_id: str
    vehicle_id: str
    window_start_at: Instant
    window_end_at: Instant


class BookingEnded(Event):
    """A booking promises nothing any more."""

    kind: ClassVar = "booking.ended"
    booking_id: str
    status: str
    """fulfilled, failed, expired or cancelled."""
    reason: str


class BillIssued(Event):
    """A bill was made."""

    kind: ClassVar = "bill.issued"
    bill_id: str
    bill: str = Field(alias="kind")
    """swap or correction."""
    total_fen: int
    flags: tuple[str, ...]


class BillReversed(Event):
    """A bill was reversed by another one."""

    kind: ClassVar = "bill.reversed"
    bill_id: str
    """The reversal."""
    reverses: str
    total_fen: int
    reason: str


AnyEvent = (
    StationModeChanged
    | ControllerStarted
    | ControllerStopped
    | DatabaseSlow
    | DatabaseReturned
    | ControlGap
    | JournalEpoch
    | Reconciled
    | RequestAnswered
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
    | BookingMade
    | BookingEnded
    | BillIssued
    | BillReversed
)
"""Any event."""

EVENTS: dict[str, type[AnyEvent]] = {model.kind: model for model in get_args(AnyEvent)}
"""Model by kind."""


def read_event(kind: str, data: Mapping[str, Any]) -> AnyEvent:
    """The event of a row. Raises ValueError where no version of this program has written such a one."""
    model = EVENTS.get(kind)
    if model is None:
        raise ValueError(f"event kind {kind!r} is unknown: allowed {', '.join(EVENTS)}")
    return model.read(data)


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
