"""Heads of journals, kept outside the database: one JSON line for a station's newest event and its hash.

The chain alone does not tell that its tail was cut, or that it was hashed anew from somewhere on. A head written
down elsewhere does: the event of that number must still have that hash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from swap.journal.canonical import canonical_instant, canonical_json


@dataclass(frozen=True, slots=True)
class NotedHead:
    """The newest event of a station at an instant."""

    station_id: str
    epoch: int
    seq: int
    hash: str
    at: datetime
    """When it was written down."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What heads are compared with: one station's journal."""

    hashes: Mapping[int, tuple[int, str]]
    """Epoch and hash by `seq`."""
    epochs: Sequence[tuple[int, int]]
    """(epoch, its first `seq`) of every epoch that a named person began, in order."""

    @property
    def last_seq(self) -> int:
        """The newest event's number; 0 where there is none."""
        return max(self.hashes, default=0)


def heads_path(database_url: str) -> Path:
    """Where the heads of a database stand by default: beside an SQLite file, else under `var`."""
    if database_url.startswith("sqlite:///") and ":memory:" not in database_url:
        return Path(database_url.removeprefix("sqlite:///")).with_suffix(".heads.jsonl")
    return Path("var") / f"{database_url.rsplit('/', 1)[-1].partition('?')[0]}.heads.jsonl"


def write_heads(path: Path, heads: Iterable[NotedHead]) -> None:
    """Append heads to a file, and return when they are on the disk."""
    lines = [
        canonical_json(
            {
                "at": canonical_instant(head.at),
                "epoch": head.epoch,
                "hash": head.hash,
                "seq": head.seq,
                "station_id": head.station_id,
            }
        )
        for head in heads
    ]
    if not lines:
        return
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                lines.insert(0, "")  # a line that a loss of power cut short ends here
        file.write(("\n".join(lines) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def read_heads(path: Path) -> tuple[tuple[NotedHead, ...], tuple[str, ...]]:
    """The heads of a file, and what is wrong with its lines. A file that is not there holds none."""
    heads: list[NotedHead] = []
    problems: list[str] = []
    if not path.exists():
        return (), ()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line:
            continue
        try:
            found = json.loads(line)
            heads.append(
                NotedHead(
                    str(found["station_id"]),
                    int(found["epoch"]),
                    int(found["seq"]),
                    str(found["hash"]),
                    datetime.fromisoformat(found["at"]),
                )
            )
        except (ValueError, KeyError, TypeError):
            problems.append(f"{path}, line {number}: is no head")
    return tuple(heads), tuple(problems)


def compare(head: NotedHead, journal: Outline) -> str | None:
    """What a head written down earlier says against a journal; None when it agrees.

    Events of an earlier epoch that lay beyond the copy from which a named person restored the database are gone
    by that person's word: the event that began the epoch is theirs.
    """
    known = journal.hashes.get(head.seq)
    if known == (head.epoch, head.hash):
        return None
    if any(epoch > head.epoch and first_seq <= head.seq for epoch, first_seq in journal.epochs):
        return None
    where = f"station {head.station_id}: the head of {canonical_instant(head.at)} was event {head.seq}"
    if head.seq > journal.last_seq:
        return f"{where}, the journal ends at {journal.last_seq}: its tail was cut, or an older copy was put back"
    return f"{where} with another hash: the journal was written anew from event {head.seq} or before"
