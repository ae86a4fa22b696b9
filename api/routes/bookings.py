"""Bookings: a promise of a swap in a time window."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import AnyDoors, IdempotencyKey
from api.problems import declared
from api.schemas import BookingIn
from swap.commerce.bookings import cancel_booking, make_booking
from swap.reading.lists import get_booking, list_bookings
from swap.reading.records import BookingRecord, Page

router = APIRouter(prefix="/bookings", tags=["bookings"])


@router.post("", status_code=201, responses=declared(400, 404, 409, 422))
def book(body: BookingIn, doors: AnyDoors, idempotency_key: IdempotencyKey = None) -> BookingRecord:
    """Book a swap. Repeated with the same key it gives the same booking."""
    doors.own_station(body.station_id)
    with doors.writing() as db:
        return make_booking(
            db,
            doors.config,
            vehicle_id=body.vehicle_id,
            window_start_at=body.window_start_at,
            window_end_at=body.window_end_at,
            at=doors.clock.now(),
            idempotency_key=idempotency_key,
        )


@router.get("", responses=declared(422))
def bookings(
    doors: AnyDoors,
    status: Annotated[str | None, Query(max_length=16)] = None,
    vehicle_id: Annotated[str | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[BookingRecord]:
    """Bookings by the start of their window, latest first."""
    with doors.reading() as db:
        return list_bookings(db, doors.station_id, status=status, vehicle_id=vehicle_id, limit=limit, cursor=cursor)


@router.get("/{booking_id}", responses=declared(404))
def booking(booking_id: str, doors: AnyDoors) -> BookingRecord:
    """One booking."""
    with doors.reading() as db:
        return get_booking(db, doors.station_id, booking_id)


@router.delete("/{booking_id}", responses=declared(404, 409))
def cancel(booking_id: str, doors: AnyDoors) -> BookingRecord:
    """Cancel a booking that no truck has used. Cancelling it again changes nothing."""
    with doors.writing() as db:
        return cancel_booking(db, doors.config, booking_id, at=doors.clock.now())
