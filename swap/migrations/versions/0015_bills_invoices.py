"""Lines of bills say who sells to whom, with which tax and at which price of which instant; invoices and closed months.

Lines that are there get what could not be otherwise until now: sold by the station to the payer, prices with tax in,
at the rates assumed for electricity and service.

Revision: 0015, after 0014.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
IMMUTABLE = ("billing_period", "invoice", "invoice_line", "settlement", "settlement_share")
SALES = "('collected', 'own')"
PERIODS = "('critical', 'deep_valley', 'flat', 'peak', 'valley')"
ASSUMED = {"energy": ("electricity", 1300), "service": ("service", 600)}


def upgrade() -> None:
    _unlock_lines()
    _lines()
    _lock_lines()
    _invoices()
    _settlements()
    for table in IMMUTABLE:
        _lock(table)


def _unlock_lines() -> None:
    """On SQLite the triggers of a table go with it, when it is written anew."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute("ALTER TABLE bill_line DISABLE TRIGGER USER")


def _lock_lines() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _lock("bill_line")
    else:
        op.execute("ALTER TABLE bill_line ENABLE TRIGGER USER")


def _lines() -> None:
    with op.batch_alter_table("bill_line") as batch:
        for column in (
            sa.Column("buyer_id", sa.String(32), nullable=True),
            sa.Column("sale", sa.String(16), nullable=False, server_default="own"),
            sa.Column("for_id", sa.String(32), nullable=True),
            sa.Column("tax_included", sa.Boolean(), nullable=False, server_default=sa.true()),
            sa.Column("tax_category", sa.String(32), nullable=False, server_default=""),
            sa.Column("tax_rate_bp", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("tax_fen", sa.BigInteger(), nullable=False, server_default="0"),
            sa.Column("priced_at", AT, nullable=True),
            sa.Column("tariff_period", sa.String(16), nullable=True),
            sa.Column("prices_seq", sa.Integer(), nullable=True),
            sa.Column("contract_id", sa.String(32), nullable=True),
            sa.Column("contract_version", sa.Integer(), nullable=True),
        ):
            batch.add_column(column)
    op.execute("UPDATE bill_line SET buyer_id = (SELECT payer_id FROM bill WHERE bill.id = bill_line.bill_id)")
    for kind, (category, rate_bp) in ASSUMED.items():
        # half up, away from zero: a b + (10000 + b) / 2 over 10000 + b, in whole numbers
        tax = f"(2 * abs(amount_fen) * {rate_bp} + {10000 + rate_bp}) / {2 * (10000 + rate_bp)}"
        op.execute(
            f"UPDATE bill_line SET tax_category = '{category}', tax_rate_bp = {rate_bp}, "
            f"tax_fen = CASE WHEN amount_fen < 0 THEN -1 ELSE 1 END * ({tax}) WHERE kind = '{kind}'"
        )
    with op.batch_alter_table("bill_line") as batch:
        batch.alter_column("buyer_id", existing_type=sa.String(32), nullable=False)
        plain: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
            ("sale", sa.String(16)),
            ("tax_included", sa.Boolean()),
            ("tax_category", sa.String(32)),
            ("tax_rate_bp", sa.Integer()),
            ("tax_fen", sa.BigInteger()),
        )
        for name, column_type in plain:
            batch.alter_column(name, existing_type=column_type, existing_nullable=False, server_default=None)
        batch.create_check_constraint(op.f("ck_bill_line_sale_known"), f"sale IN {SALES}")
        batch.create_check_constraint(op.f("ck_bill_line_tariff_period_known"), f"tariff_period IN {PERIODS}")
        batch.create_check_constraint(op.f("ck_bill_line_tax_rate"), "tax_rate_bp >= 0 AND tax_rate_bp <= 10000")
        batch.create_foreign_key(op.f("fk_bill_line_buyer_id"), "party", ["buyer_id"], ["id"])
        batch.create_foreign_key(op.f("fk_bill_line_for_id"), "party", ["for_id"], ["id"])


def _invoices() -> None:
    op.create_table(
        "billing_period",
        sa.Column("seller_id", sa.String(32), nullable=False),
        sa.Column("period", sa.String(7), nullable=False),
        sa.Column("closed_at", AT, nullable=False),
        sa.Column("closed_by", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["seller_id"], ["party.id"], name=op.f("fk_billing_period_seller_id")),
        sa.PrimaryKeyConstraint("seller_id", "period", name=op.f("pk_billing_period")),
    )
    op.create_table(
        "invoice",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("seller_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("buyer_id", sa.String(32), nullable=False),
        sa.Column("period", sa.String(7), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("corrects_id", sa.String(32), nullable=True),
        sa.Column("net_fen", sa.BigInteger(), nullable=False),
        sa.Column("tax_fen", sa.BigInteger(), nullable=False),
        sa.Column("gross_fen", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", AT, nullable=False),
        sa.CheckConstraint("seller_id <> buyer_id", name=op.f("ck_invoice_two_firms")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_invoice_number")),
        sa.CheckConstraint("net_fen + tax_fen = gross_fen", name=op.f("ck_invoice_adds_up")),
        sa.CheckConstraint(
            "(kind = 'invoice' AND corrects_id IS NULL AND gross_fen >= 0)"
            " OR (kind = 'red' AND corrects_id IS NOT NULL AND gross_fen <= 0)",
            name=op.f("ck_invoice_red_names_what_it_corrects"),
        ),
        sa.CheckConstraint("kind IN ('invoice', 'red')", name=op.f("ck_invoice_kind_known")),
        sa.ForeignKeyConstraint(["seller_id"], ["party.id"], name=op.f("fk_invoice_seller_id")),
        sa.ForeignKeyConstraint(["buyer_id"], ["party.id"], name=op.f("fk_invoice_buyer_id")),
        sa.ForeignKeyConstraint(["corrects_id"], ["invoice.id"], name=op.f("fk_invoice_corrects_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("seller_id", "number", name=op.f("uq_invoice_seller_id_number")),
    )
    op.create_index("ix_invoice_by_period", "invoice", ["seller_id", "period", "number"])
    op.create_index("ix_invoice_by_buyer", "invoice", ["buyer_id", "issued_at", "id"])
    op.create_index("ix_invoice_by_issue", "invoice", ["issued_at", "id"])
    op.create_table(
        "invoice_line",
        sa.Column("invoice_id", sa.String(32), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("bill_id", sa.String(32), nullable=True),
        sa.Column("bill_line_no", sa.Integer(), nullable=True),
        sa.Column("charge_id", sa.String(32), nullable=True),
        sa.Column("source_digest", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("sale", sa.String(16), nullable=False),
        sa.Column("for_id", sa.String(32), nullable=True),
        sa.Column("quantity_1e6", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("unit_price_1e4_yuan", sa.BigInteger(), nullable=False),
        sa.Column("tax_included", sa.Boolean(), nullable=False),
        sa.Column("tax_category", sa.String(32), nullable=False),
        sa.Column("tax_rate_bp", sa.Integer(), nullable=False),
        sa.Column("net_fen", sa.BigInteger(), nullable=False),
        sa.Column("tax_fen", sa.BigInteger(), nullable=False),
        sa.Column("gross_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(bill_id IS NULL) = (bill_line_no IS NULL) AND (bill_id IS NULL) <> (charge_id IS NULL)",
            name=op.f("ck_invoice_line_one_source"),
        ),
        sa.CheckConstraint("net_fen + tax_fen = gross_fen", name=op.f("ck_invoice_line_adds_up")),
        sa.CheckConstraint(f"sale IN {SALES}", name=op.f("ck_invoice_line_sale_known")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name=op.f("fk_invoice_line_invoice_id")),
        sa.ForeignKeyConstraint(
            ["bill_id", "bill_line_no"],
            ["bill_line.bill_id", "bill_line.line_no"],
            name=op.f("fk_invoice_line_bill_id_bill_line_no"),
        ),
        sa.ForeignKeyConstraint(["charge_id"], ["charge.id"], name=op.f("fk_invoice_line_charge_id")),
        sa.ForeignKeyConstraint(["for_id"], ["party.id"], name=op.f("fk_invoice_line_for_id")),
        sa.PrimaryKeyConstraint("invoice_id", "line_no", name=op.f("pk_invoice_line")),
        sa.UniqueConstraint("bill_id", "bill_line_no", name=op.f("uq_invoice_line_bill_id_bill_line_no")),
        sa.UniqueConstraint("charge_id", name=op.f("uq_invoice_line_charge_id")),
    )


def _settlements() -> None:
    op.create_table(
        "settlement",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("seller_id", sa.String(32), nullable=False),
        sa.Column("period", sa.String(7), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("prices_seq", sa.Integer(), nullable=False),
        sa.Column("income_fen", sa.BigInteger(), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.ForeignKeyConstraint(["seller_id"], ["party.id"], name=op.f("fk_settlement_seller_id")),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_settlement_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlement")),
        sa.UniqueConstraint(
            "seller_id",
            "period",
            "station_id",
            "kind",
            "prices_seq",
            name=op.f("uq_settlement_seller_id_period_station_id_kind_prices_seq"),
        ),
    )
    op.create_table(
        "settlement_share",
        sa.Column("settlement_id", sa.String(32), nullable=False),
        sa.Column("party_id", sa.String(32), nullable=False),
        sa.Column("share_bp", sa.Integer(), nullable=False),
        sa.Column("takes_rest", sa.Boolean(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["settlement_id"], ["settlement.id"], name=op.f("fk_settlement_share_settlement_id")),
        sa.ForeignKeyConstraint(["party_id"], ["party.id"], name=op.f("fk_settlement_share_party_id")),
        sa.PrimaryKeyConstraint("settlement_id", "party_id", name=op.f("pk_settlement_share")),
    )


def _lock(table: str) -> None:
    """Rows are never changed."""
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
    for table in reversed(IMMUTABLE):
        op.drop_table(table)
    _unlock_lines()
    with op.batch_alter_table("bill_line") as batch:
        batch.drop_constraint(op.f("fk_bill_line_buyer_id"), type_="foreignkey")
        batch.drop_constraint(op.f("fk_bill_line_for_id"), type_="foreignkey")
        batch.drop_constraint(op.f("ck_bill_line_sale_known"), type_="check")
        batch.drop_constraint(op.f("ck_bill_line_tariff_period_known"), type_="check")
        batch.drop_constraint(op.f("ck_bill_line_tax_rate"), type_="check")
        for name in (
            "contract_version",
            "contract_id",
            "prices_seq",
            "tariff_period",
            "priced_at",
            "tax_fen",
            "tax_rate_bp",
            "tax_category",
            "tax_included",
            "for_id",
            "sale",
            "buyer_id",
        ):
            batch.drop_column(name)
    _lock_lines()
