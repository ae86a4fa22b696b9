"""`swap size` and `swap compare`: the cheapest station that keeps a promise; candidates side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.capsule import CapsuleFile, keep
from api.cli.common import FOUND, OK, Json, fail, print_json
from api.cli.planner import (
    Cluster,
    PlanOption,
    Processes,
    Quick,
    Replications,
    ScenarioFile,
    Seed,
    a_number,
    finite,
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
    from sim.report.tables import Table
    from sim.scenario.file import Scenario
    from sim.sizing.answer import Sizing
    from sim.sizing.trial import Trial
    from sim.sizing.verdict import Verdict

commands = typer.Typer()

UNDECIDED, STOPPED = 4, 130
DaysOnEnd = Annotated[
    float | None,
    typer.Option(
        "--days",
        min=0.5,
        max=3660,
        callback=a_number,
        help="So many days on end from `study.start_on` in place of the year's weeks.",
    ),
]
STEPS = 1000
"""Of the progress bar."""


@commands.command(
    epilog="Example: `swap size examples/yangquan_mine/scenario.toml --quick --write sized`. "
    "Exit codes: 0 a design keeps the promise, 1 for certain none of the grid does, 2 the file is not valid, or the "
    "report or the folder cannot be written, 4 undecided, 130 stopped by Ctrl-C, with the best so far."
)
def size(
    scenario: ScenarioFile,
    days: DaysOnEnd = None,
    packs_only: Annotated[
        bool, typer.Option("--packs-only", help="Only the number of packs, everything else as it is.")
    ] = False,
    plan: PlanOption = None,
    seed: Seed = None,
    quick: Quick = False,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="Folder for the sized scenario and, where there is one, its station file."),
    ] = None,
    processes: Processes = None,
    cluster: Cluster = None,
    as_json: Json = False,
    report: ReportFile = None,
    tables: Tables = None,
    lang: ReportLang = None,
    capsule: CapsuleFile = None,
) -> None:
    """Find the cheapest station that keeps the promise in every week of the year; say what each part of it is worth."""
    from sim.report.capsule import AskedSize, sealed_size
    from sim.report.report import size_report
    from sim.report.results import size_values
    from sim.sizing.answer import find_size, pack_table
    from sim.sizing.search import NoDesign, effort_for, grid_of
    from sim.sizing.written import CannotWrite, check_folder, write_sized

    read = planned(read_scenario(scenario), plan)
    wanted = ReportWanted(report, tables, lang)
    effort = effort_for(read, days, quick=quick)
    found, table = None, []
    try:
        # What cannot end well is said before anybody waits.
        if write is not None:
            check_folder(scenario, write)
        if not packs_only:
            grid_of(read)
        with worker_pool(processes, cluster) as pool:
            with progress(text("packs"), quiet=as_json) as on_done:
                table = pack_table(read, pool, effort, seed=seed, on_done=on_done)
            if not as_json:
                _print_pack_table(read, table)
            if not packs_only:
                with _searching(quiet=as_json) as (on_trial, on_progress):
                    found = find_size(read, pool, effort, seed=seed, on_trial=on_trial, on_progress=on_progress)
    except (NoDesign, CannotWrite) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(text("Stopped before the end; nothing was found yet."), STOPPED)
    if as_json:
        print_json(finite(size_values(table, found)))
    elif found is not None:
        _print_sizing(table, found)
    if wanted:
        wanted.write(size_report(table, found, wanted.words, read))
    if capsule is not None and (found is None or not found.stopped):
        asked = AskedSize(days=days, quick=quick, packs_only=packs_only, seed=read.study.seed if seed is None else seed)
        keep(partial(sealed_size, read, asked, size_values(table, found)), capsule)
    sized = next((trial for trial in table if trial.verdict), None) if found is None else found.answer
    if write is not None and sized is not None:
        try:
            paths = write_sized(scenario, sized, write)
        except (CannotWrite, OSError) as error:
            fail(str(error))
        if not as_json:
            echo("\n" + text("Written: {files}", files=", ".join(str(path) for path in paths)))
    if found is not None and found.stopped:
        raise typer.Exit(STOPPED)
    raise typer.Exit(_code(table) if found is None else {True: OK, False: FOUND, None: UNDECIDED}[found.verdict])


def _code(table: list[Trial]) -> int:
    verdicts: set[Verdict] = {trial.verdict for trial in table}
    if True in verdicts:
        return OK
    return UNDECIDED if None in verdicts else FOUND


@contextmanager
def _searching(*, quiet: bool) -> Iterator[tuple[Callable[[Trial], None], Callable[[float], None]]]:
    """A bar with the time left where somebody looks, a line for each design where the output is kept."""
    import sys

    with progress(text("searching"), quiet=quiet) as on_done:
        silent = quiet or sys.stderr.isatty()
        yield (lambda trial: None) if silent else _say_trial, lambda share: on_done(round(STEPS * share), STEPS)


def _say_trial(trial: Trial) -> None:
    from sim.report.tables import share_text

    _, found = trial.hardest
    share = share_text(found)
    design, runs = words().design(trial.design), found.count
    said = text("tried {design}: {share} ({runs} runs)", design=design, share=share, runs=runs)
    echo(f"  {said}", err=True)


def _print_pack_table(scenario: Scenario, trials: list[Trial]) -> None:
    from sim.report.report import runs_line, station_line, stock_line
    from sim.report.size_tables import size_tables

    said, span = words(), trials[0].spans[0]
    echo(station_line(scenario, said))
    runs = trials[0].by_span[0]
    echo(runs_line(len(runs), span.days, span.from_on, runs[0].seed, said) + "\n")
    table = size_tables(trials, None, said)[0]
    print_report_table(table, columns=_columns(table, BY_PACKS))
    echo("\n" + stock_line(trials, said))


BY_PACKS = ("packs", "In the hardest week", "Mean wait, min", "P95 wait, min", "No pack ready", "kWh a day", "Promise")
"""Columns of the report's table of designs that tell one number of packs from another."""
FRONT = (
    "packs", "bays", "chargers", "transformer (kVA)", "lanes", "storage (kWh)",
    "yuan a year", "P95 wait, min", "In the hardest week", "Promise",
)  # fmt: skip
"""Columns that tell the designs of the front apart."""


def _columns(table: Table, heads: tuple[str, ...]) -> list[int]:
    said = words()
    return [table.heads.index(said.text(head)) for head in heads if said.text(head) in table.heads]


def _print_sizing(trials: list[Trial], found: Sizing) -> None:
    from sim.report.report import size_report

    report = size_report(trials, found, words(), found.scenario)
    echo()
    for line in (*report.answer, *report.warnings):
        echo(line)
    shown = {
        "station": None,
        "weeks": None,
        "money": None,
        "years": None,
        "prices": None,
        "gains": None,
        "rivals": None,
        "front": FRONT,
    }
    for table in report.tables:
        if table.id in shown or table.id == "sensitivity":
            heads = shown.get(table.id)
            echo(f"\n{table.title}:")
            print_report_table(table, columns=None if heads is None else _columns(table, heads))
    echo()
    for name, value in report.made[-3:]:
        echo(f"{name}: {value}")


@commands.command(
    epilog="Example: `swap compare yard/scenario.toml sized/scenario.toml --quick`, or with folders that "
    "`swap size --write` has made. Exit codes: 0 compared, 2 a file is not valid, candidates differ in their trucks, "
    "or the tables cannot be written."
)
def compare(
    candidates: Annotated[
        list[Path],
        typer.Argument(help="Scenario files, or folders with one scenario each; the first is the base."),
    ],
    days: DaysOnEnd = None,
    replications: Replications = None,
    plan: PlanOption = None,
    seed: Seed = None,
    quick: Quick = False,
    processes: Processes = None,
    cluster: Cluster = None,
    as_json: Json = False,
    tables: Tables = None,
    lang: ReportLang = None,
) -> None:
    """Compare stations on the same trucks: share within the promise, cost, cash flows, differences with intervals."""
    from sim.report.money_tables import compare_tables, compare_values
    from sim.report.tables import write_tables
    from sim.sizing.compare import OtherTrucks
    from sim.sizing.compare import compare as run
    from sim.sizing.year import plain_span, weeks_of

    wanted = ReportWanted(None, tables, lang)
    if len(candidates) < 2:
        fail(text("compare needs two candidates or more"))
    read = {}
    for path in candidates:
        name = path.resolve().name if path.is_dir() else f"{path.resolve().parent.name}/{path.stem}"
        read[name if name not in read else str(path)] = planned(read_scenario(_scenario_in(path)), plan)
    if len(read) < len(candidates):
        fail(text("the same candidate is given twice"))
    first = next(iter(read.values()))
    spans = weeks_of(first, few=quick) if days is None else (plain_span(first, days, 1.0),)
    count = replications or (4 if quick else 8)
    try:
        with worker_pool(processes, cluster) as pool, progress(text("simulating"), quiet=as_json) as on_done:
            found = run(read, pool, spans, count, seed=seed, on_done=on_done)
    except OtherTrucks as error:
        fail(str(error))
    if as_json:
        print_json(finite(compare_values(found)))
    else:
        for table in compare_tables(found, words()):
            echo(f"{table.title}:")
            print_report_table(table)
            echo()
    if tables is not None:
        try:
            write_tables(compare_tables(found, wanted.words), tables, wanted.words)
        except OSError as error:
            fail(text("cannot write {path}: {reason}", path=error.filename, reason=error.strerror))


def _scenario_in(path: Path) -> Path:
    """A scenario file, or the one of a folder."""
    if not path.is_dir():
        return path
    found = [file for file in sorted(path.glob("*.toml")) if "fleets" in _top_names(file)]
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "–"
        fail(text("{folder}: needs one scenario file, has {names}; name the file", folder=path, names=names))
    return found[0]


def _top_names(file: Path) -> set[str]:
    import tomllib

    try:
        return set(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return set()
