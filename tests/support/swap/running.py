"""A controller with its own loops in real time over the plant in memory, on a database that goes away when asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from robotics.port import CommandCode, RobotCommand
from sim.live.direct import DirectRack, DirectRobot, direct_site
from sim.plant.plant import Plant
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.gate import check_in
from swap.register.persons import person_actor
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import StationController
from swap.station.lease import Lease
from swap.station.life.database import ApartDatabase
from swap.station_db import StationDb as Db
from swap.store import Store
from swap.tables import ControlRequest, Station, StationEvent, Swap
from tests.support.sim.plant import START_AT, station_data
from tests.support.swap.databases import fill

LIMIT_S = 30.0
NEVER_S = 1000.0
"""Limits that a loaded machine does not reach."""


MOTION_SHARE = 0.05
"""Motions take this share of their time; their limits stay as they are."""


def patient_station() -> StationConfig:
    """The example station with limits of links that a loaded machine does not reach."""
    data = station_data()
    data["rack_devices"][0]["max_age_s"] = 60
    for lane in data["lanes"]:
        lane["cell"] |= {"max_age_s": 60, "heartbeat_lost_s": 60}
    return parse_station(data)


class FickleStore(Store):
    """A store that can be away."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.away = threading.Event()
        self.forget_next = False
        """The next commit goes through, and its connection ends before it has said so."""

    @contextmanager
    def station(self, station_id: str, holder: str | None = None) -> Iterator[Db]:
        if self.away.is_set():
            raise DatabaseAway("away for a test")
        with super().station(station_id, holder) as db:
            yield db
        if self.forget_next:
            self.forget_next = False
            raise DatabaseAway("ended during a commit for a test", outcome_unknown=True)


class TimedRobot(DirectRobot):
    """Keeps how often it was looked at, and what left for it."""

    looks = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sent: list[RobotCommand] = []

    async def status(self) -> Any:
        self.looks += 1
        return await super().status()

    async def send(self, command: RobotCommand, epoch: int | None = None) -> None:
        self.sent.append(command)
        await super().send(command, epoch)


class Running:
    """One station in the running; `speed` station seconds a real second."""

    def __init__(self, folder: Path, config: StationConfig, *, speed: float = 5.0) -> None:
        self.config = config
        url = f"sqlite:///{folder / 'swap.db'}"
        fill(url, config, START_AT)
        self.people = Store(url)
        self.store = FickleStore(self.people.url)
        self.plant = Plant(config, seed=5, start_at=START_AT)
        self.clock = Clock(START_AT, speed)
        self.motions: list[tuple[str, CommandCode]] = []
        for cell in self.plant.cells.values():
            cell.listeners.append(lambda what, command: self.motions.append((what, command.code)))
            cell.faults.slow_factor = MOTION_SHARE
        self.database = ApartDatabase(self.store, config.station.id)
        self.database.slow_after_s = self.database.lost_after_s = NEVER_S
        lease = Lease(self.people, config.station.id)
        lease.acquire()
        rack = DirectRack(self.plant, self.clock.now, self.pass_on)
        self.robots = {
            lane.id: TimedRobot(self.plant, lane.id, lease.token, self.clock.now, self.pass_on) for lane in config.lanes
        }
        self.controller = StationController(
            StationContext.build(self.database, config, self.clock),
            list(self.robots.values()),
            rack,
            rack,
            direct_site(self.plant, self.clock.now),
            lease,
        )
        self.task: asyncio.Task[None] | None = None

    @property
    def robot(self) -> TimedRobot:
        """Of the first lane."""
        return next(iter(self.robots.values()))

    def pass_on(self) -> None:
        """Bring the plant up to station time."""
        self.plant.advance(max((self.clock.now() - self.plant.now_at).total_seconds(), 0.0))

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """The controller's loops run meanwhile; what ends them is raised."""
        self.task = asyncio.create_task(self.controller.run())
        try:
            await self.until(self.controller.started.is_set, "the controller runs")
            yield
            assert not self.task.done(), "the controller has ended"
        finally:
            self.store.away.clear()
            self.task.cancel()
            await asyncio.wait([self.task])
            self.store.close()
            self.people.close()
        if not self.task.cancelled():
            self.task.result()

    def lose_database(self, *, slow_after_s: float = NEVER_S, lost_after_s: float = NEVER_S) -> None:
        """The database goes away, with limits of its own for what that makes of the station."""
        self.database.slow_after_s, self.database.lost_after_s = slow_after_s, lost_after_s
        self.store.away.set()

    def bring_database_back(self) -> None:
        """It answers again."""
        self.database.lost_after_s = NEVER_S
        self.store.away.clear()

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Wait for something to become true; AssertionError when it does not, or the controller ends."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + LIMIT_S
        while not true():
            if self.task is not None and self.task.done():
                self.task.result()
            assert loop.time() < until_s, f"not within {LIMIT_S} s: {what}; last events {self.told()[-6:]}"
            await asyncio.sleep(0.01)

    def arrive(self, vehicle_id: str = "V1") -> str:
        """A truck comes and checks in; returns the swap."""
        self.pass_on()
        self.plant.arrive(vehicle_id, [30.0])
        with self.people.station(self.config.station.id) as db:
            return check_in(db, self.config, vehicle_id=vehicle_id, at=self.clock.now()).swap_id

    def ask(self, kind: str, name: str = "Person on shift", **arguments: Any) -> int:
        """Write a request of a person."""
        with self.people.station(self.config.station.id) as db:
            row = ControlRequest(
                station_id=self.config.station.id,
                kind=kind,
                arguments=arguments,
                requested_by=person_actor(db, name, self.clock.now()),
                requested_at=self.clock.now(),
            )
            db.add(row)
            db.flush()
            assert row.id is not None
            return row.id

    async def answered(self, request_id: int) -> tuple[str, str]:
        """Status and answer of a request once it is answered."""
        await self.until(lambda: self.answer(request_id)[0] != "open", "an answer")
        return self.answer(request_id)

    def answer(self, request_id: int) -> tuple[str, str]:
        """Status and answer of a request."""
        with self.people.reading() as db:
            row = db.get_one(ControlRequest, request_id)
            return row.status, row.answer

    def swap(self, swap_id: str) -> Swap:
        """The swap's row."""
        with self.people.reading() as db:
            row = db.get_one(Swap, swap_id)
            db.expunge_all()
            return row

    def mode(self) -> tuple[str, str]:
        """Mode as stored, and why."""
        with self.people.reading() as db:
            row = db.get_one(Station, self.config.station.id)
            return row.mode, row.mode_reason

    def told(self, kind: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """Kind and data of the events, in order."""
        with self.people.reading() as db:
            rows = db.exec(select(StationEvent).order_by(col(StationEvent.seq))).all()
            return [(row.kind, dict(row.data)) for row in rows if kind is None or row.kind == kind]

    def begun(self) -> int:
        """Motions that cells have begun."""
        return sum(what in ("accepted", "moved") for what, _ in self.motions)
