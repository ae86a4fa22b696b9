"""What an explored world is made of besides plant and controller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robotics.port import CellStatus
from sim.live.direct import DirectRack
from sim.plant.draws import Draws
from tests.prove.explore_env import Env
from tests.prove.explore_station import Stored, Violation

if TYPE_CHECKING:
    from tests.prove.explore_world import World


class Nominal(Draws):
    """No variation: the same action from the same state ends in the same state."""

    def __call__(self, nominal: float, spread_share: float) -> float:
        return nominal


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a world is."""

    plant: tuple[Any, ...]
    stored: Stored
    volatile: tuple[Any, ...]
    last: CellStatus | None
    env: Env


class WorldRack(DirectRack):
    """The rack's chargers, watched."""

    def __init__(self, world: World) -> None:
        super().__init__(world.plant, world.clock.now)
        self.world = world

    async def set_charge_kw(self, setpoints_kw: Mapping[str, float]) -> Mapping[str, str]:
        if self.world.stale:
            raise Violation("a controller whose station another one has taken writes to the chargers")
        return await super().set_charge_kw(setpoints_kw)
