"""The journal: what happened at a station, numbered without gaps and chained by hashes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field

from swap.tables.base import Base, CanonicalJson


class StationEvent(Base, table=True):
    """One event; append-only, a trigger refuses update and delete. `seq` counts from 1 without gaps at a station."""

    __tablename__ = "station_event"
    __table_args__ = (
        Index("ix_station_event_station_id_kind_seq", "station_id", "kind", "seq"),
        Index("ix_station_event_by_at", "station_id", "at", "seq"),
        Index("ix_station_event_by_swap", "station_id", "swap_id", "seq"),
        Index("ix_station_event_by_pack", "station_id", "pack_id", "seq"),
    )
    station_id: str = Field(primary_key=True, foreign_key="station.id", max_length=32)
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    epoch: int = 1
    """Rises when the database was restored from a copy, by the event `journal.epoch` of a named person."""
    at: datetime
    kind: str = Field(max_length=48)
    actor: str = Field(max_length=64)
    """Who caused it: a machine by its name, such as `controller`, or `person:` and the id of a person."""
    swap_id: str | None = Field(default=None, max_length=32)
    pack_id: str | None = Field(default=None, max_length=24)
    bay_id: str | None = Field(default=None, max_length=64)
    lane_id: str | None = Field(default=None, max_length=32)
    cause_seq: int | None = Field(default=None, sa_type=BigInteger)
    """`seq` of the event of this station that led to it."""
    data: dict[str, Any] = Field(default_factory=dict, sa_column=Column(CanonicalJson, nullable=False))
    prev_hash: str = Field(max_length=64)
    """Hash of the event before; 64 zeros for the first."""
    hash: str = Field(max_length=64)
    """SHA-256 of this event (`swap.journal.chain`), in hex."""
