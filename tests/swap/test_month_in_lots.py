"""A month is closed seller by seller: killed between any two, written to meanwhile, raced, it says the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import select

from swap.commerce.bills import closing
from swap.commerce.bills.closing import close_period
from swap.commerce.charges import NewCharge, add_charge
from swap.commerce_db import CommerceDb
from swap.config.station_file import StationConfig
from swap.journal.canonical import canonical_json
from swap.register.persons import person_actor
from swap.store import Store
from swap.tables import BillingPeriod, Invoice, InvoiceLine, Settlement, SettlementShare
from tests.support.swap.commerce import AT, filled_store, station
from tests.swap.test_invoices import DECEMBER, IN_DECEMBER, NOVEMBER, SHARES, ZONE, billed, violations

OCTOBER = "2026-10"
SELLERS = {"fleet": "own", "op": "fleet", "own": "fleet"}
"""Who sells to whom, in the order in which their months are closed."""
TRANSACTIONS = 1 + len(SELLERS)
"""The name of who closes, and a commit a seller."""


class KilledError(Exception):
    """The process has ended here."""


@pytest.fixture
def config() -> StationConfig:
    return station(SHARES, trucks=4)


def rent(store: Store, source: str, seller: str, period: str = NOVEMBER, at: datetime = AT) -> None:
    new = NewCharge(
        source=source,
        seller_id=seller,
        buyer_id=SELLERS[seller],
        kind="rent",
        period=period,
        quantity=Decimal(1),
        unit="month",
        unit_price_yuan=Decimal(100),
        amount_yuan=Decimal(100),
        tax_category="rent",
        tax_rate=Decimal("0.13"),
    )
    with store.commerce() as db:
        add_charge(db, new, at)


def month_to_close(store: Store, config: StationConfig) -> None:
    billed(store, config, "V0")
    billed(store, config, "V1")
    for seller in SELLERS:
        rent(store, f"rent:{seller}", seller)
    with store.commerce() as db:
        person_actor(db, "Li", AT)  # known before: chance gives the id


def close(store: Store) -> list[str]:
    return [row.seller_id for row in close_period(store, NOVEMBER, at=IN_DECEMBER, zone=ZONE, name="Li")]


def said(store: Store) -> dict[str, list[str]]:
    """Every row of the closed month, to the byte."""
    with store.reading_commerce() as db:
        return {
            table.__name__: sorted(canonical_json(row.model_dump(mode="json")) for row in db.exec(select(table)))
            for table in (BillingPeriod, Invoice, InvoiceLine, Settlement, SettlementShare)
        }


@contextmanager
def _dying(transaction: AbstractContextManager[CommerceDb]) -> Iterator[CommerceDb]:
    with transaction as db:
        yield db
        raise KilledError


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int, *, before: bool) -> None:
    """The process ends before a transaction of the closing begins, or with its work done and not committed."""
    real, begun = Store.commerce, [0]

    def commerce(self: Store) -> Any:
        begun[0] += 1
        if begun[0] != number:
            return real(self)
        if before:
            raise KilledError

        return _dying(real(self))

    monkeypatch.setattr(Store, "commerce", commerce)


@pytest.mark.parametrize("before", [True, False], ids=["before", "uncommitted"])
def test_killed_between_any_two_sellers_it_ends_as_if_closed_at_once(
    database_url: str, config: StationConfig, copy_of: Callable[[str], str], *, before: bool
) -> None:
    """Meanwhile others write: for December, and what is late for those whose month is closed."""
    with filled_store(database_url, config) as store:
        month_to_close(store, config)
    store = Store(copy_of(database_url))
    assert close(store) == list(SELLERS)
    at_once = said(store)
    store.close()
    for number in range(1, TRANSACTIONS + 1):
        store = Store(copy_of(database_url))
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, number, before=before)
            with pytest.raises(KilledError):
                close(store)
        closed = list(SELLERS)[: max(number - 2, 0)]
        with store.reading_commerce() as db:
            assert sorted(db.exec(select(BillingPeriod.seller_id))) == closed
        rent(store, "december", "own", DECEMBER, IN_DECEMBER)
        for seller in closed:
            rent(store, f"late:{seller}", seller, at=IN_DECEMBER)
        assert violations(store) == {}
        assert close(store) == list(SELLERS)[len(closed) :]
        assert said(store) == at_once
        assert close(store) == []
        assert violations(store) == {}
        store.close()


def test_what_comes_while_a_month_is_worked_out_is_late(
    database_url: str, config: StationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled_store(database_url, config) as store:
        month_to_close(store, config)
        real = closing._month

        def month(db: Any, asked: Any, *rest: Any) -> Any:
            found = real(db, asked, *rest)
            db.rollback()  # its snapshot ends
            rent(store, f"late:{asked.seller_id}", asked.seller_id)
            return found

        monkeypatch.setattr(closing, "_month", month)
        assert close(store) == list(SELLERS)
        monkeypatch.undo()
        with store.reading_commerce() as db:
            assert sum(row.gross_fen for row in db.exec(select(Invoice)) if row.seller_id != "op") == 20000
        january = datetime(2027, 1, 2, tzinfo=UTC)
        close_period(store, DECEMBER, at=january, zone=ZONE, name="Li")
        with store.reading_commerce() as db:
            late = {row.seller_id: row.gross_fen for row in db.exec(select(Invoice)) if row.period == DECEMBER}
        assert late == dict.fromkeys(SELLERS, 10000)
        assert violations(store) == {}


@pytest.mark.parametrize("period", [OCTOBER, NOVEMBER])
def test_who_closes_the_same_or_an_earlier_month_meanwhile_is_seen(
    database_url: str, config: StationConfig, monkeypatch: pytest.MonkeyPatch, period: str
) -> None:
    """Another process closes after the snapshot: nothing is taken twice, no number given twice."""
    with filled_store(database_url, config) as store:
        month_to_close(store, config)
        rent(store, "october", "own", OCTOBER)
        real, raced = closing._month, list[str]()

        def month(db: Any, asked: Any, *rest: Any) -> Any:
            found = real(db, asked, *rest)
            db.rollback()
            if asked.seller_id == "own" and not raced:
                raced.append(period)
                close_period(store, period, at=IN_DECEMBER, zone=ZONE, name="Wang", seller_id="own")
            return found

        monkeypatch.setattr(closing, "_month", month)
        assert close(store) == (["fleet", "op", "own"] if period == OCTOBER else ["fleet", "op"])
        assert raced == [period]
        with store.reading_commerce() as db:
            own = sorted(
                (row.period, row.number, row.gross_fen) for row in db.exec(select(Invoice)) if row.seller_id == "own"
            )
        assert own == ([(OCTOBER, 1, 10000), (NOVEMBER, 2, 10000)] if period == OCTOBER else [(NOVEMBER, 1, 20000)])
        assert violations(store) == {}
