"""Sun and storage in the samples of the site's power.

Revision: 0008, after 0007.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = ("pv_kw", "storage_kw", "storage_kwh")


def upgrade() -> None:
    with op.batch_alter_table("site_sample") as table:
        for name in COLUMNS:
            table.add_column(sa.Column(name, sa.Float(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("site_sample") as table:
        for name in reversed(COLUMNS):
            table.drop_column(name)
