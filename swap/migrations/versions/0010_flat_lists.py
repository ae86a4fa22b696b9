"""What is open, and what is of one vehicle, by an index: it costs the same however long the record is.

Revision: 0010, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_OPEN = {
    "ix_swap_open": ("swap", ["station_id", "arrived_at", "id"], "ended_at IS NULL"),
    "ix_fault_open": ("fault", ["station_id", "raised_at", "id"], "cleared_at IS NULL"),
    "ix_charge_session_open": ("charge_session", ["station_id", "open_pack_id"], "open_pack_id IS NOT NULL"),
}


def upgrade() -> None:
    for name, (table, columns, condition) in _OPEN.items():
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    op.create_index("ix_swap_by_dispatch", "swap", ["station_id", "dispatched_at", "id"])
    op.create_index("ix_swap_of_vehicle_here", "swap", ["station_id", "vehicle_id", "arrived_at", "id"])
    op.create_index("ix_booking_of_vehicle_here", "booking", ["station_id", "vehicle_id", "window_start_at", "id"])
    columns = ["station_id", "vehicle_id", "status", "window_start_at", "id"]
    op.create_index("ix_booking_of_vehicle_by_status", "booking", columns)
    op.drop_index("ix_booking_by_vehicle", table_name="booking")


def downgrade() -> None:
    op.create_index("ix_booking_by_vehicle", "booking", ["vehicle_id", "window_start_at", "id"])
    op.drop_index("ix_booking_of_vehicle_by_status", table_name="booking")
    op.drop_index("ix_booking_of_vehicle_here", table_name="booking")
    op.drop_index("ix_swap_of_vehicle_here", table_name="swap")
    op.drop_index("ix_swap_by_dispatch", table_name="swap")
    for name, (table, _columns, _condition) in _OPEN.items():
        op.drop_index(name, table_name=table)
