"""Whatever comes in over HTTP, nothing breaks: requests made from the interface's own description, and wild ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp

from tests.support.api.doors import busy_day, filled_store, make_app
from tests.support.api.people import administrator

KNOWN = (
    *("yangquan-mine", "YQ-001", "YQ-002", "sw-0001", "sw-0004", "bk-1", "bl-0001", "A1", "L1", "fleet-a"),
    *("open", "hold", "decide"),
)
WILD = (
    *("", "\0", "\ud800", "a\0b", "\x1b[2J", "ﬀ" * 300, "-1", "1e400", "9" * 400, "NaN", "%00", "../.."),
    *("9999-12-31T23:59:59-12:00", "' OR 1=1 --"),
)
text = st.sampled_from(KNOWN) | st.sampled_from(WILD) | st.text(st.characters(exclude_categories=()), max_size=40)
number = st.sampled_from((0, 1, 2, -1, 50, 2**31, 2**63 - 1, 2**63, 10**400)) | st.integers()
scalar = text | number | st.booleans() | st.none() | st.floats(allow_nan=False)
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)
name = st.sampled_from(("Operator A", "controller", "", "\u202eAnn", "\x1b[31m"))
instant = st.datetimes().map(lambda at: at.isoformat() + "+08:00") | st.just("2026-03-04T05:00:00Z")


def likely(field: str) -> st.SearchStrategy[Any]:
    """Values of a field that its name promises, among others."""
    if field.endswith("_at"):
        return instant | scalar
    if field == "name":
        return name | scalar
    return scalar | value


@pytest.fixture
def app(database_url: str) -> Iterator[ASGIApp]:
    store = filled_store(database_url)
    busy_day(store)
    yield make_app(store)
    store.close()


def resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = components[reference] if reference else schema
    return found


def escaped(text: str) -> str:
    """As it stands in an address, whatever it holds."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


@st.composite
def requests(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A request of one operation of the description."""
    path = draw(st.sampled_from(sorted(document["paths"])))
    method = draw(st.sampled_from(sorted(document["paths"][path])))
    operation = document["paths"][path][method]
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        given_value = draw(likely(parameter["name"]))
        shown = given_value if isinstance(given_value, str) else json.dumps(given_value)
        if parameter["in"] == "path":
            path = path.replace(
                "{" + parameter["name"] + "}", quote(shown.encode("utf-8", "surrogatepass"), safe="") or "x"
            )
        elif parameter["in"] == "query" and draw(st.booleans()):
            query.append((parameter["name"], shown))
        elif parameter["in"] == "header" and draw(st.booleans()):
            headers[parameter["name"]] = escaped(shown)
    if draw(st.integers(0, 9)) == 0:
        query.append((draw(text), draw(text)))
    asked = "&".join(f"{escaped(key)}={escaped(shown)}" for key, shown in query)
    body = None
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        fields = resolved(content["schema"], document["components"]["schemas"]).get("properties", {})
        made: Any = {field: draw(likely(field)) for field in fields if draw(st.integers(0, 4))}
        if "kind" in made and draw(st.booleans()):
            made["kind"] = draw(st.sampled_from(fields["kind"]["enum"]))
        body = json.dumps(draw(value) if draw(st.integers(0, 9)) == 0 else made).encode()
        headers["content-type"] = "application/json"
    return {"method": method.upper(), "url": path + (f"?{asked}" if asked else ""), "content": body, "headers": headers}


def test_nothing_that_comes_in_breaks_anything(app: Any) -> None:
    """A2: no answer is a 5xx, and each that refuses is a problem with a code; on both databases."""
    document = app.openapi()
    del document["paths"]["/api/v1/events/stream"]  # its answer has no end
    answered: dict[int, int] = {}
    transport = httpx.ASGITransport(app)
    known = administrator(app.state.doors.store)
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=transport, base_url="http://station")

        @settings(
            max_examples=400, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        @given(requests(document))
        def ask(request: dict[str, Any]) -> None:
            if not request["url"].startswith("/api/v1/auth/logout"):  # that would end the sign-in of all the others
                request["headers"] |= known
            answer = runner.run(client.request(**request))
            answered[answer.status_code] = answered.get(answer.status_code, 0) + 1
            if request["url"].startswith("/health"):
                assert answer.status_code in (200, 422, 503)  # nobody renews the lease here
                return
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"
                problem = answer.json()
                assert problem["status"] == answer.status_code
                assert problem["detail"]
                assert all(
                    part["message"] and not part["message"].startswith("Input should") for part in problem["problems"]
                )

        ask()
        runner.run(client.aclose())
    # Which requests are drawn depends on what else is loaded; each kind of answer comes at least once in a hundred.
    assert min(answered.get(status, 0) for status in (200, 404, 422)) >= 4, answered
