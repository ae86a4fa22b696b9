"""What a lane's cell shows and needs beside the swap: its faults as rows, its owner, reset and homing.

Reset and homing are commands like those of a swap, each with its own number stored before it leaves. Homing
follows a loss of power: the axes do not know where they are, and a named person has to have confirmed first.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from sqlmodel import col, select

from robotics.config import LaneSection
from robotics.faults import FaultSource, fault_by_code, fault_by_name
from robotics.port import (
    CellStatus,
    CommandCode,
    LinkLost,
    Refused,
    ResultCode,
    RobotCommand,
    Signal,
    SwapRobot,
)
from swap.station.context import StationContext
from swap.station.faults import clear_fault, close_fault, raise_fault
from swap.station.records import end_command, next_seq, qualified, store_command, take_result
from swap.station.sequence.handshake import Progress, due_again, overdue, watch
from swap.station.sequence.permissives import CellFacts, tripped
from swap.station_db import StationDb as Db
from swap.tables import FaultRow, RobotCommandRow, Station

log = logging.getLogger(__name__)

HOMING = "homing_axes"
RESETTING = "resetting"
_STATES = {CommandCode.HOME: HOMING, CommandCode.RESET: RESETTING}
"""State under which a command outside of a swap is stored."""
ANSWER_S = 120.0
"""Station seconds from the first sending in which a reset or a homing must have ended."""
UNKNOWN_RESULT = "unknown_result"
_LINK_FAULTS = frozenset({"cell_link_lost", "cell_heartbeat_frozen", "owner_conflict"})


class CellWatch:
    """One lane's cell beside its swap.

    Args:
        hold_station: called with a reason when the whole station must be held.
    """

    def __init__(
        self,
        context: StationContext,
        lane: LaneSection,
        robot: SwapRobot,
        hold_station: Callable[[str], Awaitable[object]],
    ) -> None:
        self.context = context
        self.lane = lane
        self.robot = robot
        self.home_by: str | None = None
        """Who confirmed since the axes lost their position; None when nobody did."""
        self._hold_station = hold_station
        self._source = f"lane:{lane.id}"
        self._shown: frozenset[str] = frozenset()
        self._command: RobotCommand | None = None
        self._sent_at: datetime | None = None
        """Last sending of the command by this process."""
        self._deadline_at: datetime | None = None
        self._epoch: int | None = None
        """Epoch of the cell in which the command was first sent; None where another process sent it."""
        self._first_at: datetime | None = None
        self._untaken: int | None = None
        """Number of a result that is not on record, and waits for a person."""
        self._beaten = False
        """The cell's heartbeat has been seen to move."""

    async def load(self) -> None:
        """Take up what is open: faults of the cell, and a command outside of a swap, whose end is watched for still.

        It is not sent again: one that the cell knows nothing of is given up.
        """
        self._shown, self._command = await self.context.write(self._load)
        self._sent_at, self.home_by, self._epoch = None, None, None
        self._deadline_at = self.context.clock.now() + timedelta(seconds=ANSWER_S) if self._command else None

    def _load(self, db: Db) -> tuple[frozenset[str], RobotCommand | None]:
        station_id = self.context.station_id
        rows = db.exec(
            select(FaultRow)
            .where(FaultRow.station_id == station_id, FaultRow.source == self._source)
            .where(col(FaultRow.cleared_at).is_(None))
        ).all()
        commands = db.exec(
            select(RobotCommandRow)
            .where(RobotCommandRow.lane_id == qualified(station_id, self.lane.id))
            .where(RobotCommandRow.result == "open", col(RobotCommandRow.state).in_(_STATES.values()))
            .order_by(col(RobotCommandRow.id))
        ).all()
        for command in commands[:-1]:
            self._end(db, command.seq, "abandoned")
        newest = RobotCommand(commands[-1].seq, CommandCode(commands[-1].code)) if commands else None
        names = {fault_by_code(row.code).name for row in rows}
        return frozenset(n for n in names if fault_by_name(n).source is not FaultSource.OPERATIONS), newest

    async def look(self, cell: CellStatus, facts: CellFacts) -> None:
        """Store faults that came and went, and hold the station where the cell asks for it."""
        shown = self._faults(cell, facts)
        if shown != self._shown:
            await self._store_faults(shown)
        if "owner_conflict" in shown:
            await self._hold_station("owner_conflict")
        homed = facts.signal(Signal.HOMED)
        if homed is True and self._command is None:
            self.home_by = None
        if homed is False and self.home_by is None and facts.signal(Signal.POWER_OK) is True:
            await self._hold_station("not_homed")

    def _faults(self, cell: CellStatus, facts: CellFacts) -> frozenset[str]:
        lost_s = self.lane.cell.heartbeat_lost_s
        if facts.fast_age_s is None or facts.fast_age_s > lost_s:
            return (self._shown - _LINK_FAULTS) | {"cell_link_lost"}
        if not facts.fresh:
            # A heartbeat is seen to move only at the second look: at the start, not moving yet is no fault.
            if self._first_at is None:
                self._first_at = self.context.clock.now()
            watched_s = self.context.clock.age_s(self._first_at) or 0.0
            judged = self._beaten or watched_s > lost_s
            frozen = {"cell_heartbeat_frozen"} if not cell.heartbeat_ok and judged else set()
            return (self._shown - _LINK_FAULTS) | frozen
        self._beaten = True
        names = {fault_by_code(code).name for code in cell.fault_codes}
        if cell.fault_code:
            names.add(fault_by_code(cell.fault_code).name)
        token = self.context.owner_token
        if token is not None and cell.owner not in (0, token):
            names.add("owner_conflict")
        return frozenset(names)

    async def _store_faults(self, shown: frozenset[str]) -> None:
        station_id, at, before = self.context.station_id, self.context.clock.now(), self._shown
        cell = self.context.cells.get(self.lane.id)
        trouble = None if cell is None else cell.trouble

        def store(db: Db) -> None:
            for name in sorted(shown - before):
                data = {"link": str(trouble)} if name == "cell_link_lost" and trouble is not None else None
                raise_fault(db, station_id=station_id, name=name, source=self._source, at=at, data=data)
            for name in sorted(before - shown):
                clear_fault(db, station_id=station_id, name=name, source=self._source, at=at)

        await self.context.write(store)
        self._shown = shown

    def step_done(self, db: Db, at: datetime) -> None:
        """A step of the swap got through: what failed before is over. Call inside a transaction."""
        for row in db.open_faults(self._source):
            if fault_by_code(row.code).source is FaultSource.OPERATIONS:
                close_fault(db, row, at=at, actor="controller")

    # a result that no swap waits for

    async def held_result(self, cell: CellStatus, *, known: bool) -> bool:
        """Deal with a result that neither a swap nor a command of this watch waits for; True while the cell shows it.

        One that is on record is acknowledged. Another one holds the station: a named person looks, and with the
        confirmation it is put on record (`take_result`).
        """
        if cell.result is ResultCode.NONE or cell.active_seq != 0 or self._command is not None:
            return False
        if self.context.owner_token not in (None, cell.owner):
            return True
        if known:
            await self.robot.acknowledge(cell.done_seq, cell.epoch)
            return True
        at, data = self.context.clock.now(), {"seq": cell.done_seq, "result": cell.result.name.lower()}
        if self._untaken != cell.done_seq:
            self._untaken = cell.done_seq
            await self.context.write(lambda db: self._raise_unknown(db, at, data))
        await self._hold_station(UNKNOWN_RESULT)
        return True

    def _raise_unknown(self, db: Db, at: datetime, data: dict[str, object]) -> None:
        station_id = self.context.station_id
        raise_fault(db, station_id=station_id, name=UNKNOWN_RESULT, source=self._source, at=at, data=data)

    async def take_result(self, name: str) -> None:
        """A named person has looked: what the cell shows is put on record, then acknowledged.

        Raises:
            LinkLost, Refused: the cell did not take the acknowledgement.
        """
        context, cell, at = self.context, self.context.cells.get(self.lane.id), self.context.clock.now()
        if cell is None or self._untaken is None or self._untaken != cell.done_seq:
            return

        def store(db: Db) -> None:
            take_result(db, station_id=context.station_id, lane_id=self.lane.id, cell=cell, at=at, actor=name)
            clear_fault(db, station_id=context.station_id, name=UNKNOWN_RESULT, source=self._source, at=at, actor=name)

        await context.write(store)
        context.number_used(self.lane.id, cell.done_seq)
        self._untaken = None
        await self.robot.acknowledge(cell.done_seq, cell.epoch)

    # reset and homing

    async def work(
        self, cell: CellStatus, facts: CellFacts, *, idle: bool, away: bool = False, secured: bool = True
    ) -> bool:
        """Carry a reset or a homing on; True while the swap of the lane has to wait for it.

        Args:
            idle: no command of a swap is with the cell.
            secured: the vehicle in the lane stands so that the robot may move.
            away: the swap waits for nothing but a robot at home: manual work or an evacuation left it elsewhere.
        """
        if not facts.fresh:
            return False
        if self._command is not None:
            return await self._watch(self._command, cell, facts, secured)
        wanted = away or (facts.signal(Signal.HOMED) is False and self.home_by is not None)
        free = cell.active_seq == 0 and cell.result is ResultCode.NONE
        if not (wanted and idle and free and self._permitted(CommandCode.HOME, facts, secured)):
            return False
        await self.command(CommandCode.HOME, cell)
        return True

    def _permitted(self, code: CommandCode, facts: CellFacts, secured: bool) -> bool:
        """Whether the command may leave now. A reset moves nothing, and a person has asked for it."""
        if code is not CommandCode.HOME:
            return True
        return self._guarded(code, facts, secured) and tripped(facts) is None and self.context.may_move()

    @staticmethod
    def _guarded(code: CommandCode, facts: CellFacts, secured: bool) -> bool:
        """Nobody is in the zone, and the vehicle stands so that the robot may move; a reset moves nothing."""
        clear = facts.signal(Signal.CURTAIN_CLEAR) is True and facts.signal(Signal.DOORS_CLOSED) is True
        return code is not CommandCode.HOME or (clear and secured)

    async def command(self, code: CommandCode, cell: CellStatus) -> None:
        """Store and send a reset or a homing; its end is watched by `work`. Raises LinkLost or Refused."""
        context, now = self.context, self.context.clock.now()

        def store(db: Db) -> RobotCommand:
            stored = db.get_one(Station, context.station_id).last_seq_by_lane.get(self.lane.id, 0)
            command = RobotCommand(next_seq(stored, *cell.numbers), code)
            store_command(
                db,
                station_id=context.station_id,
                lane_id=self.lane.id,
                command=command,
                swap_id=None,
                state=_STATES[code],
                at=now,
            )
            return command

        command = await context.write(store)
        context.number_used(self.lane.id, command.seq)
        await self._first(command, cell.epoch)

    async def _first(self, command: RobotCommand, epoch: int) -> None:
        """Send what has just been stored; a homing leaves only if the station may still move."""
        now = self.context.clock.now()
        self._command, self._sent_at, self._epoch = command, now, epoch
        self._deadline_at = now + timedelta(seconds=ANSWER_S)
        if command.code is not CommandCode.HOME or self.context.may_move():
            await self.robot.send(command, epoch)

    @property
    def busy(self) -> bool:
        """A reset or a homing is with the cell."""
        return self._command is not None

    @property
    def errand(self) -> CommandCode | None:
        """The reset or homing that is with the cell."""
        return None if self._command is None else self._command.code

    @property
    def deadline_at(self) -> datetime | None:
        """When it has to have ended; None while there is none."""
        return None if self._command is None else self._deadline_at

    async def _watch(self, command: RobotCommand, cell: CellStatus, facts: CellFacts, secured: bool) -> bool:
        now, echo = self.context.clock.now(), watch(cell, command.seq)
        # Unheard in a later epoch: what happened to the cell ends the command, and its copies are dead.
        given_up = echo is Progress.UNHEARD and cell.epoch != self._epoch
        if echo in (Progress.UNHEARD, Progress.RUNNING) and not (given_up or overdue(self._deadline_at, now)):
            if echo is Progress.RUNNING and not cell.hold and not self._guarded(command.code, facts, secured):
                await self.robot.hold(f"{_STATES[command.code]}: somebody is there, or the vehicle is not secured")
            due = due_again(echo, self._sent_at, now, speed=self.context.clock.speed)
            if due and self._permitted(command.code, facts, secured):
                self._sent_at = now
                try:
                    await self.robot.send(command, cell.epoch)
                except (LinkLost, Refused) as error:
                    log.warning("lane %s: %s", self.lane.id, error)
            return True
        result = Progress.FAILED if echo in (Progress.UNHEARD, Progress.RUNNING) else echo
        await self.context.write(lambda db: self._end(db, command.seq, result.value))
        self._command = None
        if cell.done_seq == command.seq:
            try:
                await self.robot.acknowledge(command.seq, cell.epoch)
            except (LinkLost, Refused) as error:
                log.warning("lane %s: %s", self.lane.id, error)
        if command.code is CommandCode.HOME and result is not Progress.DONE:
            self.home_by = None
            await self._hold_station("not_homed")
        return True

    def _end(self, db: Db, seq: int, result: str) -> None:
        end_command(
            db,
            station_id=self.context.station_id,
            lane_id=self.lane.id,
            seq=seq,
            result=result,
            at=self.context.clock.now(),
        )
