"""The step function of a hot pack, in tables of cycles: when it is asked for, sent again, believed, given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from robotics.port import AckCode, CellState, CellStatus, CommandCode, ResultCode, Signal
from scheduler.types import StationMode
from swap.station.sequence.evacuation import (
    EVACUATE_WITHIN_S,
    CommandEnded,
    Effect,
    EvacuationFacts,
    EvacuationLane,
    Procedure,
    StageReached,
    WithdrawHold,
    interrupted,
    persons_needed,
    step,
)
from swap.station.sequence.handshake import RESEND_S
from swap.station.sequence.permissives import CellFacts
from swap.station.sequence.recipe import FaultAction, OnFault, load_recipe
from swap.station.sequence.session import Acknowledge, HoldRobot, Send
from swap.station.states.thermal_stages import Stage
from tests.support.swap.sequence import GOOD

START_AT = datetime(2026, 9, 1, 3, 0, tzinfo=UTC)
ROW = load_recipe("top_lift").evacuation
assert ROW is not None
SEQ = 7


class Hot:
    """A hot pack in a bay that one lane reaches, or two; the cells are sound unless told otherwise."""

    def __init__(self, stage: Stage = Stage.CHARGING_STOPPED, lanes: tuple[str, ...] = ("L1",), **procedure: Any):
        self.now = START_AT
        self.procedure = replace(Procedure("A2", 2, "HOT", START_AT, stage), **procedure)
        self.rows = dict.fromkeys(lanes, ROW)
        self.cells = {
            lane: CellStatus(lane, START_AT, START_AT, heartbeat_ok=True, state=CellState.READY) for lane in lanes
        }
        self.signals: dict[str, dict[Signal, bool | None]] = {lane: dict(GOOD) for lane in lanes}
        self.age_s: float | None = 0.1
        self.mode = StationMode.THERMAL
        self.charge_kw: float | None = 0.0
        self.last_sent_at: datetime | None = None
        self.waits: set[str] = set()
        """Lanes whose swap waits for a person."""

    def see(self, lane: str = "L1", **values: Any) -> Hot:
        """Change signals by their names, or the status itself."""
        for name, value in values.items():
            if name in {signal.value for signal in Signal}:
                self.signals[lane][Signal(name)] = value
            else:
                self.cells[lane] = replace(self.cells[lane], **{name: value})
        return self

    def facts(self) -> EvacuationFacts:
        lanes = {
            lane: EvacuationLane(
                CellFacts(replace(cell, signals=dict(self.signals[lane])), self.age_s, self.age_s, 2.0, {}),
                self.rows[lane],
                SEQ,
                person_needed=lane in self.waits,
            )
            for lane, cell in self.cells.items()
        }
        return EvacuationFacts(self.now, self.mode, lanes, self.charge_kw, self.last_sent_at)

    def step(self, after_s: float = 0.0) -> tuple[Effect, ...]:
        self.now += timedelta(seconds=after_s)
        self.procedure, effects = step(self.procedure, self.facts())
        if any(isinstance(effect, Send) for effect in effects):
            self.last_sent_at = self.now
        return effects

    def begun(self) -> Hot:
        """The command has left."""
        assert "Send" in kinds(self.step())
        return self

    def taken(self) -> Hot:
        """The cell runs it."""
        return self.begun().see(ack_seq=SEQ, ack_code=AckCode.ACCEPTED, active_seq=SEQ)

    def ended(self, result: ResultCode, **more: Any) -> Hot:
        return self.see(active_seq=0, done_seq=SEQ, result=result, **more)


def kinds(effects: tuple[Effect, ...]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def stages(effects: tuple[Effect, ...]) -> list[tuple[Stage, Any]]:
    return [(e.stage, dict(e.data)) for e in effects if isinstance(e, StageReached)]


# Charging stops first


@pytest.mark.parametrize(("charge_kw", "confirmed"), [(0.0, True), (0.4, True), (None, False)])
def test_the_procedure_goes_on_once_the_charger_gives_nothing_or_is_unknown(
    charge_kw: float | None, confirmed: bool
) -> None:
    hot = Hot(Stage.DETECTED)
    hot.charge_kw = charge_kw
    assert stages(hot.step()) == [(Stage.CHARGING_STOPPED, {"confirmed": confirmed})]


def test_a_charger_that_runs_on_is_waited_for_and_then_the_pack_is_isolated() -> None:
    hot = Hot(Stage.DETECTED)
    hot.charge_kw = 60.0
    assert hot.step(EVACUATE_WITHIN_S) == ()
    assert stages(hot.step(1.0)) == [(Stage.ISOLATED, {"bars": {"": ("source_power_off",)}})]


# When a person is needed first

LANES = ("L1", "L2")


def sound(**signals: bool | None) -> CellFacts:
    shown: dict[Signal, bool | None] = {**GOOD, **{Signal(name): value for name, value in signals.items()}}
    cell = CellStatus("L1", START_AT, START_AT, heartbeat_ok=True, signals=shown)
    return CellFacts(cell, 0.1, 0.1, 2.0, {})


@pytest.mark.parametrize("mode", [StationMode.HELD, StationMode.MANUAL, StationMode.FIRE])
def test_a_station_that_waits_for_a_person_does_so_when_it_becomes_thermal(mode: StationMode) -> None:
    cells = {"L1": sound()}  # the other one has not been heard yet
    waits = persons_needed(frozenset(), mode, LANES, cells)
    assert waits == {"L1", "L2"}
    assert persons_needed(waits, StationMode.THERMAL, LANES, {**cells, "L2": sound()}) == waits


@pytest.mark.parametrize("mode", [StationMode.AUTOMATIC, StationMode.CLOSED])
def test_a_confirmation_ends_it(mode: StationMode) -> None:
    assert persons_needed(frozenset({"L1"}), mode, LANES, {"L1": sound()}) == frozenset()


@pytest.mark.parametrize("name", ["estop_ok", "power_ok", "fire_ok", "curtain_clear", "doors_closed"])
def test_a_trip_or_somebody_in_the_zone_makes_its_lane_wait(name: str) -> None:
    lost: dict[str, bool | None] = {name: False}
    waits = persons_needed(frozenset(), StationMode.THERMAL, LANES, {"L1": sound(**lost), "L2": sound()})
    assert waits == {"L1"}
    assert persons_needed(waits, StationMode.THERMAL, LANES, {"L1": sound(), "L2": sound()}) == {"L1"}
    unknown: dict[str, bool | None] = {name: None}
    assert persons_needed(frozenset(), StationMode.THERMAL, LANES, {"L1": sound(**unknown)}) == frozenset()


# When a cell is asked


def test_a_sound_cell_is_asked_to_carry_the_pack_out_of_its_bay() -> None:
    hot = Hot()
    reached, withdrawn, sent = hot.step()
    assert reached == StageReached(Stage.EVACUATION_STARTED, {"seq": SEQ})
    assert withdrawn == WithdrawHold()
    assert isinstance(sent, Send)
    assert (sent.command.seq, sent.command.code, sent.repeated) == (SEQ, CommandCode.FIRE, False)
    assert sent.command.source is not None
    assert sent.command.source.code == 2
    assert (hot.procedure.lane_id, hot.procedure.seq) == ("L1", SEQ)


def test_the_result_of_a_held_swap_is_taken_first_so_that_the_cell_is_free() -> None:
    hot = Hot().see(done_seq=5, result=ResultCode.FAILED)
    assert hot.step()[1:3] == (Acknowledge(5), WithdrawHold())


SIGNALS: dict[str, bool] = {
    "estop_ok": False,
    "power_ok": False,
    "fire_ok": False,
    "curtain_clear": False,
    "doors_closed": False,
    "homed": False,
    "tank_ready": False,
    "gripper_loaded": True,
    "tank_occupied": True,
}


@pytest.mark.parametrize("value", ["wrong", "unknown"])
@pytest.mark.parametrize("name", SIGNALS)
def test_what_does_not_hold_or_is_unknown_bars_it(name: str, value: str) -> None:
    shown: dict[str, Any] = {name: SIGNALS[name] if value == "wrong" else None}
    hot = Hot().see(**shown)
    ((stage, data),) = stages(hot.step())
    assert stage is Stage.ISOLATED
    assert data["bars"] == {"L1": (f"!{name}" if SIGNALS[name] else name,)}


@pytest.mark.parametrize(
    ("change", "bar"),
    [
        (lambda hot: setattr(hot, "age_s", 2.1), "fresh_status"),
        (lambda hot: setattr(hot, "mode", StationMode.HELD), "thermal_mode"),
        (lambda hot: setattr(hot, "mode", StationMode.FIRE), "thermal_mode"),
        (lambda hot: hot.rows.update(L1=None), "no_evacuation"),
        (lambda hot: hot.waits.add("L1"), "person_looked"),
        (lambda hot: setattr(hot, "now", START_AT + timedelta(seconds=EVACUATE_WITHIN_S + 1)), "in_time"),
    ],
)
def test_what_else_bars_it(change: Any, bar: str) -> None:
    hot = Hot()
    change(hot)
    ((stage, data),) = stages(hot.step())
    assert stage is Stage.ISOLATED
    assert bar in data["bars"]["L1"]


def test_a_command_that_runs_is_let_end_even_with_a_pack_in_the_gripper() -> None:
    hot = Hot().see(active_seq=5, gripper_loaded=True)
    assert hot.step(60.0) == ()
    assert "Send" in kinds(hot.see(active_seq=0, gripper_loaded=False).step(1.0))


def test_a_command_that_runs_too_long_is_not_waited_for() -> None:
    hot = Hot().see(active_seq=5)
    assert hot.step(EVACUATE_WITHIN_S) == ()
    assert stages(hot.step(1.0)) == [(Stage.ISOLATED, {"bars": {"L1": ("cell_idle", "in_time")}})]


def test_the_first_lane_that_may_is_asked() -> None:
    hot = Hot(lanes=("L1", "L2")).see("L1", homed=False)
    hot.begun()
    assert hot.procedure.lane_id == "L2"


def test_no_lane_at_all_isolates() -> None:
    assert stages(Hot(lanes=()).step()) == [(Stage.ISOLATED, {"bars": {}})]


# In flight


def test_an_unheard_command_is_sent_again_a_second_after_its_last_sending() -> None:
    hot = Hot().begun()
    sendings = [("Send" in kinds(hot.step(0.25))) for _ in range(16)]
    assert sendings == ([False] * 3 + [True]) * 4
    assert hot.procedure.seq == SEQ


def test_it_is_not_sent_again_where_a_permissive_is_gone() -> None:
    hot = Hot().begun().see(curtain_clear=False)
    effects = hot.step(RESEND_S / 2)
    assert CommandEnded(SEQ, "failed") in effects
    assert stages(effects) == [(Stage.ISOLATED, {"bars": {"L1": ("curtain_clear",)}})]
    assert "Send" not in kinds(effects)


def test_after_a_restart_an_unheard_command_is_not_sent_again() -> None:
    hot = Hot().begun()
    hot.last_sent_at = None
    effects = hot.step(5.0)
    assert stages(effects) == [(Stage.ISOLATED, {"bars": {"L1": ("restart",)}})]
    assert "Send" not in kinds(effects)


def test_after_a_restart_a_command_that_runs_is_watched_to_its_end() -> None:
    hot = Hot().taken()
    hot.last_sent_at = None
    assert hot.step(30.0) == ()
    assert stages(hot.ended(ResultCode.DONE, tank_occupied=True).step(30.0)) == [(Stage.EVACUATED, {"seq": SEQ})]


def test_the_pack_is_in_the_tank_when_its_sensor_says_so_and_not_before() -> None:
    hot = Hot().taken().ended(ResultCode.DONE)
    assert hot.step(90.0) == ()
    effects = hot.see(tank_occupied=True).step(1.0)
    assert kinds(effects) == ["CommandEnded", "StageReached", "Acknowledge", "HoldRobot"]
    assert effects[0] == CommandEnded(SEQ, "done")
    assert hot.procedure.over


def test_a_tank_that_stays_silent_is_not_waited_for_without_end() -> None:
    assert ROW is not None
    hot = Hot().taken().ended(ResultCode.DONE)
    assert hot.step(90.0) == ()
    assert hot.step(ROW.confirm_s) == ()
    effects = hot.step(1.0)
    assert stages(effects) == [(Stage.ISOLATED, {"bars": {"L1": ("not_confirmed",)}})]
    assert Acknowledge(SEQ) in effects


@pytest.mark.parametrize(
    ("status", "reason", "acknowledged"),
    [
        ({"active_seq": 0, "done_seq": SEQ, "result": ResultCode.FAILED}, "command_failed", True),
        ({"active_seq": 0, "done_seq": SEQ, "result": ResultCode.ABORTED}, "command_aborted", True),
        ({"active_seq": 0, "ack_seq": SEQ, "ack_code": AckCode.REFUSED_INTERLOCK}, "command_refused_interlock", False),
        ({"active_seq": 0, "ack_seq": SEQ, "ack_code": AckCode.BUSY}, "command_busy", False),
    ],
)
def test_a_command_that_fails_leaves_the_pack_to_people(status: Any, reason: str, acknowledged: bool) -> None:
    hot = Hot().taken().see(**status)
    effects = hot.step(10.0)
    assert effects[0] == CommandEnded(SEQ, "failed")
    assert stages(effects) == [(Stage.ISOLATED, {"bars": {"L1": (reason,)}})]
    assert (Acknowledge(SEQ) in effects) is acknowledged
    assert isinstance(effects[-1], HoldRobot)
    assert hot.step(100.0) == ()


@pytest.mark.parametrize(
    ("result", "again"), [(ResultCode.FAILED, True), (ResultCode.ABORTED, False), (ResultCode.DONE, False)]
)
def test_a_row_may_ask_for_another_try_but_not_after_a_trip(result: ResultCode, again: bool) -> None:
    assert ROW is not None
    hot = Hot()
    hot.rows["L1"] = replace(ROW, on_fault=OnFault(1, FaultAction.PERSON))
    hot.taken().ended(result)
    effects = hot.step(10.0)
    assert ("Send" in kinds(effects)) is again
    assert hot.procedure.tries == int(again)


def test_a_cell_that_never_ends_is_given_up() -> None:
    assert ROW is not None
    hot = Hot().taken()
    assert hot.step(ROW.timeout_s) == ()
    assert stages(hot.step(1.0)) == [(Stage.ISOLATED, {"bars": {"L1": ("command_timeout",)}})]


def test_a_link_that_is_lost_says_nothing_of_the_command() -> None:
    """It is neither sent again nor given up before its time; when the link is back, the echo tells."""
    assert ROW is not None
    hot = Hot().begun()
    hot.age_s = 5.0
    assert hot.step(10.0) == ()
    hot.age_s = 0.1
    hot.see(active_seq=SEQ, ack_seq=SEQ, ack_code=AckCode.ACCEPTED)
    assert hot.step(1.0) == ()
    hot.age_s = None
    assert stages(hot.step(ROW.timeout_s)) == [(Stage.ISOLATED, {"bars": {"L1": ("command_timeout",)}})]


# A controller that ended without saying so


@pytest.mark.parametrize("stage", [Stage.DETECTED, Stage.CHARGING_STOPPED])
def test_after_an_unclean_end_no_evacuation_begins(stage: Stage) -> None:
    procedure, effects = interrupted(Hot(stage).procedure)
    assert procedure.stage is Stage.ISOLATED
    assert stages(effects) == [(Stage.ISOLATED, {"bars": {"": ("restart",)}})]


@pytest.mark.parametrize("stage", [Stage.EVACUATION_STARTED, Stage.EVACUATED, Stage.ISOLATED])
def test_what_has_begun_or_ended_stays_as_it_is(stage: Stage) -> None:
    procedure = Hot(stage).procedure
    assert interrupted(procedure) == (procedure, ())
