"""The site beside the rack, live: meter, photovoltaics and storage are read, the storage gets its orders.

In one cycle the storage's support goes into the limits, the charging plan shares the power of the site, and the storage
is then told what to do with what the chargers will draw: the order of `scheduler.storage`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from battery_bms.port import PvMeter, SiteMeter, StorageInverter, StorageOrder
from scheduler.charging import is_short
from scheduler.storage import plan_storage
from scheduler.types import Setpoint, SiteLimits, StationMode, TariffSlice
from swap.station.context import StationContext
from swap.station.life.ownership import NOT_OURS
from swap.station.power.view import fresh_storage

log = logging.getLogger(__name__)

REST = StorageOrder(0.0)
Reading_co = TypeVar("Reading_co", covariant=True)


@dataclass(frozen=True, slots=True)
class SiteDevices:
    """The ports of the site; None where there is none."""

    meter: SiteMeter | None = None
    pv: PvMeter | None = None
    storage: StorageInverter | None = None


class _Readable(Protocol[Reading_co]):
    async def read(self) -> Reading_co | None: ...


async def _read(device: _Readable[Reading_co] | None) -> Reading_co | None:
    return None if device is None else await device.read()


class SiteRunner:
    """Reads the site's devices and commands the storage; writes nothing once the station may be another controller's.

    Args:
        sure: whether the station is this controller's.
    """

    def __init__(
        self,
        context: StationContext,
        devices: SiteDevices,
        sure: Callable[[], bool],
    ) -> None:
        self.context = context
        self.meter, self.pv, self.storage = devices.meter, devices.pv, devices.storage
        self._sure = sure
        self.order = REST
        """The newest order."""
        self.refused: tuple[datetime, str] | None = None
        """Since when orders are not confirmed, and why; None while they are."""

    async def connect(self) -> None:
        """Open every link; returns even when nothing answers yet."""
        for device in (self.meter, self.pv, self.storage):
            if device is not None:
                await device.connect()

    async def close(self) -> None:
        """Close every link."""
        for device in (self.meter, self.pv, self.storage):
            if device is not None:
                await device.close()

    async def look(self) -> None:
        """Read every device, all at the same time: one that does not answer costs its own time limit once."""
        context = self.context
        context.meter, context.pv, context.storage = await asyncio.gather(
            _read(self.meter), _read(self.pv), _read(self.storage)
        )

    def decide(
        self, plan: Mapping[str, Setpoint], limits: SiteLimits, tariff: Sequence[TariffSlice], mode: StationMode
    ) -> StorageOrder:
        """What the storage is to do beside a charging plan; it rests in a fire and while it is not known."""
        reading, section = fresh_storage(self.context), self.context.config.site.storage
        if reading is None or section is None or mode is StationMode.FIRE:
            return REST
        charging_kw = sum(setpoint.power_kw for setpoint in plan.values()) / limits.charger_efficiency
        now = self.context.clock.now()
        view = section.view(now, limits, reading.energy_kwh, charging_kw, chargers_short=is_short(plan.values()))
        decided = plan_storage(view, tariff)
        if self.storage is not None and not self.storage.follows_load:
            return StorageOrder(decided.power_kw)
        return StorageOrder(decided.power_kw, decided.held_import_kw(limits.import_limit_kw))

    async def rest(self) -> None:
        """Stop the storage."""
        await self.command(REST)

    async def command(self, order: StorageOrder) -> str | None:
        """Give the storage an order; why it is not confirmed, None when it is or there is none."""
        if self.storage is None:
            return None
        if not self._sure():
            return NOT_OURS
        self.order = order
        trouble = await self.storage.command(order)
        if trouble is None:
            if self.refused is not None:
                log.info("the storage confirms its orders again")
            self.refused = None
        elif self.refused is None:
            log.error("the storage does not confirm its order: %s", trouble)
            self.refused = (self.context.clock.now(), trouble)
        return trouble
