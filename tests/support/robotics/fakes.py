"""A robot cell in memory: `MiniCell` keeps the rules of docs/integrators.md, `FakeRobot` is the port on top of it.

`FakeRobot` is instant by default: a command has ended when `send` returns. With `stepped=True` it takes one
`tick()` to be taken up and one more to end. It fails on demand: `cell.fail_next`, `cell.refuse_next`,
`robot.link_down`, `robot.lose_next_send`, `robot.lose_next_answer`, `cell.frozen`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from robotics.port import (
    NO_PACKS,
    AckCode,
    CellState,
    CellStatus,
    CommandCode,
    ControlMode,
    DriverSign,
    LinkLimit,
    LinkLost,
    Location,
    LocationKind,
    Refused,
    ResultCode,
    RobotCommand,
    RunMode,
    Signal,
)

AT_REST: dict[Signal, bool | None] = {
    Signal.ESTOP_OK: True,
    Signal.CURTAIN_CLEAR: True,
    Signal.DOORS_CLOSED: True,
    Signal.FIRE_OK: True,
    Signal.SMOKE_OK: True,
    Signal.POWER_OK: True,
    Signal.HOMED: True,
    Signal.AT_HOME: True,
    Signal.VEHICLE_PRESENT: False,
    Signal.VEHICLE_IN_POSITION: False,
    Signal.VEHICLE_LINK: False,
    Signal.HANDBRAKE_ON: None,
    Signal.GEAR_NEUTRAL: None,
    Signal.KEY_OFF: None,
    Signal.HV_OFF: None,
    Signal.LOCKS_OPEN: False,
    Signal.LOCKS_CLOSED: False,
    Signal.SEAT_1_OCCUPIED: False,
    Signal.SEAT_2_OCCUPIED: False,
    Signal.PACK_ACCEPTED: None,
    Signal.GRIPPER_LOADED: False,
    Signal.TRANSFER_OCCUPIED: False,
    Signal.TANK_READY: True,
    Signal.TANK_OCCUPIED: False,
    Signal.EXIT_CLEAR: True,
}
SEATS = {1: Signal.SEAT_1_OCCUPIED, 2: Signal.SEAT_2_OCCUPIED}


@dataclass
class MiniCell:
    """The PLC's side of the handshake and a robot that does at once what it is told."""

    signals: dict[Signal, bool | None] = field(default_factory=lambda: dict(AT_REST))
    bays: list[bool | None] = field(default_factory=lambda: [None] * 99)
    heads_closed: list[bool | None] = field(default_factory=lambda: [None] * 16)
    incoming_seats: tuple[int, ...] = (1,)
    """Seats of the next vehicle that hold a pack."""
    state: CellState = CellState.READY
    control_mode: ControlMode = ControlMode.ONLINE
    run_mode: RunMode = RunMode.AUTO
    heartbeat: int = 0
    owner: int = 0
    epoch: int = 1
    last_seq: int = 0
    first_command: bool = True
    hold: bool = False
    hold_seq: int = 0
    first_hold: bool = True
    ack_seq: int = 0
    ack_code: AckCode = AckCode.NONE
    active: RobotCommand | None = None
    done_seq: int = 0
    result: ResultCode = ResultCode.NONE
    done_result: ResultCode = ResultCode.NONE
    fault_code: int = 0
    fault_level: int = 0
    fault_words: list[int] = field(default_factory=lambda: [0] * 6)
    position: Location | None = None
    vehicle_tag: int = 0
    frozen: bool = False
    """The program has stopped: nothing changes any more."""
    fail_next: ResultCode | None = None
    refuse_next: AckCode | None = None
    moves: list[RobotCommand] = field(default_factory=list)
    """Every command that moved something, once each."""

    def new_epoch(self) -> None:
        """A change of the owner, a trip, a pause."""
        self.epoch = self.epoch % 0xFFFF + 1
        self.first_command = self.first_hold = True

    def claim(self, token: int, epoch: int | None = None) -> None:
        """A heartbeat of a controller."""
        if self.frozen or epoch not in (None, self.epoch):
            return
        before = self.owner
        if self.owner == 0:
            self.owner = token
        elif token == 0:
            self.owner = 0
        if self.owner != before:
            self.new_epoch()

    def owner_silent(self) -> None:
        """The owner's heartbeat has not moved for 3 s."""
        self.owner = 0
        self.new_epoch()

    def ask_hold(self, wanted: bool, epoch: int, seq: int) -> None:
        """A numbered request to hold, or to withdraw it."""
        if epoch == self.epoch and (self.first_hold or _ahead(seq, self.hold_seq)):
            self.hold, self.hold_seq, self.first_hold = wanted, seq, False

    def submit(self, token: int, command: RobotCommand, epoch: int | None = None) -> None:
        """The command block has been written."""
        if self.frozen:
            return
        if command.seq == 0 or (command.seq == self.ack_seq and self.ack_code is not AckCode.REFUSED_OWNER):
            return
        if epoch is not None:
            old = not self.first_command and not _ahead(command.seq, self.last_seq)
            if epoch != self.epoch or command.seq == self.last_seq or old:
                return
            self.last_seq, self.first_command = command.seq, False
        self.ack_seq = command.seq
        if token != self.owner:
            self.ack_code = AckCode.REFUSED_OWNER
        elif self.refuse_next is not None:
            self.ack_code, self.refuse_next = self.refuse_next, None
        elif self.active is not None or self.result is not ResultCode.NONE:
            self.ack_code = AckCode.BUSY
        elif self.hold or self.control_mode is not ControlMode.ONLINE or self.run_mode is not RunMode.AUTO:
            self.ack_code = AckCode.REFUSED_MODE
        elif not self.signals[Signal.ESTOP_OK]:
            self.ack_code = AckCode.REFUSED_INTERLOCK
        else:
            self.ack_code = AckCode.ACCEPTED
            self.done_result = ResultCode.NONE
            self.active, self.state = command, CellState.BUSY

    def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        """`done_ack` has been written."""
        if seq and seq == self.done_seq and epoch in (None, self.epoch) and not self.frozen:
            self.result = ResultCode.NONE

    def tick(self) -> None:
        """One scan: the heartbeat moves, an active command ends."""
        if self.frozen:
            return
        self.heartbeat = (self.heartbeat + 1) & 0xFFFF
        if self.active is None:
            return
        command, self.active = self.active, None
        self.result, self.fail_next = self.fail_next or ResultCode.DONE, None
        self.done_result = self.result
        self.done_seq = command.seq
        self.state = CellState.READY
        self.moves.append(command)
        if self.result is ResultCode.DONE:
            self._do(command)
        else:
            self.fault_code, self.fault_level, self.state = self.fault_code or 1201, 3, CellState.ALARM

    def _do(self, command: RobotCommand) -> None:
        signals = self.signals
        match command.code:
            case CommandCode.ADMIT:
                self.vehicle_tag = command.vehicle_tag
                on = (Signal.VEHICLE_PRESENT, Signal.VEHICLE_LINK, Signal.HANDBRAKE_ON, Signal.GEAR_NEUTRAL)
                signals.update(dict.fromkeys((*on, Signal.KEY_OFF, Signal.HV_OFF, Signal.LOCKS_CLOSED), True))
                signals.update({s: seat in self.incoming_seats for seat, s in SEATS.items()})
                signals[Signal.PACK_ACCEPTED] = True
                self._heads(closed=True)
            case CommandCode.LOCATE:
                signals[Signal.VEHICLE_IN_POSITION] = True
            case CommandCode.UNLOCK | CommandCode.LOCK:
                closed = command.code is CommandCode.LOCK
                signals.update({Signal.LOCKS_OPEN: not closed, Signal.LOCKS_CLOSED: closed})
                self._heads(closed=closed)
            case CommandCode.PICK:
                self._place(command.source, occupied=False)
            case CommandCode.PUT:
                self._place(command.target, occupied=True)
            case CommandCode.HOME:
                self.position = None
                signals.update({Signal.HOMED: True, Signal.AT_HOME: True})
            case CommandCode.RELEASE:
                self.vehicle_tag = 0
                for signal in (Signal.VEHICLE_PRESENT, Signal.VEHICLE_IN_POSITION, Signal.VEHICLE_LINK):
                    signals[signal] = False
                for signal in (Signal.LOCKS_OPEN, Signal.LOCKS_CLOSED, *SEATS.values()):
                    signals[signal] = False
                for signal in (Signal.HANDBRAKE_ON, Signal.GEAR_NEUTRAL, Signal.KEY_OFF, Signal.HV_OFF):
                    signals[signal] = None
                signals[Signal.PACK_ACCEPTED] = None
                self.heads_closed = [None] * 16
            case CommandCode.RESET:
                self.fault_code = self.fault_level = 0
                self.fault_words = [0] * 6
            case CommandCode.FIRE:
                if command.source is not None and command.source.kind is LocationKind.BAY:
                    self.bays[command.source.index - 1] = False
                signals[Signal.TANK_OCCUPIED] = True

    def _heads(self, *, closed: bool) -> None:
        self.heads_closed = [closed if i < 4 or 8 <= i < 12 else None for i in range(16)]

    def _place(self, place: Location | None, *, occupied: bool) -> None:
        self.position = place
        self.signals[Signal.GRIPPER_LOADED] = not occupied
        self.signals[Signal.AT_HOME] = False
        if place is None:
            return
        if place.kind is LocationKind.BAY:
            self.bays[place.index - 1] = occupied
        elif place.kind is LocationKind.SEAT:
            self.signals[SEATS[place.index]] = occupied
            self.signals[Signal.PACK_ACCEPTED] = occupied
        elif place.kind is LocationKind.TRANSFER:
            self.signals[Signal.TRANSFER_OCCUPIED] = occupied
        else:
            self.signals[Signal.TANK_OCCUPIED] = occupied


def _ahead(seq: int, last: int) -> bool:
    return 1 <= (seq - last) & 0xFFFF <= 0x7FFF


class FakeRobot:
    """A `SwapRobot` without a wire, whose cell has an epoch."""

    limits: tuple[LinkLimit, ...] = ()

    def __init__(
        self,
        lane_id: str = "L1",
        *,
        owner_token: int = 1,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        cell: MiniCell | None = None,
        stepped: bool = False,
    ) -> None:
        self.lane_id = lane_id
        self.owner_token = owner_token
        self.cell = cell or MiniCell()
        self.stepped = stepped
        self.link_down = False
        self.lose_next_send = False
        """The next command does not reach the cell."""
        self.lose_next_answer = False
        """The next command reaches the cell and its answer is lost."""
        self.sent: list[RobotCommand] = []
        self.holds: list[str] = []
        self.shown: tuple[DriverSign, bool] = (DriverSign.NONE, False)
        self.told: dict[int, str] = {}
        self._now = now
        self._last: CellStatus | None = None
        self._heartbeat: int | None = None

    async def connect(self) -> None:
        """Claim the cell."""
        if not self.link_down:
            self.cell.claim(self.owner_token)

    async def status(self) -> CellStatus:
        """The cell as it is, or the last look at it while the link is down."""
        if self.link_down:
            last = self._last or CellStatus(self.lane_id, None, None)
            return replace(last, heartbeat_ok=False, signals=dict.fromkeys(last.signals))
        cell, now = self.cell, self._now()
        if not self.stepped:
            cell.tick()
        linked = cell.signals[Signal.VEHICLE_LINK] is True
        vehicle = (Signal.HANDBRAKE_ON, Signal.GEAR_NEUTRAL, Signal.KEY_OFF, Signal.HV_OFF)
        self._last = CellStatus(
            lane_id=self.lane_id,
            fast_at=now,
            slow_at=now,
            heartbeat=cell.heartbeat,
            heartbeat_ok=not cell.frozen,
            state=cell.state,
            control_mode=cell.control_mode,
            run_mode=cell.run_mode,
            ack_seq=cell.ack_seq,
            ack_code=cell.ack_code,
            active_seq=cell.active.seq if cell.active else 0,
            done_seq=cell.done_seq,
            result=cell.result,
            epoch=cell.epoch,
            last_seq=cell.last_seq,
            done_result=cell.done_result,
            hold=cell.hold,
            fault_code=cell.fault_code,
            fault_level=cell.fault_level,
            fault_words=tuple(cell.fault_words),
            position=cell.position,
            owner=cell.owner,
            vehicle_tag=cell.vehicle_tag,
            signals={s: None if s in vehicle and not linked else v for s, v in cell.signals.items()},
            bays_occupied=tuple(cell.bays),
            heads_open=tuple(None if c is None else not c for c in cell.heads_closed),
            heads_closed=tuple(cell.heads_closed),
        )
        return self._last

    async def send(self, command: RobotCommand, epoch: int | None = None) -> None:
        """Write a command. Raises LinkLost or Refused."""
        if not 1 <= command.seq <= 65535:
            raise ValueError(f"seq = {command.seq}: allowed 1…65535")
        self._require()
        if self.lose_next_send:
            self.lose_next_send = False
            raise LinkLost("fake: the request was lost")
        self.sent.append(command)
        self.cell.claim(self.owner_token)
        self.cell.submit(self.owner_token, command, self._current(epoch))
        if not self.stepped:
            self.cell.tick()
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise LinkLost("fake: the answer was lost")

    async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        """Write `done_ack`."""
        self._require()
        self.cell.acknowledge(seq, self._current(epoch))

    async def hold(self, reason: str) -> bool:
        """Ask the cell to hold."""
        self.holds.append(reason)
        if self.link_down or self.cell.owner not in (0, self.owner_token):
            return False
        self.cell.hold = True
        return True

    async def resume(self, epoch: int | None = None) -> None:
        """Withdraw a hold."""
        self._require()
        self._current(epoch)
        self.cell.hold = False

    async def show(self, sign: DriverSign, *, swap_mode: bool, packs: Mapping[int, str] = NO_PACKS) -> bool:
        """Keep what is shown."""
        self.shown = (sign, swap_mode)
        self.told = dict(packs)
        return False

    async def close(self, *, give_up: bool = True) -> None:
        """Give the cell up."""
        if give_up and not self.link_down and self.cell.owner == self.owner_token:
            self.cell.claim(0)

    def tick(self) -> None:
        """One scan of the cell; of use when `stepped`."""
        self.cell.tick()

    def _current(self, epoch: int | None) -> int:
        if epoch not in (None, self.cell.epoch):
            raise Refused(f"fake: decided in epoch {epoch}, the cell is in {self.cell.epoch}")
        return self.cell.epoch

    def _require(self) -> None:
        if self.link_down:
            raise LinkLost("fake: not connected")
        if self.cell.owner not in (0, self.owner_token):
            raise Refused(f"fake: owned by controller {self.cell.owner}")
