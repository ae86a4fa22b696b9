"""A wire that is cut between two commands: what was written into it before must not arrive after it is whole again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.link import SEND_LIMIT_S, LinkLost, ModbusLink
from robotics.modbus_link.registers import load_map
from tests.support.robotics.plc import MiniPlc

pytestmark = pytest.mark.system
HEARTBEAT, FIRST, SECOND = 0, (200, [1, 1, 1]), (200, [2, 2, 2])


@dataclass
class Wire:
    """A TCP path to one port. While it is cut nothing gets through and nobody is told, as when a cable is pulled: what
    a side has sent waits at that side. When it is whole again, a side delivers what it still has to send; a side that
    has reset its connection has thrown it away."""

    target_port: int
    port: int = 0
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    late: list[bytes] = field(default_factory=list)
    """What arrived only when the wire was whole again."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Wire]:
        self.whole.set()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            self.port = server.getsockname()[1]
            accepting = asyncio.create_task(self._accept(server))
            try:
                yield self
            finally:
                for task in (accepting, *self._tasks):
                    task.cancel()
                await asyncio.gather(accepting, *self._tasks, return_exceptions=True)

    async def _accept(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.whole.wait()
            near, _ = await loop.sock_accept(server)
            if not self.whole.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.target_port))
            for end in (near, far):
                end.setblocking(False)
            self._tasks.add(asyncio.create_task(self._join(near, far)))

    async def _join(self, near: socket.socket, far: socket.socket) -> None:
        """Carry both ways until one side ends."""
        both = [asyncio.create_task(self._carry(*ends)) for ends in ((near, far), (far, near))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            near.close()
            far.close()

    async def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await _readable(source)
                cut = not self.whole.is_set()
                await self.whole.wait()
                if source.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return  # reset: the sender keeps nothing
                data = await loop.sock_recv(source, 65536)
                if cut and data:
                    self.late.append(data)
                if not data:
                    return
                await loop.sock_sendall(sink, data)
        except OSError:
            return


async def _readable(source: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(source, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(source)


async def cut_between_two_commands(cut_s: float) -> tuple[list[tuple[int, list[int]]], list[bytes]]:
    """Writes that reach the PLC, and bytes that arrived late, when the wire is cut for some seconds between two."""
    plc = MiniPlc(load_map("swap_cell_v2"))
    await plc.start()
    async with Wire(plc.port).open() as wire:
        link = ModbusLink(ModbusAddress(port=wire.port, timeout_s=0.3), backoff_s=(0.05, 0.2))
        await link.connect()
        try:
            assert await link.read(HEARTBEAT, 1)
            wire.whole.clear()
            again_at = asyncio.get_running_loop().time() + cut_s
            with pytest.raises(LinkLost):
                await link.write(*FIRST)
            for _ in range(2):
                with pytest.raises(LinkLost):
                    await link.read(HEARTBEAT, 1)
            assert not link.connected
            await asyncio.sleep(again_at - asyncio.get_running_loop().time())
            wire.whole.set()
            async with asyncio.timeout(10):
                while True:
                    try:
                        await link.write(*SECOND)
                        break
                    except LinkLost:
                        await asyncio.sleep(0.05)
            assert await link.read(HEARTBEAT, 1)
        finally:
            await link.close()
            await plc.stop()
        return plc.writes, wire.late


async def test_what_was_written_into_a_cut_wire_never_arrives() -> None:
    writes, late = await cut_between_two_commands(1.5)
    assert writes == [SECOND]
    assert late == []


@pytest.mark.drill
@pytest.mark.timeout(120)
async def test_nor_after_a_minute() -> None:
    writes, late = await cut_between_two_commands(60.0)
    assert writes == [SECOND]
    assert late == []


async def test_an_ordinary_end_would_deliver_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wire of these tests is one on which the fault happens."""
    monkeypatch.setattr("robotics.modbus_link.link._end_hard", lambda _: None)
    monkeypatch.setattr("asyncio.selector_events._SelectorSocketTransport.abort", lambda self: self.close())
    writes, late = await cut_between_two_commands(1.5)
    assert FIRST in writes
    assert len(late) == 1


PROGRAM = """
import asyncio, sys
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.link import LinkLost, ModbusLink

async def main():
    link = ModbusLink(ModbusAddress(port=int(sys.argv[1]), timeout_s=30))
    await link.connect()
    await link.read(0, 1)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await link.write(200, [1, 1, 1])

asyncio.run(main())
"""


async def test_a_killed_process_leaves_nothing_to_deliver() -> None:
    plc = MiniPlc(load_map("swap_cell_v2"))
    await plc.start()
    async with Wire(plc.port).open() as wire:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(wire.port), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            async with asyncio.timeout(30):
                assert await process.stdout.readline() == b"ready\n"
                wire.whole.clear()
                process.stdin.write(b"\n")
                await process.stdin.drain()
                await _written(wire.port)
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
            wire.whole.set()
            link = ModbusLink(ModbusAddress(port=wire.port))
            await link.connect()
            await link.write(*SECOND)
            await link.close()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await plc.stop()
        assert plc.writes == [SECOND]
        assert wire.late == []


async def _written(port: int) -> None:
    """Wait until bytes for the wire lie in the kernel, unread."""
    while not _waiting(port):  # noqa: ASYNC110 - the kernel sets no event
        await asyncio.sleep(0.02)


def _waiting(port: int) -> bool:
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        queued = int(fields[4].split(":")[1], 16)
        if int(fields[1].split(":")[1], 16) == port and fields[3] == "01" and queued > 0:
            return True
    return False


async def test_the_kernel_gives_a_send_up_before_the_plc_gives_its_owner_up() -> None:
    plc = MiniPlc(load_map("swap_cell_v2"))
    await plc.start()
    link = ModbusLink(plc.address)
    await link.connect()
    assert link._client is not None
    connection = link._client.ctx.transport.get_extra_info("socket")
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SEND_LIMIT_S * 1000 <= 2000
    await link.close()
    await plc.stop()
