"""The devices of one station in a process of their own: the PLC outlives the controller, as a real one does.

The process answers over a pipe what truly happened: which command numbers began, which moved a pack, and where
every pack is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any

from robotics.port import RobotCommand
from sim.devices.servers import DeviceServers
from sim.plant.plant import Plant
from swap.config.loading import parse_station
from tests.support.sim.plant import START_AT


@dataclass(frozen=True)
class Look:
    """The truth at one instant."""

    at: datetime
    """Time of the plant."""
    counts: Mapping[tuple[str, int], int]
    """How often a cell said "accepted", "moved", "done", "failed" or "aborted", by command number."""
    places: Mapping[str, str]
    """Place of each pack."""

    @property
    def begun(self) -> int:
        """Commands that were taken."""
        return sum(n for (what, _), n in self.counts.items() if what == "accepted")

    @property
    def moved(self) -> int:
        """Times a pack changed its place."""
        return sum(n for (what, _), n in self.counts.items() if what == "moved")


def run_devices(data: dict[str, Any], speed: float, motion_share: float, pipe: Connection) -> None:
    """The process: serve until the pipe says "stop" or is closed.

    Args:
        data: the station file's content.
        motion_share: share of their usual time that motions take.
    """
    asyncio.run(_serve(data, speed, motion_share, pipe))


async def _serve(data: dict[str, Any], speed: float, motion_share: float, pipe: Connection) -> None:
    config = parse_station(data)
    plant = Plant(config, seed=7, start_at=START_AT)
    counts: Counter[tuple[str, int]] = Counter()

    def count(what: str, command: RobotCommand) -> None:
        counts[(what, command.seq)] += 1

    for cell in plant.cells.values():
        cell.faults.slow_factor = motion_share
        cell.listeners.append(count)
    servers = DeviceServers(plant, config, speed=speed)
    stopped = asyncio.Event()

    def answer() -> None:
        try:
            what, *arguments = pipe.recv()
        except EOFError:
            what, arguments = "stop", []
        if what == "stop":
            stopped.set()
            return
        if what == "arrive":
            vehicle, soc_pct = arguments
            plant.arrive(vehicle, [soc_pct] * plant.yard.truck(vehicle).seats)
        pipe.send(Look(plant.now_at, dict(counts), {k: p.place for k, p in plant.rack.packs.items()}))

    await servers.start()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), answer)
    pipe.send("ready")
    await stopped.wait()
    loop.remove_reader(pipe.fileno())
    await servers.stop()
