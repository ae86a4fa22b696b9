"""Kinds of station events and the one function that appends them.

The event is written in the same transaction as the state it tells of. Ids count up without gaps: the
next id is taken under the write lock of the transaction.

Keys of `data` that other code reads; an event may carry more:

=====================  ===========================================================================
kind                   keys
=====================  ===========================================================================
station.mode           `from`, `to` (a mode; `from` is None at the first start), `reason`
pack.moved             `from`, `to`: places as below; `pack_id` of the event is the pack
swap.queued            `booking_id` (None for a walk-in), `seats`
swap.dispatched        `state` ("queued"), `next` (first state of the recipe), `swap_order`
swap.step_done         `state`, `next`, `seq` (None when the row has no command)
swap.step_failed       `state`, `next` (the same state when it is tried again), `action`, `seq`
swap.resumed           `state`, `next` where the decision changes the state
swap.completed         `seats`: number of seats exchanged; a bill is made from this event
swap.cancelled         `state`, `next` where no step event told of the change
booking.made           `booking_id`, `vehicle_id`, `window_start_at`, `window_end_at`
booking.ended          `booking_id`, `status` (fulfilled, failed, expired, cancelled), `reason`
bill.issued            `bill_id`, `kind` (swap or correction), `total_fen`, `flags`
bill.reversed          `bill_id` (the reversal), `reverses`, `total_fen`, `reason`
database.slow          `waited_s`: longest wait for a commit, real seconds
database.lost          `reason`, `lost_at`, `held_at`, `back_at`, `lost_s` (real), `chargers_not_confirmed`
control.gap            `what` ("looking" or "commanding"), `gap_s` (real)
=====================  ===========================================================================

Places: `bay:STATION:BAY`, `vehicle:VEHICLE:SEAT`, `gripper:STATION:LANE`, `tank:STATION`, `off_site`.
`swap.places.place_of` gives the place of a pack row.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, text
from sqlmodel import Session, select

from swap.tables import Station, StationEvent


class EventKind(StrEnum):
    """Every kind of station event."""

    STATION_MODE = "station.mode"
    CONTROLLER_STARTED = "controller.started"
    CONTROLLER_STOPPED = "controller.stopped"
    BOOKING_MADE = "booking.made"
    BOOKING_ENDED = "booking.ended"
    SWAP_QUEUED = "swap.queued"
    SWAP_DISPATCHED = "swap.dispatched"
    SWAP_CHECK = "swap.check"
    SWAP_STEP_STARTED = "swap.step_started"
    SWAP_STEP_DONE = "swap.step_done"
    SWAP_STEP_FAILED = "swap.step_failed"
    SWAP_REFUSED = "swap.refused"
    """A permissive is missing or stale; names and ages are in `data`."""
    SWAP_HELD = "swap.held"
    SWAP_RESUMED = "swap.resumed"
    SWAP_COMPLETED = "swap.completed"
    SWAP_RETURNED = "swap.returned"
    """The old pack was put back; no exchange."""
    SWAP_CANCELLED = "swap.cancelled"
    PACK_MOVED = "pack.moved"
    PACK_STATE = "pack.state"
    PACK_READING = "pack.reading"
    """A reading that a decision or a bill rests on."""
    BAY_BLOCKED = "bay.blocked"
    BAY_RELEASED = "bay.released"
    CHARGE_STARTED = "charge.started"
    CHARGE_ENDED = "charge.ended"
    BILL_ISSUED = "bill.issued"
    BILL_REVERSED = "bill.reversed"
    FAULT_RAISED = "fault.raised"
    FAULT_ACKNOWLEDGED = "fault.acknowledged"
    FAULT_CLEARED = "fault.cleared"
    REQUEST_ANSWERED = "request.answered"
    THERMAL = "thermal.step"
    RECONCILED = "station.reconciled"
    DATABASE_SLOW = "database.slow"
    """Commits were waited for, and came."""
    DATABASE_LOST = "database.lost"
    """Written on return: when it was lost and back, and what was done without it."""
    CONTROL_GAP = "control.gap"
    """Nobody looked at a cell, or nothing could be commanded, while a swap went on."""


WRITE_LOCK_KEY = 7_310_421
"""Advisory lock number under which write transactions, and so event ids, take turns on PostgreSQL."""


def append_event(
    db: Session,
    *,
    station_id: str,
    at: datetime,
    kind: EventKind,
    actor: str = "controller",
    swap_id: str | None = None,
    pack_id: str | None = None,
    bay_id: str | None = None,
    lane_id: str | None = None,
    cause_id: int | None = None,
    data: dict[str, Any] | None = None,
) -> StationEvent:
    """Append one event and raise the station's version; call inside `store.transaction()`."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITE_LOCK_KEY})
    db.flush()
    last = db.exec(select(func.max(StationEvent.id))).one()
    event = StationEvent(
        id=(last or 0) + 1,
        station_id=station_id,
        at=at,
        kind=kind.value,
        actor=actor,
        swap_id=swap_id,
        pack_id=pack_id,
        bay_id=bay_id,
        lane_id=lane_id,
        cause_id=cause_id,
        data=data or {},
    )
    db.add(event)
    station = db.get_one(Station, station_id)
    station.version += 1
    db.flush()
    return event
