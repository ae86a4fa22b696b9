"""The study begun from a given rack with given trucks: for the twin and for replay of a recorded day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.guide import Planner
from scheduler.site import StorageSection
from sim.scenario.demand import Arrival
from sim.scenario.file import Scenario
from sim.study.agenda import Agenda, Call
from sim.study.feed import Foresight
from sim.study.layout import Layout
from sim.study.rows import StudyBay, StudyLane, StudyTruck
from sim.study.station import Station
from sim.study.swap_times import RowTime, nominal_row_s
from swap.config.station_file import StationConfig
from swap.station.sequence.recipe import load_recipe

TEMPERATURE_LATE_S = 1e-5
"""A pack that crosses a temperature limit is looked at so long after, for rounding."""


class StationMismatch(Exception):
    """The study cannot stand for this station; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Stock:
    """A pack in a bay at the start."""

    kind: str
    soc_pct: float
    temp_c: float | None = None
    """None: as warm as the rack's room."""
    soh_pct: float | None = None
    """None: that of the scenario."""


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
    soh_pct: Sequence[tuple[float, ...]] = ()
    """State of health of the packs that come off, by place in `arrivals` and seat; else the scenario's."""
    kinds: Sequence[tuple[str, ...]] = ()
    """Their kinds; where it is empty or left out, what the truck was given last or its model comes with."""
    row_s: RowTime = field(default=nominal_row_s)
    """Time of each row of the recipe."""
    storage_kwh: float = 0.0
    """In the stationary storage at the start."""
    identify_s: float = 0.0
    """From setting a pack down until the station has read its BMS and charges it."""


class _GivenFeed:
    """The given trucks, each with its own lane time and temperatures."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.station: Station | None = None
        self.trucks: dict[int, StudyTruck] = {}
        """By place in `given.arrivals`; those that have come."""
        self._coming = iter(enumerate(given.arrivals))

    def start(self, time: Agenda, gate: Callable[[Arrival], None], foresight: Foresight | None) -> None:
        """Begin to send trucks."""
        self._time = time
        if foresight is not None:
            for arrival in self.given.arrivals:
                foresight.foresee(arrival)
        self._await_next()

    def _await_next(self) -> None:
        found = next(self._coming, None)
        if found is not None:
            self._time.at(max(found[1].at_s, self._time.now), self._on_given, found)

    def _on_given(self, call: Call) -> None:
        station, given = self.station, self.given
        assert station is not None
        number, arrival = call.payload
        self._await_next()
        if not arrival.comes:
            return
        station.has_come(arrival)
        if number < len(given.kinds) and arrival.vehicle_id is not None:
            station.trucks.know_packs(arrival.vehicle_id, given.kinds[number])
        truck = station.trucks.truck_of(arrival)
        self.trucks[number] = truck
        if number < len(given.temp_c):
            truck.spent_c = given.temp_c[number]
        if number < len(given.soh_pct):
            truck.spent_soh_pct = given.soh_pct[number]
        if number < len(given.swap_s):
            truck.swap_s = given.swap_s[number] or truck.swap_s
        for listener in station.listeners:
            listener(self._time.now, "queued", truck)
        station.arrive(truck)

    def left(self, truck: StudyTruck, soc_pct: tuple[float, ...]) -> None:
        """It has gone."""

    def lost(self, truck: StudyTruck) -> None:
        """It has gone."""


class GivenStation:
    """A station with the bays and lanes of a station file (see `check_pair`), its trucks and stock given."""

    def __init__(self, scenario: Scenario, given: Given, seed: int = 0, planner: Planner | None = None) -> None:
        self.given = given
        self.on_row: Callable[[float, str, StudyTruck], None] | None = None
        """Told of the end of each row of a swap: seconds, state, truck."""
        feed = _GivenFeed(given)
        self.trucks = feed.trucks
        """By place in `given.arrivals`; those that have come."""
        station = self.station = Station(
            scenario, seed, start_s=given.start_s, feed=feed, planner=planner, row_s=given.row_s
        )
        feed.station = station
        station.build(self._layout())
        if station.storage is not None:
            station.storage.energy_kwh = given.storage_kwh
        # As the live controller does.
        station.rack.replan_s = station.rack.temperature_step_s = given.station.charging.cycle_s
        station.rack.temperature_late_s = TEMPERATURE_LATE_S
        station.rack.identify_s = given.identify_s
        station.listeners.append(self._time_rows)
        self._ends = self._row_ends()
        for outage in given.outages:
            station.time.at(max(outage.from_s, given.start_s), self._on_outage, outage)

    def _layout(self) -> Layout:
        given, station = self.given, self.station
        lanes = [StudyLane(lane.id, in_out=lane.swap_order == "in_out") for lane in given.station.lanes]
        bays = []
        for section in given.station.bays:
            if section.role == "rack":
                bay = StudyBay(section.id, section.position, section.charger_kw)
                bay.kinds, bay.lanes = frozenset(section.kinds), frozenset(section.lanes)
                bays.append(bay)
        by_id = {bay.bay_id: bay for bay in bays}
        rack_c = station.world.at(given.start_s).rack_c
        stock = []
        for bay_id, item in given.stock.items():
            if bay_id in by_id:
                temp_c = rack_c if item.temp_c is None else item.temp_c
                pack = station.kinds.pack(bay_id, item.kind, item.soc_pct, temp_c, item.soh_pct)
                stock.append((by_id[bay_id], pack))
        return Layout(lanes, bays, stock)

    def _row_ends(self) -> dict[str, tuple[tuple[float, str], ...]]:
        """By model: share of the swap after which each row has ended, and its state."""
        scenario, row_s = self.station.scenario, self.given.row_s
        equipment = scenario.equipment
        recipe = load_recipe(equipment.recipe, Path(scenario.folder))
        found = {}
        for model in scenario.vehicle_models:
            rows = recipe.table(model.packs_per_vehicle, equipment.swap_order).forward
            whole_s = sum(row_s(row) for row in rows)
            ends, at_s = [], 0.0
            for row in rows:
                at_s += row_s(row)
                ends.append((at_s / whole_s, row.state))
            found[model.id] = tuple(ends)
        return found

    def _time_rows(self, at_s: float, event: str, truck: StudyTruck) -> None:
        if event != "dispatched" or self.on_row is None:
            return
        lane = truck.lane
        assert lane is not None
        for share, state in self._ends[truck.details.model]:
            self.station.time.at(at_s + share * truck.swap_s, self._on_row_end, (truck, state, lane.lost_s))

    def _on_row_end(self, call: Call) -> None:
        truck, state, lost_s = call.payload
        time = self.station.time
        later_s = truck.lane.lost_s - lost_s
        if later_s > 0:  # the lane lost time to a failure since this was planned
            time.at(time.now + later_s, self._on_row_end, (truck, state, truck.lane.lost_s))
        elif self.on_row is not None:
            self.on_row(time.now, state, truck)

    # -- outages

    def _on_outage(self, call: Call) -> None:
        outage: LaneOutage = call.payload
        time = self.station.time
        lane = next(lane for lane in self.station.lanes if lane.lane_id == outage.lane_id)
        was_idle = self.station.lane_fails(lane, outage.until_s - time.now)
        time.at(outage.until_s, self._on_outage_over, (lane, was_idle))

    def _on_outage_over(self, call: Call) -> None:
        lane, was_idle = call.payload
        self.station.lane_repaired(lane, was_idle=was_idle)


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
        ("chargers", equipment.charger_count, len(rack)),
        ("charger_kw", equipment.charger_kw, ratings.pop()),
        ("grid limit in kW", equipment.grid_limit_kw, site.grid_limit_kw),
        ("base_load_kw", equipment.base_load_kw, site.base_load_kw),
        ("charger_efficiency", equipment.charger_efficiency, site.charger_efficiency),
        ("pv.peak_kw", None if site.pv is None else scenario.pv.peak_kw, None if site.pv is None else site.pv.peak_kw),
        ("storage", *_storages(scenario, config)),
        ("demand response", scenario.dr_events if site.demand_response else (), site.demand_response),
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


def _storages(scenario: Scenario, config: StationConfig) -> tuple[dict[str, object], dict[str, object]]:
    """The storage of scenario and station, where the station has one."""
    site = config.site.storage
    if site is None:
        return {}, {}
    names = tuple(StorageSection.model_fields)
    return {n: getattr(scenario.storage, n) for n in names}, {n: getattr(site, n) for n in names}
