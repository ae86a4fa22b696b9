from __future__ import annotations

from pathlib import Path

from sim.scenario_doc import tables

DOC = Path(__file__).parents[2] / "docs" / "scenarios.md"


def test_the_page_has_every_field_as_it_is() -> None:
    assert tables() in DOC.read_text(encoding="utf-8"), "run: python -m sim.scenario_doc, and put it into the page"
