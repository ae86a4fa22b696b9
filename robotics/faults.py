"""The fault catalogue: every condition the controller may raise, in Chinese and English.

A fault is raised, acknowledged and cleared as data; it is no exception. Codes are stable, grouped by source:

    1000 safety and supply    1100 axes    1200 hoist and gripper    1300 sensors    1400 doors, auxiliaries
    1900 cell, other          2000 locking heads    2100 vehicle     3000 chargers   3100 packs
    4000 meter and grid       5000 links   6000 fire and thermal     7000 operations
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType

from pydantic import Field

from scheduler.sections import Section

CATALOGUE = Path(__file__).parent / "faults.toml"
UNKNOWN_CELL_FAULT = "cell_fault_unknown"
"""Stands for a code of the cell that is not in the catalogue."""


class FaultSource(StrEnum):
    """Where a fault comes from."""

    SAFETY = "safety"
    AXES = "axes"
    HOIST = "hoist"
    SENSORS = "sensors"
    AUXILIARIES = "auxiliaries"
    CELL = "cell"
    LOCKS = "locks"
    VEHICLE = "vehicle"
    CHARGERS = "chargers"
    PACKS = "packs"
    GRID = "grid"
    LINKS = "links"
    FIRE = "fire"
    OPERATIONS = "operations"


_FIRST_CODE = (
    (7000, FaultSource.OPERATIONS),
    (6000, FaultSource.FIRE),
    (5000, FaultSource.LINKS),
    (4000, FaultSource.GRID),
    (3100, FaultSource.PACKS),
    (3000, FaultSource.CHARGERS),
    (2100, FaultSource.VEHICLE),
    (2000, FaultSource.LOCKS),
    (1900, FaultSource.CELL),
    (1400, FaultSource.AUXILIARIES),
    (1300, FaultSource.SENSORS),
    (1200, FaultSource.HOIST),
    (1100, FaultSource.AXES),
    (1000, FaultSource.SAFETY),
)


_BLOCKING = frozenset({FaultSource.SAFETY, FaultSource.AXES, FaultSource.HOIST, FaultSource.CELL})
_PAUSING = frozenset({"light_curtain_broken", "safety_door_open", "maintenance_door_open", "intrusion_fire_lane"})
"""They pause the motion until a person confirms; the robot is not out of order."""


class Fault(Section):
    """One entry of the catalogue."""

    code: int = Field(ge=1000, le=7999)
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{2,47}$")
    level: int = Field(ge=1, le=3)
    """1 note, 2 the work here stops until it is dealt with, 3 stop at once."""
    safety_trip: bool
    """Never cleared by this software; a named person confirms before anything moves."""
    latched: bool
    """Stays until it is reset, even when the cause is gone."""
    retry_may_help: bool
    """The same command may succeed when it is tried again."""
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    cause_zh: str = Field(min_length=1)
    cause_en: str = Field(min_length=1)
    action_zh: str = Field(min_length=1)
    action_en: str = Field(min_length=1)

    @property
    def source(self) -> FaultSource:
        """Where it comes from, by the range of its code."""
        return next(source for first, source in _FIRST_CODE if self.code >= first)

    @property
    def blocks(self) -> bool:
        """A cell that has it is in alarm and takes no command but a reset until it is gone and reset.

        Any other fault of a cell refuses nothing; the next command gets past it.
        """
        serious = not self.retry_may_help or self.source is FaultSource.AXES
        out_of_order = self.latched and self.source in _BLOCKING and serious and self.name not in _PAUSING
        return out_of_order or self.name == "fire_released"


class _Catalogue(Section):
    withdrawn: tuple[int, ...]
    """Codes that earlier releases listed; none of them is given again."""
    faults: tuple[Fault, ...]


@cache
def load_faults() -> Mapping[int, Fault]:
    """Every fault by its code, in ascending order."""
    catalogue = _Catalogue.model_validate(tomllib.loads(CATALOGUE.read_text(encoding="utf-8")))
    by_code = {fault.code: fault for fault in sorted(catalogue.faults, key=lambda f: f.code)}
    names = {fault.name for fault in catalogue.faults}
    if not len(by_code) == len(names) == len(catalogue.faults):
        raise ValueError("faults.toml: a code or a name is given more than once")
    if again := by_code.keys() & set(catalogue.withdrawn):
        raise ValueError(f"faults.toml: withdrawn codes are given again: {sorted(again)}")
    return MappingProxyType(by_code)


@cache
def _by_name() -> Mapping[str, Fault]:
    return {fault.name: fault for fault in load_faults().values()}


def fault_by_name(name: str) -> Fault:
    """The fault of a name. Raises KeyError for an unknown one."""
    return _by_name()[name]


def fault_by_code(code: int) -> Fault:
    """The fault of a code; an unknown code gives `cell_fault_unknown`, so that nothing is overlooked."""
    return load_faults().get(code) or fault_by_name(UNKNOWN_CELL_FAULT)
