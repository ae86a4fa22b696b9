"""What a search says: the station, what each resource is worth to it, and how it fares in other circumstances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.scenario.file import Scenario
from sim.scenario.site import StaffSection
from sim.sizing.screening import Screen
from sim.sizing.search import OTHER_WEEK, Effort, Search, grid_of
from sim.sizing.trial import Trial, gain_of, share_of
from sim.sizing.verdict import PromiseRule, Verdict
from sim.sizing.year import YearSpan, hardest_week, placed
from sim.sizing.years import LifeYear, life_years
from sim.study.design import RESOURCES, Design, applied, capital_yuan_per_year, design_of
from sim.study.optimal.planned import check_plannable
from sim.study.parallel import Workers
from sim.study.stats import Estimate, quantile_estimate
from sim.study.study import RunResult, RunTask, run_task


@dataclass(frozen=True)
class Price:
    """A station with one step less of one resource."""

    resource: str
    """Of `RESOURCES`, or "staff": one person less on every shift."""
    step: float
    """How much less."""
    trial: Trial
    share: Estimate
    """Served within the promise, in the hardest of the weeks that were asked."""
    saved_yuan: float
    """What its equipment or pay costs less a year."""
    dearer: Estimate | None
    """What it costs more a year all in all, energy included; None where its year was not simulated."""
    in_grid: bool
    """False: `[sizing]` does not list it; it was simulated to put a price on the resource."""


@dataclass(frozen=True)
class Sizing:
    """The answer of a search."""

    scenario: Scenario
    seed: int
    effort: Effort
    spans: tuple[YearSpan, ...]
    asked: tuple[int, ...]
    """Places of the spans in which the search asked for the promise; every one was asked of the answer."""
    grid: int
    """Designs in the grid."""
    screened: int
    """Struck out by bounds alone."""
    trials: Mapping[Design, Trial]
    """Designs of the grid that were simulated."""
    answer: Trial | None
    """The cheapest that keeps the promise, with replications of fresh seeds in every week."""
    binding: str | None
    """Of the answer: the resource of which one step less breaks the promise most; without one: what helps most.
    None where nothing does for certain."""
    prices: tuple[Price, ...]
    """Neighbours of the answer with less, those that save most first."""
    largest: Trial | None
    """Where nothing keeps the promise: the largest design."""
    gains: Mapping[str, Estimate]
    """Gain of that in the share within the promise from one step more of each resource; "staff": from people at all
    hours."""
    rivals: tuple[tuple[Design, Estimate], ...]
    """Designs compared with the answer pair by pair: how much dearer a year."""
    sensitivity: tuple[tuple[str, Estimate, Estimate], ...]
    """What changed, share within the promise in the hardest week, P95 wait in minutes."""
    lane_share: float
    """Share within the promise if packs never ran out, with the most lanes."""
    years: tuple[LifeYear, ...] = ()
    """Each year of the station's life, simulated for the answer; none without `[life]`."""
    days_simulated: float = 0.0
    """Station days, warm-up included."""
    refused: tuple[Design, ...] = ()
    """Designs that kept the promise where the search asked, and not for certain with fresh seeds in every week."""
    stopped: bool = False
    """Ended by who started it; `best` is what was known then."""
    best: Trial | None = None
    """Where there is no answer: the cheapest that kept the promise as far as it was asked, or else the most promising
    of the designs that are undecided."""

    @property
    def verdict(self) -> Verdict:
        """True: a design keeps the promise. False: for certain none of the grid does. None: undecided."""
        if self.answer is not None:
            return True
        return None if self.best is not None or self.stopped else False

    @property
    def grid_days(self) -> float:
        """What simulating every design as often as the answer would have taken."""
        spans = [span.days + span.warmup_days for span in self.spans]
        if self.answer is None:
            return self.grid * self.effort.first * sum(spans)
        return self.grid * sum(len(runs) * days for runs, days in zip(self.answer.by_span, spans, strict=True))

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
            all_bays = name == "chargers" and level >= self.answer.design.bays
            if level >= max(levels) and not all_bays:
                found[name] = "highest"
            elif level <= min(levels) and level > (0 if name in ("storage_kwh", "extra_bays") else 1):
                found[name] = "lowest"
        return found

    @property
    def front(self) -> list[Trial]:
        """Designs that keep the promise and that no other beats in both yearly cost and P95 wait, cheapest first."""
        known = [trial for trial in self.trials.values() if trial.complete and trial.verdict]
        ranked = sorted(known, key=lambda trial: trial.cost.mean)
        front: list[Trial] = []
        best_min = float("inf")
        for trial in ranked:
            p95_min = trial.result().wait_quantile_min(0.95).mean
            if p95_min < best_min:
                front.append(trial)
                best_min = p95_min
        return front


def find_size(
    scenario: Scenario,
    pool: Workers,
    effort: Effort,
    *,
    seed: int | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
    sensitivity: bool = True,
) -> Sizing:
    """Search the scenario's grid for the least yearly cost that keeps its promise. KeyboardInterrupt ends the search,
    not the call: what was found so far is returned as `best`.

    Raises:
        CannotPlan: the optimiser cannot plan for this scenario.
        NoDesign: no design is within the limits.
    """
    check_plannable(scenario)
    used_seed = scenario.study.seed if seed is None else seed
    designs = grid_of(scenario)
    search = Search(scenario, pool, effort, used_seed, on_trial, on_progress)
    hardest = search.spans[search.asked[0]]
    there = placed(scenario, hardest)
    screen = Screen(there, used_seed, min(hardest.days, 28.0))
    bound = np.array([screen.best_share(applied(there, design).equipment) for design in designs])
    found = Sizing(
        scenario=scenario,
        seed=used_seed,
        effort=effort,
        spans=search.spans,
        asked=(),
        grid=len(designs),
        screened=int((bound < scenario.promise.target_share).sum()),
        trials={},
        answer=None,
        binding=None,
        prices=(),
        largest=None,
        gains={},
        rivals=(),
        sensitivity=(),
        lane_share=screen.lane_share(max(design.lanes for design in designs)),
    )
    stopped = False
    try:
        search.run(designs, bound)
        search.progress("beside", 0.0)
        if search.confirmed is not None:
            found = _beside(found, search, designs, search.confirmed, sensitivity)
        else:
            found = _what_lacks(found, search, designs)
    except KeyboardInterrupt:
        stopped = True
    trials = {design: trial for design, trial in search.trials.items() if trial.simulated}
    return replace(
        found,
        asked=tuple(search.asked),
        trials=trials,
        answer=search.confirmed,
        best=None if search.confirmed is not None else _most_promising(search, trials),
        days_simulated=search.days_simulated,
        refused=tuple(search.refused),
        stopped=stopped,
    )


def _most_promising(search: Search, trials: Mapping[Design, Trial]) -> Trial | None:
    if search.best is not None:
        return trials.get(search.best)
    undecided = [trial for trial in trials.values() if trial.asked and trial.verdict is None]
    return max(undecided, key=lambda trial: trial.hardest[1].mean, default=None)


def _beside(found: Sizing, search: Search, designs: Sequence[Design], answer: Trial, sensitivity: bool) -> Sizing:
    """Rivals, prices and other circumstances of the answer."""
    keeping = [d for d, trial in search.trials.items() if trial.verdict and trial.complete and d != answer.design]
    rivals = sorted(((d, search.dearer(d, answer.design)) for d in keeping), key=lambda item: item[1].mean)
    prices = _prices(search, designs, answer)
    failing = [price for price in prices if price.trial.verdict is False]
    years = life_years(answer, search.pool)
    states = len({(one.growth, one.soh_pct) for one in years})
    search.days_simulated += states * sum(span.days + span.warmup_days for span in answer.spans if span.weight > 0)
    return replace(
        found,
        years=years,
        rivals=tuple(rivals),
        prices=prices,
        binding=min(failing, key=lambda price: price.share.mean).resource if failing else None,
        sensitivity=_sensitivity(search, answer.design) if sensitivity else (),
    )


def _prices(search: Search, designs: Sequence[Design], answer: Trial) -> tuple[Price, ...]:
    """The answer with one step less of each resource."""
    design, found = answer.design, []
    for name in RESOURCES:
        less = [d for d in Search.neighbours(design, designs, 1) if getattr(d, name) < getattr(design, name)]
        changed = less[0] if less else _one_less(design, name)
        if changed is None:
            continue
        trial = search.trial(changed) if less else search.new_trial(changed)
        found.append(_price(search, answer, trial, name, in_grid=bool(less)))
    staff = search.scenario.staff
    fewer = tuple(shift.model_copy(update={"people": shift.people - 1}) for shift in staff.shifts if shift.people > 1)
    if staff.shifts and fewer:
        changed_staff = staff.model_copy(update={"shifts": fewer})
        trial = search.new_trial(design, answer.scenario.model_copy(update={"staff": changed_staff}))
        found.append(_price(search, answer, trial, "staff", in_grid=False))
    return tuple(sorted(found, key=lambda price: -price.saved_yuan))


def _one_less(design: Design, name: str) -> Design | None:
    """A station with less of a resource than `[sizing]` lists; None where there can be none."""
    if name == "transformer_kva":
        return replace(design, transformer_kva=round(design.transformer_kva * 0.8, 1))
    if name in ("packs", "chargers", "lanes") and getattr(design, name) > 1:
        fewer = replace(design, **{name: getattr(design, name) - 1})
        return replace(fewer, chargers=min(fewer.chargers, fewer.bays))
    # Without a free bay no spent pack can come in before the full one goes out.
    if name == "extra_bays" and design.spare_bays > 1:
        fewer = replace(design, extra_bays=design.extra_bays - 1)
        return replace(fewer, chargers=min(fewer.chargers, fewer.bays))
    return None


def _price(search: Search, answer: Trial, trial: Trial, name: str, *, in_grid: bool) -> Price:
    if not trial.asked:
        trial.verdict, trial.asked = search.ask(trial, search.asked, search.error), tuple(search.asked)
    at = min((n for n in search.asked if trial.by_span[n]), key=lambda n: trial.share_in(n).mean)
    step = 1.0 if name == "staff" else getattr(answer.design, name) - getattr(trial.design, name)
    saved_yuan = answer.capital_yuan - trial.capital_yuan
    dearer = search.dearer(trial.design, answer.design) if in_grid and trial.complete else None
    return Price(name, step, trial, trial.share_in(at), saved_yuan, dearer, in_grid)


def _what_lacks(found: Sizing, search: Search, designs: Sequence[Design]) -> Sizing:
    """The largest design, and what would help it; none of the changes counts as a design of the grid."""
    scenario, places = search.scenario, search.asked
    largest = max(designs, key=lambda d: tuple(getattr(d, name) for name in ("lanes", *RESOURCES)))
    trial = search.trial(largest)
    search.extend(trial, search.effort.first, places)
    steps = {
        "packs": replace(largest, packs=largest.packs + 2),
        "chargers": replace(largest, chargers=min(largest.chargers + 2, largest.bays)),
        "transformer_kva": replace(largest, transformer_kva=largest.transformer_kva * 1.25),
        "lanes": replace(largest, lanes=largest.lanes + 1),
        "extra_bays": replace(largest, extra_bays=largest.extra_bays + 1),
    }
    if scenario.storage.power_kw > 0 and largest.storage_kwh > 0:
        steps["storage_kwh"] = replace(largest, storage_kwh=largest.storage_kwh * 1.25)
    tried = {name: search.new_trial(design) for name, design in steps.items() if design != largest}
    if scenario.staff.shifts:
        attended = trial.scenario.model_copy(update={"staff": StaffSection()})
        tried["staff"] = search.new_trial(largest, attended)
    gains = {}
    for name, more in tried.items():
        search.extend(more, search.effort.first, places)
        gains[name] = gain_of(more.by_span[places[0]], trial.by_span[places[0]], scenario.promise.confidence)
    most = max(gains, key=lambda name: gains[name].mean)
    return replace(found, largest=trial, gains=gains, binding=most if gains[most].low > 0 else None)


def _sensitivity(search: Search, answer: Design) -> tuple[tuple[str, Estimate, Estimate], ...]:
    """The answer under other circumstances, in the hardest week."""
    span = search.spans[search.asked[0]]
    base = placed(search.trial(answer).scenario, span)
    demand, climate = base.demand, base.climate
    month = span.from_on.month
    coldest_c = min(climate.mean_c_by_month[month - 1], climate.design_min_c + climate.swing_c)
    cold = tuple(coldest_c if n == month - 1 else mean_c for n, mean_c in enumerate(climate.mean_c_by_month))
    cases = []
    for text, factor in (("demand +20 %", 1.2), ("demand −20 %", 0.8)):
        changed = demand.model_copy(update={"factor": demand.factor * factor})
        cases.append((text, base.model_copy(update={"demand": changed})))
    colder = climate.model_copy(update={"mean_c_by_month": cold})
    cases.append(("coldest days", base.model_copy(update={"climate": colder})))
    if base.equipment.charger_count > 1:
        cases.append(("one charger out", base.with_equipment(chargers=base.equipment.charger_count - 1)))
    count, confidence = search.effort.first, base.promise.confidence
    tasks = [
        RunTask(scenario, search.seed, n + search.asked[0] * OTHER_WEEK, span.days, span.warmup_days)
        for _, scenario in cases
        for n in range(count)
    ]
    runs: list[RunResult] = search.pool.map(run_task, tasks)
    search.days_simulated += len(tasks) * (span.days + span.warmup_days)
    found = []
    for at, (text, _) in enumerate(cases):
        own = runs[at * count : (at + 1) * count]
        p95_min = quantile_estimate([run.waits_min for run in own], 0.95, confidence)
        found.append((text, share_of(own, confidence), p95_min))
    return tuple(found)


def pack_table(
    scenario: Scenario,
    pool: Workers,
    effort: Effort,
    *,
    seed: int | None = None,
    on_done: Callable[[int, int], None] | None = None,
) -> list[Trial]:
    """The station as it stands with each number of packs of `[sizing]`, in the hardest week: the same replications for
    each, one look at them.

    Raises:
        CannotPlan: the optimiser cannot plan for this scenario.
    """
    check_plannable(scenario)
    used_seed = scenario.study.seed if seed is None else seed
    spans = effort.spans_for(scenario)
    span = spans[hardest_week(scenario, spans)]
    now = design_of(scenario)
    numbers = scenario.sizing.packs or tuple(range(max(1, now.packs - 3), now.packs + 6))
    trials = []
    for packs in numbers:
        design = replace(now, packs=packs)
        design = replace(design, chargers=min(scenario.equipment.chargers or design.bays, design.bays))
        capital_yuan = capital_yuan_per_year(scenario, design)
        trials.append(Trial(design, applied(scenario, design), capital_yuan, (span,)))
    tasks = [
        RunTask(placed(trial.scenario, span), used_seed, n, span.days, span.warmup_days)
        for trial in trials
        for n in range(effort.first)
    ]
    runs = pool.map(run_task, tasks, None if on_done is None else lambda done: on_done(done, len(tasks)))
    promise = scenario.promise
    rule = PromiseRule(promise.target_share, (1 - promise.confidence) / 2, (effort.first,))
    for number, trial in enumerate(trials):
        trial.add(0, runs[number * effort.first : (number + 1) * effort.first])
        trial.verdict = rule.ask(0, trial.share, float(sum(run.arrived for run in trial.by_span[0])))
        trial.asked = (0,)
    return trials
