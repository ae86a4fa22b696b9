"""The whole station of the Yangquan example, run on request: in this process, or in one with the compiled form.

As a program it reads numbers of days, one a line, and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import NamedTuple

from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.study.swap_truck import scenario_station

EXAMPLE = Path(__file__).parents[1] / "examples" / "yangquan_mine" / "scenario.toml"


class FullRun(NamedTuple):
    """One run of the station."""

    trucks: int
    """Swaps started."""
    waited_s: float
    """Sum of all waits: equal only where every truck waited as long."""
    took_s: float
    """Processor time."""


def run_station(scenario: Scenario, days: float) -> FullRun:
    """The station from its start over `days`."""
    station = scenario_station(scenario, 1)
    start_s = process_time()
    station.run_until(days * 86_400)
    return FullRun(station.started, sum(station.waits), process_time() - start_s)


class OtherProcess:
    """The same under another interpreter."""

    def __init__(self, python: Path) -> None:
        # -P keeps the working folder, and with it the source, off the path.
        self._process = subprocess.Popen(
            [str(python), "-P", "-m", "benchmarks.full_station"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run_station(self, days: float) -> FullRun:
        """As `run_station`, there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(days, file=self._process.stdin, flush=True)
        return FullRun(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


if __name__ == "__main__":
    read = load_scenario(EXAMPLE)
    for line in sys.stdin:
        print(json.dumps(run_station(read, float(line))), flush=True)
