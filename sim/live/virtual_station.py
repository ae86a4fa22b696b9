"""A live station on virtual time: the controller's own code over the plant in memory. Nothing waits.

The live controller calls its steps at fixed periods, and most calls find nothing new. Here time stands still
during a round of steps and then jumps to the next instant at which a round can find something: a motion or a
driver's act ends, a truck comes, a pack is charged or full, the price changes, a check is to be tried again;
one poll later after each change, and never more than `idle_s` later. What is called is
`swap.station.controller`, unchanged; a test compares with its own loops (`StationController.run`).
"""

from __future__ import annotations

import heapq
import itertools
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from battery_bms.pack import Charge, PackSpec, curve_of, time_to_soc_s, time_to_temp_s
from scheduler.charging import HYSTERESIS_C
from scheduler.demand_response import limit_at
from scheduler.guide import Planner
from scheduler.tariff import Tariff
from scheduler.tariff_files import load_tariff
from scheduler.types import Limit
from sim.live.direct import DirectRack, DirectRobot, direct_site
from sim.plant.plant import Plant
from sim.plant.rack import US_PER_S
from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.gate import check_in
from swap.places import bay_place
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import StationController
from swap.station.lane.runner import LaneRunner
from swap.station.lease import Lease
from swap.station.life.database import DirectDatabase
from swap.station.sequence.session import Phase, Session
from swap.station.sequence.step_table import Place
from swap.store import Store

WAIT_POLL_S = 1.0
"""A swap that waits for something other than the end of a motion is looked at this often."""
IDLE_S = 60.0
"""Longest jump. Site samples are stored this often."""
ORDER_ROUNDS = 2.0
"""A storage's order outlasts so many of the longest jumps: what must not be missed here is a round, not a second."""
AFTER_US = 10
"""A pack is looked at so long after it has reached a level, for rounding."""
MARK_S = 1e-3
"""A level so near has been reached."""
_SHORT = frozenset({Limit.GRID, Limit.RACK, Limit.MEASURED_IMPORT, Limit.DEMAND_RESPONSE, Limit.TARIFF})
"""What divides power among packs: one in its taper gives some back."""


class VirtualStation:
    """One station, its plant and its clock.

    Args:
        config: the station file.
        store: a migrated database; filled from the station file where it is empty.
        plant: the truth; its time is the station's.
        poll_s: time from one look at a cell to the next while something changes.
        idle_s: longest time between two rounds.
        planner: who guides the charging; None: the price rule.
    """

    def __init__(
        self,
        config: StationConfig,
        store: Store,
        plant: Plant,
        *,
        poll_s: float | None = None,
        idle_s: float = IDLE_S,
        planner: Planner | None = None,
    ) -> None:
        self.config = config
        self.store = store
        self.plant = plant
        self.poll_s = min(lane.cell.poll_s for lane in config.lanes) if poll_s is None else poll_s
        self.tariff: Tariff = load_tariff(config.tariff, config.station.zone, config.folder)
        self.clock = Clock(plant.now_at, 1.0, monotonic=lambda: self.plant.now_us / US_PER_S)
        sync_station(store, config, self.clock.now())
        context = StationContext.build(DirectDatabase(store, config.station.id), config, self.clock, self.tariff)
        context.planner = planner
        lease = Lease(store, config.station.id)
        lease.acquire()
        rack = DirectRack(plant, self.clock.now)
        self.controller = StationController(
            context,
            [DirectRobot(plant, lane.id, lease.token, self.clock.now) for lane in config.lanes],
            rack,
            rack,
            direct_site(plant, self.clock.now, order_expires_s=ORDER_ROUNDS * idle_s),
            lease,
        )
        self.attended_lanes = len(config.lanes)
        """So many swaps may be under way at a time by the people on shift; a further truck is not called."""
        self.rounds = 0
        self.bound: set[str] = set()
        """What has limited a charger, `pv` once the sun gave power, `storage` once the storage had an order."""
        self._calls: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._idle_us = round(idle_s * US_PER_S)
        self._poll_us = max(round(self.poll_s * US_PER_S), 1)
        self._read_us = self._planned_us = -self._idle_us
        # Readings are renewed before they are half as old as they may become.
        self._renew_us = round(self.controller.context.policy.max_reading_age_s / 2 * US_PER_S)
        self._not_before_us = dict.fromkeys(self.controller.lanes, 0)
        """A lane is looked at again one poll after it changed."""
        self._temperature_us: dict[str, int] = {}
        """When the pack of a bay will cross a temperature."""
        self._crossed_us: dict[str, int] = {}
        """When it last did."""
        self._mark_us = 0
        self._guide_us = sys.maxsize
        """When the guide that holds ends."""
        self._again_us = 0
        """Look at everything until then: something was moved, promised or set."""

    # -- time

    @property
    def now_at(self) -> datetime:
        """Station time, aware UTC."""
        return self.clock.now()

    def at(self, at: datetime, act: Callable[[], object]) -> None:
        """Have `act` called when station time comes to an instant; at once where that has passed."""
        due_us = round((at.astimezone(UTC) - self.plant.start_at) / timedelta(microseconds=1))
        heapq.heappush(self._calls, (due_us, next(self._numbers), act))

    async def start(self) -> None:
        """Start the controller and let it see everything once."""
        await self.controller.start(claim_wait_s=0.0)
        await self.run(self.now_at + timedelta(seconds=5 * self.poll_s))

    async def run(self, until: datetime) -> None:
        """Let station time pass."""
        until_us = round((until.astimezone(UTC) - self.plant.start_at) / timedelta(microseconds=1))
        while self.plant.now_us < until_us:
            changed = await self._round()
            next_us = self._next_us(changed)
            self.plant.advance((min(next_us, until_us) - self.plant.now_us) / US_PER_S)

    async def stop(self) -> None:
        """Stop the controller as a clean end does."""
        await self.controller.stop()

    # -- one round

    async def _round(self) -> bool:
        """Every step that could find something, at one instant; whether the station changed."""
        self.rounds += 1
        changed = await self._do_due()
        controller = self.controller
        now_us = self.plant.now_us
        if now_us >= min(self._mark_us, self._guide_us):
            self._look_again()
        plans = now_us - self._planned_us >= self._plan_us()
        if plans or now_us <= self._again_us or now_us - self._read_us >= self._renew_us:
            self._read_us = now_us
            await controller.rack_cycle()
        stepped = False
        for lane_id, lane in controller.lanes.items():
            if now_us < self._not_before_us[lane_id]:
                continue
            before = lane.session
            await lane.cycle()
            if lane.session != before:
                stepped = True
                self._not_before_us[lane_id] = now_us + self._poll_us
                if _moved(lane, before, lane.session):
                    self._look_again()
        if plans or now_us <= self._again_us:
            self._planned_us = now_us
            if self._read_us != now_us:  # a plan of now takes the site and the packs as they are now
                await controller.rack.look()
            running = self._running()
            await controller.rack.charge_cycle()
            self._note_bounds()
            if self._running() != running:
                self._look_again()
        while free := self._attended():
            await controller.dispatch_cycle()
            called = [lane_id for lane_id in free if controller.lanes[lane_id].session is not None]
            if not called:
                break
            stepped = True
            self._not_before_us |= dict.fromkeys(called, now_us + self._poll_us)
            self._look_again()
        return changed or stepped or now_us < self._again_us

    async def _do_due(self) -> bool:
        done = False
        while self._calls and self._calls[0][0] <= self.plant.now_us:
            heapq.heappop(self._calls)[2]()
            self._look_again()
            done = True
        return done

    def _attended(self) -> list[str]:
        """Lanes without a swap; none while all the people on shift are busy."""
        lanes = self.controller.lanes
        free = [lane_id for lane_id, lane in lanes.items() if lane.session is None]
        return free if len(lanes) - len(free) < self.attended_lanes else []

    def _note_bounds(self) -> None:
        self.bound |= {str(setpoint.limited_by) for setpoint in self.controller.context.plan.values()}
        if self.plant.site.pv_kw > 0:
            self.bound.add("pv")
        if self.plant.site.order.power_kw != 0:
            self.bound.add("storage")

    def _running(self) -> list[str]:
        """Bays that the charging plan gives power."""
        return [bay for bay, setpoint in self.controller.context.plan.items() if setpoint.power_kw > 0]

    def _plan_us(self) -> int:
        """Longest time from one plan to the next; while power is short, packs in their taper give some back."""
        gives = self._is_short() and any(self._is_tapering(bay_id) for bay_id in self.plant.rack.bays)
        return round(self.config.charging.cycle_s * US_PER_S) if gives else self._idle_us

    def _is_short(self) -> bool:
        return any(setpoint.limited_by in _SHORT for setpoint in self.controller.context.plan.values())

    def _is_tapering(self, bay_id: str) -> bool:
        knee_s = self._knee_s(bay_id)
        return knee_s is not None and knee_s <= MARK_S

    def _knee_s(self, bay_id: str) -> float | None:
        """Until the pack takes less than its charger is told to give; None where the charger is off."""
        rack = self.plant.rack
        truth, held_kw = rack.at(bay_place(bay_id)), rack.bays[bay_id].held_kw
        if truth is None or held_kw <= 0:
            return None
        energy_kwh = rack.now(truth, self.plant.now_us).energy_kwh
        return Charge(curve_of(truth.spec, truth.soh_pct), 0.0, energy_kwh, held_kw).knee_s

    def _look_again(self) -> None:
        """Read the rack and plan charging now and one poll later."""
        self._again_us = self.plant.now_us + self._poll_us

    # -- when to look next

    def _next_us(self, changed: bool) -> int:
        now_us = self.plant.now_us
        times = [now_us + self._idle_us, max(self._planned_us + self._plan_us(), now_us + self._poll_us)]
        if changed:
            times.append(now_us + self._poll_us)
        # What was to be looked at one poll later still is when another lane has asked for a round in between.
        times += [at_us for at_us in (*self._not_before_us.values(), self._again_us) if at_us > now_us]
        if any(_waits(lane.session) for lane in self.controller.lanes.values()):
            times.append(now_us + round(WAIT_POLL_S * US_PER_S))
        if self._calls:
            times.append(self._calls[0][0])
        times += self._motions_us()
        marks_us = self._pack_marks_us()
        events = self.controller.context.dr_events
        marks_us.append(self._us_of(limit_at(events, self.now_at, self.config.station.zone)[1]))
        if (storage_us := self._storage_mark_us()) is not None:
            marks_us.append(storage_us)
        self._mark_us = min(marks_us)
        times.append(self._mark_us)
        change_at = self.tariff.next_change_at(self.now_at)
        if change_at is not None:
            times.append(self._us_of(change_at))
        planner = self.controller.context.planner
        guide = None if planner is None else planner.guide_at(self.now_at, ())
        if guide is not None:
            self._guide_us = round((guide.until_at - self.plant.start_at) / timedelta(microseconds=1))
            times.append(self._guide_us)
        return max(min(times), now_us + 1)

    def _us_of(self, at: datetime) -> int:
        return round((at - self.plant.start_at) / timedelta(microseconds=1))

    def _motions_us(self) -> list[int]:
        """When trucks stop, drivers act and commands end. In the midst of a command there is nothing to see."""
        found = []
        driver_us = self.plant.yard.next_us()
        if driver_us is not None:
            found.append(driver_us)
        for cell in self.plant.cells.values():
            active = cell.active
            if active is not None and active.due_us is not None:
                found.append(active.due_us + round(sum(active.phase_s[active.phase + 1 :]) * US_PER_S))
        return found

    def _pack_marks_us(self) -> list[int]:
        """When packs on a running charger will be ready or full, and when any will be too warm or warm enough."""
        rack, now_us, policy = self.plant.rack, self.plant.now_us, self.controller.context.policy
        short, found = self._is_short(), []
        for bay_id, bay in rack.bays.items():
            truth = rack.at(bay_place(bay_id)) if bay.section.charger_kw > 0 else None
            if truth is None:
                continue
            now = rack.now(truth, now_us)
            marks_us = self._temperature_marks_us(bay_id, truth.spec, now.temp_c, now.charge_kw)
            self._temperature_us[bay_id] = min(marks_us, default=sys.maxsize)
            found += marks_us
            if bay.held_kw <= 0:
                continue
            energy_kwh, level_pct = now.energy_kwh, now.soc_pct
            if short:
                knee_s = self._knee_s(bay_id)
                if knee_s is not None and MARK_S < knee_s < self._idle_us / US_PER_S:
                    found.append(now_us + round(knee_s * US_PER_S) + AFTER_US)
            for goal_pct in (policy.offer_soc_pct, policy.target_soc_pct):
                if level_pct < goal_pct:
                    left_s = time_to_soc_s(truth.spec, truth.soh_pct, energy_kwh, bay.held_kw, goal_pct)
                    if left_s < self._idle_us / US_PER_S:
                        found.append(now_us + round(left_s * US_PER_S) + AFTER_US)
        return found

    def _storage_mark_us(self) -> int | None:
        """When the storage will be full, empty or at its reserve, as it works now."""
        site, section = self.plant.site, self.config.site.storage
        power_kw = site.storage_kw(self.plant.now_us)
        if section is None or power_kw == 0.0:
            return None
        stored_kwh, one_way = site.stored_kwh(self.plant.now_us), section.one_way_efficiency
        reserve_kwh = section.reserve_share * section.energy_kwh
        goals_kwh = (reserve_kwh, section.energy_kwh) if power_kw > 0 else (0.0, reserve_kwh)
        rate_kw = power_kw * one_way if power_kw > 0 else power_kw / one_way
        lefts_s = [(goal_kwh - stored_kwh) / rate_kw * 3600 for goal_kwh in goals_kwh]
        left_s = min((left_s for left_s in lefts_s if left_s > MARK_S), default=None)
        return None if left_s is None else self.plant.now_us + round(left_s * US_PER_S) + AFTER_US

    def _temperature_marks_us(self, bay_id: str, spec: PackSpec, temp_c: float, charge_kw: float) -> list[int]:
        """When a pack crosses a temperature that changes what it may draw; a plan's period after the last time."""
        now_us = self.plant.now_us
        if self._temperature_us.get(bay_id, sys.maxsize) <= now_us:
            self._crossed_us[bay_id] = now_us
        soonest_us = self._crossed_us.get(bay_id, -sys.maxsize) + round(self.config.charging.cycle_s * US_PER_S)
        policy = self.controller.context.policy
        heat_kw = (1 - spec.charge_efficiency) * charge_kw
        limits_c = (
            policy.reduce_below_c,
            policy.reduce_above_c,
            policy.charge_temp_max_c,
            policy.charge_temp_max_c - HYSTERESIS_C,
            policy.charge_temp_min_c,
            policy.charge_temp_min_c + HYSTERESIS_C,
        )
        spread_c = self.plant.temp_spread_c
        found = []
        for limit_c in {*limits_c, *(c + spread_c for c in limits_c)}:
            left_s = time_to_temp_s(spec, temp_c, limit_c, heat_kw, self.plant.rack.ambient_c)
            if 0 < left_s < self._idle_us / US_PER_S:
                found.append(max(now_us + round(left_s * US_PER_S) + AFTER_US, soonest_us))
        return found

    # -- trucks

    def arrive(
        self,
        vehicle_id: str,
        soc_pct: Sequence[float],
        *,
        temp_c: float | None = None,
        booking_id: str | None = None,
        priority: int = 0,
    ) -> str:
        """A truck drives into the yard and checks in; returns its swap.

        Raises:
            PlantError: the truck is not away.
        """
        self.plant.arrive(vehicle_id, soc_pct, temp_c)
        with self.store.station(self.config.station.id) as db:
            return check_in(
                db,
                self.config,
                vehicle_id=vehicle_id,
                at=self.now_at,
                booking_id=booking_id,
                priority=priority,
                actor="simulated fleet",
            ).swap_id


def _waits(session: Session | None) -> bool:
    """For a check, a permissive or a sensor, not for a motion or a person."""
    return session is not None and session.phase not in (Phase.SENT, Phase.HELD)


def _moved(lane: LaneRunner, before: Session | None, after: Session | None) -> bool:
    """A step that fills or empties a bay has ended, or the swap has."""
    if before is None or lane.table is None:
        return False
    if after is None:
        return True
    row = lane.table.by_state.get(before.state)
    if before.state == after.state or row is None or row.move is None:
        return False
    return not {row.move.source, row.move.target} <= {Place.SEAT, Place.GRIPPER}
