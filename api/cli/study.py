"""`swap simulate` and `swap validate`: a station under a scenario, the simulator against exact results."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.capsule import CapsuleFile, keep
from api.cli.common import FOUND, OK, Json, fail, print_json, print_table
from api.cli.planner import (
    Cluster,
    Days,
    PlanOption,
    Processes,
    Quick,
    Replications,
    ScenarioFile,
    Seed,
    a_number,
    finite,
    number,
    planned,
    print_report_table,
    progress,
    read_scenario,
    words,
    worker_pool,
)
from api.cli.report import ReportFile, ReportLang, ReportWanted, Tables
from api.terminal import echo, text

if TYPE_CHECKING:
    from sim.sizing.uncertainty import Uncertainty
    from sim.study.study import StudyResult

commands = typer.Typer()


@commands.command(
    epilog="Example: `swap validate tests/vectors/queueing_cases.json`. "
    "Exit codes: 0 every value agrees, 1 one does not, 2 the file cannot be used."
)
def validate(
    cases: Annotated[Path, typer.Argument(help="Case file (JSON).", show_default=False)],
    limit: Annotated[
        float,
        typer.Option(
            "--standard-errors",
            min=0.1,
            max=100,
            callback=a_number,
            help="Largest deviation allowed, in standard errors.",
        ),
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

    from sim.validation.validate import SEED, CaseFileError, load_cases
    from sim.validation.validate import validate as run

    try:
        wanted = [case for case in load_cases(cases) if only is None or only in case.id or only in case.model]
    except CaseFileError as error:
        fail(str(error))
    if not wanted:
        fail(text("{file}: no case contains {part!r}", file=cases, part=only))
    with worker_pool(processes, cluster) as pool, progress(text("validating"), quiet=as_json) as on_done:
        report = run(wanted, pool, quick=quick, limit=limit, seed=SEED if seed is None else seed, on_done=on_done)
    failed = [check for check in report.checks if not check.passed]
    if as_json:
        values = [asdict(check) for check in report.checks]
        print_json({"cases": report.cases, "passed": report.passed, "limit": limit, "checks": finite(values)})
    else:
        print_table(
            (text("case"), text("value"), text("exact"), text("simulated"), "± 95 %", text("std. errors"), ""),
            [
                (
                    check.case,
                    check.value,
                    number(check.exact, 6),
                    number(check.simulated, 6),
                    number(check.half_width, 2) if check.half_width else text("exact"),
                    f"{check.deviation:+.2f}" if math.isfinite(check.deviation) else "–",
                    text("pass") if check.passed else text("FAIL"),
                )
                for check in report.checks
            ],
            right=(2, 3, 4, 5),
        )
        echo(
            "\n"
            + text(
                "{passed} of {cases} cases passed, {values} values compared at {limit:g} standard errors, "
                "{failed} failed, {trucks:,} trucks simulated.",
                passed=report.cases_passed,
                cases=report.cases,
                values=len(report.checks),
                limit=limit,
                failed=len(failed),
                trucks=report.trucks,
            )
        )
    raise typer.Exit(OK if report.passed else FOUND)


@commands.command(
    epilog="Example: `swap simulate examples/yangquan_mine/scenario.toml --days 14`. "
    "With a report: `--report out.html --tables out.xlsx --lang en`. "
    "Exit codes: 0 done, 2 the file is not valid, or the report cannot be written."
)
def simulate(
    scenario: ScenarioFile,
    days: Days = None,
    replications: Replications = None,
    half_width: Annotated[
        float | None,
        typer.Option(
            "--half-width",
            min=0.0001,
            max=0.5,
            callback=a_number,
            help="Add replications until the share within the promise is known to this.",
        ),
    ] = None,
    uncertainty: Annotated[
        int | None,
        typer.Option(
            "--uncertainty",
            min=10,
            max=100_000,
            help="Draw the inputs of `[uncertainty]` so many times: the chance that the promise holds, and what each "
            "input does by itself.",
        ),
    ] = None,
    plan: PlanOption = None,
    seed: Seed = None,
    quick: Quick = False,
    processes: Processes = None,
    cluster: Cluster = None,
    as_json: Json = False,
    report: ReportFile = None,
    tables: Tables = None,
    lang: ReportLang = None,
    capsule: CapsuleFile = None,
) -> None:
    """Simulate a station under a scenario's demand: waits, service, utilisation, energy and cost, with intervals."""
    from sim.report.capsule import sealed
    from sim.report.report import study_report
    from sim.sizing.uncertainty import study_uncertainty
    from sim.study.study import run_study

    read = planned(read_scenario(scenario), plan)
    wanted = ReportWanted(report, tables, lang)
    if quick:
        days, replications = days or 7.0, replications or 4
    unsure = None
    with worker_pool(processes, cluster) as pool:
        with progress(text("simulating"), quiet=as_json) as on_done:
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
        if uncertainty is not None:
            with progress(text("uncertain inputs"), quiet=as_json) as on_done:
                unsure = study_uncertainty(result, pool, uncertainty, on_done)
    if as_json:
        print_json(finite(study_report(result, words(), unsure).values))
    else:
        _print_study(result, unsure)
    if wanted:
        wanted.write(study_report(result, wanted.words, unsure))
    if capsule is not None:
        keep(partial(sealed, result), capsule)


def _print_study(result: StudyResult, unsure: Uncertainty | None) -> None:
    from sim.report.report import runs_line, station_line, study_report, warmup_line

    report = study_report(result, words(), unsure)
    echo(station_line(result.scenario, report.words))
    runs = runs_line(len(result.runs), result.days, result.scenario.study.start_on, result.seed, report.words)
    echo(f"{runs}; {warmup_line(result.notes, result.warmup_days, report.words)}")
    echo(f"{report.words.text('Confidence of the intervals')}: {result.confidence:.0%}\n")
    for table in report.tables:
        if table.id in ("key_numbers", "causes", "periods", "tornado", "draws"):
            print_report_table(table)
            echo()
    for line in report.answer:
        echo(line)
