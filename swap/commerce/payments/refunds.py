"""Money given back: never more than was paid, and not what pays a debt."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import select

from swap.commerce.errors import NotRefundable
from swap.commerce.ledger.book import post
from swap.commerce.ledger.postings import DEBT, NET, GivenBack, postings_of
from swap.commerce.ledger.records import yuan
from swap.commerce.payments.allocation import free_fen, pay_debts
from swap.commerce.payments.records import RefundRecord
from swap.commerce.payments.taking import as_paid, check_amount
from swap.commerce.seals import sealed
from swap.commerce.webhooks.kinds import WebhookKind
from swap.commerce.webhooks.outbox import tell
from swap.commerce_db import CommerceDb
from swap.errors import KeyReused, NotFound
from swap.ids import new_id
from swap.tables import Payment, Refund
from swap.words import N_


def refund(
    db: CommerceDb, payment_id: str, amount_fen: int, *, reference: str, reason: str, at: datetime
) -> RefundRecord:
    """Give money of a payment back, by the way it came; the known refund where its reference was used before.

    What was paid for debts that have been reversed since is free, and taken back first. A wallet is emptied no further
    than to 0, whatever credit it has. Call inside `store.commerce()`.

    Raises:
        NotFound: no such payment.
        InvalidInput: the amount is not above 0.
        KeyReused: the reference belongs to another refund of the payment.
        NotRefundable: less is left of the payment, or it was set off.
        Overdrawn: less is left in the wallet that it filled.
    """
    payment = db.get(Payment, payment_id)
    if payment is None:
        raise NotFound("payment", payment_id)
    check_amount(amount_fen)
    known = db.exec(select(Refund).where(Refund.payment_id == payment_id, Refund.reference == reference)).first()
    if known is not None:
        if known.amount_fen != amount_fen:
            raise KeyReused(
                N_("reference {reference} belongs to refund {refund_id} of {amount_yuan} yuan"),
                {"refund_id": known.id},
                reference=reference,
                amount_yuan=yuan(known.amount_fen),
            )
        return RefundRecord.of(known, refund_id=known.id, amount_yuan=yuan(known.amount_fen))
    if payment.method == NET:
        raise NotRefundable(N_("payment {payment_id} was set off: no money has come"), payment_id=payment_id)
    if payment.purpose == DEBT:
        pay_debts(db, payment.payee_id, payment.payer_id, at)
    left_fen = free_fen(db, payment)
    if amount_fen > left_fen:
        raise NotRefundable(
            N_("{amount_yuan} yuan of payment {payment_id}: {left_yuan} are left, the rest pays debts or went back"),
            payment_id=payment_id,
            amount_yuan=yuan(amount_fen),
            left_yuan=yuan(left_fen),
        )
    row = Refund(
        id=new_id("rf", at),
        payment_id=payment_id,
        reference=reference,
        amount_fen=amount_fen,
        reason=reason,
        made_at=at,
    )
    db.add(sealed(row))
    db.flush()
    post(db, postings_of(GivenBack(row.id, at, as_paid(payment), amount_fen, row.digest)))
    firms = (payment.payer_id, payment.payee_id)
    tell(db, firms, WebhookKind.PAYMENT_REFUNDED, "payment", payment_id, at, refund_id=row.id)
    return RefundRecord.of(row, refund_id=row.id, amount_yuan=yuan(amount_fen))
