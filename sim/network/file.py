"""The network file (`network.toml`): several stations that share packs and trucks.

Each station is a scenario file of its own, with its own fleets; the network file says how far they lie apart, how
trucks choose between them and how packs are moved. Strict like the scenario file: unknown fields are refused,
every problem is listed at once. `docs/networks.md` is the user's guide.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from math import inf
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from scheduler.sections import Identifier
from sim.scenario.base import Factor, ScenarioSection
from sim.scenario.file import Scenario, StudySection
from sim.scenario.load import load_scenario
from swap.config.loading import ConfigError, field_problems, read_toml


class NetworkStationSection(ScenarioSection):
    """One station of the network."""

    id: Identifier
    """Name in roads and results."""
    scenario: str
    """Scenario file, relative to the network file; its fleets have this station on their way."""
    demand_factor: Factor = 1.0
    """On the demand of its scenario; 0: no fleet has this station on its way, trucks only come from others."""


class RoadSection(ScenarioSection):
    """A road, driven both ways. Stations without one between them are reached over others."""

    between: tuple[Identifier, Identifier]
    """Ids of the two stations."""
    km: float = Field(gt=0, le=2000)
    """Length."""
    minutes: float = Field(gt=0, le=2000)
    """Driving time one way."""


class ChoiceSection(ScenarioSection):
    """How a truck that needs a swap chooses its station. A booked truck keeps to its own."""

    rule: Literal["home", "queue_and_distance"] = "queue_and_distance"
    """home: the station on its way, always. queue_and_distance: where expected wait and detour together are least."""
    drive_weight: float = Field(default=1.0, ge=0, le=100)
    """Minutes of waiting that count as much as a minute of detour, there and back."""
    least_gain_min: float = Field(default=5.0, ge=0, le=600)
    """A truck leaves its way only for at least this."""
    kwh_per_km: float = Field(default=1.7, ge=0, le=30)
    """Energy use on the detour."""
    keep_soc_pct: float = Field(default=8.0, ge=0, le=100)
    """State of charge with which a truck must still arrive."""


class RebalancingSection(ScenarioSection):
    """Moving packs between stations: a carrier brings charged packs and takes as many spent ones back."""

    carriers: int = Field(default=0, ge=0, le=50)
    """Trucks that carry packs; 0: packs are not moved."""
    packs_per_trip: int = Field(default=4, ge=1, le=50)
    """Most that a carrier takes."""
    review_min: float = Field(default=15.0, gt=0, le=1440)
    """How often the stock is looked at."""
    low_ready: int = Field(default=2, ge=1, le=50)
    """A station is helped when it has fewer packs ready, those on the way counted and those asked for not."""
    keep_ready: int = Field(default=4, ge=0, le=50)
    """A station gives only what it has ready beyond this."""
    exchange_min: float = Field(default=20.0, ge=0, le=600)
    """Loading or unloading, at each stop."""


class NetworkSection(ScenarioSection):
    """The whole network file."""

    id: Identifier
    name_zh: str
    name_en: str
    stations: tuple[NetworkStationSection, ...] = Field(min_length=1, max_length=100)
    roads: tuple[RoadSection, ...] = ()
    choice: ChoiceSection = ChoiceSection()
    rebalancing: RebalancingSection = RebalancingSection()
    study: StudySection | None = None
    """Of the network; the first station's when not given."""


@dataclass(frozen=True)
class Network:
    """A network file with its scenarios and distances."""

    file: NetworkSection
    scenarios: tuple[Scenario, ...]
    """By station, with the demand factor and the network's study applied."""
    minutes: tuple[tuple[float, ...], ...]
    """Driving time from station to station by the quickest way; inf where no road leads."""
    km: tuple[tuple[float, ...], ...]
    """Length of that way."""

    @property
    def names(self) -> tuple[str, ...]:
        """Ids of the stations."""
        return tuple(station.id for station in self.file.stations)

    @property
    def study(self) -> StudySection:
        """Days, replications and seed."""
        return self.scenarios[0].study

    def has_demand(self, index: int) -> bool:
        """Whether fleets have this station on their way."""
        return self.file.stations[index].demand_factor > 0

    def alone(self) -> Network:
        """The same stations, each by itself: no truck goes elsewhere, no pack is moved."""
        update = {
            "choice": self.file.choice.model_copy(update={"rule": "home"}),
            "rebalancing": self.file.rebalancing.model_copy(update={"carriers": 0}),
        }
        return replace(self, file=self.file.model_copy(update=update))


def load_network(path: Path) -> Network:
    """Read and check a network file and the scenario files it names.

    Raises:
        ConfigError: a file is missing, no TOML, or not valid; every problem is listed.
    """
    file = parse_network(read_toml(path), source=str(path))
    problems: list[str] = []
    scenarios: list[Scenario] = []
    for station in file.stations:
        try:
            scenarios.append(load_scenario(path.parent / station.scenario))
        except ConfigError as error:
            problems += [f"stations.{station.id}.scenario = {station.scenario!r}: {text}" for text in error.problems]
    if problems:
        raise ConfigError(str(path), problems)
    return build_network(file, scenarios, source=str(path))


def parse_network(data: dict[str, Any], *, source: str = "network") -> NetworkSection:
    """Check the fields of a network file. Raises ConfigError with every field problem."""
    try:
        return NetworkSection.model_validate(data)
    except ValidationError as error:
        raise ConfigError(source, field_problems(error, NetworkSection, data)) from error


def build_network(file: NetworkSection, scenarios: list[Scenario], *, source: str = "network") -> Network:
    """Join a network file and the scenarios of its stations. Raises ConfigError with every contradiction."""
    problems = [*_road_problems(file), *_station_problems(file, scenarios)]
    if problems:
        raise ConfigError(source, problems)
    minutes, km = _quickest_ways(file)
    made = []
    for station, scenario in zip(file.stations, scenarios, strict=True):
        update: dict[str, Any] = {}
        if file.study is not None:
            update["study"] = file.study
        if station.demand_factor not in (0, 1):
            factor = scenario.demand.factor * station.demand_factor
            update["demand"] = scenario.demand.model_copy(update={"factor": factor})
        made.append(scenario.model_copy(update=update) if update else scenario)
    starts = {scenario.start_at for scenario in made}
    if len(starts) > 1:
        shown = ", ".join(sorted(start.isoformat() for start in starts))
        raise ConfigError(source, [f"study: the scenarios start at different instants ({shown}); give [study]"])
    return Network(file, tuple(made), minutes, km)


def _road_problems(file: NetworkSection) -> list[str]:
    names = [station.id for station in file.stations]
    problems = [f"stations.id: {name!r} is given {n} times" for name, n in Counter(names).items() if n > 1]
    for road in file.roads:
        where = f"roads.between = {list(road.between)}"
        if road.between[0] == road.between[1]:
            problems.append(f"{where}: leads nowhere")
        problems += [
            f"{where}: no such station {end!r}; known: {', '.join(names)}" for end in road.between if end not in names
        ]
    if len(set(names)) > 1:
        ends = {end for road in file.roads for end in road.between}
        problems += [f"roads: none leads to {name!r}" for name in names if name not in ends]
    if file.rebalancing.carriers and len(names) < 2:
        problems.append("rebalancing.carriers: packs can only be moved between two stations or more")
    return problems


def _station_problems(file: NetworkSection, scenarios: list[Scenario]) -> list[str]:
    problems = []
    if all(station.demand_factor == 0 for station in file.stations):
        problems.append("stations.demand_factor: is 0 everywhere; no truck ever comes")
    for station, scenario in zip(file.stations, scenarios, strict=True):
        where = f"stations.{station.id}"
        if scenario.equipment.swap_truck is not None:
            problems.append(f"{where}.scenario: has equipment.swap_truck; a network joins fixed stations")
        if scenario.demand.mode != "profile" and station.demand_factor not in (0, 1):
            problems.append(
                f"{where}.demand_factor = {station.demand_factor:g}: with demand.mode = {scenario.demand.mode!r} "
                "allowed 0 or 1"
            )
    pairs = list(zip(file.stations, scenarios, strict=True))
    for (one, first), (other, second) in combinations(pairs, 2):
        if first.timezone != second.timezone:
            problems.append(f"stations.{other.id}: timezone {second.timezone!r}, but {one.id} has {first.timezone!r}")
        for what, mine, theirs in (
            ("pack_kinds", first.pack_kinds, second.pack_kinds),
            ("vehicle_models", first.vehicle_models, second.vehicle_models),
        ):
            known = {item.id: item for item in mine}
            problems += [
                f"stations.{other.id}: {what}.{item.id} differs from that of {one.id}; what is shared must be the same"
                for item in theirs
                if item.id in known and known[item.id] != item
            ]
    return problems


def _quickest_ways(file: NetworkSection) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """Minutes and kilometres of the quickest way between any two stations (Floyd-Warshall)."""
    names = [station.id for station in file.stations]
    count = len(names)
    minutes = [[0.0 if i == j else inf for j in range(count)] for i in range(count)]
    km = [[0.0 if i == j else inf for j in range(count)] for i in range(count)]
    for road in file.roads:
        one, other = (names.index(end) for end in road.between)
        for i, j in ((one, other), (other, one)):
            if road.minutes < minutes[i][j]:
                minutes[i][j], km[i][j] = road.minutes, road.km
    for over in range(count):
        for i, j in permutations(range(count), 2):
            if minutes[i][over] + minutes[over][j] < minutes[i][j]:
                minutes[i][j] = minutes[i][over] + minutes[over][j]
                km[i][j] = km[i][over] + km[over][j]
    return tuple(map(tuple, minutes)), tuple(map(tuple, km))
