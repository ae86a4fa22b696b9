"""The command line: `swap COMMAND`. Exit codes: 0 all well, 1 something was found, 2 wrong usage or invalid input,
3 the program itself failed.

Commands import what they need when they run, so that `swap --help` answers at once.
"""

from __future__ import annotations

import sys
import traceback

import typer

from api import terminal
from api.cli import (
    capsule,
    data,
    fit,
    fleet,
    journals,
    lease,
    ledger,
    network,
    people,
    replay,
    run,
    size,
    station,
    study,
)
from api.cli.common import DEFECT
from api.cli.power import forecast, response
from swap.errors import SwapError
from swap.words import CatalogueError

app = typer.Typer(
    name="swap",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Battery-swap stations for heavy trucks, from the PLC to the invoice.",
    epilog="Exit codes: 0 all well, 1 something was found, 2 wrong usage or invalid input, "
    "3 the program itself failed.",
)


@app.callback()
def begin(lang: terminal.LangOption = None) -> None:
    """Take what holds for every command."""
    terminal.choose(lang)


for part in (
    run,
    station,
    fleet,
    data,
    ledger,
    journals,
    lease,
    people,
    study,
    size,
    fit,
    capsule,
    replay,
    network,
    response,
    forecast,
):
    app.add_typer(part.commands)


def main() -> None:
    """Entry point of the `swap` program."""
    try:
        app()
    except CatalogueError as error:
        terminal.echo(error, err=True)
        sys.exit(2)
    except SwapError as error:
        from api.problems import said

        terminal.echo(said(error, terminal.language()), err=True)
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        sys.exit(DEFECT)


if __name__ == "__main__":
    main()
