"""Trucks that come to a view which is carried forward: called by the live rule, their packs handed out and taken in.

What a truck gets and when it is called decides `scheduler.queueing.next_dispatch`; here the swap only takes its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from scheduler.queueing import next_dispatch
from scheduler.types import BayView, ChargingPolicy, Dispatch, PackState, PackView, QueueEntry, StationView


@dataclass(frozen=True, slots=True)
class SwapTimes:
    """What a swap takes from the call on."""

    lane_s: float
    """Until the lane is free again."""
    stores_s: tuple[float, ...]
    """By seat, until its spent pack is on its charger."""


@dataclass(frozen=True, slots=True)
class ComingTruck:
    """A truck that waits, has booked, or is foreseen."""

    entry: QueueEntry
    """As it will stand in the queue; `arrived_at` is when it does."""
    leaves: tuple[PackView, ...]
    """Packs that come off, by seat, as the rack will read them."""
    times: SwapTimes
    kept_from_at: datetime | None = None
    """Packs are kept for it from then on; None: not before it has come."""


@dataclass(slots=True)
class RunningSwap:
    """A swap under way."""

    swap_id: str
    lane_id: str
    ends_at: datetime
    stores: list[tuple[datetime, str, PackView]]
    """When a spent pack is on the charger of which bay, soonest first."""
    gives: list[str] = field(default_factory=list)
    """Bays whose packs the truck gets; they leave when a bay of them is needed, at the latest at the end."""


class Traffic:
    """The trucks of one course; every course needs its own.

    Args:
        trucks: in any order; those that have come before the view's instant wait in it.
        running: swaps under way at that instant.
    """

    def __init__(self, policy: ChargingPolicy, trucks: Sequence[ComingTruck], running: Sequence[RunningSwap] = ()):
        self._policy = policy
        self._coming = sorted(trucks, key=lambda truck: (truck.entry.arrived_at, truck.entry.swap_id))
        self._here: dict[str, ComingTruck] = {}
        self._swaps = [replace(swap, stores=list(swap.stores), gives=list(swap.gives)) for swap in running]
        self.called_at: dict[str, datetime] = {}
        """By swap, when its truck was called."""

    def next_at(self, after_at: datetime) -> datetime | None:
        """The next instant at which a truck comes, a pack is set down or a lane is free; None when there is none."""
        times = [truck.entry.arrived_at for truck in self._coming]
        times += [truck.kept_from_at for truck in self._coming if truck.kept_from_at is not None]
        times += [swap.stores[0][0] if swap.stores else swap.ends_at for swap in self._swaps]
        return min((at for at in times if at > after_at), default=None)

    def take_in(self, view: StationView) -> StationView:
        """The view after all that is due at its instant, and with every truck called that can be."""
        bays = {bay.bay_id: bay for bay in view.bays}
        lanes = {lane.lane_id: lane for lane in view.lanes}
        for swap in tuple(self._swaps):
            while swap.stores and swap.stores[0][0] <= view.at:
                _, bay_id, pack = swap.stores.pop(0)
                if bay_id in swap.gives:
                    _hand_out(bays, swap)
                bays[bay_id] = replace(bays[bay_id], pack=pack, occupied=True, reserved_by=None)
            if not swap.stores and swap.ends_at <= view.at:
                _hand_out(bays, swap)
                self._swaps.remove(swap)
                bays |= {name: replace(bay, reserved_by=None) for name, bay in _reserved(bays, swap.swap_id).items()}
                lanes[swap.lane_id] = replace(lanes[swap.lane_id], open_swap_id=None)
        while self._coming and self._coming[0].entry.arrived_at <= view.at:
            truck = self._coming.pop(0)
            self._here[truck.entry.swap_id] = truck
        promised = tuple(
            truck.entry
            for truck in self._coming
            if truck.kept_from_at is not None and truck.kept_from_at <= view.at and not _is_over(truck.entry, view.at)
        )
        view = replace(
            view,
            bays=tuple(bays.values()),
            lanes=tuple(lanes.values()),
            queue=tuple(truck.entry for truck in self._here.values()),
            promised=promised,
        )
        while (chosen := next_dispatch(view, self._policy)) is not None:
            view = self._call(view, chosen)
        return view

    def _call(self, view: StationView, chosen: Dispatch) -> StationView:
        truck = self._here.pop(chosen.swap_id)
        self.called_at[chosen.swap_id] = view.at
        stores = [
            (view.at + timedelta(seconds=after_s), bay_id, pack)
            for after_s, bay_id, pack in zip(truck.times.stores_s, chosen.empty_bay_ids, truck.leaves, strict=True)
        ]
        ends_at = view.at + timedelta(seconds=truck.times.lane_s)
        stores.sort(key=lambda store: store[0])
        self._swaps.append(RunningSwap(chosen.swap_id, chosen.lane_id, ends_at, stores, list(chosen.packs.bay_ids)))
        taken = {*chosen.packs.bay_ids, *chosen.empty_bay_ids}
        bays = []
        for bay in view.bays:
            if bay.bay_id in taken:
                pack = bay.pack
                if pack is not None and bay.bay_id in chosen.packs.bay_ids:
                    pack = replace(pack, state=PackState.RESERVED)
                bay = replace(bay, pack=pack, reserved_by=chosen.swap_id)
            bays.append(bay)
        lanes = tuple(
            replace(lane, open_swap_id=chosen.swap_id) if lane.lane_id == chosen.lane_id else lane
            for lane in view.lanes
        )
        queue = tuple(entry for entry in view.queue if entry.swap_id != chosen.swap_id)
        return replace(view, bays=tuple(bays), lanes=lanes, queue=queue)


def _hand_out(bays: dict[str, BayView], swap: RunningSwap) -> None:
    # A bay that gave its pack is kept until the truck has left: the way back is the same way.
    for bay_id in swap.gives:
        bays[bay_id] = replace(bays[bay_id], pack=None, occupied=False)
    swap.gives.clear()


def _reserved(bays: dict[str, BayView], swap_id: str) -> dict[str, BayView]:
    return {name: bay for name, bay in bays.items() if bay.reserved_by == swap_id}


def _is_over(entry: QueueEntry, at: datetime) -> bool:
    return entry.booked_until_at is not None and entry.booked_until_at <= at
