"""The ledger: accounts, transfers between them, and the legs of each transfer. Nothing here is ever changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, String, UniqueConstraint
from sqlmodel import Field

from swap.tables.base import Base


class LedgerAccount(Base, table=True):
    """One account of a firm; its kind stands in the chart of accounts."""

    __tablename__ = "ledger_account"
    __table_args__ = (UniqueConstraint("firm_id", "kind", "detail"),)
    id: str = Field(primary_key=True, max_length=120)
    """Firm, kind and detail with colons between them."""
    firm_id: str = Field(foreign_key="party.id", max_length=32)
    kind: str = Field(max_length=32)
    detail: str = Field(default="", max_length=48)
    """The other firm, the category or the channel, by kind; empty where the kind has one account."""
    opened_at: datetime


class LedgerTransfer(Base, table=True):
    """The seal of a transfer: inserted after its legs, and refused by a trigger where they are not what it says."""

    __tablename__ = "ledger_transfer"
    __table_args__ = (
        CheckConstraint("(kind = 'pending') = (expires_at IS NOT NULL)", name="pending_expires"),
        CheckConstraint("kind <> 'void' OR (settles_id IS NOT NULL AND legs = 0)", name="void_settles"),
        CheckConstraint("kind <> 'pending' OR settles_id IS NULL", name="pending_settles_nothing"),
        Index("ix_ledger_transfer_by_at", "at", "id"),
        Index("ix_ledger_transfer_by_about", "about", "id"),
        Index("ix_ledger_transfer_by_expiry", "kind", "expires_at", "id"),
    )
    id: str = Field(primary_key=True, max_length=64)
    """Chosen by who posts: the same id cannot be posted twice."""
    source: str = Field(max_length=80)
    """What it was made from: `bill:ID`, `charge:ID`, `payment:ID`, …"""
    about: str = Field(max_length=80)
    """What is owed or paid by it: of a correction the source that it corrects, else its own source."""
    kind: str = Field(max_length=8)
    """posted; pending: held until it is settled or expires; void: ends a pending one without effect."""
    settles_id: str | None = Field(default=None, foreign_key="ledger_transfer.id", unique=True, max_length=64)
    """The pending transfer that this one posts or voids; each is settled once."""
    at: datetime
    expires_at: datetime | None = None
    """From this instant on a pending transfer holds nothing."""
    legs: int
    total_fen: int = Field(sa_type=BigInteger)
    """Sum of its legs."""
    source_digest: str = Field(default="", max_length=64)
    """SHA-256 of the rows that it was made from, in hex: a change of them behind their triggers is told by it."""
    digest: str = Field(max_length=64)
    """SHA-256 of the whole transfer, in hex: the same id with other content is refused."""


class LedgerLeg(Base, table=True):
    """One amount from one account to another of the same firm."""

    __tablename__ = "ledger_leg"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount"),
        CheckConstraint("debit_id <> credit_id", name="two_accounts"),
        Index("ix_ledger_leg_by_debit", "debit_id", "at", "transfer_id", "leg_no"),
        Index("ix_ledger_leg_by_credit", "credit_id", "at", "transfer_id", "leg_no"),
    )
    # Deferred: legs come before their seal, and a commit without it fails.
    transfer_id: str = Field(
        sa_column=Column(
            String(64), ForeignKey("ledger_transfer.id", deferrable=True, initially="DEFERRED"), primary_key=True
        )
    )
    leg_no: int = Field(primary_key=True)
    debit_id: str = Field(foreign_key="ledger_account.id", max_length=120)
    credit_id: str = Field(foreign_key="ledger_account.id", max_length=120)
    amount_fen: int = Field(sa_type=BigInteger)
    at: datetime
    """That of its transfer."""
    kind: str = Field(max_length=8)
    """That of its transfer."""
