"""State tables: what they allow, that `transitions` drives them, what they print; each of ours against its rules."""

from __future__ import annotations

from typing import Any

import pytest
from transitions import Machine

from scheduler.types import PackState, StationMode
from swap.commerce.bookings.states import BOOKING, BookingStatus, BookingTrigger
from swap.state_table import IllegalTransition, Row, StateTable
from swap.station.sequence.machine import session_states
from swap.station.sequence.recipe import load_recipe
from swap.station.states.modes import STATION_MODE, IllegalMode, ModeTrigger, next_mode
from swap.station.states.pack_states import PACK_IN_BAY, IllegalPackStep, PackTrigger, may, next_pack_state
from swap.station.states.thermal_stages import THERMAL_STAGE, Stage, StageTrigger

LAMP: StateTable[str, str] = StateTable(
    "lamp",
    ("off", "on", "broken"),
    (Row("press", ("off",), "on"), Row("press", ("on",), "off"), Row("fall", ("off", "on"), "broken")),
)
TABLES: list[StateTable[Any, Any]] = [
    session_states(load_recipe("top_lift").table(2, "in_out")),
    STATION_MODE,
    PACK_IN_BAY,
    THERMAL_STAGE,
    BOOKING,
]


def test_a_trigger_leads_from_a_state_to_the_next() -> None:
    assert LAMP.initial == "off"
    assert LAMP.next("off", "press") == "on"
    assert LAMP.next("on", "press") == "off"
    assert LAMP.triggers("on") == ("press", "fall")
    assert LAMP.triggers("no such state") == ()
    assert LAMP.leads("on", "broken")
    assert not LAMP.leads("broken", "on")
    assert LAMP.ends == {"broken"}
    assert LAMP.reachable() == {"off", "on", "broken"}
    assert LAMP.reachable("broken") == {"broken"}


@pytest.mark.parametrize(
    ("state", "trigger", "message"),
    [
        ("on", "kick", "lamp: 'kick' is not allowed in state 'on'; allowed: press, fall"),
        ("broken", "press", "lamp: 'press' is not allowed in state 'broken'; allowed: nothing, it is an end"),
        ("dim", "press", "lamp: 'press' is not allowed in state 'dim'"),
    ],
)
def test_what_the_table_does_not_have_is_refused(state: str, trigger: str, message: str) -> None:
    assert not LAMP.allows(state, trigger)
    with pytest.raises(IllegalTransition, match=message) as error:
        LAMP.next(state, trigger)
    assert (error.value.table, error.value.state, error.value.trigger) == ("lamp", state, trigger)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("press", ("of",), "on"), "lamp: row press names state 'of'; known: off, on"),
        (Row("press", ("off",), "onn"), "lamp: row press names state 'onn'"),
        (Row("press", ("off",), "off"), "lamp: press leads from off to two states"),
    ],
)
def test_a_table_that_is_no_table_is_refused(row: Row[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StateTable("lamp", ("off", "on"), (Row("press", ("off",), "on"), row))


def test_transitions_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the machine's: with a machine that knows no transition nothing is allowed."""
    table: StateTable[str, str] = StateTable("lamp", ("off", "on"), (Row("press", ("off",), "on"),))
    deaf = Machine(model=None, states=["off", "on"], transitions=[], initial="off", auto_transitions=False)
    monkeypatch.setattr(table, "_machine", deaf)
    assert not table.allows("off", "press")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_of_ours_can_be_reached_and_every_row_is_printed(table: StateTable[Any, Any]) -> None:
    start = {PackState.ON_VEHICLE} if table is PACK_IN_BAY else {table.initial}
    assert {state for first in start for state in table.reachable(first)} == set(table.states)
    drawn = [line.strip() for line in table.mermaid().splitlines()]
    labels = dict(line.split(": ", 1) for line in drawn if "-->" in line and ": " in line)
    printed = table.markdown().splitlines()
    for row in table.rows:
        for source in row.sources:
            assert str(row.trigger) in labels[f"{source} --> {row.target}"].split(" | ")
            assert f"| `{source}` | {row.trigger} | `{row.target}` |" in printed
    assert f"[*] --> {table.initial}" in drawn
    assert {line for line in drawn if line.endswith("--> [*]")} == {f"{end} --> [*]" for end in table.ends}


def test_members_of_enumerations_come_back_as_members() -> None:
    assert next_mode(StationMode.HELD, ModeTrigger.CONFIRM) is StationMode.AUTOMATIC
    assert next_pack_state(PackState.READY, PackTrigger.RESERVE) is PackState.RESERVED
    assert THERMAL_STAGE.triggers(Stage.CHARGING_STOPPED) == (StageTrigger.BEGIN, StageTrigger.ISOLATE)
    assert all(isinstance(state, BookingStatus) for state in BOOKING.reachable())


def test_a_mode_and_a_pack_refuse_in_words_of_their_own() -> None:
    with pytest.raises(IllegalMode):
        next_mode(StationMode.THERMAL, ModeTrigger.CONFIRM)
    with pytest.raises(IllegalPackStep):
        next_pack_state(PackState.ON_VEHICLE, PackTrigger.CHARGE)
    assert not may(PackState.EVACUATED, PackTrigger.RESERVE)


def test_fire_comes_from_every_mode_and_ends_held() -> None:
    assert all(next_mode(mode, ModeTrigger.FIRE) is StationMode.FIRE for mode in StationMode)
    assert STATION_MODE.triggers(StationMode.FIRE) == (ModeTrigger.FIRE, ModeTrigger.FIRE_OVER)
    assert next_mode(StationMode.FIRE, ModeTrigger.FIRE_OVER) is StationMode.HELD


def test_a_hot_pack_ends_in_the_tank_or_isolated_and_is_carried_only_without_charge() -> None:
    assert THERMAL_STAGE.ends == {Stage.EVACUATED, Stage.ISOLATED}
    assert not THERMAL_STAGE.allows(Stage.DETECTED, StageTrigger.BEGIN)
    open_stages = set(Stage) - THERMAL_STAGE.ends
    assert all(THERMAL_STAGE.next(stage, StageTrigger.ISOLATE) is Stage.ISOLATED for stage in open_stages)


def test_a_booking_whose_truck_came_neither_expires_nor_is_cancelled() -> None:
    assert set(BOOKING.triggers(BookingStatus.ARRIVED)) == {BookingTrigger.FULFIL, BookingTrigger.FAIL}
    running = {BookingStatus.BOOKED, BookingStatus.DISRUPTED, BookingStatus.ARRIVED}
    assert BOOKING.ends == set(BookingStatus) - running
