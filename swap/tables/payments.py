"""Money that comes and goes: payments, what they pay, refunds, lines of bank files, orders of an acquirer, netting.

No row here is ever changed: a trigger refuses it, and `digest` (SHA-256 of its other columns) tells of a change made
behind the trigger.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from swap.tables.base import Base, json_field


class Payment(Base, table=True):
    """Money that one firm has paid to another; never changed, a refund is a row of its own."""

    __tablename__ = "payment"
    __table_args__ = (
        UniqueConstraint("method", "reference"),
        CheckConstraint("amount_fen > 0", name="amount"),
        CheckConstraint("payer_id <> payee_id", name="two_firms"),
        CheckConstraint("(method = 'wallet') = (holder_id IS NOT NULL)", name="wallet_of"),
        Index("ix_payment_by_payer", "payer_id", "paid_at", "id"),
        Index("ix_payment_by_payee", "payee_id", "paid_at", "id"),
        Index("ix_payment_by_time", "paid_at", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    method: str = Field(max_length=16)
    """bank, wallet, channel_a, channel_b; net: set off against what the payee owes (`NetStatement`)."""
    reference: str = Field(max_length=96)
    """Of the bank, the acquirer or the caller: the same payment is taken once."""
    payer_id: str = Field(foreign_key="party.id", max_length=32)
    payee_id: str = Field(foreign_key="party.id", max_length=32)
    holder_id: str | None = Field(default=None, foreign_key="party.id", max_length=32)
    """Whose wallet of the payer it was paid from."""
    purpose: str = Field(max_length=16)
    """debt: pays what is owed; top_up: fills the payer's wallet at the payee."""
    amount_fen: int = Field(sa_type=BigInteger)
    paid_at: datetime
    basis: dict[str, Any] = json_field()
    """Raw values: line of the bank file, order and number of the acquirer, who entered it."""
    digest: str = Field(default="", max_length=64)


class PaymentAllocation(Base, table=True):
    """Which debt a payment pays; a negative amount takes back, where the debt was reversed."""

    __tablename__ = "payment_allocation"
    __table_args__ = (
        CheckConstraint("amount_fen <> 0", name="amount"),
        Index("ix_payment_allocation_by_target", "target", "payment_id"),
    )
    payment_id: str = Field(primary_key=True, foreign_key="payment.id", max_length=32)
    number: int = Field(primary_key=True)
    """From 1 for each payment."""
    target: str = Field(max_length=80)
    """`bill:ID` or `charge:ID`."""
    amount_fen: int = Field(sa_type=BigInteger)
    made_at: datetime
    digest: str = Field(default="", max_length=64)


class Refund(Base, table=True):
    """Money given back of a payment."""

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount"),
        UniqueConstraint("payment_id", "reference"),
        Index("ix_refund_by_time", "made_at", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    payment_id: str = Field(foreign_key="payment.id", max_length=32)
    reference: str = Field(max_length=64)
    """Chosen by the caller: the same refund is made once."""
    amount_fen: int = Field(sa_type=BigInteger)
    reason: str = Field(max_length=200)
    made_at: datetime
    digest: str = Field(default="", max_length=64)


class BankLine(Base, table=True):
    """One line of a bank's statement, as it was in the file."""

    __tablename__ = "bank_line"
    __table_args__ = (
        UniqueConstraint("firm_id", "reference"),
        CheckConstraint("amount_fen <> 0", name="amount"),
        Index("ix_bank_line_by_day", "firm_id", "booked_on", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    firm_id: str = Field(foreign_key="party.id", max_length=32)
    """Whose bank account it is of."""
    reference: str = Field(max_length=64)
    """The bank's number of the line."""
    booked_on: str = Field(max_length=10)
    """Day in the bank's own zone, `2026-06-30`."""
    amount_fen: int = Field(sa_type=BigInteger)
    """What came in; negative: what went out."""
    other_name: str = Field(max_length=200)
    other_account: str = Field(max_length=64)
    memo: str = Field(max_length=400)
    line_no: int
    """In the file; the first line is 1."""
    file_digest: str = Field(max_length=64)
    """SHA-256 of the file, in hex."""
    imported_at: datetime
    digest: str = Field(default="", max_length=64)


class BankLineEnd(Base, table=True):
    """What was found or decided of a line; a line without one is on the work list."""

    __tablename__ = "bank_line_end"
    __table_args__ = (CheckConstraint("(outcome = 'payment') = (payment_id IS NOT NULL)", name="payment"),)
    line_id: str = Field(primary_key=True, foreign_key="bank_line.id", max_length=32)
    outcome: str = Field(max_length=16)
    """payment: it is one; refund: money given back has left; channel: an acquirer has paid out; other: set aside."""
    payment_id: str | None = Field(default=None, foreign_key="payment.id", unique=True, max_length=32)
    detail: str = Field(default="", max_length=200)
    """The channel, or why it was set aside."""
    ended_at: datetime
    digest: str = Field(default="", max_length=64)


class AcquirerOrder(Base, table=True):
    """A sum that an acquirer is asked to collect: paid once an `AcquirerCall` says so, expired by its time."""

    __tablename__ = "acquirer_order"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount"),
        CheckConstraint("expires_at > made_at", name="lasts"),
        UniqueConstraint("payee_id", "key"),
        Index("ix_acquirer_order_by_payer", "payer_id", "made_at", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    channel: str = Field(max_length=16)
    key: str = Field(max_length=96)
    """The payer, and what the caller has chosen: the same order is made once."""
    payer_id: str = Field(foreign_key="party.id", max_length=32)
    payee_id: str = Field(foreign_key="party.id", max_length=32)
    purpose: str = Field(max_length=16)
    target: str | None = Field(default=None, max_length=80)
    """The debt that it is meant for; None: the oldest first."""
    amount_fen: int = Field(sa_type=BigInteger)
    made_at: datetime
    expires_at: datetime
    """A payment that comes later is taken too, and marked late: the money has come."""
    digest: str = Field(default="", max_length=64)


class AcquirerCall(Base, table=True):
    """A signed call of the acquirer that was taken; calls that tell the same again are not written again."""

    __tablename__ = "acquirer_call"
    __table_args__ = (UniqueConstraint("channel", "number"),)
    id: str = Field(primary_key=True, max_length=32)
    channel: str = Field(max_length=16)
    number: str = Field(max_length=64)
    """The acquirer's number of the payment."""
    order_id: str = Field(foreign_key="acquirer_order.id", max_length=32)
    payment_id: str = Field(foreign_key="payment.id", unique=True, max_length=32)
    late: bool
    """It came after the order had expired."""
    got_at: datetime
    digest: str = Field(default="", max_length=64)


class WalletCredit(Base, table=True):
    """How far a wallet may go below 0, from an instant on; the newest row counts."""

    __tablename__ = "wallet_credit"
    __table_args__ = (CheckConstraint("limit_fen >= 0", name="limit"),)
    holder_id: str = Field(primary_key=True, foreign_key="party.id", max_length=32)
    owner_id: str = Field(primary_key=True, foreign_key="party.id", max_length=32)
    set_at: datetime = Field(primary_key=True)
    limit_fen: int = Field(sa_type=BigInteger)
    digest: str = Field(default="", max_length=64)


class NetStatement(Base, table=True):
    """What two firms owe each other, set off against each other; what is left is paid by one of them."""

    __tablename__ = "net_statement"
    __table_args__ = (
        CheckConstraint("first_id < second_id", name="in_order"),
        UniqueConstraint("first_id", "second_id", "until_at"),
    )
    id: str = Field(primary_key=True, max_length=32)
    first_id: str = Field(foreign_key="party.id", max_length=32)
    second_id: str = Field(foreign_key="party.id", max_length=32)
    until_at: datetime
    """Everything before this instant is in it."""
    first_owes_fen: int = Field(sa_type=BigInteger)
    second_owes_fen: int = Field(sa_type=BigInteger)
    offset_fen: int = Field(sa_type=BigInteger)
    """The smaller of the two: set off on both sides."""
    made_at: datetime
    digest: str = Field(default="", max_length=64)
