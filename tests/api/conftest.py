"""A filled database and an app on it, without a controller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from api import access
from api.deps import Doors
from swap.identity import secrets
from swap.store import Store
from tests.support.api.doors import StoppedClock, busy_day, filled_store, make_app
from tests.support.api.people import TEST_HASHER, administrator, session, the_administrator
from tests.support.api.signing import RealTime


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """The station file's content and nothing else."""
    store = filled_store(sqlite_url)
    yield store
    store.close()


@pytest.fixture
def busy_store(store: Store) -> Store:
    """The middle of a day."""
    busy_day(store)
    return store


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def app(store: Store, clock: StoppedClock) -> FastAPI:
    return make_app(store, clock)


@pytest.fixture
async def client(app: FastAPI, store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator's."""
    transport, headers = httpx.ASGITransport(app), administrator(store)
    cookies = session(store, the_administrator(store))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://station", headers=headers, cookies=cookies
    ) as client:
        yield client


@pytest.fixture(autouse=True)
def _english_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line speaks the environment's language; here it is English unless a test says otherwise."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


@pytest.fixture
def second_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks has sent a code of the device: `test_rights` asks for it at every operation."""
    monkeypatch.setattr(access, "check_factor", lambda *_: None)


@pytest.fixture
def time() -> RealTime:
    return RealTime()


@pytest.fixture
def timed_app(store: Store, time: RealTime, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """An app whose real time is moved by hand, and whose passwords are hashed cheaply."""
    monkeypatch.setattr(secrets, "HASHER", TEST_HASHER)
    app = make_app(store)
    given: Doors = app.state.doors
    app.state.doors = Doors(store, given.config, given.clock, given.settings, real_now=time)
    return app


@pytest.fixture
async def http(timed_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody's client."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(timed_app), base_url="http://station") as client:
        yield client
