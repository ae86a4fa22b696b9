"""One name, one thing: no two public classes of the product are called the same."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("api", "sim", "swap", "robotics", "battery_bms", "scheduler")

ARGUED = {
    "Rack": "the plant's rack, and the part of the study's engine that stands for one",
    "Truck": "the plant's truck, and the study's",
    "Station": "the table, the running station that the composition root hands out, and the study's",
}
"""Names that two classes may share, and what the two are."""


def public_classes() -> dict[str, list[str]]:
    """Files that define a public class, by its name."""
    found: dict[str, list[str]] = defaultdict(list)
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


def test_no_two_public_classes_share_a_name() -> None:
    found = public_classes()
    assert len(found) > 300, "the rooms were not found"
    shared = {name: files for name, files in found.items() if len(files) > 1}
    assert {name: files for name, files in shared.items() if name not in ARGUED} == {}
    assert sorted(ARGUED) == sorted(name for name in shared if name in ARGUED), "a name is argued that is not shared"
