"""Journal, packs and faults."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query, Request
from starlette.responses import StreamingResponse

from api.access import Who, caller, guarded_router, permit
from api.deps import AnyDoors, InTime, Paged
from api.edge.gate import STREAM
from api.edge.stream import LOT, EventStreams
from api.problems import declared
from api.schemas import AcknowledgeIn, RecordId, RowId
from swap.errors import InvalidInput
from swap.messages.values import LARGEST_SEQ
from swap.reading.lists import list_events, list_faults
from swap.reading.now import get_pack, list_packs
from swap.reading.records import EventRecord, FaultRecord, PackRecord, Page
from swap.station.requests import acknowledge_fault
from swap.words import N_

router = guarded_router()
AfterId = Annotated[int, Query(ge=0, le=LARGEST_SEQ)]


@router.get("/events", tags=["events"], responses=declared(422))
def events(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    after: AfterId = 0,
    kind: Annotated[str | None, Query(max_length=48)] = None,
    swap_id: Annotated[str | None, Query(max_length=32)] = None,
    pack_id: Annotated[str | None, Query(max_length=24)] = None,
) -> Page[EventRecord]:
    """Events in their order, from the one after number `after` on."""
    with doors.reading(who.view) as db:
        return list_events(
            db,
            doors.station_id,
            after=after,
            kind=kind,
            swap_id=swap_id,
            pack_id=pack_id,
            **span,
            **paging,
        )


@router.get(
    "/events/stream",
    tags=["events"],
    responses={
        **declared(422),
        200: {"description": "Events as they come (server-sent events).", "content": {STREAM: {}}},
    },
    response_class=StreamingResponse,
)
async def event_stream(
    doors: AnyDoors,
    who: Who,
    request: Request,
    after: Annotated[int | None, Query(ge=0, le=LARGEST_SEQ, description="As `Last-Event-ID`.")] = None,
    last_event_id: Annotated[
        int | None,
        Header(
            alias="Last-Event-ID",
            ge=0,
            le=LARGEST_SEQ,
            description="Number of the last event that the client has; without it the stream begins now.",
        ),
    ] = None,
    kind: Annotated[str | None, Query(max_length=48)] = None,
    swap_id: Annotated[str | None, Query(max_length=32)] = None,
    pack_id: Annotated[str | None, Query(max_length=24)] = None,
) -> StreamingResponse:
    """Events as they are journalled, each with its number as `id` and its kind as `event`. Each 15 s without any a
    comment says that the stream lives, and its `id` how far it has come."""
    streams: EventStreams = request.app.state.streams
    head = await streams.head()
    known = after if last_event_id is None else last_event_id
    if known is not None and known > head:
        raise InvalidInput("Last-Event-ID", known, N_("0 to {head}, the newest event"), head=head)

    access = who

    def read(number: int) -> Page[EventRecord]:
        with doors.reading(access.view) as db:
            return list_events(
                db, doors.station_id, after=number, limit=LOT, kind=kind, swap_id=swap_id, pack_id=pack_id
            )

    def may() -> None:
        nonlocal access
        access = permit(doors, caller(doors, request), "event_stream")

    caller_id = who.principal.id
    streams.check_room(caller_id)
    events = streams.events(caller_id, head if known is None else known, read, may)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type=STREAM, headers=headers)


@router.get("/packs", tags=["packs"], responses=declared(422))
def packs(
    doors: AnyDoors,
    who: Who,
    paging: Paged,
    state: Annotated[str | None, Query(max_length=16)] = None,
    kind: Annotated[str | None, Query(max_length=32)] = None,
) -> Page[PackRecord]:
    """Packs by their ids, all or those of a state or kind."""
    with doors.reading(who.view) as db:
        return list_packs(db, doors.station_id, state=state, kind=kind, **paging)


@router.get("/packs/{pack_id}", tags=["packs"], responses=declared(404))
def pack(pack_id: RecordId, doors: AnyDoors, who: Who) -> PackRecord:
    """One pack."""
    with doors.reading(who.view) as db:
        return get_pack(db, doors.station_id, pack_id)


@router.get("/faults", tags=["faults"], responses=declared(422))
def faults(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    open: bool = False,
) -> Page[FaultRecord]:
    """Faults, newest first; with `open=true` only those not cleared."""
    with doors.reading(who.view) as db:
        return list_faults(db, only_open=open, **span, **paging)


@router.post("/faults/{fault_id}/acknowledge", tags=["faults"], responses=declared(400, 404, 422))
def acknowledge(fault_id: RowId, doors: AnyDoors, who: Who, body: AcknowledgeIn | None = None) -> FaultRecord:
    """Record that the signed-in person has seen a fault. Nothing is cleared by it."""
    name = who.name(doors, None if body is None else body.name)
    with doors.writing(who.view) as db:
        return acknowledge_fault(db, station_id=doors.station_id, fault_id=fault_id, name=name, at=doors.clock.now())
