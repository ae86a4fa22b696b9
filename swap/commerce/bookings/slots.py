"""The grid on which capacity is counted. Pure: no database, no clock."""

from __future__ import annotations

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
        swaps, slots = self.swaps_per_slot.numerator, self.swaps_per_slot.denominator
        return (slot + 1) * swaps // slots - slot * swaps // slots

    def slots_of(self, start_at: datetime, end_at: datetime) -> SlotRange:
        """Slots that lie wholly in a window; where none does, the one it starts in."""
        start_s, end_s = int(start_at.timestamp()), int(end_at.timestamp())
        first, beyond = -(-start_s // self.slot_s), end_s // self.slot_s
        if first >= beyond:
            first = start_s // self.slot_s
            return SlotRange(first, first)
        return SlotRange(first, beyond - 1)

    def slot_at(self, at: datetime) -> int:
        """The slot that an instant lies in."""
        return int(at.timestamp()) // self.slot_s

    def start_of(self, slot: int) -> datetime:
        """Instant a slot starts at."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=slot * self.slot_s)
