"""D9: the oldest part of a journal goes into a file and comes back; nothing needed is lost, and the audit is clean."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, delete, select

from swap.audit import AuditReport, audit
from swap.errors import InvalidInput
from swap.events import newest_heads
from swap.journal.archive import ArchiveDamaged, read_head, read_part
from swap.keeping.archive import (
    STAYING,
    NotArchived,
    archive_journal,
    archive_journals,
    day_begins,
    remove_archived,
    restore_archive,
)
from swap.messages.events import ControlGap
from swap.messages.journal import JournalArchived
from swap.reading.now import list_packs, station_state
from swap.reading.recording import covered
from swap.store import Store
from swap.tables import StationEvent
from tests.conftest import BOTH_ENGINES
from tests.support.sim.plant import station
from tests.support.swap.databases import fill
from tests.support.swap.days import eventful
from tests.support.swap.station import START_AT, Bench

CONFIG = station()
STATION = CONFIG.station.id
BY = "Li Ming"
LATE = START_AT + timedelta(days=90)


def still() -> None:
    """Nobody needs the station meanwhile."""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of an eventful day."""
    folder = tmp_path_factory.mktemp("eventful")
    bench = Bench(folder, CONFIG, speed=20.0)
    try:
        asyncio.run(eventful(bench))
    finally:
        bench.close()
    with closing(sqlite3.connect(folder / "swap.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder / "swap.db"


@pytest.fixture
def store(day: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(day, tmp_path / "swap.db")
    store = Store(f"sqlite:///{tmp_path / 'swap.db'}")
    yield store
    store.close()


def events(store: Store) -> list[StationEvent]:
    with store.reading_station(STATION) as db:
        rows = list(db.events())
        db.expunge_all()  # else they end with the session
        return rows


def spelled(rows: list[StationEvent]) -> list[dict[str, object]]:
    return [row.model_dump() for row in rows]


def half(store: Store) -> datetime:
    """An instant in the middle of the journal."""
    rows = events(store)
    return rows[len(rows) // 2].at


def put_away(store: Store, folder: Path, before_at: datetime) -> JournalArchived:
    told = archive_journal(store, STATION, before_at, folder, by=BY, at=events(store)[-1].at, pause=still)
    assert told is not None
    return told


def examined(store: Store, *files: Path, heads: bool = False) -> AuditReport:
    with store.reading() as db:
        return audit(db, archives=files, heads=newest_heads(db, LATE) if heads else ())


def wrong(report: AuditReport) -> dict[str, tuple[str, ...]]:
    return {i.name: i.violations for i in report.invariants if i.violations}


def test_what_leaves_is_in_the_file_and_what_the_station_asks_for_stays(store: Store, tmp_path: Path) -> None:
    before = events(store)
    with store.reading_station(STATION) as db:
        shown, packs = station_state(db, CONFIG), list_packs(db, STATION, limit=500)
    told = put_away(store, tmp_path, half(store))
    after = events(store)
    kept, gone = [r for r in after if r.seq <= told.last_seq], {r.seq for r in before} - {r.seq for r in after}
    assert len(gone) > len(before) // 4
    assert {row.seq for row in before if row.kind in STAYING} <= {row.seq for row in after}
    newest = {
        (row.kind, row.pack_id or (row.bay_id, row.lane_id)): row.seq for row in before if row.seq <= told.last_seq
    }
    assert set(newest.values()) <= {row.seq for row in kept}
    path = tmp_path / told.file
    archived = list(read_part(path))
    assert [(entry.seq, stored) for entry, stored in archived] == [
        (row.seq, row.hash) for row in before if row.seq <= told.last_seq
    ]
    with store.reading_station(STATION) as db:
        assert (station_state(db, CONFIG).bays, list_packs(db, STATION, limit=500)) == (shown.bays, packs)


def test_the_audit_is_clean_with_the_files_and_by_the_recorded_head(store: Store, tmp_path: Path) -> None:
    whole = {i.name: i.examined for i in examined(store).invariants}
    told = put_away(store, tmp_path, half(store))
    path = tmp_path / told.file
    with_file = examined(store, path, heads=True)
    assert wrong(with_file) == {}
    assert with_file.left_out == ()
    now = {i.name: i.examined for i in with_file.invariants}
    assert all(now[name] >= count for name, count in whole.items() if name != "journal_reaches_heads")
    without = examined(store, heads=True)
    assert wrong(without) == {}
    assert without.left_out == (f"{STATION}: events 1…{told.last_seq} ({told.file})",)
    pending = {i.name: i.pending for i in without.invariants}
    assert pending["swap_in_journal"] > 0
    assert pending["journal_chained"] == 0


def test_a_replay_begins_where_the_archive_ends(store: Store, tmp_path: Path) -> None:
    with store.reading_station(STATION) as db:
        first, last = covered(db, STATION)
    told = put_away(store, tmp_path, half(store))
    with store.reading_station(STATION) as db:
        assert covered(db, STATION) == (told.until_at, events(store)[-1].at)
    restore_archive(store, tmp_path / told.file, still)
    with store.reading_station(STATION) as db:
        assert covered(db, STATION) == (first, last)


def test_months_are_archived_one_after_the_other_and_come_back_in_any_order(store: Store, tmp_path: Path) -> None:
    before = spelled(events(store))
    rows = events(store)
    first = put_away(store, tmp_path, rows[len(rows) // 3].at)
    second = put_away(store, tmp_path, rows[2 * len(rows) // 3].at)
    assert (second.first_seq, second.prev_hash) == (first.last_seq + 1, first.last_hash)
    files = [tmp_path / first.file, tmp_path / second.file]
    assert wrong(examined(store, *files)) == {}
    assert examined(store, files[0]).left_out != ()
    for path in reversed(files):
        restore_archive(store, path, still)
    report = examined(store)
    assert (wrong(report), report.left_out) == ({}, ())
    assert spelled(events(store))[: len(before)] == before
    assert remove_archived(store, STATION, still) > 0
    assert wrong(examined(store, *files)) == {}


def test_an_archive_that_was_cut_off_in_the_middle_goes_on(store: Store, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def killed() -> None:
        raise Killed

    at = half(store)
    with pytest.raises(Killed):
        archive_journal(store, STATION, at, tmp_path, by=BY, at=events(store)[-1].at, pause=killed)
    told = JournalArchived.read(events(store)[-1].data)
    assert wrong(examined(store, tmp_path / told.file)) == {}
    assert wrong(examined(store)) == {}
    assert archive_journal(store, STATION, at, tmp_path, by=BY, at=LATE, pause=still) is None
    assert wrong(examined(store, tmp_path / told.file)) == {}


def test_the_database_lets_nothing_go_that_no_archive_holds(store: Store, tmp_path: Path) -> None:
    def taken_out(seq: int) -> None:
        with store.station(STATION) as db:
            db.exec(delete(StationEvent).where(col(StationEvent.seq) == seq))

    with pytest.raises(DBAPIError, match="never changed"):
        taken_out(1)
    told = put_away(store, tmp_path, half(store))
    with pytest.raises(DBAPIError, match="never changed"):
        taken_out(told.last_seq + 1)


@pytest.mark.parametrize("needed", ["open", "not billed"])
def test_an_open_swap_and_an_unbilled_one_keep_the_journal(store: Store, tmp_path: Path, needed: str) -> None:
    """From the arrival on: what money and stock rest on stays."""
    rows = events(store)
    swap_id = next(row.swap_id for row in rows if row.kind == "swap.completed")
    first_seq = next(row.seq for row in rows if row.swap_id == swap_id)
    with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as connection:
        if needed == "open":
            statement = "UPDATE swap SET state = 'waiting', ended_at = NULL WHERE id = ?"
        else:
            for trigger in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {trigger[0]}")
            statement = "DELETE FROM bill WHERE swap_id = ?"
        assert connection.execute(statement, (swap_id,)).rowcount > 0
        connection.commit()
    assert put_away(store, tmp_path, LATE).last_seq == first_seq - 1


@pytest.mark.parametrize("how", ["byte", "cut", "another event", "not packed", "empty"])
def test_a_damaged_file_is_found_and_puts_nothing_back(store: Store, tmp_path: Path, how: str) -> None:
    path = tmp_path / put_away(store, tmp_path, half(store)).file
    content = path.read_bytes()
    lines = gzip.decompress(content).splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"epoch":1', b'"epoch":2')
    damaged = {
        "byte": content[:200] + bytes([content[200] ^ 1]) + content[201:],
        "cut": content[: len(content) // 2],
        "another event": gzip.compress(b"".join(lines)),
        "not packed": b"no archive",
        "empty": b"",
    }
    path.write_bytes(damaged[how])
    report = examined(store, path)
    assert "journal_reaches_heads" in wrong(report)
    assert report.left_out != ()
    before = spelled(events(store))
    with pytest.raises(NotArchived):
        restore_archive(store, path, still)
    assert spelled(events(store)) == before


def test_an_event_that_stayed_is_held_against_its_archive(store: Store, tmp_path: Path) -> None:
    path = tmp_path / put_away(store, tmp_path, half(store)).file
    with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as connection:
        connection.execute("DROP TRIGGER station_event_no_update")
        connection.execute(
            "UPDATE station_event SET actor = 'commerce' WHERE seq = (SELECT min(seq) FROM station_event)"
        )
        connection.commit()
    for report in (examined(store, path), examined(store)):
        assert any("event" in violation for violation in wrong(report)["journal_chained"])


def test_an_archive_of_another_journal_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / put_away(store, tmp_path, half(store)).file
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    try:
        fill(other.url, CONFIG, START_AT)
        with pytest.raises(NotArchived, match="names no such file"):
            restore_archive(other, path, still)
        assert "tells of no such archive" in str(wrong(examined(other, path)))
    finally:
        other.close()
    assert read_head(path).station_id == STATION


def test_a_broken_journal_is_not_archived(store: Store, tmp_path: Path) -> None:
    with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as connection:
        connection.execute("DROP TRIGGER station_event_no_update")
        connection.execute("UPDATE station_event SET actor = 'commerce' WHERE seq = 5")
        connection.commit()
    with pytest.raises(NotArchived, match="event 5"):
        archive_journal(store, STATION, half(store), tmp_path, by=BY, at=LATE, pause=still)
    assert list(tmp_path.glob("*.gz*")) == []


def test_who_and_which_day_must_be_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        archive_journal(store, STATION, LATE, tmp_path, by=" ", at=LATE, pause=still)
    with pytest.raises(InvalidInput, match="2027-01-01"):
        list(archive_journals(store, "soon", tmp_path, by=BY, pause=still))
    zone = CONFIG.station.zone
    assert day_begins("2026-09-02", zone) == datetime(2026, 9, 1, 16, tzinfo=UTC)
    assert dict(archive_journals(store, "2020-01-01", tmp_path, by=BY, pause=still)) == {STATION: None}
    with pytest.raises(ArchiveDamaged):
        next(read_part(Path(store.url.removeprefix("sqlite:///"))))


@pytest.mark.parametrize("engine", BOTH_ENGINES)
def test_both_engines_archive_and_put_back(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path / 'small.db'}"
    if engine != "sqlite":
        url = request.getfixturevalue("postgres_url")
    fill(url, CONFIG, START_AT)
    store = Store(url)
    try:
        for minute in range(300):
            with store.station(STATION) as db:
                db.append(ControlGap(what="looking", gap_s=3.5 + minute), at=START_AT + timedelta(minutes=minute))
        before = spelled(events(store))
        told = put_away(store, tmp_path, START_AT + timedelta(minutes=250))
        assert len(events(store)) < 100
        path = tmp_path / told.file
        for files in ((path,), ()):
            report = examined(store, *files, heads=True)
            assert {name for name in wrong(report) if name.startswith("journal")} == set()
        with store.reading() as db:
            assert len(db.exec(select(StationEvent)).all()) < 100  # what an audit sees is seen by it alone
        restore_archive(store, path, still)
        assert spelled(events(store))[:-1] == before
    finally:
        store.close()
