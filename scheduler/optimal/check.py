"""Whether an answer may be believed: reckoned here from the problem, with nothing of the solver's own accounts.

Five questions. Do the program's rows and bounds hold (primal residual)? Is it the cheapest: do the row prices prove a
bound so near that no plan can be cheaper by more than the gap? Do the *flows* keep every hard limit and conserve
energy, reckoned anew from what was asked, without the program? Is anything charged and discharged, or imported and
exported, at once? Does any charger give less than it can, or a store take from the grid or give to it that may not?
One no, and the plan is thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.optimal.flows import Flows, read_flows
from scheduler.optimal.matrix import Matrix, Windows, law_groups
from scheduler.optimal.problem import ChargeProblem, Floats
from scheduler.optimal.solve import MONEY_SLACK, RULE_TOLERANCE_KW, SolverAnswer

RESIDUAL = 1e-6
"""Of a row, relative to its bound where that is above 1."""
GAP = 1e-6
"""Relative to the cost with all that is short."""
TOLERANCE = 1e-4
"""kW, kWh: so far may a flow miss what it is reckoned to be; sums of many rows that each hold to `RESIDUAL`."""


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """What the check has found."""

    primal_residual: float
    gap: float
    """Relative: cost of the first stage above what the row prices prove, and of the second above what it may spend."""
    broken: tuple[str, ...] = ()
    """What does not hold, in words; empty: it may be believed."""

    @property
    def good(self) -> bool:
        """Whether the answer may be believed."""
        return not self.broken


def check(problem: ChargeProblem, answer: SolverAnswer) -> AnswerCheck:
    """Judge an answer."""
    matrix = answer.matrix
    if not (np.all(np.isfinite(answer.x)) and np.all(np.isfinite(answer.best))):
        return AnswerCheck(np.inf, np.inf, ("the answer holds a value that is not a number",))
    residual = max(residual_of(matrix, answer.x), residual_of(matrix, answer.best))
    broken = []
    if answer.status != "optimal":
        broken.append(f"the solver's status is {answer.status}")
    if not residual <= RESIDUAL:
        broken.append(f"a row or bound is broken by {residual:.3g}, allowed {RESIDUAL:g}")
    gap = gap_of(answer)
    if not gap <= GAP:
        broken.append(f"the cost is not proved least: gap {gap:.3g}, allowed {GAP:g}")
    broken += flaws(problem, read_flows(problem, matrix, answer.x))
    return AnswerCheck(residual, gap, tuple(broken))


def residual_of(matrix: Matrix, x: Floats) -> float:
    """Largest breach of a row or bound, relative to the bound where that is above 1."""
    values = matrix.times(x)
    return max(
        _breach(values, matrix.row_lower, matrix.row_upper),
        _breach(x, matrix.lower, matrix.upper),
    )


def _breach(values: Floats, lower: Floats, upper: Floats) -> float:
    worst = 0.0
    for bound, sign in ((lower, 1.0), (upper, -1.0)):
        known = np.isfinite(bound)
        over = sign * (bound[known] - values[known]) / np.maximum(np.abs(bound[known]), 1.0)
        worst = max(worst, float(over.max(initial=0.0)))
    return worst


def gap_of(answer: SolverAnswer) -> float:
    """Relative distance of the cost from what is proved to be the least.

    Without binaries the proof is the row prices alone (weak duality); with them it is the solver's own bound.
    """
    matrix = answer.matrix
    cost = float(matrix.cost @ answer.best)
    bound = answer.bound_yuan if answer.binaries else dual_bound(matrix, answer.row_price)
    money = abs(float(matrix.money @ answer.best))
    allowed = cost + MONEY_SLACK * money + 1e-6 * (1.0 + abs(cost))
    scale = max(abs(cost), 1.0)
    return max(abs(cost - bound), float(matrix.cost @ answer.x) - allowed, 0.0) / scale


def dual_bound(matrix: Matrix, row_price: Floats) -> float:
    """What the cost cannot be below, whatever the plan: the Lagrangian of the rows over the box of the bounds.

    Minus infinity where a column without a bound could still make it cheaper.
    """
    rest = matrix.cost - matrix.times_rows(row_price)
    return _least(row_price, matrix.row_lower, matrix.row_upper) + _least(rest, matrix.lower, matrix.upper)


def _least(price: Floats, lower: Floats, upper: Floats) -> float:
    """Least of price × value with each value between its bounds; a price of rounding does not count."""
    dust = 1e-7 * max(1.0, float(np.abs(price).max(initial=0.0)))
    bound = np.where(price > 0, lower, upper)
    counts = np.isfinite(bound)
    if np.any(~counts & (np.abs(price) > dust)):
        return -np.inf
    return float(np.sum(price[counts] * bound[counts]))


def flaws(problem: ChargeProblem, flows: Flows) -> list[str]:
    """Hard limits and balances that the flows break, by name."""
    found = _store_flaws(problem, flows)
    site, hours = problem.site, problem.hours
    by_slot = {"import": flows.import_kw, "export": flows.export_kw, "sun": flows.sun_kw}
    found += [f"{name} is below 0 kW" for name, kw in by_slot.items() if np.any(kw < -TOLERANCE)]
    passed = 1.0 - site.transformer_loss_share
    if not site.soft_limit:
        most_kw = np.maximum(site.import_limit_kw, site.base_kw / passed)
        found += _over("import", flows.import_kw, most_kw, "the limit")
    found += _over("export", flows.export_kw, np.full(len(hours), site.export_limit_kw), "its limit")
    if site.export_yuan_per_kwh is None and np.any(flows.export_kw > TOLERANCE):
        found.append("there is export, which is not allowed")
    found += _over("sun used", flows.sun_kw, site.pv_kw, "what there is")
    found += _over("the chargers' output", flows.output_kw, np.full(len(hours), site.chargers_kw), "their rating")
    windows = flows.windows
    ac = np.array([s.ac_efficiency for s in problem.stores])[windows.store] if len(problem.stores) else np.zeros(0)
    net = np.bincount(windows.slot, flows.charge_kw / ac - flows.discharge_kw * ac, minlength=len(hours))
    left = flows.import_kw * passed + flows.sun_kw - flows.export_kw - site.base_kw - net
    if np.any(np.abs(left) > TOLERANCE * np.maximum(1.0, np.abs(site.base_kw) + np.abs(net))):
        found.append(f"{float(np.abs(left).max()):.3g} kW come from nowhere or go nowhere")
    if np.any((flows.import_kw > 2 * RULE_TOLERANCE_KW) & (flows.export_kw > 2 * RULE_TOLERANCE_KW)):
        found.append("import and export at once")
    if np.any((flows.charge_kw > 2 * RULE_TOLERANCE_KW) & (flows.discharge_kw > 2 * RULE_TOLERANCE_KW)):
        found.append("a store charges and discharges at once")
    return found + _source_flaws(problem, flows)


def _source_flaws(problem: ChargeProblem, flows: Flows) -> list[str]:
    """Who may not take from the grid takes no more than the sun gives; who may not give to it is not exported."""
    stores, windows, slots = problem.stores, flows.windows, len(problem.hours)
    if not stores:
        return []
    ac = np.array([s.ac_efficiency for s in stores])[windows.store]
    from_sun = np.array([not s.from_grid for s in stores], dtype=bool)[windows.store]
    may_export = np.array([s.to_grid for s in stores], dtype=bool)[windows.store]
    taken_kw = _by_slot(windows, np.where(from_sun, flows.charge_kw / ac, 0.0), slots)
    found = _over("what stores without the grid take", taken_kw, flows.sun_kw, "the sun used")
    if not may_export.all():
        given_kw = _by_slot(windows, np.where(may_export, flows.discharge_kw * ac, 0.0), slots)
        found += _over("export", flows.export_kw, flows.sun_kw + given_kw, "sun and what may be exported")
    return found


def _by_slot(windows: Windows, kw: Floats, slots: int) -> Floats:
    return np.asarray(np.bincount(windows.slot, kw, minlength=slots), dtype=np.float64)


def _over(name: str, kw: Floats, most_kw: Floats, what: str) -> list[str]:
    over = kw - most_kw
    if not np.any(over > TOLERANCE * np.maximum(1.0, np.where(np.isfinite(most_kw), most_kw, 1.0))):
        return []
    slot = int(np.argmax(over))
    return [f"{name} is {kw[slot]:.3f} kW in slot {slot}, {what} {most_kw[slot]:.3f} kW"]


def _store_flaws(problem: ChargeProblem, flows: Flows) -> list[str]:
    """Each store alone: its energy from its powers, and what it and its charger can take."""
    stores, windows = problem.stores, flows.windows
    if not stores:
        return []
    of, slot_h, connected = windows.store, problem.hours[windows.slot], windows.connected_h

    def each(name: str) -> Floats:
        return np.array([getattr(s, name) for s in stores], dtype=np.float64)

    start_kwh, most_kwh = each("energy_kwh"), each("most_kwh")
    gained = each("efficiency")[of] * flows.charge_kw * slot_h
    lost = flows.discharge_kw * slot_h / each("efficiency_out")[of]
    total = np.cumsum(gained - lost)
    before_store = (total - (gained - lost))[windows.first]
    energy = start_kwh[of] + total - before_store[of]
    slack = TOLERANCE * np.maximum(1.0, most_kwh)[of]
    broken = {
        "energy does not follow from its power": np.abs(energy - flows.energy_kwh) > slack,
        "more energy than it can hold": energy > np.maximum(most_kwh, start_kwh)[of] + slack,
        "less energy than it must keep": energy < np.minimum(each("least_kwh"), start_kwh)[of] - slack,
        "charges with more than its charger gives": flows.charge_kw * slot_h
        > each("charge_kw")[of] * connected + slack,
        "gives more than it can": flows.discharge_kw * slot_h > each("discharge_kw")[of] * connected + slack,
        "charges with less than its charger can give": _too_little(problem, flows, each("min_charge_kw")[of]),
        "a power below 0 kW": (flows.charge_kw < -TOLERANCE) | (flows.discharge_kw < -TOLERANCE),
    }
    taper = np.zeros(len(of), dtype=bool)
    before = energy - (gained - lost)
    for law, at in law_groups(problem, windows):
        for offset, fall in law.gain_lines(connected[at]):
            taper[at] |= gained[at] > np.maximum(offset - fall * before[at], 0.0) + slack[at]
    broken["gains more than its taper allows"] = taper
    return [f"{stores[of[np.argmax(where)]].name}: {what}" for what, where in broken.items() if where.any()]


def _too_little(problem: ChargeProblem, flows: Flows, least_kw: Floats) -> NDArray[np.bool_]:
    """Where a slot that becomes a set-point has less than a charger can run at, and not nothing."""
    windows = flows.windows
    slot_h = problem.hours[windows.slot]
    set_point = (problem.ends_h[windows.slot] <= problem.steady_h + 1e-9) & (windows.connected_h >= slot_h - 1e-9)
    low = (flows.charge_kw > 2 * RULE_TOLERANCE_KW) & (flows.charge_kw < least_kw - 2 * RULE_TOLERANCE_KW)
    return np.asarray(set_point & low)
