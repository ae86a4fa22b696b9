"""How far charging is from the best possible, and how long planning takes.

Each run of the study is set beside its own bound (`bound.py`): the same packs to the same trucks with the same energy,
and the same energy left; and beside the bound with any pack to any truck. "uncontrolled" charges at full power and
shares short power equally, "deadline" and "laxity" give it to who is wanted first (`deadlines.py`), "rule" holds back
in dear hours, "learned" plans as often as the live station does with what four weeks of record say, "expected" with the
scenario's rates, "hourly" as often as a study does, "foreseen" with the very trucks to come: what a perfect forecast is
worth. Runs of one seed have the same trucks.

Every run that has ended is kept in `var/bench/charging_runs.jsonl`, and not run again as long as neither programs nor
examples have changed: the long form may be stopped at any time, and goes on from there.

`--evcc DIR` puts the case files of the evcc optimizer in a folder to the same program (`evcc.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import monotonic, process_time

import numpy as np

from benchmarks.plan.bound import SLOT_H, Grid, Least, Visit, least, least_free
from benchmarks.plan.deadlines import Deadlines, Order
from benchmarks.plan.evcc import compare
from benchmarks.plan.plan_time import times
from scheduler.optimal.outlook import EVERY
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.study.hours import HourRecord
from sim.study.optimal.planned import Habits, StudyPlanner
from sim.study.rows import StudyPack, StudyTruck
from sim.study.station import Station

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
KEPT = ROOT / "var" / "bench" / "charging_runs.jsonl"
DAY_S = 86_400.0
JANUARY = date(2026, 1, 5)
CASES: Mapping[str, tuple[str, date | None]] = {
    "yangquan_mine": ("yangquan_mine", None),
    "yangquan_mine in January": ("yangquan_mine", JANUARY),
    "zezhou_transfer": ("zezhou_transfer", None),
    "shuozhou_open_pit": ("shuozhou_open_pit", None),
}
"""Scenario and first day; None: its own. Those of Zezhou and Shuozhou begin in January."""
SEEDS, QUICK_SEEDS = 10, 2
DAYS, QUICK_DAYS = 28.0, 2.0


class Visits:
    """Writes down every visit of a pack to the rack of a running study."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.since_s = 0.0
        self.found: list[Visit] = []
        self._open: dict[int, tuple[StudyPack, float, float]] = {}
        station.listeners.append(self._on_truck)
        self._spent: dict[str, list[tuple[StudyPack, float]]] = {}

    def begin(self) -> None:
        """Count from now on."""
        self.since_s = self.station.time.now
        self.found.clear()
        on_the_way = {key: visit for key, visit in self._open.items() if visit[1] > self.since_s}
        self._open = {
            id(bay.content): (bay.content, self.since_s, bay.content.energy_kwh)
            for bay in self.station.rack.bays
            if bay.content is not None
        } | on_the_way

    def _on_truck(self, at_s: float, event: str, truck: StudyTruck) -> None:
        if event == "dispatched":
            for bay in truck.given:
                if bay.content is not None:
                    self._close(bay.content, at_s, bay.content.energy_kwh)
            for share, seat in truck.stores:
                pack = truck.spent[seat - 1]
                self._open[id(pack)] = (pack, at_s + share * truck.swap_s, pack.energy_kwh)

    def _close(self, pack: StudyPack, at_s: float, energy_kwh: float) -> None:
        opened = self._open.pop(id(pack), None)
        if opened is None:
            return
        _, from_s, from_kwh = opened
        self.found.append(
            Visit(
                max(from_s - self.since_s, 0.0) / 3600,
                (max(at_s, from_s) - self.since_s) / 3600,
                from_kwh,
                max(energy_kwh, from_kwh),
                pack.curve,
                self.station.rack.charger_kw,
            )
        )

    def end(self) -> list[Visit]:
        """Close the visits that go on."""
        now_s = self.station.time.now
        self.station.rack.settle_all()
        for pack, _, _ in list(self._open.values()):
            self._close(pack, now_s, pack.energy_kwh)
        return self.found


@dataclass(frozen=True, slots=True)
class Month:
    """One run, or several of one case together."""

    cost_yuan: float
    bound_yuan: float
    handed_kwh: float
    swaps: int
    within: float
    """Share of the trucks served within the promise."""
    run_s: float
    """Processor time."""
    plans: int
    failed: int
    """Plans thrown away."""
    by_period: Mapping[str, float] = field(default_factory=dict)
    """Of the gap what was paid more in the hours of each price period; below 0 where less was."""
    free_yuan: float = 0.0
    """The bound with any pack to any truck."""
    wait_min: float = 0.0
    """Mean wait of a truck."""
    by_change: Mapping[str, float] = field(default_factory=dict)
    """Of the gap what was paid for energy that was held, above what the bound holds, when the price changed at each
    time of the day; below 0 where it rose."""

    @property
    def price_yuan_per_kwh(self) -> float:
        """Paid for each kWh handed out."""
        return self.cost_yuan / self.handed_kwh

    @property
    def late(self) -> int:
        """Trucks that waited longer than promised."""
        return round((1.0 - self.within) * self.swaps)

    @property
    def gap(self) -> float:
        """Share above the bound."""
        return self.cost_yuan / self.bound_yuan - 1.0

    def __str__(self) -> str:
        """All of it in a line."""
        parts = ", ".join(f"{name} {100 * share:+.1f}" for name, share in self.by_period.items())
        free = f", {100 * (self.cost_yuan / self.free_yuan - 1):.2f} % above the free one" if self.free_yuan else ""
        return (
            f"{100 * self.gap:.2f} % above the bound ({parts}){free}; {self.cost_yuan:,.0f} yuan, "
            f"{self.handed_kwh:,.0f} kWh handed out ({self.price_yuan_per_kwh:.4f} yuan/kWh), {self.swaps} swaps, "
            f"{100 * self.within:.1f} % within the promise, mean wait {self.wait_min:.2f} min; "
            f"{self.plans} plans ({self.failed} failed), {self.run_s:.0f} s"
        )


def together(runs: Sequence[Month]) -> Month:
    """Runs of one case as if they were one; parts of the gap by their bounds."""
    swaps, bound = sum(run.swaps for run in runs), sum(run.bound_yuan for run in runs)

    def parts(of: Callable[[Month], Mapping[str, float]]) -> dict[str, float]:
        names = sorted({name for run in runs for name in of(run)})
        return {name: sum(of(run).get(name, 0.0) * run.bound_yuan for run in runs) / bound for name in names}

    return Month(
        sum(run.cost_yuan for run in runs),
        bound,
        sum(run.handed_kwh for run in runs),
        swaps,
        sum(run.within * run.swaps for run in runs) / max(swaps, 1),
        sum(run.run_s for run in runs),
        sum(run.plans for run in runs),
        sum(run.failed for run in runs),
        parts(lambda run: run.by_period),
        sum(run.free_yuan for run in runs),
        sum(run.wait_min * run.swaps for run in runs) / max(swaps, 1),
        parts(lambda run: run.by_change),
    )


FORESEEN_GAP = 0.01
"""What a perfect forecast may cost above the bound."""
HOURLY_GAP = 0.005
"""What planning by the hour, as a study does, may cost above planning as often as the live station."""
LIVE_MIN = EVERY.total_seconds() / 60
RULE_GAP = 0.03
"""Where the price rule is further than this above the bound, a forecast of trucks is to close half of it."""
PLANNED = ("expected", "learned", "foreseen")


def broken(ways: Mapping[str, Month]) -> list[str]:
    """What is asked of one case and does not hold, in words."""
    found = [f"{way}: below the bound by {-run.gap:.2e}" for way, run in ways.items() if run.gap < -1e-6]
    found += [f"{way}: {run.failed} plans failed" for way, run in ways.items() if run.failed]
    rule, foreseen = ways["rule"], ways["foreseen"]
    if foreseen.gap > FORESEEN_GAP:
        found.append(f"foreseen: {foreseen.gap:.2%} above the bound, asked {FORESEEN_GAP:.0%}")
    most = rule.gap / 2 if rule.gap > RULE_GAP else rule.gap
    for way in ("expected", "learned"):
        if way in ways and ways[way].gap > most:
            found.append(f"{way}: {ways[way].gap:.2%} above the bound, asked {most:.2%} by the rule's {rule.gap:.2%}")
    if "hourly" in ways and "expected" in ways:
        apart = ways["hourly"].gap - ways["expected"].gap
        if abs(apart) > HOURLY_GAP:
            found.append(f"hourly: {apart:+.2%} of the bound from expected, asked {HOURLY_GAP:.1%}")
    for way in PLANNED:
        if way in ways and ways[way].within < rule.within - 1 / max(rule.swaps, 1):
            found.append(f"{way}: {ways[way].within:.1%} within the promise, {rule.within:.1%} under the rule")
    return found


def warmup_days(days: float) -> float:
    """Days before those that are counted."""
    return min(days / 8, 1.0)


Attached = StudyPlanner | Deadlines
"""Who charges, if it is not the rule."""


def month(
    scenario: Scenario,
    seed: int,
    days: float,
    habits: Habits | None,
    warmup_days: float = 1.0,
    planner: Attached | None = None,
) -> Month:
    """Run, and set it beside its bound."""
    return measured(scenario, seed, days, habits, warmup_days, planner)[0]


def measured(
    scenario: Scenario,
    seed: int,
    days: float,
    habits: Habits | None,
    warmup_days: float = 1.0,
    planner: Attached | None = None,
) -> tuple[Month, list[Visit], Grid]:
    """The same, with what the bound was made from."""
    station = Station(scenario, seed)
    if habits is not None:
        planner = StudyPlanner(scenario, seed, 0, habits)
    if planner is not None:
        planner.attach(station)
    begun = process_time()
    station.build()
    visits = Visits(station)
    station.run_until(warmup_days * DAY_S)
    station.reset()
    visits.begin()
    station.run_until((warmup_days + days) * DAY_S)
    station.close()
    took_s = process_time() - begun
    slots = int(days * 24 / SLOT_H)
    at_s = warmup_days * DAY_S + np.arange(slots) * SLOT_H * 3600
    worlds = [station.world.at(float(s)) for s in at_s]
    grid = Grid(
        np.array([w.tariff.price_yuan_per_kwh for w in worlds]),
        np.array([w.limits.base_load_kw for w in worlds]),
        np.array([w.limits.import_limit_kw for w in worlds]),
        scenario.equipment.charger_efficiency,
        scenario.equipment.charger_count * scenario.equipment.charger_kw,
    )
    cost = sum(hour.import_kwh * hour.price_yuan_per_kwh for hour in station.hours)
    found = visits.end()
    bound = least(found, grid)
    apart = dict.fromkeys(sorted({world.tariff.period for world in worlds}), 0.0)
    for hour in station.hours:
        apart[hour.period] += hour.import_kwh * hour.price_yuan_per_kwh / bound.yuan
    for world, import_kw, price in zip(worlds, bound.import_kw, grid.price_yuan_per_kwh, strict=True):
        apart[world.tariff.period] -= float(import_kw * SLOT_H * price) / bound.yuan
    clock = [world.at.astimezone(scenario.zone).strftime("%H:%M") for world in worlds]
    by_change = held_at_changes(station.hours, warmup_days * DAY_S, grid, bound, clock)
    limit_s = scenario.promise.wait_limit_min * 60
    waits = station.waits
    found_month = Month(
        cost,
        bound.yuan,
        station.handed_kwh,
        len(waits),
        sum(w <= limit_s for w in waits) / max(len(waits), 1),
        took_s,
        0 if planner is None else planner.plans,
        0 if planner is None else planner.failed,
        apart,
        least_free(found, grid),
        sum(waits) / 60 / max(len(waits), 1),
        by_change,
    )
    return found_month, found, grid


def held_at_changes(
    hours: Iterable[HourRecord], from_s: float, grid: Grid, bound: Least, clock: Sequence[str]
) -> dict[str, float]:
    """The gap to a bound by what makes it: energy that was imported before a price changed and by the bound only after.

    Money is price × import, so the gap is the sum over all changes of the price of what the run had imported more than
    the bound until then × the fall of the price; what is more at the end counts at the last price ("end").

    Args:
        from_s: begin of the count.
        clock: time of the day at the begin of each slot; changes at the same one are added up.
    """
    edges_s = from_s + 3600 * SLOT_H * np.arange(len(clock) + 1)
    records = list(hours)
    at_s = np.array([records[0].start_s, *(one.start_s + 3600 * one.hours for one in records)])
    imported_kwh = np.interp(edges_s, at_s, np.concatenate([[0.0], np.cumsum([one.import_kwh for one in records])]))
    ahead_kwh = imported_kwh - np.concatenate([[0.0], np.cumsum(bound.import_kw * SLOT_H)])
    price, found = grid.price_yuan_per_kwh, dict[str, float]()
    for slot in map(int, np.flatnonzero(np.diff(price)) + 1):
        share = float(ahead_kwh[slot] * (price[slot - 1] - price[slot])) / bound.yuan
        found[clock[slot]] = found.get(clock[slot], 0.0) + share
    return dict(sorted(found.items())) | {"end": float(ahead_kwh[-1] * price[-1]) / bound.yuan}


# -- all of it, in pieces

Run = Callable[[int, float, float], Month]
"""By seed, days counted and days before them."""


def ways_of(scenario: Scenario, quick: bool) -> dict[str, Run]:
    """The policies that are set beside each other."""
    section = scenario.charging

    def charging(**changed: object) -> Scenario:
        return scenario.model_copy(update={"charging": section.model_copy(update=changed)})

    equal, plain = charging(tariff_aware=False, sharing="equal"), charging(tariff_aware=False)

    def ruled(asked: Scenario) -> Run:
        return lambda seed, days, before: month(asked, seed, days, None, before)

    def by_deadline(order: Order) -> Run:
        return lambda seed, days, before: month(plain, seed, days, None, before, Deadlines(plain, order))

    def planned(habits: Habits) -> Run:
        return lambda seed, days, before: month(scenario, seed, days, habits, before)

    ways = {
        "uncontrolled": ruled(equal),
        "deadline": by_deadline("deadline"),
        "laxity": by_deadline("laxity"),
        "rule": ruled(scenario),
        "learned": planned(Habits("learned", every_min=LIVE_MIN)),
        "foreseen": planned(Habits("own", every_min=LIVE_MIN)),
    }
    if not quick:
        ways |= {"expected": planned(Habits("expected", every_min=LIVE_MIN)), "hourly": planned(Habits("expected"))}
    return ways


def begun_on(scenario: Scenario, day: date | None) -> Scenario:
    """The scenario from another day on."""
    if day is None:
        return scenario
    return scenario.model_copy(update={"study": scenario.study.model_copy(update={"start_on": day})})


def digest() -> str:
    """Of all that a run stands on: a run made by other programs or inputs is no result any more."""
    found = sha256()
    for room in ("battery_bms", "scheduler", "sim", "benchmarks", "examples"):
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".py", ".toml", ".csv"):
                found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


class KeptRuns:
    """Runs that have ended, line by line in a file."""

    def __init__(self, path: Path, made_by: str) -> None:
        self._path, self._made_by = path, made_by
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("}")]
        self._runs = {record["run"]: Month(**record["month"]) for record in records if record["by"] == made_by}

    def __call__(self, name: str, make: Callable[[], Month]) -> Month:
        """The run of a name, made if it is not there."""
        if name not in self._runs:
            self._runs[name] = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                record = {"by": self._made_by, "run": name, "month": asdict(self._runs[name])}
                file.write(json.dumps(record) + "\n")
        return self._runs[name]

    def has(self, name: str) -> bool:
        """Whether it has ended."""
        return name in self._runs


def run(
    quick: bool = False,
    evcc: Path | None = None,
    minutes: float | None = None,
    days: float | None = None,
    seeds: int | None = None,
) -> dict[str, object]:
    """Gaps to the bound by case and policy; times; `agree` is False where something asked for fails.

    Args:
        quick: without the plans of the scenario's rates; two days of two seeds, if not so many are asked for.
        days, seeds: so many instead; what is asked is judged of these then, which says less.
        minutes: no run begins after so many; what has ended is kept, and what is asked is judged of cases with all
            their runs alone.
    """
    rows: dict[str, object] = {}
    agree, begun, kept = True, monotonic(), KeptRuns(KEPT, digest())
    days = (QUICK_DAYS if quick else DAYS) if days is None else days
    before, numbers = warmup_days(days), range(1, 1 + (seeds or (QUICK_SEEDS if quick else SEEDS)))
    left = 0
    for case, (folder, day) in CASES.items():
        scenario = begun_on(load_scenario(FOLDER / folder / "scenario.toml"), day)
        ways = ways_of(scenario, quick)
        found: dict[str, list[Month]] = {way: [] for way in ways}
        for seed in numbers:
            for way, make in ways.items():
                name = f"{case}, {days:g} days, seed {seed}, {way}"
                if not kept.has(name) and minutes is not None and monotonic() - begun > 60 * minutes:
                    left += 1
                    continue
                found[way].append(kept(name, partial(make, seed, days, before)))
                print(f"{name}: {found[way][-1]}", flush=True)
        all_of_it = {way: together(runs) for way, runs in found.items() if len(runs) == len(numbers)}
        for way, run_of in all_of_it.items():
            rows[f"{case}, {way}"] = str(run_of)
        if len(all_of_it) == len(ways):
            misses = broken(all_of_it)
            agree &= not misses
            rows[f"{case}, broken"] = "; ".join(misses) or "nothing"
            rows |= {f"{case}, {way} saves": share for way, share in saved(all_of_it).items()}
    if left:
        rows["runs left for another time"] = left
    took = times(5 if quick else 25)
    agree &= all(float(str(value)) <= 3.0 for key, value in took.items() if key.endswith("plan_to_bare"))
    rows |= took
    if evcc is not None:
        cases = compare(evcc)
        agree &= cases.pop("agree") is True
        rows |= cases
    return rows | {"agree": agree and not left}


def saved(ways: Mapping[str, Month]) -> dict[str, str]:
    """How much of what foresight saves on each kWh handed out each forecast saves."""
    rule, foreseen = ways["rule"].price_yuan_per_kwh, ways["foreseen"].price_yuan_per_kwh
    return {
        way: f"{(rule - ways[way].price_yuan_per_kwh) / (rule - foreseen):.0%} of what foresight saves"
        for way in ("expected", "learned")
        if way in ways and rule > foreseen
    }
