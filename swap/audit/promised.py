"""What the journals say of bookings: the newest word on each column of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from swap.audit.findings import Findings
from swap.messages.commerce import (
    BookingChanged,
    BookingDisrupted,
    BookingEnded,
    BookingMade,
    BookingRestored,
    StandingChanged,
    StandingEnded,
    StandingMade,
)
from swap.messages.events import SwapQueued

NO_TROUBLE: dict[str, Any] = {
    "trouble": "",
    "alternative_start_at": None,
    "alternative_end_at": None,
    "alternative_until_at": None,
}
"""Columns of a booking that can be kept, or has ended."""


@dataclass
class Promised:
    """What the journal says of a booking, or of a standing one: the newest word on each column."""

    values: dict[str, Any]
    where: str
    """The event that spoke last, for people."""
    ended: bool = False
    fee: tuple[str, datetime, int] | None = None
    """Station and instant of its end, and the fee in fen that it tells; None before, and in earlier releases."""
    stock_packs: int | None = None
    """Packs that the station had to promise from."""
    turnaround_s: int | None = None
    """Least time until a pack that comes back can be handed out again."""


class PromiseWalk:
    """Follows the promises along the journals.

    Args:
        named: an event, for people.
    """

    def __init__(self, findings: Findings, named: Callable[[Any], str]) -> None:
        self.bookings: dict[str, Promised] = {}
        self.standing: dict[str, Promised] = {}
        self.grids: dict[str, tuple[int, str]] = {}
        """By station: length of a slot and swaps in it, as in the newest promise."""
        self._findings = findings
        self._named = named
        self.take: dict[type, Callable[[Any, Any], None]] = {
            BookingMade: self._booking_made,
            BookingChanged: self._booking_changed,
            BookingDisrupted: self._booking_disrupted,
            BookingRestored: self._booking_restored,
            SwapQueued: self._booking_arrived,
            BookingEnded: self._booking_ended,
            StandingMade: self._standing_made,
            StandingChanged: self._standing_changed,
            StandingEnded: self._standing_ended,
        }

    def _booking_made(self, row: Any, said: BookingMade) -> None:
        values: dict[str, Any] = {
            "station_id": row.station_id,
            "vehicle_id": said.vehicle_id,
            "window_start_at": said.window_start_at,
            "window_end_at": said.window_end_at,
            "created_at": row.at,
            "status": "booked",
            **NO_TROUBLE,
        }
        if said.kinds:  # events of the time before kinds were promised do not tell them
            values |= {
                "kinds": list(said.kinds),
                "packs": said.packs,
                "min_kwh": said.min_kwh,
                "priority": said.priority,
                "promised_in": said.promised_in,
                "standing_id": said.standing_id,
                "standing_on": said.standing_on,
            }
        self._first(self.bookings, "booking", said.booking_id, row, values)
        promised = self.bookings[said.booking_id]
        promised.stock_packs, promised.turnaround_s = said.stock_packs, said.turnaround_s
        if said.slot_s is not None and said.swaps_per_slot is not None:
            self.grids[row.station_id] = (said.slot_s, said.swaps_per_slot)

    def _first(self, told: dict[str, Promised], what: str, key: str, row: Any, values: dict[str, Any]) -> None:
        if key in told:
            self._findings[f"{what}_in_journal"].violations.append(
                f"{what} {key}: {self._named(row)} says a second time that it was made"
            )
        told[key] = Promised(values, self._named(row))

    def _next(self, told: dict[str, Promised], what: str, key: str, row: Any, values: dict[str, Any]) -> None:
        promised = told.get(key)
        found = self._findings[f"{what}_in_journal"]
        if promised is None:
            found.look(False, f"{self._named(row)} tells of {what} {key}, which nobody has made")
        elif promised.ended:
            found.look(False, f"{self._named(row)} tells of {what} {key}, which had ended before")
        else:
            promised.values |= values
            promised.where = self._named(row)

    def _booking_changed(self, row: Any, said: BookingChanged) -> None:
        values = {
            "window_start_at": said.window_start_at,
            "window_end_at": said.window_end_at,
            "kinds": list(said.kinds),
            "min_kwh": said.min_kwh,
            "promised_in": said.promised_in,
            "status": "booked",
            **NO_TROUBLE,
        }
        self._next(self.bookings, "booking", said.booking_id, row, values)
        if said.booking_id in self.bookings:
            promised = self.bookings[said.booking_id]
            promised.stock_packs, promised.turnaround_s = said.stock_packs, said.turnaround_s

    def _booking_disrupted(self, row: Any, said: BookingDisrupted) -> None:
        values = {
            "status": "disrupted",
            "trouble": said.reason,
            "alternative_start_at": said.alternative_start_at,
            "alternative_end_at": said.alternative_end_at,
            "alternative_until_at": said.kept_until_at,
        }
        self._next(self.bookings, "booking", said.booking_id, row, values)

    def _booking_restored(self, row: Any, said: BookingRestored) -> None:
        self._next(self.bookings, "booking", said.booking_id, row, {"status": "booked", **NO_TROUBLE})

    def _booking_arrived(self, row: Any, said: SwapQueued) -> None:
        if said.booking_id is not None:
            self._next(self.bookings, "booking", said.booking_id, row, {"status": "arrived", **NO_TROUBLE})

    def _booking_ended(self, row: Any, said: BookingEnded) -> None:
        values = {"status": said.status, **NO_TROUBLE}
        self._next(self.bookings, "booking", said.booking_id, row, values)
        if said.booking_id in self.bookings:
            self.bookings[said.booking_id].ended = True
            if said.fee_fen is not None:
                self.bookings[said.booking_id].fee = row.station_id, row.at, said.fee_fen

    def _standing_made(self, row: Any, said: StandingMade) -> None:
        values = {
            "station_id": row.station_id,
            "vehicle_id": said.vehicle_id,
            "status": "active",
            "weekdays": list(said.weekdays),
            "local_time": said.local_time,
            "window_min": said.window_min,
            "kinds": list(said.kinds),
            "packs": said.packs,
            "min_kwh": said.min_kwh,
            "starts_on": said.starts_on,
            "ends_on": said.ends_on,
            "exceptions": list(said.exceptions),
            "created_at": row.at,
        }
        self._first(self.standing, "standing", said.standing_id, row, values)

    def _standing_changed(self, row: Any, said: StandingChanged) -> None:
        values = {"ends_on": said.ends_on, "exceptions": list(said.exceptions)}
        self._next(self.standing, "standing", said.standing_id, row, values)

    def _standing_ended(self, row: Any, said: StandingEnded) -> None:
        self._next(self.standing, "standing", said.standing_id, row, {"status": "ended"})
        if said.standing_id in self.standing:
            self.standing[said.standing_id].ended = True
