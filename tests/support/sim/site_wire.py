"""Simulated devices beside the rack, asked without a socket: the drivers' links end in the devices' own boards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pymodbus.constants import ExcCodes

from battery_bms.rack_device import LinkFactory
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.link import ModbusRefused
from robotics.port import LinkLost
from sim.devices.server import UnitBoard
from sim.devices.servers import site_units
from sim.plant.plant import Plant
from swap.config.station_file import StationConfig

READ, WRITE = 3, 16


class BoardLink:
    """A `RegisterLink` to one board; real time is brought up to `now_s` before each request."""

    def __init__(self, board: UnitBoard, base: int, now_s: Callable[[], float]) -> None:
        self.board = board
        self.base = base
        self._now_s = now_s
        self.writes: list[tuple[int, list[int]]] = []
        self.refuses_writes = False

    async def connect(self) -> None:
        return

    async def close(self) -> None:
        return

    async def read(self, address: int, count: int) -> list[int]:
        self._up()
        registers = [0] * count
        first = self.base + address
        self._answer(await self.board.action(READ, first, first, count, registers, None))
        return registers

    async def write(self, address: int, values: Sequence[int]) -> None:
        self._up()
        if self.refuses_writes:
            raise ModbusRefused("Modbus exception 1", 1)
        self.writes.append((address, list(values)))
        first = self.base + address
        self._answer(await self.board.action(WRITE, first, first, len(values), [], list(values)))

    def _up(self) -> None:
        for unit in self.board.units:
            unit.tick(self._now_s())
        self.board.age()
        if self.board.wire_fault("half_open") is not None:
            raise LinkLost("no answer")

    def _answer(self, refused: ExcCodes | None) -> None:
        if refused is not None:
            raise ModbusRefused(f"Modbus exception {int(refused)}", int(refused))


class SiteWire:
    """The boards of a plant's site, and the links to them by the driver's name.

    Args:
        now_s: real seconds; the plant's own where the station's speed is 1.
    """

    def __init__(self, plant: Plant, config: StationConfig, now_s: Callable[[], float]) -> None:
        self.links: dict[str, BoardLink] = {}
        self._now_s = now_s
        self._boards = {
            (host, port): UnitBoard(plant, device_id, [unit], now_s)
            for host, port, device_id, unit in site_units(plant, config, config.folder, now_s())
        }

    @property
    def factory(self) -> LinkFactory:
        """Makes the links."""

        def link(address: ModbusAddress, name: str) -> BoardLink:
            self.links[name] = BoardLink(self._boards[address.host, address.port], address.base_address, self._now_s)
            return self.links[name]

        return link
