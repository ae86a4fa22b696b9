"""What the doors cost: requests a second over HTTP, against the same statements behind an empty FastAPI route.

One SQLite database of the example station is filled and copied. The statements of a booking, its cancelling and of
reads are recorded once; the reference runs them, and nothing else, in a server of its own on the copy: those of a
request in one transaction, on a connection of the same pool as the doors have (as no route goes without), each handed
to the database's own driver. Both processes are set up as `api.serving` sets up the doors (threads, collection of
memory, limits of a connection, the rights of contracts), and are asked in turns by 1, 8 and 64 clients, after both have
been asked some without being measured: what a process does once is in no figure. The client, which parses every answer,
is the same for both and in the figures of both; the doors' answers are whole records, compressed as the client asks,
the reference's a number. Ratios are of the medians of the rounds, beside them the processor's time of a booking with
its cancelling, and of a read, which has no client in it. The statements alone, in the database's own driver without
HTTP, are printed as a second reference.
`agree`: bookings ≥ 0.5 and reads ≥ 0.6 of the reference.
The months' end is measured by `month_end`.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import event

from api.app import create_app
from api.settings import Settings
from swap.commerce.leases.rights import ContractRights
from swap.config.loading import load_station
from swap.config.seed import sync_station
from swap.identity.accounts import create_user
from swap.identity.sign_in import tokens_for
from swap.store import Store

STATION = Path(__file__).parents[1] / "examples" / "yangquan_mine" / "station.toml"
NOW_AT = datetime(2026, 9, 1, tzinfo=UTC)
CLIENTS = (1, 8, 64)
PAIRS, QUICK_PAIRS = 128, 64
ROUNDS, QUICK_ROUNDS = 15, 3
"""Many short ones: both sides then meet the same moments of a machine that others use too."""
WARM_CLIENTS, WARM_PAIRS = 8, 32
"""Before anything is measured."""
LEAST_BOOKINGS, LEAST_READS = 0.5, 0.6
STARTS_S = 300.0
API = "/api/v1"
READS = (f"{API}/bookings?limit=20", f"{API}/stations/{{station_id}}", f"{API}/packs")
Statements = list[tuple[str, tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """The statements of each request."""

    booking_id: str
    book: Statements
    cancel: Statements
    reads: list[Statements]


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is asked."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Seconds of the processor that its threads have used (Linux)."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((one / "schedstat").read_text(encoding="ascii").split()[0]) for one in threads) / 1e9


class Stopped:
    """Station time that stands still."""

    speed = 1.0

    def now(self) -> datetime:
        """Always the same instant."""
        return NOW_AT


def run(quick: bool = False) -> Mapping[str, object]:
    """Requests a second and ratios, by number of clients."""
    config = load_station(STATION)
    pairs, rounds = (QUICK_PAIRS, QUICK_ROUNDS) if quick else (PAIRS, ROUNDS)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        user_id = _fill(folder / "ours.db")
        recorded = asyncio.run(_record(folder / "ours.db", _signed_in(folder / "ours.db", user_id)))
        (folder / "recorded").write_bytes(pickle.dumps(recorded))
        shutil.copy(folder / "ours.db", folder / "bare.db")
        driver_s = _driver(folder / "bare.db", recorded, pairs)
        with _server("ours", folder) as ours, _server("bare", folder) as bare:
            for who, server in (("ours", ours), ("bare", bare)):
                headers = _signed_in(folder / "ours.db", user_id)
                asyncio.run(_ask(who, server, headers, WARM_CLIENTS, WARM_PAIRS, config.station.id))
            for clients in CLIENTS:
                rates: dict[tuple[str, str], list[float]] = {}
                for _ in range(rounds):
                    headers = _signed_in(folder / "ours.db", user_id)  # a token lasts less than all rounds may
                    for who, server in (("ours", ours), ("bare", bare)):
                        told = asyncio.run(_ask(who, server, headers, clients, pairs, config.station.id))
                        for what, value in told.items():
                            rates.setdefault((who, what), []).append(value)
                for what in ("bookings", "reads"):
                    mine, least = median(rates["ours", what]), median(rates["bare", what])
                    found[f"{what}_{clients}_clients_a_second"] = mine
                    found[f"{what}_{clients}_clients_ratio"] = mine / least
                    cpu_ms = {who: 1000 * median(rates[who, f"{what}_cpu_s"]) for who in ("ours", "bare")}
                    found |= {f"{what}_{clients}_clients_{who}_cpu_ms": cpu_ms[who] for who in cpu_ms}
    found["bookings_of_the_driver_alone_a_second"] = pairs / driver_s
    bookings = min(float(str(found[f"bookings_{clients}_clients_ratio"])) for clients in CLIENTS)
    reads = min(float(str(found[f"reads_{clients}_clients_ratio"])) for clients in CLIENTS)
    return found | {"least": [bookings, reads], "agree": bookings >= LEAST_BOOKINGS and reads >= LEAST_READS}


def _signed_in(path: Path, user_id: str) -> dict[str, str]:
    """The headers of a person who signs in now."""
    store = Store(f"sqlite:///{path}")
    try:
        with store.identity() as identity:
            tokens = tokens_for(identity, user_id, datetime.now(UTC))
        return {"Authorization": f"Bearer {tokens.access_token}"}
    finally:
        store.close()


def _fill(path: Path) -> str:
    """The station with charged packs and a person; the person's account."""
    config = load_station(STATION)
    store = Store(f"sqlite:///{path}")
    try:
        store.upgrade()
        sync_station(store, config, NOW_AT)
        with store.station(config.station.id) as db:
            bays = {bay.id: bay for bay in db.bays()}
            for bay_id, pack in db.packs_in_bays().items():
                pack.soc_pct, pack.state = 95.0, "ready"
                pack.energy_kwh = pack.rated_kwh * pack.soh_pct * 0.95 / 100
                pack.temp_max_c = 25.0
                pack.reading_at, bays[bay_id].reading_fresh = NOW_AT, True
        with store.identity() as identity:
            user = create_user(
                identity,
                login="bench",
                name="Bench",
                organisation_id=config.station.operator,
                roles=["administrator"],
                password_hash="-",
                actor="command_line",
                at=NOW_AT,
            )
            return user.user_id
    finally:
        store.close()


def _app(store: Store) -> FastAPI:
    settings = Settings(
        station_file=STATION,
        database_url=store.url,
        hosts=("station",),
        requests_a_second=1_000_000,  # all clients are one caller here
        requests_at_once=1_000_000,
    )
    config = load_station(STATION)
    rights = ContractRights(contract_required=config.commerce.contract_required)
    return create_app(store, config, Stopped(), settings=settings, rights=rights)


def _body(number: int) -> dict[str, Any]:
    """The booking of a client: a truck and a window of its own."""
    config = load_station(STATION)
    start_at = NOW_AT + timedelta(minutes=60 + 30 * number)
    return {
        "station_id": config.station.id,
        "vehicle_id": config.vehicles[number % len(config.vehicles)].id,
        "window_start_at": start_at.isoformat(),
        "window_end_at": (start_at + timedelta(minutes=30)).isoformat(),
    }


async def _record(path: Path, headers: dict[str, str]) -> Recorded:
    """Ask once and keep what the database was asked."""
    store = Store(f"sqlite:///{path}")
    said: Statements = []

    def keep(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            said.append((statement, tuple(parameters)))

    def taken() -> Statements:
        known = list(said)
        said.clear()
        return known

    for engine in (store.engine, store._read_engine):  # noqa: SLF001 - what is measured is what they run
        event.listen(engine, "before_cursor_execute", keep)
    try:
        transport = httpx.ASGITransport(_app(store))
        async with httpx.AsyncClient(transport=transport, base_url="http://station", headers=headers) as client:
            answer = await client.post(f"{API}/bookings", json=_body(0))  # what only the first of each reads
            await client.delete(f"{API}/bookings/{answer.json()['booking_id']}")
            await client.get(f"{API}/packs")
            taken()
            answer = await client.post(f"{API}/bookings", json=_body(0))
            assert answer.status_code == 201, answer.text
            booking_id, book = answer.json()["booking_id"], taken()
            answer = await client.delete(f"{API}/bookings/{booking_id}")
            assert answer.status_code == 200, answer.text
            cancel = taken()
            reads = []
            for path_of in READS:
                answer = await client.get(path_of.format(station_id=load_station(STATION).station.id))
                assert answer.status_code == 200, answer.text
                reads.append(taken())
        return Recorded(booking_id, book, cancel, reads)
    finally:
        store.close()


class _Replay:
    """Runs recorded statements as a request of its own."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.seq, self.number = count(1_000_000_000), count()

    def statements(self, said: Statements, booking_id: str) -> Iterator[tuple[str, list[Any]]]:
        """The same, of another booking and with numbers of its own."""
        old = self.recorded.booking_id
        for statement, parameters in said:
            given = [value.replace(old, booking_id) if isinstance(value, str) else value for value in parameters]
            if statement.startswith("INSERT INTO station_event"):
                columns = statement.partition("(")[2].partition(")")[0].replace(" ", "").split(",")
                given[columns.index("seq")] = next(self.seq)
            yield statement, given

    def run(self, connection: sqlite3.Connection, said: Statements, booking_id: str) -> None:
        """In one transaction that writes."""
        connection.execute("BEGIN IMMEDIATE")
        for statement, given in self.statements(said, booking_id):
            connection.execute(statement, given).fetchall()
        connection.execute("COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    """Outside of any pool."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _driver(path: Path, recorded: Recorded, pairs: int) -> float:
    """Seconds of the statements alone, in a copy."""
    copy = path.with_suffix(".driver")
    shutil.copy(path, copy)
    connection, replay = _connect(copy), _Replay(recorded)
    began_s = perf_counter()
    for number in range(pairs):
        booking_id = f"bk-driver{number}"
        replay.run(connection, recorded.book, booking_id)
        replay.run(connection, recorded.cancel, booking_id)
    taken_s = perf_counter() - began_s
    connection.close()
    return taken_s


def _bare_app(folder: Path) -> FastAPI:
    """Empty routes over the recorded statements."""
    import threading

    replay = _Replay(pickle.loads((folder / "recorded").read_bytes()))
    store = Store(f"sqlite:///{folder}/bare.db")
    engines = {True: store.engine, False: store._read_engine}  # noqa: SLF001 - as above
    writes = threading.Lock()
    app = FastAPI()

    def run(said: Statements, booking_id: str, *, write: bool) -> None:
        with engines[write].begin() as connection:
            driver: Any = connection.connection.dbapi_connection
            for statement, given in replay.statements(said, booking_id):
                driver.execute(statement, given).fetchall()

    @app.post(f"{API}/bookings", status_code=201)
    def book() -> dict[str, str]:
        booking_id = f"bk-bare{next(replay.number)}"
        with writes:
            run(replay.recorded.book, booking_id, write=True)
        return {"booking_id": booking_id}

    @app.delete(f"{API}/bookings/{{booking_id}}")
    def cancel(booking_id: str) -> dict[str, str]:
        with writes:
            run(replay.recorded.cancel, booking_id, write=True)
        return {"booking_id": booking_id}

    def read(number: int) -> dict[str, int]:
        run(replay.recorded.reads[number], "-", write=False)
        return {"number": number}

    @app.get(f"{API}/bookings")
    def bookings() -> dict[str, int]:
        return read(0)

    @app.get(f"{API}/stations/{{station_id}}")
    def station(station_id: str) -> dict[str, int]:
        return read(1)

    @app.get(f"{API}/packs")
    def packs() -> dict[str, int]:
        return read(2)

    return app


@contextmanager
def _server(who: str, folder: Path) -> Iterator[Server]:
    """A server in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.commerce", who, str(folder), str(port)]
    process = subprocess.Popen(command, env=os.environ)
    try:
        until_s = perf_counter() + STARTS_S
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except httpx.TransportError:
                if process.poll() is not None or perf_counter() > until_s:
                    raise
                sleep(0.1)
        yield Server(port, process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


async def _ask(
    who: str, server: Server, headers: dict[str, str], clients: int, pairs: int, station_id: str
) -> dict[str, float]:
    """Bookings with their cancelling, and reads, a second, and what the server's processor needs of each."""
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    base_url = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=base_url, headers=headers, limits=limits, timeout=120) as http:

        async def books(number: int) -> None:
            for _ in range(pairs // clients):
                answer = await http.post(f"{API}/bookings", json=bodies[number])
                assert answer.status_code == 201, f"{who}: {answer.text}"
                answer = await http.delete(f"{API}/bookings/{answer.json()['booking_id']}")
                assert answer.status_code == 200, f"{who}: {answer.text}"

        async def reads(number: int) -> None:
            for turn in range(pairs // clients):
                path = READS[(number + turn) % len(READS)].format(station_id=station_id)
                answer = await http.get(path)
                assert answer.status_code == 200, f"{who}: {answer.text}"

        bodies = [_body(number) for number in range(clients)]
        found = {}
        for what, task in (("bookings", books), ("reads", reads)):
            began_s, worked_s = perf_counter(), server.cpu_s()
            await asyncio.gather(*(task(number) for number in range(clients)))
            done = pairs // clients * clients
            found[what] = done / (perf_counter() - began_s)
            found[f"{what}_cpu_s"] = (server.cpu_s() - worked_s) / done
        return found


def _serve(who: str, folder: Path, port: int) -> None:
    import uvicorn
    from anyio.to_thread import current_default_thread_limiter

    from api.edge.protocol import LimitedHttp
    from api.serving import THREADS, keep_loaded

    app = _bare_app(folder) if who == "bare" else _app(Store(f"sqlite:///{folder}/ours.db"))
    config = uvicorn.Config(app, host="127.0.0.1", port=port, http=LimitedHttp, log_level="error", access_log=False)

    async def serve() -> None:
        current_default_thread_limiter().total_tokens = THREADS
        await uvicorn.Server(config).serve()

    keep_loaded()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
