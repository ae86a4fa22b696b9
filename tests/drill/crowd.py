"""Many who look at a station at once, in a process of their own: HTTP clients, and consoles over WebSocket."""

from __future__ import annotations

import asyncio
import os
import time
from multiprocessing.connection import Connection

import httpx
from websockets.asyncio.client import connect

from swap.store import Store
from tests.support.api.people import PersonAuth, session, the_administrator

PATHS = ("/swaps?limit=20", "/events?limit=100", "/bookings", "/bills", "/packs", "/stations/{station}/state")
PAUSE_S = 0.2
"""Real seconds between two requests of one client."""
ALL_THERE_S = 30.0


def run_crowd(port: int, station_id: str, clients: int, consoles: int, url: str, pipe: Connection) -> None:
    """The process: says "ready" when everybody is there, then on any question how many answers came since, and how many
    failures; a console that is gone is one."""
    os.nice(19)  # they stand for machines of their own: they take nothing from the station's
    asyncio.run(_crowd(port, station_id, clients, consoles, url, pipe))


class _Count:
    answers = 0
    failures = 0


async def _crowd(port: int, station_id: str, clients: int, consoles: int, url: str, pipe: Connection) -> None:
    count = _Count()
    there = [asyncio.Event() for _ in range(clients + consoles)]
    limits = httpx.Limits(max_connections=clients or 1)
    auth = PersonAuth(url, organisation_id="op")
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}/api/v1", limits=limits, timeout=30.0, auth=auth
    ) as http:
        paths = [path.format(station=station_id) for path in PATHS]
        tasks = [asyncio.create_task(_client(http, paths, n, count, there[n])) for n in range(clients)]
        cookie = console_cookie(url)
        tasks += [asyncio.create_task(_console(port, cookie, count, there[clients + n])) for n in range(consoles)]
        async with asyncio.timeout(ALL_THERE_S):
            await asyncio.gather(*(event.wait() for event in there))
        pipe.send("ready")
        while True:
            await asyncio.to_thread(pipe.recv)
            gone = sum(task.done() for task in tasks)
            pipe.send((count.answers, count.failures + gone))
            count.answers = count.failures = 0


def console_cookie(url: str) -> str:
    """Header of a browser whose person has signed in: who it is, is asked again at each message."""
    store = Store(url)
    try:
        cookies = session(store, the_administrator(store, organisation_id="op"))
    finally:
        store.close()
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


async def _client(http: httpx.AsyncClient, paths: list[str], number: int, count: _Count, there: asyncio.Event) -> None:
    turn = number
    while True:
        began_s = time.monotonic()
        try:
            answer = await http.get(paths[turn % len(paths)])
            count.answers += answer.is_success
            count.failures += not answer.is_success
        except httpx.TransportError:
            count.failures += 1
        there.set()
        turn += 1
        await asyncio.sleep(max(0.0, PAUSE_S - (time.monotonic() - began_s)))


async def _console(port: int, cookie: str, count: _Count, there: asyncio.Event) -> None:
    address, known = f"ws://127.0.0.1:{port}/console/live?lang=en", {"Cookie": cookie}
    async with connect(address, origin=None, max_size=None, additional_headers=known) as socket:
        async for _ in socket:
            count.answers += 1
            there.set()
