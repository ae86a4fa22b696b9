"""The rent run: what each contract owes for a month becomes charges, each thing once.

A month is closed when its run has come to its end. What is learnt later (a reading, a version that counts from a past
day, a pack that comes back) is charged in the month that is open then, as the difference to what was charged before;
rows of a closed month are never touched. A run that was ended in its middle is run again: what was charged
already is found as it should be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import col, func, select

from swap.commerce.charges import FEN_YUAN, NewCharge, add_charge, charges_of
from swap.commerce.custody.take import take_journals
from swap.commerce.custody.told import elsewhere
from swap.commerce.leases.contracts import lease_of
from swap.commerce.leases.errors import JournalBehind, MonthNotOver
from swap.commerce.leases.facts import gather
from swap.commerce.leases.lease import LeaseHistory
from swap.commerce.leases.lines import KINDS, Line
from swap.commerce.leases.periods import (
    DAY,
    day_of,
    is_month,
    month_days,
    month_of,
    months_between,
    next_month,
    start_of,
)
from swap.commerce.leases.rating import rate
from swap.commerce.leases.states import CHARGED
from swap.commerce_db import AnyDb, CommerceDb
from swap.errors import InvalidInput
from swap.store import Store
from swap.tables import ChargeRow, LeaseContract, RentRun
from swap.words import N_

AT_ONCE = 12
"""Charges in one transaction: with SQLite the controller waits meanwhile."""
LOOK_BACK_MONTHS = 12
"""So many closed months are rated again by each run."""


@dataclass(frozen=True, slots=True)
class RentReport:
    """What a rent run did."""

    months: tuple[str, ...]
    """Months that it closed."""
    contracts: int
    charges: tuple[str, ...]
    """Ids of the charges that it made."""


@dataclass(slots=True)
class _Charged:
    """What has been charged for one thing in one month."""

    amount_fen: int = 0
    first_id: str | None = None
    corrections: int = 0
    rows: list[ChargeRow] = field(default_factory=list)


def run_rent(store: Store, month: str, at: datetime, *, as_known: bool = False) -> RentReport:
    """Charge the rents of a month, and of earlier ones that are not closed; nothing for one that is.

    Args:
        as_known: charge also where a station's journal, taken in from a file, ends within the month; what it tells
            later is charged in the month that is open then.

    Raises:
        InvalidInput: no month, as `2026-06`.
        MonthNotOver: it has not ended in the zone of each contract.
        JournalBehind: a journal that was taken in from a file ends before the month does.
    """
    if not is_month(month):
        raise InvalidInput("month", month, N_("a month, such as 2026-06"))
    take_journals(store)
    with store.reading_commerce() as db:
        first = _first_open(db, month)
        zones = set(db.exec(select(LeaseContract.zone).distinct())) or {"UTC"}
    _over(zones, month, at)
    if not as_known:
        _known_to_the_end(store, zones, month)
    closed: list[str] = []
    contracts: set[str] = set()
    charges: list[str] = []
    for open_month in months_between(first, month):
        with store.reading_commerce() as db:
            ids = list(db.exec(select(LeaseContract.id).where(col(LeaseContract.state).in_(CHARGED))))
        for contract_id in sorted(ids):
            charges += charge_contract(store, contract_id, open_month, at)
            contracts.add(contract_id)
        with store.commerce() as writing:
            _close(writing, open_month, at)
        closed.append(open_month)
    return RentReport(tuple(closed), len(contracts), tuple(charges))


def due_month(db: AnyDb, at: datetime) -> str | None:
    """The newest month that has ended for every contract and is not closed; None where there is none."""
    zones = set(db.exec(select(LeaseContract.zone).where(col(LeaseContract.state).in_(CHARGED)).distinct()))
    if not zones:
        return None
    earliest = min(day_of(at, ZoneInfo(zone)) for zone in zones)
    before = month_of(earliest.replace(day=1) - DAY)
    last = last_closed(db)
    first: str | None = db.exec(select(func.min(LeaseContract.first_day))).one()
    if (last is not None and last >= before) or first is None or first[:7] > before:
        return None
    return before


def last_closed(db: AnyDb) -> str | None:
    """The last month whose rents have been charged."""
    return db.exec(select(func.max(RentRun.month))).one()


def open_month(db: AnyDb, lease: LeaseHistory, at: datetime) -> str:
    """The month in which something is charged that is learnt at an instant."""
    now, last = month_of(day_of(at, lease.terms.tz)), last_closed(db)
    return now if last is None else max(now, next_month(last))


def _first_open(db: AnyDb, month: str) -> str:
    last = last_closed(db)
    if last is not None:
        return next_month(last)
    first: str | None = db.exec(
        select(func.min(LeaseContract.first_day)).where(col(LeaseContract.state).in_(CHARGED))
    ).one()
    return month if first is None else min(first[:7], month)


def _over(zones: Iterable[str], month: str, at: datetime) -> None:
    for zone in sorted(zones):
        ends_at = start_of(month_days(month).until, ZoneInfo(zone))
        if at < ends_at:
            raise MonthNotOver(
                N_("the rents of {month} can be charged from {ends_at} on, when it has ended in {zone}"),
                {"month": month},
                ends_at=ends_at.isoformat(),
                zone=zone,
            )


def _known_to_the_end(store: Store, zones: Iterable[str], month: str) -> None:
    ends = [start_of(month_days(month).until, ZoneInfo(zone)) for zone in zones]
    if not ends:
        return
    ends_at = max(ends)
    with store.reading_commerce() as db:
        away, _ = elsewhere(db)
    for station_id in away:
        with store.reading_station(station_id) as station:
            newest = station.newest_event()
            known_at = None if newest is None else newest.at
        if known_at is None or known_at < ends_at:
            raise JournalBehind(
                N_(
                    "the journal of station {station_id} is known up to {known_at}, and {month} ends at {ends_at}; "
                    "import the rest, or charge as it is known"
                ),
                {"month": month, "station_id": station_id},
                known_at="-" if known_at is None else known_at.isoformat(),
                ends_at=ends_at.isoformat(),
            )


def _close(db: CommerceDb, month: str, at: datetime) -> None:
    if db.get(RentRun, month) is not None:
        return
    query = select(func.count(), func.coalesce(func.sum(ChargeRow.amount_fen), 0)).where(
        ChargeRow.period == month, col(ChargeRow.source).startswith("rent:")
    )
    charges, amount_fen = db.exec(query).one()
    db.add(RentRun(month=month, done_at=at, charges=charges, amount_fen=int(amount_fen)))


def rated_months(lease: LeaseHistory, month: str) -> list[str]:
    """The months that a run for a month rates: that one, and those before it that may still be corrected."""
    assert lease.active_from is not None
    year, number = divmod(int(month[:4]) * 12 + int(month[5:]) - 1 - LOOK_BACK_MONTHS, 12)
    return list(months_between(max(f"{year:04d}-{number + 1:02d}", month_of(lease.active_from)), month))


def charge_contract(store: Store, contract_id: str, month: str, at: datetime) -> list[str]:
    """Charge in a month what a contract owes up to its end and has not been charged; the ids of the charges.

    What it owes is rated from a snapshot and written in short commits. Each looks first whether the contract's charges
    are those that were rated from; else, as where another process runs the same month, it is rated again.
    """
    made: list[str] = []
    while True:
        with store.reading_commerce() as db:
            due, known = owed(db, contract_id, month), _count(db, contract_id)
        for lot in _in_lots(due):
            with store.commerce() as writing:
                if writing.get(RentRun, month) is not None:  # another process has been faster
                    return made
                if _count(writing, contract_id) != known:
                    break
                ids = [row.id for row, is_new in (add_charge(writing, one, at) for one in lot) if is_new]
            made += ids
            known += len(ids)
        else:
            return made


def _count(db: AnyDb, contract_id: str) -> int:
    """Charges of a contract; none is ever taken away."""
    return db.exec(select(func.count()).select_from(ChargeRow).where(ChargeRow.contract_id == contract_id)).one()


def _in_lots(groups: Iterable[list[NewCharge]]) -> Iterator[list[NewCharge]]:
    """Groups together as far as they are few. One is never parted: what is charged of a group counts as all of it."""
    lot: list[NewCharge] = []
    for group in groups:
        if lot and len(lot) + len(group) > AT_ONCE:
            yield lot
            lot = []
        lot = lot + group
    if lot:
        yield lot


def owed(db: CommerceDb, contract_id: str, month: str) -> list[list[NewCharge]]:
    """What a contract owes up to the end of a month and has not been charged, in groups that are charged as one."""
    lease = lease_of(db, contract_id)
    if lease.active_from is None:
        return []
    periods = [(rated, lease.terms.calendar.ending_in(rated)) for rated in rated_months(lease, month)]
    known = [(rated, period) for rated, period in periods if period is not None]
    if not known:
        return []
    facts = gather(db, lease, start_of(known[0][1].first, lease.terms.tz))
    charged = _charged(db, contract_id)
    found: list[list[NewCharge]] = []
    for rated, period in known:
        groups: dict[str, list[Line]] = defaultdict(list)
        for line in rate(lease, period, facts):
            groups[line.group].append(line)
        for group in sorted({*groups, *(name for of, name in charged if of == rated)}):
            before = charged.get((rated, group))
            if before is None:
                found.append([_new(lease, line, rated, group, month) for line in groups[group]])
            else:
                found.append(_correction(lease, before, groups.get(group, []), rated, group, month))
    return [group for group in found if group]


def _charged(db: AnyDb, contract_id: str) -> dict[tuple[str, str], _Charged]:
    found: dict[tuple[str, str], _Charged] = defaultdict(_Charged)
    for row in charges_of(db, contract_id=contract_id):
        if not row.source.startswith("rent:"):
            continue
        known = found[str(row.basis["rated"]), str(row.basis["group"])]
        known.amount_fen += row.amount_fen
        known.rows.append(row)
        if row.corrects_id is None:
            known.first_id = known.first_id or row.id
        else:
            known.corrections += 1
    return dict(found)


def _new(lease: LeaseHistory, line: Line, rated: str, group: str, month: str) -> NewCharge:
    basis: dict[str, Any] = dict(line.basis)
    basis |= {"rated": rated, "group": group, "days": str(line.days.count), "first_day": line.days.first.isoformat()}
    basis["factors"] = {name: f"{value.numerator}/{value.denominator}" for name, value in line.factors.items()}
    return NewCharge(
        source=f"rent:{lease.id}:{rated}:{group}:{line.run}",
        quantity=line.quantity,
        unit=line.unit,
        unit_price_yuan=line.unit_price_yuan,
        amount_yuan=Decimal(line.amount_fen) * FEN_YUAN,
        vehicle_id=line.vehicle_id,
        pack_id=line.pack_id,
        from_at=None if line.span is None else line.span[0],
        until_at=None if line.span is None else line.span[1],
        basis=basis,
        **of_contract(lease, line.kind, month, line.version),
    )


def of_contract(lease: LeaseHistory, kind: str, month: str, version: int) -> dict[str, Any]:
    """What every charge of a contract says."""
    terms = next(known.terms for known in lease.versions if known.number == version)
    category = KINDS[kind]
    rate_of = {"rent": terms.tax.rent, "electricity": terms.tax.electricity, "service": terms.tax.service}
    return {
        "seller_id": terms.lessor_id,
        "buyer_id": terms.lessee_id,
        "kind": kind,
        "period": month,
        "tax_category": category,
        "tax_rate": rate_of.get(category, Decimal(0)),
        "tax_included": terms.tax.included,
        "contract_id": lease.id,
        "contract_version": version,
    }


def _correction(
    lease: LeaseHistory, before: _Charged, lines: list[Line], rated: str, group: str, month: str
) -> list[NewCharge]:
    """The difference to what was charged, as one charge; none where there is none."""
    is_fen = sum(line.amount_fen for line in lines)
    change_fen = is_fen - before.amount_fen
    if not change_fen:
        return []
    first = before.rows[0]
    version = lines[-1].version if lines else first.contract_version or 1
    basis: dict[str, Any] = dict(lines[-1].basis) if lines else {}
    basis |= {"rated": rated, "group": group, "was_fen": before.amount_fen, "is_fen": is_fen}
    return [
        NewCharge(
            source=f"rent:{lease.id}:{rated}:{group}:c{before.corrections + 1}",
            quantity=Decimal(1 if change_fen > 0 else -1),
            unit="item",
            unit_price_yuan=Decimal(abs(change_fen)) * FEN_YUAN,
            amount_yuan=Decimal(change_fen) * FEN_YUAN,
            vehicle_id=first.vehicle_id,
            pack_id=first.pack_id,
            from_at=first.from_at,
            until_at=first.until_at,
            corrects_id=before.first_id,
            basis=basis,
            **of_contract(lease, first.kind, month, version),
        )
    ]
