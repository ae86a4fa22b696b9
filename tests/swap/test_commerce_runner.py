"""Commerce as a task of its own: one bad bill is told once, tried again, and stops neither the others nor anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from swap.commerce import runner
from swap.commerce.bills.issuing import BillingMark, Completion, bill_completed_swaps, due_bill, run_commerce
from swap.commerce.bills.record import RowRecord
from swap.commerce.bills.terms import StationTerms, SwapAsked, SwapTerms
from swap.commerce.bookings.store import make_booking
from swap.commerce.bookings.wanted import Wanted
from swap.commerce.charges import charges_of
from swap.commerce.custody.show import custody_spans
from swap.commerce.runner import BILL_WAIT_S, RENT_WAIT_S, Commerce
from swap.config.station_file import StationConfig
from swap.errors import DatabaseAway
from swap.messages.events import SwapCompleted
from swap.reading.lists import list_bills
from swap.station_db import StationDb
from swap.store import Store
from tests.support.swap.commerce import AT, arrive, exchange, filled_store, station
from tests.support.swap.leases import signed, terms

LATER = AT + timedelta(hours=1)


class Holes(StationTerms):
    """Knows no terms of a swap before ten past eight, until mended."""

    mended = False
    asked = 0

    def terms(self, db: StationDb, asked: SwapAsked) -> SwapTerms:
        if not self.mended and asked.at < AT + timedelta(minutes=10):
            self.asked += 1
            raise LookupError("no terms")
        return super().terms(db, asked)


class Bench:
    def __init__(self, store: Store, config: StationConfig) -> None:
        self.store, self.config = store, config
        self.terms = Holes()
        self.told: list[str | None] = []
        self.now_s = 0.0
        self.commerce = Commerce(store, config, lambda: LATER, self.told.append, lambda: self.now_s, self.terms)

    def bills(self) -> int:
        with self.store.reading_station(self.config.station.id) as db:
            return len(list_bills(db).items)


@pytest.fixture
def bench(sqlite_url: str) -> Iterator[Bench]:
    config = station()
    with filled_store(sqlite_url, config) as store:
        for vehicle, minutes in (("V0", 6), ("V1", 12)):
            exchange(store, arrive(store, config, vehicle).swap_id, AT + timedelta(minutes=minutes))
        yield Bench(store, config)


def test_a_bad_bill_is_told_once_tried_again_later_and_stops_no_other(bench: Bench) -> None:
    for _ in range(5):
        bench.commerce.cycle()
    assert bench.bills() == 1
    assert bench.terms.asked == 1
    assert bench.commerce.unbilled == 1
    assert len(bench.told) == 1
    assert str(bench.told[0]).startswith("no bill for sw-")
    bench.now_s += BILL_WAIT_S
    bench.commerce.cycle()
    assert bench.terms.asked == 2
    bench.now_s += BILL_WAIT_S
    bench.commerce.cycle()
    assert bench.terms.asked == 2  # the second wait is twice as long
    bench.terms.mended = True
    bench.now_s += BILL_WAIT_S
    bench.commerce.cycle()
    assert (bench.bills(), bench.commerce.unbilled) == (2, 0)
    assert bench.told[1:] == [None]


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ({1: KeyError("a mistake"), 2: KeyError("a mistake")}, ["'a mistake'", None]),
        ({1: DatabaseAway("gone"), 2: DatabaseAway("gone")}, []),  # that is no fault of commerce
    ],
)
async def test_a_failure_of_all_is_tried_again_and_told_when_it_can_be(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, failures: dict[int, Exception], told: list[str | None]
) -> None:
    calls = 0
    done = asyncio.Event()
    real = run_commerce

    def wrong_at_first(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls in failures:
            raise failures[calls]
        return real(*arguments, **options)  # type: ignore[arg-type]

    async def no_wait(_: float) -> None:
        if bench.bills():
            done.set()
        await asyncio.sleep(0)

    monkeypatch.setattr(runner, "run_commerce", wrong_at_first)
    monkeypatch.setattr(runner, "wait", no_wait)
    bench.terms.mended = True
    task = asyncio.create_task(bench.commerce.run())
    try:
        await asyncio.wait_for(done.wait(), 30)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert bench.bills() == 2
    assert bench.told == told


def test_rents_that_fail_are_told_tried_again_later_and_keep_no_bill_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def rents(store: Store, month: str, at: datetime) -> None:
        asked.append(month)
        if len(asked) == 1:
            raise LookupError("a contract that cannot be read")

    monkeypatch.setattr(runner, "run_rent", rents)
    monkeypatch.setattr(runner, "due_month", lambda db, at: "2026-10")
    bench.terms.mended = True
    for _ in range(3):
        bench.commerce.cycle()
    assert (bench.bills(), asked) == (2, ["2026-10"])
    assert bench.told == ["rents: a contract that cannot be read"]
    bench.now_s += RENT_WAIT_S
    bench.commerce.cycle()
    assert (len(asked), bench.told[1:]) == (2, [None])


def test_custody_and_the_rents_of_a_month_that_has_ended_come_by_themselves(bench: Bench) -> None:
    signed(bench.store, terms(first_day="2026-10-01", lessor_id="own", vehicles=["V2"]))
    bench.terms.mended = True
    for _ in range(2):
        bench.commerce.cycle()
    with bench.store.reading_commerce() as db:
        rents = [(row.period, row.amount_fen) for row in charges_of(db)]
        assert rents == [("2026-10", 282_000)]
        assert custody_spans(db, vehicle_id="V0")
    assert bench.told == []


def test_a_bill_that_is_known_to_be_due_waits_for_nothing(sqlite_url: str) -> None:
    config = station()
    station_id = config.station.id
    with filled_store(sqlite_url, config) as store:
        swap_id = arrive(store, config, "V0").swap_id
        exchange(store, swap_id, AT, returned_soe_kwh=None)
        with store.reading_station(station_id) as db:
            done = db.newest_event(SwapCompleted)
            assert done is not None
            one = Completion(swap_id, done.at, done.seq)
            assert due_bill(RowRecord(db), one, StationTerms(), AT) is None
            assert due_bill(RowRecord(db), one, StationTerms(), None) is not None


def test_the_mark_stays_before_the_first_swap_without_its_bill(sqlite_url: str) -> None:
    config = station()
    station_id = config.station.id
    with filled_store(sqlite_url, config) as store:
        mark = BillingMark()
        assert mark.seq == 0, "a new mark passes over no event"

        def newest() -> int:
            with store.reading_station(station_id) as db:
                event = db.newest_event()
                assert event is not None
                return event.seq

        assert bill_completed_swaps(store, station_id, AT, mark=mark) == ()
        assert mark.seq == newest() > 0
        swap_id = arrive(store, config, "V0").swap_id
        exchange(store, swap_id)
        done = newest()
        for issued in (0, 1):
            left_out = () if issued else (swap_id,)
            assert len(bill_completed_swaps(store, station_id, LATER, mark=mark, leave_out=left_out)) == issued
            assert mark.seq == done - 1
        assert bill_completed_swaps(store, station_id, LATER, mark=mark) == ()
        assert mark.seq == newest()
        exchange(store, arrive(store, config, "V1", LATER).swap_id, LATER)
        assert bill_completed_swaps(store, station_id, LATER, mark=BillingMark(newest())) == ()


def test_a_booking_ends_with_its_truck_at_the_first_look_after_it(sqlite_url: str) -> None:
    config = station()
    with filled_store(sqlite_url, config) as store:
        mark = BillingMark()
        with store.station(config.station.id) as db:
            wanted = Wanted("V0", AT - timedelta(minutes=5), AT + timedelta(hours=2))
            booking = make_booking(db, config, wanted, at=AT - timedelta(hours=1))
        run_commerce(store, config, AT, mark=mark)
        exchange(store, arrive(store, config, "V0", booking_id=booking.booking_id).swap_id)
        assert run_commerce(store, config, LATER, mark=mark).bookings_ended == (booking.booking_id,)
        assert run_commerce(store, config, LATER, mark=mark).bookings_ended == ()


def test_a_stepped_clock_bills_nothing_twice_and_leaves_nothing_out(bench: Bench) -> None:
    """Set back before the swaps, right, far ahead, and right again."""
    bench.terms.mended = True
    steps = [AT - timedelta(hours=3), LATER, AT - timedelta(days=2), LATER + timedelta(days=40), LATER]
    at = steps[0]
    commerce = Commerce(bench.store, bench.config, lambda: at, bench.told.append, lambda: bench.now_s, bench.terms)
    billed = []
    for at in steps:  # noqa: B007 - the clock reads it
        bench.now_s += RENT_WAIT_S
        commerce.cycle()
        billed.append(bench.bills())
    assert billed[1:] == [2, 2, 2, 2]
    assert bench.told == []
