"""Errors of commerce that a caller can act on.

SwapError
└── CommerceError
    ├── WindowNotAllowed    (InvalidInput)  the window is too short, too long, past or too far ahead
    ├── SlotsFull           (Conflict)      the window's capacity is sold
    ├── BookingOpen         (Conflict)      the vehicle has a booking already
    ├── BookingNotUsable    (Conflict)      another vehicle's, ended, too early or too late
    ├── SwapOpen            (Conflict)      the vehicle has an open swap
    ├── KeyReused           (Conflict)      the idempotency key belongs to another request
    ├── NotServed           (Conflict)      the station is closed or does not serve this vehicle
    └── BillNotReversible   (Conflict)      it is a reversal, or was reversed before
"""

from __future__ import annotations

from swap.errors import Conflict, InvalidInput, SwapError


class CommerceError(SwapError):
    """Base of the errors of bookings and bills."""


class WindowNotAllowed(CommerceError, InvalidInput):
    """A window outside the station's rules."""


class SlotsFull(CommerceError, Conflict):
    """No swap is left to promise in the window. `detail` names the next free window, where there is one."""


class BookingOpen(CommerceError, Conflict):
    """The vehicle has an open booking; it must be cancelled or used first."""


class BookingNotUsable(CommerceError, Conflict):
    """The booking is not the vehicle's, has ended, or its window is not now."""


class SwapOpen(CommerceError, Conflict):
    """The vehicle has an open swap."""


class KeyReused(CommerceError, Conflict):
    """The idempotency key was used with other content."""


class NotServed(CommerceError, Conflict):
    """The station is closed, or the vehicle's model is not in its file."""


class BillNotReversible(CommerceError, Conflict):
    """The bill is a reversal, or was reversed before."""
