"""The database: engine, migrations, and the only place that commits.

`station()` writes to one station, `transaction()` to all of them and to the register. Writers of one station take
turns, since each appends to its journal, whose numbers have no gaps and whose events are chained.
SQLite has one writer at a time: it needs `BEGIN IMMEDIATE` (the default engine oversells) and a process-wide lock,
because its busy wait is unfair. PostgreSQL takes advisory locks first of all: taken later, with rows already locked,
two writers could wait for each other, and a row read before would be old. A writer of one station shares the lock
of the whole and takes the station's own; `transaction()` takes the whole.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlmodel import Session, select

from swap.errors import NotFound
from swap.station_db import StationDb
from swap.tables import ControllerLease, Station

_MIGRATIONS = Path(__file__).with_name("migrations")
_WHOLE = 7_310_421
"""Advisory lock number of the whole database."""
_STATION = 7_310_422
"""Advisory lock class of the stations; the second number is the station's own."""


class LeaseLost(Exception):
    """Another controller has taken the station; this one must stop, and nothing was written."""


class Store:
    """Sessions on one database. Its write sessions are the only commits in the program."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._write_lock = threading.RLock()
        if self.is_sqlite:
            database = make_url(url).database
            if database and database != ":memory:":
                Path(database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = self._engine(write=True)
        self._read_engine = (
            self._engine(write=False)
            if self.is_sqlite
            else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )

    def _engine(self, *, write: bool) -> Engine:
        if not self.is_sqlite:
            return create_engine(self.url, pool_size=20, max_overflow=20, pool_pre_ping=True)
        engine = create_engine(self.url, connect_args={"timeout": 30})

        @event.listens_for(engine, "connect")
        def _on_connect(dbapi: Any, _record: object) -> None:
            dbapi.isolation_level = None
            cursor = dbapi.cursor()
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _on_begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

        return engine

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A write session on every station: committed on leaving, rolled back on any exception. Never await inside."""
        with (
            self._write_lock if self.is_sqlite else nullcontext(),
            Session(self.engine, expire_on_commit=False) as db,
            db.begin(),
        ):
            if not self.is_sqlite:
                db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WHOLE})
            yield db

    @contextmanager
    def station(self, station_id: str, holder: str | None = None) -> Iterator[StationDb]:
        """A write session on one station: committed on leaving, rolled back on any exception. Never await inside.

        Args:
            holder: the controller that writes; None for writers that need no lease.

        Raises:
            NotFound: there is no such station.
            LeaseLost: another controller, or nobody, holds the station.
        """
        with (
            self._write_lock if self.is_sqlite else nullcontext(),
            StationDb(self.engine, expire_on_commit=False) as db,
            db.begin(),
        ):
            db.station_id = station_id
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

    @contextmanager
    def reading_station(self, station_id: str) -> Iterator[StationDb]:
        """A read session on one station with a stable snapshot; writes in it are rolled back."""
        with StationDb(self._read_engine, expire_on_commit=False) as db:
            db.station_id = station_id
            yield db
            db.rollback()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A read session with a stable snapshot; writes in it are rolled back."""
        with Session(self._read_engine, expire_on_commit=False) as db:
            yield db
            db.rollback()

    def alembic_config(self) -> Config:
        """Alembic's configuration for this database; needs no ini file."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["engine"] = self.engine
        return config

    def upgrade(self) -> None:
        """Bring the schema to the newest migration."""
        command.upgrade(self.alembic_config(), "head")

    def check(self) -> None:
        """Raise alembic's `CommandError` when tables and migrations differ."""
        command.check(self.alembic_config())

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()
        self._read_engine.dispose()
