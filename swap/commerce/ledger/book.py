"""Writing to the ledger. Call inside `store.commerce()`, or inside `store.station()` where no floor is at stake.

Legs come first and their seal last, in one transaction: a trigger refuses a seal that its legs do not fit, and a
deferred key refuses a commit with legs that have none. So no reader and no crash ever meets half a transfer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Table, insert
from sqlmodel import col, select

from swap.commerce.errors import HoldEnded, Overdrawn, TransferDiffers
from swap.commerce.ledger.balances import held_legs, position
from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.transfers import VOIDING, Transfer, TransferKind, changes_fen, digest_of, more_than_held
from swap.commerce_db import AnyDb
from swap.errors import NotFound
from swap.tables import LedgerAccount, LedgerLeg, LedgerTransfer
from swap.words import N_

NO_CREDIT: Mapping[str, int] = {}
_SEALS: Table = LedgerTransfer.__table__  # type: ignore[attr-defined]
EXPIRE_AT_ONCE = 20
"""Pending transfers that are ended in one go at the most: with SQLite the controller waits meanwhile."""


def post(db: AnyDb, transfer: Transfer, *, credit_fen: Mapping[str, int] = NO_CREDIT) -> bool:
    """Post a transfer, once; False where it has been posted already, and nothing changes.

    Args:
        credit_fen: how far accounts that may not fall below 0 may do so, by their id.

    Raises:
        TransferDiffers: its id belongs to other content.
        NotFound, HoldEnded: it settles a pending transfer that is not there, has ended, or held less.
        Overdrawn: an account would fall below what it may; what is held on it counts as gone.
    """
    known = db.get(LedgerTransfer, transfer.id)
    if known is not None:
        if known.digest != digest_of(transfer):
            raise TransferDiffers(N_("transfer {transfer_id} was posted with other content"), transfer_id=transfer.id)
        return False
    if transfer.settles_id is not None:
        _check_hold(db, transfer)
    _check_floors(db, transfer, credit_fen)
    _write(db, transfer)
    return True


def void(db: AnyDb, pending_id: str, at: datetime) -> bool:
    """End a pending transfer without effect, once; False where it was voided before.

    Raises:
        NotFound, HoldEnded: it is not there, or was posted.
    """
    return post(db, _voiding(pending_id, at))


def overdue(db: AnyDb, at: datetime) -> tuple[tuple[str, datetime], ...]:
    """Pending transfers whose time is over and that nobody has settled, with that instant; some at a time."""
    seal, settling = LedgerTransfer, _SEALS.alias("settling")
    query = (
        select(seal.id, seal.expires_at)
        .join(settling, settling.c.settles_id == seal.id, isouter=True)
        .where(seal.kind == TransferKind.PENDING.value, col(seal.expires_at) <= at, settling.c.id.is_(None))
        .order_by(col(seal.expires_at), col(seal.id))
        .limit(EXPIRE_AT_ONCE)
    )
    return tuple((pending_id, expires_at) for pending_id, expires_at in db.exec(query) if expires_at is not None)


def expire(db: AnyDb, at: datetime) -> tuple[str, ...]:
    """Void what is overdue; the ids. It holds nothing any more before that, too: this only writes it down."""
    over = overdue(db, at)
    for pending_id, expires_at in over:
        _write(db, _voiding(pending_id, expires_at))
    return tuple(pending_id for pending_id, _ in over)


def _voiding(pending_id: str, at: datetime) -> Transfer:
    return Transfer(
        f"{VOIDING}{pending_id}", f"{VOIDING}{pending_id}", at, (), about=pending_id, kind=TransferKind.VOID,
        settles_id=pending_id,
    )  # fmt: skip


def _check_hold(db: AnyDb, transfer: Transfer) -> None:
    pending_id = transfer.settles_id
    assert pending_id is not None
    pending = db.get(LedgerTransfer, pending_id)
    if pending is None or pending.kind != TransferKind.PENDING.value:
        raise NotFound("pending transfer", pending_id)
    settled = db.exec(select(LedgerTransfer.id).where(LedgerTransfer.settles_id == pending_id)).first()
    if settled is not None:
        raise HoldEnded(
            N_("pending transfer {pending_id} was settled by {transfer_id}"),
            {"transfer_id": settled},
            pending_id=pending_id,
        )
    assert pending.expires_at is not None
    if transfer.kind is TransferKind.POSTED and transfer.at >= pending.expires_at:
        raise HoldEnded(
            N_("pending transfer {pending_id} was over at {expires_at}"),
            pending_id=pending_id,
            expires_at=pending.expires_at.isoformat(),
        )
    beyond = more_than_held(held_legs(db, pending_id), transfer.legs)
    if beyond is not None:
        raise HoldEnded(
            N_("pending transfer {pending_id} holds less than is to be posted from {accounts}"),
            pending_id=pending_id,
            accounts=beyond,
        )


def _check_floors(db: AnyDb, transfer: Transfer, credit_fen: Mapping[str, int]) -> None:
    for account, change_fen in changes_fen(transfer.legs).items():
        if not account.of.floor or change_fen >= 0:
            continue
        left_fen = position(db, account, transfer.at, without=transfer.settles_id).available_fen
        limit_fen = credit_fen.get(account.id, 0)
        if left_fen + change_fen < -limit_fen:
            raise Overdrawn(
                N_(
                    "account {account}: {left_fen} fen are left and {limit_fen} fen of credit; {wanted_fen} were wanted"
                ),
                account=account.id,
                left_fen=left_fen,
                limit_fen=limit_fen,
                wanted_fen=-change_fen,
            )


def _write(db: AnyDb, transfer: Transfer) -> None:
    _open_accounts(db, {account for leg in transfer.legs for account in (leg.debit, leg.credit)}, transfer.at)
    if transfer.legs:
        db.execute(
            insert(LedgerLeg),
            [
                {
                    "transfer_id": transfer.id,
                    "leg_no": number,
                    "debit_id": leg.debit.id,
                    "credit_id": leg.credit.id,
                    "amount_fen": leg.amount_fen,
                    "at": transfer.at,
                    "kind": transfer.kind.value,
                }
                for number, leg in enumerate(transfer.legs, start=1)
            ],
        )
    db.add(
        LedgerTransfer(
            id=transfer.id,
            source=transfer.source,
            about=transfer.about,
            kind=transfer.kind.value,
            settles_id=transfer.settles_id,
            at=transfer.at,
            expires_at=transfer.expires_at,
            legs=len(transfer.legs),
            total_fen=transfer.total_fen,
            source_digest=transfer.source_digest,
            digest=digest_of(transfer),
        )
    )
    db.flush()


def _open_accounts(db: AnyDb, accounts: Iterable[Account], at: datetime) -> None:
    wanted = {account.id: account for account in accounts}
    there = set(db.exec(select(LedgerAccount.id).where(col(LedgerAccount.id).in_(wanted))))
    new: Sequence[Account] = [account for account_id, account in sorted(wanted.items()) if account_id not in there]
    for account in new:
        db.add(
            LedgerAccount(
                id=account.id, firm_id=account.firm_id, kind=account.kind, detail=account.detail, opened_at=at
            )
        )
    if new:
        db.flush()
