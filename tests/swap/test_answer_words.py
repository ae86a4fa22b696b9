"""Answers to requests: each has a text, whose values are those the controller gives, and is read back as stored."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

from scheduler.types import PackState, StationMode
from swap.messages.answers import ANSWERS, STORED, Answer, say
from swap.station import answers
from swap.station.states.modes import IllegalMode, ModeTrigger
from swap.station.states.pack_states import IllegalPackStep, PackTrigger

FORMER = {"unknown_decision"}
"""Codes that only rows of earlier versions hold."""


def given() -> Iterator[tuple[str, set[str] | None]]:
    """Every code in the controller's code with the names of its values; None where these are in a variable."""
    room = Path(answers.__file__).parent
    code = [ast.parse(path.read_text("utf-8")) for path in sorted(room.rglob("*.py"))]
    for node in (node for tree in code for node in ast.walk(tree)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        first = node.args[0]
        codes = [part.value for part in ast.walk(first) if isinstance(part, ast.Constant) and part.value in ANSWERS]
        if node.func.id in ("Denied", "_said"):
            assert codes, ast.unparse(node)
            yield from ((str(code), {str(word.arg) for word in node.keywords}) for code in codes)
        elif node.func.id == "Answer" and isinstance(first, ast.Constant):
            assert codes, ast.unparse(node)
            names = node.args[1]
            keys = [key for key in names.keys if isinstance(key, ast.Constant)] if isinstance(names, ast.Dict) else None
            yield str(first.value), None if keys is None else {str(key.value) for key in keys}


def test_every_answer_of_the_controller_has_a_text_with_its_values() -> None:
    found = dict(given())
    assert set(found) == set(ANSWERS) - FORMER
    for code, names in found.items():
        wanted = {name for _, name, _, _ in Formatter().parse(ANSWERS[code]) if name}
        assert names is None or names == wanted, code


def test_an_answer_is_read_back_as_it_was_stored_and_said_in_another_language() -> None:
    trips = (
        Answer("trip", {"lane_id": "L1", "fact": "estop_ok"}),
        Answer("trip", {"lane_id": "L2", "fact": "fire_ok"}),
    )
    answer = Answer("still_tripped", {"trips": trips})
    assert STORED.validate_json(STORED.dump_json((answer,))) == (answer,)
    assert say([answer]) == "still not fulfilled: L1: estop_ok, L2: fire_ok; reset it at the equipment first"
    words = {("fact", "estop_ok"): "e-stops released", ("fact", "fire_ok"): "fire system quiet"}
    texts = {"held": "已暂停"}
    parts = [answer, Answer("held", {})]
    said = say(parts, lambda text: texts.get(text, text), lambda name, code: words.get((name, code), code))
    assert said.endswith("; 已暂停")
    assert "L1: e-stops released, L2: fire system quiet" in said


def test_what_a_machine_forbids_is_said_in_the_same_words() -> None:
    mode = IllegalMode(ModeTrigger.CLOSE, StationMode.HELD)
    assert str(mode) == "close is not allowed while the station is held"
    pack = IllegalPackStep(PackTrigger.RELEASE, PackState.READY)
    assert str(pack) == "release is not allowed for a pack that is ready"
