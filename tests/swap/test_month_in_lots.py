"""A month is closed seller by seller, a long one in lots: killed anywhere, written to meanwhile, raced, it says the
same bytes, and a draft of it is seen by nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select

from swap.audit import audit
from swap.commerce.bills import closing
from swap.commerce.bills.closing import close_period
from swap.commerce.bills.invoices import grouped, invoice_id, open_items
from swap.commerce.bills.lists import get_invoice, list_invoices, list_settlements
from swap.commerce.charges import NewCharge, add_charge
from swap.commerce.payments.allocation import meant_by
from swap.commerce_db import CommerceDb
from swap.config.station_file import StationConfig
from swap.errors import InvalidInput, NotFound
from swap.journal.canonical import canonical_json
from swap.register.persons import person_actor
from swap.store import Store
from swap.tables import BillingPeriod, ClosingClaim, Invoice, InvoiceLine, Settlement, SettlementShare
from tests.support.swap.commerce import AT, filled_store, station
from tests.swap.test_invoices import DECEMBER, IN_DECEMBER, NOVEMBER, SHARES, ZONE, billed, violations

OCTOBER = "2026-10"
SELLERS = {"fleet": "own", "op": "fleet", "own": "fleet"}
"""Who sells to whom, in the order in which their months are closed."""
TRANSACTIONS = 1 + len(SELLERS)
"""The name of who closes, and a commit a seller."""
LINES = 5
"""Of the invoice of `op`; the others have one."""
LOT = 2
"""Lines a commit: the month of `op` is closed in lots, the others at once."""
IN_LOTS = TRANSACTIONS + 4
"""Of `op` one that claims the month, three with lines and one that closes it."""


class KilledError(Exception):
    """The process has ended here."""


@pytest.fixture
def config() -> StationConfig:
    return station(SHARES, trucks=4)


def rent(
    store: Store,
    source: str,
    seller: str,
    period: str = NOVEMBER,
    at: datetime = AT,
    *,
    months: int = 1,
    corrects_id: str | None = None,
) -> None:
    new = NewCharge(
        source=source,
        seller_id=seller,
        buyer_id=SELLERS[seller],
        kind="rent",
        period=period,
        quantity=Decimal(months),
        unit="month",
        unit_price_yuan=Decimal(100),
        amount_yuan=Decimal(100) * months,
        tax_category="rent",
        tax_rate=Decimal("0.13"),
        corrects_id=corrects_id,
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


def drafts(store: Store) -> int:
    """How many lines stand without an invoice."""
    with store.reading_commerce() as db:
        issued = set(db.exec(select(Invoice.id)))
        return sum(line.invoice_id not in issued for line in db.exec(select(InvoiceLine)))


def drafts_told(store: Store) -> int:
    """How many of them the audit tells of as waiting."""
    with store.reading() as db:
        return next(i.pending for i in audit(db).invariants if i.name == "drafts_of_closings")


def seen(store: Store) -> dict[str, Any]:
    """What anybody is told of invoices, and what is left to invoice."""
    with store.reading_commerce() as db:
        items = open_items(db, DECEMBER)
        return {
            "invoices": [get_invoice(db, head.invoice_id) for head in list_invoices(db).items],
            "settlements": list_settlements(db).items,
            "open": sorted(items, key=repr),
            "groups": grouped(db, items),
            "draft": _asked(lambda: get_invoice(db, invoice_id("op", 1))),
            "to pay": _asked(lambda: meant_by(db, f"invoice:{invoice_id('op', 1)}", "op", "fleet")),
        }


def _asked(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except (NotFound, InvalidInput) as error:
        return str(error)


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


def killed(store: Store, number: int, *, before: bool = True) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, number, before=before)
        with pytest.raises(KilledError):
            close(store)


def claims(store: Store) -> list[str]:
    with store.reading_commerce() as db:
        return sorted(db.exec(select(ClosingClaim.seller_id)))


@pytest.fixture
def in_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "LINES_A_COMMIT", LOT)


@pytest.mark.parametrize("before", [True, False], ids=["before", "uncommitted"])
def test_killed_in_any_commit_of_a_month_in_lots_it_ends_as_if_closed_at_once(
    database_url: str,
    config: StationConfig,
    copy_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: bool,
) -> None:
    """And after each commit a seller's month is open or closed for everybody."""
    with filled_store(database_url, config) as store:
        month_to_close(store, config)
    store = Store(copy_of(database_url))
    assert close(store) == list(SELLERS)
    at_once = said(store)
    store.close()
    monkeypatch.setattr(closing, "LINES_A_COMMIT", LOT)
    left, told = list[int](), dict[tuple[str, ...], dict[str, Any]]()
    for number in range(1, IN_LOTS + 1):
        store = Store(copy_of(database_url))
        killed(store, number, before=before)
        with store.reading_commerce() as db:
            closed = sorted(db.exec(select(BillingPeriod.seller_id)))
        left.append(drafts(store))
        assert seen(store) == told.setdefault(tuple(closed), seen(store))
        assert violations(store) == {}
        assert drafts_told(store) == left[-1]
        rent(store, "december", "own", DECEMBER, IN_DECEMBER)
        for seller in closed:
            rent(store, f"late:{seller}", seller, at=IN_DECEMBER)
        assert close(store) == list(SELLERS)[len(closed) :]
        assert said(store) == at_once
        assert claims(store) == []
        assert close(store) == []
        assert violations(store) == {}
        store.close()
    assert left == [0, 0, 0, 0, 2, 4, 5, 0]
    assert list(told) == [(), ("fleet",), ("fleet", "op")]


@pytest.mark.usefixtures("in_lots")
def test_drafts_that_were_left_are_deleted_in_lots_and_that_may_be_killed_too(
    database_url: str, config: StationConfig, copy_of: Callable[[str], str]
) -> None:
    """What has come since the first was stopped is in the month: a line that gives back a draft stands beside it."""
    of_op = invoice_id("op", 1)
    with filled_store(database_url, config) as store:
        month_to_close(store, config)
        killed(store, IN_LOTS - 1)
        assert drafts(store) == LINES
        with store.reading_commerce() as db:
            of_charges = select(InvoiceLine.charge_id).where(
                InvoiceLine.invoice_id == of_op, col(InvoiceLine.charge_id).is_not(None)
            )
            drafted = db.exec(of_charges).one()
        rent(store, "back", "op", months=-1, corrects_id=drafted)
    left = []
    for number in range(2, 10):
        store = Store(copy_of(database_url))
        killed(store, number, before=False)
        left.append(drafts(store))
        assert drafts_told(store) == left[-1]
        assert violations(store) == {}
        assert close(store) == ["op", "own"]
        with store.reading_commerce() as db:
            lines = db.exec(select(InvoiceLine.line_no).where(InvoiceLine.invoice_id == of_op)).all()
        assert sorted(lines) == list(range(1, LINES + 2))
        assert drafts(store) == 0
        assert violations(store) == {}
        store.close()
    # the claim is taken over, three commits delete, three write, and one closes
    assert left == [5, 5, 3, 1, 0, 2, 4, 6]


@pytest.mark.usefixtures("in_lots")
@pytest.mark.parametrize("period", [OCTOBER, NOVEMBER])
def test_two_who_close_in_lots_at_once_never_mix(
    database_url: str,
    config: StationConfig,
    copy_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    period: str,
) -> None:
    """The second comes before any commit of the first, takes over what that has claimed, and ends."""
    with filled_store(database_url, config) as store:
        month_to_close(store, config)
        for number in range(LOT + 1):
            rent(store, f"october:{number}", "op", OCTOBER)
    real = Store.commerce
    for number in range(1, IN_LOTS + 1):
        store, begun, others = Store(copy_of(database_url)), [0], list[str]()

        def commerce(
            self: Store, number: int = number, begun: list[int] = begun, others: list[str] = others
        ) -> AbstractContextManager[CommerceDb]:
            begun[0] += 1
            if begun[0] == number:
                rows = close_period(self, period, at=IN_DECEMBER, zone=ZONE, name="Li", seller_id="op")
                others.extend(row.seller_id for row in rows)
            return real(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "commerce", commerce)
            ours = close(store)
        assert begun[0] >= number
        with store.reading_commerce() as db:
            months = sorted(db.exec(select(BillingPeriod.seller_id, BillingPeriod.period)))
            of_op = sorted(row.number for row in db.exec(select(Invoice)) if row.seller_id == "op")
        assert sorted([*ours, *others]) == [seller for seller, _ in months]
        assert {seller for seller, month in months if month == NOVEMBER} == set(SELLERS)
        assert of_op == list(range(1, len(of_op) + 1))
        assert (drafts(store), claims(store), violations(store)) == (0, [], {})
        store.close()


@pytest.mark.usefixtures("in_lots")
def test_of_many_who_close_at_the_same_time_each_month_is_closed_by_one(
    database_url: str, config: StationConfig, copy_of: Callable[[str], str]
) -> None:
    with filled_store(database_url, config) as store:
        month_to_close(store, config)
    store = Store(copy_of(database_url))
    close(store)
    at_once = said(store)
    store.close()
    stores = [Store(database_url) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        closed = list(pool.map(close, stores))
    assert sorted(seller for sellers in closed for seller in sellers) == list(SELLERS)
    assert said(stores[0]) == at_once
    assert (drafts(stores[0]), claims(stores[0]), violations(stores[0])) == (0, [], {})
    for store in stores:
        store.close()


@pytest.mark.usefixtures("in_lots")
def test_who_is_taken_over_by_one_that_is_not_done_leaves_the_seller_to_it(
    database_url: str, config: StationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, begun = Store.commerce, [0]

    def commerce(self: Store) -> AbstractContextManager[CommerceDb]:
        begun[0] += 1
        if begun[0] == 5:
            with real(self) as db:
                db.merge(ClosingClaim(seller_id="op", token="another"))
        return real(self)

    with filled_store(database_url, config) as store:
        month_to_close(store, config)
        monkeypatch.setattr(Store, "commerce", commerce)
        assert close(store) == ["fleet", "own"]
        monkeypatch.undo()
        monkeypatch.setattr(closing, "LINES_A_COMMIT", LINES)  # one commit would do, were there no claim
        assert (drafts(store), claims(store), violations(store)) == (LOT, ["op"], {})
        assert close(store) == ["op"]
        assert (drafts(store), claims(store), violations(store)) == (0, [], {})


@pytest.mark.usefixtures("in_lots")
def test_a_draft_may_be_deleted_and_not_changed_and_nothing_of_an_invoice_may(
    database_url: str, config: StationConfig
) -> None:
    with filled_store(database_url, config) as store:
        month_to_close(store, config)
        killed(store, IN_LOTS - 1)
        of_op, of_fleet = invoice_id("op", 1), invoice_id("fleet", 1)
        for script in (
            f"UPDATE invoice_line SET line_no = line_no + 100 WHERE invoice_id = '{of_op}'",
            f"DELETE FROM invoice_line WHERE invoice_id = '{of_fleet}'",
        ):
            with pytest.raises(DBAPIError, match="never changed"), store.transaction() as db:
                db.connection().exec_driver_sql(script)
        with store.transaction() as db:
            db.connection().exec_driver_sql(f"DELETE FROM invoice_line WHERE invoice_id = '{of_op}'")
        assert drafts(store) == 0
