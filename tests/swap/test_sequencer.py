"""The step function: rows, permissives, guards, trips, modes and links, cycle by cycle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from robotics.port import CellState, CommandCode, ControlMode, ResultCode, RunMode
from scheduler.types import StationMode
from swap.station.sequence.recipe import FaultAction
from swap.station.sequence.session import (
    STATION_REASONS,
    Acknowledge,
    Ended,
    Held,
    HoldReason,
    HoldRobot,
    Phase,
    Refusal,
    StationHold,
    StepDone,
    StepFailed,
)
from tests.support.swap.sequence import Cycle, kinds, of

GUARDS = ("curtain_clear", "doors_closed")


# One row from its beginning to its end.


def test_a_row_without_faults() -> None:
    swap = Cycle("lifting_old").see(locks_open=True, locks_closed=False)
    sent = swap.sent()
    assert (sent.command.code, sent.command.seq, sent.repeated) == (CommandCode.PICK, 42, False)
    assert sent.command.source is not None
    assert sent.command.source.code == 101
    assert swap.step(20) == ()  # it moves
    swap.ended(seat_1_occupied=False)
    assert swap.step(25) == ()  # done, but the gripper does not say so yet
    assert swap.session.phase is Phase.CONFIRMING
    swap.see(gripper_loaded=True)
    effects = swap.step(1)
    assert kinds(effects) == ["StepDone", "Acknowledge"]
    done = of(effects, StepDone)
    assert (done.row.state, done.following, done.seq) == ("lifting_old", "storing_old", 42)
    assert (done.move.pack, done.move.source, done.move.target) == ("old", "seat", "gripper")
    assert of(effects, Acknowledge).seq == 42
    assert (swap.session.state, swap.session.phase, swap.session.seq) == ("storing_old", Phase.PENDING, None)
    assert swap.session.deadline_at == swap.now + timedelta(seconds=150)


def test_the_vehicle_tag_goes_with_the_call() -> None:
    swap = Cycle().see(vehicle_present=False)
    assert swap.sent().command.vehicle_tag == 7


def test_a_result_that_nobody_waits_for_is_acknowledged_before_anything_else() -> None:
    swap = Cycle("unlocking").see(done_seq=41, result=ResultCode.DONE)
    assert swap.step() == (Acknowledge(41),)
    assert swap.session.phase is Phase.PENDING
    swap.acknowledged()
    assert kinds(swap.step()) == ["Send"]


def test_a_row_without_a_command_waits_for_its_sensors() -> None:
    swap = Cycle("accepting").see(pack_accepted=False)
    assert swap.step() == ()
    swap.see(pack_accepted=True)
    assert of(swap.step(2), StepDone).following == "homing"
    late = Cycle("accepting").see(pack_accepted=None)
    effects = late.step(61)
    assert of(effects, StepFailed).fault.name == "not_confirmed"
    assert late.session.hold_reason is HoldReason.FAULT


def test_releasing_ends_the_swap() -> None:
    swap = Cycle("releasing", exchanged=frozenset({1}))
    swap.sent()
    # The driver undoes all that held the truck: no guard is lost by that.
    swap.see(handbrake_on=False, gear_neutral=False, key_off=False, vehicle_link=False, vehicle_in_position=False)
    assert swap.step(5) == ()
    effects = swap.ended(vehicle_present=False).step(20)
    assert kinds(effects) == ["StepDone", "Ended", "Acknowledge"]
    assert of(effects, Ended) == Ended("completed", frozenset({1}))
    assert swap.step() == ()


# Pending: permissives.


@pytest.mark.parametrize("value", [False, None])
@pytest.mark.parametrize("name", ["at_home", "homed", "exit_clear", "locks_closed", "gripper_loaded"])
def test_a_missing_permissive_is_named_once_and_waited_for(name: str, value: bool | None) -> None:
    wrong = value if name != "gripper_loaded" else (None if value is None else True)
    swap = Cycle("releasing").see(**{name: wrong})
    if name == "homed":
        swap = Cycle("homing").see(homed=wrong)
    refusal = of(swap.step(), Refusal)
    shown = {"locks_closed": "all_locks_closed", "gripper_loaded": "!gripper_loaded"}.get(name, name)
    assert [(m.name, m.value) for m in refusal.missing] == [(shown, wrong)]
    assert refusal.missing[0].age_s == 0.1
    assert swap.step(1) == ()  # said already
    swap.see(**{name: not wrong if wrong is not None else name != "gripper_loaded"})
    assert kinds(swap.step(1)) == ["Send"]


def test_every_lacking_permissive_is_named_with_its_value_and_age() -> None:
    swap = Cycle("fetching_new").bay(1, occupied=None, pack_safe=False, reading_age_s=7.0)
    swap.slow_age_s = 3.0
    (missing,) = [e.missing for e in swap.step() if isinstance(e, Refusal)]
    assert [m.as_data() for m in missing] == [
        {"name": "source_occupied", "value": None, "age_s": 3.0},
        {"name": "pack_safe", "value": False, "age_s": 7.0},
    ]


def test_a_stale_slow_block_leaves_occupancy_unknown() -> None:
    swap = Cycle("storing_old").see(gripper_loaded=True)
    swap.slow_age_s = 10.1
    assert [m.name for m in of(swap.step(), Refusal).missing] == ["!target_occupied"]
    swap.slow_age_s = 9.9
    assert kinds(swap.step()) == ["Send"]


def test_a_permissive_that_lacks_to_the_end_fails_the_row_without_a_retry() -> None:
    swap = Cycle("fetching_new").bay(1, pack_safe=False)
    swap.bay(3, occupied=True)  # the old pack is stored: the way back can begin
    swap.step()
    effects = swap.step(151)
    failed = of(effects, StepFailed)
    assert (failed.fault.name, failed.action, failed.following) == (
        "permissive_missing",
        FaultAction.UNWIND,
        "retrieving_old",
    )
    assert swap.session.state == "retrieving_old"
    assert swap.session.resumed


def test_the_way_back_is_not_begun_where_the_packs_do_not_lie_so() -> None:
    swap = Cycle("fetching_new").bay(1, pack_safe=False).bay(3, occupied=False)
    failed = of(swap.step(151), StepFailed)
    assert (failed.action, failed.following) == (FaultAction.PERSON, "fetching_new")
    assert swap.session.hold_reason is HoldReason.FAULT


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"active_seq": 9, "state": CellState.BUSY}, "cell_idle"),
        ({"active_seq": 9, "state": CellState.BUSY, "done_seq": 8, "result": ResultCode.DONE}, "cell_idle"),
        ({"state": CellState.ALARM}, "no_cell_alarm"),
    ],
)
def test_no_command_to_a_cell_at_work_or_in_alarm(change: dict[str, Any], name: str) -> None:
    swap = Cycle("fetching_new").see(**change)
    assert [(m.name, m.value) for m in of(swap.step(), Refusal).missing] == [(name, False)]
    failed = of(swap.step(151), StepFailed)
    assert failed.action is FaultAction.PERSON  # the way back could not begin either
    assert swap.session.state == "fetching_new"


def test_what_another_motion_does_to_the_sensors_counts_for_nothing() -> None:
    """The fire procedure has taken the pack: the row's sensors look as if the row were done."""
    swap = Cycle("fetching_new", resumed=True).see(active_seq=9, gripper_loaded=True).bay(1, occupied=False)
    assert kinds(swap.step()) == ["Refusal"]
    swap.see(active_seq=0)
    assert kinds(swap.step()) == ["StepDone"]


# Guards.


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.SENT, Phase.CONFIRMING])
def test_a_guard_lost_during_the_exchange_holds_in_every_phase(guard: str, phase: Phase) -> None:
    swap = Cycle("lifting_old").see(locks_open=True, locks_closed=False)
    if phase is not Phase.PENDING:
        swap.sent()
    if phase is Phase.CONFIRMING:
        swap.ended().step()
    assert swap.session.phase is phase
    effects = swap.see(**{guard: False}).step(1)
    assert swap.session.phase is Phase.HELD
    assert swap.session.hold_reason is HoldReason.GUARD_LOST
    assert guard in str(swap.session.hold_detail["missing"])
    assert ("HoldRobot" in kinds(effects)) is (phase is not Phase.PENDING)
    swap.see(**{guard: True})
    assert swap.step(5) == ()  # the beam clearing resumes nothing


@pytest.mark.parametrize("guard", ["doors_closed", "curtain_clear"])
def test_an_unknown_guard_holds_a_running_motion_and_refuses_a_waiting_one(guard: str) -> None:
    running = Cycle("lifting_old").see(locks_open=True, locks_closed=False)
    running.sent()
    running.see(**{guard: None}).step(1)
    assert running.session.hold_reason is HoldReason.GUARD_LOST
    waiting = Cycle("lifting_old").see(locks_open=True, locks_closed=False, **{guard: None})
    assert kinds(waiting.step()) == ["Refusal"]


def test_before_the_exchange_a_lost_guard_is_only_waited_for() -> None:
    swap = Cycle().see(vehicle_present=False, curtain_clear=False)
    assert kinds(swap.step()) == ["Refusal"]
    swap.see(curtain_clear=True)
    assert kinds(swap.step(1)) == ["Send"]


def test_a_motion_before_the_exchange_is_guarded_while_it_runs() -> None:
    swap = Cycle().see(vehicle_present=False)
    swap.sent()
    swap.see(curtain_clear=False).step(1)
    assert swap.session.hold_reason is HoldReason.GUARD_LOST


def test_a_truck_let_go_drives_through_the_curtain_and_not_before() -> None:
    waiting = Cycle("releasing").see(curtain_clear=False)
    waiting.step()
    assert waiting.session.hold_reason is HoldReason.GUARD_LOST
    leaving = Cycle("releasing")
    leaving.sent()
    assert leaving.see(curtain_clear=False, doors_closed=False).step(5) == ()
    assert leaving.session.phase is Phase.SENT


# Trips, modes, links.


@pytest.mark.parametrize("signal", ["estop_ok", "power_ok", "fire_ok"])
@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.SENT, Phase.CONFIRMING])
def test_a_trip_holds_swap_and_station(signal: str, phase: Phase) -> None:
    swap = Cycle("unlocking")
    if phase is not Phase.PENDING:
        swap.sent()
    if phase is Phase.CONFIRMING:
        swap.ended(locks_closed=False).step()
    effects = swap.see(**{signal: False}).step()
    assert swap.session.hold_reason is HoldReason.TRIP
    assert swap.session.hold_detail == {"signal": signal}
    assert of(effects, StationHold).reason == signal
    assert (HoldRobot("trip") in effects) is (phase is not Phase.PENDING)


@pytest.mark.parametrize("mode", [StationMode.HELD, StationMode.MANUAL, StationMode.THERMAL, StationMode.FIRE])
def test_a_station_that_may_not_move_holds_the_swap(mode: StationMode) -> None:
    swap = Cycle("unlocking")
    swap.mode = mode
    effects = swap.step()
    assert kinds(effects) == ["Held"]
    assert of(effects, Held).reason is HoldReason.MODE
    assert swap.session.hold_detail == {"mode": mode.value}


def test_a_closed_station_ends_its_swaps() -> None:
    swap = Cycle("unlocking")
    swap.mode = StationMode.CLOSED
    assert kinds(swap.step()) == ["Send"]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"control_mode": ControlMode.LOCAL}, "local"),
        ({"run_mode": RunMode.MAINTENANCE}, "maintenance"),
        ({"run_mode": RunMode.FIRE}, "fire"),
    ],
)
def test_a_cell_taken_over_holds_the_swap(change: dict[str, Any], shown: str) -> None:
    swap = Cycle("unlocking").see(**change)
    swap.step()
    assert (swap.session.hold_reason, swap.session.hold_detail) == (HoldReason.MODE, {"mode": shown})
    assert swap.step(decide="continue") == ()  # it is not ours yet
    swap.see(control_mode=ControlMode.ONLINE, run_mode=RunMode.AUTO)
    assert kinds(swap.step(decide="continue")) == ["Resumed"]


def test_a_status_too_old_sends_nothing_and_then_holds() -> None:
    swap = Cycle("unlocking")
    swap.age_s = 2.1
    assert [m.as_data() for m in of(swap.step(), Refusal).missing] == [
        {"name": "fresh_status", "value": None, "age_s": 2.1}
    ]
    swap.age_s = 3.1
    swap.step(1)
    assert (swap.session.hold_reason, swap.session.hold_detail) == (HoldReason.LINK_LOST, {"age_s": 3.1})
    assert swap.step(decide="continue") == ()  # nobody can look
    swap.age_s = 0.1
    assert kinds(swap.step(decide="continue")) == ["Resumed"]


def test_a_running_motion_outlives_a_short_silence() -> None:
    swap = Cycle("unlocking")
    swap.sent()
    swap.age_s = 2.5
    assert swap.step(2.4) == ()
    assert swap.session.phase is Phase.SENT


@pytest.mark.parametrize("age_s", [None, 0.1])
def test_a_cell_never_read_or_with_a_still_heartbeat_is_lost(age_s: float | None) -> None:
    swap = Cycle("unlocking")
    swap.age_s = age_s
    swap.see(heartbeat_ok=age_s is None)
    swap.step()
    assert swap.session.hold_reason is HoldReason.LINK_LOST


def test_every_station_reason_ends_with_the_stations_confirmation() -> None:
    ended_by_it = {HoldReason.TRIP, HoldReason.LINK_LOST, HoldReason.MODE, HoldReason.RESTART, HoldReason.CELL_CHANGED}
    assert ended_by_it == STATION_REASONS


# What a cell that fences its requests shows.


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.SENT, Phase.CONFIRMING])
def test_an_epoch_that_nothing_explains_holds_in_every_phase(phase: Phase) -> None:
    swap = Cycle("lifting_old").see(locks_open=True, locks_closed=False)
    if phase is not Phase.PENDING:
        swap.sent()
    if phase is Phase.CONFIRMING:
        swap.ended().step()
    swap.cell_changed = True
    swap.step(1)
    assert (swap.session.phase, swap.session.hold_reason) == (Phase.HELD, HoldReason.CELL_CHANGED)
    assert swap.step(5) == ()


def test_a_trip_or_a_lost_guard_is_named_before_the_epoch_that_it_begins() -> None:
    for values, reason in (({"estop_ok": False}, HoldReason.TRIP), ({"curtain_clear": False}, HoldReason.GUARD_LOST)):
        swap = Cycle("lifting_old").see(locks_open=True, locks_closed=False, **values)
        swap.cell_changed = True
        swap.step()
        assert swap.session.hold_reason is reason


def test_a_result_that_no_record_knows_is_acknowledged_only_after_a_person() -> None:
    swap = Cycle("unlocking").see(done_seq=17, result=ResultCode.ABORTED)
    swap.result_known = False
    effects = swap.step()
    assert "Acknowledge" not in kinds(effects)
    assert (swap.session.phase, swap.session.hold_reason) == (Phase.HELD, HoldReason.UNKNOWN_RESULT)
    assert swap.session.hold_detail == {"seq": 17, "result": "aborted"}
    assert swap.step(5) == ()
    assert swap.step(decide="continue")[-1] == Acknowledge(17)


@pytest.mark.parametrize("decision", ["continue", "unwind"])
def test_a_decision_takes_over_the_result_that_it_was_made_on_and_none_that_comes_later(decision: str) -> None:
    swap = Cycle("unlocking").see(done_seq=17, result=ResultCode.ABORTED)
    swap.result_known = False
    swap.step()
    assert swap.session.hold_reason is HoldReason.UNKNOWN_RESULT
    assert swap.step(decide=decision)[-1] == Acknowledge(17)
    assert swap.session.phase is Phase.PENDING
    swap.see(done_seq=18, result=ResultCode.DONE)
    assert not any("Acknowledge" in kinds(swap.step()) for _ in range(3))
    assert swap.session.hold_reason is HoldReason.UNKNOWN_RESULT


def test_a_result_on_record_is_acknowledged_again() -> None:
    swap = Cycle("unlocking").see(done_seq=17, result=ResultCode.DONE)
    assert swap.step() == (Acknowledge(17),)
