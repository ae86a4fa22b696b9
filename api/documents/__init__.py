"""Invoices, receipts and statements as documents: PDF, Excel, and of an invoice the fields of a digital one.

`sheet` and `statements` say what stands on one, `pdf`, `excel` and `fields` write it down.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from api.documents.excel import workbook
from api.documents.fields import digital_invoice
from api.documents.pdf import pdf
from api.documents.sheet import Sheet, receipt_sheet, sheet
from api.words import Language
from swap.commerce.bills.records import InvoiceRecord
from swap.commerce.payments.receipts import DepositReceipt

__all__ = ["DocumentKind", "Sheet", "draw", "render", "render_receipt"]


class DocumentKind(StrEnum):
    """What an invoice may be had as."""

    PDF = "pdf"
    XLSX = "xlsx"
    JSON = "json"

    @property
    def media_type(self) -> str:
        """As HTTP names it."""
        return {
            DocumentKind.PDF: "application/pdf",
            DocumentKind.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            DocumentKind.JSON: "application/json",
        }[self]


def render(
    invoice: InvoiceRecord, names: Mapping[str, tuple[str, str]], kind: DocumentKind, language: Language
) -> bytes:
    """An invoice as a document.

    Args:
        names: Chinese and English name of each firm.

    Raises:
        NotInstalled: a PDF needs the extra `documents`.
    """
    if kind is DocumentKind.JSON:
        return digital_invoice(invoice, names)
    return draw(sheet(invoice, names, language), kind)


def render_receipt(
    receipt: DepositReceipt, names: Mapping[str, tuple[str, str]], kind: DocumentKind, language: Language
) -> bytes:
    """The receipt of a deposit as a document, PDF or Excel; as for `render`."""
    return draw(receipt_sheet(receipt, names, language), kind)


def draw(page: Sheet, kind: DocumentKind) -> bytes:
    """A page as PDF or Excel. Raises NotInstalled: a PDF needs the extra `documents`."""
    return pdf(page) if kind is DocumentKind.PDF else workbook(page)
