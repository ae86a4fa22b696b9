"""Standing bookings: a rule that books the same window on certain weekdays, as far ahead as bookings reach.

Days and times are those of the station's zone. A time that a day does not have, because clocks are put forward, is
moved by as much (02:30 becomes 03:30); one that a day has twice is the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from sqlmodel import col, select

from swap.commerce.bookings.keeping import disrupt
from swap.commerce.bookings.outlook import promise_view, promised_demands
from swap.commerce.bookings.rules import Promise, Why, promise
from swap.commerce.bookings.states import COMING, BookingTrigger
from swap.commerce.bookings.store import MACHINE, StandingDay, add_booking, end_booking
from swap.commerce.bookings.wanted import Wanted, check_apart, demand_for, served_model
from swap.commerce.errors import BookingNotUsable, BookingOpen
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput, NotEntitled, NotFound
from swap.ids import new_id
from swap.messages.commerce import BookingRefused, StandingChanged, StandingEnded, StandingMade
from swap.reading.bookings import get_standing
from swap.reading.records import StandingRecord
from swap.rights import EVERYBODY, SwapRights, ask_right
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Booking, StandingBooking
from swap.words import N_

ACTIVE, ENDED = "active", "ended"


@dataclass(frozen=True, slots=True)
class Rule:
    """When a standing booking books, and what."""

    vehicle_id: str
    weekdays: tuple[int, ...]
    """1 Monday … 7 Sunday."""
    local_time: time
    window_min: int
    starts_on: date
    ends_on: date | None = None
    """The last day; None: until it is ended."""
    exceptions: tuple[date, ...] = ()
    kinds: tuple[str, ...] = ()
    packs: int | None = None
    min_kwh: float = 0.0


def begins_at(day: date, local_time: time, zone: ZoneInfo) -> datetime:
    """The instant of a local time on a day."""
    return datetime.combine(day, local_time, tzinfo=zone).astimezone(UTC)


def days_due(
    *,
    weekdays: Sequence[int],
    first: date,
    ends_on: date | None,
    exceptions: Sequence[date],
    local_time: time,
    window_min: int,
    zone: ZoneInfo,
    until_at: datetime,
) -> Iterator[tuple[date, datetime, datetime]]:
    """Days from `first` on whose window ends by an instant, with the window. Pure."""
    day = first
    while ends_on is None or day <= ends_on:
        start_at = begins_at(day, local_time, zone)
        end_at = start_at + timedelta(minutes=window_min)
        if end_at > until_at:
            return
        if day.isoweekday() in weekdays and day not in exceptions:
            yield day, start_at, end_at
        day += timedelta(days=1)


def make_standing(
    db: StationDb,
    config: StationConfig,
    rule: Rule,
    *,
    at: datetime,
    actor: str = "api",
    rights: SwapRights = EVERYBODY,
) -> StandingRecord:
    """Keep a rule, and book what lies within the horizon.

    Raises:
        InvalidInput: no weekdays, a window that cannot be booked, an end before the start, kinds or packs that the
            vehicle's model cannot have.
        NotFound, NotServed, NotEntitled: as for one booking.
    """
    model = served_model(db, config, rule.vehicle_id)
    ask_right(rights, db, rule.vehicle_id, db.station_id, at)
    rules = config.bookings
    if not rule.weekdays or not set(rule.weekdays) <= set(range(1, 8)):
        raise InvalidInput("weekdays", list(rule.weekdays), N_("one or more of 1 (Monday) … 7 (Sunday)"))
    if not rules.min_window_min <= rule.window_min <= rules.max_window_min:
        raise InvalidInput(
            "window_min",
            rule.window_min,
            N_("{least_min}…{most_min} min"),
            least_min=rules.min_window_min,
            most_min=rules.max_window_min,
        )
    _check_end(rule.starts_on, rule.ends_on)
    wanted = Wanted(rule.vehicle_id, at, at + timedelta(minutes=rule.window_min), rule.kinds, rule.packs, rule.min_kwh)
    demand = demand_for(config, promise_view(db, config, at), model, wanted, 0)
    row = StandingBooking(
        id=new_id("sb", at),
        station_id=db.station_id,
        vehicle_id=rule.vehicle_id,
        weekdays=sorted(set(rule.weekdays)),
        local_time=f"{rule.local_time:%H:%M}",
        window_min=rule.window_min,
        kinds=sorted(demand.kinds),
        packs=demand.packs,
        min_kwh=rule.min_kwh,
        starts_on=rule.starts_on.isoformat(),
        ends_on=None if rule.ends_on is None else rule.ends_on.isoformat(),
        exceptions=sorted(day.isoformat() for day in set(rule.exceptions)),
        created_at=at,
    )
    db.add(row)
    db.append(
        StandingMade(
            standing_id=row.id,
            vehicle_id=row.vehicle_id,
            weekdays=tuple(row.weekdays),
            local_time=row.local_time,
            window_min=row.window_min,
            kinds=tuple(row.kinds),
            packs=row.packs,
            min_kwh=row.min_kwh,
            starts_on=row.starts_on,
            ends_on=row.ends_on,
            exceptions=tuple(row.exceptions),
        ),
        at=at,
        actor=actor,
    )
    tuple(_book_due(db, config, row, at, rights))
    return get_standing(db, row.id)


def _check_end(starts_on: date, ends_on: date | None) -> None:
    if ends_on is not None and ends_on < starts_on:
        raise InvalidInput("ends_on", ends_on.isoformat(), N_("{starts_on} or later"), starts_on=starts_on.isoformat())


def change_standing(
    db: StationDb,
    config: StationConfig,
    standing_id: str,
    *,
    at: datetime,
    exceptions: tuple[date, ...] | None = None,
    ends_on: date | None = None,
    actor: str = "api",
) -> StandingRecord:
    """Leave days out, or set the last day; what was booked for days that go is cancelled.

    Raises:
        NotFound: no such standing booking.
        BookingNotUsable: it has ended.
        InvalidInput: it would end before it starts.
    """
    row = _standing(db, standing_id)
    _check_active(row)
    if ends_on is not None:
        _check_end(date.fromisoformat(row.starts_on), ends_on)
        row.ends_on = ends_on.isoformat()
    if exceptions is not None:
        row.exceptions = sorted(day.isoformat() for day in set(exceptions))
    db.append(
        StandingChanged(standing_id=row.id, ends_on=row.ends_on, exceptions=tuple(row.exceptions)), at=at, actor=actor
    )
    for booking in _coming(db, row):
        day = booking.standing_on or ""
        if day in row.exceptions or (row.ends_on is not None and day > row.ends_on):
            end_booking(db, booking, BookingTrigger.CANCEL, at, "left out of the standing booking", actor)
    return get_standing(db, row.id)


def end_standing(db: StationDb, standing_id: str, *, at: datetime, actor: str = "api") -> StandingRecord:
    """Book no more, and cancel what it has booked and nobody has used. Ending again changes nothing.

    Raises:
        NotFound: no such standing booking.
    """
    row = _standing(db, standing_id)
    if row.status == ACTIVE:
        _end(db, row, at, "ended", actor)
        for booking in _coming(db, row):
            end_booking(db, booking, BookingTrigger.CANCEL, at, "the standing booking was ended", actor)
    return get_standing(db, row.id)


AT_ONCE = 1
"""Days of standing bookings that one transaction books: the controller waits meanwhile."""


def book_standing(
    db: StationDb, config: StationConfig, at: datetime, *, rights: SwapRights = EVERYBODY, most: int | None = None
) -> tuple[str, ...]:
    """Book for every rule what has come within the horizon, so many days at most; the ids of the bookings."""
    rows = db.exec(select(StandingBooking).where(StandingBooking.status == ACTIVE).order_by(col(StandingBooking.id)))
    booked = (booking_id for row in rows.all() for booking_id in _book_due(db, config, row, at, rights))
    return tuple(booking_id for booking_id in islice(booked, most) if booking_id is not None)


def book_ahead(store: Store, config: StationConfig, at: datetime, rights: SwapRights = EVERYBODY) -> tuple[str, ...]:
    """The same where something is due, which is looked at in a read session first."""
    made: tuple[str, ...] = ()
    while True:
        with store.reading_station(config.station.id) as db:
            due = standing_due(db, config, at)
        if not due:
            return made
        with store.station(config.station.id) as db:
            made += book_standing(db, config, at, rights=rights, most=AT_ONCE)


def standing_due(db: StationDb, config: StationConfig, at: datetime) -> bool:
    """Whether a rule has something to book or has come to its end; reads only."""
    rows = db.exec(select(StandingBooking).where(StandingBooking.status == ACTIVE)).all()
    return any(_over(config, row, at) or next(_due(config, row, at), None) is not None for row in rows)


def _due(config: StationConfig, row: StandingBooking, at: datetime) -> Iterator[tuple[date, datetime, datetime]]:
    zone = ZoneInfo(config.station.timezone)
    first = max(date.fromisoformat(row.starts_on), at.astimezone(zone).date())
    if row.made_until is not None:
        first = max(first, date.fromisoformat(row.made_until) + timedelta(days=1))
    return days_due(
        weekdays=row.weekdays,
        first=first,
        ends_on=None if row.ends_on is None else date.fromisoformat(row.ends_on),
        exceptions=[date.fromisoformat(day) for day in row.exceptions],
        local_time=time.fromisoformat(row.local_time),
        window_min=row.window_min,
        zone=zone,
        until_at=at + timedelta(hours=config.bookings.horizon_h),
    )


def _over(config: StationConfig, row: StandingBooking, at: datetime) -> bool:
    today = at.astimezone(ZoneInfo(config.station.timezone)).date()
    return row.ends_on is not None and date.fromisoformat(row.ends_on) < today


def _book_due(
    db: StationDb, config: StationConfig, row: StandingBooking, at: datetime, rights: SwapRights
) -> Iterator[str | None]:
    """Book a rule's days one by one; None for one that was not booked."""
    if _over(config, row, at):
        _end(db, row, at, "its last day has passed", MACHINE)
        return
    for day, start_at, end_at in list(_due(config, row, at)):
        row.made_until = day.isoformat()
        if start_at < at:
            continue
        yield _book_day(db, config, row, day, start_at, end_at, at, rights)


def _book_day(
    db: StationDb,
    config: StationConfig,
    row: StandingBooking,
    day: date,
    start_at: datetime,
    end_at: datetime,
    at: datetime,
    rights: SwapRights,
) -> str | None:
    """Book one day. What cannot be promised is booked all the same and told as broken: it gets what becomes free."""
    wanted = Wanted(row.vehicle_id, start_at, end_at, tuple(row.kinds), row.packs, row.min_kwh)
    model = served_model(db, config, row.vehicle_id)
    view = promise_view(db, config, at)
    priority = rights.terms(db, row.vehicle_id, db.station_id, start_at).priority
    demand = demand_for(config, view, model, wanted, priority)
    try:
        ask_right(rights, db, row.vehicle_id, db.station_id, start_at)
        check_apart(db, config, row.vehicle_id, start_at, end_at)
    except (NotEntitled, BookingOpen) as error:
        why = Why.NOT_ENTITLED if isinstance(error, NotEntitled) else Why.OTHER_BOOKING
        db.append(
            BookingRefused(
                vehicle_id=row.vehicle_id,
                window_start_at=start_at,
                window_end_at=end_at,
                kinds=tuple(row.kinds),
                packs=row.packs,
                min_kwh=row.min_kwh,
                priority=priority,
                reason=why.value,
            ),
            at=at,
            actor=MACHINE,
        )
        return None
    found = promise(view, promised_demands(db, config, view, asker=row.vehicle_id), demand)
    standing = StandingDay(row.id, day.isoformat())
    booking = add_booking(db, view, wanted, demand, at=at, actor=MACHINE, standing=standing)
    if not isinstance(found, Promise):
        disrupt(db, config, db.get_one(Booking, booking.booking_id), model, found.why, at)
    return booking.booking_id


def _end(db: StationDb, row: StandingBooking, at: datetime, reason: str, actor: str) -> None:
    row.status = ENDED
    db.append(StandingEnded(standing_id=row.id, reason=reason), at=at, actor=actor)


def _coming(db: StationDb, row: StandingBooking) -> Sequence[Booking]:
    query = select(Booking).where(Booking.standing_id == row.id, col(Booking.status).in_(COMING))
    return db.exec(query.order_by(col(Booking.window_start_at))).all()


def _check_active(row: StandingBooking) -> None:
    if row.status != ACTIVE:
        raise BookingNotUsable(N_("standing booking {standing_id} has ended"), {"standing_id": row.id})


def _standing(db: StationDb, standing_id: str) -> StandingBooking:
    row = db.get(StandingBooking, standing_id)
    if row is None or row.station_id != db.station_id:
        raise NotFound("standing booking", standing_id)
    return row
