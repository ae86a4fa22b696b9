"""Demand response as the journal and the meter have it: events told, limits in force, slots of a settlement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import bindparam
from sqlmodel import col, select

from scheduler.response.floor import ImportFloor
from scheduler.response.programme import EventSpan, MeteredSlot, ProgrammeSection, slot_begin
from scheduler.response.settlement import DrSettlement, settle
from scheduler.site import DrEventSection
from swap.messages.power import DrAnswered, DrSettled
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


def settlements(db: Db) -> dict[str, DrSettled]:
    """The newest settlement of each event that the journal tells settled, by event."""
    return {one.event_id: one for one in (DrSettled.read(row.data) for row in db.events(DrSettled))}


def spans(events: Iterable[DrAnswered]) -> tuple[EventSpan, ...]:
    """When they were told and ran."""
    return tuple(EventSpan(one.told_at, one.from_at, one.until_at) for one in events)


def orders(events: Iterable[DrAnswered], zone: tzinfo) -> tuple[DrEventSection, ...]:
    """The limits of accepted events."""
    return tuple(order_of(event, event.limit_kw, zone) for event in events if event.limit_kw is not None)


def floors(events: Iterable[DrAnswered]) -> tuple[ImportFloor, ...]:
    """To what accepted events raise the import."""
    return tuple(
        ImportFloor(event.from_at, event.until_at, event.floor_kw) for event in events if event.floor_kw is not None
    )


def in_force(db: Db, now: datetime) -> tuple[DrAnswered, ...]:
    """Accepted events that are not over."""
    return tuple(event for event in answered(db, now - TOLD_BEFORE) if event.accepted and event.until_at > now)


def order_of(event: DrAnswered, limit_kw: float, zone: tzinfo) -> DrEventSection:
    """The limit of an event as the station file would have it."""
    begin = event.from_at.astimezone(zone)
    return DrEventSection(
        on=begin.date(),
        from_hour=(begin.hour * 60 + begin.minute) / 60,
        hours=(event.until_at - event.from_at) / timedelta(hours=1),
        limit_kw=limit_kw,
    )


def metered_slots(db: Db, starts: Iterable[datetime], slot: timedelta) -> list[MeteredSlot]:
    """Mean import of slots, from the station's samples; what is not recorded is left out."""
    found = []
    for at in starts:
        kwh, seconds = imported(db, db.station_id, at, at + slot)
        if kwh is not None and seconds > 0:
            found.append(MeteredSlot(at, kwh / (seconds / 3600), seconds / slot.total_seconds()))
    return found


def metered_within(db: Db, event: EventSpan, slot: timedelta, now: datetime | None = None) -> list[MeteredSlot]:
    """Mean import of an event's slots, each as far as it lies within the event; what is not recorded is left out.

    Args:
        now: only slots that are over by then.
    """
    found = []
    for at in event.slots(slot):
        begin_at, end_at = max(at, event.from_at), min(at + slot, event.until_at)
        if now is not None and end_at > now:
            continue
        kwh, seconds = imported(db, db.station_id, begin_at, end_at)
        if kwh is not None and seconds > 0:
            found.append(MeteredSlot(at, kwh / (seconds / 3600), seconds / (end_at - begin_at).total_seconds()))
    return found


def rules_of(event: DrAnswered, programmes: Iterable[ProgrammeSection]) -> ProgrammeSection:
    """The programme of an event as it was when it was answered; that of the station file where an earlier release
    answered it.

    Raises:
        LookupError: neither tells it.
    """
    if event.rules is not None:
        return ProgrammeSection.model_validate(event.rules)
    for programme in programmes:
        if programme.id == event.programme:
            return programme
    raise LookupError(
        f"demand response: event {event.event_id} is of programme {event.programme}, which is not in the station file; "
        "put it back there, so that the event can be settled"
    )


def can_settle(event: DrAnswered) -> bool:
    """Whether an event is one that is settled: accepted, with a baseline and an offer."""
    return event.accepted and bool(event.baseline_kw) and event.offered_kw is not None and event.offered_kw > 0


def settled(db: Db, programme: ProgrammeSection, event: DrAnswered) -> DrSettlement | None:
    """An accepted event settled from the station's samples; None where no baseline was known or nothing was offered."""
    if not can_settle(event):
        return None
    (span,) = spans((event,))
    return settled_by(programme, event, metered_within(db, span, programme.slot))


@dataclass(frozen=True, slots=True)
class DeliveredMinute:
    """One minute of an event."""

    at: datetime
    baseline_kw: float
    import_kw: float | None
    """None: not recorded."""
    delivered_kw: float | None
    """Below the baseline, or above it where the programme absorbs."""


def delivery(db: Db, programme: ProgrammeSection, event: DrAnswered, until_at: datetime) -> tuple[DeliveredMinute, ...]:
    """What an event has delivered, minute by minute, as far as it has come."""
    minute, (span,) = timedelta(minutes=1), spans((event,))
    baseline = dict(zip(span.slots(programme.slot), event.baseline_kw, strict=True))
    begins = [span.from_at + n * minute for n in range(int((min(until_at, span.until_at) - span.from_at) / minute))]
    metered = {one.at: one.mean_kw for one in metered_slots(db, begins, minute)}
    sign = 1.0 if programme.direction == "shed" else -1.0
    found = []
    for at in begins:
        base_kw, kw = baseline[slot_begin(at, programme.slot)], metered.get(at)
        found.append(DeliveredMinute(at, base_kw, kw, None if kw is None else sign * (base_kw - kw)))
    return tuple(found)


def settled_by(programme: ProgrammeSection, event: DrAnswered, metered: Iterable[MeteredSlot]) -> DrSettlement:
    """An accepted event settled from metered slots. Raises ValueError where there is no offer, or another baseline."""
    (span,) = spans((event,))
    return settle(programme, span, event.offered_kw or 0.0, metered, event.baseline_kw)


def reference_slots(event: EventSpan, slot: timedelta, days: int, zone: tzinfo) -> list[datetime]:
    """The same local slots on so many days before an event."""
    local = [at.astimezone(zone).replace(tzinfo=None) for at in event.slots(slot)]
    return [(at - timedelta(days=back)).replace(tzinfo=zone) for back in range(1, days + 1) for at in local]
