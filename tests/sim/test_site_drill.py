"""Drills of the whole site on virtual time: live controller, its Modbus drivers, registers of simulated devices.

Whatever falls silent or stands still: the import limit holds from one control period after it on, trucks are served,
and one fault tells of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import col, select

from battery_bms.port import RESPONSE_S
from robotics.faults import fault_by_code
from scheduler.tariff import Tariff
from scheduler.types import Limit, TariffSlice
from sim.live.virtual_station import VirtualStation
from sim.plant.plant import Plant
from swap.commerce.bookings.keeping import KeepingMark, keep_promises
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.config.loading import parse_station, read_toml
from swap.config.station_file import StationConfig
from swap.station.power.modbus_site import modbus_site
from swap.station.power.view import site_limits
from swap.store import Store
from swap.tables import Bay, Booking, FaultRow, Swap
from tests.support.sim.site_wire import SiteWire

EXAMPLE = Path(__file__).parents[2] / "examples" / "zezhou_transfer"
NOON = datetime(2026, 6, 1, 4, tzinfo=UTC)
"""12:00 in Shanxi."""
ROUND_S = 2.0
"""Longest time between two rounds of the virtual station; its charging cycle is longer."""
TOLERANCE_KW = 0.5


def station(*, sunspec: bool = False) -> StationConfig:
    data = read_toml(EXAMPLE / "station.toml")
    data["site"]["transformer_kva"] = 1400
    if sunspec:
        for name in ("pv", "storage"):
            data["site"][name] |= {"register_map": f"sunspec_{name}_v1"}
            data["site"][name]["address"] |= {"base_address": 40000}
    data.pop("scenario", None)
    return parse_station(data, folder=EXAMPLE)


@dataclass
class Site:
    """A station on virtual time whose meter, sun and storage answer in registers."""

    running: VirtualStation
    wire: SiteWire
    over_s: list[float] = field(default_factory=list)
    """Seconds of station time at which the import was above the limit."""
    most_kw: float = 0.0

    @property
    def plant(self) -> Plant:
        return self.running.plant

    @property
    def now_s(self) -> float:
        return self.plant.now_us / 1e6

    def import_kw(self) -> float:
        return self.plant.site.import_kw(self.plant.now_us)

    async def run(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass step by step, watching what the import truly is."""
        limit_kw = self.running.config.site.grid_limit_kw
        for _ in range(round(seconds / step_s)):
            await self.running.run(self.running.now_at + timedelta(seconds=step_s))
            self.most_kw = max(self.most_kw, self.import_kw())
            if self.import_kw() > limit_kw + TOLERANCE_KW:
                self.over_s.append(self.now_s)

    def faults(self, *, still_open: bool = False) -> list[str]:
        """Names of the faults raised, in order."""
        with self.running.store.reading() as db:
            rows = db.exec(select(FaultRow).order_by(col(FaultRow.id))).all()
            return [fault_by_code(row.code).name for row in rows if not still_open or row.cleared_at is None]

    def book(self, vehicle_id: str, minutes: int) -> str:
        """A window of half an hour from so many minutes on; returns the booking."""
        config, now = self.running.config, self.running.now_at
        start_at = now + timedelta(minutes=minutes)
        with self.running.store.station(config.station.id) as db:
            wanted = Wanted(vehicle_id, start_at, start_at + timedelta(minutes=30))
            return make_booking(db, config, wanted, at=now).booking_id

    def broken_promises(self) -> set[str]:
        """Commerce judges its promises; bookings that cannot be kept as things stand."""
        keep_promises(self.running.store, self.running.config, self.running.now_at, KeepingMark())
        with self.running.store.reading() as db:
            return set(db.exec(select(Booking.id).where(Booking.status == "disrupted")).all())

    def swapped(self) -> int:
        """Swaps that are done."""
        with self.running.store.reading() as db:
            return len(db.exec(select(Swap).where(Swap.state == "completed")).all())


@asynccontextmanager
async def site(store: Store, *, sunspec: bool = False) -> AsyncIterator[Site]:
    """The example at noon behind a smaller transformer: six spent packs, a charged one, a full storage and the sun."""
    config = station(sunspec=sunspec)
    plant = Plant(config, seed=4, start_at=NOON, varies=False)
    for pack in plant.rack.packs.values():
        if pack.place.startswith("bay:") and pack.place != "bay:A7":
            pack.energy_kwh *= 0.3
    plant.site.energy_kwh = 430.0
    plant.site.set_pv_kw(100.0, 0)
    running = VirtualStation(config, store, plant, idle_s=ROUND_S)

    def real_s() -> float:
        return plant.now_us / 1e6

    wire = SiteWire(plant, config, real_s)
    devices = modbus_site(config, running.clock.now, monotonic=real_s, link_factory=wire.factory)
    runner = running.controller.site
    runner.meter, runner.pv, runner.storage = devices.meter, devices.pv, devices.storage
    await running.start()
    yield Site(running, wire)
    await running.stop()


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    store = Store(sqlite_url)
    yield store
    store.close()


def storage_dies(here: Site) -> None:
    here.plant.inject("storage_dead", "storage")


def storage_lives(here: Site) -> None:
    here.plant.clear("storage_dead", "storage")


def sun_freezes(here: Site) -> None:
    here.plant.inject("frozen_values", "pv")
    here.plant.site.set_pv_kw(0.0, here.plant.now_us)


def sun_thaws(here: Site) -> None:
    here.plant.clear("frozen_values", "pv")


def meter_freezes(here: Site) -> None:
    here.plant.inject("frozen_values", "meter")
    here.plant.site.set_pv_kw(0.0, here.plant.now_us)


def meter_thaws(here: Site) -> None:
    here.plant.clear("frozen_values", "meter")


def storage_is_under_local_control(here: Site) -> None:
    here.wire.links["storage"].refuses_writes = True


def storage_is_under_remote_control(here: Site) -> None:
    here.wire.links["storage"].refuses_writes = False


def storage_gives_nothing(here: Site) -> None:
    here.plant.site.die(True, here.plant.now_us)


def storage_gives_again(here: Site) -> None:
    here.plant.site.die(False, here.plant.now_us)


def all_refuse(here: Site) -> None:
    for name in ("meter", "pv", "storage"):
        here.plant.inject("exception_replies", name, code=4)


def all_answer(here: Site) -> None:
    for name in ("meter", "pv", "storage"):
        here.plant.clear("exception_replies", name)


DRILLS: dict[str, tuple[Callable[[Site], None], Callable[[Site], None], list[str]]] = {
    "the storage dies": (storage_dies, storage_lives, ["storage_silent"]),
    "the sun's meter freezes at its best and the sun goes": (sun_freezes, sun_thaws, ["pv_silent"]),
    "the site meter freezes and the sun goes": (meter_freezes, meter_thaws, ["meter_silent"]),
    "the storage takes no orders": (
        *(storage_is_under_local_control, storage_is_under_remote_control),
        ["storage_does_not_obey"],
    ),
    "the storage confirms its orders and gives nothing": (
        *(storage_gives_nothing, storage_gives_again),
        ["storage_does_not_obey"],
    ),
    "nothing answers": (all_refuse, all_answer, ["meter_silent", "storage_silent", "pv_silent"]),
}


@pytest.mark.parametrize("name", DRILLS)
async def test_the_limit_holds_trucks_are_served_and_one_fault_tells_of_it(
    store: Store, name: str, proved: Callable[[str], None]
) -> None:
    begin, end, names = DRILLS[name]
    async with site(store) as here:
        await here.run(60)
        assert here.over_s == []
        assert here.import_kw() > 1300.0, "the chargers take what the limit leaves"
        assert here.plant.site.storage_kw(here.plant.now_us) < -100.0
        began_s = here.now_s
        begin(here)
        here.running.arrive("ZZ-001", [30.0])
        await here.run(60)
        await here.run(600, 5.0)
        over_s = [s - began_s for s in here.over_s]
        period_s = here.running.config.charging.cycle_s
        if begin is storage_gives_nothing:  # it looks well: that it falls short must be seen to last
            period_s += RESPONSE_S
        assert all(s <= period_s for s in over_s), over_s
        assert sorted(here.faults()) == sorted(names)
        end(here)
        await here.run(60)
        assert here.faults(still_open=True) == []
        assert sorted(here.faults()) == sorted(names), "one fault each, not one a minute"
        proved(f"{name}: above the limit for {max(over_s, default=0):.0f} s, at most {here.most_kw:.0f} kW")
        assert here.swapped() == 1


async def test_rigid_control_kills_the_chargers_and_nothing_else(store: Store, proved: Callable[[str], None]) -> None:
    """刚性控制: the feeder of the chargers trips. Swaps go on, one fault tells of it, charging comes back by itself."""
    async with site(store) as here:
        await here.run(60)
        assert here.plant.rack.total_charge_kw(here.plant.now_us) > 1000.0
        booked = [here.book(vehicle, minutes=60) for vehicle in ("ZZ-002", "ZZ-003")]
        here.running.arrive("ZZ-001", [30.0])
        await here.run(60)
        assert here.broken_promises() == set()
        here.plant.inject("feeder_tripped", "site")
        assert here.plant.rack.total_charge_kw(here.plant.now_us) == 0.0
        await here.run(10)
        plan = here.running.controller.context.plan
        assert {plan[bay].limited_by for bay in ("A1", "A2", "A3")} == {Limit.CHARGER_FAULT}
        assert all(setpoint.power_kw == 0.0 for setpoint in plan.values()), "nothing waits to jump on when it closes"
        await here.run(600, 5.0)
        assert here.swapped() == 1, "the robot has a circuit of its own"
        assert here.faults() == ["feeder_tripped"]
        assert here.plant.rack.total_charge_kw(here.plant.now_us) == 0.0
        with store.reading() as db:
            limited = db.exec(select(Bay.limited_by).where(col(Bay.name).in_(("A1", "A2", "A3")))).all()
        assert set(limited) == {Limit.CHARGER_FAULT}
        assert here.broken_promises() == set(booked), "those who have booked are told"
        assert here.plant.restore(here.plant.config, here.plant.snapshot()).rack.fed is False
        here.over_s.clear()
        here.plant.clear("feeder_tripped", "site")
        await here.run(60)
        assert here.faults(still_open=True) == []
        assert here.faults() == ["feeder_tripped"]
        assert here.plant.rack.total_charge_kw(here.plant.now_us) > 1000.0
        assert here.over_s == []
        assert here.broken_promises() == set(), "promised again"
        proved(
            f"feeder tripped: 1 swap meanwhile, {here.plant.rack.total_charge_kw(here.plant.now_us):.0f} kW after it"
        )


async def test_a_storage_that_cannot_follow_the_load_gets_set_points(store: Store) -> None:
    """By SunSpec's models: a plain set-point each charging cycle; what the sun changes is made good in the next."""
    async with site(store, sunspec=True) as here:
        await here.run(60)
        period_s = here.running.config.charging.cycle_s + ROUND_S
        assert here.plant.site.order.hold_import_kw is None
        assert here.plant.site.storage_kw(here.plant.now_us) < -100.0
        for sun_kw in (40.0, 140.0, 0.0):
            here.over_s.clear()
            here.plant.site.set_pv_kw(sun_kw, here.plant.now_us)
            began_s = here.now_s
            await here.run(30)
            assert all(s - began_s <= period_s for s in here.over_s), (sun_kw, here.over_s)
            assert here.import_kw() > 1200.0
        assert here.faults() == []


class HourOff:
    """Prices as they are an hour later: a table that was entered without the change of the clock."""

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff

    def slices(self, from_at: datetime, until_at: datetime) -> list[TariffSlice]:
        hour = timedelta(hours=1)
        found = self._tariff.slices(from_at + hour, until_at + hour)
        return [replace(one, from_at=one.from_at - hour, until_at=one.until_at - hour) for one in found]


async def test_prices_an_hour_off_and_sun_told_three_times_too_high_cost_money_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(store) as here:
        context, tariff = here.running.controller.context, here.running.tariff
        monkeypatch.setattr(context, "prices", HourOff(tariff))
        (sun,) = here.wire.links["photovoltaics"].board.units
        monkeypatch.setattr(sun, "values", lambda: {"power_kw": 3 * here.plant.site.pv_kw})
        await here.run(60)
        here.running.arrive("ZZ-001", [30.0])
        for sun_kw in (130.0, 60.0, 150.0):
            here.plant.site.set_pv_kw(sun_kw, here.plant.now_us)
            await here.run(120, 2.0)
        assert site_limits(context).pv_kw == pytest.approx(450.0, abs=1.0), "believed: it could be so"
        await here.run(300, 5.0)
        assert here.over_s == [], "the site meter holds the limit"
        assert here.swapped() == 1
        assert here.faults() == []
