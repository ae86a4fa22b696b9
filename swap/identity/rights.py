"""The one table of who may do what: operation, whose rows, second factor. The pages and the tests are made from it.

A row is named as the operation in the OpenAPI document, which is the name of its route's function; `ask.KIND` is what
`ask` needs for a request of that kind. An operation without a row is refused to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person or a key is there for."""

    ADMINISTRATOR = "administrator"
    STATION_OPERATOR = "station_operator"
    SHIFT_WORKER = "shift_worker"
    SAFETY_OFFICER = "safety_officer"
    FLEET_OPERATOR = "fleet_operator"
    DRIVER = "driver"
    BATTERY_OWNER = "battery_owner"
    ACCOUNTANT = "accountant"
    PLANNER = "planner"
    SUPERVISOR = "supervisor"


class Factor(StrEnum):
    """What is asked for again, beside the sign-in."""

    PIN = "pin"
    """Where a robot may move."""
    TOTP = "totp"
    """Where money moves, in the books or by what a contract charges, or somebody is let owe more. A person is asked for
    it; a machine has no device, and does what its scope names."""


@dataclass(frozen=True, slots=True)
class Right:
    """Who may do one operation, and with whose rows."""

    scope: str | None
    """What a key must hold; None: no key may."""
    every: frozenset[Role] = frozenset()
    """With everything."""
    station: frozenset[Role] = frozenset()
    """With the stations that the own organisation operates; roles of other organisations do not count here."""
    own: frozenset[Role] = frozenset()
    """With what is the own organisation's; of a station operator that is its stations."""
    factor: Factor | None = None
    anyone: bool = False
    """Nobody need sign in."""


def _roles(names: str) -> frozenset[Role]:
    return frozenset(Role) if names == "*" else frozenset(Role(name) for name in names.split())


def right(scope: str | None, *, every: str = "", station: str = "", own: str = "", factor: str = "") -> Right:
    """A row of the table; roles separated by blanks, `*` for all of them."""
    return Right(scope, _roles(every), _roles(station), _roles(own), Factor(factor) if factor else None)


ANYONE = Right(None, anyone=True)
SIGNED_IN = right(None, every="*")
"""Every person, with the own account."""

_SEE = "administrator supervisor"
_FIRM = "station_operator battery_owner fleet_operator accountant"
_PAYS = "fleet_operator battery_owner accountant"
_STAFF = "station_operator shift_worker safety_officer"

RIGHTS: dict[str, Right] = {
    # open to all
    "health": ANYONE,
    "problems": ANYONE,
    "login": ANYONE,
    "refresh": ANYONE,
    "logout": ANYONE,
    "ask": ANYONE,  # a hold; every other kind has its own row below
    # what a station shows everyone
    "stations": right("stations:read", every="*"),
    "station": right("stations:read", every="*"),
    "availability": right("stations:read", every="*"),
    "prices": right("stations:read", every="*"),
    # the station at work
    "state": right("station:read", every=_SEE, station=f"{_STAFF} planner"),
    "power": right("station:read", every=_SEE, station=f"{_STAFF} planner"),
    "metrics": right("metrics:read", every=_SEE, station="station_operator"),
    "faults": right("station:read", every=_SEE, station=f"{_STAFF} planner"),
    "acknowledge": right(None, every="administrator", station=_STAFF),
    "events": right("events:read", every=_SEE, station=f"{_STAFF} planner", own="fleet_operator battery_owner"),
    "event_stream": right("events:read", every=_SEE, station=f"{_STAFF} planner", own="fleet_operator battery_owner"),
    "packs": right("packs:read", every=_SEE, station=f"{_STAFF} planner", own="fleet_operator battery_owner"),
    "pack": right("packs:read", every=_SEE, station=f"{_STAFF} planner", own="fleet_operator battery_owner"),
    # requests of the controller
    "request": right(None, every=_SEE, station=_STAFF),
    "ask.hold": ANYONE,
    "ask.confirm": right(None, every="administrator", station=_STAFF, factor="pin"),
    "ask.resume": right(None, every="administrator", station=_STAFF, factor="pin"),
    "ask.automatic": right(None, every="administrator", station=_STAFF, factor="pin"),
    "ask.reset": right(None, every="administrator", station=_STAFF, factor="pin"),
    "ask.decide": right(None, every="administrator", station=_STAFF, factor="pin"),
    "ask.permit_restart": right(None, every="administrator", station="station_operator safety_officer", factor="pin"),
    "ask.release_pack": right(None, every="administrator", station="station_operator safety_officer", factor="pin"),
    "ask.take_out_pack": right(None, every="administrator", station="station_operator safety_officer", factor="pin"),
    "ask.bring_in_pack": right(None, every="administrator", station="station_operator safety_officer", factor="pin"),
    "ask.release_bay": right(None, every="administrator", station="station_operator safety_officer", factor="pin"),
    "ask.manual": right(None, every="administrator", station=_STAFF),
    "ask.close": right(None, every="administrator", station=_STAFF),
    "ask.cancel_swap": right(None, every="administrator", station=_STAFF),
    "ask.demand_response": right(None, every="administrator", station="station_operator"),
    # bookings and swaps
    "bookings": right("bookings:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner accountant"),
    "booking": right("bookings:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner accountant"),
    "book": right(
        "bookings:write", every="administrator", station="station_operator shift_worker", own="fleet_operator driver"
    ),
    "cancel": right(
        "bookings:write", every="administrator", station="station_operator shift_worker", own="fleet_operator driver"
    ),
    "change_window": right(
        "bookings:write", every="administrator", station="station_operator shift_worker", own="fleet_operator driver"
    ),
    "stand": right(
        "bookings:write", every="administrator", station="station_operator shift_worker", own="fleet_operator driver"
    ),
    "standing_bookings": right(
        "bookings:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner accountant"
    ),
    "standing_booking": right(
        "bookings:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner accountant"
    ),
    "change_standing_booking": right(
        "bookings:write", every="administrator", station="station_operator shift_worker", own="fleet_operator driver"
    ),
    "end_standing_booking": right(
        "bookings:write", every="administrator", station="station_operator shift_worker", own="fleet_operator driver"
    ),
    "offered": right(
        "bookings:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner battery_owner accountant"
    ),
    "arrive": right(
        "swaps:write", every="administrator", station="station_operator shift_worker", own="fleet_operator driver"
    ),
    "swaps": right("swaps:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner accountant"),
    "swap": right("swaps:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner accountant"),
    # money
    "bills": right("bills:read", every=_SEE, station="station_operator", own="fleet_operator battery_owner accountant"),
    "bill": right("bills:read", every=_SEE, station="station_operator", own="fleet_operator battery_owner accountant"),
    # the ledger and payments
    "ledger_accounts": right("ledger:read", every=_SEE, own=_FIRM),
    "ledger_entries": right("ledger:read", every=_SEE, own=_FIRM),
    "account_document": right("ledger:read", every=_SEE, own=_FIRM),
    "payments": right("payments:read", every=_SEE, own=_FIRM),
    "payment": right("payments:read", every=_SEE, own=_FIRM),
    "payment_order": right("payments:read", every=_SEE, own=_FIRM),
    "pay": right("payments:write", every="administrator", own=_PAYS, factor="totp"),
    "acquirer_callback": ANYONE,  # its signature says who it is
    "refund_payment": right("payments:write", every="administrator", factor="totp"),
    "top_up": right("payments:write", every="administrator", own=_PAYS),
    "wallet_credit": right(None, every="administrator", factor="totp"),
    "hold_money": right("payments:write", every="administrator"),
    "release_money": right("payments:write", every="administrator"),
    "bank_file": right("payments:write", every="administrator", factor="totp"),
    "bank_lines": right("payments:read", every=_SEE, own=_FIRM),
    "end_line": right("payments:write", every="administrator", factor="totp"),
    "charge_deposit": right("payments:write", every="administrator", factor="totp"),
    "release": right("payments:write", every="administrator", factor="totp"),
    "receipt": right("payments:read", every=_SEE, own=_FIRM),
    "make_net_statement": right("payments:write", every="administrator", factor="totp"),
    "net_statements": right("payments:read", every=_SEE, own=_FIRM),
    "net_document": right("payments:read", every=_SEE, own=_FIRM),
    "quotes": right("bills:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner accountant"),
    "bill_why": right("bills:read", every=_SEE, station="station_operator accountant", own="fleet_operator accountant"),
    "reverse": right(None, every="administrator", station="station_operator accountant", factor="totp"),
    "correct": right(None, every="administrator", station="station_operator accountant", factor="totp"),
    "invoices": right("invoices:read", every=_SEE, own=_FIRM),
    "invoice": right("invoices:read", every=_SEE, own=_FIRM),
    "invoice_document": right("invoices:read", every=_SEE, own=_FIRM),
    "close_month": right(None, every="administrator", own="station_operator battery_owner accountant", factor="totp"),
    "settlements": right("invoices:read", every=_SEE, own=_FIRM),
    "settlement_document": right("invoices:read", every=_SEE, own=_FIRM),
    # lease contracts
    "contracts": right("contracts:read", every=_SEE, own=f"{_FIRM} planner"),
    "contract": right("contracts:read", every=_SEE, own=f"{_FIRM} planner"),
    "draft_contract": right(None, every="administrator", own="station_operator battery_owner"),
    "add_version": right(None, every="administrator", own="station_operator battery_owner", factor="totp"),
    "answer_offer": right(
        None, every="administrator", own="station_operator battery_owner fleet_operator", factor="totp"
    ),
    "take_step": right(None, every="administrator", own="station_operator battery_owner fleet_operator", factor="totp"),
    "arrears": right(None, every="administrator", own="station_operator battery_owner accountant", factor="totp"),
    "override_contract": right(
        None, every="administrator", station="station_operator", own="battery_owner", factor="totp"
    ),
    "override_for_safety": right(None, every="administrator", station="safety_officer", factor="pin"),
    "override_without_contract": right(None, every="administrator", station="station_operator", factor="totp"),
    "override_for_safety_without_contract": right(None, every="administrator", station="safety_officer", factor="pin"),
    "charge_item": right(None, every="administrator", own="station_operator battery_owner", factor="totp"),
    "charges_of_contract": right("contracts:read", every=_SEE, own=_FIRM),
    "charges": right("contracts:read", every=_SEE, own=_FIRM),
    "custody": right("packs:read", every=_SEE, own="battery_owner fleet_operator station_operator"),
    "pack_uses": right("packs:read", every=_SEE, own="battery_owner station_operator"),
    "right": right(
        "stations:read", every=_SEE, station=_STAFF, own="fleet_operator driver planner battery_owner accountant"
    ),
    "readings": right("readings:write", every="administrator", own="station_operator"),
    # webhooks of the own firm
    "webhooks": right("webhooks:read", every=_SEE, own=_FIRM),
    "webhook": right("webhooks:read", every=_SEE, own=_FIRM),
    "webhook_deliveries": right("webhooks:read", every=_SEE, own=_FIRM),
    "make_webhook": right("webhooks:write", every="administrator", own=_FIRM),
    "end_webhook": right("webhooks:write", every="administrator", own=_FIRM),
    "renew_webhook_secret": right("webhooks:write", every="administrator", own=_FIRM),
    "replay_webhook": right("webhooks:write", every="administrator", own=_FIRM),
    # the own account
    "me": Right("me:read", every=frozenset(Role)),
    "change_password": SIGNED_IN,
    "set_own_pin": SIGNED_IN,
    "begin_totp": SIGNED_IN,
    "finish_totp": SIGNED_IN,
    # accounts and keys
    "organisations": right("organisations:read", every=_SEE),
    "users": right(None, every=_SEE),
    "user": right(None, every=_SEE),
    "create_user": right(None, every="administrator"),
    "change_user": right(None, every="administrator"),
    "reset_password": right(None, every="administrator"),
    "api_keys": right(None, every=_SEE),
    "create_api_key": right(None, every="administrator"),
    "revoke_api_key": right(None, every="administrator"),
    "access_changes": right(None, every=_SEE),
}
"""By operation."""

SCOPES = tuple(sorted({row.scope for row in RIGHTS.values() if row.scope is not None}))
"""What a key may hold."""
NO_RIGHT = Right(None)
"""Of an operation without a row: nobody may."""


def right_of(operation: str) -> Right:
    """The row of an operation; nobody may do one that has none."""
    return RIGHTS.get(operation, NO_RIGHT)
