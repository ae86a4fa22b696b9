"""Lease contracts, what they charge, who held a pack, and readings that rents rest on."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import Path, Query, Request
from pydantic import Field

from api.access import Access, Who, guarded_router
from api.deps import AnyDoors, Doors, InTime, Paged
from api.problems import declared, language_for
from api.schemas import Input, Instant, Output, PersonName, RecordId, StationId, VehicleId
from swap.commerce.custody.show import CustodyRecord, PackUse, custody_records
from swap.commerce.custody.show import pack_uses as uses_of
from swap.commerce.leases.contracts import answer_version, contract_row, draft, move, revise
from swap.commerce.leases.periods import month_days
from swap.commerce.leases.rights import announce_arrears, clear_arrears, may_swap, override
from swap.commerce.leases.rights import override_without_contract as give_override
from swap.commerce.leases.settle import buy_out, charge_damage, end_contract, settle_contract
from swap.commerce.leases.show import (
    ChargeRecord,
    ContractRecord,
    ContractSummary,
    Quantity,
    get_contract,
    give_readings,
    list_charges,
    list_contracts,
)
from swap.commerce.leases.states import LeaseState, LeaseTrigger, VersionStep, takers, version_taker
from swap.commerce.leases.terms import LeaseTerms, Price
from swap.commerce_db import CommerceDb
from swap.identity.principal import EVERYTHING
from swap.identity.view import (
    require_contract,
    require_firm,
    require_served,
    require_station,
    require_step,
    require_vehicle,
)
from swap.paging import cut_after
from swap.reading.records import Page
from swap.register.persons import person_actor

router = guarded_router(tags=["contracts"])

Party = Annotated[str | None, Query(max_length=32, description="Only those of a firm, on either side.")]
MONTH = r"^20\d\d-(0[1-9]|1[0-2])$"
VersionNumber = Annotated[int, Path(ge=1, le=1_000_000, description="Number of the version.")]
Month = Annotated[str | None, Query(pattern=MONTH, description="Month, such as 2026-06.")]


class ContractIn(Input):
    """A contract that is to be drafted."""

    terms: LeaseTerms
    """What it says; see docs/leases.md."""
    name: PersonName | None = None


class VersionIn(Input):
    """A change of a contract, as a whole new version."""

    effective_day: date
    """First day on which it counts; a past one is charged anew, as corrections, when the version is signed."""
    terms: LeaseTerms
    """What it says then, whole."""
    name: PersonName | None = None
    reason: str = Field(default="", max_length=200)
    """Why, in the person's words."""


class StepIn(Input):
    """A step of a contract's state."""

    step: LeaseTrigger
    """offer, sign, activate, suspend, resume, end, settle or withdraw."""
    day: date | None = None
    """Day from which it counts: the first suspended day, the first one after it, the last day of the contract."""
    name: PersonName | None = None
    reason: str = Field(default="", max_length=200)
    """Why, in the person's words."""


class VersionStepIn(Input):
    """What becomes of a version that is offered."""

    step: VersionStep
    """sign, decline or withdraw."""
    name: PersonName | None = None
    reason: str = Field(default="", max_length=200)
    """Why, in the person's words."""


class ArrearsIn(Input):
    """Arrears announced, or paid."""

    amount_yuan: Price
    """What is owed; 0: the arrears are paid."""
    name: PersonName | None = None


class OverrideIn(Input):
    """Served in spite of arrears."""

    until_at: Instant
    """End of the override, a week away at most."""
    name: PersonName | None = None
    reason: str = Field(min_length=1, max_length=200)
    """Why, in the person's words."""


class SafetyOverrideIn(OverrideIn):
    """One vehicle served, whatever its contract says."""

    vehicle_id: VehicleId
    """A vehicle of the contract."""


class OverrideOut(Output):
    """An override as it counts; of the contract it shows nothing else."""

    contract_id: str | None
    """Contract that is overridden; null for a vehicle without one."""
    kind: Literal["credit", "safety"]
    """credit: in spite of arrears, or without a contract; safety: one vehicle, whatever the contract says."""
    vehicle_id: str | None
    """The vehicle that is served; null for credit of a contract, which is for all its vehicles."""
    station_id: str | None
    """It counts there only; null where the lessor gave it, for every station."""
    until_at: Instant
    """End of the override."""


class ItemIn(Input):
    """A damage found on a pack, or its purchase."""

    kind: Literal["damage", "buy_out"]
    """damage: by the list of the contract; buy_out: the lessee takes the pack over at its residual."""
    pack_id: Annotated[str, Field(min_length=1, max_length=24)]
    code: str | None = Field(default=None, max_length=24)
    """Code of the damage in the contract's list."""
    name: PersonName | None = None


class ReadingIn(Input):
    """One reading of a vehicle or pack."""

    subject: Annotated[str, Field(min_length=1, max_length=24)]
    """Vehicle or pack."""
    quantity: Quantity
    """odometer_km and engine_h of a vehicle (counters), tonnes (an amount), counter_kwh and soh_pct of a pack."""
    at: Instant
    value: Decimal = Field(ge=0, decimal_places=4)
    """In the unit of the quantity's name."""


class ReadingsIn(Input):
    """Readings, taken all or none."""

    readings: tuple[ReadingIn, ...] = Field(min_length=1, max_length=1000)
    """Some readings."""
    imported: bool = False
    """They come from another program, not from a person who has read them."""
    name: PersonName | None = None


class Taken(Output):
    """How many readings were new."""

    taken: int
    """Readings that were new; the others are on record with the same value."""


class RightOut(Output):
    """Whether a truck may have a pack."""

    allowed: bool
    """It may."""
    code: str
    """Why: entitled, no_contract_needed, arrears, …"""
    contract_id: str | None
    """Contract that decides; null where there is none."""
    reason: str
    """The reason in words."""


@router.post("/contracts", status_code=201, responses=declared(400, 409, 422))
def draft_contract(body: ContractIn, doors: AnyDoors, who: Who) -> ContractRecord:
    """Draft a contract. It binds nobody before it is signed."""
    at = doors.clock.now()
    require_firm(who.view, body.terms.lessor_id)
    with doors.store.commerce() as db:
        return get_contract(db, draft(db, body.terms, at=at, actor=_who(doors, who, db, body.name, at)))


@router.get("/contracts", responses=declared(422))
def contracts(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    state: LeaseState | None = None,
    party_id: Party = None,
    vehicle_id: Annotated[str | None, Query(max_length=20)] = None,
) -> Page[ContractSummary]:
    """Contracts by when they were put on record, newest first."""
    with doors.reading_commerce(who.view) as db:
        return list_contracts(
            db,
            state=state,
            party_id=party_id,
            vehicle_id=vehicle_id,
            **span,
            **paging,
        )


@router.get("/contracts/{contract_id}", responses=declared(404))
def contract(contract_id: RecordId, doors: AnyDoors, who: Who) -> ContractRecord:
    """One contract with its versions and everything that happened to it."""
    with doors.reading_commerce(who.view) as db:
        return get_contract(db, contract_id)


@router.post("/contracts/{contract_id}/versions", status_code=201, responses=declared(400, 404, 409, 422))
def add_version(contract_id: RecordId, body: VersionIn, doors: AnyDoors, who: Who) -> ContractRecord:
    """Change a contract from a day on, by a new version. Of a contract that is signed it is offered, and counts when
    the lessee has signed it; one version is offered at a time."""
    at = doors.clock.now()
    with doors.store.commerce() as db:
        require_contract(db, who.view, contract_id)
        actor = _who(doors, who, db, body.name, at)
        revise(db, contract_id, body.effective_day, body.terms, at=at, actor=actor, reason=body.reason)
        return get_contract(db, contract_id)


@router.post("/contracts/{contract_id}/versions/{version}/steps", responses=declared(400, 404, 409, 422))
def answer_offer(
    contract_id: RecordId, version: VersionNumber, body: VersionStepIn, doors: AnyDoors, who: Who
) -> ContractRecord:
    """Sign or decline a version that is offered, which is for the lessee to do; the lessor may withdraw it. Signed, it
    counts from its day on; what was charged for days that are past is corrected in the month that is open."""
    at = doors.clock.now()
    with doors.store.commerce() as db:
        require_step(db, who.view, contract_id, body.step.value, (version_taker(body.step),))
        actor = _who(doors, who, db, body.name, at)
        answer_version(db, contract_id, version, body.step, at=at, actor=actor, reason=body.reason)
        return get_contract(db, contract_id)


@router.post("/contracts/{contract_id}/steps", responses=declared(400, 404, 409, 422))
def take_step(contract_id: RecordId, body: StepIn, doors: AnyDoors, who: Who) -> ContractRecord:
    """Offer, activate, suspend, resume, end, settle or withdraw a contract, which is for its lessor to do; the lessee
    signs an offer, or withdraws it."""
    at = doors.clock.now()
    with doors.store.commerce() as db:
        state = LeaseState(contract_row(db, contract_id).state)
        require_step(db, who.view, contract_id, body.step.value, takers(state, body.step))
        actor = _who(doors, who, db, body.name, at)
        if body.step is LeaseTrigger.END:
            end_contract(db, contract_id, at=at, actor=actor, day=body.day, reason=body.reason)
        elif body.step is LeaseTrigger.SETTLE:
            settle_contract(db, contract_id, at=at, actor=actor)
        else:
            move(db, contract_id, body.step, at=at, actor=actor, day=body.day, reason=body.reason)
        return get_contract(db, contract_id)


@router.post("/contracts/{contract_id}/arrears", responses=declared(400, 404, 409, 422))
def arrears(contract_id: RecordId, body: ArrearsIn, doors: AnyDoors, who: Who) -> ContractRecord:
    """Announce arrears, which refuse new bookings after the contract's notice; or say that they are paid."""
    at = doors.clock.now()
    with doors.store.commerce() as db:
        require_contract(db, who.view, contract_id)
        actor = _who(doors, who, db, body.name, at)
        if body.amount_yuan:
            announce_arrears(db, contract_id, body.amount_yuan, at=at, actor=actor)
        else:
            clear_arrears(db, contract_id, at=at, actor=actor)
        return get_contract(db, contract_id)


@router.post("/contracts/{contract_id}/overrides", responses=declared(400, 404, 422))
def override_contract(contract_id: RecordId, body: OverrideIn, doors: AnyDoors, who: Who) -> OverrideOut:
    """Serve a contract in spite of arrears until an instant, by name and with a reason: its lessor everywhere, the
    operator of this station here."""
    return _override(contract_id, "credit", body, None, doors, who)


@router.post("/contracts/{contract_id}/safety-overrides", responses=declared(400, 404, 422))
def override_for_safety(contract_id: RecordId, body: SafetyOverrideIn, doors: AnyDoors, who: Who) -> OverrideOut:
    """Have one vehicle served at this station until an instant, whatever its contract says and whoever its lessor is;
    by the safety officer's name and with a reason. `GET /rights/{vehicle_id}` names its contract."""
    return _override(contract_id, "safety", body, body.vehicle_id, doors, who)


def _override(
    contract_id: str,
    kind: Literal["credit", "safety"],
    body: OverrideIn,
    vehicle_id: str | None,
    doors: Doors,
    who: Access,
) -> OverrideOut:
    at = doors.clock.now()
    with doors.store.commerce() as db:
        station_id = require_served(db, who.view, contract_id, doors.config.station.id)
        if kind == "safety":
            station_id = doors.config.station.id  # where the officer sees the truck
        actor = _who(doors, who, db, body.name, at)
        override(
            db,
            contract_id,
            kind,
            until_at=body.until_at,
            at=at,
            actor=actor,
            reason=body.reason,
            vehicle_id=vehicle_id,
            station_id=station_id,
        )
    return OverrideOut(
        contract_id=contract_id, kind=kind, vehicle_id=vehicle_id, station_id=station_id, until_at=body.until_at
    )


@router.post("/contracts/{contract_id}/items", status_code=201, responses=declared(400, 404, 409, 422))
def charge_item(contract_id: RecordId, body: ItemIn, doors: AnyDoors, who: Who) -> ContractRecord:
    """Charge a damage by the contract's list, or the purchase of a pack at its residual."""
    at = doors.clock.now()
    with doors.store.commerce() as db:
        require_contract(db, who.view, contract_id)
        actor = _who(doors, who, db, body.name, at)
        if body.kind == "damage":
            charge_damage(db, contract_id, body.pack_id, body.code or "", at=at, actor=actor)
        else:
            buy_out(db, contract_id, body.pack_id, at=at, actor=actor)
        return get_contract(db, contract_id)


@router.get("/contracts/{contract_id}/charges", responses=declared(404, 422))
def charges_of_contract(
    contract_id: RecordId,
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    period: Month = None,
    kind: Annotated[str | None, Query(max_length=32)] = None,
) -> Page[ChargeRecord]:
    """What a contract has charged, newest first, each with what it was made of."""
    with doors.reading_commerce(who.view) as db:
        return list_charges(
            db,
            contract_id=contract_id,
            period=period,
            kind=kind,
            **span,
            **paging,
        )


@router.get("/charges", responses=declared(422))
def charges(
    doors: AnyDoors,
    who: Who,
    span: InTime,
    paging: Paged,
    period: Month = None,
    party_id: Party = None,
    kind: Annotated[str | None, Query(max_length=32)] = None,
) -> Page[ChargeRecord]:
    """Charges of all contracts and swaps, newest first."""
    with doors.reading_commerce(who.view) as db:
        return list_charges(
            db,
            period=period,
            party_id=party_id,
            kind=kind,
            **span,
            **paging,
        )


@router.get("/packs/{pack_id}/custody", responses=declared(404, 422))
def custody(pack_id: RecordId, doors: AnyDoors, who: Who, span: InTime, paging: Paged) -> Page[CustodyRecord]:
    """Who held a pack, where, at each instant, the oldest span first; one follows the other without a gap."""
    with doors.reading_commerce(who.view) as db:
        return custody_records(db, pack_id, **span, **paging)


@router.get("/pack-uses", responses=declared(404, 422))
def pack_uses(
    doors: AnyDoors,
    who: Who,
    paging: Paged,
    period: Annotated[str, Query(pattern=MONTH, description="Month, such as 2026-06; its days are the station's.")],
    owner_id: Annotated[str | None, Query(max_length=32, description="Firm that owns them; none: the own.")] = None,
) -> Page[PackUse]:
    """What each pack of a firm did in a month, and what it earned. Income adds up to the firm's charges."""
    owner_id = who.principal.organisation_id if owner_id is None else owner_id
    require_firm(who.view, owner_id)
    from_at, until_at = month_days(period).bounds(doors.config.station.zone)
    with doors.reading_commerce(who.view) as db:
        uses = uses_of(db, owner_id, from_at, until_at, period)  # all of them: shared income is spread over all
    items, following = cut_after(uses, paging["limit"], paging["cursor"], lambda use: use.pack_id)
    return Page(items=tuple(items), next_cursor=following)


@router.get("/rights/{vehicle_id}", responses=declared(404, 422))
def right(
    vehicle_id: VehicleId,
    doors: AnyDoors,
    who: Who,
    request: Request,
    station_id: Annotated[StationId | None, Query()] = None,
    purpose: Literal["booking", "walk_in"] = "booking",
) -> RightOut:
    """Whether a truck may have packs here now, by its contract, and why."""
    with doors.reading(EVERYTHING) as station:
        require_vehicle(station, who.view, vehicle_id)
    with doors.store.reading_commerce() as db:
        found = may_swap(
            db,
            vehicle_id,
            station_id or doors.station_id,
            doors.clock.now(),
            purpose=purpose,
            contract_required=doors.config.commerce.contract_required,
        )
    reason = language_for(request).text(found.message, **found.values)
    return RightOut(allowed=found.allowed, code=found.code, contract_id=found.contract_id, reason=reason)


@router.post("/rights/{vehicle_id}/overrides", responses=declared(400, 404, 409, 422))
def override_without_contract(vehicle_id: VehicleId, body: OverrideIn, doors: AnyDoors, who: Who) -> OverrideOut:
    """Serve a vehicle that has no contract at this station, which asks for one, until an instant; by name and with a
    reason. Of a vehicle with a contract the contract is overridden instead."""
    return _override_vehicle(vehicle_id, "credit", body, doors, who)


@router.post("/rights/{vehicle_id}/safety-overrides", responses=declared(400, 404, 409, 422))
def override_for_safety_without_contract(
    vehicle_id: VehicleId, body: OverrideIn, doors: AnyDoors, who: Who
) -> OverrideOut:
    """Have a vehicle that has no contract served at this station until an instant, by the safety officer's name and
    with a reason. Of a vehicle with a contract the contract is overridden instead."""
    return _override_vehicle(vehicle_id, "safety", body, doors, who)


def _override_vehicle(
    vehicle_id: str, kind: Literal["credit", "safety"], body: OverrideIn, doors: Doors, who: Access
) -> OverrideOut:
    at, station_id = doors.clock.now(), doors.config.station.id
    require_station(who.view, station_id)
    with doors.store.commerce() as db:
        give_override(
            db,
            vehicle_id,
            kind,
            until_at=body.until_at,
            at=at,
            actor=_who(doors, who, db, body.name, at),
            reason=body.reason,
            station_id=station_id,
        )
    return OverrideOut(
        contract_id=None, kind=kind, vehicle_id=vehicle_id, station_id=station_id, until_at=body.until_at
    )


@router.post("/readings", responses=declared(400, 404, 422))
def readings(body: ReadingsIn, doors: AnyDoors, who: Who) -> Taken:
    """Give readings that rents rest on. The same again changes nothing; another value for an instant counts from then
    on, and what it changes in closed months is corrected."""
    at = doors.clock.now()
    given = [(one.subject, one.quantity, one.at, one.value) for one in body.readings]
    with doors.store.commerce() as db:
        actor = _who(doors, who, db, body.name, at)
        taken = give_readings(db, given, origin="imported" if body.imported else "entered", actor=actor, now=at)
    return Taken(taken=taken)


def _who(doors: Doors, who: Access, db: CommerceDb, name: str | None, at: datetime) -> str:
    return person_actor(db, who.name(doors, name), at)
