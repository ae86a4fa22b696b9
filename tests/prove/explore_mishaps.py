"""What can go wrong at any moment of a swap: faults of cell, vehicle, rack and link, and what people do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from robotics.port import AckCode, CommandCode, ControlMode, Location, LocationKind, ResultCode
from sim.plant.yard import LockHead, TruckPlace
from swap.places import bay_place, gripper_place
from swap.station.sequence.recipe import Place
from tests.prove.explore_env import Env
from tests.prove.explore_layout import pack_code
from tests.prove.explore_rules import INTRUSIONS, TRIPS
from tests.prove.explore_station import LANE, VEHICLE
from tests.prove.explore_world import World

Act = Callable[[World], None]


def _always(_: World) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Mishap:
    """One thing that happens. `over` undoes it; None where it is over at once."""

    name: str
    happen: Act
    over: Act | None = None
    when: Callable[[World], bool] = _always


def _fault(name: str, fault: str, target: str, **arguments: Any) -> Mishap:
    """A fault of the plant's registry."""

    def when(world: World) -> bool:
        in_lane = world.cell.truck is not None
        return in_lane if fault in _NEEDS_TRUCK else True

    def over(world: World) -> None:
        if when(world):
            world.plant.clear(fault, target)

    return Mishap(name, lambda world: world.plant.inject(fault, target, **arguments), over, when)


_NEEDS_TRUCK = {"truck_rolls", "handbrake_released", "gear_in"}


def _env(name: str, **values: Any) -> Mishap:
    return Mishap(name, lambda world: setattr(world, "env", replace(world.env, **values)))


def _right(world: World, what: str = "") -> None:
    """What the contract says of the truck's right to its packs."""
    world.env = replace(world.env, right=what)


def _link_down(world: World) -> None:
    world.env = replace(world.env, link_down=True)
    world.plant.set_station_alive(LANE, False)
    world.silent()


def _link_up(world: World) -> None:
    world.env = replace(world.env, link_down=False)
    world.plant.set_station_alive(LANE, True)
    world.claim()


def _forget(world: World) -> None:
    """The PLC starts anew: its numbers are gone, a running motion is withdrawn."""
    cell = world.cell
    cell.abort("", world.plant.now_us)
    cell.ack_seq, cell.done_seq, cell.ack_code, cell.result = 0, 0, AckCode.NONE, ResultCode.NONE
    cell.last_seq, cell.done_result = 0, ResultCode.NONE
    cell.used.clear()
    cell.paused = ""
    cell.new_epoch()
    world.env = replace(world.env, accepted_seq=0)


def _power_back_empty(world: World) -> None:
    """Power is back at a PLC whose memory does not outlast it: numbers, result and hold are gone."""
    cell = world.cell
    world.pass_s(2.0)
    world.plant.clear("power_cut", LANE)
    _forget(world)
    cell.hold, cell.hold_seq = False, 0
    world.silent()
    world.claim()


def _foreign_result(world: World) -> None:
    """The cell shows the result of a command that is not on this station's record: another database's, or manual
    work's."""
    cell = world.cell
    cell.done_seq = (world.controller.stored.last_seq - 500) % 65535 or 1
    cell.result = cell.done_result = ResultCode.ABORTED


def _no_result(world: World) -> bool:
    return world.cell.active is None and world.cell.result is ResultCode.NONE and not world.env.by_hand


_SENSED = frozenset({CommandCode.PICK, CommandCode.PUT, CommandCode.UNLOCK, CommandCode.LOCK})


def _says_done(world: World) -> None:
    """The command ends as if it had been carried out; no sensor agrees."""
    world.cell._end(ResultCode.DONE)


def _not_done_yet(world: World) -> bool:
    active = world.cell.active
    return active is not None and active.command.code in _SENSED and active.phase == 0 and not world.cell.paused


def _driver(world: World, name: str, *, so: bool) -> None:
    """The driver undoes one of the things that secure the vehicle, or does it again."""
    truck = world.plant.yard.trucks[VEHICLE]
    truck.secured[name] = so
    truck.secure_us.pop(name, None)


def _slip(world: World, *, back: bool) -> None:
    """The first head leaves its end position by itself; later it is where it was."""
    truck = world.plant.yard.trucks[VEHICLE]
    if back:
        if truck.heads[0] is LockHead.BETWEEN:
            others = truck.heads[1]
            truck.heads[0] = others if others is not LockHead.BETWEEN else LockHead.CLOSED
    else:
        truck.heads[0] = LockHead.BETWEEN


def _take_over(world: World, hand: str) -> None:
    """Manual work: the operator pauses, takes the cell to local mode and, where asked, moves what is gripped."""
    world.person("manual")
    world.plant.inject("local_mode", LANE)
    row, moving = world.row, world.plant.rack.at(gripper_place(LANE))
    if hand and row is not None and row.move is not None and moving is not None:
        place = row.move.target if hand == "done" else row.move.source
        target = _location(world, place, row.seat)
        if target is not None:
            holder = world.cell.place_of(target)
            if holder is not None and world.plant.rack.at(holder) is None:
                world.plant.inject("local_move", LANE, source=0, target=target.code)
                world.env = replace(world.env, by_hand=True)


def _location(world: World, place: Place, seat: int) -> Location | None:
    plan = world.controller.stored.session.seats[seat - 1]
    if place is Place.SEAT:
        return Location(LocationKind.SEAT, seat)
    if place is Place.TRANSFER:
        return Location(LocationKind.TRANSFER, 1)
    if place is Place.GRIPPER:
        return None
    return Location(LocationKind.BAY, plan.old_position if place is Place.OLD_BAY else plan.new_position)


def _hand_over(world: World) -> None:
    world.plant.clear("local_mode", LANE)


def _charger_runs(world: World, bay: str, power_kw: float) -> None:
    if world.plant.rack.at(bay_place(bay)) is not None or power_kw == 0.0:
        world.plant.rack.set_charge_kw(bay, power_kw, world.plant.now_us)


def _filled(world: World, bay: str) -> bool:
    return world.plant.rack.at(bay_place(bay)) is not None


def mishaps(seats: int) -> dict[str, Mishap]:
    """Everything, by name. Heads and packs of both seats where there are two."""
    new, code_new, code_old = "A1", pack_code(1), pack_code(10)
    old = f"A{seats + 1}"
    last_head = 4 * (seats - 1)
    items = [
        _fault("estop", "estop", LANE),
        _fault("power_cut", "power_cut", LANE),
        _fault("fire", "fire", LANE),
        _fault("smoke", "smoke", LANE),
        _fault("curtain", "curtain", LANE),
        _fault("door", "door", LANE),
        _fault("axis_alarm", "axis_alarm", LANE),
        _fault("gripper_jam", "gripper_jam", LANE, times=1),
        _fault("gripper_jam_lasting", "gripper_jam", LANE, times=5),
        _fault("pick_misses", "pick_misses", LANE, times=1),
        _fault("lidar_misses", "lidar_misses", LANE, times=2),
        _fault("lidar_silent", "lidar_misses", LANE, times=12),
        _fault("lost_ack", "lost_ack", LANE, times=1),
        _fault("slow", "slow_command", LANE, factor=20.0),
        _fault("frozen_heartbeat", "frozen_heartbeat", LANE),
        _fault("exit_blocked", "exit_blocked", LANE),
        _fault("tank_not_ready", "tank_not_ready", LANE),
        _fault("tag_misread", "tag_misread", LANE, tag=999999),
        _fault("head_does_not_close", "head_stuck_open", LANE, head=last_head + 1),
        _fault("head_does_not_open", "head_stuck_closed", LANE, head=last_head + 2),
        _fault("limit_switch_lies", "lock_lies", LANE, head=last_head + 1, agreed=False),
        _fault("truck_rolls", "truck_rolls", LANE, mm=150.0),
        _fault("handbrake", "handbrake_released", LANE),
        _fault("gear", "gear_in", LANE),
        Mishap("key", partial(_driver, name="key_off", so=False), partial(_driver, name="key_off", so=True), _in_lane),
        _fault("vehicle_link", "vehicle_link_lost", VEHICLE),
        _fault("does_not_come", "does_not_come", VEHICLE),
        _fault("pack_refused", "pack_refused", VEHICLE),
        _fault("new_pack_hot", "pack_alarm", code_new, level=3, bit=23),
        replace(
            _fault("old_pack_hot", "pack_alarm", code_old, level=3, bit=23),
            when=lambda w: w.plant.rack.pack(code_old).place.startswith(bay_place("")),
        ),
        _fault("new_pack_alarm", "pack_alarm", code_new, level=2, bit=1),
        _fault("new_pack_silent", "bms_silent", new),
        _fault("new_pack_other", "wrong_code", new, code="0SXPB280000YQ1G519999999"),
        _fault("old_bay_lies", "bay_sensor_lies", old, occupied=True),
        _fault("new_bay_lies", "bay_sensor_lies", new, occupied=False),
        Mishap(
            "charger_runs_on",
            partial(_charger_runs, bay=new, power_kw=100.0),
            partial(_charger_runs, bay=new, power_kw=0.0),
        ),
        Mishap(
            "old_pack_charges",
            partial(_charger_runs, bay=old, power_kw=100.0),
            partial(_charger_runs, bay=old, power_kw=0.0),
            partial(_filled, bay=old),
        ),
        Mishap(
            "two_heads_do_not_open",
            lambda w: w.cell.faults.head_stuck_closed.extend((last_head, last_head + 2)),
            lambda w: w.cell.faults.head_stuck_closed.clear(),
        ),
        Mishap("hv_on", partial(_driver, name="hv_off", so=False), partial(_driver, name="hv_off", so=True), _in_lane),
        Mishap("held_result", _foreign_result, None, _no_result),
        Mishap("says_done", _says_done, None, _not_done_yet),
        replace(_fault("power_cut_forgets", "power_cut", LANE), over=_power_back_empty),
        Mishap("head_slips", partial(_slip, back=False), partial(_slip, back=True), _in_lane),
        Mishap("link_down", _link_down, _link_up),
        Mishap("right_withdrawn", partial(_right, what="withdrawn"), _right),
        Mishap("contract_unreadable", partial(_right, what="unreadable"), _right),
        Mishap("plc_forgets", _forget),
        _env("command_lost", drop_sends=1),
        _env("acknowledge_lost", drop_acks=1),
        Mishap("person_holds", lambda w: w.person("hold", reason="asked")),
        Mishap("manual", partial(_take_over, hand=""), _hand_over, _online),
        Mishap("manual_finishes", partial(_take_over, hand="done"), _hand_over, _gripped),
        Mishap("manual_undoes", partial(_take_over, hand="back"), _hand_over, _gripped),
    ]
    return {item.name: item for item in items}


def _in_lane(world: World) -> bool:
    return world.plant.yard.trucks[VEHICLE].place is TruckPlace.LANE


def _online(world: World) -> bool:
    return world.cell.control_mode is ControlMode.ONLINE and not world.env.down


def _gripped(world: World) -> bool:
    return _online(world) and world.cell.gripped is not None


def happen(world: World, item: Mishap) -> None:
    """Let it happen; it uses up one of the run's mishaps."""
    env = world.env
    faults = (*env.faults, item.name) if item.over is not None else env.faults
    trips = TRIPS | INTRUSIONS
    watched = not env.down and not env.link_down and item.name in trips
    unseen = (*env.unseen, item.name) if watched else env.unseen
    world.env = replace(env, faults=faults, unseen=unseen, mishaps_left=env.mishaps_left - 1)
    running = world.cell.active
    item.happen(world)
    if item.name in TRIPS and running is not None and world.cell.active is not running:
        # The motion is withdrawn, and that stays to be seen when the trip is over before anybody looked.
        world.env = replace(world.env, person_needed=world.env.person_needed or item.name)
    on_record = item.name == "held_result" and world.cell.done_seq == world.controller.stored.ended_seq
    if item.name in ("held_result", "says_done") and not on_record:
        world.env = replace(world.env, person_needed=world.env.person_needed or item.name)
    if item.name in ("person_holds", "manual", "manual_finishes", "manual_undoes"):
        world.env = replace(world.env, person_needed=world.env.person_needed or item.name)


def over(world: World, item: Mishap) -> None:
    """It is over; what it left behind stays. A trip takes longer than the controller needs to see it."""
    assert item.over is not None
    world.env = replace(world.env, faults=tuple(name for name in world.env.faults if name != item.name))
    item.over(world)


def may_end(env: Env, name: str) -> bool:
    """A hardware reset takes seconds, a look at the cell a tenth of one."""
    return name not in env.unseen or name not in TRIPS
