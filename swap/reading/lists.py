"""Lists over time, page by page: swaps, events, bookings, bills, faults, power. Rows do not leave this room."""

from __future__ import annotations

import functools
from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, literal
from sqlalchemy import select as sql_select
from sqlalchemy.orm import aliased
from sqlmodel import col, func, or_, select

from swap.errors import NotFound
from swap.identity.view import rows_seen, sees_part
from swap.paging import Listing, Order, between, cut, number_in
from swap.places import local_name
from swap.reading.now import fault_record, get_station, published, swap_waits_for
from swap.reading.records import (
    BillLineRecord,
    BillRecord,
    BookingRecord,
    EventRecord,
    FaultRecord,
    Page,
    SeatRecord,
    SiteRecord,
    SwapStory,
)
from swap.reading.samples import sampled_until
from swap.register.persons import actor_kind, shown_actor, shown_text
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import (
    Bill,
    BillLine,
    Booking,
    FaultRow,
    SiteSample,
    StationEvent,
    Swap,
    SwapSeat,
    VehicleRow,
)

_BOOKING_FIELDS = tuple(BookingRecord.model_fields)
_BOOKINGS = Listing(
    sql_select(*BookingRecord.columns(Booking, booking_id="id")).where(col(Booking.station_id) == bindparam("station")),
    Order(col(Booking.id), col(Booking.window_start_at)),
    {
        "from_at": col(Booking.window_start_at) >= bindparam("from_at"),
        "to_at": col(Booking.window_start_at) < bindparam("to_at"),
        "status": col(Booking.status) == bindparam("status"),
        "vehicle_id": col(Booking.vehicle_id) == bindparam("vehicle_id"),
    },
)


def list_swaps(
    db: StationDb,
    station_id: str,
    *,
    state: str | None = None,
    vehicle_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
    timelines: bool = False,
) -> Page[SwapStory]:
    """Swaps, the newest arrival first.

    Args:
        state: a state of the session table, or "open" or "ended".
        from_at: first arrival.
        to_at: arrivals before this.
        timelines: with the events of each.
    """
    query = (
        select(Swap, VehicleRow.fleet_id)
        .join(VehicleRow, col(VehicleRow.id) == col(Swap.vehicle_id))
        .where(Swap.station_id == station_id, *between(col(Swap.arrived_at), from_at, to_at))
    )
    if state == "open":
        query = query.where(col(Swap.ended_at).is_(None))
    elif state == "ended":
        query = query.where(col(Swap.ended_at).is_not(None))
    elif state is not None:
        query = query.where(Swap.state == state)
    if vehicle_id is not None:
        query = query.where(Swap.vehicle_id == vehicle_id)
    query = Order(col(Swap.id), col(Swap.arrived_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row[0].id, lambda row: row[0].arrived_at)
    items = _stories(db, station_id, [(swap, fleet) for swap, fleet in rows], timelines=timelines)
    return Page(items=items, next_cursor=following)


def latest_ended(db: StationDb, station_id: str, limit: int = 8) -> tuple[SwapStory, ...]:
    """The swaps that ended last, newest first."""
    rows = db.exec(
        select(Swap, VehicleRow.fleet_id)
        .join(VehicleRow, col(VehicleRow.id) == col(Swap.vehicle_id))
        .where(Swap.station_id == station_id, col(Swap.ended_at).is_not(None))
        .order_by(col(Swap.ended_at).desc(), col(Swap.id).desc())
        .limit(limit)
    ).all()
    return _stories(db, station_id, [(swap, fleet) for swap, fleet in rows])


def _stories(
    db: StationDb, station_id: str, rows: list[tuple[Swap, str]], *, timelines: bool = False
) -> tuple[SwapStory, ...]:
    ids = [swap.id for swap, _ in rows]
    seats = _seats(db, station_id, ids)
    bills = _bills_by_swap(db, ids)
    told = _timelines(db, ids) if timelines else {}
    ended = all(swap.ended_at is not None for swap, _ in rows)
    waiting = {} if ended else published(db, get_station(db, station_id))
    starts_at: dict[str, str] = waiting.get("start_at", {})
    return tuple(
        SwapStory.of(
            swap,
            swap_id=swap.id,
            fleet_id=fleet,
            end_reason=shown_text(db, swap.end_reason),
            seats=seats.get(swap.id, ()),
            bills=bills.get(swap.id, ()),
            timeline=told.get(swap.id, ()),
            waits_for=swap_waits_for(waiting, swap),
            estimated_start_at=_instant(starts_at.get(swap.id)) if swap.dispatched_at is None else None,
        )
        for swap, fleet in rows
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _timelines(db: StationDb, swap_ids: list[str]) -> dict[str, list[EventRecord]]:
    # Sorted here: asked for in the order of the journal, all of the journal would be read.
    query = select(StationEvent).where(col(StationEvent.swap_id).in_(swap_ids))
    told: dict[str, list[EventRecord]] = {}
    for row in sorted(db.exec(query), key=lambda row: row.seq):
        told.setdefault(row.swap_id or "", []).append(_event(db, row))
    return told


def get_swap(db: StationDb, station_id: str, swap_id: str) -> SwapStory:
    """One swap with everything that is known of it. Raises NotFound."""
    row = db.exec(
        select(Swap, VehicleRow.fleet_id)
        .join(VehicleRow, col(VehicleRow.id) == col(Swap.vehicle_id))
        .where(Swap.station_id == station_id, Swap.id == swap_id)
    ).first()
    if row is None:
        raise NotFound("swap", swap_id)
    return _stories(db, station_id, [(row[0], row[1])], timelines=True)[0]


def _seats(db: StationDb, station_id: str, swap_ids: list[str]) -> dict[str, tuple[SeatRecord, ...]]:
    found: dict[str, tuple[SeatRecord, ...]] = {}
    rows = db.exec(
        select(SwapSeat).where(col(SwapSeat.swap_id).in_(swap_ids)).order_by(SwapSeat.swap_id, col(SwapSeat.seat))
    )
    for row in rows:
        record = SeatRecord.of(
            row,
            old_bay_id=None if row.old_bay_id is None else local_name(station_id, row.old_bay_id),
            new_bay_id=None if row.new_bay_id is None else local_name(station_id, row.new_bay_id),
        )
        found[row.swap_id] = (*found.get(row.swap_id, ()), record)
    return found


def _bills_by_swap(db: StationDb, swap_ids: list[str]) -> dict[str, tuple[BillRecord, ...]]:
    found: dict[str, tuple[BillRecord, ...]] = {}
    rows = db.exec(select(Bill).where(col(Bill.swap_id).in_(swap_ids)).order_by(col(Bill.issued_at), Bill.id)).all()
    lines = _lines(db, [row.id for row in rows])
    for row in rows:
        found[row.swap_id] = (*found.get(row.swap_id, ()), _bill(db, row, lines.get(row.id, ())))
    return found


def _lines(db: StationDb, bill_ids: list[str]) -> dict[str, tuple[BillLineRecord, ...]]:
    found: dict[str, tuple[BillLineRecord, ...]] = {}
    rows = db.exec(
        select(BillLine).where(col(BillLine.bill_id).in_(bill_ids)).order_by(BillLine.bill_id, col(BillLine.line_no))
    )
    for row in rows:
        record = BillLineRecord.of(
            row,
            energy_kwh=Decimal(row.energy_centi_kwh).scaleb(-2),
            unit_price_yuan_per_kwh=Decimal(row.unit_price_1e4_yuan).scaleb(-4),
            amount_yuan=Decimal(row.amount_fen).scaleb(-2),
            tax_rate=Decimal(row.tax_rate_bp).scaleb(-4),
            tax_yuan=Decimal(row.tax_fen).scaleb(-2),
            prices_event_id=row.prices_seq,
            basis={key: shown_text(db, value) if isinstance(value, str) else value for key, value in row.basis.items()},
        )
        found[row.bill_id] = (*found.get(row.bill_id, ()), record)
    return found


def _bill(db: StationDb, row: Bill, lines: tuple[BillLineRecord, ...]) -> BillRecord:
    # Who sees but the lines that are paid to it is not told the sum of the others.
    own = sum((line.amount_yuan for line in lines), Decimal(0))
    return BillRecord.of(
        row,
        bill_id=row.id,
        total_yuan=own if sees_part(db) else Decimal(row.total_fen).scaleb(-2),
        flags=tuple(flag for flag in row.flags.split(",") if flag),
        lines=lines,
    )


def list_bills(
    db: StationDb,
    *,
    payer_id: str | None = None,
    flags: Collection[str] | None = None,
    only_open: bool = False,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[BillRecord]:
    """Bills, newest first, all or those of one payer, issued from an instant and before another.

    Args:
        flags: only those with one of these.
        only_open: only bills of swaps that nobody has reversed or corrected.
    """
    # The session narrows bills to the station's: a join would have the day's swaps read and sorted.
    query = select(Bill).where(*between(col(Bill.issued_at), from_at, to_at))
    if payer_id is not None:
        query = query.where(Bill.payer_id == payer_id)
    if flags is not None:
        all_flags = literal(",").concat(col(Bill.flags)).concat(",")
        query = query.where(or_(*(all_flags.contains(f",{flag},", autoescape=True) for flag in sorted(flags))))
    if only_open:
        reversal = aliased(Bill)
        answered = select(reversal.id).where(reversal.swap_id == Bill.swap_id, reversal.kind == "reversal")
        query = query.where(Bill.kind == "swap", ~answered.exists())
    query = Order(col(Bill.id), col(Bill.issued_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.issued_at)
    lines = _lines(db, [row.id for row in rows])
    return Page(items=tuple(_bill(db, row, lines.get(row.id, ())) for row in rows), next_cursor=following)


def get_bill(db: StationDb, station_id: str, bill_id: str) -> BillRecord:
    """One bill. Raises NotFound."""
    row = db.exec(select(Bill).where(Bill.station_id == station_id, Bill.id == bill_id)).first()
    if row is None:
        raise NotFound("bill", bill_id)
    return _bill(db, row, _lines(db, [bill_id]).get(bill_id, ()))


def _event(db: StationDb, row: StationEvent) -> EventRecord:
    bay_id = None if row.bay_id is None else local_name(row.station_id, row.bay_id)
    return EventRecord.of(
        row,
        actor=shown_actor(db, row.actor),
        actor_kind=actor_kind(row.actor),
        actor_id=row.actor,
        event_id=row.seq,
        cause_id=row.cause_seq,
        bay_id=bay_id,
    )


def latest_at(store: Store, station_id: str) -> datetime | None:
    """Instant of the newest event of a station, or of the newest sample of its power where that is later: a station
    without trucks tells no event for hours. None where there is none of both."""
    with store.reading_station(station_id) as db:
        newest, sampled_at = db.newest_event(), sampled_until(db)
        return max((at for at in (None if newest is None else newest.at, sampled_at) if at is not None), default=None)


def latest_event_id(store: Store, station_id: str) -> int:
    """Id of the newest event of a station, 0 where there is none."""
    with store.reading_station(station_id) as db:
        query = select(func.max(StationEvent.seq)).where(StationEvent.station_id == station_id)
        return db.exec(query).one() or 0


def list_events(
    db: StationDb,
    station_id: str,
    *,
    after: int = 0,
    limit: int = 100,
    kind: str | None = None,
    swap_id: str | None = None,
    pack_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    cursor: str | None = None,
) -> Page[EventRecord]:
    """Events in their order, from the one after id `after`."""
    query = select(StationEvent)
    if cursor is not None:
        after = max(after, number_in(cursor))
    if from_at is not None:
        first = _seq_at(db, from_at, newest=False)
        if first is None:
            return Page(items=())
        after = max(after, first - 1)
    if to_at is not None:
        last = _seq_at(db, to_at, newest=True)
        if last is None:
            return Page(items=())
        query = query.where(col(StationEvent.seq) <= last)
    query = query.where(StationEvent.station_id == station_id, col(StationEvent.seq) > after)
    for column, value in (
        (StationEvent.kind, kind),
        (StationEvent.swap_id, swap_id),
        (StationEvent.pack_id, pack_id),
    ):
        if value is not None:
            query = query.where(col(column) == value)
    query = query.where(*between(col(StationEvent.at), from_at, to_at))
    query = Order(col(StationEvent.seq), newest_first=False).page(query, limit, None)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.seq)
    return Page(items=tuple(_event(db, row) for row in rows), next_cursor=following)


APART = timedelta(hours=1)
"""Longest time by which the instants of two events may be in another order than their numbers, in a filter by time:
writers read the time before their turn, and station time runs backwards only where a person has looked at it."""


def _seq_at(db: StationDb, at: datetime, *, newest: bool) -> int | None:
    """The first event from an instant on, or the newest before it; None where there is none.

    By the index of instants, and of those only what is near: neither the journal before nor the one behind is read.
    """
    instant, seq = col(StationEvent.at), col(StationEvent.seq)
    beyond = instant < at if newest else instant >= at
    order = (instant.desc(), seq.desc()) if newest else (instant, seq)
    nearest_at = db.exec(select(StationEvent.at).where(beyond).order_by(*order).limit(1)).first()
    if nearest_at is None:
        return None
    end = instant > nearest_at - APART if newest else instant < nearest_at + APART
    return db.exec(select(func.max(seq) if newest else func.min(seq)).where(beyond, end)).one()


def _booking(row: Booking) -> BookingRecord:
    return BookingRecord.of(row, booking_id=row.id)


def list_bookings(
    db: StationDb,
    station_id: str,
    *,
    status: str | None = None,
    vehicle_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[BookingRecord]:
    """Bookings by the start of their window, latest first; windows that start from an instant and before another."""
    query, values = _BOOKINGS.page(
        limit, cursor, station=station_id, from_at=from_at, to_at=to_at, status=status, vehicle_id=vehicle_id
    )
    found = rows_seen(db, query, values)
    rows, following = cut(found, limit, lambda row: row.booking_id, lambda row: row.window_start_at)
    # The kinds are a list of JSON.
    contents = (tuple(tuple(value) if type(value) is list else value for value in row) for row in rows)
    return Page[BookingRecord](items=tuple(map(_booking_of_columns, contents)), next_cursor=following)


@functools.lru_cache(maxsize=4096)
def _booking_of_columns(columns: tuple[Any, ...]) -> BookingRecord:
    """The record of a booking's row, once for each content: most change no more, and records do not change."""
    return BookingRecord(**dict(zip(_BOOKING_FIELDS, columns, strict=True)))


def get_booking(db: StationDb, station_id: str, booking_id: str) -> BookingRecord:
    """One booking. Raises NotFound."""
    row = db.get(Booking, booking_id)
    if row is None or row.station_id != station_id:
        raise NotFound("booking", booking_id)
    return _booking(row)


def list_faults(
    db: StationDb,
    *,
    only_open: bool = False,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[FaultRecord]:
    """Faults, newest first; all or those not cleared, raised from an instant and before another."""
    query = select(FaultRow).where(*between(col(FaultRow.raised_at), from_at, to_at))
    if only_open:
        query = query.where(col(FaultRow.cleared_at).is_(None))
    query = Order(col(FaultRow.id), col(FaultRow.raised_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.raised_at)
    return Page(items=tuple(fault_record(db, row) for row in rows), next_cursor=following)


def list_power(
    db: StationDb,
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[SiteRecord]:
    """Power samples, newest first, taken from an instant and before another."""
    query = select(SiteSample).where(*between(col(SiteSample.at), from_at, to_at))
    query = Order(col(SiteSample.id), col(SiteSample.at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.at)
    return Page(items=tuple(SiteRecord.of(row) for row in rows), next_cursor=following)
