"""What the invoices of a month take: one a seller and buyer, and red letters for what earlier ones asked too much.

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
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import and_, col, select

from swap.commerce.bills.digests import row_digest
from swap.commerce.bills.money import taxed_fen
from swap.commerce_db import CommerceDb
from swap.lots import lots
from swap.tables import Bill, BillLine, ChargeRow, Invoice, InvoiceLine, Station

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


def invoice_id(seller_id: str, number: int) -> str:
    """Id of a seller's invoice, by its number: a month that is closed again has the same."""
    return f"iv-{hashlib.sha256(f'{seller_id}:{number}'.encode()).hexdigest()[:20]}"


def grouped(db: CommerceDb, items: list[Item]) -> dict[tuple[str, str | None], list[Item]]:
    """Items by buyer and the earlier invoice that they correct, None for those of a new one."""
    bills = {item.corrects[0] for item in items if isinstance(item.corrects, tuple)}
    charges = {item.corrects for item in items if isinstance(item.corrects, str)}
    on_invoice: dict[tuple[str, int] | str | None, str] = {}
    for keys, column in ((bills, InvoiceLine.bill_id), (charges, InvoiceLine.charge_id)):
        for some in lots(sorted(keys)):
            issued = select(InvoiceLine).join(Invoice, col(Invoice.id) == InvoiceLine.invoice_id)
            for line in db.exec(issued.where(col(column).in_(some))):
                key = line.charge_id if line.charge_id is not None else (line.bill_id or "", line.bill_line_no or 0)
                on_invoice[key] = line.invoice_id
    found: dict[tuple[str, str | None], list[Item]] = defaultdict(list)
    for item in items:
        found[item.buyer_id, on_invoice.get(item.corrects)].append(item)
    return found


def open_items(db: CommerceDb, period: str, seller_id: str | None = None) -> list[Item]:
    """What is on no invoice yet, of a month and those before; what is on a draft of one is on none."""
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
        .join(Invoice, col(Invoice.id) == InvoiceLine.invoice_id, isouter=True)
        .where(col(Invoice.id).is_(None), BillLine.amount_fen != 0)
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
        .join(Invoice, col(Invoice.id) == InvoiceLine.invoice_id, isouter=True)
        .where(
            col(Invoice.id).is_(None),
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
