"""What a scenario expects: trucks of a week, which a station counts on before it has a record of its own, and trucks of
some days, whose mean a study knows before it draws any."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from scheduler.optimal.learned import ComingExpected
from sim.scenario.demand import HourlyRates, arrivals
from sim.scenario.file import Scenario

WEEKS, ENOUGH = 8, 2000
"""So many weeks, or as many as have so many trucks, are drawn where trucks have no rate by hour. The live plan asks in
the controller's turn with the database, which it must not keep."""
_WEEK_S = 7 * 24 * 3600


class ExpectedWeeks:
    """Trucks by weekday and hour as a scenario has them, week by week.

    A profile says its rates; of a trace or of fleets that drive their trips some weeks are drawn and counted.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._known: dict[datetime, ComingExpected] = {}

    def __call__(self, at: datetime) -> ComingExpected:
        """The week of an instant (aware)."""
        local = at.astimezone(self._scenario.zone)
        monday = (local - timedelta(days=local.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
        if monday not in self._known:
            self._known = {monday: self._week(monday)}
        return self._known[monday]

    def _week(self, monday: datetime) -> ComingExpected:
        scenario = self._scenario
        if scenario.demand.mode == "profile":
            rates = HourlyRates(scenario, monday)
            table = np.array([[rates[24 * day + hour] for hour in range(24)] for day in range(7)])
        else:
            table = self._drawn(monday)
        return ComingExpected(scenario.id, tuple(tuple(map(float, day)) for day in table), spread(scenario))

    def _drawn(self, monday: datetime) -> NDArray[np.float64]:
        """Mean counts of some whole weeks; of a trace, of those that it has."""
        scenario = self._scenario
        begin_at = monday.astimezone(UTC)  # seconds pass in no zone: clocks may be set within these weeks
        table, week = np.zeros((7, 24)), 0
        for truck in arrivals(scenario, monday, seed=0):
            this_week = int(truck.at_s // _WEEK_S)
            if this_week > week and (this_week >= WEEKS or table.sum() >= ENOUGH):
                return table / min(this_week, WEEKS)
            week = this_week
            if truck.comes:
                came = (begin_at + timedelta(seconds=truck.at_s)).astimezone(scenario.zone)
                table[came.weekday(), came.hour] += 1
        return table / (week + 1)


def mean_trucks_per_day(scenario: Scenario, warmup_days: float, days: float) -> float | None:
    """Trucks that come a day on average over all draws, in `days` on end after a warm-up; None where only a profile
    could tell: a trace has its own, and trucks that drive trips come when they were served.

    Booked trucks that stay away are not counted.
    """
    if scenario.demand.mode != "profile" or days <= 0:
        return None
    rates = HourlyRates(scenario, scenario.start_at)
    from_h = rates.offset_s / 3600 + 24 * warmup_days
    until_h = from_h + 24 * days
    hours = range(floor(from_h), ceil(until_h))
    trucks = sum(rates[hour] * (min(hour + 1, until_h) - max(hour, from_h)) for hour in hours)
    return trucks / days * (1 - scenario.bookings.share * scenario.bookings.no_show_share)


def spread(scenario: Scenario) -> float:
    """Variance ÷ mean of the count of trucks where convoys come by chance: mean of the squared size ÷ mean size."""
    convoys = scenario.demand.convoys
    if scenario.demand.mode != "profile" or convoys.share == 0:
        return 1.0
    square = sum(int(size) ** 2 * share for size, share in convoys.sizes.items())
    return (1 + convoys.share * (square - 1)) / convoys.mean_size
