"""What is read of the ledger."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Protocol

from swap.reading.records import Record
from swap.tables import LedgerAccount

FEN_YUAN = Decimal("0.01")


def yuan(fen: int) -> Decimal:
    """Fen as yuan with two decimals."""
    return fen * FEN_YUAN


class Standing(Protocol):
    """Where an account stands."""

    @property
    def balance_fen(self) -> int: ...
    @property
    def available_fen(self) -> int: ...


class AccountRecord(Record):
    """One account of a firm."""

    account_id: str
    firm_id: str
    kind: str
    """A kind of the chart of accounts: receivable, payable, wallet, deposit_held, income, …"""
    detail: str
    """The other firm, the category or the channel; empty where the kind has one account."""
    balance_yuan: Decimal
    """What was posted, on the side on which the account grows."""
    available_yuan: Decimal
    """The balance without what is held of it."""

    @classmethod
    def at(cls, row: LedgerAccount, standing: Standing) -> AccountRecord:
        """The record of an account where it stands."""
        return cls.of(
            row,
            account_id=row.id,
            balance_yuan=yuan(standing.balance_fen),
            available_yuan=yuan(standing.available_fen),
        )


class AccountStatement(Record):
    """What was posted to an account in a time, with the balances before and after."""

    account_id: str
    firm_id: str
    from_at: datetime | None
    """Begin of the time; null where it begins with the account."""
    until_at: datetime
    opening_yuan: Decimal
    """The balance before, on the side on which the account grows."""
    entries: tuple[EntryRecord, ...]
    """The oldest first."""
    balances_yuan: tuple[Decimal, ...]
    """The balance after each of them."""
    closing_yuan: Decimal


class EntryRecord(Record):
    """One posted amount of an account."""

    at: datetime
    account_id: str
    other_account_id: str
    """The account on the other side, of the same firm."""
    amount_yuan: Decimal
    """Positive where the account grows by it."""
    transfer_id: str
    source: str
    """What it was made from, such as `bill:ID`."""
    about: str
    """Of a correction or a refund, what it corrects or gives back."""
