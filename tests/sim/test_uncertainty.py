"""What uncertain inputs do to a study: each by itself, and all by chance."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from sim.scenario.file import Scenario
from sim.scenario.uncertainty import FactorRange, RangeSection, UncertaintySection
from sim.sizing.uncertainty import BY_NAME, INPUTS, InputEffect, Uncertainty, range_of, study_uncertainty, wilson
from sim.study.parallel import Workers
from sim.study.study import StudyResult, run_study
from swap.config.loading import ConfigError
from tests.support.sim.study import SMALL_FILE, scenario

ALONE = Workers(None, 1)


def study(read: Scenario, replications: int = 2) -> StudyResult:
    return run_study(read, ALONE, days=0.5, warmup_days=0.25, replications=replications, seed=3)


def test_ranges_have_the_quantiles_that_they_name() -> None:
    assert RangeSection(kind="uniform", low=2, high=4).at(0.25) == 2.5
    triangle = RangeSection(low=0, mode=1, high=4)
    # Below the mode lies 1/4 of the area; x² / 4 of it below x.
    assert triangle.at(0.25) == pytest.approx(1.0)
    assert triangle.at(0.0625) == pytest.approx(0.5)
    assert triangle.at(1.0) == 4.0
    for kind in ("normal", "lognormal"):
        found = RangeSection(kind=kind, low=0.5, high=2.0)
        assert [found.at(p) for p in (0.05, 0.95)] == pytest.approx([0.5, 2.0])
    assert RangeSection(kind="lognormal", low=0.5, high=2.0).at(0.5) == pytest.approx(1.0)
    wide = FactorRange(kind="normal", low=0.05, high=1.0)
    assert wide.at(1e-9) == 0.05, "no factor is 0 or below"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 2, "high": 1}, "low = 2 is above high = 1"),
        ({"low": 0.5, "high": 1.5, "mode": 3}, "mode = 3: only with kind"),
        ({"kind": "uniform", "low": 0.5, "high": 1.5, "mode": 1}, "only with kind = 'triangular'"),
        ({"low": 0, "high": 1}, "low"),
    ],
)
def test_a_range_that_is_none_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scenario(uncertainty={"demand": given})


def test_every_input_of_the_section_is_asked_about() -> None:
    assert set(BY_NAME) == set(UncertaintySection.model_fields)
    read = scenario(failures={"robot_mtbf_h": 100}, demand={"trucks_per_hour_by_hour": [5.0] * 24})
    for item in INPUTS:
        if item.lack(read) is None:
            low = item.change(read, range_of(read, item).low)
            assert low != read, item.name
            # What is changed is still a scenario.
            Scenario.model_validate(low.model_dump())


def effects(found: Uncertainty) -> dict[str, InputEffect]:
    return {effect.name: effect for effect in found.effects}


def test_no_effect_and_not_applicable_are_told_apart() -> None:
    read = scenario(tariff={"profile": "flat"})
    found = effects(study_uncertainty(study(read), ALONE, 10))
    price = found["price"]
    assert price.lack is None
    assert price.share is not None
    assert price.yearly_yuan is not None
    # A flat price moves no truck, and every yuan of energy.
    assert [(end.mean, end.half_width) for end in price.share] == [(0, 0), (0, 0)]
    assert price.yearly_yuan[0].high < 0 < price.yearly_yuan[1].low
    assert (found["failures"].lack, found["failures"].share) == ("nothing fails in this scenario", None)
    assert found["trip_energy"].lack is not None
    assert found["pack_price"].share is None, "no truck is served otherwise for it"
    assert found["pack_price"].yearly_yuan is not None
    capital = found["pack_price"].yearly_yuan
    assert capital[0].mean < 0 == capital[0].half_width


def test_the_tornado_is_what_a_study_with_that_input_gives() -> None:
    read = scenario(uncertainty={"demand": {"kind": "uniform", "low": 0.4, "high": 2.0}})
    base = study(read)
    found = effects(study_uncertainty(base, ALONE, 10))["demand"]
    assert found.share is not None
    for end, factor in zip(found.share, (0.4, 2.0), strict=True):
        there = study(read.model_copy(update={"demand": read.demand.model_copy(update={"factor": factor})}))
        assert end.mean == pytest.approx(there.share_within.mean - base.share_within.mean)
    assert found.share[1].high < 0
    assert found.size == -found.share[1].mean


def test_the_chance_counts_the_draws_that_keep_the_promise() -> None:
    read = scenario(uncertainty={"demand": {"kind": "uniform", "low": 0.3, "high": 2.5}}, promise={"target_share": 0.8})
    found = study_uncertainty(study(read), ALONE, 24)
    assert found.drawn == ("demand",)
    assert not found.assumed
    shares = [share.mean for share in found.shares]
    mean, low, high = found.chance
    assert mean == sum(share >= 0.8 for share in shares) / 24
    assert 0 < low < mean < high < 1
    # The energy bought follows the trucks: the draws with the fewest are those that keep the promise.
    keeps = [yuan for yuan, share in zip(found.yearly_yuan, shares, strict=True) if share >= 0.8]
    breaks = [yuan for yuan, share in zip(found.yearly_yuan, shares, strict=True) if share < 0.8]
    assert sum(keeps) / len(keeps) < sum(breaks) / len(breaks)
    again = study_uncertainty(study(read), ALONE, 24)
    assert again.shares == found.shares


def test_a_draw_of_nothing_else_is_the_study_itself() -> None:
    read = scenario(uncertainty={"demand": {"low": 1.0, "high": 1.0}})
    base = study(read)
    found = study_uncertainty(base, ALONE, 10)
    assert {share.mean for share in found.shares} == {base.share_within.mean}, "the same trucks in every draw"


def test_what_the_draws_do_not_decide_widens_the_interval() -> None:
    assert wilson(8, 10, 0.95) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10, 0.95)[0] == pytest.approx(0.0, abs=1e-12)
    z = NormalDist().inv_cdf(0.975)
    assert list(wilson(10, 10, 0.95)) == pytest.approx([10 / (10 + z * z), 1.0])


def test_simulate_prints_the_chance_in_table_report_and_json(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(SMALL_FILE, encoding="utf-8")
    command = ["simulate", str(path), "--days", "0.5", "-n", "2", "--quick", "-p", "1", "--uncertainty", "10"]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)["uncertainty"]
    assert found["ranges_assumed"] is True
    assert found["drawn"] == ["demand", "price", "arrive_soc"], "nothing fails there"
    by_input = {row["input"]: row for row in found["tornado"]}
    assert by_input["failures"] | {"low": 0, "high": 0} == {
        "input": "failures",
        "low": 0,
        "high": 0,
        "applicable": False,
        "why_not": "nothing fails in this scenario",
        "share_within_promise_more": None,
        "yuan_per_year_more": None,
    }
    page = tmp_path / "out.html"
    said = CliRunner().invoke(app, ["--lang", "en", *command, "--report", str(page), "--lang", "en"]).output
    chance = found["chance_that_the_promise_holds"]
    line = f"Chance that the promise holds: {chance['mean']:.1%} ({chance['low']:.1%} to {chance['high']:.1%})"
    for text in (line, "not applicable", "What each input does by itself"):
        assert text in page.read_text(encoding="utf-8")
    assert line in said
