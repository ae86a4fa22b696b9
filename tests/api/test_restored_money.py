"""A database put back from a copy gives nothing double: bills, rents, postings, payments are made again, each once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, func, select
from structlog.contextvars import clear_contextvars

from swap.audit import audit
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.commerce.custody.take import take_journals
from swap.commerce.leases.billing import ContractTerms
from swap.commerce.leases.rent import run_rent
from swap.commerce.ledger.balances import positions
from swap.commerce.payments.acquirer import PaidCall, make_order, take_call
from swap.commerce.posting import PostingMark, post_due
from swap.messages.journal import JournalEpoch
from swap.store import Store
from swap.tables import Bill, ChargeRow, LedgerLeg, LedgerTransfer, Payment
from tests.api.test_cli_databases import run
from tests.support.postgres import PostgresServer, find_binaries
from tests.support.swap.commerce import AT, STATION, arrive, exchange, filled_store, station
from tests.support.swap.leases import signed, terms

LATER = AT + timedelta(hours=4)


@pytest.fixture(autouse=True)
def _no_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process of the tests keeps its own."""
    monkeypatch.setattr("api.logs.configure_logging", lambda *_: None)
    yield
    clear_contextvars()


def jobs(store: Store) -> None:
    """Everything that commerce does by itself."""
    take_journals(store)
    bill_completed_swaps(store, STATION, LATER, terms=ContractTerms())
    run_rent(store, "2026-10", LATER)
    post_due(store, STATION, LATER, PostingMark())


def told_of_payment(store: Store, order_id: str) -> None:
    """The acquirer calls, as often as it likes."""
    with store.commerce() as db:
        take_call(db, PaidCall("channel_a", "A1", order_id, 5_000), LATER)


def money(store: Store) -> dict[str, Any]:
    """What is owed, was paid and stands in the books, without ids that are drawn."""
    with store.reading_commerce() as db:
        bills = db.exec(select(Bill.swap_id, Bill.kind, Bill.total_fen, Bill.payer_id)).all()
        charges = db.exec(select(ChargeRow.source, ChargeRow.period, ChargeRow.amount_fen)).all()
        payments = db.exec(select(Payment.method, Payment.reference, Payment.amount_fen)).all()
        unsealed = (
            select(func.count())
            .select_from(LedgerLeg)
            .join(LedgerTransfer, col(LedgerTransfer.id) == LedgerLeg.transfer_id, isouter=True)
            .where(col(LedgerTransfer.id).is_(None))
        )
        return {
            "bills": sorted(map(tuple, bills)),
            "charges": sorted(map(tuple, charges)),
            "payments": sorted(map(tuple, payments)),
            "books": {account.id: found.balance_fen for account, found in positions(db).items()},
            "transfers": db.exec(select(func.count()).select_from(LedgerTransfer)).one(),
            "unsealed": db.exec(unsealed).one(),
        }


def violated(store: Store) -> set[str]:
    with store.reading() as db:
        return {found.name for found in audit(db).invariants if found.violations}


@contextmanager
def put_back(url: str, folder: Path, request: pytest.FixtureRequest, command: Any) -> Iterator[tuple[Any, Any]]:
    """How a copy is made, and how it is put back, which gives the URL of the database: by `swap db` and the tools of
    the server."""
    if url.startswith("sqlite"):
        copy = folder / "copy.db"

        def restored() -> str:
            command("db", "restore", str(copy), "--by", "Li", "--database-url", url)
            return url

        yield lambda: command("db", "backup", str(copy), "--database-url", url), restored
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as other:
        dump, bin_folder = folder / "copy.dump", find_binaries()

        def tool(name: str, *arguments: str) -> None:
            subprocess.run([bin_folder / name, *arguments], check=True, capture_output=True)

        def put() -> str:
            tool("pg_restore", "--no-owner", "--dbname", other.replace("+psycopg", ""), str(dump))
            command("db", "epoch", "--by", "Li", "--database-url", other)
            return other

        yield (
            lambda: tool("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={url.replace('+psycopg', '')}"),
            put,
        )


def test_a_restored_database_gives_nothing_double(
    database_url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SWAP_HEADS_FILE", str(tmp_path / "heads.jsonl"))
    config = station()

    def command(*arguments: str) -> None:
        code, said = run(monkeypatch, capsys, *arguments)
        assert code == 0, said

    with put_back(database_url, tmp_path, request, command) as (copy, put):
        with filled_store(database_url, config) as store:
            signed(store, terms(first_day="2026-09-01"), AT - timedelta(days=40))
            exchange(store, arrive(store, config, "V0").swap_id)
            bill_completed_swaps(store, STATION, AT + timedelta(hours=1), terms=ContractTerms())
            post_due(store, STATION, AT + timedelta(hours=1), PostingMark())
            exchange(store, arrive(store, config, "V1", AT + timedelta(hours=2)).swap_id, AT + timedelta(hours=2.1))
            with store.commerce() as db:
                firms = {"payer_id": "fleet", "payee_id": "op"}
                order = make_order(db, channel="channel_a", **firms, amount_fen=5_000, key="k", at=LATER)
        copy()
        with filled_again(database_url) as store:
            jobs(store)
            told_of_payment(store, order.order_id)
            expected, known = money(store), violated(store)
        assert (len(expected["bills"]), len(expected["payments"])) == (2, 1)
        assert {source.split(":")[0] for source, _, _ in expected["charges"]} == {"rent"}
        with filled_again(put()) as store:
            assert len(money(store)["bills"]) == 1
            for _ in range(2):
                jobs(store)
                told_of_payment(store, order.order_id)
            assert money(store) == expected
            assert expected["unsealed"] == 0
            assert violated(store) - known == set()
            with store.reading_station(STATION) as own:
                assert [event.epoch for event in own.events(JournalEpoch)] == [2]
                assert (own.station().mode, own.station().mode_reason) == ("held", "restored")


@contextmanager
def filled_again(url: str) -> Iterator[Store]:
    store = Store(url)
    try:
        yield store
    finally:
        store.close()
