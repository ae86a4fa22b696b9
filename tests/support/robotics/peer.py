"""A station around `tests/peer/plc_peer.py`: its process, a wire that can swallow an acknowledgement, a rack."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from sqlmodel import col, select

from battery_bms.pack import energy_at_soc_kwh
from battery_bms.port import PackReading
from robotics.modbus_link.registers import RegisterMap, load_map
from robotics.plc_robot import PlcRobot
from robotics.port import CommandCode, Signal
from scheduler.tariff_files import load_tariff
from scheduler.types import StationMode
from swap.commerce.bookings import check_in
from swap.commerce.runner import Commerce
from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.messages.events import SwapStepDone
from swap.register.persons import person_actor
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import StationController
from swap.station.lease import Lease
from swap.station.life.database import ApartDatabase
from swap.store import Store
from swap.tables import ControlRequest, StationEvent
from tests.support.battery_bms.rack import LFP_282, FakeBay, FakeMeter, FakePack, FakeRack
from tests.support.ports import own_ports
from tests.support.sim.plant import code, station
from tests.support.swap.databases import migrated_sqlite

PROGRAM = Path(__file__).parents[2] / "peer" / "plc_peer.py"
LIMIT_S = 30.0
FULL_BAYS = (1, 2, 3)
PACKS_SHOWN = 3100
"""First of the registers beside the layout in which the peer shows what stands where."""


async def until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


class Peer:
    """The PLC's process and what it says."""

    def __init__(self, log: Path, map_name: str, *options: str, port: int = 0) -> None:
        self.port = port or own_ports(1)[0]
        self.map = load_map(map_name)
        self.log = log
        arguments = ["--port", str(self.port), "--map", map_name, "--bays", "6", "--occupied", "1,2,3", *options]
        with log.open("w") as out:
            self.process = subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stdout=out)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Every line of one kind so far."""
        assert self.process.poll() is None, f"the peer ended with {self.process.returncode}"
        whole = self.log.read_text().rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, whole) if line["event"] == event]

    def motions(self) -> list[str]:
        """Commands that moved something, in order."""
        return [line["command"] for line in self.said("motion")]

    def moved_twice(self) -> list[int]:
        """Command numbers with more than one motion."""
        numbers = [line["seq"] for line in self.said("motion")]
        return [seq for seq in numbers if numbers.count(seq) > 1]

    def at_panel(self, number: signal.Signals) -> None:
        """A person acts at the cell."""
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process; SIGKILL is a loss of power."""
        self.process.send_signal(number)
        self.process.wait(timeout=LIMIT_S)


@contextmanager
def powered(log: Path, map_name: str, *options: str, port: int = 0) -> Iterator[Peer]:
    peer = Peer(log, map_name, *options, port=port)
    try:
        yield peer
    finally:
        if peer.process.poll() is None:
            peer.stop()


@dataclass
class Wire:
    """A TCP proxy that notes what is written, and shows the fast block of before until a number is written twice."""

    map: RegisterMap
    target_port: int
    hide: CommandCode | None = None
    port: int = 0
    writes: list[tuple[int, list[int]]] = field(default_factory=list)
    hidden: int = 0
    """Number of the command whose acknowledgement is kept back."""
    answers_kept_back: int = 0

    def numbers(self) -> list[int]:
        """Command numbers as written, repetitions included."""
        first = self.map.block_span("command")[0]
        return [
            int(values["cmd_seq"])
            for address, words in self.writes
            if (values := self._decoded(address - first, words)) is not None and isinstance(values["cmd_seq"], int)
        ]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_in, there_out = await asyncio.open_connection("127.0.0.1", self.target_port)
        before = b""
        try:
            while True:
                request = await _frame(reader)
                self._note(request)
                there_out.write(request)
                answer = await _frame(there_in)
                if self._reads_fast(request):
                    if self.hidden and self.numbers().count(self.hidden) < 2:
                        self.answers_kept_back += 1
                        answer = self._with_old(answer, before)
                    before = answer
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for stream in (writer, there_out):
                stream.close()

    def _note(self, request: bytes) -> None:
        if request[7] != 16:
            return
        address, count = int.from_bytes(request[8:10]), int.from_bytes(request[10:12])
        words = [int.from_bytes(request[13 + 2 * n : 15 + 2 * n]) for n in range(count)]
        self.writes.append((address, words))
        values = self._decoded(address - self.map.block_span("command")[0], words)
        if values is None or self.hide is None or self.hidden:
            return
        if values["cmd_code"] == self.map.raw_of("cmd_code", self.hide.name.lower()):
            self.hidden = int(values["cmd_seq"])

    def _decoded(self, offset: int, words: list[int]) -> Mapping[str, Any] | None:
        """A write of a whole command; None for heartbeats and acknowledgements."""
        if len(words) < 6:
            return None
        first, last = self.map.block_span("command")
        block = [0] * (last - first + 1)
        block[offset : offset + len(words)] = words
        return self.map.decode("command", block)

    def _reads_fast(self, request: bytes) -> bool:
        return request[7] == 3 and int.from_bytes(request[8:10]) == self.map.block_span("fast")[0]

    def _with_old(self, answer: bytes, before: bytes) -> bytes:
        """The old registers under the new transaction number, with the new heartbeat."""
        at = 9 + 2 * (self.map.entries["heartbeat"].address - self.map.block_span("fast")[0])
        return answer[:9] + before[9:at] + answer[at : at + 2] + before[at + 2 :]


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(6)
    return head + await reader.readexactly(int.from_bytes(head[4:6]))


class PeerRack(FakeRack):
    """The packs of the bays are those that the peer shows there; the first truck brings the packs of vehicle V1."""

    def __init__(self, port: int, config: StationConfig, now: Callable[[], datetime]) -> None:
        charging = [bay for bay in config.bays if bay.point is not None]
        super().__init__([FakeBay(bay.id) for bay in charging], now)
        self.position = {bay.id: bay.position for bay in charging}
        self.packs = {n: FakePack(code(n), LFP_282, energy_at_soc_kwh(96.0, LFP_282, 100.0)) for n in FULL_BAYS}
        for seat in (1, 2):
            spent_kwh = energy_at_soc_kwh(30.0, LFP_282, 100.0)
            self.packs[910 + seat] = FakePack(code(10 + seat), LFP_282, spent_kwh)
        self.client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=3.0, retries=0)

    async def connect(self) -> None:
        assert await self.client.connect()

    async def close(self) -> None:
        self.client.close()

    async def read_bays(self) -> Mapping[str, PackReading]:
        shown = await self.client.read_holding_registers(PACKS_SHOWN, count=10)
        for bay_id, position in self.position.items():
            self.bays[bay_id].pack = self.packs.get(shown.registers[position])
        return await super().read_bays()


class Run:
    """A real controller on a real database."""

    def __init__(self, folder: Path, peer: Peer, *, lane_port: int = 0) -> None:
        self.config = station(ports=(1, 2, lane_port or peer.port), map_name=peer.map.name)
        self.store = Store(migrated_sqlite(folder / "station.db"))
        self.clock = Clock()
        sync_station(self.store, self.config, self.clock.now())
        self.control_store = self.store.for_control()
        self.database = ApartDatabase(self.control_store, self.config.station.id)
        self.lease = Lease(self.store, self.config.station.id)
        self.lease.acquire()
        self.tariff = load_tariff(self.config.tariff, self.config.station.zone)
        rack = PeerRack(peer.port, self.config, self.clock.now)
        self.robot = PlcRobot("L1", self.config.lanes[0].cell, peer.map, self.lease.token, self.clock.now)
        self.controller = StationController(
            StationContext.build(self.database, self.config, self.clock, self.tariff),
            [self.robot],
            rack,
            rack,
            FakeMeter(self.clock.now),
            self.lease,
        )
        self.commerce = Commerce(self.store, self.config, self.tariff, self.clock.now, lambda failing: None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The controller's loops run meanwhile; what ends them is raised."""
        task = asyncio.create_task(self.controller.run())
        commerce = asyncio.create_task(self.commerce.run())
        try:
            await self.until(self.controller.started.is_set, task)
            self._task = task
            yield
        finally:
            commerce.cancel()
            await asyncio.wait([commerce])
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            finally:
                self.control_store.close()
                self.store.close()

    async def until(self, condition: Callable[[], object], task: asyncio.Task[None] | None = None) -> None:
        running = task or self._task

        def met() -> object:
            if running.done():
                running.result()
            return condition()

        try:
            await until(met)
        except TimeoutError:
            told = [(e.kind, e.data) for e in self.events()][-8:]
            raise AssertionError(f"not in {LIMIT_S} s; last events: {told}") from None

    def events(self, kind: str | None = None) -> list[StationEvent]:
        with self.store.reading() as db:
            rows = db.exec(select(StationEvent).order_by(col(StationEvent.seq))).all()
            db.expunge_all()
        return [row for row in rows if kind is None or row.kind == kind]

    def ask(self, kind: str) -> None:
        """A named person asks."""
        with self.store.station(self.config.station.id) as db:
            db.add(
                ControlRequest(
                    station_id=self.config.station.id,
                    kind=kind,
                    arguments={},
                    requested_by=person_actor(db, "Person on shift", self.clock.now()),
                    requested_at=self.clock.now(),
                )
            )

    async def homed(self) -> None:
        """The cell has just been switched on: a person confirms, then the station homes it."""
        await self.until(lambda: self.controller.context.mode is StationMode.HELD)
        assert (await self.robot.status()).signals[Signal.HOMED] is False
        self.ask("confirm")
        await self.until(lambda: self.controller.context.cell_ready("L1"))

    def arrive(self) -> str:
        with self.store.station(self.config.station.id) as db:
            return check_in(db, self.config, vehicle_id="V1", at=self.clock.now()).swap_id

    def steps(self) -> list[str]:
        return [e.data["state"] for e in self.events(SwapStepDone.kind)]
