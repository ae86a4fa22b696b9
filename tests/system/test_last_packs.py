"""Many clients want the last packs at one time, over HTTP, of two processes of one database.

As many are promised as there are packs; each of the others gets an alternative that it can book, or is told until when
there is none. `CROWD=200` asks with more clients than the run of all tests does; that no robot is held by it is shown
by the drill of the same name.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from swap.audit import audit
from tests.support.api.people import account, signed_in
from tests.support.ports import own_ports
from tests.support.swap.commerce import AT, STATION, charge_packs, filled_store, station

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = int(os.environ.get("CROWD", "60"))
PACKS = 6
ROOT = Path(__file__).parents[2]
STARTS_S = 60.0
BOOKINGS = "/api/v1/bookings"

SERVER = """
import sys
import uvicorn
from api.app import create_app
from api.edge.protocol import KEEP_ALIVE_S
from api.settings import Settings
from swap.store import Store
from tests.support.swap.commerce import AT, station
class Stopped:
    speed = 1.0
    def now(self):
        return AT
url, port, file, trucks = sys.argv[1:]
settings = Settings(database_url=url, station_file=file)
app = create_app(Store(url), station(trucks=int(trucks), packs=6, bays=8, lanes=2), Stopped(), settings=settings)
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", timeout_keep_alive=KEEP_ALIVE_S)
"""


@contextmanager
def servers(url: str, folder: Path, count: int) -> Iterator[list[int]]:
    """Processes of the doors on one database; their ports."""
    ports, running = own_ports(count), list[subprocess.Popen[bytes]]()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    try:
        for port in ports:
            arguments = (sys.executable, "-c", SERVER, url, str(port), str(folder / "station.toml"), str(CLIENTS))
            running.append(subprocess.Popen(arguments, cwd=ROOT, env=environment))
        yield ports
    finally:
        for process in running:
            process.kill()
            process.wait()


async def answered(http: httpx.AsyncClient, process_port: int) -> None:
    async with asyncio.timeout(STARTS_S):
        while True:
            try:
                await http.get(f"http://127.0.0.1:{process_port}/health")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


def window(vehicle: int, start_at: str, end_at: str) -> dict[str, Any]:
    return {
        "station_id": STATION,
        "vehicle_id": f"V{vehicle}",
        "window_start_at": start_at,
        "window_end_at": end_at,
    }


async def crowd(ports: list[int], headers: dict[str, str]) -> tuple[list[httpx.Response], list[httpx.Response]]:
    """Every client at once, half of them at each process; then everybody who was offered something takes it at the
    other process."""
    start_at = AT + timedelta(minutes=30)
    wanted = start_at.isoformat(), (start_at + timedelta(minutes=30)).isoformat()
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=120) as http:
        await asyncio.gather(*(answered(http, port) for port in ports))

        async def ask(number: int, body: dict[str, Any], turn: int) -> httpx.Response:
            port = ports[(number + turn) % len(ports)]
            return await http.post(f"http://127.0.0.1:{port}{BOOKINGS}", json=body)

        first = await asyncio.gather(*(ask(number, window(number, *wanted), 0) for number in range(CLIENTS)))
        offered = [
            (number, told["related"])
            for number, answer in enumerate(first)
            if answer.status_code == 409 and "next_start_at" in (told := answer.json())["related"]
        ]
        second = await asyncio.gather(
            *(ask(n, window(n, other["next_start_at"], other["next_end_at"]), 1) for n, other in offered)
        )
        return list(first), list(second)


def test_the_last_packs_are_promised_once_and_every_alternative_can_be_booked(
    database_url: str, tmp_path: Path
) -> None:
    config = station(trucks=CLIENTS, packs=PACKS, bays=8, lanes=2)
    with filled_store(database_url, config) as store:
        charge_packs(store)
        headers = signed_in(store, account(store, "administrator", "op"))
        with servers(database_url, tmp_path, 2) as ports:
            first, second = asyncio.run(crowd(ports, headers))
        assert Counter(answer.status_code for answer in first) == {201: PACKS, 409: CLIENTS - PACKS}
        refused = [answer.json()["related"] for answer in first if answer.status_code == 409]
        none = [one for one in refused if "next_start_at" not in one]
        assert all("none_before_at" in one for one in none), "it is said until when there is none"
        assert Counter(answer.status_code for answer in second) == {201: CLIENTS - PACKS - len(none)}
        with store.reading() as session:
            assert {one.name: one.violations for one in audit(session).invariants if one.violations} == {}
