"""A whole controller over the plant in memory, moved by hand in station time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from robotics.faults import fault_by_code
from robotics.port import CellStatus, CommandCode, LinkLost, RobotCommand
from scheduler.tariff_files import load_tariff
from sim.live.direct import DirectRack, DirectRobot, direct_site
from sim.plant.plant import Plant
from swap.audit import AuditReport, audit
from swap.commerce.bills.issuing import BillingMark, run_commerce
from swap.commerce.bills.terms import BillingTerms
from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.gate import check_in
from swap.places import place_of, place_within
from swap.register.persons import person_actor, shown_actor
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import StationController
from swap.station.lease import Lease
from swap.station.life.database import DirectDatabase
from swap.station.resume import Beginning
from swap.store import Store
from swap.tables import Bay, ControlRequest, FaultRow, Pack, Station, StationEvent, Swap
from tests.support.swap.databases import fill

START_AT = datetime(2026, 9, 1, 3, 0, tzinfo=UTC)


HOP_S = 0.5
"""Shortest step when time hops from one change of the plant to the next."""


class CuttableRobot(DirectRobot):
    """A robot whose link can be cut: its status ages, commands and requests are lost."""

    cut = False
    lost_acknowledgements = 0
    """So many acknowledgements get lost."""
    _last: CellStatus | None = None

    async def status(self) -> CellStatus:
        """The cell now, or what was last heard of it."""
        if not self.cut or self._last is None:
            self._last = await super().status()
        return self._last

    async def send(self, command: RobotCommand, epoch: int | None = None) -> None:
        """Give the command. Raises LinkLost while the link is cut."""
        self._need_link()
        await super().send(command, epoch)

    async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        """Raises LinkLost while the link is cut, or where it is to get lost."""
        self._need_link()
        if self.lost_acknowledgements:
            self.lost_acknowledgements -= 1
            raise LinkLost(f"cell {self.lane_id}: an acknowledgement got lost")
        await super().acknowledge(seq, epoch)

    async def resume(self, epoch: int | None = None) -> None:
        """Raises LinkLost while the link is cut."""
        self._need_link()
        await super().resume(epoch)

    async def hold(self, reason: str) -> bool:
        """Lost while the link is cut."""
        return not self.cut and await super().hold(reason)

    def _need_link(self) -> None:
        if self.cut:
            raise LinkLost(f"cell {self.lane_id}: cut")


class Bench:
    """Store, plant and controller; `run()` lets station time pass in steps of `step_s`.

    Args:
        speed: station seconds for each "real" second, by which links and readings age.
        url: a database of the newest migration, with or without the station; None makes an SQLite file in the folder.
        seconds: station seconds since `START_AT`, where a plant goes on that has been run before.
    """

    def __init__(
        self,
        folder: Path,
        config: StationConfig,
        *,
        url: str | None = None,
        plant: Plant | None = None,
        speed: float = 1.0,
        seconds: float = 0.0,
    ) -> None:
        self.config = config
        self.speed = speed
        self.seconds = seconds
        own = f"sqlite:///{folder / 'swap.db'}"
        if url is None:
            fill(own, config, START_AT)
        self.store = Store(url or own)
        if url is not None:
            sync_station(self.store, config, START_AT)
        self.plant = plant or Plant(config, seed=5, start_at=START_AT)
        self.motions: list[tuple[str, int, CommandCode]] = []
        """What the cells did: "accepted", "moved", "done", "failed" or "aborted", number and command."""
        for cell in self.plant.cells.values():
            cell.listeners.append(lambda what, command: self.motions.append((what, command.seq, command.code)))
        self._seen_s = seconds
        self._charged_s = self._billed_s = -1e9
        self._billed = BillingMark()
        self.terms: BillingTerms | None = None
        """How swaps are billed; None: as the station file says."""
        self.commerce_s = 5.0
        """Station seconds between two looks of commerce."""
        self.controller = self.build()

    def build(self) -> StationController:
        """A new controller on the same database and plant, as after a restart of the process."""
        self.clock = Clock(START_AT, self.speed, monotonic=lambda: self.seconds / self.speed, origin_s=0.0)
        tariff = load_tariff(self.config.tariff, self.config.station.zone)
        self.tariff = tariff
        context = StationContext.build(
            DirectDatabase(self.store, self.config.station.id), self.config, self.clock, tariff
        )
        lease = Lease(self.store, self.config.station.id)
        lease.acquire(self.clock.now())
        for cell in self.plant.cells.values():
            cell.owner = 0
        rack = DirectRack(self.plant, self.clock.now, self._pass)
        self.robots = {
            lane.id: CuttableRobot(self.plant, lane.id, lease.token, self.clock.now, self._pass)
            for lane in self.config.lanes
        }
        self.controller = StationController(
            context,
            list(self.robots.values()),
            rack,
            rack,
            direct_site(self.plant, self.clock.now),
            lease,
        )
        return self.controller

    def _pass(self) -> None:
        """Bring the plant up to station time."""
        if self.seconds > self._seen_s:
            self.plant.advance(self.seconds - self._seen_s)
            self._seen_s = self.seconds

    async def start(self) -> Beginning:
        """Recover and connect; how the controller begins."""
        return await self.controller.start(claim_wait_s=0.0)

    async def tick(self, step_s: float = 1.0) -> None:
        """One round of every loop."""
        self.seconds += step_s
        self._pass()
        for lane in self.controller.lanes.values():
            await lane.cycle()
        await self.controller.rack_cycle()
        if self.seconds - self._charged_s >= self.config.charging.cycle_s:
            self._charged_s = self.seconds
            await self.controller.rack.charge_cycle()
        await self.controller.dispatch_cycle()
        await self.controller.answers.cycle()
        await self.controller.answers.calls_cycle()
        if self.seconds - self._billed_s >= self.commerce_s:
            self._billed_s = self.seconds
            run_commerce(self.store, self.config, self.clock.now(), terms=self.terms, mark=self._billed)

    def hop_s(self, longest_s: float | None = None) -> float:
        """Seconds to the next thing that a cell or a driver does; charging needs no look.

        At least `HOP_S`, at most `longest_s`, or else a real second, so that no reading ages past its limit.
        """
        times_us = [self.plant.yard.next_us(), *(cell.next_us() for cell in self.plant.cells.values())]
        left_s = [(t - self.plant.now_us) / 1e6 + 0.01 for t in times_us if t is not None]
        return max(HOP_S, min([longest_s or self.speed, *left_s]))

    async def run(self, seconds: float, step_s: float | None = 5.0) -> None:
        """Let station time pass; without a step, from change to change."""
        until_s = self.seconds + seconds
        while self.seconds < until_s - 1e-6:
            await self.tick(min(step_s or self.hop_s(), until_s - self.seconds))

    async def run_while_still(self, seconds: float, step_s: float | None = 10.0) -> None:
        """Let station time pass; AssertionError when a cell begins anything or a pack moves meanwhile."""
        before = len(self.motions)
        places = self.places()
        await self.run(seconds, step_s)
        begun = [m for m in self.motions[before:] if m[0] in ("accepted", "moved")]
        assert not begun, f"moved while held: {begun}"
        assert self.places() == places

    def places(self) -> dict[str, str]:
        """Where each pack truly is."""
        return {code: pack.place for code, pack in self.plant.rack.packs.items()}

    def audited(self) -> AuditReport:
        """The audit of the database; AssertionError with every violation."""
        with self.store.reading() as db:
            report = audit(db)
        assert report.ok, [(i.name, v) for i in report.invariants for v in i.violations]
        return report

    def recorded_places(self) -> dict[str, str]:
        """Where the record says each pack is, as within the station."""
        with self.store.reading_station(self.config.station.id) as db:
            station_id = self.config.station.id
            return {pack.id: place_within(place_of(pack), station_id) for pack in db.exec(select(Pack)).all()}

    def pack(self, pack_id: str) -> Pack:
        """A pack's row."""
        with self.store.reading_station(self.config.station.id) as db:
            row = db.get_one(Pack, pack_id)
            db.expunge_all()
            return row

    def open_faults(self) -> dict[str, str]:
        """Source by name of every open fault."""
        with self.store.reading_station(self.config.station.id) as db:
            rows = db.exec(select(FaultRow).where(col(FaultRow.open_key).is_not(None))).all()
            return {fault_by_code(row.code).name: row.source for row in rows}

    async def settled(self, request_id: int) -> tuple[str, str]:
        """Status and answer of a request once it is answered."""
        for _ in range(5):
            await self.controller.answers.cycle()
            await self.controller.answers.calls_cycle()
            status, answer = self.answer(request_id)
            if status != "open":
                return status, answer
        raise AssertionError(f"request {request_id} is not answered")

    async def run_until(
        self, kind: str, limit_s: float = 1200.0, step_s: float | None = None, **data: object
    ) -> StationEvent:
        """Run until an event of a kind (with the given data) is written; AssertionError when none comes."""
        first = last = self.last_event_id()
        until_s = self.seconds + limit_s
        while self.seconds < until_s:
            await self.tick(step_s or self.hop_s())
            if self.last_event_id() == last:
                continue
            for event in self.events(after=last):
                last = event.seq
                if event.kind == kind and all(event.data.get(k) == v for k, v in data.items()):
                    return event
        seen = [(e.kind, e.data) for e in self.events(after=first)][-6:]
        raise AssertionError(f"no {kind} {data} within {limit_s} s; last events: {seen}")

    def arrive(self, vehicle_id: str, soc_pct: float = 30.0) -> str:
        """A truck comes to the gate and checks in; returns the swap's id."""
        self._pass()
        seats = self.config.vehicle_model(next(v for v in self.config.vehicles if v.id == vehicle_id).model)
        self.plant.arrive(vehicle_id, [soc_pct] * seats.packs_per_vehicle)
        with self.store.station(self.config.station.id) as db:
            return check_in(db, self.config, vehicle_id=vehicle_id, at=self.clock.now()).swap_id

    def ask(self, kind: str, name: str = "Person on shift", **arguments: Any) -> int:
        """Write a request of a person."""
        with self.store.station(self.config.station.id) as db:
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

    def who(self, event: StationEvent) -> str:
        """Who caused an event, by name."""
        with self.store.reading_station(self.config.station.id) as db:
            return shown_actor(db, event.actor)

    def answer(self, request_id: int) -> tuple[str, str]:
        """Status and answer of a request."""
        with self.store.reading_station(self.config.station.id) as db:
            row = db.get_one(ControlRequest, request_id)
            return row.status, row.answer

    def swap(self, swap_id: str) -> Swap:
        """The swap's row."""
        with self.store.reading_station(self.config.station.id) as db:
            row = db.get_one(Swap, swap_id)
            db.expunge_all()
            return row

    def last_event_id(self) -> int:
        """Newest event id, 0 when there is none."""
        with self.store.reading_station(self.config.station.id) as db:
            return db.newest_seq()

    def events(self, after: int = 0) -> list[StationEvent]:
        """Events in order."""
        with self.store.reading_station(self.config.station.id) as db:
            rows = db.events(after=after)
            db.expunge_all()
            return list(rows)

    def reading(self) -> Session:
        """A session to look with; close it."""
        return Session(self.store.engine)

    def close(self) -> None:
        """Release the database."""
        self.store.close()


__all__ = ["START_AT", "Bench", "timedelta"]


def mode(bench: Bench) -> str:
    """Mode of the station as stored."""
    with bench.store.reading_station(bench.config.station.id) as db:
        return db.exec(select(Station.mode)).one()


def blocked(bench: Bench) -> dict[str, str]:
    """Reason by bay that is blocked."""
    with bench.store.reading_station(bench.config.station.id) as db:
        return {b.name: b.blocked_reason for b in db.exec(select(Bay)).all() if b.blocked}
