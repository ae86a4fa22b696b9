"""An answer as what flows: by store and slot, and at the site's connection. Nothing here knows the program's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.optimal.matrix import Matrix, Windows
from scheduler.optimal.problem import ChargeProblem, Floats


@dataclass(frozen=True)
class Flows:
    """Powers are means over a slot; arrays "by window" follow `Windows`, those by slot the problem's slots."""

    windows: Windows
    charge_kw: Floats
    """By window, at the chargers' output."""
    discharge_kw: Floats
    """By window."""
    energy_kwh: Floats
    """By window, at the slot's end."""
    import_kw: Floats
    """By slot, before the transformer."""
    export_kw: Floats
    sun_kw: Floats
    """By slot, what is used of it or exported."""
    output_kw: Floats
    """By slot, output of all shared chargers."""
    short_kwh: Floats
    """By goal, in the order of stores and their goals."""
    unasked_kw: Floats
    """By window, what was asked for and not given."""


def read_flows(problem: ChargeProblem, matrix: Matrix, x: Floats) -> Flows:
    """The flows in the columns of an answer."""
    blocks, windows = matrix.blocks, matrix.windows
    line, slots = len(windows.store), len(problem.hours)
    discharge, unasked = np.zeros(line), np.zeros(line)
    if blocks.discharge >= 0:
        discharge[blocks.discharge_at] = x[blocks.discharge : blocks.discharge + len(blocks.discharge_at)]
    if blocks.unasked >= 0:
        unasked[blocks.unasked_at] = x[blocks.unasked : blocks.unasked + len(blocks.unasked_at)]
    charge = x[blocks.charge : blocks.charge + line]
    shared = np.array([s.shared for s in problem.stores], dtype=bool)[windows.store]
    goals = sum(len(s.goals) for s in problem.stores)

    def by_slot(first: int) -> Floats:
        return x[first : first + slots] if first >= 0 else np.zeros(slots)

    return Flows(
        windows,
        charge,
        discharge,
        x[blocks.low : blocks.low + line] + x[blocks.high : blocks.high + line],
        by_slot(blocks.grid_in) + by_slot(blocks.over),
        by_slot(blocks.grid_out),
        by_slot(blocks.sun),
        np.asarray(np.bincount(windows.slot[shared], charge[shared], minlength=slots), dtype=np.float64),
        x[blocks.short : blocks.short + goals] if goals else np.zeros(0),
        unasked,
    )
