"""What the checks look at: every row, read once, and the journal sorted by subject."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Text, type_coerce
from sqlalchemy import select as sql_select
from sqlmodel import Session, SQLModel, col, select

from swap.journal.chain import ChainVerdict, Entry, walk
from swap.journal.heads import NotedHead, Outline
from swap.messages.events import AnyEvent, Event, JournalEpoch, read_event
from swap.tables import (
    Bay,
    Bill,
    BillLine,
    Booking,
    ChargeSession,
    FaultRow,
    Pack,
    RobotCommandRow,
    Station,
    StationEvent,
    Swap,
    SwapSeat,
    VehicleRow,
)

K = TypeVar("K")
V = TypeVar("V")
E = TypeVar("E", bound=Event)
Row = TypeVar("Row", bound=SQLModel)

Legality = Callable[[str | None, int, Sequence[tuple[str, str]]], str | None]
"""(recipe, packs per vehicle, steps as (state, following state)) → what is wrong with them, or None."""


@dataclass
class Finding:
    """Filled by one check."""

    examined: int = 0
    pending: int = 0
    violations: list[str] = field(default_factory=list)

    def look(self, holds: object, otherwise: str) -> bool:
        """Count one item; note the violation when it does not hold. Gives back whether it holds."""
        self.examined += 1
        if not holds:
            self.violations.append(otherwise)
        return bool(holds)


def grouped(items: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    """Items by key, in their order."""
    groups: dict[K, list[V]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


@dataclass(frozen=True)
class Records:
    """All rows at one instant."""

    legal: Legality
    heads: Sequence[NotedHead]
    """Heads that were written down outside of the database."""
    unreadable_heads: Sequence[str]
    stations: dict[str, Station]
    vehicles: dict[str, VehicleRow]
    bays: dict[str, Bay]
    packs: dict[str, Pack]
    bookings: dict[str, Booking]
    swaps: dict[str, Swap]
    seats: dict[str, list[SwapSeat]]
    """By swap, in seat order."""
    commands: list[RobotCommandRow]
    """In the order of issue."""
    sessions: list[ChargeSession]
    bills: dict[str, Bill]
    lines: dict[str, list[BillLine]]
    """By bill, in line order."""
    faults: list[FaultRow]
    events: list[StationEvent]
    """The journals, station by station, each in order."""
    chains: dict[str, ChainVerdict]
    """By station: what a walk along its chain found."""
    unreadable: list[str]
    """Events whose data does not fit their kind."""
    messages: dict[tuple[str, int], AnyEvent]
    """What the events say, by station and number, but for the unreadable ones."""
    by_swap: dict[str, list[StationEvent]]
    by_pack: dict[str, list[StationEvent]]

    @classmethod
    def load(
        cls, db: Session, legal: Legality, heads: Sequence[NotedHead] = (), unreadable_heads: Sequence[str] = ()
    ) -> Records:
        """Read every row once."""

        def rows(table: type[Row], *order: object) -> list[Row]:
            return list(db.exec(select(table).order_by(*order)))  # type: ignore[arg-type]

        stations = {row.id: row for row in rows(Station, col(Station.id))}
        events: list[StationEvent] = []
        unreadable: list[str] = []
        messages: dict[tuple[str, int], AnyEvent] = {}
        chains = {}
        for station in stations:
            journal = _kept(_stored(db, station), events)
            chains[station] = walk(journal)
            for _ in journal:  # a walk ends at the first break; the other checks look at all
                pass
        for event in events:
            try:
                messages[event.station_id, event.seq] = read_event(event.kind, event.data)
            except ValueError:
                unreadable.append(f"station {event.station_id}, event {event.seq} ({event.kind}) is not understood")
        return cls(
            legal=legal,
            heads=heads,
            unreadable_heads=unreadable_heads,
            stations=stations,
            vehicles={row.id: row for row in rows(VehicleRow)},
            bays={row.id: row for row in rows(Bay)},
            packs={row.id: row for row in rows(Pack, col(Pack.id))},
            bookings={row.id: row for row in rows(Booking, col(Booking.created_at))},
            swaps={row.id: row for row in rows(Swap, col(Swap.arrived_at), col(Swap.id))},
            seats=grouped(rows(SwapSeat, col(SwapSeat.seat)), lambda seat: seat.swap_id),
            commands=rows(RobotCommandRow, col(RobotCommandRow.id)),
            sessions=rows(ChargeSession, col(ChargeSession.started_at), col(ChargeSession.id)),
            bills={row.id: row for row in rows(Bill, col(Bill.issued_at), col(Bill.id))},
            lines=grouped(rows(BillLine, col(BillLine.line_no)), lambda line: line.bill_id),
            faults=rows(FaultRow, col(FaultRow.id)),
            events=events,
            chains=chains,
            unreadable=unreadable,
            messages=messages,
            by_swap=grouped((e for e in events if e.swap_id), lambda e: e.swap_id or ""),
            by_pack=grouped((e for e in events if e.pack_id), lambda e: e.pack_id or ""),
        )

    def said(self, row: StationEvent) -> AnyEvent | None:
        """What an event says; None for one that is not understood, which `journal_understood` tells of."""
        return self.messages.get((row.station_id, row.seq))

    def told(self, *models: type[E], of: Iterable[StationEvent] | None = None) -> list[tuple[StationEvent, E]]:
        """The events of some models with what they say, in order: all, or those of some rows."""
        pairs = ((row, self.said(row)) for row in (self.events if of is None else of))
        return [(row, said) for row, said in pairs if isinstance(said, models)]

    def exchanged(self, swap_id: str) -> list[SwapSeat]:
        """The seats that a swap exchanged."""
        return [seat for seat in self.seats.get(swap_id, []) if seat.exchanged]

    def completed(self) -> list[Swap]:
        """Completed swaps in the order of their end."""
        done = [swap for swap in self.swaps.values() if swap.state == "completed"]
        return sorted(done, key=lambda swap: (swap.ended_at or swap.arrived_at, swap.id))

    def newest_at(self, station_id: str) -> datetime | None:
        """Instant of a station's newest event: how far its journal has come."""
        return max((event.at for event in self.events if event.station_id == station_id), default=None)

    def outline(self, station_id: str) -> Outline:
        """A station's journal as heads are compared with it."""
        own = [event for event in self.events if event.station_id == station_id]
        began = [(event.epoch, event.seq) for event in own if event.kind == JournalEpoch.kind]
        return Outline({event.seq: (event.epoch, event.hash) for event in own}, began)


def _stored(db: Session, station_id: str) -> Iterator[tuple[Entry, str]]:
    """One station's events in order, each with its hash, `data` in the text that is stored."""
    columns = [
        type_coerce(getattr(StationEvent, name), Text) if name == "data" else getattr(StationEvent, name)
        for name in (*Entry.__slots__, "hash")
    ]
    query = sql_select(*columns).where(col(StationEvent.station_id) == station_id).order_by(col(StationEvent.seq))
    for row in db.execute(query.execution_options(yield_per=1000)):
        yield Entry(*row[:-1]), row[-1]


def _kept(stored: Iterable[tuple[Entry, str]], events: list[StationEvent]) -> Iterator[tuple[Entry, str]]:
    """Passes a journal on, and keeps its events as the checks look at them."""
    for entry, own_hash in stored:
        events.append(_event(entry, own_hash))
        yield entry, own_hash


def _event(entry: Entry, own_hash: str) -> StationEvent:
    try:
        data = json.loads(entry.data)
    except ValueError:
        data = None
    fields = {name: getattr(entry, name) for name in Entry.__slots__} | {"data": data, "hash": own_hash}
    return StationEvent(**fields)
