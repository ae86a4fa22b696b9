"""What the register knows of a vehicle."""

from __future__ import annotations

from sqlalchemy import Table, bindparam, select
from sqlmodel import Session

from swap.events import connected
from swap.tables import VehicleRow

_VEHICLES: Table = VehicleRow.__table__  # type: ignore[attr-defined]
# Of the table, and made once: each booking asks it.
_MODEL = select(_VEHICLES.c.model).where(_VEHICLES.c.id == bindparam("vehicle"))
_KNOWN = "models_of_vehicles"


def note_model(db: Session, vehicle_id: str, model: str) -> None:
    """A session has read the model of a vehicle, and need not ask for it again."""
    known: dict[str, str] = db.info.setdefault(_KNOWN, {})
    known.setdefault(vehicle_id, model)


def vehicle_model(db: Session, vehicle_id: str) -> str | None:
    """The model of a vehicle, as a session has read it first; None where there is no such vehicle."""
    known: dict[str, str] = db.info.get(_KNOWN, {})
    if vehicle_id in known:
        return known[vehicle_id]
    db.flush()
    found: str | None = connected(db).execute(_MODEL, {"vehicle": vehicle_id}).scalar()
    if found is not None:
        note_model(db, vehicle_id, found)
    return found
