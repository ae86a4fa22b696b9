"""The audit is linear in rows and keeps none of them (B10). `make bench BENCH=audit` measures time and memory."""

from __future__ import annotations

import sys
import tracemalloc
from types import FrameType

import pytest

from benchmarks.audit import write
from swap.audit import AuditReport, audit
from swap.store import Store

FEW, MANY = 40, 400


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """URL by number of swaps; the first two only to have everything loaded that an audit needs."""
    folder = tmp_path_factory.mktemp("grows")
    urls = {}
    for swaps in (2, FEW, MANY):
        write(folder / f"{swaps}.db", swaps)
        urls[swaps] = f"sqlite:///{folder / f'{swaps}.db'}"
    examine(urls[2])
    return urls


def examine(url: str) -> AuditReport:
    store = Store(url)
    try:
        with store.reading() as db:
            return audit(db)
    finally:
        store.close()


def calls(url: str) -> int:
    """How many functions an audit calls."""
    count = 0

    def counted(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        examine(url)
    finally:
        sys.setprofile(before)
    return count


def steps(url: str) -> int:
    """How many steps an audit takes inside of SQLite: a query that reads a whole table calls no function for it."""
    store, count = Store(url), 0

    def step() -> None:
        nonlocal count
        count += 1

    try:
        with store.reading() as db:
            connection = db.connection().connection.dbapi_connection
            assert connection is not None
            connection.set_progress_handler(step, 20)
            audit(db)
            connection.set_progress_handler(None, 0)
    finally:
        store.close()
    return count


def peak_mb(url: str) -> float:
    """The most memory that an audit holds."""
    tracemalloc.start()
    try:
        examine(url)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_what_the_script_writes_is_clean(databases: dict[int, str]) -> None:
    report = examine(databases[MANY])
    assert {i.name: i.violations for i in report.invariants if i.violations} == {}
    examined = {i.name: i.examined for i in report.invariants}
    assert examined["completed_swap_billed_once"] == MANY
    assert examined["journal_chained"] > 50 * MANY


def test_ten_times_the_rows_are_at_most_eleven_times_the_work(databases: dict[int, str]) -> None:
    assert calls(databases[MANY]) <= 11 * calls(databases[FEW])


def test_nor_does_the_database_read_more_than_eleven_times_as_much(databases: dict[int, str]) -> None:
    assert steps(databases[MANY]) <= 11 * steps(databases[FEW])


def test_memory_does_not_grow_with_the_rows(databases: dict[int, str]) -> None:
    few_mb, many_mb = peak_mb(databases[FEW]), peak_mb(databases[MANY])
    lot_mb = 15.0  # what one lot of swaps with all their events takes
    assert many_mb <= few_mb + lot_mb, f"{few_mb:.1f} MB for {FEW} swaps, {many_mb:.1f} MB for {MANY}"
