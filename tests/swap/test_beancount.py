"""A foreign program agrees: a year's ledger passes beancount's check, and its balances are ours, account by account."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from beancount import loader
from sqlmodel import select
from typer.testing import CliRunner

from api.cli.__main__ import app
from swap.commerce.bills.money import taxed_fen
from swap.commerce.ledger.balances import account_of, positions
from swap.commerce.ledger.beancount import CURRENCY, beancount_names, export
from swap.commerce.ledger.book import post
from swap.commerce.ledger.chart import Account
from swap.commerce.ledger.postings import TOP_UP, Owed, OwedLine, postings_of
from swap.commerce.payments.allocation import pay_debts
from swap.commerce.payments.bank import take_bank_file
from swap.commerce.payments.deposits import hold_deposit, release_deposit
from swap.commerce.payments.netting import net
from swap.commerce.payments.refunds import refund
from swap.commerce.payments.taking import NewPayment, list_payments, take
from swap.commerce.payments.wallets import pay_from_wallet
from swap.commerce_db import CommerceDb
from swap.store import Store
from swap.tables import LedgerAccount
from tests.support.swap.databases import migrated_sqlite
from tests.support.swap.ledger import firms_store

ZONE = ZoneInfo("Asia/Shanghai")
BEGIN = datetime(2025, 12, 31, 16, tzinfo=UTC)
"""Midnight at the station."""
DAY = timedelta(days=1)


def a_day(db: CommerceDb, chance: random.Random, number: int) -> None:
    """Bills of swaps and what is paid of them, as on any day."""
    at = BEGIN + number * DAY + timedelta(hours=chance.randrange(24))
    for swap in range(4):
        buyer = chance.choice(["fleet", "other"])
        lines = []
        for kind, rate_bp, collected_for in (("energy", 1300, chance.choice([None, "grid"])), ("service", 600, None)):
            net_fen, tax_fen, _ = taxed_fen(chance.randrange(100_000), rate_bp, included=True)
            lines.append(OwedLine("op", buyer, kind, net_fen, tax_fen, collected_for))
        owed = Owed(f"bill:{number}-{swap}", at, tuple(lines))
        post(db, postings_of(owed))
        if chance.random() < 0.05:
            back = tuple(
                OwedLine("op", buyer, one.category, -one.net_fen, -one.tax_fen, one.collected_for_id) for one in lines
            )
            post(db, postings_of(Owed(f"bill:{number}-{swap}-r", at, back, owed.source)))
            pay_debts(db, "op", buyer, at)
    if number % 3 == 0:
        payer = chance.choice(["fleet", "other"])
        method = chance.choice(["channel_a", "channel_b"])
        fen = chance.randrange(1, 400_000)
        take(db, NewPayment(method, f"p{number}", payer, "op", fen, basis={"fee_fen": fen * 6 // 1000}), at)
    if number % 10 == 1:
        take(db, NewPayment("channel_a", f"t{number}", "fleet", "op", 50_000, TOP_UP), at)
        firms = {"holder_id": "op", "payer_id": "fleet", "payee_id": chance.choice(["op", "own"])}
        pay_from_wallet(db, **firms, amount_fen=chance.randrange(1, 50_000), reference=f"w{number}", at=at)
    if number % 30 == 2:
        file = f"date,reference,amount,counterparty\n2026-01-01,B{number},{number + 1}.50,other Ltd\n"
        file += f"2026-01-01,C{number},-3.00,?\n"
        take_bank_file(db, "op", file.encode(), at)
    if number % 30 == 3:
        period = at.strftime("%Y-%m")
        rent = OwedLine("own", "op", "rent", 90_000, 11_700)
        post(db, postings_of(Owed(f"charge:r{number}", at, (rent,))))
        firms = {"holder_id": "own", "owner_id": "fleet"}
        deposit = hold_deposit(db, **firms, amount_fen=20_000, reference=str(number), period=period, at=at)
        take(db, NewPayment("channel_a", f"d{number}", "fleet", "own", 20_000), at)
        release_deposit(db, deposit.id, damage_fen=chance.randrange(30_000), period=period, at=at)
    if number % 30 == 29:
        for payment in list_payments(db, limit=20).items:
            if payment.free_yuan > 5 and payment.purpose != TOP_UP:
                pay_debts(db, payment.payee_id, payment.payer_id, at)
        net(db, "op", "own", at, at)
        spare = [p for p in list_payments(db, payee_id="own", limit=50).items if p.free_yuan > 0 and p.method != "net"]
        for payment in spare[:1]:
            fen = int(payment.free_yuan * 100)
            refund(db, payment.payment_id, fen, reference=str(number), reason="handed back", at=at)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    chance = random.Random(20260101)
    with firms_store(migrated_sqlite(tmp_path_factory.mktemp("year") / "year.db")) as store:
        for month in range(12):
            with store.commerce() as db:
                for number in range(30 * month, 30 * month + 30):
                    a_day(db, chance, number)
        yield store


def checked(text: str) -> dict[str, Decimal]:
    """Balances as beancount has them, by account; fails where it finds a mistake."""
    entries, errors, _ = loader.load_string(text)
    assert errors == []
    found: dict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        for posting in getattr(entry, "postings", ()):
            assert posting.units.currency == CURRENCY
            found[posting.account] += posting.units.number
    return {account: total for account, total in found.items() if total}


def ours(store: Store, from_at: datetime | None = None, to_at: datetime | None = None) -> dict[str, Decimal]:
    with store.reading_commerce() as db:
        rows = db.exec(select(LedgerAccount)).all()
        names = beancount_names({row.id: account_of(row) for row in rows})
        return {
            names[account.id]: Decimal(found.debits_fen - found.credits_fen) / 100
            for account, found in positions(db, from_at=from_at, to_at=to_at).items()
            if found.debits_fen != found.credits_fen
        }


def test_a_year_passes_and_every_balance_is_ours(year: Store) -> None:
    with year.reading_commerce() as db:
        text = "\n".join(export(db, ZONE))
    found = checked(text)
    assert found == ours(year)
    assert len(found) > 20
    assert text.count(" CNY\n") > 10_000


def test_a_part_of_the_year_passes_with_its_opening(year: Store) -> None:
    from_at, to_at = (datetime(2026, month, 1, tzinfo=ZONE) for month in (4, 7))
    with year.reading_commerce() as db:
        found = checked("\n".join(export(db, ZONE, from_at=from_at, to_at=to_at)))
    assert {name: fen for name, fen in found.items() if name != "Equity:Opening"} == ours(year, to_at=to_at)


def test_the_command_prints_it_and_refuses_what_makes_no_sense(year: Store, tmp_path: Path) -> None:
    run = CliRunner()
    url = ["--database-url", year.url]
    done = run.invoke(app, ["ledger", "export", "--beancount", *url])
    assert done.exit_code == 0
    assert checked(done.output) == ours(year)
    for wrong, said in (
        ([], "--beancount"),
        (["--beancount", "--zone", "Mars/Base"], "Mars/Base"),
        (["--beancount", "--from", "2026-02-01", "--to", "2026-02-01"], "2026-02-01"),
        (["--beancount", "--from", "yesterday"], "yesterday"),
    ):
        failed = run.invoke(app, ["--lang", "en", "ledger", "export", *wrong, *url])
        assert failed.exit_code == 2
        assert said in failed.output


def test_no_two_accounts_get_the_same_name() -> None:
    accounts = [
        Account(firm, "receivable", detail) for firm in ("a-b", "a_b", "A-b-2", "9") for detail in ("x_y", "x-y")
    ]
    names = beancount_names({account.id: account for account in accounts})
    assert len(set(names.values())) == len(accounts)


def test_an_empty_ledger_is_a_file_too(sqlite_url: str) -> None:
    with firms_store(sqlite_url) as store, store.reading_commerce() as db:
        assert checked("\n".join(export(db, ZONE))) == {}
