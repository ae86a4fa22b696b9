"""One trial: a swap whose controller is killed, at one point after another, and what became of it.

After each kill a new process must come up held, a named person lets it go on, and the next point kills it again.

What the PLC did is counted in the plant, not believed from the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session as Db
from sqlmodel import col, select

from scheduler.types import StationMode
from swap.audit import audit
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig
from swap.gate import check_in
from swap.messages.events import ControllerStarted
from swap.messages.requests import Confirm, Decide, DecisionKind, Request
from swap.places import place_of, place_within
from swap.station.requests import make_request
from swap.station.sequence.session import STATION_REASONS, Phase
from swap.store import Store
from swap.tables import ControlRequest, Pack, Station, StationEvent, Swap
from tests.prove.kill_devices import Look, run_devices
from tests.prove.kill_points import KillPoint
from tests.prove.kill_station import run_controller
from tests.support.ports import own_ports
from tests.support.sim.plant import station_data

SPEED = 1.0
MOTION_SHARE = 0.01
"""Motions take this share of their time. Time limits stay as they are in real seconds, so that a busy machine meets
them."""
LIMIT_S = 300.0
"""Real seconds after which a trial is given up; a whole one takes ten on an idle machine."""
STILL_ROUNDS = 25
"""Rounds of a lane that hears everything, in which nothing may begin before a person has confirmed: enough for a
command that a paused cell did not hear to be sent again. Rounds and not seconds: a busy machine gives a controller too
few of them in any time."""
PATIENCE_S = 60.0
"""Real seconds before a link counts as lost: a trial is about kills, and a busy machine must not add other faults."""
POLL_S = 0.1
DECISIONS = 5
"""So often the person lets a swap go on that waits for a decision of its own."""
PERSON = "Operator A"
VEHICLE = "V1"


def forkserver() -> Any:
    """Processes that begin with everything imported and nothing running."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.prove.kill_station", "tests.prove.kill_devices"])
    return context


@dataclass
class Outcome:
    """What became of a swap whose controller was killed."""

    points: tuple[KillPoint, ...]
    ended: str
    """`completed`, `returned`, or the state and the reason it waits for a person by."""
    waits: list[str] = field(default_factory=list)
    """States and reasons it waited by after a station was confirmed, each ended by a decision of a person."""
    wrong: list[str] = field(default_factory=list)
    """What must not be."""


class Devices:
    """The process of the devices, as a trial talks to it."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        arguments = (data, SPEED, MOTION_SHARE, theirs)
        self._process = forkserver().Process(target=run_devices, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    async def ready(self) -> None:
        """Wait until the ports are open."""
        assert await self._answer() == "ready"

    async def look(self) -> Look:
        """The truth now."""
        self._pipe.send(("look",))
        found = await self._answer()
        assert isinstance(found, Look)
        return found

    async def arrive(self, vehicle_id: str, soc_pct: float) -> Look:
        """A truck comes."""
        self._pipe.send(("arrive", vehicle_id, soc_pct))
        found = await self._answer()
        assert isinstance(found, Look)
        return found

    async def _answer(self) -> object:
        if not await asyncio.to_thread(self._pipe.poll, LIMIT_S):
            raise AssertionError("the devices do not answer")
        return self._pipe.recv()

    async def stop(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(("stop",))
        await asyncio.to_thread(self._process.join, 10)
        self._process.kill()
        self._pipe.close()


class Trial:
    """One station with its own devices and database.

    Args:
        points: where its controllers die, in the order of the table.
        way_back: at the first restart the person chooses the way back.
        flawed: controllers go on by themselves after a kill; the trial must find that wrong.
        template: a migrated, empty database.
    """

    def __init__(
        self,
        points: Sequence[KillPoint],
        folder: Path,
        template: Path,
        *,
        way_back: bool = False,
        flawed: bool = False,
        **station_options: Any,
    ) -> None:
        self.outcome = Outcome(tuple(points), "not reached")
        self.way_back = way_back
        self.flawed = flawed
        self._swap_id = ""
        self._lives = 0
        self._begun = 0
        self._chances = forkserver().Value("i", 0)
        folder.mkdir(parents=True)
        shutil.copyfile(template, folder / "swap.db")
        self.url = f"sqlite:///{folder / 'swap.db'}"
        self.data = station_data(ports=own_ports(4), **station_options)
        self.data["operation"] = {"max_identify_s": 600.0}
        for lane in self.data["lanes"]:
            lane["cell"] |= {"heartbeat_lost_s": PATIENCE_S, "max_age_s": PATIENCE_S}
        for rack in self.data["rack_devices"]:
            rack["max_age_s"] = PATIENCE_S
        self.file = folder / "station.json"
        self.file.write_text(json.dumps(self.data), encoding="utf-8")
        self.config: StationConfig = parse_station(self.data)
        self.store = Store(self.url)

    async def run(self) -> Outcome:
        """The whole trial."""
        devices = Devices(self.data)
        try:
            await devices.ready()
            for point in self.outcome.points:
                if not await self._killed(devices, point):
                    return self.outcome
            self.outcome.ended = await self._last(devices)
            self._judge(await devices.look())
        finally:
            await devices.stop()
            self.store.close()
        return self.outcome

    def _wrong(self, text: str) -> None:
        self.outcome.wrong.append(text)

    async def _killed(self, devices: Devices, point: KillPoint) -> bool:
        """A controller that dies at a point; False when it did not."""
        process = self._start(point)
        try:
            await self._begin(devices, process)
            for _ in range(round(LIMIT_S / POLL_S)):
                if not process.is_alive():
                    break
                with self.store.reading() as db:
                    held = db.get_one(Swap, self._swap_id).phase == Phase.HELD
                if held:  # on a busy machine a link may have been lost before the point
                    await self._let_go_on(process)
                await asyncio.sleep(POLL_S)
        finally:
            process.kill()
        if process.exitcode == -signal.SIGKILL:
            self._begun = (await devices.look()).begun
            return True
        with self.store.reading() as db:
            events = db.exec(select(StationEvent).order_by(col(StationEvent.seq).desc()).limit(4)).all()
            last = "; ".join(f"{e.kind} {e.data}" for e in reversed(events))
        self._wrong(f"not killed at {point}; exit code {process.exitcode}; {last}")
        return False

    async def _last(self, devices: Devices) -> str:
        """The controller after the last kill; what became of the swap."""
        process = self._start(None)
        try:
            await self._begin(devices, process)
            ended = await self._end(process)
            process.terminate()
            await asyncio.to_thread(process.join, LIMIT_S)
            if process.exitcode != 0:
                self._wrong(f"the last controller ended with code {process.exitcode}")
            return ended
        finally:
            process.kill()

    async def _begin(self, devices: Devices, process: Any) -> None:
        """The first controller gets a truck; each later one must be held until a person confirms."""
        self._lives += 1
        await self._until(lambda db: len(self._starts(db)) == self._lives, process, "the controller starts")
        if self._lives == 1:
            await devices.arrive(VEHICLE, 30.0)
            with self.store.station(self.config.station.id) as db:
                # The controller goes by the computer's time; that of the devices' plant is their own.
                self._swap_id = check_in(db, self.config, vehicle_id=VEHICLE, at=datetime.now(UTC)).swap_id
            return
        with self.store.reading_station(self.config.station.id) as db:
            mode = db.get_one(Station, self.config.station.id).mode
            unclean = self._starts(db)[-1].get("unclean")
        if mode != StationMode.HELD or unclean is not True:
            self._wrong(f"after kill {self._lives - 1} the station is {mode}, not held")
        await self._until(lambda _: self._chances.value >= STILL_ROUNDS, process, "the lane hears everything")
        if (await devices.look()).begun != self._begun:
            self._wrong(f"after kill {self._lives - 1} something began before a person confirmed")
        if self.way_back and self._lives == 2:
            await self._ask(process, Decide(swap_id=self._swap_id, decision=DecisionKind.UNWIND))
        await self._ask(process, Confirm())

    async def _end(self, process: Any) -> str:
        """Until the swap has ended, or waits for a person who has decided often enough."""
        for _ in range(round(LIMIT_S / POLL_S)):
            await asyncio.sleep(POLL_S)
            with self.store.reading() as db:
                swap = db.get_one(Swap, self._swap_id)
                ended, phase = swap.ended_at is not None, swap.phase
                state, where = swap.state, f"{swap.state}: {swap.hold_reason} {swap.hold_detail}"
            if ended:
                return state
            if phase == Phase.HELD:
                if len(self.outcome.waits) == DECISIONS:
                    return f"waits in {where}"
                self.outcome.waits.append(where)
                await self._let_go_on(process)
            if not process.is_alive():
                self._wrong(f"the last controller died, code {process.exitcode}")
                return where
        self._wrong(f"neither ended nor waiting: {where}, {phase}")
        return "lost"

    async def _let_go_on(self, process: Any) -> None:
        """The person confirms a held station, or decides on a swap that waits for its own reason."""
        with self.store.reading() as db:
            swap = db.get_one(Swap, self._swap_id)
            reason = swap.hold_reason
            held = db.get_one(Station, self.config.station.id).mode == StationMode.HELD
        if held or reason in STATION_REASONS:
            await self._ask(process, Confirm())
        else:
            await self._ask(process, Decide(swap_id=self._swap_id, decision=DecisionKind.CONTINUE))

    async def _ask(self, process: Any, request: Request) -> None:
        """Ask until it is done; a refusal tells the person to look again, which takes a moment."""
        for _ in range(20):
            with self.store.station(self.config.station.id) as db:
                made = make_request(
                    db,
                    station_id=self.config.station.id,
                    request=request,
                    name=PERSON,
                    at=self._station_time(db),
                )
            await self._until(self._answered, process, f"the answer to {request.kind}")
            with self.store.reading() as db:
                row = db.get_one(ControlRequest, made.request_id)
                if row.status == "done":
                    return
                answer = row.answer
            if not process.is_alive():
                return
            await asyncio.sleep(0.5)
        self._wrong(f"{request.kind} is refused: {answer}")

    def _station_time(self, db: Db) -> Any:
        """Station time as the record has it."""
        return db.exec(select(StationEvent.at).order_by(col(StationEvent.seq).desc()).limit(1)).one()

    def _judge(self, look: Look) -> None:
        for (what, seq), count in look.counts.items():
            if count > 1 and what in ("accepted", "moved"):
                self._wrong(f"command {seq}: {what} {count} times")
        if set(look.places) != {pack.id for pack in self.config.packs}:
            self._wrong("packs are not conserved")
        shared = [p for p, n in Counter(look.places.values()).items() if n > 1 and p != "off_site"]
        if shared:
            self._wrong(f"two packs in {shared}")
        with self.store.reading() as db:
            if self.outcome.ended == "completed" and look.moved != 4:
                self._wrong(f"{look.moved} motions of packs in one swap, not 4")
            if self.outcome.ended in ("completed", "returned"):
                packs = db.exec(select(Pack)).all()
                recorded = {pack.id: place_within(place_of(pack), self.config.station.id) for pack in packs}
                differing = {k: (recorded.get(k), place) for k, place in look.places.items() if recorded[k] != place}
                if differing:
                    self._wrong(f"record and truth differ: {differing}")
            self.outcome.wrong += [f"audit {i.name}: {v}" for i in audit(db).invariants for v in i.violations]
            if db.exec(select(StationEvent.seq).where(col(StationEvent.actor).startswith("person:"))).first() is None:
                self._wrong("no event names the person who confirmed")

    def _start(self, point: KillPoint | None) -> Any:
        self._chances.value = 0
        arguments = (str(self.file), self.url, SPEED, point, self._chances, self.flawed)
        process = forkserver().Process(target=run_controller, args=arguments, daemon=True)
        process.start()
        return process

    @staticmethod
    def _answered(db: Db) -> bool:
        return db.exec(select(ControlRequest.id).where(ControlRequest.status == "open")).first() is None

    @staticmethod
    def _starts(db: Db) -> Sequence[Mapping[str, Any]]:
        kind = ControllerStarted.kind
        query = select(StationEvent.data).where(StationEvent.kind == kind).order_by(col(StationEvent.seq))
        return db.exec(query).all()

    async def _until(self, true: Callable[[Db], bool], process: Any, what: str) -> None:
        for _ in range(round(LIMIT_S / POLL_S)):
            with self.store.reading() as db:
                if true(db):
                    return
            if not process.is_alive():
                if process.exitcode == -signal.SIGKILL:
                    return
                raise AssertionError(f"{self.outcome.points}: {what}: the process ended with code {process.exitcode}")
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"{self.outcome.points}: {what}: not within {LIMIT_S} s")
