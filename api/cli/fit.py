"""`swap fit`: from a record of arrivals, or a station's journal, to the numbers of a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli.common import FOUND, OK, DatabaseUrl, Json, fail, print_json, print_table, read_station
from api.cli.data import existing_store
from api.cli.planner import Seed, number, words
from api.terminal import echo, text
from swap.words import N_

if TYPE_CHECKING:
    from sim.fitting.fit import Fit
    from sim.fitting.visits import VisitRecord
    from sim.scenario.notes import Note

commands = typer.Typer()


@commands.command(
    epilog='Example: `swap fit gate.csv --column "at=进站时间" --column "soc_pct=SOC" --out part.toml`, '
    "or from the journal: `swap fit --station station.toml --out part.toml`. "
    "Exit codes: 0 every model fits, 1 one is doubted, 2 the record cannot be used."
)
def fit(
    record: Annotated[
        Path | None, typer.Argument(help="Recorded arrivals (CSV), as for demand.trace.", show_default=False)
    ] = None,
    station: Annotated[
        Path | None, typer.Option("--station", help="Station file: fit what its journal has recorded instead.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="COLUMN=HEADING where the file heads a column otherwise.")
    ] = None,
    soc_unit: Annotated[Literal["pct", "share"], typer.Option("--soc-unit", help="Of the states of charge.")] = "pct",
    numbers: Annotated[
        Literal["seconds", "excel"] | None, typer.Option("--numbers", help="What numbers in the column 'at' are.")
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Local time of the file.")] = "Asia/Shanghai",
    out: Annotated[Path | None, typer.Option("--out", help="Write the part of a scenario file (TOML) here.")] = None,
    seed: Seed = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Fit arrivals by hour and weekday, states of charge and lane times to a record; say how well each fits."""
    from dataclasses import asdict

    from sim.fitting.fit import TooLittle, scenario_part
    from sim.fitting.fit import fit as run

    if (record is None) == (station is None):
        fail(text("give either a file of recorded arrivals or --station"))
    form: Note | None = None
    if record is not None:
        visits, form = _of_file(record, column or [], soc_unit, numbers, timezone)
    else:
        assert station is not None
        visits = _of_journal(station, database_url)
    source = (record or station or Path()).name
    try:
        found = run(visits, 1 if seed is None else seed)
    except TooLittle as error:
        fail(f"{source}: {error}")
    part = scenario_part(found, source, words().note)
    if out is not None:
        try:
            out.write_text(part, encoding="utf-8")
        except OSError as error:
            fail(text("{file} cannot be written: {reason}", file=out, reason=error.strerror))
    if as_json:
        soc = {fleet: section.model_dump() for fleet, section in found.soc_by_fleet.items()}
        notes = [str(note) for note in found.notes]
        print_json(asdict(found) | {"soc_by_fleet": soc, "fits": found.fits, "notes": notes})
    else:
        if form is not None:
            echo(words().note(form) + "\n")
        _print_goodness(found)
        echo("\n" + (part if out is None else text("written to {file}", file=out)))
    raise typer.Exit(OK if found.fits else FOUND)


def _of_file(
    path: Path,
    columns: list[str],
    soc_unit: Literal["pct", "share"],
    numbers: Literal["seconds", "excel"] | None,
    timezone: str,
) -> tuple[VisitRecord, Note]:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from sim.fitting.visits import visits_of_trace
    from sim.scenario.trace import TraceForm, read_trace
    from swap.config.loading import ConfigError

    mapped = []
    for pair in columns:
        name, sign, heading = pair.partition("=")
        if not sign:
            fail(text("--column {value}: write COLUMN=HEADING, for instance at=进站时间", value=repr(pair)))
        mapped.append((name.strip(), heading.strip()))
    try:
        zone = ZoneInfo(timezone)
        trace = read_trace(path, TraceForm(tuple(mapped), soc_unit, numbers), zone)
        return visits_of_trace(trace, zone), trace.form
    except ZoneInfoNotFoundError:
        fail(text("--timezone {value}: no such time zone", value=repr(timezone)))
    except (ConfigError, ValueError) as error:
        fail(str(error))


def _of_journal(path: Path, database_url: str | None) -> VisitRecord:
    from sim.fitting.visits import visits_of_recording
    from swap.errors import SwapError
    from swap.reading.recording import covered, recording

    config = read_station(path)
    store = existing_store(database_url)
    try:
        with store.reading_station(config.station.id) as db:
            begin, end = covered(db, config.station.id)
            found = recording(db, config.station.id, begin, end, [lane.id for lane in config.lanes])
    except SwapError as error:
        fail(str(error))
    finally:
        store.close()
    return visits_of_recording(found, config.station.zone)


_ASKED = {
    "rates": N_("arrivals: a Poisson stream with a rate by hour (variance of hourly counts ÷ that of one)"),
    "weekdays": N_("weekdays: the same day's shape with another height (deviance ÷ degrees of freedom)"),
    "soc": N_("states of charge: triangular (largest difference)"),
    "swap_s": N_("lane times: gamma about their mean (largest difference)"),
}


def _print_goodness(found: Fit) -> None:
    print_table(
        (text("model"), text("of"), text("values"), text("distance"), "p", ""),
        [
            (
                text(_ASKED[item.name]),
                item.of,
                item.count,
                number(item.distance, 3),
                f"{item.p:.3f}",
                text("fits") if item.fits else text("doubted"),
            )
            for item in found.goodness
        ],
        right=(2, 3, 4),
    )
