"""What a swap costs: the price of a kWh by its terms, and the lines of a bill or a quote. Pure, in `Decimal`.

Quantity in 0.01 kWh, unit price in 0.0001 yuan, money in 0.01 yuan, each rounded half up; the total is the sum of the
rounded lines. Electricity and service are lines of their own, on a quote as on a bill (明码标价).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from scheduler.tariff import Tariff
from swap.commerce.bills.money import FEN, UNIT_PRICE, Taxed, taxed
from swap.commerce.bills.quantity import ChargeReading, Flag, SeatEnergy, billed_energy, worst_first
from swap.commerce.bills.terms import EnergyPrice, SaleTerms, SwapTerms
from swap.commerce.charges import half_up
from swap.config.prices import StationPrices

LEAST_KWH = Decimal("0.001")
"""A charging that has put in less than this tells nothing of what a kWh costs."""


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """The price of a kWh and why."""

    yuan: Decimal
    """To 0.0001."""
    period: str
    """Period of the tariff at the instant."""
    flags: tuple[Flag, ...]
    basis: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class PricedLine:
    """One line: quantity × unit price."""

    kind: str
    """energy or service."""
    seat: int
    pack_id: str | None
    energy_kwh: Decimal
    unit_price_yuan: Decimal
    amount_yuan: Decimal
    """With the tax where the price has it."""
    tax: Taxed
    sale: SaleTerms
    tariff_period: str
    basis: dict[str, str | None]
    """Raw values of quantity and price, as text."""


@dataclass(frozen=True, slots=True)
class PricedSwap:
    """All lines of a bill and what is owed by them."""

    lines: tuple[PricedLine, ...]
    total_yuan: Decimal
    """Gross."""
    flags: tuple[Flag, ...]


def charging_cost(charged: ChargeReading, tariff: Tariff, efficiency: Decimal) -> tuple[Decimal, Decimal]:
    """What one charging has put into the pack (kWh) and cost (yuan), losses in.

    The energy bought is that of the charger's meter, or without one the energy put in ÷ efficiency. It is taken as
    bought evenly over the time of charging: only both ends are on record.
    """
    gained_kwh = charged.end_kwh - charged.start_kwh
    start, end = charged.start_meter_kwh, charged.end_meter_kwh
    bought_kwh = end - start if start is not None and end is not None and end >= start else gained_kwh / efficiency
    whole_s = Decimal(str((charged.ended_at - charged.started_at).total_seconds()))
    if whole_s <= 0:
        return gained_kwh, bought_kwh * tariff.price_at(charged.started_at)
    cost_yuan = Decimal(0)
    for part in tariff.slices(charged.started_at, charged.ended_at):
        part_s = Decimal(str((part.until_at - part.from_at).total_seconds()))
        cost_yuan += bought_kwh * part_s / whole_s * tariff.price_at(part.from_at)
    return gained_kwh, cost_yuan


def moving_average(charges: Sequence[tuple[Decimal, Decimal, Decimal]]) -> Decimal | None:
    """Average cost of a kWh in a pack after some chargings, yuan; None where none tells it.

    Args:
        charges: in order: energy held at the beginning, energy put in (kWh), cost (yuan).
    """
    average: Decimal | None = None
    for held_kwh, gained_kwh, cost_yuan in charges:
        if gained_kwh < LEAST_KWH:
            continue
        held_kwh = max(held_kwh, Decimal(0))
        average = (
            cost_yuan / gained_kwh if average is None else (held_kwh * average + cost_yuan) / (held_kwh + gained_kwh)
        )
    return average


def energy_price(
    terms: SwapTerms, prices: StationPrices, at: datetime, charged: Sequence[tuple[ChargeReading, StationPrices]] = ()
) -> UnitPrice:
    """The price of a kWh of electricity.

    Args:
        at: completion of the swap.
        charged: every charging of the pack before the vehicle got it, with the prices of that time; asked for by the
            moving average only.
    """
    tariff = prices.tariff
    cost_yuan = tariff.price_at(at)
    energy_part, ratio, adders = tariff.parts_at(at)
    basis: dict[str, str | None] = {
        "price": terms.energy_price.value,
        "tariff": tariff.profile.name,
        "tariff_yuan": str(cost_yuan),
        "tariff_parts": f"{energy_part} × {ratio} + {adders}",
    }
    flags: list[Flag] = []
    yuan, by_tariff = cost_yuan, terms.energy_price is EnergyPrice.TARIFF_AT_SWAP
    if terms.energy_price is EnergyPrice.FLAT:
        assert terms.flat_price_yuan is not None
        yuan = terms.flat_price_yuan
    elif terms.energy_price is EnergyPrice.MOVING_AVERAGE:
        costs = []
        for reading, then in charged:
            gained_kwh, paid_yuan = charging_cost(reading, then.tariff, Decimal(repr(then.charger_efficiency)))
            costs.append((reading.start_kwh, gained_kwh, paid_yuan))
        average = moving_average(costs)
        basis |= {"sessions_averaged": str(len(charged)), "average_yuan": None if average is None else str(average)}
        if average is None:
            flags.append(Flag.AVERAGE_UNKNOWN)
            by_tariff = True
        else:
            yuan = cost_yuan = average
    doubt = tariff.doubt_at(at)
    if by_tariff and doubt is not None:
        flags.append(Flag.TARIFF_DOUBTFUL)
        basis["doubt"] = doubt.value
    yuan = half_up(yuan, UNIT_PRICE)
    if yuan > half_up(cost_yuan, UNIT_PRICE):
        flags.append(Flag.ABOVE_COST)
    return UnitPrice(yuan, tariff.period_at(at), tuple(flags), basis)


def price_swap(
    seats: Sequence[SeatEnergy],
    energy_prices: Sequence[UnitPrice],
    terms: SwapTerms,
    prices: StationPrices,
    at: datetime,
) -> PricedSwap:
    """Price a swap: an energy line and a service line for each seat.

    Args:
        seats: readings of the seats that were exchanged.
        energy_prices: of each seat.
        at: completion of the swap.
    """
    lines: list[PricedLine] = []
    flags: list[Flag] = []
    swap_on = at.astimezone(prices.zone).date()
    for seat, energy in zip(seats, energy_prices, strict=True):
        quantity = billed_energy(seat, terms.measure, terms.tolerance_kwh, swap_on)
        flags += [*quantity.flags, *energy.flags, *([Flag.FIRST_SWAP] if seat.first_swap else [])]
        service_yuan = half_up(terms.service_price_yuan, UNIT_PRICE)
        for kind, yuan, sale, why in (
            ("energy", energy.yuan, terms.energy, energy.basis),
            ("service", service_yuan, terms.service, {"price": "service"}),
        ):
            lines.append(
                priced_line(
                    kind, seat.seat, seat.pack_id, quantity.energy_kwh, yuan, sale, energy.period,
                    {**quantity.basis, **why},
                )
            )  # fmt: skip
    total_yuan = sum((line.tax.gross_yuan for line in lines), Decimal("0.00"))
    return PricedSwap(tuple(lines), total_yuan, worst_first(flags))


def priced_line(
    kind: str,
    seat: int,
    pack_id: str | None,
    energy_kwh: Decimal,
    unit_price_yuan: Decimal,
    sale: SaleTerms,
    tariff_period: str,
    basis: dict[str, str | None],
) -> PricedLine:
    """A line with its amount and tax, from quantity and unit price."""
    exact_yuan = energy_kwh * unit_price_yuan
    amount_yuan = half_up(exact_yuan, FEN)
    tax = taxed(exact_yuan, sale.tax_rate, included=sale.tax_included)
    return PricedLine(kind, seat, pack_id, energy_kwh, unit_price_yuan, amount_yuan, tax, sale, tariff_period, basis)
