"""The optimiser: what it is asked, what it answers, and what is not believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from math import inf, nan
from typing import Any

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.optimal.check import check, flaws
from scheduler.optimal.flows import read_flows
from scheduler.optimal.matrix import Matrix, may_not_come, waits
from scheduler.optimal.plan import ChargePlan, NotBelieved, guides_of, make_plan, plan_of
from scheduler.optimal.problem import ChargeProblem, EnergyStore, Goal, Site, Tier
from scheduler.optimal.solve import NotSolved, SolverAnswer, solve
from tests.support.scheduler.optimal import BEGIN_AT, LAW, pack, problem, site, storage


def test_cheap_hours_are_used_and_the_goal_is_met() -> None:
    asked = problem([0.8, 0.3, 0.9, 0.4], pack(goals=(Goal(4.0, 250.0),)))
    plan = make_plan(asked)
    kw = plan.flows.charge_kw
    assert [kw[0], kw[2]] == pytest.approx([0.0, 0.0], abs=0.1)
    assert plan.flows.energy_kwh[-1] >= 250.0 - 1e-4
    assert plan.shortfalls == ()
    imported = float(plan.flows.import_kw.sum())
    assert imported == pytest.approx((plan.flows.energy_kwh[-1] - 60.0) / 0.96 / 0.95)


class TestUnreachable:
    """A deadline that nobody can keep."""

    def test_full_power_from_the_first_slot_and_the_shortfall_named(self) -> None:
        """flexmeasures#1001: 36 to 80 % in a time too short gave a plan of zeros."""
        asked = problem([0.9, 0.2], pack(energy_kwh=100.0, until_h=0.5, goals=(Goal(0.5, 225.0),)), hours=[0.25, 0.25])
        plan = make_plan(asked)
        reached = LAW.energy_after(100.0, 0.5)
        (short,) = plan.shortfalls
        assert plan.flows.charge_kw == pytest.approx([240.0, 240.0])
        assert (short.store, short.tier, short.at) == ("A1", Tier.PROMISED, BEGIN_AT + timedelta(minutes=30))
        assert short.kwh == pytest.approx(225.0 - reached)
        assert short.minutes == pytest.approx(60 * LAW.hours_to(reached, 225.0))
        assert plan.guide_kw == (inf, inf)

    def test_a_promise_goes_before_a_forecast_and_both_before_money(self) -> None:
        first = pack("booked", until_h=1.0, goals=(Goal(1.0, 200.0, Tier.PROMISED),))
        other = pack("expected", until_h=1.0, goals=(Goal(1.0, 200.0, Tier.FORECAST),))
        plan = make_plan(problem([9.0, 0.1], other, first, limit_kw=200.0))
        assert [short.store for short in plan.shortfalls] == ["expected"]
        assert plan.flows.import_kw[0] == pytest.approx(200.0, abs=1e-3)

    def test_comfort_is_bought_where_it_can_be_had_and_never_a_shortfall(self) -> None:
        goals = (Goal(1.0, 253.8, Tier.FORECAST), Goal(1.0, 267.9, Tier.COMFORT))
        plan = make_plan(problem([0.5], pack(energy_kwh=250.0, until_h=1.0, goals=goals)))
        assert plan.flows.energy_kwh[0] == pytest.approx(267.9, abs=0.05)
        plan = make_plan(problem([0.5], pack(energy_kwh=230.0, until_h=0.2, goals=(Goal(0.2, 267.9, Tier.COMFORT),))))
        assert plan.shortfalls == ()


class TestZeroIsALimit:
    """Capacity 0 is not "unset" (flexmeasures PR#2345)."""

    goal = (Goal(1.0, 250.0),)

    @pytest.mark.parametrize(
        ("store", "more"),
        [
            (replace(pack(goals=goal), charge_kw=0.0), {}),
            (pack(goals=goal), {"limit_kw": 0.0}),
            (pack(goals=goal), {"chargers_kw": 0.0}),
            (pack(goals=goal, from_grid=False), {}),
        ],
        ids=["charger", "grid", "chargers", "no sun"],
    )
    def test_nothing_is_charged(self, store: EnergyStore, more: dict[str, Any]) -> None:
        plan = make_plan(problem([0.5, 0.5], store, **more))
        assert plan.flows.charge_kw == pytest.approx([0.0, 0.0], abs=1e-6)
        assert plan.shortfalls[0].kwh == pytest.approx(190.0)

    def test_nothing_is_exported(self) -> None:
        more: dict[str, Any] = {"export_yuan_per_kwh": np.array([1.0, 1.0]), "export_limit_kw": 0.0, "pv_kw": 80.0}
        plan = make_plan(problem([0.5, 0.5], storage(), **more))
        assert plan.flows.export_kw == pytest.approx([0.0, 0.0], abs=1e-6)

    def test_base_load_above_the_limit_is_imported_and_nothing_else(self) -> None:
        plan = make_plan(problem([0.5, 0.5], pack(goals=self.goal), limit_kw=50.0, base_kw=80.0))
        assert plan.flows.import_kw == pytest.approx([80.0, 80.0])
        assert plan.flows.charge_kw == pytest.approx([0.0, 0.0], abs=1e-6)


class TestYesOrNo:
    """Binaries only where the linear answer breaks a rule."""

    def test_negative_prices_neither_burn_energy_nor_run_away(self) -> None:
        asked = problem([-0.5, -0.5, 0.5], storage(40.0), limit_kw=70.0, base_kw=10.0)
        relaxed = solve(replace(asked, stores=(replace(asked.stores[0], discharge_kw=0.0),)))
        assert relaxed.binaries == 0
        answer = solve(asked)
        assert answer.binaries > 0
        assert check(asked, answer).good
        flows = read_flows(asked, answer.matrix, answer.x)
        assert np.all((flows.charge_kw < 1e-4) | (flows.discharge_kw < 1e-4))
        assert np.all(flows.import_kw <= 70.0 + 1e-4)

    def test_import_and_export_never_at_once(self) -> None:
        asked = problem([0.3, 0.3], storage(), export_yuan_per_kwh=np.array([0.9, 0.1]), export_limit_kw=60.0)
        answer = solve(asked)
        flows = read_flows(asked, answer.matrix, answer.x)
        assert answer.binaries > 0
        assert np.all((flows.import_kw < 1e-4) | (flows.export_kw < 1e-4))

    def test_a_charger_runs_at_its_least_or_not_at_all(self) -> None:
        few = pack(energy_kwh=200.0, until_h=2.0, min_charge_kw=60.0, goals=(Goal(2.0, 206.0),))
        asked = problem([0.5, 0.4], few)
        answer = solve(asked)
        kw = read_flows(asked, answer.matrix, answer.x).charge_kw
        assert answer.binaries > 0
        assert check(asked, answer).good
        assert kw == pytest.approx([0.0, 60.0], abs=1e-3)
        loose = solve(replace(asked, steady_h=0.25))
        assert loose.binaries == 0, "a mean over an hour may be less: the charger is on for a part of it"

    def test_a_plan_without_a_broken_rule_has_no_binary(self) -> None:
        answer = solve(problem([0.8, 0.3], pack(goals=(Goal(2.0, 250.0),)), storage()))
        assert (answer.rounds, answer.binaries) == (1, 0)


class TestStorage:
    """Stationary storage beside the packs."""

    def test_it_rests_at_flat_prices(self) -> None:
        plan = make_plan(problem([0.5] * 6, storage(50.0, end_yuan_per_kwh=0.5)))
        assert plan.flows.charge_kw == pytest.approx(np.zeros(6), abs=1e-6)
        assert plan.flows.discharge_kw == pytest.approx(np.zeros(6), abs=1e-6)

    def test_what_is_left_has_a_worth(self) -> None:
        """evcc#31114: emptied in the evening and bought back dear; hsem#655: never used."""
        keeps = make_plan(problem([0.6], storage(50.0, end_yuan_per_kwh=0.8), base_kw=30.0))
        spends = make_plan(problem([0.6], storage(50.0, end_yuan_per_kwh=0.5), base_kw=30.0))
        assert keeps.flows.discharge_kw[0] == pytest.approx(0.0, abs=1e-6)
        assert spends.flows.discharge_kw[0] == pytest.approx(30.0)

    def test_wear_must_be_earned(self) -> None:
        prices = [0.3, 0.6]
        base: dict[str, Any] = {"base_kw": 20.0}
        assert make_plan(problem(prices, storage(), **base)).flows.discharge_kw[1] > 1.0
        worn = make_plan(problem(prices, storage(wear_yuan_per_kwh=0.2), **base))
        assert worn.flows.discharge_kw[1] == pytest.approx(0.0, abs=1e-6)

    def test_sun_alone_where_the_grid_is_not_allowed(self) -> None:
        plan = make_plan(problem([0.1, 0.9], storage(from_grid=False), pv_kw=20.0, base_kw=5.0))
        assert plan.flows.charge_kw[0] <= 20.0 + 1e-6


def test_the_peak_so_far_is_free_and_a_higher_one_is_paid() -> None:
    goal = (Goal(4.0, 230.0),)
    more: dict[str, Any] = {"demand_yuan_per_kw": 40.0, "demand_floor_kw": 60.0}
    plan = make_plan(problem([0.8, 0.8, 0.3, 0.8], pack(goals=goal), **more))
    needed_kw = 170.0 / 0.96 / 0.95 / 4
    assert plan.flows.import_kw.max() == pytest.approx(max(60.0, needed_kw), rel=1e-3)
    free = make_plan(problem([0.8, 0.8, 0.3, 0.8], pack(goals=goal)))
    assert free.flows.import_kw.max() > 150.0


def test_losses_of_the_transformer_count_against_limit_and_bill() -> None:
    asked = problem([1.0], pack(goals=(Goal(1.0, 267.9),)), limit_kw=100.0, base_kw=10.0, transformer_loss_share=0.02)
    flows = make_plan(asked).flows
    assert flows.import_kw[0] == pytest.approx(100.0)
    assert flows.charge_kw[0] == pytest.approx((98.0 - 10.0) * 0.95)


def test_chargers_shared_by_bays_give_no_more_than_they_are() -> None:
    goal = (Goal(1.0, 250.0),)
    plan = make_plan(problem([0.5], *(pack(f"A{n}", goals=goal, until_h=1.0) for n in range(4)), chargers_kw=480.0))
    assert plan.flows.output_kw[0] == pytest.approx(480.0)


class TestWishes:
    """The second stage: within the money, ready early, little time at high charge, level."""

    def test_it_spends_no_more_than_its_share(self) -> None:
        asked = problem([0.5, 0.4, 0.6, 0.4], pack(goals=(Goal(4.0, 250.0),)), pack("A2", until_h=inf))
        answer = solve(asked)
        cost = [float(answer.matrix.cost @ x) for x in (answer.best, answer.x)]
        money = float(answer.matrix.money @ answer.best)
        assert cost[0] <= cost[1] <= cost[0] + 1.1e-4 * abs(money)

    def test_at_equal_prices_a_pack_is_ready_first_and_full_last(self) -> None:
        goals = (Goal(6.0, 253.8), Goal(6.0, 267.9, Tier.COMFORT))
        energy = make_plan(problem([0.5] * 6, pack(goals=goals, until_h=6.0))).flows.energy_kwh
        assert energy[0] == pytest.approx(LAW.energy_after(60.0, 1.0), abs=25.0)
        assert energy[1] >= 253.8 - 1e-3
        assert np.all(energy[1:5] <= 255.0), "above the offer level only when it has to be"
        assert energy[5] == pytest.approx(267.9, abs=0.05)

    def test_steps_of_power_are_near_the_fewest_that_the_earlier_wishes_leave(self) -> None:
        """evcc PR#32881: 12/4/12/4 kW each quarter at equal cost."""
        goals = (Goal(6.0, 253.8), Goal(6.0, 267.9))
        stores = [pack(f"A{n}", 60.0 + 40 * n, until_h=6.0, goals=goals) for n in range(3)]
        asked = problem([0.5, 0.5, 0.4, 0.4, 0.5, 0.5], *stores, limit_kw=300.0)
        answer = solve(asked)
        blocks, slots = answer.matrix.blocks, 6

        def steps(x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
            return float(np.abs(np.diff(x[blocks.output : blocks.output + slots])).sum())

        assert steps(answer.x) <= 1.1 * steps(fewest_steps(answer)) + 1e-3


def fewest_steps(answer: SolverAnswer) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Least Σ|ΔP| with the money and the earlier wishes of an answer, by a program of its own."""
    matrix, blocks = answer.matrix, answer.matrix.blocks
    solver = highspy.Highs()
    solver.silent()
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = matrix.columns, matrix.rows
    early = matrix.wish.copy()
    early[blocks.rise : blocks.peak if blocks.peak >= 0 else blocks.short] = 0.0
    level = matrix.wish - early
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = level, matrix.lower, matrix.upper
    upper = matrix.row_upper.copy()
    upper[matrix.money_row] = float(matrix.cost @ answer.x) + 1e-6
    lp.row_lower_, lp.row_upper_ = matrix.row_lower, upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.starts, matrix.index, matrix.value
    solver.passModel(lp)
    at = np.flatnonzero(early).astype(np.int32)
    solver.addRow(-highspy.kHighsInf, float(early @ answer.x) + 1e-6, len(at), at, early[at])
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return np.array(solver.getSolution().col_value)


# -- nothing is believed

STORES = (pack(goals=(Goal(3.0, 250.0),)), storage(20.0))
ASKED = problem([0.8, 0.3, 0.5], *STORES, base_kw=40.0, limit_kw=200.0, pv_kw=10.0)


def _with(answer: SolverAnswer, column: Callable[[Matrix], int], by: float) -> SolverAnswer:
    x = answer.x.copy()
    x[column(answer.matrix)] += by
    return replace(answer, x=x)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda a: _with(a, lambda m: m.blocks.charge + 1, 5.0), "row or bound"),
        (lambda a: _with(a, lambda m: m.blocks.low + 2, 1.0), "energy does not follow"),
        (lambda a: _with(a, lambda m: m.blocks.grid_in, 3.0), "from nowhere"),
        (lambda a: _with(a, lambda m: m.blocks.grid_in + 1, 900.0), "the limit"),
        (lambda a: _with(a, lambda m: m.blocks.sun, 20.0), "sun used"),
        (lambda a: _with(a, lambda m: m.blocks.charge, nan), "not a number"),
        (lambda a: replace(a, status="time limit reached"), "status"),
        (lambda a: replace(a, row_price=a.row_price * 0.9), "gap"),
        (lambda a: replace(a, row_price=np.zeros_like(a.row_price)), "gap"),
        (lambda a: replace(a, best=a.best * 1.01), "row or bound"),
    ],
    ids=["charge", "energy", "import", "limit", "sun", "nan", "status", "prices", "no prices", "first stage"],
)
def test_a_damaged_answer_is_thrown_away(damage: Callable[[SolverAnswer], SolverAnswer], told: str) -> None:
    answer = solve(ASKED)
    assert check(ASKED, answer).good
    damaged = damage(answer)
    verdict = check(ASKED, damaged)
    assert any(told in line for line in verdict.broken), verdict
    with pytest.raises(NotBelieved, match=told):
        plan_of(ASKED, damaged, verdict)


def test_the_flows_are_judged_without_the_program() -> None:
    """Another problem's answer: its rows hold, what it says does not fit what was asked."""
    answer = solve(ASKED)
    stores = (replace(ASKED.stores[0], charge_kw=30.0), replace(ASKED.stores[1], most_kwh=21.0, discharge_kw=1.0))
    found = flaws(replace(ASKED, stores=stores), read_flows(ASKED, answer.matrix, answer.x))
    assert any("more than its charger gives" in line for line in found)
    narrow = replace(ASKED, site=site([0.8, 0.3, 0.5], base_kw=40.0, limit_kw=50.0))
    found = flaws(narrow, read_flows(ASKED, answer.matrix, answer.x))
    assert any("import is" in line for line in found)
    assert any("sun used" in line for line in found)


@pytest.mark.parametrize(
    ("asked", "stricter", "told"),
    [
        (
            problem([0.5, 0.9], pack(until_h=1.0, goals=(Goal(1.0, 70.0),))),
            {"min_charge_kw": 60.0},
            "less than its charger can give",
        ),
        (problem([0.1, 0.9], storage(), base_kw=50.0), {"from_grid": False}, "stores without the grid take"),
        (
            problem([0.5, 0.5], storage(80.0), export_yuan_per_kwh=np.array([0.9, 0.9])),
            {"to_grid": False},
            "sun and what may be exported",
        ),
    ],
    ids=["least power", "from the grid", "to the grid"],
)
def test_what_a_store_may_not_do_is_seen_outside_the_program(
    asked: ChargeProblem, stricter: dict[str, Any], told: str
) -> None:
    answer = solve(asked)
    flows = read_flows(asked, answer.matrix, answer.x)
    assert flaws(asked, flows) == []
    strict = replace(asked, stores=(replace(asked.stores[0], **stricter),))
    assert any(told in line for line in flaws(strict, flows))
    kept = solve(strict)
    assert flaws(strict, read_flows(strict, kept.matrix, kept.x)) == []


def test_the_second_attempt_goes_another_way_also_with_binaries(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = problem([-0.5, -0.5, 0.5], storage(40.0), limit_kw=70.0, base_kw=10.0)
    ways: list[tuple[object, object]] = []

    def run(solver: highspy.Highs, stage: str) -> None:
        ways.append((solver.getOptionValue("presolve")[1], solver.getOptionValue("random_seed")[1]))
        if len(ways) == 1:
            raise NotSolved("the first way leads nowhere")
        solver.run()

    monkeypatch.setattr("scheduler.optimal.solve._run", run)
    plan = make_plan(asked)
    assert plan.verdict.good
    assert ways[0] == ("on", 0)
    assert set(ways[1:]) == {("off", 1)}
    assert len(ways) > 3, "binaries were needed"


def test_a_first_slot_of_seconds_does_not_make_what_is_short_dearer() -> None:
    more: dict[str, Any] = {"demand_yuan_per_kw": 40.0}
    seconds = problem([0.8, 0.8], pack(), hours=[17 / 3600, 1.0], **more)
    minutes = problem([0.8, 0.8], pack(), hours=[5 / 60, 1.0], **more)
    assert seconds.price_scale == pytest.approx(minutes.price_scale)


def test_a_hundred_plans_after_a_failure_are_those_of_cold_solves() -> None:
    """EMHASS#1048: one rescue made all later solves wrong."""
    asked = [
        problem([0.3 + 0.01 * n, 0.8, 0.5], pack(energy_kwh=60.0 + n, goals=(Goal(3.0, 240.0),)), storage(float(n % 7)))
        for n in range(100)
    ]
    cold = [solve(one).x for one in asked]
    with pytest.raises(NotSolved, match=r"[Tt]ime limit"):
        solve(asked[0], most_s=0.0)
    again = [solve(one).x for one in asked]
    assert all(np.array_equal(x, y) for x, y in zip(cold, again, strict=True))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: problem([nan], pack()), "import_yuan_per_kwh"),
        (lambda: problem([0.5], pack(), limit_kw=-1.0), "import_limit_kw is -1 kW"),
        (lambda: problem([0.5], pack(), hours=[0.0]), "hours"),
        (lambda: problem([0.5], pack(energy_kwh=nan)), "A1: energy_kwh is nan"),
        (lambda: problem([0.5], pack(energy_kwh=nan), pack("A2", efficiency=0.0)), "A2: efficiency is 0"),
        (lambda: problem([0.5], pack(from_h=2.0, until_h=1.0)), "until_h"),
        (lambda: problem([0.5], pack(wear_yuan_per_kwh=-1.0)), "wear"),
        (lambda: problem([0.5], pack(from_h=1.0, goals=(Goal(0.5, 1.0),))), "goal"),
        (lambda: problem([0.5, 0.5], pack(), hours=[1.0]), r"\(2,\) values for 1 slots"),
        (lambda: ChargeProblem(BEGIN_AT, np.ones((2, 2)), site([0.5, 0.5]), ()), "2 dimensions"),
        (
            lambda: ChargeProblem(BEGIN_AT, np.ones(2), Site(np.ones((2, 1)), np.ones(2), np.ones(2), np.ones(2)), ()),
            r"\(2, 1\) values",
        ),
        (lambda: ChargeProblem(BEGIN_AT.replace(tzinfo=None), np.ones(1), site([0.5]), ()), "needs a time zone"),
        (lambda: problem([0.5], pack(), steady_h=nan), "steady_h is nan"),
        (lambda: problem([0.5], pack(), chargers_kw=nan), "chargers_kw is nan"),
        (lambda: problem([0.5], pack(), demand_yuan_per_kw=inf), "demand_yuan_per_kw is inf"),
        (lambda: replace(problem([0.5]), tier_weights=(1.0, 100.0, 30.0, 3.0)), "none above the one before"),
        (lambda: problem([0.5], pack(high_kwh=nan)), "high_kwh is nan"),
        (lambda: problem([0.5], pack(least_kwh=300.0)), "least_kwh is 300.0, above most_kwh"),
        (lambda: problem([0.5], pack(asked_kw=np.array([nan]))), "asked_kw"),
        (lambda: problem([0.5], pack(asked_kw=np.array([-1.0]))), "asked_kw"),
        (lambda: problem([0.5, 0.5], pack(asked_kw=np.array([1.0]))), "asked_kw"),
        (lambda: problem([0.5], pack(goals=(Goal(inf, 1.0),))), "goal"),
        (lambda: problem([0.5], pack(goals=(Goal(nan, 1.0),))), "goal"),
        (lambda: problem([0.5], pack(discharge_kw=-1.0)), "discharge_kw is -1"),
        (lambda: problem([0.5], pack(min_charge_kw=inf)), "min_charge_kw is inf"),
    ],
)
def test_nonsense_is_refused_and_every_piece_of_it_named(wrong: Callable[[], ChargeProblem], told: str) -> None:
    """FlexMeasures PR#2252: one bad device stopped the validation of those after it."""
    with pytest.raises(ValueError, match=told):
        wrong()


# -- on random stations


@st.composite
def stations(draw: st.DrawFn) -> ChargeProblem:
    """Some packs with windows and goals, perhaps storage, sun, export, and prices of either sign."""
    slots = draw(st.integers(2, 6))
    hours = [draw(st.sampled_from([5 / 60, 0.25, 1.0])) for _ in range(slots)]
    whole_h = sum(hours)
    number = st.floats(0.0, 1.0)
    stores: list[EnergyStore] = []
    for n in range(draw(st.integers(0, 4))):
        from_h = draw(number) * 0.8 * whole_h
        until_h = inf if draw(st.booleans()) else from_h + draw(number) * (whole_h - from_h)
        goals = () if until_h == inf else (Goal(until_h, 260 * draw(number), draw(st.sampled_from(Tier))),)
        least = draw(st.sampled_from([0.0, 5.0, 40.0]))
        end_yuan = 0.5 * draw(number)
        kwh = 267 * draw(number)
        two_way = draw(st.sampled_from([0.0, 0.0, 60.0]))
        stores.append(
            pack(
                f"A{n}",
                kwh,
                from_h=from_h,
                until_h=until_h,
                goals=goals,
                min_charge_kw=least,
                discharge_kw=two_way,
                efficiency_out=0.95,
                end_yuan_per_kwh=end_yuan,
            )
        )
    if draw(st.booleans()):
        stores.append(storage(100 * draw(number), wear_yuan_per_kwh=draw(st.sampled_from([0.0, 0.05]))))
    prices = [draw(st.sampled_from([-0.4, 0.0, 0.2, 0.5, 1.2])) for _ in range(slots)]
    more: dict[str, Any] = {}
    if draw(st.booleans()):
        more = {
            "export_yuan_per_kwh": np.full(slots, draw(st.sampled_from([-0.1, 0.1, 0.7]))),
            "export_limit_kw": 80.0,
        }
    if draw(st.booleans()):
        more["demand_yuan_per_kw"] = 20.0
    if draw(st.booleans()):
        more["import_floor_kw"] = np.array([draw(st.sampled_from([0.0, 70.0, 300.0])) for _ in range(slots)])
    return problem(
        prices,
        *stores,
        hours=hours,
        limit_kw=draw(st.sampled_from([0.0, 90.0, 400.0, inf])),
        base_kw=draw(st.sampled_from([0.0, 25.0])),
        pv_kw=draw(st.sampled_from([0.0, 60.0])),
        **more,
    )


@settings(max_examples=60, deadline=None)
@given(stations())
def test_on_random_stations_limits_and_balances_hold(asked: ChargeProblem) -> None:
    """Reckoned slot by slot, with no array of the planner's own check. Also: there is always a plan; nothing both ways
    at once; no shortfall that full power of one pack alone could have avoided where the site has room for all."""
    plan = make_plan(asked)
    by_hand(asked, plan)
    if asked.site.import_limit_kw[0] == inf and not any(s.min_charge_kw for s in asked.stores):
        ends = dict(zip((s.name for s in asked.stores), plan.flows.windows.last, strict=True))
        for short in plan.shortfalls:
            store = next(s for s in asked.stores if s.name == short.store)
            last = ends[store.name]
            spent = store.until_h - store.from_h
            most = LAW.energy_after(store.energy_kwh, spent)
            slack = 0.05 * 282.0 * len(asked.hours) + 0.5  # chords of hours lie so far below
            assert plan.flows.energy_kwh[last] >= min(most, store.goals[0].kwh) - slack


def by_hand(asked: ChargeProblem, plan: ChargePlan) -> None:
    """Energies, limits and money of a plan from its powers alone."""
    flows, site, near = plan.flows, asked.site, 1e-3
    bus_kw = [float(kw) for kw in site.base_kw]
    yuan, place = 0.0, 0
    for number, store in enumerate(asked.stores):
        energy_kwh = store.energy_kwh
        for at in np.flatnonzero(flows.windows.store == number):
            slot = int(flows.windows.slot[at])
            into_kw, out_kw = float(flows.charge_kw[at]), float(flows.discharge_kw[at])
            assert min(into_kw, out_kw) < near
            assert -near < into_kw < store.charge_kw + near
            hours = float(asked.hours[slot])
            part = flows.windows.connected_h[at] < hours - 1e-9
            assert part or into_kw < near or into_kw > store.min_charge_kw - near
            energy_kwh += hours * (store.efficiency * into_kw - out_kw / store.efficiency_out)
            assert -near < energy_kwh < max(store.most_kwh, store.energy_kwh) + near
            bus_kw[slot] += into_kw / store.ac_efficiency - out_kw * store.ac_efficiency
            yuan += store.wear_yuan_per_kwh * hours * (into_kw + out_kw)
        for goal in store.goals:
            assert flows.short_kwh[place] == pytest.approx(max(goal.kwh - energy_kwh, 0.0), abs=0.01)
            place += 1
        if store.until_h >= asked.ends_h[-1] - 1e-9:
            yuan -= store.end_yuan_per_kwh * energy_kwh
    for slot, needed_kw in enumerate(bus_kw):
        import_kw, export_kw, sun_kw = (float(x[slot]) for x in (flows.import_kw, flows.export_kw, flows.sun_kw))
        assert import_kw + sun_kw - export_kw == pytest.approx(needed_kw, abs=near)
        assert min(import_kw, export_kw) < near
        assert import_kw < max(site.import_limit_kw[slot], site.base_kw[slot]) + near
        assert export_kw < (0.0 if site.export_yuan_per_kwh is None else site.export_limit_kw) + near
        assert -near < sun_kw < site.pv_kw[slot] + near
        yuan += asked.hours[slot] * import_kw * site.import_yuan_per_kwh[slot]
        yuan -= (
            0.0 if site.export_yuan_per_kwh is None else asked.hours[slot] * export_kw * site.export_yuan_per_kwh[slot]
        )
    yuan += site.demand_yuan_per_kw * max(site.demand_floor_kw, float(flows.import_kw.max()))
    assert plan.money_yuan == pytest.approx(yuan, abs=0.02)


def test_at_one_price_packs_are_ready_as_early_as_they_can() -> None:
    """Also before a cheaper hour that is not needed, for a truck that is known: it may be sooner than it said."""
    half = pack(goals=(Goal(2.0, 170.0),), until_h=2.0)
    for after in (0.2, 0.9, 1.4):
        assert make_plan(problem([0.9, 0.9, after], half)).flows.charge_kw[0] > 100.0


def test_before_a_cheaper_hour_charging_for_who_may_not_come_waits_if_that_hour_has_room() -> None:
    """What is not charged for a truck that does not come is charged for the next one, cheaper."""
    goals = (Goal(2.0, 170.0, Tier.FORECAST), Goal(1.0, 60.0, Tier.STOCK))
    half = pack(goals=goals, until_h=2.0)
    asked = problem([0.9, 0.9, 0.2], half)
    assert list(waits(asked)) == [True, True, False]
    plan = make_plan(asked)
    assert plan.flows.charge_kw[0] == pytest.approx(0.0, abs=0.1)
    assert not plan.shortfalls, "and it is ready when it is asked for"
    promised = pack("A2", goals=(Goal(2.0, 170.0),), until_h=2.0)
    assert list(may_not_come(problem([0.9, 0.9, 0.2], half, promised, pack("A3")))) == [True, False, True]
    assert not may_not_come(problem([0.9, 0.9, 0.2], promised, pack("A3"))).any(), "all who come are known"
    busy = pack("A2", 60.0, until_h=3.0, goals=(Goal(3.0, 250.0),))
    for chargers, wanted in ((240.0, False), (400.0, True)):
        site = Site(np.array([0.9, 0.9, 0.2]), np.zeros(3), np.zeros(3), np.full(3, chargers))
        assert list(waits(ChargeProblem(BEGIN_AT, np.ones(3), site, (half, busy)))) == [wanted, wanted, False]
    dearer_first = list(waits(problem([0.9, 0.9, 1.2, 0.2], half)))
    assert dearer_first == [False, False, True, False], "the next other price counts"


def test_guides_follow_the_plan_and_slots_that_wish_the_same_are_one() -> None:
    plan = make_plan(problem([0.9, 0.9, 0.2, 0.2], pack(goals=(Goal(4.0, 250.0),))))
    guides = guides_of(plan, [{"lfp": (0.0, 0.1)}] * 4)
    assert guides[0].until_at == BEGIN_AT + timedelta(hours=2)
    assert guides[0].most_kw == pytest.approx(0.0, abs=0.5)
    assert guides[-1].until_at == plan.until_at
    assert all(guide.reach_h == {"lfp": [0.0, 0.1]} for guide in guides)
    assert len(guides_of(plan, [{"lfp": (0.0, 0.1)}, *[{"lfp": (0.0,)}] * 3])) > len(guides)


def test_a_guide_has_for_each_pack_what_the_plan_has_for_it_while_it_is_there() -> None:
    """Two packs and power for one: the one that goes later has no less of it for being further from ready."""
    near = pack("A1", 200.0, until_h=3.0, goals=(Goal(3.0, 250.0),))
    far = pack("A2", 60.0, until_h=2.5, goals=(Goal(2.5, 253.0),))
    late = pack("T1.0", 60.0, from_h=0.5)
    plan = make_plan(problem([0.9, 0.9, 0.9, 0.9], near, far, late, chargers_kw=240.0))
    guides = guides_of(plan, [{"lfp": (0.0, 0.1)}] * 4, {"A1": "P1", "A2": "P2"})
    windows = plan.flows.windows
    for number, pack_id in enumerate(("P1", "P2")):
        for place in np.flatnonzero(windows.store == number):
            at = plan.starts[windows.slot[place]]
            guide = next(one for one in guides if at < one.until_at)
            share = float(windows.connected_h[place])
            if guide.binds and share > 0:
                assert guide.pack_kw[pack_id] * share >= plan.flows.charge_kw[place] - 0.5
    first = guides[0]
    assert set(first.pack_kw) == {"P1", "P2"}
    assert first.pack_kw["P2"] > first.pack_kw["P1"]
    assert first.rest_kw == pytest.approx(first.most_kw - sum(first.pack_kw.values()))


def test_a_problem_without_stores_is_the_base_load() -> None:
    assert make_plan(problem([0.5, 0.4], base_kw=10.0)).money_yuan == pytest.approx(9.0)
