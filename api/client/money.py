"""Calls about bills, invoices, accounts and payments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from api.client.session import ServerSession, code_header
from api.documents import DocumentKind
from api.money_schemas import PaymentIn, TopUpIn
from api.schemas import ClosePeriodIn
from swap.commerce.bills.quantity import Flag
from swap.commerce.bills.records import BillWhy, ClosedPeriod, InvoiceHead, InvoiceRecord, SettlementRecord
from swap.commerce.leases.show import ChargeRecord
from swap.commerce.ledger.records import AccountRecord, EntryRecord
from swap.commerce.payments.records import OrderRecord, PaidOrOrdered, PaymentRecord
from swap.reading.records import BillRecord


class MoneyCalls(ServerSession):
    """Bills, invoices, accounts, payments."""

    def bills(
        self,
        *,
        payer_id: str | None = None,
        flag: Flag | None = None,
        from_at: datetime | None = None,
        to_at: datetime | None = None,
    ) -> Iterator[BillRecord]:
        """Bills, newest first."""
        return self.all(BillRecord, "/bills", {"payer_id": payer_id, "flag": flag, "from": from_at, "to": to_at})

    def bill(self, bill_id: str) -> BillRecord:
        """One bill with its lines."""
        return self.get(BillRecord, f"/bills/{bill_id}")

    def why(self, bill_id: str) -> BillWhy:
        """Why each line of a bill is what it is."""
        return self.get(BillWhy, f"/bills/{bill_id}/why")

    def invoices(self, *, period: str | None = None) -> Iterator[InvoiceHead]:
        """Invoices and red letters, newest first; of a month such as 2026-06."""
        return self.all(InvoiceHead, "/invoices", {"period": period})

    def invoice(self, invoice_id: str) -> InvoiceRecord:
        """One invoice with its lines."""
        return self.get(InvoiceRecord, f"/invoices/{invoice_id}")

    def invoice_document(
        self, invoice_id: str, kind: DocumentKind = DocumentKind.PDF, language: str = "zh-CN"
    ) -> bytes:
        """An invoice as PDF, Excel, or the fields of a digital invoice (数电发票)."""
        query = {"format": kind.value, "lang": language}
        return self.get(bytes, f"/invoices/{invoice_id}/document", query)

    def receipt(self, deposit_id: str, kind: DocumentKind = DocumentKind.PDF, language: str = "zh-CN") -> bytes:
        """The receipt of a deposit as PDF or Excel, once something has been paid for it."""
        return self.get(bytes, f"/deposits/{deposit_id}/receipt", {"format": kind.value, "lang": language})

    def close_month(
        self, month: ClosePeriodIn, *, totp: str | None = None, key: str | None = None
    ) -> tuple[ClosedPeriod, ...]:
        """Close a month that is over: one invoice for each seller and buyer."""
        kind = tuple[ClosedPeriod, ...]
        return self.change(kind, "POST", "/invoices/close-period", month, key=key, headers=code_header(totp))

    def settlements(self, *, period: str | None = None) -> Iterator[SettlementRecord]:
        """What of sellers' income goes to whom, by month."""
        return self.all(SettlementRecord, "/settlements", {"period": period})

    def charges(
        self, *, contract_id: str | None = None, period: str | None = None, kind: str | None = None
    ) -> Iterator[ChargeRecord]:
        """What was charged, newest first; of one contract where it is named."""
        path = "/charges" if contract_id is None else f"/contracts/{contract_id}/charges"
        return self.all(ChargeRecord, path, {"period": period, "kind": kind})

    def accounts(self, *, firm_id: str | None = None, kind: str | None = None) -> Iterator[AccountRecord]:
        """Accounts of the books with their balances."""
        return self.all(AccountRecord, "/accounts", {"firm_id": firm_id, "kind": kind})

    def entries(
        self, account_id: str, *, from_at: datetime | None = None, to_at: datetime | None = None
    ) -> Iterator[EntryRecord]:
        """What was posted to an account, newest first."""
        return self.all(EntryRecord, f"/accounts/{account_id}/entries", {"from": from_at, "to": to_at})

    def payments(self, *, payer_id: str | None = None, payee_id: str | None = None) -> Iterator[PaymentRecord]:
        """Payments, newest first."""
        return self.all(PaymentRecord, "/payments", {"payer_id": payer_id, "payee_id": payee_id})

    def payment(self, payment_id: str) -> PaymentRecord:
        """One payment, what it pays and what was given back."""
        return self.get(PaymentRecord, f"/payments/{payment_id}")

    def order(self, order_id: str) -> OrderRecord:
        """One order of the acquirer."""
        return self.get(OrderRecord, f"/payments/orders/{order_id}")

    def pay(self, payment: PaymentIn, *, totp: str | None = None, key: str | None = None) -> PaidOrOrdered:
        """Pay what is owed; with a code of the person's device, where it is a person."""
        return self.change(PaidOrOrdered, "POST", "/payments", payment, key=key, headers=code_header(totp))

    def top_up(self, firm_id: str, top_up: TopUpIn, *, key: str | None = None) -> OrderRecord:
        """Order money into a firm's wallet."""
        return self.change(OrderRecord, "POST", f"/wallets/{firm_id}/top-ups", top_up, key=key)
