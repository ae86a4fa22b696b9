"""Bills of swaps and their lines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from swap.tables.base import Base, json_field


class Bill(Base, table=True):
    """One bill; never edited. A correction is a second bill that reverses it.

    What is owed by it is `total_fen`: of each line the amount, and the tax where the price has it not in.
    """

    __tablename__ = "bill"
    __table_args__ = (
        UniqueConstraint("swap_id", "kind"),
        Index("ix_bill_by_issue", "issued_at", "id"),
        Index("ix_bill_by_payer", "payer_id", "issued_at", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    swap_id: str = Field(max_length=32)
    """A swap of the station; its row may be in another database, from whose journal the bill was made."""
    kind: str = Field(default="swap", max_length=16)
    """swap, reversal, correction."""
    payer_id: str = Field(foreign_key="party.id", max_length=32)
    issued_at: datetime
    total_fen: int = Field(sa_type=BigInteger)
    flags: str = ""
    """Comma-separated: first_swap, charged_elsewhere, …"""


class BillLine(Base, table=True):
    """One line: quantity × unit price, rounded half up to the fen; who sells it to whom, and its tax."""

    __tablename__ = "bill_line"
    __table_args__ = (CheckConstraint("tax_rate_bp >= 0 AND tax_rate_bp <= 10000", name="tax_rate"),)
    bill_id: str = Field(primary_key=True, foreign_key="bill.id", max_length=32)
    line_no: int = Field(primary_key=True)
    kind: str = Field(max_length=16)
    """energy, service."""
    seat: int | None = None
    pack_id: str | None = Field(default=None, max_length=24)
    payee_id: str = Field(foreign_key="party.id", max_length=32)
    """The seller, who writes the invoice."""
    buyer_id: str = Field(foreign_key="party.id", max_length=32)
    sale: str = Field(default="own", max_length=16)
    """own: the seller's own sale (自营); collected: collected for `for_id` (代收)."""
    for_id: str | None = Field(default=None, foreign_key="party.id", max_length=32)
    energy_centi_kwh: int = Field(sa_type=BigInteger)
    """Quantity in 0.01 kWh."""
    unit_price_1e4_yuan: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)
    """With the tax where the price has it (含税), else without."""
    tax_included: bool = True
    tax_category: str = Field(max_length=32)
    """electricity, service, …; which rate it has is a matter of contract and date."""
    tax_rate_bp: int
    """Rate in 1/10 000."""
    tax_fen: int = Field(sa_type=BigInteger)
    """In the amount, or on top of it where the price is without tax."""
    priced_at: datetime | None = None
    """The instant whose price it has: the completion of the swap. None in lines older than this column."""
    tariff_period: str | None = Field(default=None, max_length=16)
    """Period of the tariff at that instant."""
    prices_seq: int | None = None
    """Event of the station that tells the prices which it had then."""
    contract_id: str | None = Field(default=None, max_length=32)
    contract_version: int | None = None
    basis: dict[str, Any] = json_field()
    """Raw values that quantity and price were made from."""
