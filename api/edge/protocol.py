"""Limits of a connection, which no application sees: how many, how long until a request, how large its head.

uvicorn's HTTP protocol with a clock on every wait for the client: for a head, and for the client to read its answer.
(A wait between two requests has uvicorn's own limit, a body those of `api.edge.gate`.)
"""

from __future__ import annotations

import asyncio
import json
import resource
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.problems import KINDS, MEDIA_TYPE, PLACE

SPARE_FILES = 128
"""Open files that are left to the database, the devices and the log."""
BEYOND = 64
"""Connections over the limit that are still told so; further ones are ended at once."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one client, and all together, may take."""

    most: int = 512
    """Connections at a time, WebSockets among them."""
    head_s: float = 10.0
    """Real seconds until the head of a request is there."""
    reading_s: float = 30.0
    """Real seconds that a client may let an answer lie."""
    head_bytes: int = 32_768


KEEP_ALIVE_S = 12
"""An idle connection is kept so long: longer than common clients keep theirs (httpx 5 s), so that none sends a request
on a connection that is just being closed here. Each kept one takes a place of `ConnectionLimits.most`."""


def fit(limits: ConnectionLimits, open_files: int | None = None) -> ConnectionLimits:
    """The limits with as many connections as the process may have open files."""
    if open_files is None:
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if open_files == resource.RLIM_INFINITY:
            return limits
    most = max(8, min(limits.most, open_files - SPARE_FILES - BEYOND))
    return ConnectionLimits(most, limits.head_s, limits.reading_s, limits.head_bytes)


def _body(code: str) -> bytes:
    """A problem that is told before anything is known of the reader: in English."""
    kind = KINDS[code]
    return json.dumps(
        {
            "type": f"{PLACE}#{code}",
            "code": code,
            "title": kind.title,
            "status": kind.status,
            "detail": kind.title,
            "instance": None,
            "problems": [],
            "related": {},
            "incident": None,
            "request_id": None,
        }
    ).encode()


class _Refusing:
    """An application that answers everything with one problem and ends the connection."""

    def __init__(self, code: str) -> None:
        self._response = Response(_body(code), KINDS[code].status, {"Connection": "close"}, media_type=MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(scope, receive, send)


class LimitedHttp(HttpToolsProtocol):
    """One connection."""

    limits = ConnectionLimits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._clock: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.most + BEYOND:
            transport.abort()
            return
        if len(self.connections) > self.limits.most:
            self._refuse_with("too_many_connections")
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._head_is_there()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of the client."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes:
                self._end("headers_too_large")
            elif self.timeout_keep_alive_task is None:
                self._wait_for_head()  # also for what is no beginning of a request, such as empty lines

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there: its route is looked for now."""
        self._head_is_there()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self.limits.head_bytes:
            self._refuse_with("headers_too_large")
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The answer is written."""
        super().on_response_complete()
        self._in_head, self._head_bytes = True, 0

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        super().pause_writing()
        if self._reading is None:
            self._reading = self.loop.call_later(self.limits.reading_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        super().resume_writing()

    def _wait_for_head(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(self.limits.head_s, self._end, "timeout")

    def _head_is_there(self) -> None:
        self._in_head = False
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse_with(self, code: str) -> None:
        """The next request of this connection is answered by this problem, and is its last."""
        self.app = _Refusing(code)

    def _end(self, code: str) -> None:
        """Answer with a problem and end the connection, where no request could be read."""
        self._clock = None
        if self.transport.is_closing():
            return
        status, body = KINDS[code].status, _body(code)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
