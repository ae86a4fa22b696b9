"""Whether what `swap size --write` writes serves what was promised, for every example: size, write, simulate.

`swap size` is run, its answer written into a folder, and that scenario simulated as `swap simulate` does: the hardest
week, with other seeds, five times, because one simulation in twenty misses by its interval's own odds. The two agree
when the share within the promise that was told of that week and the one found by all five differ by no more than their
intervals together, and the latter's reaches the target; how many of the five agree one by one stands beside. An example
for which no design keeps the promise for certain is told and judged by nothing. `--quick` sizes as `swap size --quick`
does, by four weeks of the year. Beside each stands how long the search took on this machine's processes: `--compiled`
says how long one waits for an answer.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from sim.scenario.load import load_scenario
from sim.sizing.answer import Sizing, find_size
from sim.sizing.search import effort_for
from sim.sizing.trial import share_of
from sim.sizing.written import write_sized
from sim.study.parallel import Workers, workers
from sim.study.stats import Estimate
from sim.study.study import run_study

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = (
    "yangquan_mine/scenario",
    "shuozhou_open_pit/scenario",
    "zezhou_transfer/scenario",
    "zezhou_transfer/storage",
    "trunk_road/scenario",
    "mobile_swap/scenario",
)
SIMULATIONS = 5


def run(quick: bool = False) -> dict[str, object]:
    """Share promised and share simulated, for each example; `agree` is False where one differs."""
    results: dict[str, object] = {}
    agree = True
    with workers() as pool, tempfile.TemporaryDirectory() as name:
        results["processes"] = pool.processes
        for number, example in enumerate(EXAMPLES):
            source = FOLDER / f"{example}.toml"
            read = load_scenario(source)
            begun_s = perf_counter()
            found = find_size(read, pool, effort_for(read, None, quick=quick), sensitivity=False)
            rows: dict[str, object] = {
                "search_took_s": perf_counter() - begun_s,
                "search_station_days": found.days_simulated,
                "grid": f"{found.grid} designs, {found.screened} struck out by bounds, {len(found.trials)} simulated",
            }
            if found.answer is None:
                rows["answer"] = "none keeps the promise for certain"
            else:
                # Examples with the same seeds would draw the same trucks, and miss together.
                seeds = range(1000 + SIMULATIONS * number, 1000 + SIMULATIONS * (number + 1))
                rows |= _again(source, found, Path(name) / example, pool, seeds)
                agree = agree and rows["agree"] == "yes"
            print(*(f"{example} {key}: {value}" for key, value in rows.items()), sep="\n", flush=True)
            results |= {f"{example}_{key}": value for key, value in rows.items()}
    return results | {"agree": agree}


def _again(source: Path, found: Sizing, folder: Path, pool: Workers, seeds: Sequence[int]) -> dict[str, object]:
    """The answer written, read and simulated."""
    assert found.answer is not None
    write_sized(source, found.answer, folder)
    written = load_scenario(folder / source.name)
    studies = [run_study(written, pool, seed=seed) for seed in seeds]
    runs = [run for study in studies for run in study.runs]
    promised, cost = found.answer.hardest[1], found.answer.cost
    served = share_of(runs, written.promise.confidence)

    def same(one: Estimate) -> bool:
        within = math.hypot(promised.half_width, one.half_width)
        return abs(promised.mean - one.mean) <= within and one.high >= found.scenario.promise.target_share

    return {
        "answer": str(found.answer.design),
        "yuan_per_year": f"{cost.mean:,.0f} ± {cost.half_width:,.0f}",
        "promised_pct": f"{100 * promised.mean:.2f} ± {100 * promised.half_width:.2f}",
        "simulated_pct": f"{100 * served.mean:.2f} ± {100 * served.half_width:.2f}",
        "single_simulations_that_agree": f"{sum(same(study.share_within) for study in studies)} of {len(studies)}",
        "agree": "yes" if same(served) else "NO",
    }
