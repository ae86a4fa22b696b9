"""Chinese pages are on a par with the English ones: the same headings, tables and code blocks, page by page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").glob("*.md") if not p.name.endswith(".zh-CN.md"))]
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def outline(text: str) -> dict[str, list[int]]:
    """Levels of the headings, sizes of the tables (rows and columns), and how many blocks of code there are."""
    prose = _FENCE.sub("", text)
    tables = re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE)
    indented = re.findall(r"(?:^    \S.*\n(?:\n(?=    ))?)+", prose, re.MULTILINE)
    return {
        "headings": [len(mark) for mark in re.findall(r"^(#+) ", prose, re.MULTILINE)],
        "tables": [len(table.splitlines()) for table in tables],
        "columns": [len(re.findall(r"(?<!\\)\|", table.splitlines()[0])) - 1 for table in tables],
        "code": [len(_FENCE.findall(text)), len(indented)],
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_chinese_page_has_what_the_english_one_has(page: Path) -> None:
    chinese = page.with_name(f"{page.stem}.zh-CN.md")
    assert chinese.is_file(), f"{page.name} has no Chinese page"
    assert outline(chinese.read_text("utf-8")) == outline(page.read_text("utf-8"))


def test_the_outline_sees_what_is_missing() -> None:
    whole = "# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n    code\n\n```\nx\n```\n"
    found = outline(whole)
    assert found == {"headings": [1], "tables": [3], "columns": [2], "code": [1, 1]}
    for part in ("# A\n", "| 1 | 2 |\n", "    code\n", "```\nx\n```\n"):
        assert outline(whole.replace(part, "")) != found
