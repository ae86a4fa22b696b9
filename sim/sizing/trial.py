"""A design with the replications it has had, week by week, and what they say of the whole year.

The weeks are strata: each has replications of its own, a sum over the year weighs their means, and its variance is
the weighted sum of theirs, with the degrees of freedom of Welch and Satterthwaite.

How many trucks come is drawn, and most of what differs between replications comes from that: one per cent more trucks
by chance make the year one per cent dearer. A profile says how many come on average, so what a number of the year owes
to that chance is taken out by regression on the trucks (Cochran, Sampling Techniques, 3rd ed., 7.10; a control variate,
Law, 5th ed., 11.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from sim.scenario.expected import mean_trucks_per_day
from sim.scenario.file import Scenario
from sim.sizing.verdict import Verdict
from sim.sizing.year import YearSpan, placed
from sim.study.design import Design, running_yuan_per_year
from sim.study.stats import Estimate, difference, estimate, ratio_estimate
from sim.study.study import RunResult, StudyResult

LEAST_DEGREES = 6
"""Degrees of freedom from which on a regression pays: the one that it takes widens an interval by a sixth at most."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """A number of the replications of one week."""

    weight: float
    values: Sequence[float]
    too_many: Sequence[float] = ()
    """Trucks a day that came in each replication beyond their mean over all draws; empty: that is not known."""


@dataclass
class Trial:
    """A design with the replications it has had in each span of the year."""

    design: Design
    scenario: Scenario
    capital_yuan: float
    spans: tuple[YearSpan, ...]
    by_span: list[list[RunResult]] = field(default_factory=list)
    verdict: Verdict = None
    """Keeps the promise for certain (True), breaks it (False), or neither is certain."""
    asked: tuple[int, ...] = ()
    """Places of the spans in which the verdict was asked for; a design that was only compared in cost has none."""

    _year: list[RunResult] = field(default_factory=list, repr=False)
    _expected: dict[int, float | None] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.by_span:
            self.by_span = [[] for _ in self.spans]

    def add(self, at: int, runs: Sequence[RunResult]) -> None:
        """More replications of one span."""
        self.by_span[at] += runs
        self._year = []

    @property
    def simulated(self) -> list[int]:
        """Places of the spans that were simulated."""
        return [n for n, runs in enumerate(self.by_span) if runs]

    @property
    def complete(self) -> bool:
        """Whether every week of the year was simulated, so that its cost and its share are known."""
        return all(runs for span, runs in zip(self.spans, self.by_span, strict=True) if span.weight > 0)

    @property
    def weights(self) -> dict[int, float]:
        """Share of the year by place of the spans that were simulated, adding up to 1."""
        found = {n: self.spans[n].weight for n in self.simulated if self.spans[n].weight > 0}
        found = found or dict.fromkeys(self.simulated, 1.0)
        whole = sum(found.values())
        return {n: weight / whole for n, weight in found.items()}

    @property
    def runs(self) -> list[RunResult]:
        """Replications of the year: each of a replication of every simulated week."""
        if not self._year:
            weights = self.weights
            count = min((len(self.by_span[n]) for n in weights), default=0)
            self._year = [
                combined([self.by_span[n][at] for n in weights], list(weights.values())) for at in range(count)
            ]
        return self._year

    def result(self) -> StudyResult:
        """The replications so far as a study."""
        runs = self.runs
        first = min(self.weights)
        confidence = self.scenario.promise.confidence
        span = self.spans[first]
        return StudyResult(self.scenario, runs[0].seed, runs[0].days, span.warmup_days, tuple(runs), confidence)

    def share_in(self, at: int) -> Estimate:
        """Share served within the promise in one span."""
        return share_of(self.by_span[at], self.scenario.promise.confidence)

    @property
    def share(self) -> Estimate:
        """Share served within the promise over the weeks that were simulated."""
        return self.ratio(lambda run: run.within / run.days, lambda run: run.arrived / run.days)

    def ratio(self, top: Callable[[RunResult], float], bottom: Callable[[RunResult], float]) -> Estimate:
        """Ratio of two means over the year, of what replications tell; not a number where the lower is 0."""
        confidence = self.scenario.promise.confidence
        mean = self.over_the_year(bottom).mean
        if mean == 0:
            return Estimate(math.nan, math.nan, 1, confidence)
        ratio = self.over_the_year(top).mean / mean
        rest = self.over_the_year(lambda run: (top(run) - ratio * bottom(run)) / mean)
        return Estimate(ratio, rest.standard_error, rest.count, confidence)

    @property
    def hardest(self) -> tuple[int, Estimate]:
        """The span with the least share within the promise, and that share; of those that were asked, if any was."""
        shares = {n: self.share_in(n) for n in self.simulated if n in self.asked or not self.asked}
        at = min(shares, key=lambda n: shares[n].mean)
        return at, shares[at]

    def over_the_year(self, value: Callable[[RunResult], float]) -> Estimate:
        """Mean over the year of something that a replication of a week tells, for the trucks that come on average."""
        strata = [
            Stratum(weight, [value(run) for run in self.by_span[n]], self.too_many(n))
            for n, weight in self.weights.items()
        ]
        return stratified(strata, self.scenario.promise.confidence)

    def too_many(self, at: int) -> list[float]:
        """Trucks a day that came in each replication of a span beyond their mean; none where that is not known."""
        if at not in self._expected:
            span = self.spans[at]
            self._expected[at] = mean_trucks_per_day(placed(self.scenario, span), span.warmup_days, span.days)
        expected = self._expected[at]
        return [] if expected is None else [run.came_per_day - expected for run in self.by_span[at]]

    @property
    def cost(self) -> Estimate:
        """Yearly cost; that of the simulated weeks counts for the year where not every one was."""
        found = self.over_the_year(lambda run: running_yuan_per_year(self.scenario, run))
        return Estimate(self.capital_yuan + found.mean, found.standard_error, found.count, found.confidence)

    @property
    def drawn_yuan(self) -> float:
        """Yearly cost of the trucks that came in the replications, to compare with a bound for just these."""
        strata = [
            Stratum(weight, [running_yuan_per_year(self.scenario, run) for run in self.by_span[n]])
            for n, weight in self.weights.items()
        ]
        return self.capital_yuan + stratified(strata, self.scenario.promise.confidence).mean


def share_of(runs: Sequence[RunResult], confidence: float) -> Estimate:
    """Share served within the promise."""
    return ratio_estimate([float(run.within) for run in runs], [float(run.arrived) for run in runs], confidence)


def gap_of_ratios(
    one: Trial, other: Trial, top: Callable[[Trial], Callable[[RunResult], float]], bottom: Callable[[RunResult], float]
) -> Estimate:
    """How much larger a ratio over the year is for one than for the other, pair by pair on the same trucks."""
    means = [trial.over_the_year(bottom).mean for trial in (one, other)]
    if 0 in means:
        return Estimate(math.nan, math.nan, 1, one.scenario.promise.confidence)
    ratios = [trial.over_the_year(top(trial)).mean / mean for trial, mean in zip((one, other), means, strict=True)]

    def rest(at: int, run: RunResult) -> float:
        return (top((one, other)[at])(run) - ratios[at] * bottom(run)) / means[at]

    found = gap_over_the_year(one, other, lambda run: rest(0, run), lambda run: rest(1, run))
    return Estimate(ratios[0] - ratios[1], found.standard_error, found.count, found.confidence)


def gap_over_the_year(
    one: Trial, other: Trial, of_one: Callable[[RunResult], float], of_other: Callable[[RunResult], float]
) -> Estimate:
    """How much more a number of one is over the year than a number of the other, pair by pair on the same trucks."""
    strata = [
        Stratum(
            weight,
            [of_one(a) - of_other(b) for a, b in zip(one.by_span[n], other.by_span[n], strict=True)],
            one.too_many(n),
        )
        for n, weight in one.weights.items()
    ]
    return stratified(strata, one.scenario.promise.confidence)


def dearer_by(one: Trial, other: Trial, places: Sequence[int], count: int) -> Estimate:
    """How much more one costs a year than the other, on the same trucks: `count` replications of some spans."""
    strata = []
    for at in places:
        pairs = zip(one.by_span[at][:count], other.by_span[at][:count], strict=True)
        yuan = [running_yuan_per_year(one.scenario, a) - running_yuan_per_year(other.scenario, b) for a, b in pairs]
        strata.append(Stratum(one.spans[at].weight, yuan))
    found = stratified(strata, one.scenario.promise.confidence)
    more = one.capital_yuan - other.capital_yuan
    return Estimate(more + found.mean, found.standard_error, found.count, found.confidence)


def gain_of(more: Sequence[RunResult], less: Sequence[RunResult], confidence: float) -> Estimate:
    """How much larger a share is served within the promise by `more` than by `less`, on the same trucks."""
    count = min(len(more), len(less))
    return difference(
        [run.within / max(run.arrived, 1) for run in more[:count]],
        [run.within / max(run.arrived, 1) for run in less[:count]],
        confidence,
    )


def stratified(strata: Sequence[Stratum], confidence: float) -> Estimate:
    """Mean over the year of values that come week by week, independent in each week.

    Where the trucks beyond their mean are known and there are replications enough, what the values owe to them is taken
    out, with one slope for all weeks: the one that leaves the least variance. It is linear in the values, so that sums
    still add up. The count is one more than the degrees of freedom, so that the interval is that of Student's t.
    """
    whole = sum(stratum.weight for stratum in strata) or 1.0
    shares = [stratum.weight / whole for stratum in strata]
    freedom = sum(len(stratum.values) - 1 for stratum in strata)
    slope = 0.0
    if freedom >= LEAST_DEGREES and all(stratum.too_many for stratum in strata):
        slope = _slope(strata, shares)
    mean, parts = 0.0, []
    for share, stratum in zip(shares, strata, strict=True):
        values = stratum.values
        if slope != 0.0:
            values = [value - slope * more for value, more in zip(values, stratum.too_many, strict=True)]
        found = estimate(values, confidence)
        mean += share * found.mean
        parts.append(((share * found.standard_error) ** 2, found.count - 1))
    variance = sum(part for part, _ in parts)
    if not math.isfinite(variance):
        return Estimate(mean, math.inf, 1, confidence)
    # Welch-Satterthwaite; with no variance at all the degrees do not matter.
    degrees = variance**2 / sum(part**2 / n for part, n in parts) if variance > 0 else float(freedom)
    if slope != 0.0:
        # The slope was chosen to leave little.
        degrees, variance = degrees * (freedom - 1) / freedom, variance * freedom / (freedom - 1)
    return Estimate(mean, math.sqrt(variance), max(int(degrees), 1) + 1, confidence)


def _slope(strata: Sequence[Stratum], shares: Sequence[float]) -> float:
    """Change of the year's mean with a truck a day more in every week."""
    both, alone = 0.0, 0.0
    for share, stratum in zip(shares, strata, strict=True):
        count = len(stratum.values)
        if count < 2:
            continue
        more = np.asarray(stratum.too_many) - np.mean(stratum.too_many)
        by = share**2 / (count * (count - 1))
        both += by * float(more @ np.asarray(stratum.values, dtype=float))
        alone += by * float(more @ more)
    return both / alone if alone > 0 else 0.0


def combined(runs: Sequence[RunResult], weights: Sequence[float]) -> RunResult:
    """One replication of the year from one of each week: means by weight, waits drawn evenly in proportion to it."""
    if len(runs) == 1:
        return runs[0]
    days = [weight * sum(run.days for run in runs) for weight in weights]
    scale = [part / run.days for part, run in zip(days, runs, strict=True)]
    counts = {
        name: round(sum(getattr(run, name) * by for run, by in zip(runs, scale, strict=True)))
        for name in ("arrived", "within", "lost", "stockouts")
    }
    waits = {
        name: np.concatenate([_resampled(getattr(run, name), by) for run, by in zip(runs, scale, strict=True)])
        for name in ("waits_min", "unserved_min")
    }
    known = {"seed": runs[0].seed, "replication": runs[0].replication, "days": sum(days)} | counts | waits
    rest = {
        part.name: _weighed([getattr(run, part.name) for run in runs], weights)
        for part in fields(RunResult)
        if part.name not in known
    }
    return RunResult(**(known | rest))


def _resampled(waits_min: np.ndarray[Any, np.dtype[np.float32]], by: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """So many times as many waits with the same distribution: evenly spaced quantiles."""
    count = round(waits_min.size * by)
    if count == 0 or count == waits_min.size:
        return waits_min[:count]
    at = ((np.arange(count) + 0.5) / count * waits_min.size).astype(int)
    found: np.ndarray[Any, np.dtype[np.float32]] = np.sort(waits_min)[at]
    return found


def _weighed(values: Sequence[Any], weights: Sequence[float]) -> Any:
    """The weighted mean of numbers, of arrays, and of what holds them."""
    first = values[0]
    if isinstance(first, bool):
        return any(values)
    if isinstance(first, tuple):
        return tuple(_weighed(column, weights) for column in zip(*values, strict=True))
    if isinstance(first, Mapping):
        return {key: _weighed([value[key] for value in values], weights) for key in first}
    if is_dataclass(first) and not isinstance(first, type):
        named = {
            part.name: _weighed([getattr(value, part.name) for value in values], weights) for part in fields(first)
        }
        return replace(first, **named)
    return sum(value * weight for value, weight in zip(values, weights, strict=True))
