"""How large does a year of one station become, and how much of it do thinning and archives take away?

One day of the example station is played through, controller against plant on virtual time, and its database measured.
The year is that day 365 times: an extrapolation, of a working day without faults. `--quick` plays three hours.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from time import perf_counter

from sim.scenario.load import load_scenario
from sim.twin.twin import run_twin
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.config.loading import load_station
from swap.config.seed import sync_station
from swap.config.station_file import RetentionSection
from swap.keeping.archive import archive_journal
from swap.keeping.samples import thin_samples
from swap.store import Store

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "yangquan_mine"
DAY_H, QUICK_H, FROM_H = 24.0, 3.0, 8.0
DAYS_A_YEAR = 365
MB = 1e6


def run(quick: bool = False) -> Mapping[str, object]:
    """Rows and bytes of a day, and of 365 such days."""
    hours = QUICK_H if quick else DAY_H
    config, scenario = load_station(EXAMPLE / "station.toml"), load_scenario(EXAMPLE / "scenario.toml")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = Store(f"sqlite:///{folder}/empty.db")
        empty.upgrade()
        sync_station(empty, config, scenario.start_at)
        empty.close()
        run_twin(scenario, config, hours, 1, from_hour=FROM_H if quick else 0.0, folder=folder)
        path = folder / "twin.db"
        store = Store(f"sqlite:///{path}")
        try:
            bill_completed_swaps(store, config.station.id, scenario.start_at + timedelta(days=2))
            counts = _counts(path)
            full = _bytes(path) - _bytes(folder / "empty.db")
            thinned = _thinned(store, config.station.id, path, full)
            archived, left, longest_s = _archived(store, config.station.id, path, folder)
        finally:
            store.close()
        left -= _bytes(folder / "empty.db")
    share = DAY_H / hours * DAYS_A_YEAR / MB
    return {
        "hours_played": hours,
        **{f"{table}_rows_a_day": round(count * DAY_H / hours) for table, count in counts.items()},
        "events_a_year_million": counts["station_event"] * share,
        "a_year_mb": full * share,
        "a_year_with_samples_as_quarters_mb": thinned * share,
        "archive_of_a_year_mb": archived * share,
        "left_of_an_archived_year_mb": left * share,
        "longest_transaction_of_keeping_ms": 1000 * longest_s,
    }


def _counts(path: Path) -> dict[str, int]:
    tables = ("swap", "station_event", "site_sample", "robot_command", "charge_session", "bill_line")
    with closing(sqlite3.connect(path)) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def _bytes(path: Path) -> int:
    """Size of what is in a database, without pages that stand empty."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def _thinned(store: Store, station_id: str, path: Path, full: int) -> int:
    """Bytes when every sample is old."""
    rules = RetentionSection(samples_full_days=1, samples_minute_days=2)
    with store.reading_station(station_id) as db:
        newest = db.newest_event()
        assert newest is not None
        old_at = newest.at + timedelta(days=9)
    before = _bytes(path)
    while thin_samples(store, station_id, rules, old_at):
        pass
    return full - (before - _bytes(path))


def _archived(store: Store, station_id: str, path: Path, folder: Path) -> tuple[int, int, float]:
    """Bytes of the archive, bytes that are left of the database, and the longest transaction in between."""
    longest_s, last_s = 0.0, 0.0

    def pause() -> None:
        nonlocal longest_s, last_s
        now_s = perf_counter()
        longest_s, last_s = max(longest_s, now_s - last_s) if last_s else longest_s, now_s

    with store.reading_station(station_id) as db:
        newest = db.newest_event()
        assert newest is not None
        at = newest.at
    told = archive_journal(store, station_id, at, folder, by="benchmark", at=at, pause=pause)
    assert told is not None
    return (folder / told.file).stat().st_size, _bytes(path), longest_s
