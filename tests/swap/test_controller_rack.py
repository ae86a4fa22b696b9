"""Packs in doubt and hot packs: quarantine, blocking, the thermal procedure, release by a person."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from battery_bms.limits import AlarmBit
from battery_bms.port import PackReading
from robotics.port import CommandCode, Location, LocationKind, RobotCommand
from swap.config.station_file import StationConfig
from swap.messages.events import FaultRaised, SwapCompleted, SwapStepDone, SwapStepStarted
from swap.messages.packs import ThermalStep
from swap.station.life.coming_back import Cause
from swap.station.life.watchdog import Gap
from swap.station.power.site_faults import OVER_S, SiteWatch
from swap.station.power.view import site_limits
from swap.station.sequence.evacuation import EVACUATE_WITHIN_S, Effect, Procedure
from swap.station.sequence.session import Send
from swap.station.states.thermal_stages import Stage
from tests.support.sim.plant import code, station
from tests.support.swap.station import Bench, blocked, mode

SPENT = code(11)
HOT = code(2)
"""In bay A2, between A1 and A3."""


def neighbours(config: StationConfig) -> StationConfig:
    """The small station with bays that stand side by side."""
    beside = {"A1": ("A2",), "A2": ("A1", "A3"), "A3": ("A2", "A4"), "A4": ("A3",)}
    bays = tuple(b.model_copy(update={"neighbours": beside.get(b.id, ())}) for b in config.bays)
    return config.model_copy(update={"bays": bays})


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, neighbours(station()), speed=20.0)
    await bench.start()
    await bench.run(10)
    yield bench
    bench.close()


def stages(bench: Bench) -> dict[str, dict[str, Any]]:
    """Data of each stage of the thermal procedure."""
    return {e.data["stage"]: e.data for e in bench.events() if e.kind == ThermalStep.kind}


def charge_kw(bench: Bench, bay: str) -> float:
    return bench.plant.rack.charge_kw(bay, bench.plant.now_us)


async def drained(bench: Bench) -> None:
    """Packs of A1…A3 have room, so that their chargers run."""
    for number in (1, 2, 3):
        truth = bench.plant.rack.packs[code(number)]
        bench.plant.rack.settle(truth, bench.plant.now_us)
        truth.energy_kwh = 140.0
    await bench.run(20)
    assert all(charge_kw(bench, bay) > 50 for bay in ("A1", "A2", "A3"))


# Identity


async def test_a_wrong_pack_in_a_bay_is_quarantined_and_neither_charged_nor_offered(bench: Bench) -> None:
    await drained(bench)
    bench.plant.inject("wrong_code", "A2", code=code(99))
    await bench.run(5)
    assert bench.pack(HOT).state == "quarantined"
    assert blocked(bench) == {"A2": "pack_identity_mismatch"}
    assert "pack_identity_mismatch" in bench.open_faults()
    assert charge_kw(bench, "A2") == 0
    assert charge_kw(bench, "A1") > 0
    # Released while the wrong code is still there, it goes back into quarantine.
    bench.ask("release_bay", bay_id="A2")
    await bench.settled(bench.ask("release_pack", pack_id=HOT))
    await bench.run(5)
    assert bench.pack(HOT).state == "quarantined"
    bench.plant.clear("wrong_code", "A2")
    bench.ask("release_bay", bay_id="A2")
    status, answer = await bench.settled(bench.ask("release_pack", "Han Mei", pack_id=HOT))
    assert (status, answer) == ("done", "released; it is identified anew")
    await bench.run(20)
    assert bench.pack(HOT).state == "charging"
    assert blocked(bench) == {}
    assert "pack_identity_mismatch" not in bench.open_faults()
    actors = {bench.who(e) for e in bench.events() if e.pack_id == HOT and e.data.get("trigger") == "release"}
    assert "Han Mei" in actors


async def test_a_returned_pack_that_says_another_code_is_quarantined_and_the_swap_ends(bench: Bench) -> None:
    bench.arrive("V1", 30)
    bench.plant.inject("wrong_code", "A4", code=code(99))
    await bench.run_until(SwapCompleted.kind, step_s=None)
    await bench.run(5)
    assert bench.pack(SPENT).state == "quarantined"
    assert blocked(bench) == {"A4": "pack_identity_mismatch"}
    assert charge_kw(bench, "A4") == 0
    bench.audited()


async def test_a_returned_pack_without_any_code_is_quarantined_after_the_time_limit(bench: Bench) -> None:
    bench.arrive("V1", 30)
    bench.plant.inject("bms_silent", "A4")
    await bench.run_until(SwapCompleted.kind, step_s=None)
    await bench.run(200, step_s=None)
    assert bench.pack(SPENT).state == "quarantined"
    assert "pack_identity_unknown" in bench.open_faults()
    assert charge_kw(bench, "A4") == 0


async def test_a_bay_that_should_be_empty_and_is_not_is_blocked(bench: Bench) -> None:
    bench.plant.rack.move(SPENT, "bay:A4", bench.plant.now_us)
    await bench.run(5)
    assert blocked(bench) == {"A4": "bay_occupancy_mismatch"}
    assert "bay_occupancy_mismatch" in bench.open_faults()


# Readings that stop or warn


async def test_a_silent_bms_blocks_its_pack_until_it_speaks_again(bench: Bench) -> None:
    await drained(bench)
    bench.plant.inject("bms_silent", "A2")
    await bench.run(5)
    assert charge_kw(bench, "A2") == 0
    await bench.run(260, step_s=None)
    assert bench.pack(HOT).state == "blocked"
    assert bench.open_faults()["bms_silent"] == "bay:A2"
    bench.plant.clear("bms_silent", "A2")
    await bench.run(30)
    assert bench.pack(HOT).state == "charging"
    assert "bms_silent" not in bench.open_faults()


async def test_an_alarm_of_level_two_stops_and_blocks_and_recovers(bench: Bench) -> None:
    await drained(bench)
    bench.plant.inject("pack_alarm", HOT, level=2, bit=10)
    await bench.tick(1.0)
    assert charge_kw(bench, "A2") == 0
    assert bench.pack(HOT).state == "blocked"
    bench.plant.clear("pack_alarm", HOT)
    await bench.run(20)
    assert bench.pack(HOT).state == "charging"


@pytest.mark.parametrize(
    ("bit", "after"), [(AlarmBit.POOR_CONSISTENCY, "charging"), (AlarmBit.TEMPERATURE_HIGH, "warming")]
)
async def test_in_a_cold_rack_only_an_alarm_of_temperature_asks_for_more_warmth(
    bench: Bench, bit: AlarmBit, after: str
) -> None:
    """At 1 °C a pack may be charged; it is too near to the limit only where the limit itself may have stopped it."""
    await drained(bench)
    truth = bench.plant.rack.packs[HOT]
    bench.plant.rack.settle(truth, bench.plant.now_us)
    truth.temp_c = 1.0 + bench.plant.temp_spread_c
    bench.plant.inject("pack_alarm", HOT, level=2, bit=int(bit))
    await bench.tick(1.0)
    assert bench.pack(HOT).state == "blocked"
    bench.plant.clear("pack_alarm", HOT)
    await bench.run(20)
    assert bench.pack(HOT).state == after
    assert 0.0 < truth.temp_c - bench.plant.temp_spread_c < 2.0


async def test_an_alarm_of_level_three_is_quarantined_for_good(bench: Bench) -> None:
    await drained(bench)
    bench.plant.inject("pack_alarm", HOT, level=3, bit=10)
    await bench.tick(1.0)
    assert charge_kw(bench, "A2") == 0
    assert bench.pack(HOT).state == "quarantined"
    bench.plant.clear("pack_alarm", HOT)
    await bench.run(60)
    assert bench.pack(HOT).state == "quarantined"
    assert mode(bench) == "automatic"  # no heat: no thermal procedure


async def test_a_hot_pack_that_only_cools_slowly_is_not_charged(bench: Bench) -> None:
    truth = bench.plant.rack.packs[HOT]
    bench.plant.rack.settle(truth, bench.plant.now_us)
    truth.energy_kwh, truth.temp_c = 140.0, 53.0
    await bench.run(20)
    assert bench.pack(HOT).state == "blocked"  # 50 °C is the limit of standards 6.4
    assert charge_kw(bench, "A2") == 0


async def test_a_pack_comes_away_from_the_limit_before_it_is_charged_again(bench: Bench) -> None:
    """At the limit it is one alarm and one stop, not one at every look."""
    await drained(bench)
    truth = bench.plant.rack.packs[HOT]
    bench.plant.rack.settle(truth, bench.plant.now_us)
    truth.temp_c = 50.2
    seen = []
    for _ in range(90):
        await bench.tick(20.0)
        seen.append((bench.pack(HOT).state, charge_kw(bench, "A2") > 0))
    states = [state for state, _ in seen]
    cools, waits = states.index("cooling"), states.index("waiting")
    assert set(seen[:cools]) == {("blocked", False)}
    assert set(seen[cools:waits]) == {("cooling", False)}
    assert "charging" in states[waits:]
    assert [event.data["name"] for event in bench.events() if event.kind == FaultRaised.kind] == ["bms_alarm"]


# Chargers and the site


async def test_a_charger_that_reports_a_fault_is_told_with_its_own_code(bench: Bench) -> None:
    await drained(bench)
    bench.plant.inject("charger_fault", "A2", code=17)
    await bench.run(5)
    assert bench.open_faults() == {"charger_fault": "bay:A2"}
    (raised,) = [event for event in bench.events() if event.kind == FaultRaised.kind]
    assert raised.data["detail"] == {"charger_code": 17}
    bench.controller.rack.load()  # as one that has just started, which knows of no fault
    bench.plant.clear("charger_fault", "A2")
    await bench.run(5)
    assert bench.open_faults() == {}


async def test_a_rack_device_that_is_not_heard_is_told_as_the_cause(bench: Bench) -> None:
    await drained(bench)
    context, watch = bench.controller.context, SiteWatch(bench.controller.site)

    def told(readings: dict[str, PackReading]) -> list[tuple[str, str]]:
        return list(watch.troubles(replace(context, readings=readings), site_limits(context), bench.clock.now()))

    assert told(context.readings) == []
    assert told({}) == []
    await bench.run(11 * bench.speed)
    (device,) = bench.config.rack_devices
    assert told({}) == [("rack_link_lost", f"rack:{device.id}")]
    assert told({"A1": context.readings["A1"]}) == []


async def test_a_charger_that_gives_more_than_it_was_told_is_told(bench: Bench) -> None:
    await drained(bench)
    bench.plant.inject("charger_ignores_setpoint", "A2")
    bench.plant.inject("pack_alarm", HOT, level=2, bit=int(AlarmBit.POOR_CONSISTENCY))
    await bench.tick(1.0)
    assert charge_kw(bench, "A2") > 50
    assert "charger_over_delivers" not in bench.open_faults()  # it may only be on its way down
    await bench.run((OVER_S + 1) * bench.speed)
    assert bench.open_faults()["charger_over_delivers"] == "bay:A2"
    bench.plant.clear("charger_ignores_setpoint", "A2")
    await bench.run(10)
    assert "charger_over_delivers" not in bench.open_faults()


async def test_an_import_that_stays_above_its_limit_is_told(bench: Bench) -> None:
    context, watch = bench.controller.context, SiteWatch(bench.controller.site)
    limits = site_limits(context)
    over = replace(limits, measured_import_kw=1.06 * limits.import_limit_kw)
    assert not watch.troubles(context, over, bench.clock.now())
    await bench.run((OVER_S + 1) * bench.speed)
    told = watch.troubles(context, over, bench.clock.now())
    assert list(told) == [("site_over_limit", "site")]
    for measured_kw in (None, limits.import_limit_kw * 1.04):
        assert not watch.troubles(context, replace(limits, measured_import_kw=measured_kw), bench.clock.now())
    assert not watch.troubles(context, over, bench.clock.now())  # the time begins anew


# Heat


async def test_a_hot_pack_is_detected_stopped_and_carried_to_the_tank(bench: Bench) -> None:
    await drained(bench)
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    await bench.run_until(ThermalStep.kind, 60, 1.0, stage=Stage.DETECTED)
    assert mode(bench) == "thermal"
    assert charge_kw(bench, "A2") == 0
    assert charge_kw(bench, "A1") == charge_kw(bench, "A3") == 0  # neighbours
    beside = {bay: reason for bay, reason in blocked(bench).items() if reason == "neighbour_blocked"}
    assert set(beside) == {"A1", "A3"}
    assert "A2" in blocked(bench)
    await bench.run_until(ThermalStep.kind, 200, 1.0, stage=Stage.EVACUATED)
    assert bench.places()[HOT] == "tank"
    assert bench.recorded_places() == bench.places()
    assert bench.pack(HOT).state == "evacuated"
    seen = stages(bench)
    assert list(seen) == [Stage.DETECTED, Stage.CHARGING_STOPPED, Stage.EVACUATION_STARTED, Stage.EVACUATED]
    times_s = [data["since_s"] for data in seen.values()]
    assert times_s == sorted(times_s)
    assert times_s[0] == 0
    assert times_s[-1] < 300
    assert seen[Stage.DETECTED]["readings"]
    assert seen[Stage.DETECTED]["causes"]
    fire = [c for what, _, c in bench.motions if what == "accepted"]
    assert fire == [CommandCode.FIRE]
    await bench.run_while_still(120)
    bench.audited()
    # A pack in the tank is not released; the bay and its neighbours are, by a person.
    assert (await bench.settled(bench.ask("release_pack", pack_id=HOT)))[0] == "refused"
    assert (await bench.settled(bench.ask("confirm")))[1].startswith("held")
    assert (await bench.settled(bench.ask("confirm"))) == ("done", "going on")
    for bay in ("A1", "A2", "A3"):
        assert (await bench.settled(bench.ask("release_bay", bay_id=bay)))[0] == "done"
    await bench.run(20)
    assert charge_kw(bench, "A1") > 0
    bench.audited()


@pytest.mark.parametrize("bar", ["curtain", "door", "tank_not_ready", "power_cut"])
async def test_a_hot_pack_is_isolated_where_evacuation_is_barred(bench: Bench, bar: str) -> None:
    bench.plant.inject(bar, "L1")
    await bench.run(2)
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    ended = await bench.run_until(ThermalStep.kind, 60, 1.0, stage=Stage.ISOLATED)
    assert ended.data["bars"]["L1"]
    assert "evacuation_failed" in bench.open_faults()
    assert bench.pack(HOT).state == "quarantined"
    bench.plant.clear(bar, "L1")
    await bench.run_while_still(120)
    assert bench.places()[HOT] == "bay:A2"


async def test_a_hot_pack_waits_for_the_running_command_and_no_longer(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state="storing_old")
    await bench.run(3)
    bench.plant.inject("pack_heats", code(3), c_per_s=1.5)
    await bench.run_until(ThermalStep.kind, 60, 1.0, stage=Stage.DETECTED)
    await bench.tick(1.0)
    assert bench.swap(swap_id).phase == "held"
    await bench.run_until(ThermalStep.kind, 300, 1.0, stage=Stage.EVACUATED)
    assert bench.places()[code(3)] == "tank"
    assert bench.places()[SPENT] == "bay:A4"  # its own command had ended before
    await bench.run_while_still(60)
    await bench.settled(bench.ask("confirm"))
    assert (await bench.settled(bench.ask("confirm")))[0] == "done"
    for bay in ("A2", "A4"):
        await bench.settled(bench.ask("release_bay", bay_id=bay))
    for _ in range(3):
        await bench.run(60, step_s=None)
        row = bench.swap(swap_id)
        if row.phase == "held":
            await bench.settled(bench.ask("decide", swap_id=swap_id, decision="continue"))
    while bench.swap(swap_id).ended_at is None and bench.seconds < 4000:
        await bench.run(30, step_s=None)
    assert bench.swap(swap_id).state == "completed"
    assert bench.places() == bench.recorded_places()
    await bench.run(5)
    bench.audited()


async def test_with_a_pack_in_the_gripper_a_hot_one_is_isolated(bench: Bench) -> None:
    bench.arrive("V1", 30)
    await bench.run_until(SwapStepDone.kind, step_s=None, state="lifting_old")
    await bench.settled(bench.ask("hold"))
    bench.plant.inject("pack_heats", code(3), c_per_s=2.0)
    ended = await bench.run_until(ThermalStep.kind, 120, 1.0, stage=Stage.ISOLATED)
    assert {"!gripper_loaded", "person_looked"} <= set(ended.data["bars"]["L1"])
    await bench.run_while_still(60)


async def test_an_evacuation_never_begins_after_its_time(bench: Bench) -> None:
    bench.plant.inject("tank_not_ready", "L1")
    bench.plant.inject("pack_heats", HOT, c_per_s=0.3)
    await bench.run_until(ThermalStep.kind, 600, 5.0, stage=Stage.ISOLATED)
    bench.plant.clear("tank_not_ready", "L1")
    await bench.run_while_still(EVACUATE_WITHIN_S + 60, step_s=10.0)


async def test_a_cell_that_refuses_the_evacuation_leaves_the_pack_isolated(bench: Bench) -> None:
    bench.plant.cell("L1").faults.axis_alarm = True  # the PLC knows, its signals do not say
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    ended = await bench.run_until(ThermalStep.kind, 100, 1.0, stage=Stage.ISOLATED)
    assert ended.data["bars"] == {"L1": ["command_refused_interlock"]}
    assert bench.places()[HOT] == "bay:A2"
    await bench.run(5)
    bench.audited()


async def test_after_a_kill_a_hot_pack_is_not_carried_without_a_person(bench: Bench) -> None:
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    while not stages(bench):
        await bench.tick(0.5)
    if Stage.EVACUATION_STARTED in stages(bench):
        pytest.fail("the evacuation began in the cycle of the detection")
    await bench.run(0)
    bench.seconds += 15  # the lease of the killed controller expires
    bench.build()
    assert (await bench.start()).cause is Cause.RESTART
    await bench.run_while_still(60)
    assert stages(bench)[Stage.ISOLATED]["bars"] == {"": ["restart"]}
    # The detection is latched still: no second procedure begins.
    assert [e.data["stage"] for e in bench.events() if e.kind == ThermalStep.kind].count(Stage.DETECTED) == 1


async def test_a_kill_during_the_evacuation_leaves_the_cell_to_end_it_and_its_end_is_recorded(bench: Bench) -> None:
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    while (CommandCode.FIRE, "accepted") not in [(c, what) for what, _, c in bench.motions]:
        await bench.tick(0.5)
    bench.seconds += 15  # the lease of the killed controller expires
    bench.build()
    assert (await bench.start()).cause is Cause.RESTART
    await bench.run_until(ThermalStep.kind, 200, 1.0, stage=Stage.EVACUATED)
    assert bench.places()[HOT] == "tank"
    assert bench.recorded_places() == bench.places()
    assert [c for what, _, c in bench.motions if what == "accepted"] == [CommandCode.FIRE]
    bench.audited()


async def test_held_by_a_person_a_hot_pack_is_not_carried(bench: Bench) -> None:
    await bench.settled(bench.ask("hold"))
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    ended = await bench.run_until(ThermalStep.kind, 60, 1.0, stage=Stage.ISOLATED)
    assert ended.data["bars"] == {"L1": ["person_looked"]}
    await bench.run_while_still(60)


async def test_after_a_gap_a_hot_pack_is_not_carried_without_a_person(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the loop of the rack, which may come first, while the station is thermal already."""
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    while not stages(bench):
        await bench.tick(0.5)
    assert Stage.EVACUATION_STARTED not in stages(bench)
    monkeypatch.setattr(bench.controller.watchdog, "take_gap", lambda _: Gap("commanding", 4.0))
    await bench.controller.rack_step()
    monkeypatch.undo()
    await bench.run_while_still(60)
    assert stages(bench)[Stage.ISOLATED]["bars"] == {"L1": ["person_looked"]}


async def test_an_evacuation_that_is_stored_does_not_leave_when_somebody_has_come(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a command of a swap: the commit may have taken its time, and the looks have gone on."""
    thermal, lane = bench.controller.thermal, bench.controller.lanes["L1"]
    stored, sent, send = thermal._store, list[CommandCode](), lane.robot.send

    async def leaves(command: RobotCommand, epoch: int | None = None) -> None:
        sent.append(command.code)
        await send(command, epoch)

    async def store(before: Procedure, after: Procedure, effects: Sequence[Effect]) -> None:
        await stored(before, after, effects)
        if any(isinstance(effect, Send) for effect in effects):
            bench.plant.inject("door", "L1")
            await lane.look()

    monkeypatch.setattr(lane.robot, "send", leaves)
    monkeypatch.setattr(thermal, "_store", store)
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    ended = await bench.run_until(ThermalStep.kind, 60, 1.0, stage=Stage.ISOLATED)
    assert "doors_closed" in ended.data["bars"]["L1"]
    assert CommandCode.FIRE not in sent
    assert bench.places()[HOT] == "bay:A2"


async def test_a_hot_pack_left_in_the_gripper_is_no_swaps_to_set_down(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    await bench.run_until(SwapStepStarted.kind, step_s=None, state="storing_old")
    await bench.run(3)
    bench.plant.inject("pack_heats", code(3), c_per_s=1.5)
    await bench.run_until(ThermalStep.kind, 300, 1.0, stage=Stage.EVACUATION_STARTED)
    while bench.places()[code(3)] == "bay:A3":
        await bench.tick(1.0)
    bench.plant.inject("estop", "L1")
    await bench.run_until(ThermalStep.kind, 60, 1.0, stage=Stage.ISOLATED)
    bench.plant.clear("estop", "L1")
    bench.plant.inject("person_confirms", "L1")
    for _ in range(2):
        await bench.settled(bench.ask("confirm"))
    for decision in ("continue", "unwind"):
        assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision=decision)))[0] == "refused"
    await bench.run_while_still(30)
    bench.plant.inject("local_mode", "L1")
    bench.plant.inject("local_move", "L1", source=0, target=Location(LocationKind.TANK, 1).code)
    bench.plant.clear("local_mode", "L1")
    await bench.run(5)
    assert (await bench.settled(bench.ask("decide", swap_id=swap_id, decision="unwind")))[0] == "done"


async def test_a_released_pack_that_is_hot_again_is_detected_again(bench: Bench) -> None:
    bench.plant.inject("tank_not_ready", "L1")
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    await bench.run_until(ThermalStep.kind, 60, 1.0, stage=Stage.ISOLATED)
    bench.plant.clear("pack_heats", HOT)
    truth = bench.plant.rack.packs[HOT]
    bench.plant.rack.settle(truth, bench.plant.now_us)
    truth.temp_c = 25.0
    await bench.run(60)
    assert bench.pack(HOT).state == "quarantined"  # cold again, and still not free
    await bench.settled(bench.ask("confirm"))
    await bench.settled(bench.ask("confirm"))
    assert (await bench.settled(bench.ask("release_pack", pack_id=HOT)))[0] == "done"
    for bay in ("A1", "A2", "A3"):
        await bench.settled(bench.ask("release_bay", bay_id=bay))
    await bench.run(20)
    assert bench.pack(HOT).state in ("ready", "charging", "waiting")
    bench.plant.inject("pack_heats", HOT, c_per_s=2.0)
    await bench.run_until(ThermalStep.kind, 60, 1.0, stage=Stage.DETECTED)
