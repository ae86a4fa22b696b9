"""Swaps, their seats, and the commands given to robots."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from swap.tables.base import Base, json_field


class Swap(Base, table=True):
    """One truck's swap, from check-in to release. Terminal states are never left."""

    __tablename__ = "swap"
    __table_args__ = (
        UniqueConstraint("open_vehicle_id"),
        UniqueConstraint("open_lane_id"),
        Index("ix_swap_by_arrival", "station_id", "arrived_at", "id"),
        Index("ix_swap_by_state", "station_id", "state", "arrived_at", "id"),
        Index("ix_swap_by_end", "station_id", "ended_at", "id"),
        Index("ix_swap_by_dispatch", "station_id", "dispatched_at", "id"),
        Index("ix_swap_by_vehicle", "vehicle_id", "arrived_at", "id"),
        Index("ix_swap_of_vehicle_here", "station_id", "vehicle_id", "arrived_at", "id"),
        Index(
            "ix_swap_open",
            "station_id",
            "arrived_at",
            "id",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        CheckConstraint(
            "(ended_at IS NULL) = (state NOT IN ('completed', 'returned', 'cancelled'))",
            name="ended_when_terminal",
        ),
    )
    id: str = Field(primary_key=True, max_length=32)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    vehicle_id: str = Field(foreign_key="vehicle.id", max_length=20)
    booking_id: str | None = Field(default=None, foreign_key="booking.id", unique=True, max_length=32)
    open_vehicle_id: str | None = Field(default=None, max_length=20)
    """Vehicle while the swap is open: at most one open swap for a vehicle."""
    open_lane_id: str | None = Field(default=None, max_length=64)
    """Lane (station:lane) from dispatch to the end: at most one open swap in a lane."""
    lane_id: str | None = Field(default=None, max_length=32)
    recipe: str | None = Field(default=None, max_length=64)
    pack_count: int = 1
    priority: int = 0
    state: str = Field(default="queued", max_length=40)
    """A state of the session table."""
    phase: str = Field(default="pending", max_length=16)
    """Phase inside the state: pending, sent, confirming, held."""
    seq: int | None = None
    """Number of the command in flight."""
    tries: int = 0
    entered_at: datetime
    deadline_at: datetime | None = None
    hold_reason: str | None = None
    hold_detail: dict[str, Any] = json_field()
    checks: dict[str, Any] = json_field()
    """Result and tries of each pre-check."""
    arrived_at: datetime
    dispatched_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str = ""


class SwapSeat(Base, table=True):
    """The packs exchanged in one seat of a swap and what they held."""

    __tablename__ = "swap_seat"
    swap_id: str = Field(primary_key=True, foreign_key="swap.id", max_length=32)
    seat: int = Field(primary_key=True)
    old_pack_id: str | None = Field(default=None, max_length=24)
    new_pack_id: str | None = Field(default=None, max_length=24)
    old_bay_id: str | None = Field(default=None, max_length=64)
    """Where the pack taken off goes."""
    new_bay_id: str | None = Field(default=None, max_length=64)
    """Where the pack put on comes from."""
    last_settled_soe_kwh: float | None = None
    """lsoe: energy of the old pack when it was installed."""
    returned_soe_kwh: float | None = None
    """usoe: its energy when taken off, as its BMS gave it in the bay."""
    returned_soc_pct: float | None = None
    installed_soe_kwh: float | None = None
    """dsoe: energy of the new pack when handed out."""
    installed_soc_pct: float | None = None
    exchanged: bool = False
    """The new pack is on the vehicle."""


class RobotCommandRow(Base, table=True):
    """Every command ever issued, by lane and number; stored before it leaves."""

    __tablename__ = "robot_command"
    __table_args__ = (
        Index("ix_robot_command_lane_seq", "lane_id", "seq"),
        Index("ix_robot_command_by_result", "lane_id", "result"),
    )
    id: int | None = Field(default=None, primary_key=True)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    lane_id: str = Field(max_length=64)
    """Station id, a colon, lane id."""
    seq: int
    swap_id: str | None = Field(default=None, foreign_key="swap.id", index=True, max_length=32)
    state: str = Field(max_length=40)
    code: int
    source: int = 0
    target: int = 0
    vehicle_tag: int = Field(default=0, sa_type=BigInteger)
    issued_at: datetime
    ended_at: datetime | None = None
    result: str = Field(default="open", max_length=16)
    """open, done, failed, aborted, refused, abandoned."""
    fault_code: int = 0
