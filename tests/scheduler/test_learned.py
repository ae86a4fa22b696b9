"""Trucks learned from a record: means, spread, packs, what they stand on, and how well they have held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from scheduler.optimal.forecast import count_quantile, share_up_to
from scheduler.optimal.learned import (
    LEARN_FIRST,
    PRIOR_DAYS,
    RECORD,
    Basis,
    CamePack,
    CameTruck,
    ComingExpected,
    LearnedTrucks,
    TruckForecast,
    coverage_of,
    spans_of,
    steady,
)

ZONE = ZoneInfo("Asia/Shanghai")
MONDAY = datetime(2026, 6, 1, tzinfo=ZONE)
DAYS = 28


def rate(local: datetime) -> float:
    """Busy by day, half as many on Sundays."""
    return (6.0 if 8 <= local.hour < 20 else 1.0) * (0.5 if local.weekday() == 6 else 1.0)


def drawn(seed: int, *, days: int = DAYS, group: int = 1, soc_pct: float = 30.0) -> list[CameTruck]:
    """Trucks that come alone, or so many at once."""
    draw = np.random.default_rng(seed)
    found = []
    for hour in range(24 * days):
        begin = MONDAY + timedelta(hours=hour)
        for _ in range(draw.poisson(rate(begin) / group)):
            at = begin + timedelta(hours=draw.uniform())
            found += [
                CameTruck(at, "tractor", (CamePack("lfp", float(draw.normal(soc_pct, 5.0))),)) for _ in range(group)
            ]
    return found


def expected(per_h: float, dispersion: float = 1.0) -> Callable[[datetime], ComingExpected]:
    table = ((per_h,) * 24,) * 7
    return lambda at: ComingExpected("pit", table, dispersion)


def learned(
    came: Sequence[CameTruck],
    days: float = DAYS,
    expectation: Callable[[datetime], ComingExpected] | None = None,
) -> TruckForecast:
    return LearnedTrucks(ZONE, expectation).forecast(came, MONDAY, MONDAY + timedelta(days=days))


def test_hours_and_weekdays_are_learned() -> None:
    found = learned(drawn(1))
    table = found.by_weekday_hour
    assert table[:5, 8:20].mean() == pytest.approx(6.0, rel=0.08)
    assert table[:5, :8].mean() == pytest.approx(1.0, rel=0.2)
    assert table[6].sum() / table[:6].sum(axis=1).mean() == pytest.approx(0.5, abs=0.13), "four Sundays"
    at = MONDAY + timedelta(days=28, hours=7.5)
    assert found.rates(at, 2).between(0.5, 1.5) == pytest.approx(table[0, 8], rel=1e-9)
    assert found.rates(at, 2).between(0.0, 0.5) == pytest.approx(table[0, 7] / 2, rel=1e-9)
    assert found.basis is Basis.RECORD
    assert (found.trucks, found.models) == (len(drawn(1)), {"tractor": len(drawn(1))})


def test_a_short_record_is_drawn_to_what_was_expected() -> None:
    nobody = learned([], 0.0, expected(4.0))
    assert nobody.basis is Basis.EXPECTED
    assert nobody.source == "pit"
    assert nobody.by_weekday_hour == pytest.approx(np.full((7, 24), 4.0))
    came = drawn(2, days=2)
    short = learned(came, 2.0, expected(4.0))
    assert short.basis is Basis.MIXED
    busy = short.by_weekday_hour[:, 8:20].mean()
    assert 4.2 < busy < 4.9, "the record says 6, and counts two days of nine"
    assert learned(drawn(2), PRIOR_DAYS, expected(4.0)).basis is Basis.RECORD


def test_nothing_is_known_of_nothing() -> None:
    found = learned([], 0.0)
    assert found.basis is Basis.NONE
    assert not found.expects_any()
    assert found.rates(MONDAY, 24).between(0, 24) == 0
    one = learned(drawn(3, days=1)[:5], 1.0)
    assert one.basis is Basis.RECORD
    assert one.by_weekday_hour.sum(axis=1).mean() == pytest.approx(5.0, rel=0.05), "the record alone, spread out"


def test_what_is_older_than_four_weeks_no_longer_counts() -> None:
    since = MONDAY - RECORD
    came = [CameTruck(MONDAY - timedelta(days=20), "tractor")] * 500 + drawn(4)
    found = LearnedTrucks(ZONE).forecast(came, since, MONDAY + RECORD)
    assert found.trucks == len(came) - 500
    assert found.days == RECORD / timedelta(days=1)


def test_trucks_that_come_in_groups_spread_wider() -> None:
    assert learned(drawn(5)).dispersion == pytest.approx(1.0, abs=0.15)
    assert learned(drawn(5, group=3)).dispersion == pytest.approx(3.0, rel=0.2)
    assert learned(drawn(5, days=1), 1.0, expected(3.0, dispersion=2.5)).dispersion > 1.8, "one day says little"


def test_packs_are_learned_by_kind() -> None:
    unread = CameTruck(MONDAY + timedelta(hours=1), "tractor", (CamePack("nmc"), CamePack("lfp", 140.0)))
    levels = learned([*drawn(6), unread]).packs
    assert set(levels) == {"lfp"}
    assert levels["lfp"].mean_pct == pytest.approx(30.0, abs=0.5)
    assert dict(levels["lfp"].quantiles_pct)[0.95] == pytest.approx(30.0 + 1.645 * 5.0, abs=1.0)


@pytest.mark.parametrize("group", [1, 3])
def test_said_quantiles_hold(group: int) -> None:
    """Of days that the forecast has not seen."""
    came = drawn(7, group=group)
    held = coverage_of(LearnedTrucks(ZONE), came, MONDAY, MONDAY + timedelta(days=DAYS), ZONE)
    assert [one.level for one in held.trucks] == [0.5, 0.8, 0.9, 0.95]
    for one in held.trucks:
        assert one.number == 24 * (DAYS - LEARN_FIRST.days)
        assert one.said >= one.level
        assert one.seen == pytest.approx(one.said, abs=0.06), one
    assert held.packs[0].level == 0.05
    for one in held.packs:
        assert one.seen == pytest.approx(one.said, abs=0.04), one
    assert abs(held.mean_error) < 0.06


def test_a_forecast_that_is_wrong_is_shown_wrong() -> None:
    class Half:
        def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
            return steady(1.0, ZONE)

    held = coverage_of(Half(), drawn(8), MONDAY, MONDAY + timedelta(days=DAYS), ZONE)
    assert held.mean_error < -0.5
    assert {one.level: one.seen < one.said - 0.15 for one in held.trucks}[0.95]
    assert coverage_of(Half(), [], MONDAY, MONDAY + timedelta(days=1), ZONE).trucks == ()


def test_hours_are_whole_and_local() -> None:
    since = datetime(2026, 6, 1, 0, 30, tzinfo=UTC)
    came = [
        CameTruck(since, "t"),
        CameTruck(since + timedelta(minutes=40), "t"),
        CameTruck(since + timedelta(hours=2), "t"),
    ]
    found = spans_of(came, since, since + timedelta(hours=3), ZONE)
    assert [(local.hour, count) for local, count in found] == [(9, 1), (10, 1)]


@pytest.mark.parametrize(
    ("mean", "level", "dispersion", "count"),
    [(3.9, 0.95, 1.0, 7), (3.9, 0.95, 2.0, 9), (0.0, 0.95, 2.0, 0), (0.05, 0.9, 1.5, 0)],
)
def test_quantiles_of_counts(mean: float, level: float, dispersion: float, count: int) -> None:
    assert count_quantile(mean, level, dispersion) == count
    assert share_up_to(count, mean, dispersion) >= level
    assert count == 0 or share_up_to(count - 1, mean, dispersion) < level


def test_spread_counts_have_the_mean_and_variance_they_are_told() -> None:
    shares = np.diff([0.0, *(share_up_to(count, 4.0, 2.5) for count in range(200))])
    counts = np.arange(200)
    mean = float(shares @ counts)
    assert mean == pytest.approx(4.0)
    assert float(shares @ (counts - mean) ** 2) == pytest.approx(2.5 * 4.0)


def test_a_table_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="expected trucks of pit"):
        ComingExpected("pit", ((1.0,) * 24,) * 6)
    with pytest.raises(ValueError, match="expected trucks of pit"):
        ComingExpected("pit", ((-1.0,) * 24,) * 7)
