"""Wallets: money that one firm holds for another, paid in before and spent later. Call inside `store.commerce()`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlmodel import col, select

from swap.commerce.ledger.balances import held_legs
from swap.commerce.ledger.book import post, void
from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.postings import DEBT, WALLET, Paid, postings_of
from swap.commerce.ledger.transfers import TransferKind
from swap.commerce.payments.taking import NewPayment, check_amount, check_firms, take
from swap.commerce.seals import digest_of_all, sealed
from swap.commerce_db import CommerceDb
from swap.errors import InvalidInput, NotFound
from swap.tables import LedgerTransfer, Payment, WalletCredit
from swap.words import N_


def grant_credit(db: CommerceDb, holder_id: str, owner_id: str, limit_fen: int, at: datetime) -> None:
    """Say how far a wallet may go below 0, from now on.

    Raises:
        NotFound: no such firm.
        InvalidInput: the limit is negative, or not later than the last one.
    """
    check_firms(db, owner_id=owner_id, holder_id=holder_id)
    if limit_fen < 0:
        raise InvalidInput("limit_fen", limit_fen, N_("0 or more"))
    last = _newest(db, holder_id, owner_id)
    if last is not None and last.set_at >= at:
        raise InvalidInput("at", at.isoformat(), N_("later than {last}"), last=last.set_at.isoformat())
    db.add(sealed(WalletCredit(holder_id=holder_id, owner_id=owner_id, set_at=at, limit_fen=limit_fen)))
    db.flush()


def pay_from_wallet(
    db: CommerceDb,
    *,
    holder_id: str,
    payer_id: str,
    payee_id: str,
    amount_fen: int,
    reference: str,
    at: datetime,
    target: str | None = None,
    hold_id: str | None = None,
) -> tuple[Payment, bool]:
    """Pay from a wallet at a firm, which need not be the one that is paid: then it owes the payee that money.

    Args:
        hold_id: the hold that it uses; what was held beyond the amount is free again.

    Raises:
        Overdrawn: neither money nor credit is left.
        NotFound, HoldEnded: no such hold of these firms, or it is over, used, or smaller.
        InvalidInput, KeyReused: as `take`.
    """
    check_firms(db, payer_id=payer_id, holder_id=holder_id)
    basis = {} if hold_id is None else {"hold": hold_id}
    new = NewPayment(WALLET, reference, payer_id, payee_id, amount_fen, holder_id=holder_id, target=target, basis=basis)
    return take(db, new, at, credit_fen=_credit_fen(db, holder_id, payer_id))


def hold_in_wallet(
    db: CommerceDb,
    *,
    holder_id: str,
    payer_id: str,
    payee_id: str,
    amount_fen: int,
    reference: str,
    at: datetime,
    expires_at: datetime,
) -> str:
    """Hold money in a wallet for a payment to come, once for a reference; the id of the hold.

    Raises:
        InvalidInput: it would end before it begins, or the amount is none.
        Overdrawn: neither money nor credit is left.
        TransferDiffers: the reference belongs to another hold.
    """
    check_firms(db, payer_id=payer_id, holder_id=holder_id)
    check_firms(db, payer_id=payer_id, payee_id=payee_id)
    check_amount(amount_fen)
    if expires_at <= at:
        raise InvalidInput("expires_at", expires_at.isoformat(), N_("later than {last}"), last=at.isoformat())
    hold_id = f"hold:{digest_of_all(holder_id, payer_id, reference)[:24]}"
    known = db.get(LedgerTransfer, hold_id)
    paid = Paid(reference, at if known is None else known.at, WALLET, payer_id, payee_id, DEBT, amount_fen, holder_id)
    held = replace(
        postings_of(paid), id=hold_id, source=hold_id, about=hold_id, kind=TransferKind.PENDING, expires_at=expires_at
    )
    post(db, held, credit_fen=_credit_fen(db, holder_id, payer_id))
    return hold_id


def release_hold(db: CommerceDb, hold_id: str, at: datetime, *, owner_id: str) -> bool:
    """Let go of what is held; False where that was done before.

    Raises:
        NotFound: the owner of the wallet has no such hold.
        HoldEnded: it was used.
    """
    if not any(leg.debit_id.startswith(f"{owner_id}:payable:") for leg in held_legs(db, hold_id)):
        raise NotFound("hold", hold_id)
    return void(db, hold_id, at)


def _credit_fen(db: CommerceDb, holder_id: str, owner_id: str) -> dict[str, int]:
    limit = _newest(db, holder_id, owner_id)
    return {Account(holder_id, "wallet", owner_id).id: 0 if limit is None else limit.limit_fen}


def _newest(db: CommerceDb, holder_id: str, owner_id: str) -> WalletCredit | None:
    query = select(WalletCredit).where(WalletCredit.holder_id == holder_id, WalletCredit.owner_id == owner_id)
    return db.exec(query.order_by(col(WalletCredit.set_at).desc()).limit(1)).first()
