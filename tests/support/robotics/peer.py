"""A station around `tests/peer/plc_peer.py`: its process, a wire that swallows an acknowledgement, and a controller."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from battery_bms.modbus_meter import ModbusMeter
from battery_bms.modbus_rack import ModbusRack
from battery_bms.pack import energy_at_soc_kwh
from robotics.modbus_link.registers import RegisterMap, load_map
from robotics.plc_robot import PlcRobot
from robotics.port import CommandCode, Signal
from scheduler.tariff_files import load_tariff
from scheduler.types import StationMode
from swap.commerce.runner import Commerce
from swap.config.seed import sync_station
from swap.gate import check_in
from swap.messages.events import SwapStepDone
from swap.register.persons import person_actor
from swap.station.clock import Clock
from swap.station.context import StationContext
from swap.station.controller import StationController
from swap.station.lease import Lease
from swap.station.life.coming_back import Cause
from swap.station.life.database import ApartDatabase
from swap.station.power.site import SiteDevices
from swap.store import Store
from swap.tables import ControlRequest, StationEvent
from tests.support.battery_bms.rack import LFP_282
from tests.support.ports import own_ports
from tests.support.sim.plant import code, station
from tests.support.swap.databases import migrated_sqlite

PROGRAM = Path(__file__).parents[2] / "peer" / "plc_peer.py"
LIMIT_S = 30.0
FULL_BAYS = (1, 2, 3)
CHARGERS = {bay: 100 * bay for bay in (1, 2, 3, 4)}
"""First register of the charger in each bay that has one, as the station file has it."""
BASE_KW = 20.0


def rack_file(folder: Path, name: str, ports: Sequence[int]) -> Path:
    """What the peer's rack is made of: a charged pack in each full bay, and those that trucks V1…V4 bring."""
    charged, spent = (energy_at_soc_kwh(soc, LFP_282, 100.0) for soc in (96.0, 30.0))
    packs = {n: {"code": code(n), "energy_kwh": charged} for n in FULL_BAYS}
    packs |= {911 + 10 * truck: {"code": code(11 + truck), "energy_kwh": spent} for truck in range(4)}
    path = folder / f"{name}.rack.json"
    text = json.dumps({"ports": ports, "chargers": CHARGERS, "base_kw": BASE_KW, "packs": packs})
    path.write_text(text, encoding="utf-8")
    return path


async def until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


class Peer:
    """The PLC's process and what it says."""

    def __init__(self, log: Path, map_name: str, *options: str, instead_of: Peer | None = None) -> None:
        ports = instead_of.ports if instead_of is not None else own_ports(3)
        self.rack_port, self.meter_port, self.port = ports
        self.map = load_map(map_name)
        self.log = log
        self._lines: list[dict[str, Any]] = []
        self._read = 0
        rack = rack_file(log.parent, log.stem, (self.rack_port, self.meter_port))
        arguments = ["--port", str(self.port), "--map", map_name, "--bays", "6", "--occupied", "1,2,3"]
        arguments += ["--rack", str(rack), *options]
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), *arguments], stdin=subprocess.PIPE, stdout=out, text=True
            )

    @property
    def ports(self) -> tuple[int, int, int]:
        """Of the rack, the meter and the cell."""
        return self.rack_port, self.meter_port, self.port

    def said(self, event: str) -> list[dict[str, Any]]:
        """Every line of one kind so far."""
        return [line for line in self.lines() if line["event"] == event]

    def lines(self) -> list[dict[str, Any]]:
        """Every line so far, in order."""
        assert self.process.poll() is None, f"the peer ended with {self.process.returncode}"
        with self.log.open("rb") as told:
            told.seek(self._read)
            whole = told.read().rpartition(b"\n")[0]
        if whole:
            self._read += len(whole) + 1
            self._lines += map(json.loads, whole.splitlines())
        return self._lines

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

    async def panel(self, line: str) -> None:
        """Something goes wrong, or is well again, at the cell (`plc_peer.py` has the words)."""
        before = len(self.said("panel"))
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        await until(lambda: len(self.said("panel")) > before)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process; SIGKILL is a loss of power."""
        self.process.send_signal(number)
        self.process.wait(timeout=LIMIT_S)
        if self.process.stdin is not None:
            self.process.stdin.close()


@contextmanager
def powered(log: Path, map_name: str, *options: str, instead_of: Peer | None = None) -> Iterator[Peer]:
    """A peer that ends with the block; on the ports of one that has lost its power."""
    peer = Peer(log, map_name, *options, instead_of=instead_of)
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


class Run:
    """A real controller on a real database."""

    def __init__(self, folder: Path, peer: Peer, *, lane_port: int = 0) -> None:
        ports = (peer.rack_port, peer.meter_port, lane_port or peer.port)
        self.config = station(ports=ports, map_name=peer.map.name)
        self.store = Store(migrated_sqlite(folder / "station.db"))
        self.clock = Clock()
        sync_station(self.store, self.config, self.clock.now())
        self.control_store = self.store.for_control()
        self.database = ApartDatabase(self.control_store, self.config.station.id)
        self.lease = Lease(self.store, self.config.station.id)
        self.lease.acquire()
        self.tariff = load_tariff(self.config.tariff, self.config.station.zone)
        rack = ModbusRack(self.config.rack_devices, self.config.bays, self.clock.now)
        assert self.config.site.meter is not None
        self.robot = PlcRobot("L1", self.config.lanes[0].cell, peer.map, self.lease.token, self.clock.now)
        self.controller = StationController(
            StationContext.build(self.database, self.config, self.clock, self.tariff),
            [self.robot],
            rack,
            rack,
            SiteDevices(meter=ModbusMeter(self.config.site.meter, self.clock.now)),
            self.lease,
        )
        self.commerce = Commerce(self.store, self.config, self.clock.now, lambda failing: None)

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
            try:
                await self._ended(commerce, task)
            finally:
                self.control_store.close()
                self.store.close()

    async def _ended(self, *tasks: asyncio.Task[None]) -> None:
        """End tasks, and raise what else has ended them; AssertionError with where one is that does not end."""
        for task in tasks:
            task.cancel()
            _, standing = await asyncio.wait([task], timeout=LIMIT_S)
            if standing:
                where = io.StringIO()
                task.print_stack(file=where)
                raise AssertionError(f"not ended {LIMIT_S} s after it was cancelled: {where.getvalue()}")
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def until(self, condition: Callable[[], object], task: asyncio.Task[None] | None = None) -> None:
        running = task or self._task

        def met() -> object:
            if running.done():
                running.result()
            return condition()

        def goes_on() -> object:
            """On a busy machine a controller may have been away for longer than the rule allows; a person looks."""
            if self.controller.context.mode_reason == Cause.CONTROL_GAP and not self._asked():
                self.ask("confirm")
            return met()

        try:
            await until(goes_on)
        except TimeoutError:
            told = [(e.kind, e.data) for e in self.events()][-8:]
            raise AssertionError(f"not in {LIMIT_S} s; last events: {told}") from None

    def _asked(self) -> bool:
        """A request is not answered yet."""
        with self.store.reading() as db:
            return db.exec(select(ControlRequest.id).where(ControlRequest.status == "open")).first() is not None

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
