"""The slots of a plan: short now, longer later, each with its real length, none across a change of price or limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from scheduler.optimal.problem import Floats
from scheduler.types import TariffSlice

STEPS: tuple[tuple[float, int], ...] = ((1.0, 5), (6.0, 15), (48.0, 60))
"""Until so many hours from the begin, steps of so many minutes."""


def slot_starts(
    begin_at: datetime, horizon_h: float, changes: Iterable[datetime] = (), steps: Sequence[tuple[float, int]] = STEPS
) -> tuple[datetime, ...]:
    """Begin of each slot, and at last the horizon's end.

    Slots lie on whole steps of UTC, so plans made a step apart share them; the first may be short. An hour is an hour
    also on days of 23 and 25 hours: only prices know the clock on the wall.

    Args:
        begin_at: aware.
        horizon_h: above 0.
        changes: instants that no slot may cross: changes of price, of limits, of sun.
    """
    if not horizon_h > 0:
        raise ValueError(f"horizon_h is {horizon_h}; it must be above 0")
    begin_at = begin_at.astimezone(UTC)
    end_at = begin_at + timedelta(hours=horizon_h)
    found = {begin_at, end_at}
    at = begin_at
    midnight = begin_at.replace(hour=0, minute=0, second=0, microsecond=0)
    for until_h, minutes in steps:
        until_at = min(begin_at + timedelta(hours=until_h), end_at)
        step = timedelta(minutes=minutes)
        while at < until_at:
            found.add(at)
            at = midnight + ((at - midnight) // step + 1) * step
    found |= {change for change in changes if begin_at < change < end_at}
    return tuple(sorted(found))


def lengths_h(starts: Sequence[datetime]) -> Floats:
    """Length of each slot, hours."""
    return np.array([(b - a).total_seconds() / 3600 for a, b in pairwise(starts)])


def prices_of(starts: Sequence[datetime], slices: Sequence[TariffSlice]) -> Floats:
    """Price of each slot, yuan per kWh.

    Raises:
        ValueError: a slot for which no price is known.
    """
    found, place = [], 0
    for at in starts[:-1]:
        while place < len(slices) and slices[place].until_at <= at:
            place += 1
        if place == len(slices) or slices[place].from_at > at:
            raise ValueError(f"no price is known for {at.isoformat()}; prices end before the plan does")
        found.append(slices[place].price_yuan_per_kwh)
    return np.array(found)
