"""Canonical bytes, the chain over them, and the heads outside: what was edited, cut or written anew is named."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from swap.audit import AuditReport, audit
from swap.events import newest_heads
from swap.journal.canonical import canonical_instant, canonical_json, without_nan
from swap.journal.chain import FIRST, Entry, entry_bytes, entry_hash, walk
from swap.journal.heads import NotedHead, Outline, compare, heads_path, read_heads, write_heads
from swap.messages.events import ControlGap
from swap.messages.journal import JournalEpoch
from swap.register.persons import shown_actor
from swap.station.life.heads import keep_heads
from swap.station.restored import begin_epoch
from swap.store import Store
from tests.support.swap.commerce import AT, STATION, filled_store, station

EVENTS = 12


def entry(seq: int, prev_hash: str = FIRST, **fields: Any) -> Entry:
    values: dict[str, Any] = {
        "station_id": "S",
        "epoch": 1,
        "at": AT,
        "kind": "k",
        "actor": "controller",
        "swap_id": None,
        "pack_id": None,
        "bay_id": None,
        "lane_id": None,
        "cause_seq": None,
        "data": "{}",
    }
    return Entry(seq=seq, prev_hash=prev_hash, **(values | fields))


def chain(count: int, **fields: Any) -> list[tuple[Entry, str]]:
    made: list[tuple[Entry, str]] = []
    for seq in range(1, count + 1):
        item = entry(seq, made[-1][1] if made else FIRST, data=canonical_json({"n": seq}), **fields)
        made.append((item, entry_hash(item)))
    return made


def test_one_value_has_one_spelling() -> None:
    value = {"b": [1, 2.5, 1e-7, 0.1 + 0.2, None, True], "a": '电池 \u2028 é\n"', "ä": {}}
    spelled = '{"a":"电池 \u2028 é\\n\\"","b":[1,2.5,1e-07,0.30000000000000004,null,true],"ä":{}}'
    assert canonical_json(value) == spelled
    assert canonical_json(dict(reversed(value.items()))) == spelled


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused_or_unknown(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": number})
    assert without_nan({"a": [number, 1.0, {"b": number}]}) == {"a": [None, 1.0, {"b": None}]}


def test_instants_are_utc_with_microseconds() -> None:
    beijing = datetime(2026, 11, 1, 16, 0, 0, 5, tzinfo=timezone(timedelta(hours=8)))
    assert canonical_instant(beijing) == "2026-11-01T08:00:00.000005Z"
    with pytest.raises(ValueError, match="with its zone"):
        canonical_instant(beijing.replace(tzinfo=None))


def test_the_bytes_of_an_event_are_these_for_ever() -> None:
    """A change of this text breaks every chain ever written."""
    assert entry_bytes(entry(7, "ab", data='{"x":1.0}', cause_seq=3, swap_id="sw", bay_id="S:A1")).decode() == (
        '{"actor":"controller","at":"2026-11-01T08:00:00.000000Z","bay_id":"S:A1","cause_seq":3,"data":{"x":1.0},'
        '"epoch":1,"kind":"k","lane_id":null,"pack_id":null,"prev_hash":"ab","seq":7,"station_id":"S","swap_id":"sw"}'
    )
    assert entry_hash(entry(1)) == "1d0f61cdc74bc2e6845599a201b40217eb71fc268a6d5e0d0335b33d168ea11e"


def test_a_whole_chain_is_walked_to_its_end() -> None:
    assert (walk(chain(5)).examined, walk(chain(5)).broken_seq) == (5, None)
    assert walk([]).broken_seq is None


Edit = Callable[[list[tuple[Entry, str]]], None]


def edited(made: list[tuple[Entry, str]]) -> None:
    made[2] = (replace(made[2][0], data='{"n":99}'), made[2][1])


def edited_and_hashed(made: list[tuple[Entry, str]]) -> None:
    item = replace(made[2][0], data='{"n":99}')
    made[2] = (item, entry_hash(item))


def taken_out(made: list[tuple[Entry, str]]) -> None:
    del made[2]


def epoch_of_nobody(made: list[tuple[Entry, str]]) -> None:
    del made[2:]
    item = entry(3, made[1][1], epoch=2)
    made.append((item, entry_hash(item)))


def epoch_that_goes_back(made: list[tuple[Entry, str]]) -> None:
    item = entry(6, made[-1][1], epoch=2, kind="journal.epoch")
    made.append((item, entry_hash(item)))
    item = entry(7, made[-1][1], epoch=1)
    made.append((item, entry_hash(item)))


@pytest.mark.parametrize(
    ("edit", "broken_seq", "problem"),
    [
        (edited, 3, "event 3 is not what its hash was made from"),
        (edited_and_hashed, 4, "event 4 was chained to another event 3"),
        (taken_out, 4, "event 4 follows event 2"),
        (epoch_of_nobody, 3, "event 3 is of epoch 2, the one before of 1, and nobody began it"),
        (epoch_that_goes_back, 7, "event 7 is of epoch 1, the one before of 2, and nobody began it"),
    ],
)
def test_the_first_broken_event_is_named(edit: Edit, broken_seq: int, problem: str) -> None:
    made = chain(5)
    edit(made)
    verdict = walk(made)
    assert (verdict.broken_seq, verdict.problem) == (broken_seq, problem)


def test_heads_are_kept_line_by_line_and_survive_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    first, second = NotedHead("S", 1, 5, "a" * 64, AT), NotedHead("电", 2, 9, "b" * 64, AT)
    write_heads(path, [first])
    with path.open("ab") as file:
        file.write(b'{"at":"2026-')
    write_heads(path, [second])
    assert read_heads(path) == ((first, second), (f"{path}, line 2: is no head",))
    assert read_heads(tmp_path / "none") == ((), ())


def test_heads_stand_beside_the_database() -> None:
    assert heads_path("sqlite:///var/swap.db") == Path("var/swap.heads.jsonl")
    assert heads_path("postgresql+psycopg://me:secret@db/swap?x=1") == Path("var/swap.heads.jsonl")


def test_a_head_is_excused_only_by_an_epoch_that_began_at_or_before_it() -> None:
    head = NotedHead("S", 1, 8, "old", AT)
    assert compare(head, Outline({8: (1, "old")}, [])) is None
    assert "its tail was cut" in str(compare(head, Outline({5: (1, "x")}, [])))
    assert "written anew" in str(compare(head, Outline({8: (1, "new")}, [])))
    assert compare(head, Outline({6: (2, "e")}, [(2, 6)])) is None
    assert "written anew" in str(compare(head, Outline({8: (1, "new"), 9: (2, "e")}, [(2, 9)])))


# In a database


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with filled_store(database_url, station()) as store:
        write(store, EVENTS)
        yield store


def write(store: Store, count: int) -> None:
    for number in range(count):
        with store.station(STATION) as db:
            db.append(ControlGap(what="looking", gap_s=number / 3), at=AT + timedelta(seconds=number))


def heads(store: Store) -> tuple[NotedHead, ...]:
    with store.reading() as db:
        return newest_heads(db, AT)


def report(store: Store, known: tuple[NotedHead, ...]) -> dict[str, tuple[str, ...]]:
    with store.reading() as db:
        found: AuditReport = audit(db, heads=known)
    return {i.name: i.violations for i in found.invariants if i.violations}


def tamper(store: Store, *statements: str) -> None:
    """Change rows behind the back of the triggers."""
    with store.engine.begin() as connection:
        if store.is_sqlite:
            for action in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS station_event_no_{action}"))
        else:
            connection.execute(text("ALTER TABLE station_event DISABLE TRIGGER USER"))
        for statement in statements:
            assert connection.execute(text(statement)).rowcount


def hash_anew(store: Store, from_seq: int) -> None:
    """What somebody would do who knows how the chain is made."""
    with store.reading_station(STATION) as db:
        events = db.events()
        db.expunge_all()
    previous = events[from_seq - 2].hash
    for event in events[from_seq - 1 :]:
        fields = {name: getattr(event, name) for name in Entry.__slots__ if name not in ("data", "prev_hash")}
        item = Entry(**fields, data=canonical_json(event.data), prev_hash=previous)
        previous = entry_hash(item)
        tamper(
            store,
            f"UPDATE station_event SET prev_hash = '{item.prev_hash}', hash = '{previous}' WHERE seq = {event.seq}",
        )


def test_both_engines_write_the_same_bytes(sqlite_url: str, postgres_url: str) -> None:
    hashes = []
    for url in (sqlite_url, postgres_url):
        with filled_store(url, station()) as store:
            write(store, EVENTS)
            with store.reading_station(STATION) as db:
                hashes.append([(e.seq, e.prev_hash, e.hash) for e in db.events()])
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) > EVENTS


def test_an_edit_is_found_by_the_chain(store: Store) -> None:
    known = heads(store)
    assert report(store, known) == {}
    tamper(store, "UPDATE station_event SET actor = 'commerce' WHERE seq = 9")
    assert report(store, known)["journal_chained"] == (
        f"station {STATION}: event 9 is not what its hash was made from",
    )


def test_a_cut_tail_is_found_by_the_heads(store: Store) -> None:
    known = heads(store)
    tamper(store, f"DELETE FROM station_event WHERE seq > {known[0].seq - 2}")
    assert list(report(store, known)) == ["journal_reaches_heads"]
    assert "its tail was cut" in report(store, known)["journal_reaches_heads"][0]


def test_a_journal_hashed_anew_is_found_by_the_heads(store: Store) -> None:
    known = heads(store)
    tamper(store, "UPDATE station_event SET actor = 'commerce' WHERE seq = 9")
    hash_anew(store, 9)
    assert list(report(store, known)) == ["journal_reaches_heads"]
    assert "was written anew" in report(store, known)["journal_reaches_heads"][0]
    assert report(store, ()) == {}, "without a head nobody could know"


def test_a_restored_copy_is_accepted_with_a_named_persons_epoch_only(store: Store) -> None:
    copied = heads(store)
    write(store, 4)
    known = heads(store)
    tamper(store, f"DELETE FROM station_event WHERE seq > {copied[0].seq}")  # what the copy did not hold
    assert list(report(store, known)) == ["journal_reaches_heads"]
    new = begin_epoch(store, by="Li Ming", at=datetime.now(UTC), known=known, copy="backup.db")
    assert (new[0].epoch, new[0].seq) == (2, copied[0].seq + 2)
    write(store, 6)
    assert report(store, (*copied, *known, *new)) == {}
    with store.reading_station(STATION) as db:
        (event,) = db.events(JournalEpoch)
        assert shown_actor(db, event.actor) == "Li Ming"
        assert event.data["lost"] == {"epoch": 1, "seq": known[0].seq, "hash": known[0].hash}
        assert (event.data["from_seq"], event.data["copy"]) == (copied[0].seq, "backup.db")
        assert (db.station().mode, db.station().mode_reason) == ("held", "restored")
        assert {e.epoch for e in db.events(after=event.seq - 1)} == {2}
    newest = heads(store)
    tamper(store, f"DELETE FROM station_event WHERE seq > {newest[0].seq - 3}")
    assert not report(store, (*copied, *known, *new))
    assert report(store, newest), "what follows the epoch is held to the heads again"


def test_the_same_copy_restored_twice_begins_two_epochs(store: Store) -> None:
    copied = heads(store)
    first = begin_epoch(store, by="Li", at=AT)
    tamper(store, f"DELETE FROM station_event WHERE seq > {copied[0].seq}")
    tamper(
        store,
        "UPDATE station SET mode = 'automatic', mode_reason = 'first start', "
        "mode_since_at = (SELECT at FROM station_event WHERE seq = 1)",
    )  # as in the copy
    second = begin_epoch(store, by="Li", at=AT, known=first)
    assert (first[0].epoch, second[0].epoch) == (2, 3)
    assert report(store, (*copied, *first, *second)) == {}


async def test_heads_are_noted_again_and_again_and_a_full_disk_ends_nothing(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "away" / "heads.jsonl"
    path.parent.write_text("in the way")
    noted: list[int] = []
    often = threading.Event()

    def now() -> datetime:
        noted.append(len(read_heads(path)[0]) if path.parent.is_dir() else -1)
        if len(noted) == 2:
            path.parent.unlink()
            path.parent.mkdir()
        if len(noted) == 5:
            often.set()
        return AT

    task = asyncio.create_task(keep_heads(store, path, now, period_s=0.0))
    await asyncio.to_thread(often.wait, 30)
    task.cancel()
    await asyncio.wait([task])
    assert "are not written to" in caplog.text
    assert noted[:2] == [-1, -1]
    assert noted[2:4] == [1, 2]
