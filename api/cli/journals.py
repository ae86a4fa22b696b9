"""`swap commerce`: bills from the journals of stations, in a database that holds nothing else of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.common import FOUND, OK, DatabaseUrl, Json, fail, print_json, print_table
from api.cli.data import existing_store
from api.terminal import echo, text

commands = typer.Typer()
commerce = typer.Typer(no_args_is_help=True, help="Bills from exported journals, apart from the stations.")
commands.add_typer(commerce, name="commerce")


@commerce.command(epilog="Example: `swap commerce export --station yangquan-mine --to yangquan-mine.jsonl`")
def export(
    station: Annotated[str, typer.Option("--station", help="Id of the station.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="File to write; one that is there is replaced.", show_default=False)],
    after: Annotated[int, typer.Option("--after", min=0, help="Number of the last event that is there already.")] = 0,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the journal of a station as JSON lines, each with its hash; what was archived is in the archive's files."""
    from swap.commerce.custody.take import station_ids
    from swap.journal.lines import LineDamaged, write_lines
    from swap.keeping.archive import archived, exported

    store = existing_store(database_url)
    try:
        known = station_ids(store)
        if station not in known:
            fail(text("there is no station {station}; known are {known}", station=station, known=", ".join(known)))
        with store.reading_station(station) as db:
            before = archived(db)
            if before is not None and after < before.last_seq:
                echo(
                    text(
                        "events up to {last} are in files of `swap db archive`: import those too", last=before.last_seq
                    ),
                    err=True,
                )
            count = write_lines(to, exported(db, after))
    except LineDamaged as error:
        fail(str(error), FOUND)
    except OSError as error:
        fail(text("{file} cannot be written: {reason}", file=to, reason=error))
    finally:
        store.close()
    echo(text("{file}: {count} event(s)", file=to, count=count))
    raise typer.Exit(OK)


@commerce.command(name="import", epilog="Example: `swap commerce import *.jsonl`. Exit code 1 when something is wrong.")
def take(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of `swap commerce export` and `swap db archive`, in any order.", show_default=False),
    ],
    station: Annotated[
        list[str] | None, typer.Option("--station", help="Take lines of this station only; may be given again.")
    ] = None,
    heads: Annotated[
        list[Path] | None,
        typer.Option("--heads", help="Heads written down at the stations: a journal must agree with them."),
    ] = None,
    issue: Annotated[
        bool, typer.Option("--issue", help="Bill here what the stations have not billed themselves.")
    ] = False,
    as_json: Json = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Take journals in, make their bills and no-show fees anew, and post them.

    Nothing behind a gap or a damaged line counts: give that file again, together with what is missing. A bill that is
    not what its journal makes it is not made. Doing it again changes nothing. Rents: `swap lease rent-run`.
    """
    from datetime import UTC, datetime

    from swap.commerce.journals import import_journals
    from swap.commerce.leases.billing import ContractTerms
    from swap.commerce.leases.rights import ContractRights
    from swap.journal.heads import NotedHead, read_heads
    from swap.journal.lines import read_files

    noted, damaged = list[NotedHead](), list[str]()
    for path in heads or []:
        if not path.is_file():
            fail(text("there is no file {file}", file=path))
        known, problems = read_heads(path)
        noted += known
        damaged += problems
    for path in files:
        if not path.is_file():
            fail(text("there is no file {file}", file=path))
    store = existing_store(database_url)
    try:
        taken = import_journals(
            store,
            read_files(files),
            datetime.now(UTC),
            stations=set(station) if station else None,
            terms=ContractTerms(),
            rights=ContractRights(),
            heads=noted,
            issue=issue,
        )
        taken.problems += damaged
    except OSError as error:
        fail(text("a file cannot be read: {reason}", reason=error))
    finally:
        store.close()
    if as_json:
        print_json(
            {
                "events": taken.events,
                "repeated": taken.repeated,
                "waiting": taken.waiting,
                "bills": taken.bills,
                "fees": taken.fees,
                "strandings": taken.strandings,
                "settlements": taken.settlements,
                "posted": taken.posted,
                "problems": taken.problems,
            }
        )
    else:
        print_table((text("station"), text("new events")), sorted(taken.events.items()), right=(1,))
        echo(
            text(
                "{repeated} line(s) were known, {waiting} wait; {bills} bill(s), {fees} fee(s), "
                "{strandings} stranding charge(s), {settlements} settlement(s) of demand response made, "
                "{posted} posted",
                repeated=taken.repeated,
                waiting=taken.waiting,
                bills=len(taken.bills),
                fees=len(taken.fees),
                strandings=len(taken.strandings),
                settlements=len(taken.settlements),
                posted=taken.posted,
            )
        )
        for problem in taken.problems:
            echo(problem)
    raise typer.Exit(FOUND if taken.problems else OK)
