"""A filled database and an app on it, without a controller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from swap.store import Store
from tests.support.api.doors import StoppedClock, busy_day, filled_store, make_app


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
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://station") as client:
        yield client


@pytest.fixture(autouse=True)
def _english_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line speaks the environment's language; here it is English unless a test says otherwise."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
