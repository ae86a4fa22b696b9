"""What a scenario expects of a week, for a station without a record of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest

from sim.scenario import expected
from sim.scenario.demand import Arrival, arrivals
from sim.scenario.expected import ExpectedWeeks, spread
from sim.scenario.file import Scenario
from tests.support.sim.study import scenario

TRIPS = {"km_loaded": 20, "km_empty": 20, "kwh_per_km_loaded": 3.0, "kwh_per_km_empty": 1.0}


def test_a_profile_says_its_rates() -> None:
    rates = [float(hour) for hour in range(24)]
    factors = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0]
    made = scenario(
        demand={"trucks_per_hour_by_hour": rates, "factor_by_weekday": factors, "follows_cold": False, "factor": 2.0}
    )
    week = ExpectedWeeks(made)(made.start_at)
    assert week.source == made.id
    assert week.dispersion == 1.0
    assert np.array(week.by_weekday_hour) == pytest.approx(2.0 * np.outer(factors, rates))


def test_the_month_counts() -> None:
    months = [1.0] * 11 + [0.25]
    made = scenario(demand={"trucks_per_hour_by_hour": [4.0] * 24, "factor_by_month": months, "follows_cold": False})
    weeks = ExpectedWeeks(made)
    start_at = made.start_at
    december = start_at + timedelta(days=(347 - start_at.timetuple().tm_yday) % 365)
    assert sum(map(sum, weeks(december).by_weekday_hour)) == pytest.approx(0.25 * 4 * 168)


def test_convoys_spread_wider_as_their_arrivals_do() -> None:
    """Against counts of the scenario's own arrivals, by spans far longer than a convoy."""
    convoys = {"share": 0.35, "sizes": {"2": 0.5, "3": 0.35, "4": 0.15}, "headway_s": 60}
    made = scenario(demand={"trucks_per_hour_by_hour": [6.0] * 24, "follows_cold": False, "convoys": convoys})
    days, span_s = 200, 6 * 3600
    counts = np.zeros(days * 4)
    for truck in arrivals(made, made.start_at, 1):
        if truck.at_s >= days * 86_400:
            break
        counts[int(truck.at_s // span_s)] += 1
    assert spread(made) == pytest.approx(2.09, abs=0.01)
    assert counts.var() / counts.mean() == pytest.approx(spread(made), rel=0.12)
    assert counts.mean() == pytest.approx(36.0, rel=0.05)


def test_no_more_weeks_are_drawn_than_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller waits for it: of many trucks one week says enough, and a record that ends is not thinned by it."""
    asked: list[float] = []

    def trucks(hours: int) -> Callable[..., Iterator[Arrival]]:
        def come(made: Scenario, start_at: datetime, seed: int) -> Iterator[Arrival]:
            first = next(iter(arrivals(made, start_at, seed)))
            for number in range(20 * hours):
                asked.append(180.0 * number)
                yield first._replace(at_s=180.0 * number)

        return come

    made = scenario(demand={"mode": "fleet"}, fleets=[f.model_dump() | {"trips": TRIPS} for f in scenario().fleets])
    for hours in (5 * 168, 168):
        asked.clear()
        monkeypatch.setattr(expected, "arrivals", trucks(hours))
        week = ExpectedWeeks(made)(made.start_at)
        assert sum(map(sum, week.by_weekday_hour)) == pytest.approx(20 * 168)
        assert asked[-1] <= 7 * 86_400


def test_trucks_without_rates_are_drawn_and_counted() -> None:
    made = scenario()
    fleets = [fleet.model_dump() | {"trips": TRIPS} for fleet in made.fleets]
    driving = scenario(demand={"mode": "fleet"}, fleets=fleets)
    week = ExpectedWeeks(driving)(driving.start_at)
    seconds = 7 * 86_400
    came = 0
    for truck in arrivals(driving, driving.start_at, 5):
        if truck.at_s >= seconds:
            break
        came += 1
    assert sum(map(sum, week.by_weekday_hour)) == pytest.approx(came, rel=0.1)
    assert week.dispersion == 1.0
