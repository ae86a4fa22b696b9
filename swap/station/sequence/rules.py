"""What every recipe must ask for, whoever wrote it: the least a row's command needs before and after it.

That the vehicle is secured is asked of no row: the step function asks it (`secured.py`).
A station may load its own recipe. These rules refuse one that would leave a safety permissive out; the
simulated PLC repeats most of them, a real one must (standards.md 6.2).
"""

from __future__ import annotations

from collections.abc import Iterable

from robotics.port import CommandCode
from swap.station.sequence.step_table import (
    DERIVED_FACTS,
    QUEUED,
    TERMINAL,
    Check,
    FaultAction,
    Place,
    StepRow,
    StepTable,
)

_CELL = ("estop_ok", "curtain_clear", "doors_closed", "fire_ok", "smoke_ok", "power_ok", "homed")

NEEDED: dict[CommandCode, tuple[str, ...]] = {
    CommandCode.ADMIT: (*_CELL, "at_home", "!gripper_loaded", "!vehicle_present"),
    CommandCode.LOCATE: (*_CELL, "vehicle_present"),
    CommandCode.UNLOCK: (*_CELL, "!gripper_loaded"),
    CommandCode.LOCK: (*_CELL, "target_occupied", "!gripper_loaded"),
    CommandCode.PICK: (*_CELL, "!gripper_loaded", "source_occupied"),
    CommandCode.PUT: (*_CELL, "gripper_loaded", "!target_occupied"),
    CommandCode.HOME: (*_CELL, "!gripper_loaded"),
    CommandCode.RELEASE: (
        *("estop_ok", "fire_ok", "curtain_clear", "doors_closed"),
        *("at_home", "!gripper_loaded", "all_locks_closed", "exit_clear"),
    ),
}
CONFIRMED: dict[CommandCode, tuple[str, ...]] = {
    CommandCode.ADMIT: ("vehicle_present",),
    CommandCode.LOCATE: ("vehicle_in_position",),
    CommandCode.UNLOCK: ("locks_open",),
    CommandCode.LOCK: ("locks_closed",),
    CommandCode.PICK: ("gripper_loaded", "!source_occupied"),
    CommandCode.PUT: ("!gripper_loaded", "target_occupied"),
    CommandCode.HOME: ("at_home",),
    CommandCode.RELEASE: ("!vehicle_present",),
}
RELEASED_WHEN = ("all_seats_occupied", "all_locks_closed", "all_packs_accepted")
"""What the step function asks before RELEASE on every path, once an UNLOCK has been sent; no row need name it."""
EVACUATION_NEEDED = (
    *("estop_ok", "power_ok", "fire_ok", "curtain_clear", "doors_closed", "homed"),
    *("tank_ready", "!gripper_loaded", "!tank_occupied"),
)
"""Before flame, with a sound robot, a free path, a ready and empty tank, and nobody in the zone."""
EVACUATION_CONFIRMED = ("tank_occupied", "!gripper_loaded")
SEAT_NEEDED = ("locks_open",)
"""Further permissives of PICK and PUT at the vehicle."""
PACK_NEEDED = ("pack_safe",)
"""Further permissives of PICK of a charged pack out of its bay, on the way forward."""
_PLACED = frozenset({CommandCode.UNLOCK, CommandCode.LOCK, CommandCode.PUT})
"""Commands with a target and no source."""


def needed(row: StepRow) -> tuple[str, ...]:
    """Permissives that a row's command must ask for."""
    if row.command is None:
        return ()
    names = NEEDED.get(row.command, ())
    at_seat = Place.SEAT in (row.source, row.target)
    if at_seat and row.command in (CommandCode.PICK, CommandCode.PUT):
        names = (*names, *SEAT_NEEDED)
    if row.command is CommandCode.PICK and row.source is Place.NEW_BAY and not row.unwinding:
        names = (*names, *PACK_NEEDED)
    if row.command is CommandCode.PICK and row.source is Place.OLD_BAY:
        names = (*names, "source_power_off")
    return names


def table_problems(table: StepTable) -> list[str]:
    """Everything wrong with an expanded recipe, one line each."""
    problems: list[str] = []
    for row in table.rows:
        problems += [f"state {row.state} ({table.swap_order}): {text}" for text in _row_problems(row)]
    problems += _path_problems(table)
    done = {check for row in table.forward for check in row.checks}
    problems += [f"order {table.swap_order}: check {check} is made in no row" for check in Check if check not in done]
    return problems


def _row_problems(row: StepRow) -> Iterable[str]:
    lacking = [name for name in needed(row) if name not in row.permissives]
    if lacking and row.command is not None:
        yield f"permissives lack {', '.join(lacking)}, which {row.command.name} needs"
    if row.command is not None:
        lacking = [name for name in CONFIRMED.get(row.command, ()) if name not in row.confirm]
        if lacking:
            yield f"confirm lacks {', '.join(lacking)}: {row.command.name} is not over before the sensors say so"
        if row.command not in NEEDED:
            yield f"command {row.command.name} is no step of a swap"
        if row.checks:
            yield "has a command and checks; make two rows of it"
        if (row.source is not None) is not (row.command is CommandCode.PICK):
            yield "PICK, and no other command, has a source"
        if (row.target is not None) is not (row.command in _PLACED):
            yield "UNLOCK, LOCK and PUT, and no other command, have a target"
        if Place.HOT_BAY in (row.source, row.target):
            yield f"place {Place.HOT_BAY} belongs to [evacuate]"
    elif not row.checks and not row.confirm:
        yield "has neither a command, nor checks, nor anything to confirm"
    if row.command in (CommandCode.PICK, CommandCode.PUT):
        ends = (row.source or Place.GRIPPER, row.target or Place.GRIPPER)
        if row.move is None or (row.move.source, row.move.target) != ends:
            yield f"move must say which pack goes from {ends[0]} to {ends[1]}"
    elif row.move is not None:
        yield "move belongs to PICK and PUT"
    yield from _time_problems(row)


def _time_problems(row: StepRow) -> Iterable[str]:
    if row.timeout_s < row.nominal_s * (1 + row.spread_share):
        yield f"timeout_s = {row.timeout_s:g} is shorter than the step itself"


def evacuation_problems(row: StepRow) -> list[str]:
    """Everything wrong with the row that carries a hot pack to the tank, one line each."""
    problems = []
    if row.command is not CommandCode.FIRE or row.source is not Place.HOT_BAY:
        problems.append(f"is command FIRE with source {Place.HOT_BAY}, and nothing else")
    lacking = [name for name in EVACUATION_NEEDED if name not in row.permissives]
    if lacking:
        problems.append(f"permissives lack {', '.join(lacking)}, which FIRE needs")
    lacking = [name for name in EVACUATION_CONFIRMED if name not in row.confirm]
    if lacking:
        problems.append(f"confirm lacks {', '.join(lacking)}: FIRE is not over before the sensors say so")
    derived = [name for name in (*row.permissives, *row.confirm) if name.removeprefix("!") in DERIVED_FACTS]
    if derived:
        problems.append(f"asks for {', '.join(derived)}, which only a swap has")
    if row.on_fault.then is not FaultAction.PERSON:
        problems.append(f"on_fault.then = {row.on_fault.then}: allowed person; there is no way back for a hot pack")
    problems += _time_problems(row)
    return [f"evacuate, state {row.state}: {text}" for text in problems]


def _path_problems(table: StepTable) -> Iterable[str]:
    """Rows that nothing leads to, and rows from which no end is reached."""
    by_state = table.by_state
    reached: set[str] = set()
    waiting = [table.first_state]
    while waiting:
        state = waiting.pop()
        if state in reached:
            continue
        reached.add(state)
        row = by_state.get(state)
        if row is not None:
            waiting += [row.next_state, *((row.unwind_state,) if row.unwind_state else ())]
    for row in table.rows:
        if row.state not in reached:
            yield f"state {row.state} ({table.swap_order}): no row leads there"
        seen: list[str] = []
        state = row.state
        while state not in TERMINAL and state not in seen and state in by_state:
            seen.append(state)
            state = by_state[state].next_state
        if state not in TERMINAL:
            yield f"state {row.state} ({table.swap_order}): no end is reached; it goes {' → '.join([*seen, state])}"
        if row.state in TERMINAL or row.state == QUEUED:
            yield f"state {row.state}: the name is taken"
