"""Answers kept under the callers' keys, instead of keys on bookings and swaps.

Revision: 0018, after 0017.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

KEYED = ("booking", "swap")


def upgrade() -> None:
    op.create_table(
        "kept_answer",
        sa.Column("organisation_id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "key", name=op.f("pk_kept_answer")),
    )
    op.create_index("ix_kept_answer_at", "kept_answer", ["at"])
    for name in KEYED:
        with op.batch_alter_table(name) as table:
            table.drop_constraint(op.f(f"uq_{name}_station_id_vehicle_id_idempotency_key"), type_="unique")
            table.drop_column("idempotency_key")


def downgrade() -> None:
    for name in KEYED:
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("idempotency_key", sa.String(64), nullable=True))
            table.create_unique_constraint(
                op.f(f"uq_{name}_station_id_vehicle_id_idempotency_key"),
                ["station_id", "vehicle_id", "idempotency_key"],
            )
    op.drop_index("ix_kept_answer_at", table_name="kept_answer")
    op.drop_table("kept_answer")
