"""HiGHS is asked: money first, then the wishes within that money; yes/no rules only where the answer breaks one.

Every solve begins cold, with a solver of its own: nothing that failed once can colour what comes after. Its answer is
worth nothing before `check.py` has looked at it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scheduler.optimal.matrix import Ints, Matrix, build
from scheduler.optimal.problem import ChargeProblem, Floats

if TYPE_CHECKING:
    import highspy

MONEY_SLACK = 1e-4
"""Share of the money that the second stage may spend on wishes."""
RULE_TOLERANCE_KW = 1e-5
"""Below this a power is none."""
MOST_ROUNDS = 60
SINGLE_ROUNDS = 3
"""So often slots are taken one by one."""
WISHED_ROUNDS = 6
"""So often a wish that breaks a rule is bent; then the cheapest answer, which breaks none, is taken."""
MIP_GAP = 1e-6
_PRIMAL_SIMPLEX = 4


class NoSolver(Exception):
    """The package highspy is not installed (extra `optimal`)."""


class NotSolved(Exception):
    """The solver gave no optimum; the message has its own status in words."""


@dataclass(frozen=True)
class SolverAnswer:
    """What the solver says, unchecked."""

    matrix: Matrix
    x: Floats
    """All columns of the matrix."""
    best: Floats
    """The answer of the first stage."""
    row_price: Floats
    """Change of the cost with each row's bound, of the first stage; of the last linear program where rules needed
    binaries."""
    bound_yuan: float
    """No plan costs less: what the solver says for binaries, else to be reckoned from `row_price`."""
    status: str
    rounds: int = 1
    binaries: int = 0
    took_s: dict[str, float] = field(default_factory=dict)
    """Seconds to build the arrays, of the first and of the second stage."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One yes/no rule: with 0 the first column is 0, with 1 the second; `least_kw` of the first with 1."""

    on: int
    off: int
    least_kw: float


def has_solver() -> bool:
    """Whether the optional package is there."""
    return find_spec("highspy") is not None


def solve(problem: ChargeProblem, *, most_s: float = 10.0, wishes: bool = True, presolve: bool = True) -> SolverAnswer:
    """The cheapest plan, and of the cheapest the one that is wished.

    Args:
        most_s: seconds after which it is given up, all rounds together.
        wishes: False leaves out the second stage.
        presolve: False is another way through the same arrays, for a second attempt: nothing is reduced before, and
            the search over binaries takes other turns.

    Raises:
        NoSolver: the extra is not installed.
        NotSolved: no optimum in time.
    """
    if not has_solver():
        raise NoSolver("the package highspy is not installed: pip install 'swapstation[optimal]', or plan = \"rule\"")
    begun = perf_counter()
    given_up = begun + most_s
    matrix = build(problem)
    took_s = {"build": perf_counter() - begun, "money": 0.0, "wishes": 0.0}
    switches: dict[tuple[int, int], Switch] = {}
    for number in range(1, MOST_ROUNDS + 1):
        begun = perf_counter()
        solver = _solver(matrix, list(switches.values()), max(given_up - begun, 0.0), presolve=presolve)
        _run(solver, "money")
        solution = solver.getSolution()
        best = np.array(solution.col_value)
        row_price = np.array(solution.row_dual)[: matrix.rows]
        info = solver.getInfo()
        bound = info.mip_dual_bound if switches else info.objective_function_value
        took_s["money"] += perf_counter() - begun
        if _add(switches, broken_rules(problem, matrix, best, whole=number > SINGLE_ROUNDS)):
            continue
        x = best
        if wishes:
            begun = perf_counter()
            x = _wished(problem, solver, matrix, best, len(switches))
            took_s["wishes"] += perf_counter() - begun
        count = matrix.columns
        return SolverAnswer(matrix, x[:count], best[:count], row_price, bound, "optimal", number, len(switches), took_s)
    raise NotSolved(f"yes/no rules are still broken after {MOST_ROUNDS} rounds with {len(switches)} binaries")


def _add(switches: dict[tuple[int, int], Switch], found: list[Switch]) -> bool:
    before = len(switches)
    switches.update({(switch.on, switch.off): switch for switch in found})
    return len(switches) > before


def broken_rules(problem: ChargeProblem, matrix: Matrix, x: Floats, *, whole: bool = False) -> list[Switch]:
    """Where an answer charges with less than a charger can, or goes both ways at once.

    Args:
        whole: of a store that charges with too little somewhere, give every slot: the breach would only move on.
    """
    windows, blocks = matrix.windows, matrix.blocks
    found = []
    least_kw = np.array([s.min_charge_kw for s in problem.stores])
    if np.any(least_kw > 0):
        slot_h = problem.hours[windows.slot]
        steady = problem.ends_h[windows.slot] <= problem.steady_h + 1e-9
        needs = least_kw[windows.store]
        power = x[blocks.charge : blocks.charge + len(windows.store)]
        may = steady & (windows.connected_h >= slot_h - 1e-9) & (needs > 0)
        low = may & (power > RULE_TOLERANCE_KW) & (power < needs - RULE_TOLERANCE_KW)
        if whole and low.any():
            low = may & np.isin(windows.store, windows.store[low])
        found += [Switch(blocks.charge + int(at), -1, float(needs[at])) for at in np.flatnonzero(low)]
    found += _both(x, blocks.discharge + np.arange(len(blocks.discharge_at)), blocks.charge + blocks.discharge_at)
    if blocks.grid_out >= 0:
        slots = np.arange(len(problem.hours))
        found += _both(x, blocks.grid_out + slots, blocks.grid_in + slots)
    return found


def _both(x: Floats, one: Ints, other: Ints) -> list[Switch]:
    both = (x[one] > RULE_TOLERANCE_KW) & (x[other] > RULE_TOLERANCE_KW)
    return [Switch(int(one[at]), int(other[at]), 0.0) for at in np.flatnonzero(both)]


def _solver(matrix: Matrix, switches: list[Switch], most_s: float, *, presolve: bool) -> highspy.Highs:
    import highspy

    # Made without the callbacks of its own constructor, which greets on standard output before it can be silenced.
    solver = highspy.Highs.__new__(highspy.Highs)
    super(highspy.Highs, solver).__init__()
    solver.silent()
    solver.setOptionValue("parallel", "off")
    solver.setOptionValue("time_limit", most_s)
    solver.setOptionValue("presolve", "on" if presolve else "off")
    solver.setOptionValue("random_seed", 0 if presolve else 1)
    solver.setOptionValue("mip_rel_gap", MIP_GAP)
    solver.setOptionValue("primal_feasibility_tolerance", 1e-8)
    solver.setOptionValue("dual_feasibility_tolerance", 1e-8)
    solver.setOptionValue("mip_feasibility_tolerance", 1e-8)
    solver.passModel(_model(matrix))
    if switches:
        _add_binaries(solver, matrix, switches)
    return solver


def _model(matrix: Matrix) -> Any:
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = matrix.columns, matrix.rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = matrix.cost, matrix.lower, matrix.upper
    lp.row_lower_, lp.row_upper_ = matrix.row_lower, matrix.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.starts, matrix.index, matrix.value
    return lp


def _add_binaries(solver: highspy.Highs, matrix: Matrix, switches: list[Switch]) -> None:
    """One column of 0 or 1 for each rule, held by the tightest bounds that the columns have."""
    import highspy

    inf = highspy.kHighsInf
    for number, switch in enumerate(switches):
        column = matrix.columns + number
        solver.addCol(0.0, 0.0, 1.0, 0, np.array([], dtype=np.int32), np.array([]))
        solver.changeColIntegrality(column, highspy.HighsVarType.kInteger)
        most = _most(matrix, switch.on)
        pair = np.array([switch.on, column], dtype=np.int32)
        solver.addRow(-inf, 0.0, 2, pair, np.array([1.0, -most]))
        if switch.least_kw > 0:
            solver.addRow(0.0, inf, 2, pair, np.array([1.0, -switch.least_kw]))
        if switch.off >= 0:
            most = _most(matrix, switch.off)
            solver.addRow(-inf, most, 2, np.array([switch.off, column], dtype=np.int32), np.array([1.0, most]))


def _most(matrix: Matrix, column: int) -> float:
    """A bound that no sensible answer reaches: its own, or all that the site's columns could carry."""
    own = float(matrix.upper[column])
    if np.isfinite(own):
        return own
    blocks, line = matrix.blocks, len(matrix.windows.store)
    stores = float(matrix.upper[blocks.charge : blocks.charge + line].sum())
    if len(blocks.discharge_at):
        stores += float(matrix.upper[blocks.discharge : blocks.discharge + len(blocks.discharge_at)].sum())
    return 10.0 * (stores + float(np.abs(matrix.row_lower[np.isfinite(matrix.row_lower)]).max()) + 1.0)


def _run(solver: highspy.Highs, stage: str) -> None:
    import highspy

    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise NotSolved(f"HiGHS on {stage}: {solver.modelStatusToString(status)}")


def _wished(problem: ChargeProblem, solver: highspy.Highs, matrix: Matrix, best: Floats, switches: int) -> Floats:
    """The second stage, from where the first one ended.

    Rules stay as the first stage decided them: where a wish breaks one, the columns get the bounds that the cheapest
    answer keeps, so this never fails for want of an answer.
    """
    import highspy

    if switches:
        for number, value in enumerate(np.round(best[matrix.columns :])):
            column = matrix.columns + number
            solver.changeColIntegrality(column, highspy.HighsVarType.kContinuous)
            solver.changeColBounds(column, value, value)
    spent = float(matrix.cost @ best[: matrix.columns])
    money = abs(float(matrix.money @ best[: matrix.columns]))
    most = spent + MONEY_SLACK * money + 1e-7 * (1.0 + abs(spent))
    solver.changeRowBounds(matrix.money_row, -highspy.kHighsInf, most)
    # The answer of the first stage stays feasible, so the primal method goes on from it.
    solver.setOptionValue("simplex_strategy", _PRIMAL_SIMPLEX)
    everything = np.arange(len(best), dtype=np.int32)
    solver.changeColsCost(len(best), everything, np.append(matrix.wish, np.zeros(switches)))
    for _ in range(WISHED_ROUNDS):
        _run(solver, "wishes")
        x = np.array(solver.getSolution().col_value)
        broken = broken_rules(problem, matrix, x)
        if not broken:
            return x
        for switch in broken:
            _as_cheapest(solver, matrix, best, switch)
    return best


def _as_cheapest(solver: highspy.Highs, matrix: Matrix, best: Floats, switch: Switch) -> None:
    """Bounds that keep a rule as the cheapest answer does."""
    for column, least_kw in ((switch.on, switch.least_kw), (switch.off, 0.0)):
        if column >= 0 and best[column] <= RULE_TOLERANCE_KW:
            solver.changeColBounds(column, 0.0, max(float(best[column]), 0.0))
        elif column >= 0 and least_kw > 0:
            solver.changeColBounds(column, min(least_kw, float(best[column])), float(matrix.upper[column]))
