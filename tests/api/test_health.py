"""`/health` and the console tell how the controller does, from its own board: the database may be slow or gone."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from threading import Event
from typing import Any

import httpx
import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint
from anyio.to_thread import current_default_thread_limiter, run_sync

from api.app import create_app
from api.settings import Settings
from robotics.modbus_link.quality import LinkQuality
from scheduler.types import StationMode
from swap.config.loading import load_station
from swap.errors import DatabaseAway
from swap.station.life.database import DatabaseState
from swap.station.life.status import ControlBoard, ControlStatus
from swap.store import Store
from tests.support.api.doors import STATION_FILE, StoppedClock, filled_store

NOW = datetime(2026, 3, 4, tzinfo=UTC)


class Hands:
    def __init__(self) -> None:
        self.now_s = 50.0
        self.board = ControlBoard(lambda: self.now_s)

    def publish(self, **changes: Any) -> None:
        values: dict[str, Any] = {
            "at_s": self.now_s,
            "since_at": NOW,
            "mode": StationMode.AUTOMATIC,
            "held_why": "",
            "database": DatabaseState.OK,
            "database_reason": "",
            "oldest_write_s": None,
            "loop_lag_s": 0.0,
            "gap_s": 0.1,
            "links": {"L1": True},
        }
        self.board.publish(ControlStatus(**values | changes))


class GoneStore(Store):
    """A database that is not there."""

    def transaction(self) -> Any:
        raise DatabaseAway("connection refused")

    def station(self, station_id: str, holder: str | None = None) -> Any:
        raise DatabaseAway("connection refused")

    def reading(self) -> Any:
        raise DatabaseAway("connection refused")

    def reading_identity(self) -> Any:
        raise DatabaseAway("connection refused")

    def looking_up(self) -> Any:
        raise DatabaseAway("connection refused")

    def reading_station(self, station_id: str) -> Any:
        raise DatabaseAway("connection refused")


def client_of(store: Store, board: ControlBoard | None) -> httpx.AsyncClient:
    settings = Settings(station_file=STATION_FILE, database_url=store.url)
    app = create_app(store, load_station(STATION_FILE), StoppedClock(), settings=settings, control=board)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


CASES: list[tuple[dict[str, Any], float, str, int, str]] = [
    ({}, 0.0, "running", 200, "站控运行中。"),
    ({"database": DatabaseState.SLOW, "oldest_write_s": 1.4}, 0.0, "database_slow", 200, "数据库变慢"),
    ({"database": DatabaseState.LOST, "mode": StationMode.HELD}, 0.0, "database_lost", 503, "数据库丢失"),
    ({"loop_lag_s": 2.0}, 0.0, "loop_late", 503, "站控响应迟缓"),
    ({}, 3.0, "loop_late", 503, "站控响应迟缓"),
]


@pytest.mark.parametrize(("changes", "later_s", "word", "code", "chinese"), CASES)
async def test_the_word_of_the_controller(
    changes: dict[str, Any], later_s: float, word: str, code: int, chinese: str
) -> None:
    hands = Hands()
    hands.publish(**changes)
    hands.now_s += later_s
    async with client_of(GoneStore("sqlite:///:memory:"), hands.board) as client:
        answer = await client.get("/health")
        assert answer.status_code == code
        assert answer.json()["word"] == word
        assert answer.json()["words"]["zh-CN"].startswith(chinese)
        assert answer.json()["control"]["links"] == {"L1": True}
        page = await client.get("/console?lang=zh")
        assert page.status_code == 200
        assert (chinese in page.text) == (word != "running")


async def test_before_and_after_its_life() -> None:
    hands = Hands()
    async with client_of(GoneStore("sqlite:///:memory:"), hands.board) as client:
        assert (await client.get("/health")).json()["word"] == "starting"
        hands.board.stop()
        assert (await client.get("/health")).json()["word"] == "stopped"


async def test_another_process_runs_the_station_and_the_database_is_gone() -> None:
    async with client_of(GoneStore("sqlite:///:memory:"), None) as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()["word"]) == (503, "unknown")


async def test_without_a_database_routes_say_so_as_a_problem() -> None:
    async with client_of(GoneStore("sqlite:///:memory:"), Hands().board) as client:
        answer = await client.get("/api/v1/packs", headers={"Authorization": "Bearer swa_x"})
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["detail"] == "the database cannot be used now: connection refused"
        notice = await client.post("/console/requests", data={"kind": "hold", "name": "Operator A"})
        assert "数据库暂不可用" in notice.text


async def test_the_quality_of_each_link_is_told() -> None:
    """S18."""
    hands = Hands()
    hands.publish(devices={"cell L1": LinkQuality(True, 97, 12, 4000, 80, 0.02, 0.031)})
    async with client_of(GoneStore("sqlite:///:memory:"), hands.board) as client:
        device = (await client.get("/health")).json()["control"]["devices"]["cell L1"]
    assert device == {
        "connected": True,
        "connections": 97,
        "connections_last_minute": 12,
        "requests": 4000,
        "failed": 80,
        "error_share": 0.02,
        "answer_p95_s": 0.031,
    }


async def test_neither_health_nor_a_hold_waits_for_the_threads_of_others(sqlite_url: str) -> None:
    """As many clients as there are threads wait for their turn at the database."""
    hands, release = Hands(), Event()
    hands.publish()
    others = current_default_thread_limiter()
    with closing(filled_store(sqlite_url)) as store:
        async with client_of(store, hands.board) as client, create_task_group() as crowd:
            for _ in range(int(others.total_tokens)):
                crowd.start_soon(lambda: run_sync(release.wait))
            while others.available_tokens:
                await checkpoint()
            try:
                with fail_after(30):
                    assert (await client.get("/health")).json()["word"] == "running"
                    asked = await client.post("/api/v1/requests", json={"kind": "hold"})
            finally:
                release.set()
    assert asked.status_code == 202, asked.text
