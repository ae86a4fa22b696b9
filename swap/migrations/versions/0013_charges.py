"""Charges: what one firm owes another, besides the bills of swaps.

Revision: 0013, after 0012.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "charge",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("source", sa.String(160), nullable=False),
        sa.Column("seller_id", sa.String(32), nullable=False),
        sa.Column("buyer_id", sa.String(32), nullable=False),
        sa.Column("sale", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("contract_id", sa.String(32), nullable=True),
        sa.Column("contract_version", sa.Integer(), nullable=True),
        sa.Column("station_id", sa.String(32), nullable=True),
        sa.Column("vehicle_id", sa.String(20), nullable=True),
        sa.Column("pack_id", sa.String(24), nullable=True),
        sa.Column("swap_id", sa.String(32), nullable=True),
        sa.Column("period", sa.String(7), nullable=False),
        sa.Column("from_at", AT, nullable=True),
        sa.Column("until_at", AT, nullable=True),
        sa.Column("quantity_1e6", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("unit_price_1e4_yuan", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("tax_included", sa.Boolean(), nullable=False),
        sa.Column("tax_category", sa.String(32), nullable=False),
        sa.Column("tax_rate_bp", sa.Integer(), nullable=False),
        sa.Column("corrects_id", sa.String(32), nullable=True),
        sa.Column("basis", sa.JSON(), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.CheckConstraint("seller_id <> buyer_id", name=op.f("ck_charge_two_firms")),
        sa.CheckConstraint("sale IN ('own', 'collected')", name=op.f("ck_charge_sale")),
        sa.CheckConstraint("tax_rate_bp >= 0 AND tax_rate_bp <= 10000", name=op.f("ck_charge_tax_rate")),
        sa.CheckConstraint("(from_at IS NULL) = (until_at IS NULL)", name=op.f("ck_charge_span")),
        sa.ForeignKeyConstraint(["seller_id"], ["party.id"], name=op.f("fk_charge_seller_id")),
        sa.ForeignKeyConstraint(["buyer_id"], ["party.id"], name=op.f("fk_charge_buyer_id")),
        sa.ForeignKeyConstraint(["corrects_id"], ["charge.id"], name=op.f("fk_charge_corrects_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge")),
        sa.UniqueConstraint("source", name=op.f("uq_charge_source")),
    )
    op.create_index("ix_charge_by_period", "charge", ["period", "seller_id", "buyer_id", "id"])
    op.create_index("ix_charge_by_contract", "charge", ["contract_id", "period", "id"])
    op.create_index("ix_charge_by_buyer", "charge", ["buyer_id", "made_at", "id"])
    op.create_index(op.f("ix_charge_corrects_id"), "charge", ["corrects_id"])
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER charge_no_{action} BEFORE {action.upper()} ON charge "
                "BEGIN SELECT RAISE(ABORT, 'charge rows are never changed'); END"
            )
        return
    for trigger, when, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER charge_no_{trigger} BEFORE {when} ON charge "
            f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    op.drop_table("charge")
