"""`swap network`: several stations that share trucks and packs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli_common import Json, fail, print_json, print_table
from api.cli_planner import Cluster, Processes, Quick, Seed, finite, interval, number, progress, worker_pool

if TYPE_CHECKING:
    from sim.network import NetworkResult
    from sim.network_file import Network
    from sim.stats import Estimate

commands = typer.Typer()

_ROWS = (
    ("mean_wait_min", "wait, mean", "min"),
    ("p95_wait_min", "wait, P95", "min"),
    ("mean_time_lost_min", "wait and detour, mean", "min"),
    ("p95_time_lost_min", "wait and detour, P95", "min"),
    ("share_within_promise", "served within the promise", ""),
    ("lost_share", "lost", ""),
    ("stockout_share", "lane free, no pack ready", ""),
    ("swaps_per_day", "swaps a day", ""),
    ("diverted_share", "served off their way", ""),
    ("mean_detour_min", "detour, mean of all trucks", "min"),
    ("packs_moved_per_day", "charged packs moved a day", ""),
    ("carrier_trips_per_day", "trips of carriers a day", ""),
    ("import_kwh_per_day", "energy imported a day", "kWh"),
    ("energy_yuan_per_day", "its price a day", "yuan"),
)


@commands.command(
    epilog="Example: `swap network examples/network/network.toml --quick`. Exit codes: 0 done, 2 a file is not valid."
)
def network(
    file: Annotated[Path, typer.Argument(metavar="NETWORK", help="Network file (network.toml).", show_default=False)],
    days: Annotated[float | None, typer.Option("--days", min=0.5, help="Length of a replication.")] = None,
    replications: Annotated[int | None, typer.Option("--replications", "-n", min=2)] = None,
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
    from sim.network import run_network

    read = _read_network(file)
    if alone:
        read = read.alone()
    if quick:
        days, replications = days or 7.0, replications or 4
    with worker_pool(processes, cluster) as pool, progress("simulating", quiet=as_json) as on_done:
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
    from sim.network_file import load_network
    from swap.config import ConfigError

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
        "notes": list(result.notes),
        "values": shown(result.estimates()),
        "stations": {name: shown(study.estimates()) for name, study in result.by_station().items()},
    }


def _print_network(result: NetworkResult) -> None:
    read = result.network
    moving = read.file.rebalancing
    typer.echo(
        f"{read.file.id}: {len(read.names)} station(s), trucks choose by {read.file.choice.rule}, "
        f"{moving.carriers} carrier(s) of {moving.packs_per_trip} packs"
    )
    typer.echo(
        f"{len(result.runs)} replications of {result.days:g} days from {read.study.start_on}, seed {result.seed}; "
        f"{'; '.join(result.notes) or f'warm-up {result.warmup_days:g} day(s)'}\n"
    )
    rows = []
    for name, study in result.by_station().items():
        share, out = study.share_within, study.stockout_share
        rows.append(
            (
                name,
                study.scenario.equipment.pack_total,
                interval(study.mean("swaps_per_day")),
                interval(study.mean_wait_min),
                interval(study.wait_quantile_min(0.95)),
                f"{share.mean:.1%} ± {share.half_width:.1%}",
                f"{out.mean:.1%} ± {out.half_width:.1%}",
                f"{study.mean('lane_utilisation').mean:.0%}",
            )
        )
    heads = (
        "station",
        "packs",
        "swaps a day",
        "mean wait min",
        "P95 wait min",
        "within promise",
        "no pack ready",
        "lane",
    )
    print_table(heads, rows, right=range(1, len(heads)))
    typer.echo()
    found = result.estimates()
    print_table(
        ("all stations", "value", f"± {result.confidence:.0%}", ""),
        [(text, number(found[name].mean), number(found[name].half_width, 2), unit) for name, text, unit in _ROWS],
        right=(1, 2),
    )
