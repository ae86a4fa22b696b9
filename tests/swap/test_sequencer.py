"""The step function: every phase, hold, failure and decision, cycle by cycle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from robotics.faults import fault_by_name
from robotics.port import AckCode, CellState, CommandCode, ControlMode, ResultCode, RunMode, Signal
from scheduler.types import StationMode
from swap.station.recipe import Check, FaultAction
from swap.station.sequencer import CHECK_RETRY_S, RESEND_S, interrupted
from swap.station.session import (
    STATION_REASONS,
    Acknowledge,
    CheckChanged,
    Ended,
    Held,
    HoldReason,
    HoldRobot,
    Phase,
    Refusal,
    Resumed,
    Send,
    StationHold,
    StepDone,
    StepFailed,
)
from tests.fakes_sequence import Cycle, heads, kinds, of

ALL_GUARDS = ("curtain_clear", "doors_closed", "handbrake_on", "gear_neutral", "key_off", "hv_off")


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
    [({"active_seq": 9, "state": CellState.BUSY}, "cell_idle"), ({"state": CellState.ALARM}, "no_cell_alarm")],
)
def test_no_command_to_a_cell_at_work_or_in_alarm(change: dict[str, Any], name: str) -> None:
    swap = Cycle("fetching_new").see(**change)
    assert [m.name for m in of(swap.step(), Refusal).missing] == [name]
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


@pytest.mark.parametrize("guard", ALL_GUARDS)
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


@pytest.mark.parametrize("guard", ["handbrake_on", "vehicle_link", "curtain_clear"])
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
    assert {HoldReason.TRIP, HoldReason.LINK_LOST, HoldReason.MODE, HoldReason.RESTART} == STATION_REASONS


# Numbers: lost, refused, forgotten.


def test_a_command_without_echo_is_sent_again_with_the_same_number() -> None:
    swap = Cycle("unlocking")
    first = of(swap.step(), Send)
    swap.next_seq = 43
    assert swap.step(RESEND_S - 0.1) == ()
    again = of(swap.step(0.2), Send)
    assert again.repeated
    assert again.command == first.command
    assert swap.step(0.5) == ()
    assert of(swap.step(0.6), Send).command == first.command


def test_the_wait_for_an_echo_is_in_real_seconds() -> None:
    swap = Cycle("unlocking")
    swap.speed = 20.0
    swap.step()
    assert swap.step(10) == ()
    assert of(swap.step(11), Send).repeated


def test_nothing_is_sent_again_while_a_permissive_lacks() -> None:
    swap = Cycle("unlocking")
    swap.step()
    assert kinds(swap.see(homed=False).step(2)) == ["Refusal"]
    assert kinds(swap.see(homed=True).step(1)) == ["Send"]


@pytest.mark.parametrize("shown", ["ack_seq", "active_seq", "done_seq"])
def test_a_number_seen_anywhere_is_not_sent_again(shown: str) -> None:
    swap = Cycle("unlocking")
    swap.step()
    swap.see(**{shown: 42})
    assert "Send" not in kinds(swap.step(5))


@pytest.mark.parametrize(
    ("code", "name", "action"),
    [
        (AckCode.REFUSED_INTERLOCK, "command_refused_interlock", FaultAction.RETRY),
        (AckCode.BUSY, "command_busy", FaultAction.RETRY),
        (AckCode.REFUSED_PARAMETER, "command_refused_parameter", FaultAction.UNWIND),
        (AckCode.REFUSED_MODE, "command_refused_mode", FaultAction.PERSON),
        (AckCode.REFUSED_OWNER, "command_refused_owner", FaultAction.PERSON),
    ],
)
def test_refusals_of_the_cell(code: AckCode, name: str, action: FaultAction) -> None:
    swap = Cycle("fetching_new").bay(3, occupied=True)
    swap.step()
    failed = of(swap.see(ack_seq=42, ack_code=code, fault_code=1201).step(1), StepFailed)
    assert (failed.fault.name, failed.action, failed.seq) == (name, action, 42)
    assert failed.fault.detail["fault_code"] == 1201
    assert fault_by_name(name).level >= 1
    if action is FaultAction.RETRY:
        assert (swap.session.phase, swap.session.seq, swap.session.tries) == (Phase.PENDING, None, 1)
        swap.next_seq = 43
        assert of(swap.step(1), Send).command.seq == 43


def test_names_of_all_faults_the_sequence_raises_are_in_the_catalogue() -> None:
    for name in ("command_failed", "command_aborted", "not_confirmed", "permissive_missing"):
        assert fault_by_name(name).name == name


def test_a_number_whose_result_was_acknowledged_long_ago_is_judged_by_the_sensors() -> None:
    """The stored state was taken back to an older one: the cell shows the number as over, and no result."""
    done = Cycle("unlocking", phase=Phase.SENT, seq=42).see(done_seq=42, locks_open=True)
    assert of(done.step(), StepDone).following == "lifting_old"
    other = Cycle("unlocking", phase=Phase.SENT, seq=42).see(done_seq=42)
    assert other.step() == ()
    assert other.session.phase is Phase.CONFIRMING
    assert of(other.step(16), StepFailed).fault.name == "not_confirmed"


def test_a_cell_that_forgot_its_numbers_is_judged_by_the_sensors_once_a_person_went_on() -> None:
    swap = Cycle("unlocking", phase=Phase.SENT, seq=42, resumed=True).see(locks_open=True)
    assert of(swap.step(), StepDone).seq == 42


# Failures, retries, confirmation, time limits.


def test_tries_are_counted_and_the_last_action_repeats() -> None:
    swap = Cycle("unlocking").see(heads_open=heads("1101"))
    code = fault_by_name("lock_head_not_open").code
    actions = []
    for seq in (42, 43, 44):
        swap.next_seq = seq
        swap.acknowledged().sent()
        effects = swap.ended(ResultCode.FAILED, fault_code=code).step(5)
        assert of(effects, Acknowledge).seq == seq
        actions.append(of(effects, StepFailed).action)
    assert actions == [FaultAction.RETRY, FaultAction.RETRY, FaultAction.PERSON]
    assert (swap.session.phase, swap.session.hold_reason, swap.session.seq) == (Phase.HELD, HoldReason.FAULT, None)
    assert swap.session.hold_detail["fault"] == "command_failed"


def test_the_lidar_is_tried_ten_times() -> None:
    swap = Cycle("locating").see(vehicle_in_position=False)
    code = fault_by_name("lidar_no_answer").code
    tries = 0
    while swap.session.phase is not Phase.HELD:
        swap.next_seq += 1
        swap.acknowledged().sent()
        swap.ended(ResultCode.FAILED, fault_code=code).step(8)
        tries += 1
    assert tries == 10


def test_a_failure_whose_sensors_say_done_is_done() -> None:
    swap = Cycle("unlocking")
    swap.sent()
    effects = swap.ended(ResultCode.FAILED, locks_open=True, locks_closed=False).step()
    assert of(effects, StepDone).following == "lifting_old"


@pytest.mark.parametrize("state", ["unlocking", "fetching_new", "locating", "homing"])
def test_a_withdrawn_motion_is_never_begun_again_by_itself(state: str) -> None:
    swap = Cycle(state).bay(3, occupied=True).see(at_home=True)
    if state == "locating":
        swap.see(vehicle_in_position=True)
    swap.sent()
    swap.see(at_home=False, vehicle_in_position=state not in ("locating",))
    effects = swap.ended(ResultCode.ABORTED).step()
    assert of(effects, StepFailed).action is FaultAction.PERSON
    assert swap.session.phase is Phase.HELD
    assert swap.step(100) == ()


def test_a_safety_trip_of_the_cell_stops_the_station() -> None:
    swap = Cycle("unlocking")
    swap.sent()
    code = fault_by_name("estop_pressed").code
    effects = swap.ended(ResultCode.FAILED, fault_code=code).step()
    assert of(effects, StepFailed).action is FaultAction.STOP
    assert of(effects, StationHold).reason == "command_failed"
    assert swap.session.phase is Phase.HELD


def test_done_but_never_confirmed_fails_after_its_limit() -> None:
    swap = Cycle("unlocking").see(heads_open=heads("1111"))
    swap.sent()
    swap.ended().step()
    assert swap.step(15) == ()
    effects = swap.step(0.1)
    failed = of(effects, StepFailed)
    assert (failed.fault.name, failed.action) == ("not_confirmed", FaultAction.RETRY)
    assert [m["name"] for m in failed.fault.detail["missing"]] == ["locks_open"]


def test_the_limit_of_confirmation_grows_with_a_fast_clock() -> None:
    swap = Cycle("unlocking")
    swap.speed = 60.0
    swap.sent()
    swap.ended().step()
    assert swap.session.deadline_at == swap.now + timedelta(seconds=15 * 6)


def test_after_a_retry_what_the_sensors_show_counts() -> None:
    swap = Cycle("unlocking").see(heads_open=heads("0111"))
    swap.sent()
    swap.ended(ResultCode.FAILED).step()
    assert swap.session.resumed
    swap.acknowledged().see(locks_open=True)
    assert of(swap.step(1), StepDone).seq is None


def test_on_first_entry_sensors_do_not_stand_for_the_command() -> None:
    swap = Cycle("homing").see(at_home=True)
    assert kinds(swap.step()) == ["Send"]


def test_a_command_that_does_not_end_is_held_with_its_number() -> None:
    swap = Cycle("unlocking")
    swap.sent()
    effects = swap.step(61)
    assert kinds(effects) == ["HoldRobot", "Held"]
    assert swap.session.hold_detail == {"seq": 42, "active": True}
    assert (swap.session.hold_reason, swap.session.seq) == (HoldReason.TIMEOUT, 42)
    swap.step(1, decide="continue")
    assert swap.session.phase is Phase.SENT
    assert of(swap.ended(locks_open=True).step(1), StepDone).seq == 42


# Pre-checks.


def _waits(swap: Cycle) -> list[tuple[str, str, int]]:
    return [(e.check.value, e.result, e.tries) for e in swap.step(CHECK_RETRY_S) if isinstance(e, CheckChanged)]


def test_checks_are_made_in_order_and_each_once() -> None:
    swap = Cycle("checking")
    swap.checks[Check.PACK_AVAILABLE] = None
    assert _waits(swap) == [("authorised", "pass", 0), ("record", "pass", 0), ("pack_available", "checking", 0)]
    assert _waits(swap) == []
    swap.checks[Check.AUTHORISED] = False  # passed is passed
    swap.checks[Check.PACK_AVAILABLE] = True
    assert _waits(swap) == [("pack_available", "pass", 0), ("vehicle_link", "pass", 0)]
    assert swap.session.state == "locating"


@pytest.mark.parametrize(
    ("check", "state", "tries"),
    [
        (Check.AUTHORISED, "checking", 3),
        (Check.RECORD, "checking", 3),
        (Check.PACK_AVAILABLE, "checking", 3),
        (Check.VEHICLE_LINK, "checking", 3),
        (Check.POSITION, "verifying", 10),
        (Check.OLD_PACK, "verifying", 3),
        (Check.NEW_PACK_ACCEPTED, "verifying", 3),
        (Check.NEW_PACK_POWER_OFF, "verifying", 3),
        (Check.ROBOT_READY, "verifying", 3),
    ],
)
def test_each_check_has_its_own_tries(check: Check, state: str, tries: int) -> None:
    swap = Cycle(state)
    swap.checks[check] = False
    results = []
    while swap.session.phase is not Phase.HELD:
        results += [result for name, result, _ in _waits(swap) if name == check.value]
    assert results == ["fail"] * (tries - 1) + ["waiting_person"]
    assert swap.session.hold_reason is HoldReason.CHECK_FAILED
    assert swap.session.hold_detail == {"check": check.value, "tries": tries}
    swap.checks[check] = True
    assert kinds(swap.step(decide="continue")) == ["Resumed"]
    assert of(swap.step(CHECK_RETRY_S), StepDone).row.state == state


def test_a_check_that_stays_unknown_waits_until_the_time_limit() -> None:
    swap = Cycle("checking")
    swap.checks[Check.VEHICLE_LINK] = None
    for _ in range(59):
        swap.step(CHECK_RETRY_S)
    assert swap.session.phase is Phase.PENDING
    swap.step(CHECK_RETRY_S + 1)
    assert swap.session.hold_detail == {"check": "vehicle_link", "tries": 0}


def test_checks_are_not_tried_faster_than_their_interval() -> None:
    swap = Cycle("checking")
    swap.checks[Check.RECORD] = False
    swap.step()
    assert swap.step(CHECK_RETRY_S - 0.1) == ()
    assert [e.tries for e in swap.step(0.2) if isinstance(e, CheckChanged)] == [2]


def test_the_way_back_cancels_the_checks_left_open() -> None:
    swap = Cycle("verifying")
    swap.checks[Check.OLD_PACK] = False
    while swap.session.phase is not Phase.HELD:
        swap.step(CHECK_RETRY_S)
    effects = swap.step(decide="unwind")
    cancelled = [e.check.value for e in effects if isinstance(e, CheckChanged)]
    assert cancelled == ["old_pack", "new_pack_accepted", "new_pack_power_off", "robot_ready"]
    assert swap.session.checks["position"]["result"] == "pass"
    assert swap.session.checks["old_pack"] == {"result": "cancelled", "tries": 3}
    assert swap.session.state == "homing_back"


# A person's decisions.


def _held(state: str, reason: HoldReason = HoldReason.FAULT, **options: Any) -> Cycle:
    return Cycle(state, phase=Phase.HELD, hold_reason=reason, hold_detail={"fault": "x"}, **options)


def test_to_continue_begins_the_row_anew_with_its_tries_and_its_time() -> None:
    swap = _held("unlocking", tries=3)
    swap.now += timedelta(hours=1)
    effects = swap.step(decide="continue")
    assert effects == (Resumed(of(effects, Resumed).decision, "unlocking", "unlocking"),)
    assert of(effects, Resumed).decision.by == "Li Wei"
    assert (swap.session.phase, swap.session.tries, swap.session.resumed) == (Phase.PENDING, 0, True)
    assert (swap.session.hold_reason, swap.session.hold_detail) == (None, {})
    assert swap.session.deadline_at == swap.now + timedelta(seconds=60)


@pytest.mark.parametrize("decision", ["continue", "unwind", "cancel"])
@pytest.mark.parametrize("hindrance", ["stale", "tripped", "thermal", "fire"])
def test_no_decision_counts_while_nobody_can_see_or_the_station_may_not_move(decision: str, hindrance: str) -> None:
    swap = _held("admitting" if decision == "cancel" else "unlocking").see(vehicle_present=decision != "cancel")
    if hindrance == "stale":
        swap.age_s = 5.0
    elif hindrance == "tripped":
        swap.see(estop_ok=False)
    else:
        swap.mode = StationMode(hindrance)
    before = swap.session
    assert swap.step(decide=decision) == ()
    assert swap.session is before


def test_to_continue_waits_for_the_stations_confirmation() -> None:
    swap = _held("unlocking", HoldReason.TRIP)
    swap.mode = StationMode.HELD
    assert swap.step(decide="continue") == ()
    swap.mode = StationMode.AUTOMATIC
    assert kinds(swap.step(decide="continue")) == ["Resumed"]


def test_the_way_back_may_be_chosen_while_the_station_is_held_and_moves_nothing() -> None:
    swap = _held("unlocking", HoldReason.TRIP, seq=42).see(done_seq=42, result=ResultCode.ABORTED)
    swap.mode = StationMode.HELD
    effects = swap.step(decide="unwind")
    assert kinds(effects) == ["Resumed"]
    assert of(effects, Resumed).following == "relocking"
    assert (swap.session.state, swap.session.phase, swap.session.hold_reason) == (
        "relocking",
        Phase.HELD,
        HoldReason.TRIP,
    )
    assert swap.session.seq is None
    swap.mode = StationMode.AUTOMATIC
    swap.step(decide="continue")
    assert swap.session.phase is Phase.PENDING


def test_a_swap_held_for_itself_waits_for_the_station_once_its_way_back_is_chosen() -> None:
    swap = _held("unlocking", HoldReason.FAULT)
    swap.mode = StationMode.HELD
    swap.step(decide="unwind")
    assert swap.session.hold_reason is HoldReason.MODE


def test_a_motion_under_way_must_end_before_the_way_back_begins() -> None:
    swap = _held("unlocking", HoldReason.GUARD_LOST, seq=42).see(active_seq=42, ack_seq=42)
    assert swap.step(decide="unwind") == ()
    swap.see(active_seq=0, done_seq=42, result=ResultCode.DONE)
    assert kinds(swap.step(decide="unwind")) == ["Resumed"]


def test_to_continue_with_a_motion_under_way_waits_for_its_result() -> None:
    swap = _held("unlocking", HoldReason.GUARD_LOST, seq=42).see(active_seq=42, ack_seq=42)
    swap.step(decide="continue")
    assert (swap.session.phase, swap.session.seq) == (Phase.SENT, 42)
    assert of(swap.ended(locks_open=True).step(5), StepDone).seq == 42


@pytest.mark.parametrize("result", [ResultCode.ABORTED, ResultCode.FAILED])
def test_to_continue_after_a_broken_off_motion_begins_it_anew(result: ResultCode) -> None:
    swap = _held("unlocking", HoldReason.TRIP, seq=42).see(done_seq=42, result=result)
    effects = swap.step(decide="continue")
    assert kinds(effects) == ["Resumed", "StepFailed", "Acknowledge"]
    assert of(effects, StepFailed).action is FaultAction.RETRY
    swap.next_seq = 43
    assert of(swap.acknowledged().step(), Send).command.seq == 43


def test_to_continue_where_the_cell_knows_nothing_of_the_number_takes_a_new_one() -> None:
    swap = _held("unlocking", HoldReason.RESTART, seq=42).see(ack_seq=41, done_seq=41)
    assert kinds(swap.step(decide="continue")) == ["Resumed"]
    assert (swap.session.phase, swap.session.seq) == (Phase.PENDING, None)
    swap.next_seq = 43
    assert of(swap.step(), Send).command.seq == 43


def test_to_call_off_needs_an_empty_lane_and_a_cell_at_rest() -> None:
    swap = _held("admitting", HoldReason.FAULT)
    assert swap.step(decide="cancel") == ()  # the truck is in the lane
    swap.see(vehicle_present=None)
    assert swap.step(decide="cancel") == ()
    swap.see(vehicle_present=False, active_seq=42)
    assert swap.step(decide="cancel") == ()  # it is being called
    swap.see(active_seq=0)
    effects = swap.step(decide="cancel")
    assert kinds(effects) == ["Resumed", "Ended"]
    assert swap.session.state == "cancelled"
    assert _held("checking").see(vehicle_present=False).step(decide="cancel") == ()


PLACES: dict[str, tuple[dict[str, Any], dict[int, bool], str | None]] = {
    # state: (signals, occupied bays, where the way back begins). Out-In: new pack in bay 1, old one to bay 3.
    "checking": ({}, {1: True, 3: False}, "homing_back"),
    "locating": ({}, {1: True, 3: False}, "homing_back"),
    "verifying": ({}, {1: True, 3: False}, "homing_back"),
    "unlocking": ({}, {1: True, 3: False}, "relocking"),
    "lifting_old": ({"locks_open": True}, {1: True, 3: False}, "relocking"),
    "storing_old": ({"gripper_loaded": True, "seat_1_occupied": False}, {1: True, 3: False}, "replacing_old"),
    "fetching_new": ({"seat_1_occupied": False}, {1: True, 3: True}, "retrieving_old"),
    "placing_new": ({"gripper_loaded": True, "seat_1_occupied": False}, {1: False, 3: True}, "restoring_new"),
    "locking": ({"locks_open": True}, {1: False, 3: True}, "freeing_new"),
    "accepting": ({}, {1: False, 3: True}, "freeing_new"),
    "homing": ({}, {1: False, 3: True}, None),
    "releasing": ({}, {1: False, 3: True}, None),
}


@pytest.mark.parametrize("state", PLACES)
def test_the_way_back_from_every_state_out_in(state: str) -> None:
    signals, bays, expected = PLACES[state]
    swap = _held(state).see(**signals)
    for position, occupied in bays.items():
        swap.bay(position, occupied=occupied)
    effects = swap.step(decide="unwind")
    if expected is None:
        assert effects == ()
    else:
        assert (swap.session.state, swap.session.phase) == (expected, Phase.PENDING)
        assert of(effects, Resumed).following == expected


IN_OUT: dict[str, tuple[dict[str, Any], dict[int, bool], str]] = {
    "staging_new": ({}, {1: True}, "homing_back"),
    "parking_new": ({"gripper_loaded": True}, {1: False}, "restoring_new"),
    "unlocking": ({"transfer_occupied": True}, {1: False}, "relocking"),
    "storing_old": ({"gripper_loaded": True, "seat_1_occupied": False}, {3: False}, "replacing_old"),
    "collecting_new": ({"transfer_occupied": True, "seat_1_occupied": False}, {3: True}, "retrieving_old"),
    "placing_new": ({"gripper_loaded": True, "seat_1_occupied": False}, {3: True}, "reparking_new"),
    "locking": ({"locks_open": True}, {3: True}, "freeing_new"),
}


@pytest.mark.parametrize("state", IN_OUT)
def test_the_way_back_in_out(state: str) -> None:
    signals, bays, expected = IN_OUT[state]
    swap = _held(state, order="in_out").see(**signals)
    for position, occupied in bays.items():
        swap.bay(position, occupied=occupied)
    swap.step(decide="unwind")
    assert swap.session.state == expected


@pytest.mark.parametrize(
    ("state", "signals", "bays", "done_to", "back_to"),
    [
        ("lifting_old", {"gripper_loaded": True, "seat_1_occupied": False}, {3: False}, "storing_old", "replacing_old"),
        ("storing_old", {"seat_1_occupied": False}, {3: True}, "fetching_new", "retrieving_old"),
        ("fetching_new", {"gripper_loaded": True}, {1: False, 3: True}, "placing_new", "restoring_new"),
        ("placing_new", {"locks_open": True}, {1: False, 3: True}, "locking", "freeing_new"),
    ],
)
def test_what_the_sensors_show_done_is_stored_before_the_way_back(
    state: str, signals: dict[str, Any], bays: dict[int, bool], done_to: str, back_to: str
) -> None:
    """The motion was withdrawn after the pack had moved."""
    swap = _held(state, HoldReason.TRIP, seq=42).see(done_seq=42, result=ResultCode.ABORTED, **signals)
    for position, occupied in bays.items():
        swap.bay(position, occupied=occupied)
    effects = swap.step(decide="unwind")
    assert kinds(effects)[0] == "StepDone"
    assert of(effects, StepDone).following == done_to
    assert of(effects, StepDone).seq == 42
    assert (of(effects, Resumed).state, of(effects, Resumed).following) == (done_to, back_to)
    assert of(effects, Acknowledge).seq == 42


# The charged pack comes off again.


def test_a_pack_taken_off_again_is_not_exchanged() -> None:
    swap = Cycle("removing_new", exchanged=frozenset({1})).see(locks_open=True, locks_closed=False)
    swap.sent()
    effects = swap.ended(gripper_loaded=True, seat_1_occupied=False).step(40)
    assert of(effects, StepDone).move.source == "seat"
    assert swap.session.exchanged == frozenset()
    assert swap.session.state == "restoring_new"


def test_placing_a_charged_pack_exchanges_its_seat() -> None:
    swap = Cycle("placing_new_2", packs=2, exchanged=frozenset({1}))
    swap.see(heads_open=heads("0000", "1111"), heads_closed=heads("1111", "0000"), locks_closed=False)
    swap.see(gripper_loaded=True, seat_2_occupied=False)
    assert swap.sent().command.target is not None
    swap.ended(gripper_loaded=False, seat_2_occupied=True).step(40)
    assert swap.session.exchanged == {1, 2}


def test_the_own_pack_back_in_its_seat_is_no_exchange() -> None:
    swap = Cycle("replacing_old").see(locks_open=True, locks_closed=False, gripper_loaded=True, seat_1_occupied=False)
    swap.sent()
    swap.ended(gripper_loaded=False, seat_1_occupied=True).step(40)
    assert swap.session.exchanged == frozenset()


@pytest.mark.parametrize(("exchanged", "end"), [(frozenset[int](), "returned"), (frozenset({1}), "completed")])
def test_the_end_of_the_way_back_says_what_was_exchanged(exchanged: frozenset[int], end: str) -> None:
    swap = Cycle("releasing_back", packs=2, exchanged=exchanged)
    swap.sent()
    effects = swap.ended(vehicle_present=False).step(20)
    assert of(effects, Ended) == Ended(end, exchanged)


# Two seats, their heads.


def test_each_seat_has_its_own_places() -> None:
    swap = Cycle("fetching_new_2", packs=2)
    command = swap.sent().command
    assert command.source is not None
    assert command.source.code == 2
    second = Cycle("storing_old_2", packs=2).see(gripper_loaded=True)
    target = second.sent().command.target
    assert target is not None
    assert target.code == 4


@pytest.mark.parametrize(
    ("opened", "sends"),
    [
        (heads("1111", "0000"), True),
        (heads("1110", "0000"), False),
        (heads("0000", "1111"), False),
        (heads("111-", "0000"), False),
        (heads("----", "0000"), False),
        ((), False),
    ],
)
def test_with_two_seats_the_heads_of_the_rows_seat_must_be_open(opened: tuple[bool | None, ...], sends: bool) -> None:
    swap = Cycle("lifting_old_1", packs=2).see(heads_open=opened, locks_open=False, locks_closed=False)
    assert ("Send" in kinds(swap.step())) is sends


@pytest.mark.parametrize(
    ("closed", "together", "done"),
    [
        (heads("1111", "1111"), True, True),
        (heads("1111", "1111"), False, False),  # another sensor of a head disagrees
        (heads("1110", "1111"), False, False),
        (heads("11-1", "1111"), True, False),
    ],
)
def test_with_two_seats_a_lock_is_closed_when_all_sensors_of_the_vehicle_agree(
    closed: tuple[bool | None, ...], together: bool, done: bool
) -> None:
    swap = Cycle("locking_1", packs=2)
    swap.sent()
    effects = swap.ended(heads_closed=closed, locks_closed=together).step(12)
    assert ("StepDone" in kinds(effects)) is done


@pytest.mark.parametrize("packs", [1, 2])
def test_heads_that_are_not_fitted_are_no_failed_heads(packs: int) -> None:
    state = "unlocking" if packs == 1 else "unlocking_1"
    swap = Cycle(state, packs=packs)
    swap.sent()
    opened = heads("1011", "0000") if packs == 2 else heads("1011")
    failed = of(swap.ended(ResultCode.FAILED, heads_open=opened, locks_closed=False).step(), StepFailed)
    assert failed.fault.failed_heads == (1,)
    assert failed.fault.head_count == 4
    assert failed.action is FaultAction.RETRY


def test_two_heads_on_one_side_are_not_tried_again() -> None:
    swap = Cycle("locking").see(locks_closed=False)
    swap.sent()
    failed = of(swap.ended(ResultCode.FAILED, heads_closed=heads("0101")).step(), StepFailed)
    assert failed.fault.failed_heads == (0, 2)
    assert failed.action is FaultAction.PERSON


# Restart.


def test_a_swap_taken_up_again_is_held_with_its_number() -> None:
    swap = Cycle("unlocking")
    swap.sent()
    swap.session = interrupted(swap.session)
    assert (swap.session.phase, swap.session.hold_reason, swap.session.seq) == (Phase.HELD, HoldReason.RESTART, 42)
    assert swap.step(5) == ()
    assert swap.ended(locks_open=True).step(5) == ()
    swap.step(decide="continue")
    assert of(swap.step(), StepDone).following == "lifting_old"


def test_after_a_clean_stop_a_motion_is_waited_for() -> None:
    swap = Cycle("unlocking", phase=Phase.SENT, seq=42, resumed=True).see(ack_seq=42, active_seq=42)
    assert swap.step() == ()
    assert of(swap.ended(locks_open=True).step(5), StepDone).seq == 42


def test_a_held_swap_without_a_decision_stays() -> None:
    for state in ("admitting", "lifting_old", "releasing_back"):
        swap = _held(state)
        before = swap.session
        assert swap.step(3600) == ()
        assert swap.session is before


@pytest.mark.parametrize("state", ["queued", "completed", "returned", "cancelled"])
def test_a_swap_outside_the_table_takes_no_step(state: str) -> None:
    swap = Cycle()
    swap.session = type(swap.session)(**{**_fields(swap.session), "state": state})
    assert swap.step() == ()


def _fields(session: Any) -> dict[str, Any]:
    return {name: getattr(session, name) for name in session.__slots__}


def test_signals_of_the_cell_are_all_known_to_the_fakes() -> None:
    assert set(Cycle().signals) == set(Signal)
