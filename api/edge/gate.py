"""The first that a request meets and the last that an error meets: hosts, characters, sizes, times, ids, incidents.

An ASGI middleware around the whole application. What it refuses reaches no route; what a route fails on leaves as a
problem with a number that the log has as well.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars

from api.edge.hosts import KnownHosts
from api.problems import REQUEST_ID, problem, told
from swap.messages.values import unfit_character
from swap.words import N_

_log = logging.getLogger(__name__)
CLOSE = {"Connection": "close"}
"""The rest of what the client sends is not read."""
REQUEST_ID_HEADER = "X-Request-ID"
"""Names a request in its answer, its problem and the log."""
STREAM = "text/event-stream"
Answered = Callable[[Scope, int, float | None], None]
"""Is told of an answer: its request, its status, and the real seconds it took; None of a stream."""


_ID_FORM = re.compile(r"[A-Za-z0-9._-]{8,64}")


class _Head:
    """The headers of a connection as they are asked for here: looked through once."""

    def __init__(self, scope: Scope) -> None:
        self._first = dict(reversed(scope["headers"]))

    def get(self, name: bytes) -> str | None:
        """The first value of a header, by its name in lower case."""
        value: bytes | None = self._first.get(name)
        return None if value is None else value.decode("latin-1")


def _request_id(head: _Head) -> str:
    """The caller's name of a request where it has a form that a log can carry, else one of ours."""
    given = head.get(REQUEST_ID_HEADER.lower().encode()) or ""
    return given if _ID_FORM.fullmatch(given) else secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large a body may be, and how long its sending may take in real seconds."""

    largest_bytes: int = 65_536
    longest_s: float = 20.0


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why a connection is not served."""

    code: str
    text: str
    name: str


class _Answer:
    """What is sent: with the request's id, and told of when it has ended."""

    def __init__(self, scope: Scope, send: Send, answered: Answered) -> None:
        self.begun = False
        self._scope = scope
        self._send = send
        self._answered = answered
        self._clock = asyncio.get_running_loop().time
        self._began_s, self._status, self._streamed = self._clock(), 0, False

    async def send(self, message: Message) -> None:
        """One part of it."""
        self.begun = True
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID_HEADER] = self._scope[REQUEST_ID]
            self._status, self._streamed = message["status"], headers.get("content-type", "").startswith(STREAM)
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            took_s = None if self._streamed else self._clock() - self._began_s
            self._answered(self._scope, self._status, took_s)


class Gate:
    """The middleware. Args: which hosts are known, what a body may be, who is told of each answer."""

    def __init__(self, app: ASGIApp, *, hosts: KnownHosts, limits: BodyLimits, answered: Answered) -> None:
        self._app = app
        self._hosts = hosts
        self._limits = limits
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of a server."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        head = _Head(scope)
        refused = self._refused(scope, head)
        if scope["type"] == "websocket":
            if refused is None:
                await self._app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            return
        scope[REQUEST_ID] = _request_id(head)
        bound = bind_contextvars(request_id=scope[REQUEST_ID])
        try:
            answer = _Answer(scope, send, self._answered)
            request = Request(scope)
            if refused is not None:
                refusal: Response | None = problem(request, refused.code, refused.text, host=refused.name)
            else:
                refusal = self._misshapen(request, head)
            if refusal is None:
                await self._serve(request, receive, answer)
            else:
                await refusal(scope, receive, answer.send)
        finally:
            reset_contextvars(**bound)

    def _refused(self, scope: Scope, head: _Head) -> _Refused | None:
        """Whether the client speaks to somebody else, or for a page of somebody else."""
        host, origin = head.get(b"host"), head.get(b"origin")
        if not self._hosts.knows(host, (scope.get("server") or (None,))[0]):
            text = N_("The host {host} is not one of this server's; its names stand in SWAP_HOSTS.")
            return _Refused("unknown_host", text, told(host or "–"))
        if not self._hosts.lets_in(origin, host):
            text = N_("Pages of {host} may not use this server; those that may stand in SWAP_HOSTS.")
            return _Refused("foreign_origin", text, told(origin or "–"))
        return None

    def _misshapen(self, request: Request, head: _Head) -> Response | None:
        """What is wrong with the characters of the address, or the size that the client announces."""
        query = request.scope["query_string"].decode("latin-1")
        pairs = parse_qsl(query, keep_blank_values=True)
        texts = [("path", request.scope["path"]), *((name, f"{name}={value}") for name, value in pairs)]
        for name, text in texts:
            character = unfit_character(text)
            if character is not None:
                text = N_("{field} holds the character {character}, which no text may hold")
                return problem(request, "unfit_text", text, field=told(name), character=character)
        announced = head.get(b"content-length") or ""
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > self._limits.largest_bytes:
            return self._too_large(request)
        return None

    def _too_large(self, request: Request) -> Response:
        limit = self._limits.largest_bytes
        return problem(request, "body_too_large", N_("A body may have {limit} bytes."), limit=limit, headers=CLOSE)

    async def _serve(self, request: Request, receive: Receive, answer: _Answer) -> None:
        try:
            await self._app(request.scope, self._measured(receive), answer.send)
        except Exception:
            number = secrets.token_hex(6)
            _log.exception("incident %s: %s %s", number, request.method, request.scope["path"])
            if answer.begun:
                raise  # the answer is under way: the server ends the connection
            await problem(
                request,
                "internal_error",
                N_("This is a mistake of the program. The log tells more under incident {incident}."),
                incident=number,
            )(request.scope, receive, answer.send)

    def _measured(self, receive: Receive) -> Receive:
        """What comes in, as far as the limits go. Raises HTTPException, which is answered as any other."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._limits.longest_s
        size = 0
        whole = False

        async def measured() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(until_s):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers=CLOSE) from None
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > self._limits.largest_bytes:
                    raise HTTPException(413, headers=CLOSE)
                whole = not message.get("more_body", False)
            return message

        return measured
