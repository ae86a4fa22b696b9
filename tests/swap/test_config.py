"""The station file: strict, and every problem is reported at once."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from robotics import modbus_link
from swap.config.loading import ConfigError, load_station, parse_station
from swap.station.file_check import check_recipes

EXAMPLE = Path(__file__).parents[2] / "examples" / "yangquan_mine" / "station.toml"


@pytest.fixture
def data() -> dict[str, Any]:
    return copy.deepcopy(tomllib.loads(EXAMPLE.read_text(encoding="utf-8")))


def problems(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        check_recipes(parse_station(data))
    return "\n".join(caught.value.problems)


def test_the_example_is_valid() -> None:
    config = load_station(EXAMPLE)
    assert config.site.grid_limit_kw == pytest.approx(1900)
    assert len([b for b in config.bays if b.role == "rack"]) == 8
    assert config.folder == EXAMPLE.parent


def test_unknown_fields_and_wrong_values_are_all_named(data: dict[str, Any]) -> None:
    data["site"]["transformer_kw"] = 2000
    data["bays"][0]["charger_kW"] = 240
    data["charging"]["offer_soc_pct"] = 130
    data["site"]["power_factor"] = 0.2
    text = problems(data)
    assert "site.transformer_kw" in text
    assert "bays.A1.charger_kW" in text
    assert "charging.offer_soc_pct = 130" in text
    assert "less than or equal to 100" in text
    assert "site.power_factor = 0.2" in text


def test_contradictions_are_all_named(data: dict[str, Any]) -> None:
    data["bays"][1]["point"]["base_address"] = data["bays"][0]["point"]["base_address"] + 10
    data["bays"][2]["position"] = data["bays"][3]["position"]
    data["bays"][4]["point"] = dict(data["bays"][5]["point"])
    data["charging"]["max_power_kw"] = 5000
    data["rack_devices"][0]["rated_kw"] = 1000
    data["lanes"][0]["recipe"] = "top_lift"
    data["vehicles"][0]["model"] = "tractor-8x8"
    text = problems(data)
    assert "overlap bays.A1.point" in text
    assert "bays.position" in text
    assert "bays.A6.point" in text
    assert "charging.max_power_kw = 5000: the chargers have 1920 kW together" in text
    assert "rack_devices.rack-1.rated_kw = 1000: its bays are given 1920 kW" in text
    assert "no such vehicle model; known: tractor-6x4" in text


def test_a_pack_starts_in_one_place(data: dict[str, Any]) -> None:
    data["packs"][0]["bay"] = data["packs"][1]["bay"]
    data["vehicles"][0]["packs"] = [data["packs"][2]["id"]]
    text = problems(data)
    assert "2 packs start in bay 'A2'" in text
    assert "starts in 2 places" in text


def test_offering_above_the_charging_target_is_refused(data: dict[str, Any]) -> None:
    data["charging"]["target_soc_pct"] = 80
    assert "charging.target_soc_pct = 80" in problems(data)


def test_an_unknown_recipe_is_refused(data: dict[str, Any]) -> None:
    data["lanes"][0]["recipe"] = "catapult"
    data["lanes"][0]["swap_order"] = "out_in"
    assert "recipe 'catapult'" in problems(data)


def test_in_out_needs_a_transfer_bay(data: dict[str, Any]) -> None:
    data["lanes"][0]["swap_order"] = "in_out"
    assert "transfer bay" in problems(data)


def test_a_map_must_carry_what_the_recipe_asks(data: dict[str, Any], tmp_path: Path) -> None:
    maps = Path(modbus_link.__file__).parent / "maps"
    text = (maps / "swap_cell_v1.toml").read_text(encoding="utf-8")
    cut = text.replace('name = "exit_clear"', 'name = "exit_lamp"')
    assert cut != text
    (tmp_path / "own.toml").write_text(cut, encoding="utf-8")
    data["lanes"][0]["cell"]["register_map"] = "own.toml"
    with pytest.raises(ConfigError, match="asks for exit_clear, which the map does not carry"):
        check_recipes(parse_station(data, folder=tmp_path))


def test_no_toml_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_station(path)
    path.write_text("a = ", encoding="utf-8")
    with pytest.raises(ConfigError, match="no valid TOML"):
        load_station(path)
    path.write_bytes('name_zh = "矿"'.encode("gb18030"))
    with pytest.raises(ConfigError, match="not UTF-8 from byte 11 on: save it as UTF-8"):
        load_station(path)


@pytest.mark.parametrize(
    ("billing", "message"),
    [
        ({"energy_price": "flat"}, "flat_price_yuan_per_kwh = None"),
        ({"flat_price_yuan_per_kwh": "0.6"}, "and only then"),
        ({"service_price_yuan_per_kwh": "0.40005"}, "no more than 4 decimal places"),
        ({"electricity": {"seller": "nobody"}}, "billing.electricity.seller = 'nobody': no such party"),
        ({"electricity": {"collected_for": "station-operator"}}, "is the seller itself"),
        ({"service": {"seller": "fleet-a"}}, "nobody sells to himself"),
        ({"service": {"tax_rate": "1.06"}}, "billing.service.tax_rate"),
        (
            {"meters": [{"bay": "A9", "serial": "1", "accuracy_class": "B", "valid_until": "2027-01-01"}]},
            "billing.meters.bay = 'A9': no such bay",
        ),
        (
            {"meters": [{"bay": "A1", "serial": n, "accuracy_class": "B", "valid_until": "2027-01-01"} for n in "12"]},
            "given 2 times",
        ),
        ({"shares": [{"of": "energy", "party": "station-operator", "share": "0.9", "takes_rest": True}]}, "sum to 0.9"),
        ({"shares": [{"of": "energy", "party": "station-operator", "share": "1"}]}, "exactly one firm takes the rest"),
        ({"shares": [{"of": "energy", "party": "nobody", "share": "1", "takes_rest": True}]}, "no such party"),
        (
            {"shares": [{"of": "energy", "party": "fleet-a", "share": "0.5", "takes_rest": n == 0} for n in range(2)]},
            "'fleet-a' is given 2 times",
        ),
    ],
)
def test_contradictions_in_how_swaps_are_billed(data: dict[str, Any], billing: dict[str, Any], message: str) -> None:
    data["billing"] = billing
    assert message in problems(data)


def test_a_missing_field_is_told_with_what_it_means_and_the_id_of_its_row() -> None:
    """A station file of an earlier release lacks what a new one asks for: whoever mends it looks for the row's id."""
    path = Path(__file__).parents[2] / "examples" / "shuozhou_open_pit" / "station.toml"
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    del data["programmes"][1]["payer"]
    del data["bays"][0]["id"]
    data["site"]["transformer_kva"] = -1
    with pytest.raises(ConfigError) as caught:
        parse_station(data, folder=path.parent)
    assert caught.value.problems == (
        "site.transformer_kva = -1: Input should be greater than 0",
        "bays.0.id: must be given",
        "programmes.shanxi-direct.payer: must be given: Firm of `[[parties]]` that pays for what is delivered, and is "
        "owed the penalties.",
    )
