"""The step function: numbers lost and refused, failures and retries, pre-checks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from robotics.faults import fault_by_name
from robotics.port import AckCode, ResultCode
from swap.station.sequence.handshake import RESEND_S
from swap.station.sequence.recipe import Check, FaultAction
from swap.station.sequence.sequencer import CHECK_RETRY_S
from swap.station.sequence.session import (
    Acknowledge,
    CheckChanged,
    Held,
    HoldReason,
    Phase,
    Send,
    StationHold,
    StepDone,
    StepFailed,
)
from tests.support.swap.sequence import Cycle, heads, kinds, of

# Numbers: lost, refused, forgotten.


def test_a_command_without_echo_is_sent_again_with_the_same_number() -> None:
    swap = Cycle("unlocking")
    first = of(swap.step(), Send)
    swap.next_seq = 43
    swap.see(locks_open=True)  # what the sensors show is no answer of the cell
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
    effects = swap.see(ack_seq=42, ack_code=code, fault_code=1201).step(1)
    assert "Acknowledge" not in kinds(effects)  # it shows no result
    failed = of(effects, StepFailed)
    assert (failed.fault.name, failed.action, failed.seq) == (name, action, 42)
    assert failed.fault.detail["fault_code"] == 1201
    assert fault_by_name(name).level >= 1
    if action is FaultAction.RETRY:
        assert (swap.session.phase, swap.session.seq, swap.session.tries) == (Phase.PENDING, None, 1)
        assert swap.session.deadline_at == swap.now + timedelta(seconds=150)
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
    other = Cycle("unlocking", phase=Phase.SENT, seq=42, resumed=True)
    assert of(other.step(), Send).repeated


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


def test_a_motion_broken_off_at_its_very_end_waits_for_a_person_too() -> None:
    """An e-stop comes and goes unseen while the link is lost for a moment; the sensors show the lift carried out."""
    swap = Cycle("lifting_old").see(locks_open=True, locks_closed=False)
    swap.sent()
    swap.ended(ResultCode.ABORTED, gripper_loaded=True, seat_1_occupied=False)
    effects = swap.step()
    assert of(effects, StepFailed).action is FaultAction.PERSON
    assert swap.session.phase is Phase.HELD
    effects = swap.acknowledged().step(60, decide="continue") + swap.step()
    assert of(effects, StepDone).following == "storing_old"


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
    assert (failed.fault.name, failed.action) == ("not_confirmed", FaultAction.PERSON)
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


def test_a_command_of_a_resumed_row_is_waited_for_as_any_other() -> None:
    swap = Cycle("unlocking", resumed=True)
    swap.step()
    assert swap.see(locks_open=True).step(0.5) == ()  # nothing of its number was heard yet


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


def test_to_continue_keeps_what_has_passed() -> None:
    swap = Cycle("checking")
    swap.checks[Check.RECORD] = False
    while swap.session.phase is not Phase.HELD:
        swap.step(CHECK_RETRY_S)
    swap.step(decide="continue")
    assert swap.session.checks == {"authorised": {"result": "pass", "tries": 0}}
    assert _waits(swap)[0] == ("record", "fail", 1)


def test_a_check_that_stays_unknown_waits_until_the_time_limit() -> None:
    swap = Cycle("checking")
    swap.checks[Check.VEHICLE_LINK] = None
    for _ in range(59):
        swap.step(CHECK_RETRY_S)
    assert swap.session.phase is Phase.PENDING
    swap.step(CHECK_RETRY_S + 1)
    assert swap.session.hold_detail == {"check": "vehicle_link", "tries": 0}


def test_a_check_that_fails_has_its_tries_also_after_the_time_limit() -> None:
    swap = Cycle("checking")
    swap.checks[Check.RECORD] = False
    told = [(e.check.value, e.result, e.tries) for e in swap.step(121) if isinstance(e, CheckChanged)]
    assert told[-1] == ("record", "fail", 1)
    assert swap.session.phase is Phase.PENDING


def test_checks_are_not_tried_faster_than_their_interval() -> None:
    swap = Cycle("checking")
    swap.checks[Check.RECORD] = False
    swap.step()
    assert swap.step(1.9) == ()
    assert [e.tries for e in swap.step(0.1) if isinstance(e, CheckChanged)] == [2]


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
    assert swap.session.checks["robot_ready"] == {"result": "cancelled", "tries": 0}
    assert swap.session.state == "homing_back"


def test_a_cell_that_was_heard_just_in_time_is_waited_for() -> None:
    swap = Cycle("unlocking")
    swap.age_s = swap.facts().link_lost_s
    assert kinds(swap.step()) == ["Refusal"]
    swap.age_s += 0.14
    (held,) = swap.step(1)
    assert isinstance(held, Held)
    assert held.detail == {"age_s": 3.1}


def test_a_row_that_only_looks_waits_for_a_fresh_look_without_a_word() -> None:
    swap = Cycle("accepting")
    swap.age_s = 2.5
    assert swap.step() == ()
    assert swap.session.phase is Phase.PENDING


def test_each_row_begins_with_no_tries_and_as_nobody_has_resumed_it() -> None:
    swap = Cycle("unlocking", tries=2, resumed=True)
    swap.sent()
    swap.see(locks_open=True, locks_closed=False, heads_open=heads("1111"), heads_closed=heads("0000")).ended()
    for _ in range(4):
        swap.step(0.5)
    assert swap.session.state == "lifting_old"
    assert (swap.session.tries, swap.session.resumed) == (0, False)


@pytest.mark.parametrize(("opened", "accepted", "leaves"), [(True, False, False), (False, False, True)])
def test_a_truck_whose_locks_never_opened_leaves_without_its_acceptance(
    opened: bool, accepted: bool, leaves: bool
) -> None:
    swap = Cycle("releasing", opened=opened).see(pack_accepted=accepted)
    assert ("Send" in kinds(swap.step())) is leaves
