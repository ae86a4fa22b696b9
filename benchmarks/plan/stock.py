"""What keeps a plan from the bound where nobody knows the trucks, and how trucks fare with a smaller stock.

Whoever does not know the trucks keeps a stock, and pays for it when a price falls: what stands in the rack then was
bought too dear. For each case the learned plan's distance to its bound is set beside what it is made of: what the same
program pays with every truck foreseen; the price of the stock for the promised share of draws, with everything else
foreseen (the bound with any pack to any truck, once as it is, once with that stock standing in the rack at every
instant, as far as it can); and what is left, below 0 where the station does not come to hold that stock. "By change of
price" says at which times of the day the gap arises. For one case the share of draws is lowered, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import numpy as np

from benchmarks.plan.bound import SLOT_H, Floats, Visit, least, least_free
from benchmarks.plan.charging import (
    CASES,
    DAY_S,
    FOLDER,
    KEPT,
    LIVE_MIN,
    KeptRuns,
    Month,
    begun_on,
    digest,
    measured,
    month,
    together,
    warmup_days,
)
from scheduler.optimal.outlook import reach_of
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.study.optimal.planned import Foresight, Habits, StudyPlanner
from sim.study.station import Station

CASE = "shuozhou_open_pit"
"""Furthest from its bound: here smaller stocks are tried."""
LEVELS, QUICK_LEVELS = (0.8, 0.7), (0.7,)
DAYS, SEEDS = 14.0, (1,)
QUICK_DAYS = 1.0
WAYS: dict[str, Foresight] = {"learned": "learned", "foreseen": "own"}


def kept_kwh(scenario: Scenario, level: float, days: float, visits: list[Visit]) -> Floats:
    """The stock of a level at the begin of each slot, above packs as empty as any that came."""
    station = Station(scenario, 1)
    planner = StudyPlanner(scenario, 1, 0, Habits("expected", horizon_h=24 * days, level=level))
    planner.attach(station)
    station.build()
    begin_s = warmup_days(days) * DAY_S
    station.run_until(begin_s - 1.0)
    outlook = planner.outlook(station.start_at + timedelta(seconds=begin_s), begin_s)
    kind = next(iter(station.specs))
    law = outlook.laws(kind, 100.0, scenario.equipment.charger_kw)
    offer_kwh = outlook.policy.offer_soc_pct / 100 * law.capacity_kwh
    emptiest = min(visit.from_kwh for visit in visits)
    found = []
    for slot in range(int(days * 24 / SLOT_H)):
        lacking = np.array(reach_of(outlook, slot * SLOT_H)[kind]) * law.power_kw
        found.append(float(np.maximum(offer_kwh - lacking - emptiest, 0.0).sum()))
    return np.array(found)


def run(quick: bool = False, days: float | None = None) -> dict[str, object]:
    """By case: gaps and service under rule and plans, and what the learned plan's gap is made of.

    Args:
        days: so many of each run.
    """
    days = (QUICK_DAYS if quick else DAYS) if days is None else days
    kept, rows = KeptRuns(KEPT, digest()), dict[str, object]()
    for case in (CASE,) if quick else CASES:
        levels = () if case != CASE else QUICK_LEVELS if quick else LEVELS
        rows |= _Case(case, days, kept).rows(levels)
    return rows


class _Case:
    """One case, with the visits of its packs under the rule."""

    def __init__(self, case: str, days: float, kept: KeptRuns) -> None:
        folder, day = CASES[case]
        self.case, self.days, self.kept = case, days, kept
        self.scenario = begun_on(load_scenario(FOLDER / folder / "scenario.toml"), day)
        ruled = [measured(self.scenario, seed, days, None, warmup_days(days)) for seed in SEEDS]
        self.rule = together([one for one, _, _ in ruled])
        self.visits = [(visits, grid) for _, visits, grid in ruled]
        self.own_yuan = sum(least(visits, grid).yuan for visits, grid in self.visits)

    def planned(self, way: str, habits: Habits) -> Month:
        """The runs of a plan, kept by the same names as those of the benchmark `charging`."""
        runs = []
        for seed in SEEDS:
            name = f"{self.case}, {self.days:g} days, seed {seed}, {way}"
            make = partial(month, self.scenario, seed, self.days, habits, warmup_days(self.days))
            runs.append(self.kept(name, make))
            print(f"{name}: {runs[-1]}", flush=True)
        return together(runs)

    def price_of_stock(self, level: float) -> float:
        """Of the stock of a level, as share of the bound."""
        found = 0.0
        for visits, grid in self.visits:
            stock = kept_kwh(self.scenario, level, self.days, visits)
            found += least_free(visits, grid, stock) - least_free(visits, grid)
        return found / self.own_yuan

    def rows(self, levels: Sequence[float]) -> dict[str, object]:
        """What is said of it; beside the promised level these."""
        rows: dict[str, object] = {}
        plans = {way: self.planned(way, Habits(sight, every_min=LIVE_MIN)) for way, sight in WAYS.items()}
        for way, one in ({"rule": self.rule} | plans).items():
            changes = ", ".join(f"{at} {100 * share:+.2f}" for at, share in one.by_change.items())
            rows[f"{self.case}, {way}"] = f"{one}; {one.late} late"
            rows[f"{self.case}, {way}, by change of price"] = changes
        asked, learned, foreseen = self.scenario.promise.target_share, plans["learned"].gap, plans["foreseen"].gap
        stock = self.price_of_stock(asked)
        rows[f"{self.case}, learned, made of"] = (
            f"{100 * learned:.2f} % = foreseen {100 * foreseen:.2f} + stock at {asked:g} {100 * stock:.2f} "
            f"+ rest {100 * (learned - foreseen - stock):+.2f}"
        )
        for level in levels:
            one = self.planned(f"learned at {level:g}", Habits("learned", every_min=LIVE_MIN, level=level))
            price = 100 * self.price_of_stock(level)
            rows[f"{self.case}, learned at {level:g}"] = f"price of the stock {price:.2f} %; {one}; {one.late} late"
        return rows
