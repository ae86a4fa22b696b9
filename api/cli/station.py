"""`swap check`, `swap charge-plan`, `swap recipe`: look at a station before it runs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli.common import (
    FOUND,
    INVALID,
    OK,
    DatabaseUrl,
    Json,
    Station,
    fail,
    print_json,
    print_open_limits,
    print_table,
    read_station,
)
from api.cli.planner import PlanOption
from api.terminal import LangOption, choose, echo, language, text
from api.terminal import lang as terminal_lang

if TYPE_CHECKING:
    from api.device_check import DeviceAnswer
    from swap.config.station_file import StationConfig
    from swap.reading.charge_plan import PlanStep

commands = typer.Typer()


@commands.command(
    epilog="Example: `swap check examples/yangquan_mine/station.toml --devices`. "
    "Exit codes: 0 all well, 1 a device does not answer, 2 the file is not valid."
)
def check(
    station: Station,
    devices: Annotated[
        bool, typer.Option("--devices", help="Also read every device named in the file; nothing is written.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Is the station file valid (every problem is printed), and do its devices answer?"""
    from api.tariff_notes import tariff_notes
    from scheduler.tariff_files import TariffError
    from swap.config.loading import ConfigError
    from swap.station.file_check import check_file, open_limits, unread

    try:
        config = check_file(station)
    except ConfigError as error:
        if as_json:
            print_json({"file": str(station), "valid": False, "problems": list(error.problems)})
            raise typer.Exit(INVALID) from None
        fail(str(error))
    try:
        notes = tariff_notes(config, datetime.now(UTC), language())
    except TariffError as error:
        fail(str(error))
    answers = _ask_devices(config, station.parent) if devices else ()
    if as_json:
        devices_json = [{"device": a.device, "address": a.address, "ok": a.ok, "detail": a.detail} for a in answers]
        limits = {
            lane: {"layout": layout, "limits": list(open_)} for lane, (layout, open_) in open_limits(config).items()
        }
        print_json(
            {
                "file": str(station),
                "valid": True,
                "problems": [],
                "metered": config.site.meter is not None,
                "unread_entries": unread(config),
                "tariff_notes": list(notes),
                "open_limits": limits,
                "devices": devices_json,
            }
        )
    else:
        bays = sum(bay.role == "rack" for bay in config.bays)
        charger_kw = sum(bay.charger_kw for bay in config.bays)
        echo(
            text(
                "{file}: valid. {id}: {lanes} lane(s), {bays} charging bays, {charger_kw:g} kW of chargers, "
                "grid limit {grid_kw:g} kW, {trucks} trucks, {packs} packs, {devices}",
                file=station,
                id=config.station.id,
                lanes=len(config.lanes),
                bays=bays,
                charger_kw=charger_kw,
                grid_kw=config.site.grid_limit_kw,
                trucks=len(config.vehicles),
                packs=len(config.packs),
                devices=language().word("devices", config.devices),
            )
        )
        print_open_limits(config)
        for note in notes:
            echo(note)
        for name, entries in unread(config).items():
            typer.echo(
                text(
                    "Map {map}: the station has no use for {entries}; they are read and nothing looks at them",
                    map=name,
                    entries=", ".join(entries),
                )
            )
        if config.site.meter is None:
            typer.echo(
                text(
                    "No site meter: what the site imports is reckoned as base load {base_kw:g} kW + charger output ÷ "
                    "{efficiency:g} (charger_efficiency); give both from measurements, or add [site.meter]",
                    base_kw=config.site.base_load_kw,
                    efficiency=config.site.charger_efficiency,
                )
            )
        if answers:
            print_table(
                (text("device"), text("address"), text("answers"), text("what it says")),
                [(a.device, a.address, text("yes") if a.ok else text("NO"), text(a.said, **a.values)) for a in answers],
            )
    raise typer.Exit(OK if all(answer.ok for answer in answers) else FOUND)


def _ask_devices(config: StationConfig, folder: Path) -> tuple[DeviceAnswer, ...]:
    import asyncio
    import logging

    from api.device_check import ask_devices

    # The table says which devices are silent; the links' own log lines would say it again.
    links = logging.getLogger("robotics")
    level = links.level
    links.setLevel(logging.CRITICAL)
    try:
        return asyncio.run(ask_devices(config, folder))
    finally:
        links.setLevel(level)


@commands.command(
    "charge-plan",
    epilog="Example: `swap charge-plan examples/yangquan_mine/station.toml --soc A1=20 --soc A2=35 --hours 6`",
)
def charge_plan(
    station: Station,
    soc: Annotated[
        list[str] | None,
        typer.Option(help="Start the pack of a bay at this state of charge: BAY=PERCENT; may be repeated."),
    ] = None,
    at: Annotated[datetime | None, typer.Option(help="Start, station local time.", show_default="now")] = None,
    hours: Annotated[float, typer.Option(min=0.25, max=168)] = 12,
    step_min: Annotated[int, typer.Option(min=1, max=60, help="Length of one step, minutes.")] = 15,
    plan: PlanOption = None,
    trucks_per_hour: Annotated[
        float | None,
        typer.Option(min=0, max=1000, help="Trucks the optimiser expects; those of the forecast when not given."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the plan into this file too (.png, .svg, .pdf); needs the extra `plot`.")
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Carry the charging plan forward for the packs in the rack: power by bay, price period, energy and cost.

    The decisions are those of the running station. Under the price rule no truck comes; packs stay at 25 °C. The
    optimiser plans a day for the trucks that are expected, and says what limits each bay and what more of transformer,
    chargers or packs would save.
    """

    from api.cli.power.beginning import begin_of, stock_and_tariff
    from api.cli.power.forecast import trucks_ahead
    from api.cli.power.least_cost import show_least_cost
    from api.cli.power.picture import draw, of_rule
    from swap.reading.charge_plan import project_charging

    config = read_station(station)
    start_at = begin_of(config, at)
    stock, tariff = stock_and_tariff(station, config, soc)
    if (plan or config.charging.plan) == "optimal":
        trucks = trucks_ahead(config, trucks_per_hour, database_url, start_at)
        show_least_cost(
            config, stock, tariff, start_at=start_at, hours=hours, trucks=trucks, as_json=as_json, plot=plot
        )  # fmt: skip
        return
    steps = project_charging(config, stock, tariff, start_at=start_at, hours=hours, step_min=step_min)
    if plot is not None and steps:
        picture = of_rule(config, steps, start_at + timedelta(hours=hours))
        draw(plot, language().pick(config.station.name_zh, config.station.name_en), picture)
    cost_yuan = sum((float(s.price_yuan_per_kwh) * s.import_kwh for s in steps), 0.0)
    energy_kwh, import_kwh = sum(s.energy_kwh for s in steps), sum(s.import_kwh for s in steps)
    if as_json:
        print_json(
            {
                "station": config.station.id,
                "grid_limit_kw": config.site.grid_limit_kw,
                "charger_efficiency": config.site.charger_efficiency,
                "energy_kwh": round(energy_kwh, 2),
                "import_kwh": round(import_kwh, 2),
                "cost_yuan": round(cost_yuan, 2),
                "steps": [asdict(step) for step in steps],
            }
        )
        return
    _print_plan(config, steps)
    echo(
        text(
            "{energy_kwh:,.1f} kWh out of the chargers, {import_kwh:,.1f} kWh from the grid at {efficiency:g} charger "
            "efficiency, for {cost_yuan:,.2f} yuan; grid limit {grid_kw:g} kW, "
            "of which the station itself {base_kw:g} kW",
            energy_kwh=energy_kwh,
            import_kwh=import_kwh,
            efficiency=config.site.charger_efficiency,
            cost_yuan=cost_yuan,
            grid_kw=config.site.grid_limit_kw,
            base_kw=config.site.base_load_kw,
        )
    )


def _print_plan(config: StationConfig, steps: tuple[PlanStep, ...]) -> None:
    bays = [bay.bay_id for bay in steps[0].bays] if steps else []
    word = language().word
    rows = []
    for step in steps:
        cells = [f"{b.power_kw:.0f} kW" if b.power_kw else word("limit", b.limited_by) for b in step.bays]
        socs = [f"{b.soc_pct:.0f}%" for b in step.bays]
        rows.append(
            (
                step.at.astimezone(config.station.zone).strftime("%m-%d %H:%M"),
                word("period", step.period),
                f"{step.price_yuan_per_kwh:.4f}",
                f"{step.setpoint_kw:.0f}",
                *(f"{soc} {cell}" for soc, cell in zip(socs, cells, strict=True)),
            )
        )
    print_table((text("time"), text("period"), text("yuan/kWh"), "kW", *bays), rows, right=(2, 3))


@commands.command(epilog="Example: `swap recipe top_lift --packs 2 --order in_out`")
def recipe(
    name: Annotated[str, typer.Argument(help="A shipped recipe, or a TOML file.", show_default=False)],
    packs: Annotated[int, typer.Option(min=1, max=2, help="Packs per vehicle.")] = 1,
    order: Annotated[Literal["out_in", "in_out"], typer.Option(help="Spent pack out first, or in first.")] = "out_in",
    lang: LangOption = None,
    diagram: Annotated[bool, typer.Option("--mermaid", help="Print the state diagram instead.")] = False,
    states: Annotated[
        bool,
        typer.Option(
            "--states",
            help="Print every state table: this swap, station mode, pack, hot pack, booking; or their diagrams.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Print a recipe's table: each state with its command, permissives, confirmations, time limit and way back."""
    if lang is not None:
        choose(lang)
    from swap.commerce.bookings.states import BOOKING
    from swap.station.sequence.machine import BY_HAND, session_states
    from swap.station.sequence.recipe import RecipeError, load_recipe, markdown
    from swap.station.states.modes import STATION_MODE
    from swap.station.states.pack_states import PACK_IN_BAY
    from swap.station.states.thermal_stages import THERMAL_STAGE

    try:
        table = load_recipe(name, Path()).table(packs, order)
    except RecipeError as error:
        fail(str(error))
    if as_json:
        print_json([asdict(row) for row in table.rows])
    elif states:
        for shown in (session_states(table), STATION_MODE, PACK_IN_BAY, THERMAL_STAGE, BOOKING):
            echo(f"{shown.mermaid()}\n" if diagram else f"## {shown.name}\n\n{shown.markdown()}\n")
    elif diagram:
        echo(session_states(table).mermaid(BY_HAND))
    else:
        echo(markdown(table, terminal_lang().value))
