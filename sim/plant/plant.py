"""The one simulated truth of a station: packs, chargers, robot cells, trucks, meter.

Synchronous, without I/O and without a clock. Time advances by :meth:`Plant.advance` only; reading changes
nothing, and one step of ten seconds ends in the same state as a hundred of a tenth (time is counted in whole
microseconds). The device servers show a plant over Modbus and move it by the clock on the wall; tests and
studies move it as they like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from battery_bms import pack as physics
from battery_bms.port import ChargerState, MeterReading, PackReading
from robotics.port import (
    SEATS,
    AckCode,
    CellStatus,
    RobotCommand,
    Signal,
    VehiclePack,
)
from sim.plant.cell import Cell
from sim.plant.draws import Draws
from sim.plant.fault_codes import cell_fault
from sim.plant.faults import checked, find_fault
from sim.plant.rack import US_PER_S, PlantError, Rack
from sim.plant.sensors import HEADS_MAX, cell_signals, head_bits, seat_signals
from sim.plant.site import SiteTruth
from sim.plant.yard import HEADS_PER_SEAT, LockHead, TruckPlace, Yard
from swap.config.station_file import StationConfig
from swap.places import bay_place, vehicle_place

SNAPSHOT_VERSION = 3
NO_SUPPLY_CODE = 1
"""The simulated charger's own code while its feeder carries no voltage."""
_CELL_SPREAD_V = 0.01
"""Spread between the highest and the lowest cell of a sound pack; assumed."""
TEMP_SPREAD_C = 3.0
"""Difference between the warmest and the coldest probe of a sound pack; assumed."""


class Plant:
    """A simulated station.

    Args:
        config: the station file.
        seed: of all variation in it.
        start_at: station time of its beginning, aware.
        heads_per_seat: locking heads of each seat of a vehicle.
        varies: whether durations vary around their nominal values.
        temp_spread_c: difference between the warmest and the coldest probe of a sound pack.
    """

    def __init__(
        self,
        config: StationConfig,
        *,
        seed: int,
        start_at: datetime,
        heads_per_seat: int = HEADS_PER_SEAT,
        varies: bool = True,
        temp_spread_c: float = TEMP_SPREAD_C,
    ) -> None:
        if not 1 <= heads_per_seat <= HEADS_MAX:
            raise ValueError(f"heads_per_seat = {heads_per_seat}: allowed 1…{HEADS_MAX}")
        if start_at.tzinfo is None:
            raise ValueError("start_at has no time zone")
        self.config = config
        self.seed = seed
        self.temp_spread_c = temp_spread_c
        self.start_at = start_at.astimezone(UTC)
        self.now_us = 0
        self.rack = Rack.from_config(config)
        self.site = SiteTruth.from_config(config.site, self.rack)
        self.site.settle(0)
        self.yard = Yard.from_config(config, self.rack, heads_per_seat)
        self._driver_draw = Draws(seed, "drivers", varies)
        self._cell_draws = {lane.id: Draws(seed, f"cell {lane.id}", varies) for lane in config.lanes}
        self.cells: dict[str, Cell] = {
            lane.id: Cell(lane.id, self.rack, self.yard, config.transfer_bays(lane.id), self._cell_draws[lane.id])
            for lane in config.lanes
        }
        for lane in config.lanes:
            self.cells[lane.id].shuttle = lane.swap_mode == "chassis"
        self.vehicles_tell = False
        """The trucks tell the cells of their own packs; over registers they do so where the map carries it."""
        self.odometers_km: dict[str, float] = {}
        """What trucks tell of their odometers; the others tell none."""
        self.bms_counts = False
        """The BMS tells the energy that its pack has given; over registers it does so where the map carries it."""
        self.seats = 2 if all(model.packs_per_vehicle <= 2 for model in config.vehicle_models) else SEATS[-1]
        """Seats that the cells have signals for."""
        self.seats_tell = self.seats > 2
        """The cells tell each seat's locks and acceptance; over registers likewise."""
        self.takes_codes = False
        """The trucks take the codes of the packs that they are to accept; over registers likewise."""
        self.wire_faults: dict[str, dict[str, dict[str, Any]]] = {}
        """Faults of Modbus endpoints, by endpoint and name; the device servers act them out."""
        self._next_grid_us: int | None = None

    # Time

    @property
    def now_at(self) -> datetime:
        """Station time."""
        return self.start_at + timedelta(microseconds=self.now_us)

    def advance(self, dt_s: float) -> None:
        """Let time pass. Raises ValueError for a negative time."""
        if dt_s < 0:
            raise ValueError(f"dt_s is {dt_s}; time does not run backwards")
        until_us = self.now_us + round(dt_s * US_PER_S)
        self._react()
        while (next_us := self._next_us()) is not None and next_us <= until_us:
            self.now_us = max(next_us, self.now_us)
            self._react()
        self.now_us = until_us

    def next_change_s(self) -> float | None:
        """Seconds until something changes by itself; None when nothing will. Charging goes on between changes."""
        next_us = self._next_us()
        return None if next_us is None else max(next_us - self.now_us, 0) / US_PER_S

    def _next_us(self) -> int | None:
        times = [self.yard.next_us(), *(cell.next_us() for cell in self.cells.values()), self._next_grid_us]
        times.append(self.site.next_us())
        return min((t for t in times if t is not None), default=None)

    def _react(self) -> None:
        """Do what is due now, and plan the next mark of the grid."""
        self.yard.act(self.now_us, self._driver_draw)
        for cell in self.cells.values():
            cell.act(self.now_us)
        mark = self._next_grid_us is not None and self._next_grid_us <= self.now_us
        if mark:
            self.rack.judge(self.now_us)
        self.site.look(self.now_us, mark=mark)
        spacing = self.rack.grid_us()
        self._next_grid_us = None if spacing is None else (self.now_us // spacing + 1) * spacing

    # What the station may do

    def cell(self, lane_id: str) -> Cell:
        """The cell of a lane. Raises PlantError for an unknown lane."""
        if lane_id not in self.cells:
            raise PlantError(f"no lane {lane_id!r}; known: {', '.join(self.cells)}")
        return self.cells[lane_id]

    def command(
        self, lane_id: str, command: RobotCommand, token: int | None = None, epoch: int | None = None
    ) -> AckCode:
        """Give a cell a command; `token` is the claim that came with it, `epoch` the one it was decided in (None: not
        checked)."""
        code = self.cell(lane_id).command(command, self.now_us, token, epoch)
        self._react()
        return code

    def done_ack(self, lane_id: str, seq: int, epoch: int | None = None) -> None:
        """Tell a cell that the result of a number has been stored."""
        self.cell(lane_id).done_ack(seq, epoch)

    def set_hold(self, lane_id: str, hold: bool, epoch: int | None = None, seq: int = 0) -> None:
        """Ask a cell to hold after the running command, or withdraw that."""
        self.cell(lane_id).set_hold(hold, self.now_us, epoch, seq)
        self._react()

    def set_station_alive(self, lane_id: str, alive: bool) -> None:
        """Whether the cell hears its station; it takes no new command while it does not."""
        self.cell(lane_id).station_alive = alive

    def set_charge_kw(self, bay_id: str, power_kw: float) -> None:
        """Set-point of a bay's charger."""
        self.rack.set_charge_kw(bay_id, power_kw, self.now_us)
        self._react()

    def expire_setpoint(self, bay_id: str) -> None:
        """The set-point of a charger has expired (the device layer counts real seconds)."""
        self.rack.expire_setpoint(bay_id, self.now_us)
        self._react()

    # What trucks do

    def trucks_away(self) -> list[str]:
        """Trucks that could come, the longest away first."""
        return [truck.vehicle_id for truck in self.yard.at(TruckPlace.AWAY)]

    def arrive(
        self, vehicle_id: str, soc_pct: Sequence[float] = (), temp_c: float | None = None, visit: str = ""
    ) -> None:
        """A truck comes into the yard; its packs have the given states of charge, in seat order.

        `visit` is kept with the truck until it leaves. Raises PlantError when the truck is not away.
        """
        self.yard.arrive(vehicle_id, self.now_us, visit)
        truck = self.yard.truck(vehicle_id)
        for seat, soc in zip(range(1, truck.seats + 1), soc_pct, strict=False):
            pack = self.rack.at(vehicle_place(vehicle_id, seat))
            if pack is None:
                continue
            self.rack.settle(pack, self.now_us)
            left_kwh = physics.energy_at_soc_kwh(soc, pack.spec, pack.soh_pct)
            pack.discharged_kwh += max(pack.energy_kwh - left_kwh, 0.0)
            pack.energy_kwh = left_kwh
            if temp_c is not None:
                pack.temp_c = temp_c
        self._react()

    def leave_yard(self, vehicle_id: str) -> None:
        """A truck gives up waiting. Raises PlantError when it is not in the yard."""
        self.yard.leave(vehicle_id, self.now_us)

    # Faults

    def endpoints(self) -> tuple[str, ...]:
        """Names of the Modbus endpoints: lanes, rack devices, `meter`, `pv`, `storage`."""
        return (*self.cells, *(device.id for device in self.config.rack_devices), *self.site_endpoints())

    def site_endpoints(self) -> tuple[str, ...]:
        """Those beside lanes and rack."""
        site = self.config.site
        devices = {"meter": site.meter, "pv": site.pv, "storage": site.storage}
        return tuple(name for name, section in devices.items() if section is not None)

    def inject(self, fault: str, target: str, /, **arguments: Any) -> None:
        """Put a fault of `plant_faults.catalogue()`, or of the station's fault catalogue, into its target.

        Raises PlantError for unknown names and arguments.
        """
        spec, given = find_fault(fault, arguments)
        spec.acts[0](self, target, checked(spec, given))
        self._react()

    def clear(self, fault: str, target: str, /) -> None:
        """Take a fault away again. Raises PlantError for an unknown fault or one that happens once."""
        spec, given = find_fault(fault, {})
        if spec.acts[1] is None:
            raise PlantError(f"fault {fault!r} happens once and cannot be cleared")
        if "name" in given:
            self.cell(target).faults.forced = [n for n in self.cell(target).faults.forced if n != given["name"]]
        else:
            spec.acts[1](self, target)
        self._react()

    # What sensors and meters say

    def cell_status(self, lane_id: str) -> CellStatus:
        """A cell as its PLC shows it, stamped with station time. The heartbeat belongs to the device layer."""
        cell = self.cell(lane_id)
        truck = cell.truck
        shown = [cell_fault(name) for name in cell.shown_faults()]
        return CellStatus(
            lane_id=lane_id,
            fast_at=self.now_at,
            slow_at=self.now_at,
            heartbeat_ok=not cell.faults.frozen_heartbeat,
            state=cell.state,
            control_mode=cell.control_mode,
            run_mode=cell.run_mode,
            ack_seq=cell.ack_seq,
            ack_code=cell.ack_code,
            active_seq=cell.active_seq,
            done_seq=cell.done_seq,
            result=cell.result,
            epoch=cell.epoch,
            last_seq=cell.last_seq,
            done_result=cell.done_result,
            hold=cell.hold,
            fault_code=shown[0].code if shown else 0,
            fault_level=shown[0].level if shown else 0,
            fault_codes=tuple(fault.code for fault in shown),
            position=cell.position,
            owner=cell.owner,
            vehicle_tag=0 if truck is None else cell.faults.tag_misread or truck.tag,
            odometer_km=self.odometers_km.get(truck.vehicle_id) if truck is not None and truck.link_ok else None,
            signals=self.signals(lane_id) | (self.seat_signals(lane_id) if self.seats_tell else {}),
            vehicle_packs=self.vehicle_packs(lane_id) if self.vehicles_tell else {},
            bays_occupied=self.bays_occupied(),
            heads_open=head_bits(self.seats, truck, lambda t, head: t.heads[head] == LockHead.OPEN),
            heads_closed=head_bits(self.seats, truck, cell.head_reads_closed),
            seats=self.seats,
        )

    def vehicle_packs(self, lane_id: str) -> dict[int, VehiclePack]:
        """What the truck in a lane tells of its packs, by seat; nothing is known of them while it is silent."""
        truck = self.cell(lane_id).truck
        carried = frozenset({"code", "temp_max_c", "alarm_level", "leak"})
        told = {}
        for seat in range(1, 1 if truck is None else truck.seats + 1):
            pack = self.rack.at(vehicle_place(truck.vehicle_id, seat)) if truck is not None and truck.link_ok else None
            if pack is None:
                told[seat] = VehiclePack(carried)
                continue
            now = self.rack.now(pack, self.now_us)
            told[seat] = VehiclePack(carried, pack.code, now.temp_c, now.alarm_level, pack.leaks)
        return told

    def signals(self, lane_id: str) -> dict[Signal, bool | None]:
        """Every signal of a cell; those of a truck whose controller is silent are None."""
        return cell_signals(self.cell(lane_id), self.yard, self.rack)

    def seat_signals(self, lane_id: str) -> dict[Signal, bool | None]:
        """What a cell may tell of each seat of the truck in its lane."""
        return seat_signals(self.cell(lane_id), self.yard)

    def tell_packs(self, lane_id: str, codes: Mapping[int, str]) -> None:
        """The station tells the truck in a lane which packs it is to accept, by seat; none: any pack."""
        truck = self.cell(lane_id).truck
        if truck is not None:
            truck.told = tuple(codes.get(seat, "") for seat in SEATS) if any(codes.values()) else ()

    def bays_occupied(self) -> tuple[bool | None, ...]:
        """Occupancy sensor by bay position - 1; None where no bay has that position."""
        result: list[bool | None] = [None] * max(bay.position for bay in self.config.bays)
        for bay_id, bay in self.rack.bays.items():
            truth = self.rack.at(bay_place(bay_id)) is not None
            result[bay.section.position - 1] = truth if bay.false_occupied is None else bay.false_occupied
        return tuple(result)

    def pack_reading(self, bay_id: str) -> PackReading:
        """One bay as its charger and the BMS in it show it; a silent BMS gives None."""
        bay = self.rack.bay(bay_id)
        truth = self.rack.at(bay_place(bay_id))
        answering = truth is not None and not bay.bms_silent
        charge_kw = self.rack.charge_kw(bay_id, self.now_us)
        charger_fault = bay.charger_fault
        if not self.rack.fed and bay.section.charger_kw > 0.0:
            charger_fault = charger_fault or NO_SUPPLY_CODE
        if charger_fault:
            state = ChargerState.FAULT
        elif bay.section.charger_kw <= 0.0:
            state = ChargerState.OFF
        else:
            state = ChargerState.CHARGING if charge_kw > 0.0 else ChargerState.IDLE
        reading = PackReading(
            bay_id=bay_id,
            at=self.now_at,
            present=truth is not None,
            pack_id=None,
            soc_pct=None,
            energy_kwh=None,
            soh_pct=None,
            voltage_v=None,
            current_a=None,
            temp_max_c=None,
            temp_min_c=None,
            cell_max_v=None,
            cell_min_v=None,
            insulation_ohm_per_v=None,
            max_charge_kw=None,
            alarm_level=0,
            alarm_bits=0,
            charger_state=state,
            charger_fault=charger_fault,
            charge_kw=charge_kw,
            setpoint_kw=bay.setpoint_kw,
            meter_kwh=self.rack.meter_kwh(bay_id, self.now_us),
        )
        if truth is None or not answering:
            return reading
        return self._with_bms(reading, truth.code, bay.false_code)

    def _with_bms(self, reading: PackReading, code: str, false_code: str) -> PackReading:
        truth = self.rack.pack(code)
        now = self.rack.now(truth, self.now_us)
        voltage_v = physics.pack_voltage_v(truth.spec, now.soc_pct)
        cell_v = physics.lfp_cell_v(now.soc_pct)
        allowed_kw = physics.allowed_charge_kw(truth.spec, now.soc_pct, now.temp_c)
        return replace(
            reading,
            pack_id=false_code or code,
            soc_pct=now.soc_pct,
            energy_kwh=now.energy_kwh,
            soh_pct=truth.soh_pct,
            voltage_v=voltage_v,
            current_a=now.charge_kw * 1000.0 / voltage_v,
            temp_max_c=now.temp_c,
            temp_min_c=now.temp_c - self.temp_spread_c,
            cell_max_v=cell_v + _CELL_SPREAD_V / 2,
            cell_min_v=cell_v - _CELL_SPREAD_V / 2,
            insulation_ohm_per_v=truth.insulation_ohm_per_v,
            max_charge_kw=0.0 if now.alarm_level >= 3 else allowed_kw,
            discharged_kwh=truth.discharged_kwh if self.bms_counts else None,
            alarm_level=now.alarm_level,
            alarm_bits=now.alarm_bits,
        )

    def discharged_kwh(self, bay_id: str) -> float | None:
        """What the pack in a bay has given on vehicles; None without one, and while its BMS is silent."""
        bay, pack = self.rack.bay(bay_id), self.rack.at(bay_place(bay_id))
        return None if pack is None or bay.bms_silent else pack.discharged_kwh

    def meter_reading(self) -> MeterReading:
        """The site meter."""
        import_kwh, export_kwh = self.site.counters_kwh(self.now_us)
        return MeterReading(
            at=self.now_at,
            import_kw=self.site.import_kw(self.now_us),
            import_kwh=import_kwh,
            export_kwh=export_kwh,
        )

    def truth(self) -> dict[str, Any]:
        """Where everything truly is, for people and tests: packs, trucks, cells, faults of endpoints."""
        packs = {}
        for code, pack in self.rack.packs.items():
            now = self.rack.now(pack, self.now_us)
            packs[code] = {
                "place": pack.place,
                "kind": pack.kind,
                "energy_kwh": round(now.energy_kwh, 3),
                "soc_pct": round(now.soc_pct, 2),
                "temp_c": round(now.temp_c, 2),
                "charge_kw": round(now.charge_kw, 2),
                "alarm_level": now.alarm_level,
            }
        return {
            "at": self.now_at.isoformat(),
            "packs": packs,
            "trucks": {
                t.vehicle_id: {"place": t.place.value, "lane": t.lane_id, "heads": [h.value for h in t.heads]}
                for t in self.yard.trucks.values()
            },
            "cells": {
                lane_id: {
                    "state": cell.state.name.lower(),
                    "active_seq": cell.active_seq,
                    "paused": cell.paused,
                    "faults": list(cell.shown_faults()),
                    "gripper": None if cell.gripped is None else cell.gripped.code,
                }
                for lane_id, cell in self.cells.items()
            },
            "wire_faults": {name: dict(faults) for name, faults in self.wire_faults.items() if faults},
        }

    # Snapshot

    @property
    def changes(self) -> int:
        """Rises with every command accepted, refused or ended, every pack move and every arrival."""
        return self.yard.changes + sum(cell.changes for cell in self.cells.values())

    def snapshot(self) -> dict[str, Any]:
        """Everything that changes, as JSON; `restore` continues from it exactly."""
        return {
            "version": SNAPSHOT_VERSION,
            "station": self.config.station.id,
            "seed": self.seed,
            "start_at": self.start_at.isoformat(),
            "now_us": self.now_us,
            "next_grid_us": self._next_grid_us,
            "driver_draws": self._driver_draw.count,
            "cell_draws": {lane: draws.count for lane, draws in self._cell_draws.items()},
            "rack": self.rack.snapshot(),
            "site": self.site.snapshot(),
            "yard": self.yard.snapshot(),
            "cells": {lane: cell.snapshot() for lane, cell in self.cells.items()},
            "wire_faults": {k: {n: dict(a) for n, a in v.items()} for k, v in self.wire_faults.items()},
        }

    @classmethod
    def restore(cls, config: StationConfig, data: dict[str, Any]) -> Plant:
        """The plant of a snapshot. Raises PlantError as `load` does."""
        plant = cls(config, seed=data.get("seed", 0), start_at=datetime.min.replace(tzinfo=UTC))
        plant.load(data)
        return plant

    def load(self, data: dict[str, Any]) -> None:
        """Go on from a snapshot, in place.

        Raises PlantError for a snapshot of another station or version, or one that the station file contradicts.
        """
        if data.get("version") != SNAPSHOT_VERSION:
            raise PlantError(f"the snapshot has version {data.get('version')!r}; this program reads {SNAPSHOT_VERSION}")
        if data["station"] != self.config.station.id:
            raise PlantError(f"the snapshot is of station {data['station']!r}, not {self.config.station.id!r}")
        self.seed = data["seed"]
        self.start_at = datetime.fromisoformat(data["start_at"])
        self.now_us = data["now_us"]
        self._next_grid_us = data["next_grid_us"]
        self._driver_draw.restart(self.seed, data["driver_draws"])
        self.rack.restore(data["rack"], self.now_us)
        if "site" in data:
            self.site.restore(data["site"])
        else:  # a release without sun and storage: its meter was the rack's own
            self.site.since_us, self.site.gross_kwh = self.now_us, self.rack.import_meter_kwh(self.now_us)
            self.site.import_kwh = self.site.gross_kwh
        self.yard.restore(data["yard"])
        for lane, cell in self.cells.items():
            self._cell_draws[lane].restart(self.seed, data["cell_draws"].get(lane, 0))
            if lane in data["cells"]:
                cell.restore(data["cells"][lane])
        self.wire_faults = {k: {n: dict(a) for n, a in v.items()} for k, v in data["wire_faults"].items()}


__all__ = ["Draws", "Plant", "PlantError"]
