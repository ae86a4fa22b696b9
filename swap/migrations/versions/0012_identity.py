"""Accounts of people, keys of machines, tokens, failed attempts, and what was changed of them by whom.

Revision: 0012, after 0011.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "user_account",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("login", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(32), nullable=False),
        sa.Column("organisation_id", sa.String(32), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=True),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("pin_hash", sa.String(200), nullable=True),
        sa.Column("totp_salt", sa.String(64), nullable=True),
        sa.Column("totp_confirmed", sa.Boolean(), nullable=False),
        sa.Column("totp_last_step", sa.BigInteger(), nullable=True),
        sa.Column("demo", sa.Boolean(), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("disabled_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_user_account_person_id"),
        sa.ForeignKeyConstraint(["organisation_id"], ["party.id"], name="fk_user_account_organisation_id"),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_user_account_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_user_account"),
        sa.UniqueConstraint("login", name="uq_user_account_login"),
        sa.UniqueConstraint("person_id", name="uq_user_account_person_id"),
    )
    op.create_index("ix_user_account_organisation_id", "user_account", ["organisation_id"])
    op.create_table(
        "token_family",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("revoked_at", AT, nullable=True),
        sa.Column("revoked_why", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["user_account.id"], name="fk_token_family_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_token_family"),
    )
    op.create_index("ix_token_family_account_id", "token_family", ["account_id"])
    op.create_table(
        "access_token",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("family_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("issued_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("used_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["family_id"], ["token_family.id"], name="fk_access_token_family_id"),
        sa.PrimaryKeyConstraint("hash", name="pk_access_token"),
    )
    op.create_index("ix_access_token_family_id", "access_token", ["family_id"])
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("organisation_id", sa.String(32), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=True),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=True),
        sa.Column("revoked_at", AT, nullable=True),
        sa.ForeignKeyConstraint(["organisation_id"], ["party.id"], name="fk_api_key_organisation_id"),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_api_key_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("key_hash", name="uq_api_key_key_hash"),
    )
    op.create_index("ix_api_key_organisation_id", "api_key", ["organisation_id"])
    op.create_table(
        "attempt_count",
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_attempt_count"),
    )
    op.create_index("ix_attempt_count_last_at", "attempt_count", ["last_at"])
    op.create_table(
        "access_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_change"),
    )
    op.create_index("ix_access_change_by_subject", "access_change", ["subject", "id"])
    _write_once("access_change")


def _write_once(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END"
            )
        return
    for trigger, when in (
        ("change", "UPDATE OR DELETE ON {table} FOR EACH ROW"),
        ("truncate", "TRUNCATE ON {table} FOR EACH STATEMENT"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_no_{trigger} BEFORE {when.format(table=table)} EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in ("access_change", "attempt_count", "api_key", "access_token", "token_family", "user_account"):
        op.drop_table(table)
