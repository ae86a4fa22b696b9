"""Swaps: check-in at the gate, lists, and one swap with its timeline, seats, pre-checks and bills."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request, Response

from api.access import Who, guarded_router
from api.deps import AnyDoors, Doors, InTime, Paged
from api.problems import declared
from api.reasons import wait_words
from api.schemas import RecordId, SwapAccepted, SwapOut, TruckAtGate, WaitOut
from api.words import language_asked, load_language
from swap.gate import check_in
from swap.identity.view import require_booking, require_vehicle
from swap.reading.lists import get_swap, list_swaps
from swap.reading.records import Page, SwapStory

router = guarded_router(prefix="/swaps", tags=["swaps"])


@router.post("", status_code=202, responses=declared(400, 404, 409, 422))
def arrive(body: TruckAtGate, doors: AnyDoors, who: Who, response: Response) -> SwapAccepted:
    """Check a truck in at the gate: it joins the queue. 409 while an earlier swap of it is open."""
    doors.own_station(body.station_id)
    with doors.writing(who.view) as db:
        require_vehicle(db, who.view, body.vehicle_id)
        if body.booking_id is not None:
            require_booking(db, who.view, body.booking_id)
        accepted = check_in(
            db,
            doors.config,
            vehicle_id=body.vehicle_id,
            booking_id=body.booking_id,
            at=doors.clock.now(),
            odometer_km=body.odometer_km,
            rights=doors.rights,
        )
        swap = get_swap(db, doors.station_id, accepted.swap_id)
    response.headers["Location"] = f"/api/v1/swaps/{swap.swap_id}"
    return SwapAccepted(swap_id=swap.swap_id, state=swap.state, booking_id=swap.booking_id)


@router.get("", responses=declared(422))
def swaps(
    request: Request,
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    state: Annotated[
        str | None,
        Query(
            max_length=40, description="A state of the recipe's table, or `open`, or `ended`.", examples=["completed"]
        ),
    ] = None,
    vehicle_id: Annotated[str | None, Query(max_length=20)] = None,
    expand: Annotated[
        Literal["timeline"] | None, Query(description="`timeline`: each swap with its events; else they are left out.")
    ] = None,
) -> Page[SwapOut]:
    """Swaps, the newest arrival first."""
    with doors.reading(who.view) as db:
        page = list_swaps(
            db,
            doors.station_id,
            state=state,
            vehicle_id=vehicle_id,
            **span,
            **paging,
            timelines=expand == "timeline",
        )
    return Page(items=_told(page.items, request, doors), next_cursor=page.next_cursor)


@router.get("/{swap_id}", responses=declared(404))
def swap(swap_id: RecordId, request: Request, doors: AnyDoors, who: Who) -> SwapOut:
    """One swap with everything that is known of it."""
    with doors.reading(who.view) as db:
        story = get_swap(db, doors.station_id, swap_id)
    return _told((story,), request, doors)[0]


def _told(stories: tuple[SwapStory, ...], request: Request, doors: Doors) -> tuple[SwapOut, ...]:
    """Swaps, and what each waits for as a sentence in the reader's language."""
    asked = language_asked(request.headers.get("accept-language")) or "en"
    language = load_language(asked, doors.config.station.zone)

    def out(story: SwapStory) -> SwapOut:
        waits = story.waits_for
        said = None if waits is None else WaitOut(**dict(waits), text=wait_words(waits, language))
        return SwapOut(**(dict(story) | {"waits_for": said}))

    return tuple(out(story) for story in stories)
