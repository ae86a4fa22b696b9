"""The step function of a swap: stored session and fresh facts in, session to store and effects out.

It does no I/O and reads no clock. The live controller and the simulation both drive it; effects are carried
out only after the returned session is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from robotics.port import (
    CellState,
    CellStatus,
    CommandCode,
    ControlMode,
    ResultCode,
    RobotCommand,
    RunMode,
    Signal,
)
from scheduler.types import StationMode
from swap.messages.requests import DecisionKind
from swap.station.sequence.fitted import fitted_after, fitted_before
from swap.station.sequence.handshake import Progress, believed, due_again, overdue, watch
from swap.station.sequence.incoming import goes_to_quarantine, judge_incoming, kept_on
from swap.station.sequence.machine import Trigger, session_states
from swap.station.sequence.permissives import CellFacts, Missing, SeatPlan, broken_guards, location, missing, tripped
from swap.station.sequence.recipe import QUEUED, RETURNED, TERMINAL, Check, FaultAction, Place, StepRow, StepTable
from swap.station.sequence.recovery import StepFault, cell_fault, recovery_for, refusal
from swap.station.sequence.rules import RELEASED_WHEN
from swap.station.sequence.secured import to_unlock, unsecured
from swap.station.sequence.session import (
    STATION_REASONS,
    Acknowledge,
    CheckChanged,
    Decision,
    Diverted,
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
    TowedOut,
)

CHECK_RETRY_S = 2.0
"""Station seconds between two tries of one pre-check."""
CHECK_TRIES = {Check.POSITION: 10}
"""Tries of a pre-check before a person is asked; 3 where not named (standards.md 5.2)."""
MOVING_MODES = frozenset({StationMode.AUTOMATIC, StationMode.CLOSED})
"""Modes in which a session may send commands."""
_LOADS = frozenset({"gripper_loaded", "source_occupied", "target_occupied"})
"""Facts that say where the packs are."""
_BROKEN_OFF = {Progress.FAILED: "command_failed", Progress.ABORTED: "command_aborted"}
"""Ends of a command that are no success, with their fault."""


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
        return _held(table, session, row, facts)
    if facts.mode not in MOVING_MODES:
        return _hold(session, HoldReason.MODE, {"mode": facts.mode.value})
    if not facts.cell.fresh:
        return _stale(session, row, facts)
    trip = tripped(facts.cell)
    if trip is not None:
        held, effects = _hold(session, HoldReason.TRIP, {"signal": trip.value})
        return held, (*effects, StationHold(trip.value))
    if _taken_over(facts.cell.cell):
        cell = facts.cell.cell
        local = cell.control_mode is ControlMode.LOCAL
        return _hold(session, HoldReason.MODE, {"mode": "local" if local else cell.run_mode.name.lower()})
    lost = _unsecured(table, session, row, facts)
    if lost:
        return _hold(session, HoldReason.UNSECURED, {"missing": [m.as_data() for m in lost]})
    lost = _lost_guards(table, session, row, facts)
    if lost:
        return _hold(session, HoldReason.GUARD_LOST, {"missing": [m.as_data() for m in lost]})
    if facts.cell_changed:
        return _hold(session, HoldReason.CELL_CHANGED, {})
    if session.phase is Phase.SENT:
        return _sent(table, session, row, facts)
    if session.phase is Phase.CONFIRMING:
        return _confirming(table, session, row, facts)
    return _pending(table, session, row, facts)


def plan_of(session: Session, row: StepRow) -> SeatPlan:
    """The plan of the seat a row works on."""
    return session.seats[row.seat - 1]


def in_flight(session: Session, cell: CellStatus, last_sent_at: datetime | None) -> bool:
    """Whether the session's command may be on its way to the cell: sent, and not looked for since."""
    return session.seq is not None and not believed(watch(cell, session.seq), last_sent_at, cell.fast_at)


def _taken_over(cell: CellStatus) -> bool:
    """A person at the cell, or the fire panel, has taken the cell away from the station."""
    return cell.control_mode is ControlMode.LOCAL or cell.run_mode in (RunMode.MAINTENANCE, RunMode.FIRE)


def _missing(
    table: StepTable, session: Session, row: StepRow, facts: StepFacts, names: tuple[str, ...]
) -> list[Missing]:
    return missing(names, row, plan_of(session, row), facts.cell, table.pack_count)


def _unsecured(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> list[Missing]:
    """What lacks of a secured vehicle, at any look from the first UNLOCK until robot home and locks closed, or until
    it may drive out. One that was broken off while it was let go, and shows an open lock, is to stand again."""
    signal = facts.cell.signal
    open_still = signal(Signal.VEHICLE_PRESENT) is not False and signal(Signal.LOCKS_CLOSED) is False
    released = session.released and not (session.phase is Phase.PENDING and open_still)
    return unsecured(table, row, facts.needs, facts.cell, opened=session.opened, released=released)


def _not_permitted(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> list[Missing]:
    """What lacks before the row's command may leave: what the row asks for, and what no row can leave out."""
    lacking = _missing(table, session, row, facts, (*row.permissives, *fitted_before(row, facts.cell.cell)))
    if row.command is CommandCode.RELEASE and session.opened:
        left_out = tuple(name for name in RELEASED_WHEN if name not in row.permissives)
        lacking = [*lacking, *_missing(table, session, row, facts, left_out)]
    unfit = unfit_pack(session, row, facts.cell, facts.hot_c)
    lacking = [*kept_on(unfit, plan_of(session, row), facts.quarantined_for), *lacking]
    if row.command is CommandCode.UNLOCK:
        lacking = [*to_unlock(facts.needs, facts.cell), *lacking]
    return lacking


def unfit_pack(session: Session, row: StepRow, cell: CellFacts, hot_c: float) -> list[Missing]:
    """What speaks against taking the vehicle's own pack off the row's seat, before its heads are opened."""
    pack = cell.cell.vehicle_packs.get(row.seat)
    if row.command is not CommandCode.UNLOCK or row.unwinding or pack is None:
        return []
    return judge_incoming(pack, plan_of(session, row).old_pack_id, hot_c, cell.fast_age_s)


def _diverted(session: Session, row: StepRow, facts: StepFacts) -> Result | None:
    """The pack's way into quarantine, before its heads are opened; None where it has none, or needs none."""
    plan, bay = plan_of(session, row), facts.quarantine_bay
    unfit = unfit_pack(session, row, facts.cell, facts.hot_c)
    if plan.quarantine or bay is None or not goes_to_quarantine(unfit, facts.quarantined_for):
        return None
    other = replace(plan, old_bay=bay.key, old_position=bay.position, quarantine=True)
    seats = tuple(other if seat is plan else seat for seat in session.seats)
    return replace(session, seats=seats), (Diverted(row, plan, other, tuple(unfit)),)


def _lost_guards(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> list[Missing]:
    """Guards whose loss holds the swap: those of a running command, known or unknown; those of the exchange, once
    it has begun, as soon as they are seen lost. The driver undoes his own when he is let go."""
    released = row.command is CommandCode.RELEASE and session.phase is not Phase.PENDING
    if released or not (row.working or session.phase is Phase.SENT):
        return []
    lost = broken_guards(row, plan_of(session, row), facts.cell, table.pack_count)
    return lost if session.phase is Phase.SENT else [item for item in lost if item.value is False]


def _confirmed(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> bool:
    return not _unconfirmed(table, session, row, facts)


def _unconfirmed(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> list[Missing]:
    """What the sensors do not show of the row's end."""
    return _missing(table, session, row, facts, (*row.confirm, *fitted_after(row, facts.cell.cell)))


def _hold(session: Session, reason: HoldReason, detail: Mapping[str, Any]) -> Result:
    held = replace(session, phase=Phase.HELD, hold_reason=reason, hold_detail=dict(detail), refused=())
    stop = (HoldRobot(reason.value),) if session.seq is not None or reason is HoldReason.UNSECURED else ()
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


def _again(session: Session, row: StepRow, now: datetime) -> Session:
    """The same row from its beginning, with a new command; what its sensors show done counts."""
    return replace(
        session,
        phase=Phase.PENDING,
        seq=None,
        deadline_at=now + timedelta(seconds=row.timeout_s),
        resumed=True,
        refused=(),
    )


def _done(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    trigger = Trigger.DONE
    if row.next_state == RETURNED and session.exchanged:
        trigger = Trigger.PARTIAL
    following = session_states(table).next(session.state, trigger)
    exchanged = session.exchanged
    if row.move is not None and row.move.pack == "new" and row.move.target is Place.SEAT:
        exchanged = exchanged | {row.seat}
    if row.move is not None and row.move.source is Place.SEAT:
        exchanged = exchanged - {row.seat}
    entered, ended = _enter(table, replace(session, exchanged=exchanged), following, facts.now)
    done = StepDone(row, plan_of(session, row), row.move, session.seq, following)
    acknowledge = (Acknowledge(session.seq),) if session.seq is not None else ()
    return entered, (done, *ended, *acknowledge)


def _way_back(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> str | None:
    """Where the way back begins, if the packs lie so that it can be gone to its end: what its first row moves, and the
    vehicle's own pack in its bay. None where a person must look: a pack in quarantine is put on no vehicle."""
    if row.unwind_state is None:
        return None
    if any(
        later.source is Place.OLD_BAY and plan_of(session, later).quarantine for later in table.way(row.unwind_state)
    ):
        return None
    first = table.by_state[row.unwind_state]
    loads = tuple(name for name in first.permissives if name.removeprefix("!") in _LOADS)
    possible = not _missing(table, session, first, facts, loads) or _confirmed(table, session, first, facts)
    possible = possible and all(
        not _missing(table, session, later, facts, ("source_occupied",))
        for later in table.way(row.unwind_state)
        if later.source is Place.OLD_BAY
    )
    return session_states(table).next(row.state, Trigger.UNWIND) if possible else None


def _fail(table: StepTable, session: Session, row: StepRow, facts: StepFacts, fault: StepFault) -> Result:
    action = recovery_for(row, fault, session.tries)
    following = _way_back(table, session, row, facts) if action is FaultAction.UNWIND else None
    if action is FaultAction.UNWIND and following is None:
        action = FaultAction.PERSON
    done_seq = facts.cell.cell.done_seq
    acknowledge = (Acknowledge(done_seq),) if done_seq == session.seq else ()
    if action is FaultAction.RETRY:
        again = replace(_again(session, row, facts.now), tries=session.tries + 1)
        return again, (StepFailed(row, fault, action, session.seq, row.state), *acknowledge)
    if following is not None:
        entered, ended = _enter(table, session, following, facts.now)
        failed = StepFailed(row, fault, action, session.seq, following)
        return replace(entered, resumed=True), (failed, *ended, *acknowledge)
    failed = StepFailed(row, fault, action, session.seq, row.state)
    rest = replace(session, seq=None, phase=Phase.PENDING)
    held, effects = _hold(rest, HoldReason.FAULT, {"fault": fault.name, **fault.detail})
    stop = (StationHold(fault.name),) if action is FaultAction.STOP else ()
    return held, (failed, *effects, *stop, *acknowledge)


def _held(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    """A person's decision, where it does not end at the next look."""
    return _decided(table, session, row, facts)[0]


def lacks_to_decide(table: StepTable, session: Session, facts: StepFacts) -> tuple[Missing, ...]:
    """Why the decision of `facts` changes nothing: what forbids it, or for want of what the next look would hold the
    swap again. Empty where it is taken, and where it makes no sense as the swap stands."""
    row = table.by_state.get(session.state)
    if session.phase is not Phase.HELD or row is None:
        return ()
    return _decided(table, session, row, facts)[1]


def _decided(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> tuple[Result, tuple[Missing, ...]]:
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
    moving = facts.mode in MOVING_MODES and not _taken_over(cell)
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
    lost = _unsecured(table, replace(after, phase=Phase.PENDING) if waits else after, row, facts)
    return tuple(lost or ([] if waits else _lost_guards(table, after, row, facts)))


def _cancel(table: StepTable, session: Session, facts: StepFacts, decision: Decision) -> Result:
    """Call the swap off: only before the vehicle is in the lane."""
    if session.state != table.first_state or facts.cell.signal(Signal.VEHICLE_PRESENT) is not False:
        return session, ()
    following = session_states(table).next(session.state, Trigger.CANCEL)
    entered, ended = _enter(table, session, following, facts.now)
    return entered, (Resumed(decision, session.state, following), *ended)


def _back(
    table: StepTable, session: Session, row: StepRow, facts: StepFacts, decision: Decision, *, moving: bool
) -> Result:
    """The way back, which may be decided while the station is held, and then waits for its confirmation."""
    # What the sensors show carried out is so, whatever became of the command: the way back begins after it.
    before = session
    done: tuple[Effect, ...] = ()
    if row.move is not None and _confirmed(table, session, row, facts):
        before, done = _done(table, session, row, facts)
        row = table.by_state[before.state]
    back = _way_back(table, before, row, facts)
    if back is None:
        return session, ()
    open_checks = [check for check in row.checks if before.checks.get(check, {}).get("result") != "pass"]
    tries = {check.value: int(before.checks.get(check, {}).get("tries", 0)) for check in open_checks}
    cancelled = {name: {"result": "cancelled", "tries": count} for name, count in tries.items()}
    before = replace(before, checks={**before.checks, **cancelled})
    done = (*done, *(CheckChanged(check, "cancelled", tries[check]) for check in open_checks))
    entered, ended = _enter(table, before, back, facts.now)
    entered = replace(entered, resumed=True)
    if not moving:
        reason = session.hold_reason if session.hold_reason in STATION_REASONS else HoldReason.MODE
        entered = replace(entered, phase=Phase.HELD, hold_reason=reason, hold_detail={"decided": decision.kind.value})
    return entered, (*done, Resumed(decision, before.state, back), *ended, *(_shown(facts) if moving else ()))


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
    entered, ended = _enter(table, session, following, facts.now)
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
        return resumed, (decided, *_shown(facts))
    echo = watch(cell, seq)
    if echo is Progress.UNHEARD:
        # The cell knows nothing of the number: it never came, or the cell lost it. The row begins anew.
        return _again(resumed, row, facts.now), (decided, *_shown(facts))
    if echo not in _BROKEN_OFF or _confirmed(table, session, row, facts):
        return resumed, (decided,)
    fault = cell_fault(row, cell, _BROKEN_OFF[echo])
    failed = StepFailed(row, fault, FaultAction.RETRY, seq, row.state)
    return _again(resumed, row, facts.now), (decided, failed, Acknowledge(seq))


def _shown(facts: StepFacts) -> tuple[Effect, ...]:
    """The result, on no record, that the cell shows whoever decides: taken over with his decision, and no later one."""
    return () if facts.result_known else (Acknowledge(facts.cell.cell.done_seq),)


def _sent(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    cell, seq = facts.cell.cell, session.seq
    assert seq is not None
    echo = watch(cell, seq)
    if echo is Progress.DONE:
        deadline_at = facts.now + timedelta(seconds=row.confirm_s * max(1.0, facts.speed / 10))
        return _confirming(table, replace(session, phase=Phase.CONFIRMING, deadline_at=deadline_at), row, facts)
    if echo in _BROKEN_OFF:
        # A motion that was broken off tells of a trip or of a person at the cell, seen or not: that waits for a person
        # even where the sensors already show it carried out.
        decided = echo is Progress.FAILED or session.resumed
        if decided and _confirmed(table, session, row, facts):
            return _done(table, session, row, facts)
        return _fail(table, session, row, facts, cell_fault(row, cell, _BROKEN_OFF[echo]))
    if echo is Progress.REFUSED:
        return _fail(table, session, row, facts, refusal(cell))
    if overdue(session.deadline_at, facts.now):
        return _hold(session, HoldReason.TIMEOUT, {"seq": seq, "active": cell.active_seq == seq})
    if echo is Progress.UNHEARD and session.resumed and _confirmed(table, session, row, facts):
        return _done(table, session, row, facts)  # carried out by a cell that has lost its numbers since
    if due_again(echo, facts.last_sent_at, facts.now, speed=facts.speed):
        lacking = _not_permitted(table, session, row, facts)
        if lacking:
            return _refuse(session, row, lacking)
        return session, (Send(_command(session, row, seq), repeated=True),)
    return session, ()


def _confirming(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    lacking = _unconfirmed(table, session, row, facts)
    if not lacking:
        return _done(table, session, row, facts)
    if overdue(session.deadline_at, facts.now):
        fault = cell_fault(row, facts.cell.cell, "not_confirmed")
        detail = {**fault.detail, "missing": [m.as_data() for m in lacking]}
        return _fail(table, session, row, facts, replace(fault, contradicted=True, detail=detail))
    return session, ()


def _pending(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    if row.checks:
        return _checking(table, session, row, facts)
    late = overdue(session.deadline_at, facts.now)
    cell = facts.cell.cell
    looked_at = row.command is None or (session.resumed and cell.active_seq == 0)
    if row.command is CommandCode.RELEASE and session.opened and not session.released:
        looked_at = False  # a vehicle that is gone without its release has been accepted by nobody
    if looked_at and _confirmed(table, session, row, facts):
        return _done(table, session, row, facts)
    if row.command is None:
        return _fail(table, session, row, facts, StepFault("not_confirmed")) if late else (session, ())
    if cell.result is not ResultCode.NONE and cell.active_seq == 0:
        # A result that nobody waits for any more; the cell takes no command, not even homing, while it shows one.
        # One that is not on record is taken over by a named person only, with the decision that is made on it.
        if not facts.result_known:
            return _hold(session, HoldReason.UNKNOWN_RESULT, {"seq": cell.done_seq, "result": cell.result.name.lower()})
        return session, (Acknowledge(cell.done_seq),)
    diverted = _diverted(session, row, facts)
    if diverted is not None:
        return diverted
    lacking = _not_permitted(table, session, row, facts)
    busy = cell.active_seq != 0 or cell.state is CellState.ALARM
    if busy:
        name = "cell_idle" if cell.active_seq != 0 else "no_cell_alarm"
        lacking = [Missing(name, False, facts.cell.fast_age_s), *lacking]
    if lacking:
        if late:
            detail = {"missing": [m.as_data() for m in lacking]}
            fault = StepFault("permissive_missing", retry_may_help=False, withdrawn=busy, detail=detail)
            return _fail(table, session, row, facts, fault)
        return _refuse(session, row, lacking)
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
            held, more = _hold(waiting, HoldReason.CHECK_FAILED, {"check": check.value, "tries": tries})
            return held, (*effects, *more)
        return waiting, tuple(effects)
    done, more = _done(table, replace(session, checks=checks), row, facts)
    return done, (*effects, *more)
