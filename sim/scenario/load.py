"""Reads a scenario file and merges the station file it names.

Raises `swap.config.loading.ConfigError` with every problem at once, like the station file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scheduler.site import StorageSection
from sim.scenario.contracts import problems_of
from sim.scenario.file import DemandSection, Scenario
from sim.scenario.trace import scenario_trace
from swap.config.loading import ConfigError, field_problems, load_station, read_toml
from swap.config.station_file import SiteSection, StationConfig

_FROM_STATION = ("pack_kinds", "vehicle_models", "charging", "tariff", "timezone")


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file.

    Raises:
        ConfigError: the file or its station file is missing, no TOML, or not valid; every problem is listed.
    """
    return parse_scenario(read_toml(path), source=str(path), folder=path.parent)


def parse_scenario(data: dict[str, Any], *, source: str = "scenario", folder: Path | None = None) -> Scenario:
    """Check the content of a scenario file; `folder` is where relative paths start.

    Raises:
        ConfigError: with every field problem, else every cross-check problem.
    """
    base = folder or Path()
    problems = [f"{name}: is set by the program, remove it" for name in ("folder", "vehicle_ids") if name in data]
    merged = dict(data)
    if isinstance(data.get("station"), str):
        both = [name for name in _FROM_STATION if name in data]
        problems += [f"{name}: comes from the station file {data['station']!r}; remove it here" for name in both]
        config = load_station(base / data["station"])
        merged |= _station_parts(config, data, base / data["station"])
    if problems:
        raise ConfigError(source, problems)
    try:
        scenario = Scenario.model_validate(merged | {"folder": str(base)})
    except ValidationError as error:
        raise ConfigError(source, field_problems(error, Scenario, data)) from error
    problems = cross_check(scenario) or problems_of(scenario)
    if not problems and scenario.demand.mode == "trace":
        scenario, problems = _on_the_days_of_its_trace(scenario, given="start_on" in data.get("study", {}))
    if problems:
        raise ConfigError(source, problems)
    return scenario


def _on_the_days_of_its_trace(scenario: Scenario, *, given: bool) -> tuple[Scenario, list[str]]:
    """The scenario from the first day of its trace on, or from its own `start_on` where that is given; and problems."""
    name = scenario.demand.trace
    try:
        trace = scenario_trace(scenario)
    except ConfigError as error:
        return scenario, [f"demand.trace = {name!r}: {problem}" for problem in error.problems]
    first, last, start_on = trace.first_on, trace.last_on, scenario.study.start_on
    if first is None or last is None or (given and first <= start_on <= last):
        return scenario, []
    if given:
        return scenario, [
            f"study.start_on = {start_on}: demand.trace = {name!r} covers {first} to {last}; begin on one of these "
            "days, or leave start_on out"
        ]
    study = scenario.study.model_copy(update={"start_on": first})
    return scenario.model_copy(update={"study": study}), []


def _station_parts(config: StationConfig, data: dict[str, Any], path: Path) -> dict[str, Any]:
    """What the station file gives: kinds, models, policy, tariff, equipment, sun, storage, demand response, trucks.

    In equipment, sun, storage and demand response the scenario's own content `data` wins.
    """
    rack = [bay for bay in config.bays if bay.role == "rack"]
    in_rack = {bay.id for bay in rack}
    packs: dict[str, int] = {}
    for pack in config.packs:
        if pack.bay in in_rack:
            packs[pack.kind] = packs.get(pack.kind, 0) + 1
    charged = [bay.charger_kw for bay in rack if bay.charger_kw > 0]
    lane = config.lanes[0]
    recipe = lane.recipe
    if recipe.endswith(".toml") and not Path(recipe).is_absolute():
        recipe = str(path.parent / recipe)
    equipment: dict[str, Any] = {
        "lanes": len(config.lanes),
        "recipe": recipe,
        "swap_order": lane.swap_order,
        "packs": packs,
        "spare_bays": len(rack) - sum(packs.values()),
        "charger_kw": max(charged, default=0.0),
        "transformer_kva": config.site.transformer_kva,
        "power_factor": config.site.power_factor,
        "contracted_kw": config.site.contracted_kw,
        "base_load_kw": config.site.base_load_kw,
        "charger_efficiency": config.site.charger_efficiency,
    }
    if len(charged) < len(rack):
        equipment["chargers"] = len(charged)
    trucks: dict[str, list[str]] = {}
    for vehicle in config.vehicles:
        trucks.setdefault(vehicle.fleet, []).append(vehicle.id)
    return {
        "pack_kinds": [kind.model_dump() for kind in config.pack_kinds],
        "vehicle_models": [model.model_dump() for model in config.vehicle_models],
        "charging": config.charging.model_dump(),
        "tariff": config.tariff.model_dump(),
        "timezone": config.station.timezone,
        "equipment": equipment | data.get("equipment", {}),
        **_site_parts(config.site, data),
        "vehicle_ids": {fleet: tuple(ids) for fleet, ids in trucks.items()},
    }


def _site_parts(site: SiteSection, data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if site.pv is not None:
        found["pv"] = {"peak_kw": site.pv.peak_kw} | data.get("pv", {})
    if site.storage is not None:
        storage = {name: getattr(site.storage, name) for name in StorageSection.model_fields}
        found["storage"] = storage | data.get("storage", {})
    if site.demand_response and "dr_events" not in data:
        found["dr_events"] = [event.model_dump() for event in site.demand_response]
    return found


def cross_check(scenario: Scenario) -> list[str]:
    """Every contradiction between sections, one line each."""
    kinds = {kind.id for kind in scenario.pack_kinds}
    known_kinds = ", ".join(sorted(kinds))
    models = {model.id: model for model in scenario.vehicle_models}
    known_models = ", ".join(sorted(models))
    problems: list[str] = []
    for name, ids in (
        ("fleets.id", [f.id for f in scenario.fleets]),
        ("pack_kinds.id", [k.id for k in scenario.pack_kinds]),
        ("vehicle_models.id", [m.id for m in scenario.vehicle_models]),
    ):
        problems += [f"{name}: {i!r} is given more than once" for i in sorted({i for i in ids if ids.count(i) > 1})]
    for model in scenario.vehicle_models:
        problems += [
            f"vehicle_models.{model.id}.pack_kinds = {kind!r}: no such pack kind; known: {known_kinds}"
            for kind in model.pack_kinds
            if kind not in kinds
        ]
    problems += [
        f"equipment.packs.{kind}: no such pack kind; known: {known_kinds}"
        for kind in scenario.equipment.packs
        if kind not in kinds
    ]
    if scenario.equipment.pack_total == 0:
        problems.append("equipment.packs: the rack holds no pack; give at least one of a kind")
    if scenario.equipment.bay_count > 99:
        problems.append(f"equipment: {scenario.equipment.bay_count} bays; one rack has at most 99")
    problems += _swap_truck_problems(scenario)
    for fleet in scenario.fleets:
        if fleet.model not in models:
            problems.append(f"fleets.{fleet.id}.model = {fleet.model!r}: no such vehicle model; known: {known_models}")
        if scenario.demand.mode == "fleet" and fleet.trips is None:
            problems.append(f"fleets.{fleet.id}.trips: missing; demand.mode = 'fleet' needs it")
    demand = scenario.demand
    if demand.mode == "profile" and sum(demand.trucks_per_hour_by_hour) <= 0:
        problems.append("demand.trucks_per_hour_by_hour: no truck ever comes; give 24 rates, at least one above 0")
    else:
        problems += _too_few_trucks(demand)
    if demand.mode == "trace" and (demand.trace is None or not (Path(scenario.folder) / demand.trace).is_file()):
        problems.append(f"demand.trace = {demand.trace!r}: no such file beside the scenario")
    if demand.mode == "trace" and scenario.life is not None:
        problems.append("life: a recorded trace neither grows nor ages; leave it out, or give demand.mode = 'profile'")
    if scenario.equipment.base_load_kw >= scenario.equipment.grid_limit_kw:
        problems.append(
            f"equipment.base_load_kw = {scenario.equipment.base_load_kw:g}: nothing is left to charge with; "
            f"allowed 0…{scenario.equipment.grid_limit_kw:g} kW"
        )
    storage = scenario.storage
    if storage.power_kw <= 0 and (storage.energy_kwh > 0 or any(scenario.sizing.storage_kwh)):
        problems.append("storage.power_kw = 0: storage without power does nothing; give its rating in kW, above 0")
    if scenario.staff.shifts and scenario.equipment.swap_truck is not None:
        problems.append("staff.shifts: not simulated for swap trucks; leave it out where equipment.swap_truck is set")
    if scenario.charging.target_soc_pct < scenario.charging.offer_soc_pct:
        problems.append("charging.target_soc_pct: below offer_soc_pct; packs would never be offered")
    return problems


LEAST_PER_DAY = 0.001
"""Trucks a day on average; with fewer a study of any length sees none."""


def _too_few_trucks(demand: DemandSection) -> list[str]:
    if demand.factor <= 0:
        return ["demand.factor = 0: no truck ever comes; allowed above 0 up to 20"]
    if demand.mode != "profile":
        return []
    per_day = sum(demand.trucks_per_hour_by_hour) * demand.factor
    per_day *= sum(demand.factor_by_weekday) / 7 * sum(demand.factor_by_month) / 12
    if per_day < LEAST_PER_DAY:
        return [
            f"demand: {per_day:g} trucks a day on average (rates x factor, factor_by_weekday, factor_by_month); "
            f"allowed {LEAST_PER_DAY:g} and more"
        ]
    return []


def _swap_truck_problems(scenario: Scenario) -> list[str]:
    truck, packs = scenario.equipment.swap_truck, scenario.equipment.packs
    if truck is None:
        return []
    problems = []
    if len(packs) != 1:
        problems.append(f"equipment.swap_truck: needs one kind in equipment.packs, which has {len(packs)}")
    if truck.go_below > truck.packs:
        problems.append(f"equipment.swap_truck.go_below = {truck.go_below}: allowed 1…{truck.packs} (its packs)")
    if scenario.equipment.swap_order != "out_in":
        problems.append("equipment.swap_truck: needs equipment.swap_order = 'out_in'")
    return problems
