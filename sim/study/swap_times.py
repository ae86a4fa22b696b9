"""A swap as the study sees it: how long it keeps the lane, and when packs reach and leave their bays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, sqrt
from random import Random
from typing import Final

from swap.station.sequence.recipe import StepRow, StepTable

_LOG_4: Final = log(4.0)
_SQUEEZE: Final = 1.0 + log(4.5)

RowTime = Callable[[StepRow], float]


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """When the packs move in a swap, as shares of its duration."""

    nominal_s: float
    moves: tuple[tuple[float, str, int], ...]
    """Share of the duration, "store" (a spent pack is in its bay) or "fetch" (a charged one has left), seat."""


def nominal_row_s(row: StepRow) -> float:
    """Time of one row of a recipe where nothing else is known."""
    return row.nominal_s


def swap_plan(table: StepTable, swap_s: float | None, row_s: RowTime = nominal_row_s) -> SwapPlan:
    """The moves of a recipe whose rows take `row_s`; `swap_s` stretches it to a given duration."""
    at_s = 0.0
    moves = []
    for row in table.forward:
        at_s += row_s(row)
        if row.move is not None and row.move.pack == "old" and row.move.target == "old_bay":
            moves.append((at_s, "store", row.seat))
        elif row.move is not None and row.move.pack == "new" and row.move.source == "new_bay":
            moves.append((at_s, "fetch", row.seat))
    return SwapPlan(swap_s or at_s, tuple((moved_s / at_s, what, seat) for moved_s, what, seat in moves))


def stretch_of(draw: Random, cv: float) -> float:
    """The factor on one truck's lane time: mean 1, this coefficient of variation, never below 0."""
    if cv <= 0:
        return 1.0
    shape = 1 / (cv * cv)
    if shape <= 1.0:
        return draw.gammavariate(shape, 1 / shape)
    # Cheng's method, as in the standard library, here where it can be compiled.
    random = draw.random
    spread = sqrt(2.0 * shape - 1.0)
    offset, slope = shape - _LOG_4, shape + spread
    while True:
        one = random()
        if not 1e-7 < one < 0.9999999:
            continue
        other = 1.0 - random()
        bend = log(one / (1.0 - one)) / spread
        drawn = shape * exp(bend)
        square = one * one * other
        rest = offset + slope * bend - drawn
        if rest + _SQUEEZE - 4.5 * square >= 0.0 or rest >= log(square):
            return drawn * (1 / shape)
