"""What people may ask, what is refused and why; manual work; one open swap for a vehicle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from robotics.port import CommandCode, Location, LocationKind
from swap.errors import SwapError, SwapOpen
from swap.gate import check_in
from swap.messages.commerce import BillIssued
from swap.messages.events import (
    Reconciled,
    RequestAnswered,
    SwapCompleted,
    SwapDispatched,
    SwapHeld,
    SwapReturned,
    SwapStepDone,
    SwapStepStarted,
)
from swap.messages.requests import DEADLINE_S
from swap.station.sequence.session import HoldReason, Phase
from swap.tables import ControlRequest, Swap
from tests.support.sim.plant import code
from tests.support.swap.station import Bench, blocked, mode

SPENT = code(11)
FRESH = code(1)


def bay(position: int) -> int:
    return Location(LocationKind.BAY, position).code


@pytest.mark.parametrize(
    ("kind", "arguments", "answer"),
    [
        ("dance", {}, "kind 'dance' is unknown"),
        (
            "decide",
            {"swap_id": "x", "decision": "guess"},
            "the request is not valid: arguments.decision = 'guess': allowed Input should be 'continue', 'unwind', "
            "'cancel' or 'tow_out'",
        ),
        ("reset", {}, "the request is not valid: arguments.lane_id = None: allowed Field required"),
        ("decide", {"swap_id": "x", "decision": "unwind"}, "swap 'x' is in no lane"),
        ("cancel_swap", {"swap_id": "x"}, "no swap 'x'"),
        ("release_pack", {"pack_id": "x"}, "no pack 'x'"),
        ("release_bay", {"bay_id": "Z9"}, "no bay 'Z9'"),
        ("reset", {"lane_id": "L9"}, "no lane 'L9'; there are: L1"),
    ],
)
async def test_a_request_that_cannot_be_met_is_refused_with_its_reason(
    bench: Bench, kind: str, arguments: dict[str, Any], answer: str
) -> None:
    assert await bench.settled(bench.ask(kind, **arguments)) == ("refused", answer)
    answered = [e for e in bench.events() if e.kind == RequestAnswered.kind]
    assert answered[-1].data["answer"] == answer
    assert bench.who(answered[-1]) == "Person on shift"


async def test_a_pack_that_is_in_no_quarantine_is_not_released(bench: Bench) -> None:
    status, answer = await bench.settled(bench.ask("release_pack", pack_id=FRESH))
    assert status == "refused"
    assert "ready" in answer


async def test_a_mode_that_the_table_does_not_allow_is_refused(bench: Bench) -> None:
    await bench.settled(bench.ask("manual"))
    status, answer = await bench.settled(bench.ask("close"))
    assert (status, answer) == ("refused", "close is not allowed while the station is manual")


async def test_a_decision_on_a_swap_that_is_not_held_is_refused(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state="lifting_old")
    before = bench.plant.cell("L1").hold
    for decision in ("continue", "unwind", "cancel"):
        status, answer = await bench.settled(bench.ask("decide", swap_id=swap_id, decision=decision))
        assert (status, answer) == ("refused", f"{decision} is not possible for swap {swap_id} as things stand")
    assert bench.plant.cell("L1").hold == before


async def test_a_vehicle_has_one_open_swap_only(bench: Bench) -> None:
    first = bench.arrive("V1", 30)
    with pytest.raises(SwapOpen, match=first), bench.store.station(bench.config.station.id) as db:
        check_in(db, bench.config, vehicle_id="V1", at=bench.clock.now())
    with bench.store.reading() as db:
        assert len(db.exec(select(Swap).where(Swap.vehicle_id == "V1")).all()) == 1
    await bench.run_until(SwapCompleted.kind, step_s=None)
    second = bench.arrive("V1", 20)
    assert second != first


async def test_a_queued_swap_is_cancelled_and_gives_nothing_back(bench: Bench) -> None:
    await bench.settled(bench.ask("hold"))
    swap_id = bench.arrive("V1", 30)
    assert (await bench.settled(bench.ask("cancel_swap", swap_id=swap_id))) == ("done", "cancelled")
    assert bench.swap(swap_id).state == "cancelled"
    assert (await bench.settled(bench.ask("cancel_swap", swap_id=swap_id)))[0] == "refused"
    bench.plant.leave_yard("V1")
    await bench.settled(bench.ask("confirm"))
    await bench.run_while_still(60)
    bench.audited()


async def test_a_truck_that_does_not_come_is_cancelled_by_a_person_and_its_pack_is_free_again(bench: Bench) -> None:
    bench.plant.inject("does_not_come", "V1")
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapHeld.kind, 900, None)
    row = bench.swap(swap_id)
    assert (row.state, row.phase) == ("admitting", Phase.HELD)
    assert bench.pack(FRESH).state == "reserved"
    status, _ = await bench.settled(bench.ask("decide", swap_id=swap_id, decision="cancel"))
    assert status == "done"
    assert bench.swap(swap_id).state == "cancelled"
    assert bench.pack(FRESH).state == "ready"
    bench.plant.leave_yard("V1")
    other = bench.arrive("V2", 30)
    ended = await bench.run_until(SwapCompleted.kind, step_s=None)
    assert ended.swap_id == other
    await bench.run(5)
    bench.audited()


@pytest.mark.parametrize("state", ["lifting_old", "storing_old", "fetching_new", "placing_new"])
async def test_a_person_may_ask_for_the_way_back(bench: Bench, state: str) -> None:
    """The truck keeps its own pack; nothing is billed."""
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state=state)
    await bench.settled(bench.ask("hold"))
    await bench.run(80)
    assert bench.swap(swap_id).phase == Phase.HELD
    # The way back is chosen, then the station is confirmed; or the other way round where it must be.
    first, _ = await bench.settled(bench.ask("decide", swap_id=swap_id, decision="unwind"))
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    assert first == "done"
    await bench.run_until(SwapReturned.kind, step_s=None)
    await bench.run(5)
    assert bench.places()[SPENT] == "vehicle:V1:1"
    assert bench.places()[FRESH] == "bay:A1"
    assert bench.places() == bench.recorded_places()
    assert bench.pack(FRESH).state == "ready"
    assert not [e for e in bench.events() if e.kind == BillIssued.kind]
    bench.audited()


async def test_manual_work_without_a_difference_goes_on(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepDone.kind, step_s=None, state="storing_old")
    assert (await bench.settled(bench.ask("manual", "Operator A")))[0] == "done"
    await bench.run(60)
    assert bench.swap(swap_id).hold_reason == HoldReason.MODE
    bench.plant.inject("local_mode", "L1")
    await bench.run_while_still(60)
    bench.plant.clear("local_mode", "L1")
    await bench.run(1)  # a confirmation is judged by what the station has seen
    assert (await bench.settled(bench.ask("confirm", "Operator A"))) == ("done", "going on")
    ended = await bench.run_until(SwapCompleted.kind, step_s=None)
    assert ended.swap_id == swap_id
    await bench.run(5)
    bench.audited()


async def test_a_pack_moved_by_hand_is_found_and_quarantined_not_guessed(bench: Bench) -> None:
    assert (await bench.settled(bench.ask("manual")))[0] == "done"
    bench.plant.inject("local_mode", "L1")
    bench.plant.inject("local_move", "L1", source=bay(2), target=bay(6))
    await bench.run(5)
    bench.plant.clear("local_mode", "L1")
    status, answer = await bench.settled(bench.ask("confirm", "Operator A"))
    assert status == "done"
    assert answer.startswith("going on; blocked: ")
    assert "bay:A2" in answer
    assert set(blocked(bench)) == {"A2", "Q1"}
    assert bench.pack(code(2)).state == "quarantined"
    assert bench.pack(code(2)).bay_id == "test:A2"  # the record is not changed by a guess
    reconciled = [e for e in bench.events() if e.kind == Reconciled.kind][-1]
    assert bench.who(reconciled) == "Operator A"
    # The rest of the station works on, and leaves both bays alone.
    for vehicle in ("V1", "V2"):
        bench.arrive(vehicle, 30)
    await bench.run_until(SwapDispatched.kind, step_s=None)
    await bench.run(900, step_s=None)
    assert bench.places()[code(2)] == "bay:Q1"


async def test_a_pack_left_in_the_gripper_by_hand_stops_the_lane(bench: Bench) -> None:
    await bench.settled(bench.ask("manual"))
    bench.plant.inject("local_mode", "L1")
    bench.plant.inject("local_move", "L1", source=bay(1), target=0)
    bench.plant.clear("local_mode", "L1")
    await bench.run(2)
    _, answer = await bench.settled(bench.ask("confirm"))
    assert "gripper:L1 empty / loaded" in answer
    bench.arrive("V1", 30)
    await bench.run_while_still(120)
    assert bench.open_faults()["record_mismatch"] in ("gripper:L1", "bay:A1")
    # Put back by hand, and looked at again.
    await bench.settled(bench.ask("manual"))
    bench.plant.inject("local_mode", "L1")
    bench.plant.inject("local_move", "L1", source=0, target=bay(1))
    bench.plant.cell("L1").at_home = True
    bench.plant.clear("local_mode", "L1")
    await bench.run(2)
    assert (await bench.settled(bench.ask("confirm"))) == ("done", "going on")
    await bench.run_until(SwapCompleted.kind, step_s=None)


async def test_a_swap_whose_pack_was_carried_away_by_hand_waits_for_a_person(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepDone.kind, step_s=None, state="lifting_old")
    await bench.settled(bench.ask("manual"))
    await bench.run(80)
    bench.plant.inject("local_mode", "L1")
    source = 0 if bench.places()[SPENT] == "gripper:L1" else bay(4)
    bench.plant.inject("local_move", "L1", source=source, target=bay(6))
    bench.plant.clear("local_mode", "L1")
    await bench.run(2)
    _, answer = await bench.settled(bench.ask("confirm"))
    assert "bay:Q1" in answer
    before = len(bench.motions)
    await bench.run(600, step_s=None)
    row = bench.swap(swap_id)
    assert row.phase == Phase.HELD
    assert row.state in ("storing_old", "fetching_new")
    moved = [m for m in bench.motions[before:] if m[0] == "moved"]
    assert not moved
    assert blocked(bench)["Q1"] == "record_mismatch"


async def test_a_person_at_the_cell_takes_it_over_without_asking(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state="fetching_new")
    await bench.run(5)
    bench.plant.inject("local_mode", "L1")
    await bench.run_until(SwapHeld.kind, 60, 1.0)
    await bench.run_while_still(60)
    bench.plant.clear("local_mode", "L1")
    await bench.run_while_still(60)
    await bench.settled(bench.ask("confirm"))
    await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue"))
    await bench.run_until(SwapCompleted.kind, step_s=None)
    begun = [c for what, _, c in bench.motions if what == "moved"]
    assert begun == [CommandCode.PICK, CommandCode.PUT, CommandCode.PICK, CommandCode.PUT]


async def test_a_second_check_in_of_an_unknown_vehicle_is_an_error(bench: Bench) -> None:
    with pytest.raises(SwapError, match="V99"), bench.store.station(bench.config.station.id) as db:
        check_in(db, bench.config, vehicle_id="V99", at=bench.clock.now())


async def test_a_request_past_its_deadline_is_not_executed(bench: Bench) -> None:
    late = bench.ask("close")
    with bench.store.transaction() as db:
        db.get_one(ControlRequest, late).requested_at -= timedelta(seconds=(DEADLINE_S + 1) * bench.clock.speed)
    before = mode(bench)
    assert await bench.settled(late) == (
        "expired",
        "not done: it was not taken up within 10 s; look again, then ask again",
    )
    assert mode(bench) == before
    assert (await bench.settled(bench.ask("close")))[0] == "done"
