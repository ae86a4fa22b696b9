"""A contract tells the last version that counted without the lessee's signature, as earlier releases had it.

Revision: 0027, after 0026.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("lease_contract") as batch:
        batch.add_column(sa.Column("last_unsigned_version", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("lease_contract") as batch:
        batch.alter_column("last_unsigned_version", existing_type=sa.Integer(), server_default=None)
    _count_as_signed()


def _count_as_signed() -> None:
    """Of each contract the number of the last version that was put on record after it was signed."""
    connection = op.get_bind()
    found = connection.execute(
        sa.text(
            "SELECT changed.contract_id, changed.data FROM lease_event AS changed "
            "JOIN lease_event AS signed ON signed.contract_id = changed.contract_id AND signed.kind = 'sign' "
            "WHERE changed.kind = 'revised' AND changed.no > signed.no ORDER BY changed.contract_id, changed.no"
        )
    )
    last = {contract: json.loads(data) if isinstance(data, str) else data for contract, data in found.all()}
    for contract_id, data in last.items():
        connection.execute(
            sa.text("UPDATE lease_contract SET last_unsigned_version = :version WHERE id = :contract"),
            {"version": data["version"], "contract": contract_id},
        )


def downgrade() -> None:
    with op.batch_alter_table("lease_contract") as batch:
        batch.drop_column("last_unsigned_version")
