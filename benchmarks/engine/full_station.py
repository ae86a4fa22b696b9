"""Whole stations, run on request: in this process, or in one with the compiled form.

The examples as they are; the Yangquan example sized as `swap size` advises, and what makes a study slow: many packs, a
station sixteen times as large, twice the demand that it can serve. As a program it reads a case and a number of days,
one pair a line, and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.study.swap_truck import scenario_station

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZED: dict[str, Any] = {"packs": 36, "chargers": 8, "transformer_kva": 2000, "lanes": 2}


def _example(name: str, file: str = "scenario.toml", **equipment: Any) -> Callable[[], Scenario]:
    def load() -> Scenario:
        read = load_scenario(EXAMPLES / name / file)
        return read.with_equipment(**equipment) if equipment else read

    return load


def _demand(factor: float, **equipment: Any) -> Callable[[], Scenario]:
    def load() -> Scenario:
        read = load_scenario(EXAMPLES / "yangquan_mine" / "scenario.toml")
        read = read.with_equipment(**equipment) if equipment else read
        return read.model_copy(update={"demand": read.demand.model_copy(update={"factor": factor})})

    return load


CASES: dict[str, Callable[[], Scenario]] = {
    "yangquan": _example("yangquan_mine"),
    "shuozhou": _example("shuozhou_open_pit"),
    "zezhou": _example("zezhou_transfer"),
    "zezhou_storage": _example("zezhou_transfer", "storage.toml"),
    "trunk_road": _example("trunk_road"),
    "mobile_swap": _example("mobile_swap"),
    "sized": _example("yangquan_mine", **SIZED),
    "packs_10": _example("yangquan_mine", **SIZED | {"packs": 10}),
    "packs_640": _example("yangquan_mine", **SIZED | {"packs": 640}),
    "overload": _demand(2.0),
    "station_x16": _demand(16.0, packs=576, chargers=128, transformer_kva=32_000, lanes=20, spare_bays=32),
}
"""Scenarios by name."""


class FullRun(NamedTuple):
    """One run of a station."""

    trucks: int
    """Swaps started."""
    waited_s: float
    """Sum of all waits: equal only where every truck waited as long."""
    took_s: float
    """Processor time."""
    memory_mb: float
    """Most memory that the process has held so far."""


def run_station(case: str, days: float) -> FullRun:
    """A station from its start over `days`."""
    station = scenario_station(CASES[case](), 1)
    start_s = process_time()
    station.run_until(days * 86_400)
    took_s = process_time() - start_s
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return FullRun(station.started, sum(station.waits), took_s, memory_mb)


class OtherProcess:
    """The same under another interpreter."""

    def __init__(self, python: Path) -> None:
        # -P keeps the working folder, and with it the source, off the path.
        self._process = subprocess.Popen(
            [str(python), "-P", "-m", "benchmarks.engine.full_station"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run_station(self, case: str, days: float) -> FullRun:
        """As `run_station`, there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(case, days, file=self._process.stdin, flush=True)
        return FullRun(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


if __name__ == "__main__":
    for line in sys.stdin:
        asked, days = line.split()
        print(json.dumps(run_station(asked, float(days))), flush=True)
