"""How long the end of a month takes: rents of all contracts charged, and all bills and rents put on invoices.

A month of swaps of many trucks is written into SQLite databases of two sizes, one ten times the other; contracts have
ten trucks each and a rent by capacity, one by energy and one by distance. Each size is measured in a process of its
own, so that its memory is its own. `agree` says whether ten times the month takes at most `AT_MOST_TENFOLD` times the
processor's time. `--quick` takes a tenth of both.

With SQLite a controller waits while commerce keeps the one lock of writers: of each part the longest and the 99th
percentile of its commits are told, from the begin of the transaction until it is on the disk. Beside them stands the
processor's time of the longest, which a busy machine and a slow disk leave as it is.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import event
from sqlmodel import func, select

from benchmarks.lists import completed_swap
from swap.commerce.bills.closing import close_period
from swap.commerce.custody.take import JournalEvent, NewReading, add_readings, station_ids, take_events, take_journals
from swap.commerce.leases.contracts import draft, move
from swap.commerce.leases.rent import run_rent
from swap.commerce.leases.states import LeaseTrigger
from swap.commerce.leases.terms import LeaseTerms
from swap.commerce.posting import PostingMark, post_due
from swap.config.loading import parse_station
from swap.config.seed import bay_key, sync_station
from swap.config.station_file import StationConfig
from swap.places import bay_place, vehicle_place
from swap.store import Store
from swap.tables import Base, Invoice, InvoiceLine

EXAMPLE = Path(__file__).parents[1] / "examples" / "yangquan_mine" / "station.toml"
TRUCKS, QUICK_TRUCKS = (100, 1_000), (10, 100)
SWAPS_A_TRUCK = 30
TRUCKS_A_CONTRACT = 10
AT_MOST_TENFOLD = 11.0
RACK = 8
MONTH = "2026-09"
BEGIN_AT, END_AT = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC)
WHO = "person:1"
BATCH = 5_000
COMPONENTS = [
    {"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10"},
    {"id": "energy", "kind": "two_part", "floor_yuan_per_kwh_month": "1", "overage_yuan_per_kwh": "0.05"},
    {"id": "distance", "kind": "usage", "per": "km", "yuan": "0.5"},
]


def run(quick: bool = False) -> Mapping[str, object]:
    """Seconds, memory and rows of both sizes, and how the time grows."""
    found: dict[str, object] = {}
    taken_s = []
    for trucks in QUICK_TRUCKS if quick else TRUCKS:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/month.db"
            _write_month(url, trucks)
            said = _apart("measure", url)
            checked = _apart("check", url)
        found |= {f"trucks_{trucks}_{name}": value for name, value in (said | checked).items()}
        taken_s.append(said["rent_run_s"] + said["invoices_s"])
    tenfold = taken_s[1] / taken_s[0]
    return found | {"tenfold": tenfold, "at_most": AT_MOST_TENFOLD, "agree": tenfold <= AT_MOST_TENFOLD}


def _apart(what: str, url: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.month_end", what, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _code(number: int) -> str:
    """A pack's code: 24 characters."""
    return f"0SXPB280000YQ1G51{number:07d}"


def _station(trucks: int) -> StationConfig:
    """The example with so many trucks, each with its pack, and a rack of full ones."""
    data: dict[str, Any] = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    pack, truck = data["packs"][-1], data["vehicles"][0]
    kept = {name: pack[name] for name in ("kind", "owner")}
    bays = [bay["id"] for bay in data["bays"]][:RACK]
    data["packs"] = [kept | {"id": _code(number), "bay": bay} for number, bay in enumerate(bays)]
    data["packs"] += [kept | {"id": _code(RACK + number), "soc_pct": 93} for number in range(trucks)]
    shared = {name: truck[name] for name in ("model", "fleet")}
    data["vehicles"] = [
        shared | {"id": f"V{number}", "tag": number + 1, "packs": [_code(RACK + number)]} for number in range(trucks)
    ]
    return parse_station(data)


def _write_month(url: str, trucks: int) -> None:
    """The database at the end of the month, before anything is charged or invoiced."""
    config = _station(trucks)
    store = Store(url)
    try:
        store.upgrade()
        sync_station(store, config, BEGIN_AT - timedelta(days=1))
        take_journals(store)
        with store.commerce() as db:
            for first in range(0, trucks, TRUCKS_A_CONTRACT):
                _sign(db, config, [f"V{number}" for number in range(first, first + TRUCKS_A_CONTRACT)])
        traffic = _Traffic(config, trucks)
        swaps = trucks * SWAPS_A_TRUCK
        for begin in range(0, swaps, BATCH):
            rows: dict[str, list[dict[str, Any]]] = {}
            with store.commerce() as db:
                for number in range(begin, min(begin + BATCH, swaps)):
                    for table, row in traffic.swap(number, swaps):
                        rows.setdefault(table, []).append(row)
                take_events(db, traffic.events)
                add_readings(db, traffic.readings)
            with store.transaction() as writing:
                for table, values in rows.items():
                    writing.execute(Base.metadata.tables[table].insert(), values)
            traffic.events.clear()
            traffic.readings.clear()
    finally:
        store.close()


def _sign(db: Any, config: StationConfig, vehicles: list[str]) -> None:
    owner = next(party.id for party in config.parties if party.kind == "battery_owner")
    terms = LeaseTerms.model_validate(
        {
            "lessor_id": owner,
            "lessee_id": config.vehicles[0].fleet,
            "first_day": f"{BEGIN_AT:%Y-%m-%d}",
            "vehicles": vehicles,
            "entitlement": [{"kind": config.packs[0].kind, "number": len(vehicles)}],
            "stations": [config.station.id],
            "components": COMPONENTS,
        }
    )
    contract_id = draft(db, terms, at=BEGIN_AT, actor=WHO)
    for trigger in (LeaseTrigger.OFFER, LeaseTrigger.SIGN, LeaseTrigger.ACTIVATE):
        move(db, contract_id, trigger, at=BEGIN_AT, actor=WHO)


class _Traffic:
    """Trucks in turn, each of which leaves its pack in the rack and takes the one that has stood longest."""

    def __init__(self, config: StationConfig, trucks: int) -> None:
        self.config = config
        self.on = [_code(RACK + number) for number in range(trucks)]
        self.rack = [(bay.id, _code(number)) for number, bay in enumerate(config.bays[:RACK])]
        self.events: list[JournalEvent] = []
        self.readings: list[NewReading] = []
        self.seq = 1_000_000

    def swap(self, number: int, swaps: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The rows of a swap that is over and billed; its moves and readings are kept."""
        config, truck = self.config, number % len(self.on)
        station_id, vehicle, swap_id = config.station.id, config.vehicles[truck], f"sw-{number:07d}"
        at = BEGIN_AT + timedelta(days=29) * number / swaps
        (bay_id, new), old = self.rack.pop(0), self.on[truck]
        self._move(old, at, vehicle_place(vehicle.id, 1), bay_place(bay_key(station_id, bay_id)), swap_id)
        self._move(new, at, bay_place(bay_key(station_id, bay_id)), vehicle_place(vehicle.id, 1), swap_id)
        self.on[truck] = new
        self.rack.append((bay_id, old))
        self._read(old, "counter_kwh", at, Decimal(1000 + number))
        self._read(vehicle.id, "odometer_km", at, Decimal(50_000 + 150 * (number // len(self.on))))
        self._read(swap_id, "energy_price", at, Decimal("0.55"))
        yield "swap", completed_swap(config, swap_id, vehicle.id, at, at)
        bill_id = f"bl-{number:07d}"
        bill = {"id": bill_id, "swap_id": swap_id, "kind": "swap", "payer_id": vehicle.fleet, "issued_at": at}
        yield "bill", bill | {"station_id": station_id, "total_fen": 13440, "flags": ""}
        line = {"bill_id": bill_id, "seat": 1, "buyer_id": vehicle.fleet, "payee_id": config.station.operator}
        line |= {"sale": "own", "tax_included": True, "energy_centi_kwh": 17927, "priced_at": at, "basis": {}}
        electricity = {"tax_category": "electricity", "tax_rate_bp": 1300, "tax_fen": 1134}
        service = {"tax_category": "service", "tax_rate_bp": 600, "tax_fen": 203}
        yield (
            "bill_line",
            line | electricity | {"line_no": 1, "kind": "energy", "unit_price_1e4_yuan": 5500, "amount_fen": 9860},
        )
        yield (
            "bill_line",
            line | service | {"line_no": 2, "kind": "service", "unit_price_1e4_yuan": 2000, "amount_fen": 3580},
        )

    def _move(self, pack_id: str, at: datetime, source: str, target: str, swap_id: str) -> None:
        self.seq += 1
        data = {"from": source, "to": target, "energy_kwh": 180.0}
        self.events.append(JournalEvent(self.config.station.id, self.seq, at, "pack.moved", swap_id, pack_id, data))

    def _read(self, subject: str, quantity: str, at: datetime, value: Decimal) -> None:
        self.readings.append(NewReading(subject, quantity, at, value, "entered", WHO, at))


class _Kept:
    """How long the lock of writers is kept, by the part of the work that is done."""

    def __init__(self, store: Store) -> None:
        self.part = ""
        self._began: dict[int, tuple[float, float]] = {}
        self._spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        event.listen(store.engine, "begin", self._begin)
        event.listen(store.engine, "checkin", self._end)

    def _begin(self, connection: Any) -> None:
        self._began[id(connection.connection.dbapi_connection)] = perf_counter(), process_time()

    def _end(self, dbapi: Any, _record: object) -> None:
        began = self._began.pop(id(dbapi), None)
        if began is not None:
            self._spans[self.part].append((perf_counter() - began[0], process_time() - began[1]))

    def told(self) -> dict[str, float]:
        """Milliseconds."""
        found: dict[str, float] = {}
        for part, spans in self._spans.items():
            whole_s, work_s = (sorted(column) for column in zip(*spans, strict=True))
            found |= {
                f"{part}_commits": len(spans),
                f"{part}_commit_longest_ms": 1000 * whole_s[-1],
                f"{part}_commit_p99_ms": 1000 * whole_s[int(0.99 * (len(spans) - 1))],
                f"{part}_commit_longest_cpu_ms": 1000 * work_s[-1],
            }
        return found


def _measure(url: str) -> dict[str, object]:
    """Charge the rents, post them, and close the month."""
    store = Store(url)
    try:
        kept = _Kept(store)
        kept.part, rents_s = "rent_run", -process_time()
        report = run_rent(store, MONTH, END_AT)
        rents_s += process_time()
        kept.part, posted_s = "posting", -process_time()
        posted = post_due(store, station_ids(store)[0], END_AT, PostingMark())
        posted_s += process_time()
        kept.part, invoices_s = "invoices", -process_time()
        close_period(store, MONTH, at=END_AT, zone=ZoneInfo("Asia/Shanghai"), name="bench")
        invoices_s += process_time()
        invoices, lines = _invoiced(store)
        return {
            "contracts": report.contracts,
            "charges": len(report.charges),
            "charges_posted": posted,
            "invoices": invoices,
            "invoice_lines": lines,
            "rent_run_s": rents_s,
            "posting_s": posted_s,
            "invoices_s": invoices_s,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **kept.told(),
        }
    finally:
        store.close()


def _invoiced(store: Store) -> tuple[int, int]:
    """Invoices and their lines."""
    with store.reading_commerce() as db:
        invoices = db.exec(select(func.count()).select_from(Invoice)).one()
        return invoices, db.exec(select(func.count()).select_from(InvoiceLine)).one()


def _check(url: str) -> dict[str, object]:
    """Run both once more: nothing may be charged or invoiced twice."""
    store = Store(url)
    try:
        before = _invoiced(store)
        again = run_rent(store, MONTH, END_AT)
        close_period(store, MONTH, at=END_AT, zone=ZoneInfo("Asia/Shanghai"), name="bench")
        assert again.charges == (), again
        after = _invoiced(store)
        assert after == before != (0, 0), f"a second run leaves {after} invoices and lines, the first {before}"
        return {"charges_of_a_second_run": len(again.charges)}
    finally:
        store.close()


if __name__ == "__main__":
    print(json.dumps({"measure": _measure, "check": _check}[sys.argv[1]](sys.argv[2])))
