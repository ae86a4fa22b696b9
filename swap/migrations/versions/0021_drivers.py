"""Accounts of drivers may have vehicles of their own; power samples of a station by their time, as lists read them.

Revision: 0021, after 0020.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("user_account") as table:
        table.add_column(sa.Column("vehicle_ids", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("user_account") as table:
        table.alter_column("vehicle_ids", server_default=None)
    op.create_index("ix_site_sample_by_time", "site_sample", ["station_id", "at", "id"])
    op.drop_index("ix_site_sample_at", table_name="site_sample")


def downgrade() -> None:
    op.create_index("ix_site_sample_at", "site_sample", ["at"])
    op.drop_index("ix_site_sample_by_time", table_name="site_sample")
    with op.batch_alter_table("user_account") as table:
        table.drop_column("vehicle_ids")
