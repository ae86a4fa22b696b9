"""Bank statements: each line taken once and posted, matched where it says whose it is, else put on a work list.

Call inside `store.commerce()`: a file is taken whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlmodel import col, or_, select

from swap.commerce.errors import BankLineKnown
from swap.commerce.ledger.book import post
from swap.commerce.ledger.postings import BANK, CHANNELS, DEBT, TOP_UP, BankMove, postings_of
from swap.commerce.ledger.records import yuan
from swap.commerce.payments.bank_file import read_statement, references
from swap.commerce.payments.records import BankFileRecord, BankLineRecord
from swap.commerce.payments.taking import NewPayment, check_firms, take
from swap.commerce.seals import sealed
from swap.commerce_db import CommerceDb
from swap.errors import Conflict, InvalidInput, NotFound
from swap.ids import new_id
from swap.paging import Order, between, cut
from swap.reading.records import Page
from swap.tables import BankLine, BankLineEnd, LedgerLeg, LedgerTransfer, Party, Refund
from swap.words import N_

OUTCOMES = ("payment", "refund", "channel", "other")


def take_bank_file(db: CommerceDb, firm_id: str, data: bytes, at: datetime) -> BankFileRecord:
    """Read a statement of a firm's account, post each line, and match what can be matched.

    A line that came in is a payment where its memo names a bill or charge that somebody owes the firm, or where the
    other's name is that of one firm we know. A line that went out is a refund where its memo names one of that amount.

    Raises:
        NotFound: no such firm.
        FileUnreadable: the file, or a line of it, is wrong.
        BankLineKnown: a line was taken from an earlier file.
    """
    check_firms(db, firm_id=firm_id)
    statement = read_statement(data)
    file_digest = hashlib.sha256(data).hexdigest()
    numbers = {line.reference: line.line_no for line in statement.lines}
    for reference, number in numbers.items():
        earlier = db.exec(select(BankLine).where(BankLine.firm_id == firm_id, BankLine.reference == reference)).first()
        if earlier is not None:
            raise BankLineKnown(
                N_("line {line}, reference = {reference!r}: taken before as {line_id}; nothing of the file is taken"),
                {"line_id": earlier.id},
                line=number,
                reference=reference,
            )
    rows = []
    for line in statement.lines:
        row = BankLine(
            id=new_id("bk", at),
            firm_id=firm_id,
            reference=line.reference,
            booked_on=line.booked_on.isoformat(),
            amount_fen=line.amount_fen,
            other_name=line.other_name,
            other_account=line.other_account,
            memo=line.memo,
            line_no=line.line_no,
            file_digest=file_digest,
            imported_at=at,
        )
        db.add(sealed(row))
        db.flush()
        post(db, postings_of(BankMove(row.id, at, firm_id, row.amount_fen, digest=row.digest)))
        rows.append(row)
    for row in rows:
        _match(db, row, at)
    ends = _ends(db, rows)
    return BankFileRecord(
        encoding=statement.encoding,
        lines=tuple(_record(row, ends.get(row.id)) for row in rows),
        open_count=sum(row.id not in ends for row in rows),
    )


def end_bank_line(
    db: CommerceDb,
    line_id: str,
    outcome: str,
    at: datetime,
    *,
    payer_id: str | None = None,
    purpose: str = DEBT,
    target: str | None = None,
    detail: str = "",
) -> BankLineRecord:
    """Decide what a line of the work list is.

    Args:
        outcome: payment of `payer_id`; refund (it left the account); channel (`detail` has paid out what it collected);
            other: set aside, and it stays among what is unexplained.
        target: the debt that it pays; None: the oldest first.

    Raises:
        NotFound: no such line.
        Conflict: it has been decided.
        InvalidInput: it does not fit the line.
    """
    row = db.get(BankLine, line_id)
    if row is None:
        raise NotFound("bank line", line_id)
    known = db.get(BankLineEnd, line_id)
    if known is not None:
        raise Conflict(N_("line {line_id} is decided: {outcome}"), {"line_id": line_id}, outcome=known.outcome)
    if outcome not in OUTCOMES:
        raise InvalidInput("outcome", outcome, "{outcomes}", outcomes=", ".join(OUTCOMES))
    if (row.amount_fen > 0) != (outcome in ("payment", "channel")) and outcome != "other":
        raise InvalidInput("outcome", outcome, N_("payment and channel for what came in, refund for what went out"))
    if outcome == "payment":
        if payer_id is None:
            raise InvalidInput("payer_id", None, N_("the firm that paid"))
        _as_payment(db, row, payer_id, purpose, target, at)
    elif outcome == "channel":
        if detail not in CHANNELS:
            raise InvalidInput("detail", detail, "{channels}", channels=", ".join(CHANNELS))
        end = _end(db, row, outcome, at, detail=detail)
        post(db, postings_of(BankMove(row.id, at, row.firm_id, row.amount_fen, detail, end.digest)))
    else:
        _end(db, row, outcome, at, detail=detail)
    return _record(row, db.get_one(BankLineEnd, line_id))


def list_bank_lines(
    db: CommerceDb,
    *,
    firm_id: str | None = None,
    only_open: bool = False,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[BankLineRecord]:
    """Lines in the order in which they were taken, latest first, taken from an instant and before another;
    or those that nobody has explained yet."""
    query = select(BankLine).where(*between(col(BankLine.imported_at), from_at, to_at))
    if only_open:
        query = query.join(BankLineEnd, col(BankLineEnd.line_id) == BankLine.id, isouter=True).where(
            col(BankLineEnd.line_id).is_(None)
        )
    if firm_id is not None:
        query = query.where(BankLine.firm_id == firm_id)
    query = Order(col(BankLine.id), col(BankLine.imported_at)).page(query, limit, cursor)
    rows, following = cut(db.exec(query).all(), limit, lambda row: row.id, lambda row: row.imported_at)
    ends = _ends(db, rows)
    return Page(items=tuple(_record(row, ends.get(row.id)) for row in rows), next_cursor=following)


def _match(db: CommerceDb, row: BankLine, at: datetime) -> None:
    if row.amount_fen < 0:
        left = {end.detail for end in db.exec(select(BankLineEnd).where(BankLineEnd.outcome == "refund"))}
        for refund in db.exec(select(Refund).where(Refund.amount_fen == -row.amount_fen)):
            if refund.id in row.memo and refund.id not in left:
                _end(db, row, "refund", at, detail=refund.id)
                return
        return
    for target in references(row.memo):
        payer_id = _debtor(db, row.firm_id, target)
        if payer_id is not None:
            _as_payment(db, row, payer_id, DEBT, target, at)
            return
    if row.other_name:
        named = db.exec(
            select(Party.id).where(or_(Party.name_zh == row.other_name, Party.name_en == row.other_name)).limit(2)
        ).all()
        if len(named) == 1 and named[0] != row.firm_id:
            _as_payment(db, row, named[0], DEBT, None, at)


def _debtor(db: CommerceDb, firm_id: str, target: str) -> str | None:
    """The firm that owes a bill or charge; None where it is owed to somebody else, or unknown."""
    query = (
        select(LedgerLeg.debit_id)
        .join(LedgerTransfer, col(LedgerTransfer.id) == LedgerLeg.transfer_id)
        .where(
            LedgerTransfer.about == target,
            col(LedgerLeg.debit_id).startswith(f"{firm_id}:receivable:", autoescape=True),
        )
        .limit(1)
    )
    found = db.exec(query).first()
    return None if found is None else found.rpartition(":")[2]


def _as_payment(db: CommerceDb, row: BankLine, payer_id: str, purpose: str, target: str | None, at: datetime) -> None:
    if purpose not in (DEBT, TOP_UP):
        raise InvalidInput("purpose", purpose, f"{DEBT}, {TOP_UP}")
    new = NewPayment(
        BANK, row.id, payer_id, row.firm_id, row.amount_fen, purpose, target=target, basis={"bank_line": row.id}
    )
    payment, _ = take(db, new, at)
    _end(db, row, "payment", at, payment_id=payment.id)


def _end(
    db: CommerceDb, row: BankLine, outcome: str, at: datetime, *, payment_id: str | None = None, detail: str = ""
) -> BankLineEnd:
    end = sealed(BankLineEnd(line_id=row.id, outcome=outcome, payment_id=payment_id, detail=detail, ended_at=at))
    db.add(end)
    db.flush()
    return end


def _ends(db: CommerceDb, rows: Sequence[BankLine]) -> dict[str, BankLineEnd]:
    found = db.exec(select(BankLineEnd).where(col(BankLineEnd.line_id).in_([row.id for row in rows])))
    return {end.line_id: end for end in found}


def _record(row: BankLine, end: BankLineEnd | None) -> BankLineRecord:
    return BankLineRecord.of(
        row,
        line_id=row.id,
        amount_yuan=yuan(row.amount_fen),
        outcome=None if end is None else end.outcome,
        payment_id=None if end is None else end.payment_id,
        detail="" if end is None else end.detail,
    )
