"""The vehicle is secured, or nothing moves: an invariant over a span of the swap, which no recipe row can leave out.

The span begins when the first UNLOCK is sent and ends when the robot is home and every lock is closed, which the
sensors must show while the release waits. At every look inside it the step function asks what the vehicle's model
says for the phase, and what the vehicle tells of its swap mode where the cell's map carries it. One fact lost or
unknown holds the swap until a named person decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from robotics.port import VEHICLE_OPTIONAL, VEHICLE_SECURED, CommandCode, Signal
from swap.station.sequence.permissives import CellFacts, Missing
from swap.station.sequence.step_table import TERMINAL, Place, StepRow, StepTable

DRIVES_OUT = CommandCode.RELEASE
"""The command that ends the span: the driver undoes all that held his vehicle."""


class VehiclePhase(StrEnum):
    """Parts of the span for which a vehicle's model may ask other facts."""

    EXCHANGE = "exchange"
    """From the first UNLOCK: packs move, or will."""
    LOCKING = "locking"
    """Heads close."""
    ACCEPTING = "accepting"
    """The vehicle looks at its new pack."""
    LEAVING = "leaving"
    """Nothing is left to do at the vehicle; the robot goes home."""


@dataclass(frozen=True, slots=True)
class SecuredNeeds:
    """What a vehicle's model asks in each phase: by default everything, always."""

    exchange: tuple[Signal, ...] = VEHICLE_SECURED
    locking: tuple[Signal, ...] = VEHICLE_SECURED
    accepting: tuple[Signal, ...] = VEHICLE_SECURED
    leaving: tuple[Signal, ...] = VEHICLE_SECURED

    def of(self, phase: VehiclePhase) -> tuple[Signal, ...]:
        """The facts of a phase."""
        facts: tuple[Signal, ...] = getattr(self, phase.value)
        return facts


STRICT = SecuredNeeds()
"""Everything, always."""


@cache
def span(table: StepTable) -> Mapping[str, VehiclePhase]:
    """States that can follow an UNLOCK, its own included, with their phase; the release, before it is sent, is the
    last of them."""
    reached: dict[str, VehiclePhase] = {}
    waiting = {row.state for row in table.rows if row.command is CommandCode.UNLOCK}
    while waiting:
        row = table.by_state[waiting.pop()]
        reached[row.state] = phase_of(table, row)
        if row.command is not DRIVES_OUT:
            waiting |= {row.next_state, row.unwind_state or row.next_state} - TERMINAL - reached.keys()
    return reached


@cache
def phase_of(table: StepTable, row: StepRow) -> VehiclePhase:
    """The phase a row belongs to once locks may have been opened."""
    if row.command is CommandCode.LOCK:
        return VehiclePhase.LOCKING
    if row.command is None and Signal.PACK_ACCEPTED in row.confirm:
        return VehiclePhase.ACCEPTING
    if any(_at_vehicle(later) for later in table.way(row.state)):
        return VehiclePhase.EXCHANGE
    return VehiclePhase.LEAVING


def _at_vehicle(row: StepRow) -> bool:
    heads = row.command in (CommandCode.UNLOCK, CommandCode.LOCK)
    return heads or Place.SEAT in (row.source, row.target)


def to_unlock(needs: SecuredNeeds, cell: CellFacts) -> list[Missing]:
    """What lacks before heads are opened."""
    return _lacking(needs.of(VehiclePhase.EXCHANGE), cell)


def unsecured(
    table: StepTable, row: StepRow, needs: SecuredNeeds, cell: CellFacts, *, opened: bool, released: bool
) -> list[Missing]:
    """What lacks at this look; empty outside of the span, and where the vehicle is secured.

    Args:
        opened: an UNLOCK has been sent in this swap.
        released: a RELEASE has been sent in it.
    """
    if not opened or (row.command is DRIVES_OUT and (released or _at_rest(cell))):
        return []
    return _lacking(needs.of(phase_of(table, row)), cell)


def to_home(table: StepTable, row: StepRow, needs: SecuredNeeds, cell: CellFacts, *, opened: bool) -> list[Missing]:
    """What lacks before a robot is sent home outside of the rows, above a vehicle whose locks may have been opened.

    Also after the release was sent: a vehicle that has not left stands where the robot moves.
    """
    if not opened or cell.signal(Signal.VEHICLE_PRESENT) is False:
        return []
    return _lacking(needs.of(phase_of(table, row)), cell)


def _at_rest(cell: CellFacts) -> bool:
    """The robot is home and every lock is closed."""
    return cell.signal(Signal.AT_HOME) is True and cell.signal(Signal.LOCKS_CLOSED) is True


def _lacking(names: tuple[Signal, ...], cell: CellFacts) -> list[Missing]:
    told = [name for name in VEHICLE_OPTIONAL if name in cell.cell.signals]
    if Signal.HV_OFF not in names and Signal.HV_DISCHARGED in told:
        told.remove(Signal.HV_DISCHARGED)
    asked = dict.fromkeys((*names, *told))
    return [Missing(name.value, value, cell.fast_age_s) for name in asked if (value := cell.signal(name)) is not True]
