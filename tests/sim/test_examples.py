"""The worked examples: valid, explained number by number, and what the field notes say about them."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from battery_bms.code34014 import parse_code
from sim.network.file import load_network
from sim.plant.plant import Plant
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.study.study import simulate_once
from swap.config.loading import load_station
from swap.station.file_check import check_recipes
from tests.support.sim.study import EXAMPLES

SCENARIOS = sorted(path.parent.name for path in EXAMPLES.glob("*/scenario.toml"))
STATIONS = sorted(path.parent.name for path in EXAMPLES.glob("*/station.toml"))
FILES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/*.toml"))
ADDRESS = re.compile(r"\b(port|base_address|position|tag)\s*=\s*\d+|\"[^\"]*\"")
"""Numbers of a file that need no reason: addresses, places, and digits in names."""
OF_THE_STUDY = {"seed", "replications", "days", "confidence"}


def read(name: str) -> Scenario:
    return load_scenario(EXAMPLES / name / "scenario.toml")


def test_all_five_are_here() -> None:
    assert {"mobile_swap", "shuozhou_open_pit", "trunk_road", "yangquan_mine", "zezhou_transfer"} == set(SCENARIOS)
    assert {"shuozhou_open_pit", "yangquan_mine", "zezhou_transfer"} == set(STATIONS)


@pytest.mark.parametrize("name", STATIONS)
def test_station_files_are_valid(name: str) -> None:
    path = EXAMPLES / name / "station.toml"
    shown = CliRunner().invoke(app, ["check", str(path)])
    assert shown.exit_code == 0, shown.output
    config = check_recipes(load_station(path))
    assert all(parse_code(pack.id).chemistry == "LFP" for pack in config.packs)
    # Each truck has its own pack, and one bay of the rack is empty for the first that comes.
    on_trucks = Counter(pack for vehicle in config.vehicles for pack in vehicle.packs)
    assert len(on_trucks) == len(config.vehicles)
    assert set(on_trucks.values()) == {1}
    rack = [bay for bay in config.bays if bay.role == "rack"]
    assert sum(pack.bay is not None for pack in config.packs) == len(rack) - len(config.lanes)
    plant = Plant(config, seed=1, start_at=datetime(2026, 6, 1, tzinfo=UTC))
    plant.advance(60.0)


def test_simulated_devices_of_two_examples_can_run_beside_each_other() -> None:
    ports: Counter[int] = Counter()
    for name in STATIONS:
        config = load_station(EXAMPLES / name / "station.toml")
        ports.update(lane.cell.address.port for lane in config.lanes)
        ports.update(device.port for device in config.rack_devices)
        for beside in (config.site.meter, config.site.pv, config.site.storage):
            if beside is not None:
                ports[beside.address.port] += 1
    assert set(ports.values()) == {1}


@pytest.mark.parametrize("file", FILES)
def test_every_number_has_its_reason_beside_it(file: str) -> None:
    """A comment on its line, right above it, or on the head of its table; a repeated key needs it once."""
    bare: dict[str, str] = {}
    explained = set(OF_THE_STUDY)
    head_explains = above = False
    for line in (EXAMPLES / file).read_text(encoding="utf-8").splitlines():
        text, _, comment = line.partition("#")
        if text.startswith("["):
            head_explains = bool(comment)
        key, is_, value = ADDRESS.sub("", text).partition("=")
        key = key.strip()
        if is_ and not key.startswith("{"):
            if comment or above or head_explains:
                explained.add(key)
            elif re.search(r"\d", value):
                bare[key] = line
        above = not text.strip() and bool(comment)
    assert {key: line for key, line in bare.items() if key not in explained} == {}


@pytest.mark.parametrize(
    ("name", "swaps", "vehicles"),
    [
        ("yangquan_mine", 168, 50),  # Guancun: 168 a day; 50 trucks a station
        ("shuozhou_open_pit", 96, 24),  # 24 trucks, 4 a truck-day
        ("zezhou_transfer", 120, 40),  # 40 tractors, 120 a day
        ("trunk_road", 175, 300),  # 150-200 a day and station
        ("mobile_swap", 84, 25),  # 693 kWh a truck and day
    ],
)
def test_demand_is_what_the_field_notes_say(name: str, swaps: int, vehicles: int) -> None:
    made = read(name)
    assert sum(made.demand.trucks_per_hour_by_hour) == pytest.approx(swaps)
    assert sum(fleet.vehicles for fleet in made.fleets) == vehicles
    assert sum(made.demand.factor_by_weekday) / 7 == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(("name", "factor"), [("shuozhou_open_pit", 1.30), ("zezhou_transfer", 1.15)])
def test_january_costs_more_energy(name: str, factor: float) -> None:
    made = read(name)
    january = [made.energy_factor(made.outside_c(1, hour + 0.5)) for hour in range(24)]
    assert sum(january) / 24 == pytest.approx(factor, abs=0.015)
    july = [made.energy_factor(made.outside_c(7, hour + 0.5)) for hour in range(24)]
    assert max(july) == pytest.approx(1, abs=0.01)


def test_four_thousand_kva_carry_six_chargers_and_most_of_a_seventh_at_shuozhou() -> None:
    equipment = read("shuozhou_open_pit").equipment
    assert equipment.charger_count == 10
    output_kw = (equipment.grid_limit_kw - equipment.base_load_kw) * equipment.charger_efficiency
    assert output_kw // equipment.charger_kw == 6
    assert output_kw % equipment.charger_kw > 0.5 * equipment.charger_kw


def test_a_trip_at_shuozhou_takes_40_to_45_kwh() -> None:
    trips = read("shuozhou_open_pit").fleets[0].trips
    assert trips is not None
    assert 40 <= trips.km_loaded * trips.kwh_per_km_loaded + trips.km_empty * trips.kwh_per_km_empty <= 45


def test_temperatures_are_those_of_the_field_notes() -> None:
    ranges = {n: (read(n).climate.design_min_c, read(n).climate.design_max_c) for n in STATIONS}
    assert ranges == {"yangquan_mine": (-20, 35), "shuozhou_open_pit": (-30, 38), "zezhou_transfer": (-12, 37)}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if all(fleet.trips for fleet in read(name).fleets)])
def test_fleets_that_drive_their_trips_swap_about_as_often_as_the_profile_says(name: str) -> None:
    """On mild days, at a station with packs and lanes to spare; a quarter apart at most."""
    made = read(name)
    mild = made.climate.model_copy(update={"mean_c_by_month": (20.0,) * 12, "swing_c": 0.0})
    demand = made.demand.model_copy(update={"mode": "fleet"})
    roomy = made.with_equipment(packs=40, lanes=4, spare_bays=4, transformer_kva=20_000, chargers=None, swap_truck=None)
    driven = roomy.model_copy(update={"demand": demand, "climate": mild, "bookings": type(made.bookings)()})
    found = simulate_once(driven, 1, days=4).means["swaps_per_day"]
    assert found == pytest.approx(sum(made.demand.trucks_per_hour_by_hour), rel=0.25)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_week_makes_sense(name: str) -> None:
    made = read(name)
    run = simulate_once(made, 1, days=7)
    means, equipment = run.means, made.equipment
    wanted = sum(made.demand.trucks_per_hour_by_hour)
    assert 0.75 * wanted < means["swaps_per_day"] < 1.6 * wanted
    assert run.within <= run.arrived
    assert means["peak_hour_kw"] <= equipment.grid_limit_kw + 1e-6
    rated_kwh = made.pack_kinds[0].rated_kwh
    assert 0.3 * rated_kwh < means["kwh_per_swap"] < rated_kwh
    base_kwh = 24 * equipment.base_load_kw
    used_kwh = (
        means["charged_kwh_per_day"] / equipment.charger_efficiency + base_kwh + means["storage_charged_kwh_per_day"]
    )
    given_kwh = means["import_kwh_per_day"] + means["pv_used_kwh_per_day"] + means["storage_discharged_kwh_per_day"]
    assert given_kwh == pytest.approx(used_kwh, rel=1e-3)
    assert sum(run.kwh_by_period.values()) == pytest.approx(means["import_kwh_per_day"], rel=1e-6)


def test_storage_at_zezhou_saves_and_helps() -> None:
    """The same trucks with sun, storage and an evening event, and without the storage."""
    made = load_scenario(EXAMPLES / "zezhou_transfer" / "storage.toml")
    assert made.demand == read("zezhou_transfer").demand
    with_storage = simulate_once(made, 1, days=7)
    without = simulate_once(made.model_copy(update={"storage": made.storage.sized(0)}), 1, days=7)
    saved = with_storage.means["storage_saved_yuan_per_day"]
    # 344 kWh above the reserve, two cycles of at most 0.73 yuan/kWh: no more than that, and most of one cycle.
    assert 100 < saved < 2 * 430 * 0.73
    assert with_storage.within / with_storage.arrived >= without.within / without.arrived
    means = with_storage.means
    used_kwh = (
        means["charged_kwh_per_day"] / made.equipment.charger_efficiency
        + 24 * made.equipment.base_load_kw
        + means["storage_charged_kwh_per_day"]
    )
    given_kwh = means["import_kwh_per_day"] + means["pv_used_kwh_per_day"] + means["storage_discharged_kwh_per_day"]
    assert given_kwh == pytest.approx(used_kwh, rel=1e-9)


@pytest.mark.parametrize("name", STATIONS)
def test_the_coldest_and_the_hottest_day_can_be_worked(name: str) -> None:
    """The rack is heated and cooled, so packs are charged; what comes in cold or hot waits for its temperature."""
    made = read(name)
    for temp_c in (made.climate.design_min_c, made.climate.design_max_c):
        climate = made.climate.model_copy(update={"mean_c_by_month": (temp_c,) * 12, "swing_c": 0.0})
        day = made.model_copy(update={"climate": climate})
        run = simulate_once(day, 1, days=3)
        assert run.means["swaps_per_day"] > 0.7 * sum(made.demand.trucks_per_hour_by_hour)


def test_the_network_example_is_valid() -> None:
    made = load_network(EXAMPLES / "network" / "network.toml")
    assert made.names == ("mine", "siding")
    assert made.minutes[0][1] == 18
    data = tomllib.loads((EXAMPLES / "network" / "network.toml").read_text(encoding="utf-8"))
    assert all((EXAMPLES / "network" / Path(station["scenario"])).is_file() for station in data["stations"])
