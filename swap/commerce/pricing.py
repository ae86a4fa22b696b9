"""What a swap costs, by the energy difference of the pack given back. Pure, in `Decimal`.

    energy = lsoe - usoe

lsoe is the energy the pack had when it was put on the vehicle, usoe the energy of the same pack when it was
taken off (standards.md 8.3). The pack handed out in this swap is billed when it comes back. Quantity in
0.01 kWh, unit price in 0.0001 yuan, money in 0.01 yuan, each rounded half up; the total is the sum of the
rounded lines.

Where the two readings cannot be billed as they are, the quantity is 0 and a flag says why; a person looks at
it and corrects the bill. Nothing is guessed, and no pack is ever billed for more energy than it can hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

CENTI_KWH = Decimal("0.01")
UNIT_PRICE = Decimal("0.0001")
FEN = Decimal("0.01")


class Flag(StrEnum):
    """What is particular about a bill."""

    FIRST_SWAP = "first_swap"
    """The pack was not put on by a swap: lsoe is that of the handover record."""
    CHARGED_ELSEWHERE = "charged_elsewhere"
    """The pack came back with more energy than it left with; billed as 0 kWh."""
    UNMEASURED = "unmeasured"
    """lsoe or usoe is not known; billed as 0 kWh until a person corrects it."""
    IMPLAUSIBLE = "implausible"
    """The difference is more than the pack can hold, or a reading is no energy; billed as 0 kWh until a
    person corrects it."""


@dataclass(frozen=True, slots=True)
class SeatEnergy:
    """The readings of one seat."""

    seat: int
    pack_id: str | None
    rated_kwh: Decimal | None
    """Rated energy of the pack given back, the bound of what can be billed; None when the pack is unknown."""
    last_settled_soe_kwh: Decimal | None
    """lsoe"""
    returned_soe_kwh: Decimal | None
    """usoe"""
    first_swap: bool = False
    confirmed_kwh: Decimal | None = None
    """Quantity that a person confirmed, billed in place of the difference."""


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
    basis: dict[str, str | None]
    """Raw values, as text: lsoe, usoe, their difference, the flag."""


@dataclass(frozen=True, slots=True)
class PricedSwap:
    """All lines of a bill and their sum."""

    lines: tuple[PricedLine, ...]
    total_yuan: Decimal
    flags: tuple[Flag, ...]


def to_decimal(value: float | None) -> Decimal | None:
    """The decimal that a stored number was written as: 262.26, not 262.2599999…"""
    return None if value is None else Decimal(repr(float(value)))


def round_half_up(value: Decimal, step: Decimal) -> Decimal:
    """Round to a step, halves away from zero (as on invoices)."""
    return value.quantize(step, rounding=ROUND_HALF_UP)


def billed_energy(seat: SeatEnergy) -> tuple[Decimal, Flag | None]:
    """The quantity of a seat in kWh, never below 0 nor above what the pack can hold, and why it is 0."""
    if seat.confirmed_kwh is not None:
        return round_half_up(seat.confirmed_kwh, CENTI_KWH), None
    lsoe, usoe = seat.last_settled_soe_kwh, seat.returned_soe_kwh
    zero = Decimal("0.00")
    if lsoe is None or usoe is None:
        return zero, Flag.UNMEASURED
    if not (lsoe.is_finite() and usoe.is_finite()) or lsoe < 0 or usoe < 0:
        return zero, Flag.IMPLAUSIBLE
    difference = lsoe - usoe
    if difference < 0:
        return zero, Flag.CHARGED_ELSEWHERE
    if seat.rated_kwh is None or difference > seat.rated_kwh:
        return zero, Flag.IMPLAUSIBLE
    return round_half_up(difference, CENTI_KWH), None


def price_swap(seats: Sequence[SeatEnergy], energy_price_yuan: Decimal, service_price_yuan: Decimal) -> PricedSwap:
    """Price a swap: an energy line and a service line for each seat.

    Args:
        seats: readings of the seats that were exchanged.
        energy_price_yuan: price of one kWh at the instant of the swap.
        service_price_yuan: service fee for one kWh.
    """
    lines: list[PricedLine] = []
    flags: set[Flag] = set()
    for seat in seats:
        energy_kwh, flag = billed_energy(seat)
        flags |= {f for f in (flag, Flag.FIRST_SWAP if seat.first_swap else None) if f is not None}
        lsoe, usoe = seat.last_settled_soe_kwh, seat.returned_soe_kwh
        basis = {
            "lsoe_kwh": None if lsoe is None else str(lsoe),
            "usoe_kwh": None if usoe is None else str(usoe),
            "difference_kwh": None if lsoe is None or usoe is None else str(lsoe - usoe),
            "rated_kwh": None if seat.rated_kwh is None else str(seat.rated_kwh),
            "confirmed_kwh": None if seat.confirmed_kwh is None else str(seat.confirmed_kwh),
            "flag": flag.value if flag else None,
        }
        for kind, price in (("energy", energy_price_yuan), ("service", service_price_yuan)):
            unit_price_yuan = round_half_up(price, UNIT_PRICE)
            amount_yuan = round_half_up(energy_kwh * unit_price_yuan, FEN)
            lines.append(PricedLine(kind, seat.seat, seat.pack_id, energy_kwh, unit_price_yuan, amount_yuan, basis))
    total_yuan = sum((line.amount_yuan for line in lines), Decimal("0.00"))
    return PricedSwap(tuple(lines), total_yuan, tuple(f for f in Flag if f in flags))


@dataclass(frozen=True, slots=True)
class BatteryRent:
    """A month's rent of one pack by the two-part rule."""

    included_kwh: Decimal
    """Energy that the floor pays for."""
    floor_yuan: Decimal
    metered_yuan: Decimal
    payable_yuan: Decimal


def two_part_rent(
    capacity_kwh: Decimal,
    energy_used_kwh: Decimal,
    floor_yuan_per_kwh_month: Decimal,
    overage_yuan_per_kwh: Decimal,
) -> BatteryRent:
    """Rent of a month: the floor on capacity or the price of the energy used, whichever is more.

    The energy is that of the BMS's cumulative counter, not of swap counts (standards.md 8.2).
    """
    if min(capacity_kwh, energy_used_kwh, floor_yuan_per_kwh_month, overage_yuan_per_kwh) < 0:
        raise ValueError("capacity, energy and prices of a rent are 0 or more")
    floor_yuan = round_half_up(floor_yuan_per_kwh_month * capacity_kwh, FEN)
    metered_yuan = round_half_up(overage_yuan_per_kwh * energy_used_kwh, FEN)
    included_kwh = (
        round_half_up(floor_yuan_per_kwh_month * capacity_kwh / overage_yuan_per_kwh, CENTI_KWH)
        if overage_yuan_per_kwh
        else Decimal("Infinity")
    )
    return BatteryRent(included_kwh, floor_yuan, metered_yuan, max(floor_yuan, metered_yuan))
