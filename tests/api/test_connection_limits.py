"""What clients may take of the server: connections, heads, time. On a real socket, since no application sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.edge.protocol import BEYOND, ConnectionLimits, LimitedHttp, fit
from api.serving import config_of

pytestmark = pytest.mark.system

LIMITS = ConnectionLimits(most=20, head_s=0.3, reading_s=0.3, head_bytes=4096)
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def lost() -> asyncio.Queue[Exception | None]:
    """Connections that have ended at the server."""
    return asyncio.Queue()


@pytest.fixture
async def port(app: FastAPI, lost: asyncio.Queue[Exception | None]) -> AsyncIterator[int]:
    """The server of an app, with small limits."""

    class Limited(LimitedHttp):
        limits = LIMITS

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.put_nowait(exc)

    config = uvicorn.Config(app, port=0, http=Limited, log_config=None, lifespan="off", timeout_keep_alive=1)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await server.shutdown()


@asynccontextmanager
async def connected(
    port: int, count: int = 1
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Connections to the server, ended on leaving."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """Status and body of what is answered until the server ends the connection."""
    async with asyncio.timeout(20):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


@pytest.mark.parametrize(
    "begin", [b"", b"\r\n", b"GET /health HTTP/1.1\r\nHost: loc", b"GET /health HTTP/1.1\r\n", b"P"]
)
async def test_half_a_request_is_not_waited_for(port: int, begin: bytes) -> None:
    """D4: 408, whatever was sent of it."""
    async with connected(port) as [(reader, writer)]:
        writer.write(begin)
        status, problem = await answer(reader)
    assert (status, problem["code"]) == (408, "timeout")


async def test_a_second_half_request_is_not_waited_for_either(port: int) -> None:
    """D4: on a connection that was kept."""
    async with connected(port) as [(reader, writer)]:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        writer.write(b"GET /health HT")
        assert (await answer(reader))[0] == 408


@pytest.mark.parametrize("name", [b"X-Large", b"Cookie"])
@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_a_large_head_is_refused(port: int, name: bytes, end: bytes) -> None:
    """D4: complete or not."""
    async with connected(port) as [(reader, writer)]:
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + name + b": " + b"x" * 5000 + end)
        status, problem = await answer(reader)
    assert (status, problem["code"]) == (431, "headers_too_large")


async def test_a_connection_too_many_is_told_so(port: int) -> None:
    """D4: 503 for the next one, while those before it are still waited for."""
    async with connected(port, LIMITS.most + 1) as opened:
        reader, writer = opened[-1]
        writer.write(REQUEST)
        status, problem = await answer(reader)
    assert (status, problem["code"]) == (503, "too_many_connections")


async def test_half_open_connections_take_no_place_for_long(port: int) -> None:
    """D4: every one of many ends, those beyond any answer at once, and then the server serves."""
    async with connected(port, LIMITS.most + BEYOND + 10) as opened:
        async with asyncio.timeout(20):
            ended = await asyncio.gather(*(reader.read() for reader, _ in opened), return_exceptions=True)
    late = [told for told in ended if isinstance(told, bytes) and told.startswith(b"HTTP/1.1 408 ")]
    assert len(late) == LIMITS.most + BEYOND
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/api/v1/problems")).status_code == 200


async def test_a_client_that_does_not_read_is_let_go(
    app: FastAPI, port: int, lost: asyncio.Queue[Exception | None]
) -> None:
    """D4: its answer would stay in memory."""

    @app.get("/long")
    def long() -> str:
        return "x" * 30_000_000

    async with connected(port) as [(reader, writer)]:
        writer.write(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readexactly(100)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert lost.empty()
        async with asyncio.timeout(20):
            assert await lost.get() is None


def test_connections_leave_files_for_the_rest() -> None:
    """D4: `ulimit -n`."""
    assert fit(ConnectionLimits(), 1024).most == 512
    assert fit(ConnectionLimits(), 256).most == 64
    assert fit(ConnectionLimits(), 64).most == 8


def test_an_idle_connection_outlives_what_clients_keep() -> None:
    """Else one sends a request on a connection that is just being closed, and hears of it only as an error."""
    kept_s = httpx.Limits().keepalive_expiry
    assert kept_s is not None
    assert kept_s + 5 <= config_of(FastAPI(), LimitedHttp).timeout_keep_alive
