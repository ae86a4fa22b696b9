"""Posts what commerce has made: a transfer for each bill, reversal, correction and charge, each once.

It reads what has no transfer yet, so a process that ends between a bill and its posting leaves nothing behind: the next
look posts it, and lets money that is free pay it. Payments are posted in the transaction that takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import func, literal
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from swap.commerce.ledger.book import expire, overdue, post
from swap.commerce.ledger.postings import Owed, postings_of
from swap.commerce.ledger.sources import bill_owed, charge_owed
from swap.commerce.payments.allocation import has_payments, pay_debts
from swap.errors import Conflict
from swap.lots import lots
from swap.messages.commerce import BillIssued, BillReversed
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Bill, BillLine, ChargeRow, LedgerTransfer, StationEvent

READ_AT_ONCE = 200
"""Events of the journal that are looked through in one go."""
AT_ONCE = 4
"""Bills or charges in one transaction: with SQLite the controller waits meanwhile."""
LATE = timedelta(days=2)
"""How far behind the newest charge one is still looked for that was committed late; a start looks at all of them."""


@dataclass(slots=True)
class PostingMark:
    """How far everything is known to be posted; kept by the caller from one look to the next."""

    seq: int = 0
    """In the journal of the station."""
    charged_at: datetime | None = None


class NotPosted(Exception):
    """Bills or charges that could not be posted, each with the reason."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(f"{len(reasons)} not posted: {'; '.join(reasons[:5])}")


def post_due(store: Store, station_id: str, at: datetime, mark: PostingMark) -> int:
    """Post what has no transfer yet, and end what is pending and over; how many were posted.

    Raises:
        NotPosted: some could not be posted, after all others were; they are tried again at the next look.
        DatabaseAway: the database cannot be used now.
    """
    posted, failed = 0, list[str]()
    while True:
        with store.reading_station(station_id) as db:
            last_seq, bills = _unposted_bills(db, mark.seq)
        posted += _post(store, bills, at, failed)
        if failed or last_seq is None:
            break
        mark.seq = last_seq
    since = None if mark.charged_at is None else mark.charged_at - LATE
    with store.reading_commerce() as db:
        newest_at = db.exec(select(func.max(ChargeRow.made_at))).one()
        charges = [charge_owed(row) for row in db.exec(_without_transfer(since))]
        is_overdue = bool(overdue(db, at))
    before = len(failed)
    posted += _post(store, charges, at, failed)
    if len(failed) == before:
        mark.charged_at = newest_at
    if is_overdue:
        with store.commerce() as db:
            expire(db, at)
    if failed:
        raise NotPosted(failed)
    return posted


def post_unposted(store: Store, station_id: str, at: datetime) -> int:
    """Post every bill of a station that has no transfer, whatever its journal tells of bills; how many were posted.

    Raises:
        NotPosted: some could not be posted, after all others were.
        DatabaseAway: the database cannot be used now.
    """
    failed = list[str]()
    with store.reading_station(station_id) as db:
        query = (
            select(Bill)
            .join(LedgerTransfer, col(LedgerTransfer.id) == literal("bill:") + Bill.id, isouter=True)
            .where(col(LedgerTransfer.id).is_(None))
            .order_by(col(Bill.issued_at), col(Bill.id))
        )
        bills = db.exec(query).all()
        lines = _lines_of(db, [bill.id for bill in bills])
        owed = []
        for bill in bills:
            reverses = lines[bill.id][0].basis.get("reverses") if lines.get(bill.id) else None
            owed.append(bill_owed(bill, lines.get(bill.id, ()), None if reverses is None else str(reverses)))
    posted = _post(store, owed, at, failed)
    if failed:
        raise NotPosted(failed)
    return posted


def post_charges(store: Store, at: datetime) -> int:
    """Post every charge that has no transfer; how many were posted. Raises NotPosted, DatabaseAway."""
    failed = list[str]()
    with store.reading_commerce() as db:
        charges = [charge_owed(row) for row in db.exec(_without_transfer(None))]
    posted = _post(store, charges, at, failed)
    if failed:
        raise NotPosted(failed)
    return posted


def _lines_of(db: StationDb, bill_ids: Sequence[str]) -> dict[str, list[BillLine]]:
    """Lines by bill, in their order."""
    lines: dict[str, list[BillLine]] = {}
    for lot in lots(bill_ids):
        query = select(BillLine).where(col(BillLine.bill_id).in_(lot))
        for line in db.exec(query.order_by(col(BillLine.bill_id), col(BillLine.line_no))):
            lines.setdefault(line.bill_id, []).append(line)
    return lines


def _unposted_bills(db: StationDb, after: int) -> tuple[int | None, list[Owed]]:
    """The last event of the next ones that tell of bills, None where there is none, and their bills that are due."""
    query = (
        select(StationEvent)
        .where(
            StationEvent.station_id == db.station_id,
            col(StationEvent.kind).in_((BillIssued.kind, BillReversed.kind)),
            col(StationEvent.seq) > after,
        )
        .order_by(col(StationEvent.seq))
        .limit(READ_AT_ONCE)
    )
    events = db.exec(query).all()
    ids = [str(event.data["bill_id"]) for event in events]
    posted = set(
        db.exec(select(LedgerTransfer.id).where(col(LedgerTransfer.id).in_([f"bill:{bill_id}" for bill_id in ids])))
    )
    due = [bill_id for bill_id in ids if f"bill:{bill_id}" not in posted]
    bills = {bill.id: bill for bill in db.exec(select(Bill).where(col(Bill.id).in_(due)))}
    lines = _lines_of(db, due)
    reversed_by = {
        str(event.data["bill_id"]): str(event.data["reverses"]) for event in events if event.kind == BillReversed.kind
    }
    owed = [
        bill_owed(bills[bill_id], lines.get(bill_id, ()), reversed_by.get(bill_id))
        for bill_id in due
        if bill_id in bills
    ]
    return (events[-1].seq if events else None), owed


def _without_transfer(since: datetime | None) -> SelectOfScalar[ChargeRow]:
    query = (
        select(ChargeRow)
        .join(LedgerTransfer, col(LedgerTransfer.id) == literal("charge:") + ChargeRow.id, isouter=True)
        .where(col(LedgerTransfer.id).is_(None))
        .order_by(col(ChargeRow.made_at), col(ChargeRow.id))
    )
    return query if since is None else query.where(col(ChargeRow.made_at) >= since)


def _post(store: Store, owed: Iterable[Owed], at: datetime, failed: list[str]) -> int:
    """Post in lots, each in one transaction; what cannot be posted is told in `failed`. Free money pays what is new."""
    posted = 0
    for lot in _lots(owed):
        with store.commerce() as db:
            firms = set[tuple[str, str]]()
            for one in lot:
                try:
                    posted += post(db, postings_of(one))
                    firms |= {(line.seller_id, line.buyer_id) for line in one.lines}
                except (Conflict, ValueError) as error:
                    failed.append(f"{one.source}: {error}")
            for seller_id, buyer_id in sorted(firms):
                if has_payments(db, seller_id, buyer_id):
                    pay_debts(db, seller_id, buyer_id, at)
    return posted


def _lots(owed: Iterable[Owed]) -> Iterator[list[Owed]]:
    rest = iter(owed)
    while lot := list(islice(rest, AT_ONCE)):
        yield lot
