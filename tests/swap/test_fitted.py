"""Signals that not every equipment has: needed as soon as the cell's map carries them, by no recipe row."""

from __future__ import annotations

import pytest

from robotics.port import VEHICLE_OPTIONAL, CommandCode, ResultCode, Signal
from swap.station.sequence.fitted import fitted_after, fitted_before
from swap.station.sequence.recipe import load_recipe, shipped_recipes
from swap.station.sequence.session import HoldReason, Phase, Refusal, StepDone
from tests.support.swap.sequence import Cycle, kinds, of

FITTED = (*VEHICLE_OPTIONAL, Signal.CONNECTOR_FREE, Signal.GRIPPER_LOCKED, Signal.SUPPORTED)


def without(swap: Cycle, *signals: Signal) -> Cycle:
    """The cell's map does not carry these."""
    for signal in signals:
        del swap.signals[signal]
    return swap


@pytest.mark.parametrize("signal", VEHICLE_OPTIONAL)
@pytest.mark.parametrize("value", [False, None])
@pytest.mark.parametrize("state", ["unlocking", "storing_old", "locking", "accepting", "homing"])
def test_what_a_vehicle_tells_of_its_swap_mode_is_part_of_being_secured(
    state: str, signal: Signal, value: bool | None
) -> None:
    """S9: driving not inhibited, or high voltage not discharged, holds like a released handbrake."""
    swap = Cycle(state, opened=True).see(**{signal.value: value})
    assert kinds(swap.step()) == ["HoldRobot", "Held"]
    assert swap.session.hold_reason is HoldReason.UNSECURED
    assert [item["name"] for item in swap.session.hold_detail["missing"]] == [signal.value]
    first = Cycle("unlocking").see(**{signal.value: value})
    assert [m.name for m in of(first.step(), Refusal).missing] == [signal.value]


def test_equipment_without_them_is_asked_nothing_more() -> None:
    for state in ("unlocking", "homing"):
        assert kinds(without(Cycle(state), *FITTED).step()) == ["Send"]


@pytest.mark.parametrize("value", [False, None])
@pytest.mark.parametrize(
    ("recipe", "state", "signal"),
    [
        ("top_lift", "unlocking", Signal.CONNECTOR_FREE),
        ("top_lift", "lifting_old", Signal.CONNECTOR_FREE),
        ("top_lift", "placing_new", Signal.GRIPPER_LOCKED),
        ("top_lift", "storing_old", Signal.GRIPPER_LOCKED),
        ("chassis", "lowering_old", Signal.SUPPORTED),
        ("chassis", "locking", Signal.SUPPORTED),
    ],
)
def test_a_command_waits_for_them(recipe: str, state: str, signal: Signal, value: bool | None) -> None:
    swap = Cycle(state, recipe=recipe)
    if state in ("lifting_old", "lowering_old", "placing_new"):
        swap.see(locks_open=True, locks_closed=False)
    if state in ("placing_new", "storing_old"):
        swap.see(gripper_loaded=True, seat_1_occupied=False)
    swap.see(**{signal.value: value})
    assert [m.name for m in of(swap.step(), Refusal).missing] == [signal.value]
    swap.see(**{signal.value: True})
    assert kinds(swap.step(1)) == ["Send"]


def test_open_heads_alone_are_no_supported_pack() -> None:
    """S9: on a chassis station support and unlock are told apart."""
    swap = Cycle("unlocking", recipe="chassis")
    swap.sent()
    swap.ended(ResultCode.DONE).see(locks_open=True, locks_closed=False, supported=False)
    swap.step(1)
    assert swap.session.phase is Phase.CONFIRMING
    swap.see(supported=True)
    assert of(swap.step(1), StepDone).row.state == "unlocking"


def test_a_pack_that_is_gripped_and_not_locked_is_not_picked() -> None:
    swap = Cycle("lifting_old").see(locks_open=True, locks_closed=False)
    swap.sent()
    swap.ended(ResultCode.DONE).see(gripper_loaded=True, seat_1_occupied=False, gripper_locked=False)
    swap.step(1)
    assert swap.session.phase is Phase.CONFIRMING
    swap.step(31)
    assert [m["name"] for m in swap.session.hold_detail["missing"]] == ["gripper_locked"]


def test_every_row_of_a_kind_asks_alike() -> None:
    cell = Cycle().facts().cell.cell
    for name in shipped_recipes():
        for row in load_recipe(name).table(2, "in_out").rows:
            if row.command is CommandCode.PUT:
                assert Signal.GRIPPER_LOCKED in fitted_before(row, cell)
            if row.command is CommandCode.PICK:
                assert Signal.GRIPPER_LOCKED in fitted_after(row, cell)
            if row.command is CommandCode.UNLOCK:
                assert Signal.CONNECTOR_FREE in fitted_before(row, cell)
                assert Signal.SUPPORTED in fitted_after(row, cell)
