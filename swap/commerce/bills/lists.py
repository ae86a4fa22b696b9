"""Invoices and settlements, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlmodel import col, or_, select

from swap.commerce.bills.money import BASIS_POINT, FEN, UNIT_PRICE
from swap.commerce.bills.records import (
    ClosedPeriod,
    InvoiceHead,
    InvoiceLineRecord,
    InvoiceRecord,
    SettlementRecord,
    ShareRecord,
)
from swap.commerce.charges import QUANTITY, Sale
from swap.commerce_db import CommerceDb
from swap.errors import NotFound
from swap.paging import Order, between, cut
from swap.reading.records import Page
from swap.register.persons import shown_actor
from swap.tables import BillingPeriod, Invoice, InvoiceLine, Settlement, SettlementShare


def _head(row: Invoice) -> dict[str, object]:
    return {
        "invoice_id": row.id,
        "net_yuan": row.net_fen * FEN,
        "tax_yuan": row.tax_fen * FEN,
        "gross_yuan": row.gross_fen * FEN,
    }


def list_invoices(
    db: CommerceDb,
    *,
    period: str | None = None,
    seller_id: str | None = None,
    buyer_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[InvoiceHead]:
    """Invoices, newest first, issued from an instant and before another."""
    query = select(Invoice).where(*between(col(Invoice.issued_at), from_at, to_at))
    for column, value in ((Invoice.period, period), (Invoice.seller_id, seller_id), (Invoice.buyer_id, buyer_id)):
        if value is not None:
            query = query.where(col(column) == value)
    query = Order(col(Invoice.id), col(Invoice.issued_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.issued_at)
    return Page(items=tuple(InvoiceHead.of(row, **_head(row)) for row in rows), next_cursor=following)


def get_invoice(db: CommerceDb, invoice_id: str) -> InvoiceRecord:
    """One invoice with its lines. Raises NotFound."""
    row = db.get(Invoice, invoice_id)
    if row is None:
        raise NotFound("invoice", invoice_id)
    query = select(InvoiceLine).where(InvoiceLine.invoice_id == invoice_id).order_by(col(InvoiceLine.line_no))
    lines = tuple(
        InvoiceLineRecord.of(
            line,
            sale=Sale(line.sale),
            quantity=(line.quantity_1e6 * QUANTITY).normalize() + Decimal(0),
            unit_price_yuan=line.unit_price_1e4_yuan * UNIT_PRICE,
            tax_rate=line.tax_rate_bp * BASIS_POINT,
            net_yuan=line.net_fen * FEN,
            tax_yuan=line.tax_fen * FEN,
            gross_yuan=line.gross_fen * FEN,
        )
        for line in db.exec(query)
    )
    return InvoiceRecord.of(row, lines=lines, **_head(row))


def closed_period(db: CommerceDb, row: BillingPeriod) -> ClosedPeriod:
    """The record of a closed month."""
    return ClosedPeriod.of(row, closed_by=shown_actor(db, row.closed_by))


def list_settlements(
    db: CommerceDb,
    *,
    period: str | None = None,
    party_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[SettlementRecord]:
    """Settlement statements, newest first; those of a month, a time, or in which a firm sells or shares."""
    query = select(Settlement).where(*between(col(Settlement.made_at), from_at, to_at))
    if period is not None:
        query = query.where(Settlement.period == period)
    if party_id is not None:
        shared = select(SettlementShare.settlement_id).where(SettlementShare.party_id == party_id)
        query = query.where(or_(Settlement.seller_id == party_id, col(Settlement.id).in_(shared)))
    query = Order(col(Settlement.id), col(Settlement.made_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.made_at)
    return Page(items=_settlements(db, rows), next_cursor=following)


def get_settlement(db: CommerceDb, settlement_id: str) -> SettlementRecord:
    """One settlement statement. Raises NotFound."""
    row = db.exec(select(Settlement).where(Settlement.id == settlement_id)).first()
    if row is None:
        raise NotFound("settlement", settlement_id)
    return _settlements(db, [row])[0]


def _settlements(db: CommerceDb, rows: Sequence[Settlement]) -> tuple[SettlementRecord, ...]:
    shares: dict[str, list[ShareRecord]] = {}
    of_rows = select(SettlementShare).where(col(SettlementShare.settlement_id).in_([row.id for row in rows]))
    for share in db.exec(of_rows.order_by(col(SettlementShare.settlement_id), col(SettlementShare.party_id))):
        record = ShareRecord.of(share, share=share.share_bp * BASIS_POINT, amount_yuan=share.amount_fen * FEN)
        shares.setdefault(share.settlement_id, []).append(record)
    return tuple(
        SettlementRecord.of(
            row,
            settlement_id=row.id,
            prices_event_id=row.prices_seq,
            income_yuan=row.income_fen * FEN,
            shares=tuple(shares.get(row.id, ())),
        )
        for row in rows
    )
