"""Statements are compiled once in a process, whichever database they are for.

SQLAlchemy keeps what it has compiled by engine, and each test has databases, and so engines, of its own: without this
every test would compile each statement of the product again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

_COMPILED: dict[Hashable, Any] = {}
"""By dialect and statement."""


class OneSqlite(SQLiteDialect_pysqlite):
    """SQLite as ever; its engines are equal, so what is compiled for one is for all."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class OnePostgres(PGDialect_psycopg):
    """PostgreSQL by psycopg as ever; a worker has one server."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


_really_begin = Engine.__init__


def _begin(self: Engine, *args: Any, **named: Any) -> None:
    _really_begin(self, *args, **named)
    self._compiled_cache = _COMPILED


def compile_once() -> None:
    """From now on engines of this process share what they compile.

    Without a listener: of an engine that has one, each statement asks for all that could listen to it.
    """
    for name in ("sqlite", "sqlite.pysqlite"):
        registry.register(name, __name__, OneSqlite.__name__)
    registry.register("postgresql.psycopg", __name__, OnePostgres.__name__)
    Engine.__init__ = _begin  # type: ignore[method-assign]
