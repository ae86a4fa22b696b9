"""What a booking costs whose truck does not come. Pure; `swap.commerce.journal_fees` makes it again from a journal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from swap.commerce.charges import FEN_YUAN, NewCharge, whole
from swap.config.prices import StationPrices
from swap.rights import BookingTerms

KIND = "no_show"


@dataclass(frozen=True, slots=True)
class Missed:
    """A booking whose truck did not come."""

    booking_id: str
    vehicle_id: str
    fleet_id: str
    window_start_at: datetime
    window_end_at: datetime


def no_show(station_id: str, prices: StationPrices, missed: Missed, terms: BookingTerms) -> NewCharge | None:
    """What the fleet of a truck that did not come owes; None where station and contract ask nothing. Pure.

    Args:
        prices: of the station when the booking ended.
        terms: of the truck's contract at the begin of the window.
    """
    of_contract = terms.no_show_fee_yuan
    fee_yuan = prices.no_show_fee_yuan if of_contract is None else of_contract
    if fee_yuan == 0 or missed.fleet_id == prices.operator_id:
        return None
    return NewCharge(
        source=fee_source(missed.booking_id),
        seller_id=prices.operator_id,
        buyer_id=missed.fleet_id,
        kind=KIND,
        period=prices.month(missed.window_end_at),
        quantity=Decimal(1),
        unit="item",
        unit_price_yuan=fee_yuan,
        amount_yuan=fee_yuan,
        tax_category="service",
        tax_rate=prices.no_show_tax_rate,
        station_id=station_id,
        vehicle_id=missed.vehicle_id,
        from_at=missed.window_start_at,
        until_at=missed.window_end_at,
        basis={
            "booking_id": missed.booking_id,
            "window_start_at": missed.window_start_at.isoformat(),
            "window_end_at": missed.window_end_at.isoformat(),
            "fee_of": "station" if of_contract is None else "contract",
        },
    )


def fee_fen(charge: NewCharge | None) -> int:
    """What the journal tells of a fee; 0 where there is none."""
    return 0 if charge is None else whole(charge.amount_yuan, FEN_YUAN)


def fee_source(booking_id: str) -> str:
    """What the charge of a booking is charged for."""
    return f"{KIND}:{booking_id}"
