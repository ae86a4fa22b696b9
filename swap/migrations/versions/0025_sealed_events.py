"""Events of contracts, and readings, keep a digest of what they say, as rows of payments do.

Revision: 0025, after 0023.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from swap.journal.canonical import canonical_instant, canonical_json

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLES = {
    "lease_event": (("contract_id", "no"), ("at", "kind", "day", "actor", "data")),
    "reading": (("id",), ("subject", "quantity", "at", "no", "value_1e4", "origin", "actor", "made_at")),
}
"""Keys, and columns that are digested beside those of the key; the number of a reading is no part of what it says."""


def upgrade() -> None:
    for table, (keys, columns) in TABLES.items():
        _unlock(table)
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("digest", sa.String(64), nullable=False, server_default=""))
        _seal(table, keys, (*(key for key in keys if key != "id"), *columns))
        with op.batch_alter_table(table) as batch:
            batch.alter_column("digest", existing_type=sa.String(64), server_default=None)
        _lock(table)


def _seal(table: str, keys: tuple[str, ...], columns: tuple[str, ...]) -> None:
    connection = op.get_bind()
    names = ", ".join(dict.fromkeys((*keys, *columns)))
    where = " AND ".join(f"{key} = :{key}" for key in keys)
    for row in connection.execute(sa.text(f"SELECT {names} FROM {table}")).mappings().all():
        said = {name: _told(name, row[name]) for name in columns if row[name] is not None}
        digest = hashlib.sha256(canonical_json({"table": table, "rows": [said]}).encode()).hexdigest()
        values = {"digest": digest, **{key: row[key] for key in keys}}
        connection.execute(sa.text(f"UPDATE {table} SET digest = :digest WHERE {where}"), values)


def _told(name: str, value: Any) -> object:
    if name == "data":
        return json.loads(value) if isinstance(value, str) else value
    if name not in ("at", "made_at"):
        return value
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return canonical_instant(at.replace(tzinfo=UTC) if at.tzinfo is None else at)


def downgrade() -> None:
    for table in TABLES:
        _unlock(table)
        with op.batch_alter_table(table) as batch:
            batch.drop_column("digest")
        _lock(table)


def _unlock(table: str) -> None:
    """On SQLite the triggers of a table go with it, when it is written anew; taken off first, so that it may be."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(f"DROP TRIGGER {table}_no_{action}")
    else:
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


def _lock(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END"
            )
    else:
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
