"""Charges: each thing once, never changed, in the units that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from swap.commerce.charges import NewCharge, Sale, add_charge, charges_of
from swap.store import Store
from swap.tables import Party

AT = datetime(2026, 6, 30, 16, tzinfo=UTC)
RENT = NewCharge(
    source="rent:lc-1:floor:2026-06",
    seller_id="bank",
    buyer_id="fleet",
    kind="rent",
    period="2026-06",
    quantity=Decimal(564),
    unit="kwh_month",
    unit_price_yuan=Decimal("13.3000"),
    amount_yuan=Decimal("7501.20"),
    tax_category="rent",
    tax_rate=Decimal("0.13"),
    contract_id="lc-1",
    contract_version=1,
)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    with store.commerce() as db:
        db.add_all([Party(id=name, kind="fleet", name_zh=name, name_en=name) for name in ("bank", "fleet")])
    yield store
    store.close()


def test_the_same_thing_is_charged_once(store: Store) -> None:
    with store.commerce() as db:
        first, made = add_charge(db, RENT, AT)
        again, made_again = add_charge(db, RENT, AT)
    assert (made, made_again) == (True, False)
    assert again.id == first.id
    with store.reading_commerce() as db:
        kept = [
            (row.quantity_1e6, row.unit_price_1e4_yuan, row.amount_fen, row.tax_rate_bp)
            for row in charges_of(db, contract_id="lc-1")
        ]
    assert kept == [(564_000_000, 133_000, 750_120, 1300)]


@pytest.mark.parametrize("change", ["UPDATE charge SET amount_fen = 1", "DELETE FROM charge"])
def test_a_charge_is_never_changed(store: Store, change: str) -> None:
    with store.commerce() as db:
        add_charge(db, RENT, AT)
    with pytest.raises(DBAPIError, match="never changed"), store.commerce() as db:
        db.execute(text(change))
    with store.reading_commerce() as db:
        amounts_fen = [row.amount_fen for row in charges_of(db, period="2026-06", seller_id="bank")]
    assert amounts_fen == [750_120]


@pytest.mark.parametrize(
    "new",
    [
        replace(RENT, amount_yuan=Decimal("0.001")),
        replace(RENT, unit_price_yuan=Decimal("0.00001")),
        replace(RENT, quantity=Decimal("NaN")),
        replace(RENT, tax_rate=Decimal("0.13001")),
    ],
)
def test_what_is_finer_than_what_is_kept_is_refused(store: Store, new: NewCharge) -> None:
    with pytest.raises(ValueError, match="no multiple"), store.commerce() as db:
        add_charge(db, new, AT)


def test_what_is_collected_names_for_whom(store: Store) -> None:
    with pytest.raises(ValueError, match="must name the firm"), store.commerce() as db:
        add_charge(db, replace(RENT, sale=Sale.COLLECTED), AT)


def test_nobody_is_charged_by_itself(store: Store) -> None:
    with pytest.raises(IntegrityError), store.commerce() as db:
        add_charge(db, replace(RENT, buyer_id="bank"), AT)
