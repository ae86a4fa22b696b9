"""What comes in over HTTP, and the answers that are not records; records go out as `swap.reading.records` has them.

Inputs refuse unknown fields. Names carry units; instants are ISO 8601 with an offset; money and unit prices are
decimal strings in yuan.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError

from swap.messages.requests import REQUESTS, Request, arguments_schema, read_request

VehicleId = Annotated[str, Field(min_length=1, max_length=20, examples=["YQ-001"])]
StationId = Annotated[str, Field(min_length=1, max_length=32, examples=["yangquan-mine"])]
PersonName = Annotated[str, Field(min_length=1, max_length=64, examples=["Operator A"])]


class Input(BaseModel):
    """Base of what comes in."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Output(BaseModel):
    """Base of what goes out and is no record."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


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


class BookingIn(Input):
    """A swap wanted in a time window."""

    vehicle_id: VehicleId
    station_id: StationId | None = None
    """None: the station this server runs."""
    window_start_at: AwareDatetime
    window_end_at: AwareDatetime


class TruckAtGate(Input):
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


class RequestIn(Input):
    """What a person asks of the controller."""

    kind: Annotated[str, Field(json_schema_extra={"enum": list(REQUESTS)})]
    arguments: Annotated[dict[str, Any], Field(validate_default=True, json_schema_extra=arguments_schema())] = {}
    """What the request is about; its kind says which fields it has."""
    name: PersonName
    station_id: StationId | None = None

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


class AcknowledgeIn(Input):
    """Who has seen the fault."""

    name: PersonName
