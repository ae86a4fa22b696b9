"""Routes that read strictly: query parameters that the route has, bodies of texts that every medium can carry."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Coroutine, Iterable, Iterator
from inspect import Parameter, iscoroutinefunction, signature
from typing import Any, NoReturn, get_type_hints

from fastapi import APIRouter, Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic.fields import FieldInfo
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from api.edge.keys import KnownAnswerError, takes_key
from api.edge.work import asking, catch_up, in_one_thread
from swap.messages.values import unfit_character

DEEPEST = 20
"""Levels that a JSON body may have; our own have three."""
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Place = tuple[str | int, ...]
Problems = list[dict[str, Any]]


def unfit_parts(value: object, place: Place = ("body",)) -> Iterator[dict[str, Any]]:
    """What in a JSON value no route takes: characters, numbers that are none, depth; in pydantic's form."""
    if isinstance(value, str):
        character = unfit_character(value)
        if character is not None:
            yield {"type": "unfit_text", "loc": place, "msg": "", "input": value, "ctx": {"character": character}}
    elif isinstance(value, dict | list):
        if len(place) > DEEPEST:
            yield {"type": "too_deep", "loc": place[:4], "msg": "", "input": None, "ctx": {"limit": DEEPEST}}
            return
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from unfit_parts(key, (*place, key))
            yield from unfit_parts(part, (*place, key))


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """The body. Raises RequestValidationError, and JSONDecodeError for what is no JSON."""
        body = await self.body()
        try:
            value = json.loads(body, parse_constant=_no_number)
        except RecursionError:
            problem = {"type": "too_deep", "loc": ("body",), "msg": "", "input": None, "ctx": {"limit": DEEPEST}}
            raise RequestValidationError([problem]) from None
        except json.JSONDecodeError:
            raise
        except ValueError as error:  # no UTF-8, or an integer of thousands of digits
            raise json.JSONDecodeError(str(error), "", 0) from None
        problems = list(unfit_parts(value))
        if problems:
            raise RequestValidationError(problems[:20])
        return value


def _no_number(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is no number of JSON", constant, 0)


def _parameters(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    for inner in dependant.dependencies:
        names |= _parameters(inner)
    return names


def _asked_with(dependant: Dependant, names: frozenset[str]) -> Dependant:
    """The same for a request that has these query parameters only: the others are not looked for, and the functions'
    own defaults stand, where they have some."""
    assert dependant.call is not None
    own = signature(dependant.call).parameters
    return dataclasses.replace(
        dependant,
        query_params=[
            field
            for field in dependant.query_params
            if field.alias in names
            or own[field.name].default is Parameter.empty
            or isinstance(own[field.name].default, FieldInfo)
        ],
        dependencies=[_asked_with(inner, names) for inner in dependant.dependencies],
    )


def _dependencies(endpoint: Callable[..., Any]) -> Iterator[object]:
    """What a route's function depends on by its annotations."""
    for hint in get_type_hints(endpoint, include_extras=True).values():
        yield from (part.dependency for part in getattr(hint, "__metadata__", ()) if isinstance(part, params.Depends))


class StrictRoute(APIRoute):
    """A route that refuses what it does not know, and does what it changes once for a caller's key."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        keyed = any(takes_key(method, endpoint.__name__) for method in options.get("methods") or ())
        self.threaded = not iscoroutinefunction(endpoint)
        """Its function blocks, so it has a thread, in which more may be done."""
        if self.threaded:
            endpoint = in_one_thread(endpoint, options.get("status_code"), lambda: self.response_model)
        elif keyed:
            raise TypeError(f"{endpoint.__module__}.{endpoint.__name__} is a coroutine, and cannot be done once")
        own = set(_dependencies(endpoint))  # asked for by the function itself: not once more beside it
        options["dependencies"] = [one for one in options.get("dependencies") or () if one.dependency not in own]
        super().__init__(path, endpoint, **options)

    def _handler(self, names: frozenset[str]) -> Handler:
        """The handler of FastAPI for requests with these query parameters."""
        asked = copy.copy(self)
        asked.dependant = _asked_with(self.dependant, names)
        return super(StrictRoute, asked).get_route_handler()

    def get_route_handler(self) -> Handler:
        """The handler of FastAPI behind our reading."""
        known = _parameters(self.dependant)
        handlers: dict[frozenset[str], Handler] = {}  # most requests have few of a list's parameters

        async def strict(request: Request) -> Response:
            given = request.query_params if request.scope["query_string"] else QueryParams()
            unknown: Problems = [
                {
                    "type": "unknown_parameter",
                    "loc": ("query", name),
                    "msg": "",
                    "input": given[name],
                    "ctx": {"expected": ", ".join(sorted(known)) or "–"},
                }
                for name in given
                if name not in known
            ]
            if unknown:
                raise RequestValidationError(unknown[:20])
            names = frozenset(given)
            handle = handlers.get(names)
            if handle is None:
                handle = handlers[names] = self._handler(names)
            try:
                with asking(request):
                    try:
                        return await handle(StrictRequest(request.scope, request.receive))
                    except RequestValidationError:
                        await catch_up()
                        raise
            except KnownAnswerError as before:
                return before.response
            except HTTPException as error:
                # FastAPI makes a bare 400 of whatever the reading of a body raises.
                if isinstance(error.__cause__, RequestValidationError):
                    raise error.__cause__ from None
                raise

        return strict


def strict_router(**options: Any) -> APIRouter:
    """A router of strict routes."""
    return APIRouter(route_class=StrictRoute, **options)


class Signpost(BaseRoute):
    """Finds a route by the first word of its path, where all would be tried one after the other.

    It stands before them; what it does not find is looked for among all: another method, a slash too much.

    Args:
        under: the path that all have in common.
    """

    def __init__(self, under: str, routes: Iterable[BaseRoute]) -> None:
        self._under = under + "/"
        self._routes: dict[str, list[APIRoute]] = {}
        for route in routes:
            if isinstance(route, APIRoute) and route.path.startswith(self._under):
                self._routes.setdefault(self._word(route.path), []).append(route)

    def _word(self, path: str) -> str:
        return path[len(self._under) :].partition("/")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The first route of its word that takes the request."""
        if scope["type"] == "http" and scope["path"].startswith(self._under):
            for route in self._routes.get(self._word(scope["path"]), ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    return match, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the route that was found."""
        await scope["route"].handle(scope, receive, send)
