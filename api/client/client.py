"""The client: every call of a fleet and of a lessor on one connection."""

from __future__ import annotations

from api.client.leases import LeaseCalls
from api.client.money import MoneyCalls
from api.client.swaps import SwapCalls


class SwapClient(SwapCalls, MoneyCalls, LeaseCalls):
    """A fleet's or a lessor's own software asks a server by it.

    with SwapClient("https://station.example", token=key) as client:
        booking = client.book(BookingIn(vehicle_id="YQ-001", window_start_at=..., window_end_at=...))
        for swap in client.follow_booking(booking.booking_id):
            print(swap)
    """
