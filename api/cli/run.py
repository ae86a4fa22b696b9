"""`swap run` and `swap devices`: a station with its console, or its simulated equipment alone."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import (
    DatabaseUrl,
    Json,
    Station,
    fail,
    print_json,
    print_open_limits,
    print_table,
    read_settings,
    read_station,
)
from api.terminal import language, text

if TYPE_CHECKING:
    from api.settings import Settings
    from swap.config.station_file import StationConfig

commands = typer.Typer()

Speed = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=1000,
        help="Station seconds per real second. With real devices only 1. [env: SWAP_SPEED]",
        show_default=False,
    ),
]


@commands.command(epilog="Example: `swap run examples/yangquan_mine/station.toml --speed 20 --port 8080`")
def run(
    station: Station,
    speed: Speed = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="HTTP port, 0 takes a free one. [env: SWAP_PORT]", show_default=False),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [env: SWAP_HOST]", show_default=False)] = None,
    database_url: DatabaseUrl = None,
    new_record_by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Person who begins a new record for robot cells that have worked before; their database is lost.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a station: controller, HTTP interface and console; simulated devices unless the file names real ones.

    Ctrl-C, SIGTERM and SIGHUP stop safely: a robot under way is held, charging goes to 0 kW. The next start resumes
    from the database; after a stop in the middle of a swap it waits for a named person, unless one has permitted the
    restart (request `permit_restart`).
    """
    settings = read_settings(station_file=station, speed=speed, port=port, host=host, database_url=database_url)
    config = read_station(station)
    try:
        settings.speed_for(config.devices)
    except ValueError as error:
        fail(str(error))
    gc.disable()  # nothing of what is loaded is garbage, and to look through it is a seventh of the time
    try:
        from api.wiring import run_station
    finally:
        gc.enable()
    from swap.errors import InvalidInput
    from swap.register.persons import person_name

    try:
        named = None if new_record_by is None else person_name(new_record_by)
    except InvalidInput as error:
        fail(str(error))
    _begin_logging(settings, config)
    print_open_limits(config)
    raise typer.Exit(run_station(settings, config, new_record_by=named))


@commands.command(
    epilog="Example: `swap devices examples/yangquan_mine/station.toml --fault estop_pressed:L1 --control-port 15099`. "
    "`--fault list` prints every fault."
)
def devices(
    station: Station,
    speed: Speed = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="Begin with this fault: NAME:ID[,argument=value]; may be repeated. `list` prints them all.",
            show_default=False,
        ),
    ] = None,
    control_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Loopback port of the interface that puts faults in at run time.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all variation.")] = 1,
    snapshot: Annotated[
        Path | None,
        typer.Option(help="File in which the plant is kept over restarts; none keeps nothing.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the simulated PLC, chargers, BMS and meter of a station alone, as Modbus TCP servers, until Ctrl-C.

    Point your own controller at them, or `swap run` with `devices = "real"`.
    """
    if fault and "list" in fault:
        _list_faults(as_json)
        return
    config = read_station(station)
    _begin_logging(read_settings(), config)
    import asyncio
    from functools import partial

    from sim.devices.program import run_devices
    from sim.devices.servers import DeviceError, DeviceServers
    from sim.plant.plant import PlantError

    def ready(servers: DeviceServers) -> None:
        if as_json:
            print_json({name: f"{host}:{port}" for name, (host, port) in servers.addresses.items()})
        else:
            for name, (host, port) in servers.addresses.items():
                typer.echo(f"{name:<12} Modbus TCP {host}:{port}")
            typer.echo(text("{speed:g} station seconds a second; Ctrl-C stops.", speed=servers.speed))

    run = partial(
        run_devices,
        config,
        speed=1.0 if speed is None else speed,
        seed=seed,
        snapshot_path=snapshot,
        folder=station.parent,
        faults=fault or (),
        control_port=control_port,
        on_ready=ready,
    )
    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        typer.echo(text("stopped"))
    except (DeviceError, PlantError) as error:
        fail(str(error))


def _begin_logging(settings: Settings, config: StationConfig) -> None:
    from structlog.contextvars import bind_contextvars

    from api.logs import configure_logging

    configure_logging(settings.log_level)
    bind_contextvars(station=config.station.id)


def _list_faults(as_json: bool) -> None:
    from sim.plant.faults import catalogue

    faults = catalogue().values()
    if as_json:
        print_json(
            [
                {"name": f.name, "usage": f.usage, "target": f.text.target, "zh": f.text.zh, "en": f.text.en}
                for f in faults
            ]
        )
    else:
        pick = language().pick
        print_table((text("fault"), text("what happens")), [(f.usage, pick(f.text.zh, f.text.en)) for f in faults])
