"""Journals of stations in a database that holds none of their rows: taken in from exported lines, and billed there.

Lines come late, twice, and in any order. Each is looked through before it counts: its hash, its number, the hash of the
event before it. What is behind a gap or a damaged line is not taken; it is told, and waits to be given again together
with what is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import insert
from sqlmodel import col, select

from swap.commerce.bills.elsewhere import bill_from_journal
from swap.commerce.bills.terms import BillingTerms
from swap.commerce.demand_response import charge_settlements
from swap.commerce.journal_fees import fees_from_journal
from swap.commerce.posting import post_charges, post_unposted
from swap.commerce.strandings import charge_strandings
from swap.config.register_rows import KEPT_ELSEWHERE, take_told
from swap.errors import Conflict
from swap.journal.chain import BEGINNING, event_values
from swap.journal.heads import NotedHead, Outline, compare
from swap.journal.lines import JournalLine, KnownHead, follow
from swap.lots import lots
from swap.messages.events import FileTaken, RecordBegun
from swap.rights import EVERYBODY, SwapRights
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Station, StationEvent
from swap.words import N_


@dataclass(slots=True)
class JournalsTaken:
    """What an import has done."""

    events: dict[str, int] = field(default_factory=dict)
    """New events by station."""
    repeated: int = 0
    waiting: int = 0
    """Lines that were not taken, since what is before them is missing or damaged."""
    bills: list[str] = field(default_factory=list)
    fees: list[str] = field(default_factory=list)
    """Bookings whose no-show fee was charged."""
    strandings: list[str] = field(default_factory=list)
    """Swaps that were charged as those of trucks below their reach, in spite of arrears."""
    settlements: list[str] = field(default_factory=list)
    """Events of demand response whose settlement was charged."""
    posted: int = 0
    problems: list[str] = field(default_factory=list)
    """What is wrong, for people: damaged, foreign and contradicting lines, gaps, bills that could not be made."""


def import_journals(
    store: Store,
    lines: Iterable[JournalLine | str],
    at: datetime,
    *,
    stations: Collection[str] | None = None,
    terms: BillingTerms | None = None,
    rights: SwapRights = EVERYBODY,
    heads: Collection[NotedHead] = (),
    issue: bool = False,
) -> JournalsTaken:
    """Take lines in, make the bills and charges that the journals tell of, and post them.

    Args:
        lines: of `swap.journal.lines.read_files`; a text is a line that is damaged.
        at: now.
        stations: lines of others are foreign; None where all are taken.
        terms: says how each swap is billed; the station's prices do where none is given.
        rights: says what a truck that did not come owes; the station's rules do where none is given.
        heads: written down at the stations; a journal that has another hash at one of their numbers is not taken in,
            and one that ends before is told.
        issue: swaps that the station has not billed are billed here.

    Raises:
        DatabaseAway: the database cannot be used now; what was taken stays, and the import may be done again.
    """
    report = JournalsTaken()
    by_station: dict[str, list[JournalLine]] = defaultdict(list)
    for line in lines:
        if isinstance(line, str):
            report.problems.append(line)
        elif stations is not None and line.entry.station_id not in stations:
            report.problems.append(
                f"{line.where}: event {line.entry.seq} is of station {line.entry.station_id}; "
                f"taken are {', '.join(sorted(stations))}"
            )
        else:
            by_station[line.entry.station_id].append(line)
    followed: dict[str, tuple[JournalLine, ...]] = {}
    refused = set[str]()
    for station_id in sorted(by_station):
        own = _continuing(store, station_id, by_station[station_id], report)
        anew = _anew(store, station_id, own, heads)
        if anew:  # hashed anew somewhere: which of its events are true is a person's question
            report.problems += anew
            report.waiting += len(own)
            refused.add(station_id)
        elif own:
            followed[station_id] = own
    _take_register(store, followed, at, report)
    for station_id, own in followed.items():
        report.events[station_id] = _take(store, station_id, own)
    kept = _kept_elsewhere(store)
    for station_id in kept:
        _bill(store, station_id, at, terms, report, issue=issue)
        fees = fees_from_journal(store, station_id, rights)
        report.fees += fees.bookings
        strandings = charge_strandings(store, station_id)
        report.strandings += strandings.swaps
        settlements = charge_settlements(store, station_id)
        report.settlements += settlements.events
        report.problems += fees.failed + strandings.failed + settlements.failed
    if kept:
        report.posted += post_charges(store, at)
    for station_id in sorted({head.station_id for head in heads} & set(kept) - refused):
        with store.reading_station(station_id) as db:
            told = _against(heads, station_id, _outline(db, heads, ()))
        report.problems += [problem for problem in told if problem not in report.problems]
    return report


def _continuing(
    store: Store, station_id: str, lines: Sequence[JournalLine], report: JournalsTaken
) -> tuple[JournalLine, ...]:
    """The lines that continue the journal of a station as it is here."""
    with store.reading_station(station_id) as db:
        station = db.get(Station, station_id)
        if station is not None and station.mode_reason != KEPT_ELSEWHERE:
            report.problems.append(f"station {station_id} lives in this database: its journal is taken from no file")
            return ()
        newest = db.newest_event()
        known = KnownHead(*BEGINNING) if newest is None else KnownHead(newest.seq, newest.hash, newest.epoch)
        earlier: dict[int, str] = {}
        for lot in lots(sorted({line.entry.seq for line in lines if line.entry.seq <= known.seq})):
            query = select(StationEvent.seq, StationEvent.hash).where(col(StationEvent.seq).in_(lot))
            earlier |= dict(db.exec(query).all())
    found = follow(known, lines, earlier)
    report.repeated += found.repeated
    report.waiting += found.waiting
    report.problems += found.problems
    return found.lines


def _anew(store: Store, station_id: str, new: Sequence[JournalLine], heads: Collection[NotedHead]) -> list[str]:
    """Where a journal, with lines that continue it, has another hash than a head that was written down."""
    with store.reading_station(station_id) as db:
        outline = _outline(db, heads, new)
    return _against([head for head in heads if head.seq <= outline.last_seq], station_id, outline)


def _outline(db: StationDb, heads: Collection[NotedHead], new: Sequence[JournalLine]) -> Outline:
    """A journal as heads are compared with it: as it is here, and with lines that continue it."""
    newest, hashes = db.newest_event(), dict[int, tuple[int, str]]()
    asked = sorted({head.seq for head in heads} | ({newest.seq} if newest is not None else set()))
    for lot in lots(asked):
        query = select(StationEvent.seq, StationEvent.epoch, StationEvent.hash).where(col(StationEvent.seq).in_(lot))
        hashes |= {seq: (epoch, found) for seq, epoch, found in db.exec(query)}
    hashes |= {line.entry.seq: (line.entry.epoch, line.hash) for line in new}
    begun = [(event.epoch, event.seq) for event in db.events(RecordBegun)]
    begun += [(line.entry.epoch, line.entry.seq) for line in new if line.entry.kind == RecordBegun.kind]
    return Outline(hashes, begun)


def _against(heads: Collection[NotedHead], station_id: str, outline: Outline) -> list[str]:
    """What heads of a station say against its journal."""
    told = (compare(head, outline) for head in heads if head.station_id == station_id)
    return [problem for problem in told if problem is not None]


def _take_register(
    store: Store, followed: dict[str, tuple[JournalLine, ...]], at: datetime, report: JournalsTaken
) -> None:
    """Bring firms, vehicles and stations to what all journals tell of them, those here and those to be taken."""
    new = [line for own in followed.values() for line in own if line.entry.kind == FileTaken.kind]
    with store.commerce() as db:
        known = db.exec(select(StationEvent).where(StationEvent.kind == FileTaken.kind)).all() if new else []
        files = [((row.at, row.station_id, row.seq), FileTaken.read(row.data)) for row in known]
        files += [
            ((one.entry.at, one.entry.station_id, one.entry.seq), FileTaken.read_text(one.entry.data)) for one in new
        ]
        missing = take_told(db, [file for _, file in sorted(files, key=lambda one: one[0])], at)
        for (table, key), firm in sorted(missing.items()):
            report.problems.append(
                f"{table} {key}: its firm {firm} is told by the journal of another station; import that one too, or "
                "bring the firm in with `swap register import`"
            )
        for station_id in list(followed):
            if db.get(Station, station_id) is None:
                report.waiting += len(followed.pop(station_id))
                if ("station", station_id) not in missing:
                    report.problems.append(
                        f"station {station_id}: its journal tells of no station file (file.taken); an earlier release "
                        "began it, so it cannot be taken in"
                    )


def _take(store: Store, station_id: str, lines: Sequence[JournalLine]) -> int:
    """Append to the journal of a station what continues it; how many events. Another import may have been faster."""
    with store.station(station_id) as db:
        newest = db.newest_event()
        after = 0 if newest is None else newest.seq
        new = [line for line in lines if line.entry.seq > after]
        if new and newest is not None and new[0].entry.prev_hash != newest.hash:
            raise Conflict(
                N_("the journal of station {station_id} was taken in by another import; import again"),
                station_id=station_id,
            )
        for lot in lots(new):
            db.execute(insert(StationEvent), [event_values(line.entry, line.hash) for line in lot])
    return len(new)


def _kept_elsewhere(store: Store) -> tuple[str, ...]:
    with store.reading_commerce() as db:
        query = select(Station.id).where(Station.mode_reason == KEPT_ELSEWHERE)
        return tuple(db.exec(query.order_by(col(Station.id))))


def _bill(
    store: Store, station_id: str, at: datetime, terms: BillingTerms | None, report: JournalsTaken, *, issue: bool
) -> None:
    made = bill_from_journal(store, station_id, terms=terms, issue_at=at if issue else None)
    report.bills += made.bills
    report.problems += [str(error) for error in made.failed]
    report.posted += post_unposted(store, station_id, at)
