"""One rule for coming back: what a station may do by itself, and what waits for a named person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from robotics.port import CellStatus, CommandCode, ResultCode
from sim.plant.plant import Plant
from swap.config.loading import parse_station
from swap.config.seed import STOCK_UNCONFIRMED, sync_station
from swap.messages.events import (
    ClockCorrected,
    ControlGap,
    FaultCleared,
    RecordBegun,
    ResultTaken,
    SwapCompleted,
    SwapDispatched,
    SwapHeld,
    SwapStepStarted,
)
from swap.station import clock as clock_module
from swap.station import controller as controller_module
from swap.station.clock import asleep_s
from swap.station.controller import StationController
from swap.station.lease import Lease
from swap.station.life import watchdog
from swap.station.life.coming_back import Cause, Ending, Return, person_needed
from swap.station.life.watchdog import Gap, Watchdog
from swap.station.resume import CellWorkedBefore
from swap.station.sequence.session import HoldReason, Phase
from swap.store import Store
from tests.support.sim.plant import code, station, station_data
from tests.support.swap.station import START_AT, Bench, mode

SOON = START_AT + timedelta(minutes=5)
CALM = Return(START_AT)


@pytest.mark.parametrize(
    ("back", "cause"),
    [
        (CALM, None),
        (replace(CALM, ended=Ending.STOPPED), None),
        (replace(CALM, ended=Ending.DIED), Cause.RESTART),
        (replace(CALM, ended=Ending.STOPPED, under_way={"sw-1"}), Cause.SWAP_UNDER_WAY),
        (replace(CALM, ended=Ending.STOPPED, holding={"L1"}), Cause.CELL_HOLDS),
        (replace(CALM, holding={"L1"}), Cause.CELL_HOLDS),
        (replace(CALM, gap_s=3.0), None),
        (replace(CALM, gap_s=3.01), Cause.CONTROL_GAP),
        (replace(CALM, gap_s=float("inf")), Cause.CONTROL_GAP),
        # A permission covers a stop in good order and what that leaves, up to its instant, and nothing else.
        (replace(CALM, under_way={"sw-1"}, holding={"L1"}, permitted_until_at=SOON), None),
        (replace(CALM, now=SOON, under_way={"sw-1"}, permitted_until_at=SOON), None),
        (
            replace(CALM, now=SOON + timedelta(seconds=1), under_way={"sw-1"}, permitted_until_at=SOON),
            Cause.SWAP_UNDER_WAY,
        ),
        (replace(CALM, ended=Ending.DIED, permitted_until_at=SOON), Cause.RESTART),
        (replace(CALM, gap_s=4.0, permitted_until_at=SOON), Cause.CONTROL_GAP),
    ],
)
def test_one_rule_says_when_a_person_is_needed(back: Return, cause: Cause | None) -> None:
    """S4, S5."""
    assert person_needed(back) is cause


async def under_way(bench: Bench, state: str) -> str:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state=state)
    await bench.run(2, 1.0)
    return swap_id


async def confirmed(bench: Bench, name: str = "Person on shift") -> None:
    assert (await bench.settled(bench.ask("confirm", name)))[0] == "done"


async def test_a_gap_in_an_idle_lane_asks_for_a_person_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: nobody looked for 30 s. Who has walked in meanwhile is as near to an idle robot as to a busy one."""
    lane = bench.controller.lanes["L1"]
    step = bench.controller._lane_step(lane)
    await step()
    monkeypatch.setattr(bench.controller.watchdog, "take_gap", lambda _: Gap("looking", 30.0))
    await step()
    monkeypatch.undo()
    assert (mode(bench), bench.controller.context.mode_reason) == ("held", Cause.CONTROL_GAP)
    (told,) = [e for e in bench.events() if e.kind == ControlGap.kind]
    assert told.data == {"what": "looking", "gap_s": 30.0}
    bench.controller.watchdog.begin_anew()  # from here on no loop but the bench's calls the steps
    bench.arrive("V1", 30)
    await bench.run_while_still(60)
    await confirmed(bench)
    await bench.run_until(SwapCompleted.kind, step_s=None)


async def test_an_idle_cell_that_has_changed_asks_for_a_person(bench: Bench) -> None:
    """A new epoch between two looks: it lost its owner, tripped or paused, and nobody was asked."""
    cell = bench.plant.cell("L1")
    owner = cell.owner
    cell.claim(0, owner_silent=True)
    cell.claim(owner, owner_silent=True)
    bench.arrive("V1", 30)
    await bench.run_while_still(60)
    assert (mode(bench), bench.controller.context.mode_reason) == ("held", HoldReason.CELL_CHANGED)
    await confirmed(bench)
    await bench.run_until(SwapCompleted.kind, step_s=None)


@pytest.mark.parametrize("state", [None, "lifting_old"], ids=["idle", "in a swap"])
async def test_a_cell_without_epoch_that_shows_no_owner_is_a_loss(bench: Bench, state: str | None) -> None:
    """S4: `owner` = 0 seen by a controller that had the cell, also where the layout has no epoch to tell it by."""
    cell = bench.plant.cell("L1")
    swap_id = await under_way(bench, state) if state else ""
    ours, cell.owner = cell.owner, 0  # the epoch stays, as in a layout that has none
    await bench.run(2, 1.0)
    assert mode(bench) == ("automatic" if state else "held")
    cell.owner = ours
    if state:
        assert bench.swap(swap_id).hold_reason == HoldReason.CELL_CHANGED
    else:
        swap_id = bench.arrive("V1", 30)
    await bench.run(60)
    await bench.run_while_still(60)
    if state:
        assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    else:
        await confirmed(bench)
    ended = await bench.run_until(SwapCompleted.kind, step_s=None)
    assert ended.swap_id == swap_id


@pytest.mark.parametrize("danger", ["estop", "curtain"])
async def test_a_confirmation_dies_with_the_next_trip(bench: Bench, danger: str) -> None:
    """Pressed before somebody stepped in: the station as it is now is not the one that was confirmed."""
    await bench.settled(bench.ask("hold"))
    await bench.run(5)
    bench.seconds += 1
    request_id = bench.ask("confirm")
    bench.plant.inject(danger, "L1")
    bench.seconds += 1
    bench._pass()
    lane = bench.controller.lanes["L1"]
    await lane.cycle()
    bench.plant.clear(danger, "L1")
    bench._pass()
    await lane.cycle()
    status, answer = await bench.settled(request_id)
    assert (status, answer[:12]) == ("refused", "asked before")
    assert mode(bench) == "held"
    await bench.run_while_still(30)
    await confirmed(bench)


async def test_a_confirmation_dies_with_the_next_gap(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.settled(bench.ask("hold"))
    await bench.run(5)
    request_id = bench.ask("confirm")
    bench.seconds += 61
    monkeypatch.setattr(bench.controller.watchdog, "take_gap", lambda _: Gap("commanding", 3.05))
    await bench.controller._lane_step(bench.controller.lanes["L1"])()
    monkeypatch.undo()
    assert (await bench.settled(request_id))[0] == "refused"
    assert mode(bench) == "held"


async def test_what_was_asked_before_a_gap_that_no_lane_has_told_of_is_void(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop that answers comes first after the gap."""
    await bench.settled(bench.ask("hold"))
    await bench.run(5)
    request_id = bench.ask("confirm")
    bench.seconds += 61
    monkeypatch.setattr(bench.controller.watchdog, "take_gap", lambda _: Gap("commanding", 3.05))
    await bench.controller.lanes["L1"].look()
    await bench.controller.answer_cycle()
    status, answer = bench.answer(request_id)
    assert (status, answer[:12]) == ("refused", "asked before")
    assert mode(bench) == "held"


async def test_a_trip_inside_a_confirmation_ends_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the press and the change of mode, in a cell without an epoch that would refuse the release."""
    await bench.settled(bench.ask("hold"))
    await bench.run(5)
    real = bench.controller.reconcile_now

    async def then_a_trip(actor: str) -> object:
        found = await real(actor)
        bench.controller.context.lost_at = bench.clock.now()
        return found

    monkeypatch.setattr(bench.controller, "reconcile_now", then_a_trip)
    status, _ = await bench.settled(bench.ask("confirm"))
    assert (status, mode(bench)) == ("refused", "held")
    assert bench.plant.cell("L1").hold
    monkeypatch.undo()
    await confirmed(bench)


# A result that no swap waits for.


async def test_a_result_of_another_database_is_taken_by_a_named_person(bench: Bench) -> None:
    """S3: held, with the reason; the confirmation puts it on record, then acknowledges it."""
    cell = bench.plant.cell("L1")
    cell.done_seq, cell.result = 60_000, ResultCode.ABORTED
    bench.arrive("V1", 30)
    await bench.run_while_still(30)
    assert (mode(bench), bench.controller.context.mode_reason) == ("held", HoldReason.UNKNOWN_RESULT)
    assert bench.open_faults()["unknown_result"] == "lane:L1"
    assert bench.plant.cell_status("L1").result is ResultCode.ABORTED
    await confirmed(bench, "Mei")
    (taken,) = [e for e in bench.events() if e.kind == ResultTaken.kind]
    assert taken.data == {"seq": 60_000, "result": "aborted", "command": None}
    assert (taken.lane_id, bench.who(taken)) == ("L1", "Mei")
    assert bench.plant.cell_status("L1").result is ResultCode.NONE
    assert "unknown_result" not in bench.open_faults()
    (cleared,) = [e for e in bench.events() if e.kind == FaultCleared.kind]
    assert bench.who(cleared) == "Mei"
    await bench.run_until(SwapCompleted.kind, step_s=None)
    await bench.run(5)
    bench.audited()


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_number_of_a_result_taken_over_is_never_given_again(bench: Bench, restarted: bool) -> None:
    """Also to a cell that has forgotten its numbers: its result would pass for the one that was taken over."""
    cell = bench.plant.cell("L1")
    cell.done_seq, cell.result = 3, ResultCode.ABORTED
    await bench.run_while_still(30)
    await confirmed(bench)
    bench.audited()
    cell.done_seq = cell.ack_seq = cell.last_seq = 0  # a PLC that keeps nothing lost its power
    if restarted:
        bench.build()
        await bench.start()
        await confirmed(bench)
    bench.arrive("V1", 30)
    await bench.run_until(SwapCompleted.kind, step_s=None)
    assert min(seq for what, seq, _ in bench.motions if what == "accepted") > 3
    bench.audited()


async def test_a_power_loss_while_homing_is_no_dead_end(bench: Bench) -> None:
    """S3: the PLC keeps result 3 of the homing, and its acknowledgement gets lost."""
    cell = bench.plant.cell("L1")
    bench.plant.inject("power_cut", "L1")
    await bench.run(5)
    bench.plant.clear("power_cut", "L1")
    bench.plant.inject("person_confirms", "L1")
    await bench.run(5)
    await confirmed(bench)
    await bench.run(2, 1.0)
    assert cell.active is not None
    assert cell.active.command.code is CommandCode.HOME
    bench.plant.inject("power_cut", "L1")
    bench.robots["L1"].lost_acknowledgements = 1
    await bench.run(10, 1.0)
    bench.plant.clear("power_cut", "L1")
    bench.plant.inject("person_confirms", "L1")
    await bench.run(10)
    assert cell.result is ResultCode.NONE  # its end is on record, so the second acknowledgement needs nobody
    await confirmed(bench)
    bench.arrive("V1", 30)
    await bench.run_until(SwapCompleted.kind, step_s=None)


async def test_a_homing_under_way_is_taken_up_by_the_next_controller(bench: Bench) -> None:
    """S3: its end belongs to somebody, also after a restart."""
    cell = bench.plant.cell("L1")
    bench.plant.inject("power_cut", "L1")
    await bench.run(5)
    bench.plant.clear("power_cut", "L1")
    bench.plant.inject("person_confirms", "L1")
    await bench.run(5)
    await confirmed(bench)
    await bench.run(2, 1.0)
    assert cell.active is not None
    seq = cell.active.command.seq
    bench.seconds += 60
    bench._pass()
    assert (cell.done_seq, cell.result) == (seq, ResultCode.DONE)
    bench.build()
    assert (await bench.start()).cause is Cause.RESTART
    await bench.run(5)
    assert cell.result is ResultCode.NONE
    assert "unknown_result" not in bench.open_faults()
    await confirmed(bench)
    bench.arrive("V1", 30)
    await bench.run_until(SwapDispatched.kind, step_s=None)


async def test_a_gap_is_judged_by_the_one_rule(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: where the rule says that nobody is needed, a gap holds nothing."""
    monkeypatch.setattr(watchdog, "GAP_LOST_S", 100.0)
    controller: StationController = bench.controller
    monkeypatch.setattr(controller.watchdog, "take_gap", lambda _: Gap("looking", 30.0))
    await controller._lane_step(controller.lanes["L1"])()
    assert mode(bench) == "automatic"
    assert not [e for e in bench.events() if e.kind in (ControlGap.kind, SwapHeld.kind)]
    assert Phase.HELD not in [lane.session and lane.session.phase for lane in controller.lanes.values()]


def test_a_gap_is_told_once_whichever_loop_asks_first() -> None:
    now_s = 0.0
    watched = Watchdog(["L1"], lambda: now_s)
    watched.looked("L1")
    watched.worked("L1")
    now_s = 4.0
    assert [watched.take_gap("L1"), watched.take_gap("L1")] == [Gap("commanding", 4.0), None]
    watched.looked("L1")
    assert [watched.take_gap("L1"), watched.take_gap("L1")] == [Gap("looking", 4.0), None]
    watched.worked("L1")
    now_s = 8.5
    assert watched.take_gap("L1") == Gap("commanding", 4.5)


async def test_a_stop_right_after_a_gap_asks_for_a_person(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4, S5: the gap counts though no step has told of it, and though nothing is past admitting."""
    monkeypatch.setattr(bench.controller.watchdog, "take_gap", lambda _: Gap("looking", 4.0))
    await bench.controller.stop()
    bench.build()
    await bench.start()
    assert (mode(bench), bench.controller.context.mode_reason) == ("held", "control_gap")
    assert [e for e in bench.events() if e.kind == ControlGap.kind]


async def test_a_computer_that_has_slept_was_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: monotonic seconds stand still meanwhile, also those by which the lease is sure."""
    controller: StationController = bench.controller
    lane = controller.lanes["L1"]
    lease = Lease(bench.store, bench.config.station.id)
    lease.renewed(lease.now_s())
    assert lease.sure()
    controller.watchdog.looked("L1")
    await controller._lane_step(lane)()
    assert mode(bench) == "automatic"
    for module in (clock_module, controller_module):
        monkeypatch.setattr(module, "asleep_s", lambda: asleep_s() + 60.0)
    assert not lease.sure()
    controller.watchdog.looked("L1")
    await controller._lane_step(lane)()
    assert (mode(bench), controller.context.mode_reason) == ("held", "control_gap")


# The computer's clock.


@pytest.mark.parametrize(("ahead_s", "how"), [(7200.0, "stepped"), (-7200.0, "held")])
async def test_a_corrected_clock_holds_the_station_and_shows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, ahead_s: float, how: str
) -> None:
    """S13: bills and periods since the start are wrong; a person has to know of it."""
    clock = bench.controller.context.clock
    started = clock.now()
    real_s = bench.seconds
    monkeypatch.setattr(clock, "_wall", lambda: started + timedelta(seconds=ahead_s + bench.seconds - real_s))
    await bench.controller.clock_cycle()
    await bench.controller.clock_cycle()
    (told,) = [e for e in bench.events() if e.kind == ClockCorrected.kind]
    assert told.data == {"by_s": ahead_s, "how": how}
    assert (mode(bench), bench.controller.context.mode_reason) == ("held", "clock_wrong")
    assert "clock_wrong" in bench.open_faults()
    assert (clock.now() - started).total_seconds() == pytest.approx(max(ahead_s, 0.0))
    assert bench.controller.context.reading_fresh("A1")
    await bench.run_while_still(30)
    await confirmed(bench)
    await bench.controller.clock_cycle()
    assert ("clock_wrong" in bench.open_faults()) is (how == "held")  # it still differs
    bench.arrive("V1", 30)
    await bench.run_until(SwapDispatched.kind, step_s=None)
    bench.audited()


async def test_a_small_correction_of_the_clock_is_told_and_holds_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13."""
    clock = bench.controller.context.clock
    monkeypatch.setattr(clock, "_wall", lambda: clock.now() + timedelta(seconds=30))
    await bench.controller.clock_cycle()
    (told,) = [e for e in bench.events() if e.kind == ClockCorrected.kind]
    assert told.data == {"by_s": 30.0, "how": "slewed"}
    assert mode(bench) == "automatic"
    assert "clock_wrong" not in bench.open_faults()


# A record without proof.


def held_for_stock(folder: Path) -> Bench:
    """A new station with real devices, as `swap run` makes it."""
    url = f"sqlite:///{folder / 'new.db'}"
    store = Store(url)
    store.upgrade()
    config = parse_station(station_data() | {"devices": "real"})
    sync_station(store, config, START_AT)
    store.close()
    return Bench(folder, config, url=url, speed=20.0)


async def test_a_first_start_with_real_devices_waits_until_the_stock_is_confirmed(tmp_path: Path) -> None:
    """S11: where the packs are stands in the file only; a confirmation needs every bay seen."""
    bench = held_for_stock(tmp_path)
    bench.plant.rack.move(code(1), "off_site", bench.plant.now_us)
    bench.arrive("V1", 30)
    await bench.start()
    status, answer = await bench.settled(bench.ask("confirm"))
    assert status == "refused"  # nothing has been looked at yet
    assert "A1" in answer
    await bench.run(5)
    await bench.run_while_still(60)
    assert (mode(bench), bench.controller.context.mode_reason) == ("held", STOCK_UNCONFIRMED)
    status, answer = await bench.settled(bench.ask("confirm", "Mei"))
    assert (status, mode(bench)) == ("done", "automatic")
    assert "bay:A1" in bench.open_faults().values()  # what the file says and nobody sees is named, and not given out
    bench.controller.context.readings.pop("A2")
    await bench.settled(bench.ask("hold"))
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"  # confirmed once, a silent bay stops nobody
    await bench.run_until(SwapCompleted.kind, step_s=None)
    bench.close()


async def test_a_new_database_is_refused_by_a_cell_that_has_worked_before(tmp_path: Path) -> None:
    """S11: nothing is known of what it holds; a named person may begin the record anew, and that is written down."""
    used = Plant(station(), seed=5, start_at=START_AT)
    used.cell("L1").last_seq = used.cell("L1").done_seq = 812
    bench = Bench(tmp_path, station(), plant=used, speed=20.0)
    with pytest.raises(CellWorkedBefore, match=r"lane L1 \(command 812\).*swap db restore.*--new-record-by"):
        await bench.start()
    assert used.cell("L1").owner == 0
    assert bench.motions == []
    bench.build()
    bench.controller.new_record_by = "Mei"
    await bench.start()
    (begun,) = [e for e in bench.events() if e.kind == RecordBegun.kind]
    assert (begun.data, bench.who(begun)) == ({"numbers": {"L1": 812}}, "Mei")
    bench.audited()
    # It is used from then on, also where the PLC forgets it before it has had a command of this record.
    assert bench.controller.lanes["L1"]._next_seq(CellStatus("L1", None, None)) == 813
    used.cell("L1").last_seq = used.cell("L1").done_seq = 0
    await restarted(bench)  # once is enough
    bench.arrive("V1", 30)
    await bench.run_until(SwapCompleted.kind, step_s=None)
    assert min(number for what, number, _ in bench.motions if what == "accepted") > 812
    await restarted(bench)
    bench.audited()
    bench.close()


async def test_a_cell_that_is_silent_at_the_start_tells_later_that_it_has_worked_before(tmp_path: Path) -> None:
    used = Plant(station(), seed=5, start_at=START_AT)
    used.cell("L1").last_seq = used.cell("L1").done_seq = 812
    bench = Bench(tmp_path, station(), plant=used, speed=20.0)
    bench.robots["L1"].cut, bench.robots["L1"]._last = True, CellStatus("L1", None, None)
    bench.arrive("V1", 30)
    await bench.start()
    await bench.run_while_still(20)
    bench.robots["L1"].cut = False
    with pytest.raises(CellWorkedBefore, match=r"lane L1 \(command 812\)"):
        await bench.run(20)
    assert bench.motions == []
    bench.close()


async def restarted(bench: Bench) -> None:
    """A stop in good order at rest, and a start without anybody who says anything."""
    await bench.run(60)
    await bench.controller.stop()
    bench.seconds += 15
    bench.build()
    await bench.start()
    await bench.run(5)
