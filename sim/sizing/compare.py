"""Named candidates side by side on the same trucks: share within the promise, cost, cash flows, and their differences.

The first candidate gives the weeks, the seed and the promise. Every candidate gets the same replications of each week,
so that differences are taken pair by pair and are surer than two shares side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sim.scenario.file import Scenario
from sim.sizing.board import Board, board_of, cost_in, value_in
from sim.sizing.search import OTHER_WEEK
from sim.sizing.trial import Trial, gap_of_ratios, gap_over_the_year
from sim.sizing.verdict import PromiseRule, Verdict
from sim.sizing.year import YearSpan, placed
from sim.study.design import YEAR_DAYS, capital_yuan_per_year, design_of
from sim.study.optimal.planned import check_plannable
from sim.study.parallel import Workers
from sim.study.stats import Estimate
from sim.study.study import RunTask, run_task

SAME = (
    "timezone", "fleets", "demand", "climate", "vehicle_models", "bookings", "promise", "life",
)  # fmt: skip
"""Sections that decide which trucks come and what is promised them."""


class OtherTrucks(Exception):
    """Candidates that do not serve the same trucks cannot be compared; says in what they differ."""


@dataclass(frozen=True)
class Candidate:
    """One candidate and what its replications say."""

    name: str
    trial: Trial
    board: Board


@dataclass(frozen=True)
class CandidateGap:
    """By how much a candidate differs from the first, on the same trucks; None is undefined."""

    share: Estimate
    investment_yuan: float
    yearly_yuan: Estimate
    yuan_per_swap: Estimate
    present_value_yuan: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """Candidates in the order in which they were given."""

    candidates: tuple[Candidate, ...]
    gaps: tuple[CandidateGap, ...]
    """Of the second and each further one from the first."""
    seed: int
    replications: int


def compare(
    scenarios: Mapping[str, Scenario],
    pool: Workers,
    spans: tuple[YearSpan, ...],
    replications: int,
    *,
    seed: int | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Simulate candidates on the same trucks.

    Args:
        spans: weeks of the year, of the first candidate.

    Raises:
        OtherTrucks: they do not serve the same trucks.
        CannotPlan: the optimiser cannot plan for one.
    """
    first = next(iter(scenarios.values()))
    for name, scenario in scenarios.items():
        check_plannable(scenario)
        differ = [part for part in SAME if getattr(scenario, part) != getattr(first, part)]
        if differ:
            raise OtherTrucks(
                f"{name}: differs from {next(iter(scenarios))} in {', '.join(differ)}; candidates are compared on the "
                "same trucks: give them the same sections, or compare their single results"
            )
    used_seed = first.study.seed if seed is None else seed
    trials = {}
    for name, scenario in scenarios.items():
        # The days are the first's: a sized scenario has its hardest week for a study.
        there = scenario.model_copy(update={"study": first.study})
        design = design_of(there)
        trials[name] = Trial(design, there, capital_yuan_per_year(there, design), spans)
    tasks = [
        RunTask(placed(trial.scenario, span), used_seed, n + at * OTHER_WEEK, span.days, span.warmup_days)
        for trial in trials.values()
        for at, span in enumerate(spans)
        for n in range(replications)
    ]
    runs = pool.map(run_task, tasks, None if on_done is None else lambda done: on_done(done, len(tasks)))
    for number, trial in enumerate(trials.values()):
        for at in range(len(spans)):
            begin = (number * len(spans) + at) * replications
            trial.add(at, runs[begin : begin + replications])
        trial.asked = tuple(range(len(spans)))
        trial.verdict = _verdict(trial, replications)
    found = tuple(Candidate(name, trial, board_of(trial)) for name, trial in trials.items())
    gaps = tuple(gap_from(found[0], other) for other in found[1:])
    return Comparison(found, gaps, used_seed, replications)


def _verdict(trial: Trial, replications: int) -> Verdict:
    """One look at every week."""
    promise = trial.scenario.promise
    rule = PromiseRule(promise.target_share, (1 - promise.confidence) / 2, (replications,))
    said: list[Verdict] = []
    for at in trial.asked:
        trucks = float(sum(run.arrived for run in trial.by_span[at]))
        said.append(rule.ask(0, trial.share_in(at), trucks, len(trial.asked)))
    if False in said:
        return False
    return None if None in said else True


def gap_from(base: Candidate, other: Candidate) -> CandidateGap:
    """What another candidate has more than the base."""
    value, plans = None, (base.board.plan, other.board.plan)
    if plans[0] is not None and plans[1] is not None:
        of_base, of_other = value_in(plans[0], base.trial.scenario), value_in(plans[1], other.trial.scenario)
        value = gap_over_the_year(other.trial, base.trial, of_other, of_base)
    return CandidateGap(
        share=gap_of_ratios(
            other.trial, base.trial, lambda _: lambda run: run.within / run.days, lambda run: run.arrived / run.days
        ),
        investment_yuan=other.board.investment_yuan - base.board.investment_yuan,
        yearly_yuan=gap_over_the_year(other.trial, base.trial, cost_in(other.trial), cost_in(base.trial)),
        yuan_per_swap=gap_of_ratios(
            other.trial, base.trial, cost_in, lambda run: YEAR_DAYS * run.means["swaps_per_day"]
        ),
        present_value_yuan=value,
    )
