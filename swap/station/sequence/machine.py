"""The session machine: a `transitions` table made from a recipe, used as a pure function.

The machine holds no I/O and no row; `fire()` takes a state and a trigger and gives the next state.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from transitions import Machine, MachineError

from swap.station.sequence.recipe import CANCELLED, COMPLETED, QUEUED, RETURNED, TERMINAL, StepTable


class Trigger(StrEnum):
    """What moves a session from one state to another."""

    DISPATCH = "dispatch"
    DONE = "done"
    UNWIND = "unwind"
    CANCEL = "cancel"
    """The truck did not come, or left, before anything moved."""
    PARTIAL = "partial"
    """The way back ends, but another seat of the vehicle was exchanged before."""


class IllegalStep(Exception):
    """A trigger that the table does not allow in this state."""


class _Model:
    state: str = QUEUED


def _transition_rows(table: StepTable) -> list[list[str]]:
    rows = [
        [Trigger.DISPATCH, QUEUED, table.first_state],
        [Trigger.CANCEL, QUEUED, CANCELLED],
        [Trigger.CANCEL, table.first_state, CANCELLED],
    ]
    for row in table.rows:
        rows.append([Trigger.DONE, row.state, row.next_state])
        if row.next_state == RETURNED and table.pack_count > 1:
            rows.append([Trigger.PARTIAL, row.state, COMPLETED])
        if row.unwind_state is not None:
            rows.append([Trigger.UNWIND, row.state, row.unwind_state])
    return rows


@cache
def session_machine(table: StepTable) -> Machine:
    """The machine of a table; shared, since it keeps no state of its own."""
    return Machine(
        model=None,
        states=[QUEUED, *(row.state for row in table.rows), COMPLETED, RETURNED, CANCELLED],
        transitions=_transition_rows(table),
        initial=QUEUED,
        auto_transitions=False,
        queued=False,
    )


@cache
def fire(table: StepTable, state: str, trigger: Trigger) -> str:
    """The state after a trigger.

    Raises:
        IllegalStep: the table has no such transition.
    """
    machine = session_machine(table)
    model = _Model()
    machine.add_model(model, initial=state)
    try:
        machine.events[trigger.value].trigger(model)
    except (MachineError, KeyError) as error:
        raise IllegalStep(f"{trigger} is not allowed in state {state!r} of recipe {table.recipe}") from error
    finally:
        machine.remove_model(model)
    return model.state


def legal(table: StepTable, state: str, following: str) -> bool:
    """Whether one trigger leads from a state to another."""
    for trigger in Trigger:
        try:
            if fire(table, state, trigger) == following:
                return True
        except IllegalStep:
            continue
    return False


def mermaid(table: StepTable) -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {QUEUED}"]
    for trigger, source, target in _transition_rows(table):
        arrow = f"    {source} --> {target}"
        lines.append(arrow if trigger == Trigger.DONE else f"{arrow}: {trigger}")
    lines += [f"    {state} --> [*]" for state in sorted(TERMINAL)]
    return "\n".join(lines)
