"""`swap audit`, `swap events` and `swap db`: is the data in order, what does it say, and how it is kept."""

from __future__ import annotations

from pathlib import Path
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
    read_settings,
    read_station,
)
from api.terminal import text

if TYPE_CHECKING:
    from swap.store import Store

commands = typer.Typer()
db = typer.Typer(no_args_is_help=True, help="Look after the database.")
commands.add_typer(db, name="db")
register = typer.Typer(no_args_is_help=True, help="Firms, vehicles and kinds, which belong to no station.")
commands.add_typer(register, name="register")

By = Annotated[str, typer.Option("--by", help="Name of the person who does it.", show_default=False)]


@commands.command(epilog="Example: `swap audit --json`. Exit code 1 when an invariant is violated.")
def audit(
    database_url: DatabaseUrl = None,
    as_json: Json = False,
    heads: Annotated[
        list[Path] | None,
        typer.Option("--heads", help="File with heads of journals; may be given again. Default: SWAP_HEADS_FILE."),
    ] = None,
) -> None:
    """Walk the whole database and check what must always hold; print how many items each check examined."""
    from swap.audit import audit as walk
    from swap.journal.heads import read_heads

    store = existing_store(database_url)
    files = heads or [read_settings(database_url=database_url).heads_path]
    for path in heads or []:
        if not path.is_file():
            fail(text("there is no file {file}", file=path))
    known = [read_heads(path) for path in files]
    try:
        with store.reading() as session:
            report = walk(
                session,
                heads=[head for found, _ in known for head in found],
                unreadable_heads=[problem for _, problems in known for problem in problems],
            )
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

    from swap.journal.heads import heads_path

    source = _sqlite_path(read_settings(database_url=database_url).database_url)
    if target.exists():
        fail(text("{file} exists already; name a new file", file=target))
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        fail(text("the copy is damaged: {verdict}", verdict=verdict), FOUND)
    _note_heads(f"sqlite:///{target}", heads_path(f"sqlite:///{target}"))
    typer.echo(f"{target}: {target.stat().st_size // 1024} KiB")


@db.command(epilog="Example: `swap db heads --to /mnt/other/heads.jsonl`")
def heads(
    to: Annotated[Path | None, typer.Option("--to", help="File to append to. Default: SWAP_HEADS_FILE.")] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the newest event of every journal and its hash to a file outside of the database; beside a pg_dump too."""
    settings = read_settings(database_url=database_url)
    existing_store(database_url).close()
    path = to or settings.heads_path
    typer.echo(text("{file}: {count} head(s)", file=path, count=_note_heads(settings.database_url, path)))


@db.command(epilog="Example: `swap db restore var/backup.db --by 'Li Ming'`")
def restore(
    copy: Annotated[Path, typer.Argument(help="Copy made by `swap db backup`.", show_default=False)],
    by: By,
    database_url: DatabaseUrl = None,
) -> None:
    """Put an SQLite database back from a copy, with every station stopped. What is replaced is kept beside it.

    A new epoch of each journal begins, in your name, and the stations are held until a person confirms.
    """
    import sqlite3
    from contextlib import closing
    from datetime import UTC, datetime

    from swap.store import Store

    settings = read_settings(database_url=database_url)
    url = settings.database_url
    if not url.startswith("sqlite:///"):
        fail(text("{url} is no SQLite file (sqlite:///path); use the tools of its own server", url=_shown(url)))
    if not copy.is_file():
        fail(text("there is no file {file}", file=copy))
    target = Path(url.removeprefix("sqlite:///"))
    if target.exists():
        _refuse_while_running(url)
        replaced = target.with_suffix(f".replaced-{datetime.now(UTC):%Y%m%dT%H%M%S}{target.suffix}")
        with closing(sqlite3.connect(target)) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            old.execute("PRAGMA journal_mode=DELETE")
        target.rename(replaced)
        typer.echo(text("what was there is kept as {file}", file=replaced))
    with closing(sqlite3.connect(copy)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        fail(text("the copy is damaged: {verdict}", verdict=verdict), FOUND)
    store = Store(url)
    store.upgrade()
    store.close()
    _begin_epoch(url, settings.heads_path, by, copy.name)


@db.command(epilog="Example: `swap db epoch --by 'Li Ming'`, after pg_restore")
def epoch(by: By, database_url: DatabaseUrl = None) -> None:
    """Begin a new epoch of each journal after the tools of a server have put a database back from a copy.

    The stations are held until a person confirms.
    """
    settings = read_settings(database_url=database_url)
    existing_store(database_url).close()
    _refuse_while_running(settings.database_url)
    _begin_epoch(settings.database_url, settings.heads_path, by, "")


def _refuse_while_running(url: str) -> None:
    from datetime import UTC, datetime

    from swap.station.restored import running_controllers
    from swap.store import Store

    store = Store(url)
    try:
        running = running_controllers(store, datetime.now(UTC))
    finally:
        store.close()
    if running:
        fail(text("stop the stations first: {stations}", stations=", ".join(running)))


def _begin_epoch(url: str, heads_file: Path, by: str, copy: str) -> None:
    from datetime import UTC, datetime

    from swap.errors import InvalidInput
    from swap.journal.heads import read_heads, write_heads
    from swap.station.restored import begin_epoch
    from swap.store import Store

    store = Store(url)
    known, problems = read_heads(heads_file)
    for problem in problems:
        typer.echo(problem, err=True)
    try:
        new = begin_epoch(store, by=by, at=datetime.now(UTC), known=known, copy=copy)
    except InvalidInput as error:
        fail(str(error))
    finally:
        store.close()
    write_heads(heads_file, new)
    for head in new:
        typer.echo(
            text(
                "station {station}: epoch {epoch} has begun, {seq} events are kept",
                station=head.station_id,
                epoch=head.epoch,
                seq=head.seq,
            )
        )


def _note_heads(url: str, path: Path) -> int:
    from datetime import UTC, datetime

    from swap.station.heads import note_heads
    from swap.store import Store

    store = Store(url)
    try:
        return note_heads(store, path, datetime.now(UTC))
    finally:
        store.close()


@register.command(name="import", epilog="Example: `swap register import examples/yangquan_mine/station.toml`")
def import_(station: Station, database_url: DatabaseUrl = None) -> None:
    """Take a station file's word on firms, kinds, vehicle models, vehicles and owners of packs."""
    from swap.config.seed import SyncError, import_register

    store = existing_store(database_url)
    try:
        report = import_register(store, read_station(station))
    except SyncError as error:
        fail(str(error), FOUND)
    finally:
        store.close()
    for word, counts in ((text("added"), report.added), (text("changed"), report.changed)):
        typer.echo(f"{word}: {', '.join(f'{name} {count}' for name, count in sorted(counts.items())) or '–'}")


@register.command(epilog="Example: `swap register show --json`")
def show(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Print firms, kinds, vehicle models and vehicles."""
    from swap.register.show import read_register

    store = existing_store(database_url)
    try:
        with store.reading() as session:
            found = read_register(session)
    finally:
        store.close()
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_table((text("firm"), text("kind"), text("name")), [(f.id, f.kind, f.name_zh) for f in found.firms])
    print_table((text("pack kind"), "kWh"), [(k.id, k.rated_kwh) for k in found.pack_kinds], right=(1,))
    print_table(
        (text("vehicle model"), text("swap mode"), text("packs")),
        [(m.id, m.swap_mode, m.packs_per_vehicle) for m in found.vehicle_models],
        right=(2,),
    )
    print_table(
        (text("vehicle"), text("tag"), text("model"), text("fleet")),
        [(v.id, v.tag, v.model, v.fleet_id) for v in found.vehicles],
        right=(1,),
    )


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
