"""`swap network`: several stations that share trucks and packs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import Json, fail, print_json
from api.cli.planner import (
    Cluster,
    Days,
    Processes,
    Quick,
    Replications,
    Seed,
    finite,
    print_report_table,
    progress,
    words,
    worker_pool,
)
from api.terminal import echo, text

if TYPE_CHECKING:
    from sim.network.file import Network
    from sim.network.network import NetworkResult
    from sim.study.stats import Estimate

commands = typer.Typer()


@commands.command(
    epilog="Example: `swap network examples/network/network.toml --quick`. Exit codes: 0 done, 2 a file is not valid."
)
def network(
    file: Annotated[Path, typer.Argument(metavar="NETWORK", help="Network file (network.toml).", show_default=False)],
    days: Days = None,
    replications: Replications = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Each station by itself, for comparison: no detours, no carriers.")
    ] = False,
    seed: Seed = None,
    quick: Quick = False,
    processes: Processes = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Simulate stations that share trucks and packs: service at each and in total, detours, packs moved."""
    from sim.network.network import run_network

    read = _read_network(file)
    if alone:
        read = read.alone()
    if quick:
        days, replications = days or 7.0, replications or 4
    with worker_pool(processes, cluster) as pool, progress(text("simulating"), quiet=as_json) as on_done:
        result = run_network(
            read,
            pool,
            days=days,
            replications=replications,
            seed=seed,
            warmup_days=1.0 if quick else None,
            on_done=on_done,
        )
    if as_json:
        print_json(finite(_network_json(result)))
    else:
        _print_network(result)


def _read_network(path: Path) -> Network:
    from sim.network.file import load_network
    from swap.config.loading import ConfigError

    try:
        return load_network(path)
    except ConfigError as error:
        fail(str(error))


def _network_json(result: NetworkResult) -> dict[str, Any]:
    def shown(estimates: dict[str, Estimate]) -> dict[str, Any]:
        return {name: {"mean": v.mean, "low": v.low, "high": v.high} for name, v in estimates.items()}

    return {
        "network": result.network.file.id,
        "seed": result.seed,
        "days": result.days,
        "warmup_days": result.warmup_days,
        "replications": len(result.runs),
        "confidence": result.confidence,
        "notes": [str(note) for note in result.notes],
        "values": shown(result.estimates()),
        "stations": {name: shown(study.estimates()) for name, study in result.by_station().items()},
    }


def _print_network(result: NetworkResult) -> None:
    from sim.report.network_tables import choice_line, stations_table, total_table
    from sim.report.report import runs_line, warmup_line

    read, said = result.network, words()
    echo(choice_line(result, said))
    runs = runs_line(len(result.runs), result.days, read.study.start_on, result.seed, said)
    echo(f"{runs}; {warmup_line(result.notes, result.warmup_days, said)}")
    echo(f"{said.text('Confidence of the intervals')}: {result.confidence:.0%}\n")
    print_report_table(stations_table(result, said))
    echo()
    print_report_table(total_table(result, said))
