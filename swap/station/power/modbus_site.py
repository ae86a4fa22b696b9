"""The drivers of what stands beside the rack, as the station file names them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from battery_bms.modbus_meter import ModbusMeter
from battery_bms.modbus_pv import ModbusPv
from battery_bms.modbus_storage import ModbusStorage
from battery_bms.rack_device import LinkFactory, modbus_link
from swap.config.station_file import StationConfig
from swap.station.power.site import SiteDevices


def modbus_site(
    config: StationConfig,
    now: Callable[[], datetime],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    link_factory: LinkFactory = modbus_link,
) -> SiteDevices:
    """A driver for each device that the file has; opens nothing. Raises MapError for a map that cannot be used.

    Args:
        now: station time.
        monotonic: real seconds.
    """
    site, folder = config.site, config.folder
    meter = pv = storage = None
    if site.meter is not None:
        meter = ModbusMeter(site.meter, now, folder=folder, monotonic=monotonic, link_factory=link_factory)
    if site.pv is not None:
        pv = ModbusPv(site.pv, now, folder=folder, monotonic=monotonic, link_factory=link_factory)
    if site.storage is not None:
        storage = ModbusStorage(
            site.storage,
            now,
            capacity_kwh=site.storage.energy_kwh,
            rating_kw=site.storage.power_kw,
            folder=folder,
            monotonic=monotonic,
            link_factory=link_factory,
        )
    return SiteDevices(meter, pv, storage)
