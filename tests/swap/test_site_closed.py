"""Sun, storage, meter and demand response fail closed: the import of the whole site stays within its limit, whatever
of them is unknown, no number, infinite, impossible or stale. Judged by the plant's own truth, apart from the rules."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import TypeVar, cast

from battery_bms.port import MeterReading, PvReading, StorageOrder, StorageReading
from scheduler.charging import plan_charging
from scheduler.guide import PriceRule
from scheduler.response.floor import ImportFloor, floor_at
from scheduler.types import ChargingPolicy, Limit, StationMode, TariffSlice
from sim.plant.rack import Rack
from sim.plant.site import SiteTruth
from swap.config.loading import parse_station
from swap.config.station_file import StationConfig
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.life.database import DirectDatabase
from swap.station.power.site import REST, SiteDevices, SiteRunner
from swap.station.power.view import site_limits
from tests.support.scheduler.views import KINDS, charging, rack, station
from tests.support.sim.plant import station_data

Reading = TypeVar("Reading", PvReading, StorageReading, MeterReading)
START_AT = datetime(2026, 6, 1, tzinfo=UTC)
NAN, INF = math.nan, math.inf
SICK = (NAN, INF, -INF, -1.0, -1e9, 6553.5, 1e300)
BASE_KW, GRID_KVA, DR_KW = 60.0, 700.0, 300.0
VIEWS = 10_000
POLICY = ChargingPolicy(reserve_ready=0)
"""No pack is kept ready: so prices hold back all that is not asked for, and a floor has something to raise."""


class Draws:
    """What is true of a site at an instant, and what its devices tell of it."""

    def __init__(self, draw: Random, context: StationContext) -> None:
        self.draw, self.context = draw, context
        self.pv_kw = draw.choice((0.0, draw.uniform(0.0, 400.0)))
        self.stored_kwh = draw.choice((0.0, draw.uniform(0.0, 300.0)))
        self.sick = False
        now, storage_kw = context.clock.now(), draw.choice((0.0, draw.uniform(-200.0, 200.0)))
        context.pv = self._told(PvReading(self._at(now, 30.0), self._number(self.pv_kw)))
        energy_kwh = self._number(self.stored_kwh)
        context.storage = self._told(StorageReading(self._at(now, 10.0), energy_kwh, self._number(storage_kw)))
        import_kw = draw.uniform(-100.0, 900.0)
        context.meter = self._told(MeterReading(self._at(now, 10.0), self._number(import_kw), 0.0, 0.0))

    def _broken(self) -> bool:
        found = self.draw.random() < 0.1
        self.sick = self.sick or found
        return found

    def _number(self, value: float) -> float:
        return self.draw.choice(SICK) if self._broken() else value

    def _told(self, reading: Reading) -> Reading | None:
        return None if self._broken() else reading

    def _at(self, now: datetime, max_age_s: float) -> datetime:
        return now - timedelta(seconds=max_age_s + 1.0 if self._broken() else 1.0)


def site_file() -> StationConfig:
    data = station_data()
    data["site"] |= {
        "transformer_kva": GRID_KVA,
        "base_load_kw": BASE_KW,
        "pv": {"address": {"port": 15901}, "peak_kw": 400},
        "storage": {"address": {"port": 15902}, "energy_kwh": 300, "power_kw": 200, "efficiency": 0.9},
        "demand_response": [{"from_hour": 12, "hours": 6, "limit_kw": DR_KW}],
    }
    return parse_station(data)


def slices(draw: Random, at: datetime) -> tuple[TariffSlice, ...]:
    """Four hours of prices, one of them now."""
    edges = [at + timedelta(hours=hour) for hour in range(5)]
    return tuple(
        TariffSlice(from_at, until_at, draw.choice(("flat", "flat", "peak")), draw.choice((0.3, 0.6, 1.1)))
        for from_at, until_at in pairwise(edges)
    )


def floors(draw: Random, at: datetime) -> tuple[ImportFloor, ...]:
    """An event that was accepted, now and then one that runs."""
    if draw.random() < 0.5:
        return ()
    from_at = at + draw.choice((-1, 1)) * timedelta(minutes=30)
    return (ImportFloor(from_at, from_at + timedelta(hours=1), draw.choice((50.0, 200.0, 650.0, 1e6))),)


def carried_out_kw(truth: SiteTruth, order: StorageOrder, stored_kwh: float, gross_kw: float, pv_kw: float) -> float:
    """Charge (above 0) or discharge of the storage, kW, by the plant's truth; `gross_kw`: chargers and base load."""
    truth.order, truth.pv_kw = order, pv_kw
    return truth._storage_kw(stored_kwh, gross_kw)


def test_the_whole_site_stays_within_its_limit_whatever_is_not_known() -> None:
    config, draw, seconds = site_file(), Random(9), [0.0]
    clock = Clock(START_AT, 1.0, monotonic=lambda: seconds[0])
    context = StationContext.build(cast(DirectDatabase, None), config, clock)
    truth = SiteTruth.from_config(config.site, Rack.from_config(config))
    runner = SiteRunner(context, SiteDevices(), lambda: True)
    seen = dict.fromkeys(("charged", "supported", "sun", "filled", "rested", "limited", "raised", "kept"), 0)
    context.planner = PriceRule(POLICY, tuple(KINDS))
    for _ in range(VIEWS):
        seconds[0] += 3600 * draw.choice((0.25, 1.0, 5.0))
        now = Draws(draw, context)
        limits, mode = site_limits(context), draw.choice((StationMode.AUTOMATIC, StationMode.FIRE, StationMode.HELD))
        bays = rack(*(charging(draw.uniform(3.0, 90.0)) for _ in range(draw.choice((0, 1, 4)))))
        tariff = slices(draw, clock.now())
        context.floors = floors(draw, clock.now())
        view = replace(station(bays, limits=limits, mode=mode), at=clock.now())
        by_price = plan_charging(view, POLICY, KINDS, tariff)
        plan = plan_charging(view, POLICY, KINDS, tariff, context.planner_for(limits))
        order = runner.decide(plan, limits, tariff, mode)
        drawn_kw = sum(setpoint.power_kw for setpoint in plan.values()) / config.site.charger_efficiency
        assert math.isfinite(drawn_kw)
        assert math.isfinite(order.power_kw)
        # A sun that is not heard may be gone; one that is heard is as it was told, unless what it told was impossible.
        believed = context.pv is not None and limits.pv_kw > 0.0
        pv_kw = limits.pv_kw if believed else 0.0
        need_kw = drawn_kw + BASE_KW - pv_kw
        import_kw = need_kw + carried_out_kw(truth, order, now.stored_kwh, need_kw + pv_kw, pv_kw)
        assert limits.pv_kw == 0.0 or limits.pv_kw <= 1.3 * 400.0
        called = 12 <= clock.now().astimezone(config.station.zone).hour < 18
        limit_kw = min(config.site.grid_limit_kw, DR_KW if called else INF)
        assert import_kw <= max(limit_kw, BASE_KW - pv_kw) + 1e-6
        if limits.storage_now_kw is None:
            assert order == REST
        if floor_at(context.floors, clock.now()) > 0.0:
            context.floors = ()
            assert order == runner.decide(plan, limits, (), mode), "no storage gives for its price"
            seen["kept"] += order != runner.decide(plan, limits, tariff, mode)
            more_kw = sum(plan[bay_id].power_kw - by_price[bay_id].power_kw for bay_id in plan)
            assert more_kw > -1e-9
            seen["raised"] += more_kw > 0
        else:
            assert plan == by_price
        seen["charged"] += drawn_kw > 0
        seen["supported"] += order.power_kw < 0
        seen["filled"] += order.power_kw > 0
        seen["sun"] += believed
        seen["rested"] += order == REST and now.sick
        seen["limited"] += any(s.limited_by is Limit.DEMAND_RESPONSE for s in plan.values())
    assert min(seen.values()) > VIEWS // 200, seen  # the draw is no loop over nothing
