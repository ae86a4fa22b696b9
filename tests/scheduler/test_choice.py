"""Which packs and bays are chosen, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.types import (
    BayRole,
    BayView,
    ChargingPolicy,
    PackState,
    PackView,
    QueueEntry,
)
from scheduler.waiting import Wait
from tests.support.scheduler.views import (
    KIND,
    OTHER,
    charging,
    choose_empty_bays,
    choose_packs,
    energy_of,
    is_offerable,
    lane_lists,
    pack,
    queues,
    rack,
    racks,
    station,
    truck,
)

POLICY = ChargingPolicy()
NAN = float("nan")


@pytest.mark.parametrize(
    "changes",
    [
        {"soc_pct": 89.9},
        {"soc_pct": None},
        {"soc_pct": NAN},
        {"reading_age_s": None},
        {"reading_age_s": 10.1},
        {"reading_age_s": NAN},
        {"alarm_level": 2},
        {"alarm_level": 3},
        {"temp_max_c": None},
        {"temp_max_c": 50.0},
        {"temp_max_c": NAN},
        {"temp_min_c": None},
        {"temp_min_c": -20.1},
        {"temp_min_c": NAN},
        *({"state": state} for state in PackState if state is not PackState.READY),
    ],
    ids=str,
)
def test_pack_in_doubt_is_not_offered(changes: dict[str, Any]) -> None:
    (bay,) = rack(pack(**changes))
    assert not is_offerable(bay, POLICY)


@pytest.mark.parametrize(
    "changes",
    [
        {"blocked": True},
        {"occupied": False},
        {"reserved_by": "S9"},
        {"role": BayRole.TRANSFER},
        {"role": BayRole.QUARANTINE},
        {"pack": None},
    ],
    ids=str,
)
def test_pack_in_a_doubtful_bay_is_not_offered(changes: dict[str, Any]) -> None:
    (bay,) = rack(pack())
    assert not is_offerable(replace(bay, **changes), POLICY)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"soc_pct": 90.0},
        {"soc_pct": 89.9999999999},  # rounding of a computed state of charge
        {"alarm_level": 1},
        {"reading_age_s": 10.0},
        {"temp_min_c": -15.0},
        {"energy_kwh": None},
    ],
    ids=str,
)
def test_healthy_pack_is_offered(changes: dict[str, Any]) -> None:
    (bay,) = rack(pack(**changes))
    assert is_offerable(bay, POLICY)
    assert is_offerable(replace(bay, occupied=None), POLICY)  # a silent sensor contradicts nothing


def chosen(packs: Sequence[PackView | None], entry: QueueEntry | None = None, lane_id: str | None = None) -> Any:
    return choose_packs(station(rack(*packs)), entry or truck(1), POLICY, lane_id)


def test_fullest_pack_first_then_lowest_position() -> None:
    assert chosen([pack(92), pack(95), pack(95), pack(91)]) == ("A2",)
    assert chosen([pack(95, soh_pct=80), pack(92)]) == ("A2",)  # more energy at a lower state of charge
    assert chosen([pack(92, energy_kwh=270.0), pack(95, energy_kwh=260.0)]) == ("A1",)
    assert chosen([pack(92), pack(95, energy_kwh=inf), pack(95, energy_kwh=nan)]) == ("A1",)  # nonsense is unfit


@pytest.mark.parametrize(
    ("packs", "bays"),
    [
        ([pack(95), pack(91), pack(94.8)], ("A1", "A3")),
        ([pack(95), pack(91), pack(90.8)], ("A2", "A3")),
        ([pack(95), pack(94), pack(92), pack(91.6)], ("A3", "A4")),
        ([pack(95), pack(94.9), pack(94.8)], ("A1", "A2")),
        ([pack(93, kind=OTHER), pack(95), pack(93, kind=OTHER)], ("A1", "A3")),
        ([pack(93), pack(93), pack(93)], ("A1", "A2")),
    ],
)
def test_two_packs_are_of_one_kind_and_as_equal_as_can_be(packs: list[PackView | None], bays: tuple[str, ...]) -> None:
    assert chosen(packs, truck(1, packs_needed=2, accepts=frozenset({KIND, OTHER}))) == bays


def test_lane_must_reach_the_bay() -> None:
    left, right = rack(pack(95), pack(91))
    view = station([replace(left, lanes=frozenset({"L2"})), right])
    assert choose_packs(view, truck(1), POLICY, "L1") == ("A2",)
    assert choose_packs(view, truck(1), POLICY, "L2") == ("A1",)


PROMISED = pack(state=PackState.RESERVED)
STALE = pack(reading_age_s=60.0)
BROKEN = charging(40, alarm_level=3)
QUARANTINED = pack(state=PackState.QUARANTINED)


@pytest.mark.parametrize(
    ("packs", "needed", "reason"),
    [
        ([], 1, Wait.NONE_OF_KIND),
        ([None, None], 1, Wait.NONE_OF_KIND),
        ([pack(kind=OTHER)], 1, Wait.NONE_OF_KIND),
        ([QUARANTINED], 1, Wait.NONE_OF_KIND),
        ([pack(state=PackState.PICKED)], 1, Wait.NONE_OF_KIND),
        ([pack()], 2, Wait.NONE_OF_KIND),
        ([pack(), pack(kind=OTHER)], 2, Wait.NONE_OF_KIND),
        ([charging(89)], 1, Wait.NOT_CHARGED),
        ([charging(89), PROMISED], 1, Wait.NOT_CHARGED),
        ([pack(95), charging(10)], 2, Wait.NOT_CHARGED),
        ([pack(soc_pct=40, state=PackState.COOLING)], 1, Wait.NOT_CHARGED),
        ([charging(93)], 1, Wait.NOT_CHARGED),  # not yet called ready
        ([PROMISED], 1, Wait.ALL_PROMISED),
        ([PROMISED, pack()], 2, Wait.ALL_PROMISED),
        ([STALE], 1, Wait.UNSAFE),
        ([STALE, charging(10)], 1, Wait.UNSAFE),
        ([STALE, PROMISED], 1, Wait.UNSAFE),
        ([pack(None, reading_age_s=None)], 1, Wait.UNSAFE),
        ([pack(temp_max_c=55.0)], 1, Wait.UNSAFE),
        ([pack(state=PackState.BLOCKED)], 1, Wait.UNSAFE),
        ([BROKEN], 1, Wait.UNSAFE),
        ([BROKEN, charging(10)], 1, Wait.NOT_CHARGED),
        ([BROKEN, PROMISED], 1, Wait.ALL_PROMISED),
    ],
)
def test_reason_is_precise(packs: list[PackView | None], needed: int, reason: Wait) -> None:
    assert chosen(packs, truck(1, packs_needed=needed)) is reason


def test_reason_for_least_energy() -> None:
    asks_much = truck(1, min_energy_kwh=260.0)
    assert chosen([pack(91), pack(93)], asks_much) == ("A2",)
    assert chosen([pack(91)], asks_much) is Wait.NOT_CHARGED
    assert chosen([pack(95)], truck(1, min_energy_kwh=270.0)) is Wait.NONE_OF_KIND


def test_reserved_bay_counts_as_promised() -> None:
    (bay,) = rack(pack())
    view = station([replace(bay, reserved_by="S9")])
    assert choose_packs(view, truck(1), POLICY) is Wait.ALL_PROMISED


def empty(position: int, kw: float = 240.0, **changes: Any) -> BayView:
    values: dict[str, Any] = {
        "bay_id": f"A{position}",
        "position": position,
        "max_charge_kw": kw,
        "occupied": False,
    }
    return BayView(**(values | changes))


@pytest.mark.parametrize(
    ("bays", "kinds", "answer"),
    [
        ([empty(1), empty(2)], (KIND,), ("A1",)),
        ([empty(1, 120), empty(2, 240)], (KIND,), ("A2",)),
        ([empty(1, charger_ok=False), empty(2, 60)], (KIND,), ("A2",)),
        ([empty(1), empty(2, kinds=frozenset({KIND}))], (KIND,), ("A2",)),
        ([empty(1, occupied=None), empty(2)], (KIND,), ("A2",)),
        ([empty(1, occupied=True), empty(2)], (KIND,), ("A2",)),
        ([empty(1, blocked=True), empty(2)], (KIND,), ("A2",)),
        ([empty(1, reserved_by="S9"), empty(2)], (KIND,), ("A2",)),
        ([empty(1, role=BayRole.TRANSFER), empty(2)], (KIND,), ("A2",)),
        ([empty(1, pack=pack()), empty(2)], (KIND,), ("A2",)),
        ([empty(1, lanes=frozenset({"L2"})), empty(2)], (KIND,), ("A2",)),
        ([empty(1, kinds=frozenset({OTHER})), empty(2)], (KIND,), ("A2",)),
        ([empty(1), empty(2)], (KIND, KIND), ("A1", "A2")),
        ([empty(1), empty(2, 120, kinds=frozenset({KIND}))], (KIND, OTHER), ("A2", "A1")),
        ([empty(1)], (KIND, KIND), None),
        ([], (KIND,), None),
        ([], (), ()),
    ],
)
def test_empty_bays(bays: list[BayView], kinds: tuple[str, ...], answer: object) -> None:
    assert choose_empty_bays(station(bays), kinds, "L1") == answer


def test_empty_bays_left_over_and_excluded() -> None:
    view = station([empty(1), empty(2)], held_empty_bays=1)
    assert choose_empty_bays(view, (KIND,)) == ("A1",)
    assert choose_empty_bays(view, (KIND, KIND)) is None
    assert choose_empty_bays(station([empty(1), empty(2)]), (KIND,), kept={"A1"}) == ("A2",)


@given(racks(), queues.filter(bool), st.sampled_from([None, "L1", "L2"]))
def test_nothing_unsafe_is_chosen(bays: tuple[BayView, ...], queue: list[QueueEntry], lane: str | None) -> None:
    view = station(bays)
    entry = queue[0]
    found = choose_packs(view, entry, POLICY, lane)
    assert found == choose_packs(view, entry, POLICY, lane)
    by_id = {bay.bay_id: bay for bay in bays}
    if isinstance(found, Wait):
        usable = [
            bay
            for bay in bays
            if is_offerable(bay, POLICY)
            and bay.pack is not None
            and bay.pack.kind in entry.accepts
            and energy_of(bay.pack) >= entry.min_energy_kwh
            and (lane is None or not bay.lanes or lane in bay.lanes)
        ]
        for kind in entry.accepts:
            assert sum(bay.pack.kind == kind for bay in usable if bay.pack) < entry.packs_needed
        return
    assert len(set(found)) == entry.packs_needed
    kinds = set()
    for bay_id in found:
        bay = by_id[bay_id]
        item = bay.pack
        assert item is not None
        kinds.add(item.kind)
        assert item.state is PackState.READY
        assert bay.role is BayRole.RACK
        assert not bay.blocked
        assert bay.reserved_by is None
        assert bay.occupied is not False
        assert item.soc_pct is not None
        assert item.soc_pct >= 90.0 - 1e-6
        assert item.reading_age_s is not None
        assert item.reading_age_s <= 10.0
        assert item.alarm_level <= 1
        assert item.temp_max_c is not None
        assert item.temp_max_c < 50.0
        assert item.temp_min_c is not None
        assert energy_of(item) >= entry.min_energy_kwh
        assert lane is None or not bay.lanes or lane in bay.lanes
    assert len(kinds) == 1
    assert kinds <= entry.accepts


@given(racks(), st.lists(st.sampled_from([KIND, OTHER]), min_size=1, max_size=2), lane_lists)
def test_bays_chosen_are_empty_and_fit(bays: tuple[BayView, ...], kinds: list[str], lanes: list[Any]) -> None:
    lane_id = lanes[0].lane_id if lanes else None
    view = station(bays)
    found = choose_empty_bays(view, tuple(kinds), lane_id)
    assert found == choose_empty_bays(view, tuple(kinds), lane_id)
    if found is None:
        return
    assert len(set(found)) == len(kinds)
    by_id = {bay.bay_id: bay for bay in bays}
    for bay_id, kind in zip(found, kinds, strict=True):
        bay = by_id[bay_id]
        assert bay.pack is None
        assert bay.occupied is False
        assert bay.role is BayRole.RACK
        assert not bay.blocked
        assert bay.reserved_by is None
        assert not bay.kinds or kind in bay.kinds
        assert lane_id is None or not bay.lanes or lane_id in bay.lanes
