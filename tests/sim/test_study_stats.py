from __future__ import annotations

import math
import random

import numpy as np
import pytest

from sim.study.stats import (
    difference,
    estimate,
    mser5,
    quantile_estimate,
    ratio_estimate,
    replications_needed,
    t_cdf,
    t_quantile,
    variance_estimate,
)

# Two-sided 95 % and 99 % points of the usual tables (Fisher & Yates).
TABLE = [(0.975, 1, 12.7062), (0.975, 4, 2.7764), (0.975, 9, 2.2622), (0.975, 30, 2.0423), (0.995, 9, 3.2498)]


@pytest.mark.parametrize(("p", "degrees", "value"), TABLE)
def test_t_quantiles_are_those_of_the_tables(p: float, degrees: int, value: float) -> None:
    assert t_quantile(p, degrees) == pytest.approx(value, abs=5e-5)
    assert t_cdf(t_quantile(p, degrees), degrees) == pytest.approx(p, abs=1e-12)
    assert t_quantile(1 - p, degrees) == pytest.approx(-value, abs=5e-5)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    samples = draw.normal(10, 3, (4000, 6))
    inside = [estimate(row).low <= 10 <= estimate(row).high for row in samples]
    # 4 000 intervals: standard error of the share 0.0034.
    assert sum(inside) / len(inside) == pytest.approx(0.95, abs=0.014)


def test_quantiles_of_sections_cover_the_truth() -> None:
    draw = np.random.default_rng(2)
    exact = -math.log(0.05)
    inside = 0
    for _ in range(600):
        found = quantile_estimate(list(draw.exponential(1.0, (10, 400))), 0.95)
        inside += found.low <= exact <= found.high
    assert inside / 600 == pytest.approx(0.95, abs=0.035)


def test_a_ratio_is_that_of_the_sums() -> None:
    found = ratio_estimate([10.0, 30.0, 20.0], [1.0, 3.0, 2.0])
    assert found.mean == pytest.approx(10)
    assert found.standard_error == pytest.approx(0, abs=1e-12)
    assert math.isnan(ratio_estimate([0.0], [0.0]).mean)


def test_variance_has_an_error_of_its_own() -> None:
    draw = np.random.default_rng(3)
    found = variance_estimate(draw.normal(0, 2, 20_000))
    assert abs(found.mean - 4) < 4 * found.standard_error
    assert found.standard_error == pytest.approx(4 * math.sqrt(2 / 20_000), rel=0.1)


def test_common_random_numbers_shrink_a_difference() -> None:
    rng = random.Random(4)
    shared = [rng.gauss(0, 5) for _ in range(200)]
    one = [value + rng.gauss(1, 0.5) for value in shared]
    other = [value + rng.gauss(0, 0.5) for value in shared]
    paired = difference(one, other)
    assert paired.standard_error < 0.2 * math.hypot(estimate(one).standard_error, estimate(other).standard_error)
    assert paired.low <= 1 <= paired.high
    with pytest.raises(ValueError, match="cannot be paired"):
        difference([1.0], [1.0, 2.0])


def test_mser_cuts_a_start_that_is_unlike_the_rest() -> None:
    rng = random.Random(5)
    series = [10 * math.exp(-i / 40) + rng.gauss(0, 1) for i in range(2000)]
    assert 60 <= mser5(series) <= 400
    assert mser5([rng.gauss(0, 1) for _ in range(2000)]) <= 500
    assert mser5([1.0] * 10) == 0


def test_replications_needed_reach_the_half_width() -> None:
    rng = random.Random(6)
    pilot = estimate([rng.gauss(0, 1) for _ in range(10)])
    count = replications_needed(pilot, 0.2)
    spread = pilot.standard_error * math.sqrt(10)
    assert t_quantile(0.975, count - 1) * spread / math.sqrt(count) <= 0.2
    assert count > 50


def test_a_quantile_counts_what_is_only_known_to_be_longer() -> None:
    draw = np.random.default_rng(5)
    values, seen_until = draw.exponential(1.0, (8, 2000)), draw.exponential(3.0, (8, 2000))
    known = [row[row <= until] for row, until in zip(values, seen_until, strict=True)]
    longer = [until[row > until] for row, until in zip(values, seen_until, strict=True)]
    exact = -math.log(0.1)
    assert quantile_estimate(known, 0.9, 0.95, longer).mean == pytest.approx(exact, rel=0.03)
    assert quantile_estimate(known, 0.9).mean < 0.8 * exact
    # Nobody is left out: the same as without. All that is known is shorter: nothing can be said.
    assert quantile_estimate(known, 0.9, 0.95, [[]]) == quantile_estimate(known, 0.9)
    assert math.isnan(quantile_estimate([[1.0, 2.0]], 0.9, 0.95, [[3.0, 3.0]]).mean)
