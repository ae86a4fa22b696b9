"""The Modbus link: errors as ours, reconnect, silence, read-only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException

from robotics.modbus_link.link import LinkLost, ModbusLink, ModbusRefused, Refused
from robotics.modbus_link.quality import LinkMeter
from robotics.modbus_link.registers import load_map
from tests.support.robotics.plc import MiniPlc

pytestmark = pytest.mark.system
QUICK = (0.02, 0.1)


@pytest.fixture
async def plc() -> AsyncIterator[MiniPlc]:
    plc = MiniPlc(load_map("swap_cell_v1"), base=500)
    await plc.start()
    yield plc
    plc.silent.set()
    await plc.stop()


@pytest.fixture
async def link(plc: MiniPlc) -> AsyncIterator[ModbusLink]:
    link = ModbusLink(plc.address, name="cell", backoff_s=QUICK)
    await link.connect()
    yield link
    await link.close()


async def until(true: Callable[[], Awaitable[bool]], limit_s: float = 5.0) -> None:
    """Wait for a condition, without a fixed sleep."""
    async with asyncio.timeout(limit_s):
        while not await true():  # noqa: ASYNC110 - the other side is a socket, it sets no event
            await asyncio.sleep(0.01)


async def answers(link: ModbusLink) -> bool:
    try:
        await link.read(0, 1)
    except LinkLost:
        return False
    return True


async def test_addresses_are_relative_to_the_base(plc: MiniPlc, link: ModbusLink) -> None:
    plc.cell.heartbeat = 17
    assert await link.read(0, 1) == [17]
    await link.write(200, [5, 6])
    assert plc.writes == [(200, [5, 6])]


async def test_an_exception_of_the_device_is_a_refusal(plc: MiniPlc, link: ModbusLink) -> None:
    with pytest.raises(ModbusRefused, match=r"exception 2 \(illegal address\)") as caught:
        await link.read(300, 1)
    assert caught.value.exception_code == 2
    plc.exception = ExcCodes.DEVICE_BUSY
    with pytest.raises(ModbusRefused, match=r"writing 1 register\(s\) from 710: Modbus exception 6"):
        await link.write(210, [1])
    plc.exception = None
    assert link.connected, "a busy device is not a lost link"
    assert len(await link.read(0, 30)) == 30


async def test_a_read_only_link_refuses_every_write(plc: MiniPlc) -> None:
    link = ModbusLink(plc.address, read_only=True)
    await link.connect()
    with pytest.raises(Refused, match="this link is read-only"):
        await link.write(210, [1])
    assert await link.read(1, 1)
    await link.close()
    assert plc.writes == []


async def test_first_connect_refused_then_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "robotics.modbus_link.link")
    plc = MiniPlc(load_map("swap_cell_v1"))
    link = ModbusLink(plc.address, name="cell", backoff_s=QUICK)
    await link.connect()
    assert not link.connected
    with pytest.raises(LinkLost, match="not connected"):
        await link.read(0, 1)
    await until(lambda: _seen(caplog, 3))
    await plc.start()
    assert await link.wait_connected(5)
    assert await link.read(1, 1)
    levels = [r.levelno for r in caplog.records]
    assert levels[0] == logging.ERROR, "the first failure"
    assert levels[-1] == logging.INFO, "the recovery"
    assert set(levels[1:-1]) == {logging.DEBUG}, "the repeats"
    await link.close()
    await plc.stop()


async def _seen(caplog: pytest.LogCaptureFixture, count: int) -> bool:
    return len(caplog.records) >= count


async def test_a_restarted_device_is_found_again(plc: MiniPlc, link: ModbusLink) -> None:
    for _ in range(3):
        await plc.stop()
        with pytest.raises(LinkLost):
            await link.read(0, 1)
        await plc.start()
        await until(lambda: answers(link))


async def test_a_silent_device_costs_one_timeout_and_is_connected_anew(plc: MiniPlc, link: ModbusLink) -> None:
    plc.silent.clear()
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(3):
        with pytest.raises(LinkLost):
            await link.write(210, [1])
    assert loop.time() - started < 3 * 0.3 + 1.0
    assert not link.connected
    plc.silent.set()
    await until(lambda: answers(link))


async def test_a_write_is_never_repeated(plc: MiniPlc, link: ModbusLink) -> None:
    plc.silent.clear()
    with pytest.raises(LinkLost):
        await link.write(200, [1, 77])
    plc.silent.set()
    await until(lambda: answers(link))
    assert plc.writes == [(200, [1, 77])]


async def test_a_late_answer_is_not_taken_for_another(plc: MiniPlc, link: ModbusLink) -> None:
    plc.silent.clear()
    request = asyncio.create_task(link.read(100, 2))
    await asyncio.sleep(0)
    with pytest.raises(LinkLost):
        await request
    plc.silent.set()
    plc.cell.heartbeat = 9
    assert await link.read(0, 1) == [9]


async def test_a_cancelled_request_leaves_the_link_usable(plc: MiniPlc, link: ModbusLink) -> None:
    plc.silent.clear()
    request = asyncio.create_task(link.read(100, 2))
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    plc.silent.set()
    plc.cell.heartbeat = 11
    assert await link.read(0, 1) == [11]
    await link.write(210, [1])
    assert plc.cell.hold


async def test_a_cancellation_in_the_instant_of_an_error_is_not_lost(
    link: ModbusLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for` has it: cancelled while its future is done with an error, it raises the error."""

    async def fails(*_: object, **__: object) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ModbusException("the connection was lost") from None

    monkeypatch.setattr(link._client, "read_holding_registers", fails)
    request = asyncio.create_task(link.read(100, 2))
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_many_requests_at_once_are_answered_in_turn(link: ModbusLink) -> None:
    answered = await asyncio.gather(*(link.read(28, 2) for _ in range(50)))
    assert answered == [[0x1234, 0x5678]] * 50


async def test_sizes_are_checked_before_the_wire(link: ModbusLink) -> None:
    with pytest.raises(ValueError, match="allowed 1…125"):
        await link.read(0, 126)
    with pytest.raises(ValueError, match="allowed 1…123"):
        await link.write(0, [0] * 124)


async def test_the_quality_of_a_link_is_counted(plc: MiniPlc, link: ModbusLink) -> None:
    """S18: connections, share of failed requests, time to the answer."""
    for _ in range(8):
        await link.read(0, 1)
    plc.exception = ExcCodes.DEVICE_BUSY
    for _ in range(2):
        with pytest.raises(ModbusRefused):
            await link.read(0, 1)
    now = link.quality()
    assert (now.connected, now.connections, now.requests, now.failed) == (True, 1, 10, 2)
    assert now.error_share == pytest.approx(0.2)
    assert now.answer_p95_s is not None
    assert 0 < now.answer_p95_s < 0.3
    link.abort()
    assert not link.quality().connected
    plc.exception = None
    await until(lambda: answers(link))
    assert link.quality().connections == 2
    assert link.quality().failed > 2, "a request without a connection has failed"


def test_a_flapping_link_is_told_once_a_minute_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    """S18: 97 connections in 14 s were never told."""
    seconds = [0.0]
    meter = LinkMeter("cell L1", lambda: seconds[0])
    for _ in range(97):
        seconds[0] += 14 / 97
        meter.connection()
    assert meter.quality(connected=True).connections_last_minute == 97
    assert [record.getMessage() for record in caplog.records] == [
        "cell L1: the link flaps: 5 connections in 60 s, 5 since the start"
    ]
    seconds[0] += 61
    assert meter.quality(connected=True).connections_last_minute == 0
    for _ in range(5):
        meter.connection()
    assert [record.getMessage() for record in caplog.records][1:] == [
        "cell L1: the link flaps: 5 connections in 60 s, 102 since the start"
    ]
