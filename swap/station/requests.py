"""What people may ask: requests that the controller picks up, and acknowledged faults.

A request is a row; the controller answers in the same row. Acknowledging a fault moves nothing and is no
command: it records that a named person has seen it.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import col, select

from swap.errors import NotFound
from swap.events import append_event
from swap.messages.answers import STORED
from swap.messages.events import FaultAcknowledged
from swap.messages.requests import Request
from swap.reading.now import fault_record
from swap.reading.records import FaultRecord, RequestRecord
from swap.register.persons import person_actor, shown_actor
from swap.station_db import StationDb
from swap.tables import ControlRequest, FaultRow, Station


def make_request(db: StationDb, *, station_id: str, request: Request, name: str, at: datetime) -> RequestRecord:
    """Store a request for the controller; call inside `store.station()`.

    Raises:
        InvalidInput: no name.
        NotFound: no such station.
    """
    if db.get(Station, station_id) is None:
        raise NotFound("station", station_id)
    row = ControlRequest(
        station_id=station_id,
        kind=request.kind,
        arguments=request.arguments(),
        requested_by=person_actor(db, name, at),
        requested_at=at,
    )
    db.add(row)
    db.flush()
    return request_record(db, row)


def acknowledge_fault(db: StationDb, *, station_id: str, fault_id: int, name: str, at: datetime) -> FaultRecord:
    """Record who has seen a fault; a second time changes nothing. Call inside `store.station()`.

    Raises:
        InvalidInput: no name.
        NotFound: no such fault.
    """
    actor = person_actor(db, name, at)
    row = db.get(FaultRow, fault_id)
    if row is None or row.station_id != station_id:
        raise NotFound("fault", fault_id)
    if row.acknowledged_at is None:
        row.acknowledged_at = at
        row.acknowledged_by = actor
        db.add(row)
        append_event(
            db,
            FaultAcknowledged(fault_id=fault_id, code=row.code, source=row.source),
            station_id=station_id,
            at=at,
            actor=actor,
        )
    return fault_record(db, row)


def request_record(db: StationDb, row: ControlRequest) -> RequestRecord:
    """The record of a request row."""
    parts = STORED.validate_python(row.answer_parts or ())
    return RequestRecord.of(row, request_id=row.id, requested_by=shown_actor(db, row.requested_by), answer_parts=parts)


def get_request(db: StationDb, station_id: str, request_id: int) -> RequestRecord:
    """One request. Raises NotFound."""
    row = db.get(ControlRequest, request_id)
    if row is None or row.station_id != station_id:
        raise NotFound("request", request_id)
    return request_record(db, row)


def latest_requests(db: StationDb, station_id: str, limit: int = 5) -> tuple[RequestRecord, ...]:
    """The requests made last, newest first."""
    rows = db.exec(
        select(ControlRequest)
        .where(ControlRequest.station_id == station_id)
        .order_by(col(ControlRequest.id).desc())
        .limit(limit)
    )
    return tuple(request_record(db, row) for row in rows)
