"""How far charging is from the best possible, and how long planning takes.

Each run of the study is set beside its own bound (`bound.py`): the same packs to the same trucks with the same energy,
and the same energy left. "uncontrolled" charges at full power, "rule" holds back in dear hours, "expected" plans with
the scenario's rates of trucks as often as the live station does, "learned" with what four weeks of record say, "hourly"
as often as a study does, "foreseen" with the very trucks to come: what a perfect forecast is worth.

`--evcc DIR` puts the case files of the evcc optimizer in a folder to the same program (`evcc.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import process_time

import highspy
import numpy as np

from battery_bms.pack import PackSpec, curve_of
from battery_bms.pack.ahead import ChargeAhead
from benchmarks.bound import SLOT_H, Grid, Visit, least
from benchmarks.evcc import compare
from scheduler.optimal.check import check
from scheduler.optimal.matrix import Matrix
from scheduler.optimal.outlook import EVERY
from scheduler.optimal.problem import ChargeProblem, Site
from scheduler.optimal.slots import lengths_h, slot_starts
from scheduler.optimal.solve import solve
from scheduler.optimal.stock import PackAhead, TruckAhead, Worth, visits_of
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.study.optimal.planned import Habits, StudyPlanner
from sim.study.rows import StudyPack, StudyTruck
from sim.study.station import Station

FOLDER = Path(__file__).parents[1] / "examples"
DAY_S = 86_400.0
STATIONS = ("yangquan_mine", "shuozhou_open_pit")
SEEDS = (1, 2, 3)
DAYS, QUICK_DAYS = 28.0, 2.0
BAYS = (8, 16, 40)


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
        self._open = {
            id(bay.content): (bay.content, self.since_s, bay.content.energy_kwh)
            for bay in self.station.rack.bays
            if bay.content is not None
        }

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
    """One run."""

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

    @property
    def price_yuan_per_kwh(self) -> float:
        """Paid for each kWh handed out."""
        return self.cost_yuan / self.handed_kwh

    @property
    def gap(self) -> float:
        """Share above the bound."""
        return self.cost_yuan / self.bound_yuan - 1.0

    def __str__(self) -> str:
        """All of it in a line."""
        handed = f"{self.handed_kwh:,.0f} kWh handed out"
        parts = ", ".join(f"{name} {100 * share:+.1f}" for name, share in self.by_period.items())
        return (
            f"{100 * self.gap:.2f} % above the bound ({parts}); {self.cost_yuan:,.0f} yuan, {handed} "
            f"({self.price_yuan_per_kwh:.4f} yuan/kWh), {self.swaps} swaps, "
            f"{100 * self.within:.1f} % within the promise; "
            f"{self.plans} plans ({self.failed} failed), {self.run_s:.0f} s"
        )


FORESEEN_GAP = 0.01
"""What a perfect forecast may cost above the bound."""
HOURLY_GAP = 0.005
"""What planning by the hour, as a study does, may cost above planning as often as the live station."""
LIVE_MIN = EVERY.total_seconds() / 60
RULE_GAP = 0.03
"""Where the price rule is further than this above the bound, the expected forecast is to close half of it."""


def broken(ways: Mapping[str, Month]) -> list[str]:
    """What is asked of one station and seed and does not hold, in words."""
    found = [f"{way}: below the bound by {-run.gap:.2e}" for way, run in ways.items() if run.gap < -1e-6]
    found += [f"{way}: {run.failed} plans failed" for way, run in ways.items() if run.failed]
    rule, expected, foreseen = ways["rule"], ways["expected"], ways["foreseen"]
    if foreseen.gap > FORESEEN_GAP:
        found.append(f"foreseen: {foreseen.gap:.2%} above the bound, asked {FORESEEN_GAP:.0%}")
    most = rule.gap / 2 if rule.gap > RULE_GAP else rule.gap
    for way in ("expected", "learned"):
        if ways[way].gap > most:
            found.append(f"{way}: {ways[way].gap:.2%} above the bound, asked {most:.2%} by the rule's {rule.gap:.2%}")
    apart = ways["hourly"].gap - expected.gap
    if abs(apart) > HOURLY_GAP:
        found.append(f"hourly: {apart:+.2%} of the bound from expected, asked {HOURLY_GAP:.1%}")
    for way, run in (("expected", expected), ("learned", ways["learned"]), ("foreseen", foreseen)):
        if run.within < rule.within - 1 / max(rule.swaps, 1):
            found.append(f"{way}: {run.within:.1%} within the promise, {rule.within:.1%} under the rule")
    return found


def month(scenario: Scenario, seed: int, days: float, habits: Habits | None, warmup_days: float = 1.0) -> Month:
    """Run, and set it beside its bound."""
    station = Station(scenario, seed)
    planner = None if habits is None else StudyPlanner(scenario, seed, 0, habits)
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
    bound = least(visits.end(), grid)
    apart = dict.fromkeys(sorted({world.tariff.period for world in worlds}), 0.0)
    for hour in station.hours:
        apart[hour.period] += hour.import_kwh * hour.price_yuan_per_kwh / bound.yuan
    for world, import_kw, price in zip(worlds, bound.import_kw, grid.price_yuan_per_kwh, strict=True):
        apart[world.tariff.period] -= float(import_kw * SLOT_H * price) / bound.yuan
    limit_s = scenario.promise.wait_limit_min * 60
    waits = station.waits
    return Month(
        cost,
        bound.yuan,
        station.handed_kwh,
        len(waits),
        sum(w <= limit_s for w in waits) / max(len(waits), 1),
        took_s,
        0 if planner is None else planner.plans,
        0 if planner is None else planner.failed,
        apart,
    )


# -- how long planning takes


def day(bays: int, seed: int) -> ChargeProblem:
    """A day of a station with so many bays, as full as it may be: seven eighths of a swap an hour for each bay."""
    draw = np.random.default_rng(seed)
    law = ChargeAhead(curve_of(PackSpec(282.0, 240.0), 100.0), 240.0)

    def pack(name: str, kwh: float, from_h: float) -> PackAhead:
        return PackAhead(name, "lfp", kwh, 253.8, 267.9, 240.0, 0.96, law, from_h)

    begin_at = datetime(2026, 6, 1, tzinfo=UTC)
    starts = slot_starts(begin_at, 24.0)
    hours = lengths_h(starts)
    hour = np.array([at.hour for at in starts[:-1]])
    price = np.where((hour >= 9) | (hour < 1), 0.78, 0.34)
    come_h = np.sort(draw.uniform(0.0, 24.0, int(bays * 21)))
    packs = [pack(f"A{n}", float(kwh), 0.0) for n, kwh in enumerate(draw.uniform(60.0, 267.0, bays))]
    trucks = [
        TruckAhead(f"T{n}", float(at_h), ("lfp",), (pack(f"P{n}", float(kwh), float(at_h) + 0.08),))
        for n, (at_h, kwh) in enumerate(zip(come_h, draw.uniform(40.0, 120.0, len(come_h)), strict=True))
    ]
    visits = visits_of(packs, trucks, 24.0, Worth(0.6, 0.95, 5.0))
    count = len(hours)
    site = Site(price, np.full(count, 30.0), np.zeros(count), np.full(count, bays * 160.0))
    return ChargeProblem(begin_at, hours, site, visits.stores)


def bare_s(matrix: Matrix) -> float:
    """Time for the solver alone on the arrays of a plan: pass, solve, read."""
    begun = process_time()
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = matrix.columns, matrix.rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = matrix.cost, matrix.lower, matrix.upper
    lp.row_lower_, lp.row_upper_ = matrix.row_lower, matrix.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.starts, matrix.index, matrix.value
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("parallel", "off")
    solver.passModel(lp)
    solver.run()
    np.array(solver.getSolution().col_value)
    return process_time() - begun


def times(rounds: int) -> dict[str, object]:
    """Median times of whole plans and of bare solves of the same arrays, taken in turn."""
    rows: dict[str, object] = {}
    for bays in BAYS:
        whole, bare, sizes = [], [], (0, 0)
        for seed in range(rounds):
            problem = day(bays, seed)
            begun = process_time()
            answer = solve(problem)
            verdict = check(problem, answer)
            whole.append(process_time() - begun)
            if not verdict.good:
                raise AssertionError(f"{bays} bays, seed {seed}: {'; '.join(verdict.broken)}")
            bare.append(bare_s(answer.matrix))
            sizes = (answer.matrix.columns, answer.matrix.rows)
        rows[f"bays_{bays}_columns_rows"] = f"{sizes[0]} x {sizes[1]}"
        rows[f"bays_{bays}_plan_ms"] = 1000 * median(whole)
        rows[f"bays_{bays}_bare_solve_ms"] = 1000 * median(bare)
        rows[f"bays_{bays}_plan_to_bare"] = median(a / b for a, b in zip(whole, bare, strict=True))
    return rows


def run(quick: bool = False, evcc: Path | None = None) -> dict[str, object]:
    """Gaps to the bound by station, seed and planner; times; `agree` is False where something asked for fails."""
    rows: dict[str, object] = {}
    agree = True
    days, seeds = (QUICK_DAYS, SEEDS[:1]) if quick else (DAYS, SEEDS)
    for name in STATIONS:
        scenario = load_scenario(FOLDER / name / "scenario.toml")
        plain = scenario.model_copy(update={"charging": scenario.charging.model_copy(update={"tariff_aware": False})})
        ways = {
            "uncontrolled": (plain, None),
            "rule": (scenario, None),
            "hourly": (scenario, Habits("expected")),
            "expected": (scenario, Habits("expected", every_min=LIVE_MIN)),
            "learned": (scenario, Habits("learned", every_min=LIVE_MIN)),
            "foreseen": (scenario, Habits("own", every_min=LIVE_MIN)),
        }
        for seed in seeds:
            runs = {}
            for way, (asked, habits) in ways.items():
                found = runs[way] = month(asked, seed, days, habits)
                rows[f"{name}_seed_{seed}_{way}"] = str(found)
                print(f"{name}, seed {seed}, {way}: {found}", flush=True)
            saved = runs["rule"].price_yuan_per_kwh - runs["foreseen"].price_yuan_per_kwh
            for way in ("expected", "learned"):
                share = (runs["rule"].price_yuan_per_kwh - runs[way].price_yuan_per_kwh) / saved
                said = f"{share:.0%} of what foresight saves on each kWh handed out"
                rows[f"{name}_seed_{seed}_{way}_saves"] = said
                print(f"{name}, seed {seed}, {way}: {said}", flush=True)
            misses = broken(runs)
            agree &= not misses
            rows[f"{name}_seed_{seed}_broken"] = "; ".join(misses) or "nothing"
    took = times(5 if quick else 25)
    agree &= all(float(str(value)) <= 3.0 for key, value in took.items() if key.endswith("plan_to_bare"))
    rows |= took
    if evcc is not None:
        cases = compare(evcc)
        agree &= cases.pop("agree") is True
        rows |= cases
    return rows | {"agree": agree}
