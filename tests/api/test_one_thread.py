"""A request has one thread, and is refused in the order of its steps; its route is found by a word."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import event
from starlette.routing import Match

from api.access import API, authorise
from api.app import _ROUTES
from api.edge import work
from api.edge.route import Signpost, _asked_with
from swap.store import Store
from tests.support.api.doors import busy_day

READS = (f"{API}/bookings?limit=20", f"{API}/stations/yangquan-mine", f"{API}/packs", f"{API}/swaps")


@pytest.fixture(autouse=True)
def _busy(store: Store) -> None:
    busy_day(store)


@pytest.mark.parametrize("path", READS)
async def test_who_asks_the_work_and_its_answer_are_one_change_of_thread(
    client: httpx.AsyncClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hops = anyio.to_thread.run_sync, list[str]()

    async def counted(work: Any, *given: Any, **options: Any) -> Any:
        hops.append(getattr(work, "__qualname__", str(work)))
        return await real(work, *given, **options)

    for target in (anyio.to_thread, work):
        monkeypatch.setattr(target, "run_sync", counted)
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert len(hops) == 1, hops


@pytest.mark.parametrize("path", READS)
async def test_who_only_reads_does_so_in_the_transaction_that_found_out_who_asks(
    client: httpx.AsyncClient, store: Store, path: str
) -> None:
    begun: list[object] = []

    def note(connection: object) -> None:
        begun.append(connection)

    event.listen(store._read_engine, "begin", note)
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    assert len(begun) == 1


def test_only_the_parameters_that_a_request_has_are_looked_for() -> None:
    def asked(dependant: Dependant) -> set[str]:
        inner = (name for one in dependant.dependencies for name in asked(one))
        return {field.alias for field in dependant.query_params} | set(inner)

    most = 0
    for route in _ROUTES:
        assert isinstance(route, APIRoute)
        names = asked(route.dependant)
        needed = asked(_asked_with(route.dependant, frozenset()))
        assert asked(_asked_with(route.dependant, frozenset(names))) == names, route.path
        for name in names - needed:
            assert asked(_asked_with(route.dependant, frozenset({name}))) == needed | {name}, route.path
        most = max(most, len(names - needed))
    assert most >= 5


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/bookings?limit=0", None),
        ("POST", "/bookings", {"vehicle_id": 7}),
        ("DELETE", f"/bookings/{'x' * 65}", None),
    ],
)
async def test_who_may_not_ask_is_told_that_before_anything_of_the_form(
    client: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    known = await client.request(method, API + path, json=body)
    assert known.status_code == 422, known.text
    unknown = await client.request(method, API + path, json=body, headers={"Authorization": "Bearer swa_nobody"})
    assert unknown.status_code == 401, unknown.text
    assert "problems" not in unknown.json() or unknown.json()["problems"] == []


def test_every_route_asks_once_who_asks() -> None:
    for route in _ROUTES:
        assert isinstance(route, APIRoute)
        asked = [part.call for part in route.dependant.dependencies]
        assert asked.count(authorise) == 1, route.path


def test_the_signpost_finds_what_is_found_among_all(app: FastAPI) -> None:
    signpost = next(route for route in app.router.routes if isinstance(route, Signpost))
    found = 0
    for route in _ROUTES:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            path = "/".join("x" if part.startswith("{") else part for part in route.path.split("/"))
            scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
            among_all = next((one for one in _ROUTES if one.matches(dict(scope))[0] is Match.FULL), None)
            match, child = signpost.matches(dict(scope))
            if path.startswith(f"{API}/"):
                assert match is Match.FULL, path
                assert child["route"] is among_all, path
                found += 1
            else:
                assert match is Match.NONE, path
    assert found > 90
