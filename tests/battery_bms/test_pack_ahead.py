"""Energy that a pack can take, as straight lines: below the truth, and near it."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from battery_bms.pack import PackSpec, advance_energy, curve_of
from battery_bms.pack.ahead import ChargeAhead

SPEC = PackSpec(rated_kwh=282.0, max_charge_kw=282.0)


@pytest.mark.parametrize("soh_pct", [100.0, 75.0])
@pytest.mark.parametrize("power_kw", [60.0, 240.0, 400.0])
def test_lines_are_below_the_truth_and_near_it(soh_pct: float, power_kw: float) -> None:
    curve = curve_of(SPEC, soh_pct)
    ahead = ChargeAhead(curve, power_kw)
    worst: dict[float, float] = {}
    for hours in (5 / 60, 0.25, 1.0):
        lines = ahead.gain_lines(np.array([hours]))
        full_kwh = ahead.power_kw * SPEC.charge_efficiency * hours
        for energy in np.linspace(0.0, 0.99 * curve.capacity_kwh, 200):
            planned = min([full_kwh] + [float(offset[0] - fall[0] * energy) for offset, fall in lines])
            planned = min(planned, curve.capacity_kwh - energy)
            true = advance_energy(SPEC, soh_pct, energy, ahead.power_kw, hours * 3600)[0] - energy
            assert planned <= true + 1e-9
            worst[hours] = max(worst.get(hours, 0.0), (true - planned) / curve.capacity_kwh)
    assert worst[5 / 60] < 0.005, "share of the capacity"
    assert worst[1.0] < 0.06


def test_hours_and_energies_are_those_of_a_charge_at_full_power() -> None:
    ahead = ChargeAhead(curve_of(SPEC, 90.0), 240.0)
    hours = ahead.hours_to(60.0, 240.0)
    assert ahead.energy_after(60.0, hours) == pytest.approx(240.0)
    assert advance_energy(SPEC, 90.0, 60.0, 240.0, hours * 3600)[0] == pytest.approx(240.0)
    assert ahead.hours_to(240.0, 240.0) == 0.0


def test_without_power_nothing_is_reached_and_without_taper_nothing_bends() -> None:
    assert ChargeAhead(curve_of(SPEC, 100.0), 0.0).hours_to(10.0, 20.0) == inf
    assert ChargeAhead(curve_of(SPEC, 100.0), 0.0).gain_lines(np.array([1.0])) == ()
    flat = PackSpec(rated_kwh=282.0, max_charge_kw=282.0, taper_end_share=1.0)
    assert ChargeAhead(curve_of(flat, 100.0), 240.0).gain_lines(np.array([1.0])) == ()
