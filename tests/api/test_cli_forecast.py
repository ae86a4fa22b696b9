"""`swap forecast`: what the trucks to come stand on, and how well that has held."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from scheduler.optimal.learned import CamePack, CameTruck
from swap.reading.arrivals import ArrivalRecord

FILE = Path(__file__).parents[2] / "examples" / "shuozhou_open_pit" / "station.toml"
ZONE = ZoneInfo("Asia/Shanghai")
AT = "2026-06-29T00:00:00"
ASKED = ["forecast", str(FILE), "--at", AT]


@pytest.fixture
def nowhere(tmp_path: Path) -> list[str]:
    """A database that is not there."""
    return ["--database-url", f"sqlite:///{tmp_path}/none.db"]


def test_without_a_record_the_scenario_is_shown_and_named(nowhere: list[str]) -> None:
    ran = CliRunner().invoke(app, [*ASKED, *nowhere])
    assert ran.exit_code == 0, ran.output
    assert "There is no record yet: trucks as in scenario shuozhou-open-pit" in ran.output
    assert "There is not enough record yet to judge the forecast." in ran.output
    found = json.loads(CliRunner().invoke(app, [*ASKED, *nowhere, "--json"]).output)
    assert (found["basis"], found["scenario"], found["trucks"]) == ("expected", "shuozhou-open-pit", 0)
    assert len(found["hours"]) == 24
    assert found["hours"][0]["mean"] == pytest.approx(2.0, rel=0.01), "the scenario's rate after midnight"
    assert sum(hour["mean"] for hour in found["hours"]) == pytest.approx(96.0, rel=0.02)
    assert found["spread"] > 2.0, "convoys"
    assert all(hour["quantiles"]["0.95"] > hour["mean"] for hour in found["hours"])


def test_a_record_is_learned_from_and_the_forecast_judged_by_it(
    monkeypatch: pytest.MonkeyPatch, nowhere: list[str]
) -> None:
    since = datetime(2026, 6, 1, tzinfo=ZONE).astimezone(UTC)
    came = tuple(
        CameTruck(since + timedelta(minutes=20 * n), "wide-body-90t", (CamePack("lfp-564", 20.0 + n % 10),))
        for n in range(28 * 72)
    )
    monkeypatch.setattr("api.cli.power.forecast.record_of", lambda *_: ArrivalRecord(came, since))
    ran = CliRunner().invoke(app, [*ASKED, *nowhere])
    assert ran.exit_code == 0, ran.output
    assert "Trucks as learned from 28.0 days of record (2016 trucks)" in ran.output
    assert "2016 packs came off with 24.5 % on the mean" in ran.output
    found = json.loads(CliRunner().invoke(app, [*ASKED, *nowhere, "--json"]).output)
    assert (found["basis"], found["trucks"], found["models"]) == ("record", 2016, {"wide-body-90t": 2016})
    trucks = found["calibration"]["trucks"]
    assert [line["level"] for line in trucks] == [0.5, 0.8, 0.9, 0.95]
    assert trucks[-1]["seen"] == 1.0, "three trucks in every hour are never above the 95 % quantile"
    plan = CliRunner().invoke(
        app, ["charge-plan", str(FILE), "--at", AT, "--plan", "optimal", "--hours", "1", *nowhere]
    )
    assert plan.exit_code == 0, plan.output
    assert "Trucks as learned from 28.0 days of record" in plan.output


def test_the_database_of_a_station_is_read(tmp_path: Path) -> None:
    from swap.store import Store

    url = f"sqlite:///{tmp_path}/station.db"
    store = Store(url)
    store.upgrade()
    store.close()
    found = json.loads(CliRunner().invoke(app, [*ASKED, "--database-url", url, "--json"]).output)
    assert found["basis"] == "expected", "nobody came"
