"""The simulated devices as a program of their own: ports, first faults, the control interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from sim.devices.control import serve_control
from sim.devices.servers import DeviceServers
from sim.plant.faults import parse_fault
from sim.plant.plant import Plant
from swap.config.station_file import StationConfig


async def run_devices(
    config: StationConfig,
    *,
    speed: float = 1.0,
    seed: int = 1,
    start_at: datetime | None = None,
    snapshot_path: Path | None = None,
    folder: Path | None = None,
    faults: Iterable[str] = (),
    control_port: int | None = None,
    on_ready: Callable[[DeviceServers], None] | None = None,
) -> None:
    """The devices alone, until cancelled: what `swap devices` runs.

    Args:
        faults: faults to begin with, each as `name:ID[,argument=value…]`.
        control_port: loopback port of the control interface; None leaves it out.
        on_ready: called when every port is open.

    Raises:
        DeviceError: a port cannot be opened, the snapshot does not fit.
        PlantError: a fault is not known or does not fit.
    """
    plant = Plant(config, seed=seed, start_at=start_at or datetime.now(UTC))
    parsed = [parse_fault(text) for text in faults]
    servers = DeviceServers(plant, config, speed=speed, snapshot_path=snapshot_path, folder=folder)
    await servers.start()
    try:
        for name, target, arguments in parsed:
            plant.inject(name, target, **arguments)
        if on_ready is not None:
            on_ready(servers)
        if control_port is None:
            await servers.watch()
            return
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(servers.watch())
            await serve_control(servers, control_port)
            watching.cancel()
    finally:
        await servers.stop()
