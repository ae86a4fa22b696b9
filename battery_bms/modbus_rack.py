"""The rack over Modbus TCP: every bay's charger and BMS, behind one or several endpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from battery_bms.config import BaySection, RackDeviceSection
from battery_bms.port import PackReading
from battery_bms.rack_device import LinkFactory, RackDevice, modbus_link
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.registers import load_map

STOP_EFFORT = 3
"""Stopping may take this many times the budget of an ordinary write: a stop is worth trying harder."""


class ModbusRack:
    """`PackMonitor` and `ChargerBank` over Modbus TCP; the wire protocol is in `rack_device.py`.

    Endpoints are worked on side by side, each within its own time budget: a dead one costs the others nothing
    and the caller at most that budget. Readings are stamped when they are read; an endpoint that does not
    answer leaves the old ones to age.

    Set-points are bounded to 0…rating and rounded down. Those that lower a charger's power go out first;
    while one of them is not confirmed, nothing is raised, until the old set-point has expired in the charger
    by itself. So the sum on the wire never passes the larger of the old and the new plan.
    """

    def __init__(
        self,
        devices: Iterable[RackDeviceSection],
        bays: Iterable[BaySection],
        now: Callable[[], datetime],
        *,
        folder: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        link_factory: LinkFactory = modbus_link,
    ) -> None:
        """Build the devices; opens nothing.

        Args:
            devices: the endpoints of the station file.
            bays: its bays; those without a point take no part.
            now: station time that stamps readings.
            folder: where relative paths of register maps start.
            monotonic: real seconds, for budgets, silent BMS and expiry.
            link_factory: makes the link of an endpoint from its address and name.

        Raises:
            MapError: a register map is missing, not valid, or lacks what a charger needs.
        """
        self._monotonic = monotonic
        self._stops = 0
        self._planning = asyncio.Lock()
        points = [(bay, bay.point) for bay in bays if bay.point is not None]
        self._devices: list[RackDevice] = []
        for section in devices:
            address = ModbusAddress(
                host=section.host,
                port=section.port,
                device_id=section.device_id,
                timeout_s=section.timeout_s,
                max_registers=section.max_registers,
            )
            self._devices.append(
                RackDevice(
                    section,
                    [(bay, point) for bay, point in points if point.device == section.id],
                    load_map(section.register_map, folder),
                    link_factory(address, section.id),
                    now,
                    monotonic,
                )
            )
        self._device_of = {bay_id: device for device in self._devices for bay_id in device.bays}

    async def connect(self) -> None:
        """Open the links; returns even when a device does not answer yet."""
        await asyncio.gather(*(device.link.connect() for device in self._devices))

    async def close(self) -> None:
        """Close the links. Chargers then stop by themselves when their set-points expire."""
        await asyncio.gather(*(device.link.close() for device in self._devices))

    async def read_bays(self) -> Mapping[str, PackReading]:
        """Read every device once; the newest reading of each bay, a bay never read is absent."""
        await asyncio.gather(*(device.poll() for device in self._devices))
        return {
            bay_id: bay.reading
            for device in self._devices
            for bay_id, bay in device.bays.items()
            if bay.reading is not None
        }

    async def set_charge_kw(self, setpoints_kw: Mapping[str, float]) -> Mapping[str, str]:
        """Write set-points by bay id. Returns the bays not confirmed, with the reason.

        A bay without a charger is confirmed at 0 kW without a word on the wire. Calls take turns; a
        `stop_all` does not wait for them, it withdraws what they have not written yet.
        """
        stops = self._stops
        async with self._planning:
            return await self._set_charge_kw(setpoints_kw, lambda: self._stops != stops)

    async def _set_charge_kw(
        self, setpoints_kw: Mapping[str, float], withdrawn: Callable[[], bool]
    ) -> Mapping[str, str]:
        reasons: dict[str, str] = {}
        wanted: dict[str, float] = {}
        for bay_id, power_kw in setpoints_kw.items():
            device = self._device_of.get(bay_id)
            if device is not None and device.bays[bay_id].section.charger_kw > 0.0:
                wanted[bay_id] = power_kw
            elif power_kw > 0.0:
                reasons[bay_id] = f"bay {bay_id} has no charger on any rack device; only 0 kW is possible"
        for device in self._devices:
            wanted |= device.within_rating({b: kw for b, kw in wanted.items() if b in device.bays})
        now_s = self._monotonic()
        before = {bay_id: self._device_of[bay_id].bays[bay_id].assumed_kw(now_s) for bay_id in wanted}
        lower = {bay_id: kw for bay_id, kw in wanted.items() if kw <= before[bay_id]}
        higher = {bay_id: kw for bay_id, kw in wanted.items() if bay_id not in lower}
        reasons |= await self._apply(lower, withdrawn)
        stuck = [bay_id for bay_id, kw in lower.items() if self._may_exceed(bay_id, kw)]
        if stuck and higher:
            why = f"not raised: bay {', '.join(stuck)} has not confirmed its lower set-point"
            kept = {bay_id: before[bay_id] for bay_id in higher}
            return reasons | dict.fromkeys(higher, why) | await self._apply(kept, withdrawn)
        return reasons | await self._apply(higher, withdrawn)

    async def stop_all(self) -> Mapping[str, str]:
        """Set 0 kW everywhere. Returns the bays not confirmed, with the reason.

        Tries every charger as far as the time goes, and returns even without a link.
        """
        self._stops += 1
        chargers = [
            bay_id for bay_id, device in self._device_of.items() if device.bays[bay_id].section.charger_kw > 0.0
        ]
        return await self._apply(dict.fromkeys(chargers, 0.0), lambda: False, effort=STOP_EFFORT)

    def _may_exceed(self, bay_id: str, setpoint_kw: float) -> bool:
        return self._device_of[bay_id].bays[bay_id].assumed_kw(self._monotonic()) > setpoint_kw + 0.1

    async def _apply(
        self, wanted_kw: Mapping[str, float], withdrawn: Callable[[], bool], effort: int = 1
    ) -> dict[str, str]:
        shares = [
            (device, {bay_id: kw for bay_id, kw in wanted_kw.items() if bay_id in device.bays})
            for device in self._devices
        ]
        results: Sequence[dict[str, str]] = await asyncio.gather(
            *(
                device.apply(share, effort * 2 * device.section.timeout_s, withdrawn)
                for device, share in shares
                if share
            )
        )
        return {bay_id: reason for result in results for bay_id, reason in result.items()}
