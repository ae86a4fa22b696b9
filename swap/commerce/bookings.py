"""Bookings and check-in.

A booking promises one swap in a time window, with any pack that matches: it holds capacity, not a pack.
It is `booked` until the truck checks in, then `arrived`, and ends as `fulfilled`, `failed` (the swap ended
without an exchange), `expired` (window and grace passed without the truck) or `cancelled`.

Every function takes a session of `store.station()`. Write transactions take turns, so what is read here
stays true until the commit; unique indexes are the last guard.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from scheduler.types import StationMode
from swap.commerce.booking_states import BOOKING, BookingStatus, BookingTrigger
from swap.commerce.errors import (
    BookingNotUsable,
    BookingOpen,
    KeyReused,
    NotServed,
    SlotsFull,
    SwapOpen,
    WindowNotAllowed,
)
from swap.commerce.slots import Room, SlotGrid, SlotRange, can_add, next_free
from swap.config.station_file import StationConfig, VehicleModelSection
from swap.errors import NotFound
from swap.events import append_event
from swap.messages.events import BookingEnded, BookingMade, SwapQueued
from swap.reading.lists import get_booking
from swap.reading.records import BookingRecord
from swap.station_db import StationDb
from swap.tables import Booking, Pack, Station, Swap, SwapSeat, VehicleRow

_OPEN = tuple(status.value for status in BOOKING.states if status not in BOOKING.ends)

_NOT_ADMITTING = (StationMode.CLOSED.value, StationMode.FIRE.value)


@dataclass(frozen=True, slots=True)
class CheckIn:
    """A truck that has checked in."""

    swap_id: str
    booking_id: str | None
    """The booking it uses; None for a walk-in."""
    created: bool
    """False when the same request was made before: nothing was changed."""


@dataclass(frozen=True, slots=True)
class SlotLoad:
    """One slot of the grid."""

    start_at: datetime
    capacity: int
    """Swaps that may be promised."""
    free: bool
    """A window of this one slot can still be booked."""


def new_id(prefix: str, at: datetime) -> str:
    """An id that sorts by time: prefix, second in hex, random part."""
    return f"{prefix}-{int(at.timestamp()):08x}{secrets.token_hex(5)}"


def make_booking(
    db: StationDb,
    config: StationConfig,
    *,
    vehicle_id: str,
    window_start_at: datetime,
    window_end_at: datetime,
    at: datetime,
    idempotency_key: str | None = None,
    actor: str = "api",
) -> BookingRecord:
    """Book a window for a vehicle. The same key with the same content gives the same booking again.

    Raises:
        WindowNotAllowed: too short, too long, past, or beyond the horizon.
        SlotsFull: no capacity is left; `detail` has `next_start_at` and `next_end_at` where there is a free one.
        BookingOpen: the vehicle has a booking already.
        KeyReused: the key belongs to another booking.
        NotFound: no such vehicle.
        NotServed: the vehicle's model is not served here.
    """
    station_id = config.station.id
    if idempotency_key is not None:
        known = db.exec(select(Booking).where(Booking.idempotency_key == idempotency_key)).first()
        if known is not None:
            same = (known.station_id, known.vehicle_id, known.window_start_at, known.window_end_at)
            if same != (station_id, vehicle_id, window_start_at, window_end_at):
                raise KeyReused(f"key {idempotency_key!r} belongs to booking {known.id}", booking_id=known.id)
            return get_booking(db, station_id, known.id)
    model = _served_model(db, config, vehicle_id)
    _check_window(config, window_start_at, window_end_at, at)
    tend_bookings(db, config, at)
    other = _open_booking(db, vehicle_id)
    if other is not None:
        raise BookingOpen(f"vehicle {vehicle_id} has booking {other.id} already", booking_id=other.id)
    _check_capacity(db, config, model.swap_mode, window_start_at, window_end_at)
    booking = Booking(
        id=new_id("bk", at),
        station_id=station_id,
        vehicle_id=vehicle_id,
        window_start_at=window_start_at,
        window_end_at=window_end_at,
        idempotency_key=idempotency_key,
        created_at=at,
    )
    try:
        with db.begin_nested():
            db.add(booking)
    except IntegrityError as error:
        raise BookingOpen(f"vehicle {vehicle_id} has an open booking at another station") from error
    append_event(
        db,
        BookingMade(
            booking_id=booking.id,
            vehicle_id=vehicle_id,
            window_start_at=window_start_at,
            window_end_at=window_end_at,
        ),
        station_id=station_id,
        at=at,
        actor=actor,
    )
    return get_booking(db, station_id, booking.id)


def cancel_booking(
    db: StationDb, config: StationConfig, booking_id: str, *, at: datetime, reason: str = "", actor: str = "api"
) -> BookingRecord:
    """Cancel a booking whose truck has not come. Cancelling again changes nothing.

    Raises:
        NotFound: no such booking at this station.
        BookingNotUsable: the truck has arrived, or the booking has ended otherwise.
    """
    station_id = config.station.id
    booking = _booking(db, station_id, booking_id)
    status = BookingStatus(booking.status)
    if status is BookingStatus.CANCELLED:
        return get_booking(db, station_id, booking_id)
    if not BOOKING.allows(status, BookingTrigger.CANCEL):
        raise BookingNotUsable(
            f"booking {booking_id} is {booking.status}; only a booked one can be cancelled",
            booking_id=booking_id,
            status=booking.status,
        )
    _end(db, booking, BookingTrigger.CANCEL, at, reason or "cancelled", actor)
    return get_booking(db, station_id, booking_id)


def expire_bookings(db: StationDb, config: StationConfig, at: datetime) -> tuple[str, ...]:
    """End the bookings whose window and grace have passed without the truck; their ids."""
    limit_at = at - timedelta(minutes=config.bookings.late_grace_min)
    query = select(Booking).where(
        Booking.station_id == config.station.id,
        Booking.status == BookingStatus.BOOKED,
        Booking.window_end_at < limit_at,
    )
    overdue = db.exec(query.order_by(col(Booking.window_end_at), col(Booking.id))).all()
    for booking in overdue:
        _end(db, booking, BookingTrigger.EXPIRE, at, "the truck did not come", "commerce")
    return tuple(booking.id for booking in overdue)


def settle_arrived(db: StationDb, station_id: str, at: datetime) -> tuple[str, ...]:
    """End the bookings whose swap has ended: fulfilled when completed, else failed; their ids."""
    query = (
        select(Booking, Swap)
        .join(Swap, col(Swap.booking_id) == Booking.id)
        .where(
            Booking.station_id == station_id, Booking.status == BookingStatus.ARRIVED, col(Swap.ended_at).is_not(None)
        )
        .order_by(col(Swap.ended_at), col(Booking.id))
    )
    ended = db.exec(query).all()
    for booking, swap in ended:
        trigger = BookingTrigger.FULFIL if swap.state == "completed" else BookingTrigger.FAIL
        _end(db, booking, trigger, at, swap.end_reason or swap.state, "commerce", swap_id=swap.id)
    return tuple(booking.id for booking, _ in ended)


def tend_bookings(db: StationDb, config: StationConfig, at: datetime) -> tuple[str, ...]:
    """End every booking that is over, by its swap or by time; their ids."""
    return settle_arrived(db, config.station.id, at) + expire_bookings(db, config, at)


def slot_loads(
    db: StationDb, config: StationConfig, swap_mode: str, from_at: datetime, until_at: datetime
) -> tuple[SlotLoad, ...]:
    """The grid over a time, for a page that offers windows to vehicles of a swap mode. Reads only."""
    rooms = _rooms(db, config, swap_mode)
    grid = rooms[-1][0]
    wanted = grid.slots_of(from_at, until_at)
    return tuple(
        SlotLoad(grid.start_of(slot), grid.capacity(slot), can_add(rooms, SlotRange(slot, slot)))
        for slot in range(wanted.first, wanted.last + 1)
    )


def check_in(
    db: StationDb,
    config: StationConfig,
    *,
    vehicle_id: str,
    at: datetime,
    booking_id: str | None = None,
    idempotency_key: str | None = None,
    priority: int = 0,
    actor: str = "api",
) -> CheckIn:
    """A truck has come: queue a swap for it, with its booking where the window (and grace) is now.

    Without `booking_id` the vehicle's open booking is used when its window is now; otherwise the truck is
    a walk-in and keeps the booking. The same key for the same vehicle gives the same swap again.

    Raises:
        NotFound: no such vehicle or booking.
        SwapOpen: the vehicle has an open swap.
        BookingNotUsable: the named booking is another vehicle's, has ended, or its window is not now.
        KeyReused: the key belongs to another vehicle's swap.
        NotServed: the station is closed, or does not serve the vehicle's model.
    """
    station_id = config.station.id
    if idempotency_key is not None:
        known = db.exec(select(Swap).where(Swap.idempotency_key == idempotency_key)).first()
        if known is not None:
            if (known.station_id, known.vehicle_id) != (station_id, vehicle_id):
                raise KeyReused(f"key {idempotency_key!r} belongs to swap {known.id}", swap_id=known.id)
            return CheckIn(known.id, known.booking_id, created=False)
    model = _served_model(db, config, vehicle_id)
    station = db.get(Station, station_id)
    if station is None:
        raise NotFound("station", station_id)
    if station.mode in _NOT_ADMITTING:
        raise NotServed(f"station {station_id} is in mode {station.mode}: {station.mode_reason}", mode=station.mode)
    open_swap = db.exec(select(Swap).where(Swap.open_vehicle_id == vehicle_id)).first()
    if open_swap is not None:
        raise SwapOpen(
            f"vehicle {vehicle_id} has the open swap {open_swap.id} ({open_swap.state})", swap_id=open_swap.id
        )
    tend_bookings(db, config, at)
    booking = _booking_to_use(db, config, vehicle_id, booking_id, at)
    swap = Swap(
        id=new_id("sw", at),
        station_id=station_id,
        vehicle_id=vehicle_id,
        booking_id=booking.id if booking else None,
        idempotency_key=idempotency_key,
        open_vehicle_id=vehicle_id,
        pack_count=model.packs_per_vehicle,
        priority=priority,
        entered_at=at,
        arrived_at=at,
    )
    try:
        with db.begin_nested():
            db.add(swap)
    except IntegrityError as error:
        raise SwapOpen(f"vehicle {vehicle_id} has an open swap at another station") from error
    if booking is not None:
        _move(booking, BookingTrigger.ARRIVE)
    db.flush()
    _add_seats(db, swap)
    append_event(
        db,
        SwapQueued(booking_id=swap.booking_id, seats=swap.pack_count, vehicle_id=vehicle_id),
        station_id=station_id,
        at=at,
        actor=actor,
        swap_id=swap.id,
    )
    return CheckIn(swap.id, swap.booking_id, created=True)


def _add_seats(db: StationDb, swap: Swap) -> None:
    packs = db.exec(select(Pack).where(Pack.vehicle_id == swap.vehicle_id)).all()
    on_seat = {pack.seat: pack for pack in packs}
    for seat in range(1, swap.pack_count + 1):
        pack = on_seat.get(seat)
        db.add(
            SwapSeat(
                swap_id=swap.id,
                seat=seat,
                old_pack_id=pack.id if pack else None,
                last_settled_soe_kwh=pack.settled_soe_kwh if pack else None,
            )
        )
    db.flush()


def _booking_to_use(
    db: StationDb, config: StationConfig, vehicle_id: str, booking_id: str | None, at: datetime
) -> Booking | None:
    if booking_id is None:
        booking = _open_booking(db, vehicle_id)
        usable = booking is not None and booking.station_id == config.station.id
        return booking if booking and usable and _window_problem(config, booking, at) is None else None
    booking = _booking(db, config.station.id, booking_id)
    if booking.vehicle_id != vehicle_id:
        raise BookingNotUsable(
            f"booking {booking_id} is not vehicle {vehicle_id}'s", booking_id=booking_id, vehicle_id=vehicle_id
        )
    problem = (
        f"is {booking.status}"
        if not BOOKING.allows(BookingStatus(booking.status), BookingTrigger.ARRIVE)
        else _window_problem(config, booking, at)
    )
    if problem is not None:
        raise BookingNotUsable(f"booking {booking_id} {problem}", booking_id=booking_id, status=booking.status)
    return booking


def _window_problem(config: StationConfig, booking: Booking, at: datetime) -> str | None:
    rules = config.bookings
    from_at = booking.window_start_at - timedelta(minutes=rules.early_grace_min)
    until_at = booking.window_end_at + timedelta(minutes=rules.late_grace_min)
    if at < from_at:
        return f"can be used from {from_at.isoformat()} on"
    if at > until_at:
        return f"could be used until {until_at.isoformat()}"
    return None


def _served_model(db: StationDb, config: StationConfig, vehicle_id: str) -> VehicleModelSection:
    vehicle = db.get(VehicleRow, vehicle_id)
    if vehicle is None:
        raise NotFound("vehicle", vehicle_id)
    try:
        return config.vehicle_model(vehicle.model)
    except KeyError:
        raise NotServed(
            f"vehicle {vehicle_id} is a {vehicle.model}, which station {config.station.id} does not serve",
            model=vehicle.model,
        ) from None


def _check_window(config: StationConfig, start_at: datetime, end_at: datetime, at: datetime) -> None:
    rules = config.bookings
    length_min = (end_at - start_at).total_seconds() / 60
    if not rules.min_window_min <= length_min <= rules.max_window_min:
        raise WindowNotAllowed(
            "window_end_at",
            end_at.isoformat(),
            f"{rules.min_window_min}…{rules.max_window_min} min after window_start_at",
        )
    if start_at < at - timedelta(minutes=rules.slot_min):
        raise WindowNotAllowed("window_start_at", start_at.isoformat(), f"{at.isoformat()} or later")
    latest_at = at + timedelta(hours=rules.horizon_h)
    if end_at > latest_at:
        raise WindowNotAllowed("window_end_at", end_at.isoformat(), f"up to {latest_at.isoformat()}")


def _rooms(db: StationDb, config: StationConfig, swap_mode: str) -> list[Room]:
    """All lanes with all open bookings; where not every lane serves the mode, also those that do with its bookings.

    Each lane serves one mode, so bookings that fit into both have a plan.
    """
    rules = config.bookings
    grid = SlotGrid.of(rules, len(config.lanes))
    mode_of = {model.id: model.swap_mode for model in config.vehicle_models}
    query = (
        select(Booking, VehicleRow.model)
        .join(VehicleRow, col(VehicleRow.id) == Booking.vehicle_id)
        .where(Booking.station_id == config.station.id, col(Booking.status).in_(_OPEN))
    )
    held = [(grid.slots_of(b.window_start_at, b.window_end_at), mode_of.get(model)) for b, model in db.exec(query)]
    rooms: list[Room] = [(grid, [wanted for wanted, _ in held])]
    serving = [lane for lane in config.lanes if lane.swap_mode in (None, swap_mode)]
    if len(serving) < len(config.lanes):
        own = SlotGrid.of(rules.model_copy(update={"capacity_per_slot": None}), len(serving))
        rooms.append((own, [wanted for wanted, mode in held if mode == swap_mode]))
    return rooms


def _check_capacity(db: StationDb, config: StationConfig, swap_mode: str, start_at: datetime, end_at: datetime) -> None:
    rooms = _rooms(db, config, swap_mode)
    grid = rooms[0][0]
    wanted = grid.slots_of(start_at, end_at)
    if can_add(rooms, wanted):
        return
    length = wanted.last - wanted.first + 1
    until = wanted.first + 24 * 3600 // grid.slot_s
    free = next_free(rooms, length, wanted.first + 1, until)
    detail = {}
    if free is not None:
        detail = {
            "next_start_at": grid.start_of(free.first).isoformat(),
            "next_end_at": grid.start_of(free.last + 1).isoformat(),
        }
    raise SlotsFull(
        f"every swap of the window {start_at.isoformat()}…{end_at.isoformat()} is promised already", **detail
    )


def _open_booking(db: StationDb, vehicle_id: str) -> Booking | None:
    query = select(Booking).where(Booking.vehicle_id == vehicle_id, col(Booking.status).in_(_OPEN))
    return db.exec(query).first()


def _booking(db: StationDb, station_id: str, booking_id: str) -> Booking:
    booking = db.get(Booking, booking_id)
    if booking is None or booking.station_id != station_id:
        raise NotFound("booking", booking_id)
    return booking


def _move(booking: Booking, trigger: BookingTrigger) -> str:
    """Move the status by its table; the new one. Raises IllegalTransition."""
    booking.status = BOOKING.next(BookingStatus(booking.status), trigger).value
    return booking.status


def _end(
    db: StationDb,
    booking: Booking,
    trigger: BookingTrigger,
    at: datetime,
    reason: str,
    actor: str,
    *,
    swap_id: str | None = None,
) -> None:
    status = _move(booking, trigger)
    db.flush()
    append_event(
        db,
        BookingEnded(booking_id=booking.id, status=status, reason=reason),
        station_id=booking.station_id,
        at=at,
        actor=actor,
        swap_id=swap_id,
    )


__all__: Sequence[str] = (
    "CheckIn",
    "SlotLoad",
    "cancel_booking",
    "check_in",
    "expire_bookings",
    "make_booking",
    "settle_arrived",
    "slot_loads",
    "tend_bookings",
)
