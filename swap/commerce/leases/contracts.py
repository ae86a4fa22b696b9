"""Contracts on record: drafted, changed by versions, moved by their state table. Every change is an event, none edits.

Every function takes a session of `store.commerce()` for writing; writers take turns, so what is read stays true.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, bindparam
from sqlalchemy import select as sql_select
from sqlmodel import col, select

from swap.commerce.custody.told import elsewhere, files_told, packs_on_record
from swap.commerce.leases.errors import ContractsOverlap, ContractState, VehicleNotLessees
from swap.commerce.leases.lease import LeaseHistory, Version
from swap.commerce.leases.periods import DAY, Days, day_of
from swap.commerce.leases.states import BINDING, CHARGED, LEASE, LeaseState, LeaseTrigger, VersionState, VersionStep
from swap.commerce.leases.terms import FIXED_FIELDS, LeaseTerms
from swap.commerce.seals import sealed
from swap.commerce.webhooks.kinds import WebhookKind
from swap.commerce.webhooks.outbox import tell
from swap.commerce_db import AnyDb, CommerceDb
from swap.errors import InvalidInput, NotFound
from swap.events import connected
from swap.ids import new_id
from swap.journal.canonical import canonical_json
from swap.tables import (
    Bay,
    CustodyMove,
    LeaseContract,
    LeaseEvent,
    LeaseVehicle,
    LeaseVersion,
    Pack,
    PackKindRow,
    Party,
    Station,
    VehicleRow,
)
from swap.words import N_


def terms_hash(terms: Mapping[str, Any], rated_kwh: Mapping[str, Any], effective_day: str) -> str:
    """SHA-256 of what a version says, as its event keeps it."""
    whole = {"terms": dict(terms), "rated_kwh": dict(rated_kwh), "effective_day": effective_day}
    return hashlib.sha256(canonical_json(whole).encode()).hexdigest()


def draft(db: CommerceDb, terms: LeaseTerms, *, at: datetime, actor: str) -> str:
    """Put a contract on record as a draft; its id.

    Raises:
        InvalidInput: a firm, vehicle, kind or station is unknown, or no station of the contract has the kind.
        ContractsOverlap: a vehicle has a binding contract on one of its days.
    """
    rated_kwh = _check(db, terms)
    contract_id = new_id("lc", at)
    _no_overlap(db, contract_id, LeaseHistory(contract_id, (Version(1, terms.first_day, terms, rated_kwh),)))
    db.add(
        LeaseContract(
            id=contract_id,
            lessor_id=terms.lessor_id,
            lessee_id=terms.lessee_id,
            zone=terms.zone,
            first_day=terms.first_day.isoformat(),
            made_at=at,
        )
    )
    db.flush()
    _add_version(db, contract_id, 1, terms.first_day, terms, rated_kwh, "drafted", at, actor)
    return contract_id


def revise(
    db: CommerceDb, contract_id: str, effective: date, terms: LeaseTerms, *, at: datetime, actor: str, reason: str = ""
) -> int:
    """Put a version on record that counts from a day on; its number. Of a draft it counts at once; of a contract that
    is signed it is offered, and counts when the lessee has signed it (`answer_version`).

    Raises:
        NotFound: no such contract.
        ContractState: it has ended, was withdrawn, or waits for the lessee's signature; or another version does.
        InvalidInput, ContractsOverlap: as `draft`; or the version changes what no version changes.
    """
    row = contract_row(db, contract_id)
    if row.state not in (LeaseState.DRAFT, *BINDING):
        raise ContractState(
            N_("contract {contract_id} is {state}: it gets no new version"),
            {"contract_id": contract_id, "state": row.state},
        )
    lease, states = lease_of(db, contract_id), version_states(events_of(db, contract_id))
    waiting = next((one for one, state in states.items() if state is VersionState.OFFERED), None)
    if waiting is not None:
        raise ContractState(
            N_("contract {contract_id}: version {version} is offered, and is answered or withdrawn first"),
            {"contract_id": contract_id},
            version=str(waiting),
        )
    for name in FIXED_FIELDS:
        if getattr(terms, name) != getattr(lease.terms, name):
            raise InvalidInput(
                name,
                str(getattr(terms, name)),
                N_("{kept}, which no version changes"),
                kept=str(getattr(lease.terms, name)),
            )
    if effective < terms.first_day:
        raise InvalidInput(
            "effective_day", str(effective), N_("{first_day} or later"), first_day=terms.first_day.isoformat()
        )
    if terms.until_day <= effective:
        if terms.last_day is None:
            raise InvalidInput(
                "effective_day", str(effective), N_("before {until_day}"), until_day=str(terms.until_day)
            )
        raise InvalidInput("last_day", str(terms.last_day), N_("{effective} or later"), effective=str(effective))
    rated_kwh = _check(db, terms)
    number = max(states) + 1
    _no_overlap(db, contract_id, lease.with_version(Version(number, effective, terms, rated_kwh)))
    kind = "revised" if row.state == LeaseState.DRAFT else VERSION_OFFERED
    _add_version(db, contract_id, number, effective, terms, rated_kwh, kind, at, actor, reason)
    return number


def answer_version(
    db: CommerceDb, contract_id: str, number: int, step: VersionStep, *, at: datetime, actor: str, reason: str = ""
) -> VersionState:
    """Sign, decline or withdraw a version that is offered; its new state.

    Signed, it counts from its day on, whether that day is past or not: past days are charged and billed anew, as
    corrections in the month that is open.

    Raises:
        NotFound: no such contract, or no such version of it.
        ContractState: the version is not offered, or the contract binds nobody any more.
        VehicleNotLessees: it is signed while one of its vehicles belongs to another firm than the lessee.
        ContractsOverlap: it is signed while another contract has one of its vehicles.
    """
    row = contract_row(db, contract_id)
    stored = db.get(LeaseVersion, (contract_id, number))
    if stored is None:
        raise NotFound("version", number)
    state = version_states(events_of(db, contract_id), LeaseState(row.state))[number]
    if state is not VersionState.OFFERED:
        raise ContractState(
            N_("version {version} of contract {contract_id} is {state}, and not offered"),
            {"contract_id": contract_id, "state": state},
            version=str(number),
        )
    lease = lease_of(db, contract_id)
    day = day_of(at, lease.terms.tz)
    if step is VersionStep.SIGN:
        version = _version(stored)
        _still_lessees(db, contract_id, version.terms)
        _no_overlap(db, contract_id, lease.with_version(version))
        _name_vehicles(db, contract_id, number, version.terms)
        day = version.effective
    data: dict[str, Any] = {"version": number} | ({"reason": reason} if reason else {})
    note(db, contract_id, ANSWERS[step], day, at=at, actor=actor, data=data)
    return _STATES[ANSWERS[step]]


VERSION_OFFERED = "version_offered"
ANSWERS = {
    VersionStep.SIGN: "version_signed",
    VersionStep.DECLINE: "version_declined",
    VersionStep.WITHDRAW: "version_withdrawn",
}
"""Kinds of the events that answer an offered version."""
_STATES = {
    "drafted": VersionState.IN_FORCE,
    "revised": VersionState.IN_FORCE,
    VERSION_OFFERED: VersionState.OFFERED,
    ANSWERS[VersionStep.SIGN]: VersionState.IN_FORCE,
    ANSWERS[VersionStep.DECLINE]: VersionState.DECLINED,
    ANSWERS[VersionStep.WITHDRAW]: VersionState.WITHDRAWN,
}


def version_states(events: Iterable[Any], contract: LeaseState | None = None) -> dict[int, VersionState]:
    """Where each version of a contract stands by the contract's events, in their order. Pure.

    Args:
        contract: the state of the contract, by which an offer may have lapsed; None: not asked.

    Raises:
        LookupError: an event names no version.
    """
    found: dict[int, VersionState] = {
        event.data["version"]: _STATES[event.kind] for event in events if event.kind in _STATES
    }
    if contract is None or contract in BINDING:
        return found
    return {one: VersionState.LAPSED if state is VersionState.OFFERED else state for one, state in found.items()}


def move(
    db: CommerceDb,
    contract_id: str,
    trigger: LeaseTrigger,
    *,
    at: datetime,
    actor: str,
    day: date | None = None,
    reason: str = "",
) -> LeaseState:
    """Move a contract by its state table; the new state.

    Args:
        day: from which it counts, the day of `at` in the contract's zone where none is given: the first suspended day
            or the first one after it, the last day of a contract that is ended. An activation counts from the first
            day of the contract, or from a later one.

    Raises:
        NotFound: no such contract.
        ContractState: the table does not allow it.
        VehicleNotLessees: a vehicle belongs to another firm than the lessee when it is offered or signed.
        ContractsOverlap: it was signed while another contract binds a vehicle.
        InvalidInput: the day does not fit.
    """
    row = contract_row(db, contract_id)
    if not LEASE.allows(LeaseState(row.state), trigger):
        raise ContractState(
            N_("contract {contract_id} is {state}: {trigger} is not possible; possible: {allowed}"),
            {"contract_id": contract_id, "state": row.state},
            trigger=trigger.value,
            allowed=", ".join(LEASE.triggers(LeaseState(row.state))) or "-",
        )
    lease = lease_of(db, contract_id)
    if day is None:
        day = lease.terms.first_day if trigger is LeaseTrigger.ACTIVATE else day_of(at, lease.terms.tz)
    _check_day(lease, trigger, day)
    if trigger in (LeaseTrigger.OFFER, LeaseTrigger.SIGN):
        _still_lessees(db, contract_id, lease.terms)
        _no_overlap(db, contract_id, lease)
    note(db, contract_id, trigger.value, day, at=at, actor=actor, data={"reason": reason} if reason else {})
    row.state = LEASE.next(LeaseState(row.state), trigger).value
    db.add(row)
    db.flush()
    return LeaseState(row.state)


def _check_day(lease: LeaseHistory, trigger: LeaseTrigger, day: date) -> None:
    first = lease.active_from or lease.terms.first_day
    if trigger is LeaseTrigger.RESUME and lease.suspensions:
        first = lease.suspensions[-1].first
    if trigger is LeaseTrigger.SUSPEND and lease.suspensions:
        first = max(first, lease.suspensions[-1].until)
    last = lease.until_day - DAY
    if trigger in (LeaseTrigger.ACTIVATE, LeaseTrigger.SUSPEND, LeaseTrigger.RESUME, LeaseTrigger.END) and not (
        first <= day <= last
    ):
        raise InvalidInput(
            "day", str(day), N_("from {first} to {last}"), first=first.isoformat(), last=last.isoformat()
        )


def note(
    db: CommerceDb, contract_id: str, kind: str, day: date, *, at: datetime, actor: str, data: Mapping[str, Any]
) -> int:
    """Add an event to a contract; its number."""
    newest = db.exec(
        select(LeaseEvent.no).where(LeaseEvent.contract_id == contract_id).order_by(col(LeaseEvent.no).desc()).limit(1)
    ).first()
    number = (newest or 0) + 1
    event = LeaseEvent(
        contract_id=contract_id,
        no=number,
        at=at,
        kind=kind,
        day=day.isoformat(),
        actor=actor,
        data=dict(data),
    )
    db.add(sealed(event))
    db.flush()
    contract = contract_row(db, contract_id)
    firms = (contract.lessor_id, contract.lessee_id)
    tell(db, firms, WebhookKind.CONTRACT_CHANGED, "contract", contract_id, at, step=kind, day=day.isoformat())
    return number


def _add_version(
    db: CommerceDb,
    contract_id: str,
    number: int,
    effective: date,
    terms: LeaseTerms,
    rated_kwh: Mapping[str, Decimal],
    kind: str,
    at: datetime,
    actor: str,
    reason: str = "",
) -> None:
    stored, rated = terms.stored(), {name: str(value) for name, value in rated_kwh.items()}
    day = effective.isoformat()
    db.add(
        LeaseVersion(
            contract_id=contract_id,
            version=number,
            effective_day=day,
            terms=stored,
            rated_kwh=rated,
            made_at=at,
            made_by=actor,
        )
    )
    db.flush()
    if kind != VERSION_OFFERED:
        _name_vehicles(db, contract_id, number, terms)
    data = {"version": number, "hash": terms_hash(stored, rated, day)}
    note(db, contract_id, kind, effective, at=at, actor=actor, data=data | ({"reason": reason} if reason else {}))


def _name_vehicles(db: CommerceDb, contract_id: str, number: int, terms: LeaseTerms) -> None:
    """The contract is one of the vehicles of a version from now on."""
    db.add_all([LeaseVehicle(contract_id=contract_id, version=number, vehicle_id=name) for name in terms.vehicles])
    db.info.pop(_KNOWN, None)
    db.flush()


def _check(db: AnyDb, terms: LeaseTerms) -> dict[str, Decimal]:
    """Rated energy by kind. Raises InvalidInput for what the register or the stations do not have."""
    for name, firm in (("lessor_id", terms.lessor_id), ("lessee_id", terms.lessee_id)):
        if db.get(Party, firm) is None:
            raise InvalidInput(name, firm, N_("the id of a firm of the register"))
    for vehicle_id in _not_lessees(db, terms):
        raise InvalidInput("vehicles", vehicle_id, N_("vehicles of {lessee_id}"), lessee_id=terms.lessee_id)
    known = set(db.exec(select(Station.id).where(col(Station.id).in_(terms.stations))))
    for station_id in terms.stations:
        if station_id not in known:
            raise InvalidInput("stations", station_id, N_("the id of a station"))
    kinds = kinds_at(db, terms.stations)
    rated: dict[str, Decimal] = {}
    for part in terms.entitlement:
        kind = db.get(PackKindRow, part.kind)
        if kind is None or part.kind not in kinds:
            raise InvalidInput(
                "entitlement",
                part.kind,
                N_("a kind that a station of the contract has: {kinds}"),
                kinds=", ".join(sorted(kinds)) or "-",
            )
        rated[part.kind] = Decimal(repr(float(kind.rated_kwh)))
    return rated


def _not_lessees(db: AnyDb, terms: LeaseTerms) -> list[str]:
    """Vehicles of a contract that are not on the register as the lessee's."""
    found = ((vehicle_id, db.get(VehicleRow, vehicle_id)) for vehicle_id in terms.vehicles)
    return [vehicle_id for vehicle_id, row in found if row is None or row.fleet_id != terms.lessee_id]


def _still_lessees(db: AnyDb, contract_id: str, terms: LeaseTerms) -> None:
    """Since a contract was drafted or offered a vehicle may have gone to another firm. Raises VehicleNotLessees."""
    gone = _not_lessees(db, terms)
    if gone:
        raise VehicleNotLessees(
            N_("vehicle {vehicle_id} of contract {contract_id} is not of {lessee_id} any more"),
            {"contract_id": contract_id, "vehicle_id": gone[0], "lessee_id": terms.lessee_id},
        )


def kinds_at(db: AnyDb, stations: Iterable[str]) -> set[str]:
    """Kinds of packs that stations have or have had."""
    names = list(stations)
    away, _ = elsewhere(db)
    told = files_told(db, [name for name in names if name in away])
    kinds: set[str] = {told.value("pack", pack_id, "kind") for pack_id in told.ids("pack")} - {None}
    here = [name for name in names if name not in away]
    if here:
        there = select(Pack.kind).join(Bay, col(Bay.id) == Pack.bay_id).where(col(Bay.station_id).in_(here)).distinct()
        kinds |= set(db.exec(there))
    been = select(CustodyMove.pack_id).where(col(CustodyMove.station_id).in_(names)).distinct()
    return kinds | {pack.kind for pack in packs_on_record(db, db.exec(been)).values()}


def _no_overlap(db: AnyDb, contract_id: str, lease: LeaseHistory) -> None:
    for vehicle_id in lease.terms.vehicles:
        own = lease.days_of(vehicle_id, binding=True)
        for other_id in contracts_of_vehicle(db, vehicle_id):
            if other_id == contract_id:
                continue
            for days in binding_days(db, other_id, vehicle_id):
                common = next((days.within(mine) for mine in own if days.within(mine).count), None)
                if common is not None:
                    raise ContractsOverlap(
                        N_("vehicle {vehicle_id} has contract {contract_id} from {first} to {last} already"),
                        {"contract_id": other_id, "vehicle_id": vehicle_id},
                        first=common.first.isoformat(),
                        last=(common.until - DAY).isoformat(),
                    )


def binding_days(db: AnyDb, contract_id: str, vehicle_id: str) -> tuple[Days, ...]:
    """The days on which a signed contract counts, or will count, for a vehicle."""
    state = contract_row(db, contract_id).state
    if state not in (*BINDING, *CHARGED):
        return ()
    return lease_of(db, contract_id).days_of(vehicle_id, binding=state in BINDING)


_LEASED: Table = LeaseVehicle.__table__  # type: ignore[attr-defined]
# Of the table, and made once: each booking asks it.
_OF_VEHICLE = sql_select(_LEASED.c.contract_id).where(_LEASED.c.vehicle_id == bindparam("vehicle")).distinct()
_KNOWN = "contracts_of_vehicles"
"""What a session has read of it, until it names a vehicle in a contract."""


def contracts_of_vehicle(db: AnyDb, vehicle_id: str) -> tuple[str, ...]:
    """Every contract that a version has named a vehicle in, versions that nobody has signed aside."""
    known: dict[str, tuple[str, ...]] = db.info.setdefault(_KNOWN, {})
    if vehicle_id not in known:
        db.flush()
        found = connected(db).execute(_OF_VEHICLE, {"vehicle": vehicle_id}).scalars()
        known[vehicle_id] = tuple(sorted(found))
    return known[vehicle_id]


def contract_row(db: AnyDb, contract_id: str) -> LeaseContract:
    """The row of a contract. Raises NotFound."""
    row = db.get(LeaseContract, contract_id)
    if row is None:
        raise NotFound("contract", contract_id)
    return row


def events_of(db: AnyDb, contract_id: str) -> tuple[LeaseEvent, ...]:
    """What happened to a contract, in order."""
    query = select(LeaseEvent).where(LeaseEvent.contract_id == contract_id).order_by(col(LeaseEvent.no))
    return tuple(db.exec(query))


def lease_of(db: AnyDb, contract_id: str) -> LeaseHistory:
    """A contract with its versions in force and what happened to it. Raises NotFound."""
    found = leases_of(db, [contract_id])
    if not found:
        raise NotFound("contract", contract_id)
    return found[0]


def leases_of(db: AnyDb, contract_ids: Iterable[str]) -> tuple[LeaseHistory, ...]:
    """Several contracts, in the order asked for; those that are not there are left out."""
    names = list(contract_ids)
    versions: dict[str, list[LeaseVersion]] = defaultdict(list)
    rows = db.exec(select(LeaseVersion).where(col(LeaseVersion.contract_id).in_(names)))
    for row in rows:
        versions[row.contract_id].append(row)
    events: dict[str, list[LeaseEvent]] = defaultdict(list)
    for event in db.exec(select(LeaseEvent).where(col(LeaseEvent.contract_id).in_(names))):
        events[event.contract_id].append(event)
    return tuple(lease_from(name, versions[name], events[name]) for name in names if versions[name])


def lease_from(contract_id: str, versions: Iterable[Any], events: Iterable[Any]) -> LeaseHistory:
    """A contract from its rows, with the versions that are in force. Raises ValueError and LookupError for rows that
    no version of this program has written."""
    told = sorted(events, key=lambda event: event.no)
    states = version_states(told)
    made = tuple(
        _version(row)
        for row in sorted(versions, key=lambda row: row.version)
        if states.get(row.version) is VersionState.IN_FORCE
    )
    active: date | None = None
    suspensions: list[Days] = []
    ended: date | None = None
    for event in told:
        day = date.fromisoformat(event.day)
        if event.kind == LeaseTrigger.ACTIVATE:
            active = day
        elif event.kind == LeaseTrigger.SUSPEND:
            suspensions.append(Days(day, date.max))
        elif event.kind == LeaseTrigger.RESUME and suspensions:
            suspensions[-1] = Days(suspensions[-1].first, day)
        elif event.kind == LeaseTrigger.END:
            ended = day
    return LeaseHistory(contract_id, made, active, tuple(suspensions), ended)


def _version(row: Any) -> Version:
    return Version(
        row.version,
        date.fromisoformat(row.effective_day),
        LeaseTerms.model_validate(row.terms),
        {kind: Decimal(value) for kind, value in row.rated_kwh.items()},
    )
