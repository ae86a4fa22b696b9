"""Absorbing, live on virtual time: an accepted event raises the import to its floor in dear hours, by the price rule
and by an optimiser's plan; nobody waits for it, what was delivered is told, settled and charged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from battery_bms.pack import energy_at_soc_kwh
from robotics.faults import fault_by_name
from scheduler.optimal.outlook import EVERY, PlanTask
from scheduler.response.programme import EventSpan, ProgrammeSection
from sim.live.virtual_station import VirtualStation
from sim.plant.plant import Plant
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.demand_response import SETTLED_AFTER, charge_settlements, tell_settlements
from swap.config.loading import load_station
from swap.config.station_file import StationConfig
from swap.messages.events import SwapDispatched
from swap.messages.power import DrAnswered
from swap.places import bay_place
from swap.reading.response import answered, settlements
from swap.station.power.plan_process import PlannedGuides, plan_here
from swap.station.power.planning import PlanRunner
from swap.station.power.response import DrCall, take_call
from swap.station.power.response_watch import EVERY as WATCH_EVERY
from swap.station.power.response_watch import FAULT
from swap.store import Store
from swap.tables import SiteSample, Swap
from tests.sim.test_dr_live import programme

STATION = Path(__file__).parents[2] / "examples" / "shuozhou_open_pit" / "station.toml"
START_AT = datetime(2026, 6, 18, 10, tzinfo=UTC)
"""Six in the afternoon: dear until midnight, so that what can be spared is not charged."""
TOLD_AT = START_AT + timedelta(minutes=20)
FROM_AT, UNTIL_AT = START_AT + timedelta(minutes=45), START_AT + timedelta(minutes=105)
AFTER = timedelta(minutes=30)
STOCK_PCT = (93.0, 93.0, 93.0, 93.0, 93.0, 93.0, 20.0, 30.0, 40.0)
COME_MIN = (60, 110)
BASELINE_KW, ASKED_KW = 150.0, 900.0
QUARTER = timedelta(minutes=15)


def absorbing(**over: Any) -> ProgrammeSection:
    baseline = {"like_days": 2, "least_days": 2, "alike": "any"}
    data = {"id": "absorb", "control": "voluntary", "direction": "absorb", "baseline": baseline}
    return programme(**data | {"penalty_yuan_per_kwh": "1"} | over)


@dataclass
class Day:
    """What one run has shown."""

    import_kw: list[tuple[datetime, float]] = field(default_factory=list)
    """At the meter."""
    called_at: dict[str, datetime] = field(default_factory=dict)
    """By vehicle."""
    answer: DrAnswered | None = None
    money_fen: int = 0
    penalty_fen: int = 0
    metered_kw: tuple[float | None, ...] = ()

    open_after: tuple[str, ...] = ()
    """Sources of such faults when the event is over."""
    told: dict[datetime, dict[str, Any]] = field(default_factory=dict)
    """What the open fault of a shortfall says, by when it was raised."""

    def drawn_kw(self, from_at: datetime, until_at: datetime) -> list[float]:
        return [kw for at, kw in self.import_kw if from_at <= at < until_at]


async def _here(task: PlanTask) -> PlannedGuides:
    return plan_here(task)


async def go(
    config: StationConfig, store: Store, asked_kw: float | None, *, plan: str, fails_at: datetime | None = None
) -> Day:
    """One station on virtual time; where power is asked for, it is told of it at `TOLD_AT`.

    Args:
        fails_at: from then on no charger gives anything.
    """
    day = Day()
    plant = Plant(config, seed=1, start_at=START_AT, varies=False, temp_spread_c=0.0)
    for bay_id, level_pct in zip(plant.rack.bays, STOCK_PCT, strict=False):
        pack = plant.rack.at(bay_place(bay_id))
        if pack is not None:
            pack.energy_kwh = energy_at_soc_kwh(level_pct, pack.spec, pack.soh_pct)
    station = VirtualStation(config, store, plant)
    await station.start()
    context = station.controller.context
    runner = PlanRunner(context, _here) if plan == "optimal" else None
    _remember(store, config)
    for number, minutes in enumerate(COME_MIN):
        vehicle, at = config.vehicles[number].id, START_AT + timedelta(minutes=minutes)
        with store.station(config.station.id) as db:
            booked = make_booking(db, config, Wanted(vehicle, at, at + timedelta(minutes=30)), at=station.now_at)
        station.at(at, partial(station.arrive, vehicle, (25.0,), booking_id=booked.booking_id))
    at, plan_at, told = station.now_at, station.now_at, asked_kw is None
    while at < UNTIL_AT + AFTER:
        at = min([at + timedelta(seconds=30), *(edge for edge in (TOLD_AT, FROM_AT, UNTIL_AT) if edge > at)])
        await station.run(at)
        if runner is not None and at >= plan_at:
            plan_at = at + EVERY
            await station.controller.rack_cycle()
            await runner.step()
            assert runner._running is not None
            await asyncio.wait({runner._running})
            await runner.step()
        if not told and at >= TOLD_AT:
            told = True
            assert asked_kw is not None
            await station.controller.rack_cycle()
            span = EventSpan(TOLD_AT, FROM_AT, UNTIL_AT)
            day.answer = await take_call(context, DrCall(absorbing(), span, asked_kw=asked_kw))
        if fails_at is not None and at >= fails_at:
            fails_at = None
            for bay_id in plant.rack.bays:
                plant.rack.settle_bay(bay_id, plant.now_us)
                plant.rack.bay(bay_id).charger_fault = 1
                plant.rack.settle_bay(bay_id, plant.now_us)
        if asked_kw is not None:
            await station.controller.rack_cycle()
            await station.controller.responses.step()
            with store.reading_station(config.station.id) as db:
                for fault in db.open_faults():
                    if fault.code == fault_by_name(FAULT).code:
                        day.told.setdefault(fault.raised_at, fault.data)
        day.import_kw.append((at, plant.site.import_kw(plant.now_us)))
    with store.reading_station(config.station.id) as db:
        code = fault_by_name(FAULT).code
        day.open_after = tuple(fault.source for fault in db.open_faults() if fault.code == code)
    await station.stop()
    with store.reading_station(config.station.id) as db:
        for event in db.events(SwapDispatched):
            day.called_at[db.get_one(Swap, event.swap_id).vehicle_id] = event.at
        if day.answer is not None:
            assert list(answered(db)) == [day.answer]
    later = UNTIL_AT + SETTLED_AFTER
    assert tell_settlements(store, config, later).failed == ()
    assert charge_settlements(store, config.station.id).failed == ()
    with store.reading_station(config.station.id) as db:
        for one in settlements(db).values():
            day.money_fen, day.penalty_fen, day.metered_kw = one.money_fen, one.penalty_fen, one.metered_kw
    return day


def _remember(store: Store, config: StationConfig) -> None:
    """Two days before the event, as the meter had them."""
    with store.station(config.station.id) as db:
        for back in (2, 1):
            for minutes in range(0, 90, 5):
                at = FROM_AT - timedelta(days=back, minutes=15) + timedelta(minutes=minutes)
                row = SiteSample(
                    station_id=config.station.id, at=at, import_kw=BASELINE_KW, limit_kw=4000.0, ready_packs=0,
                    queue_length=0,
                )  # fmt: skip
                db.add(row)


def run(folder: Path, asked_kw: float | None, plan: str, fails_at: datetime | None = None) -> Day:
    folder.mkdir()
    store = Store(f"sqlite:///{folder / 'dr.db'}")
    store.upgrade()
    try:
        return asyncio.run(go(load_station(STATION), store, asked_kw, plan=plan, fails_at=fails_at))
    finally:
        store.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("plan", ["rule", "optimal"])
def test_an_accepted_event_raises_the_import_and_nobody_waits_for_it(tmp_path: Path, plan: str) -> None:
    config = load_station(STATION)
    planned, raised = run(tmp_path / "planned", None, plan), run(tmp_path / "raised", ASKED_KW, plan)
    answer = raised.answer
    assert answer is not None
    assert answer.accepted, answer.objections
    assert (answer.limit_kw, answer.floor_kw) == (None, BASELINE_KW + ASKED_KW)
    floor_kw = BASELINE_KW + ASKED_KW
    without, drawn = planned.drawn_kw(FROM_AT, UNTIL_AT), raised.drawn_kw(FROM_AT, UNTIL_AT)
    print(f"planned {sum(without) / len(without):.0f} kW, raised {sum(drawn) / len(drawn):.0f} kW of {floor_kw:.0f}")
    assert sum(without) / len(without) < 0.6 * floor_kw, "an event that changes nothing shows nothing"
    assert max(kw for _, kw in raised.import_kw) <= config.site.grid_limit_kw + 1e-6
    # What was delivered, by the station's own samples, and what it is charged for.
    assert min(kw or 0.0 for kw in raised.metered_kw) >= 0.95 * floor_kw
    if plan == "rule":  # a plan keeps packs nearer to ready than the price rule does: some of them draw more in between
        assert raised.metered_kw == pytest.approx((floor_kw,) * 4, rel=0.05)
    delivered_kw = [(kw or 0.0) - BASELINE_KW for kw in raised.metered_kw]
    assert raised.money_fen == pytest.approx(sum(min(kw, 1.2 * ASKED_KW) / 4 * 200 for kw in delivered_kw), abs=4)
    foreseen_yuan = float(answer.money_yuan or 0.0)
    assert raised.money_fen / 100 >= 0.95 * foreseen_yuan
    if plan == "rule":  # the plan is made anew after the answer
        assert raised.money_fen / 100 == pytest.approx(foreseen_yuan, rel=0.05)
    assert (raised.penalty_fen, answer.penalty_yuan) == (0, "0.00")
    assert raised.told == {}, "nothing lacks, so nothing is told"
    # Nobody waits longer for it.
    assert raised.called_at.keys() == planned.called_at.keys()
    for vehicle, at in planned.called_at.items():
        assert raised.called_at[vehicle] - at <= timedelta(minutes=1), vehicle


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_more_than_packs_can_take_is_declined_and_nothing_is_raised(tmp_path: Path) -> None:
    day = run(tmp_path / "much", 2500.0, "rule")
    assert day.answer is not None
    assert not day.answer.accepted
    assert day.answer.objections == ("not_delivered",)
    drawn = day.drawn_kw(FROM_AT, UNTIL_AT)
    assert sum(drawn) / len(drawn) < BASELINE_KW + 100
    assert (day.money_fen, day.penalty_fen, day.metered_kw) == (0, 0, ())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("plan", ["rule", "optimal"])
def test_what_will_lack_is_told_with_its_penalty_before_the_event_is_over(tmp_path: Path, plan: str) -> None:
    fails_at = FROM_AT + timedelta(minutes=20)
    day = run(tmp_path / "failing", ASKED_KW, plan, fails_at)
    assert day.answer is not None
    assert (day.answer.accepted, day.answer.penalty_yuan) == (True, "0.00")
    print(day.told, day.metered_kw, day.money_fen, day.penalty_fen)
    ((at, data),) = day.told.items()
    # Under a plan, which is made anew, it is told when the slot has begun; that before has drawn enough already.
    first_at = FROM_AT + (QUARTER if plan == "rule" else 2 * QUARTER)
    assert max(fails_at, first_at) <= at <= max(fails_at, first_at) + WATCH_EVERY + timedelta(minutes=1)
    assert data["programme"] == "absorb"
    assert datetime.fromisoformat(data["short_at"]) == first_at
    # Half of the hour or more is lost; the penalty that was told is the one that is settled.
    assert day.penalty_fen > 0
    assert float(data["penalty_yuan"]) == pytest.approx(day.penalty_fen / 100, rel=0.02)
    assert float(data["short_kwh"]) == pytest.approx(day.penalty_fen / 100, rel=0.02)
    assert float(data["money_yuan"]) == pytest.approx(day.money_fen / 100, rel=0.02)
    assert day.open_after == ()
