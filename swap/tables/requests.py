"""What people ask of the controller, and faults that people see."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, text
from sqlmodel import Field

from swap.tables.base import Base, json_field


class FaultRow(Base, table=True):
    """One occurrence of a fault: raised, acknowledged, cleared."""

    __tablename__ = "fault"
    __table_args__ = (
        Index("ix_fault_by_raise", "station_id", "raised_at", "id"),
        Index("ix_fault_by_clearing", "station_id", "cleared_at", "raised_at", "id"),
        Index(
            "ix_fault_open",
            "station_id",
            "raised_at",
            "id",
            sqlite_where=text("cleared_at IS NULL"),
            postgresql_where=text("cleared_at IS NULL"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    code: int
    level: int
    source: str = Field(max_length=64)
    """Device or place: `lane:L1`, `bay:A3`, `meter`."""
    open_key: str | None = Field(default=None, unique=True, max_length=160)
    """Station, source and code while open: a fault is open once."""
    raised_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = Field(default=None, max_length=64)
    cleared_at: datetime | None = None
    data: dict[str, Any] = json_field()


class ControlRequest(Base, table=True):
    """What the API asks of the controller; the controller picks it up and answers here."""

    __tablename__ = "control_request"
    __table_args__ = (
        Index("ix_control_request_by_station", "station_id", "id"),
        Index("ix_control_request_by_status", "station_id", "status", "id"),
    )
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    kind: str = Field(max_length=32)
    """Which kind, as in `swap.messages.requests.REQUESTS`."""
    arguments: dict[str, Any] = json_field()
    requested_by: str = Field(max_length=64)
    requested_at: datetime
    status: str = Field(default="open", max_length=16)
    """open, done, refused, expired."""
    answered_at: datetime | None = None
    answer: str = ""
    """In English, for programs."""
    answer_parts: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """The same as codes and values (`swap.messages.answers`); None in rows older than this column."""
