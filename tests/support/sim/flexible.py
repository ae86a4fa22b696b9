"""Stations, trucks and windows by chance, and the study that carries out what their flexibility says."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from battery_bms.pack import soc_pct, spec_from_section
from scheduler.charging import policy_from_section
from scheduler.guide import PriceRule
from scheduler.response.flexibility import QUARTER, CourseOf, FlexPoint
from scheduler.response.floor import ImportFloor, RaisedPlanner, output_for_import_kw
from scheduler.response.traffic import ComingTruck
from scheduler.site import DrEventSection
from scheduler.tariff_files import load_tariff
from scheduler.types import SiteLimits
from sim.scenario.demand import Arrival
from sim.study.given import Given, GivenStation, Stock
from sim.twin.live_side import step_times
from swap.config.station_file import StationConfig
from swap.reading.charge_plan import StockedPack, set_soc, stock_of_file
from swap.station.power.flexibility import AFTER, beginning_of_file, coming_truck, courses
from swap.station.sequence.recipe import load_recipe
from tests.support.sim.twin import twin_scenario, twin_station

ROOM_C = 25.0


@dataclass(frozen=True)
class Window:
    """A station with its packs and trucks, and a window to be asked about."""

    config: StationConfig
    stock: dict[str, StockedPack]
    trucks: list[ComingTruck]
    soc_pct: dict[str, tuple[float, ...]]
    """Of the packs that each truck brings."""
    start_at: datetime
    from_at: datetime
    until_at: datetime

    def course_of(self) -> CourseOf:
        """What the flexibility is asked of."""
        tariff = load_tariff(self.config.tariff, self.config.station.zone, None)
        begin = beginning_of_file(
            self.config, self.stock, tariff, start_at=self.start_at, until_at=self.until_at, trucks=self.trucks
        )
        return courses(begin, self.until_at)


def window_by_chance(seed: int) -> Window:
    """One that has some stock and trucks that it can serve, some of them booked."""
    draw = random.Random(seed)
    lanes, seats = draw.choice([1, 1, 2]), draw.choice([1, 1, 1, 2])
    bays = draw.randint(6, 9) + seats
    config = twin_station(
        lanes=lanes,
        bays=bays,
        packs=bays - lanes * seats - draw.randint(0, 1),
        seats=seats,
        trucks=40,
        transformer_kva=draw.choice([800, 1500, 2500]),
        rated_kwh=draw.choice([141, 282]),
        swap_order=draw.choice(["out_in", "out_in", "in_out"]),
        sharing=draw.choice(["order", "equal"]),
        reserve_ready=draw.randint(0, 2),
    )
    stock = stock_of_file(config)
    for bay_id in stock:
        set_soc(config, stock, bay_id, draw.uniform(20, 96))
    start_at = datetime(2026, 6, 1, draw.randint(0, 20), tzinfo=UTC)
    from_at = start_at + draw.randint(1, 4) * QUARTER
    until_at = from_at + draw.randint(2, 8) * QUARTER
    at, levels = start_at, {}
    trucks: list[ComingTruck] = []
    rate = draw.choice([1.0, 2.0, 3.0]) / seats
    while (at := at + timedelta(hours=draw.expovariate(rate))) < until_at + AFTER:
        name = f"V{len(trucks) + 1:02d}"
        levels[name] = tuple(draw.uniform(15, 45) for _ in range(seats))
        early = timedelta(minutes=draw.randint(0, 20))
        booked = (at - early, at - early + timedelta(minutes=30)) if draw.random() < 0.3 else None
        model = config.vehicle_models[0]
        trucks.append(coming_truck(config, name, model, at, soc_pct=levels[name], booked=booked))
    return Window(config, stock, trucks, levels, start_at, from_at, until_at)


@dataclass(frozen=True)
class Carried:
    """What the study did."""

    charged_kwh: list[float]
    """At the begin of the window and at the end of each quarter of it, at the chargers' outputs."""
    called_at: dict[str, datetime]


def carried_out(window: Window, point: FlexPoint | float | None) -> Carried:
    """The study of the station: under a point's limit for its minutes, raised to kW of import, or as planned."""
    config, events = window.config, []
    if isinstance(point, FlexPoint):
        local = window.from_at.astimezone(config.station.zone)
        event = DrEventSection(
            on=local.date(),
            from_hour=local.hour + local.minute / 60,
            hours=point.minutes / 60,
            limit_kw=point.limit_kw or 0.0,
        )
        events.append(event.model_dump())
    scenario = twin_scenario(
        config,
        1.0,
        dr_events=events,
        climate={"mean_c_by_month": [ROOM_C] * 12, "swing_c": 0},
        bookings={"hold_before_min": config.bookings.hold_before_min},
        equipment={"swap_cv": 0.0, "swap_s": None},
    )

    def seconds(at: datetime) -> float:
        return (at - scenario.start_at).total_seconds()

    specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
    stock = {
        bay_id: Stock(pack.kind, soc_pct(pack.energy_kwh, specs[pack.kind], pack.soh_pct), ROOM_C, pack.soh_pct)
        for bay_id, pack in window.stock.items()
    }
    coming = []
    for truck in window.trucks:
        entry = truck.entry
        arrival = Arrival(
            seconds(entry.arrived_at), "fleet", "truck", entry.vehicle_id, window.soc_pct[entry.vehicle_id]
        )
        if entry.booked_from_at is not None and entry.booked_until_at is not None:
            arrival = arrival._replace(
                booked=True,
                booked_from_s=seconds(entry.booked_from_at),
                booked_until_s=seconds(entry.booked_until_at),
            )
        coming.append(arrival)
    lane, packs = config.lanes[0], config.vehicle_models[0].packs_per_vehicle
    table = load_recipe(lane.recipe, config.folder).table(packs, lane.swap_order)
    planner = None
    if isinstance(point, float):
        site = config.site
        limits = SiteLimits(
            grid_limit_kw=site.grid_limit_kw,
            base_load_kw=site.base_load_kw,
            charger_efficiency=site.charger_efficiency,
        )
        rule = PriceRule(policy_from_section(config.charging, kinds=list(specs.values())), tuple(specs))
        floors = (ImportFloor(window.from_at, window.until_at, point),)
        planner = RaisedPlanner(rule, floors, partial(output_for_import_kw, limits))
    given = GivenStation(
        scenario,
        Given(
            config,
            coming,
            stock,
            seconds(window.start_at),
            temp_c=[(ROOM_C,) * packs] * len(coming),
            row_s=step_times([table], lane.cell.poll_s).row_s,
            identify_s=lane.cell.poll_s,
        ),
        planner=planner,
    )
    station, charged_kwh = given.station, []
    at = window.from_at
    while at <= window.until_at:
        station.run_until(seconds(at))
        charged_kwh.append(station.rack.settle_all())
        at += QUARTER
    station.run_until(seconds(window.until_at + 2 * AFTER))
    station.close()
    called_at = {
        window.trucks[number].entry.swap_id: scenario.start_at.astimezone(UTC) + timedelta(seconds=truck.start_s)
        for number, truck in given.trucks.items()
        if truck.start_s >= 0
    }
    return Carried(charged_kwh, called_at)
