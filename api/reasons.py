"""Reasons as a person reads them: of a mode, a hold, a blocked bay, of a lane or truck that waits.

The causes come from the controller; nothing is guessed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from api.words import WORDS, Language
from robotics.faults import fault_by_name
from scheduler.waiting import Wait
from swap.reading.records import WaitRecord

THERMAL = "thermal event in "
"""Begin of the reason that the thermal procedure gives, before the bays."""


def reason_words(reason: str, language: Language) -> str:
    """A reason as stored: a known text, a permissive, a fault, or what a person wrote."""
    for subject in ("reason", "hold"):
        if reason in WORDS[subject]:
            return language.word(subject, reason)
    if reason.startswith(THERMAL):
        return language.text("hot pack in {bays}", bays=reason.removeprefix(THERMAL))
    if reason in WORDS["fact"]:
        return language.text("not fulfilled: {facts}").format(facts=language.fact(reason))
    try:
        fault = fault_by_name(reason)
    except KeyError:
        return reason
    return language.pick(fault.zh, fault.en)


def lacking(names: Iterable[str], language: Language) -> str:
    """Which permissives do not hold; empty for none."""
    facts = ", ".join(language.fact(name) for name in names)
    return language.text("not fulfilled: {facts}").format(facts=facts) if facts else ""


_ACTIONS = {
    Wait.NOT_CHARGED: "packs",
    Wait.ALL_PROMISED: "packs",
    Wait.KIND_AWAITED: "packs",
    Wait.AHEAD_TAKES: "packs",
    Wait.NO_EMPTY_BAY: "bay",
    Wait.TRANSFER_OCCUPIED: "bay",
    Wait.NONE_OF_KIND: "supply",
    Wait.NO_LANE: "supply",
    Wait.UNSAFE: "look",
    Wait.LANE_NOT_READY: "lane",
    Wait.NOT_COMPARED: "mend",
    Wait.CELL_SILENT: "mend",
    Wait.CELL_FROZEN: "mend",
    Wait.CELL_OWNED: "other",
    Wait.CELL_LOCAL: "cell",
    Wait.CELL_RUN_MODE: "cell",
    Wait.CELL_STATE: "cell",
    Wait.CELL_FACT: "cell",
    Wait.PERMISSIVES: "cell",
    Wait.COMMAND_REFUSED: "mend",
}
GOING_ON = frozenset({Wait.NEXT, Wait.LANE_BUSY})
"""Waits of a truck that are part of a station that works."""
OBSTRUCTED = frozenset(
    {
        Wait.NOT_COMPARED,
        Wait.CELL_SILENT,
        Wait.CELL_FROZEN,
        Wait.CELL_OWNED,
        Wait.CELL_LOCAL,
        Wait.CELL_RUN_MODE,
        Wait.CELL_STATE,
        Wait.CELL_FACT,
        Wait.PERMISSIVES,
        Wait.COMMAND_REFUSED,
    }
)
"""Waits of a lane that are no part of a station that works, if they last."""
_EXPECTED = frozenset({Wait.NOT_CHARGED, Wait.ALL_PROMISED, Wait.KIND_AWAITED, Wait.AHEAD_TAKES})
"""Waits whose end is reckoned; of the others it is a time limit."""


def wait_words(waits: WaitRecord | None, language: Language) -> str:
    """The sentence; where no controller has said anything, that."""
    if waits is None:
        return language.text("Nobody has said what it waits for.")
    names = ", ".join(_name(waits.cause, name, language) for name in waits.names) or "–"
    sentence = language.word("wait", waits.cause).format(names=names, number=waits.number)
    if waits.until_at is None:
        return sentence
    return f"{sentence} {_until(waits.cause, waits.until_at, language)}"


def _until(cause: Wait, at: datetime, language: Language) -> str:
    clock = language.time_of_day(at)
    if cause in _EXPECTED:
        return language.text("Expected about {time}.", time=clock[:5])
    return language.text("At the latest {time}.", time=clock)


def wait_action(waits: WaitRecord, language: Language) -> str:
    """Who has to do what for a waiting truck, if anybody."""
    return language.word("wait_action", _ACTIONS.get(waits.cause, "by_itself"))


def _name(cause: Wait, name: str, language: Language) -> str:
    if cause in _BY_WORD:
        return language.word(_BY_WORD[cause], name)
    if cause in _FACTS:
        return language.fact(name)
    if cause in _LINKS:
        return language.link(name)
    if cause in _REASONS:
        return reason_words(name, language)
    return name


_BY_WORD = {
    Wait.CHECKS: "check",
    Wait.PERSON: "hold",
    Wait.CONFIRMED_STATION: "hold",
    Wait.CELL_RUN_MODE: "cell_mode",
    Wait.CELL_STATE: "cell_state",
    Wait.NO_LANE: "swap_mode",
}
_FACTS = frozenset({Wait.CELL_FACT, Wait.PERMISSIVES, Wait.CONDITION, Wait.SENSORS})
_LINKS = frozenset({Wait.CELL_SILENT, Wait.COMMAND_REFUSED})
_REASONS = frozenset(
    {
        Wait.STATION_HELD,
        Wait.STATION_MANUAL,
        Wait.STATION_THERMAL,
        Wait.STATION_FIRE,
        Wait.STATION_CLOSED,
    }
)
