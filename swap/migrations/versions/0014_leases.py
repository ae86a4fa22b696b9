"""Lease contracts, custody of packs, and readings that rents rest on.

Revision: 0014, after 0013.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
KEPT = ("lease_version", "lease_event", "custody_move", "reading")
"""Tables whose rows are never changed."""

STATES = ("active", "draft", "ended", "offered", "settled", "signed", "suspended", "withdrawn")
ORIGINS = ("entered", "imported", "journal", "swap")
QUANTITIES = ("counter_kwh", "energy_kwh", "energy_price", "engine_h", "odometer_km", "soh_pct", "tonnes")


def _known(column: str, codes: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(code) for code in codes)})"


def upgrade() -> None:
    op.create_table(
        "lease_contract",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("lessor_id", sa.String(32), nullable=False),
        sa.Column("lessee_id", sa.String(32), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("first_day", sa.String(10), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.ForeignKeyConstraint(["lessor_id"], ["party.id"], name=op.f("fk_lease_contract_lessor_id")),
        sa.ForeignKeyConstraint(["lessee_id"], ["party.id"], name=op.f("fk_lease_contract_lessee_id")),
        sa.CheckConstraint(_known("state", STATES), name=op.f("ck_lease_contract_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease_contract")),
    )
    op.create_index("ix_lease_contract_by_start", "lease_contract", ["first_day", "id"])
    op.create_index("ix_lease_contract_by_lessee", "lease_contract", ["lessee_id", "first_day", "id"])
    op.create_index("ix_lease_contract_by_state", "lease_contract", ["state", "id"])
    op.create_table(
        "lease_version",
        sa.Column("contract_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("effective_day", sa.String(10), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("rated_kwh", sa.Text(), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.Column("made_by", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["contract_id"], ["lease_contract.id"], name=op.f("fk_lease_version_contract_id")),
        sa.PrimaryKeyConstraint("contract_id", "version", name=op.f("pk_lease_version")),
    )
    op.create_table(
        "lease_vehicle",
        sa.Column("contract_id", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("vehicle_id", sa.String(20), nullable=False),
        sa.ForeignKeyConstraint(["contract_id"], ["lease_contract.id"], name=op.f("fk_lease_vehicle_contract_id")),
        sa.ForeignKeyConstraint(["vehicle_id"], ["vehicle.id"], name=op.f("fk_lease_vehicle_vehicle_id")),
        sa.PrimaryKeyConstraint("contract_id", "version", "vehicle_id", name=op.f("pk_lease_vehicle")),
    )
    op.create_index(op.f("ix_lease_vehicle_vehicle_id"), "lease_vehicle", ["vehicle_id"])
    op.create_table(
        "lease_event",
        sa.Column("contract_id", sa.String(32), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["contract_id"], ["lease_contract.id"], name=op.f("fk_lease_event_contract_id")),
        sa.PrimaryKeyConstraint("contract_id", "no", name=op.f("pk_lease_event")),
    )
    op.create_table(
        "rent_run",
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("done_at", AT, nullable=False),
        sa.Column("charges", sa.Integer(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_rent_run")),
    )
    op.create_table(
        "custody_mark",
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("station_id", name=op.f("pk_custody_mark")),
    )
    op.create_table(
        "custody_move",
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("pack_id", sa.String(24), nullable=False),
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("vehicle_id", sa.String(20), nullable=True),
        sa.Column("holder_id", sa.String(32), nullable=False),
        sa.Column("swap_id", sa.String(32), nullable=True),
        sa.Column("energy_centi_kwh", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("station_id", "seq", name=op.f("pk_custody_move")),
    )
    op.create_index("ix_custody_move_by_pack", "custody_move", ["pack_id", "at", "station_id", "seq"])
    op.create_index("ix_custody_move_by_vehicle", "custody_move", ["vehicle_id", "at", "pack_id"])
    op.create_index(op.f("ix_custody_move_swap_id"), "custody_move", ["swap_id"])
    op.create_table(
        "reading",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(32), nullable=False),
        sa.Column("quantity", sa.String(24), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("value_1e4", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.CheckConstraint(_known("origin", ORIGINS), name=op.f("ck_reading_origin_known")),
        sa.CheckConstraint(_known("quantity", QUANTITIES), name=op.f("ck_reading_quantity_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading")),
        sa.UniqueConstraint("subject", "quantity", "at", "no", name=op.f("uq_reading_subject_quantity_at_no")),
    )
    op.create_index("ix_reading_by_subject", "reading", ["quantity", "subject", "at"])
    for table in KEPT:
        _keep(table)


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
    for table in (
        "reading", "custody_move", "custody_mark", "rent_run", "lease_event", "lease_vehicle", "lease_version",
        "lease_contract",
    ):  # fmt: skip
        op.drop_table(table)
