"""A recorded span of a live station in the study: waits and energy come out alike, or the report says so."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from sim.live.virtual_station import VirtualStation
from sim.plant.plant import Plant
from sim.scenario.demand import arrivals
from sim.scenario.file import Scenario
from sim.study.given import StationMismatch
from sim.study.optimal.planned import under_plan
from sim.twin.replay import NothingToReplay, ReplayReport, replay
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput, NotFound
from swap.reading.recording import Recording, covered, recording
from swap.store import Store
from tests.support.sim.twin import twin_scenario, twin_station
from tests.support.swap.databases import migrated_sqlite

pytestmark = pytest.mark.twin

DAY = date(2026, 6, 1)
BEGIN_H, HOURS = 8.0, 2.0
HELD_H = (8.9, 9.1)
"""Local hours between which the station was held."""


@dataclass(frozen=True)
class Recorded:
    """A live station's database and what made it."""

    url: str
    store: Store
    config: StationConfig
    scenario: Scenario
    midnight: datetime
    charged_kwh: float
    """Stored in packs by charging, as the plant knows it."""

    def at(self, hour: float) -> datetime:
        """A local hour of the day."""
        return self.midnight + timedelta(hours=hour)

    def record(self, from_h: float = 0.0, until_h: float = 24.0) -> Recording:
        """What is recorded between two hours."""
        with self.store.reading_station(self.config.station.id) as db:
            return recording(db, self.config.station.id, self.at(from_h), self.at(until_h), ["L1"])

    def replay(self, record: Recording, **equipment: float) -> ReplayReport:
        """Its replay, with other equipment where given."""
        return replay(record, self.scenario.with_equipment(**equipment), self.config, DAY)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Some hours of a busy lane with durations that vary, packs of unlike health, and a stop of twelve minutes."""
    config = twin_station(bays=11, packs=10, trucks=30, rated_kwh=282, transformer_kva=4000, healths_pct=(100, 72, 88))
    scenario = twin_scenario(config, 9)
    midnight = scenario.start_at.astimezone(UTC)
    url = migrated_sqlite(tmp_path_factory.mktemp("recorded") / "station.db")
    store = Store(url)
    begin_at = midnight + timedelta(hours=BEGIN_H)
    plant = Plant(config, seed=3, start_at=begin_at - timedelta(minutes=1))
    station = VirtualStation(config, store, plant)
    coming = itertools.takewhile(lambda a: a.at_s < HOURS * 3600, arrivals(scenario, begin_at, 4))

    def arrive(vehicle: str, soc_pct: tuple[float, ...]) -> None:
        if vehicle in plant.trucks_away():
            station.arrive(vehicle, soc_pct, temp_c=26.0)

    async def run() -> None:
        await station.start()
        for arrival in coming:
            at = begin_at + timedelta(seconds=arrival.at_s)
            station.at(at, partial(arrive, str(arrival.vehicle_id), arrival.soc_pct))
        await station.run(midnight + timedelta(hours=HELD_H[0]))
        await station.controller.hold_station("somebody looked at the gantry", "Wang")
        await station.run(midnight + timedelta(hours=HELD_H[1]))
        await station.controller.confirm("Wang")
        await station.run(begin_at + timedelta(hours=HOURS))
        await station.stop()

    asyncio.run(run())
    plant.rack.settle_all(plant.now_us)
    stored_kwh = plant.rack.charged_kwh * config.pack_kinds[0].charge_efficiency
    yield Recorded(url, store, config, scenario, midnight, stored_kwh)
    store.close()


def test_the_record_holds_what_happened(recorded: Recorded) -> None:
    found = recorded.record()
    with recorded.store.reading_station(recorded.config.station.id) as db:
        first_at, last_at = covered(db, "twin")
    assert (found.from_at, found.until_at) == (first_at, last_at)
    assert found.from_at == recorded.at(BEGIN_H) - timedelta(minutes=1)
    ended = [s for s in found.swaps if s.state == "completed"]
    assert len(ended) >= 12
    assert all(len(s.soc_pct) == 1 and s.soc_pct[0] is not None for s in ended)
    assert {s.kinds for s in ended} == {(recorded.config.pack_kinds[0].id,)}
    assert found.charged_kwh == pytest.approx(recorded.charged_kwh, rel=0.01)
    assert found.import_kwh is not None
    assert found.import_kwh > found.charged_kwh
    assert len(found.rack) == 10
    assert all(s.temp_c[0] == pytest.approx(24.0, abs=3.0) for s in ended)
    (stop,) = found.stops
    assert stop.from_at == pytest.approx(recorded.at(HELD_H[0]), abs=timedelta(seconds=1))
    assert stop.until_at == pytest.approx(recorded.at(HELD_H[1]), abs=timedelta(seconds=2))


def test_the_study_gives_the_recorded_waits_and_energy(recorded: Recorded) -> None:
    report = recorded.replay(recorded.record())
    assert report.holds, report.values
    assert report.compared >= 12
    assert report.only_recorded + report.only_study <= 1
    values = {value.name: value for value in report.values}
    assert values["wait_mean"].recorded > 1.0
    assert abs(values["wait_mean"].error) < 0.9
    assert abs(values["charged"].error) < 1.5
    # The recipe counts a few seconds for checks that the simulated sensors answer at once.
    assert 2.0 < 60 * values["swap_mean"].error < 10.0
    assert values["swap_mean"].limit is None
    assert any("did not serve" in str(note) for note in report.notes)


def test_the_measured_swap_time_leaves_little_error(recorded: Recorded) -> None:
    scenario = under_plan(recorded.scenario, "optimal")
    config = recorded.config.model_copy(update={"charging": scenario.charging})
    report = replay(recorded.record(), scenario, config, DAY, measured_swap_time=True)
    assert any("the price rule charges here" in str(note) for note in report.notes)
    values = {value.name: value for value in report.values}
    assert abs(values["swap_mean"].error) < 0.01
    assert abs(values["wait_mean"].error) < 0.3
    assert any("measured" in str(note) for note in report.notes)


def test_another_swap_time_is_noticed(recorded: Recorded) -> None:
    """The bound means something: a study whose lane is a quarter slower is outside of it."""
    report = recorded.replay(recorded.record(), swap_s=400.0)
    assert not report.holds
    assert not next(value for value in report.values if value.name == "wait_mean").holds


def test_a_span_in_the_midst_begins_with_what_lay_in_the_rack(recorded: Recorded) -> None:
    """A swap is under way and packs are half charged at the beginning of the span."""
    found = recorded.record(8.6, 9.8)
    assert found.from_at == recorded.at(8.6)
    assert any(pack.energy_kwh is not None and pack.energy_kwh < 240 for pack in found.rack)
    report = replay(found, recorded.scenario, recorded.config, DAY, measured_swap_time=True)
    assert report.compared >= 6
    values = {value.name: value for value in report.values}
    assert abs(values["wait_mean"].error) < 1.0, report
    assert abs(values["charged"].error) < 5.0, report


def test_without_the_stop_the_waits_differ(recorded: Recorded) -> None:
    """The recorded stop is part of why trucks waited."""
    found = recorded.record()
    unstopped = Recording(
        found.station_id,
        found.from_at,
        found.until_at,
        found.swaps,
        found.rack,
        (),
        found.charged_kwh,
        found.import_kwh,
        found.sampled_s,
    )
    waits = [v.study for v in recorded.replay(unstopped).values if v.name == "wait_p95"]
    assert waits[0] < next(v.study for v in recorded.replay(found).values if v.name == "wait_p95") - 2.0


def test_nothing_recorded_is_said(recorded: Recorded, sqlite_url: str) -> None:
    with recorded.store.reading_station(recorded.config.station.id) as db:
        with pytest.raises(InvalidInput, match="day"):
            recording(db, "twin", recorded.at(30), recorded.at(31), ["L1"])
        with pytest.raises(NotFound):
            recording(db, "other", recorded.at(0), recorded.at(24), ["L1"])
    empty = recorded.record(BEGIN_H, BEGIN_H + 0.01)
    with pytest.raises(NothingToReplay):
        recorded.replay(Recording("twin", empty.from_at, empty.until_at, (), (), (), 0.0, None, 0.0))
    with pytest.raises(StationMismatch):
        recorded.replay(recorded.record(), charger_kw=60.0)


def test_the_command_line_replays_a_day(recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.replay.read_station", lambda path: recorded.config)
    monkeypatch.setattr("api.cli.replay.read_scenario", lambda path: recorded.scenario)
    arguments = ["replay", "station.toml", "scenario.toml", "--day", "2026-06-01", "--database-url", recorded.url]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert "swaps compared" in found.output
    found = CliRunner().invoke(app, [*arguments, "--json", "--from", "08:36", "--until", "09:50", "--within-pct", "9"])
    answer = json.loads(found.output)
    assert answer["from_at"] == recorded.at(8.6).isoformat()
    assert answer["swaps_compared"] > 5
    slow = recorded.scenario.with_equipment(swap_s=400.0)
    monkeypatch.setattr("api.cli.replay.read_scenario", lambda path: slow)
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 1
    assert "too large" in found.output
    found = CliRunner().invoke(app, [*arguments[:4], "2026-07-01", *arguments[5:]])
    assert found.exit_code == 2
    found = CliRunner().invoke(app, [*arguments, "--from", "10:00", "--until", "09:00"])
    assert found.exit_code == 2
