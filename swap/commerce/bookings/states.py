"""The status of a booking."""

from __future__ import annotations

from enum import StrEnum

from swap.state_table import Row, StateTable


class BookingStatus(StrEnum):
    """Where a booking stands."""

    BOOKED = "booked"
    DISRUPTED = "disrupted"
    """As things stand the promise cannot be kept; its holder was told, and may still come."""
    ARRIVED = "arrived"
    """The truck has checked in."""
    FULFILLED = "fulfilled"
    """Its swap exchanged every pack."""
    FAILED = "failed"
    """Its swap ended without an exchange."""
    EXPIRED = "expired"
    """Window and grace passed without the truck."""
    CANCELLED = "cancelled"


class BookingTrigger(StrEnum):
    """What changes the status of a booking."""

    DISRUPT = "disrupt"
    RESTORE = "restore"
    ARRIVE = "arrive"
    FULFIL = "fulfil"
    FAIL = "fail"
    EXPIRE = "expire"
    CANCEL = "cancel"


_B = BookingStatus
BOOKING: StateTable[BookingStatus, BookingTrigger] = StateTable(
    "booking",
    _B,
    (
        Row(BookingTrigger.DISRUPT, (_B.BOOKED,), _B.DISRUPTED),
        Row(BookingTrigger.RESTORE, (_B.DISRUPTED,), _B.BOOKED),
        Row(BookingTrigger.ARRIVE, (_B.BOOKED, _B.DISRUPTED), _B.ARRIVED),
        Row(BookingTrigger.CANCEL, (_B.BOOKED, _B.DISRUPTED), _B.CANCELLED),
        Row(BookingTrigger.EXPIRE, (_B.BOOKED, _B.DISRUPTED), _B.EXPIRED),
        Row(BookingTrigger.FULFIL, (_B.ARRIVED,), _B.FULFILLED),
        Row(BookingTrigger.FAIL, (_B.ARRIVED,), _B.FAILED),
    ),
)

OPEN = tuple(status.value for status in BOOKING.states if status not in BOOKING.ends)
"""Promises that may still be kept."""
COMING = tuple(status.value for status in BOOKING.states if BOOKING.allows(status, BookingTrigger.ARRIVE))
"""Their truck has not come."""
