"""What people ask of the controller. The request is stored; the controller answers in it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.deps import AnyDoors
from api.problems import declared
from api.schemas import RequestIn
from swap.reading.records import RequestRecord
from swap.station.requests import get_request, make_request

router = APIRouter(prefix="/requests", tags=["requests"])


@router.post("", status_code=202, responses=declared(400, 404, 422))
def ask(body: RequestIn, doors: AnyDoors) -> RequestRecord:
    """Ask the controller: confirm, hold, resume, another mode, release something, cancel or decide."""
    station_id = doors.own_station(body.station_id)
    with doors.writing() as db:
        return make_request(db, station_id=station_id, request=body.request(), name=body.name, at=doors.clock.now())


@router.get("/{request_id}", responses=declared(404, 422))
def request(request_id: Annotated[int, Path(ge=1, le=2**63 - 1)], doors: AnyDoors) -> RequestRecord:
    """A request and, once there is one, its answer."""
    with doors.reading() as db:
        return get_request(db, doors.station_id, request_id)
