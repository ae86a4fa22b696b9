"""Demand response as the journal and the meter have it: events told, limits in force, slots of a settlement."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import bindparam
from sqlmodel import col, select

from scheduler.response.programme import EventSpan, MeteredSlot, ProgrammeSection
from scheduler.response.settlement import DrSettlement, settle
from scheduler.site import DrEventSection
from swap.messages.power import DrAnswered
from swap.reading.samples import imported
from swap.station_db import StationDb as Db
from swap.tables import StationEvent

TOLD_BEFORE = timedelta(days=9)
"""No event is told so long before its end: notice of a week at most, and a day of its own."""

_ANSWERED = select(StationEvent).where(StationEvent.kind == DrAnswered.kind).order_by(col(StationEvent.seq))
_ANSWERED_SINCE = _ANSWERED.where(col(StationEvent.at) >= bindparam("since"))
# Asked each time that the rack is charged, so they are made once.


def answered(db: Db, since_at: datetime | None = None) -> tuple[DrAnswered, ...]:
    """Events that the station was told of, the newest answer to each, in order."""
    rows = db.exec(_ANSWERED) if since_at is None else db.exec(_ANSWERED_SINCE, params={"since": since_at})
    found = [DrAnswered.read(row.data) for row in rows]
    return tuple({one.event_id: one for one in found}.values())


def spans(events: Iterable[DrAnswered]) -> tuple[EventSpan, ...]:
    """When they were told and ran."""
    return tuple(EventSpan(one.told_at, one.from_at, one.until_at) for one in events)


def orders(db: Db, *, zone: tzinfo, now: datetime) -> tuple[DrEventSection, ...]:
    """Limits of accepted events that are not over."""
    return tuple(
        order_of(event, zone) for event in answered(db, now - TOLD_BEFORE) if event.accepted and event.until_at > now
    )


def order_of(event: DrAnswered, zone: tzinfo) -> DrEventSection:
    """The limit of an event as the station file would have it."""
    begin = event.from_at.astimezone(zone)
    return DrEventSection(
        on=begin.date(),
        from_hour=(begin.hour * 60 + begin.minute) / 60,
        hours=(event.until_at - event.from_at) / timedelta(hours=1),
        limit_kw=event.limit_kw,
    )


def metered_slots(db: Db, starts: Iterable[datetime], slot: timedelta) -> list[MeteredSlot]:
    """Mean import of slots, from the station's samples; what is not recorded is left out."""
    found = []
    for at in starts:
        kwh, seconds = imported(db, db.station_id, at, at + slot)
        if kwh is not None and seconds > 0:
            found.append(MeteredSlot(at, kwh / (seconds / 3600), seconds / slot.total_seconds()))
    return found


def settled(db: Db, programme: ProgrammeSection, event: DrAnswered) -> DrSettlement | None:
    """An accepted event settled from the station's samples; None where no baseline was known or nothing was offered."""
    if not event.baseline_kw or event.offered_kw is None or event.offered_kw <= 0:
        return None
    (span,) = spans((event,))
    metered = metered_slots(db, span.slots(programme.slot), programme.slot)
    return settle(programme, span, event.offered_kw, metered, event.baseline_kw)


def reference_slots(event: EventSpan, slot: timedelta, days: int, zone: tzinfo) -> list[datetime]:
    """The same local slots on so many days before an event."""
    local = [at.astimezone(zone).replace(tzinfo=None) for at in event.slots(slot)]
    return [(at - timedelta(days=back)).replace(tzinfo=zone) for back in range(1, days + 1) for at in local]
