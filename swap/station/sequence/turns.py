"""How a session turns: held, refused, into another row, begun again, done, failed, on the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from swap.station.sequence.machine import Trigger, session_states
from swap.station.sequence.permissives import Missing
from swap.station.sequence.recipe import RETURNED, TERMINAL, FaultAction, Place, StepRow, StepTable
from swap.station.sequence.recovery import StepFault, recovery_for
from swap.station.sequence.row_facts import confirmed, lacking_of, plan_of
from swap.station.sequence.session import (
    Acknowledge,
    Effect,
    Ended,
    Held,
    HoldReason,
    HoldRobot,
    Phase,
    Refusal,
    Result,
    Session,
    StationHold,
    StepDone,
    StepFacts,
    StepFailed,
)

_LOADS = frozenset({"gripper_loaded", "source_occupied", "target_occupied"})
"""Facts that say where the packs are."""


def hold(session: Session, reason: HoldReason, detail: Mapping[str, Any]) -> Result:
    """The session held for a person; its robot paused, where a command may run or the vehicle can move."""
    held = replace(session, phase=Phase.HELD, hold_reason=reason, hold_detail=dict(detail), refused=())
    stop = (HoldRobot(reason.value),) if session.seq is not None or reason is HoldReason.UNSECURED else ()
    return held, (*stop, Held(reason, detail))


def refuse(session: Session, row: StepRow, lacking: list[Missing]) -> Result:
    """What the next command waits for, told once."""
    names = tuple(item.name for item in lacking)
    if names == session.refused:
        return session, ()
    return replace(session, refused=names), (Refusal(row, tuple(lacking)),)


def enter(table: StepTable, session: Session, state: str, now: datetime) -> tuple[Session, tuple[Effect, ...]]:
    """The session at the beginning of another state, which may be its end."""
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


def begin_row_again(session: Session, row: StepRow, now: datetime) -> Session:
    """The same row from its beginning, with a new command; what its sensors show done counts."""
    return replace(
        session,
        phase=Phase.PENDING,
        seq=None,
        deadline_at=now + timedelta(seconds=row.timeout_s),
        resumed=True,
        refused=(),
    )


def row_done(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> Result:
    """The row has ended as it should: what it moved is where it was to come, and the next row begins."""
    trigger = Trigger.DONE
    if row.next_state == RETURNED and session.exchanged:
        trigger = Trigger.PARTIAL
    following = session_states(table).next(session.state, trigger)
    exchanged = session.exchanged
    if row.move is not None and row.move.pack == "new" and row.move.target is Place.SEAT:
        exchanged = exchanged | {row.seat}
    if row.move is not None and row.move.source is Place.SEAT:
        exchanged = exchanged - {row.seat}
    entered, ended = enter(table, replace(session, exchanged=exchanged), following, facts.now)
    done = StepDone(row, plan_of(session, row), row.move, session.seq, following)
    acknowledge = (Acknowledge(session.seq),) if session.seq is not None else ()
    return entered, (done, *ended, *acknowledge)


def way_back(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> str | None:
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
    possible = not lacking_of(table, session, first, facts, loads) or confirmed(table, session, first, facts)
    possible = possible and all(
        not lacking_of(table, session, later, facts, ("source_occupied",))
        for later in table.way(row.unwind_state)
        if later.source is Place.OLD_BAY
    )
    return session_states(table).next(row.state, Trigger.UNWIND) if possible else None


def fail(table: StepTable, session: Session, row: StepRow, facts: StepFacts, fault: StepFault) -> Result:
    """The row has failed: again, the way back, or held for a person, as its recipe says."""
    action = recovery_for(row, fault, session.tries)
    following = way_back(table, session, row, facts) if action is FaultAction.UNWIND else None
    if action is FaultAction.UNWIND and following is None:
        action = FaultAction.PERSON
    done_seq = facts.cell.cell.done_seq
    acknowledge = (Acknowledge(done_seq),) if done_seq == session.seq else ()
    if action is FaultAction.RETRY:
        again = replace(begin_row_again(session, row, facts.now), tries=session.tries + 1)
        return again, (StepFailed(row, fault, action, session.seq, row.state), *acknowledge)
    if following is not None:
        entered, ended = enter(table, session, following, facts.now)
        failed = StepFailed(row, fault, action, session.seq, following)
        return replace(entered, resumed=True), (failed, *ended, *acknowledge)
    failed = StepFailed(row, fault, action, session.seq, row.state)
    rest = replace(session, seq=None, phase=Phase.PENDING)
    held, effects = hold(rest, HoldReason.FAULT, {"fault": fault.name, **fault.detail})
    stop = (StationHold(fault.name),) if action is FaultAction.STOP else ()
    return held, (failed, *effects, *stop, *acknowledge)
