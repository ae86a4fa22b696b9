"""A controller that writes what it likes when it likes: late copies, old epochs, other tokens. On any fenced PLC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pymodbus.client import AsyncModbusTcpClient

from robotics.modbus_link.registers import RegisterMap, Value
from robotics.port import CommandCode

LIMIT_S = 20.0


@dataclass
class LateController:
    """Requests by hand. Each takes the epoch of now, unless another is given."""

    client: AsyncModbusTcpClient
    map: RegisterMap
    token: int
    heartbeat: int = 0

    async def look(self) -> Mapping[str, Any]:
        """The fast block."""
        span = self.map.read_blocks["fast"][0]
        answer = await self.client.read_holding_registers(span.address, count=span.count)
        return self.map.decode("fast", answer.registers)

    async def seen(self, wanted: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """The first look that is as wanted."""
        async with asyncio.timeout(LIMIT_S):
            while not wanted(status := await self.look()):  # noqa: ASYNC110 - registers set no event
                await asyncio.sleep(0.02)
        return status

    async def scans(self, count: int = 3) -> Mapping[str, Any]:
        """What the cell shows after it has looked at its registers so many times: its heartbeat has moved on."""
        first = int((await self.look())["heartbeat"])
        return await self.seen(lambda s: (int(s["heartbeat"]) - first) & 0xFFFF >= count)

    async def beat(self, claim: int | None = None, epoch: int | None = None) -> None:
        """Heartbeat and claim."""
        self.heartbeat += 1
        claimed = self.token if claim is None else claim
        await self._write(owner_claim=claimed, cmd_heartbeat=self.heartbeat, beat_epoch=await self._epoch(epoch))

    async def own(self) -> None:
        """Claim the cell and wait for it."""
        await self.beat()
        await self.seen(lambda s: s["owner"] == self.token)

    async def home(self, seq: int, epoch: int | None = None, token: int | None = None) -> None:
        """The command HOME with a number."""
        await self._write(
            cmd_epoch=await self._epoch(epoch),
            cmd_owner=self.token if token is None else token,
            cmd_code=self.map.raw_of("cmd_code", CommandCode.HOME.name.lower()),
            cmd_source=0,
            cmd_target=0,
            cmd_vehicle_tag=0,
            cmd_seq=seq,
        )

    async def homed(self, seq: int) -> None:
        """HOME to its end and acknowledged, with a heartbeat before."""
        await self.beat()
        await self.home(seq)
        await self.seen(lambda s: s["done_seq"] == seq and s["result"] == 1)
        await self.acknowledge(seq)
        await self.seen(lambda s: s["result"] == 0)

    async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        """`done_ack`."""
        await self._write(ack_epoch=await self._epoch(epoch), done_ack=seq)

    async def hold(self, wanted: bool, seq: int, epoch: int | None = None) -> None:
        """A hold, or its withdrawal."""
        await self._write(hold_epoch=await self._epoch(epoch), hold=int(wanted), hold_seq=seq)

    async def _epoch(self, given: int | None) -> int:
        return int((await self.look())["epoch"]) if given is None else given

    async def _write(self, **values: Value) -> None:
        ((address, words),) = self.map.encode(values)
        answer = await self.client.write_registers(address, words)
        assert not answer.isError(), answer
