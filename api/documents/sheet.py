"""What stands on an invoice or a receipt, in one language, before it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from api.words import Language
from swap.commerce.bills.capitals import in_capitals
from swap.commerce.bills.money import FEN
from swap.commerce.bills.records import InvoiceLineRecord, InvoiceRecord
from swap.commerce.charges import whole
from swap.commerce.payments.receipts import DepositReceipt
from swap.words import N_


@dataclass(frozen=True)
class Sheet:
    """An invoice or a receipt as a person reads it."""

    title: str
    head: tuple[tuple[str, str], ...]
    """Label and value."""
    columns: tuple[str, ...]
    widths_mm: tuple[int, ...]
    """Of the columns."""
    rows: tuple[tuple[str | Decimal, ...], ...]
    totals: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def sheet(invoice: InvoiceRecord, names: Mapping[str, tuple[str, str]], language: Language) -> Sheet:
    """What stands on an invoice."""
    text = language.text

    def firm(party_id: str | None) -> str:
        return "" if party_id is None else language.pick(*names.get(party_id, (party_id, party_id)))

    def line(one: InvoiceLineRecord) -> tuple[str | Decimal, ...]:
        what = language.word("line_kind", one.kind)
        if one.for_id is not None:
            what = text("{what} (collected for {firm})", what=what, firm=firm(one.for_id))
        return (
            str(one.line_no),
            what,
            one.bill_id or one.charge_id or "",
            one.quantity,
            language.word("unit", one.unit),
            one.unit_price_yuan,
            text("with tax") if one.tax_included else text("without tax"),
            one.net_yuan,
            f"{one.tax_rate * 100:f}".rstrip("0").rstrip(".") + " %",
            one.tax_yuan,
            one.gross_yuan,
        )

    red = invoice.kind == "red"
    head = [
        (text("Seller"), firm(invoice.seller_id)),
        (text("Buyer"), firm(invoice.buyer_id)),
        (text("Number"), f"{invoice.number:06d}"),
        (text("Month"), invoice.period),
        (text("Issued"), f"{invoice.issued_at.astimezone(language.zone):%Y-%m-%d %H:%M}"),
    ]
    if red:
        head.append((text("Corrects"), invoice.corrects_id or ""))
    return Sheet(
        title=text("Red-letter invoice") if red else text("Invoice"),
        head=tuple(head),
        columns=tuple(
            text(name)
            for name in (
                N_("No."), N_("Item"), N_("Source"), N_("Quantity"), N_("Unit"), N_("Unit price"), N_("Price is"),
                N_("Net"), N_("Tax rate"), N_("Tax"), N_("Gross"),
            )
        ),
        widths_mm=(10, 38, 48, 22, 18, 22, 18, 24, 16, 22, 26),
        rows=tuple(line(one) for one in invoice.lines),
        totals=(
            (text("Net"), f"{invoice.net_yuan:,.2f}"),
            (text("Tax"), f"{invoice.tax_yuan:,.2f}"),
            (text("Gross"), f"¥{invoice.gross_yuan:,.2f}"),
            (text("In capitals"), in_capitals(whole(invoice.gross_yuan, FEN))),
        ),
        notes=(text("No tax invoice: that is issued by the tax platform from these values."),),
    )  # fmt: skip


def receipt_sheet(receipt: DepositReceipt, names: Mapping[str, tuple[str, str]], language: Language) -> Sheet:
    """What stands on the receipt of a deposit."""
    text = language.text

    def instant(at: datetime) -> str:
        return f"{at.astimezone(language.zone):%Y-%m-%d %H:%M}"

    def firm(party_id: str) -> str:
        return language.pick(*names.get(party_id, (party_id, party_id)))

    held = (
        text("in keeping") if receipt.released_at is None else text("released on {at}", at=instant(receipt.released_at))
    )
    return Sheet(
        title=text("Receipt of a deposit"),
        head=(
            (text("Received by"), firm(receipt.holder_id)),
            (text("Paid by"), firm(receipt.owner_id)),
            (text("Number"), receipt.deposit_id),
            (text("Contract"), receipt.contract_id or ""),
            (text("State"), held),
        ),
        columns=tuple(text(name) for name in (N_("No."), N_("Payment"), N_("Way"), N_("Paid at"), N_("Amount"))),
        widths_mm=(10, 60, 60, 60, 60),
        rows=tuple(
            (
                str(number),
                one.payment_id,
                language.word("pay_method", one.method),
                instant(one.paid_at),
                one.amount_yuan,
            )
            for number, one in enumerate(receipt.payments, start=1)
        ),
        totals=(
            (text("Deposit"), f"{receipt.asked_yuan:,.2f}"),
            (text("Received"), f"¥{receipt.paid_yuan:,.2f}"),
            (text("In capitals"), in_capitals(whole(receipt.paid_yuan, FEN))),
        ),
        notes=(text("A deposit is held and given back; it is no sale, and no invoice is issued for it."),),
    )
