"""The procedure for a hot pack as a row of its bay; the newest of each bay is taken over from the journal.

Revision: 0004, after 0003.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "hot_pack",
        sa.Column("bay_id", sa.String(64), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("pack_id", sa.String(24), nullable=True),
        sa.Column("causes", sa.JSON(), nullable=False),
        sa.Column("detected_at", _AT, nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("lane_id", sa.String(32), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("deadline_at", _AT, nullable=True),
        sa.Column("confirming", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("left", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["bay_id"], ["bay.id"], name="fk_hot_pack_bay_id"),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_hot_pack_station_id"),
        sa.PrimaryKeyConstraint("bay_id", name="pk_hot_pack"),
    )
    op.create_index("ix_hot_pack_station_id", "hot_pack", ["station_id"])
    rows = _newest_by_bay()
    if rows:
        columns: list[Any] = [sa.column(name) for name in rows[0] if name not in ("detected_at", "causes")]
        table = sa.table("hot_pack", *columns, sa.column("detected_at", _AT), sa.column("causes", sa.JSON()))
        op.get_bind().execute(table.insert(), rows)


def _newest_by_bay() -> list[dict[str, Any]]:
    event = sa.table(
        "station_event",
        *(sa.column(name) for name in ("station_id", "seq", "kind", "pack_id", "bay_id", "lane_id", "data")),
        sa.column("at", _AT),
    )
    bays = set(op.get_bind().execute(sa.text("SELECT id FROM bay")).scalars())
    events = sa.select(event).where(event.c.kind == "thermal.step").order_by(event.c.station_id, event.c.seq)
    newest: dict[str, dict[str, Any]] = {}
    for told in op.get_bind().execute(events).all():
        data = json.loads(told.data)
        if told.bay_id not in bays:
            continue
        if data["stage"] == "detected":
            newest[told.bay_id] = {
                "bay_id": told.bay_id,
                "station_id": told.station_id,
                "pack_id": told.pack_id,
                "causes": data.get("causes", []),
                "detected_at": told.at,
                "confirming": False,
                "tries": 0,
                "left": False,
            }
        if told.bay_id in newest:
            newest[told.bay_id] |= {"stage": data["stage"], "lane_id": told.lane_id, "seq": data.get("seq")}
    return list(newest.values())


def downgrade() -> None:
    op.drop_table("hot_pack")
