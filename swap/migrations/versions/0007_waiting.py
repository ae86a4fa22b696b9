"""What each lane and each waiting truck waits for, as a fact of the station; nothing until a controller has looked.

Revision: 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("station") as table:
        table.add_column(sa.Column("waiting", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("station") as table:
        table.alter_column("waiting", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("station") as table:
        table.drop_column("waiting")
