"""Capacity of booked windows on a grid of slots. Pure: no database, no clock.

A booking asks for one swap at any time inside its window. Bookings fit together when every one of them can
be given a slot of its window without any slot serving more than it can. Serving the window that closes
first at each slot finds such a plan whenever there is one (earliest deadline first, unit jobs).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from swap.config.station_file import BookingSection


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Slots `first` up to and including `last`, counted from 1970 UTC."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SlotGrid:
    """Slots of equal length and how many swaps each can serve."""

    slot_s: int
    swaps_per_slot: Fraction

    @classmethod
    def of(cls, rules: BookingSection, lanes: int) -> SlotGrid:
        """The grid of a station; a fraction of a swap per slot is carried over to later slots."""
        slot_s = rules.slot_min * 60
        per_slot = (
            Fraction(lanes * slot_s) / Fraction(rules.nominal_swap_s)
            if rules.capacity_per_slot is None
            else Fraction(rules.capacity_per_slot)
        )
        return cls(slot_s, per_slot)

    def capacity(self, slot: int) -> int:
        """Swaps that may be promised in a slot."""
        return int((slot + 1) * self.swaps_per_slot) - int(slot * self.swaps_per_slot)

    def slots_of(self, start_at: datetime, end_at: datetime) -> SlotRange:
        """Slots that lie wholly in a window; where none does, the one it starts in."""
        start_s, end_s = int(start_at.timestamp()), int(end_at.timestamp())
        first, beyond = -(-start_s // self.slot_s), end_s // self.slot_s
        if first >= beyond:
            first = start_s // self.slot_s
            return SlotRange(first, first)
        return SlotRange(first, beyond - 1)

    def start_of(self, slot: int) -> datetime:
        """Instant a slot starts at."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=slot * self.slot_s)

    def fits(self, ranges: Iterable[SlotRange]) -> bool:
        """Whether every range can have a swap in one of its slots."""
        waiting: list[int] = []
        ordered = sorted(ranges, key=lambda r: r.first)
        taken = 0
        slot = 0
        while taken < len(ordered) or waiting:
            slot = ordered[taken].first if not waiting else slot + 1
            while taken < len(ordered) and ordered[taken].first <= slot:
                heapq.heappush(waiting, ordered[taken].last)
                taken += 1
            for _ in range(min(self.capacity(slot), len(waiting))):
                if heapq.heappop(waiting) < slot:
                    return False
            if waiting and waiting[0] <= slot:
                return False
        return True

    def can_add(self, held: Iterable[SlotRange], wanted: SlotRange) -> bool:
        """Whether a range fits beside those held.

        Only ranges that touch it, directly or through others, can be in its way. So a stretch that was sold
        before the station lost a lane refuses new bookings there, and nowhere else.
        """
        group, first, last = [wanted], wanted.first, wanted.last
        rest = list(held)
        while near := [r for r in rest if r.first <= last and r.last >= first]:
            group += near
            rest = [r for r in rest if r not in near]
            first = min(first, *(r.first for r in near))
            last = max(last, *(r.last for r in near))
        return self.fits(group)


Room = tuple[SlotGrid, Sequence[SlotRange]]
"""What some lanes can serve, and the ranges promised to those that need them."""


def can_add(rooms: Iterable[Room], wanted: SlotRange) -> bool:
    """Whether a range fits into every one of the rooms that it needs."""
    return all(grid.can_add(held, wanted) for grid, held in rooms)


def next_free(rooms: Sequence[Room], length: int, from_slot: int, until_slot: int) -> SlotRange | None:
    """The earliest range of `length` slots from `from_slot` on that fits into all rooms."""
    for first in range(from_slot, until_slot - length + 2):
        wanted = SlotRange(first, first + length - 1)
        if can_add(rooms, wanted):
            return wanted
    return None
