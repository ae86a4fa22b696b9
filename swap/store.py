"""The database: engine, migrations, and the only place that commits.

`station()` writes to one station, `transaction()` to all of them and to the register. Writers of one station take
turns, since each appends to its journal, whose numbers have no gaps and whose events are chained: inside a process
by `swap.turns`, between processes by the database. SQLite has one writer at a time and needs `BEGIN IMMEDIATE` (the
default engine oversells). PostgreSQL takes advisory locks first of all: taken later, with rows already locked, two
writers could wait for each other, and a row read before would be old. A writer of one station shares the lock of the
whole and takes the station's own; `transaction()` takes the whole.

What is committed is on the disk (`synchronous=FULL`): a command leaves only after its commit, so a power cut must
not take the commit back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlmodel import Session, select

from swap.errors import DatabaseAway, NotFound
from swap.outage import is_away
from swap.station_db import StationDb
from swap.tables import ControllerLease, Station
from swap.turns import Turns

_MIGRATIONS = Path(__file__).with_name("migrations")
WAIT_S = 10.0
"""Longest wait for the turn to write, and for locks of other processes."""
CONTROL_WAIT_S = 1.0
"""The same for a controller, which tries again by itself."""
_WHOLE = 7_310_421
"""Advisory lock number of the whole database."""
_STATION = 7_310_422
"""Advisory lock class of the stations; the second number is the station's own."""


Lines = defaultdict[str | None, Turns]
"""Lines of waiting writers by station; None is that of the whole database."""


class LeaseLost(Exception):
    """Another controller has taken the station; this one must stop, and nothing was written."""


class Store:
    """Sessions on one database. Its write sessions are the only commits in the program.

    Args:
        url: SQLAlchemy URL.
        wait_s: how long a transaction waits for others at the most.
        turns: shared by the stores of one database in one process, by station; a store that is given them goes first.

    Raises:
        DatabaseAway: the folder of an SQLite file cannot be made.
    """

    def __init__(self, url: str, *, wait_s: float = WAIT_S, turns: Lines | None = None) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._wait_s = wait_s
        self._first = turns is not None
        self._turns = turns if turns is not None else defaultdict(Turns)
        if self.is_sqlite:
            database = make_url(url).database
            if database and database != ":memory:":
                _make_folder(Path(database).parent)
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

    def _line(self, station_id: str | None) -> Turns:
        """Where the writers of a station wait; with SQLite all writers wait in one line."""
        return self._turns[None if self.is_sqlite else station_id]

    def _engine(self, *, write: bool) -> Engine:
        wait_ms = round(self._wait_s * 1000)
        if not self.is_sqlite:
            return create_engine(
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
        engine = create_engine(self.url, connect_args={"timeout": self._wait_s})

        @event.listens_for(engine, "connect")
        def _on_connect(dbapi: Any, _record: object) -> None:
            dbapi.isolation_level = None
            cursor = dbapi.cursor()
            for pragma in (f"busy_timeout={wait_ms}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _on_begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        return engine

    def _turn(self, station_id: str | None) -> AbstractContextManager[None]:
        return self._line(station_id).turn(first=self._first, wait_s=self._wait_s)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A write session on every station: committed on leaving, rolled back on any exception. Never await inside.

        Raises:
            DatabaseAway: the database cannot be used now; nothing is stored unless the outcome is unknown.
        """
        with (
            _told() as progress,
            self._turn(None),
            Session(self.engine, expire_on_commit=False) as db,
            db.begin(),
        ):
            db.connection()  # begins now: what is in the way is met before the work is done
            if not self.is_sqlite:
                db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WHOLE})
            yield db
            db.flush()
            progress.committing = True

    @contextmanager
    def station(self, station_id: str, holder: str | None = None) -> Iterator[StationDb]:
        """A write session on one station: committed on leaving, rolled back on any exception. Never await inside.

        Args:
            holder: the controller that writes; None for writers that need no lease.

        Raises:
            NotFound: there is no such station.
            LeaseLost: another controller, or nobody, holds the station.
            DatabaseAway: the database cannot be used now; nothing is stored unless the outcome is unknown.
        """
        with (
            _told() as progress,
            self._turn(station_id),
            StationDb(self.engine, expire_on_commit=False) as db,
            db.begin(),
        ):
            db.station_id = station_id
            db.connection()  # begins now: what is in the way is met before the work is done
            if not self.is_sqlite:
                db.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _WHOLE})
            number = db.exec(select(Station.number).where(Station.id == station_id)).first()
            if number is None:
                raise NotFound("station", station_id)
            if not self.is_sqlite:
                keys = {"kind": _STATION, "number": number}
                db.execute(text("SELECT pg_advisory_xact_lock(:kind, :number)"), keys)
            if holder is not None:
                running = db.exec(select(ControllerLease.holder)).first()
                if running != holder:
                    raise LeaseLost(f"station {station_id} is run by {running or 'nobody'}, no longer by {holder}")
            yield db
            db.flush()
            progress.committing = True

    @contextmanager
    def reading_station(self, station_id: str) -> Iterator[StationDb]:
        """A read session on one station with a stable snapshot; writes in it are rolled back. Raises DatabaseAway."""
        with _told(), StationDb(self._read_engine, expire_on_commit=False) as db:
            db.station_id = station_id
            yield db
            db.rollback()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A read session with a stable snapshot; writes in it are rolled back.

        Raises:
            DatabaseAway: the database cannot be used now.
        """
        with _told(), Session(self._read_engine, expire_on_commit=False) as db:
            yield db
            db.rollback()

    def alembic_config(self) -> Config:
        """Alembic's configuration for this database; needs no ini file."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["engine"] = self.engine
        return config

    def upgrade(self) -> None:
        """Bring the schema to the newest migration. Raises DatabaseAway."""
        with _told():
            command.upgrade(self.alembic_config(), "head")

    def check(self) -> None:
        """Raise alembic's `CommandError` when tables and migrations differ."""
        command.check(self.alembic_config())

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()
        self._read_engine.dispose()


def shown(url: str) -> str:
    """A database URL without its password, for people to read."""
    return make_url(url).render_as_string(hide_password=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseAway(f"folder {folder} cannot be made: {error.strerror}") from error


class _Progress:
    """How far a transaction is."""

    committing = False


@contextmanager
def _told() -> Iterator[_Progress]:
    """Turns the errors of a database that is away into one of ours."""
    progress = _Progress()
    try:
        yield progress
    except Exception as error:
        if not is_away(error):
            raise
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise DatabaseAway(reason, outcome_unknown=progress.committing) from error
