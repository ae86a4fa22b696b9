"""Webhooks: endpoints of firms, the outbox, deliveries, and how far journals were read.

Revision: 0019, after 0018.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
KINDS = (
    "bill.issued", "bill.reversed", "booking.changed", "booking.disrupted", "booking.ended", "booking.promised",
    "booking.restored", "contract.changed", "invoice.issued", "payment.refunded", "payment.taken", "swap.ended",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organisation_id", sa.String(32), nullable=False),
        sa.Column("url", sa.String(400), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("secret_no", sa.Integer(), nullable=False),
        sa.Column("previous_until_at", AT, nullable=True),
        sa.Column("from_seq", sa.BigInteger(), nullable=False),
        sa.Column("after_seq", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_try_at", AT, nullable=True),
        sa.Column("made_at", AT, nullable=False),
        sa.Column("ended_at", AT, nullable=True),
        sa.Column("ended_why", sa.String(16), nullable=False),
        sa.CheckConstraint("after_seq >= from_seq", name=op.f("ck_webhook_endpoint_forward")),
        sa.CheckConstraint("(failures > 0) = (next_try_at IS NOT NULL)", name=op.f("ck_webhook_endpoint_tried_again")),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_why = '')", name=op.f("ck_webhook_endpoint_ended_why")),
        sa.CheckConstraint("ended_why IN ('', 'gone', 'owner')", name=op.f("ck_webhook_endpoint_ended_why_known")),
        sa.ForeignKeyConstraint(["organisation_id"], ["party.id"], name=op.f("fk_webhook_endpoint_organisation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_index("ix_webhook_endpoint_organisation_id", "webhook_endpoint", ["organisation_id"])
    op.create_table(
        "webhook_event",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organisation_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("about", sa.String(64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.CheckConstraint(
            f"kind IN ({', '.join(repr(kind) for kind in KINDS)})", name=op.f("ck_webhook_event_kind_known")
        ),
        sa.ForeignKeyConstraint(["organisation_id"], ["party.id"], name=op.f("fk_webhook_event_organisation_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_webhook_event")),
        sa.UniqueConstraint("id", name=op.f("uq_webhook_event_id")),
    )
    op.create_index("ix_webhook_event_of_organisation", "webhook_event", ["organisation_id", "seq"])
    op.create_table(
        "webhook_delivery",
        sa.Column("endpoint_id", sa.String(32), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("ended_at", AT, nullable=False),
        sa.CheckConstraint("tries > 0", name=op.f("ck_webhook_delivery_tries")),
        sa.CheckConstraint("outcome IN ('dead', 'delivered')", name=op.f("ck_webhook_delivery_outcome_known")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_webhook_delivery_endpoint_id")),
        sa.ForeignKeyConstraint(["event_seq"], ["webhook_event.seq"], name=op.f("fk_webhook_delivery_event_seq")),
        sa.PrimaryKeyConstraint("endpoint_id", "event_seq", name=op.f("pk_webhook_delivery")),
    )
    op.create_table(
        "webhook_mark",
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_webhook_mark_station_id")),
        sa.PrimaryKeyConstraint("station_id", name=op.f("pk_webhook_mark")),
    )
    if op.get_bind().dialect.name == "sqlite":
        for action in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER webhook_event_no_{action} BEFORE {action.upper()} ON webhook_event "
                "BEGIN SELECT RAISE(ABORT, 'webhook_event rows are never changed'); END"
            )
        return
    for trigger, when, each in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER webhook_event_no_{trigger} BEFORE {when} ON webhook_event "
            f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in ("webhook_mark", "webhook_delivery", "webhook_event", "webhook_endpoint"):
        op.drop_table(table)
