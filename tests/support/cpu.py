"""CPU seconds by test file and the costliest tests: `python -m pytest -p tests.support.cpu …`, with `-n` too.

Processor time and not the clock, so that two runs can be compared on a busy machine. What a test's own child
processes burn counts, running ones too; what a shared fixture burns is put down to the first test that asks for it.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

COST = "cpu_s"
COSTLIEST = 60
TICKS = os.sysconf("SC_CLK_TCK")
FILE = "TESTS_CPU_FILE"
"""Environment variable: where the seconds of each test are written as JSON."""


def burnt_s() -> float:
    """CPU seconds of this process and of all its descendants, ended or running."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system + _running_s(os.getpid())


def _tasks(pid: int) -> list[Path]:
    """Threads of a process; none where it has ended meanwhile."""
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []


def _running_s(pid: int) -> float:
    """CPU seconds of the running descendants of a process and of those that these have outlived."""
    total = 0.0
    for task in _tasks(pid):
        for child in _read(task / "children").split():
            fields = _read(Path(f"/proc/{child}/stat")).rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / TICKS + _running_s(int(child))
    return total


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended; its parent's account has it
        return ""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    item.stash[_BEGAN] = burnt_s()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "teardown":
        report.user_properties.append((COST, burnt_s() - item.stash[_BEGAN]))
    return report


_BEGAN = pytest.StashKey[float]()


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    costs = {
        report.nodeid: float(str(value))
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
        for name, value in report.user_properties
        if name == COST
    }
    if path := os.environ.get(FILE):
        Path(path).write_text(json.dumps(costs, indent=1), encoding="utf-8")
    files: defaultdict[str, float] = defaultdict(float)
    for test, cost_s in costs.items():
        files[test.split("::")[0]] += cost_s
    terminalreporter.section(f"CPU seconds: {sum(costs.values()):.0f} in {len(costs)} tests")
    for name, cost_s in sorted(files.items(), key=lambda pair: -pair[1]):
        terminalreporter.write_line(f"{cost_s:8.1f}  {name}")
    terminalreporter.section(f"costliest {COSTLIEST} tests")
    for test in sorted(costs, key=lambda t: -costs[t])[:COSTLIEST]:
        terminalreporter.write_line(f"{costs[test]:8.1f}  {test}")
