"""Sun, storage and demand response: the live station beside the study, and what each does alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from battery_bms.port import PvReading, StorageOrder, StorageReading
from scheduler.charging import budget
from scheduler.types import ChargingPolicy, SiteLimits, StationMode
from sim.live.direct import ORDER_EXPIRES_S, direct_site
from sim.live.virtual_station import VirtualStation
from sim.plant.plant import Plant
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.twin.twin import run_twin
from swap.config.loading import ConfigError, parse_station, read_toml
from swap.config.station_file import StationConfig
from swap.reading.now import newest_site
from swap.station.life.ownership import NOT_OURS
from swap.station.power.site import REST, SiteRunner
from swap.station.power.view import site_limits
from swap.store import Store

EXAMPLE = Path(__file__).parents[2] / "examples" / "yangquan_mine"
AT = datetime(2026, 6, 1, tzinfo=UTC)
STORES = {"port": 15902}


def sun(peak_kw: float) -> dict[str, object]:
    return {"address": {"port": 15901}, "peak_kw": peak_kw}


EVENING = {"from_hour": 18.25, "hours": 2, "limit_kw": 500}


def station(**site: object) -> StationConfig:
    data = read_toml(EXAMPLE / "station.toml")
    data["site"] |= site
    data.pop("scenario", None)
    return parse_station(data, folder=EXAMPLE)


def scenario(config: StationConfig) -> Scenario:
    found = load_scenario(EXAMPLE / "scenario.toml")
    site = config.site
    equipment = {"transformer_kva": site.transformer_kva}
    update: dict[str, object] = {
        "dr_events": site.demand_response,
        "equipment": found.equipment.model_copy(update=equipment),
    }
    if site.pv is not None:
        update["pv"] = found.pv.model_copy(update={"peak_kw": site.pv.peak_kw})
    if site.storage is not None:
        names = type(found.storage).model_fields
        update["storage"] = type(found.storage)(**{name: getattr(site.storage, name) for name in names})
    return found.model_copy(update=update)


SITES: dict[str, tuple[dict[str, object], float, float]] = {
    "demand response": ({"demand_response": [EVENING]}, 18.0, 0.6),
    "sun": ({"pv": sun(900)}, 10.5, 1.0),
    "storage": ({"storage": {"address": STORES, "energy_kwh": 430, "power_kw": 200}}, 14.5, 2.0),
    "all on a short transformer": (
        {
            "transformer_kva": 600,
            "pv": sun(300),
            "storage": {"address": STORES, "energy_kwh": 300, "power_kw": 400, "efficiency": 0.8},
            "demand_response": [{"from_hour": 16.5, "hours": 1, "limit_kw": 300}],
        },
        15.0,
        2.0,
    ),
}
"""What the site has, the hour at which the run begins, and how long it lasts."""


@pytest.mark.twin
@pytest.mark.parametrize("name", SITES)
def test_live_and_study_do_the_same(name: str, proved: Callable[[str], None]) -> None:
    site, from_hour, hours = SITES[name]
    config = station(**site)
    report = run_twin(scenario(config), config, hours, 1, from_hour=from_hour)
    assert report.difference is None
    assert report.compared > 50
    assert report.energy_error < 2e-3
    live_kwh, study_kwh = report.imported_kwh
    proved(f"twin with {name}: {report.compared} events, import {live_kwh:.1f} and {study_kwh:.1f} kWh")


# The plant


def plant(**site: object) -> Plant:
    return Plant(station(**site), seed=1, start_at=AT, varies=False)


STORAGE = {"address": STORES, "energy_kwh": 100, "power_kw": 100, "efficiency": 0.81}


def test_a_storage_keeps_its_power_until_it_is_full() -> None:
    truth = plant(storage=STORAGE)
    truth.site.command(StorageOrder(50.0), 0)
    truth.advance(3600.0)
    assert truth.site.stored_kwh(truth.now_us) == pytest.approx(45.0)
    assert truth.meter_reading().import_kw == pytest.approx(30.0 + 50.0)
    truth.advance(3600.0 * 5)
    assert truth.site.stored_kwh(truth.now_us) == pytest.approx(100.0)
    assert truth.site.storage_kw(truth.now_us) == 0.0
    import_kwh = 6 * 30.0 + 100 / 0.9
    assert truth.meter_reading().import_kwh == pytest.approx(import_kwh)


def test_a_storage_that_holds_the_import_follows_sun_and_load_in_its_direction() -> None:
    truth = plant(storage=STORAGE, pv=sun(200))
    truth.site.set_pv_kw(80.0, 0)
    truth.site.command(StorageOrder(1.0, hold_import_kw=0.0), 0)
    assert truth.site.storage_kw(0) == pytest.approx(50.0)  # what the base load leaves of the sun
    truth.advance(1800.0)
    assert truth.meter_reading().import_kw == pytest.approx(0.0)
    truth.site.set_pv_kw(0.0, truth.now_us)
    assert truth.site.storage_kw(truth.now_us) == 0.0  # ordered to charge, it does not give
    truth.site.command(StorageOrder(-1.0, hold_import_kw=0.0), truth.now_us)
    assert truth.site.storage_kw(truth.now_us) == pytest.approx(-30.0)
    truth.advance(3600.0 * 3)
    reading = truth.meter_reading()
    assert truth.site.stored_kwh(truth.now_us) == pytest.approx(0.0)
    assert reading.import_kw == pytest.approx(30.0)
    assert reading.export_kwh == 0.0


def test_an_order_that_is_not_given_again_ends_by_itself() -> None:
    truth = plant(storage=STORAGE)
    truth.site.energy_kwh = 90.0
    order = StorageOrder(-36.0)
    truth.site.command(order, 0, 30.0)
    truth.advance(20.0)
    truth.site.command(order, truth.now_us, 30.0)
    truth.advance(29.0)
    assert truth.site.storage_kw(truth.now_us) == -36.0
    again = Plant.restore(truth.config, truth.snapshot())
    for one in (truth, again):
        one.advance(3600.0)
        assert one.site.storage_kw(one.now_us) == 0.0
        assert one.site.stored_kwh(one.now_us) == pytest.approx(90.0 - 36.0 * 50 / 3600 / 0.9)
        assert one.next_change_s() is None


def test_one_long_step_is_as_good_as_many_short_ones() -> None:
    ends = []
    for steps in (1, 90):
        truth = plant(storage=STORAGE, pv=sun(200))
        truth.site.set_pv_kw(40.0, 0)
        for pack in truth.rack.packs.values():
            pack.energy_kwh = 0.6 * pack.energy_kwh
        truth.set_charge_kw("A1", 120.0)
        truth.site.command(StorageOrder(-1.0, hold_import_kw=60.0), 0)
        truth.site.energy_kwh = 50.0
        for _ in range(steps):
            truth.advance(2700.0 / steps)
        again = Plant.restore(truth.config, truth.snapshot())
        ends.append((again.site.stored_kwh(again.now_us), *again.site.counters_kwh(again.now_us)))
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)
    assert ends[0][0] < 50.0


# The live station


@asynccontextmanager
async def live(store: Store, **site: object) -> AsyncIterator[VirtualStation]:
    found = VirtualStation(station(**site), store, plant(**site))
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    store = Store(sqlite_url)
    yield store
    store.close()


ALL = {"storage": STORAGE, "pv": sun(300), "demand_response": [{"from_hour": 10, "hours": 1, "limit_kw": 400}]}


async def test_what_is_silent_is_not_counted_on_and_the_storage_rests(store: Store) -> None:
    async with live(store, **ALL) as running:
        site, context = running.plant.site, running.controller.context
        site.energy_kwh = 60.0
        site.set_pv_kw(120.0, running.plant.now_us)
        await running.run(running.now_at + timedelta(seconds=120))
        limits = site_limits(context)
        assert (limits.pv_kw, limits.storage_kw) == (120.0, 100.0)
        with store.reading_station(running.config.station.id) as db:
            sample = newest_site(db, running.config.station.id)
        assert sample is not None
        assert sample.pv_kw == 120.0
        assert sample.storage_kwh == pytest.approx(site.stored_kwh(running.plant.now_us), abs=3.0)
        site.silent = True
        await running.run(running.now_at + timedelta(seconds=60))
        limits = site_limits(context)
        assert (limits.pv_kw, limits.storage_kw, limits.storage_now_kw) == (0.0, 0.0, None)
        assert running.controller.site.order == REST


async def test_an_accepted_limit_holds_from_its_minute_to_its_end(store: Store) -> None:
    async with live(store, **ALL) as running:
        seen = []
        for minute in (119, 121, 179, 181):  # 10 to 11 o'clock in Shanghai is 2 to 3 UTC
            await running.run(AT + timedelta(minutes=minute))
            seen.append(site_limits(running.controller.context).import_limit_kw)
        assert seen == [1900.0, 400.0, 400.0, 1900.0]


@pytest.mark.parametrize("power_kw", [float("nan"), -1.0, float("inf"), 6553.5])
async def test_sun_that_no_plant_gives_is_none(store: Store, power_kw: float) -> None:
    async with live(store, **ALL) as running:
        context = running.controller.context
        context.pv = PvReading(running.now_at, power_kw)
        assert site_limits(context).pv_kw == 0.0
        context.storage = StorageReading(running.now_at, power_kw if power_kw != float("inf") else 9e9, 0.0)
        assert site_limits(context).storage_kw == 0.0
        assert running.controller.site.decide({}, site_limits(context), (), StationMode.AUTOMATIC) == REST


async def test_the_storage_rests_in_a_fire_and_after_the_end(store: Store) -> None:
    async with live(store, **ALL) as running:
        context = running.controller.context
        running.plant.site.energy_kwh = 60.0
        await running.run(running.now_at + timedelta(seconds=60))
        tariff = tuple(running.tariff.slices(running.now_at, running.now_at + timedelta(days=1)))
        limits = replace(site_limits(context), base_load_kw=2000.0)
        assert running.controller.site.decide({}, limits, tariff, StationMode.AUTOMATIC).power_kw < 0
        assert running.controller.site.decide({}, limits, tariff, StationMode.FIRE) == REST
        await running.controller.site.command(StorageOrder(-10.0))
        assert running.plant.site.storage_kw(running.plant.now_us) == -10.0
    assert running.plant.site.order == REST


async def test_the_storage_of_a_frozen_station_rests(store: Store) -> None:
    async with live(store, **ALL) as running:
        truth = running.plant
        truth.site.energy_kwh = 60.0
        storage = direct_site(truth, lambda: AT).storage
        assert storage is not None
        assert await storage.command(StorageOrder(-10.0)) is None
        truth.advance(ORDER_EXPIRES_S - 1)
        assert truth.site.storage_kw(truth.now_us) == -10.0
        truth.advance(2.0)
        assert truth.site.storage_kw(truth.now_us) == 0.0
        assert await storage.command(StorageOrder(-10.0)) is None
        assert truth.site.storage_kw(truth.now_us) == -10.0


async def test_the_storage_is_another_controllers_once_the_lease_is_not_sure(store: Store) -> None:
    async with live(store, **ALL) as running:
        orders = SiteRunner(running.controller.context, direct_site(running.plant, lambda: AT), lambda: False)
        before = running.plant.site.order
        assert await orders.command(StorageOrder(-10.0)) == NOT_OURS
        assert running.plant.site.order == before != StorageOrder(-10.0)


def test_a_meter_shows_the_rest_of_the_site_without_what_the_storage_gives() -> None:
    """A storage that rests is counted on in full, one that already gives not twice."""
    policy = ChargingPolicy()
    site = SiteLimits(500.0, 50.0, storage_kw=200.0, charger_efficiency=1.0)
    resting = replace(site, measured_import_kw=350.0, charging_kw=300.0, storage_now_kw=0.0)
    giving = replace(site, measured_import_kw=500.0, charging_kw=600.0, storage_now_kw=150.0)
    assert budget(resting, policy)[0] == pytest.approx(650.0)
    assert budget(giving, policy)[0] == pytest.approx(650.0)
    unknown = replace(giving, storage_now_kw=None)
    assert budget(unknown, policy)[0] == pytest.approx(600.0)
    assert budget(replace(giving, storage_now_kw=float("nan")), policy)[0] == pytest.approx(600.0)


def test_an_order_outlasts_the_charging_cycle_or_the_file_is_refused() -> None:
    data = read_toml(EXAMPLE / "station.toml")
    data["devices"] = "real"
    data["site"] |= {"pv": sun(100), "storage": STORAGE | {"order_expires_s": 10}}
    assert parse_station(data | {"charging": {"cycle_s": 9.0}}, folder=EXAMPLE).site.storage is not None
    with pytest.raises(ConfigError, match=r"cycle_s = 10: the storage ends an order after order_expires_s = 10 s"):
        parse_station(data | {"charging": {"cycle_s": 10.0}}, folder=EXAMPLE)
