"""The journal as a stream of server-sent events, for whoever may see it.

A stream holds nothing: it reads one lot of events when the one before has been sent, so a client that reads slowly is
written to slowly, and ended by the connection's own limit (`api.edge.protocol`). What was missed is read from the
journal, from the number that the client names. The newest number is asked of the database once for all streams.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool

from api.deps import Doors
from swap.errors import DatabaseAway
from swap.identity.errors import AccessError
from swap.identity.principal import EVERYTHING
from swap.reading.figures import journal_head
from swap.reading.records import EventRecord, Page

LOOK_S = 0.3
"""How often the database is asked for the newest number (real seconds)."""
BEAT_S = 15.0
"""Real seconds between two signs of life, where nothing else is sent, and between two looks whether the client may
still read, whatever is sent."""
LOT = 100
"""Events read at a time."""
MOST = 64
"""Streams of one process."""
MOST_OF_ONE = 8
"""Streams of one caller."""
RETRY_MS = 3000
"""Milliseconds after which a browser connects again by itself."""

Read = Callable[[int], Page[EventRecord]]
"""The events after a number that a client sees, one lot; blocks."""
May = Callable[[], object]
"""Raises AccessError where the client may not read any more; blocks."""


class EventStreams:
    """The streams of one application."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._open = Counter[str]()
        """By id of the caller."""
        self._closed = asyncio.Event()
        self._asking = asyncio.Lock()
        self._head, self._asked_s = 0, float("-inf")

    def close(self) -> None:
        """End every stream, on the loop."""
        self._closed.set()

    async def head(self) -> int:
        """Number of the newest event, as of `LOOK_S` ago at most. Raises DatabaseAway."""
        clock = asyncio.get_running_loop().time
        async with self._asking:
            if clock() - self._asked_s >= LOOK_S * 0.8:
                self._head = await run_in_threadpool(self._newest)
                self._asked_s = clock()
            return self._head

    def _newest(self) -> int:
        with self._doors.reading(EVERYTHING) as db:
            return journal_head(db)

    @contextmanager
    def _counted(self, caller_id: str) -> Iterator[None]:
        self._open[caller_id] += 1
        try:
            yield
        finally:
            self._open[caller_id] -= 1
            self._open += Counter()  # without those that have none

    def check_room(self, caller_id: str) -> None:
        """Raise HTTPException where there are too many, or too many of one caller."""
        if self._open.total() >= MOST or self._open[caller_id] >= MOST_OF_ONE:
            raise HTTPException(503, headers={"Retry-After": "30"})

    async def events(self, caller_id: str, after: int, read: Read, may: May) -> AsyncIterator[bytes]:
        """What is sent to one client, until it may not read any more or the streams are closed.

        Args:
            after: number of the last event that the client has.
        """
        with self._counted(caller_id):
            yield f"retry: {RETRY_MS}\n\n".encode()
            clock = asyncio.get_running_loop().time
            beat_s = looked_s = clock()
            while not self._closed.is_set():
                page = None
                with suppress(DatabaseAway):  # signs of life go on, and what was missed comes when it is back
                    if clock() - looked_s >= BEAT_S:
                        try:
                            await run_in_threadpool(may)
                        except AccessError:
                            return
                        looked_s = clock()
                    head = await self.head()
                    if head > after:
                        page = await run_in_threadpool(read, after)
                if page is not None:
                    for event in page.items:
                        yield _event(event)
                        after, beat_s = event.event_id, clock()
                    if page.next_cursor is None:
                        # What is left out belongs to others: it is passed by. What was read may be newer than `head`.
                        after = max(after, head)
                if clock() - beat_s >= BEAT_S:
                    yield f": alive\nid: {after}\n\n".encode()
                    beat_s = clock()
                if page is None:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._closed.wait(), LOOK_S)


def _event(event: EventRecord) -> bytes:
    return f"id: {event.event_id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n".encode()
