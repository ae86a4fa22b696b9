"""Do lists, the live mark, billing and what control asks cost the same when the record has grown?

Two SQLite databases of the example station, one with a day's swaps, one with `SWAPS`; each read is made in both in
turns. `agree` says whether every ratio of the medians is within `MOST_TIMES`; seconds are those of the processor,
since what else the machine does falls on the two unevenly. `tests/swap/test_lists_flat.py` counts
the steps of the same reads.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from swap.commerce.bills.issuing import BillingMark, bill_completed_swaps
from swap.commerce.bills.readings import seat_energies
from swap.commerce.bills.record import RowRecord
from swap.commerce.bills.terms import station_terms
from swap.commerce.bookings import tend_bookings
from swap.config.loading import load_station
from swap.config.prices import prices_before
from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.messages.events import SwapCompleted
from swap.paging import make_cursor
from swap.reading import lists, now
from swap.station.requests import latest_requests
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Base

STATION = Path(__file__).resolve().parents[1] / "examples" / "yangquan_mine" / "station.toml"
FEW, SWAPS, QUICK = 22, 100_000, 5_000
EVENTS = 10
"""For each swap."""
FAULT_EVERY = 10
"""Swaps for each fault and each request of a person."""
BATCH = 5_000
ROUNDS = 25
MOST_TIMES = 3.0
BEGIN_AT = datetime(2025, 1, 1, tzinfo=UTC)
EVERY = timedelta(minutes=5)
LIMIT = 20
Read = Callable[[StationDb, StationConfig, datetime], object]
"""Session, station, and an instant in the middle of the record."""


def _cursor(at: datetime) -> str:
    return make_cursor(at, "x")


READS: dict[str, Read] = {
    "swaps": lambda db, config, mid: lists.list_swaps(db, config.station.id, limit=LIMIT),
    "swaps_deep": lambda db, config, mid: lists.list_swaps(db, config.station.id, limit=LIMIT, cursor=_cursor(mid)),
    "swaps_with_timelines": lambda db, config, mid: lists.list_swaps(
        db, config.station.id, limit=LIMIT, timelines=True
    ),
    "open_swaps": lambda db, config, mid: lists.list_swaps(db, config.station.id, state="open", limit=LIMIT),
    "ended_last": lambda db, config, mid: lists.latest_ended(db, config.station.id),
    "events_after": lambda db, config, mid: lists.list_events(db, config.station.id, after=5, limit=LIMIT),
    "events_of_time": lambda db, config, mid: lists.list_events(
        db, config.station.id, from_at=mid, to_at=mid + EVERY, limit=LIMIT
    ),
    "events_before": lambda db, config, mid: lists.list_events(
        db, config.station.id, to_at=BEGIN_AT + EVERY, limit=LIMIT
    ),
    "bookings": lambda db, config, mid: lists.list_bookings(db, config.station.id, limit=LIMIT),
    "bookings_deep": lambda db, config, mid: lists.list_bookings(
        db, config.station.id, limit=LIMIT, cursor=_cursor(mid)
    ),
    "bills": lambda db, config, mid: lists.list_bills(db, limit=LIMIT),
    "bills_deep": lambda db, config, mid: lists.list_bills(db, limit=LIMIT, cursor=_cursor(mid)),
    "faults": lambda db, config, mid: lists.list_faults(db, limit=LIMIT),
    "open_faults": lambda db, config, mid: lists.list_faults(db, only_open=True, limit=LIMIT),
    "requests": lambda db, config, mid: latest_requests(db, config.station.id),
    "packs": lambda db, config, mid: now.list_packs(db, config.station.id),
    "state": lambda db, config, mid: now.station_state(db, config),
    "live_mark": lambda db, config, mid: now.live_mark(db, config.station.id),
    "control_swaps": lambda db, config, mid: (db.open_swaps(), db.bays_in_motion()),
    "control_requests": lambda db, config, mid: (db.open_requests(), db.open_faults(), db.open_charges()),
    "control_returned": lambda db, config, mid: [db.seat_taken_from(pack.id) for pack in db.packs_here()[:1]],
    "control_commands": lambda db, config, mid: db.open_commands(config.lanes[0].id),
    "control_event": lambda db, config, mid: db.newest_event(),
    "bookings_tended": tend_bookings,
    "first_swap": lambda db, config, mid: _seats_of(db, config),
}
"""What pages, programs, control and commerce read again and again."""


def _seats_of(db: StationDb, config: StationConfig) -> object:
    """What the bill of a swap reads."""
    prices = prices_before(db)
    record = RowRecord(db)
    return seat_energies(record, record.swap("sw-0000021"), station_terms(prices, config.station.operator), prices)


def run(quick: bool = False) -> Mapping[str, object]:
    """Median times of each read in both databases, and their ratio."""
    config = load_station(STATION)
    many = QUICK if quick else SWAPS
    with tempfile.TemporaryDirectory() as folder:
        stores = {count: filled(f"sqlite:///{folder}/{count}.db", config, count) for count in (FEW, many)}
        try:
            return _compared(stores, config, many)
        finally:
            for store in stores.values():
                store.close()


def _middle(count: int) -> datetime:
    """An instant with a whole page on either side of it, where there are so many swaps."""
    return BEGIN_AT + max(count // 2, min(count, LIMIT + 1)) * EVERY


def _compared(stores: Mapping[int, Store], config: StationConfig, many: int) -> Mapping[str, object]:
    station_id = config.station.id
    marks = {count: BillingMark() for count in stores}
    took_s: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for name, read in READS.items():
            for count, store in stores.items():
                began_s = time.thread_time()
                with store.reading_station(station_id) as db:
                    read(db, config, _middle(count))
                took_s.setdefault((name, count), []).append(time.thread_time() - began_s)
        for count, store in stores.items():
            began_s = time.thread_time()
            bill_completed_swaps(store, config.station.id, BEGIN_AT, mark=marks[count])
            took_s.setdefault(("billing", count), []).append(time.thread_time() - began_s)
    found: dict[str, object] = {"swaps_count": many}
    ratios = []
    for name in (*READS, "billing"):
        few_s, many_s = median(took_s[name, FEW]), median(took_s[name, many])
        ratios.append(many_s / few_s)
        found |= {f"{name}_few_ms": 1000 * few_s, f"{name}_many_ms": 1000 * many_s, f"{name}_ratio": many_s / few_s}
    return found | {"worst_ratio": max(ratios), "agree": max(ratios) <= MOST_TIMES}


def filled(url: str, config: StationConfig, count: int) -> Store:
    """A database with that many completed and billed swaps."""
    store = Store(url)
    store.upgrade()
    sync_station(store, config, BEGIN_AT)
    first = lists.latest_event_id(store, config.station.id)
    with store.reading_station(config.station.id) as db:
        stock = next((pack.id, bay) for bay, pack in db.packs_in_bays().items())
    for begin in range(0, count, BATCH):
        rows: dict[str, list[dict[str, Any]]] = {}
        for number in range(begin, min(begin + BATCH, count)):
            for table, row in _rows(config, number, first, stock):
                rows.setdefault(table, []).append(row)
        with store.transaction() as db:
            for table, values in rows.items():
                db.execute(Base.metadata.tables[table].insert(), values)
    return store


def completed_swap(
    config: StationConfig, swap_id: str, vehicle_id: str, at: datetime, ended_at: datetime
) -> dict[str, Any]:
    """The row of a swap in the first lane that is over."""
    return {
        "id": swap_id,
        "station_id": config.station.id,
        "vehicle_id": vehicle_id,
        "lane_id": config.lanes[0].id,
        "recipe": config.lanes[0].recipe,
        "pack_count": 1,
        "priority": 0,
        "state": "completed",
        "phase": "pending",
        "tries": 0,
        "entered_at": at,
        "hold_detail": {},
        "checks": {},
        "arrived_at": at,
        "dispatched_at": at,
        "ended_at": ended_at,
        "end_reason": "",
    }


def _rows(
    config: StationConfig, number: int, first: int, stock: tuple[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What one completed and billed swap leaves."""
    station_id, at = config.station.id, BEGIN_AT + number * EVERY
    vehicle = config.vehicles[number % len(config.vehicles)]
    pack_id, bay_id = stock
    swap_id, booking_id, bill_id = f"sw-{number:07d}", f"bk-{number:07d}", f"bl-{number:07d}"
    yield (
        "booking",
        {
            "id": booking_id,
            "station_id": station_id,
            "vehicle_id": vehicle.id,
            "window_start_at": at,
            "window_end_at": at + EVERY,
            "status": "fulfilled",
            "kinds": [],
            "created_at": at,
        },
    )
    yield "swap", completed_swap(config, swap_id, vehicle.id, at, at + EVERY) | {"booking_id": booking_id}
    seat = {"swap_id": swap_id, "seat": 1, "exchanged": True, "returned_soe_kwh": 90.0}
    yield "swap_seat", seat | {"old_pack_id": pack_id, "new_pack_id": pack_id}
    command = {"lane_id": f"{station_id}:{config.lanes[0].id}", "seq": number % 65535 + 1, "swap_id": swap_id}
    command |= {"station_id": station_id, "state": "lock", "code": 1, "issued_at": at, "ended_at": at}
    yield "robot_command", command | {"result": "done", "source": 0, "target": 0, "vehicle_tag": 1, "fault_code": 0}
    charge = {"pack_id": pack_id, "bay_id": bay_id, "start_energy_kwh": 90.0, "end_energy_kwh": 260.0}
    yield "charge_session", charge | {"station_id": station_id, "started_at": at, "ended_at": at + EVERY}
    if number % FAULT_EVERY == 0:
        ended = {"raised_at": at, "acknowledged_at": None, "acknowledged_by": None, "cleared_at": at + EVERY}
        yield "fault", {"station_id": station_id, "code": 99, "level": 1, "source": "meter", "data": {}, **ended}
        asked = {"kind": "hold", "arguments": {}, "requested_by": "person:1", "requested_at": at, "status": "done"}
        yield "control_request", {"station_id": station_id, "answered_at": at, "answer": "held", **asked}
    for step in range(EVENTS):
        yield (
            "station_event",
            {
                "station_id": station_id,
                "seq": first + number * EVENTS + step + 1,
                "epoch": 1,
                "at": at + step * EVERY / EVENTS,
                "kind": SwapCompleted.kind if step == EVENTS - 1 else "swap.step_done",
                "actor": "controller",
                "swap_id": swap_id,
                "lane_id": config.lanes[0].id,
                "data": {},
                "prev_hash": "0" * 64,
                "hash": "0" * 64,
            },
        )
    bill = {"id": bill_id, "swap_id": swap_id, "kind": "swap", "payer_id": vehicle.fleet, "issued_at": at + EVERY}
    yield "bill", bill | {"station_id": station_id, "total_fen": 17030, "flags": ""}
    yield (
        "bill_line",
        {
            "bill_id": bill_id,
            "line_no": 1,
            "kind": "energy",
            "seat": 1,
            "buyer_id": vehicle.fleet,
            "sale": "own",
            "tax_included": True,
            "tax_category": "electricity",
            "tax_rate_bp": 0,
            "tax_fen": 0,
            "payee_id": config.station.operator,
            "energy_centi_kwh": 17927,
            "unit_price_1e4_yuan": 5500,
            "amount_fen": 9860,
            "basis": {},
        },
    )
    yield (
        "site_sample",
        {
            "station_id": station_id,
            "at": at,
            "import_kw": 400.0,
            "charge_kw": 380.0,
            "limit_kw": 1900.0,
            "ready_packs": 4,
            "queue_length": 1,
        },
    )
