"""What a station file says of the register, beside what the register holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session, SQLModel, select

from swap.config.station_file import StationConfig
from swap.messages.events import FileTaken, TakenRow
from swap.tables import Pack, PackKindRow, Party, Station, VehicleModelRow, VehicleRow

_TOLD: dict[str, tuple[str, ...]] = {
    "party": ("kind", "name_zh", "name_en"),
    "pack_kind": ("rated_kwh", "ratings"),
    "vehicle_model": ("swap_mode", "packs_per_vehicle", "pack_kinds"),
    "vehicle": ("tag", "model", "fleet_id"),
    "station": ("name_zh", "name_en", "timezone", "operator_id"),
    "bay": ("name", "position", "role"),
    "pack": ("kind", "owner_id", "rated_kwh"),
}
"""Columns that are the station file's word, by table."""

_REGISTER: dict[str, type[SQLModel]] = {
    str(table.__tablename__): table for table in (Party, PackKindRow, VehicleModelRow, VehicleRow, Station)
}
"""What journals tell of the register and of whose a station is, in the order in which rows point at each other."""


_FIRM_OF = {"vehicle": "fleet_id", "station": "operator_id"}


KEPT_ELSEWHERE = "kept elsewhere"
"""Reason of the mode of a station of which a database has the journal only."""


def take_told(db: Session, files: Iterable[FileTaken], at: datetime) -> dict[tuple[str, str], str]:
    """Bring the register to what journals tell of station files; the last word counts.

    Stations of one database tell a firm once, in the journal of whichever knew it first. So a row may name a firm that
    only another journal tells: it is left out until that one is here.

    Args:
        files: oldest first.
        at: now; a station that is new is kept elsewhere from then on.

    Returns:
        The firm that is missing, by table and id of each row that was left out.
    """
    missing: dict[tuple[str, str], str] = {}
    told: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in _REGISTER}
    for file in files:
        for row in file.rows:
            if row.table in told:
                told[row.table].setdefault(row.id, {}).update(row.values)
    tags = {values["tag"] for values in told["vehicle"].values() if "tag" in values}
    for number, vehicle in enumerate(db.exec(select(VehicleRow)), start=1):
        if vehicle.tag in tags and told["vehicle"].get(vehicle.id, {}).get("tag", vehicle.tag) != vehicle.tag:
            vehicle.tag = -number  # vehicles may exchange their tags
    db.flush()
    for name, table in _REGISTER.items():
        for key, values in told[name].items():
            firm = values.get(_FIRM_OF.get(name, ""))
            if firm is not None and db.get(Party, firm) is None:
                missing[name, key] = firm
                continue
            known = db.get(table, key)
            if known is None:
                held = {"mode": "held", "mode_reason": KEPT_ELSEWHERE, "mode_since_at": at}
                db.add(table(id=key, **values, **(held if table is Station else {})))
            else:
                for column, value in values.items():
                    if getattr(known, column) != value:
                        setattr(known, column, value)
        db.flush()
    return missing


class RegisterImport:
    """Brings in what is new. What contradicts a row is a problem, or with `take` becomes the row.

    Args:
        take: a person has chosen the file's word.
    """

    def __init__(self, db: Session, config: StationConfig, *, take: bool) -> None:
        self.db = db
        self.config = config
        self.take = take
        self.added: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self.problems: list[str] = []
        self.taken: dict[tuple[str, str], dict[str, Any]] = {}
        """What the file has brought into rows, by table and id, for the journal."""

    def add(self, row: SQLModel) -> None:
        """A new row."""
        self.db.add(row)
        self.added[str(row.__tablename__)] += 1
        self.tell(row, _TOLD[str(row.__tablename__)])

    def tell(self, row: SQLModel, names: Iterable[str]) -> None:
        """The journal is to have these columns as the row has them now."""
        key: str = row.id  # type: ignore[attr-defined]
        told = self.taken.setdefault((str(row.__tablename__), key), {})
        told |= {name: getattr(row, name) for name in names}

    def events(self) -> tuple[FileTaken, ...]:
        """What the journal is told: one event, or none where the file brought nothing."""
        rows = tuple(TakenRow(table=table, id=key, values=told) for (table, key), told in self.taken.items())
        return (FileTaken(rows=rows),) if rows else ()

    def agree(self, row: SQLModel, what: str, **values: object) -> None:
        """Compare a row with the file: take the file's word, or note what differs."""
        different = {name: value for name, value in values.items() if getattr(row, name) != value}
        if different and self.take:
            for name, value in different.items():
                setattr(row, name, value)
            self.db.add(row)
            self.changed[str(row.__tablename__)] += 1
            self.tell(row, different)
        elif different:
            said = "; ".join(
                f"{name} {value!r} in the file, {getattr(row, name)!r}" for name, value in different.items()
            )
            self.problems.append(
                f"{what}: {said} in the register; mend the file, or take its word with `swap register import`"
            )

    def all(self) -> None:
        """Everything, in the order in which rows point at each other."""
        self.parties()
        self.kinds()
        self.models()
        self.vehicles()
        self.owners()

    def parties(self) -> None:
        """Firms."""
        for party in self.config.parties:
            values = {"kind": party.kind, "name_zh": party.name_zh, "name_en": party.name_en}
            row = self.db.get(Party, party.id)
            if row is None:
                self.add(Party(id=party.id, **values))
            else:
                self.agree(row, f"party {party.id}", **values)
        self.db.flush()

    def kinds(self) -> None:
        """Kinds of packs with their ratings."""
        for kind in self.config.pack_kinds:
            ratings = kind.model_dump(mode="json")
            row = self.db.get(PackKindRow, kind.id)
            if row is None:
                self.add(PackKindRow(id=kind.id, rated_kwh=kind.rated_kwh, ratings=ratings))
            else:
                # A rating that the register does not know yet is new, not a contradiction.
                self.agree(row, f"pack kind {kind.id}", ratings=_over(row.ratings, ratings, take=self.take))
                filled = _filled(row.ratings, ratings)
                if filled != row.ratings or row.rated_kwh != filled["rated_kwh"]:
                    row.ratings, row.rated_kwh = filled, filled["rated_kwh"]
                    self.tell(row, ("ratings", "rated_kwh"))
        self.db.flush()

    def models(self) -> None:
        """Vehicle models."""
        for model in self.config.vehicle_models:
            row = self.db.get(VehicleModelRow, model.id)
            if row is None:
                self.add(
                    VehicleModelRow(
                        id=model.id,
                        swap_mode=model.swap_mode,
                        packs_per_vehicle=model.packs_per_vehicle,
                        pack_kinds=list(model.pack_kinds),
                    )
                )
            else:
                self.agree(
                    row,
                    f"vehicle model {model.id}",
                    swap_mode=model.swap_mode,
                    packs_per_vehicle=model.packs_per_vehicle,
                    pack_kinds=list(model.pack_kinds),
                )
        self.db.flush()

    def vehicles(self) -> None:
        """Vehicles; two may exchange their tags."""
        rows = {row.id: row for row in self.db.exec(select(VehicleRow))}
        known = {vehicle.id for vehicle in self.config.vehicles}
        others = {row.tag: row.id for row in rows.values() if row.id not in known}
        if self.take:  # old tags are taken off before any new one is put on
            for number, vehicle in enumerate(self.config.vehicles, start=1):
                if vehicle.id in rows and rows[vehicle.id].tag != vehicle.tag:
                    rows[vehicle.id].tag = -number
            self.db.flush()
        for vehicle in self.config.vehicles:
            if vehicle.tag in others:
                self.problems.append(
                    f"vehicle {vehicle.id}: tag {vehicle.tag} is that of {others[vehicle.tag]}, "
                    "which is not in the file"
                )
                continue
            row = rows.get(vehicle.id)
            if row is None:
                if not any(other.tag == vehicle.tag for other in rows.values()):
                    self.add(VehicleRow(id=vehicle.id, tag=vehicle.tag, model=vehicle.model, fleet_id=vehicle.fleet))
                continue  # the tag is on one that the file gives another: told there
            self.agree(row, f"vehicle {vehicle.id}", tag=vehicle.tag, model=vehicle.model, fleet_id=vehicle.fleet)
        if not self.problems:
            self.db.flush()

    def owners(self) -> None:
        """Whose the packs are that the register knows; a pack keeps its kind."""
        for pack in self.config.packs:
            row = self.db.get(Pack, pack.id)
            if row is None:
                continue
            if row.kind != pack.kind:
                self.problems.append(
                    f"pack {pack.id}: kind {pack.kind!r} in the file, {row.kind!r} in the database; "
                    "a pack keeps its kind, give the new one its own code"
                )
                continue
            rated_kwh = self.config.pack_kind(pack.kind).rated_kwh
            self.agree(row, f"pack {pack.id}", owner_id=pack.owner, rated_kwh=rated_kwh)


def _over(stored: Mapping[str, Any], given: Mapping[str, Any], *, take: bool) -> dict[str, Any]:
    """The file's word on what is stored already, part by part; with `take` the file's word on everything."""
    if take:
        return dict(given)
    return {
        key: _over(value, given[key], take=False)
        if isinstance(value, Mapping) and isinstance(given.get(key), Mapping)
        else given.get(key, value)
        for key, value in stored.items()
    }


def _filled(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored, and from the file what is not."""
    filled = {
        key: _filled(value, given[key]) if isinstance(value, Mapping) and isinstance(given.get(key), Mapping) else value
        for key, value in stored.items()
    }
    return filled | {key: value for key, value in given.items() if key not in stored}
