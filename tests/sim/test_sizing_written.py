"""What `swap size --write` writes is the station that was sized."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sim.scenario.load import load_scenario
from sim.sizing.toml_text import with_list, with_value
from sim.sizing.trial import Trial
from sim.sizing.written import CannotWrite, write_sized
from sim.sizing.year import plain_span
from sim.study.design import Design, applied, capital_yuan_per_year
from sim.study.study import RunResult, simulate_once
from swap.station.file_check import check_file
from tests.support.sim.study import SMALL_FILE

EXAMPLES = Path(__file__).parents[2] / "examples"
SCENARIOS = sorted(path for path in EXAMPLES.glob("*/*.toml") if path.name not in ("station.toml", "network.toml"))
DESIGNS = (
    Design(36, 8, 2500, 2),
    Design(5, 4, 1250, 1),
    Design(14, 15, 3150, 3, 0.0, 1),
)
"""More than every example has, with fewer chargers than bays; less; and a spare bay more."""
NO_RUN = RunResult(1, 0, 1.0, np.zeros(1, np.float32), 100, 99, 0, 0, {}, {}, {}, *(np.zeros(24),) * 3)


def sized(path: Path, design: Design) -> Trial:
    read = load_scenario(path)
    span = replace(plain_span(read, 7.0, 1.0), start_on=read.study.start_on.replace(month=12, day=12))
    return Trial(design, applied(read, design), capital_yuan_per_year(read, design), (span,), [[NO_RUN, NO_RUN]])


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_example_reads_back_as_the_station_that_was_sized(path: Path, tmp_path: Path) -> None:
    """P1: the answer typed back into the scenario was another station, with 83.7 % where 99 % were promised."""
    assert len(SCENARIOS) == 6
    for number, plain in enumerate(DESIGNS):
        design = replace(plain, storage_kwh=430.0 if path.stem == "storage" else 0.0)
        trial, folder = sized(path, design), tmp_path / str(number)
        written = write_sized(path, trial, folder)
        read = load_scenario(folder / path.name)
        # All that decides what is simulated: the same trucks, the same station, the same days of December.
        there = trial.scenario.model_dump(exclude={"study", "folder", "equipment", "tariff"})
        assert read.model_dump(exclude={"study", "folder", "equipment", "tariff"}) == there
        assert read.equipment.model_dump(exclude={"recipe"}) == trial.scenario.equipment.model_dump(exclude={"recipe"})
        assert read.equipment.bay_count == design.bays
        assert (read.study.start_on, read.study.days, read.study.warmup_days) == (date(2026, 12, 12), 7, 1)
        if (folder / "station.toml") in written:
            config = check_file(folder / "station.toml")
            rack = [bay for bay in config.bays if bay.role == "rack"]
            in_rack = [pack for pack in config.packs if pack.bay in {bay.id for bay in rack}]
            assert (len(rack), len(in_rack), len(config.lanes)) == (design.bays, design.packs, design.lanes)
            assert sum(bay.charger_kw > 0 for bay in rack) == min(design.chargers, design.bays)
            assert config.site.transformer_kva == design.transformer_kva
            assert len(config.vehicles) == len(check_file(path.with_name("station.toml")).vehicles)


def test_what_was_written_serves_what_was_promised(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(SMALL_FILE, encoding="utf-8")
    trial = sized(path, Design(9, 6, 1600, 2))
    write_sized(path, trial, tmp_path / "sized")
    read = load_scenario(tmp_path / "sized" / "scenario.toml")
    there = trial.scenario.model_copy(update={"study": read.study})
    one, other = (simulate_once(made, 3, days=0.5, warmup_days=0.25) for made in (read, there))
    assert one.waits_min.tolist() == other.waits_min.tolist()
    assert one.means == other.means


def test_comments_stay_and_a_sized_number_says_so(tmp_path: Path) -> None:
    path = EXAMPLES / "yangquan_mine" / "scenario.toml"
    write_sized(path, sized(path, DESIGNS[0]), tmp_path / "sized")
    before, after = (file.read_text(encoding="utf-8") for file in (path, tmp_path / "sized" / "scenario.toml"))
    kept = [line for line in before.splitlines() if "#" in line and not line.startswith(("start_on", "days"))]
    assert [line for line in kept if line not in after.splitlines()] == []
    assert "start_on = 2026-12-12  # sized, was 2026-06-01" in after
    station = (tmp_path / "sized" / "station.toml").read_text(encoding="utf-8")
    assert "transformer_kva = 2500  # sized, was 2000" in station
    assert "8 chargers for 38 bays" in station


def test_the_source_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(SMALL_FILE, encoding="utf-8")
    with pytest.raises(CannotWrite, match="another folder"):
        write_sized(path, sized(path, DESIGNS[1]), tmp_path)
    assert path.read_text(encoding="utf-8") == SMALL_FILE


@pytest.mark.parametrize(
    ("text", "path", "value", "wanted"),
    [
        ("a = 1  # why\nb = 2\n", ("a",), 1, "a = 1  # why\nb = 2\n"),
        ("a = 1  # why\nb = 2\n", ("a",), 3, "a = 3  # sized, was 1\nb = 2\n"),
        ("[t]\nx = 1\n[[l]]\nx = 2\n", ("t", "y"), 5, "[t]\ny = 5\nx = 1\n[[l]]\nx = 2\n"),
        ("[[l]]\nx = 2\n", ("t", "y"), "ä", '[[l]]\nx = 2\n\n[t]\ny = "ä"\n'),
        ("t.x = 1\n[u]\n", ("t", "y"), 5, "t.x = 1\nt.y = 5\n[u]\n"),
        ("t = { x = 1, z = [1] }\n", ("t", "x"), 7, "t = { x = 7, z = [1] }  # sized, was { x = 1, z = [1] }\n"),
        ('t = [  # "#"\n  1,\n]  # end\n', ("t",), [1], 't = [  # "#"\n  1,\n]  # end\n'),
        ('t = [  # "#"\n  1,\n]  # end\nb = 1\n', ("t",), [2], "t = [2]  # sized, was [1]\nb = 1\n"),
        ("[t.p]\na = 1\nb = 2\n", ("t", "p"), {"a": 3, "b": 2}, "[t.p]\na = 3  # sized, was 1\nb = 2\n"),
    ],
)  # fmt: skip
def test_values_are_changed_in_place(text: str, path: tuple[str, ...], value: object, wanted: str) -> None:
    assert with_value(text, path, value) == wanted
    found: object = tomllib.loads(wanted)
    for part in path:
        assert isinstance(found, dict)
        found = found[part]
    assert found == value


def test_lists_are_written_as_they_were() -> None:
    rows: list[dict[str, object]] = [{"id": "A1", "point": {"base": 1}}, {"id": "A2", "on": True}]
    inline = with_list('b = 1\nl = [ # what\n  { id = "x" },\n]\nc = 2\n', "l", rows)
    blocks = with_list('b = 1\n[[l]]\nid = "x"\n[l.point]\nbase = 3\n[[l]]\nid = "y"\n[c]\nd = 2\n', "l", rows)
    assert tomllib.loads(inline) == {"b": 1, "l": rows, "c": 2}
    assert tomllib.loads(blocks) == {"b": 1, "l": rows, "c": {"d": 2}}
