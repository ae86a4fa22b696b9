"""Invoices of a month: taken once, numbered whole, corrected by red letters, closed for good; shares sum to the fen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select

from swap.audit import audit
from swap.commerce.bills.closing import close_period
from swap.commerce.bills.issuing import bill_completed_swaps, correct_bill, reverse_bill
from swap.commerce.bills.settlements import split
from swap.commerce.charges import NewCharge, add_charge
from swap.commerce.errors import PeriodNotClosable
from swap.config.station_file import StationConfig
from swap.store import Store
from swap.tables import Bill, BillingPeriod, Invoice, InvoiceLine, Settlement, SettlementShare
from tests.support.swap.commerce import AT, STATION, arrive, exchange, filled_store, station

ZONE = ZoneInfo("Asia/Shanghai")
NOVEMBER, DECEMBER = "2026-11", "2026-12"
IN_DECEMBER = datetime(2026, 12, 2, tzinfo=UTC)
IN_JANUARY = datetime(2027, 1, 2, tzinfo=UTC)
SHARES = {
    "shares": [
        {"of": "service", "party": "op", "share": "0.7", "takes_rest": True},
        {"of": "service", "party": "own", "share": "0.3"},
    ]
}


@pytest.fixture
def config() -> StationConfig:
    return station(SHARES, trucks=4)


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        yield store


def billed(store: Store, config: StationConfig, vehicle: str, at: datetime = AT, **energies: Any) -> str:
    """A swap of a truck, billed within the hour; the bill's id."""
    swap_id = arrive(store, config, vehicle, at).swap_id
    exchange(store, swap_id, at + timedelta(minutes=6), **energies)
    (bill_id,) = bill_completed_swaps(store, STATION, at + timedelta(hours=1))
    return bill_id


def charge(store: Store, source: str, yuan: str, period: str = NOVEMBER, **more: Any) -> str:
    new = NewCharge(
        source=source,
        seller_id="own",
        buyer_id="fleet",
        kind="rent",
        period=period,
        quantity=Decimal(1 if Decimal(yuan) >= 0 else -1),
        unit="month",
        unit_price_yuan=abs(Decimal(yuan)),
        amount_yuan=Decimal(yuan),
        tax_category="rent",
        tax_rate=Decimal("0.13"),
        **more,
    )
    with store.commerce() as db:
        return add_charge(db, new, AT)[0].id


def close(store: Store, period: str = NOVEMBER, at: datetime = IN_DECEMBER) -> list[str]:
    return [row.seller_id for row in close_period(store, period, at=at, zone=ZONE, name="Li")]


def rows(store: Store, model: type[Any], *order: Any) -> list[Any]:
    with store.reading_commerce() as db:
        found = list(db.exec(select(model).order_by(*order)))
        db.expunge_all()
        return found


def invoices(store: Store) -> list[Invoice]:
    return rows(store, Invoice, col(Invoice.seller_id), col(Invoice.number))


def violations(store: Store) -> dict[str, tuple[str, ...]]:
    with store.reading() as db:
        names = (
            "charge_adds_up",
            "taken_once",
            "invoice_adds_up",
            "drafts_of_closings",
            "invoice_numbers_whole",
            "red_letter_names_invoice",
            "period_closed_for_good",
            "shares_conserved",
            "bill_priced_by_its_instant",
            "bill_flagged",
        )
        return {i.name: i.violations for i in audit(db).invariants if i.name in names and i.violations}


def test_one_invoice_for_each_seller_and_buyer_takes_bills_and_charges_once(
    database_url: str, config: StationConfig
) -> None:
    with filled_store(database_url, config) as store:
        billed(store, config, "V0")
        billed(store, config, "V1")
        charge(store, "rent:one", "2820.00")
        assert close(store) == ["op", "own"]
        by_op, by_own = invoices(store)
        assert (by_op.seller_id, by_op.buyer_id, by_op.number, by_op.kind) == ("op", "fleet", 1, "invoice")
        lines = rows(store, InvoiceLine, col(InvoiceLine.invoice_id), col(InvoiceLine.line_no))
        assert [line.line_no for line in lines if line.invoice_id == by_op.id] == [1, 2, 3, 4]
        with store.reading() as db:
            assert by_op.gross_fen == sum(db.exec(select(Bill.total_fen)))
        assert (by_own.gross_fen, by_own.tax_fen, by_own.net_fen) == (282000, 32442, 249558)
        assert all(line.net_fen + line.tax_fen == line.gross_fen for line in lines)
        before = [row.model_dump() for row in (*rows(store, BillingPeriod), *invoices(store), *lines)]
        assert close(store) == []
        assert before == [
            row.model_dump()
            for row in (
                *rows(store, BillingPeriod),
                *invoices(store),
                *rows(store, InvoiceLine, col(InvoiceLine.invoice_id), col(InvoiceLine.line_no)),
            )
        ]
        assert violations(store) == {}


def test_what_comes_late_goes_into_the_open_month(store: Store, config: StationConfig) -> None:
    billed(store, config, "V0")
    close(store)
    closed = rows(store, BillingPeriod)
    charge(store, "rent:late", "10.00")
    billed(store, config, "V1")  # of November, issued after it was closed
    assert close(store, DECEMBER, IN_JANUARY) == ["op", "own"]
    assert [(one.seller_id, one.number, one.period) for one in invoices(store)] == [
        ("op", 1, NOVEMBER),
        ("op", 2, DECEMBER),
        ("own", 1, DECEMBER),
    ]
    assert closed == [row for row in rows(store, BillingPeriod) if row.period == NOVEMBER]
    assert violations(store) == {}


def test_a_correction_of_a_closed_month_is_a_red_letter_that_names_the_invoice(
    store: Store, config: StationConfig
) -> None:
    bill_id = billed(store, config, "V0")
    billed(store, config, "V1")
    rent = charge(store, "rent:one", "100.00")
    close(store)
    with store.station(STATION) as db:
        correct_bill(db, bill_id, {1: Decimal("100")}, at=IN_DECEMBER, name="Li", reason="read at the pack")
    charge(store, "rent:one:c1", "-30.00", DECEMBER, corrects_id=rent)
    close(store, DECEMBER, IN_JANUARY)
    by_op, by_own = ([one for one in invoices(store) if one.seller_id == seller] for seller in ("op", "own"))
    assert [(one.number, one.kind) for one in by_op] == [(1, "invoice"), (2, "invoice"), (3, "red")]
    assert (by_op[2].corrects_id, by_op[2].gross_fen) == (by_op[0].id, -17414)
    assert by_op[1].gross_fen == 9500
    assert [(one.kind, one.corrects_id, one.gross_fen) for one in by_own] == [
        ("invoice", None, 10000),
        ("red", by_own[0].id, -3000),
    ]
    assert violations(store) == {}


def test_a_reversal_within_the_month_stands_beside_what_it_reverses(store: Store, config: StationConfig) -> None:
    bill_id = billed(store, config, "V0")
    billed(store, config, "V1")
    with store.station(STATION) as db:
        reverse_bill(db, bill_id, at=AT + timedelta(hours=2), name="Li", reason="wrong fleet")
    close(store)
    (only,) = invoices(store)
    assert (only.kind, only.gross_fen) == ("invoice", 17414)


def test_a_credit_without_an_invoice_waits_for_one(store: Store) -> None:
    charge(store, "credit", "-30.00")
    assert close(store) == ["own"]
    assert invoices(store) == []
    charge(store, "rent", "100.00", DECEMBER)
    close(store, DECEMBER, IN_JANUARY)
    assert [one.gross_fen for one in invoices(store)] == [7000]
    assert violations(store) == {}


def test_deposits_and_nothing_are_on_no_invoice(store: Store) -> None:
    charge(store, "nothing", "0.00")
    with store.commerce() as db:
        add_charge(
            db,
            NewCharge(
                "deposit:one", "own", "fleet", "deposit", NOVEMBER, Decimal(1), "item", Decimal(50_000),
                Decimal(50_000), "deposit", Decimal(0),
            ),
            AT,
        )  # fmt: skip
    assert close(store) == []


def test_a_month_is_closed_when_it_is_over_and_in_order(store: Store) -> None:
    charge(store, "rent", "10.00")
    with pytest.raises(PeriodNotClosable, match="not over"):
        close(store, DECEMBER, IN_DECEMBER)
    close(store, DECEMBER, IN_JANUARY)
    charge(store, "rent:late", "10.00")
    with pytest.raises(PeriodNotClosable, match="has closed 2026-12"):
        close(store, NOVEMBER, IN_JANUARY)


@pytest.mark.parametrize("table", ["invoice", "invoice_line", "billing_period", "settlement", "settlement_share"])
def test_what_is_closed_is_never_changed(database_url: str, config: StationConfig, table: str) -> None:
    with filled_store(database_url, config) as store:
        billed(store, config, "V0")
        close(store)

        def change() -> None:
            with store.transaction() as db:
                db.connection().exec_driver_sql(f"DELETE FROM {table}")

        with pytest.raises(DBAPIError, match=r"never changed|append-only|refuse"):
            change()


def test_shares_are_statements_and_no_lines_of_the_bill(store: Store, config: StationConfig) -> None:
    billed(store, config, "V0")
    close(store)
    (statement,) = rows(store, Settlement)
    shares = rows(store, SettlementShare, col(SettlementShare.party_id))
    # 73.32 yuan of service with 6 % in: 69.17 net
    assert (statement.seller_id, statement.kind, statement.income_fen) == ("op", "service", 6917)
    assert [(one.party_id, one.amount_fen, one.takes_rest) for one in shares] == [
        ("op", 4842, True),
        ("own", 2075, False),
    ]
    (invoice,) = invoices(store)
    assert invoice.gross_fen == 17414


@given(
    income_fen=st.integers(-(10**12), 10**12),
    weights=st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(any),
    order=st.randoms(use_true_random=False),
)
def test_a_split_sums_to_the_fen_in_any_order(income_fen: int, weights: list[int], order: Any) -> None:
    shares = {f"p{n}": weight * 10_000 // sum(weights) for n, weight in enumerate(weights)}
    shares["p0"] += 10_000 - sum(shares.values())
    parts = split(income_fen, shares, "p0")
    assert sum(parts.values()) == income_fen
    mixed = list(shares.items())
    order.shuffle(mixed)
    assert split(income_fen, dict(mixed), "p0") == parts
    assert split(-income_fen, shares, "p0") == {party: -fen for party, fen in parts.items()}
    assert all(abs(fen - income_fen * shares[party] / 10_000) < len(shares) for party, fen in parts.items())


@pytest.mark.parametrize(
    ("shares", "rest_to"), [({"a": 9_999}, "a"), ({"a": 10_001, "b": -1}, "a"), ({"a": 10_000}, "b")]
)
def test_shares_that_are_none(shares: dict[str, int], rest_to: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        split(100, shares, rest_to)
