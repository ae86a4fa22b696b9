"""What a swap is billed by: which measure, which price, who sells to whom, which tax.

The station file says it for everybody; a contract may say otherwise for a vehicle, through `BillingTerms`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from swap.commerce.charges import Sale
from swap.config.billing_section import ElectricitySection, ServiceSection
from swap.config.prices import StationPrices
from swap.station_db import StationDb


class Measure(StrEnum):
    """What the quantity of a bill is read from."""

    SOE_DIFFERENCE = "soe_difference"
    """lsoe − usoe by the BMS."""
    BMS_COUNTER = "bms_counter"
    """Counter of energy given, at removal − at installation."""
    CHARGED_ENERGY = "charged_energy"
    """Energy charged into the pack given back, by its BMS."""
    VERIFIED_METER = "verified_meter"
    """The same by the verified meter of the bay."""


WAITS_FOR_CHARGING = (Measure.CHARGED_ENERGY, Measure.VERIFIED_METER)
"""Measures that are known only when the pack given back has been charged."""


class EnergyPrice(StrEnum):
    """Where the price of a kWh comes from."""

    TARIFF_AT_SWAP = "tariff_at_swap"
    FLAT = "flat"
    MOVING_AVERAGE = "moving_average"


@dataclass(frozen=True, slots=True)
class SaleTerms:
    """Who sells a line to whom, and its tax."""

    seller_id: str
    buyer_id: str
    sale: Sale
    for_id: str | None
    """The firm that it is collected for."""
    tax_category: str
    tax_rate: Decimal
    tax_included: bool


@dataclass(frozen=True, slots=True)
class SwapTerms:
    """How one swap is billed."""

    measure: Measure
    energy_price: EnergyPrice
    flat_price_yuan: Decimal | None
    """Of a kWh; given with `FLAT`."""
    service_price_yuan: Decimal
    """Of a kWh."""
    tolerance_kwh: Decimal
    """By which two readings may contradict each other by rounding."""
    energy: SaleTerms
    service: SaleTerms
    contract_id: str | None = None
    contract_version: int | None = None


@dataclass(frozen=True, slots=True)
class SwapAsked:
    """The swap whose terms are asked for."""

    vehicle_id: str
    fleet_id: str
    prices: StationPrices
    """What the station had when it was completed."""
    at: datetime
    """When it was completed."""
    known_at: datetime | None = None
    """By what had been agreed then; by what was known at the completion where none is given."""


class BillingTerms(Protocol):
    """Says how a swap is billed."""

    def terms(self, db: StationDb, asked: SwapAsked) -> SwapTerms:
        """The terms of a vehicle's swap at this station."""


@dataclass(frozen=True, slots=True)
class TermsKnown:
    """Terms as they had been agreed at an instant, whenever the swap was."""

    source: BillingTerms
    known_at: datetime

    def terms(self, db: StationDb, asked: SwapAsked) -> SwapTerms:
        """The terms of a swap, by what was known at that instant."""
        known_at = self.known_at if asked.known_at is None else asked.known_at
        return self.source.terms(db, replace(asked, known_at=known_at))


class StationTerms:
    """The terms of the station file, for vehicles without a contract that says otherwise."""

    def terms(self, db: StationDb, asked: SwapAsked) -> SwapTerms:
        """The terms of the station, at the instant of the prices."""
        return station_terms(asked.prices, asked.fleet_id)


def station_terms(prices: StationPrices, buyer_id: str) -> SwapTerms:
    """What the station file says for everybody."""
    billing = prices.billing
    return SwapTerms(
        Measure(billing.basis),
        EnergyPrice(billing.energy_price),
        billing.flat_price_yuan_per_kwh,
        billing.service_price_yuan_per_kwh,
        billing.soe_tolerance_kwh,
        _sale(billing.electricity, prices.operator_id, buyer_id),
        _sale(billing.service, prices.operator_id, buyer_id),
    )


def _sale(section: ElectricitySection | ServiceSection, operator_id: str, buyer_id: str) -> SaleTerms:
    """How the station file sells a kind of line."""
    return SaleTerms(
        section.seller or operator_id,
        buyer_id,
        Sale.OWN if section.collected_for is None else Sale.COLLECTED,
        section.collected_for,
        section.tax_category,
        section.tax_rate,
        section.tax_included,
    )
