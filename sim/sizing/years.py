"""Each year of the station's life, simulated for the answer: what carrying the mean year to it is off by.

Costs and cash flows come from the mean of the years: energy goes with the trucks, swaps with trucks ÷ state of health
(`board.py`). Queues do not, nor do prices of the hours into which more charging is pushed. So every year is simulated
once, on the trucks of one replication of the answer's mean year, and what comes out stands beside what was reckoned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.sizing.trial import Trial
from sim.sizing.year import YearSpan, placed
from sim.study.design import running_parts
from sim.study.parallel import Workers
from sim.study.study import RunResult, RunTask, run_task


@dataclass(frozen=True, slots=True)
class LifeYear:
    """A year of the station's life: simulated, and reckoned from the mean year on the same trucks."""

    year: int
    """1 first."""
    growth: float
    """Trucks relative to the scenario."""
    soh_pct: float
    """State of health of the packs."""
    share: float
    """Served within the promise over the year."""
    hardest_share: float
    """And in its hardest week."""
    yuan: float
    """Cost of the year, simulated: annuities, pay, energy, lost swaps and waiting."""
    reckoned_yuan: float
    """The same with the energy of the mean year by the trucks, and the service of the mean year."""

    @property
    def off(self) -> float:
        """By what share of the simulated cost the reckoned one is too low; below zero too high."""
        return 1 - self.reckoned_yuan / self.yuan


def life_years(answer: Trial, pool: Workers) -> tuple[LifeYear, ...]:
    """The years of the life of a design whose mean year was simulated; none where the scenario has no `[life]`."""
    scenario = answer.scenario
    life = scenario.life
    if life is None:
        return ()
    weeks = [at for at, span in enumerate(answer.spans) if span.weight > 0]
    pack_years = scenario.costs.pack_life_years
    known = {
        year: (life.growth_in(year), round(life.soh_pct_in(year, pack_years), 2)) for year in range(1, life.years + 1)
    }
    states = list(dict.fromkeys(known.values()))
    tasks = []
    for growth, soh_pct in states:
        for at in weeks:
            like, span = answer.by_span[at][0], replace(answer.spans[at], growth=growth, soh_pct=soh_pct)
            there = placed(scenario, span)
            tasks.append(RunTask(there, like.seed, like.replication, span.days, span.warmup_days))
    runs: list[RunResult] = pool.map(run_task, tasks)
    mean = _once(answer, [answer.spans[at] for at in weeks], [answer.by_span[at][0] for at in weeks])
    by_state = {}
    for number, state in enumerate(states):
        spans = [replace(answer.spans[at], growth=state[0], soh_pct=state[1]) for at in weeks]
        by_state[state] = _once(answer, spans, runs[number * len(weeks) : (number + 1) * len(weeks)])
    return tuple(_year(year, *state, by_state[state], mean) for year, state in known.items())


def _once(answer: Trial, spans: list[YearSpan], runs: list[RunResult]) -> Trial:
    return Trial(answer.design, answer.scenario, answer.capital_yuan, tuple(spans), [[run] for run in runs])


def _year(year: int, growth: float, soh_pct: float, trial: Trial, mean: Trial) -> LifeYear:
    energy_yuan = _part(mean, "energy")
    by = growth / mean.spans[0].growth
    return LifeYear(
        year,
        growth,
        soh_pct,
        trial.share.mean,
        min(trial.share_in(at).mean for at in trial.simulated),
        trial.drawn_yuan,
        mean.drawn_yuan + energy_yuan * (by - 1),
    )


def _part(trial: Trial, name: str) -> float:
    return trial.over_the_year(lambda run: running_parts(trial.scenario, run)[name]).mean


def off_of_all(years: Sequence[LifeYear]) -> float:
    """By what share the cost of all years, simulated one by one, is more than was reckoned."""
    return 1 - sum(one.reckoned_yuan for one in years) / sum(one.yuan for one in years)
