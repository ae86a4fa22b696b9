"""`swap simulate`, `swap size`, `swap validate`: the planner's commands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli_common import FOUND, OK, Json, fail, print_json, print_table

if TYPE_CHECKING:
    from sim.parallel import Workers
    from sim.scenario import Scenario
    from sim.stats import Estimate
    from sim.study import StudyResult

commands = typer.Typer()

ScenarioFile = Annotated[Path, typer.Argument(help="Scenario file (scenario.toml).", show_default=False)]
Processes = Annotated[
    int | None, typer.Option("--processes", "-p", min=1, help="Processes to use; all cores when not given.")
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="Scheduler of a running cluster, tcp://HOST:PORT, instead of local processes."),
]
Quick = Annotated[bool, typer.Option("--quick", help="Shorter runs, wider intervals.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="The scenario's when not given.")]

Progress = Callable[[int, int], None]


@contextmanager
def _progress(text: str, *, quiet: bool) -> Iterator[Progress]:
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
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _workers(processes: int | None, cluster: str | None) -> Iterator[Workers]:
    from sim.parallel import ClusterError, workers

    try:
        with workers(processes, cluster) as pool:
            yield pool
    except ClusterError as error:
        fail(str(error))


def _read_scenario(path: Path) -> Scenario:
    from sim.scenario_file import load_scenario
    from swap.config import ConfigError

    try:
        return load_scenario(path)
    except ConfigError as error:
        fail(str(error))


def _number(value: float, digits: int = 4) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def _interval(found: Estimate, digits: int = 3) -> str:
    return f"{_number(found.mean, 4)} ± {_number(found.half_width, digits - 1)}"


@commands.command(
    epilog="Example: `swap validate tests/vectors/queueing_cases.json`. "
    "Exit codes: 0 every value agrees, 1 one does not, 2 the file cannot be used."
)
def validate(
    cases: Annotated[Path, typer.Argument(help="Case file (JSON).", show_default=False)],
    limit: Annotated[
        float, typer.Option("--standard-errors", min=0.1, help="Largest deviation allowed, in standard errors.")
    ] = 4.0,
    only: Annotated[str | None, typer.Option("--only", help="Cases whose id or model contains this.")] = None,
    quick: Quick = False,
    seed: Seed = None,
    processes: Processes = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Run the simulator on every case of a file of exact queueing results, and compare."""
    from dataclasses import asdict

    from sim.validate import SEED, CaseFileError, load_cases
    from sim.validate import validate as run

    try:
        wanted = [case for case in load_cases(cases) if only is None or only in case.id or only in case.model]
    except CaseFileError as error:
        fail(str(error))
    if not wanted:
        fail(f"{cases}: no case contains {only!r}")
    with _workers(processes, cluster) as pool, _progress("validating", quiet=as_json) as on_done:
        report = run(wanted, pool, quick=quick, limit=limit, seed=SEED if seed is None else seed, on_done=on_done)
    failed = [check for check in report.checks if not check.passed]
    if as_json:
        values = [asdict(check) for check in report.checks]
        print_json({"cases": report.cases, "passed": report.passed, "limit": limit, "checks": _finite(values)})
    else:
        print_table(
            ("case", "value", "exact", "simulated", "± 95 %", "std. errors", ""),
            [
                (
                    check.case,
                    check.value,
                    _number(check.exact, 6),
                    _number(check.simulated, 6),
                    _number(check.half_width, 2) if check.half_width else "exact",
                    f"{check.deviation:+.2f}" if math.isfinite(check.deviation) else "–",
                    "pass" if check.passed else "FAIL",
                )
                for check in report.checks
            ],
            right=(2, 3, 4, 5),
        )
        typer.echo(
            f"\n{report.cases_passed} of {report.cases} cases passed, {len(report.checks)} values compared "
            f"at {limit:g} standard errors, {len(failed)} failed, {report.trucks:,} trucks simulated."
        )
    raise typer.Exit(OK if report.passed else FOUND)


def _finite(value: Any) -> Any:
    """JSON has no infinity: null instead."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


_ROWS = (
    ("mean_wait_min", "wait, mean", "min"),
    ("p50_wait_min", "wait, P50", "min"),
    ("p95_wait_min", "wait, P95", "min"),
    ("p99_wait_min", "wait, P99", "min"),
    ("share_within_promise", "served within the promise", ""),
    ("lost_share", "lost", ""),
    ("stockout_share", "lane free, no pack ready", ""),
    ("swaps_per_day", "swaps a day", ""),
    ("lane_utilisation", "lane utilisation", ""),
    ("charger_utilisation", "charger utilisation", ""),
    ("pack_utilisation", "packs not ready", ""),
    ("transformer_utilisation", "transformer, mean load", ""),
    ("peak_hour_kw", "highest hourly import", "kW"),
    ("kwh_per_swap", "energy a swap", "kWh"),
    ("import_kwh_per_day", "energy imported a day", "kWh"),
    ("energy_yuan_per_day", "its price a day", "yuan"),
    ("pv_self_use_share", "PV used on site", ""),
    ("cycles_per_pack_year", "full cycles a pack and year", ""),
)


@commands.command(
    epilog="Example: `swap simulate examples/yangquan_mine/scenario.toml --days 14`. "
    "Exit codes: 0 done, 2 the file is not valid."
)
def simulate(
    scenario: ScenarioFile,
    days: Annotated[float | None, typer.Option("--days", min=0.5, help="Length of a replication.")] = None,
    replications: Annotated[int | None, typer.Option("--replications", "-n", min=2)] = None,
    half_width: Annotated[
        float | None,
        typer.Option("--half-width", help="Add replications until the share within the promise is known to this."),
    ] = None,
    seed: Seed = None,
    quick: Quick = False,
    processes: Processes = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Simulate a station under a scenario's demand: waits, service, utilisation, energy and cost, with intervals."""
    from sim.study import run_study

    read = _read_scenario(scenario)
    if quick:
        days, replications = days or 7.0, replications or 4
    with _workers(processes, cluster) as pool, _progress("simulating", quiet=as_json) as on_done:
        result = run_study(
            read,
            pool,
            days=days,
            replications=replications,
            seed=seed,
            warmup_days=1.0 if quick else None,
            half_width=half_width,
            on_done=on_done,
        )
    if as_json:
        print_json(_finite(_study_json(result)))
    else:
        _print_study(result)


def _study_json(result: StudyResult) -> dict[str, Any]:
    return {
        "scenario": result.scenario.id,
        "seed": result.seed,
        "days": result.days,
        "warmup_days": result.warmup_days,
        "replications": len(result.runs),
        "confidence": result.confidence,
        "notes": list(result.notes),
        "values": {
            name: {"mean": found.mean, "low": found.low, "high": found.high}
            for name, found in result.estimates().items()
        },
        "kwh_per_day_by_period": _by_period(result, "kwh_by_period"),
        "yuan_per_day_by_period": _by_period(result, "yuan_by_period"),
        "ready_by_hour": _by_hour(result, "ready_by_hour"),
        "waiting_by_hour": _by_hour(result, "waiting_by_hour"),
        "site_kw_by_hour": _by_hour(result, "site_kw_by_hour"),
    }


def _by_period(result: StudyResult, name: str) -> dict[str, float]:
    runs = result.runs
    return {period: sum(getattr(run, name)[period] for run in runs) / len(runs) for period in getattr(runs[0], name)}


def _by_hour(result: StudyResult, name: str) -> list[float]:
    runs = result.runs
    return [float(sum(getattr(run, name)[hour] for run in runs) / len(runs)) for hour in range(24)]


def _print_study(result: StudyResult) -> None:
    scenario = result.scenario
    equipment = scenario.equipment
    typer.echo(
        f"{scenario.id}: {equipment.pack_total} packs, {equipment.bay_count} bays, {equipment.charger_count} chargers "
        f"of {equipment.charger_kw:g} kW, {equipment.transformer_kva:g} kVA, {equipment.lanes} lane(s); promise: "
        f"{scenario.promise.target_share:.0%} within {scenario.promise.wait_limit_min:g} min"
    )
    typer.echo(
        f"{len(result.runs)} replications of {result.days:g} days from {scenario.study.start_on}, "
        f"seed {result.seed}; {'; '.join(result.notes) or f'warm-up {result.warmup_days:g} day(s)'}\n"
    )
    found = result.estimates()
    print_table(
        ("", "value", f"± {result.confidence:.0%}", ""),
        [(text, _number(found[name].mean), _number(found[name].half_width, 2), unit) for name, text, unit in _ROWS],
        right=(1, 2),
    )
    kwh, yuan = _by_period(result, "kwh_by_period"), _by_period(result, "yuan_by_period")
    typer.echo()
    print_table(
        ("period", "kWh a day", "yuan a day"),
        [(period, _number(kwh[period]), _number(yuan[period])) for period in kwh if kwh[period] > 0],
        right=(1, 2),
    )
    share = result.share_within
    target = scenario.promise.target_share
    verdict = "keeps" if share.low >= target else ("breaks" if share.high < target else "is too close to call on")
    typer.echo(f"\nThe station {verdict} the promise: {share.mean:.1%} ± {share.half_width:.1%}, wanted {target:.0%}.")
