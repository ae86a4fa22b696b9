"""Models of the HTTP interface. Inputs refuse unknown fields; tables never leave as they are.

Names carry units; instants are ISO 8601 with an offset; money and unit prices are decimal strings in yuan.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

T = TypeVar("T")

VehicleId = Annotated[str, Field(min_length=1, max_length=20, examples=["YQ-001"])]
StationId = Annotated[str, Field(min_length=1, max_length=32, examples=["yangquan-mine"])]
PersonName = Annotated[str, Field(min_length=1, max_length=64, examples=["Operator A"])]


class Input(BaseModel):
    """Base of what comes in."""

    model_config = ConfigDict(extra="forbid")


class Output(BaseModel):
    """Base of what goes out; filled from the frozen records of the swap room."""

    model_config = ConfigDict(from_attributes=True)


class FieldProblem(Output):
    """One value that is not allowed."""

    field: str
    value: Any = None
    allowed: str | None = None
    message: str


class Problem(Output):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str | None = None
    problems: list[FieldProblem] = []
    related: dict[str, str] = {}
    """Records in the way, by what they are: an open swap, the next free window."""


class PageOut(Output, Generic[T]):
    """Some items and where the next page starts."""

    items: list[T]
    next_cursor: str | None = None


class StationOut(Output):
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


class PackOut(Output):
    """One pack."""

    pack_id: str
    kind: str
    owner_id: str
    state: str
    state_since_at: datetime
    place: str
    rated_kwh: float
    soh_pct: float
    energy_kwh: float | None
    soc_pct: float | None
    temp_max_c: float | None
    reading_at: datetime | None
    charged_kwh: float


class BayOut(Output):
    """One bay."""

    bay_id: str
    position: int
    role: str
    blocked: bool
    blocked_reason: str
    charge_kw: float | None
    setpoint_kw: float | None
    limited_by: str
    reserved_by: str | None
    pack: PackOut | None


class SwapOut(Output):
    """One swap, without packs and bills."""

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


class LaneOut(Output):
    """One lane."""

    lane_id: str
    name_zh: str
    name_en: str
    recipe: str
    swap_order: str
    swap: SwapOut | None
    gripper_pack_id: str | None
    refused: list[str]
    """Permissives that the next command waits for."""


class QueueOut(Output):
    """One waiting truck."""

    swap_id: str
    vehicle_id: str
    arrived_at: datetime
    priority: int
    booked_from_at: datetime | None
    booked_until_at: datetime | None


class SiteOut(Output):
    """Power of the site."""

    at: datetime
    import_kw: float | None
    charge_kw: float | None
    limit_kw: float
    ready_packs: int
    queue_length: int


class FaultOut(Output):
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


class StateOut(Output):
    """The live state of a station."""

    station: StationOut
    bays: list[BayOut]
    lanes: list[LaneOut]
    queue: list[QueueOut]
    site: SiteOut | None
    faults: list[FaultOut]


class EventOut(Output):
    """One entry of the journal."""

    event_id: int
    at: datetime
    kind: str
    actor: str
    swap_id: str | None
    pack_id: str | None
    bay_id: str | None
    lane_id: str | None
    cause_id: int | None
    data: dict[str, Any]


class SeatOut(Output):
    """The packs exchanged in one seat."""

    seat: int
    old_pack_id: str | None
    new_pack_id: str | None
    old_bay_id: str | None
    new_bay_id: str | None
    last_settled_soe_kwh: float | None
    returned_soe_kwh: float | None
    returned_soc_pct: float | None
    installed_soe_kwh: float | None
    installed_soc_pct: float | None


class BillLineOut(Output):
    """One line of a bill."""

    line_no: int
    kind: str
    seat: int | None
    pack_id: str | None
    payee_id: str
    energy_kwh: Decimal
    unit_price_yuan_per_kwh: Decimal
    amount_yuan: Decimal
    basis: dict[str, Any]


class BillOut(Output):
    """One bill."""

    bill_id: str
    swap_id: str
    kind: str
    payer_id: str
    issued_at: datetime
    total_yuan: Decimal
    flags: list[str]
    lines: list[BillLineOut]


class SwapItem(SwapOut):
    """One swap with its packs, its bills and its timeline."""

    seats: list[SeatOut]
    bills: list[BillOut]
    timeline: list[EventOut]


class BookingIn(Input):
    """A swap wanted in a time window."""

    vehicle_id: VehicleId
    station_id: StationId | None = None
    """None: the station this server runs."""
    window_start_at: AwareDatetime
    window_end_at: AwareDatetime


class BookingOut(Output):
    """One booking."""

    booking_id: str
    station_id: str
    vehicle_id: str
    window_start_at: datetime
    window_end_at: datetime
    status: str
    created_at: datetime


class CheckIn(Input):
    """A truck at the gate."""

    vehicle_id: VehicleId
    station_id: StationId | None = None
    booking_id: str | None = Field(default=None, max_length=32)
    """None: the vehicle's open booking if its window is now, else none."""


class SwapAccepted(Output):
    """The swap that a check-in opened."""

    swap_id: str
    state: str
    booking_id: str | None


class Arguments(Input):
    """What a request is about; which fields are needed depends on its kind."""

    swap_id: str | None = Field(default=None, max_length=32)
    lane_id: str | None = Field(default=None, max_length=32)
    bay_id: str | None = Field(default=None, max_length=32)
    pack_id: str | None = Field(default=None, max_length=24)
    decision: str | None = Field(default=None, max_length=32)
    reason: str | None = Field(default=None, max_length=200)


class RequestIn(Input):
    """What a person asks of the controller."""

    kind: Literal[
        "confirm",
        "hold",
        "resume",
        "manual",
        "reset",
        "automatic",
        "close",
        "release_pack",
        "release_bay",
        "cancel_swap",
        "decide",
    ]
    arguments: Arguments = Arguments()
    name: PersonName
    station_id: StationId | None = None


class AnswerOut(Output):
    """One statement of an answer; a value may hold statements of its own."""

    code: str
    values: dict[str, str | tuple[AnswerOut, ...]]


class RequestOut(Output):
    """A request and its answer."""

    request_id: int
    kind: str
    arguments: dict[str, Any]
    requested_by: str
    requested_at: datetime
    status: str
    answered_at: datetime | None
    answer: str
    """In English."""
    answer_parts: tuple[AnswerOut, ...]
    """The same as codes and values, for another language."""


class AcknowledgeIn(Input):
    """Who has seen the fault."""

    name: PersonName
