"""Signals and outputs that not every cell has: added to a map, they are read and written by the driver as it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from robotics.config import CellSection
from robotics.modbus_link.registers import MapError, parse_map
from robotics.plc_robot import SHOW_AGAIN_S, PlcRobot
from robotics.port import DriverSign, Signal
from tests.robotics.test_registers import cell_data, change
from tests.support.robotics.plc import MiniPlc

pytestmark = pytest.mark.system

SIGNS = [{"raw": sign.value, "means": sign.name.lower(), "zh": "标识", "en": "sign"} for sign in DriverSign]


def fitted() -> dict[str, Any]:
    """The project's own layout with one more signal and the two outputs."""
    data = cell_data("swap_cell_v1")
    words = {"zh": "附加", "en": "added"}
    data["entries"] += [
        {"name": "drive_inhibited", "block": "fast", "address": 15, "type": "bool", "bit": 12} | words,
        {"name": "odometer_km", "block": "slow", "address": 90, "type": "u32", "scale": 0.1} | words,
        {"name": "driver_sign", "block": "command", "address": 212, "type": "u16", "values": SIGNS} | words,
        {"name": "swap_request", "block": "command", "address": 213, "type": "u16"} | words,
    ]
    return change(data, "drive_inhibited", valid_when="vehicle_link")


class Seconds:
    """Real seconds moved by hand."""

    def __init__(self) -> None:
        self.value = 50.0

    def __call__(self) -> float:
        return self.value


async def test_outputs_are_written_when_they_change_and_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """S9: what the driver is shown, and the request for swap mode, in one write."""
    monkeypatch.setattr(PlcRobot, "_beat_period_s", 600.0)
    plc, seconds = MiniPlc(parse_map(fitted())), Seconds()
    await plc.start()
    robot = PlcRobot(
        "L1", CellSection(address=plc.address), plc.map, 77, lambda: datetime(2026, 7, 1, tzinfo=UTC), monotonic=seconds
    )
    try:
        await robot.connect()
        status = await robot.status()
        assert Signal.DRIVE_INHIBITED in status.signals
        assert Signal.HV_DISCHARGED not in status.signals
        assert status.odometer_km is None  # its vehicle does not answer
        plc.writes.clear()
        await robot.show(DriverSign.CALL, swap_mode=False)
        await robot.show(DriverSign.CALL, swap_mode=False)
        await robot.show(DriverSign.ALARM, swap_mode=True)
        assert plc.writes == [(212, [1, 0]), (212, [4, 1])]
        seconds.value += SHOW_AGAIN_S
        await robot.status()
        await robot.show(DriverSign.ALARM, swap_mode=True)
        assert plc.writes[2:] == [(212, [4, 1])]
        plc.cell.owner = 99
        await robot.status()
        await robot.show(DriverSign.NONE, swap_mode=False)
        assert len(plc.writes) == 3  # another controller's cell
    finally:
        await robot.close()
        await plc.stop()


def test_a_sign_without_a_number_is_refused_with_the_map() -> None:
    with pytest.raises(MapError, match="'driver_sign' values: no raw value for drive_off"):
        parse_map(change(fitted(), "driver_sign", values=SIGNS[:-1]))


@pytest.mark.parametrize(("told_km", "believed_km"), [(50_123.4, 50_123.4), (0.1 * 0xFFFF_FFFF, None)])
async def test_the_odometer_is_that_of_a_vehicle_that_answers(told_km: float, believed_km: float | None) -> None:
    """All ones are a register that nobody serves."""
    plc = MiniPlc(parse_map(fitted()))
    plc.corrupt["odometer_km"] = told_km
    plc.cell.signals[Signal.VEHICLE_LINK] = True
    await plc.start()
    robot = PlcRobot("L1", CellSection(address=plc.address), plc.map, 77, lambda: datetime(2026, 7, 1, tzinfo=UTC))
    try:
        await robot.connect()
        assert (await robot.status()).odometer_km == believed_km
    finally:
        await robot.close()
        await plc.stop()
