"""Judgement of a pack's reading against limits, and the latched detection of a thermal event.

Both are pure: a reading in, a judgement out. Nothing here decides a reaction; the station's rules do.

Levels are those of GB/T 32960: 0 none, 1 warn, 2 limit, 3 stop at once. The default limits are a fallback
for LFP packs, not normative: pack makers give their own tables, which a pack kind may carry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, model_validator

from battery_bms.port import PackReading
from scheduler.sections import Section

Steps = Annotated[tuple[float, float, float], Field(description="warn (1), limit (2), stop (3)")]


class AlarmBit(IntEnum):
    """Bits of `PackReading.alarm_bits`: general alarm flags of GB/T 32960.3, 2016 and 2025."""

    TEMPERATURE_DIFFERENCE = 0
    TEMPERATURE_HIGH = 1
    PACK_OVER_VOLTAGE = 2
    PACK_UNDER_VOLTAGE = 3
    SOC_LOW = 4
    CELL_OVER_VOLTAGE = 5
    CELL_UNDER_VOLTAGE = 6
    SOC_HIGH = 7
    SOC_JUMP = 8
    PACK_MISMATCH = 9
    POOR_CONSISTENCY = 10
    INSULATION = 11
    DCDC_TEMPERATURE = 12
    BRAKE_SYSTEM = 13
    DCDC_STATE = 14
    MOTOR_CONTROLLER_TEMPERATURE = 15
    HIGH_VOLTAGE_INTERLOCK = 16
    MOTOR_TEMPERATURE = 17
    OVERCHARGE = 18
    MOTOR_OVER_SPEED = 19
    MOTOR_OVER_CURRENT = 20
    SUPERCAPACITOR_TEMPERATURE = 21
    SUPERCAPACITOR_PRESSURE = 22
    THERMAL_EVENT = 23
    HYDROGEN_LEAK = 24
    HYDROGEN_PRESSURE = 25
    HYDROGEN_TEMPERATURE = 26
    STACK_TEMPERATURE = 27


_NAMES = {int(bit): bit.name.lower() for bit in AlarmBit}


def alarm_names(alarm_bits: int) -> tuple[str, ...]:
    """Names of the bits set, lowest first; "bit_28" and so on for those the standard leaves open."""
    return tuple(_NAMES.get(bit, f"bit_{bit}") for bit in range(32) if alarm_bits >> bit & 1) if alarm_bits else ()


class PackLimits(Section):
    """Warn, limit and stop value of each quantity. A value that reaches its limit has that level.

    Defaults: common LFP practice; each is configurable for a pack kind.
    """

    cell_high_v: Steps = (3.60, 3.65, 3.70)
    """3.65 V is the usual end of charge."""
    cell_low_v: Steps = (2.90, 2.80, 2.50)
    """Lowest cell."""
    cell_spread_v: Steps = (0.100, 0.200, 0.400)
    """Difference of highest and lowest cell."""
    temp_high_c: Steps = (45.0, 50.0, 55.0)
    """Highest temperature."""
    temp_low_charging_c: Steps = (5.0, 0.0, -10.0)
    """Judged only while current flows in: a cold pack at rest is in order, charging LFP below 0 °C is not."""
    temp_spread_c: Steps = (8.0, 12.0, 18.0)
    """Difference of highest and lowest temperature."""
    insulation_ohm_per_v: Steps = (500.0, 300.0, 100.0)
    """Insulation resistance; lower is worse."""

    @model_validator(mode="after")
    def _steps_in_order(self) -> Self:
        for name in type(self).model_fields:
            steps: tuple[float, float, float] = getattr(self, name)
            signed = [-step for step in steps] if name in _FALLING else list(steps)
            if sorted(signed) != signed:
                order = "falling" if name in _FALLING else "rising"
                raise ValueError(f"{name} is {list(steps)}; warn, limit and stop must be in {order} order")
        return self


_FALLING = frozenset({"cell_low_v", "temp_low_charging_c", "insulation_ohm_per_v"})
_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "cell_high_v": "V",
        "cell_low_v": "V",
        "cell_spread_v": "V",
        "temp_high_c": "°C",
        "temp_low_charging_c": "°C",
        "temp_spread_c": "K",
        "insulation_ohm_per_v": "Ω/V",
    }
)


@dataclass(frozen=True, slots=True)
class LimitFinding:
    """One quantity that has reached a limit, or an alarm that the BMS itself gives."""

    quantity: str
    """Field of `PackLimits`, or "bms_alarm_level", or "bms_" and the name of an alarm bit."""
    level: int
    value: float
    limit: float
    """The limit reached."""
    unit: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a reading says about a pack."""

    level: int
    """The highest level of the findings; 0 when there is none."""
    findings: tuple[LimitFinding, ...] = ()
    unknown: tuple[str, ...] = ()
    """Quantities that could not be judged: unknown is not in order."""


def judge(reading: PackReading, limits: PackLimits) -> Judgement:
    """Compare a reading with limits and add what the BMS itself reports. A bay without a pack is in order."""
    if reading.present is False:
        return Judgement(0)
    values = {
        "cell_high_v": reading.cell_max_v,
        "cell_low_v": reading.cell_min_v,
        "cell_spread_v": _spread(reading.cell_max_v, reading.cell_min_v),
        "temp_high_c": reading.temp_max_c,
        "temp_spread_c": _spread(reading.temp_max_c, reading.temp_min_c),
        "insulation_ohm_per_v": reading.insulation_ohm_per_v,
    }
    if _charging(reading):
        values["temp_low_charging_c"] = reading.temp_min_c
    findings = []
    for name, value in values.items():
        if value is not None and (finding := _finding(name, value, getattr(limits, name))) is not None:
            findings.append(finding)
    findings.extend(_bms_findings(reading))
    return Judgement(
        level=max((finding.level for finding in findings), default=0),
        findings=tuple(sorted(findings, key=lambda finding: -finding.level)),
        unknown=tuple(name for name, value in values.items() if value is None),
    )


def _spread(high: float | None, low: float | None) -> float | None:
    # Rounded to the registers' resolution: 3.4 - 3.3 must reach a limit of 0.1.
    return None if high is None or low is None else round(high - low, 6)


def _charging(reading: PackReading) -> bool:
    return (reading.charge_kw or 0.0) > 0.0 or (reading.current_a or 0.0) > 0.0


def _finding(name: str, value: float, steps: tuple[float, float, float]) -> LimitFinding | None:
    sign = -1.0 if name in _FALLING else 1.0
    for level in (3, 2, 1):
        limit = steps[level - 1]
        if not sign * value < sign * limit:
            return LimitFinding(name, level, value, limit, _UNITS[name])
    return None


def _bms_findings(reading: PackReading) -> list[LimitFinding]:
    findings = []
    if reading.alarm_level > 0:
        level = min(reading.alarm_level, 3)
        findings.append(LimitFinding("bms_alarm_level", level, reading.alarm_level, level, ""))
    for name in alarm_names(reading.alarm_bits):
        # The standard gives one level for all bits; the thermal event is by its meaning always the highest.
        level = 3 if name == "thermal_event" else max(1, min(reading.alarm_level, 3))
        findings.append(LimitFinding(f"bms_{name}", level, 1, 1, ""))
    return findings


_OF_TEMPERATURE = frozenset({"temp_high_c", "temp_low_charging_c", "bms_temperature_high"})


def may_be_of_temperature(quantities: Sequence[str] | None) -> bool:
    """Whether an alarm with these findings may be one of a temperature limit.

    Args:
        quantities: of its findings; None where they were not kept.
    """
    # A level without a bit that says of what may be of anything.
    return quantities is None or set(quantities) == {"bms_alarm_level"} or not _OF_TEMPERATURE.isdisjoint(quantities)


class ThermalCause(StrEnum):
    """What a latched detection rests on."""

    BMS_THERMAL_EVENT = "bms_thermal_event"
    RISE_RATE = "rise_rate"
    TEMPERATURE = "temperature"
    VOLTAGE_DROP = "voltage_drop"
    GAS = "gas"
    SMOKE = "smoke"


@dataclass(frozen=True, slots=True)
class ThermalRule:
    """When a pack counts as hot. Rise and drop are the runaway criteria used with GB 38031 (uncertain)."""

    rise_c_per_s: float = 1.0
    rise_lasts_s: float = 3.0
    temp_c: float = 55.0
    """Evidence "temperature": the stop limit."""
    voltage_drop_share: float = 0.25
    """Evidence "voltage drop": the lowest cell lost this share of its highest voltage within `window_s`."""
    window_s: float = 30.0
    """Readings kept, as evidence and as the record of the time before a detection."""


@dataclass(frozen=True, slots=True)
class ThermalWatch:
    """Detection for one bay: keeps the last readings, latches, stays latched until a person releases it."""

    readings: tuple[PackReading, ...] = ()
    """Before the detection: the last `window_s`. Once latched: those that led to it, unchanged."""
    latched_at: datetime | None = None
    """Time of the reading that completed the evidence."""
    causes: tuple[ThermalCause, ...] = ()

    @property
    def latched(self) -> bool:
        """Whether a thermal event has been detected and not released."""
        return self.latched_at is not None


def watch_thermal(
    watch: ThermalWatch,
    reading: PackReading,
    rule: ThermalRule,
    *,
    gas: bool | None = None,
    smoke: bool | None = None,
) -> ThermalWatch:
    """The watch after one more reading. `gas` and `smoke` are the bay's or zone's sensors, None when unknown.

    Detected by the BMS's thermal event (bit 23), by the rise rate, or by two of temperature, voltage drop,
    gas and smoke. A latched watch never changes here. A reading that is not newer than the last adds nothing
    to the history, its present evidence still counts (smoke may come between two readings).
    """
    if watch.latched:
        return watch
    readings = _with_reading(watch.readings, reading, rule.window_s)
    causes = _causes(readings, reading, rule, gas=gas is True, smoke=smoke is True)
    alone = {ThermalCause.BMS_THERMAL_EVENT, ThermalCause.RISE_RATE}
    if alone & set(causes) or len(causes) >= 2:
        return ThermalWatch(readings, reading.at, causes)
    return ThermalWatch(readings)


def _with_reading(readings: tuple[PackReading, ...], reading: PackReading, window_s: float) -> tuple[PackReading, ...]:
    if readings and reading.at <= readings[-1].at:
        return readings
    # Another pack's history says nothing about this one; a pack whose BMS fell silent keeps its own.
    known = next((old.pack_id for old in reversed(readings) if old.pack_id is not None), None)
    if reading.present is False or (known is not None and reading.pack_id not in (None, known)):
        readings = ()
    kept = tuple(old for old in readings if (reading.at - old.at).total_seconds() <= window_s)
    return (*kept, reading)


def _causes(
    readings: tuple[PackReading, ...], reading: PackReading, rule: ThermalRule, *, gas: bool, smoke: bool
) -> tuple[ThermalCause, ...]:
    temps = [(old.at, old.temp_max_c) for old in readings if old.temp_max_c is not None]
    cells = [old.cell_min_v for old in readings if old.cell_min_v is not None]
    found = {
        ThermalCause.BMS_THERMAL_EVENT: bool(reading.alarm_bits >> AlarmBit.THERMAL_EVENT & 1),
        ThermalCause.RISE_RATE: _rises(temps, rule),
        ThermalCause.TEMPERATURE: reading.temp_max_c is not None and reading.temp_max_c >= rule.temp_c,
        ThermalCause.VOLTAGE_DROP: bool(cells) and cells[-1] <= max(cells) * (1.0 - rule.voltage_drop_share),
        ThermalCause.GAS: gas,
        ThermalCause.SMOKE: smoke,
    }
    return tuple(cause for cause, so in found.items() if so)


def _rises(temps: list[tuple[datetime, float]], rule: ThermalRule) -> bool:
    """Whether the temperature has risen at the rule's rate for the rule's time, up to the last reading.

    The steepest step between two readings is left out on both sides of the comparison: a sensor that jumps
    once is no runaway, and must not send a good pack into the tank.
    """
    if not temps:
        return False
    last_at, last_c = temps[-1]
    steepest_c, steepest_s = 0.0, 0.0
    later_at, later_c = last_at, last_c
    for at, temp_c in reversed(temps[:-1]):
        step_c, step_s = later_c - temp_c, (later_at - at).total_seconds()
        if step_c > steepest_c:
            steepest_c, steepest_s = step_c, step_s
        later_at, later_c = at, temp_c
        span_s = (last_at - at).total_seconds()
        left_s = span_s - steepest_s
        if span_s >= rule.rise_lasts_s and left_s > 0.0:
            rise_c = last_c - temp_c
            if rise_c >= rule.rise_c_per_s * span_s and rise_c - steepest_c >= rule.rise_c_per_s * left_s:
                return True
    return False
