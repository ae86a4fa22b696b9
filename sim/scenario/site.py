"""Sections of a scenario about the site: sun, storage, demand response, people on shift."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scheduler.storage import one_way_efficiency
from sim.scenario.base import ScenarioSection, Share


class PvSection(ScenarioSection):
    """Photovoltaics on site."""

    peak_kw: float = Field(default=0.0, ge=0, le=100_000)
    yield_h: float = Field(default=1170.0, ge=0, le=3000)
    """Full-load hours a year."""


class StorageSection(ScenarioSection):
    """Stationary storage on site (*)."""

    energy_kwh: float = Field(default=0.0, ge=0, le=1_000_000)
    """(*) What it can hold and give back, at its cells. It starts empty."""
    power_kw: float = Field(default=0.0, ge=0, le=100_000)
    """At the grid's side, both ways. Another size of `sizing.storage_kwh` has power in proportion; where
    `energy_kwh` is 0 every size has this power."""
    efficiency: float = Field(default=0.9, gt=0.5, le=1)
    """Round trip; half of the loss falls to each way."""
    reserve_share: Share = 0.2
    """Share of the energy that is kept for times at which the import limit binds, and bought at any price."""

    @property
    def one_way_efficiency(self) -> float:
        """Share that is left after one way."""
        return one_way_efficiency(self.efficiency)

    def sized(self, energy_kwh: float) -> StorageSection:
        """The same kind of storage in another size."""
        ratio = energy_kwh / self.energy_kwh if self.energy_kwh > 0 else 1.0
        # Without storage the rating stays: the site is then accounted for in the same way (`sim/study/storage.py`).
        power_kw = self.power_kw * ratio if energy_kwh > 0 else self.power_kw
        return self.model_copy(update={"energy_kwh": energy_kwh, "power_kw": power_kw})


class DrEventSection(ScenarioSection):
    """Demand response: import limited on every day of the months given."""

    from_hour: float = Field(ge=0, lt=24)
    """Local time to the minute: 18.25 is 18:15."""
    hours: float = Field(gt=0, le=24)
    """To the minute. An event that passes midnight belongs to the day and month in which it begins."""
    limit_kw: float = Field(ge=0, le=100_000)
    months: tuple[Annotated[int, Field(ge=1, le=12)], ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)


class StaffShiftSection(ScenarioSection):
    """Hours in which people attend the lanes, in every week."""

    from_hour: float = Field(ge=0, lt=24)
    """Local time to the minute."""
    hours: float = Field(gt=0, le=24)
    """To the minute. A shift that passes midnight belongs to the day on which it begins."""
    weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = Field(default=(1, 2, 3, 4, 5, 6, 7), min_length=1)
    """1 is Monday, 7 Sunday."""
    people: int = Field(default=1, ge=1, le=100)


class StaffSection(ScenarioSection):
    """Who attends the lanes, and when. Outside no swap starts, a running one ends, charging goes on."""

    shifts: tuple[StaffShiftSection, ...] = ()
    """Empty: every lane is attended round the clock. Where shifts overlap their people add up."""
    lanes_per_person: int = Field(default=1, ge=1, le=20)
    """Lanes that one person can attend at the same time."""

    @property
    def person_hours_a_week(self) -> float:
        """Paid hours of all people, h."""
        return sum(shift.hours * len(set(shift.weekdays)) * shift.people for shift in self.shifts)
