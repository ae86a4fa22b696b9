"""A truck at the gate becomes a swap in the queue.

It knows no contract and no price: `swap.gate` asks commerce and comes here. A station that is cut off from commerce
admits trucks by this alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from scheduler.types import StationMode
from swap.config.station_file import StationConfig
from swap.errors import NotFound, NotServed, SwapOpen
from swap.ids import new_id
from swap.messages.events import SwapQueued
from swap.station_db import StationDb
from swap.tables import Pack, Swap, SwapSeat, VehicleRow
from swap.words import N_

_NOT_ADMITTING = (StationMode.CLOSED.value, StationMode.FIRE.value)


@dataclass(frozen=True, slots=True)
class CheckIn:
    """A truck that has checked in."""

    swap_id: str
    booking_id: str | None
    """The booking it uses; None for a walk-in."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A truck that may be let in, and with what."""

    vehicle_id: str
    pack_count: int


def may_enter(db: StationDb, config: StationConfig, vehicle_id: str) -> Admission:
    """Whether the station takes this truck now.

    Raises:
        NotFound: no such vehicle.
        NotServed: the station is closed, or does not serve the vehicle's model.
        SwapOpen: the vehicle has an open swap.
    """
    vehicle = db.get(VehicleRow, vehicle_id)
    if vehicle is None:
        raise NotFound("vehicle", vehicle_id)
    try:
        model = config.vehicle_model(vehicle.model)
    except KeyError:
        raise NotServed(
            N_("vehicle {vehicle_id} is a {model}, which station {station_id} does not serve"),
            {"model": vehicle.model},
            vehicle_id=vehicle_id,
            station_id=db.station_id,
        ) from None
    station = db.station()
    if station.mode in _NOT_ADMITTING:
        raise NotServed(
            N_("station {station_id} is in mode {mode}: {reason}"),
            {"mode": station.mode},
            station_id=db.station_id,
            reason=station.mode_reason,
        )
    open_swap = db.exec(select(Swap).where(Swap.open_vehicle_id == vehicle_id)).first()
    if open_swap is not None:
        raise SwapOpen(
            N_("vehicle {vehicle_id} has the open swap {swap_id} ({state})"),
            {"swap_id": open_swap.id},
            vehicle_id=vehicle_id,
            state=open_swap.state,
        )
    return Admission(vehicle_id, model.packs_per_vehicle)


def admit(
    db: StationDb,
    admission: Admission,
    *,
    at: datetime,
    booking_id: str | None = None,
    priority: int = 0,
    odometer_km: float | None = None,
    actor: str = "api",
) -> CheckIn:
    """Queue a swap for a truck that `may_enter`.

    Raises:
        SwapOpen: the vehicle has an open swap at another station.
    """
    vehicle_id = admission.vehicle_id
    swap = Swap(
        id=new_id("sw", at),
        station_id=db.station_id,
        vehicle_id=vehicle_id,
        booking_id=booking_id,
        open_vehicle_id=vehicle_id,
        pack_count=admission.pack_count,
        priority=priority,
        entered_at=at,
        arrived_at=at,
    )
    try:
        with db.begin_nested():
            db.add(swap)
    except IntegrityError as error:
        raise SwapOpen(N_("vehicle {vehicle_id} has an open swap at another station"), vehicle_id=vehicle_id) from error
    _add_seats(db, swap)
    told: dict[str, Any] = {} if odometer_km is None else {"odometer_km": odometer_km}
    db.append(
        SwapQueued(
            booking_id=swap.booking_id,
            seats=swap.pack_count,
            vehicle_id=vehicle_id,
            priority=swap.priority,
            **told,
        ),
        at=at,
        actor=actor,
        swap_id=swap.id,
    )
    return CheckIn(swap.id, swap.booking_id)


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
