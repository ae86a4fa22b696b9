"""The cheapest station that keeps the promise.

Service never gets worse with one more pack, charger, kVA or lane (tested), so designs form a lattice: one that
fails takes all smaller ones with the same storage with it, one that passes makes all dearer ones pointless. The
search always simulates the design whose verdict settles the most others, after `screening.py` has struck out
what no station of that size could do. Each design gets replications, on the same trucks as all others, only
until its interval lies on one side of the target. Then the cheapest is compared with its neighbours, which
differ in one resource or two, because a larger stock can pay for itself by charging in cheaper hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, product

import numpy as np

from sim.scenario.file import Scenario
from sim.scenario.site import StaffSection
from sim.sizing.screening import Screen
from sim.study.design import (
    RESOURCES,
    Design,
    applied,
    capital_yuan_per_year,
    running_yuan_per_year,
)
from sim.study.optimal.planned import check_plannable
from sim.study.parallel import Workers
from sim.study.stats import Estimate, difference, estimate
from sim.study.study import RunResult, RunTask, StudyResult, run_task

PAIR_SLACK = 0.02
"""A change of two resources is simulated where the changes one by one promise a cost up to this share of the capital
cost above the best: they do not add up exactly."""


@dataclass
class Trial:
    """A design with the replications it has had."""

    design: Design
    scenario: Scenario
    capital_yuan: float
    runs: list[RunResult] = field(default_factory=list)

    def result(self) -> StudyResult:
        """The replications so far as a study."""
        first = self.runs[0]
        confidence = self.scenario.promise.confidence
        return StudyResult(self.scenario, first.seed, first.days, 1.0, tuple(self.runs), confidence)

    @property
    def share(self) -> Estimate:
        """Share served within the promise."""
        return self.result().share_within

    @property
    def cost(self) -> Estimate:
        """Yearly cost."""
        yearly = [self.capital_yuan + running_yuan_per_year(self.scenario, run) for run in self.runs]
        return estimate(yearly, self.scenario.promise.confidence)

    @property
    def verdict(self) -> bool | None:
        """Keeps the promise for certain (True), breaks it (False), or the interval holds the target (None)."""
        share, target = self.share, self.scenario.promise.target_share
        if share.low >= target:
            return True
        return False if share.high < target else None


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a search may simulate."""

    days: float
    warmup_days: float = 1.0
    first: int = 4
    """Replications before the first verdict."""
    step: int = 4
    most: int = 24


@dataclass(frozen=True)
class Sizing:
    """The answer of a search."""

    scenario: Scenario
    seed: int
    effort: Effort
    grid: int
    """Designs in the grid."""
    screened: int
    """Struck out by bounds alone."""
    trials: Mapping[Design, Trial]
    """Designs that were simulated."""
    answer: Trial | None
    binding: str | None
    """Resource that limits the next-cheaper design."""
    next_cheaper: Trial | None
    gains: Mapping[str, Estimate]
    """Gain in the share within the promise from one step more of each resource, at the next-cheaper design; "staff":
    from people at all hours."""
    rivals: tuple[tuple[Design, Estimate], ...]
    """Designs compared with the answer pair by pair: how much dearer a year."""
    sensitivity: tuple[tuple[str, Estimate, Estimate], ...]
    """What changed, share within the promise, P95 wait in minutes."""
    lane_share: float
    """Share within the promise if packs never ran out, with the most lanes."""

    @property
    def days_simulated(self) -> float:
        """Station days, warm-up included."""
        runs = sum(len(trial.runs) for trial in self.trials.values())
        return runs * (self.effort.days + self.effort.warmup_days)

    @property
    def grid_days(self) -> float:
        """What simulating every design as often as the answer would have taken."""
        count = len(self.answer.runs) if self.answer is not None else self.effort.first
        return self.grid * count * (self.effort.days + self.effort.warmup_days)

    @property
    def edges(self) -> dict[str, str]:
        """Resources of which the answer has the least or the most that `[sizing]` lists: "lowest" or "highest".

        A cheaper station may lie beyond, unless nothing does: fewer than one, or more chargers than bays.
        """
        found: dict[str, str] = {}
        if self.answer is None:
            return found
        for name in RESOURCES:
            levels, level = getattr(self.scenario.sizing, name), getattr(self.answer.design, name)
            if len(set(levels)) < 2:
                continue  # the planner has settled it
            all_bays = name == "chargers" and level >= self.answer.scenario.equipment.bay_count
            if level >= max(levels) and not all_bays:
                found[name] = "highest"
            elif level <= min(levels) and level > (0 if name == "storage_kwh" else 1):
                found[name] = "lowest"
        return found

    @property
    def front(self) -> list[Trial]:
        """Simulated designs that no other beats in both yearly cost and P95 wait, cheapest first."""
        ranked = sorted(self.trials.values(), key=lambda trial: trial.cost.mean)
        front: list[Trial] = []
        best_min = float("inf")
        for trial in ranked:
            p95_min = trial.result().wait_quantile_min(0.95).mean
            if p95_min < best_min:
                front.append(trial)
                best_min = p95_min
        return front


def grid_of(scenario: Scenario) -> list[Design]:
    """Every design of `[sizing]`; what it does not name stays as it is. More chargers than bays are one each."""
    sizing, equipment = scenario.sizing, scenario.equipment
    designs = set()
    for packs, kva, lanes, storage in product(
        sizing.packs or (equipment.pack_total,),
        sizing.transformer_kva or (equipment.transformer_kva,),
        sizing.lanes or (equipment.lanes,),
        sizing.storage_kwh or (scenario.storage.energy_kwh,),
    ):
        bays = applied(scenario, Design(packs, 10_000, kva, lanes, storage)).equipment.bay_count
        for chargers in sizing.chargers or (equipment.chargers or bays,):
            designs.add(Design(packs, min(chargers, bays), kva, lanes, storage))
    return sorted(designs)


def _fail_with(sizes: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Which rows of resources fail with one that fails; see `Design.fails_with`."""
    storage = RESOURCES.index("storage_kwh")
    found: np.ndarray = (sizes <= failed).all(axis=1) & (sizes[:, storage] == failed[storage])
    return found


class Search:
    """One search over a grid."""

    def __init__(
        self,
        scenario: Scenario,
        pool: Workers,
        effort: Effort,
        seed: int,
        on_trial: Callable[[Trial], None] | None = None,
    ) -> None:
        self.scenario, self.pool, self.effort, self.seed = scenario, pool, effort, seed
        self.trials: dict[Design, Trial] = {}
        self._on_trial = on_trial or (lambda trial: None)

    def trial(self, design: Design) -> Trial:
        """The trial of a design, made when there is none yet."""
        if design not in self.trials:
            scenario = applied(self.scenario, design)
            self.trials[design] = Trial(design, scenario, capital_yuan_per_year(self.scenario, design))
        return self.trials[design]

    def runs_of(self, scenario: Scenario) -> tuple[RunResult, ...]:
        """As many replications as a first verdict takes, of something that is no design."""
        effort = self.effort
        tasks = [RunTask(scenario, self.seed, n, effort.days, effort.warmup_days) for n in range(effort.first)]
        return tuple(self.pool.map(run_task, tasks))

    def extend(self, trial: Trial, count: int) -> None:
        """Give a trial replications until it has `count`."""
        missing = range(len(trial.runs), count)
        if missing:
            days, warmup = self.effort.days, self.effort.warmup_days
            tasks = [RunTask(trial.scenario, self.seed, n, days, warmup) for n in missing]
            trial.runs += self.pool.map(run_task, tasks)

    def judge(self, design: Design) -> bool:
        """Whether a design keeps the promise at the stated confidence."""
        trial, effort = self.trial(design), self.effort
        self.extend(trial, effort.first)
        while trial.verdict is None and len(trial.runs) < effort.most:
            self.extend(trial, min(len(trial.runs) + effort.step, effort.most))
        self._on_trial(trial)
        return trial.verdict is True

    def cheapest_passing(self, designs: Sequence[Design], bound: np.ndarray) -> Design | None:
        """The least capital cost among designs that keep the promise, by verdicts that settle the most others."""
        sizes = np.array([[getattr(d, name) for name in RESOURCES] for d in designs], dtype=float)
        cost = np.array([capital_yuan_per_year(self.scenario, d) for d in designs])
        unknown = bound >= self.scenario.promise.target_share
        best: int | None = None
        while unknown.any():
            chosen = self._most_telling(sizes, cost, bound, unknown)
            if self.judge(designs[chosen]):
                best = chosen
                unknown &= cost < cost[chosen]
            else:
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
        allowed = [d for d, b in zip(designs, bound, strict=True) if b >= target]
        best, rivals, seen = start, [], {start}
        moved = True
        while moved:
            moved = False
            # The pairs are ranked by what the neighbours before them have shown.
            for design in chain(self._neighbours(best, allowed, 1), self._pairs(best, allowed)):
                if design in seen:
                    continue
                seen.add(design)
                if any(t.verdict is False and design.fails_with(d) for d, t in self.trials.items() if t.runs):
                    continue
                # The cost first: most neighbours are dearer, and that shows in fewer replications than the promise.
                cheaper = self.dearer(design, best, self.effort.most, only_cheaper=True).mean < 0
                if not (self.judge(design) if cheaper else self.trial(design).verdict):
                    continue
                rivals.append(design)
                if cheaper:
                    best, moved = design, True
                    break
        return best, [design for design in [start, *rivals] if design != best]

    def _pairs(self, best: Design, allowed: Sequence[Design]) -> Iterator[Design]:
        """Neighbours by two resources that may be cheaper, the most promising first.

        Two steps cost about what both cost alone: the neighbours by one resource tell. One that was not simulated,
        because it breaks the promise for certain, counts with its capital alone.
        """
        base = self.trial(best)
        alone: dict[tuple[str, float], float] = {}
        for design in self._neighbours(best, allowed, 1):
            trial = self.trial(design)
            yuan = self.dearer(design, best).mean if trial.runs else trial.capital_yuan - base.capital_yuan
            alone.update({(name, getattr(design, name)): yuan for name in RESOURCES if design.differs_in(best, name)})
        ranked = []
        for design in self._neighbours(best, allowed, 2):
            steps = [alone.get((name, getattr(design, name))) for name in RESOURCES if design.differs_in(best, name)]
            known = [yuan for yuan in steps if yuan is not None]
            yuan = sum(known) if len(known) == len(steps) else self.trial(design).capital_yuan - base.capital_yuan
            if yuan < PAIR_SLACK * base.capital_yuan:
                ranked.append((yuan, design))
        yield from (design for _, design in sorted(ranked))

    @staticmethod
    def _neighbours(design: Design, allowed: Sequence[Design], count: int) -> list[Design]:
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
        """How much more `one` costs a year than `other`, on the same trucks.

        Takes replications until it is certain which is dearer, at most `most` or as many as one of them has; with
        `only_cheaper` no more than two rounds for one that looks dearer.
        """
        trials = (self.trial(one), self.trial(other))
        most = max(self.effort.first, most, *(len(trial.runs) for trial in trials))
        count = self.effort.first
        while True:
            costs = []
            for trial in trials:
                self.extend(trial, count)
                runs = trial.runs[:count]
                costs.append([trial.capital_yuan + running_yuan_per_year(self.scenario, run) for run in runs])
            found = difference(costs[0], costs[1], self.scenario.promise.confidence)
            enough = only_cheaper and count > self.effort.first and found.mean > 0
            if enough or count >= most or found.low > 0 or found.high < 0:
                return found
            count = min(count + self.effort.step, most)


def find_size(
    scenario: Scenario,
    pool: Workers,
    effort: Effort,
    *,
    seed: int | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    sensitivity: bool = True,
) -> Sizing:
    """Search the scenario's grid for the least yearly cost that keeps its promise.

    Raises:
        CannotPlan: the optimiser cannot plan for this scenario.
    """
    check_plannable(scenario)
    used_seed = scenario.study.seed if seed is None else seed
    designs = grid_of(scenario)
    screen = Screen(scenario, used_seed, min(effort.days, 28.0))
    bound = np.array([screen.best_share(applied(scenario, design).equipment) for design in designs])
    search = Search(scenario, pool, effort, used_seed, on_trial)
    target = scenario.promise.target_share
    first = search.cheapest_passing(designs, bound)
    answer: Design | None = None
    rivals: list[Design] = []
    if first is not None:
        answer, rivals = search.improve(first, designs, bound)
    compared = () if answer is None else tuple((design, search.dearer(design, answer)) for design in rivals)
    next_cheaper, gains = _why_not_cheaper(search, designs, answer)
    return Sizing(
        scenario=scenario,
        seed=used_seed,
        effort=effort,
        grid=len(designs),
        screened=int((bound < target).sum()),
        trials={design: trial for design, trial in search.trials.items() if trial.runs},
        answer=None if answer is None else search.trial(answer),
        binding=max(gains, key=lambda name: gains[name].mean) if gains else None,
        next_cheaper=next_cheaper,
        gains=gains,
        rivals=compared,
        sensitivity=() if answer is None or not sensitivity else _sensitivity(search, answer),
        lane_share=screen.lane_share(max(design.lanes for design in designs)),
    )


def _why_not_cheaper(
    search: Search, designs: Sequence[Design], answer: Design | None
) -> tuple[Trial | None, dict[str, Estimate]]:
    """The design just below the answer in cost (the largest of the grid when nothing passes), and what it lacks."""
    scenario = search.scenario
    if answer is None:
        looked_at = max(designs, key=lambda d: tuple(getattr(d, name) for name in ("lanes", *RESOURCES)))
    else:
        limit = capital_yuan_per_year(scenario, answer)
        cheaper = [d for d in designs if capital_yuan_per_year(scenario, d) < limit]
        if not cheaper:
            return None, {}
        looked_at = max(cheaper, key=lambda d: capital_yuan_per_year(scenario, d))
    trial = search.trial(looked_at)
    search.extend(trial, search.effort.first)
    gains = {}
    steps = {
        "packs": replace(looked_at, packs=looked_at.packs + 2),
        "chargers": replace(looked_at, chargers=looked_at.chargers + 2),
        "transformer_kva": replace(looked_at, transformer_kva=looked_at.transformer_kva * 1.25),
        "lanes": replace(looked_at, lanes=looked_at.lanes + 1),
    }
    levels = sorted({*scenario.sizing.storage_kwh, scenario.storage.energy_kwh, looked_at.storage_kwh})
    larger = [kwh for kwh in levels if kwh > looked_at.storage_kwh]
    if larger or looked_at.storage_kwh > 0:
        steps["storage_kwh"] = replace(looked_at, storage_kwh=larger[0] if larger else looked_at.storage_kwh * 1.25)
    for name, design in steps.items():
        more = search.trial(design)
        if more.scenario == trial.scenario:
            continue
        search.extend(more, search.effort.first)
        gains[name] = _gain(search, more.runs, trial)
    if scenario.staff.shifts:
        attended = trial.scenario.model_copy(update={"staff": StaffSection()})
        gains["staff"] = _gain(search, search.runs_of(attended), trial)
    return trial, gains


def _gain(search: Search, runs: Sequence[RunResult], trial: Trial) -> Estimate:
    """How much more is served within the promise by `runs` than by those of the trial with the same numbers."""
    count = search.effort.first
    return difference(
        [run.within / max(run.arrived, 1) for run in runs[:count]],
        [run.within / max(run.arrived, 1) for run in trial.runs[:count]],
        search.scenario.promise.confidence,
    )


def _sensitivity(search: Search, answer: Design) -> tuple[tuple[str, Estimate, Estimate], ...]:
    """The answer under other circumstances."""
    base = search.trial(answer).scenario
    demand, climate, study = base.demand, base.climate, base.study
    january = climate.mean_c_by_month[0]
    coldest = (min(january, climate.design_min_c + climate.swing_c), *climate.mean_c_by_month[1:])
    cases = [
        ("demand +20 %", base.model_copy(update={"demand": demand.model_copy(update={"factor": demand.factor * 1.2})})),
        ("demand −20 %", base.model_copy(update={"demand": demand.model_copy(update={"factor": demand.factor * 0.8})})),
        (
            "coldest January",
            base.model_copy(
                update={
                    "climate": climate.model_copy(update={"mean_c_by_month": coldest}),
                    "study": study.model_copy(update={"start_on": study.start_on.replace(month=1, day=5)}),
                }
            ),
        ),
        ("one charger out", base.with_equipment(chargers=max(base.equipment.charger_count - 1, 1))),
    ]
    found = []
    effort = search.effort
    for text, scenario in cases:
        runs = search.runs_of(scenario)
        result = StudyResult(scenario, search.seed, effort.days, effort.warmup_days, runs, base.promise.confidence)
        found.append((text, result.share_within, result.wait_quantile_min(0.95)))
    return tuple(found)


def pack_table(
    scenario: Scenario,
    pool: Workers,
    effort: Effort,
    *,
    seed: int | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> list[Trial]:
    """The station as it stands with each number of packs of `[sizing]`: the same replications for each.

    Raises:
        CannotPlan: the optimiser cannot plan for this scenario.
    """
    check_plannable(scenario)
    used_seed = scenario.study.seed if seed is None else seed
    search = Search(scenario, pool, effort, used_seed)
    equipment = scenario.equipment
    trials = []
    numbers = scenario.sizing.packs or tuple(range(max(1, equipment.pack_total - 3), equipment.pack_total + 6))
    for packs in numbers:
        kva, lanes, storage_kwh = equipment.transformer_kva, equipment.lanes, scenario.storage.energy_kwh
        bays = applied(scenario, Design(packs, 10_000, kva, lanes)).equipment.bay_count
        chargers = min(equipment.chargers or bays, bays)
        trials.append(search.trial(Design(packs, chargers, kva, lanes, storage_kwh)))
    tasks = [
        RunTask(trial.scenario, used_seed, n, effort.days, effort.warmup_days)
        for trial in trials
        for n in range(effort.first)
    ]
    runs = pool.map(run_task, tasks, None if on_done is None else lambda done: on_done(done, len(tasks)))
    for number, trial in enumerate(trials):
        trial.runs = runs[number * effort.first : (number + 1) * effort.first]
    return trials
