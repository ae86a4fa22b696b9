"""Photovoltaics over Modbus TCP."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from battery_bms.config import PvPlantSection
from battery_bms.entries import PV_NEEDED
from battery_bms.port import PvReading
from battery_bms.rack_device import LinkFactory, modbus_link
from battery_bms.site_device import SiteDevice

NIGHT_SHARE = 0.02
"""Share of its peak power that an inverter may draw at night and still be read as giving 0 kW; more is no photovoltaics
(assumed: data sheets of string inverters give some ten watts, and a transformer of its own adds up to 1 %)."""


class ModbusPv:
    """`PvMeter` over Modbus TCP: AC power of the photovoltaics (maps `pv_meter_v1`, `sunspec_pv_v1`).

    What the inverters draw at night is read as 0 kW. A device that is frozen, as `SiteDevice` says, gives no new
    reading.
    """

    def __init__(
        self,
        section: PvPlantSection,
        now: Callable[[], datetime],
        *,
        folder: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        link_factory: LinkFactory = modbus_link,
    ) -> None:
        """Build the driver; opens nothing. Raises MapError when the map cannot be used."""
        self._device = SiteDevice(
            "photovoltaics", section, PV_NEEDED, now, folder=folder, monotonic=monotonic, link_factory=link_factory
        )
        self._night_kw = NIGHT_SHARE * section.peak_kw
        self._reading: PvReading | None = None

    async def connect(self) -> None:
        """Open the link; returns even when nothing answers yet."""
        await self._device.link.connect()

    async def close(self) -> None:
        """Close the link."""
        await self._device.link.close()

    async def read(self) -> PvReading | None:
        """Read the photovoltaics; the newest reading, or None when there never was one."""
        sample = await self._device.sample()
        power_kw = None if sample is None else sample.number("power_kw")
        if sample is not None and power_kw is not None and power_kw >= -self._night_kw:
            self._reading = PvReading(sample.at, max(power_kw, 0.0))
        return self._reading
