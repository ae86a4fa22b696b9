"""Rows are written when they change: an hour in which nothing happens writes next to nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import select

from sim.live.virtual_station import VirtualStation
from sim.plant.plant import Plant
from swap.reading.now import live_mark
from swap.station.power.rack import ENERGY_STEP_KWH
from swap.store import Store
from swap.tables import Pack
from tests.support.sim.plant import START_AT, station
from tests.support.swap.station import Bench

MOST_ROWS = 200
MOST_STATEMENTS = 25
"""In one round of all loops and of commerce, while a pack charges: each asks what others may have written."""
LOOK_S = 20.0
"""The rack is read this often, in station seconds."""


@contextmanager
def counted(store: Store) -> Iterator[Counter[str]]:
    """Rows inserted, updated and deleted meanwhile, by table."""
    rows: Counter[str] = Counter()

    def count(_connection: Any, cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        found = re.match(r'(?:INSERT INTO|UPDATE|DELETE FROM) "?(\w+)', statement)
        if found:
            rows[found[1]] += max(cursor.rowcount, 1)

    event.listen(store.engine, "after_cursor_execute", count)
    try:
        yield rows
    finally:
        event.remove(store.engine, "after_cursor_execute", count)


@pytest.mark.timeout(600)
async def test_an_idle_hour_writes_next_to_nothing(sqlite_url: str, proved: Callable[[str], None]) -> None:
    store = Store(sqlite_url)
    config = station()
    live = VirtualStation(config, store, Plant(config, seed=5, start_at=START_AT), idle_s=LOOK_S)
    await live.start()
    with counted(store) as charging:
        await live.run(live.now_at + timedelta(minutes=20))
    assert charging["pack"] > 20, "nothing was charged: the count proves nothing"
    with store.reading_station(config.station.id) as db:
        before, rounds = live_mark(db, config.station.id)[0], live.rounds
    with counted(store) as idle:
        await live.run(live.now_at + timedelta(hours=1))
    assert live.rounds - rounds >= 3600 / LOOK_S
    assert 0 < idle.total() <= MOST_ROWS, dict(idle)
    assert idle["site_sample"] >= 3600 / 300
    with store.reading_station(config.station.id) as db:
        assert live_mark(db, config.station.id)[0] - before <= idle["pack"] + idle["bay"] + idle["station_event"]
        stored = {pack.id: pack.energy_kwh for pack in db.exec(select(Pack)) if pack.bay_id is not None}
    readings = {r.pack_id: r.energy_kwh for r in live.controller.context.readings.values() if r.pack_id}
    assert stored == pytest.approx(readings, abs=ENERGY_STEP_KWH), (
        "a bill would start from another energy than the pack has"
    )
    proved(f"idle hour: {idle.total()} rows {dict(idle)}; 20 minutes of charging: {charging.total()} rows")
    await live.stop()
    store.close()


async def test_a_round_in_which_only_a_pack_charges_asks_the_database_little(tmp_path: Path, sqlite_url: str) -> None:
    bench = Bench(tmp_path, station(), url=sqlite_url)
    await bench.start()
    await bench.run(60)
    asked, began = list[str](), list[int]()

    def ask(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    def begin(_connection: Any) -> None:
        began.append(len(asked))

    engines = (bench.store.engine, bench.store._read_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", ask)
    event.listen(bench.store.engine, "begin", begin)
    rounds = 20
    await bench.run(rounds * 10.0, step_s=10.0)
    assert rounds <= len(began) <= 2 * rounds, "readings and plan are stored, and nothing else takes the lock"
    assert 8 * rounds <= len(asked) <= MOST_STATEMENTS * rounds
    for engine in engines:
        event.remove(engine, "before_cursor_execute", ask)
    event.remove(bench.store.engine, "begin", begin)
    bench.close()
