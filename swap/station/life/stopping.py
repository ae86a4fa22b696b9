"""The end of a controller: robots under way on hold, chargers at 0 kW, and what of it was confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from battery_bms.port import ChargerBank
from robotics.port import SwapRobot
from swap.station.life.status import StopReport

HOLD_LOOKS, HOLD_LOOK_S = 10, 0.1
"""So often, with so many real seconds between, it is looked whether a cell shows its hold."""


async def stop_devices(under_way: Sequence[SwapRobot], chargers: ChargerBank) -> StopReport:
    """Hold the robots that are under way and stop every charger; one that is dead delays no other."""
    held, not_confirmed = await asyncio.gather(
        asyncio.gather(*(_held(robot) for robot in under_way)), chargers.stop_all()
    )
    lanes = [(robot.lane_id, done) for robot, done in zip(under_way, held, strict=True)]
    return StopReport(
        held=tuple(lane_id for lane_id, done in lanes if done),
        holds_not_confirmed=tuple(lane_id for lane_id, done in lanes if not done),
        chargers_not_confirmed=dict(not_confirmed),
    )


class Closable(Protocol):
    """Has a link."""

    async def close(self) -> None:
        """Close it."""


async def close_links(robots: Iterable[SwapRobot], *others: Closable, give_up: bool = True) -> None:
    """Close every link; a cell is given up where it is still ours."""
    for robot in robots:
        await robot.close(give_up=give_up)
    for device in others:
        await device.close()


async def _held(robot: SwapRobot) -> bool:
    """Ask for a hold; whether the cell answered, and shows it where its layout has a word for that."""
    if not await robot.hold("controller stopped"):
        return False
    for _ in range(HOLD_LOOKS):
        if (await robot.status()).hold is not False:
            return True
        await asyncio.sleep(HOLD_LOOK_S)
    return False
