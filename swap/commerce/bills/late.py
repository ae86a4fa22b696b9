"""Bills that what came later makes otherwise: reversed, and issued again, in the month that is open then.

A bill that waited for its reading in vain is one of 0 kWh, flagged `unmeasured`. What was read late was read all the
same: nobody need confirm it. A contract that was changed for days past makes the bills of those days otherwise too.
Where the quantity is in doubt, and where a bill was reversed before, a person decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from swap.commerce.bills.issuing import (
    CORRECTION,
    REVERSAL,
    SWAP,
    BillDraft,
    Completion,
    add_reversal,
    bill_of,
    corrected,
    due_bill,
    issue_bill,
    lines_of,
    terms_of,
)
from swap.commerce.bills.money import CENTI_KWH, FEN, UNIT_PRICE
from swap.commerce.bills.pricing import PricedLine
from swap.commerce.bills.quantity import OF_QUANTITY, Flag
from swap.commerce.bills.readings import measured
from swap.commerce.bills.record import BillingRecord, RowRecord
from swap.commerce.bills.terms import BillingTerms, StationTerms, TermsKnown
from swap.events import append_event
from swap.ids import new_id
from swap.lots import lots
from swap.messages.commerce import CONTRACT_CHANGED, LATE_READING
from swap.messages.events import SwapCompleted
from swap.messages.packs import ChargeEnded, PackRead
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Bill, BillLine, LeaseContract, LeaseEvent, LeaseVehicle, StationEvent, Swap

ACTOR = "commerce"
LOOK_BACK = timedelta(days=366)
"""How far back a contract that was changed corrects bills, as it does rents."""
BINDS = ("revised", "version_signed", "activate", "end")
"""Kinds of events of a contract that say for which days it counts, and what it says."""


@dataclass(slots=True)
class LateMark:
    """How far readings and contracts were looked at; kept by the caller from one look to the next."""

    seq: int | None = None
    """In the journal; None: every bill without a reading is looked at."""
    contracts: dict[str, int] = field(default_factory=dict)
    """Number of the last event, by contract."""


def correct_late(
    store: Store,
    station_id: str,
    at: datetime,
    *,
    terms: BillingTerms | None = None,
    mark: LateMark | None = None,
    contracts: bool = True,
) -> tuple[str, ...]:
    """Reverse each bill that a late reading, or a contract changed for days past, makes otherwise, and issue it again;
    ids of the new ones. A bill is corrected once.

    Args:
        contracts: look at contracts too, which are all read for that.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    mark = LateMark() if mark is None else mark
    terms = StationTerms() if terms is None else terms
    with store.reading_station(station_id) as db:
        newest, read = db.newest_seq(), list[BillDraft]()
        if newest != mark.seq:
            read = [draft for bill in _unmeasured(db, mark.seq) if (draft := _measured(db, bill, terms)) is not None]
        changed, known = _changed(db, mark.contracts) if contracts else ([], mark.contracts)
        agreed = [
            draft
            for bill in _billed(db, changed, at)
            if (draft := agreed_otherwise(RowRecord(db), bill, lines_of(db, bill.id), terms, at)) is not None
        ]
    issued = [*_issue(store, station_id, read, at), *_issue(store, station_id, agreed, at)]
    mark.seq, mark.contracts = newest, known
    return tuple(issued)


def _issue(store: Store, station_id: str, drafts: Iterable[BillDraft], at: datetime) -> Iterator[str]:
    for draft in drafts:
        with store.station(station_id) as db:
            bill = bill_of(db, draft.swap_id, SWAP)
            if bill is None or bill_of(db, draft.swap_id, REVERSAL) is not None:
                continue  # a person, or another process, was faster
            told = add_reversal(db, bill, new_id("bl", at), at, draft.basis["reason"])
            append_event(db, told, station_id=station_id, at=at, actor=ACTOR, swap_id=bill.swap_id)
            issued = issue_bill(db, draft, new_id("bl", at), at, ACTOR, None)
        yield issued


def _not_reversed() -> SelectOfScalar[Bill]:
    """Bills of swaps that nobody has reversed."""
    reversal = aliased(Bill)
    return (
        select(Bill)
        .join(reversal, (col(reversal.swap_id) == Bill.swap_id) & (col(reversal.kind) == REVERSAL), isouter=True)
        .where(Bill.kind == SWAP, col(reversal.id).is_(None))
        .order_by(col(Bill.id))
    )


def _completion(db: StationDb, swap_id: str) -> Completion | None:
    query = select(StationEvent.at, StationEvent.seq).where(
        StationEvent.kind == SwapCompleted.kind, StationEvent.swap_id == swap_id
    )
    done = db.exec(query).first()
    return None if done is None else Completion(swap_id, *done)


# readings


def _unmeasured(db: StationDb, after: int | None) -> list[Bill]:
    """Bills without a reading; of packs that were read after an event, where one is given."""
    query = _not_reversed().where(col(Bill.flags).contains(Flag.UNMEASURED.value))
    if after is None:
        return list(db.exec(query))
    read = sorted({event.pack_id for event in db.events(PackRead, ChargeEnded, after=after) if event.pack_id})
    bills: dict[str, Bill] = {}
    for lot in lots(read):
        of_packs = select(BillLine.bill_id).where(col(BillLine.pack_id).in_(lot))
        bills |= {bill.id: bill for bill in db.exec(query.where(col(Bill.id).in_(of_packs)))}
    return [bills[key] for key in sorted(bills)]


def _measured(db: StationDb, bill: Bill, terms: BillingTerms) -> BillDraft | None:
    """A bill with the quantity of each seat as it has been read by now; None while one is not, or is in doubt."""
    one, record = _completion(db, bill.swap_id), RowRecord(db)
    if one is None:
        return None
    swap = record.swap(bill.swap_id)
    if not measured(record, swap, terms_of(record, swap, one, terms)[0]):
        return None
    draft = due_bill(record, one, terms, None)
    if draft is None or OF_QUANTITY & set(draft.priced.flags):
        return None
    energy_kwh = {line.seat: line.energy_kwh for line in draft.priced.lines if line.kind == "energy"}
    lines = lines_of(db, bill.id)
    if {line.seat for line in lines} != energy_kwh.keys():
        return None
    return corrected(bill, lines, energy_kwh, ACTOR, LATE_READING)


# contracts


def _changed(db: StationDb, known: dict[str, int]) -> tuple[list[tuple[str, date, datetime]], dict[str, int]]:
    """Contracts of which something new was put on record for days past, with the first of these days and the instant
    at which it was; and the number of the last event of each contract."""
    query = select(LeaseEvent).where(col(LeaseEvent.kind).in_(BINDS))
    zones = {row.id: ZoneInfo(row.zone) for row in db.exec(select(LeaseContract))}
    newest, found = dict(known), list[tuple[str, date, datetime]]()
    for event in db.exec(query.order_by(col(LeaseEvent.contract_id), col(LeaseEvent.no))):
        if event.no <= known.get(event.contract_id, 0):
            continue
        newest[event.contract_id] = event.no
        day, zone = date.fromisoformat(event.day), zones[event.contract_id]
        if day < event.at.astimezone(zone).date():
            found.append((event.contract_id, day, event.at))
    return found, newest


def _billed(db: StationDb, changed: Sequence[tuple[str, date, datetime]], at: datetime) -> list[Bill]:
    """Bills of swaps of the vehicles of contracts, between a day and the instant at which something was agreed."""
    bills: dict[str, Bill] = {}
    for contract_id, day, until_at in changed:
        since_at = max(datetime(day.year, day.month, day.day, tzinfo=at.tzinfo) - timedelta(days=1), at - LOOK_BACK)
        vehicles = select(LeaseVehicle.vehicle_id).where(LeaseVehicle.contract_id == contract_id)
        query = _not_reversed().join(Swap, col(Swap.id) == Bill.swap_id)
        query = query.where(col(Swap.vehicle_id).in_(vehicles), col(Swap.ended_at) >= since_at)
        bills |= {bill.id: bill for bill in db.exec(query.where(col(Swap.ended_at) <= until_at))}
    return [bills[key] for key in sorted(bills)]


def agreed_otherwise(
    record: BillingRecord, bill: Bill, lines: Sequence[BillLine], terms: BillingTerms, known_at: datetime
) -> BillDraft | None:
    """A bill again, by what had been agreed at an instant; None where that makes it what it is, or its quantity is in
    doubt."""
    one = _completion(record.db, bill.swap_id)
    draft = None if one is None else due_bill(record, one, TermsKnown(terms, known_at), None)
    if draft is None or OF_QUANTITY & {*draft.priced.flags, *map(Flag, filter(None, bill.flags.split(",")))}:
        return None
    if [_said(line) for line in draft.priced.lines] == [_stored(line) for line in lines]:
        return None
    basis = {"corrects": bill.id, "reason": CONTRACT_CHANGED}
    return BillDraft(CORRECTION, bill.swap_id, draft.payer_id, draft.priced, draft.like, basis)


def _said(line: PricedLine) -> tuple[object, ...]:
    sale = line.sale
    parties = sale.seller_id, sale.buyer_id, sale.sale.value, sale.for_id, sale.tax_category, sale.tax_included
    return line.kind, line.seat, line.energy_kwh, line.unit_price_yuan, line.amount_yuan, line.tax.tax_yuan, *parties


def _stored(line: BillLine) -> tuple[object, ...]:
    parties = line.payee_id, line.buyer_id, line.sale, line.for_id, line.tax_category, line.tax_included
    kwh, yuan = line.energy_centi_kwh * CENTI_KWH, line.unit_price_1e4_yuan * UNIT_PRICE
    return line.kind, line.seat, kwh, yuan, line.amount_fen * FEN, line.tax_fen * FEN, *parties
