"""The sentences about what is waited for: one for each cause, in both languages, and none said of two."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from api.reasons import wait_action, wait_words
from api.words import Language, load_language
from robotics.port import LinkFault, LinkTrouble, read_trouble
from scheduler.waiting import Wait
from swap.reading.records import WaitRecord
from swap.words import LANGUAGES

UNTIL = datetime(2026, 7, 27, 6, 30, tzinfo=UTC)
TROUBLES = (
    LinkTrouble(LinkFault.NEVER_HEARD),
    LinkTrouble(LinkFault.NOT_CONNECTED),
    LinkTrouble(LinkFault.NO_ANSWER),
    LinkTrouble(LinkFault.EXCEPTION, value="2"),
    LinkTrouble(LinkFault.NO_MEANING, "ack_code", "9"),
    LinkTrouble(LinkFault.WRONG_CONSTANT, "layout", "17", "4711"),
    LinkTrouble(LinkFault.CONTRADICTION, "flag_done, flag_failed"),
    LinkTrouble(LinkFault.NOT_BEGUN),
)


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    return load_language(request.param, ZoneInfo("Asia/Shanghai"))


def record(cause: Wait, until_at: datetime | None = None) -> WaitRecord:
    return WaitRecord(cause=cause, names=(), number=7, until_at=until_at)


def test_two_causes_never_share_a_sentence(language: Language) -> None:
    """S15."""
    said = {cause: wait_words(record(cause), language) for cause in Wait}
    assert len(set(said.values())) == len(Wait)
    assert all(sentence.strip() and "{" not in sentence for sentence in said.values())
    assert all(wait_action(record(cause), language) for cause in Wait)


def test_when_it_ends_is_said_as_what_it_is(language: Language) -> None:
    chinese = language.name == "zh_CN"
    charged = wait_words(record(Wait.NOT_CHARGED, UNTIL), language)
    assert charged.endswith("预计约 14:30。" if chinese else "Expected about 14:30.")
    motion = wait_words(record(Wait.MOTION, UNTIL), language)
    assert motion.endswith("最迟 14:30:00。" if chinese else "At the latest 14:30:00.")


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_a_trouble_is_read_back_as_it_was_stored(trouble: LinkTrouble) -> None:
    assert read_trouble(str(trouble)) == trouble


def test_every_trouble_of_a_link_has_a_sentence_of_its_own(language: Language) -> None:
    """S14: the reason of the PLC, with the register and what it reads."""
    assert {trouble.fault for trouble in TROUBLES} == set(LinkFault)
    said = [language.link(str(trouble)) for trouble in TROUBLES]
    assert len(set(said)) == len(said)
    assert "9" in said[4]
    assert "4711" in said[5]
    assert language.link("no such thing(1)") == "no such thing(1)"
    sentence = wait_words(
        WaitRecord(cause=Wait.CELL_SILENT, names=(str(TROUBLES[3]),), number=None, until_at=None), language
    )
    assert said[3] in sentence
