"""The bound that charging is measured against: exact where it can be known, and never above what was paid."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from battery_bms.pack import PackSpec, curve_of
from benchmarks.plan.bound import Grid, Visit, least_free, least_yuan
from benchmarks.plan.charging import KeptRuns, Month, begun_on, broken, month, together, ways_of
from benchmarks.plan.evcc import compare
from sim.study.optimal.planned import Habits
from tests.support.sim.study import scenario

CURVE = curve_of(PackSpec(282.0, 240.0), 100.0)


def grid(price: list[float], limit_kw: float = 1000.0, base_kw: float = 0.0) -> Grid:
    slots = len(price)
    return Grid(np.array(price), np.full(slots, base_kw), np.full(slots, limit_kw), 0.95, 2000.0)


def test_the_cheapest_quarters_are_taken_as_far_as_the_charger_goes() -> None:
    visit = Visit(0.0, 1.0, 60.0, 60.0 + 1.5 * 0.25 * 240.0 * 0.96, CURVE, 240.0)
    a_quarter_kwh = 0.25 * 240.0 / 0.95
    expected = 0.2 * a_quarter_kwh + 0.4 * a_quarter_kwh / 2
    assert least_yuan([visit], grid([0.9, 0.2, 0.4, 0.9])) == pytest.approx(expected)


def test_windows_limits_and_base_load_count() -> None:
    late = Visit(0.5, 1.0, 60.0, 60.0 + 100.0, CURVE, 240.0)
    drawn_kwh = 100.0 / 0.96 / 0.95
    assert least_yuan([late], grid([0.1, 0.1, 0.5, 0.5])) == pytest.approx(0.5 * drawn_kwh)
    assert least_yuan([late], grid([0.1, 0.1, 0.5, 0.5], base_kw=8.0)) == pytest.approx(0.5 * drawn_kwh + 2.4)
    with pytest.raises(ArithmeticError, match="Infeasible"):
        least_yuan([late], grid([0.5] * 4, limit_kw=100.0))


def test_packs_that_may_change_places_cost_no_more_and_still_come_in_time() -> None:
    """Two packs come spent, one goes at once: whichever is charged then, the other has all night."""
    most_kwh = 0.25 * 240.0 * CURVE.efficiency
    soon = Visit(0.0, 0.25, 60.0, 60.0 + most_kwh, CURVE, 240.0)
    late = Visit(0.0, 1.0, 60.0 + most_kwh, 60.0 + 2 * most_kwh, CURVE, 240.0)
    prices = grid([0.9, 0.2, 0.2, 0.2])
    quarter_kwh = 0.25 * 240.0 / 0.95
    assert least_yuan([soon, late], prices) == pytest.approx((0.9 + 0.2) * quarter_kwh)
    assert least_free([soon, late], prices) == pytest.approx(2 * 0.2 * quarter_kwh), "the fuller one goes first"
    alone = Visit(0.0, 0.25, 60.0, 60.0 + most_kwh, CURVE, 240.0)
    assert least_free([alone], prices) == pytest.approx(0.9 * quarter_kwh), "there is no other"
    twins = [Visit(0.0, until, 60.0, 60.0 + most_kwh, CURVE, 240.0) for until in (0.5, 1.0)]
    dear_first = grid([0.2, 0.9, 0.9, 0.2])
    assert least_free(twins, dear_first) == pytest.approx(2 * 0.2 * quarter_kwh)
    falling = grid([0.9, 0.9, 0.2, 0.2])
    assert least_free(twins, falling) == pytest.approx((0.9 + 0.2) * quarter_kwh)
    kept = np.array([0.0, most_kwh, most_kwh / 2, 0.0])
    assert least_free(twins, falling, kept) == pytest.approx((1.5 * 0.9 + 0.5 * 0.2) * quarter_kwh), (
        "a stock has a price"
    )
    too_much = least_free(twins, falling, np.full(4, 1000.0))
    assert too_much == pytest.approx(2 * 0.9 * quarter_kwh), "as much of it as there can be, as soon as there can be"


@pytest.mark.parametrize(
    "habits",
    [None, Habits("own", every_min=120), Habits("learned", every_min=120)],
    ids=["rule", "foreseen", "learned"],
)
def test_nothing_was_ever_cheaper(habits: Habits | None) -> None:
    made = scenario(demand={"trucks_per_hour_by_hour": [3.0] * 24}, equipment={"packs": {"lfp-282": 10}})
    found = month(made, 2, 0.5, habits, warmup_days=0.25)
    assert found.swaps > 10
    assert 0.0 <= found.gap < (0.03 if habits and habits.foresight == "own" else 0.3)
    assert sum(found.by_period.values()) == pytest.approx(found.gap, abs=1e-9), "each period has its part of it"
    assert sum(found.by_change.values()) == pytest.approx(found.gap, abs=1e-9), "and each change of the price"
    assert found.free_yuan <= found.bound_yuan * (1 + 1e-9), "with any pack to any truck no dearer"
    assert found.free_yuan > 0.5 * found.bound_yuan


def test_the_pack_of_a_swap_that_goes_on_when_the_count_begins_is_a_visit() -> None:
    """What is charged into it would else be paid by the run alone."""
    made = scenario(demand={"trucks_per_hour_by_hour": [8.0] * 24}, equipment={"packs": {"lfp-282": 10}})
    found = month(made, 2, 0.25, None, warmup_days=0.25)
    assert found.by_change["end"] == pytest.approx(0.0, abs=1e-9), "nothing was imported that the bound does not need"
    assert found.gap == pytest.approx(found.by_change["08:00"] + found.by_change["10:00"])


def test_short_power_goes_to_who_is_wanted_first() -> None:
    """At a site too small for its chargers the order in which packs are charged is what tells the policies apart."""
    made = scenario(
        demand={"trucks_per_hour_by_hour": [5.0] * 24},
        equipment={"packs": {"lfp-282": 10}, "transformer_kva": 800},
        promise={"wait_limit_min": 10.0},
    )
    found = {way: ways_of(made, True)[way](3, 1.0, 0.25) for way in ("uncontrolled", "deadline", "laxity")}
    assert all(run.gap > -1e-9 for run in found.values())
    assert found["deadline"].wait_min < min(found["laxity"].wait_min, found["uncontrolled"].wait_min)
    assert found["laxity"].wait_min != pytest.approx(found["uncontrolled"].wait_min)


def test_a_run_that_has_ended_is_kept_as_long_as_nothing_has_changed(tmp_path: Path) -> None:
    path, made = tmp_path / "kept" / "runs.jsonl", []

    def make() -> Month:
        made.append(1)
        return a_month(0.05 * len(made))

    first = KeptRuns(path, "these programs")("a month", make)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"by": "these programs", "run": "another", "mon')  # stopped while it was written
    again = KeptRuns(path, "these programs")
    assert again.has("a month")
    assert again("a month", make) == first
    assert not again.has("another")
    assert KeptRuns(path, "other programs")("a month", make) != first
    assert len(made) == 2


def test_months_together_count_by_their_size() -> None:
    small, large = a_month(0.1, 0.5), replace(a_month(0.2, 1.0), swaps=300, bound_yuan=300.0, cost_yuan=360.0)
    both = together([replace(small, by_period={"peak": 0.1}), replace(large, by_period={"peak": 0.2})])
    assert both.gap == pytest.approx((110 + 360) / 400 - 1)
    assert both.by_period == {"peak": pytest.approx(both.gap)}
    assert both.within == pytest.approx((0.5 * 100 + 300) / 400)
    january = begun_on(scenario(), date(2026, 1, 5))
    assert january.study.start_on == date(2026, 1, 5)


def a_month(gap: float, within: float = 0.9, failed: int = 0) -> Month:
    return Month(100.0 * (1 + gap), 100.0, 1000.0, 100, within, 1.0, 10, failed)


@pytest.mark.parametrize(
    ("rule", "expected", "foreseen", "told"),
    [
        (a_month(0.02), a_month(0.015), a_month(0.005), []),
        (a_month(0.06), a_month(0.029), a_month(0.009), []),
        (a_month(0.06), a_month(0.04), a_month(0.009), ["expected: 4.00% above the bound, asked 3.00%"]),
        (a_month(0.02), a_month(0.025), a_month(0.005), ["expected: 2.50% above"]),
        (a_month(0.02), a_month(0.015), a_month(0.015), ["foreseen: 1.50% above"]),
        (a_month(0.02), a_month(0.015, 0.8), a_month(0.005), ["expected: 80.0% within the promise"]),
        (a_month(0.02), a_month(0.015), a_month(0.005, failed=2), ["foreseen: 2 plans failed"]),
        (a_month(-0.01), a_month(-0.02), a_month(0.005), ["rule: below the bound", "expected: below the bound"]),
    ],
)
def test_what_is_asked_of_a_month_and_does_not_hold_is_said(
    rule: Month, expected: Month, foreseen: Month, told: list[str]
) -> None:
    ways = {"rule": rule, "expected": expected, "hourly": expected, "learned": a_month(0.0), "foreseen": foreseen}
    found = [line for line in broken(ways) if not line.startswith(("hourly: below", "learned"))]
    assert len(found) == len(told), found
    assert all(line.startswith(start) for line, start in zip(found, told, strict=True))


def test_planning_by_the_hour_may_not_be_dearer_by_much() -> None:
    ways = {"rule": a_month(0.02), "expected": a_month(0.015), "hourly": a_month(0.0199), "foreseen": a_month(0.005)}
    ways["learned"] = a_month(0.015)
    assert broken(ways) == []
    (said,) = broken(ways | {"learned": a_month(0.025)})
    assert said.startswith("learned: 2.50% above")
    (said,) = broken(ways | {"learned": a_month(0.015, 0.8)})
    assert said.startswith("learned: 80.0% within the promise")
    (said,) = broken(ways | {"hourly": a_month(0.021)})
    assert said.startswith("hourly: +0.60%")


def test_a_case_of_evcc_is_read_and_a_worse_plan_is_seen(tmp_path: Path) -> None:
    """Two hours, one battery, worth more than its energy costs in the second."""
    battery = {"s_min": 0, "s_max": 2000, "s_initial": 0, "c_min": 0, "c_max": 1000, "d_max": 0, "p_a": 0.0003}
    request = {
        "batteries": [battery],
        "time_series": {
            "dt": [3600, 3600],
            "gt": [100, 100],
            "ft": [0, 0],
            "p_N": [0.0004, 0.0001],
            "p_E": [0.0, 0.0],
        },
        "eta_c": 1.0,
        "eta_d": 1.0,
    }
    response = {
        "batteries": [{"charging_power": [0, 1000], "state_of_charge": [0, 1000]}],
        "grid_import": [100, 1100],
        "grid_export": [0, 0],
    }
    path = tmp_path / "case.json"
    path.write_text(json.dumps({"request": request, "expected_response": response}))
    found = compare(tmp_path)
    assert found["agree"] is True
    assert "money 0.15000 (0.15000)" in str(found["case"])
    response["grid_import"] = [100, 900]  # a plan that nobody can have: 200 Wh for nothing
    path.write_text(json.dumps({"request": request, "expected_response": response}))
    assert compare(tmp_path)["agree"] is False
