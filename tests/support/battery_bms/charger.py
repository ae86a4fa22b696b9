"""A rack's charge controller as registers: answers a link in memory, or a real Modbus TCP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from robotics.modbus_link.registers import RegisterMap, Value, load_map
from robotics.port import LinkLost, Refused

PACK: dict[str, Value] = {
    "pack_present": True,
    "pack_code": "0SXPB280000YQ1G510000001",
    "soc_pct": 52.5,
    "energy_kwh": 148.05,
    "soh_pct": 98.2,
    "voltage_v": 633.1,
    "current_a": 0.0,
    "temp_max_c": 24.5,
    "temp_min_c": -3.5,
    "cell_max_v": 3.312,
    "cell_min_v": 3.304,
    "insulation_ohm_per_v": 1800,
    "max_charge_kw": 282.0,
    "alarm_level": 0,
    "alarm_bits": 0,
    "charger_state": 1,
    "charger_fault": 0,
    "charge_kw": 0.0,
    "setpoint_kw": 0.0,
    "setpoint_counter": 0,
    "setpoint_left_s": 0,
    "meter_kwh": 1234.56,
}


class FakeClock:
    """Real seconds of a test."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class ChargeController:
    """Registers of several bays; takes a set-point when its counter changes, and echoes it."""

    bases: tuple[int, ...]
    register_map: RegisterMap = field(default_factory=lambda: load_map("bay_charger_v1"))
    words: dict[int, int] = field(default_factory=dict)
    deaf: set[int] = field(default_factory=set)
    """Bases of bays whose charger answers writes and does not follow them."""
    refusing: set[int] = field(default_factory=set)
    """Addresses that answer with an exception."""
    most: int = 125
    """Registers that one request may carry; behind a gateway fewer."""
    taken: list[tuple[int, float, int]] = field(default_factory=list)
    """Base, power and validity of each set-point taken."""
    reads: list[tuple[int, int]] = field(default_factory=list)
    raw_writes: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for base in self.bases:
            for address, word in self.register_map.image().items():
                self.words.setdefault(base + address, word)
            self.set(base, PACK)

    def fill_gaps(self) -> None:
        """Answer every register between the bays."""
        for address in range(min(self.bases), max(self.words) + 1):
            self.words.setdefault(address, 0)

    def set(self, base: int, values: Mapping[str, Value]) -> None:
        """Set values of one bay by entry name."""
        relative = {address - base: word for address, word in self.words.items()}
        for address, registers in self.register_map.encode(values, relative):
            self.words.update(zip(range(base + address, base + address + len(registers)), registers, strict=True))

    def beat(self, *bases: int) -> None:
        """The BMS of the bays (of all when none is named) sends once more."""
        for base in bases or self.bases:
            self.words[base] = (self.words[base] + 1) % 65536

    def read(self, address: int, count: int) -> list[int]:
        """Raises Refused for a register that is not there."""
        self.reads.append((address, count))
        if count > self.most:
            raise Refused(f"illegal value: {count} registers")
        span = range(address, address + count)
        if any(a not in self.words or a in self.refusing for a in span):
            raise Refused(f"illegal address {address}")
        return [self.words[a] for a in span]

    def write(self, address: int, values: Iterable[int]) -> None:
        """Raises Refused for a register that is not there."""
        values = list(values)
        if any(a not in self.words or a in self.refusing for a in range(address, address + len(values))):
            raise Refused(f"illegal address {address}")
        self.raw_writes.append(values)
        self.words.update(zip(range(address, address + len(values)), values, strict=True))
        for base in self.bases:
            relative = {a - base: w for a, w in self.words.items() if 0 <= a - base <= self.register_map.span[1]}
            command = self.register_map.decode("command", relative)
            status = self.register_map.decode("status", relative)
            if (
                command["cmd_counter"] != status["setpoint_counter"]
                and command["cmd_counter"]
                and base not in self.deaf
            ):
                power_kw, expires_s = command["cmd_setpoint_kw"], command["cmd_expires_s"]
                assert isinstance(power_kw, int | float)
                assert isinstance(expires_s, int)
                self.set(base, {"setpoint_kw": power_kw, "setpoint_counter": command["cmd_counter"]})
                self.taken.append((base, power_kw, expires_s))


class FakeLink:
    """A link to a charge controller in memory; a request without an answer costs `timeout_s` of the clock."""

    def __init__(self, controller: ChargeController, clock: FakeClock, timeout_s: float = 0.8) -> None:
        self.controller = controller
        self.clock = clock
        self.timeout_s = timeout_s
        self.connected = False
        self.silent = False
        self.slow_s = 0.0
        self.lost_answers = 0
        """So many writes arrive and their answers do not."""

    async def connect(self) -> None:
        self.connected = True

    async def close(self) -> None:
        self.connected = False

    async def read(self, address: int, count: int) -> list[int]:
        self._spend()
        return self.controller.read(address, count)

    async def write(self, address: int, values: list[int]) -> None:
        self._spend()
        self.controller.write(address, values)
        if self.lost_answers:
            self.lost_answers -= 1
            self.clock.now_s += self.timeout_s
            raise LinkLost("no answer")

    def _spend(self) -> None:
        # Even a fast answer takes a moment, so that waiting for an echo comes to an end.
        self.clock.now_s += self.timeout_s if self.silent else max(self.slow_s, 0.01)
        if self.silent:
            raise LinkLost("no answer")


@asynccontextmanager
async def modbus_server(controller: ChargeController) -> AsyncIterator[int]:
    """The controller as a Modbus TCP server on a free loopback port; gives the port."""

    async def act(
        code: int, start: int, address: int, count: int, registers: list[int], values: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        try:
            if values is not None:
                controller.write(address, [int(value) for value in values])
            else:
                registers[address - start : address - start + count] = controller.read(address, count)
        except Refused:
            return ExcCodes.ILLEGAL_ADDRESS
        return None

    server = ModbusTcpServer(
        SimDevice(id=1, simdata=[SimData(0, count=2000, datatype=DataType.REGISTERS)], action=act),
        address=("127.0.0.1", 0),
    )
    await server.serve_forever(background=True)
    try:
        listening: Any = server.transport
        yield int(listening.sockets[0].getsockname()[1])
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
