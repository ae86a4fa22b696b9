"""The whole station in the study: queue, lanes by the recipe, rack with real packs, the world around.

The live station's own rules call a truck; its swap follows the recipe: a spent pack reaches its bay at the end of the
row that moves it, each row takes its nominal time, all of one truck's rows stretched by one factor. Parts are given to
the station: who comes (`feed.py`), what it is built of (`layout.py`), its rack (`rack.py`), its storage, what lanes do
besides swaps. Failures are SimPy processes beside it (`failures.py`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from scheduler.charging import policy_from_section
from scheduler.guide import Planner, PriceRule
from scheduler.queueing import Called, WaitingLine, call_next, in_order_of_promise
from scheduler.rows import BayRow, TruckRow
from sim.scenario.demand import Arrival
from sim.scenario.file import Scenario
from sim.scenario.streams import Purpose, stream
from sim.study.agenda import Agenda, AgendaEvent, Call
from sim.study.bays import READY, Watcher
from sim.study.failures import start_failures
from sim.study.feed import Feed, Foresight, scenario_feed
from sim.study.hours import HourLog, HourRecord
from sim.study.layout import Kinds, Layout, TruckMaker, load_models, scenario_layout
from sim.study.rack import StudyRack
from sim.study.rows import LaneTask, StudyBay, StudyLane, StudyTruck
from sim.study.storage import SiteStorage
from sim.study.swap_times import RowTime, nominal_row_s
from sim.study.waits import WaitCauses
from sim.world.staff import StaffHours
from sim.world.world import World, site_limits

_NO_BAYS: Final[list[BayRow]] = []

Listener = Callable[[float, str, StudyTruck], None]
"""Told of what happens to a truck: seconds, "dispatched" or "completed", truck."""


class _Move(AgendaEvent):
    """The next pack of a swap is set down, or the swap ends."""

    def __init__(self, station: Station, truck: StudyTruck) -> None:
        super().__init__()
        self.station = station
        self.truck = truck

    def happen(self) -> None:
        """Go on with the swap."""
        self.station.go_on(self, self.truck)


class Station(Watcher):
    """Trucks, lanes and rack of a scenario.

    Args:
        time: the clock that several stations share; its own from `start_s` on when not given.
        feed: who comes; the scenario's trucks when not given.
        planner: writes the guides of charging; the price rule when not given.
        row_s: time of each row of the recipe.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        replication: int = 0,
        *,
        start_s: float = 0.0,
        time: Agenda | None = None,
        feed: Feed | None = None,
        planner: Planner | None = None,
        row_s: RowTime = nominal_row_s,
    ) -> None:
        self.scenario = scenario
        self.seed, self.replication = seed, replication
        self.time = Agenda(start_s) if time is None else time
        self.start_s = start_s
        self.start_at: datetime = scenario.start_at.astimezone(UTC)
        self.kinds = Kinds(scenario)
        self.specs = self.kinds.specs
        self.policy = policy_from_section(scenario.charging, kinds=self.specs.values())
        self.planner: Planner = PriceRule(self.policy, tuple(self.specs)) if planner is None else planner
        self.world = World(scenario, seed, replication)
        self.models = load_models(scenario, self.kinds.rows, row_s)
        self.trucks = TruckMaker(scenario, seed, replication, self.kinds, self.models)
        self.feed = scenario_feed(scenario, seed, replication) if feed is None else feed
        self.gate: Callable[[Arrival], None] = self.receive
        """Where the feed sends its trucks."""
        self.lane_task: LaneTask | None = None
        self.listeners: list[Listener] = []
        # Queue and lanes
        self.line = WaitingLine()
        self.promised: list[TruckRow] = []
        """Those that have booked and are still to come, once packs are kept for them, in the order of promises."""
        self._expected: dict[Arrival, StudyTruck] = {}
        self.lanes: list[StudyLane] = []
        self.free_lanes = 0
        self.trucks_here = 0
        self.staff: StaffHours | None = None
        """Who attends the lanes; None: all are attended at any time."""
        patience = scenario.patience
        self._refuses = patience.truck_places is not None or patience.balk_at is not None
        self._patience_min = patience.mean_patience_min
        self._patience = stream(seed, replication, Purpose.PATIENCE)
        self._in_out = scenario.equipment.swap_order == "in_out"
        """In-out needs no empty bay: the spent pack goes where the charged one came from."""
        self._fault_share = scenario.failures.pack_fault_share
        self._faults = stream(seed, replication, Purpose.PACK_FAULTS)
        # Counts
        self.arrived = 0
        self.lost = 0
        self.gave_up = 0
        self.started = 0
        self.waits = array("d")
        """Wait of each truck served, in the order of service, s."""
        self.arrival_s = array("d")
        """Arrival of each truck served, beside `waits`."""
        self.lost_s: list[float] = []
        """Arrival of each truck lost."""
        self.stockouts = 0
        """Trucks that found a lane free and no pack ready."""
        self.handed_kwh = 0.0
        """Energy in the packs that left the rack."""
        self.taken_kwh = 0.0
        """Energy in the packs that came into it."""
        self.hours = HourLog()
        self.causes = WaitCauses()
        """What the trucks of the queue have waited for."""
        self.gave_up_s = 0.0
        """Time in the queue of those who gave up, as far as it was counted."""
        self.waiting_area_s = 0.0
        """Truck-seconds of waiting."""
        self._lane_area = 0.0
        self._stockout_area = 0.0
        self._since_s = self._last_s = self.time.now
        """Start of the count, and the instant up to which the averages are kept."""
        self._last_kwh = 0.0
        self._hour_s = start_s

    def build(self, layout: Layout | None = None) -> None:
        """Set up lanes, rack and stock, and put the first events on the list; once.

        Args:
            layout: the scenario's equipment with a charged rack when not given.
        """
        scenario, equipment = self.scenario, self.scenario.equipment
        rack_c = self.world.at(self.start_s).rack_c
        if layout is None:
            layout = scenario_layout(scenario, self.kinds, self.policy.target_soc_pct, rack_c)
        self.lanes = layout.lanes
        self.free_lanes = len(self.lanes)
        rack = self.rack = StudyRack(
            self.time,
            layout.bays,
            self.policy,
            self.kinds.rows,
            site_limits(equipment),
            modules=equipment.charger_count,
            charger_kw=equipment.charger_kw,
        )
        rack.watcher = self
        self.storage: SiteStorage | None = None
        """Balances sun, storage and load at each instant; None where there is only load."""
        if scenario.storage.power_kw > 0 or scenario.pv.peak_kw > 0:
            self.storage = SiteStorage(self.time, rack, scenario.storage, self.start_at, self.world.tariff_from)
        if scenario.staff.shifts:
            self.staff = StaffHours(scenario, self.start_s)
            self.time.at(self.staff.next_change_s(self.start_s), self._on_staff)
        rack.ambient_c = rack_c
        rack.vacant.extend(rack.bays)
        for bay, pack in layout.stock:
            rack.place(bay, pack)
        rack.empty = len(rack.vacant)
        if self.lane_task is not None:
            self.lane_task.build()
        self.first_kwh = self.stock_kwh()
        """Energy in the packs of the rack when counting began."""
        self._apply_world()
        start_failures(self)
        hold_min = scenario.bookings.hold_before_min
        foresight = None if hold_min is None else Foresight(self.time, self._expect, hold_min * 60)
        self.feed.start(self.time, self.gate, foresight)
        if self.lane_task is not None:
            self.lane_task.begin()

    # -- the rack's watcher

    def before_change(self) -> None:
        """Add the time since the last change to the averages; before any change of queue, lanes or stock."""
        now_s = self.time.now
        dt_s = now_s - self._last_s
        if dt_s > 0:
            self._last_s = now_s
            rack, waiting = self.rack, len(self.line.trucks)
            if waiting:
                self.waiting_area_s += waiting * dt_s
                self._count_causes(dt_s)
            charged = len(rack.charged)
            if charged:
                rack.charged_area += charged * dt_s
            else:
                self._stockout_area += dt_s
            self._lane_area += (len(self.lanes) - self.free_lanes) * dt_s

    def _count_causes(self, dt_s: float) -> None:
        free, promised = self.free_lanes, len(self.promised) > 0
        attended = free <= 0 or self._attended()
        self.causes.add(dt_s, self.line.trucks, self.lanes, free, self.rack, promised, self._in_out, attended)

    def pack_ready(self) -> None:
        """A pack has become ready."""
        self.call_trucks()

    def power_changed(self) -> None:
        """A charger's power has changed."""
        if self.storage is not None:
            self.storage.load_changed()

    # -- trucks

    def receive(self, arrival: Arrival) -> None:
        """A truck stands at the gate."""
        self.has_come(arrival)
        self.arrive(self.trucks.truck_of(arrival))

    def arrive(self, truck: StudyTruck) -> None:
        """A truck joins the queue, or leaves at once."""
        self.before_change()
        self.arrived += 1
        if self._refuses and self._turns_away():
            self.lost += 1
            self._lose(truck)
            return
        self.trucks_here += 1
        if self.free_lanes and len(self.rack.charged) < truck.packs_needed and self._attended():
            self.stockouts += 1
        self.line.add(truck, self.time.now)
        self._ask(truck, 1)
        self.call_trucks()
        patience_min = self._patience_min
        if patience_min is not None and truck.start_s < 0:
            gives_up_s = self.time.now + self._patience.expovariate(1 / (patience_min * 60))
            truck.give_up = self.time.at(gives_up_s, self._on_give_up, truck)

    # -- promises

    def _expect(self, arrival: Arrival) -> None:
        """From now on packs are kept for a truck that has booked, until it comes or its window closes."""
        if arrival in self._expected:
            return
        self.before_change()
        coming = self._expected[arrival] = self.trucks.coming(arrival)
        self._promise_again()
        self._ask(coming, 1)
        self.time.at(max(arrival.booked_until_s, self.time.now), self._on_window_closed, arrival)

    def _on_window_closed(self, call: Call) -> None:
        if self.has_come(call.payload) and self.line.trucks:
            self.call_trucks()

    def has_come(self, arrival: Arrival) -> bool:
        """Packs are kept no longer for a truck; gives whether any were."""
        coming = self._expected.pop(arrival, None)
        if coming is None:
            return False
        self.before_change()
        self._promise_again()
        self._ask(coming, -1)
        return True

    def _promise_again(self) -> None:
        self.promised = in_order_of_promise(list(self._expected.values()))

    def _turns_away(self) -> bool:
        """Whether a truck that comes now leaves at once."""
        patience = self.scenario.patience
        return (patience.truck_places is not None and self.trucks_here >= patience.truck_places) or (
            patience.balk_at is not None and len(self.line.trucks) >= patience.balk_at
        )

    def _on_give_up(self, call: Call) -> None:
        self.before_change()
        truck: StudyTruck = call.payload
        self.line.remove(truck)
        self.gave_up += 1
        self.gave_up_s += self.time.now - max(truck.at_s, self._since_s)
        self.trucks_here -= 1
        self._ask(truck, -1)
        self._lose(truck)

    def _lose(self, truck: StudyTruck) -> None:
        self.lost_s.append(truck.at_s)
        self.feed.lost(truck)

    def _ask(self, truck: StudyTruck, sign: int) -> None:
        """The queue asks for a truck's packs (1) or no longer does (-1)."""
        rack = self.rack
        for kind in truck.wants:
            kind.spare -= sign * truck.packs_needed
        if rack.guide is not None:
            rack.changed(None, frees=False, connected=None)

    # -- swaps

    def _attended(self) -> bool:
        """Whether somebody is there for one lane more."""
        if self.staff is None:
            return True
        return sum(lane.open_swap_id is not None for lane in self.lanes) < self.staff.lanes

    def until_staffed_s(self) -> float:
        """Until somebody is there who can repair or inspect."""
        return 0.0 if self.staff is None else self.staff.next_staffed_s(self.time.now) - self.time.now

    def call_trucks(self) -> None:
        """Call trucks as long as the live station's rule finds one; after `before_change`."""
        if self.lane_task is not None:
            self.lane_task.before_calls()
        rack, line = self.rack, self.line
        while line.trucks and self.free_lanes and rack.charged and (rack.empty or self._in_out) and self._attended():
            rack.settle_charged()
            line.put_right(self.time.now)
            called = call_next(
                line.trucks,
                self.lanes,
                rack.charged,
                rack.vacant,
                _NO_BAYS,
                self.policy,
                0,
                self.promised,
                self.time.now,
            )
            if called is None:
                return
            self._begin_swap(called)

    def _begin_swap(self, called: Called) -> None:
        truck, lane, rack, now_s = called.truck, called.lane, self.rack, self.time.now
        assert isinstance(truck, StudyTruck)
        assert isinstance(lane, StudyLane)
        self.line.remove(truck)
        self._ask(truck, -1)
        truck.start_s = now_s
        if truck.give_up is not None:
            truck.give_up.drop()
        self.started += 1
        self.waits.append(now_s - truck.at_s)
        self.arrival_s.append(truck.at_s)
        lane.open_swap_id = truck.swap_id
        self.free_lanes -= 1
        truck.lane = lane
        truck.spent = [self.trucks.spent_pack(truck, seat) for seat in range(truck.packs_needed)]
        for row in called.packs:
            assert isinstance(row, StudyBay)
            truck.given.append(row)
            rack.reserve(row, truck.swap_id)
        for row in called.empty:
            assert isinstance(row, StudyBay)
            truck.homes.append(row)
            if row not in truck.given:
                rack.promise_empty(row, truck.swap_id)
        for listener in self.listeners:
            listener(now_s, "dispatched", truck)
        truck.lost_s = lane.lost_s
        self._time_move(_Move(self, truck), truck)

    def _time_move(self, move: _Move, truck: StudyTruck) -> None:
        """Put the next spent pack's set-down on the list, or after the last the end of the swap."""
        after_s = truck.swap_s
        if truck.stored < len(truck.stores):
            after_s *= truck.stores[truck.stored][0]
        self.time.put(truck.start_s + truck.late_s + after_s, move)

    def go_on(self, move: _Move, truck: StudyTruck) -> None:
        """A pack is set down or the swap ends; later by what the lane has lost to failures since it was planned."""
        lane = truck.lane
        assert lane is not None
        later_s = lane.lost_s - truck.lost_s
        if later_s != 0:
            truck.lost_s = lane.lost_s
            truck.late_s += later_s
            self.time.put(self.time.now + later_s, move)
        elif truck.stored < len(truck.stores):
            self._store(move, truck)
        else:
            self._end_swap(truck, lane)

    def _store(self, move: _Move, truck: StudyTruck) -> None:
        seat = truck.stores[truck.stored][1] - 1
        truck.stored += 1
        self._time_move(move, truck)
        rack = self.rack
        bay = truck.homes[seat]
        if bay.content is not None:
            self._fetch(truck)  # in-out: the spent pack goes where the charged one came from
        spent = truck.spent[seat]
        self.taken_kwh += spent.energy_kwh
        rack.place(bay, spent, truck.swap_id)
        if self._fault_share > 0 and self._faults.random() < self._fault_share:
            lasts_h = self._faults.expovariate(1 / self.scenario.failures.pack_inspection_h)
            rack.set_aside(bay, self.until_staffed_s() / 3600 + lasts_h)
        if spent.state is READY and self.line.trucks:
            self.call_trucks()

    def _fetch(self, truck: StudyTruck) -> None:
        """The charged packs leave their bays.

        In truth each leaves at its row of the recipe. A promised pack is neither charged nor offered, and its bay is
        kept for the way back until the truck has left, so no decision can tell: the study does it when the bay is
        needed, at the latest at the end of the swap, and spares the events.
        """
        rack = self.rack
        for bay in truck.given[len(truck.taken) :]:
            pack = rack.pick(bay)
            truck.taken.append(pack)
            self.handed_kwh += pack.energy_kwh
            rack.promise_empty(bay, truck.swap_id)

    def _end_swap(self, truck: StudyTruck, lane: StudyLane) -> None:
        self.before_change()
        self._fetch(truck)
        lane.open_swap_id = None
        for bay in truck.given + truck.homes:
            self.rack.release(bay)
        self.free_lanes += 1
        self.trucks_here -= 1
        for listener in self.listeners:
            listener(self.time.now, "completed", truck)
        if truck.vehicle_id and len(truck.accepts) > 1:
            self.trucks.know_packs(truck.vehicle_id, tuple([pack.kind.name for pack in truck.taken]))
        self.feed.left(truck, tuple([pack.soc_pct for pack in truck.taken]))
        if self.line.trucks:
            self.call_trucks()
        if self.lane_task is not None:
            self.lane_task.lane_free(lane)

    # -- failures and staff

    def lane_fails(self, lane: StudyLane, lasts_s: float) -> bool:
        """A lane serves nobody for this long; a swap in it stands still. Gives whether it was idle."""
        self.before_change()
        lane.ready = False
        self.causes.lanes_down += 1
        if lane.open_swap_id is not None:
            lane.lost_s += lasts_s
            return False
        self.free_lanes -= 1
        return True

    def lane_repaired(self, lane: StudyLane, *, was_idle: bool) -> None:
        """A lane serves again."""
        self.before_change()
        lane.ready = True
        self.causes.lanes_down -= 1
        if was_idle:
            self.free_lanes += 1
        self.call_trucks()
        if self.lane_task is not None:
            self.lane_task.lane_free(lane)

    def _on_staff(self, call: Call) -> None:
        """A shift begins or ends. Running swaps end whoever is there."""
        assert self.staff is not None
        self.before_change()
        self.staff.at(self.time.now)
        self.time.put(self.staff.next_change_s(self.time.now), call)
        if self.line.trucks:
            self.call_trucks()

    # -- hours

    def _on_hour(self, call: Call) -> None:
        self.before_change()
        self._record_hour()
        self._apply_world()
        if self.line.trucks:
            self.call_trucks()

    def _apply_world(self) -> None:
        """Set what holds until the next full hour, price or limit; put that on the list."""
        now_s = self.time.now
        now = self._now = self.world.at(now_s)
        climate = self.scenario.climate
        self.trucks.spent_c = max(now.outside_c + climate.pack_above_ambient_c, climate.pack_min_c)
        limits = now.limits if self.storage is None else self.storage.new_world(now)
        guide = self.planner.guide_at(now.at, (now.tariff,))
        self.rack.set_world(limits, guide, now.rack_c)
        until_s = now.until_s
        if guide is not None:
            ends_s = (guide.until_at - self.start_at).total_seconds()
            if ends_s <= now_s:
                raise ValueError(f"a guide asked for at {now_s:g} s ends at {ends_s:g} s; it must end later")
            until_s = min(until_s, ends_s)
        self.time.at(until_s, self._on_hour)

    def _record_hour(self) -> None:
        now_s = self.time.now
        hours = (now_s - self._hour_s) / 3600
        if hours <= 0:
            return
        drawn_kwh = self.rack.settle_all()
        charge_kwh = drawn_kwh - self._last_kwh
        self._last_kwh = drawn_kwh
        limits, tariff = self._now.limits, self._now.tariff
        site_kwh = charge_kwh / limits.charger_efficiency + limits.base_load_kw * hours
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
                ready=len(self.rack.charged),
                waiting=len(self.line.trucks),
                flows=flows,
            )
        )
        self._hour_s = now_s

    # -- running and reading

    def run_until(self, time_s: float) -> None:
        """Let everything happen that is due before an instant."""
        self.time.run_until(time_s)

    def close(self) -> None:
        """Complete the last hour."""
        self.before_change()
        if self.time.now > self._hour_s:
            self._record_hour()

    def reset(self) -> None:
        """Forget all that was counted (end of the warm-up); trucks and packs stay where they are."""
        self.before_change()
        self.arrived = self.lost = self.gave_up = self.started = self.stockouts = 0
        self.waits, self.arrival_s, self.lost_s = array("d"), array("d"), []
        self.gave_up_s = 0.0
        self.causes.reset()
        self.waiting_area_s = self._lane_area = self._stockout_area = 0.0
        self._since_s = self._last_s = self.time.now
        self.rack.reset()
        self._record_hour()
        self.hours.clear()
        self.handed_kwh = self.taken_kwh = 0.0
        self.first_kwh = self.stock_kwh()

    def stock_kwh(self) -> float:
        """Energy in the packs of the rack now."""
        self.rack.settle_all()
        return sum(bay.content.energy_kwh for bay in self.rack.bays if bay.content is not None)

    @property
    def queue(self) -> list[StudyTruck]:
        """Trucks that wait."""
        return [truck for truck in self.line.trucks if isinstance(truck, StudyTruck)]

    @property
    def waited_s(self) -> float:
        """Time in the queue since the start or the last reset of all trucks, one by one."""
        since_s, now_s = self._since_s, self.time.now
        total_s = self.gave_up_s
        for at_s, wait_s in zip(self.arrival_s, self.waits, strict=True):
            total_s += at_s + wait_s - max(at_s, since_s)
        for truck in self.line.trucks:
            total_s += now_s - max(truck.at_s, since_s)
        return total_s

    @property
    def observed_s(self) -> float:
        """Seconds since the start or the last reset."""
        return self.time.now - self._since_s

    @property
    def mean_waiting(self) -> float:
        """Trucks waiting, time average."""
        return self.waiting_area_s / self.observed_s

    @property
    def lane_utilisation(self) -> float:
        """Share of the lanes' time spent on swaps."""
        return self._lane_area / self.observed_s / len(self.lanes)

    @property
    def stockout_share(self) -> float:
        """Share of the time without a charged pack."""
        return self._stockout_area / self.observed_s
