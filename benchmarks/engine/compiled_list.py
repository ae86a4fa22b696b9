"""What each compiled module gains: `python -m benchmarks compiled_list`, one build for each, half an hour in all.

Each module that `setup.py` names is left out once, and the whole stations of `full_station.py` are run in turn by that
form and by the one that `make compiled` makes. Printed is the module's gain: time without it ÷ time with it, of each
the best round, for every station. Waits must be equal before any time counts. `COMPILED_LIST='sim/study/waits.py …'`
measures some alone; `a.py+b.py` leaves several out together, and one of `PLAIN` is added.

Where classes of other modules inherit from those of a module that is to be left out, these are left out with it: an
interpreted class cannot be the base of a compiled one. Nor can a compiled class be the base of an interpreted one: what
inherits from a module of the list cannot be left out alone, and that is said of it.
"""

from __future__ import annotations

import ast
import os
import runpy
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

import setuptools

from benchmarks.engine.full_station import CASES, OtherProcess
from deploy.compiled import ROOT, CompileError, build, has_compiler

ROUNDS = 9
DAYS = {case: 0.5 if case == "station_x16" else 7.0 for case in CASES}
PLAIN = (
    "battery_bms/pack/spec.py",
    "scheduler/view_rows.py",
    "sim/network/engine.py",
    "sim/study/given.py",
    "sim/study/hours.py",
    "sim/study/swap_truck.py",
    "sim/world/staff.py",
    "sim/world/world.py",
)
"""Modules that a study runs and that stay plain Python."""
OTHER = ROOT / "build" / "compiled_list"


def named() -> list[str]:
    """The modules that `setup.py` names."""
    kept = setuptools.setup
    setuptools.setup = lambda **_: None  # only its list is wanted
    try:
        found: list[str] = runpy.run_path(str(ROOT / "setup.py"))["COMPILED"]
    finally:
        setuptools.setup = kept
    return found


def bases(path: str) -> set[str]:
    """The modules, as paths, that the base classes of a module come from."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    origin = {
        name.asname or name.name: f"{node.module.replace('.', '/')}.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for name in node.names
    }
    inherited = {
        base.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    return {origin[name] for name in inherited if name in origin}


def without(left_out: str, modules: Sequence[str]) -> list[str]:
    """The list without some modules, joined by +, and without those that rest on them."""
    gone = set(left_out.split("+"))
    while more := {name for name in modules if name not in gone and bases(name) & gone}:
        gone |= more
    return [name for name in modules if name not in gone]


def rests_on(left_out: str, kept: Sequence[str]) -> list[str]:
    """The modules kept that classes of those left out inherit from."""
    inherited = {origin for module in left_out.split("+") for origin in bases(module)}
    return [name for name in kept if name in inherited]


def gains(python: Path, other: Path, *, added: bool) -> Iterator[tuple[str, float]]:
    """For each station the time of the form without a module over the time of that with it."""
    ours, theirs = OtherProcess(python), OtherProcess(other)
    for case, days in DAYS.items():
        one_s, two_s = inf, inf
        for _ in range(ROUNDS):
            one, two = ours.run_station(case, days), theirs.run_station(case, days)
            if one[:2] != two[:2]:
                raise AssertionError(f"{case}: other waits with other modules compiled")
            one_s, two_s = min(one_s, one.took_s), min(two_s, two.took_s)
        yield case, one_s / two_s if added else two_s / one_s
    ours.close()
    theirs.close()


def run() -> dict[str, object]:
    """Times as fast with a module as without it, by station; `left_out_with` names what rests on it."""
    if not has_compiler():
        return {"compiled_list": "not measured: there is no C compiler"}
    modules = named()
    wanted = os.environ.get("COMPILED_LIST", "").split() or modules
    python = build()
    results: dict[str, object] = {}
    for module in wanted:
        added = module in PLAIN
        changed = [*modules, module] if added else without(module, modules)
        if not added and (needs := rests_on(module, changed)):
            results[f"{module} stays_with"] = ", ".join(needs)
            continue
        try:
            other = build(changed, OTHER)
        except CompileError as error:
            results[f"{module} cannot be built"] = str(error).splitlines()[-1]
            continue
        gone = [name for name in modules if name not in [*changed, *module.split("+")]]
        if gone:
            results[f"{module} left_out_with"] = ", ".join(gone)
            print(f"{module} left_out_with {', '.join(gone)}", flush=True)
        for case, gain in gains(python, other, added=added):
            results[f"{module} {case}_times"] = gain
            print(f"{module} {case}_times {gain:.3f}", flush=True)
    return results
