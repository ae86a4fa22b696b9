"""Payments, each taken once. Call inside `store.commerce()`: the row and its posting are stored together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import col, or_, select

from swap.commerce.ledger.book import NO_CREDIT, post
from swap.commerce.ledger.postings import DEBT, METHODS, Paid, postings_of
from swap.commerce.ledger.records import yuan
from swap.commerce.ledger.transfers import MOST_FEN
from swap.commerce.payments.allocation import INVOICE, allocations_of, free_fen, pay_debts, refunds_of
from swap.commerce.payments.records import AllocationRecord, PaymentRecord, RefundRecord
from swap.commerce.seals import digest_of_all, sealed
from swap.commerce.webhooks.kinds import WebhookKind
from swap.commerce.webhooks.outbox import tell
from swap.commerce_db import CommerceDb
from swap.errors import InvalidInput, KeyReused, NotFound
from swap.ids import new_id
from swap.paging import Order, between, cut
from swap.reading.records import Page
from swap.tables import Party, Payment
from swap.words import N_

REFERENCE_MOST = 96
"""Characters of a reference."""


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment that is to be taken; the fields of `Payment`."""

    method: str
    reference: str
    payer_id: str
    payee_id: str
    amount_fen: int
    purpose: str = DEBT
    holder_id: str | None = None
    target: str | None = None
    """The debt or invoice that it is meant for; None: the oldest first."""
    basis: Mapping[str, Any] = field(default_factory=dict)


def take(
    db: CommerceDb, new: NewPayment, at: datetime, *, credit_fen: Mapping[str, int] = NO_CREDIT
) -> tuple[Payment, bool]:
    """Take a payment, post it and let it pay debts; the known one, and False, where its reference was taken before.

    Args:
        credit_fen: how far wallets may go below 0, by account.

    Raises:
        InvalidInput: a value is not allowed, or the target is no debt of this payer to this payee.
        NotFound: no such firm.
        KeyReused: the reference was taken for another payment.
        Overdrawn: the wallet has not so much.
    """
    check_firms(db, payer_id=new.payer_id, payee_id=new.payee_id)
    check_amount(new.amount_fen)
    if new.method not in METHODS:
        raise InvalidInput("method", new.method, "{methods}", methods=", ".join(METHODS))
    known = db.exec(select(Payment).where(Payment.method == new.method, Payment.reference == new.reference)).first()
    if known is not None:
        same = (known.payer_id, known.payee_id, known.amount_fen, known.purpose, known.holder_id)
        if same != (new.payer_id, new.payee_id, new.amount_fen, new.purpose, new.holder_id):
            raise KeyReused(
                N_("reference {reference} belongs to payment {payment_id}, which is another"),
                {"payment_id": known.id},
                reference=new.reference,
            )
        return known, False
    payment = Payment(
        id=new_id("pm", at),
        method=new.method,
        reference=new.reference,
        payer_id=new.payer_id,
        payee_id=new.payee_id,
        holder_id=new.holder_id,
        purpose=new.purpose,
        amount_fen=new.amount_fen,
        paid_at=at,
        basis=dict(new.basis) | ({"target": new.target} if new.target and new.target.startswith(INVOICE) else {}),
    )
    db.add(sealed(payment))
    db.flush()
    post(db, postings_of(as_paid(payment)), credit_fen=credit_fen)
    if new.purpose == DEBT:
        pay_debts(db, new.payee_id, new.payer_id, at, first=(payment, new.target) if new.target else None)
    firms = (payment.payer_id, payment.payee_id)
    tell(db, firms, WebhookKind.PAYMENT_TAKEN, "payment", payment.id, at, purpose=payment.purpose)
    return payment, True


def own_reference(payer_id: str, key: str) -> str:
    """What a key of a payer's own choice is kept as: the same key of another payer is another one."""
    reference = f"{payer_id}:{key}"
    return reference if len(reference) <= REFERENCE_MOST else digest_of_all(reference)


def fee_fen_of(payment: Any) -> int:
    """What the acquirer keeps of a payment, given by its row."""
    return int(payment.basis.get("fee_fen", 0))


def as_paid(payment: Any) -> Paid:
    """A payment's row as the ledger needs it."""
    return Paid(
        payment.id, payment.paid_at, payment.method, payment.payer_id, payment.payee_id, payment.purpose,
        payment.amount_fen, payment.holder_id, payment.basis.get("hold"), fee_fen_of(payment), payment.digest,
    )  # fmt: skip


def check_firms(db: CommerceDb, **firms: str) -> None:
    """Raise NotFound for a firm that is not there, and InvalidInput where the two are one."""
    for firm_id in firms.values():
        if db.get(Party, firm_id) is None:
            raise NotFound("party", firm_id)
    if len(set(firms.values())) < len(firms):
        name, firm_id = list(firms.items())[-1]
        raise InvalidInput(name, firm_id, N_("another firm than the one that pays"))


def check_amount(fen: int) -> None:
    """Raise InvalidInput for an amount that is none."""
    if not 0 < fen <= MOST_FEN:
        raise InvalidInput("amount_yuan", str(yuan(fen)), "0.01…{most}", most=yuan(MOST_FEN))


def get_payment(db: CommerceDb, payment_id: str) -> PaymentRecord:
    """One payment. Raises NotFound."""
    row = db.get(Payment, payment_id)
    if row is None:
        raise NotFound("payment", payment_id)
    return _record(db, row)


def list_payments(
    db: CommerceDb,
    *,
    firm_ids: Iterable[str] | None = None,
    payer_id: str | None = None,
    payee_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[PaymentRecord]:
    """Payments, newest first.

    Args:
        firm_ids: only those that one of these firms pays or gets; None: all.
    """
    query = select(Payment).where(*between(col(Payment.paid_at), from_at, to_at))
    if firm_ids is not None:
        firms = tuple(firm_ids)
        query = query.where(or_(col(Payment.payer_id).in_(firms), col(Payment.payee_id).in_(firms)))
    if payer_id is not None:
        query = query.where(Payment.payer_id == payer_id)
    if payee_id is not None:
        query = query.where(Payment.payee_id == payee_id)
    query = Order(col(Payment.id), col(Payment.paid_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.paid_at)
    return Page(items=tuple(_record(db, row) for row in rows), next_cursor=following)


def _record(db: CommerceDb, row: Payment) -> PaymentRecord:
    return PaymentRecord.of(
        row,
        payment_id=row.id,
        amount_yuan=yuan(row.amount_fen),
        free_yuan=yuan(free_fen(db, row)),
        fee_yuan=yuan(fee_fen_of(row)),
        allocations=tuple(
            AllocationRecord(target=target, amount_yuan=yuan(fen)) for target, fen in allocations_of(db, row.id).items()
        ),
        refunds=tuple(
            RefundRecord.of(refund, refund_id=refund.id, amount_yuan=yuan(refund.amount_fen))
            for refund in refunds_of(db, row.id)
        ),
    )
