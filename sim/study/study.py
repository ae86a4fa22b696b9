"""Runs a scenario: one replication, many of them, and what they say together.

A replication depends on scenario, seed and its number alone; so results are the same for any number of
processes, and two stations under one seed see the same trucks (common random numbers).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scheduler.tariff import PERIODS
from sim.scenario.file import Scenario
from sim.scenario.notes import Note, unstable_note, warmup_note
from sim.scenario.trace import scenario_trace
from sim.study.hours import HourRecord
from sim.study.optimal.planned import StudyPlanner, check_plannable
from sim.study.parallel import Workers
from sim.study.station import Station
from sim.study.stats import Estimate, estimate, mser5, quantile_estimate, ratio_estimate, replications_needed
from sim.study.storage_results import StorageResult, read_storage
from sim.study.swap_truck import scenario_station
from sim.study.waits import CAUSES, check_little
from swap.words import N_

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """One replication after its warm-up."""

    seed: int
    replication: int
    days: float
    waits_min: NDArray[np.float32]
    """Wait of each truck served, in the order of service."""
    arrived: int
    """Trucks whose outcome is known: served, lost, or waiting longer than promised."""
    within: int
    """Of these, served within the promise."""
    lost: int
    stockouts: int
    """Trucks that found a free lane and no pack ready."""
    means: Mapping[str, float]
    """Time averages and sums by name; units in the names."""
    kwh_by_period: Mapping[str, float]
    """Imported energy a day."""
    yuan_by_period: Mapping[str, float]
    """Its price a day."""
    ready_by_hour: NDArray[np.float64]
    """Packs ready at the end of each local hour of the day, mean."""
    waiting_by_hour: NDArray[np.float64]
    site_kw_by_hour: NDArray[np.float64]
    """Import, mean over the hour."""
    storage: StorageResult = field(default_factory=StorageResult)
    unserved_min: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """Wait so far of each truck that still waits at the end: its whole wait is longer."""
    waiting_h_by_cause: Mapping[str, float] = field(default_factory=dict)
    """Truck-hours of waiting a day, by `waits.CAUSES`; they add up to the mean number of waiting trucks x 24 h."""
    queue_growth_per_day: float = 0.0
    """By how many trucks a day the shortest queue of a day grows."""

    @property
    def came_per_day(self) -> float:
        """Trucks that came a day, whatever became of them."""
        return (self.waits_min.size + self.unserved_min.size + self.lost) / self.days


def simulate_once(
    scenario: Scenario,
    seed: int,
    replication: int = 0,
    *,
    days: float | None = None,
    warmup_days: float = 1.0,
) -> RunResult:
    """One replication of `days` (the scenario's when not given) after `warmup_days`."""
    length = float(scenario.study.days if days is None else days)
    prepare = StudyPlanner(scenario, seed, replication).attach if scenario.charging.plan == "optimal" else None
    station = scenario_station(scenario, seed, replication, prepare)
    if warmup_days > 0:
        station.run_until(warmup_days * DAY_S)
        station.reset()
    station.run_until((warmup_days + length) * DAY_S)
    station.close()
    return read_run(station, scenario, seed, replication, length, warmup_days * DAY_S)


def read_run(
    station: Station, scenario: Scenario, seed: int, replication: int, days: float, since_s: float
) -> RunResult:
    """What a station has counted since its reset at `since_s`.

    Raises:
        CountsDisagree: Little's law does not hold.
    """
    where = f"{scenario.id}, seed {seed}, replication {replication}"
    check_little(station.waiting_area_s, station.waited_s, sum(station.causes.sums_s), where)
    rack, equipment = station.rack, scenario.equipment
    limit_min = scenario.promise.wait_limit_min
    new = np.asarray(station.arrival_s) >= since_s
    waits_min = (np.asarray(station.waits) / 60)[new] if station.waits else np.zeros(0)
    now_s = station.time.now
    # A truck still waiting is late for certain once it has waited longer than promised.
    unserved_min = np.asarray([(now_s - truck.at_s) / 60 for truck in station.queue if truck.at_s >= since_s])
    late = int(np.count_nonzero(unserved_min > limit_min))
    lost = sum(1 for at_s in station.lost_s if at_s >= since_s)
    kwh, yuan = dict.fromkeys(PERIODS, 0.0), dict.fromkeys(PERIODS, 0.0)
    ready, waiting, site_kw, counts = (np.zeros(24) for _ in range(4))
    first = scenario.start_at
    clock_hours: dict[int, float] = {}
    for hour in station.hours:
        kwh[hour.period] += hour.import_kwh / days
        yuan[hour.period] += hour.import_kwh * hour.price_yuan_per_kwh / days
        lasts_h = hour.hours
        at = int((first.hour + hour.start_s / 3600) % 24)
        whole = int(hour.start_s // 3600)
        clock_hours[whole] = clock_hours.get(whole, 0.0) + hour.import_kwh
        counts[at] += lasts_h
        site_kw[at] += hour.import_kwh
        ready[at] += hour.ready * lasts_h
        waiting[at] += hour.waiting * lasts_h
    counts[counts == 0] = 1
    charged_kwh = sum(hour.charge_kwh for hour in station.hours)
    import_kwh = sum(hour.import_kwh for hour in station.hours)
    pv_kwh = sum(hour.pv_kwh for hour in station.hours)
    pv_used_kwh = sum(hour.flows.pv_used_kwh for hour in station.hours if hour.flows is not None)
    storage, storage_means = read_storage(list(station.hours), scenario.storage, first.hour, days, PERIODS)
    seconds = station.observed_s
    efficiency = min(spec.charge_efficiency for spec in station.specs.values())
    # Packs go round between rack and trucks, so the wear is shared by all of them.
    rated_kwh = sum(station.specs[kind].rated_kwh * count for kind, count in equipment.packs.items())
    for fleet in scenario.fleets:
        model = scenario.vehicle_model(fleet.model)
        rated_kwh += fleet.vehicles * model.packs_per_vehicle * station.specs[model.pack_kinds[0]].rated_kwh
    means = {
        "swaps_per_day": len(station.waits) / days,
        "lost_per_day": lost / days,
        "mean_waiting_trucks": station.mean_waiting,
        "mean_ready_packs": rack.charged_area / seconds,
        "lane_utilisation": station.lane_utilisation,
        "charger_utilisation": rack.active_area / seconds / equipment.charger_count,
        "pack_utilisation": 1 - rack.charged_area / seconds / equipment.pack_total,
        "transformer_utilisation": import_kwh / (seconds / 3600) / equipment.grid_limit_kw,
        "peak_hour_kw": max(clock_hours.values(), default=0.0),
        "stockout_time_share": station.stockout_share,
        "charged_kwh_per_day": charged_kwh / days,
        "import_kwh_per_day": import_kwh / days,
        "energy_yuan_per_day": sum(yuan.values()),
        "stock_yuan_per_day": _stock_yuan(
            station, import_kwh, days * sum(yuan.values()), efficiency * equipment.charger_efficiency
        )
        / days,
        "pv_used_kwh_per_day": pv_used_kwh / days,
        "pv_self_use_share": pv_used_kwh / pv_kwh if pv_kwh > 0 else 0.0,
        "kwh_per_swap": charged_kwh / max(len(station.waits), 1),
        "cycles_per_pack_year": charged_kwh * efficiency / rated_kwh / days * 365,
    } | storage_means
    return RunResult(
        seed=seed,
        replication=replication,
        days=days,
        waits_min=waits_min.astype(np.float32),
        arrived=int(waits_min.size) + late + lost,
        within=int(np.count_nonzero(waits_min <= limit_min)),
        lost=lost,
        stockouts=station.stockouts,
        means=means,
        kwh_by_period=kwh,
        yuan_by_period=yuan,
        ready_by_hour=ready / counts,
        waiting_by_hour=waiting / counts,
        site_kw_by_hour=site_kw / counts,
        storage=storage,
        unserved_min=unserved_min.astype(np.float32),
        waiting_h_by_cause={
            name: sum_s / 3600 / days for name, sum_s in zip(CAUSES, station.causes.sums_s, strict=True)
        },
        queue_growth_per_day=_queue_growth_per_day(list(station.hours)),
    )


def _queue_growth_per_day(hours: Sequence[HourRecord]) -> float:
    """By how many trucks a day the queue grows: from the shortest of the first day to the shortest of the last.

    Every queue that is served comes down to its shortest once a day, whatever it is at midnight. Of a run shorter than
    two days the halves stand for days.
    """
    if not hours:
        return 0.0
    ends_h = np.asarray([hour.start_s / 3600 + hour.hours for hour in hours])
    waiting = np.asarray([hour.waiting for hour in hours])
    total_h = float(ends_h[-1]) - hours[0].start_s / 3600
    window_h = min(24.0, total_h / 2)
    first = waiting[ends_h <= ends_h[-1] - total_h + window_h]
    last = waiting[ends_h > ends_h[-1] - window_h]
    if not first.size:
        return 0.0
    return float(last.min() - first.min()) / ((total_h - window_h) / 24)


def _stock_yuan(station: Station, import_kwh: float, yuan: float, efficiency: float) -> float:
    """What the energy gained by the packs of the rack is worth at the mean price paid; below zero when they lost some.

    Args:
        efficiency: energy stored ÷ energy imported.

    A rack that begins full and ends half empty has not saved that energy: the next day buys it.
    """
    gained_kwh = (station.stock_kwh() - station.first_kwh) / efficiency
    return gained_kwh * yuan / import_kwh if import_kwh > 0 else 0.0


@dataclass(frozen=True)
class StudyResult:
    """What the replications of one scenario say together."""

    scenario: Scenario
    seed: int
    days: float
    warmup_days: float
    runs: tuple[RunResult, ...]
    confidence: float = 0.95
    notes: tuple[Note, ...] = field(default=())

    def mean(self, name: str) -> Estimate:
        """Estimate of a time average or sum by its name in `RunResult.means`."""
        return estimate([run.means[name] for run in self.runs], self.confidence)

    @property
    def queue_growth_per_day(self) -> Estimate:
        """By how many trucks a day the shortest queue of a day grows."""
        return estimate([run.queue_growth_per_day for run in self.runs], self.confidence)

    @property
    def unstable(self) -> bool:
        """Whether more trucks come than the station can serve: the queue grows as long as they do.

        For certain, by more than one in a hundred of those that come: a queue near its capacity takes weeks to settle.
        No mean and no quantile of the wait exists then; what a run shows depends on its length alone.
        """
        come_per_day = sum(run.arrived for run in self.runs) / (self.days * len(self.runs))
        growth = self.queue_growth_per_day
        return growth.low > 0 and growth.mean > max(0.01 * come_per_day, 0.5)

    def waiting_h_by_cause(self) -> dict[str, Estimate]:
        """Truck-hours of waiting a day by cause."""
        names = self.runs[0].waiting_h_by_cause
        return {n: estimate([run.waiting_h_by_cause[n] for run in self.runs], self.confidence) for n in names}

    def share_by_cause(self) -> dict[str, Estimate]:
        """Share of the waiting by cause; they add up to 1. Not a number where nobody waits."""
        runs = self.runs
        totals = [sum(run.waiting_h_by_cause.values()) for run in runs]
        return {
            name: ratio_estimate([run.waiting_h_by_cause[name] for run in runs], totals, self.confidence)
            for name in runs[0].waiting_h_by_cause
        }

    def _undefined(self) -> Estimate:
        return Estimate(math.nan, math.nan, len(self.runs), self.confidence)

    @property
    def mean_wait_min(self) -> Estimate:
        """Mean wait of the trucks served; not a number where the station is unstable."""
        if self.unstable:
            return self._undefined()
        sums = [float(run.waits_min.sum(dtype=np.float64)) for run in self.runs]
        return ratio_estimate(sums, [float(run.waits_min.size) for run in self.runs], self.confidence)

    def wait_quantile_min(self, p: float) -> Estimate:
        """Quantile of the wait, those who still wait at the end censored; not a number where the station is unstable,
        nobody is served, or so many still wait that it lies beyond all that was seen."""
        runs = self.runs
        if self.unstable or not any(run.waits_min.size for run in runs):
            return self._undefined()
        return quantile_estimate(
            [run.waits_min for run in runs], p, self.confidence, [run.unserved_min for run in runs]
        )

    @property
    def share_within(self) -> Estimate:
        """Share of all trucks served within the promise."""
        return ratio_estimate(
            [float(run.within) for run in self.runs], [float(run.arrived) for run in self.runs], self.confidence
        )

    @property
    def lost_share(self) -> Estimate:
        """Share of the trucks that left without a swap."""
        return ratio_estimate(
            [float(run.lost) for run in self.runs], [float(run.arrived) for run in self.runs], self.confidence
        )

    @property
    def stockout_share(self) -> Estimate:
        """Share of the trucks that found a free lane and no pack."""
        return ratio_estimate(
            [float(run.stockouts) for run in self.runs], [float(run.arrived) for run in self.runs], self.confidence
        )

    def estimates(self) -> dict[str, Estimate]:
        """Every number of the study by name."""
        found = {
            "mean_wait_min": self.mean_wait_min,
            "p50_wait_min": self.wait_quantile_min(0.50),
            "p95_wait_min": self.wait_quantile_min(0.95),
            "p99_wait_min": self.wait_quantile_min(0.99),
            "share_within_promise": self.share_within,
            "lost_share": self.lost_share,
            "stockout_share": self.stockout_share,
        }
        return found | {name: self.mean(name) for name in self.runs[0].means}


@dataclass(frozen=True, slots=True)
class RunTask:
    """One replication to run, picklable."""

    scenario: Scenario
    seed: int
    replication: int
    days: float
    warmup_days: float


def run_task(task: RunTask) -> RunResult:
    """Run one task."""
    return simulate_once(task.scenario, task.seed, task.replication, days=task.days, warmup_days=task.warmup_days)


def find_warmup_days(scenario: Scenario, seed: int, pool: Workers) -> float:
    """Warm-up in whole days by MSER-5 on the waits of three pilot runs, the longest of them."""
    days = max(float(scenario.study.days), 14.0)
    pilots = pool.map(run_task, [RunTask(scenario, seed, 1_000_000 + n, days, 0.0) for n in range(3)])
    return longest_warmup_days((pilot.waits_min for pilot in pilots), days)


def longest_warmup_days(waits_min: Iterable[NDArray[np.float32]], days: float) -> float:
    """Warm-up in whole days by MSER-5: the longest that any of these runs of `days` needs, at most half of them."""
    cuts = (mser5(waits) / waits.size * days for waits in waits_min if waits.size)
    return float(min(max(math.ceil(max(cuts, default=0.0)), 1), math.ceil(days / 2)))


def run_study(
    scenario: Scenario,
    pool: Workers,
    *,
    replications: int | None = None,
    days: float | None = None,
    warmup_days: float | None = None,
    seed: int | None = None,
    half_width: float | None = None,
    max_replications: int = 400,
    on_done: Callable[[int, int], None] | None = None,
) -> StudyResult:
    """Run independent replications; what is not given is the scenario's.

    Args:
        half_width: adds replications until the share within the promise is known to this half-width.

    Raises:
        CannotPlan: the optimiser cannot plan for this scenario.
        ConfigError: its trace can no longer be used.
        CountsDisagree: Little's law does not hold in a replication.
    """
    check_plannable(scenario)
    study = scenario.study
    used_seed = study.seed if seed is None else seed
    length = float(study.days if days is None else days)
    warmup = study.warmup_days if warmup_days is None else warmup_days
    found_here = warmup is None
    if warmup is None:
        warmup = find_warmup_days(scenario, used_seed, pool)
    notes = [warmup_note(warmup, found=found_here)]
    if scenario.demand.mode == "trace":
        notes.append(scenario_trace(scenario).form)
    count = study.replications if replications is None else replications

    def run(first: int, until: int, total: int) -> list[RunResult]:
        tasks = [RunTask(scenario, used_seed, n, length, warmup) for n in range(first, until)]
        return pool.map(run_task, tasks, None if on_done is None else lambda done: on_done(first + done, total))

    runs = run(0, count, count)
    confidence = scenario.promise.confidence
    while half_width is not None and len(runs) < max_replications:
        found = StudyResult(scenario, used_seed, length, warmup, tuple(runs), confidence).share_within
        if found.half_width <= half_width:
            break
        needed = min(max(replications_needed(found, half_width), len(runs) + 1), max_replications)
        runs += run(len(runs), needed, needed)
    if half_width is not None:
        values = {"count": len(runs), "half_width": half_width}
        notes.append(Note(N_("{count} replications for a half-width of {half_width:g}"), values))
    result = StudyResult(scenario, used_seed, length, warmup, tuple(runs), confidence)
    if result.unstable:
        notes.append(unstable_note(result.queue_growth_per_day.mean))
    return replace(result, notes=tuple(notes))
