"""What may stand in columns that hold codes: a constraint of the table, on both engines.

Codes of the rooms below come from their enums; those of the rooms above stand here once more, and a test compares them
with the enums there (`swap.audit.allowed`). A code more needs a migration that makes the constraint anew.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, MetaData

from scheduler.tariff import PERIODS
from scheduler.types import BayRole, Limit, PackState, StationMode

KNOWN: dict[tuple[str, str], tuple[str, ...]] = {
    ("station", "mode"): tuple(StationMode),
    ("bay", "role"): tuple(BayRole),
    ("bay", "limited_by"): ("", *Limit),
    ("pack", "state"): tuple(PackState),
    ("hot_pack", "stage"): ("detected", "charging_stopped", "evacuation_started", "evacuated", "isolated"),
    ("swap", "phase"): ("pending", "sent", "confirming", "held"),
    ("swap", "hold_reason"): (
        *("trip", "guard_lost", "unsecured", "link_lost", "mode", "restart", "fault", "timeout", "check_failed"),
        *("cell_changed", "unknown_result"),
    ),
    ("robot_command", "result"): ("open", "done", "failed", "aborted", "refused", "abandoned"),
    ("control_request", "status"): ("open", "done", "refused", "expired"),
    ("booking", "status"): ("booked", "disrupted", "arrived", "fulfilled", "failed", "expired", "cancelled"),
    ("booking", "promised_in"): tuple(StationMode),
    ("booking", "trouble"): (
        *("", "station_mode", "no_lane", "no_kind", "too_few_packs", "too_much_energy", "slots_full"),
        *("packs_promised", "not_entitled", "other_booking"),
    ),
    ("standing_booking", "status"): ("active", "ended"),
    ("bill", "kind"): ("swap", "reversal", "correction"),
    ("bill_line", "kind"): ("energy", "service"),
    ("party", "kind"): (
        "fleet",
        "battery_owner",
        "station_operator",
        "energy_seller",
        "supervisor",
        "platform",
    ),
    ("lease_contract", "state"): (
        "draft",
        "offered",
        "signed",
        "active",
        "suspended",
        "ended",
        "settled",
        "withdrawn",
    ),
    ("vehicle_override", "kind"): ("credit_override", "safety_override"),
    ("reading", "origin"): ("journal", "swap", "entered", "imported"),
    ("reading", "quantity"): (
        "odometer_km",
        "engine_h",
        "tonnes",
        "counter_kwh",
        "energy_kwh",
        "soh_pct",
        "energy_price",
    ),
    ("bill_line", "sale"): ("own", "collected"),
    ("bill_line", "tariff_period"): PERIODS,
    ("invoice", "kind"): ("invoice", "red"),
    ("invoice_line", "sale"): ("own", "collected"),
    ("vehicle_model", "swap_mode"): ("top_lift", "side_grab", "chassis"),
    ("ledger_account", "kind"): (
        *("bank", "clearing", "receivable", "prepaid", "deposit_paid", "tax_in", "payable", "wallet", "deposit_held"),
        *("tax_out", "unmatched", "income", "cost"),
    ),
    ("ledger_transfer", "kind"): ("posted", "pending", "void"),
    ("ledger_leg", "kind"): ("posted", "pending", "void"),
    ("webhook_endpoint", "ended_why"): ("", "owner", "gone"),
    ("webhook_event", "kind"): (
        *("booking.promised", "booking.changed", "booking.disrupted", "booking.restored", "booking.ended"),
        *("swap.ended", "bill.issued", "bill.reversed", "invoice.issued", "contract.changed"),
        *("payment.taken", "payment.refunded"),
    ),
    ("webhook_delivery", "outcome"): ("delivered", "dead"),
    ("payment", "method"): ("bank", "wallet", "channel_a", "channel_b", "net"),
    ("payment", "purpose"): ("debt", "top_up"),
    ("bank_line_end", "outcome"): ("payment", "refund", "channel", "other"),
    ("acquirer_order", "channel"): ("channel_a", "channel_b"),
    ("acquirer_order", "purpose"): ("debt", "top_up"),
    ("acquirer_call", "channel"): ("channel_a", "channel_b"),
}
"""By table and column. A column that may be NULL may be so besides. Not the kinds of requests: the controller refuses
an unknown one, with its reason."""


def constrain(metadata: MetaData) -> None:
    """Give every table of codes its constraints."""
    for (table, column), codes in KNOWN.items():
        listed = ", ".join(f"'{code}'" for code in sorted(codes))
        constraint = CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")
        metadata.tables[table].append_constraint(constraint)
