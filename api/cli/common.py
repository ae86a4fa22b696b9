"""What the commands share: arguments, reading a station file, printing tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from api.terminal import echo, language, text
from swap.messages.values import printable

if TYPE_CHECKING:
    from api.settings import Settings
    from swap.config.station_file import StationConfig

OK, FOUND, INVALID, DEFECT = 0, 1, 2, 3
"""Exit codes: all well; something was found, or the answer is no; wrong usage or input; the program itself failed."""

Station = Annotated[Path, typer.Argument(help="Station file (station.toml).", show_default=False)]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", help="SQLAlchemy URL of the database. [env: SWAP_DATABASE_URL]", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def fail(message: str, code: int = INVALID) -> NoReturn:
    """Say what is wrong on standard error and leave."""
    echo(message, err=True)
    raise typer.Exit(code)


def read_station(path: Path) -> StationConfig:
    """The checked station file; on any problem every one of them is printed and the program leaves with 2."""
    from swap.config.loading import ConfigError
    from swap.station.file_check import check_file

    try:
        return check_file(path)
    except ConfigError as error:
        fail(str(error))


def read_settings(**given: Any) -> Settings:
    """Settings from the environment, overridden by what was given on the command line."""
    from pydantic import ValidationError

    from api.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [
            f"  - {'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        fail("\n".join([text("settings are not valid"), *lines]))


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_open_limits(config: StationConfig) -> None:
    """Say which cells fence no requests, and what late requests can still do to them."""
    from robotics.handshake import limit_sentence
    from swap.station.file_check import open_limits

    for lane_id, (layout, limits) in open_limits(config).items():
        echo(
            text(
                "lane {lane}: the layout {layout} of its cell fences no request. What is left:",
                lane=lane_id,
                layout=layout,
            )
        )
        for limit in limits:
            echo(f"  - {language().pick(limit_sentence(limit, 'zh'), limit_sentence(limit, 'en'))}")


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()) -> None:
    """A plain table; columns in `right` are aligned to the right. Wide characters count double."""
    lines = [[printable(str(cell)) for cell in row] for row in rows]
    columns = [list(column) for column in zip(heads, *lines, strict=True)]
    widths = [max(_width(cell) for cell in column) for column in columns]
    numbers = set(right)
    for index, line in enumerate([list(heads), *lines]):
        cells = [
            " " * (width - _width(cell)) + cell if at in numbers else cell + " " * (width - _width(cell))
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        echo("  ".join(cells).rstrip())
        if index == 0:
            echo("  ".join("-" * width for width in widths))


def _width(shown: str) -> int:
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in shown)
