"""What a busy day puts on a station's database: bookings of many clients, bills of many swaps."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from swap.config.station_file import StationConfig
from swap.events import append_event
from swap.messages.events import SwapCompleted
from swap.store import Store
from swap.tables import Swap, SwapSeat
from tests.support.sim.plant import code

BATCH = 10
"""Swaps in one transaction: short, as everybody's are."""
PAUSE_S = 0.05
"""Between two transactions: a writer that never lets go is no busy day but a locked database."""
ASK_EVERY_S = 5.0
NO_ANSWER = 0
"""Counted instead of a status."""


class Clients:
    """Many clients that book, each again and again; used as a context."""

    def __init__(self, base_url: str, config: StationConfig, count: int, auth: httpx.Auth) -> None:
        self.answers: Counter[int] = Counter()
        self._base_url, self._config, self._count, self._auth = base_url, config, count, auth
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="clients")
        self._stop = threading.Event()

    def __enter__(self) -> Clients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=self._count)
        async with httpx.AsyncClient(base_url=self._base_url, timeout=60.0, limits=limits, auth=self._auth) as http:
            await asyncio.gather(*(self._client(http, number) for number in range(self._count)))

    async def _client(self, http: httpx.AsyncClient, number: int) -> None:
        await asyncio.sleep(ASK_EVERY_S * number / self._count)
        while not self._stop.is_set():
            try:
                answer = await http.post("/bookings", json=booking(self._config, number))
                self.answers[answer.status_code] += 1
            except httpx.TransportError:
                self.answers[NO_ANSWER] += 1
            await asyncio.sleep(ASK_EVERY_S)


def completed_swaps(url: str, config: StationConfig, count: int) -> None:
    """Store that many swaps that are completed and have no bill yet."""
    store = Store(url)
    at = datetime.now(UTC)
    for first in range(0, count, BATCH):
        with store.transaction() as db:
            for number in range(first, first + BATCH):
                swap_id = f"sw-drill-{number:05d}"
                db.add(
                    Swap(
                        id=swap_id,
                        station_id=config.station.id,
                        vehicle_id=f"V{number % 4 + 1}",
                        lane_id="L1",
                        recipe="top_lift",
                        state="completed",
                        entered_at=at,
                        arrived_at=at - timedelta(hours=1),
                        dispatched_at=at - timedelta(minutes=5),
                        ended_at=at,
                    )
                )
                db.flush()
                db.add(
                    SwapSeat(
                        swap_id=swap_id,
                        seat=1,
                        old_pack_id=code(1),
                        new_pack_id=code(2),
                        exchanged=True,
                        last_settled_soe_kwh=260.0,
                        returned_soe_kwh=80.0,
                    )
                )
                append_event(
                    db,
                    SwapCompleted(seats=1, exchanged=(1,)),
                    station_id=config.station.id,
                    at=at,
                    swap_id=swap_id,
                    lane_id="L1",
                )
        time.sleep(PAUSE_S)
    store.close()


def bills(url: str) -> int:
    """How many bills there are."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as db:
        return int(db.execute("SELECT count(*) FROM bill WHERE swap_id LIKE 'sw-drill-%'").fetchone()[0])


def booking(config: StationConfig, number: int) -> dict[str, Any]:
    """Body of a booking of one of the trucks, in one of the hours of tomorrow."""
    from_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=24 + number % 12)
    return {
        "vehicle_id": f"V{number % 4 + 1}",
        "station_id": config.station.id,
        "window_start_at": from_at.isoformat(),
        "window_end_at": (from_at + timedelta(hours=1)).isoformat(),
    }
