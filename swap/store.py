"""The database: engine, migrations, and the only place that commits.

`station()` writes to one station, `transaction()` to all of them and to the register. Writers of one station take
turns, since each appends to its journal, whose numbers have no gaps and whose events are chained: inside a process
by `swap.turns`, between processes by the database. SQLite has one writer at a time and needs `BEGIN IMMEDIATE` (the
default engine oversells). PostgreSQL takes advisory locks first of all: taken later, with rows already locked, two
writers could wait for each other, and a row read before would be old. A writer of one station shares the lock of the
whole and takes the station's own; `commerce()` does so with a lock of its own; `transaction()` takes the whole.

What is committed is on the disk (`synchronous=FULL`): a command leaves only after its commit, so a power cut must
not take the commit back.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import Connection, Engine, PoolProxiedConnection, Table, bindparam, create_engine, event, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlmodel import Session

from swap.commerce_db import CommerceDb
from swap.errors import DatabaseAway, DatabaseUnfit, NotFound
from swap.events import connected
from swap.identity_db import IdentityDb
from swap.outage import is_away, is_no_database
from swap.station_db import StationDb
from swap.tables import ControllerLease, Station
from swap.turns import FileTurn, Turns

if TYPE_CHECKING:
    from alembic.config import Config

S = TypeVar("S", bound=Session)

_MIGRATIONS = Path(__file__).with_name("migrations")
WAIT_S = 10.0
"""Longest wait for the turn to write, and for locks of other processes."""
CONTROL_WAIT_S = 1.0
"""The same for a controller, which tries again by itself."""
_WHOLE = 7_310_421
"""Advisory lock number of the whole database."""
_STATION = 7_310_422
"""Advisory lock class of the stations; the second number is the station's own."""
_IDENTITY = 7_310_424
"""Advisory lock of accounts, keys and tokens."""
IDENTITY = ":identity"
"""Name of the line in which their writers wait; no station's id has a colon."""
_COMMERCE = 7_310_423
"""Advisory lock of what belongs to firms: contracts, charges, invoices, the ledger."""
COMMERCE = ":commerce"
"""Name of the line in which writers of commerce wait; no station's id has a colon."""


_STATIONS: Table = Station.__table__  # type: ignore[attr-defined]
_LEASES: Table = ControllerLease.__table__  # type: ignore[attr-defined]
# Made once: they are asked in every transaction, with the lock held.
_NUMBER = select(_STATIONS.c.number).where(_STATIONS.c.id == bindparam("station"))
_HOLDER = select(_LEASES.c.holder).where(_LEASES.c.station_id == bindparam("station"))


Lines = defaultdict[str | None, Turns]
"""Lines of waiting writers by station; None is that of the whole database."""


class LeaseLost(Exception):
    """Another controller has taken the station; this one must stop, and nothing was written."""


class PendingCommit:
    """A write transaction that was left and is not committed yet.

    Args:
        begin: called in the transaction before anything else of it.
        ending: what ends it.
    """

    def __init__(self, begin: Callable[[Session], None], ending: ExitStack) -> None:
        self.begin = begin
        self.db: Session | None = None
        """Its session; None while none was left, and after one that was rolled back."""
        self._ending = ending

    def outlast(self, what: AbstractContextManager[None]) -> None:
        """Enter something that ends when the transaction has ended."""
        self._ending.enter_context(what)

    def take(self, db: Session, stack: ExitStack) -> None:
        """A transaction was left: it is ended with `ending`."""
        self.db = db
        self._ending.push(stack)


_HELD: ContextVar[PendingCommit | None] = ContextVar("held", default=None)
"""What holds the write transactions of this thread."""


class _OneReading:
    """A read transaction that is begun by what is looked up, and gone on with by the read session after it."""

    def __init__(self, engine: Engine, ending: ExitStack) -> None:
        self.engine = engine
        self._ending = ending
        self._begun: Connection | None = None

    def begun(self) -> Connection:
        """Its connection, which stays open."""
        if self._begun is None:
            self._begun = self._ending.enter_context(self.engine.connect())
        return self._begun

    def taken(self) -> Connection | None:
        """The same for who ends it; None where there is none."""
        taken, self._begun = self._begun, None
        return taken


_READING: ContextVar[_OneReading | None] = ContextVar("reading", default=None)
"""The read transaction that this thread makes one of several."""


class Store:
    """Sessions on one database. Its write sessions are the only commits in the program.

    Args:
        url: SQLAlchemy URL.
        wait_s: how long a transaction waits for others at the most.
        turns: shared by the stores of one database in one process, by station; a store that is given them goes first.

    Raises:
        DatabaseUnfit: the URL names no database of ours, or a file in a folder that is not there.
    """

    def __init__(self, url: str, *, wait_s: float = WAIT_S, turns: Lines | None = None) -> None:
        self.url = url
        self.is_sqlite = _backend(url) == "sqlite"
        self._wait_s = wait_s
        self._first = turns is not None
        self._numbers: dict[str, int] = {}
        """Of the stations that were written to; a station keeps its number."""
        self._file: _File | None = None
        self._turns = turns if turns is not None else defaultdict(Turns)
        self._file_turn: FileTurn | None = None
        if self.is_sqlite:
            database = make_url(url).database
            if database and database != ":memory:":
                _check_folder(Path(database).parent)
                self._file_turn = FileTurn(Path(database))
                self._file = _File(Path(database).resolve())
        self.engine = self._engine(write=True)
        self._read_engine = (
            self._engine(write=False)
            if self.is_sqlite
            else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )

    def for_control(self) -> Self:
        """The same database for a controller: connections of its own, first in line, short waits."""
        return type(self)(self.url, wait_s=CONTROL_WAIT_S, turns=self._turns)

    def first_in_line(self, station_id: str) -> AbstractContextManager[None]:
        """A controller's write is on its way: nobody else of this process begins one. Of other stores, nothing."""
        return self._line(station_id).kept() if self._first else nullcontext()

    def one_asker(self, station_id: str) -> AbstractContextManager[None]:
        """One of this process at a time finds out what may be booked: what he finds, no other makes old who comes this
        way too. It lasts until what is written inside is committed, where that is `held` too.

        Raises:
            DatabaseAway: nobody's turn came within the longest wait.
        """
        asking, held = self._asking(f"{station_id}:asking"), _HELD.get()
        if held is None:
            return asking
        held.outlast(asking)
        return nullcontext()

    @contextmanager
    def _asking(self, line: str) -> Iterator[None]:
        with _told(), self._turns[line].turn(first=False, wait_s=self._wait_s):
            yield

    def _line(self, station_id: str | None) -> Turns:
        """Where the writers of a station wait; with SQLite all writers wait in one line."""
        return self._turns[None if self.is_sqlite else station_id]

    def _engine(self, *, write: bool) -> Engine:
        wait_ms = round(self._wait_s * 1000)
        if not self.is_sqlite:
            return _engine_of(
                self.url,
                pool_size=20,
                max_overflow=20,
                pool_timeout=self._wait_s,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": 2,
                    "tcp_user_timeout": 5000,
                    "options": f"-c lock_timeout={wait_ms}",
                },
            )
        # Of a file the connection that was used last has what it read before at hand.
        pool = {"pool_use_lifo": True} if self._file is not None else {}
        engine = create_engine(self.url, connect_args={"timeout": self._wait_s}, **pool)

        @event.listens_for(engine, "connect")
        def _on_connect(dbapi: Any, _record: object) -> None:
            dbapi.isolation_level = None
            cursor = dbapi.cursor()
            for pragma in (f"busy_timeout={wait_ms}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()
            if self._file is not None:
                self._file.opened()

        begin = "BEGIN IMMEDIATE" if write else "BEGIN"

        def do_begin(dbapi_connection: PoolProxiedConnection) -> None:
            dbapi_connection.cursor().execute(begin)

        # Not by an event: while an engine has listeners, SQLAlchemy offers them each statement that it executes.
        engine.dialect.do_begin = do_begin  # type: ignore[method-assign]
        return engine

    @contextmanager
    def _turn(self, station_id: str | None) -> Iterator[None]:
        with self._line(station_id).turn(first=self._first, wait_s=self._wait_s):
            if self._file_turn is None:
                yield
                return
            with self._file_turn.turn(first=self._first, wait_s=self._wait_s):
                yield

    @contextmanager
    def held(self, begin: Callable[[Session], None]) -> Iterator[PendingCommit]:
        """A write transaction that is left inside is committed on leaving here: what is written into `db` afterwards,
        such as the answer that was made of it, is stored with it or not at all. An exception rolls it back.

        Args:
            begin: called in the transaction before anything else of it.
        """
        with ExitStack() as ending:
            held = PendingCommit(begin, ending)
            token = _HELD.set(held)
            try:
                yield held
            finally:
                _HELD.reset(token)

    @contextmanager
    def in_lots(self) -> Iterator[None]:
        """Write transactions inside commit each on its own, where one is `held` too: of work in lots, each of which is
        done once by itself. What is held is stored after the last."""
        token = _HELD.set(None)
        try:
            yield
        finally:
            _HELD.reset(token)

    @contextmanager
    def _writing(self, kind: type[S], line: str | None, lock: Callable[[S], None]) -> Iterator[S]:
        """The one way to write: a turn, a session, its locks, and a commit on leaving."""
        with ExitStack() as stack:
            progress = stack.enter_context(_told(self._file))
            held = _HELD.get()
            if held is not None and held.db is not None:
                raise RuntimeError("what is answered once writes in one transaction; this is its second")
            stack.enter_context(self._turn(line))
            # Begun before the work is done, and not by the session: statements on tables need nothing of it.
            connection = stack.enter_context(self.engine.begin())
            db = stack.enter_context(_written(kind(connection, expire_on_commit=False)))
            lock(db)
            if held is not None:
                held.begin(db)
            yield db
            db.flush()
            progress.committing = True
            if held is not None:
                held.take(db, stack.pop_all())

    def _lock(self, db: Session, *keys: tuple[str, dict[str, int]]) -> None:
        """Advisory locks of PostgreSQL, in this order; SQLite has one writer anyway."""
        if not self.is_sqlite:
            for call, values in keys:
                connected(db).execute(text(f"SELECT pg_advisory_xact_lock{call}"), values)

    def transaction(self) -> AbstractContextManager[Session]:
        """A write session on every station: committed on leaving, rolled back on any exception. Never await inside.

        Raises:
            DatabaseAway: the database cannot be used now; nothing is stored unless the outcome is unknown.
        """
        return self._writing(Session, None, lambda db: self._lock(db, ("(:key)", {"key": _WHOLE})))

    def station(self, station_id: str, holder: str | None = None) -> AbstractContextManager[StationDb]:
        """A write session on one station: committed on leaving, rolled back on any exception. Never await inside.

        Args:
            holder: the controller that writes; None for writers that need no lease.

        Raises:
            NotFound: there is no such station.
            LeaseLost: another controller, or nobody, holds the station.
            DatabaseAway: the database cannot be used now; nothing is stored unless the outcome is unknown.
        """

        def lock(db: StationDb) -> None:
            db.station_id = station_id
            self._lock(db, ("_shared(:key)", {"key": _WHOLE}))
            connection = connected(db)
            number = self._numbers.get(station_id)
            if number is None:
                number = connection.execute(_NUMBER, {"station": station_id}).scalar()
                if number is None:
                    raise NotFound("station", station_id)
                self._numbers[station_id] = number
            self._lock(db, ("(:kind, :number)", {"kind": _STATION, "number": number}))
            if holder is not None:
                running = connection.execute(_HOLDER, {"station": station_id}).scalar()
                if running != holder:
                    raise LeaseLost(f"station {station_id} is run by {running or 'nobody'}, no longer by {holder}")

        return self._writing(StationDb, station_id, lock)

    def identity(self) -> AbstractContextManager[IdentityDb]:
        """A write session on accounts, keys and tokens: committed on leaving, rolled back on any exception.

        Its writers take turns among themselves and, but for SQLite, wait for no station's.

        Raises:
            DatabaseAway: the database cannot be used now; nothing is stored unless the outcome is unknown.
        """
        return self._apart(IdentityDb, IDENTITY, _IDENTITY)

    def reading_identity(self) -> AbstractContextManager[IdentityDb]:
        """A read session on accounts, keys and tokens, with a stable snapshot. Raises DatabaseAway."""
        return self._reading(IdentityDb)

    @contextmanager
    def looking_up(self) -> Iterator[Connection]:
        """A read transaction on tables, with a stable snapshot and without the work of a session: of what each request
        asks. Raises DatabaseAway."""
        with _told(self._file):
            reading = self._one_reading()
            if reading is not None:
                yield reading.begun()
                return
            with self._read_engine.connect() as connection:
                yield connection

    @contextmanager
    def one_reading(self) -> Iterator[None]:
        """What is looked up inside and the first read session after it are one transaction with one snapshot, which
        ends with the session; further sessions have their own. For who only reads."""
        with ExitStack() as ending:
            token = _READING.set(_OneReading(self._read_engine, ending))
            try:
                yield
            finally:
                _READING.reset(token)

    def _one_reading(self) -> _OneReading | None:
        reading = _READING.get()
        return reading if reading is not None and reading.engine is self._read_engine else None

    def commerce(self) -> AbstractContextManager[CommerceDb]:
        """A write session on what belongs to firms: committed on leaving, rolled back on any exception.

        Writers take turns, so what is read here stays true until the commit. A `station()` may write rows of commerce
        too; its constraints keep them right.

        Raises:
            DatabaseAway: the database cannot be used now; nothing is stored unless the outcome is unknown.
        """
        return self._apart(CommerceDb, COMMERCE, _COMMERCE)

    def reading_commerce(self) -> AbstractContextManager[CommerceDb]:
        """A read session on what belongs to firms, with a stable snapshot. Raises DatabaseAway."""
        return self._reading(CommerceDb)

    def _apart(self, kind: type[S], line: str, key: int) -> AbstractContextManager[S]:
        """A write session on what belongs to no station, with a line and a lock of its own."""
        return self._writing(
            kind, line, lambda db: self._lock(db, ("_shared(:key)", {"key": _WHOLE}), ("(:key)", {"key": key}))
        )

    @contextmanager
    def _reading(self, kind: type[S]) -> Iterator[S]:
        reading = self._one_reading()
        begun = None if reading is None else reading.taken()
        with (
            _told(self._file if begun is None else None),
            begun or self._read_engine.connect() as connection,
            kind(connection, expire_on_commit=False) as db,
        ):
            yield db

    @contextmanager
    def reading_station(self, station_id: str) -> Iterator[StationDb]:
        """A read session on one station with a stable snapshot; writes in it end with it. Raises DatabaseAway."""
        with self._reading(StationDb) as db:
            db.station_id = station_id
            yield db

    def reading(self) -> AbstractContextManager[Session]:
        """A read session with a stable snapshot; writes in it end with it.

        Raises:
            DatabaseAway: the database cannot be used now.
        """
        return self._reading(Session)

    def alembic_config(self) -> Config:
        """Alembic's configuration for this database; needs no ini file."""
        from alembic.config import Config  # here, since most processes bring no schema to the newest migration

        config = Config(stdout=sys.stdout)  # its own default is what that was when alembic was first imported
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["engine"] = self.engine
        return config

    def upgrade(self) -> None:
        """Bring the schema to the newest migration. Raises DatabaseAway."""
        from alembic import command

        with _told():
            command.upgrade(self.alembic_config(), "head")

    def check(self) -> None:
        """Raise alembic's `CommandError` when tables and migrations differ."""
        from alembic import command

        command.check(self.alembic_config())

    def close(self) -> None:
        """Release every connection."""
        if self._file_turn is not None:
            self._file_turn.close()
        self.engine.dispose()
        self._read_engine.dispose()


def shown(url: str) -> str:
    """A database URL without its password, for people to read."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        head, at, tail = url.rpartition("@")
        return f"{head.rpartition(':')[0]}:***@{tail}" if at else url


OWN_FOLDER = Path("var")
"""The one folder that is made where it is missing: that of the default database."""
_FORMS = "sqlite:///FILE | postgresql+psycopg://USER:PASSWORD@HOST/NAME"


def _backend(url: str) -> str:
    try:
        backend = make_url(url).get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise DatabaseUnfit(DatabaseUnfit.NO_URL, url=shown(url), forms=_FORMS) from error
    if backend not in ("sqlite", "postgresql"):
        raise DatabaseUnfit(DatabaseUnfit.OTHER_DATABASE, url=shown(url), forms=_FORMS)
    return backend


def _engine_of(url: str, **options: Any) -> Engine:
    try:
        return create_engine(url, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise DatabaseUnfit(DatabaseUnfit.NO_DRIVER, url=shown(url), reason=str(error), forms=_FORMS) from error


def folder_is_there(folder: Path) -> bool:
    """Whether a folder exists; `OWN_FOLDER` is made."""
    if folder == OWN_FOLDER:
        folder.mkdir(exist_ok=True)
    return folder.is_dir()


def _check_folder(folder: Path) -> None:
    if not folder_is_there(folder):
        raise DatabaseUnfit(DatabaseUnfit.NO_FOLDER, folder=folder)


@contextmanager
def _written(db: S) -> Iterator[S]:
    """A session on a transaction that was begun: what it holds is written on leaving, and nothing of it after an
    exception. The transaction is not ended with it."""
    with db:
        yield db
        if db.in_transaction():
            db.commit()


class _Progress:
    """How far a transaction is."""

    committing = False


class _File:
    """The file of an SQLite database. A connection goes on in one that was deleted: nobody would ever read it again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = str(path)  # asked in every transaction
        self._identity: tuple[int, int] | None = None
        """Device and inode when it was opened first."""

    def opened(self) -> None:
        """A connection was made, which also makes a file that was not there."""
        if self._identity is None:
            found = os.stat(self._name)
            self._identity = found.st_dev, found.st_ino

    def check(self) -> None:
        """Raise DatabaseAway where the file that was opened is not there any more."""
        if self._identity is None:
            return
        try:
            found = os.stat(self._name)
        except OSError as error:
            raise DatabaseAway(f"the file {self.path} is gone: {error.strerror}") from error
        if (found.st_dev, found.st_ino) != self._identity:
            raise DatabaseAway(f"the file {self.path} is another one than was opened; start again to use it")


@contextmanager
def _told(file: _File | None = None) -> Iterator[_Progress]:
    """Turns the errors of a database that is away into one of ours."""
    progress = _Progress()
    if file is not None:
        file.check()
    try:
        yield progress
    except Exception as error:
        if is_no_database(error):
            raise DatabaseUnfit(DatabaseUnfit.NO_DATABASE, reason=_reason(error)) from error
        if not is_away(error):
            raise
        raise DatabaseAway(_reason(error), outcome_unknown=progress.committing) from error


def _reason(error: Exception) -> str:
    """The first line of what the database says."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]
