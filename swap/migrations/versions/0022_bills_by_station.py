"""A bill names its station itself: a database that holds journals of stations and no swaps makes bills too.

Revision: 0022, after 0021.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _unlock()
    with op.batch_alter_table("bill") as batch:
        batch.add_column(sa.Column("station_id", sa.String(32), nullable=True))
    op.execute("UPDATE bill SET station_id = (SELECT station_id FROM swap WHERE swap.id = bill.swap_id)")
    with op.batch_alter_table("bill") as batch:
        batch.alter_column("station_id", existing_type=sa.String(32), nullable=False)
        batch.create_foreign_key(op.f("fk_bill_station_id"), "station", ["station_id"], ["id"])
        batch.drop_constraint(op.f("fk_bill_swap_id"), type_="foreignkey")
    _lock()


def downgrade() -> None:
    _unlock()
    with op.batch_alter_table("bill") as batch:
        batch.create_foreign_key(op.f("fk_bill_swap_id"), "swap", ["swap_id"], ["id"])
        batch.drop_constraint(op.f("fk_bill_station_id"), type_="foreignkey")
        batch.drop_column("station_id")
    _lock()


def _unlock() -> None:
    """On SQLite the triggers of a table go with it, when it is written anew; taken off first, so that it may be."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(f"DROP TRIGGER bill_no_{action}")
    else:
        op.execute("ALTER TABLE bill DISABLE TRIGGER USER")


def _lock() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER bill_no_{action} BEFORE {action.upper()} ON bill "
                "BEGIN SELECT RAISE(ABORT, 'bill rows are never changed'); END"
            )
    else:
        op.execute("ALTER TABLE bill ENABLE TRIGGER USER")
