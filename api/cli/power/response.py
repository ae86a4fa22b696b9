"""`swap flexibility` and `swap dr`: what a station can shed or absorb, and what events of demand response earned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

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
from api.cli.planner import PlanOption
from api.terminal import echo, language, text

if TYPE_CHECKING:
    from scheduler.guide import Guide
    from scheduler.response.flexibility import Flexibility, FlexPoint
    from scheduler.response.programme import ProgrammeSection
    from scheduler.response.settlement import DrSettlement
    from swap.config.station_file import StationConfig
    from swap.messages.power import DrAnswered, DrSettled
    from swap.reading.response import DeliveredMinute

commands = typer.Typer()
dr = typer.Typer(no_args_is_help=True, help="Demand response.")
commands.add_typer(dr, name="dr")


@commands.command(
    epilog="Example: `swap flexibility examples/shuozhou_open_pit/station.toml --at 2026-07-01T23:00:00 --hours 2 "
    "--soc A1=30 --soc A2=40`"
)
def flexibility(
    station: Station,
    soc: Annotated[
        list[str] | None,
        typer.Option(help="Start the pack of a bay at this state of charge: BAY=PERCENT; may be repeated."),
    ] = None,
    at: Annotated[
        datetime | None, typer.Option(help="Begin of the window, station local time.", show_default="now")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.25, max=24, help="Length of the window.")] = 2,
    notice_min: Annotated[
        float, typer.Option("--notice", min=0, max=1440, help="Minutes before the window at which the stock is so.")
    ] = 15,
    trucks_per_hour: Annotated[
        float | None, typer.Option(min=0, max=1000, help="Trucks that are expected; the forecast's when not given.")
    ] = None,
    plan: PlanOption = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """How many kW a station can shed or absorb in a window, for how long, and which truck would wait first.

    The live rules are carried forward with the trucks that are expected, as planned and under each limit: by the price
    rule, or by a plan of the optimiser that is made before the notice and kept. What sun and storage give comes on top.
    """
    from api.cli.power.beginning import begin_of, stock_and_tariff
    from api.cli.power.forecast import trucks_ahead
    from api.cli.power.least_cost import by_optimiser
    from scheduler.response.flexibility import flexibility as curve
    from swap.reading.least_cost import planned_guides
    from swap.station.power.flexibility import AFTER, beginning_of_file, courses, expected_trucks

    config = read_station(station)
    from_at = begin_of(config, at)
    stock, tariff = stock_and_tariff(station, config, soc)
    until_at = from_at + timedelta(hours=hours)
    start_at = from_at - timedelta(minutes=notice_min)
    span_h = (until_at + AFTER - start_at) / timedelta(hours=1)
    known = trucks_ahead(config, trucks_per_hour, database_url, start_at)
    trucks = expected_trucks(config, known, start_at, span_h)
    guides: tuple[Guide, ...] = ()
    if (plan or config.charging.plan) == "optimal":
        guides = by_optimiser(lambda: planned_guides(config, stock, tariff, start_at=start_at, trucks=known))
    begun = beginning_of_file(config, stock, tariff, start_at=start_at, until_at=until_at, trucks=trucks, guides=guides)
    found = curve(courses(begun, until_at), from_at, until_at, config.site.base_load_kw)
    if as_json:
        print_json({"station": config.station.id, "trucks_expected": len(trucks)} | asdict(found))
    else:
        _print(config, found, len(trucks))


def _print(config: StationConfig, found: Flexibility, trucks: int) -> None:
    zone = config.station.zone
    begin, end = (at.astimezone(zone).strftime("%m-%d %H:%M") for at in (found.from_at, found.until_at))
    echo(
        text(
            "{begin} to {end}: {kw:.0f} kW of import planned, {trucks} trucks expected until four hours after it",
            begin=begin,
            end=end,
            kw=found.planned_kw,
            trucks=trucks,
        )
    )
    points = [(text("shed"), point) for point in found.shed]
    points += [(text("absorb"), found.absorb)] if found.absorb is not None else []
    if not points:
        echo(text("Nothing can be shed or absorbed beyond what the reckoning errs."))
        return
    print_table(
        (
            text("what"),
            text("import limit, kW"),
            text("minutes"),
            text("kW, mean"),
            text("kW, least quarter"),
            text("first truck that would wait"),
            text("packs ready then / as planned"),
        ),
        [
            (
                what,
                "–" if point.limit_kw is None else f"{point.limit_kw:.0f}",
                f"{point.minutes:.0f}",
                f"{point.kw:.0f}",
                f"{point.least_kw:.0f}",
                _first(config, point),
                f"{point.ready} / {point.ready_planned}",
            )
            for what, point in points
        ],
        right=(1, 2, 3, 4, 6),
    )


def _first(config: StationConfig, point: FlexPoint) -> str:
    first = point.first
    if first is None:
        return text("none in the window")
    come = first.came_at.astimezone(config.station.zone).strftime("%H:%M")
    if math.isinf(first.minutes):
        return text("{truck} of {time}, without end", truck=first.truck, time=come)
    return text("{truck} of {time}, {minutes:.0f} min", truck=first.truck, time=come, minutes=first.minutes)


@dr.command(epilog="Example: `swap dr settle examples/shuozhou_open_pit/station.toml --database-url sqlite:///a.db`")
def settle(
    station: Station,
    event: Annotated[str | None, typer.Option(help="Only this event of the journal.")] = None,
    minutes: Annotated[bool, typer.Option("--minutes", help="Also what was delivered minute by minute.")] = False,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Settle the events that the station has accepted, from its journal and the samples of its meter.

    Each slot: baseline, import, what was delivered, what of it counts, money, penalty; and what was charged for the
    event, which commerce does once, ten minutes after its end. Nothing is charged by this command.
    """
    from api.cli.data import existing_store
    from swap.reading.response import answered, delivery, rules_of, settled, settlements
    from swap.reading.samples import sampled_until

    config = read_station(station)
    store = existing_store(database_url)
    try:
        with store.reading_station(config.station.id) as db:
            told = [one for one in answered(db) if one.accepted and event in (None, one.event_id)]
            rules = {one.event_id: rules_of(one, config.programmes) for one in told}
            found = [(one, settled(db, rules[one.event_id], one)) for one in told]
            charged = settlements(db)
            # A simulated station's time runs ahead of this clock.
            until_at = max(datetime.now(UTC), sampled_until(db) or datetime.min.replace(tzinfo=UTC))
            by_minute = {
                one.event_id: delivery(db, rules[one.event_id], one, until_at)
                for one, lines in found
                if minutes and lines is not None
            }
    except LookupError as error:
        fail(str(error))
    finally:
        store.close()
    if as_json:
        print_json(
            [
                {
                    "event": one.payload(),
                    "settlement": None if lines is None else asdict(lines),
                    "charged": charged[one.event_id].payload() if one.event_id in charged else None,
                    **({"minutes": [asdict(line) for line in by_minute.get(one.event_id, ())]} if minutes else {}),
                }
                for one, lines in found
            ]
        )
    else:
        for one, lines in found:
            _print_settlement(config, rules[one.event_id], one, lines, charged.get(one.event_id))
            if minutes:
                _print_minutes(config, by_minute.get(one.event_id, ()))
        if not found and event is None:
            echo(text("No event of demand response has been accepted."))
    if event is not None and not found:
        fail(text("no accepted event {event} in the journal", event=event), FOUND)
    raise typer.Exit(OK)


def _print_minutes(config: StationConfig, lines: Sequence[DeliveredMinute]) -> None:
    def shown(kw: float | None) -> str:
        return "–" if kw is None else f"{kw:z.0f}"

    print_table(
        (text("time"), text("baseline, kW"), text("import, kW"), text("delivered, kW")),
        [
            (
                line.at.astimezone(config.station.zone).strftime("%H:%M"),
                shown(line.baseline_kw),
                shown(line.import_kw),
                shown(line.delivered_kw),
            )
            for line in lines
        ],
        right=range(1, 4),
    )


def _print_settlement(
    config: StationConfig,
    programme: ProgrammeSection,
    event: DrAnswered,
    lines: DrSettlement | None,
    charged: DrSettled | None,
) -> None:
    zone = config.station.zone
    begin, end = (at.astimezone(zone).strftime("%Y-%m-%d %H:%M") for at in (event.from_at, event.until_at))
    name = programme.name_zh if language().tag == "zh-CN" else programme.name_en
    echo(f"{event.event_id}  {begin} – {end}  {name}")
    if lines is None:
        if event.baseline_kw:
            echo(text("Its limit is not below its baseline: nothing was offered, so nothing is settled."))
        else:
            echo(text("No baseline was known when it was told, so it cannot be settled."))
        return
    print_table(
        (
            text("time"),
            text("baseline, kW"),
            text("import, kW"),
            text("delivered, kW"),
            text("counts, kWh"),
            text("yuan"),
            text("penalty, yuan"),
        ),
        [
            (
                slot.at.astimezone(zone).strftime("%H:%M"),
                f"{slot.baseline_kw:.0f}",
                "–" if slot.metered_kw is None else f"{slot.metered_kw:.0f}",
                f"{slot.delivered_kw:z.0f}",
                str(slot.counted_kwh),
                str(slot.money_yuan),
                str(slot.penalty_yuan),
            )
            for slot in lines.slots
        ],
        right=range(1, 7),
    )
    echo(
        text(
            "{kwh} kWh count: {money} yuan, less {penalty} yuan of penalty",
            kwh=lines.counted_kwh,
            money=lines.money_yuan,
            penalty=lines.penalty_yuan,
        )
    )
    if charged is None:
        echo(text("Not charged yet."))
    else:
        echo(
            text(
                "Charged in {month}: {money} yuan of {payer}, {penalty} yuan of penalty to it",
                month=charged.period,
                money=f"{charged.money_fen / 100:.2f}",
                payer=programme.payer,
                penalty=f"{charged.penalty_fen / 100:.2f}",
            )
        )
    if programme.assumed:
        echo(text("Assumed in the programme, not published: {fields}", fields=", ".join(programme.assumed)))
