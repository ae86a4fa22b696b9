"""A contract tells the last version that counted without the lessee's signature, as earlier releases had it; vehicles
without a contract that a person has had served.

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

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("lease_contract") as batch:
        batch.add_column(sa.Column("last_unsigned_version", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("lease_contract") as batch:
        batch.alter_column("last_unsigned_version", existing_type=sa.Integer(), server_default=None)
    _count_as_signed()
    op.create_table(
        "vehicle_override",
        sa.Column("vehicle_id", sa.String(20), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("until_at", AT, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint(
            "kind IN ('credit_override', 'safety_override')", name=op.f("ck_vehicle_override_kind_known")
        ),
        sa.ForeignKeyConstraint(["vehicle_id"], ["vehicle.id"], name=op.f("fk_vehicle_override_vehicle_id")),
        sa.PrimaryKeyConstraint("vehicle_id", "no", name=op.f("pk_vehicle_override")),
    )
    _keep("vehicle_override")


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


def _keep(table: str) -> None:
    """Refuse update and delete of a table's rows."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END"
            )
        return
    for trigger, when, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER {table}_no_{trigger} BEFORE {when} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    op.drop_table("vehicle_override")
    with op.batch_alter_table("lease_contract") as batch:
        batch.drop_column("last_unsigned_version")
