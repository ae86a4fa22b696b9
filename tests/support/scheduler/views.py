"""Views for tests of decisions: a healthy station with few words, and strategies for sick ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from scheduler import choice
from scheduler.rows import BayRow
from scheduler.types import (
    BayRole,
    BayView,
    ChargingPolicy,
    LaneView,
    PackState,
    PackView,
    QueueEntry,
    SiteLimits,
    StationMode,
    StationView,
)
from scheduler.view_rows import bay_row, rows_of, truck_row
from scheduler.waiting import Wait

AT = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)  # noon in Shanxi
KIND = "lfp-282"
OTHER = "lfp-171"


@dataclass(frozen=True, slots=True)
class Limits:
    """Charging limits of a kind of pack."""

    max_charge_kw: float = 282.0
    charge_temp_min_c: float = 0.0
    charge_temp_max_c: float = 50.0
    charge_efficiency: float = 0.96


KINDS = {KIND: Limits(), OTHER: Limits(max_charge_kw=171.0)}


def pack(soc_pct: float | None = 95.0, state: PackState = PackState.READY, **changes: Any) -> PackView:
    """A healthy pack."""
    values: dict[str, Any] = {
        "pack_id": "P",
        "kind": KIND,
        "state": state,
        "rated_kwh": 282.0,
        "soc_pct": soc_pct,
        "temp_max_c": 27.0,
        "temp_min_c": 24.0,
        "max_charge_kw": 282.0,
        "reading_age_s": 1.0,
    }
    return PackView(**(values | changes))


def charging(soc_pct: float, **changes: Any) -> PackView:
    """A healthy pack that may be charged."""
    return pack(soc_pct, PackState.WAITING, **changes)


def site(grid_limit_kw: float, **changes: Any) -> SiteLimits:
    """Limits of a site whose chargers lose nothing, unless `changes` say so: for arithmetic in the head."""
    values: dict[str, Any] = {"charger_efficiency": 1.0}
    return SiteLimits(grid_limit_kw, **(values | changes))


def rack(*packs: PackView | None, charger_kw: float = 240.0) -> tuple[BayView, ...]:
    """Bays A1… with these packs; None is an empty bay."""
    return tuple(
        BayView(
            bay_id=f"A{number}",
            position=number,
            pack=None if item is None else replace(item, pack_id=f"P{number}"),
            max_charge_kw=charger_kw,
            occupied=item is not None,
        )
        for number, item in enumerate(packs, start=1)
    )


def truck(number: int, minutes: float | None = None, **changes: Any) -> QueueEntry:
    """A truck that came `minutes` (default: its number) after the start of the hour."""
    arrived_at = AT + timedelta(minutes=number if minutes is None else minutes)
    values: dict[str, Any] = {
        "swap_id": f"S{number}",
        "vehicle_id": f"V{number}",
        "arrived_at": arrived_at,
        "accepts": frozenset({KIND}),
    }
    return QueueEntry(**(values | changes))


LANE = LaneView("L1", ready=True)


def station(
    bays: Sequence[BayView] = (),
    queue: Sequence[QueueEntry] = (),
    lanes: Sequence[LaneView] = (LANE,),
    grid_limit_kw: float = 2000.0,
    **changes: Any,
) -> StationView:
    """An automatic station at noon."""
    values: dict[str, Any] = {
        "at": AT + timedelta(hours=1),
        "mode": StationMode.AUTOMATIC,
        "limits": site(grid_limit_kw, base_load_kw=30.0),
    }
    return StationView(bays=tuple(bays), queue=tuple(queue), lanes=tuple(lanes), **(values | changes))


def row(view: BayView) -> BayRow:
    """The row of a bay."""
    return bay_row(view, {})


def is_offerable(view: BayView, policy: ChargingPolicy) -> bool:
    """`choice.is_offerable` of a view."""
    return choice.is_offerable(row(view), policy)


def energy_of(view: PackView) -> float:
    """`choice.energy_of` of a view."""
    pack = row(BayView("A1", 1, pack=view)).pack
    assert pack is not None
    return choice.energy_of(pack)


def choose_packs(
    view: StationView, entry: QueueEntry, policy: ChargingPolicy, lane_id: str | None = None
) -> tuple[str, ...] | Wait:
    """Bays whose packs a truck gets, or why there are none."""
    bays, truck = rows_of(view, {}).bays, truck_row(entry)
    found = choice.pick_packs(bays, truck, policy, lane_id)
    return choice.why_no_pack(bays, truck, policy, lane_id) if found is None else tuple(bay.bay_id for bay in found)


def choose_empty_bays(
    view: StationView, kinds: Sequence[str], lane_id: str | None = None, kept: Collection[str] = ()
) -> tuple[str, ...] | None:
    """Bays for packs of these kinds; None when there are not enough."""
    seats = [frozenset((kind,)) for kind in kinds]
    found = choice.pick_empty_bays(rows_of(view, {}).bays, seats, lane_id, set(kept), view.held_empty_bays)
    return None if found is None else tuple(bay.bay_id for bay in found)


WILD = st.one_of(
    st.floats(-1e3, 1e4),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, -1.0, 1e18, -1e18, 5e-324, 2.0**31, -(2.0**31)]),
)
"""Numbers a broken meter, an overflow or a bad file can bring."""

maybe = st.none() | WILD

wild_packs = st.builds(
    PackView,
    pack_id=st.just("P"),
    kind=st.sampled_from([KIND, OTHER, "unheard-of"]),
    state=st.sampled_from(PackState) | st.sampled_from([PackState.READY, PackState.WAITING]),
    rated_kwh=st.sampled_from([171.0, 282.0]),
    soh_pct=st.floats(60, 100),
    energy_kwh=st.none() | st.floats(0, 282),
    soc_pct=st.none() | st.floats(0, 100) | WILD,
    temp_max_c=st.floats(-30, 70) | maybe,
    temp_min_c=st.floats(-30, 70) | maybe,
    max_charge_kw=st.floats(0, 400) | maybe,
    alarm_level=st.sampled_from([0, 0, 0, 1, 2, 3]),
    reading_age_s=st.floats(0, 20) | maybe,
)
healthy_packs = st.builds(
    pack,
    soc_pct=st.floats(0, 100),
    state=st.sampled_from([PackState.READY, PackState.WAITING, PackState.CHARGING]),
    kind=st.sampled_from([KIND, OTHER]),
    temp_max_c=st.floats(5, 55),
    max_charge_kw=st.floats(0, 300),
)


@st.composite
def racks(draw: st.DrawFn, packs: st.SearchStrategy[PackView] = wild_packs | healthy_packs) -> tuple[BayView, ...]:
    """Up to ten bays, some sick, each with its own pack or none."""
    contents = draw(st.lists(st.none() | packs, max_size=10))
    return tuple(
        BayView(
            bay_id=f"A{number}",
            position=number,
            role=draw(st.sampled_from([BayRole.RACK, BayRole.RACK, BayRole.RACK, *BayRole])),
            pack=None if item is None else replace(item, pack_id=f"P{number}"),
            kinds=draw(st.sampled_from([frozenset(), frozenset({KIND}), frozenset({KIND, OTHER})])),
            max_charge_kw=draw(st.sampled_from([240.0, 240.0, 60.0, 0.0]) | WILD),
            charger_ok=draw(st.sampled_from([True, True, True, False])),
            blocked=draw(st.sampled_from([False, False, False, True])),
            occupied=draw(st.sampled_from([item is not None, item is not None, None, item is None])),
            reserved_by=draw(st.sampled_from([None, None, None, "S0"])),
            lanes=draw(st.sampled_from([frozenset(), frozenset(), frozenset({"L1"}), frozenset({"L2"})])),
        )
        for number, item in enumerate(contents, start=1)
    )


site_limits = st.builds(
    SiteLimits,
    grid_limit_kw=st.floats(0, 3000) | WILD,
    base_load_kw=st.floats(0, 100) | WILD,
    pv_kw=st.floats(0, 500) | WILD,
    storage_kw=st.floats(-500, 500) | WILD,
    dr_limit_kw=st.none() | st.floats(0, 3000) | WILD,
    measured_import_kw=st.none() | st.floats(-500, 4000) | WILD,
    charging_kw=st.none() | st.floats(0, 3000) | WILD,
    charger_efficiency=st.floats(0.8, 1.0) | WILD,
)

queues = st.lists(
    st.builds(
        truck,
        number=st.integers(1, 99),
        minutes=st.integers(0, 9),
        accepts=st.sampled_from([frozenset({KIND}), frozenset({OTHER}), frozenset({KIND, OTHER})]),
        packs_needed=st.sampled_from([1, 1, 2]),
        priority=st.sampled_from([0, 0, 1]),
        min_energy_kwh=st.sampled_from([0.0, 0.0, 160.0, 270.0]),
        swap_mode=st.sampled_from(["top_lift", "chassis"]),
        booked_from_at=st.sampled_from([None, AT, AT + timedelta(hours=2)]),
        booked_until_at=st.sampled_from([None, AT + timedelta(minutes=30), AT + timedelta(hours=3)]),
    ),
    max_size=8,
    unique_by=lambda entry: entry.swap_id,
)

lane_lists = st.lists(
    st.builds(
        LaneView,
        lane_id=st.sampled_from(["L1", "L2"]),
        ready=st.sampled_from([True, True, False]),
        swap_modes=st.sampled_from([frozenset(), frozenset({"top_lift"}), frozenset({"chassis"})]),
        open_swap_id=st.sampled_from([None, None, "S0"]),
        swap_order=st.sampled_from(["out_in", "in_out"]),
    ),
    max_size=2,
    unique_by=lambda lane: lane.lane_id,
)
