"""Which truck is called next, and why a truck still waits.

Order of the queue: higher priority, then bookings whose window is open, then arrival, then swap id.

A truck that cannot be served does not block a later truck that takes other kinds of pack, but no later truck
gets a kind it waits for. A truck that only waits for its lane keeps the packs and bays it would get: a later
truck may use another lane with what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Final

from scheduler.choice import fits, is_offerable, pick_empty_bays, pick_packs, why_no_pack
from scheduler.rows import BayRow, LaneRow, TruckRow
from scheduler.types import (
    BayRole,
    ChargingPolicy,
    Dispatch,
    KindLimits,
    LaneView,
    NoPackReason,
    PackChoice,
    PackState,
    QueueEntry,
    Setpoints,
    StationMode,
    StationView,
)
from scheduler.view_rows import lane_row, rows_of, truck_row

_TRANSFER: Final = BayRole.TRANSFER


def is_walk_in(truck: TruckRow, at_s: float) -> bool:
    """Whether the truck has no booking whose window, [from, until), is open. Early and late it is a walk-in."""
    return not truck.booked_from_s <= at_s or truck.booked_until_s <= at_s


def goes_before(truck: TruckRow, other: TruckRow, at_s: float) -> bool:
    """Whether the first of two trucks that wait is served first."""
    if truck.priority != other.priority:
        return truck.priority > other.priority
    walks_in = is_walk_in(truck, at_s)
    if walks_in != is_walk_in(other, at_s):
        return not walks_in
    if truck.at_s != other.at_s:
        return truck.at_s < other.at_s
    return truck.swap_id < other.swap_id


class WaitingLine:
    """Trucks that wait, kept in the order in which they are served."""

    def __init__(self) -> None:
        self.trucks: list[TruckRow] = []
        """In the order that held when it was last put right."""
        self._windows: list[tuple[float, str, TruckRow]] = []
        """When windows open and close, soonest first: the truck then has another place."""

    def add(self, truck: TruckRow, at_s: float) -> None:
        """A truck begins to wait."""
        self.put_right(at_s)
        self._insert(truck, at_s)
        for change_s in {truck.booked_from_s, truck.booked_until_s}:
            if at_s < change_s < inf:
                heappush(self._windows, (change_s, truck.swap_id, truck))

    def remove(self, truck: TruckRow) -> None:
        """A truck no longer waits."""
        self.trucks.remove(truck)

    def put_right(self, at_s: float) -> None:
        """Bring the trucks into the order that holds at an instant."""
        moved: list[TruckRow] = []
        while self._windows and self._windows[0][0] <= at_s:
            truck = heappop(self._windows)[2]
            if truck in self.trucks:
                self.trucks.remove(truck)
                moved.append(truck)
        for truck in moved:
            self._insert(truck, at_s)

    def _insert(self, truck: TruckRow, at_s: float) -> None:
        low, high = 0, len(self.trucks)
        while low < high:
            middle = (low + high) // 2
            if goes_before(truck, self.trucks[middle], at_s):
                high = middle
            else:
                low = middle + 1
        self.trucks.insert(low, truck)


class Called:
    """The truck that is called, its lane, the bays whose packs it gets, and those its own packs go to."""

    def __init__(self, truck: TruckRow, lane: LaneRow, packs: list[BayRow], empty: list[BayRow]) -> None:
        self.truck = truck
        self.lane = lane
        self.packs = packs
        self.empty = empty


def call_next(
    line: list[TruckRow],
    lanes: Sequence[LaneRow],
    charged: list[BayRow],
    vacant: list[BayRow],
    transfers: list[BayRow],
    policy: ChargingPolicy,
    held_empty_bays: int = 0,
) -> Called | None:
    """The truck to call now; None when no truck can be called.

    Args:
        line: those that wait, in the order of `WaitingLine`.
        charged: at least all bays whose pack may be handed out.
        vacant: at least all bays that may be set down in.
        transfers: at least all transfer bays.
        held_empty_bays: empty bays promised to swaps under way that no `reserved_by` names.
    """
    barred: set[str] = set()  # kinds that a truck further ahead waits for
    kept: set[str] = set()  # bays kept for trucks further ahead that wait for a lane
    for truck in line:
        if barred and barred.issuperset(truck.accepts):
            continue
        waits_for_lane = False
        for lane in lanes:
            if lane.ready and lane.open_swap_id is None:
                served = _serve(truck, lane, charged, vacant, transfers, policy, barred, kept, held_empty_bays)
                if served is not None:
                    return served
        for lane in lanes:
            if not lane.ready or lane.open_swap_id is not None:
                served = _serve(truck, lane, charged, vacant, transfers, policy, barred, kept, held_empty_bays)
                if served is not None:
                    for bay in served.packs:
                        kept.add(bay.bay_id)
                    for bay in served.empty:
                        kept.add(bay.bay_id)
                    waits_for_lane = True
                    break
        if not waits_for_lane:
            barred.update(truck.accepts)
            if not _any_left(charged, barred):
                return None
    return None


def _any_left(charged: list[BayRow], barred: set[str]) -> bool:
    """Whether a truck further back could get a pack at all."""
    for bay in charged:  # noqa: SIM110 - a generator is slow in the compiled form
        if bay.pack is not None and bay.pack.kind.name not in barred:
            return True
    return False


def _serve(
    truck: TruckRow,
    lane: LaneRow,
    charged: list[BayRow],
    vacant: list[BayRow],
    transfers: list[BayRow],
    policy: ChargingPolicy,
    barred: set[str],
    kept: set[str],
    held_empty_bays: int,
) -> Called | None:
    """Packs for the truck and bays for what it brings, in this lane; None when either is missing."""
    if lane.swap_modes and truck.swap_mode not in lane.swap_modes:
        return None
    packs = pick_packs(charged, truck, policy, lane.lane_id, barred, kept)
    if packs is None:
        return None
    empty = _bays_for(truck, lane, packs, vacant, transfers, kept, held_empty_bays)
    return None if empty is None else Called(truck, lane, packs, empty)


def _bays_for(
    truck: TruckRow,
    lane: LaneRow,
    packs: list[BayRow],
    vacant: list[BayRow],
    transfers: list[BayRow],
    kept: set[str],
    held_empty_bays: int,
) -> list[BayRow] | None:
    """Bays for the packs that come off.

    Out-in needs them empty at the start. In-out parks each charged pack in the transfer bay first, so the
    spent pack goes where the charged one came from, if it fits there.
    """
    # For each pack that comes off, the kinds it may be of.
    seats = truck.seats
    if seats is None:
        seats = [truck.accepts] * truck.packs_needed
    if lane.in_out:
        if not _transfer_is_free(transfers, lane.lane_id):
            return None
        if len(seats) <= len(packs):
            own = packs[: len(seats)]
            if all(fits(bay, accepted) for bay, accepted in zip(own, seats, strict=True)):
                return own
    return pick_empty_bays(vacant, seats, lane.lane_id, kept, held_empty_bays)


def _transfer_is_free(transfers: list[BayRow], lane_id: str) -> bool:
    """One transfer bay in reach is empty. Where none is listed, the cell's own sensor decides."""
    listed = False
    for bay in transfers:
        if bay.role is _TRANSFER and (not bay.lanes or lane_id in bay.lanes):
            if bay.pack is None and bay.occupied is False and not bay.blocked and bay.reserved_by is None:
                return True
            listed = True
    return not listed


def in_order(view: StationView) -> list[QueueEntry]:
    """The queue in the order in which trucks are served."""
    line = WaitingLine()
    at_s = view.at.timestamp()
    by_swap = {entry.swap_id: entry for entry in view.queue}
    for entry in view.queue:
        line.add(truck_row(entry), at_s)
    return [by_swap[truck.swap_id] for truck in line.trucks]


def next_dispatch(view: StationView, policy: ChargingPolicy) -> Dispatch | None:
    """The truck to call now with its lane, packs and bays; None when no truck can be called.

    Only an automatic station calls trucks. One call gives one truck: apply it to the view, then ask again.
    """
    if not view.queue or view.mode is not StationMode.AUTOMATIC:
        return None
    rows = rows_of(view, {})
    line = WaitingLine()
    for truck in rows.queue:
        line.add(truck, rows.at_s)
    called = call_next(line.trucks, rows.lanes, rows.bays, rows.bays, rows.bays, policy, view.held_empty_bays)
    if called is None:
        return None
    packs = PackChoice(
        tuple(bay.bay_id for bay in called.packs),
        tuple(bay.pack.pack_id for bay in called.packs if bay.pack is not None),
    )
    empty = tuple(bay.bay_id for bay in called.empty)
    return Dispatch(called.truck.swap_id, called.lane.lane_id, packs, empty)


def explain_wait(view: StationView, entry: QueueEntry, policy: ChargingPolicy) -> NoPackReason | None:
    """What keeps this truck waiting apart from its turn and its lane; None when only those do.

    Trucks ahead are not counted: the answer says what the stock holds for this truck now.
    """
    rows = rows_of(view, {})
    truck = truck_row(entry)
    lanes = [lane for lane in rows.lanes if not lane.swap_modes or entry.swap_mode in lane.swap_modes]
    if not lanes:
        lanes = [lane_row(LaneView(lane_id="", ready=False))]
    first: NoPackReason | None = None
    for lane in lanes:
        lane_id = lane.lane_id or None
        packs = pick_packs(rows.bays, truck, policy, lane_id)
        if packs is None:
            reason = why_no_pack(rows.bays, truck, policy, lane_id)
        elif (
            lane_id is None
            or _bays_for(truck, lane, packs, rows.bays, rows.bays, set(), view.held_empty_bays) is not None
        ):
            return None
        else:
            reason = NoPackReason.NO_EMPTY_BAY
        first = first or reason
    return first


def estimate_ready_s(
    view: StationView,
    entry: QueueEntry,
    policy: ChargingPolicy,
    kinds: Mapping[str, KindLimits],
    setpoints: Setpoints,
) -> float | None:
    """Seconds until enough packs for this truck are charged, at the present set-points.

    A rough figure for a page: the taper near the top and trucks ahead are left out. None when no end is in
    sight.
    """
    waits_s: dict[str, list[float]] = {}
    for bay in rows_of(view, {}).bays:
        pack = bay.pack
        if pack is None or pack.kind.name not in entry.accepts or pack.kind.name not in kinds:
            continue
        if is_offerable(bay, policy):
            waits_s.setdefault(pack.kind.name, []).append(0.0)
            continue
        setpoint = setpoints.get(bay.bay_id)
        if (
            setpoint is None
            or setpoint.power_kw <= 0.0
            or not pack.soc_pct >= 0.0
            or bay.reserved_by is not None
            or pack.state not in (PackState.WAITING, PackState.CHARGING)
        ):
            continue
        missing_kwh = max(0.0, policy.offer_soc_pct - pack.soc_pct) * pack.rated_kwh * pack.soh_pct / 10_000.0
        stored_kw = setpoint.power_kw * kinds[pack.kind.name].charge_efficiency
        waits_s.setdefault(pack.kind.name, []).append(missing_kwh / stored_kw * 3600.0)
    ends_s = [sorted(times)[entry.packs_needed - 1] for times in waits_s.values() if len(times) >= entry.packs_needed]
    return min(ends_s, default=None)
