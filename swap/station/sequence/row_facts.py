"""What one look at the cell says of a session's row: whether its command may leave, may go on, and has ended."""

from __future__ import annotations

from datetime import datetime

from robotics.port import CellStatus, CommandCode, ControlMode, RunMode, Signal
from scheduler.types import StationMode
from swap.station.sequence.fitted import fitted_after, fitted_before
from swap.station.sequence.handshake import believed, watch
from swap.station.sequence.incoming import judge_incoming, kept_on
from swap.station.sequence.permissives import CellFacts, Missing, SeatPlan, broken_guards, missing
from swap.station.sequence.recipe import StepRow, StepTable
from swap.station.sequence.rules import RELEASED_WHEN
from swap.station.sequence.secured import to_unlock, unsecured
from swap.station.sequence.session import Phase, Session, StepFacts

MOVING_MODES = frozenset({StationMode.AUTOMATIC, StationMode.CLOSED})
"""Modes in which a session may send commands."""


def plan_of(session: Session, row: StepRow) -> SeatPlan:
    """The plan of the seat a row works on."""
    return session.seats[row.seat - 1]


def in_flight(session: Session, cell: CellStatus, last_sent_at: datetime | None) -> bool:
    """Whether the session's command may be on its way to the cell: sent, and not looked for since."""
    return session.seq is not None and not believed(watch(cell, session.seq), last_sent_at, cell.fast_at)


def taken_over(cell: CellStatus) -> bool:
    """A person at the cell, or the fire panel, has taken the cell away from the station."""
    return cell.control_mode is ControlMode.LOCAL or cell.run_mode in (RunMode.MAINTENANCE, RunMode.FIRE)


def lacking_of(
    table: StepTable, session: Session, row: StepRow, facts: StepFacts, names: tuple[str, ...]
) -> list[Missing]:
    """What of the named facts does not hold, for the row's seat."""
    return missing(names, row, plan_of(session, row), facts.cell, table.pack_count)


def lost_security(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> list[Missing]:
    """What lacks of a secured vehicle, at any look from the first UNLOCK until robot home and locks closed, or until
    it may drive out. One that was broken off while it was let go, and shows an open lock, is to stand again."""
    signal = facts.cell.signal
    open_still = signal(Signal.VEHICLE_PRESENT) is not False and signal(Signal.LOCKS_CLOSED) is False
    released = session.released and not (session.phase is Phase.PENDING and open_still)
    return unsecured(table, row, facts.needs, facts.cell, opened=session.opened, released=released)


def unfit_pack(session: Session, row: StepRow, cell: CellFacts, hot_c: float) -> list[Missing]:
    """What speaks against taking the vehicle's own pack off the row's seat, before its heads are opened."""
    pack = cell.cell.vehicle_packs.get(row.seat)
    if row.command is not CommandCode.UNLOCK or row.unwinding or pack is None:
        return []
    return judge_incoming(pack, plan_of(session, row).old_pack_id, hot_c, cell.fast_age_s)


def not_permitted(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> list[Missing]:
    """What lacks before the row's command may leave: what the row asks for, and what no row can leave out."""
    lacking = lacking_of(table, session, row, facts, (*row.permissives, *fitted_before(row, facts.cell.cell)))
    if row.command is CommandCode.RELEASE and session.opened:
        left_out = tuple(name for name in RELEASED_WHEN if name not in row.permissives)
        lacking = [*lacking, *lacking_of(table, session, row, facts, left_out)]
    unfit = unfit_pack(session, row, facts.cell, facts.hot_c)
    lacking = [*kept_on(unfit, plan_of(session, row), facts.quarantined_for), *lacking]
    if row.command is CommandCode.UNLOCK:
        lacking = [*to_unlock(facts.needs, facts.cell), *lacking]
    return lacking


def lost_guards(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> list[Missing]:
    """Guards whose loss holds the swap: those of a running command, known or unknown; those of the exchange, once
    it has begun, as soon as they are seen lost. The driver undoes his own when he is let go."""
    released = row.command is CommandCode.RELEASE and session.phase is not Phase.PENDING
    if released or not (row.working or session.phase is Phase.SENT):
        return []
    lost = broken_guards(row, plan_of(session, row), facts.cell, table.pack_count)
    return lost if session.phase is Phase.SENT else [item for item in lost if item.value is False]


def confirmed(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> bool:
    """Whether the sensors show the row's end."""
    return not unconfirmed(table, session, row, facts)


def unconfirmed(table: StepTable, session: Session, row: StepRow, facts: StepFacts) -> list[Missing]:
    """What the sensors do not show of the row's end."""
    return lacking_of(table, session, row, facts, (*row.confirm, *fitted_after(row, facts.cell.cell)))
