"""The database away: told apart from mistakes, waited for in turn, the controller first."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from swap.errors import DatabaseAway
from swap.outage import is_away
from swap.store import Store
from swap.turns import PATIENCE_S, FileTurn, TurnNotReached, Turns


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    with store.transaction() as db:
        db.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
    yield store
    store.close()


def test_a_locked_sqlite_file_is_away_and_a_wrong_statement_is_not(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'a.db'}", wait_s=0.05)
    with store.transaction() as db:
        db.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseAway, match="locked") as caught, store.transaction():
        raise AssertionError("not reached")
    assert not caught.value.outcome_unknown
    other.close()
    with pytest.raises(DBAPIError, match="no such table"), store.transaction() as db:
        db.execute(text("INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(IntegrityError), store.transaction() as db:
        db.execute(text("INSERT INTO t VALUES (1), (1)"))
    store.close()


@pytest.mark.postgres
def test_a_connection_ended_by_the_server_is_away(postgres_url: str) -> None:
    store, admin = Store(postgres_url), Store(postgres_url)

    def work() -> None:
        with store.transaction() as db:
            pid = db.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with admin.reading() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            db.execute(text("SELECT 1"))

    with pytest.raises(DatabaseAway) as caught:
        work()
    assert not caught.value.outcome_unknown
    with store.transaction() as db:
        assert db.execute(text("SELECT 1")).scalar_one() == 1
    store.close()
    admin.close()


@pytest.mark.postgres
def test_a_connection_lost_during_the_commit_leaves_the_outcome_unknown(postgres_url: str) -> None:
    store, admin = Store(postgres_url), Store(postgres_url)
    with store.transaction() as db:
        db.execute(text("CREATE TABLE t (a INTEGER)"))
        # A check at the commit that ends its own connection: the program learns nothing of the outcome.
        db.execute(
            text(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
            )
        )
        db.execute(
            text(
                "CREATE CONSTRAINT TRIGGER d AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
                "EXECUTE FUNCTION die()"
            )
        )
    with pytest.raises(DatabaseAway) as caught, store.transaction() as db:
        db.execute(text("INSERT INTO t VALUES (1)"))
    assert caught.value.outcome_unknown
    store.close()
    admin.close()


@pytest.mark.postgres
def test_no_server_is_away(postgres_url: str) -> None:
    store = Store(postgres_url.rsplit(":", 1)[0] + ":1/nothing")
    with pytest.raises(DatabaseAway), store.reading() as db:
        db.execute(text("SELECT 1"))
    store.close()


def test_what_the_program_does_wrong_is_not_away() -> None:
    for error in (ValueError("x"), KeyError("x"), sqlite3.ProgrammingError("x"), sqlite3.IntegrityError("x")):
        assert not is_away(error)


def test_the_controller_goes_before_all_who_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swap.turns.PATIENCE_S", 1000.0)
    control = store.for_control()
    order: list[str] = []
    inside, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with store.transaction():
            inside.set()
            assert let_go.wait(10)

    def write(name: str, through: Store) -> None:
        with through.transaction():
            order.append(name)

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(10)
    threads = []
    for name, through in (("a", store), ("b", store), ("control", control)):
        threads.append(threading.Thread(target=write, args=(name, through)))
        threads[-1].start()
        _until_waiting(store, len(threads))
    let_go.set()
    for thread in (holder, *threads):
        thread.join(10)
    assert order == ["control", "a", "b"]
    control.close()


def _until_waiting(store: Store, count: int) -> None:
    until_s = time.monotonic() + 10
    while len(store._turns[None]._first) + len(store._turns[None]._others) != count:
        assert time.monotonic() < until_s
        threading.Event().wait(0.001)


def test_nobody_begins_between_two_transactions_of_a_controller() -> None:
    turns = Turns()
    with turns.kept():
        with turns.turn(first=True, wait_s=0):
            pass
        with pytest.raises(TurnNotReached), turns.turn(first=False, wait_s=0.01):
            raise AssertionError("not reached")
        with turns.turn(first=True, wait_s=0):
            pass
    with turns.turn(first=False, wait_s=0):
        pass


def test_who_waits_is_called_when_the_controller_has_nothing_more() -> None:
    turns = Turns()
    done = threading.Event()

    def write() -> None:
        with turns.turn(first=False, wait_s=10):
            done.set()

    with turns.kept():
        thread = threading.Thread(target=write)
        thread.start()
        _until_others_wait(turns)
        assert not done.is_set()
    thread.join(10)
    assert done.is_set()


def test_a_busy_controller_shuts_nobody_out() -> None:
    turns = Turns()
    done = threading.Event()

    def write() -> None:
        with turns.turn(first=False, wait_s=30):
            done.set()

    thread = threading.Thread(target=write)
    with turns.kept():
        with turns.turn(first=True, wait_s=0):
            thread.start()
            _until_others_wait(turns)
        until_s = time.monotonic() + 20
        while not done.is_set():  # the controller writes without a pause
            assert time.monotonic() < until_s
            with turns.turn(first=True, wait_s=20):
                pass
    thread.join(10)


def test_a_controller_that_keeps_its_place_and_does_not_come_shuts_nobody_out() -> None:
    turns = Turns()
    with turns.kept():
        with turns.turn(first=False, wait_s=30 * PATIENCE_S):
            pass
        with turns.turn(first=True, wait_s=0):  # the place is free again
            pass


def _until_others_wait(turns: Turns) -> None:
    until_s = time.monotonic() + 10
    while not turns._others:
        assert time.monotonic() < until_s
        threading.Event().wait(0.001)


def test_a_turn_that_does_not_come_is_told_and_given_up() -> None:
    turns = Turns()
    with (
        turns.turn(first=False, wait_s=1),
        pytest.raises(TurnNotReached, match=r"no turn within 0\.01 s"),
        turns.turn(first=True, wait_s=0.01),
    ):
        raise AssertionError("not reached")
    with turns.turn(first=False, wait_s=0):
        pass


def test_nobody_gives_up_in_a_line_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many clients at once: each transaction is short, and the last of them waits longer than one may take."""
    now_s, looks = 100.0, threading.Semaphore(0)

    def monotonic() -> float:
        looks.release()
        return now_s

    monkeypatch.setattr("swap.turns.time.monotonic", monotonic)
    turns, done = Turns(), list[str]()
    has = {name: threading.Event() for name in "abc"}
    goes_on = {name: threading.Event() for name in "abc"}

    def take_turn(name: str) -> None:
        with turns.turn(first=False, wait_s=10.0):
            has[name].set()
            assert goes_on[name].wait(30)
            done.append(name)

    threads = [threading.Thread(target=take_turn, args=(name,)) for name in "abc"]
    threads[0].start()
    assert has["a"].wait(30)
    for place in (1, 2):
        threads[place].start()
        while len(turns._others) < place:
            assert looks.acquire(timeout=30)
    for name, following in ("ab", "bc"):
        now_s += 8.0
        for _ in range(10):  # all who wait have looked at the time
            assert looks.acquire(timeout=30)
        goes_on[name].set()
        assert has[following].wait(30)
    goes_on["c"].set()
    for thread in threads:
        thread.join(30)
    assert done == ["a", "b", "c"]


def test_what_is_committed_is_synced(tmp_path: Path) -> None:
    """S22: the last commits are on the disk before anything leaves."""
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    for through in (store, store.for_control()):
        with through.transaction() as db:
            assert db.execute(text("PRAGMA synchronous")).scalar_one() == 2
        through.close()


def test_processes_take_turns_at_a_file(tmp_path: Path) -> None:
    """D3: two that write to one file; the one that is first is let in between two of the other's."""
    ours, theirs = FileTurn(tmp_path / "swap.db"), FileTurn(tmp_path / "swap.db")
    with (
        ours.turn(first=True, wait_s=1.0),
        pytest.raises(TurnNotReached, match="another process"),
        theirs.turn(first=False, wait_s=0.01),
    ):
        pass
    order: list[str] = []
    begun, stop = threading.Event(), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            with theirs.turn(first=False, wait_s=5.0):
                order.append("theirs")
                begun.set()

    thread = threading.Thread(target=busy)
    thread.start()
    assert begun.wait(5.0)
    for _ in range(20):
        with ours.turn(first=True, wait_s=1.0):
            order.append("ours")
    stop.set()
    thread.join()
    assert order.count("ours") == 20
    ours.close()
    theirs.close()


def test_a_file_that_cannot_be_locked_is_no_turn(tmp_path: Path) -> None:
    """D6: the folder is away."""
    turn = FileTurn(tmp_path / "none" / "swap.db")
    with pytest.raises(TurnNotReached, match="No such file"), turn.turn(first=True, wait_s=0.1):
        pass


def test_a_database_file_that_is_gone_or_exchanged_is_away(tmp_path: Path) -> None:
    """S11: writes would go on into a file that nobody finds again."""
    path = tmp_path / "a.db"
    store, control = Store(f"sqlite:///{path}"), Store(f"sqlite:///{path}").for_control()
    for one in (store, control):
        with one.transaction() as db:
            db.execute(text("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY)"))
    path.rename(tmp_path / "moved.db")
    for one in (store, control):
        with pytest.raises(DatabaseAway, match=r"a\.db is gone"), one.transaction():
            raise AssertionError("not reached")
        with pytest.raises(DatabaseAway, match="is gone"), one.reading():
            raise AssertionError("not reached")
    path.write_bytes(b"")
    with pytest.raises(DatabaseAway, match="another one than was opened"), store.transaction():
        raise AssertionError("not reached")
    path.unlink()
    (tmp_path / "moved.db").rename(path)
    with store.transaction() as db:  # the same file is back
        db.execute(text("INSERT INTO t VALUES (1)"))
    store.close()
    control.close()
