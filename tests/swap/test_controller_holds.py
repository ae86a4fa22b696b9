"""Trips, lost guards, lost links, lost power: everything stops, and goes on only after a named person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robotics.port import CellStatus, CommandCode, Signal
from sim.plant.yard import LockHead
from swap.messages.events import (
    FaultCleared,
    SwapCompleted,
    SwapDispatched,
    SwapHeld,
    SwapResumed,
    SwapStepDone,
    SwapStepFailed,
    SwapStepStarted,
    SwapTowedOut,
)
from swap.station.sequence.session import HoldReason, Phase
from tests.support.sim.plant import code
from tests.support.swap.station import Bench, mode

SPENT = code(11)
FRESH = code(1)


async def under_way(bench: Bench, state: str, share: float = 0.5) -> str:
    """A swap of V1 whose command of `state` is carried out to a share of its duration."""
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state=state)
    active = bench.plant.cell("L1").active
    assert active is not None
    await bench.run(sum(active.phase_s) * share, step_s=None)
    assert bench.plant.cell("L1").active is not None
    return swap_id


async def completes(bench: Bench, swap_id: str) -> None:
    ended = await bench.run_until(SwapCompleted.kind, step_s=None)
    assert ended.swap_id == swap_id
    await bench.run(5)
    assert bench.places() == bench.recorded_places()
    assert bench.places()[FRESH] == "vehicle:V1:1"
    bench.audited()


@pytest.mark.parametrize("share", [0.2, 0.8], ids=["before the grip", "pack in the gripper"])
async def test_an_emergency_stop_holds_everything_until_reset_and_confirmed(bench: Bench, share: float) -> None:
    swap_id = await under_way(bench, "lifting_old", share)
    bench.plant.inject("estop", "L1")
    held = await bench.run_until(SwapHeld.kind, 20, 1.0)
    assert held.data["reason"] == HoldReason.TRIP
    assert held.data["signal"] == Signal.ESTOP_OK
    assert mode(bench) == "held"
    assert "estop_pressed" in bench.open_faults()
    await bench.run_while_still(60)
    assert await bench.settled(bench.ask("confirm")) == (
        "refused",
        "still not fulfilled: L1: estop_ok; reset it at the equipment first",
    )
    bench.plant.clear("estop", "L1")
    await bench.run_while_still(60)  # the reset alone starts nothing
    status, answer = await bench.settled(bench.ask("confirm", "Operator A"))
    assert (status, answer) == ("done", "going on")
    assert mode(bench) == "automatic"
    await completes(bench, swap_id)
    assert "estop_pressed" not in bench.open_faults()
    resumed = next(e for e in bench.events() if e.kind == SwapResumed.kind)
    assert bench.who(resumed) == "Operator A"


async def test_a_confirmation_lets_nothing_go_on_at_a_truck_that_is_not_secured(bench: Bench) -> None:
    """The driver releases his handbrake while the station is held: what the trip has paused stays paused."""
    swap_id = await under_way(bench, "lifting_old", 0.8)
    bench.plant.inject("estop", "L1")
    await bench.run_until(SwapHeld.kind, 20, 1.0)
    bench.plant.inject("handbrake_released", "L1")
    bench.plant.clear("estop", "L1")
    await bench.run_while_still(5)
    status, answer = await bench.settled(bench.ask("confirm"))
    assert (status, answer.split("; ", 1)[0]) == ("done", "going on")
    assert f"swap {swap_id} in lane L1 stays held: trip; not fulfilled: handbrake_on" in answer
    assert mode(bench) == "automatic"
    await bench.run_while_still(30)
    assert bench.plant.cell("L1").hold
    bench.plant.clear("handbrake_released", "L1")
    await bench.run_while_still(30)
    assert await bench.settled(bench.ask("confirm")) == ("done", "going on")
    await completes(bench, swap_id)


async def test_an_emergency_stop_without_a_swap_lets_no_truck_in(bench: Bench) -> None:
    bench.plant.inject("estop", "L1")
    await bench.run(5)
    bench.arrive("V1", 30)
    await bench.run_while_still(60)
    bench.plant.clear("estop", "L1")
    await bench.run_while_still(60)
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await bench.run_until(SwapDispatched.kind, step_s=None)


async def test_the_light_curtain_pauses_and_the_beam_alone_resumes_nothing(bench: Bench) -> None:
    swap_id = await under_way(bench, "lifting_old", 0.3)
    bench.plant.inject("curtain", "L1")
    held = await bench.run_until(SwapHeld.kind, 20, 1.0)
    assert held.data["reason"] == HoldReason.GUARD_LOST
    assert mode(bench) == "automatic"  # the lane waits, the rest of the station goes on
    assert bench.plant.cell("L1").paused == "curtain"
    asked = bench.ask("decide", swap_id=swap_id, decision="continue")
    lacks = f"continue is not possible for swap {swap_id}; not fulfilled: curtain_clear"
    assert await bench.settled(asked) == ("refused", lacks)
    bench.plant.clear("curtain", "L1")
    await bench.run_while_still(60)
    # Confirming the station is not the decision on this swap: the paused motion stays paused.
    await bench.settled(bench.ask("confirm"))
    await bench.run_while_still(60)
    assert bench.plant.cell("L1").paused == "curtain"
    status, answer = await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue"))
    assert (status, answer) == ("done", "continue")
    await completes(bench, swap_id)


@pytest.mark.parametrize("state", ["unlocking", "lifting_old", "placing_new", "locking"])
async def test_a_released_handbrake_between_unlocking_and_locking_holds(bench: Bench, state: str) -> None:
    swap_id = await under_way(bench, state, 0.3)
    bench.plant.inject("handbrake_released", "L1")
    held = await bench.run_until(SwapHeld.kind, 20, 1.0)
    assert held.data["reason"] == HoldReason.UNSECURED
    assert Signal.HANDBRAKE_ON in [item["name"] for item in held.data["missing"]]
    assert "vehicle_unsecured" in bench.open_faults()
    await bench.run_while_still(30)
    refused, _ = await bench.settled(bench.ask("decide", swap_id=swap_id, decision="unwind"))
    assert refused == "refused"  # the motion under way has not ended
    bench.plant.clear("handbrake_released", "L1")
    await bench.run_while_still(30)
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    await completes(bench, swap_id)
    assert "vehicle_unsecured" not in bench.open_faults()


@pytest.mark.parametrize(
    ("state", "fault"),
    [("storing_old", "gear_in"), ("fetching_new", "key_on"), ("locking", "hv_on"), ("homing", "handbrake_released")],
)
async def test_a_truck_is_secured_also_while_the_robot_works_elsewhere(bench: Bench, state: str, fault: str) -> None:
    """S2: PLC and station both stop a motion away from the truck, and one that locks it; a person decides."""
    swap_id = await under_way(bench, state, 0.3)
    bench.plant.inject(fault, "L1")
    held = await bench.run_until(SwapHeld.kind, 20, 1.0)
    assert held.data["reason"] == HoldReason.UNSECURED
    assert bench.plant.cell("L1").paused == "vehicle"
    bench.plant.clear(fault, "L1")
    await bench.run_while_still(30)
    assert bench.plant.cell("L1").paused == "vehicle"
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_truck_made_ready_before_it_has_accepted_its_pack_is_not_let_go(bench: Bench) -> None:
    """S2: handbrake off, gear in, key and high voltage on while the pack waits to be accepted: no HOME, no RELEASE."""
    swap_id = bench.arrive("V1", 30)
    bench.plant.inject("pack_refused", "V1")
    await bench.run_until(SwapStepDone.kind, step_s=None, state="locking")
    for fault in ("handbrake_released", "gear_in", "key_on"):
        bench.plant.inject(fault, "L1")
    held = await bench.run_until(SwapHeld.kind, 20, 1.0)
    assert (held.data["reason"], held.data["state"]) == (HoldReason.UNSECURED, "accepting")
    lost = {"handbrake_on", "gear_neutral", "key_off", "hv_off"}
    told_by_the_truck = {"drive_inhibited", "hv_discharged", "swap_mode"}
    assert {item["name"] for item in held.data["missing"]} == lost | told_by_the_truck
    bench.plant.clear("pack_refused", "V1")
    await bench.run_while_still(30)
    refused, _ = await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue"))
    assert refused == "refused"
    for fault in ("handbrake_released", "gear_in", "key_on"):
        bench.plant.clear(fault, "L1")
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_truck_that_does_not_accept_leaves_only_by_hand_and_by_name(bench: Bench) -> None:
    """S6: no RELEASE; manual work at station and cell, the truck taken out, and a named person who says so."""
    swap_id = bench.arrive("V1", 30)
    bench.plant.inject("pack_refused", "V1")
    await bench.run_until(SwapStepDone.kind, step_s=None, state="locking")
    await bench.run_until(SwapHeld.kind, step_s=None)
    refused, _ = await bench.settled(bench.ask("decide", swap_id=swap_id, decision="tow_out"))
    assert refused == "refused"  # nobody works by hand, and the truck is there
    assert (await bench.settled(bench.ask("manual", "Operator A")))[0] == "done"
    bench.plant.inject("local_mode", "L1")
    await bench.run(3)
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="tow_out")))[0] == "refused"
    bench.plant.yard.drive_out(bench.plant.yard.trucks["V1"], bench.plant.now_us)
    await bench.run(3)
    status, answer = await bench.settled(bench.ask("decide", "Operator A", swap_id=swap_id, decision="tow_out"))
    assert (status, answer) == ("done", "tow_out")
    towed = next(e for e in bench.events() if e.kind == SwapTowedOut.kind)
    assert (bench.who(towed), towed.data) == ("Operator A", {"state": "accepting", "exchanged": [1]})
    assert [e.kind for e in bench.events() if e.swap_id == swap_id][-1] == SwapCompleted.kind
    assert not any(e.data.get("command") == "RELEASE" for e in bench.events() if e.kind == SwapStepStarted.kind)
    bench.audited()


async def test_a_truck_that_rolls_is_not_worked_on(bench: Bench) -> None:
    swap_id = await under_way(bench, "lifting_old", 0.3)
    bench.plant.inject("truck_rolls", "L1")
    held = await bench.run_until(SwapHeld.kind, 60, 1.0)
    assert held.data["reason"] in (HoldReason.UNSECURED, HoldReason.FAULT)
    await bench.run_while_still(60)
    # The truck is back in its place; a person looks and lets first the station, then the swap go on.
    bench.plant.clear("truck_rolls", "L1")
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await bench.run_while_still(30)
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_short_gap_of_the_link_is_no_loss_but_three_seconds_are(bench: Bench) -> None:
    swap_id = await under_way(bench, "storing_old", 0.1)
    robot = bench.robots["L1"]
    robot.cut = True
    await bench.run(40, 2.0)  # two real seconds
    robot.cut = False
    assert bench.swap(swap_id).phase == Phase.SENT
    await bench.run(2, 1.0)
    robot.cut = True
    held = await bench.run_until(SwapHeld.kind, 90, 2.0)
    assert held.data["reason"] == HoldReason.LINK_LOST
    assert "cell_link_lost" in bench.open_faults()
    status, answer = await bench.settled(bench.ask("confirm"))
    assert (status, answer) == ("refused", "lane L1: the cell does not answer")
    robot.cut = False
    await bench.run(10, 2.0)
    assert "cell_link_lost" not in bench.open_faults()
    assert bench.swap(swap_id).phase == Phase.HELD  # the link alone resumes nothing
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_frozen_heartbeat_is_a_lost_link(bench: Bench) -> None:
    swap_id = await under_way(bench, "storing_old", 0.1)
    bench.plant.inject("frozen_heartbeat", "L1")
    held = await bench.run_until(SwapHeld.kind, 30, 1.0)
    assert held.data["reason"] == HoldReason.LINK_LOST
    assert "cell_heartbeat_frozen" in bench.open_faults()
    await bench.run(60)
    await bench.run_while_still(60)
    bench.plant.clear("frozen_heartbeat", "L1")
    await bench.run(2)
    assert "cell_heartbeat_frozen" not in bench.open_faults()
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)


@pytest.mark.parametrize("state", ["lifting_old", "fetching_new", "locking"])
async def test_after_a_power_loss_a_person_confirms_and_the_axes_are_homed_first(bench: Bench, state: str) -> None:
    swap_id = await under_way(bench, state, 0.8)
    bench.plant.inject("power_cut", "L1")
    held = await bench.run_until(SwapHeld.kind, 30, 1.0)
    assert held.data["reason"] == HoldReason.TRIP
    await bench.run_while_still(60)
    bench.plant.clear("power_cut", "L1")
    await bench.run_while_still(60)
    assert (await bench.settled(bench.ask("confirm")))[0] == "refused"  # nobody has confirmed at the cell
    bench.plant.inject("person_confirms", "L1")
    await bench.run_while_still(30)
    before = len(bench.motions)
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)
    begun = [c for what, _, c in bench.motions[before:] if what == "accepted"]
    assert begun[0] is CommandCode.HOME


async def test_an_idle_cell_is_homed_after_a_power_loss_when_a_person_has_confirmed(bench: Bench) -> None:
    bench.plant.inject("power_cut", "L1")
    await bench.run(10)
    bench.plant.clear("power_cut", "L1")
    bench.plant.inject("person_confirms", "L1")
    bench.arrive("V1", 30)
    await bench.run_while_still(60)
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await bench.run_until(SwapDispatched.kind, step_s=None)
    assert bench.plant.cell("L1").homed
    await bench.run_until(SwapCompleted.kind, step_s=None)
    await bench.run(5)
    bench.audited()


async def test_a_homing_is_held_when_somebody_comes_or_the_truck_is_let_go(bench: Bench) -> None:
    """The swap is held for what the station says; the homing is in no row of it."""
    await under_way(bench, "lifting_old", 0.8)
    bench.plant.inject("power_cut", "L1")
    await bench.run_until(SwapHeld.kind, 30, 1.0)
    bench.plant.clear("power_cut", "L1")
    bench.plant.inject("person_confirms", "L1")
    await bench.run(30)
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    while not bench.controller.lanes["L1"].watch.busy:
        await bench.run(0.5, 0.5)
    await bench.controller.hold_station("asked", "Person on shift")
    await bench.run(1, 1.0)
    lane, cell = bench.controller.lanes["L1"], bench.plant.cell("L1")
    assert lane.session is not None
    assert (lane.session.phase, lane.watch.busy, cell.hold) == (Phase.HELD, True, False)
    bench.plant.inject("handbrake_released", "L1")
    await bench.run(1, 1.0)
    assert cell.hold


async def test_a_cell_that_is_not_homed_asks_for_a_person_before_it_moves(bench: Bench) -> None:
    """As after a power cut while this program was not running."""
    bench.plant.cell("L1").homed = False
    bench.arrive("V1", 30)
    await bench.run_while_still(60)
    assert mode(bench) == "held"
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await bench.run_until(SwapCompleted.kind, step_s=None)


async def test_a_truck_is_never_released_without_a_confirmed_lock(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state="placing_new")
    bench.plant.inject("head_stuck_open", "L1", head=2)
    failed = [(await bench.run_until(SwapStepFailed.kind, 300, None, state="locking")).data["action"] for _ in range(3)]
    assert failed == ["retry", "retry", "person"]
    await bench.run(10)
    row = bench.swap(swap_id)
    assert (row.state, row.phase, row.hold_reason) == ("locking", Phase.HELD, HoldReason.FAULT)
    await bench.run_while_still(120)
    # A person who decides to go on gets another try, not a release.
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue")))[0] == "done"
    await bench.run_until(SwapStepFailed.kind, 300, None, state="locking")
    assert CommandCode.RELEASE not in [c for what, _, c in bench.motions if what == "accepted"]
    bench.plant.clear("head_stuck_open", "L1")
    await completes(bench, swap_id)


async def test_a_lying_limit_switch_releases_no_truck(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state="placing_new")
    bench.plant.inject("head_stuck_open", "L1", head=3)
    bench.plant.inject("lock_lies", "L1", head=3)  # one sensor says closed, the others disagree
    await bench.run(400, step_s=None)
    row = bench.swap(swap_id)
    assert row.state == "locking"
    truck = bench.plant.cell("L1").truck
    assert truck is not None
    assert truck.heads[2] is not LockHead.CLOSED


async def test_a_hold_asked_by_a_person_lets_the_command_end_and_no_other_begin(bench: Bench) -> None:
    swap_id = await under_way(bench, "lifting_old", 0.2)
    assert await bench.settled(bench.ask("hold", reason="visitors")) == ("done", "held")
    await bench.run(60)
    await bench.run_while_still(120)
    assert bench.swap(swap_id).hold_reason == HoldReason.MODE
    assert bench.places()[SPENT] == "gripper:L1"
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_closed_station_ends_its_swap_and_admits_no_truck(bench: Bench) -> None:
    swap_id = await under_way(bench, "lifting_old", 0.2)
    bench.arrive("V2", 30)
    assert (await bench.settled(bench.ask("close")))[0] == "done"
    await completes(bench, swap_id)
    await bench.run_while_still(60)
    assert (await bench.settled(bench.ask("confirm"))) == ("done", "open for service")
    await bench.run_until(SwapDispatched.kind, step_s=None)


async def test_smoke_stops_charging_at_once_and_holds_the_station(bench: Bench) -> None:
    bench.arrive("V1", 30)
    await bench.run_until(SwapCompleted.kind, step_s=None)
    await bench.run(10)
    assert bench.plant.rack.total_charge_kw(bench.plant.now_us) > 100
    bench.plant.inject("smoke", "L1")
    await bench.tick(1.0)
    assert bench.plant.rack.total_charge_kw(bench.plant.now_us) == 0
    assert mode(bench) == "held"
    await bench.run(60)
    assert bench.plant.rack.total_charge_kw(bench.plant.now_us) == 0
    assert {s.limited_by for s in bench.controller.context.plan.values()} == {"fire"}
    bench.plant.clear("smoke", "L1")
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await bench.run(30)
    assert bench.plant.rack.total_charge_kw(bench.plant.now_us) > 0


async def test_a_released_fire_system_stops_charging_and_all_motion(bench: Bench) -> None:
    swap_id = await under_way(bench, "fetching_new", 0.2)
    bench.plant.inject("fire", "L1")
    await bench.run(2)
    assert mode(bench) == "fire"
    assert bench.plant.rack.total_charge_kw(bench.plant.now_us) == 0
    await bench.run_while_still(60)
    bench.plant.clear("fire", "L1")
    await bench.run_while_still(60)
    assert (await bench.settled(bench.ask("confirm")))[1].startswith("held: confirm once more")
    await bench.run_while_still(30)
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_servo_alarm_needs_a_reset_asked_by_a_person(bench: Bench) -> None:
    swap_id = await under_way(bench, "lifting_old", 0.2)
    bench.plant.inject("axis_alarm", "L1")
    await bench.run_until(SwapStepFailed.kind, 60, 1.0)
    assert "axis_x_alarm" in bench.open_faults()
    bench.plant.clear("axis_alarm", "L1")
    await bench.run_while_still(30)
    status, answer = await bench.settled(bench.ask("reset", lane_id="L1"))
    assert (status, answer) == ("done", "reset asked of the cell")
    await bench.run_until(FaultCleared.kind, 60, 1.0)
    assert "axis_x_alarm" not in bench.open_faults()
    await completes(bench, swap_id)


# A cell that shows an epoch.


async def test_a_cell_that_had_no_owner_between_two_looks_waits_for_a_person(bench: Bench) -> None:
    swap_id = await under_way(bench, "lifting_old")
    cell = bench.plant.cell("L1")
    owner = cell.owner
    cell.claim(0, owner_silent=True)  # the PLC has not heard its owner for 3 s, and then again
    cell.claim(owner, owner_silent=True)
    held = await bench.run_until(SwapHeld.kind, 20, 1.0)
    assert held.data["reason"] == HoldReason.CELL_CHANGED
    await bench.run(60)  # the motion under way ends
    await bench.run_while_still(60)
    assert await bench.settled(bench.ask("confirm")) == ("done", "going on")
    await completes(bench, swap_id)


async def test_a_confirmation_that_is_older_than_a_trip_releases_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap_id = await under_way(bench, "lifting_old")
    bench.plant.inject("estop", "L1")
    await bench.run_until(SwapHeld.kind, 20, 1.0)
    bench.plant.clear("estop", "L1")
    await bench.run(5)
    reconciled = bench.controller.reconcile_now

    async def then_the_curtain(actor: str) -> object:
        mismatches = await reconciled(actor)
        bench.plant.inject("curtain", "L1")
        bench.plant.clear("curtain", "L1")
        return mismatches

    monkeypatch.setattr(bench.controller, "reconcile_now", then_the_curtain)
    status, _ = await bench.settled(bench.ask("confirm"))
    assert status == "refused"
    assert mode(bench) == "held"
    assert bench.plant.cell("L1").hold
    await bench.run_while_still(60)
    monkeypatch.undo()
    assert await bench.settled(bench.ask("confirm")) == ("done", "going on")
    await completes(bench, swap_id)


async def test_no_row_begins_on_a_heartbeat_that_has_stood_still_for_as_long_as_a_reading_may_be_old(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S21: the PLC answers, and its program stands. A command that runs goes on; the next row waits."""
    swap_id = await under_way(bench, "lifting_old", 0.9)
    robot = bench.robots["L1"]
    real, stood_at = robot.status, bench.clock.now()

    async def standing() -> CellStatus:
        return replace(await real(), beat_at=stood_at)

    monkeypatch.setattr(robot, "status", standing)
    bench.seconds += 2.05 * bench.speed  # real seconds; a reading may be 2 s old
    begun = sum(what == "accepted" for what, _, _ in bench.motions)
    await bench.run(15, 1.0)
    assert sum(what == "accepted" for what, _, _ in bench.motions) == begun
    assert bench.swap(swap_id).phase != Phase.HELD
    monkeypatch.undo()
    await completes(bench, swap_id)
