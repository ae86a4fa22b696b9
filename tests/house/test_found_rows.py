"""Every row of what strangers found wrong has tests that hold it right, and each of them is there and runs."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROWS: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "found_rows.toml").read_text(encoding="utf-8"))
EXPECTED = {
    *(f"S{number}" for number in range(1, 25)),
    *(f"D{number}" for number in range(1, 10)),
    *(f"A{number}" for number in range(1, 15)),
    *(f"B{number}" for number in range(1, 14)),
}
NODE = re.compile(r"(?P<file>tests/[\w/]+\.py)::(?P<name>test_\w+)(\[(?P<case>.+)\])?")


@cache
def module(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def functions(file: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(module(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lacking(node_id: str) -> str | None:
    """What is wrong with a test that is named; None where it is there and runs."""
    parts = NODE.fullmatch(node_id)
    if parts is None:
        return "is no file::test"
    if not (ROOT / parts["file"]).is_file():
        return "has no such file"
    found = [function for function in functions(parts["file"]) if function.name == parts["name"]]
    if not found:
        return "has no such test"
    if any("skip" in ast.unparse(mark) or "xfail" in ast.unparse(mark) for mark in found[0].decorator_list):
        return "does not always run"
    texts = {node.value for node in ast.walk(module(parts["file"])) if isinstance(node, ast.Constant)}
    return None if parts["case"] is None or parts["case"] in texts else "has no such case"


def test_every_row_is_there_and_says_what_is_right() -> None:
    assert set(ROWS) == EXPECTED
    assert {
        name for name, row in ROWS.items() if set(row) != {"right", "tests"} or not row["right"].endswith(".")
    } == set()


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_held_by_tests_that_are_there(name: str) -> None:
    tests = ROWS[name]["tests"]
    assert tests
    assert len(tests) == len(set(tests))
    assert {test: why for test in tests if (why := lacking(test)) is not None} == {}


def test_one_that_is_gone_is_noticed() -> None:
    here = "tests/house/test_found_rows.py"
    assert lacking(f"{here}::test_one_that_is_gone_is_noticed") is None
    for node_id in (f"{here}::test_gone", "tests/house/test_gone.py::test_x", "nothing", f"{here}::test_x"):
        assert lacking(node_id) is not None
    assert lacking("tests/peer/test_found.py::test_what_was_found_is_right_now[S99]") == "has no such case"
    nothing_else = "tests/prove/test_explore_kinds.py::test_a_planted_fault_is_found_by_nothing_else"
    assert lacking(nothing_else) == "does not always run"
