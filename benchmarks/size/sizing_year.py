"""Whether the weeks that stand for a year say what 365 consecutive days say.

For each example a station that keeps up with its trucks is simulated twice: in the weighted weeks of `swap size`, and
in every day from January to December on end, both with the same number of replications and with seeds of their own.
They agree when the yearly cost differs by 1 % at most and the difference of the shares within the promise lies inside
the interval of that difference. Beside the cost stands how far it would be off as drawn, without what is known of the
mean number of trucks. All examples draw the same trucks with one seed, so what chance does to one it does to all.
`--quick` takes the four weeks of `swap size --quick`, whose error it tells without judging it.
"""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.sizing.search import Effort, Search
from sim.sizing.trial import Trial
from sim.sizing.year import YearSpan, weeks_of
from sim.study.design import Design
from sim.study.parallel import Workers, workers

FOLDER = Path(__file__).parents[2] / "examples"
STATIONS = {
    "yangquan_mine/scenario": Design(40, 8, 2500, 2),
    "shuozhou_open_pit/scenario": Design(24, 9, 5000, 2),
    "zezhou_transfer/scenario": Design(14, 8, 1600, 2),
    "zezhou_transfer/storage": Design(14, 8, 1600, 2, 430),
    "trunk_road/scenario": Design(10, 10, 3150, 2),
    "mobile_swap/scenario": Design(24, 10, 1600, 3),
}
REPLICATIONS = 8
COST_OFF = 0.01
"""Share by which the yearly costs may differ."""


def _year(
    scenario: Scenario, design: Design, spans: tuple[YearSpan, ...], count: int, seed: int, pool: Workers
) -> Trial:
    search = Search(scenario, pool, Effort(7.0, spans=spans), seed)
    trial = search.new_trial(design)
    search.extend(trial, count)
    return trial


def run(quick: bool = False) -> dict[str, object]:
    """Cost and share by weeks and by days; `agree` is False where one example differs."""
    results: dict[str, object] = {}
    agree = True
    with workers() as pool:
        for name, design in STATIONS.items():
            scenario = load_scenario(FOLDER / f"{name}.toml")
            start_on = date(scenario.study.start_on.year - 1, 12, 31)
            on_end = (YearSpan(start_on, 1.0, 365.0),)
            weeks = _year(scenario, design, weeks_of(scenario, few=quick), REPLICATIONS, 1, pool)
            days = _year(scenario, design, on_end, REPLICATIONS, 2, pool)
            off = weeks.cost.mean / days.cost.mean - 1
            share_off = weeks.share.mean - days.share.mean
            within = math.hypot(weeks.share.half_width, days.share.half_width)
            same = abs(off) <= COST_OFF and abs(share_off) <= within
            agree = agree and (quick or same)
            rows = {
                "weeks": len(weeks.spans),
                "weeks_yuan_per_year": f"{weeks.cost.mean:,.0f} ± {weeks.cost.half_width:,.0f}",
                "days_yuan_per_year": f"{days.cost.mean:,.0f} ± {days.cost.half_width:,.0f}",
                "cost_off_pct": 100 * off,
                "cost_off_as_drawn_pct": 100 * (weeks.drawn_yuan / days.drawn_yuan - 1),
                "weeks_share_pct": f"{100 * weeks.share.mean:.2f} ± {100 * weeks.share.half_width:.2f}",
                "days_share_pct": f"{100 * days.share.mean:.2f} ± {100 * days.share.half_width:.2f}",
                "share_off_pct": f"{100 * share_off:+.2f}, allowed {100 * within:.2f}",
                "agree": "yes" if same else "NO",
            }
            print(*(f"{name} {key}: {value}" for key, value in rows.items()), sep="\n", flush=True)
            results |= {f"{name}_{key}": value for key, value in rows.items()}
    return results | {"agree": agree}
