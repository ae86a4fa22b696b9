"""The rack driver over real Modbus TCP on loopback, and the published addresses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from battery_bms.config import BayPointSection, BaySection, RackDeviceSection
from battery_bms.modbus_rack import ModbusRack
from robotics.modbus_link.registers import load_map
from tests.support.battery_bms.charger import PACK, ChargeController, modbus_server
from tests.support.battery_bms.rack import START_AT

FAR = (100, 200)


def bay_section(bay_id: str, device: str, base: int, position: int) -> BaySection:
    return BaySection(
        id=bay_id,
        position=position,
        charger_kw=240.0,
        point=BayPointSection(device=device, base_address=base),
    )


@asynccontextmanager
async def dumb_server() -> AsyncIterator[int]:
    """Accepts connections and never answers."""
    writers: list[asyncio.StreamWriter] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionResetError):  # the link ends a silent connection hard
            while await reader.read(1024):
                pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


def two_racks(good_port: int, other_port: int) -> ModbusRack:
    devices = [
        RackDeviceSection(id="good", port=good_port, timeout_s=0.5),
        RackDeviceSection(id="other", port=other_port, timeout_s=0.1, poll_s=0.1),
    ]
    bays = [bay_section("A1", "good", 100, 1), bay_section("A2", "good", 200, 2)]
    bays += [bay_section(f"B{n}", "other", 100 * n, 10 + n) for n in range(1, 9)]
    return ModbusRack(devices, bays, lambda: START_AT)


@pytest.mark.system
async def test_over_real_modbus() -> None:
    controller = ChargeController(FAR)
    async with modbus_server(controller) as port, modbus_server(ChargeController(tuple(range(100, 900, 100)))) as other:
        rack = two_racks(port, other)
        await rack.connect()
        try:
            await rack.read_bays()
            controller.beat()
            readings = await rack.read_bays()
            assert len(readings) == 10
            assert readings["A1"].pack_id == PACK["pack_code"]
            assert readings["A2"].temp_min_c == -3.5
            assert await rack.set_charge_kw({"A1": 100.0, "A2": -5.0, "B8": 33.3}) == {}
            assert (await rack.read_bays())["A1"].setpoint_kw == 100.0
            assert await rack.stop_all() == {}
            assert (await rack.read_bays())["B8"].setpoint_kw == 0.0
        finally:
            await rack.close()


@pytest.mark.system
async def test_a_device_that_accepts_and_never_answers_costs_only_its_budget() -> None:
    controller = ChargeController(FAR)
    async with modbus_server(controller) as port, dumb_server() as dumb:
        rack = two_racks(port, dumb)
        await rack.connect()
        try:
            start_s = time.monotonic()
            readings = await rack.read_bays()
            # One unanswered request of 0.1 s, not one for each of the eight bays.
            assert time.monotonic() - start_s < 0.1 * 4
            assert set(readings) == {"A1", "A2"}
            start_s = time.monotonic()
            reasons = await rack.set_charge_kw(dict.fromkeys(["A1", *(f"B{n}" for n in range(1, 9))], 50.0))
            assert time.monotonic() - start_s < 0.1 * 6
            assert set(reasons) == {f"B{n}" for n in range(1, 9)}
            assert controller.taken[-1] == (100, 50.0, 30)
        finally:
            await rack.close()


@pytest.mark.system
async def test_connect_returns_when_nothing_answers() -> None:
    async with dumb_server() as port:
        pass
    rack = two_racks(port, port)
    await rack.connect()
    assert await rack.read_bays() == {}
    assert len(await rack.stop_all()) == 10
    await rack.close()


def test_addresses_of_the_maps_stay_where_they_are_published() -> None:
    bay, meter = load_map("bay_charger_v1"), load_map("site_meter_v1")
    assert {name: entry.address for name, entry in bay.entries.items()} == {
        **{"bms_counter": 0, "pack_present": 1, "pack_code": 2, "soc_pct": 14, "energy_kwh": 15, "soh_pct": 17},
        **{"voltage_v": 18, "current_a": 19, "temp_max_c": 20, "temp_min_c": 21, "cell_max_v": 22},
        **{"cell_min_v": 23, "insulation_ohm_per_v": 24, "max_charge_kw": 25, "alarm_level": 26, "alarm_bits": 27},
        **{"charger_state": 29, "charger_fault": 30, "charge_kw": 31, "setpoint_kw": 32, "setpoint_counter": 33},
        **{"setpoint_left_s": 34, "meter_kwh": 35, "cmd_setpoint_kw": 40, "cmd_expires_s": 41, "cmd_counter": 42},
    }
    assert bay.span[1] < 50
    assert {name: entry.address for name, entry in meter.entries.items()} == {
        **{"sample_counter": 0, "import_kw": 1, "import_kwh": 3, "export_kwh": 5}
    }
