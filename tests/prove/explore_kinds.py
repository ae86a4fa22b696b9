"""The kinds of what can happen to a station, each with the mishaps that are its examples, and where each has come.

A kind is worth its place only if it comes in every row in which a robot is at the vehicle's packs, and if a fault of
the controller stands behind it that no other kind finds (`test_explore_kinds.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from robotics.port import CommandCode
from swap.station.sequence.recipe import TERMINAL, StepTable


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind."""

    name: str
    mishaps: tuple[str, ...] = ()
    lives: tuple[str, ...] = ()
    """What befalls the process or its database (`explore_walk.LIVES`)."""
    needs: frozenset[CommandCode] | None = None
    """Commands whose rows it can come in; None for every row."""
    kin: tuple[str, ...] = ()
    """Kinds that are another form of it: they find its planted fault as well."""


SENSED = frozenset({CommandCode.UNLOCK, CommandCode.LOCK, CommandCode.PICK, CommandCode.PUT})
"""Commands whose end the sensors show."""

ASKED = frozenset(CommandCode)
"""Rows that write to the cell."""

KINDS: tuple[Kind, ...] = (
    Kind("process killed", lives=("death",), kin=("two controllers, lost lease",)),
    Kind("clean stop", lives=("stop",)),
    Kind("pause in looking", lives=("pause",)),
    Kind("pause in commanding", lives=("stand",)),
    Kind("pause in a write", lives=("late",), needs=ASKED),
    Kind("two controllers, lost lease", lives=("rival",)),
    Kind("database away", lives=("database",)),
    Kind("power cut, memory kept", ("power_cut",), kin=("power cut, memory lost",)),
    Kind("power cut, memory lost", ("power_cut_forgets", "plc_forgets")),
    Kind("held result", ("held_result",)),
    Kind("out of position", ("truck_rolls",)),
    Kind("handbrake", ("handbrake",)),
    Kind("gear", ("gear",)),
    Kind("key", ("key",)),
    # A cell without power asks nothing of the driver; he switches on, and off again last of all.
    Kind("high voltage", ("hv_on",), kin=("power cut, memory kept", "power cut, memory lost")),
    Kind("accepts late or never", ("pack_refused",)),
    Kind("done against the sensors", ("says_done",), needs=SENSED),
    Kind("lost right", ("right_withdrawn", "contract_unreadable")),
)

KIND = {kind.name: kind for kind in KINDS}

KIND_PAIRS: tuple[tuple[str, str], ...] = (
    ("process killed", "database away"),
    ("process killed", "held result"),
    ("process killed", "high voltage"),
    ("process killed", "done against the sensors"),
    ("clean stop", "high voltage"),
    ("clean stop", "power cut, memory lost"),
    ("clean stop", "process killed"),
    ("clean stop", "accepts late or never"),
    ("pause in looking", "process killed"),
    ("pause in looking", "power cut, memory kept"),
    ("pause in looking", "handbrake"),
    ("pause in looking", "done against the sensors"),
    ("pause in commanding", "out of position"),
    ("pause in commanding", "database away"),
    ("pause in a write", "power cut, memory lost"),
    ("pause in a write", "held result"),
    ("pause in a write", "pause in looking"),
    ("two controllers, lost lease", "process killed"),
    ("two controllers, lost lease", "high voltage"),
    ("database away", "power cut, memory lost"),
    ("database away", "held result"),
    ("database away", "accepts late or never"),
    ("power cut, memory lost", "gear"),
    ("held result", "key"),
    ("accepts late or never", "high voltage"),
    ("done against the sensors", "power cut, memory lost"),
    ("lost right", "process killed"),
)
"""Two kinds in one run, in either order."""


def span(table: StepTable) -> tuple[str, ...]:
    """States of the way forward from the first UNLOCK until the robot is home."""
    states: list[str] = []
    for row in table.forward:
        if states or row.command is CommandCode.UNLOCK:
            if row.command is CommandCode.RELEASE:
                break
            states.append(row.state)
    return tuple(states)


def rows_of(kind: Kind, table: StepTable) -> set[str]:
    """States of the span that a kind can come in."""
    wanted = span(table)
    return {
        row.state for row in table.forward if row.state in wanted and (kind.needs is None or row.command in kind.needs)
    }


def counted(kind: Kind, happened: Mapping[tuple[str, str], int]) -> Counter[str]:
    """How often a kind came in each state."""
    names = {*kind.mishaps, *kind.lives}
    counts: Counter[str] = Counter()
    for (name, state), times in happened.items():
        if name in names and state not in TERMINAL:
            counts[state] += times
    return counts


def kind_lines(table: StepTable, happened: Mapping[tuple[str, str], int], kinds: Iterable[Kind] = KINDS) -> list[str]:
    """The table that is printed: kind by row, how often it came there, and on the way back in all."""
    states: Sequence[str] = span(table)
    lines = []
    for kind in kinds:
        counts = counted(kind, happened)
        cells = "  ".join(f"{state} {counts[state]}" for state in states)
        back = sum(counts[row.state] for row in table.rows if row.unwinding)
        lines.append(f"{table.recipe}, {kind.name}: {cells}  way back {back}")
    return lines
