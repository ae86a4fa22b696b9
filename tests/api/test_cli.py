"""The command line: help, exit codes, JSON, and that nothing heavy is imported to say what there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
import typer
from typer.testing import CliRunner

from api.cli.__main__ import app, main
from api.cli.power.picture import PlanPicture, clock_of, hours_of
from robotics.handshake import limit_sentence, limits_of
from robotics.modbus_link.registers import load_map
from swap.config.loading import load_station
from swap.events import append_event
from swap.messages.events import PersonErased, Reconciled, RestartPermitted
from swap.register.persons import person_actor, shown_actor
from swap.store import Store
from swap.tables import ControllerLease
from tests.support.api.doors import STATION_FILE
from tests.support.sim.study import SMALL_FILE
from tests.support.swap.databases import fill

runner = CliRunner()
AT = datetime(2026, 11, 1, 8, tzinfo=UTC)


SHUOZHOU = STATION_FILE.parents[1] / "shuozhou_open_pit" / "station.toml"


def swap(*arguments: str) -> tuple[int, str, str]:
    result = runner.invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(command: Any, path: tuple[str, ...]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*path, name))
        if not hasattr(command, "commands"):
            found.append(path)

    walk(typer.main.get_command(app), ())
    return found


def test_the_commands_of_the_design_are_there() -> None:
    names = {" ".join(path) for path in commands()}
    wanted = {
        "flexibility",
        "dr settle",
        "run",
        "devices",
        "check",
        "charge-plan",
        "recipe",
        "audit",
        "db upgrade",
        "db check",
        "db backup",
    }
    assert wanted <= names


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_helps_with_an_example(path: tuple[str, ...]) -> None:
    code, out, _ = swap(*path, "--help")
    assert code == 0
    assert f"swap {' '.join(path)}" in out.replace("\n", " ")
    assert "Example" in out


def test_help_imports_nothing_heavy() -> None:
    heavy = ["fastapi", "sqlmodel", "sqlalchemy", "pymodbus", "numpy", "simpy", "uvicorn"]
    program = f"import sys, api.cli.__main__; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_check_accepts_the_example() -> None:
    code, out, _ = swap("check", str(STATION_FILE))
    assert code == 0
    assert "1 lane(s), 8 charging bays" in out


def test_check_prints_every_problem(tmp_path: Path) -> None:
    text = STATION_FILE.read_text(encoding="utf-8")
    broken = text.replace("transformer_kva = 2000", "transformer_kva = -1", 1).replace(
        "offer_soc_pct = 90", "offer_soc = 90", 1
    )
    path = tmp_path / "station.toml"
    path.write_text(broken, encoding="utf-8")
    code, _, err = swap("check", str(path))
    assert code == 2
    assert "site.transformer_kva = -1" in err
    assert "charging.offer_soc" in err
    code, out, _ = swap("check", str(path), "--json")
    assert code == 2
    assert len(json.loads(out)["problems"]) >= 2
    assert swap("check", str(tmp_path / "none.toml"))[0] == 2


def test_check_names_silent_devices(tmp_path: Path) -> None:
    # Ports of the discard service and below: nothing listens there on loopback.
    text = STATION_FILE.read_text(encoding="utf-8")
    for port, closed in (("15020", "9"), ("15030", "11"), ("15040", "13")):
        text = text.replace(f"port = {port}", f"port = {closed}")
    path = tmp_path / "station.toml"
    path.write_text(text, encoding="utf-8")
    code, out, _ = swap("check", str(path), "--devices", "--json")
    assert code == 1
    answers = json.loads(out)["devices"]
    assert {a["device"] for a in answers} >= {"lane:L1", "bay:A1", "bay:Q1", "meter"}
    assert not any(a["ok"] for a in answers)


def test_charge_plan_shows_power_period_and_cost() -> None:
    arguments = ("charge-plan", str(STATION_FILE), "--at", "2026-07-01T23:00:00", "--hours", "4")
    code, out, _ = swap(*arguments, "--soc", "A1=20", "--soc", "A2=35")
    assert code == 0
    assert "kWh out of the chargers" in out
    assert "at 0.94 charger efficiency" in out
    code, out, _ = swap(*arguments, "--soc", "A1=20", "--json")
    plan = json.loads(out)
    assert plan["energy_kwh"] > 150
    # S23: what is paid is what the grid gives, the chargers' losses counted.
    assert plan["import_kwh"] == pytest.approx(plan["energy_kwh"] / plan["charger_efficiency"], abs=0.01)
    paid = sum(step["import_kwh"] * float(step["price_yuan_per_kwh"]) for step in plan["steps"])
    assert plan["cost_yuan"] == pytest.approx(paid, abs=0.01)
    assert len(plan["steps"]) == 16
    for step in plan["steps"]:
        assert step["setpoint_kw"] <= plan["grid_limit_kw"]
        assert all(bay["power_kw"] <= 240 for bay in step["bays"])
    first, last = plan["steps"][0]["bays"][0], plan["steps"][-1]["bays"][0]
    assert first["soc_pct"] == pytest.approx(20)
    assert last["soc_pct"] > 90


def test_charge_plan_of_the_optimiser_says_what_limits_and_what_more_would_save() -> None:
    arguments = ("charge-plan", str(STATION_FILE), "--at", "2026-07-01T21:00:00", "--plan", "optimal")
    asked = (*arguments, "--hours", "4", "--soc", "A1=20", "--soc", "A2=35", "--trucks-per-hour", "2")
    code, out, _ = swap(*asked, "--json")
    assert code == 0
    plan = json.loads(out)
    assert (plan["plan"], plan["trucks_expected"]) == ("optimal", 48)
    assert plan["primal_residual"] <= 1e-6
    assert {slot["period"] for slot in plan["slots"]} == {"peak", "flat"}, "until 01:00"
    limits = set()
    for slot in plan["slots"]:
        assert slot["import_kw"] <= slot["limit_kw"]
        limits |= {bay["limited_by"] for bay in slot["bays"]}
    assert {"charger", "tariff"} <= limits
    assert {worth["resource"] for worth in plan["worth"]} == {"transformer", "charger", "pack"}
    code, out, _ = swap(*asked)
    assert code == 0
    assert "waiting for a cheaper hour" in out
    assert "kW of the charger of bay A1" in out
    code, _, err = swap(*arguments, "--soc", "A1")
    assert (code, "allowed" in err) == (2, True)


def test_a_plan_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both planners, in both languages; a picture that cannot be drawn is said, not a trace."""
    window = ("--at", "2026-01-07T13:00:00", "--hours", "24", "--soc", "A1=30")
    shuozhou = ("charge-plan", str(SHUOZHOU), *window)
    for plan, lang, name in (("optimal", "en", "a.png"), ("rule", "zh", "b.png")):
        code, _, err = swap("--lang", lang, *shuozhou, "--plan", plan, "--plot", str(tmp_path / name))
        assert (code, err) == (0, "")
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    code, _, err = swap(*shuozhou, "--plan", "optimal", "--plot", str(tmp_path / "c.svg"), "--json")
    drawn = (tmp_path / "c.svg").read_text(encoding="utf-8")
    for told in ("Shuozhou", "critical peak", "0.900", "import, kW", "A9", "packs that trucks bring", "packs ready"):
        assert told in drawn
    for name in ("d.nothing", "nowhere/d.png"):
        code, _, err = swap(*shuozhou, "--plan", "rule", "--plot", str(tmp_path / name))
        assert (code, "cannot be written" in err) == (2, True)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = swap(*shuozhou, "--plan", "rule", "--plot", str(tmp_path / "e.png"))
    assert (code, "swapstation[plot]" in err) == (2, True)


def test_a_picture_of_a_day_on_which_the_clocks_are_set_has_real_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    starts = tuple(
        (datetime(2026, 3, 28, 23, tzinfo=UTC) + timedelta(hours=hour)).astimezone(berlin) for hour in range(5)
    )
    picture = PlanPicture(starts, ("flat",) * 4, (0.5,) * 4, (1.0,) * 4, (2.0,) * 4, ("A1",), ((1.0,) * 4,))
    assert hours_of(picture) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert clock_of(picture) == ([0.0, 1.0, 2.0, 3.0, 4.0], ["00:00", "01:00", "03:00", "04:00", "05:00"])


def test_flexibility_says_how_much_for_how_long_and_who_would_wait() -> None:
    spent = [item for bay in ("A1", "A2", "A3", "A4", "A5") for item in ("--soc", f"{bay}=30")]
    arguments = ("flexibility", str(SHUOZHOU), "--at", "2026-07-01T23:00:00", "--hours", "1", *spent)
    code, out, _ = swap(*arguments, "--trucks-per-hour", "6", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["trucks_expected"] == 32, "six an hour from 22:45 to 04:00"
    assert found["shed"][0]["limit_kw"] < found["planned_kw"] < 4000
    assert found["shed"][-1]["first"]["truck"].startswith("E")
    minutes = [point["minutes"] for point in found["shed"]]
    assert minutes[0] == 60
    assert minutes[-1] < 60
    code, out, _ = swap(*arguments)
    assert code == 0
    assert "first truck that would wait" in out
    code, _, err = swap("flexibility", str(SHUOZHOU), "--soc", "A1")
    assert (code, "allowed" in err) == (2, True)


def test_flexibility_is_that_of_the_plan_in_force(tmp_path: Path) -> None:
    def found(station: Path, *more: str) -> dict[str, Any]:
        spent = [item for bay in ("A1", "A2", "A3", "A4", "A5") for item in ("--soc", f"{bay}=30")]
        window = ("--at", "2026-07-01T21:00:00", "--hours", "1", "--trucks-per-hour", "3")
        code, out, err = swap("flexibility", str(station), *window, *spent, *more, "--json")
        assert code == 0, err
        return dict(json.loads(out))

    rule, optimal = found(SHUOZHOU), found(SHUOZHOU, "--plan", "optimal")
    assert optimal["planned_kw"] != pytest.approx(rule["planned_kw"], rel=0.05), "another plan draws another power"
    planned = tmp_path / "station.toml"
    written = SHUOZHOU.read_text(encoding="utf-8").replace('scenario = "scenario.toml"', "")
    planned.write_text(written.replace("charging.offer_soc_pct", 'charging.plan = "optimal"\ncharging.offer_soc_pct'))
    assert found(planned) == optimal, "the station file says which plan is in force"


@pytest.mark.parametrize("soc", ["A1", "A1=x", "A1=120", "Z9=20"])
def test_charge_plan_refuses_a_wrong_start(soc: str) -> None:
    code, _, err = swap("charge-plan", str(STATION_FILE), "--soc", soc)
    assert code == 2
    assert "allowed" in err


def test_recipe_prints_table_diagram_and_rows() -> None:
    assert "| `unlocking` |" in swap("recipe", "top_lift")[1]
    assert "解锁" in swap("recipe", "top_lift", "--lang", "zh")[1]
    assert "admitting --> checking" in swap("recipe", "top_lift", "--mermaid")[1]
    states = swap("recipe", "top_lift", "--states")[1]
    titles = [line for line in states.splitlines() if line.startswith("## ")]
    assert len(titles) == 5
    assert "| `booked` | arrive | `arrived` |" in states
    assert "| `charging_stopped` | begin | `evacuation_started` |" in states
    assert swap("recipe", "top_lift", "--states", "--mermaid")[1].count("stateDiagram-v2") == 5
    assert json.loads(swap("recipe", "top_lift", "--packs", "2", "--json")[1])[0]["state"] == "admitting"
    code, _, err = swap("recipe", "nothing_like_it")
    assert code == 2
    assert "top_lift" in err


def test_db_upgrade_check_and_backup(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'swap.db'}"
    assert swap("db", "upgrade", "--database-url", url)[0] == 0
    copy = tmp_path / "copies" / "one.db"
    assert swap("db", "backup", str(copy), "--database-url", url)[0] == 2  # D8: no folder is made unasked
    assert not copy.parent.exists()
    copy.parent.mkdir()
    code, out, _ = swap("db", "backup", str(copy), "--database-url", url)
    assert code == 0
    assert "KiB" in out
    store = Store(f"sqlite:///{copy}")
    store.check()
    store.close()
    assert swap("db", "backup", str(copy), "--database-url", url)[0] == 2
    assert swap("db", "check")[0] == 0


def test_a_restored_copy_is_told_by_name_and_audited_against_the_heads(tmp_path: Path) -> None:
    url, copy = f"sqlite:///{tmp_path / 'swap.db'}", tmp_path / "one.db"
    heads = tmp_path / "swap.heads.jsonl"
    fill(url, load_station(STATION_FILE), AT)
    store = Store(url)
    assert swap("db", "backup", str(copy), "--database-url", url)[0] == 0
    assert (tmp_path / "one.heads.jsonl").read_text().count("\n") == 1, "no head beside the copy"
    with store.station("yangquan-mine") as db:
        lost = db.append(Reconciled(examined=0, mismatches=()), at=AT).seq
        db.add(ControllerLease(station_id="yangquan-mine", holder="h:1:x", token=1, heartbeat_at=datetime.now(UTC)))
    assert swap("db", "heads", "--database-url", url)[0] == 0
    restore = ("db", "restore", str(copy), "--by", "Li Ming", "--database-url", url)
    code, _, err = swap(*restore)
    assert (code, "stop the stations first: yangquan-mine (h:1:x)" in err) == (2, True)
    with store.station("yangquan-mine") as db:
        db.get_one(ControllerLease, "yangquan-mine").heartbeat_at = AT
    store.close()
    code, out, err = swap(*restore)
    assert code == 0, err
    assert f"epoch 2 has begun, {lost + 1} events are kept" in out
    (replaced,) = tmp_path.glob("swap.replaced-*.db")
    code, out, _ = swap("audit", "--json", "--database-url", url)
    assert code == 0, out
    looked = {i["name"]: i["examined"] for i in json.loads(out)["invariants"]}
    assert looked["journal_reaches_heads"] == heads.read_text().count("\n") == 2
    heads.write_text(heads.read_text() + '{"station_id":"yangquan-mine"\n')
    code, out, _ = swap("audit", "--database-url", url)
    assert (code, "line 3: is no head" in out) == (1, True)
    assert swap("db", "verify", "--database-url", url) == (code, out, ""), "the same under the name beside backup"
    assert (
        swap("db", "verify", "--heads", str(tmp_path / "one.heads.jsonl"), "--database-url", f"sqlite:///{copy}")[0]
        == 0
    )
    assert swap("audit", "--heads", str(heads), "--database-url", f"sqlite:///{replaced}")[0] == 1, "the old epoch"
    assert swap("db", "epoch", "--by", " ", "--database-url", url)[0] == 2


def test_a_journal_is_archived_audited_with_its_files_and_put_back(tmp_path: Path) -> None:
    url, folder = f"sqlite:///{tmp_path / 'swap.db'}", tmp_path / "archive"
    fill(url, load_station(STATION_FILE), AT)
    store = Store(url)
    for minute in range(20):
        with store.station("yangquan-mine") as db:
            db.append(Reconciled(examined=minute, mismatches=()), at=AT + timedelta(minutes=minute))
    store.close()
    day = f"{AT + timedelta(days=2):%Y-%m-%d}"
    archive = ("db", "archive", "--before", day, "--to", str(folder), "--by", "Li Ming", "--database-url", url)
    code, _, err = swap(*archive)
    assert (code, f"there is no folder {folder}" in err) == (2, True)
    folder.mkdir()
    assert swap(*archive[:3], "soon", *archive[4:])[0] == 2
    code, out, err = swap(*archive)
    assert code == 0, err
    (file,) = folder.iterdir()
    assert str(file) in out
    assert "nothing to archive" in swap(*archive)[1]
    code, out, _ = swap("audit", "--database-url", url)
    assert (code, f"{file.name}" in out) == (0, True)
    code, out, _ = swap("audit", "--json", "--archive", str(folder), "--database-url", url)
    assert (code, json.loads(out)["archives_left_out"]) == (0, [])
    _taken_elsewhere(tmp_path, url, file)
    code, out, _ = swap("db", "unarchive", str(file), "--database-url", url)
    assert (code, "are back" in out) == (0, True)
    assert json.loads(swap("audit", "--json", "--database-url", url)[1])["archives_left_out"] == []
    file.write_bytes(b"another")
    assert swap("db", "unarchive", str(file), "--database-url", url)[0] == 1
    assert swap("audit", "--archive", str(tmp_path / "nowhere"), "--database-url", url)[0] == 2


def _taken_elsewhere(folder: Path, url: str, archived: Path) -> None:
    """The rest of an archived journal is exported, and taken in elsewhere together with the archive's file."""
    rest, other = folder / "rest.jsonl", ("--database-url", f"sqlite:///{folder / 'commerce.db'}")
    export = ("commerce", "export", "--to", str(rest), "--database-url", url)
    code, out, err = swap(*export, "--station", "yangquan-mine")
    assert (code, "are in files of `swap db archive`" in err, "event(s)" in out) == (0, True, True)
    assert swap(*export, "--station", "nowhere")[0] == 2
    assert swap(*export[:3], str(folder / "none" / "x"), *export[4:], "--station", "yangquan-mine")[0] == 2
    assert swap("db", "upgrade", *other)[0] == 0
    code, out, _ = swap("commerce", "import", str(rest), *other)
    assert (code, "is missing" in out) == (1, True)
    code, out, err = swap("commerce", "import", str(rest), str(archived), "--json", *other)
    assert (code, json.loads(out)["problems"]) == (0, []), err
    assert json.loads(out)["events"]["yangquan-mine"] > rest.read_text(encoding="utf-8").count("\n")
    code, out, _ = swap("commerce", "import", str(rest), "--station", "another", *other)
    assert (code, "taken are another" in out) == (1, True)
    assert swap("commerce", "import", str(folder / "none.jsonl"), *other)[0] == 2


def test_the_register_is_shown_and_takes_the_files_word(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path / 'swap.db'}", tmp_path / "station.toml"
    fill(url, load_station(STATION_FILE), AT)
    code, out, _ = swap("register", "show", "--json", "--database-url", url)
    assert code == 0
    assert {"firms", "pack_kinds", "vehicle_models", "vehicles"} == set(json.loads(out))
    kind = json.loads(out)["pack_kinds"][0]
    rated = f"max_charge_kw = {kind['ratings']['max_charge_kw']:g}"
    told = STATION_FILE.read_text(encoding="utf-8")
    assert rated in told
    path.write_text(told.replace(rated, "max_charge_kw = 99", 1).replace('scenario = "scenario.toml"', "", 1))
    code, out, _ = swap("register", "import", str(path), "--database-url", url)
    assert (code, out) == (0, "added: –\nchanged: pack_kind 1\n")
    assert "firm" in swap("register", "show", "--database-url", url)[1]


def test_a_missing_database_is_no_new_one(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    code, _, err = swap("audit", "--database-url", f"sqlite:///{path}")
    assert code == 2
    assert "no database" in err
    assert not path.exists()


def test_a_password_is_not_shown() -> None:
    code, _, err = swap("db", "backup", "x.db", "--database-url", "postgresql://me:secret@127.0.0.1:1/swap")
    assert code == 2
    assert "secret" not in err


def test_real_devices_refuse_another_speed(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    text = STATION_FILE.read_text(encoding="utf-8")
    text = text.replace('devices = "simulated"', 'devices = "real"', 1)
    path.write_text(text.replace('scenario = "scenario.toml"', "", 1), encoding="utf-8")
    code, _, err = swap("run", str(path), "--speed", "20")
    assert code == 2
    assert "only 1 is allowed" in err


def test_production_refuses_the_known_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAP_ENVIRONMENT", "production")
    code, _, err = swap("run", str(STATION_FILE))
    assert code == 2
    assert "SWAP_SECRET" in err


def test_faults_of_the_simulated_devices_are_listed() -> None:
    assert "estop" in swap("devices", str(STATION_FILE), "--fault", "list")[1]
    listed = json.loads(swap("devices", str(STATION_FILE), "--fault", "list", "--json")[1])
    assert all(fault["zh"] and fault["en"] for fault in listed)


def test_events_prints_kinds_and_the_schema_that_other_programs_read() -> None:
    code, out, _ = swap("events")
    assert code == 0
    told = r"^pack\.moved +schema_version, from, to, energy_kwh, soc_pct, odometer_km$"
    assert re.search(told, out, flags=re.MULTILINE)
    code, out, _ = swap("events", "--schema")
    assert code == 0
    assert {"const": "swap.completed"} in [entry["properties"]["kind"] for entry in json.loads(out)["oneOf"]]


def test_check_says_what_an_unfenced_layout_leaves_open(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    text = STATION_FILE.read_text(encoding="utf-8")
    path.write_text(text.replace('"swap_cell_v2"', '"swap_cell_v1"'), encoding="utf-8")
    tariffs = STATION_FILE.parent
    for other in tariffs.glob("*.toml"):
        if other.name != path.name:
            (tmp_path / other.name).write_bytes(other.read_bytes())
    left = limits_of(load_map("swap_cell_v1"))
    languages: tuple[Literal["en", "zh"], ...] = ("en", "zh")
    for language in languages:
        _, out, _ = swap("--lang", language, "check", str(path))
        assert "swap_cell_v1" in out
        assert all(limit_sentence(limit, language) in out for limit in left)
        _, fenced, _ = swap("--lang", language, "check", str(STATION_FILE))
        assert not any(limit_sentence(limit, language) in fenced for limit in left)
    _, out, _ = swap("check", str(path), "--json")
    assert {tuple(lane["limits"]) for lane in json.loads(out)["open_limits"].values()} == {tuple(left)}


def test_a_persons_name_is_erased_by_another_and_told(tmp_path: Path) -> None:
    """What was done stays under the id; the journal of each station says who erased the name."""
    url = f"sqlite:///{tmp_path / 'persons.db'}"
    fill(url, load_station(STATION_FILE), AT)
    store = Store(url)
    with store.station("yangquan-mine") as db:
        actor = person_actor(db, "李明", AT)
        append_event(db, RestartPermitted(until_at=AT), station_id="yangquan-mine", at=AT, actor=actor)
    command = ("register", "erase-person", "--database-url", url)
    for wrong, said in (
        (("Nobody", "--by", "Wang"), "there is no person Nobody"),
        (("李明", "--by", "李明"), "another person"),
        (("李明", "--by", "controller"), "not one of the machines"),
    ):
        code, _, err = swap(*command, *wrong)
        assert (code, said in err) == (2, True), err
    code, out, _ = swap(*command, " 李明 ", "--by", "Wang")
    assert code == 0
    person_id = actor.removeprefix("person:")
    assert f"{person_id}: the name is erased; told in the journals of yangquan-mine" in out
    with store.reading_station("yangquan-mine") as db:
        permitted = db.newest_event(RestartPermitted)
        assert permitted is not None
        assert (permitted.actor, shown_actor(db, permitted.actor)) == (actor, "erased person")
        told = db.newest_event(PersonErased)
        assert told is not None
        assert (told.data["person"], shown_actor(db, told.actor)) == (actor, "Wang")
        seq = told.seq
    again = swap(*command, person_id, "--by", "Wang")
    assert (again[0], "had been erased before" in again[1]) == (0, True)
    with store.reading_station("yangquan-mine") as db:
        newest = db.newest_event(PersonErased)
        assert newest is not None
        assert newest.seq == seq
    store.close()
    assert swap("audit", "--database-url", url)[0] == 0


def test_a_failure_of_the_program_is_no_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks() -> None:
        raise KeyError("lane")

    monkeypatch.setattr("api.cli.__main__.app", breaks)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 3
    assert "KeyError: 'lane'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--days", "inf"), ("--days", "nan"), ("--half-width", "nan"), ("--half-width", "0")]
)
def test_a_length_that_is_no_number_is_refused_by_name(words: tuple[str, str]) -> None:
    code, _, said = swap("simulate", "examples/yangquan_mine/scenario.toml", *words)
    assert code == 2
    assert words[0] in said


def test_a_trace_that_cannot_be_read_ends_the_command_before_it_runs(tmp_path: Path) -> None:
    text = SMALL_FILE.replace("demand = { ", 'demand = { mode = "trace", trace = "day.csv", ')
    (tmp_path / "scenario.toml").write_text(text, encoding="utf-8")
    (tmp_path / "day.csv").write_text("at,soc_pct\n2026-06-01T06:00,150\nsoon,20\n", encoding="utf-8")
    code, out, said = swap("simulate", str(tmp_path / "scenario.toml"))
    assert (code, out) == (2, "")
    assert "demand.trace = 'day.csv': line 2: soc_pct '150': allowed 0…100 %" in said
    assert "line 3: at 'soon' is no instant" in said
