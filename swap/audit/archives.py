"""Archived parts of journals: read from their files, or left out where there are none.

With the files an audit sees every event: they are put into a temporary table, and a temporary view in the place of
`station_event` shows them together with what is there. Without them the chain is looked at from the recorded head of
the archive on, and what rests on the whole journal is counted and not judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sqlalchemy import Column, Index, MetaData, Table, func, insert, select, text, type_coerce
from sqlalchemy.types import NullType
from sqlmodel import Session

from swap.audit.findings import Findings
from swap.audit.journal import parsed
from swap.journal.archive import ArchiveDamaged, file_hash, read_head, read_part
from swap.journal.chain import Entry, event_values
from swap.messages.journal import JournalArchived
from swap.tables import Station, StationEvent

_LOT = 500
_EVENTS: Table = StationEvent.__table__  # type: ignore[attr-defined]
_STATIONS: Table = Station.__table__  # type: ignore[attr-defined]
NEED_WHOLE_JOURNAL = (
    "file_is_on_record",
    "fault_in_journal",
    "request_in_journal",
    "hot_pack_in_journal",
    "pack_place_in_journal",
    "pack_states_legal",
    "charge_in_journal",
    "swap_in_journal",
    "swap_steps_legal",
    "swap_ended_or_open_with_reason",
    "commands_match_steps",
    "exchange_in_journal",
    "installed_energy_is_kept",
    "booking_in_journal",
    "bill_in_journal",
    "custody_in_journal",
    "readings_in_journal",
    "stranding_as_told",
    "response_as_settled",
)
"""Invariants that compare rows with events of any age."""


@dataclass
class Archives:
    """What is to be known of archives before the journals are walked along."""

    without: dict[str, JournalArchived] = field(default_factory=dict)
    """By station whose archived events are neither there nor in the files: what the journal tells of them."""

    def told(self) -> tuple[str, ...]:
        """What an audit without the files could not look at, for people."""
        return tuple(
            f"{station}: events 1…{told.last_seq} ({told.file}{' and before' if told.first_seq > 1 else ''})"
            for station, told in sorted(self.without.items())
        )

    def leave_out(self, findings: Findings) -> None:
        """Count what rests on the whole journal as not judged."""
        for name in NEED_WHOLE_JOURNAL if self.without else ():
            found = findings[name]
            found.pending = found.examined
            found.violations.clear()


def take_archives(db: Session, findings: Findings, files: Sequence[Path]) -> Archives:
    """Look at the files, and make their events part of what the session sees."""
    told = _told(db)
    parts = _parts(findings, files, told)
    archives = Archives()
    shown: dict[str, int] = {}
    for station, events in told.items():
        last = events[-1]
        upto = (_EVENTS.c.station_id == station, _EVENTS.c.seq <= last.last_seq)
        if db.execute(select(func.count()).select_from(_EVENTS).where(*upto)).scalar_one() == last.last_seq:
            continue  # nothing has left, or it was put back
        if all(event.last_hash in parts for event in events):
            shown[station] = last.last_seq
        else:
            archives.without[station] = last
    if shown:
        _show(db, findings, shown, [parts[event.last_hash] for station in shown for event in told[station]])
    return archives


def _told(db: Session) -> dict[str, list[JournalArchived]]:
    """What each journal tells of its archives, in order."""
    rows = db.execute(
        select(_EVENTS.c.station_id, type_coerce(_EVENTS.c.data, NullType()))
        .where(_EVENTS.c.station_id.in_(select(_STATIONS.c.id)), _EVENTS.c.kind == JournalArchived.kind)
        .order_by(_EVENTS.c.station_id, _EVENTS.c.seq)
    )
    told: dict[str, list[JournalArchived]] = defaultdict(list)
    for station, data in rows:
        event = parsed(JournalArchived.kind, data)
        if isinstance(event, JournalArchived):
            told[station].append(event)
    return told


def _parts(findings: Findings, files: Sequence[Path], told: Mapping[str, Sequence[JournalArchived]]) -> dict[str, Path]:
    """The files that the journals tell of, by the hash of their last event."""
    reached = findings["journal_reaches_heads"]
    found: dict[str, Path] = {}
    for path in files:
        problem = ""
        try:
            part = read_head(path)
            event = next((e for e in told.get(part.station_id, ()) if e.last_hash == part.hash), None)
            if event is None or (event.first_seq, event.last_seq) != (part.first_seq, part.last_seq):
                problem = f"{path.name}: the journal of {part.station_id} tells of no such archive"
            elif event.sha256 != file_hash(path):
                problem = f"{path.name}: is not the file that the journal of {part.station_id} tells of (sha256)"
            else:
                found[part.hash] = path
        except (ArchiveDamaged, OSError) as error:
            problem = str(error)
        reached.look(not problem, problem)
    return found


def _show(db: Session, findings: Findings, shown: Mapping[str, int], files: Sequence[Path]) -> None:
    """Put the events of files before the eyes of this session."""
    chained = findings["journal_chained"]
    connection = db.connection()
    events = Table(
        "archived_event",
        MetaData(),
        *(Column(column.name, column.type, primary_key=column.primary_key) for column in _EVENTS.columns),
        Index("archived_event_swap", "station_id", "swap_id", "seq"),
        Index("archived_event_pack", "station_id", "pack_id", "seq"),
        prefixes=["TEMPORARY"],
    )
    events.create(connection)
    for path in files:
        try:
            for lot in _lots(read_part(path)):
                connection.execute(insert(events), [event_values(entry, stored) for entry, stored in lot])
        except ArchiveDamaged as error:
            chained.look(False, str(error))
    schema = "main" if connection.dialect.name == "sqlite" else connection.dialect.default_schema_name
    names = ", ".join(column.name for column in _EVENTS.columns)
    there = f"SELECT {names} FROM {schema}.station_event"
    parts = " OR ".join(f"(station_id = {_quoted(s)} AND seq <= {last})" for s, last in shown.items())
    for row in connection.execute(text(f"{there} WHERE {parts} EXCEPT SELECT {names} FROM archived_event")):
        chained.look(False, f"station {row.station_id}: event {row.seq} is not what its archive holds")
    view = f"{there} WHERE NOT ({parts}) UNION ALL SELECT {names} FROM archived_event"
    connection.execute(text(f"CREATE TEMPORARY VIEW station_event AS {view}"))


def _quoted(name: str) -> str:
    doubled = name.replace("'", "''")
    return f"'{doubled}'"


def _lots(entries: Iterator[tuple[Entry, str]]) -> Iterator[list[tuple[Entry, str]]]:
    while lot := list(islice(entries, _LOT)):
        yield lot
