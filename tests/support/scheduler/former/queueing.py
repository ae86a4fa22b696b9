"""Which truck is called next, and why a truck still waits.

Order of the queue: higher priority, then bookings whose window is open, then arrival, then swap id.

A truck that cannot be served does not block a later truck that takes other kinds of pack, but no later truck
gets a kind it waits for. A truck that only waits for its lane keeps the packs and bays it would get: a later
truck may use another lane with what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from scheduler.types import (
    BayRole,
    ChargingPolicy,
    Dispatch,
    LaneView,
    NoPackReason,
    PackChoice,
    PackState,
    Setpoints,
    StationMode,
)
from tests.support.scheduler.former.charging import PackLimits
from tests.support.scheduler.former.choice import find_empty_bays, is_offerable, offers, pick, why_no_pack
from tests.support.scheduler.former.facts import BayFacts, LaneFacts, StationFacts, TruckFacts


def is_walk_in(entry: TruckFacts, at: datetime) -> bool:
    """Whether the truck has no booking whose window, [from, until), is open. Early and late it is a walk-in."""
    start, end = entry.booked_from_at, entry.booked_until_at
    return start is None or at < start or (end is not None and at >= end)


def in_order(view: StationFacts) -> list[TruckFacts]:
    """The queue in the order in which trucks are served."""
    at = view.at
    ranked = []
    for place, entry in enumerate(view.queue):
        # The place keeps entries, which have no order, from being compared.
        ranked.append((-entry.priority, is_walk_in(entry, at), entry.arrived_at, entry.swap_id, place, entry))
    ranked.sort()
    return [item[5] for item in ranked]


def next_dispatch(view: StationFacts, policy: ChargingPolicy) -> Dispatch | None:
    """The truck to call now with its lane, packs and bays; None when no truck can be called.

    Only an automatic station calls trucks. One call gives one truck: apply it to the view, then ask again.
    """
    queue = view.queue
    if not queue or view.mode is not StationMode.AUTOMATIC:
        return None
    free_lanes = [lane for lane in view.lanes if lane.ready and lane.open_swap_id is None]
    if not free_lanes:
        return None
    barred: set[str] = set()  # kinds that a truck further ahead waits for
    kept: set[str] = set()  # bays kept for trucks further ahead that wait for a lane
    for entry in queue if len(queue) == 1 else in_order(view):
        accepts: Collection[str] = entry.accepts - barred if barred else entry.accepts
        if not accepts:
            continue
        for lane in free_lanes:
            if lane.swap_modes and entry.swap_mode not in lane.swap_modes:
                continue
            served = _serve(view, entry, policy, lane, accepts, kept)
            if served is not None:
                return Dispatch(entry.swap_id, lane.lane_id, served[0], served[1])
        for lane in view.lanes:
            if lane in free_lanes or (lane.swap_modes and entry.swap_mode not in lane.swap_modes):
                continue
            served = _serve(view, entry, policy, lane, accepts, kept)
            if served is not None:
                kept.update(served[0].bay_ids, served[1])
                break
        else:
            barred.update(entry.accepts)
    return None


def _serve(
    view: StationFacts,
    entry: TruckFacts,
    policy: ChargingPolicy,
    lane: LaneFacts,
    accepts: Collection[str],
    kept: Collection[str],
) -> tuple[PackChoice, tuple[str, ...]] | None:
    """Packs for the truck and bays for what it brings, in this lane; None when either is missing."""
    packs = pick(offers(view, policy, accepts, entry.min_energy_kwh, lane.lane_id, kept), entry.packs_needed)
    if packs is None:
        return None
    bays = _bays_for(view, entry, lane, packs, kept)
    return None if bays is None else (packs, bays)


def _bays_for(
    view: StationFacts, entry: TruckFacts, lane: LaneFacts, packs: PackChoice, kept: Collection[str]
) -> tuple[str, ...] | None:
    """Bays for the packs that come off.

    Out-in needs them empty at the start. In-out parks each charged pack in the transfer bay first, so the
    spent pack goes where the charged one came from, if it fits there.
    """
    kinds = entry.installed_kinds
    # For each pack that comes off, the kinds it may be of.
    seats: list[Collection[str]] = (
        [entry.accepts] * entry.packs_needed if kinds is None else [(kind,) for kind in kinds]
    )
    if lane.swap_order == "in_out":
        if not _transfer_is_free(view, lane.lane_id):
            return None
        if len(seats) <= len(packs.bay_ids):
            by_id = {bay.bay_id: bay for bay in view.bays}
            own = packs.bay_ids[: len(seats)]
            if all(_fits(by_id[bay_id], accepted) for bay_id, accepted in zip(own, seats, strict=True)):
                return own
    return find_empty_bays(view, seats, lane.lane_id, kept)


def _fits(bay: BayFacts, kinds: Collection[str]) -> bool:
    return not bay.kinds or bay.kinds.issuperset(kinds)


def _transfer_is_free(view: StationFacts, lane_id: str) -> bool:
    """One transfer bay in reach is empty. Where the view lists none, the cell's own sensor decides."""
    listed = False
    for bay in view.bays:
        if bay.role is BayRole.TRANSFER and (not bay.lanes or lane_id in bay.lanes):
            if bay.pack is None and bay.occupied is False and not bay.blocked and bay.reserved_by is None:
                return True
            listed = True
    return not listed


def explain_wait(view: StationFacts, entry: TruckFacts, policy: ChargingPolicy) -> NoPackReason | None:
    """What keeps this truck waiting apart from its turn and its lane; None when only those do.

    Trucks ahead are not counted: the answer says what the stock holds for this truck now.
    """
    lanes = [lane for lane in view.lanes if not lane.swap_modes or entry.swap_mode in lane.swap_modes]
    if not lanes:
        lanes = [LaneView(lane_id="", ready=False)]
    first: NoPackReason | None = None
    for lane in lanes:
        lane_id = lane.lane_id or None
        packs = pick(offers(view, policy, entry.accepts, entry.min_energy_kwh, lane_id), entry.packs_needed)
        if packs is None:
            reason = why_no_pack(view, entry, policy, lane_id)
        elif lane_id is None or _bays_for(view, entry, lane, packs, ()) is not None:
            return None
        else:
            reason = NoPackReason.NO_EMPTY_BAY
        first = first or reason
    return first


def estimate_ready_s(
    view: StationFacts,
    entry: TruckFacts,
    policy: ChargingPolicy,
    kinds: Mapping[str, PackLimits],
    setpoints: Setpoints,
) -> float | None:
    """Seconds until enough packs for this truck are charged, at the present set-points.

    A rough figure for a page: the taper near the top and trucks ahead are left out. None when no end is in
    sight.
    """
    waits_s: dict[str, list[float]] = {}
    for bay in view.bays:
        pack = bay.pack
        if pack is None or pack.kind not in entry.accepts or pack.kind not in kinds:
            continue
        if is_offerable(bay, policy):
            waits_s.setdefault(pack.kind, []).append(0.0)
            continue
        setpoint = setpoints.get(bay.bay_id)
        if (
            setpoint is None
            or setpoint.power_kw <= 0.0
            or pack.soc_pct is None
            or bay.reserved_by is not None
            or pack.state not in (PackState.WAITING, PackState.CHARGING)
        ):
            continue
        missing_kwh = max(0.0, policy.offer_soc_pct - pack.soc_pct) * pack.rated_kwh * pack.soh_pct / 10_000.0
        stored_kw = setpoint.power_kw * kinds[pack.kind].charge_efficiency
        waits_s.setdefault(pack.kind, []).append(missing_kwh / stored_kw * 3600.0)
    ends_s = [sorted(times)[entry.packs_needed - 1] for times in waits_s.values() if len(times) >= entry.packs_needed]
    return min(ends_s, default=None)
