"""Errors of commerce that a caller can act on.

SwapError
└── CommerceError
    ├── WindowNotAllowed    (InvalidInput)  the window is too short, too long, past or too far ahead
    ├── SlotsFull           (Conflict)      the window's capacity is sold
    ├── PacksPromised       (Conflict)      too few charged packs are left in the window
    ├── StationAway         (Conflict)      the station is not expected to be back when the window opens
    ├── BookingOpen         (Conflict)      the vehicle has a booking at that time already
    ├── BookingNotUsable    (Conflict)      another vehicle's, ended, too early or too late
    ├── BillNotReversible   (Conflict)      it is a reversal, or was reversed before
    ├── PeriodNotClosable   (Conflict)      the month is not over, or a later one is closed
    ├── TransferDiffers     (Conflict)      the id of a transfer belongs to other content
    ├── HoldEnded           (Conflict)      a pending transfer was settled, voided or is over
    ├── Overdrawn           (Conflict)      an account would fall below what it may
    ├── NotRefundable       (Conflict)      more than is left of the payment
    ├── BankLineKnown       (Conflict)      a line of a bank file was read before
    ├── SignatureWrong      (CommerceError) a call whose signature is wrong, or too old
    └── FileUnreadable      (InvalidInput)  a bank file that cannot be read; line, field and value are named
"""

from __future__ import annotations

from swap.errors import Conflict, InvalidInput, SwapError


class CommerceError(SwapError):
    """Base of the errors of bookings and bills."""


class WindowNotAllowed(CommerceError, InvalidInput):
    """A window outside the station's rules."""


class SlotsFull(CommerceError, Conflict):
    """No swap is left to promise in the window. `detail` names a window that is kept for the asker, where there is
    one, else the instant before which there is none."""


class PacksPromised(SlotsFull):
    """Lanes are free in the window, and every pack that will be charged by then is promised."""


class StationAway(SlotsFull):
    """The window opens before the station is expected to serve again."""


class BookingOpen(CommerceError, Conflict):
    """The vehicle has an open booking at that time; it must be cancelled or used first."""


class BookingNotUsable(CommerceError, Conflict):
    """The booking is not the vehicle's, has ended, or its window is not now."""


class PeriodNotClosable(CommerceError, Conflict):
    """The month is not over, or the seller has closed a later one."""


class BillNotReversible(CommerceError, Conflict):
    """The bill is a reversal, or was reversed before."""


class TransferDiffers(CommerceError, Conflict):
    """A transfer of this id was posted, with other content."""


class HoldEnded(CommerceError, Conflict):
    """The pending transfer was settled or voided before, its time is over, or less was held."""


class Overdrawn(CommerceError, Conflict):
    """An account would fall below 0, or below the credit that is granted."""


class NotRefundable(CommerceError, Conflict):
    """More was to be given back than is left of the payment."""


class BankLineKnown(CommerceError, Conflict):
    """A line of a bank file has the number of one that was read before, in the same file or an earlier one."""


class SignatureWrong(CommerceError):
    """A call that the acquirer has not signed, or not now."""


class FileUnreadable(CommerceError, InvalidInput):
    """A bank file that cannot be read."""
