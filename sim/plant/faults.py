"""Faults that can be put into the plant, as one table: what `swap devices --fault list` prints.

Each fault has a name, what it is put into (a lane, bay, pack, truck or Modbus endpoint), and arguments with
defaults. Some rows are no faults but what a person at the cell does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from robotics.faults import FaultSource, load_faults
from scheduler.sections import Section
from sim.plant.fault_acts import ACTS, Acts
from sim.plant.rack import PlantError

_FILE = Path(__file__).with_suffix(".toml")


class Argument(Section):
    """One argument of a fault; its type is that of the default."""

    default: bool | int | float | str
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class FaultText(Section):
    """What a fault is put into, and what it is called."""

    target: Literal["lane", "bay", "pack", "vehicle", "endpoint", "site"]
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    same_as: tuple[str, ...] = ()
    """Names of the fault catalogue that this brings about; they may be used instead."""
    arguments: dict[str, Argument] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One fault that can be injected."""

    name: str
    text: FaultText
    acts: Acts

    @property
    def usage(self) -> str:
        """How to write it on the command line: `name:ID[,argument=value…]`."""
        extra = "".join(f",{name}={argument.default}" for name, argument in self.text.arguments.items())
        return f"{self.name}:{self.text.target.upper()}{extra}"


@cache
def catalogue() -> Mapping[str, FaultSpec]:
    """Every fault by name."""
    texts = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    if texts.keys() != ACTS.keys():
        raise ValueError(f"{_FILE.name} and plant_fault_acts.py differ in {sorted(texts.keys() ^ ACTS.keys())}")
    return MappingProxyType(
        {name: FaultSpec(name, FaultText.model_validate(text), ACTS[name]) for name, text in texts.items()}
    )


@cache
def _by_catalogue_name() -> Mapping[str, FaultSpec]:
    return MappingProxyType({name: spec for spec in catalogue().values() for name in spec.text.same_as})


def find_fault(name: str, arguments: Mapping[str, Any]) -> tuple[FaultSpec, dict[str, Any]]:
    """What a name stands for, with its arguments.

    A name of the station's fault catalogue stands for what brings that fault about. One that the plant has
    nothing of its own for is raised in the cell as it is. Raises PlantError for an unknown name.
    """
    spec = catalogue().get(name) or _by_catalogue_name().get(name)
    if spec is not None:
        return spec, dict(arguments)
    if name in _raised_as_they_are():
        return catalogue()["cell_fault"], {**arguments, "name": name}
    allowed = ", ".join((*catalogue(), *_by_catalogue_name(), *_raised_as_they_are()))
    raise PlantError(f"no fault {name!r}; known: {allowed}")


@cache
def _raised_as_they_are() -> tuple[str, ...]:
    """Faults that only a cell's PLC can know of."""
    sources = {FaultSource.SAFETY, FaultSource.AXES, FaultSource.HOIST, FaultSource.SENSORS, FaultSource.AUXILIARIES}
    sources |= {FaultSource.CELL, FaultSource.LOCKS, FaultSource.VEHICLE, FaultSource.FIRE}
    known = {*catalogue(), *_by_catalogue_name()}
    return tuple(f.name for f in load_faults().values() if f.source in sources and f.name not in known)


def parse_fault(text: str) -> tuple[str, str, dict[str, str]]:
    """Name, target and arguments of `name:ID[,argument=value…]`. Raises PlantError where it is no such text."""
    head, *rest = text.split(",")
    name, colon, target = head.partition(":")
    arguments = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals:
            raise PlantError(f"fault {text!r}: {part!r} is no argument=value")
        arguments[key.strip()] = value.strip()
    spec, _ = find_fault(name, arguments)
    if not colon or not target:
        raise PlantError(f"fault {text!r}: says not into what; write {spec.usage}")
    return name, target, arguments


def checked(spec: FaultSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with defaults filled in and text turned into the default's type.

    Raises PlantError for an unknown argument or a value of the wrong type.
    """
    known = spec.text.arguments
    unknown = sorted(set(given) - set(known))
    if unknown:
        allowed = ", ".join(known) or "none"
        raise PlantError(f"fault {spec.name}: unknown argument {', '.join(unknown)}; allowed: {allowed}")
    values: dict[str, Any] = {}
    for name, argument in known.items():
        value = given.get(name, argument.default)
        kind = type(argument.default)
        try:
            if kind is bool and isinstance(value, str):
                value = {"true": True, "1": True, "false": False, "0": False}[value.lower()]
            values[name] = kind(value)
        except (KeyError, TypeError, ValueError) as error:
            raise PlantError(f"fault {spec.name}: {name} = {value!r} is no {kind.__name__}") from error
    return values
