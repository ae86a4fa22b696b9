"""The ledger, and payments.

Revision: 0017, after 0016.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
PAYMENTS = (
    "payment", "payment_allocation", "refund", "bank_line", "bank_line_end", "acquirer_order", "acquirer_call",
    "wallet_credit", "net_statement",
)  # fmt: skip
LEDGER = ("ledger_account", "ledger_transfer", "ledger_leg")
FIT = "SELECT count(*) FROM ledger_leg WHERE transfer_id = NEW.id AND at = NEW.at AND kind = NEW.kind"
COUNT = "SELECT count(*) FROM ledger_leg WHERE transfer_id = NEW.id"
SUM = "SELECT coalesce(sum(amount_fen), 0) FROM ledger_leg WHERE transfer_id = NEW.id"
UNFIT = f"({FIT}) <> NEW.legs OR ({COUNT}) <> NEW.legs OR ({SUM}) <> NEW.total_fen"
SEALED = "EXISTS (SELECT 1 FROM ledger_transfer WHERE id = NEW.transfer_id)"


def upgrade() -> None:
    op.create_table(
        "ledger_transfer",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("about", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("settles_id", sa.String(64), nullable=True),
        sa.Column("at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=True),
        sa.Column("legs", sa.Integer(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("source_digest", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint(
            "(kind = 'pending') = (expires_at IS NOT NULL)", name=op.f("ck_ledger_transfer_pending_expires")
        ),
        sa.CheckConstraint(
            "kind <> 'pending' OR settles_id IS NULL", name=op.f("ck_ledger_transfer_pending_settles_nothing")
        ),
        sa.CheckConstraint(
            "kind <> 'void' OR (settles_id IS NOT NULL AND legs = 0)", name=op.f("ck_ledger_transfer_void_settles")
        ),
        sa.CheckConstraint("kind IN ('pending', 'posted', 'void')", name=op.f("ck_ledger_transfer_kind_known")),
        sa.ForeignKeyConstraint(["settles_id"], ["ledger_transfer.id"], name=op.f("fk_ledger_transfer_settles_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_transfer")),
        sa.UniqueConstraint("settles_id", name=op.f("uq_ledger_transfer_settles_id")),
    )
    op.create_index("ix_ledger_transfer_by_about", "ledger_transfer", ["about", "id"])
    op.create_index("ix_ledger_transfer_by_at", "ledger_transfer", ["at", "id"])
    op.create_index("ix_ledger_transfer_by_expiry", "ledger_transfer", ["kind", "expires_at", "id"])
    op.create_table(
        "acquirer_order",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("key", sa.String(96), nullable=False),
        sa.Column("payer_id", sa.String(32), nullable=False),
        sa.Column("payee_id", sa.String(32), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("target", sa.String(80), nullable=True),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("channel IN ('channel_a', 'channel_b')", name=op.f("ck_acquirer_order_channel_known")),
        sa.CheckConstraint("purpose IN ('debt', 'top_up')", name=op.f("ck_acquirer_order_purpose_known")),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_acquirer_order_amount")),
        sa.CheckConstraint("expires_at > made_at", name=op.f("ck_acquirer_order_lasts")),
        sa.ForeignKeyConstraint(["payee_id"], ["party.id"], name=op.f("fk_acquirer_order_payee_id")),
        sa.ForeignKeyConstraint(["payer_id"], ["party.id"], name=op.f("fk_acquirer_order_payer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acquirer_order")),
        sa.UniqueConstraint("payee_id", "key", name=op.f("uq_acquirer_order_payee_id_key")),
    )
    op.create_index("ix_acquirer_order_by_payer", "acquirer_order", ["payer_id", "made_at", "id"])
    op.create_table(
        "bank_line",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("firm_id", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("booked_on", sa.String(10), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("other_name", sa.String(200), nullable=False),
        sa.Column("other_account", sa.String(64), nullable=False),
        sa.Column("memo", sa.String(400), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("file_digest", sa.String(64), nullable=False),
        sa.Column("imported_at", AT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("amount_fen <> 0", name=op.f("ck_bank_line_amount")),
        sa.ForeignKeyConstraint(["firm_id"], ["party.id"], name=op.f("fk_bank_line_firm_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_line")),
        sa.UniqueConstraint("firm_id", "reference", name=op.f("uq_bank_line_firm_id_reference")),
    )
    op.create_index("ix_bank_line_by_day", "bank_line", ["firm_id", "booked_on", "id"])
    op.create_table(
        "ledger_account",
        sa.Column("id", sa.String(120), nullable=False),
        sa.Column("firm_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("detail", sa.String(48), nullable=False),
        sa.Column("opened_at", AT, nullable=False),
        sa.CheckConstraint(
            "kind IN ('bank', 'clearing', 'cost', 'deposit_held', 'deposit_paid', "
            "'income', 'payable', 'prepaid', 'receivable', 'tax_in', 'tax_out', 'unmatched', 'wallet')",
            name=op.f("ck_ledger_account_kind_known"),
        ),
        sa.ForeignKeyConstraint(["firm_id"], ["party.id"], name=op.f("fk_ledger_account_firm_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_account")),
        sa.UniqueConstraint("firm_id", "kind", "detail", name=op.f("uq_ledger_account_firm_id_kind_detail")),
    )
    op.create_table(
        "net_statement",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("first_id", sa.String(32), nullable=False),
        sa.Column("second_id", sa.String(32), nullable=False),
        sa.Column("until_at", AT, nullable=False),
        sa.Column("first_owes_fen", sa.BigInteger(), nullable=False),
        sa.Column("second_owes_fen", sa.BigInteger(), nullable=False),
        sa.Column("offset_fen", sa.BigInteger(), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("first_id < second_id", name=op.f("ck_net_statement_in_order")),
        sa.ForeignKeyConstraint(["first_id"], ["party.id"], name=op.f("fk_net_statement_first_id")),
        sa.ForeignKeyConstraint(["second_id"], ["party.id"], name=op.f("fk_net_statement_second_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_net_statement")),
        sa.UniqueConstraint(
            "first_id", "second_id", "until_at", name=op.f("uq_net_statement_first_id_second_id_until_at")
        ),
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("reference", sa.String(96), nullable=False),
        sa.Column("payer_id", sa.String(32), nullable=False),
        sa.Column("payee_id", sa.String(32), nullable=False),
        sa.Column("holder_id", sa.String(32), nullable=True),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", AT, nullable=False),
        sa.Column("basis", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("(method = 'wallet') = (holder_id IS NOT NULL)", name=op.f("ck_payment_wallet_of")),
        sa.CheckConstraint(
            "method IN ('bank', 'channel_a', 'channel_b', 'net', 'wallet')", name=op.f("ck_payment_method_known")
        ),
        sa.CheckConstraint("purpose IN ('debt', 'top_up')", name=op.f("ck_payment_purpose_known")),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_payment_amount")),
        sa.CheckConstraint("payer_id <> payee_id", name=op.f("ck_payment_two_firms")),
        sa.ForeignKeyConstraint(["holder_id"], ["party.id"], name=op.f("fk_payment_holder_id")),
        sa.ForeignKeyConstraint(["payee_id"], ["party.id"], name=op.f("fk_payment_payee_id")),
        sa.ForeignKeyConstraint(["payer_id"], ["party.id"], name=op.f("fk_payment_payer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("method", "reference", name=op.f("uq_payment_method_reference")),
    )
    op.create_index("ix_payment_by_payee", "payment", ["payee_id", "paid_at", "id"])
    op.create_index("ix_payment_by_payer", "payment", ["payer_id", "paid_at", "id"])
    op.create_index("ix_payment_by_time", "payment", ["paid_at", "id"])
    op.create_table(
        "wallet_credit",
        sa.Column("holder_id", sa.String(32), nullable=False),
        sa.Column("owner_id", sa.String(32), nullable=False),
        sa.Column("set_at", AT, nullable=False),
        sa.Column("limit_fen", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("limit_fen >= 0", name=op.f("ck_wallet_credit_limit")),
        sa.ForeignKeyConstraint(["holder_id"], ["party.id"], name=op.f("fk_wallet_credit_holder_id")),
        sa.ForeignKeyConstraint(["owner_id"], ["party.id"], name=op.f("fk_wallet_credit_owner_id")),
        sa.PrimaryKeyConstraint("holder_id", "owner_id", "set_at", name=op.f("pk_wallet_credit")),
    )
    op.create_table(
        "acquirer_call",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("order_id", sa.String(32), nullable=False),
        sa.Column("payment_id", sa.String(32), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("got_at", AT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("channel IN ('channel_a', 'channel_b')", name=op.f("ck_acquirer_call_channel_known")),
        sa.ForeignKeyConstraint(["order_id"], ["acquirer_order.id"], name=op.f("fk_acquirer_call_order_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_acquirer_call_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acquirer_call")),
        sa.UniqueConstraint("channel", "number", name=op.f("uq_acquirer_call_channel_number")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_acquirer_call_payment_id")),
    )
    op.create_table(
        "bank_line_end",
        sa.Column("line_id", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("payment_id", sa.String(32), nullable=True),
        sa.Column("detail", sa.String(200), nullable=False),
        sa.Column("ended_at", AT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("(outcome = 'payment') = (payment_id IS NOT NULL)", name=op.f("ck_bank_line_end_payment")),
        sa.CheckConstraint(
            "outcome IN ('channel', 'other', 'payment', 'refund')", name=op.f("ck_bank_line_end_outcome_known")
        ),
        sa.ForeignKeyConstraint(["line_id"], ["bank_line.id"], name=op.f("fk_bank_line_end_line_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_bank_line_end_payment_id")),
        sa.PrimaryKeyConstraint("line_id", name=op.f("pk_bank_line_end")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_bank_line_end_payment_id")),
    )
    op.create_table(
        "ledger_leg",
        sa.Column("transfer_id", sa.String(length=64), nullable=False),
        sa.Column("leg_no", sa.Integer(), nullable=False),
        sa.Column("debit_id", sa.String(120), nullable=False),
        sa.Column("credit_id", sa.String(120), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.CheckConstraint("kind IN ('pending', 'posted', 'void')", name=op.f("ck_ledger_leg_kind_known")),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_ledger_leg_amount")),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ck_ledger_leg_two_accounts")),
        sa.ForeignKeyConstraint(["credit_id"], ["ledger_account.id"], name=op.f("fk_ledger_leg_credit_id")),
        sa.ForeignKeyConstraint(["debit_id"], ["ledger_account.id"], name=op.f("fk_ledger_leg_debit_id")),
        sa.ForeignKeyConstraint(
            ["transfer_id"],
            ["ledger_transfer.id"],
            name=op.f("fk_ledger_leg_transfer_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("transfer_id", "leg_no", name=op.f("pk_ledger_leg")),
    )
    op.create_index("ix_ledger_leg_by_credit", "ledger_leg", ["credit_id", "at", "transfer_id", "leg_no"])
    op.create_index("ix_ledger_leg_by_debit", "ledger_leg", ["debit_id", "at", "transfer_id", "leg_no"])
    op.create_table(
        "payment_allocation",
        sa.Column("payment_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(80), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("amount_fen <> 0", name=op.f("ck_payment_allocation_amount")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_payment_allocation_payment_id")),
        sa.PrimaryKeyConstraint("payment_id", "number", name=op.f("pk_payment_allocation")),
    )
    op.create_index("ix_payment_allocation_by_target", "payment_allocation", ["target", "payment_id"])
    op.create_table(
        "refund",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("payment_id", sa.String(32), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("made_at", AT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_refund_amount")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_refund_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        sa.UniqueConstraint("payment_id", "reference", name=op.f("uq_refund_payment_id_reference")),
    )
    op.create_index("ix_refund_by_time", "refund", ["made_at", "id"])
    op.create_index("ix_charge_by_time", "charge", ["made_at", "id"])

    if op.get_bind().dialect.name == "sqlite":
        _sqlite_triggers()
    else:
        _postgresql_triggers()


def _sqlite_triggers() -> None:
    for table in (*LEDGER, *PAYMENTS):
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END"
            )
    op.execute(
        f"CREATE TRIGGER ledger_transfer_seals BEFORE INSERT ON ledger_transfer WHEN {UNFIT} "
        "BEGIN SELECT RAISE(ABORT, 'the legs of the transfer are not what its seal says'); END"
    )
    op.execute(
        f"CREATE TRIGGER ledger_leg_unsealed BEFORE INSERT ON ledger_leg WHEN {SEALED} "
        "BEGIN SELECT RAISE(ABORT, 'the transfer is sealed: it takes no more legs'); END"
    )


def _postgresql_triggers() -> None:
    for table in (*LEDGER, *PAYMENTS):
        for trigger, when, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER {table}_no_{trigger} BEFORE {when} ON {table} "
                f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
    op.execute(
        f"CREATE FUNCTION ledger_seal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {UNFIT} THEN "
        "RAISE EXCEPTION 'the legs of the transfer are not what its seal says'; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_transfer_seals BEFORE INSERT ON ledger_transfer "
        "FOR EACH ROW EXECUTE FUNCTION ledger_seal()"
    )
    op.execute(
        f"CREATE FUNCTION ledger_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {SEALED} THEN "
        "RAISE EXCEPTION 'the transfer is sealed: it takes no more legs'; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_leg_unsealed BEFORE INSERT ON ledger_leg FOR EACH ROW EXECUTE FUNCTION ledger_unsealed()"
    )


def downgrade() -> None:
    op.drop_index("ix_charge_by_time", table_name="charge")
    for table in (
        "ledger_leg", "ledger_transfer", "ledger_account", "net_statement", "wallet_credit", "acquirer_call",
        "acquirer_order", "bank_line_end", "bank_line", "refund", "payment_allocation", "payment",
    ):  # fmt: skip
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_seal()")
        op.execute("DROP FUNCTION ledger_unsealed()")
