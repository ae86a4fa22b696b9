"""The driver beyond the port: heartbeat, ownership on the wire, bad words, staleness by block, read-only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymodbus.constants import ExcCodes

from robotics.config import CellSection
from robotics.handshake import BadWord, FlagHandshake, decode_location, encode_location
from robotics.modbus_link.link import LinkLost, ModbusLink, Refused
from robotics.modbus_link.registers import MapError, load_map, parse_map
from robotics.modbus_link.schema import LocationsSection
from robotics.plc_robot import PlcRobot
from robotics.port import (
    AckCode,
    CommandCode,
    LinkFault,
    LinkTrouble,
    Location,
    LocationKind,
    ResultCode,
    RobotCommand,
    Signal,
)
from tests.robotics.test_registers import cell_data, change
from tests.support.robotics.plc import MiniPlc

pytestmark = pytest.mark.system
OURS, OTHER = 77, 99
PICK = RobotCommand(5, CommandCode.PICK, source=Location(LocationKind.BAY, 3))


class Seconds:
    """Real seconds moved by hand."""

    def __init__(self) -> None:
        self.value = 50.0

    def __call__(self) -> float:
        return self.value


@pytest.fixture(autouse=True)
def beat_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat task never wakes: these tests call `beat` themselves."""
    monkeypatch.setattr(PlcRobot, "_beat_period_s", 600.0)


def now() -> datetime:
    return datetime(2026, 7, 1, 8, tzinfo=UTC)


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
async def plc() -> AsyncIterator[MiniPlc]:
    plc = MiniPlc(load_map("swap_cell_v1"))
    await plc.start()
    yield plc
    await plc.stop()


def driver(plc: MiniPlc, seconds: Seconds, token: int = OURS, **more: Any) -> PlcRobot:
    cell = CellSection(address=plc.address, heartbeat_warn_s=1.0, heartbeat_lost_s=3.0)
    return PlcRobot("L1", cell, plc.map, token, now, monotonic=seconds, **more)


@pytest.fixture
async def robot(plc: MiniPlc, seconds: Seconds) -> AsyncIterator[PlcRobot]:
    robot = driver(plc, seconds)
    await robot.connect()
    yield robot
    await robot.close()


async def test_a_command_is_one_write_with_the_number_last(plc: MiniPlc, robot: PlcRobot) -> None:
    plc.writes.clear()
    await robot.send(RobotCommand(5, CommandCode.PICK, Location(LocationKind.BAY, 3), None, 0x0002_0001))
    assert plc.writes == [(202, [OURS, 5, 3, 0, 2, 1, 5])]


async def test_heartbeat_and_claim_are_written_together(plc: MiniPlc, robot: PlcRobot) -> None:
    plc.writes.clear()
    await robot.beat()
    await robot.beat()
    ((at, first), (_, second)) = plc.writes
    assert at == 200
    assert first[1] == second[1] == OURS
    assert (second[0] - first[0]) & 0xFFFF == 1


async def test_two_controllers_the_second_writes_nothing(plc: MiniPlc, robot: PlcRobot, seconds: Seconds) -> None:
    second = driver(plc, seconds, OTHER)
    await second.connect()
    plc.writes.clear()
    await second.beat()
    await second.hold("mine?")
    with pytest.raises(Refused, match="owned by controller 77, this one is 99"):
        await second.send(PICK)
    assert plc.writes == []
    await robot.send(PICK)
    assert plc.cell.active == PICK
    plc.cell.owner_silent()
    await robot.close()
    await second.status()
    await second.beat()
    assert plc.cell.owner == OTHER
    await second.close()


async def test_the_loser_of_a_race_does_not_move(plc: MiniPlc, robot: PlcRobot, seconds: Seconds) -> None:
    second = driver(plc, seconds, OTHER)
    plc.cell.owner_silent()
    await second.link.connect()
    await second.status()
    await robot.status()
    await robot.send(PICK)
    # The other still believes that the cell has no owner.
    await second.send(RobotCommand(6, CommandCode.HOME))
    assert (await second.status()).ack_code is AckCode.REFUSED_OWNER
    assert plc.cell.active == PICK
    await second.close()


async def test_hold_is_repeated_until_a_person_resumes(plc: MiniPlc, robot: PlcRobot) -> None:
    await robot.hold("e-stop")
    assert plc.cell.hold
    plc.image[210] = 0  # the PLC has restarted and forgotten
    plc.cell.hold = False
    await robot.beat()
    assert plc.cell.hold
    await robot.resume()
    await robot.beat()
    assert not plc.cell.hold


async def test_hold_asked_without_a_link_is_delivered_later(plc: MiniPlc, robot: PlcRobot) -> None:
    await plc.stop()
    await robot.hold("link")
    await plc.start()
    assert await robot.link.wait_connected(5)
    await robot.status()
    await robot.beat()
    assert plc.cell.hold


async def test_read_only_watches_and_writes_nothing(plc: MiniPlc, seconds: Seconds) -> None:
    watcher = driver(plc, seconds, read_only=True)
    await watcher.connect()
    await watcher.beat()
    await watcher.hold("no")
    assert (await watcher.status()).owner == 0
    for attempt in (watcher.send(PICK), watcher.acknowledge(1), watcher.resume()):
        with pytest.raises(Refused, match="read-only"):
            await attempt
    await watcher.close()
    assert plc.writes == []


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        ({"word_check": 0x56781234}, "word_check reads 1450709556"),
        ({"layout_version": 2}, "layout_version reads 2"),
        ({"state": 9}, "state = 9 has no meaning"),
        ({"ack_code": 77}, "ack_code = 77 has no meaning"),
    ],
)
async def test_a_block_that_makes_no_sense_is_not_taken(
    plc: MiniPlc,
    robot: PlcRobot,
    seconds: Seconds,
    caplog: pytest.LogCaptureFixture,
    corrupt: dict[str, Any],
    message: str,
) -> None:
    caplog.set_level(logging.DEBUG, "robotics")
    before = await robot.status()
    plc.corrupt, plc.cell.vehicle_tag = corrupt, 4711
    seconds.value += 2.1
    for _ in range(3):
        after = await robot.status()
    assert after.vehicle_tag == before.vehicle_tag
    assert set(after.signals.values()) == {None}
    with pytest.raises(LinkLost, match="owner unknown"):
        await robot.send(PICK)
    bad = [r.levelno for r in caplog.records if message in r.getMessage()]
    assert bad[0] == logging.ERROR
    assert set(bad[1:]) == {logging.DEBUG}
    plc.corrupt = {}
    assert (await robot.status()).vehicle_tag == 4711


async def test_an_exception_reply_ages_the_block(plc: MiniPlc, robot: PlcRobot, seconds: Seconds) -> None:
    assert (await robot.status()).signals[Signal.ESTOP_OK] is True
    plc.exception = ExcCodes.DEVICE_BUSY
    seconds.value += 1.0
    assert (await robot.status()).signals[Signal.ESTOP_OK] is True, "young enough still"
    seconds.value += 1.1
    status = await robot.status()
    assert status.signals[Signal.ESTOP_OK] is None
    assert set(status.bays_occupied) == {None}


async def test_the_slow_block_is_read_once_a_second(plc: MiniPlc, robot: PlcRobot, seconds: Seconds) -> None:
    plc.cell.bays[0] = True
    assert (await robot.status()).bays_occupied[0] is None
    seconds.value += 0.5
    assert (await robot.status()).bays_occupied[0] is None
    seconds.value += 0.5
    assert (await robot.status()).bays_occupied[0] is True


async def test_heads_and_bays_without_sensor_are_unknown(plc: MiniPlc, robot: PlcRobot, seconds: Seconds) -> None:
    plc.cell.bays[:3] = [True, None, False]
    plc.cell.heads_closed = [True, False, *[None] * 14]
    seconds.value += 1
    status = await robot.status()
    assert status.bays_occupied == (True, None, False, *[None] * 96)
    assert status.heads_closed == (True, False, *[None] * 14)
    assert status.heads_open == (False, True, *[None] * 14)


async def test_fault_bits_become_codes(plc: MiniPlc, robot: PlcRobot) -> None:
    plc.corrupt = {"fault_word_1": 1, "fault_word_5": 0b10, "fault_code": 1001, "fault_level": 3}
    status = await robot.status()
    assert status.fault_codes == (1001, 2002)
    assert status.fault_words[0] == 1
    assert status.fault_code == 1001


async def test_heartbeat_warns_once_then_is_lost(
    plc: MiniPlc, robot: PlcRobot, seconds: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    plc.cell.tick()
    first = await robot.status()
    assert first.heartbeat_ok
    assert first.beat_at is not None
    seconds.value += 1.5
    later = await robot.status()
    assert later.heartbeat_ok
    assert later.beat_at == first.beat_at  # S21: how long it has stood still is told before it is lost
    seconds.value += 1.6
    assert not (await robot.status()).heartbeat_ok
    warnings = [r for r in caplog.records if "heartbeat has not moved" in r.getMessage()]
    assert [r.levelno for r in warnings] == [logging.WARNING]


async def test_a_heartbeat_never_seen_to_move_is_not_ok(robot: PlcRobot) -> None:
    assert not (await robot.status()).heartbeat_ok


async def test_a_broken_heartbeat_task_stops_the_station(
    plc: MiniPlc, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlcRobot, "_beat_period_s", 0.001)
    robot = driver(plc, seconds)

    async def broken() -> None:
        raise RuntimeError("bug")

    await robot.connect()
    monkeypatch.setattr(robot, "beat", broken)
    await asyncio.wait_for(_ended(robot), 5)
    with pytest.raises(RuntimeError, match="bug"):
        await robot.status()
    await robot.close()


async def _ended(robot: PlcRobot) -> None:
    assert robot._beating is not None
    await asyncio.wait([robot._beating])


async def test_a_gantry_s_own_fault_numbers_are_translated(seconds: Seconds) -> None:
    plc = MiniPlc(load_map("gantry_flags_v1"))
    await plc.start()
    robot = driver(plc, seconds)
    await robot.connect()
    plc.corrupt = {"fault_code": 15, "fault_word_10": 1}
    status = await robot.status()
    assert (status.fault_code, status.fault_codes) == (1103, (1201,))
    plc.corrupt = {"fault_code": 500}
    assert (await robot.status()).fault_code == 1901
    assert Signal.TANK_READY not in status.signals
    assert status.heads_open == ()
    await robot.close()
    await plc.stop()


async def test_a_flag_left_up_by_another_process_is_lowered_first(seconds: Seconds) -> None:
    plc = MiniPlc(load_map("gantry_flags_v1"))
    plc.image[1210] = 1
    await plc.start()
    robot = driver(plc, seconds)
    await robot.connect()
    await robot.send(PICK)
    plc.cell.tick()
    status = await robot.status()
    assert status.result is ResultCode.DONE, "an old flag must not swallow the new result"
    await robot.acknowledge(PICK.seq + 1)
    assert (await robot.status()).result is ResultCode.DONE
    await robot.acknowledge(PICK.seq)
    assert (await robot.status()).result is ResultCode.NONE
    assert plc.image[1210] == 0
    await robot.close()
    await plc.stop()


def test_flags_that_contradict_each_other_are_not_believed() -> None:
    register_map = load_map("gantry_flags_v1")
    handshake = FlagHandshake(register_map)
    base: dict[str, Any] = {"task_echo": 4, "refusal": 9999}
    assert handshake.echo(base | {"flag_done": True}).done_seq == 4
    for up in (("done", "failed"), ("done", "running"), ("accepted", "refused")):
        with pytest.raises(BadWord, match="contradict"):
            handshake.echo(base | {f"flag_{name}": True for name in up})


def test_places_in_a_cell_s_own_numbers() -> None:
    ours = LocationsSection()
    for kind in LocationKind:
        place = Location(kind, 1)
        assert encode_location(ours, place) == place.code
        assert decode_location(ours, place.code) == place
    gantry = load_map("gantry_flags_v1").handshake.locations
    assert encode_location(gantry, Location(LocationKind.SEAT, 1)) == 41
    assert decode_location(gantry, 21) == Location(LocationKind.TRANSFER, 1)
    assert encode_location(gantry, None) == 0
    assert decode_location(gantry, 0) is None
    with pytest.raises(ValueError, match="bay 25 has no number"):
        encode_location(gantry, Location(LocationKind.BAY, 25))


def test_only_a_cell_s_map_and_a_real_token_are_taken(seconds: Seconds) -> None:
    cell = CellSection.model_validate({"address": {"port": 502}})
    meter = parse_map(
        {
            "name": "m",
            "kind": "site_meter",
            "version": 1,
            "zh": "x",
            "en": "x",
            "blocks": [{"name": "all", "access": "read", "zh": "x", "en": "x"}],
            "entries": [{"name": "p", "block": "all", "address": 0, "type": "u16", "zh": "x", "en": "x"}],
        }
    )
    with pytest.raises(MapError, match="a cell needs kind swap_cell"):
        PlcRobot("L1", cell, meter, 1, now, link=ModbusLink(cell.address))
    with pytest.raises(ValueError, match="allowed 1…65535"):
        PlcRobot("L1", cell, load_map("swap_cell_v1"), 0, now, link=ModbusLink(cell.address))


async def test_a_map_without_ownership_words_works(seconds: Seconds) -> None:
    data = cell_data()
    data["entries"] = [e for e in data["entries"] if e["name"] not in ("owner", "owner_claim", "cmd_owner")]
    plc = MiniPlc(parse_map(change(data, "cmd_heartbeat", address=200)))
    # The cell in memory takes the token of the claim, here always 0: nobody owns it.
    await plc.start()
    robot = driver(plc, seconds)
    await robot.connect()
    assert plc.writes == [(200, [1])]
    assert (await robot.status()).owner == 0
    await robot.send(PICK)
    assert plc.writes[-1] == (203, [5, 3, 0, 0, 0, 5])
    await robot.close()
    await plc.stop()


@pytest.mark.parametrize(
    ("shown", "trouble"),
    [
        ({"ack_code": 9}, LinkTrouble(LinkFault.NO_MEANING, "ack_code", "9")),
        ({"result": 9}, LinkTrouble(LinkFault.NO_MEANING, "result", "9")),
        ({"layout_version": 4711}, LinkTrouble(LinkFault.WRONG_CONSTANT, "layout_version", "4711", "1")),
    ],
    ids=["ack_code", "result", "constant"],
)
async def test_the_status_says_why_a_block_is_not_taken(
    plc: MiniPlc, robot: PlcRobot, shown: dict[str, int], trouble: LinkTrouble
) -> None:
    """S14: the reason was in the log only."""
    assert (await robot.status()).trouble is None
    plc.corrupt.update(shown)
    assert (await robot.status()).trouble == trouble
    plc.corrupt.clear()
    assert (await robot.status()).trouble is None


async def test_the_status_tells_exceptions_silence_and_a_lost_connection_apart(
    plc: MiniPlc, robot: PlcRobot, seconds: Seconds
) -> None:
    """S14."""
    plc.exception = ExcCodes.ILLEGAL_ADDRESS
    assert (await robot.status()).trouble == LinkTrouble(LinkFault.EXCEPTION, value="2")
    with pytest.raises(Refused):
        await robot.send(PICK)
    assert (await robot.status()).refusal == LinkTrouble(LinkFault.EXCEPTION, value="2")
    plc.exception = None
    await robot.beat()
    assert (await robot.status()).refusal is None
    plc.silent.clear()
    assert (await robot.status()).trouble == LinkTrouble(LinkFault.NO_ANSWER)
    plc.silent.set()
    await robot.link.close()
    assert (await robot.status()).trouble == LinkTrouble(LinkFault.NOT_CONNECTED)


async def test_a_plc_that_refuses_heartbeats_is_told_once_with_a_count(
    plc: MiniPlc, robot: PlcRobot, caplog: pytest.LogCaptureFixture
) -> None:
    """S18: it was a line twice a second."""
    caplog.set_level(logging.INFO, "robotics.plc_robot")
    plc.exception = ExcCodes.ILLEGAL_ADDRESS
    for _ in range(20):
        await robot.beat()
    plc.exception = None
    await robot.beat()
    told = [record.getMessage() for record in caplog.records if "heartbeat" in record.getMessage()]
    assert len(told) == 2
    assert told[0].startswith("cell L1: heartbeat refused: cell L1: writing")
    assert told[1] == "cell L1: heartbeat refused: over after 20 times"
