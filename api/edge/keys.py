"""Requests that are done once: those that change something and bear an `Idempotency-Key`.

Whoever asks is known first (`api.access`); then the key is looked up, and the same request is answered as it was. Else
the route's work, the claim of the key and the answer are one commit (`swap.identity.answers`). What is refused before
the work begins, for its form or its caller, and what fails with 5xx, leaves the key free.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from api.deps import KEY_FORM, KEY_HEADER, Doors, bare_key
from api.problems import KINDS, declared, problem_of
from swap.errors import SwapError
from swap.identity.answers import (
    AnsweredBeforeError,
    KeyedRequest,
    KeyInUse,
    KeyOfOtherRequest,
    Reply,
    claim,
    keep,
    known_answer,
)
from swap.identity.errors import AccessError
from swap.identity.principal import Principal
from swap.identity.secrets import derived

METHODS = frozenset({"POST", "PATCH", "DELETE"})
"""What may change something a second time. GET and PUT may be repeated anyway."""
REPLAYED = "Idempotency-Replayed"
"""Header of an answer that was given before."""
_SIGNING_IN = ("login", "refresh", "logout", "change_password", "set_own_pin", "begin_totp", "finish_totp")
KEYLESS = frozenset({*_SIGNING_IN, "acquirer_callback", "ask.hold"})
"""Operations that take no key. Of signing in the answers are secrets, and attempts are counted; the acquirer's calls
have numbers of their own; a hold is never refused, and a second one changes nothing."""


def takes_key(method: str, operation: str) -> bool:
    """Whether an operation is done once for a key."""
    return method.upper() in METHODS and operation not in KEYLESS


def key_of(request: Request, operation: str) -> str | None:
    """The key of a request that takes one. Raises RequestValidationError where it has not its form."""
    if not takes_key(request.method, operation):
        return None
    given = request.headers.get(KEY_HEADER)
    if given is None:
        return None
    if not re.fullmatch(KEY_FORM, given):
        place, values = ("header", KEY_HEADER), {"pattern": KEY_FORM}
        raise RequestValidationError(
            [{"type": "string_pattern_mismatch", "loc": place, "msg": "", "input": given, "ctx": values}]
        )
    return bare_key(given)


async def keyed(request: Request, key: str, doors: Doors, caller: Principal) -> KeyedRequest:
    """What a request with a key is to be done once as."""
    address = request.scope["path"] + "?" + request.scope["query_string"].decode("latin-1")
    parts = (caller.id, request.method, address)
    # Keyed: a plain digest of a body that holds a password could be tried out offline.
    key_of_station = derived(doors.settings.secret.get_secret_value(), "request", doors.station_id)
    digest = hmac.new(key_of_station, "\n".join(parts).encode() + b"\n" + await request.body(), "sha256")
    kept = timedelta(hours=doors.config.retention.answers_hours)
    return KeyedRequest(caller.organisation_id, key, digest.hexdigest(), doors.real_now(), kept)


class KnownAnswerError(Exception):
    """A request was answered before: nothing else is done."""

    def __init__(self, answer: Reply) -> None:
        self.response = _response(answer, replayed=True)


class KeysInWork:
    """Keys whose first request is still at it in this process; another process waits for its turn to write, and then
    finds the answer. Used on the loop only."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], str] = {}

    @contextmanager
    def entered(self, asked: KeyedRequest) -> Iterator[None]:
        """Be at it. Raises KeyInUse, KeyOfOtherRequest."""
        place = (asked.organisation_id, asked.key)
        other = self._asked.get(place)
        if other is not None:
            raise KeyInUse(asked.key) if other == asked.fingerprint else KeyOfOtherRequest(asked.key)
        self._asked[place] = asked.fingerprint
        try:
            yield
        finally:
            del self._asked[place]


_ASKED: ContextVar[tuple[Request, Doors, KeyedRequest] | None] = ContextVar("asked", default=None)
"""The request that this context is to do once."""
ENDING = "swap.ending"
"""Where a request's scope has the stack of what ends with it."""


def begin_once(request: Request, doors: Doors, asked: KeyedRequest) -> None:
    """From now on the route of this request is done once; in the task of the request. Raises KeyInUse,
    KeyOfOtherRequest."""
    ending: ExitStack = request.scope[ENDING]
    keys: KeysInWork = request.app.state.keys_in_work
    ending.enter_context(keys.entered(asked))
    ending.callback(_ASKED.reset, _ASKED.set((request, doors, asked)))


def answer_if_known(doors: Doors, asked: KeyedRequest) -> None:
    """Raise KnownAnswerError where a request was answered before; blocks."""
    with doors.store.reading_identity() as db:
        answer = known_answer(db, asked)
    if answer is not None:
        raise KnownAnswerError(answer)


def once_for_its_key(work: Callable[[], Response]) -> Response:
    """Do the work of the request of this context: once, where it bears a key; blocks."""
    asking = _ASKED.get()
    if asking is None:
        return work()
    try:
        return _done(*asking, work)
    except AnsweredBeforeError as before:
        return _response(before.answer, replayed=True)


def _done(request: Request, doors: Doors, asked: KeyedRequest, work: Callable[[], Response]) -> Response:
    """Do the work and store its answer with it."""
    with doors.store.held(lambda db: claim(db, asked)) as held:
        try:
            response = work()
        except AccessError:
            raise
        except SwapError as error:
            response = problem_of(request, error)
            if response.status_code >= KINDS["internal_error"].status:
                raise
        answer = _answer(response)
        if held.db is not None:
            keep(held.db, asked, answer)
    if held.db is None:  # nothing was changed
        with doors.store.identity() as db:
            claim(db, asked)
            keep(db, asked, answer)
    return response


_OWN = ("content-length",)
"""Headers that follow from the body."""


def _answer(response: Response) -> Reply:
    headers = {name: value for name, value in response.headers.items() if name not in _OWN}
    secret = headers.get("cache-control") == "no-store"
    return Reply(response.status_code, headers, None if secret else bytes(response.body))


def _response(answer: Reply, *, replayed: bool) -> Response:
    more = {REPLAYED: "true"} if replayed else {}
    return Response(answer.body or b"", answer.status, {**answer.headers, **more})


def describe_keys(document: dict[str, Any]) -> None:
    """Say in an OpenAPI document which operations are done once for a key."""
    header = {
        "name": KEY_HEADER,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": 66, "pattern": KEY_FORM},
        "description": "Chosen by the caller for this one request: sent again with it, it is answered as the first "
        "time and not done again. Another request with it gets 422, one while the first is still at it 409.",
        "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/api/v1/") and takes_key(method, operation["operationId"]):
                others = [one for one in operation.get("parameters", ()) if one["name"] != KEY_HEADER]
                operation["parameters"] = [*others, header]
                operation["responses"].setdefault("409", declared(409)[409])
