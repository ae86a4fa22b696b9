"""One rule: the study and the plant ask `scheduler` and do not judge by themselves; of SimPy only what is public."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from scheduler.types import ChargingPolicy

ROOT = Path(__file__).resolve().parents[2]
RULED = set(ChargingPolicy.__dataclass_fields__) | {"measured_import_kw", "charging_kw", "storage_now_kw"}
"""What only the rules compare with anything."""
FILES = {
    "sim/scenario/load.py": "whether the two levels of a file contradict each other",
    "sim/sizing/board.py": "what a mean truck takes",
    "sim/study/bays.py": "from which temperatures on the rule can answer otherwise; it is asked there",
}
"""Files of `sim` that compare such a number, and why that is no decision."""


def judged(source: str) -> set[str]:
    """Fields of a policy or of a meter that a module compares, or takes the smaller or larger of."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) or (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max", "clip")
        ):
            found |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)} & RULED
    return found


def private(source: str) -> set[str]:
    """What a module imports from SimPy that is not for others."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{name.name}" for name in node.names]
        found |= {name for name in names if name.split(".")[0] == "simpy" and "._" in name}
    return found


def sources() -> dict[str, str]:
    """The modules of `sim` with their text."""
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted((ROOT / "sim").rglob("*.py"))}


def test_sim_decides_nothing_by_itself() -> None:
    assert judged("if pack.temp_max_c >= policy.reduce_above_c: pass") == {"reduce_above_c"}
    assert judged("kw = min(rated_kw, self.policy.max_power_kw)") == {"max_power_kw"}
    assert sorted(name for name, text in sources().items() if judged(text)) == sorted(FILES)


def test_simpy_is_used_by_its_public_face() -> None:
    assert private("from simpy._core import x") == {"simpy._core.x"}
    users = {name for name, text in sources().items() if "import simpy" in text}
    assert users == {"sim/study/failures.py"}
    assert {name for name, text in sources().items() if private(text)} == set()
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert "SLF001" in ruff["select"]  # attributes of others that begin with _
    rooms = [name for name, rules in ruff["per-file-ignores"].items() if "SLF001" in rules]
    assert [name for name in rooms if not name.startswith("tests/")] == []
