"""The books and payments over HTTP: a fleet fills its wallet, pays, is refunded; the bank's file; wrong calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import httpx
import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner

from api.cli.__main__ import app as app_cli
from sim.live.acquirer import CALLBACK, paid_call
from swap.commerce.ledger.book import post
from swap.commerce.ledger.postings import Owed, OwedLine, postings_of
from swap.store import Store
from tests.support.api.doors import ACQUIRER_SECRET, NOW

pytestmark = pytest.mark.usefixtures("second_factor")


@pytest.fixture
def firms(store: Store) -> dict[str, str]:
    """Firms of the station file, by what they do."""
    from swap.register.show import read_register

    with store.reading() as db:
        found = {firm.kind: firm.id for firm in read_register(db).firms}
    return {"op": found["station_operator"], "fleet": found["fleet"], "own": found["battery_owner"]}


@pytest.fixture
def bill(store: Store, firms: dict[str, str]) -> str:
    """A bill of 100 yuan of the operator to the fleet."""
    line = OwedLine(firms["op"], firms["fleet"], "energy", 8850, 1150)
    with store.commerce() as db:
        post(db, postings_of(Owed("bill:bl-0000000001", NOW, (line,))))
    return "bill:bl-0000000001"


async def told(client: httpx.AsyncClient, order: dict[str, Any], number: str = "n1", **more: Any) -> httpx.Response:
    """The acquirer's call for an order."""
    said = {"channel": order["channel"], "order_id": order["order_id"], "amount_yuan": order["amount_yuan"]}
    at = more.pop("at", datetime.now(UTC))
    call = paid_call(ACQUIRER_SECRET, number=number, at=at, **(said | more))
    return await client.post(CALLBACK, content=call.body, headers=dict(call.headers))


async def balance(client: httpx.AsyncClient, account_id: str) -> Decimal:
    firm_id, kind, *_ = account_id.split(":")
    found = await client.get("/api/v1/accounts", params={"firm_id": firm_id, "kind": kind})
    return next(
        (Decimal(a["balance_yuan"]) for a in found.json()["items"] if a["account_id"] == account_id), Decimal(0)
    )


async def test_a_wallet_is_filled_pays_a_bill_and_the_books_say_so(
    client: httpx.AsyncClient, firms: dict[str, str], bill: str
) -> None:
    op, fleet = firms["op"], firms["fleet"]
    top_up = {"holder_id": op, "channel": "channel_a", "amount_yuan": "150.00"}
    key = {"Idempotency-Key": "k1"}
    orders = [await client.post(f"/api/v1/wallets/{fleet}/top-ups", json=top_up, headers=key) for _ in range(2)]
    assert [made.status_code for made in orders] == [201, 201], orders[0].text
    assert orders[0].json() == orders[1].json()
    order = orders[0].json()
    answers = [await told(client, order) for _ in range(3)]
    assert [(answer.status_code, answer.json()["state"]) for answer in answers] == [(200, "paid")] * 3
    seen = await client.get(f"/api/v1/payments/orders/{order['order_id']}")
    assert seen.json() == answers[0].json()
    wish = {"payer_id": fleet, "payee_id": op, "method": "wallet", "amount_yuan": "100.00", "target": bill}
    reused = await client.post("/api/v1/payments", json=wish, headers=key)
    assert (reused.status_code, reused.json()["code"]) == (422, "key_of_other_request")
    key = {"Idempotency-Key": "k2"}
    paid = await client.post("/api/v1/payments", json=wish, headers=key)
    assert paid.status_code == 201, paid.text
    payment = paid.json()["payment"]
    assert payment["allocations"] == [{"target": bill, "amount_yuan": "100.00"}]
    assert (await client.post("/api/v1/payments", json=wish, headers=key)).json() == paid.json()
    assert await balance(client, f"{op}:wallet:{fleet}") == 50
    assert await balance(client, f"{op}:receivable:{fleet}") == 0
    entries = (await client.get(f"/api/v1/accounts/{op}:receivable:{fleet}/entries")).json()["items"]
    assert sorted(Decimal(entry["amount_yuan"]) for entry in entries) == [-100, Decimal("11.5"), Decimal("88.5")]
    listed = (await client.get("/api/v1/payments", params={"payer_id": fleet})).json()["items"]
    assert {one["payment_id"] for one in listed} == {payment["payment_id"], answers[0].json()["payment_id"]}
    one = await client.get(f"/api/v1/payments/{payment['payment_id']}")
    assert one.json() == payment
    too_much = await client.post("/api/v1/payments", json=wish | {"amount_yuan": "50.01", "target": None})
    assert (too_much.status_code, too_much.json()["code"]) == (409, "overdrawn")


async def test_a_bill_is_paid_through_the_acquirer_and_given_back_in_part(
    client: httpx.AsyncClient, firms: dict[str, str], bill: str
) -> None:
    wish = {"payer_id": firms["fleet"], "payee_id": firms["op"], "method": "channel_b", "amount_yuan": "120"}
    order = (await client.post("/api/v1/payments", json=wish)).json()["order"]
    paid = (await told(client, order)).json()
    back = {"payment_id": paid["payment_id"], "amount_yuan": "20.00", "reason": "too much"}
    done = [await client.post("/api/v1/refunds", json=back, headers={"Idempotency-Key": "r"}) for _ in range(2)]
    assert [answer.status_code for answer in done] == [201, 201]
    assert done[0].json() == done[1].json()
    more = await client.post("/api/v1/refunds", json=back)
    assert (more.status_code, more.json()["code"]) == (409, "not_refundable")


async def test_money_is_held_and_let_go(client: httpx.AsyncClient, firms: dict[str, str]) -> None:
    op, fleet = firms["op"], firms["fleet"]
    credit = await client.put(f"/api/v1/wallets/{fleet}/credit", json={"holder_id": op, "limit_yuan": "30"})
    assert credit.status_code == 200
    ends_at = (NOW + timedelta(hours=1)).isoformat()
    hold = {"holder_id": op, "payee_id": op, "amount_yuan": "30.00", "expires_at": ends_at}
    made = await client.post(f"/api/v1/wallets/{fleet}/holds", json=hold)
    assert made.status_code == 201, made.text
    second = await client.post(f"/api/v1/wallets/{fleet}/holds", json=hold)
    assert (second.status_code, second.json()["code"]) == (409, "overdrawn")
    place = f"/api/v1/wallets/{fleet}/holds/{made.json()['hold_id']}"
    assert [(await client.delete(place)).status_code for _ in range(2)] == [204, 204]
    again = await client.post(f"/api/v1/wallets/{fleet}/holds", json=hold)
    wish = {"payer_id": fleet, "payee_id": op, "method": "wallet", "amount_yuan": "30"}
    paid = await client.post("/api/v1/payments", json=wish | {"hold_id": again.json()["hold_id"]})
    assert paid.status_code == 201, paid.text
    ended = await client.delete(f"/api/v1/wallets/{fleet}/holds/{again.json()['hold_id']}")
    assert (ended.status_code, ended.json()["code"]) == (409, "hold_ended")


async def test_a_bank_file_its_work_list_and_a_file_that_is_wrong(
    client: httpx.AsyncClient, firms: dict[str, str], bill: str
) -> None:
    async def send(text: str, encoding: str = "utf-8") -> httpx.Response:
        return await client.post(
            "/api/v1/bank-files",
            params={"firm_id": firms["op"]},
            content=text.encode(encoding),
            headers={"Content-Type": "text/csv"},
        )

    good = f"交易日期,流水号,金额,对方户名,摘要\n2026-03-04,N1,100.00,某人,电费 {bill[5:]}\n2026-03-04,N2,5,某人,\n"
    taken = await send(good, "gbk")
    assert taken.status_code == 201, taken.text
    assert (taken.json()["encoding"], taken.json()["open_count"]) == ("gb18030", 1)
    (line,) = (await client.get("/api/v1/bank-lines", params={"open": "true"})).json()["items"]
    ended = await client.post(
        f"/api/v1/bank-lines/{line['line_id']}/end", json={"outcome": "payment", "payer_id": firms["fleet"]}
    )
    assert (ended.status_code, ended.json()["outcome"]) == (200, "payment")
    assert (await client.get("/api/v1/bank-lines", params={"open": "true"})).json()["items"] == []
    known = await send(good)
    assert (known.status_code, known.json()["code"]) == (409, "bank_line_known")
    for wrong in ("", good.replace("N1", "N3").replace(",5,", ",5.005,")):
        refused = await send(wrong)
        assert (refused.status_code, refused.json()["code"]) == (422, "file_unreadable"), refused.text
    assert "line 3" in refused.json()["problems"][0]["field"]
    assert len((await client.get("/api/v1/bank-lines")).json()["items"]) == 2


async def test_a_deposit_and_what_two_firms_set_off(client: httpx.AsyncClient, firms: dict[str, str]) -> None:
    deposit = {"holder_id": firms["own"], "owner_id": firms["fleet"], "amount_yuan": "1000.00"}
    made = await client.post("/api/v1/deposits", json=deposit)
    assert made.status_code == 201, made.text
    place = f"/api/v1/deposits/{made.json()['deposit_id']}/release"
    done = [await client.post(place, json={"damage_yuan": "300"}) for _ in range(2)]
    assert [(one.status_code, one.json()["damage_yuan"]) for one in done] == [(200, "300.00")] * 2
    assert (await client.post(place, json={"damage_yuan": "301"})).status_code == 409
    until = {"one_id": firms["own"], "other_id": firms["fleet"], "until_at": NOW.isoformat()}
    statements = [await client.post("/api/v1/net-statements", json=until) for _ in range(2)]
    assert [one.status_code for one in statements] == [201, 201]
    assert statements[0].json() == statements[1].json()
    listed = await client.get("/api/v1/net-statements", params={"firm_id": firms["own"]})
    assert listed.json()["items"] == [statements[0].json()]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount_yuan": "-5"}, "amount_yuan"),
        ({"amount_yuan": "1.005"}, "amount_yuan"),
        ({"amount_yuan": 5}, "amount_yuan"),
        ({"amount_yuan": "0"}, "amount_yuan"),
        ({"currency": "USD"}, "currency"),
        ({"method": "cash"}, "method"),
        ({"target": "bill:of another firm"}, "target"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_a_wrong_payment_names_the_field_and_changes_nothing(
    client: httpx.AsyncClient, firms: dict[str, str], bill: str, change: dict[str, Any], field: str
) -> None:
    wish = {"payer_id": firms["fleet"], "payee_id": firms["op"], "method": "channel_a", "amount_yuan": "5"}
    before = (await client.get("/api/v1/accounts")).json()
    refused = await client.post("/api/v1/payments", json=wish | change)
    assert refused.status_code == 422, refused.text
    assert refused.json()["problems"][0]["field"] == field
    assert (await client.get("/api/v1/accounts")).json() == before


async def test_a_call_of_somebody_else_or_of_long_ago_is_refused(
    client: httpx.AsyncClient, firms: dict[str, str]
) -> None:
    wish = {"payer_id": firms["fleet"], "payee_id": firms["op"], "method": "channel_a", "amount_yuan": "5.00"}
    order = (await client.post("/api/v1/payments", json=wish)).json()["order"]
    body = {"channel": "channel_a", "number": "n", "order_id": order["order_id"], "amount_yuan": "5.00"}
    headers = {"Acquirer-Timestamp": str(int(datetime.now(UTC).timestamp())), "Acquirer-Signature": "0" * 64}
    forged = await client.post("/api/v1/payments/acquirer/callback", json=body, headers=headers)
    assert (forged.status_code, forged.json()["code"]) == (403, "signature_wrong")
    old = await told(client, order, at=datetime.now(UTC) - timedelta(minutes=6))
    assert (old.status_code, old.json()["code"]) == (403, "signature_wrong")
    other = await told(client, order, amount_yuan="6.00")
    assert (other.status_code, other.json()["problems"][0]["field"]) == (422, "amount_yuan")
    assert (await client.get("/api/v1/payments")).json()["items"] == []


@pytest.mark.parametrize(
    ("lang", "title", "state"), [("zh-CN", "押金收据", "保管中"), ("en", "Receipt of a deposit", "in keeping")]
)
async def test_a_deposit_has_a_receipt_once_it_is_paid(
    client: httpx.AsyncClient, firms: dict[str, str], lang: str, title: str, state: str
) -> None:
    wish = {"holder_id": firms["op"], "owner_id": firms["fleet"], "amount_yuan": "12000.00"}
    deposit_id = (await client.post("/api/v1/deposits", json=wish)).json()["deposit_id"]
    path = f"/api/v1/deposits/{deposit_id}/receipt"
    unpaid = await client.get(path)
    assert (unpaid.status_code, deposit_id in unpaid.json()["detail"]) == (409, True)
    assert (await client.get("/api/v1/deposits/none/receipt")).status_code == 404
    pays = {"payer_id": firms["fleet"], "payee_id": firms["op"], "method": "channel_a", "amount_yuan": "12000.00"}
    order = (await client.post("/api/v1/payments", json=pays | {"target": f"charge:{deposit_id}"})).json()["order"]
    assert (await told(client, order, fee_yuan="72.00")).status_code == 200
    pdf = await client.get(path, params={"lang": lang})
    assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert (await client.get(path, params={"lang": lang})).content == pdf.content
    book = await client.get(path, params={"lang": lang, "format": "xlsx"})
    sheet = load_workbook(BytesIO(book.content)).active
    assert sheet is not None
    cells = [cell.value for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert cells[0] == title
    assert {state, deposit_id, "壹万贰仟圆整", 12000} <= set(cells), "the fee is the holder's: the whole was received"
    assert (await client.get(path, params={"format": "json"})).status_code == 422


async def test_the_simulated_acquirer_of_the_command_line_needs_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    pay = ["--lang", "en", "ledger", "play-acquirer", "ao-1", "--channel", "channel_a", "--amount", "5"]
    without = CliRunner().invoke(app_cli, pay)
    assert (without.exit_code, "SWAP_ACQUIRER_SECRET" in without.output) == (2, True)
    monkeypatch.setenv("SWAP_ACQUIRER_SECRET", ACQUIRER_SECRET)
    nobody = CliRunner().invoke(app_cli, [*pay, "--server", "http://127.0.0.1:9"])
    assert (nobody.exit_code, "does not answer" in nobody.output) == (2, True)
