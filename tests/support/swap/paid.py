"""A row of each table of payments and of the ledger, as commerce writes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from swap.commerce.charges import NewCharge, Sale, add_charge
from swap.commerce.ledger.postings import TOP_UP
from swap.commerce.payments.acquirer import PaidCall, make_order, take_call
from swap.commerce.payments.bank import end_bank_line, take_bank_file
from swap.commerce.payments.deposits import hold_deposit, release_deposit
from swap.commerce.payments.netting import net
from swap.commerce.payments.refunds import refund
from swap.commerce.payments.taking import NewPayment, take
from swap.commerce.payments.wallets import grant_credit, hold_in_wallet, pay_from_wallet
from swap.commerce.posting import PostingMark, post_due
from swap.store import Store

HOUR = timedelta(hours=1)


def pay_everything(store: Store, station_id: str, at: datetime, *, operator: str, fleet: str, owner: str) -> None:
    """Charges between three firms are made and posted with the bills of the station, and paid in every way there is."""
    month = at.strftime("%Y-%m")
    with store.commerce() as db:
        for number, (seller, buyer, yuan) in enumerate(
            ((owner, fleet, "3000.00"), (owner, operator, "500.00"), (operator, owner, "200.00"))
        ):
            new = NewCharge(
                source=f"rent:{number}", seller_id=seller, buyer_id=buyer, kind="rent", period=month,
                quantity=Decimal(1), unit="month", unit_price_yuan=Decimal(yuan), amount_yuan=Decimal(yuan),
                tax_category="rent", tax_rate=Decimal("0.13"), sale=Sale.OWN, basis={"number": number},
            )  # fmt: skip
            add_charge(db, new, at)
    post_due(store, station_id, at, PostingMark())
    with store.commerce() as db:
        deposit = hold_deposit(
            db, holder_id=owner, owner_id=fleet, amount_fen=100_000, reference="lc", period=month, at=at
        )
        order = make_order(
            db, channel="channel_a", payer_id=fleet, payee_id=owner, amount_fen=5_000_000, key="all", at=at
        )
        take_call(db, PaidCall("channel_a", "A1", order.order_id, 5_000_000), at + HOUR)
        take(db, NewPayment("channel_b", "B1", fleet, operator, 50_000, TOP_UP), at)
        grant_credit(db, operator, fleet, 1000, at)
        firms = {"holder_id": operator, "payer_id": fleet, "payee_id": operator}
        ends_at = at + HOUR
        held = hold_in_wallet(db, **firms, amount_fen=2000, reference="held", at=at, expires_at=ends_at)
        hold_in_wallet(db, **firms, amount_fen=2000, reference="over", at=at, expires_at=ends_at)
        pay_from_wallet(db, **firms, amount_fen=1500, reference="W1", at=at, hold_id=held)
        header = "date,reference,amount,counterparty,memo,account\n"
        file = f"{header}2026-06-30,N1,70.00,somebody,thanks,6222\n2026-06-30,N2,5.00,nobody,?,6223\n"
        lines = take_bank_file(db, owner, file.encode(), at).lines
        end_bank_line(db, lines[0].line_id, "payment", at, payer_id=fleet)
        release_deposit(db, deposit.id, damage_fen=30_000, period=month, at=at + HOUR)
        payment = take(db, NewPayment("channel_b", "B2", fleet, owner, 9_000), at)[0]
        refund(db, payment.id, 4_000, reference="back", reason="paid twice", at=at + HOUR)
        net(db, operator, owner, at + HOUR, at + HOUR)
    post_due(store, station_id, at + 2 * HOUR, PostingMark())
