"""Events are models: whatever a released version has written is read, and written again as it was."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scheduler.types import StationMode
from swap.messages.events import EVENTS, StationModeChanged, SwapCompleted, SwapHeld, events_schema, read_event
from swap.messages.packs import PackMoved

GOLDEN = Path(__file__).parents[1] / "vectors" / "events_golden.jsonl"
"""Every kind and every shape of event that a released version has written, one a line. Lines are only ever added."""

WRITTEN: list[tuple[str, dict[str, Any]]] = [
    (entry["kind"], entry["data"]) for entry in map(json.loads, GOLDEN.read_text("utf-8").splitlines())
]


@pytest.mark.parametrize(("kind", "data"), WRITTEN, ids=lambda value: value if isinstance(value, str) else "")
def test_every_event_ever_written_is_read_and_written_again_as_it_was(kind: str, data: dict[str, Any]) -> None:
    event = read_event(kind, data)
    assert event.kind == kind
    assert event.payload() == data


def test_the_golden_file_has_every_kind_and_every_field() -> None:
    assert set(EVENTS) == {kind for kind, _ in WRITTEN}
    set_by = {kind: Counter[str]() for kind in EVENTS}
    for kind, data in WRITTEN:
        set_by[kind].update(read_event(kind, data).model_fields_set)
    never = {
        kind: sorted(fields - set_by[kind].keys())
        for kind, model in EVENTS.items()
        if (fields := set(model.model_fields) - {"schema_version"}) - set_by[kind].keys()
    }
    assert never == {}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("pack.moved", {"from": "off_site"}),
        ("pack.moved", {"from": "off_site", "to": "bay:S:A1", "by": "somebody"}),
        ("swap.completed", {"seats": "2"}),
        ("station.mode", {"from": "held", "to": "asleep", "reason": ""}),
        ("swap.completed", {"seats": 1, "schema_version": 2}),
        ("swap.danced", {}),
    ],
)
def test_what_no_version_has_written_is_refused(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"swap\.danced|validation error"):
        read_event(kind, data)


def test_an_event_holds_what_its_writer_said_and_nothing_else() -> None:
    assert SwapCompleted(seats=2).payload() == {"seats": 2}
    assert SwapCompleted(seats=2, exchanged=(1, 2)).payload() == {"seats": 2, "exchanged": [1, 2]}
    assert PackMoved(source="off_site", target="bay:S:A1").payload() == {"from": "off_site", "to": "bay:S:A1"}
    started = StationModeChanged(before=None, after=StationMode.HELD, reason="first start")
    assert started.payload() == {"from": None, "to": "held", "reason": "first start"}
    with pytest.raises(ValidationError):
        SwapHeld.model_validate({"reason": 7})


def test_the_schema_has_every_kind_and_refuses_unknown_fields() -> None:
    schema = events_schema()
    kinds = [entry["properties"]["kind"]["const"] for entry in schema["oneOf"]]
    assert kinds == list(EVENTS)
    assert all(model["additionalProperties"] is False for model in schema["$defs"].values() if "properties" in model)
    assert schema["$defs"]["PackMoved"]["required"] == ["from", "to"]
