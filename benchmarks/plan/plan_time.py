"""How long a whole plan takes (arrays, both stages, check) beside a bare solve of the same arrays."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median
from time import process_time

import highspy
import numpy as np

from battery_bms.pack import PackSpec, curve_of
from battery_bms.pack.ahead import ChargeAhead
from scheduler.optimal.check import check
from scheduler.optimal.matrix import Matrix
from scheduler.optimal.problem import ChargeProblem, Site
from scheduler.optimal.slots import lengths_h, slot_starts
from scheduler.optimal.solve import solve
from scheduler.optimal.stock import PackAhead, TruckAhead, Worth, visits_of

BAYS = (8, 16, 40)


def day(bays: int, seed: int) -> ChargeProblem:
    """A day of a station with so many bays, as full as it may be: seven eighths of a swap an hour for each bay."""
    draw = np.random.default_rng(seed)
    law = ChargeAhead(curve_of(PackSpec(282.0, 240.0), 100.0), 240.0)

    def pack(name: str, kwh: float, from_h: float) -> PackAhead:
        return PackAhead(name, "lfp", kwh, 253.8, 267.9, 240.0, 0.96, law, from_h)

    begin_at = datetime(2026, 6, 1, tzinfo=UTC)
    starts = slot_starts(begin_at, 24.0)
    hours = lengths_h(starts)
    hour = np.array([at.hour for at in starts[:-1]])
    price = np.where((hour >= 9) | (hour < 1), 0.78, 0.34)
    come_h = np.sort(draw.uniform(0.0, 24.0, int(bays * 21)))
    packs = [pack(f"A{n}", float(kwh), 0.0) for n, kwh in enumerate(draw.uniform(60.0, 267.0, bays))]
    trucks = [
        TruckAhead(f"T{n}", float(at_h), ("lfp",), (pack(f"P{n}", float(kwh), float(at_h) + 0.08),))
        for n, (at_h, kwh) in enumerate(zip(come_h, draw.uniform(40.0, 120.0, len(come_h)), strict=True))
    ]
    visits = visits_of(packs, trucks, 24.0, Worth(0.6, 0.95, 5.0))
    count = len(hours)
    site = Site(price, np.full(count, 30.0), np.zeros(count), np.full(count, bays * 160.0))
    return ChargeProblem(begin_at, hours, site, visits.stores)


def bare_s(matrix: Matrix) -> float:
    """Time for the solver alone on the arrays of a plan: pass, solve, read."""
    begun = process_time()
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = matrix.columns, matrix.rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = matrix.cost, matrix.lower, matrix.upper
    lp.row_lower_, lp.row_upper_ = matrix.row_lower, matrix.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.starts, matrix.index, matrix.value
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("parallel", "off")
    solver.passModel(lp)
    solver.run()
    np.array(solver.getSolution().col_value)
    return process_time() - begun


def times(rounds: int) -> dict[str, object]:
    """Median times of whole plans and of bare solves of the same arrays, taken in turn."""
    rows: dict[str, object] = {}
    for bays in BAYS:
        whole, bare, sizes = [], [], (0, 0)
        for seed in range(rounds):
            problem = day(bays, seed)
            begun = process_time()
            answer = solve(problem)
            verdict = check(problem, answer)
            whole.append(process_time() - begun)
            if not verdict.good:
                raise AssertionError(f"{bays} bays, seed {seed}: {'; '.join(verdict.broken)}")
            bare.append(bare_s(answer.matrix))
            sizes = (answer.matrix.columns, answer.matrix.rows)
        rows[f"bays_{bays}_columns_rows"] = f"{sizes[0]} x {sizes[1]}"
        rows[f"bays_{bays}_plan_ms"] = 1000 * median(whole)
        rows[f"bays_{bays}_bare_solve_ms"] = 1000 * median(bare)
        rows[f"bays_{bays}_plan_to_bare"] = median(a / b for a, b in zip(whole, bare, strict=True))
    return rows
