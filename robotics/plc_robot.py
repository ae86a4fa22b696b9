"""The robot cell behind a PLC, over Modbus TCP.

The wire, in short (the whole of it is `docs/integrators.md`, made from the register map):

    station reads   fast block (each status), slow block (each second)
    station writes  owner_claim + cmd_heartbeat        together, every 0.5 s at the latest
                    cmd_owner + cmd_code + cmd_source + cmd_target + cmd_vehicle_tag + cmd_seq
                                                       together, one request, the number at the highest address
                    done_ack                           when the result of a number has been stored
                    hold                               1 hold, 0 go on
                    each with the epoch that it was decided in, where the map has one

While another controller owns the cell nothing is written at all. Reading is `cell_reader.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from robotics.cell_reader import CellReader, trouble_of
from robotics.config import CellSection
from robotics.handshake import (
    encode_location,
    handshake_for,
    limits_of,
)
from robotics.modbus_link.cell_entries import NEW_PACK_CODES
from robotics.modbus_link.link import ModbusLink
from robotics.modbus_link.quality import Repeated
from robotics.modbus_link.registers import MapError, RegisterMap, Value
from robotics.port import (
    NO_PACKS,
    CellStatus,
    DriverSign,
    LinkLost,
    LinkTrouble,
    Refused,
    ResultCode,
    RobotCommand,
)

_log = logging.getLogger(__name__)

MAX_SEQ = 65535
SHOW_AGAIN_S = 2.0
"""Real seconds after which outputs are written again though nothing has changed."""
RELEASE_S = 1.0
"""Within this time a cell that shows its hold must show that it is withdrawn."""


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
        self._handshake = handshake_for(register_map)
        self.limits = limits_of(register_map)
        self._reader = CellReader(lane_id, cell, register_map, self._handshake, self.link, now, monotonic)
        self._owned_layout = "owner" in register_map.entries
        self._own_heartbeat = 0
        self._monotonic = monotonic
        self._shown: dict[str, Value] = {}
        """Outputs as they were written last; empty when not known."""
        self._shown_s = 0.0
        self._hold_wanted = False
        self._hold_seq = 0
        self._ack_raised: bool | None = None
        """Of a flag handshake: done_ack is up; None when not known."""
        self._beating: asyncio.Task[None] | None = None
        self._refusal: LinkTrouble | None = None
        """Why the newest request was not taken at the wire."""
        self._refused_beats = Repeated(_log, f"cell {lane_id}: heartbeat refused")

    # -- life

    async def connect(self) -> None:
        """Open the link and claim the cell; returns even when the cell does not answer yet."""
        await self.link.connect()
        await self.status()
        await self.beat()
        await self._reader.read_fast()
        if not self.link.read_only and self._beating is None:
            self._beating = asyncio.create_task(self._beat(), name=f"heartbeat of cell {self.lane_id}")

    async def close(self, *, give_up: bool = True) -> None:
        """Give up ownership where the link allows, and close. Without `give_up` nothing is written any more."""
        task, self._beating = self._beating, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if give_up and self._owned_layout and not self.link.read_only:
            await self._reader.read_fast()
            if self._reader.words.owner == self.owner_token:
                with contextlib.suppress(LinkLost, Refused):
                    await self._give_up()
        await self.link.close()

    # -- reading

    async def status(self) -> CellStatus:
        """Fresh status; a dead link raises nothing, the stamps then age.

        Raises whatever ended the heartbeat task, since a station without heartbeat must not go on.
        """
        if self._beating is not None and self._beating.done():
            self._beating.result()
        await self._reader.read_all()
        await self._lower_acknowledgement()
        return replace(self._reader.snapshot(), refusal=self._refusal)

    # -- writing

    async def send(self, command: RobotCommand, epoch: int | None = None) -> None:
        """Write a command: parameters, code and number in one request.

        Raises:
            LinkLost: no answer came; the command may have arrived.
            Refused: the PLC refused the write, another controller owns the cell, its epoch is over, or the link is
                read-only.
            ValueError: the number is not 1…65535, or the cell's map has no number for a place.
        """
        if not 1 <= command.seq <= MAX_SEQ:
            raise ValueError(f"seq = {command.seq}: allowed 1…{MAX_SEQ}")
        await self._require_ownership()
        if self._handshake.needs_reset and self._ack_raised is not False:
            await self._write_ack(0)
        owns = self._reader.words.owner == self.owner_token
        if self._owned_layout and (self._handshake.fenced or not owns):
            await self._write_beat()
            if self._handshake.fenced and not owns:
                await self._reader.read_fast()
                if self._reader.words.owner != self.owner_token:
                    raise Refused(f"cell {self.lane_id}: has not taken the claim of controller {self.owner_token} yet")
        places = self.register_map.handshake.locations
        values: dict[str, Value] = {
            "cmd_epoch": self._current(epoch),
            "cmd_owner": self.owner_token,
            "cmd_code": self.register_map.raw_of("cmd_code", command.code.name.lower()),
            "cmd_source": encode_location(places, command.source),
            "cmd_target": encode_location(places, command.target),
            "cmd_vehicle_tag": command.vehicle_tag,
            "cmd_seq": command.seq,
        }
        await self._write(values)

    async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        """Write `done_ack`. Raises LinkLost or Refused."""
        await self._require_ownership()
        if self._handshake.needs_reset:
            # A flag names no number: only the result that is up now may be acknowledged.
            await self._reader.read_fast()
            if self._reader.words.echo.done_seq != seq:
                return
        await self._write_ack(self._handshake.acknowledgement(seq), self._current(epoch))

    async def hold(self, reason: str) -> bool:
        """Ask the cell to hold; never raises for a dead link, and asks again when the link is back."""
        _log.info("cell %s: hold: %s", self.lane_id, reason)
        self._hold_wanted = True
        try:
            await self._send_hold()
        except (LinkLost, Refused) as error:
            _log.warning("cell %s: hold not confirmed: %s", self.lane_id, error)
            return False
        return True

    async def resume(self, epoch: int | None = None) -> None:
        """Withdraw a hold. Raises LinkLost or Refused; the hold is then wanted again."""
        await self._require_ownership()
        decided_in = self._current(epoch)
        self._hold_wanted = False
        try:
            await self._write_hold(0, decided_in)
            if self._handshake.fenced and not await self._released():
                raise Refused(f"cell {self.lane_id}: still holds {RELEASE_S:g} s after its hold was withdrawn")
        except LinkLost:
            # What may still be on its way must not arrive after the hold that is asked next.
            self._hold_wanted = True
            self.link.abort()
            raise
        except Refused:
            self._hold_wanted = True
            raise

    async def show(self, sign: DriverSign, *, swap_mode: bool, packs: Mapping[int, str] = NO_PACKS) -> bool:
        """Write the optional outputs when they change, and every `SHOW_AGAIN_S`: a PLC that restarts has forgotten."""
        entries = self.register_map.entries
        carried = {seat: name for seat, name in NEW_PACK_CODES.items() if name in entries}
        codes: dict[str, Value] = {name: packs.get(seat, "") for seat, name in carried.items()}
        written = await self._show(sign, swap_mode=swap_mode, codes=codes)
        return written and any(codes.values())

    async def _show(self, sign: DriverSign, *, swap_mode: bool, codes: Mapping[str, Value]) -> bool:
        """Whether the cell has all outputs as they are to be."""
        entries = self.register_map.entries
        values: dict[str, Value] = {}
        if "driver_sign" in entries:
            values["driver_sign"] = self.register_map.raw_of("driver_sign", sign.name.lower())
        if "swap_request" in entries:
            values["swap_request"] = int(swap_mode)
        values |= codes
        now_s = self._monotonic()
        due = values != self._shown or now_s - self._shown_s >= SHOW_AGAIN_S
        stale = self._reader.age_s(self._reader.fast) > self.cell.max_age_s
        foreign = self._owned_layout and self._reader.words.owner != self.owner_token
        if not values or stale or foreign or self.link.read_only:
            return False
        if not due:
            return True
        self._shown = {}
        try:
            await self._write(values)
        except (LinkLost, Refused) as error:
            _log.debug("cell %s: outputs not written: %s", self.lane_id, error)
            return False
        self._shown, self._shown_s = values, now_s
        return True

    async def _released(self) -> bool:
        """The cell shows no hold within `RELEASE_S`."""
        for _ in range(max(round(RELEASE_S / self.cell.poll_s), 1)):
            await self._reader.read_fast()
            if self._reader.words.echo.hold is False:
                return True
            await asyncio.sleep(self.cell.poll_s)
        return False

    async def beat(self) -> None:
        """One heartbeat with the claim of ownership; silent while another controller owns the cell."""
        if self.link.read_only:
            return
        try:
            if self._owned_layout:
                if self._reader.age_s(self._reader.fast) > self._beat_period_s:
                    await self._reader.read_fast()
                if self._owned_by_other():
                    return
            await self._write_beat()
            # Again and again: a PLC that restarts has forgotten it, and one that shows it may have had a trip first.
            if self._hold_wanted and self._reader.words.echo.hold is not True:
                await self._send_hold()
        except LinkLost as error:
            _log.debug("cell %s: no heartbeat written: %s", self.lane_id, error)
        except Refused as error:
            self._refused_beats.failed(str(error))
        else:
            self._refused_beats.over()

    async def _write_beat(self) -> None:
        self._own_heartbeat = (self._own_heartbeat + 1) & 0xFFFF
        epoch = self._reader.words.echo.epoch
        await self._write({"beat_epoch": epoch, "cmd_heartbeat": self._own_heartbeat, "owner_claim": self.owner_token})

    async def _give_up(self) -> None:
        values: dict[str, Value] = {"owner_claim": 0}
        if self._handshake.fenced:  # a request of its own, which only a new heartbeat makes
            self._own_heartbeat = (self._own_heartbeat + 1) & 0xFFFF
            values |= {"beat_epoch": self._reader.words.echo.epoch, "cmd_heartbeat": self._own_heartbeat}
        await self._write(values)

    @property
    def _beat_period_s(self) -> float:
        return min(0.5, self.cell.heartbeat_warn_s / 2)

    async def _beat(self) -> None:
        while self._beating is not None:
            await asyncio.sleep(self._beat_period_s)
            await self.beat()

    def _owned_by_other(self) -> bool:
        return self._owned_layout and self._reader.words.owner not in (0, self.owner_token)

    async def _require_ownership(self) -> None:
        if not self._owned_layout:
            return
        if self._reader.age_s(self._reader.fast) > self.cell.max_age_s:
            await self._reader.read_fast()
        block = self._reader.fast
        if self._reader.age_s(block) > self.cell.max_age_s:
            raise LinkLost(f"cell {self.lane_id}: owner unknown: {block.broken or 'never read'}")
        if self._owned_by_other():
            raise Refused(
                f"cell {self.lane_id}: owned by controller {self._reader.words.owner}, this one is {self.owner_token}"
            )

    async def _send_hold(self) -> None:
        await self._reader.read_fast()
        if self._owned_by_other():
            raise Refused(f"cell {self.lane_id}: owned by controller {self._reader.words.owner}")
        await self._write_hold(1, self._reader.words.echo.epoch)

    async def _write_hold(self, value: int, epoch: int) -> None:
        self._hold_seq = self._hold_seq % MAX_SEQ + 1
        await self._write({"hold_epoch": epoch, "hold": value, "hold_seq": self._hold_seq})

    def _current(self, epoch: int | None) -> int:
        """The epoch that goes with a request. Raises Refused when the one it was decided in is over."""
        now = self._reader.words.echo.epoch
        if epoch is not None and epoch != now:
            raise Refused(f"cell {self.lane_id}: decided in epoch {epoch}, the cell is in {now}; look at it again")
        return now

    async def _write_ack(self, value: int, epoch: int = 0) -> None:
        self._ack_raised = None
        await self._write({"ack_epoch": epoch, "done_ack": value})
        self._ack_raised = value != 0

    async def _lower_acknowledgement(self) -> None:
        """Of a flag handshake: lower `done_ack` when the cell has taken its flags back."""
        if not self._handshake.needs_reset or self._ack_raised is False or self.link.read_only:
            return
        if self._reader.words.echo.result is not ResultCode.NONE and self._ack_raised:
            return
        if self._owned_layout and self._reader.words.owner != self.owner_token:
            return
        with contextlib.suppress(LinkLost, Refused):
            await self._write_ack(0)

    async def _write(self, values: Mapping[str, Value]) -> None:
        present = {n: v for n, v in values.items() if n in self.register_map.entries}
        try:
            for address, registers in self.register_map.encode(present):
                await self.link.write(address, registers)
        except (LinkLost, Refused) as error:
            self._refusal = trouble_of(error, connected=self.link.connected)
            raise
        self._refusal = None
