"""A controller that ends and begins again: cleanly, by a kill, beside another one, on an older database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from robotics.port import CommandCode
from swap.messages.events import (
    ControllerStarted,
    RestartPermitted,
    SwapCompleted,
    SwapHeld,
    SwapResumed,
    SwapStepDone,
    SwapStepStarted,
)
from swap.station.life.coming_back import Cause
from swap.station.life.ownership import CellOwned
from swap.station.sequence.session import HoldReason, Phase
from tests.support.sim.plant import station
from tests.support.swap.station import Bench, mode


async def at_step(bench: Bench, state: str, seconds: float = 10.0) -> str:
    """A swap of V1 in the middle of a command."""
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state=state)
    await bench.run(seconds, step_s=5.0)
    return swap_id


async def restart(bench: Bench, *, clean: bool, asleep_s: float = 60.0) -> None:
    """A new controller; meanwhile the plant goes on by itself."""
    before = bench.last_event_id()
    if clean:
        await bench.controller.stop()
    bench.seconds += asleep_s
    bench._pass()
    bench.build()
    await bench.start()
    (started,) = [e for e in bench.events(before) if e.kind == ControllerStarted.kind]
    assert started.data["unclean"] is not clean


async def completes(bench: Bench, swap_id: str) -> None:
    ended = await bench.run_until(SwapCompleted.kind, step_s=None)
    assert ended.swap_id == swap_id
    await bench.run(5)
    assert bench.places() == bench.recorded_places()
    moved = [command for what, _, command in bench.motions if what == "moved"]
    assert moved == [CommandCode.PICK, CommandCode.PUT, CommandCode.PICK, CommandCode.PUT]
    numbers = [number for what, number, _ in bench.motions if what == "accepted"]
    assert len(numbers) == len(set(numbers))
    bench.audited()


async def undisturbed(bench: Bench, swap_id: str, after: int) -> None:
    """The swap completes and nobody was asked."""
    await completes(bench, swap_id)
    assert not [e for e in bench.events(after) if e.kind in (SwapHeld.kind, SwapResumed.kind)]
    assert mode(bench) == "automatic"


@pytest.mark.parametrize("state", ["lifting_old", "locking", "releasing"])
async def test_after_a_stop_in_the_middle_of_a_swap_a_person_confirms(bench: Bench, state: str) -> None:
    """S5: the end of a process is nobody's confirmation."""
    swap_id = await at_step(bench, state, 3)
    await bench.controller.stop()
    assert bench.plant.cell("L1").hold
    assert bench.plant.rack.total_charge_kw(bench.plant.now_us) == 0
    await restart(bench, clean=True)
    assert (mode(bench), bench.swap(swap_id).hold_reason) == ("held", HoldReason.RESTART)
    assert bench.controller.context.mode_reason == Cause.SWAP_UNDER_WAY
    assert "controller_restarted" in bench.open_faults()
    await bench.run(60, 10.0)
    await bench.run_while_still(120)
    assert bench.plant.cell("L1").hold
    assert (await bench.settled(bench.ask("confirm", "Mei")))[0] == "done"
    assert "controller_restarted" not in bench.open_faults()
    await completes(bench, swap_id)


async def test_a_stop_while_a_truck_is_called_asks_nobody(bench: Bench) -> None:
    """S5: the robot has not moved for it, and the cell was given up without a hold."""
    swap_id = await at_step(bench, "admitting")
    before = bench.last_event_id()
    await bench.controller.stop()
    assert not bench.plant.cell("L1").hold
    assert bench.plant.rack.total_charge_kw(bench.plant.now_us) == 0
    await restart(bench, clean=True)
    await undisturbed(bench, swap_id, before)


async def test_a_stop_at_rest_asks_nobody(bench: Bench) -> None:
    await restart(bench, clean=True)
    await bench.run(5)
    assert mode(bench) == "automatic"
    before = bench.last_event_id()
    await undisturbed(bench, bench.arrive("V1", 30), before)


async def test_a_cell_that_shows_a_hold_asks_for_a_person_whoever_left_it(bench: Bench) -> None:
    """S5: a hold that the station finds is withdrawn by nobody but a person."""
    await bench.controller.stop()
    bench.plant.cell("L1").hold = True
    await restart(bench, clean=True)
    bench.arrive("V1", 30)
    await bench.run_while_still(60)
    assert (mode(bench), bench.controller.context.mode_reason) == ("held", Cause.CELL_HOLDS)
    assert bench.plant.cell("L1").hold
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await bench.run_until(SwapCompleted.kind, step_s=None)


async def test_a_planned_restart_goes_on_by_itself(bench: Bench) -> None:
    """S5: a named person permits it, for a time."""
    swap_id = await at_step(bench, "lifting_old")
    status, answer = await bench.settled(bench.ask("permit_restart", "Mei", within_min=5))
    assert status == "done"
    assert "5 min" in answer
    (permitted,) = [e for e in bench.events() if e.kind == RestartPermitted.kind]
    assert bench.who(permitted) == "Mei"
    before = bench.last_event_id()
    await restart(bench, clean=True)
    (started,) = [e for e in bench.events(before) if e.kind == ControllerStarted.kind]
    assert started.data["permitted_by_seq"] == permitted.seq
    await undisturbed(bench, swap_id, before)


async def test_a_permission_to_restart_ends_with_its_time_its_use_and_any_hold(bench: Bench) -> None:
    """S5: and it covers no death."""

    async def waits_for_person() -> None:
        assert mode(bench) == "held"
        await bench.run(60)
        await bench.run_while_still(30)
        assert (await bench.settled(bench.ask("confirm")))[0] == "done"
        await bench.run(1, 1.0)

    async def permit(minutes: int) -> None:
        assert (await bench.settled(bench.ask("permit_restart", within_min=minutes)))[0] == "done"

    await at_step(bench, "lifting_old")
    await permit(1)
    await restart(bench, clean=True, asleep_s=61)  # too late
    await waits_for_person()
    await permit(10)
    await restart(bench, clean=False)  # killed
    await waits_for_person()
    await permit(10)
    await bench.settled(bench.ask("hold"))
    assert (await bench.settled(bench.ask("permit_restart")))[0] == "refused"
    await bench.run(5)
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await bench.run(1, 1.0)
    await restart(bench, clean=True)  # held since it was given
    await waits_for_person()
    await permit(30)
    await restart(bench, clean=True, asleep_s=1)
    assert mode(bench) == "automatic"
    await bench.run(5, 1.0)
    await restart(bench, clean=True, asleep_s=1)  # used up
    await waits_for_person()


async def test_a_stop_does_not_end_a_hold(bench: Bench) -> None:
    swap_id = await at_step(bench, "lifting_old")
    await bench.settled(bench.ask("hold"))
    await bench.run(60)
    await restart(bench, clean=True)
    await bench.run_while_still(60)
    assert mode(bench) == "held"
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_paused_motion_does_not_go_on_with_a_planned_restart(bench: Bench) -> None:
    swap_id = await at_step(bench, "lifting_old", 5)
    assert (await bench.settled(bench.ask("permit_restart")))[0] == "done"
    await bench.controller.stop()
    bench.plant.inject("curtain", "L1")
    bench.plant.advance(1)
    assert bench.plant.cell("L1").paused
    bench.plant.clear("curtain", "L1")
    await restart(bench, clean=True)
    await bench.run_while_still(60)
    assert (mode(bench), bench.controller.context.mode_reason) == ("held", Cause.CELL_HOLDS)
    assert bench.plant.cell("L1").paused == "curtain"
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_link_that_comes_late_holds_nothing_after_a_planned_stop(bench: Bench) -> None:
    swap_id = await at_step(bench, "storing_old")
    assert (await bench.settled(bench.ask("permit_restart")))[0] == "done"
    await bench.controller.stop()
    bench.seconds += 60
    bench._pass()
    bench.build()
    bench.robots["L1"].cut = True
    bench.robots["L1"]._last = bench.controller.context.cells.get("L1")
    assert (await bench.start()).cause is None
    bench.robots["L1"].cut = False
    await completes(bench, swap_id)


@pytest.mark.parametrize("state", ["admitting", "unlocking", "storing_old", "releasing"])
async def test_after_a_kill_nothing_moves_before_a_person_confirms(bench: Bench, state: str) -> None:
    swap_id = await at_step(bench, state, 3)
    await restart(bench, clean=False)
    assert mode(bench) == "held"
    row = bench.swap(swap_id)
    assert (row.phase, row.hold_reason) == (Phase.HELD, HoldReason.RESTART)
    assert "controller_restarted" in bench.open_faults()
    await bench.run(60, 10.0)
    await bench.run_while_still(120)
    assert (await bench.settled(bench.ask("confirm", "Mei")))[0] == "done"
    assert "controller_restarted" not in bench.open_faults()
    await completes(bench, swap_id)


async def test_a_second_kill_before_the_confirmation_changes_nothing(bench: Bench) -> None:
    swap_id = await at_step(bench, "fetching_new", 3)
    for _ in range(3):
        await restart(bench, clean=False)
        await bench.run_while_still(30)
    # Nor does a stop in good order make the kill before it undone.
    await restart(bench, clean=True)
    await bench.run_while_still(30)
    assert mode(bench) == "held"
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)


async def test_a_cell_of_another_controller_is_not_touched(bench: Bench, tmp_path: Path) -> None:
    swap_id = await at_step(bench, "lifting_old", 3)
    other = Bench(tmp_path / "other", station(), plant=bench.plant, speed=20.0)
    bench.plant.cell("L1").owner = bench.controller.lease.token
    accepted = len([m for m in bench.motions if m[0] == "accepted"])
    with pytest.raises(CellOwned, match=f"the cell of lane L1 belongs to controller {bench.controller.lease.token}"):
        await other.start()
    assert not bench.plant.cell("L1").hold
    assert bench.plant.cell("L1").owner == bench.controller.lease.token
    assert len([m for m in bench.motions if m[0] == "accepted"]) == accepted
    other.close()
    await completes(bench, swap_id)


async def test_a_cell_that_is_taken_by_another_controller_holds_the_station(bench: Bench) -> None:
    swap_id = await at_step(bench, "lifting_old", 3)
    ours, cell = bench.controller.lease.token, bench.plant.cell("L1")
    cell.owner = ours % 65535 + 1
    await bench.run(2)
    assert mode(bench) == "held"
    assert bench.open_faults()["owner_conflict"] == "lane:L1"
    await bench.run(60)
    await bench.run_while_still(60)
    bench.arrive("V2", 30)
    await bench.run_while_still(30)
    cell.owner = ours
    await bench.run(2)
    assert "owner_conflict" not in bench.open_faults()
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    await completes(bench, swap_id)


async def test_an_older_database_never_uses_a_number_again(bench: Bench, tmp_path: Path) -> None:
    """A backup from the middle of the swap, put back after the swap had gone on: nothing runs a second time."""
    swap_id = await at_step(bench, "unlocking", 2)
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(tmp_path / "swap.db")) as live, closing(sqlite3.connect(backup)) as copy:
        live.backup(copy)
    await bench.run_until(SwapStepDone.kind, step_s=None, state="storing_old")
    used = {number for what, number, _ in bench.motions if what == "accepted"}
    moved = len([m for m in bench.motions if m[0] == "moved"])
    places = bench.places()
    bench.close()

    old = Bench(
        tmp_path, station(), url=f"sqlite:///{backup}", plant=bench.plant, speed=20.0, seconds=bench.seconds + 20
    )
    assert (await old.start()).cause is Cause.RESTART
    await old.run(20)
    await old.run_while_still(60)
    status, answer = await old.settled(old.ask("confirm"))
    assert status == "done", answer
    await old.run(600, step_s=None)
    row = old.swap(swap_id)
    assert row.phase == Phase.HELD  # the packs lie elsewhere than on record: a person has to look
    assert row.state == "lifting_old"
    assert len([m for m in old.motions if m[0] == "moved"]) == 0
    assert len([m for m in bench.motions if m[0] == "moved"]) == moved
    assert old.places() == places
    again = {number for what, number, _ in old.motions if what == "accepted"}
    assert not again & used
    old.close()
