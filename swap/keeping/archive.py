"""The oldest part of a station's journal goes into a file, by a named person, and comes back from it.

First the file is written and on the disk, then the journal tells of it (`journal.archived`, with the hash of the last
event and of the file), and only then its events leave the database, some hundred in each transaction. The database
refuses to delete any other event. What the station asks for as long as it lives stays: the newest event of each kind
for each pack, bay and lane, and every event of the few kinds of `STAYING`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Text, insert, type_coerce
from sqlalchemy import select as sql_select
from sqlmodel import col, delete, func, or_, select

from swap.errors import InvalidInput
from swap.journal.archive import ArchiveDamaged, Part, file_hash, read_head, read_part, write_part
from swap.journal.chain import FIRST, Entry, event_values
from swap.journal.lines import export_line
from swap.messages.commerce import PricesSet
from swap.messages.events import (
    ControllerStarted,
    ControllerStopped,
    FileTaken,
    RecordBegun,
    RestartPermitted,
    StationModeChanged,
)
from swap.messages.journal import JournalArchived, JournalEpoch
from swap.messages.values import LARGEST_SEQ
from swap.register.persons import person_actor, person_name
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Bill, Station, StationEvent, Swap
from swap.words import N_

T = TypeVar("T")

STAYING = tuple(
    model.kind
    for model in (
        StationModeChanged,
        ControllerStarted,
        ControllerStopped,
        RestartPermitted,
        RecordBegun,
        FileTaken,
        JournalEpoch,
        JournalArchived,
        PricesSet,
    )
)
"""Kinds of which every event stays: some hundred a year, which a start or a replay asks for."""
LOT = 200
"""Events in one transaction: some milliseconds of the station's lock."""
LEAST = 20
"""Events in a file: for fewer none is made."""
Pause = Callable[[], object]
"""Called between two transactions: others go first meanwhile."""


class NotArchived(Exception):
    """The journal is broken, or a file is not the one that the journal names; nothing was changed."""


def archive_journal(
    store: Store, station_id: str, before_at: datetime, folder: Path, *, by: str, at: datetime, pause: Pause
) -> JournalArchived | None:
    """Put what happened before an instant into a file of a folder; None where there is nothing to put there.

    An open swap, and a completed one without a bill, keep the journal from their arrival on.

    Args:
        by: the person who decides it.
        at: station time, for the event that tells of it.

    Raises:
        InvalidInput: no name.
        NotArchived: the journal is broken.
        NotFound: no such station.
        DatabaseAway: the database cannot be used now; call again, which ends what was begun.
        OSError: the file cannot be written.
    """
    person_name(by)
    remove_archived(store, station_id, pause)
    with store.reading_station(station_id) as db:
        found = _part_before(db, before_at)
        if found is None:
            return None
        part, epoch, until_at = found
        path = folder / part.file_name
        try:
            digest = write_part(path, part, _entries(db, part.first_seq, part.last_seq))
        except ArchiveDamaged as error:
            raise NotArchived(f"station {station_id}: {error}; swap audit tells more") from error
    event = JournalArchived(
        first_seq=part.first_seq,
        last_seq=part.last_seq,
        prev_hash=part.prev_hash,
        last_hash=part.hash,
        last_epoch=epoch,
        until_at=until_at,
        file=path.name,
        sha256=digest,
    )
    with store.station(station_id) as db:
        newest = archived(db)
        if newest is not None and newest.last_seq >= part.first_seq:
            raise NotArchived(
                f"station {station_id}: somebody else has archived up to event {newest.last_seq} meanwhile"
            )
        db.append(event, at=at, actor=person_actor(db, by, at))
    remove_archived(store, station_id, pause)
    return event


def archive_journals(
    store: Store, before: str, folder: Path, *, by: str, pause: Pause
) -> Iterator[tuple[str, JournalArchived | None]]:
    """Archive the journal of every station, each before the beginning of a day (YYYY-MM-DD) in its own zone.

    Raises:
        InvalidInput: no such day, or no name.
        NotArchived, DatabaseAway, OSError: as `archive_journal`.
    """
    with store.reading() as whole:
        zones = {station.id: ZoneInfo(station.timezone) for station in whole.exec(select(Station))}
    for station_id, zone in sorted(zones.items()):
        before_at = day_begins(before, zone)
        with store.reading_station(station_id) as db:
            newest = db.newest_event()
            at = None if newest is None else newest.at  # in station time, which may run ahead of the computer's
        told = None
        if at is not None:
            told = archive_journal(store, station_id, before_at, folder, by=by, at=at, pause=pause)
        yield station_id, told


def archived(db: StationDb) -> JournalArchived | None:
    """What the journal tells of its newest archive."""
    row = db.newest_event(JournalArchived)
    return None if row is None else JournalArchived.read(row.data)


def remove_archived(store: Store, station_id: str, pause: Pause) -> int:
    """Take out of the database what is in archives and not asked for; how many events. Raises DatabaseAway."""
    with store.reading_station(station_id) as db:
        newest = archived(db)
        if newest is None:
            return 0
        staying = _staying(db, newest.last_seq)
        query = select(StationEvent.seq).where(col(StationEvent.seq) <= newest.last_seq)
        leaving = [seq for seq in db.exec(query.order_by(col(StationEvent.seq))) if seq not in staying]
    for lot in _lots(leaving):
        with store.station(station_id) as db:
            gone = delete(StationEvent).where(col(StationEvent.seq).in_(lot))
            db.execute(gone.execution_options(synchronize_session=False))
        pause()
    return len(leaving)


def restore_archive(store: Store, path: Path, pause: Pause) -> JournalArchived:
    """Put the events of a file back; what the journal told of it then. Those that are there stay as they are.

    Raises:
        NotArchived: the file is damaged, or not one that a journal of this database names.
        NotFound: the station is not in this database.
        DatabaseAway: the database cannot be used now; call again.
        OSError: the file cannot be read.
    """
    try:
        part = read_head(path)
        for _ in read_part(path):
            pass
    except ArchiveDamaged as error:
        raise NotArchived(str(error)) from error
    with store.station(part.station_id) as db:
        told = [JournalArchived.read(row.data) for row in db.events(JournalArchived)]
        there = set(db.exec(select(StationEvent.seq).where(col(StationEvent.seq) <= part.last_seq)))
    named = next((event for event in told if event.last_hash == part.hash), None)
    if named is None or named.sha256 != file_hash(path):
        raise NotArchived(f"{path.name}: the journal of station {part.station_id} names no such file")
    for lot in _lots(item for item in read_part(path) if item[0].seq not in there):
        with store.station(part.station_id) as db:
            db.execute(insert(StationEvent), [event_values(entry, stored) for entry, stored in lot])
        pause()
    return named


def _part_before(db: StationDb, before_at: datetime) -> tuple[Part, int, datetime] | None:
    """What can be archived, its last epoch and its newest instant."""
    before = archived(db)
    first_seq, prev_hash = (1, FIRST) if before is None else (before.last_seq + 1, before.last_hash)
    seq = col(StationEvent.seq)
    unbilled = select(Bill.id).where(Bill.swap_id == Swap.id, Bill.kind == "swap").exists()
    needed = select(Swap.id).where(or_(col(Swap.ended_at).is_(None), (col(Swap.state) == "completed") & ~unbilled))
    ends: list[int | None] = [
        db.exec(select(func.min(seq)).where(col(StationEvent.at) >= before_at)).one(),
        db.exec(select(func.min(seq)).where(col(StationEvent.swap_id).in_(needed))).one(),
        db.exec(select(func.max(seq))).one(),  # the newest stays: what follows is chained to it
    ]
    last_seq = min((end for end in ends if end is not None), default=1) - 1
    if last_seq - first_seq + 1 < LEAST:
        return None
    row = db.exec(select(StationEvent).where(seq == last_seq)).one()
    until_at: datetime = db.exec(select(func.max(StationEvent.at)).where(seq >= first_seq, seq <= last_seq)).one()
    return Part(db.station_id, first_seq, last_seq, prev_hash, row.hash), row.epoch, until_at


def exported(db: StationDb, after_seq: int = 0) -> Iterator[bytes]:
    """The journal of a station after an event as JSON lines; what is in archives begins with their files.

    Raises:
        LineDamaged: an event is not what its hash was made from.
    """
    before = archived(db)
    for entry, stored in _entries(db, max(after_seq, 0 if before is None else before.last_seq) + 1):
        yield export_line(entry, stored)


def _entries(db: StationDb, first_seq: int, last_seq: int = LARGEST_SEQ) -> Iterator[tuple[Entry, str]]:
    """Events as they are hashed, each with the hash that is stored."""
    names = Entry.__slots__
    columns = [
        type_coerce(getattr(StationEvent, name), Text).label(name) if name == "data" else getattr(StationEvent, name)
        for name in names
    ]
    query = (
        sql_select(*columns, col(StationEvent.hash))
        .where(col(StationEvent.seq) >= first_seq, col(StationEvent.seq) <= last_seq)
        .order_by(col(StationEvent.seq))
    )
    for row in db.execute(query.execution_options(yield_per=LOT)):
        entry = Entry(**dict(zip(names, row[:-1], strict=True)))
        yield entry, row[-1]


def _staying(db: StationDb, last_seq: int) -> set[int]:
    """Archived events that stay."""
    seq, upto = col(StationEvent.seq), col(StationEvent.seq) <= last_seq
    kind, pack = col(StationEvent.kind), col(StationEvent.pack_id)
    bay, lane = col(StationEvent.bay_id), col(StationEvent.lane_id)
    of_packs = select(func.max(seq)).where(upto, pack.is_not(None)).group_by(kind, pack)
    others = select(func.max(seq)).where(upto, pack.is_(None)).group_by(kind, bay, lane)
    whole = select(seq).where(upto, col(StationEvent.kind).in_(STAYING))
    return {found for query in (of_packs, others, whole) for found in db.exec(query)}


def _lots(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while lot := list(islice(rest, LOT)):
        yield lot


def day_begins(text: str, zone: ZoneInfo) -> datetime:
    """The instant at which a day (YYYY-MM-DD) begins in a zone. Raises InvalidInput."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=zone).astimezone(UTC)
    except ValueError as error:
        raise InvalidInput("before", text, N_("a day, such as 2027-01-01")) from error
