"""Writers side by side on both engines: nothing oversold, no gap in the journal, no deadlock, stable read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import Table, event, func, update
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from swap.events import append_event, connected
from swap.messages.events import ControllerStarted, ControllerStopped, Reconciled
from swap.store import Store
from swap.tables import Booking, Party, Station, StationEvent, VehicleRow

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
THREADS = 8


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    with store.transaction() as db:
        db.add(Party(id="p", kind="fleet", name_zh="甲", name_en="A"))
        db.flush()
        db.add(Station(id="S", name_zh="站", name_en="S", timezone="Asia/Shanghai", operator_id="p", mode_since_at=AT))
        db.add_all([VehicleRow(id=f"V{n}", tag=n + 1, model="m", fleet_id="p") for n in range(THREADS * 5)])
    yield store
    store.close()


def in_threads(work: Callable[[int], object]) -> None:
    """Run `work(0)`…`work(7)` at once; the first exception is raised here."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        start.wait()
        work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(run, n) for n in range(THREADS)]:
            done.result()


def test_event_ids_have_no_gaps_and_no_version_is_lost(store: Store) -> None:
    def write(number: int) -> None:
        for round_ in range(10):
            try:
                with store.transaction() as db:
                    append_event(db, Reconciled(examined=number, mismatches=()), station_id="S", at=AT)
                    if round_ % 3 == 2:
                        raise RuntimeError("rolled back")
            except RuntimeError:
                pass

    in_threads(write)
    with store.reading() as db:
        ids = list(db.exec(select(StationEvent.seq).order_by(col(StationEvent.seq))))
        assert db.get_one(Station, "S").version == len(ids)
    assert ids == list(range(1, THREADS * 7 + 1))


def test_a_change_flushed_before_the_event_does_not_deadlock(store: Store) -> None:
    def write(number: int) -> None:
        for round_ in range(5):
            with store.transaction() as db:
                station = db.get_one(Station, "S")
                if (number + round_) % 2:
                    station.mode_reason = f"{number}.{round_}"
                    db.flush()
                append_event(db, ControllerStopped(), station_id="S", at=AT)
                station.mode_reason = "after"
                db.flush()

    in_threads(write)
    with store.reading() as db:
        assert db.get_one(Station, "S").version == THREADS * 5


def test_read_then_insert_does_not_oversell(store: Store) -> None:
    capacity = 3

    def book(number: int) -> None:
        for round_ in range(5):
            with store.transaction() as db:
                if db.exec(select(func.count()).select_from(Booking)).one() < capacity:
                    db.add(booking(f"V{number * 5 + round_}"))

    in_threads(book)
    with store.reading() as db:
        assert db.exec(select(func.count()).select_from(Booking)).one() == capacity


def test_an_exception_leaves_nothing_behind(store: Store) -> None:
    def write_and_fail() -> None:
        with store.transaction() as db:
            db.add(booking("V1"))
            db.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    with store.reading() as db:
        assert db.exec(select(Booking)).all() == []


def test_what_is_written_past_a_session_is_of_its_transaction(store: Store) -> None:
    """Statements on tables begin nothing of the session; they are stored or not with what it is given."""
    parties: Table = Party.__table__  # type: ignore[attr-defined]
    rename = update(parties).where(parties.c.id == "p")

    def fails() -> None:
        with store.transaction() as db:
            connected(db).execute(rename.values(name_zh="乙"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    with store.transaction() as db:
        connected(db).execute(rename.values(name_en="B"))
        assert not db.in_transaction()
        with db.begin_nested() as part:
            connected(db).execute(rename.values(name_zh="丙"))
            part.rollback()
        assert connected(db) is db.connection()
        db.add(Party(id="q", kind="fleet", name_zh="丁", name_en="D"))  # written on leaving
    with store.reading() as db:
        parties_now = db.exec(select(Party).order_by(col(Party.id))).all()
        assert [(party.id, party.name_zh, party.name_en) for party in parties_now] == [
            ("p", "甲", "B"),
            ("q", "丁", "D"),
        ]


def test_a_reader_keeps_its_snapshot_and_blocks_nobody(store: Store) -> None:
    def count(db: Session) -> int:
        return db.exec(select(func.count()).select_from(Booking)).one()

    with store.reading() as reader:
        assert count(reader) == 0
        with store.transaction() as db:
            db.add(booking("V1"))
        assert count(reader) == 0
    with store.reading() as reader:
        assert count(reader) == 1


def test_writes_of_a_reader_are_dropped(store: Store) -> None:
    with store.reading() as db:
        db.add(booking("V1"))
        db.flush()
    with store.reading() as db:
        assert db.exec(select(Booking)).all() == []


def test_what_is_looked_up_and_the_session_after_it_have_one_snapshot(store: Store) -> None:
    begun: list[object] = []

    def note(connection: object) -> None:
        begun.append(connection)

    event.listen(store._read_engine, "begin", note)
    bookings = sql_select(func.count()).select_from(Booking)
    with store.one_reading():
        with store.looking_up() as connection:
            assert connection.execute(bookings).scalar() == 0
        with store.transaction() as db:
            db.add(booking("V1"))
        with store.reading() as reader:
            assert reader.exec(select(Booking)).all() == []
        assert len(begun) == 1
        with store.reading() as reader:
            assert [one.vehicle_id for one in reader.exec(select(Booking))] == ["V1"]
    with store.looking_up() as connection:
        assert connection.execute(bookings).scalar() == 1
    assert len(begun) == 3
    with store.one_reading(), store.looking_up() as connection:
        connection.execute(bookings)
    checked_out = getattr(store.engine.pool, "checkedout", lambda: 0)()
    assert (len(begun), checked_out) == (4, 0)


def test_writes_of_a_reader_are_dropped_too_where_something_was_looked_up_before(store: Store) -> None:
    with store.one_reading():
        with store.looking_up():
            pass
        with store.reading() as reader:
            reader.add(booking("V1"))
            reader.flush()
        with store.reading() as reader:
            assert reader.exec(select(Booking)).all() == []


def test_one_reading_is_of_one_store(store: Store) -> None:
    other = Store(store.engine.url.render_as_string(hide_password=False))
    with store.one_reading():
        with other.looking_up() as connection:
            assert connection.engine is not store.engine
            other_url = connection.engine.url
        with store.reading() as reader:
            assert reader.exec(select(Booking)).all() == []
    assert other_url == store.engine.url
    other.close()


def test_event_ids_go_on_after_a_restart(store: Store) -> None:
    for _ in range(2):
        again = Store(store.engine.url.render_as_string(hide_password=False))
        with again.transaction() as db:
            append_event(db, ControllerStarted(holder="h", unclean=False), station_id="S", at=AT)
            append_event(db, ControllerStopped(), station_id="S", at=AT)
        again.close()
    with store.reading() as db:
        ids = list(db.exec(select(StationEvent.seq).order_by(col(StationEvent.seq))))
    assert [b - a for a, b in pairwise([0, *ids])] == [1] * 4


def booking(vehicle_id: str) -> Booking:
    return Booking(
        id=vehicle_id,
        station_id="S",
        vehicle_id=vehicle_id,
        window_start_at=AT,
        window_end_at=AT + timedelta(hours=1),
        created_at=AT,
    )
