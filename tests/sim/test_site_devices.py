"""Photovoltaics and storage as Modbus devices: the real drivers over real Modbus TCP, and each fault of the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.device_check import ask_devices
from battery_bms.modbus_meter import ModbusMeter
from battery_bms.modbus_pv import ModbusPv
from battery_bms.modbus_storage import ModbusStorage
from battery_bms.port import StorageOrder
from sim.plant.plant import Plant, PlantError
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig
from swap.station.power.modbus_site import modbus_site
from tests.support.ports import own_ports
from tests.support.sim.devices import Bench, running
from tests.support.sim.plant import START_AT, station_data

pytestmark = pytest.mark.system

MAPS = {"ours": ("pv_meter_v1", "storage_v1", 0), "sunspec": ("sunspec_pv_v1", "sunspec_storage_v1", 40000)}
MAX_AGE_S, EXPIRES_S = 10.0, 30


def site_config(maps: str, timeout_s: float = 0.8) -> StationConfig:
    pv_map, storage_map, base = MAPS[maps]
    ports = own_ports(5)
    data = station_data(ports=ports[:3])

    def address(port: int) -> dict[str, object]:
        return {"port": port, "base_address": base, "timeout_s": timeout_s}

    data["site"]["pv"] = {
        **{"address": address(ports[3]), "register_map": pv_map, "peak_kw": 400, "max_age_s": MAX_AGE_S},
    }
    data["site"]["storage"] = {
        **{"address": address(ports[4]), "register_map": storage_map, "max_age_s": MAX_AGE_S},
        **{"order_expires_s": EXPIRES_S, "energy_kwh": 430, "power_kw": 200, "efficiency": 1.0},
    }
    return parse_station(data)


@dataclass
class Site:
    """The drivers beside the devices."""

    bench: Bench
    meter: ModbusMeter
    pv: ModbusPv
    storage: ModbusStorage

    @property
    def truth(self) -> Plant:
        return self.bench.plant

    def storage_kw(self) -> float:
        return self.truth.site.storage_kw(self.truth.now_us)


@asynccontextmanager
async def site(maps: str, **options: float) -> AsyncIterator[Site]:
    async with running(config=site_config(maps, **options)) as bench:
        devices = modbus_site(bench.config, bench.now, monotonic=bench.hands)
        assert isinstance(devices.meter, ModbusMeter)
        assert isinstance(devices.pv, ModbusPv)
        assert isinstance(devices.storage, ModbusStorage)
        found = Site(bench, devices.meter, devices.pv, devices.storage)
        for device in (found.meter, found.pv, found.storage):
            await device.connect()
        bench.plant.site.energy_kwh = 215.0
        try:
            yield found
        finally:
            for device in (found.meter, found.pv, found.storage):
                await device.close()


@pytest.mark.parametrize("maps", MAPS)
async def test_sun_and_storage_are_read_and_the_storage_does_what_it_is_told(maps: str) -> None:
    async with site(maps) as here:
        here.truth.site.set_pv_kw(123.4, here.truth.now_us)
        here.bench.later(1.0)
        sun, stored = await here.pv.read(), await here.storage.read()
        assert sun is not None
        assert stored is not None
        assert sun.power_kw == pytest.approx(123.4, abs=0.05)
        assert (stored.energy_kwh, stored.power_kw) == (215.0, 0.0)
        assert stored.at == here.bench.now()
        for power_kw in (-60.0, 150.0, 0.0):
            assert await here.storage.command(StorageOrder(power_kw)) is None
            assert here.storage_kw() == pytest.approx(power_kw)
            here.bench.later(1.0)
            stored = await here.storage.read()
            assert stored is not None
            assert stored.power_kw == pytest.approx(power_kw, abs=0.05)


async def test_a_storage_that_can_holds_the_import() -> None:
    async with site("ours") as here:
        assert here.storage.follows_load
        here.truth.site.set_pv_kw(5.0, here.truth.now_us)
        assert await here.storage.command(StorageOrder(-1.0, hold_import_kw=0.0)) is None
        here.bench.later(1.0)
        reading = await here.meter.read()
        assert reading is not None
        assert reading.import_kw == pytest.approx(0.0, abs=0.05)
        assert here.storage_kw() == pytest.approx(-15.0)


@pytest.mark.parametrize("maps", MAPS)
async def test_without_its_station_the_storage_rests(maps: str) -> None:
    async with site(maps) as here:
        for _ in range(3):  # given again in time it goes on
            assert await here.storage.command(StorageOrder(-60.0)) is None
            here.bench.later(EXPIRES_S - 1)
            assert here.storage_kw() == -60.0
        here.bench.later(2.0)
        assert here.storage_kw() == 0.0


@pytest.mark.parametrize("name", ["meter", "pv", "storage"])
async def test_frozen_values_age_and_go_on(name: str) -> None:
    async with site("ours") as here:
        devices: dict[str, ModbusMeter | ModbusPv | ModbusStorage]
        devices = {"meter": here.meter, "pv": here.pv, "storage": here.storage}
        device = devices[name]
        here.bench.later(1.0)
        first = await device.read()
        assert first is not None
        here.truth.inject("frozen_values", name)
        here.truth.site.set_pv_kw(300.0, here.truth.now_us)
        await here.storage.command(StorageOrder(100.0))
        for _ in range(12):
            here.bench.later(1.0)
            last = await device.read()
        assert last is not None
        # The last reading that is believed is of the time at which the counter stood for max_age_s.
        age_s = (here.bench.now() - last.at).total_seconds() / here.bench.servers.speed
        assert age_s >= 1.0
        values = [getattr(last, field) for field in last.__slots__ if field != "at"]
        assert values == [getattr(first, field) for field in first.__slots__ if field != "at"]
        here.truth.clear("frozen_values", name)
        here.bench.later(1.0)
        again = await device.read()
        assert again is not None
        assert again.at == here.bench.now()


@pytest.mark.parametrize("maps", MAPS)
async def test_refusals_give_no_reading_and_an_order_says_why(maps: str, caplog: pytest.LogCaptureFixture) -> None:
    async with site(maps) as here:
        here.bench.later(1.0)
        first = await here.storage.read()
        for name in ("pv", "storage"):
            here.truth.inject("exception_replies", name, code=4)
        caplog.clear()
        for _ in range(3):
            here.bench.later(1.0)
            assert await here.storage.read() is first
            assert await here.pv.read() is None
        told = await here.storage.command(StorageOrder(-10.0))
        assert told is not None
        assert told.startswith("refused: ")
        errors = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 2, "one line for each device, whatever is refused after it"
        assert here.storage_kw() == 0.0
        for name in ("pv", "storage"):
            here.truth.clear("exception_replies", name)
        here.bench.later(1.0)
        assert await here.storage.command(StorageOrder(-10.0)) is None
        assert await here.pv.read() is not None


async def test_a_dead_storage_gives_nothing_and_says_nothing() -> None:
    async with site("ours", timeout_s=0.05) as here:
        assert await here.storage.command(StorageOrder(-60.0)) is None
        first = await here.storage.read()
        here.truth.inject("storage_dead", "storage")
        assert here.storage_kw() == 0.0
        here.bench.later(1.0)
        assert await here.storage.read() is first
        told = await here.storage.command(StorageOrder(-60.0))
        assert told is not None
        assert told.startswith("no answer")
        assert here.storage_kw() == 0.0
        again = Plant.restore(here.truth.config, here.truth.snapshot())
        assert again.site.dead
        with pytest.raises(PlantError, match="no storage 'pv'"):
            here.truth.inject("storage_dead", "pv")


async def test_the_devices_tell_of_themselves_when_asked() -> None:
    async with site("sunspec") as here:
        here.truth.site.set_pv_kw(50.0, here.truth.now_us)
        here.bench.later(1.0)
        said = {answer.device: answer for answer in await ask_devices(here.bench.config, Path())}
        assert said["pv"].ok
        assert "power_kw 50.0" in said["pv"].detail
        assert "energy_kwh 215.0" in said["storage"].detail
        here.truth.inject("exception_replies", "pv", code=2)
        answer = {answer.device: answer for answer in await ask_devices(here.bench.config, Path())}["pv"]
        assert not answer.ok
        assert "illegal address" in answer.detail


async def test_an_order_in_force_outlives_a_restart_of_the_station_by_its_time() -> None:
    """A second driver goes on from the number that the storage took last: its first order is taken."""
    async with site("ours") as here:
        for _ in range(3):
            assert await here.storage.command(StorageOrder(-60.0)) is None
        other = modbus_site(here.bench.config, here.bench.now, monotonic=here.bench.hands).storage
        assert isinstance(other, ModbusStorage)
        await other.connect()
        assert await other.command(StorageOrder(40.0)) is None
        assert here.storage_kw() == 40.0
        await other.close()
        assert here.bench.now() == START_AT
