"""What a station says that it can shed is carried out by the study: nobody waits whom it did not name."""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import timedelta

import pytest

from scheduler.response.flexibility import LEAST_KWH, LEAST_WAIT, FlexPoint, Restraint, flexibility
from tests.support.sim.flexible import Window, carried_out, window_by_chance

WINDOWS = int(os.environ.get("FLEXIBILITY_WINDOWS", "12"))
"""200 in a long run."""
TOLERANCE = 0.05


def shed_kw(window: Window, point: FlexPoint) -> tuple[float, list[str]]:
    """What was shed at the meter, mean of the point's minutes, and who waited for it."""
    planned, held = carried_out(window, None), carried_out(window, point)
    last = round(point.minutes / 15)
    charged = [one.charged_kwh[last] - one.charged_kwh[0] for one in (planned, held)]
    kw = (charged[0] - charged[1]) / (point.minutes / 60) / window.config.site.charger_efficiency
    end_at = window.until_at
    late = [
        truck
        for truck, at in planned.called_at.items()
        if at <= end_at and (truck not in held.called_at or held.called_at[truck] - at > LEAST_WAIT)
    ]
    return kw, late


def test_what_is_offered_is_carried_out() -> None:
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    worst = 0.0
    seed = 0
    while counts["windows"] < WINDOWS:
        seed += 1
        window = window_by_chance(seed)
        found = flexibility(window.course_of(), window.from_at, window.until_at, window.config.site.base_load_kw)
        points = [point for point in found.shed if point.minutes > 0]
        if not points:
            counts["nothing to shed"] += 1
            continue
        counts["windows"] += 1
        point = random.Random(seed).choice(points)
        counts["named a truck"] += point.first is not None
        kw, late = shed_kw(window, point)
        error = abs(kw - point.kw) / point.kw
        worst = max(worst, error)
        if late or error > TOLERANCE:
            wrong.append(f"seed {seed}: {point.kw:.1f} kW for {point.minutes:g} min said, {kw:.1f} kW, late: {late}")
    print(dict(counts), f"worst error {worst:.1%}", *wrong, sep="\n")
    assert not wrong


def test_what_is_absorbed_is_carried_out() -> None:
    """To a floor that lies inside what could be absorbed; by the study, which draws what the course has said."""
    wrong: list[str] = []
    seed, checked, worst = 0, 0, 0.0
    while checked < max(WINDOWS // 3, 4):
        seed += 1
        window = window_by_chance(seed)
        course_of, (from_at, until_at) = window.course_of(), (window.from_at, window.until_at)
        found = flexibility(course_of, from_at, until_at, window.config.site.base_load_kw)
        if found.absorb is None or from_at + timedelta(minutes=found.absorb.minutes) < until_at:
            continue
        checked += 1
        floor_kw = found.planned_kw + 0.6 * found.absorb.kw
        held = course_of(Restraint(from_at, until_at, None, floor_kw))
        said_kw = held.mean_kw(from_at, until_at)
        planned, raised = carried_out(window, None), carried_out(window, floor_kw)
        hours = (until_at - from_at) / timedelta(hours=1)
        kwh = raised.charged_kwh[-1] - raised.charged_kwh[0]
        drawn_kw = kwh / hours / window.config.site.charger_efficiency + window.config.site.base_load_kw
        error = abs(drawn_kw - said_kw) / said_kw
        worst = max(worst, error)
        late = [truck for truck, at in planned.called_at.items() if raised.called_at[truck] - at > LEAST_WAIT]
        if late or error > TOLERANCE or said_kw < found.planned_kw + 0.3 * found.absorb.kw:
            wrong.append(f"seed {seed}: {said_kw:.1f} kW said, {drawn_kw:.1f} kW, {found.planned_kw:.1f}, late: {late}")
    print(f"{checked} windows of {seed}, worst error {worst:.1%}", *wrong, sep="\n")
    assert not wrong


@pytest.mark.parametrize("seed", [70, 137])
def test_what_lies_within_the_error_of_a_course_is_not_offered(seed: int) -> None:
    """Windows in which some kW, but less than a course errs, could be shed."""
    window = window_by_chance(seed)
    found = flexibility(window.course_of(), window.from_at, window.until_at, window.config.site.base_load_kw)
    assert all(point.kw * point.minutes / 60 >= LEAST_KWH for point in found.shed if point.minutes > 0)


def test_the_truck_that_is_named_waits_when_it_is_held_longer() -> None:
    checked = 0
    for seed in range(1, 60):
        window = window_by_chance(seed)
        found = flexibility(window.course_of(), window.from_at, window.until_at, window.config.site.base_load_kw)
        named = [point for point in found.shed if point.first is not None and point.first.minutes > 3]
        if not named:
            continue
        point = named[-1]
        longer = FlexPoint(point.limit_kw, point.minutes + 15, 1.0, 1.0, None, 0, 0)
        planned, held = carried_out(window, None), carried_out(window, longer)
        assert point.first is not None
        truck = point.first.truck
        assert truck not in held.called_at or held.called_at[truck] - planned.called_at[truck] > LEAST_WAIT, seed
        checked += 1
        if checked == 3:
            return
    pytest.fail(f"only {checked} windows name a truck")
