"""Bookings, and the rules that make them again and again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, Column, Index, UniqueConstraint
from sqlmodel import Field

from swap.tables.base import Base


def _list() -> Column[object]:
    return Column(JSON, nullable=False)


class Booking(Base, table=True):
    """A promise of a swap in a time window."""

    __tablename__ = "booking"
    __table_args__ = (
        CheckConstraint("window_end_at > window_start_at", name="window"),
        CheckConstraint("(alternative_start_at IS NULL) = (alternative_end_at IS NULL)", name="alternative"),
        UniqueConstraint("standing_id", "standing_on"),
        Index("ix_booking_by_window", "station_id", "window_start_at", "id"),
        Index("ix_booking_by_status", "station_id", "status", "window_start_at", "id"),
        Index("ix_booking_of_vehicle_here", "station_id", "vehicle_id", "window_start_at", "id"),
        Index("ix_booking_of_vehicle_by_status", "station_id", "vehicle_id", "status", "window_start_at", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    vehicle_id: str = Field(foreign_key="vehicle.id", max_length=20)
    window_start_at: datetime
    window_end_at: datetime
    status: str = Field(default="booked", max_length=16)
    """booked, disrupted, arrived, fulfilled, expired, cancelled, failed."""
    kinds: list[str] = Field(default_factory=list, sa_column=_list())
    """Pack kinds that are promised, any of them."""
    packs: int = 1
    """Packs that the truck exchanges."""
    min_kwh: float = 0.0
    """Least energy in each pack handed out."""
    priority: int = 0
    """Of its contract's class; higher goes first."""
    promised_in: str = Field(default="automatic", max_length=16)
    """Mode of the station when it was promised; not `automatic`: on the expectation that it is back by then."""
    trouble: str = Field(default="", max_length=32)
    """Why the promise cannot be kept as things stand; empty while it can."""
    alternative_start_at: datetime | None = None
    """Of a disrupted booking: another window, kept for it."""
    alternative_end_at: datetime | None = None
    alternative_until_at: datetime | None = None
    """Until when the alternative is kept."""
    standing_id: str | None = Field(default=None, foreign_key="standing_booking.id", max_length=32)
    """The standing booking that made it."""
    standing_on: str | None = Field(default=None, max_length=10)
    """The local day for which that made it, `2026-09-01`."""
    created_at: datetime


class StandingBooking(Base, table=True):
    """A rule that books the same window on certain weekdays, as far ahead as bookings reach."""

    __tablename__ = "standing_booking"
    __table_args__ = (
        CheckConstraint("window_min > 0", name="window"),
        Index("ix_standing_booking_by_status", "station_id", "status", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    vehicle_id: str = Field(foreign_key="vehicle.id", max_length=20)
    status: str = Field(default="active", max_length=16)
    """active, ended."""
    weekdays: list[int] = Field(default_factory=list, sa_column=_list())
    """1 Monday … 7 Sunday."""
    local_time: str = Field(max_length=5)
    """Begin of the window in the station's zone, `07:10`."""
    window_min: int
    kinds: list[str] = Field(default_factory=list, sa_column=_list())
    packs: int = 1
    min_kwh: float = 0.0
    starts_on: str = Field(max_length=10)
    """First local day, `2026-09-01`."""
    ends_on: str | None = Field(default=None, max_length=10)
    """Last local day; None: until it is ended."""
    exceptions: list[str] = Field(default_factory=list, sa_column=_list())
    """Local days on which it does not book."""
    made_until: str | None = Field(default=None, max_length=10)
    """The last local day that has been dealt with."""
    created_at: datetime
