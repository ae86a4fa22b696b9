"""Contracts: their versions as they were put on record, and where their events have brought them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import col

from swap.audit.findings import Findings
from swap.audit.rows import Reader
from swap.commerce.leases.contracts import ANSWERS, VERSION_OFFERED, lease_from, terms_hash, version_states
from swap.commerce.leases.lease import LeaseHistory
from swap.commerce.leases.rights import LONGEST
from swap.commerce.leases.states import BINDING, CHARGED, LEASE, LeaseTrigger, VersionState, VersionStep
from swap.commerce.seals import row_digest
from swap.commerce.strandings import ACTOR
from swap.register.persons import PREFIX
from swap.tables import LeaseContract, LeaseEvent, LeaseVehicle, LeaseVersion, Person, VehicleOverride
from swap.zones import zone_names

BOUND = {
    "drafted": {"version", "hash"},
    "revised": {"version", "hash"},
    VERSION_OFFERED: {"version", "hash"},
    **{kind: {"version"} for kind in ANSWERS.values()},
    "arrears": {"amount_yuan", "bites_at"},
    "arrears_cleared": set(),
    "credit_override": {"until_at"},
    "safety_override": {"until_at", "vehicle_id"},
    "stranding": {"vehicle_id", "station_id", "swap_id"},
    "damage": {"pack_id", "code"},
    "buy_out": {"pack_id"},
    **{trigger.value: set[str]() for trigger in LeaseTrigger},
}
"""What an event of each kind says, besides a reason."""
PUT_ON_RECORD = ("drafted", "revised", VERSION_OFFERED)
"""Events that tell of a new version."""
NOTED = (
    ANSWERS[VersionStep.DECLINE], ANSWERS[VersionStep.WITHDRAW],
    "arrears", "arrears_cleared", "credit_override", "safety_override", "stranding", "damage", "buy_out",
)  # fmt: skip
"""Events of the day on which they are noted; a step may count from another."""
LIMITED = {"credit_override": {"station_id"}, "safety_override": {"station_id"}}
"""What it may say too: where an override counts."""


@dataclass(frozen=True, slots=True)
class ContractFile:
    """A contract with everything that is on record of it."""

    row: Any
    lease: LeaseHistory
    """As it is known now."""
    versions: tuple[Any, ...]
    events: tuple[Any, ...]
    """In their order."""

    def known(self, at: datetime, before_no: int | None = None) -> LeaseHistory | None:
        """The contract as it was known at an instant; None where it was not.

        Args:
            before_no: leave out this event and those after it.
        """
        versions = [version for version in self.versions if version.made_at <= at]
        events = [event for event in self.events if event.at <= at and (before_no is None or event.no < before_no)]
        return _lease(self.row.id, versions, events) if versions else None

    def changed_after(self, at: datetime) -> bool:
        """Whether anything was put on record after an instant."""
        return any(version.made_at > at for version in self.versions) or any(event.at > at for event in self.events)


def check_contracts(reader: Reader, findings: Findings) -> dict[str, ContractFile]:
    """Every check of contracts by themselves; those that can be read, by id."""
    contracts = _contracts(reader, findings)
    _apart(findings, contracts)
    _overrides(reader, findings)
    return contracts


def _contracts(reader: Reader, findings: Findings) -> dict[str, ContractFile]:
    kept, told = findings["lease_versions_kept"], findings["lease_in_its_events"]
    versions: dict[str, list[Any]] = defaultdict(list)
    events: dict[str, list[Any]] = defaultdict(list)
    vehicles: dict[tuple[str, int], set[str]] = defaultdict(set)
    for row in reader.rows(LeaseVersion, order=(col(LeaseVersion.contract_id), col(LeaseVersion.version))):
        versions[row.contract_id].append(row)
    for row in reader.rows(LeaseEvent, order=(col(LeaseEvent.contract_id), col(LeaseEvent.no))):
        events[row.contract_id].append(row)
    for row in reader.rows(LeaseVehicle):
        vehicles[row.contract_id, row.version].add(row.vehicle_id)
    found: dict[str, ContractFile] = {}
    persons = persons_known(reader)
    for row in reader.rows(LeaseContract, order=(col(LeaseContract.id),)):
        own = {version.version: version for version in versions[row.id]}
        states = _states(events[row.id])
        _signed(findings["lease_versions_signed"], row, events[row.id], own)
        for event in events[row.id]:
            whole = row_digest(LeaseEvent, event._replace(data=object_of(event.data)))
            told.look(
                whole == event.digest,
                f"lease_event {event.contract_id}:{event.no}: it is not what its digest was made from",
            )
            by = persons if event.kind != "stranding" else None
            known_actor(findings, by, f"lease_event {event.contract_id}:{event.no}", event.actor, event.at)
            data = object_of(event.data)
            expected = BOUND.get(event.kind)
            told.look(
                expected is not None and data.keys() - {"reason", *LIMITED.get(event.kind, ())} == expected,
                f"lease_event {event.contract_id}:{event.no}: data of kind {event.kind} has {sorted(data)}",
            )
            if event.kind in NOTED:
                day = event.at.astimezone(_zone(row.zone)).date().isoformat()
                name = f"lease_event {event.contract_id}:{event.no}"
                told.look(event.day == day, f"{name}: day is {event.day}, it was noted on {day}")
            if event.kind in PUT_ON_RECORD:
                version = own.pop(data.get("version", 0), None)
                in_force = states.get(data.get("version", 0)) is VersionState.IN_FORCE
                _kept(kept, row.id, version, event, data, vehicles, in_force=in_force)
        for number in own:
            kept.look(False, f"lease_version {row.id}:{number}: no event put it on record")
        _moved(told, row, events[row.id])
        try:
            lease = _lease(row.id, versions[row.id], events[row.id])
            terms = lease.versions[0].terms
            assert all(version.capacity_kwh >= 0 for version in lease.versions)
        except (ValueError, LookupError, ArithmeticError) as error:
            kept.look(False, f"lease_contract {row.id}: its versions cannot be read: {str(error)[:200]}")
            continue
        for name, value in (("lessor_id", terms.lessor_id), ("lessee_id", terms.lessee_id), ("zone", terms.zone)):
            told.look(getattr(row, name) == value, f"lease_contract {row.id}: {name} is not that of its versions")
        first = terms.first_day.isoformat()
        told.look(row.first_day == first, f"lease_contract {row.id}: first_day is not that of its versions, {first}")
        found[row.id] = ContractFile(row, lease, tuple(versions[row.id]), tuple(events[row.id]))
    return found


def _states(events: Sequence[Any]) -> dict[Any, VersionState]:
    """Where versions stand; nothing where an event names none, which is told of it."""
    try:
        return dict[Any, VersionState](version_states(map(plain_event, events)))
    except LookupError:
        return {}


def _signed(found: Any, row: Any, events: Sequence[Any], versions: Mapping[int, Any]) -> None:
    """No version counts without the lessee's word, but those of which an earlier release did not ask for it."""
    triggers = {trigger.value: trigger for trigger in LeaseTrigger}
    answers = set(ANSWERS.values())
    state, unsigned, waiting = LEASE.initial, 0, 0
    for event in events:
        number, where = object_of(event.data).get("version", 0), f"lease_event {row.id}:{event.no}"
        if event.kind in triggers and LEASE.allows(state, triggers[event.kind]):
            state = LEASE.next(state, triggers[event.kind])
        elif event.kind == "revised" and state is not LEASE.initial:
            unsigned = number
        elif event.kind == VERSION_OFFERED:
            found.look(state in BINDING, f"{where}: version {number} is offered while the contract is {state}")
            found.look(not waiting, f"{where}: version {number} is offered, and version {waiting} waits")
            waiting = number
        elif event.kind in answers:
            found.look(number == waiting, f"{where}: {event.kind} of version {number}, which was not offered")
            found.look(state in BINDING, f"{where}: version {number} is answered while the contract is {state}")
            waiting = 0
            if event.kind == ANSWERS[VersionStep.SIGN] and number in versions:
                day = versions[number].effective_day
                found.look(event.day == day, f"{where}: day is {event.day}, version {number} counts from {day}")
    found.look(
        row.last_unsigned_version == unsigned,
        f"lease_contract {row.id}: last_unsigned_version is {row.last_unsigned_version}, and the last version that "
        f"counts without the lessee's signature is {unsigned}",
    )


def plain_event(event: Any) -> Any:
    """An event as `lease_from` takes it, of a row as it is stored."""
    return SimpleNamespace(no=event.no, kind=event.kind, day=event.day, at=event.at, data=object_of(event.data))


def _overrides(reader: Reader, findings: Findings) -> None:
    """Vehicles without a contract that people have had served."""
    found, persons, numbers = findings["overrides_kept"], persons_known(reader), Counter[str]()
    for row in reader.rows(VehicleOverride, order=(col(VehicleOverride.vehicle_id), col(VehicleOverride.no))):
        name = f"vehicle_override {row.vehicle_id}:{row.no}"
        numbers[row.vehicle_id] += 1
        number = numbers[row.vehicle_id]
        found.look(row.no == number, f"{name}: no is {row.no}, it is number {number} of its vehicle_id")
        found.look(row_digest(VehicleOverride, row) == row.digest, f"{name}: it is not what its digest was made from")
        bounded = row.at < row.until_at <= row.at + LONGEST
        found.look(bounded, f"{name}: until_at is {row.until_at.isoformat()}, given at {row.at.isoformat()}")
        known_actor(findings, persons, name, row.actor, row.at)


def _zone(name: str) -> tzinfo:
    """A time zone; UTC for a name of none, which its terms contradict."""
    return ZoneInfo(name) if name in zone_names() else UTC


def _kept(
    kept: Any,
    contract_id: str,
    version: Any,
    event: Any,
    data: Mapping[str, Any],
    vehicles: Mapping[tuple[str, int], set[str]],
    *,
    in_force: bool,
) -> None:
    where = f"lease_event {event.contract_id}:{event.no}"
    if not kept.look(version is not None, f"{where} tells of version {data.get('version')}, which is not there"):
        return
    name = f"lease_version {contract_id}:{version.version}"
    terms = object_of(version.terms)
    made = terms_hash(terms, object_of(version.rated_kwh), version.effective_day)
    kept.look(made == data.get("hash"), f"{name}: terms, rated_kwh or effective_day are not what {where} put on record")
    kept.same(name, where, version, {"made_at": event.at, "made_by": event.actor, "effective_day": event.day})
    named = vehicles.get((contract_id, version.version), set())
    wrong = named ^ set(terms.get("vehicles", ()) if in_force else ())
    told = "is not in its terms" if in_force else "is named, and nobody has signed it"
    kept.look(not wrong, f"lease_vehicle {contract_id}:{version.version}: {', '.join(sorted(wrong))} {told}")


def _moved(told: Any, row: Any, events: list[Any]) -> None:
    numbers = [event.no for event in events]
    told.look(
        numbers == list(range(1, len(numbers) + 1)),
        f"lease_contract {row.id}: its events (no) are numbered {', '.join(map(str, numbers))}",
    )
    triggers = {trigger.value: trigger for trigger in LeaseTrigger}
    state = LEASE.initial
    for event in events:
        if event.kind not in triggers:
            continue
        legal = LEASE.allows(state, triggers[event.kind])
        told.look(legal, f"lease_event {row.id}:{event.no}: {event.kind} is not possible in state {state}")
        if legal:
            state = LEASE.next(state, triggers[event.kind])
    told.look(row.state == state, f"lease_contract {row.id}: state is {row.state}, its events lead to {state}")
    first = events[0] if events else None
    told.look(
        first is not None and first.kind == "drafted" and first.at == row.made_at,
        f"lease_contract {row.id}: made_at is {row.made_at.isoformat()}, no event drafted it then",
    )
    for event, following in pairwise(events):
        told.look(event.at <= following.at, f"lease_event {row.id}:{following.no}: at is before that of the one before")


def _apart(findings: Findings, contracts: Mapping[str, ContractFile]) -> None:
    found = findings["leases_apart"]
    spans: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for contract_id, contract in contracts.items():
        state = contract.row.state
        if state not in (*BINDING, *CHARGED):
            continue
        for vehicle in {name for version in contract.lease.versions for name in version.terms.vehicles}:
            for days in contract.lease.days_of(vehicle, binding=state in BINDING):
                spans[vehicle].append((days, contract_id))
    for vehicle, held in spans.items():
        held.sort(key=lambda one: (one[0].first, one[0].until, one[1]))
        for (days, contract_id), (later, other) in pairwise(held):
            found.look(
                days.until <= later.first,
                f"vehicle {vehicle} has contracts {contract_id} and {other} on {later.first.isoformat()}",
            )
        found.examined += 1


def _lease(contract_id: str, versions: Sequence[Any], events: Sequence[Any]) -> LeaseHistory:
    """A contract from its rows as they are stored. Raises ValueError, LookupError, ArithmeticError."""
    plain = [
        SimpleNamespace(
            version=version.version,
            effective_day=version.effective_day,
            terms=object_of(version.terms),
            rated_kwh=object_of(version.rated_kwh),
        )
        for version in versions
    ]
    return lease_from(contract_id, plain, map(plain_event, events))


def persons_known(reader: Reader) -> dict[str, datetime]:
    """Since when each person is known."""
    return {PREFIX + row.id: row.known_since_at for row in reader.rows(Person, judged=False)}


def known_actor(
    findings: Findings, persons: Mapping[str, datetime] | None, what: str, actor: str, at: datetime
) -> None:
    """What people do was done by a person who was known then.

    Args:
        persons: since when each is known; None for what commerce does by itself.
    """
    found = findings["actors_known"]
    if persons is None:
        found.look(actor == ACTOR, f"{what}: actor is {actor}, only {ACTOR} does so")
        return
    since = persons.get(actor)
    known = since is not None and since <= at
    found.look(known, f"{what}: actor {actor} is not a person known at {at.isoformat()}")


def object_of(text: str) -> dict[str, Any]:
    """The JSON object of a text; an empty one for what is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
