"""The whole station in the study: lanes and robots by the recipe, bays with real packs, the live decisions.

Trucks are called by `scheduler.queueing.next_dispatch`, the packs charged by `ChargingRack`. A swap follows
the forward rows of its recipe: a spent pack reaches its bay, a charged one leaves its own, at the ends of
the rows that move them; each row takes its nominal time, all of one truck's rows stretched by one factor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from random import Random
from typing import cast

from battery_bms.pack import PackSpec, spec_from_section
from scheduler.charging import policy_from_section
from scheduler.queueing import next_dispatch
from scheduler.types import Dispatch, PackState, SiteLimits, StationView
from sim.demand import Arrival, FleetDemand, arrivals
from sim.engine import Call, Flow, FlowRules, StudyTime, Truck
from sim.engine_charging import ChargingRack
from sim.engine_hours import HourRecord
from sim.engine_plan import SwapPlan, nominal_row_s, stretch_of, swap_plan
from sim.engine_staff import StaffHours
from sim.engine_storage import SiteStorage
from sim.engine_view import BayNow, LaneNow, PackNow, StationNow, StationTruck
from sim.engine_world import World
from sim.scenario import Scenario
from sim.streams import Purpose, stream
from swap.station.recipe import StepRow, load_recipe

READY = PackState.READY


@dataclass(frozen=True, slots=True)
class _Model:
    """What a vehicle model asks for."""

    accepts: frozenset[str]
    packs: int
    swap_mode: str
    kind: str
    """Kind it carries when nothing else is known."""
    kinds: tuple[str, ...]
    """The same by seat."""
    one_kind: bool
    """It takes no other kind."""
    plan: SwapPlan
    stores: tuple[tuple[float, int], ...]
    """Share of the swap after which a spent pack is in its bay, and its seat; in order of time."""


class StationFlow(Flow):
    """Trucks, lanes and rack of a scenario."""

    rack: ChargingRack
    row_s: Callable[[StepRow], float] = staticmethod(nominal_row_s)

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        replication: int = 0,
        *,
        start_s: float = 0.0,
        time: StudyTime | None = None,
    ) -> None:
        self.scenario = scenario
        self.seed, self.replication = seed, replication
        self.start_at = scenario.start_at.astimezone(UTC)
        equipment = scenario.equipment
        time = StudyTime(start_s) if time is None else time
        self.specs: dict[str, PackSpec] = {k.id: spec_from_section(k) for k in scenario.pack_kinds}
        self.policy = policy_from_section(scenario.charging, kinds=self.specs.values())
        self.world = World(scenario, seed, replication)
        self.lanes = self._make_lanes()
        bays = self._make_bays()
        patience_min = scenario.patience.mean_patience_min
        patience = stream(seed, replication, Purpose.PATIENCE)
        rules = FlowRules(
            lanes=equipment.lanes,
            truck_places=scenario.patience.truck_places,
            balk_at=scenario.patience.balk_at,
            patience_s=None if patience_min is None else lambda: patience.expovariate(1 / (patience_min * 60)),
        )
        limits = SiteLimits(equipment.grid_limit_kw, equipment.base_load_kw)
        # The queue of the flow is the queue that the decisions see.
        self.view = StationNow(self.start_at, bays, self.lanes, cast("deque[Truck]", None), limits)
        rack = ChargingRack(
            time,
            self.view,
            self.policy,
            self.specs,
            start_at=self.start_at,
            modules=equipment.charger_count,
            charger_kw=equipment.charger_kw,
        )
        super().__init__(time, rack, rules)
        self.view.queue = self.queue
        self._waiting = cast("deque[StationTruck]", self.queue)
        self._lane_by_id = {lane.lane_id: lane for lane in self.lanes}
        self._in_out = equipment.swap_order == "in_out"
        """In-out needs no empty bay: the spent pack goes where the charged one came from."""
        self._failures = scenario.failures
        rack.on_ready = self.start_swaps
        rack.on_change = self.accumulate  # type: ignore[method-assign]
        self.models = self._load_models()
        self._swap_cv = equipment.swap_cv
        self._swap_time = stream(seed, replication, Purpose.SWAP_TIME)
        self._faults = stream(seed, replication, Purpose.PACK_FAULTS)
        self._installed: dict[str, tuple[str, ...]] = {}
        self.hours: list[HourRecord] = []
        self.arrival_s: list[float] = []
        """Arrival of each truck served, beside `waits`."""
        self.lost_s: list[float] = []
        """Arrival of each truck lost."""
        self.stockouts = 0
        """Trucks that found a lane free and no pack ready."""
        self.handed_kwh = 0.0
        """Energy in the packs that left the rack."""
        self.taken_kwh = 0.0
        """Energy in the packs that came into it."""
        self.on_event: Callable[[float, str, StationTruck], None] | None = None
        """Told of each event of a swap, where somebody wants them."""
        self._number = 0
        self._last_kwh = 0.0
        self.storage: SiteStorage | None = None
        if scenario.storage.power_kw > 0:
            self.storage = SiteStorage(time, rack, scenario.storage, self.start_at, self.world.tariff_from)
        self.staff: StaffHours | None = None
        if scenario.staff.shifts:
            self.staff = StaffHours(scenario, start_s)
            self.time.at(self.staff.next_change_s(start_s), self._on_staff)
        self._fill_rack()
        self._hour_s = start_s
        self._apply_world()
        self._start_failures()
        self._start_demand()

    # -- building

    def _make_lanes(self) -> tuple[LaneNow, ...]:
        equipment = self.scenario.equipment
        return tuple(LaneNow(f"L{n}", equipment.swap_order) for n in range(1, equipment.lanes + 1))

    def _make_bays(self) -> tuple[BayNow, ...]:
        equipment = self.scenario.equipment
        return tuple(BayNow(f"A{n}", n, equipment.charger_kw) for n in range(1, equipment.bay_count + 1))

    def _load_models(self) -> dict[str, _Model]:
        equipment = self.scenario.equipment
        recipe = load_recipe(equipment.recipe, Path(self.scenario.folder))
        found = {}
        for model in self.scenario.vehicle_models:
            packs, kinds = model.packs_per_vehicle, model.pack_kinds
            plan = swap_plan(recipe.table(packs, equipment.swap_order), equipment.swap_s, self.row_s)
            stores = tuple((share, seat) for share, what, seat in plan.moves if what == "store")
            seats = (kinds[0],) * packs
            found[model.id] = _Model(
                frozenset(kinds), packs, model.swap_mode, kinds[0], seats, len(kinds) == 1, plan, stores
            )
        return found

    def _fill_rack(self) -> None:
        bays = iter(self.rack.bays)
        start_c = self.rack.ambient_c = self.world.at(0.0).rack_c
        for kind, count in self.scenario.equipment.packs.items():
            for number in range(1, count + 1):
                pack = PackNow(f"{kind}-{number}", kind, self.specs[kind], self.policy.target_soc_pct, start_c)
                self.rack.place(next(bays), pack)
        self.rack.empty = sum(bay.pack is None for bay in self.rack.bays)

    # -- demand

    def _start_demand(self) -> None:
        if self.scenario.demand.mode == "fleet":
            demand = FleetDemand(self.scenario, self.scenario.start_at, self.seed, self.replication)
            self._fleet_demand: FleetDemand | None = demand
            for arrival in demand.first():
                self.time.at(arrival.at_s, self._on_gate, arrival)
            return
        self._fleet_demand = None
        self._coming = arrivals(self.scenario, self.scenario.start_at, self.seed, self.replication)
        self._await_next()

    def _await_next(self, call: Call | None = None) -> None:
        arrival = next(self._coming, None)
        if arrival is None:
            return
        if call is None:
            self.time.at(arrival.at_s, self._on_gate, arrival)
        else:
            call.payload = arrival
            self.time.again(arrival.at_s, call)

    def _on_gate(self, call: Call) -> None:
        arrival: Arrival = call.payload
        if self._fleet_demand is None:
            self._await_next(call)
        if arrival.comes:
            self.arrive(self._truck(arrival))

    def _truck(self, arrival: Arrival) -> StationTruck:
        model = self.models[arrival.model]
        self._number = number = self._number + 1
        at_s, start_at = arrival.at_s, self.start_at
        swap_s = model.plan.nominal_s * stretch_of(self._swap_time, self._swap_cv)
        truck = StationTruck(at_s, 0.0, swap_s, arrival.priority)
        truck.swap_id = f"S{number:08d}"
        truck.vehicle_id = vehicle = arrival.vehicle_id or ""
        truck.arrived_at = start_at + timedelta(0, at_s)
        truck.accepts = model.accepts
        truck.packs_needed = model.packs
        truck.swap_mode = model.swap_mode
        if arrival.booked:
            truck.booked_from_at = start_at + timedelta(0, arrival.booked_from_s)
            truck.booked_until_at = start_at + timedelta(0, arrival.booked_until_s)
        else:
            truck.booked_from_at = truck.booked_until_at = None
        truck.min_energy_kwh = 0.0
        truck.installed_kinds = model.kinds if model.one_kind else self._installed.get(vehicle, model.kinds)
        truck.soc_pct = arrival.soc_pct
        truck.details = arrival
        return truck

    def arrive(self, truck: Truck) -> None:
        """A truck stands at the gate."""
        assert isinstance(truck, StationTruck)
        self.accumulate()
        self.arrived += 1
        if self._refuses and self._turns_away():
            self.lost += 1
            self._lose(truck)
            return
        self.trucks_here += 1
        if self.free_lanes and self.rack.charged < truck.packs_needed and self._attended():
            self.stockouts += 1
        self.queue.append(truck)
        self._ask(truck, 1)
        self.start_swaps()
        patience_s = self.rules.patience_s
        if patience_s is not None and truck.start_s < 0:
            truck.give_up = self.time.at(self.time._now + patience_s(), self._on_give_up, truck)

    def accumulate(self) -> None:
        """Add the time since the last change to the averages; call before any change of queue, lanes or stock."""
        now_s = self.time._now
        dt_s = now_s - self._last_s
        if dt_s > 0:
            self._last_s = now_s
            rack, queue = self.rack, self.queue
            if queue:
                self._waiting_area += len(queue) * dt_s
            if rack.charged:
                rack.charged_area += rack.charged * dt_s
            else:
                self._stockout_area += dt_s
            self._lane_area += (self._lanes - self.free_lanes) * dt_s

    def _ask(self, truck: StationTruck, sign: int) -> None:
        """The queue asks for a truck's packs (1) or no longer does (-1)."""
        rack = self.rack
        for kind in truck.accepts:
            rack.asked_by_kind[kind] += sign * truck.packs_needed
        if rack.dear:
            rack.changed(None, frees=False)

    def _lose(self, truck: Truck) -> None:
        assert isinstance(truck, StationTruck)
        self.lost_s.append(truck.at_s)
        if truck.give_up is not None:
            self._ask(truck, -1)
        self._depart(truck, truck.soc_pct)

    # -- swaps

    def start_swaps(self) -> None:
        """Call trucks as long as the live station's decision finds one."""
        rack, queue = self.rack, self.queue
        while queue and self.free_lanes and rack.charged and (rack.empty or self._in_out) and self._attended():
            for bay in rack.bays:
                pack = bay.pack
                if pack is not None and pack.state is READY and bay.power_kw > 0:
                    rack.settle(bay)
            view = self.view
            view.at = self.start_at + timedelta(0, self.time._now)
            dispatch = next_dispatch(cast("StationView", view), self.policy)
            if dispatch is None:
                return
            self._dispatch(dispatch)

    def _dispatch(self, dispatch: Dispatch) -> None:
        waiting, rack, time = self._waiting, self.rack, self.time
        truck = waiting[0]
        if truck.swap_id != dispatch.swap_id:
            truck = next(truck for truck in waiting if truck.swap_id == dispatch.swap_id)
        waiting.remove(truck)
        self._ask(truck, -1)
        truck.start_s = now_s = time._now
        if truck.give_up is not None:
            truck.give_up.drop()
        self.started += 1
        at_s = truck.at_s
        self.waits.append(now_s - at_s)
        self.arrival_s.append(at_s)
        self.queue_time_s += now_s - at_s
        lane = self._lane_by_id[dispatch.lane_id]
        lane.open_swap_id = swap_id = truck.swap_id
        self.free_lanes -= 1
        truck.lane = lane
        truck.dispatch = dispatch
        truck.taken = []
        truck.spent = [self._spent_pack(truck, seat) for seat in range(truck.packs_needed)]
        given = dispatch.packs.bay_ids
        for bay_id in given:
            rack.reserve(rack.by_id[bay_id], swap_id)
        for bay_id in dispatch.empty_bay_ids:
            if bay_id not in given:
                rack.promise_empty(rack.by_id[bay_id], swap_id)
        if self.on_event is not None:
            self.on_event(now_s, "dispatched", truck)
        truck.stores = self.models[truck.details.model].stores
        truck.stored = 0
        truck.late_s, truck.lost_s = 0.0, lane.lost_s
        self._next_move(truck, Call(None, truck))

    def _next_move(self, truck: StationTruck, call: Call) -> None:
        """Put the next spent pack's set-down on the list, or after the last the end of the swap."""
        after_s, stores = truck.swap_s, truck.stores
        if truck.stored < len(stores):
            call.fn = self._on_store
            after_s *= stores[truck.stored][0]
        else:
            call.fn = self._on_swap_end
        self.time.again(truck.start_s + truck.late_s + after_s, call)

    def _postponed(self, call: Call) -> bool:
        """Whether the lane lost time to a failure since this was planned; it then comes later by that."""
        truck = call.payload
        later_s = truck.lane.lost_s - truck.lost_s
        if later_s == 0:
            return False
        truck.lost_s = truck.lane.lost_s
        truck.late_s += later_s
        self.time.again(self.time._now + later_s, call)
        return True

    def _spent_pack(self, truck: StationTruck, seat: int) -> PackNow:
        kinds = truck.installed_kinds
        kind = kinds[seat] if kinds is not None else next(iter(truck.accepts))
        return PackNow(f"{truck.swap_id}-{seat}", kind, self.specs[kind], truck.soc_pct[seat], self._spent_c)

    def _on_store(self, call: Call) -> None:
        truck: StationTruck = call.payload
        if truck.lane.lost_s != truck.lost_s and self._postponed(call):
            return
        seat = truck.stores[truck.stored][1] - 1
        truck.stored += 1
        self._next_move(truck, call)
        rack = self.rack
        dispatch = truck.dispatch
        bay = rack.by_id[dispatch.empty_bay_ids[seat]]
        if bay.pack is not None:
            self._fetch(truck)  # in-out: the spent pack goes where the charged one came from
        spent = truck.spent[seat]
        self.taken_kwh += spent.energy_kwh
        rack.place(bay, spent)
        bay.reserved_by = truck.swap_id
        failures = self._failures
        if failures.pack_fault_share > 0 and self._faults.random() < failures.pack_fault_share:
            rack.set_aside(bay, self._faults.expovariate(1 / failures.pack_inspection_h))
        if spent.state is READY and self.queue:
            self.start_swaps()

    def _fetch(self, truck: StationTruck) -> None:
        """The charged packs leave their bays.

        In truth each leaves at its row of the recipe. A promised pack is neither charged nor offered, and its bay is
        kept for the way back until the truck has left, so no decision can tell: the study does it when the bay is
        needed, at the latest at the end of the swap, and spares the events.
        """
        rack = self.rack
        for bay_id in truck.dispatch.packs.bay_ids[len(truck.taken) :]:
            bay = rack.by_id[bay_id]
            pack = rack.pick(bay)
            truck.taken.append(pack)
            self.handed_kwh += pack.energy_kwh
            rack.promise_empty(bay, truck.swap_id)

    def _on_swap_end(self, call: Call) -> None:
        truck: StationTruck = call.payload
        if truck.lane.lost_s != truck.lost_s and self._postponed(call):
            return
        self.accumulate()
        self._fetch(truck)
        rack = self.rack
        truck.lane.open_swap_id = None
        for bay_id in (*truck.dispatch.packs.bay_ids, *truck.dispatch.empty_bay_ids):
            bay = rack.by_id[bay_id]
            if bay.reserved_by is not None:
                bay.reserved_by = None
                rack.empty += bay.pack is None
        self.free_lanes += 1
        self.trucks_here -= 1
        if self.on_event is not None:
            self.on_event(self.time._now, "completed", truck)
        if truck.vehicle_id and len(truck.accepts) > 1:
            self._installed[truck.vehicle_id] = tuple(pack.kind for pack in truck.taken)
        if self._fleet_demand is not None:
            self._depart(truck, tuple(pack.soc_pct for pack in truck.taken))
        if self.queue:
            self.start_swaps()

    def _depart(self, truck: StationTruck, soc_pct: tuple[float, ...]) -> None:
        """A truck of a fleet that drives its trips will be back; one that was lost comes again in half an hour."""
        if self._fleet_demand is None:
            return
        fleet = self.scenario.fleet(truck.details.fleet)
        now_s = self.time._now
        if soc_pct is truck.soc_pct:
            again = truck.details._replace(at_s=now_s + 1800.0)
        else:
            again = self._fleet_demand.after_swap(fleet, truck.vehicle_id, now_s, soc_pct)
        self.time.at(again.at_s, self._on_gate, again)

    # -- failures

    def _start_failures(self) -> None:
        failures = self.scenario.failures
        if failures.robot_mtbf_h > 0:
            for number, lane in enumerate(self.lanes):
                draw = Random(stream(self.seed, self.replication, Purpose.ROBOT_FAILURES).random() + number)
                self._fail_later(lane, draw)
        if failures.charger_mtbf_h > 0:
            draw = stream(self.seed, self.replication, Purpose.CHARGER_FAILURES)
            for bay in self.rack.bays[: self.scenario.equipment.charger_count]:
                self.time.at(draw.expovariate(1 / (failures.charger_mtbf_h * 3600)), self._on_charger, (bay, draw, -1))

    def _fail_later(self, lane: LaneNow, draw: Random) -> None:
        up_s = draw.expovariate(1 / (self.scenario.failures.robot_mtbf_h * 3600))
        self.time.at(self.time._now + up_s, self._on_robot, (lane, draw))

    def _on_robot(self, call: Call) -> None:
        lane, draw = call.payload
        self.accumulate()
        repair_s = draw.expovariate(1 / (self.scenario.failures.robot_repair_h * 3600)) + self._until_staffed_s()
        lane.ready = False
        if lane.open_swap_id is not None:
            lane.lost_s += repair_s
        else:
            self.free_lanes -= 1
        self.time.at(self.time._now + repair_s, self._on_robot_repaired, (lane, draw, lane.open_swap_id is None))

    def _on_robot_repaired(self, call: Call) -> None:
        lane, draw, was_idle = call.payload
        self.accumulate()
        lane.ready = True
        if was_idle:
            self.free_lanes += 1
        self._fail_later(lane, draw)
        self.start_swaps()

    def _on_charger(self, call: Call) -> None:
        bay, draw, number = call.payload
        failures = self.scenario.failures
        self.rack.module_changes(number, bay)
        hours = failures.charger_repair_h if number < 0 else failures.charger_mtbf_h
        next_s = self.time._now + draw.expovariate(1 / (hours * 3600))
        if number < 0:
            next_s += self._until_staffed_s()
        self.time.at(next_s, self._on_charger, (bay, draw, -number))

    # -- staff

    def _attended(self) -> bool:
        """Whether somebody is there for one lane more."""
        return self.staff is None or sum(lane.open_swap_id is not None for lane in self.lanes) < self.staff.lanes

    def _until_staffed_s(self) -> float:
        """Until somebody is there who can repair."""
        return 0.0 if self.staff is None else self.staff.next_staffed_s(self.time._now) - self.time._now

    def _on_staff(self, call: Call) -> None:
        """A shift begins or ends. Running swaps end whoever is there."""
        assert self.staff is not None
        self.accumulate()
        self.staff.at(self.time._now)
        self.time.again(self.staff.next_change_s(self.time._now), call)
        if self.queue:
            self.start_swaps()

    # -- hours

    def _on_hour(self, call: Call) -> None:
        self.accumulate()
        self._record_hour()
        self._apply_world()
        if self.queue:
            self.start_swaps()

    def _apply_world(self) -> None:
        """Set what holds until the next full hour, price or limit; put that on the list."""
        now_s = self.time._now
        self._now = self.world.at(now_s)
        climate = self.scenario.climate
        self._spent_c = max(self._now.outside_c + climate.pack_above_ambient_c, climate.pack_min_c)
        limits = self._now.limits if self.storage is None else self.storage.new_world(self._now)
        self.rack.set_world(limits, (self._now.tariff,), self._now.rack_c, aware=self.policy.tariff_aware)
        self.time.at(self._now.until_s, self._on_hour)

    def _record_hour(self) -> None:
        now_s = self.time._now
        hours = (now_s - self._hour_s) / 3600
        if hours <= 0:
            return
        drawn_kwh = self.rack.settle_all()
        charge_kwh = drawn_kwh - self._last_kwh
        self._last_kwh = drawn_kwh
        limits, tariff = self._now.limits, self._now.tariff
        site_kwh = charge_kwh + limits.base_load_kw * hours
        pv_kwh = limits.pv_kw * hours
        flows = None if self.storage is None else self.storage.take_flows()
        self.hours.append(
            HourRecord(
                start_s=self._hour_s,
                hours=hours,
                charge_kwh=charge_kwh,
                site_kwh=site_kwh,
                import_kwh=max(site_kwh - pv_kwh, 0.0) if flows is None else flows.import_kwh,
                pv_kwh=pv_kwh,
                price_yuan_per_kwh=tariff.price_yuan_per_kwh,
                period=tariff.period,
                limit_kw=limits.grid_limit_kw,
                ready=self.rack.charged,
                waiting=len(self.queue),
                flows=flows,
            )
        )
        self._hour_s = now_s

    def reset(self) -> None:
        """Forget all that was counted."""
        super().reset()
        self._record_hour()
        self.hours.clear()
        self.arrival_s, self.lost_s = [], []
        self.stockouts = 0
        self.handed_kwh = self.taken_kwh = 0.0

    def close(self) -> None:
        """Complete the last hour."""
        self.accumulate()
        if self.time._now > self._hour_s:
            self._record_hour()
