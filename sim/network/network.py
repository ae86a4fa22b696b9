"""Runs a network of stations: replications of `NetworkFlow`, and what they say together.

Each station's numbers are those of the single-station study, read by the same code. The totals add what a truck
loses on a detour, and what the carriers do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.network.engine import NetworkFlow, station_seed
from sim.network.file import Network
from sim.scenario.notes import Note, unstable_note, warmup_note
from sim.study.optimal.planned import under_rule
from sim.study.parallel import Workers
from sim.study.stats import Estimate, estimate, quantile_estimate, ratio_estimate
from sim.study.study import DAY_S, RunResult, StudyResult, longest_warmup_days, read_run


@dataclass(frozen=True, slots=True)
class NetworkRun:
    """One replication of a network after its warm-up."""

    replication: int
    days: float
    stations: tuple[RunResult, ...]
    lost_min: tuple[NDArray[np.float32], ...]
    """By station: wait and detour, there and back, of each truck served."""
    detour_min: float
    """Sum of the detours of all trucks served."""
    guests: int
    """Trucks served away from the station on their way."""
    trips: int
    """Of carriers."""
    packs_moved: int


def simulate_network_once(
    network: Network, seed: int, replication: int = 0, *, days: float | None = None, warmup_days: float = 1.0
) -> NetworkRun:
    """One replication of `days` (the study's when not given) after `warmup_days`."""
    length = float(network.study.days if days is None else days)
    flow = NetworkFlow(network, seed, replication)
    if warmup_days > 0:
        flow.run_until(warmup_days * DAY_S)
        flow.reset()
    flow.run_until((warmup_days + length) * DAY_S)
    flow.close()
    since_s = warmup_days * DAY_S
    runs, lost_min, detour_min, guests = [], [], 0.0, 0
    for index, (station, scenario) in enumerate(zip(flow.stations, network.scenarios, strict=True)):
        run = read_run(station.station, scenario, station_seed(seed, index), replication, length, since_s)
        new = np.asarray(station.station.arrival_s) >= since_s
        detours = np.asarray(station.detours_s)[new] / 60 if station.detours_s else np.zeros(0)
        runs.append(run)
        lost_min.append((run.waits_min + detours).astype(np.float32))
        detour_min += float(detours.sum())
        guests += int(np.count_nonzero(detours))
    return NetworkRun(
        replication,
        length,
        tuple(runs),
        tuple(lost_min),
        detour_min,
        guests,
        flow.carriers.trips_done,
        flow.carriers.packs_moved,
    )


@dataclass(frozen=True)
class NetworkResult:
    """What the replications of a network say together."""

    network: Network
    seed: int
    days: float
    warmup_days: float
    runs: tuple[NetworkRun, ...]
    confidence: float
    notes: tuple[Note, ...] = ()

    def station(self, index: int) -> StudyResult:
        """One station, as its own study would show it."""
        scenario = self.network.scenarios[index]
        runs = tuple(run.stations[index] for run in self.runs)
        return StudyResult(scenario, self.seed, self.days, self.warmup_days, runs, self.confidence)

    def _ratio(self, top: Callable[[RunResult], float], bottom: Callable[[RunResult], float]) -> Estimate:
        tops = [sum(top(station) for station in run.stations) for run in self.runs]
        bottoms = [sum(bottom(station) for station in run.stations) for run in self.runs]
        return ratio_estimate(tops, bottoms, self.confidence)

    def _per_truck(self, value: Callable[[NetworkRun], float]) -> Estimate:
        served = [float(sum(station.waits_min.size for station in run.stations)) for run in self.runs]
        return ratio_estimate([value(run) for run in self.runs], served, self.confidence)

    def _sum(self, name: str) -> Estimate:
        return estimate([sum(s.means[name] for s in run.stations) for run in self.runs], self.confidence)

    def estimates(self) -> dict[str, Estimate]:
        """Every number of the whole network by name; waits are not numbers where a station's queue grows for ever."""
        found = self._estimates()
        if self.unstable:
            undefined = Estimate(math.nan, math.nan, len(self.runs), self.confidence)
            found |= {name: undefined for name in found if name.endswith(("wait_min", "time_lost_min"))}
        return found

    @property
    def unstable(self) -> dict[str, float]:
        """Stations that cannot serve all who come, and by how many trucks a day their queue grows."""
        studies = self.by_station().items()
        return {name: study.queue_growth_per_day.mean for name, study in studies if study.unstable}

    def _estimates(self) -> dict[str, Estimate]:
        waits = [np.concatenate([station.waits_min for station in run.stations]) for run in self.runs]
        lost = [np.concatenate(run.lost_min) for run in self.runs]
        return {
            "mean_wait_min": self._ratio(
                lambda s: float(s.waits_min.sum(dtype=np.float64)), lambda s: float(s.waits_min.size)
            ),
            "p95_wait_min": quantile_estimate(waits, 0.95, self.confidence),
            "mean_time_lost_min": self._per_truck(
                lambda run: float(sum(x.sum(dtype=np.float64) for x in run.lost_min))
            ),
            "p95_time_lost_min": quantile_estimate(lost, 0.95, self.confidence),
            "share_within_promise": self._ratio(lambda s: float(s.within), lambda s: float(s.arrived)),
            "lost_share": self._ratio(lambda s: float(s.lost), lambda s: float(s.arrived)),
            "stockout_share": self._ratio(lambda s: float(s.stockouts), lambda s: float(s.arrived)),
            "diverted_share": self._per_truck(lambda run: float(run.guests)),
            "mean_detour_min": self._per_truck(lambda run: run.detour_min),
            "swaps_per_day": self._sum("swaps_per_day"),
            "import_kwh_per_day": self._sum("import_kwh_per_day"),
            "energy_yuan_per_day": self._sum("energy_yuan_per_day"),
            "carrier_trips_per_day": estimate([run.trips / run.days for run in self.runs], self.confidence),
            "packs_moved_per_day": estimate([run.packs_moved / run.days for run in self.runs], self.confidence),
        }

    def by_station(self) -> Mapping[str, StudyResult]:
        """The stations' studies by id."""
        return {name: self.station(index) for index, name in enumerate(self.network.names)}


@dataclass(frozen=True, slots=True)
class NetworkTask:
    """One replication to run, picklable."""

    network: Network
    seed: int
    replication: int
    days: float
    warmup_days: float


def run_network_task(task: NetworkTask) -> NetworkRun:
    """Run one task."""
    return simulate_network_once(
        task.network, task.seed, task.replication, days=task.days, warmup_days=task.warmup_days
    )


def find_network_warmup_days(network: Network, seed: int, pool: Workers) -> float:
    """Warm-up in whole days by MSER-5 on the waits of three pilot runs: the longest of any station and run."""
    days = max(float(network.study.days), 14.0)
    pilots = pool.map(run_network_task, [NetworkTask(network, seed, 1_000_000 + n, days, 0.0) for n in range(3)])
    return longest_warmup_days((station.waits_min for pilot in pilots for station in pilot.stations), days)


def run_network(
    network: Network,
    pool: Workers,
    *,
    replications: int | None = None,
    days: float | None = None,
    warmup_days: float | None = None,
    seed: int | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> NetworkResult:
    """Run independent replications; what is not given is the network's study."""
    study = network.study
    used_seed = study.seed if seed is None else seed
    length = float(study.days if days is None else days)
    warmup = study.warmup_days if warmup_days is None else warmup_days
    ruled = [under_rule(scenario) for scenario in network.scenarios]
    network = replace(network, scenarios=tuple(scenario for scenario, _ in ruled))
    notes: list[Note] = list({note.text: note for _, said in ruled for note in said}.values())
    if warmup is None:
        warmup = find_network_warmup_days(network, used_seed, pool)
        notes.append(warmup_note(warmup))
    count = study.replications if replications is None else replications
    tasks = [NetworkTask(network, used_seed, n, length, warmup) for n in range(count)]
    runs = pool.map(run_network_task, tasks, None if on_done is None else lambda done: on_done(done, count))
    confidence = network.scenarios[0].promise.confidence
    result = NetworkResult(network, used_seed, length, warmup, tuple(runs), confidence)
    notes += [unstable_note(growth, name) for name, growth in result.unstable.items()]
    return replace(result, notes=tuple(notes))
