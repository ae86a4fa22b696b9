"""No transaction of commerce grows with what waits for it: a robot's step is written between two of them.

With SQLite all writers share one lock, so what commerce does at once the controller waits for. After a time in which
commerce stood still there is much to do, and it is done in lots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, timedelta

import pytest
from sqlmodel import select

from swap.commerce.bills import closing
from swap.commerce.bills.issuing import BillingMark, bill_completed_swaps, run_commerce
from swap.commerce.bookings import store as bookings
from swap.commerce.bookings.rules import Demand, NotPromised, Promise, PromiseView, promise
from swap.commerce.bookings.store import ask_booking, foresee, make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.custody.take import take_journals
from swap.commerce.ledger.book import expire, post
from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.transfers import Leg, Transfer, TransferKind
from swap.commerce.posting import PostingMark, post_due
from swap.commerce.webhooks.endpoints import make_endpoint
from swap.commerce.webhooks.outbox import collect
from swap.config.station_file import RetentionSection, StationConfig
from swap.keeping.samples import thin_samples
from swap.reading.records import BookingRecord
from swap.store import Store
from swap.tables import Booking, SiteSample
from tests.support.swap.commerce import AT, STATION, arrive, charge_packs, exchange, filled_store, station
from tests.support.swap.counting import counted_writes
from tests.support.swap.told import HOSTS, WELL

MOST = 80
"""Statements: at half a millisecond each they keep a controller waiting for less than 50 ms."""
FORESEEN = 6
"""Statements of a booking that was foreseen: what it rests on is not read again."""
SWAPS, HOUR = 24, timedelta(hours=1)


@pytest.fixture
def config() -> StationConfig:
    return station(trucks=SWAPS, bays=12, packs=8)


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        charge_packs(store)
        yield store


def swap_all(store: Store, config: StationConfig) -> None:
    """Every truck swaps once."""
    for number in range(SWAPS):
        at = AT + number * timedelta(minutes=10)
        exchange(store, arrive(store, config, f"V{number}", at).swap_id, at)


def test_bills_are_made_and_posted_in_short_transactions(store: Store, config: StationConfig) -> None:
    swap_all(store, config)
    with counted_writes(store) as told:
        assert len(bill_completed_swaps(store, STATION, AT + 24 * HOUR)) == SWAPS
        assert post_due(store, STATION, AT + 24 * HOUR, PostingMark()) == SWAPS
    assert max(told) <= MOST


def test_custody_is_taken_in_short_transactions(store: Store, config: StationConfig) -> None:
    swap_all(store, config)
    with counted_writes(store) as told:
        assert take_journals(store) >= 5 * SWAPS
    assert max(told) <= MOST


def test_firms_are_told_in_short_transactions(store: Store, config: StationConfig) -> None:
    with store.commerce() as db:
        make_endpoint(db, "fleet", WELL, (), AT, HOSTS)
    swap_all(store, config)
    bill_completed_swaps(store, STATION, AT + 24 * HOUR)
    with counted_writes(store) as told:
        assert collect(store, STATION) == 2 * SWAPS
    assert max(told) <= MOST


def test_a_month_is_closed_in_short_transactions(
    store: Store, config: StationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "LINES_A_COMMIT", MOST // 4)
    swap_all(store, config)
    bill_completed_swaps(store, STATION, AT + 24 * HOUR)
    with counted_writes(store) as told:
        (closed,) = closing.close_period(store, "2026-11", at=AT + 40 * 24 * HOUR, zone=UTC, name="Li")
    assert closed.seller_id == "op"
    assert max(told) <= MOST // 4 + 2  # the lines of one lot, and whose they are
    assert sum(told) >= 2 * SWAPS


def test_bookings_end_in_short_transactions(store: Store, config: StationConfig) -> None:
    for number in range(SWAPS):
        at = AT + number // 2 * HOUR
        with store.station(STATION) as db:
            make_booking(db, config, Wanted(f"V{number}", at, at + HOUR / 2), at=AT)
    with counted_writes(store) as told:
        assert len(run_commerce(store, config, AT + 72 * HOUR).bookings_ended) == SWAPS
    assert max(told) <= MOST


def test_what_is_foreseen_without_the_lock_is_planned_again_only_where_it_is_old(
    store: Store, config: StationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of all promises takes as long as there are many."""
    slot = AT + HOUR, AT + HOUR * 1.5
    planned = list[str]()

    def plan(view: PromiseView, others: Sequence[Demand], wanted: Demand) -> Promise | NotPromised:
        planned.append(wanted.key)
        return promise(view, others, wanted)

    monkeypatch.setattr(bookings, "promise", plan)
    told = []
    for number in range(SWAPS // 2):
        wanted = Wanted(f"V{number}", *slot)
        with store.reading_station(STATION) as db:
            seen = foresee(db, config, wanted, AT)
        planned.clear()
        with store.station(STATION) as db:
            found = ask_booking(db, config, wanted, at=AT, foreseen=seen)
        assert planned == []
        told.append(type(found).__name__)
    assert set(told) == {"BookingRecord", "BookingDenied"}
    with store.reading_station(STATION) as db:
        seen = foresee(db, config, Wanted("V20", AT + 18 * HOUR, AT + 18.5 * HOUR), AT)
    with counted_writes(store) as counted, store.station(STATION) as db:
        assert isinstance(ask_booking(db, config, seen.wanted, at=AT, foreseen=seen), BookingRecord)
    assert counted == [FORESEEN]
    with store.reading_station(STATION) as db:
        seen = foresee(db, config, Wanted("V22", AT + 20 * HOUR, AT + 20.5 * HOUR), AT)
    with store.station(STATION) as db:
        make_booking(db, config, Wanted("V23", AT + 20 * HOUR, AT + 20.5 * HOUR), at=AT)
    planned.clear()
    with store.station(STATION) as db:
        ask_booking(db, config, Wanted("V22", AT + 20 * HOUR, AT + 20.5 * HOUR), at=AT, foreseen=seen)
    assert len(planned) == 1


def test_nothing_to_do_takes_no_lock(store: Store, config: StationConfig) -> None:
    """The controller is kept waiting for no look at bookings or bills that finds nothing."""
    with store.station(STATION) as db:
        make_booking(db, config, Wanted("V0", AT + HOUR, AT + 2 * HOUR), at=AT)
    with counted_writes(store) as told:
        run_commerce(store, config, AT)
        post_due(store, STATION, AT, PostingMark())
    assert told == []


def test_what_is_held_is_let_go_in_short_transactions(store: Store) -> None:
    wallet, bank = Account("op", "wallet", "fleet"), Account("op", "bank")
    paid = Transfer("paid", "test:paid", AT, (Leg(bank, wallet, 100 * 60),))
    with store.commerce() as db:
        post(db, paid)
        for number in range(60):
            hold = Transfer(f"held{number}", f"test:held{number}", AT, (Leg(wallet, Account("op", "unmatched"), 100),))
            post(db, replace(hold, kind=TransferKind.PENDING, expires_at=AT + HOUR))
    ended = 0
    with counted_writes(store) as told:
        while True:
            with store.commerce() as db:
                one = len(expire(db, AT + 2 * HOUR))
            ended += one
            if not one:
                break
    assert ended == 60
    assert max(told) <= MOST


def test_samples_are_thinned_in_short_transactions(store: Store) -> None:
    with store.station(STATION) as db:
        for number in range(400):
            at = AT + number * timedelta(seconds=20)
            db.add(SiteSample(station_id=STATION, at=at, limit_kw=1900.0, ready_packs=4, queue_length=0))
    rules = RetentionSection(samples_full_days=30, samples_minute_days=90)
    looked = 0
    with counted_writes(store) as told:
        for days in (31, 91):
            while one := thin_samples(store, STATION, rules, AT + timedelta(days=days)):
                looked += one
    assert looked >= 400
    assert max(told) <= MOST


def test_bookings_follow_all_their_trucks_though_they_end_in_lots(store: Store, config: StationConfig) -> None:
    mark = BillingMark()
    for number in range(SWAPS // 2):
        at = AT + number * HOUR
        with store.station(STATION) as db:
            make_booking(db, config, Wanted(f"V{number}", at, at + HOUR / 2), at=AT)
        exchange(store, arrive(store, config, f"V{number}", at).swap_id, at)
    with store.station(STATION) as db:  # as if commerce had seen none of them arrive
        for row in db.exec(select(Booking)):
            row.status = "booked"
    with counted_writes(store) as told:
        ended = len(run_commerce(store, config, AT + 10 * HOUR, mark=mark).bookings_ended)
    assert ended == SWAPS // 2
    assert max(told) <= MOST
    with store.reading_station(STATION) as db:
        assert {row.status for row in db.exec(select(Booking))} == {"fulfilled"}
