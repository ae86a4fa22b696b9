"""The robot cell behind a PLC, over Modbus TCP.

The wire, in short (the whole of it is `docs/integrators.md`, made from the register map):

    station reads   fast block (each status), slow block (each second)
    station writes  owner_claim + cmd_heartbeat        together, every 0.5 s at the latest
                    cmd_owner + cmd_code + cmd_source + cmd_target + cmd_vehicle_tag + cmd_seq
                                                       together, one request, the number at the highest address
                    done_ack                           when the result of a number has been stored
                    hold                               1 hold, 0 go on

A block that cannot be read, or in which a constant or a word is not what the map says, is not taken over: its
stamp ages, and past `max_age_s` its signals are unknown. While another controller owns the cell nothing is
written at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from robotics.config import CellSection
from robotics.faults import fault_by_code
from robotics.handshake import (
    BadWord,
    CommandEcho,
    decode_location,
    encode_location,
    handshake_for,
    meaning,
    whole,
)
from robotics.modbus_link.link import ModbusLink
from robotics.modbus_link.registers import MapError, RegisterMap, Value
from robotics.port import (
    AckCode,
    CellState,
    CellStatus,
    ControlMode,
    LinkLost,
    Location,
    Refused,
    ResultCode,
    RobotCommand,
    RunMode,
    Signal,
)

_log = logging.getLogger(__name__)

_OF_THE_VEHICLE = (Signal.HANDBRAKE_ON, Signal.GEAR_NEUTRAL, Signal.KEY_OFF, Signal.HV_OFF)
MAX_SEQ = 65535


@dataclass(slots=True)
class _Block:
    """The newest reading of one block."""

    values: Mapping[str, Value] = field(default_factory=dict)
    at: datetime | None = None
    """Station time of the reading."""
    read_s: float | None = None
    """Monotonic real seconds of the reading."""
    broken: str = ""
    """Why the last attempt failed; empty after a good one."""


@dataclass(frozen=True, slots=True)
class _Words:
    """The decoded words of a good fast block."""

    echo: CommandEcho
    state: CellState
    control_mode: ControlMode
    run_mode: RunMode
    fault_code: int
    fault_level: int
    position: Location | None
    owner: int
    vehicle_tag: int


_NOTHING = _Words(
    echo=CommandEcho(0, AckCode.NONE, 0, 0, ResultCode.NONE),
    state=CellState.FREE,
    control_mode=ControlMode.ONLINE,
    run_mode=RunMode.AUTO,
    fault_code=0,
    fault_level=0,
    position=None,
    owner=0,
    vehicle_tag=0,
)


class PlcRobot:
    """A `SwapRobot` over Modbus TCP, for any register map of kind swap_cell.

    Args:
        lane_id: the lane it serves.
        cell: address and time limits.
        register_map: layout of the PLC's registers.
        owner_token: this controller's number in the owner word, 1…65535.
        now: station time, for the stamps.
        link: the connection; made from `cell.address` when absent.
        monotonic: real seconds, for the heartbeat and ages.
        read_only: watch without writing: no ownership, no heartbeat, every command refused.
    """

    def __init__(
        self,
        lane_id: str,
        cell: CellSection,
        register_map: RegisterMap,
        owner_token: int,
        now: Callable[[], datetime],
        *,
        link: ModbusLink | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        read_only: bool = False,
    ) -> None:
        if register_map.kind != "swap_cell":
            raise MapError(register_map.name, [f"kind = {register_map.kind!r}: a cell needs kind swap_cell"])
        if not 1 <= owner_token <= 65535:
            raise ValueError(f"owner_token = {owner_token}: allowed 1…65535")
        self.lane_id = lane_id
        self.cell = cell
        self.register_map = register_map
        self.owner_token = owner_token
        self.link = link or ModbusLink(cell.address, name=f"cell {lane_id}", read_only=read_only)
        self._now = now
        self._monotonic = monotonic
        self._handshake = handshake_for(register_map)
        entries = register_map.entries
        self._fast_name = entries["heartbeat"].block
        self._blocks = {name: _Block() for name in register_map.read_blocks}
        self._words = _NOTHING
        self._signal_block = {Signal(n): e.block for n, e in entries.items() if n in set(Signal)}
        self._constants = {
            name: [(e.name, e.const) for e in register_map.by_block[name] if e.const is not None]
            for name in register_map.read_blocks
        }
        self._fault_words = [n for n, e in entries.items() if e.faults]
        self._owned_layout = "owner" in entries
        self._heartbeat: int | None = None
        self._moved_s: float | None = None
        self._heartbeat_slow = False
        self._own_heartbeat = 0
        self._hold_wanted = False
        self._ack_raised: bool | None = None
        """Of a flag handshake: done_ack is up; None when not known."""
        self._beating: asyncio.Task[None] | None = None

    # -- life

    async def connect(self) -> None:
        """Open the link and claim the cell; returns even when the cell does not answer yet."""
        await self.link.connect()
        await self.status()
        await self.beat()
        await self._read_fast()
        if not self.link.read_only and self._beating is None:
            self._beating = asyncio.create_task(self._beat(), name=f"heartbeat of cell {self.lane_id}")

    async def close(self) -> None:
        """Give up ownership where the link allows, and close."""
        task, self._beating = self._beating, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._owned_layout and not self.link.read_only and self._words.owner == self.owner_token:
            with contextlib.suppress(LinkLost, Refused):
                await self._write({"owner_claim": 0})
        await self.link.close()

    # -- reading

    async def status(self) -> CellStatus:
        """Fresh status; a dead link raises nothing, the stamps then age.

        Raises whatever ended the heartbeat task, since a station without heartbeat must not go on.
        """
        if self._beating is not None and self._beating.done():
            self._beating.result()
        await self._read_fast()
        for name, block in self._blocks.items():
            period_s = self.register_map.blocks[name].period_s
            # Due a little early, or a poll that comes 1 ms before the period would double the age.
            if name != self._fast_name and self._age_s(block) >= period_s - self.cell.poll_s / 2:
                await self._read_block(name)
        await self._lower_acknowledgement()
        return self._snapshot()

    async def _read_fast(self) -> None:
        if await self._read_block(self._fast_name):
            values = self._blocks[self._fast_name].values
            heartbeat = whole(values, "heartbeat")
            if self._heartbeat is not None and heartbeat != self._heartbeat:
                self._moved_s = self._monotonic()
            self._heartbeat = heartbeat
        self._watch_heartbeat()

    async def _read_block(self, name: str) -> bool:
        block = self._blocks[name]
        registers: dict[int, int] = {}
        try:
            for span in self.register_map.read_blocks[name]:
                words = await self.link.read(span.address, span.count)
                registers.update(zip(range(span.address, span.address + span.count), words, strict=True))
            values = self.register_map.decode(name, registers)
            self._check_constants(name, values)
            words_now = self._parse(values) if name == self._fast_name else self._words
        except (LinkLost, Refused, BadWord) as error:
            if not isinstance(error, LinkLost):  # the link tells of its own failures
                _log.log(
                    logging.DEBUG if block.broken else logging.ERROR,
                    "cell %s: block %s not taken: %s",
                    self.lane_id,
                    name,
                    error,
                )
            block.broken = str(error)
            return False
        if block.broken:
            _log.info("cell %s: block %s is good again", self.lane_id, name)
        self._words = words_now
        block.values, block.at, block.read_s, block.broken = values, self._now(), self._monotonic(), ""
        return True

    def _check_constants(self, name: str, values: Mapping[str, Value]) -> None:
        for entry, const in self._constants[name]:
            if values[entry] != const:
                raise BadWord(
                    f"{entry} reads {values[entry]}, the map {self.register_map.name} says {const}: "
                    "wrong register map, base address or word order"
                )

    def _parse(self, values: Mapping[str, Value]) -> _Words:
        def word(name: str) -> str:
            return meaning(self.register_map, values, name).upper()

        code = whole(values, "fault_code")
        table = self.register_map.entries["fault_code"].codes
        if code and table:
            code = table.get(str(code), fault_by_code(0).code)
        optional = {name: values.get(name) for name in ("owner", "vehicle_tag")}
        return _Words(
            echo=self._handshake.echo(values),
            state=CellState[word("state")],
            control_mode=ControlMode[word("control_mode")],
            run_mode=RunMode[word("run_mode")],
            fault_code=code,
            fault_level=whole(values, "fault_level"),
            position=decode_location(self.register_map.handshake.locations, whole(values, "position")),
            owner=int(optional["owner"]) if isinstance(optional["owner"], int) else 0,
            vehicle_tag=int(optional["vehicle_tag"]) if isinstance(optional["vehicle_tag"], int) else 0,
        )

    def _watch_heartbeat(self) -> None:
        slow = self._moved_s is not None and self._still_s() > self.cell.heartbeat_warn_s
        if slow and not self._heartbeat_slow:
            _log.warning("cell %s: heartbeat has not moved for %.1f s", self.lane_id, self._still_s())
        elif self._heartbeat_slow and not slow:
            _log.info("cell %s: heartbeat moves again", self.lane_id)
        self._heartbeat_slow = slow

    def _still_s(self) -> float:
        return float("inf") if self._moved_s is None else self._monotonic() - self._moved_s

    def _age_s(self, block: _Block) -> float:
        return float("inf") if block.read_s is None else self._monotonic() - block.read_s

    def _snapshot(self) -> CellStatus:
        words, fast = self._words, self._blocks[self._fast_name]
        fresh = {n: b.values for n, b in self._blocks.items() if self._age_s(b) <= self.cell.max_age_s}
        signals: dict[Signal, bool | None] = {}
        for signal, name in self._signal_block.items():
            value = fresh.get(name, {}).get(signal.value)
            signals[signal] = value if isinstance(value, bool) else None
        if signals.get(Signal.VEHICLE_LINK) is not True:
            signals.update({s: None for s in _OF_THE_VEHICLE if s in signals})
        fault_words = {n: v for b in self._blocks.values() for n, v in b.values.items() if n in self._fault_words}
        return CellStatus(
            lane_id=self.lane_id,
            fast_at=fast.at,
            slow_at=self._slow_at(),
            heartbeat=self._heartbeat or 0,
            heartbeat_ok=self._still_s() < self.cell.heartbeat_lost_s,
            state=words.state,
            control_mode=words.control_mode,
            run_mode=words.run_mode,
            ack_seq=words.echo.ack_seq,
            ack_code=words.echo.ack_code,
            active_seq=words.echo.active_seq,
            done_seq=words.echo.done_seq,
            result=words.echo.result,
            fault_code=words.fault_code,
            fault_level=words.fault_level,
            fault_words=tuple(int(v) for v in fault_words.values() if isinstance(v, int)),
            fault_codes=self.register_map.faults_in(fault_words),
            position=words.position,
            owner=words.owner,
            vehicle_tag=words.vehicle_tag,
            signals=signals,
            bays_occupied=self._bits("bays_occupied", fresh),
            heads_open=self._bits("heads_open", fresh),
            heads_closed=self._bits("heads_closed", fresh),
        )

    def _slow_at(self) -> datetime | None:
        """Stamp of the oldest block beside the fast one; the fast stamp where the map has one block only."""
        stamps = [block.at for name, block in self._blocks.items() if name != self._fast_name]
        if not stamps:
            return self._blocks[self._fast_name].at
        known = [at for at in stamps if at is not None]
        return min(known) if len(known) == len(stamps) else None

    def _bits(self, name: str, fresh: Mapping[str, Mapping[str, Value]]) -> tuple[bool | None, ...]:
        entry = self.register_map.entries.get(name)
        if entry is None:
            return ()
        value = fresh.get(entry.block, {}).get(name)
        return value if isinstance(value, tuple) else (None,) * entry.size

    # -- writing

    async def send(self, command: RobotCommand) -> None:
        """Write a command: parameters, code and number in one request.

        Raises:
            LinkLost: no answer came; the command may have arrived.
            Refused: the PLC refused the write, another controller owns the cell, or the link is read-only.
            ValueError: the number is not 1…65535, or the cell's map has no number for a place.
        """
        if not 1 <= command.seq <= MAX_SEQ:
            raise ValueError(f"seq = {command.seq}: allowed 1…{MAX_SEQ}")
        await self._require_ownership()
        if self._handshake.needs_reset and self._ack_raised is not False:
            await self._write_ack(0)
        if self._owned_layout and self._words.owner != self.owner_token:
            await self._write_beat()
        places = self.register_map.handshake.locations
        values: dict[str, Value] = {
            "cmd_owner": self.owner_token,
            "cmd_code": self.register_map.raw_of("cmd_code", command.code.name.lower()),
            "cmd_source": encode_location(places, command.source),
            "cmd_target": encode_location(places, command.target),
            "cmd_vehicle_tag": command.vehicle_tag,
            "cmd_seq": command.seq,
        }
        await self._write(values)

    async def acknowledge(self, seq: int) -> None:
        """Write `done_ack`. Raises LinkLost or Refused."""
        await self._require_ownership()
        if self._handshake.needs_reset:
            # A flag names no number: only the result that is up now may be acknowledged.
            await self._read_fast()
            if self._words.echo.done_seq != seq:
                return
        await self._write_ack(self._handshake.acknowledgement(seq))

    async def hold(self, reason: str) -> None:
        """Ask the cell to hold; never raises for a dead link, and asks again when the link is back."""
        _log.info("cell %s: hold: %s", self.lane_id, reason)
        self._hold_wanted = True
        try:
            await self._send_hold()
        except (LinkLost, Refused) as error:
            _log.warning("cell %s: hold not confirmed: %s", self.lane_id, error)

    async def resume(self) -> None:
        """Withdraw a hold. Raises LinkLost or Refused."""
        await self._require_ownership()
        self._hold_wanted = False
        await self._write({"hold": 0})

    async def beat(self) -> None:
        """One heartbeat with the claim of ownership; silent while another controller owns the cell."""
        if self.link.read_only:
            return
        try:
            if self._owned_layout:
                if self._age_s(self._blocks[self._fast_name]) > self._beat_period_s:
                    await self._read_fast()
                if self._owned_by_other():
                    return
            await self._write_beat()
            if self._hold_wanted:  # again and again: a PLC that restarts has forgotten it
                await self._send_hold()
        except LinkLost as error:
            _log.debug("cell %s: no heartbeat written: %s", self.lane_id, error)
        except Refused as error:
            _log.warning("cell %s: heartbeat refused: %s", self.lane_id, error)

    async def _write_beat(self) -> None:
        self._own_heartbeat = (self._own_heartbeat + 1) & 0xFFFF
        await self._write({"cmd_heartbeat": self._own_heartbeat, "owner_claim": self.owner_token})

    @property
    def _beat_period_s(self) -> float:
        return min(0.5, self.cell.heartbeat_warn_s / 2)

    async def _beat(self) -> None:
        while self._beating is not None:
            await asyncio.sleep(self._beat_period_s)
            await self.beat()

    def _owned_by_other(self) -> bool:
        return self._owned_layout and self._words.owner not in (0, self.owner_token)

    async def _require_ownership(self) -> None:
        if not self._owned_layout:
            return
        if self._age_s(self._blocks[self._fast_name]) > self.cell.max_age_s:
            await self._read_fast()
        block = self._blocks[self._fast_name]
        if self._age_s(block) > self.cell.max_age_s:
            raise LinkLost(f"cell {self.lane_id}: owner unknown: {block.broken or 'never read'}")
        if self._owned_by_other():
            raise Refused(
                f"cell {self.lane_id}: owned by controller {self._words.owner}, this one is {self.owner_token}"
            )

    async def _send_hold(self) -> None:
        if self._owned_by_other():
            raise Refused(f"cell {self.lane_id}: owned by controller {self._words.owner}")
        await self._write({"hold": 1})

    async def _write_ack(self, value: int) -> None:
        self._ack_raised = None
        await self._write({"done_ack": value})
        self._ack_raised = value != 0

    async def _lower_acknowledgement(self) -> None:
        """Of a flag handshake: lower `done_ack` when the cell has taken its flags back."""
        if not self._handshake.needs_reset or self._ack_raised is False or self.link.read_only:
            return
        if self._words.echo.result is not ResultCode.NONE and self._ack_raised:
            return
        if self._owned_layout and self._words.owner != self.owner_token:
            return
        with contextlib.suppress(LinkLost, Refused):
            await self._write_ack(0)

    async def _write(self, values: Mapping[str, Value]) -> None:
        present = {n: v for n, v in values.items() if n in self.register_map.entries}
        for address, registers in self.register_map.encode(present):
            await self.link.write(address, registers)
