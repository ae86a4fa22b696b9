"""The catalogues hold every text, every text is translated, and what is compiled is what is written."""

from __future__ import annotations

import io
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

import api.terminal
from api.cli.__main__ import main
from api.words import WORDS, load_language, short_code
from deploy.catalogues import extracted, po_path
from robotics.port import LinkFault, Signal
from scheduler.tariff import PERIODS
from scheduler.types import BayRole, Limit, PackState, StationMode
from scheduler.waiting import Wait
from swap.messages.requests import REQUESTS, DecisionKind
from swap.station.sequence.recipe import DERIVED_FACTS, TERMINAL, Check
from swap.station.sequence.session import HoldReason, Phase
from swap.station.sequence.step_table import CELL_FACTS
from swap.station.states.modes import ModeTrigger
from swap.words import LANGUAGES, PERIOD_NAMES, language_of


def texts(language: str, suffix: str) -> dict[str, str]:
    path = po_path(language).with_suffix(suffix)
    with path.open("rb") as file:
        catalogue = read_mo(file) if suffix == ".mo" else read_po(file)
    return {str(message.id): str(message.string) for message in catalogue if message.id}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_in_the_catalogue_and_translated(language: str) -> None:
    wanted = {str(message.id) for message in extracted() if message.id}
    found = texts(language, ".po")
    assert set(found) == wanted, "run: python deploy/catalogues.py"
    assert [text for text, translation in found.items() if not translation] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_is_what_is_written(language: str) -> None:
    assert texts(language, ".mo") == texts(language, ".po"), "run: python deploy/catalogues.py"


def test_chinese_is_chinese_and_english_is_the_source() -> None:
    same = [text for text, translation in texts("zh_CN", ".po").items() if text == translation]
    assert same == []
    assert all(text == translation for text, translation in texts("en", ".po").items())


def test_placeholders_survive_translation() -> None:
    import re

    for text, translation in texts("zh_CN", ".po").items():
        pattern = r"%\(\w+\)s|\{\w+[^}]*\}"
        assert sorted(re.findall(pattern, text)) == sorted(re.findall(pattern, translation)), text


@pytest.mark.parametrize(
    ("subject", "codes"),
    [
        ("mode", StationMode),
        ("pack_state", PackState),
        ("role", BayRole),
        ("limit", Limit),
        ("phase", Phase),
        ("hold", HoldReason),
        ("check", Check),
        ("wait", Wait),
        ("link", LinkFault),
        ("decision", DecisionKind),
        ("mode_trigger", ModeTrigger),
    ],
)
def test_every_code_has_a_word(subject: str, codes: type[StrEnum]) -> None:
    assert set(WORDS[subject]) == {code.value for code in codes}


def test_every_permissive_has_words() -> None:
    assert set(WORDS["fact"]) == {signal.value for signal in Signal} | DERIVED_FACTS | CELL_FACTS


def test_requests_and_ends_have_words() -> None:
    assert set(WORDS["request"]) == set(REQUESTS)
    assert set(WORDS["swap_end"]) == TERMINAL


def test_a_missing_catalogue_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("api.words.LOCALE", tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["swap", "--lang", "en", "db", "upgrade", "--database-url", f"sqlite:///{tmp_path}/none.db"]
    )
    monkeypatch.setattr("api.terminal._load", api.terminal._load.__wrapped__)
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert str(tmp_path / "en" / "LC_MESSAGES" / "console.mo") in said.getvalue()
    assert "`make setup`" in said.getvalue()


def test_periods_have_words() -> None:
    assert tuple(PERIOD_NAMES) == PERIODS


def test_a_code_without_a_word_is_shown_as_it_is() -> None:
    assert load_language("en", ZoneInfo("UTC")).word("limit", "brand_new") == "brand_new"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("zh", "zh_CN"), ("zh-CN", "zh_CN"), ("zh_CN", "zh_CN"), ("en-GB", "en"), ("fr", None), (None, None), ("", None)],
)
def test_language_tags(wanted: str | None, expected: str | None) -> None:
    assert language_of(wanted) == expected


def test_short_code_is_the_serial_number() -> None:
    assert short_code("0SXPB280000YQ1G510000021") == "021"
    assert short_code("0SXPB280000YQ1G511234567") == "1234567"
