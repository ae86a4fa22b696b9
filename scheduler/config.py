"""Tariff and charging sections of the station file."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Soc = Annotated[float, Field(ge=0, le=100)]


class TariffSection(BaseModel):
    """Where prices come from: a period table and the two parts of the price.

    price(t) = energy price × ratio of the period + fixed adders (Shanxi notice 晋发改商品发〔2026〕15号).
    The flat price is published monthly by the grid company and is not in any public table: set it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = "shanxi_2026"
    energy_price_yuan_per_kwh: Decimal = Field(default=Decimal("0.38"), ge=0, le=10)
    adders_yuan_per_kwh: Decimal = Field(default=Decimal("0.17"), ge=0, le=10)


class ChargingSection(BaseModel):
    """Station-wide charging policy; see `scheduler.types.ChargingPolicy` for the meaning of each field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    offer_soc_pct: Soc = 90.0
    target_soc_pct: Soc = 95.0
    max_power_kw: float | None = Field(default=None, gt=0, le=100_000)
    """Most the whole rack may draw; None leaves it to the grid limit and the chargers."""
    min_setpoint_kw: float = Field(default=5.0, ge=0, le=100)
    sharing: Literal["order", "equal"] = "order"
    tariff_aware: bool = True
    reserve_ready: int = Field(default=3, ge=0, le=99)
    cycle_s: float = Field(default=5.0, gt=0, le=300)
    """How often the plan is made anew (station seconds)."""
