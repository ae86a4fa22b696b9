"""A13: whatever the product can say of itself, no identifier stands in what a person reads, in either language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

import pytest

import swap.station
from api.console.bar import fault_line
from api.reasons import THERMAL, reason_words, wait_action, wait_words
from api.words import WORDS, Language, load_language
from robotics.faults import load_faults
from robotics.port import CellState, LinkFault, LinkTrouble, RunMode, Signal
from scheduler.types import BayRole, Limit, PackState, StationMode
from scheduler.waiting import Wait
from swap.messages.answers import ANSWERS, Answer, say
from swap.messages.requests import REQUESTS, DecisionKind
from swap.reading.records import FaultRecord, WaitRecord
from swap.station.power.plan_process import PlanCause
from swap.station.sequence.recipe import DERIVED_FACTS, TERMINAL, Check
from swap.station.sequence.session import HoldReason, Phase
from swap.station.sequence.step_table import CELL_FACTS
from swap.station.states.modes import ModeTrigger
from swap.station.truck_forecast import ForecastCause
from swap.words import LANGUAGES
from tests.support.api.doors import NOW

STORES_A_REASON = {
    "change_mode",
    "hold_station",
    "_hold_station",
    "block_bay",
    "quarantine",
    "release_bay",
    "set_pack_state",
    "_hold_for_person",
}
"""Functions of the controller that store why a mode, a bay or a pack is as it is."""
FACTS = sorted({signal.value for signal in Signal} | DERIVED_FACTS | CELL_FACTS)


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    return load_language(request.param, ZoneInfo("Asia/Shanghai"))


def raw(texts: Iterable[str], language: Language) -> list[str]:
    """What looks like an identifier, a place-holder or, in Chinese, an English word."""
    found = []
    for text in texts:
        pattern = r"\b[A-Za-z]+_\w+\b|\{\w*\}|\b(?:lane|bay|gripper):\w+"
        if language.name == "zh_CN":
            pattern += r"|\b[a-z]{4,}\b"
        if not text.strip() or re.search(pattern, text):
            found.append(text)
    return found


def stored_reasons() -> Iterator[str]:
    """Every literal reason in the controller's code."""
    room = Path(swap.station.__file__).parent
    for path in sorted(room.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in STORES_A_REASON:
                continue
            given = [*node.args, *(word.value for word in node.keywords if word.arg == "reason")]
            for part in (
                inner for argument in given if not isinstance(argument, ast.Dict) for inner in ast.walk(argument)
            ):
                value = constants.get(part.id) if isinstance(part, ast.Name) else getattr(part, "value", None)
                if isinstance(value, str) and value:
                    yield value


def test_every_word_is_a_word(language: Language) -> None:
    values = dict.fromkeys(("name", "names", "number", "value", "wanted"), "7")
    said = {
        f"{subject}.{code}": language.word(subject, code).format(**values)
        for subject, words in WORDS.items()
        for code in words
    }
    assert len(said) > 250
    assert raw(said.values(), language) == []


def test_every_state_has_a_word(language: Language) -> None:
    told = [
        *(language.word("mode", code) for code in StationMode),
        *(language.word("pack_state", code) for code in PackState),
        *(language.word("role", code) for code in BayRole),
        *(language.word("limit", code) for code in Limit),
        *(language.word("phase", code) for code in Phase),
        *(language.word("hold", code) for code in HoldReason),
        *(language.word("check", code) for code in Check),
        *(language.word("swap_end", code) for code in TERMINAL),
        *(language.word("request", code) for code in REQUESTS),
        *(language.word("cell_mode", mode.name.lower()) for mode in RunMode),
        *(language.word("cell_mode", "local") for _ in (0,)),
        *(language.word("cell_state", s.name.lower()) for s in CellState if s not in (CellState.FREE, CellState.READY)),
        *(language.fact(name) for fact in FACTS for name in (fact, f"!{fact}")),
    ]
    assert raw(told, language) == []


LATE: tuple[dict[str, object], ...] = (
    {},
    {"promised_at": NOW.isoformat(), "late_min": 25, "missing_kwh": 31.5},
    {"promised_at": NOW.isoformat(), "late_min": None, "missing_kwh": None},
    *[dict[str, object](cause=cause.value) for cause in (*PlanCause, *ForecastCause)],
)


def test_every_fault_is_told_in_words(language: Language) -> None:
    faults = load_faults().values()
    assert len(faults) > 100
    lines = [
        fault_line(
            FaultRecord(
                fault_id=1,
                code=known.code,
                level=known.level,
                source=source,
                raised_at=NOW,
                acknowledged_at=None,
                acknowledged_by=None,
                cleared_at=None,
                data={"missing": [{"name": "handbrake_on"}], "link": "exception(2)"} | late,
            ),
            language,
        )
        for known in faults
        for source in ("lane:L1", "bay:A3", "gripper:L1", "controller", "commerce", "booking:B1", "planner")
        for late in LATE
    ]
    assert any("25" in line.detail and "31.5" in line.detail for line in lines)
    for part in ("text", "action", "detail", "level_word", "source"):
        told = {getattr(line, part) for line in lines}
        assert raw(told, language) == [], part


def test_every_reason_that_is_stored_is_told_in_words(language: Language) -> None:
    literal = set(stored_reasons())
    assert {"database_lost", "not_homed", "record_mismatch", "neighbour_blocked"} <= literal
    reasons = (
        literal | {r.value for r in HoldReason} | {s.value for s in Signal} | {f.name for f in load_faults().values()}
    )
    assert raw((reason_words(reason, language) for reason in sorted(reasons)), language) == []
    assert raw([reason_words(f"{THERMAL}A3, A4", language)], language) == []


NAMES: dict[Wait, tuple[str, ...]] = {
    Wait.CHECKS: tuple(check.value for check in Check),
    Wait.PERSON: tuple(reason.value for reason in HoldReason),
    Wait.CONFIRMED_STATION: tuple(reason.value for reason in HoldReason),
    Wait.CELL_RUN_MODE: tuple(mode.name.lower() for mode in RunMode),
    Wait.CELL_STATE: ("busy", "paused", "alarm"),
    Wait.NO_LANE: ("top_lift", "side_grab", "chassis"),
    **dict.fromkeys((Wait.CELL_FACT, Wait.PERMISSIVES, Wait.CONDITION, Wait.SENSORS), tuple(FACTS)),
    **dict.fromkeys((Wait.CELL_SILENT, Wait.COMMAND_REFUSED), tuple(str(LinkTrouble(fault)) for fault in LinkFault)),
    **dict.fromkeys(
        (Wait.STATION_HELD, Wait.STATION_MANUAL, Wait.STATION_THERMAL, Wait.STATION_FIRE, Wait.STATION_CLOSED),
        ("restart", "estop_ok", "database_lost", "cell_link_lost", "manual work", "closed"),
    ),
}


def test_every_wait_is_told_in_words(language: Language) -> None:
    for cause in Wait:
        for name in NAMES.get(cause, ("L1",)):
            record = WaitRecord(cause=cause, names=(name,), number=7, until_at=NOW)
            assert raw([wait_words(record, language), wait_action(record, language)], language) == [], (cause, name)


SAMPLES = {
    "mode": "held",
    "hold": "trip",
    "fact": "estop_ok",
    "link": "no_answer",
    "decision": "unwind",
    "mode_trigger": "thermal_over",
    "pack_trigger": "release",
    "pack_state": "quarantined",
    "swap_state": "completed",
    "where": "bay:A3",
    "on_record": "empty",
    "seen": "occupied",
}


def test_every_answer_is_told_in_words(language: Language) -> None:
    for code, text in ANSWERS.items():
        names = [name for _, name, _, _ in Formatter().parse(text) if name]
        values: dict[str, str | tuple[Answer, ...]] = {name: SAMPLES.get(name, "7") for name in names}
        for name in set(names) & {"trips", "places"}:
            values[name] = (Answer("trip", {"lane_id": "L1", "fact": "estop_ok"}),)
        assert raw([say((Answer(code, values),), language.text, language.value)], language) == [], code
    for trigger in ModeTrigger:
        for mode in StationMode:
            part = Answer("mode_forbids", {"mode_trigger": trigger.value, "mode": mode.value})
            assert raw([say((part,), language.text, language.value)], language) == []
    for decision in DecisionKind:
        part = Answer("not_possible", {"decision": decision.value, "swap_id": "7"})
        assert raw([say((part,), language.text, language.value)], language) == []
