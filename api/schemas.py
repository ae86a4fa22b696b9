"""What comes in over HTTP, and the answers that are not records; records go out as `swap.reading.records` has them.

Inputs refuse unknown fields. Names carry units; instants are ISO 8601 with an offset; money and unit prices are
decimal strings in yuan.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from swap.messages.requests import REQUESTS, Request, arguments_schema, read_request
from swap.messages.values import LARGEST_ROW, unfit_character
from swap.reading.records import SwapStory, WaitRecord

FIRST_AT, LAST_AT = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _in_utc(at: datetime) -> datetime:
    """An instant that everybody can count with, in UTC."""
    try:
        utc = at.astimezone(UTC)
    except OverflowError:
        utc = LAST_AT
    if not FIRST_AT <= utc < LAST_AT:
        limits = {"first": FIRST_AT.date().isoformat(), "last": LAST_AT.date().isoformat()}
        raise PydanticCustomError("instant_range", "must lie between {first} and {last}", limits)
    return utc


def _fit(text: str) -> str:
    character = unfit_character(text)
    if character is not None:
        raise PydanticCustomError("unfit_text", "holds the character {character}", {"character": character})
    return text


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""ISO 8601 with an offset, from 2000 to 2200."""
Text = Annotated[str, AfterValidator(_fit)]
"""A text of a form; bodies of JSON and addresses are judged as a whole (`api.edge`)."""
FromAt = Annotated[Instant | None, Query(alias="from", description="Only what is from this instant on.")]
ToAt = Annotated[Instant | None, Query(alias="to", description="Only what is before this instant.")]
RowId = Annotated[int, Field(ge=1, le=LARGEST_ROW)]
"""Number of a row."""
AccountId = Annotated[str, Field(min_length=1, max_length=96, examples=["operator:receivable:fleet-a"])]
"""Id of an account: firm, kind and what it is kept for."""
FirmId = Annotated[str, Field(min_length=1, max_length=32, examples=["fleet-a"])]
FirmQuery = Annotated[str | None, Query(max_length=32, description="Only those of a firm.")]
RecordId = Annotated[str, Field(min_length=1, max_length=64)]
"""Id of a record in an address."""
VehicleId = Annotated[str, Field(min_length=1, max_length=20, examples=["YQ-001"])]
StationId = Annotated[str, Field(min_length=1, max_length=32, examples=["yangquan-mine"])]
PackKinds = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=32)], ...], Field(max_length=20)]
Energy = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]
"""kWh."""
Day = Annotated[date, Field(ge=FIRST_AT.date(), lt=LAST_AT.date(), examples=["2026-09-01"])]
"""A local day of the station."""
Days = Annotated[tuple[Day, ...], Field(max_length=1000)]


ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["07:10"])]
"""A local time to the minute."""
PersonName = Annotated[str, Field(min_length=1, max_length=64, examples=["Operator A"])]


class WaitOut(WaitRecord):
    """What a lane, or a truck in the queue, waits for: as a cause, and as a sentence."""

    text: str
    """In the language that is asked for (`Accept-Language`), else in English; times in the station's zone."""


class SwapOut(SwapStory):
    """One swap with its packs, its bills, its timeline and what it waits for."""

    waits_for: WaitOut | None
    """None of an ended swap, while no controller has looked, and where none runs."""


class Input(BaseModel):
    """Base of what comes in."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Output(BaseModel):
    """Base of what goes out and is no record."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class FieldProblem(Output):
    """One value that is not allowed."""

    field: str
    """Where it stands: dotted names of a body, or the name of a parameter."""
    value: Any = None
    """What was given, shortened where it is long; None where nothing was given."""
    allowed: str | None = None
    """What is allowed, in the reader's language."""
    message: str
    """What is wrong, in the reader's language."""


class Problem(Output):
    """RFC 9457 problem details."""

    type: str
    """Reference to the code in the list of problems."""
    code: str
    """Stable name of the kind of problem, for programs: one of `GET /api/v1/problems`."""
    title: str
    """The kind of problem, in the reader's language (`Accept-Language`)."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong this time, in the reader's language."""
    instance: str | None = None
    """Path of the request."""
    problems: tuple[FieldProblem, ...] = ()
    """One entry for each value that is not allowed."""
    related: dict[str, str] = {}
    """Records in the way, by what they are: an open swap, the next free window."""
    incident: str | None = None
    """Number of a mistake of the program; the log tells more under it."""
    request_id: str | None = None
    """Id of the request (`X-Request-ID`), which the log has as well; null where none could be read."""


class ProblemKind(Output):
    """One kind of problem."""

    code: str
    """Stable name, for programs."""
    status: int
    """The HTTP status that goes with it."""
    title: str
    """In the reader's language."""


class BookingIn(Input):
    """A swap wanted in a time window."""

    vehicle_id: VehicleId
    station_id: StationId | None = None
    """None: the station this server runs."""
    window_start_at: Instant
    window_end_at: Instant
    kinds: PackKinds = ()
    """Pack kinds that will do; empty: all that the vehicle takes."""
    packs: int | None = Field(default=None, ge=1, le=4)
    """Packs that are exchanged: as many as the vehicle has, which is also what None means."""
    min_kwh: Energy = 0.0
    """Least energy in each pack handed out."""


class BookingChange(Input):
    """What of a booking is to be otherwise; the rest stays."""

    window_start_at: Instant | None = None
    window_end_at: Instant | None = None
    kinds: PackKinds | None = None
    """Pack kinds that will do; empty: all that the vehicle takes."""
    min_kwh: Energy | None = None
    """Least energy in each pack handed out."""


class StandingIn(Input):
    """The same window wanted on certain weekdays."""

    vehicle_id: VehicleId
    station_id: StationId | None = None
    """None: the station this server runs."""
    weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = Field(min_length=1, max_length=7)
    """1 Monday … 7 Sunday."""
    local_time: ClockTime
    """Begin of the window in the station's zone, `07:10`."""
    window_min: int = Field(ge=5, le=1440)
    starts_on: Day
    """First day."""
    ends_on: Day | None = None
    """Last day; None: until it is ended."""
    exceptions: Days = ()
    """Days on which it does not book."""
    kinds: PackKinds = ()
    """Pack kinds that will do; empty: all that the vehicle takes."""
    packs: int | None = Field(default=None, ge=1, le=4)
    """Packs that are exchanged: as many as the vehicle has, which is also what None means."""
    min_kwh: Energy = 0.0
    """Least energy in each pack handed out."""


class StandingChange(Input):
    """What of a standing booking is to be otherwise; the rest stays."""

    ends_on: Day | None = None
    """Last day."""
    exceptions: Days | None = None
    """All days on which it does not book."""


class TruckAtGate(Input):
    """A truck at the gate."""

    vehicle_id: VehicleId
    station_id: StationId | None = None
    booking_id: str | None = Field(default=None, max_length=32)
    """None: the vehicle's open booking if its window is now, else none."""
    odometer_km: Annotated[Decimal, Field(ge=0, le=10_000_000, decimal_places=1)] | None = None
    """What the vehicle's odometer shows, where rents go by it; null where the vehicle tells it by itself."""


class SwapAccepted(Output):
    """The swap that a check-in opened."""

    swap_id: str
    state: str
    booking_id: str | None


class RequestIn(Input):
    """What a person asks of the controller."""

    kind: Annotated[str, Field(json_schema_extra={"enum": list(REQUESTS)})]
    arguments: Annotated[dict[str, Any], Field(validate_default=True, json_schema_extra=arguments_schema())] = {}
    """What the request is about; its kind says which fields it has."""
    name: PersonName | None = None
    """Nobody else's than the signed-in person's; best left out."""
    station_id: StationId | None = None

    @model_validator(mode="before")
    @classmethod
    def _hold_needs_no_name(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") == "hold":
            return {key: value for key, value in given.items() if key != "name"}
        return given

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in REQUESTS:
            raise PydanticKnownError("literal_error", {"expected": "one of " + ", ".join(REQUESTS)})
        return kind

    @field_validator("arguments")
    @classmethod
    def _of_its_kind(cls, arguments: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        model = REQUESTS.get(info.data.get("kind", ""))
        if model is not None:
            model.model_validate(arguments)
        return arguments

    def request(self) -> Request:
        """The message for the controller."""
        return read_request(self.kind, self.arguments)


class ReverseIn(Input):
    """Why a bill is reversed, and who says so."""

    name: PersonName
    reason: Annotated[str, Field(min_length=1, max_length=500, examples=["wrong fleet"])]
    """Why."""


class ConfirmedSeat(Input):
    """The quantity of a seat, confirmed by a person."""

    seat: int = Field(ge=1, le=8)
    energy_kwh: Decimal = Field(ge=0, le=10_000, decimal_places=2)
    """Quantity that is billed, from 0 to what the pack can hold."""


class CorrectIn(ReverseIn):
    """The quantities that are billed instead, why, and who says so."""

    seats: tuple[ConfirmedSeat, ...] = Field(min_length=1, max_length=8)
    """A quantity for each seat on the bill."""

    @field_validator("seats")
    @classmethod
    def _each_once(cls, seats: tuple[ConfirmedSeat, ...]) -> tuple[ConfirmedSeat, ...]:
        if len({seat.seat for seat in seats}) < len(seats):
            raise PydanticCustomError("seat_twice", "names a seat twice")
        return seats


class ClosePeriodIn(Input):
    """The month that is closed, and who closes it."""

    period: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-06"])]
    """The month."""
    seller_id: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    """The seller whose month it is; null: every seller."""
    name: PersonName


class AcknowledgeIn(Input):
    """Who has seen the fault."""

    name: PersonName | None = None
    """Nobody else's than the signed-in person's; best left out."""
