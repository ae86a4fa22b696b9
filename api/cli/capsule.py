"""`swap rerun` and `swap runs`: studies kept in one file each, run again and listed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import FOUND, OK, Json, fail, print_json, print_table
from api.cli.planner import Cluster, Processes, number, progress, worker_pool
from api.terminal import echo, text

if TYPE_CHECKING:
    from sim.report.capsule import Capsule

commands = typer.Typer()

CapsuleFile = Annotated[
    Path | None,
    typer.Option(
        "--capsule", help="Write scenario, files, versions, seed and results into one file, for `swap rerun`."
    ),
]
MOST_SHOWN = 20


def keep(sealed: Callable[[datetime], Capsule], path: Path) -> None:
    """Write the capsule of a study or a search; `sealed` gives it for the instant."""
    from sim.report.capsule import write_capsule

    try:
        write_capsule(sealed(datetime.now(UTC)), path)
    except OSError as error:
        fail(text("{file} cannot be written: {reason}", file=path, reason=error.strerror))
    echo(text("written to {file}", file=path), err=True)


@commands.command(
    epilog="Example: `swap rerun run.json`, made by `swap simulate scenario.toml --capsule run.json`. "
    "Exit codes: 0 every number came out the same, 1 one did not, 2 the file cannot be used."
)
def rerun(
    file: Annotated[Path, typer.Argument(help="Capsule (JSON).", show_default=False)],
    processes: Processes = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Run a kept study again and compare every number: to the last bit, or to 1e-9 on another program or machine."""
    from dataclasses import asdict

    from sim.report.capsule import CapsuleError, is_same_machine, made_with, read_capsule
    from sim.report.capsule import rerun as run

    try:
        capsule = read_capsule(file)
        with worker_pool(processes, cluster) as pool, progress(text("simulating"), quiet=as_json) as on_done:
            found = run(capsule, pool, on_done)
    except CapsuleError as error:
        fail(str(error))
    same = is_same_machine(capsule)
    if as_json:
        values = {"same_program_and_machine": same, "differences": [asdict(item) for item in found]}
        print_json(values | {"made_with": dict(capsule.made_with), "run_with": made_with()})
    else:
        if not same:
            echo(text("made with {then}; run with {now}", then=_shown(capsule.made_with), now=_shown(made_with())))
        if found:
            print_table(
                (text("value"), text("then"), text("now")),
                [(item.path, item.then, item.now) for item in found[:MOST_SHOWN]],
            )
        message = text("the same to the last bit") if same else text("the same within 1e-9")
        echo(text("{count} value(s) came out otherwise", count=len(found)) if found else message)
    raise typer.Exit(FOUND if found else OK)


@commands.command(epilog="Example: `swap runs kept/`. Exit codes: 0 listed, 2 the folder cannot be read.")
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder with capsules (*.json).", show_default=False)],
    as_json: Json = False,
) -> None:
    """List the kept studies of a folder, oldest first; files that are no capsules are named."""
    from sim.report.capsule import CapsuleError, read_capsule

    if not folder.is_dir():
        fail(text("{folder}: no such folder", folder=folder))
    found: list[tuple[Path, Capsule]] = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append((path, read_capsule(path)))
        except CapsuleError as error:
            echo(str(error), err=True)
    found.sort(key=lambda kept: kept[1].made_at)
    if as_json:
        print_json([{"file": path.name, **_summary(capsule)} for path, capsule in found])
        return
    heads = ("file", "made at", "scenario", "days", "runs", "seed", "within the promise", "program")
    print_table(
        [text(head) for head in heads],
        [
            (
                path.name,
                f"{capsule.made_at:%Y-%m-%d %H:%M}",
                capsule.scenario.get("id", ""),
                text("a search") if capsule.asked.command == "size" else f"{capsule.asked.days:g}",
                "" if capsule.asked.command == "size" else capsule.asked.replications,
                capsule.asked.seed,
                _percent(_summary(capsule)["share_within_promise"]),
                capsule.made_with.get("swapstation", ""),
            )
            for path, capsule in found
        ],
        right=(3, 4, 5, 6),
    )


def _summary(capsule: Capsule) -> dict[str, Any]:
    answer = capsule.results.get("search", {}).get("answer") or {}
    values = answer.get("values", {}) if capsule.asked.command == "size" else capsule.results.get("values", {})
    return {
        "made_at": capsule.made_at.isoformat(),
        "made_with": dict(capsule.made_with),
        "scenario": capsule.scenario.get("id"),
        **capsule.asked.model_dump(),
        **{name: values.get(name, {}).get("mean") for name in ("share_within_promise", "mean_wait_min")},
    }


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{number(100 * share, 4)} %"


def _shown(versions: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in versions.items())
