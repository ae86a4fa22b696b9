"""Two hundred clients want the last packs over HTTP while a robot carries one: it is not held, and its swap ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.drill.drill import Drill, drilling
from tests.drill.postgres import running_server
from tests.support.postgres import PostgresMissingError
from tests.support.tools import skip_or_fail

pytestmark = [pytest.mark.drill, pytest.mark.system, pytest.mark.timeout(400)]

CLIENTS = 200
SLOT = timedelta(minutes=30)


async def crowd(drill: Drill, now: datetime) -> tuple[Counter[int], Counter[int], int]:
    """Status of everybody's first wish, and of the alternatives that were taken; how many had none."""
    limits = httpx.Limits(max_connections=64)
    base_url = f"http://127.0.0.1:{drill.port}/api/v1"
    async with httpx.AsyncClient(base_url=base_url, auth=drill.auth, limits=limits, timeout=200) as http:

        async def ask(number: int, start_at: str, end_at: str) -> httpx.Response:
            window = {"window_start_at": start_at, "window_end_at": end_at}
            body = {"station_id": drill.config.station.id, "vehicle_id": f"V{number}", **window}
            return await http.post("/bookings", json=body)

        start_at = now + timedelta(hours=1)
        wanted = start_at.isoformat(), (start_at + SLOT).isoformat()
        first = await asyncio.gather(*(ask(number, *wanted) for number in range(2, CLIENTS + 2)))
        offers: list[tuple[int, dict[str, Any]]] = [
            (number, answer.json()["related"]) for number, answer in enumerate(first, start=2) if not answer.is_success
        ]
        taken = [(number, one) for number, one in offers if "next_start_at" in one]
        assert all("next_start_at" in one or "none_before_at" in one for _, one in offers)
        second = await asyncio.gather(*(ask(number, one["next_start_at"], one["next_end_at"]) for number, one in taken))
    asked, again = (Counter(answer.status_code for answer in answers) for answers in (first, second))
    return asked, again, len(offers) - len(taken)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_the_last_packs_hold_no_robot(tmp_path: Path, proved: Callable[[str], None], engine: str) -> None:
    if engine == "sqlite":
        _drill(tmp_path, f"sqlite:///{tmp_path / 'swap.db'}", proved)
        return
    try:
        with running_server() as server:
            _drill(tmp_path, server.url, proved)
    except PostgresMissingError as missing:
        skip_or_fail(str(missing))


def _drill(folder: Path, url: str, proved: Callable[[str], None]) -> None:
    told: list[tuple[Counter[int], Counter[int], int]] = []
    rules = {"alternative_keep_s": 3600}  # station time runs faster than the clients
    with drilling(folder, url, trucks=CLIENTS + 1, bookings=rules) as drill:

        def ask() -> None:
            now = datetime.fromisoformat(drill.events("swap.queued")[-1]["at"])
            told.append(asyncio.run(crowd(drill, now)))

        row = drill.trouble(f"{CLIENTS} clients, the last packs", ask, loses=False)
        ((first, second, none),) = told
        proved(f"{row.line()}\nfirst {dict(first)}, alternatives {dict(second)}, none for {none}")
        assert set(first) == {201, 409}
        assert first.total() == CLIENTS
        assert second == {201: first[409] - none}
        assert row.faults == []
        assert drill.events("control.gap") == []
