"""Each firm sees its own accounts, payments and statements, and of other firms' people no names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from api.app import create_app
from api.settings import Settings
from swap.commerce.bills.issuing import bill_completed_swaps, reverse_bill
from swap.commerce.leases.contracts import draft
from swap.events import append_event
from swap.identity import secrets
from swap.identity.rights import RIGHTS, Factor
from swap.messages.commerce import BillIssued
from swap.messages.events import SwapPacksTold
from swap.register.persons import person_actor
from swap.store import Store
from swap.tables import Party, UserAccount
from tests.support.api.people import account, signed_in
from tests.support.swap.commerce import AT, STATION, arrive, exchange, filled_store, station
from tests.support.swap.leases import signed, terms
from tests.support.swap.paid import pay_everything

LATER = AT + timedelta(hours=4)
FIRMS = ("op", "fleet", "own")


class StoppedClock:
    speed = 1.0

    def now(self) -> datetime:
        return LATER


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A swap that was billed, and money between three firms moved in every way there is."""
    with filled_store(sqlite_url, station()) as store:
        exchange(store, arrive(store, station(), "V0").swap_id)
        bill_completed_swaps(store, STATION, AT + timedelta(hours=1))
        pay_everything(store, STATION, AT + timedelta(hours=1), operator="op", fleet="fleet", owner="own")
        yield store


@asynccontextmanager
async def client(store: Store, folder: Path, role: str, firm: str, name: str = "") -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(store, station(), StoppedClock(), settings=Settings(station_file=folder / "station.toml"))
    headers = signed_in(store, account(store, role, firm, name=name or f"{role} of {firm}"))
    transport, url = httpx.ASGITransport(app=app), "http://127.0.0.1:8000/api/v1"
    async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as found:
        yield found


async def items(client: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = await client.get(path, params={"limit": 200, **params})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_firm_sees_its_own_books_with_the_balances_that_everybody_sees(store: Store, tmp_path: Path) -> None:
    async with client(store, tmp_path, "administrator", "op") as whole:
        everything = {row["account_id"]: row for row in await items(whole, "/accounts")}
        payments = await items(whole, "/payments")
    for firm in FIRMS:
        async with client(store, tmp_path, "accountant", firm) as own:
            mine = {row["account_id"]: row for row in await items(own, "/accounts")}
            assert mine == {key: row for key, row in everything.items() if row["firm_id"] == firm} != {}
            for account_id in everything:
                entries = await own.get(f"/accounts/{account_id}/entries")
                assert entries.status_code == (200 if account_id in mine else 404), (firm, account_id)
            parties = [{row["payer_id"], row["payee_id"]} for row in payments]
            expected = [row for row, of in zip(payments, parties, strict=True) if firm in of]
            assert await items(own, "/payments") == expected != []
            foreign = [row["payment_id"] for row in payments if row not in expected]
            assert [(await own.get(f"/payments/{one}")).status_code for one in foreign] == [404] * len(foreign)
            assert {row["firm_id"] for row in await items(own, "/bank-lines")} == ({"own"} if firm == "own" else set())
            answer = await own.get("/net-statements", params={"firm_id": "op"})
            assert len(answer.json()["items"]) == (0 if firm == "fleet" else 1)


async def test_a_fleet_reads_station_staff_and_the_names_of_its_own_people(store: Store, tmp_path: Path) -> None:
    account(store, "accountant", "op", name="Li")
    account(store, "fleet_operator", "fleet", name="Wang")
    with store.station(STATION) as db:
        issued = db.events(BillIssued)[0]
        reverse_bill(db, issued.data["bill_id"], at=LATER, name="Li", reason="read again")
        actor = person_actor(db, "Wang", LATER)
        append_event(db, SwapPacksTold(packs={}), station_id=STATION, at=LATER, actor=actor, swap_id=issued.swap_id)
    told = {}
    for role, firm in (("fleet_operator", "fleet"), ("station_operator", "op"), ("battery_owner", "own")):
        async with client(store, tmp_path, role, firm) as own:
            rows = await items(own, "/events")
            told[firm] = {row["kind"]: row["actor"] for row in rows if row["actor_kind"] == "person"}
    assert told == {
        "fleet": {"bill.reversed": "station staff", "swap.packs_told": "Wang"},
        "op": {"bill.reversed": "Li", "swap.packs_told": "Wang"},
        "own": {},
    }


async def test_people_of_a_station_have_a_truck_served_there_whoever_its_lessor_is(
    store: Store, tmp_path: Path
) -> None:
    """The safety officer a vehicle, the operator on credit; nobody else, not at another station, and blind to terms."""
    contract_id = signed(store, terms(stations=[STATION], last_day="2026-08-31"), AT)
    until_at = (AT + timedelta(days=1)).isoformat()
    safety = f"/contracts/{contract_id}/safety-overrides", {"vehicle_id": "V0", "until_at": until_at, "reason": "ramp"}
    credit = f"/contracts/{contract_id}/overrides", {"until_at": until_at, "reason": "pays tomorrow"}
    with store.transaction() as db:
        db.add(Party(id="op2", kind="station_operator", name_zh="二", name_en="Second"))
    refused = "forbidden", "not_found"
    for role, firm, codes in (
        ("safety_officer", "op", ("", "forbidden")),
        ("station_operator", "op", ("forbidden", "second_factor_not_set")),
        ("battery_owner", "own", ("forbidden", "second_factor_not_set")),
        ("shift_worker", "op", ("forbidden", "forbidden")),
        ("fleet_operator", "fleet", ("forbidden", "forbidden")),
        ("safety_officer", "op2", ("not_found", "forbidden")),
    ):
        async with client(store, tmp_path, role, firm) as own:
            told = [await own.post(url, json=body) for url, body in (safety, credit)]
            assert tuple("" if one.is_success else one.json()["code"] for one in told) == codes, (role, firm)
            if told[0].is_success:
                assert told[0].json()["station_id"] == STATION
                assert "terms" not in told[0].text
                assert (await own.get(f"/contracts/{contract_id}")).json()["code"] in refused
                right = (await own.get("/rights/V0", params={"purpose": "walk_in"})).json()
                assert (right["allowed"], right["code"]) == (True, "safety_override")


async def test_people_of_a_station_have_a_truck_without_a_contract_served_there(store: Store, tmp_path: Path) -> None:
    until_at = (AT + timedelta(days=1)).isoformat()
    body = {"until_at": until_at, "reason": "ramp"}
    with store.transaction() as db:
        db.add(Party(id="op2", kind="station_operator", name_zh="二", name_en="Second"))
    for role, firm, codes in (
        ("safety_officer", "op", ("", "forbidden")),
        ("station_operator", "op", ("forbidden", "second_factor_not_set")),
        ("battery_owner", "own", ("forbidden", "forbidden")),
        ("fleet_operator", "fleet", ("forbidden", "forbidden")),
        ("safety_officer", "op2", ("not_found", "forbidden")),
    ):
        async with client(store, tmp_path, role, firm) as own:
            urls = ("/rights/V0/safety-overrides", "/rights/V0/overrides")
            told = [await own.post(url, json=body) for url in urls]
            assert tuple("" if one.is_success else one.json()["code"] for one in told) == codes, (role, firm)
            if told[0].is_success:
                given = told[0].json()
                assert (given["contract_id"], given["vehicle_id"], given["station_id"]) == (None, "V0", STATION)
                unknown = await own.post("/rights/none/safety-overrides", json=body)
                assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


@pytest.mark.usefixtures("second_factor")
async def test_the_operator_gives_credit_at_its_own_station_and_the_lessor_everywhere(
    store: Store, tmp_path: Path
) -> None:
    contract_id = signed(store, terms(stations=[STATION]), AT)
    body = {"until_at": (AT + timedelta(days=1)).isoformat(), "reason": "pays tomorrow"}
    for role, firm, station_id in (("station_operator", "op", STATION), ("battery_owner", "own", None)):
        async with client(store, tmp_path, role, firm) as own:
            told = await own.post(f"/contracts/{contract_id}/overrides", json=body)
            assert (told.status_code, told.json()["station_id"]) == (200, station_id)


@pytest.mark.usefixtures("second_factor")
async def test_the_lessee_signs_and_nobody_else_binds_its_trucks(store: Store, tmp_path: Path) -> None:
    """What it is asked for and who it may not be are told; every other step is the lessor's."""
    with store.commerce() as db:
        drafts = [draft(db, terms(vehicles=[name]), at=AT, actor="person:1") for name in ("V0", "V1")]
    sides = (("battery_owner", "own"), ("fleet_operator", "fleet"), ("battery_owner", "own2"))
    with store.transaction() as whole:
        whole.add(Party(id="own2", kind="battery_owner", name_zh="二", name_en="Second"))
    told: dict[str, list[str]] = {}

    async def step(one: int, name: str, by: tuple[tuple[str, str], ...] = sides) -> None:
        for role, firm in by:
            async with client(store, tmp_path, role, firm, f"{role} of {firm} {one} {name}") as own:
                answer = await own.post(f"/contracts/{drafts[one]}/steps", json={"step": name})
                said = answer.json()
                told.setdefault(f"{one} {name}", []).append(said.get("state") or said["code"])
                if said.get("code") == "forbidden":
                    assert {"own": "fleet", "fleet": "own"}[firm] in said["detail"]

    for one, name in ((0, "offer"), (0, "sign"), (0, "withdraw"), (1, "offer")):
        await step(one, name)
    await step(1, "withdraw", sides[1:2])  # the fleet declines
    refused, strange = "forbidden", "not_found"
    assert told == {
        "0 offer": ["offered", refused, strange],
        "0 sign": [refused, "signed", strange],
        "0 withdraw": ["withdrawn", refused, strange],
        "1 offer": ["offered", refused, strange],
        "1 withdraw": ["withdrawn"],
    }


@pytest.mark.usefixtures("second_factor")
async def test_the_lessee_signs_a_change_too_and_the_lessor_takes_its_offer_back(store: Store, tmp_path: Path) -> None:
    contract_id = signed(store, terms(), AT)
    dearer = terms(components=[{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "99"}]).model_dump(mode="json")
    with store.transaction() as whole:
        whole.add(Party(id="own2", kind="battery_owner", name_zh="二", name_en="Second"))
    lessor, lessee, strange = ("battery_owner", "own"), ("fleet_operator", "fleet"), ("battery_owner", "own2")

    async def said(by: tuple[str, str], url: str, body: dict[str, Any]) -> str:
        async with client(store, tmp_path, *by, f"{by} {url} {body}"[:60] + str(len(told))) as own:
            answer = (await own.post(f"/contracts/{contract_id}/versions{url}", json=body)).json()
        told.append(answer["versions"][-1]["state"] if "versions" in answer else answer["code"])
        return told[-1]

    told: list[str] = []
    version = {"effective_day": "2024-06-01", "terms": dearer}
    assert [await said(by, "", version) for by in (lessee, strange, lessor)] == ["forbidden", "not_found", "offered"]
    for step, by, refused in (("sign", lessee, lessor), ("decline", lessee, lessor), ("withdraw", lessor, lessee)):
        if step != "sign":
            assert await said(lessor, "", version) == "offered"
        url = f"/{('sign', 'decline', 'withdraw').index(step) + 2}/steps"
        assert await said(strange, url, {"step": step}) == "not_found"
        assert await said(refused, url, {"step": step}) == "forbidden"
        after = {"sign": "in_force", "decline": "declined", "withdraw": "withdrawn"}[step]
        assert [await said(by, url, {"step": step}) for _ in range(2)] == [after, "contract_state"]


def test_a_second_factor_is_asked_where_money_moves() -> None:
    asked = {operation for operation, right in RIGHTS.items() if right.factor is Factor.TOTP}
    assert {"reverse", "correct", "close_month", "take_step", "charge_item", "pay", "refund_payment"} <= asked
    assert {
        "arrears",
        "override_contract",
        "add_version",
        "answer_offer",
        "override_without_contract",
        "wallet_credit",
        "charge_deposit",
        "bank_file",
    } <= asked


async def test_a_fleet_pays_for_itself_with_a_code_and_for_nobody_else(store: Store, tmp_path: Path) -> None:
    async with client(store, tmp_path, "fleet_operator", "fleet") as own:
        with store.identity() as db:
            row = db.exec(select(UserAccount).where(UserAccount.organisation_id == "fleet")).one()
            row.totp_salt, row.totp_confirmed = "ts-of-the-test", True
        device = secrets.totp(Settings().identity.secret, "ts-of-the-test")
        now = int(datetime.now(UTC).timestamp())
        order = {"payer_id": "fleet", "payee_id": "op", "method": "channel_a", "amount_yuan": "1.00"}
        unproved = await own.post("/payments", json=order)
        assert (unproved.status_code, unproved.json()["code"]) == (403, "second_factor_needed")
        for payer_id, code_at, status in (("own", now - 30, 404), ("fleet", now, 201)):
            headers = {"Swap-Totp": device.at(code_at)}
            answer = await own.post("/payments", json=order | {"payer_id": payer_id}, headers=headers)
            assert answer.status_code == status, answer.text
        assert answer.json()["order"]["payer_id"] == "fleet"
        money = {"holder_id": "op", "channel": "channel_a", "amount_yuan": "20.00"}
        statuses = [(await own.post(f"/wallets/{firm}/top-ups", json=money)).status_code for firm in ("own", "fleet")]
        assert statuses == [404, 201]
