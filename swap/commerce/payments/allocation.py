"""What a payment pays: the debts that the ledger knows of, the oldest first, or one or an invoice's that are named.

A debt is what one firm has to receive from another for one bill or charge, with what was reversed of it taken off. What
was paid for a debt that was reversed later becomes free again by a negative row. Call inside `store.commerce()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case
from sqlmodel import col, func, or_, select

from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.postings import DEBT
from swap.commerce.ledger.transfers import TransferKind
from swap.commerce.seals import sealed
from swap.commerce_db import CommerceDb
from swap.errors import InvalidInput
from swap.lots import lots
from swap.tables import Invoice, InvoiceLine, LedgerLeg, LedgerTransfer, Payment, PaymentAllocation, Refund
from swap.words import N_

DEBTS = ("bill:", "charge:")
"""How sources begin that make debts."""
INVOICE = "invoice:"
"""How a target begins that means what an invoice asks for."""


@dataclass(frozen=True, slots=True)
class Debt:
    """One bill or charge, as far as it is owed."""

    target: str
    owed_fen: int
    """With what was reversed of it; negative where the seller owes."""
    paid_fen: int

    @property
    def open_fen(self) -> int:
        """What is left to pay; negative where more was paid than is owed."""
        return max(self.owed_fen, 0) - self.paid_fen


def debts(db: CommerceDb, seller_id: str, buyer_id: str) -> list[Debt]:
    """Everything that a buyer has come to owe a seller, the oldest first."""
    receivable = Account(seller_id, "receivable", buyer_id).id
    signed = func.sum(case((col(LedgerLeg.debit_id) == receivable, LedgerLeg.amount_fen), else_=-LedgerLeg.amount_fen))
    query = (
        select(LedgerTransfer.about, signed)
        .join(LedgerLeg, col(LedgerLeg.transfer_id) == LedgerTransfer.id)
        .where(
            or_(col(LedgerLeg.debit_id) == receivable, col(LedgerLeg.credit_id) == receivable),
            col(LedgerLeg.kind) == TransferKind.POSTED.value,
            or_(*(col(LedgerTransfer.about).startswith(start) for start in DEBTS)),
        )
        .group_by(col(LedgerTransfer.about))
        .order_by(func.min(LedgerTransfer.at), col(LedgerTransfer.about))
    )
    owed = [(target, int(fen)) for target, fen in db.exec(query)]
    paid = _paid_fen(db, seller_id, buyer_id)
    return [Debt(target, fen, paid.get(target, 0)) for target, fen in owed]


def pay_debts(
    db: CommerceDb, seller_id: str, buyer_id: str, at: datetime, *, first: tuple[Payment, str] | None = None
) -> None:
    """Take back what was paid for debts that were reversed, then let free money pay debts, the oldest first by both.

    Args:
        first: a payment and the debt or invoice that it is meant for, before all else.

    Raises:
        InvalidInput: that debt or invoice is none of this buyer to this seller.
    """
    if first is not None:
        payment, target = first
        free = free_fen(db, payment)
        for meant, open_fen in meant_by(db, target, seller_id, buyer_id):
            fen = min(free, open_fen)
            if fen > 0:
                _allocate(db, payment, meant, fen, at)
                free -= fen
    payments = _payments(db, seller_id, buyer_id)
    left = {debt.target: debt.open_fen for debt in debts(db, seller_id, buyer_id)}
    _take_back(db, payments, left, at)
    for payment in payments:
        free = free_fen(db, payment)
        for target, open_fen in left.items():
            fen = min(free, open_fen)
            if fen > 0:
                _allocate(db, payment, target, fen, at)
                left[target] -= fen
                free -= fen


def meant_by(db: CommerceDb, target: str, seller_id: str, buyer_id: str) -> list[tuple[str, int]]:
    """The debts that a target means, with what is left to pay of each, in fen: itself, or what an invoice asks for,
    line by line.

    Raises:
        InvalidInput: the debt or invoice is none of this buyer to this seller.
    """
    open_fen = {debt.target: debt.open_fen for debt in debts(db, seller_id, buyer_id)}
    if target.startswith(INVOICE):
        invoice = db.get(Invoice, target.removeprefix(INVOICE))
        if invoice is None or (invoice.seller_id, invoice.buyer_id) != (seller_id, buyer_id):
            raise InvalidInput(
                "target", target, N_("an invoice of {seller} to {buyer}"), buyer=buyer_id, seller=seller_id
            )
        asked = _asked_by(db, invoice.id)
        return [(debt, min(fen, open_fen[debt])) for debt, fen in asked.items() if debt in open_fen]
    if target not in open_fen:
        raise InvalidInput(
            "target",
            target,
            N_("what {buyer} owes {seller}: bill:ID, charge:ID or invoice:ID"),
            buyer=buyer_id,
            seller=seller_id,
        )
    return [(target, open_fen[target])]


def _asked_by(db: CommerceDb, invoice_id: str) -> dict[str, int]:
    """What an invoice asks for, fen by debt, in the order of its lines; what it gives back is taken off its debt."""
    lines = db.exec(
        select(InvoiceLine).where(InvoiceLine.invoice_id == invoice_id).order_by(col(InvoiceLine.line_no))
    ).all()
    sources = [f"charge:{line.charge_id}" if line.bill_id is None else f"bill:{line.bill_id}" for line in lines]
    about: dict[str, str] = {}
    for lot in lots(sources):
        query = select(LedgerTransfer.id, LedgerTransfer.about).where(col(LedgerTransfer.id).in_(lot))
        about |= dict(db.exec(query).all())
    asked: dict[str, int] = {}
    for source, line in zip(sources, lines, strict=True):
        debt = about.get(source, source)
        asked[debt] = asked.get(debt, 0) + line.gross_fen
    return asked


def has_payments(db: CommerceDb, seller_id: str, buyer_id: str) -> bool:
    """Whether a buyer has ever paid a seller."""
    query = select(Payment.id).where(Payment.payee_id == seller_id, Payment.payer_id == buyer_id)
    return db.exec(query.limit(1)).first() is not None


def _take_back(db: CommerceDb, payments: Sequence[Payment], left: dict[str, int], at: datetime) -> None:
    """Free what was paid for debts that are owed no more, of the newest payment first."""
    if all(open_fen >= 0 for open_fen in left.values()):
        return
    for payment in reversed(payments):
        for target, paid_fen in allocations_of(db, payment.id).items():
            fen = min(paid_fen, -left.get(target, 0))
            if fen > 0:
                _allocate(db, payment, target, -fen, at)
                left[target] += fen


def _payments(db: CommerceDb, seller_id: str, buyer_id: str) -> Sequence[Payment]:
    query = select(Payment).where(Payment.payee_id == seller_id, Payment.payer_id == buyer_id, Payment.purpose == DEBT)
    return db.exec(query.order_by(col(Payment.paid_at), col(Payment.id))).all()


def _paid_fen(db: CommerceDb, seller_id: str, buyer_id: str) -> dict[str, int]:
    query = (
        select(PaymentAllocation.target, func.sum(PaymentAllocation.amount_fen))
        .join(Payment, col(Payment.id) == PaymentAllocation.payment_id)
        .where(Payment.payee_id == seller_id, Payment.payer_id == buyer_id)
        .group_by(col(PaymentAllocation.target))
    )
    return {target: int(fen) for target, fen in db.exec(query)}


def allocations_of(db: CommerceDb, payment_id: str) -> dict[str, int]:
    """What a payment pays, fen by debt; without debts of which all was taken back."""
    query = (
        select(PaymentAllocation.target, func.sum(PaymentAllocation.amount_fen))
        .where(PaymentAllocation.payment_id == payment_id)
        .group_by(col(PaymentAllocation.target))
        .order_by(func.min(PaymentAllocation.number))
    )
    return {target: int(fen) for target, fen in db.exec(query) if fen}


def refunds_of(db: CommerceDb, payment_id: str) -> Sequence[Refund]:
    """What was given back of a payment, in order."""
    query = select(Refund).where(Refund.payment_id == payment_id)
    return db.exec(query.order_by(col(Refund.made_at), col(Refund.id))).all()


def free_fen(db: CommerceDb, payment: Payment) -> int:
    """What of a payment pays nothing and was not given back. A top-up stands in the wallet: that says what is left."""
    back_fen = sum(refund.amount_fen for refund in refunds_of(db, payment.id))
    return payment.amount_fen - back_fen - sum(allocations_of(db, payment.id).values())


def _allocate(db: CommerceDb, payment: Payment, target: str, fen: int, at: datetime) -> None:
    numbers = select(func.max(PaymentAllocation.number)).where(PaymentAllocation.payment_id == payment.id)
    row = PaymentAllocation(
        payment_id=payment.id,
        number=(db.exec(numbers).one() or 0) + 1,
        target=target,
        amount_fen=fen,
        made_at=at,
    )
    db.add(sealed(row))
    db.flush()
