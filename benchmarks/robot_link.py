"""What the driver of a robot cell costs on the wire, and how many cells one process polls.

`command` is a whole exchange: the command is written, its acknowledgement and then its end are read, the result
is acknowledged, and the cell is seen ready again. That is five requests to a cell that moves in no time, so its
ratio to one bare read of the same block, made in the same rounds with the same Modbus library, has 5 as its floor.

`cells_at_10_hz` is the largest number of cells, found by doubling and halving, whose polls all began less than
one period late; each has a connection and a heartbeat of its own. The cells are a process of their own.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter

from pymodbus.client import AsyncModbusTcpClient

from robotics.config import CellSection
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.registers import RegisterMap, load_map
from robotics.plc_robot import PlcRobot
from robotics.port import CommandCode, ResultCode, RobotCommand

TOKEN = 7
ROUNDS = 40
CALLS = {"bare_read": 120, "status": 40, "command": 8}
"""For each round; so they take about equally long, and a disturbance of the machine hits them alike."""
PERIOD_S = 0.1
WINDOW_S = 2.5
SEARCH_S = 45.0
MOST_CELLS = 400
"""Each takes a file handle at either end; 1024 is a usual limit."""


class _Cell(asyncio.Protocol):
    """One connection to one cell: takes any command and has carried it out at the second look at it."""

    def __init__(self, register_map: RegisterMap) -> None:
        entries = register_map.entries
        self.at = {name: entry.address for name, entry in entries.items()}
        image = register_map.image()
        self.words = [image.get(address, 0) for address in range(max(image) + 1)]
        self.words[self.at["control_mode"]] = register_map.raw_of("control_mode", "online")
        self.words[self.at["run_mode"]] = register_map.raw_of("run_mode", "auto")
        for name in ("layout_version", "word_check"):
            for address, words in register_map.encode({name: entries[name].const or 0}):
                self.words[address : address + len(words)] = words

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.pending = b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while len(self.pending) >= 6 and len(self.pending) >= 6 + int.from_bytes(self.pending[4:6]):
            size = 6 + int.from_bytes(self.pending[4:6])
            frame, self.pending = self.pending[:size], self.pending[size:]
            self._answer(frame)

    def _answer(self, frame: bytes) -> None:
        first, count = int.from_bytes(frame[8:10]), int.from_bytes(frame[10:12])
        if frame[7] == 3:
            shown = self.words[first : first + count]
            body = bytes((3, 2 * count)) + b"".join(word.to_bytes(2) for word in shown)
            self._scan()
        else:
            self.words[first : first + count] = [int.from_bytes(frame[n : n + 2]) for n in range(13, len(frame), 2)]
            body = frame[7:12]
            self._look()
        self.transport.write(frame[:4] + (len(body) + 1).to_bytes(2) + frame[6:7] + body)

    def _look(self) -> None:
        """What the station has written."""
        words, at = self.words, self.at
        words[at["owner"]] = words[at["owner_claim"]]
        if words[at["done_ack"]] == words[at["done_seq"]]:
            words[at["result"]] = 0
        if words[at["cmd_seq"]] != words[at["ack_seq"]]:
            words[at["ack_seq"]] = words[at["active_seq"]] = words[at["cmd_seq"]]
            words[at["ack_code"]] = 1

    def _scan(self) -> None:
        """One scan: the heartbeat moves, a command that was shown as active has ended."""
        words, at = self.words, self.at
        words[at["heartbeat"]] = words[at["heartbeat"]] + 1 & 0xFFFF
        if words[at["active_seq"]]:
            words[at["done_seq"]], words[at["active_seq"]], words[at["result"]] = words[at["active_seq"]], 0, 1


async def _serve() -> asyncio.Server:
    register_map = load_map("swap_cell_v2")
    return await asyncio.get_running_loop().create_server(lambda: _Cell(register_map), "127.0.0.1", 0, backlog=1000)


def _cells_process(pipe: Connection) -> None:
    """The cells of the second measurement, until the other end of the pipe closes."""

    async def main() -> None:
        server = await _serve()
        pipe.send(server.sockets[0].getsockname()[1])
        async with server:
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(pipe.fileno(), gone.set)
            await gone.wait()

    asyncio.run(main())


def _robot(port: int) -> PlcRobot:
    cell = CellSection(address=ModbusAddress(port=port))
    return PlcRobot("L1", cell, load_map("swap_cell_v2"), TOKEN, lambda: datetime.now(UTC))


async def _command(robot: PlcRobot, seq: int) -> None:
    await robot.send(RobotCommand(seq, CommandCode.HOME))
    while (await robot.status()).ack_seq != seq:
        pass
    while (await robot.status()).done_seq != seq:
        pass
    await robot.acknowledge(seq)
    while (await robot.status()).result is not ResultCode.NONE:
        pass


async def _overhead() -> dict[str, float]:
    """Least milliseconds of a bare read, of a status and of a command, and the median of the rounds' ratios."""
    server = await _serve()
    port = server.sockets[0].getsockname()[1]
    robot, bare = _robot(port), AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1.0, retries=0)
    await robot.connect()
    await bare.connect()
    block = robot.register_map.read_blocks["fast"][0]
    numbers = count(1)
    cases: dict[str, Callable[[], Awaitable[object]]] = {
        "bare_read": lambda: bare.read_holding_registers(block.address, count=block.count),
        "status": robot.status,
        "command": lambda: _command(robot, next(numbers)),
    }
    samples_ms: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            start = perf_counter()
            for _ in range(CALLS[name]):
                await call()
            samples_ms[name].append((perf_counter() - start) / CALLS[name] * 1000.0)
    await robot.close()
    bare.close()
    server.close()
    results = {f"{name}_ms": round(min(times), 4) for name, times in samples_ms.items()}
    for name in ("status", "command"):
        ratios = [taken / least for taken, least in zip(samples_ms[name], samples_ms["bare_read"], strict=True)]
        results[f"{name}_per_bare_read"] = round(median(ratios), 2)
    return results


async def _poll(robot: PlcRobot, first_s: float, until_s: float) -> float:
    """Poll one cell at its period; how late the latest poll began, in seconds."""
    loop = asyncio.get_running_loop()
    due_s, worst_s = first_s, 0.0
    while due_s < until_s:
        await asyncio.sleep(due_s - loop.time())
        worst_s = max(worst_s, loop.time() - due_s)
        if worst_s > PERIOD_S:
            return worst_s
        await robot.status()
        due_s += PERIOD_S
    return worst_s


async def _late_s(robots: Sequence[PlcRobot]) -> float:
    """Worst lateness over a window, the polls spread evenly over the period."""
    start_s = asyncio.get_running_loop().time() + 0.2
    offsets = [PERIOD_S * n / len(robots) for n in range(len(robots))]
    late = await asyncio.gather(
        *(_poll(r, start_s + o, start_s + WINDOW_S) for r, o in zip(robots, offsets, strict=True))
    )
    return max(late)


async def _capacity(port: int) -> tuple[int, float]:
    """Most cells polled in time, and how late the latest of their polls began, in seconds."""
    give_up_s = time.monotonic() + SEARCH_S
    robots: list[PlcRobot] = []

    async def keeps_up(size: int) -> float | None:
        """Worst lateness; None when one poll came a period late, twice over: once may be the machine's doing."""
        while len(robots) > size:
            await robots.pop().close()
        while len(robots) < size:
            robots.append(_robot(port))
            await robots[-1].connect()
        for _ in range(2):
            gc.collect()
            late_s = await _late_s(robots)
            if late_s <= PERIOD_S:
                return late_s
        return None

    good, good_late_s, bad = 0, 0.0, MOST_CELLS + 1
    size = 16
    while time.monotonic() < give_up_s and bad - good > max(1, good // 20):
        late_s = await keeps_up(size)
        if late_s is None:
            bad = size
        else:
            good, good_late_s = size, late_s
        size = min(2 * good, MOST_CELLS) if bad > MOST_CELLS else (good + bad) // 2
        if good == MOST_CELLS:
            break
    for robot in robots:
        await robot.close()
    return good, good_late_s


def run() -> dict[str, float]:
    """Milliseconds of the exchanges and their ratio to a bare read; cells that one process polls at 10 Hz."""
    results = asyncio.run(_overhead())
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    cells = spawn.Process(target=_cells_process, args=(there,), daemon=True)
    cells.start()
    there.close()
    try:
        cells_polled, late_s = asyncio.run(_capacity(here.recv()))
    finally:
        here.close()
        cells.join(5.0)
    results["cells_at_10_hz"] = cells_polled
    results["latest_poll_ms"] = round(late_s * 1000.0, 1)
    return results
