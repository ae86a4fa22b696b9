"""Whose cells and chargers are, as their controller goes by it.

A cell says who owns it, and in which epoch. A charger says nothing: it is written while the lease cannot be another
controller's, and what was written last ends by itself (`expires_s`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from battery_bms.port import ChargerBank
from robotics.port import CellStatus, Signal, SwapRobot
from swap.station.sequence.evacuation import NEED_PERSON
from swap.station.sequence.permissives import CellFacts


class CellOwned(Exception):
    """Another controller owns a cell; this one must not run."""


async def unclaimed(robots: Mapping[str, SwapRobot], token: int, wait_s: float) -> None:
    """Wait until no cell names another owner; a cell that does not answer is not waited for.

    Args:
        robots: by lane.
        token: of the controller that waits.
        wait_s: real seconds after which it waits no longer.

    Raises:
        CellOwned: another controller keeps a cell.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        owned = []
        for lane_id, robot in robots.items():
            cell = await robot.status()
            if cell.fast_at is not None and cell.owner not in (0, token):
                owned.append(f"the cell of lane {lane_id} belongs to controller {cell.owner}")
        if not owned:
            return
        if loop.time() >= until:
            raise CellOwned(
                f"{'; '.join(owned)}; this one is {token}. Stop the other controller first: "
                "a PLC takes commands from one"
            )
        await asyncio.sleep(0.25)


class Ownership:
    """What one controller knows of its claim on one cell."""

    def __init__(self) -> None:
        self.epoch: int | None = None
        """Epoch of the cell that its lane goes by; None until the cell is this controller's."""
        self.let_go_until_at: datetime | None = None
        """The hold of a planned stop may be withdrawn until then; None where none was permitted."""
        self._dangers: frozenset[Signal] = frozenset()

    def new_dangers(self, facts: CellFacts) -> bool:
        """A trip or somebody in the zone is seen anew: what a person confirmed before is void."""
        dangers = frozenset(signal for signal in NEED_PERSON if facts.signal(signal) is False)
        new = bool(dangers - self._dangers)
        self._dangers = dangers
        return new

    def changed(self, cell: CellStatus, token: int | None) -> bool:
        """Something has happened to a cell that was this controller's: another epoch, or another owner, or none."""
        return self.epoch is not None and not (_ours(cell, token) and cell.epoch == self.epoch)

    def go_by(self, cell: CellStatus, token: int | None) -> bool:
        """Go by the cell's present epoch where the cell is this controller's; True when that is another one."""
        before = self.epoch
        if _ours(cell, token):
            self.epoch = cell.epoch
        return self.epoch != before

    def decided_on(self, cell: CellStatus, token: int | None) -> bool:
        """A person has decided on this look: go by its epoch. The grant that follows on a cell that has let its owner
        go belongs to the decision."""
        if cell.owner == 0 and not _ours(cell, token):
            self.epoch = None
        return self.go_by(cell, token)


NOT_OURS = "the station may be another controller's by now; the last set-point ends by itself"


class OwnedChargers:
    """A `ChargerBank` that writes nothing, also not 0, once the station may be another controller's.

    Args:
        bays: those that are told as not confirmed then.
        sure: whether the station is this controller's.
        rest: what else stops when every charger does: the storage.
    """

    def __init__(
        self,
        chargers: ChargerBank,
        bays: Sequence[str],
        sure: Callable[[], bool],
        rest: Callable[[], Awaitable[object]],
    ) -> None:
        self._chargers = chargers
        self._rest = rest
        self._bays = bays
        self._sure = sure

    async def set_charge_kw(self, setpoints_kw: Mapping[str, float]) -> Mapping[str, str]:
        """Write set-points by bay id. Returns the bays not confirmed, with the reason."""
        if not self._sure():
            return dict.fromkeys(setpoints_kw, NOT_OURS)
        return await self._chargers.set_charge_kw(setpoints_kw)

    async def stop_all(self) -> Mapping[str, str]:
        """Set 0 kW everywhere. Returns the bays not confirmed, with the reason."""
        if not self._sure():
            return dict.fromkeys(self._bays, NOT_OURS)
        failed, _ = await asyncio.gather(self._chargers.stop_all(), self._rest())
        return failed


def _ours(cell: CellStatus, token: int | None) -> bool:
    return token is None or cell.owner == token
