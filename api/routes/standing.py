"""Standing bookings: the same window on certain weekdays, booked as far ahead as bookings reach."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

from fastapi import Query

from api.access import Who, guarded_router
from api.deps import AnyDoors, InTime, Paged
from api.problems import declared
from api.schemas import RecordId, StandingChange, StandingIn
from swap.commerce.bookings.standing import Rule, change_standing, end_standing, make_standing
from swap.identity.view import require_standing, require_vehicle
from swap.reading.bookings import get_standing, list_standing
from swap.reading.records import Page, StandingRecord

router = guarded_router(prefix="/standing-bookings", tags=["bookings"])


@router.post("", status_code=201, responses=declared(400, 404, 409, 422))
def stand(body: StandingIn, doors: AnyDoors, who: Who) -> StandingRecord:
    """Book the same window on certain weekdays. A day that cannot be promised is booked as `disrupted`, with an
    alternative, and gets what becomes free."""
    doors.own_station(body.station_id)
    rule = Rule(
        vehicle_id=body.vehicle_id,
        weekdays=body.weekdays,
        local_time=time.fromisoformat(body.local_time),
        window_min=body.window_min,
        starts_on=body.starts_on,
        ends_on=body.ends_on,
        exceptions=body.exceptions,
        kinds=body.kinds,
        packs=body.packs,
        min_kwh=body.min_kwh,
    )
    with doors.writing(who.view) as db:
        require_vehicle(db, who.view, body.vehicle_id)
        return make_standing(db, doors.config, rule, at=doors.clock.now(), rights=doors.rights)


@router.get("", responses=declared(422))
def standing_bookings(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    status: Annotated[Literal["active", "ended"] | None, Query()] = None,
    vehicle_id: Annotated[str | None, Query(max_length=20)] = None,
) -> Page[StandingRecord]:
    """Standing bookings, the newest first."""
    with doors.reading(who.view) as db:
        return list_standing(db, vehicle_id=vehicle_id, status=status, **span, **paging)


@router.get("/{standing_id}", responses=declared(404))
def standing_booking(standing_id: RecordId, doors: AnyDoors, who: Who) -> StandingRecord:
    """One standing booking."""
    with doors.reading(who.view) as db:
        return get_standing(db, standing_id)


@router.patch("/{standing_id}", responses=declared(400, 404, 409, 422))
def change_standing_booking(standing_id: RecordId, body: StandingChange, doors: AnyDoors, who: Who) -> StandingRecord:
    """Leave days out or set the last day; what was booked for days that go is cancelled."""
    with doors.writing(who.view) as db:
        require_standing(db, who.view, standing_id)
        return change_standing(
            db,
            doors.config,
            standing_id,
            at=doors.clock.now(),
            exceptions=body.exceptions,
            ends_on=body.ends_on,
        )


@router.delete("/{standing_id}", responses=declared(404))
def end_standing_booking(standing_id: RecordId, doors: AnyDoors, who: Who) -> StandingRecord:
    """Book no more, and cancel what is booked and not used. Ending it again changes nothing."""
    with doors.writing(who.view) as db:
        require_standing(db, who.view, standing_id)
        return end_standing(db, standing_id, at=doors.clock.now())
