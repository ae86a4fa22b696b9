"""Stations and their live state."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.deps import AnyDoors
from api.problems import declared
from swap.reading.now import get_station, list_stations, live_mark, site_history, station_state
from swap.reading.records import Page, SiteRecord, StationRecord, StationState

router = APIRouter(prefix="/stations", tags=["stations"])


@router.get("")
def stations(doors: AnyDoors) -> Page[StationRecord]:
    """The stations that this process serves."""
    with doors.reading() as db:
        return Page(items=list_stations(db))


@router.get("/{station_id}", responses=declared(404))
def station(station_id: str, doors: AnyDoors) -> StationRecord:
    """Who the station is and what it may do now."""
    with doors.reading() as db:
        return get_station(db, station_id)


@router.get(
    "/{station_id}/state",
    responses={**declared(404, 422), 204: {"description": "Nothing is newer than `since_version`."}},
    response_model=StationState,
)
def state(
    station_id: str,
    doors: AnyDoors,
    since_version: Annotated[
        int | None, Query(ge=0, description="Version already known: answered with 204 until it has risen.")
    ] = None,
) -> StationState | Response:
    """Bays, packs, lanes, queue, power and faults in one snapshot."""
    doors.own_station(station_id)
    with doors.reading() as db:
        if since_version is not None and live_mark(db, station_id)[0] <= since_version:
            return Response(status_code=204)
        return station_state(db, doors.config)


@router.get("/{station_id}/power", responses=declared(404, 422))
def power(station_id: str, doors: AnyDoors, limit: Annotated[int, Query(ge=1, le=5000)] = 240) -> Page[SiteRecord]:
    """The newest power samples, oldest first."""
    doors.own_station(station_id)
    with doors.reading() as db:
        return Page(items=site_history(db, station_id, limit))
