"""`swap run` and `swap devices`: a station with its console, or its simulated equipment alone."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli_common import DatabaseUrl, Station, fail, read_settings, read_station

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
) -> None:
    """Run a station: controller, HTTP interface and console; simulated devices unless the file names real ones.

    Ctrl-C stops safely: the robot is held, charging goes to 0 kW. The next start resumes from the database.
    """
    settings = read_settings(station_file=station, speed=speed, port=port, host=host, database_url=database_url)
    config = read_station(station)
    try:
        settings.speed_for(config.devices)
    except ValueError as error:
        fail(str(error))
    from api.wiring import run_station

    raise typer.Exit(run_station(settings, config))
