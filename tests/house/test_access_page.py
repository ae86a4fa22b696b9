"""The page of rights is the table of rights."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.access import PAGES, with_matrix
from swap.identity.principal import ROLES_OF
from swap.identity.rights import Role

WORDS = {role: role.value.replace("_", " ") for role in Role}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_matrix_is_the_table(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_matrix(text) == text, "run: python deploy/access.py --pages"


def test_the_roles_of_each_kind_of_organisation_are_told() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    for kind, roles in ROLES_OF.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` |")]
        told = {role.strip() for role in line.split("|")[2].split(",")}
        assert told == {WORDS[role] for role in roles}, kind
