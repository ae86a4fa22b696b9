"""Swaps: check-in at the gate, lists, and one swap with its timeline, seats, pre-checks and bills."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.deps import AnyDoors, IdempotencyKey
from api.problems import declared
from api.schemas import (
    BillOut,
    CheckIn,
    EventOut,
    PageOut,
    SeatOut,
    SwapAccepted,
    SwapItem,
    SwapOut,
)
from swap.commerce.bookings import check_in
from swap.reading.lists import SwapDetail, SwapSummary, get_swap, list_swaps, swap_detail

router = APIRouter(prefix="/swaps", tags=["swaps"])


def swap_item(summary: SwapSummary | SwapDetail) -> SwapItem:
    """A swap with its packs, bills and timeline in one object."""
    return SwapItem(
        **SwapOut.model_validate(summary.swap).model_dump(),
        seats=[SeatOut.model_validate(seat) for seat in summary.seats],
        bills=[BillOut.model_validate(bill) for bill in summary.bills],
        timeline=[EventOut.model_validate(event) for event in summary.timeline],
    )


@router.post("", status_code=202, responses=declared(400, 404, 409, 422))
def arrive(body: CheckIn, doors: AnyDoors, response: Response, idempotency_key: IdempotencyKey = None) -> SwapAccepted:
    """Check a truck in at the gate: it joins the queue. 409 while an earlier swap of it is open."""
    doors.own_station(body.station_id)
    with doors.store.transaction() as db:
        accepted = check_in(
            db,
            doors.config,
            vehicle_id=body.vehicle_id,
            booking_id=body.booking_id,
            at=doors.clock.now(),
            idempotency_key=idempotency_key,
        )
        swap = get_swap(db, doors.station_id, accepted.swap_id).swap
    response.headers["Location"] = f"/api/v1/swaps/{swap.swap_id}"
    return SwapAccepted.model_validate(swap)


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
) -> PageOut[SwapItem]:
    """Swaps, the newest arrival first."""
    with doors.store.reading() as db:
        page = list_swaps(db, doors.station_id, state=state, vehicle_id=vehicle_id, limit=limit, cursor=cursor)
    return PageOut(items=[swap_item(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/{swap_id}", responses=declared(404))
def swap(swap_id: str, doors: AnyDoors) -> SwapItem:
    """One swap with everything that is known of it."""
    with doors.store.reading() as db:
        detail = swap_detail(db, doors.station_id, swap_id)
    return swap_item(detail)
