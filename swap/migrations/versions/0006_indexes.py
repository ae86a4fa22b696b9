"""Indexes in the order that lists are read in: a list costs the same however long the record is.

Revision: 0006, after 0005.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_swap_by_arrival": ("swap", ["station_id", "arrived_at", "id"]),
    "ix_swap_by_state": ("swap", ["station_id", "state", "arrived_at", "id"]),
    "ix_swap_by_end": ("swap", ["station_id", "ended_at", "id"]),
    "ix_swap_by_vehicle": ("swap", ["vehicle_id", "arrived_at", "id"]),
    "ix_robot_command_by_result": ("robot_command", ["lane_id", "result"]),
    "ix_booking_by_window": ("booking", ["station_id", "window_start_at", "id"]),
    "ix_booking_by_status": ("booking", ["station_id", "status", "window_start_at", "id"]),
    "ix_booking_by_vehicle": ("booking", ["vehicle_id", "window_start_at", "id"]),
    "ix_bill_by_issue": ("bill", ["issued_at", "id"]),
    "ix_bill_by_payer": ("bill", ["payer_id", "issued_at", "id"]),
    "ix_fault_by_raise": ("fault", ["station_id", "raised_at", "id"]),
    "ix_fault_by_clearing": ("fault", ["station_id", "cleared_at", "raised_at", "id"]),
    "ix_control_request_by_station": ("control_request", ["station_id", "id"]),
    "ix_control_request_by_status": ("control_request", ["station_id", "status", "id"]),
    "ix_site_sample_by_station": ("site_sample", ["station_id", "id"]),
    "ix_station_event_by_at": ("station_event", ["station_id", "at", "seq"]),
    "ix_station_event_by_swap": ("station_event", ["station_id", "swap_id", "seq"]),
    "ix_station_event_by_pack": ("station_event", ["station_id", "pack_id", "seq"]),
}
_COVERED = {
    "ix_swap_station_id": ("swap", ["station_id"]),
    "ix_swap_vehicle_id": ("swap", ["vehicle_id"]),
    "ix_swap_state": ("swap", ["state"]),
    "ix_booking_station_id": ("booking", ["station_id"]),
    "ix_bill_swap_id": ("bill", ["swap_id"]),
    "ix_fault_station_id": ("fault", ["station_id"]),
    "ix_control_request_station_id": ("control_request", ["station_id"]),
    "ix_control_request_status": ("control_request", ["status"]),
    "ix_station_event_swap_id": ("station_event", ["swap_id"]),
    "ix_station_event_pack_id": ("station_event", ["pack_id"]),
}
"""Those of one column that the others begin with, or serve with the station: each would cost a write."""


def upgrade() -> None:
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns)
    for name, (table, _columns) in _COVERED.items():
        op.drop_index(name, table_name=table)


def downgrade() -> None:
    for name, (table, columns) in _COVERED.items():
        op.create_index(name, table, columns)
    for name, (table, _columns) in _INDEXES.items():
        op.drop_index(name, table_name=table)
