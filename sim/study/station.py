"""The whole station in the study: lanes and robots by the recipe, bays with real packs, the live decisions.

Swaps are those of `SwapFlow`, the packs are charged by `ChargingRack`; here are demand, failures, staff, and the
weather, prices and limits that hold from hour to hour.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC
from random import Random

from battery_bms.pack import PackSpec, spec_from_section
from scheduler.charging import policy_from_section
from scheduler.types import SiteLimits
from sim.scenario.demand import Arrival, FleetDemand, arrivals
from sim.scenario.file import Scenario
from sim.scenario.streams import Purpose, stream
from sim.study.engine import Call, FlowRules, StudyTime, Truck
from sim.study.hours import HourRecord
from sim.study.rack import ChargingRack
from sim.study.storage import SiteStorage
from sim.study.swaps import SwapFlow
from sim.study.view import BayNow, LaneNow, PackNow, StationNow, StationTruck
from sim.world.staff import StaffHours
from sim.world.world import World


class StationFlow(SwapFlow):
    """Trucks, lanes and rack of a scenario."""

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
        self.view = StationNow(time, self.start_at, bays, self.lanes, deque(), limits)
        rack = ChargingRack(
            time,
            self.view,
            self.policy,
            self.specs,
            start_at=self.start_at,
            modules=equipment.charger_count,
            charger_kw=equipment.charger_kw,
        )
        super().__init__(scenario, seed, replication, time, rack, rules, self.start_at)
        self.hours: list[HourRecord] = []
        self.lost_s: list[float] = []
        """Arrival of each truck lost."""
        self._last_kwh = 0.0
        self.storage: SiteStorage | None = None
        """Balances sun, storage and load at each instant; None where there is only load."""
        if scenario.storage.power_kw > 0 or scenario.pv.peak_kw > 0:
            self.storage = SiteStorage(time, rack, scenario.storage, self.start_at, self.world.tariff_from)
        if scenario.staff.shifts:
            self.staff = StaffHours(scenario, start_s)
            self.time.at(self.staff.next_change_s(start_s), self._on_staff)
        self._fill_rack()
        self.first_kwh = self.stock_kwh()
        """Energy in the packs of the rack when counting began."""
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
            self.fleet_demand = demand
            for arrival in demand.first():
                self.time.at(arrival.at_s, self._on_gate, arrival)
            return
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
        if self.fleet_demand is None:
            self._await_next(call)
        if arrival.comes:
            self.arrive(self._truck(arrival))

    def _lose(self, truck: Truck) -> None:
        assert isinstance(truck, StationTruck)
        self.lost_s.append(truck.at_s)
        if truck.give_up is not None:
            self._ask(truck, -1)
        self._depart(truck, truck.soc_pct)

    def _depart(self, truck: StationTruck, soc_pct: tuple[float, ...]) -> None:
        """A truck of a fleet that drives its trips will be back; one that was lost comes again in half an hour."""
        if self.fleet_demand is None:
            return
        fleet = self.scenario.fleet(truck.details.fleet)
        now_s = self.time.now
        if soc_pct is truck.soc_pct:
            again = truck.details._replace(at_s=now_s + 1800.0)
        else:
            again = self.fleet_demand.after_swap(fleet, truck.vehicle_id, now_s, soc_pct)
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
        self.time.at(self.time.now + up_s, self._on_robot, (lane, draw))

    def _on_robot(self, call: Call) -> None:
        lane, draw = call.payload
        self.accumulate()
        repair_s = draw.expovariate(1 / (self.scenario.failures.robot_repair_h * 3600)) + self._until_staffed_s()
        lane.ready = False
        if lane.open_swap_id is not None:
            lane.lost_s += repair_s
        else:
            self.free_lanes -= 1
        self.time.at(self.time.now + repair_s, self._on_robot_repaired, (lane, draw, lane.open_swap_id is None))

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
        next_s = self.time.now + draw.expovariate(1 / (hours * 3600))
        if number < 0:
            next_s += self._until_staffed_s()
        self.time.at(next_s, self._on_charger, (bay, draw, -number))

    # -- staff

    def _on_staff(self, call: Call) -> None:
        """A shift begins or ends. Running swaps end whoever is there."""
        assert self.staff is not None
        self.accumulate()
        self.staff.at(self.time.now)
        self.time.again(self.staff.next_change_s(self.time.now), call)
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
        now_s = self.time.now
        self._now = self.world.at(now_s)
        climate = self.scenario.climate
        self._spent_c = max(self._now.outside_c + climate.pack_above_ambient_c, climate.pack_min_c)
        limits = self._now.limits if self.storage is None else self.storage.new_world(self._now)
        self.rack.set_world(limits, (self._now.tariff,), self._now.rack_c, aware=self.policy.tariff_aware)
        self.time.at(self._now.until_s, self._on_hour)

    def _record_hour(self) -> None:
        now_s = self.time.now
        hours = (now_s - self._hour_s) / 3600
        if hours <= 0:
            return
        drawn_kwh = self.rack.settle_all()
        charge_kwh = drawn_kwh - self._last_kwh
        self._last_kwh = drawn_kwh
        limits, tariff = self._now.limits, self._now.tariff
        site_kwh = charge_kwh + limits.base_load_kw * hours
        flows = None if self.storage is None else self.storage.take_flows()
        self.hours.append(
            HourRecord(
                start_s=self._hour_s,
                hours=hours,
                charge_kwh=charge_kwh,
                site_kwh=site_kwh,
                import_kwh=site_kwh if flows is None else flows.import_kwh,
                pv_kwh=limits.pv_kw * hours,
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
        self.first_kwh = self.stock_kwh()

    def stock_kwh(self) -> float:
        """Energy in the packs of the rack now."""
        self.rack.settle_all()
        return sum(bay.pack.energy_kwh for bay in self.rack.bays if bay.pack is not None)

    def close(self) -> None:
        """Complete the last hour."""
        self.accumulate()
        if self.time.now > self._hour_s:
            self._record_hour()
