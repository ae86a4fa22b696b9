"""Invoices of a month: one for each seller and buyer, and red letters for what earlier ones asked too much.

Closing a month takes what is on no invoice yet, of that month and those before: lines of bills, and charges. Each is
taken once; a constraint refuses a second time. What is closed stays as it is: what comes late, and what corrects a
closed month, goes into the next one that is open. Closing a closed month again changes nothing.

What gives back a line of an earlier invoice goes on a red letter (红字) that names that invoice; within one month it
stands beside the line itself. Where a buyer would be owed more than he owes, without an invoice that it corrects,
nothing is issued and the lines wait for the next month. Lines of nothing are on no invoice, nor are deposits: they are
a debt of the one who holds them, and no sale.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import and_, col, func, select

from swap.commerce.bills.digests import FIRST, period_digest, row_digest
from swap.commerce.bills.money import taxed_fen
from swap.commerce.bills.settlements import settle
from swap.commerce.errors import PeriodNotClosable
from swap.commerce.webhooks.kinds import WebhookKind
from swap.commerce.webhooks.outbox import tell
from swap.commerce_db import CommerceDb
from swap.lots import lots
from swap.register.persons import person_actor
from swap.tables import Bill, BillingPeriod, BillLine, ChargeRow, Invoice, InvoiceLine, Station
from swap.words import N_

DEPOSIT = "deposit"
"""Tax category of what is held, not sold."""
BLUE, RED = "invoice", "red"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a bill or a charge that is on no invoice."""

    seller_id: str
    buyer_id: str
    order: tuple[datetime, str, int]
    """Lines stand in this order."""
    corrects: tuple[str, int] | str | None
    """The line of a bill, or the charge, that it gives back."""
    values: dict[str, Any]
    """Columns of its line of an invoice."""
    station_id: str | None = None
    prices_seq: int | None = None


def close_period(
    db: CommerceDb, period: str, *, at: datetime, zone: tzinfo, name: str, seller_id: str | None = None
) -> tuple[BillingPeriod, ...]:
    """Close a month of a seller, or of all who have something to invoice. Call inside `store.commerce()`.

    Args:
        period: `2026-06`.
        at: now; the month must be over.
        zone: whose months are meant.
        name: the person who closes it.

    Raises:
        PeriodNotClosable: the month is not over, or a later one was closed already.
    """
    this_month = f"{at.astimezone(zone):%Y-%m}"
    if period >= this_month:
        raise PeriodNotClosable(
            N_("period = {period}: the month is not over; allowed before {this_month}"),
            period=period,
            this_month=this_month,
        )
    by_seller: dict[str, list[Item]] = defaultdict(list)
    for item in open_items(db, period, seller_id):
        by_seller[item.seller_id].append(item)
    if seller_id is not None:
        by_seller.setdefault(seller_id, [])
    closed_by = person_actor(db, name, at)
    closed = []
    for seller, items in sorted(by_seller.items()):
        newest = db.exec(
            select(BillingPeriod).where(BillingPeriod.seller_id == seller).order_by(col(BillingPeriod.period).desc())
        ).first()
        if newest is not None and newest.period == period:
            continue
        if newest is not None and newest.period > period:
            raise PeriodNotClosable(
                N_("period = {period}: {seller_id} has closed {newest} already; allowed later months"),
                period=period,
                seller_id=seller,
                newest=newest.period,
            )
        closed.append(_close(db, seller, period, items, at, closed_by, newest))
    return tuple(closed)


def _close(
    db: CommerceDb,
    seller_id: str,
    period: str,
    items: list[Item],
    at: datetime,
    closed_by: str,
    newest: BillingPeriod | None,
) -> BillingPeriod:
    number = db.exec(select(func.max(Invoice.number)).where(Invoice.seller_id == seller_id)).one() or 0
    parts: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = []
    taken: list[Item] = []
    for (buyer_id, corrects_id), group in sorted(
        _grouped(db, items).items(), key=lambda part: (part[0][0], part[0][1] or "")
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
        db.add(invoice)
        db.flush()
        lines = [
            InvoiceLine(invoice_id=invoice.id, line_no=line_no, **item.values)
            for line_no, item in enumerate(sorted(group, key=lambda item: item.order), start=1)
        ]
        db.add_all(lines)
        db.flush()
        kind = WebhookKind.INVOICE_ISSUED
        tell(db, (seller_id, buyer_id), kind, "invoice", invoice.id, at, period=period, form=invoice.kind)
        taken += group
        parts.append((invoice.model_dump(), [line.model_dump() for line in lines]))
    parts += settle(db, seller_id, period, _incomes(taken), at)
    row = BillingPeriod(seller_id=seller_id, period=period, closed_at=at, closed_by=closed_by, digest="")
    row.digest = period_digest(row.model_dump(), FIRST if newest is None else newest.digest, parts)
    db.add(row)
    db.flush()
    return row


def _incomes(items: Iterable[Item]) -> dict[tuple[str, str, int], int]:
    """Net income of bills by station, kind and event of the prices."""
    found: dict[tuple[str, str, int], int] = defaultdict(int)
    for item in items:
        if item.station_id is not None and item.prices_seq is not None:
            found[item.station_id, item.values["kind"], item.prices_seq] += item.values["net_fen"]
    return found


def _grouped(db: CommerceDb, items: list[Item]) -> dict[tuple[str, str | None], list[Item]]:
    """Items by buyer and the earlier invoice that they correct, None for those of a new one."""
    bills = {item.corrects[0] for item in items if isinstance(item.corrects, tuple)}
    charges = {item.corrects for item in items if isinstance(item.corrects, str)}
    on_invoice: dict[tuple[str, int] | str | None, str] = {}
    for keys, column in ((bills, InvoiceLine.bill_id), (charges, InvoiceLine.charge_id)):
        for some in lots(sorted(keys)):
            for line in db.exec(select(InvoiceLine).where(col(column).in_(some))):
                key = line.charge_id if line.charge_id is not None else (line.bill_id or "", line.bill_line_no or 0)
                on_invoice[key] = line.invoice_id
    found: dict[tuple[str, str | None], list[Item]] = defaultdict(list)
    for item in items:
        found[item.buyer_id, on_invoice.get(item.corrects)].append(item)
    return found


def open_items(db: CommerceDb, period: str, seller_id: str | None = None) -> list[Item]:
    """What is on no invoice yet, of a month and those before."""
    return [*_bill_items(db, period, seller_id), *_charge_items(db, period, seller_id)]


def _bill_items(db: CommerceDb, period: str, seller_id: str | None) -> Iterable[Item]:
    query = (
        select(BillLine, Bill, Station)
        .join(Bill, col(Bill.id) == BillLine.bill_id)
        .join(Station, col(Station.id) == Bill.station_id)
        .join(
            InvoiceLine,
            and_(col(InvoiceLine.bill_id) == BillLine.bill_id, col(InvoiceLine.bill_line_no) == BillLine.line_no),
            isouter=True,
        )
        .where(col(InvoiceLine.invoice_id).is_(None), BillLine.amount_fen != 0)
    )
    if seller_id is not None:
        query = query.where(BillLine.payee_id == seller_id)
    for line, bill, station in db.exec(query):
        happened_at = bill.issued_at if line.priced_at is None or bill.kind != "swap" else line.priced_at
        if f"{happened_at.astimezone(ZoneInfo(station.timezone)):%Y-%m}" > period:
            continue
        reverses, number = line.basis.get("reverses"), line.basis.get("line")
        yield Item(
            line.payee_id,
            line.buyer_id,
            (happened_at, bill.id, line.line_no),
            (reverses, number) if isinstance(reverses, str) and isinstance(number, int) else None,
            {"source_digest": row_digest(line.model_dump()), **bill_values(line)},
            station.id,
            line.prices_seq,
        )


def bill_values(line: Any) -> dict[str, Any]:
    """Columns of the line of an invoice that takes a line of a bill."""
    gross_fen = line.amount_fen if line.tax_included else line.amount_fen + line.tax_fen
    return {
        "bill_id": line.bill_id,
        "bill_line_no": line.line_no,
        "kind": line.kind,
        "sale": line.sale,
        "for_id": line.for_id,
        "quantity_1e6": line.energy_centi_kwh * 10_000,
        "unit": "kwh",
        "unit_price_1e4_yuan": line.unit_price_1e4_yuan,
        "tax_included": line.tax_included,
        "tax_category": line.tax_category,
        "tax_rate_bp": line.tax_rate_bp,
        "net_fen": gross_fen - line.tax_fen,
        "tax_fen": line.tax_fen,
        "gross_fen": gross_fen,
    }


def _charge_items(db: CommerceDb, period: str, seller_id: str | None) -> Iterable[Item]:
    query = (
        select(ChargeRow)
        .join(InvoiceLine, col(InvoiceLine.charge_id) == ChargeRow.id, isouter=True)
        .where(
            col(InvoiceLine.invoice_id).is_(None),
            col(ChargeRow.period) <= period,
            ChargeRow.amount_fen != 0,
            ChargeRow.tax_category != DEPOSIT,
        )
    )
    if seller_id is not None:
        query = query.where(ChargeRow.seller_id == seller_id)
    for row in db.exec(query):
        yield Item(
            row.seller_id,
            row.buyer_id,
            (row.made_at, row.id, 0),
            row.corrects_id if row.amount_fen < 0 else None,
            {"source_digest": row_digest(row.model_dump()), **charge_values(row)},
        )


def charge_values(row: Any) -> dict[str, Any]:
    """Columns of the line of an invoice that takes a charge."""
    net_fen, tax_fen, gross_fen = taxed_fen(row.amount_fen, row.tax_rate_bp, included=row.tax_included)
    return {
        "charge_id": row.id,
        "kind": row.kind,
        "sale": row.sale,
        "for_id": row.basis.get("for"),
        "quantity_1e6": row.quantity_1e6,
        "unit": row.unit,
        "unit_price_1e4_yuan": row.unit_price_1e4_yuan,
        "tax_included": row.tax_included,
        "tax_category": row.tax_category,
        "tax_rate_bp": row.tax_rate_bp,
        "net_fen": net_fen,
        "tax_fen": tax_fen,
        "gross_fen": gross_fen,
    }
