"""Plans of charging beside the live loops: made elsewhere, checked, dropped, taken up again."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf, nan
from pathlib import Path
from threading import Event
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlmodel import col, select

from scheduler.guide import Guide
from scheduler.optimal.learned import (
    Basis,
    CameTruck,
    ComingExpected,
    LearnedTrucks,
    TruckForecast,
    TruckForecaster,
    steady,
)
from scheduler.optimal.outlook import EVERY, PlanTask, task_of
from scheduler.optimal.planner import GOOD_FOR, GuideKeeper
from scheduler.optimal.problem import ChargeProblem, Goal, Site, Tier
from scheduler.optimal.stock import Delay
from scheduler.site import DrEventSection
from scheduler.types import TariffSlice
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.reading.arrivals import arrival_record
from swap.reading.least_cost import SWAP_H
from swap.station.power.outlook import look, outlook_of
from swap.station.power.plan_process import (
    PROCESS_S,
    SOLVER_S,
    PlanCause,
    PlanFailed,
    PlannedGuides,
    plan_apart,
    plan_here,
)
from swap.station.power.planning import FAULT, LATE, UNFORESEEN, PlanRunner
from swap.station.power.view import station_view
from swap.station.truck_forecast import FORECAST_S, ForecastCause, ForecastFound
from swap.tables import FaultRow
from tests.support.sim.plant import station
from tests.support.swap.station import START_AT, Bench

EXPECTED = steady(2.0, ZoneInfo("Asia/Shanghai"))


def prices(at: datetime, hours: float = 24.0) -> list[TariffSlice]:
    """Dear for three hours, then cheap."""
    cheap_at = at + timedelta(hours=3)
    return [
        TariffSlice(at, cheap_at, "flat", 0.9),
        TariffSlice(cheap_at, at + timedelta(hours=hours), "valley", 0.3),
    ]


class Known:
    """Two trucks an hour, whoever came."""

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        return EXPECTED


class Prices:
    """Prices for so many hours ahead."""

    def __init__(self, hours: float = 24.0) -> None:
        self.hours = hours

    def slices(self, from_at: datetime, until_at: datetime) -> Sequence[TariffSlice]:
        return prices(from_at, self.hours)


class NoNumber(Prices):
    """A feed that has broken: prices of tomorrow that are no numbers."""

    def slices(self, from_at: datetime, until_at: datetime) -> Sequence[TariffSlice]:
        today, tomorrow = super().slices(from_at, until_at)
        return [today, replace(tomorrow, price_yuan_per_kwh=nan)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, station(), speed=20.0)
    await bench.start()
    await bench.run(10)
    bench.controller.context.prices = Prices()
    bench.controller.context.forecast.better = Known()
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
        seen = look(context, db, bench.clock.now())
    return task_of(outlook_of(context, seen, EXPECTED, prices(seen.view.at)))


async def in_this_process(task: PlanTask) -> PlannedGuides:
    return plan_here(task)


async def test_a_plan_is_asked_from_what_the_station_holds_and_carried_out(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    tasks: list[PlanTask] = []
    late = [Delay("B1", Tier.PROMISED, 2.0, 31.5, 24.6)]

    async def solve(task: PlanTask) -> PlannedGuides:
        tasks.append(task)
        return replace(plan_here(task), delays=tuple(late))

    context = bench.controller.context
    runner = PlanRunner(context, solve)
    await ended(runner)
    assert isinstance(context.planner, GuideKeeper)
    assert context.planner.has_plan(bench.clock.now())
    (task,) = tasks
    assert {store.name for store in task.problem.stores} >= {"A1", "A2", "A3"}
    assert task.problem.site.import_limit_kw[0] == pytest.approx(context.config.site.grid_limit_kw)
    assert "truck B1, promised in 2.0 h: its packs will be 25 min late, 31.5 kWh lack then" in caplog.text
    await runner.step()
    assert len(tasks) == 1, "the next is due in a quarter of an hour"
    guides = plan_here(task).guides
    ids = {pack.id for pack in context.config.packs}
    assert all(set(guide.pack_kw) <= ids for guide in guides)
    assert any(guide.pack_kw for guide in guides), "each pack has its own power"
    assert LATE not in bench.open_faults(), "B1 has not booked; it stands in the queue"

    now = bench.clock.now()
    wanted = Wanted(bench.config.vehicles[1].id, now + timedelta(hours=2), now + timedelta(hours=3), min_kwh=260.0)
    with bench.store.station(bench.config.station.id) as db:
        booked = make_booking(db, bench.config, wanted, at=now).booking_id
    for kwh, minutes, told_kwh, told_min in ((31.5, 24.6, 31.5, 25), (inf, inf, None, None)):
        late[:] = [Delay(booked, Tier.PROMISED, 2.0, kwh, minutes)]
        bench.seconds += EVERY.total_seconds()
        await ended(runner)
        assert bench.open_faults()[LATE] == f"booking:{booked}"
        with bench.store.reading_station(bench.config.station.id) as db:
            data = [row.data for row in db.exec(select(FaultRow)).all() if "late_min" in row.data][-1]
        assert (data["missing_kwh"], data["late_min"]) == (told_kwh, told_min)
        promised_at = tasks[-1].problem.begin_at + timedelta(hours=2)
        assert data["promised_at"] == promised_at.isoformat(timespec="seconds")
        late.clear()
        bench.seconds += EVERY.total_seconds()
        await ended(runner)
        assert LATE not in bench.open_faults(), "its packs will be ready now"


def goals(task: PlanTask, tier: Tier) -> list[Goal]:
    return [goal for store in task.problem.stores for goal in store.goals if goal.tier is tier]


async def test_expected_booked_and_waiting_trucks_are_goals_and_their_packs_come(bench: Bench) -> None:
    task, now = asked(bench), bench.clock.now()
    expected = len(goals(task, Tier.FORECAST))
    assert expected > 10
    assert goals(task, Tier.PROMISED) == []

    wanted = Wanted(bench.config.vehicles[1].id, now + timedelta(hours=6), now + timedelta(hours=7), min_kwh=260.0)
    with bench.store.station(bench.config.station.id) as db:
        make_booking(db, bench.config, wanted, at=now)
    with bench.store.reading_station(bench.config.station.id) as db:
        assert station_view(bench.controller.context, db).promised == (), "packs are not kept for it yet"
    task = asked(bench)
    (goal,) = goals(task, Tier.PROMISED)
    assert 6.0 - 0.01 <= goal.at_h < 6.5
    assert goal.kwh == 260.0
    assert len(goals(task, Tier.FORECAST)) == expected - 1, "it is one of those expected"

    swap_id = bench.arrive(bench.config.vehicles[0].id)
    assert len(goals(asked(bench), Tier.PROMISED)) == 2
    assert "incoming 1" not in {store.name for store in asked(bench).problem.stores}
    while bench.swap(swap_id).dispatched_at is None:
        await bench.tick(1.0)
    task = asked(bench)
    (coming,) = (store for store in task.problem.stores if store.name == "incoming 1")
    assert 0.0 < coming.from_h <= SWAP_H
    await bench.run_until("swap.completed", step_s=5.0)
    assert "incoming 1" not in {store.name for store in asked(bench).problem.stores}, "it stands in its bay"


async def test_events_of_demand_response_and_vehicle_models_are_told(bench: Bench) -> None:
    context = bench.controller.context
    now = bench.clock.now()
    with bench.store.reading_station(bench.config.station.id) as db:
        seen = look(context, db, now)
    local = now.astimezone(bench.config.station.zone)
    event = DrEventSection(from_hour=(local.hour + 3) % 24 + 0.25, hours=0.75, limit_kw=150.0)
    pairs = bench.config.vehicle_models[0].model_copy(update={"id": "pairs", "packs_per_vehicle": 2})
    update = {
        "site": bench.config.site.model_copy(update={"demand_response": (event,)}),
        "vehicle_models": (*bench.config.vehicle_models, pairs),
    }
    told = outlook_of(
        replace(context, config=bench.config.model_copy(update=update)),
        seen,
        replace(EXPECTED, models={"pairs": 3, "tractor": 1, "gone": 5}),
        prices(seen.view.at),
    )
    begin_at = now.replace(minute=15, second=0, microsecond=0) + timedelta(hours=3)
    assert list(told.changes) == [begin_at, begin_at + timedelta(minutes=45)]
    assert told.limits_at(begin_at).import_limit_kw == 150.0
    assert told.limits_at(begin_at - timedelta(seconds=1)).import_limit_kw == bench.config.site.grid_limit_kw
    assert told.forecast is not None
    assert [(share.weight, len(share.leaves)) for share in told.forecast.shares] == [(3, 2), (1, 1)]


async def test_nobody_waits_for_a_plan_that_does_not_come(bench: Bench) -> None:
    never = asyncio.Event()

    async def hangs(task: PlanTask) -> PlannedGuides:
        await never.wait()
        raise AssertionError("nobody sets it")

    runner = PlanRunner(bench.controller.context, hangs)
    seen = []
    for _ in range(5):
        await runner.step()
        await bench.tick(5.0)
        seen.append(bench.controller.context.plan)
    assert all(one is not after for one, after in pairwise(seen)), "the loops went on"
    task = runner._running
    assert task is not None
    runner.close()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PlanFailed("HiGHS on money: Infeasible", PlanCause.NOT_SOLVED), "Infeasible"),
        (MemoryError("no room"), "no room"),
    ],
    ids=["no plan", "a bug"],
)
async def test_a_failure_is_one_alarm_and_the_next_good_plan_clears_it(
    bench: Bench, error: Exception, told: str
) -> None:
    failing: list[Exception] = []

    async def solve(task: PlanTask) -> PlannedGuides:
        if failing:
            raise failing[0]
        return plan_here(task)

    context = bench.controller.context
    runner = PlanRunner(context, solve)
    await ended(runner)
    failing.append(error)
    for quarter in range(1, 10):
        bench.seconds += EVERY.total_seconds()
        await ended(runner)
        assert bench.open_faults()[FAULT] == "planner"
        assert isinstance(context.planner, GuideKeeper)
        assert context.planner.has_plan(bench.clock.now()) is (quarter * EVERY < GOOD_FOR), "while it is good"
    with bench.store.reading_station(bench.config.station.id) as db:
        (data,) = [row.data for row in db.exec(select(FaultRow)).all() if "reason" in row.data]
    assert told in data["reason"]
    assert data["cause"] == (error.cause if isinstance(error, PlanFailed) else "broken")
    failing.clear()
    again = PlanRunner(context, solve)  # as after a restart, which remembers nothing
    await ended(again)
    assert FAULT not in bench.open_faults()
    assert isinstance(context.planner, GuideKeeper)
    assert context.planner.has_plan(bench.clock.now())


async def test_without_prices_for_tomorrow_the_rule_charges(bench: Bench) -> None:
    bench.controller.context.prices = Prices(hours=3.5)
    runner = PlanRunner(bench.controller.context, in_this_process)
    await ended(runner)
    assert FAULT not in bench.open_faults(), "a shorter plan is one"
    bench.seconds += EVERY.total_seconds()
    bench.controller.context.prices = NoNumber()
    await ended(runner)
    assert FAULT in bench.open_faults(), "a price that is no number is none"
    assert bench.controller.context.plan, "and the rack charges on"
    bench.controller.context.prices = Prices()
    bench.seconds += EVERY.total_seconds()
    await ended(runner)
    assert FAULT not in bench.open_faults()
    bench.seconds += EVERY.total_seconds()
    bench.controller.context.prices = None
    await ended(runner)
    assert FAULT in bench.open_faults()
    assert bench.config.charging.plan == "rule"
    bench.build()
    await bench.start()
    assert FAULT not in bench.open_faults(), "nobody asks for a plan any more"


async def expected(bench: Bench) -> ForecastFound:
    """What the station expects by its own record."""
    now = bench.clock.now()
    with bench.store.reading_station(bench.config.station.id) as db:
        record = arrival_record(db, station_id=bench.config.station.id, now=now)
    return await bench.controller.context.forecast.ask(record, now)


async def test_what_came_in_the_last_weeks_is_expected(bench: Bench) -> None:
    context, zone = bench.controller.context, bench.config.station.zone
    context.forecast.better = None
    nobody = await expected(bench)
    assert nobody.trucks.basis is Basis.NONE
    assert nobody.failing is not None
    assert nobody.failing.cause is ForecastCause.NO_TRUCKS
    with bench.store.reading_station(bench.config.station.id) as db:
        seen = look(context, db, bench.clock.now())
    assert outlook_of(context, seen, nobody.trucks, prices(seen.view.at)).forecast is None

    bench.arrive(bench.config.vehicles[0].id)
    await bench.run_until("swap.completed", step_s=5.0)
    now = bench.clock.now()
    with bench.store.reading_station(bench.config.station.id) as db:
        record = arrival_record(db, station_id=bench.config.station.id, now=now)
        seen = look(context, db, now)
    found = await expected(bench)
    (came,) = record.came
    assert (came.at, came.model) == (record.since, bench.config.vehicles[0].model)
    (pack,) = came.packs
    assert pack.kind == bench.config.packs[0].kind
    assert pack.soc_pct is not None
    assert (found.trucks.basis, found.trucks.trucks, found.failing) == (Basis.RECORD, 1, None)
    assert found.trucks.per_h(now) == max(map(max, found.trucks.by_weekday_hour))
    told = outlook_of(context, seen, found.trucks, prices(seen.view.at)).forecast
    assert told is not None
    assert [leaf.soc_pct for leaf in told.shares[0].leaves] == [pack.soc_pct], "what came is what is expected"
    assert told.rates.between(0, 24) == pytest.approx(found.trucks.rates(now, 25).between(0, 24))
    assert zone == found.trucks.zone


class Broken:
    """A feed that has gone."""

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        raise RuntimeError("the feed has gone")


class NoNumbers:
    """Says rates that are none."""

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        return steady(nan, ZoneInfo("Asia/Shanghai"))


class NoForecast:
    """Says something else."""

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        return None  # type: ignore[return-value]


class Timing:
    """Raises what a deadline raises, at once."""

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        raise TimeoutError("the feed gave no answer")


class Leaving:
    """Ends the program, as a script does that was made for a command line."""

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        raise SystemExit(3)


class Hanging:
    """Answers when it is let, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.let = Event()

    def forecast(self, came: Sequence[CameTruck], since: datetime, at: datetime) -> TruckForecast:
        self.asked += 1
        self.let.wait()
        return EXPECTED


def open_alarms(bench: Bench) -> list[dict[str, object]]:
    """What is told with each."""
    with bench.store.reading_station(bench.config.station.id) as db:
        return [row.data for row in db.exec(select(FaultRow).where(col(FaultRow.cleared_at).is_(None))).all()]


def scenario_of(bench: Bench) -> LearnedTrucks:
    """Learns, and counts on two trucks an hour as long as its record is short."""
    return LearnedTrucks(bench.config.station.zone, lambda at: ComingExpected("mine", ((2.0,) * 24,) * 7))


@pytest.mark.parametrize(
    ("forecaster", "reason"),
    [
        (Broken(), "the feed has gone"),
        (NoNumbers(), "7 × 24 rates"),
        (NoForecast(), "NoneType"),
        (Timing(), "the feed gave no answer"),
        (Leaving(), "SystemExit(3)"),
    ],
)
async def test_a_forecast_that_fails_is_one_alarm_and_record_and_scenario_stand_in(
    bench: Bench, forecaster: TruckForecaster, reason: str
) -> None:
    context = bench.controller.context
    context.forecast.better = None
    tasks: list[PlanTask] = []

    async def solve(task: PlanTask) -> PlannedGuides:
        tasks.append(task)
        return plan_here(task)

    runner = PlanRunner(context, solve)
    await ended(runner)
    assert UNFORESEEN in bench.open_faults(), "nobody came yet"
    context.forecast.usual = scenario_of(bench)
    bench.seconds += EVERY.total_seconds()
    await ended(runner)
    assert UNFORESEEN not in bench.open_faults()
    context.forecast.better = forecaster
    for _ in range(3):
        bench.seconds += EVERY.total_seconds()
        await ended(runner)
    assert FAULT not in bench.open_faults()
    (told,) = open_alarms(bench)
    assert told["cause"] == ForecastCause.FAILED.value
    assert reason in str(told["reason"])
    known = await expected(bench)
    assert (known.trucks.basis, known.trucks.source) == (Basis.EXPECTED, "mine"), "the scenario stands in for it"
    assert not any(tasks[0].reach[0].values())
    assert tasks[-1].reach == tasks[1].reach, "and its trucks are planned for"
    assert any(tasks[-1].reach[0].values())
    context.forecast.better = Known()
    bench.seconds += EVERY.total_seconds()
    await ended(runner)
    assert UNFORESEEN not in bench.open_faults(), "a good answer clears it"
    context.forecast.better = forecaster
    bench.seconds += EVERY.total_seconds()
    await ended(runner)
    assert UNFORESEEN in bench.open_faults()
    bench.build()
    await bench.start()
    assert UNFORESEEN not in bench.open_faults(), "nobody asks for a plan any more"


async def test_no_loop_waits_for_a_forecaster_that_hangs(bench: Bench) -> None:
    context, hanging = bench.controller.context, Hanging()
    context.forecast.usual, context.forecast.better = scenario_of(bench), hanging
    runner = PlanRunner(context, in_this_process)
    await runner.step()
    assert runner._running is not None
    bench.arrive(bench.config.vehicles[0].id)
    await bench.run_until("swap.completed", step_s=5.0)  # the station serves its truck meanwhile
    await runner.step()
    assert not runner._running.done(), "still asked"
    assert hanging.asked == 1
    runner.close()

    context.forecast.most_s = 0.0
    for _ in range(2):
        bench.seconds += EVERY.total_seconds()
        await ended(runner)
    assert hanging.asked == 1, "one thread is enough for one that hangs"
    (told,) = open_alarms(bench)
    assert told["cause"] == ForecastCause.LATE.value
    assert context.planner is not None
    assert isinstance(context.planner, GuideKeeper)
    assert context.planner.has_plan(bench.clock.now()), "planned for record and scenario"

    hanging.let.set()
    context.forecast._asked["better"].join()
    context.forecast.most_s = FORECAST_S
    bench.seconds += EVERY.total_seconds()
    await ended(runner)
    assert hanging.asked == 2
    assert open_alarms(bench) == []


class TestApart:
    """The optimiser's own process."""

    async def test_it_plans_as_here(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        task = asked(bench)
        here, apart = plan_here(task), await plan_apart(task)

        def said(plan: PlannedGuides) -> list[tuple[object, ...]]:
            return [_said(guide) for guide in plan.guides]

        assert said(apart) == said(here)
        assert apart.gap <= 1e-6
        assert "said" not in caplog.text, "it has nothing to say when all is well"

    async def test_one_that_does_not_answer_in_time_is_ended(self, bench: Bench) -> None:
        with pytest.raises(PlanFailed, match="no answer within 0"):
            await plan_apart(asked(bench), most_s=0.0)
        assert 2 * SOLVER_S < PROCESS_S, "both attempts of the solver and the start fit in"

    async def test_how_it_died_comes_back_and_what_it_said_is_logged(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        dies = tmp_path / "dies"
        dies.write_text("#!/bin/sh\ncat > /dev/null\necho Segmentation fault >&2\nexit 3\n", encoding="utf-8")
        dies.chmod(0o700)
        monkeypatch.setattr("sys.executable", str(dies))
        with pytest.raises(PlanFailed, match="process ended with 3") as failed:
            await plan_apart(asked(bench))
        assert failed.value.cause is PlanCause.DIED
        assert "said: Segmentation fault" in caplog.text

    def test_why_there_is_no_plan_is_its_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("scheduler.optimal.solve.has_solver", lambda: False)
        plain = ChargeProblem(START_AT, np.ones(2), Site(np.ones(2), np.ones(2), np.ones(2), np.ones(2)), ())
        with pytest.raises(PlanFailed, match="highspy is not installed") as failed:
            plan_here(PlanTask(plain, ({}, {})))
        again = pickle.loads(pickle.dumps(failed.value))
        assert (str(again), again.cause) == (str(failed.value), PlanCause.NO_SOLVER), "as it comes from its process"


def _said(guide: Guide) -> tuple[object, ...]:
    return guide.until_at, guide.most_kw, tuple(guide.least_ready.items())


async def test_what_cannot_even_be_asked_ends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unforeseen(*_: object) -> PlanTask:
        raise ZeroDivisionError("a world that nobody thought of")

    monkeypatch.setattr("swap.station.power.planning.task_of", unforeseen)
    runner = PlanRunner(bench.controller.context, in_this_process)
    await ended(runner)
    with bench.store.reading() as db:
        told = [row.data["reason"] for row in db.exec(select(FaultRow)).all() if row.source == "planner"]
    assert told == ["a world that nobody thought of"]
