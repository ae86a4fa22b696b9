"""Mobile swapping: the robot rides on a swap truck, the packs are charged in a central rack.

Each lane is one swap truck. It stands where the vehicles work, carries charged packs and hands them out like a
lane of a station; spent packs stay on board. When too few charged ones are left it drives to the rack, changes
the whole lot and comes back. Vehicles, decisions, charging and failures are those of `Station`: the places
on board are bays without a charger that only their own lane reaches, the bays of the rack are reached by none.

A lane on its way counts as busy. A pack's temperature on board follows the rack's room, not the weather.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.scenario.file import Scenario, SwapTruckSection
from sim.study.agenda import Call
from sim.study.rack import is_charged, is_free, put_in, take_charged, take_out
from sim.study.rows import StudyBay, StudyLane
from sim.study.station import Station

AWAY = "fetching packs"
"""Stands for the open swap of a lane that is on its way."""
_RACK_ONLY = frozenset({"rack"})


class SwapTrucks:
    """The swap trucks of a scenario with `equipment.swap_truck`, as the lanes of its station."""

    def __init__(self, station: Station) -> None:
        section = station.scenario.equipment.swap_truck
        if section is None:
            raise ValueError(f"scenario {station.scenario.id} has no equipment.swap_truck")
        self.station = station
        self.section: SwapTruckSection = section
        self.on_board: dict[str, tuple[StudyBay, ...]] = {}
        self.trips = 0
        """Drives to the rack."""
        self._at_rack: list[StudyLane] = []
        """Lanes that stand at the rack and wait for charged packs."""

    def build(self) -> None:
        """The places on board, and a first load."""
        rack = self.station.rack
        places = self.section.packs + max(model.packs for model in self.station.models.values())
        number = len(rack.bays)
        for bay in rack.bays:
            bay.lanes = _RACK_ONLY
        for lane in self.station.lanes:
            bays = tuple(StudyBay(f"{lane.lane_id}-{n}", number + n, 0.0) for n in range(1, places + 1))
            for bay in bays:
                bay.charger_ok = False
                bay.lanes = frozenset({lane.lane_id})
                rack.add(bay)
                rack.vacant.append(bay)
            number += places
            self.on_board[lane.lane_id] = bays
        rack.empty = len(rack.vacant)
        for lane in self.station.lanes:
            self._load(lane)

    def begin(self) -> None:
        """Send those that have no load."""
        for lane in self.station.lanes:
            self.lane_free(lane)

    def _load(self, lane: StudyLane) -> None:
        """Fill up with charged packs, fullest first."""
        rack = self.station.rack
        missing = self.section.packs - self._charged_on(lane)
        charged = [bay for bay in rack.bays if is_charged(bay)]
        for bay in charged:
            rack.settle(bay)
        charged.sort(key=lambda bay: (-bay.content.energy_kwh if bay.content is not None else 0.0, bay.position))
        free = [bay for bay in self.on_board[lane.lane_id] if is_free(bay)]
        for bay, place in zip(charged[: max(missing, 0)], free, strict=False):
            put_in(rack, place, take_charged(rack, bay, lane.lane_id), lane.lane_id)

    def _unload(self, lane: StudyLane) -> None:
        """Put all spent packs into the rack."""
        rack = self.station.rack
        free = [bay for bay in rack.bays if is_free(bay)]
        spent = [bay for bay in self.on_board[lane.lane_id] if bay.content is not None and not is_charged(bay)]
        for place, bay in zip(spent, free, strict=False):
            put_in(rack, bay, take_out(rack, place), lane.lane_id)

    def _charged_on(self, lane: StudyLane) -> int:
        return sum(is_charged(bay) for bay in self.on_board[lane.lane_id])

    # -- trips

    def before_calls(self) -> None:
        """Load swap trucks that wait at the rack, send those that are due."""
        for lane in tuple(self._at_rack):
            self._leave_rack(lane)
        for lane in self.station.lanes:
            self.lane_free(lane)

    def lane_free(self, lane: StudyLane) -> None:
        """Drive to the rack when too few charged packs are left."""
        if lane.open_swap_id is not None or not lane.ready or self._charged_on(lane) >= self.section.go_below:
            return
        self.station.before_change()
        self.trips += 1
        lane.open_swap_id = AWAY
        self.station.free_lanes -= 1
        self._later(self.section.drive_min, self._on_arrival_at_rack, lane)

    def _later(self, minutes: float, handler: Callable[[Call], None], lane: StudyLane) -> None:
        time = self.station.time
        time.at(time.now + minutes * 60, handler, (lane, lane.lost_s))

    def _broke_down(self, call: Call, handler: Callable[[Call], None]) -> bool:
        """Whether a failure on the way makes the lane later; its robot is repaired before it goes on."""
        lane, lost_s = call.payload
        if lane.lost_s == lost_s:
            return False
        time = self.station.time
        time.at(time.now + lane.lost_s - lost_s, handler, (lane, lane.lost_s))
        return True

    def _on_arrival_at_rack(self, call: Call) -> None:
        if self._broke_down(call, self._on_arrival_at_rack):
            return
        self.station.before_change()
        lane: StudyLane = call.payload[0]
        self._unload(lane)
        self._later(self.section.exchange_min, self._on_unloaded, lane)

    def _on_unloaded(self, call: Call) -> None:
        if self._broke_down(call, self._on_unloaded):
            return
        self._at_rack.append(call.payload[0])
        self.station.call_trucks()

    def _leave_rack(self, lane: StudyLane) -> None:
        """Leave as soon as there are charged packs worth the way."""
        if sum(is_charged(bay) for bay in self.station.rack.bays) + self._charged_on(lane) < self.section.go_below:
            return
        self.station.before_change()
        self._at_rack.remove(lane)
        self._load(lane)
        self._later(self.section.drive_min, self._on_return, lane)

    def _on_return(self, call: Call) -> None:
        if self._broke_down(call, self._on_return):
            return
        self.station.before_change()
        lane: StudyLane = call.payload[0]
        lane.open_swap_id = None
        self.station.free_lanes += 1
        self.station.call_trucks()


def scenario_station(
    scenario: Scenario, seed: int, replication: int = 0, prepare: Callable[[Station], None] | None = None
) -> Station:
    """The station of a scenario, with all that it says.

    Args:
        prepare: called with it before its first event.
    """
    station = Station(scenario, seed, replication)
    if prepare is not None:
        prepare(station)
    if scenario.equipment.swap_truck is not None:
        station.lane_task = SwapTrucks(station)
    station.build()
    return station
