"""Columns that hold codes hold one of those that the program knows: a constraint for each.

A row with another code, which no version of this program has written, stops the upgrade with its table, its column and
the code; nothing is changed then.

Revision: 0009, after 0008.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KNOWN: dict[tuple[str, str], tuple[str, ...]] = {
    ("station", "mode"): (
        "automatic", "closed", "fire", "held", "manual", "thermal",
    ),
    ("bay", "role"): (
        "quarantine", "rack", "transfer",
    ),
    ("bay", "limited_by"): (
        "", "alarm", "bay_blocked", "bms", "charger", "charger_fault", "demand_response", "fire", "grid",
        "measured_import", "min_setpoint", "no_charger", "no_pack", "pack", "pack_state", "pack_temp", "rack",
        "role", "sensor", "site_unknown", "stale", "target", "tariff", "too_cold", "too_hot", "unknown",
    ),
    ("pack", "state"): (
        "blocked", "charging", "cooling", "evacuated", "identified", "on_vehicle", "picked", "quarantined", "ready",
        "received", "reserved", "waiting", "warming",
    ),
    ("hot_pack", "stage"): (
        "charging_stopped", "detected", "evacuated", "evacuation_started", "isolated",
    ),
    ("swap", "phase"): (
        "confirming", "held", "pending", "sent",
    ),
    ("swap", "hold_reason"): (
        "cell_changed", "check_failed", "fault", "guard_lost", "link_lost", "mode", "restart", "timeout", "trip",
        "unknown_result", "unsecured",
    ),
    ("robot_command", "result"): (
        "abandoned", "aborted", "done", "failed", "open", "refused",
    ),
    ("control_request", "status"): (
        "done", "expired", "open", "refused",
    ),
    ("booking", "status"): (
        "arrived", "booked", "cancelled", "expired", "failed", "fulfilled",
    ),
    ("bill", "kind"): (
        "correction", "reversal", "swap",
    ),
    ("bill_line", "kind"): (
        "energy", "service",
    ),
    ("party", "kind"): (
        "battery_owner", "energy_seller", "fleet", "platform", "station_operator", "supervisor",
    ),
    ("vehicle_model", "swap_mode"): (
        "chassis", "side_grab", "top_lift",
    ),
}  # fmt: skip
_NEVER_CHANGED = ("bill", "bill_line")
"""Tables whose triggers a batch change on SQLite would lose."""


def upgrade() -> None:
    for (table, column), codes in _KNOWN.items():
        _refuse_others(table, column, codes)
    _change(drop=False)


def downgrade() -> None:
    _change(drop=True)


def _refuse_others(table: str, column: str, codes: tuple[str, ...]) -> None:
    there = sa.table(table, sa.column(column))
    others = sa.select(there.c[column]).where(there.c[column].not_in(codes)).distinct().limit(5)
    found = op.get_bind().execute(others).scalars().all()
    if found:
        raise RuntimeError(
            f"{table}.{column} = {', '.join(repr(code) for code in found)}: allowed {', '.join(map(repr, codes))}; "
            "no version of this program has written that; look with `swap audit`, mend the row, then upgrade again"
        )


def _change(*, drop: bool) -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in dict.fromkeys(table for table, _ in _KNOWN):
        if sqlite and table in _NEVER_CHANGED:
            _triggers(table, keep=False)
        with op.batch_alter_table(table) as batch:
            for column, codes in ((name, codes) for (of, name), codes in _KNOWN.items() if of == table):
                constraint = op.f(f"ck_{table}_{column}_known")
                if drop:
                    batch.drop_constraint(constraint, type_="check")
                else:
                    listed = ", ".join(f"'{code}'" for code in codes)
                    batch.create_check_constraint(constraint, f"{column} IN ({listed})")
        if sqlite and table in _NEVER_CHANGED:
            _triggers(table, keep=True)


def _triggers(table: str, *, keep: bool) -> None:
    for action in ("update", "delete"):
        if keep:
            op.execute(
                f"CREATE TRIGGER {table}_no_{action} BEFORE {action.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} rows are never changed'); END"
            )
        else:
            op.execute(f"DROP TRIGGER {table}_no_{action}")
