"""What a bill, a charge, a payment or a line of a bank does to the books of the firms that take part. Pure.

Each firm's books are kept by themselves: what one has to receive from another stands as payable in the other's books,
with the same amount (`mirrored` of the audit). A sale of its own gives the seller income and tax; what is collected for
another firm (代收) gives that firm income and tax, and the seller owes it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.transfers import Leg, Transfer

DEPOSIT = "deposit"
"""Category of what is held and given back, and is no income."""
ACQUIRER_FEE = "acquirer_fee"
"""Category of cost: what an acquirer keeps of what it collects, so that what it pays out clears its channel."""
WALLET = "wallet"
BANK = "bank"
CHANNELS = ("channel_a", "channel_b")
"""The two channels of the acquirer; which firm stands behind each is a matter of its contract."""
NET = "net"
"""Set off against what the payee owes."""
METHODS = (BANK, WALLET, *CHANNELS, NET)
DEBT, TOP_UP = "debt", "top_up"


@dataclass(frozen=True, slots=True)
class OwedLine:
    """One amount that a buyer owes a seller; negative in a correction."""

    seller_id: str
    buyer_id: str
    category: str
    """Of income and cost: energy, service, rent, deposit, …"""
    net_fen: int
    tax_fen: int = 0
    collected_for_id: str | None = None
    """The firm whose sale it is, where the seller only collects (代收)."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A bill or a charge, as the ledger needs it."""

    source: str
    """`bill:ID` or `charge:ID`."""
    at: datetime
    lines: tuple[OwedLine, ...]
    corrects: str | None = None
    """Source that it reverses or corrects."""
    digest: str = ""
    """Of its rows."""


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment, as the ledger needs it."""

    payment_id: str
    at: datetime
    method: str
    payer_id: str
    payee_id: str
    purpose: str
    amount_fen: int
    holder_id: str | None = None
    hold_id: str | None = None
    """The hold in the wallet that it uses."""
    fee_fen: int = 0
    """What the acquirer keeps of it (手续费), a cost of the payee."""
    digest: str = ""
    """Of its row."""


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A refund of a payment."""

    refund_id: str
    at: datetime
    paid: Paid
    amount_fen: int
    digest: str = ""
    """Of its row."""


@dataclass(frozen=True, slots=True)
class BankMove:
    """A line of a bank's statement; or, with a channel, the finding that it is what an acquirer has paid out."""

    line_id: str
    at: datetime
    firm_id: str
    amount_fen: int
    channel: str | None = None
    digest: str = ""
    """Of its row."""


Posted = Owed | Paid | GivenBack | BankMove


def postings_of(what: Posted) -> Transfer:
    """The one transfer of what has happened. The same always gives the same, and only the same has its id."""
    match what:
        case Owed():
            legs = tuple(leg for line in what.lines for leg in _owed(line))
            return Transfer(
                what.source, what.source, what.at, legs, about=what.corrects or "", source_digest=what.digest
            )
        case Paid():
            source = f"payment:{what.payment_id}"
            legs = _paid(what) + _fee(what)
            return Transfer(source, source, what.at, legs, settles_id=what.hold_id, source_digest=what.digest)
        case GivenBack():
            source = f"refund:{what.refund_id}"
            back = tuple(Leg(leg.credit, leg.debit, what.amount_fen) for leg in _paid(what.paid))
            about = f"payment:{what.paid.payment_id}"
            return Transfer(source, source, what.at, back, about=about, source_digest=what.digest)
        case BankMove():
            return _bank(what)
        case _:
            assert_never(what)


def _either_way(debit: Account, credit: Account, amount_fen: int) -> Iterator[Leg]:
    """A leg for an amount of either sign; none for 0."""
    if amount_fen > 0:
        yield Leg(debit, credit, amount_fen)
    elif amount_fen < 0:
        yield Leg(credit, debit, -amount_fen)


def _owed(line: OwedLine) -> Iterator[Leg]:
    seller, buyer = line.seller_id, line.buyer_id
    if seller == buyer:
        return  # a firm that serves its own trucks owes nothing
    whole_fen = line.net_fen + line.tax_fen
    receivable, payable = Account(seller, "receivable", buyer), Account(buyer, "payable", seller)
    if line.category == DEPOSIT:
        yield from _either_way(receivable, Account(seller, "deposit_held", buyer), whole_fen)
        yield from _either_way(Account(buyer, "deposit_paid", seller), payable, whole_fen)
        return
    owner = line.collected_for_id or seller
    if owner == seller:
        yield from _earned(seller, receivable, line)
    elif owner == buyer:  # collected by another for oneself: only the way of the money is left
        yield from _either_way(receivable, Account(seller, "payable", owner), whole_fen)
        yield from _either_way(Account(owner, "receivable", seller), payable, whole_fen)
        return
    else:
        yield from _either_way(receivable, Account(seller, "payable", owner), whole_fen)
        yield from _earned(owner, Account(owner, "receivable", seller), line)
    yield from _either_way(Account(buyer, "cost", line.category), payable, line.net_fen)
    yield from _either_way(Account(buyer, "tax_in"), payable, line.tax_fen)


def _earned(firm_id: str, receivable: Account, line: OwedLine) -> Iterator[Leg]:
    yield from _either_way(receivable, Account(firm_id, "income", line.category), line.net_fen)
    yield from _either_way(receivable, Account(firm_id, "tax_out"), line.tax_fen)


def _paid(paid: Paid) -> tuple[Leg, ...]:
    payer, payee, fen = paid.payer_id, paid.payee_id, paid.amount_fen
    if paid.purpose == TOP_UP:
        return (
            Leg(_came_in(paid), Account(payee, "wallet", payer), fen),
            Leg(Account(payer, "prepaid", payee), Account(payer, "bank"), fen),
        )
    receivable, payable = Account(payee, "receivable", payer), Account(payer, "payable", payee)
    if paid.method != WALLET:
        left = Account(payer, "clearing", NET) if paid.method == NET else Account(payer, "bank")
        return Leg(_came_in(paid), receivable, fen), Leg(payable, left, fen)
    holder = paid.holder_id
    if holder is None:
        raise ValueError(f"payment {paid.payment_id}: whose wallet it was paid from is missing")
    from_wallet = Leg(payable, Account(payer, "prepaid", holder), fen)
    if holder == payee:
        return Leg(Account(holder, "wallet", payer), receivable, fen), from_wallet
    return (
        Leg(Account(holder, "wallet", payer), Account(holder, "payable", payee), fen),
        Leg(Account(payee, "receivable", holder), receivable, fen),
        from_wallet,
    )


def _fee(paid: Paid) -> tuple[Leg, ...]:
    """The acquirer's fee; none is given back with a refund."""
    if not paid.fee_fen:
        return ()
    return (Leg(Account(paid.payee_id, "cost", ACQUIRER_FEE), _came_in(paid), paid.fee_fen),)


def _came_in(paid: Paid) -> Account:
    """Where the money of a payment stands with the payee: what came by bank stands there since its line was read."""
    if paid.method == BANK:
        return Account(paid.payee_id, "unmatched")
    return Account(paid.payee_id, "clearing", paid.method)


def _bank(move: BankMove) -> Transfer:
    unmatched, bank = Account(move.firm_id, "unmatched"), Account(move.firm_id, "bank")
    source = f"bank:{move.line_id}"
    if move.channel is None:
        legs = tuple(_either_way(bank, unmatched, move.amount_fen))
        return Transfer(source, source, move.at, legs, source_digest=move.digest)
    cleared = Account(move.firm_id, "clearing", move.channel)
    legs = tuple(_either_way(unmatched, cleared, move.amount_fen))
    cleared_by = f"{source}:channel"
    return Transfer(cleared_by, cleared_by, move.at, legs, about=source, source_digest=move.digest)
