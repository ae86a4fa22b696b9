"""What the sensors of a simulated cell show: its signals, those of each seat, the locking heads."""

from __future__ import annotations

from collections.abc import Callable

from robotics.port import SEAT_ACCEPTED, SEAT_LOCKS_CLOSED, SEAT_LOCKS_OPEN, SEAT_OCCUPIED, SEATS, Signal
from sim.plant.cell import Cell
from sim.plant.rack import Rack
from sim.plant.yard import LockHead, Truck, Yard
from swap.places import TANK, bay_place, vehicle_place

HEADS_MAX = 8
"""Heads of one seat that a cell's registers have room for."""


def cell_signals(cell: Cell, yard: Yard, rack: Rack) -> dict[Signal, bool | None]:
    """Every signal of a cell; those of a truck whose controller is silent are None."""
    faults, truck = cell.faults, cell.truck
    linked = truck is not None and truck.link_ok
    secured = truck.secured if truck is not None and linked else {}
    heads = () if truck is None else truck.heads

    def seat(index: int) -> bool:
        place = None if truck is None else vehicle_place(truck.vehicle_id, index)
        return place is not None and rack.at(place) is not None

    tank_occupied = rack.at(TANK) is not None
    ready = secured.get("handbrake_on") and secured.get("key_off")
    optional = {
        Signal.SWAP_MODE: ready,
        Signal.DRIVE_INHIBITED: ready and truck.inhibits if truck is not None else None,
        Signal.HV_DISCHARGED: secured.get("hv_off") and truck.discharges if truck is not None else None,
        Signal.CONNECTOR_FREE: truck is not None and truck.connector_free,
        Signal.GRIPPER_LOCKED: cell.gripped is not None and not faults.gripper_unlocked,
    }
    if cell.shuttle:
        optional[Signal.SUPPORTED] = cell.supporting
    return optional | {
        Signal.ESTOP_OK: not faults.estop,
        Signal.CURTAIN_CLEAR: not faults.curtain,
        Signal.DOORS_CLOSED: not faults.door,
        Signal.FIRE_OK: not faults.fire,
        Signal.SMOKE_OK: not faults.smoke,
        Signal.POWER_OK: cell.power_confirmed and not faults.power_cut,
        Signal.HOMED: cell.homed,
        Signal.AT_HOME: cell.at_home,
        Signal.VEHICLE_PRESENT: truck is not None,
        Signal.VEHICLE_IN_POSITION: truck is not None and cell.located and yard.in_position(truck),
        Signal.VEHICLE_LINK: linked,
        Signal.HANDBRAKE_ON: secured.get("handbrake_on"),
        Signal.GEAR_NEUTRAL: secured.get("gear_neutral"),
        Signal.KEY_OFF: secured.get("key_off"),
        Signal.HV_OFF: secured.get("hv_off"),
        Signal.LOCKS_OPEN: bool(heads) and all(head == LockHead.OPEN for head in heads),
        Signal.LOCKS_CLOSED: truck is not None and cell.locks_closed(truck),
        **{signal: seat(index) for index, signal in SEAT_OCCUPIED.items()},
        Signal.PACK_ACCEPTED: truck is not None and yard.accepts_packs(truck) if linked else None,
        Signal.GRIPPER_LOADED: cell.gripped is not None,
        Signal.TRANSFER_OCCUPIED: any(rack.at(bay_place(bay)) for bay in cell.transfer_bays),
        Signal.TANK_READY: not faults.tank_not_ready and not tank_occupied,
        Signal.TANK_OCCUPIED: tank_occupied,
        Signal.EXIT_CLEAR: not faults.exit_blocked,
    }


def seat_signals(cell: Cell, yard: Yard) -> dict[Signal, bool | None]:
    """What a cell may tell of each seat of the truck in its lane."""
    told, truck = dict[Signal, bool | None](), cell.truck
    for seat in SEATS:
        there = truck is not None and seat <= truck.seats
        heads = truck.seat_heads(seat) if truck is not None and there else range(0)
        told[SEAT_LOCKS_OPEN[seat]] = there and all(truck.heads[i] == LockHead.OPEN for i in heads if truck)
        told[SEAT_LOCKS_CLOSED[seat]] = there and all(cell.head_agrees_closed(truck, i) for i in heads if truck)
        accepts = truck is not None and there and yard.accepts_seat(truck, seat)
        told[SEAT_ACCEPTED[seat]] = accepts if truck is not None and truck.link_ok else None
    return told


def head_bits(seats: int, truck: Truck | None, reads: Callable[[Truck, int], bool]) -> tuple[bool | None, ...]:
    """One value for each head that a vehicle can have, seat by seat; None where none is fitted."""
    bits: list[bool | None] = [None] * (seats * HEADS_MAX)
    if truck is not None:
        for seat in range(1, truck.seats + 1):
            for place, head in enumerate(truck.seat_heads(seat)):
                bits[(seat - 1) * HEADS_MAX + place] = reads(truck, head)
    return tuple(bits)
