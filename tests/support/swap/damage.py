"""Damage done to a database behind the back of its triggers and constraints, made from the schema."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Column, create_engine
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session

from swap.audit import AuditReport, audit
from swap.journal.heads import NotedHead
from swap.tables import Base

IDENTITY = {"user_account", "token_family", "access_token", "api_key", "attempt_count", "access_change", "kept_answer"}
"""Accounts, keys and tokens: no journal tells of them, their record of changes is their own."""
TABLES = tuple(table.name for table in Base.metadata.sorted_tables if table.name not in IDENTITY)
A_TARIFF_HOUR = timedelta(hours=1)


def bare(written: Path, folder: Path) -> Path:
    """A copy whose tables have neither triggers nor constraints."""
    path = folder / "damaged.db"
    shutil.copy(written, path)
    with closing(sqlite3.connect(path)) as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")  # one may name another table than its own
        for table in TABLES:
            connection.executescript(
                f"CREATE TABLE bare AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE bare RENAME TO {table};"
            )
    return path


class Examined:
    """A database file, looked at after one damage and another: each is taken back when it has been looked at."""

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(f"sqlite:///{path}")

    @contextmanager
    def opened(self) -> Iterator[tuple[Session, sqlite3.Connection]]:
        """A session, and the connection under it to do damage by."""
        with Session(self._engine) as db:
            connection = db.connection().connection.driver_connection
            assert isinstance(connection, sqlite3.Connection)
            yield db, connection
            db.rollback()

    def after(self, script: str, heads: Sequence[NotedHead] = ()) -> AuditReport:
        """The audit after a script's statements, each of which changes something."""
        with self.opened() as (db, connection):
            for statement in statements(script):
                assert connection.execute(statement).rowcount != 0, "the damage met no row"
            return audit(db, heads=heads)

    def close(self) -> None:
        self._engine.dispose()


def statements(script: str) -> Iterator[str]:
    """The statements of an SQL script, one after the other."""
    said = ""
    for part in script.split(";"):
        said += part + ";"
        if said.strip(" ;\n") and sqlite3.complete_statement(said):
            yield said
            said = ""
    assert not said.strip(" ;\n"), said


def columns() -> Iterator[tuple[str, str]]:
    """Every column of every table."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns if table.name in TABLES else ():
            yield table.name, column.name


@dataclass(frozen=True)
class Damage:
    """What was done to a column."""

    column: str
    before: Any
    after: Any
    key: tuple[Any, ...]
    """Of the row."""

    def named_in(self, text: str) -> bool:
        """Whether a finding names the column, or the row by its key or by what stood or stands there."""
        names = (self.column, self.before, self.after, *self.key)
        return any(str(name) in text for name in names if name not in (None, ""))


def corrupt(connection: sqlite3.Connection, table: str, column: str) -> Damage:
    """Change one column of the first row that has a value there, as plausibly as its type allows.

    Texts and keys become those of another row, instants another hour, numbers about double, what is true false.
    A column that has no value anywhere gets one.
    """
    kind = Base.metadata.tables[table].columns[column]
    keys = [c.name for c in Base.metadata.tables[table].primary_key.columns]
    order = ", ".join(keys)
    some = f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN ('', '{{}}', '[]', 0)"
    row = connection.execute(f"{some} ORDER BY {order} LIMIT 1").fetchone()
    if row is None:
        row = connection.execute(f"SELECT rowid, {column} FROM {table} ORDER BY {order} LIMIT 1").fetchone()
    assert row is not None, f"the day has no row of {table}"
    rowid, before = row
    key = tuple(connection.execute(f"SELECT {order} FROM {table} WHERE rowid = ?", (rowid,)).fetchone())
    after = _other(connection, table, kind, before)
    assert after != before
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (after, rowid))
    return Damage(column, before, after, key)


def _other(connection: sqlite3.Connection, table: str, column: Column[Any], before: Any) -> Any:
    plain = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    if isinstance(plain, JSON) or column.name == "data":
        value = json.loads(before) if before is not None else []
        return json.dumps([*value, "x"] if isinstance(value, list) else value | {"x": 1})
    if plain.python_type is bool:
        return int(not before)
    if plain.python_type is datetime:
        at = datetime.fromisoformat(before) if before is not None else datetime(2026, 9, 1, tzinfo=UTC)
        return (at + A_TARIFF_HOUR).isoformat(sep=" ")
    if plain.python_type in (int, float):
        return 7 if before is None else 2 * before + 7
    source, name = table, column.name
    for key in column.foreign_keys:
        source, name = key.column.table.name, key.column.name
    if len(column.table.primary_key.columns) > 1 or not column.primary_key:
        other = connection.execute(
            f"SELECT {name} FROM {source} WHERE {name} IS NOT NULL AND {name} NOT IN (?, '') LIMIT 1", (before or "",)
        ).fetchone()
        if other is not None:
            return other[0]
    return f"{before or ''}x"
