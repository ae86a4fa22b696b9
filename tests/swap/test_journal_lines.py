"""Exported lines of journals: in whatever order they come, what continues a journal is taken, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swap.journal.archive import Part, write_part
from swap.journal.chain import BEGINNING, FIRST, Entry, entry_hash
from swap.journal.lines import (
    JournalLine,
    KnownHead,
    LineDamaged,
    export_line,
    follow,
    read_files,
    read_line,
    write_lines,
)

AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
BEGUN = KnownHead(*BEGINNING)


def journal(
    count: int, station_id: str = "S", prev_hash: str = FIRST, first: int = 1, actor: str = "c"
) -> list[JournalLine]:
    """Some events of a station, chained."""
    lines: list[JournalLine] = []
    for seq in range(first, first + count):
        entry = Entry(
            station_id=station_id,
            seq=seq,
            epoch=1,
            at=AT + timedelta(seconds=seq),
            kind="station.mode",
            actor=actor,
            swap_id=None,
            pack_id="包",
            bay_id=None,
            lane_id=None,
            cause_seq=None,
            data='{"energy_kwh":262.26,"reason":"手动\u2028\u0085"}',
            prev_hash=lines[-1].hash if lines else prev_hash,
        )
        lines.append(JournalLine(entry, entry_hash(entry), f"{station_id}, line {seq}"))
    return lines


LINES = journal(12)


@given(order=st.lists(st.integers(0, 11), max_size=40), known=st.integers(0, 6))
def test_the_longest_run_without_a_gap_is_taken(order: list[int], known: int) -> None:
    stands = KnownHead(known, LINES[known - 1].hash, 1) if known else BEGUN
    found = follow(stands, [LINES[n] for n in order], {line.entry.seq: line.hash for line in LINES[:known]})
    there = {n + 1 for n in order}
    last = known
    while last + 1 in there:
        last += 1
    assert [line.entry.seq for line in found.lines] == list(range(known + 1, last + 1))
    assert found.waiting == len({seq for seq in there if seq > last})
    assert found.repeated == len(order) - len(found.lines) - found.waiting
    assert bool(found.problems) == bool(found.waiting)


@given(at=st.integers(0), byte=st.integers(0, 255))
def test_a_line_with_a_changed_byte_is_damaged(at: int, byte: int) -> None:
    line = bytearray(export_line(LINES[3].entry, LINES[3].hash))
    before = bytes(line)
    line[at % len(line)] = byte
    if bytes(line) == before:
        assert read_line(before, "f").entry == LINES[3].entry
        return
    with pytest.raises(LineDamaged):
        read_line(bytes(line), "f")


def test_two_events_of_one_number_stop_the_journal_and_one_that_does_not_fit_is_told() -> None:
    fork = journal(1, prev_hash=LINES[4].hash, first=6, actor="x")
    found = follow(BEGUN, [*LINES, *fork], {})
    assert [line.entry.seq for line in found.lines] == [1, 2, 3, 4, 5]
    assert found.problems == ("S, line 6 and S, line 6 tell two events 6 of S",)
    assert found.waiting == 8
    elsewhere = journal(1, prev_hash="1" * 64, first=6, actor="x")
    found = follow(BEGUN, [*LINES, *elsewhere], {})
    assert len(found.lines) == 12, "the one that fits goes on"
    assert found.problems == ("S, line 6: station S: event 6 was chained to another event 5",)


def test_an_epoch_that_nobody_began_and_another_hash_of_a_known_event_are_told() -> None:
    later = replace(LINES[1].entry, epoch=2)
    found = follow(BEGUN, [LINES[0], JournalLine(later, entry_hash(later), "here")], {})
    assert found.problems == ("here: station S: event 2 is of epoch 2, the one before of 1, and nobody began it",)
    found = follow(KnownHead(2, LINES[1].hash, 1), [JournalLine(later, entry_hash(later), "here")], {2: LINES[1].hash})
    assert found.problems == ("here: event 2 of S is known with another hash",)


def test_files_are_read_with_what_is_wrong_in_them(tmp_path: Path) -> None:
    path, archive = tmp_path / "s.jsonl", tmp_path / "s.jsonl.gz"
    good = export_line(LINES[5].entry, LINES[5].hash)
    assert write_lines(path, [good]) == 1
    path.write_bytes(path.read_bytes() + b"\nno line\n" + good[:-1])
    write_part(archive, Part("S", 1, 5, FIRST, LINES[4].hash), [(line.entry, line.hash) for line in LINES[:5]])
    found = list(read_files([path, archive]))
    lines = [one for one in found if isinstance(one, JournalLine)]
    assert follow(BEGUN, lines, {}).lines == tuple(lines[1:] + lines[:1])
    assert [one for one in found if isinstance(one, str)] == [
        "s.jsonl, line 3: is no line of an exported journal",
        "s.jsonl, line 4: is cut short",
    ]
    archive.write_bytes(archive.read_bytes()[:-9])
    assert [one for one in read_files([archive]) if isinstance(one, str)]


def test_an_event_that_is_not_its_hash_is_not_exported() -> None:
    with pytest.raises(LineDamaged, match="event 4 of S is not what its hash was made from"):
        export_line(LINES[3].entry, LINES[4].hash)
