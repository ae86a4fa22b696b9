"""What one step of a lane writes beside the swap's own row: commands, moves, faults, events.

Every function writes inside the caller's transaction, so the state and its event are stored together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import col, or_, select

from scheduler.types import Dispatch
from swap.events import append_event
from swap.messages.events import (
    AnyEvent,
    NotFulfilled,
    SwapCancelled,
    SwapCheck,
    SwapCompleted,
    SwapDispatched,
    SwapDiverted,
    SwapHeld,
    SwapPacksTold,
    SwapRefused,
    SwapResumed,
    SwapReturned,
    SwapStepDone,
    SwapStepFailed,
    SwapStepStarted,
    SwapTowedOut,
)
from swap.station.context import StationContext
from swap.station.faults import raise_fault
from swap.station.inventory import apply_move, given_back, reserve_packs, unreserve_packs
from swap.station.records import end_command, store_command, store_session, table_for
from swap.station.sequence.permissives import SeatPlan
from swap.station.sequence.recipe import Place, StepTable
from swap.station.sequence.sequencer import begin
from swap.station.sequence.session import (
    CheckChanged,
    Diverted,
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
    TowedOut,
)
from swap.station_db import StationDb as Db
from swap.tables import Bay, Pack, Swap, SwapSeat, VehicleRow

_HOLD_FAULT = {
    HoldReason.GUARD_LOST: "permissive_lost",
    HoldReason.UNSECURED: "vehicle_unsecured",
    HoldReason.TIMEOUT: "command_timeout",
}
_UNTAKEN = frozenset({"command_timeout", "command_not_acknowledged"})
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


class BayTaken(Exception):
    """A bay that was free when it was chosen is promised to another swap, or holds a pack."""


class LaneJournal:
    """Writes for one lane."""

    def __init__(self, context: StationContext, lane_id: str) -> None:
        self._context = context
        self._lane_id = lane_id
        self._source = f"lane:{lane_id}"

    def event(
        self, db: Db, event: AnyEvent, swap_id: str, at: datetime | None = None, actor: str = "controller"
    ) -> None:
        """Append one event of the lane, at the instant that its rows have; now where it tells of none."""
        append_event(
            db,
            event,
            station_id=self._context.station_id,
            at=self._context.clock.now() if at is None else at,
            actor=actor,
            swap_id=swap_id,
            lane_id=self._lane_id,
        )

    def dispatch(self, db: Db, chosen: Dispatch) -> tuple[Session, StepTable]:
        """Give a queued swap this lane, its packs and its bays; the session to take up."""
        context, now = self._context, self._context.clock.now()
        swap = db.get_one(Swap, chosen.swap_id)
        vehicle = db.get_one(VehicleRow, swap.vehicle_id)
        table = table_for(context.config, self._lane_id, len(chosen.packs.pack_ids))
        plans = []
        for index, pack_id in enumerate(chosen.packs.pack_ids):
            seat = db.get(SwapSeat, (swap.id, index + 1)) or SwapSeat(swap_id=swap.id, seat=index + 1)
            old = db.exec(select(Pack).where(Pack.vehicle_id == swap.vehicle_id, Pack.seat == index + 1)).first()
            seat.old_pack_id = old.id if old else None
            seat.last_settled_soe_kwh = old.settled_soe_kwh if old else None
            seat.new_pack_id = pack_id
            seat.old_bay_id = context.bay_key(chosen.empty_bay_ids[index])
            seat.new_bay_id = context.bay_key(chosen.packs.bay_ids[index])
            db.add(seat)
            plans.append(
                SeatPlan(
                    index + 1,
                    seat.old_pack_id,
                    pack_id,
                    seat.old_bay_id,
                    db.get_one(Bay, seat.old_bay_id).position,
                    seat.new_bay_id,
                    db.get_one(Bay, seat.new_bay_id).position,
                )
            )
        session = begin(table, swap.id, vehicle.tag, tuple(plans), now, vehicle.model)
        swap.lane_id, swap.open_lane_id = self._lane_id, context.bay_key(self._lane_id)
        swap.recipe, swap.pack_count, swap.dispatched_at = table.recipe, len(plans), now
        db.add(swap)
        db.flush()
        reserve_packs(db, station_id=context.station_id, pack_ids=chosen.packs.pack_ids, at=now)
        store_session(db, session)
        self.event(
            db,
            SwapDispatched(
                state=session.state,
                swap_order=table.swap_order,
                packs=chosen.packs.pack_ids,
                from_bays=chosen.packs.bay_ids,
                to_bays=chosen.empty_bay_ids,
                recipe=table.recipe,
            ),
            swap.id,
            now,
        )
        return session, table

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
            self.event(db, SwapRefused(state=effect.row.state, missing=missing), before.swap_id, facts.now)
        elif isinstance(effect, Diverted):
            self._diverted(db, before, effect, facts)
        elif isinstance(effect, CheckChanged):
            check = SwapCheck(check=effect.check.value, result=effect.result, tries=effect.tries)
            self.event(db, check, before.swap_id, facts.now)
        elif isinstance(effect, Held):
            self._held(db, before, effect, facts)
        elif isinstance(effect, Resumed):
            resumed = SwapResumed(state=effect.state, decision=effect.decision.kind.value, next=effect.following)
            self.event(db, resumed, before.swap_id, facts.now, actor=effect.decision.by)
            if before.seq is not None and after.seq is None:
                self._end_command(db, before.seq, "abandoned", facts)
        elif isinstance(effect, TowedOut):
            towed = SwapTowedOut(state=effect.state, exchanged=tuple(sorted(before.exchanged)))
            self.event(db, towed, before.swap_id, actor=effect.decision.by)
        elif isinstance(effect, Ended):
            unreserve_packs(db, db.get_one(Swap, before.swap_id), at=facts.now)
            ended = _END_EVENT[effect.state]
            exchanged = tuple(sorted(effect.exchanged))
            told: dict[str, Any] = {"seats": len(exchanged), "exchanged": exchanged}
            if ended is SwapCompleted:
                told["given_back"] = given_back(db, before.swap_id)
            self.event(db, ended(**told), before.swap_id, facts.now)

    def told(self, db: Db, swap_id: str, packs: Mapping[int, str]) -> None:
        """The vehicle has been told which packs it is to accept; nothing where the journal has that already."""
        said = SwapPacksTold(packs={str(seat): code for seat, code in sorted(packs.items())})
        newest = db.newest_event(SwapPacksTold)
        if newest is None or (newest.swap_id, newest.data) != (swap_id, said.payload()):
            self.event(db, said, swap_id)

    def _sent(self, db: Db, before: Session, effect: Send, facts: StepFacts) -> None:
        command = effect.command
        store_command(
            db,
            station_id=self._context.station_id,
            lane_id=self._lane_id,
            command=command,
            swap_id=before.swap_id,
            state=before.state,
            at=facts.now,
        )
        started = SwapStepStarted(
            state=before.state,
            seq=command.seq,
            command=command.code.name,
            tries=before.tries,
            source=command.source.code if command.source else 0,
            target=command.target.code if command.target else 0,
            vehicle_tag=command.vehicle_tag,
        )
        self.event(db, started, before.swap_id, facts.now)

    def _done(self, db: Db, before: Session, effect: StepDone, facts: StepFacts) -> None:
        if effect.seq is not None:
            self._end_command(db, effect.seq, "done", facts)
        if effect.move is not None:
            context = self._context
            apply_move(
                db,
                station_id=context.station_id,
                lane_id=self._lane_id,
                swap=db.get_one(Swap, before.swap_id),
                plan=effect.plan,
                move=effect.move,
                at=facts.now,
                odometer_km=facts.cell.cell.odometer_km,
                transfer_bays=[context.bay_key(bay) for bay in context.config.transfer_bays(self._lane_id)],
            )
            if effect.plan.quarantine and effect.move.target is Place.OLD_BAY:
                bay = str(effect.plan.old_bay).split(":", 1)[1]
                raise_fault(
                    db,
                    station_id=self._context.station_id,
                    name="incoming_pack_unfit",
                    source=f"bay:{bay}",
                    at=facts.now,
                    data={"pack": effect.plan.old_pack_id, "swap": before.swap_id},
                )
        took_s = (facts.now - before.entered_at).total_seconds()
        done = SwapStepDone(state=effect.row.state, next=effect.following, seq=effect.seq, took_s=round(took_s, 1))
        self.event(db, done, before.swap_id, facts.now)

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
        self.event(db, failed, before.swap_id, facts.now)
        self._raise(db, effect.fault.name, failed.payload(), facts)

    def _diverted(self, db: Db, before: Session, effect: Diverted, facts: StepFacts) -> None:
        """Write where the pack goes instead. Raises BayTaken where the bay has been promised or filled meanwhile."""
        key, plan = str(effect.plan.old_bay), effect.plan
        promised = (
            select(SwapSeat.swap_id)
            .join(Swap, col(Swap.id) == SwapSeat.swap_id)
            .where(col(Swap.open_lane_id).is_not(None), SwapSeat.swap_id != before.swap_id)
            .where(or_(SwapSeat.old_bay_id == key, SwapSeat.new_bay_id == key))
        )
        here = any(seat.old_bay == key for seat in before.seats if seat.seat != plan.seat)
        if here or db.exec(promised).first() or db.exec(select(Pack.id).where(Pack.bay_id == key)).first():
            raise BayTaken(key)
        row = db.get_one(SwapSeat, (before.swap_id, plan.seat))
        row.old_bay_id = key
        db.add(row)
        diverted = SwapDiverted(
            state=before.state,
            seat=plan.seat,
            pack=plan.old_pack_id,
            planned=None if effect.before.old_bay is None else effect.before.old_bay.split(":", 1)[1],
            bay=key.split(":", 1)[1],
            missing=tuple(NotFulfilled.model_validate(item.as_data()) for item in effect.unfit),
        )
        self.event(db, diverted, before.swap_id, facts.now)

    def _held(self, db: Db, before: Session, effect: Held, facts: StepFacts) -> None:
        held = SwapHeld(state=before.state, reason=effect.reason.value, **_fields(effect.detail))
        self.event(db, held, before.swap_id, facts.now)
        name = _HOLD_FAULT.get(effect.reason)
        if name is not None:
            self._raise(db, name, {"state": before.state, **effect.detail}, facts)

    def _raise(self, db: Db, name: str, data: dict[str, object], facts: StepFacts) -> None:
        refusal = facts.cell.cell.refusal
        if refusal is not None and name in _UNTAKEN:  # the PLC's own reason, where it gave one at the wire
            data = {**data, "link": str(refusal)}
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
