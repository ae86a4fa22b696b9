"""One connection to a server: who asks, in which language, how long it is waited for, and what is sent again.

A changing call carries an `Idempotency-Key`, and is sent again with the same one where no answer came, where the server
is away for the moment, and where it still works on the first; so it is done once. Between two tries it waits as long as
the server says, else longer each time. An access token that has run out is renewed by the refresh token, which is sent
once: twice would end the sign-in. Where several processes share a sign-in, one of them renews it at a time.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from api.access import FACTOR_HEADERS
from api.client.errors import ClientError, ProblemError, UnreachableError, problem_of
from api.client.tokens import KeptTokens
from api.routes.auth import LoginIn, MeOut, RefreshIn, TokensOut
from swap.identity.rights import Factor
from swap.reading.records import Page

T = TypeVar("T")
Query = Mapping[str, Any]

TIMEOUT_S = 15.0
"""Real seconds until an answer is given up; a server that is busy is told apart from one that is gone by then."""
TRIES = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
"""Between two tries, at most: doubled each time. A longer wait than the longest that a server asks for is not made."""
AWAY = frozenset({429, 502, 503, 504})
"""Statuses of a server that is away for the moment."""
STILL_RUNNING = "key_in_use"
"""Code of a problem: the first call with this key is still worked on."""
API = "/api/v1"


def code_header(totp: str | None) -> Mapping[str, str]:
    """The header with a code of the person's device; none for a machine."""
    return {} if totp is None else {FACTOR_HEADERS[Factor.TOTP]: totp}


class ServerSession:
    """Calls of one caller to one server. It may be used by one thread at a time, and as a context manager.

    Args:
        url: address of the server, such as `https://station.example`.
        token: access token, or key of a machine; None until `sign_in`.
        refresh_token: for the next pair of tokens; None where the token is a key.
        language: language of problems and reasons.
        timeout_s: real seconds until an answer is given up.
        keep: called with each new pair of tokens.
        renewing: entered around a renewal, by one process at a time; gives the pair that is kept then, which another
            one may have renewed meanwhile. None: the sign-in is this session's alone.
        transport: how it is sent; None: over the network.
        pause: lets real seconds pass between two tries or looks; None: waits.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        refresh_token: str | None = None,
        *,
        language: str = "en",
        timeout_s: float = TIMEOUT_S,
        keep: Callable[[TokensOut], object] | None = None,
        renewing: Callable[[], AbstractContextManager[KeptTokens | None]] | None = None,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._refresh_token = refresh_token
        self._keep = keep
        self._renewing = renewing if renewing is not None else lambda: nullcontext(None)
        self._wait = threading.Event().wait if pause is None else pause
        self._http = httpx.Client(
            base_url=self.url + API,
            timeout=timeout_s,
            transport=transport,
            headers={"Accept-Language": language},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def pause(self, real_s: float) -> None:
        """Let real seconds pass."""
        self._wait(real_s)

    def sign_in(self, login: str, password: str) -> TokensOut:
        """Sign in as a person; the tokens are used from now on."""
        return self._take(self._once("POST", "/auth/login", body=LoginIn(login=login, password=password)))

    def sign_out(self) -> None:
        """End the sign-in."""
        self._once("POST", "/auth/logout")
        self._token = self._refresh_token = None

    def me(self) -> MeOut:
        """Who has signed in, and what they may do."""
        return self.get(MeOut, "/auth/me")

    def get(self, kind: type[T], path: str, query: Query | None = None) -> T:
        """One record."""
        return _read(kind, self.send("GET", path, query=query))

    def all(self, kind: type[T], path: str, query: Query | None = None) -> Iterator[T]:
        """Every record of a list, page after page."""
        asked = dict(query or {})
        while True:
            page = self.get(Page[kind], path, asked)  # type: ignore[valid-type]
            yield from page.items
            if page.next_cursor is None:
                return
            asked["cursor"] = page.next_cursor

    def change(
        self,
        kind: type[T],
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Change something, once.

        Args:
            key: the same for a call that is to be done once, also by another process; None: a new one.
        """
        sent = {"Idempotency-Key": key or new_key(), **(headers or {})}
        return _read(kind, self.send(method, path, body=body, headers=sent))

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: BaseModel | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of the answer, after as many tries as it takes.

        Raises:
            ProblemError: the server refuses, or is away for longer.
            UnreachableError: no answer came.
        """
        again = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=_wait,
            retry=retry_if_exception(_passes),
            sleep=self.pause,
            reraise=True,
        )
        return again(self._signed, method, path, query=query, body=body, headers=headers)

    def _signed(self, method: str, path: str, **what: Any) -> bytes:
        try:
            return self._once(method, path, **what)
        except ProblemError as error:
            if error.status != 401 or self._refresh_token is None:
                raise
            self._renew(self._refresh_token)
        return self._once(method, path, **what)

    def _renew(self, refresh_token: str) -> None:
        """The next pair of tokens. A refresh token that may have been taken is not sent again."""
        with self._renewing() as kept:
            if kept is not None and kept.refresh_token != refresh_token:
                self._token, self._refresh_token = kept.access_token, kept.refresh_token
                return
            self._refresh_token = None
            try:
                self._take(self._once("POST", "/auth/refresh", body=RefreshIn(refresh_token=refresh_token)))
            except ClientError as error:
                if _not_taken(error):
                    self._refresh_token = refresh_token
                raise

    def _take(self, answer: bytes) -> TokensOut:
        tokens = _read(TokensOut, answer)
        self._token, self._refresh_token = tokens.access_token, tokens.refresh_token
        if self._keep is not None:
            self._keep(tokens)
        return tokens

    def _once(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: BaseModel | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        sent = dict(headers or {})
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        content = None
        if body is not None:
            content = body.model_dump_json(exclude_unset=True)
            sent["Content-Type"] = "application/json"
        given = {name: value for name, value in (query or {}).items() if value is not None and value != ()}
        params = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in given.items()}
        try:
            answer = self._http.request(method, path, params=params, content=content, headers=sent)
        except httpx.HTTPError as error:
            sent_any = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise UnreachableError(self.url, error, sent=sent_any) from error
        if answer.is_success:
            return answer.content
        raise ProblemError(problem_of(answer.status_code, answer.content, self.url), _retry_after_s(answer))


def new_key() -> str:
    """A key that nobody has used: a UUID of version 4."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def _not_taken(error: ClientError) -> bool:
    if isinstance(error, ProblemError):
        return error.status in AWAY
    return isinstance(error, UnreachableError) and not error.sent


def _read(kind: type[T], body: bytes) -> T:
    """A record; fields of a newer server are left out."""
    if kind is bytes:
        return body  # type: ignore[return-value]
    if not body:
        return None  # type: ignore[return-value]
    return TypeAdapter(kind).validate_json(body, extra="ignore")


def _passes(error: BaseException) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, UnreachableError):
        return True
    if not isinstance(error, ProblemError):
        return False
    if (error.retry_after_s or 0.0) > LONGEST_WAIT_S:
        return False
    return error.status in AWAY or error.code == STILL_RUNNING


_growing = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.retry_after_s if isinstance(error, ProblemError) else None
    return _growing(state) if asked_s is None else asked_s


def _retry_after_s(answer: httpx.Response) -> float | None:
    """RFC 9110: seconds; the other form, a date, no server of this interface sends."""
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else None
