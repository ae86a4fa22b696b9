from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.study.parallel import workers
from sim.study.stats import estimate
from sim.validation.models import Length, Sample, run
from sim.validation.validate import QUICK, Case, CaseFileError, _allowed, _Task, load_cases, validate

CASES = Path(__file__).parents[1] / "vectors" / "queueing_cases.json"


@pytest.mark.slow
def test_every_case_agrees_with_theory() -> None:
    with workers(1) as pool:  # on how many makes no difference, as a test below shows
        report = validate(load_cases(CASES), pool, quick=True)
    assert report.cases == 29
    assert report.cases_passed == 29, [check for check in report.checks if not check.passed]
    assert len(report.checks) >= 300
    assert len({case.model for case in load_cases(CASES)}) == len(json.loads(CASES.read_text())["models"])


def test_a_wrong_value_an_unknown_value_and_an_unknown_model_fail() -> None:
    parameters = {"trucks_per_hour": 9, "swap_min": 5}
    cases = [
        Case("wrong", "lane_only", parameters, {"mean_wait_min": 9.5}),
        Case("odd", "lane_only", parameters, {"colour": 1.0}),
        Case("new", "quantum", {}, {"p_wait": 0.5}),
        Case("right", "lane_only", parameters, {"p_wait": 0.75}),
    ]
    with workers(1) as pool:
        report = validate(cases, pool, quick=True)
    passed = {check.case: check.passed for check in report.checks}
    assert passed == {"wrong": False, "odd": False, "new": False, "right": True}
    assert report.cases_passed == 1
    assert not report.passed


def test_the_busiest_hour_is_that_of_the_whole_days_curve() -> None:
    """The highest rate lasts an hour; with charges of two hours most packs charge on the longer plateau after it."""
    rates = [2.0] * 7 + [10.0, 2.0] + [2.0] * 4 + [8.0] * 3 + [2.0] * 8
    peak = {"trucks_per_hour_by_hour": rates, "charge_min": 120, "hours": [9.0]}
    values = {"peak_mean_charging": 16.0, "mean_charging_at": {"9": 12.0}}
    late = {"trucks_per_hour_by_hour": [*rates[12:], *rates[:12]], "charge_min": 90, "hours": [3.0]}
    with workers(1) as pool:
        cases = [
            Case("two hours", "peak_infinite_chargers", peak, values),
            Case("over midnight", "peak_infinite_chargers", late, {"peak_mean_charging": 12.0}),
        ]
        report = validate(cases, pool, quick=True)
    assert report.passed, report.checks


@pytest.mark.parametrize(
    ("target", "smallest", "wrong", "said", "sampled"),
    [(0.75, 9, 8, "9", 1), (0.832, 9, 10, "9", 2), (0.8371745, 10, 8, "10 (open between 9, 10)", 16)],
)
def test_a_number_near_the_wanted_share_is_sampled_until_it_is_decided(
    target: float, smallest: int, wrong: int, said: str, sampled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"8": 0.6653455, "9": 0.8371745, "10": 0.9224283}
    runs = dict.fromkeys(shares, 0)

    def drawn(task: _Task) -> list[list[Sample]]:
        """Replications of 1 000 trucks that are served within the limit as often as theory says."""
        runs[task.part] += task.count
        served = np.random.default_rng([task.first, int(task.part)]).binomial(1000, shares[task.part], task.count)
        ratios = [{"share_within_limit": (float(n), 1000.0), "p_wait": (0.0, 1000.0)} for n in served]
        return [[Sample(ratios=ratio)] for ratio in ratios]

    monkeypatch.setattr("sim.validation.validate._work", drawn)
    case = next(case for case in load_cases(CASES) if case.id == "sizing-1")
    parameters = {**case.parameters, "target": target, "batteries_from": 8, "batteries_to": 10}
    asked = Case("near", "sizing", parameters, {"smallest_number_of_batteries": smallest})
    with workers(1) as pool:
        report = validate([asked], pool, quick=True)
        assert report.passed
        assert report.checks[0].value == f"smallest_number_of_batteries {said}"
        assert runs["9"] >= sampled * QUICK.replications
        assert report.trucks == 1000 * sum(runs.values())
        mistaken = replace(asked, values={"smallest_number_of_batteries": wrong})
        assert not validate([mistaken], pool, quick=True).passed


def test_the_result_does_not_depend_on_the_number_of_processes() -> None:
    wanted = [case for case in load_cases(CASES) if case.id in ("station-1", "reneging-1")]
    found = []
    for processes in (1, 2):
        with workers(processes) as pool:
            found.append(validate(wanted, pool, quick=True).checks)
    assert found[0] == found[1]


def test_intervals_cover_the_exact_mean_as_often_as_they_say() -> None:
    """Rack with backorders: exact mean and variance constant are known, so both can be held against the runs."""
    case = next(case for case in load_cases(CASES) if case.id == "rack_backorder-2")
    exact = case.values["mean_waiting_trucks"]
    hours, groups, size = 500.0, 80, 5
    inside = 0
    values: list[float] = []
    for group in range(groups):
        found = [
            run(case.model, case.parameters, 77, group * size + n, Length(50.0, hours, 1))[0].means[
                "mean_waiting_trucks"
            ]
            for n in range(size)
        ]
        values += found
        interval = estimate(found)
        inside += interval.low <= exact <= interval.high
    # Waits are skewed, so a few intervals fewer than 95 % are right; the known pitfall is 85 % from short runs.
    assert 0.86 <= inside / groups <= 1.0
    every = estimate(values)
    assert abs(every.mean - exact) < 4 * every.standard_error
    # The spread between runs is the one that theory's variance constant says.
    expected_error = math.sqrt(case.values["variance_constant_waiting_trucks_h"] / hours / len(values))
    assert every.standard_error == pytest.approx(expected_error, rel=0.35)


@pytest.mark.parametrize("text", ["", "{}", '{"cases": [{"id": "x"}]}'])
def test_a_file_that_is_no_case_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cases.json"
    path.write_text(text)
    with pytest.raises(CaseFileError):
        load_cases(path)
    with pytest.raises(CaseFileError, match="cannot be read"):
        load_cases(tmp_path / "none.json")


def test_few_replications_are_given_the_room_that_their_standard_error_needs() -> None:
    draw = np.random.default_rng(11)
    # Right values of normal spread: as many lie beyond the allowed deviation as beyond 2.5 known standard errors.
    samples = draw.normal(0, 1, (40_000, 10))
    deviations = np.abs(samples.mean(axis=1)) / (samples.std(axis=1, ddof=1) / math.sqrt(10))
    assert (deviations > _allowed(2.5, 10)).mean() == pytest.approx(0.0124, abs=0.002)
    assert (deviations > 2.5).mean() > 0.03
    assert _allowed(4.0, 100_000) == pytest.approx(4.0, abs=0.001)
