"""Packs in the rack and trucks to come, as visits: which pack must hold how much by when.

A pack visits the rack from its return to its handing out. Which truck gets which pack is decided by readiness: each
truck, in order of time, takes the packs that can be ready first, and leaves its own, which begin a visit then. A truck
that comes before its pack can be ready however fast it is charged waits until then: the delay is named before anything
is solved, and the plan has full power for it from its first slot, for nothing less keeps the instant left.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import lru_cache
from math import inf
from typing import Protocol

from scheduler.optimal.problem import ChargeLaw, EnergyStore, Goal, Tier


class Law(ChargeLaw, Protocol):
    """A law of charging that tells energies too."""

    def __hash__(self) -> int:
        """What is reckoned of a law is kept with it."""
        ...

    def energy_after(self, from_kwh: float, hours: float) -> float:
        """Energy after some time at full power."""
        ...


@dataclass(frozen=True, slots=True)
class PackAhead:
    """A pack in the rack, or one that a truck will leave."""

    name: str
    kind: str
    energy_kwh: float
    offer_kwh: float
    """With this it may be handed out."""
    target_kwh: float
    """Charging stops here."""
    charge_kw: float
    """Most that it and its charger take; as long as it is too warm or cold for more, what is allowed then."""
    efficiency: float
    law: Law
    from_h: float = 0.0
    """From when it may be charged: on its charger, and neither too warm nor too cold."""
    offerable: bool = True
    """False: in quarantine, promised already or blocked; it is not handed out within the horizon."""

    def later(self, hours: float) -> PackAhead:
        """The same pack, charged from so much later on."""
        return replace(self, from_h=self.from_h + hours) if hours > 0 else self

    def ready_h(self, least_kwh: float = 0.0) -> float:
        """When it holds what may be handed out, and at least this; inf when never."""
        goal_kwh = self.goal_kwh(least_kwh)
        if goal_kwh > self.target_kwh + _NOTHING_KWH and goal_kwh > self.energy_kwh:
            return inf
        return self.from_h + self.law.hours_to(self.energy_kwh, goal_kwh)

    def goal_kwh(self, least_kwh: float) -> float:
        """With this it may be handed out to a truck that was promised `least_kwh`."""
        return max(self.offer_kwh, least_kwh)


@dataclass(frozen=True, slots=True)
class TruckAhead:
    """A truck that wants packs."""

    name: str
    at_h: float
    """When its packs must be ready."""
    kinds: tuple[str, ...]
    """Those it takes."""
    leaves: tuple[PackAhead, ...]
    """Packs that come off, charged from their `from_h` on."""
    tier: Tier = Tier.FORECAST
    _: KW_ONLY
    min_kwh: float = 0.0
    """Least energy that it was promised in each pack."""
    packs: int | None = None
    """So many it gets; None: as many as it leaves."""
    reach: tuple[tuple[float, float], ...] = ()
    """Instants at which its packs must be within so many hours of full power of being ready: it may come sooner."""


@dataclass(frozen=True, slots=True)
class Delay:
    """A truck whose packs cannot be ready in time, whatever is done."""

    truck: str
    tier: Tier
    at_h: float
    missing_kwh: float
    """Energy that its packs lack then, at full power from now on; inf where there are not packs enough for it."""
    minutes: float
    """So much later they can be ready; inf where never."""


@dataclass(frozen=True)
class Visits:
    """The stores of a plan and what cannot be kept."""

    stores: tuple[EnergyStore, ...]
    delays: tuple[Delay, ...]


@dataclass(frozen=True, slots=True)
class Worth:
    """What energy in packs is worth beyond the goals."""

    import_yuan_per_kwh: float
    """What it costs to import again, after the horizon's end, what is in the rack then; losses come on top."""
    ac_efficiency: float = 1.0
    min_charge_kw: float = 0.0


Ready = tuple[float, float, int, PackAhead]
"""When a pack is ready; what it holds, below 0, so that of those that are ready the fullest goes first as at the gate;
its number in the order in which packs came; the pack."""


def visits_of(packs: Sequence[PackAhead], trucks: Sequence[TruckAhead], horizon_h: float, worth: Worth) -> Visits:
    """Give each truck its packs; what is left stays to the horizon's end.

    In order of time; where trucks wait for packs, those that were promised some go before those that are expected.
    """
    waiting: dict[str, list[Ready]] = {}
    number = 0
    stores: list[EnergyStore] = []
    delays: list[Delay] = []

    def put(pack: PackAhead) -> None:
        nonlocal number
        number += 1
        ready_h = pack.ready_h()
        if pack.offerable and ready_h < inf:
            waiting.setdefault(pack.kind, []).append((ready_h, -pack.energy_kwh, number, pack))
        elif pack.from_h < horizon_h:
            stores.append(_store(pack, inf, None, worth))

    for pack in packs:
        put(pack)
    expected = deque(sorted((one for one in trucks if one.tier is not Tier.PROMISED), key=_at_h))
    promised = deque(sorted((one for one in trucks if one.tier is Tier.PROMISED), key=_at_h))
    while expected or promised:
        turn = expected if expected and not (promised and promised[0].at_h <= expected[0].at_h) else promised
        given = _given(waiting, turn[0])
        if turn is expected and promised and given and promised[0].at_h <= given[-1][0]:
            turn, given = promised, _given(waiting, promised[0])  # who was promised is there when the packs are
        truck = turn.popleft()
        if truck.at_h >= horizon_h:
            continue
        if not given:
            delays.append(Delay(truck.name, truck.tier, truck.at_h, inf, inf))
            continue
        numbers = {number for _, _, number, _ in given}
        kind = given[0][3].kind
        waiting[kind] = [one for one in waiting[kind] if one[2] not in numbers]
        ready_h = given[-1][0]
        at_h = max(truck.at_h, ready_h)
        if ready_h > truck.at_h + _NOTHING_H:
            missing = sum(_missing_kwh(pack, truck) for *_, pack in given)
            delays.append(Delay(truck.name, truck.tier, truck.at_h, missing, 60 * (ready_h - truck.at_h)))
        stores += [_store(p, at_h, truck.tier, worth, truck) for *_, p in given if p.from_h < horizon_h]
        for pack in truck.leaves:
            put(pack.later(at_h - truck.at_h))
    for line in waiting.values():
        stores += [_store(pack, inf, None, worth) for *_, pack in line if pack.from_h < horizon_h]
    return Visits(tuple(stores), tuple(delays))


_NOTHING_H = 1e-6
_NOTHING_KWH = 1e-6


def _at_h(truck: TruckAhead) -> float:
    return truck.at_h


def _given(waiting: Mapping[str, Sequence[Ready]], truck: TruckAhead) -> list[Ready]:
    """The packs that are ready for a truck first, all of one kind, in that order; none where there are too few."""
    offers = [offer for kind in truck.kinds if (offer := _offer(waiting.get(kind, []), truck))]
    return min(offers, key=lambda offer: offer[-1][0], default=[])


def _offer(line: Sequence[Ready], truck: TruckAhead) -> list[Ready]:
    """The same of one kind."""
    need = len(truck.leaves) if truck.packs is None else truck.packs
    if truck.min_kwh > 0:
        asked = ((pack.ready_h(truck.min_kwh), held, number, pack) for _, held, number, pack in line)
        found = heapq.nsmallest(need, (one for one in asked if one[0] < inf))
    else:
        found = heapq.nsmallest(need, line)
    return found if len(found) == need else []


def _missing_kwh(pack: PackAhead, truck: TruckAhead) -> float:
    goal_kwh, kwh = pack.goal_kwh(truck.min_kwh), pack.energy_kwh
    if pack.from_h < truck.at_h:
        kwh = pack.law.energy_after(kwh, truck.at_h - pack.from_h)
    return max(goal_kwh - kwh, 0.0)


@lru_cache(maxsize=4096)
def energy_before(law: Law, to_kwh: float, hours: float) -> float:
    """Energy from which it takes so long at full power to another."""
    low, high = 0.0, to_kwh
    if law.hours_to(low, to_kwh) <= hours:
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if law.hours_to(middle, to_kwh) > hours else (low, middle)
    return high


_HALVINGS = 20


def _reach_goals(pack: PackAhead, until_h: float, truck: TruckAhead) -> list[Goal]:
    """What the pack must hold on the way, no more than it can."""
    goal_kwh, found = pack.goal_kwh(truck.min_kwh), []
    for at_h, hours in truck.reach:
        if pack.from_h < at_h < until_h:
            kwh = energy_before(pack.law, goal_kwh, round(hours, 4))
            if kwh > pack.energy_kwh:
                most_kwh = pack.law.energy_after(pack.energy_kwh, at_h - pack.from_h)
                found.append(Goal(at_h, min(kwh, most_kwh), Tier.STOCK))
    return found


def _store(
    pack: PackAhead, until_h: float, tier: Tier | None, worth: Worth, truck: TruckAhead | None = None
) -> EnergyStore:
    goals: tuple[Goal, ...] = ()
    if tier is not None and truck is not None:
        goal_kwh = pack.goal_kwh(truck.min_kwh)
        goals = (
            Goal(until_h, goal_kwh, tier),
            Goal(until_h, pack.target_kwh, Tier.COMFORT),
            *_reach_goals(pack, until_h, truck),
        )
    return EnergyStore(
        pack.name,
        pack.energy_kwh,
        pack.target_kwh,
        pack.charge_kw,
        from_h=pack.from_h,
        until_h=until_h,
        min_charge_kw=worth.min_charge_kw,
        efficiency=pack.efficiency,
        ac_efficiency=worth.ac_efficiency,
        law=pack.law,
        goals=goals,
        end_yuan_per_kwh=worth.import_yuan_per_kwh / (worth.ac_efficiency * pack.efficiency),
        high_kwh=pack.offer_kwh,
    )
