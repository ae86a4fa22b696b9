"""What each fault of the plant does when it is put in and when it is taken away.

The texts, targets and arguments are in `plant_faults.toml`; `plant_faults.py` joins the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from robotics.port import ControlMode, Location
from sim.plant.cell import Cell
from sim.plant.rack import PlantError, Rack
from sim.plant.site import SiteTruth
from sim.plant.yard import Truck, Yard
from swap.places import gripper_place

Arguments = Mapping[str, Any]


class Faultable(Protocol):
    """The part of a plant that faults are put into."""

    now_us: int
    rack: Rack
    site: SiteTruth
    yard: Yard
    wire_faults: dict[str, dict[str, dict[str, Any]]]

    def cell(self, lane_id: str) -> Cell:
        """The cell of a lane."""

    def endpoints(self) -> tuple[str, ...]:
        """Names of the Modbus endpoints."""

    def site_endpoints(self) -> tuple[str, ...]:
        """Those of them beside lanes and rack."""


Inject = Callable[[Faultable, str, Arguments], None]
Clear = Callable[[Faultable, str], None]
Acts = tuple[Inject, Clear | None]


# Cells


def _flag(name: str) -> tuple[Inject, Clear]:
    def inject(plant: Faultable, lane: str, _: Arguments) -> None:
        setattr(plant.cell(lane).faults, name, True)

    def clear(plant: Faultable, lane: str) -> None:
        setattr(plant.cell(lane).faults, name, False)

    return inject, clear


def _count(name: str) -> tuple[Inject, Clear]:
    def inject(plant: Faultable, lane: str, arguments: Arguments) -> None:
        setattr(plant.cell(lane).faults, name, arguments["times"])

    def clear(plant: Faultable, lane: str) -> None:
        setattr(plant.cell(lane).faults, name, 0)

    return inject, clear


def _trip(plant: Faultable, lane: str, fault: str) -> Cell:
    cell = plant.cell(lane)
    cell.latch(fault)
    return cell


def _estop(plant: Faultable, lane: str, _: Arguments) -> None:
    _trip(plant, lane, "estop_pressed").faults.estop = True


def _estop_reset(plant: Faultable, lane: str) -> None:
    cell = plant.cell(lane)
    cell.faults.estop = False
    cell.unlatch("estop_pressed")


def _fire_over(plant: Faultable, lane: str) -> None:
    cell = plant.cell(lane)
    cell.faults.fire = False
    cell.unlatch("fire_released")


def _power_cut(plant: Faultable, lane: str, _: Arguments) -> None:
    cell = _trip(plant, lane, "power_lost")
    cell.faults.power_cut = True
    cell.power_confirmed = False
    cell.homed = False


def _power_restore(plant: Faultable, lane: str) -> None:
    cell = plant.cell(lane)
    cell.faults.power_cut = False
    cell.new_epoch()


def _person_confirms(plant: Faultable, lane: str, _: Arguments) -> None:
    cell = plant.cell(lane)
    if not cell.faults.power_cut:
        cell.power_confirmed = True
    cell.clear_latched()
    cell.resume(plant.now_us)


def _local(plant: Faultable, lane: str, _: Arguments) -> None:
    cell = plant.cell(lane)
    cell.control_mode = ControlMode.LOCAL
    cell.abort("", plant.now_us)


def _online(plant: Faultable, lane: str) -> None:
    plant.cell(lane).control_mode = ControlMode.ONLINE


def _local_move(plant: Faultable, lane: str, arguments: Arguments) -> None:
    cell = plant.cell(lane)
    if cell.control_mode != ControlMode.LOCAL:
        raise PlantError(f"lane {lane} is not in local mode; inject local_mode first")
    source, target = Location.from_code(arguments["source"]), Location.from_code(arguments["target"])
    source_place = gripper_place(lane) if source is None else cell.place_of(source)
    target_place = gripper_place(lane) if target is None else cell.place_of(target)
    pack = None if source_place is None else plant.rack.at(source_place)
    if pack is None or target_place is None:
        raise PlantError(f"lane {lane}: no pack at {source_place}, or no place {target_place}")
    plant.rack.move(pack.code, target_place, plant.now_us)
    cell.at_home, cell.position = False, target or source
    cell.changes += 1


def _heads(name: str) -> tuple[Inject, Clear]:
    def inject(plant: Faultable, lane: str, arguments: Arguments) -> None:
        faults = plant.cell(lane).faults
        heads: list[int] = getattr(faults, name)
        head = arguments["head"] - 1
        if head < 0:
            raise PlantError(f"head = {arguments['head']}: heads are counted from 1, seat 1 first")
        if head not in heads:
            heads.append(head)
        if name == "head_lies":
            faults.lie_agreed = arguments["agreed"]

    def clear(plant: Faultable, lane: str) -> None:
        getattr(plant.cell(lane).faults, name).clear()

    return inject, clear


def _slow(plant: Faultable, lane: str, arguments: Arguments) -> None:
    plant.cell(lane).faults.slow_factor = arguments["factor"]


def _not_slow(plant: Faultable, lane: str) -> None:
    plant.cell(lane).faults.slow_factor = 1.0


def _tag(plant: Faultable, lane: str, arguments: Arguments) -> None:
    plant.cell(lane).faults.tag_misread = arguments["tag"]


def _tag_right(plant: Faultable, lane: str) -> None:
    plant.cell(lane).faults.tag_misread = 0


def _forced(plant: Faultable, lane: str, arguments: Arguments) -> None:
    plant.cell(lane).force(arguments["name"], plant.now_us)


def _not_forced(plant: Faultable, lane: str) -> None:
    plant.cell(lane).faults.forced.clear()


# Vehicles


def _truck(plant: Faultable, lane: str) -> Truck:
    truck = plant.cell(lane).truck
    if truck is None:
        raise PlantError(f"no truck stands in lane {lane}")
    return truck


def _roll(plant: Faultable, lane: str, arguments: Arguments) -> None:
    _truck(plant, lane).offset_mm += arguments["mm"]


def _roll_back(plant: Faultable, lane: str) -> None:
    _truck(plant, lane).offset_mm = 0.0


def _unset(*names: str) -> tuple[Inject, Clear]:
    def inject(plant: Faultable, lane: str, _: Arguments) -> None:
        truck = _truck(plant, lane)
        for name in names:
            truck.secured[name] = False
            truck.secure_us.pop(name, None)

    def clear(plant: Faultable, lane: str) -> None:
        truck = _truck(plant, lane)
        for name in names:
            truck.secured[name] = True

    return inject, clear


def _truck_attribute(name: str, faulty: bool) -> tuple[Inject, Clear]:
    def inject(plant: Faultable, vehicle: str, _: Arguments) -> None:
        setattr(plant.yard.truck(vehicle), name, faulty)

    def clear(plant: Faultable, vehicle: str) -> None:
        setattr(plant.yard.truck(vehicle), name, not faulty)

    return inject, clear


def _refuse(plant: Faultable, vehicle: str, arguments: Arguments) -> None:
    truck, seat = plant.yard.truck(vehicle), arguments["seat"]
    if not 0 <= seat <= truck.seats:
        raise PlantError(f"pack_refused: seat = {seat}: allowed 0…{truck.seats}")
    truck.refuses_packs, truck.refuses_seat = seat == 0, seat


def _refuse_no_more(plant: Faultable, vehicle: str) -> None:
    truck = plant.yard.truck(vehicle)
    truck.refuses_packs, truck.refuses_seat = False, 0


# Rack


def _heat(plant: Faultable, pack: str, arguments: Arguments) -> None:
    truth = plant.rack.pack(pack)
    plant.rack.settle(truth, plant.now_us)
    if not truth.heat_c_per_s:
        truth.heat_since_us = plant.now_us
    truth.heat_c_per_s = arguments["c_per_s"]
    plant.rack.settle(truth, plant.now_us)


def _no_heat(plant: Faultable, pack: str) -> None:
    truth = plant.rack.pack(pack)
    plant.rack.settle(truth, plant.now_us)
    truth.heat_c_per_s = 0.0


def _pack_alarm(plant: Faultable, pack: str, arguments: Arguments) -> None:
    truth = plant.rack.pack(pack)
    truth.alarm_level, truth.alarm_bits = arguments["level"], 1 << arguments["bit"]
    plant.rack.settle(truth, plant.now_us)


def _no_pack_alarm(plant: Faultable, pack: str) -> None:
    truth = plant.rack.pack(pack)
    truth.alarm_level = truth.alarm_bits = 0
    plant.rack.settle(truth, plant.now_us)


def _insulation(plant: Faultable, pack: str, arguments: Arguments) -> None:
    truth = plant.rack.pack(pack)
    truth.insulation_ohm_per_v = arguments["ohm_per_v"]
    plant.rack.settle(truth, plant.now_us)


def _insulation_good(plant: Faultable, pack: str) -> None:
    _insulation(plant, pack, {"ohm_per_v": 1000.0})


def _leak(plant: Faultable, pack: str, _: Arguments) -> None:
    plant.rack.pack(pack).leaks = True


def _no_leak(plant: Faultable, pack: str) -> None:
    plant.rack.pack(pack).leaks = False


def _bay_attribute(name: str, argument: str | None, good: Any) -> tuple[Inject, Clear]:
    def inject(plant: Faultable, bay: str, arguments: Arguments) -> None:
        plant.rack.settle_bay(bay, plant.now_us)
        setattr(plant.rack.bay(bay), name, True if argument is None else arguments[argument])
        plant.rack.settle_bay(bay, plant.now_us)

    def clear(plant: Faultable, bay: str) -> None:
        plant.rack.settle_bay(bay, plant.now_us)
        setattr(plant.rack.bay(bay), name, good)
        plant.rack.settle_bay(bay, plant.now_us)

    return inject, clear


# Modbus endpoints: the plant only remembers them, the device layer acts them out.


def _wire(name: str, *, site: bool = False) -> tuple[Inject, Clear]:
    """A fault of the wire; `site`: of devices beside lanes and rack only."""

    def inject(plant: Faultable, endpoint: str, arguments: Arguments) -> None:
        known = plant.site_endpoints() if site else plant.endpoints()
        if endpoint not in known:
            raise PlantError(f"no Modbus endpoint {endpoint!r}; known: {', '.join(known)}")
        plant.wire_faults.setdefault(endpoint, {})[name] = dict(arguments)

    def clear(plant: Faultable, endpoint: str) -> None:
        plant.wire_faults.get(endpoint, {}).pop(name, None)

    return inject, clear


# The site


def _storage_dies(plant: Faultable, endpoint: str, _: Arguments) -> None:
    if endpoint != "storage" or endpoint not in plant.site_endpoints():
        raise PlantError(f"no storage {endpoint!r}; known: {'storage' if plant.site.storage else 'none'}")
    plant.site.die(True, plant.now_us)
    plant.wire_faults.setdefault(endpoint, {})["half_open"] = {}


def _storage_lives(plant: Faultable, endpoint: str) -> None:
    plant.site.die(False, plant.now_us)
    plant.wire_faults.get(endpoint, {}).pop("half_open", None)


def _feeder_trips(plant: Faultable, _: str, __: Arguments) -> None:
    plant.rack.feed(False, plant.now_us)


def _feeder_closes(plant: Faultable, _: str) -> None:
    plant.rack.feed(True, plant.now_us)


ACTS: Mapping[str, Acts] = {
    "estop": (_estop, _estop_reset),
    "curtain": _flag("curtain"),
    "door": _flag("door"),
    "power_cut": (_power_cut, _power_restore),
    "power_restore": (lambda p, t, _: _power_restore(p, t), None),
    "person_confirms": (_person_confirms, None),
    "local_mode": (_local, _online),
    "local_move": (_local_move, None),
    "smoke": _flag("smoke"),
    "fire": (_flag("fire")[0], _fire_over),
    "axis_alarm": _flag("axis_alarm"),
    "gripper_jam": _count("gripper_jam"),
    "pick_misses": _count("pick_misses"),
    "lidar_misses": _count("lidar_misses"),
    "lost_ack": _count("lost_ack"),
    "slow_command": (_slow, _not_slow),
    "frozen_heartbeat": _flag("frozen_heartbeat"),
    "exit_blocked": _flag("exit_blocked"),
    "tank_not_ready": _flag("tank_not_ready"),
    "gripper_unlocked": _flag("gripper_unlocked"),
    "head_stuck_open": _heads("head_stuck_open"),
    "head_stuck_closed": _heads("head_stuck_closed"),
    "lock_lies": _heads("head_lies"),
    "tag_misread": (_tag, _tag_right),
    "cell_fault": (_forced, _not_forced),
    "truck_rolls": (_roll, _roll_back),
    "handbrake_released": _unset("handbrake_on"),
    "gear_in": _unset("gear_neutral"),
    "key_on": _unset("key_off", "hv_off"),
    "hv_on": _unset("hv_off"),
    "vehicle_link_lost": _truck_attribute("link_ok", False),
    "does_not_come": _truck_attribute("comes_when_called", False),
    "pack_refused": (_refuse, _refuse_no_more),
    "drive_not_inhibited": _truck_attribute("inhibits", False),
    "hv_not_discharged": _truck_attribute("discharges", False),
    "connector_stuck": _truck_attribute("connector_free", False),
    "pack_heats": (_heat, _no_heat),
    "pack_alarm": (_pack_alarm, _no_pack_alarm),
    "insulation_low": (_insulation, _insulation_good),
    "pack_leaks": (_leak, _no_leak),
    "bms_silent": _bay_attribute("bms_silent", None, False),
    "charger_fault": _bay_attribute("charger_fault", "code", 0),
    "charger_ignores_setpoint": _bay_attribute("ignores_setpoint", None, False),
    "wrong_code": _bay_attribute("false_code", "code", ""),
    "bay_sensor_lies": _bay_attribute("false_occupied", "occupied", None),
    "wrong_word_order": _wire("wrong_word_order"),
    "exception_replies": _wire("exception_replies"),
    "half_open": _wire("half_open"),
    "slow_replies": _wire("slow_replies"),
    "frozen_values": _wire("frozen_values", site=True),
    "storage_dead": (_storage_dies, _storage_lives),
    "feeder_tripped": (_feeder_trips, _feeder_closes),
}
"""What to do at injection and at clearing, by fault; None: it happens once."""
