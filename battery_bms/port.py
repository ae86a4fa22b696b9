"""Ports to the rack: readings of packs and chargers, charging set-points, the site meter.

Behaviour every driver keeps:

* A reading carries the instant it was taken. A device that does not answer gives no new reading; the
  old one ages. Unknown is ``None``, never 0.
* A charging set-point expires in the charger by itself (`expires_s`), so a dead controller means 0 kW.
* `stop_all()` tries every charger and returns even without a link; it reports those not confirmed.
* One dead device never delays the others beyond its own time budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Protocol


class ChargerState(IntEnum):
    """State word of a rack charger."""

    OFF = 0
    IDLE = 1
    CHARGING = 2
    FAULT = 3


BMS_VALUES = (
    "soc_pct",
    "energy_kwh",
    "soh_pct",
    "voltage_v",
    "current_a",
    "temp_max_c",
    "temp_min_c",
    "cell_max_v",
    "cell_min_v",
    "insulation_ohm_per_v",
    "max_charge_kw",
    "discharged_kwh",
)
"""Fields of a reading that only the BMS of the pack can tell, beside its alarms; registers have the same names."""


MOST_DISCHARGED_KWH = 5_000_000.0
"""What a BMS's counter says beyond is a register that is not served (assumed: no pack gives so much in its life)."""


OVER_PEAK = 1.3
"""Share of their peak power up to which what photovoltaics tell is believed: light at the edges of clouds exceeds that
of the peak by less; assumed."""
RESPONSE_S = 5.0
"""Real seconds that a storage has to follow an order, and for which it may fall short of it (assumed: inverters follow
within one; meter and storage are not read in the same instant)."""


BILLED_VALUES = ("energy_kwh", "discharged_kwh", "meter_kwh")
"""Fields of a reading that a bill may rest on: their registers are kept with it."""


@dataclass(frozen=True, slots=True)
class WireRead:
    """The registers of one value as they were read, and how they make it: raw × scale × 10^power + offset."""

    unit_id: int
    """Device that answered."""
    function_code: int
    """Of Modbus: 3 reads holding registers."""
    address: int
    """Of the first register, from 0 as on the wire."""
    words: tuple[int, ...]
    type: str
    """u16, i32, f32, …"""
    word_order: str
    """Which word comes first: big or little."""
    raw: int | float
    """The number that the words make."""
    scale: float
    offset: float
    power: int
    """Scale factor of the device, as a power of ten; 0 where it has none."""


@dataclass(frozen=True, slots=True)
class PackReading:
    """One bay's charger and, where a pack sits in it, its BMS. Charging current and power are positive."""

    bay_id: str
    at: datetime
    present: bool | None
    """A pack answers in this bay."""
    pack_id: str | None
    """GB/T 34014 code as the BMS gives it; None when no pack answers."""
    soc_pct: float | None
    energy_kwh: float | None
    """Remaining energy as the BMS gives it."""
    soh_pct: float | None
    voltage_v: float | None
    current_a: float | None
    temp_max_c: float | None
    temp_min_c: float | None
    cell_max_v: float | None
    cell_min_v: float | None
    insulation_ohm_per_v: float | None
    max_charge_kw: float | None
    """What the BMS allows now."""
    alarm_level: int
    alarm_bits: int
    """Bits of GB/T 32960 (standards.md 2.3)."""
    charger_state: ChargerState | None
    charger_fault: int
    charge_kw: float | None
    """Measured output."""
    setpoint_kw: float | None
    """Set-point as the charger echoes it."""
    meter_kwh: float | None
    """Charger's cumulative energy counter."""
    discharged_kwh: float | None = None
    """Cumulative counter of the BMS: energy given since the pack was made; what rents by energy rest on."""
    wire: Mapping[str, WireRead] = field(default_factory=dict)
    """Registers of `BILLED_VALUES` by field, of those that were read from registers."""


@dataclass(frozen=True, slots=True)
class MeterReading:
    """Site meter."""

    at: datetime
    import_kw: float
    """Negative while the site exports."""
    import_kwh: float
    export_kwh: float | None = None
    """None when the meter does not count it."""


@dataclass(frozen=True, slots=True)
class PvReading:
    """What the photovoltaics give."""

    at: datetime
    power_kw: float
    """AC, 0 or more."""


@dataclass(frozen=True, slots=True)
class StorageReading:
    """Stationary storage."""

    at: datetime
    energy_kwh: float
    """Stored, at its cells."""
    power_kw: float
    """At the grid's side: charge (positive) or discharge (negative)."""


@dataclass(frozen=True, slots=True)
class StorageOrder:
    """What a storage is to do. `power_kw` is both the set-point and, where it follows the load, its direction."""

    power_kw: float
    """Charge (positive) or discharge (negative), at the grid's side; 0: rest."""
    hold_import_kw: float | None = None
    """Follow the load so that the site's import stays here, between 0 and the rating in the direction of `power_kw`;
    None: keep `power_kw`."""


class PackMonitor(Protocol):
    """Reads every bay."""

    async def connect(self) -> None:
        """Open the links; returns even when a device does not answer yet."""

    async def read_bays(self) -> Mapping[str, PackReading]:
        """The newest reading of each bay, by bay id; a bay never read is absent."""

    async def close(self) -> None:
        """Close the links."""


class ChargerBank(Protocol):
    """Commands every charger."""

    async def set_charge_kw(self, setpoints_kw: Mapping[str, float]) -> Mapping[str, str]:
        """Write set-points by bay id. Returns the bays not confirmed, with the reason."""

    async def stop_all(self) -> Mapping[str, str]:
        """Set 0 kW everywhere. Returns the bays not confirmed, with the reason."""


class SiteMeter(Protocol):
    """Reads the point of common coupling."""

    async def connect(self) -> None:
        """Open the link; returns even when the meter does not answer yet."""

    async def read(self) -> MeterReading | None:
        """The newest reading, or None when there never was one."""

    async def close(self) -> None:
        """Close the link."""


class PvMeter(Protocol):
    """Reads the photovoltaics."""

    async def connect(self) -> None:
        """Open the link; returns even when nothing answers yet."""

    async def read(self) -> PvReading | None:
        """The newest reading, or None when there never was one."""

    async def close(self) -> None:
        """Close the link."""


class StorageInverter(Protocol):
    """Reads and commands the stationary storage. An order expires in it by itself, so a dead controller means rest."""

    @property
    def follows_load(self) -> bool:
        """It can hold the import by itself. Otherwise an order with `hold_import_kw` is refused, and it keeps the
        set-point of any other until the next order."""

    async def connect(self) -> None:
        """Open the link; returns even when nothing answers yet."""

    async def read(self) -> StorageReading | None:
        """The newest reading, or None when there never was one."""

    async def command(self, order: StorageOrder) -> str | None:
        """Give an order. Returns why it is not confirmed; None when it is."""

    async def close(self) -> None:
        """Close the link."""
