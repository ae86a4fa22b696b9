"""Pack physics: exact for every step length, never past full, inverse of its own times."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from battery_bms.config import PackKindSection
from battery_bms.pack import (
    PackSpec,
    advance,
    advance_energy,
    advance_temp_c,
    allowed_charge_kw,
    capacity_kwh,
    charge_kw,
    energy_at_soc_kwh,
    lfp_cell_v,
    pack_voltage_v,
    soc_pct,
    spec_from_section,
    time_to_soc_s,
    time_to_temp_s,
)

YANGQUAN = PackSpec(rated_kwh=282.0, max_charge_kw=282.0)

specs = st.builds(
    PackSpec,
    rated_kwh=st.floats(20, 1000),
    max_charge_kw=st.floats(10, 1500),
    taper_from_soc_pct=st.floats(0, 99.9) | st.just(100.0),
    taper_end_share=st.floats(0.01, 1.0) | st.just(1.0),
    charge_efficiency=st.floats(0.8, 1.0),
)
healths = st.floats(50, 100)
socs = st.floats(0, 100)
powers = st.floats(0, 2000)
times = st.floats(0, 40_000)


def close(value: float, wanted: float, scale: float = 1.0) -> bool:
    return math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9 * scale)


@given(specs, healths, socs, powers, times, times)
def test_two_steps_are_one(spec: PackSpec, soh: float, soc: float, power_kw: float, a_s: float, b_s: float) -> None:
    start = energy_at_soc_kwh(soc, spec, soh)
    first = advance(spec, soh, start, 20.0, power_kw, 5.0, a_s)
    second = advance(spec, soh, first.energy_kwh, first.temp_c, power_kw, 5.0, b_s)
    whole = advance(spec, soh, start, 20.0, power_kw, 5.0, a_s + b_s)
    assert close(second.energy_kwh, whole.energy_kwh, spec.rated_kwh)
    assert close(first.drawn_kwh + second.drawn_kwh, whole.drawn_kwh, spec.rated_kwh)
    assert math.isclose(second.temp_c, whole.temp_c, rel_tol=1e-6, abs_tol=1e-6)


@given(specs, healths, socs, powers, times)
def test_energy_stays_inside_the_pack_and_balances(
    spec: PackSpec, soh: float, soc: float, power_kw: float, dt_s: float
) -> None:
    start = min(energy_at_soc_kwh(soc, spec, soh), capacity_kwh(spec, soh))
    energy, drawn = advance_energy(spec, soh, start, power_kw, dt_s)
    assert start <= energy <= capacity_kwh(spec, soh)
    assert drawn <= power_kw * dt_s / 3600.0 * (1 + 1e-9) + 1e-9
    assert close(drawn * spec.charge_efficiency, energy - start, spec.rated_kwh)


@given(specs, healths, socs, st.floats(0.5, 2000), socs)
def test_time_to_soc_is_the_inverse_of_advance(
    spec: PackSpec, soh: float, soc: float, power_kw: float, target: float
) -> None:
    start = energy_at_soc_kwh(soc, spec, soh)
    needs_s = time_to_soc_s(spec, soh, start, power_kw, target)
    assert (needs_s == 0.0) == (start >= energy_at_soc_kwh(target, spec, soh))
    energy, _ = advance_energy(spec, soh, start, power_kw, needs_s)
    assert close(energy, max(start, energy_at_soc_kwh(target, spec, soh)), spec.rated_kwh)


@given(specs, healths, socs, powers, powers, times, times)
def test_more_time_or_power_never_gives_less(
    spec: PackSpec, soh: float, soc: float, p_kw: float, q_kw: float, a_s: float, b_s: float
) -> None:
    start = energy_at_soc_kwh(soc, spec, soh)
    low, _ = advance_energy(spec, soh, start, min(p_kw, q_kw), min(a_s, b_s))
    more_power, _ = advance_energy(spec, soh, start, max(p_kw, q_kw), min(a_s, b_s))
    more_time, _ = advance_energy(spec, soh, start, min(p_kw, q_kw), max(a_s, b_s))
    assert more_power >= low - 1e-9 * spec.rated_kwh
    assert more_time >= low - 1e-9 * spec.rated_kwh


@given(specs, socs, socs)
def test_allowed_power_falls_with_charge(spec: PackSpec, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= allowed_charge_kw(spec, high, 20.0) <= allowed_charge_kw(spec, low, 20.0)
    assert allowed_charge_kw(spec, low, 20.0) <= spec.max_charge_kw


def test_against_small_steps_of_the_definition() -> None:
    """The closed form is the limit of the plain definition in small steps (midpoint rule, 0.5 s)."""
    energy, temp_c, step_s = 150.0, 12.0, 0.5
    capacity = capacity_kwh(YANGQUAN, 96.0)
    for _ in range(3600):
        half = energy + charge_kw(YANGQUAN, 96.0, energy, 240.0) * 0.96 * step_s / 7200.0
        power = charge_kw(YANGQUAN, 96.0, half, 240.0)
        energy = min(energy + power * 0.96 * step_s / 3600.0, capacity)
        loss_kw = YANGQUAN.conductance_kw_per_k * (temp_c - 4.0)
        temp_c += (power * 0.04 - loss_kw) * step_s / YANGQUAN.heat_capacity_kj_per_k
    exact = advance(YANGQUAN, 96.0, 150.0, 12.0, 240.0, 4.0, 1800.0)
    assert exact.energy_kwh == pytest.approx(energy, abs=1e-4)
    assert exact.temp_c == pytest.approx(temp_c, abs=5e-3)


def test_hand_worked_charge() -> None:
    """282 kWh at 240 kW: constant to the crossing of taper and set-point, then exponential."""
    # The taper falls 282 × 0.7 kW over 56.4 kWh = 3.5 kW/kWh; 240 kW is crossed 42/3.5 = 12 kWh after 80 %.
    crossing_kwh = 225.6 + 12.0
    assert time_to_soc_s(YANGQUAN, 100.0, 0.0, 240.0, 100.0 * crossing_kwh / 282.0) == pytest.approx(
        crossing_kwh / (240.0 * 0.96) * 3600.0
    )
    # From there to 95 % (267.9 kWh): power 240 → 134.05 kW at the rate 3.5 × 0.96 per hour.
    tail_s = math.log(240.0 / (240.0 - 3.5 * (267.9 - crossing_kwh))) / (3.5 * 0.96) * 3600.0
    assert time_to_soc_s(YANGQUAN, 100.0, crossing_kwh, 240.0, 95.0) == pytest.approx(tail_s)


def test_never_and_already() -> None:
    assert time_to_soc_s(YANGQUAN, 100.0, 100.0, 0.0, 90.0) == math.inf
    assert time_to_soc_s(YANGQUAN, 100.0, 100.0, 100.0, 100.5) == math.inf
    assert time_to_soc_s(YANGQUAN, 100.0, 282.0, 0.0, 100.0) == 0.0
    assert advance_energy(YANGQUAN, 100.0, 282.0, 240.0, 60.0) == (282.0, 0.0)
    assert charge_kw(YANGQUAN, 100.0, 282.0, 240.0) == 0.0


@pytest.mark.parametrize("power_kw", [-1.0, math.nan, math.inf])
def test_power_that_no_charger_gives_is_refused(power_kw: float) -> None:
    with pytest.raises(ValueError, match="power_kw"):
        advance_energy(YANGQUAN, 100.0, 10.0, power_kw, 1.0)
    with pytest.raises(ValueError, match="power_kw"):
        time_to_soc_s(YANGQUAN, 100.0, 10.0, power_kw, 90.0)


@pytest.mark.parametrize("dt_s", [-1.0, math.nan, math.inf])
def test_time_must_run_forward(dt_s: float) -> None:
    with pytest.raises(ValueError, match="dt_s"):
        advance_energy(YANGQUAN, 100.0, 10.0, 10.0, dt_s)


@pytest.mark.parametrize(
    ("soc", "temp_c", "wanted_kw"),
    [
        (0.0, 20.0, 282.0),
        (80.0, 20.0, 282.0),
        (90.0, 20.0, 282.0 * 0.65),
        (99.999999, 20.0, 282.0 * 0.3),
        (100.0, 20.0, 0.0),
        (50.0, 0.0, 282.0),
        (50.0, -0.1, 0.0),
        (50.0, 50.0, 282.0),
        (50.0, 50.1, 0.0),
        (50.0, math.nan, 0.0),
        (math.nan, 20.0, 0.0),
    ],
)
def test_allowed_power(soc: float, temp_c: float, wanted_kw: float) -> None:
    assert allowed_charge_kw(YANGQUAN, soc, temp_c) == pytest.approx(wanted_kw, rel=1e-5)


@given(specs, st.floats(-40, 80), st.floats(0, 60), st.floats(-40, 50), times, times, st.floats(0, 0.05))
def test_temperature_steps_compose(
    spec: PackSpec, temp_c: float, heat_kw: float, ambient_c: float, a_s: float, b_s: float, decay: float
) -> None:
    first = advance_temp_c(spec, temp_c, heat_kw, ambient_c, a_s, heat_decay_per_s=decay)
    left_kw = heat_kw * math.exp(-decay * a_s)
    second = advance_temp_c(spec, first, left_kw, ambient_c, b_s, heat_decay_per_s=decay)
    whole = advance_temp_c(spec, temp_c, heat_kw, ambient_c, a_s + b_s, heat_decay_per_s=decay)
    assert math.isclose(second, whole, rel_tol=1e-6, abs_tol=1e-6)


def test_temperature_with_decay_at_the_very_rate_of_cooling() -> None:
    rate = YANGQUAN.conductance_kw_per_k / YANGQUAN.heat_capacity_kj_per_k
    at_rate = advance_temp_c(YANGQUAN, 10.0, 5.0, 10.0, 600.0, heat_decay_per_s=rate)
    beside = advance_temp_c(YANGQUAN, 10.0, 5.0, 10.0, 600.0, heat_decay_per_s=rate * (1 + 1e-7))
    assert at_rate == pytest.approx(beside, abs=1e-6)
    assert at_rate == pytest.approx(10.0 + 5.0 / 1974.0 * 600.0 * math.exp(-rate * 600.0))


def test_temperature_far_past_every_time_constant() -> None:
    assert advance_temp_c(YANGQUAN, 80.0, 4.23, 20.0, 1e9) == pytest.approx(30.0)
    assert advance_temp_c(YANGQUAN, 80.0, 4.23, 20.0, 1e9, heat_decay_per_s=0.001) == pytest.approx(20.0)


@given(specs, st.floats(-40, 80), st.floats(-40, 80), st.floats(0, 60), st.floats(-40, 50))
def test_time_to_temperature_is_the_inverse(
    spec: PackSpec, temp_c: float, target_c: float, heat_kw: float, ambient_c: float
) -> None:
    needs_s = time_to_temp_s(spec, temp_c, target_c, heat_kw, ambient_c)
    final_c = ambient_c + heat_kw / spec.conductance_kw_per_k
    if math.isinf(needs_s):
        assert not min(temp_c, final_c) + 1e-9 < target_c < max(temp_c, final_c) - 1e-9
        return
    assume(needs_s < 1e6)
    assert needs_s >= 0.0
    reached = advance_temp_c(spec, temp_c, heat_kw, ambient_c, needs_s)
    assert reached == pytest.approx(target_c, abs=1e-6 * (1 + abs(final_c)))


def test_efficient_pack_does_not_warm() -> None:
    lossless = replace(YANGQUAN, charge_efficiency=1.0)
    assert advance(lossless, 100.0, 0.0, 20.0, 240.0, 20.0, 3000.0).temp_c == pytest.approx(20.0)


def test_spec_of_a_station_file() -> None:
    spec = spec_from_section(PackKindSection(id="lfp-171", rated_kwh=171.0, max_charge_kw=180.0))
    assert (spec.rated_kwh, spec.max_charge_kw, spec.charge_efficiency) == (171.0, 180.0, 0.96)
    assert spec.heat_capacity_kj_per_k == pytest.approx(1197.0)
    assert spec.conductance_kw_per_k == pytest.approx(0.2565)


def test_soc_and_energy_agree_with_health() -> None:
    assert soc_pct(126.9, YANGQUAN, 90.0) == pytest.approx(50.0)
    assert energy_at_soc_kwh(50.0, YANGQUAN, 90.0) == pytest.approx(126.9)
    assert soc_pct(300.0, YANGQUAN, 90.0) == 100.0


@given(socs, socs)
def test_voltage_rises_with_charge(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 2.8 <= lfp_cell_v(low) <= lfp_cell_v(high) <= 3.45
    assert pack_voltage_v(YANGQUAN, low) <= pack_voltage_v(YANGQUAN, high)
