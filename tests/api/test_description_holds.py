"""The interface does as its description says: requests that schemathesis makes of it, alone and one after the other.

`DESCRIBED=20 make test TESTS=tests/api/test_description_holds.py` asks that many times more than CI does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.api.doors import busy_day, filled_store, make_app
from tests.support.api.people import administrator

TIMES = int(os.environ.get("DESCRIBED", "1"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
ENDLESS = {"event_stream"}
"""Answers that do not end; they have tests of their own."""
SIGNING_OUT = {"logout", "change_password", "reset_password", "change_user"}
"""They would end the sign-in of all the others."""
NOT_RUN = {"health", "metrics"}
"""503 while no controller runs, which is so here; text for another program."""
SETTINGS = settings(
    max_examples=3 * TIMES,
    stateful_step_count=8,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def app(database_url: str) -> Iterator[FastAPI]:
    store = filled_store(database_url)
    busy_day(store)
    yield make_app(store)
    store.close()


def schema_of(app: FastAPI) -> Any:
    whole = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    return whole.exclude(operation_id=sorted(ENDLESS | SIGNING_OUT | NOT_RUN))


def test_every_operation_answers_as_described(app: FastAPI) -> None:
    schema, headers = schema_of(app), administrator(app.state.doors.store)
    asked: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @SETTINGS
        @given(operation.as_strategy())
        def ask(case: Any) -> None:
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=CHECKS)
            asked[case.operation.label] = asked.get(case.operation.label, 0) + 1

        ask()
    assert len(asked) > 75


def test_an_answer_that_is_not_as_described_is_found(sqlite_url: str) -> None:
    store = filled_store(sqlite_url)
    app = make_app(store)
    document = deepcopy(app.openapi())
    document["components"]["schemas"]["Problem"]["required"].append("nowhere")
    lying = schemathesis.openapi.from_dict(document)
    lying.app = app
    case = lying["/api/v1/swaps/{swap_id}"]["GET"].Case(path_parameters={"swap_id": "none"})
    answer = case.call(headers=administrator(store))
    assert answer.status_code == 404
    with pytest.raises(FailureGroup, match="nowhere"):
        case.validate_response(answer, checks=CHECKS)
    store.close()


def test_one_after_the_other(app: FastAPI) -> None:
    """What one answer gives, the next request uses: made records are read, changed and ended."""
    known = administrator(app.state.doors.store)
    asked: list[int] = []

    class Clients(schema_of(app).as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": known}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            asked.append(response.status_code)
            case.validate_response(response, checks=CHECKS)

    run_state_machine_as_test(Clients, settings=SETTINGS)
    assert len(asked) > 5
