"""Where a pack is: one function says it, for the journal, for pages and for the plant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from swap.places import ImpossiblePlace, place_of, place_within
from swap.tables import Pack


def pack(**where: Any) -> Pack:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Pack(id="P1", kind="K", owner_id="O", rated_kwh=282.0, state="ready", state_since_at=at, **where)


@pytest.mark.parametrize(
    ("where", "place", "within"),
    [
        ({"bay_id": "S:A1"}, "bay:S:A1", "bay:A1"),
        ({"vehicle_id": "V1", "seat": 2}, "vehicle:V1:2", "vehicle:V1:2"),
        ({"gripper_lane_id": "S:L1"}, "gripper:S:L1", "gripper:L1"),
        ({"tank_station_id": "S"}, "tank:S", "tank"),
        ({"off_site": True}, "off_site", "off_site"),
        ({"bay_id": "T:A1"}, "bay:T:A1", "bay:T:A1"),
        ({"tank_station_id": "T"}, "tank:T", "tank:T"),
        ({"vehicle_id": "S", "seat": 1}, "vehicle:S:1", "vehicle:S:1"),
    ],
)
def test_every_place_has_one_spelling_and_its_short_form(where: dict[str, object], place: str, within: str) -> None:
    assert place_of(pack(**where)) == place
    assert place_within(place, "S") == within


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({}, "pack P1 is in no place"),
        ({"bay_id": "S:A1", "off_site": True}, "pack P1 is in bay:S:A1 and off_site"),
        ({"vehicle_id": "V1"}, "pack P1 is in no place"),
    ],
)
def test_an_impossible_row_is_told_by_name(where: dict[str, object], told: str) -> None:
    with pytest.raises(ImpossiblePlace, match=told):
        place_of(pack(**where))
