"""Interlocks of the PLC: what must hold before the cell takes a command, whatever the station asks.

They repeat the station's permissives on purpose. Safety lives here; the station only asks.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from robotics.port import CommandCode, Location, LocationKind, RobotCommand, Signal
from sim.plant.cell_state import DRIVER_MOVES, CellTruth
from sim.plant.rack import BayTruth, PackTruth
from sim.plant.yard import LockHead, Truck
from swap.places import TANK


class Ruling(StrEnum):
    """What the PLC thinks of a command."""

    FREE = "free"
    BAD_PARAMETER = "bad_parameter"
    INTERLOCK = "interlock"


def judge(cell: CellTruth, command: RobotCommand, now_us: int) -> Ruling:
    """Whether a command may start now."""
    if not _parameters_fit(cell, command):
        return Ruling.BAD_PARAMETER
    if command.code == CommandCode.RESET:
        return Ruling.FREE
    faults = cell.faults
    if cell.tripped or (cell.paused and command.code != CommandCode.FIRE):
        return Ruling.INTERLOCK
    if command.code == CommandCode.FIRE:
        return _free_if(_fire(cell, command))
    if faults.fire or cell.in_alarm or faults.curtain or faults.door:
        return Ruling.INTERLOCK
    if not may_go_on(cell, command):
        return Ruling.INTERLOCK
    if command.code == CommandCode.PICK:
        return _free_if(_pick(cell, command, now_us))
    return _free_if(_CHECKS[command.code](cell, command))


def vehicle_secured(cell: CellTruth, truck: Truck, command: RobotCommand) -> bool:
    """The truck stands in its place and what its model asks for this part of the work is so."""
    needs = truck.needs
    asked = needs.locking if command.code == CommandCode.LOCK else needs.exchange
    if command.code == CommandCode.HOME and cell.locks_closed(truck):
        asked = needs.leaving
    inhibited = truck.inhibits and (truck.discharges or Signal.HV_OFF not in asked)
    return inhibited and cell.yard.secured(truck, asked)


def may_go_on(cell: CellTruth, command: RobotCommand) -> bool:
    """No motion of the robot goes on while the truck it works at is not secured; nor any other one from the first
    UNLOCK until the robot is home and every lock closed."""
    truck = cell.truck
    if truck is None or command.code in (*DRIVER_MOVES, CommandCode.RESET):
        return True
    worked_on = truck.opened and not (cell.at_home and cell.locks_closed(truck)) and command.code != CommandCode.FIRE
    return not (worked_on or cell.works_at_vehicle(command)) or vehicle_secured(cell, truck, command)


def carried(cell: CellTruth, command: RobotCommand) -> PackTruth | None:
    """The pack at the source of a command, or in the gripper when the command names no source."""
    if command.source is None:
        return cell.gripped
    place = cell.place_of(command.source)
    return None if place is None else cell.rack.at(place)


def fits(cell: CellTruth, location: Location, pack: PackTruth) -> bool:
    """A place takes packs of this kind."""
    if location.kind == LocationKind.TANK:
        return True
    if location.kind == LocationKind.SEAT:
        return cell.truck is not None and pack.kind in cell.truck.kinds
    bay = _bay(cell, location)
    return bay is not None and (not bay.section.kinds or pack.kind in bay.section.kinds)


def _free_if(free: bool) -> Ruling:
    return Ruling.FREE if free else Ruling.INTERLOCK


def _parameters_fit(cell: CellTruth, command: RobotCommand) -> bool:
    code, source, target = command.code, command.source, command.target
    if code == CommandCode.ADMIT:
        return command.vehicle_tag > 0
    if code in (CommandCode.UNLOCK, CommandCode.LOCK):
        seats = max((truck.seats for truck in cell.yard.trucks.values()), default=1)
        truck = cell.truck
        seats = seats if truck is None else truck.seats
        return target is not None and target.kind == LocationKind.SEAT and target.index <= seats
    if code == CommandCode.PICK:
        return source is not None and source.kind != LocationKind.TANK and _known(cell, source)
    if code == CommandCode.PUT:
        return target is not None and _known(cell, target)
    if code == CommandCode.FIRE:
        return source is None or (source.kind != LocationKind.TANK and _known(cell, source))
    return True


def _known(cell: CellTruth, location: Location) -> bool:
    """The place exists in this cell; a seat needs no truck to be a good parameter."""
    if location.kind == LocationKind.SEAT and cell.truck is None:
        return True
    return cell.place_of(location) is not None


def _bay(cell: CellTruth, location: Location) -> BayTruth | None:
    place = cell.place_of(location)
    if place is None or not place.startswith("bay:"):
        return None
    return cell.rack.bay(place.removeprefix("bay:"))


def _admit(cell: CellTruth, command: RobotCommand) -> bool:
    truck = cell.truck
    free = truck is None or truck.tag == command.vehicle_tag
    entering = cell.yard.entering(cell.lane_id)
    return free and cell.at_home and (entering is None or entering.tag == command.vehicle_tag)


def _at_vehicle(cell: CellTruth, command: RobotCommand) -> Truck | None:
    """The truck, if the robot may work at it."""
    truck = cell.truck
    if truck is None or not cell.located or not cell.yard.in_position(truck):
        return None
    return truck if vehicle_secured(cell, truck, command) else None


def _unlock(cell: CellTruth, command: RobotCommand) -> bool:
    truck = _at_vehicle(cell, command)
    return truck is not None and truck.connector_free


def _lock(cell: CellTruth, command: RobotCommand) -> bool:
    if command.target is None or _at_vehicle(cell, command) is None or cell.gripped is not None:
        return False
    place = cell.place_of(command.target)
    return place is not None and cell.rack.at(place) is not None


def _heads_open(truck: Truck, seat: int) -> bool:
    return all(truck.heads[index] == LockHead.OPEN for index in truck.seat_heads(seat))


def _place_free_to_work(cell: CellTruth, command: RobotCommand, location: Location) -> bool:
    """The robot may work at a place: a seat needs a secured truck and open heads."""
    if location.kind != LocationKind.SEAT:
        return True
    truck = _at_vehicle(cell, command)
    return truck is not None and _heads_open(truck, location.index)


def _pick(cell: CellTruth, command: RobotCommand, now_us: int) -> bool:
    source = command.source
    if source is None or not cell.homed or cell.gripped is not None or carried(cell, command) is None:
        return False
    bay = _bay(cell, source)
    if bay is not None and cell.rack.charge_kw(bay.section.id, now_us) > 0.0:
        return False
    return _place_free_to_work(cell, command, source)


def _put(cell: CellTruth, command: RobotCommand) -> bool:
    target, pack = command.target, cell.gripped
    if target is None or pack is None or not cell.homed:
        return False
    place = cell.place_of(target)
    if place is None or cell.rack.at(place) is not None or not fits(cell, target, pack):
        return False
    if target.kind == LocationKind.TANK and cell.faults.tank_not_ready:
        return False
    return _place_free_to_work(cell, command, target)


def _release(cell: CellTruth, command: RobotCommand) -> bool:
    truck = cell.truck
    if truck is None or not cell.at_home or cell.faults.exit_blocked:
        return False
    accepted = not truck.opened or (truck.link_ok and cell.yard.accepts_packs(truck))
    return cell.locks_closed(truck) and cell.yard.seats_filled(truck) and accepted


def _fire(cell: CellTruth, command: RobotCommand) -> bool:
    """One-key fire: nobody in the zone, robot sound, a pack to carry, tank ready."""
    faults = cell.faults
    if faults.curtain or faults.door or faults.axis_alarm or not cell.homed:
        return False
    if command.source is not None and cell.gripped is not None:
        return False
    if carried(cell, command) is None or faults.tank_not_ready or cell.rack.at(TANK) is not None:
        return False
    return command.source is None or _place_free_to_work(cell, command, command.source)


_CHECKS: dict[CommandCode, Callable[[CellTruth, RobotCommand], bool]] = {
    CommandCode.ADMIT: _admit,
    CommandCode.LOCATE: lambda cell, _: cell.truck is not None,
    CommandCode.UNLOCK: _unlock,
    CommandCode.LOCK: _lock,
    CommandCode.PUT: _put,
    CommandCode.HOME: lambda _cell, _command: True,
    CommandCode.RELEASE: _release,
}
