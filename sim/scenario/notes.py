"""Remarks that a result carries: a marked text with its values, English as it stands, other languages by `Words`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from swap.words import N_


@dataclass(frozen=True)
class Note:
    """One remark."""

    text: str
    """Marked; the names in braces are those of the values."""
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text.format(**self.values) if self.values else self.text


def warmup_note(days: float, *, found: bool = True) -> Note:
    """How long the warm-up is, and how it was found where it was not given."""
    if not found:
        return Note(N_("warm-up {days:g} day(s)"), {"days": days})
    return Note(N_("warm-up {days:g} day(s), found by MSER-5 on three pilot runs"), {"days": days})


def unstable_note(growth_per_day: float, station: str = "") -> Note:
    """That a queue grows without end; that of a station, where there are several."""
    if station:
        return Note(
            N_("{station} is unstable: its queue grows by {growth:.1f} trucks a day; waits have no mean"),
            {"station": station, "growth": growth_per_day},
        )
    return Note(
        N_("unstable: the queue grows by {growth:.1f} trucks a day; waits have no mean"), {"growth": growth_per_day}
    )
