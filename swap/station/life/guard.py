"""When the database is lost the controller holds by its own act, and takes everything up anew when it is back.

The one exception to "stored before it leaves": the holds and the 0 kW of a lost database go to the devices first and
into the journal on return.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from battery_bms.port import ChargerBank
from robotics.port import SwapRobot
from swap.station.clock import Clock
from swap.station.life.database import DatabaseLost, DirectDatabase

log = logging.getLogger(__name__)

RETRY_S = 0.2
"""Real seconds between two tries to go on."""
REPEAT_S = 1.0
"""Real seconds between two writes of the same hold: what was on its way to a cell may have withdrawn it."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without the database, as it is told to the journal afterwards."""

    reason: str
    lost_at: datetime
    held_at: datetime
    """When every robot and charger had been asked; all instants are station time."""
    not_confirmed: Mapping[str, str]
    """Chargers that did not confirm 0 kW, with the reason."""


class DatabaseGuard:
    """Waits for the database to be lost.

    Args:
        take_up: called when the database may be back, with no step under way: journals the outage and reads
            everything anew. Raises DatabaseLost where it is not back.
        idle: set while no step is under way.
    """

    def __init__(
        self,
        database: DirectDatabase,
        clock: Clock,
        robots: Mapping[str, SwapRobot],
        chargers: ChargerBank,
        take_up: Callable[[Outage], Awaitable[None]],
        idle: asyncio.Event,
    ) -> None:
        self._database = database
        self._clock = clock
        self._robots = robots
        self._chargers = chargers
        self._take_up = take_up
        self._idle = idle

    async def run(self) -> None:
        """Guard until cancelled."""
        while True:
            await self._database.lost.wait()
            await self._through_one()

    async def _through_one(self) -> None:
        database = self._database
        lost_at = self._clock.now()
        log.error("the database is lost (%s): robots on hold, chargers at 0 kW", database.reason)
        not_confirmed = await self._hold_all()
        outage = Outage(database.reason, lost_at, self._clock.now(), not_confirmed)
        repeating = asyncio.create_task(self._keep_holding(), name="hold without a database")
        try:
            await self._idle.wait()
            while True:
                if await self._back(outage):
                    break
                await asyncio.sleep(RETRY_S)
        finally:
            repeating.cancel()
            await asyncio.wait([repeating])
        database.reopen()
        log.error("the database is back; the station waits for a person")

    async def _back(self, outage: Outage) -> bool:
        self._database.try_again()
        try:
            await self._take_up(outage)
        except DatabaseLost:
            return False
        return True

    async def _hold_all(self) -> Mapping[str, str]:
        """Ask every device at once; one that is dead delays no other."""
        holds = [robot.hold("the database is lost") for robot in self._robots.values()]
        not_confirmed, _ = await asyncio.gather(self._chargers.stop_all(), asyncio.gather(*holds))
        return not_confirmed

    async def _keep_holding(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_S)
            await self._hold_all()
