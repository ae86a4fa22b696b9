"""One charge at a constant set-point, with everything that does not change worked out once.

The same closed forms as `battery_bms.pack` (a test compares them to 1e-9): constant power until the BMS
lowers what it allows, from there an exponential. The study asks for the energy of the same charge many
times, so it keeps the constants.
"""

from __future__ import annotations

from math import exp, inf, log

from battery_bms.pack import PackSpec


class KindCurve:
    """Constants of a kind of pack at 100 % state of health."""

    __slots__ = (
        "cool_per_s",
        "decay_per_s",
        "efficiency",
        "heat_k_per_kw",
        "max_kw",
        "per_s",
        "phases",
        "rated_kwh",
        "slope",
        "taper_from_kwh",
        "width_kwh",
    )

    def __init__(self, spec: PackSpec) -> None:
        self.rated_kwh = spec.rated_kwh
        self.max_kw = spec.max_charge_kw
        self.efficiency = spec.charge_efficiency
        self.taper_from_kwh = spec.rated_kwh * spec.taper_from_soc_pct / 100
        self.width_kwh = spec.rated_kwh - self.taper_from_kwh
        fall_kw = spec.max_charge_kw * (1 - spec.taper_end_share)
        self.slope = fall_kw / self.width_kwh if self.width_kwh > 0 else 0.0
        """Fall of the allowed power, kW for each kWh stored."""
        self.per_s = spec.charge_efficiency / 3600
        """kWh stored in a second for each kW at the charger's output."""
        self.decay_per_s = self.slope * self.per_s
        self.cool_per_s = spec.conductance_kw_per_k / spec.heat_capacity_kj_per_k
        self.heat_k_per_kw = (1 - spec.charge_efficiency) / spec.conductance_kw_per_k
        """Rise above the surroundings in the long run for each kW at the charger's output."""
        self.phases: dict[float, tuple[float, float, float, float]] = {}
        """By set-point, what `phase` gives: a study has few of them."""

    def phase(self, power_kw: float) -> tuple[float, float, float, float]:
        """A charge from below the taper: energy at which its taper begins, kWh stored in a second before it, power
        in kW at its beginning, and that in kWh stored in a second.
        """
        used_kw = min(power_kw, self.max_kw)
        knee_kwh = self.rated_kwh
        if self.slope > 0:
            knee_kwh = min(self.taper_from_kwh + (self.max_kw - used_kw) / self.slope, knee_kwh)
        taper_kw = self.allowed_kw(knee_kwh)
        found = self.phases[power_kw] = (knee_kwh, used_kw * self.per_s, taper_kw, taper_kw * self.per_s)
        return found

    def allowed_kw(self, energy_kwh: float) -> float:
        """What the BMS allows by energy alone."""
        over_kwh = energy_kwh - self.taper_from_kwh
        return self.max_kw if over_kwh <= 0 else self.max_kw - self.slope * over_kwh

    def warmest_c(self, temp_c: float, ambient_c: float, energy_kwh: float, goal_kwh: float, power_kw: float) -> float:
        """Highest temperature of a charge: no taper, so the same heat comes sooner than it will."""
        if energy_kwh >= goal_kwh:
            return max(temp_c, ambient_c)
        kept = exp(-self.cool_per_s * (goal_kwh - energy_kwh) / (power_kw * self.per_s))
        end_c = ambient_c + (temp_c - ambient_c) * kept + self.heat_k_per_kw * power_kw * (1 - kept)
        return max(temp_c, end_c)


class Charge:
    """A charge at a set-point from an instant on.

    Until `knee_s` seconds after the start it stores `rate` kWh a second; then, from `knee_kwh` on, the taper begins
    with `taper_kw`.
    """

    __slots__ = ("curve", "from_kwh", "from_s", "knee_kwh", "knee_s", "rate", "taper_kw", "taper_rate")

    def __init__(self, curve: KindCurve, from_s: float, from_kwh: float, power_kw: float) -> None:
        self.curve = curve
        self.from_s = from_s
        self.from_kwh = from_kwh
        if from_kwh <= curve.taper_from_kwh:
            phase = curve.phases.get(power_kw) or curve.phase(power_kw)
            self.knee_kwh, self.rate, self.taper_kw, self.taper_rate = phase
        else:
            allowed_kw = curve.allowed_kw(from_kwh)
            knee_kwh = from_kwh
            if power_kw >= allowed_kw:
                power_kw = allowed_kw
            elif curve.slope > 0:
                knee_kwh = curve.taper_from_kwh + (curve.max_kw - power_kw) / curve.slope
            self.knee_kwh = min(knee_kwh, curve.rated_kwh)
            self.rate = power_kw * curve.per_s
            self.taper_kw = curve.allowed_kw(self.knee_kwh)
            self.taper_rate = self.taper_kw * curve.per_s
        self.knee_s = (self.knee_kwh - from_kwh) / self.rate if self.rate > 0 else inf

    def energy_kwh(self, at_s: float) -> float:
        """Energy at an instant not before the start."""
        after_s = at_s - self.from_s
        if after_s <= self.knee_s:
            return self.from_kwh + self.rate * after_s
        curve = self.curve
        if curve.slope == 0.0 or self.knee_kwh >= curve.rated_kwh:
            return curve.rated_kwh
        decay = curve.decay_per_s
        gained_kwh = self.taper_rate / decay * (1 - exp(-decay * (after_s - self.knee_s)))
        return min(self.knee_kwh + gained_kwh, curve.rated_kwh)

    def instant_of(self, energy_kwh: float) -> float:
        """When an energy is reached; inf when never."""
        if energy_kwh <= self.from_kwh:
            return self.from_s
        if energy_kwh <= self.knee_kwh:
            return self.from_s + (energy_kwh - self.from_kwh) / self.rate if self.rate > 0 else inf
        curve = self.curve
        left = 1 - (energy_kwh - self.knee_kwh) * curve.decay_per_s / self.taper_rate if curve.slope > 0 else 0.0
        if energy_kwh > curve.rated_kwh or left <= 0:
            return inf
        return self.from_s + self.knee_s - log(left) / curve.decay_per_s

    def power_kw(self, at_s: float) -> float:
        """Output of the charger at an instant."""
        if at_s - self.from_s <= self.knee_s:
            return self.rate / self.curve.per_s
        return self.curve.allowed_kw(self.energy_kwh(at_s))
