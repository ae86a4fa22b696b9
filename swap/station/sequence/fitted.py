"""Signals that not every equipment has: which rows need one, as soon as the cell's map carries it.

No recipe names them, so one recipe serves equipment with and without them, and none can leave one out.
"""

from __future__ import annotations

from robotics.port import CellStatus, CommandCode, Signal
from swap.station.sequence.step_table import Place, StepRow


def fitted_before(row: StepRow, cell: CellStatus) -> tuple[str, ...]:
    """Facts that the row's command waits for besides its permissives."""
    asked: list[Signal] = []
    if row.command is CommandCode.UNLOCK or (row.command is CommandCode.PICK and row.source is Place.SEAT):
        asked.append(Signal.CONNECTOR_FREE)
    if row.command is CommandCode.LOCK or (row.command is CommandCode.PICK and row.source is Place.SEAT):
        asked.append(Signal.SUPPORTED)  # heads are open: the pack must rest on something
    if row.command is CommandCode.PUT:
        asked.append(Signal.GRIPPER_LOCKED)
    return tuple(signal.value for signal in asked if signal in cell.signals)


def fitted_after(row: StepRow, cell: CellStatus) -> tuple[str, ...]:
    """Facts that tell the row done besides those that it names."""
    asked: list[Signal] = []
    if row.command is CommandCode.UNLOCK or (row.command is CommandCode.PUT and row.target is Place.SEAT):
        asked.append(Signal.SUPPORTED)
    if row.command is CommandCode.PICK:
        asked.append(Signal.GRIPPER_LOCKED)
    return tuple(signal.value for signal in asked if signal in cell.signals)
