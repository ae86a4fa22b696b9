"""What a month's charging would have cost at best, had everything been known: one linear program.

It shares no code with the planner: only the physics of a pack. From a finished run of the study it takes every visit
of a pack to the rack (when it came, with how much, when it went, with how much) and asks for the cheapest charging that
gives each pack the same energy in the same time. So the same trucks get the same packs with the same energy, and what
stands in the rack at the end is the same too. Every constraint is a relaxation of the truth (a mean over a quarter of
an hour for each power, tangents for the taper), so no charging whatever can cost less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

from battery_bms.pack.charge import Curve

Floats = NDArray[np.float64]
SLOT_H = 0.25


@dataclass(frozen=True, slots=True)
class Visit:
    """One pack in the rack, from its set-down to its handing out. Hours from the start of the count."""

    from_h: float
    until_h: float
    from_kwh: float
    until_kwh: float
    curve: Curve
    charge_kw: float


@dataclass(frozen=True, slots=True)
class Grid:
    """The site, by slot of `SLOT_H`."""

    price_yuan_per_kwh: Floats
    base_kw: Floats
    limit_kw: Floats
    efficiency: float
    """Output of the chargers ÷ their input."""
    chargers_kw: float
    """All modules together."""


@dataclass(frozen=True)
class Least:
    """The cheapest charging."""

    yuan: float
    import_kw: Floats
    """Mean of each slot."""


def least_yuan(visits: Sequence[Visit], grid: Grid) -> float:
    """The least that importing for these visits and the base load could have cost, yuan.

    Raises:
        ArithmeticError: as of `least`.
    """
    return least(visits, grid).yuan


def least(visits: Sequence[Visit], grid: Grid) -> Least:
    """The cheapest charging for these visits.

    Raises:
        ArithmeticError: the program has no optimum; the run it was taken from broke a limit.
    """
    slots = len(grid.price_yuan_per_kwh)
    edges = np.arange(slots + 1) * SLOT_H
    from_h, until_h = np.array([v.from_h for v in visits]), np.array([v.until_h for v in visits])
    first = np.minimum((from_h / SLOT_H).astype(int), slots - 1)
    last = np.clip(np.ceil(until_h / SLOT_H - 1e-9).astype(int) - 1, first, slots - 1)
    count = last - first + 1
    begin = np.cumsum(count) - count
    total = int(count.sum())
    visit = np.repeat(np.arange(len(visits)), count)
    slot = np.arange(total) - np.repeat(begin - first, count)
    overlap = np.clip(np.minimum(until_h[visit], edges[slot + 1]) - np.maximum(from_h[visit], edges[slot]), 0.0, None)

    def each(values: Sequence[float]) -> Floats:
        return np.array(values, dtype=np.float64)[visit]

    power = each([min(v.charge_kw, v.curve.max_kw) for v in visits])
    stored = each([v.curve.efficiency for v in visits])
    decay_per_h = each([v.curve.decay_per_s * 3600 for v in visits])
    end_kwh = each([v.curve.taper_from_kwh + v.curve.max_kw / v.curve.slope for v in visits])
    gain = np.arange(total)  # columns: energy gained in each slot of a visit, its energy before the slot, import
    before, bought = total + gain, 2 * total + np.arange(slots)
    share = -np.expm1(-decay_per_h * overlap)
    later = np.ones(total, dtype=bool)
    later[begin] = False
    chained = np.flatnonzero(later)
    ends = begin + count - 1
    until_kwh = np.array([v.until_kwh for v in visits])
    entries: list[tuple[NDArray[Any], NDArray[Any], Floats | float]] = [
        # energy before a slot = energy before the last + gained there
        (np.arange(len(chained)), before[chained], 1.0),
        (np.arange(len(chained)), before[chained - 1], -1.0),
        (np.arange(len(chained)), gain[chained - 1], -1.0),
        # the last slot ends with what was handed out
        (len(chained) + np.arange(len(visits)), before[ends], 1.0),
        (len(chained) + np.arange(len(visits)), gain[ends], 1.0),
    ]
    rows = len(chained) + len(visits)
    low, high = [np.zeros(len(chained)), until_kwh], [np.zeros(len(chained)), until_kwh]
    entries += [(rows + gain, gain, 1.0), (rows + gain, before, share)]
    low.append(np.full(total, -highspy.kHighsInf))
    high.append(end_kwh * share)
    rows += total
    drawn = 1.0 / (stored * SLOT_H)
    entries += [(rows + slot, gain, -drawn / grid.efficiency), (rows + np.arange(slots), bought, 1.0)]
    low.append(grid.base_kw)
    high.append(np.full(slots, highspy.kHighsInf))
    rows += slots
    entries.append((rows + slot, gain, drawn))
    low.append(np.full(slots, -highspy.kHighsInf))
    high.append(np.full(slots, grid.chargers_kw))
    rows += slots

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = 2 * total + slots, rows
    lp.col_cost_ = np.concatenate([np.zeros(2 * total), grid.price_yuan_per_kwh * SLOT_H])
    starts = np.array([v.from_kwh for v in visits])
    fixed = np.where(later, 0.0, starts[visit])
    lp.col_lower_ = np.concatenate([np.zeros(total), fixed, np.zeros(slots)])
    lp.col_upper_ = np.concatenate(
        [power * stored * overlap, np.where(later, highspy.kHighsInf, fixed), np.maximum(grid.limit_kw, grid.base_kw)]
    )
    lp.row_lower_, lp.row_upper_ = np.concatenate(low), np.concatenate(high)
    row = np.concatenate([np.asarray(e[0]) for e in entries])
    column = np.concatenate([np.asarray(e[1]) for e in entries])
    value = np.concatenate([np.broadcast_to(np.asarray(e[2], dtype=np.float64), np.shape(e[0])) for e in entries])
    order = np.argsort(row, kind="stable")
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.int32)
    lp.a_matrix_.index_, lp.a_matrix_.value_ = column[order].astype(np.int32), value[order]
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("parallel", "off")
    solver.passModel(lp)
    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError(f"the bound is {solver.modelStatusToString(status)}: the run broke a limit it stands on")
    x = np.array(solver.getSolution().col_value)
    return Least(float(solver.getInfo().objective_function_value), x[2 * total :])
