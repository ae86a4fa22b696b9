"""The register: firms, persons, pack kinds, vehicle models, vehicles. It belongs to no station."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column
from sqlmodel import Field

from swap.tables.base import Base, json_field


class Party(Base, table=True):
    """A firm or authority: fleet, battery owner, station operator, energy seller, supervisor, platform."""

    __tablename__ = "party"
    id: str = Field(primary_key=True, max_length=32)
    kind: str = Field(max_length=20)
    name_zh: str
    name_en: str


class Person(Base, table=True):
    """A person who confirmed, asked or acknowledged something. Everywhere else only the id stands."""

    __tablename__ = "person"
    id: str = Field(primary_key=True, max_length=32)
    name: str | None = Field(default=None, max_length=64, unique=True)
    """None once it was erased."""
    known_since_at: datetime
    erased_at: datetime | None = None


class PackKindRow(Base, table=True):
    """One kind of pack."""

    __tablename__ = "pack_kind"
    id: str = Field(primary_key=True, max_length=32)
    rated_kwh: float
    ratings: dict[str, Any] = json_field()
    """The section of the station file, whole: ratings, curve and limits."""


class VehicleModelRow(Base, table=True):
    """What a vehicle model takes."""

    __tablename__ = "vehicle_model"
    id: str = Field(primary_key=True, max_length=32)
    swap_mode: str = Field(max_length=16)
    packs_per_vehicle: int
    pack_kinds: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))


class VehicleRow(Base, table=True):
    """One truck."""

    __tablename__ = "vehicle"
    id: str = Field(primary_key=True, max_length=20)
    tag: int = Field(sa_type=BigInteger, unique=True)
    model: str = Field(max_length=32)
    fleet_id: str = Field(foreign_key="party.id", max_length=32)
