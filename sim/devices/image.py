"""The plant in registers: what a cell or a bay shows, and what is written to them.

A *unit* is one register map at one base address: a cell, a bay, a device beside the rack. It renders its registers from
the plant when asked (that changes nothing) and takes writes to its command registers. Counters that must
move in real time move by :meth:`Unit.tick`, never by reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from battery_bms.config import RackDeviceSection
from battery_bms.port import BMS_VALUES, ChargerState
from robotics.handshake import decode_location, encode_location
from robotics.modbus_link.cell_entries import NEW_PACK_CODES, VEHICLE_PACK, seats_of
from robotics.modbus_link.registers import RegisterMap, Value
from robotics.port import AckCode, CommandCode, DriverSign, Location, ResultCode, RobotCommand
from sim.plant.plant import Plant

STATION_SILENT_S = 3.0
"""Real seconds without a heartbeat of the station after which the PLC takes no command and has no owner."""
BEAT_S = 0.1
"""Real seconds between two heartbeats of a cell."""
SAMPLE_S = 0.5
"""Real seconds between two sets of BMS data and two samples of the meter."""
_NO_CODE = 65535
"""Shown for a fault that the map's code table has no number for."""


class Unit(Protocol):
    """One register map at one base address of a Modbus device."""

    endpoint: str
    """Name under which faults of the wire are injected: lane, rack device, `meter`, `pv` or `storage`."""
    base: int
    map: RegisterMap
    registers: dict[int, int]
    """Registers by address inside the map."""

    def render(self) -> None:
        """Bring the registers up to the plant as it is."""

    def write(self, address: int, words: list[int], now_s: float) -> bool:
        """Take a write at an address inside the map. False when a register there cannot be written."""

    def tick(self, now_s: float) -> None:
        """Move what moves in real time."""


class Image:
    """Registers of one unit and the common part of reading and writing them."""

    def __init__(self, plant: Plant, endpoint: str, base: int, register_map: RegisterMap) -> None:
        self.plant = plant
        self.endpoint = endpoint
        self.base = base
        self.map = register_map
        self._swapped = swapped_words(register_map)
        self.registers = register_map.image()
        self._shown: dict[str, Value] = {}
        """Values as they are in the registers."""
        self._wrong_order = False
        self._constants: dict[str, Value] = {
            e.name: e.const * e.scale + e.offset if e.scale != 1.0 or e.offset else e.const
            for e in register_map.entries.values()
            if e.const is not None
        }
        self._writable = {
            address
            for name, block in register_map.blocks.items()
            if block.access == "write"
            for entry in register_map.by_block[name]
            for address in range(entry.address, entry.last + 1)
        }
        self._command_blocks = [name for name, block in register_map.blocks.items() if block.access == "write"]

    def show(self, values: dict[str, Value]) -> None:
        """Put values into the registers, as far as the map carries them and they have changed."""
        wrong_order = "wrong_word_order" in self.plant.wire_faults.get(self.endpoint, {})
        if wrong_order != self._wrong_order:
            self._wrong_order = wrong_order
            self._shown.clear()
        register_map = self._swapped if wrong_order else self.map
        changed = {
            name: self._fit(name, value)
            for name, value in (values | self._constants).items()
            if name in register_map.entries and (name not in self._shown or self._shown[name] != value)
        }
        self._shown.update({name: values.get(name, self._constants.get(name)) for name in changed})
        for address, words in register_map.encode(changed, self.registers):
            self.registers.update(zip(range(address, address + len(words)), words, strict=True))

    def _fit(self, name: str, value: Value) -> Value:
        entry = self.map.entries[name]
        if entry.family == "bool":
            return bool(value)
        if entry.family == "bits" and isinstance(value, tuple):
            return value[: entry.size]
        return value

    def put(self, address: int, words: list[int]) -> bool:
        """Store a write to command registers. False when one of them cannot be written."""
        span = range(address, address + len(words))
        if not self._writable.issuperset(span):
            return False
        self.registers.update(zip(span, words, strict=True))
        for name in self.touched(address, words):
            self._shown.pop(name, None)
        return True

    def commands(self) -> dict[str, Any]:
        """Values of the command registers."""
        values: dict[str, Any] = {}
        for block in self._command_blocks:
            values |= self.map.decode(block, self.registers)
        return values

    def touched(self, address: int, words: list[int]) -> set[str]:
        """Names of the entries that a write reaches."""
        last = address + len(words) - 1
        return {
            entry.name
            for block in self._command_blocks
            for entry in self.map.by_block[block]
            if entry.address <= last and address <= entry.last
        }


def swapped_words(register_map: RegisterMap) -> RegisterMap:
    """The same map with the words of longer values exchanged."""
    other = {"big": "little", "little": "big"}
    file = register_map.file
    entries = tuple(
        e if e.word_order is None else e.model_copy(update={"word_order": other[e.word_order]}) for e in file.entries
    )
    return RegisterMap(file.model_copy(update={"word_order": other[file.word_order], "entries": entries}))


class CellUnit(Image):
    """A robot cell's PLC. `accepted` is called when a write has changed the plant, before it is answered."""

    def __init__(
        self,
        plant: Plant,
        lane_id: str,
        base: int,
        register_map: RegisterMap,
        now_s: float,
        accepted: Callable[[], None],
    ) -> None:
        super().__init__(plant, lane_id, base, register_map)
        self.lane_id = lane_id
        self.heartbeat = 0
        self._accepted = accepted
        self._beat_due_s = now_s
        self._heard_s = now_s
        self._heard: Any = None
        self._fenced = register_map.handshake.style == "fenced"
        self._owned = {"owner", "owner_claim"} <= register_map.entries.keys()
        self._codes = {name: seat for seat, name in NEW_PACK_CODES.items() if name in register_map.entries}
        self._fault_words = {e.name: e.faults for e in register_map.entries.values() if e.faults}
        codes = register_map.entries["fault_code"].codes
        self._fault_numbers = {code: int(raw) for raw, code in codes.items()}

    def tick(self, now_s: float) -> None:
        """Own heartbeat, and the watch over the station's."""
        cell = self.plant.cell(self.lane_id)
        while self._beat_due_s <= now_s:
            self._beat_due_s += BEAT_S
            if not cell.faults.frozen_heartbeat:
                self.heartbeat = (self.heartbeat + 1) & 0xFFFF
        alive = now_s - self._heard_s <= STATION_SILENT_S
        cell.station_alive = alive
        if not alive and cell.owner:
            cell.claim(0, owner_silent=True)
            self.show({"owner_claim": 0})

    def render(self) -> None:
        """Status blocks from the plant."""
        status = self.plant.cell_status(self.lane_id)
        cell = self.plant.cell(self.lane_id)
        places = self.map.handshake.locations
        values: dict[str, Value] = {
            "heartbeat": self.heartbeat,
            "state": self.map.raw_of("state", status.state.name.lower()),
            "control_mode": self.map.raw_of("control_mode", status.control_mode.name.lower()),
            "run_mode": self.map.raw_of("run_mode", status.run_mode.name.lower()),
            "fault_code": self._fault_number(status.fault_code),
            "fault_level": status.fault_level,
            "position": encode_location(places, status.position),
            "owner": status.owner,
            "refused_owner": cell.refused_owner,
            "vehicle_tag": status.vehicle_tag,
            "odometer_km": status.odometer_km,
            "step": 0 if cell.active is None else cell.active.phase + 1,
            "cycle_count": cell.lifts,
            "bays_occupied": status.bays_occupied,
            "heads_open": self._heads("heads_open", status.heads_open, status.seats),
            "heads_closed": self._heads("heads_closed", status.heads_closed, status.seats),
        }
        signals = {**status.signals, **self.plant.seat_signals(self.lane_id)}
        values |= {signal.value: value for signal, value in signals.items()}
        for seat, pack in self.plant.vehicle_packs(self.lane_id).items():
            values |= {f"seat_{seat}_{entry}": getattr(pack, name) for name, entry in VEHICLE_PACK.items()}
        for name, faults in self._fault_words.items():
            values[name] = sum(1 << int(bit) for bit, code in faults.items() if code in status.fault_codes)
        if self.map.handshake.style == "flags":
            values |= self._flags()
        else:
            values |= {
                "ack_seq": status.ack_seq,
                "ack_code": self.map.raw_of("ack_code", status.ack_code.name.lower()),
                "active_seq": status.active_seq,
                "done_seq": status.done_seq,
                "result": self.map.raw_of("result", status.result.name.lower()),
            }
        if self._fenced:
            values |= {
                "epoch": cell.epoch,
                "last_seq": cell.last_seq,
                "done_result": self.map.raw_of("done_result", cell.done_result.name.lower()),
                "hold_seen": self.map.raw_of("hold_seen", "on" if cell.hold else "off"),
            }
        self.show(values)

    def _heads(self, name: str, values: tuple[bool | None, ...], seats: int) -> Value:
        """Heads in as many parts as the map has seats, each as long as it has room for."""
        entry = self.map.entries.get(name)
        if entry is None:
            return None
        shown = seats_of(self.map.entries)
        each, of_seat = entry.size // shown, len(values) // seats
        parts = [values[seat * of_seat : seat * of_seat + each] if seat < seats else () for seat in range(shown)]
        return tuple(v for part in parts for v in (*part, *[None] * (each - len(part))))

    def _fault_number(self, code: int) -> int:
        return self._fault_numbers.get(code, _NO_CODE) if code and self._fault_numbers else code

    def _flags(self) -> dict[str, Value]:
        """The handshake by one echoed task number and a flag for each phase."""
        cell = self.plant.cell(self.lane_id)
        held = cell.result is not ResultCode.NONE
        refused = cell.active is None and not held and cell.ack_code not in (AckCode.NONE, AckCode.ACCEPTED)
        task = cell.active_seq or (cell.done_seq if held else cell.ack_seq)
        return {
            "task_echo": task,
            "flag_accepted": cell.active is not None or held,
            "flag_refused": refused,
            "refusal": self.map.raw_of("refusal", cell.ack_code.name.lower() if refused else "none"),
            "flag_running": cell.active is not None,
            "flag_done": cell.result is ResultCode.DONE,
            "flag_failed": cell.result is ResultCode.FAILED,
            "flag_aborted": cell.result is ResultCode.ABORTED,
        }

    def write(self, address: int, words: list[int], now_s: float) -> bool:
        """Command registers: ownership, heartbeat, hold, acknowledgement, command, in this order."""
        if not self.put(address, words):
            return False
        touched, values = self.touched(address, words), self.commands()
        cell = self.plant.cell(self.lane_id)
        changes = self.plant.changes
        ours = True
        if "owner_claim" in touched and self._owned:
            epoch = self._epoch(values, "beat_epoch")
            ours = cell.claim(int(values["owner_claim"]), owner_silent=not cell.station_alive, epoch=epoch)
        if "cmd_heartbeat" in touched and ours and values["cmd_heartbeat"] != self._heard:
            self._heard, self._heard_s = values["cmd_heartbeat"], now_s
            cell.station_alive = True
        if "hold" in touched:
            epoch, seq = self._epoch(values, "hold_epoch"), int(values.get("hold_seq") or 0)
            self.plant.set_hold(self.lane_id, bool(values["hold"]), epoch, seq)
        if "done_ack" in touched and values["done_ack"]:
            flags = self.map.handshake.style == "flags"
            seq = cell.done_seq if flags else int(values["done_ack"])
            self.plant.done_ack(self.lane_id, seq, self._epoch(values, "ack_epoch"))
        if "driver_sign" in touched:
            shown = self.map.means("driver_sign", values["driver_sign"])
            cell.sign = DriverSign.NONE if shown is None else DriverSign[shown.upper()]
        if self._codes.keys() & touched:
            codes = {seat: str(values[name] or "").strip() for name, seat in self._codes.items()}
            self.plant.tell_packs(self.lane_id, codes)
        if "cmd_seq" in touched:
            self._take(values)
        if not ours and not self._fenced:
            self.show({"owner_claim": cell.owner})
        if self.plant.changes != changes:
            self._accepted()
        return True

    def _epoch(self, values: dict[str, Any], name: str) -> int | None:
        """The epoch that came with a request; None where the map has none."""
        return int(values[name]) if self._fenced else None

    def _take(self, values: dict[str, Any]) -> None:
        token = int(values["cmd_owner"]) if self._owned else None
        epoch = self._epoch(values, "cmd_epoch")
        places = self.map.handshake.locations
        meaning = self.map.means("cmd_code", values["cmd_code"])
        located: list[Location | None] = []
        for name in ("cmd_source", "cmd_target"):
            location = decode_location(places, int(values[name]))
            if location is None and values[name]:
                meaning = None
            located.append(location)
        if meaning is None:
            self.plant.cell(self.lane_id).refuse(int(values["cmd_seq"]), token, epoch)
            return
        command = RobotCommand(
            seq=int(values["cmd_seq"]),
            code=CommandCode[meaning.upper()],
            source=located[0],
            target=located[1],
            vehicle_tag=int(values.get("cmd_vehicle_tag") or 0),
        )
        self.plant.command(self.lane_id, command, token, epoch)


class BayUnit(Image):
    """The charger of one bay and the BMS of the pack in it."""

    def __init__(
        self,
        plant: Plant,
        device: RackDeviceSection,
        bay_id: str,
        base: int,
        register_map: RegisterMap,
        now_s: float,
    ) -> None:
        super().__init__(plant, device.id, base, register_map)
        self.bay_id = bay_id
        self._sample_due_s = now_s
        self._now_s = now_s
        self._bms_counter = 0
        self._counter = 0
        self._until_s = now_s + device.setpoint_expires_s
        """When the set-point expires; one that was in force at the start is given a whole term."""

    def tick(self, now_s: float) -> None:
        """The BMS's messages, and the expiry of the set-point."""
        self._now_s = now_s
        while self._sample_due_s <= now_s:
            self._sample_due_s += SAMPLE_S
            if not self.plant.rack.bay(self.bay_id).bms_silent:
                self._bms_counter = (self._bms_counter + 1) & 0xFFFF
        if now_s >= self._until_s and self.plant.rack.bay(self.bay_id).setpoint_kw > 0.0:
            self.plant.expire_setpoint(self.bay_id)

    def render(self) -> None:
        """Status registers; what a silent BMS said last stays, and its counter stands."""
        reading = self.plant.pack_reading(self.bay_id)
        state = reading.charger_state or ChargerState.OFF
        values: dict[str, Value] = {
            "bms_counter": self._bms_counter,
            "pack_present": reading.present,
            "charger_state": self.map.raw_of("charger_state", state.name.lower()),
            "charger_fault": reading.charger_fault,
            "charge_kw": reading.charge_kw,
            "setpoint_kw": reading.setpoint_kw,
            "setpoint_counter": self._counter,
            "setpoint_left_s": max(0, min(round(self._until_s - self._now_s), 65534)) if reading.setpoint_kw else 0,
            "meter_kwh": reading.meter_kwh,
        }
        if reading.pack_id is not None or not reading.present:
            bms = {name: getattr(reading, name) for name in _BMS_ENTRIES}
            bms["discharged_kwh"] = self.plant.discharged_kwh(self.bay_id)
            values |= bms | {"pack_code": reading.pack_id}
        self.show(values)

    def write(self, address: int, words: list[int], now_s: float) -> bool:
        """A set-point is taken when its counter changes; without a counter in the map, with each write."""
        if not self.put(address, words):
            return False
        values, touched = self.commands(), self.touched(address, words)
        if "cmd_counter" in self.map.entries:
            counter = int(values["cmd_counter"] or 0)
            if "cmd_counter" not in touched or counter in (0, self._counter):
                return True
        else:
            counter = 0
        if self.plant.rack.bay(self.bay_id).ignores_setpoint:
            return True
        self._counter = counter
        expires_s = float(values["cmd_expires_s"] or 0)
        self._until_s = now_s + expires_s
        self.plant.set_charge_kw(self.bay_id, float(values["cmd_setpoint_kw"] or 0) if expires_s else 0.0)
        return True


_BMS_ENTRIES = (*BMS_VALUES, "alarm_level", "alarm_bits")
