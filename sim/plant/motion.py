"""What is changed in the world when a phase of a command ends."""

from __future__ import annotations

from dataclasses import dataclass

from robotics.port import CommandCode, Location, LocationKind
from sim.plant.cell_state import ActiveCommand, CellTruth
from sim.plant.interlocks import carried, fits
from sim.plant.rack import BayTruth
from sim.plant.yard import LockHead
from swap.places import TANK, bay_place, gripper_place


@dataclass(frozen=True, slots=True)
class Effect:
    """What came of a phase."""

    fault: str = ""
    """Name of the fault the command fails with."""
    moved: bool = False
    """A pack has changed its place."""
    wait: bool = False
    """The phase is not over; look again at the next change."""


def effect(cell: CellTruth, active: ActiveCommand, now_us: int) -> Effect:
    """Carry the end of the present phase into the world."""
    phase = active.name
    if phase in ("start", "open", "close"):
        return _heads(cell, active, phase)
    if phase == "grip":
        return _grip(cell, active, now_us)
    if phase in ("set_down", "tank_put"):
        target = active.command.target if phase == "set_down" else Location(LocationKind.TANK, 1)
        return _set_down(cell, target, now_us)
    if phase == "carry":
        tank_free = not cell.faults.tank_not_ready and cell.rack.at(TANK) is None
        return Effect() if tank_free else Effect(wait=True)
    if phase == "measure":
        return _measure(cell)
    if phase == "home":
        cell.homed, cell.at_home, cell.position, cell.supporting = True, True, None, False
    elif phase == "go":
        truck = cell.truck
        if truck is not None:
            cell.yard.unsecure(truck)
    elif phase == "drive_out":
        truck = cell.truck
        if truck is not None:
            cell.yard.drive_out(truck, now_us)
        cell.located = False
    elif phase == "reset":
        cell.clear_latched()
    return Effect()


def _heads(cell: CellTruth, active: ActiveCommand, phase: str) -> Effect:
    truck, target = cell.truck, active.command.target
    if truck is None or target is None:
        return Effect(fault="vehicle_moved")
    closing = active.command.code == CommandCode.LOCK
    cell.supporting = cell.shuttle
    wanted = LockHead.CLOSED if closing else LockHead.OPEN
    stuck = cell.faults.head_stuck_open if closing else cell.faults.head_stuck_closed
    for index in truck.seat_heads(target.index):
        if truck.heads[index] == wanted or index in stuck:
            continue
        truck.heads[index] = LockHead.BETWEEN if phase == "start" else wanted
    if phase == "start":
        return Effect()
    if closing:
        reached = all(cell.head_agrees_closed(truck, index) for index in truck.seat_heads(target.index))
        return Effect() if reached else Effect(fault="lock_head_not_closed")
    reached = all(truck.heads[index] == LockHead.OPEN for index in truck.seat_heads(target.index))
    return Effect() if reached else Effect(fault="lock_head_not_open")


def _grip(cell: CellTruth, active: ActiveCommand, now_us: int) -> Effect:
    command = active.command
    if command.source is None:  # the fire procedure with the pack in the gripper already
        return Effect()
    cell.position = command.source
    if cell.faults.gripper_jam > 0:
        cell.faults.gripper_jam -= 1
        return Effect(fault="gripper_jam")
    if cell.faults.pick_misses > 0:
        cell.faults.pick_misses -= 1
        return Effect(fault="in_place_fault")
    pack = carried(cell, command)
    if pack is None:
        return Effect(fault="in_place_fault")
    bay = _bay_of(cell, command.source)
    if bay is not None and bay.held_kw > 0.0 and command.code != CommandCode.FIRE:
        return Effect(fault="bay_connector_fault")
    cell.rack.move(pack.code, gripper_place(cell.lane_id), now_us)
    if command.source.kind == LocationKind.SEAT:
        cell.supporting = False
    return Effect(moved=True)


def _set_down(cell: CellTruth, target: Location | None, now_us: int) -> Effect:
    pack = cell.gripped
    place = None if target is None else cell.place_of(target)
    if target is None or pack is None or place is None or not fits(cell, target, pack):
        return Effect(fault="bay_sensor_fault")
    cell.position = target
    if cell.rack.at(place) is not None:  # the other lane's robot was faster
        return Effect(fault="bay_sensor_fault")
    cell.rack.move(pack.code, place, now_us)
    if target.kind == LocationKind.SEAT:
        cell.supporting = cell.shuttle
    return Effect(moved=True)


def _measure(cell: CellTruth) -> Effect:
    truck = cell.truck
    if cell.faults.lidar_misses > 0:
        cell.faults.lidar_misses -= 1
        return Effect(fault="lidar_no_answer")
    if truck is None or not cell.yard.in_position(truck):
        return Effect(fault="vehicle_out_of_position")
    cell.located = True
    return Effect()


def _bay_of(cell: CellTruth, location: Location) -> BayTruth | None:
    place = cell.place_of(location)
    if place is None or not place.startswith(bay_place("")):
        return None
    return cell.rack.bay(place.removeprefix(bay_place("")))
