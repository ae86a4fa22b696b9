"""What people ask of the controller. The request is stored; the controller answers in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from api.access import Who, caller, guarded_router, holder, let_in
from api.deps import AnyDoors
from api.edge.work import take_turns
from api.problems import declared
from api.schemas import RequestIn, RowId
from swap.identity.principal import EVERYTHING, View
from swap.messages.requests import Hold
from swap.messages.requests import Request as Message
from swap.reading.records import RequestRecord
from swap.station.requests import get_request, make_request

router = guarded_router(prefix="/requests", tags=["requests"])


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks the controller, and what."""

    name: str
    view: View
    station_id: str
    request: Message


def hold_turns(http: Request) -> CapacityLimiter:
    """Threads of its own for who asks for a hold: those of all others may wait for their turn at the database."""
    turns = http.app.state.hold_turns
    assert isinstance(turns, CapacityLimiter)
    return turns


async def asker(body: RequestIn, doors: AnyDoors, http: Request) -> Asker:
    """Who asks what. A hold needs no sign-in; every other kind is an operation of its own."""
    asked = body.request()
    if isinstance(asked, Hold):
        turns = hold_turns(http)
        take_turns(turns)
        name = await run_sync(lambda: holder(lambda: caller(doors, http)), limiter=turns)
        return Asker(name, EVERYTHING, doors.own_station(body.station_id), asked)
    who = await let_in(http, doors, f"ask.{body.kind}")
    return Asker(who.name(doors, body.name), who.view, doors.own_station(body.station_id), asked)


@router.post("", status_code=202, responses=declared(400, 404, 422))
def ask(doors: AnyDoors, asked: Annotated[Asker, Depends(asker)]) -> RequestRecord:
    """Ask the controller: confirm, hold, resume, another mode, release something, cancel or decide.

    A hold needs no sign-in. What may move a robot needs the PIN, in the header `Swap-Pin`.
    """
    with doors.writing(asked.view) as db:
        return make_request(
            db, station_id=asked.station_id, request=asked.request, name=asked.name, at=doors.clock.now()
        )


@router.get("/{request_id}", responses=declared(404, 422))
def request(request_id: RowId, doors: AnyDoors, who: Who) -> RequestRecord:
    """A request and, once there is one, its answer."""
    with doors.reading(who.view) as db:
        return get_request(db, doors.station_id, request_id)
