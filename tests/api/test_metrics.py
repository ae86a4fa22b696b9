"""What Prometheus reads, and the id that a request has in its answer, its problem and the log."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from api.logs import configure_logging
from scheduler.types import StationMode
from swap.identity.accounts import create_api_key
from swap.station.life.database import DatabaseState
from swap.station.life.status import ControlBoard, ControlStatus
from swap.store import Store
from tests.support.api.doors import NOW, StoppedClock, make_app
from tests.support.api.people import administrator

Figures = dict[tuple[str, ...], float]


async def figures(client: httpx.AsyncClient) -> Figures:
    """Every sample by its name and the values of its labels."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


async def test_requests_and_the_station_are_counted(client: httpx.AsyncClient, busy_store: Store) -> None:
    for path in ("/api/v1/stations", "/api/v1/stations", "/api/v1/swaps/none", "/nowhere"):
        await client.get(path)
    found = await figures(client)
    assert found["swap_http_requests_total", "stations", "200"] == 2
    assert found["swap_http_requests_total", "swap", "404"] == 1
    assert found["swap_http_requests_total", "none", "404"] == 1
    assert found["swap_http_request_seconds_count", "stations"] == 2
    assert found["swap_swaps_ended_total", "completed"] == 2
    assert found["swap_swaps_ended_total", "returned"] == 1
    assert found["swap_faults_open", "2"] == 2
    availability = (await client.get("/api/v1/stations/yangquan-mine/availability")).json()
    assert availability["ready_packs"] == {kind[1]: n for kind, n in found.items() if kind[0] == "swap_ready_packs"}
    assert [one for one in StationMode if found["swap_station_mode", one.value]] == [availability["mode"]]
    (power,) = (await client.get("/api/v1/stations/yangquan-mine/power", params={"limit": 1})).json()["items"]
    assert found["swap_site_import_kw",] == power["import_kw"]
    assert found["swap_site_limit_kw",] == power["limit_kw"]
    page = (await client.get("/api/v1/events", params={"limit": 500})).json()
    assert found["swap_journal_head_seq_total",] == page["items"][-1]["event_id"]
    assert ("swap_control_loop_lag_seconds",) not in found, "no controller runs in this process"


async def test_the_controllers_own_word_is_told(store: Store) -> None:
    board = ControlBoard(lambda: 60.0)
    status = ControlStatus(59.5, NOW, StationMode.AUTOMATIC, "", DatabaseState.SLOW, "", 0.4, 0.02, 0.1)
    board.publish(status)
    transport = httpx.ASGITransport(make_app(store, StoppedClock(), board))
    async with httpx.AsyncClient(transport=transport, base_url="http://station", headers=administrator(store)) as http:
        found = await figures(http)
    assert found["swap_control_status_age_seconds",] == pytest.approx(0.5)
    assert found["swap_control_loop_lag_seconds",] == pytest.approx(0.02)
    assert found["swap_control_commit_wait_seconds",] == pytest.approx(0.4)
    assert found["swap_control_word", "database_slow"] == 1
    assert found["swap_control_word", "running"] == 0


async def test_a_key_with_its_scope_reads_them_and_nobody_else(app: FastAPI, store: Store) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://station") as http:
        assert (await http.get("/metrics")).status_code == 401
        for scope, status in (("metrics:read", 200), ("stations:read", 403)):
            with store.identity() as db:
                _, key = create_api_key(
                    db,
                    name=scope,
                    organisation_id="station-operator",
                    roles=("supervisor",),
                    scopes=(scope,),
                    actor="command_line",
                    at=datetime(2026, 1, 1, tzinfo=UTC),
                )
            answer = await http.get("/metrics", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == status, answer.text


async def test_a_request_has_an_id(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = await client.get("/api/v1/swaps/none", headers={"X-Request-ID": "caller-0001"})
    assert given.headers["X-Request-ID"] == given.json()["request_id"] == "caller-0001"
    for unfit in ("short", "x" * 65, "a b c d e f", "{injected}"):
        made = await client.get("/api/v1/swaps/none", headers={"X-Request-ID": unfit})
        assert made.headers["X-Request-ID"] == made.json()["request_id"] != unfit
    assert (await client.get("/api/v1/stations")).headers["X-Request-ID"]

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("api.routes.stations.list_stations", broken)
    handlers = logging.getLogger().handlers[:]
    configure_logging()
    try:
        failed = await client.get("/api/v1/stations", headers={"X-Request-ID": "caller-0002"})
    finally:
        logging.getLogger().handlers[:] = handlers
    assert failed.json()["request_id"] == "caller-0002"
    log = capsys.readouterr().err
    assert '"request_id": "caller-0002"' in log
    assert failed.json()["incident"] in log
