"""Conservation of packs, snapshots, time, energy."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_bms.config import CHARGER_EFFICIENCY
from robotics.faults import FaultSource, fault_by_name, load_faults
from robotics.port import AckCode, CommandCode, Location, RobotCommand
from sim.plant.faults import catalogue, find_fault, parse_fault
from sim.plant.plant import Plant
from sim.plant.rack import PlantError
from swap.config.loading import parse_station
from swap.places import OFF_SITE, TANK, bay_place
from tests.support.sim.plant import START_AT, Hand, code, plant, station, station_data

CODES = st.sampled_from(list(CommandCode))
PLACES = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 101, 102, 201, 301])
FAULTS = st.sampled_from(
    [
        "estop",
        "curtain",
        "door",
        "power_cut",
        "axis_alarm",
        "gripper_jam",
        "pick_misses",
        "truck_rolls",
        "key_on",
        "fire",
    ]
)
DEEDS = st.one_of(
    st.tuples(st.just("command"), st.sampled_from(["L1", "L2"]), CODES, PLACES, PLACES, st.sampled_from([101, 102])),
    st.tuples(st.just("advance"), st.floats(0, 120)),
    st.tuples(st.just("fault"), st.sampled_from(["L1", "L2"]), FAULTS),
    st.tuples(st.just("clear"), st.sampled_from(["L1", "L2"]), FAULTS),
    st.tuples(st.just("person"), st.sampled_from(["L1", "L2"])),
    st.tuples(st.just("arrive"), st.sampled_from(["V1", "V2"])),
    st.tuples(st.just("charge"), st.sampled_from(["A1", "A2", "A4"]), st.floats(0, 240)),
)


def act(world: Plant, deed: tuple[Any, ...], seqs: Counter[str]) -> None:
    match deed:
        case ("command", lane, what, source, target, tag):
            seqs[lane] += 1
            command = RobotCommand(seqs[lane], what, Location.from_code(source), Location.from_code(target), tag)
            world.command(lane, command)
            world.command(lane, command)
        case ("advance", dt_s):
            world.advance(dt_s)
            for lane in seqs:
                world.done_ack(lane, world.cell(lane).done_seq)
        case ("fault", lane, fault):
            if fault not in ("truck_rolls", "key_on") or world.cell(lane).truck is not None:
                world.inject(fault, lane)
        case ("clear", lane, fault):
            if fault not in ("truck_rolls", "key_on") or world.cell(lane).truck is not None:
                world.clear(fault, lane)
        case ("person", lane):
            world.inject("person_confirms", lane)
        case ("arrive", vehicle):
            if vehicle in world.trucks_away():
                world.arrive(vehicle, [20.0])
        case ("charge", bay, power_kw):
            world.set_charge_kw(bay, power_kw)


@settings(max_examples=60)
@given(st.lists(DEEDS, max_size=40))
def test_packs_are_conserved_whatever_is_done(deeds: list[tuple[Any, ...]]) -> None:
    world = plant(lanes=2)
    everything = set(world.rack.packs)
    seqs: Counter[str] = Counter({"L1": 0, "L2": 0})
    for deed in deeds:
        act(world, deed, seqs)
        places = Counter(p.place for p in world.rack.packs.values() if p.place != OFF_SITE)
        assert set(world.rack.packs) == everything
        assert max(places.values()) == 1
        assert {p.place: p.code for p in world.rack.packs.values() if p.place != OFF_SITE} == world.rack.holders
        for truck in world.yard.trucks.values():
            if truck.place == "away":
                assert all(head == "closed" for head in truck.heads), "it left with an open lock"


@settings(max_examples=40)
@given(st.lists(DEEDS, max_size=25), st.lists(DEEDS, max_size=15))
def test_a_restored_plant_goes_on_exactly(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> None:
    world = plant(lanes=2)
    seqs: Counter[str] = Counter({"L1": 0, "L2": 0})
    for deed in before:
        act(world, deed, seqs)
    again = Plant.restore(world.config, json.loads(json.dumps(world.snapshot())))
    assert again.snapshot() == world.snapshot()
    other = Counter(seqs)
    for deed in after:
        act(world, deed, seqs)
        act(again, deed, other)
    assert again.snapshot() == world.snapshot()
    assert again.truth() == world.truth()


@settings(max_examples=25)
@given(st.lists(st.integers(1, 400_000), min_size=1, max_size=30), st.integers(0, 3))
def test_the_length_of_steps_and_the_number_of_reads_change_nothing(steps_ms: list[int], reads: int) -> None:
    one, many = plant(), plant()
    for world in (one, many):
        world.arrive("V1", [25])
        world.set_charge_kw("A1", 240)
        world.set_charge_kw("A2", 60)
        world.inject("pack_heats", code(3), c_per_s=0.05)
        world.command("L1", RobotCommand(1, CommandCode.ADMIT, vehicle_tag=101))
    for step in steps_ms:
        many.advance(step / 1000)
        for _ in range(reads):
            many.truth()
            many.snapshot()
            many.meter_reading()
            many.pack_reading("A1")
            many.cell_status("L1")
    one.advance(sum(steps_ms) / 1000)
    assert one.snapshot() == many.snapshot()


def test_charged_energy_balances_with_the_meters() -> None:
    world = plant()
    hand = Hand(world)
    before = {c: world.rack.now(p, world.now_us).energy_kwh for c, p in world.rack.packs.items()}
    hand.admit("V1", 30)
    before[code(11)] = 282 * 0.3
    world.set_charge_kw("A1", 240)
    world.advance(300)
    world.set_charge_kw("A1", 0)
    hand.swap(old_bay=4, new_bay=1)
    world.set_charge_kw("A4", 200)
    world.set_charge_kw("A2", 55.5)
    world.advance(3600)
    gained = sum(world.rack.now(p, world.now_us).energy_kwh - before[c] for c, p in world.rack.packs.items())
    drawn = sum(world.rack.meter_kwh(b, world.now_us) for b in world.rack.bays)
    assert gained > 150
    assert drawn == pytest.approx(gained / 0.96)
    hours = world.now_us / 1e6 / 3600
    assert world.meter_reading().import_kwh == pytest.approx(20 * hours + drawn / CHARGER_EFFICIENCY)
    assert world.meter_reading().import_kw == pytest.approx(
        20 + world.rack.total_charge_kw(world.now_us) / CHARGER_EFFICIENCY
    )


def test_a_pack_does_not_charge_hot_silent_or_faulty() -> None:
    world = plant()
    world.set_charge_kw("A1", 100)
    assert world.pack_reading("A1").charge_kw == pytest.approx(100)
    for fault, target in (("bms_silent", "A1"), ("charger_fault", "A1"), ("pack_alarm", code(1))):
        world.inject(fault, target)
        assert world.pack_reading("A1").charge_kw == 0
        world.clear(fault, target)
        assert world.pack_reading("A1").charge_kw == pytest.approx(100)
    world.inject("pack_heats", code(1), c_per_s=0.5)
    world.advance(61)
    reading = world.pack_reading("A1")
    assert reading.charge_kw == 0
    assert reading.temp_max_c is not None
    assert reading.temp_max_c > 50
    assert reading.alarm_level == 2


def test_a_thermal_event_needs_three_seconds_at_one_degree_per_second() -> None:
    world = plant()
    world.inject("pack_heats", code(1), c_per_s=1)
    world.advance(2)
    assert world.pack_reading("A1").alarm_level == 0
    world.advance(1)
    reading = world.pack_reading("A1")
    assert (reading.alarm_level, reading.alarm_bits >> 23 & 1) == (3, 1)


def test_a_charger_that_ignores_its_set_point_still_falls_to_zero_when_it_expires() -> None:
    world = plant()
    world.set_charge_kw("A1", 100)
    world.inject("charger_ignores_setpoint", "A1")
    world.set_charge_kw("A1", 0)
    assert world.pack_reading("A1").charge_kw == pytest.approx(100)
    world.expire_setpoint("A1")
    assert world.pack_reading("A1").charge_kw == 0


def test_sensors_of_a_bay_lie_without_changing_the_truth() -> None:
    world = plant()
    world.inject("bay_sensor_lies", "A4", occupied=True)
    world.inject("wrong_code", "A1", code=code(99))
    assert world.bays_occupied()[3] is True
    assert world.pack_reading("A4").present is False
    assert world.pack_reading("A1").pack_id == code(99)
    world.clear("bay_sensor_lies", "A4")
    assert world.bays_occupied()[3] is False


def test_an_empty_or_silent_bay_reads_unknown_not_zero() -> None:
    world = plant()
    world.inject("bms_silent", "A1")
    for bay in ("A1", "A4"):
        reading = world.pack_reading(bay)
        assert (reading.pack_id, reading.soc_pct, reading.max_charge_kw) == (None, None, None)
    assert world.pack_reading("A1").present is True


def test_trucks_come_and_go_by_the_rules() -> None:
    world = plant()
    assert world.trucks_away() == ["V1", "V2", "V3", "V4"]
    world.arrive("V2", [12], temp_c=5.0)
    assert world.rack.now(world.rack.pack(code(12)), world.now_us).soc_pct == pytest.approx(12)
    with pytest.raises(PlantError, match="yard already"):
        world.arrive("V2")
    world.leave_yard("V2")
    assert "V2" in world.trucks_away()
    with pytest.raises(PlantError, match="no truck"):
        world.arrive("V9")


def test_next_change_is_the_end_of_the_phase() -> None:
    world = plant()
    assert world.next_change_s() is None
    world.command("L1", RobotCommand(1, CommandCode.HOME))
    wait_s = world.next_change_s()
    assert wait_s is not None
    world.advance(wait_s)
    assert world.cell("L1").active is None


def test_the_seed_decides_the_durations() -> None:
    durations = []
    for seed in (1, 1, 2):
        world = Plant(station(), seed=seed, start_at=START_AT)
        world.command("L1", RobotCommand(1, CommandCode.PICK, Location.from_code(1)))
        durations.append(world.next_change_s())
    assert durations[0] == durations[1] != durations[2]


def test_a_snapshot_of_another_station_or_with_a_bay_too_many_is_refused() -> None:
    world = plant()
    data = world.snapshot()
    with pytest.raises(PlantError, match="version"):
        Plant.restore(world.config, data | {"version": 99})
    with pytest.raises(PlantError, match="of station"):
        Plant.restore(world.config, data | {"station": "other"})
    fewer = world.config.model_copy(update={"bays": world.config.bays[1:]})
    with pytest.raises(PlantError, match="bay:A1"):
        Plant.restore(fewer, data)


def test_a_snapshot_with_the_places_as_the_first_release_spelled_them_is_taken_over() -> None:
    world = plant()
    data = json.loads(
        json.dumps(world.snapshot()).replace('"vehicle:', '"seat:').replace('"place": "tank"', '"place": "tank:1"')
    )
    assert any(str(pack["place"]).startswith("seat:") for pack in data["rack"]["packs"].values())
    data["rack"]["packs"][code(2)]["place"] = "tank:1"
    again = Plant.restore(world.config, data)
    assert again.rack.pack(code(2)).place == TANK
    assert again.rack.pack(code(1)).place == world.rack.pack(code(1)).place
    assert {p.code: p.place for p in again.rack.packs.values() if p.place.startswith("vehicle:")} == {
        p.code: p.place for p in world.rack.packs.values() if p.place.startswith("vehicle:")
    }


def test_a_new_pack_of_the_station_file_appears_and_a_taken_place_is_respected() -> None:
    world = plant()
    hand = Hand(world)
    hand.run(CommandCode.PICK, source=Location.from_code(1))
    hand.run(CommandCode.PUT, target=Location.from_code(4))
    data = world.snapshot()
    first = world.config.packs[0]
    extra = [first.model_copy(update={"id": code(50 + i), "bay": b}) for i, b in enumerate(("A4", "A1"))]
    packs = [p for p in world.config.packs if p.id != code(1)]
    elsewhere = first.model_copy(update={"bay": None})
    more = world.config.model_copy(update={"packs": (elsewhere, *world.config.packs[1:], *extra)})
    again = Plant.restore(more, data)
    assert again.rack.pack(code(50)).place == OFF_SITE, "the place is taken by now"
    assert again.rack.pack(code(51)).place == bay_place("A1")
    with pytest.raises(PlantError, match="no such pack"):
        Plant.restore(world.config.model_copy(update={"packs": tuple(packs)}), data)


def test_every_fault_is_documented_injected_and_cleared() -> None:
    data = station_data()
    data["site"]["storage"] = {"address": {"port": 15900}, "energy_kwh": 100, "power_kw": 50}
    world = Plant(parse_station(data), seed=7, start_at=START_AT)
    Hand(world).admit()
    targets = {"lane": "L1", "bay": "A1", "pack": code(1), "vehicle": "V1", "endpoint": "rack-1", "site": "site"}
    own = {"frozen_values": "meter", "storage_dead": "storage"}
    for name, spec in catalogue().items():
        if name in ("local_move", "cell_fault"):
            continue
        usage = spec.usage.replace(spec.text.target.upper(), own.get(name, targets[spec.text.target]), 1)
        fault, target, arguments = parse_fault(usage)
        world.inject(fault, target, **arguments)
        if spec.acts[1] is not None:
            world.clear(name, target)
    assert Plant.restore(world.config, json.loads(json.dumps(world.snapshot()))).truth() == world.truth()


def test_every_fault_of_the_cell_in_the_station_catalogue_can_be_brought_about() -> None:
    for fault in load_faults().values():
        if not (fault.code < 3000 or fault.source is FaultSource.FIRE):
            continue
        world = plant()
        Hand(world).admit()
        spec, _ = find_fault(fault.name, {})
        target = {"lane": "L1", "bay": "A1", "pack": code(1), "vehicle": "V1"}[spec.text.target]
        world.inject(fault.name, target)
        if spec.name == "cell_fault":
            assert world.cell_status("L1").fault_codes == (fault.code,)
            world.clear(fault.name, target)
            assert world.cell("L1").faults.forced == []


def test_names_of_the_station_catalogue_are_right() -> None:
    for spec in catalogue().values():
        for name in spec.text.same_as:
            assert fault_by_name(name).name == name


def test_wrong_faults_are_refused_with_what_is_allowed() -> None:
    world = plant()
    with pytest.raises(PlantError, match="no fault 'nothing'"):
        world.inject("nothing", "L1")
    with pytest.raises(PlantError, match="no lane 'L7'; known: L1"):
        world.inject("estop", "L7")
    with pytest.raises(PlantError, match="allowed: times"):
        world.inject("gripper_jam", "L1", often=2)
    with pytest.raises(PlantError, match="is no int"):
        world.inject("gripper_jam", "L1", times="often")
    with pytest.raises(PlantError, match="known: L1, rack-1, meter"):
        world.inject("half_open", "nowhere")
    with pytest.raises(PlantError, match="says not into what"):
        parse_fault("estop")


def test_a_fault_of_the_catalogue_can_be_raised_by_name() -> None:
    world = plant()
    world.command("L1", RobotCommand(1, CommandCode.HOME))
    world.inject("cell_fault", "L1", name="axis_z_servo_fault")
    assert world.cell_status("L1").fault_code == 1113
    assert world.command("L1", RobotCommand(2, CommandCode.HOME)) is not AckCode.ACCEPTED
