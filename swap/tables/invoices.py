"""Invoices, closed months, and what a seller's income is shared into. Nothing of it is ever edited: triggers refuse."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field

from swap.tables.base import Base


class BillingPeriod(Base, table=True):
    """A month that a seller has closed. What comes later goes into a month that is open."""

    __tablename__ = "billing_period"
    seller_id: str = Field(primary_key=True, foreign_key="party.id", max_length=32)
    period: str = Field(primary_key=True, max_length=7)
    """`2026-06`."""
    closed_at: datetime
    closed_by: str = Field(max_length=64)
    """`person:` and an id, or a machine's name."""
    digest: str = Field(max_length=64)
    """SHA-256 of the period, its invoices and settlements and the digest of the seller's period before."""


class ClosingClaim(Base, table=True):
    """Whoever closes a seller's month in several commits. Goes with the last of them, or to the next who closes it."""

    __tablename__ = "closing_claim"
    seller_id: str = Field(primary_key=True, foreign_key="party.id", max_length=32)
    token: str = Field(max_length=32)
    """Of the one closing that may write; another takes its place by a token of its own."""


class Invoice(Base, table=True):
    """What one seller asks of one buyer for a month; or, red, what an earlier invoice asked too much."""

    __tablename__ = "invoice"
    __table_args__ = (
        UniqueConstraint("seller_id", "number"),
        CheckConstraint("seller_id <> buyer_id", name="two_firms"),
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint("net_fen + tax_fen = gross_fen", name="adds_up"),
        CheckConstraint(
            "(kind = 'invoice' AND corrects_id IS NULL AND gross_fen >= 0)"
            " OR (kind = 'red' AND corrects_id IS NOT NULL AND gross_fen <= 0)",
            name="red_names_what_it_corrects",
        ),
        Index("ix_invoice_by_period", "seller_id", "period", "number"),
        Index("ix_invoice_by_buyer", "buyer_id", "issued_at", "id"),
        Index("ix_invoice_by_issue", "issued_at", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    seller_id: str = Field(foreign_key="party.id", max_length=32)
    number: int
    """From 1 without gaps, for each seller."""
    buyer_id: str = Field(foreign_key="party.id", max_length=32)
    period: str = Field(max_length=7)
    kind: str = Field(default="invoice", max_length=16)
    """invoice, or red: the red letter (红字) of an earlier one."""
    corrects_id: str | None = Field(default=None, foreign_key="invoice.id", max_length=32)
    net_fen: int = Field(sa_type=BigInteger)
    tax_fen: int = Field(sa_type=BigInteger)
    gross_fen: int = Field(sa_type=BigInteger)
    issued_at: datetime


class InvoiceLine(Base, table=True):
    """One line of an invoice: a line of a bill, or a charge; each is taken once.

    The lines of a long month are written before their invoice. While that is not there they are a draft: it counts
    nowhere, and may be deleted.
    """

    __tablename__ = "invoice_line"
    __table_args__ = (
        UniqueConstraint("bill_id", "bill_line_no"),
        UniqueConstraint("charge_id"),
        CheckConstraint(
            "(bill_id IS NULL) = (bill_line_no IS NULL) AND (bill_id IS NULL) <> (charge_id IS NULL)", name="one_source"
        ),
        CheckConstraint("net_fen + tax_fen = gross_fen", name="adds_up"),
        ForeignKeyConstraint(["bill_id", "bill_line_no"], ["bill_line.bill_id", "bill_line.line_no"]),
    )
    invoice_id: str = Field(primary_key=True, max_length=32)
    """No foreign key: a draft has no invoice yet."""
    line_no: int = Field(primary_key=True)
    bill_id: str | None = Field(default=None, max_length=32)
    bill_line_no: int | None = None
    charge_id: str | None = Field(default=None, foreign_key="charge.id", max_length=32)
    source_digest: str = Field(max_length=64)
    """SHA-256 of the row that was taken, as it was then."""
    kind: str = Field(max_length=32)
    """energy, service, rent, …"""
    sale: str = Field(max_length=16)
    """own (自营) or collected (代收)."""
    for_id: str | None = Field(default=None, foreign_key="party.id", max_length=32)
    quantity_1e6: int = Field(sa_type=BigInteger)
    unit: str = Field(max_length=16)
    unit_price_1e4_yuan: int = Field(sa_type=BigInteger)
    tax_included: bool
    """The unit price has the tax in."""
    tax_category: str = Field(max_length=32)
    tax_rate_bp: int
    net_fen: int = Field(sa_type=BigInteger)
    tax_fen: int = Field(sa_type=BigInteger)
    """Half up, line by line."""
    gross_fen: int = Field(sa_type=BigInteger)


class Settlement(Base, table=True):
    """A seller's income of a month and a station that is shared, by the shares that the station had."""

    __tablename__ = "settlement"
    __table_args__ = (UniqueConstraint("seller_id", "period", "station_id", "kind", "prices_seq"),)
    id: str = Field(primary_key=True, max_length=32)
    seller_id: str = Field(foreign_key="party.id", max_length=32)
    period: str = Field(max_length=7)
    station_id: str = Field(foreign_key="station.id", max_length=32)
    kind: str = Field(max_length=32)
    """Kind of the lines whose income is shared: energy or service."""
    prices_seq: int
    """Event of the station that tells the shares."""
    income_fen: int = Field(sa_type=BigInteger)
    """Without tax."""
    made_at: datetime


class SettlementShare(Base, table=True):
    """What one firm gets of a settlement."""

    __tablename__ = "settlement_share"
    settlement_id: str = Field(primary_key=True, foreign_key="settlement.id", max_length=32)
    party_id: str = Field(primary_key=True, foreign_key="party.id", max_length=32)
    share_bp: int
    """In 1/10 000."""
    takes_rest: bool = False
    """It gets what rounding leaves over; exactly one does."""
    amount_fen: int = Field(sa_type=BigInteger)
