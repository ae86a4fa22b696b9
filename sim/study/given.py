"""The study begun from a given rack with given trucks: for the twin and for replay of a recorded day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.types import Dispatch
from sim.scenario.demand import Arrival
from sim.scenario.file import Scenario
from sim.study.engine import Call
from sim.study.station import StationFlow
from sim.study.swap_times import nominal_row_s
from sim.study.view import BayNow, LaneNow, PackNow, StationTruck
from swap.config.station_file import StationConfig
from swap.station.sequence.recipe import StepRow, load_recipe

REPLAN_KW = 2.0
"""While power is short, what packs in their taper give back is shared out anew in steps of this; the live
controller does so every few seconds."""
TEMPERATURE_STEP_S = 5.0
"""A pack at a temperature limit is looked at this often."""


class StationMismatch(Exception):
    """The study cannot stand for this station; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Stock:
    """A pack in a bay at the start."""

    kind: str
    soc_pct: float
    temp_c: float | None = None
    """None: as warm as the rack's room."""


@dataclass(frozen=True, slots=True)
class LaneOutage:
    """A lane does not serve; a swap in it stands still. Seconds from the scenario's start."""

    lane_id: str
    from_s: float
    until_s: float


@dataclass(frozen=True)
class Given:
    """Where the study begins, and what comes."""

    station: StationConfig
    arrivals: Sequence[Arrival]
    """In order of time; those before `start_s` are waiting then."""
    stock: dict[str, Stock]
    """By bay of the station file."""
    start_s: float = 0.0
    outages: Sequence[LaneOutage] = ()
    temp_c: Sequence[tuple[float | None, ...]] = ()
    """Of the packs that come off, by place in `arrivals` and seat; the climate's where it is None or left out."""
    swap_s: Sequence[float | None] = ()
    """Lane time by place in `arrivals`; the recipe's or the scenario's where it is None or left out."""
    row_s: Callable[[StepRow], float] = field(default=nominal_row_s)
    """Time of each row of the recipe."""


class GivenFlow(StationFlow):
    """`StationFlow` with the bays and lanes of a station file (see `check_pair`), its trucks and stock given."""

    def __init__(self, scenario: Scenario, given: Given, seed: int = 0) -> None:
        self.given = given
        self.on_row: Callable[[float, str, StationTruck], None] | None = None
        """Told of the end of each row of a swap: seconds, state, truck."""
        self.trucks: dict[int, StationTruck] = {}
        """By place in `given.arrivals`; those that have come."""
        self._temp_c: dict[str, tuple[float | None, ...]] = {}
        super().__init__(scenario, seed, start_s=given.start_s)
        self.rack.replan_kw, self.rack.temperature_step_s = REPLAN_KW, TEMPERATURE_STEP_S
        self._ends = self._row_ends()
        for outage in given.outages:
            self.time.at(max(outage.from_s, given.start_s), self._on_outage, outage)

    # -- building

    def _make_lanes(self) -> tuple[LaneNow, ...]:
        return tuple(LaneNow(lane.id, lane.swap_order) for lane in self.given.station.lanes)

    def _make_bays(self) -> tuple[BayNow, ...]:
        bays = []
        for section in self.given.station.bays:
            if section.role == "rack":
                bay = BayNow(section.id, section.position, section.charger_kw)
                bay.kinds, bay.lanes = frozenset(section.kinds), frozenset(section.lanes)
                bays.append(bay)
        return tuple(bays)

    def _fill_rack(self) -> None:
        rack = self.rack
        rack.ambient_c = self.world.at(self.given.start_s).rack_c
        for bay_id, stock in self.given.stock.items():
            if bay_id in rack.by_id:
                temp_c = rack.ambient_c if stock.temp_c is None else stock.temp_c
                rack.place(
                    rack.by_id[bay_id], PackNow(bay_id, stock.kind, self.specs[stock.kind], stock.soc_pct, temp_c)
                )
        rack.empty = sum(bay.pack is None for bay in rack.bays)

    def _row_ends(self) -> dict[str, tuple[tuple[float, str], ...]]:
        """By model: share of the swap after which each row has ended, and its state."""
        equipment = self.scenario.equipment
        recipe = load_recipe(equipment.recipe, Path(self.scenario.folder))
        found = {}
        for model in self.scenario.vehicle_models:
            rows = recipe.table(model.packs_per_vehicle, equipment.swap_order).forward
            whole_s = sum(self.row_s(row) for row in rows)
            ends, at_s = [], 0.0
            for row in rows:
                at_s += self.row_s(row)
                ends.append((at_s / whole_s, row.state))
            found[model.id] = tuple(ends)
        return found

    # -- trucks

    def row_s(self, row: StepRow) -> float:
        """As given."""
        return self.given.row_s(row)

    def _start_demand(self) -> None:
        self._trucks = iter(enumerate(self.given.arrivals))
        self._await_given()

    def _await_given(self) -> None:
        found = next(self._trucks, None)
        if found is not None:
            self.time.at(max(found[1].at_s, self.time.now), self._on_given, found)

    def _on_given(self, call: Call) -> None:
        number, arrival = call.payload
        self._await_given()
        if not arrival.comes:
            return
        truck = self._truck(arrival)
        self.trucks[number] = truck
        if number < len(self.given.temp_c):
            self._temp_c[truck.swap_id] = self.given.temp_c[number]
        if number < len(self.given.swap_s):
            truck.swap_s = self.given.swap_s[number] or truck.swap_s
        if self.on_event is not None:
            self.on_event(self.time.now, "queued", truck)
        self.arrive(truck)

    def _dispatch(self, dispatch: Dispatch) -> None:
        if self.on_row is not None:
            truck = next(t for t in self.trucks.values() if t.swap_id == dispatch.swap_id)
            lane = next(lane for lane in self.lanes if lane.lane_id == dispatch.lane_id)
            for share, state in self._ends[truck.details.model]:
                at_s = self.time.now + share * truck.swap_s
                self.time.at(at_s, self._on_row_end, (truck, state, lane.lost_s))
        super()._dispatch(dispatch)

    def _spent_pack(self, truck: StationTruck, seat: int) -> PackNow:
        pack = super()._spent_pack(truck, seat)
        temps_c = self._temp_c.get(truck.swap_id, ())
        temp_c = temps_c[seat] if seat < len(temps_c) else None
        if temp_c is not None:
            pack.temp_max_c = pack.temp_min_c = temp_c
        return pack

    def _on_row_end(self, call: Call) -> None:
        truck, state, lost_s = call.payload
        later_s = truck.lane.lost_s - lost_s
        if later_s > 0:  # the lane lost time to a failure since this was planned
            self.time.at(self.time.now + later_s, self._on_row_end, (truck, state, truck.lane.lost_s))
            return
        if self.on_row is not None:
            self.on_row(self.time.now, state, truck)

    # -- outages

    def _on_outage(self, call: Call) -> None:
        outage: LaneOutage = call.payload
        self.accumulate()
        lane = next(lane for lane in self.lanes if lane.lane_id == outage.lane_id)
        lane.ready = False
        idle = lane.open_swap_id is None
        if idle:
            self.free_lanes -= 1
        else:
            lane.lost_s += outage.until_s - self.time.now
        self.time.at(outage.until_s, self._on_outage_over, (lane, idle))

    def _on_outage_over(self, call: Call) -> None:
        lane, was_idle = call.payload
        self.accumulate()
        lane.ready = True
        if was_idle:
            self.free_lanes += 1
        self.start_swaps()


def check_pair(scenario: Scenario, config: StationConfig) -> None:
    """Whether the study of a scenario can stand for the station of a station file.

    Raises:
        StationMismatch: chargers or lanes that are not alike, or a scenario made for another station.
    """
    rack = [bay for bay in config.bays if bay.role == "rack"]
    ratings = {bay.charger_kw for bay in rack}
    if len(ratings) != 1 or 0.0 in ratings:
        shown = ", ".join(f"{kw:g} kW" for kw in sorted(ratings))
        raise StationMismatch(f"the study knows one rating for the chargers of all bays; this station has {shown}")
    if len({(lane.recipe, lane.swap_order) for lane in config.lanes}) != 1:
        raise StationMismatch("the study knows one recipe and one order for all lanes; this station has several")
    equipment, site, lane = scenario.equipment, config.site, config.lanes[0]
    recipe = load_recipe(equipment.recipe, Path(scenario.folder))
    pairs: list[tuple[str, object, object]] = [
        ("lanes", equipment.lanes, len(config.lanes)),
        ("bays", equipment.bay_count, len(rack)),
        ("charger_kw", equipment.charger_kw, ratings.pop()),
        ("grid limit in kW", equipment.grid_limit_kw, site.grid_limit_kw),
        ("base_load_kw", equipment.base_load_kw, site.base_load_kw),
        ("swap_order", equipment.swap_order, lane.swap_order),
        ("recipe", recipe.file, load_recipe(lane.recipe, config.folder).file),
        ("charging", scenario.charging, config.charging),
        ("tariff", scenario.tariff, config.tariff),
        ("pack_kinds", scenario.pack_kinds, config.pack_kinds),
        ("vehicle_models", scenario.vehicle_models, config.vehicle_models),
        ("timezone", scenario.timezone, config.station.timezone),
    ]
    apart = [name for name, here, there in pairs if here != there]
    if apart:
        raise StationMismatch(
            f"scenario {scenario.id} is not that of station {config.station.id}: {', '.join(apart)} differ; "
            "name the station file in the scenario (station = ...)"
        )
