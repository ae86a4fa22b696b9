"""A file with the oldest part of one station's journal, compressed and checksummed: the bytes that were hashed.

Gzip of UTF-8 lines. The first says whose events these are, from which number to which, and how they are chained to
what follows; each further line is the canonical JSON of one event (`swap.journal.chain.entry_bytes`), whose SHA-256
is its hash. So the file proves itself, and the journal's event `journal.archived` names its own SHA-256.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from swap.journal.canonical import canonical_json
from swap.journal.chain import FIRST, Entry, entry_bytes

FORMAT = 1
"""Of the first line; a file of another one is refused."""
_READ_BYTES = 1 << 20
LONGEST_LINE = 16 << 20
"""Bytes of one event at most: a damaged file is not read into memory."""


class ArchiveDamaged(Exception):
    """A file is no archive, or not what was written."""


@dataclass(frozen=True, slots=True)
class Part:
    """Events `first_seq`…`last_seq` of a station."""

    station_id: str
    first_seq: int
    last_seq: int
    prev_hash: str
    """Hash of the event before `first_seq`."""
    hash: str
    """Hash of event `last_seq`."""

    @property
    def file_name(self) -> str:
        """Sorts by station and number."""
        return f"{self.station_id}-{self.first_seq:010d}-{self.last_seq:010d}.jsonl.gz"


def write_part(path: Path, part: Part, entries: Iterable[tuple[Entry, str]]) -> str:
    """Write a file and return its SHA-256 when it is on the disk; a file is there whole, or not at all.

    Raises:
        ArchiveDamaged: the events are not the part that was named, or their chain is broken.
        OSError: the file cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.part")
    head = {
        "archive": FORMAT,
        "station_id": part.station_id,
        "first_seq": part.first_seq,
        "last_seq": part.last_seq,
        "prev_hash": part.prev_hash,
        "hash": part.hash,
    }
    try:
        with unfinished.open("wb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                packed.write(canonical_json(head).encode() + b"\n")
                chain = _Chain(part)
                for entry, stored in entries:
                    line = entry_bytes(entry)
                    if chain.add(entry, line) != stored:
                        raise ArchiveDamaged(f"event {entry.seq} is not what its hash was made from")
                    packed.write(line + b"\n")
                chain.close()
            raw.flush()
            os.fsync(raw.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return file_hash(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def read_head(path: Path) -> Part:
    """Which part of which journal a file holds. Raises ArchiveDamaged and OSError."""
    for line in _lines(path):
        return _part(path, line)
    raise ArchiveDamaged(f"{path.name}: is empty")


def read_part(path: Path) -> Iterator[tuple[Entry, str]]:
    """The events of a file with their hashes, one after the other, the whole chain looked at on the way.

    Raises:
        ArchiveDamaged: it is no archive, or not what was written.
        OSError: it cannot be read.
    """
    lines = _lines(path)
    chain = _Chain(_part(path, next(lines, b"")))
    try:
        for line in lines:
            entry = read_entry(line)
            yield entry, chain.add(entry, line)
        chain.close()
    except ArchiveDamaged as error:
        raise ArchiveDamaged(f"{path.name}: {error}") from error


class _Chain:
    """Looks at the events of a part as they come."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._seq, self._hash = part.first_seq - 1, part.prev_hash

    def add(self, entry: Entry, line: bytes) -> str:
        """The hash of the next event. Raises ArchiveDamaged where it does not follow."""
        if entry.station_id != self._part.station_id or entry.seq != self._seq + 1:
            raise ArchiveDamaged(f"event {entry.seq} of {entry.station_id} follows event {self._seq}")
        if entry.prev_hash != self._hash:
            raise ArchiveDamaged(f"event {entry.seq} was chained to another event {self._seq}")
        self._seq, self._hash = entry.seq, sha256(line).hexdigest()
        return self._hash

    def close(self) -> None:
        """Raise ArchiveDamaged where the part does not end here."""
        if (self._seq, self._hash) != (self._part.last_seq, self._part.hash):
            raise ArchiveDamaged(
                f"it ends with event {self._seq}, and not with the event {self._part.last_seq} it names"
            )


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(LONGEST_LINE):
                if not line.endswith(b"\n"):
                    raise ArchiveDamaged(f"{path.name}: is cut short")
                yield line[:-1]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ArchiveDamaged(f"{path.name}: {error}") from error


def _part(path: Path, line: bytes) -> Part:
    try:
        found = json.loads(line)
        known = found.pop("archive")
        part = Part(**found)
        plain = (part.station_id, part.prev_hash, part.hash)
        if known != FORMAT or not all(isinstance(text, str) for text in plain):
            raise ValueError("another format")
        if not 1 <= part.first_seq <= part.last_seq or (part.first_seq == 1) != (part.prev_hash == FIRST):
            raise ValueError("no such part")
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ArchiveDamaged(f"{path.name}: is no part of a journal") from error
    return part


def read_entry(line: bytes) -> Entry:
    """The event of its canonical JSON. Raises ArchiveDamaged where it is no event, or not in its one spelling."""
    try:
        found = json.loads(line)
        at = datetime.fromisoformat(found["at"])
        entry = Entry(**found | {"at": at, "data": canonical_json(found["data"])})
        same = entry_bytes(entry) == line
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArchiveDamaged("a line is no event") from error
    if not same:
        raise ArchiveDamaged(f"event {entry.seq} is not written in its one form")
    return entry
