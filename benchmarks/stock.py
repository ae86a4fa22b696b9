"""What it costs to keep packs near ready for trucks that may come, and how trucks fare with a smaller stock.

Whoever does not know the trucks keeps a stock, and pays for it in the hours before a price falls. Its price is reckoned
with everything else foreseen: the bound with any pack to any truck, once as it is, once with the stock that the plan
keeps for a share of draws (`level`) standing in the rack at every instant. No plan that keeps this stock comes nearer
to the bound, whatever else it knows. Beside it stands what the plan with that level has cost, and how its trucks fared.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import numpy as np

from benchmarks.bound import SLOT_H, Floats, Visit, least, least_free
from benchmarks.charging import DAY_S, FOLDER, KEPT, LIVE_MIN, KeptRuns, digest, measured, month, together
from scheduler.optimal.outlook import reach_of
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.study.optimal.planned import Habits, StudyPlanner
from sim.study.station import Station

CASE = "shuozhou_open_pit"
LEVELS, QUICK_LEVELS = (0.95, 0.8, 0.7), (0.95, 0.7)
DAYS, SEEDS = 14.0, (1,)
QUICK_DAYS, QUICK_SEEDS = 1.0, (1,)


def kept_kwh(scenario: Scenario, level: float, days: float, visits: list[Visit]) -> Floats:
    """The stock of a level at the begin of each slot, above packs as empty as any that came."""
    station = Station(scenario, 1)
    planner = StudyPlanner(scenario, 1, 0, Habits("expected", horizon_h=24 * days, level=level))
    planner.attach(station)
    station.build()
    station.run_until(DAY_S - 1.0)
    outlook = planner.outlook(station.start_at + timedelta(days=1), DAY_S)
    kind = next(iter(station.specs))
    law = outlook.laws(kind, 100.0, scenario.equipment.charger_kw)
    offer_kwh = outlook.policy.offer_soc_pct / 100 * law.capacity_kwh
    emptiest = min(visit.from_kwh for visit in visits)
    found = []
    for slot in range(int(days * 24 / SLOT_H)):
        lacking = np.array(reach_of(outlook, slot * SLOT_H)[kind]) * law.power_kw
        found.append(float(np.maximum(offer_kwh - lacking - emptiest, 0.0).sum()))
    return np.array(found)


def run(quick: bool = False) -> dict[str, object]:
    """By level: price of the stock, and gap and service of the plan that keeps it; the rule beside them."""
    rows: dict[str, object] = {}
    scenario = load_scenario(FOLDER / CASE / "scenario.toml")
    days, seeds, levels = (QUICK_DAYS, QUICK_SEEDS, QUICK_LEVELS) if quick else (DAYS, SEEDS, LEVELS)
    kept = KeptRuns(KEPT, digest())
    ruled = [measured(scenario, seed, days, None) for seed in seeds]
    rows["rule"] = str(together([one for one, _, _ in ruled]))
    own = sum(least(visits, grid).yuan for _, visits, grid in ruled)
    free = sum(least_free(visits, grid) for _, visits, grid in ruled)
    for level in levels:
        stock = sum(least_free(visits, grid, kept_kwh(scenario, level, days, visits)) for _, visits, grid in ruled)
        rows[f"level {level:g}, price of the stock"] = f"{100 * (stock - free) / own:.2f} % of the bound"
        runs = []
        for seed in seeds:
            habits = Habits("expected", every_min=LIVE_MIN, level=level)
            name = f"{CASE}, {days:g} days, seed {seed}, level {level:g}"
            runs.append(kept(name, partial(month, scenario, seed, days, habits)))
            print(f"{name}: {runs[-1]}", flush=True)
        rows[f"level {level:g}, plan"] = str(together(runs))
    return rows
