from __future__ import annotations

import re
from pathlib import Path

from sim.network.file import NetworkSection
from sim.report.field_tables import tables

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_every_field_as_it_is() -> None:
    assert tables() in (DOCS / "scenarios.md").read_text(encoding="utf-8"), (
        "run: python -m sim.report.field_tables, and put it into the page"
    )


def test_the_page_of_networks_has_them_too() -> None:
    page = (DOCS / "networks.md").read_text(encoding="utf-8")
    assert tables(NetworkSection) in page, "run: python -m sim.report.field_tables network, and put it into the page"
    chinese = (DOCS / "networks.zh-CN.md").read_text(encoding="utf-8")
    fields = re.findall(r"^\| (`\w+`) \| (?!see there|none \| section|required \| section)", page, re.MULTILINE)
    assert len(fields) >= 25
    assert [field for field in fields if field not in chinese] == []
