"""After a restart, manual work or a confirmation: compare what is on record with what the cell and the BMS see.

The comparison is a pure function; storing its findings blocks bays and quarantines packs. A difference never
turns into a guess: it goes to a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select

from battery_bms.port import PackReading
from robotics.port import CellStatus, Signal
from swap.events import append_event
from swap.messages.events import Reconciled
from swap.station.faults import raise_fault
from swap.station.inventory import block_bay, quarantine
from swap.station.records import qualified
from swap.station_db import StationDb as Db
from swap.tables import Bay, Pack


@dataclass(frozen=True, slots=True)
class BayOnRecord:
    """A bay as on record."""

    name: str
    position: int
    pack_id: str | None
    in_motion: bool
    """A swap under way may be filling or emptying it: the swap's own step resolves it."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A place where the record and the sensors differ."""

    where: str
    """`bay:A3` or `gripper:L1`."""
    expected: str
    found: str


def compare(
    bays: Iterable[BayOnRecord],
    occupied: Mapping[int, bool | None],
    readings: Mapping[str, PackReading],
    grippers: Mapping[str, tuple[str | None, bool | None, bool]],
) -> list[Mismatch]:
    """Every difference between record and sensors; what is unknown is no difference.

    Args:
        occupied: occupancy sensor by bay position.
        readings: fresh BMS readings by bay.
        grippers: by lane: pack on record, sensor, and whether a swap under way may be moving one.
    """
    found: list[Mismatch] = []
    for bay in bays:
        if bay.in_motion:
            continue
        seen = occupied.get(bay.position)
        if seen is not None and seen is not (bay.pack_id is not None):
            found.append(Mismatch(f"bay:{bay.name}", bay.pack_id or "empty", "occupied" if seen else "empty"))
            continue
        reading = readings.get(bay.name)
        code = reading.pack_id if reading is not None else None
        if code is not None and code != bay.pack_id:
            found.append(Mismatch(f"bay:{bay.name}", bay.pack_id or "empty", code))
    for lane, (pack_id, loaded, moving) in grippers.items():
        if not moving and loaded is not None and loaded is not (pack_id is not None):
            found.append(Mismatch(f"gripper:{lane}", pack_id or "empty", "loaded" if loaded else "empty"))
    return found


def reconcile(
    db: Db,
    *,
    station_id: str,
    at: datetime,
    actor: str,
    positions: Mapping[str, int],
    in_motion: set[str],
    busy_lanes: set[str],
    occupied: Mapping[int, bool | None],
    readings: Mapping[str, PackReading],
    cells: Mapping[str, CellStatus],
) -> list[Mismatch]:
    """Compare, store every difference, and return them. Call inside a transaction."""
    packs = {
        p.bay_id: p for p in db.exec(select(Pack).where(col(Pack.bay_id).is_not(None))).all() if p.bay_id is not None
    }
    held = {p.gripper_lane_id: p.id for p in db.exec(select(Pack).where(col(Pack.gripper_lane_id).is_not(None))).all()}
    records = []
    for name, position in positions.items():
        key = qualified(station_id, name)
        pack = packs.get(key)
        records.append(BayOnRecord(name, position, pack.id if pack else None, key in in_motion))
    grippers = {
        lane: (held.get(qualified(station_id, lane)), cell.signals.get(Signal.GRIPPER_LOADED), lane in busy_lanes)
        for lane, cell in cells.items()
    }
    mismatches = compare(records, occupied, readings, grippers)
    for item in mismatches:
        data = {"where": item.where, "expected": item.expected, "found": item.found}
        raise_fault(db, station_id=station_id, name="record_mismatch", source=item.where, at=at, data=data)
        kind, name = item.where.split(":", 1)
        if kind == "bay":
            key = qualified(station_id, name)
            pack = packs.get(key)
            if pack is not None and pack.state != "quarantined":
                quarantine(db, pack, "record_mismatch", station_id=station_id, at=at)
            elif db.get(Bay, key) is not None:
                block_bay(db, key, "record_mismatch", at=at)
    append_event(
        db,
        Reconciled(
            examined=len(records) + len(grippers),
            mismatches=tuple(f"{m.where}: {m.expected} / {m.found}" for m in mismatches),
        ),
        station_id=station_id,
        at=at,
        actor=actor,
    )
    return mismatches
