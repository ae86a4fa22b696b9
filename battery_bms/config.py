"""The rack's sections of the station file: pack kinds, devices, bays, meter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from battery_bms.limits import PackLimits
from robotics.modbus_link.config import ModbusAddress
from scheduler.sections import Identifier, Section


class PackKindSection(Section):
    """One kind of pack: ratings and limits. Fallback limits are those of standards for LFP packs."""

    id: Identifier
    name_zh: str = ""
    name_en: str = ""
    rated_kwh: float = Field(gt=0, le=2000)
    max_charge_kw: float = Field(gt=0, le=2000)
    nominal_v: float = Field(default=618.0, gt=0, le=1500)
    taper_from_soc_pct: float = Field(default=80.0, ge=0, le=100)
    """Above this state of charge the BMS lowers the allowed power linearly…"""
    taper_end_share: float = Field(default=0.3, gt=0, le=1)
    """…to this share of `max_charge_kw` at 100 %."""
    charge_efficiency: float = Field(default=0.96, gt=0, le=1)
    """Energy stored ÷ energy at the charger's DC output."""
    charge_temp_min_c: float = Field(default=0.0, ge=-40, le=30)
    charge_temp_max_c: float = Field(default=50.0, ge=20, le=70)
    limits: PackLimits = PackLimits()
    """The pack maker's warn, limit and stop values; the defaults are a fallback for LFP packs."""


class RackDeviceSection(Section):
    """One Modbus endpoint behind which chargers and BMS of several bays answer."""

    id: Identifier
    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)
    device_id: int = Field(default=1, ge=0, le=255)
    register_map: str = "bay_charger_v1"
    poll_s: float = Field(default=1.0, ge=0.05, le=60)
    timeout_s: float = Field(default=0.8, gt=0, le=30)
    max_age_s: float = Field(default=10.0, gt=0, le=300)
    rated_kw: float | None = Field(default=None, gt=0, le=10_000)
    """Most the power cabinet behind this endpoint gives; None when each charger has its own supply."""
    setpoint_expires_s: int = Field(default=30, ge=2, le=600)
    """Chargers fall to 0 kW when no set-point arrives for this long (real seconds)."""


class BayPointSection(Section):
    """Where one bay's charger and BMS lie inside its rack device."""

    device: Identifier
    base_address: int = Field(ge=0, le=65535)


class BaySection(Section):
    """One bay of the rack."""

    id: Identifier
    position: int = Field(ge=1, le=99)
    """Number of the bay in the robot's location codes and in the PLC's occupancy bits."""
    role: Literal["rack", "transfer", "quarantine"] = "rack"
    charger_kw: float = Field(default=0.0, ge=0, le=2000)
    kinds: tuple[Identifier, ...] = ()
    lanes: tuple[Identifier, ...] = ()
    neighbours: tuple[Identifier, ...] = ()
    point: BayPointSection | None = None


class MeterSection(Section):
    """The site meter."""

    address: ModbusAddress
    register_map: str = "site_meter_v1"
    poll_s: float = Field(default=1.0, ge=0.05, le=60)
    max_age_s: float = Field(default=10.0, gt=0, le=300)
