"""The controller and its database: what is waited for, what is lost, what leaves when, and who has to look."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from robotics.port import CellStatus, Signal
from scheduler.types import StationMode
from swap.errors import DatabaseAway
from swap.messages.events import ControlGap, DatabaseReturned, DatabaseSlow, SwapHeld, SwapResumed
from swap.station.life import watchdog
from swap.station.life.database import DatabaseLost, DatabaseState
from swap.station.life.status import ControlBoard, ControlWord
from swap.station.sequence.session import Phase
from swap.station_db import StationDb as Db
from tests.support.swap.running import NEVER_S, Running, patient_station


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(watchdog, "GAP_LOST_S", NEVER_S)
    running = Running(tmp_path, patient_station())
    async with running.going():
        yield running


async def under_way(running: Running, vehicle_id: str = "V1") -> str:
    """A swap whose first motion of the robot runs."""
    swap_id = running.arrive(vehicle_id)
    lane = running.controller.lanes["L1"]
    await running.until(
        lambda: lane.session is not None and lane.session.state == "unlocking" and lane.session.phase is Phase.SENT,
        "the robot works",
    )
    return swap_id


async def still(running: Running, seconds: float = 0.3) -> None:
    """Nothing begins for a while."""
    before = running.begun()
    await asyncio.sleep(seconds)
    assert running.begun() == before


async def test_a_slow_commit_is_waited_for_and_told_once(running: Running) -> None:
    swap_id = await under_way(running)
    looks = running.robot.looks
    running.lose_database(slow_after_s=0.2)
    await running.until(lambda: running.database.state is DatabaseState.SLOW, "slow")
    await running.until(lambda: running.controller.board.word() is ControlWord.DATABASE_SLOW, "the board tells it")
    assert running.robot.looks > looks
    running.bring_database_back()
    await running.until(lambda: running.told(DatabaseSlow.kind), "the event")
    running.database.slow_after_s = NEVER_S  # what a loaded machine does later is no matter of this test
    await running.until(lambda: running.swap(swap_id).state == "completed", "the swap ends")
    (_, data), *_ = running.told(DatabaseSlow.kind)
    assert data["waited_s"] > 0.2
    assert running.mode()[0] == StationMode.AUTOMATIC
    assert running.told(SwapHeld.kind) == []


async def test_a_lost_database_holds_without_it_and_waits_for_a_person(running: Running) -> None:
    swap_id = await under_way(running)
    running.lose_database(lost_after_s=0.3)
    await running.until(lambda: running.plant.cell("L1").hold, "the robot is on hold")
    bays = running.plant.rack.bays
    await running.until(lambda: all(bay.setpoint_kw == 0.0 for bay in bays.values()), "the chargers stand")
    await running.until(lambda: running.controller.board.word() is ControlWord.DATABASE_LOST, "the board tells it")
    looks, sent = running.robot.looks, len(running.robot.sent)
    await running.until(lambda: running.robot.looks > looks + 3, "it looks on")
    assert len(running.robot.sent) == sent
    assert running.store.away.is_set()
    running.bring_database_back()

    await running.until(lambda: running.mode() == ("held", "database_lost"), "held on return")
    (_, data), *_ = running.told(DatabaseReturned.kind)
    assert data["lost_at"] <= data["held_at"] <= data["back_at"]
    assert data["lost_s"] > 0.2
    assert data["chargers_not_confirmed"] == {}
    await running.until(lambda: running.swap(swap_id).hold_reason == "restart", "the swap waits")
    await still(running)
    for _ in range(10):
        status, _answer = await running.answered(running.ask("confirm", "Operator A"))
        if status == "done":
            break
    await running.until(lambda: running.swap(swap_id).state == "completed", "the swap ends after the confirmation")
    assert running.told(SwapResumed.kind)[0][1]["decision"] == "continue"


async def test_a_request_from_before_the_loss_lets_nothing_go_on(running: Running) -> None:
    await under_way(running)
    await running.answered(running.ask("hold"))
    running.lose_database(lost_after_s=0.3)
    await running.until(lambda: running.database.state is DatabaseState.LOST, "lost")
    asked = running.ask("confirm")
    running.bring_database_back()
    status, answer = await running.answered(asked)
    assert (status, answer[:12]) == ("refused", "asked before")
    await still(running)


async def test_an_unknown_outcome_is_read_anew_and_waits_for_a_person(running: Running) -> None:
    swap_id = await under_way(running)
    running.store.forget_next = True
    await running.until(lambda: running.mode() == ("held", "database_lost"), "held")
    await running.until(lambda: running.database.state is DatabaseState.OK, "taken up anew")
    session, row = running.controller.lanes["L1"].session, running.swap(swap_id)
    assert session is not None
    assert (session.state, session.seq, session.phase.value) == (row.state, row.seq, row.phase)
    await still(running)


async def test_a_mistake_of_the_program_still_ends_the_controller_safely(tmp_path: Path) -> None:
    running = Running(tmp_path, patient_station())

    def broken(db: Db) -> NoReturn:
        raise ZeroDivisionError

    async def until_broken() -> None:
        async with running.going():
            await under_way(running)
            running.controller.answers._waiting = broken  # type: ignore[method-assign]
            await running.until(lambda: False, "the end")

    with pytest.raises(ExceptionGroup) as caught:
        await until_broken()
    assert caught.group_contains(ZeroDivisionError)
    assert running.plant.cell("L1").hold
    assert running.controller.board.word() is ControlWord.STOPPED


async def test_a_trip_while_a_commit_is_waited_for_holds_the_cell_at_once(running: Running) -> None:
    """The step itself waits; the looks go on and hold, and the station is held for it when the commit is through."""
    swap_id = await under_way(running)
    lane = running.controller.lanes["L1"]
    looked = lane.context.cells["L1"]
    running.lose_database()
    await running.until(lambda: lane._step_at is not None and running.database.oldest_write_s(), "a step waits")

    async def tripped() -> CellStatus:
        now = running.clock.now()
        return replace(looked, signals={**looked.signals, Signal.ESTOP_OK: False}, fast_at=now, slow_at=now)

    running.robot.status = tripped  # type: ignore[method-assign]
    await running.until(lambda: running.plant.cell("L1").hold, "the cell is held")
    assert running.store.away.is_set()
    running.bring_database_back()
    await running.until(lambda: running.swap(swap_id).phase == "held", "the swap is held")
    await running.until(lambda: running.mode()[0] == "held", "the station is held")


def blocked(running: Running, seconds: float) -> None:
    """The controller's loop does nothing else for a while."""
    asyncio.get_running_loop().call_soon(time.sleep, seconds)


async def test_a_gap_while_a_swap_runs_waits_for_a_person(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    swap_id = await under_way(running)
    monkeypatch.setattr(watchdog, "GAP_LOST_S", 0.5)
    blocked(running, 0.8)
    await running.until(lambda: running.mode() == ("held", "control_gap"), "held")
    (_, data), *_ = running.told(ControlGap.kind)
    assert data["what"] in ("looking", "commanding")  # which loop comes first after a gap is chance
    assert 0.5 < data["gap_s"] < 5
    await running.until(lambda: running.swap(swap_id).phase == "held", "the swap is held")
    assert running.plant.cell("L1").hold


async def test_a_gap_with_nothing_at_work_waits_for_a_person_too(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S4: people walk into an idle lane as well."""
    monkeypatch.setattr(watchdog, "GAP_LOST_S", 0.5)
    blocked(running, 0.8)
    await running.until(lambda: running.mode() == ("held", "control_gap"), "held")
    assert running.told(ControlGap.kind) != []
    assert (await running.answered(running.ask("confirm")))[0] == "done"
    assert running.mode()[0] == StationMode.AUTOMATIC


# the database alone


async def test_a_transaction_is_run_again_until_it_is_committed(running: Running) -> None:
    tries = 0

    def work(db: Db) -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise DatabaseAway("once more")
        return tries

    assert await running.database.write(work) == 3


async def test_what_was_given_up_is_not_committed_later(running: Running) -> None:
    inside, let_go = threading.Event(), threading.Event()

    def work(db: Db) -> None:
        inside.set()
        assert let_go.wait(10)
        running.controller.lease.give_up(db)

    running.database.lost_after_s = 2.0
    with pytest.raises(DatabaseLost):
        await running.database.write(work)
    running.database.lost_after_s = NEVER_S
    assert inside.is_set()
    let_go.set()
    await running.until(lambda: running.database.state is DatabaseState.OK, "back")
    # The lease was not given up: the controller goes on renewing it.
    await running.database.write(running.controller.lease.renew)


def test_the_board_tells_that_nothing_new_is_said() -> None:
    now_s = 100.0
    board = ControlBoard(lambda: now_s)
    assert board.word() is ControlWord.STARTING
    board.stop()
    assert board.word() is ControlWord.STOPPED
