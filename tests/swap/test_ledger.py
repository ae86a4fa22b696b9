"""The ledger: sealed, once, never changed; holds; and what is posted for bills and charges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from swap.commerce import posting
from swap.commerce.bills.issuing import bill_completed_swaps, correct_bill
from swap.commerce.bills.money import taxed_fen
from swap.commerce.charges import Sale, add_charge
from swap.commerce.errors import HoldEnded, Overdrawn, TransferDiffers
from swap.commerce.ledger.balances import list_accounts, list_entries, positions
from swap.commerce.ledger.book import expire, post, void
from swap.commerce.ledger.chart import Account, Root, chart
from swap.commerce.ledger.postings import Owed, OwedLine, postings_of
from swap.commerce.ledger.records import EntryRecord
from swap.commerce.ledger.sources import bill_owed
from swap.commerce.ledger.transfers import Leg, Transfer, TransferKind
from swap.commerce.posting import NotPosted, PostingMark, post_due
from swap.commerce_db import CommerceDb
from swap.errors import NotFound
from swap.reading.lists import list_bills
from swap.store import Store
from swap.tables import LedgerLeg, LedgerTransfer
from tests.support.swap import commerce as day
from tests.support.swap.databases import migrated_sqlite
from tests.support.swap.ledger import AT, RENT, available_fen, balance_fen, charge, firms_store

BANK, INCOME = Account("op", "bank"), Account("op", "income", "energy")
WALLET, UNMATCHED = Account("op", "wallet", "fleet"), Account("op", "unmatched")
HOUR = timedelta(hours=1)


def transfer(transfer_id: str, fen: int = 100, debit: Account = BANK, credit: Account = INCOME) -> Transfer:
    return Transfer(transfer_id, f"test:{transfer_id}", AT, (Leg(debit, credit, fen),))


def held(transfer_id: str, fen: int = 100, hours: int = 1) -> Transfer:
    return replace(
        transfer(transfer_id, fen, WALLET, UNMATCHED), kind=TransferKind.PENDING, expires_at=AT + hours * HOUR
    )


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with firms_store(database_url) as store:
        yield store


def test_a_transfer_counts_once(store: Store) -> None:
    with store.commerce() as db:
        assert post(db, transfer("one"))
        assert not post(db, transfer("one"))
    with store.commerce() as db:
        assert not post(db, transfer("one"))
    assert balance_fen(store, BANK) == balance_fen(store, INCOME) == 100


def test_the_same_id_with_other_content_is_refused(store: Store) -> None:
    with store.commerce() as db:
        post(db, transfer("one"))
    for other in (transfer("one", 101), transfer("one", credit=UNMATCHED), replace(transfer("one"), at=AT + HOUR)):
        with pytest.raises(TransferDiffers, match="transfer one was posted"), store.commerce() as db:
            post(db, other)
    assert balance_fen(store, BANK) == 100


@pytest.mark.parametrize("table", ["ledger_transfer", "ledger_leg", "ledger_account"])
@pytest.mark.parametrize("change", ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}"])
def test_nothing_of_it_is_ever_changed(store: Store, table: str, change: str) -> None:
    column = "leg_no" if table == "ledger_leg" else "id"
    with store.commerce() as db:
        post(db, transfer("one"))
    with pytest.raises(DBAPIError, match="never changed"), store.commerce() as db:
        db.execute(text(change.format(table=table, column=column)))


def seal(**more: object) -> LedgerTransfer:
    values: dict[str, Any] = {
        "id": "raw",
        "source": "raw",
        "about": "raw",
        "kind": "posted",
        "at": AT,
        "digest": "",
        "legs": 1,
    }
    return LedgerTransfer(**values | {"total_fen": 70} | more)


def raw_leg(db: CommerceDb, number: int = 1, seal: LedgerTransfer | None = None) -> None:
    values = {"transfer_id": "raw", "leg_no": number, "debit_id": BANK.id, "credit_id": INCOME.id, "amount_fen": 70}
    db.execute(insert(LedgerLeg), [values | {"at": AT, "kind": "posted"}])
    if seal is not None:
        db.add(seal)
        db.flush()


@pytest.mark.parametrize("wrong", [{"total_fen": 71}, {"legs": 2}, {"kind": "void"}, {"at": AT + HOUR}])
def test_a_seal_that_its_legs_do_not_fit_is_refused(store: Store, wrong: dict[str, object]) -> None:
    with store.commerce() as db:
        post(db, transfer("opens the accounts"))
    with pytest.raises(DBAPIError), store.commerce() as db:
        raw_leg(db, seal=seal(**wrong))
    assert balance_fen(store, BANK) == 100


def test_legs_without_a_seal_cannot_be_committed_and_a_sealed_transfer_takes_no_more(store: Store) -> None:
    with store.commerce() as db:
        post(db, transfer("opens the accounts"))
    with pytest.raises(DBAPIError), store.commerce() as db:
        raw_leg(db)
    with store.commerce() as db:
        raw_leg(db, seal=seal())
    with pytest.raises(DBAPIError, match="sealed"), store.commerce() as db:
        raw_leg(db, 2)
    with store.reading_commerce() as db:
        assert len(db.exec(select(LedgerLeg)).all()) == 2


def test_a_hold_keeps_money_until_it_is_posted_voided_or_over(store: Store) -> None:
    with store.commerce() as db:
        post(db, transfer("filled", 300, UNMATCHED, WALLET))
        for name in ("posted", "voided", "over"):
            post(db, held(name, 100))
    assert (balance_fen(store, WALLET), available_fen(store, WALLET)) == (300, 0)
    with pytest.raises(Overdrawn, match="0 fen are left"), store.commerce() as db:
        post(db, transfer("too much", 1, WALLET, UNMATCHED))
    with store.commerce() as db:
        assert post(db, replace(transfer("part of it", 60, WALLET, UNMATCHED), settles_id="posted"))
        assert void(db, "voided", AT)
        assert not void(db, "voided", AT)
    assert (balance_fen(store, WALLET), available_fen(store, WALLET)) == (240, 140)
    later = AT + HOUR
    assert available_fen(store, WALLET, later) == 240  # by its time, before anybody has written it down
    with store.commerce() as db:
        assert expire(db, later) == ("over",)
        assert expire(db, later) == ()
    assert balance_fen(store, WALLET) == 240


@pytest.mark.parametrize(
    ("settlement", "error", "match"),
    [
        (replace(transfer("s", 101, WALLET, UNMATCHED), settles_id="held"), HoldEnded, "holds less"),
        (replace(transfer("s", 1, BANK, UNMATCHED), settles_id="held"), HoldEnded, "holds less"),
        (replace(transfer("s", 1, WALLET, UNMATCHED), settles_id="held", at=AT + HOUR), HoldEnded, "was over at"),
        (replace(transfer("s", 1, WALLET, UNMATCHED), settles_id="nothing"), NotFound, "nothing"),
        (replace(transfer("s", 1, WALLET, UNMATCHED), settles_id="filled"), NotFound, "filled"),
    ],
)
def test_a_settlement_takes_no_more_than_was_held(
    store: Store, settlement: Transfer, error: type[Exception], match: str
) -> None:
    with store.commerce() as db:
        post(db, transfer("filled", 300, UNMATCHED, WALLET))
        post(db, held("held"))
    with pytest.raises(error, match=match), store.commerce() as db:
        post(db, settlement)
    assert (balance_fen(store, WALLET), available_fen(store, WALLET)) == (300, 200)


def test_a_hold_is_settled_once(store: Store) -> None:
    with store.commerce() as db:
        post(db, transfer("filled", 300, UNMATCHED, WALLET))
        post(db, held("held"))
        post(db, replace(transfer("first", 1, WALLET, UNMATCHED), settles_id="held"))
    with pytest.raises(HoldEnded, match="settled by first"), store.commerce() as db:
        post(db, replace(transfer("second", 1, WALLET, UNMATCHED), settles_id="held"))
    with pytest.raises(HoldEnded, match="settled by first"), store.commerce() as db:
        void(db, "held", AT)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Leg(BANK, BANK, 1),
        lambda: Leg(BANK, INCOME, 0),
        lambda: Leg(BANK, INCOME, -1),
        lambda: Leg(BANK, Account("fleet", "bank"), 1),
        lambda: Account("op", "treasure"),
        lambda: Account("op", "bank", "second"),
        lambda: Account("op", "income"),
        lambda: Account("op", "payable", "op"),
        lambda: replace(transfer("t"), kind=TransferKind.PENDING),
        lambda: replace(transfer("t"), expires_at=AT + HOUR),
        lambda: replace(held("t"), expires_at=AT),
        lambda: replace(held("t"), settles_id="other"),
        lambda: replace(transfer("t"), kind=TransferKind.VOID, settles_id="other"),
        lambda: replace(transfer("t"), id=""),
    ],
)
def test_what_is_no_transfer_cannot_be_made(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        wrong()  # type: ignore[operator]


def test_pages_of_accounts_and_entries_join(store: Store) -> None:
    with store.commerce() as db:
        for number in range(5):
            moved = replace(transfer(f"t{number}", 10 + number), at=AT + number // 2 * HOUR)
            post(db, moved if number != 3 else replace(moved, legs=(Leg(INCOME, BANK, 13), Leg(BANK, UNMATCHED, 7))))
    with store.reading_commerce() as db:
        found: list[EntryRecord] = []
        cursor = None
        while True:
            page = list_entries(db, BANK.id, limit=2, cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        names, cursor = list[str](), None
        while True:
            accounts = list_accounts(db, at=AT, limit=2, cursor=cursor)
            names += [account.account_id for account in accounts.items]
            cursor = accounts.next_cursor
            if cursor is None:
                break
        with pytest.raises(NotFound, match="nobody:bank"):
            list_entries(db, "nobody:bank")
    amounts = [(entry.transfer_id, entry.amount_yuan) for entry in found]
    assert amounts == [
        ("t4", Decimal("0.14")), ("t3", Decimal("0.07")), ("t3", Decimal("-0.13")), ("t2", Decimal("0.12")),
        ("t1", Decimal("0.11")), ("t0", Decimal("0.10")),
    ]  # fmt: skip
    assert names == sorted([BANK.id, INCOME.id, UNMATCHED.id])


# ---- what is posted ----------------------------------------------------------------------------------------


@given(
    fen=st.integers(-(10**9), 10**9),
    rate_bp=st.integers(0, 10_000),
    included=st.booleans(),
)
def test_net_and_tax_are_the_whole(fen: int, rate_bp: int, included: bool) -> None:
    net_fen, tax_fen, gross_fen = taxed_fen(fen, rate_bp, included=included)
    assert (gross_fen if included else net_fen) == fen
    assert net_fen + tax_fen == gross_fen
    assert abs(Decimal(tax_fen) - Decimal(net_fen) * rate_bp / 10_000) <= 1
    assert taxed_fen(-fen, rate_bp, included=included) == (-net_fen, -tax_fen, -gross_fen)


LINES = st.builds(
    OwedLine,
    seller_id=st.sampled_from(["op", "own", "grid"]),
    buyer_id=st.sampled_from(["fleet", "other", "op"]),
    category=st.sampled_from(["energy", "rent", "deposit"]),
    net_fen=st.integers(-500, 1000),
    tax_fen=st.integers(0, 100),
    collected_for_id=st.sampled_from([None, "own", "grid", "fleet"]),
)


@given(lines=st.lists(LINES, max_size=6))
def test_books_of_each_firm_balance_and_mirror_those_of_the_others(lines: list[OwedLine]) -> None:
    posted = postings_of(Owed("bill:1", AT, tuple(lines)))
    of_firm: dict[str, int] = {}
    of_pair: dict[frozenset[str], int] = {}
    for leg in posted.legs:
        assert leg.debit.firm_id == leg.credit.firm_id
        for account, sign in ((leg.debit, 1), (leg.credit, -1)):
            of_firm[account.firm_id] = of_firm.get(account.firm_id, 0) + sign * leg.amount_fen
            if account.kind in ("receivable", "payable", "deposit_held", "deposit_paid"):
                pair = frozenset((account.firm_id, account.detail))
                of_pair[pair] = of_pair.get(pair, 0) + sign * leg.amount_fen
    assert set(of_firm.values()) <= {0}
    assert set(of_pair.values()) <= {0}
    reversal = postings_of(
        Owed("bill:2", AT, tuple(replace(ln, net_fen=-ln.net_fen, tax_fen=-ln.tax_fen) for ln in lines), "bill:1")
    )
    assert reversal.about == "bill:1"
    assert {(leg.debit, leg.credit, leg.amount_fen) for leg in reversal.legs} == {
        (leg.credit, leg.debit, leg.amount_fen) for leg in posted.legs
    }


def test_an_own_sale_and_one_that_is_collected_for_another_firm(store: Store) -> None:
    charge(store, "own", "113.00")
    charge(store, "for the grid", "22.60", kind="energy", sale=Sale.COLLECTED, basis={"for": "grid"})
    charge(store, "deposit", "1000.00", kind="deposit", tax_rate=Decimal(0))
    expected = {
        Account("op", "receivable", "fleet"): 113560,
        Account("op", "income", "rent"): 10000,
        Account("op", "tax_out"): 1300,
        Account("op", "payable", "grid"): 2260,
        Account("op", "deposit_held", "fleet"): 100_000,
        Account("grid", "receivable", "op"): 2260,
        Account("grid", "income", "energy"): 2000,
        Account("grid", "tax_out"): 260,
        Account("fleet", "payable", "op"): 113560,
        Account("fleet", "cost", "rent"): 10000,
        Account("fleet", "cost", "energy"): 2000,
        Account("fleet", "tax_in"): 1560,
        Account("fleet", "deposit_paid", "op"): 100_000,
    }
    with store.reading_commerce() as db:
        assert {account: found.balance_fen for account, found in positions(db).items()} == expected


def test_every_bill_reversal_correction_and_charge_is_posted_once_also_after_a_kill(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = day.station()
    with day.filled_store(database_url, config) as store:
        for vehicle, minutes in (("V0", 6), ("V1", 12)):
            day.exchange(store, day.arrive(store, config, vehicle).swap_id, day.AT + timedelta(minutes=minutes))
        bill_completed_swaps(store, day.STATION, day.AT + HOUR)
        with store.commerce() as db:
            add_charge(db, replace(RENT, seller_id="own"), day.AT)

        class Killed(BaseException):
            """The process ends here."""

        def kill(*_: object, **__: object) -> bool:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(posting, "post", kill)
            with pytest.raises(Killed):
                post_due(store, day.STATION, day.AT + HOUR, PostingMark())
        mark = PostingMark()
        assert post_due(store, day.STATION, day.AT + HOUR, mark) == 3
        assert post_due(store, day.STATION, day.AT + HOUR, mark) == 0
        with store.reading_station(day.STATION) as here:
            first, second = list_bills(here).items
        with store.station(day.STATION) as here:
            correct_bill(here, first.bill_id, {1: Decimal(10)}, at=day.AT + HOUR, name="Li", reason="read again")
        assert post_due(store, day.STATION, day.AT + HOUR, mark) == 2
        assert post_due(store, day.STATION, day.AT + HOUR, PostingMark()) == 0
        with store.reading_station(day.STATION) as here:
            corrected = next(bill for bill in list_bills(here).items if bill.kind == "correction")
        owed_fen = int((second.total_yuan + corrected.total_yuan) * 100)
        assert owed_fen > 0
        assert balance_fen(store, Account("op", "receivable", "fleet")) == owed_fen
        assert balance_fen(store, Account("fleet", "payable", "op")) == owed_fen


def test_one_that_cannot_be_posted_stops_no_other_and_is_tried_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = day.station()
    with day.filled_store(sqlite_url, config) as store:
        for vehicle, minutes in (("V0", 6), ("V1", 12)):
            day.exchange(store, day.arrive(store, config, vehicle).swap_id, day.AT + timedelta(minutes=minutes))
        first, _ = bill_completed_swaps(store, day.STATION, day.AT + HOUR)
        mark = PostingMark()

        def unfit(bill: object, *others: object) -> Owed:
            owed = bill_owed(bill, *others)  # type: ignore[arg-type]
            if owed.source != f"bill:{first}":
                return owed
            return replace(owed, lines=(OwedLine("op", "fleet", "energy", 10**16),))

        with monkeypatch.context() as patch:
            patch.setattr(posting, "bill_owed", unfit)
            for _ in range(2):
                with pytest.raises(NotPosted, match=first):
                    post_due(store, day.STATION, day.AT + HOUR, mark)
        assert post_due(store, day.STATION, day.AT + HOUR, mark) == 1


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["post", "hold", "settle", "void", "expire", "again"]),
        st.integers(0, 5),
        st.integers(1, 300),
        st.integers(0, 4),
    ),
    max_size=25,
)


class Enough(Exception):
    """Ends an example: nothing of it is kept."""


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with firms_store(migrated_sqlite(tmp_path_factory.mktemp("ledger") / "one.db")) as store:
        yield store


@settings(max_examples=60)
@given(acts=ACTS)
def test_whatever_happens_every_account_stays_balanced(one_store: Store, acts: list[tuple[str, int, int, int]]) -> None:
    """Postings, holds, settlements, voids, time-outs and re-runs, against a few lines of bookkeeping by hand."""
    books = {"wallet": 0}
    holds: dict[str, tuple[int, int]] = {}
    with suppress(Enough), one_store.commerce() as db:
        for number, (act, which, fen, hours) in enumerate(acts):
            at, name = AT + number * HOUR / 10, f"{act}-{number}"
            pending = f"hold-{which}"
            free = books["wallet"] - sum(h for h, until in holds.values() if until > number)
            if act == "post":
                post(db, replace(transfer(name, fen, UNMATCHED, WALLET), at=at))
                books["wallet"] += fen
            elif act == "again" and number:
                post(db, replace(transfer("again", 50, UNMATCHED, WALLET), at=AT))
                books.setdefault("again", 50)
                books["wallet"] += books["again"]
                books["again"] = 0
            elif act == "hold" and pending not in holds and db.get(LedgerTransfer, pending) is None:
                wanted = replace(held(pending, fen), at=at, expires_at=at + (hours + 1) * HOUR)
                if fen > free:
                    with pytest.raises(Overdrawn):
                        post(db, wanted)
                else:
                    post(db, wanted)
                    holds[pending] = fen, number + 10 * (hours + 1)
            elif act in ("settle", "void") and pending in holds:
                most, until = holds[pending]
                if act == "void":
                    void(db, pending, at)
                    del holds[pending]
                    continue
                ended = replace(transfer(name, min(fen, most), WALLET, UNMATCHED), at=at, settles_id=pending)
                if until <= number:
                    with pytest.raises(HoldEnded):
                        post(db, ended)
                else:
                    post(db, ended)
                    books["wallet"] -= min(fen, most)
                    del holds[pending]
            elif act == "expire":
                expire(db, at)
                holds = {key: value for key, value in holds.items() if value[1] > number}
            found = {account: where.balance_fen for account, where in positions(db).items()}
            assert found.get(WALLET, 0) == books["wallet"] >= 0
            sides = {root: sum(fen for account, fen in found.items() if account.of.root is root) for root in Root}
            assert sides[Root.ASSETS] + sides[Root.EXPENSES] == sides[Root.LIABILITIES] + sides[Root.INCOME]
        raise Enough


def test_every_kind_of_the_chart_has_both_names() -> None:
    assert all(kind.name_en and kind.name_zh for kind in chart().values())
