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
from scheduler.types import Dispatch, SiteLimits, StationView
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


@dataclass(frozen=True, slots=True)
class _Model:
    """What a vehicle model asks for."""

    accepts: frozenset[str]
    packs: int
    swap_mode: str
    kind: str
    """Kind it carries when nothing else is known."""
    plan: SwapPlan


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
        rack.on_ready = self.start_swaps
        rack.on_change = self.accumulate  # type: ignore[method-assign]
        self.models = self._load_models()
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
        return {
            model.id: _Model(
                frozenset(model.pack_kinds),
                model.packs_per_vehicle,
                model.swap_mode,
                model.pack_kinds[0],
                swap_plan(recipe.table(model.packs_per_vehicle, equipment.swap_order), equipment.swap_s, self.row_s),
            )
            for model in self.scenario.vehicle_models
        }

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

    def _await_next(self) -> None:
        arrival = next(self._coming, None)
        if arrival is not None:
            self.time.at(arrival.at_s, self._on_gate, arrival)

    def _on_gate(self, call: Call) -> None:
        arrival: Arrival = call.payload
        if self._fleet_demand is None:
            self._await_next()
        if arrival.comes:
            self.arrive(self._truck(arrival))

    def _truck(self, arrival: Arrival) -> StationTruck:
        model = self.models[arrival.model]
        stretch = stretch_of(self._swap_time, self.scenario.equipment.swap_cv)
        truck = StationTruck(arrival.at_s, 0.0, model.plan.nominal_s * stretch, arrival.priority)
        self._number += 1
        truck.swap_id = f"S{self._number:08d}"
        truck.vehicle_id = arrival.vehicle_id or ""
        truck.arrived_at = self.start_at + timedelta(seconds=arrival.at_s)
        truck.accepts = model.accepts
        truck.packs_needed = model.packs
        truck.swap_mode = model.swap_mode
        truck.booked_from_at = truck.booked_until_at = None
        if arrival.booked:
            truck.booked_from_at = self.start_at + timedelta(seconds=arrival.booked_from_s)
            truck.booked_until_at = self.start_at + timedelta(seconds=arrival.booked_until_s)
        truck.min_energy_kwh = 0.0
        kinds = (model.kind,) * model.packs if len(model.accepts) == 1 else None
        truck.installed_kinds = kinds or self._installed.get(truck.vehicle_id, (model.kind,) * model.packs)
        truck.soc_pct = arrival.soc_pct
        truck.details = arrival
        return truck

    def _served_at_once(self, truck: Truck) -> bool:
        assert isinstance(truck, StationTruck)
        if self.free_lanes and self.rack.charged < truck.packs_needed and self._attended():
            self.stockouts += 1
        self.queue.append(truck)  # before asking: the charging plan counts the queue
        self._ask(truck, 1)
        self.start_swaps()
        if truck.start_s >= 0:
            return True
        self.queue.remove(truck)
        return False

    def _ask(self, truck: StationTruck, sign: int) -> None:
        """The queue asks for a truck's packs (1) or no longer does (-1)."""
        asked = self.rack.asked_by_kind
        for kind in truck.accepts:
            asked[kind] += sign * truck.packs_needed
        if self.rack.dear:
            self.rack.changed(None, frees=False)

    def _lose(self, truck: Truck) -> None:
        assert isinstance(truck, StationTruck)
        self.lost_s.append(truck.at_s)
        if truck.give_up is not None:
            self._ask(truck, -1)
        self._depart(truck, truck.soc_pct)

    # -- swaps

    def start_swaps(self) -> None:
        """Call trucks as long as the live station's decision finds one."""
        rack, view = self.rack, self.view
        # In-out needs no empty bay: the spent pack goes where the charged one came from.
        in_out = self.scenario.equipment.swap_order == "in_out"
        while self.queue and self.free_lanes and rack.charged and (rack.empty or in_out) and self._attended():
            for bay in rack.bays:
                if bay.power_kw > 0 and bay.pack is not None and bay.pack.state == "ready":
                    rack.settle(bay)
            view.at = self.start_at + timedelta(seconds=self.time._now)
            dispatch = next_dispatch(cast("StationView", view), self.policy)
            if dispatch is None:
                return
            self._dispatch(dispatch)

    def _dispatch(self, dispatch: Dispatch) -> None:
        queue, rack = self.queue, self.rack
        truck = next(t for t in queue if cast("StationTruck", t).swap_id == dispatch.swap_id)
        assert isinstance(truck, StationTruck)
        queue.remove(truck)
        self._ask(truck, -1)
        now_s = self.time._now
        truck.start_s = now_s
        if truck.give_up is not None:
            truck.give_up.drop()
        self.started += 1
        waited_s = now_s - truck.at_s
        self.waits.append(waited_s)
        self.arrival_s.append(truck.at_s)
        self.queue_time_s += waited_s
        lane = next(lane for lane in self.lanes if lane.lane_id == dispatch.lane_id)
        lane.open_swap_id = truck.swap_id
        self.free_lanes -= 1
        truck.lane = lane
        truck.dispatch = dispatch
        truck.taken = []
        truck.spent = [self._spent_pack(truck, seat) for seat in range(truck.packs_needed)]
        for bay_id in dispatch.packs.bay_ids:
            rack.reserve(rack.by_id[bay_id], truck.swap_id)
        for bay_id in dispatch.empty_bay_ids:
            if bay_id not in dispatch.packs.bay_ids:
                rack.promise_empty(rack.by_id[bay_id], truck.swap_id)
        if self.on_event is not None:
            self.on_event(now_s, "dispatched", truck)
        plan = self.models[truck.details.model].plan
        for share, what, seat in plan.moves:
            handler = self._on_store if what == "store" else self._on_fetch
            self.time.at(now_s + share * truck.swap_s, handler, (truck, seat - 1, lane.lost_s))
        self.time.at(now_s + truck.swap_s, self._on_swap_end, (truck, 0, lane.lost_s))

    def _spent_pack(self, truck: StationTruck, seat: int) -> PackNow:
        kinds = truck.installed_kinds
        kind = kinds[seat] if kinds is not None else next(iter(truck.accepts))
        climate = self.scenario.climate
        temp_c = max(self._now.outside_c + climate.pack_above_ambient_c, climate.pack_min_c)
        return PackNow(f"{truck.swap_id}-{seat}", kind, self.specs[kind], truck.soc_pct[seat], temp_c)

    def _postponed(self, call: Call, handler: Callable[[Call], None]) -> bool:
        """Whether the lane lost time to a failure since this was planned; it then comes later by that."""
        truck, seat, lost_s = call.payload
        if truck.lane.lost_s == lost_s:
            return False
        later_s = truck.lane.lost_s - lost_s
        self.time.at(self.time._now + later_s, handler, (truck, seat, truck.lane.lost_s))
        return True

    def _on_store(self, call: Call) -> None:
        if self._postponed(call, self._on_store):
            return
        self.accumulate()
        truck, seat, _ = call.payload
        rack = self.rack
        bay = rack.by_id[truck.dispatch.empty_bay_ids[seat]]
        rack.place(bay, truck.spent[seat])
        bay.reserved_by = truck.swap_id
        self.taken_kwh += truck.spent[seat].energy_kwh
        failures = self.scenario.failures
        if failures.pack_fault_share > 0 and self._faults.random() < failures.pack_fault_share:
            rack.set_aside(bay, self._faults.expovariate(1 / failures.pack_inspection_h))
        if self.queue:
            self.start_swaps()

    def _on_fetch(self, call: Call) -> None:
        if self._postponed(call, self._on_fetch):
            return
        self.accumulate()
        truck, seat, _ = call.payload
        rack = self.rack
        bay = rack.by_id[truck.dispatch.packs.bay_ids[seat]]
        pack = rack.pick(bay)
        truck.taken.append(pack)
        self.handed_kwh += pack.energy_kwh
        # Until the truck has left, its bays are kept for the way back.
        rack.promise_empty(bay, truck.swap_id)
        if self.queue:
            self.start_swaps()

    def _on_swap_end(self, call: Call) -> None:
        if self._postponed(call, self._on_swap_end):
            return
        self.accumulate()
        truck = call.payload[0]
        truck.lane.open_swap_id = None
        for bay_id in (*truck.dispatch.packs.bay_ids, *truck.dispatch.empty_bay_ids):
            bay = self.rack.by_id[bay_id]
            if bay.reserved_by is not None:
                bay.reserved_by = None
                self.rack.empty += bay.pack is None
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
