"""Packs, and who holds what, as it is on record: in rows where their station lives in the database, else in what the
journals of stations that live elsewhere tell of their files."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlmodel import col, select

from swap.commerce.custody.spans import station_of, vehicle_of
from swap.commerce_db import AnyDb
from swap.config.register_rows import KEPT_ELSEWHERE
from swap.lots import lots
from swap.messages.events import FileTaken
from swap.tables import Pack, Station, StationEvent, VehicleRow


@dataclass(frozen=True, slots=True)
class PackOnRecord:
    """What does not change as a pack moves."""

    pack_id: str
    kind: str
    owner_id: str
    rated_kwh: Decimal
    soh_pct: Decimal | None = None
    """Of the row; None where only a journal tells of it, which has readings."""


class FilesTold:
    """What station files said of rows, by instant, as the journals of certain stations tell it."""

    def __init__(self, files: Iterable[tuple[datetime, FileTaken]]) -> None:
        """Of files, oldest first."""
        self._said: dict[tuple[str, str, str], list[tuple[datetime, Any]]] = defaultdict(list)
        self._ids: dict[str, set[str]] = defaultdict(set)
        for at, file in files:
            for row in file.rows:
                self._ids[row.table].add(row.id)
                for column, value in row.values.items():
                    self._said[row.table, row.id, column].append((at, value))

    def ids(self, table: str) -> list[str]:
        """The rows that were told, in order."""
        return sorted(self._ids[table])

    def value(self, table: str, key: str, column: str, at: datetime | None = None) -> Any:
        """A column as it was last told up to an instant, or ever; None where it was not."""
        said = self._said.get((table, key, column), [])
        place = len(said) if at is None else bisect_right(said, at, key=lambda one: one[0])
        return said[place - 1][1] if place else None


def files_told(db: AnyDb, stations: Sequence[str]) -> FilesTold:
    """What the journals of stations tell of their files; at one instant by station and number."""
    query = select(StationEvent.at, StationEvent.data).where(
        StationEvent.kind == FileTaken.kind, col(StationEvent.station_id).in_(stations)
    )
    ordered = query.order_by(col(StationEvent.at), col(StationEvent.station_id), col(StationEvent.seq))
    return FilesTold((at, FileTaken.read(data)) for at, data in db.exec(ordered))


def elsewhere(db: AnyDb) -> tuple[list[str], bool]:
    """Stations of which only the journal is here; and whether any lives here, so that there are rows of packs."""
    known = db.exec(select(Station.id, Station.mode_reason).order_by(col(Station.id))).all()
    away = [station_id for station_id, reason in known if reason == KEPT_ELSEWHERE]
    return away, len(away) < len(known)


def packs_on_record(
    db: AnyDb, packs: Iterable[str] | None = None, *, owner_id: str | None = None
) -> dict[str, PackOnRecord]:
    """Packs by id, those named or all, of one owner or of any; rows count before what journals tell."""
    wanted = None if packs is None else sorted(set(packs))
    away, here = elsewhere(db)
    found: dict[str, PackOnRecord] = {}
    if away:
        told = files_told(db, away)
        for pack_id in told.ids("pack") if wanted is None else wanted:
            values = [told.value("pack", pack_id, column) for column in ("kind", "owner_id", "rated_kwh")]
            if None not in values:
                kind, owner, rated_kwh = values
                found[pack_id] = PackOnRecord(pack_id, kind, owner, Decimal(repr(float(rated_kwh))))
    if here:
        found |= {pack.pack_id: pack for pack in _rows(db, wanted, owner_id)}
    return {key: pack for key, pack in found.items() if owner_id is None or pack.owner_id == owner_id}


def _rows(db: AnyDb, wanted: Sequence[str] | None, owner_id: str | None) -> Iterator[PackOnRecord]:
    query = select(Pack.id, Pack.kind, Pack.owner_id, Pack.rated_kwh, Pack.soh_pct)  # type: ignore[call-overload]
    if owner_id is not None and wanted is None:
        query = query.where(Pack.owner_id == owner_id)
    some = [query] if wanted is None else [query.where(col(Pack.id).in_(lot)) for lot in lots(wanted)]
    for asked in some:
        for row in db.exec(asked):
            yield PackOnRecord(row.id, row.kind, row.owner_id, _decimal(row.rated_kwh), _decimal(row.soh_pct))


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value)))


class Holders:
    """Who holds what is in a place: the fleet of a vehicle, the operator of a station, else the owner of the pack.

    Of a station that lives elsewhere as its files told it at the instant; else as the rows are now.
    """

    def __init__(self, db: AnyDb) -> None:
        self._db = db
        self._away, self._here = elsewhere(db)
        self._told = files_told(db, self._away) if self._away else FilesTold(())
        self._rows: dict[tuple[str, str], str | None] = {}

    def holder(self, station_id: str, pack_id: str, place: str, at: datetime) -> str:
        """The holder that the journal of a station means; "unknown" where nothing tells it."""
        vehicle_id, in_station = vehicle_of(place), station_of(place)
        found: str | None = None
        if vehicle_id is not None:
            found = self._value(station_id, "vehicle", vehicle_id, "fleet_id", at)
        elif in_station is not None:
            found = self._value(station_id, "station", in_station, "operator_id", at)
        if found is None:
            found = self._value(station_id, "pack", pack_id, "owner_id", at)
        return found or "unknown"

    def _value(self, station_id: str, table: str, key: str, column: str, at: datetime) -> str | None:
        if station_id in self._away:
            told: str | None = self._told.value(table, key, column, at)
            if told is not None:
                return told
        if (table, key) not in self._rows:
            self._rows[table, key] = self._row(table, key)
        return self._rows[table, key]

    def _row(self, table: str, key: str) -> str | None:
        if table == "vehicle":
            return self._db.exec(select(VehicleRow.fleet_id).where(VehicleRow.id == key)).first()
        if table == "station":
            return self._db.exec(select(Station.operator_id).where(Station.id == key)).first()
        return self._db.exec(select(Pack.owner_id).where(Pack.id == key)).first() if self._here else None
