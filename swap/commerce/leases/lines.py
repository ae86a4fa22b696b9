"""Lines of a rent: quantity × unit price × factors, rounded half up to the fen, each by itself. Pure and exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import floor

from swap.commerce.leases.periods import Days

KINDS = {
    "rent": "rent",
    "overage": "rent",
    "fee": "service",
    "distance": "rent",
    "per_swap": "service",
    "energy": "electricity",
    "tonnage": "rent",
    "engine_hours": "rent",
    "deposit": "deposit",
    "damage": "compensation",
    "buy_out": "rent",
    "early_end": "compensation",
    "occupancy": "rent",
    "stranding": "service",
}
"""Kind of a charge, and its tax category; deposits and compensations carry no tax (assumed)."""


def rounded(value: Fraction, step: Fraction = Fraction(1)) -> Fraction:
    """The nearest multiple of a step, halves away from zero."""
    scaled = abs(value) / step
    whole = floor(scaled + Fraction(1, 2)) * step
    return whole if value >= 0 else -whole


def decimal_of(value: Fraction, places: int) -> Decimal:
    """A multiple of 10^-places as a decimal. Raises ValueError for what is none."""
    scaled = value * 10**places
    if scaled.denominator != 1:
        raise ValueError(f"{value} has more than {places} decimals")
    return Decimal(scaled.numerator).scaleb(-places)


def hundredths(value: Fraction) -> Decimal:
    """A quantity in hundredths of its unit, half up."""
    return decimal_of(rounded(value, Fraction(1, 100)), 2)


def fen_of(quantity: Decimal, price_yuan: Decimal, factors: Mapping[str, Fraction]) -> int:
    """Quantity × price × factors in fen, half up."""
    exact = Fraction(quantity) * Fraction(price_yuan) * 100
    for factor in factors.values():
        exact *= factor
    return int(rounded(exact))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a period's rent."""

    component: str
    part: str
    """Of the component: `floor`, `overage`, `step2`; empty where it has one."""
    kind: str
    """Kind of the charge, one of `KINDS`."""
    version: int
    days: Days
    quantity: Decimal
    unit: str
    unit_price_yuan: Decimal
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    run: int = 1
    """Which stretch of equal terms within the period, from 1."""
    vehicle_id: str | None = None
    pack_id: str | None = None
    basis: Mapping[str, str] = field(default_factory=dict)
    """What the quantity was made of."""
    span: tuple[datetime, datetime] | None = None

    @property
    def amount_fen(self) -> int:
        """Rounded half up."""
        return fen_of(self.quantity, self.unit_price_yuan, self.factors)

    @property
    def group(self) -> str:
        """What it is for, whatever version it is charged by: corrections are the difference of a group."""
        return "/".join((self.component, self.part, self.vehicle_id or "", self.pack_id or ""))
