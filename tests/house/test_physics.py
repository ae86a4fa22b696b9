"""Physics are in one place: no module but those of `battery_bms.pack` works with exponentials or logarithms of them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("api", "sim", "swap", "robotics", "battery_bms", "scheduler")
CURVES = {"exp", "expm1", "log", "log1p", "log10", "log2"}
CHANCE = {
    "scheduler/optimal/forecast.py": "quantiles of a Poisson count",
    "sim/fitting/fit.py": "likelihood of Poisson counts",
    "sim/scenario/demand.py": "instants of a Poisson process",
    "sim/scenario/uncertainty.py": "quantiles of a lognormal distribution",
    "sim/report/tables.py": "digits of a number on a page",
    "sim/sizing/search.py": "how far a search has come",
    "sim/study/stats.py": "quantiles of Student's t",
    "sim/study/swap_times.py": "draws of a gamma distribution",
    "sim/validation/models.py": "exact results of queueing theory",
}
"""Files that need them for chance, and what for."""


def uses(path: Path) -> set[str]:
    """Exponentials and logarithms that a module imports or takes from `math` or `numpy`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in ("math", "numpy"):
            found |= {name.name for name in node.names} & CURVES
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("math", "np"):
            found |= {node.attr} & CURVES
    return found


def test_exponentials_of_packs_stand_in_one_place() -> None:
    found = {
        str(path.relative_to(ROOT)): uses(path)
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if uses(path)
    }
    physics = {name for name in found if name.startswith("battery_bms/pack/")}
    assert len(physics) >= 2, "the physics were not found"
    assert sorted(found.keys() - physics - CHANCE.keys()) == []
