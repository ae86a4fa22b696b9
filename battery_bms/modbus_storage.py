"""Stationary storage over Modbus TCP."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path

from battery_bms.config import StorageDeviceSection
from battery_bms.entries import STORAGE_ECHO, STORAGE_ENERGY, STORAGE_NEEDED
from battery_bms.port import StorageOrder, StorageReading
from battery_bms.rack_device import LinkFactory, modbus_link
from battery_bms.site_device import DeviceSample, SiteDevice
from robotics.modbus_link.link import LinkLost, Refused
from robotics.modbus_link.registers import MapError, RegisterMap, Span, Value

ECHO_LOOKS = 5
"""Looks at the echo before an order counts as not taken."""
ECHO_WAIT_S = 0.1
"""Real seconds between two of them; the cycle of inverters is of this order."""
_LAST_COUNTER = 65534  # 65535 stands for "not available" in the echo, 0 for "no order yet"


class ModbusStorage:
    """`StorageInverter` over Modbus TCP (maps `storage_v1`, `sunspec_storage_v1`).

    An order is one request: set-point, what import to hold where the map carries that, time after which it ends by
    itself, constants of the map's write block, and its number where the map has one. It is confirmed by the echo
    entries of the map; without them by reading back what was written.

    Args:
        section: its address, map and times.
        capacity_kwh: what it can hold; the energy where the device tells its state of charge only.
        rating_kw: no order asks for more, both ways.
        sleep: waits between two looks at the echo, real seconds.
    """

    def __init__(
        self,
        section: StorageDeviceSection,
        now: Callable[[], datetime],
        *,
        capacity_kwh: float,
        rating_kw: float,
        folder: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        link_factory: LinkFactory = modbus_link,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Build the driver; opens nothing. Raises MapError when the map cannot be used."""
        self._section = section
        self._device = SiteDevice(
            "storage", section, STORAGE_NEEDED, now, folder=folder, monotonic=monotonic, link_factory=link_factory
        )
        file_map = self._device.file_map
        if len(file_map.missing(STORAGE_ENERGY)) == len(STORAGE_ENERGY):
            raise MapError(file_map.name, [f"entries {' and '.join(STORAGE_ENERGY)}: missing; a storage needs one"])
        self.follows_load = "cmd_hold_import_kw" in file_map.entries
        self._capacity_kwh, self._rating_kw = capacity_kwh, rating_kw
        self._sleep = sleep
        self._sample: DeviceSample | None = None
        self._reading: StorageReading | None = None
        self._number: int | None = None

    async def connect(self) -> None:
        """Open the link; returns even when nothing answers yet."""
        await self._device.link.connect()

    async def close(self) -> None:
        """Close the link."""
        await self._device.link.close()

    async def read(self) -> StorageReading | None:
        """Read the storage; the newest reading, or None when there never was one."""
        sample = await self._device.sample()
        if sample is None:
            return self._reading
        self._sample = sample
        power_kw, energy_kwh, soc_pct = map(sample.number, ("power_kw", *STORAGE_ENERGY))
        if energy_kwh is None and soc_pct is not None:
            energy_kwh = soc_pct / 100.0 * self._capacity_kwh
        if power_kw is not None and energy_kwh is not None:
            self._reading = StorageReading(sample.at, energy_kwh, power_kw)
        return self._reading

    async def command(self, order: StorageOrder) -> str | None:
        """Give an order. Returns why it is not confirmed; None when it is."""
        if order.hold_import_kw is not None and not self.follows_load:
            return "it cannot follow the load by itself: its register map has no cmd_hold_import_kw"
        try:
            register_map = await self._device.map()
            if self._sample is None:  # scale factors, and the number of the order it took last
                self._sample = await self._device.read(register_map, self._reads(register_map))
            values = self._values(register_map, order)
            ((address, words),) = register_map.encode(values, self._sample.words)
            await self._device.link.write(address, words)
            return await self._not_taken(register_map, values, address, words)
        except LinkLost as error:
            return f"no answer: {error}"
        except Refused as error:
            self._device.refused(error)
            return f"refused: {error}"
        except MapError as error:
            return str(error)

    def _values(self, register_map: RegisterMap, order: StorageOrder) -> dict[str, Value]:
        power_kw = order.power_kw if math.isfinite(order.power_kw) else 0.0
        values: dict[str, Value] = {
            entry.name: register_map.constant(entry)
            for entry in register_map.entries.values()
            if entry.const is not None and register_map.blocks[entry.block].access == "write"
        }
        values["cmd_power_kw"] = min(max(power_kw, -self._rating_kw), self._rating_kw)
        values["cmd_expires_s"] = self._section.order_expires_s
        if self.follows_load:
            values["cmd_hold_import_kw"] = order.hold_import_kw
        if "cmd_counter" in register_map.entries:
            assert self._sample is not None
            taken = self._sample.number("order_counter")
            if self._number is None:
                self._number = None if taken is None else int(taken)
            self._number = (self._number or 0) % _LAST_COUNTER + 1
            values["cmd_counter"] = self._number
        return values

    async def _not_taken(
        self, register_map: RegisterMap, values: Mapping[str, Value], address: int, words: list[int]
    ) -> str | None:
        echo = {name: entry for name, entry in STORAGE_ECHO.items() if {name, entry} <= register_map.entries.keys()}
        reason = ""
        for look in range(ECHO_LOOKS):
            if look:
                await self._sleep(ECHO_WAIT_S)
            if echo:
                found = (await self._device.read(register_map, self._reads(register_map))).values
                apart = [
                    f"{entry} = {found[entry]}, written {values[name]}"
                    for name, entry in echo.items()
                    if not _same(found[entry], values[name], register_map.entries[name].scale)
                ]
            else:
                back = await self._device.link.read(address, len(words))
                apart = [] if back == words else [f"registers from {address} = {back}, written {words}"]
            if not apart:
                return None
            reason = "; ".join(apart)
        return f"not taken: {reason}"

    def _reads(self, register_map: RegisterMap) -> Mapping[str, tuple[Span, ...]]:
        return register_map.reads_within(self._section.address.max_registers)


def _same(found: Value, written: Value, step: float) -> bool:
    if isinstance(found, int | float) and isinstance(written, int | float):
        return abs(found - written) <= abs(step) / 2 + 1e-9
    return found is None and written is None
