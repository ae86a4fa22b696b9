"""What firms may be told of, and what of the journal is told as that. The data is thin: ids, and what is read at once;
what the receiver may see of the record it asks for by `href`, with its own rights."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from swap.messages.commerce import (
    BillIssued,
    BillReversed,
    BookingChanged,
    BookingDisrupted,
    BookingEnded,
    BookingMade,
    BookingRestored,
)
from swap.messages.events import SwapCancelled, SwapCompleted, SwapReturned


class WebhookKind(StrEnum):
    """What happened."""

    BOOKING_PROMISED = "booking.promised"
    BOOKING_CHANGED = "booking.changed"
    BOOKING_DISRUPTED = "booking.disrupted"
    """The promise cannot be kept as things stand; an alternative is kept where there is one."""
    BOOKING_RESTORED = "booking.restored"
    BOOKING_ENDED = "booking.ended"
    SWAP_ENDED = "swap.ended"
    BILL_ISSUED = "bill.issued"
    BILL_REVERSED = "bill.reversed"
    INVOICE_ISSUED = "invoice.issued"
    CONTRACT_CHANGED = "contract.changed"
    PAYMENT_TAKEN = "payment.taken"
    PAYMENT_REFUNDED = "payment.refunded"


@dataclass(frozen=True, slots=True)
class FromJournal:
    """How an event of the journal is told."""

    kind: WebhookKind
    about: str
    """What it is about: booking, swap or bill."""
    fields: tuple[str, ...] = ()
    """Of the event, as they stand there."""
    state: str | None = None
    """What the event has made of the swap; None: nothing."""


_WINDOW = ("window_start_at", "window_end_at")
_OTHER = ("reason", "alternative_start_at", "alternative_end_at", "kept_until_at")
FROM_JOURNAL = {
    BookingMade.kind: FromJournal(WebhookKind.BOOKING_PROMISED, "booking", (*_WINDOW, "promised_in", "standing_id")),
    BookingChanged.kind: FromJournal(WebhookKind.BOOKING_CHANGED, "booking", (*_WINDOW, "promised_in")),
    BookingDisrupted.kind: FromJournal(WebhookKind.BOOKING_DISRUPTED, "booking", _OTHER),
    BookingRestored.kind: FromJournal(WebhookKind.BOOKING_RESTORED, "booking"),
    BookingEnded.kind: FromJournal(WebhookKind.BOOKING_ENDED, "booking", ("status", "reason")),
    SwapCompleted.kind: FromJournal(WebhookKind.SWAP_ENDED, "swap", state="completed"),
    SwapReturned.kind: FromJournal(WebhookKind.SWAP_ENDED, "swap", state="returned"),
    SwapCancelled.kind: FromJournal(WebhookKind.SWAP_ENDED, "swap", state="cancelled"),
    BillIssued.kind: FromJournal(WebhookKind.BILL_ISSUED, "bill"),
    BillReversed.kind: FromJournal(WebhookKind.BILL_REVERSED, "bill", ("reverses",)),
}
"""By the kind of the journal's event."""


class DeliveryOutcome(StrEnum):
    """How sending an event to an endpoint ended."""

    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up after the last try."""
