"""A journal as JSON lines, for whoever reads it elsewhere: each line one event with its hash, in its one spelling.

Lines of several stations may come late, twice and in any order. `follow` says which of them continue a journal that is
known up to an event, and names what does not: nothing behind a gap or a damaged line is taken.
"""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from swap.journal.archive import LONGEST_LINE, ArchiveDamaged, read_entry, read_part
from swap.journal.chain import Entry, entry_bytes, entry_hash, walk

_HEAD, _MIDDLE, _END = b'{"event":', b',"hash":"', b'"}'
_HASH_CHARACTERS = 64


class LineDamaged(ValueError):
    """A line is no event, or not what was written."""


@dataclass(frozen=True, slots=True)
class JournalLine:
    """An event as it was read."""

    entry: Entry
    hash: str
    where: str
    """File and line, for people."""


@dataclass(frozen=True, slots=True)
class KnownHead:
    """Up to which event a journal is known."""

    seq: int
    hash: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Followed:
    """What of some lines of one station continues its journal."""

    lines: tuple[JournalLine, ...]
    """In order, without a gap, each chained to the one before."""
    repeated: int
    """Lines that said again what is known, or what another line says."""
    waiting: int
    """Lines that are behind a gap or a problem."""
    problems: tuple[str, ...]


def export_line(entry: Entry, stored: str) -> bytes:
    """The line of an event, without its end. Raises LineDamaged where the event is not what its hash was made from."""
    if entry_hash(entry) != stored:
        raise LineDamaged(f"event {entry.seq} of {entry.station_id} is not what its hash was made from")
    return _HEAD + entry_bytes(entry) + _MIDDLE + stored.encode() + _END


def write_lines(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines to a file, which is there whole or not at all; how many. Raises OSError."""
    unfinished, count = path.with_name(f"{path.name}.part"), 0
    try:
        with unfinished.open("wb") as file:
            for line in lines:
                file.write(line + b"\n")
                count += 1
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def read_line(line: bytes, where: str) -> JournalLine:
    """The event of a line. Raises LineDamaged."""
    cut = len(line) - len(_END) - _HASH_CHARACTERS
    if not (line.startswith(_HEAD) and line.endswith(_END) and line[:cut].endswith(_MIDDLE)):
        raise LineDamaged(f"{where}: is no line of an exported journal")
    try:
        entry = read_entry(line[len(_HEAD) : cut - len(_MIDDLE)])
    except ArchiveDamaged as error:
        raise LineDamaged(f"{where}: {error}") from error
    stored = line[cut : -len(_END)].decode("ascii", "replace")
    if entry_hash(entry) != stored:
        raise LineDamaged(f"{where}: event {entry.seq} of {entry.station_id} is not what its hash was made from")
    return JournalLine(entry, stored, where)


def read_files(paths: Iterable[Path]) -> Iterator[JournalLine | str]:
    """The lines of exported journals, and of files of `swap db archive`; what is wrong with one as a text instead.

    Raises:
        OSError: a file cannot be read.
    """
    for path in paths:
        if path.suffix == ".gz":
            yield from _archived(path)
            continue
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                where = f"{path.name}, line {number}"
                if not line.endswith(b"\n"):
                    yield f"{where}: is cut short"
                elif line != b"\n":
                    yield _read(line[:-1], where)


def _read(line: bytes, where: str) -> JournalLine | str:
    try:
        return read_line(line, where)
    except LineDamaged as error:
        return str(error)


def _archived(path: Path) -> Iterator[JournalLine | str]:
    try:
        for entry, stored in read_part(path):
            yield JournalLine(entry, stored, f"{path.name}, event {entry.seq}")
    except (ArchiveDamaged, gzip.BadGzipFile, EOFError, zlib.error) as error:
        yield str(error)


def follow(known: KnownHead, lines: Iterable[JournalLine], earlier: dict[int, str]) -> Followed:
    """Which of some lines of one station continue its journal, in whatever order they come.

    Args:
        known: where the journal stands.
        earlier: hash by number of what is known already, of the numbers that the lines have.
    """
    by_seq: dict[int, dict[str, JournalLine]] = defaultdict(dict)
    repeated, problems = 0, list[str]()
    for one in lines:
        seq = one.entry.seq
        if seq <= known.seq:
            if earlier.get(seq) == one.hash:
                repeated += 1
            else:
                problems.append(f"{one.where}: event {seq} of {one.entry.station_id} is known with another hash")
        elif one.hash in by_seq[seq]:
            repeated += 1
        else:
            by_seq[seq][one.hash] = one
    taken: list[JournalLine] = []
    at = known
    while found := by_seq.pop(at.seq + 1, None):
        line, against = _next(at, list(found.values()))
        problems += against
        if line is None:
            by_seq[at.seq + 1] = found
            break
        taken.append(line)
        at = KnownHead(line.entry.seq, line.hash, line.entry.epoch)
    waiting = sum(len(found) for found in by_seq.values())
    first = min(by_seq, default=at.seq)
    if first > at.seq + 1:
        station_id = next(iter(by_seq[first].values())).entry.station_id
        gap = f"{at.seq + 1}" if first == at.seq + 2 else f"{at.seq + 1}…{first - 1}"
        problems.append(f"station {station_id}: event {gap} is missing; {waiting} line(s) wait for it")
    return Followed(tuple(taken), repeated, waiting, tuple(problems))


def _next(known: KnownHead, found: Sequence[JournalLine]) -> tuple[JournalLine | None, list[str]]:
    """The line that continues a journal, None where none or several do; and what speaks against the others."""
    fits, problems = [], []
    for line in found:
        verdict = walk([(line.entry, line.hash)], (known.seq, known.hash, known.epoch))
        if verdict.broken_seq is None:
            fits.append(line)
        else:
            problems.append(f"{line.where}: station {line.entry.station_id}: {verdict.problem}")
    if len(fits) == 1:
        return fits[0], problems
    if fits:
        first, second = fits[0], fits[1]
        problems.append(f"{first.where} and {second.where} tell two events {known.seq + 1} of {first.entry.station_id}")
    return None, problems
