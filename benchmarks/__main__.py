"""Run the benchmarks, print a table, write `var/bench/<name>.json`.

A benchmark is a module of this folder, or of a room in it, with a function `run()` that returns a flat dict of results,
each key naming its unit (`per_swap_ms`). Names on the command line select some of them. A benchmark that
compares gives `agree`: where it is False the exit code is 1. `--quick` asks those that have a quick form for it,
`--compiled` runs them on the compiled study (`make compiled`): the same numbers, several times as fast.
`--evcc DIR` hands the benchmark `charging` the public case files of the evcc optimizer.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import pkgutil
import platform
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

import sim.study.station

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "var" / "bench"

Benchmark = Callable[..., Mapping[str, object]]


def modules() -> dict[str, str]:
    """Modules of this folder and its rooms by their names, in order of the names."""
    found = pkgutil.walk_packages([str(HERE)], "benchmarks.")
    by_name = {module.name.rsplit(".", 1)[1]: module.name for module in found if not module.ispkg}
    return {name: by_name[name] for name in sorted(by_name) if not name.startswith("_")}


def load(module: str) -> Benchmark | None:
    """Return the module's `run`, or None where it is only something the others share."""
    run: Benchmark | None = getattr(importlib.import_module(module), "run", None)
    return run


def is_compiled() -> bool:
    """Whether the study that runs here is machine code."""
    return not sim.study.station.__file__.endswith(".py")


def write(name: str, results: Mapping[str, object], took_s: float) -> Path:
    """Store one result with what is needed to compare it with another day's."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {
        "name": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(took_s, 3),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "compiled": is_compiled(),
        "results": dict(results),
    }
    path.write_text(json.dumps(record, ensure_ascii=False, indent=2, default=str) + "\n", encoding="utf-8")
    return path


def shown(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed.")
    parser.add_argument("names", nargs="*", help="benchmarks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="only list them")
    parser.add_argument("--quick", action="store_true", help="the quick form of those that have one")
    parser.add_argument("--compiled", action="store_true", help="on the compiled study, which is built if need be")
    parser.add_argument("--evcc", type=Path, metavar="DIR", help="case files of the evcc optimizer, for charging")
    parser.add_argument(
        "--minutes", type=float, help="begin no more runs after so many, for charging; it goes on later"
    )
    parser.add_argument("--days", type=float, help="count so many days of each run, for charging")
    parser.add_argument("--seeds", type=int, help="so many seeds of each case, for charging")
    args = parser.parse_args(argv)

    if args.compiled and not is_compiled():
        from deploy.compiled import build

        python = str(build())
        os.execv(python, [python, "-P", "-m", "benchmarks", *(sys.argv[1:] if argv is None else argv)])
    known = modules()
    if unknown := sorted(set(args.names) - known.keys()):
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    console = Console()
    table = Table("benchmark", "result", "value", title="benchmarks")
    agree = True
    for name in args.names or known:
        run = load(known[name])
        if run is None:
            continue
        if args.list:
            console.print(name)
            continue
        console.print(f"running {name} ...", style="dim")
        start = time.perf_counter()
        takes = inspect.signature(run).parameters
        given = {"quick": args.quick or None, "evcc": args.evcc, "minutes": args.minutes}
        given |= {"days": args.days, "seeds": args.seeds}
        results = run(**{key: value for key, value in given.items() if key in takes and value is not None})
        agree = agree and results.get("agree") is not False
        write(name, results, time.perf_counter() - start)
        for row, (key, value) in enumerate(results.items()):
            table.add_row("" if row else name, key, shown(value))
        table.add_section()
    if table.row_count:
        console.print(table)
        console.print(f"written to {RESULTS.relative_to(HERE.parent)}", style="dim")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
