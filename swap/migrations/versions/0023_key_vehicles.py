"""Keys of machines may have vehicles of their own, as accounts of drivers do.

Revision: 0023, after 0022.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_key") as table:
        table.add_column(sa.Column("vehicle_ids", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("api_key") as table:
        table.alter_column("vehicle_ids", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("api_key") as table:
        table.drop_column("vehicle_ids")
