"""The step function of a swap: stored session and fresh facts in, session to store and effects out.

It does no I/O and reads no clock. The live controller and the simulation both drive it; effects are carried
out only after the returned session is stored.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from robotics.port import CellState, CommandCode, ControlMode, ResultCode, RobotCommand
from swap.station.sequence.decided import BROKEN_OFF, outcome
from swap.station.sequence.handshake import Progress, due_again, overdue, watch
from swap.station.sequence.incoming import goes_to_quarantine
from swap.station.sequence.machine import Trigger, session_states
from swap.station.sequence.permissives import Missing, SeatPlan, location, tripped
from swap.station.sequence.recipe import QUEUED, TERMINAL, Check, StepRow, StepTable
from swap.station.sequence.recovery import StepFault, cell_fault, refusal
from swap.station.sequence.row_facts import (
    MOVING_MODES,
    confirmed,
    lost_guards,
    lost_security,
    not_permitted,
    plan_of,
    taken_over,
    unconfirmed,
    unfit_pack,
)
from swap.station.sequence.session import (
    Acknowledge,
    CheckChanged,
    Diverted,
    Effect,
    HoldReason,
    Phase,
    Result,
    Send,
    Session,
    StationHold,
    StepFacts,
)
from swap.station.sequence.turns import fail, hold, refuse, row_done

CHECK_RETRY_S = 2.0
"""Station seconds between two tries of one pre-check."""
CHECK_TRIES = {Check.POSITION: 10}
"""Tries of a pre-check before a person is asked; 3 where not named (standards.md 5.2)."""


def begin(
    table: StepTable,
    swap_id: str,
    vehicle_tag: int,
    seats: tuple[SeatPlan, ...],
    now: datetime,
    vehicle_model: str = "",
) -> Session:
    """The session of a swap that has been given a lane and packs."""
    state = session_states(table).next(QUEUED, Trigger.DISPATCH)
    row = table.by_state[state]
    deadline_at = now + timedelta(seconds=row.timeout_s)
    return Session(swap_id, vehicle_tag, state, seats, now, deadline_at=deadline_at, vehicle_model=vehicle_model)


def interrupted(session: Session) -> Session:
    """The session as it is taken up after a controller that ended without saying so: held until a person confirms."""
    return replace(
        session,
        phase=Phase.HELD,
        hold_reason=HoldReason.RESTART,
        hold_detail={},
    )


def step(table: StepTable, session: Session, facts: StepFacts) -> Result:
    """One step: the session to store and the effects to carry out after storing it."""
    if session.state in TERMINAL or session.state == QUEUED:
        return session, ()
    row = table.by_state[session.state]
    if session.phase is Phase.HELD:
        return outcome(table, session, row, facts)[0]
    if facts.mode not in MOVING_MODES:
        return hold(session, HoldReason.MODE, {"mode": facts.mode.value})
    if not facts.cell.fresh:
        return _stale(session, row, facts)
    trip = tripped(facts.cell)
    if trip is not None:
        held, effects = hold(session, HoldReason.TRIP, {"signal": trip.value})
        return held, (*effects, StationHold(trip.value))
    if taken_over(facts.cell.cell):
        cell = facts.cell.cell
        local = cell.control_mode is ControlMode.LOCAL
        return hold(session, HoldReason.MODE, {"mode": "local" if local else cell.run_mode.name.lower()})
    lost = lost_security(table, session, row, facts)
    if lost:
        return hold(session, HoldReason.UNSECURED, {"missing": [m.as_data() for m in lost]})
    lost = lost_guards(table, session, row, facts)
    if lost:
        return hold(session, HoldReason.GUARD_LOST, {"missing": [m.as_data() for m in lost]})
    if facts.cell_changed:
        return hold(session, HoldReason.CELL_CHANGED, {})
    if session.phase is Phase.SENT:
        return _sent(table, session, row, facts)
    if session.phase is Phase.CONFIRMING:
        return _confirming(table, session, row, facts)
    return _pending(table, session, row, facts)


def _diverted(session: Session, row: StepRow, facts: StepFacts) -> Result | None:
    """The pack's way into quarantine, before its heads are opened; None where it has none, or needs none."""
    plan, bay = plan_of(session, row), facts.quarantine_bay
    unfit = unfit_pack(session, row, facts.cell, facts.hot_c)
    if plan.quarantine or bay is None or not goes_to_quarantine(unfit, facts.quarantined_for):
        return None
    other = replace(plan, old_bay=bay.key, old_position=bay.position, quarantine=True)
    seats = tuple(other if seat is plan else seat for seat in session.seats)
    return replace(session, seats=seats), (Diverted(row, plan, other, tuple(unfit)),)


def _stale(session: Session, row: StepRow, facts: StepFacts) -> Result:
    age_s = facts.cell.fast_age_s
    if age_s is None or age_s > facts.link_lost_s or not facts.cell.cell.heartbeat_ok:
        return hold(session, HoldReason.LINK_LOST, {"age_s": None if age_s is None else round(age_s, 1)})
    if session.phase is Phase.PENDING and row.command is not None:
        return refuse(session, row, [Missing("fresh_status", None, age_s)])
    return session, ()


def _sent(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    cell, seq = facts.cell.cell, session.seq
    assert seq is not None
    echo = watch(cell, seq)
    if echo is Progress.DONE:
        deadline_at = facts.now + timedelta(seconds=row.confirm_s * max(1.0, facts.speed / 10))
        return _confirming(table, replace(session, phase=Phase.CONFIRMING, deadline_at=deadline_at), row, facts)
    if echo in BROKEN_OFF:
        # A motion that was broken off tells of a trip or of a person at the cell, seen or not: that waits for a person
        # even where the sensors already show it carried out.
        decided = echo is Progress.FAILED or session.resumed
        if decided and confirmed(table, session, row, facts):
            return row_done(table, session, row, facts)
        return fail(table, session, row, facts, cell_fault(row, cell, BROKEN_OFF[echo]))
    if echo is Progress.REFUSED:
        return fail(table, session, row, facts, refusal(cell))
    if overdue(session.deadline_at, facts.now):
        return hold(session, HoldReason.TIMEOUT, {"seq": seq, "active": cell.active_seq == seq})
    if echo is Progress.UNHEARD and session.resumed and confirmed(table, session, row, facts):
        return row_done(table, session, row, facts)  # carried out by a cell that has lost its numbers since
    if due_again(echo, facts.last_sent_at, facts.now, speed=facts.speed):
        lacking = not_permitted(table, session, row, facts)
        if lacking:
            return refuse(session, row, lacking)
        return session, (Send(_command(session, row, seq), repeated=True),)
    return session, ()


def _confirming(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    lacking = unconfirmed(table, session, row, facts)
    if not lacking:
        return row_done(table, session, row, facts)
    if overdue(session.deadline_at, facts.now):
        fault = cell_fault(row, facts.cell.cell, "not_confirmed")
        detail = {**fault.detail, "missing": [m.as_data() for m in lacking]}
        return fail(table, session, row, facts, replace(fault, contradicted=True, detail=detail))
    return session, ()


def _pending(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    if row.checks:
        return _checking(table, session, row, facts)
    late = overdue(session.deadline_at, facts.now)
    cell = facts.cell.cell
    looked_at = row.command is None or (session.resumed and cell.active_seq == 0)
    if row.command is CommandCode.RELEASE and session.opened and not session.released:
        looked_at = False  # a vehicle that is gone without its release has been accepted by nobody
    if looked_at and confirmed(table, session, row, facts):
        return row_done(table, session, row, facts)
    if row.command is None:
        return fail(table, session, row, facts, StepFault("not_confirmed")) if late else (session, ())
    if cell.result is not ResultCode.NONE and cell.active_seq == 0:
        # A result that nobody waits for any more; the cell takes no command, not even homing, while it shows one.
        # One that is not on record is taken over by a named person only, with the decision that is made on it.
        if not facts.result_known:
            return hold(session, HoldReason.UNKNOWN_RESULT, {"seq": cell.done_seq, "result": cell.result.name.lower()})
        return session, (Acknowledge(cell.done_seq),)
    diverted = _diverted(session, row, facts)
    if diverted is not None:
        return diverted
    lacking = not_permitted(table, session, row, facts)
    busy = cell.active_seq != 0 or cell.state is CellState.ALARM
    if busy:
        name = "cell_idle" if cell.active_seq != 0 else "no_cell_alarm"
        lacking = [Missing(name, False, facts.cell.fast_age_s), *lacking]
    if lacking:
        if late:
            detail = {"missing": [m.as_data() for m in lacking]}
            fault = StepFault("permissive_missing", retry_may_help=False, withdrawn=busy, detail=detail)
            return fail(table, session, row, facts, fault)
        return refuse(session, row, lacking)
    seq = facts.next_seq
    sent = replace(
        session,
        phase=Phase.SENT,
        seq=seq,
        refused=(),
        resumed=False,
        opened=session.opened or row.command is CommandCode.UNLOCK,
        released=session.released or row.command is CommandCode.RELEASE,
    )
    return sent, (Send(_command(session, row, seq)),)


def _command(session: Session, row: StepRow, seq: int) -> RobotCommand:
    assert row.command is not None
    plan = plan_of(session, row)
    return RobotCommand(
        seq=seq,
        code=row.command,
        source=location(row.source, plan) if row.source else None,
        target=location(row.target, plan) if row.target else None,
        vehicle_tag=session.vehicle_tag,
    )


def _checking(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    if session.checked_at is not None and (facts.now - session.checked_at).total_seconds() < CHECK_RETRY_S:
        return session, ()
    checks = {k: dict(v) for k, v in session.checks.items()}
    effects: list[Effect] = []
    for check in row.checks:
        entry = checks.get(check.value, {"result": "none", "tries": 0})
        if entry["result"] == "pass":
            continue
        value = facts.checks.get(check)
        tries = entry["tries"] + (value is False)
        limit = CHECK_TRIES.get(check, 3)
        exhausted = tries >= limit or (value is None and overdue(session.deadline_at, facts.now))
        result = "pass" if value else "waiting_person" if exhausted else "fail" if value is False else "checking"
        if (result, tries) != (entry["result"], entry["tries"]):
            effects.append(CheckChanged(check, result, tries))
        checks[check.value] = {"result": result, "tries": tries}
        if result == "pass":
            continue
        waiting = replace(session, checks=checks, checked_at=facts.now)
        if exhausted:
            held, more = hold(waiting, HoldReason.CHECK_FAILED, {"check": check.value, "tries": tries})
            return held, (*effects, *more)
        return waiting, tuple(effects)
    done, more = row_done(table, replace(session, checks=checks), row, facts)
    return done, (*effects, *more)
