"""Who had which pack, from the journals of all stations, and readings that rents rest on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlmodel import Field

from swap.tables.base import Base


class CustodyMark(Base, table=True):
    """How far the journal of a station has been taken over."""

    __tablename__ = "custody_mark"
    station_id: str = Field(primary_key=True, max_length=32)
    seq: int = Field(sa_type=BigInteger)


class CustodyMove(Base, table=True):
    """A pack came to another place: one `pack.moved` of a journal, never edited, a trigger refuses it."""

    __tablename__ = "custody_move"
    __table_args__ = (
        Index("ix_custody_move_by_pack", "pack_id", "at", "station_id", "seq"),
        Index("ix_custody_move_by_vehicle", "vehicle_id", "at", "pack_id"),
    )
    station_id: str = Field(primary_key=True, max_length=32)
    """Whose journal tells it."""
    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    at: datetime
    pack_id: str = Field(max_length=24)
    source: str = Field(max_length=100)
    """Place it left (`swap.places`)."""
    target: str = Field(max_length=100)
    vehicle_id: str | None = Field(default=None, max_length=20)
    """The vehicle that it came from or to."""
    holder_id: str = Field(max_length=32)
    """Firm that holds it from then on: the fleet, the operator of the station or, off site, its owner."""
    swap_id: str | None = Field(default=None, max_length=32, index=True)
    energy_centi_kwh: int | None = Field(default=None, sa_type=BigInteger)
    """What it held when it was put on a vehicle."""


class ReadingRow(Base, table=True):
    """A reading on which a rent rests; never edited, a further one for the same instant counts instead."""

    __tablename__ = "reading"
    __table_args__ = (
        UniqueConstraint("subject", "quantity", "at", "no"),
        Index("ix_reading_by_subject", "quantity", "subject", "at"),
    )
    id: int | None = Field(default=None, primary_key=True)
    subject: str = Field(max_length=32)
    """Vehicle, pack or swap."""
    quantity: str = Field(max_length=24)
    """odometer_km, engine_h, tonnes, counter_kwh, energy_kwh, soh_pct, energy_price."""
    at: datetime
    no: int = 1
    """From 1; the last of an instant counts."""
    value_1e4: int = Field(sa_type=BigInteger)
    """In 1/10 000 of the unit."""
    origin: str = Field(max_length=16)
    """journal, swap, entered or imported."""
    actor: str = Field(max_length=64)
    """Who or which machine gave it; of a journal the station and the number of the event."""
    made_at: datetime
    digest: str = Field(default="", max_length=64)
    """SHA-256 of what it says, without `id` (`swap.commerce.seals`)."""
