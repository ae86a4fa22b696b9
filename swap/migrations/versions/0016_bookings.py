"""Bookings after OCPI: kinds, energy, packs, standing bookings, several a truck; keys belong to a truck.

Revision: 0016, after 0015.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
_MODEL = "FROM vehicle JOIN vehicle_model ON vehicle_model.id = vehicle.model WHERE vehicle.id = booking.vehicle_id"
_STATUS = ("arrived", "booked", "cancelled", "expired", "failed", "fulfilled")
_MODES = ("automatic", "closed", "fire", "held", "manual", "thermal")
_TROUBLES = (
    "", "no_kind", "no_lane", "not_entitled", "other_booking", "packs_promised", "slots_full", "station_mode",
    "too_few_packs", "too_much_energy",
)  # fmt: skip


def _in(column: str, *codes: str) -> str:
    listed = ", ".join(f"'{code}'" for code in sorted(codes))
    return f"{column} IN ({listed})"


_OPEN = sa.text("status IN ('booked', 'arrived')")


def upgrade() -> None:
    op.create_table(
        "standing_booking",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("station_id", sa.String(32), nullable=False),
        sa.Column("vehicle_id", sa.String(20), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("weekdays", sa.JSON(), nullable=False),
        sa.Column("local_time", sa.String(5), nullable=False),
        sa.Column("window_min", sa.Integer(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("packs", sa.Integer(), nullable=False),
        sa.Column("min_kwh", sa.Float(), nullable=False),
        sa.Column("starts_on", sa.String(10), nullable=False),
        sa.Column("ends_on", sa.String(10), nullable=True),
        sa.Column("exceptions", sa.JSON(), nullable=False),
        sa.Column("made_until", sa.String(10), nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.CheckConstraint("window_min > 0", name=op.f("ck_standing_booking_window")),
        sa.CheckConstraint(_in("status", "active", "ended"), name=op.f("ck_standing_booking_status_known")),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_standing_booking_station_id")),
        sa.ForeignKeyConstraint(["vehicle_id"], ["vehicle.id"], name=op.f("fk_standing_booking_vehicle_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_standing_booking")),
    )
    op.create_index("ix_standing_booking_by_status", "standing_booking", ["station_id", "status", "id"])
    op.drop_index("uq_booking_open_vehicle", table_name="booking")
    with op.batch_alter_table("booking") as booking:
        booking.add_column(sa.Column("kinds", sa.JSON(), nullable=False, server_default="[]"))
        booking.add_column(sa.Column("packs", sa.Integer(), nullable=False, server_default="1"))
        booking.add_column(sa.Column("min_kwh", sa.Float(), nullable=False, server_default="0"))
        booking.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
        booking.add_column(sa.Column("promised_in", sa.String(16), nullable=False, server_default="automatic"))
        booking.add_column(sa.Column("trouble", sa.String(32), nullable=False, server_default=""))
        booking.add_column(sa.Column("alternative_start_at", AT, nullable=True))
        booking.add_column(sa.Column("alternative_end_at", AT, nullable=True))
        booking.add_column(sa.Column("alternative_until_at", AT, nullable=True))
        booking.add_column(sa.Column("standing_id", sa.String(32), nullable=True))
        booking.add_column(sa.Column("standing_on", sa.String(10), nullable=True))
        booking.drop_constraint(op.f("ck_booking_status_known"), type_="check")
        booking.create_check_constraint(op.f("ck_booking_status_known"), _in("status", "disrupted", *_STATUS))
        booking.create_check_constraint(op.f("ck_booking_promised_in_known"), _in("promised_in", *_MODES))
        booking.create_check_constraint(op.f("ck_booking_trouble_known"), _in("trouble", *_TROUBLES))
        booking.create_check_constraint(
            op.f("ck_booking_alternative"), "(alternative_start_at IS NULL) = (alternative_end_at IS NULL)"
        )
        booking.create_foreign_key(op.f("fk_booking_standing_id"), "standing_booking", ["standing_id"], ["id"])
        booking.create_unique_constraint(op.f("uq_booking_standing_id_standing_on"), ["standing_id", "standing_on"])
        booking.drop_constraint(op.f("uq_booking_station_id_idempotency_key"), type_="unique")
        booking.create_unique_constraint(
            op.f("uq_booking_station_id_vehicle_id_idempotency_key"), ["station_id", "vehicle_id", "idempotency_key"]
        )
    # What was promised before: any pack that the vehicle takes.
    for column, source in (("kinds", "pack_kinds"), ("packs", "packs_per_vehicle")):
        op.execute(
            f"UPDATE booking SET {column} = (SELECT vehicle_model.{source} {_MODEL}) WHERE EXISTS (SELECT 1 {_MODEL})"
        )
    with op.batch_alter_table("booking") as booking:
        for name in ("kinds", "packs", "min_kwh", "priority", "promised_in", "trouble"):
            booking.alter_column(name, server_default=None)
    with op.batch_alter_table("swap") as swap:
        swap.drop_constraint(op.f("uq_swap_station_id_idempotency_key"), type_="unique")
        swap.create_unique_constraint(
            op.f("uq_swap_station_id_vehicle_id_idempotency_key"), ["station_id", "vehicle_id", "idempotency_key"]
        )


def downgrade() -> None:
    op.execute("UPDATE booking SET status = 'booked' WHERE status = 'disrupted'")
    with op.batch_alter_table("swap") as swap:
        swap.drop_constraint(op.f("uq_swap_station_id_vehicle_id_idempotency_key"), type_="unique")
        swap.create_unique_constraint(op.f("uq_swap_station_id_idempotency_key"), ["station_id", "idempotency_key"])
    with op.batch_alter_table("booking") as booking:
        booking.drop_constraint(op.f("uq_booking_station_id_vehicle_id_idempotency_key"), type_="unique")
        booking.create_unique_constraint(
            op.f("uq_booking_station_id_idempotency_key"), ["station_id", "idempotency_key"]
        )
        booking.drop_constraint(op.f("uq_booking_standing_id_standing_on"), type_="unique")
        booking.drop_constraint(op.f("fk_booking_standing_id"), type_="foreignkey")
        for name in ("alternative", "trouble_known", "promised_in_known", "status_known"):
            booking.drop_constraint(op.f(f"ck_booking_{name}"), type_="check")
        booking.create_check_constraint(op.f("ck_booking_status_known"), _in("status", *_STATUS))
        for name in (
            "kinds",
            "packs",
            "min_kwh",
            "priority",
            "promised_in",
            "trouble",
            "alternative_start_at",
            "alternative_end_at",
            "alternative_until_at",
            "standing_id",
            "standing_on",
        ):
            booking.drop_column(name)
    op.create_index(
        "uq_booking_open_vehicle",
        "booking",
        ["vehicle_id"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.drop_index("ix_standing_booking_by_status", table_name="standing_booking")
    op.drop_table("standing_booking")
