"""The cell of the explored station, behind a link that can fail and a process that can freeze in a write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from robotics.port import CellStatus, LinkFault, LinkLost, LinkTrouble, Refused, RobotCommand
from sim.live.direct import DirectRobot
from tests.prove.explore_station import LANE, Violation

if TYPE_CHECKING:
    from tests.prove.explore_world import World


class ControllerDied(BaseException):
    """The process is killed here."""


class TakenOver(BaseException):
    """The process stands still here, and another controller takes the station. `write` is what arrives afterwards."""

    def __init__(self, name: str, write: Callable[[], object]) -> None:
        super().__init__(name)
        self.name, self.write = name, write


class WorldRobot(DirectRobot):
    """The cell behind a link that can fail, watched. `die_at` and `freeze_at` count the writes until one at which the
    process is killed, or stands still for longer than the cell waits for it, with the write decided and not gone.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world.plant, LANE, 0, world.clock.now)
        self.world = world
        self.last: CellStatus | None = None
        self.die_at: int | None = None
        self.freeze_at: int | None = None
        self.taken_over = False
        """Where the process stands still, another one takes its station."""
        self.frozen = False
        """A write that was decided before a freeze is on its way."""
        self.late = False
        """The last write arrived after a freeze."""
        self.resumed = False
        self.person_acts = False

    @property
    def fenced(self) -> bool:
        """The cell's layout has an epoch."""
        return self.world.fenced

    async def status(self) -> CellStatus:
        if self.world.env.link_down:
            return replace(self.last or CellStatus(LANE, None, None), trouble=LinkTrouble(LinkFault.NO_ANSWER))
        seen = self.plant.cell_status(LANE)
        self.last = seen if self.fenced else replace(seen, epoch=0, last_seq=None, done_result=None, hold=None)
        return self.last

    def _call(self) -> None:
        owner = self.plant.cell(LANE).owner
        if owner not in (0, self.world.controller.claimed.token) and not self.world.env.link_down:
            raise Refused(f"the cell belongs to controller {owner}")
        if self.die_at is not None:
            if self.die_at == 0:
                raise ControllerDied
            self.die_at -= 1

    def _leave(self, name: str, epoch: int | None, write: Callable[[int | None], object]) -> None:
        """A write leaves, at once or when the process is thawed, with the epoch that it was decided in."""
        decided_in = (self._current(epoch) if epoch is None else epoch) if self.fenced else None
        if self.freeze_at is not None:
            self.freeze_at -= 1
            if self.freeze_at < 0 and self.taken_over:
                raise TakenOver(name, partial(write, decided_in))
            if self.freeze_at == -1:
                self.world.freeze()
                self.frozen = True
        try:
            write(decided_in)
        finally:
            self.late, self.frozen = self.frozen, False

    async def send(self, command: RobotCommand, epoch: int | None = None) -> None:
        self._call()
        env = self.world.env
        if env.link_down:
            raise LinkLost("no answer")  # asked on what was seen a moment ago; it reaches nobody
        self.world.rules.asked(self.world, command)
        env = self.world.env
        if env.drop_sends:
            self.world.env = replace(env, drop_sends=env.drop_sends - 1)
            raise LinkLost("no answer")
        token = self.world.controller.claimed.token
        self._leave("send", epoch, lambda decided_in: self.plant.command(LANE, command, token, decided_in))

    async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        self._call()
        env = self.world.env
        if env.link_down:
            raise LinkLost("no answer")
        self.world.rules.acknowledged(self.world, seq)
        if env.drop_acks:
            self.world.env = replace(env, drop_acks=env.drop_acks - 1)
            raise LinkLost("no answer")
        self._leave("acknowledge", epoch, lambda decided_in: self.plant.done_ack(LANE, seq, decided_in))

    async def hold(self, reason: str) -> bool:
        try:
            self._call()
        except Refused:
            return False  # as the driver: it never raises, and stops no cell of another controller
        if not self.world.env.link_down:
            self._leave("hold", None, lambda decided_in: self._ask_hold(True, decided_in))
        return not self.world.env.link_down

    async def resume(self, epoch: int | None = None) -> None:
        self._call()
        if not self.person_acts and not self.world.carries_hot_pack:
            raise Violation("the cell's hold is withdrawn and no person has decided")
        if self.world.env.link_down:
            raise LinkLost("no answer")
        self.world.rules.let_go(self.world)
        cell = self.plant.cell(LANE)
        held = cell.hold
        self._leave("resume", epoch, lambda decided_in: self._ask_hold(False, decided_in))
        if self.late and held and not cell.hold:
            raise Violation("a confirmation that is older than a pause withdraws the cell's hold")
        if cell.hold:
            raise Refused("something has happened since the confirmation")
        self.resumed = self.person_acts

    async def close(self, *, give_up: bool = True) -> None:
        cell = self.plant.cell(LANE)
        if give_up and cell.owner == self.world.controller.claimed.token and not self.world.env.link_down:
            cell.claim(0, owner_silent=False)

    def _ask_hold(self, hold: bool, epoch: int | None) -> None:
        cell = self.plant.cell(LANE)
        self.plant.set_hold(LANE, hold, epoch, cell.hold_seq % 0xFFFF + 1)
