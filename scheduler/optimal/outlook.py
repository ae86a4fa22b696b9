"""What a station holds and expects, as the problem of its charging plan: one place for the live station and the study.

Whoever asks hands over rows of the rack, trucks, prices and limits. Nothing here knows a database or a simulation, and
the physics of packs come in as laws. What the two ask can so differ only in what they know, never in what they make of
it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from math import inf
from typing import Protocol

import numpy as np

from scheduler.charging import limit_of
from scheduler.optimal.forecast import Rates, count_quantile, expected_at_h
from scheduler.optimal.problem import ChargeProblem, Site, Tier
from scheduler.optimal.slots import lengths_h, prices_of, slot_starts
from scheduler.optimal.stock import Delay, Law, PackAhead, TruckAhead, Worth, energy_before, visits_of
from scheduler.response.floor import ImportFloor, floor_at
from scheduler.rows import BayRow
from scheduler.types import BayRole, ChargingPolicy, Limit, PackState, SiteLimits, TariffSlice

EVERY = timedelta(minutes=15)
"""Between two plans."""
HORIZON = timedelta(hours=24)
LEAST_HORIZON = timedelta(hours=2)
"""Prices must be known for so long."""
SPENT_SOC_PCT = 25.0
"""Of a pack that a truck leaves, until it is read (assumed: trucks come between 15 and 45 %)."""
COOL_H = 1.0
"""A pack too warm or cold for charging is planned from then on (assumed)."""

_CHARGEABLE = frozenset({Limit.CHARGER, Limit.PACK, Limit.BMS, Limit.PACK_TEMP, Limit.TARGET, Limit.MIN_SETPOINT})
_NO_POWER = frozenset({Limit.NO_CHARGER, Limit.CHARGER_FAULT})
"""The pack may be handed out as it is."""
_KEPT = frozenset({PackState.COOLING, PackState.WARMING})
_NEW = frozenset({PackState.RECEIVED, PackState.IDENTIFIED})


class PackLaw(Law, Protocol):
    """How a pack charges at a charger."""

    @property
    def power_kw(self) -> float:
        """Most that pack and charger take together."""
        ...

    @property
    def capacity_kwh(self) -> float:
        """Energy of the full pack."""
        ...

    @property
    def efficiency(self) -> float:
        """Energy stored ÷ energy at the charger's output."""
        ...


PackLaws = Callable[[str, float, float], PackLaw]
"""The law of a kind, a state of health in %, and a charger's kW; the same law for the same three."""


@dataclass(frozen=True, slots=True)
class SpentPack:
    """A pack that comes off a truck."""

    kind: str
    at_h: float
    """When it is on its charger: hours from now, or from the call of its truck."""
    soc_pct: float | None = None
    """None: not known yet."""
    soh_pct: float = 100.0
    charger_kw: float | None = None
    """Of the bay that it goes to; None: not known yet, the mean of the rack."""


@dataclass(frozen=True, slots=True)
class KnownTruck:
    """A truck that waits, has booked, or is foreseen."""

    name: str
    at_h: float
    """When it is called."""
    kinds: tuple[str, ...]
    leaves: tuple[SpentPack, ...]
    tier: Tier = Tier.PROMISED
    min_kwh: float = 0.0
    """Least energy that it was promised in each pack."""
    replaces: bool = False
    """It is one of those expected, not one more."""


@dataclass(frozen=True, slots=True)
class TruckShare:
    """One sort among the trucks that are expected."""

    weight: float
    """Part of all trucks, by any measure."""
    kinds: tuple[str, ...]
    leaves: tuple[SpentPack, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Trucks by their rates."""

    rates: Rates
    shares: tuple[TruckShare, ...]
    """At least one."""
    level: float
    """Share of draws for which packs are ready in time."""
    call_h: float
    """Between two trucks that the lanes take, one after the other as fast as they can."""
    wait_h: float = 0.0
    """So long a truck may wait by what is promised."""


@dataclass(frozen=True, slots=True)
class Modules:
    """Chargers that are switched to the packs of a rack with more bays."""

    number: int
    kw: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that a plan is made from."""

    at: datetime
    prices: Sequence[TariffSlice]
    limits_at: Callable[[datetime], SiteLimits]
    """What is expected of the site at an instant."""
    changes: Sequence[datetime]
    """Instants at which that changes."""
    policy: ChargingPolicy
    laws: PackLaws
    kinds: Collection[str]
    """Those that have laws."""
    bays: Sequence[BayRow]
    incoming: Sequence[SpentPack]
    """Packs of running swaps that are not in their bays yet."""
    trucks: Sequence[KnownTruck]
    forecast: Forecast | None
    """None: nobody but `trucks` will come, and nothing is kept for more."""
    modules: Modules | None = None
    """None: each bay has its own charger."""
    horizon: timedelta = HORIZON
    floors: Sequence[ImportFloor] = ()
    """To what the import is to be raised for a time."""


@dataclass(frozen=True, slots=True)
class PlanTask:
    """What the optimiser is asked, and what was seen before."""

    problem: ChargeProblem
    reach: tuple[dict[str, tuple[float, ...]], ...]
    """By slot and kind, how far from ready the packs may be: `scheduler.guide.Guide.reach_h`."""
    delays: tuple[Delay, ...] = ()
    """Promised trucks whose packs cannot be ready in time, whatever is planned."""
    packs: Mapping[str, str] = field(default_factory=dict)
    """By store, the id of the pack in its bay."""


def through_lanes(waiting: Sequence[KnownTruck], free_h: Sequence[float], swap_h: float) -> list[KnownTruck]:
    """Trucks that stand in the queue, each with when a lane is free for it: their packs come back one after another.

    Args:
        waiting: in the order in which they are called.
        free_h: of each lane when it is free, hours from now; without any all are called at once.
        swap_h: from a call until the lane is free again.
    """
    lanes, found = sorted(free_h), []
    for truck in waiting:
        at_h = lanes.pop(0) if lanes else 0.0
        found.append(replace(truck, at_h=max(truck.at_h, at_h)))
        if free_h:
            insort(lanes, found[-1].at_h + swap_h)
    return found


def task_of(outlook: Outlook) -> PlanTask:
    """The plan that an outlook asks for.

    Raises:
        ValueError: prices are not known for long enough, or a number is none.
    """
    at, prices, policy = outlook.at, outlook.prices, outlook.policy
    until_at = min(prices[-1].until_at if prices else at, at + outlook.horizon)
    if until_at - at < LEAST_HORIZON:
        known = until_at.isoformat(timespec="minutes")
        raise ValueError(f"prices are known until {known}, {LEAST_HORIZON} ahead are needed")
    horizon_h = (until_at - at).total_seconds() / 3600
    edges = [edge for floor in outlook.floors for edge in (floor.from_at, floor.until_at)]
    starts = slot_starts(at, horizon_h, [*(part.until_at for part in prices), *outlook.changes, *edges])
    price, hours = prices_of(starts, prices), lengths_h(starts)
    limits = [outlook.limits_at(start) for start in starts[:-1]]
    site = Site(
        price,
        np.array([one.base_load_kw for one in limits]),
        np.array([max(one.pv_kw, 0.0) for one in limits]),
        np.array([max(one.import_limit_kw, 0.0) for one in limits]),
        chargers_kw=_chargers_kw(outlook),
        import_floor_kw=np.array([floor_at(outlook.floors, start) for start in starts[:-1]]) if edges else None,
    )
    worth = Worth(float(np.average(price, weights=hours)), limits[0].charger_efficiency, policy.min_setpoint_kw)
    packs, trucks = packs_ahead(outlook), trucks_ahead(outlook, horizon_h)
    problem = ChargeProblem(at, hours, site, visits_of(packs, trucks, horizon_h, worth).stores)
    reach = tuple(reach_of(outlook, float(start_h)) for start_h in problem.starts_h)
    # Packs are kept for promised trucks, so those that are only expected make none of them late.
    promised = [truck for truck in trucks if truck.tier is Tier.PROMISED]
    delays = visits_of(packs, promised, horizon_h, worth).delays
    in_bays = {bay.bay_id: bay.pack.pack_id for bay in outlook.bays if bay.pack is not None}
    return PlanTask(problem, reach, delays, in_bays)


def _own_kw(bay: BayRow) -> float:
    return bay.max_charge_kw if bay.charger_ok and bay.role is BayRole.RACK else 0.0


def _chargers_kw(outlook: Outlook) -> float:
    modules = outlook.modules
    all_kw = sum(map(_own_kw, outlook.bays)) if modules is None else modules.number * modules.kw
    return all_kw if outlook.policy.max_power_kw is None else min(all_kw, outlook.policy.max_power_kw)


def _usual_kw(outlook: Outlook) -> float:
    """Of a pack whose bay is not known yet."""
    if outlook.modules is not None:
        return outlook.modules.kw
    own_kw = [kw for kw in map(_own_kw, outlook.bays) if kw > 0]
    return sum(own_kw) / len(own_kw) if own_kw else 0.0


def _ahead(outlook: Outlook, name: str, kind: str, soh_pct: float, kwh: float, charger_kw: float) -> PackAhead:
    policy, law = outlook.policy, outlook.laws(kind, soh_pct, charger_kw)
    return PackAhead(
        name,
        kind,
        kwh,
        policy.offer_soc_pct / 100 * law.capacity_kwh,
        policy.target_soc_pct / 100 * law.capacity_kwh,
        law.power_kw,
        law.efficiency,
        law,
    )


def _spent(outlook: Outlook, name: str, spent: SpentPack, called_h: float = 0.0) -> PackAhead:
    charger_kw = _usual_kw(outlook) if spent.charger_kw is None else spent.charger_kw
    capacity_kwh = outlook.laws(spent.kind, spent.soh_pct, charger_kw).capacity_kwh
    kwh = (SPENT_SOC_PCT if spent.soc_pct is None else spent.soc_pct) / 100 * capacity_kwh
    return _ahead(outlook, name, spent.kind, spent.soh_pct, kwh, charger_kw).later(called_h + spent.at_h)


def packs_ahead(outlook: Outlook) -> list[PackAhead]:
    """Packs in bays that are or will be charged or handed out, and those on their way into bays."""
    found = []
    for bay in outlook.bays:
        pack = bay.pack
        from_h = None if pack is None or pack.kind.name not in outlook.kinds else _chargeable_h(outlook, bay)
        if pack is None or from_h is None:
            continue
        kind, soh_pct, kwh = pack.kind.name, pack.soh_pct, pack.energy_kwh
        charger_kw = _own_kw(bay) if outlook.modules is None else outlook.modules.kw
        if not kwh >= 0:
            share = (pack.soc_pct if pack.soc_pct >= 0 else SPENT_SOC_PCT) / 100
            kwh = share * outlook.laws(kind, soh_pct, charger_kw).capacity_kwh
        found.append(_ahead(outlook, bay.bay_id, kind, soh_pct, kwh, charger_kw).later(from_h))
    for number, spent in enumerate(outlook.incoming):
        if spent.kind in outlook.kinds:
            found.append(_spent(outlook, f"incoming {number + 1}", spent))
    return found


def _chargeable_h(outlook: Outlook, bay: BayRow) -> float | None:
    """From when on a bay's pack may be charged; None: it is neither charged nor handed out."""
    limit, pack = limit_of(bay, outlook.policy), bay.pack
    if limit in _CHARGEABLE or limit in _NO_POWER:
        return 0.0
    if limit in (Limit.TOO_HOT, Limit.TOO_COLD):
        return COOL_H
    if limit is Limit.PACK_STATE and pack is not None:
        return COOL_H if pack.state in _KEPT else 0.0 if pack.state in _NEW else None
    return None


def trucks_ahead(outlook: Outlook, horizon_h: float) -> list[TruckAhead]:
    """Trucks that are known, and those expected beside them."""
    found, replacing = [], []
    for truck in outlook.trucks:
        kinds = tuple(kind for kind in truck.kinds if kind in outlook.kinds)
        leaves = tuple(
            _spent(outlook, f"{truck.name}.{seat}", spent, truck.at_h)
            for seat, spent in enumerate(truck.leaves)
            if spent.kind in outlook.kinds
        )
        number = len(truck.leaves)
        ahead = TruckAhead(truck.name, truck.at_h, kinds, leaves, truck.tier, min_kwh=truck.min_kwh, packs=number)
        found.append(ahead)
        if truck.replaces:
            replacing.append(truck)
    return found + (_expected(outlook, outlook.forecast, horizon_h, replacing) if outlook.forecast else [])


_TURN = 0.618034
"""Steps of the golden section deal sorts out in their shares, whatever number of trucks there is."""


def _expected(
    outlook: Outlook, forecast: Forecast, horizon_h: float, replacing: Sequence[KnownTruck]
) -> list[TruckAhead]:
    weights = np.array([share.weight for share in forecast.shares])
    until = np.cumsum(weights / weights.sum())
    mean_h = expected_at_h(forecast.rates, horizon_h)
    sorts = [
        forecast.shares[min(int(np.searchsorted(until, (n * _TURN) % 1.0, side="right")), len(until) - 1)]
        for n in range(len(mean_h))
    ]
    left = list(range(len(mean_h)))
    for truck in sorted(replacing, key=lambda one: one.at_h):
        same = [n for n in left if set(sorts[n].kinds) & set(truck.kinds)]
        if same:
            left.remove(min(same, key=lambda n: abs(mean_h[n] - truck.at_h)))

    @cache
    def latest(from_h: float) -> list[float]:
        return _latest_h(outlook, forecast, from_h)

    found = []
    for number in left:
        at_h, sort = mean_h[number], sorts[number]
        leaves = tuple(_spent(outlook, f"E{number}.{seat}", one, at_h) for seat, one in enumerate(sort.leaves))
        found.append(TruckAhead(f"E{number}", at_h, sort.kinds, leaves, reach=_reach(latest, mean_h, number)))
    return found


_MOST_KEPT = 99
_FURTHEST_H = 1.0
"""A pack that is further from ready needs no wish of its own: any pack is ready sooner."""
_BEFORE_FALL = timedelta(hours=1)
"""So long before a price falls the promised wait is counted on (measured where trucks come in groups: what was kept
before is taken until then, and to count on it at any time breaks promises)."""
_FALL = 0.1
"""A price that falls by less than this share of it is worth nobody's wait."""
_ROUNDING = 1e-9


def _reach(
    latest: Callable[[float], Sequence[float]], mean_h: Sequence[float], number: int
) -> tuple[tuple[float, float], ...]:
    """How near to ready the packs of an expected truck must be whenever one of those before it comes: from then on
    others may come faster than expected."""
    found = []
    for before in range(number - 1, -1, -1):
        at_h, from_then_h = mean_h[before], latest(mean_h[before])
        if number - before > len(from_then_h):
            break
        latest_h = from_then_h[number - before - 1]
        if at_h + latest_h < mean_h[number]:
            found.append((at_h, latest_h))
    return tuple(found)


def _latest_h(outlook: Outlook, forecast: Forecast, at_h: float, part: float = 1.0) -> list[float]:
    """When the first, the second, the third … truck from an instant on must have its packs at the latest, hours from
    then, should they come as fast as the level counts on; without those for whom that is further away than any pack.

    That is when a lane is free for it: the lanes take one after the other. The aim: who does not wait for a lane does
    not wait for a pack. Before a price falls it is as late as nobody of them waits longer than promised, and a swap
    less for what a lane may be late. Judged by steps of one call: who may come before the next one counts as there.
    """
    call_h, comes_h = forecast.call_h, list[float]()
    dispersion = round(forecast.rates.dispersion, 2)
    for step in range(int(_FURTHEST_H / call_h + _ROUNDING) + 1):
        mean = round(part * forecast.rates.between(at_h, at_h + (step + 1) * call_h), 2)
        most = min(count_quantile(mean, forecast.level, dispersion), _MOST_KEPT)
        comes_h += [step * call_h] * (most - len(comes_h))
    found = list[float]()
    for come_h in comes_h:
        found.append(max(come_h, found[-1] + call_h) if found else come_h)
    if forecast.wait_h > call_h and _falls_soon(outlook, at_h):
        next_h, wait_h = inf, forecast.wait_h - call_h
        for number in range(len(found) - 1, -1, -1):
            next_h = found[number] = max(found[number], min(comes_h[number] + wait_h, next_h - call_h))
    return [hours for hours in found if hours <= _FURTHEST_H + _ROUNDING]


def _falls_soon(outlook: Outlook, at_h: float) -> bool:
    """Whether the next other price is much lower, and comes soon: what is kept until then is bought too dear."""
    at = outlook.at + timedelta(hours=at_h)
    ahead = [part for part in outlook.prices if part.until_at > at]
    now = ahead[0].price_yuan_per_kwh if ahead else 0.0
    after = next((part for part in ahead if part.price_yuan_per_kwh != now), None)
    if after is None or after.from_at > at + _BEFORE_FALL:
        return False
    return now - after.price_yuan_per_kwh > _FALL * abs(now)


def reach_of(outlook: Outlook, at_h: float) -> dict[str, tuple[float, ...]]:
    """How far from ready the packs of each kind may be from an instant on, in the order in which they will be, hours:
    trucks may come as fast as the level counts on, and the lanes take no more."""
    forecast = outlook.forecast
    if forecast is None:
        return {kind: () for kind in outlook.kinds}
    whole = sum(share.weight for share in forecast.shares)
    charger_kw = _usual_kw(outlook)
    found = {}
    for kind in outlook.kinds:
        takers = [share for share in forecast.shares if kind in share.kinds]
        part = sum(share.weight for share in takers) / whole
        packs = max((len(share.leaves) for share in takers), default=0)
        latest_h = _latest_h(outlook, forecast, at_h, part) if packs else []
        law = outlook.laws(kind, 100.0, charger_kw) if latest_h else None
        hours = [one if law is None else _without_taper(outlook, law, one) for one in latest_h]
        found[kind] = tuple(one for one in hours for _ in range(packs))[:_MOST_KEPT]
    return found


def _without_taper(outlook: Outlook, law: PackLaw, hours: float) -> float:
    """Hours in which a pack would be ready if it kept the power it begins with: so the rule reckons."""
    if law.power_kw <= 0:
        return hours
    offer_kwh = outlook.policy.offer_soc_pct / 100 * law.capacity_kwh
    return (offer_kwh - energy_before(law, offer_kwh, round(hours, 4))) / law.power_kw
