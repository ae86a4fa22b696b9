"""Running simulated devices for tests: over real Modbus TCP, with real time moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pymodbus.client import AsyncModbusTcpClient

from robotics.modbus_link.registers import load_map
from robotics.plc_robot import PlcRobot
from robotics.port import (
    CellStatus,
)
from sim.devices.servers import DeviceServers
from sim.plant.plant import Plant
from swap.config.station_file import StationConfig
from tests.support.ports import own_ports
from tests.support.sim.plant import START_AT, station


class Hands:
    """Real seconds, moved by hand."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@dataclass
class Bench:
    """Running devices with a clock moved by hand, at 60 station seconds a real second."""

    config: StationConfig
    plant: Plant
    servers: DeviceServers
    hands: Hands

    def now(self) -> datetime:
        return self.plant.now_at

    def later(self, real_s: float) -> None:
        self.hands.s += real_s
        self.servers.tick()

    def robot(self, token: int = 7, lane: int = 0) -> PlcRobot:
        section = self.config.lanes[lane]
        return PlcRobot(
            section.id, section.cell, load_map(section.cell.register_map), token, self.now, monotonic=self.hands
        )

    async def client(self, endpoint: str, timeout_s: float = 3.0) -> AsyncModbusTcpClient:
        host, port = self.servers.addresses[endpoint]
        client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0)
        assert await client.connect()
        return client


@asynccontextmanager
async def running(
    snapshot: Path | None = None, config: StationConfig | None = None, **options: object
) -> AsyncIterator[Bench]:
    made = config or station(ports=own_ports(4), **options)
    plant = Plant(made, seed=3, start_at=START_AT)
    hands = Hands()
    servers = DeviceServers(plant, made, speed=60.0, snapshot_path=snapshot, monotonic=hands)
    await servers.start()
    servers.tick()  # what is due at once is done, and not some time later by the task of the devices
    try:
        yield Bench(made, plant, servers, hands)
    finally:
        await servers.stop()


async def until_done(bench: Bench, robot: PlcRobot, seq: int) -> CellStatus:
    for _ in range(200):
        status = await robot.status()
        if status.done_seq == seq:
            await robot.acknowledge(seq)
            bench.later(0.1)
            return status
        await robot.beat()
        bench.later(0.2)
    raise AssertionError(f"command {seq} does not end: {status}")
