"""The step function of a swap: stored session and fresh facts in, session to store and effects out.

It does no I/O and reads no clock. The live controller and the simulation both drive it; effects are carried
out only after the returned session is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from robotics.faults import fault_by_code
from robotics.port import AckCode, CommandCode, ResultCode, RobotCommand, Signal
from scheduler.types import StationMode
from swap.station.machine import Trigger, fire
from swap.station.permissives import Missing, SeatPlan, broken_guards, location, missing, seat_heads, tripped
from swap.station.recipe import QUEUED, RETURNED, TERMINAL, Check, FaultAction, StepRow, StepTable
from swap.station.recovery import StepFault, recovery_for
from swap.station.session import (
    Acknowledge,
    CheckChanged,
    DecisionKind,
    Effect,
    Ended,
    Held,
    HoldReason,
    HoldRobot,
    Phase,
    Refusal,
    Result,
    Resumed,
    Send,
    Session,
    StationHold,
    StepDone,
    StepFacts,
    StepFailed,
)

CHECK_RETRY_S = 2.0
"""Station seconds between two tries of one pre-check."""
CHECK_TRIES = {Check.POSITION: 10}
"""Tries of a pre-check before a person is asked; 3 where not named (standards.md 5.2)."""
RESEND_S = 1.0
"""Real seconds without any echo after which the same number is sent again."""
MOVING_MODES = frozenset({StationMode.AUTOMATIC, StationMode.CLOSED})
"""Modes in which a session may send commands."""


def begin(table: StepTable, swap_id: str, vehicle_tag: int, seats: tuple[SeatPlan, ...], now: datetime) -> Session:
    """The session of a swap that has been given a lane and packs."""
    state = fire(table, QUEUED, Trigger.DISPATCH)
    row = table.by_state[state]
    return Session(swap_id, vehicle_tag, state, seats, now, deadline_at=now + timedelta(seconds=row.timeout_s))


def step(table: StepTable, session: Session, facts: StepFacts) -> Result:
    """One step: the session to store and the effects to carry out after storing it."""
    if session.state in TERMINAL or session.state == QUEUED:
        return session, ()
    row = table.by_state[session.state]
    if session.phase is Phase.HELD:
        return _held(table, session, row, facts)
    if facts.mode not in MOVING_MODES:
        return _hold(session, HoldReason.MODE, {"mode": facts.mode.value})
    if not facts.cell.fresh:
        return _stale(session, row, facts)
    trip = tripped(facts.cell)
    if trip is not None:
        held, effects = _hold(session, HoldReason.TRIP, {"signal": trip.value})
        return held, (*effects, StationHold(trip.value))
    if session.phase is Phase.SENT:
        return _sent(table, session, row, facts)
    if session.phase is Phase.CONFIRMING:
        return _confirming(table, session, row, facts)
    return _pending(table, session, row, facts)


def plan_of(session: Session, row: StepRow) -> SeatPlan:
    """The plan of the seat a row works on."""
    return session.seats[row.seat - 1]


def _missing(
    table: StepTable, session: Session, row: StepRow, facts: StepFacts, names: tuple[str, ...]
) -> list[Missing]:
    return missing(names, row, plan_of(session, row), facts.cell, table.pack_count)


def _hold(session: Session, reason: HoldReason, detail: Mapping[str, Any]) -> Result:
    held = replace(session, phase=Phase.HELD, hold_reason=reason, hold_detail=dict(detail), refused=())
    stop = (HoldRobot(reason.value),) if session.seq is not None else ()
    return held, (*stop, Held(reason, detail))


def _stale(session: Session, row: StepRow, facts: StepFacts) -> Result:
    age_s = facts.cell.fast_age_s
    if age_s is None or age_s > facts.link_lost_s or not facts.cell.cell.heartbeat_ok:
        return _hold(session, HoldReason.LINK_LOST, {"age_s": None if age_s is None else round(age_s, 1)})
    if session.phase is Phase.PENDING and row.command is not None:
        return _refuse(session, row, [Missing("fresh_status", None, age_s)])
    return session, ()


def _refuse(session: Session, row: StepRow, lacking: list[Missing]) -> Result:
    names = tuple(item.name for item in lacking)
    if names == session.refused:
        return session, ()
    return replace(session, refused=names), (Refusal(row, tuple(lacking)),)


def _enter(table: StepTable, session: Session, state: str, now: datetime) -> tuple[Session, tuple[Effect, ...]]:
    row = table.by_state.get(state)
    entered = replace(
        session,
        state=state,
        phase=Phase.PENDING,
        entered_at=now,
        deadline_at=now + timedelta(seconds=row.timeout_s) if row else None,
        seq=None,
        tries=0,
        hold_reason=None,
        hold_detail={},
        resumed=False,
        refused=(),
        checked_at=None,
    )
    return (entered, (Ended(state, entered.exchanged),)) if state in TERMINAL else (entered, ())


def _done(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    trigger = Trigger.DONE
    if row.next_state == RETURNED and session.exchanged:
        trigger = Trigger.PARTIAL
    following = fire(table, session.state, trigger)
    exchanged = session.exchanged
    if row.move is not None and row.move.pack == "new" and row.target is not None and row.target.value == "seat":
        exchanged = exchanged | {row.seat}
    entered, ended = _enter(table, replace(session, exchanged=exchanged), following, facts.now)
    done = StepDone(row, plan_of(session, row), row.move, session.seq, following)
    acknowledge = (Acknowledge(session.seq),) if session.seq is not None else ()
    return entered, (done, *ended, *acknowledge)


def _fail(table: StepTable, session: Session, row: StepRow, facts: StepFacts, fault: StepFault) -> Result:
    action = recovery_for(row, fault, session.tries)
    acknowledge = (
        (Acknowledge(session.seq),) if session.seq is not None and facts.cell.cell.done_seq == session.seq else ()
    )
    if action is FaultAction.RETRY:
        again = replace(
            session,
            phase=Phase.PENDING,
            seq=None,
            tries=session.tries + 1,
            deadline_at=facts.now + timedelta(seconds=row.timeout_s),
            resumed=True,
            refused=(),
        )
        return again, (StepFailed(row, fault, action, session.seq, row.state), *acknowledge)
    if action is FaultAction.UNWIND:
        following = fire(table, session.state, Trigger.UNWIND)
        entered, ended = _enter(table, session, following, facts.now)
        return entered, (StepFailed(row, fault, action, session.seq, following), *ended, *acknowledge)
    failed = StepFailed(row, fault, action, session.seq, row.state)
    held, effects = _hold(replace(session, seq=None), HoldReason.FAULT, {"fault": fault.name, **fault.detail})
    stop = (StationHold(fault.name),) if action is FaultAction.STOP else ()
    return held, (failed, *effects, *stop, *acknowledge)


def _held(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    decision = facts.decision
    if decision is None or facts.mode not in MOVING_MODES or not facts.cell.fresh or tripped(facts.cell) is not None:
        return session, ()
    free = facts.cell.cell.active_seq == 0 or facts.cell.cell.active_seq != session.seq
    if decision.kind is DecisionKind.CANCEL:
        if session.state != table.first_state or facts.cell.signal(Signal.VEHICLE_PRESENT) is not False or not free:
            return session, ()
        entered, ended = _enter(table, session, fire(table, session.state, Trigger.CANCEL), facts.now)
        return entered, (Resumed(decision), *ended)
    if decision.kind is DecisionKind.UNWIND:
        if row.unwind_state is None or not free:
            return session, ()
        entered, ended = _enter(table, session, fire(table, session.state, Trigger.UNWIND), facts.now)
        return replace(entered, resumed=True), (Resumed(decision), *ended)
    resumed = replace(
        session,
        phase=Phase.PENDING if session.seq is None else Phase.SENT,
        deadline_at=facts.now + timedelta(seconds=row.timeout_s),
        hold_reason=None,
        hold_detail={},
        resumed=True,
        tries=0,
        checked_at=None,
        checks={k: v for k, v in session.checks.items() if v.get("result") == "pass"},
    )
    return resumed, (Resumed(decision),)


def _sent(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    cell, seq = facts.cell.cell, session.seq
    assert seq is not None
    if cell.done_seq == seq and cell.result is not ResultCode.NONE:
        if cell.result is ResultCode.DONE:
            deadline_at = facts.now + timedelta(seconds=row.confirm_s * max(1.0, facts.speed / 10))
            return _confirming(table, replace(session, phase=Phase.CONFIRMING, deadline_at=deadline_at), row, facts)
        if not _missing(table, session, row, facts, row.confirm):
            return _done(table, session, row, facts)
        name = "command_aborted" if cell.result is ResultCode.ABORTED else "command_failed"
        return _fail(table, session, row, facts, _cell_fault(table, row, facts, name))
    if cell.ack_seq == seq and cell.ack_code not in (AckCode.NONE, AckCode.ACCEPTED):
        name = f"command_{cell.ack_code.name.lower()}"
        helps = cell.ack_code in (AckCode.REFUSED_INTERLOCK, AckCode.BUSY)
        return _fail(
            table,
            session,
            row,
            facts,
            StepFault(name, retry_may_help=helps, detail={"fault_code": cell.fault_code}),
        )
    lost = (
        []
        if row.command is CommandCode.RELEASE
        else broken_guards(row, plan_of(session, row), facts.cell, table.pack_count)
    )
    if lost:
        return _hold(session, HoldReason.GUARD_LOST, {"missing": [m.as_data() for m in lost]})
    if session.deadline_at is not None and facts.now > session.deadline_at:
        return _hold(session, HoldReason.TIMEOUT, {"seq": seq, "active": cell.active_seq == seq})
    seen = seq in (cell.ack_seq, cell.active_seq, cell.done_seq)
    waited_s = None if facts.last_sent_at is None else (facts.now - facts.last_sent_at).total_seconds() / facts.speed
    if not seen and (waited_s is None or waited_s >= RESEND_S):
        lacking = _missing(table, session, row, facts, row.permissives)
        if lacking:
            return _refuse(session, row, lacking)
        return session, (Send(_command(session, row, seq), repeated=True),)
    return session, ()


def _cell_fault(table: StepTable, row: StepRow, facts: StepFacts, name: str) -> StepFault:
    cell = facts.cell.cell
    heads: tuple[int, ...] = ()
    count = 0
    if row.command in (CommandCode.LOCK, CommandCode.UNLOCK):
        values = cell.heads_closed if row.command is CommandCode.LOCK else cell.heads_open
        seat = seat_heads(values, row.seat, table.pack_count)
        heads, count = tuple(i for i, v in enumerate(seat) if v is not True), len(seat)
    known = fault_by_code(cell.fault_code) if cell.fault_code else None
    return StepFault(
        name,
        safety_trip=known is not None and known.safety_trip,
        retry_may_help=known is None or known.retry_may_help,
        failed_heads=heads,
        head_count=count,
        detail={"fault_code": cell.fault_code, "fault_level": cell.fault_level},
    )


def _confirming(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    lacking = _missing(table, session, row, facts, row.confirm)
    if not lacking:
        return _done(table, session, row, facts)
    if session.deadline_at is not None and facts.now > session.deadline_at:
        fault = _cell_fault(table, row, facts, "not_confirmed")
        detail = {**fault.detail, "missing": [m.as_data() for m in lacking]}
        return _fail(table, session, row, facts, replace(fault, detail=detail))
    return session, ()


def _pending(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    if row.checks:
        return _checking(table, session, row, facts)
    overdue = session.deadline_at is not None and facts.now > session.deadline_at
    confirmed = not _missing(table, session, row, facts, row.confirm)
    if row.command is None or session.resumed:
        if confirmed:
            return _done(table, session, row, facts)
        if row.command is None:
            if overdue:
                return _fail(table, session, row, facts, StepFault("not_confirmed"))
            return session, ()
    lacking = _missing(table, session, row, facts, row.permissives)
    if lacking:
        if overdue:
            detail = {"missing": [m.as_data() for m in lacking]}
            return _fail(
                table,
                session,
                row,
                facts,
                StepFault("permissive_missing", retry_may_help=False, detail=detail),
            )
        return _refuse(session, row, lacking)
    cell = facts.cell.cell
    if cell.result is not ResultCode.NONE:
        return session, (Acknowledge(cell.done_seq),)
    command = _command(session, row, facts.next_seq)
    sent = replace(session, phase=Phase.SENT, seq=facts.next_seq, refused=(), resumed=False)
    return sent, (Send(command),)


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
        overdue = session.deadline_at is not None and facts.now > session.deadline_at
        exhausted = tries >= limit or (value is None and overdue)
        result = "pass" if value else "waiting_person" if exhausted else "fail" if value is False else "checking"
        if (result, tries) != (entry["result"], entry["tries"]):
            effects.append(CheckChanged(check, result, tries))
        checks[check.value] = {"result": result, "tries": tries}
        if result == "pass":
            continue
        waiting = replace(session, checks=checks, checked_at=facts.now)
        if exhausted:
            held, more = _hold(waiting, HoldReason.CHECK_FAILED, {"check": check.value, "tries": tries})
            return held, (*effects, *more)
        return waiting, tuple(effects)
    done, more = _done(table, replace(session, checks=checks), row, facts)
    return done, (*effects, *more)
