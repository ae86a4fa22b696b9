"""Who attends the lanes: the weekly shifts of a scenario by seconds from its start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sim.scenario.file import Scenario

_WEEK_MIN = 7 * 1440


class StaffHours:
    """People on shift over the week, local time to the minute.

    Args:
        at_s: the instant from which `lanes` holds.
    """

    def __init__(self, scenario: Scenario, at_s: float) -> None:
        staff = scenario.staff
        self._zone = scenario.zone
        self._start_at = scenario.start_at.astimezone(UTC)
        self._per_person = staff.lanes_per_person
        self._people = [0] * _WEEK_MIN
        """By minute of the week, Monday first."""
        for shift in staff.shifts:
            lasts_min = max(round(shift.hours * 60), 1)
            for weekday in set(shift.weekdays):
                begin_min = (weekday - 1) * 1440 + round(shift.from_hour * 60)
                for minute in range(begin_min, begin_min + lasts_min):
                    self._people[minute % _WEEK_MIN] += shift.people
        self._changes_min = [n for n in range(_WEEK_MIN) if self._people[n] != self._people[n - 1]]
        self.lanes = 0
        """How many lanes are attended at the same time."""
        self.at(at_s)

    def at(self, at_s: float) -> None:
        """Set `lanes` to what holds from an instant on."""
        self.lanes = self._people[self._minute(at_s)] * self._per_person

    def next_change_s(self, at_s: float) -> float:
        """The next instant at which the number of people may change; a week later if it never does."""
        minute = self._minute(at_s)
        ahead_min = min(((n - minute - 1) % _WEEK_MIN + 1 for n in self._changes_min), default=_WEEK_MIN)
        return self._minute_begins_s(at_s) + ahead_min * 60.0

    def next_staffed_s(self, at_s: float) -> float:
        """The first instant not before `at_s` at which somebody is there."""
        while not self._people[self._minute(at_s)]:
            at_s = self.next_change_s(at_s)
        return at_s

    def _local(self, at_s: float) -> datetime:
        return (self._start_at + timedelta(seconds=at_s)).astimezone(self._zone)

    def _minute(self, at_s: float) -> int:
        local = self._local(at_s)
        return local.weekday() * 1440 + local.hour * 60 + local.minute

    def _minute_begins_s(self, at_s: float) -> float:
        # From the local midnight at which the scenario starts every full minute is a multiple of 60 s.
        return at_s // 60 * 60
