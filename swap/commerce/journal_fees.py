"""No-show fees of a station from its journal alone, where none of its rows are: by the same rule, and the same to the
byte."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import col, select

from swap.commerce.bills.journal_record import JournalRecord, NotTold
from swap.commerce.bookings.fees import KIND, Missed, fee_fen, fee_source, no_show
from swap.commerce.bookings.states import BookingStatus
from swap.commerce.charges import NewCharge, add_charge
from swap.config.prices import prices_before
from swap.errors import DatabaseAway
from swap.messages.commerce import BookingChanged, BookingDisrupted, BookingEnded, BookingMade, BookingRestored
from swap.rights import SwapRights
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import ChargeRow, StationEvent


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
            ours = said.status == BookingStatus.EXPIRED and said.fee_fen != 0 and fee_source(booking_id) not in known
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
