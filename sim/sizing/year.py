"""Weeks that stand for the year, each with its share of it.

A part of the year is a run of days of one month with one pattern of prices: a month, or the holidays in it that have
prices of their own. Of each part seven days in the middle of its longest run are simulated (fewer where it has not so
many), so that every weekday counts once, after the day before as a warm-up. Temperature, demand, tariff, sun and
demand response of a simulated day are those of its date. `few` keeps four of the weeks and lets each speak for the
parts that are most like it.

Over the station's life the fleet grows and packs age. The share of the year and the cost are those of the mean over
its years; the promise is asked in the hardest year too, in its hardest week.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import combinations
from pathlib import Path

from scheduler.demand_response import limit_at
from scheduler.tariff import Tariff
from scheduler.tariff_files import load_tariff
from sim.scenario.demand import HourlyRates
from sim.scenario.file import Scenario

DAY = timedelta(days=1)
WEEK_DAYS = 7
FEW = 4
"""Weeks of the quick form."""
SELDOM_DAYS = 14
"""Parts of fewer days, such as holidays, speak for no others in the quick form."""
Pattern = tuple[tuple[float, float], ...]
"""Prices of a day: hour from its begin, yuan/kWh."""


@dataclass(frozen=True, slots=True)
class YearSpan:
    """Days that are simulated for a part of the year."""

    start_on: date
    """First day that is simulated, the warm-up included."""
    warmup_days: float
    days: float
    weight: float = 1.0
    """Share of the year for which it stands; 0: only the promise is asked there."""
    year: int = 0
    """Year of the station's life, 1 first; 0: the mean of its years, or no life is given."""
    growth: float = 1.0
    """Trucks relative to the scenario."""
    soh_pct: float | None = None
    """State of health of the packs; None: as the scenario says."""

    @property
    def from_on(self) -> date:
        """First day that counts."""
        return self.start_on + timedelta(days=int(self.warmup_days))

    @property
    def until_on(self) -> date:
        """Last day that counts."""
        return self.from_on + timedelta(days=max(int(self.days) - 1, 0))


def plain_span(scenario: Scenario, days: float, warmup_days: float) -> YearSpan:
    """Consecutive days from the scenario's own first day on, for all of the year."""
    return YearSpan(scenario.study.start_on, warmup_days, days)


def placed(scenario: Scenario, span: YearSpan) -> Scenario:
    """The scenario on the days of a span, with the fleet and the packs of its year."""
    changes: dict[str, object] = {}
    if scenario.study.start_on != span.start_on:
        changes["study"] = scenario.study.model_copy(update={"start_on": span.start_on})
    growth = span.growth
    if span.soh_pct is not None:
        changes["equipment"] = scenario.equipment.model_copy(update={"soh_pct": span.soh_pct})
        if scenario.demand.mode == "profile":
            # A pack that holds less is empty sooner: its truck comes as much more often.
            growth *= scenario.equipment.soh_pct / span.soh_pct
    if growth != 1.0:
        changes["demand"] = scenario.demand.model_copy(update={"factor": scenario.demand.factor * growth})
    return scenario.model_copy(update=changes) if changes else scenario


@dataclass(frozen=True, slots=True)
class YearPart:
    """Days of one month with one pattern of prices."""

    days: tuple[date, ...]
    trucks_a_day: float
    busiest_per_h: float
    """Trucks of the hour with the most."""
    yuan_per_kwh: float
    """Mean price, weighted with the trucks of the hour."""
    outside_c: float
    import_share: float
    """Of the site's limit, what demand response leaves, mean of the day."""

    @property
    def week(self) -> tuple[date, ...]:
        """Seven days in the middle of its longest run, or all of that."""
        runs: list[list[date]] = []
        for day in self.days:
            if runs and day - runs[-1][-1] == DAY:
                runs[-1].append(day)
            else:
                runs.append([day])
        longest = max(runs, key=len)
        first = max((len(longest) - WEEK_DAYS) // 2, 0)
        return tuple(longest[first : first + WEEK_DAYS])

    @property
    def load(self) -> float:
        """How hard its days are: more trucks, less grid, and the cold, in which packs charge slowly."""
        return (
            self.busiest_per_h * self.trucks_a_day / max(self.import_share, 0.05) * (1 + max(0, -self.outside_c) / 100)
        )


def parts_of(scenario: Scenario) -> list[YearPart]:
    """The parts of the year of `study.start_on`, January first."""
    tariff = load_tariff(scenario.tariff, scenario.zone, Path(scenario.folder))
    year = scenario.study.start_on.year
    days = [date(year, 1, 1) + n * DAY for n in range(366)]
    grouped: dict[tuple[int, Pattern, Pattern], list[date]] = defaultdict(list)
    segment: list[date] = []
    seen: dict[bool, Pattern] = {}

    def close() -> None:
        if segment:
            weekend = seen.get(True, seen.get(False, ()))
            grouped[segment[0].month, seen.get(False, weekend), weekend].extend(segment)

    for day in days:
        if day.year != year:
            break
        pattern, weekend = _pattern(tariff, scenario, day), day.isoweekday() >= 6
        if segment and (segment[-1].month != day.month or seen.get(weekend, pattern) != pattern):
            close()
            segment, seen = [], {}
        segment.append(day)
        seen[weekend] = pattern
    close()
    return [_part(scenario, tariff, tuple(part)) for part in grouped.values()]


def _midnight(scenario: Scenario, day: date) -> datetime:
    return datetime.combine(day, time(), scenario.zone)


def _pattern(tariff: Tariff, scenario: Scenario, day: date) -> Pattern:
    start_at, end_at = _midnight(scenario, day), _midnight(scenario, day + DAY)
    return tuple(
        ((part.from_at - start_at).total_seconds() / 3600, part.price_yuan_per_kwh)
        for part in tariff.slices(start_at, end_at)
    )


def _part(scenario: Scenario, tariff: Tariff, days: tuple[date, ...]) -> YearPart:
    bare = YearPart(days, 0.0, 0.0, 0.0, 0.0, 1.0)
    week = bare.week
    start_at = _midnight(scenario, week[0])
    rates = HourlyRates(scenario, start_at)
    hours = range(24 * len(week))
    instants = [start_at + timedelta(hours=hour) for hour in hours]
    trucks = [rates[hour] if scenario.demand.mode == "profile" else 1.0 for hour in hours]
    limit_kw = scenario.equipment.grid_limit_kw
    left = 0.0
    for at in instants:
        dr_kw = limit_at(scenario.dr_events, at, scenario.zone)[0] if scenario.dr_events else None
        left += 1.0 if dr_kw is None else min(dr_kw / limit_kw, 1.0)
    prices = [tariff.slice_at(at).price_yuan_per_kwh for at in instants]
    return replace(
        bare,
        trucks_a_day=sum(trucks) / len(week),
        busiest_per_h=max(trucks),
        yuan_per_kwh=sum(p * n for p, n in zip(prices, trucks, strict=True)) / (sum(trucks) or 1.0),
        outside_c=scenario.climate.mean_c_by_month[week[0].month - 1],
        import_share=left / len(hours),
    )


def weeks_of(scenario: Scenario, *, few: bool = False) -> tuple[YearSpan, ...]:
    """The weeks of a year, weights adding up to 1, and last the hardest week of the hardest year of the life.

    A recorded trace has days of its own and no year: it is simulated as it stands, `study.days` of it.
    """
    if scenario.demand.mode == "trace":
        return (plain_span(scenario, float(scenario.study.days), 1.0),)
    parts = parts_of(scenario)
    days_of = {n: float(len(part.days)) for n, part in enumerate(parts)}
    if few and len(parts) > FEW:
        days_of = _spoken_for(parts, days_of)
    whole = sum(days_of.values())
    life = scenario.life
    mean = YearSpan(parts[0].week[0], 1.0, 1.0)
    if life is not None:
        years = range(1, life.years + 1)
        growths = [life.growth_in(n) for n in years]
        sohs = [life.soh_pct_in(n, scenario.costs.pack_life_years) for n in years]
        mean = replace(mean, growth=sum(growths) / len(growths), soh_pct=round(sum(sohs) / len(sohs), 2))
    spans = [
        replace(mean, start_on=parts[n].week[0] - DAY, days=float(len(parts[n].week)), weight=days / whole)
        for n, days in days_of.items()
    ]
    if life is not None:
        worst = max(years, key=lambda n: growths[n - 1] / sohs[n - 1])
        hardest = spans[hardest_of(parts, days_of)]
        spans.append(
            replace(hardest, weight=0.0, year=worst, growth=growths[worst - 1], soh_pct=round(sohs[worst - 1], 2))
        )
    return tuple(spans)


def hardest_of(parts: Sequence[YearPart], days_of: Mapping[int, float]) -> int:
    """Place among the spans of the part with the greatest load."""
    loads = [parts[n].load for n in days_of]
    return loads.index(max(loads))


def hardest_week(scenario: Scenario, spans: Sequence[YearSpan]) -> int:
    """Place of the span that the search asks first: that of the hardest year, else of the most load."""
    if spans[-1].weight == 0:
        return len(spans) - 1
    if len(spans) == 1:
        return 0
    by_day = {day: part for part in parts_of(scenario) for day in part.days}
    loads = [by_day[span.from_on].load for span in spans]
    return loads.index(max(loads))


def _spoken_for(parts: Sequence[YearPart], days_of: Mapping[int, float]) -> dict[int, float]:
    """Four of the parts, the hardest among them, with the days of those that are most like each."""
    means = [sum(values) / len(values) for values in zip(*(_marks(part) for part in parts), strict=True)]

    def far(one: int, other: int) -> float:
        pairs = zip(_marks(parts[one]), _marks(parts[other]), means, strict=True)
        return sum(((a - b) / (mean or 1.0)) ** 2 for a, b, mean in pairs)

    distance = [[far(one, other) for other in range(len(parts))] for one in range(len(parts))]
    hardest = max(days_of, key=lambda n: parts[n].load)
    # A handful of parts: every choice is looked at.
    others = [n for n, days in days_of.items() if n != hardest and days >= SELDOM_DAYS]
    choices = ((hardest, *rest) for rest in combinations(others, FEW - 1))
    best = min(choices, key=lambda chosen: sum(d * min(distance[n][c] for c in chosen) for n, d in days_of.items()))
    found = dict.fromkeys(sorted(best), 0.0)
    for n, days in days_of.items():
        found[min(best, key=lambda c: (distance[n][c], c))] += days
    return found


def _marks(part: YearPart) -> tuple[float, ...]:
    """What tells parts of the year apart; each counts relative to its mean. Cold counts as 1 % of load a degree."""
    return part.trucks_a_day, part.busiest_per_h, part.yuan_per_kwh, 3 + part.outside_c / 40, part.import_share
