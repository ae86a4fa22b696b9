"""The weeks that stand for a year, and what is made of their replications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from sim.scenario.demand import arrivals
from sim.scenario.expected import mean_trucks_per_day
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.sizing.search import Effort, Search
from sim.sizing.trial import Stratum, Trial, combined, stratified
from sim.sizing.year import WEEK_DAYS, hardest_week, parts_of, placed, weeks_of
from sim.sizing.years import life_years, off_of_all
from sim.study.design import Design
from sim.study.parallel import Workers
from sim.study.stats import estimate
from sim.study.study import RunResult, RunTask, simulate_once
from tests.support.sim.study import scenario

YANGQUAN = Path(__file__).parents[2] / "examples" / "yangquan_mine" / "scenario.toml"


def test_each_day_of_the_year_belongs_to_one_part_and_holidays_with_prices_of_their_own_to_theirs() -> None:
    parts = parts_of(load_scenario(YANGQUAN))
    days = sorted(day for part in parts for day in part.days)
    assert days == [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    # Twelve months, and the deep-valley days of Spring Festival, Labour Day and National Day of the table.
    assert len(parts) == 15
    festival = next(part for part in parts if date(2026, 2, 17) in part.days)
    assert (festival.days[0], festival.days[-1]) == (date(2026, 2, 15), date(2026, 2, 23))
    rest = next(part for part in parts if date(2026, 2, 1) in part.days)
    assert festival.yuan_per_kwh < rest.yuan_per_kwh
    assert date(2026, 2, 28) in rest.days, "the days after it are like those before"


def test_whole_weeks_after_a_day_of_warm_up_with_weights_that_add_up_to_a_year() -> None:
    """P4: three days from a Tuesday on promised 99 %, the 28 days with their weekend served 72 %."""
    read = load_scenario(YANGQUAN)
    for few in (False, True):
        weeks = weeks_of(read, few=few)
        assert sum(week.weight for week in weeks) == pytest.approx(1)
        assert all(week.days <= WEEK_DAYS and week.from_on - week.start_on == timedelta(days=1) for week in weeks)
        whole = [week for week in weeks if week.days == WEEK_DAYS]
        assert all({(week.from_on + timedelta(days=n)).weekday() for n in range(7)} == set(range(7)) for week in whole)
        assert len(whole) >= len(weeks) - 1, "Labour Day has five days"
    assert len(weeks) == 4
    # 5 % more trucks come in November and December, and it is colder then.
    assert weeks[hardest_week(read, weeks)].from_on.month == 12


def test_a_year_has_its_own_months() -> None:
    """P5: a year was 365 days of the month in which the study begins."""
    summer = scenario(
        demand={"trucks_per_hour_by_hour": [5.0] * 24, "factor_by_month": [0.5] * 5 + [1.0] + [0.5] * 6},
        tariff={"profile": "flat"},
    )
    weeks = weeks_of(summer)
    assert [week.from_on.month for week in weeks] == list(range(1, 13))
    assert weeks[hardest_week(summer, weeks)].from_on.month == 6
    assert 6 in [week.from_on.month for week in weeks_of(summer, few=True)], "the quick form keeps the hardest"
    rates = [part.trucks_a_day for part in parts_of(summer)]
    assert len(rates) == 12
    assert rates[5] == pytest.approx(2 * rates[0])


def test_a_month_with_demand_response_is_a_hard_one() -> None:
    event = {"from_hour": 17, "hours": 5, "limit_kw": 200, "months": [8]}
    read = scenario(demand={"trucks_per_hour_by_hour": [5.0] * 24}, dr_events=[event])
    assert weeks_of(read)[hardest_week(read, weeks_of(read))].from_on.month == 8


def test_a_recorded_trace_has_no_year(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("at\n0\n600\n")
    read = scenario().model_copy(update={"folder": str(tmp_path)})
    read = read.model_copy(update={"demand": read.demand.model_copy(update={"mode": "trace", "trace": "trace.csv"})})
    (span,) = weeks_of(read)
    assert (span.start_on, span.days, span.weight) == (read.study.start_on, read.study.days, 1.0)


def test_the_promise_is_asked_in_the_hardest_year_of_the_life() -> None:
    life = {"years": 10, "growth_per_year": 0.05}
    read = scenario(demand={"trucks_per_hour_by_hour": [5.0] * 24}, life=life, costs={"pack_life_years": 8})
    assert read.life is not None
    # A straight line to 80 % at the end of the eighth year, then new packs.
    assert [read.life.soh_pct_in(n, 8) for n in (1, 4, 8, 9)] == [97.5, 90, 80, 97.5]
    weeks = weeks_of(read)
    assert sum(week.weight for week in weeks) == pytest.approx(1)
    hardest = weeks[-1]
    # 1.05^7 / 0.80 = 1.76 is more than 1.05^9 / 0.95 = 1.63.
    assert (hardest.year, hardest.weight, hardest.soh_pct) == (8, 0.0, 80.0)
    assert hardest_week(read, weeks) == len(weeks) - 1
    there = placed(read, hardest)
    assert there.equipment.soh_pct == 80
    assert there.demand.factor == pytest.approx(1.05**7 / 0.8), "packs that hold less are empty sooner"
    assert weeks[0].growth == pytest.approx(sum(1.05**n for n in range(10)) / 10)
    own = read.life.model_copy(update={"soh_pct_by_year": (99.0, 95.0)})
    assert [own.soh_pct_in(n, 8) for n in (1, 2, 7)] == [99, 95, 95]


def test_fleets_that_drive_their_trips_grow_by_trucks() -> None:
    trips = {"km_loaded": 20, "km_empty": 20, "kwh_per_km_loaded": 2, "kwh_per_km_empty": 1}
    fleet = {"id": "f1", "model": "tractor", "vehicles": 20, "trips": trips}
    read = scenario(demand={"mode": "fleet"}, fleets=[fleet], life={"years": 3, "growth_per_year": 0.5})
    there = placed(read, weeks_of(read)[-1])
    assert there.demand.factor == pytest.approx(2.25)


@pytest.fixture(scope="module")
def runs() -> tuple[list[RunResult], Scenario]:
    read = scenario(demand={"trucks_per_hour_by_hour": [6.0] * 24, "follows_cold": False})
    more = read.model_copy(update={"demand": read.demand.model_copy(update={"factor": 1.5})})
    return [simulate_once(made, 1, n, days=1, warmup_days=0.25) for made in (read, more) for n in range(3)], read


def test_a_year_of_equal_weeks_is_their_sum(runs: tuple[list[RunResult], Scenario]) -> None:
    few, many = runs[0][0], runs[0][3]
    year = combined([few, many], [0.5, 0.5])
    assert year.days == 2
    assert (year.arrived, year.within) == (few.arrived + many.arrived, few.within + many.within)
    assert sorted(year.waits_min) == sorted(np.concatenate([few.waits_min, many.waits_min]))
    assert year.means["swaps_per_day"] == pytest.approx((few.means["swaps_per_day"] + many.means["swaps_per_day"]) / 2)
    assert year.site_kw_by_hour == pytest.approx((few.site_kw_by_hour + many.site_kw_by_hour) / 2)
    assert year.storage == few.storage


def test_weeks_count_by_their_weight(runs: tuple[list[RunResult], Scenario]) -> None:
    found, read = runs
    few, many = found[0], found[3]
    year = combined([few, many], [0.75, 0.25])
    assert year.arrived == pytest.approx(2 * (0.75 * few.arrived + 0.25 * many.arrived), abs=1)
    assert year.means["swaps_per_day"] == pytest.approx(
        0.75 * few.means["swaps_per_day"] + 0.25 * many.means["swaps_per_day"]
    )
    low, high = sorted((np.quantile(few.waits_min, 0.9), np.quantile(many.waits_min, 0.9)))
    assert low <= np.quantile(year.waits_min, 0.9) <= high
    spans = weeks_of(read)[:2]
    heavy, light = replace(spans[0], weight=0.75), replace(spans[1], weight=0.25)
    trial = Trial(Design(8, 9, 2500, 1), read, 1000.0, (heavy, light), [found[:3], found[3:]])
    within, came = (
        0.75 * sum(getattr(run, name) for run in found[:3]) + 0.25 * sum(getattr(run, name) for run in found[3:])
        for name in ("within", "arrived")
    )
    assert trial.share.mean == pytest.approx(within / came)
    assert trial.hardest == (1, trial.share_in(1))
    assert trial.cost.mean > 1000


def test_no_two_weeks_have_the_same_draws() -> None:
    """With the same they would be lucky together: the cost of the year by other seeds lay far outside its interval."""
    read = scenario(demand={"trucks_per_hour_by_hour": [5.0] * 24}, tariff={"profile": "flat"})
    asked: list[RunTask] = []

    class Pool(Workers):
        def map(self, function: object, tasks: Sequence[object], on_done: object = None) -> list[object]:  # type: ignore[override]
            asked.extend(task for task in tasks if isinstance(task, RunTask))
            return [None for _ in tasks]

    search = Search(read, Pool(None, 1), Effort(7, spans=weeks_of(read)), 1)
    search.extend(search.trial(Design(7, 8, 2000, 1)), 3)
    assert len(asked) == 36
    assert len({(task.seed, task.replication) for task in asked}) == 36
    assert len({task.scenario.study.start_on for task in asked}) == 12


def test_the_error_of_a_stratified_mean() -> None:
    draw = np.random.default_rng(2)
    inside = 0
    for _ in range(2000):
        strata = [Stratum(0.7, draw.normal(1, 0.1, 3).tolist()), Stratum(0.3, draw.normal(5, 1.0, 4).tolist())]
        found = stratified(strata, 0.95)
        inside += found.low <= 0.7 * 1 + 0.3 * 5 <= found.high
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)
    one = stratified([Stratum(1.0, [1.0, 2.0, 4.0])], 0.95)
    assert one == estimate([1.0, 2.0, 4.0], 0.95), "of one stratum it is the plain one"


def test_what_a_year_owes_to_the_trucks_that_happened_to_come_is_taken_out() -> None:
    """Twelve weeks, two replications: the numbers hang on the trucks by another slope in each, and on other chance."""
    draw = np.random.default_rng(3)
    slopes = draw.uniform(80, 120, 12)
    known, plain, inside = [], [], 0
    for _ in range(1000):
        more = draw.normal(0, 5, (12, 2))
        values = 1e4 + slopes[:, None] * more + draw.normal(0, 100, (12, 2))
        found = stratified([Stratum(1 / 12, v.tolist(), m.tolist()) for v, m in zip(values, more, strict=True)], 0.95)
        known.append(found.mean)
        plain.append(stratified([Stratum(1 / 12, v.tolist()) for v in values], 0.95).mean)
        inside += found.low <= 1e4 <= found.high
    assert np.mean(known) == pytest.approx(1e4, abs=3)
    assert np.std(known) < np.std(plain) / 3
    assert 0.94 <= inside / 1000 <= 0.985, "with two of each a little too wide: Welch and Satterthwaite"


def test_a_regression_on_few_replications_is_none_and_what_adds_up_still_does() -> None:
    draw = np.random.default_rng(4)
    more = draw.normal(0, 5, (4, 4))
    one, other = draw.normal(9, 1, (4, 4)) + 2 * more, draw.normal(3, 1, (4, 4)) - more

    def mean(values: np.ndarray[tuple[int, int], np.dtype[np.float64]], count: int = 4) -> float:
        strata = [Stratum(0.25, v[:count].tolist(), m[:count].tolist()) for v, m in zip(values, more, strict=True)]
        return stratified(strata, 0.95).mean

    assert mean(one) + mean(other) == pytest.approx(mean(one + other), rel=1e-12)
    assert mean(one) != pytest.approx(one.mean(), rel=1e-3)
    # Four weeks of two: four degrees of freedom, of which one would go.
    assert mean(one, 2) == pytest.approx(one[:, :2].mean())


@pytest.mark.parametrize("convoys", [{}, {"share": 0.5, "sizes": {"2": 0.5, "4": 0.5}, "headway_s": 60}])
def test_as_many_trucks_come_on_average_as_a_scenario_says(convoys: dict[str, object]) -> None:
    read = scenario(
        demand={
            "trucks_per_hour_by_hour": [2.0] * 12 + [9.0] * 12,
            "factor_by_weekday": [1, 1, 1, 1, 1, 0.5, 2],
            "factor_by_month": [1.0] * 5 + [0.4] + [1.0] * 6,
            "convoys": convoys,
        },
        bookings={"share": 0.5, "no_show_share": 0.2},
        study={"start_on": "2026-05-30"},
    )
    expected = mean_trucks_per_day(read, 0.5, 3.25)
    assert expected is not None
    from_s, until_s = 0.5 * 86_400, 3.75 * 86_400
    counts = []
    for replication in range(300):
        came = takewhile(lambda truck: truck.at_s < until_s, arrivals(read, read.start_at, 5, replication))
        counts.append(sum(truck.comes and truck.at_s >= from_s for truck in came) / 3.25)
    found = estimate(counts, 0.99)
    assert found.low <= expected <= found.high
    assert found.half_width < 0.05 * expected
    by_trips = read.model_copy(update={"demand": read.demand.model_copy(update={"mode": "fleet"})})
    assert mean_trucks_per_day(by_trips, 0.5, 3.25) is None, "they come when they were served"


def test_the_cost_of_a_year_does_not_hang_on_how_many_trucks_happened_to_come() -> None:
    """Weeks of two replications were off by more than 1 % from 365 days on end, for four of six examples at once: all
    had drawn the same few trucks."""
    read = scenario(demand={"trucks_per_hour_by_hour": [6.0] * 24}, tariff={"profile": "flat"})
    weeks = tuple(replace(week, days=1.0, warmup_days=0.25) for week in weeks_of(read)[::3])
    known, drawn = [], []
    for seed in range(8):
        search = Search(read, Workers(None, 1), Effort(1, spans=weeks), seed)
        trial = search.new_trial(Design(10, 11, 2000, 1))
        search.extend(trial, 3)
        known.append(trial.cost.mean - trial.capital_yuan)
        drawn.append(trial.drawn_yuan - trial.capital_yuan)
        came = [run.came_per_day for run in trial.by_span[0]]
        expected = mean_trucks_per_day(placed(read, weeks[0]), 0.25, 1.0)
        assert expected is not None
        assert trial.too_many(0) == pytest.approx([count - expected for count in came])
    assert np.std(known) < np.std(drawn) / 2
    assert np.mean(known) == pytest.approx(np.mean(drawn), rel=0.03)


def test_the_years_between_are_simulated_for_the_answer_and_held_against_what_is_reckoned() -> None:
    """A station that is full in its mean year loses trucks in its last: no line from the mean year tells that."""
    demand = {"trucks_per_hour_by_hour": [5.0] * 24, "follows_cold": False}
    costs = {"pack_life_years": 2, "lost_swap_yuan": 200}
    over = {"tariff": {"profile": "flat"}, "patience": {"balk_at": 3}, "costs": costs}
    flat = {"years": 4, "soh_pct_by_year": (100.0,)}
    growing = {"years": 3, "growth_per_year": 0.6, "soh_pct_by_year": (100.0,)}

    class Counting(Workers):
        tasks = 0

        def map(self, function: object, tasks: Sequence[object], on_done: object = None) -> list[object]:  # type: ignore[override]
            self.tasks += len(tasks)
            return super().map(function, tasks)  # type: ignore[arg-type]

    def simulated(life: dict[str, object] | None) -> tuple[Trial, Counting]:
        read = scenario(demand=demand, **over) if life is None else scenario(demand=demand, life=life, **over)
        weeks = [replace(week, days=1.0, warmup_days=0.25) for week in weeks_of(read) if week.weight > 0][::4]
        pool = Counting(None, 1)
        search = Search(read, pool, Effort(1, spans=tuple(weeks)), 1)
        trial = search.new_trial(Design(7, 8, 2000, 1))
        search.extend(trial, 2)
        pool.tasks = 0
        return trial, pool

    trial, pool = simulated(None)
    assert life_years(trial, pool) == ()
    trial, pool = simulated(flat)
    years = life_years(trial, pool)
    assert [one.year for one in years] == [1, 2, 3, 4]
    assert pool.tasks == 3, "years with the same trucks and packs are one"
    assert {one.yuan for one in years} == {years[0].reckoned_yuan}, "on the same trucks nothing differs"
    assert off_of_all(years) == 0
    trial, pool = simulated(growing)
    years = life_years(trial, pool)
    assert [one.growth for one in years] == pytest.approx([1, 1.6, 2.56])
    assert years[0].share > years[1].share > years[2].share
    assert all(one.hardest_share <= one.share for one in years)
    assert years[2].off > 0.05, "swaps lost by the full station are not in proportion to its trucks"
    assert min(one.yuan for one in years) < trial.drawn_yuan < max(one.yuan for one in years)
