"""How the faults of the catalogue act in a cell's PLC."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from robotics.faults import fault_by_name


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
    return CellFault(fault.code, fault.level, fault.blocks)
