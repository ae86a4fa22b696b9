"""The site meter over Modbus TCP."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from battery_bms.config import MeterSection
from battery_bms.entries import METER_NEEDED
from battery_bms.port import MeterReading
from battery_bms.rack_device import LinkFactory, modbus_link
from battery_bms.site_device import SiteDevice


class ModbusMeter:
    """`SiteMeter` over Modbus TCP: power and energy at the point of common coupling (map `site_meter_v1`).

    A meter that is frozen, as `SiteDevice` says, gives no new reading, and the last one ages like that of a meter that
    does not answer.
    """

    def __init__(
        self,
        section: MeterSection,
        now: Callable[[], datetime],
        *,
        folder: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        link_factory: LinkFactory = modbus_link,
    ) -> None:
        """Build the driver; opens nothing. Raises MapError when the map cannot be used."""
        self._device = SiteDevice(
            "site meter", section, METER_NEEDED, now, folder=folder, monotonic=monotonic, link_factory=link_factory
        )
        self._reading: MeterReading | None = None

    async def connect(self) -> None:
        """Open the link; returns even when the meter does not answer yet."""
        await self._device.link.connect()

    async def close(self) -> None:
        """Close the link."""
        await self._device.link.close()

    async def read(self) -> MeterReading | None:
        """Read the meter; the newest reading, or None when there never was one."""
        sample = await self._device.sample()
        if sample is not None:
            power_kw, energy_kwh = sample.number("import_kw"), sample.number("import_kwh")
            if power_kw is not None and energy_kwh is not None:
                self._reading = MeterReading(sample.at, power_kw, energy_kwh, sample.number("export_kwh"))
        return self._reading
