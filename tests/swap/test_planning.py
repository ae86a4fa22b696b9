"""Plans of charging beside the live loops: made elsewhere, checked, dropped, taken up again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from scheduler.guide import Guide
from scheduler.optimal.planner import GuideKeeper
from scheduler.optimal.problem import Tier
from scheduler.types import TariffSlice
from swap.station.power.plan_process import PlanFailed, PlannedGuides, PlanTask, plan_apart, plan_here
from swap.station.power.planning import EVERY, FAULT, PlanRunner, arrivals_per_h, ask
from swap.station.power.view import station_view
from swap.tables import FaultRow
from tests.support.sim.plant import station
from tests.support.swap.station import Bench

RATES = (2.0,) * 24


def prices(at: datetime, hours: float = 24.0) -> list[TariffSlice]:
    """Dear for three hours, then cheap."""
    cheap_at = at + timedelta(hours=3)
    return [
        TariffSlice(at, cheap_at, "flat", 0.9),
        TariffSlice(cheap_at, at + timedelta(hours=hours), "valley", 0.3),
    ]


class Prices:
    """Prices for so many hours ahead."""

    def __init__(self, hours: float = 24.0) -> None:
        self.hours = hours

    def slices(self, from_at: datetime, until_at: datetime) -> Sequence[TariffSlice]:
        return prices(from_at, self.hours)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, station(), speed=20.0)
    await bench.start()
    await bench.run(10)
    bench.controller.context.prices = Prices()
    yield bench
    bench.close()


async def ended(runner: PlanRunner) -> None:
    """Ask, let the plan end, take it."""
    await runner.step()
    if runner._running is not None:
        await asyncio.wait({runner._running})
    await runner.step()


def asked(bench: Bench) -> PlanTask:
    """The plan that the bench's station would ask for now."""
    context = bench.controller.context
    with bench.store.reading_station(bench.config.station.id) as db:
        view = station_view(context, db)
    return ask(context, view, RATES, prices(view.at))


async def in_this_process(task: PlanTask) -> PlannedGuides:
    return plan_here(task)


async def test_a_plan_is_asked_from_what_the_station_holds_and_carried_out(bench: Bench) -> None:
    tasks: list[PlanTask] = []

    async def solve(task: PlanTask) -> PlannedGuides:
        tasks.append(task)
        return plan_here(task)

    context = bench.controller.context
    runner = PlanRunner(context, solve)
    await ended(runner)
    assert isinstance(context.planner, GuideKeeper)
    assert context.planner.has_plan(bench.clock.now())
    (task,) = tasks
    assert {store.name for store in task.problem.stores} >= {"A1", "A2", "A3"}
    assert task.problem.site.import_limit_kw[0] == pytest.approx(context.config.site.grid_limit_kw)
    assert all(count >= context.policy.reserve_ready for count in task.need[0].values())
    await runner.step()
    assert len(tasks) == 1, "the next is due in a quarter of an hour"


async def test_expected_and_booked_trucks_are_goals(bench: Bench) -> None:
    task = asked(bench)
    tiers = [goal.tier for store in task.problem.stores for goal in store.goals]
    assert Tier.FORECAST in tiers
    assert Tier.PROMISED not in tiers
    bench.arrive(bench.config.vehicles[0].id)
    tiers = [goal.tier for store in asked(bench).problem.stores for goal in store.goals]
    assert Tier.PROMISED in tiers


async def test_nobody_waits_for_a_plan_that_does_not_come(bench: Bench) -> None:
    never = asyncio.Event()

    async def hangs(task: PlanTask) -> PlannedGuides:
        await never.wait()
        raise AssertionError("nobody sets it")

    runner = PlanRunner(bench.controller.context, hangs)
    for _ in range(5):
        await runner.step()
        await bench.tick(5.0)
    assert bench.controller.context.planner is not None
    assert bench.controller.context.plan, "the loops went on"
    task = runner._running
    assert task is not None
    runner.close()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize(
    ("error", "told"),
    [(PlanFailed("HiGHS on money: Infeasible"), "Infeasible"), (MemoryError("no room"), "no room")],
    ids=["no plan", "a bug"],
)
async def test_a_failure_is_one_alarm_and_the_next_good_plan_clears_it(
    bench: Bench, error: Exception, told: str
) -> None:
    failing = [error, error]

    async def solve(task: PlanTask) -> PlannedGuides:
        if failing:
            raise failing.pop()
        return plan_here(task)

    context = bench.controller.context
    runner = PlanRunner(context, solve)
    for _ in range(2):
        await ended(runner)
        assert bench.open_faults()[FAULT] == "planner"
        assert isinstance(context.planner, GuideKeeper)
        assert not context.planner.has_plan(bench.clock.now()), "the price rule charges"
        bench.seconds += EVERY.total_seconds()
    with bench.store.reading_station(bench.config.station.id) as db:
        reasons = [row.data["reason"] for row in db.exec(select(FaultRow)).all() if "reason" in row.data]
    assert len(reasons) == 1
    assert told in reasons[0]
    await ended(runner)
    assert FAULT not in bench.open_faults()
    assert isinstance(context.planner, GuideKeeper)
    assert context.planner.has_plan(bench.clock.now())


async def test_without_prices_for_tomorrow_the_rule_charges(bench: Bench) -> None:
    bench.controller.context.prices = Prices(hours=3.5)
    runner = PlanRunner(bench.controller.context, in_this_process)
    await ended(runner)
    assert FAULT not in bench.open_faults(), "a shorter plan is one"
    bench.seconds += EVERY.total_seconds()
    bench.controller.context.prices = None
    await ended(runner)
    assert FAULT in bench.open_faults()


async def test_what_came_in_the_last_weeks_is_expected(bench: Bench) -> None:
    bench.arrive(bench.config.vehicles[0].id)
    context, now = bench.controller.context, bench.clock.now()
    with bench.store.reading_station(bench.config.station.id) as db:
        per_h = arrivals_per_h(context, db, now)
    hour = now.astimezone(context.config.station.zone).hour
    assert per_h[hour] == pytest.approx(1.0)
    assert sum(per_h) == pytest.approx(1.0)


class TestApart:
    """The optimiser's own process."""

    async def test_it_plans_as_here(self, bench: Bench) -> None:
        task = asked(bench)
        here, apart = plan_here(task), await plan_apart(task)

        def said(plan: PlannedGuides) -> list[tuple[object, ...]]:
            return [_said(guide) for guide in plan.guides]

        assert said(apart) == said(here)
        assert apart.gap <= 1e-6

    async def test_one_that_does_not_answer_in_time_is_ended(self, bench: Bench) -> None:
        with pytest.raises(PlanFailed, match="no answer within 0"):
            await plan_apart(asked(bench), most_s=0.0)

    async def test_why_there_is_no_plan_comes_back(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.executable", "/bin/false")
        with pytest.raises(PlanFailed, match="process ended with 1"):
            await plan_apart(asked(bench))


def _said(guide: Guide) -> tuple[object, ...]:
    return guide.until_at, guide.most_kw, tuple(guide.least_ready.items())


async def test_what_cannot_even_be_asked_ends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unforeseen(*_: object) -> PlanTask:
        raise ZeroDivisionError("a world that nobody thought of")

    monkeypatch.setattr("swap.station.power.planning.ask", unforeseen)
    runner = PlanRunner(bench.controller.context, in_this_process)
    await runner.step()
    with bench.store.reading() as db:
        told = [row.data["reason"] for row in db.exec(select(FaultRow)).all() if row.source == "planner"]
    assert told == ["a world that nobody thought of"]
