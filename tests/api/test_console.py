"""The page in both languages, its buttons, and its live WebSocket."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import select
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from api.console.live import Shown
from battery_bms.config import PvPlantSection
from robotics.modbus_link.config import ModbusAddress
from robotics.modbus_link.quality import LinkQuality
from scheduler.types import StationMode
from swap.config.station_file import SiteStorageSection
from swap.events import append_event
from swap.messages.answers import STORED, Answer, say
from swap.messages.events import NotFulfilled, SwapHeld, SwapRefused
from swap.messages.requests import Close, Confirm, Decide, DecisionKind, DemandResponse, Request
from swap.station.life.database import DatabaseState
from swap.station.life.status import ControlBoard, ControlStatus
from swap.station.requests import make_request
from swap.store import Store
from swap.tables import Bay, ControllerLease, ControlRequest, FaultRow, SiteSample, Station, Swap
from tests.support.api import doors
from tests.support.api.doors import NOW, StoppedClock, busy_day, make_app
from tests.support.api.people import PIN

LOCAL = ("127.0.0.1", 50000)
"""The station's own machine, where the console is open."""


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
    asked = [json.loads(values) for values in re.findall(r"data-ask='([^']*)'", page)]
    assert [a["decision"] for a in asked if a["kind"] == "decide"] == ["continue", "unwind", "cancel"]


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


async def test_a_button_needs_a_sign_in_and_stores_a_request(client: httpx.AsyncClient, app: FastAPI) -> None:
    form = {"kind": "decide", "swap_id": "sw-0004", "decision": "unwind"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://station") as nobody:
        nobody.cookies.set("lang", "en")
        unnamed = await nobody.post("/console/requests", data=form)
    assert unnamed.json()["state"] == "failed"
    assert unnamed.json()["message"].startswith("Sign in first")
    client.cookies.set("lang", "en")
    without = await client.post("/console/requests", data=form)
    assert without.json() == {"state": "failed", "message": "This needs your PIN once more."}
    named = await client.post("/console/requests", data={**form, "pin": PIN})
    assert named.json() == {"state": "pending", "message": "Request 1 is stored.", "request_id": 1}
    record = (await client.get("/api/v1/requests/1")).json()
    assert (record["kind"], record["requested_by"]) == ("decide", "Operator A")
    assert record["arguments"] == {"swap_id": "sw-0004", "decision": "unwind"}
    wrong = await client.post("/console/requests", data={"kind": "unlock"})
    assert wrong.json()["state"] == "failed"


@pytest.mark.parametrize("name", [None, "", "  ", "N" * 500])
async def test_a_hold_is_stored_under_any_name(client: httpx.AsyncClient, app: FastAPI, name: str | None) -> None:
    """What is typed counts for nothing: who has signed in is named, else nobody."""
    form = {"kind": "hold"} | ({} if name is None else {"name": name})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://station") as nobody:
        said = (await nobody.post("/console/requests", data=form)).json()
        page = (await nobody.get("/console")).text
    own = (await client.post("/console/requests", data=form)).json()
    assert [said["state"], own["state"]] == ["pending", "pending"]
    records = [(await client.get(f"/api/v1/requests/{one['request_id']}")).json() for one in (said, own)]
    assert [(one["kind"], one["requested_by"]) for one in records] == [("hold", "-"), ("hold", "Operator A")]
    assert "未署名" in page


@pytest.mark.parametrize(("under_way_s", "state"), [(-5.0, "pending"), (4.0, "pending"), (11.0, "expired")])
async def test_a_press_that_came_late_is_not_stored(client: httpx.AsyncClient, under_way_s: float, state: str) -> None:
    pressed_ms = (time.monotonic() - under_way_s) * 1000
    said = (await client.post("/console/requests", data={"kind": "hold", "pressed_ms": pressed_ms})).json()
    assert said["state"] == state
    if state == "expired":
        assert (await client.get("/api/v1/requests/1")).status_code == 404
        return
    record = (await client.get("/api/v1/requests/1")).json()
    asked_s = (NOW - datetime.fromisoformat(record["requested_at"])).total_seconds()
    # The deadline runs from the press, which is real seconds ago on a clock that stands.
    assert max(0.0, under_way_s) <= asked_s <= max(0.0, time.monotonic() - pressed_ms / 1000)


async def test_an_open_request_without_an_answer_is_told(client: httpx.AsyncClient, clock: StoppedClock) -> None:
    await client.post("/console/requests", data={"kind": "hold"})
    assert "待处理" in (await client.get("/console")).text
    clock.at = NOW + timedelta(seconds=14)
    page = (await client.get("/console", params={"lang": "en"})).text  # a rendering of its own, not the one before
    assert 'data-status="late"' in page
    assert "no answer in time" in page


async def test_a_fault_is_acknowledged_from_the_page(client: httpx.AsyncClient) -> None:
    fault_id = (await client.get("/api/v1/faults")).json()["items"][0]["fault_id"]
    await client.post(f"/console/faults/{fault_id}")
    assert "知悉人 Operator A" in (await client.get("/console")).text


async def test_a_fault_of_the_cell_offers_a_reset(client: httpx.AsyncClient) -> None:
    page = (await client.get("/console")).text
    (button,) = [json.loads(v) for v in re.findall(r"data-ask='([^']*)'", page) if '"reset"' in v]
    assert button["lane_id"] == "L1"
    await client.post("/console/requests", data={**button, "pin": PIN})
    record = (await client.get("/api/v1/requests/1")).json()
    assert (record["kind"], record["arguments"]) == ("reset", {"lane_id": "L1"})


def answered(store: Store, request: Request, *parts: Answer) -> None:
    with store.station("yangquan-mine") as db:
        asked = make_request(db, station_id="yangquan-mine", request=request, name="Operator A", at=NOW)
        row = db.get_one(ControlRequest, asked.request_id)
        row.status, row.answered_at = "refused", NOW
        row.answer, row.answer_parts = say(parts), STORED.dump_python(parts, mode="json")
        db.add(row)


async def test_a_call_of_demand_response_is_shown_in_station_time_and_kw(
    client: httpx.AsyncClient, store: Store
) -> None:
    begin = datetime(2026, 6, 12, 17, 12, tzinfo=UTC)
    called = DemandResponse(programme="p", from_at=begin, until_at=begin + timedelta(minutes=20), asked_kw=20.0)
    answered(store, called, Answer("dr_declined", {"objections": (Answer("dr_objection", {"objection": "overlaps"}),)}))
    page = (await client.get("/console", params={"lang": "en"})).text
    assert "Answer a call of demand response p 2026-06-13 01:12:00 2026-06-13 01:32:00 20 kW" in page
    assert "declined: another accepted event runs at the same time" in page
    assert "同一时间已有接受的事件" in (await client.get("/console", params={"lang": "zh-CN"})).text


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
    form = {"kind": "hold"}
    foreign = await client.post("/console/requests", data=form, headers={"origin": "http://elsewhere"})
    assert foreign.status_code == 403
    own = await client.post("/console/requests", data=form, headers={"origin": "http://station"})
    assert own.status_code == 200


def told(socket: WebSocketTestSession, what: str) -> dict[str, Any]:
    """The next message that has `what` in it."""
    while True:
        message = socket.receive_json()
        if what in message:
            assert isinstance(message, dict)
            return message


def test_the_page_hears_a_sign_of_life_every_second(app: FastAPI) -> None:
    with TestClient(app, client=LOCAL) as client, client.websocket_connect("/console/live") as socket:
        told(socket, "content")  # read before, so that there is an age
        beats = [told(socket, "beat")["beat"] for _ in range(3)]
    assert 0.9 < (beats[2]["sent_ms"] - beats[1]["sent_ms"]) / 1000 < 2.0
    assert beats[2]["age_ms"] < 2000


def test_the_page_is_told_of_changes(app: FastAPI, store: Store) -> None:
    with TestClient(app, client=LOCAL) as client, client.websocket_connect("/console/live?lang=en") as socket:
        first = told(socket, "content")
        assert first["target"] == "#live"
        assert "Storing the spent pack" in first["content"]
        chart = told(socket, "power")
        assert chart["whole"] is True
        assert len(chart["power"]) == 180

        hold_swap(store)
        assert "waiting for a person" in told(socket, "content")["content"]

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
        assert "700 / 1,500 kW" in told(socket, "content")["content"]
        added = told(socket, "power")
        assert added["whole"] is False
        assert [row[1:] for row in added["power"]] == [[700, 670, 1500]]


def test_a_change_sends_the_cards_that_changed(app: FastAPI, store: Store) -> None:
    """A14: it was 10 to 14 kB/s for each page that was open."""
    with TestClient(app, client=LOCAL) as client, client.websocket_connect("/console/live?lang=en") as socket:
        first = told(socket, "cards")
        assert first["cards"] is False
        with store.transaction() as db:
            bay = db.get_one(Bay, "yangquan-mine:A5")
            bay.charge_kw = 188.0
            db.get_one(Station, "yangquan-mine").version += 1
        second = told(socket, "cards")
        assert second["cards"] is True
        assert "188 kW" in second["content"]
        sent = set(re.findall(r'<(?:article|section|div) [^>]*?id="([^"]+)"', second["content"]))
        assert "bay-A5" in sent
        assert sent <= {"bay-A5", "summary", "bar-now", "site-power"}
        assert len(second["content"]) < len(first["content"]) / 4


def test_a_page_whose_frame_has_changed_is_sent_whole() -> None:
    shown = Shown()
    one = '<p>a</p><section id="s"><div id="in">1</div></section><article class="x" id="b">2</article>'
    assert shown.changed(one) == (True, one)
    assert shown.changed(one) == (False, "")
    other = one.replace("1", "3")
    assert shown.changed(other) == (False, '<section id="s"><div id="in">3</div></section>')
    more = other + '<article id="c">4</article>'
    assert shown.changed(more) == (True, more)
    assert shown.changed(more.replace("<p>a", "<p>b")) == (True, more.replace("<p>a", "<p>b"))


def test_the_chart_is_in_station_time(app: FastAPI) -> None:
    with TestClient(app, client=LOCAL) as client, client.websocket_connect("/console/live") as socket:
        last_ms = told(socket, "power")["power"][-1][0]
    # 10:29 at the station, written as if it were UTC.
    assert last_ms == int((NOW + timedelta(hours=8, minutes=-1)).timestamp() * 1000)


def test_other_sites_cannot_listen(app: FastAPI) -> None:
    headers = {"origin": "http://elsewhere"}
    with (
        TestClient(app, client=LOCAL) as client,
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/console/live", headers=headers) as socket,
    ):
        socket.receive_json()


async def test_language_switch_and_json_are_well_formed(client: httpx.AsyncClient) -> None:
    page = (await client.get("/console", params={"lang": "en"})).text
    (rows,) = re.findall(r"data-power='([^']*)'", page)
    assert len(json.loads(rows)) == 180
    asked = re.findall(r"data-ask='([^']*)'", page)
    assert asked
    for values in asked:
        assert "kind" in json.loads(values)


async def test_a_pack_that_is_not_heard_is_not_shown_as_good(
    client: httpx.AsyncClient, clock: StoppedClock, store: Store
) -> None:
    clock.at = NOW + timedelta(minutes=25)  # values that stay the same are not written again
    heard = (await client.get("/console", params={"lang": "en"})).text
    assert "<b>1 / 8</b><span>packs ready / bays" in heard
    card = re.search(r'<article id="bay-A1".*?</article>', heard, re.DOTALL)
    assert card is not None
    assert "95.0" in card[0]
    with store.transaction() as db:
        db.get_one(Bay, "yangquan-mine:A1").reading_fresh = False
        db.get_one(Station, "yangquan-mine").version += 1
    clock.at = NOW + timedelta(minutes=25, seconds=5)
    page = (await client.get("/console", params={"lang": "zh"})).text  # a rendering of its own
    assert "<b>0 / 8</b>" in page
    card = re.search(r'<article id="bay-A1".*?</article>', page, re.DOTALL)
    assert card is not None
    assert ("95.0" in card[0], "24 °C" in card[0], "25:05 前的读数" in card[0]) == (False, False, True)


async def test_where_no_controller_runs_no_pack_is_shown_as_good(client: httpx.AsyncClient, store: Store) -> None:
    with store.transaction() as db:
        for lease in db.exec(select(ControllerLease)):
            lease.heartbeat_at -= timedelta(hours=1)
    assert "<b>0 / 8</b>" in (await client.get("/console", params={"lang": "en"})).text


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_no_code_is_shown_raw(client: httpx.AsyncClient, store: Store, lang: str) -> None:
    for reason, bay in (
        ("pack_identity_mismatch", "A1"),
        ("neighbour_blocked", "A3"),
        ("not in the station file", "A4"),
    ):
        with store.transaction() as db:
            row = db.get_one(Bay, f"yangquan-mine:{bay}")
            row.blocked, row.blocked_reason = True, reason
    hold_swap(store)
    with store.transaction() as db:
        swap = db.get_one(Swap, "sw-0004")
        swap.hold_reason, swap.hold_detail = "mode", {"mode": "maintenance", "fault": "command_failed"}
        fault = db.get_one(FaultRow, 1)
        fault.source = "gripper:L1"
        station = db.get_one(Station, "yangquan-mine")
        station.mode_reason, station.version = "database_lost", station.version + 1
    place = Answer("place", {"where": "bay:A3", "on_record": "empty", "seen": "occupied"})
    answered(store, Confirm(), Answer("places_blocked", {"places": (place,)}))
    page = (await client.get("/console", params={"lang": lang})).text
    body = page[page.index('<div id="live">') :]
    shown = re.sub(r"<[^>]*>", " ", body) + " ".join(re.findall(r"(?:title|aria-label|data-sure)=\"([^\"]*)\"", body))
    assert re.findall(r"\b[a-z]+_[a-z_]+\b|\b(?:lane|bay|gripper):\w+", shown) == []
    if lang == "zh":
        assert re.findall(r"\b[a-z]{4,}\b", shown) == []


async def test_what_moves_a_robot_is_disabled_with_its_reason(client: httpx.AsyncClient, store: Store) -> None:
    hold_swap(store)
    with store.transaction() as db:
        db.delete(db.get_one(ControllerLease, "yangquan-mine"))
        db.get_one(Station, "yangquan-mine").version += 1
    page = (await client.get("/console", params={"lang": "en"})).text
    buttons = re.findall(r'<button[^>]*class="[^"]*motion[^>]*>', page)
    assert [' disabled title="nobody runs this station"' in button for button in buttons] == [True, True]
    assert "No controller" in re.findall(r'<div id="bar-now" data-tone="bad"[^>]*>(.*?)</div>', page, re.DOTALL)[0]


async def test_a_held_station_goes_on_in_two_steps_unless_a_trip_stands(
    client: httpx.AsyncClient, store: Store
) -> None:
    with store.transaction() as db:
        station = db.get_one(Station, "yangquan-mine")
        station.mode, station.version = StationMode.HELD.value, station.version + 1
    page = (await client.get("/console", params={"lang": "en"})).text
    (button,) = re.findall(r'<button[^>]*class="[^"]*motion[^>]*>', page)
    assert "Robots move: " in button
    assert "disabled" not in button
    with store.transaction() as db:
        fault = db.get_one(FaultRow, 1)
        fault.code, fault.level = 1001, 3
        db.get_one(Station, "yangquan-mine").version += 1
    page = (await client.get("/console", params={"lang": "zh"})).text
    (button,) = re.findall(r'<button[^>]*class="[^"]*motion[^>]*>', page)
    assert "disabled" in button
    assert "急停" in button


async def test_what_is_waited_for_is_on_the_page_and_in_the_state(client: httpx.AsyncClient, store: Store) -> None:
    """S15: as the controller has published it; nothing is guessed, and nothing stays once no controller runs."""
    until_at = (NOW + timedelta(minutes=25)).isoformat()
    with store.transaction() as db:
        station = db.get_one(Station, "yangquan-mine")
        station.waiting = {
            "truck:sw-0011": {"cause": "not_charged", "names": ["lfp"], "number": 1, "until_at": until_at},
            "truck:sw-0010": {"cause": "kind_awaited", "names": ["YQ-020"], "number": 1, "until_at": None},
            "lane:L1": {"cause": "motion", "names": [], "number": 9, "until_at": until_at},
            "ready_at": {"A3": until_at},
        }
        station.version += 1
    page = (await client.get("/console", params={"lang": "en"})).text
    for text in (
        "No pack is charged yet: lfp. Expected about 10:55.",
        "Trucks further ahead wait for the same kind of pack: YQ-020.",
        "The cell carries out command 9. At the latest 10:55:00.",
        "ready about 10:55",
        "next about 10:55",
        "Nobody has said what it waits for.",
    ):
        assert text in page, text
    state = (await client.get("/api/v1/stations/yangquan-mine/state")).json()
    # In the order in which the controller serves them; one that it has not seen yet comes last.
    assert [entry["swap_id"] for entry in state["queue"]] == ["sw-0011", "sw-0010", "sw-0012"]
    assert state["queue"][0]["waits_for"] == {
        "cause": "not_charged",
        "names": ["lfp"],
        "number": 1,
        "until_at": state["bays"][2]["ready_at"],
    }
    assert state["queue"][2]["waits_for"] is None
    with store.transaction() as db:
        db.delete(db.get_one(ControllerLease, "yangquan-mine"))
        db.get_one(Station, "yangquan-mine").version += 1
    page = (await client.get("/console", params={"lang": "zh"})).text
    assert "预计约" not in page
    state = (await client.get("/api/v1/stations/yangquan-mine/state")).json()
    assert [entry["waits_for"] for entry in (*state["queue"], *state["lanes"])] == [None] * 4


async def test_links_are_on_the_page(store: Store) -> None:
    """S18."""
    board = ControlBoard(lambda: 50.0)
    good, poor = LinkQuality(True, 1, 1, 900, 0, 0.0, 0.012), LinkQuality(True, 97, 12, 900, 90, 0.1, 0.2)
    status = ControlStatus(50.0, NOW, StationMode.AUTOMATIC, "", DatabaseState.OK, "", None, 0.0, 0.1)
    board.publish(replace(status, devices={"cell L1": poor, "rack-1": good, "site meter": good}))
    transport = httpx.ASGITransport(make_app(store, control=board))
    async with httpx.AsyncClient(transport=transport, base_url="http://station") as client:
        page = (await client.get("/console", params={"lang": "zh"})).text
    rows = re.findall(
        r'<tr class="(good|poor)"><td>([^<]*)</td>.*?(\d+)</td>\s*<td class="n">([^<]*)<', page, re.DOTALL
    )
    assert rows == [
        ("poor", "通道 L1 工作区", "12", "10.0 %"),
        ("good", "rack-1", "1", "0.0 %"),
        ("good", "站级电表", "1", "0.0 %"),
    ]


async def test_sun_and_storage_are_shown_with_the_time_of_their_sample(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = doors.station_config()
    pv = PvPlantSection(address=ModbusAddress(port=15901), peak_kw=400)
    storage = SiteStorageSection(address=ModbusAddress(port=15902), energy_kwh=430, power_kw=200)
    site = config.site.model_copy(update={"pv": pv, "storage": storage})
    monkeypatch.setattr(doors, "station_config", lambda: config.model_copy(update={"site": site}))

    async def looked() -> str:
        # A door of its own: one asks the database only so often whether anything has changed.
        transport = httpx.ASGITransport(app=make_app(store), client=LOCAL)
        async with httpx.AsyncClient(transport=transport, base_url="http://station") as client:
            return (await client.get("/console?lang=en")).text

    assert "storage silent" in await looked()
    with store.transaction() as db:
        db.add(
            SiteSample(
                station_id="yangquan-mine",
                at=NOW,
                import_kw=700,
                charge_kw=670,
                limit_kw=1500,
                pv_kw=321,
                storage_kw=-150,
                storage_kwh=215,
                ready_packs=1,
                queue_length=3,
            )
        )
    shown = await looked()
    at = NOW.astimezone(config.station.zone).strftime("%H:%M:%S")
    assert "sun 321 kW" in shown
    assert "storage gives 150 kW, 215 kWh" in shown
    assert f"photovoltaics and storage · as of {at}" in shown
