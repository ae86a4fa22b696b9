"""The client of the product on an app of this process: no socket, no wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI


class InProcess(httpx.BaseTransport):
    """Sends requests to an app on the event loop of a portal."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        self._app = httpx.ASGITransport(app)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._app.handle_async_request(request)
        content = await answer.aread()  # unpacked
        answer.headers.pop("content-encoding", None)
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


@contextmanager
def in_process(app: FastAPI) -> Iterator[InProcess]:
    """A transport to an app, while its portal runs."""
    with start_blocking_portal() as portal:
        yield InProcess(app, portal)
