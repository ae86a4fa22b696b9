"""Kinds of station events and the one function that appends them.

The event is written in the same transaction as the state it tells of. Events of a station are numbered by `seq`
from 1 without gaps, and each carries the hash of the one before it: both are taken under the station's lock.

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
journal.epoch          `from_epoch`, `from_seq`, `from_hash`: the head that the restored copy ended with; `lost`: the
                       newest head known outside of it (`epoch`, `seq`, `hash`), None where none is known; `copy`
=====================  ===========================================================================

Places: `bay:STATION:BAY`, `vehicle:VEHICLE:SEAT`, `gripper:STATION:LANE`, `tank:STATION`, `off_site`.
`swap.places.place_of` gives the place of a pack row.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlmodel import Session, col, func, select

from swap.journal.canonical import canonical_json, without_nan
from swap.journal.chain import EPOCH_KIND, FIRST, Entry, entry_hash
from swap.journal.heads import Head
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
    JOURNAL_EPOCH = EPOCH_KIND
    """The database was restored from a copy by a named person; what the copy did not hold is gone."""


def newest_heads(db: Session, at: datetime) -> tuple[Head, ...]:
    """The newest event of every station that has one; `at` is when they are looked at."""
    newest = select(StationEvent.station_id, func.max(StationEvent.seq)).group_by(StationEvent.station_id).subquery()
    query = (
        select(StationEvent.station_id, StationEvent.epoch, StationEvent.seq, StationEvent.hash)
        .join(newest, (newest.c[0] == StationEvent.station_id) & (newest.c[1] == StationEvent.seq))
        .order_by(StationEvent.station_id)
    )
    return tuple(Head(*row, at) for row in db.exec(query))


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
    cause_seq: int | None = None,
    data: dict[str, Any] | None = None,
    epoch: int | None = None,
) -> StationEvent:
    """Append one event and raise the station's version; call inside a write transaction of the store.

    Args:
        epoch: begins a new epoch; only the event `journal.epoch` does.
    """
    db.flush()
    last = db.exec(
        select(StationEvent.seq, StationEvent.hash, StationEvent.epoch)
        .where(StationEvent.station_id == station_id)
        .order_by(col(StationEvent.seq).desc())
        .limit(1)
    ).first()
    seq, prev_hash, last_epoch = last if last is not None else (0, FIRST, 1)
    plain = without_nan(data or {})
    entry = Entry(
        station_id=station_id,
        seq=seq + 1,
        epoch=last_epoch if epoch is None else epoch,
        at=at,
        kind=kind.value,
        actor=actor,
        swap_id=swap_id,
        pack_id=pack_id,
        bay_id=bay_id,
        lane_id=lane_id,
        cause_seq=cause_seq,
        data=canonical_json(plain),
        prev_hash=prev_hash,
    )
    fields = {name: getattr(entry, name) for name in Entry.__slots__} | {"data": plain}
    event = StationEvent(**fields, hash=entry_hash(entry))
    db.add(event)
    station = db.get_one(Station, station_id)
    station.version += 1
    db.flush()
    return event
