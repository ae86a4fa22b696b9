"""The pre-check *authorised*: the contract decides before the first motion, and says nothing where there is none."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from robotics.port import CommandCode
from swap.commerce.leases.contracts import move
from swap.commerce.leases.rights import override_without_contract, swap_right
from swap.commerce.leases.states import LeaseTrigger
from swap.messages.events import SwapCheck, SwapCompleted, SwapHeld, SwapStepStarted
from swap.station_db import StationDb
from tests.support.swap.leases import WHO, signed, terms
from tests.support.swap.station import START_AT, Bench


def decide(bench: Bench, *, required: bool) -> None:
    """Ask contracts, as the composition root has it."""

    def has_right(db: StationDb, swap_id: str, at: datetime) -> bool:
        return swap_right(db, swap_id, at, contract_required=required).allowed

    bench.controller.context.has_right = has_right


@pytest.mark.parametrize(
    ("required", "contract", "suspended", "swaps"),
    [(False, False, False, True), (True, False, False, False), (True, True, False, True), (False, True, True, False)],
)
async def test_the_contract_decides(bench: Bench, required: bool, contract: bool, suspended: bool, swaps: bool) -> None:
    decide(bench, required=required)
    if contract:
        first = (START_AT - timedelta(days=30)).date().isoformat()
        given = {"lessor_id": "owner", "first_day": first, "vehicles": ["V1"], "stations": ["test"]}
        contract_id = signed(bench.store, terms(**given), START_AT)
        if suspended:
            with bench.store.commerce() as db:
                move(db, contract_id, LeaseTrigger.SUSPEND, at=START_AT, actor=WHO)
    bench.arrive("V1", 30)
    if swaps:
        await bench.run_until(SwapCheck.kind, check="authorised", result="pass")
    else:
        await bench.run_until(SwapHeld.kind)
        with bench.store.reading_station("test") as db:
            (swap,) = db.open_swaps()
            found = swap.checks["authorised"]["result"], swap.hold_reason
        assert found == ("waiting_person", "check_failed")
        assert {command for _, _, command in bench.motions} == {CommandCode.ADMIT}


async def test_a_truck_without_a_contract_is_swapped_by_the_safety_officers_word(bench: Bench) -> None:
    """Held before the first unlock, since the station asks for a contract; served, and billed as the station bills."""
    decide(bench, required=True)
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapHeld.kind)
    at = bench.clock.now()
    with bench.store.commerce() as db:
        until_at = at + timedelta(hours=1)
        override_without_contract(
            db, "V1", "safety", until_at=until_at, at=at, actor=WHO, reason="blocks the ramp", station_id="test"
        )
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    await bench.run_until(SwapCheck.kind, check="authorised", result="pass")


async def test_contracts_that_cannot_be_read_stop_one_truck_and_not_the_controller(bench: Bench) -> None:
    def broken(db: StationDb, swap_id: str, at: datetime) -> bool:
        raise LookupError("terms of an unknown kind")

    bench.controller.context.has_right = broken
    bench.arrive("V1", 30)
    await bench.run_until(SwapHeld.kind)
    with bench.store.reading_station("test") as db:
        (swap,) = db.open_swaps()
        found = swap.checks["authorised"]["result"], swap.hold_reason
    assert found == ("waiting_person", "check_failed")
    assert {command for _, _, command in bench.motions} == {CommandCode.ADMIT}


@pytest.mark.parametrize("lost", ["withdrawn", "unreadable"])
async def test_a_right_that_is_lost_between_check_in_and_admission_is_refused(bench: Bench, lost: str) -> None:
    """The gate let the truck in; before the first unlock it is asked again, by a reason, and a person may go on."""
    state = {"right": ""}
    bench.controller.context.has_right = lambda db, swap_id, at: right(state["right"])
    swap_id = bench.arrive("V1", 30)
    state["right"] = lost
    await bench.run_until(SwapHeld.kind)
    with bench.store.reading_station("test") as db:
        (swap,) = db.open_swaps()
        assert (swap.hold_reason, swap.hold_detail["check"]) == ("check_failed", "authorised")
    assert {command for _, _, command in bench.motions} == {CommandCode.ADMIT}
    state["right"] = ""
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    await bench.run_until(SwapCheck.kind, check="authorised", result="pass")


@pytest.mark.parametrize("lost", ["withdrawn", "unreadable"])
async def test_a_right_that_is_lost_after_the_first_unlock_stops_nobody(bench: Bench, lost: str) -> None:
    """Neither a contract nor an account that fails leaves a truck with open heads and a pack in the air."""
    state = {"right": ""}
    bench.controller.context.has_right = lambda db, swap_id, at: right(state["right"])
    bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, state="unlocking")
    state["right"] = lost
    await bench.run_until(SwapCompleted.kind)
    assert SwapHeld.kind not in {event.kind for event in bench.events()}


def right(lost: str) -> bool:
    if lost == "unreadable":
        raise LookupError("terms of an unknown kind")
    return not lost


async def test_a_database_that_fails_beneath_a_contract_is_the_databases_matter(bench: Bench) -> None:
    def gone(db: StationDb, swap_id: str, at: datetime) -> bool:
        raise OperationalError("SELECT", {}, Exception("gone"))

    context = bench.controller.context
    context.has_right = gone
    with bench.store.reading_station("test") as db, pytest.raises(OperationalError):
        context.right_of(db, "sw-1")
