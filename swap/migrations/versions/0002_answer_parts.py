"""Answers to requests as codes and values beside the English text.

Revision: 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("control_request", sa.Column("answer_parts", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("control_request", "answer_parts")
