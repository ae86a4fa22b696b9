"""A checked answer as a plan: what each store does in each slot, what is missed, and the guides that carry it out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

import numpy as np

from scheduler.guide import Guide, until
from scheduler.optimal.check import AnswerCheck, check
from scheduler.optimal.flows import Flows, read_flows
from scheduler.optimal.matrix import law_groups
from scheduler.optimal.problem import ChargeProblem, Floats, Tier
from scheduler.optimal.solve import NotSolved, SolverAnswer, solve

SHORT_KWH = 0.01
"""Less than this is no shortfall: one unit of a bill."""
_WISHED = (Tier.STOCK, Tier.COMFORT)
"""Not to reach these is no shortfall: nobody was told of them."""
_SAME_KW = 0.5
_LATE_H = 1e-6
_NEAR = 1e-3
"""Share below which a power counts as all that a pack and its charger can take."""


class NotBelieved(Exception):
    """An answer that the check has thrown away; the message has what does not hold."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A promise or an expected need that the plan does not reach."""

    store: str
    tier: Tier
    at: datetime
    kwh: float
    minutes: float
    """So much later it could be reached at full power of its own; inf where it cannot be reached at all."""


@dataclass(frozen=True)
class ChargePlan:
    """What is to be done from `starts[0]` on."""

    problem: ChargeProblem
    starts: tuple[datetime, ...]
    """Begin of each slot, and the end of the last."""
    flows: Flows
    shortfalls: tuple[Shortfall, ...]
    money_yuan: float
    """Import, demand and wear, less export and what is left at the end."""
    verdict: AnswerCheck
    guide_kw: tuple[float, ...]
    """Most that the shared chargers give together, by slot; inf where the plan holds nothing back."""
    store_kw: Floats
    """By window, what of that is for each store."""

    @property
    def until_at(self) -> datetime:
        """End of the last slot."""
        return self.starts[-1]

    def slot_at(self, at: datetime) -> int | None:
        """Number of the slot that holds an instant."""
        number = bisect_right(self.starts, at) - 1
        return number if 0 <= number < len(self.starts) - 1 else None


def guides_of(
    plan: ChargePlan, reach: Sequence[Mapping[str, Sequence[float]]], packs: Mapping[str, str] | None = None
) -> tuple[Guide, ...]:
    """The guides of a plan, one after the other from its begin; slots that wish the same are one.

    Args:
        reach: by slot and kind, how far from ready the packs may be: `scheduler.guide.Guide.reach_h`.
        packs: by store, the id of the pack that it is; each of these is guided by itself, the others together.
    """
    own_kw = _own_kw(plan, {} if packs is None else packs)
    found: list[Guide] = []
    for number, most_kw in enumerate(plan.guide_kw):
        until_at = plan.starts[number + 1]
        if found and found[-1].reach_h == {kind: list(hours) for kind, hours in reach[number].items()}:
            before = found[-1]
            if _alike(before.most_kw, most_kw) and _all_alike(before.pack_kw, own_kw[number]):
                found[-1] = until(before, until_at)
                continue
        found.append(Guide(until_at, most_kw, {}, own_kw[number], reach[number]))
    return tuple(found)


def _own_kw(plan: ChargePlan, packs: Mapping[str, str]) -> list[dict[str, float]]:
    """By slot and pack what is for it, where anything is held back."""
    found: list[dict[str, float]] = [{} for _ in plan.guide_kw]
    windows = plan.flows.windows
    for number, store in enumerate(plan.problem.stores):
        if store.name in packs:
            first = int(windows.first[number])
            for place in range(first, first + int(windows.count[number])):
                slot = int(windows.slot[place])
                if plan.guide_kw[slot] < inf:
                    found[slot][packs[store.name]] = float(plan.store_kw[place])
    return found


def _all_alike(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one.keys() == other.keys() and all(_alike(kw, other[name]) for name, kw in one.items())


def _alike(one_kw: float, other_kw: float) -> bool:
    return one_kw == other_kw or abs(one_kw - other_kw) < _SAME_KW


def make_plan(problem: ChargeProblem, *, most_s: float = 10.0) -> ChargePlan:
    """Solve, check, read. A second attempt goes another way through the same arrays.

    Raises:
        NoSolver: the extra is not installed.
        NotSolved: no optimum twice.
        NotBelieved: the check has found both answers wanting.
    """
    try:
        answer = solve(problem, most_s=most_s)
        return plan_of(problem, answer, check(problem, answer))
    except (NotSolved, NotBelieved):
        answer = solve(problem, most_s=most_s, presolve=False)
        return plan_of(problem, answer, check(problem, answer))


def plan_of(problem: ChargeProblem, answer: SolverAnswer, verdict: AnswerCheck) -> ChargePlan:
    """The plan of an answer. Raises NotBelieved."""
    if not verdict.good:
        raise NotBelieved("; ".join(verdict.broken))
    flows = read_flows(problem, answer.matrix, answer.x)
    begin_at = problem.begin_at
    starts = (begin_at, *(begin_at + timedelta(hours=float(end)) for end in problem.ends_h))
    guide_kw, store_kw = _guide_kw(problem, flows)
    shortfalls, money_yuan = _shortfalls(problem, flows, answer), float(answer.matrix.money @ answer.x)
    return ChargePlan(problem, starts, flows, shortfalls, money_yuan, verdict, guide_kw, store_kw)


def _shortfalls(problem: ChargeProblem, flows: Flows, answer: SolverAnswer) -> tuple[Shortfall, ...]:
    found, place = [], 0
    windows = answer.matrix.windows
    for number, store in enumerate(problem.stores):
        for goal in store.goals:
            short = float(flows.short_kwh[place])
            place += 1
            # What is to be reached after the last slot only pulls: nobody knows yet what will lack then.
            if short <= SHORT_KWH or goal.tier in _WISHED or goal.at_h > problem.ends_h[-1] + _LATE_H:
                continue
            has_kwh = goal.kwh - short
            hours = store.law.hours_to(has_kwh, goal.kwh) if store.law is not None else _hours(store.charge_kw, short)
            last = windows.last[number]
            at_h = min(goal.at_h, float(problem.ends_h[windows.slot[last]]))
            found.append(Shortfall(store.name, goal.tier, problem.begin_at + timedelta(hours=at_h), short, 60 * hours))
    return tuple(found)


def _hours(power_kw: float, kwh: float) -> float:
    return kwh / power_kw if power_kw > 0 else inf


def _guide_kw(problem: ChargeProblem, flows: Flows) -> tuple[tuple[float, ...], Floats]:
    """By slot what the shared chargers may give, and what of that is for each store: a pack that the plan charges as
    fast as it can counts with its whole charger, since the plan's straight lines lie below what it will take."""
    windows, slots = flows.windows, len(problem.hours)
    stores = problem.stores
    rating = np.array([s.charge_kw if s.shared else 0.0 for s in stores])[windows.store]
    shared = np.array([s.shared for s in stores], dtype=bool)[windows.store]
    share = windows.connected_h / problem.hours[windows.slot]
    most_kw = np.minimum(rating * share, _taper_kw(problem, flows))
    whole = shared & (flows.charge_kw >= most_kw * (1 - _NEAR) - _NEAR) & (most_kw > 0)
    # A pack that comes or goes within a slot has its energy of that slot while it is there.
    while_there_kw = np.divide(flows.charge_kw, share, out=np.zeros_like(share), where=share > 0)
    given = np.where(whole, rating, np.where(shared, np.clip(while_there_kw, 0.0, rating), 0.0))
    kw = np.bincount(windows.slot, given, minlength=slots)
    room = np.array([s.most_kwh for s in stores])[windows.store] - flows.energy_kwh
    held = shared & ~whole & (share > 0) & (room > SHORT_KWH)
    free = np.bincount(windows.slot, held, minlength=slots) == 0
    return tuple(inf if free[slot] else float(kw[slot]) for slot in range(slots)), given


def _taper_kw(problem: ChargeProblem, flows: Flows) -> Floats:
    """Mean power in each slot that the laws allow after what the plan has done before."""
    windows, stores = flows.windows, problem.stores
    hours = problem.hours[windows.slot]
    efficiency = np.array([s.efficiency for s in stores])[windows.store]
    before = flows.energy_kwh - efficiency * flows.charge_kw * hours
    most = np.full(len(windows.store), inf)
    for law, at in law_groups(problem, windows):
        for offset, fall in law.gain_lines(windows.connected_h[at]):
            gain = np.maximum(offset - fall * before[at], 0.0)
            most[at] = np.minimum(most[at], gain / (efficiency[at] * hours[at]))
    return most
