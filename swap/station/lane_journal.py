"""What one step of a lane writes beside the swap's own row: commands, moves, faults, events.

Every function writes inside the caller's transaction, so the state and its event are stored together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swap.events import append_event
from swap.messages.events import (
    AnyEvent,
    NotFulfilled,
    SwapCancelled,
    SwapCheck,
    SwapCompleted,
    SwapHeld,
    SwapRefused,
    SwapResumed,
    SwapReturned,
    SwapStepDone,
    SwapStepFailed,
    SwapStepStarted,
)
from swap.station.context import StationContext
from swap.station.faults import raise_fault
from swap.station.inventory import apply_move, unreserve_packs
from swap.station.records import end_command, store_command
from swap.station.sequence.session import (
    CheckChanged,
    Effect,
    Ended,
    Held,
    HoldReason,
    Refusal,
    Resumed,
    Send,
    Session,
    StepDone,
    StepFacts,
    StepFailed,
)
from swap.station_db import StationDb as Db
from swap.tables import Swap

_HOLD_FAULT = {HoldReason.GUARD_LOST: "permissive_lost", HoldReason.TIMEOUT: "command_timeout"}
_END_EVENT: dict[str, type[SwapCompleted | SwapReturned | SwapCancelled]] = {
    "completed": SwapCompleted,
    "returned": SwapReturned,
    "cancelled": SwapCancelled,
}


def _fields(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What the sequence says of a fault or a hold, as fields of an event."""
    missing = detail.get("missing")
    if missing is None:
        return dict(detail)
    return {**detail, "missing": tuple(NotFulfilled.model_validate(item) for item in missing)}


class LaneJournal:
    """Writes for one lane."""

    def __init__(self, context: StationContext, lane_id: str) -> None:
        self._context = context
        self._lane_id = lane_id
        self._source = f"lane:{lane_id}"

    def event(self, db: Db, event: AnyEvent, swap_id: str, actor: str = "controller") -> None:
        """Append one event of the lane."""
        append_event(
            db,
            event,
            station_id=self._context.station_id,
            at=self._context.clock.now(),
            actor=actor,
            swap_id=swap_id,
            lane_id=self._lane_id,
        )

    def effect(self, db: Db, before: Session, after: Session, effect: Effect, facts: StepFacts) -> None:
        """Write what an effect of a step leaves in the record; nothing for those that only ask the cell."""
        if isinstance(effect, Send):
            if not effect.repeated:
                self._sent(db, before, effect, facts)
        elif isinstance(effect, StepDone):
            self._done(db, before, effect, facts)
        elif isinstance(effect, StepFailed):
            self._failed(db, before, effect, facts)
        elif isinstance(effect, Refusal):
            missing = tuple(NotFulfilled.model_validate(m.as_data()) for m in effect.missing)
            self.event(db, SwapRefused(state=effect.row.state, missing=missing), before.swap_id)
        elif isinstance(effect, CheckChanged):
            check = SwapCheck(check=effect.check.value, result=effect.result, tries=effect.tries)
            self.event(db, check, before.swap_id)
        elif isinstance(effect, Held):
            self._held(db, before, effect, facts)
        elif isinstance(effect, Resumed):
            resumed = SwapResumed(state=effect.state, decision=effect.decision.kind.value, next=effect.following)
            self.event(db, resumed, before.swap_id, actor=effect.decision.by)
            if before.seq is not None and after.seq is None:
                self._end_command(db, before.seq, "abandoned", facts)
        elif isinstance(effect, Ended):
            unreserve_packs(db, db.get_one(Swap, before.swap_id), at=facts.now)
            ended = _END_EVENT[effect.state]
            exchanged = tuple(sorted(effect.exchanged))
            self.event(db, ended(seats=len(exchanged), exchanged=exchanged), before.swap_id)

    def _sent(self, db: Db, before: Session, effect: Send, facts: StepFacts) -> None:
        store_command(
            db,
            station_id=self._context.station_id,
            lane_id=self._lane_id,
            command=effect.command,
            swap_id=before.swap_id,
            state=before.state,
            at=facts.now,
        )
        started = SwapStepStarted(
            state=before.state, seq=effect.command.seq, command=effect.command.code.name, tries=before.tries
        )
        self.event(db, started, before.swap_id)

    def _done(self, db: Db, before: Session, effect: StepDone, facts: StepFacts) -> None:
        if effect.seq is not None:
            self._end_command(db, effect.seq, "done", facts)
        if effect.move is not None:
            apply_move(
                db,
                station_id=self._context.station_id,
                lane_id=self._lane_id,
                swap=db.get_one(Swap, before.swap_id),
                plan=effect.plan,
                move=effect.move,
                at=facts.now,
            )
        took_s = (facts.now - before.entered_at).total_seconds()
        done = SwapStepDone(state=effect.row.state, next=effect.following, seq=effect.seq, took_s=round(took_s, 1))
        self.event(db, done, before.swap_id)

    def _failed(self, db: Db, before: Session, effect: StepFailed, facts: StepFacts) -> None:
        if effect.seq is not None:
            self._end_command(db, effect.seq, "failed", facts, fault_code=int(facts.cell.cell.fault_code))
        failed = SwapStepFailed(
            state=effect.row.state,
            fault=effect.fault.name,
            action=effect.action.value,
            next=effect.following,
            seq=effect.seq,
            **_fields(effect.fault.detail),
        )
        self.event(db, failed, before.swap_id)
        self._raise(db, effect.fault.name, failed.payload(), facts)

    def _held(self, db: Db, before: Session, effect: Held, facts: StepFacts) -> None:
        held = SwapHeld(state=before.state, reason=effect.reason.value, **_fields(effect.detail))
        self.event(db, held, before.swap_id)
        name = _HOLD_FAULT.get(effect.reason)
        if name is not None:
            self._raise(db, name, {"state": before.state, **effect.detail}, facts)

    def _raise(self, db: Db, name: str, data: dict[str, object], facts: StepFacts) -> None:
        raise_fault(db, station_id=self._context.station_id, name=name, source=self._source, at=facts.now, data=data)

    def _end_command(self, db: Db, seq: int, result: str, facts: StepFacts, fault_code: int = 0) -> None:
        end_command(
            db,
            station_id=self._context.station_id,
            lane_id=self._lane_id,
            seq=seq,
            result=result,
            at=facts.now,
            fault_code=fault_code,
        )
