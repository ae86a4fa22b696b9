"""Tariff and charging sections of the station file."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from scheduler.sections import Section
from scheduler.types import Plan

Soc = Annotated[float, Field(ge=0, le=100)]


Price = Annotated[Decimal, Field(ge=0, le=10, decimal_places=4)]
"""Yuan per kWh to 0.0001."""


class MonthPrice(Section):
    """The two parts of the price as published for one month."""

    energy_price_yuan_per_kwh: Price
    """Energy price of the month at the flat ratio."""
    adders_yuan_per_kwh: Price
    """Fixed adders of the month: grid fee, funds."""


class TariffSection(Section):
    """Where prices come from: a period table and the two parts of the price.

    price(t) = energy price × ratio of the period + fixed adders (Shanxi notice 晋发改商品发〔2026〕15号).
    The flat price is published monthly by the grid company and is not in any public table: set it.
    """

    profile: str = "shanxi_2026"
    """Name of a shipped period table (shanxi_2026, shanxi_2021, flat) or path of a TOML file."""
    energy_price_yuan_per_kwh: Price = Decimal("0.38")
    """Energy price at the flat ratio."""
    adders_yuan_per_kwh: Price = Decimal("0.17")
    """Fixed adders, the same in every period."""
    months: dict[Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")], MonthPrice] = Field(
        default_factory=dict
    )
    """Prices of single months, by local month such as "2026-09"; they replace the two above."""
    holidays: tuple[date, ...] = ()
    """Deep-valley days. For every year named here they replace the days of the profile."""


class ChargingSection(Section):
    """Station-wide charging policy; see `scheduler.types.ChargingPolicy` for the meaning of each field."""

    offer_soc_pct: Soc = 90.0
    """A pack with at least this may be handed out."""
    target_soc_pct: Soc = 95.0
    """Charging stops here."""
    max_power_kw: float | None = Field(default=None, gt=0, le=100_000)
    """Most that all chargers together may put out; None leaves it to the grid limit and the chargers."""
    min_setpoint_kw: float = Field(default=5.0, ge=0, le=100)
    """Chargers do not run below this; less is 0."""
    sharing: Literal["order", "equal"] = "order"
    """A short budget: "order" fills pack after pack, "equal" gives each the same."""
    tariff_aware: bool = True
    """Hold back in dear hours while enough packs are ready."""
    reserve_ready: int = Field(default=3, ge=0, le=99)
    """Packs of each kind that stay ready before dear hours hold back."""
    plan: Plan = "rule"
    """Who guides charging through the hours of a day: the price rule, or the optimiser (extra `optimal`)."""
    cycle_s: float = Field(default=5.0, gt=0, le=300)
    """How often the plan is made anew (station seconds)."""
