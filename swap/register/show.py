"""What the register holds, as records."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session, select

from swap.tables import PackKindRow, Party, VehicleModelRow, VehicleRow


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class FirmRecord(_Record):
    """A fleet operator, battery owner or station operator."""

    id: str
    kind: str
    name_zh: str
    name_en: str


class PackKindRecord(_Record):
    """A kind of pack."""

    id: str
    rated_kwh: float
    ratings: dict[str, object]


class VehicleModelRecord(_Record):
    """What a vehicle model takes."""

    id: str
    swap_mode: str
    packs_per_vehicle: int
    pack_kinds: list[str]


class VehicleRecord(_Record):
    """One truck."""

    id: str
    tag: int
    model: str
    fleet_id: str


class Register(_Record):
    """The whole register but for persons, who are asked for one by one."""

    firms: tuple[FirmRecord, ...]
    pack_kinds: tuple[PackKindRecord, ...]
    vehicle_models: tuple[VehicleModelRecord, ...]
    vehicles: tuple[VehicleRecord, ...]


def party_names(db: Session) -> dict[str, tuple[str, str]]:
    """Chinese and English name of each firm, by id."""
    return {row.id: (row.name_zh, row.name_en) for row in db.exec(select(Party))}


def read_register(db: Session) -> Register:
    """The register, each list by id."""
    return Register(
        firms=tuple(FirmRecord.model_validate(row) for row in db.exec(select(Party).order_by(Party.id))),
        pack_kinds=tuple(
            PackKindRecord.model_validate(row) for row in db.exec(select(PackKindRow).order_by(PackKindRow.id))
        ),
        vehicle_models=tuple(
            VehicleModelRecord.model_validate(row)
            for row in db.exec(select(VehicleModelRow).order_by(VehicleModelRow.id))
        ),
        vehicles=tuple(
            VehicleRecord.model_validate(row) for row in db.exec(select(VehicleRow).order_by(VehicleRow.id))
        ),
    )
