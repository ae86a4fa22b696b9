"""What people may ask: requests that the controller picks up, and acknowledged faults.

A request is a row; the controller answers in the same row. Acknowledging a fault moves nothing and is no
command: it records that a named person has seen it.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select, update

from swap.errors import InvalidInput, NotFound
from swap.events import append_event
from swap.messages.answers import STORED
from swap.messages.events import FaultAcknowledged
from swap.messages.requests import Request
from swap.reading.now import fault_record
from swap.reading.records import FaultRecord, RequestRecord
from swap.tables import ControlRequest, FaultRow, Station


def person_name(value: str) -> str:
    """The trimmed name of the person who asks. Raises InvalidInput when there is none."""
    name = " ".join(value.split())
    if not 1 <= len(name) <= 64:
        raise InvalidInput("name", value, "the name of a person, 1…64 characters")
    return name


def make_request(db: Session, *, station_id: str, request: Request, name: str, at: datetime) -> RequestRecord:
    """Store a request for the controller; call inside `store.transaction()`.

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
        requested_by=person_name(name),
        requested_at=at,
    )
    db.add(row)
    # Added in the database itself: the controller may be raising it at this moment.
    db.exec(update(Station).where(col(Station.id) == station_id).values(version=col(Station.version) + 1))
    db.flush()
    return request_record(row)


def acknowledge_fault(db: Session, *, station_id: str, fault_id: int, name: str, at: datetime) -> FaultRecord:
    """Record who has seen a fault; a second time changes nothing. Call inside `store.transaction()`.

    Raises:
        InvalidInput: no name.
        NotFound: no such fault.
    """
    name = person_name(name)
    row = db.get(FaultRow, fault_id)
    if row is None or row.station_id != station_id:
        raise NotFound("fault", fault_id)
    if row.acknowledged_at is None:
        row.acknowledged_at = at
        row.acknowledged_by = name
        db.add(row)
        append_event(
            db,
            FaultAcknowledged(fault_id=fault_id, code=row.code, source=row.source),
            station_id=station_id,
            at=at,
            actor=name,
        )
    return fault_record(row)


def request_record(row: ControlRequest) -> RequestRecord:
    """The record of a request row."""
    parts = STORED.validate_python(row.answer_parts or ())
    return RequestRecord.of(row, request_id=row.id, answer_parts=parts)


def get_request(db: Session, station_id: str, request_id: int) -> RequestRecord:
    """One request. Raises NotFound."""
    row = db.get(ControlRequest, request_id)
    if row is None or row.station_id != station_id:
        raise NotFound("request", request_id)
    return request_record(row)


def latest_requests(db: Session, station_id: str, limit: int = 5) -> tuple[RequestRecord, ...]:
    """The requests made last, newest first."""
    rows = db.exec(
        select(ControlRequest)
        .where(ControlRequest.station_id == station_id)
        .order_by(col(ControlRequest.id).desc())
        .limit(limit)
    )
    return tuple(request_record(row) for row in rows)
