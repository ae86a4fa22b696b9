"""Cash flows of a station and what a board asks of them. Pure: numbers in, numbers out.

Flow 0 is the investment, flow n the end of year n. The formulas are those of any text on engineering economics: net
present value is the sum of flow n ÷ (1 + rate)^n, the internal rate of return a rate at which it is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sim.study.design import Bought

LEAST_RATE, MOST_RATE = -0.99, 100.0
"""Rates of return that are looked for, a year."""
NOTHING = 1e-12
"""Flows of less than this share of the largest are rounding."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a station does in a year."""

    swaps: float
    kwh: float
    """Handed over to trucks."""
    energy_yuan: float
    """Paid for electricity."""


@dataclass(frozen=True, slots=True)
class CashPlan:
    """What makes the flows beside what is served."""

    years: int
    discount: float
    bought: tuple[Bought, ...]
    fixed_yuan: float
    """Pay and capacity charge of a year."""
    swap_factors: tuple[float, ...]
    """Swaps of each year relative to `Served`."""
    kwh_factors: tuple[float, ...]
    """Energy of each year relative to `Served`."""
    yuan_per_swap: float = 0.0
    yuan_per_kwh: float = 0.0
    other_yuan: tuple[float, ...] = ()
    """Rents and other income of each year; empty: none."""
    subsidies: tuple[tuple[int, float], ...] = ()
    """Year and yuan; years beyond the last are not reckoned."""
    residual_share: float = 0.0

    @property
    def investment_yuan(self) -> float:
        """What the equipment costs to buy."""
        return sum(part.yuan for part in self.bought)

    def revenue_yuan(self, served: Served, year: int) -> float:
        """What is earned in a year, 1 first; subsidies are not earned."""
        at = year - 1
        swaps, kwh = served.swaps * self.swap_factors[at], served.kwh * self.kwh_factors[at]
        return self.yuan_per_swap * swaps + self.yuan_per_kwh * kwh + (self.other_yuan[at] if self.other_yuan else 0.0)

    def flows(self, served: Served) -> tuple[float, ...]:
        """Cash flows by year, the investment first."""
        found = [-self.investment_yuan]
        for year in range(1, self.years + 1):
            energy_yuan = served.energy_yuan * self.kwh_factors[year - 1]
            found.append(self.revenue_yuan(served, year) - energy_yuan - self.fixed_yuan)
        for part in self.bought:
            for year in part.replaced_in(self.years):
                found[year] -= part.yuan
            found[self.years] += self.residual_share * part.book_yuan(self.years)
        for year, yuan in self.subsidies:
            if year <= self.years:
                found[year] += yuan
        return tuple(found)


def present_value(flows: Sequence[float], rate: float) -> float:
    """Net present value at a rate above -1."""
    return sum(flow / (1 + rate) ** year for year, flow in enumerate(flows))


def rates_of_return(flows: Sequence[float]) -> tuple[float, ...]:
    """Every rate between `LEAST_RATE` and `MOST_RATE` at which the present value is 0, rising.

    None: flows that never pay back, or cost nothing. Several: with more than one change of sign (a replacement in the
    middle) the internal rate of return may not be unique, and then says nothing.
    """
    signs = [flow > 0 for flow in flows if flow != 0]
    changes = sum(one != other for one, other in pairwise(signs))
    if changes == 0:
        return ()
    if changes == 1:  # one root at most (Descartes), found for certain
        rate = _bracketed(flows)
        return () if rate is None else (rate,)
    # The roots of a polynomial in 1 / (1 + rate); those that are real for rounding's sake are polished.
    scale = max(abs(flow) for flow in flows)
    coefficients = [flow / scale if abs(flow) > NOTHING * scale else 0.0 for flow in reversed(flows)]
    found: list[float] = []
    for root in np.roots(coefficients):
        if abs(root.imag) > 1e-5 * max(abs(root), 1.0) or root.real <= 0:
            continue
        rate = _polished(flows, 1 / float(root.real) - 1)
        if rate is not None and all(abs(rate - other) > 1e-5 for other in found):
            found.append(rate)
    return tuple(sorted(found))


def _bracketed(flows: Sequence[float]) -> float | None:
    """The only root, by halving the range; None where it lies beyond."""
    low, high = LEAST_RATE, MOST_RATE
    sign = present_value(flows, low) > 0
    if (present_value(flows, high) > 0) is sign:
        return None
    while high - low > 1e-13 * max(1.0, abs(low)):
        middle = (low + high) / 2
        if (present_value(flows, middle) > 0) is sign:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _polished(flows: Sequence[float], rate: float) -> float | None:
    """The root near a rate, by Newton's steps; None where there is none in the range."""
    scale = max(abs(flow) for flow in flows)
    for _ in range(50):
        if not LEAST_RATE <= rate <= MOST_RATE:
            return None
        slope = sum(-year * flow / (1 + rate) ** (year + 1) for year, flow in enumerate(flows))
        value = present_value(flows, rate)
        if abs(value) <= 1e-12 * scale or slope == 0:
            break
        rate -= value / slope
    return rate if LEAST_RATE <= rate <= MOST_RATE and abs(present_value(flows, rate)) <= 1e-6 * scale else None


def payback_years(flows: Sequence[float], rate: float = 0.0) -> float | None:
    """After how many years the sum of the flows is 0 or more and stays so; discounted where a rate is given.

    Within a year the flow counts as even. None: not within the years. A replacement that brings the sum below 0 again
    counts as not yet paid back.
    """
    sums = np.cumsum([flow / (1 + rate) ** year for year, flow in enumerate(flows)])
    if sums[-1] < 0:
        return None
    below = np.flatnonzero(sums < 0)
    if not below.size:
        return 0.0
    last = int(below[-1])
    return last + float(-sums[last] / (sums[last + 1] - sums[last]))
