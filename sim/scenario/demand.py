"""Who comes for a swap, and when: the same trucks for the study and for the simulated fleet of a live run.

`arrivals` gives the trucks of a scenario one after another, without end, in order of time. Profile: a
Poisson process whose rate is constant within each local hour; the next instant is found by inverting the
summed rate, so more demand under the same seed means the same trucks earlier. Trace: the rows of a file
(`trace.py`), on their own days; more demand means that some come twice, less that some stay away. Fleet: each
truck drives its trips (`FleetDemand`), which needs to know when its swap ended; `arrivals` then assumes a nominal
time at the station; more demand means more trucks.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import floor, log, nan, sqrt
from random import Random
from typing import Final, NamedTuple

from sim.scenario.file import FleetSection, Scenario
from sim.scenario.streams import Purpose, stream
from sim.scenario.trace import TraceFile, TraceRow, scenario_trace

HOUR_S = 3600.0
DAY_S = 86_400.0
NOMINAL_STATION_S = 600.0
"""Time at the station assumed where nobody tells when a swap ended."""
COPY_WITHIN_S = 3600.0
"""With more demand than a trace has, the copy of a truck comes within so long after it."""


_new: Final = tuple.__new__
"""A named tuple is made by a function of Python, which is slow in the compiled form; there is one for each truck."""


class Arrival(NamedTuple):
    """One truck at the gate, or one booking whose truck stays away. Immutable."""

    at_s: float
    """Seconds from the start."""
    fleet: str
    model: str
    vehicle_id: str | None
    soc_pct: tuple[float, ...]
    """State of charge of each installed pack, in seat order."""
    booked: bool = False
    comes: bool = True
    """False: booked and never seen."""
    booked_from_s: float = 0.0
    """Start of the booked window, seconds from the start; only with `booked`."""
    booked_until_s: float = 0.0
    convoy: int | None = None
    """Number of the convoy it came in."""
    priority: int = 0


def arrivals(scenario: Scenario, start_at: datetime, seed: int, replication: int = 0) -> Iterator[Arrival]:
    """All arrivals from `start_at` (aware) on, in order of time; only a trace that is not repeated ends.

    Raises:
        ConfigError: the trace cannot be used.
    """
    if start_at.tzinfo is None:
        raise ValueError("start_at has no time zone")
    if scenario.demand.mode == "trace":
        return _trace_arrivals(scenario, start_at, seed, replication)
    if scenario.demand.mode == "fleet":
        return _fleet_arrivals(scenario, start_at, seed, replication)
    return _profile_arrivals(scenario, start_at, seed, replication)


@lru_cache(maxsize=16)
def _known_rates(demand: str, climate: str, timezone: str, first_at: datetime) -> array[float]:
    """Rates by hour, shared by all replications and designs of a study; filled as they are asked for.

    In a column: as a dictionary those of a year take a megabyte.
    """
    return array("d")


class HourlyRates:
    """Trucks per hour in each hour from the start on, worked out as it is asked for."""

    def __init__(self, scenario: Scenario, start_at: datetime) -> None:
        self._scenario = scenario
        local = start_at.astimezone(scenario.zone)
        self._first = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        self.offset_s = (start_at.astimezone(UTC) - self._first).total_seconds()
        """How far into its hour the start lies."""
        demand, climate = scenario.demand.model_dump_json(), scenario.climate.model_dump_json()
        self._rates = _known_rates(demand, climate, scenario.timezone, self._first)

    def __getitem__(self, hour: int) -> float:
        rates = self._rates
        if hour >= len(rates):
            rates.extend([nan] * (hour + 1 - len(rates)))
        rate = rates[hour]
        if rate != rate:  # not asked for before
            rate = rates[hour] = self._rate(hour)
        return rate

    def _rate(self, hour: int) -> float:
        scenario, demand = self._scenario, self._scenario.demand
        local = (self._first + timedelta(hours=hour)).astimezone(scenario.zone)
        rate = demand.trucks_per_hour_by_hour[local.hour] * demand.factor
        rate *= demand.factor_by_weekday[local.weekday()] * demand.factor_by_month[local.month - 1]
        if demand.follows_cold:
            rate *= scenario.energy_factor(scenario.outside_c(local.month, local.hour + 0.5))
        return rate


def triangular(drawn: float, low: float, high: float, peak: float) -> float:
    """The value of a triangular distribution to a draw of 0…1, as in the standard library."""
    if low == high:
        return low
    below = (peak - low) / (high - low)
    if drawn > below:
        drawn, below = 1.0 - drawn, 1.0 - below
        low, high = high, low
    return low + (high - low) * sqrt(drawn * below)


class _Trucks:
    """Gives each arrival its fleet, truck, state of charge and booking."""

    def __init__(self, scenario: Scenario, seed: int, replication: int) -> None:
        self._pick = stream(seed, replication, Purpose.VEHICLES).random
        self._soc = stream(seed, replication, Purpose.SOC).random
        self._book = stream(seed, replication, Purpose.BOOKINGS).random
        weights = [float(f.vehicles) if f.weight is None else f.weight for f in scenario.fleets]
        total = sum(weights) or 1.0
        self._bounds = [sum(weights[: i + 1]) / total for i in range(len(weights) - 1)]
        """Up to which draw each fleet but the last is meant."""
        self._index = {fleet.id: number for number, fleet in enumerate(scenario.fleets)}
        self._facts = []
        for f in scenario.fleets:
            soc, away = f.arrive_soc, list(scenario.vehicles_of(f))
            packs = scenario.vehicle_model(f.model).packs_per_vehicle
            longest = (len(away) + 3) // 4
            self._facts.append(
                (f.id, f.model, f.priority, soc.min_pct, soc.max_pct, soc.peak_pct, packs, away, longest)
            )
        self._book_share = scenario.bookings.share
        self._no_show_share = scenario.bookings.no_show_share
        self._window_s = scenario.bookings.window_min * 60

    def next(self, at_s: float, convoy: int | None, of: str = "") -> Arrival:
        """The truck that comes at `at_s`: one of the quarter of its fleet that has been away longest.

        Args:
            of: its fleet; drawn by weight when not given.
        """
        index = bisect_right(self._bounds, self._pick()) if self._bounds else 0
        if of:
            index = self._index[of]
        fleet, model, priority, low, high, peak, packs, away, longest = self._facts[index]
        vehicle = away.pop(int(self._pick() * longest))
        away.append(vehicle)
        draw = self._soc
        soc: tuple[float, ...] = (triangular(draw(), low, high, peak),)
        if packs > 1:
            soc += tuple([triangular(draw(), low, high, peak) for _ in range(packs - 1)])
        if self._book_share <= 0 or self._book() >= self._book_share:
            return _new(Arrival, (at_s, fleet, model, vehicle, soc, False, True, 0.0, 0.0, convoy, priority))
        from_s = at_s - self._book() * self._window_s
        comes = self._book() >= self._no_show_share
        until_s = from_s + self._window_s
        return Arrival(at_s, fleet, model, vehicle, soc, True, comes, from_s, until_s, convoy, priority)

    def recorded(self, at_s: float, row: TraceRow, *, copy: bool) -> Arrival:
        """A truck of a record, drawn where the record says nothing; a copy is another truck of the same fleet."""
        drawn = self.next(at_s, None, row.fleet)
        booked = drawn.booked if row.booked is None else row.booked
        from_s = drawn.booked_from_s if drawn.booked else at_s - self._window_s * (self._book() if booked else 0.0)
        return drawn._replace(
            vehicle_id=row.vehicle if row.vehicle and not copy else drawn.vehicle_id,
            soc_pct=drawn.soc_pct if row.soc_pct is None else (row.soc_pct,) * len(drawn.soc_pct),
            booked=booked,
            comes=True,
            booked_from_s=from_s if booked else 0.0,
            booked_until_s=from_s + self._window_s if booked else 0.0,
        )

    def with_booking(self, arrival: Arrival) -> Arrival:
        """The arrival, booked or not by the share that books."""
        if self._book_share <= 0 or self._book() >= self._book_share:
            return arrival
        from_s = arrival.at_s - self._book() * self._window_s
        return arrival._replace(
            booked=True,
            comes=self._book() >= self._no_show_share,
            booked_from_s=from_s,
            booked_until_s=from_s + self._window_s,
        )


def _profile_arrivals(scenario: Scenario, start_at: datetime, seed: int, replication: int) -> Iterator[Arrival]:
    rates = HourlyRates(scenario, start_at)
    draw = stream(seed, replication, Purpose.ARRIVALS).random
    trucks = _Trucks(scenario, seed, replication)
    convoys = scenario.demand.convoys
    group = convoys.mean_size
    sizes = sorted((int(size), p) for size, p in convoys.sizes.items())
    draw_group = stream(seed, replication, Purpose.CONVOYS).random
    late: list[tuple[float, int]] = []
    """Trucks of convoys that have begun to come: instant, convoy."""
    hour = 0
    rate = rates[0] / group
    at_h = rates.offset_s / HOUR_S
    convoy = 0
    while True:
        need = -log(1.0 - draw())
        while (left := (hour + 1 - at_h) * rate) < need:
            need -= left
            hour += 1
            at_h = float(hour)
            rate = rates[hour] / group
        at_h += need / rate
        at_s = at_h * HOUR_S - rates.offset_s
        while late and late[0][0] <= at_s:
            late_s, number = heapq.heappop(late)
            yield trucks.next(late_s, number)
        if convoys.share > 0 and draw_group() < convoys.share:
            convoy += 1
            size = _draw_size(draw_group(), sizes)
            yield trucks.next(at_s, convoy)
            for place in range(1, size):
                heapq.heappush(late, (at_s + place * convoys.headway_s, convoy))
        else:
            yield trucks.next(at_s, None)


def _draw_size(drawn: float, sizes: list[tuple[int, float]]) -> int:
    for size, p in sizes:
        drawn -= p
        if drawn < 0:
            return size
    return sizes[-1][0]


class FleetDemand:
    """Trucks that drive their trips between swaps.

    A truck makes round trips while its pack lasts: it comes for a swap before the trip that would end
    below `swap_below_pct`. Outside its shifts it stands. Cold raises the energy of a trip.
    """

    def __init__(self, scenario: Scenario, start_at: datetime, seed: int, replication: int = 0) -> None:
        self._scenario = scenario
        self._start = start_at.astimezone(scenario.zone)
        self._draw = stream(seed, replication, Purpose.TRIPS)
        self._number = stream(seed, replication, Purpose.ARRIVALS)
        self._trucks = _Trucks(scenario, seed, replication)

    def first(self) -> list[Arrival]:
        """The first arrival of each truck; at the start packs stand anywhere between full and the swap."""
        found = []
        for fleet in self._scenario.fleets:
            trips = fleet.trips
            if trips is None:
                continue
            model = self._scenario.vehicle_model(fleet.model)
            for vehicle in self._working(fleet):
                full = tuple(self._draw.uniform(trips.swap_below_pct, 95.0) for _ in range(model.packs_per_vehicle))
                found.append(self.after_swap(fleet, vehicle, 0.0, full))
        return sorted(found)

    def _working(self, fleet: FleetSection) -> tuple[str, ...]:
        """The trucks of a fleet: `demand.factor` times as many as it has, on average over replications."""
        known = self._scenario.vehicles_of(fleet)
        count = _copies(self._scenario.demand.factor * len(known), self._number)
        return known[:count] + tuple([f"{fleet.id[:14]}+{n:03d}" for n in range(1, count - len(known) + 1)])

    def after_swap(self, fleet: FleetSection, vehicle: str, at_s: float, soc_pct: tuple[float, ...]) -> Arrival:
        """The next arrival of a truck that left the station at `at_s` with these states of charge."""
        trips = fleet.trips
        if trips is None:
            raise ValueError(f"fleet {fleet.id} has no trips")
        model = self._scenario.vehicle_model(fleet.model)
        kind = self._scenario.pack_kind(model.pack_kinds[0])
        capacity_kwh = kind.rated_kwh * model.packs_per_vehicle * self._scenario.equipment.soh_pct / 100
        mean_s = (trips.km_loaded + trips.km_empty) / trips.speed_kmh * HOUR_S + trips.load_unload_min * 60
        soc = list(soc_pct)
        while True:
            at_s = self._into_shift(fleet, at_s)
            local = self._start + timedelta(seconds=at_s)
            cold = self._scenario.energy_factor(self._scenario.outside_c(local.month, local.hour + local.minute / 60))
            energy_kwh = trips.km_loaded * trips.kwh_per_km_loaded + trips.km_empty * trips.kwh_per_km_empty
            used_pct = 100 * energy_kwh * cold * self._varied(trips.cv) / capacity_kwh
            if min(soc) - used_pct < trips.swap_below_pct and min(soc) < 94.0:
                break
            soc = [max(level - used_pct, 1.0) for level in soc]
            at_s += mean_s * self._varied(trips.cv)
            if min(soc) <= trips.swap_below_pct:
                break
        arrival = Arrival(at_s, fleet.id, fleet.model, vehicle, tuple(soc), priority=fleet.priority)
        return self._trucks.with_booking(arrival)

    def _varied(self, cv: float) -> float:
        return max(0.2, self._draw.gauss(1.0, cv)) if cv > 0 else 1.0

    def _into_shift(self, fleet: FleetSection, at_s: float) -> float:
        """`at_s`, or the next start of a shift when it lies outside of all."""
        if not fleet.shifts:
            return at_s
        local = self._start + timedelta(seconds=at_s)
        hour = local.hour + local.minute / 60 + local.second / 3600
        if any((hour - shift.from_hour) % 24 < shift.hours for shift in fleet.shifts):
            return at_s
        return at_s + min((shift.from_hour - hour) % 24 for shift in fleet.shifts) * HOUR_S


def _fleet_arrivals(scenario: Scenario, start_at: datetime, seed: int, replication: int) -> Iterator[Arrival]:
    fleets = {fleet.id: fleet for fleet in scenario.fleets}
    demand = FleetDemand(scenario, start_at, seed, replication)
    coming = demand.first()
    heapq.heapify(coming)
    full = scenario.charging.target_soc_pct
    while coming:
        arrival = heapq.heappop(coming)
        yield arrival
        fleet = fleets[arrival.fleet]
        left_s = arrival.at_s + NOMINAL_STATION_S
        again = demand.after_swap(fleet, str(arrival.vehicle_id), left_s, (full,) * len(arrival.soc_pct))
        heapq.heappush(coming, again)


def _copies(wanted: float, draw: Random) -> int:
    """A whole number that is `wanted` on average; nothing is drawn where that is whole."""
    whole = floor(wanted)
    rest = wanted - whole
    return whole + (1 if rest > 0 and draw.random() < rest else 0)


def _trace_arrivals(scenario: Scenario, start_at: datetime, seed: int, replication: int) -> Iterator[Arrival]:
    trucks = _Trucks(scenario, seed, replication)
    factor = scenario.demand.factor
    draw = stream(seed, replication, Purpose.ARRIVALS)
    late: list[tuple[float, int, TraceRow]] = []
    """Copies of trucks that are still to come."""
    number = 0
    for at_s, row in _played(scenario_trace(scenario), start_at, repeat=scenario.demand.repeat_trace):
        while late and late[0][0] <= at_s:
            late_s, _, copied = heapq.heappop(late)
            yield trucks.recorded(late_s, copied, copy=True)
        count = 1 if factor == 1.0 else _copies(factor, draw)
        if count > 0:
            yield trucks.recorded(at_s, row, copy=False)
        for _ in range(1, count):
            number += 1
            heapq.heappush(late, (at_s + draw.random() * COPY_WITHIN_S, number, row))
    while late:
        late_s, _, copied = heapq.heappop(late)
        yield trucks.recorded(late_s, copied, copy=True)


def _played(trace: TraceFile, start_at: datetime, *, repeat: bool) -> Iterator[tuple[float, TraceRow]]:
    """The rows of a trace with their seconds from `start_at`, again and again where it is to be repeated.

    It is repeated so that weekdays stay: its last whole weeks, or all of it where it is shorter than a week. A start
    outside of its days finds the same weekday inside.
    """
    days = trace.days
    again_days = days // 7 * 7 or days
    rows = trace.rows
    skipped = 0
    if trace.first_on is not None:
        skipped = (start_at.date() - trace.first_on).days
        if not 0 <= skipped < days:
            skipped = days - again_days + (skipped - (days - again_days)) % again_days
    shift_s = -DAY_S * skipped
    from_s = DAY_S * skipped
    while True:
        for row in rows:
            if row.at_s >= from_s:
                yield row.at_s + shift_s, row
        if not repeat:
            return
        shift_s += DAY_S * again_days
        from_s = DAY_S * (days - again_days)
