"""What may be promised. Pure: no database, no clock; the same view gives the same answer.

A booking asks for one swap at any time inside its window. A set of bookings can be kept when there is a plan: each
is given a slot of its window, no slot serves more than its lanes can, and at each instant enough charged packs are
there. `plan` looks for one by serving, slot by slot, the window that closes first; for lanes alone it finds a plan
whenever there is one (earliest deadline first, unit jobs), with packs it may miss one. The lanes of a swap mode are
counted by themselves, beside all lanes together with the packs.

A pack that is handed out is replaced by the one that comes back, which is charged for `charge_s` of its kind and can
then be promised again; all that charge share `charge_kw`. Which packs are charged when is told by the view: the
charging plan carried forward. Whoever has a better forecast fills the view with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import inf

from scheduler.types import StationMode
from swap.commerce.bookings.slots import SlotGrid, SlotRange


class Why(StrEnum):
    """Why a window is not promised, or a promise cannot be kept."""

    STATION_MODE = "station_mode"
    """The station is held, closed or otherwise away, and is not expected back when the window opens."""
    NO_LANE = "no_lane"
    """No lane swaps in the way that the vehicle needs."""
    NO_KIND = "no_kind"
    """The station has no pack of these kinds."""
    TOO_FEW_PACKS = "too_few_packs"
    """It has fewer packs of one kind than the vehicle exchanges."""
    TOO_MUCH_ENERGY = "too_much_energy"
    """No pack of these kinds can hold so much."""
    SLOTS_FULL = "slots_full"
    """Every swap of the window is promised."""
    PACKS_PROMISED = "packs_promised"
    """Every pack that will be charged by then is promised."""
    NOT_ENTITLED = "not_entitled"
    """The vehicle's contract gives it no swap here."""
    OTHER_BOOKING = "other_booking"
    """The vehicle has another booking at that time, or too many."""


@dataclass(frozen=True, slots=True)
class Lot:
    """One pack of the rack, as it is expected to be."""

    kind: str
    ready_s: float
    """From when on it can be handed out, seconds from 1970."""
    energy_kwh: float
    """What it then holds."""
    full_s: float
    """When it is charged to the target."""
    full_kwh: float

    def holds_by(self, at_s: float, kwh: float) -> bool:
        """Whether it can be handed out at an instant with so much in it."""
        return self.ready_s <= at_s and (kwh <= self.energy_kwh or (kwh <= self.full_kwh and self.full_s <= at_s))


@dataclass(frozen=True, slots=True)
class KindOutlook:
    """How packs of a kind come back."""

    charge_s: float
    """From the return of a spent pack until it can be handed out, with a charger for itself."""
    charge_kwh: float
    """Energy that it takes for that."""
    offer_kwh: float
    """What it then holds."""
    full_kwh: float
    top_up_s: float
    """From then on until it is charged to the target."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A swap that is promised, wanted or waited for."""

    key: str
    window: SlotRange
    kinds: frozenset[str]
    packs: int
    swap_mode: str
    min_kwh: float = 0.0
    priority: int = 0
    promised: bool = True
    """False: of a truck that waits without a promise; it takes what it gets."""
    length: int = 0
    """Slots of an alternative; 0: as many as the window has."""


@dataclass(frozen=True, slots=True)
class PromiseView:
    """What a promise may be made from, frozen."""

    at: datetime
    grid: SlotGrid
    """Of all lanes."""
    modes: Mapping[str, SlotGrid]
    """Of the lanes that serve a swap mode; a mode that no lane serves is left out."""
    mode: StationMode
    opens_at: datetime
    """When the station is expected to serve trucks (again); `at` where it does."""
    lots: tuple[Lot, ...]
    kinds: Mapping[str, KindOutlook]
    charge_kw: float
    """What all chargers together may put out."""
    last_slot: int
    """Up to which it may be booked."""
    queue: tuple[Demand, ...] = ()
    """Trucks at the station."""
    queue_first: bool = True
    """Trucks that wait without a promise come before promises whose window is open: nothing is promised at the cost of
    those who are here. False: promises that are made keep their packs from them."""
    version: int = field(default=0, compare=False)
    """Of the station when it was read; a plan does not rest on it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The window can be promised."""

    slot: int
    """In which the plan has it."""
    kind: str


@dataclass(frozen=True, slots=True)
class NotPromised:
    """The window cannot be promised."""

    why: Why
    alternative: SlotRange | None = None
    """The soonest window of the same length that can."""
    kinds_here: tuple[str, ...] = ()
    """Kinds of which the station has enough packs, where it lacks those that were asked for."""


@dataclass(slots=True)
class Plan:
    """Who is served when."""

    slots: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By key: slot and kind."""
    failed: set[str] = field(default_factory=set)
    """Promised, and not served in time."""


def plan(view: PromiseView, demands: Iterable[Demand], *, any_stock: bool = False) -> Plan:
    """A plan for trucks at the station and these demands.

    Args:
        any_stock: as if there were always packs: what lanes alone allow.
    """
    everybody = [*view.queue, *demands]
    coming = sorted((d.window.first, _rank(d, first=view.queue_first), d) for d in everybody)
    found = Plan()
    last = max((d.window.last for d in everybody if d.promised), default=-1)
    if last < 0:
        return found
    stock = _Stock(view)
    now_s, opens_s, slot_s = view.at.timestamp(), view.opens_at.timestamp(), view.grid.slot_s
    waiting: list[tuple[_Rank, Demand]] = []
    taken, slot = 0, max(coming[0][0], view.grid.slot_at(view.at))
    while slot <= last and (waiting or taken < len(coming)):
        if not waiting and coming[taken][0] > slot:
            slot = coming[taken][0]
        while taken < len(coming) and coming[taken][0] <= slot:
            heapq.heappush(waiting, coming[taken][1:])
            taken += 1
        begin_s = max(float(slot * slot_s), now_s)
        left = view.grid.capacity(slot) if begin_s >= opens_s else 0
        stock.come(begin_s)
        again: list[tuple[_Rank, Demand]] = []
        while waiting:
            item = heapq.heappop(waiting)
            demand = item[1]
            if demand.window.last < slot:
                if demand.promised:
                    found.failed.add(demand.key)
                continue
            kind = None
            if left > 0 and demand.swap_mode in view.modes:
                kind = min(demand.kinds, default="") if any_stock else stock.take(demand, begin_s)
            if kind is None:
                again.append(item)
                if left <= 0:
                    break
                continue
            left -= 1
            found.slots[demand.key] = slot, kind
            if not any_stock:
                stock.give_back(kind, demand.packs, begin_s + slot_s)
        for item in again:
            heapq.heappush(waiting, item)
        slot += 1
    found.failed.update(item[1].key for item in waiting if item[1].promised)
    found.failed.update(item[2].key for item in coming[taken:] if item[2].promised)
    for mode, grid in view.modes.items():
        if grid != view.grid:
            found.failed |= _too_many_for_mode(view, mode, grid, everybody)
    return found


def _too_many_for_mode(view: PromiseView, mode: str, grid: SlotGrid, demands: Iterable[Demand]) -> set[str]:
    """Those whom the lanes of their swap mode cannot serve. Each lane serves one mode, so demands that fit into all
    lanes and into those of each mode have a plan."""
    own = replace(view, grid=grid, modes={mode: grid}, queue=())
    return plan(own, [demand for demand in demands if demand.swap_mode == mode], any_stock=True).failed


_Rank = tuple[int, int, tuple[str, ...], int, float, str]


def _rank(demand: Demand, *, first: bool) -> _Rank:
    """The window that closes first goes first. The key comes last: who is the same in all else is served the same,
    whether it is wanted, kept for an asker or promised."""
    return (
        -1 if first and not demand.promised else demand.window.last,
        -demand.priority,
        tuple(sorted(demand.kinds)) if len(demand.kinds) > 1 else tuple(demand.kinds),
        demand.packs,
        demand.min_kwh,
        demand.key,
    )


class _Stock:
    """Packs over the time of a plan."""

    def __init__(self, view: PromiseView) -> None:
        self._kinds = view.kinds
        self._charge_kw = view.charge_kw
        self._coming = [(lot.ready_s, number, lot) for number, lot in enumerate(view.lots)]
        heapq.heapify(self._coming)
        self._number = len(self._coming)
        self._here: dict[str, list[Lot]] = {}
        now_s = view.at.timestamp()
        self._busy_s = max([now_s, *(lot.ready_s for lot in view.lots if lot.ready_s < inf)])
        """Until then the chargers' power is taken."""

    def come(self, at_s: float) -> None:
        """Packs that can be handed out by an instant; the least energy first."""
        while self._coming and self._coming[0][0] <= at_s:
            lot = heapq.heappop(self._coming)[2]
            here = self._here.setdefault(lot.kind, [])
            here.append(lot)
            here.sort(key=_by_energy)

    def take(self, demand: Demand, at_s: float) -> str | None:
        """Hand out the least full packs of one kind that will do; the kind, None where there are too few."""
        for kind in sorted(demand.kinds):
            here = self._here.get(kind)
            if here is None or len(here) < demand.packs:
                continue
            found: list[int] = []
            for place, lot in enumerate(here):
                if lot.holds_by(at_s, demand.min_kwh):
                    found.append(place)
                    if len(found) == demand.packs:
                        break
            if len(found) == demand.packs:
                for place in reversed(found):
                    del here[place]
                return kind
        return None

    def give_back(self, kind: str, packs: int, at_s: float) -> None:
        """Spent packs of a kind are in the rack from an instant on."""
        outlook = self._kinds.get(kind)
        if outlook is None or self._charge_kw <= 0.0:
            return
        for _ in range(packs):
            self._busy_s = max(self._busy_s, at_s) + outlook.charge_kwh / self._charge_kw * 3600
            ready_s = max(at_s + outlook.charge_s, self._busy_s)
            lot = Lot(kind, ready_s, outlook.offer_kwh, ready_s + outlook.top_up_s, outlook.full_kwh)
            heapq.heappush(self._coming, (ready_s, self._number, lot))
            self._number += 1


def _by_energy(lot: Lot) -> tuple[float, float]:
    return lot.energy_kwh, lot.ready_s


def cannot(view: PromiseView, wanted: Demand) -> NotPromised | None:
    """Why the station cannot serve this at any time; None when it could."""
    if wanted.swap_mode not in view.modes:
        return NotPromised(Why.NO_LANE)
    count: dict[str, int] = {}
    able: dict[str, int] = {}
    for lot in view.lots:
        count[lot.kind] = count.get(lot.kind, 0) + 1
        if max(lot.full_kwh, lot.energy_kwh) >= wanted.min_kwh:
            able[lot.kind] = able.get(lot.kind, 0) + 1
    here = tuple(sorted(kind for kind, number in count.items() if number >= wanted.packs))
    if not any(count.get(kind) for kind in wanted.kinds):
        return NotPromised(Why.NO_KIND, kinds_here=here)
    if not wanted.kinds.intersection(here):
        return NotPromised(Why.TOO_FEW_PACKS, kinds_here=here)
    if not any(able.get(kind, 0) >= wanted.packs for kind in wanted.kinds):
        return NotPromised(Why.TOO_MUCH_ENERGY, kinds_here=here)
    return None


def promise(view: PromiseView, bookings: Sequence[Demand], wanted: Demand) -> Promise | NotPromised:
    """Whether a window can be promised beside what is promised already, else the soonest one that can.

    Args:
        bookings: every promise and every alternative that is kept for somebody.
        wanted: its window ends at `view.last_slot` or before.
    """
    refusal = cannot(view, wanted)
    if refusal is not None:
        return refusal
    opens_slot = -(-int(view.opens_at.timestamp()) // view.grid.slot_s)
    lost = len(plan(view, bookings).failed)
    if view.mode is not StationMode.AUTOMATIC and wanted.window.first < opens_slot:
        return NotPromised(Why.STATION_MODE, _soonest(view, bookings, wanted, lost, opens_slot))
    found = _fits(view, bookings, wanted, lost)
    if found is not None:
        return found
    lanes_lost = len(plan(view, bookings, any_stock=True).failed)
    with_it = plan(view, [*bookings, wanted], any_stock=True)
    full = wanted.key in with_it.failed or len(with_it.failed) > lanes_lost
    why = Why.SLOTS_FULL if full else Why.PACKS_PROMISED
    return NotPromised(why, _soonest(view, bookings, wanted, lost, wanted.window.first))


def _fits(view: PromiseView, bookings: Sequence[Demand], wanted: Demand, lost: int) -> Promise | None:
    """Served without another one being lost. What is lost already, by a lane or pack that failed, refuses nothing
    elsewhere."""
    with_it = plan(view, [*bookings, wanted])
    if wanted.key in with_it.failed or len(with_it.failed) > lost:
        return None
    return Promise(*with_it.slots[wanted.key])


_STEPS = 96
"""Slots that are tried one by one after the first that may do."""


def _soonest(
    view: PromiseView, bookings: Sequence[Demand], wanted: Demand, lost: int, from_slot: int
) -> SlotRange | None:
    """The soonest window of the same length that can be promised: by halving its end, then by trying."""
    length = wanted.length or wanted.window.last - wanted.window.first + 1
    # One that begins in a slot under way could be past before its asker takes it.
    from_slot = max(from_slot, -(-int(view.at.timestamp()) // view.grid.slot_s))
    low, high = from_slot + length - 1, view.last_slot

    def until(last: int) -> bool:
        return _fits(view, bookings, replace(wanted, window=SlotRange(from_slot, last)), lost) is not None

    if low > high or not until(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if until(middle):
            high = middle
        else:
            low = middle + 1
    for last in range(low, min(low + _STEPS, view.last_slot) + 1):
        window = SlotRange(last - length + 1, last)
        if _fits(view, bookings, replace(wanted, window=window), lost) is not None:
            return window
    return None


def alternative_to(view: PromiseView, others: Sequence[Demand], broken: Demand) -> SlotRange | None:
    """The soonest window for a promise that cannot be kept, beside the others."""
    lost = len(plan(view, others).failed)
    return _soonest(view, others, broken, lost, broken.window.first)


def free_windows(
    view: PromiseView, bookings: Sequence[Demand], wanted: Demand, length: int, most: int
) -> tuple[tuple[SlotRange, Promise], ...]:
    """The first windows of so many slots inside the window of `wanted` that can be promised now, each by itself."""
    if cannot(view, wanted) is not None:
        return ()
    lost = len(plan(view, bookings).failed)
    opens_slot = -(-int(view.opens_at.timestamp()) // view.grid.slot_s)
    first = wanted.window.first if view.mode is StationMode.AUTOMATIC else max(wanted.window.first, opens_slot)
    found: list[tuple[SlotRange, Promise]] = []
    for slot in range(first, min(wanted.window.last, view.last_slot) - length + 2):
        if len(found) >= most:
            break
        window = SlotRange(slot, slot + length - 1)
        fits = _fits(view, bookings, replace(wanted, window=window), lost)
        if fits is not None:
            found.append((window, fits))
    return tuple(found)


def kept(view: PromiseView, bookings: Sequence[Demand]) -> Plan:
    """Which promises can be kept as things stand. Who was promised first, of the same priority, is kept first.

    Args:
        bookings: in the order in which they were promised.
    """
    view = replace(view, queue_first=False)
    whole = plan(view, bookings)
    if not whole.failed:
        return whole
    found, taken = Plan(), list[Demand]()
    for demand in sorted(bookings, key=_by_priority):
        with_it = plan(view, [*taken, demand])
        if with_it.failed:
            found.failed.add(demand.key)
        else:
            taken.append(demand)
            found.slots = with_it.slots
    return found


def _by_priority(demand: Demand) -> int:
    return -demand.priority
