"""Balances and entries of the ledger, by query. Only sealed transfers count, pending ones while they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, false, func, literal, union_all
from sqlalchemy import select as sql_select
from sqlmodel import and_, col, or_, select

from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.records import AccountRecord, AccountStatement, EntryRecord, yuan
from swap.commerce.ledger.transfers import TransferKind
from swap.commerce_db import AnyDb
from swap.errors import InvalidInput, NotFound
from swap.paging import Order, between, cut, make_cursor, read_cursor
from swap.reading.records import Page
from swap.tables import LedgerAccount, LedgerLeg, LedgerTransfer
from swap.words import N_

_LEG, _SEAL = LedgerLeg, LedgerTransfer
_SEALS: Table = LedgerTransfer.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Position:
    """Where an account stands, in fen."""

    account: Account
    debits_fen: int
    credits_fen: int
    held_debits_fen: int = 0
    """Of pending transfers."""
    held_credits_fen: int = 0

    @property
    def balance_fen(self) -> int:
        """What was posted, on the side on which the account grows."""
        return self._side(self.debits_fen, self.credits_fen)

    @property
    def available_fen(self) -> int:
        """The balance without what is held of it."""
        held = self.held_credits_fen if self.account.of.root.grows_by_debit else self.held_debits_fen
        return self.balance_fen - held

    def _side(self, debits_fen: int, credits_fen: int) -> int:
        return debits_fen - credits_fen if self.account.of.root.grows_by_debit else credits_fen - debits_fen


def account_of(row: LedgerAccount) -> Account:
    """The account of a row."""
    return Account(row.firm_id, row.kind, row.detail)


def position(db: AnyDb, account: Account, at: datetime, *, without: str | None = None) -> Position:
    """Where an account stands now: everything posted, and what is held at an instant.

    Args:
        without: a pending transfer that does not count, since it is about to be settled.
    """
    debits_fen, credits_fen = (_sum(db, side, account.id) for side in (_LEG.debit_id, _LEG.credit_id))
    held = [_held(db, side, account.id, at, without) for side in (_LEG.debit_id, _LEG.credit_id)]
    return Position(account, debits_fen, credits_fen, *held)


def _sum(db: AnyDb, side: str, account_id: str, to_at: datetime | None = None) -> int:
    query = select(func.coalesce(func.sum(_LEG.amount_fen), 0)).where(
        col(side) == account_id, _LEG.kind == TransferKind.POSTED.value, *between(col(_LEG.at), None, to_at)
    )
    return int(db.exec(query).one())


def _held(db: AnyDb, side: str, account_id: str, at: datetime, without: str | None) -> int:
    settling = _SEALS.alias("settling")
    query = (
        select(func.coalesce(func.sum(_LEG.amount_fen), 0))
        .join(_SEAL, col(_SEAL.id) == _LEG.transfer_id)
        .join(settling, settling.c.settles_id == _SEAL.id, isouter=True)
        .where(
            col(side) == account_id,
            _LEG.kind == TransferKind.PENDING.value,
            settling.c.id.is_(None),
            col(_SEAL.expires_at) > at,
            _LEG.transfer_id != (without or ""),
        )
    )
    return int(db.exec(query).one())


def held_legs(db: AnyDb, pending_id: str) -> Sequence[LedgerLeg]:
    """The legs of a pending transfer, in their order."""
    query = select(LedgerLeg).where(LedgerLeg.transfer_id == pending_id)
    return db.exec(query.order_by(col(LedgerLeg.leg_no))).all()


def positions(
    db: AnyDb, *, firm_id: str | None = None, from_at: datetime | None = None, to_at: datetime | None = None
) -> dict[Account, Position]:
    """What was posted in a time, account by account, of one firm or all; accounts without any stand with 0."""
    within = between(col(_LEG.at), from_at, to_at)
    sums: dict[str, list[int]] = {}
    for place, side in enumerate((_LEG.debit_id, _LEG.credit_id)):
        query = (
            select(col(side), func.sum(_LEG.amount_fen))
            .where(_LEG.kind == TransferKind.POSTED.value, *within)
            .group_by(col(side))
        )
        for account_id, fen in db.exec(query):
            sums.setdefault(account_id, [0, 0])[place] = int(fen)
    accounts = select(LedgerAccount).order_by(col(LedgerAccount.id))
    if firm_id is not None:
        accounts = accounts.where(LedgerAccount.firm_id == firm_id)
    return {account_of(row): Position(account_of(row), *sums.get(row.id, (0, 0))) for row in db.exec(accounts)}


def list_accounts(
    db: AnyDb, *, at: datetime, firm_id: str | None = None, kind: str | None = None, limit: int = 50,
    cursor: str | None = None,
) -> Page[AccountRecord]:  # fmt: skip
    """Accounts by their ids, each with its balance and what is held of it at an instant."""
    query = select(LedgerAccount)
    if firm_id is not None:
        query = query.where(LedgerAccount.firm_id == firm_id)
    if kind is not None:
        query = query.where(LedgerAccount.kind == kind)
    query = Order(col(LedgerAccount.id), newest_first=False).page(query, limit, cursor)
    shown, following = cut(db.exec(query).all(), limit, lambda row: row.id)
    items = tuple(AccountRecord.at(row, position(db, account_of(row), at)) for row in shown)
    return Page(items=items, next_cursor=following)


STATEMENT_MOST = 10_000
"""Entries on one statement; a longer time is divided."""


def account_statement(
    db: AnyDb, account_id: str, *, at: datetime, from_at: datetime | None = None, to_at: datetime | None = None
) -> AccountStatement:
    """What was posted to an account in a time, until now where no end is given, with the balances around it.

    Raises:
        NotFound: no such account.
        InvalidInput: more was posted in that time than one statement takes.
    """
    until_at = at if to_at is None else to_at
    entries, cursor = list[EntryRecord](), None
    while True:
        page = list_entries(db, account_id, from_at=from_at, to_at=until_at, limit=500, cursor=cursor)
        entries += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        if len(entries) >= STATEMENT_MOST:
            given = "-" if from_at is None else from_at.isoformat()
            raise InvalidInput("from", given, N_("a time with at most {most} entries"), most=STATEMENT_MOST)
    row = db.get_one(LedgerAccount, account_id)
    debits_fen, credits_fen = (
        0 if from_at is None else _sum(db, side, account_id, from_at) for side in (_LEG.debit_id, _LEG.credit_id)
    )
    balance = opening = yuan(Position(account_of(row), debits_fen, credits_fen).balance_fen)
    entries.reverse()
    balances = [balance := balance + one.amount_yuan for one in entries]
    return AccountStatement(
        account_id=account_id,
        firm_id=row.firm_id,
        from_at=from_at,
        until_at=until_at,
        opening_yuan=opening,
        entries=tuple(entries),
        balances_yuan=tuple(balances),
        closing_yuan=balance,
    )


def list_entries(
    db: AnyDb,
    account_id: str,
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[EntryRecord]:
    """Posted legs of an account, newest first. Raises NotFound."""
    row = db.get(LedgerAccount, account_id)
    if row is None:
        raise NotFound("account", account_id)
    grows_by_debit = account_of(row).of.root.grows_by_debit
    before: ColumnElement[bool] = ~false()
    if cursor is not None:
        at, key = read_cursor(cursor)
        transfer_id, _, number = key.rpartition("#")
        same = and_(col(_LEG.at) == at, col(_LEG.transfer_id) == transfer_id)
        before = or_(
            col(_LEG.at) < at,
            and_(col(_LEG.at) == at, col(_LEG.transfer_id) < transfer_id),
            and_(same, col(_LEG.leg_no) < int(number) if number.isdecimal() else false()),
        )
    within = between(col(_LEG.at), from_at, to_at)
    sides: list[Any] = [
        sql_select(
            col(_LEG.at), col(_LEG.transfer_id), col(_LEG.leg_no), col(other).label("other"), col(_LEG.amount_fen),
            literal(1 if is_debit == grows_by_debit else -1).label("sign"),
        ).where(col(own) == account_id, col(_LEG.kind) == TransferKind.POSTED.value, before, *within)
        for own, other, is_debit in ((_LEG.debit_id, _LEG.credit_id, True), (_LEG.credit_id, _LEG.debit_id, False))
    ]  # fmt: skip
    legs = union_all(*sides).subquery()
    query = (
        sql_select(legs, col(_SEAL.source), col(_SEAL.about))
        .join(_SEAL, col(_SEAL.id) == legs.c.transfer_id)
        .order_by(legs.c.at.desc(), legs.c.transfer_id.desc(), legs.c.leg_no.desc())
        .limit(limit + 1)
    )
    found = db.execute(query).all()
    shown = found[:limit]
    last = shown[-1] if len(found) > limit else None
    return Page(
        items=tuple(
            EntryRecord.of(
                leg, account_id=account_id, other_account_id=leg.other, amount_yuan=yuan(leg.sign * leg.amount_fen)
            )
            for leg in shown
        ),
        next_cursor=None if last is None else make_cursor(last.at, f"{last.transfer_id}#{last.leg_no}"),
    )
