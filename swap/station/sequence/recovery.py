"""Why a step failed, and what follows: pure functions of the row, the cell and the tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robotics.faults import fault_by_code
from robotics.port import AckCode, CellStatus, CommandCode, ResultCode
from swap.station.sequence.permissives import seat_heads
from swap.station.sequence.step_table import FaultAction, StepRow


@dataclass(frozen=True, slots=True)
class StepFault:
    """Why a step failed. `name` is a name of the fault catalogue."""

    name: str
    safety_trip: bool = False
    retry_may_help: bool = True
    """False where the same command cannot end otherwise, e.g. a wrong parameter."""
    contradicted: bool = False
    """The cell says done and the sensors say otherwise: one of them is wrong, and nobody knows which."""
    withdrawn: bool = False
    """The cell gave the motion up or is not ours to command: the reason may be gone again, a person looks."""
    failed_heads: tuple[int, ...] = ()
    """Locking heads that did not reach their end position, 0…, within the seat."""
    head_count: int = 0
    detail: Mapping[str, object] = field(default_factory=dict)


def cell_fault(row: StepRow, cell: CellStatus, name: str) -> StepFault:
    """The fault of a command that the cell ended, with what the cell shows of its cause."""
    heads: tuple[int, ...] = ()
    count = 0
    if row.command in (CommandCode.LOCK, CommandCode.UNLOCK):
        values = cell.heads_closed if row.command is CommandCode.LOCK else cell.heads_open
        seat = seat_heads(values, row.seat, cell.seats)
        heads, count = tuple(i for i, v in enumerate(seat) if v is False), sum(v is not None for v in seat)
    known = fault_by_code(cell.fault_code) if cell.fault_code else None
    return StepFault(
        name,
        safety_trip=known is not None and known.safety_trip,
        retry_may_help=known is None or known.retry_may_help,
        withdrawn=cell.result is ResultCode.ABORTED,
        failed_heads=heads,
        head_count=count,
        detail={"fault_code": cell.fault_code, "fault_level": cell.fault_level},
    )


def refusal(cell: CellStatus) -> StepFault:
    """The fault of a command that the cell did not take."""
    return StepFault(
        f"command_{cell.ack_code.name.lower()}",
        retry_may_help=cell.ack_code in (AckCode.REFUSED_INTERLOCK, AckCode.BUSY),
        withdrawn=cell.ack_code in (AckCode.REFUSED_MODE, AckCode.REFUSED_OWNER),
        detail={"fault_code": cell.fault_code},
    )


def recovery_for(row: StepRow, fault: StepFault, tries: int) -> FaultAction:
    """The action for the `tries`-th failure of a row, counted from 0.

    A safety trip stops. A motion that the cell withdrew, or calls done against the sensors, is never begun
    again, nor the way back, without a person. A fault that the same command cannot overcome skips the retries of
    the row. Locking heads decide by number and position (`head_action`). Where the row asks for the way back and has
    none, a person decides.
    """
    if fault.safety_trip:
        return FaultAction.STOP
    if fault.withdrawn or fault.contradicted:
        return FaultAction.PERSON
    action = row.on_fault.action(tries) if fault.retry_may_help else row.on_fault.then
    if fault.failed_heads:
        action = head_action(row, fault, tries, action)
    if action is FaultAction.UNWIND and row.unwind_state is None:
        return FaultAction.PERSON
    return action


def head_action(row: StepRow, fault: StepFault, tries: int, asked: FaultAction) -> FaultAction:
    """Action where heads of the lock failed.

    Heads are numbered along the seat: even on the left, odd on the right, front to back. A single head is
    tried again as the row allows. Two or more heads, none of them on one axle, are tried once. Two on the
    same side or on the same axle leave the pack without support there: it is not tried again, a person looks.
    The choice is this project's own, configurable by recipe through `on_fault`; no standard gives it.
    """
    heads = set(fault.failed_heads)
    if len(heads) <= 1:
        return asked
    same_side = any({a, b} <= heads for a in heads for b in heads if a < b and a % 2 == b % 2)
    same_axle = any({a, a + 1} <= heads for a in heads if a % 2 == 0)
    if same_side or same_axle or len(heads) * 2 > fault.head_count > 0:
        return FaultAction.PERSON
    return asked if tries == 0 else FaultAction.PERSON
