"""First tables, and triggers that keep the journal and the bills as they were written.

Revision: 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "party",
    "station",
    "vehicle",
    "bay",
    "booking",
    "control_request",
    "controller_lease",
    "fault",
    "site_sample",
    "station_event",
    "pack",
    "swap",
    "bill",
    "charge_session",
    "robot_command",
    "swap_seat",
    "bill_line",
)
"""In order of creation."""

WRITE_ONCE = ("station_event", "bill", "bill_line")
"""Rows are added and never changed.

A batch change of one of them on SQLite loses its triggers: make them anew.
"""


def upgrade() -> None:
    op.create_table(
        "party",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_party"),
    )
    op.create_table(
        "station",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("operator_id", sa.String(32), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("mode_reason", sa.String(), nullable=False),
        sa.Column("mode_since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("last_seq_by_lane", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["party.id"], name="fk_station_operator_id"),
        sa.PrimaryKeyConstraint("id", name="pk_station"),
    )
    op.create_table(
        "vehicle",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("tag", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(32), nullable=False),
        sa.Column("fleet_id", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["fleet_id"], ["party.id"], name="fk_vehicle_fleet_id"),
        sa.PrimaryKeyConstraint("id", name="pk_vehicle"),
        sa.UniqueConstraint("tag", name="uq_vehicle_tag"),
    )
    op.create_table(
        "bay",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("blocked_reason", sa.String(), nullable=False),
        sa.Column("charge_kw", sa.Float(), nullable=True),
        sa.Column("setpoint_kw", sa.Float(), nullable=True),
        sa.Column("limited_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_bay_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_bay"),
        sa.UniqueConstraint("station_id", "position", name="uq_bay_station_id_position"),
    )
    op.create_index("ix_bay_station_id", "bay", ["station_id"])
    op.create_table(
        "booking",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("vehicle_id", sa.String(20), nullable=False),
        sa.Column("window_start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("idempotency_key", sa.String(64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("window_end_at > window_start_at", name="window"),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_booking_station_id"),
        sa.ForeignKeyConstraint(["vehicle_id"], ["vehicle.id"], name="fk_booking_vehicle_id"),
        sa.PrimaryKeyConstraint("id", name="pk_booking"),
        sa.UniqueConstraint("idempotency_key", name="uq_booking_idempotency_key"),
    )
    op.create_index("ix_booking_station_id", "booking", ["station_id"])
    op.create_index(
        "uq_booking_open_vehicle",
        "booking",
        ["vehicle_id"],
        unique=True,
        sqlite_where=sa.text("status IN ('booked', 'arrived')"),
        postgresql_where=sa.text("status IN ('booked', 'arrived')"),
    )
    op.create_table(
        "control_request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("requested_by", sa.String(64), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_control_request_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_control_request"),
    )
    op.create_index("ix_control_request_station_id", "control_request", ["station_id"])
    op.create_index("ix_control_request_status", "control_request", ["status"])
    op.create_table(
        "controller_lease",
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_controller_lease_station_id"),
        sa.PrimaryKeyConstraint("station_id", name="pk_controller_lease"),
    )
    op.create_table(
        "fault",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("open_key", sa.String(160), nullable=True),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(64), nullable=True),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_fault_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_fault"),
        sa.UniqueConstraint("open_key", name="uq_fault_open_key"),
    )
    op.create_index("ix_fault_station_id", "fault", ["station_id"])
    op.create_table(
        "site_sample",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("import_kw", sa.Float(), nullable=True),
        sa.Column("charge_kw", sa.Float(), nullable=True),
        sa.Column("limit_kw", sa.Float(), nullable=False),
        sa.Column("ready_packs", sa.Integer(), nullable=False),
        sa.Column("queue_length", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_site_sample_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_site_sample"),
    )
    op.create_index("ix_site_sample_at", "site_sample", ["at"])
    op.create_table(
        "station_event",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(48), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("swap_id", sa.String(32), nullable=True),
        sa.Column("pack_id", sa.String(24), nullable=True),
        sa.Column("bay_id", sa.String(64), nullable=True),
        sa.Column("lane_id", sa.String(32), nullable=True),
        sa.Column("cause_id", sa.BigInteger(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_station_event_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_station_event"),
    )
    op.create_index("ix_station_event_kind", "station_event", ["kind"])
    op.create_index("ix_station_event_pack_id", "station_event", ["pack_id"])
    op.create_index("ix_station_event_station_id", "station_event", ["station_id"])
    op.create_index("ix_station_event_swap_id", "station_event", ["swap_id"])
    op.create_table(
        "pack",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("owner_id", sa.String(32), nullable=False),
        sa.Column("rated_kwh", sa.Float(), nullable=False),
        sa.Column("soh_pct", sa.Float(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bay_id", sa.String(64), nullable=True),
        sa.Column("vehicle_id", sa.String(20), nullable=True),
        sa.Column("seat", sa.Integer(), nullable=True),
        sa.Column("gripper_lane_id", sa.String(64), nullable=True),
        sa.Column("tank_station_id", sa.String(32), nullable=True),
        sa.Column("off_site", sa.Boolean(), nullable=False),
        sa.Column("energy_kwh", sa.Float(), nullable=True),
        sa.Column("soc_pct", sa.Float(), nullable=True),
        sa.Column("temp_max_c", sa.Float(), nullable=True),
        sa.Column("reading_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_soe_kwh", sa.Float(), nullable=True),
        sa.Column("cycles_kwh", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "(CASE WHEN bay_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN vehicle_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN gripper_lane_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN tank_station_id IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN off_site THEN 1 ELSE 0 END) = 1",
            name="one_place",
        ),
        sa.CheckConstraint("(vehicle_id IS NULL) = (seat IS NULL)", name="seat_with_vehicle"),
        sa.CheckConstraint("soc_pct IS NULL OR (soc_pct >= 0 AND soc_pct <= 100)", name="soc_range"),
        sa.CheckConstraint("soh_pct > 0 AND soh_pct <= 100", name="soh_range"),
        sa.ForeignKeyConstraint(["bay_id"], ["bay.id"], name="fk_pack_bay_id"),
        sa.ForeignKeyConstraint(["owner_id"], ["party.id"], name="fk_pack_owner_id"),
        sa.ForeignKeyConstraint(["tank_station_id"], ["station.id"], name="fk_pack_tank_station_id"),
        sa.ForeignKeyConstraint(["vehicle_id"], ["vehicle.id"], name="fk_pack_vehicle_id"),
        sa.PrimaryKeyConstraint("id", name="pk_pack"),
        sa.UniqueConstraint("bay_id", name="uq_pack_bay_id"),
        sa.UniqueConstraint("gripper_lane_id", name="uq_pack_gripper_lane_id"),
        sa.UniqueConstraint("vehicle_id", "seat", name="uq_pack_vehicle_id_seat"),
    )
    op.create_index("ix_pack_kind", "pack", ["kind"])
    op.create_index("ix_pack_state", "pack", ["state"])
    op.create_table(
        "swap",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("vehicle_id", sa.String(20), nullable=False),
        sa.Column("booking_id", sa.String(32), nullable=True),
        sa.Column("idempotency_key", sa.String(64), nullable=True),
        sa.Column("open_vehicle_id", sa.String(20), nullable=True),
        sa.Column("open_lane_id", sa.String(64), nullable=True),
        sa.Column("lane_id", sa.String(32), nullable=True),
        sa.Column("recipe", sa.String(64), nullable=True),
        sa.Column("pack_count", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hold_reason", sa.String(), nullable=True),
        sa.Column("hold_detail", sa.JSON(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state NOT IN ('completed', 'returned', 'cancelled'))", name="ended_when_terminal"
        ),
        sa.ForeignKeyConstraint(["booking_id"], ["booking.id"], name="fk_swap_booking_id"),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_swap_station_id"),
        sa.ForeignKeyConstraint(["vehicle_id"], ["vehicle.id"], name="fk_swap_vehicle_id"),
        sa.PrimaryKeyConstraint("id", name="pk_swap"),
        sa.UniqueConstraint("booking_id", name="uq_swap_booking_id"),
        sa.UniqueConstraint("idempotency_key", name="uq_swap_idempotency_key"),
        sa.UniqueConstraint("open_lane_id", name="uq_swap_open_lane_id"),
        sa.UniqueConstraint("open_vehicle_id", name="uq_swap_open_vehicle_id"),
    )
    op.create_index("ix_swap_state", "swap", ["state"])
    op.create_index("ix_swap_station_id", "swap", ["station_id"])
    op.create_index("ix_swap_vehicle_id", "swap", ["vehicle_id"])
    op.create_table(
        "bill",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("swap_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("payer_id", sa.String(32), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["payer_id"], ["party.id"], name="fk_bill_payer_id"),
        sa.ForeignKeyConstraint(["swap_id"], ["swap.id"], name="fk_bill_swap_id"),
        sa.PrimaryKeyConstraint("id", name="pk_bill"),
        sa.UniqueConstraint("swap_id", "kind", name="uq_bill_swap_id_kind"),
    )
    op.create_index("ix_bill_swap_id", "bill", ["swap_id"])
    op.create_table(
        "charge_session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("pack_id", sa.String(24), nullable=False),
        sa.Column("bay_id", sa.String(64), nullable=False),
        sa.Column("open_pack_id", sa.String(24), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("start_energy_kwh", sa.Float(), nullable=False),
        sa.Column("end_energy_kwh", sa.Float(), nullable=True),
        sa.Column("start_meter_kwh", sa.Float(), nullable=True),
        sa.Column("end_meter_kwh", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["bay_id"], ["bay.id"], name="fk_charge_session_bay_id"),
        sa.ForeignKeyConstraint(["pack_id"], ["pack.id"], name="fk_charge_session_pack_id"),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name="fk_charge_session_station_id"),
        sa.PrimaryKeyConstraint("id", name="pk_charge_session"),
        sa.UniqueConstraint("open_pack_id", name="uq_charge_session_open_pack_id"),
    )
    op.create_index("ix_charge_session_pack_id", "charge_session", ["pack_id"])
    op.create_index("ix_charge_session_station_id", "charge_session", ["station_id"])
    op.create_table(
        "robot_command",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("lane_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("swap_id", sa.String(32), nullable=True),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("source", sa.Integer(), nullable=False),
        sa.Column("target", sa.Integer(), nullable=False),
        sa.Column("vehicle_tag", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("fault_code", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["swap_id"], ["swap.id"], name="fk_robot_command_swap_id"),
        sa.PrimaryKeyConstraint("id", name="pk_robot_command"),
    )
    op.create_index("ix_robot_command_lane_seq", "robot_command", ["lane_id", "seq"])
    op.create_index("ix_robot_command_swap_id", "robot_command", ["swap_id"])
    op.create_table(
        "swap_seat",
        sa.Column("swap_id", sa.String(32), nullable=False),
        sa.Column("seat", sa.Integer(), nullable=False),
        sa.Column("old_pack_id", sa.String(24), nullable=True),
        sa.Column("new_pack_id", sa.String(24), nullable=True),
        sa.Column("old_bay_id", sa.String(64), nullable=True),
        sa.Column("new_bay_id", sa.String(64), nullable=True),
        sa.Column("last_settled_soe_kwh", sa.Float(), nullable=True),
        sa.Column("returned_soe_kwh", sa.Float(), nullable=True),
        sa.Column("returned_soc_pct", sa.Float(), nullable=True),
        sa.Column("installed_soe_kwh", sa.Float(), nullable=True),
        sa.Column("installed_soc_pct", sa.Float(), nullable=True),
        sa.Column("exchanged", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["swap_id"], ["swap.id"], name="fk_swap_seat_swap_id"),
        sa.PrimaryKeyConstraint("swap_id", "seat", name="pk_swap_seat"),
    )
    op.create_table(
        "bill_line",
        sa.Column("bill_id", sa.String(32), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("seat", sa.Integer(), nullable=True),
        sa.Column("pack_id", sa.String(24), nullable=True),
        sa.Column("payee_id", sa.String(32), nullable=False),
        sa.Column("energy_centi_kwh", sa.BigInteger(), nullable=False),
        sa.Column("unit_price_1e4_yuan", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["bill_id"], ["bill.id"], name="fk_bill_line_bill_id"),
        sa.ForeignKeyConstraint(["payee_id"], ["party.id"], name="fk_bill_line_payee_id"),
        sa.PrimaryKeyConstraint("bill_id", "line_no", name="pk_bill_line"),
    )

    _protect()


def _protect() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in WRITE_ONCE:
            for action in ("update", "delete"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME; END $$"
    )
    for table in WRITE_ONCE:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")
