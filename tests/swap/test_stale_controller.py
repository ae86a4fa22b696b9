"""A controller that comes back and has lost its station: it writes nothing, neither to the record nor to a device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from battery_bms.port import ChargerBank
from robotics.port import CellStatus
from swap.messages.events import ControllerStopped
from swap.station.lease import SURE_S, Lease
from swap.station.life import watchdog
from swap.station.life.ownership import NOT_OURS, OwnedChargers
from swap.station.life.status import StopReport
from swap.store import LeaseLost, Store
from swap.tables import LEASE_EXPIRES_S
from tests.support.battery_bms.rack import FakeRack
from tests.support.swap.running import LIMIT_S, NEVER_S, Running, patient_station


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(watchdog, "GAP_LOST_S", NEVER_S)
    running = Running(tmp_path, patient_station())
    with suppress(AssertionError):  # its controller is to end
        async with running.going():
            yield running


def setpoints(running: Running) -> dict[str, float]:
    return {name: bay.setpoint_kw for name, bay in running.plant.rack.bays.items()}


async def test_what_another_controller_has_taken_is_left_alone(running: Running) -> None:
    """S1: A is paused, B takes the station over, A comes back: it ends without touching journal, cell or chargers."""
    await running.until(lambda: any(kw > 0 for kw in setpoints(running).values()), "something is charged")
    told, before = len(running.told()), setpoints(running)
    cell = running.plant.cell("L1")
    other = Lease(running.people, running.config.station.id)
    other.acquire(datetime.now(UTC) + timedelta(seconds=LEASE_EXPIRES_S + 1))
    cell.owner = other.token
    task = running.task
    assert task is not None
    await asyncio.wait([task], timeout=LIMIT_S)
    assert task.done()
    error = task.exception()
    assert isinstance(error, ExceptionGroup)
    assert error.subgroup(LeaseLost) is not None
    assert running.controller.board.end == StopReport(lost=True)
    assert [kind for kind, _ in running.told()[told:] if kind != "pack.state"] == []
    assert running.told(ControllerStopped.kind) == []
    assert not cell.hold
    assert cell.owner == other.token
    assert setpoints(running) == before


async def test_a_lost_database_lets_a_stale_controller_write_nothing_either(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: whose station it is cannot be asked; after the lease's time it is taken for another one's."""
    await running.until(lambda: any(kw > 0 for kw in setpoints(running).values()), "something is charged")
    controller, before = running.controller, setpoints(running)
    now_s = controller.lease.now_s
    monkeypatch.setattr(controller.lease, "_monotonic", lambda: now_s() + SURE_S)
    running.plant.cell("L1").owner = 4711
    running.lose_database(lost_after_s=0.1)
    await running.until(controller.context.database.lost.is_set, "the loss is noticed")
    await asyncio.sleep(0.3)
    assert setpoints(running) == before
    assert not running.plant.cell("L1").hold


async def test_chargers_are_written_while_the_lease_is_sure_and_then_no_more() -> None:
    """S1: also not 0: what was written last ends by itself."""
    seconds = [100.0]
    lease = Lease(cast(Store, None), "test", lambda: seconds[0])
    rack = FakeRack(["A1", "A2"])
    rests = 0

    async def rest() -> None:
        nonlocal rests
        rests += 1

    chargers: ChargerBank = OwnedChargers(rack, ["A1", "A2"], lease.sure, rest)
    assert await chargers.set_charge_kw({"A1": 5.0}) == {}  # nothing runs yet that would renew it
    lease.renewed(100.0)
    seconds[0] += SURE_S - 0.1
    assert await chargers.stop_all() == {}
    seconds[0] += 0.2
    assert await chargers.set_charge_kw({"A1": 0.0}) == {"A1": NOT_OURS}
    assert await chargers.stop_all() == {"A1": NOT_OURS, "A2": NOT_OURS}
    assert (len(rack.written), rack.stops, rests) == (2, 1, 1)  # a stop is written as 0 kW
    lease.renewed(seconds[0])
    assert await chargers.stop_all() == {}


def test_a_lease_is_sure_for_less_time_than_others_wait_for_it() -> None:
    assert 0 < SURE_S < LEASE_EXPIRES_S


async def test_a_cell_is_held_after_a_fresh_read_of_its_owner(running: Running) -> None:
    """S1: the port's own rule, as the driver keeps it (`tests/robotics`)."""
    robot, cell = running.robot, running.plant.cell("L1")
    seen: CellStatus = await robot.status()
    assert seen.owner == running.controller.lease.token
    cell.owner = 4711
    assert await robot.hold("stale") is False
    assert not cell.hold
    cell.owner = seen.owner
