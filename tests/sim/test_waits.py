"""What trucks waited for, Little's law in every run, and stations that cannot serve all who come."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sim.report.report import study_report
from sim.report.results import study_values
from sim.report.words import load_words
from sim.scenario.file import Scenario
from sim.study.agenda import Call
from sim.study.parallel import workers
from sim.study.station import Station
from sim.study.study import StudyResult, read_run, run_study, simulate_once
from sim.study.swap_truck import scenario_station
from sim.study.waits import CAUSES, CountsDisagree
from tests.support.sim.study import scenario

DAY_S = 86_400.0


def yard(rate: float = 4.0, **over: Any) -> Scenario:
    """A yard where nothing is short, but for what `over` says; equipment is taken field by field."""
    equipment = {"packs": {"lfp-282": 20}, "lanes": 2, "charger_kw": 240, "transformer_kva": 9000, "swap_cv": 0.1}
    demand = {"trucks_per_hour_by_hour": [rate] * 24, "follows_cold": False}
    return scenario(demand=demand, **over | {"equipment": equipment | over.get("equipment", {})})


SHORT_OF = {
    "lane": yard(9.0, equipment={"lanes": 1}),
    "people": yard(staff={"shifts": [{"from_hour": 6, "hours": 12}], "lanes_per_person": 2}),
    "pack": yard(equipment={"packs": {"lfp-282": 3}}),
    "charger": yard(equipment={"chargers": 3}),
    "power": yard(equipment={"transformer_kva": 700}),
    "bay": yard(equipment={"spare_bays": 0}),
    "booking": yard(
        equipment={"packs": {"lfp-282": 8}},
        bookings={"share": 0.7, "no_show_share": 0.5, "window_min": 240, "hold_before_min": 240},
    ),
    "failure": yard(failures={"robot_mtbf_h": 2, "robot_repair_h": 4}),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_what_is_short_is_what_trucks_wait_for(cause: str) -> None:
    run = simulate_once(SHORT_OF[cause], 1, days=2)
    waiting_h = run.waiting_h_by_cause
    assert sum(waiting_h.values()) == pytest.approx(24 * run.means["mean_waiting_trucks"])
    assert max(waiting_h, key=lambda name: waiting_h[name]) == cause
    assert waiting_h[cause] > 0.5 * sum(waiting_h.values()) > 0


def run_of(station: Station) -> None:
    read_run(station, station.scenario, 1, 0, 1.0, DAY_S)


def test_a_count_that_breaks_littles_law_is_no_result() -> None:
    station = scenario_station(SHORT_OF["lane"], 1)
    station.run_until(DAY_S)
    station.reset()
    station.run_until(2 * DAY_S)
    station.close()
    run_of(station)
    station.waits[-1] += 30
    with pytest.raises(CountsDisagree, match=r"test-yard, seed 1, replication 0: .* the trucks' own waits"):
        run_of(station)
    station.waits[-1] -= 30
    station.causes.sums_s[0] -= 30
    with pytest.raises(CountsDisagree, match="the causes of waiting"):
        run_of(station)


def test_trucks_that_leave_uncounted_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaves(self: Station, call: Call) -> None:
        self.before_change()
        self.line.remove(call.payload)

    impatient = yard(9.0, equipment={"packs": {"lfp-282": 2}}, patience={"mean_patience_min": 60})
    simulate_once(impatient, 1, days=0.5)
    monkeypatch.setattr(Station, "_on_give_up", leaves)
    with pytest.raises(CountsDisagree, match="the trucks' own waits"):
        simulate_once(impatient, 1, days=0.5)


@pytest.fixture(scope="module")
def overloaded() -> StudyResult:
    with workers(1) as pool:
        return run_study(yard(equipment={"packs": {"lfp-282": 1}}), pool, replications=3, days=4, warmup_days=1)


def test_a_queue_that_grows_has_no_mean(overloaded: StudyResult) -> None:
    assert overloaded.unstable
    run = overloaded.runs[0]
    # What comes and is not served stands in the queue.
    assert run.queue_growth_per_day == pytest.approx(96 - run.means["swaps_per_day"], rel=0.15)
    found = overloaded.estimates()
    assert all(math.isnan(found[name].mean) for name in ("mean_wait_min", "p50_wait_min", "p95_wait_min"))
    assert study_values(overloaded)["unstable"] is True
    english = study_report(overloaded, load_words("en"))
    assert english.mood == "bad"
    assert english.answer[0].startswith("Unstable: the queue grows by ")
    assert "No pack ready" in english.answer[2]
    causes = next(table for table in english.tables if table.id == "causes")
    assert causes.rows[-1][0] == "All waiting"
    assert "不稳定" in study_report(overloaded, load_words("zh")).answer[0]


def test_a_busy_station_is_not_called_unstable() -> None:
    with workers(1) as pool:
        # One lane of 5 min and 10.8 trucks an hour: used to 90 %.
        busy = yard(10.8, equipment={"lanes": 1, "swap_s": 300, "packs": {"lfp-282": 40}})
        for days in (1.0, 4.0):
            result = run_study(busy, pool, replications=4, days=days, warmup_days=1)
            assert not result.unstable
            assert result.mean_wait_min.mean > 5
