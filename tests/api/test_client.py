"""The client for programs: calls that are sent again, tokens that are renewed, and the document that it must fit."""

from __future__ import annotations

import enum
import fcntl
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from api.app import create_app
from api.client.client import SwapClient
from api.client.errors import ProblemError, UnreachableError
from api.client.session import API, LONGEST_WAIT_S, STILL_RUNNING, TRIES
from api.client.tokens import TokenFile
from api.money_schemas import PaymentIn
from api.routes.auth import TokensOut
from api.schemas import BookingIn, TruckAtGate
from api.settings import Settings
from swap.commerce.bills.issuing import bill_completed_swaps
from swap.identity.sign_in import tokens_for
from swap.reading.records import BookingRecord
from swap.store import Store
from tests.support.api.calls import in_process
from tests.support.api.doors import NOW, StoppedClock
from tests.support.api.people import PASSWORD, account
from tests.support.api.signing import RealTime
from tests.support.swap.commerce import AT, STATION, charge_packs, exchange, filled_store, station

Answer = Callable[[httpx.Request], httpx.Response]
PROBLEM = {"type": "/api/v1/problems#x", "title": "X", "detail": "why"}


def refused(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=PROBLEM | {"status": status, "code": code}, headers=headers)


class Line:
    """A server that answers in turn; it keeps what it was sent and how long was waited."""

    def __init__(self, *answers: httpx.Response | Exception | Answer) -> None:
        self.answers = list(answers)
        self.sent: list[httpx.Request] = []
        self.waited_s: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def client(self, **more: Any) -> SwapClient:
        return SwapClient(
            "http://station", "key", transport=httpx.MockTransport(self), pause=self.waited_s.append, **more
        )


ACCEPTED = httpx.Response(202, json={"swap_id": "sw-1", "state": "queued", "booking_id": None})
TRUCK = TruckAtGate(vehicle_id="V0")
TOKENS = {
    "access_token": "second",
    "access_expires_at": "2026-01-01T00:00:00+00:00",
    "refresh_token": "next",
    "refresh_expires_at": "2026-01-01T00:00:00+00:00",
}


def test_a_call_is_sent_again_with_its_key_until_it_is_known() -> None:
    line = Line(
        httpx.ReadTimeout("late"),
        refused(503, "database_away", **{"Retry-After": "5"}),
        refused(409, STILL_RUNNING, **{"Retry-After": "1"}),
        ACCEPTED,
    )
    assert line.client().arrive(TRUCK).swap_id == "sw-1"
    (key,) = {request.headers["Idempotency-Key"] for request in line.sent}
    assert len(line.sent) == 4
    assert len(key) == 36
    assert 0 <= line.waited_s[0] <= 1
    assert line.waited_s[1:] == [5.0, 1.0]
    other = Line(ACCEPTED, ACCEPTED)
    for given in (None, "mine"):
        other.client().arrive(TRUCK, key=given)
    assert other.sent[0].headers["Idempotency-Key"] != key
    assert other.sent[1].headers["Idempotency-Key"] == "mine"


def test_it_gives_up_and_says_why() -> None:
    gone = Line(*[httpx.ConnectError("refused")] * TRIES)
    with pytest.raises(UnreachableError, match="http://station: refused"):
        gone.client().me()
    assert len(gone.sent) == TRIES
    for wrong in (
        refused(409, "slots_full"),
        refused(500, "internal_error"),
        refused(429, "too_many_attempts", **{"Retry-After": str(int(LONGEST_WAIT_S) + 1)}),
    ):
        line = Line(wrong)
        with pytest.raises(ProblemError):
            line.client().arrive(TRUCK)
        assert len(line.sent) == 1
    page = Line(*[httpx.Response(502, text="<html>")] * TRIES)
    with pytest.raises(UnreachableError, match="HTTP 502"):
        page.client().me()


def test_a_refresh_token_is_sent_once() -> None:
    kept: list[str] = []
    line = Line(refused(401, "token_not_valid"), httpx.Response(200, json=TOKENS), ACCEPTED)
    client = line.client(refresh_token="first", keep=lambda tokens: kept.append(tokens.refresh_token))
    client.arrive(TRUCK)
    assert [request.url.path.removeprefix(API) for request in line.sent] == ["/swaps", "/auth/refresh", "/swaps"]
    assert json.loads(line.sent[1].content) == {"refresh_token": "first"}
    assert line.sent[2].headers["Authorization"] == "Bearer second"
    assert kept == ["next"]
    lost = Line(refused(401, "token_not_valid"), httpx.ReadTimeout("late"), refused(401, "token_not_valid"))
    with pytest.raises(ProblemError, match="token_not_valid"):
        lost.client(refresh_token="first").arrive(TRUCK)
    assert len(lost.sent) == 3
    away = Line(
        refused(401, "token_not_valid"),
        httpx.ConnectError("refused"),
        refused(401, "token_not_valid"),
        httpx.Response(200, json=TOKENS),
        ACCEPTED,
    )
    assert away.client(refresh_token="first").arrive(TRUCK).state == "queued"


def test_of_two_commands_at_once_one_renews_the_sign_in(tmp_path: Path) -> None:
    """The other one waits, and goes on with what was renewed."""
    path = tmp_path / "new" / "tokens.json"
    first = TokensOut.model_validate(TOKENS | {"access_token": "key", "refresh_token": "first"})
    TokenFile(path).keep("http://station", first)

    def command(*answers: httpx.Response | Answer) -> tuple[Line, SwapClient]:
        line, file = Line(*answers), TokenFile(path)
        return line, line.client(
            refresh_token="first",
            keep=lambda tokens: file.keep("http://station", tokens),
            renewing=lambda: file.renewing("http://station"),
        )

    def refresh(_: httpx.Request) -> httpx.Response:
        with path.with_name("tokens.json.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return httpx.Response(200, json=TOKENS)

    line, client = command(refused(401, "token_not_valid"), refresh, ACCEPTED)
    assert client.arrive(TRUCK).state == "queued"
    line, client = command(refused(401, "token_not_valid"), ACCEPTED)
    assert client.arrive(TRUCK).state == "queued"
    assert [request.headers["Authorization"] for request in line.sent] == ["Bearer key", "Bearer second"]
    kept = TokenFile(path).tokens("http://station")
    assert kept is not None
    assert kept.refresh_token == "next"


def test_what_a_newer_server_tells_more_is_left_out() -> None:
    more = httpx.Response(202, json={"swap_id": "sw-1", "state": "queued", "booking_id": None, "lane": "L1"})
    assert Line(more).client().arrive(TRUCK).model_dump() == {
        "swap_id": "sw-1",
        "state": "queued",
        "booking_id": None,
    }


def test_signing_in_and_a_token_that_runs_out(timed_app: FastAPI, store: Store, time: RealTime) -> None:
    account(store, "fleet_operator", organisation_id="fleet-a", name="Driver")
    with in_process(timed_app) as transport, SwapClient("http://station", transport=transport) as client:
        client.sign_in("Driver", PASSWORD)
        assert client.me().organisation_id == "fleet-a"
        time.step(3600 * 2)
        assert client.me().name == "Driver"
        client.sign_out()
        with pytest.raises(ProblemError) as refusal:
            client.me()
        assert (refusal.value.code, refusal.value.status) == ("not_signed_in", 401)


def test_a_problem_names_the_field(timed_app: FastAPI, store: Store) -> None:
    user = account(store, "driver", organisation_id="fleet-a", name="Driver")
    with store.identity() as db:
        token = tokens_for(db, user.user_id, datetime.now(UTC)).access_token
    wanted = BookingIn(
        vehicle_id="YQ-001", window_start_at=NOW - timedelta(hours=5), window_end_at=NOW - timedelta(hours=4)
    )
    with in_process(timed_app) as transport:
        client = SwapClient("http://station", token, transport=transport, language="zh-CN")
        with pytest.raises(ProblemError) as refusal:
            client.book(wanted)
    (field,) = refusal.value.problems
    assert (refusal.value.code, field.field) == ("window_not_allowed", "window_start_at")
    assert not refusal.value.detail.isascii()


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(AT)


@pytest.fixture
def fleet(sqlite_url: str, clock: StoppedClock, tmp_path: Path) -> Iterator[tuple[SwapClient, Store]]:
    """A fleet's client at the small station of the tests."""
    config = station()
    with filled_store(sqlite_url, config) as store:
        charge_packs(store)
        user = account(store, "fleet_operator", organisation_id="fleet", name="Zhao")
        with store.identity() as db:
            token = tokens_for(db, user.user_id, datetime.now(UTC)).access_token
        app = create_app(store, config, clock, settings=Settings(station_file=tmp_path / "station.toml"))
        with in_process(app) as transport:
            yield SwapClient("http://127.0.0.1:8000", token, transport=transport), store


def test_a_booking_is_followed_to_its_bill(fleet: tuple[SwapClient, Store], clock: StoppedClock) -> None:
    client, store = fleet
    window = {"window_start_at": AT, "window_end_at": AT + timedelta(minutes=30)}
    booking = client.book(BookingIn(vehicle_id="V0", **window))

    def pass_s(_real_s: float) -> None:
        """The truck comes, then its packs are exchanged."""
        mine = list(client.swaps(vehicle_id="V0"))
        if not mine:
            clock.at += timedelta(minutes=1)
            client.arrive(TruckAtGate(vehicle_id="V0"))
        elif mine[0].ended_at is None:
            exchange(store, mine[0].swap_id)
            bill_completed_swaps(store, STATION, AT + timedelta(hours=1))

    client._wait = pass_s
    told = list(client.follow_booking(booking.booking_id))
    assert [one.status if isinstance(one, BookingRecord) else one.state for one in told] == [
        "booked",
        "arrived",
        "queued",
        "completed",
    ]
    (bill,) = client.bills()
    assert client.why(bill.bill_id).bill == bill == client.bill(bill.bill_id)
    assert [line.seller_id for line in client.quote("V0").lines] == ["op", "op"]


def test_every_page_of_a_list_is_read() -> None:
    pages = [{"items": [], "next_cursor": "two"}, {"items": [], "next_cursor": None}]
    line = Line(*[httpx.Response(200, json=page) for page in pages])
    assert list(line.client().bills(payer_id="fleet")) == []
    assert [dict(request.url.params) for request in line.sent] == [
        {"payer_id": "fleet"},
        {"payer_id": "fleet", "cursor": "two"},
    ]


# every call is one of the document's


class Call(Exception):
    """What a call of the client asks."""


class Asking(SwapClient):
    """A client that tells what it would send."""

    def get(self, kind: Any, path: str, query: Any = None) -> Any:
        raise Call("get", path, query, None, kind)

    def all(self, kind: Any, path: str, query: Any = None) -> Any:
        raise Call("get", path, query, None, [kind])

    def change(self, kind: Any, method: str, path: str, body: Any = None, **more: Any) -> Any:
        raise Call(method.lower(), path, {}, body, kind)


def _value(hint: Any) -> Any:
    """Any value of a type."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = typing.get_args(hint)[0]
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint.model_construct()
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next(iter(hint))
    return {str: "x", datetime: AT}.get(hint, "x")


CALLS = sorted(
    name
    for name, method in inspect.getmembers(SwapClient, inspect.isfunction)
    if not name.startswith(("_", "follow"))
    and name not in {"close", "sign_in", "sign_out", "get", "all", "change", "send", "pause", "swap_of_booking"}
)


def test_every_call_fits_the_document(app: FastAPI) -> None:
    document = app.openapi()
    assert len(CALLS) > 40
    for name in CALLS:
        method = getattr(Asking("http://station"), name)
        hints = typing.get_type_hints(method)
        given = {one: _value(hints[one]) for one in inspect.signature(method).parameters}
        with pytest.raises(Call) as asked:
            method(**given)
        verb, path, query, body, kind = asked.value.args
        _fits(document, name, verb, path, query or {}, body, kind)


def _fits(document: Any, name: str, verb: str, path: str, query: Any, body: Any, kind: Any) -> None:
    asked = f"{API}{path}".split("/")
    fitting = [
        known
        for known in document["paths"]
        if len(known.split("/")) == len(asked)
        and all(a == b or b.startswith("{") for a, b in zip(asked, known.split("/"), strict=True))
    ]
    assert fitting, f"{name}: {path}"
    operation = document["paths"][min(fitting, key=lambda known: known.count("{"))][verb]
    known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    assert set(query) <= known, f"{name}: {set(query) - known}"
    if body is not None:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert _model(schema) == type(body).__name__, name
    answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    if kind is bytes:
        return
    schema = answers[0]["content"]["application/json"]["schema"]
    if isinstance(kind, list):
        assert _model(schema) == f"Page_{kind[0].__name__}_", name
    elif typing.get_origin(kind) is tuple:
        assert _model(schema["items"]) == typing.get_args(kind)[0].__name__, name
    else:
        assert _model(schema) == kind.__name__, name


def _model(schema: Any) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[-1]


def test_a_wrong_call_does_not_fit(app: FastAPI) -> None:
    document = app.openapi()
    for verb, path, query, body, kind in (
        ("get", "/nowhere", {}, None, BookingRecord),
        ("get", "/bookings/x", {"colour": 1}, None, BookingRecord),
        ("post", "/bookings", {}, TruckAtGate(vehicle_id="x"), BookingRecord),
        ("get", "/bookings/x", {}, None, PaymentIn),
    ):
        with pytest.raises(AssertionError):
            _fits(document, "wrong", verb, path, query, body, kind)
