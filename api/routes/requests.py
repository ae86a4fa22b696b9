"""What people ask of the controller. The request is stored; the controller answers in it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.deps import AnyDoors
from api.problems import declared
from api.schemas import RequestIn, RequestOut
from swap.station.requests import get_request, make_request

router = APIRouter(prefix="/requests", tags=["requests"])


@router.post("", status_code=202, responses=declared(400, 404, 422))
def ask(body: RequestIn, doors: AnyDoors) -> RequestOut:
    """Ask the controller: confirm, hold, resume, another mode, release something, cancel or decide."""
    station_id = doors.own_station(body.station_id)
    with doors.store.transaction() as db:
        record = make_request(
            db,
            station_id=station_id,
            kind=body.kind,
            arguments=body.arguments.model_dump(exclude_none=True),
            name=body.name,
            at=doors.clock.now(),
        )
    return RequestOut.model_validate(record)


@router.get("/{request_id}", responses=declared(404, 422))
def request(request_id: Annotated[int, Path(ge=1, le=2**63 - 1)], doors: AnyDoors) -> RequestOut:
    """A request and, once there is one, its answer."""
    with doors.store.reading() as db:
        return RequestOut.model_validate(get_request(db, doors.station_id, request_id))
