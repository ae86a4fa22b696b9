"""Old samples become means, and the oldest part of a journal may leave for a file that its own event names.

Revision: 0011, after 0010.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NEVER = "station_event rows are never changed"
_ARCHIVED = (
    "EXISTS (SELECT 1 FROM station_event a WHERE a.station_id = OLD.station_id AND a.kind = 'journal.archived' "
    "AND {last_seq} >= OLD.seq)"
)


def upgrade() -> None:
    op.add_column("site_sample", sa.Column("mean_s", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("site_sample", sa.Column("covered_s", sa.Float(), nullable=True))
    with op.batch_alter_table("site_sample") as table:
        table.alter_column("mean_s", server_default=None)
    op.create_index("ix_site_sample_by_mean", "site_sample", ["station_id", "mean_s", "id"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER station_event_no_delete")
        archived = _ARCHIVED.format(last_seq="json_extract(a.data, '$.last_seq')")
        op.execute(
            f"CREATE TRIGGER station_event_no_delete BEFORE DELETE ON station_event WHEN NOT {archived} "
            f"BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END"
        )
        return
    op.execute("DROP TRIGGER station_event_no_change ON station_event")
    archived = _ARCHIVED.format(last_seq="(a.data::json->>'last_seq')::bigint")
    op.execute(
        "CREATE FUNCTION refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' AND {archived} THEN RETURN OLD; END IF; "
        "RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME; END $$"
    )
    op.execute(
        "CREATE TRIGGER station_event_no_change BEFORE UPDATE OR DELETE ON station_event "
        "FOR EACH ROW EXECUTE FUNCTION refuse_event_change()"
    )


def downgrade() -> None:
    op.drop_index("ix_site_sample_by_mean", table_name="site_sample")
    with op.batch_alter_table("site_sample") as table:
        table.drop_column("covered_s")
        table.drop_column("mean_s")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER station_event_no_delete")
        op.execute(
            "CREATE TRIGGER station_event_no_delete BEFORE DELETE ON station_event "
            f"BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END"
        )
        return
    op.execute("DROP TRIGGER station_event_no_change ON station_event")
    op.execute(
        "CREATE TRIGGER station_event_no_change BEFORE UPDATE OR DELETE ON station_event "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute("DROP FUNCTION refuse_event_change()")
