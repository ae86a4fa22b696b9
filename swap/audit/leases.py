"""Lease contracts, their rents, and custody: as their events, the journals and the contracts themselves say."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from sqlmodel import col

from swap.audit.findings import Findings
from swap.audit.rows import Reader
from swap.commerce.custody.spans import PackMove, gaps, vehicle_of
from swap.commerce.leases.contracts import lease_from, terms_hash
from swap.commerce.leases.lease import LeaseHistory
from swap.commerce.leases.lines import fen_of
from swap.commerce.leases.measured import Facts
from swap.commerce.leases.periods import DAY, is_month
from swap.commerce.leases.rating import rate
from swap.commerce.leases.rent import rated_months
from swap.commerce.leases.states import BINDING, CHARGED, LEASE, LeaseTrigger
from swap.messages.commerce import BillIssued
from swap.messages.events import SwapQueued, read_event_text
from swap.messages.packs import PackMoved, PackRead
from swap.register.persons import PREFIX
from swap.tables import (
    ChargeRow,
    CustodyMark,
    CustodyMove,
    LeaseContract,
    LeaseEvent,
    LeaseVehicle,
    LeaseVersion,
    Pack,
    Person,
    ReadingRow,
    RentRun,
    StationEvent,
)

BOUND = {
    "drafted": {"version", "hash"},
    "revised": {"version", "hash"},
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
LIMITED = {"credit_override": {"station_id"}, "safety_override": {"station_id"}}
"""What it may say too: where an override counts."""


@dataclass(frozen=True, slots=True)
class _Contract:
    row: Any
    lease: LeaseHistory


def check_leases(reader: Reader, findings: Findings) -> None:
    """Every check of contracts and their charges, and of custody. The journals have been walked."""
    contracts = _contracts(reader, findings)
    _apart(findings, contracts)
    _charges(reader, findings, contracts)
    _custody(reader, findings)
    _readings(reader, findings)


def _contracts(reader: Reader, findings: Findings) -> dict[str, _Contract]:
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
    found: dict[str, _Contract] = {}
    persons = _persons(reader)
    for row in reader.rows(LeaseContract, order=(col(LeaseContract.id),)):
        own = {version.version: version for version in versions[row.id]}
        for event in events[row.id]:
            _known(findings, persons, f"lease_event {event.contract_id}:{event.no}", event.actor, event.at)
            data = _object(event.data)
            expected = BOUND.get(event.kind)
            told.look(
                expected is not None and data.keys() - {"reason", *LIMITED.get(event.kind, ())} == expected,
                f"lease_event {event.contract_id}:{event.no}: data of kind {event.kind} has {sorted(data)}",
            )
            if event.kind in ("drafted", "revised"):
                version = own.pop(data.get("version", 0), None)
                _kept(kept, row.id, version, event, data, vehicles)
        for number in own:
            kept.look(False, f"lease_version {row.id}:{number}: no event put it on record")
        _moved(told, row, events[row.id])
        try:
            plain = [
                SimpleNamespace(
                    version=version.version,
                    effective_day=version.effective_day,
                    terms=_object(version.terms),
                    rated_kwh=_object(version.rated_kwh),
                )
                for version in versions[row.id]
            ]
            lease = lease_from(row.id, plain, events[row.id])
            terms = lease.versions[0].terms
            assert all(version.capacity_kwh >= 0 for version in lease.versions)
        except (ValueError, LookupError, ArithmeticError) as error:
            kept.look(False, f"lease_contract {row.id}: its versions cannot be read: {str(error)[:200]}")
            continue
        for name, value in (("lessor_id", terms.lessor_id), ("lessee_id", terms.lessee_id), ("zone", terms.zone)):
            told.look(getattr(row, name) == value, f"lease_contract {row.id}: {name} is not that of its versions")
        first = terms.first_day.isoformat()
        told.look(row.first_day == first, f"lease_contract {row.id}: first_day is not that of its versions, {first}")
        found[row.id] = _Contract(row, lease)
    return found


def _kept(
    kept: Any,
    contract_id: str,
    version: Any,
    event: Any,
    data: Mapping[str, Any],
    vehicles: Mapping[tuple[str, int], set[str]],
) -> None:
    where = f"lease_event {event.contract_id}:{event.no}"
    if not kept.look(version is not None, f"{where} tells of version {data.get('version')}, which is not there"):
        return
    name = f"lease_version {contract_id}:{version.version}"
    terms = _object(version.terms)
    made = terms_hash(terms, _object(version.rated_kwh), version.effective_day)
    kept.look(made == data.get("hash"), f"{name}: terms, rated_kwh or effective_day are not what {where} put on record")
    kept.same(name, where, version, {"made_at": event.at, "made_by": event.actor, "effective_day": event.day})
    named = vehicles.get((contract_id, version.version), set())
    wrong = named ^ set(terms.get("vehicles", ()))
    kept.look(
        not wrong, f"lease_vehicle {contract_id}:{version.version}: {', '.join(sorted(wrong))} is not in its terms"
    )


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


def _apart(findings: Findings, contracts: Mapping[str, _Contract]) -> None:
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


def _charges(reader: Reader, findings: Findings, contracts: Mapping[str, _Contract]) -> None:
    due, complete, owner = findings["lease_charge_due"], findings["rents_complete"], findings["charge_names_own_pack"]
    sums: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    charged: set[tuple[str, str, str]] = set()
    owners = {row.id: row.owner_id for row in reader.rows(Pack, judged=False)}
    for row in reader.rows(ChargeRow, order=(col(ChargeRow.id),)):
        if row.pack_id is not None and row.contract_id is not None:
            own = owners.get(row.pack_id) == row.seller_id or row.kind == "buy_out"
            owner.look(own, f"charge {row.id}: seller_id is {row.seller_id}, pack {row.pack_id} is another's")
        if row.contract_id is None:
            continue
        contract = contracts.get(row.contract_id)
        if not due.look(contract is not None, f"charge {row.id} is of contract {row.contract_id}, which is not there"):
            continue
        assert contract is not None
        _due(due, row, contract)
        if row.source.startswith("rent:"):
            sums[row.period] += row.amount_fen
            counts[row.period] += 1
            charged.add((row.contract_id, str(row.basis.get("rated")), str(row.basis.get("group"))))
    runs = {row.month: row for row in reader.rows(RentRun, order=(col(RentRun.month),))}
    for month, run in runs.items():
        if not complete.look(is_month(month), f"rent_run {month}: month is none"):
            continue
        complete.look(
            run.charges == counts[month], f"rent_run {month}: charges is {run.charges}, made: {counts[month]}"
        )
        complete.look(
            run.amount_fen == sums[month], f"rent_run {month}: amount_fen is {run.amount_fen}, made: {sums[month]}"
        )
    closed = [month for month in runs if is_month(month)]
    if closed:
        _complete(complete, contracts, max(closed), charged)


def _due(due: Any, row: Any, contract: _Contract) -> None:
    lease = contract.lease
    version = next((one for one in lease.versions if one.number == row.contract_version), None)
    if not due.look(version is not None, f"charge {row.id}: contract {lease.id} has no version {row.contract_version}"):
        return
    due.look(lease.active_from is not None, f"charge {row.id}: contract {lease.id} was never active")
    terms = lease.terms
    for name, value in (("seller_id", terms.lessor_id), ("buyer_id", terms.lessee_id)):
        due.look(
            getattr(row, name) == value, f"charge {row.id}: {name} is {getattr(row, name)}, the contract's {value}"
        )
    if row.from_at is not None and lease.active_from is not None:
        first = row.from_at.astimezone(terms.tz).date()
        last = (row.until_at.astimezone(terms.tz)).date() - DAY
        active = first >= lease.active_from and (row.kind == "occupancy" or last < lease.until_day)
        corrected = row.corrects_id is not None or row.basis.get("rated") != row.period
        if corrected and not active:
            due.wait()  # charged before the contract was changed; the difference is corrected
        else:
            due.look(active, f"charge {row.id}: contract {lease.id} was not active from {first} to {last}")
    factors = {name: Fraction(text) for name, text in dict(row.basis.get("factors", {})).items()}
    quantity = Decimal(row.quantity_1e6).scaleb(-6)
    amount = fen_of(quantity, Decimal(row.unit_price_1e4_yuan).scaleb(-4), factors)
    due.look(amount == row.amount_fen, f"charge {row.id}: amount_fen is {row.amount_fen}, should be {amount}")


def _complete(complete: Any, contracts: Mapping[str, _Contract], last: str, charged: set[tuple[str, str, str]]) -> None:
    """What is due by time alone has been charged for each closed month, whatever the amount."""
    for contract_id, contract in contracts.items():
        lease = contract.lease
        if lease.active_from is None or contract.row.state not in CHARGED:
            continue
        for month in rated_months(lease, last):
            period = lease.terms.calendar.ending_in(month)
            if period is None:
                continue
            for line in rate(lease, period, Facts()):
                if line.kind in ("rent", "fee"):
                    complete.look(
                        (contract_id, month, line.group) in charged,
                        f"contract {contract_id}: {line.group} of {month} is due and was not charged",
                    )


def _custody(reader: Reader, findings: Findings) -> None:
    told, unbroken = findings["custody_in_journal"], findings["custody_unbroken"]
    marks = {row.station_id: row.seq for row in reader.rows(CustodyMark)}
    newest: Counter[str] = Counter()
    oldest: dict[str, int] = {}
    rows = {(row.station_id, row.seq): row for row in reader.rows(CustodyMove)}
    order = (col(StationEvent.station_id), col(StationEvent.seq))
    for event in reader.rows(StationEvent, col(StationEvent.station_id).in_(list(marks)), order=order, judged=False):
        newest[event.station_id] = max(newest[event.station_id], event.seq)
        oldest.setdefault(event.station_id, event.seq)
        if event.kind != PackMoved.kind or event.pack_id is None:
            continue
        name = f"custody_move {event.station_id}:{event.seq}"
        row = rows.pop((event.station_id, event.seq), None)
        if event.seq > marks[event.station_id]:
            told.wait()
            continue
        if not told.look(row is not None, f"{name}: the move of pack {event.pack_id} was not taken over"):
            continue
        assert row is not None
        try:
            said = read_event_text(event.kind, event.data)
        except ValueError:
            continue  # told by the walk along the journals
        if not isinstance(said, PackMoved):
            continue
        vehicles = [place.split(":")[1] for place in (said.target, said.source) if place.startswith("vehicle:")]
        energy = None if said.energy_kwh is None else round(Decimal(repr(said.energy_kwh)) * 100)
        values = {
            "at": event.at,
            "pack_id": event.pack_id,
            "source": said.source,
            "target": said.target,
            "swap_id": event.swap_id,
            "energy_centi_kwh": energy,
            "vehicle_id": vehicles[0] if vehicles else None,
        }
        told.same(name, f"event {event.seq} of station {event.station_id}", row, values)
    for station_id in {station_id for station_id, _ in rows} - marks.keys():
        told.look(False, f"custody_move: station {station_id} has moves, and no custody_mark (station_id)")
    for station_id, seq in rows:
        foreign = station_id not in newest or seq < oldest[station_id]  # kept elsewhere, or archived
        told.look(foreign, f"custody_move {station_id}:{seq}: no event of a journal tells of it")
    for station_id, seq in marks.items():
        here = station_id not in newest or seq <= newest[station_id]
        told.look(here, f"custody_mark {station_id}: seq is {seq}, its journal ends at {newest[station_id]}")
    moves: dict[str, list[PackMove]] = defaultdict(list)
    for row in reader.rows(CustodyMove, order=(col(CustodyMove.pack_id), col(CustodyMove.at)), judged=False):
        moves[row.pack_id].append(
            PackMove(row.pack_id, row.at, row.station_id, row.seq, row.source, row.target, row.holder_id, row.swap_id)
        )
    for pack_id, own in moves.items():
        wrong = gaps(own)
        unbroken.look(not wrong, f"custody of pack {pack_id} has gaps: {'; '.join(wrong)}")


def _readings(reader: Reader, findings: Findings) -> None:
    found = findings["readings_in_journal"]
    numbers: dict[tuple[str, str, Any], list[int]] = defaultdict(list)
    asked: dict[tuple[str, int], list[Any]] = defaultdict(list)
    persons = _persons(reader)
    for row in reader.rows(ReadingRow, order=(col(ReadingRow.id),)):
        numbers[row.subject, row.quantity, row.at].append(row.no)
        if row.origin != "journal":
            _known(findings, persons, f"reading {row.id}", row.actor, row.made_at)
            found.wait()
            continue
        station_id, _, seq = row.actor.rpartition(":")
        if found.look(seq.isdigit() and bool(station_id), f"reading {row.id}: actor is {row.actor}, no event"):
            asked[station_id, int(seq)].append(row)
    for (subject, quantity, at), given in numbers.items():
        found.look(
            sorted(given) == list(range(1, len(given) + 1)),
            f"readings of {subject}, {quantity}, at {at.isoformat()} are numbered (no) {', '.join(map(str, given))}",
        )
    stations = {station_id for station_id, _ in asked}
    known: dict[tuple[str, int], Any] = {}
    for event in reader.rows(StationEvent, col(StationEvent.station_id).in_(sorted(stations)), judged=False):
        if (event.station_id, event.seq) in asked:
            known[event.station_id, event.seq] = event
    oldest: dict[str, int] = {}
    for station_id, seq in known:
        oldest[station_id] = min(oldest.get(station_id, seq), seq)
    for key, rows in asked.items():
        event = known.get(key)
        for row in rows:
            if event is None:
                found.look(
                    key[1] < oldest.get(key[0], key[1] + 1),
                    f"reading {row.id}: actor {row.actor} is no event of a journal",
                )
                continue
            of, values = _readings_of(event)
            value = values.get(row.quantity)
            wanted = None if value is None else round(Decimal(repr(float(value))) * 10_000)
            where = f"event {event.seq} of station {event.station_id}"
            told = {"subject": of, "at": event.at, "value_1e4": wanted, "made_at": event.at}
            found.same(f"reading {row.id} ({row.quantity})", where, row, told)


def _readings_of(event: Any) -> tuple[str | None, dict[str, float]]:
    """Whose readings an event tells, by their name; nothing for one that tells of none, or cannot be read."""
    try:
        said = read_event_text(event.kind, event.data)
    except ValueError:
        return None, {}  # told by the walk along the journals
    if isinstance(said, PackRead):
        return event.pack_id, said.quantities()
    if isinstance(said, PackMoved) and said.odometer_km is not None:
        return vehicle_of(said.target) or vehicle_of(said.source), {"odometer_km": said.odometer_km}
    if isinstance(said, SwapQueued) and said.odometer_km is not None:
        return said.vehicle_id, {"odometer_km": said.odometer_km}
    if isinstance(said, BillIssued):
        prices = {line.unit_price_1e4_yuan for line in said.lines if line.kind == "energy"}
        return event.swap_id, {"energy_price": prices.pop() / 10_000} if len(prices) == 1 else {}
    return None, {}


def _persons(reader: Reader) -> dict[str, datetime]:
    """Since when each person is known."""
    return {PREFIX + row.id: row.known_since_at for row in reader.rows(Person, judged=False)}


def _known(findings: Findings, persons: Mapping[str, datetime], what: str, actor: str, at: datetime) -> None:
    """What people do was done by a person who was known then; `commerce` tells of strandings."""
    since = persons.get(actor)
    known = actor == "commerce" or (since is not None and since <= at)
    findings["actors_known"].look(known, f"{what}: actor {actor} is not a person known at {at.isoformat()}")


def _object(text: str) -> dict[str, Any]:
    """The JSON object of a text; an empty one for what is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
