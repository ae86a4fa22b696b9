"""Mobile swapping: the robot rides on a swap truck, the packs are charged in a central rack.

Each lane is one swap truck. It stands where the vehicles work, carries charged packs and hands them out like a
lane of a station; spent packs stay on board. When too few charged ones are left it drives to the rack, changes
the whole lot and comes back. Vehicles, decisions, charging and failures are those of `StationFlow`: the places
on board are bays without a charger that only their own lane reaches, the bays of the rack are reached by none.

A lane on its way counts as busy. A pack's temperature on board follows the rack's room, not the weather.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.scenario.file import Scenario, SwapTruckSection
from sim.study.engine import Call, StudyTime
from sim.study.moves import is_charged, is_free, put_in, take_charged, take_out
from sim.study.station import StationFlow
from sim.study.view import BayNow, LaneNow

AWAY = "fetching packs"
"""Stands for the open swap of a lane that is on its way."""
_RACK_ONLY = frozenset({"rack"})


class SwapTruckFlow(StationFlow):
    """A scenario with `equipment.swap_truck`."""

    def __init__(self, scenario: Scenario, seed: int, replication: int = 0, *, time: StudyTime | None = None) -> None:
        section = scenario.equipment.swap_truck
        if section is None:
            raise ValueError(f"scenario {scenario.id} has no equipment.swap_truck")
        self.section: SwapTruckSection = section
        self.on_board: dict[str, tuple[BayNow, ...]] = {}
        self.trips = 0
        """Drives to the rack."""
        self._at_rack: list[LaneNow] = []
        """Lanes that stand at the rack and wait for charged packs."""
        super().__init__(scenario, seed, replication, time=time)
        for lane in self.lanes:
            self._send_if_due(lane)

    def _fill_rack(self) -> None:
        super()._fill_rack()
        rack, view = self.rack, self.view
        places = self.section.packs + max(model.packs for model in self.models.values())
        for lane in self.lanes:
            bays = tuple(BayNow(f"{lane.lane_id}-{n}", len(view.bays) + n, 0.0) for n in range(1, places + 1))
            for bay in bays:
                bay.charger_ok = False
                bay.lanes = frozenset({lane.lane_id})
            self.on_board[lane.lane_id] = bays
            # The decisions see all bays; the rack charges its own alone.
            view.bays = (*view.bays, *bays)
            rack.by_id.update({bay.bay_id: bay for bay in bays})
        for bay in rack.bays:
            bay.lanes = _RACK_ONLY
        rack.empty = sum(bay.pack is None for bay in view.bays)
        for lane in self.lanes:
            self._load(lane)

    def _load(self, lane: LaneNow) -> None:
        """Fill up with charged packs, fullest first."""
        rack = self.rack
        missing = self.section.packs - self._charged_on(lane)
        charged = [bay for bay in rack.bays if is_charged(bay)]
        for bay in charged:
            rack.settle(bay)
        charged.sort(key=lambda bay: (-bay.pack.energy_kwh if bay.pack is not None else 0.0, bay.position))
        free = [bay for bay in self.on_board[lane.lane_id] if is_free(bay)]
        for bay, place in zip(charged[: max(missing, 0)], free, strict=False):
            put_in(rack, place, take_charged(rack, bay, lane.lane_id), lane.lane_id)

    def _unload(self, lane: LaneNow) -> None:
        """Put all spent packs into the rack."""
        rack = self.rack
        free = [bay for bay in rack.bays if is_free(bay)]
        spent = [bay for bay in self.on_board[lane.lane_id] if bay.pack is not None and not is_charged(bay)]
        for place, bay in zip(spent, free, strict=False):
            put_in(rack, bay, take_out(rack, place), lane.lane_id)

    def _charged_on(self, lane: LaneNow) -> int:
        return sum(is_charged(bay) for bay in self.on_board[lane.lane_id])

    # -- trips

    def start_swaps(self) -> None:
        """Load swap trucks that wait at the rack, send those that are due, then call vehicles."""
        for lane in tuple(self._at_rack):
            self._leave_rack(lane)
        for lane in self.lanes:
            self._send_if_due(lane)
        super().start_swaps()

    def _on_swap_end(self, call: Call) -> None:
        lane: LaneNow = call.payload.lane
        super()._on_swap_end(call)
        self._send_if_due(lane)

    def _on_robot_repaired(self, call: Call) -> None:
        super()._on_robot_repaired(call)
        self._send_if_due(call.payload[0])

    def _send_if_due(self, lane: LaneNow) -> None:
        if lane.open_swap_id is not None or not lane.ready or self._charged_on(lane) >= self.section.go_below:
            return
        self.accumulate()
        self.trips += 1
        lane.open_swap_id = AWAY
        self.free_lanes -= 1
        self._later(self.section.drive_min, self._on_arrival_at_rack, lane)

    def _later(self, minutes: float, handler: Callable[[Call], None], lane: LaneNow) -> None:
        self.time.at(self.time.now + minutes * 60, handler, (lane, lane.lost_s))

    def _broke_down(self, call: Call, handler: Callable[[Call], None]) -> bool:
        """Whether a failure on the way makes the lane later; its robot is repaired before it goes on."""
        lane, lost_s = call.payload
        if lane.lost_s == lost_s:
            return False
        self.time.at(self.time.now + lane.lost_s - lost_s, handler, (lane, lane.lost_s))
        return True

    def _on_arrival_at_rack(self, call: Call) -> None:
        if self._broke_down(call, self._on_arrival_at_rack):
            return
        self.accumulate()
        lane: LaneNow = call.payload[0]
        self._unload(lane)
        self._later(self.section.exchange_min, self._on_unloaded, lane)

    def _on_unloaded(self, call: Call) -> None:
        if self._broke_down(call, self._on_unloaded):
            return
        self._at_rack.append(call.payload[0])
        self.start_swaps()

    def _leave_rack(self, lane: LaneNow) -> None:
        """Leave as soon as there are charged packs worth the way."""
        if sum(is_charged(bay) for bay in self.rack.bays) + self._charged_on(lane) < self.section.go_below:
            return
        self.accumulate()
        self._at_rack.remove(lane)
        self._load(lane)
        self._later(self.section.drive_min, self._on_return, lane)

    def _on_return(self, call: Call) -> None:
        if self._broke_down(call, self._on_return):
            return
        self.accumulate()
        lane: LaneNow = call.payload[0]
        lane.open_swap_id = None
        self.free_lanes += 1
        self.start_swaps()
