"""How a station bills its swaps: what is measured, at which price, who sells, with which tax, and who shares in it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from scheduler.sections import Identifier, Section

Price = Annotated[Decimal, Field(ge=0, le=10, decimal_places=4)]
Rate = Annotated[Decimal, Field(ge=0, le=1, decimal_places=4)]


class SaleSection(Section):
    """Who sells a kind of line to whom, and its tax."""

    seller: Identifier | None = None
    """Firm that sells and invoices; None: the operator of the station."""
    collected_for: Identifier | None = None
    """Firm for which the seller only collects (代收); None: the seller's own sale (自营)."""
    tax_included: bool = True
    """The price has the tax in (含税)."""


class ElectricitySection(SaleSection):
    """How electricity is sold."""

    tax_category: str = Field(default="electricity", min_length=1, max_length=32)
    """Category of tax."""
    tax_rate: Rate = Decimal("0.13")
    """Rate; 0.13 is assumed, ask your accountant."""


class ServiceSection(SaleSection):
    """How the service of the swap is sold."""

    tax_category: str = Field(default="service", min_length=1, max_length=32)
    """Category of tax."""
    tax_rate: Rate = Decimal("0.06")
    """Rate; 0.06 is assumed, ask your accountant."""


class VerifiedMeterSection(Section):
    """The verified meter of a bay, as its certificate says."""

    bay: Identifier
    """Bay whose charger it measures."""
    serial: str = Field(min_length=1, max_length=64)
    """Serial number."""
    accuracy_class: str = Field(min_length=1, max_length=16)
    """Accuracy class, such as `0.5` or `B`."""
    valid_until: date
    """Last day of the verification (检定); bills of later swaps are flagged."""


class ShareSection(Section):
    """What one firm gets of the seller's income. The customer's bill knows nothing of it."""

    of: Literal["energy", "service"]
    """Kind of the lines whose income is shared."""
    party: Identifier
    """The firm."""
    share: Rate
    """Its part; the shares of one kind sum to 1."""
    takes_rest: bool = False
    """It gets what rounding leaves over; exactly one firm does."""


class BillingSection(Section):
    """How a swap is billed (standards.md 8.3)."""

    basis: Literal["soe_difference", "bms_counter", "charged_energy", "verified_meter"] = "soe_difference"
    """What is billed: energy at hand-over − energy at return; the BMS counter over the same time; the energy charged
    into the pack given back; or the same by the verified meter of the bay. A contract may say otherwise."""
    energy_price: Literal["tariff_at_swap", "flat", "moving_average"] = "tariff_at_swap"
    """Price of a kWh: the tariff of the instant of the swap; `flat_price_yuan_per_kwh`; or what the charging of that
    pack has cost on average, losses in."""
    flat_price_yuan_per_kwh: Price | None = None
    """The price with `energy_price = "flat"`."""
    service_price_yuan_per_kwh: Price = Decimal("0.40")
    """Service fee on the energy billed."""
    soe_tolerance_kwh: Decimal = Field(default=Decimal("0.05"), ge=0, le=5, decimal_places=3)
    """Energy by which two readings may contradict each other by rounding alone; assumed half a step of 0.1 kWh. A pack
    that returns with so much more, or has given so much more than it is rated for, is billed without a flag."""
    reading_wait_s: float = Field(default=600.0, ge=0, le=86_400)
    """How long a bill waits for the reading of the pack given back; then it is issued with 0 kWh and flagged."""
    charging_wait_s: float = Field(default=86_400.0, ge=0, le=604_800)
    """The same for the charging of the pack given back, where that is billed."""
    electricity: ElectricitySection = ElectricitySection()
    """How electricity is sold."""
    service: ServiceSection = ServiceSection()
    """How the service is sold."""
    meters: tuple[VerifiedMeterSection, ...] = ()
    """Verified meters of the bays."""
    shares: tuple[ShareSection, ...] = ()
    """Who shares in the seller's income; with none nothing is shared."""
