"""What one more kW of transformer or charger, or one more pack, would be worth: what a plan with it would save.

Each is asked by planning once more with a little more of it. A row price would be cheaper to have, but of a program
with many optima it is one of several, and trucks take other packs when there is one more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from scheduler.optimal.check import check
from scheduler.optimal.flows import Flows, read_flows
from scheduler.optimal.outlook import Outlook, SpentPack, task_of
from scheduler.optimal.plan import NotBelieved
from scheduler.optimal.problem import ChargeProblem, Tier
from scheduler.optimal.solve import solve
from scheduler.rows import BayRow
from scheduler.types import SiteLimits

STEP_KW = 1.0

Resource = Literal["transformer", "charger", "pack"]


@dataclass(frozen=True, slots=True)
class UnitWorth:
    """What one more unit saves over the whole plan."""

    resource: Resource
    name: str
    """Bay of the charger, kind of the pack; empty for the transformer."""
    yuan: float
    """Money, for each kW, or for the pack; below 0 where more is bought to have packs ready that would lack energy."""
    kwh: float
    """Energy that promised and expected packs lack less."""
    handed_kwh: float
    """Energy that trucks get more within the plan; it is in the money too."""


def unit_worths(outlook: Outlook, bays: Collection[str], *, most_s: float = 10.0) -> tuple[UnitWorth, ...]:
    """The worth of a kW of the site's import limit, of a kW of the charger of each bay, and of a pack of each kind.

    Args:
        bays: those whose chargers are asked about.
        most_s: seconds for each plan.

    Raises:
        NoSolver, NotSolved, NotBelieved, ValueError: as for the plan itself.
    """
    base = _reckoned(outlook, most_s)

    def worth(resource: Resource, name: str, asked: Outlook, own_yuan: float = 0.0) -> UnitWorth:
        found = _reckoned(asked, most_s)
        saved_yuan = base.yuan - found.yuan - own_yuan
        return UnitWorth(resource, name, saved_yuan, base.kwh - found.kwh, found.handed_kwh - base.handed_kwh)

    found = [worth("transformer", "", with_import(outlook))]
    found += [worth("charger", name, with_charger(outlook, name)) for name in bays]
    for kind in outlook.kinds:
        asked = with_pack(outlook, kind)
        found.append(worth("pack", kind, asked, _held_yuan(asked)))
    return tuple(found)


def with_import(outlook: Outlook, kw: float = STEP_KW) -> Outlook:
    """The same, with so much more import allowed at any time."""
    before = outlook.limits_at

    def limits_at(at: datetime) -> SiteLimits:
        limits = before(at)
        dr_kw = None if limits.dr_limit_kw is None else limits.dr_limit_kw + kw
        return replace(limits, grid_limit_kw=limits.grid_limit_kw + kw, dr_limit_kw=dr_kw)

    return replace(outlook, limits_at=limits_at)


def with_charger(outlook: Outlook, bay_id: str, kw: float = STEP_KW) -> Outlook:
    """The same, with so much more at the charger of a bay."""
    bays = []
    for bay in outlook.bays:
        if bay.bay_id == bay_id:
            more = BayRow(bay.bay_id, bay.position, bay.role, bay.max_charge_kw + kw)
            more.pack, more.kinds, more.lanes, more.charger_ok = bay.pack, bay.kinds, bay.lanes, bay.charger_ok
            more.blocked, more.occupied, more.reserved_by = bay.blocked, bay.occupied, bay.reserved_by
            bays.append(more)
        else:
            bays.append(bay)
    return replace(outlook, bays=bays)


def with_pack(outlook: Outlook, kind: str) -> Outlook:
    """The same, with one more pack of a kind, spent, at a charger like those of the rack."""
    return replace(outlook, incoming=[*outlook.incoming, SpentPack(kind, 0.0)])


def _held_yuan(outlook: Outlook) -> float:
    """What the energy is worth that the last of the incoming packs holds now: it was not bought by the plan."""
    name = f"incoming {len(outlook.incoming)}"
    store = next(one for one in task_of(outlook).problem.stores if one.name == name)
    return store.energy_kwh * store.end_yuan_per_kwh


@dataclass(frozen=True, slots=True)
class _Reckoned:
    yuan: float
    kwh: float
    handed_kwh: float


def _reckoned(outlook: Outlook, most_s: float) -> _Reckoned:
    problem = task_of(outlook).problem
    answer = solve(problem, most_s=most_s, wishes=False)
    verdict = check(problem, answer)
    if not verdict.good:
        raise NotBelieved("; ".join(verdict.broken))
    flows = read_flows(problem, answer.matrix, answer.best)
    gone = [number for number, store in enumerate(problem.stores) if store.until_h < problem.ends_h[-1]]
    handed_kwh = float(flows.energy_kwh[flows.windows.last[gone]].sum())
    return _Reckoned(float(answer.matrix.money @ answer.best), _lacking_kwh(problem, flows), handed_kwh)


def _lacking_kwh(problem: ChargeProblem, flows: Flows) -> float:
    goals = [goal for store in problem.stores for goal in store.goals]
    return sum(
        float(short_kwh)
        for short_kwh, goal in zip(flows.short_kwh, goals, strict=True)
        if goal.tier in (Tier.PROMISED, Tier.FORECAST) and goal.at_h <= problem.ends_h[-1] + 1e-6
    )
