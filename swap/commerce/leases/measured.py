"""What happened in a period, as rents count it: packs on vehicles, swaps, meters. Pure.

Energy and meters are counted in one of two ways, by the contract: `true_up` divides by time, with the mean power of
the vehicle's own finished packs for those on the road, and is put right when they are back; `with_swap` counts the
whole with the swap, or the reading, that ends it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from swap.commerce.leases.periods import Days

MICROSECOND = timedelta(microseconds=1)
Meter = Sequence[tuple[datetime, Decimal]]
"""Readings by time, each instant once."""


@dataclass(frozen=True, slots=True)
class HeldPack:
    """A pack on a vehicle, from the instant it was put on."""

    pack_id: str
    vehicle_id: str
    rated_kwh: Decimal
    from_at: datetime
    until_at: datetime | None = None
    """None while it is there."""
    energy_kwh: Decimal | None = None
    """What was taken from it in this time; None while it is not known."""
    soh_pct: Decimal | None = None
    tariff_yuan: Decimal | None = None
    """Price of one kWh of electricity at the swap that took it off."""
    free_end: bool = False
    """No contract covered the vehicle when it was taken off."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What rents of a contract rest on."""

    held: tuple[HeldPack, ...] = ()
    swaps: tuple[tuple[str, datetime], ...] = ()
    """Vehicle and instant of each swap that gave it another pack."""
    meters: Mapping[tuple[str, str], Meter] = field(default_factory=dict)
    """By vehicle and quantity: odometer_km, engine_h (counters), tonnes (amounts)."""
    elsewhere: Mapping[str, tuple[Days, ...]] = field(default_factory=dict)
    """Days on which other contracts cover a vehicle."""


def seconds(held: HeldPack, from_at: datetime, until_at: datetime) -> Fraction:
    """How long a pack was held between two instants."""
    end = until_at if held.until_at is None else min(held.until_at, until_at)
    return max(Fraction((end - max(held.from_at, from_at)) // MICROSECOND, 10**6), Fraction(0))


def energy_between(
    held: Iterable[HeldPack],
    from_at: datetime,
    until_at: datetime,
    *,
    with_swap: bool,
    last: bool,
    period: tuple[datetime, datetime],
) -> Fraction:
    """Energy taken from packs between two instants, kWh.

    Args:
        held: packs of one vehicle.
        last: the contract covers the vehicle no longer from `until_at` on: what ends then under no other contract
            counts here.
        period: what is accrued goes by the mean power of the packs that came off within it.
    """
    packs = list(held)
    if with_swap:
        total = Fraction(0)
        for one in packs:
            if one.until_at is None or one.energy_kwh is None:
                continue
            inside = from_at <= one.until_at < until_at
            after = last and one.free_end and one.from_at < until_at <= one.until_at
            if inside or after:
                total += Fraction(one.energy_kwh)
        return total
    begin, end = period
    done = [p for p in packs if p.until_at is not None and p.energy_kwh is not None and begin <= p.until_at < end]
    known_s = sum((_length_s(one) for one in done), Fraction(0))
    known_kwh = sum((Fraction(one.energy_kwh or 0) for one in done), Fraction(0))
    mean = known_kwh / known_s if known_s else Fraction(0)
    total = Fraction(0)
    for one in packs:
        part_s = seconds(one, from_at, until_at)
        if not part_s:
            continue
        if one.until_at is not None and one.energy_kwh is not None:
            total += Fraction(one.energy_kwh) * part_s / _length_s(one)
        else:
            total += mean * part_s
    return total


def _length_s(held: HeldPack) -> Fraction:
    assert held.until_at is not None
    return max(seconds(held, held.from_at, held.until_at), Fraction(1, 10**6))


def meter_between(meter: Meter, from_at: datetime, until_at: datetime, *, with_swap: bool) -> Fraction:
    """How far a counter went between two instants; beyond its last reading 0 until the next one comes."""
    return value_at(meter, until_at, with_swap=with_swap) - value_at(meter, from_at, with_swap=with_swap)


def value_at(meter: Meter, at: datetime, *, with_swap: bool) -> Fraction:
    """A counter at an instant: between two readings by time, or the last reading; the nearest one outside of them."""
    if not meter:
        return Fraction(0)
    place = bisect_right(meter, at, key=lambda reading: reading[0])
    if place == 0:
        return Fraction(meter[0][1])
    before_at, before = meter[place - 1]
    if with_swap or place == len(meter):
        return Fraction(before)
    after_at, after = meter[place]
    share = Fraction((at - before_at) // MICROSECOND, (after_at - before_at) // MICROSECOND)
    return Fraction(before) + share * (Fraction(after) - Fraction(before))


def amounts_between(meter: Meter, from_at: datetime, until_at: datetime) -> Fraction:
    """The sum of the amounts that were entered for a time."""
    return sum((Fraction(value) for at, value in meter if from_at <= at < until_at), Fraction(0))


def mean_soh_pct(held: Iterable[HeldPack], times: Sequence[tuple[datetime, datetime]]) -> Fraction | None:
    """Mean SoH of packs, weighted with the time for which each was held; None where none is known."""
    weighted, total = Fraction(0), Fraction(0)
    for one in held:
        if one.soh_pct is None:
            continue
        part_s = sum((seconds(one, from_at, until_at) for from_at, until_at in times), Fraction(0))
        weighted += Fraction(one.soh_pct) * part_s
        total += part_s
    return weighted / total if total else None
