"""What a person may ask of the controller: one model a kind, with the arguments that kind needs.

A request is stored as its kind and its arguments (`swap.station.requests`); the controller has one handler a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from swap.errors import InvalidInput
from swap.words import N_

DEADLINE_S = 10.0
"""Real seconds from the press, within which the controller has to begin; a later request is not executed."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=32)]
Reason = Annotated[str, StringConstraints(max_length=200)]


class Request(BaseModel):
    """Base of all requests."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: str

    def arguments(self) -> dict[str, Any]:
        """All but the kind, as stored; what was not given is left out."""
        return self.model_dump(mode="json", exclude={"kind"}, exclude_none=True)


class Confirm(Request):
    """The station may go on: a named person has looked."""

    kind: Literal["confirm"] = "confirm"


class Hold(Request):
    """Hold every robot and the station."""

    kind: Literal["hold"] = "hold"
    reason: Reason | None = None


class Resume(Request):
    """The same as `confirm`, as some say it after a hold."""

    kind: Literal["resume"] = "resume"


class Manual(Request):
    """Give the cells to people who work on them by hand."""

    kind: Literal["manual"] = "manual"


class Reset(Request):
    """Clear latched faults of a lane's cell whose cause is gone; a safety trip is not cleared this way."""

    kind: Literal["reset"] = "reset"
    lane_id: Name


class Automatic(Request):
    """The same as `confirm`, as some say it after manual work."""

    kind: Literal["automatic"] = "automatic"


class Close(Request):
    """Call no truck any more."""

    kind: Literal["close"] = "close"
    reason: Reason | None = None


class PermitRestart(Request):
    """Permit a planned restart: after a stop in good order the station may go on by itself, also in the middle of a
    swap. The permission ends with its time, with the next start, or when the station is held before."""

    kind: Literal["permit_restart"] = "permit_restart"
    within_min: Annotated[int, Field(ge=1, le=60)] = 10
    """Station minutes from the request until the start."""


class ReleasePack(Request):
    """Put a quarantined or blocked pack back into use; it is identified anew."""

    kind: Literal["release_pack"] = "release_pack"
    pack_id: Annotated[str, StringConstraints(min_length=1, max_length=24)]


class TakeOutPack(Request):
    """People have carried a pack out of the station, from its bay or from the tank: it is off site."""

    kind: Literal["take_out_pack"] = "take_out_pack"
    pack_id: Annotated[str, StringConstraints(min_length=1, max_length=24)]
    reason: Reason | None = None


class BringInPack(Request):
    """People have set a pack that was off site into a bay, whose BMS says that it is there."""

    kind: Literal["bring_in_pack"] = "bring_in_pack"
    pack_id: Annotated[str, StringConstraints(min_length=1, max_length=24)]
    bay_id: Name


class ReleaseBay(Request):
    """Put a blocked bay back into use; its faults are closed."""

    kind: Literal["release_bay"] = "release_bay"
    bay_id: Name


class CancelSwap(Request):
    """Call off a swap that still waits for a lane."""

    kind: Literal["cancel_swap"] = "cancel_swap"
    swap_id: Name


class DemandResponse(Request):
    """An event of demand response was called: answer it, and hold the limit or raise the import as accepted."""

    kind: Literal["demand_response"] = "demand_response"
    programme: Name
    """Of the station file."""
    from_at: AwareDatetime
    until_at: AwareDatetime
    asked_kw: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] | None = None
    """Below the baseline, or above it where the programme absorbs; for a programme of voluntary control."""
    limit_kw: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)] | None = None
    """Of the import, for a programme of direct control."""


class DecisionKind(StrEnum):
    """What a person may decide on a held swap."""

    CONTINUE = "continue"
    """On the way it was on."""
    UNWIND = "unwind"
    """Back to the beginning."""
    CANCEL = "cancel"
    """Before anything has moved."""
    TOW_OUT = "tow_out"
    """The vehicle has been taken out by hand, with station and cell in manual work; not accepted."""


class Decide(Request):
    """Say how a held swap goes on."""

    kind: Literal["decide"] = "decide"
    swap_id: Name
    decision: DecisionKind


AnyRequest = Annotated[
    Confirm
    | Hold
    | Resume
    | Manual
    | Reset
    | Automatic
    | Close
    | PermitRestart
    | ReleasePack
    | TakeOutPack
    | BringInPack
    | ReleaseBay
    | CancelSwap
    | DemandResponse
    | Decide,
    Field(discriminator="kind"),
]

REQUESTS: dict[str, type[Request]] = {
    model.model_fields["kind"].default: model for model in get_args(get_args(AnyRequest)[0])
}
"""Model by kind."""


def read_request(kind: str, arguments: Mapping[str, Any]) -> Request:
    """The request of a kind with its arguments.

    Raises:
        InvalidInput: the kind is unknown, or an argument is missing, not allowed or unknown.
    """
    model = REQUESTS.get(kind)
    if model is None:
        raise InvalidInput("kind", kind, N_("one of {names}"), names=", ".join(REQUESTS))
    try:
        return model.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        value = None if first["type"] == "missing" else first.get("input")
        raise InvalidInput(f"arguments.{field}", value, first["msg"]) from None


def arguments_schema() -> dict[str, Any]:
    """JSON Schema of the arguments of any request, for a body that carries kind and arguments apart."""
    schemas = []
    for kind, model in REQUESTS.items():
        schema = model.model_json_schema()
        named = schema.pop("$defs", {})
        del schema["properties"]["kind"]
        for name, field in schema["properties"].items():
            # The body's document has no place for definitions of its own: they are put where they are used.
            schema["properties"][name] = named.get(field.get("$ref", "").rpartition("/")[2], field)
        schemas.append(schema | {"title": kind})
    return {"anyOf": schemas}
