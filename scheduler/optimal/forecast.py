"""When trucks are expected, and how many may come.

The mean says when the next packs come back and go, the quantile of the promised service level how many trucks must be
counted on within a time. Counts are Poisson, or wider where trucks come in groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import exp, inf, log

import numpy as np

from scheduler.optimal.problem import Floats


@lru_cache(maxsize=4096)
def count_quantile(mean: float, level: float, dispersion: float = 1.0) -> int:
    """Least count that at least `level` of all draws do not exceed.

    Args:
        dispersion: variance ÷ mean. At 1 counts are Poisson; above, where trucks come in groups, they are negative
            binomial with that variance.

    Raises:
        ValueError: a mean below 0, a level outside 0 … 1, or a dispersion below 1.
    """
    if not (0 <= mean < inf and 0 < level < 1 and 1 <= dispersion < inf):
        raise ValueError(
            f"mean is {mean} (0 or more), level {level} (between 0 and 1), dispersion {dispersion} (1 or more)"
        )
    if mean == 0:
        return 0
    count, share = 0, _none_share(mean, dispersion)
    below = share
    while below < level and count <= mean + 40 * (1 + mean * dispersion) ** 0.5:
        share *= _next_share(mean, dispersion, count)
        count += 1
        below += share
    return count


def share_up_to(count: int, mean: float, dispersion: float = 1.0) -> float:
    """Share of draws that do not exceed a count; as of `count_quantile`."""
    if mean == 0:
        return 1.0
    share = below = _none_share(mean, dispersion)
    for number in range(count):
        share *= _next_share(mean, dispersion, number)
        below += share
    return min(below, 1.0)


_POISSON = 1e-6
"""A dispersion that is no further above 1."""


def _none_share(mean: float, dispersion: float) -> float:
    more = dispersion - 1
    return exp(-mean) if more < _POISSON else exp(-mean / more * log(dispersion))


def _next_share(mean: float, dispersion: float, count: int) -> float:
    """Share of draws of one more than a count ÷ share of draws of the count."""
    more = dispersion - 1
    if more < _POISSON:
        return mean / (count + 1)
    return (count + mean / more) / (count + 1) * more / dispersion


@dataclass(frozen=True)
class Rates:
    """Expected trucks by hours from the plan's begin: rate i holds over [i, i + 1) × `step_h`; after the last none."""

    per_h: Sequence[float]
    step_h: float = 1.0
    dispersion: float = 1.0
    """Variance ÷ mean of the count of trucks: above 1 where they come in groups."""

    @cached_property
    def counts(self) -> tuple[Floats, Floats]:
        """Expected trucks until each instant, and the instants."""
        per = np.asarray(self.per_h, dtype=np.float64) * self.step_h
        return np.concatenate([[0.0], np.cumsum(per)]), np.asarray(
            np.arange(len(per) + 1) * self.step_h, dtype=np.float64
        )

    def between(self, from_h: float, until_h: float) -> float:
        """Expected trucks in a span."""
        counts, at_h = self.counts
        upper, lower = np.interp([until_h, from_h], at_h, counts)
        return float(upper - lower)


def expected_at_h(rates: Rates, horizon_h: float) -> list[float]:
    """Mean instants of the trucks of the horizon: where half a truck more than the ones before has come."""
    counts, at_h = rates.counts
    total = float(np.interp(horizon_h, at_h, counts))
    wanted = np.arange(int(total + 0.5)) + 0.5
    return [float(x) for x in np.interp(wanted, counts, at_h)]
