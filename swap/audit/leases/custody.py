"""Custody and readings: as the journals tell them."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

from sqlmodel import col

from swap.audit.findings import Findings
from swap.audit.leases.contracts import known_actor, persons_known
from swap.audit.rows import Reader
from swap.commerce.custody.spans import PackMove, gaps, vehicle_of
from swap.commerce.seals import row_digest
from swap.messages.commerce import BillIssued
from swap.messages.events import SwapQueued, read_event_text
from swap.messages.packs import PackMoved, PackRead
from swap.tables import CustodyMark, CustodyMove, ReadingRow, StationEvent


def check_custody(reader: Reader, findings: Findings) -> None:
    """Every check of custody and readings. The journals have been walked."""
    _custody(reader, findings)
    _readings(reader, findings)


def _custody(reader: Reader, findings: Findings) -> None:
    told, unbroken = findings["custody_in_journal"], findings["custody_unbroken"]
    marks = {row.station_id: row.seq for row in reader.rows(CustodyMark)}
    newest: Counter[str] = Counter()
    oldest: dict[str, int] = {}
    rows = {(row.station_id, row.seq): row for row in reader.rows(CustodyMove)}
    order = (col(StationEvent.station_id), col(StationEvent.seq))
    for event in reader.rows(StationEvent, col(StationEvent.station_id).in_(list(marks)), order=order, judged=False):
        newest[event.station_id] = max(newest[event.station_id], event.seq)
        oldest.setdefault(event.station_id, event.seq)
        if event.kind != PackMoved.kind or event.pack_id is None:
            continue
        name = f"custody_move {event.station_id}:{event.seq}"
        row = rows.pop((event.station_id, event.seq), None)
        if event.seq > marks[event.station_id]:
            told.wait()
            continue
        if not told.look(row is not None, f"{name}: the move of pack {event.pack_id} was not taken over"):
            continue
        assert row is not None
        try:
            said = read_event_text(event.kind, event.data)
        except ValueError:
            continue  # told by the walk along the journals
        if not isinstance(said, PackMoved):
            continue
        vehicles = [place.split(":")[1] for place in (said.target, said.source) if place.startswith("vehicle:")]
        energy = None if said.energy_kwh is None else round(Decimal(repr(said.energy_kwh)) * 100)
        values = {
            "at": event.at,
            "pack_id": event.pack_id,
            "source": said.source,
            "target": said.target,
            "swap_id": event.swap_id,
            "energy_centi_kwh": energy,
            "vehicle_id": vehicles[0] if vehicles else None,
        }
        told.same(name, f"event {event.seq} of station {event.station_id}", row, values)
    for station_id in {station_id for station_id, _ in rows} - marks.keys():
        told.look(False, f"custody_move: station {station_id} has moves, and no custody_mark (station_id)")
    for station_id, seq in rows:
        foreign = station_id not in newest or seq < oldest[station_id]  # kept elsewhere, or archived
        told.look(foreign, f"custody_move {station_id}:{seq}: no event of a journal tells of it")
    for station_id, seq in marks.items():
        here = station_id not in newest or seq <= newest[station_id]
        told.look(here, f"custody_mark {station_id}: seq is {seq}, its journal ends at {newest[station_id]}")
    moves: dict[str, list[PackMove]] = defaultdict(list)
    for row in reader.rows(CustodyMove, order=(col(CustodyMove.pack_id), col(CustodyMove.at)), judged=False):
        moves[row.pack_id].append(
            PackMove(row.pack_id, row.at, row.station_id, row.seq, row.source, row.target, row.holder_id, row.swap_id)
        )
    for pack_id, own in moves.items():
        wrong = gaps(own)
        unbroken.look(not wrong, f"custody of pack {pack_id} has gaps: {'; '.join(wrong)}")


def _readings(reader: Reader, findings: Findings) -> None:
    found = findings["readings_in_journal"]
    numbers: dict[tuple[str, str, Any], list[int]] = defaultdict(list)
    asked: dict[tuple[str, int], list[Any]] = defaultdict(list)
    persons = persons_known(reader)
    for row in reader.rows(ReadingRow, order=(col(ReadingRow.id),)):
        numbers[row.subject, row.quantity, row.at].append(row.no)
        whole = row_digest(ReadingRow, row._replace(id=None))
        found.look(whole == row.digest, f"reading {row.id} ({row.quantity}) is not what its digest was made from")
        if row.origin != "journal":
            known_actor(findings, persons, f"reading {row.id}", row.actor, row.made_at)
            found.wait()
            continue
        station_id, _, seq = row.actor.rpartition(":")
        if found.look(seq.isdigit() and bool(station_id), f"reading {row.id}: actor is {row.actor}, no event"):
            asked[station_id, int(seq)].append(row)
    for (subject, quantity, at), given in numbers.items():
        found.look(
            sorted(given) == list(range(1, len(given) + 1)),
            f"readings of {subject}, {quantity}, at {at.isoformat()} are numbered (no) {', '.join(map(str, given))}",
        )
    stations = {station_id for station_id, _ in asked}
    known: dict[tuple[str, int], Any] = {}
    for event in reader.rows(StationEvent, col(StationEvent.station_id).in_(sorted(stations)), judged=False):
        if (event.station_id, event.seq) in asked:
            known[event.station_id, event.seq] = event
    oldest: dict[str, int] = {}
    for station_id, seq in known:
        oldest[station_id] = min(oldest.get(station_id, seq), seq)
    for key, rows in asked.items():
        event = known.get(key)
        for row in rows:
            if event is None:
                found.look(
                    key[1] < oldest.get(key[0], key[1] + 1),
                    f"reading {row.id}: actor {row.actor} is no event of a journal",
                )
                continue
            of, values = _readings_of(event)
            value = values.get(row.quantity)
            wanted = None if value is None else round(Decimal(repr(float(value))) * 10_000)
            where = f"event {event.seq} of station {event.station_id}"
            told = {"subject": of, "at": event.at, "value_1e4": wanted, "made_at": event.at}
            found.same(f"reading {row.id} ({row.quantity})", where, row, told)


def _readings_of(event: Any) -> tuple[str | None, dict[str, float]]:
    """Whose readings an event tells, by their name; nothing for one that tells of none, or cannot be read."""
    try:
        said = read_event_text(event.kind, event.data)
    except ValueError:
        return None, {}  # told by the walk along the journals
    if isinstance(said, PackRead):
        return event.pack_id, said.quantities()
    if isinstance(said, PackMoved) and said.odometer_km is not None:
        return vehicle_of(said.target) or vehicle_of(said.source), {"odometer_km": said.odometer_km}
    if isinstance(said, SwapQueued) and said.odometer_km is not None:
        return said.vehicle_id, {"odometer_km": said.odometer_km}
    if isinstance(said, BillIssued):
        prices = {line.unit_price_1e4_yuan for line in said.lines if line.kind == "energy"}
        return event.swap_id, {"energy_price": prices.pop() / 10_000} if len(prices) == 1 else {}
    return None, {}
