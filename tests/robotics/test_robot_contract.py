"""What every `SwapRobot` keeps: the same tests on the cell in memory and on the driver over Modbus, in two layouts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from robotics.config import CellSection
from robotics.modbus_link.registers import load_map
from robotics.plc_robot import PlcRobot
from robotics.port import (
    AckCode,
    CellState,
    CommandCode,
    ControlMode,
    LinkLost,
    Location,
    LocationKind,
    Refused,
    ResultCode,
    RobotCommand,
    Signal,
    SwapRobot,
)
from tests.support.robotics.fakes import FakeRobot, MiniCell
from tests.support.robotics.plc import MiniPlc

TOKEN = 77
BAY_3 = Location(LocationKind.BAY, 3)
SEAT_1 = Location(LocationKind.SEAT, 1)
PICK = RobotCommand(41, CommandCode.PICK, source=BAY_3)


@dataclass
class Times:
    """Real seconds and station time, both moved by hand."""

    real_s: float = 1000.0
    at: datetime = field(default_factory=lambda: datetime(2026, 7, 1, 8, tzinfo=UTC))

    def monotonic(self) -> float:
        return self.real_s

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.real_s += seconds
        self.at += timedelta(seconds=seconds)


@dataclass
class Rig:
    """A robot, the cell behind it, and the hand that moves time."""

    robot: SwapRobot
    cell: MiniCell
    times: Times
    plc: MiniPlc | None = None

    async def cut(self) -> None:
        """The link dies."""
        if self.plc is not None:
            await self.plc.stop()
        else:
            assert isinstance(self.robot, FakeRobot)
            self.robot.link_down = True


@pytest.fixture(
    params=[
        "fake",
        pytest.param("swap_cell_v2", marks=pytest.mark.system),
        pytest.param("swap_cell_v1", marks=pytest.mark.system),
        pytest.param("gantry_flags_v1", marks=pytest.mark.system),
    ]
)
async def rig(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    cell, times = MiniCell(), Times()
    cell.bays[:7] = [True] * 7
    if request.param == "fake":
        fake = FakeRobot(owner_token=TOKEN, now=times.now, cell=cell, stepped=True)
        await fake.connect()
        yield Rig(fake, cell, times)
        await fake.close()
        return
    # The heartbeat is not what these tests are about: the first beat claims the cell, no other comes.
    monkeypatch.setattr(PlcRobot, "_beat_period_s", 600.0)
    register_map = load_map(request.param)
    plc = MiniPlc(register_map, cell, base=3000)
    await plc.start()
    section = CellSection(address=plc.address)
    robot = PlcRobot("L1", section, register_map, TOKEN, times.now, monotonic=times.monotonic)
    await robot.connect()
    yield Rig(robot, cell, times, plc)
    await robot.close()
    await plc.stop()


async def test_status_shows_the_cell(rig: Rig) -> None:
    rig.cell.signals[Signal.CURTAIN_CLEAR] = False
    rig.cell.control_mode = ControlMode.LOCAL
    rig.cell.vehicle_tag = 100_001
    rig.cell.position = SEAT_1
    rig.cell.bays[1] = False
    rig.times.advance(5)
    status = await rig.robot.status()
    assert status.lane_id == "L1"
    assert status.fast_at == status.slow_at == rig.times.at
    assert status.state is CellState.READY
    assert status.control_mode is ControlMode.LOCAL
    assert status.owner == TOKEN
    assert status.vehicle_tag == 100_001
    assert status.position == SEAT_1
    assert status.signals[Signal.ESTOP_OK] is True
    assert status.signals[Signal.CURTAIN_CLEAR] is False
    assert status.bays_occupied[:7] == (True, False, True, True, True, True, True)


async def test_a_command_is_taken_run_ended_and_acknowledged(rig: Rig) -> None:
    await rig.robot.send(PICK)
    taken = await rig.robot.status()
    assert (taken.ack_seq, taken.ack_code, taken.active_seq) == (41, AckCode.ACCEPTED, 41)
    assert taken.state is CellState.BUSY
    assert taken.result is ResultCode.NONE
    rig.cell.tick()
    ended = await rig.robot.status()
    assert (ended.done_seq, ended.result, ended.active_seq) == (41, ResultCode.DONE, 0)
    assert ended.signals[Signal.GRIPPER_LOADED] is True
    assert rig.cell.moves == [PICK]
    assert (await rig.robot.status()).result is ResultCode.DONE
    await rig.robot.acknowledge(41)
    assert (await rig.robot.status()).result is ResultCode.NONE


async def test_a_number_sent_again_never_moves_twice(rig: Rig) -> None:
    await rig.robot.send(PICK)
    await rig.robot.send(PICK)
    rig.cell.tick()
    await rig.robot.send(PICK)
    rig.cell.tick()
    await rig.robot.status()
    await rig.robot.acknowledge(41)
    await rig.robot.status()
    await rig.robot.send(PICK)
    rig.cell.tick()
    status = await rig.robot.status()
    assert rig.cell.moves == [PICK]
    assert status.active_seq == 0


async def test_an_acknowledgement_of_another_number_changes_nothing(rig: Rig) -> None:
    await rig.robot.send(PICK)
    rig.cell.tick()
    await rig.robot.acknowledge(40)
    assert (await rig.robot.status()).result is ResultCode.DONE


async def test_parameters_of_every_kind_arrive(rig: Rig) -> None:
    commands = [
        RobotCommand(65534, CommandCode.ADMIT, vehicle_tag=100_001),
        RobotCommand(65535, CommandCode.PUT, target=SEAT_1),
        RobotCommand(1, CommandCode.PICK, source=Location(LocationKind.TRANSFER, 1)),
        RobotCommand(2, CommandCode.FIRE, source=BAY_3, target=Location(LocationKind.TANK, 1)),
    ]
    for command in commands:
        await rig.robot.send(command)
        rig.cell.tick()
        status = await rig.robot.status()
        assert (status.done_seq, status.result) == (command.seq, ResultCode.DONE)
        await rig.robot.acknowledge(command.seq)
        assert (await rig.robot.status()).result is ResultCode.NONE
    assert rig.cell.moves == commands


async def test_a_second_command_waits_for_the_acknowledgement(rig: Rig) -> None:
    await rig.robot.send(PICK)
    rig.cell.tick()
    await rig.robot.send(RobotCommand(42, CommandCode.HOME))
    status = await rig.robot.status()
    assert (status.ack_seq, status.ack_code) == (42, AckCode.BUSY)
    assert len(rig.cell.moves) == 1


@pytest.mark.parametrize(
    "refusal",
    [AckCode.REFUSED_INTERLOCK, AckCode.REFUSED_MODE, AckCode.REFUSED_PARAMETER],
)
async def test_a_refusal_is_reported(rig: Rig, refusal: AckCode) -> None:
    rig.cell.refuse_next = refusal
    await rig.robot.send(PICK)
    rig.cell.tick()
    status = await rig.robot.status()
    assert (status.ack_seq, status.ack_code, status.active_seq) == (41, refusal, 0)
    assert rig.cell.moves == []


@pytest.mark.parametrize("result", [ResultCode.FAILED, ResultCode.ABORTED])
async def test_a_failure_is_reported_with_its_fault(rig: Rig, result: ResultCode) -> None:
    rig.cell.fail_next = result
    await rig.robot.send(PICK)
    rig.cell.tick()
    status = await rig.robot.status()
    assert (status.done_seq, status.result, status.state) == (41, result, CellState.ALARM)
    assert status.fault_code != 0
    assert status.fault_level == 3


async def test_hold_and_resume(rig: Rig) -> None:
    await rig.robot.hold("test")
    await rig.robot.send(PICK)
    assert (await rig.robot.status()).ack_code is AckCode.REFUSED_MODE
    await rig.robot.resume()
    await rig.robot.send(RobotCommand(42, CommandCode.PICK, source=BAY_3))
    assert (await rig.robot.status()).ack_code is AckCode.ACCEPTED


async def test_nothing_is_sent_to_a_cell_of_another_controller(rig: Rig) -> None:
    rig.cell.owner = 99
    await rig.robot.status()
    for attempt in (rig.robot.send(PICK), rig.robot.acknowledge(1), rig.robot.resume()):
        with pytest.raises(Refused, match="owned by controller 99"):
            await attempt
    await rig.robot.hold("not ours")
    assert (rig.cell.owner, rig.cell.moves, rig.cell.hold, rig.cell.ack_seq) == (99, [], False, 0)
    rig.cell.owner_silent()
    await rig.robot.status()
    await rig.robot.send(PICK)
    assert rig.cell.owner == TOKEN


async def test_a_dead_link(rig: Rig) -> None:
    before = await rig.robot.status()
    await rig.cut()
    with pytest.raises(LinkLost):
        await rig.robot.send(PICK)
    with pytest.raises(LinkLost):
        await rig.robot.resume()
    await rig.robot.hold("link")
    rig.times.advance(4)
    after = await rig.robot.status()
    assert after.fast_at == before.fast_at
    assert after.heartbeat_ok is False
    assert set(after.signals.values()) == {None}
    assert rig.cell.moves == []


async def test_the_heartbeat_of_the_cell_is_watched(rig: Rig) -> None:
    await rig.robot.status()
    rig.cell.tick()
    rig.times.advance(0.1)
    assert (await rig.robot.status()).heartbeat_ok is True
    rig.cell.frozen = True
    rig.times.advance(3.1)
    status = await rig.robot.status()
    assert status.heartbeat_ok is False
    assert status.fast_at == rig.times.at, "the registers still answer"
    rig.cell.frozen = False
    rig.cell.tick()
    assert (await rig.robot.status()).heartbeat_ok is True


async def test_facts_of_the_vehicle_are_unknown_without_its_link(rig: Rig) -> None:
    vehicle = (Signal.HANDBRAKE_ON, Signal.GEAR_NEUTRAL, Signal.KEY_OFF, Signal.HV_OFF)
    rig.cell.signals.update(dict.fromkeys((*vehicle, Signal.VEHICLE_LINK), True))
    status = await rig.robot.status()
    assert [status.signals[s] for s in vehicle] == [True] * 4
    rig.cell.signals[Signal.VEHICLE_LINK] = False
    status = await rig.robot.status()
    assert [status.signals[s] for s in vehicle] == [None] * 4


async def test_closing_gives_the_cell_up(rig: Rig) -> None:
    await rig.robot.status()
    await rig.robot.close()
    assert rig.cell.owner == 0


async def test_numbers_outside_the_range_are_refused(rig: Rig) -> None:
    for seq in (0, 65536, -1):
        with pytest.raises(ValueError, match="allowed 1…65535"):
            await rig.robot.send(RobotCommand(seq, CommandCode.HOME))
