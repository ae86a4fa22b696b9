"""The page of rights is the table of rights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from deploy.access import PAGES, with_matrix
from swap.identity.principal import ROLES_OF
from swap.identity.rights import RIGHTS, Factor, Role, right_of
from swap.store import Store
from tests.support.api.doors import make_app

MONEY = {"bills", "contracts", "ledger", "payments"}
"""Operations under these tags may move money."""
SECTION = 5
"""Where the page tells where money moves."""
WORDS = {role: role.value.replace("_", " ") for role in Role}


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    store = Store("sqlite://")
    yield make_app(store)
    store.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_matrix_is_the_table(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_matrix(text) == text, "run: python deploy/access.py --pages"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_code_is_asked_where_money_moves_or_the_page_says_why_not(page: Path, app: FastAPI) -> None:
    text = page.read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", text.split("\n## ")[SECTION], re.MULTILINE))
    changing = {
        operation["operationId"]
        for methods in app.openapi()["paths"].values()
        for method, operation in methods.items()
        if method != "get" and MONEY & set(operation["tags"])
    }
    assert {name for name in changing if right_of(name).factor is not Factor.TOTP} == told
    assert len(changing - told) > 15


def test_no_machine_does_what_a_pin_is_asked_for() -> None:
    assert [name for name, right in RIGHTS.items() if right.factor is Factor.PIN and right.scope is not None] == []


def test_the_roles_of_each_kind_of_organisation_are_told() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    for kind, roles in ROLES_OF.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` |")]
        told = {role.strip() for role in line.split("|")[2].split(",")}
        assert told == {WORDS[role] for role in roles}, kind
