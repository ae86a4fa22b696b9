"""Settlement between firms that owe each other (跨平台): a statement sets the smaller sum off on both sides.

Each side is a payment of the method `net`, so it pays debts as any other does; what is left is owed by one of them.
Call inside `store.commerce()`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlmodel import col, func, or_, select

from swap.commerce.ledger.balances import positions
from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.postings import NET
from swap.commerce.ledger.records import yuan
from swap.commerce.payments.taking import NewPayment, check_firms, take
from swap.commerce.seals import sealed
from swap.commerce_db import CommerceDb
from swap.errors import InvalidInput, NotFound
from swap.ids import new_id
from swap.paging import Order, between, cut
from swap.reading.records import Page, Record
from swap.tables import NetStatement
from swap.words import N_


class NetRecord(Record):
    """One net statement."""

    statement_id: str
    first_id: str
    second_id: str
    until_at: datetime
    first_owes_yuan: Decimal
    second_owes_yuan: Decimal
    offset_yuan: Decimal
    """Set off on both sides."""
    payer_id: str | None
    """Who owes the rest; null where nothing is left."""
    rest_yuan: Decimal


def net(db: CommerceDb, one_id: str, other_id: str, until_at: datetime, at: datetime) -> NetRecord:
    """Set off what two firms owe each other by an instant, once; the known statement where there is one.

    Raises:
        NotFound: no such firm.
        InvalidInput: the two are one, or the instant is still to come, or before an earlier statement's.
    """
    check_firms(db, one_id=one_id, other_id=other_id)
    first_id, second_id = sorted((one_id, other_id))
    both = NetStatement.first_id == first_id, NetStatement.second_id == second_id
    last = db.exec(select(NetStatement).where(*both).order_by(col(NetStatement.until_at).desc()).limit(1)).first()
    if last is not None and last.until_at == until_at:
        return _record(last)
    if until_at > at:
        raise InvalidInput("until_at", until_at.isoformat(), N_("not later than {now}"), now=at.isoformat())
    if last is not None and until_at < last.until_at:
        raise InvalidInput("until_at", until_at.isoformat(), N_("later than {last}"), last=last.until_at.isoformat())
    # What earlier statements have set off at `until_at` or later is in no balance of that instant.
    later = select(func.coalesce(func.sum(NetStatement.offset_fen), 0)).where(*both, NetStatement.made_at >= until_at)
    gone_fen = int(db.exec(later).one())
    first_owes = _owed_fen(db, first_id, second_id, until_at) - gone_fen
    second_owes = _owed_fen(db, second_id, first_id, until_at) - gone_fen
    # What was paid since cannot be set off any more.
    now_fen = _owed_fen(db, first_id, second_id), _owed_fen(db, second_id, first_id)
    row = NetStatement(
        id=new_id("ns", at),
        first_id=first_id,
        second_id=second_id,
        until_at=until_at,
        first_owes_fen=first_owes,
        second_owes_fen=second_owes,
        offset_fen=max(0, min(first_owes, second_owes, *now_fen)),
        made_at=at,
    )
    db.add(sealed(row))
    db.flush()
    if row.offset_fen:
        for payer_id, payee_id in ((first_id, second_id), (second_id, first_id)):
            take(db, NewPayment(NET, f"{row.id}:{payer_id}", payer_id, payee_id, row.offset_fen), at)
    return _record(row)


def list_net(
    db: CommerceDb,
    firm_id: str,
    *,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[NetRecord]:
    """Net statements of a firm, newest first: until an instant in a time."""
    until_at = col(NetStatement.until_at)
    query = select(NetStatement).where(or_(NetStatement.first_id == firm_id, NetStatement.second_id == firm_id))
    query = Order(col(NetStatement.id), until_at).page(query.where(*between(until_at, from_at, to_at)), limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.until_at)
    return Page(items=tuple(_record(row) for row in rows), next_cursor=following)


def get_net(db: CommerceDb, statement_id: str) -> NetRecord:
    """One net statement. Raises NotFound."""
    row = db.exec(select(NetStatement).where(NetStatement.id == statement_id)).first()
    if row is None:
        raise NotFound("net statement", statement_id)
    return _record(row)


def _owed_fen(db: CommerceDb, debtor_id: str, creditor_id: str, until_at: datetime | None = None) -> int:
    found = positions(db, firm_id=debtor_id, to_at=until_at).get(Account(debtor_id, "payable", creditor_id))
    return 0 if found is None else found.balance_fen


def _record(row: NetStatement) -> NetRecord:
    rest_fen = row.first_owes_fen - row.second_owes_fen
    return NetRecord.of(
        row,
        statement_id=row.id,
        first_owes_yuan=yuan(row.first_owes_fen),
        second_owes_yuan=yuan(row.second_owes_fen),
        offset_yuan=yuan(row.offset_fen),
        payer_id=row.first_id if rest_fen > 0 else row.second_id if rest_fen < 0 else None,
        rest_yuan=yuan(abs(rest_fen)),
    )
