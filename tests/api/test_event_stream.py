"""The journal as server-sent events: who sees what, from where on, and when a stream ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from uvicorn import Config, Server

from api.access import caller
from api.edge import stream
from api.edge.stream import EventStreams
from api.routes import records
from swap.errors import DatabaseAway
from swap.events import append_event
from swap.identity.errors import NotSignedIn
from swap.messages.events import SwapQueued
from swap.reading.lists import list_events
from swap.reading.records import EventRecord, Page
from swap.store import Store
from tests.support.api.doors import NOW
from tests.support.api.people import account, administrator, signed_in
from tests.support.ports import own_ports

STATION = "yangquan-mine"


def queue(store: Store, swap_id: str | None, count: int = 1) -> None:
    """Events of a swap, or of none."""
    with store.transaction() as db:
        for _ in range(count):
            told = SwapQueued(booking_id=None, seats=1, vehicle_id="YQ-001", priority=0)
            append_event(db, told, station_id=STATION, at=NOW, swap_id=swap_id)


def read_from(store: Store, lots: list[int] | None = None) -> stream.Read:
    def read(after: int) -> Page[EventRecord]:
        if lots is not None:
            lots.append(after)
        with store.reading_station(STATION) as db:
            return list_events(db, STATION, after=after, limit=stream.LOT)

    return read


async def pulled(events: AsyncIterator[bytes], count: int) -> list[str]:
    return [(await anext(events)).decode() for _ in range(count)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_S", 0.0)


async def test_what_was_missed_comes_first_then_what_happens(app: FastAPI, store: Store) -> None:
    streams: EventStreams = app.state.streams
    head = await streams.head()
    queue(store, None, 3)
    events = streams.events("me", head + 1, read_from(store), lambda: None)
    first, *missed = await pulled(events, 3)
    assert first == "retry: 3000\n\n"
    queue(store, None)
    parts = [dict(line.split(": ", 1) for line in text.split("\n") if line) for text in missed]
    parts += [dict(line.split(": ", 1) for line in (await pulled(events, 1))[0].split("\n") if line)]
    assert [int(part["id"]) for part in parts] == [head + 2, head + 3, head + 4]
    assert {part["event"] for part in parts} == {"swap.queued"}
    assert [json.loads(part["data"])["event_id"] for part in parts] == [head + 2, head + 3, head + 4]
    streams.close()
    assert [text async for text in events] == []


async def test_a_lot_is_read_when_the_one_before_was_sent(app: FastAPI, store: Store) -> None:
    streams: EventStreams = app.state.streams
    head = await streams.head()
    queue(store, None, 2 * stream.LOT + 1)
    lots: list[int] = []
    events = streams.events("me", head, read_from(store, lots), lambda: None)
    await pulled(events, 1 + stream.LOT)
    assert lots == [head], "a client that does not read on makes nobody read on"
    await pulled(events, stream.LOT + 1)
    assert lots == [head, head + stream.LOT, head + 2 * stream.LOT]


async def test_a_sign_of_life_looks_whether_the_client_may_still_read(
    app: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BEAT_S", 0.0)
    streams: EventStreams = app.state.streams
    head, asked = await streams.head(), iter((None, DatabaseAway("away"), NotSignedIn()))

    def may() -> None:
        error = next(asked)
        if error is not None:
            raise error

    events = streams.events("me", head, read_from(store), may)
    _, *beats = await pulled(events, 3)
    assert beats == [f": alive\nid: {head}\n\n"] * 2
    assert [text async for text in events] == []


async def test_a_busy_journal_keeps_nobody_reading(app: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked before each lot, also where nothing of it is the client's; then there are signs of life too."""
    monkeypatch.setattr(stream, "BEAT_S", 0.0)
    streams: EventStreams = app.state.streams
    head, asked = await streams.head(), iter((None, None, NotSignedIn()))

    def may() -> None:
        error = next(asked)
        if error is not None:
            raise error

    def read(after: int) -> Page[EventRecord]:
        found = read_from(store)(after)
        queue(store, None)
        return found if after == head else Page(items=(), next_cursor=None)

    queue(store, None)
    events = streams.events("me", head, read, may)
    sent = [text.decode().split("\n")[0] async for text in events]
    assert sent == ["retry: 3000", f"id: {head + 1}", ": alive", ": alive"]


async def test_an_event_that_came_while_it_was_read_is_sent_once(app: FastAPI, store: Store) -> None:
    """The head is known from before: what was read is newer."""
    streams: EventStreams = app.state.streams
    head = await streams.head()
    queue(store, None, 2)
    first = await streams.head()

    def read(after: int) -> Page[EventRecord]:
        if after == head:
            queue(store, None)
        return read_from(store)(after)

    events = streams.events("me", head, read, lambda: None)
    await pulled(events, 4)
    queue(store, None)
    (newest,) = await pulled(events, 1)
    assert newest.startswith(f"id: {first + 2}\n")


async def test_one_caller_does_not_take_every_stream(app: FastAPI, store: Store) -> None:
    streams: EventStreams = app.state.streams
    head = await streams.head()
    open_ones = [streams.events("me", head, read_from(store), lambda: None) for _ in range(stream.MOST_OF_ONE)]
    for one in open_ones:
        await anext(one)
    streams.check_room("somebody else")
    with pytest.raises(HTTPException) as full:
        streams.check_room("me")
    assert full.value.headers == {"Retry-After": "30"}
    streams.close()
    assert [text async for text in open_ones[0]] == []
    streams.check_room("me")
    for one in open_ones:
        assert [text async for text in one] == []


async def test_a_database_that_is_away_ends_no_stream(
    app: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BEAT_S", 0.0)
    streams: EventStreams = app.state.streams
    head = await streams.head()
    events = streams.events("me", head, read_from(store), lambda: None)
    with monkeypatch.context() as away:

        def gone(*_: Any) -> int:
            raise DatabaseAway("away")

        away.setattr(streams, "_newest", gone)
        assert (await pulled(events, 2))[1].startswith(": alive")
    queue(store, None)
    found = [text for text in await pulled(events, 2) if text.startswith("id: ")]
    assert found
    assert found[0].startswith(f"id: {head + 1}\n")


async def test_a_number_that_there_is_not_yet_is_told(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await client.get("/api/v1/events/stream", headers={"Last-Event-ID": "999999"})
    assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, "Last-Event-ID")
    monkeypatch.setattr(stream, "MOST", 0)
    full = await client.get("/api/v1/events/stream")
    assert (full.status_code, full.headers["Retry-After"]) == (503, "30")


async def test_who_sees_less_from_now_on_is_sent_less(
    app: FastAPI, busy_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []

    async def events(_: EventStreams, *given: Any) -> AsyncIterator[bytes]:
        taken.extend(given)
        yield b""

    monkeypatch.setattr(EventStreams, "events", events)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://station") as http:
        assert (await http.get("/api/v1/events/stream", headers=administrator(busy_store))).is_success
    _, _, read, may = taken
    everything = read(0).items
    fleet = signed_in(busy_store, account(busy_store, "fleet_operator", "fleet-a", "Fleet A"))["Authorization"]
    changed = {"headers": [(b"authorization", fleet.encode())]}
    monkeypatch.setattr(records, "caller", lambda doors, asked: caller(doors, Request(asked.scope | changed)))
    may()
    assert 0 < len(read(0).items) < len(everything)


async def test_over_the_wire_each_sees_its_own_until_the_server_ends(app: FastAPI, busy_store: Store) -> None:
    """The fleet's stream passes by what is not of its trucks; both end when the streams are closed."""
    port = own_ports(1)[0]
    server = Server(Config(app, port=port, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    fleet = signed_in(busy_store, account(busy_store, "fleet_operator", "fleet-a", "Fleet A"))
    with busy_store.reading_station(STATION) as db:
        known = list_events(db, STATION, limit=1000).items
    head = known[-1].event_id
    up_to_now: list[dict[str, str]] = []
    try:
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:

            async def ids(headers: dict[str, str]) -> list[int]:
                found: list[int] = []
                async with http.stream("GET", "/api/v1/events/stream", headers=headers) as answer:
                    assert answer.status_code == 200
                    assert answer.headers["content-type"].startswith("text/event-stream")
                    assert "content-encoding" not in answer.headers
                    async for line in answer.aiter_lines():
                        if line.startswith("data: "):
                            found.append(json.loads(line[6:])["event_id"])
                            if found[-1] > head:
                                up_to_now.append(headers)
                            if len(up_to_now) == 2:
                                app.state.streams.close()
                return found

            swaps = (await http.get("/api/v1/swaps", headers=fleet)).json()["items"]
            streams = [
                asyncio.create_task(ids(one | {"Last-Event-ID": "0"})) for one in (administrator(busy_store), fleet)
            ]
            queue(busy_store, swaps[0]["swap_id"])
            everything, own = await asyncio.gather(*streams)
    finally:
        server.should_exit = True
        await serving
    of_fleet = {swap["swap_id"] for swap in swaps}
    assert everything == list(range(1, head + 2))
    assert own == [event.event_id for event in known if event.swap_id in of_fleet] + [head + 1]
    assert 1 < len(own) < len(everything)
