"""Commerce killed at every one of its commits between a swap, its bill, its posting and the rent: nothing is left out,
nothing is made twice, and what is made is what would have been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlmodel import select

from swap.commerce.bills.issuing import bill_completed_swaps
from swap.commerce.custody.take import take_journals
from swap.commerce.leases.rent import run_rent
from swap.commerce.posting import PostingMark, post_due
from swap.config.station_file import StationConfig
from swap.store import Store
from swap.tables import Bill, ChargeRow, LedgerTransfer
from tests.support.swap.commerce import AT, STATION, arrive, exchange, filled_store, station
from tests.support.swap.leases import signed, terms

MONTH, AFTER = "2026-11", datetime(2026, 12, 2, tzinfo=UTC)
SWAPS = 3


class KilledError(BaseException):  # as a kill is: nobody goes on after it
    """The process has ended here."""


@pytest.fixture
def config() -> StationConfig:
    return station(trucks=4)


def one_pass(store: Store) -> None:
    """What commerce does from a swap to the books, by a process that has just begun."""
    bill_completed_swaps(store, STATION, AT + timedelta(hours=9))
    post_due(store, STATION, AFTER, PostingMark())
    take_journals(store)
    run_rent(store, MONTH, AFTER)
    post_due(store, STATION, AFTER, PostingMark())


def made(store: Store) -> tuple[Any, ...]:
    """Bills by swap, charges by what they are for, and the sources of all transfers."""
    with store.reading() as db:
        bills = sorted((bill.swap_id, bill.kind, bill.total_fen) for bill in db.exec(select(Bill)))
        charges = sorted((row.source, row.amount_fen) for row in db.exec(select(ChargeRow)))
        ids = {bill.id: bill.swap_id for bill in db.exec(select(Bill))}
        transfers = sorted(ids.get(key.removeprefix("bill:"), key) or key for key in db.exec(select(LedgerTransfer.id)))
        return bills, charges, transfers


def kill(patch: pytest.MonkeyPatch, number: int, *, before: bool) -> Callable[[], int]:
    """The process ends at its write transaction of a number, before it or before its commit; counts transactions."""
    real, begun = Store._writing, count(1)
    last = [0]

    @contextmanager
    def writing(self: Store, *given: Any) -> Iterator[Any]:
        last[0] = next(begun)
        if last[0] == number and before:
            raise KilledError
        with real(self, *given) as db:
            yield db
            if last[0] == number:
                raise KilledError

    patch.setattr(Store, "_writing", writing)
    return lambda: last[0]


@pytest.mark.parametrize("before", [True, False], ids=["before", "uncommitted"])
def test_killed_at_any_commit_between_swap_bill_and_rent_nothing_is_left_out_or_double(
    database_url: str, config: StationConfig, copy_of: Callable[[str], str], *, before: bool
) -> None:
    with filled_store(database_url, config) as store:
        signed(store, terms(lessor_id="own", lessee_id="fleet", first_day="2026-11-01", vehicles=["V0"]), AT)
        for number in range(SWAPS):
            at = AT + timedelta(hours=number)
            exchange(store, arrive(store, config, f"V{number}", at).swap_id, at + timedelta(minutes=6))
    store = Store(copy_of(database_url))
    one_pass(store)
    bills, charges, transfers = undisturbed = made(store)
    store.close()
    assert len(bills) == len({swap_id for swap_id, *_ in bills}) == SWAPS
    assert charges
    assert len(transfers) == len(bills) + len(charges)
    for number in count(1):
        store = Store(copy_of(database_url))
        with pytest.MonkeyPatch.context() as patch:
            begun = kill(patch, number, before=before)
            with suppress(KilledError):
                one_pass(store)
        one_pass(store)
        assert made(store) == undisturbed, f"killed at commit {number}"
        store.close()
        if begun() < number:
            assert number > SWAPS + 3, "bills, postings, custody and rent are commits of their own"
            break
