"""What the driver is shown, whether his vehicle is asked to be in swap mode, and which packs it is told to accept: from
the swap as it stands."""

from __future__ import annotations

from collections.abc import Mapping

from robotics.port import CommandCode, DriverSign, Signal
from swap.station.sequence.permissives import CellFacts
from swap.station.sequence.secured import SecuredNeeds, unsecured
from swap.station.sequence.session import Phase, Session
from swap.station.sequence.step_table import StepRow, StepTable


def sign_for(table: StepTable, session: Session, needs: SecuredNeeds, cell: CellFacts) -> DriverSign:
    """The sign of a lane with a swap. A vehicle that is worked on and not secured is told with the horn, as long as
    it is so, whatever else holds the swap."""
    row = table.by_state[session.state]
    held = session.phase is Phase.HELD
    if unsecured(table, row, needs, cell, opened=session.opened, released=session.released):
        return DriverSign.ALARM
    if row.command is CommandCode.RELEASE and session.released:
        return DriverSign.STOP if held else DriverSign.DRIVE_OFF
    if session.opened:
        return DriverSign.DO_NOT_MOVE
    if row.command is CommandCode.ADMIT and cell.signal(Signal.VEHICLE_PRESENT) is not True:
        calls = session.seq is not None and not held
        return DriverSign.CALL if calls else DriverSign.STOP
    return DriverSign.STOP


def packs_told(table: StepTable, session: Session) -> Mapping[int, str]:
    """Codes of the packs that the vehicle is to accept, by seat: the new one of each seat that is being exchanged or
    has been, on the way back its own one in the others; none of a seat whose turn has not come, nor after the release.
    """
    row = table.by_state[session.state]
    if session.released or not row.working:
        return {}
    told: dict[int, str] = {}
    for plan in session.seats:
        new = plan.seat in session.exchanged or (not row.unwinding and _is_worked_on(row, plan.seat))
        code = plan.new_pack_id if new else plan.old_pack_id if row.unwinding else None
        if code is not None:
            told[plan.seat] = code
    return told


def _is_worked_on(row: StepRow, seat: int) -> bool:
    at_work = row.command in (CommandCode.UNLOCK, CommandCode.LOCK, CommandCode.PICK, CommandCode.PUT)
    return row.seat == seat and (at_work or Signal.PACK_ACCEPTED in row.confirm)


def in_swap_mode(table: StepTable, session: Session) -> bool:
    """The vehicle is asked to be in swap mode: from its arrival in the lane until it is released."""
    return table.by_state[session.state].command is not CommandCode.ADMIT and not session.released
