"""Transfers, and what makes one right. Pure: amounts in whole fen, instants given."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from swap.commerce.ledger.chart import Account
from swap.journal.canonical import canonical_instant, canonical_json

MOST_FEN = 10**15
"""No amount is more: ten million million yuan."""
LONGEST_ID = 56
"""Characters of the id of a transfer."""
VOIDING = "void:"
"""Before the id of a pending transfer: the id of what voids it."""


class TransferKind(StrEnum):
    """What a transfer does to balances."""

    POSTED = "posted"
    PENDING = "pending"
    """It holds its amounts until it is settled or its time is over."""
    VOID = "void"
    """It ends a pending one without effect."""


@dataclass(frozen=True, slots=True)
class Leg:
    """An amount from one account to another of the same firm.

    Raises:
        ValueError: the amount is not 1…MOST_FEN, the accounts are the same, or of two firms.
    """

    debit: Account
    credit: Account
    amount_fen: int

    def __post_init__(self) -> None:
        if not 0 < self.amount_fen <= MOST_FEN:
            raise ValueError(f"amount_fen = {self.amount_fen}: allowed 1…{MOST_FEN}")
        if self.debit == self.credit:
            raise ValueError(f"{self.debit.id}: a leg needs two accounts")
        if self.debit.firm_id != self.credit.firm_id:
            raise ValueError(f"{self.debit.id}, {self.credit.id}: a leg stays in the books of one firm")


@dataclass(frozen=True, slots=True)
class Transfer:
    """Legs that count all or not at all.

    Raises:
        ValueError: a pending one without end, an end without a pending one, a void one with legs or of nothing; an id
            of no or too many characters.
    """

    id: str
    """The same id cannot be posted twice."""
    source: str
    """What it was made from, such as `bill:ID`."""
    at: datetime
    legs: tuple[Leg, ...]
    about: str = ""
    """Of a correction, the source that it corrects; empty: its own source."""
    kind: TransferKind = TransferKind.POSTED
    settles_id: str | None = None
    """The pending transfer that this one posts or voids."""
    expires_at: datetime | None = None
    source_digest: str = ""
    """Of the rows that it was made from."""

    def __post_init__(self) -> None:
        if not 0 < len(self.id.removeprefix(VOIDING)) <= LONGEST_ID:
            raise ValueError(f"transfer {self.id}: an id has 1…{LONGEST_ID} characters")
        if not self.about:
            object.__setattr__(self, "about", self.source)
        if (self.kind is TransferKind.PENDING) != (self.expires_at is not None):
            raise ValueError(f"transfer {self.id}: what is pending has an end, and nothing else has")
        if self.expires_at is not None and self.expires_at <= self.at:
            raise ValueError(f"transfer {self.id}: it would end at {self.expires_at} and begin at {self.at}")
        if self.kind is TransferKind.VOID and (self.legs or self.settles_id is None):
            raise ValueError(f"transfer {self.id}: a void one has no legs and names what it voids")
        if self.kind is TransferKind.PENDING and self.settles_id is not None:
            raise ValueError(f"transfer {self.id}: what is pending settles nothing")

    @property
    def total_fen(self) -> int:
        """Sum of the legs."""
        return sum(leg.amount_fen for leg in self.legs)


class LegLike(Protocol):
    """A leg with the keys of its accounts, as it is stored."""

    @property
    def debit_id(self) -> str: ...
    @property
    def credit_id(self) -> str: ...
    @property
    def amount_fen(self) -> int: ...


def digest_of(transfer: Transfer) -> str:
    """SHA-256 of everything that a transfer says, in hex."""
    legs = [(leg.debit.id, leg.credit.id, leg.amount_fen) for leg in transfer.legs]
    return transfer_digest(
        transfer.id, transfer.source, transfer.about, transfer.kind.value, transfer.settles_id, transfer.at,
        transfer.expires_at, transfer.source_digest, legs,
    )  # fmt: skip


def transfer_digest(
    transfer_id: str,
    source: str,
    about: str,
    kind: str,
    settles_id: str | None,
    at: datetime,
    expires_at: datetime | None,
    source_digest: str,
    legs: Iterable[tuple[str, str, int]],
) -> str:
    """The digest of a transfer by its stored values; legs as debit, credit and fen, in their order."""
    said = {
        "id": transfer_id,
        "source": source,
        "about": about,
        "kind": kind,
        "settles": settles_id,
        "at": canonical_instant(at),
        "expires": None if expires_at is None else canonical_instant(expires_at),
        "from": source_digest,
        "legs": [list(leg) for leg in legs],
    }
    return hashlib.sha256(canonical_json(said).encode()).hexdigest()


def more_than_held(held: Sequence[LegLike], settled: Iterable[Leg]) -> str | None:
    """The first pair of accounts by which a settlement takes more than was held; None where it takes no more."""
    left = Counter[tuple[str, str]]()
    for one in held:
        left[one.debit_id, one.credit_id] += one.amount_fen
    for leg in settled:
        pair = leg.debit.id, leg.credit.id
        left[pair] -= leg.amount_fen
        if left[pair] < 0:
            return " → ".join(pair)
    return None


def changes_fen(legs: Iterable[Leg]) -> Mapping[Account, int]:
    """By how much legs change the balance of each account, each on the side on which it grows."""
    found = Counter[Account]()
    for leg in legs:
        found[leg.debit] += leg.amount_fen if leg.debit.of.root.grows_by_debit else -leg.amount_fen
        found[leg.credit] += -leg.amount_fen if leg.credit.of.root.grows_by_debit else leg.amount_fen
    return found
