"""Leases over HTTP: a contract from its draft to its charges, custody, rights, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlmodel import select

from swap.commerce.custody.take import take_journals
from swap.commerce.leases.rent import run_rent
from swap.commerce.leases.terms import LeaseTerms
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Pack, Station, VehicleRow
from tests.support.api.doors import NOW

pytestmark = pytest.mark.usefixtures("second_factor")


@pytest.fixture
def given(store: Store) -> dict[str, Any]:
    """Terms of a contract of YQ-001 since the first of the month before the last."""
    take_journals(store)
    with store.reading_station("yangquan-mine") as db:
        vehicle = db.get_one(VehicleRow, "YQ-001")
        pack = _pack(db)
        station = db.get_one(Station, "yangquan-mine")
        return {
            "lessor_id": pack.owner_id,
            "lessee_id": vehicle.fleet_id,
            "zone": station.timezone,
            "first_day": FIRST.isoformat(),
            "vehicles": ["YQ-001"],
            "entitlement": [{"kind": pack.kind, "number": 2}],
            "stations": [station.id],
            "components": [{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "10"}],
        }


FIRST = (NOW.replace(day=1) - timedelta(days=1)).replace(day=1).date()
MONTH = f"{FIRST:%Y-%m}"


def _pack(db: StationDb) -> Pack:
    return db.exec(select(Pack).where(Pack.vehicle_id == "YQ-001").order_by(Pack.id)).all()[0]


async def drafted(client: httpx.AsyncClient, given: dict[str, Any], *steps: str) -> str:
    made = await client.post("/api/v1/contracts", json={"terms": given})
    assert made.status_code == 201, made.text
    contract_id: str = made.json()["contract_id"]
    for step in steps:
        taken = await client.post(f"/api/v1/contracts/{contract_id}/steps", json={"step": step})
        assert taken.status_code == 200, taken.text
    return contract_id


async def test_from_draft_to_charge(client: httpx.AsyncClient, store: Store, given: dict[str, Any]) -> None:
    contract_id = await drafted(client, given, "offer", "sign", "activate")
    url = f"/api/v1/contracts/{contract_id}"
    record = (await client.get(url)).json()
    assert (record["state"], [event["kind"] for event in record["events"]]) == (
        "active",
        ["drafted", "offer", "sign", "activate"],
    )
    assert record["events"][0]["actor"] == "Operator A"
    assert LeaseTerms.model_validate(record["versions"][0]["terms"]) == LeaseTerms.model_validate(given)
    listed = (await client.get("/api/v1/contracts", params={"state": "active", "vehicle_id": "YQ-001"})).json()
    assert [one["contract_id"] for one in listed["items"]] == [contract_id]
    run_rent(store, MONTH, NOW)
    (charge,) = (await client.get(f"{url}/charges")).json()["items"]
    kwh = 2 * float(record["versions"][0]["rated_kwh"][given["entitlement"][0]["kind"]])
    assert (float(charge["quantity"]), charge["unit"], charge["unit_price_yuan"]) == (kwh, "kwh_month", "10.0000")
    assert float(charge["amount_yuan"]) == 10 * kwh
    assert (await client.get("/api/v1/charges", params={"period": MONTH})).json()["items"] == [charge]
    assert (await client.get("/api/v1/charges", params={"kind": "deposit"})).json()["items"] == []
    dearer = given | {"components": [{"id": "rent", "kind": "capacity", "yuan_per_kwh_month": "12.5"}]}
    body = {"effective_day": FIRST.isoformat(), "terms": dearer, "reason": "agreed"}
    changed = await client.post(f"{url}/versions", json=body)
    assert (changed.status_code, [one["state"] for one in changed.json()["versions"]]) == (201, ["in_force", "offered"])
    signed = await client.post(f"{url}/versions/2/steps", json={"step": "sign", "reason": "agreed"})
    assert (signed.status_code, [one["state"] for one in signed.json()["versions"]]) == (200, ["in_force"] * 2)
    assert signed.json()["events"][-1]["data"] == {"version": 2, "reason": "agreed"}
    for number, status, code in ((2, 409, "contract_state"), (3, 404, "not_found"), (0, 422, "not_valid")):
        refused = await client.post(f"{url}/versions/{number}/steps", json={"step": "sign"})
        assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_arrears_override_and_right(client: httpx.AsyncClient, given: dict[str, Any]) -> None:
    contract_id = await drafted(client, given | {"arrears_notice_days": 1}, "offer", "sign", "activate")
    url = f"/api/v1/contracts/{contract_id}"
    right = (await client.get("/api/v1/rights/YQ-001")).json()
    assert (right["allowed"], right["code"], right["contract_id"]) == (True, "entitled", contract_id)
    chinese = await client.get("/api/v1/rights/YQ-001", headers={"Accept-Language": "zh-CN"})
    assert chinese.json()["reason"] == f"合同 {contract_id} 允许车辆 YQ-001 换电"
    assert (await client.post(f"{url}/arrears", json={"amount_yuan": "5000"})).status_code == 200
    assert (await client.post(f"{url}/arrears", json={"amount_yuan": "5000"})).json()["code"] == "contract_state"
    until = (NOW + timedelta(days=2)).isoformat()
    body = {"vehicle_id": "YQ-001", "until_at": until, "reason": "blocks the ramp"}
    assert (await client.post(f"{url}/safety-overrides", json=body)).status_code == 200
    assert (await client.get("/api/v1/rights/YQ-001")).json()["code"] == "safety_override"
    assert (await client.post(f"{url}/arrears", json={"amount_yuan": "0"})).status_code == 200
    events = [event["kind"] for event in (await client.get(url)).json()["events"]]
    assert events[-3:] == ["arrears", "safety_override", "arrears_cleared"]
    assert (await client.get("/api/v1/rights/none")).status_code == 404


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"last_day": "2000-01-01"}, "terms", "must not be before first_day"),
        ({"zone": "Mars/Olympus"}, "terms.zone", "time zone of the IANA list"),
        ({"vehicles": ["none"]}, "vehicles", "vehicles of"),
        ({"stations": ["other"]}, "stations", "id of a station"),
        ({"entitlement": [{"kind": "none", "number": 1}]}, "entitlement", "a kind that a station of the contract has"),
        ({"components": [{"id": "r", "kind": "magic"}]}, "terms.components.0", "one of the kinds"),
        ({"components": [{"id": "r", "kind": "fixed", "yuan_per_period": 1.5}]}, "terms.components.0", "in quotes"),
        ({"components": [{"id": "r", "kind": "fixed", "yuan_per_period": "-1"}]}, "terms.components.0", "0 or more"),
    ],
)
async def test_bad_terms_name_field_and_what_is_allowed(
    client: httpx.AsyncClient, given: dict[str, Any], changed: dict[str, Any], field: str, words: str
) -> None:
    answer = await client.post("/api/v1/contracts", json={"terms": given | changed})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_valid")
    (problem,) = answer.json()["problems"]
    assert problem["field"].startswith(field)
    assert words in problem["message"]
    assert (await client.get("/api/v1/contracts")).json()["items"] == []


async def test_overlaps_steps_and_items_are_conflicts_by_name(client: httpx.AsyncClient, given: dict[str, Any]) -> None:
    contract_id = await drafted(client, given, "offer", "sign")
    second = await client.post("/api/v1/contracts", json={"terms": given})
    assert (second.status_code, second.json()["code"]) == (409, "contracts_overlap")
    assert second.json()["related"]["contract_id"] == contract_id
    url = f"/api/v1/contracts/{contract_id}"
    again = await client.post(f"{url}/steps", json={"step": "sign"})
    assert (again.status_code, again.json()["code"]) == (409, "contract_state")
    item = {"kind": "damage", "pack_id": "none", "code": "dent"}
    assert (await client.post(f"{url}/items", json=item)).status_code == 422
    assert (await client.get("/api/v1/contracts/lc-none")).status_code == 404
    assert (await client.get("/api/v1/contracts/lc-none/charges")).status_code == 404


async def test_custody_and_readings(client: httpx.AsyncClient, store: Store, given: dict[str, Any]) -> None:
    assert given["vehicles"] == ["YQ-001"]
    with store.reading_station("yangquan-mine") as db:
        pack_id = _pack(db).id
    (span,) = (await client.get(f"/api/v1/packs/{pack_id}/custody")).json()["items"]
    assert (span["vehicle_id"], span["holder_id"], span["until_at"]) == ("YQ-001", given["lessee_id"], None)
    assert (await client.get("/api/v1/packs/none/custody")).status_code == 404
    at = (NOW - timedelta(hours=3)).isoformat()
    one = {"subject": "YQ-001", "quantity": "odometer_km", "at": at, "value": "50123.4"}
    for taken in (1, 0):
        answer = await client.post("/api/v1/readings", json={"readings": [one]})
        assert (answer.status_code, answer.json()) == (200, {"taken": taken})
    later = one | {"at": (NOW - timedelta(hours=1)).isoformat(), "value": "50000"}
    backwards = await client.post("/api/v1/readings", json={"readings": [later]})
    assert (backwards.status_code, backwards.json()["problems"][0]["field"]) == (422, "odometer_km")
