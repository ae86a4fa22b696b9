"""Check-in at the gate: commerce says which booking a truck uses and whether its contract lets it in, the station lets
it in. The two do not know each other; here they meet in one transaction."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from swap.commerce.bookings.store import arrive, booking_at_gate, tend_bookings
from swap.commerce.custody.readings import never_backwards
from swap.config.station_file import StationConfig
from swap.rights import EVERYBODY, SwapRights, ask_right
from swap.station.admission import CheckIn, admit, may_enter
from swap.station_db import StationDb


def check_in(
    db: StationDb,
    config: StationConfig,
    *,
    vehicle_id: str,
    at: datetime,
    booking_id: str | None = None,
    priority: int | None = None,
    odometer_km: Decimal | None = None,
    actor: str = "api",
    rights: SwapRights = EVERYBODY,
) -> CheckIn:
    """A truck has come: queue a swap for it, with its booking where the window (and grace) is now.

    Without `booking_id` the vehicle's booking whose window is now is used, the earliest of several; otherwise the
    truck is a walk-in and keeps its bookings.

    Args:
        db: a session of `store.station()`.
        priority: higher goes first; None: that of its booking or contract.
        odometer_km: as the driver or the fleet's system tells it.

    Raises:
        NotFound: no such vehicle or booking.
        SwapOpen: the vehicle has an open swap.
        BookingNotUsable: the named booking is another vehicle's, has ended, or its window is not now.
        NotServed: the station is closed, or does not serve the vehicle's model.
        InvalidInput: the odometer would run backwards.
        NotEntitled: its contract gives it no swap here.
    """
    admission = may_enter(db, config, vehicle_id)
    tend_bookings(db, config, at, rights=rights)
    booking = booking_at_gate(db, config, vehicle_id, booking_id, at)
    ask_right(rights, db, vehicle_id, db.station_id, at, "walk_in" if booking is None else "booked_swap")
    if odometer_km is not None:
        never_backwards(db, vehicle_id, "odometer_km", at, odometer_km)
    if priority is None:
        of_contract = rights.terms(db, vehicle_id, db.station_id, at).priority
        priority = of_contract if booking is None else booking.priority
    found = admit(
        db,
        admission,
        at=at,
        booking_id=None if booking is None else booking.id,
        priority=priority,
        odometer_km=None if odometer_km is None else float(odometer_km),
        actor=actor,
    )
    if booking is not None:
        arrive(booking)
    return found
