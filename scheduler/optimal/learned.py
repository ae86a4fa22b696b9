"""Trucks ahead, learned from those that came: by weekday and hour, with how far counts spread, and what packs hold.

Each hour's mean is that of the record, drawn towards what was expected before anybody came (a scenario, or nothing
but the record's own mean) as long as the record is short: so many days of the expectation count as days of record.
Weekdays are factors on top of it. How far counts spread beyond chance (trucks that come in groups) is Pearson's
statistic over the hours of the record. `coverage_of` says how good it is: each day of the record forecast from the days
before it, and how often each quantile held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Protocol

import numpy as np

from scheduler.optimal.forecast import Rates, count_quantile, share_up_to
from scheduler.optimal.problem import Floats

RECORD = timedelta(days=28)
"""So much of the past is learned from: each weekday four times."""
PRIOR_DAYS = 7.0
"""An expectation from before the record counts as so many days of it."""
OWN_DAYS = 1.0
"""Where there is none, the record's mean counts as so many days of each hour."""
WEEKDAY_DAYS = 1.0
"""The expected factor of a weekday counts as so many of these days."""
SPREAD_HOURS = 48.0
"""The expected spread counts as so many hours of record."""
MOST_SPREAD = 10.0
LEVELS = (0.5, 0.8, 0.9, 0.95)
SPAN_H = 1
"""Counts are judged by spans of so many hours."""
LEARN_FIRST = timedelta(days=3)
"""Before so much record nothing is judged."""
_HOUR = timedelta(hours=1)


class Basis(StrEnum):
    """What a forecast stands on."""

    RECORD = "record"
    """More days of record than the expectation counts for."""
    MIXED = "mixed"
    """Fewer: the expectation counts for more."""
    EXPECTED = "expected"
    """There is no record: the expectation alone."""
    ASKED = "asked"
    """Somebody has said how many come."""
    NONE = "none"
    """Nothing: no truck is expected."""


@dataclass(frozen=True, slots=True)
class CamePack:
    """A pack that came off a truck."""

    kind: str
    soc_pct: float | None = None
    """None: it was not read."""


@dataclass(frozen=True, slots=True)
class CameTruck:
    """A truck of the record."""

    at: datetime
    model: str
    packs: tuple[CamePack, ...] = ()


@dataclass(frozen=True, slots=True)
class ComingExpected:
    """What was expected before anybody came."""

    source: str
    """Name of the file it is from."""
    by_weekday_hour: tuple[tuple[float, ...], ...]
    """Trucks in each local hour, Monday first."""
    dispersion: float = 1.0

    def __post_init__(self) -> None:
        """Raises ValueError for a table of another shape, or a rate that is none."""
        check_rates(self.source, self.by_weekday_hour, self.dispersion)


@dataclass(frozen=True, slots=True)
class PackLevels:
    """States of charge of the packs of a kind that came off."""

    mean_pct: float
    quantiles_pct: tuple[tuple[float, float], ...]
    """Level and state of charge."""
    packs: int


@dataclass(frozen=True)
class TruckForecast:
    """Trucks to come, of every week alike."""

    basis: Basis
    source: str
    """File of the expectation; empty where there was none."""
    days: float
    """Of record."""
    trucks: int
    """In it."""
    by_weekday_hour: Floats
    """Mean trucks in each local hour, Monday first."""
    dispersion: float
    """Variance ÷ mean of the count of an hour."""
    models: Mapping[str, int]
    """Trucks of the record by vehicle model."""
    packs: Mapping[str, PackLevels]
    """By kind, what the packs of the record held."""
    zone: tzinfo

    def per_h(self, at: datetime) -> float:
        """Mean trucks an hour at an instant."""
        local = at.astimezone(self.zone)
        return float(self.by_weekday_hour[local.weekday(), local.hour])

    def rates(self, at: datetime, hours: float) -> Rates:
        """Mean trucks from an instant on, in quarters of an hour."""
        quarters = [at + timedelta(minutes=15 * n + 7.5) for n in range(int(4 * hours) + 4)]
        return Rates([self.per_h(quarter) for quarter in quarters], 0.25, self.dispersion)

    def expects_any(self) -> bool:
        """Whether a truck is expected at all."""
        return bool(np.any(self.by_weekday_hour > 0))


def steady(per_h: float, zone: tzinfo) -> TruckForecast:
    """So many trucks in every hour, as somebody asks for them."""
    return TruckForecast(Basis.ASKED, "", 0.0, 0, np.full((7, 24), per_h), 1.0, {}, {}, zone)


class TruckForecaster(Protocol):
    """Says which trucks to expect. The learned one is `LearnedTrucks`; whoever knows better (a dispatch plan of the
    mine, a feed) takes its place."""

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        """The trucks to expect after `at`.

        Args:
            came: who came from `since` to `at`, in any order.
        """
        ...


def check_forecast(said: object) -> None:
    """Whether what a forecaster has said can be counted on at all.

    Raises:
        TypeError: it is no forecast.
        ValueError: rates or spread that are none.
    """
    if not isinstance(said, TruckForecast):
        raise TypeError(f"a forecaster has said a {type(said).__name__}, not a TruckForecast")
    check_rates("a forecaster", said.by_weekday_hour, said.dispersion)
    if not all(0 <= levels.mean_pct <= 100 for levels in said.packs.values()):
        raise ValueError("a forecaster has said a state of charge that is none")


def check_rates(source: str, by_weekday_hour: object, dispersion: float) -> None:
    """Raises ValueError for a table of another shape, or a rate or spread that is none."""
    table = np.asarray(by_weekday_hour, dtype=np.float64)
    if table.shape != (7, 24) or not np.all(np.isfinite(table) & (table >= 0)) or not 1 <= dispersion < np.inf:
        raise ValueError(f"expected trucks of {source}: 7 × 24 rates of 0 or more and a spread of 1 or more")


@dataclass(frozen=True)
class LearnedTrucks:
    """Learns from the record, and falls back to an expectation where that is short."""

    zone: tzinfo
    expected_at: Callable[[datetime], ComingExpected] | None = None
    """The expectation of the week of an instant; None: there is none."""

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        """As of `TruckForecaster`."""
        since = max(since, at - RECORD)
        known = [truck for truck in came if since <= truck.at < at]
        expected = None if self.expected_at is None else self.expected_at(at)
        counts, seen_h = _counted(known, since, at, self.zone)
        table = _table(counts, seen_h, expected)
        days = max((at - since) / timedelta(days=1), 0.0) if known else 0.0
        return TruckForecast(
            _basis(days, len(known), expected),
            "" if expected is None else expected.source,
            days,
            len(known),
            table,
            _dispersion(spans_of(known, since, at, self.zone), table, expected),
            Counter(truck.model for truck in known),
            _levels(known),
            self.zone,
        )


def _basis(days: float, trucks: int, expected: ComingExpected | None) -> Basis:
    if expected is None:
        return Basis.RECORD if trucks else Basis.NONE
    if not trucks:
        return Basis.EXPECTED
    return Basis.RECORD if days >= PRIOR_DAYS else Basis.MIXED


def _dispersion(spans: Sequence[tuple[datetime, int]], table: Floats, expected: ComingExpected | None) -> float:
    """Pearson's statistic over the whole hours of the record, drawn towards what is expected."""
    means = np.array([table[local.weekday(), local.hour] for local, _ in spans])
    found = np.array([count for _, count in spans], dtype=np.float64)
    counts = means > 0
    seen = float(np.sum((found[counts] - means[counts]) ** 2 / means[counts]))
    before = 1.0 if expected is None else expected.dispersion
    return float(np.clip((seen + SPREAD_HOURS * before) / (int(counts.sum()) + SPREAD_HOURS), 1.0, MOST_SPREAD))


def spans_of(came: Sequence[CameTruck], since: datetime, until: datetime, zone: tzinfo) -> list[tuple[datetime, int]]:
    """Begin in local time and trucks of each whole hour within a time."""
    first = since.astimezone(UTC)
    whole = first.replace(minute=0, second=0, microsecond=0)
    whole += _HOUR if whole < first else timedelta(0)
    number = Counter(int((truck.at - whole) / _HOUR) for truck in came if truck.at >= whole)
    total = max(int((until - whole) / _HOUR), 0)
    return [((whole + n * _HOUR).astimezone(zone), number[n]) for n in range(total)]


def _counted(came: Sequence[CameTruck], since: datetime, until: datetime, zone: tzinfo) -> tuple[Floats, Floats]:
    """Trucks, and hours of record, by weekday and hour."""
    counts, seen_h = np.zeros((7, 24)), np.zeros((7, 24))
    for truck in came:
        local = truck.at.astimezone(zone)
        counts[local.weekday(), local.hour] += 1
    at = since.astimezone(UTC)
    while came and at < until:
        next_at = min(at.replace(minute=0, second=0, microsecond=0) + _HOUR, until)
        local = at.astimezone(zone)
        seen_h[local.weekday(), local.hour] += (next_at - at) / _HOUR
        at = next_at
    return counts, seen_h


def _table(counts: Floats, seen_h: Floats, expected: ComingExpected | None) -> Floats:
    """Mean trucks by weekday and hour."""
    if expected is not None:
        before = np.asarray(expected.by_weekday_hour, dtype=np.float64)
        weight = PRIOR_DAYS
    else:
        hours = float(seen_h.sum())
        before = np.full((7, 24), float(counts.sum()) / hours if hours > 0 else 0.0)
        weight = OWN_DAYS
    by_hour = before.mean(axis=0)
    day = before.sum(axis=1)
    factor = day / day.mean() if day.mean() > 0 else np.ones(7)
    # An hour's record counts as its weekday's factor says, so that a record of working days alone says nothing wrong.
    shown = seen_h * factor[:, None]
    by_hour = (weight * by_hour + counts.sum(axis=0)) / (weight + shown.sum(axis=0))
    asked = (seen_h * by_hour[None, :]).sum(axis=1)
    usual = WEEKDAY_DAYS * float(by_hour.sum())
    if usual > 0:
        factor = (counts.sum(axis=1) + usual * factor) / (asked + usual)
    return np.asarray(factor[:, None] * by_hour[None, :], dtype=np.float64)


def _levels(came: Sequence[CameTruck]) -> dict[str, PackLevels]:
    read: dict[str, list[float]] = {}
    for truck in came:
        for pack in truck.packs:
            if pack.soc_pct is not None and 0 <= pack.soc_pct <= 100:
                read.setdefault(pack.kind, []).append(pack.soc_pct)
    return {
        kind: PackLevels(
            float(np.mean(levels)),
            tuple((level, float(np.quantile(levels, level))) for level in (0.05, *LEVELS)),
            len(levels),
        )
        for kind, levels in sorted(read.items())
    }


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often a quantile held that was said before."""

    level: float
    number: int
    """Of hours or packs."""
    said: float
    """Share of counts at or below it by the forecast itself: above the level, since trucks are whole."""
    seen: float
    """Share of counts that were."""


@dataclass(frozen=True)
class Calibration:
    """Each day of the record, forecast from the days before it."""

    trucks: tuple[Coverage, ...]
    """Counts of an hour."""
    packs: tuple[Coverage, ...] = field(default=())
    """States of charge of packs, of all kinds: `said` is the level."""
    mean_error: float = 0.0
    """Mean of the forecast ÷ what came, less 1, over all days judged."""


def coverage_of(
    forecaster: TruckForecaster, came: Sequence[CameTruck], since: datetime, at: datetime, zone: tzinfo
) -> Calibration:
    """Judge a forecaster on the record: every day after the first ones, from what was known at its begin."""
    said: dict[float, list[float]] = {level: [] for level in LEVELS}
    held: dict[float, list[bool]] = {level: [] for level in LEVELS}
    pack_held: dict[float, list[bool]] = {}
    mean, count_sum = 0.0, 0
    day_at = since + LEARN_FIRST
    while day_at < at:
        end_at = min(day_at + timedelta(days=1), at)
        known = forecaster.forecast([truck for truck in came if truck.at < day_at], since, day_at)
        day = [truck for truck in came if day_at <= truck.at < end_at]
        for local, count in spans_of(day, day_at, end_at, zone):
            hour_mean = known.per_h(local)
            mean, count_sum = mean + hour_mean, count_sum + count
            for level in LEVELS:
                most = count_quantile(hour_mean, level, known.dispersion)
                said[level].append(share_up_to(most, hour_mean, known.dispersion))
                held[level].append(count <= most)
        for pack in (pack for truck in day for pack in truck.packs):
            levels = known.packs.get(pack.kind)
            if levels is not None and pack.soc_pct is not None:
                for level, soc_pct in levels.quantiles_pct:
                    pack_held.setdefault(level, []).append(pack.soc_pct <= soc_pct)
        day_at = end_at
    return Calibration(
        tuple(
            Coverage(level, len(held[level]), float(np.mean(said[level])), float(np.mean(held[level])))
            for level in LEVELS
            if held[level]
        ),
        tuple(Coverage(level, len(seen), level, float(np.mean(seen))) for level, seen in sorted(pack_held.items())),
        mean / count_sum - 1 if count_sum else 0.0,
    )
