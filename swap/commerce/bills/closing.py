"""A month closed, seller by seller: what it will say is worked out from a snapshot, and written in short commits.

A seller's month is open or closed, never in between: the heads of its invoices, its statements and the row that closes
it are one commit. The lines of a long month are written in lots before: a line whose invoice is not there is a draft,
and counts nowhere. Who writes in lots has a claim on the seller, which the next who closes takes over; each commit
looks first whether the claim is still its own, and the first whether the books stand where the snapshot found them. So
the books of a seller who is claimed are changed by one closing alone.

What comes meanwhile is late, and goes into the next month. Whoever is stopped anywhere closes the rest by doing it
again, to the same byte: drafts that were left are deleted first, and nothing of one seller's month depends on
another's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

from sqlalchemy import Table, bindparam
from sqlmodel import col, delete, func, select

from swap.commerce.bills.digests import FIRST, period_digest
from swap.commerce.bills.invoices import BLUE, RED, Item, grouped, invoice_id, open_items
from swap.commerce.bills.settlements import settlements
from swap.commerce.errors import PeriodNotClosable
from swap.commerce.webhooks.kinds import WebhookKind
from swap.commerce.webhooks.outbox import tell_each
from swap.commerce_db import CommerceDb
from swap.ids import new_id
from swap.lots import lots
from swap.register.persons import person_actor
from swap.store import Store
from swap.tables import BillingPeriod, ClosingClaim, Invoice, InvoiceLine, Settlement, SettlementShare
from swap.words import N_

_INVOICES: Table = Invoice.__table__  # type: ignore[attr-defined]
_LINES: Table = InvoiceLine.__table__  # type: ignore[attr-defined]
_SETTLEMENTS: Table = Settlement.__table__  # type: ignore[attr-defined]
_SHARES: Table = SettlementShare.__table__  # type: ignore[attr-defined]
Row = dict[str, Any]

LINES_A_COMMIT = 500
"""Lines of invoices that one commit writes: some 7 ms of a processor with SQLite, where a station waits meanwhile."""


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
    """Close a month of a seller, or of all who have something to invoice, one after the other.

    Args:
        period: `2026-06`.
        at: now; the month must be over.
        zone: whose months are meant.
        name: the person who closes it.

    Returns:
        The months that were closed by this call. A seller whose closing another has begun meanwhile is left to it.

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
    """Close a seller's month; None where somebody else has done it meanwhile, or is at it. Raises PeriodNotClosable."""
    while True:
        with store.reading_commerce() as db:
            month = _month(db, asked, items, books)
        lines = [line for _, own in month.invoices for line in own]
        token = new_id("cl", asked.at)
        with store.commerce() as db:
            same = _books(db, asked.seller_id) == books
            at_once = len(lines) <= LINES_A_COMMIT and db.get(ClosingClaim, asked.seller_id) is None
            if same and at_once:
                _insert(db, lines)
                _issue(db, asked, month)
            elif same:
                db.merge(ClosingClaim(seller_id=asked.seller_id, token=token))
        if same and (at_once or _in_lots(store, asked, books, month, lines, token)):
            return month.row
        with store.reading_commerce() as db:
            now = _books(db, asked.seller_id)
            taken_over = same and db.get(ClosingClaim, asked.seller_id) is not None
            if taken_over or not _is_due(now, asked.seller_id, asked.period):
                return None
            # an earlier month was closed, and has taken some of it
            items, books = open_items(db, asked.period, asked.seller_id), now


def _in_lots(store: Store, asked: _Asked, books: _Books, month: _Month, lines: list[Row], token: str) -> bool:
    """Close a month that is claimed; whether the claim was this one's to the end."""
    with store.reading_commerce() as db:
        left = _drafts(db, asked.seller_id, books.number)
    steps: list[Callable[[CommerceDb], None]] = [
        *(partial(_delete, lines=lot) for lot in lots(left, LINES_A_COMMIT)),
        *(partial(_insert, lines=lot) for lot in lots(lines, LINES_A_COMMIT)),
        partial(_issue, asked=asked, month=month),
    ]
    for step in steps:
        with store.commerce() as db:
            claim = db.get(ClosingClaim, asked.seller_id)
            if claim is None or claim.token != token:
                return False
            step(db)
    return True


def _drafts(db: CommerceDb, seller_id: str, number: int) -> list[Row]:
    """Keys of the lines that a stopped closing has left, the last first: whoever is stopped in deleting them leaves no
    gap. They are of the invoices that follow the last one.

    Args:
        number: of the last invoice.
    """
    found: list[Row] = []
    while True:
        number += 1
        query = select(InvoiceLine.line_no).where(InvoiceLine.invoice_id == invoice_id(seller_id, number))
        numbers = db.exec(query.order_by(col(InvoiceLine.line_no))).all()
        if not numbers:
            return found[::-1]
        found += [{"of": invoice_id(seller_id, number), "no": line_no} for line_no in numbers]


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
            id=invoice_id(seller_id, number),
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


def _delete(db: CommerceDb, lines: Sequence[Row]) -> None:
    query = _LINES.delete().where(_LINES.c.invoice_id == bindparam("of"), _LINES.c.line_no == bindparam("no"))
    db.connection().execute(query, lines)


def _insert(db: CommerceDb, lines: Sequence[Row]) -> None:
    """Store lines. Of the table: thousands of rows would keep the database while they were objects."""
    if lines:
        db.connection().execute(_LINES.insert(), lines)


def _issue(db: CommerceDb, asked: _Asked, month: _Month) -> None:
    """Store everything but the lines: by that they count, and the month is closed."""
    connection = db.connection()
    if month.invoices:
        connection.execute(_INVOICES.insert(), [invoice for invoice, _ in month.invoices])
    if month.settlements:
        connection.execute(_SETTLEMENTS.insert(), [row for row, _ in month.settlements])
        connection.execute(_SHARES.insert(), [share for _, shares in month.settlements for share in shares])
    told = [
        ((row["seller_id"], row["buyer_id"]), row["id"], {"period": asked.period, "form": row["kind"]})
        for row, _ in month.invoices
    ]
    tell_each(db, WebhookKind.INVOICE_ISSUED, "invoice", told, asked.at)
    db.exec(delete(ClosingClaim).where(col(ClosingClaim.seller_id) == asked.seller_id))
    db.add(month.row)
    db.flush()
