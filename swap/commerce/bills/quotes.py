"""What a swap would cost, by the rules of its bill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import col, select

from swap.commerce.bills.money import BASIS_POINT, CENTI_KWH, UNIT_PRICE, to_decimal
from swap.commerce.bills.pricing import PricedLine, energy_price, price_swap
from swap.commerce.bills.quantity import SeatEnergy
from swap.commerce.bills.readings import energy_prices, prices_by_time, prices_of_time
from swap.commerce.bills.record import RowRecord
from swap.commerce.bills.records import Quote, QuoteLine, ShownPrice, ShownPrices
from swap.commerce.bills.terms import BillingTerms, EnergyPrice, Measure, SwapAsked, station_terms
from swap.commerce.charges import half_up
from swap.config.prices import NoPrices, StationPrices
from swap.errors import InvalidInput, NotFound
from swap.station_db import StationDb
from swap.tables import Pack, VehicleRow
from swap.words import N_


def quote(
    db: StationDb,
    source: BillingTerms,
    *,
    vehicle_id: str,
    at: datetime,
    returned_soe_kwh: Sequence[Decimal] = (),
    energy_kwh: Sequence[Decimal] = (),
) -> Quote:
    """What a swap of a vehicle, completed at an instant, would cost.

    Args:
        returned_soe_kwh: energy of each pack when it is taken off, in seat order; what the record knows now where none
            is given.
        energy_kwh: the quantity of each seat, in place of readings.

    Raises:
        NotFound: no such vehicle.
        InvalidInput: not one reading for each pack on the vehicle, or one that is no energy of it.
        NoPrices: the station's journal tells of no prices.
    """
    vehicle = db.get(VehicleRow, vehicle_id)
    if vehicle is None:
        raise NotFound("vehicle", vehicle_id)
    packs = db.exec(select(Pack).where(Pack.vehicle_id == vehicle_id).order_by(col(Pack.seat))).all()
    known = prices_by_time(db)
    if not known:
        raise NoPrices(f"the journal of station {db.station_id} tells of no prices; start the station once")
    prices = prices_of_time(known, at)
    terms = source.terms(db, SwapAsked(vehicle_id, vehicle.fleet_id, prices, at))
    given = {"returned_soe_kwh": returned_soe_kwh, "energy_kwh": energy_kwh}
    for name, values in given.items():
        if values and len(values) != len(packs):
            raise InvalidInput(
                name, [str(value) for value in values], N_("{count} values: one for each pack"), count=len(packs)
            )
        for value, pack in zip(values, packs, strict=False):
            if not value.is_finite() or not 0 <= value <= Decimal(repr(pack.rated_kwh)):
                raise InvalidInput(name, str(value), "0…{limit_kwh} kWh", limit_kwh=pack.rated_kwh)
    seats = []
    for n, pack in enumerate(packs):
        lsoe, usoe, rated = to_decimal(pack.settled_soe_kwh), to_decimal(pack.energy_kwh), to_decimal(pack.rated_kwh)
        if returned_soe_kwh:
            usoe = returned_soe_kwh[n]
        if energy_kwh:
            lsoe, usoe = half_up(energy_kwh[n], CENTI_KWH), Decimal(0)
        seats.append(SeatEnergy(pack.seat or n + 1, pack.id, rated, lsoe, usoe))
    by_difference = replace(terms, measure=Measure.SOE_DIFFERENCE)
    costs = energy_prices(RowRecord(db), seats, terms, prices, at, at)
    priced = price_swap(seats, costs, by_difference, prices, at)
    exact = bool(energy_kwh) or (terms.measure is Measure.SOE_DIFFERENCE and bool(returned_soe_kwh))
    return Quote(
        station_id=db.station_id,
        vehicle_id=vehicle_id,
        at=at,
        measure=terms.measure,
        energy_price=terms.energy_price,
        tariff_period=prices.tariff.period_at(at),
        estimated=not exact,
        lines=tuple(_line(line) for line in priced.lines),
        total_yuan=priced.total_yuan,
        flags=priced.flags,
        contract_id=terms.contract_id,
        contract_version=terms.contract_version,
    )


SHOWN = timedelta(hours=24)
"""How far ahead prices are shown."""


def shown_prices(station_id: str, prices: StationPrices, at: datetime) -> ShownPrices:
    """What a station asks for a kWh from an instant on, by the rules of its bills. Pure."""
    terms = station_terms(prices, "")
    parts = []
    for part in prices.tariff.slices(at, at + SHOWN):
        energy = None if terms.energy_price is EnergyPrice.MOVING_AVERAGE else energy_price(terms, prices, part.from_at)
        parts.append(
            ShownPrice(
                from_at=part.from_at,
                until_at=part.until_at,
                tariff_period=part.period,
                electricity_yuan_per_kwh=None if energy is None else energy.yuan,
                service_yuan_per_kwh=half_up(terms.service_price_yuan, UNIT_PRICE),
            )
        )
    return ShownPrices(
        station_id=station_id,
        at=at,
        energy_price=terms.energy_price,
        electricity_tax_included=terms.energy.tax_included,
        electricity_tax_rate=half_up(terms.energy.tax_rate, BASIS_POINT),
        service_tax_included=terms.service.tax_included,
        service_tax_rate=half_up(terms.service.tax_rate, BASIS_POINT),
        prices=tuple(parts),
    )


def _line(line: PricedLine) -> QuoteLine:
    return QuoteLine(
        kind="energy" if line.kind == "energy" else "service",
        seat=line.seat,
        pack_id=line.pack_id,
        energy_kwh=line.energy_kwh,
        unit_price_yuan_per_kwh=line.unit_price_yuan,
        amount_yuan=line.amount_yuan,
        seller_id=line.sale.seller_id,
        buyer_id=line.sale.buyer_id,
        sale=line.sale.sale,
        for_id=line.sale.for_id,
        tax_included=line.sale.tax_included,
        tax_category=line.sale.tax_category,
        tax_rate=half_up(line.sale.tax_rate, BASIS_POINT),
        tax_yuan=line.tax.tax_yuan,
        gross_yuan=line.tax.gross_yuan,
    )
