"""Firms, amounts and transfers for tests of the ledger and of payments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from swap.commerce.charges import NewCharge, add_charge
from swap.commerce.ledger.balances import position
from swap.commerce.ledger.book import post
from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.postings import postings_of
from swap.commerce.ledger.sources import charge_owed
from swap.store import Store
from swap.tables import ChargeRow, Party

AT = datetime(2026, 6, 30, 16, tzinfo=UTC)
FIRMS = ("op", "own", "fleet", "other", "grid")

RENT = NewCharge(
    source="rent:1",
    seller_id="op",
    buyer_id="fleet",
    kind="rent",
    period="2026-06",
    quantity=Decimal(1),
    unit="month",
    unit_price_yuan=Decimal("100.0000"),
    amount_yuan=Decimal("100.00"),
    tax_category="rent",
    tax_rate=Decimal("0.13"),
)


@contextmanager
def firms_store(url: str) -> Iterator[Store]:
    """A database of some firms without a station."""
    store = Store(url)
    with store.commerce() as db:
        db.add_all([Party(id=name, kind="fleet", name_zh=f"{name}公司", name_en=f"{name} Ltd") for name in FIRMS])
    try:
        yield store
    finally:
        store.close()


def charge(store: Store, source: str, yuan: str, at: datetime = AT, **more: object) -> str:
    """A charge that is made and posted; what payments call it."""
    new = replace(
        RENT,
        source=source,
        amount_yuan=Decimal(yuan),
        unit_price_yuan=Decimal(yuan),
        **more,  # type: ignore[arg-type]
    )
    with store.commerce() as db:
        row, _ = add_charge(db, new, at)
        post(db, postings_of(charge_owed(db.get_one(ChargeRow, row.id))))
        return f"charge:{row.id}"


def balance_fen(store: Store, account: Account, at: datetime = AT) -> int:
    """What was posted to an account."""
    with store.reading_commerce() as db:
        return position(db, account, at).balance_fen


def available_fen(store: Store, account: Account, at: datetime = AT) -> int:
    """What was posted to an account without what is held of it."""
    with store.reading_commerce() as db:
        return position(db, account, at).available_fen
