"""How much a swap is billed for, by the measure that its terms name. Pure, in `Decimal`.

The energy difference is lsoe − usoe: the energy that the pack had when it was put on the vehicle, less the energy of
the same pack when it was taken off (standards.md 8.3). The pack handed out in this swap is billed when it comes back.

Where the readings cannot be billed as they are, the quantity is 0 and a flag says why; a person looks at it and
corrects the bill. Nothing is guessed, and no pack is ever billed for more energy than it can hold. Readings that
contradict each other by no more than the tolerance are taken as rounded, which the basis says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from swap.commerce.bills.money import CENTI_KWH
from swap.commerce.bills.terms import WAITS_FOR_CHARGING, Measure
from swap.commerce.charges import half_up

ZERO = Decimal("0.00")
LOSS_BOUND = Decimal("1.25")
"""A charger's meter shows at most so much more than the pack can hold: 80 % efficiency, assumed as the worst."""


class Flag(StrEnum):
    """What is particular about a bill."""

    FIRST_SWAP = "first_swap"
    """The pack was not put on by a swap: lsoe is that of the handover record."""
    CHARGED_ELSEWHERE = "charged_elsewhere"
    """The pack came back with more energy than it left with; billed as 0 kWh."""
    UNMEASURED = "unmeasured"
    """What is billed was not read; billed as 0 kWh until a person corrects it."""
    IMPLAUSIBLE = "implausible"
    """The quantity is more than the pack can hold, or a reading is no energy; billed as 0 kWh until a
    person corrects it."""
    METER_EXPIRED = "meter_expired"
    """The verification of the meter had run out."""
    METER_UNVERIFIED = "meter_unverified"
    """The bay has no verified meter on record; billed by the charger's own meter."""
    TARIFF_DOUBTFUL = "tariff_doubtful"
    """The period table was not in force at that instant, or the deep-valley days of that year are not named."""
    AVERAGE_UNKNOWN = "average_unknown"
    """No charging of the pack is on record; priced by the tariff at the swap."""
    ABOVE_COST = "above_cost"
    """Electricity is sold above what it costs the station at that instant (转供电)."""


FOR_INFORMATION = frozenset({Flag.FIRST_SWAP, Flag.ABOVE_COST})
"""Flags of bills that need nobody."""
TO_LOOK_AT = frozenset(Flag) - FOR_INFORMATION
"""Flags of bills that a person is to look at."""
OF_QUANTITY = frozenset(
    {Flag.CHARGED_ELSEWHERE, Flag.UNMEASURED, Flag.IMPLAUSIBLE, Flag.METER_EXPIRED, Flag.METER_UNVERIFIED}
)
"""Flags that a quantity confirmed by a person answers."""


@dataclass(frozen=True, slots=True)
class ChargeReading:
    """One charging of a pack, as it is on record."""

    session_id: int
    bay: str
    started_at: datetime
    ended_at: datetime
    start_kwh: Decimal
    end_kwh: Decimal
    start_meter_kwh: Decimal | None
    end_meter_kwh: Decimal | None


@dataclass(frozen=True, slots=True)
class Meter:
    """The verified meter of a bay."""

    serial: str
    accuracy_class: str
    valid_until: date


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
    counter_before_kwh: Decimal | None = None
    """BMS counter when it was put on the vehicle."""
    counter_after_kwh: Decimal | None = None
    """BMS counter when it was taken off."""
    charged: tuple[ChargeReading, ...] = ()
    """Charging of the pack after it was given back."""
    meters: tuple[tuple[str, Meter], ...] = ()
    """Verified meters by bay, of those in which it was charged."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a seat is billed for, and why."""

    energy_kwh: Decimal
    """To 0.01 kWh, never below 0."""
    flags: tuple[Flag, ...]
    basis: dict[str, str | None]
    """Raw values, as text."""


def billed_energy(seat: SeatEnergy, measure: Measure, tolerance_kwh: Decimal, swap_on: date) -> Quantity:
    """The quantity of a seat.

    Args:
        swap_on: local day of the swap, by which the meter must be verified.
    """
    basis = {
        "measure": measure.value,
        "rated_kwh": _text(seat.rated_kwh),
        "lsoe_kwh": _text(seat.last_settled_soe_kwh),
        "usoe_kwh": _text(seat.returned_soe_kwh),
        "difference_kwh": _difference(seat.last_settled_soe_kwh, seat.returned_soe_kwh),
    }
    if measure is Measure.SOE_DIFFERENCE:
        found = _span(seat.last_settled_soe_kwh, seat.returned_soe_kwh, seat.rated_kwh, tolerance_kwh)
    elif measure is Measure.BMS_COUNTER:
        basis |= {"counter_before_kwh": _text(seat.counter_before_kwh)}
        basis |= {"counter_after_kwh": _text(seat.counter_after_kwh)}
        found = _counter(seat)
    else:
        found, read = _charged(seat, measure, tolerance_kwh, swap_on)
        basis |= read
    energy_kwh, flags, within = found
    basis["flag"] = next((flag.value for flag in flags if flag in OF_QUANTITY), None)
    basis["within_tolerance"] = within
    return Quantity(half_up(energy_kwh, CENTI_KWH), flags, basis)


_Found = tuple[Decimal, tuple[Flag, ...], str | None]
"""Energy, flags, what the tolerance was used for."""


def _span(lsoe: Decimal | None, usoe: Decimal | None, rated: Decimal | None, tolerance_kwh: Decimal) -> _Found:
    if lsoe is None or usoe is None:
        return ZERO, (Flag.UNMEASURED,), None
    if not (lsoe.is_finite() and usoe.is_finite()) or lsoe < 0 or usoe < 0:
        return ZERO, (Flag.IMPLAUSIBLE,), None
    difference = lsoe - usoe
    if difference < 0:
        if -difference <= tolerance_kwh:
            return ZERO, (), "usoe above lsoe"
        return ZERO, (Flag.CHARGED_ELSEWHERE,), None
    if rated is None or difference > rated + tolerance_kwh:
        return ZERO, (Flag.IMPLAUSIBLE,), None
    if difference > rated:
        return rated, (), "difference above rated"
    return difference, (), None


def _counter(seat: SeatEnergy) -> _Found:
    """The counter may have gone round the pack's capacity several times, so that only its direction is judged."""
    before, after = seat.counter_before_kwh, seat.counter_after_kwh
    if before is None or after is None:
        return ZERO, (Flag.UNMEASURED,), None
    if not (before.is_finite() and after.is_finite()) or before < 0 or after < before:
        return ZERO, (Flag.IMPLAUSIBLE,), None
    return after - before, (), None


def _charged(
    seat: SeatEnergy, measure: Measure, tolerance_kwh: Decimal, swap_on: date
) -> tuple[_Found, dict[str, str | None]]:
    assert measure in WAITS_FOR_CHARGING
    by_meter = measure is Measure.VERIFIED_METER
    read: dict[str, str | None] = {"sessions": ",".join(str(one.session_id) for one in seat.charged)}
    if not seat.charged:
        return (ZERO, (Flag.UNMEASURED,), None), read
    spans = [
        (one.start_meter_kwh, one.end_meter_kwh) if by_meter else (one.start_kwh, one.end_kwh) for one in seat.charged
    ]
    read["readings_kwh"] = ",".join(f"{_text(start)}-{_text(end)}" for start, end in spans)
    flags: list[Flag] = []
    if by_meter:
        meters = dict(seat.meters)
        used = [meters.get(one.bay) for one in seat.charged]
        read["meters"] = ",".join(
            f"{one.serial}/{one.accuracy_class}/{one.valid_until.isoformat()}" if one else "-" for one in used
        )
        flags += [Flag.METER_UNVERIFIED] if None in used else []
        flags += [Flag.METER_EXPIRED] if any(one is not None and swap_on > one.valid_until for one in used) else []
    parts = [end - start for start, end in spans if start is not None and end is not None]
    if len(parts) < len(spans):
        return (ZERO, (Flag.UNMEASURED, *flags), None), read
    total = sum(parts, Decimal(0))
    bound = None if seat.rated_kwh is None else seat.rated_kwh * (LOSS_BOUND if by_meter else 1)
    if bound is None or any(not part.is_finite() or part < -tolerance_kwh for part in parts):
        return (ZERO, (Flag.IMPLAUSIBLE, *flags), None), read
    if total > bound + tolerance_kwh:
        return (ZERO, (Flag.IMPLAUSIBLE, *flags), None), read
    return (max(min(total, bound), ZERO), tuple(flags), "charged above rated" if total > bound else None), read


def worst_first(flags: Sequence[Flag]) -> tuple[Flag, ...]:
    """Each flag once, in the order of `Flag`."""
    return tuple(flag for flag in Flag if flag in flags)


def _difference(lsoe: Decimal | None, usoe: Decimal | None) -> str | None:
    return None if lsoe is None or usoe is None else str(lsoe - usoe)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
