"""What the optimiser is asked: slots of time, a site, and stores of energy that are charged in windows of time.

A *store* is a pack during one visit to the rack, a stationary storage, or anything else that takes energy: it is
connected from one instant to another, begins with an energy and may have to hold some at given instants (*goals*).
Times are hours from the plan's first slot, powers kW, energies kWh, money yuan. Import, charging and energy into a
store are positive.

Physics and hard limits are constraints. Goals are wishes in tiers: what cannot be reached is short, at a price that
only lets a higher tier, never money, win over it. So there is always a plan, and what it misses has a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from math import inf, isfinite
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ChargeLaw(Protocol):
    """How much energy a store can take in a time, by the energy that it has."""

    def gain_lines(self, hours: Floats) -> Sequence[tuple[Floats, Floats]]:
        """Lines that bound the energy gained: gain ≤ offset − fall × energy at the start, each for every time.

        Their lowest must be attainable by some constant set-point; the limit of constant full power is not among them.
        """
        ...

    def hours_to(self, from_kwh: float, to_kwh: float) -> float:
        """Hours at full power from one energy to another; 0 when there, inf when never."""
        ...


class Tier(IntEnum):
    """How much a goal counts, the highest first."""

    PROMISED = 0
    """A truck that stands in the queue or has booked."""
    FORECAST = 1
    """Stock for trucks that are expected."""
    STOCK = 2
    """Nearly ready, for trucks that may come before they are expected."""
    COMFORT = 3
    """More in a pack than may be offered: sold with the swap."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Energy that a store should hold at an instant."""

    at_h: float
    kwh: float
    tier: Tier = Tier.PROMISED


@dataclass(frozen=True, slots=True)
class EnergyStore:
    """Something that is charged, and perhaps discharged, while it is connected."""

    name: str
    energy_kwh: float
    """When it is connected."""
    most_kwh: float
    charge_kw: float
    """Most at the charger's output; 0 is a limit too."""
    from_h: float = 0.0
    until_h: float = inf
    least_kwh: float = 0.0
    min_charge_kw: float = 0.0
    """It charges with at least this or not at all, in slots that become set-points (`ChargeProblem.steady_h`)."""
    discharge_kw: float = 0.0
    efficiency: float = 1.0
    """Energy stored ÷ energy at the charger's output."""
    efficiency_out: float = 1.0
    """Energy given at the output ÷ energy taken from the store."""
    ac_efficiency: float = 1.0
    """Output of its charger ÷ what that draws from the site, in both directions."""
    shared: bool = True
    """It hangs on the chargers that share `Site.chargers_kw`; False: it has its own connection."""
    law: ChargeLaw | None = None
    goals: tuple[Goal, ...] = ()
    asked_kw: Floats | None = None
    """Least output by slot that its user asks for, a promise; None: nothing."""
    end_yuan_per_kwh: float = 0.0
    """Worth of what it holds at the last slot's end, if it is connected then."""
    wear_yuan_per_kwh: float = 0.0
    """Price of each kWh through its output, in and out."""
    high_kwh: float = inf
    """Above this time costs life: as little of it as money allows."""
    from_grid: bool = True
    """It may be charged with what is imported; False: from the sun only."""
    to_grid: bool = True
    """What it gives may be exported; False: for the site only."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the site's connection gives and costs, by slot."""

    import_yuan_per_kwh: Floats
    base_kw: Floats
    pv_kw: Floats
    import_limit_kw: Floats
    """Lowest of transformer × power factor, contract, and what was ordered or accepted. Only what the base load alone
    needs above it is imported beyond it."""
    export_yuan_per_kwh: Floats | None = None
    """None: nothing may be exported."""
    export_limit_kw: float = inf
    chargers_kw: float = inf
    """Most that the shared chargers put out together: their number × rating, or the cap on the rack."""
    demand_yuan_per_kw: float = 0.0
    """Price of the period's highest import."""
    demand_floor_kw: float = 0.0
    """The period's highest so far: it is paid for whatever comes."""
    transformer_loss_share: float = 0.0
    """Share of the import that is lost before the site's own bus; it is paid for, and counts against the limit."""
    import_floor_kw: Floats | None = None
    """To what the import is to be raised, by slot, 0 where it is not; None: nowhere. What lacks is short, at the price
    of the lowest tier."""
    soft_limit: bool = False
    """The import limit may be broken at the highest of prices, instead of by the base load alone."""


@dataclass(frozen=True)
class ChargeProblem:
    """One plan to make.

    Raises:
        ValueError: a number that is none, or a series of another length than the slots.
    """

    begin_at: datetime
    hours: Floats
    """Length of each slot: its real length, whatever the clock on the wall does."""
    site: Site
    stores: tuple[EnergyStore, ...]
    steady_h: float = 0.25
    """Up to here slots become set-points, so a charger's least power counts; later ones are means, in which a charger
    may be on for a part."""
    tier_weights: tuple[float, float, float, float] = (1000.0, 100.0, 30.0, 3.0)
    """Price of a kWh short in each tier, times the highest price at which energy could be bought instead."""

    def __post_init__(self) -> None:
        check_problem(self)

    @property
    def starts_h(self) -> Floats:
        """Begin of each slot."""
        return np.cumsum(self.hours) - self.hours

    @property
    def ends_h(self) -> Floats:
        """End of each slot."""
        return np.cumsum(self.hours)

    @property
    def price_scale(self) -> float:
        """The highest price that a kWh can have here, demand charge and losses in: above 0, so that no price turns a
        penalty into a reward."""
        prices = np.abs(self.site.import_yuan_per_kwh)
        highest = float(prices.max()) / max(1.0 - self.site.transformer_loss_share, 0.5)
        if self.site.export_yuan_per_kwh is not None:
            highest = max(highest, float(np.abs(self.site.export_yuan_per_kwh).max()))
        worst = min((s.ac_efficiency * s.efficiency for s in self.stores), default=1.0)
        end = max((abs(s.end_yuan_per_kwh) for s in self.stores), default=0.0)
        # A first slot may last seconds; nobody buys his energy in it alone, at the price of a peak for seconds.
        demand = self.site.demand_yuan_per_kw / max(float(self.hours.min()), LEAST_PEAK_H)
        return max(highest + demand, end, LEAST_PRICE) / worst


LEAST_PRICE = 0.01
"""Yuan per kWh: penalties are scaled from here where every price is 0."""
LEAST_PEAK_H = 5 / 60
"""So long at least energy is bought at a peak of power that a demand charge is paid for."""


def check_problem(problem: ChargeProblem) -> None:
    """All that is wrong with a problem, in one ValueError. Capacity 0 is a limit, not a missing number."""
    wrong = []
    hours, site = problem.hours, problem.site
    if problem.begin_at.utcoffset() is None:
        wrong.append(f"begin_at is {problem.begin_at.isoformat()}; it needs a time zone")
    if np.ndim(hours) != 1:
        raise ValueError(f"hours of the slots have {np.ndim(hours)} dimensions; they are one line")
    count = len(hours)
    if count == 0 or not (np.all(np.isfinite(hours)) and np.all(hours > 0)):
        wrong.append(f"hours of the slots are {hours!r}; each must be above 0, and there must be one")
    series = {
        "import_yuan_per_kwh": site.import_yuan_per_kwh,
        "base_kw": site.base_kw,
        "pv_kw": site.pv_kw,
        "import_limit_kw": site.import_limit_kw,
    }
    if site.export_yuan_per_kwh is not None:
        series["export_yuan_per_kwh"] = site.export_yuan_per_kwh
    if site.import_floor_kw is not None:
        series["import_floor_kw"] = site.import_floor_kw
    for name, values in series.items():
        if np.shape(values) != (count,):
            wrong.append(f"{name} has {np.shape(values)} values for {count} slots; it is one line")
        elif np.any(np.isnan(values)) or (name != "import_limit_kw" and not np.all(np.isfinite(values))):
            wrong.append(f"{name} holds a value that is not a number")
        elif name not in ("import_yuan_per_kwh", "export_yuan_per_kwh") and np.any(values < 0):
            wrong.append(f"{name} is {float(values.min()):g} kW; it must be 0 or more")
    for name, value, most in (
        ("export_limit_kw", site.export_limit_kw, inf),
        ("chargers_kw", site.chargers_kw, inf),
        ("demand_yuan_per_kw", site.demand_yuan_per_kw, MOST),
        ("demand_floor_kw", site.demand_floor_kw, MOST),
        ("steady_h", problem.steady_h, inf),
    ):
        if not 0 <= value <= most:
            wrong.append(f"{name} is {value}; it must be 0 or more{'' if most == inf else ' and finite'}")
    weights = problem.tier_weights
    if not (all(0 < weight <= MOST for weight in weights) and list(weights) == sorted(weights, reverse=True)):
        wrong.append(f"tier_weights are {weights}; each must be above 0, none above the one before")
    if not 0 <= site.transformer_loss_share < 0.5:
        wrong.append(f"transformer_loss_share is {site.transformer_loss_share}; it must be 0 … 0.5")
    for store in problem.stores:
        wrong += [f"store {store.name}: {line}" for line in _wrong_in(store, count)]
    if wrong:
        raise ValueError("; ".join(wrong))


MOST = 1e12
"""No price, power, energy or weight is above."""


def _wrong_in(store: EnergyStore, slots: int) -> list[str]:
    wrong = []
    finite = {
        "energy_kwh": store.energy_kwh,
        "most_kwh": store.most_kwh,
        "least_kwh": store.least_kwh,
        "charge_kw": store.charge_kw,
        "discharge_kw": store.discharge_kw,
        "min_charge_kw": store.min_charge_kw,
        "from_h": store.from_h,
    }
    wrong += [
        f"{name} is {value}; it must be 0 or more and finite"
        for name, value in finite.items()
        if not 0 <= value <= MOST
    ]
    shares = {
        "efficiency": store.efficiency,
        "efficiency_out": store.efficiency_out,
        "ac_efficiency": store.ac_efficiency,
    }
    wrong += [
        f"{name} is {value}; it must be above 0, at most 1" for name, value in shares.items() if not 0 < value <= 1
    ]
    if not store.high_kwh >= 0:
        wrong.append(f"high_kwh is {store.high_kwh}; it must be 0 or more")
    if store.least_kwh > store.most_kwh:
        wrong.append(f"least_kwh is {store.least_kwh}, above most_kwh {store.most_kwh}")
    asked = store.asked_kw
    if asked is not None and not (np.shape(asked) == (slots,) and np.all((asked >= 0) & (asked <= MOST))):
        wrong.append(f"asked_kw is {asked!r}; it must be 0 or more in each of {slots} slots")
    if not store.until_h >= store.from_h:
        wrong.append(f"until_h is {store.until_h}, before from_h {store.from_h}")
    if not all(isfinite(x) for x in (store.end_yuan_per_kwh, store.wear_yuan_per_kwh)):
        wrong.append("a price is not a number")
    if store.wear_yuan_per_kwh < 0:
        wrong.append(f"wear_yuan_per_kwh is {store.wear_yuan_per_kwh}; it must be 0 or more")
    for goal in store.goals:
        if not (0 <= goal.kwh < inf and store.from_h <= goal.at_h < inf):
            wrong.append(f"goal of {goal.kwh} kWh at {goal.at_h} h; energy 0 or more, from {store.from_h} h on")
    return wrong
