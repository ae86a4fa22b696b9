"""Power samples of a station by their time: a list of a time, and each page of it, reads no others.

Revision: 0021, after 0020.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_site_sample_by_time", "site_sample", ["station_id", "at", "id"])
    op.drop_index("ix_site_sample_at", table_name="site_sample")


def downgrade() -> None:
    op.create_index("ix_site_sample_at", "site_sample", ["at"])
    op.drop_index("ix_site_sample_by_time", table_name="site_sample")
