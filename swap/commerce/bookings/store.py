"""Bookings in the database: asked for, changed, cancelled, used and ended.

A booking promises one swap in a time window, with any pack of its kinds: it holds a lane's time and packs, not a
certain pack. It is `booked` until the truck checks in, then `arrived`, and ends as `fulfilled`, `failed` (the swap
ended without an exchange), `expired` (window and grace passed without the truck) or `cancelled`. While the promise
cannot be kept as things stand it is `disrupted`.

Every function takes a session of `store.station()`. Write transactions take turns, so what is read here
stays true until the commit; unique indexes are the last guard.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Table, bindparam, insert, or_, update
from sqlalchemy import select as sql_select
from sqlmodel import col, select

from swap.commerce.bookings.fees import Missed, fee_fen, no_show
from swap.commerce.bookings.outlook import open_bookings, promise_view, promised_demands, turnaround_s
from swap.commerce.bookings.refusals import Alternative, BookingDenied, refused_for
from swap.commerce.bookings.rules import Demand, NotPromised, Promise, PromiseView, promise
from swap.commerce.bookings.states import BOOKING, COMING, OPEN, BookingStatus, BookingTrigger
from swap.commerce.bookings.wanted import (
    Wanted,
    check_apart,
    check_apart_elsewhere,
    check_apart_here,
    check_window,
    demand_for,
    served_model,
)
from swap.commerce.charges import add_charge
from swap.commerce.errors import BookingNotUsable
from swap.config.prices import prices_before
from swap.config.station_file import StationConfig, VehicleModelSection
from swap.errors import NotFound
from swap.events import connected
from swap.ids import new_id
from swap.messages.commerce import BookingChanged, BookingEnded, BookingMade, BookingRefused
from swap.reading.lists import get_booking
from swap.reading.records import BookingRecord
from swap.rights import EVERYBODY, SwapRights, ask_right
from swap.station_db import OfStation, StationDb
from swap.tables import Booking, Swap, VehicleRow
from swap.words import N_

MACHINE = "commerce"
"""Who acts where nobody asked."""

ENDED_AT_ONCE = 5
"""Overdue bookings that one transaction ends: the controller waits meanwhile."""

log = logging.getLogger(__name__)

# Made once: commerce asks them each second.
_OVERDUE = (
    select(Booking)
    .where(col(Booking.status).in_(COMING), col(Booking.window_end_at) < bindparam("limit"))
    .order_by(col(Booking.window_end_at), col(Booking.id))
)
_FOLLOWED = (
    select(Booking, Swap)
    .join(Swap, col(Swap.booking_id) == Booking.id)
    .where(or_(col(Booking.status).in_(COMING), col(Swap.ended_at).is_not(None)), col(Booking.status).in_(OPEN))
    .order_by(col(Swap.arrived_at), col(Booking.id))
)
"""Bookings that are behind their truck, with its swap."""

_BOOKINGS: Table = Booking.__table__  # type: ignore[attr-defined]
_BOOKING = OfStation(
    sql_select(_BOOKINGS).where(_BOOKINGS.c.station_id == bindparam("station"), _BOOKINGS.c.id == bindparam("booking"))
)
_INSERT = insert(_BOOKINGS)
_NO_TROUBLE: dict[str, Any] = {
    "trouble": "",
    "alternative_start_at": None,
    "alternative_end_at": None,
    "alternative_until_at": None,
}
_CHANGE = (
    update(_BOOKINGS)
    .where(_BOOKINGS.c.id == bindparam("booking"))
    .values({name: bindparam(name) for name in ("status", *_NO_TROUBLE)})
)


def _limit_at(config: StationConfig, at: datetime) -> datetime:
    """Windows that ended before it are over, with their grace."""
    return at - timedelta(minutes=config.bookings.late_grace_min)


Asked = tuple[PromiseView, Sequence[Demand], Demand]
"""All that a promise rests on: the station, what is promised already, what is wanted."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """An answer, and what it rests on."""

    wanted: Wanted
    ended: bool
    """Bookings were over that had not been ended."""
    asked: Asked
    found: Promise | NotPromised

    @property
    def version(self) -> int:
        """Of the station, whose lanes, packs, trucks and promises are what they were as long as it has not risen."""
        return self.asked[0].version


@dataclass(frozen=True, slots=True)
class StandingDay:
    """The standing booking, and its local day, that a booking is made by."""

    standing_id: str
    on: str


def make_booking(
    db: StationDb,
    config: StationConfig,
    wanted: Wanted,
    *,
    at: datetime,
    actor: str = "api",
    rights: SwapRights = EVERYBODY,
) -> BookingRecord:
    """Book, or raise why not; nothing is kept for the asker. Otherwise as `ask_booking`."""
    found = ask_booking(db, config, wanted, at=at, actor=actor, rights=rights)
    if isinstance(found, BookingDenied):
        raise found.error()
    return found


def ask_booking(
    db: StationDb,
    config: StationConfig,
    wanted: Wanted,
    *,
    at: datetime,
    actor: str = "api",
    rights: SwapRights = EVERYBODY,
    foreseen: Foreseen | None = None,
) -> BookingRecord | BookingDenied:
    """Book a window for a vehicle, or refuse it with an alternative that is kept for the vehicle for some time.

    A refusal is written: commit it, then tell it by its `error()`.

    Args:
        foreseen: what `foresee` found at the same instant; it holds where it rests on what is here now too.

    Raises:
        WindowNotAllowed: too short, too long, past, or beyond the horizon.
        BookingOpen: the vehicle has a booking at that time, or too many.
        NotFound: no such vehicle.
        NotServed: the vehicle's model is not served here.
        InvalidInput: kinds, packs or energy that the vehicle's model cannot have.
        NotEntitled: its contract gives it no swap here.
    """
    model = served_model(db, config, wanted.vehicle_id)
    ask_right(rights, db, wanted.vehicle_id, db.station_id, wanted.window_start_at)
    check_window(config, wanted.window_start_at, wanted.window_end_at, at)
    version, elsewhere = db.version_and_elsewhere(wanted.vehicle_id, wanted.window_start_at, wanted.window_end_at)
    if foreseen is not None and not foreseen.ended and (foreseen.wanted, foreseen.version) == (wanted, version):
        check_apart_elsewhere(wanted.vehicle_id, elsewhere)
        view, others, _ = foreseen.asked
        asked = view, others, _demand(db, config, view, model, wanted, rights)
    else:
        bookings = open_bookings(db)
        if _any_over(config, bookings, at):
            tend_bookings(db, config, at, rights=rights)
            bookings = open_bookings(db)
        check_apart_here(config, wanted.vehicle_id, wanted.window_start_at, wanted.window_end_at, bookings)
        check_apart_elsewhere(wanted.vehicle_id, elsewhere)
        asked = _asked(db, config, model, wanted, at, rights, bookings)
    view, _, demand = asked
    found = foreseen.found if foreseen is not None and foreseen.asked == asked else promise(*asked)
    if not isinstance(found, Promise):
        refused = refused_for(config, view, wanted.window_start_at, wanted.window_end_at, demand, found)
        _tell_refused(db, wanted, demand, refused, at, actor)
        return refused
    return add_booking(db, view, wanted, demand, at=at, actor=actor)


def foresee(
    db: StationDb, config: StationConfig, wanted: Wanted, at: datetime, rights: SwapRights = EVERYBODY
) -> Foreseen:
    """What `ask_booking` would find. It only reads: a plan of all promises is made without the station's lock.

    Raises as `ask_booking` does, but for what is asked of contracts and of other stations.
    """
    model = served_model(db, config, wanted.vehicle_id)
    check_window(config, wanted.window_start_at, wanted.window_end_at, at)
    bookings = open_bookings(db)
    check_apart_here(config, wanted.vehicle_id, wanted.window_start_at, wanted.window_end_at, bookings)
    asked = _asked(db, config, model, wanted, at, rights, bookings)
    return Foreseen(wanted, _any_over(config, bookings, at), asked, promise(*asked))


def _any_over(config: StationConfig, bookings: Sequence[Row[Any]], at: datetime) -> bool:
    """Whether `tend_bookings` has something to do with open bookings."""
    limit_at = _limit_at(config, at)
    return any(
        booking.swap_ended_at is not None
        or (booking.status in COMING and (booking.swap_id is not None or booking.window_end_at < limit_at))
        for booking in bookings
    )


def _asked(
    db: StationDb,
    config: StationConfig,
    model: VehicleModelSection,
    wanted: Wanted,
    at: datetime,
    rights: SwapRights,
    bookings: Sequence[Row[Any]],
) -> Asked:
    view = promise_view(db, config, at)
    demand = _demand(db, config, view, model, wanted, rights)
    return view, promised_demands(db, config, view, bookings=bookings, asker=wanted.vehicle_id), demand


def _demand(
    db: StationDb,
    config: StationConfig,
    view: PromiseView,
    model: VehicleModelSection,
    wanted: Wanted,
    rights: SwapRights,
) -> Demand:
    priority = rights.terms(db, wanted.vehicle_id, db.station_id, wanted.window_start_at).priority
    return demand_for(config, view, model, wanted, priority)


def add_booking(
    db: StationDb,
    view: PromiseView,
    wanted: Wanted,
    demand: Demand,
    *,
    at: datetime,
    actor: str,
    standing: StandingDay | None = None,
) -> BookingRecord:
    """Write a booking that can be promised, and tell it."""
    booking = BookingRecord(
        booking_id=new_id("bk", at),
        station_id=db.station_id,
        vehicle_id=wanted.vehicle_id,
        window_start_at=wanted.window_start_at,
        window_end_at=wanted.window_end_at,
        status=BookingStatus.BOOKED.value,
        kinds=tuple(sorted(demand.kinds)),
        packs=demand.packs,
        min_kwh=demand.min_kwh,
        priority=demand.priority,
        promised_in=view.mode.value,
        trouble="",
        alternative_start_at=None,
        alternative_end_at=None,
        alternative_until_at=None,
        standing_id=None if standing is None else standing.standing_id,
        standing_on=None if standing is None else standing.on,
        created_at=at,
    )
    db.flush()
    connected(db).execute(_INSERT, {"id" if name == "booking_id" else name: value for name, value in booking})
    db.append(
        BookingMade(
            booking_id=booking.booking_id,
            vehicle_id=booking.vehicle_id,
            window_start_at=booking.window_start_at,
            window_end_at=booking.window_end_at,
            slot_s=view.grid.slot_s,
            swaps_per_slot=str(view.grid.swaps_per_slot),
            kinds=booking.kinds,
            packs=booking.packs,
            min_kwh=booking.min_kwh,
            priority=booking.priority,
            promised_in=booking.promised_in,
            standing_id=booking.standing_id,
            standing_on=booking.standing_on,
            stock_packs=_stock(view, booking.kinds),
            turnaround_s=turnaround_s(view, booking.kinds),
        ),
        at=at,
        actor=actor,
    )
    return booking


def _stock(view: PromiseView, kinds: Collection[str]) -> int:
    return sum(lot.kind in kinds for lot in view.lots)


def change_booking(
    db: StationDb,
    config: StationConfig,
    booking_id: str,
    *,
    at: datetime,
    window_start_at: datetime | None = None,
    window_end_at: datetime | None = None,
    kinds: tuple[str, ...] | None = None,
    min_kwh: float | None = None,
    actor: str = "api",
) -> BookingRecord | BookingDenied:
    """Promise another window or other packs; where that cannot be, the booking stays as it was.

    Raises:
        NotFound: no such booking at this station.
        BookingNotUsable: the truck has arrived, or the booking has ended.
        WindowNotAllowed, BookingOpen, InvalidInput: as `ask_booking`.
    """
    booking = _booking(db, booking_id)
    if booking.status not in COMING:
        raise BookingNotUsable(
            N_("booking {booking_id} is {status}; only one whose truck is to come can be changed"),
            {"booking_id": booking_id, "status": booking.status},
        )
    wanted = Wanted(
        vehicle_id=booking.vehicle_id,
        window_start_at=window_start_at or booking.window_start_at,
        window_end_at=window_end_at or booking.window_end_at,
        kinds=tuple(booking.kinds) if kinds is None else kinds,
        packs=booking.packs,
        min_kwh=booking.min_kwh if min_kwh is None else min_kwh,
    )
    model = served_model(db, config, booking.vehicle_id)
    if (wanted.window_start_at, wanted.window_end_at) != (booking.window_start_at, booking.window_end_at):
        check_window(config, wanted.window_start_at, wanted.window_end_at, at)
    check_apart(db, config, booking.vehicle_id, wanted.window_start_at, wanted.window_end_at, without=booking.id)
    view = promise_view(db, config, at)
    demand = demand_for(config, view, model, wanted, booking.priority, key=booking.id)
    bookings = promised_demands(db, config, view, without=booking.id, asker=booking.vehicle_id)
    found = promise(view, bookings, demand)
    if not isinstance(found, Promise):
        refused = refused_for(config, view, wanted.window_start_at, wanted.window_end_at, demand, found)
        _tell_refused(db, wanted, demand, refused, at, actor)
        return refused
    if booking.status == BookingStatus.DISRUPTED:
        restore(booking)
    booking.window_start_at, booking.window_end_at = wanted.window_start_at, wanted.window_end_at
    booking.kinds, booking.min_kwh = sorted(demand.kinds), demand.min_kwh
    booking.promised_in = view.mode.value
    db.append(
        BookingChanged(
            booking_id=booking.id,
            window_start_at=booking.window_start_at,
            window_end_at=booking.window_end_at,
            kinds=tuple(booking.kinds),
            min_kwh=booking.min_kwh,
            promised_in=booking.promised_in,
            stock_packs=_stock(view, booking.kinds),
            turnaround_s=turnaround_s(view, booking.kinds),
        ),
        at=at,
        actor=actor,
    )
    return get_booking(db, db.station_id, booking.id)


def cancel_booking(
    db: StationDb,
    booking_id: str,
    *,
    at: datetime,
    reason: str = "",
    actor: str = "api",
    row: Row[Any] | None = None,
) -> BookingRecord:
    """Cancel a booking whose truck has not come. Cancelling again changes nothing.

    Args:
        row: its row in the table, where this session has read it.

    Raises:
        NotFound: no such booking at this station.
        BookingNotUsable: the truck has arrived, or the booking has ended otherwise.
    """
    row = next(iter(db.rows(_BOOKING, booking=booking_id)), None) if row is None else row
    if row is None:
        raise NotFound("booking", booking_id)
    booking = BookingRecord.of(row, booking_id=booking_id)
    status = BookingStatus(booking.status)
    if status is BookingStatus.CANCELLED:
        return booking
    if not BOOKING.allows(status, BookingTrigger.CANCEL):
        raise BookingNotUsable(
            N_("booking {booking_id} is {status}; only a booked one can be cancelled"),
            {"booking_id": booking_id, "status": booking.status},
        )
    ended = {"status": BOOKING.next(status, BookingTrigger.CANCEL).value, **_NO_TROUBLE}
    connected(db).execute(_CHANGE, {"booking": booking_id, **ended})
    _tell_ended(db, booking_id, ended["status"], at, reason or "cancelled", actor)
    return booking.model_copy(update=ended)


def expire_bookings(
    db: StationDb, config: StationConfig, at: datetime, *, rights: SwapRights = EVERYBODY
) -> tuple[str, ...]:
    """End bookings whose window and grace have passed without the truck, and charge the fee; their ids. The longest
    overdue first, `ENDED_AT_ONCE` of them.

    One whose contract cannot be read is left for the next look: it keeps nobody else from the gate.
    """
    overdue = db.exec(_OVERDUE, params={"limit": _limit_at(config, at)}).all()
    ended = []
    for booking in overdue:
        kept = booking.status == BookingStatus.BOOKED  # of a promise that was broken nobody owes anything
        try:
            terms = rights.terms(db, booking.vehicle_id, db.station_id, booking.window_start_at) if kept else None
        except ValueError:
            log.exception("booking %s: the contract of %s cannot be read", booking.id, booking.vehicle_id)
            continue
        charge = None if terms is None else no_show(db.station_id, prices_before(db), _missed(db, booking), terms)
        fen = fee_fen(charge)
        end_booking(db, booking, BookingTrigger.EXPIRE, at, "the truck did not come", MACHINE, charged_fen=fen)
        if charge is not None:
            add_charge(db, charge, at)
        ended.append(booking.id)
        if len(ended) == ENDED_AT_ONCE:
            break
    return tuple(ended)


def _missed(db: StationDb, booking: Booking) -> Missed:
    fleet_id = db.get_one(VehicleRow, booking.vehicle_id).fleet_id
    return Missed(booking.id, booking.vehicle_id, fleet_id, booking.window_start_at, booking.window_end_at)


def settle_arrived(db: StationDb, at: datetime) -> tuple[str, ...]:
    """Follow the trucks: a booking has arrived where a swap uses it, and ends with that swap, fulfilled when it was
    completed, else failed; the ids of those that end, `ENDED_AT_ONCE` of them."""
    ended = list[str]()
    for booking, swap in db.exec(_FOLLOWED).all():
        if booking.status in COMING:
            arrive(booking)
        if swap.ended_at is not None and len(ended) < ENDED_AT_ONCE:
            trigger = BookingTrigger.FULFIL if swap.state == "completed" else BookingTrigger.FAIL
            end_booking(db, booking, trigger, at, swap.end_reason or swap.state, MACHINE, swap_id=swap.id)
            ended.append(booking.id)
    return tuple(ended)


def tend_bookings(
    db: StationDb, config: StationConfig, at: datetime, *, rights: SwapRights = EVERYBODY
) -> tuple[str, ...]:
    """End bookings that are over, by their swaps or by time, `ENDED_AT_ONCE` of each; their ids."""
    return settle_arrived(db, at) + expire_bookings(db, config, at, rights=rights)


def bookings_due(db: StationDb, config: StationConfig, at: datetime, *, trucks: bool = True) -> bool:
    """Whether `tend_bookings` has something to do; reads only.

    Args:
        trucks: something may have happened to them since the last time.
    """
    overdue = db.exec(_OVERDUE, params={"limit": _limit_at(config, at)}).first()
    return overdue is not None or (trucks and db.exec(_FOLLOWED).first() is not None)


def booking_at_gate(
    db: StationDb, config: StationConfig, vehicle_id: str, booking_id: str | None, at: datetime
) -> Booking | None:
    """The booking that a truck uses which is at the gate now; None for a walk-in, which keeps its bookings.

    Raises:
        NotFound: no such booking.
        BookingNotUsable: the named booking is another vehicle's, has ended, or its window is not now.
    """
    if booking_id is None:
        query = select(Booking).where(Booking.vehicle_id == vehicle_id, col(Booking.status).in_(COMING))
        for booking in db.exec(query.order_by(col(Booking.window_start_at))):
            if _window_problem(config, booking, at) is None:
                return booking
        return None
    booking = _booking(db, booking_id)
    if booking.vehicle_id != vehicle_id:
        raise BookingNotUsable(
            N_("booking {booking_id} is not vehicle {vehicle_id}'s"),
            {"booking_id": booking_id, "vehicle_id": vehicle_id},
        )
    if not BOOKING.allows(BookingStatus(booking.status), BookingTrigger.ARRIVE):
        raise BookingNotUsable(
            N_("booking {booking_id} is {status}"), {"booking_id": booking_id, "status": booking.status}
        )
    problem = _window_problem(config, booking, at)
    if problem is not None:
        message, limit_at = problem
        detail = {"booking_id": booking_id, "status": booking.status}
        raise BookingNotUsable(message, detail, limit_at=limit_at.isoformat())
    return booking


def arrive(booking: Booking) -> None:
    """The truck of a booking has checked in, as the journal tells by `swap.queued`."""
    _move(booking, BookingTrigger.ARRIVE)
    _forget_trouble(booking)


def restore(booking: Booking) -> None:
    """The promise of a booking can be kept again."""
    _move(booking, BookingTrigger.RESTORE)
    _forget_trouble(booking)


def _forget_trouble(booking: Booking) -> None:
    for name, value in _NO_TROUBLE.items():
        setattr(booking, name, value)


def end_booking(
    db: StationDb,
    booking: Booking,
    trigger: BookingTrigger,
    at: datetime,
    reason: str,
    actor: str,
    *,
    swap_id: str | None = None,
    charged_fen: int = 0,
) -> None:
    """It promises nothing any more; what its fleet is charged is told with it."""
    _move(booking, trigger)
    _forget_trouble(booking)
    _tell_ended(db, booking.id, booking.status, at, reason, actor, swap_id=swap_id, charged_fen=charged_fen)


def _tell_ended(
    db: StationDb,
    booking_id: str,
    status: str,
    at: datetime,
    reason: str,
    actor: str,
    *,
    swap_id: str | None = None,
    charged_fen: int = 0,
) -> None:
    ended = BookingEnded(booking_id=booking_id, status=status, reason=reason, fee_fen=charged_fen)
    db.append(ended, at=at, actor=actor, swap_id=swap_id)


def _window_problem(config: StationConfig, booking: Booking, at: datetime) -> tuple[str, datetime] | None:
    """Why a booking cannot be used now, and the limit; None when it can."""
    rules = config.bookings
    from_at = booking.window_start_at - timedelta(minutes=rules.early_grace_min)
    until_at = booking.window_end_at + timedelta(minutes=rules.late_grace_min)
    if at < from_at:
        return N_("booking {booking_id} can be used from {limit_at} on"), from_at
    if at > until_at:
        return N_("booking {booking_id} could be used until {limit_at}"), until_at
    return None


def _tell_refused(
    db: StationDb, wanted: Wanted, demand: Demand, refused: BookingDenied, at: datetime, actor: str
) -> None:
    other: Alternative | None = refused.alternative
    db.append(
        BookingRefused(
            vehicle_id=wanted.vehicle_id,
            window_start_at=wanted.window_start_at,
            window_end_at=wanted.window_end_at,
            kinds=tuple(sorted(demand.kinds)),
            packs=demand.packs,
            min_kwh=demand.min_kwh,
            priority=demand.priority,
            reason=refused.why.value,
            alternative_start_at=None if other is None else other.start_at,
            alternative_end_at=None if other is None else other.end_at,
            kept_until_at=None if other is None else other.kept_until_at,
            none_before_at=refused.none_before_at,
        ),
        at=at,
        actor=actor,
    )


def _booking(db: StationDb, booking_id: str) -> Booking:
    booking = db.get(Booking, booking_id)
    if booking is None or booking.station_id != db.station_id:
        raise NotFound("booking", booking_id)
    return booking


def _move(booking: Booking, trigger: BookingTrigger) -> None:
    """Move the status by its table. Raises IllegalTransition."""
    booking.status = BOOKING.next(BookingStatus(booking.status), trigger).value
