"""Faults as stored: raised once while open, acknowledged by a person, cleared when the condition is gone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam
from sqlmodel import select

from robotics.faults import fault_by_name
from swap.events import append_event
from swap.messages.events import FaultCleared, FaultRaised
from swap.station_db import StationDb as Db
from swap.tables import FaultRow

_OPEN = select(FaultRow).where(FaultRow.open_key == bindparam("key"))


def raise_fault(
    db: Db, *, station_id: str, name: str, source: str, at: datetime, data: dict[str, Any] | None = None
) -> FaultRow:
    """Store a fault of the catalogue; one that is open already from the same source stays as it is."""
    fault = fault_by_name(name)
    key = f"{station_id}|{source}|{fault.code}"
    row = db.exec(_OPEN, params={"key": key}).first()
    if row is not None:
        return row
    row = FaultRow(
        station_id=station_id,
        code=fault.code,
        level=fault.level,
        source=source,
        open_key=key,
        raised_at=at,
        data=data or {},
    )
    db.add(row)
    db.flush()
    append_event(
        db,
        FaultRaised(
            name=name,
            code=fault.code,
            level=fault.level,
            source=source,
            fault_id=row.id,
            detail=data or {},
        ),
        station_id=station_id,
        at=at,
    )
    return row


def clear_fault(
    db: Db, *, station_id: str, name: str, source: str, at: datetime, actor: str = "controller"
) -> dict[str, Any] | None:
    """Close a fault whose condition is gone. Returns what it was raised with; None, and nothing written, where none was
    open."""
    key = f"{station_id}|{source}|{fault_by_name(name).code}"
    row = db.exec(_OPEN, params={"key": key}).first()
    if row is not None:
        close_fault(db, row, at=at, actor=actor)
    return None if row is None else row.data


def close_fault(db: Db, row: FaultRow, *, at: datetime, actor: str) -> None:
    """Close an open fault row."""
    assert row.id is not None
    row.cleared_at, row.open_key = at, None
    db.add(row)
    append_event(
        db,
        FaultCleared(code=row.code, source=row.source, fault_id=row.id),
        station_id=row.station_id,
        at=at,
        actor=actor,
    )
