"""What the planner's commands share: options, worker processes, progress, numbers with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import fail, print_table
from api.terminal import lang, text
from scheduler.types import Plan

if TYPE_CHECKING:
    from sim.report.tables import Table
    from sim.report.words import Words
    from sim.scenario.file import Scenario
    from sim.study.parallel import Workers
    from sim.study.stats import Estimate

Processes = Annotated[
    int | None, typer.Option("--processes", "-p", min=1, help="Processes to use; all cores when not given.")
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="Scheduler of a running cluster, tcp://HOST:PORT, instead of local processes."),
]
ScenarioFile = Annotated[Path, typer.Argument(help="Scenario file (scenario.toml).", show_default=False)]
Quick = Annotated[bool, typer.Option("--quick", help="Shorter runs, wider intervals.")]


def a_number(value: float | None) -> float | None:
    """The value of an option; `nan` passes every range that typer checks."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(text("{value} is no number", value=value))
    return value


Days = Annotated[
    float | None,
    typer.Option("--days", min=0.5, max=3660, callback=a_number, help="Length of a replication."),
]
Replications = Annotated[int | None, typer.Option("--replications", "-n", min=2, max=10_000)]
PlanOption = Annotated[
    Plan | None,
    typer.Option("--plan", help="Who guides charging: the price rule, or the optimiser; else as the file says."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="The scenario's when not given.")]

Progress = Callable[[int, int], None]


def read_scenario(path: Path) -> Scenario:
    """A scenario file; a message and exit code 2 where it is not valid."""
    from sim.scenario.load import load_scenario
    from swap.config.loading import ConfigError

    try:
        return load_scenario(path)
    except ConfigError as error:
        fail(str(error))


def planned(scenario: Scenario, plan: Plan | None) -> Scenario:
    """The scenario under the planner that is asked for; ends the command where that cannot plan for it."""
    from sim.study.optimal.planned import CannotPlan, check_plannable, under_plan

    asked = under_plan(scenario, plan or scenario.charging.plan)
    try:
        check_plannable(asked)
    except CannotPlan as error:
        fail(text("--plan optimal: {reason}. With --plan rule the price rule charges.", reason=error))
    return asked


def words() -> Words:
    """Texts of the planner's results in the terminal's language."""
    from sim.report.words import load_words

    return load_words(lang().value)


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Progress]:
    """A bar with the time left on standard error; nothing where nobody looks."""
    import sys

    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def worker_pool(processes: int | None, cluster: str | None) -> Iterator[Workers]:
    """Local processes or a cluster; leaves with a message when the cluster cannot be used."""
    from sim.study.parallel import ClusterError, workers

    try:
        with workers(processes, cluster) as pool:
            yield pool
    except ClusterError as error:
        fail(words().note(error.note))


def number(value: float, digits: int = 4) -> str:
    """A number for a table, to so many digits."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def interval(found: Estimate, digits: int = 3) -> str:
    """A mean and half the width of its interval."""
    return f"{number(found.mean, 4)} ± {number(found.half_width, digits - 1)}"


def print_report_table(table: Table, columns: Sequence[int] | None = None) -> None:
    """A table of the planner's report, of it only the columns given; numbers to the right."""
    from sim.report.tables import shown

    chosen = range(len(table.heads)) if columns is None else columns
    rows = [[row[at] for at in chosen] for row in table.rows]
    numbers = [at for at in range(len(chosen)) if any(not isinstance(row[at], str | None) for row in rows)]
    print_table([table.heads[at] for at in chosen], [[shown(cell) for cell in row] for row in rows], right=numbers)


def finite(value: Any) -> Any:
    """JSON has no infinity: null instead."""
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
