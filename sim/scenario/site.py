"""Sections of a scenario about the site: sun, people on shift. Storage and demand response: `scheduler.site`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.scenario.base import ScenarioSection


class PvSection(ScenarioSection):
    """Photovoltaics on site."""

    peak_kw: float = Field(default=0.0, ge=0, le=100_000)
    yield_h: float = Field(default=1170.0, ge=0, le=3000)
    """Full-load hours a year."""


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
