"""One charge at a constant set-point, in closed form, with everything that does not change worked out once.

The charger's output is constant until the BMS lowers what it allows; in the taper dP/dt = -k P, so power decays and
energy approaches exponentially. Both are solved exactly.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, expm1, inf, log1p
from typing import Final

from battery_bms.pack.spec import PackSpec, capacity_kwh

SECONDS_PER_HOUR = 3600.0
_NEVER: Final = inf
"""These three are read directly by the compiled form, which looks up a name that comes from a library at each use."""
_expm1: Final = expm1
_log1p: Final = log1p


class Curve:
    """Constants of a kind of pack at a state of health."""

    __slots__ = (
        "capacity_kwh",
        "cool_per_s",
        "decay_per_s",
        "efficiency",
        "heat_k_per_kw",
        "max_kw",
        "per_s",
        "slope",
        "spec",
        "taper_from_kwh",
        "width_kwh",
    )

    def __init__(self, spec: PackSpec, soh_pct: float = 100.0) -> None:
        self.spec = spec
        self.capacity_kwh = capacity_kwh(spec, soh_pct)
        self.max_kw = spec.max_charge_kw
        self.efficiency = spec.charge_efficiency
        self.taper_from_kwh = self.capacity_kwh * spec.taper_from_soc_pct / 100
        self.width_kwh = self.capacity_kwh - self.taper_from_kwh
        fall_kw = spec.max_charge_kw * (1 - spec.taper_end_share)
        self.slope = fall_kw / self.width_kwh if self.width_kwh > 0 else 0.0
        """Fall of the allowed power, kW for each kWh stored."""
        self.per_s = spec.charge_efficiency / SECONDS_PER_HOUR
        """kWh stored in a second for each kW at the charger's output."""
        self.decay_per_s = self.slope * self.per_s
        self.cool_per_s = spec.conductance_kw_per_k / spec.heat_capacity_kj_per_k
        self.heat_k_per_kw = (1 - spec.charge_efficiency) / spec.conductance_kw_per_k
        """Rise above the surroundings in the long run for each kW at the charger's output."""

    def allowed_kw(self, energy_kwh: float) -> float:
        """What the BMS allows by energy alone."""
        over_kwh = energy_kwh - self.taper_from_kwh
        return self.max_kw if over_kwh <= 0 else self.max_kw - self.slope * over_kwh

    def allowed_at_kw(self, energy_kwh: float, temp_c: float) -> float:
        """What the BMS allows at an energy and temperature; 0 when full or outside the window, also for NaN."""
        spec = self.spec
        if not spec.charge_temp_min_c <= temp_c <= spec.charge_temp_max_c or not energy_kwh < self.capacity_kwh:
            return 0.0
        return self.allowed_kw(energy_kwh)

    def warmest_c(self, temp_c: float, ambient_c: float, energy_kwh: float, goal_kwh: float, power_kw: float) -> float:
        """Highest temperature of a charge: no taper, so the same heat comes sooner than it will."""
        if energy_kwh >= goal_kwh:
            return max(temp_c, ambient_c)
        kept = exp(-self.cool_per_s * (goal_kwh - energy_kwh) / (power_kw * self.per_s))
        end_c = ambient_c + (temp_c - ambient_c) * kept + self.heat_k_per_kw * power_kw * (1 - kept)
        return max(temp_c, end_c)


@lru_cache(maxsize=1024)
def curve_of(spec: PackSpec, soh_pct: float) -> Curve:
    """The curve of a kind at a state of health, made once."""
    return Curve(spec, soh_pct)


class Charge:
    """A charge at a set-point from an instant on.

    Until `knee_s` seconds after the start it stores `rate` kWh a second; then, from `knee_kwh` on, the taper begins
    with `taper_kw`. A full pack takes nothing.
    """

    __slots__ = ("curve", "from_kwh", "from_s", "knee_kwh", "knee_s", "rate", "taper_kw", "taper_rate")

    def __init__(self, curve: Curve, from_s: float, from_kwh: float, power_kw: float) -> None:
        self.curve = curve
        self.from_s = from_s
        self.from_kwh = from_kwh
        allowed_kw = curve.allowed_kw(from_kwh)
        knee_kwh = curve.capacity_kwh
        if power_kw >= allowed_kw:
            power_kw = allowed_kw
            if curve.slope > 0:
                knee_kwh = max(from_kwh, curve.taper_from_kwh)
        elif curve.slope > 0:
            knee_kwh = curve.taper_from_kwh + (curve.max_kw - power_kw) / curve.slope
        self.knee_kwh = min(knee_kwh, curve.capacity_kwh)
        self.rate = power_kw * curve.per_s
        self.taper_kw = curve.allowed_kw(self.knee_kwh)
        self.taper_rate = self.taper_kw * curve.per_s
        if from_kwh >= curve.capacity_kwh:
            self.rate = 0.0
        self.knee_s = (self.knee_kwh - from_kwh) / self.rate if self.rate > 0 else _NEVER

    def energy_kwh(self, at_s: float) -> float:
        """Energy at an instant not before the start."""
        after_s = at_s - self.from_s
        if after_s <= self.knee_s:
            return self.from_kwh + self.rate * after_s
        curve = self.curve
        if curve.slope == 0.0 or self.knee_kwh >= curve.capacity_kwh:
            return curve.capacity_kwh
        decay = curve.decay_per_s
        gained_kwh = self.taper_rate / decay * -_expm1(-decay * (after_s - self.knee_s))
        return min(self.knee_kwh + gained_kwh, curve.capacity_kwh)

    def instant_of(self, energy_kwh: float) -> float:
        """When an energy is reached; inf when never."""
        if energy_kwh <= self.from_kwh:
            return self.from_s
        if energy_kwh <= self.knee_kwh:
            return self.from_s + (energy_kwh - self.from_kwh) / self.rate if self.rate > 0 else _NEVER
        curve = self.curve
        if energy_kwh > curve.capacity_kwh or curve.slope == 0.0:
            return _NEVER
        done = (energy_kwh - self.knee_kwh) * curve.decay_per_s / self.taper_rate
        return self.from_s + self.knee_s - _log1p(-done) / curve.decay_per_s if done < 1.0 else _NEVER

    def power_kw(self, at_s: float) -> float:
        """Output of the charger at an instant."""
        if at_s - self.from_s <= self.knee_s:
            return self.rate / self.curve.per_s
        return self.curve.allowed_kw(self.energy_kwh(at_s))


def allowed_charge_kw(spec: PackSpec, soc: float, temp_c: float) -> float:
    """What the BMS allows at a state of charge (percent) and temperature; 0 when full or outside the window.

    A temperature that is not a number allows nothing.
    """
    curve = curve_of(spec, 100.0)
    return curve.allowed_at_kw(soc * curve.capacity_kwh / 100, temp_c)


def charge_kw(spec: PackSpec, soh_pct: float, energy_kwh: float, power_kw: float) -> float:
    """Output of the charger at this instant: the set-point, lowered to what the BMS allows; 0 when full."""
    check_power(power_kw)
    curve = curve_of(spec, soh_pct)
    return min(power_kw, curve.allowed_kw(energy_kwh)) if energy_kwh < curve.capacity_kwh else 0.0


def advance_energy(
    spec: PackSpec, soh_pct: float, energy_kwh: float, power_kw: float, dt_s: float
) -> tuple[float, float]:
    """Energy after `dt_s` at a constant set-point, and the energy drawn from the charger meanwhile (kWh).

    Exact for every `dt_s`. Raises ValueError for a negative or not finite power or time.
    """
    check_power(power_kw)
    check_time(dt_s)
    energy = Charge(curve_of(spec, soh_pct), 0.0, energy_kwh, power_kw).energy_kwh(dt_s)
    return energy, (energy - energy_kwh) / spec.charge_efficiency


def time_to_soc_s(spec: PackSpec, soh_pct: float, energy_kwh: float, power_kw: float, target_soc_pct: float) -> float:
    """Seconds at a constant set-point to a state of charge; 0 when it already is reached, inf when never."""
    check_power(power_kw)
    curve = curve_of(spec, soh_pct)
    return Charge(curve, 0.0, energy_kwh, power_kw).instant_of(curve.capacity_kwh * target_soc_pct / 100.0)


def check_power(power_kw: float) -> None:
    """Raises ValueError for a power that no charger gives."""
    if not 0.0 <= power_kw < inf:
        raise ValueError(f"power_kw is {power_kw}; a charger's output is finite and at least 0")


def check_time(dt_s: float) -> None:
    """Raises ValueError for a time that is not finite or runs back."""
    if not 0.0 <= dt_s < inf:
        raise ValueError(f"dt_s is {dt_s}; it must be finite and at least 0")
