"""Errors as problem details (RFC 9457), with a stable code and in the reader's language.

HTTP codes are known here and nowhere below. `type` is the code's place in the list that `/api/v1/problems` gives.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.schemas import FieldProblem, Problem
from api.words import Language, language_asked, load_language
from swap.commerce import errors as commerce
from swap.commerce.leases import errors as leases
from swap.errors import (
    Conflict,
    DatabaseAway,
    DatabaseUnfit,
    InvalidInput,
    KeyReused,
    NotEntitled,
    NotFound,
    NotInstalled,
    NotServed,
    SwapError,
    SwapOpen,
)
from swap.identity import answers
from swap.identity import errors as access
from swap.messages.values import printable
from swap.words import N_

MEDIA_TYPE = "application/problem+json"
PLACE = "/api/v1/problems"
REQUEST_ID = "swap.request_id"
"""Where a request's scope has its id (`api.edge.gate`)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem."""

    status: int
    title: str
    """English text of the catalogues."""


KINDS = {
    "invalid_json": Kind(400, N_("The body is no valid JSON")),
    "bad_request": Kind(400, N_("The request cannot be read")),
    "not_signed_in": Kind(401, N_("Sign in first")),
    "token_not_valid": Kind(401, N_("The sign-in is not valid any more")),
    "token_reused": Kind(401, N_("A refresh token was used twice")),
    "sign_in_failed": Kind(401, N_("Not signed in")),
    "forbidden": Kind(403, N_("Not allowed")),
    "signature_wrong": Kind(403, N_("The call is not signed as it should be")),
    "foreign_origin": Kind(403, N_("Page of another site")),
    "name_of_another": Kind(403, N_("Somebody else is named")),
    "second_factor_needed": Kind(403, N_("Your PIN or code is needed once more")),
    "second_factor_wrong": Kind(403, N_("The PIN or code is wrong")),
    "second_factor_not_set": Kind(403, N_("Your account has no PIN or code yet")),
    "not_found": Kind(404, N_("Not found")),
    "method_not_allowed": Kind(405, N_("Not this way")),
    "timeout": Kind(408, N_("The request took too long")),
    "conflict": Kind(409, N_("Contradicts the present state")),
    "slots_full": Kind(409, N_("The window is full")),
    "booking_open": Kind(409, N_("The vehicle has a booking")),
    "booking_not_usable": Kind(409, N_("The booking cannot be used")),
    "swap_open": Kind(409, N_("The vehicle has an open swap")),
    "key_reused": Kind(409, N_("The idempotency key was used before")),
    "key_in_use": Kind(409, N_("The first request with the key is still at it")),
    "answer_not_kept": Kind(409, N_("It was done before")),
    "not_served": Kind(409, N_("The station does not serve this")),
    "not_entitled": Kind(409, N_("The contract gives no swap here")),
    "packs_promised": Kind(409, N_("The packs are promised")),
    "station_away": Kind(409, N_("The station does not serve then")),
    "login_taken": Kind(409, N_("The account exists already")),
    "bill_not_reversible": Kind(409, N_("The bill cannot be reversed")),
    "transfer_differs": Kind(409, N_("The transfer was posted with other content")),
    "hold_ended": Kind(409, N_("What was held is held no more")),
    "overdrawn": Kind(409, N_("There is not so much in the account")),
    "not_refundable": Kind(409, N_("Less is left of the payment")),
    "bank_line_known": Kind(409, N_("A line of the bank file was taken before")),
    "contracts_overlap": Kind(409, N_("The vehicle has another contract")),
    "contract_state": Kind(409, N_("Not in this state of the contract")),
    "vehicle_not_lessees": Kind(409, N_("A vehicle of the contract is not the lessee's")),
    "month_not_over": Kind(409, N_("The month is not over")),
    "period_not_closable": Kind(409, N_("The month cannot be closed")),
    "body_too_large": Kind(413, N_("The body is too large")),
    "unknown_host": Kind(421, N_("Not the name of this server")),
    "not_valid": Kind(422, N_("A value is not allowed")),
    "key_of_other_request": Kind(422, N_("The idempotency key was sent with another request")),
    "window_not_allowed": Kind(422, N_("The window is not allowed")),
    "file_unreadable": Kind(422, N_("The bank file cannot be read")),
    "unfit_text": Kind(422, N_("A text that no medium can carry")),
    "too_many_attempts": Kind(429, N_("Too many failed attempts")),
    "too_many_requests": Kind(429, N_("Too many requests")),
    "headers_too_large": Kind(431, N_("The headers are too large")),
    "internal_error": Kind(500, N_("A mistake of the program")),
    "database_away": Kind(503, N_("The database is away")),
    "too_many_connections": Kind(503, N_("Too many connections")),
    "unavailable": Kind(503, N_("Not available now")),
}
"""By code; codes are promised: they may gain, never lose."""

_CODES: tuple[tuple[type[SwapError], str], ...] = (
    (commerce.WindowNotAllowed, "window_not_allowed"),
    (commerce.StationAway, "station_away"),
    (commerce.PacksPromised, "packs_promised"),
    (commerce.SlotsFull, "slots_full"),
    (commerce.BookingOpen, "booking_open"),
    (commerce.BookingNotUsable, "booking_not_usable"),
    (SwapOpen, "swap_open"),
    (KeyReused, "key_reused"),
    (answers.KeyOfOtherRequest, "key_of_other_request"),
    (answers.KeyInUse, "key_in_use"),
    (answers.AnswerNotKept, "answer_not_kept"),
    (NotServed, "not_served"),
    (NotEntitled, "not_entitled"),
    (commerce.BillNotReversible, "bill_not_reversible"),
    (commerce.TransferDiffers, "transfer_differs"),
    (commerce.HoldEnded, "hold_ended"),
    (commerce.Overdrawn, "overdrawn"),
    (commerce.NotRefundable, "not_refundable"),
    (commerce.BankLineKnown, "bank_line_known"),
    (commerce.SignatureWrong, "signature_wrong"),
    (commerce.FileUnreadable, "file_unreadable"),
    (access.NotSignedIn, "not_signed_in"),
    (access.TokenNotValid, "token_not_valid"),
    (access.TokenReused, "token_reused"),
    (access.SignInFailed, "sign_in_failed"),
    (access.TooManyAttempts, "too_many_attempts"),
    (access.TooManyRequests, "too_many_requests"),
    (access.NotAllowed, "forbidden"),
    (access.NameOfAnother, "name_of_another"),
    (access.SecondFactorNeeded, "second_factor_needed"),
    (access.SecondFactorWrong, "second_factor_wrong"),
    (access.SecondFactorNotSet, "second_factor_not_set"),
    (access.LoginTaken, "login_taken"),
    (leases.ContractsOverlap, "contracts_overlap"),
    (leases.ContractState, "contract_state"),
    (leases.VehicleNotLessees, "vehicle_not_lessees"),
    (leases.MonthNotOver, "month_not_over"),
    (leases.JournalBehind, "journal_behind"),
    (commerce.PeriodNotClosable, "period_not_closable"),
    (NotInstalled, "unavailable"),
    (NotFound, "not_found"),
    (InvalidInput, "not_valid"),
    (DatabaseAway, "database_away"),
    (DatabaseUnfit, "database_away"),
    (Conflict, "conflict"),
    (SwapError, "not_valid"),
)
"""Code of each error, the more special one first."""
_BY_STATUS = {
    400: "bad_request",
    401: "not_signed_in",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "body_too_large",
    422: "not_valid",
}
"""Code of an error that has but a status."""


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may answer with these problems."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 401, 403, 422, 429, 500, 503}):
        codes = ", ".join(f"`{code}`" for code, kind in KINDS.items() if kind.status == status)
        found[status] = {
            "description": f"A problem: {codes}.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return found


@functools.cache
def _language(name: str) -> Language:
    return load_language(name, ZoneInfo("UTC"))


def language_for(request: Request) -> Language:
    """The language that a program asks for (`Accept-Language`); English where it asks for none of ours."""
    return _language(language_asked(request.headers.get("accept-language")) or "en")


def problem(
    request: Request,
    code: str,
    text: str,
    problems: Iterable[FieldProblem] = (),
    *,
    related: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> JSONResponse:
    """The response for one problem.

    Args:
        code: one of `KINDS`.
        text: what is wrong, a text of the catalogues with the names of `values` in braces.
        related: records in the way.
    """
    language = language_for(request)
    kind = KINDS[code]
    incident = values.get("incident")
    shown = {name: printable(value) if isinstance(value, str) else value for name, value in values.items()}
    body = Problem(
        type=f"{PLACE}#{code}",
        code=code,
        title=language.text(kind.title),
        status=kind.status,
        detail=language.text(text, **shown),
        instance=printable(request.url.path),
        problems=tuple(problems),
        related=dict(related or {}),
        incident=None if incident is None else str(incident),
        request_id=request.scope.get(REQUEST_ID),
    )
    return JSONResponse(
        body.model_dump(mode="json"),
        status_code=kind.status,
        media_type=MEDIA_TYPE,
        headers={"Content-Language": language.tag, **(headers or {})},
    )


LONGEST_VALUE = 100


def told(value: object) -> Any:
    """A given value as it may be told: what cannot be carried is written out, what is long is cut."""
    if isinstance(value, str):
        text = printable(value)
        return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**30 else told(f"{value:.3e}" if abs(value) < 10**300 else "…")
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, dict | list | tuple):
        return f"{{{len(value)}}}" if isinstance(value, dict) else f"[{len(value)}]"
    return told(str(jsonable_encoder(value)))


SAID = {
    "missing": N_("must be given"),
    "extra_forbidden": N_("no such field: remove it or mend its spelling"),
    "unknown_parameter": N_("no such parameter; there are {expected}"),
    "unfit_text": N_("holds the character {character}, which no text may hold"),
    "string_unicode": N_("holds a character that no text may hold"),
    "too_deep": N_("is nested more than {limit} deep"),
    "finite_number": N_("must be a finite number"),
    "json_invalid": N_("is no valid JSON: {error}"),
    "string_type": N_("must be a text"),
    "string_too_short": N_("must have {min_length} characters or more"),
    "string_too_long": N_("must have {max_length} characters or fewer"),
    "string_pattern_mismatch": N_("must be a text of the form {pattern}"),
    "int_type": N_("must be a whole number"),
    "int_parsing": N_("must be a whole number"),
    "int_parsing_size": N_("is too large a number"),
    "int_from_float": N_("must be a whole number"),
    "float_type": N_("must be a number"),
    "float_parsing": N_("must be a number"),
    "bool_type": N_("must be true or false"),
    "bool_parsing": N_("must be true or false"),
    "greater_than": N_("must be more than {gt}"),
    "greater_than_equal": N_("must be {ge} or more"),
    "less_than": N_("must be less than {lt}"),
    "less_than_equal": N_("must be {le} or less"),
    "literal_error": N_("must be {expected}"),
    "enum": N_("must be {expected}"),
    "dict_type": N_("must be an object with named fields"),
    "model_type": N_("must be an object with named fields"),
    "model_attributes_type": N_("must be an object with named fields"),
    "decimal_type": N_("must be a number"),
    "decimal_parsing": N_("must be a number"),
    "decimal_max_places": N_("must have {decimal_places} decimal places or fewer"),
    "decimal_max_digits": N_("must have {max_digits} digits or fewer"),
    "decimal_whole_digits": N_("must have {whole_digits} digits or fewer before the point"),
    "too_short": N_("must have {min_length} items or more"),
    "too_long": N_("must have {max_length} items or fewer"),
    "union_tag_not_found": N_("must name its kind"),
    "list_type": N_("must be a list"),
    "tuple_type": N_("must be a list"),
    "decimal_text": N_("must be a decimal number in quotes, such as '13.30'"),
    "zone": N_("must be a time zone of the IANA list, such as Asia/Shanghai"),
    "usage_price": N_("must have either yuan or steps"),
    "flat": N_("must have flat_yuan_per_kwh with energy_price flat, and only then"),
    "paid_twice": N_("swaps.payer must be lessor where a component passes the tariff through: it is paid once"),
    "usage_minimum": N_("must have a minimum or an allowance, not both"),
    "components": N_("must have one component or more"),
    "steps": N_("steps must start at 0 and rise"),
    "tariff": N_("only energy by one price is passed through with its tariff"),
    "last_day": N_("last_day {last_day} must not be before first_day {first_day}"),
    "lessee": N_("lessor_id and lessee_id must be two firms"),
    "twice": N_("{field} names something twice"),
    "union_tag_invalid": N_("must have one of the kinds {expected_tags}"),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        N_("must be a day such as 2026-06-01"),
    ),
    "instant": N_("must be an ISO 8601 instant with an offset, such as 2026-01-01T08:00:00+08:00"),
    "seat_twice": N_("names a seat twice"),
    "instant_range": N_("must lie between {first} and {last}"),
}
"""What is wrong with a value, by the kind of pydantic's error; instants share one. Others stay as pydantic has them."""


def field_problem(item: Mapping[str, Any], language: Language) -> FieldProblem:
    """What is wrong with one value."""
    place, *path = item["loc"]
    kind = str(item["type"])
    if kind.startswith(("datetime_", "timezone_")):
        kind = "instant"
    context = item.get("ctx") or {}
    message = SAID.get(kind)
    said = language.text(message, **context) if message is not None else language.text(str(item["msg"]))
    given = None if kind in {"missing", "json_invalid"} else told(item.get("input"))
    allowed = None if kind == "json_invalid" else said
    return FieldProblem(
        field=printable(".".join(str(part) for part in path) or str(place)), value=given, allowed=allowed, message=said
    )


def said(error: SwapError, language: Language) -> str:
    """An error of the swap room in a language, its values shortened and with words for codes."""
    values: dict[str, object] = {}
    for name, value in error.values.items():
        shown = told(value)
        values[name] = language.value(name, shown) if isinstance(shown, str) else shown
    if isinstance(error, InvalidInput):
        values["allowed"] = _allowed(error, language)
    return language.text(error.message, **values)


def _allowed(error: InvalidInput, language: Language) -> str:
    return language.text(error.allowed_message, **error.allowed_values)


def _headers(code: str, error: SwapError) -> dict[str, str]:
    """What else a client is told of an error."""
    if isinstance(error, DatabaseAway):
        return {"Retry-After": "5"}
    if isinstance(error, access.TooManyAttempts | access.TooManyRequests):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, answers.KeyInUse):
        return {"Retry-After": "1"}
    return {"WWW-Authenticate": "Bearer"} if KINDS[code].status == 401 else {}


def problem_of(request: Request, error: SwapError) -> JSONResponse:
    """The response for an error of the swap room."""
    language = language_for(request)
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    problems = []
    if isinstance(error, InvalidInput):
        allowed, whole = _allowed(error, language), said(error, language)
        problems = [FieldProblem(field=error.field, value=told(error.value), allowed=allowed, message=whole)]
    related = error.detail if isinstance(error, Conflict) else None
    if isinstance(error, access.SecondFactorNeeded | access.SecondFactorWrong | access.SecondFactorNotSet):
        related = {"factor": str(error.factor)}
    headers = _headers(code, error)
    return problem(request, code, "{detail}", problems, related=related, headers=headers, detail=said(error, language))


def install(app: FastAPI) -> None:
    """Map the errors of the rooms to HTTP."""

    async def not_valid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        language = language_for(request)
        problems = [field_problem(item, language) for item in error.errors()]
        kinds = {item["type"] for item in error.errors()}
        code = "invalid_json" if "json_invalid" in kinds else "unfit_text" if "unfit_text" in kinds else "not_valid"
        lines = [f"{p.field}{'' if p.value is None else f' = {p.value!r}'}: {p.message}" for p in problems]
        return problem(request, code, "{detail}", problems, detail="; ".join(lines))

    async def swap_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SwapError)
        return problem_of(request, error)

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = _BY_STATUS.get(error.status_code, "unavailable" if error.status_code >= 500 else "bad_request")
        return problem(request, code, KINDS[code].title, headers=error.headers)

    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(SwapError, swap_error)
    app.add_exception_handler(HTTPException, http_error)
