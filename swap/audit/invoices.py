"""Charges, invoices, closed months and settlements: taken once, adding up, numbered whole, and unchanged for good."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from sqlalchemy import exists, func, select
from sqlmodel import col

from swap.audit.findings import Findings, listed
from swap.audit.journal import JournalTold
from swap.audit.rows import Reader
from swap.commerce.bills.digests import FIRST, period_digest, row_digest
from swap.commerce.bills.invoices import BLUE, RED, bill_values, charge_values, invoice_id
from swap.commerce.bills.settlements import shares_of, split
from swap.tables import (
    Bill,
    BillingPeriod,
    BillLine,
    ChargeRow,
    ClosingClaim,
    Invoice,
    InvoiceLine,
    Settlement,
    SettlementShare,
)

_Part = tuple[Mapping[str, Any], list[Mapping[str, Any]]]


class InvoiceChecks:
    """The checks of what firms owe each other beside the bills of single swaps.

    Args:
        told: what the journals say: the shares in force at each station.
    """

    def __init__(self, reader: Reader, findings: Findings, told: JournalTold) -> None:
        self._reader = reader
        self._findings = findings
        self._told = told
        self._invoices: dict[str, Any] = {}
        """By id: a few numbers of each."""

    def look(self) -> None:
        """Every check."""
        self._charges()
        self._taken_once()
        by_period = self._by_seller()
        self._drafts()
        self._red_letters()
        settlements = self._settlements()
        self._periods(by_period, settlements)

    def _charges(self) -> None:
        found = self._findings["charge_adds_up"]
        kinds: dict[str, tuple[str, str]] = {}
        corrections: list[Any] = []
        for row in self._reader.rows(ChargeRow, order=(col(ChargeRow.id),)):
            amount = _charge_fen(row)
            if amount is None:
                found.look(False, f"charge {row.id}: its basis names factors that are no fractions")
                continue
            found.look(
                amount == row.amount_fen,
                f"charge {row.id}: amount_fen is {row.amount_fen} for quantity_1e6 {row.quantity_1e6} at "
                f"unit_price_1e4_yuan {row.unit_price_1e4_yuan}, should be {amount}",
            )
            kinds[row.id] = (row.seller_id, row.buyer_id)
            if row.corrects_id is not None:
                corrections.append((row.id, row.corrects_id, row.seller_id, row.buyer_id))
        for charge_id, corrects_id, seller_id, buyer_id in corrections:
            found.look(
                kinds.get(corrects_id) == (seller_id, buyer_id),
                f"charge {charge_id} corrects {corrects_id}, which is none of {seller_id} to {buyer_id}",
            )

    def _taken_once(self) -> None:
        found = self._findings["taken_once"]
        lines = InvoiceLine.__table__.c  # type: ignore[attr-defined]
        for columns in ((lines.bill_id, lines.bill_line_no), (lines.charge_id,)):
            twice = select(*columns).where(columns[0].is_not(None)).group_by(*columns).having(func.count() > 1)
            found.violations += [
                f"{':'.join(map(str, key))} is on several lines of invoices" for key in self._reader.db.execute(twice)
            ]

    # invoices and what they took

    def _by_seller(self) -> dict[tuple[str, str], list[_Part]]:
        """Every invoice looked at; by seller and month what is digested of them."""
        numbers, adds_up = self._findings["invoice_numbers_whole"], self._findings["invoice_adds_up"]
        parts: dict[tuple[str, str], list[_Part]] = defaultdict(list)
        last: tuple[str | None, int, Any] = (None, 0, None)
        for invoices in _lots(self._reader.rows(Invoice, order=(col(Invoice.seller_id), col(Invoice.number)))):
            lines: dict[str, list[Any]] = defaultdict(list)
            order = (col(InvoiceLine.invoice_id), col(InvoiceLine.line_no))
            ids = [invoice.id for invoice in invoices]
            for line in self._reader.of(InvoiceLine, col(InvoiceLine.invoice_id), ids, order=order):
                lines[line.invoice_id].append(line)
            self._sources([line for own in lines.values() for line in own])
            for invoice in invoices:
                seller, number, before = last if last[0] == invoice.seller_id else (invoice.seller_id, 0, None)
                numbers.look(
                    invoice.number == number + 1 and (before is None or before.issued_at <= invoice.issued_at),
                    f"invoice {invoice.id} of {seller} has number {invoice.number} (issued_at {invoice.issued_at}) "
                    f"after {number}",
                )
                last = (invoice.seller_id, invoice.number, invoice)
                own = lines[invoice.id]
                for name in ("net_fen", "tax_fen", "gross_fen"):
                    total = sum(getattr(line, name) for line in own)
                    adds_up.look(
                        total == getattr(invoice, name),
                        f"invoice {invoice.id}: {name} is {getattr(invoice, name)}, its lines are {total}",
                    )
                adds_up.look(
                    [line.line_no for line in own] == list(range(1, len(own) + 1)) and own,
                    f"invoice {invoice.id} has lines (line_no) {listed(line.line_no for line in own)}",
                )
                self._invoices[invoice.id] = invoice
                parts[invoice.seller_id, invoice.period].append((invoice._asdict(), [line._asdict() for line in own]))
        return parts

    def _drafts(self) -> None:
        """Lines without an invoice are those of the next ones of a seller whose month is being closed."""
        found = self._findings["drafts_of_closings"]
        waiting: dict[str, int] = {}
        issued = exists(select(col(Invoice.id)).where(col(Invoice.id) == col(InvoiceLine.invoice_id)))
        order = (col(InvoiceLine.invoice_id), col(InvoiceLine.line_no))
        for lines in _lots(self._reader.rows(InvoiceLine, ~issued, order=order)):
            self._sources(lines)
            for line in lines:
                before = waiting.get(line.invoice_id, 0)
                number = line.line_no
                found.look(number == before + 1, f"draft {line.invoice_id}: line_no {number} follows {before}")
                waiting[line.invoice_id] = before + 1
        last: dict[str, int] = defaultdict(int)
        for invoice in self._invoices.values():
            last[invoice.seller_id] = max(last[invoice.seller_id], invoice.number)
        sellers = [row.seller_id for row in self._reader.rows(ClosingClaim)]
        for seller in sellers:
            number = last[seller] + 1
            while (lines_of := waiting.pop(invoice_id(seller, number), None)) is not None:
                found.pending += lines_of
                number += 1
        found.violations += [
            f"invoice_line {key}: no such invoice, and none of a seller whose month is being closed "
            f"(closing_claim: {listed(sellers)})"
            for key in waiting
        ]

    def _sources(self, lines: list[Any]) -> None:
        """Each line takes what its bill or charge was, and still is."""
        found = self._findings["taken_once"]
        bills = {line.bill_id for line in lines if line.bill_id is not None}
        charges = [line.charge_id for line in lines if line.charge_id is not None]
        known: dict[Any, Any] = {}
        for row in self._reader.of(BillLine, col(BillLine.bill_id), bills, judged=False):
            known[row.bill_id, row.line_no] = row
        for row in self._reader.of(ChargeRow, col(ChargeRow.id), charges, judged=False):
            known[row.id] = row
        for line in lines:
            by_charge = line.charge_id is not None
            row = known.get(line.charge_id if by_charge else (line.bill_id, line.bill_line_no))
            name = f"invoice_line {line.invoice_id}:{line.line_no}"
            what = f"charge {line.charge_id}" if by_charge else f"bill_line {line.bill_id}:{line.bill_line_no}"
            found.look(row is not None, f"{name} took {what}, which does not exist")
            if row is None:
                continue
            found.look(
                row_digest(row._asdict()) == line.source_digest,
                f"{name}: {what} is not what was taken (source_digest {line.source_digest})",
            )
            found.same(name, what, line, charge_values(row) if by_charge else bill_values(row))

    def _red_letters(self) -> None:
        found = self._findings["red_letter_names_invoice"]
        back_fen: dict[str, int] = defaultdict(int)
        for invoice in self._invoices.values():
            if invoice.kind != RED:
                found.look(
                    invoice.kind == BLUE and invoice.corrects_id is None and invoice.gross_fen >= 0,
                    f"invoice {invoice.id} is {invoice.kind}, corrects_id is {invoice.corrects_id}",
                )
                continue
            first = self._invoices.get(invoice.corrects_id or "")
            found.look(
                first is not None
                and (first.seller_id, first.buyer_id) == (invoice.seller_id, invoice.buyer_id)
                and first.kind == BLUE
                and first.number < invoice.number,
                f"red letter {invoice.id}: corrects_id {invoice.corrects_id} is no earlier invoice of "
                f"{invoice.seller_id} to {invoice.buyer_id}",
            )
            back_fen[invoice.corrects_id or ""] += invoice.gross_fen
        for key, fen in back_fen.items():
            first = self._invoices.get(key)
            found.look(
                first is not None and -fen <= first.gross_fen and fen <= 0,
                f"red letters of invoice {key} give back {-fen} fen, it asked "
                f"{first.gross_fen if first is not None else 'nothing'}",
            )

    # settlements and months

    def _settlements(self) -> dict[tuple[str, str], list[_Part]]:
        found = self._findings["shares_conserved"]
        shares: dict[str, list[Any]] = defaultdict(list)
        order = (col(SettlementShare.settlement_id), col(SettlementShare.party_id))
        for share in self._reader.rows(SettlementShare, order=order):
            shares[share.settlement_id].append(share)
        incomes = self._incomes()
        parts: dict[tuple[str, str], list[_Part]] = defaultdict(list)
        by_key = (col(Settlement.station_id), col(Settlement.kind), col(Settlement.prices_seq))
        for row in self._reader.rows(Settlement, order=by_key):
            own = shares.pop(row.id, [])
            income = incomes.pop((row.seller_id, row.period, row.station_id, row.kind, row.prices_seq), None)
            found.look(
                income == row.income_fen,
                f"settlement {row.id}: income_fen is {row.income_fen}, its invoices say {income}",
            )
            found.look(
                sum(share.amount_fen for share in own) == row.income_fen,
                f"settlement {row.id}: its shares are {sum(share.amount_fen for share in own)} of {row.income_fen} fen",
            )
            right = self._right_shares(row)
            said = {share.party_id: (share.share_bp, share.takes_rest, share.amount_fen) for share in own}
            found.look(said == right, f"settlement {row.id} is shared {said}, the prices of its time say {right}")
            parts[row.seller_id, row.period].append((row._asdict(), [share._asdict() for share in own]))
        found.violations += [f"shares of settlement {key}, which does not exist" for key in shares]
        for (seller_id, period, station_id, kind, prices_seq), _ in incomes.items():
            found.look(
                self._shared(station_id, prices_seq, kind) is None,
                f"no settlement of {seller_id}, {period}: {kind} of {station_id} is shared by event {prices_seq}",
            )
        return parts

    def _shared(self, station_id: str, prices_seq: int, kind: str) -> tuple[dict[str, int], str] | None:
        told = [prices for _, prices in self._told.prices.get(station_id, []) if prices.seq == prices_seq]
        return shares_of(told[0].billing.shares, kind) if told else None

    def _right_shares(self, row: Any) -> dict[str, tuple[int, bool, int]]:
        shared = self._shared(row.station_id, row.prices_seq, row.kind)
        if shared is None:
            return {}
        shares_bp, rest_to = shared
        parts = split(row.income_fen, shares_bp, rest_to)
        return {party: (shares_bp[party], party == rest_to, fen) for party, fen in parts.items()}

    def _incomes(self) -> dict[tuple[Any, ...], int]:
        invoices, lines = Invoice.__table__.c, InvoiceLine.__table__.c  # type: ignore[attr-defined]
        billed, bills = BillLine.__table__.c, Bill.__table__.c  # type: ignore[attr-defined]
        key = (invoices.seller_id, invoices.period, bills.station_id, lines.kind, billed.prices_seq)
        query = (
            select(*key, func.sum(lines.net_fen))
            .select_from(InvoiceLine.__table__)  # type: ignore[attr-defined]
            .join(Invoice.__table__, invoices.id == lines.invoice_id)  # type: ignore[attr-defined]
            .join(
                BillLine.__table__,  # type: ignore[attr-defined]
                (billed.bill_id == lines.bill_id) & (billed.line_no == lines.bill_line_no),
            )
            .join(Bill.__table__, bills.id == billed.bill_id)  # type: ignore[attr-defined]
            .where(billed.prices_seq.is_not(None))
            .group_by(*key)
        )
        return {tuple(row[:-1]): int(row[-1]) for row in self._reader.db.execute(query)}

    def _periods(
        self, invoices: dict[tuple[str, str], list[_Part]], settlements: dict[tuple[str, str], list[_Part]]
    ) -> None:
        found = self._findings["period_closed_for_good"]
        previous: dict[str, str] = {}
        closed = set[tuple[str, str]]()
        order = (col(BillingPeriod.seller_id), col(BillingPeriod.period))
        for row in self._reader.rows(BillingPeriod, order=order):
            key = (row.seller_id, row.period)
            closed.add(key)
            parts = [*invoices.get(key, []), *settlements.get(key, [])]
            digest = period_digest(row._asdict(), previous.get(row.seller_id, FIRST), parts)
            found.look(
                digest == row.digest,
                f"billing_period {row.seller_id}:{row.period} is not what was closed: invoices "
                f"{listed(part['id'] for part, _ in parts)}; digest {row.digest}, now {digest}",
            )
            previous[row.seller_id] = row.digest
        found.violations += [
            f"invoices or settlements of {seller_id} of {period} ({listed(part['id'] for part, _ in parts)}), "
            "a month that was never closed"
            for by_period in (invoices, settlements)
            for (seller_id, period), parts in by_period.items()
            if (seller_id, period) not in closed
        ]


def _charge_fen(row: Any) -> int | None:
    """Quantity × unit price × factors in fen, half up; None where a factor is no fraction."""
    exact = Fraction(abs(row.quantity_1e6), 10**6) * Fraction(row.unit_price_1e4_yuan, 10**4) * 100
    factors = row.basis.get("factors") or {}
    try:
        for factor in factors.values() if isinstance(factors, dict) else factors:
            exact *= Fraction(str(factor))
    except (ValueError, ZeroDivisionError):
        return None
    return (-1 if row.quantity_1e6 < 0 else 1) * ((int(exact * 2) + 1) // 2)


def _lots(rows: Iterable[Any], size: int = 200) -> Iterable[list[Any]]:
    lot: list[Any] = []
    for row in rows:
        lot.append(row)
        if len(lot) == size:
            yield lot
            lot = []
    if lot:
        yield lot
