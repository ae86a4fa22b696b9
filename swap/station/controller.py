"""The live controller of one station: loops over the pure decisions, one writer of the station's state.

Each loop's step can be called once in a test. Link errors are handled inside (readings age, the station is
held); any other exception ends every loop: robots hold, charging 0 kW, and the process stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from sqlmodel import col, select

from battery_bms.port import ChargerBank, PackMonitor, SiteMeter
from robotics.port import LinkLost, Refused, Signal, SwapRobot
from scheduler.queueing import next_dispatch
from scheduler.types import StationMode
from swap.events import EventKind, append_event
from swap.station.answers import Answerer
from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.lanes import LaneRunner
from swap.station.lease import Lease
from swap.station.rack import RackRunner
from swap.station.reconcile import Mismatch, reconcile
from swap.station.records import change_mode
from swap.station.sequence.permissives import tripped
from swap.station.sequence.recipe import QUEUED
from swap.station.sequence.sequencer import MOVING_MODES
from swap.station.sequence.session import Decision, DecisionKind, Phase
from swap.station.states.modes import ModeTrigger
from swap.station.thermal import ThermalRunner
from swap.tables import Station, StationEvent, Swap

log = logging.getLogger(__name__)

CLAIM_WAIT_S = 5.0
"""Real seconds in which a cell's former owner may still be heard: a PLC lets a silent one go after 3 s."""


class CellOwned(Exception):
    """Another controller owns a cell; this one must not run."""


BackgroundStep = tuple[float, Callable[[], object]]
"""Period in real seconds and a step that works on the database only, such as billing."""


class StationController:
    """Runs one station until cancelled.

    Args:
        context: store, station file, clock, tariff.
        robots: one for each lane of the station file.
        monitor, chargers, meter: the rack's ports.
        lease: already acquired.
        background: further steps by name, called at their period; they must not touch devices.
    """

    def __init__(
        self,
        context: StationContext,
        robots: Sequence[SwapRobot],
        monitor: PackMonitor,
        chargers: ChargerBank,
        meter: SiteMeter | None,
        lease: Lease,
        background: Mapping[str, BackgroundStep] | None = None,
    ) -> None:
        self.context = context
        self.robots = {robot.lane_id: robot for robot in robots}
        self.rack = RackRunner(context, monitor, chargers, meter)
        self.lanes = {
            lane.id: LaneRunner(context, lane, self.robots[lane.id], self.hold_station) for lane in context.config.lanes
        }
        self.lease = lease
        context.owner_token = lease.token
        self.background = dict(background or {})
        self.thermal = ThermalRunner(context, self.lanes)
        self.answers = Answerer(self)
        self._reconcile_by: str | None = None
        self.started = asyncio.Event()

    # start and end

    def recover(self) -> bool:
        """Take up the stored state; returns whether the last controller ended without saying so.

        After a clean stop the mode stays what it was; after an unclean one the station is held.
        """
        context = self.context
        now = context.clock.now()
        with context.store.transaction() as db:
            last = db.exec(
                select(StationEvent)
                .where(StationEvent.station_id == context.station_id)
                .where(
                    col(StationEvent.kind).in_([EventKind.CONTROLLER_STARTED.value, EventKind.CONTROLLER_STOPPED.value])
                )
                .order_by(col(StationEvent.seq).desc())
            ).first()
            unclean = last is not None and last.kind == EventKind.CONTROLLER_STARTED
            append_event(
                db,
                station_id=context.station_id,
                at=now,
                kind=EventKind.CONTROLLER_STARTED,
                data={"holder": self.lease.holder, "unclean": unclean},
            )
            mode = StationMode(db.get_one(Station, context.station_id).mode)
            if unclean and mode in (StationMode.AUTOMATIC, StationMode.CLOSED, StationMode.MANUAL):
                raise_fault(db, station_id=context.station_id, name="controller_restarted", source="controller", at=now)
                change_mode(
                    db,
                    station_id=context.station_id,
                    trigger=ModeTrigger.HOLD,
                    reason="restart",
                    actor="controller",
                    at=now,
                )
            context.refresh_mode(db)
        for lane in self.lanes.values():
            lane.load(restarted=unclean)
        self.thermal.load(restarted=unclean)
        self._reconcile_by = "controller"
        return unclean

    async def connect(self) -> None:
        """Open every link and take a first look at every device."""
        await asyncio.gather(
            *(robot.connect() for robot in self.robots.values()),
            self.rack.monitor.connect(),
            *((self.rack.meter.connect(),) if self.rack.meter is not None else ()),
        )

    async def claim(self, wait_s: float = CLAIM_WAIT_S) -> None:
        """Wait until no cell names another owner; a cell that does not answer is not waited for.

        Raises:
            CellOwned: another controller keeps a cell.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            owned = []
            for lane_id, robot in self.robots.items():
                cell = await robot.status()
                if cell.fast_at is not None and cell.owner not in (0, self.lease.token):
                    owned.append(f"the cell of lane {lane_id} belongs to controller {cell.owner}")
            if not owned:
                return
            if loop.time() >= until:
                raise CellOwned(
                    f"{'; '.join(owned)}; this one is {self.lease.token}. Stop the other controller first: "
                    "a PLC takes commands from one"
                )
            await asyncio.sleep(0.25)

    async def start(self, claim_wait_s: float = CLAIM_WAIT_S) -> bool:
        """Take the stored state up, connect, own the cells; returns whether the last controller ended uncleanly.

        Raises:
            CellOwned: another controller keeps a cell; nothing was written to any device.
        """
        unclean = self.recover()
        await self.connect()
        try:
            await self.claim(claim_wait_s)
        except BaseException:
            self._say_stopped({})
            await self._close_links()
            self.lease.release()
            raise
        if not unclean and self.context.mode in MOVING_MODES:
            for lane in self.lanes.values():
                lane.go_on()
        return unclean

    async def run(self) -> None:
        """Run every loop until cancelled or until one fails; then hold the robots and stop charging.

        Raises:
            CellOwned: another controller keeps a cell; nothing was done.
        """
        await self.start()
        try:
            async with asyncio.TaskGroup() as group:
                for lane in self.lanes.values():
                    group.create_task(self._every(lane.lane.cell.poll_s, lane.cycle), name=f"lane {lane.lane.id}")
                poll_s = min(d.poll_s for d in self.context.config.rack_devices)
                group.create_task(self._every(poll_s, self.rack_cycle), name="rack")
                cycle_s = max(self.context.config.charging.cycle_s / self.context.clock.speed, 0.5)
                group.create_task(self._every(cycle_s, self.rack.charge_cycle), name="charging")
                group.create_task(self._every(0.25, self.dispatch_cycle), name="dispatch")
                group.create_task(self._every(0.2, self.answers.cycle), name="requests")
                group.create_task(self._every(1.0, self.lease_cycle), name="lease")
                for name, (period_s, step) in self.background.items():
                    group.create_task(self._every(period_s, _as_async(step)), name=name)
                self.started.set()
        finally:
            await asyncio.shield(self.stop())

    async def stop(self) -> None:
        """Hold every robot, set charging to 0 kW, say so in the journal, and give the station up."""
        for robot in self.robots.values():
            await robot.hold("controller stopped")
        unconfirmed = await self.rack.chargers.stop_all()
        self._say_stopped(unconfirmed)
        await self._close_links()
        self.lease.release()

    def _say_stopped(self, unconfirmed: Mapping[str, str]) -> None:
        with self.context.store.transaction() as db:
            append_event(
                db,
                station_id=self.context.station_id,
                at=self.context.clock.now(),
                kind=EventKind.CONTROLLER_STOPPED,
                data={"chargers_not_confirmed": dict(unconfirmed)},
            )

    async def _close_links(self) -> None:
        for robot in self.robots.values():
            await robot.close()
        await self.rack.monitor.close()
        if self.rack.meter is not None:
            await self.rack.meter.close()

    async def _every(self, period_s: float, step: Callable[[], Awaitable[object]]) -> None:
        """Call a step every `period_s` real seconds; a late step is not caught up."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await step()
            due = max(due + period_s, loop.time())
            await asyncio.sleep(max(0.0, due - loop.time()))

    # steps

    async def rack_cycle(self) -> None:
        """Readings; a detection of heat starts the thermal procedure at once."""
        hot = await self.rack.read_cycle()
        if hot:
            self.thermal.detect(hot)
        if self.rack.must_stop_charging():
            await self.rack.charge_cycle()
        await self.thermal.cycle()
        if self._reconcile_by is not None and self._all_seen():
            self.reconcile_now(self._reconcile_by)
            self._reconcile_by = None

    def _all_seen(self) -> bool:
        return all(
            (cell := self.context.cells.get(lane)) is not None and cell.slow_at is not None for lane in self.lanes
        ) and all(self.context.reading_fresh(b.id) for b in self.context.config.bays if b.point is not None)

    async def dispatch_cycle(self) -> None:
        """Call the next truck where a lane, packs and bays are free."""
        context = self.context
        if context.mode is not StationMode.AUTOMATIC or self._reconcile_by is not None:
            return
        if all(lane.session is not None for lane in self.lanes.values()):
            return
        with context.store.reading() as db:
            waiting = db.exec(
                select(Swap.id).where(Swap.station_id == context.station_id, Swap.state == QUEUED).limit(1)
            ).first()
        if waiting is None:
            return
        with context.store.transaction() as db:
            view = context.view(db)
            chosen = next_dispatch(view, context.policy)
            if chosen is not None:
                self.lanes[chosen.lane_id].dispatch(db, chosen)

    async def lease_cycle(self) -> None:
        """Say that this controller lives; losing the lease ends it."""
        self.lease.beat()

    # what people and trips ask

    def hold_station(self, reason: str, actor: str = "controller") -> None:
        """Hold the whole station; nothing is written where it is held, manual, in thermal or fire mode.

        A released fire system puts the station into fire mode from any mode.
        """
        if reason == Signal.FIRE_OK:
            if self.context.mode is not StationMode.FIRE:
                self.change_mode(ModeTrigger.FIRE, reason, actor)
            return
        if self.context.mode not in (StationMode.AUTOMATIC, StationMode.CLOSED):
            return
        self.change_mode(ModeTrigger.HOLD, reason, actor)

    def change_mode(self, trigger: ModeTrigger, reason: str, actor: str) -> StationMode:
        """Store a change of mode. Raises IllegalMode where the table has none."""
        context = self.context
        with context.store.transaction() as db:
            context.mode = change_mode(
                db,
                station_id=context.station_id,
                trigger=trigger,
                reason=reason,
                actor=actor,
                at=context.clock.now(),
            )
        return context.mode

    def trips(self) -> list[str]:
        """Safety trips that the cells report now, as `lane: signal`."""
        found = []
        for lane_id, cell in self.context.cells.items():
            signal = tripped(self.lanes[lane_id].cell_facts(cell))
            if signal is not None:
                found.append(f"{lane_id}: {signal.value}")
        return found

    async def confirm(self, name: str) -> list[Mismatch]:
        """A named person has looked and confirms: compare record and sensors, then go on.

        A lane whose swap waits for a decision of its own stays held: a paused motion would go on with the
        withdrawal of the cell's hold. Returns the differences found; places that differ are blocked, the rest
        of the station goes on.

        Raises:
            LinkLost, Refused: a cell did not take the withdrawal of its hold; the station stays held.
        """
        mismatches = self.reconcile_now(name)
        going_on = [lane for lane in self.lanes.values() if not lane.waits_for_decision]
        for lane in self.lanes.values():
            lane.watch.home_by = name  # a lane that waits for a decision homes after it, and holds nobody up till then
        try:
            for lane in going_on:
                await lane.robot.resume()
        except (LinkLost, Refused):
            for lane in going_on:
                await lane.robot.hold("not every cell took the confirmation")
            raise
        if self.context.mode is StationMode.HELD:
            self.change_mode(ModeTrigger.CONFIRM, "confirmed", name)
        with self.context.store.transaction() as db:
            clear_fault(
                db,
                station_id=self.context.station_id,
                name="controller_restarted",
                source="controller",
                at=self.context.clock.now(),
                actor=name,
            )
        for lane in going_on:
            if lane.session is not None and lane.session.phase is Phase.HELD:
                await lane.decide(Decision(DecisionKind.CONTINUE, name))
        return mismatches

    def reconcile_now(self, actor: str) -> list[Mismatch]:
        """Compare record and sensors and store the differences."""
        context = self.context
        positions = {b.id: b.position for b in context.config.bays}
        busy = {lane_id for lane_id, lane in self.lanes.items() if lane.session is not None}
        with context.store.transaction() as db:
            return reconcile(
                db,
                station_id=context.station_id,
                at=context.clock.now(),
                actor=actor,
                positions=positions,
                in_motion=self.rack.bays_in_motion(db),
                busy_lanes=busy,
                occupied={p: context.occupied(p) for p in positions.values()},
                readings={k: v for k, v in context.readings.items() if context.reading_fresh(k)},
                cells=context.cells,
            )


def _as_async(step: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def run() -> object:
        return await asyncio.to_thread(step)

    return run
