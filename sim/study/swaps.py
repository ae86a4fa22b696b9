"""Trucks, queue and lanes of a real station: the live decision calls a truck, its swap follows the recipe.

A spent pack reaches its bay at the end of the row that moves it; each row takes its nominal time, all of one
truck's rows stretched by one factor. `engine_station.py` adds demand, failures and the world around.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from scheduler.queueing import next_dispatch
from scheduler.types import ChargingPolicy, Dispatch, PackState
from sim.scenario.demand import Arrival, FleetDemand
from sim.scenario.file import Scenario
from sim.scenario.streams import Purpose, stream
from sim.study.engine import Call, Flow, FlowRules, StudyTime, Truck
from sim.study.rack import ChargingRack
from sim.study.swap_times import SwapPlan, nominal_row_s, stretch_of, swap_plan
from sim.study.view import LaneNow, PackNow, StationNow, StationTruck
from sim.world.staff import StaffHours
from swap.station.sequence.recipe import StepRow, load_recipe

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


class SwapFlow(Flow):
    """Trucks from the gate to the end of their swap."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        replication: int,
        time: StudyTime,
        rack: ChargingRack,
        rules: FlowRules,
        start_at: datetime,
    ) -> None:
        super().__init__(time, rack, rules)
        self.rack = rack
        self.staff: StaffHours | None = None
        """Who attends the lanes; None: all are attended at any time."""
        self.fleet_demand: FleetDemand | None = None
        """Trucks that come again when they have driven their trips."""
        self.scenario = scenario
        self.start_at = start_at
        self.view: StationNow = rack.view
        self.policy: ChargingPolicy = rack.policy
        self.specs = rack.specs
        self._waiting = cast("deque[StationTruck]", self.queue)
        # The queue of the flow is the queue that the decisions see.
        self.view.queue = self._waiting
        self.lanes: tuple[LaneNow, ...] = self.view.lanes
        self._lane_by_id = {lane.lane_id: lane for lane in self.lanes}
        self._in_out = scenario.equipment.swap_order == "in_out"
        """In-out needs no empty bay: the spent pack goes where the charged one came from."""
        self._failures = scenario.failures
        rack.on_ready = self.start_swaps
        rack.on_change = self.accumulate
        self.models = self._load_models()
        self._swap_cv = scenario.equipment.swap_cv
        self._swap_time = stream(seed, replication, Purpose.SWAP_TIME)
        self._faults = stream(seed, replication, Purpose.PACK_FAULTS)
        self.installed: dict[str, tuple[str, ...]] = {}
        """Kinds that a truck carries, where they are not told by its model."""
        self.arrival_s: list[float] = []
        """Arrival of each truck served, beside `waits`."""
        self.stockouts = 0
        """Trucks that found a lane free and no pack ready."""
        self.handed_kwh = 0.0
        """Energy in the packs that left the rack."""
        self.taken_kwh = 0.0
        """Energy in the packs that came into it."""
        self.on_event: Callable[[float, str, StationTruck], None] | None = None
        """Told of each event of a swap, where somebody wants them."""
        self._spent_c = 20.0
        """Temperature of a pack that comes off a truck now."""
        self._number = 0

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

    def row_s(self, row: StepRow) -> float:
        """Time that a row of the recipe takes."""
        return nominal_row_s(row)

    def _depart(self, truck: StationTruck, soc_pct: tuple[float, ...]) -> None:
        """A truck leaves with packs at these states of charge; those it came with when it was lost."""

    # -- trucks

    def _truck(self, arrival: Arrival) -> StationTruck:
        model = self.models[arrival.model]
        self._number = number = self._number + 1
        start_at = self.start_at
        swap_s = model.plan.nominal_s * stretch_of(self._swap_time, self._swap_cv)
        truck = StationTruck(start_at, arrival.at_s, swap_s, arrival.priority)
        truck.swap_id = f"S{number:08d}"
        truck.vehicle_id = vehicle = arrival.vehicle_id or ""
        truck.accepts = model.accepts
        truck.packs_needed = model.packs
        truck.swap_mode = model.swap_mode
        if arrival.booked:
            truck.booked_from_at = start_at + timedelta(0, arrival.booked_from_s)
            truck.booked_until_at = start_at + timedelta(0, arrival.booked_until_s)
        else:
            truck.booked_from_at = truck.booked_until_at = None
        truck.min_energy_kwh = 0.0
        truck.installed_kinds = model.kinds if model.one_kind else self.installed.get(vehicle, model.kinds)
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
            truck.give_up = self.time.at(self.time.now + patience_s(), self._on_give_up, truck)

    def accumulate(self) -> None:
        """Add the time since the last change to the averages; call before any change of queue, lanes or stock."""
        now_s = self.time.now
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

    # -- swaps

    def _attended(self) -> bool:
        """Whether somebody is there for one lane more."""
        return self.staff is None or sum(lane.open_swap_id is not None for lane in self.lanes) < self.staff.lanes

    def _until_staffed_s(self) -> float:
        """Until somebody is there who can repair or inspect."""
        return 0.0 if self.staff is None else self.staff.next_staffed_s(self.time.now) - self.time.now

    def start_swaps(self) -> None:
        """Call trucks as long as the live station's decision finds one."""
        rack, queue = self.rack, self.queue
        while queue and self.free_lanes and rack.charged and (rack.empty or self._in_out) and self._attended():
            for bay in rack.bays:
                pack = bay.pack
                if pack is not None and pack.state is READY and bay.power_kw > 0:
                    rack.settle(bay)
            dispatch = next_dispatch(self.view, self.policy)
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
        truck.start_s = now_s = time.now
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
        self.time.again(self.time.now + later_s, call)
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
            lasts_h = self._faults.expovariate(1 / failures.pack_inspection_h)
            rack.set_aside(bay, self._until_staffed_s() / 3600 + lasts_h)
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
            self.on_event(self.time.now, "completed", truck)
        if truck.vehicle_id and len(truck.accepts) > 1:
            self.installed[truck.vehicle_id] = tuple(pack.kind for pack in truck.taken)
        if self.fleet_demand is not None:
            self._depart(truck, tuple(pack.soc_pct for pack in truck.taken))
        if self.queue:
            self.start_swaps()
