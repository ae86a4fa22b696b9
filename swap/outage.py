"""Which errors of a database mean that it is away for now: locked, refused, ended, full. All others are mistakes."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from swap.turns import TurnNotReached

_SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_POSTGRES_AWAY = (
    "08",  # connection
    "25006",  # read-only: a standby answers
    "40001",  # rolled back to be run again
    "40P01",
    "53",  # disk full, too many connections
    "55P03",  # a lock was not given in time
    "57014",  # cancelled, as by a time limit
    "57P",  # shutting down, starting up
    "58030",  # the server's disk
)


def is_away(error: BaseException) -> bool:
    """Whether the same transaction may succeed later without anybody changing the program."""
    if isinstance(error, PoolTimeout | TurnNotReached):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        return error.orig is not None and is_away(error.orig)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)  # absent where the driver itself refuses
        return code is not None and (code & 0xFF) in _SQLITE_AWAY
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_POSTGRES_AWAY)
    # psycopg has no state where there is no server to give one. Its class is looked up by name: it is an extra.
    return type(error).__module__.partition(".")[0] == "psycopg" and type(error).__name__ == "OperationalError"


def is_no_database(error: BaseException) -> bool:
    """Whether a file is something else than an SQLite database, or a damaged one."""
    if isinstance(error, DBAPIError):
        return error.orig is not None and is_no_database(error.orig)
    code = getattr(error, "sqlite_errorcode", 0) if isinstance(error, sqlite3.Error) else 0
    return (code & 0xFF) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
