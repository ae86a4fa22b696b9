"""A request with an `Idempotency-Key` is done once and answered the same: both databases, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import Request
from pydantic import SecretStr
from sqlmodel import Session, func, select

from api.deps import Doors
from api.edge import keys
from api.edge.route import strict_router
from swap.identity import answers
from swap.identity.answers import forget_answers
from swap.store import PendingCommit, Store
from swap.tables import Booking, KeptAnswer, UserAccount
from tests.api.test_bookings_http import booking
from tests.support.api.doors import filled_store, make_app
from tests.support.api.people import account, administrator, signed_in
from tests.support.api.signing import RealTime
from tests.support.ports import own_ports

ROOT = Path(__file__).resolve().parents[2]
KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
MANY = 200


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def stored(database_url: str) -> Iterator[Store]:
    store = filled_store(database_url)
    yield store
    store.close()


def client_of(app: Any, store: Store, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    known = administrator(store) if headers is None else headers
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://station", headers=known)


@pytest.fixture
async def http(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """On one engine: for what the database has no part in."""
    async with client_of(make_app(store), store) as client:
        yield client


def count(store: Store, table: type[Any] = Booking) -> int:
    with store.reading() as db:
        return db.exec(select(func.count()).select_from(table)).one()


async def test_the_same_request_is_answered_the_same_also_after_a_restart(stored: Store) -> None:
    gate = {"vehicle_id": "YQ-001"}
    asked: list[tuple[str, dict[str, Any]]] = [("/api/v1/bookings", booking("YQ-002")), ("/api/v1/swaps", gate)]
    for number, (path, body) in enumerate(asked):
        key = {"Idempotency-Key": f"k{number}"}
        async with client_of(make_app(stored), stored) as http:
            first = await http.post(path, json=body, headers=key)
        assert first.is_success, first.text
        assert keys.REPLAYED not in first.headers
        again = Store(stored.url)
        async with client_of(make_app(again), again) as later:
            second = await later.post(path, json=body, headers={"Idempotency-Key": f'"k{number}"'})
        again.close()
        assert (second.status_code, second.content) == (first.status_code, first.content)
        assert second.headers.get("location") == first.headers.get("location")
        assert second.headers[keys.REPLAYED] == "true"
    assert first.headers["location"].startswith("/api/v1/swaps/")
    assert count(stored) == 1


async def test_a_key_of_another_request_is_told_and_changes_nothing(http: httpx.AsyncClient, store: Store) -> None:
    assert (await http.post("/api/v1/bookings", json=booking(), headers=KEY)).status_code == 201
    colleague = signed_in(store, account(store, name="Operator B"))
    others: list[tuple[str, str, dict[str, Any], dict[str, str]]] = [
        ("POST", "/api/v1/bookings", booking("YQ-002"), {}),
        ("POST", "/api/v1/swaps", booking(), {}),
        ("POST", "/api/v1/bookings", booking(), colleague),
    ]
    for method, path, body, headers in others:
        answer = await http.request(method, path, json=body, headers=KEY | headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "key_of_other_request"), answer.text
    assert count(store) == 1


async def test_another_organisation_has_keys_of_its_own(http: httpx.AsyncClient, store: Store) -> None:
    ours = await http.post("/api/v1/bookings", json=booking("YQ-002"), headers=KEY)
    fleet = signed_in(store, account(store, "fleet_operator", "fleet-a", "Fleet A"))
    theirs = await http.post("/api/v1/bookings", json=booking("YQ-001"), headers=KEY | fleet)
    assert (ours.status_code, theirs.status_code) == (201, 201), theirs.text
    assert ours.json()["booking_id"] != theirs.json()["booking_id"]


async def test_a_refusal_is_the_answer_and_what_is_misshapen_is_none(http: httpx.AsyncClient, store: Store) -> None:
    assert (await http.post("/api/v1/bookings", json={"vehicle_id": 1}, headers=KEY)).status_code == 422
    assert (await http.post("/api/v1/bookings", json=booking(), headers=KEY | {"Authorization": ""})).status_code == 401
    assert count(store, KeptAnswer) == 0
    made = (await http.post("/api/v1/bookings", json=booking())).json()
    refused = await http.post("/api/v1/bookings", json=booking(), headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (409, "booking_open")
    assert (await http.delete(f"/api/v1/bookings/{made['booking_id']}", headers={"Idempotency-Key": "d"})).is_success
    again = await http.post("/api/v1/bookings", json=booking(), headers=KEY)
    assert (again.status_code, again.content) == (409, refused.content)
    assert (await http.post("/api/v1/bookings", json=booking(), headers={"Idempotency-Key": "new"})).status_code == 201
    for unfit in (b"", b"a b", b'"', "é".encode(), b"x" * 65):
        answer = await http.post("/api/v1/bookings", json=booking(), headers={b"Idempotency-Key": unfit})
        assert answer.status_code == 422, unfit
        assert answer.json()["problems"][0]["field"] == "Idempotency-Key"


async def test_a_mistake_of_the_program_is_no_answer(
    http: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("api.routes.bookings._told", broken)
        assert (await http.post("/api/v1/bookings", json=booking(), headers=KEY)).status_code == 500
    assert count(store) == 0
    assert (await http.post("/api/v1/bookings", json=booking(), headers=KEY)).status_code == 201


async def test_a_secret_is_shown_once_and_not_kept(http: httpx.AsyncClient, store: Store) -> None:
    wanted = {"login": "new", "name": "New One", "organisation_id": "station-operator", "roles": ["planner"]}
    made = await http.post("/api/v1/users", json=wanted, headers=KEY)
    assert made.status_code == 201, made.text
    accounts = count(store, UserAccount)
    again = await http.post("/api/v1/users", json=wanted, headers=KEY)
    assert (again.status_code, again.json()["code"]) == (409, "answer_not_kept")
    assert count(store, UserAccount) == accounts
    with store.reading() as db:
        assert db.exec(select(KeptAnswer.status, KeptAnswer.body)).all() == [(201, None)]


async def test_answers_are_kept_as_long_as_is_declared(stored: Store) -> None:
    app, time = make_app(stored), RealTime()
    given: Doors = app.state.doors
    app.state.doors = Doors(stored, given.config, given.clock, given.settings, real_now=time)
    kept = timedelta(hours=given.config.retention.answers_hours)
    async with client_of(app, stored) as http:
        gone = f"/api/v1/bookings/{(await http.post('/api/v1/bookings', json=booking())).json()['booking_id']}"
        first = await http.delete(gone, headers=KEY)
        time.at += kept - timedelta(minutes=1)
        assert forget_answers(stored, time.at) == 0
        assert (await http.delete(gone, headers=KEY | administrator(stored))).headers[keys.REPLAYED] == "true"
        time.at += timedelta(minutes=1)
        with_new_body = await http.request("DELETE", gone, headers=KEY | administrator(stored))
    assert first.status_code == with_new_body.status_code == 200
    assert keys.REPLAYED not in with_new_body.headers
    assert forget_answers(stored, time.at) == 0
    assert forget_answers(stored, time.at + kept) == 1
    assert count(stored, KeptAnswer) == 0


async def test_what_is_kept_of_a_request_needs_the_secret_and_is_of_one_station() -> None:
    """A body may hold a password: nobody can try it out on the database alone."""

    async def body() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"pin": "4711"}'}

    scope = {"type": "http", "method": "POST", "path": "/api/v1/users", "query_string": b"", "headers": []}
    caller = SimpleNamespace(id="u-1", organisation_id="op")
    retention = SimpleNamespace(retention=SimpleNamespace(answers_hours=24))
    found = []
    for secret, station_id in (("one", "A"), ("one", "A"), ("two", "A"), ("one", "B")):
        settings = SimpleNamespace(secret=SecretStr(secret))
        doors: Any = SimpleNamespace(settings=settings, station_id=station_id, config=retention, real_now=RealTime())
        asked: Any = caller
        found.append((await keys.keyed(Request(scope, body), "k", doors, asked)).fingerprint)
    assert found[0] == found[1]
    assert len(set(found)) == 3


async def test_a_hold_is_never_refused_for_its_key(http: httpx.AsyncClient) -> None:
    for kind in ("hold", "hold"):
        answer = await http.post("/api/v1/requests", json={"kind": kind}, headers=KEY)
        assert answer.status_code == 202, answer.text
    closed = [await http.post("/api/v1/requests", json={"kind": "close"}, headers=KEY) for _ in range(2)]
    assert [answer.json()["request_id"] for answer in closed] == [closed[0].json()["request_id"]] * 2


async def test_two_hundred_at_once_have_one_effect(stored: Store) -> None:
    """Half of them come to another process, which knows nothing of the first one's work."""
    one, other = client_of(make_app(stored), stored), client_of(make_app(stored), stored)
    async with one, other:
        asked = [(one, other)[n % 2].post("/api/v1/bookings", json=booking(), headers=KEY) for n in range(MANY)]
        told = await asyncio.gather(*asked)
        last = await one.post("/api/v1/bookings", json=booking(), headers=KEY)
    assert {answer.status_code for answer in told} <= {201, 409}
    assert {answer.json()["code"] for answer in told if answer.status_code == 409} <= {"key_in_use"}
    made = {answer.json()["booking_id"] for answer in told if answer.status_code == 201}
    assert made == {last.json()["booking_id"]}
    assert count(stored) == 1


def _in_claim(patch: pytest.MonkeyPatch, die: Callable[..., None]) -> None:
    patch.setattr(keys, "claim", die)


def _after_claim(patch: pytest.MonkeyPatch, die: Callable[..., None]) -> None:
    patch.setattr("api.routes.bookings.ask_booking", die)


def _before_answer(patch: pytest.MonkeyPatch, die: Callable[..., None]) -> None:
    patch.setattr(keys, "keep", die)


def _before_commit(patch: pytest.MonkeyPatch, die: Callable[..., None]) -> None:
    keep = answers.keep

    def kept(db: Session, *rest: Any) -> None:
        keep(db, *rest)
        die()

    patch.setattr(keys, "keep", kept)


def _after_commit(patch: pytest.MonkeyPatch, die: Callable[..., None]) -> None:
    done = keys._done

    def then(*given: Any) -> None:
        done(*given)
        die()

    patch.setattr(keys, "_done", then)


STEPS = {
    "claim": (_in_claim, 0),
    "work": (_after_claim, 0),
    "answer": (_before_answer, 0),
    "commit": (_before_commit, 0),
    "sending": (_after_commit, 1),
}
"""Where the process ends, and how many bookings are stored then."""


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_each_step_it_is_done_once(stored: Store, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Killed

    where, left = STEPS[step]
    with monkeypatch.context() as patched:
        where(patched, die)
        async with client_of(make_app(stored), stored) as http:
            with pytest.raises(Killed):
                await http.post("/api/v1/bookings", json=booking(), headers=KEY)
    assert count(stored) == left
    async with client_of(make_app(stored), stored) as http:
        told = [await http.post("/api/v1/bookings", json=booking(), headers=KEY) for _ in range(2)]
    assert [answer.status_code for answer in told] == [201, 201]
    assert told[0].content == told[1].content
    assert count(stored) == 1


def test_nothing_is_held_where_the_transaction_was_rolled_back(stored: Store) -> None:
    def twice(held: PendingCommit) -> None:
        for first in (True, False):
            assert (held.db is None) is first
            with stored.identity():
                pass

    with stored.held(lambda db: None) as held, pytest.raises(RuntimeError, match="one transaction"):
        twice(held)
    with stored.held(lambda db: None) as held, pytest.raises(ZeroDivisionError), stored.identity():
        raise ZeroDivisionError
    assert held.db is None


SERVER = """
import os, signal, sys
import uvicorn
from api.edge import keys
from api.edge.protocol import KEEP_ALIVE_S
from api.edge.route import strict_router
from swap.store import Store
from tests.support.api.doors import make_app
url, port, step = sys.argv[1:]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if step != "none":
    from tests.api.test_idempotency import STEPS
    class Patch:
        def setattr(self, target, name, value=None):
            if value is None:
                import importlib
                module, _, attribute = target.rpartition(".")
                target, name, value = importlib.import_module(module), attribute, name
            setattr(target, name, value)
    STEPS[step][0](Patch(), die)
quiet = {"log_level": "warning", "timeout_keep_alive": KEEP_ALIVE_S}
uvicorn.run(make_app(Store(url)), host="127.0.0.1", port=int(port), **quiet)
"""


async def _all_at_once(url: str, port: int, headers: dict[str, str], step: str) -> list[httpx.Response | None]:
    """Two hundred clients of a server process, which may end by itself; it is ended in any case."""
    arguments = (sys.executable, "-c", SERVER, url, str(port), step)
    process = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE)  # noqa: ASYNC220
    limits = httpx.Limits(max_connections=MANY)
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, limits=limits, timeout=60
        ) as http:
            while process.poll() is None:
                try:
                    await http.get("/health")
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)

            async def ask() -> httpx.Response | None:
                try:
                    return await http.post("/api/v1/bookings", json=booking(), headers=KEY)
                except httpx.TransportError:
                    return None

            told = await asyncio.gather(*(ask() for _ in range(MANY)))
        if step != "none":
            assert await asyncio.to_thread(process.wait, 30) == -signal.SIGKILL
        return list(told)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_hundred_clients_of_a_process_that_is_killed_have_one_effect(stored: Store) -> None:
    """It is killed before the commit, then after it and before the answer, then lives."""
    headers = administrator(stored)
    for step in ("commit", "sending"):
        dead = await _all_at_once(stored.url, own_ports(1)[0], headers, step)
        assert not any(answer is not None and answer.status_code == 201 for answer in dead)
        assert count(stored) == STEPS[step][1]
    alive = await _all_at_once(stored.url, own_ports(1)[0], headers, "none")
    told = {answer.json()["booking_id"] for answer in alive if answer is not None and answer.status_code == 201}
    assert {answer.status_code for answer in alive if answer is not None} <= {201, 409}
    assert None not in alive
    assert count(stored) == 1
    with stored.reading() as db:
        (made,) = db.exec(select(Booking.id)).all()
        (kept,) = db.exec(select(KeptAnswer.body)).all()
    assert told == {made}
    assert json.loads(kept or b"")["booking_id"] == made


def test_a_coroutine_that_would_drop_its_key_is_no_route() -> None:
    async def ask_more() -> None:
        """Stands for a route that somebody makes a coroutine."""

    with pytest.raises(TypeError, match="ask_more is a coroutine, and cannot be done once"):
        strict_router().post("/more")(ask_more)
