"""The live controller and the study, side by side: same trucks, same packs, same weather; do they do the same?

The live side is the controller's own code over the plant in memory on virtual time (`virtual_station.py`).
Its journal is compared event by event with what the study says: who was called when, with which packs from
which bays to which bays, when each step of the recipe ended. Both sides take the durations of one table.

What only one side has is set aside on both and named in `TwinReport.notes`: failures, trucks that give up,
variation of durations.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from scheduler.guide import Planner
from scheduler.site import StorageSection
from sim.scenario.demand import Arrival, arrivals
from sim.scenario.file import FailureSection, PatienceSection, Scenario
from sim.scenario.notes import Note
from sim.scenario.site import PvSection
from sim.study.given import Given, GivenStation, check_pair
from sim.study.optimal.planned import under_rule
from sim.study.rows import StudyTruck
from sim.twin.live_side import (
    COMPLETED,
    DISPATCHED,
    STEP_DONE,
    LiveSide,
    Side,
    StepTimes,
    TwinEvent,
    called,
    step_times,
)
from swap.config.station_file import SiteSection, StationConfig
from swap.station.sequence.recipe import load_recipe
from swap.store import Store
from swap.words import N_

TIME_TOLERANCE_S = 1.0
"""Largest difference of one event's instant that still counts as the same."""
ENERGY_TOLERANCE = 1e-3
"""Largest relative difference of the energy charged."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the two sides first differ."""

    index: int
    live: TwinEvent | None
    study: TwinEvent | None
    what: str
    """order, time, or missing."""


@dataclass(frozen=True)
class TwinReport:
    """Both sides of one run."""

    station: str
    scenario: str
    start_at: datetime
    hours: float
    seed: int
    poll_s: float
    live: tuple[TwinEvent, ...]
    study: tuple[TwinEvent, ...]
    difference: Difference | None
    largest_time_error_s: float
    changed_places: int
    """Events that came before another truck's on one side and after it on the other, within the tolerance."""
    waits_s: tuple[tuple[float, float], ...]
    """Wait of each truck called on both sides: live, study."""
    charged_kwh: tuple[float, float]
    """At the chargers' outputs: live, study."""
    imported_kwh: tuple[float, float]
    """At the meter: live, study."""
    handed_kwh: tuple[tuple[float, float], ...]
    """Energy in the packs that each truck left with: live, study."""
    bound: frozenset[str] = frozenset()
    """What limited a charger of the live side at any time; `pv` and `storage` where these worked."""
    tolerance_s: float = TIME_TOLERANCE_S
    energy_tolerance: float = ENERGY_TOLERANCE
    notes: tuple[Note, ...] = field(default=())

    @property
    def compared(self) -> int:
        """Events compared."""
        return min(len(self.live), len(self.study)) if self.difference is None else self.difference.index

    @property
    def energy_error(self) -> float:
        """Relative difference of the energy charged, or of the energy imported where that is larger."""
        pairs = (self.charged_kwh, self.imported_kwh)
        return max(abs(study - live) / max(live, 1.0) for live, study in pairs)

    @property
    def largest_wait_error_s(self) -> float:
        """Largest difference between the two waits of one truck."""
        return max((abs(study - live) for live, study in self.waits_s), default=0.0)

    @property
    def largest_handed_error_kwh(self) -> float:
        """Largest difference between the energies that one truck left with."""
        return max((abs(study - live) for live, study in self.handed_kwh), default=0.0)

    @property
    def agrees(self) -> bool:
        """Same events in the same order within the time tolerance, and the same energy within its own."""
        return self.difference is None and self.energy_error <= self.energy_tolerance

    def wait_min(self, side: int, quantile: float | None = None) -> float:
        """Mean wait, or a quantile of it, in minutes; side 0 is live, 1 the study. 0 without trucks."""
        waits = [pair[side] / 60 for pair in self.waits_s]
        if not waits:
            return 0.0
        return float(np.mean(waits) if quantile is None else np.quantile(waits, quantile))

    def swaps(self, side: int) -> int:
        """Swaps completed."""
        return sum(event.kind == COMPLETED for event in (self.live, self.study)[side])


def set_aside(scenario: Scenario, site: SiteSection) -> tuple[Scenario, tuple[Note, ...]]:
    """The scenario without what only the study has, and what that was.

    Args:
        site: of the station file; sun, storage and demand response that it has not are left out.
    """
    notes = []
    if scenario.failures != FailureSection():
        notes.append(Note(N_("failures of robots, chargers and packs are left out")))
    if scenario.patience != PatienceSection():
        notes.append(Note(N_("trucks wait until served")))
    without: dict[str, object] = {}
    if site.pv is None and scenario.pv.peak_kw > 0:
        without["pv"] = PvSection()
    if site.storage is None and scenario.storage.power_kw > 0:
        without["storage"] = StorageSection()
    if not site.demand_response and scenario.dr_events:
        without["dr_events"] = ()
    if without:
        notes.append(Note(N_("photovoltaics, storage and demand response that the station has not are left out")))
    if scenario.equipment.swap_cv > 0:
        notes.append(Note(N_("durations do not vary")))
    if scenario.equipment.swap_s is not None:
        notes.append(Note(N_("swap_s of the scenario is left out: the recipe's steps count")))
    notes.append(Note(N_("all probes of a pack are equally warm")))
    equipment = scenario.equipment.model_copy(update={"swap_cv": 0.0, "swap_s": None})
    update = {
        "failures": FailureSection(),
        "patience": PatienceSection(),
        **without,
        "equipment": equipment,
    }
    return scenario.model_copy(update=update), tuple(notes)


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error was raised while Ctrl-C was on its way out."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def run_twin(
    scenario: Scenario,
    config: StationConfig,
    hours: float,
    seed: int,
    *,
    poll_s: float | None = None,
    tolerance_s: float = TIME_TOLERANCE_S,
    from_hour: float = 0.0,
    folder: Path | None = None,
    planner: Planner | None = None,
) -> TwinReport:
    """Run both sides on the scenario's first day, and compare.

    Args:
        from_hour: hours after the scenario's start (local midnight) at which they begin, with a charged rack.
        poll_s: how often the live controller looks at a cell; the station file's when not given.
        folder: where the live side's database is left; a temporary one when not given.
        planner: who guides the charging on both sides; None: the price rule.

    Raises:
        StationMismatch: the study cannot stand for this station.
    """
    check_pair(scenario, config)
    bare, notes = set_aside(scenario, config.site)
    if planner is None:
        bare, ruled = under_rule(bare)
        notes += ruled
    # Both sides keep packs for those who have booked as the station does.
    hold_before_min = float(config.bookings.hold_before_min)
    bare = bare.model_copy(update={"bookings": bare.bookings.model_copy(update={"hold_before_min": hold_before_min})})
    poll_s = min(lane.cell.poll_s for lane in config.lanes) if poll_s is None else poll_s
    lane = config.lanes[0]
    recipe = load_recipe(lane.recipe, config.folder)
    packs = sorted({model.packs_per_vehicle for model in config.vehicle_models})
    times = step_times([recipe.table(count, lane.swap_order) for count in packs], poll_s)
    begin_s, end_s = from_hour * 3600, (from_hour + hours) * 3600
    coming = _coming(bare, begin_s, end_s, seed)
    with TemporaryDirectory(prefix="twin-") as temporary:
        store = Store(f"sqlite:///{(folder or Path(temporary)) / 'twin.db'}")
        try:
            live = LiveSide(bare, config, store, times, coming, seed, begin_s, planner)
            with asyncio.Runner() as runner:
                # Not `runner.run`: on virtual time the task waits for nothing and would not see that Ctrl-C cancels it.
                try:
                    runner.get_loop().run_until_complete(live.run(end_s + tolerance_s))
                except Exception as error:
                    if _interrupted(error):  # the database's session complains of being left in the middle
                        raise KeyboardInterrupt from None
                    raise
            journal = live.journal()
        finally:
            store.close()
    study = _study_side(bare, config, times, live, end_s + tolerance_s, seed, planner)
    difference, largest_s, changed_places = first_difference(journal.events, study.events, end_s, tolerance_s)
    return TwinReport(
        station=config.station.id,
        scenario=scenario.id,
        start_at=live.start_at + timedelta(hours=from_hour),
        hours=hours,
        seed=seed,
        poll_s=times.poll_s,
        live=journal.events,
        study=study.events,
        difference=difference,
        largest_time_error_s=largest_s,
        changed_places=changed_places,
        waits_s=_pairs(journal.waits_s, study.waits_s),
        charged_kwh=(journal.charged_kwh, study.charged_kwh),
        imported_kwh=(journal.imported_kwh, study.imported_kwh),
        handed_kwh=_pairs(journal.handed_kwh, study.handed_kwh),
        bound=frozenset(live.station.bound),
        tolerance_s=tolerance_s,
        notes=(*notes, *live.notes),
    )


def _coming(scenario: Scenario, begin_s: float, end_s: float, seed: int) -> list[Arrival]:
    """The trucks of [begin_s, end_s); seconds from the scenario's start."""
    found = []
    for arrival in arrivals(scenario, scenario.start_at + timedelta(seconds=begin_s), seed):
        if begin_s + arrival.at_s >= end_s:
            break
        found.append(
            arrival._replace(
                at_s=begin_s + arrival.at_s,
                booked_from_s=begin_s + arrival.booked_from_s,
                booked_until_s=begin_s + arrival.booked_until_s,
            )
        )
    return found


def _pairs(live: Mapping[int, float], study: Mapping[int, float]) -> tuple[tuple[float, float], ...]:
    return tuple((live[number], study[number]) for number in sorted(live.keys() & study.keys()))


# The study's side


def _study_side(
    scenario: Scenario,
    config: StationConfig,
    times: StepTimes,
    live: LiveSide,
    until_s: float,
    seed: int,
    planner: Planner | None = None,
) -> Side:
    soh_pct = [live.soh_pct.get(number, ()) for number in range(len(live.coming))]
    kinds = [live.kinds.get(number, ()) for number in range(len(live.coming))]
    temp_c = [live.temp_c.get(number, ()) for number in range(len(live.coming))]
    begun = Given(
        config,
        live.coming,
        live.stock,
        live.begin_s,
        soh_pct=soh_pct,
        kinds=kinds,
        temp_c=temp_c,
        row_s=times.row_s,
        storage_kwh=live.storage_kwh,
        identify_s=times.poll_s,
    )
    given = GivenStation(scenario, begun, seed, planner)
    station = given.station
    events: list[TwinEvent] = []

    def told(at_s: float, kind: str, truck: StudyTruck) -> None:
        detail = ""
        if kind == DISPATCHED and truck.lane is not None:
            packs, homes = (tuple(bay.bay_id for bay in bays) for bays in (truck.given, truck.homes))
            detail = called(truck.lane.lane_id, packs, homes)
        events.append(TwinEvent(at_s, kind, truck.vehicle_id, detail))

    station.listeners.append(told)
    given.on_row = lambda at_s, state, truck: events.append(TwinEvent(at_s, STEP_DONE, truck.vehicle_id, state))
    station.run_until(until_s)
    station.close()
    served = {number: truck for number, truck in given.trucks.items() if truck.start_s >= 0}
    return Side(
        tuple(events),
        {number: truck.start_s - truck.at_s for number, truck in served.items()},
        {number: sum(pack.energy_kwh for pack in truck.taken) for number, truck in served.items() if truck.taken},
        station.rack.settle_all(),
        sum(hour.import_kwh for hour in station.hours),
    )


def first_difference(
    live: Sequence[TwinEvent], study: Sequence[TwinEvent], end_s: float, tolerance_s: float
) -> tuple[Difference | None, float, int]:
    """The first event that differs, the largest difference in time before it, and how many changed places.

    Events of different trucks that lie closer together than the tolerance have no order; those of one truck
    always have. An event that only one side has within the tolerance of the end may have come later on the other.
    """
    largest_s, changed_places = 0.0, 0
    rest = deque(study)
    for index, event in enumerate(live):
        if event.at_s > end_s - tolerance_s:
            break
        place = _place_of(event, rest, tolerance_s)
        if place is None:
            other = rest[0] if rest else None
            return Difference(index, event, other, "order" if rest else "missing"), largest_s, changed_places
        other = rest[place]
        del rest[place]
        apart_s = abs(event.at_s - other.at_s)
        if apart_s > tolerance_s:
            return Difference(index, event, other, "time"), largest_s, changed_places
        changed_places += place > 0
        largest_s = max(largest_s, apart_s)
    if rest and rest[0].at_s <= end_s - 2 * tolerance_s:
        return Difference(len(live), None, rest[0], "missing"), largest_s, changed_places
    return None, largest_s, changed_places


def _place_of(event: TwinEvent, rest: deque[TwinEvent], tolerance_s: float) -> int | None:
    """Where the same event stands among those that may come first; None where it does not."""
    for place, other in enumerate(rest):
        if other.at_s > rest[0].at_s + tolerance_s:
            return None
        if other.what == event.what:
            return place
        if other.vehicle == event.vehicle:
            return None
    return None
