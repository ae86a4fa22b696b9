"""The live controller of one station: loops over the pure decisions, one writer of the station's state.

Each loop's step can be called once in a test. Link errors are handled inside (readings age, the station is held), a
lost database by `swap.station.life.guard`; any other exception ends every loop: robots hold, charging 0 kW.

Loops that look never wait in the database; loops that act await their commits and stand still while it is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from battery_bms.port import ChargerBank, PackMonitor
from robotics.modbus_link.quality import LinkQuality
from robotics.port import SwapRobot
from scheduler.queueing import next_dispatch
from scheduler.types import StationMode
from swap.errors import DatabaseAway
from swap.events import append_event
from swap.messages.events import AnyEvent, ClockCorrected, ControlGap, DatabaseSlow
from swap.station.answers import Answerer
from swap.station.clock import SLEW_LIMIT_S, Correction, asleep_s
from swap.station.context import StationContext
from swap.station.holding import HoldingController
from swap.station.lane.runner import LaneRunner
from swap.station.lease import Lease
from swap.station.life.coming_back import Return, person_needed
from swap.station.life.database import DatabaseLost
from swap.station.life.guard import DatabaseGuard, Outage
from swap.station.life.loops import paced, wanted
from swap.station.life.ownership import OwnedChargers, unclaimed
from swap.station.life.status import ControlBoard, ControlStatus, StopReport
from swap.station.life.stopping import close_links, stop_devices
from swap.station.life.watchdog import WATCH_S, Gap, Watchdog
from swap.station.power.planning import PlanRunner
from swap.station.power.rack import RackRunner
from swap.station.power.response_watch import ResponseWatch
from swap.station.power.site import SiteDevices, SiteRunner
from swap.station.power.view import station_view
from swap.station.reasons.published import Reasons
from swap.station.records import newest_seq
from swap.station.resume import (
    CLOCK_WRONG,
    Beginning,
    CellWorkedBefore,
    begin_control,
    give_up,
    journal_outage,
    know_cells,
    stored_mode,
    tell_clock,
)
from swap.station.sequence.recipe import StepTable
from swap.station.sequence.row_facts import MOVING_MODES
from swap.station.sequence.session import Session
from swap.station.thermal import ThermalRunner
from swap.station_db import StationDb as Db
from swap.store import LeaseLost

log = logging.getLogger(__name__)

ASK_LEASE_S = 0.5
"""Real seconds for which the last hold waits to hear whose station it is."""
CLAIM_WAIT_S = 5.0
"""Real seconds in which a cell's former owner may still be heard: a PLC lets a silent one go after 3 s."""


class StationController(HoldingController):
    """Runs one station until cancelled.

    Args:
        context: store, station file, clock, tariff.
        robots: one for each lane of the station file.
        monitor, chargers, site: the ports of rack and site.
        lease: already acquired.
        board: where its status hangs.
        link_quality: how well the link to each device works.
        planning: asks for charging plans; None: the context's planner, or the price rule.
    """

    def __init__(
        self,
        context: StationContext,
        robots: Sequence[SwapRobot],
        monitor: PackMonitor,
        chargers: ChargerBank,
        site: SiteDevices,
        lease: Lease,
        board: ControlBoard | None = None,
        link_quality: Callable[[], Mapping[str, LinkQuality]] = dict,
        planning: PlanRunner | None = None,
    ) -> None:
        self.context = context
        self._link_quality = link_quality
        self.robots = {robot.lane_id: robot for robot in robots}
        charged = [bay.id for bay in context.config.bays if bay.charger_kw > 0]
        self.site = SiteRunner(context, site, lease.sure)
        owned = OwnedChargers(chargers, charged, lease.sure, self.site.rest)
        self.rack = RackRunner(context, monitor, owned, self.site)
        self.lanes = {
            lane.id: LaneRunner(context, lane, self.robots[lane.id], self.hold_station) for lane in context.config.lanes
        }
        self.lease, self.planning = lease, planning
        self.responses = ResponseWatch(context)
        context.owner_token = lease.token
        context.database.holder = lease.holder
        self.board = board if board is not None else ControlBoard()
        self.thermal = ThermalRunner(context, self.lanes)
        self.answers = Answerer(self)
        self.reasons = Reasons(context, self.lanes)
        self._reconcile_by: str | None = None
        self._clock_wrong = True
        """A fault of the clock may be open."""
        self.new_record_by: str | None = None
        """Person who begins a new record for cells that have worked before."""
        self.started = asyncio.Event()
        self._steps = 0
        """Steps under way that use the database."""
        self._idle = asyncio.Event()
        """There is no such step."""
        self._idle.set()
        self._since_at = context.clock.now()
        self.watchdog = Watchdog(self.lanes, lambda: asyncio.get_running_loop().time() + asleep_s())

    # start and end

    async def recover(self) -> Beginning:
        """Take up the stored state. What `person_needed` says of it decides whether the station is held."""
        context, now = self.context, self.context.clock.now()

        def begin(db: Db) -> tuple[Beginning, tuple[StationMode, str]]:
            beginning = begin_control(db, context.config, self.lease.holder, now)
            return beginning, stored_mode(db, context.station_id)

        beginning, mode = await context.write(begin)
        await self._load(*mode, restarted=beginning.cause is not None)
        return beginning

    async def _load(self, mode: StationMode, reason: str, *, restarted: bool) -> None:
        self.context.mode, self.context.mode_reason = mode, reason
        for lane in self.lanes.values():
            await lane.load(restarted=restarted)
        await self.thermal.load(restarted=restarted)
        self.rack.load()
        self.reasons.load()
        self._reconcile_by = "controller"

    async def _take_up(self, outage: Outage) -> None:
        """The database is back: journal what was done without it, and read everything anew. Raises DatabaseLost."""
        context = self.context

        def tell(db: Db) -> tuple[StationMode, str]:
            self.lease.renew(db)
            journal_outage(db, context.station_id, outage, context.clock.now(), context.clock.speed, tuple(self.lanes))
            return stored_mode(db, context.station_id)

        began_s = self.lease.now_s()
        mode = await context.write(tell)
        self.lease.renewed(began_s)
        await self._load(*mode, restarted=True)
        self.watchdog.begin_anew()

    async def connect(self) -> None:
        """Open every link and take a first look at every device."""
        await asyncio.gather(
            *(robot.connect() for robot in self.robots.values()),
            self.rack.monitor.connect(),
            self.site.connect(),
        )

    async def claim(self, wait_s: float = CLAIM_WAIT_S) -> None:
        """Wait until no cell names another owner. Raises CellOwned: another controller keeps a cell."""
        await unclaimed(self.robots, self.lease.token, wait_s)

    async def start(self, claim_wait_s: float = CLAIM_WAIT_S) -> Beginning:
        """Take the stored state up, connect, own the cells.

        Raises:
            CellOwned: another controller keeps a cell; nothing was written to it.
            CellWorkedBefore: a cell shows numbers of commands that this database does not know.
        """
        beginning = await self.recover()
        await self.connect()
        try:
            await self.claim(claim_wait_s)
            await self._know_the_cells()
        except BaseException:
            await close_links(self.robots.values(), self.rack.monitor, self.site)
            await give_up(self.context, self.lease, StopReport())
            raise
        if beginning.permitted_until_at is not None and self.context.mode in MOVING_MODES:
            for lane in self.lanes.values():
                lane.go_on(beginning.permitted_until_at)
        return beginning

    async def _know_the_cells(self) -> None:
        """Refuse a record that is new to a cell which has worked before. Raises CellWorkedBefore."""
        context, name, at = self.context, self.new_record_by, self.context.clock.now()
        cells = {lane_id: await robot.status() for lane_id, robot in self.robots.items()}
        unknown = {
            k: newest_seq(0, *cell.numbers)
            for k, cell in cells.items()
            if any(cell.numbers) and not context.last_seq.get(k)
        }
        if unknown:
            await context.write(lambda db: know_cells(db, unknown, name, at))
        for lane_id, number in unknown.items():
            context.number_used(lane_id, number)

    async def run(self) -> None:
        """Run every loop until cancelled or until one fails; then hold the robots and stop charging.

        Raises:
            CellOwned: another controller keeps a cell; nothing was done.
            CellWorkedBefore: as `start`, or a cell that was silent then says so later; nothing has moved.
        """
        try:
            await self.start()
            await self._run()
        except BaseExceptionGroup as failed:
            refused = failed.subgroup(CellWorkedBefore)
            if refused is None:
                raise
            raise refused.exceptions[0] from failed
        finally:
            self.board.stop()
            self.context.database.close()

    async def _run(self) -> None:
        context, database = self.context, self.context.database
        guard = DatabaseGuard(database, context.clock, self.robots, self.rack.chargers, self._take_up, self._idle)
        try:
            await self.lease_cycle()
            database.watch()
            async with asyncio.TaskGroup() as group:
                for lane in self.lanes.values():
                    seen = asyncio.Event()
                    group.create_task(self._look_at_lane(lane, seen), name=f"look at lane {lane.lane.id}")
                    group.create_task(self._after(seen, self._lane_step(lane)), name=f"lane {lane.lane.id}")
                seen = asyncio.Event()
                group.create_task(self._look_at_rack(seen), name="look at the rack")
                group.create_task(self._after(seen, self.rack_step), name="rack")
                cycle_s = max(context.config.charging.cycle_s / context.clock.speed, 0.5)
                group.create_task(self._every(cycle_s, self.rack.charge_cycle), name="charging")
                group.create_task(self._every(0.25, self.dispatch_cycle), name="dispatch")
                group.create_task(self._every(0.2, self.answer_cycle), name="requests")
                group.create_task(self._every(1.0, self.calls_cycle), name="calls of demand response")
                group.create_task(self._every(1.0, self.lease_cycle), name="lease")
                group.create_task(self._every(1.0, self.slow_cycle), name="slow database")
                group.create_task(self._every(1.0, self.clock_cycle), name="clock")
                group.create_task(self._every(1.0, self.reasons_cycle), name="reasons")
                if self.planning is not None:
                    group.create_task(self._every(1.0, self.planning.step), name="charging plan")
                group.create_task(guard.run(), name="database")
                group.create_task(self._watch(), name="watchdog")
                self.started.set()
        finally:
            if self.planning is not None:
                self.planning.close()
            await asyncio.shield(self.stop())

    async def stop(self) -> None:
        """Hold every robot, set charging to 0 kW, say so in the journal, and give the station up.

        One that has lost its station to another controller touches neither devices nor journal.
        """
        if await self._lease_is_lost() or not await self._tell_gaps():
            log.error("another controller runs the station: its cells, chargers and journal are left to it")
            await close_links(self.robots.values(), self.rack.monitor, self.site, give_up=False)
            self.board.end = StopReport(lost=True)
            return
        # A cell at rest is given up without a hold: without an owner it takes no command. A hold that is left behind
        # asks for a person at the next start.
        at_rest = self.context.mode in MOVING_MODES and not self.thermal.procedures
        under_way = [lane.robot for lane in self.lanes.values() if not at_rest or lane.past_admitting]
        report = await stop_devices(under_way, self.rack.chargers)
        await close_links(self.robots.values(), self.rack.monitor, self.site)
        stored = await give_up(self.context, self.lease, report)
        self.board.end = replace(report, stored=stored)

    async def _lease_is_lost(self) -> bool:
        try:
            async with asyncio.timeout(ASK_LEASE_S):
                await self.context.write(self.lease.renew)
        except LeaseLost:
            return True
        except (DatabaseLost, DatabaseAway, TimeoutError) as error:
            log.warning("who runs the station cannot be asked: %s", error)
        return False

    async def _tell_gaps(self) -> bool:
        """Gaps that no step has told of yet: the next start asks for a person, by the mode that is stored now.

        False when another controller has taken the station meanwhile.
        """
        try:
            for lane in self.lanes.values():
                with suppress(DatabaseLost):  # then the end cannot be stored as a clean one either
                    await self._mind_gap(lane)
        except LeaseLost:
            return False
        return True

    async def _mind_gap(self, lane: LaneRunner) -> None:
        """Before a lane moves, or anything is let go: a gap that nobody has told of yet asks for a person."""
        gap = self.watchdog.take_gap(lane.lane.id)
        if gap is not None:
            await self._hold_after(gap, lane)

    # loops

    async def _look_at_lane(self, lane: LaneRunner, seen: asyncio.Event) -> None:
        async def look() -> None:
            await lane.look()
            self.watchdog.looked(lane.lane.id)
            seen.set()

        await paced(lane.lane.cell.poll_s, look)

    async def _look_at_rack(self, seen: asyncio.Event) -> None:
        async def look() -> None:
            await self.rack.look()
            seen.set()

        await paced(min(d.poll_s for d in self.context.config.rack_devices), look)

    def _lane_step(self, lane: LaneRunner) -> Callable[[], Awaitable[object]]:
        async def step() -> None:
            await self._mind_gap(lane)
            await lane.act()
            self.watchdog.worked(lane.lane.id)

        return step

    async def _after(self, seen: asyncio.Event, step: Callable[[], Awaitable[object]]) -> None:
        """Call a step after each look; looks that come while it works are one."""
        while wanted():
            await seen.wait()
            seen.clear()
            await self._guarded(step)

    async def _every(self, period_s: float, step: Callable[[], Awaitable[object]]) -> None:
        await paced(period_s, lambda: self._guarded(step))

    async def _guarded(self, step: Callable[[], Awaitable[object]]) -> None:
        """One step that uses the database; not begun, and given up, while that is lost."""
        await self.context.database.opened.wait()
        self._steps += 1
        self._idle.clear()
        try:
            await step()
        except DatabaseLost as error:
            log.info("a step is given up: %s", error)
        finally:
            self._steps -= 1
            if self._steps == 0:
                self._idle.set()

    async def _watch(self) -> None:
        """Measure the loop's own lag and hang out the status."""
        loop = asyncio.get_running_loop()
        while True:
            self.board.publish(self._status(loop.time()))
            due_s = loop.time() + WATCH_S
            await asyncio.sleep(WATCH_S)
            self.watchdog.lagged(loop.time() - due_s)

    def _status(self, now_s: float) -> ControlStatus:
        context, database = self.context, self.context.database
        cells = {lane_id: context.cells.get(lane_id) for lane_id in self.lanes}
        return ControlStatus(
            at_s=now_s,
            since_at=self._since_at,
            mode=context.mode,
            held_why="" if context.mode in MOVING_MODES else context.mode_reason,
            database=database.state,
            database_reason=database.reason,
            oldest_write_s=database.oldest_write_s(),
            loop_lag_s=self.watchdog.loop_lag_s(),
            gap_s=self.watchdog.gap_s(),
            links={k: cell is not None and self.lanes[k].cell_facts(cell).fresh for k, cell in cells.items()},
            devices=self._link_quality(),
        )

    # steps

    async def rack_cycle(self) -> None:
        """Look at the rack, and work on what was seen."""
        await self.rack.look()
        await self.rack_step()

    async def rack_step(self) -> None:
        """Store the readings; a detection of heat starts the thermal procedure at once."""
        await self._mind_gaps()
        hot = await self.rack.judge()
        if hot:
            await self.thermal.detect(hot)
        if self.rack.must_stop_charging():
            await self.rack.charge_cycle()
        await self.thermal.cycle()
        if self._reconcile_by is not None and not self.unheard():
            await self._know_the_cells()  # one that was silent at the start is heard only now
            await self.reconcile_now(self._reconcile_by)
            self._reconcile_by = None

    async def _mind_gaps(self) -> None:
        """Which loop comes first after a gap is chance: none acts on what was before."""
        for lane in self.lanes.values():
            await self._mind_gap(lane)

    async def answer_cycle(self) -> None:
        """Answer what people ask; what was asked before a gap is void."""
        await self._mind_gaps()
        await self.answers.cycle()

    async def calls_cycle(self) -> None:
        """Answer calls of demand response, and foresee those that were accepted. They move nothing, so no gap is
        minded."""
        await self.answers.calls_cycle()
        await self.responses.step()

    async def reasons_cycle(self) -> None:
        """Publish what everybody waits for."""
        await self.reasons.cycle(self.unheard() if self._reconcile_by is not None else ())

    async def dispatch_cycle(self) -> None:
        """Call the next truck where a lane, packs and bays are free."""
        context = self.context
        busy = all(lane.session is not None for lane in self.lanes.values())
        if context.mode is not StationMode.AUTOMATIC or self._reconcile_by is not None or busy:
            return
        if await context.read(Db.nobody_waits):
            return
        if (found := await context.write(lambda db: self._dispatch(db, context.still()))) is not None:
            lane, session, table = found
            lane.take_up(session, table)

    def _dispatch(self, db: Db, still: StationContext) -> tuple[LaneRunner, Session, StepTable] | None:
        if stored_mode(db, still.station_id)[0] is not StationMode.AUTOMATIC:
            return None  # held meanwhile
        chosen = next_dispatch(station_view(still, db), still.policy)
        if chosen is None:
            return None
        lane = self.lanes[chosen.lane_id]
        return lane, *lane.dispatch(db, chosen)

    async def lease_cycle(self) -> None:
        """Say that this controller lives; losing the lease ends it."""
        began_s = self.lease.now_s()
        await self.context.write(self.lease.renew)
        self.lease.renewed(began_s)

    async def clock_cycle(self) -> None:
        """Follow the computer's clock; beyond the limit of slewing the station is held before its time is corrected."""
        clock, station_id = self.context.clock, self.context.station_id
        difference, at = clock.measure(), clock.now()
        if difference is not None:
            await self._tell(ClockCorrected(by_s=round(difference.by_s, 2), how=difference.correction.value))
            if difference.correction is not Correction.SLEWED:
                self.context.lost_at, self._clock_wrong = at, True
                await self.context.write(lambda db: tell_clock(db, station_id, at, wrong=True))
                await self.hold_station(CLOCK_WRONG)
        elif self._clock_wrong and abs(clock.off_s()) <= SLEW_LIMIT_S and self.context.mode in MOVING_MODES:
            await self.context.write(lambda db: tell_clock(db, station_id, at, wrong=False))
            self._clock_wrong = False
        clock.correct()

    async def slow_cycle(self) -> None:
        """Tell the journal of a slow time of the database, once it is over."""
        slow_s = self.context.database.slow_s()
        if slow_s is not None:
            await self._tell(DatabaseSlow(waited_s=round(slow_s, 2)))

    async def _tell(self, event: AnyEvent, lane_id: str | None = None) -> None:
        station_id, at = self.context.station_id, self.context.clock.now()
        await self.context.write(lambda db: append_event(db, event, station_id=station_id, at=at, lane_id=lane_id))

    async def _hold_after(self, gap: Gap, lane: LaneRunner) -> None:
        """Nobody looked, or nothing could be commanded: held for a person, and what was confirmed before is void."""
        now = self.context.lost_at = self.context.clock.now()
        cause = person_needed(Return(now, gap_s=gap.seconds))
        if cause is None:
            return
        self.thermal.wait_for_person()
        if self.context.mode not in MOVING_MODES:
            return
        self.context.holding += 1
        try:
            if lane.at_work:
                await lane.robot.hold("control gap")
            await self._tell(ControlGap(what=gap.what, gap_s=round(gap.seconds, 2)), lane.lane.id)
            await self.hold_station(cause.value)
        finally:
            self.context.holding -= 1
