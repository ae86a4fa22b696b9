"""What is asked of contracts before a swap is promised or a truck let in; the composition root says who answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from swap.commerce_db import AnyDb
from swap.errors import NotEntitled

Purpose = Literal["booking", "walk_in", "booked_swap"]
"""What is asked for: a booking, a swap without one, or the swap that was booked."""


@dataclass(frozen=True, slots=True)
class MaySwap:
    """Whether a vehicle may have a swap, and why not."""

    allowed: bool = True
    reason: str = ""
    """A text of the catalogues with the names of its values in braces; needed where it is not allowed."""
    values: dict[str, str] = field(default_factory=dict)
    """What stands in the braces."""


@dataclass(frozen=True, slots=True)
class BookingTerms:
    """What a vehicle's contract says of its bookings."""

    priority: int = 0
    """Of the contract's class; higher goes first."""
    no_show_fee_yuan: Decimal | None = None
    """For a booking whose truck does not come, tax included; None: what the station asks."""


class SwapRights(Protocol):
    """Answers from contracts."""

    def may_swap(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime, purpose: Purpose) -> MaySwap:
        """Whether a vehicle may have a swap at a station at an instant."""

    def terms(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime) -> BookingTerms:
        """What holds for its bookings there."""


class Everybody:
    """Without contracts: everybody may, nobody goes first."""

    def may_swap(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime, purpose: Purpose) -> MaySwap:
        """Yes."""
        return MaySwap()

    def terms(self, db: AnyDb, vehicle_id: str, station_id: str, at: datetime) -> BookingTerms:
        """None of its own."""
        return BookingTerms()


EVERYBODY = Everybody()


def ask_right(
    rights: SwapRights, db: AnyDb, vehicle_id: str, station_id: str, at: datetime, purpose: Purpose = "booking"
) -> None:
    """Raise NotEntitled where the vehicle may not have a swap: the one place where booking and check-in ask."""
    right = rights.may_swap(db, vehicle_id, station_id, at, purpose)
    if not right.allowed:
        raise NotEntitled(right.reason, {"vehicle_id": vehicle_id}, **right.values)
