"""Section of a scenario about the years that the station stands."""

from __future__ import annotations

from math import ceil
from typing import Annotated

from pydantic import Field

from sim.scenario.base import ScenarioSection

END_OF_LIFE_PCT = 80.0
"""State of health at which packs are given up, the end of many warranties; reached in a straight line (assumed)."""

Soh = Annotated[float, Field(ge=50, le=100)]


class LifeSection(ScenarioSection):
    """How fleet and packs change while the station stands. `swap size` reads it: the promise must hold in the
    hardest of the years, the cost is that of their mean. Without it the first year stands for all."""

    years: int = Field(default=10, ge=1, le=40)
    """Years for which the promise must hold."""
    growth_per_year: float = Field(default=0.0, ge=-0.5, le=1)
    """Trucks that come more in each year than in the one before, as a share; below 0 they become fewer."""
    soh_pct_by_year: tuple[Soh, ...] = ()
    """State of health of the packs at the end of each year of their life; the last holds on. Empty: a straight line
    from 100 to 80 % at `costs.pack_life_years` (assumed). At that age all packs are replaced."""

    def growth_in(self, year: int) -> float:
        """Trucks in a year of the station, 1 first, relative to the first."""
        return float((1 + self.growth_per_year) ** (year - 1))

    def soh_pct_in(self, year: int, pack_life_years: float) -> float:
        """State of health of the packs at the end of a year of the station, 1 first."""
        age = (year - 1) % max(ceil(pack_life_years), 1)
        if self.soh_pct_by_year:
            return self.soh_pct_by_year[min(age, len(self.soh_pct_by_year) - 1)]
        return max(100 - (100 - END_OF_LIFE_PCT) * (age + 1) / pack_life_years, END_OF_LIFE_PCT)
