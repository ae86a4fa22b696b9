"""Requests are messages: one model a kind, read from what was stored or sent, refused by field."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import TypeAdapter

from swap.errors import InvalidInput
from swap.messages.requests import REQUESTS, AnyRequest, DecisionKind, Hold, Request, read_request
from swap.station.answers import Answerer, StationActions

ARGUMENTS: dict[str, dict[str, Any]] = {
    "reset": {"lane_id": "L1"},
    "permit_restart": {"within_min": 15},
    "release_pack": {"pack_id": "P1"},
    "take_out_pack": {"pack_id": "P1", "reason": "to the works"},
    "bring_in_pack": {"pack_id": "P1", "bay_id": "A1"},
    "release_bay": {"bay_id": "A1"},
    "cancel_swap": {"swap_id": "sw-1"},
    "decide": {"swap_id": "sw-1", "decision": "unwind"},
    "demand_response": {
        "programme": "shanxi-direct",
        "from_at": "2026-06-17T16:20:00Z",
        "until_at": "2026-06-17T17:05:00Z",
        "limit_kw": 1500.0,
    },
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_is_read_back_as_it_is_stored(kind: str) -> None:
    request = read_request(kind, ARGUMENTS.get(kind, {}))
    assert type(request) is REQUESTS[kind]
    assert request.arguments() == ARGUMENTS.get(kind, {})
    adapter: TypeAdapter[Request] = TypeAdapter(AnyRequest)
    assert adapter.validate_python({"kind": kind, **request.arguments()}) == request


def test_a_decision_is_one_of_its_kinds() -> None:
    for kind in DecisionKind:
        assert read_request("decide", {"swap_id": "sw-1", "decision": kind.value}).arguments()["decision"] == kind
    with pytest.raises(InvalidInput, match=r"arguments\.decision = 'perhaps'.*'cancel' or 'tow_out'"):
        read_request("decide", {"swap_id": "sw-1", "decision": "perhaps"})


def test_what_is_not_allowed_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"kind = 'dance'.*confirm, hold"):
        read_request("dance", {})
    with pytest.raises(InvalidInput, match=r"arguments\.lane_id.*Field required"):
        read_request("reset", {})
    with pytest.raises(InvalidInput, match=r"arguments\.swap_id = 'sw-1'.*not permitted"):
        read_request("hold", {"swap_id": "sw-1"})
    assert Hold().arguments() == {}
    assert Hold(reason="smoke seen").arguments() == {"reason": "smoke seen"}


def test_every_request_has_a_handler_of_the_controller() -> None:
    answerer = Answerer(cast("StationActions", None))
    assert set(answerer.handlers) == set(REQUESTS.values())
