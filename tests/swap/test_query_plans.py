"""D5: lists, marks and billing read by an index, on both engines: what they cost does not grow with the record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from swap.commerce.bills.issuing import _unbilled
from swap.config.loading import load_station
from swap.paging import make_cursor
from swap.reading import lists, now
from swap.station.requests import latest_requests
from swap.station_db import StationDb
from swap.store import Store
from tests.support.api.doors import NOW, STATION_FILE, busy_day, filled_store

STATION = "yangquan-mine"
GROWING = (
    "swap",
    "swap_seat",
    "station_event",
    "booking",
    "bill",
    "bill_line",
    "fault",
    "control_request",
    "site_sample",
)
"""Tables that grow with each day."""
CURSOR, CURSOR_NO = make_cursor(NOW, "x"), make_cursor(NOW, "3")
YESTERDAY = NOW - timedelta(days=1)
Read = Callable[[StationDb], object]

LISTS: dict[str, Read] = {
    "swaps": lambda db: lists.list_swaps(db, STATION, limit=20),
    "swaps from a cursor": lambda db: lists.list_swaps(db, STATION, limit=20, cursor=CURSOR),
    "swaps of a time": lambda db: lists.list_swaps(db, STATION, limit=20, from_at=YESTERDAY, to_at=NOW),
    "swaps with timelines": lambda db: lists.list_swaps(db, STATION, limit=20, timelines=True),
    "open swaps": lambda db: lists.list_swaps(db, STATION, limit=20, state="open"),
    "swaps of a state": lambda db: lists.list_swaps(db, STATION, limit=20, state="completed"),
    "swaps of a vehicle": lambda db: lists.list_swaps(db, STATION, limit=20, vehicle_id="YQ-004"),
    "swaps that ended last": lambda db: lists.latest_ended(db, STATION),
    "events": lambda db: lists.list_events(db, STATION, after=5, limit=20),
    "events of a kind": lambda db: lists.list_events(db, STATION, after=5, kind="swap.completed"),
    "events of a swap": lambda db: lists.list_events(db, STATION, swap_id="sw-0001"),
    "events of a pack": lambda db: lists.list_events(db, STATION, pack_id="x"),
    "events of a time": lambda db: lists.list_events(db, STATION, from_at=YESTERDAY, to_at=NOW),
    "bookings": lambda db: lists.list_bookings(db, STATION, limit=20),
    "bookings from a cursor": lambda db: lists.list_bookings(db, STATION, limit=20, cursor=CURSOR),
    "bookings of a status": lambda db: lists.list_bookings(db, STATION, status="booked"),
    "bookings of a vehicle": lambda db: lists.list_bookings(db, STATION, vehicle_id="YQ-004"),
    "bills": lambda db: lists.list_bills(db, limit=20),
    "bills of a payer": lambda db: lists.list_bills(db, payer_id="fleet-a"),
    "faults": lists.list_faults,
    "faults from a cursor": lambda db: lists.list_faults(db, limit=20, cursor=CURSOR_NO),
    "faults of a time": lambda db: lists.list_faults(db, from_at=YESTERDAY, to_at=NOW),
    "open faults": lambda db: lists.list_faults(db, only_open=True),
    "the live state": lambda db: now.station_state(db, load_station(STATION_FILE)),
    "the live mark": lambda db: now.live_mark(db, STATION),
    "the newest power": lambda db: now.site_history(db, STATION),
    "power": lists.list_power,
    "power from a cursor": lambda db: lists.list_power(db, cursor=CURSOR_NO),
    "power of a time": lambda db: lists.list_power(db, from_at=YESTERDAY, to_at=NOW),
    "packs": lambda db: now.list_packs(db, STATION),
    "requests": lambda db: latest_requests(db, STATION),
    "open requests": lambda db: db.open_requests(),
    "what is not billed yet": lambda db: _unbilled(db, 5),
}


@pytest.fixture(scope="module")
def store(lasting_database_url: str) -> Iterator[Store]:
    store = filled_store(lasting_database_url)
    busy_day(store)
    yield store
    store.close()


def scans(db: StationDb, statement: str, values: Any) -> list[str]:
    """Steps of a plan that read a growing table from end to end, or sort all of it to give the first few."""
    connection = db.connection()
    if connection.dialect.name == "sqlite":
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
        whole = [step for step in plan if step.startswith("SCAN ") and " INDEX " not in step]
        found = [step for step in whole if step.split()[1] in GROWING]
        return found + [step for step in plan if "ORDER BY" in step and " LIMIT " in statement]
    for choice in ("seqscan", "sort", "bitmapscan", "hashjoin", "mergejoin"):
        connection.execute(text(f"SET LOCAL enable_{choice} = off"))
    plan = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)]
    whole = [step for step in plan if re.search(rf"Seq Scan on ({'|'.join(GROWING)})\b", step)]
    return whole + [step for step in plan if "Sort " in step and " LIMIT " in statement]


@pytest.mark.parametrize("name", LISTS)
def test_what_is_read_again_and_again_is_read_by_an_index(store: Store, name: str) -> None:
    seen: list[tuple[str, Any]] = []

    def keep(_conn: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, values))

    engine = store._read_engine
    event.listen(engine, "before_cursor_execute", keep)
    with store.reading_station(STATION) as db:
        LISTS[name](db)
        event.remove(engine, "before_cursor_execute", keep)
        found = {statement: scans(db, statement, values) for statement, values in seen}
    assert seen
    assert {statement: steps for statement, steps in found.items() if steps} == {}


def test_a_scan_would_be_found(store: Store) -> None:
    with store.reading_station(STATION) as db:
        assert scans(db, "SELECT * FROM bill_line WHERE amount_fen = 7", ())
