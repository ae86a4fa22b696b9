"""Contracts, charges and readings as records; readings that people and programs give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlmodel import col, or_, select

from swap.commerce.charges import FEN_YUAN, QUANTITY, UNIT_PRICE_YUAN
from swap.commerce.custody.readings import COUNTERS, never_backwards
from swap.commerce.custody.take import NewReading, add_readings
from swap.commerce.leases.contracts import contract_row, events_of, version_states
from swap.commerce.leases.states import LeaseState, VersionState
from swap.commerce.leases.terms import LeaseTerms
from swap.commerce_db import AnyDb, CommerceDb
from swap.errors import InvalidInput, NotFound
from swap.paging import Order, between, cut
from swap.reading.records import Page
from swap.register.persons import shown_actor
from swap.tables import ChargeRow, LeaseContract, LeaseVehicle, LeaseVersion, VehicleRow
from swap.words import N_

Quantity = Literal["odometer_km", "engine_h", "tonnes", "counter_kwh", "soh_pct"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class VersionRecord(_Record):
    """What a contract says from a day on."""

    version: int
    """From 1; the newest in force that is effective counts."""
    state: VersionState
    """in_force, offered, declined, withdrawn or lapsed."""
    effective_day: date
    """First day on which it counts."""
    terms: LeaseTerms
    """What it says."""
    rated_kwh: Mapping[str, Decimal]
    """Rated energy of each kind of the entitlement."""
    made_at: datetime
    """When it was put on record."""


class ContractEventRecord(_Record):
    """What happened to a contract."""

    no: int
    """From 1 without gaps."""
    at: datetime
    kind: str
    """drafted, revised, version_offered and its answer, a step of its state (offer, sign, …), arrears, an override,
    stranding, damage or buy_out."""
    day: date
    """Day of the contract from which it counts."""
    actor: str
    """Name of the person, or of the program."""
    data: Mapping[str, Any]


class ContractSummary(_Record):
    """A contract in a list."""

    contract_id: str
    """Id of the contract."""
    lessor_id: str
    """Firm that owns the packs."""
    lessee_id: str
    """Firm that pays."""
    zone: str
    """Time zone whose days are the contract's."""
    first_day: date
    """First day of the contract."""
    state: str
    """draft, offered, signed, active, suspended, ended, settled or withdrawn."""
    made_at: datetime
    """When it was put on record."""


class ContractRecord(ContractSummary):
    """A contract with its versions and what happened to it."""

    versions: tuple[VersionRecord, ...]
    """Every version, the first first."""
    events: tuple[ContractEventRecord, ...]
    """What happened, the first first."""


class ChargeRecord(_Record):
    """One thing that one firm owes another."""

    charge_id: str
    """Id of the charge."""
    seller_id: str
    """Firm that is owed."""
    buyer_id: str
    """Firm that owes."""
    kind: str
    """rent, overage, distance, per_swap, energy, deposit, damage, occupancy, …"""
    contract_id: str | None
    """Contract that asks for it; null where none does."""
    contract_version: int | None
    """Version of the contract; null where there is none."""
    vehicle_id: str | None
    pack_id: str | None
    swap_id: str | None
    period: str
    """Month in which it is invoiced."""
    from_at: datetime | None
    """Start of the time it is for; null where it is for none."""
    until_at: datetime | None
    """End of the time it is for; null where it is for none."""
    quantity: Decimal
    """How many units; negative where something is given back."""
    unit: str
    """kwh_month, kwh, km, swap, tonne, hour, period, kwh_day or item."""
    unit_price_yuan: Decimal
    """Price of one unit."""
    amount_yuan: Decimal
    tax_included: bool
    """The price has the tax in."""
    tax_category: str
    """What the tax rate goes by."""
    tax_rate: Decimal
    """0.13 for 13 %."""
    corrects_id: str | None
    """Charge that this one corrects by its difference; null where it corrects none."""
    basis: Mapping[str, Any]
    made_at: datetime
    """When it was put on record."""


def charge_record(row: ChargeRow) -> ChargeRecord:
    """A charge, in decimal units."""
    return ChargeRecord(
        charge_id=row.id,
        seller_id=row.seller_id,
        buyer_id=row.buyer_id,
        kind=row.kind,
        contract_id=row.contract_id,
        contract_version=row.contract_version,
        vehicle_id=row.vehicle_id,
        pack_id=row.pack_id,
        swap_id=row.swap_id,
        period=row.period,
        from_at=row.from_at,
        until_at=row.until_at,
        quantity=row.quantity_1e6 * QUANTITY,
        unit=row.unit,
        unit_price_yuan=row.unit_price_1e4_yuan * UNIT_PRICE_YUAN,
        amount_yuan=row.amount_fen * FEN_YUAN,
        tax_included=row.tax_included,
        tax_category=row.tax_category,
        tax_rate=Decimal(row.tax_rate_bp).scaleb(-4),
        corrects_id=row.corrects_id,
        basis=row.basis,
        made_at=row.made_at,
    )


def get_contract(db: AnyDb, contract_id: str) -> ContractRecord:
    """One contract, whole. Raises NotFound."""
    row, events = contract_row(db, contract_id), events_of(db, contract_id)
    states = version_states(events, LeaseState(row.state))
    query = select(LeaseVersion).where(LeaseVersion.contract_id == contract_id).order_by(col(LeaseVersion.version))
    return ContractRecord(
        **_summary(row),
        versions=tuple(
            VersionRecord(
                version=version.version,
                state=states[version.version],
                effective_day=date.fromisoformat(version.effective_day),
                terms=LeaseTerms.model_validate(version.terms),
                rated_kwh={kind: Decimal(value) for kind, value in version.rated_kwh.items()},
                made_at=version.made_at,
            )
            for version in db.exec(query)
        ),
        events=tuple(
            ContractEventRecord(
                no=event.no,
                at=event.at,
                kind=event.kind,
                day=date.fromisoformat(event.day),
                actor=shown_actor(db, event.actor),
                data=event.data,
            )
            for event in events
        ),
    )


def _summary(row: LeaseContract) -> dict[str, Any]:
    return {
        "contract_id": row.id,
        "lessor_id": row.lessor_id,
        "lessee_id": row.lessee_id,
        "zone": row.zone,
        "first_day": date.fromisoformat(row.first_day),
        "state": row.state,
        "made_at": row.made_at,
    }


def list_contracts(
    db: AnyDb,
    *,
    state: str | None = None,
    party_id: str | None = None,
    vehicle_id: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[ContractSummary]:
    """Contracts by when they were put on record, newest first; of a state, a firm on either side, a vehicle."""
    row = LeaseContract
    query = select(row).where(*between(col(row.made_at), from_at, to_at))
    if state is not None:
        query = query.where(row.state == state)
    if party_id is not None:
        query = query.where(or_(col(row.lessor_id) == party_id, col(row.lessee_id) == party_id))
    if vehicle_id is not None:
        named = select(LeaseVehicle.contract_id).where(LeaseVehicle.vehicle_id == vehicle_id)
        query = query.where(col(row.id).in_(named))
    query = Order(col(row.id), col(row.made_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda one: one.id, lambda one: one.made_at)
    return Page(items=tuple(ContractSummary(**_summary(one)) for one in rows), next_cursor=following)


def list_charges(
    db: AnyDb,
    *,
    contract_id: str | None = None,
    period: str | None = None,
    party_id: str | None = None,
    kind: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[ChargeRecord]:
    """Charges by when they were made, newest first.

    Raises:
        NotFound: a contract is named that is not there.
    """
    if contract_id is not None:
        contract_row(db, contract_id)
    row = ChargeRow
    query = select(row).where(*between(col(row.made_at), from_at, to_at))
    for column, wanted in ((row.contract_id, contract_id), (row.period, period), (row.kind, kind)):
        if wanted is not None:
            query = query.where(column == wanted)
    if party_id is not None:
        query = query.where(or_(col(row.seller_id) == party_id, col(row.buyer_id) == party_id))
    query = Order(col(row.id), col(row.made_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda one: one.id, lambda one: one.made_at)
    return Page(items=tuple(charge_record(one) for one in rows), next_cursor=following)


def give_readings(
    db: CommerceDb,
    given: Sequence[tuple[str, Quantity, datetime, Decimal]],
    *,
    origin: Literal["entered", "imported"],
    actor: str,
    now: datetime,
) -> int:
    """Put readings of vehicles (odometer, engine-hours, tonnes) and packs on record, all or none; how many were new.

    Raises:
        NotFound: no such vehicle.
        InvalidInput: a value is negative or more than what can be, an instant is in the future, or a counter would run
            backwards.
    """
    for subject, quantity, at, value in given:
        if quantity in ("odometer_km", "engine_h", "tonnes") and db.get(VehicleRow, subject) is None:
            raise NotFound("vehicle", subject)
        limit = Decimal(100) if quantity == "soh_pct" else Decimal(100_000_000)
        if not value.is_finite() or not 0 <= value <= limit:
            raise InvalidInput(quantity, str(value), N_("from 0 to {limit}"), limit=str(limit))
        if at > now:
            raise InvalidInput("at", at.isoformat(), N_("up to {latest_at}"), latest_at=now.isoformat())
    news = [NewReading(subject, quantity, at, value, origin, actor, now) for subject, quantity, at, value in given]
    added = add_readings(db, news)
    for subject, quantity, at, value in given:
        if quantity not in COUNTERS:
            continue
        never_backwards(db, subject, quantity, at, value)
    return added
