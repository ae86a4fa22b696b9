"""Temperature of a pack, one lump: C dT/dt = heat - G (T - ambient), exact through constant power and taper."""

from __future__ import annotations

import math
from dataclasses import dataclass

from battery_bms.pack.charge import Charge, check_power, check_time, curve_of
from battery_bms.pack.spec import PackSpec


@dataclass(frozen=True, slots=True)
class PackAdvance:
    """A pack after a time at a constant set-point."""

    energy_kwh: float
    drawn_kwh: float
    """Energy at the charger's DC output during the time."""
    temp_c: float


def advance(
    spec: PackSpec,
    soh_pct: float,
    energy_kwh: float,
    temp_c: float,
    power_kw: float,
    ambient_c: float,
    dt_s: float,
) -> PackAdvance:
    """Energy and temperature together, exact through the taper too (the heat then decays exponentially).

    Raises ValueError for a negative or not finite power or time.
    """
    check_power(power_kw)
    check_time(dt_s)
    charge = Charge(curve_of(spec, soh_pct), 0.0, energy_kwh, power_kw)
    energy = charge.energy_kwh(dt_s)
    temp_c = temp_after_c(charge, temp_c, ambient_c, 0.0, dt_s)
    return PackAdvance(energy, (energy - energy_kwh) / spec.charge_efficiency, temp_c)


def temp_after_c(charge: Charge, temp_c: float, ambient_c: float, from_s: float, until_s: float) -> float:
    """Temperature at the end of a span of a charge: from the start of the charge on, at the earliest."""
    curve = charge.curve
    spec = curve.spec
    lost_share = 1.0 - spec.charge_efficiency
    if charge.rate > 0.0:
        knee_s = charge.from_s + charge.knee_s
        if from_s < knee_s:
            lasts_s = min(until_s, knee_s) - from_s
            temp_c = advance_temp_c(spec, temp_c, lost_share * charge.rate / curve.per_s, ambient_c, lasts_s)
            from_s += lasts_s
        if from_s < until_s and charge.knee_kwh < curve.capacity_kwh:
            full_s = charge.instant_of(curve.capacity_kwh)
            if from_s < full_s:
                heat_kw = lost_share * charge.power_kw(from_s)
                lasts_s = min(until_s, full_s) - from_s
                temp_c = advance_temp_c(spec, temp_c, heat_kw, ambient_c, lasts_s, heat_decay_per_s=curve.decay_per_s)
                from_s += lasts_s
    if from_s < until_s:
        temp_c = advance_temp_c(spec, temp_c, 0.0, ambient_c, until_s - from_s)
    return temp_c


def advance_temp_c(
    spec: PackSpec,
    temp_c: float,
    heat_kw: float,
    ambient_c: float,
    dt_s: float,
    *,
    heat_decay_per_s: float = 0.0,
) -> float:
    """Temperature after `dt_s` of heat that is constant, or decays as exp(-heat_decay_per_s × t).

    Heat of charging is (1 - charge_efficiency) × charger output; a heater or a fault adds to it.
    """
    rate_per_s = spec.conductance_kw_per_k / spec.heat_capacity_kj_per_k
    kept = math.exp(-rate_per_s * dt_s)
    # (exp(-decay t) - exp(-rate t)) / (rate - decay), written so that equal rates give t exp(-rate t).
    gap = rate_per_s - heat_decay_per_s
    weight_s = math.exp(-max(rate_per_s, heat_decay_per_s) * dt_s) * dt_s * _growth_mean(abs(gap) * dt_s)
    if math.isinf(weight_s) or math.isnan(weight_s):  # far past both time constants
        weight_s = (math.exp(-heat_decay_per_s * dt_s) - kept) / gap
    return ambient_c + (temp_c - ambient_c) * kept + heat_kw / spec.heat_capacity_kj_per_k * weight_s


def time_to_temp_s(spec: PackSpec, temp_c: float, target_c: float, heat_kw: float, ambient_c: float) -> float:
    """Seconds of constant heat until a temperature is reached from `temp_c`; 0 when there, inf when never."""
    if temp_c == target_c:
        return 0.0
    to_final_c = ambient_c + heat_kw / spec.conductance_kw_per_k - temp_c
    done = (target_c - temp_c) / to_final_c if to_final_c != 0.0 else math.inf
    if not 0.0 < done < 1.0:
        return math.inf
    return -math.log1p(-done) * spec.heat_capacity_kj_per_k / spec.conductance_kw_per_k


def _growth_mean(x: float) -> float:
    """Mean of exp(s) over s in 0…x; inf where that is too large to write."""
    if x > 700.0:
        return math.inf
    return math.expm1(x) / x if x > 0.0 else 1.0
