"""How sure a simulated number is.

Independent replications and Student's t (Law, Simulation Modeling and Analysis, 5th ed., ch. 9), warm-up by
MSER-5 (White 1997), batch means for one long run, quantiles by sectioning, paired differences under common
random numbers. No SciPy: the t distribution is worked out here, to about 1e-12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = Sequence[float] | NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its uncertainty."""

    mean: float
    standard_error: float
    count: int
    """Independent values behind it."""
    confidence: float = 0.95

    @property
    def half_width(self) -> float:
        """Half the width of the confidence interval; inf when there is only one value."""
        if self.count < 2:
            return math.inf
        return t_quantile(0.5 + self.confidence / 2, self.count - 1) * self.standard_error

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half_width


def estimate(values: Values, confidence: float = 0.95) -> Estimate:
    """Mean of independent values. Raises ValueError for none."""
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("no values to estimate from")
    error = float(data.std(ddof=1) / math.sqrt(data.size)) if data.size > 1 else math.inf
    return Estimate(float(data.mean()), error, int(data.size), confidence)


def difference(one: Sequence[float], other: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Mean of `one - other`, pair by pair: both must come from the same seeds in the same order."""
    if len(one) != len(other):
        raise ValueError(f"{len(one)} values cannot be paired with {len(other)}")
    return estimate([a - b for a, b in zip(one, other, strict=True)], confidence)


def variance_estimate(values: Values, confidence: float = 0.95) -> Estimate:
    """Variance of independent values, with a standard error from their fourth moment."""
    data = np.asarray(values, dtype=float)
    deviations = data - data.mean()
    variance = float(deviations.var(ddof=1))
    fourth = float((deviations**4).mean())
    error = math.sqrt(max(fourth - variance**2, 0.0) / data.size)
    return Estimate(variance, error, int(data.size), confidence)


def quantile_estimate(
    sections: Sequence[Values], p: float, confidence: float = 0.95, censored: Sequence[Values] = ()
) -> Estimate:
    """The p-quantile of values that come in independent sections (replications).

    The value is that of all sections together, which is nearly unbiased; the error is that of the sections'
    shares below it, carried over by the slope of the pooled distribution.

    Args:
        censored: values of which only is known that they are larger; they count by the product-limit estimate (Kaplan
            & Meier 1958). The quantile is not a number where it lies beyond all that is known.
    """
    pooled = np.sort(np.concatenate([np.asarray(section, dtype=float) for section in sections]))
    if pooled.size == 0:
        raise ValueError("no values to take a quantile of")
    cut_off = np.concatenate([np.zeros(0), *(np.asarray(section, dtype=float) for section in censored)])
    if cut_off.size:
        known_p = _share_known(pooled, cut_off, p)
        if known_p is None:
            return Estimate(math.nan, math.nan, len(sections), confidence)
        p = known_p
    value = _at(pooled, p)
    weights = np.array([len(section) for section in sections], dtype=float)
    below = np.array([np.count_nonzero(np.asarray(section) <= value) for section in sections], dtype=float)
    share = below.sum() / weights.sum()
    count = len(sections)
    if count < 2:
        return Estimate(value, math.inf, count, confidence)
    spread = float(((below - share * weights) ** 2).sum()) / (count - 1)
    share_error = math.sqrt(spread / count) / float(weights.mean())
    error = (_at(pooled, min(p + share_error, 1.0)) - _at(pooled, max(p - share_error, 0.0))) / 2
    return Estimate(value, error, count, confidence)


def _share_known(known: Floats, cut_off: Floats, p: float) -> float | None:
    """The share of the known values up to their p-quantile among all; None where it lies beyond the last."""
    at_risk = known.size - np.arange(known.size) + (cut_off.size - np.searchsorted(np.sort(cut_off), known))
    below = 1 - np.cumprod(1 - 1 / at_risk)
    place = int(np.searchsorted(below, p, side="right"))
    return None if place >= known.size else (place + 0.5) / known.size


def _at(ordered: Floats, p: float) -> float:
    return float(ordered[min(int(p * ordered.size), ordered.size - 1)])


def ratio_estimate(numerators: Sequence[float], denominators: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Ratio of two means over the same replications, for instance wait per truck (delta method)."""
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    count = int(top.size)
    if bottom.sum() == 0:
        return Estimate(math.nan, math.nan, count, confidence)
    ratio = float(top.sum() / bottom.sum())
    if count < 2:
        return Estimate(ratio, math.inf, count, confidence)
    residual = top - ratio * bottom
    error = math.sqrt(float((residual**2).sum()) / (count - 1) / count) / abs(float(bottom.mean()))
    return Estimate(ratio, error, count, confidence)


def mser5(series: Values) -> int:
    """How many of the first values to leave out as warm-up: a multiple of 5, at most half of them.

    Takes means of five and cuts where the standard error of what is left is least (White, Cobb & Spratt 2000).
    """
    data = np.asarray(series, dtype=float)
    groups = data.size // 5
    if groups < 4:
        return 0
    means = data[: groups * 5].reshape(groups, 5).mean(axis=1)
    # Sums over means[d:] for every cut d, from running sums from the back.
    left = np.arange(groups, 0, -1)
    sums = means[::-1].cumsum()[::-1]
    squares = (means**2)[::-1].cumsum()[::-1]
    statistic = (squares - sums**2 / left) / left**2
    return int(np.argmin(statistic[: groups // 2 + 1])) * 5


def replications_needed(pilot: Estimate, half_width: float) -> int:
    """Replications for a half-width: the least n with t·s/√n at most that, s from a pilot."""
    if half_width <= 0:
        raise ValueError(f"half_width = {half_width}; it must be above 0")
    spread = pilot.standard_error * math.sqrt(pilot.count)
    count = max(pilot.count, 2)
    while t_quantile(0.5 + pilot.confidence / 2, count - 1) * spread / math.sqrt(count) > half_width:
        count = max(count + 1, int(count * 1.02))
    return count


@lru_cache(maxsize=4096)
def t_quantile(p: float, degrees: int) -> float:
    """Quantile of Student's t distribution."""
    if not 0 < p < 1 or degrees < 1:
        raise ValueError(f"p = {p}, degrees = {degrees}; allowed 0 < p < 1 and 1 degree or more")
    if p < 0.5:
        return -t_quantile(1 - p, degrees)
    low, high = 0.0, max(NormalDist().inv_cdf(p), 1.0)
    while t_cdf(high, degrees) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if t_cdf(middle, degrees) < p:
            low = middle
        else:
            high = middle
        if high - low < 1e-13 * high:
            break
    return (low + high) / 2


def t_cdf(t: float, degrees: int) -> float:
    """Distribution function of Student's t."""
    tail = 0.5 * _beta_share(degrees / 2, 0.5, degrees / (degrees + t * t))
    return 1 - tail if t >= 0 else tail


def _beta_share(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function, by its continued fraction (Lentz)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(b, a, 1 - x)
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    result = d
    for m in range(1, 1000):
        up = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away_from_zero(1 + up * d, tiny)
        c = _away_from_zero(1 + up / c, tiny)
        result *= d * c
        down = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _away_from_zero(1 + down * d, tiny)
        c = _away_from_zero(1 + down / c, tiny)
        result *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return front * result / a


def _away_from_zero(value: float, tiny: float) -> float:
    return tiny if abs(value) < tiny else value
