"""`swap fit`: what a record was drawn from is found again, and a model that does not fit is doubted."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from sim.fitting.fit import Fit, TooLittle, fit, scenario_part
from sim.fitting.visits import Visit, VisitRecord, visits_of_recording, visits_of_trace
from sim.scenario.demand import DAY_S, arrivals
from sim.scenario.load import parse_scenario
from sim.scenario.streams import Purpose, stream
from sim.scenario.trace import TraceForm, read_trace
from sim.study.swap_times import stretch_of
from swap.reading.recording import RecordedSwap, Recording, Stop
from tests.support.sim.study import scenario, scenario_data

SHANGHAI = ZoneInfo("Asia/Shanghai")
RATES = [1.0] * 6 + [8.0] * 6 + [5.0] * 8 + [2.0] * 4
FACTORS = [1.0, 1.2, 1.0, 1.2, 1.1, 0.9, 0.6]
SOC = {"min_pct": 12.0, "mode_pct": 22.0, "max_pct": 48.0}


def record(days: float, **over: Any) -> VisitRecord:
    """What a station with this demand would have recorded."""
    demand = {"trucks_per_hour_by_hour": RATES, "factor_by_weekday": FACTORS, "follows_cold": False}
    read = scenario(
        demand=demand | over,
        fleets=[{"id": "f1", "model": "tractor", "vehicles": 300, "arrive_soc": SOC}],
        study={"start_on": date(2026, 6, 1)},
        bookings={"share": 0.25},
    )
    draw = stream(3, 0, Purpose.SWAP_TIME)
    begin = read.start_at
    visits = tuple(
        Visit(begin + timedelta(seconds=a.at_s), "f1", a.soc_pct, a.booked, 300 * stretch_of(draw, 0.2))
        for a in takewhile(lambda arrival: arrival.at_s < days * DAY_S, arrivals(read, begin, 3))
    )
    return VisitRecord(visits, begin, begin + timedelta(days=days))


@pytest.fixture(scope="module")
def found() -> Fit:
    return fit(record(56))


def test_what_the_record_was_drawn_from_is_found_again(found: Fit) -> None:
    weekly = [rate * factor for rate in found.rate_by_hour for factor in found.factor_by_weekday]
    drawn_from = [rate * factor for rate in RATES for factor in FACTORS]
    # Eight weeks: a cell of 8 an hour is known to a tenth, the sum to two in a hundred.
    assert sum(weekly) == pytest.approx(sum(drawn_from), rel=0.03)
    assert list(found.factor_by_weekday) == pytest.approx(FACTORS, abs=0.08)
    assert [rate / 8 for rate in found.rate_by_hour[6:12]] == pytest.approx([1.0] * 6, abs=0.13)
    soc = found.soc_by_fleet["f1"]
    assert [soc.min_pct, soc.max_pct] == pytest.approx([12, 48], abs=1)
    assert soc.peak_pct == pytest.approx(22, abs=2.5)
    assert found.swap_s == pytest.approx(300, rel=0.02)
    assert found.swap_cv == pytest.approx(0.2, abs=0.01)
    assert found.booked_share == pytest.approx(0.25, abs=0.03)
    assert found.fits, found.goodness
    assert {item.name for item in found.goodness} == {"rates", "weekdays", "soc", "swap_s"}


def test_it_is_a_part_of_a_scenario(found: Fit) -> None:
    part = tomllib.loads(scenario_part(found, "day.csv"))
    data = scenario_data()
    (fleet,) = part.pop("fleets")
    assert fleet.pop("id") == "f1"
    data["fleets"][0] |= fleet
    for section, values in part.items():
        data[section] = data.get(section, {}) | values
    read = parse_scenario(data)
    assert read.demand.trucks_per_hour_by_hour[7] == pytest.approx(8, rel=0.13)
    assert read.fleets[0].arrive_soc.min_pct == pytest.approx(12, abs=1)
    assert read.equipment.swap_s == pytest.approx(300, rel=0.02)


@pytest.mark.parametrize(
    ("doubted", "made"),
    [
        ("rates", lambda: record(14, convoys={"share": 0.5, "sizes": {"6": 1.0}})),
        ("weekdays", lambda: shifted_weekends(record(14))),
        ("soc", lambda: two_kinds_of_trucks(record(14))),
        ("swap_s", lambda: two_lanes(record(14))),
    ],
)
def test_a_model_that_does_not_fit_is_doubted(doubted: str, made: Any) -> None:
    result = fit(made())
    doubts = {item.name for item in result.goodness if not item.fits}
    assert doubted in doubts
    assert "DOUBTED" in scenario_part(result, "x.csv")
    assert not result.fits


def changed(visits: VisitRecord, change: Any) -> VisitRecord:
    found = tuple(sorted((change(visit) for visit in visits.visits), key=lambda visit: visit.at))
    return replace(visits, visits=found)


def shifted_weekends(visits: VisitRecord) -> VisitRecord:
    """At weekends the day begins twelve hours later, within the same day."""

    def later(visit: Visit) -> Visit:
        return replace(visit, at=visit.at.replace(hour=(visit.at.hour + 12) % 24)) if visit.at.weekday() > 4 else visit

    return changed(visits, later)


def two_kinds_of_trucks(visits: VisitRecord) -> VisitRecord:
    return changed(visits, lambda v: replace(v, soc_pct=(v.soc_pct[0] if v.at.minute % 2 else 90.0,)))


def two_lanes(visits: VisitRecord) -> VisitRecord:
    return changed(visits, lambda v: replace(v, swap_s=(v.swap_s or 0) * (1 if v.at.minute % 2 else 3)))


def test_a_record_shorter_than_a_week_tells_no_weekdays() -> None:
    visits = record(6)
    result = fit(visits)
    assert result.factor_by_weekday == (1.0,) * 7
    assert [str(note) for note in result.notes] == ["the record is shorter than a week: every factor by weekday is 1"]
    assert {item.name for item in result.goodness} == {"rates", "soc", "swap_s"}
    with pytest.raises(TooLittle, match=r"5 trucks in 6\.0 day"):
        fit(replace(visits, visits=visits.visits[:5]))


def swaps() -> Iterator[RecordedSwap]:
    begin = datetime(2026, 6, 1, 0, 10, tzinfo=UTC)
    for number in range(40):
        at = begin + timedelta(minutes=30 * number)
        called, ended = at + timedelta(minutes=2), at + timedelta(minutes=8 if number else 18)
        soc: tuple[float | None, ...] = (20.0 + number % 9, None)
        state = "completed" if number != 5 else "returned"
        yield RecordedSwap(
            f"s{number}", f"T{number}", "tractor", "f1", 0, at, called, ended, state, "L1", soc, (None,), (100.0,),
            at if number < 10 else None, None,
        )  # fmt: skip


def test_the_journal_tells_the_same_as_a_file() -> None:
    begin = datetime(2026, 6, 1, tzinfo=UTC)
    held = Stop("L1", begin + timedelta(minutes=14), begin + timedelta(minutes=24), "hold")
    recording = Recording("s", begin, begin + timedelta(days=2), tuple(swaps()), (), (held,), 0.0, None, 0.0)
    visits = visits_of_recording(recording, SHANGHAI)
    assert visits.from_at.hour == 8
    assert visits.visits[0].at.isoformat() == "2026-06-01T08:10:00+08:00"
    assert [visit.soc_pct for visit in visits.visits[:2]] == [(20.0,), (21.0,)]
    result = fit(visits)
    # The first swap was held for ten minutes, the sixth gave its pack back.
    assert (result.swap_s, result.swap_cv) == (360.0, 0.0)
    assert result.booked_share == 0.25
    assert sum(result.rate_by_hour) == pytest.approx(40 / 2, rel=0.1)


def test_the_command_writes_a_part_and_says_how_it_fits(tmp_path: Path) -> None:
    rows = [f"{v.at:%Y/%m/%d %H:%M:%S};{v.soc_pct[0]:.1f}".replace(".", ",") for v in record(14).visits]
    (tmp_path / "gate.csv").write_bytes(("进站时间;SOC\n" + "\n".join(rows)).encode("gbk"))
    words = ["--lang", "en", "fit", str(tmp_path / "gate.csv"), "--column", "at=进站时间", "--column", "soc_pct=SOC"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "part.toml")])
    assert done.exit_code == 0, done.output
    assert "GBK" in done.output
    assert "fits" in done.output
    part = tomllib.loads((tmp_path / "part.toml").read_text(encoding="utf-8"))
    assert len(part["demand"]["trucks_per_hour_by_hour"]) == 24
    wrong = CliRunner().invoke(app, ["fit", str(tmp_path / "gate.csv"), "--column", "at"])
    assert wrong.exit_code == 2
    (tmp_path / "bad.csv").write_text("at\nsoon\n", encoding="utf-8")
    bad = CliRunner().invoke(app, ["fit", str(tmp_path / "bad.csv")])
    assert bad.exit_code == 2
    assert "line 2: at 'soon'" in bad.output
    neither = CliRunner().invoke(app, ["fit"])
    assert neither.exit_code == 2


def test_seconds_tell_no_hour_of_the_day(tmp_path: Path) -> None:
    (tmp_path / "seconds.csv").write_text("at\n" + "\n".join(str(60 * n) for n in range(100)), encoding="utf-8")
    with pytest.raises(ValueError, match="rates by hour and weekday need instants"):
        visits_of_trace(read_trace(tmp_path / "seconds.csv", TraceForm(), SHANGHAI), SHANGHAI)
