"""A study in one file: run again to the last bit, anywhere; what differs is named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from sim.report.capsule import Capsule, CapsuleError, read_capsule, rerun, sealed, write_capsule
from sim.scenario.load import parse_scenario
from sim.study.parallel import workers
from sim.study.study import StudyResult, run_study
from tests.support.sim.study import EXAMPLES, SMALL_FILE, scenario_data

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """A study with files beside its scenario: recipe, period table and recorded arrivals."""
    folder = tmp_path_factory.mktemp("study")
    recipe = EXAMPLES.parent / "swap" / "station" / "sequence" / "recipes" / "top_lift.toml"
    (folder / "own.toml").write_bytes(recipe.read_bytes())
    rows = "".join(f"2026-06-0{day}T{hour:02d}:00,{20 + hour}\n" for day in (1, 2) for hour in range(24))
    (folder / "days.csv").write_text("at,soc_pct\n" + rows, encoding="utf-8")
    data = scenario_data(demand={"mode": "trace", "trace": "days.csv"}, tariff={"profile": "shanxi_2026"})
    data["equipment"]["recipe"] = "own.toml"
    with workers(1) as pool:
        return run_study(parse_scenario(data, folder=folder), pool, replications=2, days=1, warmup_days=1)


@pytest.fixture
def capsule(studied: StudyResult, tmp_path: Path) -> Capsule:
    write_capsule(sealed(studied, AT), tmp_path / "run.json")
    return read_capsule(tmp_path / "run.json")


def again(capsule: Capsule) -> list[str]:
    with workers(1) as pool:
        return [item.path for item in rerun(capsule, pool)]


def test_a_capsule_needs_nothing_beside_it(capsule: Capsule) -> None:
    assert set(capsule.files) == {"recipe.toml", "tariff.toml", "arrivals.csv"}
    assert capsule.scenario["study"]["start_on"] == str(date(2026, 6, 1))
    assert again(capsule) == []


def changed(capsule: Capsule, **over: Any) -> Capsule:
    return capsule.model_copy(update=over)


def test_the_last_bit_counts_on_the_same_program_and_nine_digits_on_another(capsule: Capsule) -> None:
    results = json.loads(json.dumps(capsule.results))
    wait = results["values"]["p95_wait_min"]
    wait["mean"] *= 1 + 4e-16 if wait["mean"] else 0
    results["values"]["import_kwh_per_day"]["mean"] *= 1 + 1e-12
    assert "values.import_kwh_per_day.mean" in again(changed(capsule, results=results))
    elsewhere = dict(capsule.made_with) | {"machine": "Plan9 vax"}
    assert again(changed(capsule, results=results, made_with=elsewhere)) == []
    results["values"]["import_kwh_per_day"]["mean"] *= 1 + 1e-6
    assert again(changed(capsule, results=results, made_with=elsewhere)) == ["values.import_kwh_per_day.mean"]


def test_another_scenario_gives_other_numbers(capsule: Capsule) -> None:
    data = json.loads(json.dumps(capsule.scenario))
    data["equipment"]["packs"] = {"lfp-282": 2}
    assert "values.pack_utilisation.mean" in again(changed(capsule, scenario=data))


def test_what_is_no_capsule_is_refused_by_name(capsule: Capsule, tmp_path: Path) -> None:
    with pytest.raises(CapsuleError, match="cannot be read"):
        read_capsule(tmp_path / "none.json")
    (tmp_path / "odd.json").write_text('{"capsule": 2}', encoding="utf-8")
    with pytest.raises(CapsuleError, match="is no capsule: capsule"):
        read_capsule(tmp_path / "odd.json")
    with pytest.raises(CapsuleError, match=r"files\.\.\./evil: allowed are"):
        again(changed(capsule, files={"../evil": ""}))
    with pytest.raises(CapsuleError, match="scenario: 1 problem"):
        again(changed(capsule, scenario=capsule.scenario | {"colour": "red"}))


def test_the_commands_keep_list_and_rerun(tmp_path: Path, studied: StudyResult) -> None:
    (tmp_path / "scenario.toml").write_text(SMALL_FILE, encoding="utf-8")
    kept = tmp_path / "kept"
    kept.mkdir()
    write_capsule(sealed(replace(studied, seed=9), AT), kept / "early.json")
    words = ["--lang", "en"]
    simulate = [*words, "simulate", str(tmp_path / "scenario.toml"), "--days", "1", "-n", "2", "--quick", "-p", "1"]
    assert CliRunner().invoke(app, [*simulate, "--capsule", str(kept / "late.json")]).exit_code == 0
    done = CliRunner().invoke(app, [*words, "rerun", str(kept / "late.json"), "-p", "1"])
    assert done.exit_code == 0, done.output
    assert "the same to the last bit" in done.output
    other = CliRunner().invoke(app, [*words, "rerun", str(kept / "early.json"), "-p", "1"])
    assert other.exit_code == 1  # its seed is not the one that made it
    assert "came out otherwise" in other.output
    (kept / "note.json").write_text("{}", encoding="utf-8")
    listed = CliRunner().invoke(app, [*words, "runs", str(kept)])
    assert listed.exit_code == 0
    assert listed.stdout.index("early.json") < listed.stdout.index("late.json")
    assert "note.json: is no capsule" in listed.stderr
    assert CliRunner().invoke(app, ["rerun", str(tmp_path / "scenario.toml")]).exit_code == 2
    assert CliRunner().invoke(app, ["runs", str(tmp_path / "nowhere")]).exit_code == 2


def test_a_search_is_kept_and_run_again_with_its_contracts(tmp_path: Path) -> None:
    path, kept = tmp_path / "scenario.toml", tmp_path / "kept.json"
    sizing = "[sizing]\npacks = [8, 10]\nlanes = [1, 2]\n[revenue]\ncontracts = ['lease.toml']\n[study]\nseed = 5\n"
    path.write_text(SMALL_FILE + sizing, encoding="utf-8")
    (tmp_path / "lease.toml").write_text(LEASE, encoding="utf-8")
    command = ["size", str(path), "--days", "0.5", "--quick", "-p", "1", "--capsule", str(kept)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code in (0, 4), result.output
    (tmp_path / "lease.toml").unlink()
    capsule = read_capsule(kept)
    assert (capsule.asked.command, capsule.asked.seed) == ("size", 5)
    assert set(capsule.files) == {"recipe.toml", "tariff.toml", "contract1.toml"}
    assert again(capsule) == []
    worse = json.loads(json.dumps(capsule.results))
    worse["by_packs"][0]["values"]["share_within_promise"]["mean"] += 1e-6
    assert again(changed(capsule, results=worse)) == ["by_packs.0.values.share_within_promise.mean"]
    assert CliRunner().invoke(app, ["rerun", str(kept), "-p", "1"]).exit_code == 0
    listed = json.loads(CliRunner().invoke(app, ["runs", str(tmp_path), "--json"]).output)
    assert [run["command"] for run in listed] == ["size"]
    assert CliRunner().invoke(app, ["runs", str(tmp_path)]).exit_code == 0


LEASE = """
lessor_id = "bank"
lessee_id = "carrier"
first_day = 2026-06-11
vehicles = ["f1-001"]
entitlement = [{ kind = "lfp-282", number = 1 }]
stations = ["small-yard"]
components = [{ id = "rent", kind = "capacity", yuan_per_kwh_month = "10" }]
"""
