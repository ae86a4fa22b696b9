"""Swaps: check-in at the gate, lists, and one swap with its timeline, seats, pre-checks and bills."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.deps import AnyDoors, IdempotencyKey
from api.problems import declared
from api.schemas import SwapAccepted, TruckAtGate
from swap.commerce.bookings import check_in
from swap.reading.lists import get_swap, list_swaps
from swap.reading.records import Page, SwapStory

router = APIRouter(prefix="/swaps", tags=["swaps"])


@router.post("", status_code=202, responses=declared(400, 404, 409, 422))
def arrive(
    body: TruckAtGate, doors: AnyDoors, response: Response, idempotency_key: IdempotencyKey = None
) -> SwapAccepted:
    """Check a truck in at the gate: it joins the queue. 409 while an earlier swap of it is open."""
    doors.own_station(body.station_id)
    with doors.writing() as db:
        accepted = check_in(
            db,
            doors.config,
            vehicle_id=body.vehicle_id,
            booking_id=body.booking_id,
            at=doors.clock.now(),
            idempotency_key=idempotency_key,
        )
        swap = get_swap(db, doors.station_id, accepted.swap_id)
    response.headers["Location"] = f"/api/v1/swaps/{swap.swap_id}"
    return SwapAccepted(swap_id=swap.swap_id, state=swap.state, booking_id=swap.booking_id)


@router.get("", responses=declared(422))
def swaps(
    doors: AnyDoors,
    state: Annotated[
        str | None,
        Query(
            max_length=40, description="A state of the recipe's table, or `open`, or `ended`.", examples=["completed"]
        ),
    ] = None,
    vehicle_id: Annotated[str | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[SwapStory]:
    """Swaps, the newest arrival first."""
    with doors.reading() as db:
        return list_swaps(db, doors.station_id, state=state, vehicle_id=vehicle_id, limit=limit, cursor=cursor)


@router.get("/{swap_id}", responses=declared(404))
def swap(swap_id: str, doors: AnyDoors) -> SwapStory:
    """One swap with everything that is known of it."""
    with doors.reading() as db:
        return get_swap(db, doors.station_id, swap_id)
