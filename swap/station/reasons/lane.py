"""What a lane waits for now: by the code that calls trucks into it, by its swap and that swap's permissives."""

from __future__ import annotations

from collections.abc import Collection

from robotics.port import CommandCode, ResultCode
from scheduler.types import StationMode
from scheduler.waiting import BY_MODE, Wait, Waiting
from swap.station.context import StationContext
from swap.station.lane.runner import LaneRunner
from swap.station.sequence.handshake import Progress, watch
from swap.station.sequence.permissives import CellFacts, missing
from swap.station.sequence.recipe import StepRow
from swap.station.sequence.row_facts import MOVING_MODES, plan_of
from swap.station.sequence.session import STATION_REASONS, Phase, Session


def lane_waiting(runner: LaneRunner, first_truck: str | None, unheard: Collection[str] = ()) -> Waiting:
    """What a lane waits for now.

    Args:
        first_truck: the vehicle that comes first in the queue; None when nobody waits.
        unheard: lanes and bays not heard since the start.
    """
    context, session = runner.context, runner.session
    hindrance = context.cell_hindrance(runner.lane.id)
    if session is None:
        if runner.watch.busy:
            return _errand(runner)
        if hindrance is not None and hindrance.cause in _NOT_HEARD:
            return hindrance
        if context.mode is not StationMode.AUTOMATIC:
            return station_waiting(context)
        if hindrance is not None:
            return hindrance
        if unheard:
            return Waiting(Wait.NOT_COMPARED, tuple(sorted(unheard)))
        return Waiting(Wait.NO_TRUCK) if first_truck is None else Waiting(Wait.FIRST_TRUCK, (first_truck,))
    if session.phase is Phase.HELD:
        reason = "" if session.hold_reason is None else session.hold_reason.value
        if session.hold_reason in STATION_REASONS and context.mode not in MOVING_MODES:
            return Waiting(Wait.CONFIRMED_STATION, (reason,))
        return Waiting(Wait.PERSON, (reason,))
    if hindrance is not None and hindrance.cause in _NOT_HEARD:
        return hindrance
    if runner.watch.busy:
        return _errand(runner)
    return _step_waiting(runner, session)


_NOT_HEARD = frozenset({Wait.CELL_SILENT, Wait.CELL_FROZEN})


def station_waiting(context: StationContext) -> Waiting:
    """What a station waits for that calls no truck."""
    return Waiting(BY_MODE[context.mode], (context.mode_reason,) if context.mode_reason else ())


def _errand(runner: LaneRunner) -> Waiting:
    cause = Wait.HOMING if runner.watch.errand is CommandCode.HOME else Wait.RESETTING
    return Waiting(cause, until_at=runner.watch.deadline_at)


def _step_waiting(runner: LaneRunner, session: Session) -> Waiting:
    assert runner.table is not None
    row = runner.table.by_state[session.state]
    cell = runner.context.cells[runner.lane.id]
    facts = runner.cell_facts(cell)
    until_at = session.deadline_at
    if session.phase is Phase.CONFIRMING:
        return Waiting(Wait.SENSORS, _lacking(runner, session, row, facts, row.confirm), until_at=until_at)
    if session.phase is Phase.SENT and session.seq is not None:
        if session.refused:
            return Waiting(Wait.PERMISSIVES, session.refused, until_at=until_at)
        if watch(cell, session.seq) is Progress.UNHEARD:
            if cell.refusal is not None:
                return Waiting(Wait.COMMAND_REFUSED, (str(cell.refusal),), number=session.seq, until_at=until_at)
            return Waiting(Wait.COMMAND_UNHEARD, number=session.seq, until_at=until_at)
        return Waiting(Wait.MOTION, number=session.seq, until_at=until_at)
    if row.checks:
        open_checks = [c.value for c in row.checks if session.checks.get(c.value, {}).get("result") != "pass"]
        return Waiting(Wait.CHECKS, tuple(open_checks), until_at=until_at)
    if row.command is None:
        return Waiting(Wait.CONDITION, _lacking(runner, session, row, facts, row.confirm), until_at=until_at)
    if session.refused:
        return Waiting(Wait.PERMISSIVES, session.refused, until_at=until_at)
    if cell.result is not ResultCode.NONE and cell.active_seq == 0:
        return Waiting(Wait.RESULT_KEPT, number=cell.done_seq)
    return Waiting(Wait.COMMAND_DUE)


def _lacking(
    runner: LaneRunner, session: Session, row: StepRow, facts: CellFacts, names: tuple[str, ...]
) -> tuple[str, ...]:
    assert runner.table is not None
    return tuple(item.name for item in missing(names, row, plan_of(session, row), facts, runner.table.pack_count))
