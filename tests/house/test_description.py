"""The interface's description (OpenAPI) says of every operation what it is, with an example, and names its problems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from api.edge.keys import KEYLESS, METHODS
from api.problems import KINDS
from swap.identity.rights import RIGHTS
from swap.store import Store
from tests.support.api.doors import make_app

Operation = dict[str, Any]
WITHOUT_PROBLEMS = {"health"}
"""Answers what it knows, whoever asks."""
STATES = {"state", "status", "mode", "phase", "outcome", "promised_in", "hold_reason", "word"}
"""Fields that hold one of some codes."""
LIST_PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("http.md", "http.zh-CN.md")]
LIST_ROW = r"^\| `(\w+)` \| ((?:`(?:cursor|limit|from|to)`(?:, |、)?)+) \| (.+) \|$"
"""A list that is without some of the style, and the reason."""
FREE = {
    ("EventRecord", "data"),
    ("SwapAccepted", "state"),
    ("SwapOut", "state"),
    ("SwapRecord", "state"),
    ("Problem", "status"),
    ("ProblemKind", "status"),
    ("DeliveryRecord", "status"),
}
"""States of swaps are those of the lane's recipe, which a station file may bring; the status of a problem, or of a
delivery, is a number."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    store = Store("sqlite://")
    found: dict[str, Any] = make_app(store).openapi()
    store.close()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def shown(operation: Operation) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Place, schema and example of everything that has one."""
    for parameter in operation.get("parameters", ()):
        yield f"parameter {parameter['name']}", parameter["schema"], parameter["example"]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"body {media}", content["schema"], content["example"]
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            for media, content in answer.get("content", {}).items():
                yield f"{status} {media}", content["schema"], content["example"]


def wrong(schema: dict[str, Any], document: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(value)]


def test_every_operation_says_what_it_is(document: dict[str, Any]) -> None:
    summaries = [operation["summary"] for _, _, operation in operations(document)]
    assert len(summaries) > 80
    assert [text for text in summaries if not 8 <= len(text) <= 160 or text.endswith(".")] == []
    assert sorted({text for text in summaries if summaries.count(text) > 1}) == []
    assert {operation["operationId"] for *_, operation in operations(document)} <= set(RIGHTS)


def test_every_example_is_one(document: dict[str, Any]) -> None:
    found, count = [], 0
    for _, _, operation in operations(document):
        for place, schema, value in shown(operation):
            count += 1
            found += [f"{operation['operationId']}, {place}: {text}" for text in wrong(schema, document, value)]
    assert found == []
    assert count > 300


def test_an_example_that_is_none_is_found(document: dict[str, Any]) -> None:
    (book,) = [operation for *_, operation in operations(document) if operation["operationId"] == "book"]
    (content,) = book["requestBody"]["content"].values()
    for change in ({"window_start_at": "soon"}, {"vehicle_id": ""}, {"packs": 9}, {"more": 1}):
        assert wrong(content["schema"], document, content["example"] | change), change


def test_every_operation_names_its_problems(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        name = operation["operationId"]
        if name in WITHOUT_PROBLEMS:
            continue
        told = {int(status): answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert told, name
        for status, answer in told.items():
            (schema,) = [content["schema"] for content in answer["content"].values()]
            assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)
            codes = {code for code in KINDS if f"`{code}`" in answer["description"]}
            assert codes, (name, status)
            assert {KINDS[code].status for code in codes} == {status}, (name, status)
        if "{" in path:
            assert 404 in told, name
        if method in METHODS and name not in KEYLESS:
            assert 409 in told, f"{name}: the first request with its key may be at it"


def told_lists() -> dict[str, set[str]]:
    """What of the style each list of the page is without, which must be the same in both languages."""
    english, chinese = (
        {name: set(re.findall(r"`(\w+)`", without)) for name, without, _ in re.findall(LIST_ROW, page, re.MULTILINE)}
        for page in (path.read_text(encoding="utf-8") for path in LIST_PAGES)
    )
    assert english == chinese
    return english


def lists(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of each operation that answers with a list, and its parameters by their names."""
    for method, _, operation in operations(document):
        for content in operation["responses"].get("200", {}).get("content", {}).values():
            schema = content.get("schema", {})
            name = schema.get("$ref", "").rpartition("/")[2]
            whole = document["components"]["schemas"][name] if name else schema
            if method == "GET" and (whole.get("type") == "array" or "items" in whole.get("properties", {})):
                assert "next_cursor" in whole.get("properties", {}), f"{operation['operationId']} is no page"
                yield (
                    operation["operationId"],
                    {one["name"]: one["schema"] for one in operation.get("parameters", ()) if one["in"] == "query"},
                )


def without_style(document: dict[str, Any]) -> dict[str, set[str]]:
    """Lists that have not all of the style, and what they are without."""
    found = dict(lists(document))
    assert len(found) > 25
    style = {name: found["bookings"][name] for name in ("cursor", "limit", "from", "to")}
    without = {
        name: {one for one, schema in style.items() if given.get(one) != schema} for name, given in found.items()
    }
    return {name: parts for name, parts in without.items() if parts}


def test_every_list_has_the_one_style_or_is_told_with_its_reason(document: dict[str, Any]) -> None:
    assert without_style(document) == told_lists()


def test_a_list_of_another_style_is_found(document: dict[str, Any]) -> None:
    other = deepcopy(document)
    for one in other["paths"]["/api/v1/faults"]["get"]["parameters"]:
        if one["name"] == "limit":
            one["schema"] = one["schema"] | {"maximum": 1000}
    assert without_style(other) == told_lists() | {"faults": {"limit"}}


def test_every_state_is_one_of_some(document: dict[str, Any]) -> None:
    open_ = []
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            forms = [part, *part.get("anyOf", ())]
            if field in STATES and (name, field) not in FREE:
                closed = any(key in form for form in forms for key in ("enum", "const", "$ref"))
                open_ += [] if closed else [f"{name}.{field}"]
    assert open_ == []
