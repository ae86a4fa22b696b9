"""Demand response, live on virtual time: a limit that is told fifteen minutes before holds, and who waits is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from battery_bms.pack import energy_at_soc_kwh
from scheduler.response.programme import EventSpan, ProgrammeSection
from sim.live.virtual_station import VirtualStation
from sim.plant.plant import Plant
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.config.loading import load_station
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput, SwapError
from swap.messages.events import SwapDispatched
from swap.messages.power import DrAnswered
from swap.places import bay_place
from swap.reading.response import answered, metered_slots
from swap.station.power.response import DrCall, take_call
from swap.store import Store
from swap.tables import Swap

STATION = Path(__file__).parents[2] / "examples" / "shuozhou_open_pit" / "station.toml"
START_AT = datetime(2026, 6, 17, 16, tzinfo=UTC)
"""Local midnight: no price holds anything back."""
FROM_AT, UNTIL_AT = START_AT + timedelta(minutes=20), START_AT + timedelta(minutes=80)
TOLD_AT = FROM_AT - timedelta(minutes=15)
AFTER = timedelta(minutes=30)
SPENT_PCT = 25.0
STOCK_PCT = (75.0, 60.0, 45.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0)
"""By bay, at the start: nothing may be handed out yet."""
COME_MIN = (22, 32, 42, 50, 56, 62, 68, 74, 80, 86)
"""When trucks come, minutes after the start; each has booked the half hour from then on. One to whom nothing can be
promised stays away."""


def programme(**over: Any) -> ProgrammeSection:
    data: dict[str, Any] = {
        "id": "direct",
        "name_zh": "直控",
        "name_en": "Direct control",
        "control": "direct",
        "payer": "aggregator",
        "notice_min": 15,
        "price_yuan_per_kwh": "2",
    }
    return ProgrammeSection.model_validate(data | over)


@dataclass
class Day:
    """What one run has shown."""

    import_kw: list[tuple[datetime, float]] = field(default_factory=list)
    """At the meter."""
    called_at: dict[str, datetime] = field(default_factory=dict)
    """By vehicle."""
    bookings: dict[str, str] = field(default_factory=dict)
    """Vehicle by booking."""
    answers: list[DrAnswered] = field(default_factory=list)
    slots_kw: list[float] = field(default_factory=list)
    """Whole slots of the event, as the station's own samples have them."""

    def drawn_kw(self, from_at: datetime, until_at: datetime) -> list[float]:
        return [kw for at, kw in self.import_kw if from_at <= at < until_at]


class Run:
    """One station on virtual time, its stock low; with a call it is told of it at `TOLD_AT`."""

    def __init__(self, config: StationConfig, folder: Path, call: DrCall | None) -> None:
        self.config, self.call, self.day = config, call, Day()
        store = self.store = Store(f"sqlite:///{folder / 'dr.db'}")
        store.upgrade()
        plant = Plant(config, seed=1, start_at=START_AT, varies=False, temp_spread_c=0.0)
        for bay_id, level_pct in zip(plant.rack.bays, STOCK_PCT, strict=False):
            pack = plant.rack.at(bay_place(bay_id))
            if pack is not None:
                pack.energy_kwh = energy_at_soc_kwh(level_pct, pack.spec, pack.soh_pct)
        self.plant = plant
        self.station = VirtualStation(config, store, plant)

    async def go(self) -> Day:
        station = self.station
        await station.start()
        for number, minutes in enumerate(COME_MIN):
            vehicle = self.config.vehicles[number].id
            self._book(vehicle, START_AT + timedelta(minutes=minutes))
        at = station.now_at
        told = self.call is None
        while at < UNTIL_AT + AFTER:
            near = any(abs(at - edge) < timedelta(seconds=30) for edge in (FROM_AT, UNTIL_AT))
            stops = [edge for edge in (TOLD_AT, FROM_AT) if edge > at]
            at = min([at + timedelta(seconds=5 if near else 60), *stops])
            await station.run(at)
            if not told and at >= TOLD_AT:
                told = True
                assert self.call is not None
                # Virtual time jumps; the loops of a live station have read the rack a second ago.
                await station.controller.rack_cycle()
                self.day.answers.append(await take_call(station.controller.context, self.call))
            self.day.import_kw.append((at, self.plant.site.import_kw(self.plant.now_us)))
        await station.stop()
        with self.store.reading_station(self.config.station.id) as db:
            for event in db.events(SwapDispatched):
                swap = db.get_one(Swap, event.swap_id)
                self.day.called_at[swap.vehicle_id] = event.at
            slot = timedelta(minutes=15)
            starts = [FROM_AT + timedelta(minutes=10) + n * slot for n in range(3)]
            self.day.slots_kw = [one.mean_kw for one in metered_slots(db, starts, slot)]
            assert list(answered(db)) == self.day.answers
        return self.day

    def _book(self, vehicle: str, at: datetime) -> None:
        with self.store.station(self.config.station.id) as db:
            wanted = Wanted(vehicle, at, at + timedelta(minutes=30))
            try:
                booking = make_booking(db, self.config, wanted, at=self.station.now_at)
            except SwapError:
                return
        self.day.bookings[booking.booking_id] = vehicle
        arrive = partial(self.station.arrive, vehicle, (SPENT_PCT,), booking_id=booking.booking_id)
        self.station.at(at, arrive)


def run(folder: Path, call: DrCall | None = None) -> Day:
    folder.mkdir()
    one = Run(load_station(STATION), folder, call)
    try:
        return asyncio.run(one.go())
    finally:
        one.store.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_limit_told_a_quarter_of_an_hour_before_holds_and_who_waits_is_told(tmp_path: Path) -> None:
    config = load_station(STATION)
    planned = run(tmp_path / "planned")
    drawn_kw = planned.drawn_kw(FROM_AT, UNTIL_AT)
    mean_kw = sum(drawn_kw) / len(drawn_kw)
    assert mean_kw >= 0.7 * config.site.grid_limit_kw, "stock so low that the plan draws most of the limit"
    limit_kw = mean_kw / 2
    called = DrCall(programme(), EventSpan(TOLD_AT, FROM_AT, UNTIL_AT), limit_kw=limit_kw)
    held = run(tmp_path / "held", called)
    control = timedelta(seconds=config.charging.cycle_s)
    within = held.drawn_kw(FROM_AT + control, UNTIL_AT)
    print(f"planned {mean_kw:.0f} kW, limit {limit_kw:.0f} kW, most {max(within):.1f} kW")
    assert max(within) <= limit_kw + 1e-6
    assert max(held.drawn_kw(UNTIL_AT + control, UNTIL_AT + timedelta(minutes=10))) > limit_kw, "charging goes on"
    assert held.slots_kw == pytest.approx([limit_kw] * 3, rel=0.02)
    # Who was told to wait waits, and nobody else.
    (answer,) = held.answers
    assert answer.accepted
    told = {held.bookings[one.truck]: one.minutes for one in answer.waits}
    late = {vehicle: (held.called_at[vehicle] - at).total_seconds() / 60 for vehicle, at in planned.called_at.items()}
    print("told", told, "were late", late)
    assert told.keys() == {vehicle for vehicle, minutes in late.items() if minutes > 1}
    assert told, "an event that nobody notices shows nothing"
    for vehicle, minutes in told.items():
        assert minutes == pytest.approx(late[vehicle], abs=2.0), vehicle


@pytest.mark.parametrize(
    ("control", "asked", "said"),
    [
        ("direct", {"asked_kw": 100.0}, "limit_kw"),
        ("voluntary", {"limit_kw": 100.0}, "asked_kw"),
        ("voluntary", {"asked_kw": 0.0}, "asked_kw"),
        ("direct", {"limit_kw": -1.0}, "limit_kw"),
        ("direct", {}, "limit_kw"),
    ],
)
def test_a_call_that_cannot_be_is_refused(control: str, asked: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        DrCall(programme(control=control), EventSpan(TOLD_AT, FROM_AT, UNTIL_AT), **asked)


def test_a_call_runs_for_whole_minutes_and_a_day_at_most() -> None:
    with pytest.raises(InvalidInput, match="whole minutes"):
        DrCall(programme(), EventSpan(TOLD_AT, FROM_AT + timedelta(seconds=1), UNTIL_AT), limit_kw=1.0)
    with pytest.raises(InvalidInput, match="at most a day"):
        DrCall(programme(), EventSpan(TOLD_AT, FROM_AT, FROM_AT + timedelta(hours=25)), limit_kw=1.0)
