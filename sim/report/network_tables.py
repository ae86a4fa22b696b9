"""What a study of several stations found, as tables in words."""

from __future__ import annotations

from sim.network.network import NetworkResult
from sim.report.tables import Cell, Share, Table
from sim.report.words import QUANTITIES, Words
from swap.words import N_

NETWORK_QUANTITIES: dict[str, tuple[str, str]] = {
    "mean_time_lost_min": (N_("Wait and detour, mean"), "min"),
    "p95_time_lost_min": (N_("Wait and detour, P95"), "min"),
    "diverted_share": (N_("Served off their way"), "%"),
    "mean_detour_min": (N_("Detour, mean of all trucks"), "min"),
    "packs_moved_per_day": (N_("Charged packs moved a day"), ""),
    "carrier_trips_per_day": (N_("Trips of carriers a day"), ""),
}
"""What only a network has: heading and unit by the name in `NetworkResult.estimates`; "%" stands for a share."""

SHOWN = (
    "mean_wait_min",
    "p95_wait_min",
    "mean_time_lost_min",
    "p95_time_lost_min",
    "share_within_promise",
    "lost_share",
    "stockout_share",
    "swaps_per_day",
    "diverted_share",
    "mean_detour_min",
    "packs_moved_per_day",
    "carrier_trips_per_day",
    "import_kwh_per_day",
    "energy_yuan_per_day",
)
"""Rows of the table of all stations."""

RULES = {
    "home": N_("trucks go to the station of their fleet"),
    "queue_and_distance": N_("trucks choose by queue and distance"),
}


def choice_line(result: NetworkResult, words: Words) -> str:
    """Which stations share what, in a line."""
    read = result.network
    moving = read.file.rebalancing
    return words.text(
        "{id}: {stations} station(s), {rule}, {carriers} carrier(s) of {packs} packs",
        id=read.file.id,
        stations=len(read.names),
        rule=words.text(RULES[read.file.choice.rule]),
        carriers=moving.carriers,
        packs=moving.packs_per_trip,
    )


def stations_table(result: NetworkResult, words: Words) -> Table:
    """Each station in a row."""
    text = words.text
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            study.scenario.equipment.pack_total,
            study.mean("swaps_per_day"),
            study.mean_wait_min,
            study.wait_quantile_min(0.95),
            Share(study.share_within),
            Share(study.stockout_share),
            Share(study.mean("lane_utilisation").mean),
        )
        for name, study in result.by_station().items()
    ]
    heads = (
        text("Station"),
        text("Packs"),
        text("Swaps a day"),
        text("Mean wait, min"),
        text("P95 wait, min"),
        text("Within the promise"),
        text("No pack ready"),
        text("Lane utilisation"),
    )
    return Table("stations", text("Stations"), heads, tuple(rows))


def total_table(result: NetworkResult, words: Words) -> Table:
    """All stations together."""
    text, found = words.text, result.estimates()
    rows: list[tuple[Cell, ...]] = []
    for name in SHOWN:
        heading, unit = (QUANTITIES | NETWORK_QUANTITIES)[name]
        rows.append((text(heading), Share(found[name]) if unit == "%" else found[name], words.unit(unit)))
    return Table("total", text("All stations"), (text("All stations"), text("Value"), text("Unit")), tuple(rows))
