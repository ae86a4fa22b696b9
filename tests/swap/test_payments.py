"""Payments: taken once, paying what is owed; wallets, refunds, deposits, the acquirer's calls, netting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from swap.commerce.bills.closing import close_period
from swap.commerce.bills.lists import list_invoices
from swap.commerce.errors import HoldEnded, NotRefundable, Overdrawn, SignatureWrong
from swap.commerce.ledger.balances import positions
from swap.commerce.ledger.book import post
from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.postings import TOP_UP, Owed, OwedLine, postings_of
from swap.commerce.payments.acquirer import PaidCall, check_signature, get_order, make_order, signature, take_call
from swap.commerce.payments.allocation import debts, pay_debts
from swap.commerce.payments.bank import end_bank_line, take_bank_file
from swap.commerce.payments.deposits import hold_deposit, release_deposit
from swap.commerce.payments.netting import list_net, net
from swap.commerce.payments.records import OrderRecord, PaymentRecord
from swap.commerce.payments.refunds import refund
from swap.commerce.payments.taking import REFERENCE_MOST, NewPayment, get_payment, list_payments, own_reference, take
from swap.commerce.payments.wallets import grant_credit, hold_in_wallet, pay_from_wallet, release_hold
from swap.errors import InvalidInput, KeyReused, NotFound
from swap.store import Store
from tests.support.swap.databases import migrated_sqlite
from tests.support.swap.ledger import AT, available_fen, balance_fen, charge, firms_store

HOUR = timedelta(hours=1)
RECEIVABLE, PAYABLE = Account("op", "receivable", "fleet"), Account("fleet", "payable", "op")
WALLET = Account("op", "wallet", "fleet")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with firms_store(database_url) as store:
        yield store


def paid(store: Store, reference: str, yuan: str, at: datetime = AT, **more: object) -> PaymentRecord:
    """A payment of the fleet by channel A."""
    new = NewPayment("channel_a", reference, "fleet", "op", int(Decimal(yuan) * 100))
    with store.commerce() as db:
        payment, _ = take(db, replace(new, **more), at)  # type: ignore[arg-type]
        return get_payment(db, payment.id)


def again(store: Store, payment: PaymentRecord) -> PaymentRecord:
    with store.reading_commerce() as db:
        return get_payment(db, payment.payment_id)


def pays(payment: PaymentRecord) -> dict[str, str]:
    return {one.target: str(one.amount_yuan) for one in payment.allocations}


def test_a_payment_pays_the_oldest_first_or_what_it_names(store: Store) -> None:
    first, second, third = (charge(store, name, "100.00", AT + n * HOUR) for n, name in enumerate("abc"))
    named = paid(store, "1", "30.00", target=second)
    oldest = paid(store, "2", "120.00")
    more = paid(store, "3", "200.00")
    assert pays(named) == {second: "30.00"}
    assert pays(oldest) == {first: "100.00", second: "20.00"}
    assert pays(more) == {second: "50.00", third: "100.00"}
    assert more.free_yuan == Decimal("50.00")
    assert balance_fen(store, RECEIVABLE) == balance_fen(store, PAYABLE) == -5000
    later = charge(store, "d", "80.00", AT + 4 * HOUR)
    assert pays(paid(store, "4", "10.00")) == {later: "10.00"}
    assert pays(again(store, more))[later] == "50.00"  # what was free pays first


def test_the_same_reference_is_taken_once(store: Store) -> None:
    first = paid(store, "1", "30.00")
    assert paid(store, "1", "30.00", AT + HOUR).payment_id == first.payment_id
    assert balance_fen(store, Account("op", "clearing", "channel_a")) == 3000
    for other in ({"amount_fen": 3001}, {"payer_id": "other"}, {"purpose": TOP_UP}):
        with pytest.raises(KeyReused, match=first.payment_id):
            paid(store, "1", "30.00", **other)
    assert paid(store, "1", "30.00", method="channel_b").payment_id != first.payment_id


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        ({"amount_fen": 0}, InvalidInput, "amount_yuan"),
        ({"amount_fen": -5}, InvalidInput, "amount_yuan"),
        ({"method": "cash"}, InvalidInput, "channel_a, channel_b"),
        ({"payer_id": "nobody"}, NotFound, "nobody"),
        ({"payer_id": "op"}, InvalidInput, "payee_id"),
        ({"target": "bill:of nobody"}, InvalidInput, "what fleet owes op"),
    ],
)
def test_what_is_no_payment_is_refused_and_changes_nothing(
    store: Store, more: dict[str, object], error: type[Exception], match: str
) -> None:
    charge(store, "a", "100.00")
    before = everything(store)
    with pytest.raises(error, match=match):
        paid(store, "1", "30.00", **more)  # type: ignore[arg-type]
    assert everything(store) == before


def everything(store: Store) -> tuple[object, ...]:
    with store.reading_commerce() as db:
        return list_payments(db).items, {account.id: found.balance_fen for account, found in positions(db).items()}


def test_an_invoice_is_paid_line_by_line_as_far_as_the_money_goes(store: Store) -> None:
    older = charge(store, "a", "70.00", AT - HOUR, period="2026-07")
    first, second = charge(store, "b", "60.00"), charge(store, "c", "40.00", AT + timedelta(minutes=1))
    close_period(store, "2026-06", at=AT + timedelta(days=1), zone=UTC, name="Li", seller_id="op")
    with store.reading_commerce() as db:
        invoice = f"invoice:{list_invoices(db).items[0].invoice_id}"
    part = paid(store, "1", "75.00", target=invoice)
    assert pays(part) == {first: "60.00", second: "15.00"}
    rest = paid(store, "2", "50.00", target=invoice)
    assert pays(rest) == {second: "25.00", older: "25.00"}
    # What is given back of the invoice is free again, and may go back.
    charge(store, "b:c1", "-60.00", corrects_id=first.removeprefix("charge:"))
    with store.commerce() as db:
        pay_debts(db, "op", "fleet", AT + HOUR)
        refund(db, part.payment_id, 1500, reference="back", reason="rent was wrong", at=AT + HOUR)
    assert pays(again(store, part)) == {second: "15.00", older: "45.00"}


@pytest.mark.parametrize("who", [{"payee_id": "own"}, {"payer_id": "other"}])
def test_nobody_pays_a_foreign_invoice(store: Store, who: dict[str, str]) -> None:
    charge(store, "a", "100.00")
    close_period(store, "2026-06", at=AT + timedelta(days=1), zone=UTC, name="Li", seller_id="op")
    with store.reading_commerce() as db:
        invoice = f"invoice:{list_invoices(db).items[0].invoice_id}"
    before = everything(store)
    with pytest.raises(InvalidInput, match=r"target = 'invoice:.*an invoice of"):
        paid(store, "1", "100.00", target=invoice, **who)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="an invoice of op to fleet"):
        ordered(store, key="k", target="invoice:none")
    assert everything(store) == before


def test_nobody_pays_a_foreign_bill(store: Store) -> None:
    foreign = charge(store, "a", "100.00", buyer_id="other")
    with pytest.raises(InvalidInput, match="what fleet owes op"):
        paid(store, "1", "100.00", target=foreign)
    with store.reading_commerce() as db:
        assert list_payments(db).items == ()
        assert [debt.open_fen for debt in debts(db, "op", "other")] == [10000]


@pytest.mark.parametrize(
    "table",
    ["payment", "payment_allocation", "refund", "acquirer_order", "acquirer_call", "wallet_credit", "net_statement"],
)
def test_rows_of_payments_are_never_changed(store: Store, table: str) -> None:
    full_story(store)
    for change in (f"UPDATE {table} SET digest = ''", f"DELETE FROM {table}"):
        with pytest.raises(DBAPIError, match="never changed"), store.commerce() as db:
            db.execute(text(change))


def full_story(store: Store) -> None:
    """A row of each table."""
    charge(store, "a", "100.00")
    charge(store, "b", "40.00", seller_id="fleet", buyer_id="op")
    order = ordered(store)
    with store.commerce() as db:
        take_call(db, PaidCall("channel_a", "n1", order.order_id, 10000, fee_fen=60), AT)
        payment = list_payments(db).items[0]
        grant_credit(db, "op", "fleet", 500, AT)
    with store.commerce() as db:
        extra, _ = take(db, NewPayment("channel_b", "x", "fleet", "op", 900), AT)
        refund(db, extra.id, 900, reference="r", reason="too much", at=AT)
        net(db, "op", "fleet", AT, AT)
    assert payment.allocations


# ---- wallets -----------------------------------------------------------------------------------------------


def spend(store: Store, fen: int, reference: str, payee: str = "op", at: datetime = AT) -> None:
    with store.commerce() as db:
        pay_from_wallet(
            db, holder_id="op", payer_id="fleet", payee_id=payee, amount_fen=fen, reference=reference, at=at
        )


def test_a_wallet_is_filled_spent_and_never_below_0_but_for_credit(store: Store) -> None:
    charge(store, "a", "100.00")
    paid(store, "1", "50.00", purpose=TOP_UP)
    assert balance_fen(store, WALLET) == balance_fen(store, Account("fleet", "prepaid", "op")) == 5000
    spend(store, 3000, "w1")
    spend(store, 3000, "w1")
    assert (balance_fen(store, WALLET), balance_fen(store, RECEIVABLE)) == (2000, 7000)
    with pytest.raises(Overdrawn, match="2000 fen are left and 0 fen of credit; 2001 were wanted"):
        spend(store, 2001, "w2")
    with store.commerce() as db:
        grant_credit(db, "op", "fleet", 1, AT)
    spend(store, 2001, "w2")
    assert balance_fen(store, WALLET) == -1
    with store.commerce() as db:
        grant_credit(db, "op", "fleet", 0, AT + HOUR)
    with pytest.raises(Overdrawn, match="-1 fen are left"):
        spend(store, 1, "w3")
    with pytest.raises(InvalidInput, match="later than"), store.commerce() as db:
        grant_credit(db, "op", "fleet", 9, AT)
    with pytest.raises(InvalidInput, match="0 or more"), store.commerce() as db:
        grant_credit(db, "op", "fleet", -1, AT + 2 * HOUR)


def test_a_wallet_at_one_platform_pays_another_which_is_then_owed_by_the_first(store: Store) -> None:
    foreign = charge(store, "a", "100.00", seller_id="own")
    paid(store, "1", "150.00", purpose=TOP_UP)
    spend(store, 10000, "w1", payee="own")
    assert balance_fen(store, Account("own", "receivable", "fleet")) == 0
    assert balance_fen(store, Account("own", "receivable", "op")) == balance_fen(store, Account("op", "payable", "own"))
    assert balance_fen(store, Account("op", "payable", "own")) == 10000
    with store.reading_commerce() as db:
        assert [(debt.target, debt.open_fen) for debt in debts(db, "own", "fleet")] == [(foreign, 0)]


def test_money_that_is_held_pays_once_or_is_free_again(store: Store) -> None:
    paid(store, "1", "50.00", purpose=TOP_UP)
    firms = {"holder_id": "op", "payer_id": "fleet", "payee_id": "own"}
    ends = {"at": AT, "expires_at": AT + HOUR}

    def hold(reference: str, fen: int) -> str:
        with store.commerce() as db:
            return hold_in_wallet(db, **firms, amount_fen=fen, reference=reference, **ends)  # type: ignore[arg-type]

    used, freed, _over = hold("a", 2000), hold("b", 1500), hold("c", 1500)
    assert hold("a", 2000) == used
    assert (balance_fen(store, WALLET), available_fen(store, WALLET)) == (5000, 0)
    with pytest.raises(Overdrawn, match="0 fen are left"):
        hold("d", 1)
    with pytest.raises(InvalidInput, match="expires_at"), store.commerce() as db:
        hold_in_wallet(db, **firms, amount_fen=1, reference="e", at=AT, expires_at=AT)
    with store.commerce() as db:
        pay_from_wallet(db, **firms, amount_fen=1200, reference="w", at=AT, hold_id=used)
        assert release_hold(db, freed, AT, owner_id="fleet")
        assert not release_hold(db, freed, AT, owner_id="fleet")
    with pytest.raises(HoldEnded, match="settled by payment"), store.commerce() as db:
        release_hold(db, used, AT, owner_id="fleet")
    with pytest.raises(NotFound, match="hold"), store.commerce() as db:
        release_hold(db, freed, AT, owner_id="other")
    assert (balance_fen(store, WALLET), available_fen(store, WALLET)) == (3800, 2300)
    assert available_fen(store, WALLET, AT + HOUR) == 3800


# ---- refunds and deposits ----------------------------------------------------------------------------------


def test_no_more_is_given_back_than_is_free(store: Store) -> None:
    charge(store, "a", "100.00")
    payment = paid(store, "1", "150.00")
    with store.commerce() as db:
        first = refund(db, payment.payment_id, 2000, reference="r1", reason="so", at=AT)
        assert refund(db, payment.payment_id, 2000, reference="r1", reason="so", at=AT) == first
    with pytest.raises(KeyReused, match=first.refund_id), store.commerce() as db:
        refund(db, payment.payment_id, 2001, reference="r1", reason="so", at=AT)
    with pytest.raises(NotRefundable, match=r"30\.00 are left"), store.commerce() as db:
        refund(db, payment.payment_id, 3001, reference="r2", reason="so", at=AT)
    with pytest.raises(InvalidInput, match="amount_yuan"), store.commerce() as db:
        refund(db, payment.payment_id, -1, reference="r2", reason="so", at=AT)
    with pytest.raises(NotFound, match="nothing"), store.commerce() as db:
        refund(db, "nothing", 1, reference="r2", reason="so", at=AT)
    assert again(store, payment).free_yuan == Decimal("30.00")
    assert balance_fen(store, Account("op", "clearing", "channel_a")) == 13000


def test_what_paid_a_reversed_debt_is_free_again(store: Store) -> None:
    wrong = charge(store, "a", "100.00")
    payment = paid(store, "1", "100.00")
    right = charge(store, "b", "60.00", AT + HOUR)
    charge(store, "a reversed", "-100.00", AT + HOUR, corrects_id=wrong.removeprefix("charge:"))
    with store.commerce() as db:
        refund(db, payment.payment_id, 4000, reference="r", reason="read again", at=AT + HOUR)
    found = again(store, payment)
    assert pays(found) == {right: "60.00"}
    assert found.free_yuan == 0
    assert balance_fen(store, RECEIVABLE) == 0


def test_a_top_up_is_given_back_as_far_as_it_is_not_spent(store: Store) -> None:
    payment = paid(store, "1", "50.00", purpose=TOP_UP)
    spend(store, 2000, "w1")
    with pytest.raises(Overdrawn, match="3000 fen are left"), store.commerce() as db:
        refund(db, payment.payment_id, 3001, reference="r", reason="leaves", at=AT)
    with store.commerce() as db:
        refund(db, payment.payment_id, 3000, reference="r", reason="leaves", at=AT)
    assert balance_fen(store, WALLET) == 0


@pytest.mark.parametrize(("damage_fen", "back_fen"), [(0, 100_000), (30_000, 70_000), (100_000, 0), (130_000, 0)])
def test_a_deposit_is_held_and_released_less_damage(store: Store, damage_fen: int, back_fen: int) -> None:
    with store.commerce() as db:
        deposit = hold_deposit(
            db, holder_id="own", owner_id="fleet", amount_fen=100_000, reference="lc-1", period="2026-06", at=AT
        )
        payment, _ = take(db, NewPayment("channel_a", "1", "fleet", "own", 100_000), AT)
    held = Account("own", "deposit_held", "fleet")
    assert balance_fen(store, held) == balance_fen(store, Account("fleet", "deposit_paid", "own")) == 100_000
    with pytest.raises(NotRefundable, match=r": 0\.00 are left"), store.commerce() as db:
        refund(db, payment.id, 1, reference="r", reason="early", at=AT)
    for _ in range(2):
        with store.commerce() as db:
            release_deposit(db, deposit.id, damage_fen=damage_fen, period="2026-07", at=AT + HOUR)
    with pytest.raises(KeyReused, match="fen of damage"), store.commerce() as db:
        release_deposit(db, deposit.id, damage_fen=damage_fen + 1, period="2026-07", at=AT + HOUR)
    with store.reading_commerce() as db:
        found = get_payment(db, payment.id)
        owed = sum(debt.open_fen for debt in debts(db, "own", "fleet"))
    assert balance_fen(store, held) == 0
    assert found.free_yuan == Decimal(back_fen) / 100
    assert owed == max(0, damage_fen - 100_000)
    if back_fen:
        with store.commerce() as db:
            refund(db, payment.id, back_fen, reference="r", reason="handed back", at=AT + HOUR)
    assert balance_fen(store, Account("own", "receivable", "fleet")) == owed


def test_only_a_deposit_is_released(store: Store) -> None:
    rent = charge(store, "a", "100.00").removeprefix("charge:")
    for deposit_id in (rent, "nothing"):
        with pytest.raises(NotFound, match="deposit"), store.commerce() as db:
            release_deposit(db, deposit_id, damage_fen=0, period="2026-07", at=AT)


# ---- the acquirer ------------------------------------------------------------------------------------------

SECRET = "a secret of thirty-two characters"


def ordered(store: Store, fen: int = 10000, at: datetime = AT, **more: object) -> OrderRecord:
    values = {"channel": "channel_a", "payer_id": "fleet", "payee_id": "op", "amount_fen": fen, "key": "k", "at": at}
    with store.commerce() as db:
        return make_order(db, **(values | more))  # type: ignore[arg-type]


def called(store: Store, order: OrderRecord, number: str = "n1", at: datetime = AT, fen: int = 10000) -> OrderRecord:
    with store.commerce() as db:
        return take_call(db, PaidCall(order.channel, number, order.order_id, fen), at)


def test_the_fee_of_the_acquirer_is_a_cost_and_what_it_pays_out_clears_its_channel(store: Store) -> None:
    target = charge(store, "a", "100.00")
    order = ordered(store, target=target)
    clearing, cost = Account("op", "clearing", "channel_a"), Account("op", "cost", "acquirer_fee")
    for fee_fen in (-1, 10000):
        with pytest.raises(InvalidInput, match=r"0\.00…99\.99"), store.commerce() as db:
            take_call(db, PaidCall(order.channel, "n1", order.order_id, 10000, fee_fen), AT)
    for _ in range(2):
        with store.commerce() as db:
            take_call(db, PaidCall(order.channel, "n1", order.order_id, 10000, fee_fen=60), AT)
    assert (balance_fen(store, RECEIVABLE), balance_fen(store, clearing), balance_fen(store, cost)) == (0, 9940, 60)
    with store.commerce() as db:
        (payment,) = list_payments(db).items
        assert (payment.amount_yuan, payment.fee_yuan, payment.free_yuan) == (Decimal(100), Decimal("0.60"), Decimal(0))
        (line,) = take_bank_file(
            db, "op", b"date,reference,amount,counterparty\n2026-06-02,R1,99.40,Acquirer Ltd\n", AT
        ).lines
        end_bank_line(db, line.line_id, "channel", AT, detail="channel_a")
    assert (balance_fen(store, clearing), balance_fen(store, Account("op", "bank"))) == (0, 9940)
    target = charge(store, "b", "20.00")
    with store.commerce() as db:
        again = make_order(
            db, channel="channel_a", payer_id="fleet", payee_id="op", amount_fen=3000, key="k2", at=AT, target=target
        )
        taken = take_call(db, PaidCall("channel_a", "n2", again.order_id, 3000, fee_fen=18), AT)
        refund(db, taken.payment_id or "", 1000, reference="r", reason="too much", at=AT)
    assert (balance_fen(store, clearing), balance_fen(store, cost)) == (3000 - 18 - 1000, 78), "no fee is given back"


def test_calls_that_come_twice_and_late_have_one_effect(store: Store) -> None:
    target = charge(store, "a", "100.00")
    order = ordered(store, target=target)
    assert ordered(store, target=target).order_id == order.order_id
    late = AT + HOUR
    with store.reading_commerce() as db:
        assert (order.state, get_order(db, order.order_id, late).state) == ("open", "expired")
    done = called(store, order, at=late)
    assert [called(store, order, at=late + HOUR) for _ in range(3)] == [done] * 3
    assert (done.state, balance_fen(store, RECEIVABLE)) == ("paid", 0)
    twice = called(store, order, "n2", late + HOUR)  # paid a second time: the money has come, and is free
    assert twice.payment_id == done.payment_id
    with store.reading_commerce() as db:
        assert sorted(payment.free_yuan for payment in list_payments(db).items) == [Decimal(0), Decimal(100)]


def test_a_call_that_does_not_fit_its_order_is_refused(store: Store) -> None:
    order, other = ordered(store), ordered(store, key="k2")
    with pytest.raises(InvalidInput, match=r"allowed 100\.00"):
        called(store, order, fen=9999)
    with pytest.raises(NotFound, match=order.order_id):
        called(store, order.model_copy(update={"channel": "channel_b"}))
    called(store, order)
    with pytest.raises(KeyReused, match=order.order_id):
        called(store, other)
    with pytest.raises(KeyReused, match=order.order_id):
        ordered(store, 10001)
    with pytest.raises(InvalidInput, match="channel_a, channel_b"):
        ordered(store, key="k3", channel="cash")
    with pytest.raises(InvalidInput, match="what fleet owes op"):
        ordered(store, key="k3", target="bill:1")


def test_two_payers_may_use_one_key(store: Store) -> None:
    """For an order, a hold and a deposit."""
    firms = ("fleet", "other")
    orders = {ordered(store, payer_id=firm).order_id for firm in firms}
    holds, deposits = set(), set()
    ends = {"at": AT, "expires_at": AT + HOUR}
    with store.commerce() as db:
        for firm in firms:
            take(db, NewPayment("bank", firm, firm, "op", 1000, TOP_UP), AT)
            one = {"amount_fen": 1000, "reference": "k"}
            holds.add(hold_in_wallet(db, holder_id="op", payer_id=firm, payee_id="own", **one, **ends))  # type: ignore[arg-type]
            deposits.add(hold_deposit(db, holder_id="own", owner_id=firm, period="2026-06", at=AT, **one).id)  # type: ignore[arg-type]
    assert [len(found) for found in (orders, holds, deposits)] == [2, 2, 2]
    assert len({own_reference(firm * 6, "k" * 64) for firm in firms}) == 2
    assert max(len(own_reference("f" * 32, "k" * count)) for count in (1, 63, 64)) == REFERENCE_MOST


def test_a_call_is_taken_with_its_own_signature_and_now() -> None:
    stamp, body = str(int(AT.timestamp())), b'{"number": "1"}'
    good = signature(SECRET, "channel_a", stamp, body)
    check_signature(SECRET, "channel_a", stamp, body, good, AT + timedelta(minutes=5))
    for wrong in (
        (SECRET, "channel_b", stamp, body, good, AT),
        (SECRET[::-1], "channel_a", stamp, body, good, AT),
        (SECRET, "channel_a", stamp, body + b" ", good, AT),
        (SECRET, "channel_a", str(int(stamp) + 1), body, good, AT),
        (SECRET, "channel_a", stamp, body, "", AT),
        (SECRET, "channel_a", stamp, body, "é\ud800", AT),
    ):
        with pytest.raises(SignatureWrong, match="is wrong"):
            check_signature(*wrong)
    for away in (timedelta(seconds=301), timedelta(seconds=-301), timedelta(days=900)):
        with pytest.raises(SignatureWrong, match="allowed 300 s"):
            check_signature(SECRET, "channel_a", stamp, body, good, AT + away)
    for stamp in ("", "now", "-1", "٣", "9" * 40):
        with pytest.raises(SignatureWrong, match="no instant"):
            check_signature(SECRET, "channel_a", stamp, body, signature(SECRET, "channel_a", stamp, body), AT)


# ---- netting -----------------------------------------------------------------------------------------------


def test_two_platforms_set_off_what_they_owe_each_other_once(store: Store) -> None:
    charge(store, "a", "100.00", AT, seller_id="op", buyer_id="own")
    charge(store, "b", "40.00", AT, seller_id="own", buyer_id="op")
    until, at = AT + HOUR, AT + 2 * HOUR
    charge(store, "later", "7.00", at, seller_id="own", buyer_id="op")
    for order in (("op", "own"), ("own", "op")):
        with store.commerce() as db:
            found = net(db, *order, until, at)
            assert net(db, *order, until, at + HOUR) == found
    said = (found.first_owes_yuan, found.second_owes_yuan, found.offset_yuan, found.payer_id, found.rest_yuan)
    assert said == (Decimal(40), Decimal(100), Decimal(40), "own", Decimal(60))
    assert balance_fen(store, Account("op", "receivable", "own")) == balance_fen(store, Account("own", "payable", "op"))
    assert balance_fen(store, Account("op", "receivable", "own")) == 6000
    assert balance_fen(store, Account("op", "payable", "own")) == 700
    assert balance_fen(store, Account("op", "clearing", "net")) == 0
    with store.commerce() as db:
        following = net(db, "op", "own", at + HOUR, at + HOUR)
        assert (following.offset_yuan, following.rest_yuan) == (Decimal(7), Decimal(53))
        assert [one.statement_id for one in list_net(db, "op").items] == [following.statement_id, found.statement_id]
        assert [debt.open_fen for debt in debts(db, "own", "op")] == [0, 0]
        payment = list_payments(db, payer_id="op").items[0]
        with pytest.raises(NotRefundable, match="set off"):
            refund(db, payment.payment_id, 1, reference="r", reason="so", at=at)
        for until in (at, at + 9 * HOUR):
            with pytest.raises(InvalidInput, match="until_at"):
                net(db, "op", "own", until, at + 2 * HOUR)


# ---- whatever happens --------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["charge", "reverse", "pay", "refund", "top_up", "spend"]), st.integers(1, 5000)),
    max_size=14,
)


class Enough(Exception):
    """Ends an example: nothing of it is kept."""


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with firms_store(migrated_sqlite(tmp_path_factory.mktemp("payments") / "one.db")) as store:
        yield store


@settings(max_examples=30)
@given(steps=STEPS)
def test_no_order_of_events_pays_too_much_or_loses_a_fen(one_store: Store, steps: list[tuple[str, int]]) -> None:
    owed: dict[str, int] = {}
    charged: dict[str, int] = {}
    given_back = came = wallet = 0
    with suppress(Enough), one_store.commerce() as db:
        for number, (step, fen) in enumerate(steps):
            at = AT + number * HOUR
            if step == "charge":
                line = OwedLine("op", "fleet", "rent", fen)
                post(db, postings_of(Owed(f"charge:{number}", at, (line,))))
                owed[f"charge:{number}"] = charged[f"charge:{number}"] = fen
            elif step == "reverse" and any(owed.values()):
                target = next(name for name, amount in owed.items() if amount)
                line = OwedLine("op", "fleet", "rent", -owed[target])
                post(db, postings_of(Owed(f"charge:{number}", at, (line,), target)))
                owed[target] = 0
            elif step == "pay":
                take(db, NewPayment("channel_a", str(number), "fleet", "op", fen), at)
                came += fen
            elif step == "top_up":
                take(db, NewPayment("channel_b", str(number), "fleet", "op", fen, TOP_UP), at)
                wallet += fen
            elif step == "spend" and fen <= wallet:
                spent = {"holder_id": "op", "payer_id": "fleet", "payee_id": "op", "amount_fen": fen}
                pay_from_wallet(db, **spent, reference=str(number), at=at)  # type: ignore[arg-type]
                wallet -= fen
                came += fen
            elif step == "refund" and (payments := list_payments(db, payee_id="op").items):
                payment = payments[fen % len(payments)]
                fen = min(fen, int(payment.free_yuan * 100))
                if fen and payment.purpose != TOP_UP and payment.method != "wallet":
                    with suppress(NotRefundable):  # what was free pays another debt first
                        refund(db, payment.payment_id, fen, reference=str(number), reason="so", at=at)
                        given_back += fen
            found = {account.id: where.balance_fen for account, where in positions(db).items()}
            assert found.get(RECEIVABLE.id, 0) == found.get(PAYABLE.id, 0) == sum(owed.values()) - came + given_back
            assert found.get(WALLET.id, 0) == wallet
            for debt in debts(db, "op", "fleet"):
                assert 0 <= debt.paid_fen <= charged[debt.target]
            for payment in list_payments(db, limit=500).items:
                whole = payment.free_yuan + sum(one.amount_yuan for one in payment.allocations)
                assert payment.free_yuan >= 0
                assert whole + sum(one.amount_yuan for one in payment.refunds) == payment.amount_yuan
        raise Enough
