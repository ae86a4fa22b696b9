"""What people may ask: requests that the controller picks up, and acknowledged faults.

A request is a row; the controller answers in the same row. Acknowledging a fault moves nothing and is no
command: it records that a named person has seen it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select, update

from swap.errors import InvalidInput, NotFound
from swap.events import EventKind, append_event
from swap.reading.now import FaultRecord, fault_record
from swap.station.answer_words import Answer
from swap.tables import ControlRequest, FaultRow, Station


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What was asked of the controller, and its answer."""

    request_id: int
    kind: str
    arguments: dict[str, Any]
    requested_by: str
    requested_at: datetime
    status: str
    answered_at: datetime | None
    answer: str
    """In English."""
    answer_parts: tuple[Answer, ...]


REQUEST_KINDS = (
    "confirm",
    "hold",
    "resume",
    "manual",
    "reset",
    "automatic",
    "close",
    "release_pack",
    "release_bay",
    "cancel_swap",
    "decide",
)
"""Kinds of requests that the controller answers."""


def person_name(value: str) -> str:
    """The trimmed name of the person who asks. Raises InvalidInput when there is none."""
    name = " ".join(value.split())
    if not 1 <= len(name) <= 64:
        raise InvalidInput("name", value, "the name of a person, 1…64 characters")
    return name


def make_request(
    db: Session, *, station_id: str, kind: str, arguments: dict[str, Any], name: str, at: datetime
) -> RequestRecord:
    """Store a request for the controller; call inside `store.transaction()`.

    Raises:
        InvalidInput: unknown kind, or no name.
        NotFound: no such station.
    """
    if kind not in REQUEST_KINDS:
        raise InvalidInput("kind", kind, f"one of {', '.join(REQUEST_KINDS)}")
    if db.get(Station, station_id) is None:
        raise NotFound("station", station_id)
    row = ControlRequest(
        station_id=station_id,
        kind=kind,
        arguments=arguments,
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
            station_id=station_id,
            at=at,
            kind=EventKind.FAULT_ACKNOWLEDGED,
            actor=name,
            data={"fault_id": fault_id, "code": row.code, "source": row.source},
        )
    return fault_record(row)


def request_record(row: ControlRequest) -> RequestRecord:
    """The record of a request row."""
    assert row.id is not None
    return RequestRecord(
        request_id=row.id,
        kind=row.kind,
        arguments=dict(row.arguments),
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        status=row.status,
        answered_at=row.answered_at,
        answer=row.answer,
        answer_parts=tuple(map(Answer.read, row.answer_parts or ())),
    )


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
