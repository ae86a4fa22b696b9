"""How the faults of the catalogue act in a cell's PLC."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from robotics.faults import FaultSource, fault_by_name

_PAUSING = frozenset({"light_curtain_broken", "safety_door_open", "maintenance_door_open", "intrusion_fire_lane"})
"""They hold the motion; the robot is not out of order."""
_BLOCKING_SOURCES = frozenset({FaultSource.SAFETY, FaultSource.AXES, FaultSource.HOIST, FaultSource.CELL})


@dataclass(frozen=True, slots=True)
class CellFault:
    """One fault of a cell as its PLC shows it."""

    code: int
    level: int
    blocks: bool
    """Commands are refused until it is gone and reset; else the next command gets past it."""


@cache
def cell_fault(name: str) -> CellFault:
    """The fault of a name of the catalogue. Raises KeyError for an unknown one."""
    fault = fault_by_name(name)
    serious = not fault.retry_may_help or fault.source == FaultSource.AXES
    blocks = fault.latched and fault.source in _BLOCKING_SOURCES and serious and name not in _PAUSING
    return CellFault(fault.code, fault.level, blocks or (fault.source == FaultSource.FIRE and fault.code == 6003))
