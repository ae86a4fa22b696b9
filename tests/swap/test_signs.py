"""What the driver is shown, and when his vehicle is asked into swap mode."""

from __future__ import annotations

import pytest

from robotics.port import CommandCode, DriverSign, ResultCode
from swap.station.sequence.recipe import load_recipe, shipped_recipes
from swap.station.sequence.secured import STRICT
from swap.station.sequence.session import HoldReason
from swap.station.sequence.signs import in_swap_mode, sign_for
from tests.support.swap.sequence import Cycle


def sign(swap: Cycle) -> DriverSign:
    return sign_for(swap.table, swap.session, STRICT, swap.facts().cell)


def test_a_swap_calls_stops_forbids_and_lets_go() -> None:
    swap = Cycle().see(vehicle_present=False)
    assert sign(swap) is DriverSign.STOP
    assert not in_swap_mode(swap.table, swap.session)
    swap.sent()
    assert sign(swap) is DriverSign.CALL
    assert sign(swap.see(vehicle_present=True)) is DriverSign.STOP
    for state in ("checking", "locating", "verifying"):
        before = Cycle(state)
        assert sign(before) is DriverSign.STOP
        assert in_swap_mode(before.table, before.session)
    leaving = Cycle("releasing")
    assert sign(leaving) is DriverSign.DO_NOT_MOVE
    leaving.sent()
    assert sign(leaving) is DriverSign.DRIVE_OFF
    assert not in_swap_mode(leaving.table, leaving.session)
    leaving.ended(ResultCode.FAILED).step(1)
    assert leaving.session.hold_reason is HoldReason.FAULT
    assert sign(leaving) is DriverSign.STOP


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_truck_that_is_not_secured_is_told_so_with_the_horn_in_every_row(name: str) -> None:
    """S2: the alarm goes to the driver, held or not, and ends when the truck is secured again."""
    for row in load_recipe(name).table().rows:
        if row.command in (CommandCode.ADMIT, CommandCode.RELEASE):
            continue
        swap = Cycle(row.state, recipe=name, opened=True)
        assert sign(swap) is DriverSign.DO_NOT_MOVE, row.state
        assert sign(swap.see(handbrake_on=False)) is DriverSign.ALARM, row.state
        swap.step()
        assert sign(swap) is DriverSign.ALARM, row.state
        assert sign(swap.see(handbrake_on=True)) is DriverSign.DO_NOT_MOVE, row.state
