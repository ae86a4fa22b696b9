from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from api.cli.size import STOPPED, UNDECIDED
from sim.report.words import load_words
from sim.sizing.search import Search
from sim.study.design import Design
from tests.support.sim.study import SMALL_FILE, WEAK_FILE

ROOT = Path(__file__).parents[2]
CASES = str(ROOT / "tests" / "vectors" / "queueing_cases.json")
YANGQUAN = str(ROOT / "examples" / "yangquan_mine" / "scenario.toml")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_validate_prints_each_value_and_the_number_of_cases() -> None:
    code, said = run("validate", CASES, "--only", "lane", "--quick", "-p", "1")
    assert code == 0
    assert "lanes_only-1" in said
    assert "3 of 3 cases passed" in said


def test_validate_fails_with_1_when_a_value_is_off(tmp_path: Path) -> None:
    case = {"id": "off", "model": "lane_only", "parameters": {"trucks_per_hour": 9, "swap_min": 5}}
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [case | {"values": {"mean_wait_min": 12.0}}]}))
    code, said = run("validate", str(path), "--quick", "-p", "1", "--json")
    assert code == 1
    found = json.loads(said)
    assert found["passed"] is False
    assert found["checks"][0]["simulated"] == pytest.approx(7.5, rel=0.1)
    assert run("validate", str(tmp_path / "none.json"))[0] == 2
    assert run("validate", CASES, "--only", "no-such-case")[0] == 2


def test_simulate_says_what_was_run_and_how_sure_it_is() -> None:
    arguments = ("simulate", YANGQUAN, "--days", "2", "-n", "2", "--quick", "-p", "1", "--seed", "7")
    code, said = run(*arguments)
    assert code == 0
    assert "seed 7" in said
    assert "Served within the promise" in said
    code, said = run(*arguments, "--json")
    found = json.loads(said)
    assert found["seed"] == 7
    assert found["values"]["swaps_per_day"]["low"] <= found["values"]["swaps_per_day"]["mean"]
    assert len(found["ready_by_hour"]) == 24
    assert json.loads(run(*arguments, "--json")[1]) == found


@pytest.mark.parametrize(
    ("file", "code", "sentence"),
    [
        (SMALL_FILE, 0, "Smallest stock that keeps the promise: 7 packs"),
        (WEAK_FILE, 1, "Not reachable with packs alone"),
    ],
)
def test_size_names_the_stock_or_says_why_not(file: str, code: int, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(file, encoding="utf-8")
    found, said = run("size", str(path), "--packs-only", "--days", "1", "--quick", "-p", "1")
    assert found == code
    assert sentence in said


def test_size_stopped_by_ctrl_c_prints_the_best_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept = tmp_path / "scenario.toml", tmp_path / "kept.json"
    path.write_text(SMALL_FILE + "[sizing]\npacks = [8, 9, 10]\nlanes = [1, 2]\n", encoding="utf-8")
    tried: list[Design] = []
    judge = Search.judge

    def stopped(self: Search, design: Design) -> bool:
        if tried:
            raise KeyboardInterrupt
        tried.append(design)
        return judge(self, design)

    monkeypatch.setattr(Search, "judge", stopped)
    command = ("--lang", "en", "size", str(path), "--days", "1", "--quick", "-p", "1")
    code, said = run(*command, "--capsule", str(kept))
    assert code == 130
    assert "Stopped before the end: what follows is what was known then." in said
    assert f"The cheapest so far, {load_words('en').design(tried[0])}" in said
    assert not kept.exists(), "what was stopped cannot be run again to the same end"
    # Before a design is known there is nothing to print.
    monkeypatch.setattr("sim.sizing.answer.pack_table", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    code, said = run(*command)
    assert code == 130
    assert "nothing was found yet" in said


def test_what_cannot_end_well_is_refused_before_anything_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that could not be written was told after the search, limits without a design after the packs."""
    monkeypatch.setattr("sim.sizing.answer.pack_table", lambda *_, **__: pytest.fail("simulated"))
    path, file = tmp_path / "scenario.toml", tmp_path / "sized"
    path.write_text(SMALL_FILE + "[sizing]\npacks = [8]\nbudget_yuan = 1\n", encoding="utf-8")
    file.write_text("a file", encoding="utf-8")
    for arguments, sentence in (
        (["--write", str(tmp_path)], "give another folder"),
        (["--write", str(file)], "is no folder"),
        ([], "none of 1 designs is within budget_yuan"),
    ):
        code, said = run("size", str(path), "--quick", "-p", "1", *arguments)
        assert code == 2
        assert sentence in said.replace("\n", " ")


def test_no_command_takes_days_without_end(tmp_path: Path) -> None:
    """P8: `--days inf` was refused by `swap simulate` alone; `swap size` ran for ever."""
    path = tmp_path / "scenario.toml"
    path.write_text(SMALL_FILE, encoding="utf-8")
    for command in (("simulate", str(path)), ("size", str(path)), ("compare", str(path), str(path))):
        for days in ("inf", "nan", "1e9", "0", "-1"):
            code, said = run(*command, "--days", days, "-p", "1")
            assert code == 2, (command[0], days)
            assert "--days" in said
    for option in ("--hours", "--from-hour", "--poll-s", "--tolerance-s"):
        code, said = run("twin", str(path), str(path), option, "nan")
        assert code == 2, option
        assert option in said


def test_what_the_help_says_of_exit_codes_is_so() -> None:
    code, said = run("--lang", "en", "size", "--help")
    assert code == 0
    assert f"{UNDECIDED} undecided, {STOPPED} stopped by Ctrl-C" in " ".join(said.split())


def test_a_wrong_scenario_is_refused_with_2(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text('id = "x"\ncolour = "red"\n')
    code, said = run("simulate", str(path))
    assert code == 2
    assert "colour = 'red': is no known field" in said
    assert "fleets" in said
