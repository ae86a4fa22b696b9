"""The rack's sections of the station file: pack kinds, devices, bays, meter."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from battery_bms.limits import PackLimits
from robotics.modbus_link.config import MAX_READ, MaxRegisters, ModbusAddress
from scheduler.sections import Identifier, Section

CHARGER_EFFICIENCY: Final = 0.94
"""Assumed where a file does not say it: the low end of the 0.94…0.96 that data sheets of 240 kW rack chargers give.
Lower counts more import, so it is on the safe side of the grid limit. Below half load and in heat it is less."""
ChargerEfficiency = Annotated[float, Field(gt=0.5, le=1)]
"""Output of the chargers (DC) ÷ their input (AC)."""


class PackKindSection(Section):
    """One kind of pack: ratings and limits. Fallback limits are those of standards for LFP packs."""

    id: Identifier
    """Name of the kind."""
    name_zh: str = ""
    """Name in Chinese."""
    name_en: str = ""
    """Name in English."""
    rated_kwh: float = Field(gt=0, le=2000)
    """Rated energy."""
    max_charge_kw: float = Field(gt=0, le=2000)
    """Highest charging power of the pack, at the charger's output."""
    nominal_v: float = Field(default=618.0, gt=0, le=1500)
    """Nominal voltage."""
    taper_from_soc_pct: float = Field(default=80.0, ge=0, le=100)
    """Above this state of charge the BMS lowers the allowed power linearly…"""
    taper_end_share: float = Field(default=0.3, gt=0, le=1)
    """…to this share of `max_charge_kw` at 100 %."""
    charge_efficiency: float = Field(default=0.96, gt=0, le=1)
    """Energy stored ÷ energy at the charger's DC output."""
    charge_temp_min_c: float = Field(default=0.0, ge=-40, le=30)
    """A colder pack is not charged."""
    charge_temp_max_c: float = Field(default=50.0, ge=20, le=70)
    """From here on it is not charged."""
    limits: PackLimits = PackLimits()
    """The pack maker's warn, limit and stop values; the defaults are a fallback for LFP packs."""


class RackDeviceSection(Section):
    """One Modbus endpoint behind which chargers and BMS of several bays answer."""

    id: Identifier
    """Name of the endpoint."""
    host: str = "127.0.0.1"
    """Its address."""
    port: int = Field(ge=1, le=65535)
    """Its TCP port; 502 at most devices."""
    device_id: int = Field(default=1, ge=0, le=255)
    """Modbus unit identifier."""
    register_map: str = "bay_charger_v1"
    """Name of a shipped map, or path of a TOML file relative to the station file."""
    poll_s: float = Field(default=1.0, ge=0.05, le=60)
    """How often every bay is read."""
    timeout_s: float = Field(default=0.8, gt=0, le=30)
    """A request without an answer for this long is lost."""
    max_registers: MaxRegisters = MAX_READ
    """Most registers in one request. Lower it where a gateway refuses longer ones; a longer read is then split."""
    max_age_s: float = Field(default=10.0, gt=0, le=300)
    """An older reading, or a BMS counter that stands still this long, is unknown: 0 kW."""
    rated_kw: float | None = Field(default=None, gt=0, le=10_000)
    """Most the power cabinet behind this endpoint gives; None when each charger has its own supply."""
    setpoint_expires_s: int = Field(default=30, ge=2, le=600)
    """Chargers fall to 0 kW when no set-point arrives for this long (real seconds)."""


class BayPointSection(Section):
    """Where one bay's charger and BMS lie inside its rack device."""

    device: Identifier
    """The rack device behind which it lies."""
    base_address: int = Field(ge=0, le=65535)
    """Added to every address of the register map."""


class BaySection(Section):
    """One bay of the rack."""

    id: Identifier
    """Name of the bay."""
    position: int = Field(ge=1, le=99)
    """Number of the bay in the robot's location codes and in the PLC's occupancy bits."""
    role: Literal["rack", "transfer", "quarantine"] = "rack"
    """"rack" is charged and stored in, "transfer" a set-down place, "quarantine" for packs in doubt."""
    charger_kw: float = Field(default=0.0, ge=0, le=2000)
    """Rating of its charger (DC output); 0: none."""
    kinds: tuple[Identifier, ...] = ()
    """Kinds of packs that fit; empty: every kind."""
    lanes: tuple[Identifier, ...] = ()
    """Lanes whose robot reaches it; empty: every lane."""
    neighbours: tuple[Identifier, ...] = ()
    """Bays beside it, to which a fire could spread."""
    point: BayPointSection | None = None
    """Where its charger and BMS answer; a rack bay needs it."""


class SiteDeviceSection(Section):
    """A device beside the rack."""

    address: ModbusAddress
    """Where it answers."""
    register_map: str
    """Name of a shipped map, or path of a TOML file relative to the station file."""
    max_age_s: float = Field(default=10.0, gt=0, le=300)
    """An older reading, or a counter of samples that stands still this long, is unknown."""


class MeterSection(SiteDeviceSection):
    """The site meter."""

    register_map: str = "site_meter_v1"
    """Name of a shipped map, or path of a TOML file relative to the station file."""
    max_age_s: float = Field(default=10.0, gt=0, le=300)
    """An older reading is unknown; the import is then reckoned from set-points."""


class PvPlantSection(SiteDeviceSection):
    """Photovoltaics on site."""

    register_map: str = "pv_meter_v1"
    """Name of a shipped map (`sunspec_pv_v1` for inverters by SunSpec), or path of a TOML file relative to the station
    file."""
    peak_kw: float = Field(gt=0, le=100_000)
    """Peak power."""
    max_age_s: float = Field(default=30.0, gt=0, le=300)
    """An older reading, or a counter of samples that stands still this long, is unknown: no sun is counted on."""


class StorageDeviceSection(SiteDeviceSection):
    """Where stationary storage answers, and how long its orders hold."""

    register_map: str = "storage_v1"
    """Name of a shipped map (`sunspec_storage_v1` for storage by SunSpec), or path of a TOML file relative to the
    station file."""
    max_age_s: float = Field(default=10.0, gt=0, le=300)
    """An older reading, or a counter of samples that stands still this long, is unknown: the storage rests and is not
    counted on."""
    order_expires_s: int = Field(default=30, ge=2, le=600)
    """The storage rests by itself when no order arrives for this long (real seconds)."""
