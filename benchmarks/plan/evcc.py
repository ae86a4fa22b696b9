"""Public test cases of the evcc optimizer, put to our program: one file a case, as that project keeps them.

A case asks in Wh a step and W; prices are by Wh. Its stored plan is judged and ours the same way: what goals and
demands lack, by how much the grid's limits are broken, the money of import, export and what is stored at the end.
Preferences (charging strategies) are left out: they never change the money.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scheduler.optimal.check import check
from scheduler.optimal.flows import Flows, read_flows
from scheduler.optimal.problem import ChargeProblem, EnergyStore, Goal, Site, Tier
from scheduler.optimal.solve import solve

Floats = NDArray[np.float64]
_KILO = 1000.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A plan of a case, kWh and money."""

    short_kwh: float
    """Of goals and demands, over all steps."""
    breach_kwh: float
    """Import and export above their limits."""
    money: float
    """More is better."""


def read(path: Path) -> dict[str, Any]:
    """A case file.

    Raises:
        ValueError: it is none.
    """
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict) or "request" not in found or "expected_response" not in found:
        raise ValueError(f"{path}: no case of the evcc optimizer: it needs request and expected_response")
    return found


def problem_of(request: Mapping[str, Any]) -> ChargeProblem:
    """The request as our problem."""
    series, grid = request["time_series"], request.get("grid", {})
    hours = np.array(series["dt"], dtype=np.float64) / 3600
    ends = np.cumsum(hours)
    soft = "p_max_imp" in grid
    site = Site(
        np.array(series["p_N"]) * _KILO,
        np.array(series["gt"]) / _KILO / hours,
        np.array(series["ft"]) / _KILO / hours,
        np.full(len(hours), grid["p_max_imp"] / _KILO if soft else inf),
        export_yuan_per_kwh=np.array(series["p_E"]) * _KILO,
        export_limit_kw=grid.get("p_max_exp", inf) / _KILO,
        soft_limit=soft,
    )
    stores = []
    for number, battery in enumerate(request["batteries"]):
        goals = tuple(
            Goal(float(end), kwh / _KILO, Tier.PROMISED)
            for end, kwh in zip(ends, battery.get("s_goal", ()), strict=False)
            if kwh > 0
        )
        asked = battery.get("p_demand")
        stores.append(
            EnergyStore(
                f"battery {number}",
                battery["s_initial"] / _KILO,
                battery["s_max"] / _KILO,
                battery["c_max"] / _KILO,
                least_kwh=battery["s_min"] / _KILO,
                # What is asked for stands in place of a least power: its stored plan ends below `c_min` too.
                min_charge_kw=battery["c_min"] / _KILO if asked is None else 0.0,
                discharge_kw=battery["d_max"] / _KILO,
                efficiency=request["eta_c"],
                efficiency_out=request["eta_d"],
                shared=False,
                goals=goals,
                asked_kw=None if asked is None else np.array(asked) / _KILO / hours,
                end_yuan_per_kwh=battery["p_a"] * _KILO,
                from_grid=battery.get("charge_from_grid", True),
                to_grid=battery.get("discharge_to_grid", True),
            )
        )
    return ChargeProblem(datetime(2026, 1, 1, tzinfo=UTC), hours, site, tuple(stores), steady_h=inf)


def judge(problem: ChargeProblem, charge: Floats, energy: Floats, import_kwh: Floats, export_kwh: Floats) -> Judged:
    """What a plan is worth: energies by store and step, kWh."""
    hours, site = problem.hours, problem.site
    ends = problem.ends_h
    short = 0.0
    for number, store in enumerate(problem.stores):
        for goal in store.goals:
            step = int(np.searchsorted(ends, goal.at_h - 1e-9))
            short += max(goal.kwh - float(energy[number][step]), 0.0)
        if store.asked_kw is not None:
            short += float(np.maximum(store.asked_kw * hours - charge[number], 0.0).sum())
    over = np.maximum(import_kwh - site.import_limit_kw * hours, 0.0).sum()
    over += np.maximum(export_kwh - site.export_limit_kw * hours, 0.0).sum()
    assert site.export_yuan_per_kwh is not None
    money = float(export_kwh @ site.export_yuan_per_kwh - import_kwh @ site.import_yuan_per_kwh)
    money += sum(s.end_yuan_per_kwh * float(energy[n][-1]) for n, s in enumerate(problem.stores))
    return Judged(short, float(over), money)


def stored(problem: ChargeProblem, response: Mapping[str, Any]) -> Judged:
    """The plan that the case file keeps."""

    def rows(name: str) -> Floats:
        return np.array([battery[name] for battery in response["batteries"]]) / _KILO

    overshoot = np.array(response.get("grid_import_overshoot") or 0.0)
    return judge(
        problem,
        rows("charging_power"),
        rows("state_of_charge"),
        (np.array(response["grid_import"]) + overshoot) / _KILO,
        (np.array(response["grid_export"]) + np.array(response.get("grid_export_overshoot") or 0.0)) / _KILO,
    )


def ours(problem: ChargeProblem, flows: Flows) -> Judged:
    """Our plan of it."""
    count, hours = len(problem.hours), problem.hours
    return judge(
        problem,
        flows.charge_kw.reshape(-1, count) * hours,
        flows.energy_kwh.reshape(-1, count),
        flows.import_kw * hours,
        flows.export_kw * hours,
    )


def compare(folder: Path) -> dict[str, object]:
    """Every case of a folder: no more short, no more broken, and at equal shortfall no less money."""
    rows: dict[str, object] = {}
    agree = True
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ValueError(f"{folder}: no case file (*.json)")
    for path in files:
        case = read(path)
        problem = problem_of(case["request"])
        begun = process_time()
        answer = solve(problem, wishes=False)
        took_ms = 1000 * (process_time() - begun)
        verdict = check(problem, answer)
        mine = ours(problem, read_flows(problem, answer.matrix, answer.x))
        theirs = stored(problem, case["expected_response"])
        good = verdict.good
        good &= mine.short_kwh <= theirs.short_kwh + 1e-6 + 1e-6 * theirs.short_kwh
        good &= mine.breach_kwh <= theirs.breach_kwh + 1e-6
        if abs(mine.short_kwh - theirs.short_kwh) <= 1e-4 and abs(mine.breach_kwh - theirs.breach_kwh) <= 1e-4:
            good &= mine.money >= theirs.money - 1e-5 * abs(theirs.money) - 1e-9
        agree &= good
        rows[path.stem] = (
            f"{'ok' if good else 'WORSE'}: short {mine.short_kwh:.4f} ({theirs.short_kwh:.4f}) kWh, breach "
            f"{mine.breach_kwh:.4f} ({theirs.breach_kwh:.4f}) kWh, money {mine.money:.5f} ({theirs.money:.5f}), "
            f"{answer.binaries} binaries, {took_ms:.0f} ms" + "".join(f"; {line}" for line in verdict.broken)
        )
    return rows | {"evcc_cases": len(files), "agree": agree}
