"""What a booking costs whose truck does not come; charged at the station, or made again from its journal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlmodel import col, select

from swap.commerce.bills.journal_record import JournalRecord, NotTold
from swap.commerce.bookings.states import BookingStatus
from swap.commerce.charges import FEN_YUAN, NewCharge, add_charge, whole
from swap.config.prices import StationPrices, prices_before
from swap.errors import DatabaseAway
from swap.messages.commerce import BookingChanged, BookingDisrupted, BookingEnded, BookingMade, BookingRestored
from swap.rights import BookingTerms, SwapRights
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import ChargeRow, StationEvent

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
        source=_source(missed.booking_id),
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


@dataclass(frozen=True, slots=True)
class FeesMade:
    """Bookings whose fee was charged from a journal, and what could not be, in words."""

    bookings: tuple[str, ...]
    failed: tuple[str, ...]


def fees_from_journal(store: Store, station_id: str, rights: SwapRights) -> FeesMade:
    """Charge every fee that a station's journal tells of and that is not here yet, from what it tells before.

    One that is not what the station told of it is not charged, and is told.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    made, failed = list[str](), list[str]()
    with store.reading_station(station_id) as db:
        due = _due(db)
        db.expunge_all()
    for event, said, promise in due:
        try:
            with store.station(station_id) as db:
                charge = _again(db, event, said, promise, rights)
                if add_charge(db, charge, event.at)[1]:
                    made.append(said.booking_id)
        except DatabaseAway:
            raise
        except Exception as error:
            failed.append(f"booking {said.booking_id}: {error}")
    return FeesMade(tuple(made), tuple(failed))


def _source(booking_id: str) -> str:
    return f"{KIND}:{booking_id}"


@dataclass(frozen=True, slots=True)
class _Promise:
    """A booking as the journal told it last."""

    vehicle_id: str
    window_start_at: datetime
    window_end_at: datetime
    stands: bool = True
    """Of a promise that was broken nobody owes anything."""


def _due(db: StationDb) -> list[tuple[StationEvent, BookingEnded, _Promise | None]]:
    """The end of each booking whose truck did not come and whose fee is not here, and what was promised then."""
    known = set(db.exec(select(ChargeRow.source).where(col(ChargeRow.source).startswith(f"{KIND}:"))))
    promises: dict[str, _Promise] = {}
    due = []
    for event in db.events(BookingMade, BookingChanged, BookingDisrupted, BookingRestored, BookingEnded):
        booking_id = str(event.data["booking_id"])
        before = promises.get(booking_id)
        if event.kind == BookingEnded.kind:
            said = BookingEnded.read(event.data)
            ours = said.status == BookingStatus.EXPIRED and said.fee_fen != 0 and _source(booking_id) not in known
            if ours:
                due.append((event, said, before))
        elif event.kind == BookingMade.kind:
            made = BookingMade.read(event.data)
            promises[booking_id] = _Promise(made.vehicle_id, made.window_start_at, made.window_end_at)
        elif before is not None and event.kind == BookingChanged.kind:
            changed = BookingChanged.read(event.data)
            promises[booking_id] = _Promise(before.vehicle_id, changed.window_start_at, changed.window_end_at)
        elif before is not None:
            promises[booking_id] = replace(before, stands=event.kind == BookingRestored.kind)
    return due


def _again(
    db: StationDb, event: StationEvent, said: BookingEnded, promise: _Promise | None, rights: SwapRights
) -> NewCharge:
    """The charge of an expired booking. Raises NotTold where the journal does not make it what the station charged."""
    if said.fee_fen is None:
        raise NotTold(
            f"event {event.seq} of station {event.station_id} does not tell whether a fee was charged (fee_fen): an "
            "earlier release wrote it; charge it at its station"
        )
    if promise is None:
        raise NotTold("it ended, and was not made before")
    fleet_id = JournalRecord(db, event.seq, event.at).fleet_of(promise.vehicle_id)
    missed = Missed(said.booking_id, promise.vehicle_id, fleet_id, promise.window_start_at, promise.window_end_at)
    terms = rights.terms(db, missed.vehicle_id, db.station_id, missed.window_start_at)
    charge = no_show(db.station_id, prices_before(db, event.seq), missed, terms) if promise.stands else None
    if charge is None or fee_fen(charge) != said.fee_fen:
        raise NotTold(
            f"the station charged {said.fee_fen} fen; its journal and the contracts make it {fee_fen(charge)}"
        )
    return charge
