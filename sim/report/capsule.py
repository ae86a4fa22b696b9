"""A study or a search in one file: what was asked, all that it was asked of, what ran it, and what came out.

A capsule needs nothing beside it: scenario with its station merged in, recipe, tariff periods, recorded arrivals and
lease contracts are inside. `rerun` runs it again. On the same program, Python, NumPy and kind of processor every number
must come out the same to the last bit; elsewhere to `WITHIN`, because exp and log differ in the last digit between
machines.
"""

from __future__ import annotations

import base64
import json
import math
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pydantic import Field, ValidationError

from scheduler.sections import Section
from scheduler.tariff_files import profile_path
from sim.report.results import size_values, study_values
from sim.scenario.contracts import problems_of
from sim.scenario.file import Scenario
from sim.scenario.load import cross_check
from sim.sizing.answer import find_size, pack_table
from sim.sizing.search import effort_for
from sim.study.parallel import Workers, versions
from sim.study.study import StudyResult, run_study
from swap.station.sequence.recipe import recipe_path

FORM = 1
"""Number of this form of file."""
WITHIN = 1e-9
"""Largest relative difference on another program or machine."""
_RECIPE, _TARIFF, _TRACE = "recipe.toml", "tariff.toml", "arrivals.csv"
_CONTRACT = re.compile(r"contract[0-9]{1,2}\.toml")


class CapsuleError(Exception):
    """A file is no capsule that can be run again."""


class Asked(Section):
    """What was asked of the study."""

    command: Literal["simulate"] = "simulate"
    days: float
    warmup_days: float
    replications: int
    seed: int


class AskedSize(Section):
    """What was asked of the search."""

    command: Literal["size"] = "size"
    days: float | None
    """Days on end in place of the year's weeks."""
    quick: bool
    packs_only: bool
    seed: int


class Capsule(Section):
    """The content of a file."""

    capsule: Literal[1]
    made_at: datetime
    made_with: Mapping[str, str]
    """Versions by name, and the machine."""
    asked: Asked | AskedSize = Field(discriminator="command")
    scenario: dict[str, Any]
    files: Mapping[str, str]
    """What lies beside the scenario, by name, Base64."""
    results: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Deviation:
    """One value that came out otherwise."""

    path: str
    then: object
    now: object


def made_with() -> dict[str, str]:
    """What a result may depend on beside the capsule."""
    return versions() | {"machine": f"{platform.system()} {platform.machine()}"}


def sealed(result: StudyResult, at: datetime) -> Capsule:
    """The capsule of a study that has just been run, at an aware instant."""
    asked = Asked(days=result.days, warmup_days=result.warmup_days, replications=len(result.runs), seed=result.seed)
    return _capsule(result.scenario, asked, study_values(result), at)


def sealed_size(scenario: Scenario, asked: AskedSize, values: dict[str, Any], at: datetime) -> Capsule:
    """The capsule of a search that has just come to its end; `values` are its `size_values`."""
    return _capsule(scenario, asked, values, at)


def _capsule(scenario: Scenario, asked: Asked | AskedSize, values: dict[str, Any], at: datetime) -> Capsule:
    folder = Path(scenario.folder)
    files = {
        _RECIPE: recipe_path(scenario.equipment.recipe, folder).read_bytes(),
        _TARIFF: profile_path(scenario.tariff.profile, folder).read_bytes(),
    }
    data = scenario.model_dump(mode="json", exclude={"station", "folder"})
    data["equipment"]["recipe"], data["tariff"]["profile"] = _RECIPE, _TARIFF
    if scenario.demand.mode == "trace":
        files[_TRACE] = (folder / str(scenario.demand.trace)).read_bytes()
        data["demand"]["trace"] = _TRACE
    if scenario.revenue is not None:
        contracts = {f"contract{n}.toml": name for n, name in enumerate(scenario.revenue.contracts, start=1)}
        files |= {inside: (folder / name).read_bytes() for inside, name in contracts.items()}
        data["revenue"]["contracts"] = list(contracts)
    return Capsule(
        capsule=FORM,
        made_at=at,
        made_with=made_with(),
        asked=asked,
        scenario=data,
        files={name: base64.b64encode(content).decode("ascii") for name, content in files.items()},
        results=_plain(values),
    )


def write_capsule(capsule: Capsule, path: Path) -> None:
    """Write the file. Raises OSError."""
    path.write_text(json.dumps(capsule.model_dump(mode="json"), ensure_ascii=False, indent=1), encoding="utf-8")


def read_capsule(path: Path) -> Capsule:
    """Read a file.

    Raises:
        CapsuleError: it is missing, no JSON, or no capsule.
    """
    try:
        return Capsule.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CapsuleError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CapsuleError(f"{path}: is no capsule: it is not UTF-8") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise CapsuleError(f"{path}: is no capsule: {where}: {first['msg']}") from error


def rerun(capsule: Capsule, pool: Workers, on_done: Callable[[int, int], None] | None = None) -> list[Deviation]:
    """Run a capsule again; every value that came out otherwise.

    Raises:
        CapsuleError: its scenario is not valid for this program.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in capsule.files.items():
            if file not in (_RECIPE, _TARIFF, _TRACE) and not _CONTRACT.fullmatch(file):
                raise CapsuleError(f"files.{file}: allowed are {_RECIPE}, {_TARIFF}, {_TRACE}, contract1.toml …")
            (folder / file).write_bytes(base64.b64decode(content))
        try:
            scenario = Scenario.model_validate(capsule.scenario | {"folder": str(folder)})
        except ValidationError as error:
            raise CapsuleError(f"scenario: {error.error_count()} problem(s); the first: {error.errors()[0]}") from error
        problems = cross_check(scenario) or problems_of(scenario)
        if problems:
            raise CapsuleError(f"scenario: {'; '.join(problems)}")
        now = _plain(_values(scenario, capsule.asked, pool, on_done))
    within = 0.0 if is_same_machine(capsule) else WITHIN
    then = dict(capsule.results)
    for values in (then, now):
        values.pop("notes", None)  # how the warm-up was found; the rerun is told it
    return list(_differences("", then, now, within))


def _values(
    scenario: Scenario, asked: Asked | AskedSize, pool: Workers, on_done: Callable[[int, int], None] | None
) -> dict[str, Any]:
    """What is asked, once more."""
    if isinstance(asked, Asked):
        result = run_study(
            scenario,
            pool,
            replications=asked.replications,
            days=asked.days,
            warmup_days=asked.warmup_days,
            seed=asked.seed,
            on_done=on_done,
        )
        return study_values(result)
    effort = effort_for(scenario, asked.days, quick=asked.quick)
    table = pack_table(scenario, pool, effort, seed=asked.seed)
    if asked.packs_only:
        return size_values(table, None)

    def on_progress(share: float) -> None:
        if on_done is not None:
            on_done(round(100 * share), 100)

    found = find_size(scenario, pool, effort, seed=asked.seed, on_progress=on_progress)
    if found.stopped:
        raise KeyboardInterrupt
    return size_values(table, found)


def is_same_machine(capsule: Capsule) -> bool:
    """Whether program, versions and kind of processor are those that made it."""
    return dict(capsule.made_with) == made_with()


def _differences(path: str, then: object, now: object, within: float) -> Iterator[Deviation]:
    if isinstance(then, dict) and isinstance(now, dict):
        for name in sorted({*then, *now}):
            yield from _differences(f"{path}.{name}" if path else name, then.get(name), now.get(name), within)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, pair in enumerate(zip(then, now, strict=True)):
            yield from _differences(f"{path}.{number}", *pair, within)
    elif isinstance(then, int | float) and isinstance(now, int | float) and not isinstance(then, bool):
        if not math.isclose(then, now, rel_tol=within, abs_tol=within):
            yield Deviation(path, then, now)
    elif then != now:
        yield Deviation(path, then, now)


def _plain(values: Any) -> Any:
    """As JSON holds them: what is not finite is nothing."""
    if isinstance(values, dict):
        return {name: _plain(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
