"""Lines of invoices may be there before their invoice, as a draft that may be deleted; who is closing a month in lots.

Revision: 0026, after 0025.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

KEY = "fk_invoice_line_invoice_id"


def upgrade() -> None:
    op.create_table(
        "closing_claim",
        sa.Column("seller_id", sa.String(32), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["seller_id"], ["party.id"], name=op.f("fk_closing_claim_seller_id")),
        sa.PrimaryKeyConstraint("seller_id", name=op.f("pk_closing_claim")),
    )
    _unlock()
    with op.batch_alter_table("invoice_line") as batch:
        batch.drop_constraint(op.f(KEY), type_="foreignkey")
    if op.get_bind().dialect.name == "sqlite":
        _lock("DELETE", "WHEN EXISTS (SELECT 1 FROM invoice WHERE id = OLD.invoice_id) ")
        _lock("UPDATE")
        return
    op.execute(
        "CREATE FUNCTION refuse_change_of_invoiced() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM invoice WHERE id = OLD.invoice_id) "
        "THEN RETURN OLD; END IF; "
        "RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME; END $$"
    )
    _lock("UPDATE OR DELETE", function="refuse_change_of_invoiced")


def downgrade() -> None:
    _unlock()
    op.execute("DELETE FROM invoice_line WHERE invoice_id NOT IN (SELECT id FROM invoice)")
    with op.batch_alter_table("invoice_line") as batch:
        batch.create_foreign_key(op.f(KEY), "invoice", ["invoice_id"], ["id"])
    if op.get_bind().dialect.name == "sqlite":
        _lock("DELETE")
        _lock("UPDATE")
    else:
        _lock("UPDATE OR DELETE", function="refuse_change")
        op.execute("DROP FUNCTION refuse_change_of_invoiced()")
    op.drop_table("closing_claim")


def _unlock() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(f"DROP TRIGGER invoice_line_no_{action}")
    else:
        op.execute("DROP TRIGGER invoice_line_no_change ON invoice_line")


def _lock(actions: str, when: str = "", *, function: str = "") -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER invoice_line_no_{actions.lower()} BEFORE {actions} ON invoice_line {when}"
            "BEGIN SELECT RAISE(ABORT, 'invoice_line rows are never changed'); END"
        )
    else:
        op.execute(
            f"CREATE TRIGGER invoice_line_no_change BEFORE {actions} ON invoice_line "
            f"FOR EACH ROW EXECUTE FUNCTION {function}()"
        )
