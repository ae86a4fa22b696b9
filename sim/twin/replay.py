"""A recorded day of a live station, run again in the study: do its numbers hold for this station?

The record (`swap.reading.recording`) gives the trucks with their states of charge, what lay in the rack, and when
nobody was served. The study gives lane times, charging, prices and weather as the scenario says, without
variation. What both say of waits and energy is put side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import fmean

import numpy as np

from battery_bms.pack import soc_pct, spec_from_section
from sim.scenario.demand import Arrival
from sim.scenario.file import FailureSection, PatienceSection, Scenario
from sim.scenario.notes import Note
from sim.scenario.site import StaffSection
from sim.study.given import Given, GivenStation, LaneOutage, Stock, check_pair
from sim.study.optimal.planned import under_rule
from sim.study.station import Station
from swap.config.station_file import StationConfig
from swap.reading.recording import RecordedSwap, Recording
from swap.words import N_

WITHIN_MIN = 1.0
"""Largest difference of mean, P50 and P95 of the wait that still counts as reproduced, minutes; assumed."""
WITHIN_PCT = 5.0
"""The same for the energy charged, per cent; assumed."""


class NothingToReplay(Exception):
    """The record holds no swap that the study could be compared with."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One number on both sides."""

    name: str
    """wait_mean, wait_p50, wait_p95, swap_mean or charged."""
    unit: str
    recorded: float
    study: float
    error: float
    """Study less record, in `unit`; for energy in per cent of the record."""
    limit: float | None
    """Largest error allowed; None: shown only."""

    @property
    def holds(self) -> bool:
        """Within the limit."""
        return self.limit is None or abs(self.error) <= self.limit


@dataclass(frozen=True)
class ReplayReport:
    """A recorded span and its replay."""

    station: str
    scenario: str
    day: date
    from_at: datetime
    until_at: datetime
    """The span of which there is a record."""
    compared: int
    """Trucks called on both sides."""
    only_recorded: int
    """Called in the record, still waiting in the study at the end."""
    only_study: int
    waits_min: tuple[tuple[float, float], ...]
    """Wait of each compared truck: recorded, study."""
    values: tuple[Compared, ...]
    notes: tuple[Note, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Every error is within its limit."""
        return all(value.holds for value in self.values)

    @property
    def largest_wait_error_min(self) -> float:
        """Of one truck."""
        return max((abs(study - recorded) for recorded, study in self.waits_min), default=0.0)


def replay(
    recording: Recording,
    scenario: Scenario,
    config: StationConfig,
    day: date,
    *,
    within_min: float = WITHIN_MIN,
    within_pct: float = WITHIN_PCT,
    measured_swap_time: bool = False,
) -> ReplayReport:
    """Run a recorded span in the study.

    Args:
        measured_swap_time: each swap takes its recorded time, stops left out, not the scenario's; one that has
            not ended takes the mean.
        day: local day whose midnight the scenario's seconds count from.
        within_min: largest error of mean, P50 and P95 of the wait, minutes.
        within_pct: largest error of the energy charged, per cent.

    Raises:
        StationMismatch: the scenario is not that of the station.
        NothingToReplay: the record holds no swap.
    """
    check_pair(scenario, config)
    scenario, ruled = under_rule(scenario)
    notes: list[Note] = list(ruled)
    swaps = _usable(recording, notes)
    lane_s = {swap.swap_id: took_s for swap in swaps if (took_s := recording.lane_s(swap)) is not None}
    equipment = {"swap_cv": 0.0}
    if measured_swap_time and lane_s:
        equipment["swap_s"] = fmean(lane_s.values())
        text = N_("swaps take their measured times, {mean_s:.0f} s on average, not the scenario's")
        notes.append(Note(text, {"mean_s": equipment["swap_s"]}))
    update = {
        "failures": FailureSection(),
        "patience": PatienceSection(),
        "staff": StaffSection(),  # when nobody served is in the record
        "equipment": scenario.equipment.model_copy(update=equipment),
        "study": scenario.study.model_copy(update={"start_on": day}),
    }
    measured = scenario.model_copy(update=update)
    if not swaps:
        raise NothingToReplay(
            f"{config.station.id}: no swap is recorded from {recording.from_at.isoformat()} "
            f"to {recording.until_at.isoformat()}"
        )

    def seconds(at: datetime) -> float:
        return (at - measured.start_at).total_seconds()

    given = Given(
        config,
        _arrivals(swaps, config, seconds, notes),
        _stock(recording, scenario, notes),
        start_s=seconds(recording.from_at),
        temp_c=[swap.temp_c for swap in swaps],
        soh_pct=[swap.soh_pct for swap in swaps],
        kinds=[swap.kinds for swap in swaps],
        swap_s=[lane_s.get(swap.swap_id) for swap in swaps] if measured_swap_time else (),
        outages=[LaneOutage(s.lane_id, seconds(s.from_at), seconds(s.until_at)) for s in recording.stops],
    )
    if recording.stops:
        lost_min = sum((s.until_at - s.from_at).total_seconds() for s in recording.stops) / 60
        text = N_("{count} times a lane did not serve, {lost_min:.0f} min in all; so in the study")
        notes.append(Note(text, {"count": len(recording.stops), "lost_min": lost_min}))
    made = GivenStation(measured, given)
    station = made.station
    before_kwh = _held_kwh(station)
    station.run_until(seconds(recording.until_at))
    station.close()
    station.rack.settle_all()
    stored_kwh = _held_kwh(station) - before_kwh + station.handed_kwh - station.taken_kwh
    return _report(recording, measured, config, day, swaps, lane_s, made, stored_kwh, within_min, within_pct, notes)


def _held_kwh(station: Station) -> float:
    """Energy in the packs of the rack."""
    return sum(bay.pack.energy_kwh for bay in station.rack.bays if bay.pack is not None)


def _usable(recording: Recording, notes: list[Note]) -> list[RecordedSwap]:
    """The trucks that the study serves: not those under way at the beginning, nor those that left as they came."""
    found, under_way, left = [], 0, 0
    for swap in recording.swaps:
        if swap.dispatched_at is not None and swap.dispatched_at < recording.from_at:
            under_way += 1
        elif swap.state in ("returned", "cancelled"):
            left += 1
        else:
            found.append(swap)
    if under_way:
        text = N_("{count} swap(s) under way at the beginning keep their lane until they ended")
        notes.append(Note(text, {"count": under_way}))
    if left:
        text = N_("{count} swap(s) ended without an exchange; they keep their lane for the recorded time")
        notes.append(Note(text, {"count": left}))
    return found


def _arrivals(
    swaps: Sequence[RecordedSwap], config: StationConfig, seconds: Callable[[datetime], float], notes: list[Note]
) -> list[Arrival]:
    known = [level for swap in swaps for level in swap.soc_pct if level is not None]
    usual_pct = fmean(known) if known else 30.0
    unknown = sum(1 for swap in swaps if None in swap.soc_pct or not swap.soc_pct)
    if unknown:
        text = N_("{count} truck(s) without a reading of the pack taken off came with the mean, {mean_pct:.1f} %")
        notes.append(Note(text, {"count": unknown, "mean_pct": usual_pct}))
    found = []
    for swap in swaps:
        seats = config.vehicle_model(swap.model).packs_per_vehicle
        levels = (*swap.soc_pct, *([None] * seats))[:seats]
        booked = swap.booked_from_at is not None and swap.booked_until_at is not None
        found.append(
            Arrival(
                seconds(swap.arrived_at),
                swap.fleet_id,
                swap.model,
                swap.vehicle_id,
                tuple(usual_pct if level is None else level for level in levels),
                booked=booked,
                booked_from_s=seconds(swap.booked_from_at) if swap.booked_from_at is not None else 0.0,
                booked_until_s=seconds(swap.booked_until_at) if swap.booked_until_at is not None else 0.0,
                priority=swap.priority,
            )
        )
    return found


def _stock(recording: Recording, scenario: Scenario, notes: list[Note]) -> dict[str, Stock]:
    specs = {kind.id: spec_from_section(kind) for kind in scenario.pack_kinds}
    found, unknown = {}, 0
    for pack in recording.rack:
        level_pct = scenario.charging.target_soc_pct
        if pack.energy_kwh is not None:
            level_pct = soc_pct(pack.energy_kwh, specs[pack.kind], pack.soh_pct)
        else:
            unknown += 1
        found[pack.bay_id] = Stock(pack.kind, level_pct, soh_pct=pack.soh_pct)
    if unknown:
        text = N_("{count} pack(s) in the rack without a reading count as charged at the beginning")
        notes.append(Note(text, {"count": unknown}))
    return found


def _report(
    recording: Recording,
    scenario: Scenario,
    config: StationConfig,
    day: date,
    swaps: Sequence[RecordedSwap],
    lane_s: Mapping[str, float],
    made: GivenStation,
    stored_kwh: float,
    within_min: float,
    within_pct: float,
    notes: Sequence[Note],
) -> ReplayReport:
    waits: list[tuple[float, float]] = []
    lane_min: list[tuple[float, float]] = []
    only_recorded = only_study = 0
    for number, swap in enumerate(swaps):
        truck = made.trucks.get(number)
        started = truck is not None and truck.start_s >= 0
        if swap.wait_s is not None and truck is not None and started:
            waits.append((swap.wait_s / 60, (truck.start_s - truck.at_s) / 60))
            if swap.swap_id in lane_s:
                lane_min.append((lane_s[swap.swap_id] / 60, truck.swap_s / 60))
        elif swap.wait_s is not None:
            only_recorded += 1
        elif started:
            only_study += 1
    if not waits:
        raise NothingToReplay(f"{config.station.id}: no truck was called both in the record and in the study")
    values = [
        _minutes("wait_mean", [fmean(side) for side in zip(*waits, strict=True)], within_min),
        _minutes("wait_p50", [float(np.quantile(side, 0.50)) for side in zip(*waits, strict=True)], within_min),
        _minutes("wait_p95", [float(np.quantile(side, 0.95)) for side in zip(*waits, strict=True)], within_min),
    ]
    if lane_min:
        values.append(_minutes("swap_mean", [fmean(side) for side in zip(*lane_min, strict=True)], None))
    error_pct = 100 * (stored_kwh - recording.charged_kwh) / max(recording.charged_kwh, 1.0)
    values.append(Compared("charged", "kWh", recording.charged_kwh, stored_kwh, error_pct, within_pct))
    return ReplayReport(
        station=config.station.id,
        scenario=scenario.id,
        day=day,
        from_at=recording.from_at,
        until_at=recording.until_at,
        compared=len(waits),
        only_recorded=only_recorded,
        only_study=only_study,
        waits_min=tuple(waits),
        values=tuple(values),
        notes=tuple(notes),
    )


def _minutes(name: str, sides: Sequence[float], limit: float | None) -> Compared:
    recorded, study = sides
    return Compared(name, "min", recorded, study, study - recorded, limit)
