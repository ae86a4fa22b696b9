"""Quotes, the work list of bills, invoices and settlements over HTTP."""

from __future__ import annotations

import base64
import builtins
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from openpyxl import load_workbook

from api.app import create_app
from api.settings import Settings
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.commerce.charges import NewCharge, add_charge
from swap.config.station_file import StationConfig
from swap.store import Store
from tests.support.api.people import account, signed_in
from tests.support.swap.commerce import AT, STATION, arrive, exchange, filled_store, station

pytestmark = pytest.mark.usefixtures("second_factor")
IN_DECEMBER = datetime(2026, 12, 2, tzinfo=UTC)
SHARES = [
    {"of": "service", "party": "op", "share": "0.7", "takes_rest": True},
    {"of": "service", "party": "own", "share": "0.3"},
]


class StoppedClock:
    speed = 1.0

    def now(self) -> datetime:
        return IN_DECEMBER


@pytest.fixture
def config() -> StationConfig:
    return station({"shares": SHARES})


@pytest.fixture
def store(sqlite_url: str, config: StationConfig) -> Iterator[Store]:
    with filled_store(sqlite_url, config) as store:
        yield store


@pytest.fixture
async def doors(store: Store, config: StationConfig, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(station_file=tmp_path / "station.toml")
    app = create_app(store, config, StoppedClock(), settings=settings)
    transport = httpx.ASGITransport(app=app)
    headers = signed_in(store, account(store, organisation_id="op", name="Li"))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8000/api/v1", headers=headers
    ) as client:
        yield client


def billed(store: Store, config: StationConfig, vehicle: str = "V0", **energies: Any) -> str:
    exchange(store, arrive(store, config, vehicle).swap_id, **energies)
    return bill_completed_swaps(store, STATION, AT + timedelta(hours=1))[0]


async def got(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_quote_is_the_bill_to_the_fen_for_equal_readings(
    store: Store, config: StationConfig, doors: httpx.AsyncClient
) -> None:
    at = (AT + timedelta(minutes=6)).isoformat()
    quote = await got(doors, "/quotes", vehicle_id="V0", at=at, returned_soe_kwh="78.95")
    bill = await got(doors, f"/bills/{billed(store, config)}")
    assert quote["total_yuan"] == bill["total_yuan"]
    assert not quote["estimated"]
    assert [line["kind"] for line in quote["lines"]] == ["energy", "service"]
    for asked, billed_line in zip(quote["lines"], bill["lines"], strict=True):
        for name in ("kind", "energy_kwh", "unit_price_yuan_per_kwh", "amount_yuan", "tax_yuan", "tax_rate", "sale"):
            assert asked[name] == billed_line[name], name
        assert (asked["seller_id"], asked["buyer_id"]) == (billed_line["payee_id"], billed_line["buyer_id"])
    by_energy = await got(doors, "/quotes", vehicle_id="V0", at=at, energy_kwh=bill["lines"][0]["energy_kwh"])
    assert by_energy["total_yuan"] == bill["total_yuan"]


@pytest.mark.parametrize(
    ("params", "status", "message"),
    [
        ({"vehicle_id": "V9"}, 404, "V9"),
        ({"vehicle_id": "V0", "returned_soe_kwh": ["1", "2"]}, 422, "one for each pack"),
        ({"vehicle_id": "V0", "returned_soe_kwh": "282.5"}, 422, "282.0 kWh"),
        ({"vehicle_id": "V0", "energy_kwh": "-1"}, 422, "energy_kwh"),
        ({"vehicle_id": "V0", "station_id": "other"}, 404, "other"),
    ],
)
async def test_a_quote_of_nothing(doors: httpx.AsyncClient, params: dict[str, Any], status: int, message: str) -> None:
    answer = await doors.get("/quotes", params=params)
    assert answer.status_code == status
    assert message in answer.text


async def test_a_flagged_bill_waits_in_the_work_list_until_it_is_corrected(
    store: Store, config: StationConfig, doors: httpx.AsyncClient
) -> None:
    wrong = billed(store, config, settled_soe_kwh=910.0, returned_soe_kwh=0.0)
    billed(store, config, "V1")  # its flag, first_swap, asks for nobody
    assert [bill["bill_id"] for bill in (await got(doors, "/bills", open=True))["items"]] == [wrong]
    assert [bill["bill_id"] for bill in (await got(doors, "/bills", flag="implausible"))["items"]] == [wrong]
    assert (await got(doors, "/bills", flag="meter_expired"))["items"] == []
    body = {"name": "Li", "reason": "read at the pack", "seats": [{"seat": 1, "energy_kwh": "183.31"}]}
    answer = await doors.post(f"/bills/{wrong}/correct", json=body)
    assert answer.status_code == 201, answer.text
    reversal, corrected = answer.json()
    assert (reversal["kind"], corrected["kind"], corrected["total_yuan"]) == ("reversal", "correction", "174.14")
    assert (await got(doors, "/bills", open=True))["items"] == []
    again = await doors.post(f"/bills/{wrong}/reverse", json={"name": "Li", "reason": "again"})
    assert (again.status_code, again.json()["code"]) == (409, "bill_not_reversible")
    why = await got(doors, f"/bills/{corrected['bill_id']}/why")
    assert why["lines"][0]["quantity"] == "183.31 = 183.31 kWh (Li)" or "183.31" in why["lines"][0]["quantity"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"seats": [{"seat": 1, "energy_kwh": "500"}]}, "282"),
        ({"seats": [{"seat": 2, "energy_kwh": "1"}]}, "seats"),
        ({"seats": [{"seat": 1, "energy_kwh": "1"}, {"seat": 1, "energy_kwh": "2"}]}, "twice"),
        ({"seats": [{"seat": 1, "energy_kwh": "0.005"}]}, "decimal"),
        ({"seats": []}, "seats"),
        ({"seats": [{"seat": 1, "energy_kwh": "1"}], "reason": ""}, "reason"),
    ],
)
async def test_a_correction_that_is_none_changes_nothing(
    store: Store, config: StationConfig, doors: httpx.AsyncClient, body: dict[str, Any], message: str
) -> None:
    bill_id = billed(store, config)
    answer = await doors.post(f"/bills/{bill_id}/correct", json={"name": "Li", "reason": "x"} | body)
    assert answer.status_code == 422
    assert message in answer.text
    assert len((await got(doors, "/bills"))["items"]) == 1


async def test_why_goes_down_to_readings_prices_and_events(
    store: Store, config: StationConfig, doors: httpx.AsyncClient
) -> None:
    bill_id = billed(store, config)
    why = await got(doors, f"/bills/{bill_id}/why")
    energy, service = why["lines"]
    lsoe = energy["basis"]["lsoe_kwh"]
    assert energy["quantity"] == f"{lsoe} - 78.95 = {energy_kwh(why)} kWh"
    assert energy["price"] == "flat, flat: 0.38 × 1.00 + 0.17 = 0.5500"
    assert energy["amount"].startswith(f"{energy_kwh(why)} × 0.5500 = ")
    assert energy["tax"].startswith("electricity: ")
    assert "÷ 1.1300 = " in energy["tax"]
    assert service["price"] == "service = 0.4000"
    kinds = {event["kind"] for event in energy["events"]}
    assert {"prices.set", "swap.completed", "bill.issued", "pack.moved"} <= kinds
    assert (await doors.get("/bills/none/why")).status_code == 404


def energy_kwh(why: Any) -> str:
    return str(why["bill"]["lines"][0]["energy_kwh"])


async def closed(doors: httpx.AsyncClient) -> dict[str, Any]:
    answer = await doors.post("/invoices/close-period", json={"period": "2026-11", "name": "Li"})
    assert answer.status_code == 200, answer.text
    (period,) = answer.json()
    assert (period["seller_id"], period["closed_by"]) == ("op", "Li")
    (invoice,) = (await got(doors, "/invoices", period="2026-11"))["items"]
    return dict(invoice)


async def test_a_month_is_closed_once_and_settled(
    store: Store, config: StationConfig, doors: httpx.AsyncClient
) -> None:
    bill_id = billed(store, config)
    head = await closed(doors)
    assert (await doors.post("/invoices/close-period", json={"period": "2026-11", "name": "Li"})).json() == []
    early = await doors.post("/invoices/close-period", json={"period": "2026-12", "name": "Li"})
    assert (early.status_code, early.json()["code"]) == (409, "period_not_closable")
    invoice = await got(doors, f"/invoices/{head['invoice_id']}")
    assert [line["bill_id"] for line in invoice["lines"]] == [bill_id, bill_id]
    assert invoice["gross_yuan"] == (await got(doors, f"/bills/{bill_id}"))["total_yuan"]
    (statement,) = (await got(doors, "/settlements", period="2026-11", party_id="own"))["items"]
    assert Decimal(statement["income_yuan"]) == sum(Decimal(share["amount_yuan"]) for share in statement["shares"])
    assert (await got(doors, "/settlements", party_id="fleet"))["items"] == []
    assert (await doors.get("/invoices/none")).status_code == 404


async def test_a_month_of_two_sellers_is_closed_once_for_a_key(
    store: Store, config: StationConfig, doors: httpx.AsyncClient
) -> None:
    """Each seller is a commit of its own; the answer is stored after the last."""
    billed(store, config)
    rent = NewCharge(
        *("rent", "own", "fleet", "rent", "2026-11", Decimal(1), "month", Decimal(100), Decimal(100), "rent"),
        Decimal("0.13"),
    )
    with store.commerce() as db:
        add_charge(db, rent, AT)
    body, key = {"period": "2026-11", "name": "Li"}, {"Idempotency-Key": "november"}
    first, again = [await doors.post("/invoices/close-period", json=body, headers=key) for _ in range(2)]
    assert [one["seller_id"] for one in first.json()] == ["op", "own"]
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"


def text_of(pdf: bytes) -> bytes:
    """What a PDF draws: its streams, unpacked."""
    found = b""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        found += zlib.decompress(base64.a85decode(stream.strip().removesuffix(b"~>")))
    return found


@pytest.mark.parametrize(("lang", "title"), [("zh-CN", "发票"), ("en", "Invoice")])
async def test_an_invoice_as_pdf_excel_and_fields(
    store: Store, config: StationConfig, doors: httpx.AsyncClient, lang: str, title: str
) -> None:
    billed(store, config)
    head = await closed(doors)
    path = f"/invoices/{head['invoice_id']}/document"
    pdf = await doors.get(path, params={"lang": lang})
    assert (pdf.status_code, pdf.headers["content-type"]) == (200, "application/pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert (await doors.get(path, params={"lang": lang})).content == pdf.content
    assert b"STSong-Light" in pdf.content
    book = await doors.get(path, params={"lang": lang, "format": "xlsx"})
    sheet = load_workbook(BytesIO(book.content)).active
    assert sheet is not None
    cells = [cell.value for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert cells[0] == title
    assert "壹" in str(cells)
    assert float(head["net_yuan"]) == pytest.approx(sum(v for v in cells if isinstance(v, float) and v in _nets(sheet)))
    fields = json.loads((await doors.get(path, params={"format": "json"})).content)
    assert (fields["confirmed"], fields["seller_name"], len(fields["lines"])) == (False, "运营方", 2)
    assert (await doors.get(path, params={"format": "docx"})).status_code == 422


def _nets(sheet: Any) -> list[float]:
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    top = next(n for n, row in enumerate(rows) if row[0] in ("No.", "序号"))
    return [row[7] for row in rows[top + 1 : top + 3]]


async def test_without_the_extra_a_pdf_says_what_to_install(
    store: Store, config: StationConfig, doors: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    billed(store, config)
    head = await closed(doors)
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("reportlab"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    answer = await doors.get(f"/invoices/{head['invoice_id']}/document")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "swapstation[documents]" in answer.text
