"""The live side of the twin: a live station on virtual time with the world around it, trucks, weather and sun.

Also what both sides of the twin share: events, results, and the one table of durations.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from battery_bms.pack import soc_pct
from robotics.port import LocationKind, RobotCommand
from scheduler.guide import Planner
from sim.live.virtual_station import VirtualStation
from sim.plant.cell import NOMINAL_S
from sim.plant.plant import Plant
from sim.plant.yard import TruckPlace
from sim.scenario.demand import Arrival
from sim.scenario.file import Scenario
from sim.scenario.notes import Note
from sim.study.given import Stock
from sim.world.staff import StaffHours
from sim.world.world import World
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.config.station_file import StationConfig
from swap.errors import SwapError
from swap.messages.events import SwapCompleted, SwapDispatched, SwapQueued
from swap.places import bay_place, vehicle_place
from swap.reading.recording import SwapEntry, handed_by_swap, returned_temp_by_swap, swap_entries
from swap.station.sequence.recipe import Place, StepRow, StepTable
from swap.store import Store
from swap.words import N_

RUN_UP_S = 60.0
"""The live controller starts so long before the first instant, to know its packs by then."""

QUEUED, DISPATCHED, STEP_DONE, COMPLETED = "queued", "dispatched", "step_done", "completed"


@dataclass(frozen=True, slots=True)
class TwinEvent:
    """One event of a swap on one side."""

    at_s: float
    """Seconds from the scenario's start."""
    kind: str
    vehicle: str
    detail: str = ""
    """Dispatched: lane, bays of the packs given, bays for those that come off. Step done: its state."""

    @property
    def what(self) -> tuple[str, str, str]:
        """What must be the same on both sides; the instant may differ a little."""
        return self.kind, self.vehicle, self.detail


@dataclass(frozen=True, slots=True)
class Side:
    """What one side did; waits and energies by place of the truck in the arrivals."""

    events: tuple[TwinEvent, ...]
    waits_s: Mapping[int, float]
    handed_kwh: Mapping[int, float]
    """Of swaps that are completed: the truck has all its packs."""
    charged_kwh: float
    imported_kwh: float
    """At the meter; what the sun gives beyond the need is not taken off."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """One table of durations for both sides.

    A row with a command takes the recipe's nominal time, a row that only looks takes no time: the plant's
    sensors answer at once. The live controller needs one poll more for each row.
    """

    table: Mapping[tuple[str, str, str], float]
    """By command, kind of source, kind of target."""
    poll_s: float

    def command_s(self, command: RobotCommand, row: StepRow | None = None) -> float:
        """What the plant takes for a command.

        Args:
            row: that gives it; without one the first row with that command between such places counts.
        """
        if row is not None and row.command is command.code:
            return row.nominal_s
        source = command.source.kind if command.source is not None else None
        target = command.target.kind if command.target is not None else None
        key = (command.code.name, _kind(source), _kind(target))
        return self.table.get(key, NOMINAL_S[command.code])

    def row_s(self, row: StepRow) -> float:
        """What the study takes for a row."""
        return self.poll_s + (row.nominal_s if row.command is not None else 0.0)


_KINDS = {
    Place.SEAT: LocationKind.SEAT,
    Place.OLD_BAY: LocationKind.BAY,
    Place.NEW_BAY: LocationKind.BAY,
    Place.TRANSFER: LocationKind.TRANSFER,
}


def _kind(kind: LocationKind | None) -> str:
    return "" if kind is None else kind.name


def _key(row: StepRow) -> tuple[str, str, str] | None:
    if row.command is None:
        return None
    source = _KINDS[row.source] if row.source is not None else None
    target = _KINDS[row.target] if row.target is not None else None
    return row.command.name, _kind(source), _kind(target)


def step_times(tables: Sequence[StepTable], poll_s: float) -> StepTimes:
    """The durations of a recipe."""
    found: dict[tuple[str, str, str], float] = {}
    rows = itertools.chain.from_iterable(table.rows for table in tables)
    for row in itertools.chain(itertools.chain.from_iterable(table.forward for table in tables), rows):
        key = _key(row)
        if key is not None:
            found.setdefault(key, row.nominal_s)
    return StepTimes(found, poll_s)


def called(lane: str, given: Sequence[str], taken: Sequence[str]) -> str:
    """What a dispatch decided: lane, bays of the packs for the truck, bays for those that come off."""
    return f"{lane} {'+'.join(given)} → truck → {'+'.join(taken)}"


class LiveSide:
    """The live station with the world around it."""

    def __init__(
        self,
        scenario: Scenario,
        config: StationConfig,
        store: Store,
        times: StepTimes,
        coming: Sequence[Arrival],
        seed: int,
        begin_s: float,
        planner: Planner | None = None,
    ) -> None:
        self.scenario = scenario
        self.config = config
        self.start_at = scenario.start_at.astimezone(UTC)
        self.begin_s = begin_s
        self.coming = list(coming)
        self.notes: list[Note] = []
        self.number_of: dict[str, int] = {}
        """Place in `coming` of each swap."""
        self.stock: dict[str, Stock] = {}
        self.soh_pct: dict[int, tuple[float, ...]] = {}
        """State of health of the packs that each truck came with, by place in `coming`."""
        self.kinds: dict[int, tuple[str, ...]] = {}
        """Their kinds."""
        self.temp_c: dict[int, tuple[float | None, ...]] = {}
        """Temperature of these packs when they were read first in the rack."""
        self.charged_kwh = 0.0
        self.imported_kwh = 0.0
        self.storage_kwh = 0.0
        """In the stationary storage at the first instant."""
        self._before_kwh = 0.0
        self._world = World(scenario, seed, 0)
        self._bookings: dict[int, tuple[str, str]] = {}
        """Booking and its truck by place in `coming`."""
        self._refused = self._replaced = self._missing = 0
        store.upgrade()
        run_up_at = self._instant(begin_s - RUN_UP_S)
        self.plant = Plant(config, seed=seed, start_at=run_up_at, varies=False, temp_spread_c=0.0)
        for lane_id, cell in self.plant.cells.items():
            cell.nominal_s = partial(self._command_s, lane_id, times)
        self._set_world(begin_s)
        for pack in self.plant.rack.packs.values():
            pack.temp_c = self.plant.rack.ambient_c
        self.station = VirtualStation(config, store, self.plant, poll_s=times.poll_s, planner=planner)
        self.store = store

    async def run(self, until_s: float) -> None:
        """From the run-up to `until_s` after the scenario's start."""
        station = self.station
        await station.start()
        await station.run(self._instant(self.begin_s))
        self._take_stock()
        hour_s = self.begin_s
        while hour_s < until_s:
            station.at(self._instant(hour_s), partial(self._set_world, hour_s))
            hour_s = self._world.at(hour_s).until_s
        self._attend(self.begin_s, until_s)
        lead_s = self.scenario.bookings.lead_min * 60
        for number, arrival in enumerate(self.coming):
            if arrival.booked:
                book_s = max(arrival.booked_from_s - lead_s, self.begin_s)
                station.at(self._instant(book_s), partial(self._book, number))
            if arrival.comes:
                station.at(self._instant(arrival.at_s), partial(self._arrive, number))
        await station.run(self._instant(until_s))
        self.plant.rack.settle_all(self.plant.now_us)
        self.charged_kwh = self.plant.rack.charged_kwh - self._before_kwh
        self.imported_kwh += self.plant.site.counters_kwh(self.plant.now_us)[0]
        await station.stop()
        if self._refused:
            text = N_("{count} bookings were refused, their trucks came as walk-ins on both sides")
            self.notes.append(Note(text, {"count": self._refused}))
        if self._replaced:
            text = N_("{count} trucks were still here when they were to come again; others came")
            self.notes.append(Note(text, {"count": self._replaced}))
        if self._missing:
            text = N_("{count} trucks did not come: every truck of the station file was here")
            self.notes.append(Note(text, {"count": self._missing}))

    def journal(self) -> Side:
        """What the station's own journal says."""
        with self.store.reading_station(self.config.station.id) as db:
            entries = swap_entries(db, self.config.station.id, self.start_at, datetime.max.replace(tzinfo=UTC))
            handed_kwh = handed_by_swap(db, self.config.station.id)
            temps_c = returned_temp_by_swap(db, self.config.station.id)
        self.temp_c = {self.number_of[swap_id]: temp_c for swap_id, temp_c in temps_c.items()}
        completed = {entry.swap_id for entry in entries if entry.kind == SwapCompleted.kind}
        queued_at = {entry.swap_id: entry.at for entry in entries if entry.kind == SwapQueued.kind}
        return Side(
            tuple(self._event(entry) for entry in entries),
            {
                self.number_of[entry.swap_id]: (entry.at - queued_at[entry.swap_id]).total_seconds()
                for entry in entries
                if entry.kind == SwapDispatched.kind
            },
            {self.number_of[swap_id]: kwh for swap_id, kwh in handed_kwh.items() if swap_id in completed},
            self.charged_kwh,
            self.imported_kwh,
        )

    def _event(self, entry: SwapEntry) -> TwinEvent:
        kind = entry.kind.removeprefix("swap.")
        detail = ""
        if isinstance(entry.said, SwapDispatched):
            detail = called(str(entry.lane_id), entry.said.from_bays, entry.said.to_bays)
        elif kind not in (QUEUED, COMPLETED):
            detail = getattr(entry.said, "state", None) or ""
        vehicle = str(self.coming[self.number_of[entry.swap_id]].vehicle_id)
        return TwinEvent((entry.at - self.start_at).total_seconds(), kind, vehicle, detail)

    def _command_s(self, lane_id: str, times: StepTimes, command: RobotCommand) -> float:
        lane = self.station.controller.lanes[lane_id]
        if lane.table is None or lane.session is None:
            return times.command_s(command)
        return times.command_s(command, lane.table.by_state.get(lane.session.state))

    def _instant(self, at_s: float) -> datetime:
        return self.start_at + timedelta(seconds=at_s)

    def _set_world(self, at_s: float) -> None:
        now = self._world.at(at_s)
        self.plant.rack.set_ambient_c(now.rack_c, self.plant.now_us)
        if self.config.site.pv is not None:
            self.plant.site.set_pv_kw(now.limits.pv_kw, self.plant.now_us)

    def _attend(self, at_s: float, until_s: float) -> None:
        """Shifts begin and end; without any every lane is attended."""
        if not self.scenario.staff.shifts:
            return
        staff = StaffHours(self.scenario, at_s)
        while at_s < until_s:
            staff.at(at_s)
            self.station.at(self._instant(at_s), partial(setattr, self.station, "attended_lanes", staff.lanes))
            at_s = staff.next_change_s(at_s)

    def _take_stock(self) -> None:
        """What lies in the rack at the first instant."""
        plant = self.plant
        plant.rack.settle_all(plant.now_us)
        self.storage_kwh = plant.site.stored_kwh(plant.now_us)
        self.imported_kwh = -plant.site.counters_kwh(plant.now_us)[0]
        self._before_kwh = plant.rack.charged_kwh
        for bay_id in plant.rack.bays:
            pack = plant.rack.at(bay_place(bay_id))
            if pack is not None:
                level_pct = soc_pct(pack.energy_kwh, pack.spec, pack.soh_pct)
                self.stock[bay_id] = Stock(pack.kind, level_pct, pack.temp_c, pack.soh_pct)

    def _book(self, number: int) -> None:
        arrival = self.coming[number]
        try:
            with self.store.station(self.config.station.id) as db:
                booking = make_booking(
                    db,
                    self.config,
                    Wanted(
                        str(arrival.vehicle_id),
                        self._instant(arrival.booked_from_s),
                        self._instant(arrival.booked_until_s),
                    ),
                    at=self.station.now_at,
                )
        except SwapError:
            self._walk_in(number)
        else:
            self._bookings[number] = (booking.booking_id, booking.vehicle_id)

    def _walk_in(self, number: int) -> None:
        """A booking that the live station does not take counts on neither side."""
        self.coming[number] = self.coming[number]._replace(booked=False)
        self._refused += 1

    def _arrive(self, number: int) -> None:
        arrival = self.coming[number]
        vehicle = self._truck_for(arrival)
        if vehicle is None:
            self.coming[number] = arrival._replace(comes=False)
            self._missing += 1
            return
        booking_id, booked_by = self._bookings.get(number, (None, ""))
        if booking_id is not None and booked_by != vehicle:
            booking_id = None
            self._walk_in(number)
        climate = self.scenario.climate
        temp_c = max(self._world.at(arrival.at_s).outside_c + climate.pack_above_ambient_c, climate.pack_min_c)
        try:
            swap_id = self.station.arrive(
                vehicle, arrival.soc_pct, temp_c=temp_c, booking_id=booking_id, priority=arrival.priority
            )
        except SwapError:
            if booking_id is None:
                raise
            self._walk_in(number)
            self.plant.leave_yard(vehicle)
            swap_id = self.station.arrive(vehicle, arrival.soc_pct, temp_c=temp_c, priority=arrival.priority)
        self.number_of[swap_id] = number
        seats = [self.plant.rack.at(vehicle_place(vehicle, seat)) for seat in range(1, len(arrival.soc_pct) + 1)]
        self.soh_pct[number] = tuple(pack.soh_pct for pack in seats if pack is not None)
        self.kinds[number] = tuple(pack.kind for pack in seats if pack is not None)

    def _truck_for(self, arrival: Arrival) -> str | None:
        """The truck that is to come if it is away, else one of the same model; None when none is away."""
        yard = self.plant.yard
        wanted = str(arrival.vehicle_id)
        if yard.truck(wanted).place is TruckPlace.AWAY:
            return wanted
        models = {vehicle.id: vehicle.model for vehicle in self.config.vehicles}
        for truck in yard.at(TruckPlace.AWAY):
            if models[truck.vehicle_id] == arrival.model:
                self._replaced += 1
                return truck.vehicle_id
        return None
