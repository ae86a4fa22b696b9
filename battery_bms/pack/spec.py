"""One kind of pack: ratings and model constants; capacity and state of charge at any state of health."""

from __future__ import annotations

from dataclasses import dataclass

from battery_bms.config import PackKindSection

HEAT_CAPACITY_KJ_PER_K_KWH = 7.0
"""Assumed: about 7 kg of LFP pack for each kWh (143 Wh/kg) at 1.0 kJ/(kg·K)."""
CONDUCTANCE_W_PER_K_KWH = 1.5
"""Assumed: liquid-cooled bay. A 282 kWh pack at 240 kW then warms about 12 K in an hour, 23 K at the most."""


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
