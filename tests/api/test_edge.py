"""Who may speak to the server, in which characters, how much; and how its own mistakes are told."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from api.app import create_app
from api.edge.hosts import KnownHosts, split_host
from api.problems import KINDS
from api.settings import Settings
from swap.config.loading import load_station
from swap.paging import make_cursor
from swap.register.persons import UNNAMED
from swap.store import Store
from tests.support.api.doors import NOW, STATION_FILE, StoppedClock, busy_day
from tests.support.api.people import administrator

PROBLEM = "application/problem+json"
NAMELESS = "/api/v1/stations"


@pytest.fixture(autouse=True)
def _busy(store: Store) -> None:
    busy_day(store)


def told(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem of an answer."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    problem: dict[str, Any] = answer.json()
    assert (problem["code"], problem["type"]) == (code, f"/api/v1/problems#{code}")
    assert KINDS[code].status == status
    return problem


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("Station:80", ("station", "80")),
        ("localhost", ("localhost", "")),
        ("[::1]:8080", ("::1", "8080")),
        ("[::1]", ("::1", "")),
        ("::1", ("::1", "")),
        ("name.", ("name", "")),
    ],
)
def test_a_host_is_name_and_port(host: str, parts: tuple[str, str]) -> None:
    assert split_host(host) == parts


def test_known_hosts() -> None:
    """A1: names of the loopback, the bound one, the listed ones, and the address that the connection came to."""
    hosts = KnownHosts("10.0.0.7", ["mine.example", "proxy.example:8443"])
    known = ("localhost:1", "127.0.0.1:8080", "[::1]:8080", "10.0.0.7", "mine.example:99", "proxy.example:8443")
    assert [hosts.knows(host, "10.0.0.7") for host in known] == [True] * len(known)
    unknown = (
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "proxy.example:1",
        "",
        None,
        "192.0.2.1",
    )
    assert [hosts.knows(host, "10.0.0.7") for host in unknown] == [False] * len(unknown)
    assert KnownHosts("0.0.0.0").knows("192.0.2.9:8080", "192.0.2.9")


@pytest.mark.parametrize("path", ["/api/v1/stations", "/console", "/health", "/console/static/console.css"])
async def test_another_name_that_resolves_here_is_refused(client: httpx.AsyncClient, path: str) -> None:
    """A1: DNS rebinding: the browser says the attacker's name in Host."""
    told(await client.get(path, headers={"host": "evil.example:8080"}), 421, "unknown_host")
    assert (await client.get(path, headers={"host": "localhost:8080"})).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://station:81", "file://station", "station"])
async def test_a_page_of_another_site_is_refused(client: httpx.AsyncClient, origin: str) -> None:
    """A1: Origin, for what reads and what asks."""
    body = {"kind": "hold", "name": "Operator A"}
    told(await client.post("/api/v1/requests", json=body, headers={"origin": origin}), 403, "foreign_origin")
    told(await client.get("/api/v1/stations", headers={"origin": origin}), 403, "foreign_origin")
    own = await client.post("/api/v1/requests", json=body, headers={"origin": "http://station"})
    assert own.status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
)
def test_a_websocket_of_another_page_is_refused(app: FastAPI, headers: dict[str, str]) -> None:
    """A1: the live feed."""
    with TestClient(app, client=("127.0.0.1", 50000)) as browser:
        with pytest.raises(WebSocketDisconnect) as closed, browser.websocket_connect("/console/live", headers=headers):
            pass
        assert closed.value.code == 1008
        with browser.websocket_connect("/console/live", headers={"origin": "http://testserver"}) as socket:
            assert socket.receive_text()


SURROGATE = '{"vehicle_id": "\\ud800"}'


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (SURROGATE, "unfit_text", "vehicle_id"),
        ('{"vehicle_id": "a\\u0000b"}', "unfit_text", "vehicle_id"),
        ('{"vehicle_id": "a\\u001b[2J"}', "unfit_text", "vehicle_id"),
        ('{"vehicle_id": "YQ-001", "\\udfff": 1}', "unfit_text", "\\udfff"),
        ('{"vehicle_id": "YQ-001", "x": ' + "[" * 900 + "]" * 900 + "}", "not_valid", "x.0.0"),
        ("[" * 60_000, "not_valid", "body"),
    ],
)
async def test_texts_that_no_medium_carries_are_refused(
    client: httpx.AsyncClient, body: str, code: str, field: str
) -> None:
    """A2: lone surrogates, NUL, control characters, depth."""
    answer = await client.post("/api/v1/swaps", content=body, headers={"content-type": "application/json"})
    assert told(answer, 422, code)["problems"][0]["field"] == field


@pytest.mark.parametrize("body", ["{", "NaN", '{"a": Infinity}', '{"a": ' + "9" * 5000 + "}", b"\xff\xfe\xfd"])
async def test_what_is_no_json_is_told(client: httpx.AsyncClient, body: str | bytes) -> None:
    """A2: also numbers that JSON has not, and bytes that are no text."""
    answer = await client.post("/api/v1/swaps", content=body, headers={"content-type": "application/json"})
    told(answer, 400, "invalid_json")


@pytest.mark.parametrize(
    "path",
    [
        "swaps/%00",
        "bookings/a%00b",
        "packs?kind=%00",
        "events?swap_id=a%00",
        "bills?%00=1",
        "packs/%1b[2J",
        "events?kind=%C2%85",
    ],
)
async def test_addresses_hold_no_control_characters(client: httpx.AsyncClient, path: str) -> None:
    """A2: paths, filters and their names."""
    told(await client.get(f"/api/v1/{path}"), 422, "unfit_text")


@pytest.mark.parametrize(
    "position",
    [
        "9999-12-31T23:59:59-12:00|a",
        "2026-01-01T00:00:00|a",
        "2026-01-01T00:00:00+00:00|a\0b",
        "x|y",
        "2026-01-01T00:00:00+00:00|" + "a" * 97,
    ],
)
async def test_only_our_cursors_are_read(client: httpx.AsyncClient, position: str) -> None:
    """A2: a cursor is one that this program made."""
    import base64

    cursor = base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")
    for path in ("swaps", "bookings", "bills"):
        answer = await client.get(f"/api/v1/{path}", params={"cursor": cursor})
        assert told(answer, 422, "not_valid")["problems"][0]["field"] == "cursor"
        assert (await client.get(f"/api/v1/{path}", params={"cursor": make_cursor(NOW, "a")})).status_code == 200


@pytest.mark.parametrize("number", ["0", "-1", str(2**31), str(2**63), "9" * 400, "1e3", "x"])
async def test_numbers_fit_a_column(client: httpx.AsyncClient, number: str) -> None:
    """A2: one integer type."""
    told(await client.get(f"/api/v1/requests/{number}"), 422, "not_valid")
    told(await client.post(f"/api/v1/faults/{number}/acknowledge", json={"name": "A"}), 422, "not_valid")
    told(await client.post(f"/console/faults/{number}", data={"name": "A"}), 422, "not_valid")


async def test_forms_hold_no_control_characters(client: httpx.AsyncClient) -> None:
    """A2: the console's own forms."""
    told(await client.post("/console/requests", data={"kind": "reset", "lane_id": "a\0b"}), 422, "unfit_text")
    told(await client.post("/console/requests", data={"kind": "decide", "decision": "\x1b[2J"}), 422, "unfit_text")


@pytest.mark.parametrize("start", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "1999-12-31T23:59:59Z"])
async def test_instants_are_ones_that_everybody_can_count_with(client: httpx.AsyncClient, start: str) -> None:
    """A2: an instant beyond what a clock can hold."""
    body = {"vehicle_id": "YQ-001", "window_start_at": start, "window_end_at": start}
    assert "2200-01-01" in told(await client.post("/api/v1/bookings", json=body), 422, "not_valid")["detail"]


@pytest.mark.parametrize("path", ["bills?payer=x&from=2026", "stations?x=1", "swaps/sw-0001?a=b", "faults?opened=true"])
async def test_unknown_parameters_are_refused(client: httpx.AsyncClient, path: str) -> None:
    """A4: a filter that is not known would be ignored, and its answer be taken for filtered."""
    problem = told(await client.get(f"/api/v1/{path}"), 422, "not_valid")
    assert problem["problems"][0]["message"].startswith("no such parameter; there are")


async def test_a_mistake_of_the_program_has_a_number_that_the_log_has_too(
    app: FastAPI, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A2: every 500 is a problem."""

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("a mistake")

    with caplog.at_level(logging.ERROR):
        problem = told(await client.get("/broken"), 500, "internal_error")
    assert len(problem["incident"]) == 12
    assert problem["incident"] in problem["detail"]
    assert f"incident {problem['incident']}: GET /broken" in caplog.text
    assert "ZeroDivisionError: a mistake" in caplog.text
    assert "ZeroDivisionError" not in json.dumps(problem)


async def test_a_body_has_a_limit(client: httpx.AsyncClient) -> None:
    """D4: announced or not."""
    large = b" " * 1_000_001

    async def parts() -> Any:
        yield large[:600_000]
        yield large[600_000:]

    for content in (large, parts()):
        answer = await client.post("/api/v1/swaps", content=content, headers={"content-type": "application/json"})
        told(answer, 413, "body_too_large")
        assert answer.headers["connection"] == "close"


async def test_problems_are_told_in_the_readers_language(client: httpx.AsyncClient) -> None:
    """A3: title, detail and each value; codes stay."""
    chinese = {"accept-language": "fr, zh-CN;q=0.9, en;q=0.5"}
    missing = await client.get("/api/v1/swaps/none", headers=chinese)
    problem = told(missing, 404, "not_found")
    assert (problem["title"], problem["detail"]) == ("未找到", "没有换电 'none'")
    assert missing.headers["content-language"] == "zh-CN"
    wrong = await client.post("/api/v1/bookings", json={"vehicle_id": "X" * 30}, headers=chinese)
    assert told(wrong, 422, "not_valid")["problems"][0]["message"] == "最多 20 个字符"
    open_swap = await client.post("/api/v1/swaps", json={"vehicle_id": "YQ-002"}, headers=chinese)
    assert "未结束的换电" in told(open_swap, 409, "swap_open")["detail"]
    english = told(await client.get("/api/v1/swaps/none"), 404, "not_found")
    assert english["detail"] == "no swap 'none'"


@pytest.mark.parametrize("name", ["controller", " Controller ", "API", "commerce", "person:pe-1", "system"])
async def test_nobody_is_called_like_a_machine(client: httpx.AsyncClient, name: str) -> None:
    """A7: reserved names are refused, but a hold goes through without one."""
    confirm = await client.post("/api/v1/requests", json={"kind": "confirm", "name": name})
    assert told(confirm, 422, "not_valid")["problems"][0]["field"] == "name"
    fault = (await client.get("/api/v1/faults")).json()["items"][0]["fault_id"]
    told(await client.post(f"/api/v1/faults/{fault}/acknowledge", json={"name": name}), 422, "not_valid")
    held = await client.post("/api/v1/requests", json={"kind": "hold", "name": name})
    assert (held.status_code, held.json()["requested_by"]) == (202, "Operator A")


@pytest.fixture
def listed(store: Store) -> FastAPI:
    """An app whose station file lists the people who may ask."""
    config = load_station(STATION_FILE)
    operation = config.operation.model_copy(update={"person_names": ("Operator A", "王  明")})
    config = config.model_copy(update={"operation": operation})
    settings = Settings(station_file=STATION_FILE, database_url=store.url, hosts=("station",))
    return create_app(store, config, StoppedClock(), settings=settings)


async def test_only_listed_people_ask_where_a_list_is_given(listed: FastAPI, store: Store) -> None:
    """A7: a hold goes through whoever asks for it."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(listed), base_url="http://station") as client:
        for name in ("Operator A", "王 明"):
            headers = administrator(store, name)
            asked = await client.post("/api/v1/requests", json={"kind": "confirm"}, headers=headers)
            assert (asked.status_code, asked.json()["requested_by"]) == (202, name)
        headers = administrator(store, "Operator B")
        refused = await client.post("/api/v1/requests", json={"kind": "confirm"}, headers=headers)
        assert "operation.person_names" in told(refused, 422, "not_valid")["detail"]
        held = await client.post("/api/v1/requests", json={"kind": "hold"}, headers=headers)
        assert (held.status_code, held.json()["requested_by"]) == (202, "Operator B")
        for name in ("Operator B", "", "a\0b", "x" * 300):
            pressed = (await client.post("/console/requests", data={"kind": "hold", "name": name})).json()
            assert pressed["state"] == "pending"
            shown = await client.get(f"/api/v1/requests/{pressed['request_id']}", headers=headers)
            assert (shown.json()["kind"], shown.json()["requested_by"]) == ("hold", UNNAMED)


async def test_the_journal_tells_people_machines_and_the_controller_apart(
    client: httpx.AsyncClient, store: Store
) -> None:
    """A7: whatever somebody is called."""
    fault = (await client.get("/api/v1/faults")).json()["items"][0]["fault_id"]
    await client.post(f"/api/v1/faults/{fault}/acknowledge", headers=administrator(store, "Controller A"))
    await client.post("/api/v1/swaps", json={"vehicle_id": "YQ-030"})
    events = (await client.get("/api/v1/events", params={"limit": 500})).json()["items"]
    kinds = {event["actor"]: event["actor_kind"] for event in events}
    machines = {"api": "machine", "station_file": "machine"}
    assert kinds == machines | {"controller": "controller", "Controller A": "person"}


async def test_every_kind_of_problem_is_listed(client: httpx.AsyncClient) -> None:
    """A3: the codes, in both languages."""
    for language, title in (("en", "Not found"), ("zh", "未找到")):
        answer = await client.get("/api/v1/problems", headers={"accept-language": language})
        kinds = {kind["code"]: (kind["status"], kind["title"]) for kind in answer.json()["items"]}
        assert kinds["not_found"] == (404, title)
        assert set(kinds) == set(KINDS)


async def test_lists_leave_timelines_out_and_are_filtered_by_time(client: httpx.AsyncClient) -> None:
    """A4: `expand`, `from`, `to`."""
    plain = (await client.get("/api/v1/swaps")).json()["items"]
    whole = (await client.get("/api/v1/swaps", params={"expand": "timeline"})).json()["items"]
    assert {len(swap["timeline"]) for swap in plain} == {0}
    assert max(len(swap["timeline"]) for swap in whole) > 0
    told(await client.get("/api/v1/swaps", params={"expand": "everything"}), 422, "not_valid")
    for path, field in (("swaps", "arrived_at"), ("bills", "issued_at"), ("faults", "raised_at"), ("events", "at")):
        items = (await client.get(f"/api/v1/{path}", params={"limit": 500})).json()["items"]
        moments = sorted(item[field] for item in items)
        middle = moments[len(moments) // 2]
        later = (await client.get(f"/api/v1/{path}", params={"from": middle, "limit": 500})).json()["items"]
        earlier = (await client.get(f"/api/v1/{path}", params={"to": middle, "limit": 500})).json()["items"]
        assert sorted(item[field] for item in [*earlier, *later]) == moments, path
        assert min(item[field] for item in later) == middle
        none = await client.get(f"/api/v1/{path}", params={"from": "2190-01-01T00:00:00Z"})
        assert none.json()["items"] == []
    naive = await client.get("/api/v1/bookings", params={"from": "2026-01-01"})
    assert told(naive, 422, "not_valid")["problems"][0]["field"] == "from"


async def test_what_is_large_is_compressed_and_files_never_change(client: httpx.AsyncClient) -> None:
    """A14: gzip, and addresses that bear the mark of their content."""
    answer = await client.get("/api/v1/packs", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    page = (await client.get("/console")).text
    files = re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page)
    assert len(files) == 5
    for file in files:
        given = await client.get(file, headers={"accept-encoding": "gzip"})
        assert given.status_code == 200
        assert given.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert given.headers.get("content-encoding", "gzip") == "gzip"
    assert (await client.get("/console/static/console.css")).headers["cache-control"] == "no-cache"
