"""The step function: a person's decisions, the way back, two seats, restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from robotics.port import ResultCode, Signal
from scheduler.types import StationMode
from swap.station.sequence.recipe import FaultAction
from swap.station.sequence.sequencer import interrupted
from swap.station.sequence.session import (
    Acknowledge,
    Ended,
    HoldReason,
    Phase,
    Resumed,
    Send,
    StepDone,
    StepFailed,
)
from tests.support.swap.sequence import SEAT_BY_SEAT, Cycle, heads, kinds, of

# A person's decisions.


def _held(state: str, reason: HoldReason = HoldReason.FAULT, **options: Any) -> Cycle:
    return Cycle(state, phase=Phase.HELD, hold_reason=reason, hold_detail={"fault": "x"}, **options)


def test_to_continue_begins_the_row_anew_with_its_tries_and_its_time() -> None:
    swap = _held("unlocking", tries=3)
    swap.now += timedelta(hours=1)
    effects = swap.step(decide="continue")
    assert effects == (Resumed(of(effects, Resumed).decision, "unlocking", "unlocking"),)
    assert of(effects, Resumed).decision.by == "Person on shift"
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


@pytest.mark.parametrize(
    ("seen", "decide", "lacks"),
    [
        ({"curtain_clear": False}, "continue", ("curtain_clear",)),
        ({"curtain_clear": False}, "unwind", ("curtain_clear",)),
        ({"curtain_clear": None}, "continue", ()),
        ({"estop_ok": False}, "continue", ("estop_ok",)),
        ({"active_seq": 42}, "unwind", ("cell_idle",)),
        ({"active_seq": 42}, "continue", ()),
    ],
)
def test_a_decision_that_would_not_last_is_refused_with_what_it_lacks(
    seen: dict[str, Any], decide: str, lacks: tuple[str, ...]
) -> None:
    """Held for the light curtain: to go on while it is broken would be held again at the next look."""
    swap = _held("unlocking").see(**seen)
    assert swap.lacking(decide) == lacks
    assert bool(swap.step(decide=decide)) is not bool(lacks)
    if not lacks:
        assert "Held" not in kinds(swap.step(1))


def test_what_forbids_every_decision_is_named() -> None:
    stale, hot = _held("unlocking"), _held("unlocking")
    stale.age_s, hot.hot_load = 5.0, True
    assert (stale.lacking("unwind"), hot.lacking("unwind")) == (("fresh_status",), ("!gripper_loaded",))
    assert Cycle("unlocking").see(estop_ok=False).lacking("continue") == ()  # not held: nobody is asked
    ended = _held("releasing")
    ended.session = replace(ended.session, state="completed")
    assert ended.lacking("continue") == ()
    unlocked = _held("storing_old").see(gripper_loaded=True, seat_1_occupied=True, handbrake_on=False)
    assert unlocked.lacking("unwind") == ()  # there is no way back, however the truck stands


def test_a_running_command_goes_on_only_where_its_guards_are_known() -> None:
    swap = _held("unlocking", seq=42).see(active_seq=42, ack_seq=42, curtain_clear=None)
    assert swap.lacking("continue") == ("curtain_clear",)
    assert swap.step(decide="continue") == ()


def test_a_way_back_that_waits_for_the_station_asks_for_what_secures_the_truck_alone() -> None:
    """What guards a motion is looked at when the station is confirmed."""
    swap = _held("storing_old", HoldReason.TRIP).see(
        gripper_loaded=True, seat_1_occupied=False, locks_open=True, curtain_clear=False, handbrake_on=False
    )
    swap.mode = StationMode.HELD
    assert swap.lacking("unwind") == ("handbrake_on",)
    assert kinds(swap.see(handbrake_on=True).step(decide="unwind")) == ["Resumed"]
    assert swap.session.phase is Phase.HELD


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
    assert swap.see(locks_open=True).step(1) == ()  # it still moves, whatever the sensors show by now
    assert of(swap.ended(locks_open=True).step(5), StepDone).seq == 42


@pytest.mark.parametrize("result", [ResultCode.ABORTED, ResultCode.FAILED])
def test_to_continue_after_a_broken_off_motion_begins_it_anew(result: ResultCode) -> None:
    swap = _held("unlocking", HoldReason.TRIP, seq=42).see(done_seq=42, result=result)
    effects = swap.step(decide="continue")
    assert kinds(effects) == ["Resumed", "StepFailed", "Acknowledge"]
    assert of(effects, StepFailed).action is FaultAction.RETRY
    swap.next_seq = 43
    assert of(swap.acknowledged().step(), Send).command.seq == 43


def test_to_continue_after_a_motion_that_was_broken_off_at_its_very_end_takes_it_for_done() -> None:
    swap = _held("unlocking", HoldReason.TRIP, seq=42).see(done_seq=42, result=ResultCode.ABORTED, locks_open=True)
    assert kinds(swap.step(decide="continue")) == ["Resumed"]
    assert of(swap.step(), StepDone).seq == 42


@pytest.mark.parametrize("decision", ["continue", "unwind"])
def test_no_decision_counts_while_a_command_may_be_under_way_or_a_hot_pack_in_the_gripper(decision: str) -> None:
    swap = _held("unlocking", HoldReason.GUARD_LOST, seq=42)
    swap.last_sent_at = swap.now  # and the cell was last looked at then
    assert swap.step(decide=decision) == ()
    later = swap.now + timedelta(seconds=1)
    swap.see(fast_at=later).hot_load = True
    assert swap.step(decide=decision) == ()
    swap.hot_load = False
    assert kinds(swap.step(decide=decision)) == ["Resumed"]


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


@pytest.mark.parametrize(
    ("state", "loaded", "bays"),
    [
        ("storing_old", False, {1: True, 3: False}),  # the vehicle's own pack is nowhere
        ("placing_new", True, {1: False, 3: False}),  # and here only the charged one is where it should be
    ],
)
def test_no_way_back_without_the_vehicles_own_pack(state: str, loaded: bool, bays: dict[int, bool]) -> None:
    swap = _held(state).see(gripper_loaded=loaded, seat_1_occupied=False)
    for position, occupied in bays.items():
        swap.bay(position, occupied=occupied)
    assert swap.step(decide="unwind") == ()


def test_the_way_back_counts_what_people_have_done_of_it() -> None:
    swap = _held("placing_new").see(gripper_loaded=False, seat_1_occupied=False)
    swap.bay(1, occupied=True).bay(3, occupied=True)  # the charged pack lies in its bay again
    swap.step(decide="unwind")
    assert swap.session.state == "restoring_new"
    assert of(swap.step(), StepDone).following == "retrieving_old"


@pytest.mark.parametrize(("state", "back"), [("lifting_old", "relocking"), ("fetching_new", None)])
def test_a_pack_for_quarantine_that_is_still_in_its_seat_may_go_with_its_truck(state: str, back: str | None) -> None:
    swap = _held(state).see(locks_open=True)
    swap.session = replace(swap.session, seats=(replace(swap.session.seats[0], quarantine=True),))
    swap.bay(3, occupied=True)
    swap.step(decide="unwind")
    assert swap.session.state == (back or state)


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


def test_a_charged_pack_in_the_gripper_is_not_exchanged() -> None:
    swap = Cycle("fetching_new")
    swap.sent()
    swap.ended(gripper_loaded=True).bay(1, occupied=False).step(40)
    assert (swap.session.state, swap.session.exchanged) == ("placing_new", frozenset())


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
    assert set(Cycle().signals) == set(Signal) - SEAT_BY_SEAT
