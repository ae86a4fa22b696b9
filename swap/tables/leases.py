"""Lease contracts: who rents packs to whom, in versions that are never changed, and what happened to each contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field

from swap.tables.base import Base, CanonicalJson


class LeaseContract(Base, table=True):
    """One contract. What it says is in its versions; its state is that of its newest event."""

    __tablename__ = "lease_contract"
    __table_args__ = (
        Index("ix_lease_contract_by_start", "first_day", "id"),
        Index("ix_lease_contract_by_lessee", "lessee_id", "first_day", "id"),
        Index("ix_lease_contract_by_state", "state", "id"),
    )
    id: str = Field(primary_key=True, max_length=32)
    lessor_id: str = Field(foreign_key="party.id", max_length=32)
    lessee_id: str = Field(foreign_key="party.id", max_length=32)
    zone: str = Field(max_length=64)
    """IANA zone: its days are the contract's days."""
    first_day: str = Field(max_length=10)
    """First day, `2026-06-01`."""
    state: str = Field(default="draft", max_length=16)
    """A state of the table of contracts."""
    made_at: datetime
    last_unsigned_version: int = 0
    """The last version that an earlier release let count without the lessee's signature; 0: none, as of every contract
    that was changed since."""


class LeaseVersion(Base, table=True):
    """What a contract says from a day on; never edited, a change is a further version. A trigger refuses both. Whether
    it counts is in the contract's events."""

    __tablename__ = "lease_version"
    contract_id: str = Field(primary_key=True, foreign_key="lease_contract.id", max_length=32)
    version: int = Field(primary_key=True)
    """From 1; a later one replaces earlier ones from its day on."""
    effective_day: str = Field(max_length=10)
    terms: dict[str, Any] = Field(default_factory=dict, sa_column=Column(CanonicalJson, nullable=False))
    """`swap.commerce.leases.terms.LeaseTerms`."""
    rated_kwh: dict[str, Any] = Field(default_factory=dict, sa_column=Column(CanonicalJson, nullable=False))
    """Rated energy of each kind of the entitlement as it was then, as text."""
    made_at: datetime
    made_by: str = Field(max_length=64)


class LeaseVehicle(Base, table=True):
    """A vehicle that a version in force names, so that the contracts of a vehicle are found."""

    __tablename__ = "lease_vehicle"
    contract_id: str = Field(primary_key=True, foreign_key="lease_contract.id", max_length=32)
    version: int = Field(primary_key=True)
    vehicle_id: str = Field(primary_key=True, foreign_key="vehicle.id", max_length=20, index=True)


class LeaseEvent(Base, table=True):
    """What happened to a contract, in its order from 1; never edited, a trigger refuses it."""

    __tablename__ = "lease_event"
    contract_id: str = Field(primary_key=True, foreign_key="lease_contract.id", max_length=32)
    no: int = Field(primary_key=True)
    at: datetime
    kind: str = Field(max_length=24)
    """drafted, revised, version_offered, version_signed, version_declined, version_withdrawn, a trigger of the table of
    contracts, arrears, arrears_cleared, credit_override,
    safety_override, stranding, damage, buy_out."""
    day: str = Field(max_length=10)
    """Day of the contract from which it counts."""
    actor: str = Field(max_length=64)
    data: dict[str, Any] = Field(default_factory=dict, sa_column=Column(CanonicalJson, nullable=False))
    """Further values; of a version its number and the hash of what it says."""
    digest: str = Field(default="", max_length=64)
    """SHA-256 of what it says (`swap.commerce.seals`)."""


class VehicleOverride(Base, table=True):
    """A vehicle without a contract that a person has had served at a station that asks for one; never edited, a trigger
    refuses it. Of a vehicle with a contract it is an event of the contract."""

    __tablename__ = "vehicle_override"
    vehicle_id: str = Field(primary_key=True, foreign_key="vehicle.id", max_length=20)
    no: int = Field(primary_key=True)
    """From 1 without gaps."""
    at: datetime
    kind: str = Field(max_length=24)
    """credit_override or safety_override."""
    station_id: str = Field(max_length=32)
    """It counts there only."""
    until_at: datetime
    actor: str = Field(max_length=64)
    reason: str = Field(max_length=200)
    digest: str = Field(default="", max_length=64)
    """SHA-256 of what it says (`swap.commerce.seals`)."""


class RentRun(Base, table=True):
    """A month whose rents have been charged: it is closed, and what is learnt later is charged in a later one."""

    __tablename__ = "rent_run"
    month: str = Field(primary_key=True, max_length=7)
    done_at: datetime
    charges: int
    """Charges with this period that rent runs have made."""
    amount_fen: int = Field(sa_type=BigInteger)
    """Their sum."""
