"""Which truck is called next, and why a truck still waits.

Order of the queue: higher priority, then bookings whose window is open, then arrival, then swap id.

A truck that cannot be served does not block a later truck that takes other kinds of pack, but no later truck
gets a kind it waits for. A truck that only waits for its lane keeps the packs and bays it would get: a later
truck may use another lane with what is left.

A booking keeps packs too. A truck that has booked, whose window is near or open and who is still to come keeps the
packs it would get from everybody whom it would go before: walk-ins of its own priority and all of a lower one. It
takes no lane, keeps no empty bay and bars no kind: where too few packs are ready it keeps those that are.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf
from typing import Final

from scheduler.choice import NOTHING, fits, is_offered_to, pick_empty_bays, pick_packs, why_no_pack
from scheduler.rows import BayRow, LaneRow, TruckRow
from scheduler.types import (
    BayRole,
    ChargingPolicy,
    Dispatch,
    PackChoice,
    QueueEntry,
    StationMode,
    StationView,
)
from scheduler.view_rows import rows_of, truck_row
from scheduler.waiting import BY_MODE, Wait, Waiting

_TRANSFER: Final = BayRole.TRANSFER

NOBODY: Final[list[TruckRow]] = []
"""Nobody is promised anything; never changed."""


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
        from_s, until_s = truck.booked_from_s, truck.booked_until_s
        if at_s < from_s < inf:
            heappush(self._windows, (from_s, truck.swap_id, truck))
        if at_s < until_s < inf and until_s != from_s:
            heappush(self._windows, (until_s, truck.swap_id, truck))

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
    promised: Sequence[TruckRow] = NOBODY,
    at_s: float = 0.0,
) -> Called | None:
    """The truck to call now; None when no truck can be called.

    Args:
        line: those that wait, in the order of `WaitingLine`.
        charged: at least all bays whose pack may be handed out.
        vacant: at least all bays that may be set down in.
        transfers: at least all transfer bays.
        held_empty_bays: empty bays promised to swaps under way that no `reserved_by` names.
        promised: those that have booked and are still to come, in the order of `in_order_of_promise`.
        at_s: now; needed where somebody is promised something.
    """
    barred: set[str] = set()  # kinds that a truck further ahead waits for
    kept: set[str] = set()  # bays kept for trucks further ahead that wait for a lane, or are still to come
    served_promises = 0
    for truck in line:
        while served_promises < len(promised) and keeps_from(promised[served_promises], truck, at_s):
            keep_promise(promised[served_promises], charged, policy, kept)
            served_promises += 1
        if barred and barred.issuperset(truck.accepts):
            continue
        served = _place(truck, lanes, charged, vacant, transfers, policy, barred, kept, held_empty_bays)
        if served is None:
            barred.update(truck.accepts)
            if not _any_left(charged, barred):
                return None
        elif _is_free(served.lane):
            return served
        else:
            _keep(kept, served)
    return None


def keeps_from(coming: TruckRow, truck: TruckRow, at_s: float) -> bool:
    """Whether one that has booked and is still to come keeps its packs from a truck that waits."""
    if coming.priority != truck.priority:
        return coming.priority > truck.priority
    return is_walk_in(truck, at_s)


def keep_promise(coming: TruckRow, charged: list[BayRow], policy: ChargingPolicy, kept: set[str]) -> bool:
    """Add to `kept` the bays whose packs one that is still to come would get; gives whether there are any."""
    packs = pick_packs(charged, coming, policy, None, NOTHING, kept)
    if packs is None:  # too few: those that are ready wait for the others
        packs = [bay for bay in charged if is_offered_to(bay, coming, policy, None, NOTHING, kept)]
        packs = packs[: coming.packs_needed]
    for bay in packs:
        kept.add(bay.bay_id)
    return bool(packs)


def in_order_of_promise(promised: Sequence[TruckRow]) -> list[TruckRow]:
    """Higher priority first, then whose window opens first, then the booking."""
    return sorted(promised, key=_by_promise)


def _by_promise(truck: TruckRow) -> tuple[int, float, str]:
    return -truck.priority, truck.booked_from_s, truck.swap_id


def _is_free(lane: LaneRow) -> bool:
    return lane.ready and lane.open_swap_id is None


def _keep(kept: set[str], served: Called) -> None:
    for bay in served.packs:
        kept.add(bay.bay_id)
    for bay in served.empty:
        kept.add(bay.bay_id)


def _place(
    truck: TruckRow,
    lanes: Sequence[LaneRow],
    charged: list[BayRow],
    vacant: list[BayRow],
    transfers: list[BayRow],
    policy: ChargingPolicy,
    barred: set[str],
    kept: set[str],
    held_empty_bays: int,
) -> Called | None:
    """What the truck would get: in a free lane, else in the first other one, which it then waits for."""
    for lane in lanes:
        if _is_free(lane):
            served = _serve(truck, lane, charged, vacant, transfers, policy, barred, kept, held_empty_bays)
            if served is not None:
                return served
    for lane in lanes:
        if not _is_free(lane):
            served = _serve(truck, lane, charged, vacant, transfers, policy, barred, kept, held_empty_bays)
            if served is not None:
                return served
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
    promised = in_order_of_promise(rows.promised)
    called = call_next(
        line.trucks, rows.lanes, rows.bays, rows.bays, rows.bays, policy, view.held_empty_bays, promised, rows.at_s
    )
    if called is None:
        return None
    packs = PackChoice(
        tuple(bay.bay_id for bay in called.packs),
        tuple(bay.pack.pack_id for bay in called.packs if bay.pack is not None),
    )
    empty = tuple(bay.bay_id for bay in called.empty)
    return Dispatch(called.truck.swap_id, called.lane.lane_id, packs, empty)


def explain_queue(view: StationView, policy: ChargingPolicy) -> dict[str, Waiting]:
    """What each waiting truck waits for, by swap: the walk of `call_next`, and of each truck what stops it there.

    What one call takes is taken for those behind it, as if the calls had been made one after another.
    """
    order = in_order(view)
    if view.mode is not StationMode.AUTOMATIC:
        return {entry.swap_id: Waiting(BY_MODE[view.mode]) for entry in order}
    rows = rows_of(view, {})
    found: dict[str, Waiting] = {}
    barred: set[str] = set()
    kept: set[str] = set()
    waiters: list[QueueEntry] = []  # those that bar a kind
    takers: list[QueueEntry] = []  # those that keep packs and bays
    promised = in_order_of_promise(rows.promised)
    promises: set[str] = set()  # kinds of which packs are kept for those still to come
    for entry in order:
        truck = truck_row(entry)
        while promised and keeps_from(promised[0], truck, rows.at_s):
            coming = promised.pop(0)
            if keep_promise(coming, rows.bays, policy, kept):
                promises.update(coming.accepts)
        if barred and barred.issuperset(truck.accepts):
            ahead = tuple(other.vehicle_id for other in waiters if other.accepts & entry.accepts)
            found[entry.swap_id] = Waiting(Wait.KIND_AWAITED, ahead, number=len(ahead))
            waiters.append(entry)
            continue
        args = (rows.bays, rows.bays, rows.bays, policy, barred, kept, view.held_empty_bays)
        served = _place(truck, rows.lanes, *args)
        if served is None:
            found[entry.swap_id] = _lack(view, entry, policy, takers, waiters, promises)
            barred.update(entry.accepts)
            waiters.append(entry)
            continue
        _keep(kept, served)
        takers.append(entry)
        if _is_free(served.lane):
            found[entry.swap_id] = Waiting(Wait.NEXT, (served.lane.lane_id,))
            served.lane.open_swap_id = entry.swap_id
        else:
            found[entry.swap_id] = _for_a_lane(truck, rows.lanes)
    return found


def _lack(
    view: StationView,
    entry: QueueEntry,
    policy: ChargingPolicy,
    takers: Sequence[QueueEntry],
    waiters: Sequence[QueueEntry],
    promises: set[str],
) -> Waiting:
    """What is not there for this truck; for one that lacks nothing but for those ahead or booked, these."""
    reason = explain_wait(view, entry, policy)
    if reason is None and promises & entry.accepts:
        return Waiting(Wait.ALL_PROMISED, tuple(sorted(entry.accepts)), number=entry.packs_needed)
    if reason is None:
        return Waiting(Wait.AHEAD_TAKES, tuple(other.vehicle_id for other in (*takers, *waiters)))
    if reason is Wait.NO_EMPTY_BAY:
        return Waiting(Wait.NO_EMPTY_BAY, number=entry.packs_needed)
    if reason is Wait.TRANSFER_OCCUPIED:
        return Waiting(Wait.TRANSFER_OCCUPIED)
    if reason is Wait.NO_LANE:
        return Waiting(Wait.NO_LANE, (entry.swap_mode,))
    return Waiting(reason, tuple(sorted(entry.accepts)), number=entry.packs_needed)


def _for_a_lane(truck: TruckRow, lanes: Sequence[LaneRow]) -> Waiting:
    fitting = [lane for lane in lanes if not lane.swap_modes or truck.swap_mode in lane.swap_modes]
    busy = tuple(lane.lane_id for lane in fitting if lane.open_swap_id is not None)
    if busy:
        return Waiting(Wait.LANE_BUSY, busy)
    return Waiting(Wait.LANE_NOT_READY, tuple(lane.lane_id for lane in fitting))


def explain_wait(view: StationView, entry: QueueEntry, policy: ChargingPolicy) -> Wait | None:
    """What keeps this truck waiting apart from its turn and its lane; None when only those do.

    Trucks ahead are not counted: the answer says what the stock holds for this truck now.
    """
    rows = rows_of(view, {})
    truck = truck_row(entry)
    lanes = [lane for lane in rows.lanes if not lane.swap_modes or entry.swap_mode in lane.swap_modes]
    first: Wait | None = None
    for lane in lanes:
        packs = pick_packs(rows.bays, truck, policy, lane.lane_id)
        if packs is None:
            reason = why_no_pack(rows.bays, truck, policy, lane.lane_id)
        elif _bays_for(truck, lane, packs, rows.bays, rows.bays, set(), view.held_empty_bays) is not None:
            return None
        elif lane.in_out and not _transfer_is_free(rows.bays, lane.lane_id):
            reason = Wait.TRANSFER_OCCUPIED
        else:
            reason = Wait.NO_EMPTY_BAY
        first = first or reason
    return first or Wait.NO_LANE
