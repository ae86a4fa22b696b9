"""The step function of a hot pack: its procedure as stored and fresh facts in, procedure to store and effects out.

Of the same form as `sequencer.step`: no I/O, no clock, effects are carried out only after the procedure is stored.
The safety PLC and the fire system act without this; it observes, and asks a cell by the recipe's `[evacuate]` row to
carry the pack to the tank. Where that is not allowed, or fails, the pack stays where it is and people act.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from robotics.port import CommandCode, ControlMode, Location, LocationKind, ResultCode, RobotCommand, RunMode, Signal
from scheduler.types import StationMode
from swap.station.sequence.handshake import Progress, due_again, overdue, watch
from swap.station.sequence.permissives import TRIPS, CellFacts, SeatPlan, missing
from swap.station.sequence.recovery import StepFault, cell_fault, recovery_for, refusal
from swap.station.sequence.row_facts import MOVING_MODES
from swap.station.sequence.session import Acknowledge, HoldRobot, Send
from swap.station.sequence.step_table import FaultAction, StepRow
from swap.station.states.thermal_stages import THERMAL_STAGE, Stage, StageTrigger

EVACUATE_WITHIN_S = 240.0
"""Station seconds after detection in which an evacuation may begin. Below the 300 s that GB 38031 gives from alarm to
hazard; this project's own value."""
POWER_OFF_KW = 0.5
"""A charger below this gives nothing: the pack may be picked."""
_PASSING = frozenset({"cell_idle", "!gripper_loaded"})
"""Bars that end with the command that runs: it may just be setting a pack down."""
NEED_PERSON = (*TRIPS, Signal.CURTAIN_CLEAR, Signal.DOORS_CLOSED)
"""Signals after whose loss nothing moves before a named person has looked, whatever they say later."""
_NOWHERE = SeatPlan(1, None, None, None, 0, None, 0)
"""An evacuation works at no seat."""


@dataclass(frozen=True, slots=True)
class Procedure:
    """The stored position of one hot pack."""

    bay: str
    position: int
    pack_id: str | None
    detected_at: datetime
    stage: Stage = Stage.DETECTED
    lane_id: str | None = None
    seq: int | None = None
    deadline_at: datetime | None = None
    """Limit for the command's end, then for the sensors' agreement."""
    confirming: bool = False
    """The cell says done, the tank's sensor has to agree."""
    tries: int = 0
    left: bool = False
    """It may hang in the gripper: its evacuation failed, and the cell has not been seen at rest and empty since."""

    @property
    def over(self) -> bool:
        """Nothing is left to do for the controller."""
        return self.stage in THERMAL_STAGE.ends and not self.left


@dataclass(frozen=True, slots=True)
class EvacuationLane:
    """One cell that reaches the bay."""

    cell: CellFacts
    row: StepRow | None
    """The `[evacuate]` row of the lane's recipe; None where it has none."""
    next_seq: int
    in_flight: bool = False
    """A command of the lane's swap, or of the lane itself, is with the cell or on its way there."""
    person_needed: bool = False
    """A named person has to look at the lane first (`persons_needed`), or to decide on its swap."""


@dataclass(frozen=True, slots=True)
class EvacuationFacts:
    """What one step may know."""

    now: datetime
    mode: StationMode
    lanes: Mapping[str, EvacuationLane]
    charge_kw: float | None = None
    """What the charger of the bay gives; None when unknown."""
    last_sent_at: datetime | None = None
    """Last sending of the number by this process; None where an earlier one sent it."""
    speed: float = 1.0
    """Station seconds per real second, for limits that are real seconds."""


@dataclass(frozen=True, slots=True)
class WithdrawHold:
    """Withdraw the cell's hold: the station holds it since the detection, and the evacuation has to move."""


@dataclass(frozen=True, slots=True)
class StageReached:
    """The procedure has come to another stage; `data` tells of it in the journal."""

    stage: Stage
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """The command of a number is over: done, failed, aborted or refused."""

    seq: int
    result: str


Effect = Send | Acknowledge | HoldRobot | WithdrawHold | StageReached | CommandEnded
Result = tuple[Procedure, tuple[Effect, ...]]


def interrupted(procedure: Procedure) -> Result:
    """The procedure as it is taken up after a controller that ended without saying so.

    No evacuation begins before a person has looked; what a cell does of one that began is still watched.
    """
    if procedure.over or procedure.stage is Stage.EVACUATION_STARTED:
        return procedure, ()
    return _isolate(procedure, {"": ("restart",)})


def step(procedure: Procedure, facts: EvacuationFacts) -> Result:
    """One step: the procedure to store and the effects to carry out after storing it, in the cell of its lane."""
    if procedure.stage is Stage.DETECTED:
        return _charging(procedure, facts)
    if procedure.stage is Stage.CHARGING_STOPPED:
        return _begin(procedure, facts)
    if procedure.stage is Stage.EVACUATION_STARTED:
        return _carry(procedure, facts)
    return _left(procedure, facts), ()


def _left(procedure: Procedure, facts: EvacuationFacts) -> Procedure:
    """A pack that may hang in the gripper does so until the cell is seen at rest with an empty one."""
    lane = facts.lanes.get(procedure.lane_id or "")
    gone = lane is not None and lane.cell.signal(Signal.GRIPPER_LOADED) is False and lane.cell.cell.active_seq == 0
    return replace(procedure, left=False) if procedure.left and gone else procedure


def persons_needed(
    before: frozenset[str], mode: StationMode, lanes: Iterable[str], cells: Mapping[str, CellFacts]
) -> frozenset[str]:
    """Lanes in which nothing begins to move, whatever is hot, before a named person has looked.

    A station that is held, taken over or on fire waits for a person in every lane, also when it becomes thermal
    meanwhile; in thermal mode a trip or somebody in the zone makes a lane wait. It ends with a confirmation.

    Args:
        before: what this gave last; every lane when the controller has just begun.
        lanes: every lane, whether its cell has been heard or not.
        cells: newest look at each lane's cell.
    """
    if mode in MOVING_MODES:
        return frozenset()
    if mode is not StationMode.THERMAL:
        return frozenset(lanes)
    return before | {lane for lane, cell in cells.items() if _somebody_there(cell)}


def _somebody_there(facts: CellFacts) -> bool:
    """A trip, somebody in the zone or a person at the cell, seen now."""
    lost = any(facts.signal(signal) is False for signal in NEED_PERSON)
    cell = facts.cell
    return lost or (facts.fresh and (cell.control_mode is ControlMode.LOCAL or cell.run_mode is RunMode.MAINTENANCE))


def bars(procedure: Procedure, lane: EvacuationLane, facts: EvacuationFacts) -> tuple[str, ...]:
    """Why a cell may not be asked to carry the pack now, by names of facts; empty when it may. Unknown bars."""
    if lane.row is None:
        return ("no_evacuation",)
    found = [item.name for item in missing(lane.row.permissives, lane.row, _NOWHERE, lane.cell, 1)]
    if not lane.cell.fresh:
        found.append("fresh_status")
    if lane.cell.cell.active_seq != 0 or (lane.in_flight and procedure.seq is None):
        found.append("cell_idle")
    if facts.mode is not StationMode.THERMAL:
        found.append("thermal_mode")
    if lane.person_needed:
        found.append("person_looked")
    if _too_late(procedure, facts):
        found.append("in_time")
    return tuple(found)


def _too_late(procedure: Procedure, facts: EvacuationFacts) -> bool:
    return (facts.now - procedure.detected_at).total_seconds() > EVACUATE_WITHIN_S


def _to(procedure: Procedure, trigger: StageTrigger, **changes: Any) -> Procedure:
    return replace(procedure, stage=THERMAL_STAGE.next(procedure.stage, trigger), **changes)


def _isolate(procedure: Procedure, reasons: Mapping[str, tuple[str, ...]]) -> Result:
    """Leave the pack where it is, with the reasons by lane."""
    isolated = _to(procedure, StageTrigger.ISOLATE, left=procedure.seq is not None)
    return isolated, (StageReached(isolated.stage, {"bars": {lane: tuple(names) for lane, names in reasons.items()}}),)


def _charging(procedure: Procedure, facts: EvacuationFacts) -> Result:
    if facts.charge_kw is not None and facts.charge_kw > POWER_OFF_KW:
        return _isolate(procedure, {"": ("source_power_off",)}) if _too_late(procedure, facts) else (procedure, ())
    stopped = _to(procedure, StageTrigger.STOP)
    return stopped, (StageReached(stopped.stage, {"confirmed": facts.charge_kw is not None}),)


def _begin(procedure: Procedure, facts: EvacuationFacts) -> Result:
    """Ask the first cell that may carry the pack; wait only for a command that runs."""
    reasons = {lane_id: bars(procedure, lane, facts) for lane_id, lane in facts.lanes.items()}
    free = next((lane_id for lane_id, found in reasons.items() if not found), None)
    if free is not None:
        begun = _to(procedure, StageTrigger.BEGIN, lane_id=free)
        sent, effects = _send(begun, facts.lanes[free], facts)
        return sent, (StageReached(sent.stage, {"seq": sent.seq}), *effects)
    if any("cell_idle" in found and set(found) <= _PASSING for found in reasons.values()):
        return procedure, ()
    return _isolate(procedure, reasons)


def _send(procedure: Procedure, lane: EvacuationLane, facts: EvacuationFacts) -> Result:
    assert lane.row is not None
    deadline_at = facts.now + timedelta(seconds=lane.row.timeout_s)
    sent = replace(procedure, seq=lane.next_seq, deadline_at=deadline_at, confirming=False)
    return sent, (*_free(lane), Send(_command(sent)))


def _free(lane: EvacuationLane) -> tuple[Effect, ...]:
    """What makes the cell take a command: the result of a held swap is taken, its sensors tell the step later."""
    cell = lane.cell.cell
    shown = (Acknowledge(cell.done_seq),) if cell.result is not ResultCode.NONE else ()
    return (*shown, WithdrawHold())


def _command(procedure: Procedure) -> RobotCommand:
    assert procedure.seq is not None
    return RobotCommand(procedure.seq, CommandCode.FIRE, Location(LocationKind.BAY, procedure.position))


def _carry(procedure: Procedure, facts: EvacuationFacts) -> Result:
    """The command is with the cell, or on its way there."""
    lane_id, seq = procedure.lane_id or "", procedure.seq
    lane = facts.lanes.get(lane_id)
    if lane is None or lane.row is None or seq is None:
        return _isolate(procedure, {lane_id: ("no_evacuation",)})
    if not lane.cell.fresh:
        late = overdue(procedure.deadline_at, facts.now)
        return _fail(procedure, lane, facts, StepFault("command_timeout", withdrawn=True)) if late else (procedure, ())
    cell = lane.cell.cell
    echo = watch(cell, seq)
    if echo is Progress.DONE:
        return _confirm(procedure, lane, lane.row, facts)
    if echo in (Progress.FAILED, Progress.ABORTED):
        return _fail(procedure, lane, facts, cell_fault(lane.row, cell, f"command_{echo}"))
    if echo is Progress.REFUSED:
        return _fail(procedure, lane, facts, refusal(cell))
    if overdue(procedure.deadline_at, facts.now):
        return _fail(procedure, lane, facts, StepFault("command_timeout", withdrawn=True))
    if echo is Progress.UNHEARD:
        # Only the process that sent it sends it again: after a restart nothing moves by itself.
        lacking = ("restart",) if facts.last_sent_at is None else bars(procedure, lane, facts)
        if lacking:
            return _end(procedure, lane, lacking)
    if due_again(echo, facts.last_sent_at, facts.now, speed=facts.speed):
        return procedure, (*_free(lane), Send(_command(procedure), repeated=True))
    return procedure, ()


def _confirm(procedure: Procedure, lane: EvacuationLane, row: StepRow, facts: EvacuationFacts) -> Result:
    assert procedure.seq is not None
    if not missing(row.confirm, row, _NOWHERE, lane.cell, 1):
        arrived = _to(procedure, StageTrigger.ARRIVE)
        return arrived, (
            CommandEnded(procedure.seq, "done"),
            StageReached(arrived.stage, {"seq": procedure.seq}),
            Acknowledge(procedure.seq),
            _STAYS_HELD,
        )
    if not procedure.confirming:
        limit_s = row.confirm_s * max(1.0, facts.speed / 10)
        return replace(procedure, confirming=True, deadline_at=facts.now + timedelta(seconds=limit_s)), ()
    if overdue(procedure.deadline_at, facts.now):
        return _fail(procedure, lane, facts, StepFault("not_confirmed", withdrawn=True))
    return procedure, ()


_STAYS_HELD = HoldRobot("the evacuation has ended")
"""What was held for the procedure stays so: the swap waits for a person."""


def _fail(procedure: Procedure, lane: EvacuationLane, facts: EvacuationFacts, fault: StepFault) -> Result:
    """The command failed: once more with a new number where the row says so and the cell may, else the pack stays."""
    assert lane.row is not None
    assert procedure.seq is not None
    if recovery_for(lane.row, fault, procedure.tries) is FaultAction.RETRY and not bars(procedure, lane, facts):
        again, effects = _send(replace(procedure, tries=procedure.tries + 1), lane, facts)
        return again, (CommandEnded(procedure.seq, "failed"), *effects)
    return _end(procedure, lane, (fault.name,))


def _end(procedure: Procedure, lane: EvacuationLane, reasons: tuple[str, ...]) -> Result:
    assert procedure.seq is not None
    isolated, reached = _isolate(procedure, {procedure.lane_id or "": reasons})
    shown = (Acknowledge(procedure.seq),) if lane.cell.cell.done_seq == procedure.seq else ()
    return isolated, (CommandEnded(procedure.seq, "failed"), *reached, *shown, _STAYS_HELD)
