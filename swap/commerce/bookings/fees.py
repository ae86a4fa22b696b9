"""What a booking costs whose truck does not come."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from swap.commerce.charges import NewCharge, add_charge
from swap.config.station_file import StationConfig
from swap.rights import BookingTerms
from swap.station_db import StationDb
from swap.tables import Booking, VehicleRow

KIND = "no_show"


def charge_no_show(db: StationDb, config: StationConfig, booking: Booking, terms: BookingTerms, at: datetime) -> None:
    """Charge the fleet of a truck that did not come, once; nothing where station and contract ask nothing.

    Args:
        terms: of the truck's contract at the begin of the window.
    """
    of_contract = terms.no_show_fee_yuan
    fee_yuan = config.bookings.no_show_fee_yuan if of_contract is None else of_contract
    vehicle = db.get_one(VehicleRow, booking.vehicle_id)
    seller_id = db.station().operator_id
    if fee_yuan == 0 or vehicle.fleet_id == seller_id:
        return
    zone = ZoneInfo(config.station.timezone)
    new = NewCharge(
        source=f"{KIND}:{booking.id}",
        seller_id=seller_id,
        buyer_id=vehicle.fleet_id,
        kind=KIND,
        period=f"{booking.window_end_at.astimezone(zone):%Y-%m}",
        quantity=Decimal(1),
        unit="item",
        unit_price_yuan=fee_yuan,
        amount_yuan=fee_yuan,
        tax_category="service",
        tax_rate=config.bookings.no_show_tax_rate,
        station_id=db.station_id,
        vehicle_id=booking.vehicle_id,
        from_at=booking.window_start_at,
        until_at=booking.window_end_at,
        basis={
            "booking_id": booking.id,
            "window_start_at": booking.window_start_at.isoformat(),
            "window_end_at": booking.window_end_at.isoformat(),
            "fee_of": "station" if of_contract is None else "contract",
        },
    )
    add_charge(db, new, at)
