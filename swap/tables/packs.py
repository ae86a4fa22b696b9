"""Packs, each in one place, and their charging."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, Column, Index, UniqueConstraint, text
from sqlmodel import Field

from swap.tables.base import Base


class Pack(Base, table=True):
    """One pack and the one place it is in."""

    __tablename__ = "pack"
    __table_args__ = (
        CheckConstraint(
            "(CASE WHEN bay_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN vehicle_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN gripper_lane_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN tank_station_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN off_site THEN 1 ELSE 0 END) = 1",
            name="one_place",
        ),
        CheckConstraint("(vehicle_id IS NULL) = (seat IS NULL)", name="seat_with_vehicle"),
        CheckConstraint("soc_pct IS NULL OR (soc_pct >= 0 AND soc_pct <= 100)", name="soc_range"),
        CheckConstraint("soh_pct > 0 AND soh_pct <= 100", name="soh_range"),
        UniqueConstraint("vehicle_id", "seat"),
    )
    id: str = Field(primary_key=True, max_length=24)
    kind: str = Field(max_length=32, index=True)
    owner_id: str = Field(foreign_key="party.id", max_length=32)
    rated_kwh: float
    soh_pct: float = 100.0
    state: str = Field(max_length=16, index=True)
    state_since_at: datetime
    bay_id: str | None = Field(default=None, foreign_key="bay.id", unique=True, max_length=64)
    vehicle_id: str | None = Field(default=None, foreign_key="vehicle.id", max_length=20)
    seat: int | None = None
    gripper_lane_id: str | None = Field(default=None, unique=True, max_length=64)
    """Station id, a colon, lane id."""
    tank_station_id: str | None = Field(default=None, foreign_key="station.id", max_length=32)
    off_site: bool = False
    energy_kwh: float | None = None
    soc_pct: float | None = None
    temp_max_c: float | None = None
    reading_at: datetime | None = None
    settled_soe_kwh: float | None = None
    """Energy at the moment it was last installed on a vehicle (lsoe of the next bill)."""
    cycles_kwh: float = 0.0
    """Energy charged into it here since the record began."""


class ChargeSession(Base, table=True):
    """Charging of one pack in one bay; not a child of any swap, which it outlives."""

    __tablename__ = "charge_session"
    __table_args__ = (
        Index(
            "ix_charge_session_open",
            "station_id",
            "open_pack_id",
            sqlite_where=text("open_pack_id IS NOT NULL"),
            postgresql_where=text("open_pack_id IS NOT NULL"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    pack_id: str = Field(foreign_key="pack.id", max_length=24, index=True)
    bay_id: str = Field(foreign_key="bay.id", max_length=64)
    open_pack_id: str | None = Field(default=None, unique=True, max_length=24)
    started_at: datetime
    ended_at: datetime | None = None
    start_energy_kwh: float
    end_energy_kwh: float | None = None
    start_meter_kwh: float | None = None
    end_meter_kwh: float | None = None


class HotPack(Base, table=True):
    """The newest procedure for a hot pack in a bay; older ones are in the journal."""

    __tablename__ = "hot_pack"
    bay_id: str = Field(primary_key=True, foreign_key="bay.id", max_length=64)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    pack_id: str | None = Field(default=None, max_length=24)
    causes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    detected_at: datetime
    stage: str = Field(max_length=32)
    """A stage of the thermal table."""
    lane_id: str | None = Field(default=None, max_length=32)
    """Lane whose cell was asked to carry it."""
    seq: int | None = None
    """Number of the command that asks for it."""
    deadline_at: datetime | None = None
    confirming: bool = False
    tries: int = 0
    left: bool = False
    """It may hang in the gripper, where a failed evacuation has left it."""
