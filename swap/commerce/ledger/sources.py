"""Bills and charges as the ledger needs them, from their rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swap.commerce.bills.money import taxed_fen
from swap.commerce.charges import Sale
from swap.commerce.ledger.postings import Owed, OwedLine
from swap.commerce.seals import digest_of_all, row_digest
from swap.tables import Bill, BillLine, ChargeRow


def bill_owed(bill: Any, lines: Iterable[Any], corrects: str | None) -> Owed:
    """What is owed by a bill.

    Args:
        bill: its row, by the names of the columns.
        lines: its lines, in their order.
        corrects: the bill that it reverses.
    """
    rows = tuple(lines)
    owed = tuple(
        OwedLine(
            line.payee_id,
            line.buyer_id,
            line.kind,
            line.amount_fen - line.tax_fen if line.tax_included else line.amount_fen,
            line.tax_fen,
            line.for_id if line.sale == Sale.COLLECTED.value else None,
        )
        for line in rows
    )
    digest = digest_of_all(row_digest(Bill, bill), row_digest(BillLine, *rows))
    return Owed(f"bill:{bill.id}", bill.issued_at, owed, None if corrects is None else f"bill:{corrects}", digest)


def charge_owed(charge: Any) -> Owed:
    """What is owed by a charge, given by its row."""
    net_fen, tax_fen, _ = taxed_fen(charge.amount_fen, charge.tax_rate_bp, included=charge.tax_included)
    collected_for = str(charge.basis["for"]) if charge.sale == Sale.COLLECTED.value else None
    line = OwedLine(charge.seller_id, charge.buyer_id, charge.kind, net_fen, tax_fen, collected_for)
    corrects = None if charge.corrects_id is None else f"charge:{charge.corrects_id}"
    return Owed(f"charge:{charge.id}", charge.made_at, (line,), corrects, row_digest(ChargeRow, charge))
