"""The plant on real Modbus TCP: PLCs, chargers with their BMS, meter, sun and storage, as the station file places them.

A task advances the plant by the clock on the wall times `speed`; heartbeats, time limits and the expiry of
set-points run in real seconds, since a wire does not run faster because a simulation does. What the plant is
goes to a file, atomically, whenever a command was taken or has ended or a pack has moved, and each second. A
new process finds the same physical truth there, the motion that was under way goes on: a real PLC does not die
with our process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.registers import load_map
from sim.devices.image import BayUnit, CellUnit, Unit
from sim.devices.server import DeviceError, UnitBoard, UnitServer
from sim.devices.site_image import MeterUnit, PvUnit, StorageUnit
from sim.plant.plant import Plant, PlantError
from swap.config.station_file import StationConfig

TICK_S = 0.05
"""Real seconds between two steps of the plant."""
SNAPSHOT_S = 1.0
"""Real seconds after which the plant is stored even when nothing has happened."""

_log = logging.getLogger(__name__)


class DeviceServers:
    """Every Modbus device of a simulated station.

    Args:
        plant: the truth they show; put back to the stored one by `start` where there is a snapshot.
        config: the station file, for addresses and register maps.
        speed: station seconds per real second.
        snapshot_path: where the plant is stored; None stores nothing.
        folder: where relative paths of register maps start.
        monotonic: real seconds.
    """

    def __init__(
        self,
        plant: Plant,
        config: StationConfig,
        *,
        speed: float = 1.0,
        snapshot_path: Path | None = None,
        folder: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed <= 0:
            raise ValueError(f"speed = {speed}: allowed above 0")
        self.plant = plant
        self.config = config
        self.speed = speed
        self.snapshot_path = snapshot_path
        self._folder = folder
        self._monotonic = monotonic
        self._units: list[Unit] = []
        self._servers: list[UnitServer] = []
        self._task: asyncio.Task[None] | None = None
        self._ticked_s = 0.0
        self._stored_s = 0.0
        self._stored_changes = -1

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        """Host and port of each endpoint: lanes, rack devices, `meter`, `pv`, `storage`."""
        result = {lane.id: (lane.cell.address.host, lane.cell.address.port) for lane in self.config.lanes}
        result |= {device.id: (device.host, device.port) for device in self.config.rack_devices}
        site = self.config.site
        beside = {"meter": site.meter, "pv": site.pv, "storage": site.storage}
        return result | {name: (s.address.host, s.address.port) for name, s in beside.items() if s is not None}

    async def start(self) -> None:
        """Take the stored truth over, open the ports, let time run.

        Raises:
            DeviceError: a port cannot be opened, or the stored plant does not fit the station file.
        """
        self._load()
        self._ticked_s = self._stored_s = self._monotonic()
        self._servers = self._build()
        try:
            for server in self._servers:
                await server.start()
        except DeviceError:
            await self.stop()
            raise
        self.store()
        self._task = asyncio.create_task(self._run(), name="simulated devices")

    async def stop(self) -> None:
        """Close the ports and store the plant. Time stands still for it until the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if task.cancelled():  # one that has failed leaves the last good truth in the file
                self.tick()
                self.store()
        for server in reversed(self._servers):
            await server.stop()
        self._servers = []

    async def watch(self) -> None:
        """Wait until the devices fail; raises what ended them."""
        if self._task is not None:
            await asyncio.shield(self._task)

    # Time

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Bring the plant and everything that moves in real time up to now."""
        now_s = self._monotonic()
        self.plant.advance(max(now_s - self._ticked_s, 0.0) * self.speed)
        self._ticked_s = now_s
        for unit in self._units:
            unit.tick(now_s)
        for server in self._servers:
            for board in server.boards.values():
                board.age()
        if self.plant.changes != self._stored_changes or now_s - self._stored_s >= SNAPSHOT_S:
            self.store()

    # Building

    def _build(self) -> list[UnitServer]:
        devices: dict[tuple[str, int], dict[int, list[Unit]]] = {}
        self._units = []
        for host, port, device_id, unit in self._placed_units():
            devices.setdefault((host, port), {}).setdefault(device_id, []).append(unit)
            self._units.append(unit)
        return [
            UnitServer(host, port, [UnitBoard(self.plant, n, units, self._monotonic) for n, units in boards.items()])
            for (host, port), boards in devices.items()
        ]

    def _placed_units(self) -> Iterator[tuple[str, int, int, Unit]]:
        """Every unit with the host, port and device id that it answers at."""
        now_s = self._monotonic()
        for lane in self.config.lanes:
            a = lane.cell.address
            cell_map = load_map(lane.cell.register_map, self._folder)
            cell = CellUnit(self.plant, lane.id, a.base_address, cell_map, now_s, self.store)
            yield a.host, a.port, a.device_id, cell
        for bay in self.config.bays:
            if bay.point is not None:
                device = self.config.rack_device(bay.point.device)
                bay_map = load_map(device.register_map, self._folder)
                unit = BayUnit(self.plant, device, bay.id, bay.point.base_address, bay_map, now_s)
                yield device.host, device.port, device.device_id, unit
        yield from site_units(self.plant, self.config, self._folder, now_s)

    # Snapshot

    def store(self) -> None:
        """Write the plant to its file, atomically; a process killed at any instant leaves a whole file."""
        self._stored_changes = self.plant.changes
        self._stored_s = self._monotonic()
        if self.snapshot_path is not None:
            write_snapshot(self.plant, self.snapshot_path)

    def _load(self) -> None:
        if self.snapshot_path is not None and self.snapshot_path.is_file():
            read_snapshot(self.plant, self.snapshot_path)
            _log.info("simulated plant goes on from %s at %s", self.snapshot_path, self.plant.now_at)


def site_units(
    plant: Plant, config: StationConfig, folder: Path | None, now_s: float
) -> Iterator[tuple[str, int, int, Unit]]:
    """The devices beside the rack, each with host, port and device id."""
    site = config.site
    units: list[tuple[ModbusAddress, Unit]] = []
    if site.meter is not None:
        a, meter_map = site.meter.address, load_map(site.meter.register_map, folder)
        units.append((a, MeterUnit(plant, "meter", a.base_address, meter_map, now_s)))
    if site.pv is not None:
        a, pv_map = site.pv.address, load_map(site.pv.register_map, folder)
        units.append((a, PvUnit(plant, "pv", a.base_address, pv_map, now_s)))
    if site.storage is not None:
        a, storage_map = site.storage.address, load_map(site.storage.register_map, folder)
        units.append((a, StorageUnit(plant, site.storage, a.base_address, storage_map, now_s)))
    for a, unit in units:
        yield a.host, a.port, a.device_id, unit


def write_snapshot(plant: Plant, path: Path) -> None:
    """Replace a snapshot file by the plant as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(plant.snapshot(), separators=(",", ":")), encoding="utf-8")
    os.replace(part, path)


def read_snapshot(plant: Plant, path: Path) -> None:
    """Put a plant back to a stored one. Raises DeviceError where the file does not fit the station file."""
    try:
        plant.load(json.loads(path.read_text(encoding="utf-8")))
    except (PlantError, ValueError, KeyError, TypeError) as error:
        raise DeviceError(
            f"{path}: the stored plant cannot be taken over: {error}. "
            "Mend the station file, or remove this file together with the database to start anew"
        ) from error


__all__ = ["DeviceError", "DeviceServers", "read_snapshot", "write_snapshot"]
