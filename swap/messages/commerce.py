"""What the journal tells of bookings and bills; read as the other events are (`swap.messages.events`)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from swap.messages.base import Event, Instant, Message


class BookingMade(Event):
    """A swap is promised in a time window."""

    kind: ClassVar = "booking.made"
    booking_id: str
    vehicle_id: str
    window_start_at: Instant
    window_end_at: Instant
    slot_s: int | None = None
    """Length of the slots in which swaps were promised."""
    swaps_per_slot: str | None = None
    """How many swaps all lanes together could serve in a slot, as a fraction: `5/2`."""
    kinds: tuple[str, ...] = ()
    """Any pack of these; empty in events of the time before kinds were promised."""
    packs: int = 1
    min_kwh: float = 0.0
    priority: int = 0
    promised_in: str = "automatic"
    """Mode of the station."""
    standing_id: str | None = None
    standing_on: str | None = None
    """Local day of the standing booking."""
    stock_packs: int | None = None
    """Packs of these kinds that the station had to promise from, charged or not."""
    turnaround_s: int | None = None
    """Least time after which a pack that comes back can be handed out again."""


class BookingChanged(Event):
    """A booking promises another window, or other packs."""

    kind: ClassVar = "booking.changed"
    booking_id: str
    window_start_at: Instant
    window_end_at: Instant
    kinds: tuple[str, ...]
    min_kwh: float
    promised_in: str
    stock_packs: int
    turnaround_s: int


class BookingRefused(Event):
    """A swap was not promised; an alternative is kept for the asker for a short time."""

    kind: ClassVar = "booking.refused"
    vehicle_id: str
    window_start_at: Instant
    window_end_at: Instant
    kinds: tuple[str, ...]
    packs: int
    min_kwh: float
    priority: int
    reason: str
    """A code of `swap.commerce.bookings.rules.Why`."""
    alternative_start_at: Instant | None = None
    alternative_end_at: Instant | None = None
    kept_until_at: Instant | None = None
    none_before_at: Instant | None = None
    """There is no alternative before this."""


class BookingDisrupted(Event):
    """A promise cannot be kept as things stand."""

    kind: ClassVar = "booking.disrupted"
    booking_id: str
    vehicle_id: str
    reason: str
    """A code of `swap.commerce.bookings.rules.Why`."""
    alternative_start_at: Instant | None = None
    alternative_end_at: Instant | None = None
    kept_until_at: Instant | None = None


class BookingRestored(Event):
    """A promise that could not be kept can be kept again."""

    kind: ClassVar = "booking.restored"
    booking_id: str


class StandingMade(Event):
    """A rule books the same window again and again."""

    kind: ClassVar = "standing.made"
    standing_id: str
    vehicle_id: str
    weekdays: tuple[int, ...]
    local_time: str
    window_min: int
    kinds: tuple[str, ...]
    packs: int
    min_kwh: float
    starts_on: str
    ends_on: str | None
    exceptions: tuple[str, ...]


class StandingChanged(Event):
    """Days on which a standing booking does not book, or its last day, have changed."""

    kind: ClassVar = "standing.changed"
    standing_id: str
    ends_on: str | None
    exceptions: tuple[str, ...]


class StandingEnded(Event):
    """A standing booking books no more."""

    kind: ClassVar = "standing.ended"
    standing_id: str
    reason: str


class BookingEnded(Event):
    """A booking promises nothing any more."""

    kind: ClassVar = "booking.ended"
    booking_id: str
    status: str
    """fulfilled, failed, expired or cancelled."""
    reason: str
    fee_fen: int | None = None
    """Charged to the fleet, since the truck did not come; None in events of earlier releases."""


BookingEvent = (
    BookingMade
    | BookingChanged
    | BookingRefused
    | BookingDisrupted
    | BookingRestored
    | BookingEnded
    | StandingMade
    | StandingChanged
    | StandingEnded
)


class StrandingServed(Event):
    """A truck below its reach is served once in spite of arrears, and what its contract asks for that."""

    kind: ClassVar = "contract.stranding"
    contract_id: str
    vehicle_id: str
    fee_fen: int


class BilledLine(Message):
    """A line of a bill, as it was issued."""

    kind: str
    seat: int | None
    pack_id: str | None
    payee_id: str
    energy_centi_kwh: int
    unit_price_1e4_yuan: int
    amount_fen: int
    basis: dict[str, Any]
    buyer_id: str | None = None
    """Lines of earlier releases told nothing from here on."""
    sale: str | None = None
    """own or collected."""
    for_id: str | None = None
    """For whom it is collected."""
    tax_included: bool | None = None
    tax_category: str | None = None
    tax_rate_bp: int | None = None
    """In 1/10 000."""
    tax_fen: int | None = None
    priced_at: Instant | None = None
    """The instant whose price it has."""
    tariff_period: str | None = None
    prices_seq: int | None = None
    """Event that tells the prices which the station had then."""
    contract_id: str | None = None
    contract_version: int | None = None


class PricesSet(Event):
    """The prices and rules of billing that a station has from here on, whole: what is billed late is billed by them."""

    kind: ClassVar = "prices.set"
    operator_id: str
    timezone: str
    tariff: dict[str, Any]
    """The section of the station file."""
    profile: dict[str, Any]
    """The period table that it names."""
    billing: dict[str, Any]
    """The section of the station file."""
    charger_efficiency: float
    no_show_fee_yuan: str = "0"
    """What a truck that does not come owes where its contract says nothing."""
    no_show_tax_rate: str = "0.06"


class BillIssued(Event):
    """A bill was made."""

    kind: ClassVar = "bill.issued"
    bill_id: str
    bill: str = Field(alias="kind")
    """swap or correction."""
    total_fen: int
    flags: tuple[str, ...]
    payer_id: str | None = None
    lines: tuple[BilledLine, ...] = ()


LATE_READING = "late_reading"
"""Reason of a reversal that no person asked for: the reading that the bill lacked has come."""
CONTRACT_CHANGED = "contract_changed"
"""The same: the contract was changed for days past, and makes the bill another one."""


class BillReversed(Event):
    """A bill was reversed by another one."""

    kind: ClassVar = "bill.reversed"
    bill_id: str
    """The reversal."""
    reverses: str
    total_fen: int
    reason: str
    payer_id: str | None = None
    lines: tuple[BilledLine, ...] = ()
