from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

import sim.scenario.file
from sim.scenario.base import ScenarioSection
from sim.scenario.file import split_packs
from sim.scenario.load import parse_scenario
from swap.config.loading import ConfigError
from tests.support.sim.study import scenario, scenario_data, yangquan


def problems(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_scenario(data)
    return "\n".join(caught.value.problems)


def test_every_unknown_or_wrong_field_is_named_at_once() -> None:
    data = scenario_data()
    data["equipment"]["charger_kW"] = 240
    data["demand"]["trucks_per_hour_by_hour"] = [1.0] * 23
    data["climate"] = {"swing_c": -4}
    said = problems(data)
    assert "equipment.charger_kW = 240: is no known field" in said
    assert "demand.trucks_per_hour_by_hour" in said
    assert "climate.swing_c = -4" in said


def test_contradictions_between_sections_are_all_reported() -> None:
    data = scenario_data()
    data["fleets"][0]["model"] = "boat"
    data["equipment"] |= {"packs": {"lfp-999": 3}, "base_load_kw": 9000}
    said = problems(data)
    assert "no such vehicle model; known: tractor" in said
    assert "equipment.packs.lfp-999: no such pack kind; known: lfp-282" in said
    assert "nothing is left to charge with" in said


def test_a_scenario_without_trucks_or_packs_is_refused() -> None:
    data = scenario_data(demand={"trucks_per_hour_by_hour": [0.0] * 24})
    data["equipment"]["packs"] = {}
    said = problems(data)
    assert "no truck ever comes" in said
    assert "the rack holds no pack" in said


def test_convoy_sizes_must_be_a_distribution() -> None:
    data = scenario_data()
    data["demand"]["convoys"] = {"share": 0.5, "sizes": {"2": 0.5, "3": 0.3}}
    assert "add up to 0.8" in problems(data)


def test_the_station_file_gives_the_equipment() -> None:
    read = yangquan()
    assert read.equipment.packs == {"lfp-282": 7}
    assert read.equipment.bay_count == 8
    assert read.equipment.charger_count == 8
    assert read.equipment.grid_limit_kw == pytest.approx(1900)
    assert read.vehicles_of(read.fleets[0])[0] == "YQ-001"
    assert sum(len(read.vehicles_of(fleet)) for fleet in read.fleets) == 50


def test_what_the_station_file_gives_cannot_be_given_twice() -> None:
    said = problems({"station": "examples/yangquan_mine/station.toml", "tariff": {}})
    assert "tariff: comes from the station file" in said


UNITS = (
    *("_pct", "_kwh", "_kw", "_kva", "_s", "_min", "_h", "_c", "_km", "_kmh", "_years", "_yuan", "_share", "_on"),
    *("_by_hour", "_by_month", "_by_weekday", "_per_year", "_per_kwh", "_per_kw", "_per_kva", "_per_h"),
    *("_per_km_loaded", "_per_km_empty", "_yuan_per_kwh"),
)
PLAIN = {
    *("id", "model", "name_zh", "name_en", "timezone", "vehicles", "seed", "confidence", "interest"),
    *("replications", "days", "factor", "power_factor", "swap_order", "km_loaded", "hours", "from_hour"),
    *("months", "share"),
}


def sections() -> list[type[ScenarioSection]]:
    return [
        item
        for item in vars(sim.scenario.file).values()
        if isinstance(item, type) and issubclass(item, ScenarioSection)
    ]


def test_every_field_has_a_unit_or_a_description() -> None:
    bare = [
        f"{section.__name__}.{name}"
        for section in sections()
        for name, field in section.model_fields.items()
        if not (field.description or name in PLAIN or name.endswith(UNITS))
        and not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    ]
    of_lists = {
        f"Scenario.{name}" for name in ("fleets", "pack_kinds", "vehicle_models", "dr_events", "life", "revenue")
    }
    assert set(bare) - of_lists == {"SizingSection.packs", "SizingSection.lanes", "FleetSection.trips"}


def test_packs_of_several_kinds_keep_their_proportions() -> None:
    assert split_packs(10, {"a": 3, "b": 1}) == {"a": 8, "b": 2} or split_packs(10, {"a": 3, "b": 1}) == {
        "a": 7,
        "b": 3,
    }
    assert sum(split_packs(11, {"a": 3, "b": 1, "c": 1}).values()) == 11
    assert split_packs(5, {"a": 7}) == {"a": 5}


def test_energy_use_rises_in_the_cold() -> None:
    cold = scenario(climate={"energy_use": [{"temp_c": -20, "factor": 1.3}, {"temp_c": 0, "factor": 1.15}]})
    assert cold.energy_factor(-40) == pytest.approx(1.3)
    assert cold.energy_factor(-10) == pytest.approx(1.225)
    assert cold.energy_factor(30) == pytest.approx(1.15)
