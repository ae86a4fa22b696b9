"""Receipts of deposits (收据): what was paid for one, and whether it has been released. Call inside a session."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlmodel import col, select

from swap.commerce.ledger.postings import DEPOSIT
from swap.commerce.ledger.records import yuan
from swap.commerce_db import AnyDb
from swap.errors import Conflict, NotFound
from swap.reading.records import Record
from swap.tables import ChargeRow, Payment, PaymentAllocation
from swap.words import N_


class ReceiptPayment(Record):
    """One payment, as far as it was for the deposit."""

    payment_id: str
    method: str
    reference: str
    paid_at: datetime
    amount_yuan: Decimal


class DepositReceipt(Record):
    """What a firm has received as a deposit, which is no sale and has no tax."""

    deposit_id: str
    holder_id: str
    """Who has received it and holds it."""
    owner_id: str
    """Who has paid it and gets it back."""
    contract_id: str | None
    asked_yuan: Decimal
    """The deposit."""
    paid_yuan: Decimal
    """What was paid for it."""
    payments: tuple[ReceiptPayment, ...]
    released_at: datetime | None
    """When it was released, less damage; null while it is held."""


def deposit_receipt(db: AnyDb, deposit_id: str) -> DepositReceipt:
    """The receipt of a deposit.

    Raises:
        NotFound: no such deposit.
        Conflict: nothing has been paid for it.
    """
    deposit = db.get(ChargeRow, deposit_id)
    if deposit is None or deposit.kind != DEPOSIT or deposit.amount_fen <= 0:
        raise NotFound("deposit", deposit_id)
    query = (
        select(Payment, PaymentAllocation)
        .join(PaymentAllocation, col(PaymentAllocation.payment_id) == Payment.id)
        .where(PaymentAllocation.target == f"charge:{deposit_id}", col(PaymentAllocation.amount_fen) > 0)
    )
    payments = tuple(
        ReceiptPayment.of(payment, payment_id=payment.id, amount_yuan=yuan(part.amount_fen))
        for payment, part in db.exec(query.order_by(col(Payment.paid_at), col(Payment.id)))
    )
    if not payments:
        raise Conflict(N_("nothing has been paid for deposit {deposit_id}"), {"deposit_id": deposit_id})
    releases = select(ChargeRow.made_at).where(ChargeRow.corrects_id == deposit_id, ChargeRow.kind == DEPOSIT)
    return DepositReceipt(
        deposit_id=deposit_id,
        holder_id=deposit.seller_id,
        owner_id=deposit.buyer_id,
        contract_id=deposit.contract_id,
        asked_yuan=yuan(deposit.amount_fen),
        paid_yuan=sum((one.amount_yuan for one in payments), Decimal("0.00")),
        payments=payments,
        released_at=db.exec(releases.order_by(col(ChargeRow.made_at))).first(),
    )
