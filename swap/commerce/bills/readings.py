"""What a bill rests on, read from the rows and the journal of one station."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import col, select

from swap.commerce.bills.pricing import PricedSwap, UnitPrice, energy_price, price_swap
from swap.commerce.bills.quantity import ChargeReading, Meter, SeatEnergy
from swap.commerce.bills.terms import WAITS_FOR_CHARGING, EnergyPrice, Measure, SwapTerms
from swap.config.prices import StationPrices, read_prices
from swap.messages.commerce import PricesSet
from swap.messages.packs import PackRead
from swap.places import local_name
from swap.station_db import StationDb
from swap.tables import ChargeSession, Pack, StationEvent, Swap, SwapSeat, VehicleRow


def to_decimal(value: float | None) -> Decimal | None:
    """The decimal that a stored number was written as: 262.26, not 262.2599999…"""
    return None if value is None else Decimal(repr(float(value)))


def fleet_of(db: StationDb, vehicle_id: str) -> str:
    """The fleet that a vehicle belongs to."""
    return db.get_one(VehicleRow, vehicle_id).fleet_id


def seat_energies(db: StationDb, swap_id: str, terms: SwapTerms, prices: StationPrices) -> tuple[SeatEnergy, ...]:
    """The readings of the seats that a swap exchanged, in seat order."""
    swap = db.get_one(Swap, swap_id)
    query = select(SwapSeat).where(SwapSeat.swap_id == swap_id, col(SwapSeat.exchanged).is_(True))
    result = []
    for seat in db.exec(query.order_by(col(SwapSeat.seat))):
        pack = db.get(Pack, seat.old_pack_id) if seat.old_pack_id else None
        before, after = _counters(db, swap, seat.old_pack_id) if terms.measure is Measure.BMS_COUNTER else (None, None)
        charged = charged_after(db, swap, seat.old_pack_id) if terms.measure in WAITS_FOR_CHARGING else ()
        result.append(
            SeatEnergy(
                seat=seat.seat,
                pack_id=seat.old_pack_id,
                rated_kwh=to_decimal(pack.rated_kwh) if pack else None,
                last_settled_soe_kwh=to_decimal(seat.last_settled_soe_kwh),
                returned_soe_kwh=to_decimal(seat.returned_soe_kwh),
                first_swap=not db.put_on_by_swap(swap, seat.old_pack_id),
                counter_before_kwh=before,
                counter_after_kwh=after,
                charged=tuple(charged),
                meters=meters_of(prices),
            )
        )
    return tuple(result)


def meters_of(prices: StationPrices) -> tuple[tuple[str, Meter], ...]:
    """The verified meters of a station, by bay."""
    return tuple(
        (meter.bay, Meter(meter.serial, meter.accuracy_class, meter.valid_until)) for meter in prices.billing.meters
    )


def measured(db: StationDb, swap_id: str, terms: SwapTerms, prices: StationPrices) -> bool:
    """Whether everything that the bill of a swap asks for has been read."""
    if terms.measure is Measure.SOE_DIFFERENCE:
        return all(seat.returned_soe_kwh is not None for seat in seat_energies(db, swap_id, terms, prices))
    if terms.measure is Measure.BMS_COUNTER:
        return all(seat.counter_after_kwh is not None for seat in seat_energies(db, swap_id, terms, prices))
    swap = db.get_one(Swap, swap_id)
    query = select(SwapSeat).where(SwapSeat.swap_id == swap_id, col(SwapSeat.exchanged).is_(True))
    return all(_charged_full(db, swap, seat.old_pack_id) for seat in db.exec(query))


def _counters(db: StationDb, swap: Swap, pack_id: str | None) -> tuple[Decimal | None, Decimal | None]:
    """The BMS counter at the swap before, which it keeps while it is charged, and at this one."""
    query = select(StationEvent).where(StationEvent.pack_id == pack_id, StationEvent.kind == PackRead.kind)
    found = []
    for event in db.exec(query.order_by(col(StationEvent.seq))):
        said = PackRead.read(event.data)
        if event.at >= swap.arrived_at and event.swap_id != swap.id:
            break
        if said.discharged_kwh is not None:
            found.append((event.swap_id, to_decimal(said.discharged_kwh)))
    if not found or found[-1][0] != swap.id:
        return None, None
    return (found[-2][1] if len(found) > 1 else None), found[-1][1]


def charge_reading(row: Any, bay: str) -> ChargeReading:
    """One charging that has ended, of its row."""
    return ChargeReading(
        row.id,
        bay,
        row.started_at,
        row.ended_at,
        to_decimal(row.start_energy_kwh) or Decimal(0),
        to_decimal(row.end_energy_kwh if row.end_energy_kwh is not None else row.start_energy_kwh) or Decimal(0),
        to_decimal(row.start_meter_kwh),
        to_decimal(row.end_meter_kwh),
    )


def _sessions(db: StationDb, pack_id: str | None) -> Sequence[ChargeSession]:
    query = select(ChargeSession).where(ChargeSession.pack_id == pack_id)
    return db.exec(query.order_by(col(ChargeSession.started_at), col(ChargeSession.id))).all()


def _next_use_at(db: StationDb, swap: Swap, pack_id: str | None) -> datetime | None:
    """When a later swap of this station took the pack into use again."""
    query = (
        select(Swap.dispatched_at)
        .join(SwapSeat, col(SwapSeat.swap_id) == Swap.id)
        .where(SwapSeat.new_pack_id == pack_id, col(SwapSeat.exchanged).is_(True), Swap.id != swap.id)
        .where(col(Swap.dispatched_at) > swap.arrived_at)
        .order_by(col(Swap.dispatched_at))
        .limit(1)
    )
    return db.exec(query).first()


def charged_after(db: StationDb, swap: Swap, pack_id: str | None) -> list[ChargeReading]:
    """The chargings of a pack between its return by a swap and its next use, those that have ended."""
    until_at = _next_use_at(db, swap, pack_id)
    return [
        charge_reading(row, local_name(row.station_id, row.bay_id))
        for row in _sessions(db, pack_id)
        if row.started_at >= swap.arrived_at
        and row.ended_at is not None
        and (until_at is None or row.started_at < until_at)
    ]


def _charged_full(db: StationDb, swap: Swap, pack_id: str | None) -> bool:
    """Whether the pack given back has been charged: it is ready, or in use again."""
    if _next_use_at(db, swap, pack_id) is not None:
        return True
    pack = db.get(Pack, pack_id) if pack_id else None
    charged = charged_after(db, swap, pack_id)
    return bool(charged) and pack is not None and pack.state in ("ready", "reserved", "picked")


def prices_by_time(db: StationDb) -> list[tuple[datetime, StationPrices]]:
    """Every set of prices that the station has had, in order, with the instant of its event."""
    return [(row.at, read_prices(row.seq, PricesSet.read(row.data))) for row in db.events(PricesSet)]


def prices_of_time(known: Sequence[tuple[datetime, StationPrices]], at: datetime) -> StationPrices:
    """The prices in force at an instant; the first ones for what is older."""
    found = known[0][1]
    for since_at, prices in known:
        if since_at <= at:
            found = prices
    return found


def energy_prices(
    db: StationDb,
    seats: Sequence[SeatEnergy],
    terms: SwapTerms,
    prices: StationPrices,
    at: datetime,
    before_at: datetime,
) -> tuple[UnitPrice, ...]:
    """The price of a kWh for each seat.

    Args:
        at: completion of the swap.
        before_at: the truck's arrival: what was charged into its packs until then is what it has used.
    """
    if terms.energy_price is not EnergyPrice.MOVING_AVERAGE:
        return (energy_price(terms, prices, at),) * len(seats)
    known = prices_by_time(db)
    return tuple(
        energy_price(
            terms,
            prices,
            at,
            [
                (charge_reading(row, local_name(row.station_id, row.bay_id)), prices_of_time(known, row.started_at))
                for row in _sessions(db, seat.pack_id)
                if row.ended_at is not None and row.started_at < before_at
            ],
        )
        for seat in seats
    )


def priced(db: StationDb, swap_id: str, terms: SwapTerms, prices: StationPrices, at: datetime) -> PricedSwap:
    """A completed swap with its lines, by what is on record."""
    seats = seat_energies(db, swap_id, terms, prices)
    swap = db.get_one(Swap, swap_id)
    return price_swap(seats, energy_prices(db, seats, terms, prices, at, swap.arrived_at), terms, prices, at)
