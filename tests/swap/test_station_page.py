"""The pages about the station file are what its models say, and say all of it (found fault S20)."""

from __future__ import annotations

import re
import tomllib
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from swap.config import station_page
from swap.config.field_tables import Language, section_in
from swap.config.station_file import StationConfig
from swap.config.station_page import PAGES, render

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGES: list[Language] = ["en", "zh"]


def sections() -> set[type[BaseModel]]:
    """Every section of the file."""
    found: set[type[BaseModel]] = set()
    todo: list[type[BaseModel]] = [StationConfig]
    while todo:
        model = todo.pop()
        if model not in found:
            found.add(model)
            todo += [inner for info in model.model_fields.values() if (inner := section_in(info.annotation)[0])]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_committed_page_is_the_generated_one(language: Language) -> None:
    """S20."""
    committed = (DOCS / PAGES[language]).read_text(encoding="utf-8")
    assert committed == render(language), "run: python -m swap.config.station_page"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_field_of_every_section_has_a_row_with_a_meaning(language: Language) -> None:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in render(language).splitlines()]
    told = [row[0] for row in rows if len(row) == 5 and row[0].startswith("`") and row[4]]
    fields = [f"`{name}`" for model in sections() for name in model.model_fields if name != "folder"]
    assert len(sections()) > 15
    assert sorted(told) == sorted(fields)


def test_no_meaning_is_left_of_a_field_that_is_gone() -> None:
    words = tomllib.loads((Path(station_page.__file__).with_name("station_page.toml")).read_text("utf-8"))
    chinese = {name: texts for name, texts in words.items() if name != "intro"}
    fields: dict[str, set[str]] = {model.__name__: {"_"} for model in sections()}
    for model in sections():
        for name in set(model.model_fields) - {"folder"}:  # told where it is written, for all that have it from there
            owner = next(base for base in model.__mro__ if name in base.__annotations__)
            fields.setdefault(owner.__name__, set()).add(name)
    assert {name: set(texts) for name, texts in chinese.items()} == fields


def test_limits_and_units_are_on_the_page() -> None:
    page = render("en")
    assert "| `charger_efficiency` |  | `0.94` | > 0.5, ≤ 1 |" in page
    assert "| `max_registers` |  | `125` | ≥ 1, ≤ 125 |" in page
    assert "| `transformer_kva` | kVA | required | > 0, ≤ 100000 |" in page
    assert "| `swap_order` |  | `out_in` | out_in, in_out |" in page
    assert typing.get_args(Language) == tuple(PAGES)
