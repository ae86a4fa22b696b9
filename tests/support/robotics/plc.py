"""`MiniCell` behind a Modbus TCP server on a free loopback port, in the layout of any cell map."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from robotics.handshake import decode_location, encode_location
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.registers import RegisterMap, Value
from robotics.port import AckCode, CommandCode, ResultCode, RobotCommand, Signal
from tests.support.ports import own_ports
from tests.support.robotics.fakes import MiniCell

WRITES = (6, 16)


class MiniPlc:
    """A PLC whose program runs once before each request, and once more after each write."""

    def __init__(self, register_map: RegisterMap, cell: MiniCell | None = None, *, base: int = 0) -> None:
        self.map = register_map
        self.cell = cell or MiniCell()
        self.base = base
        (self.port,) = own_ports(1)
        self.image = register_map.image()
        self.exception: ExcCodes | None = None
        """Answer of every request instead of data."""
        self.silent = asyncio.Event()
        """Cleared: requests are not answered."""
        self.silent.set()
        self.writes: list[tuple[int, list[int]]] = []
        self.corrupt: dict[str, Value] = {}
        """Values that the PLC shows instead of the true ones."""
        self._looked_at = (0, 0, 0)
        self._seen = ((0, 0), (0, 0), (0, 0))
        self._server: ModbusTcpServer | None = None

    @property
    def address(self) -> ModbusAddress:
        """Where it answers."""
        return ModbusAddress(port=self.port, base_address=self.base, timeout_s=0.3)

    async def start(self) -> None:
        """Listen."""
        first, last = min(self.image), max(self.image)
        data = SimData(
            self.base + first,
            values=[self.image.get(a, 0) for a in range(first, last + 1)],
            datatype=DataType.REGISTERS,
        )
        self._server = ModbusTcpServer(
            SimDevice(1, simdata=[data], action=self._action), address=("127.0.0.1", self.port)
        )
        await self._server.serve_forever(background=True)

    async def stop(self) -> None:
        """Close the port and every connection."""
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()  # type: ignore[no-untyped-call]

    async def _action(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        await self.silent.wait()
        if self.exception is not None:
            return self.exception
        first = self.base + min(self.image)
        if values is not None:
            self.writes.append((address - self.base, [int(v) for v in values]))
            for offset, value in enumerate(values):
                self.image[address - self.base + offset] = int(value)
            self._take_commands()
        self._show()
        for relative, word in self.image.items():
            registers[self.base + relative - first] = word
        return None

    def _take_commands(self) -> None:
        first, last = self.map.block_span("command")
        given = self.map.decode("command", [self.image[a] for a in range(first, last + 1)])
        places = self.map.handshake.locations
        fenced = self.map.handshake.style == "fenced"
        commander, seq = _int(given, "cmd_owner"), _int(given, "cmd_seq")
        if fenced:
            self._take_fenced(given)
        else:
            self.cell.claim(_int(given, "owner_claim"))
            self.cell.hold = bool(given["hold"])
            if self.map.handshake.style == "sequence":
                self.cell.acknowledge(_int(given, "done_ack"))
            elif given["done_ack"] == 1:
                self.cell.acknowledge(self.cell.done_seq)
        meaning = self.map.means("cmd_code", given["cmd_code"])
        request = (commander, seq, _int(given, "cmd_epoch"))
        if meaning is None or request == self._looked_at:
            return
        self._looked_at = request
        self.cell.submit(
            commander,
            RobotCommand(
                seq=seq,
                code=CommandCode[meaning.upper()],
                source=decode_location(places, _int(given, "cmd_source")),
                target=decode_location(places, _int(given, "cmd_target")),
                vehicle_tag=_int(given, "cmd_vehicle_tag"),
            ),
            request[2] if fenced else None,
        )

    def _take_fenced(self, given: Mapping[str, Value]) -> None:
        """Heartbeat, hold and acknowledgement: each acts once, when it is new."""
        requests = ("cmd_heartbeat", "beat_epoch"), ("hold_seq", "hold_epoch"), ("done_ack", "ack_epoch")
        beat, hold, ack = ((_int(given, word), _int(given, epoch)) for word, epoch in requests)
        before, self._seen = self._seen, (beat, hold, ack)
        if beat != before[0]:
            self.cell.claim(_int(given, "owner_claim"), beat[1])
        if hold != before[1]:
            self.cell.ask_hold(bool(given["hold"]), hold[1], hold[0])
        if ack != before[2]:
            self.cell.acknowledge(*ack)

    def _show(self) -> None:
        cell, carried = self.cell, self.map.entries
        values: dict[str, Value] = {
            "heartbeat": cell.heartbeat,
            "owner": cell.owner,
            "fault_level": cell.fault_level,
            "vehicle_tag": cell.vehicle_tag,
            "position": encode_location(self.map.handshake.locations, cell.position),
        }
        for name, member in (("state", cell.state), ("control_mode", cell.control_mode), ("run_mode", cell.run_mode)):
            values[name] = self.map.raw_of(name, member.name.lower())
        codes = {ours: int(raw) for raw, ours in carried["fault_code"].codes.items()}
        values["fault_code"] = codes.get(cell.fault_code, 0) if codes else cell.fault_code
        for signal in Signal:
            values[signal.value] = cell.signals.get(signal) is True
        size = carried["bays_occupied"].size
        values["bays_occupied"] = tuple(cell.bays[:size])
        values["heads_closed"] = tuple(cell.heads_closed)
        values["heads_open"] = tuple(None if c is None else not c for c in cell.heads_closed)
        values |= self._flags() if self.map.handshake.style == "flags" else self._numbers()
        values |= {e.name: e.const for e in carried.values() if e.const is not None} | self.corrupt
        for address, words in self.map.encode({n: v for n, v in values.items() if n in carried}, self.image):
            self.image.update(zip(range(address, address + len(words)), words, strict=True))

    def _numbers(self) -> dict[str, Value]:
        cell = self.cell
        fence: dict[str, Value] = {}
        answer = cell.ack_code
        if self.map.handshake.style == "fenced":
            fence = {"epoch": cell.epoch, "last_seq": cell.last_seq}
            fence["done_result"] = self.map.raw_of("done_result", cell.done_result.name.lower())
            if answer is AckCode.REFUSED_OWNER:
                answer = AckCode.NONE  # a stranger's refusal leaves the owner's answer alone
            fence["hold_seen"] = self.map.raw_of("hold_seen", "on" if cell.hold else "off")
        return fence | {
            "ack_seq": cell.ack_seq,
            "ack_code": self.map.raw_of(
                "ack_code",
                cell.ack_code.name.lower() if cell.ack_code is not AckCode.REFUSED_OWNER or not fence else "none",
            ),
            "active_seq": cell.active.seq if cell.active else 0,
            "done_seq": cell.done_seq,
            "result": self.map.raw_of("result", cell.result.name.lower()),
        }

    def _flags(self) -> dict[str, Value]:
        cell = self.cell
        refused = cell.ack_code not in (AckCode.NONE, AckCode.ACCEPTED)
        reason = cell.ack_code if refused else AckCode.NONE
        return {
            "task_echo": cell.ack_seq,
            "flag_accepted": cell.ack_code is AckCode.ACCEPTED,
            "flag_refused": refused,
            "refusal": self.map.raw_of("refusal", reason.name.lower()),
            "flag_running": cell.active is not None,
            "flag_done": cell.result is ResultCode.DONE,
            "flag_failed": cell.result is ResultCode.FAILED,
            "flag_aborted": cell.result is ResultCode.ABORTED,
        }


def _int(values: Mapping[str, Value], name: str) -> int:
    value = values.get(name, 0)
    assert isinstance(value, int)
    return value
