"""This checkout against an earlier one, in one interleaved run: `EARLIER=folder python -m benchmarks earlier`.

The folder is another checkout of this project (`git worktree add folder COMMIT`); both run under this interpreter, and
compiled too where both have been compiled (`make compiled`, or `python deploy/compiled.py` in the folder). Printed is
how many times as fast this one is: the stripped engine, the Yangquan example as it is, as `swap size` sizes it, with
twice the demand and as a station sixteen times as large; the most memory that a year of the example takes; and the
processor seconds of a whole `swap size` with its answers: over the same days on end, which each checkout knows, and of
this one over the year, as it is called. `EARLIER_PARTS='memory speed size'` names some of these alone, `source` or
`compiled` among them one form.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parents[2]
ROUNDS = 5
PARTS = ("memory", "speed", "size")
FORMS = ("source", "compiled")
SIZE_DAYS = 14
"""Length of a replication of `swap size` where both are asked the same."""
CASES = {"stripped": 20_000, "yangquan": 28, "sized": 14, "overload": 14, "station_x16": 1}
"""With the number of trucks, or of days."""
EXAMPLE = "examples/yangquan_mine/scenario.toml"
PROGRAM = """
import json, resource, sys
from pathlib import Path
from time import process_time
try:
    from sim.scenario.load import load_scenario
    from sim.study.swap_truck import scenario_station as station
    runs = lambda found: found
except ImportError:  # until the rooms of sim/ were made
    from sim.scenario_file import load_scenario
    from sim.engine_station import StationFlow as station
    runs = lambda found: found.time
read = load_scenario(Path("examples/yangquan_mine/scenario.toml").resolve())
def times(read, factor):
    return read.model_copy(update={"demand": read.demand.model_copy(update={"factor": factor})})
many = {"packs": 576, "chargers": 128, "transformer_kva": 32_000, "lanes": 20, "spare_bays": 32}
scenarios = {
    "yangquan": read,
    "sized": read.with_equipment(packs=36, chargers=8, transformer_kva=2000, lanes=2),
    "overload": times(read, 2.0),
    "station_x16": times(read.with_equipment(**many), 16.0),
}
for line in sys.stdin:
    case, count = line.split()
    if case == "stripped":
        try:
            from benchmarks.engine.simulation import arrivals, ours_simple
        except ImportError:  # until the benchmarks had rooms
            from benchmarks.simulation import arrivals, ours_simple
        at_s = arrivals(int(count))
        start_s = process_time()
        ours_simple(at_s)
        done = int(count)
    else:
        found = station(scenarios[case], 1)
        start_s = process_time()
        runs(found).run_until(int(count) * 86_400)
        done = found.started
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([(process_time() - start_s) / done, memory_mb]), flush=True)
"""
SIZE = """
import sys
try:
    from api.cli.__main__ import main
except ImportError:  # until the commands had a room
    from api.cli import main
sys.argv = ["swap", "size", *sys.argv[1:], "--processes", "1", "--json"]
main()
"""


class Checkout:
    """One checkout's engine in a process of its own."""

    def __init__(self, folder: Path, python: Sequence[str]) -> None:
        self._folder, self._python = folder, python
        self._process = subprocess.Popen(
            [*python, "-c", PROGRAM], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def _run(self, case: str, count: int) -> tuple[float, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(case, count, file=self._process.stdin, flush=True)
        took_s, memory_mb = json.loads(self._process.stdout.readline())
        return took_s, memory_mb

    def s_a_truck(self, case: str) -> float:
        """Processor seconds a truck."""
        return self._run(case, CASES[case])[0]

    def memory_of_a_year_mb(self) -> float:
        """Most memory that a year of the example takes; asked before anything else."""
        return self._run("yangquan", 365)[1]

    def size(self, *asked: str) -> tuple[float, dict[str, object]]:
        """Processor seconds of a whole `swap size` of the example, and its answer."""
        before_s = _children_s()
        command = [*self._python, "-c", SIZE, EXAMPLE, *asked]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=True)
        return _children_s() - before_s, _answer(json.loads(done.stdout))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _answer(found: dict[str, Any]) -> dict[str, object]:
    """The design that was found, and how many station days that took."""
    search = found["search"]
    return {"design": search["answer"] and search["answer"]["design"], "station_days": search["days_simulated"]}


def run() -> dict[str, object]:
    """Times as fast as the earlier checkout, the median of the rounds; empty without one."""
    named = os.environ.get("EARLIER")
    if not named:
        return {"earlier": "not measured: set EARLIER to the folder of another checkout"}
    earlier = Path(named).resolve()
    asked = os.environ.get("EARLIER_PARTS", "").split()
    parts = [part for part in PARTS if part in asked] or PARTS
    forms: dict[str, tuple[list[str], list[str]]] = {"source": ([sys.executable], [sys.executable])}
    compiled = [folder / "build" / "compiled" / "bin" / "python" for folder in (HERE, earlier)]
    if all(python.exists() for python in compiled):
        forms["compiled"] = ([str(compiled[0]), "-P"], [str(compiled[1]), "-P"])
    results: dict[str, object] = {}
    for form in [form for form in FORMS if form in asked] or FORMS:
        if form in forms:
            ours, theirs = forms[form]
            both = Checkout(HERE, ours), Checkout(earlier, theirs)
            for part in parts:
                results |= {f"{form}_{name}": value for name, value in _MEASURES[part](both).items()}
            for one in both:
                one.close()
    return results


def _memory(both: tuple[Checkout, Checkout]) -> dict[str, object]:
    now_mb, before_mb = (one.memory_of_a_year_mb() for one in both)
    return {"year_memory_mb": now_mb, "year_memory_earlier_mb": before_mb}


def _speed(both: tuple[Checkout, Checkout]) -> dict[str, object]:
    results: dict[str, object] = {}
    for case in CASES:
        found = [[one.s_a_truck(case) for one in both] for _ in range(ROUNDS)]
        results[f"{case}_times_earlier"] = median(before / now for now, before in found)
        results[f"{case}_us_a_truck"] = 1e6 * min(now for now, _ in found)
    return results


def _size(both: tuple[Checkout, Checkout]) -> dict[str, object]:
    results: dict[str, object] = {}
    on_end = ("--days", str(SIZE_DAYS))
    for one, name, asked in ((both[0], "", on_end), (both[1], "_earlier", on_end), (both[0], "_of_the_year", ())):
        took_s, answer = one.size(*asked)
        results[f"size{name}_cpu_s"] = took_s
        results[f"size{name}_answer"] = json.dumps(answer)
        print(f"size{name}: {took_s:.1f} s, {answer}", flush=True)
    return results


_MEASURES: dict[str, Callable[[tuple[Checkout, Checkout]], dict[str, object]]] = {
    "memory": _memory,
    "speed": _speed,
    "size": _size,
}
