"""What is charged besides and by swaps: one row for each thing that a buyer owes a seller."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index
from sqlmodel import Field

from swap.tables.base import Base, json_field


class ChargeRow(Base, table=True):
    """One thing charged, never edited: a correction is a further row. A trigger refuses update and delete."""

    __tablename__ = "charge"
    __table_args__ = (
        CheckConstraint("seller_id <> buyer_id", name="two_firms"),
        CheckConstraint("sale IN ('own', 'collected')", name="sale"),
        CheckConstraint("tax_rate_bp >= 0 AND tax_rate_bp <= 10000", name="tax_rate"),
        CheckConstraint("(from_at IS NULL) = (until_at IS NULL)", name="span"),
        Index("ix_charge_by_period", "period", "seller_id", "buyer_id", "id"),
        Index("ix_charge_by_contract", "contract_id", "period", "id"),
        Index("ix_charge_by_time", "made_at", "id"),
        Index("ix_charge_by_buyer", "buyer_id", "made_at", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    source: str = Field(unique=True, max_length=160)
    """What it is for, such as `rent:CONTRACT:COMPONENT:2026-06`: the same thing cannot be charged twice."""
    seller_id: str = Field(foreign_key="party.id", max_length=32)
    buyer_id: str = Field(foreign_key="party.id", max_length=32)
    sale: str = Field(default="own", max_length=16)
    """own: the seller's own sale (自营); collected: collected for another firm (代收), named in the basis."""
    kind: str = Field(max_length=32)
    """rent, overage, distance, per_swap, energy, service, deposit, damage, no_show, …"""
    contract_id: str | None = Field(default=None, max_length=32)
    contract_version: int | None = None
    station_id: str | None = Field(default=None, max_length=32)
    vehicle_id: str | None = Field(default=None, max_length=20)
    pack_id: str | None = Field(default=None, max_length=24)
    swap_id: str | None = Field(default=None, max_length=32)
    period: str = Field(max_length=7)
    """The month it is invoiced in, `2026-06`, in the zone of the contract or the station."""
    from_at: datetime | None = None
    """The time it is for, where it is for a time."""
    until_at: datetime | None = None
    quantity_1e6: int = Field(sa_type=BigInteger)
    """Quantity in millionths of the unit; negative in a correction."""
    unit: str = Field(max_length=16)
    """kwh, kwh_month, month, km, swap, tonne, hour, item."""
    unit_price_1e4_yuan: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)
    """Quantity x unit price (x factors of the basis), half up; with tax where the price has it."""
    tax_included: bool = True
    """The price and the amount have the tax in (含税)."""
    tax_category: str = Field(max_length=32)
    """electricity, rent, service, deposit (no tax), …; which rate it has is a matter of contract and date."""
    tax_rate_bp: int
    """Rate in 1/10 000, as it was when the charge was made."""
    corrects_id: str | None = Field(default=None, foreign_key="charge.id", max_length=32, index=True)
    basis: dict[str, Any] = json_field()
    """Raw values that quantity and price were made from."""
    made_at: datetime
