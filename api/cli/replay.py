"""`swap twin` and `swap replay`: does the study do what the live station does, and did?"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from api.cli.common import (
    FOUND,
    OK,
    DatabaseUrl,
    Json,
    Station,
    fail,
    print_json,
    print_table,
    read_station,
)
from api.cli.data import existing_store
from api.cli.planner import ScenarioFile, read_scenario, words
from api.terminal import echo, text
from swap.words import N_

if TYPE_CHECKING:
    from sim.twin.live_side import TwinEvent
    from sim.twin.replay import ReplayReport
    from sim.twin.twin import TwinReport

commands = typer.Typer()


@commands.command(
    epilog="Example: `swap twin examples/yangquan_mine/station.toml examples/yangquan_mine/scenario.toml --hours 6`. "
    "Exit codes: 0 the same, 1 they differ, 2 the files are not valid or do not belong together."
)
def twin(
    station: Station,
    scenario: ScenarioFile,
    hours: Annotated[float, typer.Option("--hours", min=0.1, max=744, help="Length.")] = 6.0,
    from_hour: Annotated[
        float,
        typer.Option("--from-hour", min=0, max=744, help="Begin so many hours after the scenario's first midnight."),
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of trucks and weather.")] = 1,
    poll_s: Annotated[
        float | None,
        typer.Option(
            "--poll-s",
            min=0.001,
            max=5,
            help="How often the live controller looks at a cell, s; the station file's when not given.",
            show_default=False,
        ),
    ] = None,
    tolerance_s: Annotated[
        float, typer.Option("--tolerance-s", min=0.001, max=3600, help="Largest difference of one event's instant, s.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Run the live controller over virtual time beside the study: same trucks, same events in the same order?"""
    from sim.study.given import StationMismatch
    from sim.twin.twin import run_twin

    config = read_station(station)
    read = read_scenario(scenario)
    try:
        report = run_twin(read, config, hours, seed, poll_s=poll_s, tolerance_s=tolerance_s, from_hour=from_hour)
    except StationMismatch as error:
        fail(str(error))
    if as_json:
        print_json(_twin_json(report))
    else:
        _print_twin(report)
    raise typer.Exit(OK if report.agrees else FOUND)


def _event(event: TwinEvent | None) -> str:
    return "–" if event is None else f"{event.at_s:.3f} s {event.kind} {event.vehicle} {event.detail}".rstrip()


def _twin_rows(report: TwinReport) -> list[tuple[str, str, float, float]]:
    """Name, unit, live, study."""
    return [
        (N_("swaps completed"), "", report.swaps(0), report.swaps(1)),
        (N_("events"), "", len(report.live), len(report.study)),
        (N_("wait, mean"), "min", report.wait_min(0), report.wait_min(1)),
        (N_("wait, P50"), "min", report.wait_min(0, 0.50), report.wait_min(1, 0.50)),
        (N_("wait, P95"), "min", report.wait_min(0, 0.95), report.wait_min(1, 0.95)),
        (N_("energy charged"), "kWh", *report.charged_kwh),
    ]


def _twin_json(report: TwinReport) -> dict[str, Any]:
    found = report.difference
    return {
        "station": report.station,
        "scenario": report.scenario,
        "start_at": report.start_at.isoformat(),
        "hours": report.hours,
        "seed": report.seed,
        "poll_s": report.poll_s,
        "agrees": report.agrees,
        "events_compared": report.compared,
        "largest_time_error_s": report.largest_time_error_s,
        "changed_places": report.changed_places,
        "bound": sorted(report.bound),
        "largest_wait_error_s": report.largest_wait_error_s,
        "largest_handed_error_kwh": report.largest_handed_error_kwh,
        "energy_error": report.energy_error,
        "values": [
            {"name": name, "unit": unit, "live": live, "study": study} for name, unit, live, study in _twin_rows(report)
        ],
        "difference": None
        if found is None
        else {
            "index": found.index,
            "what": found.what,
            "live": _event(found.live),
            "study": _event(found.study),
        },
        "notes": [str(note) for note in report.notes],
    }


def _print_twin(report: TwinReport) -> None:
    echo(
        text(
            "{station}, {scenario}: {hours:g} h from {start_at}, seed {seed}; cells looked at every {poll_s:g} s",
            station=report.station,
            scenario=report.scenario,
            hours=report.hours,
            start_at=report.start_at.isoformat(),
            seed=report.seed,
            poll_s=report.poll_s,
        )
        + "\n"
    )
    print_table(
        ("", text("live"), text("study"), text("difference"), ""),
        [
            (text(name), f"{live:,.2f}", f"{study:,.2f}", f"{study - live:+,.3f}", unit)
            for name, unit, live, study in _twin_rows(report)
        ],
        right=(1, 2, 3),
    )
    echo(
        "\n"
        + text(
            "{events} events compared; instants differ by at most {time_s:.4f} s, the waits of one truck by "
            "{wait_s:.4f} s, the energy a truck leaves with by {handed_kwh:.4f} kWh.",
            events=report.compared,
            time_s=report.largest_time_error_s,
            wait_s=report.largest_wait_error_s,
            handed_kwh=report.largest_handed_error_kwh,
        )
    )
    if report.changed_places:
        message = N_("{events} events lie so close to another truck's that they changed places.")
        echo(text(message, events=report.changed_places))
    if report.notes:
        echo(text("On both sides: {notes}.", notes="; ".join(map(words().note, report.notes))))
    found = report.difference
    if found is not None:
        what = text(DIFFERENCES[found.what])
        echo("\n" + text("The first difference ({what}) is event {number}:", what=what, number=found.index + 1))
        for index in range(max(0, found.index - 2), found.index):
            echo(f"  {text('both')}   {_event(report.live[index])}")
        echo(f"  {text('live')}   {_event(found.live)}\n  {text('study')}  {_event(found.study)}")
    elif not report.agrees:
        differs, allowed = f"{report.energy_error:.2%}", f"{report.energy_tolerance:.2%}"
        message = N_("The energy charged differs by {differs}; allowed {allowed}.")
        echo("\n" + text(message, differs=differs, allowed=allowed))
    else:
        echo("\n" + text("The same events in the same order."))


DIFFERENCES = {
    "order": N_("another order"),
    "missing": N_("on one side only"),
    "time": N_("another instant"),
}
"""Words for `Difference.what`."""


@commands.command(
    epilog="Example: `swap replay examples/yangquan_mine/station.toml examples/yangquan_mine/scenario.toml "
    "--day 2026-09-01`. Exit codes: 0 every error is within its limit, 1 one is not, 2 nothing can be compared."
)
def replay(
    station: Station,
    scenario: ScenarioFile,
    day: Annotated[
        datetime,
        typer.Option("--day", formats=["%Y-%m-%d"], help="Local day of the station.", show_default=False),
    ],
    from_time: Annotated[
        datetime | None, typer.Option("--from", formats=["%H:%M"], help="Local time; midnight when not given.")
    ] = None,
    until_time: Annotated[
        datetime | None,
        typer.Option("--until", formats=["%H:%M"], help="Local time; the next midnight when not given."),
    ] = None,
    within_min: Annotated[
        float, typer.Option("--within-min", min=0, help="Largest error of mean, P50 and P95 of the wait, minutes.")
    ] = 1.0,
    within_pct: Annotated[
        float, typer.Option("--within-pct", min=0, help="Largest error of the energy charged, per cent.")
    ] = 5.0,
    measured: Annotated[
        bool, typer.Option("--measured-swap-time", help="Each swap takes its recorded time, not the scenario's.")
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Run a recorded day of the live station in the study: waits and energy side by side, with the error."""
    from sim.study.given import StationMismatch
    from sim.twin.replay import NothingToReplay
    from sim.twin.replay import replay as run
    from swap.errors import SwapError
    from swap.reading.recording import recording

    config = read_station(station)
    read = read_scenario(scenario)
    zone = config.station.zone
    midnight = datetime.combine(day.date(), time(), zone)
    begin = midnight if from_time is None else datetime.combine(day.date(), from_time.time(), zone)
    end = midnight + timedelta(days=1) if until_time is None else datetime.combine(day.date(), until_time.time(), zone)
    if end <= begin:
        fail(text("--until: must be after --from"))
    store = existing_store(database_url)
    try:
        with store.reading_station(config.station.id) as db:
            found = recording(db, config.station.id, begin, end, [lane.id for lane in config.lanes])
        report = run(
            found,
            read,
            config,
            day.date(),
            within_min=within_min,
            within_pct=within_pct,
            measured_swap_time=measured,
        )
    except (SwapError, StationMismatch, NothingToReplay) as error:
        fail(str(error))
    finally:
        store.close()
    if as_json:
        print_json(_replay_json(report))
    else:
        _print_replay(report, zone)
    raise typer.Exit(OK if report.holds else FOUND)


_NAMES = {
    "wait_mean": N_("wait, mean"),
    "wait_p50": N_("wait, P50"),
    "wait_p95": N_("wait, P95"),
    "swap_mean": N_("lane time of a swap, stops left out"),
    "charged": N_("energy charged"),
}


def _replay_json(report: ReplayReport) -> dict[str, Any]:
    return {
        "station": report.station,
        "scenario": report.scenario,
        "day": report.day.isoformat(),
        "from_at": report.from_at.isoformat(),
        "until_at": report.until_at.isoformat(),
        "holds": report.holds,
        "swaps_compared": report.compared,
        "only_recorded": report.only_recorded,
        "only_study": report.only_study,
        "largest_wait_error_min": report.largest_wait_error_min,
        "values": [
            {
                "name": value.name,
                "unit": value.unit,
                "recorded": value.recorded,
                "study": value.study,
                "error": value.error,
                "error_unit": _error_unit(value.unit),
                "limit": value.limit,
                "holds": value.holds,
            }
            for value in report.values
        ],
        "notes": [str(note) for note in report.notes],
    }


def _error_unit(unit: str) -> str:
    return "%" if unit == "kWh" else unit


def _print_replay(report: ReplayReport, zone: ZoneInfo) -> None:
    begin, end = (f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}" for at in (report.from_at, report.until_at))
    message = N_("{station}, {scenario}: recorded from {begin} to {end}, {swaps} swaps compared")
    given = {"station": report.station, "scenario": report.scenario, "swaps": report.compared}
    echo(text(message, begin=begin, end=end, **given) + "\n")
    print_table(
        ("", text("recorded"), text("study"), text("error"), text("allowed"), ""),
        [
            (
                f"{text(_NAMES[value.name])}, {value.unit}",
                f"{value.recorded:,.2f}",
                f"{value.study:,.2f}",
                f"{value.error:+.2f} {_error_unit(value.unit)}",
                "–" if value.limit is None else f"{value.limit:g} {_error_unit(value.unit)}",
                "" if value.holds else text("too large"),
            )
            for value in report.values
        ],
        right=(1, 2, 3, 4),
    )
    largest = report.largest_wait_error_min
    echo("\n" + text("The wait of one truck differs by at most {largest:.2f} min.", largest=largest))
    if report.only_recorded or report.only_study:
        message = N_("Still waiting at the end: {study} in the study alone, {record} in the record alone.")
        echo(text(message, study=report.only_recorded, record=report.only_study))
    for note in report.notes:
        echo(f"- {words().note(note)}")
