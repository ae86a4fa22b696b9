"""What a column may hold, by the unit in its name or by the codes that the program writes."""

from __future__ import annotations

from enum import Enum
from typing import get_args

from battery_bms.config import BaySection
from robotics.faults import load_faults
from robotics.port import CommandCode
from scheduler.tariff import PERIODS
from scheduler.types import Limit, PackState, StationMode
from swap.commerce.bills.invoices import BLUE, RED
from swap.commerce.bookings.rules import Why
from swap.commerce.bookings.states import BookingStatus
from swap.commerce.charges import Sale
from swap.commerce.leases.states import LeaseState
from swap.commerce.ledger.chart import chart
from swap.commerce.ledger.postings import CHANNELS, DEBT, METHODS, TOP_UP
from swap.commerce.ledger.transfers import TransferKind
from swap.commerce.payments.bank import OUTCOMES
from swap.commerce.webhooks.kinds import WebhookKind
from swap.config.station_file import PartySection, VehicleModelSection
from swap.messages.requests import REQUESTS
from swap.station.sequence.session import HoldReason, Phase
from swap.station.states.thermal_stages import Stage
from swap.zones import zone_names

Span = tuple[float, float, str]
"""Least, most, unit."""

_SEATS_MAX = 8
"""More than any vehicle has: a recipe says how many it serves."""
_BY_COLUMN: dict[str, Span] = {
    "seat": (1, _SEATS_MAX, ""),
    "pack_count": (1, _SEATS_MAX, ""),
    "packs_per_vehicle": (1, _SEATS_MAX, ""),
    "tries": (0, 10_000, ""),
    "packs": (1, _SEATS_MAX, ""),
    "window_min": (1, 1440, "min"),
    "priority": (-1_000_000, 1_000_000, ""),
    "token": (1, 65_535, ""),
    "tag": (1, 2**32 - 1, ""),
    "vehicle_tag": (0, 2**32 - 1, ""),
    "level": (1, 3, ""),
    "number": (1, 1_000_000_000, ""),
    "bill_line_no": (1, 10_000, ""),
    "contract_version": (1, 1_000_000, ""),
    "tax_rate_bp": (0, 10_000, "× 0.0001"),
    "share_bp": (0, 10_000, "× 0.0001"),
    "version": (0, 2**62, ""),
    "epoch": (1, 2**31, ""),
    "line_no": (1, 10_000_000, ""),  # a buyer's month has a line for each line of his bills
    "ready_packs": (0, 10_000, ""),
    "queue_length": (0, 10_000, ""),
    "unit_price_1e4_yuan": (0, 10**13, "× 0.0001 yuan"),
    "source": (0, 65_535, ""),
    "target": (0, 65_535, ""),
    "fault_code": (0, 65_535, ""),
    "soh_pct": (0.1, 100, "%"),
}
_NUMBERS = {("robot_command", "seq"), ("swap", "seq"), ("hot_pack", "seq")}
"""Command numbers, which go around the circle."""
_BY_UNIT: dict[str, Span] = {
    "_pct": (0, 100, "%"),
    "_c": (-60, 1_500, "°C"),
    "import_kw": (-100_000, 100_000, "kW"),
    "storage_kw": (-100_000, 100_000, "kW"),
    "_kw": (0, 100_000, "kW"),
    "_kwh": (0, 1e9, "kWh"),
}
"""By the end of the name; the first that fits."""
_OTHER = {
    ("bank_line", "line_no"),
    ("bill_line", "energy_centi_kwh"),
    ("charge", "source"),
    ("charge", "unit_price_1e4_yuan"),
    ("custody_move", "source"),
    ("custody_move", "target"),
    ("lease_version", "rated_kwh"),
}
"""No numbers of the unit that their name ends with."""


def range_of(table: str, column: str) -> Span | None:
    """What the numbers of a column may be; None where nothing is said of it."""
    if (table, column) in _NUMBERS:
        return (1, 65_535, "")
    if (table, column) in _OTHER:
        return None
    if column in _BY_COLUMN:
        return _BY_COLUMN[column]
    return next((span for end, span in _BY_UNIT.items() if column.endswith(end)), None)


def _values(kind: type[Enum]) -> frozenset[str]:
    return frozenset(str(member.value) for member in kind)


def _literals(section: type, field: str) -> frozenset[str]:
    return frozenset(get_args(section.model_fields[field].annotation))  # type: ignore[attr-defined]


CODES: dict[tuple[str, str], frozenset[object]] = {
    ("station", "mode"): _values(StationMode),
    ("station", "timezone"): zone_names(),
    ("bay", "role"): _literals(BaySection, "role"),
    ("bay", "limited_by"): _values(Limit) | {""},
    ("pack", "state"): _values(PackState),
    ("hot_pack", "stage"): _values(Stage),
    ("swap", "phase"): _values(Phase),
    ("swap", "hold_reason"): _values(HoldReason),
    ("robot_command", "code"): frozenset(int(code) for code in CommandCode),
    ("robot_command", "result"): frozenset({"open", "done", "failed", "aborted", "refused", "abandoned"}),
    ("fault", "code"): frozenset(load_faults()),
    ("control_request", "kind"): frozenset(REQUESTS),
    ("control_request", "status"): frozenset({"open", "done", "refused", "expired"}),
    ("booking", "status"): _values(BookingStatus),
    ("booking", "promised_in"): _values(StationMode),
    ("booking", "trouble"): _values(Why) | {""},
    ("standing_booking", "status"): frozenset({"active", "ended"}),
    ("bill", "kind"): frozenset({"swap", "reversal", "correction"}),
    ("bill_line", "kind"): frozenset({"energy", "service"}),
    ("lease_contract", "state"): _values(LeaseState),
    ("vehicle_override", "kind"): frozenset({"credit_override", "safety_override"}),
    ("reading", "origin"): frozenset({"journal", "swap", "entered", "imported"}),
    ("reading", "quantity"): frozenset(
        {"odometer_km", "engine_h", "tonnes", "counter_kwh", "energy_kwh", "soh_pct", "energy_price"}
    ),
    ("bill_line", "sale"): _values(Sale),
    ("bill_line", "tariff_period"): frozenset(PERIODS),
    ("invoice", "kind"): frozenset({BLUE, RED}),
    ("invoice_line", "sale"): _values(Sale),
    ("party", "kind"): _literals(PartySection, "kind"),
    ("ledger_account", "kind"): frozenset(chart()),
    ("ledger_transfer", "kind"): _values(TransferKind),
    ("ledger_leg", "kind"): _values(TransferKind),
    ("payment", "method"): frozenset(METHODS),
    ("payment", "purpose"): frozenset({DEBT, TOP_UP}),
    ("bank_line_end", "outcome"): frozenset(OUTCOMES),
    ("acquirer_order", "channel"): frozenset(CHANNELS),
    ("acquirer_order", "purpose"): frozenset({DEBT, TOP_UP}),
    ("acquirer_call", "channel"): frozenset(CHANNELS),
    ("webhook_endpoint", "ended_why"): frozenset({"", "owner", "gone"}),
    ("webhook_event", "kind"): _values(WebhookKind),
    ("webhook_delivery", "outcome"): frozenset({"delivered", "dead"}),
    ("vehicle_model", "swap_mode"): _literals(VehicleModelSection, "swap_mode"),
}
"""What may stand in a column, by table and column."""
