"""Files against each other: station, register maps, recipes, vehicles, packs (found fault S17), requests of a length
that a gateway takes (S19)."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from battery_bms.entries import BAY_COMMAND, BAY_READ, METER_READ
from robotics.modbus_link.registers import MAPS, load_map, shipped_maps
from swap.config.loading import ConfigError, parse_station
from swap.config.map_checks import uses
from swap.station.file_check import check_file, check_recipes, recipe_problems, unread
from swap.station.sequence import recipe as recipe_module

EXAMPLE = Path(__file__).parents[2] / "examples" / "yangquan_mine" / "station.toml"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def data() -> dict[str, Any]:
    return copy.deepcopy(tomllib.loads(EXAMPLE.read_text(encoding="utf-8")))


def own_map(folder: Path, name: str, *changes: tuple[str, str]) -> str:
    """A copy of a shipped map beside the station file, with some text replaced; its file name."""
    text = (MAPS / f"{name}.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "own.toml").write_text(text, encoding="utf-8")
    return "own.toml"


def without(name: str, entry: str) -> tuple[str, str]:
    """A change of a map's text that takes an entry out of it."""
    text = (MAPS / f"{name}.toml").read_text(encoding="utf-8")
    start = text.index(f'[[entries]]\nname = "{entry}"')
    end = text.find("[[entries]]", start + 5)
    return text[start : end if end > 0 else len(text)], ""


def problems(data: dict[str, Any], folder: Path | None = None) -> list[str]:
    """Every line about a file, of maps and recipes too."""
    found: list[str] = []
    try:
        config = parse_station(data, folder=folder)
        found += recipe_problems(config)
    except ConfigError as error:
        found += error.problems
    return found


def test_a_map_with_a_misspelt_signal_is_told(data: dict[str, Any], tmp_path: Path) -> None:
    """S17: `curtian_clear` was valid; the curtain was then unknown for ever."""
    name = own_map(tmp_path, "swap_cell_v2", ('"curtain_clear"', '"curtian_clear"'))
    data["lanes"][0]["cell"]["register_map"] = name
    found = "\n".join(problems(data, tmp_path))
    assert "'curtian_clear'" in found
    assert "did you mean 'curtain_clear'?" in found


@pytest.mark.parametrize("signal", ["estop_ok", "smoke_ok", "gripper_loaded", "seat_1_occupied", "bays_occupied"])
def test_a_map_that_does_not_feed_what_the_work_rests_on_is_told(
    data: dict[str, Any], tmp_path: Path, signal: str
) -> None:
    """S17: without `estop_ok` the file was valid."""
    data["lanes"][0]["cell"]["register_map"] = own_map(tmp_path, "swap_cell_v2", without("swap_cell_v2", signal))
    (line,) = problems(data, tmp_path)
    assert f"asks for {signal}, which the map does not carry" in line
    assert line.startswith("lanes.L1.cell.register_map = 'own.toml': ")


def test_all_problems_of_file_map_and_recipe_come_at_once(data: dict[str, Any], tmp_path: Path) -> None:
    name = own_map(tmp_path, "swap_cell_v2", ('"curtain_clear"', '"curtian_clear"'))
    text = EXAMPLE.read_text(encoding="utf-8").replace('register_map = "swap_cell_v2"', f'register_map = "{name}"')
    text = text.replace('model = "tractor-6x4"', 'model = "tractor-6x5"', 1)
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        check_file(path)
    lines = "\n".join(caught.value.problems)
    assert "no such vehicle model" in lines
    assert "did you mean 'tractor-6x4'?" in lines
    assert "did you mean 'curtain_clear'?" in lines
    assert "asks for curtain_clear" in lines
    assert str(path) in str(caught.value)


def test_a_misspelt_field_and_a_misspelt_choice_are_told_with_the_right_word(data: dict[str, Any]) -> None:
    data["site"]["charger_eficiency"] = 0.95
    data["bays"][0]["charger_kwh"] = 240
    data["lanes"][0]["swap_order"] = "out_inn"
    found = "\n".join(problems(data))
    assert "site.charger_eficiency = 0.95: is no known field" in found
    assert "did you mean 'charger_efficiency'?" in found
    assert "did you mean 'charger_kw'?" in found
    assert "did you mean 'out_in'?" in found


def _other_kind(data: dict[str, Any]) -> None:
    data["lanes"][0]["cell"]["register_map"] = "bay_charger_v1"


def _unused_device(data: dict[str, Any]) -> None:
    data["rack_devices"].append({"id": "rack-9", "port": 15999})


def _charger_without_a_bay(data: dict[str, Any]) -> None:
    bay = next(bay for bay in data["bays"] if bay.get("role") == "quarantine")
    bay["charger_kw"] = 60


def _out_of_reach(data: dict[str, Any]) -> None:
    lane = copy.deepcopy(data["lanes"][0])
    lane |= {"id": "L2"}
    lane["cell"]["address"]["port"] = 15999
    data["lanes"].append(lane)
    for bay in data["bays"]:
        bay["lanes"] = ["L1"]


def _no_pack_fits(data: dict[str, Any]) -> None:
    data["pack_kinds"].append({"id": "lfp-141", "rated_kwh": 141, "max_charge_kw": 141})
    data["vehicle_models"][0]["pack_kinds"] = ["lfp-141"]
    for vehicle in data["vehicles"]:
        vehicle["packs"] = []


def _position_beyond_the_map(data: dict[str, Any]) -> None:
    data["lanes"][0]["cell"]["register_map"] = "gantry_flags_v1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_kind, "is a map of kind bay_charger; one of kind swap_cell belongs here"),
        (_unused_device, "rack_devices.rack-9: no bay's point names it"),
        (_charger_without_a_bay, "a quarantine bay is never charged"),
        (_out_of_reach, "lanes.L2: no rack bay is in its reach"),
        (_no_pack_fits, "no pack of the file is of such a kind"),
        (_position_beyond_the_map, "shows the occupancy of bays 1…7"),
    ],
)
def test_what_does_not_meet_is_told(data: dict[str, Any], change: Change, said: str) -> None:
    change(data)
    assert any(said in line for line in problems(data)), problems(data)


@pytest.mark.parametrize("entry", ["pack_code", "soc_pct", "temp_max_c", "temp_min_c", "max_charge_kw"])
def test_a_rack_that_could_never_charge_is_told(data: dict[str, Any], tmp_path: Path, entry: str) -> None:
    data["rack_devices"][0]["register_map"] = own_map(tmp_path, "bay_charger_v1", without("bay_charger_v1", entry))
    (line,) = problems(data, tmp_path)
    assert f"entry {entry!r}: missing; without it no pack is ever charged" in line


def test_set_points_that_end_before_they_are_given_again_are_told(data: dict[str, Any]) -> None:
    """Packs would be charged for a part of the time, and nobody told why."""
    data["devices"], data["charging"]["cycle_s"] = "real", 30.0
    device = data["rack_devices"][0]
    found = [line for line in problems(data) if line.startswith("charging.cycle_s = 30")]
    assert f"chargers of {device['id']} end a set-point" in found[0]
    assert len(found) == len(data["rack_devices"])
    data["charging"]["cycle_s"] = 29.0
    assert [line for line in problems(data) if line.startswith("charging.cycle_s")] == []


@pytest.mark.parametrize(
    ("where", "most", "said"),
    [
        ("cell", 34, "block 'fast' takes 35 registers in one request"),
        ("rack", 11, "entry 'pack_code' takes 12 registers"),
        ("meter", 1, "entry 'import_kw' takes 2 registers"),
    ],
)
def test_a_request_that_must_not_be_split_is_told(data: dict[str, Any], where: str, most: int, said: str) -> None:
    """S19: a lane behind a gateway of short requests said "link lost" for ever."""
    places = {
        "cell": data["lanes"][0]["cell"]["address"],
        "rack": data["rack_devices"][0],
        "meter": data["site"]["meter"]["address"],
    }
    places[where]["max_registers"] = most
    found = problems(data)
    assert any(said in line and f"max_registers = {most}" in line for line in found), found
    places[where]["max_registers"] = most + 1
    assert problems(data) == []


def test_the_examples_and_the_shipped_maps_have_no_problem() -> None:
    files = sorted(EXAMPLE.parents[1].glob("*/station.toml"))
    assert len(files) >= 3
    kinds: set[str] = set()
    for path in files:
        config = check_file(path)
        assert unread(config) == {}
        found = {use.kind for use in uses(config)}
        assert {"swap_cell", "bay_charger", "site_meter"} <= found
        kinds |= found
    assert kinds == {"swap_cell", "bay_charger", "site_meter", "pv_meter", "storage"}


def with_sun_and_storage(data: dict[str, Any], **storage: Any) -> dict[str, Any]:
    data["site"]["pv"] = {"address": {"port": 15901}, "peak_kw": 100}
    data["site"]["storage"] = {"address": {"port": 15902}, "energy_kwh": 100, "power_kw": 50} | storage
    return data


def test_devices_beside_the_rack_are_held_against_each_other_and_their_maps(data: dict[str, Any]) -> None:
    assert problems(with_sun_and_storage(data)) == []
    for name in ("pv_meter_v1", "storage_v1", "sunspec_pv_v1", "sunspec_storage_v1"):
        part = "storage" if "storage" in name else "pv"
        data["site"][part]["register_map"] = name
        assert problems(data) == []
        assert unread(check_recipes(parse_station(data))) == {}
    with_sun_and_storage(data)["site"]["pv"]["register_map"] = "storage_v1"
    (line,) = problems(data)
    assert "site.pv.register_map = 'storage_v1': is a map of kind storage; one of kind pv_meter belongs here" in line
    with_sun_and_storage(data)["site"]["pv"]["address"] = {"port": 15902}
    (line,) = problems(data)
    assert "site.storage: registers from 0 overlap site.pv, which ends at 2" in line
    data = with_sun_and_storage(data, address={"port": 15902, "max_registers": 5})
    (line,) = problems(data)
    assert "site.storage.address.max_registers = 5" in line
    assert "take 6 registers and are written in one request; allowed 6…125" in line


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("power_kw", "entry 'power_kw': missing; a storage map needs it"),
        ("energy_kwh", "entries energy_kwh and soc_pct: missing; a storage map needs one of them"),
        ("cmd_power_kw", "entry 'cmd_power_kw': missing; a storage map needs it"),
        ("cmd_expires_s", "register 25 does not follow 'cmd_hold_import_kw', which ends at 23"),
    ],
)
def test_a_storage_map_that_cannot_do_is_told(data: dict[str, Any], tmp_path: Path, entry: str, said: str) -> None:
    name = own_map(tmp_path, "storage_v1", without("storage_v1", entry))
    assert said in "\n".join(problems(with_sun_and_storage(data, register_map=name), tmp_path))


def test_what_the_station_has_no_use_for_is_named(data: dict[str, Any], tmp_path: Path) -> None:
    data["lanes"][0]["cell"]["register_map"] = own_map(tmp_path, "swap_cell_v2", ("cabinet_temp_c", "wind_m_per_s"))
    config = check_recipes(parse_station(data, folder=tmp_path))
    assert unread(config) == {"swap_cell_v2": ("cycle_count", "wind_m_per_s")} or unread(config) == {
        "swap_cell_v2": ("wind_m_per_s", "cycle_count")
    }


def test_the_shipped_layouts_carry_every_name_that_is_read() -> None:
    assert {"bay_charger_v1", "site_meter_v1"} <= set(shipped_maps())
    # The counter of the BMS is read where a map has it; the shipped one goes without.
    assert load_map("bay_charger_v1").missing((*BAY_READ, *BAY_COMMAND)) == ("discharged_kwh",)
    assert load_map("site_meter_v1").missing(METER_READ) == ()


@pytest.mark.parametrize("most", [12, 20, 30, 125])
def test_a_read_is_split_between_values_never_within_one(most: int) -> None:
    """S19."""
    register_map = load_map("bay_charger_v1")
    reads = register_map.reads_within(most)
    for block, spans in reads.items():
        assert all(span.count <= most for span in spans)
        words = {span.address + i: n for n, span in enumerate(spans) for i in range(span.count)}
        for entry in register_map.by_block[block]:
            assert len({words[address] for address in range(entry.address, entry.last + 1)}) == 1
    assert reads == register_map.read_blocks or most < 125


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused_in_every_section(data: dict[str, Any], value: float) -> None:
    """S24: what no comparison judges does not come in by the file either."""
    for section, field in (
        (data["site"], "base_load_kw"),
        (data["bays"][0], "charger_kw"),
        (data["charging"], "cycle_s"),
    ):
        section[field] = value
    data["site"]["charger_efficiency"] = value
    found = problems(data)
    assert len(found) == 4
    assert all("= nan" in line or "= inf" in line or "= -inf" in line for line in found)


def test_a_recipe_with_a_misspelt_fact_is_told(data: dict[str, Any], tmp_path: Path) -> None:
    """S17, from the side of the recipe."""
    text = (Path(recipe_module.__file__).parent / "recipes" / "top_lift.toml").read_text(encoding="utf-8")
    (tmp_path / "own.toml").write_text(text.replace('"curtain_clear"', '"curtian_clear"', 1), encoding="utf-8")
    data["lanes"][0]["recipe"] = "own.toml"
    found = "\n".join(problems(data, tmp_path))
    assert "lanes.L1.recipe: " in found
    assert "fact 'curtian_clear' is unknown" in found
    assert "did you mean 'curtain_clear'?" in found
