"""Which demand-response limit holds at an instant, and until when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from scheduler.site import DrEventSection

_DAY = timedelta(days=1)


def limit_at(events: Sequence[DrEventSection], at: datetime, zone: tzinfo) -> tuple[float | None, datetime]:
    """The lowest limit of the events that run, kW, and when the next of them begins or ends: a day on at the latest.

    Args:
        at: aware.
        zone: local time of the site, in which the events are written.
    """
    local, limits_kw, change_at = at.astimezone(zone), [], at.astimezone(UTC) + _DAY
    for event in events:
        # An event of yesterday may still run, one of tomorrow may be the next to begin.
        for days in (-1, 0, 1):
            day = local + days * _DAY
            begin_at, end_at = event_on(event, day)
            if not _is_called(event, day.date()) or end_at <= at:
                continue
            if begin_at <= at:
                limits_kw.append(event.limit_kw)
            change_at = min(change_at, end_at if begin_at <= at else begin_at)
    return min(limits_kw, default=None), change_at


def _is_called(event: DrEventSection, day: date) -> bool:
    return day == event.on if event.on is not None else day.month in event.months


def changes_between(
    events: Sequence[DrEventSection], from_at: datetime, until_at: datetime, zone: tzinfo
) -> list[datetime]:
    """Instants after `from_at` and before `until_at` at which an event begins or ends."""
    found: list[datetime] = []
    at = from_at.astimezone(UTC)
    while events and at < until_at:
        # Where nothing changes within a day the search only goes on from there.
        at = limit_at(events, at, zone)[1]
        found.append(at)
    return [at for at in found if at < until_at]


def event_on(event: DrEventSection, day: datetime) -> tuple[datetime, datetime]:
    """Begin and end, in UTC, of a demand-response event on a local day."""
    begin = datetime.combine(day.date(), time(), day.tzinfo) + timedelta(minutes=round(event.from_hour * 60))
    begin_at = begin.astimezone(UTC)
    return begin_at, begin_at + timedelta(minutes=max(round(event.hours * 60), 1))
