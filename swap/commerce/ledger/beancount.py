"""The ledger as a beancount file, so that a foreign program checks it: `bean-check FILE`.

Each transfer is a transaction, each leg two postings; holds are left out, since they have moved nothing. With a start,
what was posted before it comes as one opening transaction a firm, and with an end balances stand at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from sqlmodel import col, select

from swap.commerce.ledger.balances import account_of, positions
from swap.commerce.ledger.chart import Account, Root
from swap.commerce.ledger.records import yuan
from swap.commerce.ledger.transfers import TransferKind
from swap.commerce_db import AnyDb
from swap.tables import LedgerAccount, LedgerLeg, LedgerTransfer

CURRENCY = "CNY"
_ROOTS = {
    Root.ASSETS: "Assets",
    Root.LIABILITIES: "Liabilities",
    Root.INCOME: "Income",
    Root.EXPENSES: "Expenses",
}
_OPENING = "Equity:Opening"


def export(
    db: AnyDb, zone: ZoneInfo, *, from_at: datetime | None = None, to_at: datetime | None = None
) -> Iterator[str]:
    """The lines of the file.

    Args:
        zone: whose days the dates are.
        from_at: what is before it comes as opening balances; None: everything.
        to_at: nothing from it on; None: everything.
    """
    rows = db.exec(select(LedgerAccount).order_by(col(LedgerAccount.id))).all()
    accounts = {row.id: account_of(row) for row in rows}
    names = beancount_names(accounts)
    yield f'option "operating_currency" "{CURRENCY}"'
    first_at = db.exec(
        select(LedgerTransfer.at).order_by(col(LedgerTransfer.at), col(LedgerTransfer.id)).limit(1)
    ).first()
    if first_at is None:
        return
    opened = (first_at if from_at is None else from_at).astimezone(zone).date()
    for account_id, name in names.items():
        yield f"{opened} open {name} {CURRENCY}"
        yield f'  id: "{account_id}"'
        kind = accounts[account_id].of
        yield f'  name: "{kind.name_zh} / {kind.name_en}"'
    if from_at is not None:
        yield f"{opened} open {_OPENING} {CURRENCY}"
        yield from _opening(opened.isoformat(), names, _debits_fen(db, None, from_at))
    yield from _transactions(db, zone, names, from_at, to_at)
    totals = _debits_fen(db, None, to_at)
    last_at = to_at or db.exec(select(LedgerTransfer.at).order_by(col(LedgerTransfer.at).desc()).limit(1)).one()
    # A balance is of the begin of a day.
    day = last_at.astimezone(zone)
    closed = (
        day.date() if to_at is not None and day.time().isoformat() == "00:00:00" else (day + timedelta(days=1)).date()
    )
    for account_id, name in names.items():
        yield f"{closed} balance {name} {yuan(totals[account_id])} {CURRENCY}"


def beancount_names(accounts: Mapping[str, Account]) -> dict[str, str]:
    """A name of beancount for each account, by the account's id; two accounts never get the same."""
    firms = _words({account.firm_id for account in accounts.values()})
    details = _words({account.detail for account in accounts.values() if account.detail})
    return {
        account_id: ":".join(
            part
            for part in (
                _ROOTS[account.of.root],
                firms[account.firm_id],
                account.kind.title().replace("_", "-"),
                details.get(account.detail),
            )
            if part
        )
        for account_id, account in accounts.items()
    }


def _words(texts: set[str]) -> dict[str, str]:
    """Words of letters, digits and hyphens that begin with a capital or digit; a number tells equals apart."""
    found: dict[str, str] = {}
    for text in sorted(texts):
        word = "".join(c if c.isascii() and (c.isalnum() or c == "-") else "-" for c in text)
        word = word[:1].upper() + word[1:] if word[:1].isalnum() else f"X{word}"
        tried = (word if number == 1 else f"{word}-{number}" for number in count(1))
        found[text] = next(each for each in tried if each not in found.values())
    return found


def _debits_fen(db: AnyDb, from_at: datetime | None, to_at: datetime | None) -> Counter[str]:
    """Debits less credits of each account."""
    return Counter(
        {
            account.id: found.debits_fen - found.credits_fen
            for account, found in positions(db, from_at=from_at, to_at=to_at).items()
        }
    )


def _opening(day: str, names: Mapping[str, str], totals: Counter[str]) -> Iterator[str]:
    yield f'{day} * "opening balances"'
    for account_id, name in names.items():
        if totals[account_id]:
            yield f"  {name} {yuan(totals[account_id])} {CURRENCY}"
            yield f"  {_OPENING} {yuan(-totals[account_id])} {CURRENCY}"


def _transactions(
    db: AnyDb, zone: ZoneInfo, names: Mapping[str, str], from_at: datetime | None, to_at: datetime | None
) -> Iterator[str]:
    query = (
        select(LedgerTransfer, LedgerLeg)
        .join(LedgerLeg, col(LedgerLeg.transfer_id) == LedgerTransfer.id)
        .where(LedgerTransfer.kind == TransferKind.POSTED.value)
        .order_by(col(LedgerTransfer.at), col(LedgerTransfer.id), col(LedgerLeg.leg_no))
    )
    if from_at is not None:
        query = query.where(col(LedgerTransfer.at) >= from_at)
    if to_at is not None:
        query = query.where(col(LedgerTransfer.at) < to_at)
    last_id: str | None = None
    for transfer, leg in db.exec(query.execution_options(yield_per=1000)):
        if transfer.id != last_id:
            last_id = transfer.id
            yield f'{transfer.at.astimezone(zone).date()} * "{transfer.source}"'
            yield f'  id: "{transfer.id}"'
            if transfer.about != transfer.source:
                yield f'  about: "{transfer.about}"'
        yield f"  {names[leg.debit_id]} {yuan(leg.amount_fen)} {CURRENCY}"
        yield f"  {names[leg.credit_id]} {yuan(-leg.amount_fen)} {CURRENCY}"
