"""What a vehicle needs before it is released, on every path, and the one other way out."""

from __future__ import annotations

from typing import Any

import pytest

from robotics.port import CommandCode, ControlMode, ResultCode
from scheduler.types import StationMode
from swap.station.sequence.recipe import load_recipe, shipped_recipes
from swap.station.sequence.session import Ended, HoldReason, Phase, Refusal, Resumed, StepFailed, TowedOut
from swap.station.sequence.step_table import FaultAction, SwapOrder
from tests.support.swap.sequence import Cycle, kinds, of

TABLES: list[tuple[str, int, SwapOrder]] = [
    (name, packs, order) for name in shipped_recipes() for packs in (1, 2) for order in ("out_in", "in_out")
]


@pytest.mark.parametrize(("name", "packs", "order"), TABLES)
@pytest.mark.parametrize("value", [False, None])
def test_every_release_after_an_unlock_asks_for_seats_locks_and_acceptance(
    name: str, packs: int, order: SwapOrder, value: bool | None
) -> None:
    """S6: forward and on the way back, in every recipe; whatever its rows ask for."""
    rows = load_recipe(name).table(packs, order)
    releases = [row.state for row in rows.rows if row.command is CommandCode.RELEASE]
    assert len(releases) == 2
    last_seat = {"all_seats_occupied": f"seat_{packs}_occupied", "all_packs_accepted": "pack_accepted"}
    for state in releases:
        for fact in ("all_packs_accepted", "all_seats_occupied"):
            swap = Cycle(state, recipe=name, packs=packs, order=order, opened=True)
            swap.see(**{last_seat[fact]: value})
            assert [(m.name, m.value) for m in of(swap.step(), Refusal).missing] == [(fact, value)], state
            swap.see(**{last_seat[fact]: True})
            assert kinds(swap.step(1)) == ["Send"]


def test_an_own_pack_that_is_not_accepted_is_not_let_go_on_the_way_back() -> None:
    """S6: after `storing_old` and the way back the truck's own pack is locked, and not accepted."""
    swap = Cycle("releasing_back", opened=True).see(pack_accepted=False)
    swap.step()
    swap.step(301)
    assert swap.session.hold_reason is HoldReason.FAULT
    assert swap.step(1, decide="continue")
    assert kinds(swap.step(1)) == ["Refusal"]


def test_a_truck_whose_locks_never_opened_leaves_locked_and_asks_nobody() -> None:
    swap = Cycle("releasing_back", opened=False).see(pack_accepted=None, seat_1_occupied=None)
    assert kinds(swap.step()) == ["Send"]
    unlocked = Cycle("releasing_back", opened=False).see(locks_closed=False)
    assert [m.name for m in of(unlocked.step(), Refusal).missing] == ["all_locks_closed"]


def test_a_truck_that_is_gone_before_its_release_has_not_been_released() -> None:
    swap = Cycle("releasing", resumed=True).see(vehicle_present=False, pack_accepted=None)
    assert kinds(swap.step()) == ["Refusal"]
    released = Cycle("releasing", resumed=True, released=True).see(vehicle_present=False, pack_accepted=None)
    assert "Ended" in kinds(released.step())
    locked = Cycle("releasing_back", resumed=True, opened=False).see(vehicle_present=False)
    assert "Ended" in kinds(locked.step())


def test_a_release_that_was_sent_stays_sent_and_known() -> None:
    swap = Cycle("homing", released=True)
    swap.sent()
    assert swap.session.released


def by_hand(state: str = "releasing", **session: Any) -> Cycle:
    """A truck that was not accepted; people have taken it out with the cell in local mode."""
    swap = Cycle(state, **session).see(pack_accepted=False)
    swap.mode = StationMode.MANUAL
    swap.step()
    assert swap.session.phase is Phase.HELD
    return swap.see(control_mode=ControlMode.LOCAL, vehicle_present=False, vehicle_link=False, locks_closed=None)


@pytest.mark.parametrize(("exchanged", "end"), [(frozenset({1}), "completed"), (frozenset(), "cancelled")])
@pytest.mark.parametrize("state", ["storing_old", "accepting", "releasing", "releasing_back"])
def test_a_truck_that_cannot_be_accepted_is_towed_out(state: str, exchanged: frozenset[int], end: str) -> None:
    """S6: manual work at station and cell, and a named person who says so; told as what it is."""
    swap = by_hand(state, exchanged=exchanged)
    effects = swap.step(1, decide="tow_out")
    assert kinds(effects) == ["Resumed", "TowedOut", "Ended"]
    assert of(effects, TowedOut).decision.by == "Person on shift"
    assert of(effects, TowedOut).state == state
    assert of(effects, Resumed).following == end
    assert of(effects, Ended) == Ended(end, exchanged)


@pytest.mark.parametrize(
    "change",
    [
        {"control_mode": ControlMode.ONLINE},
        {"vehicle_present": True},
        {"vehicle_present": None},
        {"gripper_loaded": True},
        {"gripper_loaded": None},
        {"active_seq": 9},
        {"estop_ok": False},
    ],
)
def test_nobody_is_towed_out_while_lane_gripper_or_cell_say_otherwise(change: dict[str, object]) -> None:
    swap = by_hand().see(**change)
    assert swap.step(1, decide="tow_out") == ()
    other = by_hand()
    other.mode = StationMode.AUTOMATIC
    assert other.step(1, decide="tow_out") == ()
    first = by_hand("admitting")
    assert first.step(1, decide="tow_out") == ()  # it never was in the lane: that is called off


@pytest.mark.parametrize(
    ("state", "sensors"),
    [
        ("locating", {"vehicle_in_position": False}),
        ("unlocking", {"locks_open": False}),
        ("lifting_old", {"gripper_loaded": False}),
        ("placing_new", {"seat_1_occupied": False}),
        ("locking", {"locks_closed": False}),
        ("homing", {"at_home": False}),
    ],
)
def test_done_against_the_sensors_is_for_a_person_at_once(state: str, sensors: dict[str, bool]) -> None:
    """S7: PICK was sent twice, LOCATE nine times, where the cell said done and the sensors did not agree."""
    swap = Cycle(state)
    if state == "lifting_old":
        swap.see(locks_open=True, locks_closed=False)
    if state == "placing_new":
        swap.see(locks_open=True, locks_closed=False, seat_1_occupied=False, gripper_loaded=True)
    if state == "locating":
        swap.see(at_home=True)
    swap.sent()
    swap.ended(ResultCode.DONE).see(**sensors).step(1)
    failed = of(swap.step(31), StepFailed)
    assert (failed.fault.name, failed.action) == ("not_confirmed", FaultAction.PERSON)
    assert swap.session.hold_reason is HoldReason.FAULT
    assert swap.session.hold_detail["missing"]
    assert swap.step(60) == ()


@pytest.mark.parametrize("state", ["lifting_old", "storing_old", "placing_new", "locking", "accepting", "homing"])
def test_a_measurement_that_the_plc_has_forgotten_leaves_only_the_tow_out(state: str) -> None:
    """After an UNLOCK nothing measures the position again: no decision lets the swap go on."""
    swap = Cycle(state).see(vehicle_in_position=False)
    swap.step()
    assert swap.session.hold_reason is HoldReason.UNSECURED
    for decision in ("continue", "unwind", "cancel"):
        assert swap.step(1, decide=decision) == ()
    swap.mode = StationMode.MANUAL
    swap.see(vehicle_present=False, gripper_loaded=False, control_mode=ControlMode.LOCAL)
    assert "TowedOut" in kinds(swap.step(1, decide="tow_out"))
