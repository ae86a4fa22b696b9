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
from itertools import pairwise
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

    starts = np.array([v.from_kwh for v in visits])
    fixed = np.where(later, 0.0, starts[visit])
    yuan, x = _solved(
        np.concatenate([np.zeros(2 * total), grid.price_yuan_per_kwh * SLOT_H]),
        np.concatenate([np.zeros(total), fixed, np.zeros(slots)]),
        np.concatenate(
            [
                power * stored * overlap,
                np.where(later, highspy.kHighsInf, fixed),
                np.maximum(grid.limit_kw, grid.base_kw),
            ]
        ),
        np.concatenate(low),
        np.concatenate(high),
        entries,
    )
    return Least(yuan, x[2 * total :])


def _solved(
    cost: Floats,
    lower: Floats,
    upper: Floats,
    row_lower: Floats,
    row_upper: Floats,
    entries: Sequence[tuple[NDArray[Any], NDArray[Any], Floats | float]],
) -> tuple[float, Floats]:
    """The least cost and its columns, from entries by row, column and value. Raises ArithmeticError."""
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(cost), len(row_lower)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
    lp.row_lower_, lp.row_upper_ = row_lower, row_upper
    row = np.concatenate([np.asarray(e[0]) for e in entries])
    column = np.concatenate([np.asarray(e[1]) for e in entries])
    value = np.concatenate([np.broadcast_to(np.asarray(e[2], dtype=np.float64), np.shape(e[0])) for e in entries])
    order = np.argsort(row, kind="stable")
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(row_lower)))]).astype(np.int32)
    lp.a_matrix_.index_, lp.a_matrix_.value_ = column[order].astype(np.int32), value[order]
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("parallel", "off")
    solver.passModel(lp)
    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError(f"the bound is {solver.modelStatusToString(status)}: the run broke a limit it stands on")
    return float(solver.getInfo().objective_function_value), np.array(solver.getSolution().col_value)


def least_free(visits: Sequence[Visit], grid: Grid, kept_kwh: Floats | None = None) -> float:
    """The least that it could have cost had any pack been given to any truck, yuan.

    The rack is one pool: at each swap the same energy goes out and comes in at the same instants, and at the end the
    same is left. Of single packs remains what no exchange of packs can change: how many stand there at each instant,
    and that a pack handed out soon was charged before, at no more than its own power.

    Args:
        kept_kwh: stock that is to stand in the rack at the begin of each slot, as far as it can, as energy above that
            of packs as empty as any that ever came; None: none.

    Raises:
        ArithmeticError: as of `least`.
    """
    slots = len(grid.price_yuan_per_kwh)
    edges = np.arange(slots + 1) * SLOT_H
    from_h, until_h = np.array([v.from_h for v in visits]), np.array([v.until_h for v in visits])
    from_kwh, until_kwh = np.array([v.from_kwh for v in visits]), np.array([v.until_kwh for v in visits])
    came = np.array([from_kwh[from_h <= at].sum() for at in edges])
    gone = np.array([until_kwh[until_h <= at].sum() for at in edges])
    there = np.array([int(np.sum((from_h <= at) & (until_h > at))) for at in edges])
    spans = list(pairwise(edges))
    stays_h = np.array([np.clip(np.minimum(until_h, b) - np.maximum(from_h, a), 0, None).sum() for a, b in spans])
    curves = [v.curve for v in visits]
    stored = max(curve.efficiency for curve in curves)
    pack_kw = stored * max(min(v.charge_kw, v.curve.max_kw) for v in visits)
    end_kwh = max(curve.taper_from_kwh + curve.max_kw / curve.slope for curve in curves)
    share = max(-np.expm1(-curve.decay_per_s * 3600 * SLOT_H) for curve in curves)
    least = np.array([_needed_kwh(at, from_h, from_kwh, until_h, until_kwh, pack_kw) for at in edges])
    stock = np.zeros(slots)  # at the end of each slot, and no more than packs can hold
    if kept_kwh is not None:
        stock[:-1] = np.minimum(there[1:-1] * from_kwh.min() + kept_kwh[1:], there[1:-1] * until_kwh.max())
    in_slots = np.arange(slots)
    # columns: gained in a slot, held at its end, import, what lacks of the stock
    gain, held, bought, short = in_slots, slots + in_slots, 2 * slots + in_slots, 3 * slots + in_slots
    first = came[0] - gone[0]
    flow = np.diff(came) - np.diff(gone)
    flow[0] += first
    drawn = 1.0 / (stored * SLOT_H)
    entering = np.array([int(np.sum((from_h > a) & (from_h < b))) for a, b in spans])
    brought = np.array([from_kwh[(from_h > a) & (from_h < b)].sum() for a, b in spans])
    # Packs in their taper: gained <= share x (full - held at the begin), over all that stand there in the slot.
    most_taper = share * ((there[:-1] + entering) * end_kwh - brought)
    most_taper[0] -= share * first
    entries: list[tuple[NDArray[Any], NDArray[Any], Floats | float]] = [
        (in_slots, held, 1.0),
        (in_slots[1:], held[:-1], -1.0),
        (in_slots, gain, -1.0),
        (slots + in_slots, gain, 1.0),
        (slots + in_slots[1:], held[:-1], share),
        (2 * slots + in_slots, bought, 1.0),
        (2 * slots + in_slots, gain, -drawn / grid.efficiency),
        (3 * slots + in_slots, held, 1.0),
        (3 * slots + in_slots, short, 1.0),
    ]
    infinite = np.full(slots, highspy.kHighsInf)
    price = grid.price_yuan_per_kwh * SLOT_H
    _, x = _solved(
        np.concatenate([np.zeros(2 * slots), price, np.full(slots, _SHORT * float(np.abs(price).max()))]),
        np.concatenate([np.zeros(slots), least[1:], np.zeros(2 * slots)]),
        np.concatenate(
            [
                np.minimum(pack_kw * stays_h, grid.chargers_kw / drawn),
                np.maximum(there[1:] * until_kwh.max(), least[1:]),
                np.maximum(grid.limit_kw, grid.base_kw),
                np.maximum(stock, 0.0),
            ]
        ),
        np.concatenate([flow, -infinite, grid.base_kw, stock]),
        np.concatenate([flow, most_taper, infinite, infinite]),
        entries,
    )
    return float(price @ x[bought])


_SHORT = 100.0
"""What lacks of a stock counts as so many times the highest price: nothing is saved by keeping less than can be."""


def _needed_kwh(
    at_h: float, from_h: Floats, from_kwh: Floats, until_h: Floats, until_kwh: Floats, pack_kw: float
) -> float:
    """What the packs that stand there hold at least, whoever gets which: none is below the emptiest that ever came, and
    what goes so soon that no pack that comes later could be charged for it stands there already."""
    number = int(np.sum((from_h <= at_h) & (until_h > at_h)))
    if number == 0:
        return 0.0
    later = from_kwh[from_h > at_h]
    fullest = float(later.max()) if len(later) else 0.0
    soon = until_kwh[until_h > at_h] - pack_kw * (until_h[until_h > at_h] - at_h)
    soon = np.sort(soon[soon > fullest])[::-1][:number]
    emptiest = float(from_kwh.min())
    return float(np.maximum(soon, emptiest).sum() + (number - len(soon)) * emptiest)
