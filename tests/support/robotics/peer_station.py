"""The product in a process of its own over the equipment of `tests/peer/plc_peer.py`, and a person at its requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import col, select

import api.wiring as wiring
import swap.station.resume as resume
from api.logs import configure_logging
from api.settings import Settings
from swap.config.loading import parse_station
from swap.gate import check_in
from swap.messages.events import ControllerStarted
from swap.messages.requests import Confirm, Decide, DecisionKind, Request
from swap.station.lease import ControllerRunning
from swap.station.life.coming_back import Cause, Ending
from swap.station.life.ownership import CellOwned
from swap.station.requests import make_request
from swap.station.resume import CellWorkedBefore
from swap.station.sequence.session import STATION_REASONS, Phase
from swap.store import Store
from swap.tables import ControllerLease, ControlRequest, Station, StationEvent, Swap
from tests.support.robotics.peer import LIMIT_S, Peer, until
from tests.support.sim.plant import station_data
from tests.support.swap.databases import migrated_sqlite

PERSON = "Person on shift"
PATIENCE_S = 90.0
"""Real seconds to wait for anything, many times what it takes on an idle machine."""
BUSY = tuple(("held", reason) for reason in (Cause.CONTROL_GAP, "database_lost"))
"""Mode and reason of a station that was away for longer than its rule allows."""
CELL_CHANGED = "cell_changed"
"""Why a swap waits whose cell has let a station go that was not heard in time."""
STILL_BEATS = 4
"""Heartbeats of the station at the cell, two seconds of them, in which a held station must leave everything alone."""


@dataclass(frozen=True)
class Life:
    """How one process runs."""

    doors: bool = False
    """All of `swap run`; else its controller and commerce, which begin sooner."""
    flawed: bool = False
    """It takes every end for a clean stop, and goes on by itself."""
    new_record_by: str | None = None
    """Person who begins a new record for a cell that has worked before."""


PLAIN = Life()


def _run(file: str, url: str, log: str, life: Life) -> None:
    """The process: until SIGTERM."""
    os.environ["LANG"] = "C.UTF-8"
    if life.flawed:
        setattr(resume, "person_needed", lambda _: None)  # noqa: B010
        setattr(resume, "_ending", lambda _: Ending.STOPPED)  # noqa: B010
    out = open(log, "a", buffering=1, encoding="utf-8")  # noqa: SIM115  # ends with the process
    os.dup2(out.fileno(), 1)
    os.dup2(out.fileno(), 2)
    configure_logging("info")
    config = parse_station(json.loads(Path(file).read_text(encoding="utf-8")))
    settings = Settings(database_url=url, station_file=Path(file), port=0)
    if life.doors:
        raise SystemExit(asyncio.run(wiring.serve(settings, config, lambda line: print(line, flush=True))))
    raise SystemExit(asyncio.run(_serve(wiring.Station(settings, config), life)))


async def _serve(station: wiring.Station, life: Life) -> int:
    try:
        station.prepare()
        station.controller.new_record_by = life.new_record_by
        running: asyncio.Task[Any] = asyncio.create_task(station.controller.run())
        commerce = asyncio.create_task(station.commerce.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            return 0
        finally:
            commerce.cancel()
            await asyncio.wait([commerce])
    except (ControllerRunning, CellOwned, CellWorkedBefore) as error:
        print(error, flush=True)
        return wiring.REFUSED
    finally:
        station.close()
    return 1


def forkserver() -> Any:
    """Processes that begin with everything imported and nothing running."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.robotics.peer_station"])
    return context


class Product:
    """One station, its database, and its lives one after another.

    Args:
        changes: what its station file has instead of the usual.
    """

    def __init__(self, folder: Path, peer: Peer, **changes: Any) -> None:
        folder.mkdir(parents=True)
        self.peer = peer
        self.data = station_data(ports=peer.ports, map_name=peer.map.name) | {"devices": "real"} | changes
        self.config = parse_station(self.data)
        self.file = folder / "station.json"
        self.file.write_text(json.dumps(self.data), encoding="utf-8")
        self.url = migrated_sqlite(folder / "station.db")
        self.store = Store(self.url)
        self.log = folder / "station.log"
        self.lives: list[Any] = []
        self.swap_id = ""

    # -- its lives

    @property
    def pid(self) -> int:
        """Of the newest life."""
        pid: int = self.lives[-1].pid
        return pid

    async def start(self, life: Life = PLAIN, *, heard: bool = True) -> None:
        """A new life, until its controller has begun and, where wanted, the cell has heard it."""
        starts, beats = self.starts(), self.beats()
        self._begin(life)
        await self.until(lambda: self.starts() > starts and (not heard or self.beats() > beats))

    async def refused(self, why: str) -> None:
        """A new life that ends by itself, with code 2 and a reason."""
        self._begin(Life())
        assert await self.ended() == wiring.REFUSED, self.said()
        assert why in self.said(), self.said()

    def _begin(self, life: Life) -> None:
        arguments = (str(self.file), self.url, str(self.log), life)
        process = forkserver().Process(target=_run, args=arguments)
        process.start()
        self.lives.append(process)

    def send(self, number: signal.Signals, life: int = -1) -> None:
        """A signal to a life."""
        os.kill(self.lives[life].pid, number)

    async def ended(self, life: int = -1) -> int | None:
        """The exit code of a life."""
        await asyncio.to_thread(self.lives[life].join, LIMIT_S)
        code: int | None = self.lives[life].exitcode
        return code

    async def kill(self) -> None:
        """As by `kill -9`."""
        self.send(signal.SIGKILL)
        assert await self.ended() == -signal.SIGKILL

    def close(self) -> None:
        for process in self.lives:
            process.kill()
            process.join(LIMIT_S)
        self.store.close()

    def forget(self) -> None:
        """The lease of a life that is silent is as old as if its time were over."""
        with self.store.station(self.config.station.id) as db:
            lease = db.get_one(ControllerLease, self.config.station.id)
            lease.heartbeat_at -= timedelta(minutes=1)
            db.add(lease)

    # -- what the record says

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait; AssertionError with what the record and the peer have, when it never comes true."""

        def met() -> object:
            process = self.lives[-1]
            assert process.exitcode is None, f"ended with {process.exitcode}: {self.said()}"
            return condition()

        try:
            await until(met, PATIENCE_S)
        except TimeoutError:
            with self.store.reading() as db:
                query = select(StationEvent).order_by(col(StationEvent.seq).desc()).limit(6)
                told = [(event.kind, event.data) for event in reversed(db.exec(query).all())]
            raise AssertionError(
                f"not in {PATIENCE_S} s; mode {self.mode()}; swap {self.swap()}; record: {told}; "
                f"cell: {self.peer.lines()[-5:]}; terminal: {self.said()}"
            ) from None

    async def comes(self, condition: Callable[[], object]) -> None:
        """As `until`; a person lets a station go on that a busy machine has kept from looking or from storing."""
        while True:
            await self.until(lambda: condition() or self.mode() in BUSY or self.waits_by() == CELL_CHANGED)
            if condition():
                return
            await self.let_go_on()

    def said(self, characters: int = 1500) -> str:
        """The end of what it has logged and said."""
        return self.log.read_text(encoding="utf-8")[-characters:] if self.log.exists() else ""

    def starts(self) -> int:
        """Controllers that have begun."""
        with self.store.reading() as db:
            return len(db.exec(select(StationEvent.seq).where(StationEvent.kind == ControllerStarted.kind)).all())

    def mode(self) -> tuple[str, str]:
        """Mode of the station and its reason."""
        with self.store.reading() as db:
            row = db.get_one(Station, self.config.station.id)
            return row.mode, row.mode_reason

    def swap(self) -> tuple[str, str, str | None] | None:
        """State, phase and reason of the newest swap."""
        if not self.swap_id:
            return None
        with self.store.reading() as db:
            row = db.get_one(Swap, self.swap_id)
            return row.state, row.phase, row.hold_reason

    def state(self) -> str:
        """State of the newest swap, or nothing."""
        return (self.swap() or ("",))[0]

    def waits_by(self) -> str | None:
        """Why the newest swap waits for a person."""
        swap = self.swap()
        return swap[2] if swap is not None and swap[1] == Phase.HELD else None

    # -- what the cell has heard

    def beats(self) -> int:
        """Heartbeats that the cell was sent."""
        first = self.peer.map.entries["owner_claim"].address
        return sum(1 for w in self.peer.said("write") if w["first"] <= first < w["first"] + len(w["words"]))

    async def stays(self) -> None:
        """For a while the cell hears nothing but heartbeats and holds."""
        before, beats = self.asked(), self.beats()
        await self.until(lambda: self.beats() >= beats + STILL_BEATS)
        begun = self.asked()[len(before) :]
        assert not begun, f"nobody has confirmed: {begun}"

    async def leaves_all_alone(self) -> None:
        """It stays, and is held."""
        await self.stays()
        assert self.mode()[0] == "held", self.mode()

    def asked(self) -> list[dict[str, Any]]:
        """All that can move something, as the cell has taken it: commands, motions, and holds withdrawn."""
        return [
            line
            for line in self.peer.lines()
            if line["event"] in ("command", "motion", "goes_on")
            or (line["event"] == "hold" and not line["hold"] and not line["late"])
        ]

    # -- what a person does

    def arrive(self, vehicle_id: str = "V1") -> str:
        """A truck checks in."""
        with self.store.station(self.config.station.id) as db:
            at = datetime.now(UTC)
            self.swap_id = check_in(db, self.config, vehicle_id=vehicle_id, at=at).swap_id
        return self.swap_id

    async def ask(self, request: Request) -> None:
        """Ask until it is done; a refusal tells the person to look again."""
        while True:
            with self.store.station(self.config.station.id) as db:
                made = make_request(
                    db, station_id=self.config.station.id, request=request, name=PERSON, at=datetime.now(UTC)
                )
            answered = ""

            def settled(request_id: int = made.request_id) -> bool:
                nonlocal answered
                with self.store.reading() as db:
                    answered = db.get_one(ControlRequest, request_id).status
                return answered != "open"

            await self.until(settled)
            if answered == "done":
                return

    async def confirmed(self) -> None:
        """Held, until a person has confirmed."""
        await self.until(lambda: self.mode()[0] == "held")
        await self.ask(Confirm())

    async def let_go_on(self) -> None:
        """A person lets a held station, or a held swap, go on; nothing where neither is held."""
        reason = self.waits_by()
        if self.mode()[0] == "held" or reason in STATION_REASONS:
            await self.ask(Confirm())
        elif reason is not None:
            await self.ask(Decide(swap_id=self.swap_id, decision=DecisionKind.CONTINUE))


@asynccontextmanager
async def product(folder: Path, peer: Peer, **changes: Any) -> AsyncIterator[Product]:
    """A product whose processes end with the block."""
    made = Product(folder, peer, **changes)
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            await asyncio.to_thread(made.close)
