"""Physics of one pack on a rack charger, in closed form: nothing ticks, any step length is exact.

The truth about a pack is `energy_kwh`; `soc_pct` is derived here and nowhere else. Power and current into
the pack are positive, everywhere in this project. `power_kw` is the charger's DC output.

Model:

* capacity = rated_kwh × soh_pct / 100; soc_pct = 100 × energy_kwh / capacity.
* The BMS allows `max_charge_kw` up to `taper_from_soc_pct`, then a power that falls linearly with the state
  of charge to `taper_end_share` × `max_charge_kw` at 100 %. A full pack takes nothing.
* `charge_efficiency` of the charger's output is stored, the rest warms the pack.
* In the taper dP/dt = -k P, so power decays and energy approaches exponentially; both are solved exactly.
* Temperature is one lump: C dT/dt = heat - G (T - ambient).

A pack made to charge outside its temperature window is not modelled: the caller sets 0 kW there
(`allowed_charge_kw` says so).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from battery_bms.config import PackKindSection

SECONDS_PER_HOUR = 3600.0

HEAT_CAPACITY_KJ_PER_K_KWH = 7.0
"""Assumed: about 7 kg of LFP pack for each kWh (143 Wh/kg) at 1.0 kJ/(kg·K)."""
CONDUCTANCE_W_PER_K_KWH = 1.5
"""Assumed: liquid-cooled bay. A 282 kWh pack at 240 kW then warms about 12 K in an hour, 23 K at the most."""

# Assumed resting voltage of one LFP cell by state of charge, flat in the middle as the chemistry is.
_LFP_CELL_V = (
    (0.0, 2.80),
    (5.0, 3.10),
    (10.0, 3.20),
    (30.0, 3.27),
    (70.0, 3.31),
    (95.0, 3.35),
    (100.0, 3.45),
)
_LFP_NOMINAL_CELL_V = 3.22


@dataclass(frozen=True, slots=True)
class PackSpec:
    """One kind of pack: ratings and model constants."""

    rated_kwh: float
    max_charge_kw: float
    taper_from_soc_pct: float = 80.0
    taper_end_share: float = 0.3
    charge_efficiency: float = 0.96
    """Energy stored ÷ energy at the charger's DC output."""
    nominal_v: float = 618.0
    charge_temp_min_c: float = 0.0
    charge_temp_max_c: float = 50.0
    heat_capacity_kj_per_k: float = 0.0
    """0 at construction means the assumed value for `rated_kwh`."""
    conductance_kw_per_k: float = 0.0
    """Heat given to the surroundings for each kelvin above them; 0 means the assumed value."""

    def __post_init__(self) -> None:
        if self.heat_capacity_kj_per_k <= 0.0:
            object.__setattr__(self, "heat_capacity_kj_per_k", HEAT_CAPACITY_KJ_PER_K_KWH * self.rated_kwh)
        if self.conductance_kw_per_k <= 0.0:
            object.__setattr__(self, "conductance_kw_per_k", CONDUCTANCE_W_PER_K_KWH * self.rated_kwh / 1000.0)


def spec_from_section(section: PackKindSection) -> PackSpec:
    """The model of a pack kind of the station file."""
    return PackSpec(
        rated_kwh=section.rated_kwh,
        max_charge_kw=section.max_charge_kw,
        taper_from_soc_pct=section.taper_from_soc_pct,
        taper_end_share=section.taper_end_share,
        charge_efficiency=section.charge_efficiency,
        nominal_v=section.nominal_v,
        charge_temp_min_c=section.charge_temp_min_c,
        charge_temp_max_c=section.charge_temp_max_c,
    )


def capacity_kwh(spec: PackSpec, soh_pct: float) -> float:
    """Energy of a full pack in its present health."""
    return spec.rated_kwh * soh_pct / 100.0


def soc_pct(energy_kwh: float, spec: PackSpec, soh_pct: float) -> float:
    """State of charge, 0…100."""
    return min(max(100.0 * energy_kwh / capacity_kwh(spec, soh_pct), 0.0), 100.0)


def energy_at_soc_kwh(soc: float, spec: PackSpec, soh_pct: float) -> float:
    """Energy of a pack at a state of charge in percent."""
    return capacity_kwh(spec, soh_pct) * soc / 100.0


def allowed_charge_kw(spec: PackSpec, soc: float, temp_c: float) -> float:
    """What the BMS allows at a state of charge (percent) and temperature; 0 when full or outside the window.

    A temperature that is not a number allows nothing.
    """
    if not spec.charge_temp_min_c <= temp_c <= spec.charge_temp_max_c or not soc < 100.0:
        return 0.0
    return _taper_kw(spec, soc)


def charge_kw(spec: PackSpec, soh_pct: float, energy_kwh: float, power_kw: float) -> float:
    """Output of the charger at this instant: the set-point, lowered to what the BMS allows; 0 when full."""
    _check_power(power_kw)
    capacity = capacity_kwh(spec, soh_pct)
    if energy_kwh >= capacity:
        return 0.0
    return min(power_kw, _taper_kw(spec, 100.0 * energy_kwh / capacity))


def advance_energy(
    spec: PackSpec, soh_pct: float, energy_kwh: float, power_kw: float, dt_s: float
) -> tuple[float, float]:
    """Energy after `dt_s` at a constant set-point, and the energy drawn from the charger meanwhile (kWh).

    Exact for every `dt_s`. Raises ValueError for a negative or not finite power or time.
    """
    energy, drawn, _ = _advance(spec, soh_pct, energy_kwh, power_kw, dt_s)
    return energy, drawn


def time_to_soc_s(spec: PackSpec, soh_pct: float, energy_kwh: float, power_kw: float, target_soc_pct: float) -> float:
    """Seconds at a constant set-point to a state of charge; 0 when it already is reached, inf when never."""
    _check_power(power_kw)
    capacity = capacity_kwh(spec, soh_pct)
    target = capacity * target_soc_pct / 100.0
    if energy_kwh >= target:
        return 0.0
    if target_soc_pct > 100.0 or power_kw <= 0.0:
        return math.inf
    constant_kw, constant_until = _constant_part(spec, capacity, power_kw)
    elapsed_s = 0.0
    energy = energy_kwh
    if energy < constant_until:
        step = min(target, constant_until) - energy
        elapsed_s += step / _stored_kw(spec, constant_kw) * SECONDS_PER_HOUR
        energy += step
        if target <= constant_until:
            return elapsed_s
    start_kw = _taper_kw(spec, 100.0 * energy / capacity)
    share = _taper_slope(spec, capacity) * (target - energy) / start_kw
    return elapsed_s + (target - energy) / _stored_kw(spec, start_kw) * SECONDS_PER_HOUR * _log_mean(share)


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
    """Energy and temperature together, exact through the taper too (the heat then decays exponentially)."""
    energy, drawn, phases = _advance(spec, soh_pct, energy_kwh, power_kw, dt_s)
    lost_share = 1.0 - spec.charge_efficiency
    for phase in phases:
        temp_c = advance_temp_c(
            spec,
            temp_c,
            lost_share * phase.start_kw,
            ambient_c,
            phase.duration_s,
            heat_decay_per_s=phase.decay_per_s,
        )
    return PackAdvance(energy, drawn, temp_c)


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


def lfp_cell_v(soc: float) -> float:
    """Resting voltage of one LFP cell at a state of charge in percent (assumed curve)."""
    soc = min(max(soc, 0.0), 100.0)
    for (from_soc, from_v), (to_soc, to_v) in pairwise(_LFP_CELL_V):
        if soc <= to_soc:
            return from_v + (to_v - from_v) * (soc - from_soc) / (to_soc - from_soc)
    return _LFP_CELL_V[-1][1]


def pack_voltage_v(spec: PackSpec, soc: float) -> float:
    """Resting voltage of the pack at a state of charge in percent (assumed curve)."""
    return spec.nominal_v * lfp_cell_v(soc) / _LFP_NOMINAL_CELL_V


@dataclass(frozen=True, slots=True)
class _Phase:
    """A stretch of time in which the charger's output is start_kw × exp(-decay_per_s × t)."""

    start_kw: float
    decay_per_s: float
    duration_s: float


def _advance(
    spec: PackSpec, soh_pct: float, energy_kwh: float, power_kw: float, dt_s: float
) -> tuple[float, float, list[_Phase]]:
    """Energy, drawn energy, and the phases of output that cover `dt_s`."""
    _check_power(power_kw)
    if not 0.0 <= dt_s < math.inf:
        raise ValueError(f"dt_s is {dt_s}; it must be finite and at least 0")
    capacity = capacity_kwh(spec, soh_pct)
    energy = energy_kwh
    left_s = dt_s
    phases: list[_Phase] = []
    if power_kw > 0.0 and energy < capacity:
        constant_kw, constant_until = _constant_part(spec, capacity, power_kw)
        if energy < constant_until:
            stored_kw = _stored_kw(spec, constant_kw)
            lasts_s = (constant_until - energy) / stored_kw * SECONDS_PER_HOUR
            if left_s < lasts_s:
                energy = min(energy + stored_kw * left_s / SECONDS_PER_HOUR, constant_until)
                phases.append(_Phase(constant_kw, 0.0, left_s))
                left_s = 0.0
            else:
                energy = constant_until
                phases.append(_Phase(constant_kw, 0.0, lasts_s))
                left_s -= lasts_s
        if left_s > 0.0 and energy < capacity:
            start_kw = _taper_kw(spec, 100.0 * energy / capacity)
            decay = _taper_slope(spec, capacity) * spec.charge_efficiency / SECONDS_PER_HOUR
            lasts_s = time_to_soc_s(spec, soh_pct, energy, power_kw, 100.0)
            if left_s < lasts_s:
                gained = _stored_kw(spec, start_kw) * left_s / SECONDS_PER_HOUR * _decay_mean(decay * left_s)
                energy = min(energy + gained, capacity)
                phases.append(_Phase(start_kw, decay, left_s))
                left_s = 0.0
            else:
                energy = capacity
                phases.append(_Phase(start_kw, decay, lasts_s))
                left_s -= lasts_s
    if left_s > 0.0:
        phases.append(_Phase(0.0, 0.0, left_s))
    return energy, (energy - energy_kwh) / spec.charge_efficiency, phases


def _check_power(power_kw: float) -> None:
    if not 0.0 <= power_kw < math.inf:
        raise ValueError(f"power_kw is {power_kw}; a charger's output is finite and at least 0")


def _stored_kw(spec: PackSpec, output_kw: float) -> float:
    return output_kw * spec.charge_efficiency


def _taper_kw(spec: PackSpec, soc: float) -> float:
    """Allowed power by state of charge alone."""
    if soc <= spec.taper_from_soc_pct:
        return spec.max_charge_kw
    done = min((soc - spec.taper_from_soc_pct) / (100.0 - spec.taper_from_soc_pct), 1.0)
    return spec.max_charge_kw * (1.0 - (1.0 - spec.taper_end_share) * done)


def _taper_slope(spec: PackSpec, capacity: float) -> float:
    """Fall of the allowed power in the taper, kW for each kWh stored."""
    width_kwh = capacity * (100.0 - spec.taper_from_soc_pct) / 100.0
    return spec.max_charge_kw * (1.0 - spec.taper_end_share) / width_kwh if width_kwh > 0.0 else 0.0


def _constant_part(spec: PackSpec, capacity: float, power_kw: float) -> tuple[float, float]:
    """The constant output at the start of a charge and the energy at which the taper takes over."""
    constant_kw = min(power_kw, spec.max_charge_kw)
    falls_kw = spec.max_charge_kw * (1.0 - spec.taper_end_share)
    if spec.max_charge_kw - constant_kw >= falls_kw:
        return constant_kw, capacity
    done = (spec.max_charge_kw - constant_kw) / falls_kw
    from_soc = spec.taper_from_soc_pct + (100.0 - spec.taper_from_soc_pct) * done
    return constant_kw, capacity * from_soc / 100.0


def _decay_mean(x: float) -> float:
    """Mean of exp(-s) over s in 0…x."""
    return -math.expm1(-x) / x if x > 0.0 else 1.0


def _growth_mean(x: float) -> float:
    """Mean of exp(s) over s in 0…x; inf where that is too large to write."""
    if x > 700.0:
        return math.inf
    return math.expm1(x) / x if x > 0.0 else 1.0


def _log_mean(x: float) -> float:
    """Mean of 1/(1 - s) over s in 0…x, x < 1."""
    return -math.log1p(-x) / x if x > 0.0 else 1.0
