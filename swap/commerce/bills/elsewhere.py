"""Bills of a station from its journal alone, where none of its rows are: by the same rules, and the same to the byte.

A bill that the station has issued is made again under its number and its instant, from what the journal tells before
it. It must be what the station told of it; otherwise it is not written, and that is told. Where nobody issues bills at
the station, they are issued here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlmodel import col, select

from swap.commerce.bills.issuing import (
    CORRECTION,
    REVERSAL,
    SWAP,
    BillDraft,
    Completion,
    NotBilled,
    add_bill,
    add_reversal,
    bill_of,
    corrected,
    due_bill,
    lines_of,
)
from swap.commerce.bills.journal_record import JournalRecord, NotTold
from swap.commerce.bills.late import ACTOR, agreed_otherwise
from swap.commerce.bills.terms import BillingTerms, StationTerms
from swap.commerce.custody.take import add_readings, energy_price
from swap.errors import DatabaseAway
from swap.ids import new_id
from swap.journal.canonical import canonical_json, without_nan
from swap.messages.commerce import CONTRACT_CHANGED, BillIssued, BillReversed
from swap.messages.events import SwapCompleted
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Bill, Party, StationEvent


class NotTheSame(Exception):
    """What the journal tells of a bill is not what the journal makes it."""


@dataclass(frozen=True, slots=True)
class BillsMade:
    """Bills that were made, by their ids, and those that could not be made, each with its cause; the next call tries
    them again."""

    bills: tuple[str, ...]
    failed: tuple[NotBilled, ...]


def bill_from_journal(
    store: Store, station_id: str, *, terms: BillingTerms | None = None, issue_at: datetime | None = None
) -> BillsMade:
    """Make every bill, reversal and correction that a station's journal tells of and that is not here yet.

    Args:
        terms: says how each swap is billed; the station's prices do where none is given.
        issue_at: now, where swaps that the station has not billed are to be billed here.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    terms = StationTerms() if terms is None else terms
    made: list[str] = []
    errors: list[NotBilled] = []
    with store.reading_station(station_id) as db:
        asked: list[StationEvent] = list(_told(db))
        if issue_at is not None:
            asked += _unbilled(db)
        db.expunge_all()
    for event in asked:
        try:
            with store.station(station_id) as db:
                bill_id = _make(db, event, terms, issue_at)
            if bill_id is not None:
                made.append(bill_id)
        except DatabaseAway:
            raise
        except Exception as error:
            errors.append(NotBilled(event.swap_id or "", event.at, str(error) or type(error).__name__))
            errors[-1].__cause__ = error
    return BillsMade(tuple(made), tuple(errors))


def _told(db: StationDb) -> Iterator[StationEvent]:
    """Each event that tells of a bill which is not here, in order."""
    known = set(db.exec(select(Bill.id)))
    return (event for event in db.events(BillIssued, BillReversed) if event.data["bill_id"] not in known)


def _unbilled(db: StationDb) -> Iterator[StationEvent]:
    """Each completion without a bill, here or at the station, in order."""
    billed = set(db.exec(select(Bill.swap_id))) | {event.swap_id for event in db.events(BillIssued)}
    return (event for event in db.events(SwapCompleted) if event.swap_id not in billed)


def _make(db: StationDb, event: StationEvent, terms: BillingTerms, issue_at: datetime | None) -> str | None:
    """Make what an event tells of, or the bill of a completion; its id, None where it waits, or is here meanwhile."""
    if event.kind == SwapCompleted.kind:
        return None if bill_of(db, event.swap_id or "", SWAP) else _issue(db, event, terms, issue_at)
    if db.get(Bill, event.data["bill_id"]) is not None:
        return None
    if event.kind == BillReversed.kind:
        return _again(event, _reversal(db, event))
    said = BillIssued.read(event.data)
    return _again(event, _bill(db, event, terms) if said.bill == SWAP else _correction(db, event, said, terms))


def _issue(db: StationDb, event: StationEvent, terms: BillingTerms, issue_at: datetime | None) -> str | None:
    assert issue_at is not None
    newest = db.newest_event()
    assert newest is not None
    record = JournalRecord(db, newest.seq + 1, issue_at)
    draft = due_bill(record, Completion(event.swap_id or "", event.at, event.seq), terms, issue_at)
    if draft is None:
        return None
    issued = _add(db, draft, new_id("bl", issue_at), issue_at)
    swap_id = event.swap_id or ""
    add_readings(db, energy_price(issued, swap_id, issue_at, f"{db.station_id}:{issued.bill_id}"))
    return issued.bill_id


def _bill(db: StationDb, event: StationEvent, terms: BillingTerms) -> BillIssued:
    swap_id = event.swap_id or ""
    other = bill_of(db, swap_id, SWAP)
    if other is not None:
        raise NotTheSame(f"the station billed it as {event.data['bill_id']}, it was billed here as {other.id}")
    query = select(StationEvent).where(
        StationEvent.swap_id == swap_id, StationEvent.kind == SwapCompleted.kind, col(StationEvent.seq) < event.seq
    )
    done = db.exec(query).first()
    if done is None:
        raise NotTold(f"bill {event.data['bill_id']} was issued, and its swap was not completed before")
    record = JournalRecord(db, event.seq, event.at)
    draft = due_bill(record, Completion(swap_id, done.at, done.seq), terms, None)
    assert draft is not None
    return _add(db, draft, str(event.data["bill_id"]), event.at)


def _add(db: StationDb, draft: BillDraft, bill_id: str, at: datetime) -> BillIssued:
    firms = {draft.payer_id, *(line.sale.seller_id for line in draft.priced.lines)}
    firms |= {line.sale.for_id for line in draft.priced.lines if line.sale.for_id is not None}
    unknown = sorted(firm for firm in firms if db.get(Party, firm) is None)
    if unknown:
        raise NotTold(f"bill {bill_id}: the register does not know {', '.join(unknown)}; another journal may tell it")
    return add_bill(db, draft, bill_id, at)


def _reversal(db: StationDb, event: StationEvent) -> BillReversed:
    said = BillReversed.read(event.data)
    return add_reversal(db, _first(db, event, said.reverses), said.bill_id, event.at, said.reason)


def _correction(db: StationDb, event: StationEvent, said: BillIssued, terms: BillingTerms) -> BillIssued:
    """By what was agreed later; else by the quantities that were confirmed, which only the journal's lines tell."""
    told = said.lines[0].basis if said.lines else {}
    bill = _first(db, event, str(told.get("corrects")))
    if bill_of(db, bill.swap_id, REVERSAL) is None:
        raise NotTold(f"bill {said.bill_id} corrects {bill.id}, which was not reversed before")
    if told.get("reason") == CONTRACT_CHANGED and event.actor == ACTOR:
        record = JournalRecord(db, event.seq, event.at)
        again = agreed_otherwise(record, bill, lines_of(db, bill.id), terms, event.at)
        if again is None:
            raise NotTheSame(f"bill {said.bill_id} corrects {bill.id}, which the contracts here leave as it is")
        return add_bill(db, again, said.bill_id, event.at)
    confirmed = {line.seat or 0: Decimal(str(line.basis["confirmed_kwh"])) for line in said.lines}
    draft = corrected(bill, lines_of(db, bill.id), confirmed, event.actor, str(told.get("reason")))
    assert draft.kind == CORRECTION
    return add_bill(db, draft, said.bill_id, event.at)


def _first(db: StationDb, event: StationEvent, bill_id: str) -> Bill:
    bill = db.get(Bill, bill_id)
    if bill is None:
        raise NotTold(f"{event.data['bill_id']} is of bill {bill_id}, which is not made")
    return bill


def _again(event: StationEvent, made: BillIssued | BillReversed) -> str:
    """The id of a bill that is what the station told of it. Raises NotTheSame; what was written is rolled back."""
    found = canonical_json(without_nan(made.payload()))
    if found != canonical_json(event.data):
        raise NotTheSame(
            f"event {event.seq} of station {event.station_id} tells bill {made.bill_id} with total_fen "
            f"{event.data.get('total_fen')}, its journal makes it {made.total_fen} or differs in a line; look with "
            "`swap audit` at the station"
        )
    return made.bill_id
