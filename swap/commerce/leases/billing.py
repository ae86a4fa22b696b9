"""How the contract of a vehicle has its swaps billed, and what it says of its bookings.

A swap is billed by the contract as it was known at its completion. So a bill made late is the bill that would have
been made at once, and equals the price displayed then; what is agreed later for days past comes as a correction.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from sqlmodel import col, select

from swap.commerce.bills.terms import SaleTerms, SwapAsked, SwapTerms, station_terms
from swap.commerce.leases.contracts import contracts_of_vehicle, lease_from
from swap.commerce.leases.lease import LeaseHistory, Version
from swap.commerce.leases.periods import day_of
from swap.commerce.leases.terms import LeaseTerms
from swap.commerce_db import AnyDb
from swap.config.prices import StationPrices
from swap.station_db import StationDb
from swap.tables import LeaseEvent, LeaseVersion


class ContractTerms:
    """`BillingTerms` by lease contracts; those of the station for vehicles without one that counts there."""

    def terms(self, db: StationDb, asked: SwapAsked) -> SwapTerms:
        """The terms of a vehicle's swap at this station."""
        found = counting(db, asked.vehicle_id, db.station_id, asked.at, asked.known_at)
        if found is None:
            return station_terms(asked.prices, asked.fleet_id)
        contract_id, version = found
        return by_contract(asked.prices, contract_id, version.number, version.terms)


def counting(
    db: AnyDb, vehicle_id: str, station_id: str, at: datetime, known_at: datetime | None = None
) -> tuple[str, Version] | None:
    """The contract that counts for a vehicle at a station at an instant, and its version, by what was known then.

    Args:
        known_at: by what was known at this instant instead.
    """
    known_at = at if known_at is None else known_at
    for contract_id in contracts_of_vehicle(db, vehicle_id):
        versions = db.exec(
            select(LeaseVersion).where(LeaseVersion.contract_id == contract_id, col(LeaseVersion.made_at) <= known_at)
        ).all()
        if not versions:
            continue
        events = db.exec(
            select(LeaseEvent).where(LeaseEvent.contract_id == contract_id, col(LeaseEvent.at) <= known_at)
        )
        version = counts(lease_from(contract_id, versions, events), vehicle_id, station_id, at)
        if version is not None:
            return contract_id, version
    return None


def counts(lease: LeaseHistory, vehicle_id: str, station_id: str, at: datetime) -> Version | None:
    """The version by which a contract counts for a vehicle at a station at an instant; None where it does not. Pure."""
    day = day_of(at, lease.terms.tz)
    version = lease.version_of(day)
    if version is None or not lease.covers(vehicle_id, day) or station_id not in version.terms.stations:
        return None
    return version


def by_contract(prices: StationPrices, contract_id: str, version: int, terms: LeaseTerms) -> SwapTerms:
    """What a version of a contract says of a swap, over what its station says. Pure."""
    own, base = terms.swaps, station_terms(prices, terms.swap_payer_id)

    def sale(said: SaleTerms, tax_rate: Decimal | None) -> SaleTerms:
        return said if tax_rate is None else replace(said, tax_rate=tax_rate)

    return replace(
        base,
        measure=own.measure or base.measure,
        energy_price=own.energy_price or base.energy_price,
        flat_price_yuan=base.flat_price_yuan if own.energy_price is None else own.flat_yuan_per_kwh,
        service_price_yuan=(base.service_price_yuan if own.service_yuan_per_kwh is None else own.service_yuan_per_kwh),
        energy=sale(base.energy, own.electricity_tax_rate),
        service=sale(base.service, own.service_tax_rate),
        contract_id=contract_id,
        contract_version=version,
    )
