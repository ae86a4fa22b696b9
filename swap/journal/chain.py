"""The chain of hashes: each event carries the hash of the one before it, so an edit breaks what follows.

A cut tail, or a journal hashed anew from somewhere on, keeps the chain whole: those are found by the heads
(`swap.journal.heads`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from swap.journal.canonical import canonical_instant, canonical_text

FIRST = "0" * 64
"""`prev_hash` of a station's first event."""
EPOCH_KIND = "journal.epoch"
"""Kind of the event that begins a new epoch, by a named person."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it is stored; `data` is its text."""

    station_id: str
    seq: int
    epoch: int
    at: datetime
    kind: str
    actor: str
    swap_id: str | None
    pack_id: str | None
    bay_id: str | None
    lane_id: str | None
    cause_seq: int | None
    data: str
    prev_hash: str


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What a walk along a chain found."""

    examined: int
    broken_seq: int | None = None
    """The first event that does not fit; None where all do."""
    problem: str = ""


def entry_bytes(entry: Entry) -> bytes:
    """What is hashed: the canonical JSON of the whole event, `data` in the very text that is stored."""
    text = canonical_text
    return (
        f'{{"actor":{text(entry.actor)},"at":"{canonical_instant(entry.at)}","bay_id":{text(entry.bay_id)},'
        f'"cause_seq":{"null" if entry.cause_seq is None else entry.cause_seq},"data":{entry.data},'
        f'"epoch":{entry.epoch},"kind":{text(entry.kind)},"lane_id":{text(entry.lane_id)},'
        f'"pack_id":{text(entry.pack_id)},"prev_hash":{text(entry.prev_hash)},"seq":{entry.seq},'
        f'"station_id":{text(entry.station_id)},"swap_id":{text(entry.swap_id)}}}'
    ).encode()


def event_values(entry: Entry, stored: str) -> dict[str, Any]:
    """An event and its hash as the columns of its row."""
    values = {name: getattr(entry, name) for name in Entry.__slots__}
    return values | {"data": json.loads(entry.data), "hash": stored}


def entry_hash(entry: Entry) -> str:
    """SHA-256 of an event, in hex."""
    return sha256(entry_bytes(entry)).hexdigest()


BEGINNING = (0, FIRST, 1)
"""Number, hash and epoch before a station's first event."""


def walk(entries: Iterable[tuple[Entry, str]], after: tuple[int, str, int] = BEGINNING) -> ChainVerdict:
    """Go along one station's journal, in order of `seq`, each event with its stored hash; stops at the first break.

    An epoch may begin only with its own event, and never goes back.

    Args:
        after: number, hash and epoch of the event before the first.
    """
    seq, previous, epoch = after
    examined = 0
    for entry, stored in entries:
        examined += 1
        problem = ""
        if entry.seq != seq + 1:
            problem = f"event {entry.seq} follows event {seq}"
        elif entry.prev_hash != previous:
            problem = f"event {entry.seq} was chained to another event {seq}"
        elif entry_hash(entry) != stored:
            problem = f"event {entry.seq} is not what its hash was made from"
        elif entry.epoch != epoch and not (entry.epoch > epoch and entry.kind == EPOCH_KIND):
            problem = f"event {entry.seq} is of epoch {entry.epoch}, the one before of {epoch}, and nobody began it"
        if problem:
            return ChainVerdict(examined, entry.seq, problem)
        seq, previous, epoch = entry.seq, stored, entry.epoch
    return ChainVerdict(examined)
