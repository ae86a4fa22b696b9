"""The meter driver: sign, counters, and a meter that is silent or frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from battery_bms.config import MeterSection
from battery_bms.modbus_meter import ModbusMeter
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.registers import MAPS, load_map
from robotics.port import LinkLost
from tests.support.battery_bms.charger import FakeClock
from tests.support.battery_bms.rack import START_AT


class MeterLink:
    """A meter in memory."""

    def __init__(self) -> None:
        self.map = load_map("site_meter_v1")
        self.words = self.map.image({"import_kw": 0.0, "import_kwh": 0.0, "export_kwh": 0.0})
        self.dead = False

    def set(self, values: Mapping[str, float | None]) -> None:
        for address, registers in self.map.encode(dict(values)):
            self.words.update(zip(range(address, address + len(registers)), registers, strict=True))

    async def connect(self) -> None:
        return

    async def close(self) -> None:
        return

    async def read(self, address: int, count: int) -> list[int]:
        if self.dead:
            raise LinkLost("no answer")
        return [self.words[a] for a in range(address, address + count)]

    async def write(self, address: int, values: list[int]) -> None:
        raise AssertionError("a meter is never written")


async def test_the_meter_reads_import_and_export() -> None:
    link, clock = MeterLink(), FakeClock()
    section = MeterSection(address=ModbusAddress(port=1))
    at = [START_AT]
    meter = ModbusMeter(section, lambda: at[0], monotonic=clock, link_factory=lambda address, name: link)
    await meter.connect()
    link.set({"sample_counter": 1, "import_kw": -123.4, "import_kwh": 42_000_000.01, "export_kwh": 5.5})
    first = await meter.read()
    assert first is not None
    assert (first.at, first.import_kw, first.import_kwh, first.export_kwh) == (START_AT, -123.4, 42_000_000.01, 5.5)
    at[0] += timedelta(seconds=5)
    link.dead = True
    assert await meter.read() == first
    link.dead = False
    link.set({"import_kw": None})
    assert await meter.read() == first
    link.set({"sample_counter": 2, "import_kw": 50.0, "export_kwh": None})
    second = await meter.read()
    assert second is not None
    assert (second.at, second.import_kw, second.export_kwh) == (at[0], 50.0, None)
    await meter.close()


async def test_a_frozen_meter_gives_no_new_reading() -> None:
    link, clock = MeterLink(), FakeClock()
    at = [START_AT]
    meter = ModbusMeter(
        MeterSection(address=ModbusAddress(port=1)), lambda: at[0], monotonic=clock, link_factory=lambda a, n: link
    )
    for _ in range(20):
        reading = await meter.read()
        clock.now_s += 1.0
        at[0] += timedelta(seconds=1)
    assert reading is not None
    assert reading.at == START_AT + timedelta(seconds=10)


async def test_a_meter_never_read_is_unknown() -> None:
    link = MeterLink()
    link.dead = True
    meter = ModbusMeter(MeterSection(address=ModbusAddress(port=1)), lambda: START_AT, link_factory=lambda a, n: link)
    assert await meter.read() is None


async def test_infinity_and_a_constant_that_differs_give_no_reading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (MAPS / "site_meter_v1.toml").read_text(encoding="utf-8")
    whole = 'type = "i32"\nscale = 0.1\nunit = "kW"\ninvalid = -2147483648'
    assert whole in text
    text = text.replace(whole, 'type = "f32"')
    head = (
        'name = "head"',
        'block = "status"',
        "address = 7",
        'type = "u16"',
        "const = 65518",
        'zh = "头"',
        'en = "head"',
    )
    text += "\n".join(("", "[[entries]]", *head, ""))
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    link = MeterLink()
    link.map = load_map("own.toml", tmp_path)
    link.words = link.map.image({"import_kw": math.inf, "import_kwh": 1.0})
    section = MeterSection(address=ModbusAddress(port=1), register_map="own.toml")
    meter = ModbusMeter(section, lambda: START_AT, folder=tmp_path, link_factory=lambda a, n: link)
    assert await meter.read() is None
    link.set({"import_kw": 5.0})
    link.words[7] = 0
    assert await meter.read() is None
    assert "entry 'head' = 0, the map says 65518" in caplog.text
    link.words[7] = 65518
    assert (await meter.read()) is not None
