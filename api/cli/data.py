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
from api.terminal import echo, text

if TYPE_CHECKING:
    from swap.store import Store

commands = typer.Typer()
db = typer.Typer(no_args_is_help=True, help="Look after the database.")
commands.add_typer(db, name="db")
register = typer.Typer(no_args_is_help=True, help="Firms, vehicles and kinds, which belong to no station.")
commands.add_typer(register, name="register")

GIVE_WAY_S = 0.05
"""Real seconds between two transactions of a command that runs beside a station."""
By = Annotated[str, typer.Option("--by", help="Name of the person who does it.", show_default=False)]


@commands.command(epilog="Example: `swap audit --json`. Exit code 1 when an invariant is violated.")
def audit(
    database_url: DatabaseUrl = None,
    as_json: Json = False,
    heads: Annotated[
        list[Path] | None,
        typer.Option("--heads", help="File with heads of journals; may be given again. Default: SWAP_HEADS_FILE."),
    ] = None,
    archive: Annotated[
        list[Path] | None,
        typer.Option("--archive", help="Folder or file of `swap db archive`; may be given again."),
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
    archives = _archive_files(archive or [])
    try:
        with store.reading() as session:
            report = walk(
                session,
                heads=[head for found, _ in known for head in found],
                unreadable_heads=[problem for _, problems in known for problem in problems],
                archives=archives,
            )
    finally:
        store.close()
    found = sum(len(invariant.violations) for invariant in report.invariants)
    if as_json:
        print_json(
            {
                "ok": not found,
                "archives_left_out": list(report.left_out),
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
                echo(f"{invariant.name}: {violation}")
        for part in report.left_out:
            echo(text("archived, not given by --archive, what rests on it is not judged: {part}", part=part))
    raise typer.Exit(FOUND if found else OK)


db.command("verify", epilog="Example: `swap db verify --database-url sqlite:///copies/swap-20260901.db`")(audit)
"""The audit under the name that stands beside `backup` and `restore`: what was copied or put back is in order."""


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
        echo(f"{kind:<20} {', '.join(names)}")


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
    echo(text("{url}: schema is the newest", url=_shown(settings.database_url)))


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
    echo(text("tables and migrations agree"))


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
    _check_folder(target)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        fail(text("the copy is damaged: {verdict}", verdict=verdict), FOUND)
    _note_heads(f"sqlite:///{target}", heads_path(f"sqlite:///{target}"))
    echo(f"{target}: {target.stat().st_size // 1024} KiB")


@db.command(epilog="Example: `swap db heads --to /mnt/other/heads.jsonl`")
def heads(
    to: Annotated[Path | None, typer.Option("--to", help="File to append to. Default: SWAP_HEADS_FILE.")] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the newest event of every journal and its hash to a file outside of the database; beside a pg_dump too."""
    settings = read_settings(database_url=database_url)
    existing_store(database_url).close()
    path = to or settings.heads_path
    _check_folder(path)
    echo(text("{file}: {count} head(s)", file=path, count=_note_heads(settings.database_url, path)))


@db.command(epilog="Example: `swap db archive --before 2027-01-01 --to /mnt/archive --by 'Li Ming'`")
def archive(
    before: Annotated[str, typer.Option("--before", help="Day (YYYY-MM-DD) at the station; what happened before it.")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the files; must exist.")],
    by: By,
    database_url: DatabaseUrl = None,
) -> None:
    """Put the oldest part of each journal into a compressed file with a checksum, and take it out of the database.

    May run beside a station. Keep the files: `swap audit --archive` reads them, `swap db unarchive` puts them back.
    """
    from swap.errors import InvalidInput
    from swap.keeping.archive import NotArchived, archive_journals

    if not to.is_dir():
        fail(text("there is no folder {folder}; make it first", folder=to))
    store = existing_store(database_url)
    try:
        for station, told in archive_journals(store, before, to, by=by, pause=_give_way):
            if told is None:
                echo(text("station {station}: nothing to archive", station=station))
            else:
                last = {"first": told.first_seq, "last": told.last_seq, "file": to / told.file}
                echo(text("station {station}: events {first}…{last} are in {file}", station=station, **last))
    except (InvalidInput, OSError) as error:
        fail(str(error))
    except NotArchived as error:
        fail(str(error), FOUND)
    finally:
        store.close()


@db.command(epilog="Example: `swap db unarchive /mnt/archive/yangquan-mine-0000000001-0000034567.jsonl.gz`")
def unarchive(
    file: Annotated[list[Path], typer.Argument(help="Files made by `swap db archive`.", show_default=False)],
    database_url: DatabaseUrl = None,
) -> None:
    """Put archived events back into the database; the next `swap db archive` takes them out again."""
    from swap.errors import NotFound
    from swap.keeping.archive import NotArchived, restore_archive

    store = existing_store(database_url)
    try:
        for path in file:
            told = restore_archive(store, path, _give_way)
            echo(text("{file}: events {first}…{last} are back", file=path, first=told.first_seq, last=told.last_seq))
    except OSError as error:
        fail(str(error))
    except (NotArchived, NotFound) as error:
        fail(str(error), FOUND)
    finally:
        store.close()


def _give_way() -> None:
    """Between two transactions: a station that runs beside goes first."""
    from threading import Event

    Event().wait(GIVE_WAY_S)


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
        echo(text("what was there is kept as {file}", file=replaced))
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
        echo(problem, err=True)
    try:
        new = begin_epoch(store, by=by, at=datetime.now(UTC), known=known, copy=copy)
    except InvalidInput as error:
        fail(str(error))
    finally:
        store.close()
    write_heads(heads_file, new)
    for head in new:
        echo(
            text(
                "station {station}: epoch {epoch} has begun, {seq} events are kept",
                station=head.station_id,
                epoch=head.epoch,
                seq=head.seq,
            )
        )


def _note_heads(url: str, path: Path) -> int:
    from datetime import UTC, datetime

    from swap.station.life.heads import note_heads
    from swap.store import Store

    store = Store(url)
    try:
        return note_heads(store, path, datetime.now(UTC))
    finally:
        store.close()


@register.command(name="import", epilog="Example: `swap register import examples/yangquan_mine/station.toml`")
def import_(station: Station, database_url: DatabaseUrl = None) -> None:
    """Take a station file's word on firms, kinds, vehicle models, vehicles and owners of packs."""
    from datetime import UTC, datetime

    from swap.config.seed import SyncError, import_register

    store = existing_store(database_url)
    try:
        report = import_register(store, read_station(station), datetime.now(UTC))
    except SyncError as error:
        fail(str(error), FOUND)
    finally:
        store.close()
    for word, counts in ((text("added"), report.added), (text("changed"), report.changed)):
        echo(f"{word}: {', '.join(f'{name} {count}' for name, count in sorted(counts.items())) or '–'}")


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


@register.command(name="erase-person", epilog="Example: `swap register erase-person 'Li Ming' --by 'Wang Fang'`")
def erase_person(
    person: Annotated[str, typer.Argument(help="Name of the person, or the id (pe-…).", show_default=False)],
    by: By,
    database_url: DatabaseUrl = None,
) -> None:
    """Erase the name of a person from the register. What the person did stays on record, under an id.

    It cannot be undone. The journal of every station tells who erased it. Copies of the database keep the name.
    """
    from datetime import UTC, datetime

    from swap.config.erasing import erase
    from swap.errors import InvalidInput, NotFound

    store = existing_store(database_url)
    try:
        erasure = erase(store, person, by=by, at=datetime.now(UTC))
    except NotFound:
        fail(text("there is no person {person}", person=person))
    except InvalidInput as error:
        fail(str(error))
    finally:
        store.close()
    if not erasure.done:
        echo(text("{id}: the name had been erased before; nothing has changed", id=erasure.person_id))
        return
    told = ", ".join(erasure.stations) or "–"
    echo(text("{id}: the name is erased; told in the journals of {stations}", id=erasure.person_id, stations=told))


def _archive_files(given: list[Path]) -> list[Path]:
    """Archives by file, and those in folders."""
    files: list[Path] = []
    for path in given:
        if not path.exists():
            fail(text("there is no file {file}", file=path))
        files += sorted(path.glob("*.jsonl.gz")) if path.is_dir() else [path]
    return files


def _check_folder(file: Path) -> None:
    """No folder is made that nobody has named."""
    if not file.parent.is_dir():
        fail(text("there is no folder {folder} for {file}; make it first", folder=file.parent, file=file.name))


def existing_store(database_url: str | None) -> Store:
    """The database of the settings; the program leaves with 2 where an SQLite file is not there."""
    from swap.store import Store

    url = read_settings(database_url=database_url).database_url
    if url.startswith("sqlite:///"):
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
    from swap.store import shown

    return shown(url)
