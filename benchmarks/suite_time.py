"""The tests that an earlier checkout has, there and here: `EARLIER=folder python -m benchmarks suite_time`.

The folder is another checkout of this project (`git worktree add folder COMMIT`), made ready there by its own `make
setup` or `make tools`: each checkout's tests run in its own environment. A test is the same where its name and
parameters are, wherever it stands; a name that stands more than once is told apart by its file's name, then left out.
Each checkout runs just these tests by its own `make test`, in turns and the other way round, so that a machine that is
busy for a while is so for both. Compiled modules are kept, as in CI. Printed: how many of the earlier checkout's tests
are still there by name, seconds and processor seconds of each checkout (collecting, servers and browsers included), and
the ratios. `agree`: at most half of the seconds.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).resolve().parents[1]
MOST = 0.5
TURNS = ("earlier", "now", "now", "earlier")
NODE = re.compile(r"(?P<file>tests/\S+\.py)::(?P<test>.+)")
OUTCOME = re.compile(r"(\d+) (passed|failed|error|errors|skipped)")


def run() -> dict[str, object]:
    """Seconds of the same tests in both checkouts; empty without another one."""
    named = os.environ.get("EARLIER")
    if not named:
        return {"suite_time": "not measured: set EARLIER to the folder of another checkout"}
    earlier = Path(named).resolve()
    before, now = (_tests(folder) for folder in (earlier, HERE))
    same = sorted(before.keys() & now.keys())
    found: dict[str, object] = {"tests_earlier": len(before), "tests_compared": len(same)}
    checkouts = {"earlier": (earlier, before), "now": (HERE, now)}
    sums: Counter[str] = Counter()
    for who in TURNS:
        folder, nodes = checkouts[who]
        cpu_s, took_s, outcome = _timed(folder, [nodes[test] for test in same])
        print(f"{who}: {took_s:.1f} s, {cpu_s:.1f} s of processor, {outcome}", flush=True)
        sums.update({f"{who}_cpu_s": cpu_s, f"{who}_s": took_s})
        sums.update({f"{who}_{what}": count for what, count in outcome.items()})
    ratio, of_cpu = (sums[f"now_{what}"] / sums[f"earlier_{what}"] for what in ("s", "cpu_s"))
    return found | dict(sums) | {"ratio": ratio, "ratio_cpu": of_cpu, "agree": ratio <= MOST}


def _tests(folder: Path) -> dict[str, str]:
    """Nodes by what names a test in both checkouts."""
    told = subprocess.run(
        [_python(folder), "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=_own(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    nodes = [found for line in told.stdout.splitlines() if (found := NODE.fullmatch(line))]
    by_test = Counter(node["test"] for node in nodes)
    names = [
        node["test"] if by_test[node["test"]] == 1 else f"{Path(node['file']).name}::{node['test']}" for node in nodes
    ]
    often = Counter(names)
    return {name: node[0] for name, node in zip(names, nodes, strict=True) if often[name] == 1}


def _own(folder: Path) -> dict[str, str]:
    """The environment in which every process that a test starts imports this checkout, and keeps what it compiles."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(folder)}


def _python(folder: Path) -> str:
    """The interpreter of a checkout's own environment."""
    return str(folder / ".venv" / "bin" / "python")


def _timed(folder: Path, nodes: Sequence[str]) -> tuple[float, float, dict[str, int]]:
    """Processor seconds, seconds, and how many passed, failed or were skipped."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as listed:
        listed.write("\n".join(nodes))
        listed.flush()
        command = ["make", "--silent", "test", f"TESTS=-q -p no:cacheprovider @{listed.name}"]
        before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
        done = subprocess.run(command, cwd=folder, env=_own(folder), capture_output=True, text=True, check=False)
        took_s, after = perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    outcome = {what: int(count) for count, what in OUTCOME.findall(done.stdout.splitlines()[-1])}
    return cpu_s, took_s, outcome
