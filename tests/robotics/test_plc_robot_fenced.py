"""The driver on a fenced cell: what goes with each request, and what is not written at all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from robotics.config import CellSection
from robotics.handshake import limits_of
from robotics.modbus_link.registers import load_map
from robotics.plc_robot import PlcRobot
from robotics.port import CommandCode, LinkLimit, LinkLost, Location, LocationKind, Refused, ResultCode, RobotCommand
from tests.robotics.test_plc_robot import Seconds, now
from tests.support.robotics.plc import MiniPlc

pytestmark = pytest.mark.system
OURS, OTHER = 77, 99
PICK = RobotCommand(5, CommandCode.PICK, Location(LocationKind.BAY, 3), None, 0x0002_0001)


@pytest.fixture(autouse=True)
def beat_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat task never wakes: these tests call `beat` themselves."""
    monkeypatch.setattr(PlcRobot, "_beat_period_s", 600.0)


@pytest.fixture
async def plc() -> AsyncIterator[MiniPlc]:
    plc = MiniPlc(load_map("swap_cell_v2"))
    await plc.start()
    yield plc
    plc.silent.set()
    await plc.stop()


@pytest.fixture
async def robot(plc: MiniPlc) -> AsyncIterator[PlcRobot]:
    robot = PlcRobot("L1", CellSection(address=plc.address), plc.map, OURS, now, monotonic=Seconds())
    await robot.connect()
    plc.writes.clear()
    yield robot
    await robot.close()


async def test_each_request_is_one_write_with_its_epoch_first_and_its_number_last(
    plc: MiniPlc, robot: PlcRobot
) -> None:
    epoch = plc.cell.epoch
    await robot.send(PICK, epoch)
    plc.cell.tick()
    await robot.status()
    await robot.acknowledge(5, epoch)
    await robot.hold("test")
    await robot.resume(epoch)
    beat, command, acknowledged, hold, withdrawn = plc.writes
    assert (beat[0], beat[1][:2]) == (200, [epoch, OURS])
    assert command == (203, [epoch, OURS, 5, 3, 0, 2, 1, 5])
    assert acknowledged == (211, [epoch, 5])
    assert hold == (213, [epoch, 1, 1])
    assert withdrawn == (213, [epoch, 0, 2])


async def test_the_status_shows_the_fence(plc: MiniPlc, robot: PlcRobot) -> None:
    await robot.send(PICK)
    plc.cell.tick()
    await robot.acknowledge(5)
    await robot.hold("test")
    status = await robot.status()
    assert (status.epoch, status.last_seq, status.hold) == (plc.cell.epoch, 5, True)
    assert (status.result, status.done_result) == (ResultCode.NONE, ResultCode.DONE)
    assert status.numbers == (5, 0, 5, 5)


async def test_what_was_decided_in_another_epoch_is_not_written(plc: MiniPlc, robot: PlcRobot) -> None:
    decided_in = (await robot.status()).epoch
    plc.cell.new_epoch()
    await robot.status()
    for attempt in (robot.send(PICK, decided_in), robot.acknowledge(5, decided_in), robot.resume(decided_in)):
        with pytest.raises(Refused, match=f"decided in epoch {decided_in}, the cell is in {decided_in + 1}"):
            await attempt
    assert [address for address, _ in plc.writes] == [200], "a heartbeat only"


async def test_a_withdrawal_that_a_trip_has_overtaken_leaves_the_hold_and_says_so(
    plc: MiniPlc, robot: PlcRobot
) -> None:
    await robot.hold("test")
    shown = (await robot.status()).epoch
    plc.cell.new_epoch()  # not read yet
    with pytest.raises(Refused, match="still holds 1 s after its hold was withdrawn"):
        await robot.resume(shown)
    assert plc.cell.hold
    plc.cell.hold = False
    await robot.status()
    await robot.beat()
    assert plc.cell.hold, "it is wanted again"


async def test_a_withdrawal_without_an_answer_is_taken_back_on_another_connection(
    plc: MiniPlc, robot: PlcRobot
) -> None:
    await robot.hold("test")
    plc.silent.clear()
    with pytest.raises(LinkLost):
        await robot.resume()
    assert not robot.link.connected
    plc.silent.set()
    assert await robot.link.wait_connected(5)
    await robot.status()
    await robot.beat()
    assert plc.cell.hold
    holds = [words[1:] for address, words in plc.writes if address == 213]
    assert [number for _, number in holds] == sorted({number for _, number in holds})


async def test_hold_is_asked_again_until_the_cell_shows_it(plc: MiniPlc, robot: PlcRobot) -> None:
    await robot.hold("test")
    await robot.status()
    before = len(plc.writes)
    await robot.beat()
    assert [address for address, _ in plc.writes[before:]] == [200]
    plc.cell.hold = False  # the PLC has restarted and forgotten
    plc.cell.new_epoch()
    await robot.status()
    await robot.beat()
    assert plc.cell.hold


async def test_a_claim_that_the_cell_has_not_taken_sends_nothing(plc: MiniPlc, robot: PlcRobot) -> None:
    plc.cell.owner_silent()
    await robot.status()
    plc.cell.frozen = True
    with pytest.raises(Refused, match="has not taken the claim"):
        await robot.send(PICK)
    plc.cell.frozen = False
    assert all(address == 200 for address, _ in plc.writes)


async def test_the_cell_is_given_up_by_a_heartbeat_of_its_own(plc: MiniPlc, robot: PlcRobot) -> None:
    epoch, beat = plc.cell.epoch, plc.image[202]
    await robot.close()
    assert plc.writes[-1] == (200, [epoch, 0, beat + 1])
    assert plc.cell.owner == 0


async def test_an_epoch_of_nought_is_no_status(plc: MiniPlc, robot: PlcRobot) -> None:
    before = await robot.status()
    plc.corrupt, plc.cell.vehicle_tag = {"epoch": 0}, 4711
    assert (await robot.status()).vehicle_tag == before.vehicle_tag


def test_the_driver_says_what_its_layout_leaves_open() -> None:
    fenced = load_map("swap_cell_v2")
    assert limits_of(fenced) == (LinkLimit.BEFORE_SILENCE,)
    assert LinkLimit.LATE_COMMAND in limits_of(load_map("swap_cell_v1"))
    robot = PlcRobot("L1", CellSection.model_validate({"address": {"port": 502}}), fenced, OURS, now)
    assert robot.limits == limits_of(fenced)
