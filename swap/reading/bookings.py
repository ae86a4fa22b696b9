"""Standing bookings as records; single bookings are in `lists`."""

from __future__ import annotations

from sqlmodel import col, select

from swap.errors import NotFound
from swap.reading.lists import make_cursor, read_cursor
from swap.reading.records import Page, StandingRecord
from swap.station_db import StationDb
from swap.tables import StandingBooking


def get_standing(db: StationDb, standing_id: str) -> StandingRecord:
    """One standing booking. Raises NotFound."""
    row = db.get(StandingBooking, standing_id)
    if row is None or row.station_id != db.station_id:
        raise NotFound("standing booking", standing_id)
    return _record(row)


def list_standing(
    db: StationDb,
    *,
    vehicle_id: str | None = None,
    status: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[StandingRecord]:
    """Standing bookings, the newest first."""
    query = (
        select(StandingBooking)
        .where(StandingBooking.station_id == db.station_id)
        .order_by(col(StandingBooking.id).desc())
        .limit(limit + 1)
    )
    if vehicle_id is not None:
        query = query.where(StandingBooking.vehicle_id == vehicle_id)
    if status is not None:
        query = query.where(StandingBooking.status == status)
    if cursor is not None:
        query = query.where(col(StandingBooking.id) < read_cursor(cursor)[1])
    rows = list(db.exec(query))
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        items=tuple(_record(row) for row in rows),
        next_cursor=make_cursor(rows[-1].created_at, rows[-1].id) if more else None,
    )


def _record(row: StandingBooking) -> StandingRecord:
    return StandingRecord.of(row, standing_id=row.id)
