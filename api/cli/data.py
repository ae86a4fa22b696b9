"""`swap audit`, `swap events` and `swap db`: is the data in order, what does it say, and how it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import FOUND, OK, DatabaseUrl, Json, fail, print_json, print_table, read_settings
from api.terminal import text

if TYPE_CHECKING:
    from swap.store import Store

commands = typer.Typer()
db = typer.Typer(no_args_is_help=True, help="Look after the database.")
commands.add_typer(db, name="db")


@commands.command(epilog="Example: `swap audit --json`. Exit code 1 when an invariant is violated.")
def audit(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Walk the whole database and check what must always hold; print how many items each check examined."""
    from swap.audit import audit as walk

    store = existing_store(database_url)
    try:
        with store.reading() as session:
            report = walk(session)
    finally:
        store.close()
    found = sum(len(invariant.violations) for invariant in report.invariants)
    if as_json:
        print_json(
            {
                "ok": not found,
                "invariants": [
                    {"name": i.name, "examined": i.examined, "violations": [str(v) for v in i.violations]}
                    for i in report.invariants
                ],
            }
        )
    else:
        print_table(
            (text("invariant"), text("examined"), text("violations"), text("what must hold")),
            [(i.name, i.examined, len(i.violations), text(i.meaning)) for i in report.invariants],
            right=(1, 2),
        )
        for invariant in report.invariants:
            for violation in invariant.violations:
                typer.echo(f"{invariant.name}: {violation}")
    raise typer.Exit(FOUND if found else OK)


@commands.command(epilog="Example: `swap events --schema > events.schema.json`")
def events(
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of what the journal holds, for programs.")
    ] = False,
) -> None:
    """Kinds of events in the journal and the fields of each."""
    from swap.messages.events import EVENTS, events_schema

    if schema:
        print_json(events_schema())
        return
    for kind, model in EVENTS.items():
        names = (field.alias or name for name, field in model.model_fields.items())
        typer.echo(f"{kind:<20} {', '.join(names)}")


@db.command(epilog="Example: `swap db upgrade --database-url sqlite:///var/swap.db`")
def upgrade(database_url: DatabaseUrl = None) -> None:
    """Bring the schema to the newest migration; makes an SQLite file that does not exist yet."""
    from swap.store import Store

    settings = read_settings(database_url=database_url)
    store = Store(settings.database_url)
    try:
        store.upgrade()
    finally:
        store.close()
    typer.echo(text("{url}: schema is the newest", url=_shown(settings.database_url)))


@db.command(epilog="Example: `swap db check`. Exit code 1 when tables and migrations differ.")
def check() -> None:
    """Compare the tables in code with the migrations, on a temporary database; for developers."""
    import tempfile

    from alembic.util import CommandError

    from swap.store import Store

    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/check.db")
        try:
            store.upgrade()
            store.check()
        except CommandError as error:
            fail(str(error), FOUND)
        finally:
            store.close()
    typer.echo(text("tables and migrations agree"))


@db.command(epilog="Example: `swap db backup var/backup.db`")
def backup(
    target: Annotated[Path, typer.Argument(help="File to write; must not exist yet.", show_default=False)],
    database_url: DatabaseUrl = None,
) -> None:
    """Copy an SQLite database while it is in use, as one consistent state. PostgreSQL has pg_dump for it."""
    import sqlite3
    from contextlib import closing

    source = _sqlite_path(read_settings(database_url=database_url).database_url)
    if target.exists():
        fail(text("{file} exists already; name a new file", file=target))
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        fail(text("the copy is damaged: {verdict}", verdict=verdict), FOUND)
    typer.echo(f"{target}: {target.stat().st_size // 1024} KiB")


def existing_store(database_url: str | None) -> Store:
    """The database of the settings; the program leaves with 2 where an SQLite file is not there."""
    from swap.store import Store

    url = read_settings(database_url=database_url).database_url
    if url.startswith("sqlite"):
        _sqlite_path(url)
    return Store(url)


def _sqlite_path(url: str) -> Path:
    if not url.startswith("sqlite:///"):
        fail(text("{url} is no SQLite file (sqlite:///path); use the tools of its own server", url=_shown(url)))
    path = Path(url.removeprefix("sqlite:///"))
    if not path.is_file():
        fail(text("there is no database at {path}; run `swap run STATION` or `swap db upgrade` first", path=path))
    return path


def _shown(url: str) -> str:
    """The URL without a password."""
    head, at, tail = url.rpartition("@")
    return f"{head.rpartition(':')[0]}:***@{tail}" if at else url
