"""Time-of-use prices: period and price of any instant, and the slices of any span.

price(t) = energy price × ratio of the period + fixed adders, to 0.0001 yuan/kWh, half up. `tariff_files.py` reads
the period tables and the prices. Hours of a table are local hours of the station, instants are aware datetimes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from scheduler.types import TariffSlice

FLAT = "flat"
PERIODS = ("critical", "peak", FLAT, "valley", "deep_valley")

_UNIT = Decimal("0.0001")
_QUARTERS = 96  # every zone's offset is a multiple of a quarter of an hour
_QUARTER = timedelta(minutes=15)
_DAY = timedelta(days=1)
_LEAP_YEAR = {f"{day:%m-%d}": day for day in (date(2024, 1, 1) + n * timedelta(days=1) for n in range(366))}
_LISTED = ("critical", "peak", "valley", "deep_valley")
_SATURDAY = 6
_LOOK_AHEAD_DAYS = 62  # no month without a change is longer


def _day_of_year(value: str) -> str:
    date.fromisoformat(f"2024-{value}")
    return value


DayOfYear = Annotated[str, Field(pattern=r"^[0-9]{2}-[0-9]{2}$"), AfterValidator(_day_of_year)]
"""A day of each year, such as 06-15."""
Hour = Annotated[float, Field(ge=0, le=24, multiple_of=0.25)]
Hours = tuple[tuple[Hour, Hour], ...]


class Doubt(StrEnum):
    """Why a price may not be the right one."""

    OUTSIDE_VALIDITY = "outside_validity"
    """The period table is not, or not any more, in force."""
    DAYS_UNKNOWN = "days_unknown"
    """It may be a deep-valley day: those of the year are not named."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Hours(_Table):
    """Hours of a day; critical hours may lie inside peak hours, deep-valley hours inside valley hours."""

    critical: Hours = ()
    peak: Hours = ()
    valley: Hours = ()
    deep_valley: Hours = ()

    @model_validator(mode="after")
    def _hours_in_order(self) -> Self:
        for period in _LISTED:
            for start, end in getattr(self, period):
                if not start < end:
                    raise ValueError(f"{period} = [{start:g}, {end:g}]: the end must be after the start")
        low = _quarters_of(self.valley) | _quarters_of(self.deep_valley)
        if both := low & (_quarters_of(self.peak) | _quarters_of(self.critical)):
            raise ValueError(f"{min(both) / 4:g} h is both valley and peak")
        return self


class _Weekend(_Hours):
    """Hours of Saturdays and Sundays, in place of the season's."""


class _Season(_Hours):
    """Hours of one season: whole months, or from one day of the year to another, both in it."""

    name: str
    months: tuple[Annotated[int, Field(ge=1, le=12)], ...] = ()
    first: DayOfYear | None = Field(default=None, alias="from")
    last: DayOfYear | None = Field(default=None, alias="to")
    weekend: _Weekend | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.months) == (self.first is not None) or (self.first is None) != (self.last is None):
            raise ValueError('give months, or from and to (as "06-15"), and not both')
        return self

    def dates(self) -> Iterator[tuple[int, int]]:
        """Month and day of each day in it, of a leap year."""
        for key, day in _LEAP_YEAR.items():
            if self.first is None or self.last is None:
                inside = day.month in self.months
            elif self.first <= self.last:
                inside = self.first <= key <= self.last
            else:  # over the turn of the year
                inside = key >= self.first or key <= self.last
            if inside:
                yield day.month, day.day


class _Days(_Table):
    name: str
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    assumed: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> _Days:
        if self.last < self.first or (self.last - self.first).days > 31:
            raise ValueError(f"to = {self.last}: must lie 0…31 days after from = {self.first}")
        return self

    def dates(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))


class _DeepValley(_Table):
    hours: Hours
    days: tuple[_Days, ...] = ()


class TariffProfile(_Table):
    """One period table: seasons, ratios to the flat price, deep-valley days."""

    name: str
    name_zh: str
    name_en: str
    source: str
    """The notice it is taken from."""
    valid_from: date | None = None
    valid_until: date | None = None
    ratios: Mapping[str, Annotated[Decimal, Field(ge=0, le=10)]]
    seasons: tuple[_Season, ...] = Field(min_length=1)
    deep_valley: _DeepValley | None = None

    @model_validator(mode="after")
    def _complete(self) -> TariffProfile:
        days = Counter(day for season in self.seasons for day in season.dates())
        for day in _LEAP_YEAR.values():
            if days[day.month, day.day] != 1:
                raise ValueError(
                    f"seasons: each day must belong to exactly one season; {day:%m-%d} is in {days[day.month, day.day]}"
                )
        if unknown := sorted(set(self.ratios) - set(PERIODS)):
            raise ValueError(f"ratios: {', '.join(unknown)} is none of {', '.join(PERIODS)}")
        tables: list[_Hours] = [*self.seasons, *(s.weekend for s in self.seasons if s.weekend is not None)]
        used = {FLAT} | {period for table in tables for period in _LISTED if getattr(table, period)}
        if self.deep_valley is not None:
            used.add("deep_valley")
        if missing := sorted(used - set(self.ratios)):
            raise ValueError(f"ratios: {', '.join(missing)} is missing")
        return self


def _quarters_of(hours: Hours) -> set[int]:
    return {quarter for start, end in hours for quarter in range(round(start * 4), round(end * 4))}


def _day_table(hours: _Hours) -> tuple[str, ...]:
    table = [FLAT] * _QUARTERS
    for period in ("peak", "critical", "valley", "deep_valley"):  # the later may lie inside the earlier
        for quarter in _quarters_of(getattr(hours, period)):
            table[quarter] = period
    return tuple(table)


class Tariff:
    """Periods and prices of one station.

    Args:
        profile: period table.
        zone: the station's time zone.
        energy_price_yuan_per_kwh: the part that floats with the period.
        adders_yuan_per_kwh: the part that does not.
        months: the two parts by (year, month) where they differ.
        holidays: deep-valley days; for each year named they replace the profile's.
    """

    def __init__(
        self,
        profile: TariffProfile,
        zone: tzinfo,
        energy_price_yuan_per_kwh: Decimal,
        adders_yuan_per_kwh: Decimal,
        months: Mapping[tuple[int, int], tuple[Decimal, Decimal]] | None = None,
        holidays: tuple[date, ...] = (),
    ) -> None:
        self.profile = profile
        self.zone = zone
        self._price_parts = (energy_price_yuan_per_kwh, adders_yuan_per_kwh)
        self._months = dict(months or {})
        self._tables: dict[tuple[int, int], tuple[tuple[str, ...], tuple[str, ...]]] = {}
        """By month and day: the table of a weekday and that of a weekend."""
        for season in profile.seasons:
            tables = _day_table(season), _day_table(season.weekend or season)
            self._tables |= dict.fromkeys(season.dates(), tables)
        self._deep_quarters = frozenset[int]()
        self._known_years: frozenset[int] | None = None
        """Years whose deep-valley days are named; None where the table knows no such days."""
        self.assumed_years = frozenset[int]()
        """Years whose deep-valley days are an assumption."""
        days: set[date] = set()
        if profile.deep_valley is not None:
            self._deep_quarters = frozenset(_quarters_of(profile.deep_valley.hours))
            own_years = {day.year for day in holidays}
            for span in profile.deep_valley.days:
                days.update(day for day in span.dates() if day.year not in own_years)
            self.assumed_years = frozenset(
                span.first.year for span in profile.deep_valley.days if span.assumed
            ) - frozenset(own_years)
            days.update(holidays)
            if profile.deep_valley.days:
                self._known_years = frozenset(day.year for day in days)
        self._holidays = frozenset(days)
        self._days: dict[date, tuple[list[datetime], list[TariffSlice], list[Decimal]]] = {}

    def period_at(self, at: datetime) -> str:
        """critical, peak, flat, valley or deep_valley. Raises ValueError for a naive instant."""
        return self.slice_at(at).period

    def price_at(self, at: datetime) -> Decimal:
        """Yuan per kWh to 0.0001. Raises ValueError for a naive instant."""
        at = _utc(at)
        starts, _, prices = self._day(at.date())
        return prices[bisect_right(starts, at) - 1]

    def slice_at(self, at: datetime) -> TariffSlice:
        """The slice that holds an instant, cut at midnight UTC. Raises ValueError for a naive instant."""
        at = _utc(at)
        starts, slices, _ = self._day(at.date())
        return slices[bisect_right(starts, at) - 1]

    def doubt_at(self, at: datetime) -> Doubt | None:
        """Why the price of an instant may not be the right one; None where nothing speaks against it."""
        local = _utc(at).astimezone(self.zone)
        first, last = self.profile.valid_from, self.profile.valid_until
        if (first is not None and local.date() < first) or (last is not None and local.date() > last):
            return Doubt.OUTSIDE_VALIDITY
        quarter = local.hour * 4 + local.minute // 15
        if self._known_years is not None and quarter in self._deep_quarters and local.year not in self._known_years:
            return Doubt.DAYS_UNKNOWN
        return None

    def years_unknown(self, years: Iterable[int]) -> tuple[int, ...]:
        """Those of some years whose deep-valley days nobody has named, though the table has such days."""
        return () if self._known_years is None else tuple(year for year in years if year not in self._known_years)

    def parts_at(self, at: datetime) -> tuple[Decimal, Decimal, Decimal]:
        """What the price of an instant is made of: energy price, ratio of the period, adders."""
        energy, adders = self._parts(_utc(at).astimezone(self.zone))
        return energy, self.profile.ratios[self.period_at(at)], adders

    def slices(self, from_at: datetime, until_at: datetime) -> tuple[TariffSlice, ...]:
        """Gapless slices over [from_at, until_at) in UTC; neighbours differ in period or price."""
        from_at, until_at = _utc(from_at), _utc(until_at)
        found: list[TariffSlice] = []
        day = from_at.date()
        while datetime(day.year, day.month, day.day, tzinfo=UTC) < until_at:
            for part in self._day(day)[1]:
                start, end = max(part.from_at, from_at), min(part.until_at, until_at)
                if start >= end:
                    continue
                price = part.price_yuan_per_kwh
                if found and found[-1].period == part.period and found[-1].price_yuan_per_kwh == price:
                    start = found.pop().from_at
                found.append(TariffSlice(start, end, part.period, price))
            day += _DAY
        return tuple(found)

    def next_change_at(self, at: datetime) -> datetime | None:
        """The first instant after `at` with another period or price; None when none comes in two months."""
        at = _utc(at)
        now = self.slice_at(at)
        day = at.date()
        for _ in range(_LOOK_AHEAD_DAYS):
            for part in self._day(day)[1]:
                if part.from_at > at and (
                    part.period != now.period or part.price_yuan_per_kwh != now.price_yuan_per_kwh
                ):
                    return part.from_at
            day += _DAY
        return None

    def _day(self, day: date) -> tuple[list[datetime], list[TariffSlice], list[Decimal]]:
        known = self._days.get(day)
        if known is None:
            known = self._days[day] = self._work_out(day)
        return known

    def _work_out(self, day: date) -> tuple[list[datetime], list[TariffSlice], list[Decimal]]:
        """Starts, slices and exact prices of one UTC day; local time is asked each quarter of an hour, so
        that changes of the clock come out right in any zone."""
        rows: list[tuple[datetime, str, Decimal]] = []
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for _ in range(_QUARTERS):
            local = at.astimezone(self.zone)
            quarter = local.hour * 4 + local.minute // 15
            period = self._tables[local.month, local.day][local.isoweekday() >= _SATURDAY][quarter]
            if quarter in self._deep_quarters and local.date() in self._holidays:
                period = "deep_valley"
            price = self._price(local, period)
            if not rows or rows[-1][1] != period or rows[-1][2] != price:
                rows.append((at, period, price))
            at += _QUARTER
        ends = [row[0] for row in rows[1:]] + [at]
        slices = [
            TariffSlice(start, end, period, float(price))
            for (start, period, price), end in zip(rows, ends, strict=True)
        ]
        return [row[0] for row in rows], slices, [row[2] for row in rows]

    def _parts(self, local: datetime) -> tuple[Decimal, Decimal]:
        return self._months.get((local.year, local.month), self._price_parts)

    def _price(self, local: datetime, period: str) -> Decimal:
        energy, adders = self._parts(local)
        return (energy * self.profile.ratios[period] + adders).quantize(_UNIT, ROUND_HALF_UP)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is UTC:
        return at
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no time zone; instants are aware, in UTC")
    return at.astimezone(UTC)
