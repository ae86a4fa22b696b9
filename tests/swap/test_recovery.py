"""Recovery as a pure function of row, fault and tries; locking heads by number and position."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from robotics.faults import load_faults
from robotics.port import CellStatus, CommandCode, ResultCode
from swap.station.sequence.recipe import FaultAction, OnFault, StepRow, load_recipe
from swap.station.sequence.recovery import StepFault, cell_fault, head_action, recovery_for
from tests.support.swap.sequence import heads as seat_bits

RETRY, UNWIND, PERSON, STOP = FaultAction.RETRY, FaultAction.UNWIND, FaultAction.PERSON, FaultAction.STOP


def row(state: str, recipe: str = "top_lift") -> StepRow:
    return load_recipe(recipe).table().by_state[state]


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        ("unlocking", [RETRY, RETRY, PERSON, PERSON]),
        ("fetching_new", [RETRY, RETRY, UNWIND, UNWIND]),
        ("releasing", [PERSON, PERSON]),
        ("homing", [RETRY, PERSON]),
    ],
)
def test_the_row_says_what_follows_each_failure(state: str, actions: list[FaultAction]) -> None:
    fault = StepFault("command_failed")
    assert [recovery_for(row(state), fault, tries) for tries in range(len(actions))] == actions


@pytest.mark.parametrize(("state", "action"), [("unlocking", PERSON), ("fetching_new", UNWIND), ("homing", PERSON)])
def test_what_a_retry_cannot_help_skips_the_retries(state: str, action: FaultAction) -> None:
    assert recovery_for(row(state), StepFault("gripper_jam", retry_may_help=False), 0) is action


def test_a_safety_trip_stops_before_anything_else() -> None:
    fault = StepFault("estop_pressed", safety_trip=True, withdrawn=True, retry_may_help=False, failed_heads=(0,))
    for state in ("unlocking", "fetching_new", "releasing"):
        assert recovery_for(row(state), fault, 0) is STOP


@pytest.mark.parametrize("tries", range(4))
def test_a_withdrawn_motion_waits_for_a_person_in_every_row(tries: int) -> None:
    for name in ("top_lift", "side_grab", "chassis"):
        for item in load_recipe(name).table(2, "in_out").rows:
            assert recovery_for(item, StepFault("command_aborted", withdrawn=True), tries) is PERSON


@pytest.mark.parametrize("tries", range(4))
def test_what_is_done_against_the_sensors_waits_for_a_person_in_every_row(tries: int) -> None:
    """S7: no machine repeats a command on facts that contradict each other."""
    for name in ("top_lift", "side_grab", "chassis"):
        for item in load_recipe(name).table(2, "in_out").rows:
            assert recovery_for(item, StepFault("not_confirmed", contradicted=True), tries) is PERSON


def test_where_there_is_no_way_back_a_person_decides() -> None:
    asks = replace(row("homing"), on_fault=OnFault(0, UNWIND))
    assert asks.unwind_state is None
    assert recovery_for(asks, StepFault("command_failed"), 0) is PERSON


@pytest.mark.parametrize("head", range(4))
def test_one_head_is_tried_as_the_row_allows(head: int) -> None:
    fault = StepFault("lock_head_not_closed", failed_heads=(head,), head_count=4)
    assert [recovery_for(row("locking"), fault, tries) for tries in range(3)] == [RETRY, RETRY, PERSON]


@pytest.mark.parametrize("heads", list(combinations(range(4), 2)))
def test_two_heads_of_four_decide_by_position(heads: tuple[int, int]) -> None:
    """Even on the left, odd on the right; 0 and 1 on the front axle, 2 and 3 on the rear one."""
    fault = StepFault("lock_head_not_open", failed_heads=heads, head_count=4)
    diagonal = heads in ((0, 3), (1, 2))
    assert recovery_for(row("unlocking"), fault, 0) is (RETRY if diagonal else PERSON)
    assert recovery_for(row("unlocking"), fault, 1) is PERSON


@pytest.mark.parametrize("count", [4, 8])
def test_three_heads_or_more_are_never_tried_again(count: int) -> None:
    for number in range(3, count + 1):
        for heads in combinations(range(count), number):
            fault = StepFault("lock_head_not_open", failed_heads=heads, head_count=count)
            assert head_action(row("unlocking"), fault, 0, RETRY) is PERSON, heads


def test_two_of_two_or_three_heads_are_most_of_them() -> None:
    for count in (2, 3):
        fault = StepFault("lock_head_not_open", failed_heads=(1, 2), head_count=count)
        assert head_action(row("unlocking"), fault, 0, RETRY) is PERSON


def test_the_shuttle_tries_a_head_once_only() -> None:
    fault = StepFault("lock_head_not_open", failed_heads=(1,), head_count=4)
    chassis = row("unlocking", "chassis")
    assert [recovery_for(chassis, fault, tries) for tries in range(2)] == [RETRY, PERSON]


def test_every_fault_of_the_catalogue_gives_an_action_in_every_row() -> None:
    """A safety trip stops everywhere; no fault is tried for ever."""
    rows = [r for r in load_recipe("top_lift").table(1, "in_out").rows if r.command is not None]
    for known in load_faults().values():
        fault = StepFault(known.name, safety_trip=known.safety_trip, retry_may_help=known.retry_may_help)
        for item in rows:
            actions = [recovery_for(item, fault, tries) for tries in range(12)]
            assert (actions[0] is STOP) is known.safety_trip, (known.name, item.state)
            assert actions[-1] is not RETRY, (known.name, item.state)
            if not known.retry_may_help:
                assert RETRY not in actions, (known.name, item.state)
    assert {r.command for r in rows} >= {CommandCode.PICK, CommandCode.PUT, CommandCode.LOCK, CommandCode.UNLOCK}


def test_heads_without_a_count_are_judged_by_their_places() -> None:
    """None on one axle or side of the other; how many are fitted is not known."""
    apart = StepFault("lock_head_not_closed", failed_heads=(0, 3))
    assert head_action(row("locking"), apart, 0, RETRY) is RETRY
    assert head_action(row("locking"), apart, 1, RETRY) is PERSON


@pytest.mark.parametrize(
    ("state", "failed", "count"), [("locking", (1,), 3), ("unlocking", (0, 2), 4), ("fetching_new", (), 0)]
)
def test_the_heads_of_a_failed_command_are_those_that_are_fitted(
    state: str, failed: tuple[int, ...], count: int
) -> None:
    closed, opened = seat_bits("101-"), seat_bits("0101")
    cell = CellStatus("L1", None, None, result=ResultCode.FAILED, heads_closed=closed, heads_open=opened)
    fault = cell_fault(row(state), cell, "command_failed")
    assert (fault.failed_heads, fault.head_count) == (failed, count)
