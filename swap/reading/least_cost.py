"""The charging plan of least cost for the packs of a station file: what each bay does, what limits it, and what more of
transformer, charger or packs would save.

The problem is made where that of the live station is (`scheduler.optimal.outlook`); here the packs stand in the bays as
the file or the asker says, nobody waits, and trucks are expected at the rates that are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from battery_bms.pack import spec_from_section
from battery_bms.pack.ahead import laws_of
from scheduler.charging import policy_from_section
from scheduler.demand_response import changes_between
from scheduler.guide import Guide
from scheduler.optimal.learned import TruckForecast
from scheduler.optimal.outlook import HORIZON, Forecast, Outlook, PlanTask, SpentPack, TruckShare, task_of
from scheduler.optimal.plan import ChargePlan, Shortfall, guides_of, make_plan
from scheduler.optimal.worth import UnitWorth, unit_worths
from scheduler.tariff import Tariff
from scheduler.types import Limit, SiteLimits
from scheduler.view_rows import rows_of
from swap.config.station_file import StationConfig
from swap.reading.charge_plan import StockedPack, dr_limits, view_of_stock

SERVICE_LEVEL = 0.95
PROMISED_WAIT_H = 10 / 60
"""So long a truck that has not booked may wait (assumed: what a scenario promises unless it says otherwise)."""
SWAP_H = 0.1
"""From a truck's call to its pack on the charger (assumed: the recipes take 5 to 6 minutes)."""
_NOTHING_KW = 0.05
_FULL = 0.999
"""Share of a limit from which on it counts as reached."""


@dataclass(frozen=True, slots=True)
class LeastCostBay:
    """The pack of a bay over one slot."""

    bay_id: str
    pack_id: str
    soc_pct: float
    """At the slot's end."""
    power_kw: float
    """Mean while it is there, at the charger's output."""
    limited_by: str


@dataclass(frozen=True, slots=True)
class LeastCostSlot:
    """The site over one slot."""

    at: datetime
    hours: float
    period: str
    price_yuan_per_kwh: float
    import_kw: float
    limit_kw: float
    """Most that may be imported."""
    sun_kw: float
    ready: int
    """Packs at the slot's end that may be handed out and are nobody's yet, those that trucks bring back in."""
    need: int
    """Packs that are ready or nearly so whatever the price, for trucks that may come sooner than expected."""
    bays: tuple[LeastCostBay, ...]


@dataclass(frozen=True, slots=True)
class LeastCost:
    """A checked plan as people read it."""

    slots: tuple[LeastCostSlot, ...]
    trucks: int
    """Expected within the plan."""
    shortfalls: tuple[Shortfall, ...]
    worths: tuple[UnitWorth, ...]
    import_yuan: float
    primal_residual: float
    gap: float


def model_weights(config: StationConfig, known: TruckForecast) -> dict[str, int]:
    """Vehicle models as they came; before any came as the station file lists its vehicles. In order of their names."""
    models = {model.id for model in config.vehicle_models}
    came = {name: count for name, count in known.models.items() if name in models}
    weights = came or Counter(vehicle.model for vehicle in config.vehicles) or dict.fromkeys(models, 1)
    return dict(sorted(weights.items()))


def shares_of(config: StationConfig, known: TruckForecast) -> tuple[TruckShare, ...]:
    """The sorts of trucks that are expected, each with the packs that it leaves."""
    found = []
    for name, weight in model_weights(config, known).items():
        model = config.vehicle_model(name)
        kind = model.pack_kinds[0]
        spent = SpentPack(kind, SWAP_H, usual_soc_pct(known, kind))
        found.append(TruckShare(weight, tuple(model.pack_kinds), (spent,) * model.packs_per_vehicle))
    return tuple(found)


def usual_soc_pct(known: TruckForecast, kind: str) -> float | None:
    """Mean state of charge of the packs of a kind that came off; None where none was read."""
    levels = known.packs.get(kind)
    return None if levels is None else levels.mean_pct


def forecast_of(config: StationConfig, known: TruckForecast, at: datetime) -> Forecast | None:
    """What a plan from an instant on counts on; None where no truck is expected."""
    if not known.expects_any():
        return None
    hours = HORIZON / timedelta(hours=1)
    shares, call_h = shares_of(config, known), SWAP_H / len(config.lanes)
    return Forecast(known.rates(at, hours), shares, SERVICE_LEVEL, call_h, PROMISED_WAIT_H)


def least_cost(
    config: StationConfig,
    stock: Mapping[str, StockedPack],
    tariff: Tariff,
    *,
    start_at: datetime,
    trucks: TruckForecast,
    temp_c: float = 25.0,
) -> LeastCost:
    """The plan of a day for the trucks that are expected.

    Raises:
        NoSolver, NotSolved, NotBelieved: there is no plan that may be believed.
        ValueError: prices are not known for long enough.
    """
    asked = _outlook(config, stock, tariff, start_at, trucks, temp_c)
    task = task_of(asked)
    plan = make_plan(task.problem)
    slots = tuple(_slot(config, stock, tariff, task, plan, number) for number in range(len(plan.guide_kw)))
    return LeastCost(
        slots,
        round(sum(asked.forecast.rates.per_h[: 4 * 24]) / 4) if asked.forecast is not None else 0,
        plan.shortfalls,
        unit_worths(asked, sorted(stock, key=lambda bay_id: config.bay(bay_id).position)),
        float((plan.flows.import_kw * task.problem.hours * task.problem.site.import_yuan_per_kwh).sum()),
        plan.verdict.primal_residual,
        plan.verdict.gap,
    )


def planned_guides(
    config: StationConfig,
    stock: Mapping[str, StockedPack],
    tariff: Tariff,
    *,
    start_at: datetime,
    trucks: TruckForecast,
    temp_c: float = 25.0,
) -> tuple[Guide, ...]:
    """What the rule is told of that plan, one guide after the other. Raises what `least_cost` does."""
    task = task_of(_outlook(config, stock, tariff, start_at, trucks, temp_c))
    return guides_of(make_plan(task.problem), task.reach, task.packs)


def _outlook(
    config: StationConfig,
    stock: Mapping[str, StockedPack],
    tariff: Tariff,
    at: datetime,
    trucks: TruckForecast,
    temp_c: float,
) -> Outlook:
    specs = {kind.id: spec_from_section(kind) for kind in config.pack_kinds}
    zone, events, dr_limit_kw = config.station.zone, config.site.demand_response, dr_limits(config)
    view = view_of_stock(config, specs, stock, at, temp_c, dr_limit_kw(at))

    def limits_at(instant: datetime) -> SiteLimits:
        return replace(view.limits, dr_limit_kw=dr_limit_kw(instant))

    return Outlook(
        at,
        tariff.slices(at, at + HORIZON),
        limits_at,
        changes_between(events, at, at + HORIZON, zone),
        policy_from_section(config.charging, kinds=list(specs.values())),
        laws_of(specs),
        tuple(specs),
        rows_of(view, specs).bays,
        (),
        (),
        forecast_of(config, trucks, at),
    )


def _slot(
    config: StationConfig,
    stock: Mapping[str, StockedPack],
    tariff: Tariff,
    task: PlanTask,
    plan: ChargePlan,
    number: int,
) -> LeastCostSlot:
    problem, flows, windows = task.problem, plan.flows, plan.flows.windows
    at, ends_h = plan.starts[number], float(problem.ends_h[number])
    full = flows.import_kw[number] >= _FULL * problem.site.import_limit_kw[number]
    bays, ready = [], 0
    for store_number, store in enumerate(problem.stores):
        place = int(windows.first[store_number]) + number - int(windows.slot[windows.first[store_number]])
        there = windows.first[store_number] <= place <= windows.last[store_number]
        if not there:
            continue
        energy_kwh = float(flows.energy_kwh[place])
        ready += energy_kwh >= _FULL * store.high_kwh and store.until_h > ends_h
        pack = stock.get(store.name)
        share = float(windows.connected_h[place] / problem.hours[number])
        if pack is None or share <= 0:
            continue
        power_kw = float(flows.charge_kw[place]) / share
        if energy_kwh >= _FULL * store.most_kwh and power_kw < _FULL * store.charge_kw:
            limit = Limit.TARGET
        elif store.charge_kw <= 0:
            limit = Limit.NO_CHARGER
        elif power_kw >= _FULL * store.charge_kw:
            limit = Limit.CHARGER if config.bay(store.name).charger_kw <= store.charge_kw + _NOTHING_KW else Limit.PACK
        elif plan.store_kw[place] >= _FULL * store.charge_kw:
            limit = Limit.BMS
        else:
            limit = Limit.GRID if full else Limit.TARIFF
        capacity_kwh = store.most_kwh / (config.charging.target_soc_pct / 100)
        soc_pct = 100 * energy_kwh / capacity_kwh
        bays.append(LeastCostBay(store.name, pack.pack_id, soc_pct, max(power_kw, 0.0), str(limit)))
    need = sum(len(hours) for hours in task.reach[number].values())
    return LeastCostSlot(
        at,
        float(problem.hours[number]),
        tariff.period_at(at),
        float(problem.site.import_yuan_per_kwh[number]),
        float(flows.import_kw[number]),
        float(problem.site.import_limit_kw[number]),
        float(flows.sun_kw[number]),
        int(ready),
        need,
        tuple(bays),
    )
