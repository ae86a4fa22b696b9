"""Whether `swap size` finds what brute force finds, and how many days each of them simulates.

For each example the search of `sim.sizing.search` is run as `swap size` runs it, with fewer days. Brute force then
takes the designs of the same grid in the order of their capital cost, one by one, without bounds and without
conclusions from one design to another: each gets replications on the same trucks until its interval lies on one
side of the target. It stops where a design could not be cheaper than the search's answer even if it ran for
`MARGIN` less than the cheapest running cost met so far (energy, lost swaps, waiting), and beyond that takes the
designs one step from the answer. The two agree when the answer keeps the promise and no design that keeps it
certainly costs less a year by more than the search looks into (`Effort.indifferent`): with the most replications for
both, on the same trucks, the interval of the difference lies beyond that. What the search's fresh seeds refused is no
answer for brute force either, nor is anything smaller.

A whole-grid search needs every design simulated: those that brute force left out count with the replications before
the search's first verdict. To compare costs as surely as the search does, a whole-grid search needs the
replications of the answer for each design; that is stated beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.size.sizing_written import EXAMPLES, FOLDER
from sim.scenario.file import Scenario
from sim.scenario.load import load_scenario
from sim.sizing.answer import Sizing, find_size
from sim.sizing.search import Effort, Search, grid_of
from sim.study.design import RESOURCES, Design, capital_yuan_per_year, running_yuan_per_year
from sim.study.parallel import Workers, workers
from sim.study.stats import Estimate, difference

EFFORT = Effort(days=3, warmup_days=0.5, first=4, step=4, most=12)
QUICK = Effort(days=2, warmup_days=0.5, first=4, step=4, most=8)
QUICK_LEVELS = {"packs": 6, "chargers": 3, "transformer_kva": 3, "lanes": 2}
"""Levels of each resource around the answer's that the quick form looks at."""
MARGIN = 0.03
"""Share by which a design not yet simulated may run cheaper than all that were."""
BATCH = 24
"""Designs given to the processes at a time."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One design to judge, picklable."""

    scenario: Scenario
    design: Design
    effort: Effort
    seed: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What brute force knows of a design."""

    design: Design
    keeps: bool
    """It keeps the promise at the stated confidence."""
    capital_yuan: float
    running_yuan: tuple[float, ...]
    """A year, by replication."""


@dataclass(frozen=True)
class Check:
    """Search and brute force side by side."""

    found: Sizing
    judged: Mapping[Design, Judged]
    """Designs that brute force simulated."""
    cheaper: Mapping[Design, Estimate]
    """Designs that keep the promise and whose mean cost is below the answer's: the difference, yuan a year."""
    compared_runs: int
    """Replications that comparing the costs took beyond the verdicts."""

    @property
    def agrees(self) -> bool:
        """Whether brute force gives the same answer."""
        answer = self.found.answer
        if answer is None:
            return not any(judged.keeps for judged in self.judged.values())
        return self.judged[answer.design].keeps and all(
            by.high >= -self.indifferent_yuan for by in self.cheaper.values()
        )

    @property
    def indifferent_yuan(self) -> float:
        """Difference of cost that the search says it does not look into, yuan a year."""
        answer = self.found.answer
        return 0.0 if answer is None else self.found.effort.indifferent * answer.cost.mean

    @property
    def brute_force_days(self) -> float:
        """Station days of the verdicts, and of the comparison of costs."""
        return self._days(self.compared_runs + sum(len(judged.running_yuan) for judged in self.judged.values()))

    @property
    def grid_days(self) -> float:
        """Station days that the whole grid takes at least."""
        left = self.found.grid - len(self.judged)
        return self.brute_force_days + self._days(left * self.found.effort.first)

    def _days(self, runs: int) -> float:
        return runs * (self.found.effort.days + self.found.effort.warmup_days)


def _judge(task: _Task) -> Judged:
    """Simulate one design alone."""
    search = Search(task.scenario, Workers(None, 1), task.effort, task.seed)
    trial = search.trial(task.design)
    keeps = search.judge(task.design)
    running = tuple(running_yuan_per_year(task.scenario, run) for run in trial.runs)
    return Judged(task.design, keeps, trial.capital_yuan, running)


def brute_force(scenario: Scenario, pool: Workers, effort: Effort, found: Sizing) -> dict[Design, Judged]:
    """Judge every design that could be cheaper than the answer, and those one step from it."""
    designs = sorted(grid_of(scenario), key=lambda design: capital_yuan_per_year(scenario, design))
    judged: dict[Design, Judged] = {}

    def judge(batch: Sequence[Design]) -> None:
        tasks = [_Task(scenario, design, effort, found.seed) for design in batch if design not in judged]
        judged.update((result.design, result) for result in pool.map(_judge, tasks))

    answer = found.answer
    if answer is None:
        judge(designs)
        return judged
    judge([answer.design, *_one_step(answer.design, designs)])
    most_yuan = answer.capital_yuan + _running(judged[answer.design])
    for first in range(0, len(designs), BATCH):
        running = [_running(known) for known in judged.values() if known.keeps]
        least_yuan = (1 - MARGIN) * min(running, default=0.0)
        near = designs[first : first + BATCH]
        batch = [design for design in near if capital_yuan_per_year(scenario, design) + least_yuan < most_yuan]
        if not batch:
            break
        judge(batch)
    return judged


def _running(judged: Judged) -> float:
    return sum(judged.running_yuan) / len(judged.running_yuan)


def _one_step(design: Design, designs: Sequence[Design]) -> list[Design]:
    """Designs of the grid that are no more than one level away in each resource."""
    levels = {name: sorted({getattr(d, name) for d in designs}) for name in RESOURCES}

    def steps(name: str, other: Design) -> int:
        return abs(levels[name].index(getattr(other, name)) - levels[name].index(getattr(design, name)))

    return [other for other in designs if max(steps(name, other) for name in RESOURCES) <= 1]


def _cheaper(
    scenario: Scenario, pool: Workers, effort: Effort, found: Sizing, judged: Mapping[Design, Judged]
) -> tuple[dict[Design, Estimate], int]:
    """Designs that keep the promise for less than the answer on the same trucks, most replications for both.

    Gives the replications too that were not there yet.
    """
    answer = found.answer
    if answer is None:
        return {}, 0
    first = effort.first

    def dearer(one: Judged, other: Judged, count: int) -> Estimate:
        return difference(
            [one.capital_yuan + yuan for yuan in one.running_yuan[:count]],
            [other.capital_yuan + yuan for yuan in other.running_yuan[:count]],
            scenario.promise.confidence,
        )

    base = judged[answer.design]
    # One that fresh seeds did not confirm is no answer, however cheap, and none that is smaller.
    keeping = [
        known
        for known in judged.values()
        if known.keeps and not any(known.design == other or known.design.fails_with(other) for other in found.refused)
    ]
    near = [known for known in keeping if dearer(known, base, first).low < 0]
    search = Search(scenario, pool, effort, found.seed)
    cheaper = {}
    for known in near:
        if known.design == answer.design:
            continue
        for design in (known.design, answer.design):
            search.extend(search.trial(design), effort.most)
        by = search.dearer(known.design, answer.design)
        if by.mean < 0:
            cheaper[known.design] = by
    return cheaper, sum(effort.most - len(judged[design].running_yuan) for design in search.trials)


def check(scenario: Scenario, pool: Workers, effort: Effort, found: Sizing | None = None) -> Check:
    """Search and brute force on the grid of a scenario; `found` in place of the search's own answer."""
    if found is None:
        found = find_size(scenario, pool, effort, sensitivity=False)
    judged = brute_force(scenario, pool, effort, found)
    return Check(found, judged, *_cheaper(scenario, pool, effort, found, judged))


def _quick_form(scenario: Scenario) -> Scenario:
    """The same with fewer levels of each resource, the middle ones."""
    sizing = scenario.sizing
    fewer = {}
    for name, count in QUICK_LEVELS.items():
        levels = getattr(sizing, name)
        first = max((len(levels) - count) // 2, 0)
        fewer[name] = levels[first : first + count]
    return scenario.model_copy(update={"sizing": sizing.model_copy(update=fewer)})


def _rows(name: str, result: Check) -> dict[str, object]:
    found, answer = result.found, result.found.answer
    rows: dict[str, object] = {"grid_designs": found.grid, "answer": "none keeps the promise"}
    if answer is not None:
        share, cost = answer.share, answer.cost
        rows["answer"] = str(answer.design)
        rows["share_within_promise_pct"] = f"{100 * share.mean:.2f} ± {100 * share.half_width:.2f}"
        rows["yuan_per_year"] = f"{cost.mean:,.0f} ± {cost.half_width:,.0f}"
        rows["replications_of_answer"] = len(answer.runs)
        rows["edges"] = ", ".join(f"{key} {end}" for key, end in found.edges.items()) or "none"
    rows["search_designs"] = len(found.trials)
    rows["search_station_days"] = found.days_simulated
    rows["brute_force_designs"] = len(result.judged)
    rows["brute_force_station_days"] = result.brute_force_days
    rows["keeping_the_promise"] = sum(judged.keeps for judged in result.judged.values())
    for key, certain in (("certainly_cheaper", True), ("not_told_apart", False)):
        texts = (
            f"{design} by {-by.mean:,.0f} ± {by.half_width:,.0f} yuan"
            for design, by in result.cheaper.items()
            if (by.high < -result.indifferent_yuan) is certain
        )
        rows[key] = "; ".join(texts) or "none"
    rows["whole_grid_station_days"] = result.grid_days
    rows["whole_grid_times_search"] = result.grid_days / found.days_simulated
    rows["whole_grid_with_replications_of_answer_station_days"] = found.grid_days
    rows["whole_grid_with_replications_of_answer_times_search"] = found.grid_days / found.days_simulated
    rows["agree"] = "yes" if result.agrees else "NO"
    return {f"{name}_{key}": value for key, value in rows.items()}


def run(quick: bool = False) -> dict[str, object]:
    """Answer, interval, station days of search and grid, for each example; `agree` is False if one differs."""
    effort = QUICK if quick else EFFORT
    results: dict[str, object] = {
        "days_of_a_replication": effort.days,
        "warmup_days": effort.warmup_days,
        "replications": f"{effort.first} to {effort.most}",
    }
    agree = True
    with workers() as pool:
        for name in EXAMPLES:
            scenario = load_scenario(FOLDER / f"{name}.toml")
            result = check(_quick_form(scenario) if quick else scenario, pool, effort)
            rows = _rows(name, result)
            print(*(f"{key}: {value}" for key, value in rows.items()), sep="\n", flush=True)
            results |= rows
            agree = agree and result.agrees
    return results | {"agree": agree}
