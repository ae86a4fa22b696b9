"""The cell of the explored station, behind a link that can fail."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from robotics.port import CellStatus, LinkLost, Refused, RobotCommand
from sim.live.direct import DirectRobot
from tests.prove.explore_station import LANE, Violation

if TYPE_CHECKING:
    from tests.prove.explore_world import World


class ControllerDied(BaseException):
    """The process is killed here."""


class WorldRobot(DirectRobot):
    """The cell behind a link that can fail, watched."""

    def __init__(self, world: World) -> None:
        super().__init__(world.plant, LANE, 0, world.clock.now)
        self.world = world
        self.last: CellStatus | None = None
        self.die_at: int | None = None
        self.resumed = False
        self.person_acts = False

    async def status(self) -> CellStatus:
        if self.world.env.link_down:
            return self.last or CellStatus(LANE, None, None)
        self.last = self.plant.cell_status(LANE)
        return self.last

    def _call(self) -> None:
        if self.die_at is not None:
            if self.die_at == 0:
                raise ControllerDied
            self.die_at -= 1

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
        self.plant.command(LANE, command, None, self._current(epoch))

    async def acknowledge(self, seq: int, epoch: int | None = None) -> None:
        self._call()
        env = self.world.env
        if env.link_down:
            raise LinkLost("no answer")
        if env.drop_acks:
            self.world.env = replace(env, drop_acks=env.drop_acks - 1)
            raise LinkLost("no answer")
        self.plant.done_ack(LANE, seq, self._current(epoch))

    async def hold(self, reason: str) -> None:
        self._call()
        if not self.world.env.link_down:
            self._ask_hold(True, None)

    async def resume(self, epoch: int | None = None) -> None:
        self._call()
        if not self.person_acts and not self.world.carries_hot_pack:
            raise Violation("the cell's hold is withdrawn and no person has decided")
        if self.world.env.link_down:
            raise LinkLost("no answer")
        self._ask_hold(False, epoch)
        if self.plant.cell(LANE).hold:
            raise Refused("something has happened since the confirmation")
        self.resumed = self.person_acts

    def _ask_hold(self, hold: bool, epoch: int | None) -> None:
        cell = self.plant.cell(LANE)
        self.plant.set_hold(LANE, hold, self._current(epoch), cell.hold_seq % 0xFFFF + 1)
