"""Demand response to the minute: limits change at their instants, and nothing looks in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scheduler.demand_response import event_on
from scheduler.site import DrEventSection
from sim.scenario.file import Scenario
from sim.study.agenda import Call
from sim.study.swap_truck import scenario_station
from sim.world.world import World
from tests.support.sim.study import plain_scenario, scenario

HOUR_S, DAY_S = 3600.0, 86_400.0
EVENING = {"from_hour": 18.25, "hours": 1.5, "limit_kw": 100}


def limited_hours(made: Scenario, from_h: float, until_h: float) -> list[tuple[float, float, float | None]]:
    """Spans of one limit: begin and end in hours from the start, limit in kW."""
    world = World(made, 1, 0)
    found: list[tuple[float, float, float | None]] = []
    at_s = from_h * HOUR_S
    while at_s < until_h * HOUR_S:
        now = world.at(at_s)
        assert now.until_s > at_s
        limit_kw = now.limits.dr_limit_kw
        if found and found[-1][2] == limit_kw:
            found[-1] = (found[-1][0], now.until_s / HOUR_S, limit_kw)
        else:
            found.append((at_s / HOUR_S, now.until_s / HOUR_S, limit_kw))
        at_s = now.until_s
    return found


def with_events(*events: dict[str, Any], **over: Any) -> Scenario:
    return scenario(dr_events=list(events), **over)


def test_an_event_holds_from_its_minute_to_its_minute() -> None:
    made = with_events(EVENING)
    assert limited_hours(made, 0, 24) == [(0, 18.25, None), (18.25, 19.75, 100), (19.75, 24, None)]
    third = with_events(EVENING | {"from_hour": 10 + 1 / 3, "hours": 1 / 60})
    assert limited_hours(third, 10, 11)[1] == pytest.approx((10 + 20 / 60, 10 + 21 / 60, 100))


def test_an_event_passes_midnight() -> None:
    made = with_events({"from_hour": 23.5, "hours": 1.25, "limit_kw": 200})
    assert limited_hours(made, 0, 48) == [
        (0, 0.75, 200),  # that of the evening before
        (0.75, 23.5, None),
        (23.5, 24.75, 200),
        (24.75, 47.5, None),
        (47.5, 48, 200),
    ]


def test_an_event_belongs_to_the_month_in_which_it_begins() -> None:
    event = {"from_hour": 23.5, "hours": 1.25, "limit_kw": 200, "months": [1]}
    made = with_events(event, study={"start_on": "2026-01-31"})
    assert limited_hours(made, 20, 48) == [(20, 23.5, None), (23.5, 24.75, 200), (24.75, 48, None)]
    made = with_events(event, study={"start_on": "2025-12-31"})
    assert limited_hours(made, 20, 47) == [(20, 47, None)]


def test_the_lowest_of_overlapping_events_holds() -> None:
    made = with_events(EVENING, {"from_hour": 19, "hours": 2, "limit_kw": 50})
    assert limited_hours(made, 18, 22) == [(18, 18.25, None), (18.25, 19, 100), (19, 21, 50), (21, 22, None)]


def test_an_event_of_a_whole_day_never_ends() -> None:
    assert limited_hours(with_events({"from_hour": 7.5, "hours": 24, "limit_kw": 300}), 0, 72) == [(0, 72, 300)]


def test_local_time_counts() -> None:
    day = datetime(2026, 6, 1, 12, tzinfo=scenario(timezone="Asia/Shanghai").zone)
    begin_at, end_at = event_on(DrEventSection(from_hour=7.75, hours=0.5, limit_kw=1), day)
    assert begin_at == datetime(2026, 5, 31, 23, 45, tzinfo=UTC)
    assert end_at - begin_at == timedelta(minutes=30)


def test_charging_slows_down_at_the_minute() -> None:
    """282 kW from 18 h, 100 kW from 18.25 h, 282 kW from 19.75 h: 282 - 70.5 - 150 = 61.5 kWh are left then."""
    made = plain_scenario(spare_bays=2)
    made = made.model_copy(
        update={
            "dr_events": (DrEventSection(**EVENING),),
            "demand": made.demand.model_copy(update={"trucks_per_hour_by_hour": (1e-4,) * 24}),
        }
    )
    flow = scenario_station(made, 1)

    def put(call: Call) -> None:
        bay = next(bay for bay in flow.rack.bays if bay.pack is None)
        flow.rack.place(bay, flow.kinds.pack("spent", "lfp-282", 0.0, 20.0))

    flow.time.at(18 * HOUR_S, put)
    flow.run_until(18 * HOUR_S + 1)
    plans = flow.rack.plans
    ready_s = (19.75 + 61.5 / 282) * HOUR_S
    flow.run_until(ready_s - 0.001)
    assert len(flow.rack.charged) == 8
    # Planned anew at both ends of the event and not once in between.
    assert flow.rack.plans == plans + 2
    flow.run_until(ready_s + 0.001)
    assert len(flow.rack.charged) == 9
    flow.close()
    spans = {hour.start_s / HOUR_S: hour for hour in flow.hours}
    assert spans[18.25].import_kwh == pytest.approx(100 * 0.75)
    assert spans[18.25].hours == pytest.approx(0.75)
    assert spans[19.0].import_kwh == pytest.approx(100 * 0.75)


def test_an_event_of_one_day_is_called_on_it_alone() -> None:
    made = with_events(EVENING | {"on": "2026-06-02", "months": [1]}, study={"start_on": "2026-06-01"})
    assert limited_hours(made, 0, 72) == [(0, 42.25, None), (42.25, 43.75, 100), (43.75, 72, None)]
