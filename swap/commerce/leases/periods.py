"""Days and periods of a contract. Pure.

A day is that of the contract's zone. A period is one, three or twelve months long; it begins with a calendar month
(`calendar`) or with the day of the month on which the contract began (`anniversary`). Each boundary is computed from
that first day, never from the boundary before, so the 31st comes back after February. A period belongs to the month
in which its last day lies, and is rated with the days of the whole period as denominator.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
_MONTH = re.compile(r"(20\d\d|21\d\d)-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Days:
    """Days from `first` up to, without, `until`."""

    first: date
    until: date

    @property
    def count(self) -> int:
        """How many; 0 where `until` is not after `first`."""
        return max((self.until - self.first).days, 0)

    def within(self, other: Days) -> Days:
        """The days that are in both."""
        return Days(max(self.first, other.first), min(self.until, other.until))

    def bounds(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The instants between which the days lie, in UTC."""
        return start_of(self.first, zone), start_of(self.until, zone)


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day begins in a zone, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def day_of(at: datetime, zone: ZoneInfo) -> date:
    """The day of an instant in a zone."""
    return at.astimezone(zone).date()


def is_month(text: str) -> bool:
    """Whether a text names a month, as `2026-06`."""
    return _MONTH.fullmatch(text) is not None


def month_of(day: date) -> str:
    """The month of a day, as `2026-06`."""
    return f"{day.year:04d}-{day.month:02d}"


def next_month(month: str) -> str:
    """The month after a month."""
    return month_of(month_days(month).until)


def months_between(first: str, last: str) -> Iterator[str]:
    """Months from the first up to and including the last."""
    while first <= last:
        yield first
        first = next_month(first)


def month_days(month: str) -> Days:
    """The days of a month."""
    year, number = month.split("-")
    index = int(year) * 12 + int(number) - 1
    return Days(_boundary(index, 1), _boundary(index + 1, 1))


def _boundary(index: int, anchor: int) -> date:
    """The anchor's day in the month of an index (12 × year + month from 0), or the month's last where it is shorter."""
    year, month = divmod(index, 12)
    return date(year, month + 1, min(anchor, monthrange(year, month + 1)[1]))


@dataclass(frozen=True, slots=True)
class Calendar:
    """How a contract is divided into periods."""

    months: int
    """1, 3 or 12."""
    anchor: int
    """Day of the month on which periods begin."""
    base: int
    """A month in which one begins, modulo `months`."""

    @classmethod
    def of(cls, first_day: date, months: int, *, anniversary: bool) -> Calendar:
        """The periods of a contract from its first day on."""
        if anniversary:
            return cls(months, first_day.day, (first_day.month - 1) % months)
        return cls(months, 1, 0)

    def period_of(self, day: date) -> Days:
        """The period that holds a day."""
        index = day.year * 12 + day.month - 1
        index -= (index - self.base) % self.months
        if _boundary(index, self.anchor) > day:
            index -= self.months
        elif _boundary(index + self.months, self.anchor) <= day:
            index += self.months
        return Days(_boundary(index, self.anchor), _boundary(index + self.months, self.anchor))

    def ending_in(self, month: str) -> Days | None:
        """The period whose last day lies in a month; None where none ends there."""
        of_month = month_days(month)
        period = self.period_of(of_month.first)
        for _ in range(2):
            if of_month.first <= period.until - DAY < of_month.until:
                return period
            period = self.period_of(period.until)
        return None
