"""Judgement of readings and the latched thermal detection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from battery_bms.config import PackKindSection
from battery_bms.limits import (
    PackLimits,
    ThermalCause,
    ThermalRule,
    ThermalWatch,
    alarm_names,
    judge,
    watch_thermal,
)
from battery_bms.port import ChargerState, PackReading
from tests.support.battery_bms.rack import START_AT

RULE = ThermalRule()
CODE = "0SXPB280000YQ1G510000001"
GOOD = PackReading(
    bay_id="A1",
    at=START_AT,
    present=True,
    pack_id=CODE,
    soc_pct=50.0,
    energy_kwh=141.0,
    soh_pct=100.0,
    voltage_v=632.0,
    current_a=0.0,
    temp_max_c=25.0,
    temp_min_c=23.0,
    cell_max_v=3.31,
    cell_min_v=3.30,
    insulation_ohm_per_v=2000.0,
    max_charge_kw=282.0,
    alarm_level=0,
    alarm_bits=0,
    charger_state=ChargerState.IDLE,
    charger_fault=0,
    charge_kw=0.0,
    setpoint_kw=0.0,
    meter_kwh=0.0,
)


def test_a_good_pack_has_no_finding() -> None:
    judgement = judge(GOOD, PackLimits())
    assert (judgement.level, judgement.findings, judgement.unknown) == (0, (), ())


@pytest.mark.parametrize(
    ("changes", "quantity", "levels"),
    [
        ("cell_max_v", "cell_high_v", {3.59: 0, 3.60: 1, 3.649: 1, 3.65: 2, 3.70: 3, 4.2: 3}),
        ("cell_min_v", "cell_low_v", {2.91: 0, 2.90: 1, 2.80: 2, 2.5: 3, 0.0: 3}),
        ("temp_max_c", "temp_high_c", {44.9: 0, 45.0: 1, 50.0: 2, 55.0: 3, 200.0: 3}),
        ("insulation_ohm_per_v", "insulation_ohm_per_v", {501.0: 0, 500.0: 1, 300.0: 2, 100.0: 3, 0.0: 3}),
    ],
)
def test_each_step_of_the_table(changes: str, quantity: str, levels: dict[float, int]) -> None:
    for value, level in levels.items():
        changed: dict[str, Any] = {changes: value}
        found = {f.quantity: f for f in judge(replace(GOOD, **changed), PackLimits()).findings}
        assert (found[quantity].level if quantity in found else 0) == level, value
        if level:
            assert found[quantity].value == value
            assert found[quantity].limit == getattr(PackLimits(), quantity)[level - 1]
            assert found[quantity].unit


@pytest.mark.parametrize(("spread_v", "level"), [(0.099, 0), (0.1, 1), (0.2, 2), (0.4, 3)])
def test_cell_spread(spread_v: float, level: int) -> None:
    judgement = judge(replace(GOOD, cell_max_v=3.4, cell_min_v=3.4 - spread_v), PackLimits())
    assert judgement.level == level


@pytest.mark.parametrize(("spread_k", "level"), [(7.9, 0), (8.0, 1), (12.0, 2), (18.0, 3)])
def test_temperature_spread(spread_k: float, level: int) -> None:
    assert judge(replace(GOOD, temp_max_c=30.0, temp_min_c=30.0 - spread_k), PackLimits()).level == level


@pytest.mark.parametrize(("temp_c", "level"), [(5.1, 0), (5.0, 1), (0.0, 2), (-10.0, 3)])
def test_cold_counts_only_while_charging(temp_c: float, level: int) -> None:
    cold = replace(GOOD, temp_max_c=temp_c + 1, temp_min_c=temp_c)
    assert judge(cold, PackLimits()).level == 0
    assert judge(replace(cold, charge_kw=20.0), PackLimits()).level == level
    assert judge(replace(cold, current_a=3.0), PackLimits()).level == level


def test_a_pack_kind_may_carry_its_own_limits() -> None:
    kind = PackKindSection.model_validate(
        {"id": "nmc", "rated_kwh": 100, "max_charge_kw": 100, "limits": {"cell_high_v": [4.1, 4.2, 4.25]}}
    )
    assert judge(replace(GOOD, cell_max_v=4.0, cell_min_v=3.95), kind.limits).level == 0
    assert kind.limits.cell_low_v == PackLimits().cell_low_v


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"cell_high_v": [3.7, 3.65, 3.6]}, "rising order"),
        ({"cell_low_v": [2.5, 2.8, 2.9]}, "falling order"),
        ({"cell_hihg_v": [1, 2, 3]}, "Extra inputs"),
        ({"temp_high_c": [45, 50]}, "Field required"),
    ],
)
def test_wrong_limits_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PackLimits.model_validate(limits)


def test_unknown_is_named_and_an_empty_bay_is_in_order() -> None:
    silent = replace(GOOD, temp_max_c=None, cell_min_v=None)
    assert judge(silent, PackLimits()).unknown == ("cell_low_v", "cell_spread_v", "temp_high_c", "temp_spread_c")
    assert judge(replace(silent, present=False), PackLimits()).unknown == ()
    assert judge(replace(GOOD, present=None, temp_max_c=60.0), PackLimits()).level == 3


def test_alarms_of_the_bms() -> None:
    insulation = judge(replace(GOOD, alarm_level=3, alarm_bits=1 << 11), PackLimits())
    assert insulation.level == 3
    assert {f.quantity for f in insulation.findings} == {"bms_alarm_level", "bms_insulation"}
    assert judge(replace(GOOD, alarm_level=0, alarm_bits=1 << 10), PackLimits()).level == 1
    assert judge(replace(GOOD, alarm_level=0, alarm_bits=1 << 23), PackLimits()).level == 3
    assert judge(replace(GOOD, alarm_level=254), PackLimits()).level == 3
    assert alarm_names(1 << 23 | 1 | 1 << 31) == ("temperature_difference", "thermal_event", "bit_31")


@given(st.floats(2, 4), st.floats(2, 4), st.floats(-40, 100), st.integers(0, 3), st.integers(0, 2**28 - 1))
def test_level_is_the_highest_finding(
    cell_v: float, other_v: float, temp_c: float, alarm_level: int, bits: int
) -> None:
    reading = replace(
        GOOD, cell_max_v=cell_v, cell_min_v=other_v, temp_max_c=temp_c, alarm_level=alarm_level, alarm_bits=bits
    )
    judgement = judge(reading, PackLimits())
    assert judgement.level == max([f.level for f in judgement.findings], default=0)
    assert 0 <= judgement.level <= 3
    assert [f.level for f in judgement.findings] == sorted((f.level for f in judgement.findings), reverse=True)


# -- thermal detection


def run(watch: ThermalWatch, temps_c: Iterable[float], step_s: float = 1.0) -> ThermalWatch:
    """Readings of the given temperatures, one each `step_s`, after those the watch has."""
    at = watch.readings[-1].at if watch.readings else START_AT
    for temp_c in temps_c:
        at += timedelta(seconds=step_s)
        watch = watch_thermal(watch, replace(GOOD, at=at, temp_max_c=temp_c), RULE)
    return watch


def test_thermal_event_of_the_bms_latches_at_once() -> None:
    watch = watch_thermal(ThermalWatch(), replace(GOOD, alarm_bits=1 << 23), RULE)
    assert watch.latched
    assert watch.latched_at == START_AT
    assert watch.causes == (ThermalCause.BMS_THERMAL_EVENT,)


@pytest.mark.parametrize(
    ("temps_c", "step_s", "latched"),
    [
        ([25.0, 26.2, 27.4, 28.6], 1.0, True),
        ([25.0, 26.2, 27.4], 1.0, False),  # not yet for 3 s
        ([25.0 + 0.1 * i for i in range(100)], 1.0, False),  # 6 °C a minute: warm, no runaway
        ([25.0, 25.0, 25.0, 85.0, 85.0, 85.0, 85.0], 1.0, False),  # one jump: the sensor
        ([25.0, 85.0, 25.0, 85.0, 25.0], 1.0, False),  # a loose contact
        ([25.0, 40.0, 56.0, 73.0], 10.0, True),  # seldom polled
        ([25.0, 40.0], 10.0, False),
        ([20.0 + int(0.15 * i) for i in range(60)], 0.1, True),  # whole degrees at 10 Hz, 1.5 °C/s
        ([60.0 - i for i in range(20)], 1.0, False),  # cooling
        ([25.0] * 40 + [26.5, 28.0, 29.5, 31.0], 1.0, True),
    ],
)
def test_rise_rate(temps_c: list[float], step_s: float, latched: bool) -> None:
    watch = run(ThermalWatch(), temps_c, step_s)
    assert watch.latched is latched
    if latched:
        assert ThermalCause.RISE_RATE in watch.causes


def test_two_kinds_of_evidence_are_needed() -> None:
    hot = replace(GOOD, temp_max_c=56.0)
    assert not watch_thermal(ThermalWatch(), hot, RULE).latched
    assert not watch_thermal(ThermalWatch(), GOOD, RULE, smoke=True).latched
    assert not watch_thermal(ThermalWatch(), hot, RULE, smoke=None, gas=False).latched
    for gas, smoke, second in ((True, None, ThermalCause.GAS), (None, True, ThermalCause.SMOKE)):
        assert watch_thermal(ThermalWatch(), hot, RULE, gas=gas, smoke=smoke).causes == (
            ThermalCause.TEMPERATURE,
            second,
        )
    assert watch_thermal(ThermalWatch(), GOOD, RULE, gas=True, smoke=True).latched


def test_voltage_drop_with_heat() -> None:
    watch = watch_thermal(ThermalWatch(), GOOD, RULE)
    dropped = replace(GOOD, at=START_AT + timedelta(seconds=5), cell_min_v=2.4)
    assert not watch_thermal(watch, dropped, RULE).latched
    assert watch_thermal(watch, replace(dropped, temp_max_c=55.0), RULE).causes == (
        ThermalCause.TEMPERATURE,
        ThermalCause.VOLTAGE_DROP,
    )
    late = replace(dropped, at=START_AT + timedelta(seconds=31), temp_max_c=55.0)
    assert not watch_thermal(watch, late, RULE).latched


def test_smoke_between_two_readings_counts() -> None:
    hot = replace(GOOD, temp_max_c=56.0)
    watch = watch_thermal(ThermalWatch(), hot, RULE)
    watch = watch_thermal(watch, hot, RULE, smoke=True)
    assert watch.latched
    assert len(watch.readings) == 1


def test_latched_stays_latched() -> None:
    watch = run(run(ThermalWatch(), [25.0] * 60), [27.0, 29.0, 31.0, 33.0])
    assert watch.latched
    assert (watch.readings[-1].at - watch.readings[0].at).total_seconds() == RULE.window_s
    assert run(watch, [20.0] * 100) == watch
    assert watch_thermal(watch, replace(GOOD, present=False, pack_id=None), RULE) == watch


def test_history_belongs_to_one_pack() -> None:
    cool = run(ThermalWatch(), [20.0, 20.0])
    other = replace(GOOD, at=START_AT + timedelta(seconds=3), pack_id="0SXPB280000YQ1G510000002")
    assert len(watch_thermal(cool, other, RULE).readings) == 1
    silent = replace(GOOD, at=START_AT + timedelta(seconds=3), pack_id=None, temp_max_c=None)
    assert len(watch_thermal(cool, silent, RULE).readings) == 3
    gone = replace(GOOD, at=START_AT + timedelta(seconds=3), present=False, pack_id=None)
    assert len(watch_thermal(cool, gone, RULE).readings) == 1


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(-40, 54.9)), max_size=40))
def test_slow_or_falling_temperatures_never_latch(samples: list[tuple[float, float]]) -> None:
    """However the sensor moves, less than 3 °C in all is no rise of 1 °C/s for 3 s."""
    watch, at = ThermalWatch(), START_AT
    for step_s, temp_c in samples:
        at += timedelta(seconds=step_s)
        watch = watch_thermal(watch, replace(GOOD, at=at, temp_max_c=20.0 + temp_c % 2.9), RULE)
    assert not watch.latched
