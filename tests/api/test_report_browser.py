"""The report in a real browser, opened from disk: charts are drawn, nothing is asked from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from typer.testing import CliRunner

from api.cli.__main__ import app
from api.cli.report import CHARTS
from tests.support.tools import require_tool

pytestmark = [pytest.mark.browser]
ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "var" / "screenshots"

SMALL = """
id = "small-yard"
name_zh = "小站"
name_en = "Small yard"
[[fleets]]
id = "f1"
model = "tractor"
vehicles = 30
[demand]
trucks_per_hour_by_hour = [3.0, 3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 7.0, 6.0, 5.0, 5.0, 5.0,
  5.0, 5.0, 5.0, 6.0, 7.0, 7.0, 6.0, 5.0, 4.0, 4.0, 3.0, 3.0]
[[pack_kinds]]
id = "lfp-282"
rated_kwh = 282
max_charge_kw = 282
[[vehicle_models]]
id = "tractor"
pack_kinds = ["lfp-282"]
[equipment]
packs = { "lfp-282" = 8 }
transformer_kva = 2000
[promise]
target_share = 0.85
[study]
warmup_days = 1
[sizing]
packs = [6, 8, 10]
transformer_kva = [1250, 2000]
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = require_tool("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize(("command", "language", "charts"), [("size", "zh", 5), ("simulate", "en", 3)])
def test_the_charts_are_drawn(browser: Browser, command: str, language: str, charts: int, tmp_path: Path) -> None:
    if not CHARTS.is_file():
        pytest.fail("the chart library is missing: run make setup")
    (tmp_path / "scenario.toml").write_text(SMALL, encoding="utf-8")
    page_file = tmp_path / "out.html"
    arguments = [command, str(tmp_path / "scenario.toml"), "--days", "3", "--quick", "-p", "1"]
    result = CliRunner().invoke(app, [*arguments, "--report", str(page_file), "--lang", language])
    assert result.exit_code in (0, 1), result.output
    SHOTS.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("request", lambda asked: wrong.append(asked.url) if asked.url != page_file.as_uri() else None)
    page.goto(page_file.as_uri())
    expect(page.locator(".chart svg")).to_have_count(charts)
    for number in range(charts):
        # Axes alone have a handful of paths; bars, lines and whiskers have more.
        assert page.locator(".chart").nth(number).locator("svg path").count() > 12
    assert page.locator("html").get_attribute("lang") == {"zh": "zh-CN", "en": "en"}[language]
    page.screenshot(path=SHOTS / f"report-{command}-{language}.png", full_page=True)
    page.close()
    assert wrong == []


def test_a_missing_chart_library_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.report.CHARTS", tmp_path / "none.js")
    (tmp_path / "scenario.toml").write_text(SMALL, encoding="utf-8")
    arguments = ["simulate", str(tmp_path / "scenario.toml"), "--report", str(tmp_path / "out.html")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "make setup" in result.output
    assert not (tmp_path / "out.html").exists()
