"""Packs in the rack and trucks to come, as visits: which pack must hold how much by when.

A pack visits the rack from its return to its handing out. Which truck gets which pack is decided by readiness: each
truck, in order of time, takes the packs that can be ready first, and leaves its own, which begin a visit then. A truck
that comes before its pack can be ready however fast it is charged waits until then: the delay is named before anything
is solved, and the plan has full power for it from its first slot, for nothing less keeps the instant left.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

from scheduler.optimal.problem import ChargeLaw, EnergyStore, Goal, Tier


class Law(ChargeLaw, Protocol):
    """A law of charging that tells energies too."""

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


@dataclass(frozen=True, slots=True)
class TruckAhead:
    """A truck that wants packs."""

    name: str
    at_h: float
    """When its packs must be ready."""
    kinds: tuple[str, ...]
    """Those it takes."""
    leaves: tuple[PackAhead, ...]
    """Packs that come off, one for each that it gets, charged from their `from_h` on."""
    tier: Tier = Tier.FORECAST


@dataclass(frozen=True, slots=True)
class Delay:
    """A truck whose packs cannot be ready in time, whatever is done."""

    truck: str
    tier: Tier
    at_h: float
    missing_kwh: float
    """Energy that its packs lack then, at full power from now on."""
    minutes: float
    """So much later they can be ready."""


@dataclass(frozen=True)
class Visits:
    """The stores of a plan and what cannot be kept."""

    stores: tuple[EnergyStore, ...]
    delays: tuple[Delay, ...]


@dataclass(frozen=True, slots=True)
class Worth:
    """What energy in packs is worth beyond the goals."""

    end_yuan_per_kwh: float
    """Of what is in the rack at the horizon's end."""
    ac_efficiency: float = 1.0
    min_charge_kw: float = 0.0


def visits_of(packs: Sequence[PackAhead], trucks: Sequence[TruckAhead], horizon_h: float, worth: Worth) -> Visits:
    """Give each truck its packs; what is left stays to the horizon's end."""
    waiting: dict[str, list[tuple[float, int, PackAhead]]] = {}
    number = 0
    stores: list[EnergyStore] = []
    delays: list[Delay] = []

    def put(pack: PackAhead) -> None:
        nonlocal number
        number += 1
        ready_h = pack.from_h + pack.law.hours_to(pack.energy_kwh, pack.offer_kwh)
        if pack.offerable and ready_h < inf:
            heapq.heappush(waiting.setdefault(pack.kind, []), (ready_h, number, pack))
        elif pack.from_h < horizon_h:
            stores.append(_store(pack, inf, None, worth))

    for pack in packs:
        put(pack)
    for truck in sorted(trucks, key=lambda one: one.at_h):
        need = len(truck.leaves)
        offers = [
            (heapq.nsmallest(need, line)[-1][0], kind)
            for kind in truck.kinds
            if len(line := waiting.get(kind, [])) >= need
        ]
        if not offers or truck.at_h >= horizon_h:
            continue
        ready_h, kind = min(offers)
        given = [heapq.heappop(waiting[kind])[2] for _ in range(need)]
        at_h = max(truck.at_h, ready_h)
        if ready_h > truck.at_h + _NOTHING_H:
            missing = sum(_missing_kwh(pack, truck.at_h) for pack in given)
            delays.append(Delay(truck.name, truck.tier, truck.at_h, missing, 60 * (ready_h - truck.at_h)))
        stores += [_store(pack, at_h, truck.tier, worth) for pack in given if pack.from_h < horizon_h]
        for pack in truck.leaves:
            put(_later(pack, at_h - truck.at_h))
    for line in waiting.values():
        stores += [_store(pack, inf, None, worth) for _, _, pack in line if pack.from_h < horizon_h]
    return Visits(tuple(stores), tuple(delays))


_NOTHING_H = 1e-6


def _missing_kwh(pack: PackAhead, at_h: float) -> float:
    if pack.from_h >= at_h:
        return max(pack.offer_kwh - pack.energy_kwh, 0.0)
    return max(pack.offer_kwh - pack.law.energy_after(pack.energy_kwh, at_h - pack.from_h), 0.0)


def _later(pack: PackAhead, hours: float) -> PackAhead:
    return replace(pack, from_h=pack.from_h + hours) if hours > 0 else pack


def _store(pack: PackAhead, until_h: float, tier: Tier | None, worth: Worth) -> EnergyStore:
    goals = () if tier is None else (Goal(until_h, pack.offer_kwh, tier), Goal(until_h, pack.target_kwh, Tier.COMFORT))
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
        end_yuan_per_kwh=worth.end_yuan_per_kwh,
        high_kwh=pack.offer_kwh,
    )
