"""What leaves the swap room about a station: frozen records, which the HTTP interface gives out as they are.

A thing has three forms: the *row* (`swap/tables`), the frozen *fact* that a decision takes (`scheduler/types.py`),
and its *record* here. Names carry units; instants are UTC; money and unit prices are decimal yuan; what is not
known is None.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, type_coerce
from sqlmodel.sql.sqltypes import UTCDateTime

from scheduler.waiting import Wait
from swap.messages.answers import Answer
from swap.tables.base import Utc

T = TypeVar("T")


def column(table: type[Any], name: str) -> ColumnElement[Any]:
    """A column as lists read it."""
    found: ColumnElement[Any] = getattr(table, name)
    return type_coerce(found, Utc()) if isinstance(found.type, UTCDateTime) else found


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def of(cls, row: object, **more: Any) -> Self:
        """The record of a row: fields by their names, and `more` for what the row has not or calls otherwise."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields if name not in more}, **more)

    @classmethod
    def columns(cls, table: type[Any], **renamed: str) -> list[ColumnElement[Any]]:
        """The columns of a table that records are made from, in the order of their fields; a list of records is read
        so: rows that nobody changes need not be objects of the session.

        Args:
            renamed: what the table calls a field that the record calls otherwise.
        """
        return [column(table, renamed.get(name, name)).label(name) for name in cls.model_fields]


class Page(Record, Generic[T]):
    """Some items and where the next page starts."""

    # Each kind of page would look for the docstrings again, through every frame that imports it.
    model_config = ConfigDict(use_attribute_docstrings=False)

    items: tuple[T, ...]
    next_cursor: str | None = Field(default=None, description="None when this is the last page.")


class StationRecord(Record):
    """Who the station is and what it may do now."""

    station_id: str
    name_zh: str
    name_en: str
    timezone: str
    operator_id: str
    mode: str
    mode_reason: str
    mode_since_at: datetime
    version: int
    controller: str | None
    """Host and process of the controller whose lease is fresh; None when none runs."""


class PackRecord(Record):
    """One pack, where it is, and its last stored reading."""

    pack_id: str
    kind: str
    owner_id: str
    state: str
    state_since_at: datetime
    place: str
    """`bay:A3`, `vehicle:YQ-001:1` (seat), `gripper:L1`, `tank` or `off_site`."""
    rated_kwh: float
    soh_pct: float
    energy_kwh: float | None
    soc_pct: float | None
    temp_max_c: float | None
    reading_at: datetime | None
    charged_kwh: float
    """Charged into it here since the record began."""


class BayRecord(Record):
    """One bay and what is in it."""

    bay_id: str
    position: int
    role: str
    blocked: bool
    blocked_reason: str
    charge_kw: float | None
    reading_fresh: bool
    """The controller hears the BMS of this bay; False where it does not, or where no controller runs."""
    setpoint_kw: float | None
    limited_by: str
    """Limit that decided the set-point; empty while no plan was made."""
    reserved_by: str | None
    """Open swap that takes its pack from here or puts one down here."""
    ready_at: datetime | None
    """When its pack is expected to be charged enough to be offered, by the charging plan carried forward without
    further trucks; None for a ready one, and where no end is in sight."""
    pack: PackRecord | None


class SwapRecord(Record):
    """One swap, without packs, bills and timeline."""

    swap_id: str
    vehicle_id: str
    fleet_id: str
    booking_id: str | None
    lane_id: str | None
    recipe: str | None
    pack_count: int
    priority: int
    state: str
    phase: str
    tries: int
    entered_at: datetime
    deadline_at: datetime | None
    hold_reason: str | None
    hold_detail: dict[str, Any]
    checks: dict[str, Any]
    arrived_at: datetime
    dispatched_at: datetime | None
    ended_at: datetime | None
    end_reason: str


class WaitRecord(Record):
    """What a lane or a waiting truck waits for, as the controller found it last."""

    cause: Wait
    """Why; each cause says what `names` and `number` are (`scheduler.waiting.Wait`)."""
    names: tuple[str, ...]
    number: int | None
    until_at: datetime | None
    """When it is expected to end; of a step under way, by when at the latest. None where nobody knows."""


class LaneRecord(Record):
    """One lane, the swap in it and what its gripper holds."""

    lane_id: str
    name_zh: str
    name_en: str
    recipe: str
    swap_order: str
    swap: SwapRecord | None
    gripper_pack_id: str | None
    refused: tuple[str, ...]
    """Permissives that kept the next command from being sent when it was last tried."""
    waits_for: WaitRecord | None
    """None while no controller has looked, and where none runs."""


class QueueRecord(Record):
    """One truck that has checked in and waits for a lane."""

    swap_id: str
    vehicle_id: str
    arrived_at: datetime
    priority: int
    booked_from_at: datetime | None
    booked_until_at: datetime | None
    waits_for: WaitRecord | None
    """None while no controller has looked, and where none runs."""


class SiteRecord(Record):
    """Power of the site at one instant."""

    at: datetime
    import_kw: float | None
    charge_kw: float | None
    limit_kw: float
    pv_kw: float | None
    storage_kw: float | None
    storage_kwh: float | None
    ready_packs: int
    queue_length: int


class FaultRecord(Record):
    """One occurrence of a fault."""

    fault_id: int
    code: int
    level: int
    source: str
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    cleared_at: datetime | None
    data: dict[str, Any]


class AvailabilityRecord(Record):
    """What a station shows everyone."""

    station_id: str
    mode: str
    ready_packs: dict[str, int]
    """Packs that could be given out now, by kind; those promised to nobody."""
    trucks_waiting: int
    """Trucks that have checked in and wait for a lane."""


class StationState(Record):
    """The live state of one station in one database snapshot."""

    station: StationRecord
    bays: tuple[BayRecord, ...]
    """In rack order."""
    lanes: tuple[LaneRecord, ...]
    queue: tuple[QueueRecord, ...]
    """In the order in which trucks are served."""
    site: SiteRecord | None
    faults: tuple[FaultRecord, ...]
    """Open ones, worst first."""


class EventRecord(Record):
    """One entry of the journal."""

    event_id: int
    at: datetime
    kind: str
    actor: str
    """Name of a person or a machine."""
    actor_kind: Literal["person", "controller", "machine"]
    """Who acted: a person, whatever the name is, the station's controller, or another program."""
    actor_id: str
    """As the journal has it: `person:` and an id, or the machine's name."""
    swap_id: str | None
    pack_id: str | None
    bay_id: str | None
    lane_id: str | None
    cause_id: int | None
    data: dict[str, Any]
    """The fields of the event's message (`swap.messages.events`)."""


class SeatRecord(Record):
    """The packs exchanged in one seat."""

    seat: int
    old_pack_id: str | None
    new_pack_id: str | None
    old_bay_id: str | None
    """Where the pack taken off went."""
    new_bay_id: str | None
    """Where the pack put on came from."""
    last_settled_soe_kwh: float | None
    returned_soe_kwh: float | None
    returned_soc_pct: float | None
    installed_soe_kwh: float | None
    installed_soc_pct: float | None


class BillLineRecord(Record):
    """One line of a bill."""

    line_no: int
    kind: str
    seat: int | None
    pack_id: str | None
    payee_id: str
    energy_kwh: Decimal
    unit_price_yuan_per_kwh: Decimal
    amount_yuan: Decimal
    buyer_id: str
    sale: Literal["own", "collected"]
    for_id: str | None
    tax_included: bool
    tax_category: str
    tax_rate: Decimal
    tax_yuan: Decimal
    priced_at: datetime | None
    """The instant whose price it has; null in bills of earlier releases."""
    tariff_period: str | None
    prices_event_id: int | None
    """Event that tells the prices which the station had then."""
    contract_id: str | None
    contract_version: int | None
    basis: dict[str, Any]


class BillRecord(Record):
    """One bill."""

    bill_id: str
    swap_id: str
    kind: str
    payer_id: str
    issued_at: datetime
    total_yuan: Decimal
    """What is owed by it, with tax."""
    flags: tuple[str, ...]
    lines: tuple[BillLineRecord, ...]


class SwapStory(SwapRecord):
    """One swap with its packs, its bills and its timeline."""

    seats: tuple[SeatRecord, ...]
    bills: tuple[BillRecord, ...]
    timeline: tuple[EventRecord, ...] = ()
    """Empty where it was not asked for."""
    estimated_start_at: datetime | None = None
    """When it is expected to be called, while it waits in the queue; None where nobody knows."""
    waits_for: WaitRecord | None = None
    """What an open swap waits for: in the queue what the truck does, in a lane what the lane does. None of an ended
    one, while no controller has looked, and where none runs."""


class BookingRecord(Record):
    """One booking."""

    booking_id: str
    station_id: str
    vehicle_id: str
    window_start_at: datetime
    window_end_at: datetime
    status: str
    kinds: tuple[str, ...]
    """Pack kinds that are promised, any of them."""
    packs: int
    """Packs that the truck exchanges."""
    min_kwh: float
    """Least energy in each pack handed out."""
    priority: int
    """Of its contract's class; higher goes first."""
    promised_in: str
    """Mode of the station when it was promised; not `automatic`: on the expectation that it is back by then."""
    trouble: str
    """Why a disrupted promise cannot be kept as things stand; empty while it can."""
    alternative_start_at: datetime | None
    """Of a disrupted booking: another window, kept for it."""
    alternative_end_at: datetime | None
    alternative_until_at: datetime | None
    """Until when the alternative is kept."""
    standing_id: str | None
    """The standing booking that made it."""
    standing_on: str | None
    """The local day for which that made it."""
    created_at: datetime


class StandingRecord(Record):
    """A rule that books the same window on certain weekdays."""

    standing_id: str
    station_id: str
    vehicle_id: str
    status: str
    weekdays: tuple[int, ...]
    """1 Monday … 7 Sunday."""
    local_time: str
    """Begin of the window in the station's zone, `07:10`."""
    window_min: int
    kinds: tuple[str, ...]
    packs: int
    min_kwh: float
    starts_on: str
    """First local day."""
    ends_on: str | None
    """Last local day; None: until it is ended."""
    exceptions: tuple[str, ...]
    """Local days on which it does not book."""
    made_until: str | None
    """The last local day that has been dealt with."""
    created_at: datetime


class OfferedPacks(Record):
    """Packs of one kind that are expected to be charged when a window opens."""

    kind: str
    ready: int
    """Of those in the rack now, promised or not."""
    most_kwh: float
    """Energy of the fullest of them then."""


class OfferRecord(Record):
    """A window that can be promised now."""

    window_start_at: datetime
    window_end_at: datetime
    kind: str
    """The kind that a truck would get."""
    packs: tuple[OfferedPacks, ...]
    promised_in: str
    """Mode of the station; not `automatic`: on the expectation that it is back by then."""


class RequestRecord(Record):
    """One request of a person and its answer."""

    request_id: int
    kind: str
    arguments: dict[str, Any]
    requested_by: str
    requested_at: datetime
    status: str
    answered_at: datetime | None
    answer: str
    """In English."""
    answer_parts: tuple[Answer, ...]
    """The same as codes and values, for another language."""
