"""The fault catalogue: complete, bilingual, and known to every map."""

from __future__ import annotations

from collections import Counter

import pytest

from robotics.faults import FaultSource, fault_by_code, fault_by_name, load_faults
from robotics.modbus_link.registers import MAPS, load_map
from robotics.port import AckCode, ResultCode

NEEDED = [
    "estop_pressed",
    "light_curtain_broken",
    "safety_door_open",
    "power_lost",
    "axis_x_alarm",
    "axis_z_servo_fault",
    "hoist_lock_fault",
    "locating_pin_fault",
    "in_place_fault",
    "laser_fault",
    "guide_fault",
    "bay_sensor_fault",
    "swap_door_fault",
    "fan_fault",
    "cell_bus_fault",
    "lock_head_not_open",
    "lock_head_not_closed",
    "vehicle_moved",
    "vehicle_link_lost",
    "pack_identity_mismatch",
    "smoke_detected",
    "gas_detected",
    "reading_stale",
    "site_over_limit",
    "controller_restarted",
    "database_unavailable",
    "owner_conflict",
    "cell_link_lost",
    "cell_heartbeat_frozen",
    "tank_not_ready",
    "permissive_missing",
    "permissive_lost",
    "not_confirmed",
    "command_timeout",
    "command_not_acknowledged",
]


def test_every_source_has_faults_and_every_needed_one_is_there() -> None:
    faults = load_faults()
    counts = Counter(f.source for f in faults.values())
    assert set(counts) == set(FaultSource)
    assert len(faults) > 60
    for name in NEEDED:
        assert fault_by_name(name).name == name


def test_refusals_and_failures_of_a_cell_have_a_fault() -> None:
    for ack in AckCode:
        if ack not in (AckCode.NONE, AckCode.ACCEPTED):
            fault_by_name(f"command_{ack.name.lower()}")
    for result in (ResultCode.FAILED, ResultCode.ABORTED):
        fault_by_name(f"command_{result.name.lower()}")


def test_sentences_are_in_their_language() -> None:
    for fault in load_faults().values():
        for text in (fault.zh, fault.cause_zh, fault.action_zh):
            assert any("\u4e00" <= c <= "\u9fff" for c in text), fault.name
            assert text.endswith("。"), fault.name
        for text in (fault.en, fault.cause_en, fault.action_en):
            assert text.isascii(), fault.name
            assert text.endswith("."), fault.name


def test_a_trip_is_latched_and_never_retried() -> None:
    for fault in load_faults().values():
        if fault.safety_trip:
            assert fault.latched, fault.name
            assert not fault.retry_may_help, fault.name
            assert fault.level >= 2, fault.name


def test_codes_in_maps_are_in_the_catalogue() -> None:
    seen = set()
    for path in MAPS.glob("*.toml"):
        for entry in load_map(path.stem).entries.values():
            seen |= {*entry.faults.values(), *entry.codes.values()}
    assert seen
    assert seen <= set(load_faults())


def test_an_unknown_code_is_grave() -> None:
    assert fault_by_code(4242).name == "cell_fault_unknown"
    assert fault_by_code(4242).level == 3
    assert fault_by_code(1001).name == "estop_pressed"
    with pytest.raises(KeyError):
        fault_by_name("no_such_fault")


def test_a_cell_in_alarm_is_one_that_a_retry_does_not_mend() -> None:
    blocking = {fault.name for fault in load_faults().values() if fault.blocks}
    assert {"estop_pressed", "power_lost", "axis_x_alarm", "gripper_jam", "fire_released"} <= blocking
    assert not blocking & {"light_curtain_broken", "hoist_lock_fault", "lock_head_not_closed", "vehicle_not_arrived"}
