"""`swap simulate`, `swap size`, `swap validate`: the planner's commands."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli_common import FOUND, OK, Json, fail, print_json, print_table
from api.cli_planner import Cluster, Processes, Quick, Seed, finite, interval, number, progress, worker_pool
from api.cli_report import Lang, Language, ReportFile, ReportWanted, Tables

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.sizing import Sizing, Trial
    from sim.study import StudyResult

commands = typer.Typer()

ScenarioFile = Annotated[Path, typer.Argument(help="Scenario file (scenario.toml).", show_default=False)]


def _read_scenario(path: Path) -> Scenario:
    from sim.scenario_file import load_scenario
    from swap.config import ConfigError

    try:
        return load_scenario(path)
    except ConfigError as error:
        fail(str(error))


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
    with worker_pool(processes, cluster) as pool, progress("validating", quiet=as_json) as on_done:
        report = run(wanted, pool, quick=quick, limit=limit, seed=SEED if seed is None else seed, on_done=on_done)
    failed = [check for check in report.checks if not check.passed]
    if as_json:
        values = [asdict(check) for check in report.checks]
        print_json({"cases": report.cases, "passed": report.passed, "limit": limit, "checks": finite(values)})
    else:
        print_table(
            ("case", "value", "exact", "simulated", "± 95 %", "std. errors", ""),
            [
                (
                    check.case,
                    check.value,
                    number(check.exact, 6),
                    number(check.simulated, 6),
                    number(check.half_width, 2) if check.half_width else "exact",
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
    ("storage_cycles_per_day", "full cycles of the storage a day", ""),
    ("storage_losses_kwh_per_day", "lost in the storage a day", "kWh"),
    ("storage_saved_yuan_per_day", "saved by the storage a day", "yuan"),
)


@commands.command(
    epilog="Example: `swap simulate examples/yangquan_mine/scenario.toml --days 14`. "
    "With a report: `--report out.html --tables out.xlsx --lang en`. "
    "Exit codes: 0 done, 2 the file is not valid, or the report cannot be written."
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
    report: ReportFile = None,
    tables: Tables = None,
    lang: Lang = Language.zh,
) -> None:
    """Simulate a station under a scenario's demand: waits, service, utilisation, energy and cost, with intervals."""
    from sim.report import study_report
    from sim.results import study_values
    from sim.study import run_study

    read = _read_scenario(scenario)
    wanted = ReportWanted(report, tables, lang)
    if quick:
        days, replications = days or 7.0, replications or 4
    with worker_pool(processes, cluster) as pool, progress("simulating", quiet=as_json) as on_done:
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
        print_json(finite(study_values(result)))
    else:
        _print_study(result)
    if wanted:
        wanted.write(study_report(result, wanted.words))


def _print_study(result: StudyResult) -> None:
    from sim.results import by_period

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
        [
            (text, number(found[name].mean), number(found[name].half_width, 2), unit)
            for name, text, unit in _ROWS
            if scenario.storage.energy_kwh > 0 or not name.startswith("storage_")
        ],
        right=(1, 2),
    )
    kwh, yuan = by_period(result, "kwh_by_period"), by_period(result, "yuan_by_period")
    typer.echo()
    print_table(
        ("period", "kWh a day", "yuan a day"),
        [(period, interval(kwh[period]), interval(yuan[period])) for period in kwh if kwh[period].mean > 0],
        right=(1, 2),
    )
    share = result.share_within
    target = scenario.promise.target_share
    verdict = "keeps" if share.low >= target else ("breaks" if share.high < target else "is too close to call on")
    typer.echo(f"\nThe station {verdict} the promise: {share.mean:.1%} ± {share.half_width:.1%}, wanted {target:.0%}.")


@commands.command(
    epilog="Example: `swap size examples/yangquan_mine/scenario.toml --quick`. "
    "Exit codes: 0 a design keeps the promise, 1 none of the grid does, 2 the file is not valid, "
    "or the report cannot be written."
)
def size(
    scenario: ScenarioFile,
    days: Annotated[float | None, typer.Option("--days", min=0.5, help="Length of a replication.")] = None,
    packs_only: Annotated[
        bool, typer.Option("--packs-only", help="Only the number of packs, everything else as it is.")
    ] = False,
    seed: Seed = None,
    quick: Quick = False,
    processes: Processes = None,
    cluster: Cluster = None,
    as_json: Json = False,
    report: ReportFile = None,
    tables: Tables = None,
    lang: Lang = Language.zh,
) -> None:
    """Find the cheapest packs, chargers, kVA and lanes that keep the promise; say what binds and how sure it is."""
    from sim.report import size_report
    from sim.results import size_values
    from sim.sizing import Effort, find_size, pack_table

    read = _read_scenario(scenario)
    wanted = ReportWanted(report, tables, lang)
    length = days or (7.0 if quick else float(read.study.days))
    effort = Effort(length, first=4, step=4, most=12 if quick else 24)
    with worker_pool(processes, cluster) as pool:
        with progress("packs", quiet=as_json) as on_done:
            table = pack_table(read, pool, effort, seed=seed, on_done=on_done)
        if not as_json:
            _print_pack_table(read, table)
        found = None
        if not packs_only:
            say = (lambda text: None) if as_json else (lambda text: typer.echo(f"  tried {text}", err=True))
            found = find_size(read, pool, effort, seed=seed, on_trial=say)
    stock = next((trial for trial in table if trial.verdict), None)
    if as_json:
        print_json(finite(size_values(table, found)))
    elif found is not None:
        _print_sizing(found)
    if wanted:
        wanted.write(size_report(table, found, wanted.words, read))
    answered = stock is not None if found is None else found.answer is not None
    raise typer.Exit(OK if answered else FOUND)


def _print_pack_table(scenario: Scenario, trials: list[Trial]) -> None:
    promise, equipment = scenario.promise, scenario.equipment
    runs = trials[0].runs
    typer.echo(
        f"{scenario.id}: {equipment.lanes} lane(s), {equipment.charger_kw:g} kW a charger, "
        f"{equipment.transformer_kva:g} kVA; {len(runs)} replications of {runs[0].days:g} days, seed {runs[0].seed}\n"
    )
    rows = []
    for trial in trials:
        result = trial.result()
        rows.append(
            (
                trial.design.packs,
                interval(result.mean_wait_min),
                interval(result.wait_quantile_min(0.95)),
                f"{result.share_within.mean:.1%} ± {result.share_within.half_width:.1%}",
                f"{result.stockout_share.mean:.1%} ± {result.stockout_share.half_width:.1%}",
                interval(result.mean("import_kwh_per_day")),
                {True: "keeps", False: "breaks", None: "too close"}[trial.verdict],
            )
        )
    heads = ("packs", "mean wait min", "P95 wait min", f"within {promise.wait_limit_min:g} min", "no pack ready")
    print_table((*heads, "kWh a day", f"{promise.target_share:.0%}"), rows, right=(0, 1, 2, 3, 4, 5))
    stock = next((trial for trial in trials if trial.verdict), None)
    if stock is not None:
        typer.echo(f"\nSmallest stock that keeps the promise: {stock.design.packs} packs.")
    else:
        best = max(trials, key=lambda trial: trial.share.mean)
        typer.echo(
            f"\nNot reachable with packs alone: {best.design.packs} packs serve {best.share.mean:.1%} within "
            f"{promise.wait_limit_min:g} min, wanted {promise.target_share:.0%}."
        )


_NAMES = {
    "packs": "packs",
    "chargers": "chargers",
    "transformer_kva": "transformer (kVA)",
    "lanes": "lanes",
    "storage_kwh": "storage",
}


def _print_sizing(found: Sizing) -> None:
    promise = found.scenario.promise
    typer.echo()
    if found.answer is None:
        typer.echo(
            f"Not reachable: no design of the grid serves {promise.target_share:.0%} within "
            f"{promise.wait_limit_min:g} min. With packs that never run out, the most lanes of the grid serve "
            f"{found.lane_share:.1%}."
        )
    else:
        answer = found.answer
        result = answer.result()
        typer.echo(f"Cheapest station that keeps the promise: {answer.design}.")
        typer.echo(
            f"  {interval(answer.cost)} yuan a year, of which equipment {number(answer.capital_yuan)}; "
            f"{answer.share.mean:.1%} ± {answer.share.half_width:.1%} within {promise.wait_limit_min:g} min, "
            f"P95 wait {interval(result.wait_quantile_min(0.95))} min"
        )
        for name, end in found.edges.items():
            typer.echo(
                f"  Warning: {_NAMES[name]} at the {end} value that [sizing] lists. "
                "Widen the list: a cheaper station may lie beyond."
            )
    if found.next_cheaper is not None and found.binding is not None:
        share = found.next_cheaper.share
        place = "The largest design" if found.answer is None else "The next-cheaper design"
        typer.echo(f"\n{place} ({found.next_cheaper.design}) serves {share.mean:.1%} ± {share.half_width:.1%}.")
        typer.echo(f"What binds there: {_NAMES[found.binding]}. One step more of each would add:")
        for name, gain in sorted(found.gains.items(), key=lambda item: -item[1].mean):
            typer.echo(f"  {_NAMES[name]:<18} {gain.mean:+.1%} ± {gain.half_width:.1%}")
    if found.rivals:
        typer.echo("\nOther designs that keep the promise, dearer by yuan a year:")
        for design, extra in found.rivals:
            typer.echo(f"  {design}: {interval(extra)}")
    typer.echo("\nCost against wait (no simulated design is better in both):")
    print_table(
        ("design", "yuan a year", "P95 wait min", "within"),
        [
            (
                trial.design,
                interval(trial.cost),
                interval(trial.result().wait_quantile_min(0.95)),
                f"{trial.share.mean:.1%}",
            )
            for trial in found.front
        ],
        right=(1, 2, 3),
    )
    if found.sensitivity:
        typer.echo("\nThe answer under other circumstances:")
        print_table(
            ("", "within the promise", "P95 wait min"),
            [
                (text, f"{share.mean:.1%} ± {share.half_width:.1%}", interval(p95))
                for text, share, p95 in found.sensitivity
            ],
            right=(1, 2),
        )
    typer.echo(
        f"\n{found.grid} designs in the grid: {found.screened} struck out by bounds, {len(found.trials)} simulated, "
        f"{found.days_simulated:,.0f} station days; the whole grid would take {found.grid_days:,.0f} "
        f"({found.grid_days / max(found.days_simulated, 1):.0f} times as many). Seed {found.seed}."
    )
