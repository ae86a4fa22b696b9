"""Whether what `swap size --write` writes serves what was promised, for every example: size, write, simulate.

`swap size --quick` is run, its answer written into a folder, and that scenario simulated as `swap simulate` does: the
hardest week, with other seeds. The two agree when the share within the promise that was told of that week and the one
found differ by no more than their intervals together, and the latter's reaches the target. An example for which no
design keeps the promise for certain is told and judged by nothing. `--quick` takes one example.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from sim.scenario.load import load_scenario
from sim.sizing.answer import find_size
from sim.sizing.search import effort_for
from sim.sizing.written import write_sized
from sim.study.parallel import workers
from sim.study.study import run_study

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = (
    "yangquan_mine/scenario",
    "shuozhou_open_pit/scenario",
    "zezhou_transfer/scenario",
    "zezhou_transfer/storage",
    "trunk_road/scenario",
    "mobile_swap/scenario",
)


def run(quick: bool = False) -> dict[str, object]:
    """Share promised and share simulated, for each example; `agree` is False where one differs."""
    results: dict[str, object] = {}
    agree = True
    with workers() as pool, tempfile.TemporaryDirectory() as name:
        for example in EXAMPLES[: 1 if quick else None]:
            source, folder = FOLDER / f"{example}.toml", Path(name) / example
            read = load_scenario(source)
            effort = effort_for(read, None, quick=True)
            found = find_size(read, pool, effort, sensitivity=False)
            if found.answer is None:
                results[f"{example}_answer"] = "none keeps the promise for certain"
                continue
            write_sized(source, found.answer, folder)
            again = run_study(load_scenario(folder / source.name), pool, seed=4711)
            promised, served = found.answer.hardest[1], again.share_within
            within = math.hypot(promised.half_width, served.half_width)
            same = abs(promised.mean - served.mean) <= within and served.high >= read.promise.target_share
            agree = agree and same
            rows = {
                "answer": str(found.answer.design),
                "promised_pct": f"{100 * promised.mean:.2f} ± {100 * promised.half_width:.2f}",
                "simulated_pct": f"{100 * served.mean:.2f} ± {100 * served.half_width:.2f}",
                "search_station_days": found.days_simulated,
                "agree": "yes" if same else "NO",
            }
            print(*(f"{example} {key}: {value}" for key, value in rows.items()), sep="\n", flush=True)
            results |= {f"{example}_{key}": value for key, value in rows.items()}
    return results | {"agree": agree}
