"""The controller over the plant in memory: whole swaps, holds, restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlmodel import select

from swap.audit import audit
from swap.messages.events import SwapCompleted, SwapStepDone
from swap.messages.packs import PackStateChanged
from swap.tables import Bill, Pack
from tests.support.sim.plant import station
from tests.support.swap.station import Bench


@pytest.fixture
async def bench(tmp_path: Path, database_url: str) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, station(), url=database_url, speed=20.0)
    await bench.start()
    await bench.run(5)
    yield bench
    bench.close()


async def test_a_truck_gets_a_charged_pack_and_one_bill(bench: Bench) -> None:
    swap_id = bench.arrive("V1", 30)
    ended = await bench.run_until(SwapCompleted.kind)
    await bench.run(3)
    assert ended.swap_id == swap_id
    states = [e.data["state"] for e in bench.events() if e.kind == SwapStepDone.kind]
    assert states[:5] == ["admitting", "checking", "locating", "verifying", "unlocking"]
    assert states[-1] == "releasing"
    with bench.store.reading() as db:
        bill = db.exec(select(Bill).where(Bill.swap_id == swap_id)).one()
        assert bill.total_fen > 0
        report = audit(db)
    assert [v for i in report.invariants for v in i.violations] == []
    assert sum(i.examined for i in report.invariants) > 50


async def test_the_spent_pack_charges_and_is_ready_again(tmp_path: Path, sqlite_url: str) -> None:
    bench = Bench(tmp_path, station(), url=sqlite_url)
    await bench.start()
    await bench.run(5)
    bench.arrive("V1", 30)
    await bench.run_until(SwapCompleted.kind, step_s=2)
    with bench.store.reading() as db:
        pack = db.exec(select(Pack).where(Pack.id == "0SXPB280000YQ1G510000011")).one()
        assert pack.bay_id is not None
        spent_kwh = pack.energy_kwh
    await bench.run_until(PackStateChanged.kind, 7200, 10.0, to="ready", trigger="ready")
    with bench.store.reading() as db:
        pack = db.exec(select(Pack).where(Pack.id == "0SXPB280000YQ1G510000011")).one()
        assert pack.energy_kwh is not None
        assert spent_kwh is not None
        assert pack.energy_kwh > spent_kwh + 100
    bench.close()
