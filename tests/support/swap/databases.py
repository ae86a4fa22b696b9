"""Databases of the newest migration, with or without a station in them: made once by each process, then copied.

A copy costs a twentieth of a migration.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

from swap.config.seed import sync_station
from swap.config.station_file import StationConfig
from swap.store import Store

_really_upgrade = Store.upgrade


def migrated_sqlite(path: Path) -> str:
    """Write an SQLite file of the newest migration without a row; returns its URL."""
    return _put(path, _migrated_file())


def fill(url: str, config: StationConfig, at: datetime) -> None:
    """Bring a station into a database without a row: on SQLite also where there is no file yet.

    Args:
        at: instant at which the station file comes into the record.
    """
    path = make_url(url).database
    if make_url(url).get_backend_name() != "sqlite":
        _use(url, lambda store: sync_station(store, config, at))
        return
    assert path is not None
    key = (config.model_dump_json(), at)
    if key not in _filled_files:
        _filled_files[key] = _file(lambda store: sync_station(store, config, at), start=_migrated_file())
    _put(Path(path), _filled_files[key])


def migrate(url: str) -> None:
    """Bring a database to the newest migration and let go of it."""
    _use(url, Store.upgrade)


def migrate_once() -> None:
    """From now on an SQLite database without a table becomes a copy of one that this process has migrated before.

    Whatever makes a database for itself, such as the live side of a twin, would migrate it through every release.
    """
    Store.upgrade = _upgrade  # type: ignore[method-assign]


def _upgrade(self: Store) -> None:
    if not self.is_sqlite or not _is_empty(self.engine):
        _really_upgrade(self)
        return
    with closing(sqlite3.connect(":memory:")) as migrated, self.engine.connect() as connection:
        content = bytearray(_migrated_file())
        content[18:20] = b"\1\1"  # no write-ahead log: memory has none
        migrated.deserialize(bytes(content))
        target = connection.connection.driver_connection
        assert isinstance(target, sqlite3.Connection)
        migrated.backup(target)


def _is_empty(engine: Engine) -> bool:
    try:
        return not inspect(engine).get_table_names()
    except DatabaseError:  # what stands there is no database: that is for the product to say
        return False


_filled_files: dict[tuple[str, datetime], bytes] = {}
"""Content of an SQLite file by station file and instant."""


@cache
def _migrated_file() -> bytes:
    return _file(_really_upgrade)


def _file(change: Callable[[Store], object], start: bytes = b"") -> bytes:
    """Content of an SQLite file after a change."""
    with tempfile.TemporaryDirectory(prefix="swap-template-") as folder:
        path = Path(folder) / "template.db"
        _use(_put(path, start), change)
        return path.read_bytes()


def _put(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"sqlite:///{path}"


def _use(url: str, change: Callable[[Store], object]) -> None:
    store = Store(url)
    try:
        change(store)
    finally:
        store.close()
