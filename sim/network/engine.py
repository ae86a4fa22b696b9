"""Several stations on one clock: each is a `Station`, trucks choose between them, carriers move packs.

A truck that needs a swap first stands at the station on its way, at the instant its scenario says. There it
stays, or drives to another and back. With one station nothing of this happens, and the flow is that of the
single-station study, event by event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heapreplace
from math import inf

from numpy.random import SeedSequence

from battery_bms.pack import energy_at_soc_kwh, time_to_soc_s
from scheduler.types import PackState
from sim.network.carriers import Carriers
from sim.network.file import Network
from sim.scenario.demand import Arrival
from sim.scenario.file import Scenario
from sim.study.agenda import Agenda, Call
from sim.study.feed import LOST_AGAIN_S, Feed, FleetFeed, Foresight, StreamFeed, scenario_feed
from sim.study.rack import is_charged
from sim.study.rows import StudyTruck
from sim.study.station import Station


class _RoadFeed:
    """The trucks that have a station on their way, and those that come to it from others."""

    def __init__(self, network: NetworkFlow, own: Feed) -> None:
        self.network = network
        self.own = own
        self.member: NetworkStation | None = None
        self.guests: dict[str, tuple[NetworkStation, float]] = {}
        """By swap: the station that the truck had on its way, and the drive from there, s."""

    def start(self, time: Agenda, gate: Callable[[Arrival], None], foresight: Foresight | None) -> None:
        """Begin to send trucks to the station on their way."""
        self.own.start(time, gate, foresight)

    def left(self, truck: StudyTruck, soc_pct: tuple[float, ...]) -> None:
        """A guest drives back, an own truck goes on."""
        guest = self.guests.pop(truck.swap_id, None)
        if guest is None:
            self.own.left(truck, soc_pct)
        elif self.member is not None:
            self.network.drive_back(self.member, *guest, truck, soc_pct)

    def lost(self, truck: StudyTruck) -> None:
        """The same, without a swap."""
        guest = self.guests.pop(truck.swap_id, None)
        if guest is None:
            self.own.lost(truck)
        elif self.member is not None:
            self.network.drive_back(self.member, *guest, truck, None)


class NetworkStation:
    """One station of a network, and what its neighbours ask of it."""

    def __init__(
        self, network: NetworkFlow, index: int, scenario: Scenario, seed: int, replication: int, time: Agenda
    ) -> None:
        self.net = network
        self.index = index
        self.coming: list[float] = []
        """When trucks that are on their way here from elsewhere will arrive."""
        self.detours_s: list[float] = []
        """Detour of each truck served, there and back, beside `waits`."""
        self.open: dict[str, StudyTruck] = {}
        """Trucks in a lane, by swap."""
        self._lane_ends_s: dict[str, float] = {}
        own: Feed = StreamFeed(iter(()))
        if network.network.has_demand(index):
            own = scenario_feed(scenario, seed, replication)
        feed = self.feed = _RoadFeed(network, own)
        feed.member = self
        station = self.station = Station(scenario, seed, replication, time=time, feed=feed)
        station.gate = self._on_gate
        station.listeners.append(self._note)
        station.build()

    # -- arrivals

    def _on_gate(self, arrival: Arrival) -> None:
        self.net.direct(self, arrival)

    def receive(self, arrival: Arrival) -> None:
        """A truck that has this station on its way stands at the gate."""
        self.station.receive(arrival)

    def expect(self, home: NetworkStation, arrival: Arrival, drive_s: float) -> None:
        """A truck is on its way here from another station; `arrival` says when it arrives, and how empty."""
        vehicle = f"{home.index}:{arrival.vehicle_id}"
        if arrival.vehicle_id is not None:
            self.station.trucks.know_packs(vehicle, home.station.trucks.packs_of(arrival.vehicle_id))
        self.coming.append(arrival.at_s)
        self.station.time.at(arrival.at_s, self._on_guest, (arrival._replace(vehicle_id=vehicle), home, drive_s))

    def _on_guest(self, call: Call) -> None:
        arrival, home, drive_s = call.payload
        self.coming.remove(arrival.at_s)
        truck = self.station.trucks.truck_of(arrival)
        self.feed.guests[truck.swap_id] = (home, drive_s)
        self.station.arrive(truck)

    def _note(self, at_s: float, event: str, truck: StudyTruck) -> None:
        """Told of each swap's beginning and end."""
        if event == "dispatched":
            guest = self.feed.guests.get(truck.swap_id)
            self.open[truck.swap_id] = truck
            if truck.lane is not None:
                self._lane_ends_s[truck.lane.lane_id] = at_s + truck.swap_s
            self.detours_s.append(0.0 if guest is None else 2 * guest[1])
        else:
            del self.open[truck.swap_id]

    # -- what an app would show

    def serves(self, model: str) -> bool:
        """Whether trucks of a model find packs here."""
        known = self.station.models.get(model)
        return known is not None and any(
            self.station.scenario.equipment.packs.get(kind, 0) > 0 for kind in known.accepts
        )

    def expected_wait_s(self, arrival: Arrival, after_s: float) -> float:
        """Wait to expect by a truck that arrives `after_s` from now, first come first served.

        Counts the queue, the trucks on their way here, lanes in use, hours without people, and packs by the
        instant at which they will be ready at their present power (one that waits for power: as if its charger
        gave all it can).
        """
        station = self.station
        now_s = station.time.now
        at_s = now_s + after_s
        model = station.models[arrival.model]
        repair_s = station.scenario.failures.robot_repair_h * 3600
        opens_s = now_s if station.staff is None else station.staff.next_staffed_s(now_s)
        lanes_s = [
            max(self._lane_ends_s.get(lane.lane_id, 0.0) if lane.open_swap_id is not None else 0.0, opens_s)
            + (0.0 if lane.ready else repair_s)
            for lane in station.lanes
        ]
        packs_s = sorted(self._ready_instants_s(model.accepts))
        if not packs_s:
            return inf
        heapify(lanes_s)
        again_s = self._turnaround_s(arrival)
        waiting = [truck.packs_needed for truck in station.line.trucks]
        waiting += [model.packs] * sum(coming_s <= at_s for coming_s in self.coming)
        start_s = at_s
        for number, needed in enumerate([*waiting, model.packs]):
            earliest_s = at_s if number == len(waiting) else now_s
            last = min(needed, len(packs_s)) - 1
            start_s = max(earliest_s, lanes_s[0], packs_s[last])
            heapreplace(lanes_s, start_s + model.plan.nominal_s)
            packs_s = sorted([*packs_s[last + 1 :], *[start_s + again_s] * (last + 1)])
        return max(start_s - at_s, 0.0)

    def _ready_instants_s(self, accepts: frozenset[str]) -> Iterator[float]:
        now_s, policy, rack = self.station.time.now, self.station.policy, self.station.rack
        for bay in rack.bays:
            pack = bay.content
            if pack is None or pack.kind.name not in accepts:
                continue
            if is_charged(bay):
                yield now_s
            elif pack.state in (PackState.CHARGING, PackState.WAITING):
                goal_kwh = policy.offer_soc_pct / 100 * pack.capacity_kwh
                if bay.charge is not None:
                    yield bay.charge.instant_of(goal_kwh)
                else:
                    spec, power_kw = pack.curve.spec, rack.full_kw(pack)
                    left_s = time_to_soc_s(spec, pack.soh_pct, pack.energy_kwh, power_kw, policy.offer_soc_pct)
                    yield now_s + left_s

    def _turnaround_s(self, arrival: Arrival) -> float:
        """From the call of a truck until its spent pack is ready."""
        station = self.station
        model = station.models[arrival.model]
        spec = station.specs[model.kind]
        power_kw = min(station.rack.charger_kw, spec.max_charge_kw)
        soh_pct = station.kinds.soh_pct
        energy_kwh = energy_at_soc_kwh(min(arrival.soc_pct), spec, soh_pct)
        return model.plan.nominal_s + time_to_soc_s(spec, soh_pct, energy_kwh, power_kw, station.policy.offer_soc_pct)

    # -- counting

    def reset(self) -> None:
        """Forget all that was counted."""
        self.station.reset()
        self.detours_s.clear()

    @property
    def packs_held(self) -> int:
        """Packs of the station, wherever in a swap they are."""
        in_rack = {id(bay.pack) for bay in self.station.rack.bays if bay.pack is not None}
        stored = sum(id(pack) in in_rack for truck in self.open.values() for pack in truck.spent)
        return len(in_rack) - stored + sum(len(truck.taken) for truck in self.open.values())


class NetworkFlow:
    """One replication of a network."""

    def __init__(self, network: Network, seed: int, replication: int = 0) -> None:
        self.network = network
        self.time = Agenda()
        self.diverted = 0
        """Trucks that left their way for another station."""
        self.stations = tuple(
            NetworkStation(self, index, scenario, station_seed(seed, index), replication, self.time)
            for index, scenario in enumerate(network.scenarios)
        )
        self.carriers = Carriers(
            self.time, [member.station for member in self.stations], network.file.rebalancing, network.minutes
        )
        self._packs = self.packs_held

    # -- trucks

    def direct(self, home: NetworkStation, arrival: Arrival) -> None:
        """Send a truck to the station that it chooses."""
        choice = self.network.file.choice
        if len(self.stations) == 1 or choice.rule == "home" or arrival.booked:
            home.receive(arrival)
            return
        best, least_s, drive_s = home, home.expected_wait_s(arrival, 0.0) - choice.least_gain_min * 60, 0.0
        for other in self.stations:
            away_s = 60 * self.network.minutes[home.index][other.index]
            if other is home or 2 * away_s * choice.drive_weight >= least_s or not other.serves(arrival.model):
                continue
            if min(self._drained(home, other, arrival)) < choice.keep_soc_pct:
                continue
            cost_s = other.expected_wait_s(arrival, away_s) + 2 * away_s * choice.drive_weight
            if cost_s < least_s:
                best, least_s, drive_s = other, cost_s, away_s
        if best is home:
            home.receive(arrival)
            return
        self.diverted += 1
        drained = self._drained(home, best, arrival)
        best.expect(home, arrival._replace(at_s=self.time.now + drive_s, soc_pct=drained), drive_s)

    def _drained(self, home: NetworkStation, other: NetworkStation, arrival: Arrival) -> tuple[float, ...]:
        """State of charge at the end of the drive, %."""
        return self._after_km(home, arrival, arrival.soc_pct, self.network.km[home.index][other.index])

    def _after_km(self, home: NetworkStation, arrival: Arrival, soc: tuple[float, ...], km: float) -> tuple[float, ...]:
        model = home.station.models[arrival.model]
        rated_kwh = home.station.specs[model.kind].rated_kwh * model.packs
        used_pct = 100 * km * self.network.file.choice.kwh_per_km / rated_kwh
        return tuple(max(level - used_pct, 0.0) for level in soc)

    def drive_back(
        self,
        here: NetworkStation,
        home: NetworkStation,
        drive_s: float,
        truck: StudyTruck,
        soc_pct: tuple[float, ...] | None,
    ) -> None:
        """A truck leaves a station off its way with charged packs; None: without a swap."""
        arrival: Arrival = truck.details
        vehicle = str(arrival.vehicle_id).split(":", 1)[1]
        if soc_pct is not None and len(truck.accepts) > 1:
            home.station.trucks.know_packs(vehicle, tuple([pack.kind.name for pack in truck.taken]))
        own = home.feed.own
        if not isinstance(own, FleetFeed):
            return
        back_s = self.time.now + drive_s
        if soc_pct is None:
            own.comes(arrival._replace(at_s=back_s + LOST_AGAIN_S, vehicle_id=vehicle))
            return
        soc_pct = self._after_km(home, arrival, soc_pct, self.network.km[here.index][home.index])
        fleet = home.station.scenario.fleet(arrival.fleet)
        own.comes(own.demand.after_swap(fleet, vehicle, back_s, soc_pct))

    # -- running

    def run_until(self, time_s: float) -> None:
        """Run all events before an instant."""
        self.time.run_until(time_s)

    def reset(self) -> None:
        """Forget all that was counted (end of the warm-up)."""
        for station in self.stations:
            station.reset()
        self.carriers.reset()
        self.diverted = 0

    def close(self) -> None:
        """Complete the last hour. Raises RuntimeError if packs were lost or made: the engine would be wrong."""
        for member in self.stations:
            member.station.close()
        if self.packs_held != self._packs:
            raise RuntimeError(f"{self.packs_held} packs in the network, {self._packs} at the start")

    @property
    def packs_held(self) -> int:
        """Packs of all stations and carriers; those on trucks out on the road are not counted."""
        return sum(station.packs_held for station in self.stations) + self.carriers.packs_held


def station_seed(seed: int, index: int) -> int:
    """Seed of a station: the first has the network's own, so that a network of one is the single-station study."""
    return seed if index == 0 else int(SeedSequence(seed, spawn_key=(index,)).generate_state(1)[0])
