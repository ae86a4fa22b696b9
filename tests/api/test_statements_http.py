"""Statements as documents: what stands on them is what the books say, and each firm reads its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from swap.commerce.bills.capitals import in_capitals
from swap.commerce.bills.closing import close_period
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.commerce.ledger import balances
from swap.commerce.ledger.balances import account_statement
from swap.errors import InvalidInput
from swap.store import Store
from tests.api.test_money_sight import client, items
from tests.support.swap.commerce import AT, STATION, arrive, exchange, filled_store, station
from tests.support.swap.paid import pay_everything

SHARES = [
    {"of": "service", "party": "op", "share": "0.7", "takes_rest": True},
    {"of": "service", "party": "own", "share": "0.3"},
]
POSTED_AT = AT + timedelta(hours=1)


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A swap that was billed, invoiced and shared, and money moved in every way there is."""
    config = station({"shares": SHARES})
    with filled_store(sqlite_url, config) as store:
        exchange(store, arrive(store, config, "V0").swap_id)
        bill_completed_swaps(store, STATION, POSTED_AT)
        pay_everything(store, STATION, POSTED_AT, operator="op", fleet="fleet", owner="own")
        close_period(store, "2026-11", at=AT + timedelta(days=40), zone=config.station.zone, name="Li")
        yield store


def cells(content: bytes) -> list[list[Any]]:
    """The rows of a workbook."""
    sheet = load_workbook(BytesIO(content)).active
    assert sheet is not None
    return [list(row) for row in sheet.iter_rows(values_only=True)]


def value(rows: list[list[Any]], label: str) -> str:
    """What stands beside a label."""
    return next(str(row[1]) for row in rows if row[0] == label)


async def test_the_statement_of_an_account_adds_up_to_its_balance(store: Store, tmp_path: Path) -> None:
    account = "fleet:payable:own"
    async with client(store, tmp_path, "accountant", "fleet") as own:
        (known,) = [row for row in await items(own, "/accounts") if row["account_id"] == account]
        entries = await items(own, f"/accounts/{account}/entries")
        url = f"/accounts/{account}/statement"
        answer = await own.get(url, params={"format": "xlsx", "lang": "en"})
        assert answer.headers["content-disposition"] == 'attachment; filename="fleet-payable-own.xlsx"'
        rows = cells(answer.content)
        lines = [row for row in rows if str(row[0]).isdigit()]
        assert len(lines) == len(entries) > 2
        assert [Decimal(str(row[4])) for row in lines] == [Decimal(one["amount_yuan"]) for one in reversed(entries)]
        closing = Decimal(known["balance_yuan"])
        assert (value(rows, "Balance before"), value(rows, "Balance after")) == ("0.00", f"¥{closing:,.2f}")
        assert Decimal(str(lines[-1][5])) == closing
        assert value(rows, "In capitals") == in_capitals(int(closing * 100))
        assert value(rows, "Account") == "Payable · Owner"
        since = {"format": "xlsx", "from": (POSTED_AT + timedelta(seconds=1)).isoformat()}
        late = cells((await own.get(url, params=since)).content)
        assert value(late, "期末余额") == value(rows, "Balance after")
        after = [row for row in late if str(row[0]).isdigit()]
        before = closing - sum(Decimal(str(row[4])) for row in after)
        assert 0 < len(after) < len(lines)
        assert value(late, "期初余额") == f"{before:,.2f}"
        assert (await own.get(url)).content.startswith(b"%PDF")
        assert (await own.get("/accounts/own:receivable:fleet/statement")).status_code == 404
        for lang, words in (("en", "Cost · Pack rent"), ("zh-CN", "成本 · 电池租金")):
            whole = cells((await own.get(url, params={"format": "xlsx", "lang": lang})).content)
            assert words in {row[3] for row in whole if str(row[0]).isdigit()}


async def test_settlements_and_net_statements_are_documents(store: Store, tmp_path: Path) -> None:
    async with client(store, tmp_path, "accountant", "own") as own:
        (shared,) = await items(own, "/settlements")
        rows = cells((await own.get(f"/settlements/{shared['settlement_id']}/document?format=xlsx&lang=en")).content)
        (line,) = [row for row in rows if str(row[0]).isdigit()]
        assert line[1:3] == ["Owner", "30 %"]
        assert Decimal(str(line[4])) == Decimal(shared["shares"][0]["amount_yuan"])
        assert value(rows, "Income without tax") == f"¥{Decimal(shared['income_yuan']):,.2f}"
        (net,) = await items(own, "/net-statements", firm_id="own")
        url = f"/net-statements/{net['statement_id']}/document"
        rows = cells((await own.get(url, params={"format": "xlsx"})).content)
        assert value(rows, "轧差后应付") == f"¥{Decimal(net['rest_yuan']):,.2f}"
        assert value(rows, "大写金额") == in_capitals(int(Decimal(net["rest_yuan"]) * 100))
        assert (await own.get(url)).content.startswith(b"%PDF")
    async with client(store, tmp_path, "accountant", "fleet") as fleet:
        for path in (url, f"/settlements/{shared['settlement_id']}/document"):
            assert (await fleet.get(path)).status_code == 404


def test_a_statement_takes_no_more_than_it_may(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    page = balances.list_entries
    monkeypatch.setattr(balances, "STATEMENT_MOST", 1)
    monkeypatch.setattr(balances, "list_entries", lambda db, key, **more: page(db, key, **{**more, "limit": 1}))
    with store.reading_commerce() as db, pytest.raises(InvalidInput, match="at most 1 entries"):
        account_statement(db, "fleet:payable:own", at=POSTED_AT + timedelta(days=1))
