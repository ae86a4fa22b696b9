"""The vehicle is secured, or nothing moves: from the first UNLOCK until robot home and locks closed, in every row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robotics.port import VEHICLE_OPTIONAL, VEHICLE_SECURED, CommandCode, ResultCode, Signal
from scheduler.types import StationMode
from swap.station.sequence.recipe import load_recipe, shipped_recipes
from swap.station.sequence.secured import STRICT, SecuredNeeds, VehiclePhase, _at_vehicle, phase_of, span, to_home
from swap.station.sequence.session import HoldReason, Phase, Refusal, Resumed, StepFacts
from swap.station.sequence.step_table import StepTable, SwapOrder
from tests.support.swap.sequence import Cycle, kinds, of

TABLES: list[tuple[str, int, SwapOrder]] = [
    (name, packs, order) for name in shipped_recipes() for packs in (1, 2) for order in ("out_in", "in_out")
]


def table(name: str, packs: int, order: SwapOrder) -> StepTable:
    return load_recipe(name).table(packs, order)


def held_by(swap: Cycle) -> list[str]:
    assert swap.session.phase is Phase.HELD
    assert swap.session.hold_reason is HoldReason.UNSECURED
    return [item["name"] for item in swap.session.hold_detail["missing"]]


@pytest.mark.parametrize(("name", "packs", "order"), TABLES)
def test_the_span_begins_at_the_first_unlock_and_ends_with_the_release(name: str, packs: int, order: SwapOrder) -> None:
    rows = table(name, packs, order)
    inside = span(rows)
    forward = [row.state for row in rows.forward]
    first = next(i for i, row in enumerate(rows.forward) if row.command is CommandCode.UNLOCK)
    assert [state for state in forward if state in inside] == forward[first:]
    assert {row.state for row in rows.rows if row.unwinding} <= set(inside)
    assert {inside[row.state] for row in rows.rows if row.command is CommandCode.RELEASE} == {VehiclePhase.LEAVING}


def test_the_span_goes_on_where_the_way_back_begins() -> None:
    """Also in a recipe whose way back opens no heads again."""
    rows = table("top_lift", 1, "out_in")
    kept = [row for row in rows.rows if row.state != "freeing_new"]
    never = [replace(row, unwind_state=None) if row.unwind_state == "freeing_new" else row for row in kept]
    inside = span(replace(rows, rows=tuple(never)))
    assert {"relocking", "replacing_old", "retrieving_old", "releasing_back"} <= set(inside)


@pytest.mark.parametrize(("name", "packs", "order"), TABLES)
@pytest.mark.parametrize("value", [False, None])
def test_every_fact_is_asked_in_every_row_of_the_span(
    name: str, packs: int, order: SwapOrder, value: bool | None
) -> None:
    """S2: whichever row the truck is unsecured in, while it waits: held at this look, the cell told, nothing sent."""
    rows = table(name, packs, order)
    states = [state for state in span(rows) if rows.by_state[state].command is not CommandCode.RELEASE]
    for state in states:
        for fact in VEHICLE_SECURED:
            swap = Cycle(state, recipe=name, packs=packs, order=order, opened=True).see(**{fact.value: value})
            assert kinds(swap.step()) == ["HoldRobot", "Held"], (state, fact)
            assert held_by(swap) == [fact.value]


@pytest.mark.parametrize("fact", VEHICLE_SECURED)
@pytest.mark.parametrize("value", [False, None])
@pytest.mark.parametrize("state", ["unlocking", "storing_old", "locking", "homing"])
def test_a_running_motion_is_held_as_well(state: str, fact: Signal, value: bool | None) -> None:
    """S2: high voltage that comes on while LOCK runs is a loss like any other."""
    swap = Cycle(state)
    if state == "storing_old":
        swap.see(gripper_loaded=True)
    swap.sent()
    swap.see(**{fact.value: value})
    assert kinds(swap.step(1)) == ["HoldRobot", "Held"]
    assert held_by(swap) == [fact.value]
    assert swap.session.seq == 42


def test_what_the_cell_has_carried_out_meanwhile_is_not_taken_for_done() -> None:
    """S2: the pack is accepted while the truck is out of its place: no HOME, no RELEASE."""
    swap = Cycle("accepting").see(handbrake_on=False, gear_neutral=False, key_off=False, hv_off=False)
    swap.see(vehicle_in_position=False, pack_accepted=True)
    swap.step()
    assert set(held_by(swap)) == set(VEHICLE_SECURED) - {Signal.VEHICLE_PRESENT, Signal.VEHICLE_LINK}
    assert swap.session.state == "accepting"


def test_before_the_first_unlock_the_same_facts_are_waited_for() -> None:
    swap = Cycle("unlocking").see(handbrake_on=False, hv_off=None)
    refusal = of(swap.step(), Refusal)
    assert [(m.name, m.value) for m in refusal.missing] == [("handbrake_on", False), ("hv_off", None)]
    assert swap.session.phase is Phase.PENDING
    assert not swap.session.opened
    swap.see(handbrake_on=True, hv_off=True)
    swap.sent()
    assert swap.session.opened


def test_a_command_that_was_lost_is_not_sent_again_to_an_unsecured_truck() -> None:
    swap = Cycle("unlocking")
    swap.step()
    swap.see(key_off=False)
    swap.step(1.5)
    assert held_by(swap) == ["key_off"]


@pytest.mark.parametrize("decide", ["continue", "unwind"])
def test_a_person_lets_nothing_go_on_before_the_truck_is_secured_again(decide: str) -> None:
    swap = Cycle("storing_old").see(gripper_loaded=True, seat_1_occupied=False, locks_open=True, handbrake_on=False)
    swap.step()
    assert held_by(swap) == ["handbrake_on"]
    assert swap.step(1, decide=decide) == ()
    assert swap.lacking(decide) == ("handbrake_on",)
    swap.see(handbrake_on=True)
    assert swap.step(5) == ()  # being secured again starts nothing by itself
    assert of(swap.step(1, decide="continue"), Resumed).following == "storing_old"
    assert kinds(swap.step(1)) == ["Send"]


def test_the_span_ends_when_the_robot_is_home_and_the_locks_are_closed() -> None:
    waiting = Cycle("releasing").see(handbrake_on=False, exit_clear=False)
    assert [m.name for m in of(waiting.step(), Refusal).missing] == ["exit_clear"]
    for away in ({"at_home": False}, {"at_home": None}, {"locks_closed": False}, {"locks_closed": None}):
        swap = Cycle("releasing").see(handbrake_on=False, **away)
        swap.step()
        assert held_by(swap) == ["handbrake_on"]


def test_a_truck_that_drives_out_is_asked_nothing_more() -> None:
    swap = Cycle("releasing")
    swap.sent()
    assert swap.session.released
    swap.see(handbrake_on=False, gear_neutral=False, key_off=False, vehicle_in_position=False, locks_closed=None)
    assert swap.step(5) == ()
    assert swap.see(locks_closed=False).step(1) == ()
    swap.see(locks_closed=None)
    # The cell has lost its number: the row begins anew, and the truck is asked nothing that its driver has undone.
    swap.ended(ResultCode.FAILED).step(1)
    assert swap.session.hold_reason is HoldReason.FAULT
    assert kinds(swap.step(1, decide="continue")) == ["Resumed"]
    swap.acknowledged()
    assert "HoldRobot" not in kinds(swap.step(1))


@pytest.mark.parametrize("epoch", ["the same", "another"])
@pytest.mark.parametrize("lock_seen", ["before", "after"])
@pytest.mark.parametrize(("seen", "lacks"), [({}, ("key_off",)), ({"vehicle_present": False}, ())])
def test_a_truck_whose_release_was_broken_off_with_an_open_lock_is_to_stand(
    seen: dict[str, bool], lacks: tuple[str, ...], lock_seen: str, epoch: str
) -> None:
    """An open lock that a person could see before he decided is the reason for which he is refused."""
    swap = Cycle("releasing")
    swap.sent()
    swap.ended(ResultCode.FAILED).step(1)
    if epoch == "another":
        swap.see(ack_seq=0, active_seq=0, done_seq=0, result=ResultCode.NONE)  # a cell that has lost its numbers
    if lock_seen == "before":
        swap.see(key_off=False, locks_closed=False, **seen)
        assert swap.lacking("continue") == lacks
        assert bool(swap.step(1, decide="continue")) is not bool(lacks)
        return
    swap.step(1, decide="continue")
    swap.acknowledged()
    swap.see(key_off=False, locks_closed=False, **seen).step(1)
    assert tuple(held_by(swap) if lacks else ()) == lacks
    assert (swap.session.phase is Phase.HELD) is bool(lacks)


def test_a_release_that_runs_is_let_end_whatever_its_driver_has_undone() -> None:
    swap = Cycle("releasing")
    swap.sent()
    swap.mode = StationMode.HELD
    swap.see(key_off=False, locks_closed=False).step(1)
    assert swap.session.hold_reason is HoldReason.MODE
    swap.mode = StationMode.AUTOMATIC
    assert swap.lacking("continue") == ()
    assert kinds(swap.step(2, decide="continue")) == ["Resumed"]
    assert swap.session.phase is Phase.SENT


def test_a_truck_that_was_never_opened_may_be_anything_on_its_way_out() -> None:
    swap = Cycle("homing_back", opened=False).see(handbrake_on=False, vehicle_link=False)
    assert kinds(swap.step()) == ["Send"]


def test_the_model_of_a_vehicle_says_what_is_asked_in_a_phase() -> None:
    """A vehicle that needs high voltage to look at its pack: asked while it locks, not while it accepts."""
    needs = SecuredNeeds(accepting=tuple(fact for fact in VEHICLE_SECURED if fact is not Signal.HV_OFF))

    class Model(Cycle):
        def facts(self, decision: object = None) -> StepFacts:
            return replace(super().facts(), needs=needs)

    accepting = Model("accepting").see(hv_off=False, pack_accepted=False)
    assert accepting.step() == ()
    locking = Model("locking").see(hv_off=False)
    locking.step()
    assert held_by(locking) == ["hv_off"]
    assert all(STRICT.of(phase) == VEHICLE_SECURED for phase in VehiclePhase)


def test_phases_follow_from_what_is_still_to_do_at_the_vehicle() -> None:
    side = table("side_grab", 1, "out_in")
    assert phase_of(side, side.by_state["retracting"]) is VehiclePhase.EXCHANGE  # the arm is in, the heads still open
    assert phase_of(side, side.by_state["accepting"]) is VehiclePhase.ACCEPTING
    top = table("top_lift", 2, "in_out")
    assert phase_of(top, top.by_state["staging_new_2"]) is VehiclePhase.EXCHANGE  # the second seat is to come
    assert phase_of(top, top.by_state["locking_1"]) is VehiclePhase.LOCKING
    assert phase_of(top, top.by_state["homing"]) is VehiclePhase.LEAVING
    # On the way back the truck is locked again; what is left is a pack that goes from the transfer bay to its own.
    assert phase_of(top, top.by_state["recollecting_new_1"]) is VehiclePhase.LEAVING
    assert phase_of(top, top.by_state["replacing_old_1"]) is VehiclePhase.EXCHANGE


def test_no_row_need_name_what_no_row_can_leave_out() -> None:
    for name, packs, order in TABLES:
        for row in table(name, packs, order).rows:
            if row.command not in (None, CommandCode.ADMIT, CommandCode.LOCATE):
                assert not set(VEHICLE_SECURED) & {Signal(n) for n in row.permissives if n in set(Signal)}, row.state


@pytest.mark.parametrize(
    ("state", "phase"),
    [("verifying", VehiclePhase.EXCHANGE), ("locking", VehiclePhase.LOCKING), ("accepting", VehiclePhase.ACCEPTING)],
)
def test_a_row_that_only_looks_belongs_to_what_it_looks_at(state: str, phase: VehiclePhase) -> None:
    rows = table("top_lift", 1, "out_in")
    assert phase_of(rows, rows.by_state[state]) is phase


def test_a_motion_that_waits_for_the_acceptance_as_well_is_a_motion() -> None:
    rows = table("top_lift", 1, "out_in")
    homing = replace(rows.by_state["homing"], confirm=(*rows.by_state["homing"].confirm, Signal.PACK_ACCEPTED))
    assert phase_of(rows, homing) is VehiclePhase.LEAVING


def test_at_the_vehicle_are_its_heads_and_its_seats() -> None:
    rows = table("top_lift", 1, "out_in").by_state
    at_vehicle = {state for state, row in rows.items() if _at_vehicle(row) and not row.unwinding}
    assert at_vehicle == {"unlocking", "lifting_old", "placing_new", "locking"}
    assert _at_vehicle(replace(rows["locking"], target=None))
    assert not _at_vehicle(replace(rows["lifting_old"], source=None))


@pytest.mark.parametrize("present", [True, None])
def test_home_outside_of_the_rows_asks_for_the_vehicle_while_it_may_be_there(present: bool | None) -> None:
    swap = Cycle("homing").see(vehicle_present=present, handbrake_on=False)
    row = swap.table.by_state["homing"]

    def lacks(*, opened: bool) -> set[str]:
        return {m.name for m in to_home(swap.table, row, STRICT, swap.facts().cell, opened=opened)}

    assert lacks(opened=True) == {"handbrake_on"} | (set() if present else {"vehicle_present"})
    assert lacks(opened=False) == set()
    swap.see(vehicle_present=False)
    assert lacks(opened=True) == set()


def test_what_a_vehicle_tells_more_is_asked_where_its_map_has_it() -> None:
    swap = Cycle("homing").see(vehicle_present=True)
    row = swap.table.by_state["homing"]
    for told in VEHICLE_OPTIONAL:
        swap.signals.pop(told)
    assert to_home(swap.table, row, STRICT, swap.facts().cell, opened=True) == []
    swap.see(hv_discharged=False, drive_inhibited=None)
    lacking = to_home(swap.table, row, STRICT, swap.facts().cell, opened=True)
    assert [m.name for m in lacking] == ["drive_inhibited", "hv_discharged"]
    # A model that may have its high voltage on is not asked to be discharged.
    driving = SecuredNeeds(leaving=tuple(name for name in VEHICLE_SECURED if name is not Signal.HV_OFF))
    lacking = to_home(swap.table, row, driving, swap.facts().cell, opened=True)
    assert [m.name for m in lacking] == ["drive_inhibited"]
    swap.signals.pop(Signal.HV_DISCHARGED)
    assert to_home(swap.table, row, driving, swap.facts().cell, opened=True) == lacking
