"""Real Modbus TCP servers whose registers are units of the plant.

One server for each host and port, one Modbus device for each device id on it, any number of units (cells,
bays, the meter) in a device. Addresses between units read as 0. Faults of the wire are acted out here:
exception replies, late replies, and a connection that stays open and never answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from sim.devices.image import Unit
from sim.plant.plant import Plant

_READS = frozenset({3, 4})
_WRITES = frozenset({6, 16})


class DeviceError(Exception):
    """The simulated devices cannot be started; the message says what is in the way."""


class UnitBoard:
    """The units behind one device id of one server."""

    def __init__(self, plant: Plant, device_id: int, units: Sequence[Unit], monotonic: Callable[[], float]) -> None:
        self._plant = plant
        self.device_id = device_id
        self.units = sorted(units, key=lambda unit: unit.base + unit.map.span[0])
        self._monotonic = monotonic
        self._stale: set[int] = set(range(len(self.units)))

    def age(self) -> None:
        """Time has passed: what is read next is rendered anew."""
        self._stale.update(range(len(self.units)))

    def wire_fault(self, name: str) -> dict[str, Any] | None:
        """Arguments of a fault of the wire that any unit here has."""
        for unit in self.units:
            found = self._plant.wire_faults.get(unit.endpoint, {}).get(name)
            if found is not None:
                return found
        return None

    def sim_device(self) -> SimDevice:
        """This board as a pymodbus device."""
        first = min(unit.base + unit.map.span[0] for unit in self.units)
        last = max(unit.base + unit.map.span[1] for unit in self.units)
        block = SimData(first, count=last - first + 1, values=0, datatype=DataType.REGISTERS)
        return SimDevice(self.device_id, simdata=[block], action=self.action)

    async def action(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Serve one request; the name and the arguments are pymodbus' own. It never waits."""
        broken = self.wire_fault("exception_replies")
        if broken is not None:
            return ExcCodes(broken["code"])
        if values is None and function_code in _READS:
            self._read(address, count, registers, address - start_address)
            return None
        if values is not None and function_code in _WRITES:
            return self._write(address, [int(value) for value in values])
        if function_code in _WRITES:  # pymodbus reads back what it has written
            return None
        return ExcCodes.ILLEGAL_FUNCTION

    def _read(self, address: int, count: int, registers: list[int], offset: int) -> None:
        for number, unit in enumerate(self.units):
            first, last = unit.base + unit.map.span[0], unit.base + unit.map.span[1]
            if last < address or first >= address + count:
                continue
            if number in self._stale:
                unit.render()
                self._stale.discard(number)
            for at in range(max(first, address), min(last, address + count - 1) + 1):
                registers[offset + at - address] = unit.registers.get(at - unit.base, 0)

    def _write(self, address: int, words: list[int]) -> ExcCodes | None:
        for unit in self.units:
            first, last = unit.base + unit.map.span[0], unit.base + unit.map.span[1]
            if first <= address and address + len(words) - 1 <= last:
                taken = unit.write(address - unit.base, words, self._monotonic())
                self.age()
                return None if taken else ExcCodes.ILLEGAL_ADDRESS
        return ExcCodes.ILLEGAL_ADDRESS


class _Connection(ServerRequestHandler):
    """One client: requests are answered one after another, late or never where a fault says so."""

    def __init__(self, owner: _Server) -> None:
        super().__init__(owner, None, None, None)  # type: ignore[no-untyped-call]
        self._owner = owner
        self._turn = asyncio.Lock()

    async def handle_request(self) -> None:
        """Answer the request that has just arrived."""
        pdu, sender = self.last_pdu, self.last_addr
        async with self._turn:
            if not pdu or not await self._owner.answers(pdu.dev_id):
                return
            # From here on nothing waits, so the request cannot be exchanged for the next one.
            self.last_pdu, self.last_addr = pdu, sender
            await super().handle_request()  # type: ignore[no-untyped-call]


class _Server(ModbusTcpServer):
    """A pymodbus server with our connections."""

    def __init__(self, boards: dict[int, UnitBoard], address: tuple[str, int], stopped: asyncio.Event) -> None:
        super().__init__([board.sim_device() for board in boards.values()], address=address)
        self._boards = boards
        self._stopped = stopped

    def callback_new_connection(self) -> ServerRequestHandler:
        """A client has connected."""
        return _Connection(self)

    async def answers(self, device_id: int) -> bool:
        """Wait as long as a fault asks for; False where no answer is to be given."""
        board = self._boards.get(device_id)
        if board is None:
            return True
        late = board.wire_fault("slow_replies")
        if late is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), late["delay_s"])
        return board.wire_fault("half_open") is None and not self._stopped.is_set()


class UnitServer:
    """The server of one host and port."""

    def __init__(self, host: str, port: int, boards: Sequence[UnitBoard]) -> None:
        self.host = host
        self.port = port
        self.boards = {board.device_id: board for board in boards}
        self._server: _Server | None = None
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises DeviceError when the port is taken."""
        self._stopped.clear()
        server = _Server(self.boards, (self.host, self.port), self._stopped)
        try:
            await server.serve_forever(background=True)
        except RuntimeError as error:
            raise DeviceError(
                f"{self.host}:{self.port}: cannot be opened for the simulated device; another program may use it"
            ) from error
        self._server = server

    async def stop(self) -> None:
        """Close the port and every connection."""
        self._stopped.set()
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()  # type: ignore[no-untyped-call]
