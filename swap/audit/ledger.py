"""The ledger and payments: sealed, balanced, posted once from what is there, and never more paid than is owed.

Transfers are read in lots with their legs and what they were made from; kept are a few numbers for each account.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import SQLModel, col, select

from swap.audit.findings import Findings
from swap.audit.rows import AT_ONCE, Reader
from swap.commerce.ledger.chart import chart
from swap.commerce.ledger.postings import BankMove, GivenBack, postings_of
from swap.commerce.ledger.sources import bill_owed, charge_owed
from swap.commerce.ledger.transfers import Transfer, digest_of, transfer_digest
from swap.commerce.payments.allocation import DEBTS
from swap.commerce.payments.taking import as_paid
from swap.commerce.seals import row_digest
from swap.tables import (
    AcquirerCall,
    AcquirerOrder,
    BankLine,
    BankLineEnd,
    Bill,
    BillLine,
    ChargeRow,
    LedgerAccount,
    LedgerLeg,
    LedgerTransfer,
    NetStatement,
    Payment,
    PaymentAllocation,
    Refund,
    WalletCredit,
)

POSTED_WITHIN = timedelta(hours=1)
"""A bill or charge may be without a transfer while none that is posted is newer than it by more than this."""
_SEALED: tuple[tuple[type[SQLModel], Any], ...] = (
    (Payment, Payment.id),
    (PaymentAllocation, PaymentAllocation.payment_id),
    (Refund, Refund.id),
    (BankLine, BankLine.id),
    (BankLineEnd, BankLineEnd.line_id),
    (AcquirerOrder, AcquirerOrder.id),
    (AcquirerCall, AcquirerCall.id),
    (WalletCredit, WalletCredit.holder_id),
    (NetStatement, NetStatement.id),
)
_MIRRORS = {
    "payable": "receivable",
    "receivable": "payable",
    "wallet": "prepaid",
    "prepaid": "wallet",
    "deposit_held": "deposit_paid",
    "deposit_paid": "deposit_held",
}
"""What stands in the other firm's books with the same amount."""


class LedgerChecks:
    """The checks of the ledger."""

    def __init__(self, reader: Reader, findings: Findings) -> None:
        self._reader = reader
        self._findings = findings
        self._newest_at: datetime | None = None
        """The newest bill or charge that is posted."""
        self._balances = Counter[str]()
        """Debits less credits of what was posted."""
        self._kinds: dict[str, str] = {}
        self._owed = Counter[str]()
        """What is owed for each debt that somebody has paid something for."""

    def look(self) -> None:
        """Every check."""
        self._accounts()
        self._paid_for = self._allocations()
        for transfers in self._reader.lots(LedgerTransfer, col(LedgerTransfer.id)):
            self._lot(transfers)
        self._loose_legs()
        self._books()
        self._floors()
        self._debts()
        self._all_posted(Bill, "bill")
        self._all_posted(ChargeRow, "charge")
        for model, key in _SEALED:
            self._rows_sealed(model, key)
        self._told_alike()

    def _accounts(self) -> None:
        found = self._findings["account_named"]
        for row in self._reader.rows(LedgerAccount, order=(col(LedgerAccount.id),)):
            named = ":".join(part for part in (row.firm_id, row.kind, row.detail) if part)
            found.look(
                row.id == named and row.kind in chart(), f"ledger_account {row.id} is {named} by firm, kind and detail"
            )
            self._kinds[row.id] = row.kind

    # transfers

    def _lot(self, transfers: list[Any]) -> None:
        ids = [row.id for row in transfers]
        legs: dict[str, list[Any]] = defaultdict(list)
        order = (col(LedgerLeg.transfer_id), col(LedgerLeg.leg_no))
        for leg in self._reader.of(LedgerLeg, col(LedgerLeg.transfer_id), ids, order=order):
            legs[leg.transfer_id].append(leg)
        expected = self._expected(transfers)
        for row in transfers:
            self._sealed(row, legs[row.id])
            self._source(row, expected)
        self._holds(transfers, legs)
        for row in transfers:
            if row.kind == "posted":
                self._count(row, legs[row.id])
            if row.id.startswith(DEBTS):
                self._newest_at = row.at if self._newest_at is None else max(self._newest_at, row.at)

    def _sealed(self, row: Any, legs: list[Any]) -> None:
        found, name = self._findings["transfer_sealed"], f"ledger_transfer {row.id}"
        total_fen = sum(leg.amount_fen for leg in legs)
        found.look(
            (len(legs), total_fen) == (row.legs, row.total_fen),
            f"{name}: {len(legs)} legs of {total_fen} fen, its seal says legs {row.legs}, total_fen {row.total_fen}",
        )
        fits = [leg.leg_no for leg in legs] == list(range(1, len(legs) + 1)) and all(
            (leg.at, leg.kind) == (row.at, row.kind) for leg in legs
        )
        found.look(fits, f"{name}: the number, instant or kind of a leg is not that of its seal")
        said = [(leg.debit_id, leg.credit_id, leg.amount_fen) for leg in legs]
        digest = transfer_digest(
            row.id, row.source, row.about, row.kind, row.settles_id, row.at, row.expires_at, row.source_digest, said
        )
        found.look(row.digest == digest, f"{name}: it is not what its digest was made from")
        found = self._findings["leg_in_one_firm"]
        for leg in legs:
            firms = leg.debit_id.partition(":")[0], leg.credit_id.partition(":")[0]
            known = leg.debit_id in self._kinds and leg.credit_id in self._kinds
            found.look(
                firms[0] == firms[1] and known and leg.debit_id != leg.credit_id and leg.amount_fen > 0,
                f"ledger_leg {row.id}:{leg.leg_no} moves {leg.amount_fen} fen from {leg.credit_id} to {leg.debit_id}",
            )

    def _count(self, row: Any, legs: list[Any]) -> None:
        debt = row.about.startswith(DEBTS) and row.about in self._paid_for
        for leg in legs:
            self._balances[leg.debit_id] += leg.amount_fen
            self._balances[leg.credit_id] -= leg.amount_fen
            if debt:
                seller_id, buyer_id = self._paid_for[row.about]
                receivable = f"{seller_id}:receivable:{buyer_id}"
                self._owed[row.about] += leg.amount_fen * ((leg.debit_id == receivable) - (leg.credit_id == receivable))

    def _holds(self, transfers: list[Any], legs: dict[str, list[Any]]) -> None:
        found = self._findings["hold_settled_once"]
        settling = {row.settles_id: row for row in transfers if row.settles_id is not None}
        found_pending = {
            row.id: row for row in self._reader.of(LedgerTransfer, col(LedgerTransfer.id), settling, judged=False)
        }
        held: dict[str, list[Any]] = defaultdict(list)
        for leg in self._reader.of(LedgerLeg, col(LedgerLeg.transfer_id), settling, judged=False):
            held[leg.transfer_id].append(leg)
        for row in transfers:
            if row.settles_id is None:
                continue
            pending = found_pending.get(row.settles_id)
            in_time = (
                pending is not None
                and pending.expires_at is not None
                and (row.kind == "void" or row.at < pending.expires_at)
            )
            taken = Counter[tuple[str, str]]()
            for leg in legs[row.id]:
                taken[leg.debit_id, leg.credit_id] += leg.amount_fen
            for leg in held[row.settles_id]:
                taken[leg.debit_id, leg.credit_id] -= leg.amount_fen
            once = settling[row.settles_id] is row
            found.look(
                pending is not None and pending.kind == "pending" and in_time and once
                and all(fen <= 0 for fen in taken.values()),
                f"ledger_transfer {row.id} settles {row.settles_id}, which is no hold, is over, used, or smaller",
            )  # fmt: skip

    # what they were made from

    def _expected(self, transfers: list[Any]) -> dict[str, Transfer]:
        """The transfers that what they were made from should have, by id."""
        ids: dict[str, list[str]] = defaultdict(list)
        for row in transfers:
            kind, _, key = row.id.partition(":")
            ids[kind].append(key)
        found: list[Transfer] = []
        found += self._bills(ids["bill"])
        found += self._made(charge_owed, ChargeRow, col(ChargeRow.id), ids["charge"])
        found += self._made(as_paid, Payment, col(Payment.id), ids["payment"])
        refunds = list(self._reader.of(Refund, col(Refund.id), ids["refund"], judged=False))
        payments = {
            row.id: row
            for row in self._reader.of(Payment, col(Payment.id), {row.payment_id for row in refunds}, judged=False)
        }

        def given_back(row: Any) -> GivenBack:
            return GivenBack(row.id, row.made_at, as_paid(payments[row.payment_id]), row.amount_fen, row.digest)

        found += self._transfers(given_back, [row for row in refunds if row.payment_id in payments])
        lines = {key.partition(":")[0] for key in ids["bank"]}
        rows = {row.id: row for row in self._reader.of(BankLine, col(BankLine.id), lines, judged=False)}
        found += self._transfers(
            lambda row: BankMove(row.id, row.imported_at, row.firm_id, row.amount_fen, digest=row.digest), rows.values()
        )
        ends = self._reader.of(BankLineEnd, col(BankLineEnd.line_id), rows, judged=False)

        def cleared(end: Any) -> BankMove:
            line = rows[end.line_id]
            return BankMove(line.id, end.ended_at, line.firm_id, line.amount_fen, end.detail, end.digest)

        found += self._transfers(cleared, [end for end in ends if end.outcome == "channel"])
        return {transfer.id: transfer for transfer in found}

    def _bills(self, ids: list[str]) -> list[Transfer]:
        bills = list(self._reader.of(Bill, col(Bill.id), ids, judged=False))
        lines: dict[str, list[Any]] = defaultdict(list)
        order = (col(BillLine.bill_id), col(BillLine.line_no))
        for line in self._reader.of(BillLine, col(BillLine.bill_id), ids, order=order, judged=False):
            lines[line.bill_id].append(line)
        swaps = {bill.swap_id for bill in bills if bill.kind == "reversal"}
        first = {
            bill.swap_id: bill.id
            for bill in self._reader.of(Bill, col(Bill.swap_id), swaps, judged=False)
            if bill.kind == "swap"
        }

        def owed(bill: Any) -> Any:
            return bill_owed(bill, lines[bill.id], first.get(bill.swap_id) if bill.kind == "reversal" else None)

        return self._transfers(owed, bills)

    def _made(self, made: Callable[[Any], Any], model: type[SQLModel], key: Any, ids: list[str]) -> list[Transfer]:
        return self._transfers(made, self._reader.of(model, key, ids, judged=False))

    def _transfers(self, made: Callable[[Any], Any], rows: Iterable[Any]) -> list[Transfer]:
        found = []
        for row in rows:
            try:
                found.append(postings_of(made(row)))
            except (ValueError, KeyError):  # no amount, firm or rate that could be posted: so nothing equals it
                continue
        return found

    def _source(self, row: Any, expected: dict[str, Transfer]) -> None:
        found, kind = self._findings["transfer_has_source"], row.id.partition(":")[0]
        if kind == "void":
            found.look(row.settles_id is not None, f"ledger_transfer {row.id} voids nothing")
        elif kind == "hold":
            found.look(row.kind == "pending", f"ledger_transfer {row.id} is {row.kind}, and a hold by its id")
        else:
            transfer = expected.get(row.id)
            found.look(
                transfer is not None and digest_of(transfer) == row.digest,
                f"ledger_transfer {row.id} is not what {row.source} makes"
                if transfer is not None
                else f"ledger_transfer {row.id}: there is no {row.source} that makes it",
            )

    def _all_posted(self, model: Any, source: str) -> None:
        found = self._findings["owed_is_posted"]
        for rows in self._reader.lots(model, col(model.id), judged=model is ChargeRow):
            ids = [f"{source}:{row.id}" for row in rows]
            there = {row.id for row in self._reader.of(LedgerTransfer, col(LedgerTransfer.id), ids, judged=False)}
            for row in rows:
                at = row.issued_at if source == "bill" else row.made_at
                if f"{source}:{row.id}" not in there and (
                    self._newest_at is None or self._newest_at <= at + POSTED_WITHIN
                ):
                    found.wait()
                    continue
                found.look(f"{source}:{row.id}" in there, f"{source} {row.id} is not in the ledger")

    def _loose_legs(self) -> None:
        found, last = self._findings["no_leg_unsealed"], ""
        names = select(LedgerLeg.transfer_id).distinct().order_by(col(LedgerLeg.transfer_id)).limit(AT_ONCE)
        while ids := [str(name) for (name,) in self._reader.db.execute(names.where(col(LedgerLeg.transfer_id) > last))]:
            last = ids[-1]
            there = {row.id for row in self._reader.of(LedgerTransfer, col(LedgerTransfer.id), ids, judged=False)}
            for transfer_id in ids:
                found.look(transfer_id in there, f"ledger_leg {transfer_id} has no seal")

    # balances

    def _books(self) -> None:
        balanced, mirrored = self._findings["books_balance"], self._findings["books_mirror"]
        of_firm = Counter[str]()
        for account_id, fen in self._balances.items():
            of_firm[account_id.partition(":")[0]] += fen
        for firm_id, fen in of_firm.items():
            balanced.look(not fen, f"the accounts of {firm_id} add up to {fen} fen, should be 0")
        for account_id, fen in self._balances.items():
            firm_id, kind, *detail = account_id.split(":")
            if kind in _MIRRORS and detail:
                other = f"{detail[0]}:{_MIRRORS[kind]}:{firm_id}"
                mirrored.look(
                    self._balances[other] == -fen if other in self._balances else not fen,
                    f"account {account_id} is {fen} fen, and {other} {self._balances.get(other, 0)}",
                )
            elif kind == "clearing" and detail == ["net"]:
                mirrored.look(not fen, f"account {account_id} is {fen} fen: what was set off has two sides")

    def _floors(self) -> None:
        found, most = self._findings["floors_kept"], Counter[str]()
        for row in self._reader.rows(WalletCredit, order=(col(WalletCredit.set_at),)):
            account_id = f"{row.holder_id}:wallet:{row.owner_id}"
            most[account_id] = max(most[account_id], row.limit_fen)
        for account_id, fen in self._balances.items():
            kind = chart().get(self._kinds.get(account_id, ""))
            if kind is not None and kind.floor:
                found.look(
                    -fen >= -most[account_id], f"account {account_id} is at {-fen} fen, allowed {-most[account_id]}"
                )

    # payments

    def _allocations(self) -> dict[str, tuple[str, str]]:
        """Check each payment against what it pays and what was given back; debts that were paid, with their firms."""
        paid_for: dict[str, tuple[str, str]] = {}
        self._paid_fen = Counter[str]()
        found = self._findings["payment_not_exceeded"]
        for payments in self._reader.lots(Payment, col(Payment.id)):
            ids = [row.id for row in payments]
            firms = {row.id: (row.payee_id, row.payer_id) for row in payments}
            used, pays = Counter[str](), Counter[tuple[str, str]]()
            numbers: dict[str, list[int]] = defaultdict(list)
            order = (col(PaymentAllocation.payment_id), col(PaymentAllocation.number))
            for row in self._reader.of(PaymentAllocation, col(PaymentAllocation.payment_id), ids, order=order):
                used[row.payment_id] += row.amount_fen
                pays[row.payment_id, row.target] += row.amount_fen
                numbers[row.payment_id].append(row.number)
                paid_for[row.target] = firms.get(row.payment_id, ("", ""))
                self._paid_fen[row.target] += row.amount_fen
            for row in self._reader.of(Refund, col(Refund.payment_id), ids):
                used[row.payment_id] += row.amount_fen
            for row in payments:
                found.look(
                    0 <= used[row.id] <= row.amount_fen,
                    f"payment {row.id} of {row.amount_fen} fen pays and gives back {used[row.id]}",
                )
                found.look(
                    numbers[row.id] == list(range(1, len(numbers[row.id]) + 1)),
                    f"payment_allocation of payment {row.id}: numbers {numbers[row.id]}",
                )
            for (payment_id, target), fen in pays.items():
                found.look(fen >= 0, f"payment {payment_id} pays {fen} fen of {target}")
        return paid_for

    def _debts(self) -> None:
        found = self._findings["debt_not_overpaid"]
        for target, fen in self._paid_fen.items():
            owed_fen = max(self._owed[target], 0)
            found.look(fen <= owed_fen, f"{target} is owed with {owed_fen} fen, and paid with {fen}")

    def _rows_sealed(self, model: type[SQLModel], key: Any) -> None:
        found = self._findings["payment_rows_sealed"]
        for row in self._reader.rows(model, order=(col(key),), judged=model in (BankLine, AcquirerOrder, NetStatement)):
            name = model.__tablename__
            found.look(
                row.digest == row_digest(model, row), f"{name} {row[0]}: it is not what its digest was made from"
            )

    def _told_alike(self) -> None:
        """What two rows say of one payment is the same."""
        found = self._findings["payment_told_alike"]
        for ends in self._reader.lots(BankLineEnd, col(BankLineEnd.line_id)):
            payments = self._payments([end.payment_id for end in ends if end.payment_id is not None])
            lines = {
                row.id: row
                for row in self._reader.of(BankLine, col(BankLine.id), [end.line_id for end in ends], judged=False)
            }
            for end in ends:
                line, payment = lines.get(end.line_id), payments.get(end.payment_id)
                if end.outcome == "payment" and line is not None:
                    found.look(
                        payment is not None
                        and (payment.method, payment.reference, payment.payee_id, payment.amount_fen)
                        == ("bank", line.id, line.firm_id, line.amount_fen),
                        f"bank_line_end {end.line_id}: payment {end.payment_id} is not what the line says",
                    )
        for calls in self._reader.lots(AcquirerCall, col(AcquirerCall.id)):
            payments = self._payments([call.payment_id for call in calls])
            ids = [call.order_id for call in calls]
            orders = {row.id: row for row in self._reader.of(AcquirerOrder, col(AcquirerOrder.id), ids, judged=False)}
            for call in calls:
                order, payment = orders.get(call.order_id), payments.get(call.payment_id)
                found.look(
                    order is not None
                    and payment is not None
                    and (payment.method, payment.reference, payment.payer_id, payment.payee_id, payment.amount_fen)
                    == (order.channel, call.number, order.payer_id, order.payee_id, order.amount_fen)
                    and call.channel == order.channel,
                    f"acquirer_call {call.id}: payment {call.payment_id} is not what order {call.order_id} asked for",
                )
        for row in [row for lot in self._reader.lots(NetStatement, col(NetStatement.id), judged=False) for row in lot]:
            wanted = [f"{row.id}:{row.first_id}", f"{row.id}:{row.second_id}"] if row.offset_fen else []
            sides = {p.reference: p for p in self._reader.of(Payment, col(Payment.reference), wanted, judged=False)}
            found.look(
                all(name in sides and sides[name].amount_fen == row.offset_fen for name in wanted)
                and row.offset_fen <= max(0, min(row.first_owes_fen, row.second_owes_fen)),
                f"net_statement {row.id}: offset_fen {row.offset_fen} is not what its two payments are",
            )

    def _payments(self, ids: list[str]) -> dict[str | None, Any]:
        return {row.id: row for row in self._reader.of(Payment, col(Payment.id), ids, judged=False)}
