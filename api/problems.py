"""Errors of the rooms as problem details (RFC 9457). HTTP codes are known here and nowhere below."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.schemas import FieldProblem, Problem
from swap.errors import Conflict, DatabaseAway, InvalidInput, NotFound, SwapError

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    422: "Not valid",
    500: "Internal error",
    503: "Unavailable",
}
_MEANINGS = {
    400: "The request is no valid JSON.",
    404: "No such record.",
    409: "Contradicts the present state.",
    422: "A value is not allowed; each is named with its allowed range.",
}


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may answer with these problems."""
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def problem(
    request: Request,
    status: int,
    detail: str,
    problems: list[FieldProblem] | None = None,
    *,
    related: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The response for one problem."""
    body = Problem(
        title=_TITLES.get(status, "Error"),
        status=status,
        detail=detail,
        instance=request.url.path,
        problems=problems or [],
        related=related or {},
    )
    return JSONResponse(body.model_dump(mode="json"), status_code=status, media_type=MEDIA_TYPE, headers=headers)


_BOUNDS = {
    "ge": "{} or more",
    "gt": "more than {}",
    "le": "{} or less",
    "lt": "less than {}",
    "min_length": "{} characters or more",
    "max_length": "{} characters or fewer",
    "pattern": "text of the form {}",
    "expected": "{}",
}


def _allowed(error: dict[str, Any]) -> str | None:
    if error["type"] == "extra_forbidden":
        return "no such field: remove it or mend its spelling"
    if error["type"] == "missing":
        return "must be given"
    if error["type"] in {"timezone_aware", "datetime_from_date_parsing", "datetime_parsing"}:
        return "an ISO 8601 instant with an offset, such as 2026-01-01T08:00:00+08:00"
    context = error.get("ctx") or {}
    bounds = [text.format(context[name]) for name, text in _BOUNDS.items() if name in context]
    return ", ".join(bounds) or None


def field_problems(error: RequestValidationError) -> list[FieldProblem]:
    """One entry for each value that is not allowed."""
    found = []
    for item in error.errors():
        place, *path = item["loc"]
        field = ".".join(str(part) for part in path) or str(place)
        value = None if item["type"] in {"missing", "json_invalid"} else jsonable_encoder(item.get("input"))
        if isinstance(value, str) and len(value) > 100:
            value = value[:100] + "…"
        found.append(FieldProblem(field=field, value=value, allowed=_allowed(dict(item)), message=item["msg"]))
    return found


def install(app: FastAPI) -> None:
    """Map the errors of the rooms to HTTP."""

    async def not_valid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        problems = field_problems(error)
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return problem(request, 400, "The body is no valid JSON.", problems)
        lines = [
            f"{p.field}{'' if p.value is None else f' = {p.value!r}'}: {p.message}"
            + ("" if p.allowed is None else f" (allowed: {p.allowed})")
            for p in problems
        ]
        return problem(request, 422, "; ".join(lines), problems)

    async def swap_error(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, NotFound):
            return problem(request, 404, str(error))
        if isinstance(error, InvalidInput):
            found = FieldProblem(
                field=error.field,
                value=jsonable_encoder(error.value),
                allowed=error.allowed,
                message=str(error),
            )
            return problem(request, 422, str(error), [found])
        if isinstance(error, DatabaseAway):
            return problem(request, 503, str(error), headers={"Retry-After": "5"})
        if isinstance(error, Conflict):
            return problem(request, 409, str(error), related=error.detail)
        return problem(request, 422, str(error))

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        headers = None if error.headers is None else dict(error.headers)
        return problem(request, error.status_code, str(error.detail), headers=headers)

    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(SwapError, swap_error)
    app.add_exception_handler(HTTPException, http_error)
