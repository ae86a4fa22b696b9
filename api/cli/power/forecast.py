"""`swap forecast`: the trucks that a station expects, what that stands on, and how well it has held so far."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import DatabaseUrl, Json, Station, print_json, print_table, read_settings, read_station
from api.terminal import echo, language, text

if TYPE_CHECKING:
    from scheduler.optimal.learned import Calibration, LearnedTrucks, TruckForecast
    from swap.config.station_file import StationConfig
    from swap.reading.arrivals import ArrivalRecord

commands = typer.Typer()
SQLITE = "sqlite:///"
QUANTILES = (0.5, 0.95)


def forecaster_of(config: StationConfig) -> LearnedTrucks:
    """Learns from a station's record; the scenario that its file names stands in while that is short."""
    from api.cli.planner import read_scenario
    from scheduler.optimal.learned import LearnedTrucks
    from sim.scenario.expected import ExpectedWeeks

    if config.scenario is None or config.folder is None:
        return LearnedTrucks(config.station.zone)
    return LearnedTrucks(config.station.zone, ExpectedWeeks(read_scenario(config.folder / config.scenario)))


def record_of(config: StationConfig, database_url: str | None, at: datetime) -> ArrivalRecord:
    """Who came to the station until an instant, by its database; nobody where there is none yet."""
    from pathlib import Path

    from swap.reading.arrivals import ArrivalRecord, arrival_record
    from swap.store import Store

    url = read_settings(database_url=database_url).database_url
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).is_file():
        return ArrivalRecord((), at)
    store = Store(url)
    try:
        with store.reading_station(config.station.id) as db:
            return arrival_record(db, station_id=config.station.id, now=at)
    finally:
        store.close()


def trucks_ahead(
    config: StationConfig, per_hour: float | None, database_url: str | None, at: datetime
) -> TruckForecast:
    """Trucks as asked for, else learned from the station's record and its scenario."""
    from scheduler.optimal.learned import steady

    if per_hour is not None:
        return steady(per_hour, config.station.zone)
    record = record_of(config, database_url, at)
    return forecaster_of(config).forecast(record.came, record.since, at)


def basis_line(trucks: TruckForecast) -> str:
    """What a forecast of trucks stands on, in one sentence."""
    from scheduler.optimal.learned import Basis

    days, number, source = trucks.days, trucks.trucks, trucks.source
    if trucks.basis is Basis.RECORD:
        return text("Trucks as learned from {days:.1f} days of record ({trucks} trucks)", days=days, trucks=number)
    if trucks.basis is Basis.MIXED:
        return text(
            "Trucks as learned from {days:.1f} days of record ({trucks} trucks) and, since that is short, scenario "
            "{scenario}",
            days=days,
            trucks=number,
            scenario=source,
        )
    if trucks.basis is Basis.EXPECTED:
        return text("There is no record yet: trucks as in scenario {scenario}", scenario=source)
    if trucks.basis is Basis.ASKED:
        return text("Trucks as asked for")
    return text("No truck is expected: there is no record yet, and the station file names no scenario")


@commands.command(
    epilog="Example: `swap forecast examples/yangquan_mine/station.toml --json`. Without a database of the station the "
    "scenario alone is shown."
)
def forecast(
    station: Station,
    at: Annotated[datetime | None, typer.Option(help="From when on, station local time.", show_default="now")] = None,
    hours: Annotated[float, typer.Option(min=1, max=168)] = 24,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """The trucks that the charging plan expects hour by hour, what their packs hold, and how well that has held.

    Learned from the station's record by weekday and hour; while that is short the scenario of the station file counts
    too. Calibration: each day of the record forecast from the days before it.
    """
    from api.cli.power.beginning import begin_of
    from scheduler.optimal.learned import coverage_of

    config = read_station(station)
    from_at = begin_of(config, at)
    record = record_of(config, database_url, from_at)
    forecaster = forecaster_of(config)
    found = forecaster.forecast(record.came, record.since, from_at)
    held = coverage_of(forecaster, record.came, record.since, from_at, config.station.zone)
    rows = _hours(found, from_at, hours)
    if as_json:
        print_json(_json(config, found, held, rows))
    else:
        _print(config, found, held, rows)


def _hours(found: TruckForecast, from_at: datetime, hours: float) -> list[dict[str, Any]]:
    from scheduler.optimal.forecast import count_quantile

    rows = []
    for number in range(int(hours)):
        at = from_at + timedelta(hours=number)
        mean = sum(found.rates(at, 1).per_h[:4]) / 4
        most = {f"{level:g}": count_quantile(mean, level, found.dispersion) for level in QUANTILES}
        rows.append({"at": at, "mean": round(mean, 3), "quantiles": most})
    return rows


def _json(
    config: StationConfig, found: TruckForecast, held: Calibration, rows: list[dict[str, Any]]
) -> dict[str, object]:
    def coverage(lines: Any) -> list[dict[str, float]]:
        return [
            {"level": one.level, "said": round(one.said, 4), "seen": round(one.seen, 4), "number": one.number}
            for one in lines
        ]

    return {
        "station": config.station.id,
        "basis": str(found.basis),
        "scenario": found.source or None,
        "days": round(found.days, 2),
        "trucks": found.trucks,
        "spread": round(found.dispersion, 3),
        "hours": rows,
        "models": dict(found.models),
        "packs": {
            kind: {
                "packs": levels.packs,
                "mean_pct": round(levels.mean_pct, 2),
                "quantiles_pct": {f"{level:g}": round(pct, 2) for level, pct in levels.quantiles_pct},
            }
            for kind, levels in found.packs.items()
        },
        "calibration": {
            "trucks": coverage(held.trucks),
            "packs": coverage(held.packs),
            "mean_error": round(held.mean_error, 4),
        },
    }


def _print(config: StationConfig, found: TruckForecast, held: Calibration, rows: list[dict[str, Any]]) -> None:
    zone = config.station.zone
    echo(basis_line(found))
    print_table(
        (text("hour from"), text("trucks, mean"), *(text("{level:.0%} at most", level=level) for level in QUANTILES)),
        [
            (
                row["at"].astimezone(zone).strftime("%m-%d %H:%M"),
                f"{row['mean']:.2f}",
                *(str(count) for count in row["quantiles"].values()),
            )
            for row in rows
        ],
        right=(1, 2, 3),
    )
    echo(
        text(
            "Counts of an hour spread {spread:.2f} times as far as single trucks would by chance (variance ÷ mean)",
            spread=found.dispersion,
        )
    )
    for kind, levels in found.packs.items():
        asked = config.pack_kind(kind)
        name = asked.name_zh if language().tag == "zh-CN" else asked.name_en
        spans = ", ".join(f"{level:.0%} ≤ {pct:.0f} %" for level, pct in levels.quantiles_pct)
        echo(
            text(
                "{kind}: {packs} packs came off with {mean:.1f} % on the mean; {quantiles}",
                kind=name,
                packs=levels.packs,
                mean=levels.mean_pct,
                quantiles=spans,
            )
        )
    if not held.trucks:
        echo(text("There is not enough record yet to judge the forecast."))
        return
    echo(text("How it has held, each day forecast from the days before it:"))
    print_table(
        (text("of"), text("quantile"), text("said"), text("seen"), text("cases")),
        [
            (what, f"{one.level:.0%}", f"{one.said:.1%}", f"{one.seen:.1%}", str(one.number))
            for what, lines in ((text("trucks of an hour"), held.trucks), (text("charge of packs"), held.packs))
            for one in lines
        ],
        right=(1, 2, 3, 4),
    )
    echo(text("Mean forecast: {error:+.1%} against what came", error=held.mean_error))
