"""Who asks, and may they: every route of `/api/v1` passes here before it does anything.

The route's name is looked up in the one table (`swap.identity.rights`). What it may see comes with the answer and is
handed to `Doors.reading`, which shows nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from api.deps import Doors, doors_of
from api.edge.keys import answer_if_known, begin_once, key_of, keyed
from api.edge.rates import CallerRates
from api.edge.route import StrictRoute, strict_router
from api.edge.work import PutOff, put_off
from swap.identity.errors import (
    AccessError,
    NameOfAnother,
    NotAllowed,
    NotSignedIn,
    TooManyAttempts,
    TooManyRequests,
)
from swap.identity.principal import EVERYTHING, NOBODY, Principal, PrincipalKind, View
from swap.identity.rights import Factor, right_of
from swap.identity.sign_in import Tokens, check_factor, principal_of, sign_in
from swap.register.persons import UNNAMED, person_name

BEARER = "bearer "
WAITING_MOST = 16
"""Sign-ins that wait for their turn; further ones are told to come again."""


class SignInTurns:
    """One password at a time is hashed: a flood of sign-ins takes no thread from a hold."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(1)

    async def sign_in(self, doors: Doors, login: str, password: str, address: str, *, console: bool) -> Tokens:
        """As `swap.identity.sign_in.sign_in`. Raises TooManyAttempts also where too many wait."""
        if self._limiter.statistics().tasks_waiting >= WAITING_MOST:
            raise TooManyAttempts(1)
        return await run_sync(
            lambda: sign_in(
                doors.store,
                doors.settings.identity,
                login=login,
                password=password,
                address=address,
                at=doors.real_now(),
                console=console,
            ),
            limiter=self._limiter,
        )


def address_of(request: HTTPConnection) -> str:
    """Where a request comes from; behind a proxy that is the proxy."""
    return request.client.host if request.client is not None else "–"


@dataclass(frozen=True, slots=True)
class Factors:
    """PIN and TOTP code as they were sent, where they were."""

    pin: str | None = None
    totp: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """Somebody who may do what was asked for."""

    principal: Principal
    view: View

    def name(self, doors: Doors, given: str | None) -> str:
        """Name of the signed-in person, who may ask at the station.

        Args:
            given: a name that was typed; it may be theirs only.

        Raises:
            NotAllowed: a machine, which has no name to answer for it.
            NameOfAnother: another name was given.
            InvalidInput: it is no name, or the station's list of names does not have it.
        """
        if self.principal.kind is not PrincipalKind.PERSON:
            raise NotAllowed("ask")
        if given is not None and person_name(given) != self.principal.name:
            raise NameOfAnother(given)
        return doors.person(self.principal.name)


def bearer(request: HTTPConnection) -> str | None:
    """The token or key of a request; None where none was sent."""
    header = request.headers.get("authorization", "")
    return header[len(BEARER) :].strip() if header[: len(BEARER)].lower() == BEARER else None


def permit(doors: Doors, principal: Principal, operation: str, sent: Callable[[], Factors] = Factors) -> Access:
    """Let somebody do an operation. Args: sent: the second factors that came with it.

    Raises:
        AccessError: it is not allowed, or a second factor is wanting or wrong.
    """
    access = Access(principal, principal.view(operation, right_of(operation)))
    _check_factor(doors, principal, operation, sent)
    return access


def _check_factor(doors: Doors, principal: Principal, operation: str, sent: Callable[[], Factors]) -> None:
    factor = right_of(operation).factor
    if factor is not None and principal.kind is PrincipalKind.PERSON:  # a key has no device: its scope says it
        given = getattr(sent(), factor.value)
        check_factor(doors.store, doors.settings.identity, principal, factor, given, doors.real_now())


def caller(doors: Doors, request: HTTPConnection) -> Principal:
    """Who has sent a request. Raises NotSignedIn, TokenNotValid."""
    token = bearer(request)
    if token is None:
        raise NotSignedIn
    return principal_of(doors.store, doors.settings.identity, token, doors.real_now(), cookie=False)


def counted_caller(doors: Doors, request: HTTPConnection) -> Principal:
    """The same, whose requests are counted. Raises TooManyRequests besides."""
    principal = caller(doors, request)
    rates = request.app.state.caller_rates
    assert isinstance(rates, CallerRates)
    wait_s = rates.wait_s(principal.id)
    if wait_s:
        raise TooManyRequests(wait_s)
    return principal


def holder(who: Callable[[], Principal]) -> str:
    """The name under which a hold is asked for: the signed-in person's, else nobody's. Nothing refuses a hold."""
    try:
        principal = who()
    except AccessError:
        return UNNAMED
    return principal.name if principal.kind is PrincipalKind.PERSON else UNNAMED


FACTOR_HEADERS = {Factor.PIN: "Swap-Pin", Factor.TOTP: "Swap-Totp"}
"""Where a second factor is sent."""


def factors(request: HTTPConnection) -> Factors:
    """PIN and code of a request."""
    return Factors(*(request.headers.get(FACTOR_HEADERS[factor]) for factor in (Factor.PIN, Factor.TOTP)))


def operation_of(route: APIRoute) -> str:
    """The name of an operation, in the OpenAPI document and in the table of rights."""
    return route.operation_id or route.name


async def let_in(request: Request, doors: Doors, operation: str) -> Access:
    """Let the caller do an operation; once, where the request has a key. Raises as what `_judge` gives."""
    return await run_in_threadpool(await _judge(request, doors, operation))


async def _judge(request: Request, doors: Doors, operation: str) -> Callable[[], Access]:
    """What tells, in a thread, whether the caller may do an operation; a request with a key is from now on done once.

    It raises:
        AccessError: it is not allowed, or a second factor is wanting or wrong.
        KnownAnswerError: it was done before, and answered so. The second factor, whose codes are good once, is not
            asked for again.
    """
    key = key_of(request, operation)
    if key is None:
        return lambda: permit(doors, counted_caller(doors, request), operation, lambda: factors(request))

    def known() -> Access:
        principal = counted_caller(doors, request)
        return Access(principal, principal.view(operation, right_of(operation)))

    access = await run_in_threadpool(known)
    asked = await keyed(request, key, doors, access.principal)
    begin_once(request, doors, asked)

    def judge() -> Access:
        answer_if_known(doors, asked)
        _check_factor(doors, access.principal, operation, lambda: factors(request))
        return access

    return judge


async def authorise(request: Request) -> Access | PutOff[Access]:
    """Let the caller do the operation of this route, in the thread of its work where it has one. Raises AccessError."""
    doors, route = doors_of(request), request.scope["route"]
    operation = operation_of(route)
    if right_of(operation).anyone:  # also while the database is away
        return Access(NOBODY, EVERYTHING)
    judge = await _judge(request, doors, operation)
    if isinstance(route, StrictRoute) and route.threaded:
        # Who only reads does so in the transaction in which it was found out who asks.
        return put_off(judge, doors.store.one_reading if request.method == "GET" else nullcontext)
    return await run_in_threadpool(judge)


Who = Annotated[Access, Depends(authorise)]
"""Who asks, and what of it all they see."""


API = "/api/v1"
"""Where the operations of programs are."""


def guarded_router(prefix: str = "", *, under: str = API, **options: Any) -> APIRouter:
    """A router of strict routes that each let in who may do its operation."""
    guard = [Depends(authorise)]
    return strict_router(prefix=under + prefix, dependencies=guard, generate_unique_id_function=operation_of, **options)


def describe_access(document: dict[str, Any]) -> None:
    """Say in an OpenAPI document who may do each operation, and what has to be sent."""
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer", "description": "An access token, or a key of a machine."}
    for path in document["paths"].values():
        for operation in path.values():
            right = right_of(operation["operationId"])
            operation["security"] = [{}] if right.anyone else [{"bearer": []}]
            operation["x-roles"] = sorted(right.every | right.station | right.own)
            operation["x-scope"] = right.scope
            if right.factor is not None:
                meaning = "The person's PIN." if right.factor is Factor.PIN else "A code of the person's device."
                header = {"name": FACTOR_HEADERS[right.factor], "in": "header", "required": True}
                schema = {"type": "string", "maxLength": 64}
                operation.setdefault("parameters", []).append(header | {"schema": schema, "description": meaning})
