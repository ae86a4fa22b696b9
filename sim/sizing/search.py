"""The cheapest station that keeps the promise.

Service never gets worse with one more pack, charger, kVA, lane or bay (tested), so designs form a lattice: one that
fails takes all smaller ones with the same storage with it, one that passes makes all dearer ones pointless. The
search always simulates the design whose verdict settles the most others, after `screening.py` has struck out
what no station of that size could do. It asks the hardest week first: a design that breaks the promise there needs no
year. Each design gets replications, on the same trucks as all others, only until its verdict is sure (`verdict.py`).
Then the cheapest is compared with its neighbours over the whole year, which differ in one resource or two, because a
larger stock can pay for itself by charging in cheaper hours. What is left is asked again in every week with fresh
seeds; where a week breaks the promise there, it joins those that the search asks, and the search goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import chain, combinations, product
from math import log

import numpy as np

from sim.scenario.file import Scenario
from sim.sizing.screening import EnergyBound
from sim.sizing.trial import Trial, dearer_by
from sim.sizing.verdict import PromiseRule, Verdict, attempt_error, both, looks_of
from sim.sizing.year import YearSpan, hardest_week, placed, plain_span, weeks_of
from sim.study.design import (
    RESOURCES,
    YEAR_DAYS,
    Design,
    applied,
    capital_yuan_per_year,
    design_of,
    investment_yuan,
)
from sim.study.parallel import Workers
from sim.study.stats import Estimate
from sim.study.study import RunResult, RunTask, run_task

PAIR_SLACK = 0.02
"""A change of two resources is simulated where the changes one by one promise a cost up to this share of the capital
cost above the best: they do not add up exactly."""
FRESH_SEED = 7_000_003
"""Added to the seed for the confirmation."""
OTHER_WEEK = 10_000
"""Between the replication numbers of one week and the next; more than any has."""
ATTEMPTS = 6
"""Confirmations of one search, at most."""


PHASES = {"verdicts": (0.0, 0.45), "costs": (0.45, 0.75), "confirmation": (0.75, 0.9), "beside": (0.9, 1.0)}
"""Parts of a search and where they usually begin and end, as shares of its time."""


class NoDesign(Exception):
    """No design of the grid lies within the limits of `[sizing]`."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a search may simulate."""

    days: float
    warmup_days: float = 1.0
    first: int = 4
    """Replications before the first verdict."""
    step: int = 4
    most: int = 24
    confirm_most: int = 0
    """Replications of a week with fresh seeds before what was chosen is undecided; 0: `most`."""
    spans: tuple[YearSpan, ...] = ()
    """Weeks of the year; none: `days` on end from the scenario's first day on stand for it."""
    compare: int = 0
    """Replications of a week before costs are compared; 0: `first`. With several weeks fewer do."""
    compare_most: int = 0
    """Replications of a week after which the cheaper one is the one that looks so; 0: `most`."""
    indifferent: float = 0.004
    """Share of the yearly cost below which a difference is not looked into: no offer for a station is so exact."""

    def spans_for(self, scenario: Scenario) -> tuple[YearSpan, ...]:
        """What is simulated of the year."""
        return self.spans or (plain_span(scenario, self.days, self.warmup_days),)

    @property
    def looks(self) -> tuple[int, ...]:
        """Replications of a week at which a verdict is asked for."""
        return looks_of(self.first, self.step, self.most)

    @property
    def confirm_looks(self) -> tuple[int, ...]:
        """The same with fresh seeds, of what was chosen."""
        return looks_of(self.first, self.step, max(self.most, self.confirm_most))


def effort_for(scenario: Scenario, days: float | None, *, quick: bool) -> Effort:
    """What a search of a scenario may simulate: the weeks of a year, or so many days on end."""
    if days is not None:
        return Effort(days, first=4, step=4, most=8 if quick else 24)
    spans = weeks_of(scenario, few=quick)
    if quick:
        # A candidate near the target is undecided by twelve; it is asked longer, for the next one would be no surer.
        return Effort(
            7.0, first=4, step=4, most=12, confirm_most=24, spans=spans, compare=1, compare_most=4, indifferent=0.01
        )
    return Effort(7.0, first=4, step=4, most=24, spans=spans, compare=1)


def grid_of(scenario: Scenario) -> list[Design]:
    """Every design of `[sizing]` within its limits; what it does not name stays as it is. More chargers than bays are
    one each.

    Raises:
        NoDesign: none is within the limits.
    """
    sizing, now = scenario.sizing, design_of(scenario)
    designs = set()
    for packs, kva, lanes, storage, extra in product(
        sizing.packs or (now.packs,),
        sizing.transformer_kva or (now.transformer_kva,),
        sizing.lanes or (now.lanes,),
        sizing.storage_kwh or (now.storage_kwh,),
        sizing.extra_bays or (now.extra_bays,),
    ):
        bays = Design(packs, 1, kva, lanes, storage, extra).bays
        for chargers in sizing.chargers or (scenario.equipment.chargers or bays,):
            designs.add(Design(packs, min(chargers, bays), kva, lanes, storage, extra))
    within = [design for design in sorted(designs) if _inside(scenario, design)]
    if not within:
        least = min(designs, key=lambda design: investment_yuan(scenario, design))
        raise NoDesign(
            f"sizing: none of {len(designs)} designs is within budget_yuan, most_bays and most_kva; the cheapest is "
            f"{least}, for {investment_yuan(scenario, least):,.0f} yuan. Raise the limits, or list smaller ones"
        )
    return within


def _inside(scenario: Scenario, design: Design) -> bool:
    sizing = scenario.sizing
    return (
        (sizing.most_bays is None or design.bays <= sizing.most_bays)
        and (sizing.most_kva is None or design.transformer_kva <= sizing.most_kva)
        and (sizing.budget_yuan is None or investment_yuan(scenario, design) <= sizing.budget_yuan)
    )


def _fail_with(sizes: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Which rows of resources fail with one that fails; see `Design.fails_with`."""
    storage = RESOURCES.index("storage_kwh")
    found: np.ndarray = (sizes <= failed).all(axis=1) & (sizes[:, storage] == failed[storage])
    return found


def _needed_kwh_per_day(run: RunResult) -> float:
    """Least import that a station needs for the trucks of a replication, those that were lost too."""
    means = run.means
    came = 1 + means["lost_per_day"] / means["swaps_per_day"] if means["swaps_per_day"] > 0 else 1.0
    used, share = means["pv_used_kwh_per_day"], means["pv_self_use_share"]
    unused = used / share - used if share > 0 else 0.0
    return came * max(means["import_kwh_per_day"] - unused - means["storage_losses_kwh_per_day"], 0.0)


class Search:
    """One search over a grid."""

    def __init__(
        self,
        scenario: Scenario,
        pool: Workers,
        effort: Effort,
        seed: int,
        on_trial: Callable[[Trial], None] | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self.scenario, self.pool, self.effort, self.seed = scenario, pool, effort, seed
        self.spans = effort.spans_for(scenario)
        self.asked = [hardest_week(scenario, self.spans)]
        """Spans in which the search asks for the promise."""
        self.trials: dict[Design, Trial] = {}
        self.refused: dict[Design, Verdict] = {}
        """Designs that a confirmation did not pass."""
        self.best: Design | None = None
        """The cheapest so far that keeps the promise where the search asks."""
        self.confirmed: Trial | None = None
        """The answer with its fresh replications."""
        self.days_simulated = 0.0
        self.too_dear: set[Design] = set()
        """Designs that were struck out unsimulated: with the least that they can run for they are no cheaper."""
        self._energy: dict[int, EnergyBound] = {}
        self._on_trial = on_trial or (lambda trial: None)
        self._on_progress = on_progress or (lambda share: None)
        self._done = 0.0

    def trial(self, design: Design) -> Trial:
        """The trial of a design, made when there is none yet."""
        if design not in self.trials:
            self.trials[design] = self.new_trial(design)
        return self.trials[design]

    def new_trial(self, design: Design, scenario: Scenario | None = None) -> Trial:
        """A trial of its own, which the search does not count among its designs."""
        made = applied(self.scenario, design) if scenario is None else scenario
        return Trial(design, made, capital_yuan_per_year(made, design), self.spans)

    def year(self) -> list[int]:
        """Places of the weeks that make up the year."""
        return [n for n, span in enumerate(self.spans) if span.weight > 0]

    def extend(self, trial: Trial, count: int, places: Sequence[int] | None = None, seed: int | None = None) -> None:
        """Give a trial replications in some spans, the year's when not given, until it has `count` in each."""
        tasks, of = [], []
        for at in self.year() if places is None else places:
            span = self.spans[at]
            scenario = placed(trial.scenario, span)
            for number in range(len(trial.by_span[at]), count):
                used = self.seed if seed is None else seed
                # Weeks with the same draws would be lucky together, and their sum surer than it is.
                replication = number + at * OTHER_WEEK
                tasks.append(RunTask(scenario, used, replication, span.days, span.warmup_days))
                of.append(at)
        if not tasks:
            return
        runs: list[RunResult] = self.pool.map(run_task, tasks)
        for at in dict.fromkeys(of):
            trial.add(at, [run for run, where in zip(runs, of, strict=True) if where == at])
        self.days_simulated += sum(task.days + task.warmup_days for task in tasks)

    def ask(
        self,
        trial: Trial,
        places: Sequence[int],
        error: float,
        seed: int | None = None,
        *,
        looks: tuple[int, ...] = (),
        only_kept: bool = False,
    ) -> Verdict:
        """Whether the promise is kept in every one of some spans; simulates only until that is sure.

        Args:
            looks: replications at which it is asked; `Effort.looks` when not given.
            only_kept: a span that is undecided ends it, for whether another breaks the promise is not wanted.
        """
        rule = PromiseRule(self.scenario.promise.target_share, error, looks or self.effort.looks)
        said: Verdict = True
        for at in places:

            def share_after(count: int, at: int = at) -> tuple[Estimate, float]:
                self.extend(trial, count, [at], seed)
                runs = trial.by_span[at][:count]
                few = Trial(trial.design, trial.scenario, trial.capital_yuan, (self.spans[at],), [runs])
                return few.share_in(0), float(sum(run.arrived for run in runs))

            said = both(said, rule.decide(share_after, len(places)))
            if said is False or (only_kept and said is None):
                return said
        return said

    def progress(self, phase: str, share: float) -> None:
        """Say how much of the search is done: an estimate, for how many designs a verdict settles is not known."""
        first, last = PHASES[phase]
        self._done = max(self._done, first + (last - first) * min(share, 1.0))
        self._on_progress(self._done)

    @property
    def error(self) -> float:
        """Chance that a verdict is wrong to one side."""
        return (1 - self.scenario.promise.confidence) / 2

    def judge(self, design: Design) -> bool:
        """Whether a design keeps the promise for certain in the weeks that the search asks."""
        trial, days = self.trial(design), self.days_simulated
        trial.verdict, trial.asked = self.ask(trial, self.asked, self.error), tuple(self.asked)
        if design in self.refused:
            trial.verdict = self.refused[design]
        if self.days_simulated > days:  # else nothing is new of it
            self._on_trial(trial)
        return trial.verdict is True

    def confirm(self, design: Design, attempt: int) -> Trial:
        """The design in every week with fresh seeds, and what that says."""
        trial = self.new_trial(design)
        seed = self.seed + FRESH_SEED * (attempt + 1)
        every = sorted(range(len(self.spans)), key=lambda n: (n not in self.asked, n))
        error, looks = attempt_error(self.error, attempt), self.effort.confirm_looks
        trial.verdict = self.ask(trial, every, error, seed, looks=looks, only_kept=True)
        trial.asked = tuple(at for at in every if trial.by_span[at])
        # The cost of the year is wanted as surely as the search has it.
        if trial.verdict is True:
            self.extend(trial, self.effort.first, seed=seed)
            # What is told of the hardest week has as many replications whatever they say: asking stops early where a
            # few happen to agree, and their share is then too good and its interval too narrow.
            while len(trial.by_span[trial.hardest[0]]) < looks[-1]:
                self.extend(trial, looks[-1], [trial.hardest[0]], seed)
        return trial

    def run(self, designs: Sequence[Design], bound: np.ndarray) -> None:
        """Search until a design is confirmed, or none is left; what was found stands in `best` and `confirmed`."""
        attempt = 0
        while attempt < ATTEMPTS:
            self.best = None
            first = self.cheapest_passing(designs, bound)
            if first is None:
                return
            self.extend(self.trial(first), self.effort.first)
            if self._asks_more(self.trial(first)):
                continue
            best = self.improve(first, designs, bound)[0]
            self.progress("confirmation", 0.0)
            again = self.confirm(best, attempt)
            attempt += 1
            self.trial(best).verdict = again.verdict
            if again.verdict is True:
                self.confirmed = again
                return
            self.refused[best] = again.verdict
            self._asks_more(again)
        self.best = None

    def _asks_more(self, trial: Trial) -> bool:
        """Ask in the week that a trial finds hardest too, where the search did not know it for hard."""
        shares = {at: trial.share_in(at).mean for at in trial.simulated}
        weakest = min(shares, key=lambda at: shares[at])
        if weakest in self.asked:
            return False
        self.asked.append(weakest)
        return True

    def cheapest_passing(self, designs: Sequence[Design], bound: np.ndarray) -> Design | None:
        """The least capital cost among designs that keep the promise, by verdicts that settle the most others."""
        sizes = np.array([[getattr(d, name) for name in RESOURCES] for d in designs], dtype=float)
        cost = np.array([capital_yuan_per_year(self.scenario, d) for d in designs])
        unknown = bound >= self.scenario.promise.target_share
        best: int | None = None
        for refused in self.refused:
            unknown &= ~_fail_with(sizes, np.array([getattr(refused, name) for name in RESOURCES], dtype=float))
        at_first = max(int(unknown.sum()), 1)
        while unknown.any():
            self.progress("verdicts", 1 - log(1 + unknown.sum()) / log(1 + at_first))
            chosen = self._most_telling(sizes, cost, bound, unknown)
            if self.judge(designs[chosen]):
                best = chosen
                self.best = designs[best]
                unknown &= cost < cost[chosen]
            else:
                # Where it is undecided, no smaller one can be certain to keep the promise.
                unknown &= ~_fail_with(sizes, sizes[chosen])
            unknown[chosen] = False
        return None if best is None else designs[best]

    @staticmethod
    def _most_telling(sizes: np.ndarray, cost: np.ndarray, bound: np.ndarray, unknown: np.ndarray) -> int:
        """The unknown design whose verdict, whichever it is, settles the most unknown ones."""
        found = np.flatnonzero(unknown)
        inside = sizes[found]
        below = np.array([_fail_with(inside, size).sum() for size in inside])
        dearer = (cost[found][None, :] >= cost[found][:, None]).sum(axis=1)
        score = np.minimum(below, dearer)
        best = score == score.max()
        # Of equals the one with the best prospects: a pass also gives an answer to improve on.
        return int(found[best][np.argmax(bound[found][best])])

    def improve(self, start: Design, designs: Sequence[Design], bound: np.ndarray) -> tuple[Design, list[Design]]:
        """Steps to cheaper neighbours, running cost included, until there is none; and the rivals met.

        One resource changes at a time, and where that leads no further two: packs may buy off kVA, a lane chargers.
        """
        target = self.scenario.promise.target_share
        allowed = [d for d, b in zip(designs, bound, strict=True) if b >= target and d not in self.refused]
        best, rivals, seen = start, [], {start}
        moved = True
        while moved:
            moved = False
            # The pairs are ranked by what the neighbours before them have shown.
            for design in chain(self.neighbours(best, allowed, 1), self._pairs(best, allowed)):
                if design in seen:
                    continue
                seen.add(design)
                self.progress("costs", 1 - 0.95 ** len(seen))
                if any(self._no_hope(trial) and design.fails_with(d) for d, trial in self.trials.items()):
                    continue
                if self.is_no_cheaper(design, best):
                    continue
                # What costs less to buy is asked for the promise first, in one week: most of it breaks it. What costs
                # more, for its cost: most of it is dearer, and that shows in fewer replications than the promise.
                saves = self.trial(design).capital_yuan < self.trial(best).capital_yuan
                if saves and not self.judge(design):
                    continue
                most = self.effort.compare_most or self.effort.most
                cheaper = self.dearer(design, best, most, only_cheaper=True).mean < 0
                if not (self.judge(design) if cheaper and not saves else self.trial(design).verdict):
                    continue
                rivals.append(design)
                if cheaper:
                    best, moved = design, True
                    self.best = best
                    break
        return best, [design for design in [start, *rivals] if design != best]

    def is_no_cheaper(self, design: Design, other: Design) -> bool:
        """Whether a design that was not simulated is no cheaper than another, however well it runs."""
        known = self.trial(design).simulated if design in self.trials else []
        if known or self.least_yuan(design, other) < self.trial(other).drawn_yuan:
            return False
        self.too_dear.add(design)
        return True

    def least_yuan(self, design: Design, other: Design) -> float:
        """What a design costs a year at least, by what another that was simulated takes for the same trucks.

        Sun that the other leaves unused and what its storage loses may be less; waiting may cost nothing.
        """
        there, known = applied(self.scenario, design), self.trial(other)
        yuan = 0.0
        for at, weight in known.weights.items():
            span, runs = self.spans[at], known.by_span[at]
            if at not in self._energy:
                first_at = datetime.combine(span.start_on, time(), there.zone) + timedelta(days=span.warmup_days)
                self._energy[at] = EnergyBound(placed(there, span), first_at, span.days)
            kwh = span.days * sum(_needed_kwh_per_day(run) for run in runs) / len(runs)
            swaps = span.days * sum(run.means["swaps_per_day"] + run.means["lost_per_day"] for run in runs) / len(runs)
            lost_yuan_per_kwh = self.scenario.costs.lost_swap_yuan * swaps / kwh if kwh > 0 else 0.0
            least_yuan = self._energy[at].least_yuan(there.equipment, kwh, lost_yuan_per_kwh)
            yuan += weight * YEAR_DAYS / span.days * least_yuan
        return capital_yuan_per_year(self.scenario, design) + yuan

    @staticmethod
    def _no_hope(trial: Trial) -> bool:
        """Whether no smaller design can be told to keep the promise: this one breaks it, or was undecided."""
        return trial.verdict is False or (trial.verdict is None and bool(trial.asked))

    def _pairs(self, best: Design, allowed: Sequence[Design]) -> Iterator[Design]:
        """Neighbours by two resources that may be cheaper, the most promising first.

        Two steps cost about what both cost alone: the neighbours by one resource tell. One that was not simulated,
        because it breaks the promise for certain, counts with its capital alone.
        """
        base = self.trial(best)
        alone: dict[tuple[str, float], float] = {}
        for design in self.neighbours(best, allowed, 1):
            trial = self.trial(design)
            yuan = self.dearer(design, best).mean if trial.complete else trial.capital_yuan - base.capital_yuan
            alone.update({(name, getattr(design, name)): yuan for name in RESOURCES if design.differs_in(best, name)})
        ranked = []
        for design in self.neighbours(best, allowed, 2):
            steps = [alone.get((name, getattr(design, name))) for name in RESOURCES if design.differs_in(best, name)]
            known = [yuan for yuan in steps if yuan is not None]
            yuan = sum(known) if len(known) == len(steps) else self.trial(design).capital_yuan - base.capital_yuan
            if yuan < PAIR_SLACK * base.capital_yuan:
                ranked.append((yuan, design))
        yield from (design for _, design in sorted(ranked))

    @staticmethod
    def neighbours(design: Design, allowed: Sequence[Design], count: int) -> list[Design]:
        """The nearest designs that differ in `count` resources, each below and above.

        The nearest that the grid has: chargers are capped by the bays, so small racks have levels that large lack.
        """
        found = []
        for names in combinations(RESOURCES, count):
            same = [d for d in allowed if all(d.differs_in(design, n) is (n in names) for n in RESOURCES)]
            for signs in product((-1, 1), repeat=count):
                side = [
                    d
                    for d in same
                    if all((getattr(d, n) - getattr(design, n)) * s > 0 for n, s in zip(names, signs, strict=True))
                ]
                if side:
                    found.append(min(side, key=lambda d: [abs(getattr(d, n) - getattr(design, n)) for n in names]))
        return found

    def dearer(self, one: Design, other: Design, most: int = 0, *, only_cheaper: bool = False) -> Estimate:
        """How much more `one` costs a year than `other`, on the same trucks in every week.

        Takes replications until it is certain which is dearer, or that they differ by next to nothing
        (`Effort.indifferent`), at most `most` or as many as one of them has. With `only_cheaper` fewer for one that
        looks dearer: one of each week where it is dearer in every one, else two rounds.
        """
        trials, year = (self.trial(one), self.trial(other)), self.year()
        least = self.effort.compare or self.effort.first
        most = max(least, most, *(min(len(trial.by_span[at]) for at in year) for trial in trials))
        count = least
        while True:
            for trial in trials:
                self.extend(trial, count)
            found = dearer_by(*trials, year, count)
            by_week = [dearer_by(*trials, [at], count).mean for at in year]
            enough = only_cheaper and found.mean > 0 and (count > least or (len(year) > 1 and min(by_week) > 0))
            near = found.half_width <= self.effort.indifferent * trials[1].cost.mean
            if enough or near or count >= most or found.low > 0 or found.high < 0:
                return found
            count = min(2 * count, most) if self.effort.compare else min(count + self.effort.step, most)
