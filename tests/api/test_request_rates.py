"""How many requests one caller may send: further ones are told when to go on, others are not kept, a hold never is."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from api.edge import rates
from api.edge.rates import CallerRates
from swap.store import Store
from tests.support.api.doors import filled_store, make_app
from tests.support.api.people import administrator
from tests.support.swap.databases import migrated_sqlite

AT_ONCE = 3


class Seconds:
    """Real seconds that a test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("rates") / "swap.db"
    store = filled_store(migrated_sqlite(path))
    yield store
    store.close()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def app(store: Store, seconds: Seconds) -> FastAPI:
    app = make_app(store, requests_a_second=0.5, requests_at_once=AT_ONCE)
    app.state.caller_rates._clock = seconds
    return app


def asking(app: FastAPI, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://station/api/v1", headers=headers)


async def statuses(client: httpx.AsyncClient, count: int) -> list[int]:
    return [(await client.get("/bookings")).status_code for _ in range(count)]


async def test_too_many_requests_are_refused_with_when_to_go_on(app: FastAPI, store: Store, seconds: Seconds) -> None:
    async with asking(app, administrator(store)) as client:
        assert await statuses(client, AT_ONCE) == [200] * AT_ONCE
        refused = await client.get("/bookings")
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["Retry-After"] == "2"
        assert refused.json()["code"] == "too_many_requests"
        seconds.now_s += float(refused.headers["Retry-After"])
        assert await statuses(client, 2) == [200, 429]
        seconds.now_s += 3600
        assert await statuses(client, AT_ONCE + 1) == [200] * AT_ONCE + [429]


async def test_a_write_with_a_key_is_counted_and_not_done(app: FastAPI, store: Store) -> None:
    async with asking(app, administrator(store)) as client:
        await statuses(client, AT_ONCE)
        body = {"station_id": "yangquan-mine", "vehicle_id": "YQ-001"}
        window = {"window_start_at": "2026-03-04T09:00:00Z", "window_end_at": "2026-03-04T09:30:00Z"}
        answer = await client.post("/bookings", json=body | window, headers={"Idempotency-Key": "once-and-only"})
        assert answer.status_code == 429
    with store.reading_station("yangquan-mine") as db:
        assert db.newest_event() is not None
        assert all(event.kind != "booking.made" for event in db.events())


async def test_one_caller_takes_nothing_from_another(app: FastAPI, store: Store) -> None:
    async with asking(app, administrator(store)) as client:
        assert (await statuses(client, AT_ONCE + 1))[-1] == 429
        assert (await client.get("/bookings", headers=administrator(store, "Wang"))).status_code == 200


async def test_a_hold_is_never_refused_nor_what_asks_for_no_sign_in(app: FastAPI, store: Store) -> None:
    async with asking(app, administrator(store)) as client:
        assert (await statuses(client, AT_ONCE + 1))[-1] == 429
        for _ in range(2 * AT_ONCE):
            hold = await client.post("/requests", json={"station_id": "yangquan-mine", "kind": "hold"})
            assert hold.status_code == 202
            assert (await client.get("http://station/health")).status_code == 503, (
                "no controller, which is told to everybody"
            )


@given(
    a_second=st.sampled_from([0.5, 3.0, 200.0]),
    at_once=st.integers(1, 20),
    pauses_s=st.lists(st.floats(0, 30), max_size=60),
)
def test_no_span_has_more_than_the_limits_allow(a_second: float, at_once: int, pauses_s: list[float]) -> None:
    seconds = Seconds()
    rates = CallerRates(a_second, at_once, seconds)
    let_in: list[float] = []
    for pause_s in pauses_s:
        seconds.now_s += pause_s
        wait_s = rates.wait_s("somebody")
        if wait_s == 0:
            let_in.append(seconds.now_s)
        else:
            told = Seconds()
            told.now_s = seconds.now_s + wait_s
            later = CallerRates(a_second, at_once, told)
            later._due_s = dict(rates._due_s)
            assert later.wait_s("somebody") == 0, "who waits as told is let in"
    for first, from_s in enumerate(let_in):
        for last, until_s in enumerate(let_in[first:], start=1):
            assert last <= at_once + a_second * (until_s - from_s) + 1e-6


def test_callers_who_may_send_all_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "KNOWN_MOST", 3)
    seconds = Seconds()
    known = CallerRates(1.0, 1, seconds)
    for name in ("a", "b", "c"):
        assert known.wait_s(name) == 0
    seconds.now_s += 0.5
    assert known.wait_s("d") == 0
    assert known.wait_s("a") == 1, "one who has still to wait is not forgotten"
    seconds.now_s += 5
    assert known.wait_s("e") == 0
    assert set(known._due_s) == {"e"}
