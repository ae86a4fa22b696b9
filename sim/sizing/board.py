"""The money of a simulated design: investment, yearly cost, cost of a swap, kWh, km and tonne, cash flows.

The year that was simulated (with `[life]` the mean of the station's years) is carried to each year by the trucks that
come and by what packs still hold: energy with the trucks, swaps with trucks ÷ state of health. What only weighs service
(`lost_swap_yuan`, `wait_yuan_per_h`) is nobody's money and left out here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor

from sim.scenario.contracts import contracts_of
from sim.scenario.file import Scenario, TripsSection
from sim.sizing.money import CashPlan, Served, payback_years, present_value, rates_of_return
from sim.sizing.rents import TruckYear, rent_yuan
from sim.sizing.trial import Trial
from sim.study.design import (
    YEAR_DAYS,
    bought_parts,
    capital_yuan_per_year,
    fixed_parts,
    investment_yuan,
    running_parts,
)
from sim.study.stats import Estimate
from sim.study.study import RunResult

UNITS = ("swap", "kwh", "km", "t")
"""Of what costs are given for one."""


@dataclass(frozen=True)
class Board:
    """What a board asks of a design. None is undefined: the scenario does not say what it takes."""

    investment_yuan: float
    subsidy_yuan: float
    """Over all years."""
    yearly_yuan: Estimate
    """Annuities of the equipment, pay, capacity charge, electricity."""
    yearly: Mapping[str, Estimate | None]
    """What is done in a year, by `UNITS`: swaps, kWh handed over, km driven and tonnes carried with them."""
    per: Mapping[str, Estimate | None]
    """Yuan for one, by `UNITS`."""
    years: int
    discount: float
    revenue_yuan: Estimate | None
    """Of the first year."""
    plan: CashPlan | None
    """None where the scenario has no `[revenue]`, so that flows mean nothing."""
    flows: tuple[float, ...] | None
    """Of the mean year: the investment, then year by year."""
    present_value_yuan: Estimate | None
    irr: tuple[float, ...] | None
    """Every internal rate of return: one where it is unique; none where it is not paid back at any rate."""
    payback_years: float | None
    """None too where it is not paid back within `years`."""
    discounted_payback_years: float | None


def board_of(trial: Trial) -> Board:
    """The money of a design whose year was simulated."""
    scenario, design = trial.scenario, trial.design
    units: dict[str, Callable[[RunResult], float] | None] = {
        "swap": lambda run: served_in(scenario, run).swaps,
        "kwh": lambda run: served_in(scenario, run).kwh,
        "km": None,
        "t": None,
    }
    for name, by_kwh in (("km", km_per_kwh(scenario)), ("t", tonnes_per_kwh(scenario))):
        if by_kwh is not None:
            units[name] = lambda run, by_kwh=by_kwh: served_in(scenario, run).kwh * by_kwh  # type: ignore[misc]

    paid = cost_in(trial)
    finance, earns = scenario.finance, scenario.revenue is not None
    plan = plan_of(trial) if earns else None
    mean = Served(*(trial.over_the_year(lambda run, n=n: getattr(served_in(scenario, run), n)).mean  # type: ignore[misc]
                    for n in ("swaps", "kwh", "energy_yuan")))  # fmt: skip
    flows = None if plan is None else plan.flows(mean)
    years = years_of(scenario)
    return Board(
        investment_yuan=investment_yuan(scenario, design),
        subsidy_yuan=sum(part.yuan for part in finance.subsidies if part.year <= years),
        yearly_yuan=trial.over_the_year(paid),
        yearly={name: None if of is None else trial.over_the_year(of) for name, of in units.items()},
        per={name: None if of is None else trial.ratio(paid, of) for name, of in units.items()},
        years=years,
        discount=finance.discount,
        revenue_yuan=None
        if plan is None
        else trial.over_the_year(lambda run: plan.revenue_yuan(served_in(scenario, run), 1)),
        plan=plan,
        flows=flows,
        present_value_yuan=None if plan is None else trial.over_the_year(value_in(plan, scenario)),
        irr=None if flows is None else rates_of_return(flows),
        payback_years=None if flows is None else payback_years(flows),
        discounted_payback_years=None if flows is None else payback_years(flows, finance.discount),
    )


def cost_in(trial: Trial) -> Callable[[RunResult], float]:
    """What is paid for a year like that of a replication: annuities, pay, capacity charge, electricity."""
    annuities_yuan = capital_yuan_per_year(trial.scenario, trial.design)
    return lambda run: annuities_yuan + served_in(trial.scenario, run).energy_yuan


def value_in(plan: CashPlan, scenario: Scenario) -> Callable[[RunResult], float]:
    """Net present value, were every year like that of a replication."""
    return lambda run: present_value(plan.flows(served_in(scenario, run)), plan.discount)


def served_in(scenario: Scenario, run: RunResult) -> Served:
    """What a replication says of a year. Energy handed over is what went into the packs, less their losses."""
    efficiency = min(kind.charge_efficiency for kind in scenario.pack_kinds)
    return Served(
        YEAR_DAYS * run.means["swaps_per_day"],
        YEAR_DAYS * run.means["charged_kwh_per_day"] * efficiency,
        running_parts(scenario, run)["energy"],
    )


def years_of(scenario: Scenario) -> int:
    """Years that are reckoned."""
    if scenario.finance.years is not None:
        return scenario.finance.years
    return max(floor(scenario.costs.plant_life_years), 1) if scenario.life is None else scenario.life.years


def plan_of(trial: Trial) -> CashPlan:
    """The cash plan of a design, its rents by what its mean year gives."""
    scenario, design = trial.scenario, trial.design
    revenue, finance, years = scenario.revenue, scenario.finance, years_of(scenario)
    assert revenue is not None
    growth, swaps, soh_pct = _by_year(trial, years)
    kwh_factors = tuple(by / trial.spans[0].growth for by in growth)
    rents = _rents(trial, growth, swaps, kwh_factors, soh_pct)
    return CashPlan(
        years=years,
        discount=finance.discount,
        bought=bought_parts(scenario, design),
        fixed_yuan=sum(fixed_parts(scenario, design).values()),
        swap_factors=swaps,
        kwh_factors=kwh_factors,
        yuan_per_swap=revenue.yuan_per_swap,
        yuan_per_kwh=revenue.yuan_per_kwh,
        other_yuan=tuple(revenue.yuan_per_year + rent for rent in rents),
        subsidies=tuple((part.year, part.yuan) for part in finance.subsidies),
        residual_share=finance.residual_share,
    )


def _by_year(trial: Trial, years: int) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """By year of the station: trucks relative to the scenario, swaps relative to the simulated year, SoH of packs."""
    scenario, span = trial.scenario, trial.spans[0]
    simulated_pct = scenario.equipment.soh_pct if span.soh_pct is None else span.soh_pct
    life = scenario.life
    if life is None:
        return (1.0,) * years, (1.0,) * years, (simulated_pct,) * years
    growth = tuple(life.growth_in(year) for year in range(1, years + 1))
    soh_pct = tuple(life.soh_pct_in(year, scenario.costs.pack_life_years) for year in range(1, years + 1))
    swaps = tuple(by / soh / (span.growth / simulated_pct) for by, soh in zip(growth, soh_pct, strict=True))
    return growth, swaps, soh_pct


def _rents(
    trial: Trial,
    growth: tuple[float, ...],
    swaps: tuple[float, ...],
    kwh: tuple[float, ...],
    soh_pct: tuple[float, ...],
) -> list[float]:
    """Rents by year. Trucks that come more have the same contracts; one truck does in each year what it needs."""
    scenario = trial.scenario
    contracts = contracts_of(scenario)
    if not contracts:
        return [0.0] * len(growth)
    mean = {
        name: trial.over_the_year(lambda run, name=name: getattr(served_in(scenario, run), name)).mean  # type: ignore[misc]
        for name in ("swaps", "kwh", "energy_yuan")
    }
    import_kwh = YEAR_DAYS * trial.over_the_year(lambda run: run.means["import_kwh_per_day"]).mean
    price = mean["energy_yuan"] / import_kwh if import_kwh > 0 else 0.0
    known: dict[tuple[float, float, float], float] = {}
    found = []
    for by, of_swaps, of_kwh, soh in zip(growth, swaps, kwh, soh_pct, strict=True):
        key = (of_swaps / by, of_kwh / by, soh)
        if key not in known:
            trucks = _truck_years(scenario, mean["swaps"] * key[0], mean["kwh"] * key[1])
            known[key] = sum(rent_yuan(scenario, terms, trucks, soh, price) for terms in contracts)
        found.append(known[key] * by)
    return found


def _truck_years(scenario: Scenario, swaps: float, kwh: float) -> dict[str, TruckYear]:
    """What each truck of the scenario does in a year in which all together do so much."""
    parts = _fleet_parts(scenario)
    found = {}
    for fleet in scenario.fleets:
        of_swaps, of_kwh = parts[fleet.id]
        vehicles = scenario.vehicles_of(fleet)
        does = kwh * of_kwh / len(vehicles)
        by_km, by_t = _km_per_kwh(scenario, fleet.trips), _tonnes_per_kwh(scenario, fleet.trips)
        year = TruckYear(
            swaps * of_swaps / len(vehicles),
            does,
            None if by_km is None else does * by_km,
            None if by_t is None else does * by_t,
        )
        found.update(dict.fromkeys(vehicles, year))
    return found


def _fleet_parts(scenario: Scenario) -> dict[str, tuple[float, float]]:
    """Share of each fleet in the swaps and in the energy: by its weight, and by what its packs lack as it comes."""
    swaps, kwh = {}, {}
    for fleet in scenario.fleets:
        model = scenario.vehicle_model(fleet.model)
        rated_kwh = scenario.pack_kind(model.pack_kinds[0]).rated_kwh * model.packs_per_vehicle
        empty_pct = fleet.arrive_soc.mean_pct
        if scenario.demand.mode == "fleet" and fleet.trips is not None:
            empty_pct = fleet.trips.swap_below_pct
        swaps[fleet.id] = float(fleet.vehicles) if fleet.weight is None else fleet.weight
        kwh[fleet.id] = swaps[fleet.id] * rated_kwh * max(scenario.charging.target_soc_pct - empty_pct, 1.0)
    whole = sum(swaps.values()) or 1.0, sum(kwh.values()) or 1.0
    return {name: (swaps[name] / whole[0], kwh[name] / whole[1]) for name in swaps}


def km_per_kwh(scenario: Scenario) -> float | None:
    """Kilometres driven with a kWh handed over, all fleets together; None where a fleet has no trips."""
    return _of_all(scenario, _km_per_kwh)


def tonnes_per_kwh(scenario: Scenario) -> float | None:
    """Tonnes carried with a kWh handed over; None where a fleet has no trips or no load."""
    return _of_all(scenario, _tonnes_per_kwh)


def _of_all(scenario: Scenario, of: Callable[[Scenario, TripsSection | None], float | None]) -> float | None:
    found = {fleet.id: of(scenario, fleet.trips) for fleet in scenario.fleets}
    parts = _fleet_parts(scenario)
    total = 0.0
    for name, value in found.items():
        if value is None:
            return None
        total += parts[name][1] * value
    return total


def _trip_kwh(scenario: Scenario, trips: TripsSection) -> float:
    """Energy of a round trip, mean over the months' temperatures."""
    cold = sum(scenario.energy_factor(mean_c) for mean_c in scenario.climate.mean_c_by_month) / 12
    return cold * (trips.km_loaded * trips.kwh_per_km_loaded + trips.km_empty * trips.kwh_per_km_empty)


def _km_per_kwh(scenario: Scenario, trips: TripsSection | None) -> float | None:
    if trips is None or _trip_kwh(scenario, trips) <= 0:
        return None
    return (trips.km_loaded + trips.km_empty) / _trip_kwh(scenario, trips)


def _tonnes_per_kwh(scenario: Scenario, trips: TripsSection | None) -> float | None:
    if trips is None or trips.load_t is None or _trip_kwh(scenario, trips) <= 0:
        return None
    return trips.load_t / _trip_kwh(scenario, trips)
