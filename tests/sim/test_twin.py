"""The live controller and the study side by side: the same events in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import async_solipsism
import pytest
from typer.testing import CliRunner

from api.cli.__main__ import app
from robotics.port import CommandCode, Location, LocationKind, RobotCommand
from scheduler.guide import Guide
from scheduler.queueing import Called, call_next
from scheduler.types import TariffSlice
from sim.live.direct import DirectRack, DirectRobot, direct_site
from sim.live.virtual_station import VirtualStation
from sim.plant.plant import Plant
from sim.scenario.load import load_scenario
from sim.study import station as study_station
from sim.study.given import StationMismatch
from sim.study.optimal.planned import under_plan
from sim.study.rows import StudyTruck
from sim.study.station import Station
from sim.study.swap_truck import scenario_station
from sim.twin.live_side import COMPLETED, DISPATCHED, TwinEvent, step_times
from sim.twin.twin import TwinReport, first_difference, run_twin
from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.gate import check_in
from swap.reading.recording import swap_entries
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import StationController
from swap.station.lease import Lease
from swap.station.life.database import DirectDatabase
from swap.station.sequence.recipe import load_recipe
from swap.store import Store
from tests.support.sim.plant import START_AT
from tests.support.sim.twin import twin_scenario, twin_station
from tests.support.sim.twin_draws import AnyGuides
from tests.support.swap.databases import migrated_sqlite

pytestmark = pytest.mark.twin

EXAMPLE = Path(__file__).parents[2] / "examples" / "yangquan_mine"


def assert_same(report: TwinReport, swaps: int) -> None:
    """Same events in the same order, each within a second; no fewer than `swaps` completed."""
    assert report.difference is None, f"{report.difference} {report.notes}"
    assert report.agrees
    assert sorted(e.what for e in report.live[: report.compared]) == sorted(
        e.what for e in report.study[: report.compared]
    )
    assert report.changed_places <= report.compared / 100
    assert report.swaps(0) == report.swaps(1) >= swaps
    assert report.largest_wait_error_s < 1.0
    assert report.energy_error < 0.001
    assert report.largest_handed_error_kwh < 0.1


def test_the_example_does_live_what_the_study_says() -> None:
    scenario, config = under_plan(load_scenario(EXAMPLE / "scenario.toml"), "optimal"), _example_station()
    config = config.model_copy(update={"charging": scenario.charging})
    report = run_twin(scenario, config, 1.0, seed=1)
    assert_same(report, 2)
    assert any("the price rule charges here" in str(note) for note in report.notes)
    assert report.largest_time_error_s < 0.2
    assert "failures of robots, chargers and packs are left out" in map(str, report.notes)


def test_trucks_that_wait_for_packs_are_called_at_the_same_instants() -> None:
    """Three packs of 30 minutes each and more trucks than they can serve, half of them booked."""
    config = twin_station()
    scenario = twin_scenario(config, 12, bookings={"share": 0.5})
    report = run_twin(scenario, config, 1.0, seed=1)
    assert_same(report, 5)
    assert report.wait_min(0) > 2.0


@pytest.mark.parametrize(("bays", "lanes"), [(5, {"L1"}), (6, {"L1", "L2"})])
def test_two_lanes_take_the_same_bays(bays: int, lanes: set[str]) -> None:
    """Bays of a swap under way are kept until its truck has left: one empty bay lets one lane work at a time."""
    config = twin_station(lanes=2, bays=bays, packs=4, trucks=24)
    report = run_twin(twin_scenario(config, 20), config, 0.6, seed=1)
    assert_same(report, 4)
    assert {e.detail[:2] for e in report.live if e.kind == DISPATCHED} == lanes


def test_a_bay_given_away_too_soon_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that frees a bay as soon as its pack has left calls the other lane's truck too soon."""
    original = Station._store

    def gives_away(station: Station, move: Any, truck: StudyTruck) -> None:
        original(station, move, truck)
        station._fetch(truck)
        if truck.given[-1].reserved_by == truck.swap_id:
            station.rack.release(truck.given[-1])
            station.call_trucks()

    monkeypatch.setattr(Station, "_store", gives_away)
    config = twin_station(lanes=2, bays=5, packs=4, trucks=24)
    report = run_twin(twin_scenario(config, 20), config, 0.5, seed=1)
    assert report.difference is not None
    assert report.difference.study is not None
    assert report.difference.study.detail.startswith("L2")


def test_packs_of_any_health_are_alike() -> None:
    """Which pack is fullest, when it is ready and what it holds depend on the health of each pack; they go round."""
    config = twin_station(bays=5, packs=4, trucks=9, healths_pct=(100.0, 60.0, 82.5, 95.0, 71.0))
    report = run_twin(twin_scenario(config, 14), config, 0.5, seed=1)
    assert_same(report, 4)
    assert report.energy_error < 1e-3
    assert report.largest_handed_error_kwh < 0.1


def test_in_out_works_with_a_full_rack() -> None:
    """The spent pack goes where the charged one came from; no bay has to be empty."""
    config = twin_station(swap_order="in_out", bays=3, packs=3)
    report = run_twin(twin_scenario(config, 9), config, 0.7, seed=1)
    assert_same(report, 3)
    assert all(e.detail.split()[1] == e.detail.split()[-1] for e in report.live if e.kind == DISPATCHED)


def test_in_out_on_two_lanes_each_with_its_transfer_bay() -> None:
    """Charged packs of both lanes are parked at the same time, each in the bay that its lane reaches."""
    config = twin_station(lanes=2, swap_order="in_out", bays=5, packs=4, trucks=24)
    assert [config.transfer_bays(lane.id) for lane in config.lanes] == [["T1"], ["T2"]]
    report = run_twin(twin_scenario(config, 30), config, 0.4, seed=1)
    assert_same(report, 3)
    parked = [e.at_s for e in report.live if e.detail == "parking_new"]
    assert min(later - earlier for earlier, later in pairwise(parked)) < 200  # one swap takes longer


def test_trucks_with_two_packs() -> None:
    config = twin_station(seats=2, bays=6, packs=4)
    assert_same(run_twin(twin_scenario(config, 10), config, 0.6, seed=1), 2)


def test_power_that_is_short_is_shared_alike() -> None:
    config = twin_station(bays=5, packs=4, transformer_kva=320)
    report = run_twin(twin_scenario(config, 14), config, 0.45, seed=1)
    assert_same(report, 3)


def test_charging_is_held_back_alike_in_dear_hours() -> None:
    """Critical hours begin at 18 h in June: packs are charged only while fewer than the reserve are ready."""
    config = twin_station(bays=8, packs=7, reserve_ready=3)
    report = run_twin(twin_scenario(config, 9), config, 0.9, seed=1, from_hour=17.7)
    assert_same(report, 4)
    eager = twin_station(bays=8, packs=7, tariff_aware=False)
    without = run_twin(twin_scenario(eager, 9), eager, 0.9, seed=1, from_hour=17.7)
    assert without.charged_kwh[0] > report.charged_kwh[0] + 50


@pytest.mark.parametrize("seed", [1, 2])
def test_guides_that_neither_side_has_seen_are_carried_out_alike(seed: int) -> None:
    config = twin_station(bays=6, packs=5, tariff_aware=False)
    scenario = twin_scenario(config, 11)
    planner = AnyGuides(seed, ["lfp"], 660)
    report = run_twin(scenario, config, 1.2, seed=seed, planner=planner)
    assert_same(report, 5)
    assert len(planner.given_kw) >= 3
    free = run_twin(scenario, config, 1.2, seed=seed)
    assert report.live != free.live or report.charged_kwh[0] < free.charged_kwh[0] - 10, "the guides bind nothing"


def test_a_guide_that_has_ended_is_refused() -> None:
    class Stale:
        def guide_at(self, at: datetime, prices: Sequence[TariffSlice]) -> Guide:
            return Guide(at, 100.0, {"lfp": 0})

    config = twin_station()
    with pytest.raises(ValueError, match="must end later"):
        Station(twin_scenario(config, 5), 1, planner=Stale()).build()


def test_the_study_needs_no_further_plan_in_dear_hours() -> None:
    """Whatever came last, a plan made now would switch no charger: trucks that came while the lane was busy count."""
    flow = scenario_station(load_scenario(EXAMPLE / "scenario.toml"), seed=1)
    flow.run_until(18 * 3600)
    waited = 0
    while flow.time.now < 23.9 * 3600:
        flow.run_until(flow.time.now + 20)
        waited += bool(flow.queue) and flow.rack.guide is not None
        before = {bay.bay_id for bay in flow.rack.bays if bay.power_kw > 0}
        flow.rack.plan()
        assert before == {bay.bay_id for bay in flow.rack.bays if bay.power_kw > 0}, flow.time.now
    assert waited > 50


def test_another_decision_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study hands out packs from the other end of the rack: the first dispatch differs."""

    def last_first(line: Any, lanes: Any, charged: Any, *rest: Any) -> Called | None:
        found = call_next(line, lanes, charged, *rest)
        return None if found is None else Called(found.truck, found.lane, [charged[-1]], found.empty)

    monkeypatch.setattr(study_station, "call_next", last_first)
    config = twin_station()
    report = run_twin(twin_scenario(config, 12), config, 0.2, seed=1)
    assert report.difference is not None
    assert report.difference.what == "order"
    assert report.difference.live is not None
    assert report.difference.live.kind == DISPATCHED


def test_differences_are_named() -> None:
    one = TwinEvent(10.0, "queued", "V1")
    other, late = (TwinEvent(at_s, COMPLETED, "V1") for at_s in (20.0, 21.5))
    assert first_difference([one, other], [one, other], 100, 1.0) == (None, 0.0, 0)
    difference, _, _ = first_difference([one, other], [one, late], 100, 1.0)
    assert difference is not None
    assert difference.what == "time"
    for live, study in (([one], [one, other]), ([one, other], [one])):
        difference, _, _ = first_difference(live, study, 100, 1.0)
        assert difference is not None
        assert difference.what == "missing"
    assert first_difference([one], [one, other], 20.5, 1.0)[0] is None  # it may come after the end
    difference, _, _ = first_difference([one, other], [other, one], 100, 1.0)
    assert difference is not None
    assert difference.what == "order"


def test_only_events_of_different_trucks_within_the_tolerance_may_change_places() -> None:
    one, near, far = (TwinEvent(at_s, "queued", vehicle) for at_s, vehicle in ((10, "V1"), (10.4, "V2"), (12, "V3")))
    assert first_difference([one, near, far], [near, one, far], 100, 1.0) == (None, 0.0, 1)
    difference, _, _ = first_difference([one, near, far], [near, far, one], 100, 1.0)
    assert difference is not None
    same_truck = TwinEvent(10.4, "dispatched", "V1")
    difference, _, _ = first_difference([one, same_truck], [same_truck, one], 100, 1.0)
    assert difference is not None
    assert difference.what == "order"


def test_both_sides_take_their_durations_from_one_table() -> None:
    table = load_recipe("top_lift").table(1, "out_in")
    times = step_times([table], 0.1)
    pick = RobotCommand(1, CommandCode.PICK, source=Location(LocationKind.BAY, 3))
    assert times.command_s(pick) == table.by_state["fetching_new"].nominal_s
    assert times.row_s(table.by_state["fetching_new"]) == pytest.approx(table.by_state["fetching_new"].nominal_s + 0.1)
    assert times.row_s(table.by_state["verifying"]) == pytest.approx(0.1)
    slow = replace(table.by_state["fetching_new"], nominal_s=99.0)  # the same command takes longer in another row
    assert times.command_s(pick, slow) == 99.0
    assert times.row_s(slow) == pytest.approx(99.1)


def test_a_scenario_of_another_station_is_refused() -> None:
    config = twin_station()
    scenario = twin_scenario(config, 6).with_equipment(charger_kw=120.0, chargers=2)
    with pytest.raises(StationMismatch, match="chargers, charger_kw differ"):
        run_twin(scenario, config, 0.1, seed=1)


def test_the_command_line_says_whether_they_agree() -> None:
    arguments = ["twin", str(EXAMPLE / "station.toml"), str(EXAMPLE / "scenario.toml"), "--hours", "0.3"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert "The same events in the same order." in found.output
    found = CliRunner().invoke(app, [*arguments, "--tolerance-s", "0.001", "--poll-s", "5"])
    assert found.exit_code in (0, 1), found.output


# The steps of the virtual station against the controller's own loops


def test_the_controllers_own_loops_make_the_same_events(tmp_path: Path) -> None:
    """`StationController.run` on a virtual clock: same events, each at most a few polls later.

    The stepped side looks one poll after a change, where the loops may look in the very instant: so much earlier.
    """
    config = twin_station()
    stepped, looped = _stepped(config, tmp_path), _looped(config, tmp_path)
    assert [what for _, what in looped] == [what for _, what in stepped]
    steps = 0
    for (late_s, what), (at_s, _) in zip(looped, stepped, strict=True):
        steps += what[0] == "swap.step_done"
        assert -0.01 - config.lanes[0].cell.poll_s <= late_s - at_s <= LOOP_SPEED * (0.5 + 0.2 * steps), what


LOOP_SPEED = 10.0
"""Station seconds for each second of the loops' periods: a cell is looked at every second."""
TRUCKS = (("V01", 20.0), ("V02", 60.0))
UNTIL_S = 660.0


def _example_station() -> StationConfig:
    from swap.config.loading import load_station

    return load_station(EXAMPLE / "station.toml")


def _plant(config: StationConfig) -> Plant:
    plant = Plant(config, seed=1, start_at=START_AT, varies=False)
    return plant


def _events(store: Store, config: StationConfig) -> list[tuple[float, tuple[str, str, str]]]:
    with store.reading_station(config.station.id) as db:
        entries = swap_entries(db, config.station.id, START_AT, START_AT + timedelta(days=1))
    store.close()
    return [
        ((e.at - START_AT).total_seconds(), (e.kind, e.vehicle_id, getattr(e.said, "state", None) or ""))
        for e in entries
    ]


def _stepped(config: StationConfig, folder: Path) -> list[tuple[float, tuple[str, str, str]]]:
    store = Store(migrated_sqlite(folder / "stepped.db"))
    station = VirtualStation(config, store, _plant(config))

    async def run() -> None:
        await station.start()
        for vehicle, at_s in TRUCKS:
            station.at(START_AT + timedelta(seconds=at_s), partial(station.arrive, vehicle, [30.0]))
        await station.run(START_AT + timedelta(seconds=UNTIL_S))
        await station.stop()

    asyncio.run(run())
    return _events(store, config)


def _looped(config: StationConfig, folder: Path) -> list[tuple[float, tuple[str, str, str]]]:
    store = Store(migrated_sqlite(folder / "looped.db"))
    plant = _plant(config)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(START_AT, LOOP_SPEED, monotonic=loop.time)

        def catch_up() -> None:
            plant.advance(max((clock.now() - plant.now_at).total_seconds(), 0.0))

        sync_station(store, config, clock.now())
        lease = Lease(store, config.station.id)
        lease.acquire()
        rack = DirectRack(plant, clock.now, catch_up)
        controller = StationController(
            StationContext.build(DirectDatabase(store, config.station.id), config, clock),
            [DirectRobot(plant, lane.id, lease.token, clock.now, catch_up) for lane in config.lanes],
            rack,
            rack,
            direct_site(plant, clock.now),
            lease,
        )
        running = asyncio.create_task(controller.run())
        for vehicle, at_s in TRUCKS:
            await asyncio.sleep(at_s / LOOP_SPEED - loop.time() + begin)
            catch_up()
            plant.arrive(vehicle, [30.0])
            with store.station(config.station.id) as db:
                check_in(db, config, vehicle_id=vehicle, at=clock.now())
        await asyncio.sleep(UNTIL_S / LOOP_SPEED - loop.time() + begin)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    begin = 0.0
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        begin = runner.get_loop().time()
        runner.run(run())
    return _events(store, config)
