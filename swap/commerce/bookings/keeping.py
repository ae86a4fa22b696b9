"""Whether promises can be kept as things stand; who holds one that cannot is told at once, with an alternative."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler.types import StationMode
from swap.commerce.bookings.outlook import coming_bookings, demand_of, promise_view, promised_demands
from swap.commerce.bookings.rules import Demand, PromiseView, Why, alternative_to, cannot, kept, plan
from swap.commerce.bookings.slots import SlotRange
from swap.commerce.bookings.states import BOOKING, BookingStatus, BookingTrigger
from swap.commerce.bookings.store import MACHINE, restore
from swap.config.station_file import StationConfig, VehicleModelSection
from swap.messages.commerce import BookingDisrupted, BookingRestored
from swap.station_db import StationDb
from swap.store import Store
from swap.tables import Booking

LOOK_S = 60.0
"""Station seconds after which promises are judged though the journal is as it was: time alone can break one."""


AT_ONCE = 1
"""Promises that change in one transaction: each takes as long as a booking, and the controller waits meanwhile."""


@dataclass(slots=True)
class KeepingMark:
    """When promises were judged last."""

    seq: int = -1
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Promises that change."""

    broken: dict[str, Why]
    """Booking by id: why it cannot be kept."""
    restored: tuple[str, ...]


def keep_promises(store: Store, config: StationConfig, at: datetime, mark: KeepingMark) -> tuple[str, ...]:
    """Judge every promise where something has happened; the ids of those that changed.

    Most often nothing changes, so it is looked at in a read session first.
    """
    with store.reading_station(config.station.id) as db:
        newest = db.newest_event()
        seq = 0 if newest is None else newest.seq
        if seq == mark.seq and mark.at is not None and abs((at - mark.at).total_seconds()) < LOOK_S:
            return ()
        found = judge(db, config, at)
    mark.seq, mark.at = seq, at
    if not found.broken and not found.restored:
        return ()
    told: dict[str, None] = {}
    while True:
        with store.station(config.station.id) as db:
            part = tell(db, config, at, most=AT_ONCE)
        again = any(booking_id in told for booking_id in part)
        told |= dict.fromkeys(part)
        if again or len(part) < AT_ONCE:
            return tuple(told)


def tell(db: StationDb, config: StationConfig, at: datetime, *, most: int | None = None) -> tuple[str, ...]:
    """Judge and write: each change with its event, the broken ones with an alternative that is kept for them.

    Args:
        most: so many changes at most, the restored first; None: all.
    """
    verdict = judge(db, config, at)
    rows = {booking.id: (booking, model) for booking, model in coming_bookings(db)}
    restored = verdict.restored[:most]
    broken = dict(list(verdict.broken.items())[: None if most is None else most - len(restored)])
    for booking_id in restored:
        booking = rows[booking_id][0]
        restore(booking)
        db.append(BookingRestored(booking_id=booking_id), at=at, actor=MACHINE)
    for booking_id, why in broken.items():
        booking, model = rows[booking_id]
        disrupt(db, config, booking, config.vehicle_model(model), why, at)
    return (*restored, *broken)


def judge(db: StationDb, config: StationConfig, at: datetime) -> Verdict:
    """Which promises fall through now, and which can be kept again."""
    rows = coming_bookings(db)
    if not rows:
        return Verdict({}, ())
    view = promise_view(db, config, at)
    now = view.grid.slot_at(at)
    models = {model.id: model for model in config.vehicle_models}
    demands: list[Demand] = []
    for booking, model in rows:
        window = view.grid.slots_of(booking.window_start_at, booking.window_end_at)
        if window.last < now or model not in models:
            continue
        if booking.status == BookingStatus.BOOKED:
            # A forecast that moves by a few minutes breaks nothing.
            window = SlotRange(window.first, window.last + 1)
        demands.append(demand_of(booking, models[model], window))
    failed = kept(view, demands).failed
    status = {booking.id: booking.status for booking, _ in rows}
    broken = {
        demand.key: _why(view, demand)
        for demand in demands
        if demand.key in failed and status[demand.key] == BookingStatus.BOOKED
    }
    return Verdict(
        broken,
        tuple(d.key for d in demands if d.key not in failed and status[d.key] == BookingStatus.DISRUPTED),
    )


def _why(view: PromiseView, demand: Demand) -> Why:
    refusal = cannot(view, demand)
    if refusal is not None:
        return refusal.why
    opens_slot = -(-int(view.opens_at.timestamp()) // view.grid.slot_s)
    if view.mode is not StationMode.AUTOMATIC and demand.window.last <= opens_slot:
        return Why.STATION_MODE
    alone = plan(view, [demand], any_stock=True)
    return Why.SLOTS_FULL if alone.failed else Why.PACKS_PROMISED


def disrupt(
    db: StationDb, config: StationConfig, booking: Booking, model: VehicleModelSection, why: Why, at: datetime
) -> None:
    """The promise of a booking falls through: its holder is told, and another window is kept for it."""
    view = promise_view(db, config, at)
    others = promised_demands(db, config, view, without=booking.id, asker=booking.vehicle_id)
    demand = demand_of(booking, model, view.grid.slots_of(booking.window_start_at, booking.window_end_at))
    other = None if cannot(view, demand) else alternative_to(view, others, demand)
    booking.status = BOOKING.next(BookingStatus(booking.status), BookingTrigger.DISRUPT).value
    booking.trouble = why.value
    if other is not None:
        booking.alternative_start_at = view.grid.start_of(other.first)
        booking.alternative_end_at = view.grid.start_of(other.last + 1)
        booking.alternative_until_at = at + timedelta(minutes=config.bookings.disrupted_keep_min)
    db.append(
        BookingDisrupted(
            booking_id=booking.id,
            vehicle_id=booking.vehicle_id,
            reason=why.value,
            alternative_start_at=booking.alternative_start_at,
            alternative_end_at=booking.alternative_end_at,
            kept_until_at=booking.alternative_until_at,
        ),
        at=at,
        actor=MACHINE,
    )
