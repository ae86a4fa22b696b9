"""A call of demand response, answered by the live station: inside its flexibility, for direct control always.

The answer is an event of the journal. The charging plan takes every accepted limit and floor from there, so it holds
after a restart too, and the baseline of later events leaves out the days on which one was told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite

from sqlmodel import col, select

from battery_bms.pack import energy_at_soc_kwh
from scheduler.optimal.learned import TruckForecast
from scheduler.optimal.outlook import SPENT_SOC_PCT
from scheduler.response.acceptance import CallAnswer, answer_direct, answer_voluntary
from scheduler.response.baseline import NoBaseline, baseline_kw
from scheduler.response.programme import EventSpan, ProgrammeSection
from scheduler.response.traffic import ComingTruck, RunningSwap
from scheduler.types import PackView, QueueEntry, StationMode, StationView
from swap.errors import InvalidInput
from swap.events import append_event
from swap.ids import new_id
from swap.messages.power import DrAnswered, DrWait
from swap.reading.arrivals import arrival_record
from swap.reading.charge_plan import StockedPack, dr_limits, pack_view
from swap.reading.response import answered, in_force, metered_slots, reference_slots, spans
from swap.station.context import StationContext
from swap.station.power.flexibility import AFTER, CourseStart, courses, expected_trucks, swap_times
from swap.station.power.outlook import Seen, look
from swap.station_db import StationDb as Db
from swap.tables import Pack, Swap, SwapSeat, VehicleRow


@dataclass(frozen=True, slots=True)
class DrCall:
    """What was told: an asked power below or above the baseline, or for direct control a limit.

    Raises:
        InvalidInput: both or neither are given, or not what the programme's control asks for.
    """

    programme: ProgrammeSection
    span: EventSpan
    asked_kw: float | None = None
    limit_kw: float | None = None

    def __post_init__(self) -> None:
        direct = self.programme.control == "direct"
        given, other = (self.limit_kw, self.asked_kw) if direct else (self.asked_kw, self.limit_kw)
        name = "limit_kw" if direct else "asked_kw"
        if given is None or other is not None or not 0 <= given <= 100_000 or (not direct and given == 0):
            raise InvalidInput(name, given, f"0…100 000 kW; a programme of {self.programme.control} control takes this")
        for at in (self.span.from_at, self.span.until_at):
            if at.second or at.microsecond:
                raise InvalidInput("begin and end of an event", at.isoformat(), "whole minutes")
        if self.span.until_at - self.span.from_at > timedelta(days=1):
            raise InvalidInput("end of an event", self.span.until_at.isoformat(), "at most a day after its begin")


async def take_call(context: StationContext, called: DrCall, actor: str = "controller") -> DrAnswered:
    """Answer a call and write the answer down; an accepted limit holds from then on.

    Raises:
        NoBaseline: the programme's baseline rule finds too few days, so a voluntary event cannot be judged.
        DatabaseLost: the database is away.
    """
    now = context.clock.now()
    record = await context.read(lambda db: arrival_record(db, station_id=context.station_id, now=now))
    expected = (await context.forecast.ask(record, now)).trucks
    still = context.still()
    begun, baseline, accepted = await context.read(lambda db: _seen(db, still, now, called, expected))
    if isinstance(baseline, NoBaseline) and called.limit_kw is None:
        raise baseline
    powers = None if isinstance(baseline, NoBaseline) else baseline
    # Some seconds of reckoning: on another thread, so that no look at a cell is late for it.
    answer = await asyncio.to_thread(_answer, begun, called, powers, accepted)
    event = _event(called, answer, powers or ())

    def store(db: Db) -> None:
        append_event(db, event, station_id=context.station_id, at=now, actor=actor)

    await context.write(store)
    return event


def vehicles_known(db: Db, context: StationContext) -> dict[str, str]:
    """Vehicle of each swap that waits and of each booking, by which an answer names those that wait."""
    seen = look(context, db, context.clock.now())
    return {entry.swap_id: entry.vehicle_id for entry in (*seen.view.queue, *seen.booked)}


def _seen(
    db: Db, context: StationContext, now: datetime, called: DrCall, trucks: TruckForecast
) -> tuple[CourseStart, tuple[float, ...] | NoBaseline, tuple[EventSpan, ...]]:
    begun = beginning_now(context, db, look(context, db, now), trucks, called.span.until_at)
    return begun, _baseline(db, context, called), spans(in_force(db, now))


def _answer(
    begun: CourseStart, called: DrCall, baseline: Sequence[float] | None, accepted: Sequence[EventSpan]
) -> CallAnswer:
    course_of = courses(begun, called.span.until_at)
    if called.limit_kw is not None:
        return answer_direct(called.programme, called.span, called.limit_kw, baseline, course_of, accepted)
    assert called.asked_kw is not None
    assert baseline is not None
    return answer_voluntary(called.programme, called.span, called.asked_kw, baseline, course_of, accepted)


def _baseline(db: Db, context: StationContext, called: DrCall) -> tuple[float, ...] | NoBaseline:
    programme, zone = called.programme, context.config.station.zone
    starts = reference_slots(called.span, programme.slot, programme.baseline.look_back_days, zone)
    metered = metered_slots(db, starts, programme.slot)
    rest_days = context.config.tariff.holidays
    try:
        return baseline_kw(programme, called.span, metered, spans(answered(db)), zone, rest_days).kw
    except NoBaseline as error:
        return error


def _event(called: DrCall, answer: CallAnswer, baseline: Sequence[float]) -> DrAnswered:
    span, foreseen = called.span, answer.foreseen
    return DrAnswered(
        event_id=new_id("dr", span.told_at),
        programme=called.programme.id,
        control=called.programme.control,
        told_at=span.told_at,
        from_at=span.from_at,
        until_at=span.until_at,
        accepted=answer.accepted,
        limit_kw=answer.limit_kw,
        floor_kw=answer.floor_kw,
        offered_kw=answer.offered_kw,
        baseline_kw=tuple(baseline),
        objections=tuple(answer.objections),
        waits=tuple(
            DrWait(truck=one.truck, minutes=round(one.minutes, 1) if isfinite(one.minutes) else None)
            for one in answer.waits
        ),
        money_yuan=None if foreseen is None else str(foreseen.money_yuan),
        penalty_yuan=None if foreseen is None else str(foreseen.penalty_yuan),
        rules=called.programme.model_dump(mode="json"),
    )


# What the live station knows


def beginning_now(context: StationContext, db: Db, seen: Seen, known: TruckForecast, until_at: datetime) -> CourseStart:
    """The station as it is, with the trucks that wait, that have booked, and that are expected beside them."""
    view, end_at = seen.view, until_at + AFTER
    models = {row.id: row.model for row in db.exec(select(VehicleRow)).all()}
    booked = [entry for entry in seen.booked if entry.arrived_at < end_at]
    trucks = [_coming(context, models, entry, view.at) for entry in view.queue]
    hold = timedelta(minutes=context.config.bookings.hold_before_min)
    for entry in booked:
        come_at = max(entry.arrived_at, view.at)
        trucks.append(_coming(context, models, entry, come_at, kept_from_at=entry.arrived_at - hold))
    hours = (end_at - view.at) / timedelta(hours=1)
    # Each booked truck is one of those expected: the nearest.
    expected = expected_trucks(context.config, known, view.at, hours)
    for entry in booked:
        if expected:
            expected.remove(min(expected, key=lambda one: abs(one.entry.arrived_at - entry.arrived_at)))
    prices = () if context.prices is None else tuple(context.prices.slices(view.at, end_at + timedelta(hours=1)))
    return CourseStart(
        # A lane that stands still now, or a held station, would let nobody wait for an event: they go on in the course.
        replace(view, mode=StationMode.AUTOMATIC, lanes=tuple(replace(lane, ready=True) for lane in view.lanes)),
        context.policy,
        context.specs,
        prices,
        dr_limits(context.config, context.orders),
        (*trucks, *expected),
        _running(context, db, view),
        context.planner,
        context.floors,
    )


def _coming(
    context: StationContext,
    models: dict[str, str],
    entry: QueueEntry,
    at: datetime,
    kept_from_at: datetime | None = None,
) -> ComingTruck:
    model = context.config.vehicle_model(models[entry.vehicle_id])
    kinds = entry.installed_kinds or (model.pack_kinds[0],) * entry.packs_needed
    leaves = tuple(_spent(context, f"{entry.swap_id}.{seat}", kind) for seat, kind in enumerate(kinds, 1))
    entry = replace(entry, arrived_at=at, swap_mode=model.swap_mode, installed_kinds=tuple(kinds))
    return ComingTruck(entry, leaves, swap_times(context.config, entry.packs_needed), kept_from_at)


def _spent(
    context: StationContext, name: str, kind: str, soc_pct: float | None = None, soh_pct: float = 100.0
) -> PackView:
    level_pct = SPENT_SOC_PCT if soc_pct is None else soc_pct
    energy_kwh = energy_at_soc_kwh(level_pct, context.specs[kind], soh_pct)
    return pack_view(context.config, context.specs, StockedPack(name, kind, soh_pct, energy_kwh), USUAL_C)


USUAL_C = 25.0
"""Temperature of a pack that is not read yet (assumed)."""


def _running(context: StationContext, db: Db, view: StationView) -> list[RunningSwap]:
    """Swaps in the lanes: when their packs come in and their lanes are free."""
    query = select(Swap).where(Swap.station_id == context.station_id, col(Swap.open_lane_id).is_not(None))
    names = {context.bay_key(bay.id): bay.id for bay in context.config.bays}
    found = []
    for swap in db.exec(query).all():
        times = swap_times(context.config, swap.pack_count)
        since_at = swap.dispatched_at or view.at
        stores, gives = [], []
        model = context.config.vehicle_model(db.get_one(VehicleRow, swap.vehicle_id).model)
        for seat in db.exec(select(SwapSeat).where(SwapSeat.swap_id == swap.id)).all():
            home, source = names.get(seat.old_bay_id or ""), names.get(seat.new_bay_id or "")
            old = db.get(Pack, seat.old_pack_id) if seat.old_pack_id else None
            if home is not None and (old is None or old.bay_id != seat.old_bay_id):
                kind, soh_pct = (old.kind, old.soh_pct) if old is not None else (model.pack_kinds[0], 100.0)
                at = max(since_at + timedelta(seconds=times.stores_s[seat.seat - 1]), view.at)
                pack = _spent(context, f"{swap.id}.{seat.seat}", kind, seat.returned_soc_pct, soh_pct)
                stores.append((at, home, pack))
            new = db.get(Pack, seat.new_pack_id) if seat.new_pack_id else None
            if source is not None and new is not None and new.bay_id == seat.new_bay_id:
                gives.append(source)
        ends_at = max(since_at + timedelta(seconds=times.lane_s), view.at + timedelta(seconds=1))
        stores.sort(key=lambda store: store[0])
        found.append(RunningSwap(swap.id, swap.lane_id or context.config.lanes[0].id, ends_at, stores, gives))
    return found
