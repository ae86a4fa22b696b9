"""Bring moves and readings of the journals over into custody: each event once, in any order of stations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import col, select

from swap.commerce.custody.spans import vehicle_of
from swap.commerce.custody.told import Holders
from swap.commerce.seals import sealed
from swap.commerce_db import AnyDb, CommerceDb
from swap.lots import lots
from swap.messages.commerce import BillIssued
from swap.messages.events import SwapQueued, read_event
from swap.messages.packs import PackMoved, PackRead
from swap.store import Store
from swap.tables import CustodyMark, CustodyMove, ReadingRow, Station, StationEvent

AT_ONCE = 50
"""Events that one transaction takes at most: with SQLite the controller waits meanwhile."""
SCALE = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """An event of a journal, from the database or from an export."""

    station_id: str
    seq: int
    at: datetime
    kind: str
    swap_id: str | None
    pack_id: str | None
    data: dict[str, Any]


def take_journals(store: Store, stations: Sequence[str] | None = None) -> int:
    """Take over what the journals of stations tell since the last time; how many events were new.

    Args:
        stations: all of the database where none are named.
    """
    taken = 0
    for station_id in station_ids(store) if stations is None else stations:
        while True:
            with store.reading_commerce() as db:
                mark = _mark(db, station_id)
            with store.reading_station(station_id) as reading:
                rows = reading.exec(
                    select(StationEvent)
                    .where(
                        col(StationEvent.seq) > mark,
                        col(StationEvent.kind).in_([PackMoved.kind, PackRead.kind, BillIssued.kind, SwapQueued.kind]),
                    )
                    .order_by(col(StationEvent.seq))
                    .limit(AT_ONCE)
                ).all()
                events = [
                    JournalEvent(row.station_id, row.seq, row.at, row.kind, row.swap_id, row.pack_id, row.data)
                    for row in rows
                ]
            if not events:
                break
            with store.commerce() as writing:
                if _mark(writing, station_id) == mark:  # else another process was faster
                    take_events(writing, events)
                    taken += len(events)
    return taken


def station_ids(store: Store) -> tuple[str, ...]:
    """Every station of the database."""
    with store.reading_commerce() as db:
        return tuple(db.exec(select(Station.id).order_by(col(Station.id))))


def take_events(db: CommerceDb, events: Iterable[JournalEvent]) -> None:
    """Take events over and move the marks of their stations on; those that are known already are left out."""
    marks: dict[str, int] = {}
    known = dict(db.exec(select(CustodyMark.station_id, CustodyMark.seq)).all())
    holders = Holders(db)
    readings: list[NewReading] = []
    for event in events:
        if event.seq <= max(known.get(event.station_id, 0), marks.get(event.station_id, 0)):
            continue
        marks[event.station_id] = event.seq
        _take(db, event, holders, readings)
    add_readings(db, readings)
    for station_id, seq in marks.items():
        mark = db.get(CustodyMark, station_id)
        if mark is None:
            db.add(CustodyMark(station_id=station_id, seq=seq))
        else:
            mark.seq = seq
            db.add(mark)
    db.flush()


def _mark(db: CommerceDb, station_id: str) -> int:
    mark = db.get(CustodyMark, station_id)
    return 0 if mark is None else mark.seq


def _take(db: CommerceDb, event: JournalEvent, holders: Holders, readings: list[NewReading]) -> None:
    said = read_event(event.kind, event.data)
    origin = f"{event.station_id}:{event.seq}"

    def give(subject: str, quantity: str, value: float) -> None:
        number = Decimal(repr(float(value)))
        readings.append(NewReading(subject, quantity, event.at, number, "journal", origin, event.at))

    if isinstance(said, PackMoved) and event.pack_id is not None:
        energy = None if said.energy_kwh is None else round(Decimal(repr(said.energy_kwh)) * 100)
        db.add(
            CustodyMove(
                station_id=event.station_id,
                seq=event.seq,
                at=event.at,
                pack_id=event.pack_id,
                source=said.source,
                target=said.target,
                vehicle_id=vehicle_of(said.target) or vehicle_of(said.source),
                holder_id=holders.holder(event.station_id, event.pack_id, said.target, event.at),
                swap_id=event.swap_id,
                energy_centi_kwh=energy,
            )
        )
        vehicle_id = vehicle_of(said.target) or vehicle_of(said.source)
        if said.odometer_km is not None and vehicle_id is not None:
            give(vehicle_id, "odometer_km", said.odometer_km)
    elif isinstance(said, PackRead) and event.pack_id is not None:
        for quantity, value in said.quantities().items():
            give(event.pack_id, quantity, value)
    elif isinstance(said, SwapQueued) and said.odometer_km is not None:
        give(said.vehicle_id, "odometer_km", said.odometer_km)
    elif isinstance(said, BillIssued) and said.bill == "swap" and event.swap_id is not None:
        readings += energy_price(said, event.swap_id, event.at, origin)


@dataclass(frozen=True, slots=True)
class NewReading:
    """A reading that is to be put on record."""

    subject: str
    """Vehicle, pack or swap."""
    quantity: str
    at: datetime
    value: Decimal
    """Rounded to 1/10 000 of its unit, finer than any reading."""
    origin: str
    actor: str
    made_at: datetime


def energy_price(bill: BillIssued, swap_id: str, at: datetime, origin: str) -> list[NewReading]:
    """What the energy of a swap costs by its bill, where that is one price; a lease may pass it on."""
    prices = {line.unit_price_1e4_yuan for line in bill.lines if line.kind == "energy"}
    if len(prices) != 1:
        return []
    return [NewReading(swap_id, "energy_price", at, Decimal(prices.pop()) / SCALE, "journal", origin, at)]


def add_readings(db: AnyDb, readings: Sequence[NewReading]) -> int:
    """Put readings on record; how many were new. Another value for an instant that has one counts from then on."""
    last: dict[tuple[str, str, datetime], tuple[int, int | None]] = {}
    for lot in lots(readings):
        query = select(ReadingRow).where(
            col(ReadingRow.subject).in_({one.subject for one in lot}),
            col(ReadingRow.at) >= min(one.at for one in lot),
            col(ReadingRow.at) <= max(one.at for one in lot),
        )
        for row in db.exec(query.order_by(col(ReadingRow.no))):
            last[row.subject, row.quantity, row.at] = row.no, row.value_1e4
    rows = []
    for one in readings:
        key, scaled = (one.subject, one.quantity, one.at), round(one.value * SCALE)
        number, value = last.get(key, (0, None))
        if value == scaled:
            continue
        last[key] = number + 1, scaled
        rows.append(
            sealed(
                ReadingRow(
                    subject=one.subject,
                    quantity=one.quantity,
                    at=one.at,
                    no=number + 1,
                    value_1e4=scaled,
                    origin=one.origin,
                    actor=one.actor,
                    made_at=one.made_at,
                )
            )
        )
    db.add_all(rows)
    db.flush()
    return len(rows)
