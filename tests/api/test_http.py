"""State, lists, requests, faults and the form of errors over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.schemas import Problem
from swap.config.loading import load_station
from swap.paging import make_cursor
from swap.store import Store
from swap.tables import ControllerLease
from tests.support.api.doors import NOW, STATION_FILE, busy_day, take_lease
from tests.support.api.people import administrator

STATE = "/api/v1/stations/yangquan-mine/state"


@pytest.fixture(autouse=True)
def _busy(store: Store) -> None:
    busy_day(store)


async def items(client: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_state_shows_bays_lanes_queue_and_faults(client: httpx.AsyncClient) -> None:
    state = (await client.get(STATE)).json()
    assert [bay["bay_id"] for bay in state["bays"]] == ["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "Q1"]
    a2 = state["bays"][1]
    assert (a2["pack"]["state"], a2["reserved_by"]) == ("reserved", "sw-0004")
    assert state["bays"][4]["limited_by"] == "tariff"
    assert state["lanes"][0]["swap"]["state"] == "storing_old"
    assert [truck["vehicle_id"] for truck in state["queue"]] == ["YQ-013", "YQ-020", "YQ-009"]
    assert state["station"]["controller"] == "host:1"
    assert len(state["faults"]) == 2
    assert state["site"]["limit_kw"] == 1500


async def test_since_version_answers_only_when_it_has_risen(client: httpx.AsyncClient) -> None:
    version = (await client.get(STATE)).json()["station"]["version"]
    assert (await client.get(STATE, params={"since_version": version})).status_code == 204
    assert (await client.get(STATE, params={"since_version": version - 1})).status_code == 200
    await client.post("/api/v1/swaps", json={"vehicle_id": "YQ-030"})
    assert (await client.get(STATE, params={"since_version": version})).status_code == 200


async def test_swaps_by_state_with_bill_and_timeline(client: httpx.AsyncClient) -> None:
    completed = await items(client, "swaps", state="completed")
    assert {swap["state"] for swap in completed} == {"completed"}
    assert len(completed) == 2
    assert completed[0]["bills"][0]["total_yuan"] == "170.30"
    assert completed[0]["seats"][0]["old_bay_id"] == "A8"
    assert len(await items(client, "swaps", state="open")) == 4
    assert len(await items(client, "swaps", state="ended")) == 3
    detail = (await client.get(f"/api/v1/swaps/{completed[0]['swap_id']}")).json()
    assert detail["timeline"][-1]["kind"] == "swap.completed"


PAGED = {
    "swaps": 7, "bills": 2, "events": 20, "faults": 2, "packs": 57, "organisations": 4, "access-changes": 1,
    "stations/yangquan-mine/power": 180, "stations/yangquan-mine/offers": 20,
}  # fmt: skip
"""Lists, and how many records there are at least."""


async def test_pages_join_without_gap_or_repeat(client: httpx.AsyncClient) -> None:
    for path, least in PAGED.items():
        whole = await items(client, path, limit=500)
        assert len(whole) >= least, path
        paged: list[Any] = []
        asked: dict[str, Any] = {"limit": max(1, len(whole) // 3)}
        while True:
            page = (await client.get(f"/api/v1/{path}", params=asked)).json()
            assert len(page["items"]) <= asked["limit"], path
            paged += page["items"]
            if page["next_cursor"] is None:
                break
            asked["cursor"] = page["next_cursor"]
        assert paged == whole, path
        for made_up in ("nonsense", make_cursor(NOW, "\x07")):
            bad = await client.get(f"/api/v1/{path}", params={"cursor": made_up})
            assert (bad.status_code, bad.json()["problems"][0]["field"]) == (422, "cursor"), path


async def test_a_time_filter_is_from_an_instant_and_before_another(client: httpx.AsyncClient) -> None:
    for path, field in (("faults", "raised_at"), ("stations/yangquan-mine/power", "at"), ("users", "created_at")):
        whole = await items(client, path, limit=500)
        middle = sorted(one[field] for one in whole)[len(whole) // 2]
        later, before = await items(client, path, limit=500, **{"from": middle}), await items(client, path, to=middle)
        assert later == [one for one in whole if one[field] >= middle], path
        assert before == [one for one in whole if one[field] < middle][:50], path
        assert later, path


async def test_events_follow_their_ids(client: httpx.AsyncClient) -> None:
    first = (await client.get("/api/v1/events", params={"limit": 3})).json()
    known = first["items"][-1]["event_id"]
    rest = await items(client, "events", after=known, limit=500)
    assert await items(client, "events", cursor=first["next_cursor"], limit=500) == rest
    ids = [event["event_id"] for event in [*first["items"], *rest]]
    assert ids == list(range(1, len(ids) + 1))
    assert {e["kind"] for e in await items(client, "events", kind="swap.completed")} == {"swap.completed"}


async def test_packs_and_bills(client: httpx.AsyncClient) -> None:
    assert len(await items(client, "packs", limit=500)) == 57
    (waiting,) = await items(client, "packs", state="waiting")
    assert waiting["place"] == "bay:A5"
    assert (await client.get(f"/api/v1/packs/{waiting['pack_id']}")).json() == waiting
    bills = await items(client, "bills", payer_id="fleet-a")
    assert [bill["bill_id"] for bill in bills] == ["bl-0002", "bl-0001"]
    assert (await client.get("/api/v1/bills/bl-0001")).json()["lines"][0]["unit_price_yuan_per_kwh"] == "0.5500"
    assert len(await items(client, "stations/yangquan-mine/power", limit=5)) == 5


async def test_a_request_is_a_row_with_a_name(client: httpx.AsyncClient) -> None:
    body = {"kind": "decide", "arguments": {"swap_id": "sw-0004", "decision": "continue"}, "name": " Operator  A "}
    asked = await client.post("/api/v1/requests", json=body)
    assert asked.status_code == 202
    record = (await client.get(f"/api/v1/requests/{asked.json()['request_id']}")).json()
    assert record["requested_by"] == "Operator A"
    assert record["status"] == "open"
    assert record["arguments"] == {"swap_id": "sw-0004", "decision": "continue"}
    for wrong in ({**body, "name": "  "}, {**body, "kind": "unlock"}, {**body, "arguments": {"speed": 2}}):
        assert (await client.post("/api/v1/requests", json=wrong)).status_code == 422


async def test_a_fault_is_acknowledged_once(client: httpx.AsyncClient, store: Store) -> None:
    fault_id = (await items(client, "faults", open=True))[0]["fault_id"]
    for name in ("Operator A", "Operator B"):
        path, headers = f"/api/v1/faults/{fault_id}/acknowledge", administrator(store, name)
        answer = await client.post(path, json={"name": name}, headers=headers)
        assert answer.json()["acknowledged_by"] == "Operator A"
        assert answer.json()["cleared_at"] is None
    assert len(await items(client, "events", kind="fault.acknowledged")) == 1


async def test_health_needs_a_controller(client: httpx.AsyncClient, store: Store) -> None:
    assert (await client.get("/health")).status_code == 200
    config = load_station(STATION_FILE)
    with store.transaction() as db:
        from datetime import timedelta

        from swap.tables import ControllerLease

        db.get_one(ControllerLease, config.station.id).heartbeat_at -= timedelta(hours=1)
    answer = await client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["word"] == "stopped"
    assert answer.json()["words"]["en"] == "The controller has stopped: nobody runs this station."
    take_lease(store, config)
    assert (await client.get("/health")).json()["status"] == "ok"


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ({"vehicle_id": "YQ-001", "colour": "red"}, "colour", "no such field"),
        ({}, "vehicle_id", "must be given"),
        ({"vehicle_id": "X" * 30}, "vehicle_id", "20 characters or fewer"),
        ({"vehicle_id": ""}, "vehicle_id", "1 characters or more"),
    ],
)
async def test_input_is_strict_and_the_problem_says_where(
    client: httpx.AsyncClient, body: dict[str, Any], field: str, allowed: str
) -> None:
    answer = await client.post("/api/v1/swaps", json=body)
    assert answer.status_code == 422
    problem = Problem.model_validate(answer.json())
    assert problem.problems[0].field == field
    assert allowed in (problem.problems[0].allowed or "")
    assert field in problem.detail


async def test_limits_and_times_are_checked(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/swaps", params={"limit": 100_000})
    assert answer.json()["problems"][0] == {
        "field": "limit",
        "value": "100000",
        "allowed": "must be 500 or less",
        "message": "must be 500 or less",
    }
    local = {
        "vehicle_id": "YQ-001",
        "window_start_at": "2026-03-04T12:00:00",
        "window_end_at": "2026-03-04T13:00:00",
    }
    naive = await client.post("/api/v1/bookings", json=local)
    assert naive.status_code == 422
    assert "with an offset" in naive.json()["problems"][0]["allowed"]


async def test_other_errors_are_problems_too(client: httpx.AsyncClient) -> None:
    broken = await client.post("/api/v1/swaps", content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.headers["content-type"]) == (400, "application/problem+json")
    nowhere = await client.get("/api/v1/nowhere")
    assert (nowhere.status_code, nowhere.json()["title"]) == (404, "Not found")
    assert (await client.put("/api/v1/swaps")).status_code == 405


async def test_every_declared_problem_has_a_schema(app: FastAPI) -> None:
    document = app.openapi()
    assert "Problem" in document["components"]["schemas"]
    assert "FieldProblem" in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/api/v1") and method in {"post", "delete"}:
                assert {"404", "409", "422"} & set(operation["responses"]), path


@pytest.mark.parametrize(
    ("kind", "arguments", "field", "allowed"),
    [
        ("decide", {"swap_id": "sw-0004"}, "arguments.decision", "must be given"),
        ("reset", {}, "arguments.lane_id", "must be given"),
        ("hold", {"bay_id": "A1"}, "arguments.bay_id", "no such field"),
        ("decide", {"swap_id": "sw-0004", "decision": "perhaps"}, "arguments.decision", "'unwind'"),
        ("release_bay", {"bay_id": "A" * 33}, "arguments.bay_id", "32 characters or fewer"),
        ("dance", {}, "kind", "confirm, hold"),
    ],
)
async def test_a_request_that_its_kind_does_not_allow_is_refused_by_field(
    client: httpx.AsyncClient, kind: str, arguments: dict[str, str], field: str, allowed: str
) -> None:
    body = {"kind": kind, "arguments": arguments, "name": "Operator A"}
    answer = await client.post("/api/v1/requests", json=body)
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert problem["field"] == field
    assert allowed in problem["allowed"]


async def test_a_request_without_arguments_needs_none_given(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/requests", json={"kind": "hold", "name": "Operator A"})
    assert (answer.status_code, answer.json()["arguments"]) == (202, {})
    missing = await client.post("/api/v1/requests", json={"kind": "reset", "name": "Operator A"})
    assert missing.json()["problems"][0]["field"] == "arguments.lane_id"


async def test_open_swaps_say_what_they_wait_for(client: httpx.AsyncClient, store: Store) -> None:
    """S15: in the queue and in a lane, as a code and as a sentence in the language that is asked for."""
    until = "2026-07-27T06:30:00+00:00"
    waiting = {
        "truck:sw-0010": {"cause": "not_charged", "names": ["lfp-282"], "number": 1, "until_at": until},
        "lane:L1": {"cause": "permissives", "names": ["doors_closed"], "number": None, "until_at": None},
        "ready_at": {},
    }
    with store.station("yangquan-mine") as db:
        db.station().waiting = waiting
    queued = (await client.get("/api/v1/swaps/sw-0010")).json()["waits_for"]
    assert (queued["cause"], queued["names"], queued["number"]) == ("not_charged", ["lfp-282"], 1)
    assert queued["text"] == "No pack is charged yet: lfp-282. Expected about 14:30."
    chinese = await client.get("/api/v1/swaps/sw-0010", headers={"Accept-Language": "zh-CN"})
    assert chinese.json()["waits_for"]["text"].endswith("预计约 14:30。")
    listed = {swap["swap_id"]: swap["waits_for"] for swap in await items(client, "swaps")}
    assert listed["sw-0010"] == queued
    assert listed["sw-0004"]["cause"] == "permissives"
    assert "doors closed" in listed["sw-0004"]["text"]
    assert listed["sw-0011"] is None  # the controller has not looked at it yet
    assert [waits for swap_id, waits in listed.items() if swap_id < "sw-0004"] == [None] * 3
    with store.transaction() as whole:
        whole.delete(whole.get_one(ControllerLease, "yangquan-mine"))
    assert (await client.get("/api/v1/swaps/sw-0010")).json()["waits_for"] is None


async def test_prices_are_shown_as_quotes_ask_them(client: httpx.AsyncClient) -> None:
    """明码标价: of each hour of the next day, electricity and service apart, on the page too."""
    shown = (await client.get("/api/v1/stations/yangquan-mine/prices")).json()
    parts = shown["prices"]
    assert [part["until_at"] for part in parts[:-1]] == [part["from_at"] for part in parts[1:]]
    first, last = (datetime.fromisoformat(at) for at in (parts[0]["from_at"], parts[-1]["until_at"]))
    assert (first, last) == (NOW, NOW + timedelta(hours=24))
    assert len({part["tariff_period"] for part in parts}) > 2
    for part in parts:
        at = {"vehicle_id": "YQ-001", "energy_kwh": "100", "at": part["from_at"]}
        lines = (await client.get("/api/v1/quotes", params=at)).json()["lines"]
        asked = {line["kind"]: line["unit_price_yuan_per_kwh"] for line in lines}
        assert asked == {"energy": part["electricity_yuan_per_kwh"], "service": part["service_yuan_per_kwh"]}
    page = (await client.get("/console", headers={"Accept-Language": "en"})).text
    for price in (parts[0]["electricity_yuan_per_kwh"], parts[0]["service_yuan_per_kwh"]):
        assert price in page
    assert (await client.get("/api/v1/stations/other/prices")).status_code == 404
