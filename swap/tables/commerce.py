"""Bookings and bills."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from swap.tables.base import Base, json_field


class Booking(Base, table=True):
    """A promise of a swap in a time window."""

    __tablename__ = "booking"
    __table_args__ = (
        CheckConstraint("window_end_at > window_start_at", name="window"),
        UniqueConstraint("station_id", "idempotency_key"),
        Index(
            "uq_booking_open_vehicle",
            "vehicle_id",
            unique=True,
            sqlite_where=text("status IN ('booked', 'arrived')"),
            postgresql_where=text("status IN ('booked', 'arrived')"),
        ),
    )
    id: str = Field(primary_key=True, max_length=32)
    station_id: str = Field(foreign_key="station.id", max_length=32, index=True)
    vehicle_id: str = Field(foreign_key="vehicle.id", max_length=20)
    window_start_at: datetime
    window_end_at: datetime
    status: str = Field(default="booked", max_length=16)
    """booked, arrived, fulfilled, expired, cancelled, failed."""
    idempotency_key: str | None = Field(default=None, max_length=64)
    created_at: datetime


class Bill(Base, table=True):
    """One bill; never edited. A correction is a second bill that reverses it."""

    __tablename__ = "bill"
    __table_args__ = (UniqueConstraint("swap_id", "kind"),)
    id: str = Field(primary_key=True, max_length=32)
    swap_id: str = Field(foreign_key="swap.id", max_length=32, index=True)
    kind: str = Field(default="swap", max_length=16)
    """swap, reversal."""
    payer_id: str = Field(foreign_key="party.id", max_length=32)
    issued_at: datetime
    total_fen: int = Field(sa_type=BigInteger)
    flags: str = ""
    """Comma-separated: first_swap, charged_elsewhere, …"""


class BillLine(Base, table=True):
    """One line: quantity × unit price, rounded half up to the fen."""

    __tablename__ = "bill_line"
    bill_id: str = Field(primary_key=True, foreign_key="bill.id", max_length=32)
    line_no: int = Field(primary_key=True)
    kind: str = Field(max_length=16)
    """energy, service."""
    seat: int | None = None
    pack_id: str | None = Field(default=None, max_length=24)
    payee_id: str = Field(foreign_key="party.id", max_length=32)
    energy_centi_kwh: int = Field(sa_type=BigInteger)
    """Quantity in 0.01 kWh."""
    unit_price_1e4_yuan: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)
    basis: dict[str, Any] = json_field()
    """Raw values the quantity and the price were made from."""
