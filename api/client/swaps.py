"""Calls about stations, bookings and swaps: what a fleet does every day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from api.client.session import ServerSession
from api.routes.contracts import RightOut
from api.schemas import (
    BookingChange,
    BookingIn,
    StandingChange,
    StandingIn,
    SwapAccepted,
    SwapOut,
    TruckAtGate,
)
from swap.commerce.bills.records import Quote, ShownPrices
from swap.commerce.bookings.states import BookingStatus
from swap.reading.records import (
    AvailabilityRecord,
    BookingRecord,
    OfferRecord,
    PackRecord,
    StandingRecord,
    StationRecord,
)

LOOK_S = 2.0
"""Real seconds between two looks at a swap that is followed."""
TURNED = frozenset({"cancelled", "expired", "failed"})
"""Statuses of a booking that no swap follows."""


class SwapCalls(ServerSession):
    """Stations, bookings, swaps."""

    def stations(self) -> Iterator[StationRecord]:
        """The stations that the server serves."""
        return self.all(StationRecord, "/stations")

    def availability(self, station_id: str) -> AvailabilityRecord:
        """What a station shows everyone: its mode, ready packs, trucks that wait."""
        return self.get(AvailabilityRecord, f"/stations/{station_id}/availability")

    def offers(
        self,
        station_id: str,
        *,
        vehicle_id: str | None = None,
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        window_min: int | None = None,
        kinds: Iterable[str] = (),
        min_kwh: float | None = None,
    ) -> Iterator[OfferRecord]:
        """Windows that can be booked now, each by itself; of the next 24 hours where no time is given."""
        query = {
            "vehicle_id": vehicle_id,
            "from": from_at,
            "to": to_at,
            "window_min": window_min,
            "kind": tuple(kinds),
            "min_kwh": min_kwh,
        }
        return self.all(OfferRecord, f"/stations/{station_id}/offers", query)

    def prices(self, station_id: str) -> ShownPrices:
        """What a kWh costs at a station in the next 24 hours, electricity and service apart."""
        return self.get(ShownPrices, f"/stations/{station_id}/prices")

    def quote(self, vehicle_id: str, *, at: datetime | None = None, returned_soe_kwh: Iterable[str] = ()) -> Quote:
        """What a swap of a truck would cost; with the energy of each pack when it comes back, in seat order, kWh."""
        query = {"vehicle_id": vehicle_id, "at": at, "returned_soe_kwh": tuple(returned_soe_kwh)}
        return self.get(Quote, "/quotes", query)

    def right(self, vehicle_id: str) -> RightOut:
        """Whether a truck may have packs now by its contract, and why."""
        return self.get(RightOut, f"/rights/{vehicle_id}")

    def book(self, wanted: BookingIn, *, key: str | None = None) -> BookingRecord:
        """Book a swap. Where it cannot be promised, `related` of the problem names another window."""
        return self.change(BookingRecord, "POST", "/bookings", wanted, key=key)

    def booking(self, booking_id: str) -> BookingRecord:
        """One booking."""
        return self.get(BookingRecord, f"/bookings/{booking_id}")

    def bookings(
        self,
        *,
        status: BookingStatus | None = None,
        vehicle_id: str | None = None,
        from_at: datetime | None = None,
        to_at: datetime | None = None,
    ) -> Iterator[BookingRecord]:
        """Bookings by the start of their window, latest first."""
        query = {"status": status, "vehicle_id": vehicle_id, "from": from_at, "to": to_at}
        return self.all(BookingRecord, "/bookings", query)

    def change_booking(self, booking_id: str, change: BookingChange, *, key: str | None = None) -> BookingRecord:
        """Promise another window or other packs; where that cannot be, the booking stays as it was."""
        return self.change(BookingRecord, "PATCH", f"/bookings/{booking_id}", change, key=key)

    def cancel_booking(self, booking_id: str, *, key: str | None = None) -> BookingRecord:
        """Cancel a booking that no truck has used."""
        return self.change(BookingRecord, "DELETE", f"/bookings/{booking_id}", key=key)

    def stand(self, rule: StandingIn, *, key: str | None = None) -> StandingRecord:
        """Book the same window on certain weekdays."""
        return self.change(StandingRecord, "POST", "/standing-bookings", rule, key=key)

    def standing_bookings(self, *, vehicle_id: str | None = None) -> Iterator[StandingRecord]:
        """Standing bookings, the newest first."""
        return self.all(StandingRecord, "/standing-bookings", {"vehicle_id": vehicle_id})

    def change_standing_booking(
        self, standing_id: str, change: StandingChange, *, key: str | None = None
    ) -> StandingRecord:
        """Leave days out or set the last day."""
        return self.change(StandingRecord, "PATCH", f"/standing-bookings/{standing_id}", change, key=key)

    def end_standing_booking(self, standing_id: str, *, key: str | None = None) -> StandingRecord:
        """Book no more, and cancel what is booked and not used."""
        return self.change(StandingRecord, "DELETE", f"/standing-bookings/{standing_id}", key=key)

    def arrive(self, truck: TruckAtGate, *, key: str | None = None) -> SwapAccepted:
        """Check a truck in at the gate."""
        return self.change(SwapAccepted, "POST", "/swaps", truck, key=key)

    def swap(self, swap_id: str) -> SwapOut:
        """One swap with its packs, its bills and its timeline."""
        return self.get(SwapOut, f"/swaps/{swap_id}")

    def swaps(
        self,
        *,
        state: str | None = None,
        vehicle_id: str | None = None,
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        timelines: bool = False,
    ) -> Iterator[SwapOut]:
        """Swaps, the newest arrival first; `open` and `ended` are states too."""
        query = {"state": state, "vehicle_id": vehicle_id, "from": from_at, "to": to_at}
        return self.all(SwapOut, "/swaps", query | {"expand": "timeline" if timelines else None})

    def packs(self, *, kind: str | None = None, state: str | None = None) -> Iterator[PackRecord]:
        """The own packs; of a station's operator every pack at it."""
        return self.all(PackRecord, "/packs", {"kind": kind, "state": state})

    def swap_of_booking(self, booking: BookingRecord) -> SwapOut | None:
        """The swap that uses a booking; None while there is none."""
        mine = self.swaps(vehicle_id=booking.vehicle_id, from_at=booking.created_at)
        return next((swap for swap in mine if swap.booking_id == booking.booking_id), None)

    def follow(self, swap_id: str) -> Iterator[SwapOut]:
        """A swap now and after every change until it has ended, which comes last."""
        known: SwapOut | None = None
        while known is None or known.ended_at is None:
            if known is not None:
                self.pause(LOOK_S)
            found = self.swap(swap_id)
            if known is None or _changed(known, found):
                yield found
            known = found

    def follow_booking(self, booking_id: str) -> Iterator[BookingRecord | SwapOut]:
        """A booking now and after every change, then the swap that uses it, until either has ended."""
        known: BookingRecord | None = None
        while True:
            found = self.booking(booking_id)
            if found != known:
                yield found
            known = found
            swap = self.swap_of_booking(found)
            if swap is not None:
                yield from self.follow(swap.swap_id)
                return
            if found.status in TURNED:
                return
            self.pause(LOOK_S)


def _changed(known: SwapOut, found: SwapOut) -> bool:
    """Whether there is something new to tell: not where only an estimate has moved."""
    told = [(one.state, one.phase, one.lane_id, one.hold_reason, one.ended_at) for one in (known, found)]
    waits = [None if one.waits_for is None else (one.waits_for.cause, one.waits_for.names) for one in (known, found)]
    return told[0] != told[1] or waits[0] != waits[1]
