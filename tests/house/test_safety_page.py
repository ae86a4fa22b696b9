"""The safety page is made of what the code has: every invariant is a rule of the exploration, every test exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from deploy.safety import PAGES, ROOT, page, read

HAZARDS = read()["hazards"]


@cache
def violations() -> tuple[str, ...]:
    """The sentences with which the exploration ends a path, their values left out."""
    found = []
    for path in sorted((ROOT / "tests" / "prove").glob("explore_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Violation" and node.args:
                parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
                found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in parts))
    return tuple(found)


@cache
def functions(path: Path) -> frozenset[str]:
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda hazard: hazard["id"])
def test_what_a_hazard_names_is_there(hazard: dict[str, object]) -> None:
    data = read()
    invariants, tests, clauses = hazard["invariants"], hazard["tests"], hazard["clauses"]
    assert isinstance(invariants, list)
    assert isinstance(tests, list)
    assert isinstance(clauses, list)
    assert invariants
    assert tests
    assert [text for text in invariants if not any(text in sentence for sentence in violations())] == []
    missing = [name for name in tests if name.partition("::")[2] not in functions(ROOT / name.partition("::")[0])]
    assert missing == []
    assert set(clauses) <= {clause["id"] for clause in data["clauses"]}


def test_every_rule_of_the_exploration_belongs_to_a_hazard() -> None:
    named = [text for hazard in HAZARDS for text in hazard["invariants"]]
    assert [sentence for sentence in violations() if not any(text in sentence for text in named)] == []


def test_every_clause_is_used_and_says_how_sure_it_is() -> None:
    clauses = read()["clauses"]
    assert {clause["id"] for clause in clauses} == {name for hazard in HAZARDS for name in hazard["clauses"]}
    assert {clause["mark"] for clause in clauses} <= {"solid", "one source", "uncertain"}


@pytest.mark.parametrize("language", PAGES)
def test_the_pages_are_as_they_are_made(language: str) -> None:
    assert PAGES[language].read_text(encoding="utf-8") == page(language), "run: python deploy/safety.py --pages"
