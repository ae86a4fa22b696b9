"""What is read of payments."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from swap.reading.records import Record


class AllocationRecord(Record):
    """What of a payment pays a debt."""

    target: str
    """`bill:ID` or `charge:ID`."""
    amount_yuan: Decimal


class RefundRecord(Record):
    """Money given back of a payment."""

    refund_id: str
    payment_id: str
    amount_yuan: Decimal
    reason: str
    made_at: datetime


class PaymentRecord(Record):
    """One payment, what it pays and what was given back of it."""

    payment_id: str
    method: str
    """bank, wallet, channel_a, channel_b."""
    reference: str
    payer_id: str
    payee_id: str
    purpose: str
    """debt, or top_up of a wallet."""
    amount_yuan: Decimal
    free_yuan: Decimal
    """What pays nothing yet and was not given back."""
    fee_yuan: Decimal
    """What the acquirer keeps of it; the payee gets the rest."""
    paid_at: datetime
    allocations: tuple[AllocationRecord, ...]
    refunds: tuple[RefundRecord, ...]


class OrderRecord(Record):
    """A sum that the acquirer is asked to collect."""

    order_id: str
    channel: str
    payer_id: str
    payee_id: str
    purpose: str
    target: str | None
    amount_yuan: Decimal
    made_at: datetime
    expires_at: datetime
    state: Literal["open", "paid", "expired"]
    payment_id: str | None
    """The payment once it is paid; of several the first."""


class PaidOrOrdered(Record):
    """What came of a wish to pay: a payment from a wallet, or an order that the payer pays at the acquirer."""

    payment: PaymentRecord | None = None
    order: OrderRecord | None = None


class BankLineRecord(Record):
    """One line of a bank's statement."""

    line_id: str
    firm_id: str
    reference: str
    booked_on: str
    """Day in the bank's own zone."""
    amount_yuan: Decimal
    """Negative: what went out."""
    other_name: str
    other_account: str
    memo: str
    line_no: int
    outcome: str | None
    """payment, refund, channel, other; null: it is on the work list."""
    payment_id: str | None
    detail: str


class BankFileRecord(Record):
    """What came of a bank file."""

    encoding: str
    lines: tuple[BankLineRecord, ...]
    open_count: int
    """How many of them are on the work list."""
