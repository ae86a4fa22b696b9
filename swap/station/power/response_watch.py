"""Accepted events of demand response, foreseen again while they are ahead or run: a shortfall is told before it comes.

What was metered counts as it is, what is ahead as the rules carried forward have it. Where more will lack than was told
when the event was answered, one fault of the event says how much and what it costs. Under an optimiser's plan a slot
must have begun for that: plans are made anew until then, and the rules carried forward do not know how.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from sqlmodel import col, select

from robotics.faults import fault_by_name
from scheduler.optimal.learned import TruckForecast
from scheduler.response.acceptance import Objection, foresee
from scheduler.response.flexibility import Course
from scheduler.response.programme import EventSpan, MeteredSlot, ProgrammeSection, slot_begin
from scheduler.response.settlement import DrSettlement
from swap.errors import DatabaseAway
from swap.messages.power import DrAnswered
from swap.reading.arrivals import arrival_record
from swap.reading.response import can_settle, in_force, metered_within, rules_of, spans
from swap.reading.samples import imported
from swap.station.context import StationContext
from swap.station.faults import clear_fault, raise_fault
from swap.station.life.database import DatabaseLost
from swap.station.power.flexibility import CourseStart, courses
from swap.station.power.outlook import look
from swap.station.power.response import beginning_now
from swap.station_db import StationDb as Db
from swap.tables import FaultRow

log = logging.getLogger(__name__)

FAULT = "response_short"
SOURCE = "response"
EVERY = timedelta(minutes=5)
"""Between two looks."""
AHEAD = timedelta(hours=4)
"""From so long before its begin on: what trucks and packs do until later is not foreseen."""


class ResponseWatch:
    """Tells of accepted events that will deliver too little."""

    def __init__(self, context: StationContext) -> None:
        self._context = context
        self._due_at: datetime | None = None
        self._told: frozenset[str] | None = None
        """Events of which it is told; None: what is on record from before a restart is not known."""

    async def step(self) -> None:
        """Look where it is due. Raises DatabaseLost."""
        context, now = self._context, self._context.clock.now()
        if self._due_at is not None and now < self._due_at:
            return
        self._due_at = now + EVERY
        events = await context.read(lambda db: in_force(db, now))
        near = [one for one in events if _is_near(one, now) and self._has_rules(one)]
        # A plan of the optimiser is made anew before it lets a later slot fall short.
        sure_until_at = None if context.planner is None else now
        try:
            found = await self._foreseen(near, now) if near else []
        except (DatabaseLost, DatabaseAway):
            raise
        except Exception:
            # No loop of the controller ends for it; what was told before stays told.
            log.exception("what accepted events of demand response will deliver cannot be foreseen")
            return
        short = {one.event_id: (one, lines) for one, lines in found if _is_news(one, lines, sure_until_at)}
        if short or self._told != frozenset():
            await context.write(partial(_tell, station_id=context.station_id, at=now, short=short))
            self._told = frozenset(short)

    def _has_rules(self, event: DrAnswered) -> bool:
        """What an earlier release answered waits for its programme in the station file; commerce tells of it."""
        return event.rules is not None or any(one.id == event.programme for one in self._context.config.programmes)

    async def _foreseen(self, near: Sequence[DrAnswered], now: datetime) -> list[tuple[DrAnswered, DrSettlement]]:
        context = self._context
        record = await context.read(lambda db: arrival_record(db, station_id=context.station_id, now=now))
        expected = (await context.forecast.ask(record, now)).trucks
        still, until_at = context.still(), max(one.until_at for one in near)
        rules = [rules_of(one, context.config.programmes) for one in near]
        begun, metered = await context.read(lambda db: _seen(db, still, now, near, rules, expected, until_at))
        return await asyncio.to_thread(_carried, begun, near, rules, metered, now, until_at)


def _is_near(event: DrAnswered, now: datetime) -> bool:
    return can_settle(event) and event.from_at - AHEAD <= now


def _seen(
    db: Db,
    context: StationContext,
    now: datetime,
    near: Sequence[DrAnswered],
    rules: Sequence[ProgrammeSection],
    trucks: TruckForecast,
    until_at: datetime,
) -> tuple[CourseStart, list[tuple[list[MeteredSlot], float | None]]]:
    """The station now, and of each event the slots that are over, and the mean import of the one that runs."""
    found: list[tuple[list[MeteredSlot], float | None]] = []
    for event, programme in zip(near, rules, strict=True):
        (span,) = spans((event,))
        begin_at = max(slot_begin(now, programme.slot), span.from_at)
        kwh, seconds = imported(db, db.station_id, begin_at, now) if begin_at < now else (None, 0.0)
        so_far_kw = kwh / (seconds / 3600) if kwh is not None and seconds > 0 else None
        found.append((metered_within(db, span, programme.slot, now), so_far_kw))
    return beginning_now(context, db, look(context, db, now), trucks, until_at), found


def _carried(
    begun: CourseStart,
    near: Sequence[DrAnswered],
    rules: Sequence[ProgrammeSection],
    metered: Sequence[tuple[list[MeteredSlot], float | None]],
    now: datetime,
    until_at: datetime,
) -> list[tuple[DrAnswered, DrSettlement]]:
    course = courses(begun, until_at)(None)
    found = []
    for event, programme, (slots, so_far_kw) in zip(near, rules, metered, strict=True):
        (span,) = spans((event,))
        known = [*slots, *_running(programme, span, so_far_kw, course, now)]
        # A slot that is over and was not metered has delivered nothing.
        known += [
            MeteredSlot(at, 0.0, 0.0)
            for at in span.slots(programme.slot)
            if min(at + programme.slot, span.until_at) <= now and at not in {one.at for one in slots}
        ]
        found.append((event, foresee(programme, span, event.offered_kw or 0.0, event.baseline_kw, known, course)))
    return found


def _running(
    programme: ProgrammeSection, span: EventSpan, so_far_kw: float | None, course: Course, now: datetime
) -> list[MeteredSlot]:
    """The slot that runs: until now as it was metered, from now on as the course has it."""
    at = slot_begin(now, programme.slot)
    if not (at < now and span.from_at < now < span.until_at):
        return []
    end_at = min(at + programme.slot, span.until_at)
    ahead_kw = course.mean_kw(now, end_at)
    past_h, ahead_h = (now - max(at, span.from_at)) / timedelta(hours=1), (end_at - now) / timedelta(hours=1)
    past_kw = ahead_kw if so_far_kw is None else so_far_kw
    return [MeteredSlot(at, (past_kw * past_h + ahead_kw * ahead_h) / (past_h + ahead_h))]


def _is_news(event: DrAnswered, lines: DrSettlement, sure_until_at: datetime | None) -> bool:
    """Whether more lacks than was told when the event was answered.

    Args:
        sure_until_at: a slot that begins later may still be put right; None: none may.
    """
    if not any(slot.short_kwh > 0 and (sure_until_at is None or slot.at <= sure_until_at) for slot in lines.slots):
        return False
    told = Objection.NOT_DELIVERED in event.objections
    return not told or lines.penalty_yuan > Decimal(event.penalty_yuan or "0")


def _tell(db: Db, *, station_id: str, at: datetime, short: dict[str, tuple[DrAnswered, DrSettlement]]) -> None:
    _clear(db, station_id=station_id, at=at, but={f"{SOURCE}:{event_id}" for event_id in short})
    for event_id, (event, lines) in short.items():
        data = {
            "programme": event.programme,
            "from_at": event.from_at.isoformat(timespec="minutes"),
            "short_at": next(slot.at for slot in lines.slots if slot.short_kwh > 0).isoformat(timespec="minutes"),
            "short_kwh": str(sum(slot.short_kwh for slot in lines.slots)),
            "money_yuan": str(lines.money_yuan),
            "penalty_yuan": str(lines.penalty_yuan),
        }
        raise_fault(db, station_id=station_id, name=FAULT, source=f"{SOURCE}:{event_id}", at=at, data=data)


def _clear(db: Db, *, station_id: str, at: datetime, but: Collection[str]) -> None:
    told = select(FaultRow.source).where(FaultRow.station_id == station_id, col(FaultRow.cleared_at).is_(None))
    for source in db.exec(told.where(FaultRow.code == fault_by_name(FAULT).code)).all():
        if source not in but:
            clear_fault(db, station_id=station_id, name=FAULT, source=source, at=at)
