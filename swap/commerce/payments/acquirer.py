"""An acquirer with two channels: orders that it collects, and its signed calls. Call inside `store.commerce()`.

A call is signed with HMAC-SHA256 over its instant and its body, by a key of the channel. It is taken within a window of
time only; the same call again has no further effect. One that comes after the order's time is taken too, and marked
late: the money has come, and pays what is open, or stays free. The interface is our own: calls of a real acquirer are
translated to it at the edge.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlmodel import col, select

from swap.commerce.errors import SignatureWrong
from swap.commerce.ledger.postings import CHANNELS, DEBT, TOP_UP
from swap.commerce.ledger.records import yuan
from swap.commerce.payments.allocation import meant_by
from swap.commerce.payments.records import OrderRecord
from swap.commerce.payments.taking import NewPayment, check_amount, check_firms, own_reference, take
from swap.commerce.seals import sealed
from swap.commerce_db import CommerceDb
from swap.errors import InvalidInput, KeyReused, NotFound
from swap.ids import new_id
from swap.tables import AcquirerCall, AcquirerOrder
from swap.words import N_

WINDOW = timedelta(minutes=5)
"""How far the instant of a call may be from ours, either way."""
ORDER_LASTS = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class PaidCall:
    """What a call says: an order was paid."""

    channel: str
    number: str
    """The acquirer's number of the payment."""
    order_id: str
    amount_fen: int
    fee_fen: int = 0
    """What the acquirer keeps of it (手续费)."""


def signature(secret: str, channel: str, timestamp: str, body: bytes) -> str:
    """The signature of a call, in hex; each channel has a key of its own.

    Args:
        timestamp: seconds since 1970 UTC, as text.
    """
    key = hmac.digest(secret.encode(), f"acquirer:{channel}".encode(), "sha256")
    return hmac.new(key, timestamp.encode() + b"\n" + body, hashlib.sha256).hexdigest()


def check_signature(secret: str, channel: str, timestamp: str, body: bytes, given: str, at: datetime) -> None:
    """Check that a call comes from the acquirer, and now.

    Raises:
        SignatureWrong: the signature is another, or the instant is none, or too far from ours.
    """
    expected = signature(secret, channel, timestamp, body)
    if not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
        raise SignatureWrong(N_("the signature of the call is wrong"))
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 12:
        raise SignatureWrong(N_("the call has no instant: seconds since 1970 UTC"))
    away_s = abs(at.timestamp() - int(timestamp))
    if away_s > WINDOW.total_seconds():
        raise SignatureWrong(
            N_("the call is {away_s} s away from now; allowed {window_s} s"),
            away_s=round(away_s),
            window_s=round(WINDOW.total_seconds()),
        )


def make_order(
    db: CommerceDb,
    *,
    channel: str,
    payer_id: str,
    payee_id: str,
    amount_fen: int,
    key: str,
    at: datetime,
    purpose: str = DEBT,
    target: str | None = None,
) -> OrderRecord:
    """Ask the acquirer to collect a sum; the known order where the payer has used its key before.

    Raises:
        NotFound, InvalidInput: no such firm, channel or amount, or a target that the payer does not owe the payee.
        KeyReused: the key belongs to another order of the payer.
    """
    check_firms(db, payer_id=payer_id, payee_id=payee_id)
    check_amount(amount_fen)
    if channel not in CHANNELS:
        raise InvalidInput("channel", channel, "{channels}", channels=", ".join(CHANNELS))
    if purpose not in (DEBT, TOP_UP):
        raise InvalidInput("purpose", purpose, f"{DEBT}, {TOP_UP}")
    own_key = own_reference(payer_id, key)
    its = AcquirerOrder.payee_id == payee_id, AcquirerOrder.key == own_key
    known = db.exec(select(AcquirerOrder).where(*its)).first()
    if known is not None:
        same = (known.channel, known.payer_id, known.amount_fen, known.purpose, known.target)
        if same != (channel, payer_id, amount_fen, purpose, target):
            raise KeyReused(
                N_("key {key} belongs to order {order_id}, which is another"), {"order_id": known.id}, key=key
            )
        return _record(db, known, at)
    if target is not None:
        meant_by(db, target, payee_id, payer_id)
    row = AcquirerOrder(
        id=new_id("ao", at),
        channel=channel,
        key=own_key,
        payer_id=payer_id,
        payee_id=payee_id,
        purpose=purpose,
        target=target,
        amount_fen=amount_fen,
        made_at=at,
        expires_at=at + ORDER_LASTS,
    )
    db.add(sealed(row))
    db.flush()
    return _record(db, row, at)


def take_call(db: CommerceDb, call: PaidCall, at: datetime) -> OrderRecord:
    """Take a payment that the acquirer has told of, once. Its signature has been checked.

    Raises:
        NotFound: no such order of the channel.
        InvalidInput: the amount is not that of the order, or the fee is not below it.
        KeyReused: the number belongs to another payment.
    """
    order = db.get(AcquirerOrder, call.order_id)
    if order is None or order.channel != call.channel:
        raise NotFound("order", call.order_id)
    if call.amount_fen != order.amount_fen:
        raise InvalidInput("amount_yuan", str(yuan(call.amount_fen)), "{amount}", amount=yuan(order.amount_fen))
    if not 0 <= call.fee_fen < call.amount_fen:
        most = yuan(call.amount_fen - 1)
        raise InvalidInput("fee_yuan", str(yuan(call.fee_fen)), "0.00…{most}", most=most)
    known = db.exec(
        select(AcquirerCall).where(AcquirerCall.channel == call.channel, AcquirerCall.number == call.number)
    ).first()
    if known is not None:
        if known.order_id != call.order_id:
            raise KeyReused(
                N_("number {number} belongs to order {order_id}"), {"order_id": known.order_id}, number=call.number
            )
        return _record(db, order, at)
    late = at >= order.expires_at
    basis: dict[str, object] = {"order": order.id, "late": late}
    if call.fee_fen:
        basis["fee_fen"] = call.fee_fen
    new = NewPayment(
        order.channel, call.number, order.payer_id, order.payee_id, order.amount_fen, order.purpose,
        target=order.target, basis=basis,
    )  # fmt: skip
    payment, _ = take(db, new, at)
    row = AcquirerCall(
        id=new_id("ac", at),
        channel=call.channel,
        number=call.number,
        order_id=order.id,
        payment_id=payment.id,
        late=late,
        got_at=at,
    )
    db.add(sealed(row))
    db.flush()
    return _record(db, order, at)


def get_order(db: CommerceDb, order_id: str, at: datetime) -> OrderRecord:
    """One order, as it stands at an instant. Raises NotFound."""
    row = db.get(AcquirerOrder, order_id)
    if row is None:
        raise NotFound("order", order_id)
    return _record(db, row, at)


def _record(db: CommerceDb, row: AcquirerOrder, at: datetime) -> OrderRecord:
    calls = select(AcquirerCall.payment_id).where(AcquirerCall.order_id == row.id)
    payment_id = db.exec(calls.order_by(col(AcquirerCall.got_at), col(AcquirerCall.id))).first()
    state: Literal["open", "paid", "expired"] = "open" if at < row.expires_at else "expired"
    return OrderRecord.of(
        row,
        order_id=row.id,
        amount_yuan=yuan(row.amount_fen),
        state="paid" if payment_id is not None else state,
        payment_id=payment_id,
    )
