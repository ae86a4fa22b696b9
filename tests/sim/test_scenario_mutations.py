"""Every number of a scenario made wrong by a script: refused by its name, or taken because it is right."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sim.report.report import study_report
from sim.report.words import load_words
from sim.scenario.file import Scenario
from sim.scenario.load import parse_scenario
from sim.study.study import StudyResult, simulate_once
from swap.config.loading import ConfigError
from tests.support.sim.study import scenario_data

Path = tuple[str | int, ...]
NOT_READ = ("pack_kinds", 0, "limits")
"""Alarm limits of the BMS: only a live station reads them."""


def whole() -> dict[str, Any]:
    """A scenario in which every number stands."""
    trips = {"km_loaded": 20.0, "km_empty": 20.0, "kwh_per_km_loaded": 2.3, "kwh_per_km_empty": 1.1}
    fleet = {"id": "f1", "model": "tractor", "vehicles": 30, "weight": 1.0, "arrive_soc": {"mode_pct": 30.0}}
    equipment = {"packs": {"lfp-282": 8}, "swap_s": 300.0, "spare_bays": 2, "chargers": 6, "contracted_kw": 2000.0}
    read = parse_scenario(
        scenario_data(
            demand={"mode": "fleet", "trucks_per_hour_by_hour": [6.0] * 24},
            equipment=equipment | {"swap_truck": {"packs": 4, "drive_min": 5.0}},
            fleets=[fleet | {"trips": trips, "shifts": [{"from_hour": 6.0, "hours": 12.0}]}],
            climate={"energy_use": [{"temp_c": -20.0, "factor": 1.3}]},
            bookings={"hold_before_min": 30.0},
            patience={"balk_at": 20, "mean_patience_min": 60.0, "truck_places": 40},
            dr_events=[{"from_hour": 18.0, "hours": 2.0, "limit_kw": 900.0}],
            charging={"max_power_kw": 3000.0},
            sizing={"packs": [8], "chargers": [6], "transformer_kva": [2e3], "lanes": [1], "storage_kwh": [0.0]},
            study={"warmup_days": 1.0, "days": 7, "replications": 4},
        )
    )
    return read.model_dump(mode="json", exclude={"folder", "vehicle_ids", "station"})


def numbers(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where a number stands; of a list only the last, its elements are alike."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, (*path, name))
    elif isinstance(value, list) and value:
        yield from numbers(value[-1], (*path, len(value) - 1))
    elif isinstance(value, int | float) and not isinstance(value, bool) and path[:3] != NOT_READ:
        yield path


def with_value(data: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(data)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


WHOLE = whole()
PATHS = list(numbers(WHOLE))
NO_NUMBERS = (math.nan, math.inf, -math.inf, 1e300, -1e300, 10**30, "many")


def test_no_number_without_a_range() -> None:
    assert len(PATHS) > 100
    wrong: list[tuple[Path, object, tuple[str, ...]]] = []
    for path in PATHS:
        name = next(str(step) for step in reversed(path) if isinstance(step, str))
        for value in NO_NUMBERS:
            try:
                parse_scenario(with_value(WHOLE, path, value))
                wrong.append((path, value, ("is accepted",)))
            except ConfigError as error:
                if not any(name in problem for problem in error.problems):
                    wrong.append((path, value, error.problems))
    assert wrong == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("climate", "mean_c_by_month", 5), 296.0, "climate.mean_c_by_month.5 = 296.0"),
        (("equipment", "transformer_kva"), -5, "equipment.transformer_kva = -5"),
        (("study", "start_on"), "9999-01-01", "study.start_on = '9999-01-01'"),
        (("study", "start_on"), "1999-12-31", "study.start_on = '1999-12-31'"),
        (("failures", "robot_mtbf_h"), 1e-9, "failures.robot_mtbf_h = 1e-09"),
        (("demand", "factor"), 0, "demand.factor = 0: no truck ever comes"),
        (("equipment", "packs", "lfp-282"), 100, "equipment.packs.lfp-282 = 100"),
        (("sizing", "lanes", 0), 0, "sizing.lanes.0 = 0"),
        (("name_en",), "", "name_en"),
    ],
)
def test_what_strangers_have_tried_is_refused_by_name(path: Path, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_scenario(with_value(WHOLE, path, value))
    assert said in "\n".join(caught.value.problems)


@pytest.mark.parametrize("rates", [[0.0] * 23 + [1e-9], [1e-5] * 24])
def test_a_demand_that_no_study_would_see_is_refused(rates: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"trucks a day on average .* allowed 0\.001 and more"):
        parse_scenario(scenario_data(demand={"trucks_per_hour_by_hour": rates}))


def edge(**over: Any) -> Scenario:
    equipment = {"packs": {"lfp-282": 8}, "charger_kw": 240, "transformer_kva": 2500, "swap_cv": 0.1}
    return parse_scenario(scenario_data(**over | {"equipment": equipment | over.get("equipment", {})}))


ALL_DAY = [{"from_hour": 0, "hours": 24, "limit_kw": 0}]
FROST = {"mean_c_by_month": [-36.0] * 12, "pack_min_c": -36, "rack_min_c": None, "pack_above_ambient_c": 0}
NEVER_SERVED = {
    "no power all day": edge(dr_events=ALL_DAY),
    "packs at -36 °C": edge(climate=FROST),
    "no spare bay": edge(equipment={"spare_bays": 0}),
    "robots always broken": edge(failures={"robot_mtbf_h": 0.1, "robot_repair_h": 100_000}),
    "a charger below its least set-point": edge(equipment={"charger_kw": 50}, charging={"min_setpoint_kw": 100}),
    "a transformer of nothing": edge(equipment={"transformer_kva": 0.1, "base_load_kw": 0}),
}
NOBODY_SEEN = {
    "all who book stay away": edge(bookings={"share": 1.0, "no_show_share": 1.0, "hold_before_min": 60}),
    "one truck in months": edge(demand={"trucks_per_hour_by_hour": [0.0] * 23 + [0.01]}),
}


def result_of(made: Scenario) -> StudyResult:
    runs = tuple(simulate_once(made, 1, n, days=2) for n in range(2))
    return StudyResult(made, 1, 2.0, 1.0, runs)


@pytest.mark.parametrize("name", NEVER_SERVED)
def test_a_station_that_serves_nobody_has_a_result(name: str) -> None:
    result = result_of(NEVER_SERVED[name])
    assert result.share_within.mean < 0.2
    assert result.unstable
    assert study_report(result, load_words("en")).html("").count("Unstable") == 1


@pytest.mark.parametrize("name", NOBODY_SEEN)
def test_a_time_without_trucks_has_a_result(name: str) -> None:
    result = result_of(NOBODY_SEEN[name])
    assert math.isnan(result.share_within.mean)
    assert not result.unstable
    report = study_report(result, load_words("en"))
    assert report.answer[0].startswith("No truck came")
    assert re.search(r"(?<![A-Za-z])nan(?![A-Za-z])", report.html("")) is None
