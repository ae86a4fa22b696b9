"""Stations and their live state."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Query, Response

from api.access import Who, guarded_router
from api.deps import AnyDoors, InTime, Paged
from api.problems import declared
from api.schemas import RecordId
from swap.commerce.bills.quotes import shown_prices
from swap.commerce.bills.records import ShownPrices
from swap.commerce.bookings.offers import Ask, offers
from swap.config.prices import prices_before
from swap.identity.principal import EVERYTHING
from swap.identity.view import require_vehicle
from swap.messages.values import LARGEST_SEQ
from swap.reading.lists import list_power
from swap.reading.now import (
    get_station,
    list_stations,
    live_mark,
    station_availability,
    station_state,
)
from swap.reading.records import (
    AvailabilityRecord,
    OfferRecord,
    Page,
    SiteRecord,
    StationRecord,
    StationState,
)

router = guarded_router(prefix="/stations", tags=["stations"])


@router.get("", responses=declared())
def stations(doors: AnyDoors, who: Who) -> Page[StationRecord]:
    """The stations that this process serves."""
    with doors.reading(who.view) as db:
        return Page(items=list_stations(db))


@router.get("/{station_id}", responses=declared(404))
def station(station_id: RecordId, doors: AnyDoors, who: Who) -> StationRecord:
    """Who the station is and what it may do now."""
    with doors.reading(who.view) as db:
        return get_station(db, station_id)


@router.get("/{station_id}/availability", responses=declared(404))
def availability(station_id: RecordId, doors: AnyDoors) -> AvailabilityRecord:
    """What the station shows everyone: its mode, ready packs and trucks that wait, as numbers."""
    doors.own_station(station_id)
    with doors.reading(EVERYTHING) as db:  # numbers of everybody's rows
        return station_availability(db, station_id)


@router.get("/{station_id}/prices", responses=declared(404))
def prices(station_id: RecordId, doors: AnyDoors) -> ShownPrices:
    """What a kWh costs here in the next 24 hours, electricity and service apart, where no contract says otherwise."""
    doors.own_station(station_id)
    with doors.reading(EVERYTHING) as db:
        return shown_prices(station_id, prices_before(db), doors.clock.now())


@router.get(
    "/{station_id}/state",
    responses={**declared(404, 422), 204: {"description": "Nothing is newer than `since_version`."}},
    response_model=StationState,
)
def state(
    station_id: RecordId,
    doors: AnyDoors,
    who: Who,
    since_version: Annotated[
        int | None,
        Query(ge=0, le=LARGEST_SEQ, description="Version already known: answered with 204 until it has risen."),
    ] = None,
) -> StationState | Response:
    """Bays, packs, lanes, queue, power and faults in one snapshot."""
    doors.own_station(station_id)
    with doors.reading(who.view) as db:
        if since_version is not None and live_mark(db, station_id)[0] <= since_version:
            return Response(status_code=204)
        return station_state(db, doors.config)


@router.get("/{station_id}/power", responses=declared(404, 422))
def power(station_id: RecordId, doors: AnyDoors, who: Who, span: InTime, paging: Paged) -> Page[SiteRecord]:
    """Power samples, newest first."""
    doors.own_station(station_id)
    with doors.reading(who.view) as db:
        return list_power(db, **span, **paging)


@router.get("/{station_id}/offers", responses=declared(404, 409, 422))
def offered(
    station_id: RecordId,
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    vehicle_id: Annotated[str | None, Query(max_length=20, description="Whose model counts; none: the first.")] = None,
    kind: Annotated[list[str], Query(max_length=20, description="Pack kinds that will do; none: all.")] = [],  # noqa: B006
    window_min: Annotated[int | None, Query(ge=5, le=1440, description="Length of the windows, minutes.")] = None,
    min_kwh: Annotated[float, Query(ge=0, le=10_000, description="Least energy in each pack.")] = 0.0,
) -> Page[OfferRecord]:
    """Windows that can be booked now, each by itself, with the packs that will be charged when they open; without
    `from` and `to` those of the next 24 hours. Nothing is kept for the reader."""
    doors.own_station(station_id)
    now = doors.clock.now()
    begin_at, end_at = span["from_at"] or now, span["to_at"]
    ask = Ask(
        from_at=begin_at,
        until_at=begin_at + timedelta(hours=24) if end_at is None else end_at,
        window_min=window_min,
        vehicle_id=vehicle_id,
        kinds=tuple(kind),
        min_kwh=min_kwh,
    )
    if vehicle_id is not None:
        with doors.reading(who.view) as own:
            require_vehicle(own, who.view, vehicle_id)
    with doors.reading(EVERYTHING) as db:
        return offers(db, doors.config, ask, now, **paging)
