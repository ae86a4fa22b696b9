"""The page in both languages, its buttons, and its live WebSocket."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from scheduler.types import StationMode
from swap.events import append_event
from swap.messages.answers import STORED, Answer, say
from swap.messages.events import NotFulfilled, SwapHeld, SwapRefused
from swap.messages.requests import Close, Confirm, Decide, DecisionKind, Request
from swap.station.requests import make_request
from swap.store import Store
from swap.tables import ControlRequest, SiteSample, Station, Swap
from tests.support.api.doors import NOW, busy_day


@pytest.fixture(autouse=True)
def _busy(store: Store) -> None:
    busy_day(store)


def hold_swap(store: Store) -> None:
    with store.transaction() as db:
        swap = db.get_one(Swap, "sw-0004")
        swap.phase, swap.hold_reason = "held", "fault"
        swap.hold_detail = {"missing": [{"name": "handbrake_on"}]}
        append_event(db, SwapHeld(reason="fault"), station_id=swap.station_id, at=NOW, swap_id=swap.id)


async def test_the_front_page_is_the_console_in_chinese(client: httpx.AsyncClient) -> None:
    front = await client.get("/")
    assert front.headers["location"] == "/console"
    page = await client.get("/console")
    assert page.status_code == 200
    assert '<html lang="zh-CN">' in page.text
    for text in ("阳泉矿区换电站", "电池仓位", "充电中", "等待低价时段", "旧电池入仓", "YQ-002", "170.30"):
        assert text in page.text, text


async def test_english_is_kept_in_a_cookie(client: httpx.AsyncClient) -> None:
    page = await client.get("/console", params={"lang": "en"})
    for text in ("Yangquan mine swap station", "Bays", "waiting for a cheaper hour", "Storing the spent pack"):
        assert text in page.text, text
    again = await client.get("/console")
    assert '<html lang="en">' in again.text
    assert not re.search(r"[一-鿿]", again.text.replace("中文", ""))


async def test_nothing_comes_from_outside(client: httpx.AsyncClient) -> None:
    page = await client.get("/console")
    assert re.findall(r"(?:src|href)=\"(?!/|\?)", page.text) == []
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert " on" + "click=" not in page.text


async def test_steps_before_now_and_after(client: httpx.AsyncClient) -> None:
    page = (await client.get("/console", params={"lang": "en"})).text
    steps = re.findall(r'<li class="(done|current sent|todo)\s*">([^<]+)', page)
    status = {name.strip(): state for state, name in steps}
    assert status["Lifting the spent pack"] == "done"
    assert status["Storing the spent pack"] == "current sent"
    assert status["Locking"] == "todo"


async def test_a_held_swap_calls_for_a_decision(client: httpx.AsyncClient, store: Store) -> None:
    hold_swap(store)
    page = (await client.get("/console", params={"lang": "en"})).text
    assert "waiting for a person" in page
    assert "not fulfilled: handbrake on" in page
    assert page.count('"kind": "decide"') == 3


async def test_a_refused_command_says_what_it_waits_for(client: httpx.AsyncClient, store: Store) -> None:
    with store.transaction() as db:
        swap = db.get_one(Swap, "sw-0004")
        swap.phase = "pending"
        missing = (
            NotFulfilled(name="curtain_clear", value=False, age_s=0.1),
            NotFulfilled(name="!gripper_loaded", value=True, age_s=0.1),
        )
        append_event(
            db,
            SwapRefused(state=swap.state, missing=missing),
            station_id=swap.station_id,
            at=NOW,
            swap_id=swap.id,
        )
    page = (await client.get("/console", params={"lang": "zh"})).text
    assert "未满足：光幕无遮挡, 非“夹具上有电池”" in page


async def test_a_held_station_asks_for_confirmation(client: httpx.AsyncClient, store: Store) -> None:
    with store.transaction() as db:
        station = db.get_one(Station, "yangquan-mine")
        station.mode, station.version = StationMode.HELD.value, station.version + 1
    page = (await client.get("/console", params={"lang": "en"})).text
    assert "The station is held" in page


async def test_text_from_outside_is_escaped(client: httpx.AsyncClient, store: Store) -> None:
    with store.transaction() as db:
        station = db.get_one(Station, "yangquan-mine")
        station.mode_reason, station.version = "<script>alert(1)</script>", station.version + 1
    page = (await client.get("/console")).text
    assert "<script>alert" not in page


async def test_a_button_needs_a_name_and_stores_a_request(client: httpx.AsyncClient) -> None:
    english = {"cookie": "lang=en"}
    form = {"kind": "decide", "swap_id": "sw-0004", "decision": "unwind", "name": ""}
    unnamed = await client.post("/console/requests", data=form, headers=english)
    assert "Enter your name first." in unnamed.text
    named = await client.post("/console/requests", data={**form, "name": "Operator A"}, headers=english)
    assert "Request 1 is stored." in named.text
    record = (await client.get("/api/v1/requests/1")).json()
    assert (record["kind"], record["requested_by"]) == ("decide", "Operator A")
    assert record["arguments"] == {"swap_id": "sw-0004", "decision": "unwind"}
    wrong = await client.post("/console/requests", data={"kind": "unlock", "name": "Operator A"})
    assert "bad" in wrong.text


async def test_a_fault_is_acknowledged_from_the_page(client: httpx.AsyncClient) -> None:
    fault_id = (await client.get("/api/v1/faults")).json()["items"][0]["fault_id"]
    await client.post(f"/console/faults/{fault_id}", data={"name": "王芳"})
    assert "知悉人 王芳" in (await client.get("/console")).text


async def test_a_fault_of_the_cell_offers_a_reset(client: httpx.AsyncClient) -> None:
    page = (await client.get("/console")).text
    (button,) = [json.loads(v) for v in re.findall(r"hx-vals='([^']*)'", page) if '"reset"' in v]
    assert button["lane_id"] == "L1"
    await client.post("/console/requests", data={**button, "name": "Operator A"})
    record = (await client.get("/api/v1/requests/1")).json()
    assert (record["kind"], record["arguments"]) == ("reset", {"lane_id": "L1"})


def answered(store: Store, request: Request, *parts: Answer) -> None:
    with store.station("yangquan-mine") as db:
        asked = make_request(db, station_id="yangquan-mine", request=request, name="Operator A", at=NOW)
        row = db.get_one(ControlRequest, asked.request_id)
        row.status, row.answered_at = "refused", NOW
        row.answer, row.answer_parts = say(parts), STORED.dump_python(parts, mode="json")
        db.add(row)


async def test_an_answer_is_said_in_the_language_of_the_page(client: httpx.AsyncClient, store: Store) -> None:
    trip = Answer("trip", {"lane_id": "L1", "fact": "estop_ok"})
    answered(store, Confirm(), Answer("still_tripped", {"trips": (trip,)}))
    answered(store, Close(), Answer("mode_forbids", {"mode_trigger": "close", "mode": "manual"}))
    asked = Decide(swap_id="sw-0004", decision=DecisionKind.UNWIND)
    answered(store, asked, Answer("not_possible", {"decision": "unwind", "swap_id": "sw-0004"}))
    chinese = (await client.get("/console")).text
    for text in (
        "仍未满足：L1: 急停正常；请先在设备处复位",
        "换电站处于“手动”时不允许“停止营业”",
        "处置 sw-0004 回退",
        "目前不能对换电 sw-0004 执行“回退”",
    ):
        assert text in chinese, text
    english = (await client.get("/console", params={"lang": "en"})).text
    assert "still not fulfilled: L1: e-stops released; reset it at the equipment first" in english
    record = (await client.get("/api/v1/requests/2")).json()
    assert record["answer"] == "close is not allowed while the station is manual"
    (part,) = record["answer_parts"]
    assert part == {"code": "mode_forbids", "values": {"mode_trigger": "close", "mode": "manual"}}


async def test_an_answer_of_before_answers_had_codes_is_shown_as_it_is(client: httpx.AsyncClient, store: Store) -> None:
    answered(store, Confirm(), Answer("going_on", {}))
    with store.transaction() as db:
        db.get_one(ControlRequest, 1).answer_parts = None
    assert "going on" in (await client.get("/console")).text


async def test_other_sites_cannot_press_buttons(client: httpx.AsyncClient) -> None:
    form = {"kind": "hold", "name": "Operator A"}
    foreign = await client.post("/console/requests", data=form, headers={"origin": "http://elsewhere"})
    assert foreign.status_code == 403
    own = await client.post("/console/requests", data=form, headers={"origin": "http://station"})
    assert own.status_code == 200


def test_the_page_is_told_of_changes(app: FastAPI, store: Store) -> None:
    with TestClient(app) as client, client.websocket_connect("/console/live?lang=en") as socket:
        first = socket.receive_json()
        assert (first["target"], first["swap"]) == ("#live", "innerMorph")
        assert "Storing the spent pack" in first["content"]
        chart = socket.receive_json()
        assert chart["whole"] is True
        assert len(chart["power"]) == 180

        hold_swap(store)
        assert "waiting for a person" in socket.receive_json()["content"]

        with store.transaction() as db:
            db.add(
                SiteSample(
                    station_id="yangquan-mine",
                    at=NOW + timedelta(minutes=1),
                    import_kw=700,
                    charge_kw=670,
                    limit_kw=1500,
                    ready_packs=1,
                    queue_length=3,
                )
            )
        assert "700 / 1,500 kW" in socket.receive_json()["content"]
        added = socket.receive_json()
        assert added["whole"] is False
        assert [row[1:] for row in added["power"]] == [[700, 670, 1500]]


def test_the_chart_is_in_station_time(app: FastAPI) -> None:
    with TestClient(app) as client, client.websocket_connect("/console/live") as socket:
        socket.receive_json()
        last_ms = socket.receive_json()["power"][-1][0]
    # 10:29 at the station, written as if it were UTC.
    assert last_ms == int((NOW + timedelta(hours=8, minutes=-1)).timestamp() * 1000)


def test_other_sites_cannot_listen(app: FastAPI) -> None:
    headers = {"origin": "http://elsewhere"}
    with (
        TestClient(app) as client,
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/console/live", headers=headers) as socket,
    ):
        socket.receive_json()


async def test_language_switch_and_json_are_well_formed(client: httpx.AsyncClient) -> None:
    page = (await client.get("/console", params={"lang": "en"})).text
    (rows,) = re.findall(r"data-power='([^']*)'", page)
    assert len(json.loads(rows)) == 180
    for values in re.findall(r"hx-vals='([^']*)'", page):
        assert "kind" in json.loads(values)
