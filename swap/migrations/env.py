"""Alembic's environment: runs on the engine given in `config.attributes["engine"]`, without an ini file.

All pending migrations run in one transaction on both engines, so a failed upgrade leaves the schema as it
was, and two processes that upgrade at the same time take turns.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine, text

from swap.tables import Base

_UPGRADE_LOCK_KEY = 7_310_420
"""Advisory lock number under which PostgreSQL lets one process upgrade at a time."""


def _run_on(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite has no ALTER for most changes
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run(engine: Engine) -> None:
    with engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            # A batch change drops the old table; with enforcement on, its children would go with it.
            # The setting can only be changed outside a transaction.
            _pragma(connection, "foreign_keys=OFF")
        try:
            with connection.begin():
                if not sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK_KEY})
                _run_on(connection)
                if sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
                    raise RuntimeError(f"the upgrade would leave {len(broken)} broken reference(s): {broken[:5]}")
        finally:
            if sqlite:
                _pragma(connection, "foreign_keys=ON")


def _pragma(connection: Connection, setting: str) -> None:
    dbapi = connection.connection.dbapi_connection
    assert dbapi is not None
    cursor = dbapi.cursor()
    cursor.execute(f"PRAGMA {setting}")
    cursor.close()


if context.is_offline_mode():
    raise RuntimeError("migrations run on a connected database only")
_run(context.config.attributes["engine"])
