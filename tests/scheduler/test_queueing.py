"""Order of the queue, overtaking, lanes, and what a waiting truck is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from scheduler.charging import plan_charging
from scheduler.queueing import explain_queue, explain_wait, in_order, next_dispatch
from scheduler.types import (
    BayRole,
    BayView,
    ChargingPolicy,
    Dispatch,
    LaneView,
    PackChoice,
    PackState,
    QueueEntry,
    StationMode,
    StationView,
    TariffSlice,
)
from scheduler.waiting import BY_MODE, Wait
from tests.support.scheduler.views import (
    AT,
    KIND,
    KINDS,
    LANE,
    OTHER,
    charging,
    choose_packs,
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


def called(view: StationView) -> str | None:
    dispatch = next_dispatch(view, POLICY)
    return None if dispatch is None else dispatch.swap_id


def test_truck_gets_lane_pack_and_bay() -> None:
    view = station(rack(pack(), None), [truck(1)])
    assert next_dispatch(view, POLICY) == Dispatch("S1", "L1", PackChoice(("A1",), ("P1",)), ("A2",))


def test_order_of_the_queue() -> None:
    hour = timedelta(hours=1)  # the view is at AT + 1 h
    queue = [
        truck(1),
        truck(2, booked_from_at=AT + hour, booked_until_at=AT + 2 * hour),
        truck(3, booked_from_at=AT, booked_until_at=AT + hour),  # too late: the window is half open
        truck(4, booked_from_at=AT + 2 * hour, booked_until_at=AT + 3 * hour),  # too early
        truck(5, booked_from_at=AT),
        truck(6, priority=1),
        truck(0, minutes=1),
    ]
    assert [e.swap_id for e in in_order(station(queue=queue))] == ["S6", "S2", "S5", "S0", "S1", "S3", "S4"]


@pytest.mark.parametrize("mode", [mode for mode in StationMode if mode is not StationMode.AUTOMATIC])
def test_only_an_automatic_station_calls(mode: StationMode) -> None:
    assert called(station(rack(pack(), None), [truck(1)], mode=mode)) is None


@pytest.mark.parametrize(
    "lanes",
    [
        (),
        (LaneView("L1", ready=False),),
        (LaneView("L1", ready=True, open_swap_id="S9"),),
        (LaneView("L1", ready=True, swap_modes=frozenset({"chassis"})),),
    ],
)
def test_no_lane_no_call(lanes: tuple[LaneView, ...]) -> None:
    assert called(station(rack(pack(), None), [truck(1)], lanes)) is None


def test_lane_of_the_trucks_swap_mode() -> None:
    lanes = (
        LaneView("L1", ready=True, swap_modes=frozenset({"chassis"})),
        LaneView("L2", ready=True, swap_modes=frozenset({"top_lift"})),
    )
    dispatch = next_dispatch(station(rack(pack(), None), [truck(1)], lanes), POLICY)
    assert dispatch is not None
    assert dispatch.lane_id == "L2"


def test_lane_that_reaches_a_pack() -> None:
    full, free = rack(pack(), None)
    lanes = (LaneView("L1", ready=True), LaneView("L2", ready=True))
    view = station([replace(full, lanes=frozenset({"L2"})), free], [truck(1)], lanes)
    dispatch = next_dispatch(view, POLICY)
    assert dispatch is not None
    assert dispatch.lane_id == "L2"


class TestOvertaking:
    """A truck that cannot be served lets only trucks of other kinds pass."""

    other = frozenset({OTHER})
    both = frozenset({KIND, OTHER})

    def test_same_kind_never(self) -> None:
        # The first needs two packs and there is one; the second would be content with it.
        view = station(rack(pack(), None, None), [truck(1, packs_needed=2), truck(2)])
        assert called(view) is None

    def test_less_energy_asked_is_no_reason(self) -> None:
        view = station(rack(pack(91), charging(50), None), [truck(1, min_energy_kwh=260.0), truck(2)])
        assert called(view) is None

    def test_other_kind_may(self) -> None:
        view = station(rack(pack(kind=OTHER), None), [truck(1), truck(2, accepts=self.other)])
        assert called(view) == "S2"

    def test_shared_kind_is_kept_for_the_first(self) -> None:
        first = truck(1, accepts=self.both, packs_needed=2)
        bays = rack(pack(), pack(kind=OTHER), None, None)
        assert called(station(bays, [first, truck(2), truck(3, accepts=self.other)])) is None

    def test_truck_of_two_kinds_gets_the_one_nobody_ahead_waits_for(self) -> None:
        view = station(
            rack(pack(95), pack(91, kind=OTHER), None, None),
            [truck(1, packs_needed=2), truck(2, accepts=self.both)],
        )
        dispatch = next_dispatch(view, POLICY)
        assert dispatch is not None
        assert (dispatch.swap_id, dispatch.packs.bay_ids) == ("S2", ("A2",))

    def test_waiting_for_a_lane_keeps_pack_and_bay(self) -> None:
        lanes = (
            LaneView("L1", ready=False, swap_modes=frozenset({"top_lift"})),
            LaneView("L2", ready=True, swap_modes=frozenset({"chassis"})),
        )
        queue = [truck(1), truck(2, swap_mode="chassis")]
        assert called(station(rack(pack(), None, None), queue, lanes)) is None
        assert called(station(rack(pack(), pack(), None), queue, lanes)) is None
        dispatch = next_dispatch(station(rack(pack(91), pack(95), None, None), queue, lanes), POLICY)
        assert dispatch == Dispatch("S2", "L2", PackChoice(("A1",), ("P1",)), ("A4",))


class TestEmptyBays:
    """Where the packs that come off go."""

    in_out = LaneView("L1", ready=True, swap_order="in_out")
    transfer = BayView("T1", 90, BayRole.TRANSFER, occupied=False)

    def test_out_in_needs_one_before_the_call(self) -> None:
        view = station(rack(pack(), pack()), [truck(1)])
        assert called(view) is None
        assert explain_wait(view, truck(1), POLICY) is Wait.NO_EMPTY_BAY

    def test_nothing_comes_off(self) -> None:
        dispatch = next_dispatch(station(rack(pack()), [truck(1, installed_kinds=())]), POLICY)
        assert dispatch is not None
        assert dispatch.empty_bay_ids == ()

    def test_unknown_kind_needs_a_bay_for_every_kind(self) -> None:
        full, free = rack(pack(), None)
        free = replace(free, kinds=frozenset({KIND}))
        entry = truck(1, accepts=frozenset({KIND, OTHER}))
        assert called(station([full, free], [entry])) is None
        assert called(station([full, free], [replace(entry, installed_kinds=(KIND,))])) == "S1"

    def test_in_out_uses_the_bay_the_new_pack_leaves(self) -> None:
        view = station([*rack(pack(), pack()), self.transfer], [truck(1)], [self.in_out])
        dispatch = next_dispatch(view, POLICY)
        assert dispatch is not None
        assert dispatch.empty_bay_ids == dispatch.packs.bay_ids == ("A1",)

    @pytest.mark.parametrize(
        "changes",
        [{"occupied": True}, {"occupied": None}, {"blocked": True}, {"reserved_by": "S9"}, {"pack": pack()}],
        ids=str,
    )
    def test_in_out_needs_the_transfer_bay(self, changes: dict[str, Any]) -> None:
        bays = [*rack(pack(), None), replace(self.transfer, **changes)]
        assert called(station(bays, [truck(1)], [self.in_out])) is None

    def test_in_out_elsewhere_where_the_kind_does_not_fit(self) -> None:
        full, free = rack(pack(), None)
        entry = truck(1, accepts=frozenset({KIND, OTHER}), installed_kinds=(OTHER,))
        view = station([replace(full, kinds=frozenset({KIND})), free], [entry], [self.in_out])
        dispatch = next_dispatch(view, POLICY)
        assert dispatch is not None
        assert dispatch.empty_bay_ids == ("A2",)


def test_calls_one_after_another_until_packs_or_bays_end() -> None:
    bays = list(rack(pack(92), pack(95), pack(93), None, None))
    queue = [truck(n) for n in (1, 2, 3)]
    lanes = [LaneView(f"L{n}", ready=True) for n in (1, 2, 3)]
    served = []
    while dispatch := next_dispatch(station(bays, queue, lanes), POLICY):
        served.append((dispatch.swap_id, dispatch.lane_id, dispatch.packs.bay_ids, dispatch.empty_bay_ids))
        queue = [e for e in queue if e.swap_id != dispatch.swap_id]
        lanes = [replace(x, ready=x.ready and x.lane_id != dispatch.lane_id) for x in lanes]
        mine = {*dispatch.packs.bay_ids, *dispatch.empty_bay_ids}
        bays = [replace(b, reserved_by=dispatch.swap_id) if b.bay_id in mine else b for b in bays]
    assert served == [("S1", "L1", ("A2",), ("A4",)), ("S2", "L2", ("A3",), ("A5",))]


@pytest.mark.parametrize(
    ("bays", "reason"),
    [
        (rack(pack(), None), None),
        (rack(charging(50), None), Wait.NOT_CHARGED),
        (rack(None), Wait.NONE_OF_KIND),
        (rack(pack(reading_age_s=99.0), None), Wait.UNSAFE),
        (rack(pack(state=PackState.RESERVED), None), Wait.ALL_PROMISED),
        (rack(pack()), Wait.NO_EMPTY_BAY),
    ],
)
def test_explanation(bays: tuple[BayView, ...], reason: Wait | None) -> None:
    busy = LaneView("L1", ready=False, open_swap_id="S9")
    assert explain_wait(station(bays, [truck(1)], [busy]), truck(1), POLICY) is reason


def test_explanation_where_one_of_two_lanes_could_serve() -> None:
    full, free = rack(pack(), None)
    view = station([replace(full, lanes=frozenset({"L2"})), free], lanes=[LANE, LaneView("L2", ready=False)])
    assert explain_wait(view, truck(1), POLICY) is None
    assert explain_wait(station([full, free], lanes=()), truck(1), POLICY) is Wait.NO_LANE


def causes(view: StationView) -> dict[str, tuple[Wait, tuple[str, ...]]]:
    return {swap_id: (found.cause, found.names) for swap_id, found in explain_queue(view, POLICY).items()}


def test_each_truck_of_a_queue_is_told_what_stops_it() -> None:
    """S15: a call, its turn, a lane, a pack, a bay: each truck has the cause that stops it, and no other."""
    two = truck(3, packs_needed=2, accepts=frozenset({OTHER}))
    others = pack(95, kind=OTHER), pack(95, kind=OTHER)
    lanes = [LANE, LaneView("L2", ready=False, open_swap_id="S9"), LaneView("L3", ready=False)]
    view = station(
        rack(pack(), pack(), charging(50), *others, None, None, None, None), [truck(1), truck(2), two], lanes
    )
    assert causes(view) == {
        "S1": (Wait.NEXT, ("L1",)),
        "S2": (Wait.LANE_BUSY, ("L1", "L2")),
        "S3": (Wait.LANE_BUSY, ("L1", "L2")),
    }
    assert causes(replace(view, lanes=(lanes[2],)))["S1"] == (Wait.LANE_NOT_READY, ("L3",))
    none = station(rack(charging(50), None), [truck(1), truck(2), truck(3, accepts=frozenset({OTHER}))])
    assert causes(none) == {
        "S1": (Wait.NOT_CHARGED, (KIND,)),
        "S2": (Wait.KIND_AWAITED, ("V1",)),
        "S3": (Wait.NONE_OF_KIND, (OTHER,)),
    }


def test_two_lanes_and_one_empty_bay() -> None:
    """S15: the second truck waits for a bay, though its lane and a pack are free."""
    lanes = [LANE, LaneView("L2", ready=True)]
    view = station(rack(pack(), pack(), None), [truck(1), truck(2)], lanes)
    assert causes(view) == {"S1": (Wait.NEXT, ("L1",)), "S2": (Wait.AHEAD_TAKES, ("V1",))}
    full, other, free = view.bays
    after = replace(
        view,
        bays=(replace(full, reserved_by="S1"), other, replace(free, reserved_by="S1")),
        lanes=(LaneView("L1", ready=False, open_swap_id="S1"), lanes[1]),
        queue=view.queue[1:],
    )
    assert causes(after) == {"S2": (Wait.NO_EMPTY_BAY, ())}


def test_a_transfer_bay_and_a_swap_mode_are_causes_of_their_own() -> None:
    in_out = LaneView("L1", ready=True, swap_order="in_out", swap_modes=frozenset({"top_lift"}))
    transfer = BayView("T1", 90, BayRole.TRANSFER, occupied=True)
    view = station([*rack(pack(), None), transfer], [truck(1), truck(2, swap_mode="side_grab")], [in_out])
    assert causes(view) == {"S1": (Wait.TRANSFER_OCCUPIED, ()), "S2": (Wait.KIND_AWAITED, ("V1",))}
    alone = replace(view, queue=view.queue[1:])
    assert causes(alone) == {"S2": (Wait.NO_LANE, ("side_grab",))}


@pytest.mark.parametrize("mode", [mode for mode in StationMode if mode is not StationMode.AUTOMATIC])
def test_a_station_that_calls_nobody_is_the_cause(mode: StationMode) -> None:
    assert causes(station(rack(pack(), None), [truck(1)], mode=mode)) == {"S1": (BY_MODE[mode], ())}


@given(racks(), queues, lane_lists)
def test_reasons_and_calls_agree(bays: tuple[BayView, ...], queue: list[QueueEntry], lanes: list[LaneView]) -> None:
    """S15: everybody has a reason, and "next" is told of just the truck and the lane that the decision calls."""
    view = station(bays, queue, lanes)
    found = explain_queue(view, POLICY)
    assert set(found) == {entry.swap_id for entry in queue}
    dispatch = next_dispatch(view, POLICY)
    first = next((swap_id for swap_id in found if found[swap_id].cause is Wait.NEXT), None)
    assert first == (None if dispatch is None else dispatch.swap_id)
    if dispatch is not None and first is not None:
        assert found[first].names == (dispatch.lane_id,)


@given(racks(), queues, lane_lists)
def test_a_call_is_safe_and_repeatable(
    bays: tuple[BayView, ...], queue: list[QueueEntry], lanes: list[LaneView]
) -> None:
    view = station(bays, queue, lanes)
    dispatch = next_dispatch(view, POLICY)
    assert dispatch == next_dispatch(replace(view, queue=tuple(reversed(queue))), POLICY)
    if dispatch is None:
        return
    by_id = {bay.bay_id: bay for bay in bays}
    entry = next(e for e in queue if e.swap_id == dispatch.swap_id)
    lane = next(x for x in lanes if x.lane_id == dispatch.lane_id)
    assert lane.ready
    assert lane.open_swap_id is None
    assert not lane.swap_modes or entry.swap_mode in lane.swap_modes
    assert len(set(dispatch.packs.bay_ids)) == entry.packs_needed
    assert len(set(dispatch.empty_bay_ids)) == entry.packs_needed
    for bay_id in dispatch.packs.bay_ids:
        bay = by_id[bay_id]
        assert is_offerable(bay, POLICY)
        assert bay.pack is not None
        assert bay.pack.kind in entry.accepts
        assert not bay.lanes or lane.lane_id in bay.lanes
    for bay_id in dispatch.empty_bay_ids:
        bay = by_id[bay_id]
        assert not bay.lanes or lane.lane_id in bay.lanes
        assert not bay.kinds or entry.accepts <= bay.kinds
        if bay_id not in dispatch.packs.bay_ids:
            assert bay.pack is None
            assert bay.occupied is False
        else:
            assert lane.swap_order == "in_out"


@given(racks(), queues)
def test_nobody_is_overtaken_for_the_same_kind(bays: tuple[BayView, ...], queue: list[QueueEntry]) -> None:
    view = station(bays, queue)  # one free lane for every swap mode
    dispatch = next_dispatch(view, POLICY)
    order = in_order(view)
    if dispatch is None:
        return
    by_id = {bay.bay_id: bay for bay in bays}
    given_kinds = {item.kind for bay_id in dispatch.packs.bay_ids if (item := by_id[bay_id].pack)}
    for ahead in order[: [e.swap_id for e in order].index(dispatch.swap_id)]:
        assert not given_kinds & ahead.accepts
        assert explain_wait(view, ahead, POLICY) is not None


@given(racks(), queues.filter(bool))
def test_the_first_truck_is_called_whenever_it_can_be(bays: tuple[BayView, ...], queue: list[QueueEntry]) -> None:
    view = station(bays, queue)
    first = in_order(view)[0]
    servable = explain_wait(view, first, POLICY) is None
    assert (called(view) == first.swap_id) is servable
    if servable:
        assert isinstance(choose_packs(view, first, POLICY, "L1"), tuple)


def coming(number: int, **changes: Any) -> QueueEntry:
    """A truck that has booked the hour after the view and is still to come."""
    hour = timedelta(hours=1)
    values: dict[str, Any] = {"booked_from_at": AT + hour, "booked_until_at": AT + 2 * hour}
    return truck(number, **(values | changes))


def test_the_last_pack_is_kept_from_a_walk_in_for_one_who_has_booked() -> None:
    view = station(rack(pack(), None), [truck(1)])
    assert called(view) == "S1"
    kept = replace(view, promised=(coming(9),))
    assert called(kept) is None
    assert explain_queue(kept, POLICY)["S1"].cause is Wait.ALL_PROMISED
    assert called(replace(kept, bays=rack(pack(), pack(), None))) == "S1"


def test_a_kept_pack_goes_to_who_has_booked_and_to_a_higher_priority() -> None:
    hour = timedelta(hours=1)
    view = station(rack(pack(), None), promised=(coming(9),))
    booked = truck(1, booked_from_at=AT + hour, booked_until_at=AT + 2 * hour)
    assert called(replace(view, queue=(booked,))) == "S1"
    assert called(replace(view, queue=(truck(1, priority=1),))) == "S1"
    assert called(replace(view, queue=(truck(1, priority=1),), promised=(coming(9, priority=1),))) is None
    assert called(replace(view, queue=(booked,), promised=(coming(9, priority=1),))) is None


def test_packs_are_kept_of_the_kinds_and_the_energy_that_were_promised() -> None:
    bays = rack(pack(), pack(92.0, kind=OTHER), None)
    walk_in = truck(1, accepts=frozenset({KIND, OTHER}))
    view = station(bays, [walk_in])
    assert next_dispatch(replace(view, promised=(coming(9),)), POLICY) == Dispatch(
        "S1", "L1", PackChoice(("A2",), ("P2",)), ("A3",)
    )
    full = coming(9, min_energy_kwh=265.0)
    poor = station(rack(pack(91.0), pack(95.0), None), [truck(1)], promised=(full,))
    found = next_dispatch(poor, POLICY)
    assert found is not None
    assert found.packs.bay_ids == ("A1",)


def test_what_is_ready_of_two_packs_waits_for_the_other() -> None:
    view = station(rack(pack(), charging(50.0), None), [truck(1)], promised=(coming(9, packs_needed=2),))
    assert called(view) is None


def test_the_one_who_has_booked_and_is_here_leaves_what_is_promised_to_others() -> None:
    """Two packs: one for who is here, one kept, none for the walk-in."""
    hour = timedelta(hours=1)
    booked = truck(1, booked_from_at=AT + hour, booked_until_at=AT + 2 * hour)
    bays = rack(pack(), pack(), None, None)
    view = station(bays, [booked, truck(2)], [LANE, LaneView("L2", ready=True)], promised=(coming(9),))
    first = next_dispatch(view, POLICY)
    assert first is not None
    assert first.swap_id == "S1"
    taken = [replace(bay, reserved_by="S1") if bay.bay_id in first.packs.bay_ids else bay for bay in bays]
    assert called(replace(view, bays=tuple(taken), queue=(truck(2),))) is None


def test_packs_for_those_who_have_booked_are_charged_in_dear_hours() -> None:
    """Nothing is spare that is promised: the price rule does not hold it back."""
    dear = (
        TariffSlice(AT, AT + timedelta(hours=2), "peak", 1.2),
        TariffSlice(AT + timedelta(hours=2), AT + timedelta(hours=9), "valley", 0.2),
    )
    policy = replace(POLICY, reserve_ready=1)
    view = station(rack(pack(), charging(60.0)))
    idle = plan_charging(view, policy, KINDS, dear)
    busy = plan_charging(replace(view, promised=(coming(9),)), policy, KINDS, dear)
    assert idle["A2"].power_kw == 0.0
    assert busy["A2"].power_kw > 0.0
