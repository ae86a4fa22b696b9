"""Odometer and BMS counter are read at the swap, journalled, and reach custody and rents."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from swap.audit import audit
from swap.commerce.charges import charges_of
from swap.commerce.custody.readings import readings
from swap.commerce.custody.show import custody_records
from swap.commerce.custody.take import take_journals
from swap.commerce.leases.rent import run_rent
from swap.errors import InvalidInput
from swap.gate import check_in
from swap.identity.principal import Sight, View
from swap.identity.view import narrow
from swap.messages.events import SwapCompleted, SwapQueued
from swap.messages.packs import PackMoved
from tests.support.sim.plant import station
from tests.support.swap.commerce import AT, STATION, filled_store
from tests.support.swap.commerce import station as small_station
from tests.support.swap.leases import signed, terms
from tests.support.swap.station import START_AT, Bench


async def test_what_the_vehicle_and_the_bms_count_is_charged(tmp_path: Path) -> None:
    bench = Bench(tmp_path, station(), speed=20.0)
    bench.plant.bms_counts = True
    await bench.start()
    kind, owner = bench.config.pack_kinds[0].id, bench.config.packs[0].owner
    parts = [
        {"id": "km", "kind": "usage", "per": "km", "yuan": "0.6"},
        {"id": "energy", "kind": "usage", "per": "kwh", "yuan": "0.2"},
    ]
    contract = terms(
        lessor_id=owner, first_day="2026-09-01", vehicles=["V1"], stations=[bench.config.station.id],
        entitlement=[{"kind": kind, "number": 1}], components=parts, open_spans="with_swap",
    )  # fmt: skip
    contract_id = signed(bench.store, contract, START_AT)
    await bench.run(60)
    for odometer_km, soc_pct in ((50_000.0, 30.0), (50_250.5, 45.0)):
        bench.plant.odometers_km["V1"] = odometer_km
        bench.arrive("V1", soc_pct)
        await bench.run_until(SwapCompleted.kind)
        await bench.run(60)
    told = [e.data["odometer_km"] for e in bench.events() if e.kind == PackMoved.kind and "odometer_km" in e.data]
    assert told == [50_000.0] * 2 + [50_250.5] * 2
    run_rent(bench.store, "2026-09", datetime(2026, 10, 2, tzinfo=UTC))
    with bench.store.reading_commerce() as db:
        charged = {
            row.kind: (row.amount_fen, Decimal(row.quantity_1e6).scaleb(-6))
            for row in charges_of(db, contract_id=contract_id)
        }
        moved = next(
            e.pack_id
            for e in bench.events()
            if e.kind == PackMoved.kind and e.data["to"] == "vehicle:V1:1" and e.swap_id is not None
        )
        assert moved is not None
        narrow(db, View(Sight.FIRM, owner))  # the owner sees what its packs counted
        (ride,) = (span for span in custody_records(db, moved).items if span.vehicle_id == "V1")
        before = custody_records(db, moved, to_at=ride.until_at).items[-1]
    bench.close()
    assert charged["distance"] == (15_030, Decimal("250.5"))
    assert before == ride
    assert ride.counter_from_kwh == 0
    assert ride.counter_until_kwh is not None
    assert ride.counter_until_kwh > 50
    assert abs(charged["energy"][1] - ride.counter_until_kwh) < Decimal("0.01")


def test_an_odometer_told_at_the_gate_is_journalled_and_never_runs_backwards(sqlite_url: str) -> None:
    config = small_station()
    with filled_store(sqlite_url, config) as store:
        with store.station(STATION) as db:
            check_in(db, config, vehicle_id="V0", at=AT, odometer_km=Decimal("50123.4"))
            check_in(db, config, vehicle_id="V1", at=AT)
        take_journals(store)
        with store.reading_commerce() as commerce:
            assert readings(commerce, "odometer_km", ["V0", "V1"], AT) == {"V0": [(AT, Decimal("50123.4"))]}
        with store.station(STATION) as db, pytest.raises(InvalidInput, match="never runs backwards"):
            check_in(db, config, vehicle_id="V2", at=AT, odometer_km=Decimal("-1"))
        with store.reading_station(STATION) as db:
            assert [e.data.get("odometer_km") for e in db.events(SwapQueued)] == [50123.4, None]
        with store.reading() as whole:
            assert [i.name for i in audit(whole).invariants if i.violations] == []
