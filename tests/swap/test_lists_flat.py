"""D5: what is read again and again takes as many steps of the database however long the record is.

Counted in steps of SQLite's own machine, so that no clock is asked. `make bench BENCH=lists` measures milliseconds.
"""

from __future__ import annotations

import pytest

from benchmarks.lists import BEGIN_AT, EVERY, READS, STATION, filled
from swap.config.loading import load_station
from swap.store import Store

FEW, MANY = 200, 2000
CONFIG = load_station(STATION)
AT_ONCE = 5
"""Steps that are counted as one."""
INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"


@pytest.fixture(scope="module")
def as_filled(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Store]:
    folder = tmp_path_factory.mktemp("flat")
    return {count: filled(f"sqlite:///{folder / str(count)}.db", CONFIG, count) for count in (FEW, MANY)}


@pytest.fixture(scope="module", params=[False, True], ids=["a_to_z", "z_to_a"])
def stores(as_filled: dict[int, Store], request: pytest.FixtureRequest) -> dict[int, Store]:
    """With the indexes made in one order and in the other.

    SQLite takes the newer of two indexes that it thinks as good, and a migration that makes a table anew makes its
    indexes in any order: a read must be flat in each.
    """
    for store in as_filled.values():
        with store.transaction() as db:
            indexes = db.connection().exec_driver_sql(INDEXES).all()
            for name, _ in indexes:
                db.connection().exec_driver_sql(f'DROP INDEX "{name}"')
            for _, made_by in sorted(indexes, reverse=request.param):
                db.connection().exec_driver_sql(made_by)
    return as_filled


def steps(store: Store, name: str, count: int) -> int:
    """How many steps one read takes."""
    counted = 0

    def step() -> None:
        nonlocal counted
        counted += 1

    with store.reading_station(CONFIG.station.id) as db:
        connection = db.connection().connection.dbapi_connection
        assert connection is not None
        connection.set_progress_handler(step, AT_ONCE)
        try:
            READS[name](db, CONFIG, BEGIN_AT + count // 2 * EVERY)
        finally:
            connection.set_progress_handler(None, 0)
    return counted


@pytest.mark.parametrize("name", READS)
def test_ten_times_the_record_takes_no_more_steps(stores: dict[int, Store], name: str) -> None:
    few, many = (steps(stores[count], name, count) for count in (FEW, MANY))
    assert many <= 1.2 * few + 10


def test_a_read_that_grows_would_be_found(stores: dict[int, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READS, "all", lambda db, config, mid: db.events())
    assert steps(stores[MANY], "all", MANY) > 5 * steps(stores[FEW], "all", FEW)
