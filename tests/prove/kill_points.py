"""Where a controller can die in the middle of a swap: a list made from the recipe's table, nothing by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from swap.station.sequence.recipe import QUEUED, TERMINAL, StepRow, StepTable


class Moment(StrEnum):
    """An instant inside one row of the table."""

    STORING = "command written, not committed"
    """The transaction that stores the command and its number is open."""
    STORED = "command stored, not sent"
    SENT = "command sent, nothing read back"
    RUNNING = "command running"
    READ = "result read, not committed"
    """The transaction that stores the row as done is open."""
    DONE = "done stored, not acknowledged"
    """For a row without a command: done stored, the next row not begun."""


WITH_COMMAND = tuple(Moment)
WITHOUT_COMMAND = (Moment.READ, Moment.DONE)


@dataclass(frozen=True)
class KillPoint:
    """One instant in one state; `queued` is the dispatch of the truck."""

    state: str
    moment: Moment

    def __str__(self) -> str:
        return f"{self.state}: {self.moment}"


def kill_points(table: StepTable) -> tuple[KillPoint, ...]:
    """Every instant of every row of a swap without faults, and of the dispatch before it."""
    points = [KillPoint(QUEUED, moment) for moment in WITHOUT_COMMAND]
    for row in table.forward:
        points += points_of(row)
    return tuple(points)


def way_back_points(table: StepTable, from_state: str) -> tuple[KillPoint, ...]:
    """Every instant of every row of the way back that begins in a state."""
    points: list[KillPoint] = []
    state = table.by_state[from_state].unwind_state
    while state is not None and state not in TERMINAL:
        row = table.by_state[state]
        points += points_of(row)
        state = row.next_state
    return tuple(points)


def points_of(row: StepRow) -> tuple[KillPoint, ...]:
    """Every instant of one row."""
    moments = WITH_COMMAND if row.command is not None else WITHOUT_COMMAND
    return tuple(KillPoint(row.state, moment) for moment in moments)


def chains(points: Sequence[KillPoint], kills: int) -> tuple[tuple[KillPoint, ...], ...]:
    """The points in swaps that are killed up to `kills` times each, in the order of the table, no state twice."""
    count = -(-len(points) // kills)
    return tuple(tuple(points[start::count]) for start in range(count))
