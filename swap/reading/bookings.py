"""Standing bookings as records; single bookings are in `lists`."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import col, select

from swap.errors import NotFound
from swap.paging import Order, between, cut
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
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[StandingRecord]:
    """Standing bookings, the newest first; made from an instant and before another."""
    made_at = col(StandingBooking.created_at)
    query = select(StandingBooking).where(
        StandingBooking.station_id == db.station_id, *between(made_at, from_at, to_at)
    )
    if vehicle_id is not None:
        query = query.where(StandingBooking.vehicle_id == vehicle_id)
    if status is not None:
        query = query.where(StandingBooking.status == status)
    query = Order(col(StandingBooking.id), made_at).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.created_at)
    return Page(items=tuple(_record(row) for row in rows), next_cursor=following)


def _record(row: StandingBooking) -> StandingRecord:
    return StandingRecord.of(row, standing_id=row.id)
