"""A controller process that kills itself at one point: the product as `swap run` builds it, watched from outside.

Nothing in the product knows of it. The step function, the store and the robot's driver are wrapped here, in the
child process, before the station is built.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NoReturn

import api.wiring as wiring
import swap.station.controller as controller
import swap.station.lane.journal as lane_journal
import swap.station.lane.runner as lanes
import swap.station.records as records
import swap.station.resume as resume
import swap.station.sequence.sequencer as sequencer
from api.settings import Settings
from robotics.plc_robot import PlcRobot
from robotics.port import CellStatus, RobotCommand
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig
from swap.station.lane.runner import LaneRunner
from swap.station.lease import ControllerRunning
from swap.station.life.coming_back import Ending
from swap.station.life.ownership import CellOwned
from swap.station.sequence.permissives import SeatPlan
from swap.station.sequence.recipe import QUEUED, StepTable
from swap.station.sequence.session import Result, Send, Session, StepDone, StepFacts
from swap.station_db import StationDb as Db
from swap.store import Store
from swap.tables import Swap
from tests.prove.kill_points import KillPoint, Moment

real_step = sequencer.step
real_begin = sequencer.begin
real_store_session = records.store_session


def die() -> NoReturn:
    """As by `kill -9`: no handler, no `finally`, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class Watch:
    """Sees each step before it is stored, and says when the process is to die."""

    def __init__(self, point: KillPoint | None) -> None:
        self.point = point
        self.before_commit = False
        self.after_commit = False
        self.seq: int | None = None
        """Number of the command of the point's state."""
        self.done = False
        self.writing = threading.local()
        """Of a thread: its transaction stores the point's step."""

    def at(self, moment: Moment) -> bool:
        """Whether this is the point's moment."""
        return self.point is not None and self.point.moment is moment

    def begin(
        self,
        table: StepTable,
        swap_id: str,
        vehicle_tag: int,
        seats: tuple[SeatPlan, ...],
        now: datetime,
        vehicle_model: str = "",
    ) -> Session:
        """The dispatch of a truck."""
        if self.point is not None and self.point.state == QUEUED:
            self.before_commit, self.after_commit = self.at(Moment.READ), self.at(Moment.DONE)
        return real_begin(table, swap_id, vehicle_tag, seats, now, vehicle_model)

    def step(self, table: StepTable, session: Session, facts: StepFacts) -> Result:
        """One step of the swap."""
        after, effects = real_step(table, session, facts)
        if self.point is not None and session.state == self.point.state:
            for effect in effects:
                if isinstance(effect, Send) and not effect.repeated:
                    self.seq = effect.command.seq
                    self.before_commit = self.at(Moment.STORING)
                elif isinstance(effect, StepDone):
                    self.done = True
                    self.before_commit = self.at(Moment.READ)
                    self.after_commit = self.at(Moment.DONE) and effect.seq is None
        return after, effects

    def store_session(self, db: Db, session: Session) -> Swap:
        """A step is written; its transaction is still open."""
        self.writing.point = self.before_commit or self.after_commit
        return real_store_session(db, session)


def mortal_store(watch: Watch) -> type[Store]:
    """A store whose process dies inside, or right after, a transaction."""

    class MortalStore(Store):
        @contextmanager
        def station(self, station_id: str, holder: str | None = None) -> Iterator[Db]:
            watch.writing.point = False
            with super().station(station_id, holder) as db:
                yield db
                if watch.writing.point and watch.before_commit:
                    db.flush()
                    die()
            if watch.writing.point:
                die()

    return MortalStore


def mortal_robot(watch: Watch) -> type[PlcRobot]:
    """A driver whose process dies before or after a request to the PLC."""

    class MortalRobot(PlcRobot):
        async def send(self, command: RobotCommand, epoch: int | None = None) -> None:
            ours = command.seq == watch.seq
            if ours and watch.at(Moment.STORED):
                die()
            await super().send(command, epoch)
            if ours and watch.at(Moment.SENT):
                die()
            while ours and watch.at(Moment.RUNNING):
                if _heard(await self.status(), command.seq):
                    die()

        async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
            if watch.done and seq == watch.seq and watch.at(Moment.DONE):
                die()
            await super().acknowledge(seq, epoch)

    return MortalRobot


def counted_lane(chances: Synchronized[int]) -> type[LaneRunner]:
    """A lane that counts its rounds in which nothing but a hold keeps the swap from going on."""

    class CountedLane(LaneRunner):
        async def act(self) -> None:
            await super().act()
            context = self.context
            seen = all(context.reading_fresh(bay.id) for bay in context.config.bays if bay.point is not None)
            facts = self.cell_facts(context.cells[self.lane.id])
            heard = facts.fresh and facts.slow_age_s is not None
            nothing_open = context.database.oldest_write_s() is None
            if seen and heard and nothing_open:
                chances.value += 1

    return CountedLane


def _heard(cell: CellStatus, seq: int) -> bool:
    return seq in (cell.ack_seq, cell.active_seq, cell.done_seq)


def run_controller(
    station_file: str,
    database_url: str,
    speed: float,
    point: KillPoint | None,
    chances: Synchronized[int],
    flawed: bool = False,
) -> None:
    """The process: a station's controller over devices that are elsewhere, until SIGTERM or the point.

    Ends with code 0 after a safe stop, 2 when it was refused. `chances` counts the rounds in which the swap could
    have gone on. A flawed one takes every end for a clean stop.
    """
    logging.disable(logging.ERROR)  # of killed processes and lost links, many lines that nobody reads
    watch = Watch(point)
    if flawed:
        setattr(resume, "person_needed", lambda _: None)  # noqa: B010
        setattr(resume, "_ending", lambda _: Ending.STOPPED)  # noqa: B010
    # setattr, since a type checker rightly refuses to assign to a class
    for module, name, value in (
        (lanes, "step", watch.step),
        (lane_journal, "begin", watch.begin),
        (lane_journal, "store_session", watch.store_session),
        (lanes, "store_session", watch.store_session),
        (controller, "LaneRunner", counted_lane(chances)),
        (wiring, "Store", mortal_store(watch)),
        (wiring, "PlcRobot", mortal_robot(watch)),
    ):
        setattr(module, name, value)
    config = parse_station(json.loads(Path(station_file).read_text(encoding="utf-8")))
    settings = Settings(database_url=database_url, station_file=Path(station_file), speed=speed)
    raise SystemExit(asyncio.run(_run(settings, config)))


async def _run(settings: Settings, config: StationConfig) -> int:
    station = wiring.Station(settings, config)
    try:
        station.prepare()
        running: asyncio.Task[Any] = asyncio.create_task(station.controller.run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            return 0
    except (ControllerRunning, CellOwned) as error:
        print(error, flush=True)
        return wiring.REFUSED
    finally:
        station.close()
    return 1
