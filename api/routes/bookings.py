"""Bookings: a promise of a swap in a time window."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query

from api.access import Who, guarded_router
from api.deps import AnyDoors, Doors, InTime, Paged
from api.problems import declared
from api.schemas import BookingChange, BookingIn, RecordId
from swap.commerce.bookings.refusals import BookingDenied
from swap.commerce.bookings.states import BookingStatus
from swap.commerce.bookings.store import Foreseen, ask_booking, cancel_booking, change_booking, foresee
from swap.commerce.bookings.wanted import Wanted
from swap.errors import Conflict, InvalidInput, NotFound
from swap.identity.principal import View
from swap.identity.view import require_booking, require_vehicle
from swap.reading.lists import get_booking, list_bookings
from swap.reading.records import BookingRecord, Page

router = guarded_router(prefix="/bookings", tags=["bookings"])


def _told(found: BookingRecord | BookingDenied) -> BookingRecord:
    """The booking; a refusal, whose alternative has been written, as the problem that it is."""
    if isinstance(found, BookingDenied):
        raise found.error()
    return found


def _foreseen(doors: Doors, view: View, wanted: Wanted, at: datetime) -> Foreseen | None:
    """What would be found; None of what is refused, for the transaction that follows says why, and knows whether the
    same was asked before."""
    try:
        with doors.store.reading_station(doors.station_id) as db:  # whole: promises to other firms count too
            require_vehicle(db, view, wanted.vehicle_id)
            return foresee(db, doors.config, wanted, at, doors.rights)
    except (NotFound, Conflict, InvalidInput):
        return None


@router.post("", status_code=201, responses=declared(400, 404, 409, 422))
def book(body: BookingIn, doors: AnyDoors, who: Who) -> BookingRecord:
    """Book a swap. A refusal names another window
    (`related.next_start_at`) that is kept for the vehicle until `kept_until_at`, or says that there is none before
    `none_before_at`."""
    doors.own_station(body.station_id)
    wanted = Wanted(
        body.vehicle_id,
        body.window_start_at,
        body.window_end_at,
        body.kinds,
        body.packs,
        body.min_kwh,
    )
    with doors.store.one_asker(doors.station_id):
        # Planned without the station's lock, which a controller may wait for; what nobody changes meanwhile holds.
        at = doors.clock.now()
        foreseen = _foreseen(doors, who.view, wanted, at)
        with doors.writing(who.view) as db:
            require_vehicle(db, who.view, body.vehicle_id)
            found = ask_booking(db, doors.config, wanted, at=at, rights=doors.rights, foreseen=foreseen)
    return _told(found)


@router.get("", responses=declared(422))
def bookings(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    status: Annotated[BookingStatus | None, Query()] = None,
    vehicle_id: Annotated[str | None, Query(max_length=20)] = None,
) -> Page[BookingRecord]:
    """Bookings by the start of their window, latest first."""
    with doors.reading(who.view) as db:
        return list_bookings(
            db,
            doors.station_id,
            status=status,
            vehicle_id=vehicle_id,
            **span,
            **paging,
        )


@router.get("/{booking_id}", responses=declared(404))
def booking(booking_id: RecordId, doors: AnyDoors, who: Who) -> BookingRecord:
    """One booking."""
    with doors.reading(who.view) as db:
        return get_booking(db, doors.station_id, booking_id)


@router.patch("/{booking_id}", responses=declared(400, 404, 409, 422))
def change_window(booking_id: RecordId, body: BookingChange, doors: AnyDoors, who: Who) -> BookingRecord:
    """Promise another window or other packs. Where that cannot be, the booking stays as it was."""
    with doors.store.one_asker(doors.station_id), doors.writing(who.view) as db:
        require_booking(db, who.view, booking_id)
        found = change_booking(
            db,
            doors.config,
            booking_id,
            at=doors.clock.now(),
            window_start_at=body.window_start_at,
            window_end_at=body.window_end_at,
            kinds=body.kinds,
            min_kwh=body.min_kwh,
        )
    return _told(found)


@router.delete("/{booking_id}", responses=declared(404, 409))
def cancel(booking_id: RecordId, doors: AnyDoors, who: Who) -> BookingRecord:
    """Cancel a booking that no truck has used. Cancelling it again changes nothing."""
    with doors.store.one_asker(doors.station_id), doors.writing(who.view) as db:
        row = require_booking(db, who.view, booking_id)
        return cancel_booking(db, booking_id, at=doors.clock.now(), row=row)
