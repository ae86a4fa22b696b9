"""What comes of a person's decision on a held swap, or what the decision lacks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from robotics.port import ControlMode, Signal
from scheduler.types import StationMode
from swap.messages.requests import DecisionKind
from swap.station.sequence.handshake import Progress, watch
from swap.station.sequence.machine import Trigger, session_states
from swap.station.sequence.permissives import Missing, tripped
from swap.station.sequence.recipe import FaultAction, StepRow, StepTable
from swap.station.sequence.recovery import cell_fault
from swap.station.sequence.row_facts import (
    MOVING_MODES,
    confirmed,
    in_flight,
    lost_guards,
    lost_security,
    taken_over,
)
from swap.station.sequence.session import (
    STATION_REASONS,
    Acknowledge,
    CheckChanged,
    Decision,
    Effect,
    HoldReason,
    Phase,
    Result,
    Resumed,
    Session,
    StepFacts,
    StepFailed,
    TowedOut,
)
from swap.station.sequence.turns import begin_row_again, enter, row_done, way_back

BROKEN_OFF = {Progress.FAILED: "command_failed", Progress.ABORTED: "command_aborted"}
"""Ends of a command that are no success, with their fault."""


def lacks_to_decide(table: StepTable, session: Session, facts: StepFacts) -> tuple[Missing, ...]:
    """Why the decision of `facts` changes nothing: what forbids it, or for want of what the next look would hold the
    swap again. Empty where it is taken, and where it makes no sense as the swap stands."""
    row = table.by_state.get(session.state)
    if session.phase is not Phase.HELD or row is None:
        return ()
    return outcome(table, session, row, facts)[1]


def outcome(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> tuple[Result, tuple[Missing, ...]]:
    """What comes of a person's decision, or what it lacks. What it sets moving is judged as the next look will judge
    it: a decision that is taken and held again at once has told nobody what the swap waits for."""
    unchanged: Result = session, ()
    decision, cell = facts.decision, facts.cell.cell
    if decision is None:
        return unchanged, ()
    lacking = _undecidable(facts)
    if lacking or in_flight(session, cell, facts.last_sent_at):
        return unchanged, lacking  # a command may still be on its way: the next looks tell
    if decision.kind is DecisionKind.TOW_OUT:
        return _tow_out(table, session, facts, decision), ()
    moving = facts.mode in MOVING_MODES and not taken_over(cell)
    if decision.kind is DecisionKind.CONTINUE:
        result = _continue(table, session, row, facts, decision) if moving else unchanged
    elif facts.mode not in (*MOVING_MODES, StationMode.HELD, StationMode.MANUAL):
        result = unchanged
    elif cell.active_seq != 0:  # the cell still moves, for this swap or for the fire procedure
        return unchanged, (Missing("cell_idle", False, facts.cell.fast_age_s),)
    elif decision.kind is DecisionKind.CANCEL:
        result = _cancel(table, session, facts, decision)
    else:
        result = _back(table, session, row, facts, decision, moving=moving)
    lacking = () if result[0] is session else _held_again(table, result[0], facts)
    return (unchanged, lacking) if lacking else (result, ())


def _undecidable(facts: StepFacts) -> tuple[Missing, ...]:
    """What forbids every decision: no fresh look, a trip, or a hot pack in the gripper, which no swap sets down."""
    age_s, trip = facts.cell.fast_age_s, tripped(facts.cell)
    if not facts.cell.fresh:
        return (Missing("fresh_status", None, age_s),)
    if trip is not None:
        return (Missing(trip.value, False, age_s),)
    return (Missing("!gripper_loaded", True, age_s),) if facts.hot_load else ()


def _held_again(table: StepTable, after: Session, facts: StepFacts) -> tuple[Missing, ...]:
    """Facts for want of which the next look would hold a swap that a person has let go on. One that still waits for the
    station's confirmation is judged as it will begin."""
    row = table.by_state.get(after.state)
    if row is None:
        return ()
    waits = after.phase is Phase.HELD
    lost = lost_security(table, replace(after, phase=Phase.PENDING) if waits else after, row, facts)
    return tuple(lost or ([] if waits else lost_guards(table, after, row, facts)))


def _cancel(table: StepTable, session: Session, facts: StepFacts, decision: Decision) -> Result:
    """Call the swap off: only before the vehicle is in the lane."""
    if session.state != table.first_state or facts.cell.signal(Signal.VEHICLE_PRESENT) is not False:
        return session, ()
    following = session_states(table).next(session.state, Trigger.CANCEL)
    entered, ended = enter(table, session, following, facts.now)
    return entered, (Resumed(decision, session.state, following), *ended)


def _back(
    table: StepTable, session: Session, row: StepRow, facts: StepFacts, decision: Decision, *, moving: bool
) -> Result:
    """The way back, which may be decided while the station is held, and then waits for its confirmation."""
    # What the sensors show carried out is so, whatever became of the command: the way back begins after it.
    before = session
    done: tuple[Effect, ...] = ()
    if row.move is not None and confirmed(table, session, row, facts):
        before, done = row_done(table, session, row, facts)
        row = table.by_state[before.state]
    back = way_back(table, before, row, facts)
    if back is None:
        return session, ()
    open_checks = [check for check in row.checks if before.checks.get(check, {}).get("result") != "pass"]
    tries = {check.value: int(before.checks.get(check, {}).get("tries", 0)) for check in open_checks}
    cancelled = {name: {"result": "cancelled", "tries": count} for name, count in tries.items()}
    before = replace(before, checks={**before.checks, **cancelled})
    done = (*done, *(CheckChanged(check, "cancelled", tries[check]) for check in open_checks))
    entered, ended = enter(table, before, back, facts.now)
    entered = replace(entered, resumed=True)
    if not moving:
        reason = session.hold_reason if session.hold_reason in STATION_REASONS else HoldReason.MODE
        entered = replace(entered, phase=Phase.HELD, hold_reason=reason, hold_detail={"decided": decision.kind.value})
    return entered, (*done, Resumed(decision, before.state, back), *ended, *(shown(facts) if moving else ()))


def _tow_out(table: StepTable, session: Session, facts: StepFacts, decision: Decision) -> Result:
    """The only way out for a vehicle that cannot be accepted: people have moved it by hand, with the cell in local
    mode, and the lane and the gripper are empty."""
    cell = facts.cell
    by_hand = facts.mode is StationMode.MANUAL and cell.cell.control_mode is ControlMode.LOCAL
    gone = cell.signal(Signal.VEHICLE_PRESENT) is False and cell.signal(Signal.GRIPPER_LOADED) is False
    trigger = Trigger.TOW_OUT_EXCHANGED if session.exchanged else Trigger.TOW_OUT
    states = session_states(table)
    if not by_hand or not gone or cell.cell.active_seq or not states.allows(session.state, trigger):
        return session, ()
    following = states.next(session.state, trigger)
    entered, ended = enter(table, session, following, facts.now)
    return entered, (Resumed(decision, session.state, following), TowedOut(decision, session.state), *ended)


def _continue(table: StepTable, session: Session, row: StepRow, facts: StepFacts, decision: Decision) -> Result:
    cell, seq = facts.cell.cell, session.seq
    resumed = replace(
        session,
        phase=Phase.PENDING if seq is None else Phase.SENT,
        deadline_at=facts.now + timedelta(seconds=row.timeout_s),
        hold_reason=None,
        hold_detail={},
        resumed=True,
        tries=0,
        checked_at=None,
        checks={k: v for k, v in session.checks.items() if v.get("result") == "pass"},
    )
    decided = Resumed(decision, session.state, session.state)
    if seq is None:
        return resumed, (decided, *shown(facts))
    echo = watch(cell, seq)
    if echo is Progress.UNHEARD:
        # The cell knows nothing of the number: it never came, or the cell lost it. The row begins anew.
        return begin_row_again(resumed, row, facts.now), (decided, *shown(facts))
    if echo not in BROKEN_OFF or confirmed(table, session, row, facts):
        return resumed, (decided,)
    fault = cell_fault(row, cell, BROKEN_OFF[echo])
    failed = StepFailed(row, fault, FaultAction.RETRY, seq, row.state)
    return begin_row_again(resumed, row, facts.now), (decided, failed, Acknowledge(seq))


def shown(facts: StepFacts) -> tuple[Effect, ...]:
    """The result, on no record, that the cell shows whoever decides: taken over with his decision, and no later one."""
    return () if facts.result_known else (Acknowledge(facts.cell.cell.done_seq),)
