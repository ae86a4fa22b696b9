"""What somebody wants, held against what the vehicle's model, the station's rules and its other bookings allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam
from sqlmodel import col, select

from swap.commerce.bookings.rules import Demand, PromiseView
from swap.commerce.bookings.states import OPEN
from swap.commerce.errors import BookingOpen, WindowNotAllowed
from swap.config.station_file import StationConfig, VehicleModelSection
from swap.errors import InvalidInput, NotFound, NotServed
from swap.register.vehicles import vehicle_model
from swap.station_db import StationDb
from swap.tables import Booking
from swap.words import N_

_OPEN_OF = select(Booking).where(Booking.vehicle_id == bindparam("vehicle"), col(Booking.status).in_(OPEN))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A swap that somebody wants in a window."""

    vehicle_id: str
    window_start_at: datetime
    window_end_at: datetime
    kinds: tuple[str, ...] = ()
    """Kinds that will do; empty: all that the vehicle takes."""
    packs: int | None = None
    """None: as many as the vehicle has."""
    min_kwh: float = 0.0
    """Least energy in each pack."""


def served_model(db: StationDb, config: StationConfig, vehicle_id: str) -> VehicleModelSection:
    """What the station file says of a vehicle's model. Raises NotFound, NotServed."""
    model = vehicle_model(db, vehicle_id)
    if model is None:
        raise NotFound("vehicle", vehicle_id)
    try:
        return config.vehicle_model(model)
    except KeyError:
        raise NotServed(
            N_("vehicle {vehicle_id} is a {model}, which station {station_id} does not serve"),
            {"model": model},
            vehicle_id=vehicle_id,
            station_id=config.station.id,
        ) from None


def demand_for(
    config: StationConfig,
    view: PromiseView,
    model: VehicleModelSection,
    wanted: Wanted,
    priority: int,
    key: str = "wanted",
) -> Demand:
    """What is wanted, as a plan reads it. Raises InvalidInput for what the vehicle's model cannot have."""
    strange = sorted(set(wanted.kinds).difference(model.pack_kinds))
    if strange:
        raise InvalidInput(
            "kinds", strange[0], N_("{kinds}, which vehicles of model {model} take"),
            kinds=", ".join(model.pack_kinds), model=model.id,
        )  # fmt: skip
    if wanted.packs is not None and wanted.packs != model.packs_per_vehicle:
        raise InvalidInput(
            "packs", wanted.packs, N_("{packs}: a swap exchanges all packs of a vehicle of model {model}"),
            packs=model.packs_per_vehicle, model=model.id,
        )  # fmt: skip
    return Demand(
        key=key,
        window=view.grid.slots_of(wanted.window_start_at, wanted.window_end_at),
        kinds=frozenset(wanted.kinds or model.pack_kinds),
        packs=model.packs_per_vehicle,
        swap_mode=model.swap_mode,
        min_kwh=wanted.min_kwh,
        priority=priority,
        length=_length(config, wanted),
    )


def _length(config: StationConfig, wanted: Wanted) -> int:
    """Slots of an alternative: as long as what is wanted, and no shorter or longer than may be booked."""
    rules = config.bookings
    least, most = -(-rules.min_window_min // rules.slot_min), max(rules.max_window_min // rules.slot_min, 1)
    slots = -(-int((wanted.window_end_at - wanted.window_start_at).total_seconds()) // (60 * rules.slot_min))
    return min(max(slots, least), most)


def check_window(config: StationConfig, start_at: datetime, end_at: datetime, at: datetime) -> None:
    rules = config.bookings
    length_min = (end_at - start_at).total_seconds() / 60
    if not rules.min_window_min <= length_min <= rules.max_window_min:
        raise WindowNotAllowed(
            "window_end_at",
            end_at.isoformat(),
            N_("{least_min}…{most_min} min after window_start_at"),
            least_min=rules.min_window_min,
            most_min=rules.max_window_min,
        )
    if start_at < at - timedelta(minutes=rules.slot_min):
        raise WindowNotAllowed(
            "window_start_at", start_at.isoformat(), N_("{earliest_at} or later"), earliest_at=at.isoformat()
        )
    latest_at = at + timedelta(hours=rules.horizon_h)
    if end_at > latest_at:
        raise WindowNotAllowed(
            "window_end_at", end_at.isoformat(), N_("up to {latest_at}"), latest_at=latest_at.isoformat()
        )


def check_apart(
    db: StationDb,
    config: StationConfig,
    vehicle_id: str,
    start_at: datetime,
    end_at: datetime,
    *,
    without: str | None = None,
) -> None:
    """A truck is in one place at a time. Raises BookingOpen."""
    others = [booking for booking in db.exec(_OPEN_OF, params={"vehicle": vehicle_id}) if booking.id != without]
    check_apart_here(config, vehicle_id, start_at, end_at, others)
    check_apart_elsewhere(vehicle_id, db.version_and_elsewhere(vehicle_id, start_at, end_at)[1])


def check_apart_here(
    config: StationConfig, vehicle_id: str, start_at: datetime, end_at: datetime, here: Sequence[Booking | Row[Any]]
) -> None:
    """The same among the open bookings at the station, of which the vehicle has not too many. Raises BookingOpen."""
    others = [booking for booking in here if booking.vehicle_id == vehicle_id]
    for other in others:
        if other.window_start_at < end_at and start_at < other.window_end_at:
            raise BookingOpen(
                N_("vehicle {vehicle_id} has booking {booking_id} at that time already"),
                {"booking_id": other.id},
                vehicle_id=vehicle_id,
            )
    if len(others) >= config.bookings.per_vehicle_max:
        raise BookingOpen(
            N_("vehicle {vehicle_id} has {number} open bookings, which is the most that a vehicle may have here"),
            vehicle_id=vehicle_id,
            number=len(others),
        )


def check_apart_elsewhere(vehicle_id: str, elsewhere: str | None) -> None:
    """The same at the other stations. Args: elsewhere: where it is booked then. Raises BookingOpen."""
    if elsewhere is not None:
        raise BookingOpen(
            N_("vehicle {vehicle_id} has a booking at another station at that time"), vehicle_id=vehicle_id
        )
