"""`swap network`."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from api.cli.__main__ import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "network" / "network.toml"
SHORT = ("--days", "1", "-n", "2", "-p", "1", "--quick")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["network", *arguments])


def test_stations_and_total_are_shown_with_intervals() -> None:
    shown = run(str(EXAMPLE), *SHORT)
    assert shown.exit_code == 0, shown.output
    assert "2 station(s), trucks choose by queue and distance, 1 carrier(s) of 4 packs" in shown.output
    assert "seed 1" in shown.output
    lines = [line.split()[0] for line in shown.output.splitlines() if line]
    assert "mine" in lines
    assert "siding" in lines
    assert "Wait and detour, mean" in shown.output


def test_json_is_the_same_for_the_same_seed_and_carries_every_station() -> None:
    one, again = (run(str(EXAMPLE), *SHORT, "--json", "--seed", "3").output for _ in range(2))
    assert one == again
    read = json.loads(one)
    assert read["seed"] == 3
    assert set(read["stations"]) == {"mine", "siding"}
    total = read["values"]["swaps_per_day"]["mean"]
    assert sum(s["swaps_per_day"]["mean"] for s in read["stations"].values()) == total
    assert read["values"]["share_within_promise"]["low"] is not None


def test_alone_nobody_drives_elsewhere_and_nothing_is_moved() -> None:
    read = json.loads(run(str(EXAMPLE), *SHORT, "--json", "--alone").output)
    assert read["values"]["diverted_share"]["mean"] == 0
    assert read["values"]["packs_moved_per_day"]["mean"] == 0


def test_a_file_that_is_not_valid_is_refused_with_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "network.toml"
    path.write_text('id = "n"\nname_zh = "网"\nstations = []\nroad = 1\n', encoding="utf-8")
    shown = run(str(path))
    assert shown.exit_code == 2
    for text in ("name_en", "stations", "road = 1: is no known field"):
        assert text in shown.output
