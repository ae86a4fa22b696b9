"""What a cell's status blocks say: read over the link, checked against the map, kept with the instant of the reading.

A block that cannot be read, or in which a constant or a word is not what the map says, is not taken over: its
stamp ages, and past `max_age_s` its signals are unknown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite

from robotics.config import CellSection
from robotics.faults import fault_by_code
from robotics.handshake import BadWord, CommandEcho, Handshake, decode_location, meaning, whole
from robotics.modbus_link.cell_entries import VEHICLE_PACK, seats_of
from robotics.modbus_link.link import ModbusLink, ModbusRefused
from robotics.modbus_link.registers import RegisterMap, Value
from robotics.port import (
    MOST_ODOMETER_KM,
    SEAT_ACCEPTED,
    SEATS,
    VEHICLE_OPTIONAL,
    AckCode,
    CellState,
    CellStatus,
    ControlMode,
    LinkFault,
    LinkLost,
    LinkTrouble,
    Location,
    Refused,
    ResultCode,
    RunMode,
    Signal,
    VehiclePack,
)

_log = logging.getLogger(__name__)

_OF_THE_VEHICLE = (
    *(Signal.HANDBRAKE_ON, Signal.GEAR_NEUTRAL, Signal.KEY_OFF, Signal.HV_OFF),
    *VEHICLE_OPTIONAL,
    *SEAT_ACCEPTED.values(),
)


def trouble_of(error: LinkLost | Refused | BadWord, *, connected: bool) -> LinkTrouble | None:
    """The cause of a failed request; None for a refusal by the station itself."""
    if isinstance(error, BadWord):
        return error.trouble
    if isinstance(error, LinkLost):
        return LinkTrouble(LinkFault.NO_ANSWER if connected else LinkFault.NOT_CONNECTED)
    if isinstance(error, ModbusRefused):
        return LinkTrouble(LinkFault.EXCEPTION, value=str(error.exception_code))
    return None


_NEVER = LinkTrouble(LinkFault.NEVER_HEARD)


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
    trouble: LinkTrouble | None = _NEVER
    """The same as a cause; None after a good one."""


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


class CellReader:
    """The status blocks of one cell. Reading raises nothing for a dead link or a bad word: the stamps then age."""

    def __init__(
        self,
        lane_id: str,
        cell: CellSection,
        register_map: RegisterMap,
        handshake: Handshake,
        link: ModbusLink,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._lane_id = lane_id
        self._cell = cell
        self._map = register_map
        self._handshake = handshake
        self._link = link
        self._now = now
        self._monotonic = monotonic
        entries = register_map.entries
        self.fast_name = entries["heartbeat"].block
        self._reads = register_map.reads_within(cell.address.max_registers)
        self.blocks = {name: _Block() for name in self._reads}
        self.words = _NOTHING
        """Words of the newest good fast block."""
        self._signal_block = {Signal(n): e.block for n, e in entries.items() if n in set(Signal)}
        told = {
            seat: frozenset(name for name, entry in VEHICLE_PACK.items() if f"seat_{seat}_{entry}" in entries)
            for seat in SEATS
        }
        self._seats = seats_of(entries)
        self._packs = [(seat, names) for seat, names in told.items() if names]
        self._constants = {
            name: [(e.name, e.const) for e in register_map.by_block[name] if e.const is not None]
            for name in register_map.read_blocks
        }
        self._fault_words = [n for n, e in entries.items() if e.faults]
        self._heartbeat: int | None = None
        self._moved_s: float | None = None
        self._moved_at: datetime | None = None
        self._heartbeat_slow = False

    async def read_all(self) -> None:
        """The fast block, and the others where they are due."""
        await self.read_fast()
        for name, block in self.blocks.items():
            period_s = self._map.blocks[name].period_s
            # Due a little early, or a poll that comes 1 ms before the period would double the age.
            if name != self.fast_name and self.age_s(block) >= period_s - self._cell.poll_s / 2:
                await self.read(name)

    @property
    def fast(self) -> _Block:
        """The newest reading of the fast block."""
        return self.blocks[self.fast_name]

    async def read_fast(self) -> None:
        """Read the fast block and watch the cell's heartbeat."""
        if await self.read(self.fast_name):
            values = self.blocks[self.fast_name].values
            heartbeat = whole(values, "heartbeat")
            if self._heartbeat is not None and heartbeat != self._heartbeat:
                self._moved_s, self._moved_at = self._monotonic(), self._now()
            self._heartbeat = heartbeat
        self._watch_heartbeat()

    async def read(self, name: str) -> bool:
        """Read one block; False when it could not be taken over."""
        block = self.blocks[name]
        registers: dict[int, int] = {}
        try:
            for span in self._reads[name]:
                words = await self._link.read(span.address, span.count)
                registers.update(zip(range(span.address, span.address + span.count), words, strict=True))
            values = self._map.decode(name, registers)
            self._check_constants(name, values)
            words_now = self._parse(values) if name == self.fast_name else self.words
        except (LinkLost, Refused, BadWord) as error:
            if not isinstance(error, LinkLost):  # the link tells of its own failures
                _log.log(
                    logging.DEBUG if block.broken else logging.ERROR,
                    "cell %s: block %s not taken: %s",
                    self._lane_id,
                    name,
                    error,
                )
            block.broken, block.trouble = str(error), trouble_of(error, connected=self._link.connected)
            return False
        if block.broken:
            _log.info("cell %s: block %s is good again", self._lane_id, name)
        self.words = words_now
        block.values, block.at, block.read_s = values, self._now(), self._monotonic()
        block.broken, block.trouble = "", None
        return True

    def _check_constants(self, name: str, values: Mapping[str, Value]) -> None:
        for entry, const in self._constants[name]:
            if values[entry] != const:
                raise BadWord(
                    f"{entry} reads {values[entry]}, the map {self._map.name} says {const}: "
                    "wrong register map, base address or word order",
                    LinkTrouble(LinkFault.WRONG_CONSTANT, entry, str(values[entry]), str(const)),
                )

    def _parse(self, values: Mapping[str, Value]) -> _Words:
        def word(name: str) -> str:
            return meaning(self._map, values, name).upper()

        code = whole(values, "fault_code")
        table = self._map.entries["fault_code"].codes
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
            position=decode_location(self._map.handshake.locations, whole(values, "position")),
            owner=int(optional["owner"]) if isinstance(optional["owner"], int) else 0,
            vehicle_tag=int(optional["vehicle_tag"]) if isinstance(optional["vehicle_tag"], int) else 0,
        )

    def _watch_heartbeat(self) -> None:
        slow = self._moved_s is not None and self._still_s() > self._cell.heartbeat_warn_s
        if slow and not self._heartbeat_slow:
            _log.warning("cell %s: heartbeat has not moved for %.1f s", self._lane_id, self._still_s())
        elif self._heartbeat_slow and not slow:
            _log.info("cell %s: heartbeat moves again", self._lane_id)
        self._heartbeat_slow = slow

    def _still_s(self) -> float:
        return float("inf") if self._moved_s is None else self._monotonic() - self._moved_s

    def _vehicle_pack(self, seat: int, names: frozenset[str], fresh: Mapping[str, Mapping[str, Value]]) -> VehiclePack:
        def value(name: str) -> Value:
            entry = f"seat_{seat}_{VEHICLE_PACK[name]}"
            block = self._map.entries[entry].block if name in names else ""
            return fresh.get(block, {}).get(entry)

        code, temp_c, level, leak = (value(name) for name in VEHICLE_PACK)
        return VehiclePack(
            carried=names,
            code=code if isinstance(code, str) and code else None,
            temp_max_c=float(temp_c) if isinstance(temp_c, int | float) and isfinite(temp_c) else None,
            alarm_level=level if isinstance(level, int) else None,
            leak=leak if isinstance(leak, bool) else None,
        )

    def _odometer_km(self, fresh: Mapping[str, Mapping[str, Value]]) -> float | None:
        entry = self._map.entries.get("odometer_km")
        value = None if entry is None else fresh.get(entry.block, {}).get("odometer_km")
        return float(value) if isinstance(value, int | float) and 0 <= value <= MOST_ODOMETER_KM else None

    def age_s(self, block: _Block) -> float:
        """Real seconds since a block was read; infinite when never."""
        return float("inf") if block.read_s is None else self._monotonic() - block.read_s

    def snapshot(self) -> CellStatus:
        """The newest readings as one status; signals of blocks that are too old are unknown."""
        words, fast = self.words, self.blocks[self.fast_name]
        fresh = {n: b.values for n, b in self.blocks.items() if self.age_s(b) <= self._cell.max_age_s}
        signals: dict[Signal, bool | None] = {}
        for signal, name in self._signal_block.items():
            value = fresh.get(name, {}).get(signal.value)
            signals[signal] = value if isinstance(value, bool) else None
        if signals.get(Signal.VEHICLE_LINK) is not True:
            signals.update({s: None for s in _OF_THE_VEHICLE if s in signals})
        linked = signals.get(Signal.VEHICLE_LINK) is True
        fault_words = {n: v for b in self.blocks.values() for n, v in b.values.items() if n in self._fault_words}
        return CellStatus(
            lane_id=self._lane_id,
            fast_at=fast.at,
            slow_at=self._slow_at(),
            heartbeat=self._heartbeat or 0,
            heartbeat_ok=self._still_s() < self._cell.heartbeat_lost_s,
            beat_at=self._moved_at,
            trouble=fast.trouble,
            vehicle_packs={
                seat: self._vehicle_pack(seat, names, fresh if linked else {}) for seat, names in self._packs
            },
            state=words.state,
            control_mode=words.control_mode,
            run_mode=words.run_mode,
            ack_seq=words.echo.ack_seq,
            ack_code=words.echo.ack_code,
            active_seq=words.echo.active_seq,
            done_seq=words.echo.done_seq,
            result=words.echo.result,
            epoch=words.echo.epoch,
            last_seq=words.echo.last_seq,
            done_result=words.echo.done_result,
            hold=words.echo.hold,
            fault_code=words.fault_code,
            fault_level=words.fault_level,
            fault_words=tuple(int(v) for v in fault_words.values() if isinstance(v, int)),
            fault_codes=self._map.faults_in(fault_words),
            position=words.position,
            owner=words.owner,
            vehicle_tag=words.vehicle_tag,
            odometer_km=self._odometer_km(fresh) if linked else None,
            signals=signals,
            bays_occupied=self._bits("bays_occupied", fresh),
            heads_open=self._bits("heads_open", fresh),
            heads_closed=self._bits("heads_closed", fresh),
            seats=self._seats,
        )

    def _slow_at(self) -> datetime | None:
        """Stamp of the oldest block beside the fast one; the fast stamp where the map has one block only."""
        stamps = [block.at for name, block in self.blocks.items() if name != self.fast_name]
        if not stamps:
            return self.blocks[self.fast_name].at
        known = [at for at in stamps if at is not None]
        return min(known) if len(known) == len(stamps) else None

    def _bits(self, name: str, fresh: Mapping[str, Mapping[str, Value]]) -> tuple[bool | None, ...]:
        entry = self._map.entries.get(name)
        if entry is None:
            return ()
        value = fresh.get(entry.block, {}).get(name)
        return value if isinstance(value, tuple) else (None,) * entry.size
