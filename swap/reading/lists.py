"""Lists over time, page by page: swaps, events, bookings, bills, faults. Rows do not leave this room."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from decimal import Decimal

from sqlmodel import and_, col, func, or_, select

from swap.errors import InvalidInput, NotFound
from swap.places import local_name
from swap.reading.now import fault_record
from swap.reading.records import (
    BillLineRecord,
    BillRecord,
    BookingRecord,
    EventRecord,
    FaultRecord,
    Page,
    SeatRecord,
    SwapStory,
)
from swap.register.persons import shown_actor, shown_text
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import (
    Bill,
    BillLine,
    Booking,
    FaultRow,
    StationEvent,
    Swap,
    SwapSeat,
    VehicleRow,
)


def make_cursor(at: datetime, key: str) -> str:
    """An opaque position in a list ordered by time and id."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{key}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """The time and id of a cursor. Raises InvalidInput for one that this program did not make."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        at, _, key = text.partition("|")
        moment = datetime.fromisoformat(at)
    except (binascii.Error, ValueError):
        moment, key = None, ""
    if moment is None or moment.tzinfo is None:
        raise InvalidInput("cursor", cursor, "the next_cursor of an earlier answer")
    return moment, key


def list_swaps(
    db: StationDb,
    station_id: str,
    *,
    state: str | None = None,
    vehicle_id: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[SwapStory]:
    """Swaps, the newest arrival first. `state` is a state of the session table, or "open" or "ended"."""
    query = (
        select(Swap, VehicleRow.fleet_id)
        .join(VehicleRow, col(VehicleRow.id) == col(Swap.vehicle_id))
        .where(Swap.station_id == station_id)
        .order_by(col(Swap.arrived_at).desc(), col(Swap.id).desc())
        .limit(limit + 1)
    )
    if state == "open":
        query = query.where(col(Swap.ended_at).is_(None))
    elif state == "ended":
        query = query.where(col(Swap.ended_at).is_not(None))
    elif state is not None:
        query = query.where(Swap.state == state)
    if vehicle_id is not None:
        query = query.where(Swap.vehicle_id == vehicle_id)
    if cursor is not None:
        at, key = read_cursor(cursor)
        query = query.where(or_(col(Swap.arrived_at) < at, and_(col(Swap.arrived_at) == at, col(Swap.id) < key)))
    rows = db.exec(query).all()
    more = len(rows) > limit
    rows = rows[:limit]
    last = rows[-1][0] if rows else None
    return Page(
        items=_stories(db, station_id, [(swap, fleet) for swap, fleet in rows], timelines=True),
        next_cursor=make_cursor(last.arrived_at, last.id) if more and last is not None else None,
    )


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
    return tuple(
        SwapStory.of(
            swap,
            swap_id=swap.id,
            fleet_id=fleet,
            end_reason=shown_text(db, swap.end_reason),
            seats=seats.get(swap.id, ()),
            bills=bills.get(swap.id, ()),
            timeline=told.get(swap.id, ()),
        )
        for swap, fleet in rows
    )


def _timelines(db: StationDb, swap_ids: list[str]) -> dict[str, list[EventRecord]]:
    query = select(StationEvent).where(col(StationEvent.swap_id).in_(swap_ids)).order_by(col(StationEvent.seq))
    told: dict[str, list[EventRecord]] = {}
    for row in db.exec(query):
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
        found[row.swap_id] = (*found.get(row.swap_id, ()), _bill(row, lines.get(row.id, ())))
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
            basis={key: shown_text(db, value) if isinstance(value, str) else value for key, value in row.basis.items()},
        )
        found[row.bill_id] = (*found.get(row.bill_id, ()), record)
    return found


def _bill(row: Bill, lines: tuple[BillLineRecord, ...]) -> BillRecord:
    return BillRecord.of(
        row,
        bill_id=row.id,
        total_yuan=Decimal(row.total_fen).scaleb(-2),
        flags=tuple(flag for flag in row.flags.split(",") if flag),
        lines=lines,
    )


def list_bills(
    db: StationDb, station_id: str, *, payer_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> Page[BillRecord]:
    """Bills, newest first, all or those of one payer."""
    query = (
        select(Bill)
        .join(Swap, col(Swap.id) == col(Bill.swap_id))
        .where(Swap.station_id == station_id)
        .order_by(col(Bill.issued_at).desc(), col(Bill.id).desc())
        .limit(limit + 1)
    )
    if payer_id is not None:
        query = query.where(Bill.payer_id == payer_id)
    if cursor is not None:
        at, key = read_cursor(cursor)
        query = query.where(or_(col(Bill.issued_at) < at, and_(col(Bill.issued_at) == at, col(Bill.id) < key)))
    rows = list(db.exec(query))
    more = len(rows) > limit
    rows = rows[:limit]
    lines = _lines(db, [row.id for row in rows])
    return Page(
        items=tuple(_bill(row, lines.get(row.id, ())) for row in rows),
        next_cursor=make_cursor(rows[-1].issued_at, rows[-1].id) if more else None,
    )


def get_bill(db: StationDb, station_id: str, bill_id: str) -> BillRecord:
    """One bill. Raises NotFound."""
    row = db.exec(
        select(Bill)
        .join(Swap, col(Swap.id) == col(Bill.swap_id))
        .where(Swap.station_id == station_id, Bill.id == bill_id)
    ).first()
    if row is None:
        raise NotFound("bill", bill_id)
    return _bill(row, _lines(db, [bill_id]).get(bill_id, ()))


def _event(db: StationDb, row: StationEvent) -> EventRecord:
    bay_id = None if row.bay_id is None else local_name(row.station_id, row.bay_id)
    return EventRecord.of(
        row,
        actor=shown_actor(db, row.actor),
        actor_id=row.actor,
        event_id=row.seq,
        cause_id=row.cause_seq,
        bay_id=bay_id,
    )


def latest_event_at(store: Store, station_id: str) -> datetime | None:
    """Instant of the newest event of a station; None where there is none."""
    with store.reading_station(station_id) as db:
        query = select(func.max(StationEvent.at)).where(StationEvent.station_id == station_id)
        at: datetime | None = db.exec(query).one()
    return at


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
) -> Page[EventRecord]:
    """Events in their order, from the one after id `after`; the cursor is the last id given."""
    query = (
        select(StationEvent)
        .where(StationEvent.station_id == station_id, col(StationEvent.seq) > after)
        .order_by(col(StationEvent.seq))
        .limit(limit + 1)
    )
    for column, value in (
        (StationEvent.kind, kind),
        (StationEvent.swap_id, swap_id),
        (StationEvent.pack_id, pack_id),
    ):
        if value is not None:
            query = query.where(col(column) == value)
    rows = list(db.exec(query))
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(items=tuple(_event(db, row) for row in rows), next_cursor=str(rows[-1].seq) if more else None)


def _booking(row: Booking) -> BookingRecord:
    return BookingRecord.of(row, booking_id=row.id)


def list_bookings(
    db: StationDb,
    station_id: str,
    *,
    status: str | None = None,
    vehicle_id: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[BookingRecord]:
    """Bookings by the start of their window, latest first."""
    query = (
        select(Booking)
        .where(Booking.station_id == station_id)
        .order_by(col(Booking.window_start_at).desc(), col(Booking.id).desc())
        .limit(limit + 1)
    )
    if status is not None:
        query = query.where(Booking.status == status)
    if vehicle_id is not None:
        query = query.where(Booking.vehicle_id == vehicle_id)
    if cursor is not None:
        at, key = read_cursor(cursor)
        start = col(Booking.window_start_at)
        query = query.where(or_(start < at, and_(start == at, col(Booking.id) < key)))
    rows = list(db.exec(query))
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        items=tuple(_booking(row) for row in rows),
        next_cursor=make_cursor(rows[-1].window_start_at, rows[-1].id) if more else None,
    )


def get_booking(db: StationDb, station_id: str, booking_id: str) -> BookingRecord:
    """One booking. Raises NotFound."""
    row = db.get(Booking, booking_id)
    if row is None or row.station_id != station_id:
        raise NotFound("booking", booking_id)
    return _booking(row)


def list_faults(
    db: StationDb, station_id: str, *, only_open: bool = False, limit: int = 100
) -> tuple[FaultRecord, ...]:
    """Faults, newest first; all or those not cleared."""
    query = (
        select(FaultRow)
        .where(FaultRow.station_id == station_id)
        .order_by(col(FaultRow.raised_at).desc(), col(FaultRow.id).desc())
        .limit(limit)
    )
    if only_open:
        query = query.where(col(FaultRow.cleared_at).is_(None))
    return tuple(fault_record(db, row) for row in db.exec(query))
