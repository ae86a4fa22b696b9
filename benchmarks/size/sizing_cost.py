"""What a search costs, for each of the six examples: processor seconds and station days, of a year and of a month.

`swap size` is run on one process: by four weeks of the year (`--quick`), by all of them, and by 28 days on end. Beside
each stands how many times as many station days the whole grid would take with the replications of the answer. With
`EARLIER=folder`, another checkout of this project (see `earlier.py`), its search of a month is run on the same example
in the same run: the yearly question shall cost no more. `--compiled` takes the compiled form of both. `--quick` asks
the quick form only.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine.earlier import SIZE
from benchmarks.size.sizing_written import EXAMPLES

HERE = Path(__file__).resolve().parents[2]
FORMS: dict[str, tuple[str, ...]] = {"quick_year": ("--quick",), "year": (), "month": ("--days", "28")}


def _searched(
    folder: Path, python: Sequence[str], example: str, options: Sequence[str]
) -> tuple[float, dict[str, Any]]:
    """Processor seconds of a search, start of the program included, and what it says."""
    before_s = _children_s()
    command = [*python, "-c", SIZE.replace("sys.argv[1],", "*sys.argv[1:],"), f"examples/{example}.toml", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise RuntimeError(f"{folder}: {example} was not searched:\n{done.stderr[-2000:]}")
    return _children_s() - before_s, json.loads(done.stdout)["search"]


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(quick: bool = False) -> dict[str, object]:
    """Seconds, station days and answers; with EARLIER how many times the year costs of its month."""
    from benchmarks.__main__ import is_compiled

    own = [sys.executable, "-P"] if is_compiled() else [sys.executable]
    named = os.environ.get("EARLIER")
    results: dict[str, object] = {}
    for example in EXAMPLES:
        rows: dict[str, object] = {}
        took_s: dict[str, float] = {}
        for form, options in list(FORMS.items())[: 1 if quick else None]:
            took_s[form], found = _searched(HERE, own, example, options)
            answer, days = found["answer"], found["days_simulated"]
            rows[f"{form}_cpu_s"] = took_s[form]
            rows[f"{form}_station_days"] = days
            rows[f"{form}_grid_times_search"] = found["days_of_the_whole_grid"] / days if days else 0.0
            rows[f"{form}_answer"] = "none for certain" if answer is None else json.dumps(answer["design"])
        if named:
            folder = Path(named).resolve()
            theirs = [str(folder / "build" / "compiled" / "bin" / "python"), "-P"] if is_compiled() else own
            before_s, found = _searched(folder, theirs, example, ())
            rows["month_earlier_cpu_s"] = before_s
            rows["month_earlier_station_days"] = found["days_simulated"]
            rows |= {f"{form}_times_month_earlier": s / before_s for form, s in took_s.items()}
        print(*(f"{example} {key}: {value}" for key, value in rows.items()), sep="\n", flush=True)
        results |= {f"{example}_{key}": value for key, value in rows.items()}
    return results
