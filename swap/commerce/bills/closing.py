"""A month closed, seller by seller: what it will say is worked out from a snapshot, and written in one short commit.

A seller's month is open or closed, never in between: its invoices, statements and the row that closes it are one
commit, which looks first whether the seller's books still stand where the snapshot found them. What comes meanwhile is
late, and goes into the next month. Whoever is stopped between two sellers closes the rest by doing it again, to the
same byte: nothing of one seller's month depends on another's.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import Table
from sqlmodel import col, func, select

from swap.commerce.bills.digests import FIRST, period_digest
from swap.commerce.bills.invoices import BLUE, RED, Item, grouped, open_items
from swap.commerce.bills.settlements import settlements
from swap.commerce.errors import PeriodNotClosable
from swap.commerce.webhooks.kinds import WebhookKind
from swap.commerce.webhooks.outbox import tell
from swap.commerce_db import CommerceDb
from swap.register.persons import person_actor
from swap.store import Store
from swap.tables import BillingPeriod, Invoice, InvoiceLine, Settlement, SettlementShare
from swap.words import N_

_INVOICES: Table = Invoice.__table__  # type: ignore[attr-defined]
_LINES: Table = InvoiceLine.__table__  # type: ignore[attr-defined]
_SETTLEMENTS: Table = Settlement.__table__  # type: ignore[attr-defined]
_SHARES: Table = SettlementShare.__table__  # type: ignore[attr-defined]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which month is closed, when, and by whom."""

    seller_id: str
    period: str
    at: datetime
    closed_by: str


@dataclass(frozen=True, slots=True)
class _Books:
    """Where a seller's books stand."""

    newest: str | None
    """The last month that is closed."""
    digest: str
    """Of that month."""
    number: int
    """Of the last invoice."""


@dataclass(frozen=True, slots=True)
class _Month:
    """What a seller's month will say."""

    invoices: Sequence[tuple[Row, list[Row]]]
    settlements: Sequence[tuple[Row, list[Row]]]
    row: BillingPeriod


def close_period(
    store: Store, period: str, *, at: datetime, zone: tzinfo, name: str, seller_id: str | None = None
) -> tuple[BillingPeriod, ...]:
    """Close a month of a seller, or of all who have something to invoice, each in a commit of its own.

    Args:
        period: `2026-06`.
        at: now; the month must be over.
        zone: whose months are meant.
        name: the person who closes it.

    Returns:
        The months that were closed by this call.

    Raises:
        PeriodNotClosable: the month is not over, or a later one was closed already; of no seller anything is closed.
        DatabaseAway: the database cannot be used now; closing again goes on where this has ended.
    """
    this_month = f"{at.astimezone(zone):%Y-%m}"
    if period >= this_month:
        raise PeriodNotClosable(
            N_("period = {period}: the month is not over; allowed before {this_month}"),
            period=period,
            this_month=this_month,
        )
    by_seller: dict[str, list[Item]] = defaultdict(list)
    with store.reading_commerce() as db:
        for item in open_items(db, period, seller_id):
            by_seller[item.seller_id].append(item)
        if seller_id is not None:
            by_seller.setdefault(seller_id, [])
        found = {seller: _books(db, seller) for seller in sorted(by_seller)}
    due = {seller: books for seller, books in found.items() if _is_due(books, seller, period)}
    if not due:
        return ()
    with store.in_lots():
        with store.commerce() as db:
            closed_by = person_actor(db, name, at)
        return tuple(
            row
            for seller, books in due.items()
            if (row := _close(store, _Asked(seller, period, at, closed_by), by_seller.pop(seller), books)) is not None
        )


def _close(store: Store, asked: _Asked, items: list[Item], books: _Books) -> BillingPeriod | None:
    """Close a seller's month; None where somebody else has done it meanwhile. Raises PeriodNotClosable."""
    while True:
        with store.reading_commerce() as db:
            month = _month(db, asked, items, books)
        with store.commerce() as db:
            now = _books(db, asked.seller_id)
            if now == books:
                _write(db, asked, month)
                return month.row
        if not _is_due(now, asked.seller_id, asked.period):
            return None
        with store.reading_commerce() as db:  # an earlier month was closed, and has taken some of it
            items, books = open_items(db, asked.period, asked.seller_id), _books(db, asked.seller_id)


def _is_due(books: _Books, seller_id: str, period: str) -> bool:
    """Whether a seller's month is still open. Raises PeriodNotClosable where a later one is closed."""
    if books.newest is not None and books.newest > period:
        raise PeriodNotClosable(
            N_("period = {period}: {seller_id} has closed {newest} already; allowed later months"),
            period=period,
            seller_id=seller_id,
            newest=books.newest,
        )
    return books.newest != period


def _books(db: CommerceDb, seller_id: str) -> _Books:
    newest = db.exec(
        select(BillingPeriod.period, BillingPeriod.digest)
        .where(BillingPeriod.seller_id == seller_id)
        .order_by(col(BillingPeriod.period).desc())
    ).first()
    number = db.exec(select(func.max(Invoice.number)).where(Invoice.seller_id == seller_id)).one() or 0
    return _Books(None, FIRST, number) if newest is None else _Books(*newest, number)


def _month(db: CommerceDb, asked: _Asked, items: list[Item], books: _Books) -> _Month:
    seller_id, period, at = asked.seller_id, asked.period, asked.at
    number = books.number
    invoices: list[tuple[Row, list[Row]]] = []
    taken: list[Item] = []
    for (buyer_id, corrects_id), group in sorted(
        grouped(db, items).items(), key=lambda part: (part[0][0], part[0][1] or "")
    ):
        totals = {name: sum(item.values[name] for item in group) for name in ("net_fen", "tax_fen", "gross_fen")}
        if corrects_id is None and totals["gross_fen"] < 0:
            continue  # waits for the next month
        number += 1
        invoice = Invoice(
            id=f"iv-{hashlib.sha256(f'{seller_id}:{number}'.encode()).hexdigest()[:20]}",
            seller_id=seller_id,
            number=number,
            buyer_id=buyer_id,
            period=period,
            kind=BLUE if corrects_id is None else RED,
            corrects_id=corrects_id,
            issued_at=at,
            **totals,
        )
        lines = [
            InvoiceLine(invoice_id=invoice.id, line_no=line_no, **item.values).model_dump()
            for line_no, item in enumerate(sorted(group, key=lambda item: item.order), start=1)
        ]
        invoices.append((invoice.model_dump(), lines))
        taken += group
    shared = [
        (row.model_dump(), [share.model_dump() for share in shares])
        for row, shares in settlements(db, seller_id, period, _incomes(taken), at)
    ]
    row = BillingPeriod(seller_id=seller_id, period=period, closed_at=at, closed_by=asked.closed_by, digest="")
    row.digest = period_digest(row.model_dump(), books.digest, [*invoices, *shared])
    return _Month(invoices, shared, row)


def _incomes(items: Iterable[Item]) -> dict[tuple[str, str, int], int]:
    """Net income of bills by station, kind and event of the prices."""
    found: dict[tuple[str, str, int], int] = defaultdict(int)
    for item in items:
        if item.station_id is not None and item.prices_seq is not None:
            found[item.station_id, item.values["kind"], item.prices_seq] += item.values["net_fen"]
    return found


def _write(db: CommerceDb, asked: _Asked, month: _Month) -> None:
    """Store it. Of the tables: a month of thousands of trucks would keep the database while its rows were objects."""
    connection = db.connection()
    for head, table, parts in ((_INVOICES, _LINES, month.invoices), (_SETTLEMENTS, _SHARES, month.settlements)):
        if parts:
            connection.execute(head.insert(), [row for row, _ in parts])
            connection.execute(table.insert(), [line for _, lines in parts for line in lines])
    for invoice, _ in month.invoices:
        kind, firms = WebhookKind.INVOICE_ISSUED, (invoice["seller_id"], invoice["buyer_id"])
        tell(db, firms, kind, "invoice", invoice["id"], asked.at, period=asked.period, form=invoice["kind"])
    db.add(month.row)
    db.flush()
