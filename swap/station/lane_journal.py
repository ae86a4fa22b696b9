"""What one step of a lane writes beside the swap's own row: commands, moves, faults, events.

Every function writes inside the caller's transaction, so the state and its event are stored together.
"""

from __future__ import annotations

from collections.abc import Mapping

from swap.events import EventKind, append_event
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
_END_EVENT = {
    "completed": EventKind.SWAP_COMPLETED,
    "returned": EventKind.SWAP_RETURNED,
    "cancelled": EventKind.SWAP_CANCELLED,
}


class LaneJournal:
    """Writes for one lane."""

    def __init__(self, context: StationContext, lane_id: str) -> None:
        self._context = context
        self._lane_id = lane_id
        self._source = f"lane:{lane_id}"

    def event(
        self, db: Db, kind: EventKind, swap_id: str | None, data: Mapping[str, object], actor: str = "controller"
    ) -> None:
        """Append one event of the lane."""
        append_event(
            db,
            station_id=self._context.station_id,
            at=self._context.clock.now(),
            kind=kind,
            actor=actor,
            swap_id=swap_id,
            lane_id=self._lane_id,
            data=dict(data),
        )

    def effect(self, db: Db, before: Session, after: Session, effect: Effect, facts: StepFacts) -> None:
        """Write what an effect of a step leaves in the record; nothing for those that only ask the cell."""
        data: dict[str, object]
        if isinstance(effect, Send):
            if not effect.repeated:
                self._sent(db, before, effect, facts)
        elif isinstance(effect, StepDone):
            self._done(db, before, effect, facts)
        elif isinstance(effect, StepFailed):
            self._failed(db, before, effect, facts)
        elif isinstance(effect, Refusal):
            data = {"state": effect.row.state, "missing": [m.as_data() for m in effect.missing]}
            self.event(db, EventKind.SWAP_REFUSED, before.swap_id, data)
        elif isinstance(effect, CheckChanged):
            data = {"check": effect.check.value, "result": effect.result, "tries": effect.tries}
            self.event(db, EventKind.SWAP_CHECK, before.swap_id, data)
        elif isinstance(effect, Held):
            self._held(db, before, effect, facts)
        elif isinstance(effect, Resumed):
            data = {"state": effect.state, "decision": effect.decision.kind.value, "next": effect.following}
            self.event(db, EventKind.SWAP_RESUMED, before.swap_id, data, actor=effect.decision.by)
            if before.seq is not None and after.seq is None:
                self._end_command(db, before.seq, "abandoned", facts)
        elif isinstance(effect, Ended):
            unreserve_packs(db, db.get_one(Swap, before.swap_id), at=facts.now)
            data = {"seats": len(effect.exchanged), "exchanged": sorted(effect.exchanged)}
            self.event(db, _END_EVENT[effect.state], before.swap_id, data)

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
        data = {
            "state": before.state,
            "seq": effect.command.seq,
            "command": effect.command.code.name,
            "tries": before.tries,
        }
        self.event(db, EventKind.SWAP_STEP_STARTED, before.swap_id, data)

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
        data = {
            "state": effect.row.state,
            "next": effect.following,
            "seq": effect.seq,
            "took_s": round(took_s, 1),
        }
        self.event(db, EventKind.SWAP_STEP_DONE, before.swap_id, data)

    def _failed(self, db: Db, before: Session, effect: StepFailed, facts: StepFacts) -> None:
        if effect.seq is not None:
            self._end_command(db, effect.seq, "failed", facts, fault_code=int(facts.cell.cell.fault_code))
        data = {
            "state": effect.row.state,
            "fault": effect.fault.name,
            "action": effect.action.value,
            "next": effect.following,
            "seq": effect.seq,
            **effect.fault.detail,
        }
        self.event(db, EventKind.SWAP_STEP_FAILED, before.swap_id, data)
        self._raise(db, effect.fault.name, data, facts)

    def _held(self, db: Db, before: Session, effect: Held, facts: StepFacts) -> None:
        data = {"state": before.state, "reason": effect.reason.value, **effect.detail}
        self.event(db, EventKind.SWAP_HELD, before.swap_id, data)
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
