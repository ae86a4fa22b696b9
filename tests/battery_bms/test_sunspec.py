"""SunSpec maps against a register image written by hand from the published models, and devices that are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from battery_bms.config import PvPlantSection, StorageDeviceSection
from battery_bms.modbus_pv import ModbusPv
from battery_bms.modbus_storage import ModbusStorage
from battery_bms.port import StorageOrder
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.registers import MapError, load_map, parse_map
from robotics.modbus_link.sunspec import find_models, placed
from robotics.port import Refused
from tests.support.battery_bms.charger import FakeClock
from tests.support.battery_bms.rack import START_AT

ADDRESS = ModbusAddress(port=1, base_address=40000)
PV = PvPlantSection(address=ADDRESS, register_map="sunspec_pv_v1", peak_kw=110)
STORAGE = StorageDeviceSection(address=ADDRESS, register_map="sunspec_storage_v1")
NOT_I16, NOT_U16 = 0x8000, 0xFFFF


class Image:
    """Registers by address; any other is refused, as by a device that does not know it."""

    def __init__(self, words: Mapping[int, int]) -> None:
        self.words = dict(words)
        self.deaf = False
        self.writes: list[tuple[int, list[int]]] = []

    async def connect(self) -> None:
        return

    async def close(self) -> None:
        return

    async def read(self, address: int, count: int) -> list[int]:
        if not set(range(address, address + count)) <= self.words.keys():
            raise Refused(f"illegal address {address}")
        return [self.words[a] for a in range(address, address + count)]

    async def write(self, address: int, values: list[int]) -> None:
        self.writes.append((address, values))
        if not self.deaf:
            self.words.update(enumerate(values, start=address))


def chain(*models: tuple[int, int, Mapping[int, int]]) -> dict[int, int]:
    """Registers of a device: ID, length and data by offset from the ID register, of each model; the rest is 0."""
    words = {0: 0x5375, 1: 0x6E53}
    address = 2
    for model, length, data in ((1, 66, {}), *models):
        words |= dict.fromkeys(range(address, address + 2 + length), 0)
        words |= {address: model, address + 1: length} | {address + offset: word for offset, word in data.items()}
        address += 2 + length
    return words | {address: 0xFFFF, address + 1: 0}


def pv(image: Image) -> ModbusPv:
    return ModbusPv(PV, lambda: START_AT, link_factory=lambda address, name: image)


def storage(image: Image, clock: FakeClock | None = None) -> ModbusStorage:
    async def no_wait(_: float) -> None:
        return

    return ModbusStorage(
        STORAGE,
        lambda: START_AT,
        capacity_kwh=430.0,
        rating_kw=200.0,
        monotonic=clock or FakeClock(),
        link_factory=lambda address, name: image,
        sleep=no_wait,
    )


async def test_the_published_inverter_gives_its_power() -> None:
    """The vector is built from the models on its own: 10 420 x 10 W."""
    path = Path(__file__).parents[1] / "vectors" / "modbus.json"
    (vector,) = json.loads(path.read_text(encoding="utf-8"))["sunspec"]
    image = Image(dict(enumerate(vector["registers"])))
    assert await find_models(image.read) == {m["id"]: m["address"] - vector["base"] for m in vector["expect"]["models"]}
    reading = await pv(image).read()
    assert reading is not None
    assert reading.power_kw == vector["expect"]["ac_power_w"] / 1000


@pytest.mark.parametrize(
    ("raw", "factor", "power_kw"),
    [
        (10420, 1, 104.2),
        (10420, 0xFFFF, 1.042),  # 10^-1
        (10420, 0xFFFA, 1.042e-5),  # 10^-6
        (0xFFC4, 0, 0.0),  # -60 W: what it takes itself at night
        (NOT_I16, 1, None),
        (10420, NOT_I16, None),
        (10420, 11, None),  # no scale factor
        (0xE000, 1, None),  # -81 kW: no photovoltaics
    ],
)
async def test_scale_factors_and_what_is_not_implemented(raw: int, factor: int, power_kw: float | None) -> None:
    reading = await pv(Image(chain((103, 50, {14: raw, 15: factor})))).read()
    assert (None if reading is None else reading.power_kw) == (
        power_kw if power_kw is None else pytest.approx(power_kw)
    )


BATTERY: tuple[tuple[int, int, dict[int, int]], ...] = (
    (701, 153, {10: 0xFC18, 116: 1}),  # -1000 x 10 W: 10 kW are charged
    (702, 50, {}),
    (704, 65, {55: 0xFFFF}),  # set-points in 0.1 W
    (713, 7, {2: 4300, 3: 2150, 4: 500, 5: 1000, 6: 1, 7: 2, 8: 0xFFFF}),
    (802, 62, {18: 7}),
)


def changed(model: int, data: Mapping[int, int]) -> tuple[tuple[int, int, Mapping[int, int]], ...]:
    return tuple((one, length, {**old, **data} if one == model else old) for one, length, old in BATTERY)


async def test_a_storage_is_read_with_the_stations_signs() -> None:
    reading = await storage(Image(chain(*BATTERY))).read()
    assert reading is not None
    assert (reading.power_kw, reading.energy_kwh) == (10.0, 215.0)
    by_share = await storage(Image(chain(*changed(713, {3: NOT_U16})))).read()
    assert by_share is not None
    assert by_share.energy_kwh == pytest.approx(0.5 * 430.0)
    for unknown in ({3: NOT_U16, 4: NOT_U16}, {7: NOT_I16, 8: NOT_I16}):
        assert await storage(Image(chain(*changed(713, unknown)))).read() is None
    assert await storage(Image(chain(*changed(701, {10: NOT_I16})))).read() is None


async def test_an_order_is_one_request_with_its_time_and_rest_behind_it() -> None:
    image = Image(chain(*BATTERY))
    driver = storage(image)
    assert not driver.follows_load
    assert await driver.command(StorageOrder(-50.0)) is None  # discharge: SunSpec's generation
    ((address, words),) = image.writes
    control = (await find_models(image.read))[704]
    assert address == control + 22
    assert words == [1, 1, 500_000 >> 16, 500_000 & 0xFFFF, 0, 0, 0, 0, 1, 0, 30]
    assert await driver.command(StorageOrder(1e9)) is None  # no more than the rating
    assert image.writes[-1][1][2:4] == [(-2_000_000 >> 16) & 0xFFFF, -2_000_000 & 0xFFFF]
    refused = await driver.command(StorageOrder(-50.0, hold_import_kw=0.0))
    assert refused is not None
    assert "cannot follow the load" in refused
    assert len(image.writes) == 2


async def test_an_order_that_the_device_does_not_keep_is_told() -> None:
    image = Image(chain(*BATTERY))
    image.deaf = True
    told = await storage(image).command(StorageOrder(-50.0))
    assert told is not None
    assert told.startswith("not taken: registers")
    without = Image(chain(*changed(704, {55: NOT_I16})))
    told = await storage(without).command(StorageOrder(-50.0))
    assert told is not None
    assert "the device gives no factor" in told
    assert without.writes == []


async def test_a_heartbeat_that_stands_still_is_a_frozen_storage() -> None:
    clock, image = FakeClock(), Image(chain(*BATTERY))
    driver = storage(image, clock)
    first = await driver.read()
    clock.now_s += STORAGE.max_age_s + 1
    image.words = chain(*changed(713, {3: 1000}))
    assert await driver.read() is first
    image.words = chain(*changed(802, {18: 8}))
    moved = await driver.read()
    assert moved is not None
    assert moved is not first


async def test_no_marker_no_end_and_no_such_model_are_refusals() -> None:
    for words, said in (
        ({0: 1, 1: 2}, "no SunSpec marker"),
        (chain((203, 105, {})), "none of the SunSpec models 103; it has 1, 203"),
        ({0: 0x5375, 1: 0x6E53} | dict.fromkeys(range(2, 200), 0), "does not end"),
    ):
        image = Image(words)
        with pytest.raises(Refused, match=said):
            placed(load_map("sunspec_pv_v1"), await find_models(image.read))
        driver = pv(image)
        assert await driver.read() is None
        image.words = chain((103, 50, {14: 100, 15: 1}))  # mended without a restart
        assert (await driver.read()) is not None


def test_what_no_map_may_say() -> None:
    file = load_map("sunspec_storage_v1").file.model_dump(exclude_defaults=True)
    blocks = {block["name"]: block for block in file["blocks"]}
    entries = {entry["name"]: entry for entry in file["entries"]}
    del blocks["capacity"]["sunspec_model"]
    entries["power_kw"]["scale_from"] = "wset_sf"  # of another model
    entries["cmd_expires_s"]["address"] = 33
    with pytest.raises(MapError) as error:
        parse_map(file)
    lines = "\n".join(error.value.problems)
    assert "block capacity: has no sunspec_model" in lines
    assert "entry 'power_kw' scale_from = 'wset_sf': must name an i16" in lines
    assert "register 33 does not follow 'cmd_revert_enable', which ends at 30" in lines


def test_offsets_are_those_of_the_published_models() -> None:
    found = {e.name: (e.address, e.type) for e in load_map("sunspec_storage_v1").entries.values()}
    assert found["power_kw"] == (10, "i16")
    assert found["cmd_power_kw"] == (24, "i32")
    assert found["cmd_expires_s"] == (31, "u32")
    assert found["energy_kwh"] == (3, "u16")
