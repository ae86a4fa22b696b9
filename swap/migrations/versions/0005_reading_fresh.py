"""Whether the BMS of a bay is heard, as a fact of the bay; unknown until a controller has looked.

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("bay") as table:
        table.add_column(sa.Column("reading_fresh", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("bay") as table:
        table.alter_column("reading_fresh", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("bay") as table:
        table.drop_column("reading_fresh")
