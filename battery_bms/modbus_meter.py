"""The site meter over Modbus TCP."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from battery_bms.config import MeterSection
from battery_bms.entries import METER_NEEDED
from battery_bms.port import MeterReading
from battery_bms.rack_device import LinkFactory, modbus_link
from robotics.modbus_link.link import LinkLost, Refused
from robotics.modbus_link.registers import MapError, Value, load_map

logger = logging.getLogger(__name__)


class ModbusMeter:
    """`SiteMeter` over Modbus TCP: power and energy at the point of common coupling (map `site_meter_v1`).

    A meter that answers with the same `sample_counter` for longer than `max_age_s` of real time is frozen: it
    gives no new reading, and the last one ages like that of a meter that does not answer.
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
        self._section = section
        self._map = load_map(section.register_map, folder)
        missing = self._map.missing(METER_NEEDED)
        if missing:
            raise MapError(self._map.name, [f"entry {name!r}: missing; a site meter needs it" for name in missing])
        self._reads = self._map.reads_within(section.address.max_registers)
        self._link = link_factory(section.address, "site meter")
        self._now = now
        self._monotonic = monotonic
        self._reading: MeterReading | None = None
        self._sample: tuple[Value, float] | None = None
        self._refusing = False

    async def connect(self) -> None:
        """Open the link; returns even when the meter does not answer yet."""
        await self._link.connect()

    async def close(self) -> None:
        """Close the link."""
        await self._link.close()

    async def read(self) -> MeterReading | None:
        """Read the meter; the newest reading, or None when there never was one."""
        values: dict[str, Value] = {}
        at: datetime | None = None
        try:
            for block, spans in self._reads.items():
                words: dict[int, int] = {}
                for span in spans:
                    answer = await self._link.read(span.address, span.count)
                    at = at or self._now()
                    words.update(zip(range(span.address, span.address + span.count), answer, strict=True))
                values |= self._map.decode(block, words)
        except LinkLost as error:
            logger.debug("site meter: %s", error)
            return self._reading
        except Refused as error:
            logger.log(logging.DEBUG if self._refusing else logging.ERROR, "site meter: %s", error)
            self._refusing = True
            return self._reading
        power_kw, energy_kwh = values.get("import_kw"), values.get("import_kwh")
        exported_kwh = values.get("export_kwh")
        if (
            at is not None
            and not self._frozen(values.get("sample_counter"))
            and isinstance(power_kw, int | float)
            and isinstance(energy_kwh, int | float)
        ):
            self._reading = MeterReading(
                at=at,
                import_kw=float(power_kw),
                import_kwh=float(energy_kwh),
                export_kwh=float(exported_kwh) if isinstance(exported_kwh, int | float) else None,
            )
        return self._reading

    def _frozen(self, sample: Value) -> bool:
        if "sample_counter" not in self._map.entries:
            return False
        now_s = self._monotonic()
        if self._sample is None or self._sample[0] != sample:
            self._sample = (sample, now_s)
        return now_s - self._sample[1] > self._section.max_age_s
