"""The site beside the rack, live: meter, photovoltaics and storage are read, the storage gets its orders.

In one cycle the storage's support goes into the limits, the charging plan shares the power of the site, and the storage
is then told what to do with what the chargers will draw: the order of `scheduler.storage`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from typing import Protocol, TypeVar

from battery_bms.port import RESPONSE_S, PvMeter, SiteMeter, StorageInverter, StorageOrder
from scheduler.charging import is_short
from scheduler.response.floor import floor_at
from scheduler.storage import plan_storage
from scheduler.types import Setpoint, SiteLimits, StationMode, TariffSlice
from swap.station.context import StationContext
from swap.station.life.ownership import NOT_OURS
from swap.station.power.view import fresh_storage, meter_kw

log = logging.getLogger(__name__)

REST = StorageOrder(0.0)
METER_KW = 1.0
"""What the meter shows beyond the reckoning by less is taken for its error."""
SHORT_SHARE = 0.05
"""Share of its rating by which it may fall short."""
EMPTY_SHARE = 0.1
"""Share of its energy below which a storage that gives less than told is no fault (assumed); it counts with that."""
PROBE_SHARE = 0.1
"""Share of its rating that a storage which fell short is asked for while it has nothing to do."""
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


def _as_measured(limits: SiteLimits) -> SiteLimits:
    """Limits whose base load is what the meter shows of the rest of the site, where that is more than reckoned: the
    charging plan goes by the meter, and counts on the storage for what the meter shows."""
    measured_kw, charging_kw, storage_kw = limits.measured_import_kw, limits.charging_kw, limits.storage_now_kw
    if measured_kw is None or charging_kw is None or storage_kw is None:
        return limits
    rest_kw = measured_kw - charging_kw / limits.charger_efficiency + storage_kw
    more_kw = rest_kw - (limits.base_load_kw - limits.pv_kw)
    return replace(limits, base_load_kw=limits.base_load_kw + more_kw) if METER_KW < more_kw < inf else limits


@dataclass(frozen=True, slots=True)
class Disobedience:
    """Orders that the storage does not confirm, or does not follow."""

    since_at: datetime
    last_at: datetime
    reason: str


def _kind(order: StorageOrder) -> tuple[bool, bool]:
    """What an order asks, apart from how much: a change of the amount needs no new time to respond."""
    return order.power_kw < 0, order.hold_import_kw is not None


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
        self.refused: Disobedience | None = None
        """Orders that are not confirmed; None while they are."""
        self.short: Disobedience | None = None
        """Orders that are confirmed and not followed; None while they are, as far as that can be told."""
        self._kind = _kind(REST)
        self._kind_since_at = context.clock.now()

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
        self._watch_storage()

    def decide(
        self, plan: Mapping[str, Setpoint], limits: SiteLimits, tariff: Sequence[TariffSlice], mode: StationMode
    ) -> StorageOrder:
        """What the storage is to do beside a charging plan; it rests in a fire and while it is not known, and gives
        nothing for its price while the import is raised."""
        reading, section = fresh_storage(self.context), self.context.config.site.storage
        if reading is None or section is None or mode is StationMode.FIRE:
            return REST
        charging_kw = sum(setpoint.power_kw for setpoint in plan.values()) / limits.charger_efficiency
        now = self.context.clock.now()
        view = section.view(
            now, _as_measured(limits), reading.energy_kwh, charging_kw, chargers_short=is_short(plan.values())
        )
        decided = plan_storage(view, () if floor_at(self.context.floors, now) > 0.0 else tariff)
        probe_kw = PROBE_SHARE * section.rating_kw
        if self.short is not None and decided.power_kw == 0.0 and (limits.measured_import_kw or 0.0) > probe_kw:
            return StorageOrder(-probe_kw)  # else nothing would ever show that it follows again
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
        if _kind(order) != self._kind:
            self._kind, self._kind_since_at = _kind(order), self.context.clock.now()
        self.order = order
        trouble = await self.storage.command(order)
        before, now = self.refused, self.context.clock.now()
        if trouble is None:
            if before is not None:
                log.info("the storage confirms its orders again")
            self.refused = None
            self._count_on_it()
            return None
        if before is None:
            log.error("the storage does not confirm its order: %s", trouble)
        self.refused = Disobedience(now if before is None else before.since_at, now, trouble)
        self._count_on_it()
        return trouble

    def _count_on_it(self) -> None:
        context = self.context
        lasts = self.short is not None and not context.is_young(self.short.since_at, RESPONSE_S)
        context.storage_obeys = self.refused is None and not lasts

    def _watch_storage(self) -> None:
        """Does the storage follow its order? One that was found short is trusted again once it follows another one."""
        context, lacks_kw = self.context, self._lacks_kw()
        now, before = context.clock.now(), self.short
        if lacks_kw is not None and lacks_kw <= 0.0:
            self.short = None
        elif lacks_kw is not None:
            said = f"confirmed and not followed: {lacks_kw:.0f} kW are lacking"
            self.short = Disobedience(now if before is None else before.since_at, now, said)
        elif before is not None and context.is_young(before.since_at, RESPONSE_S):
            self.short = None  # it fell short for an instant
        self._count_on_it()

    def _lacks_kw(self) -> float | None:
        """Power by which the storage gives less than it was told, beyond tolerance, at most 0 where it does not; None
        where that cannot be told: not ordered to give, told so just now, not heard.

        What it takes while it charges is left out: no limit rests on it, and batteries take less when nearly full.
        """
        context, order, section = self.context, self.order, self.context.config.site.storage
        reading = fresh_storage(context)
        if section is None or reading is None or order.power_kw >= 0.0:
            return None
        if context.is_young(self._kind_since_at, RESPONSE_S):
            return None
        gives_kw, wanted_kw = -reading.power_kw, -order.power_kw
        if order.hold_import_kw is not None:
            measured_kw = meter_kw(context)
            if measured_kw is None:
                return None
            wanted_kw = gives_kw + measured_kw - order.hold_import_kw
        slack_kw = SHORT_SHARE * section.rating_kw
        wanted_kw = min(wanted_kw, section.rating_kw)
        return wanted_kw - slack_kw - gives_kw if wanted_kw > slack_kw else None
