"""The study under the optimiser."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from scheduler.optimal.outlook import COOL_H, task_of
from scheduler.optimal.problem import Tier
from scheduler.types import PackState
from sim.study.optimal import planned
from sim.study.optimal.planned import CannotPlan, Habits, StudyPlanner, check_plannable, under_plan, under_rule
from sim.study.rows import StudyTruck
from sim.study.station import Station
from sim.study.study import RunTask, run_task, simulate_once
from tests.support.sim.study import scenario

DAY_S = 86_400.0


def run(habits: Habits | None, seed: int = 3) -> tuple[Station, StudyPlanner | None]:
    """A day of a quiet station whose trucks come at any hour."""
    made = scenario(
        demand={"mode": "profile", "trucks_per_hour_by_hour": [3.0] * 24},
        equipment={"packs": {"lfp-282": 10}, "transformer_kva": 2000},
    )
    station = Station(made, seed)
    planner = None if habits is None else StudyPlanner(made, seed, 0, habits)
    if planner is not None:
        planner.attach(station)
    station.build()
    station.run_until(1.2 * DAY_S)
    station.close()
    return station, planner


def yuan_per_kwh(station: Station) -> float:
    """What importing cost, less what the rack holds more than at the start, for each kWh handed out."""
    yuan = sum(hour.import_kwh * hour.price_yuan_per_kwh for hour in station.hours)
    kept_kwh = station.stock_kwh() - station.first_kwh
    return yuan / (station.handed_kwh - station.taken_kwh + kept_kwh)


def test_who_knows_the_trucks_buys_cheaper_and_lets_none_wait_longer() -> None:
    by_rule, _ = run(None)
    planned_station, planner = run(Habits("own", every_min=120))
    assert planner is not None
    assert planner.plans >= 14
    assert planner.failed == 0
    assert yuan_per_kwh(planned_station) < 0.97 * yuan_per_kwh(by_rule)
    assert len(planned_station.waits) == len(by_rule.waits)
    assert max(planned_station.waits) <= max(by_rule.waits) + 60.0


def test_expected_trucks_are_a_forecast_and_those_that_wait_a_promise() -> None:
    station, planner = run(Habits("expected", every_min=240))
    assert planner is not None
    now_s = station.time.now
    task = task_of(planner.outlook(station.start_at + timedelta(seconds=now_s), now_s))
    problem, reach = task.problem, task.reach
    tiers = {goal.tier for store in problem.stores for goal in store.goals}
    assert Tier.FORECAST in tiers
    assert len(reach) == len(problem.hours)
    price, starts_h = problem.site.import_yuan_per_kwh, problem.starts_h
    wait_h = station.scenario.promise.wait_limit_min / 60
    for slot, by_kind in enumerate(reach):
        change = next((later for later in range(slot, len(price)) if price[later] != price[slot]), None)
        falls = change is not None and price[change] < price[slot] and starts_h[change] - starts_h[slot] <= 1.0
        assert all(0.0 <= hours[0] < wait_h if falls else hours[0] == 0.0 for hours in by_kind.values())
    assert any(hours[0] > 0 for by_kind in reach for hours in by_kind.values()), "before a fall a truck may wait"


def test_the_study_tells_of_packs_on_their_way_of_kept_ones_of_bookings_and_of_changes_of_the_limit() -> None:
    made = scenario(
        demand={"mode": "profile", "trucks_per_hour_by_hour": [6.0] * 24},
        bookings={"share": 0.5, "hold_before_min": 60},
        dr_events=[{"from_hour": 18.25, "hours": 1.5, "limit_kw": 600}],
    )
    station = Station(made, 3)
    planner = StudyPlanner(made, 3, 0, Habits(every_min=240))
    planner.attach(station)
    station.build()
    under_way: list[StudyTruck] = []
    station.listeners.append(lambda at_s, event, truck: under_way.append(truck) if event == "dispatched" else None)
    now_s = 6 * 3600.0
    while not (under_way and under_way[-1].stored == 0 and under_way[-1].lane is not None and station.promised):
        under_way.clear()
        now_s += 60.0
        station.run_until(now_s)
    bay = next(bay for bay in station.rack.bays if bay.content is not None and bay.content.state is PackState.READY)
    assert bay.content is not None
    bay.content.state = PackState.COOLING
    seen = planner.outlook(station.start_at + timedelta(seconds=now_s), now_s)
    (coming,) = seen.incoming
    spent = under_way[-1].spent[0]
    assert (coming.soc_pct, coming.charger_kw) == (spent.soc_pct, station.rack.charger_kw)
    assert 0.0 < coming.at_h < 0.2
    event_at = datetime(made.start_at.year, made.start_at.month, made.start_at.day, 18, 15, tzinfo=made.zone)
    assert {event_at, event_at + timedelta(hours=1.5)} <= set(seen.changes)
    assert {truck.name for truck in seen.trucks if truck.replaces} == {truck.swap_id for truck in station.promised}
    task = task_of(seen)
    from_h = {store.name: store.from_h for store in task.problem.stores}
    assert from_h[bay.bay_id] == COOL_H
    assert from_h["incoming 1"] == coming.at_h


def test_the_same_seed_gives_the_same_run() -> None:
    made = under_plan(scenario(demand={"mode": "profile", "trucks_per_hour_by_hour": [3.0] * 24}), "optimal")
    one, again = (run_task(RunTask(made, 1, 0, 0.1, 0.0)).means for _ in range(2))
    assert one == again


def test_every_run_of_the_scenario_is_planned_as_its_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also pilots of the warm-up and designs of a search: they are all runs of the scenario."""
    made = scenario(demand={"mode": "profile", "trucks_per_hour_by_hour": [3.0] * 24})
    attached: list[str] = []

    class Counted(StudyPlanner):
        def attach(self, station: Station) -> None:
            attached.append(self.scenario.id)
            super().attach(station)

    monkeypatch.setattr("sim.study.study.StudyPlanner", Counted)
    simulate_once(made, 1, days=0.05, warmup_days=0.0)
    assert attached == []
    simulate_once(under_plan(made, "optimal"), 1, days=0.05, warmup_days=0.0)
    assert attached == [made.id]


def test_a_study_that_cannot_plan_says_so_and_its_report_names_who_charges() -> None:
    made = scenario(demand={"mode": "profile", "trucks_per_hour_by_hour": [3.0] * 24})
    assert under_rule(made) == (made, ())
    ruled, (note,) = under_rule(under_plan(made, "optimal"))
    assert ruled.charging.plan == "rule"
    assert "price rule" in str(note)


def test_what_cannot_be_planned_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    made = scenario()
    made = under_plan(made.model_copy(update={"demand": made.demand.model_copy(update={"mode": "fleet"})}), "optimal")
    with pytest.raises(CannotPlan, match="fleet"):
        check_plannable(made)
    monkeypatch.setattr(planned, "has_solver", lambda: False)
    with pytest.raises(CannotPlan, match="highspy is not installed"):
        check_plannable(under_plan(scenario(), "optimal"))
    check_plannable(scenario())  # the price rule needs no solver
