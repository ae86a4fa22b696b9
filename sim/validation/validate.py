"""Checks the study engine against exact values of queueing theory: a case file in, a verdict out.

The file's format is that of `tests/vectors/queueing_cases.json`: cases with a model, parameters and exact
values. Each case is simulated by independent replications on the study engine; each value is compared with
the exact one in standard errors. A case that names an unknown model or value fails, it is never passed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

from sim.study.parallel import Workers
from sim.study.stats import Estimate, estimate, quantile_estimate, ratio_estimate, t_quantile, variance_estimate
from sim.validation.counted_racks import FixedPowerRack
from sim.validation.flow import Truck
from sim.validation.models import Length, Sample, build, run

SEED = 20_260_101


class CaseFileError(Exception):
    """The case file cannot be used."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the file."""

    id: str
    model: str
    parameters: Mapping[str, Any]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CaseCheck:
    """One value compared."""

    case: str
    value: str
    exact: float
    simulated: float
    half_width: float
    """Of the 95 % interval; 0 where the comparison is exact."""
    deviation: float
    """(simulated - exact) in standard errors; 0 or inf where the comparison is exact."""
    passed: bool


@dataclass(frozen=True, slots=True)
class Validation:
    """All checks of a file."""

    cases: int
    checks: tuple[CaseCheck, ...]
    limit: float
    trucks: int

    @property
    def passed(self) -> bool:
        """Every value agrees."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def cases_passed(self) -> int:
        """Cases of which every value agrees."""
        failed = {check.case for check in self.checks if not check.passed}
        return self.cases - len(failed)


@dataclass(frozen=True, slots=True)
class _Task:
    """Some replications of one case; `part` tells runs of a case with different parameters apart."""

    case: str
    part: str
    model: str
    parameters: Mapping[str, Any]
    first: int
    count: int
    length: Length
    seed: int
    keep_waits: bool


@dataclass(frozen=True, slots=True)
class _Effort:
    """How much is simulated."""

    replications: int
    trucks: int
    """Per replication, after the warm-up."""
    warmup_h: float
    batch_h: float
    """Length of a batch for variance constants: long against the hours over which waits depend on each other."""
    batches: int


MOST_SAMPLED = 16
"""How many times as often as planned a number near the wanted share is sampled."""
_SMALLEST = "smallest_number_of_batteries"

FULL = _Effort(replications=40, trucks=5000, warmup_h=150, batch_h=600, batches=12)
QUICK = _Effort(replications=20, trucks=1200, warmup_h=80, batch_h=200, batches=4)


def load_cases(path: Path) -> list[Case]:
    """Cases of a file. Raises CaseFileError when it is missing, no JSON, or a case lacks a field."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return [Case(c["id"], c["model"], c["parameters"], c["values"]) for c in data["cases"]]
    except OSError as error:
        raise CaseFileError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CaseFileError(f"{path} is no case file: {type(error).__name__} {error}") from error


def validate(
    cases: Sequence[Case],
    pool: Workers,
    *,
    quick: bool = False,
    limit: float = 4.0,
    seed: int = SEED,
    on_done: Callable[[int, int], None] | None = None,
) -> Validation:
    """Simulate every case and compare; `limit` is the largest deviation allowed, in standard errors that are known
    exactly; more where few replications tell them."""
    effort = QUICK if quick else FULL
    checks: list[CaseCheck] = []
    tasks: list[_Task] = []
    for case in cases:
        try:
            build(case.model, _part_parameters(case)[0][1], seed, 0)
        except (KeyError, TypeError) as error:
            checks.append(CaseCheck(case.id, f"cannot be built: {error}", math.nan, math.nan, 0, math.inf, False))
            continue
        if case.model == "hand_trace":
            checks += _hand_trace(case, seed)
        else:
            tasks += _tasks(case, effort, seed)
    total = len(tasks)
    done = pool.map(_work, tasks, None if on_done is None else lambda count: on_done(count, total))
    found: dict[str, dict[str, list[list[Sample]]]] = {}
    trucks = 0
    for task, replications in zip(tasks, done, strict=True):
        found.setdefault(task.case, {}).setdefault(task.part, []).extend(replications)
        trucks += _trucks_of(replications)
    for case in cases:
        if case.id in found:
            checks += _compare(case, found[case.id], limit)
    for case in cases:
        if case.id in found and _SMALLEST in case.values:
            trucks += _decide(case, found[case.id], [task for task in tasks if task.case == case.id], pool, limit)
            checks.append(_smallest(case, found[case.id], limit))
    order = {case.id: number for number, case in enumerate(cases)}
    checks.sort(key=lambda check: order[check.case])
    return Validation(len(cases), tuple(checks), limit, trucks)


def _part_parameters(case: Case) -> list[tuple[str, Mapping[str, Any]]]:
    """The runs a case needs: one, or one for each number of batteries of a sizing."""
    p = case.parameters
    if case.model == "sizing":
        numbers = range(p["batteries_from"], p["batteries_to"] + 1)
        return [(str(number), {**p, "batteries": number}) for number in numbers]
    return [("", p)]


def _per_hour(p: Mapping[str, Any]) -> float:
    if "trucks_per_hour_by_hour" in p:
        return float(sum(p["trucks_per_hour_by_hour"])) / 24
    if "trucks" in p:
        return float(p["trucks"]) / float(p["mean_hours_away"])
    rates = [p.get(name, 0.0) for name in ("trucks_per_hour", "class1_per_hour", "class2_per_hour")]
    return float(sum(rates) + 2.7 * p.get("convoys_per_hour", 0.0))


def _tasks(case: Case, effort: _Effort, seed: int) -> Iterator[_Task]:
    keep = any(name.startswith(("p95_", "p99_")) for name in case.values)
    if case.model == "start_up":
        # The first hours cost little and are rare to be empty: many short runs, fewer long ones.
        share = effort.trucks * effort.replications
        rate = _per_hour(case.parameters)
        counts = [("short", int(share / 2 / (2.2 * rate)), 2.2), ("long", int(share / 2 / (24.1 * rate)), 24.1)]
        first = 0
        for part, count, hours in counts:
            for start in range(first, first + count, 500):
                size = min(500, first + count - start)
                length = Length(0.0, hours, 1)
                yield _Task(case.id, part, case.model, case.parameters, start, size, length, seed, False)
            first += count
        return
    hours = effort.trucks / _per_hour(case.parameters)
    parts = _part_parameters(case)
    if len(parts) > 1:
        hours /= 3
    batches = 1
    if any(name.startswith("variance_constant") for name in case.values):
        hours = max(hours, effort.batches * effort.batch_h)
        batches = round(hours / effort.batch_h)
    warmup_h = effort.warmup_h
    if "trucks_per_hour_by_hour" in case.parameters:
        hours, warmup_h = 24.0 * math.ceil(hours / 24), 24.0 * math.ceil(warmup_h / 24)
    if "mean_repair_hours" in case.parameters:
        # Chargers up or down keep for repair times: runs must be long against those.
        hours = max(hours, 100 * case.parameters["mean_repair_hours"])
    length = Length(warmup_h, hours / batches, batches)
    for part, parameters in parts:
        for first in range(0, effort.replications, 5):
            count = min(5, effort.replications - first)
            yield _Task(case.id, part, case.model, parameters, first, count, length, seed, keep)


def _work(task: _Task) -> list[list[Sample]]:
    found = []
    for replication in range(task.first, task.first + task.count):
        samples = run(task.model, task.parameters, task.seed, replication, task.length)
        if not task.keep_waits:
            for sample in samples:
                sample.waits_s = None
        found.append(samples)
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _compare(case: Case, parts: Mapping[str, list[list[Sample]]], limit: float) -> Iterator[CaseCheck]:
    for name, exact in _flat(case.values):
        if name == _SMALLEST:
            continue
        where, short = next(iter(parts)), name
        if case.model == "sizing":
            short, _, where = name.partition(".")
        groups = [parts[where]] if case.model == "sizing" else list(parts.values())
        replications = [batches for group in groups for batches in group]
        try:
            found = _estimate(short, replications, exact)
        except KeyError:
            yield CaseCheck(case.id, f"{name} (not known)", float(exact), math.nan, 0, math.inf, False)
            continue
        gap = found.mean - exact
        # Equal to the digits of the file is no deviation, however small the spread.
        close = abs(gap) <= 1e-9 * max(1.0, abs(exact))
        deviation = 0.0 if close else (gap / found.standard_error if found.standard_error > 0 else math.inf)
        passed = abs(deviation) <= _allowed(limit, found.count)
        yield CaseCheck(case.id, name, float(exact), found.mean, found.half_width, deviation, passed)


@lru_cache
def _allowed(limit: float, count: int) -> float:
    """The deviation that is as rare with so few values as one of `limit` is where the standard error is known.

    A standard error of 20 values is itself uncertain: beyond four of them lies one right value in 1 300 (Student's t),
    beyond four known ones one in 16 000.
    """
    rare = 1 - NormalDist().cdf(limit)
    return limit if count < 3 or rare < 1e-12 else t_quantile(1 - rare, count - 1)


def _estimate(name: str, replications: list[list[Sample]], exact: float) -> Estimate:
    """The estimate of a value by its name. Raises KeyError for a name no sample has."""
    if name.startswith(("p95_wait", "p99_wait")):
        sections = [[w for s in batches for w in s.waits_s] for batches in replications]
        found = quantile_estimate(sections, int(name[1:3]) / 100)
        return Estimate(found.mean / 60, found.standard_error / 60, found.count)
    if name.startswith("variance_constant"):
        mean = {"variance_constant_waiting_trucks_h": "mean_waiting_trucks"}.get(name, "mean_charged")
        every = [s for batches in replications for s in batches]
        found = variance_estimate([s.means[mean] for s in every])
        hours = every[0].hours
        return Estimate(found.mean * hours, found.standard_error * hours, found.count)
    if name in replications[0][0].ratios:
        pairs = [[s.ratios[name] for s in batches] for batches in replications]
        return ratio_estimate([sum(a for a, _ in row) for row in pairs], [sum(b for _, b in row) for row in pairs])
    values = [
        sum(s.means[name] for s in batches) / len(batches) for batches in replications if name in batches[0].means
    ]
    if not values:
        raise KeyError(name)
    found = estimate(values)
    if name.startswith("p_") and set(values) <= {0.0, 1.0}:
        # Yes or no, once a replication: a rare yes may not have been seen, so use the spread it should have.
        error = math.sqrt(exact * (1 - exact) / len(values))
        return Estimate(found.mean, max(found.standard_error, error), found.count)
    return found


def _trucks_of(replications: list[list[Sample]]) -> int:
    return int(sum(sample.ratios["p_wait"][1] for batches in replications for sample in batches))


def _verdicts(case: Case, parts: Mapping[str, list[list[Sample]]], limit: float) -> dict[int, bool | None]:
    """Whether each number of batteries serves the wanted share, as far as that is certain."""
    target = case.parameters["target"]
    found: dict[int, bool | None] = {}
    for number, replications in sorted((int(part), runs) for part, runs in parts.items()):
        share = _estimate("share_within_limit", replications, target)
        certain = abs(share.mean - target) > _allowed(limit, share.count) * share.standard_error
        found[number] = share.mean >= target if certain else None
    return found


def _possible(verdicts: Mapping[int, bool | None]) -> list[int | None]:
    """Which may be the smallest number that serves the wanted share; None: that none does."""
    found: list[int | None] = []
    for number, verdict in verdicts.items():
        if verdict is not False:
            found.append(number)
        if verdict:
            return found
    return [*found, None]


def _decide(
    case: Case, parts: dict[str, list[list[Sample]]], tasks: Sequence[_Task], pool: Workers, limit: float
) -> int:
    """Sample the numbers that may be the smallest, twice as often each time, until one is; gives the trucks it took.

    At most `MOST_SAMPLED` times as often as all others: a share that equals the target to that many digits stays open.
    """
    first = {task.part: task for task in tasks if task.first == 0}
    planned = {part: len(runs) for part, runs in parts.items()}
    trucks = 0
    while len(possible := _possible(_verdicts(case, parts, limit))) > 1:
        short = [str(n) for n in possible if n is not None and len(parts[str(n)]) < MOST_SAMPLED * planned[str(n)]]
        if not short:
            break
        more = [
            replace(first[part], first=start, count=5)
            for part in short
            for start in range(len(parts[part]), 2 * len(parts[part]), 5)
        ]
        for task, replications in zip(more, pool.map(_work, more), strict=True):
            parts[task.part].extend(replications)
            trucks += _trucks_of(replications)
    return trucks


def _smallest(case: Case, parts: Mapping[str, list[list[Sample]]], limit: float) -> CaseCheck:
    """The smallest number that serves the wanted share, held against the exact one; right too where it stays open
    between several of which the exact one is one."""
    exact: int | None = case.values[_SMALLEST]
    possible = _possible(_verdicts(case, parts, limit))
    said = exact if exact is not None else "none"
    name = f"{_SMALLEST} {said}"
    if len(possible) > 1:
        name += f" (open between {', '.join(str(n) for n in possible)})"
    found = exact if exact in possible else possible[0]
    same = exact in possible
    as_float = [math.nan if value is None else float(value) for value in (exact, found)]
    return CaseCheck(case.id, name, as_float[0], as_float[1], 0.0, 0.0 if same else math.inf, same)


def _hand_trace(case: Case, seed: int) -> Iterator[CaseCheck]:
    """Truck by truck, to the second."""
    station = build(case.model, case.parameters, seed, 0)
    station.time.run_until(1e9)
    swapped: list[Truck] = station.flow.trace or []
    assert isinstance(station.rack, FixedPowerRack)
    ends = station.rack.calendar or []
    rows = []
    for number, (truck, (start, end)) in enumerate(zip(swapped, ends, strict=True), start=1):
        rows.append(
            {
                "truck": number,
                "arrival": truck.at_s / 60,
                "swap_start": truck.start_s / 60,
                "wait": (truck.start_s - truck.at_s) / 60,
                "swap_end": (truck.start_s + truck.swap_s) / 60,
                "charge_start": start / 60,
                "charge_end": end / 60,
            }
        )
    waits = [row["wait"] for row in rows]
    summary: dict[str, float] = {
        "mean_wait_min": sum(waits) / len(waits),
        "max_wait_min": max(waits),
        "trucks_waiting": float(sum(wait > 0 for wait in waits)),
        "last_charge_end": max(row["charge_end"] for row in rows),
    }
    for name, exact in case.values.items():
        if name == "trucks":
            for want, got in zip(exact, rows, strict=False):
                for key, value in want.items():
                    yield _exact(case.id, f"truck {want['truck']} {key}", value, got.get(key, math.nan))
            yield _exact(case.id, "number of trucks", len(exact), len(rows))
        else:
            yield _exact(case.id, name, exact, summary.get(name, math.nan))


def _exact(case: str, name: str, exact: float, got: float) -> CaseCheck:
    same = abs(got - exact) <= 1e-6
    return CaseCheck(case, name, float(exact), got, 0.0, 0.0 if same else math.inf, same)
