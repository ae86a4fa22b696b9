"""What contracts have charged: between their parties, for days that they cover, what their acts ask, and, rated again,
what their versions and readings make it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlmodel import col

from swap.audit.findings import Findings, listed
from swap.audit.leases.contracts import ContractFile, object_of
from swap.audit.rows import Reader
from swap.commerce.charges import half_up, whole
from swap.commerce.leases.facts import gather
from swap.commerce.leases.lease import LeaseHistory
from swap.commerce.leases.lines import fen_of
from swap.commerce.leases.periods import DAY, is_month, months_between, start_of
from swap.commerce.leases.rating import early_end_yuan, rate, residual_yuan
from swap.commerce.leases.rent import rated_months
from swap.commerce.leases.settle import STRANDING, act_source, stranding_source
from swap.commerce.leases.terms import BuyOut, Component, Damage
from swap.commerce_db import CommerceDb
from swap.messages.commerce import StrandingServed
from swap.messages.events import read_event_text
from swap.tables import ChargeRow, CustodyMove, Pack, ReadingRow, RentRun, StationEvent

RENT = "rent:"
"""Begins the source of what a rent run charges."""
CHARGED_WITHIN = timedelta(hours=1)
"""A stranding may be without its charge while its journal has not come further than this beyond it."""
AT_THE_RUN = timedelta(minutes=15)
"""What a journal told in so short a time before a rent run may have been read by it, or not."""
UNREADABLE = (ValueError, LookupError, ArithmeticError, TypeError, AssertionError)
"""What rows raise that no version of this program has written."""


@dataclass(slots=True)
class _Charged:
    """What is kept of all charges of contracts while they are read."""

    sums: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    rents: dict[str, Counter[tuple[str, str]]] = field(default_factory=lambda: defaultdict(Counter))
    """Fen by contract, and by rated month and thing, up to the last run."""
    acts: dict[str, Any] = field(default_factory=dict)
    """Rows of what no rent run has charged, by source; they are few."""
    deposits: dict[str, list[tuple[datetime, int]]] = field(default_factory=lambda: defaultdict(list))


def check_charges(
    reader: Reader, findings: Findings, contracts: Mapping[str, ContractFile], newest_at: Mapping[str, datetime]
) -> None:
    """Every check of what contracts have charged.

    Args:
        newest_at: how far the journal of each station has come.
    """
    complete = findings["rents_complete"]
    runs, told = dict[str, Any](), list[str]()
    for run in reader.rows(RentRun, order=(col(RentRun.month),)):
        told.append(run.month)
        runs[run.month] = run
    closed = [month for month in runs if is_month(month)]
    last = runs[max(closed)] if closed else None
    charged = _read(reader, findings, contracts, None if last is None else last.done_at)
    months = list(months_between(min(closed), max(closed))) if closed else []
    unclosed = [month for month in charged.counts if closed and month <= max(closed) and month not in runs]
    complete.look(not unclosed, f"rent_run: {listed(sorted(unclosed))} was charged, and was never closed (month)")
    complete.look(
        sorted(month for month in told if is_month(month)) == months,
        f"rent_run: months are {listed(told)}, and every one is closed once, none left out",
    )
    for month, run in runs.items():
        if complete.look(is_month(month), f"rent_run {month}: month is none"):
            for name, made in (("charges", charged.counts[month]), ("amount_fen", charged.sums[month])):
                stands = getattr(run, name)
                complete.look(stands == made, f"rent_run {month}: {name} is {stands}, made: {made}")
    _acts(reader, findings, contracts, charged, newest_at)
    if last is not None:
        _rated_again(reader, findings, contracts, charged, last)


def _read(
    reader: Reader, findings: Findings, contracts: Mapping[str, ContractFile], last_at: datetime | None
) -> _Charged:
    due, owner = findings["lease_charge_due"], findings["charge_names_own_pack"]
    owners = {row.id: row.owner_id for row in reader.rows(Pack, judged=False)}
    charged = _Charged()
    for row in reader.rows(ChargeRow, order=(col(ChargeRow.id),)):
        if row.contract_id is None:
            continue
        if row.pack_id is not None:
            own = owners.get(row.pack_id) == row.seller_id or row.kind == "buy_out"
            owner.look(own, f"charge {row.id}: seller_id is {row.seller_id}, pack {row.pack_id} is another's")
        contract = contracts.get(row.contract_id)
        if not due.look(contract is not None, f"charge {row.id} is of contract {row.contract_id}, which is not there"):
            continue
        assert contract is not None
        _due(due, row, contract)
        if not row.source.startswith(RENT):
            charged.acts[row.source] = row
            continue
        charged.sums[row.period] += row.amount_fen
        charged.counts[row.period] += 1
        if row.kind == "deposit":
            charged.deposits[row.contract_id].append((row.made_at, row.amount_fen))
        if last_at is not None and row.made_at <= last_at:
            thing = str(row.basis.get("rated")), str(row.basis.get("group"))
            charged.rents[row.contract_id][thing] += row.amount_fen
    return charged


def _due(due: Any, row: Any, contract: ContractFile) -> None:
    """As the contract was known when it was charged: what was agreed later is charged as a difference."""
    lease = _known(contract, row.made_at) or contract.lease
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
        last = row.until_at.astimezone(terms.tz).date() - DAY
        active = first >= lease.active_from and (row.kind == "occupancy" or last < lease.until_day)
        if row.corrects_id is not None and not active:
            due.wait()  # it gives back what was charged for days that the contract does not cover any more
        else:
            due.look(active, f"charge {row.id}: contract {lease.id} was not active from {first} to {last}")
    factors = {name: Fraction(text) for name, text in dict(row.basis.get("factors", {})).items()}
    quantity = Decimal(row.quantity_1e6).scaleb(-6)
    amount = fen_of(quantity, Decimal(row.unit_price_1e4_yuan).scaleb(-4), factors)
    due.look(amount == row.amount_fen, f"charge {row.id}: amount_fen is {row.amount_fen}, should be {amount}")


def _known(contract: ContractFile, at: datetime, before_no: int | None = None) -> LeaseHistory | None:
    try:
        return contract.known(at, before_no)
    except UNREADABLE:
        return None  # told by the contract's own checks


# what persons and trucks have done


def _acts(
    reader: Reader,
    findings: Findings,
    contracts: Mapping[str, ContractFile],
    charged: _Charged,
    newest_at: Mapping[str, datetime],
) -> None:
    found = findings["contract_acts_charged"]
    strandings = {source: row for source, row in charged.acts.items() if row.kind == STRANDING}
    others = {source: row for source, row in charged.acts.items() if source not in strandings}
    for contract in contracts.values():
        try:
            asked = list(_asked(contract, charged))
        except UNREADABLE as error:
            found.look(False, f"contract {contract.row.id}: what was done to it cannot be read: {str(error)[:200]}")
            continue
        for source, at, fen, values in asked:
            row = others.pop(source, None)
            if not found.look(row is not None, f"{source} was done, and there is no such charge (source)"):
                continue
            assert row is not None
            name = f"charge {row.id}"
            if fen is None:
                fen = _residual_fen(contract, row)
            found.same(name, f"contract {contract.row.id}", row, {"made_at": at, "amount_fen": fen, **values})
    for source, row in others.items():
        found.look(False, f"charge {row.id}: source {source} is nothing that was done to a contract")
    _strandings(reader, findings, contracts, strandings, newest_at)


_Asked = tuple[str, datetime, int | None, dict[str, Any]]
"""Source of a charge, when it was made, its amount (None: by its own basis), and what its columns say."""


def _asked(contract: ContractFile, charged: _Charged) -> Iterator[_Asked]:
    """What the events of a contract ask to be charged."""
    contract_id, harmed = contract.row.id, Counter[str]()
    for event in contract.events:
        lease, data = contract.known(event.at, event.no), object_of(event.data)
        if lease is None:
            continue
        if event.kind == "end":
            fen = whole(early_end_yuan(lease, date.fromisoformat(event.day)), Decimal("0.01"))
            if fen:
                yield act_source("early_end", contract_id, ""), event.at, fen, {"kind": "early_end"}
        elif event.kind == "settle":
            paid_fen = sum(fen for at, fen in charged.deposits[contract_id] if at <= event.at)
            if paid_fen:
                yield act_source("deposit", contract_id, "return"), event.at, -paid_fen, {"kind": "deposit"}
        elif event.kind == "damage":
            pack_id, part = str(data.get("pack_id")), _part(lease, Damage)
            left_fen = whole(part.yuan_max_per_pack, Decimal("0.0001")) - harmed[pack_id] * 100
            listed = part.yuan_by_code[str(data.get("code"))]
            fen = whole(half_up(min(listed, max(Decimal(left_fen).scaleb(-4), Decimal(0)))), Decimal("0.01"))
            harmed[pack_id] += fen
            source = act_source("damage", contract_id, f"{pack_id}/{event.no}")
            yield source, event.at, fen, {"kind": "damage", "pack_id": pack_id}
        elif event.kind == "buy_out":
            pack_id = str(data.get("pack_id"))
            values = {"kind": "buy_out", "pack_id": pack_id}
            yield act_source("buy_out", contract_id, pack_id), event.at, None, values


def _part(lease: LeaseHistory, kind: type[Any]) -> Any:
    """The component of a kind. Raises LookupError."""
    found: Component | None = next((part for part in lease.terms.components if isinstance(part, kind)), None)
    if found is None:
        raise LookupError(f"contract {lease.id} has no {kind.__name__}")
    return found


def _residual_fen(contract: ContractFile, row: Any) -> int | None:
    """What a pack costs by the rated energy and the SoH that the charge's basis tells; None where it tells none."""
    lease = _known(contract, row.made_at)
    try:
        assert lease is not None
        rated_kwh, soh_pct = Decimal(row.basis["rated_kwh"]), Decimal(row.basis["soh_pct"])
        return whole(residual_yuan(_part(lease, BuyOut), rated_kwh, soh_pct), Decimal("0.01"))
    except UNREADABLE:
        return None


def _strandings(
    reader: Reader,
    findings: Findings,
    contracts: Mapping[str, ContractFile],
    charges: dict[str, Any],
    newest_at: Mapping[str, datetime],
) -> None:
    """Each one that a journal tells is charged and told to the lessor, and no other is."""
    found = findings["stranding_as_told"]
    noted = {
        stranding_source(contract.row.id, str(object_of(event.data).get("swap_id"))): event
        for contract in contracts.values()
        for event in contract.events
        if event.kind == STRANDING
    }
    told = reader.rows(
        StationEvent,
        col(StationEvent.station_id).in_(reader.stations),
        col(StationEvent.kind) == StrandingServed.kind,
        order=(col(StationEvent.station_id), col(StationEvent.seq)),
        judged=False,
    )
    for event in told:
        try:
            said = read_event_text(event.kind, event.data)
        except ValueError:
            continue  # told by the walk along the journals
        if not isinstance(said, StrandingServed):
            continue
        where = f"event {event.seq} of station {event.station_id}"
        source = stranding_source(said.contract_id, event.swap_id or "")
        row, note = charges.pop(source, None), noted.pop(source, None)
        if row is None and newest_at.get(event.station_id, event.at) <= event.at + CHARGED_WITHIN:
            found.wait()
            continue
        found.look(note is not None, f"{where}: contract {said.contract_id} does not tell of swap {event.swap_id}")
        if note is not None:
            data = object_of(note.data)
            same = (data.get("vehicle_id"), data.get("station_id"), note.at)
            found.look(
                same == (said.vehicle_id, event.station_id, event.at),
                f"lease_event {note.contract_id}:{note.no} tells another vehicle, station or instant than {where}",
            )
        if found.look(row is not None, f"{where} tells of {source}, and there is no such charge"):
            assert row is not None
            values = {"amount_fen": said.fee_fen, "vehicle_id": said.vehicle_id, "swap_id": event.swap_id}
            values |= {"contract_id": said.contract_id, "made_at": event.at}
            found.same(f"charge {row.id}", where, row, values)
    for source, row in charges.items():
        found.look(False, f"charge {row.id}: source {source} is told by no journal")
    for source, note in noted.items():
        found.look(False, f"lease_event {note.contract_id}:{note.no}: {source} is told by no journal")


# rated again


def _rated_again(
    reader: Reader, findings: Findings, contracts: Mapping[str, ContractFile], charged: _Charged, last: Any
) -> None:
    """Each contract as it was known when the last run ended: what that has charged, with all corrections."""
    found = findings["rents_rated_again"]
    by_vehicle: dict[str, set[str]] = defaultdict(set)
    for contract_id, contract in contracts.items():
        for version in contract.lease.versions:
            for vehicle_id in version.terms.vehicles:
                by_vehicle[vehicle_id].add(contract_id)
    with CommerceDb(reader.db.connection()) as db:
        for contract_id, contract in contracts.items():
            lease = _known(contract, last.done_at)
            if lease is None or lease.active_from is None:
                continue
            vehicles = {name for version in lease.versions for name in version.terms.vehicles}
            beside = {other for name in vehicles for other in by_vehicle[name]} - {contract_id}
            if any(contracts[other].changed_after(last.done_at) for other in beside):
                found.wait()  # another contract took a vehicle over since then: the next run puts that right
                continue
            try:
                due = _due_fen(db, lease, last.month, last.done_at)
                wrong = _differing(due, charged.rents[contract_id])
                if wrong and _just_told(reader, last.done_at):
                    found.wait()
                    continue
                now = _due_fen(db, lease, last.month, None) if wrong else {}
            except UNREADABLE as error:
                found.look(False, f"contract {contract_id} cannot be rated again: {str(error)[:200]}")
                continue
            found.examined += len(due)
            found.violations += [
                f"contract {contract_id}: {thing} of {month} was charged as {was_fen} fen, its versions and readings "
                f"make it {is_fen}"
                for (month, thing), (was_fen, is_fen) in wrong.items()
                if was_fen != now.get((month, thing), 0)
            ]


def _due_fen(db: CommerceDb, lease: LeaseHistory, month: str, known_at: datetime | None) -> dict[tuple[str, str], int]:
    """Fen by rated month and thing, of the months that a run for a month rates."""
    periods = [(rated, lease.terms.calendar.ending_in(rated)) for rated in rated_months(lease, month)]
    known = [(rated, period) for rated, period in periods if period is not None]
    if not known:
        return {}
    facts = gather(db, lease, start_of(known[0][1].first, lease.terms.tz), known_at)
    found = Counter[tuple[str, str]]({(rated, ""): 0 for rated, _ in known})
    for rated, period in known:
        for line in rate(lease, period, facts):
            found[rated, line.group] += line.amount_fen
    return found


def _differing(
    due: Mapping[tuple[str, str], int], charged: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], tuple[int, int]]:
    """What was charged and what is due of each thing of which the two differ, of the months that are rated."""
    months = {month for month, _ in due}
    things = due.keys() | {thing for thing in charged if thing[0] in months}
    both = {thing: (charged.get(thing, 0), due.get(thing, 0)) for thing in sorted(things)}
    return {thing: (was, now) for thing, (was, now) in both.items() if was != now}


def _just_told(reader: Reader, done_at: datetime) -> bool:
    """Whether journals told of anything about as a run was made: whether it had been read is on no record."""
    since = done_at - AT_THE_RUN
    moved = reader.rows(CustodyMove, col(CustodyMove.at) > since, col(CustodyMove.at) <= done_at, judged=False)
    read = reader.rows(
        ReadingRow,
        col(ReadingRow.made_at) > since,
        col(ReadingRow.made_at) <= done_at,
        col(ReadingRow.origin) == "journal",
        judged=False,
    )
    return next(moved, None) is not None or next(read, None) is not None
