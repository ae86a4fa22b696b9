"""Two rent runs of one month at once, as of two processes: each thing is charged once, as one run alone charges it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import col, select

from swap.commerce.charges import NewCharge
from swap.commerce.custody.take import NewReading, add_readings, take_journals
from swap.commerce.leases import rent
from swap.commerce.leases.rent import RentReport, run_rent
from swap.store import Store
from swap.tables import ChargeRow, RentRun
from tests.support.swap.commerce import AT, station
from tests.support.swap.databases import fill
from tests.support.swap.leases import FIRST_AT, WHO, signed, terms

MONTH, CLOSED_AT = "2024-02", datetime(2024, 3, 2, tzinfo=UTC)
TRUCKS = 6


def month_to_charge(url: str) -> None:
    """Two contracts of three trucks: a rent of the contract, and one for the distance of each truck, for two months."""
    fill(url, station(bays=8, packs=4, trucks=TRUCKS), FIRST_AT)
    store = Store(url)
    take_journals(store)
    components = [
        {"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10"},
        {"id": "km", "kind": "usage", "per": "km", "yuan": "1"},
    ]
    for first in (0, TRUCKS // 2):
        vehicles = [f"V{first + number}" for number in range(TRUCKS // 2)]
        signed(store, terms(vehicles=vehicles, components=components))
    with store.commerce() as db:
        for number in range(TRUCKS):
            for month, day, km in ((1, 1, 1_000), (1, 31, 4_000 + number), (2, 28, 7_000)):
                at = datetime(2024, month, day, 4, tzinfo=UTC)
                add_readings(db, [NewReading(f"V{number}", "odometer_km", at, Decimal(km), "entered", WHO, AT)])
    store.close()


def said(store: Store) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Every charge and every closed month, to the byte."""
    with store.reading_commerce() as db:
        charges = [row.model_dump() for row in db.exec(select(ChargeRow).order_by(col(ChargeRow.id)))]
        return charges, [row.model_dump() for row in db.exec(select(RentRun).order_by(col(RentRun.month)))]


def test_two_runs_at_once_charge_what_one_charges(
    database_url: str, copy_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    month_to_charge(database_url)
    monkeypatch.setattr(rent, "AT_ONCE", 1)
    alone = Store(copy_of(database_url))
    made = run_rent(alone, MONTH, CLOSED_AT).charges
    assert len(made) == 2 * (2 + TRUCKS)
    at_once = said(alone)
    alone.close()

    both, real, met = threading.Barrier(2), rent.owed, threading.local()

    def owed(db: Any, contract_id: str, month: str) -> list[list[NewCharge]]:
        found = real(db, contract_id, month)
        if not hasattr(met, "once"):
            met.once = True
            both.wait(60)  # both have rated the first contract before either charges it
        return found

    monkeypatch.setattr(rent, "owed", owed)
    stores = [Store(database_url), Store(database_url)]
    try:
        with ThreadPoolExecutor(2) as threads:
            runs = [threads.submit(run_rent, store, MONTH, CLOSED_AT) for store in stores]
            reports: list[RentReport] = [run.result() for run in runs]
        assert not both.broken
        assert sorted(charge for report in reports for charge in report.charges) == sorted(made)
        assert said(stores[0]) == at_once
        assert [run_rent(store, MONTH, CLOSED_AT).charges for store in stores] == [(), ()]
        assert said(stores[1]) == at_once
    finally:
        for store in stores:
            store.close()
