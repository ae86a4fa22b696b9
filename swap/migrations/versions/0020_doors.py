"""Webhooks: who sends to an endpoint now, an index by kind, and old events may leave. Answers bear their own end.

Revision: 0020, after 0019.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
_NEVER = "webhook_event rows are never changed"
_TO_BE_TOLD = "OLD.seq > COALESCE((SELECT min(e.from_seq) FROM webhook_endpoint e), 0)"
"""An endpoint may still be told of it."""


def upgrade() -> None:
    op.add_column("webhook_endpoint", sa.Column("claimed_until_at", AT, nullable=True))
    op.create_index("ix_webhook_event_by_kind", "webhook_event", ["organisation_id", "kind", "seq"])
    op.add_column("kept_answer", sa.Column("until_at", AT, nullable=True))
    sqlite = op.get_bind().dialect.name == "sqlite"
    # As long as answers were kept where no station file said otherwise.
    later = "strftime('%Y-%m-%d %H:%M:%f000', at, '+24 hours')" if sqlite else "at + interval '24 hours'"
    op.execute(f"UPDATE kept_answer SET until_at = {later}")
    op.drop_index("ix_kept_answer_at", table_name="kept_answer")
    with op.batch_alter_table("kept_answer") as table:
        table.alter_column("until_at", nullable=False)
    op.create_index("ix_kept_answer_until_at", "kept_answer", ["until_at"])
    if sqlite:
        op.execute("DROP TRIGGER webhook_event_no_delete")
        op.execute(
            f"CREATE TRIGGER webhook_event_no_delete BEFORE DELETE ON webhook_event WHEN {_TO_BE_TOLD} "
            f"BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END"
        )
        return
    op.execute("DROP TRIGGER webhook_event_no_change ON webhook_event")
    op.execute(
        "CREATE FUNCTION refuse_webhook_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' AND NOT {_TO_BE_TOLD} THEN RETURN OLD; END IF; "
        "RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME; END $$"
    )
    op.execute(
        "CREATE TRIGGER webhook_event_no_change BEFORE UPDATE OR DELETE ON webhook_event "
        "FOR EACH ROW EXECUTE FUNCTION refuse_webhook_change()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER webhook_event_no_delete")
        op.execute(
            "CREATE TRIGGER webhook_event_no_delete BEFORE DELETE ON webhook_event "
            f"BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END"
        )
    else:
        op.execute("DROP TRIGGER webhook_event_no_change ON webhook_event")
        op.execute(
            "CREATE TRIGGER webhook_event_no_change BEFORE UPDATE OR DELETE ON webhook_event "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute("DROP FUNCTION refuse_webhook_change()")
    op.drop_index("ix_kept_answer_until_at", table_name="kept_answer")
    with op.batch_alter_table("kept_answer") as table:
        table.drop_column("until_at")
    op.create_index("ix_kept_answer_at", "kept_answer", ["at"])
    op.drop_index("ix_webhook_event_by_kind", table_name="webhook_event")
    with op.batch_alter_table("webhook_endpoint") as table:
        table.drop_column("claimed_until_at")
