from __future__ import annotations

from pathlib import Path

from sim.network.file import NetworkSection
from sim.report.assumptions import NETWORK_FIELDS
from sim.report.field_tables import tables
from sim.report.words import load_words

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_every_field_as_it_is() -> None:
    assert tables() in (DOCS / "scenarios.md").read_text(encoding="utf-8"), (
        "run: python -m sim.report.field_tables, and put it into the page"
    )


def test_the_page_of_networks_has_them_too() -> None:
    page = (DOCS / "networks.md").read_text(encoding="utf-8")
    assert tables(NetworkSection) in page, "run: python -m sim.report.field_tables network, and put it into the page"


def test_the_chinese_pages_have_every_field_too() -> None:
    words = load_words("zh")
    for page, text in (("scenarios", tables(words=words)), ("networks", tables(NetworkSection, words))):
        assert text in (DOCS / f"{page}.zh-CN.md").read_text(encoding="utf-8"), (
            "run: python -m sim.report.field_tables [network] zh, and put it into the page"
        )
        meanings = [line.split(" | ")[-1].strip(" |") for line in text.splitlines() if line.startswith("| `")]
        assert sum(not meaning for meaning in meanings) < 0.3 * len(meanings)  # sections of their own have none


def test_every_phrase_of_a_network_is_that_of_a_field() -> None:
    text = tables(NetworkSection, load_words("zh"))
    words = load_words("zh")
    phrases = [words.text(phrase) for fields in NETWORK_FIELDS.values() for phrase in fields.values()]
    assert [phrase for phrase in phrases if phrase not in text] == []
