"""What a bill rests on: the rules by which it is read from what is on record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from swap.commerce.bills.money import to_decimal
from swap.commerce.bills.pricing import PricedSwap, UnitPrice, energy_price, price_swap
from swap.commerce.bills.quantity import ChargeReading, Meter, SeatEnergy
from swap.commerce.bills.record import BillingRecord, SwapOnRecord
from swap.commerce.bills.terms import WAITS_FOR_CHARGING, EnergyPrice, Measure, SwapTerms
from swap.config.prices import StationPrices, read_prices
from swap.messages.commerce import PricesSet
from swap.station_db import StationDb


def seat_energies(
    record: BillingRecord, swap: SwapOnRecord, terms: SwapTerms, prices: StationPrices
) -> tuple[SeatEnergy, ...]:
    """The readings of the seats that a swap exchanged, in seat order."""
    result = []
    for seat in swap.seats:
        before, after = (None, None)
        if terms.measure is Measure.BMS_COUNTER:
            before, after = _counters(record, swap, seat.pack_id)
        charged = charged_after(record, swap, seat.pack_id) if terms.measure in WAITS_FOR_CHARGING else ()
        result.append(
            SeatEnergy(
                seat=seat.seat,
                pack_id=seat.pack_id,
                rated_kwh=to_decimal(seat.rated_kwh),
                last_settled_soe_kwh=to_decimal(seat.last_settled_soe_kwh),
                returned_soe_kwh=to_decimal(seat.returned_soe_kwh),
                first_swap=not seat.put_on_by_swap,
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


def measured(record: BillingRecord, swap: SwapOnRecord, terms: SwapTerms) -> bool:
    """Whether everything that the bill of a swap asks for has been read."""
    if terms.measure is Measure.SOE_DIFFERENCE:
        return all(seat.returned_soe_kwh is not None for seat in swap.seats)
    if terms.measure is Measure.BMS_COUNTER:
        return all(_counters(record, swap, seat.pack_id)[1] is not None for seat in swap.seats)
    return all(_charged_full(record, swap, seat.pack_id) for seat in swap.seats)


def _counters(record: BillingRecord, swap: SwapOnRecord, pack_id: str | None) -> tuple[Decimal | None, Decimal | None]:
    """The BMS counter at the swap before, which it keeps while it is charged, and at this one."""
    found = []
    for read in record.counters(pack_id):
        if read.at >= swap.arrived_at and read.swap_id != swap.swap_id:
            break
        if read.discharged_kwh is not None:
            found.append((read.swap_id, to_decimal(read.discharged_kwh)))
    if not found or found[-1][0] != swap.swap_id:
        return None, None
    return (found[-2][1] if len(found) > 1 else None), found[-1][1]


def charged_after(record: BillingRecord, swap: SwapOnRecord, pack_id: str | None) -> list[ChargeReading]:
    """The chargings of a pack between its return by a swap and its next use, those that have ended."""
    until_at = record.used_again_at(swap, pack_id)
    return [
        one
        for one in record.charges(pack_id)
        if one.started_at >= swap.arrived_at and (until_at is None or one.started_at < until_at)
    ]


def _charged_full(record: BillingRecord, swap: SwapOnRecord, pack_id: str | None) -> bool:
    """Whether the pack given back has been charged: it is ready, or in use again."""
    if record.used_again_at(swap, pack_id) is not None:
        return True
    return bool(charged_after(record, swap, pack_id)) and record.is_charged(pack_id)


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
    record: BillingRecord,
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
    known = prices_by_time(record.db)
    return tuple(
        energy_price(
            terms,
            prices,
            at,
            [
                (one, prices_of_time(known, one.started_at))
                for one in record.charges(seat.pack_id)
                if one.started_at < before_at
            ],
        )
        for seat in seats
    )


def priced(
    record: BillingRecord, swap: SwapOnRecord, terms: SwapTerms, prices: StationPrices, at: datetime
) -> PricedSwap:
    """A completed swap with its lines, by what is on record."""
    seats = seat_energies(record, swap, terms, prices)
    return price_swap(seats, energy_prices(record, seats, terms, prices, at, swap.arrived_at), terms, prices, at)
