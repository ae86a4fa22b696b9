"""Sections about the site that station files and scenarios share: stationary storage, demand response."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from scheduler.sections import Section
from scheduler.storage import StorageView, one_way_efficiency
from scheduler.types import SiteLimits


class StorageSection(Section):
    """Stationary storage on site (*)."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    energy_kwh: float = Field(default=0.0, ge=0, le=1_000_000)
    """(*) What it can hold and give back, at its cells. It starts empty."""
    power_kw: float = Field(default=0.0, ge=0, le=100_000)
    """At the grid's side, both ways. Another size of `sizing.storage_kwh` has power in proportion; where
    `energy_kwh` is 0 every size has this power."""
    efficiency: float = Field(default=0.9, gt=0.5, le=1)
    """Round trip; half of the loss falls to each way."""
    reserve_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the energy that is kept for times at which the import limit binds, and bought at any price."""

    @property
    def one_way_efficiency(self) -> float:
        """Share that is left after one way."""
        return one_way_efficiency(self.efficiency)

    @property
    def rating_kw(self) -> float:
        """Power of what is there: 0 without any energy."""
        return self.power_kw if self.energy_kwh > 0 else 0.0

    def view(
        self, at: datetime, limits: SiteLimits, energy_kwh: float, charging_kw: float, *, chargers_short: bool
    ) -> StorageView:
        """What the decision about this storage may know.

        Args:
            energy_kwh: stored now.
            charging_kw: what the chargers draw, AC.
        """
        return StorageView(
            at=at,
            charging_kw=charging_kw,
            base_load_kw=limits.base_load_kw,
            pv_kw=limits.pv_kw,
            import_limit_kw=limits.import_limit_kw,
            energy_kwh=energy_kwh,
            capacity_kwh=self.energy_kwh,
            power_kw=self.rating_kw,
            efficiency=self.efficiency,
            reserve_kwh=self.reserve_share * self.energy_kwh,
            chargers_short=chargers_short,
        )

    def sized(self, energy_kwh: float) -> StorageSection:
        """The same kind of storage in another size."""
        ratio = energy_kwh / self.energy_kwh if self.energy_kwh > 0 else 1.0
        # Without storage the rating stays: the site is then accounted for in the same way (`sim/study/storage.py`).
        power_kw = self.power_kw * ratio if energy_kwh > 0 else self.power_kw
        return self.model_copy(update={"energy_kwh": energy_kwh, "power_kw": power_kw})


class DrEventSection(Section):
    """Demand response: import limited on every day of the months given, or on one day."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    from_hour: float = Field(ge=0, lt=24)
    """Local time to the minute: 18.25 is 18:15."""
    hours: float = Field(gt=0, le=24)
    """To the minute. An event that passes midnight belongs to the day and month in which it begins."""
    limit_kw: float = Field(ge=0, le=100_000)
    """The import is held at or below it."""
    months: tuple[Annotated[int, Field(ge=1, le=12)], ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
    """Months in which the event is called."""
    on: date | None = None
    """The one local day on which it begins; every day of the months when not given."""
