"""Charges: what one firm owes another, each once. Contracts, bookings and swaps make them; invoices take them up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any

from sqlmodel import col, select

from swap.commerce_db import AnyDb
from swap.tables import ChargeRow

QUANTITY = Decimal("0.000001")
"""Quantities are kept in millionths of their unit."""
UNIT_PRICE_YUAN = Decimal("0.0001")
FEN_YUAN = Decimal("0.01")


class Sale(StrEnum):
    """Whose sale a charge is."""

    OWN = "own"
    """自营: the seller's own."""
    COLLECTED = "collected"
    """代收: collected for another firm, which the basis names as `for`."""


@dataclass(frozen=True, slots=True)
class NewCharge:
    """A charge that is to be made; the fields of `ChargeRow`, in their decimal units."""

    source: str
    seller_id: str
    buyer_id: str
    kind: str
    period: str
    quantity: Decimal
    unit: str
    unit_price_yuan: Decimal
    amount_yuan: Decimal
    tax_category: str
    tax_rate: Decimal
    """0.13 for 13 %."""
    tax_included: bool = True
    sale: Sale = Sale.OWN
    contract_id: str | None = None
    contract_version: int | None = None
    station_id: str | None = None
    vehicle_id: str | None = None
    pack_id: str | None = None
    swap_id: str | None = None
    from_at: datetime | None = None
    until_at: datetime | None = None
    corrects_id: str | None = None
    basis: Mapping[str, Any] = field(default_factory=dict)


def add_charge(db: AnyDb, new: NewCharge, at: datetime) -> tuple[ChargeRow, bool]:
    """Make a charge; the one that is there already, and False, where its source has been charged.

    Raises:
        ValueError: quantity, price, amount or rate is finer than what is kept, or it is collected for nobody.
    """
    if new.sale is Sale.COLLECTED and not new.basis.get("for"):
        raise ValueError(f"{new.source} is collected: its basis must name the firm that it is for")
    known = db.exec(select(ChargeRow).where(ChargeRow.source == new.source)).first()
    if known is not None:
        return known, False
    row = ChargeRow(
        id=_id_of(new.source, at),
        source=new.source,
        seller_id=new.seller_id,
        buyer_id=new.buyer_id,
        sale=new.sale.value,
        kind=new.kind,
        contract_id=new.contract_id,
        contract_version=new.contract_version,
        station_id=new.station_id,
        vehicle_id=new.vehicle_id,
        pack_id=new.pack_id,
        swap_id=new.swap_id,
        period=new.period,
        from_at=new.from_at,
        until_at=new.until_at,
        quantity_1e6=whole(new.quantity, QUANTITY),
        unit=new.unit,
        unit_price_1e4_yuan=whole(new.unit_price_yuan, UNIT_PRICE_YUAN),
        amount_fen=whole(new.amount_yuan, FEN_YUAN),
        tax_included=new.tax_included,
        tax_category=new.tax_category,
        tax_rate_bp=whole(new.tax_rate, Decimal("0.0001")),
        corrects_id=new.corrects_id,
        basis=dict(new.basis),
        made_at=at,
    )
    db.add(row)
    db.flush()
    return row, True


def _id_of(source: str, at: datetime) -> str:
    """An id that sorts by time like `new_id`; a charge made again from the same has the same."""
    return f"ch-{int(at.timestamp()):08x}{hashlib.sha256(source.encode()).hexdigest()[:10]}"


def charges_of(
    db: AnyDb, *, period: str | None = None, contract_id: str | None = None, seller_id: str | None = None
) -> tuple[ChargeRow, ...]:
    """Charges of a month, a contract or a seller, in the order in which they were made."""
    query = select(ChargeRow)
    if period is not None:
        query = query.where(ChargeRow.period == period)
    if contract_id is not None:
        query = query.where(ChargeRow.contract_id == contract_id)
    if seller_id is not None:
        query = query.where(ChargeRow.seller_id == seller_id)
    return tuple(db.exec(query.order_by(col(ChargeRow.made_at), col(ChargeRow.id))))


def half_up(value: Decimal, step: Decimal = FEN_YUAN) -> Decimal:
    """Round to a step, halves away from zero (as on invoices)."""
    return value.quantize(step, rounding=ROUND_HALF_UP)


def whole(value: Decimal, step: Decimal) -> int:
    """A value in steps. Raises ValueError when it is no multiple of the step."""
    scaled = value / step
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{value} is no multiple of {step}")
    return int(scaled)
